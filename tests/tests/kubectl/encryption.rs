//! Secrets in the files of a cluster, and their keys replaced while everything is killed.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;
use tests::asking::until;
use tests::cluster::{Cluster, Process, Setup};
use tests::kubectl::Kubectl;
use tests::server::Backing;

/// So many that a rotation can be seen under way.
const SECRETS: usize = 200;
const HIDDEN: &str = "of nobody's business";

/// Whether a file below a directory has these bytes, other than those of the configuration.
fn holds(directory: &Path, bytes: &[u8]) -> bool {
    std::fs::read_dir(directory).expect("a directory").any(|entry| {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            return holds(&path, bytes);
        }
        // Files may go while they are looked at.
        std::fs::read(&path).is_ok_and(|content| content.windows(bytes.len()).any(|window| window == bytes))
    })
}

/// A directory with a cluster in it, which is killed and started again.
struct Place {
    setup: Setup,
    user: Kubectl<Cluster>,
    directory: PathBuf,
    keys: PathBuf,
}

impl Place {
    fn new(backing: Backing) -> Place {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (path, mut setup) = (directory.path().to_owned(), Setup::new(backing, 0));
        let keys = match backing {
            Backing::Embedded => path.join("data/pki/encryption.yaml"),
            Backing::Etcd => {
                let keys = path.join("keys.yaml");
                let text = "{apiVersion: apiserver.config.k8s.io/v1, kind: EncryptionConfiguration, resources: [{resources: \
                            [secrets], providers: [{secretbox: {keys: [{name: first, secret: \
                            MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=}]}}]}]}";
                std::fs::write(&keys, text).expect("a file can be written");
                let option = |name: &str| format!("--encryption-provider-config{name}");
                setup.arguments = vec![option(""), keys.display().to_string(), option("-automatic-reload")];
                keys
            }
        };
        let user = Kubectl::to(setup.up_in(directory));
        Place { setup, user, directory: path, keys }
    }

    /// Kills everything, and starts it again.
    fn kill(self) -> Place {
        let Place { setup, user, directory, keys } = self;
        let left: TempDir = user.server.kill();
        let user = Kubectl::to(setup.up_in(left));
        Place { setup, user, directory, keys }
    }

    fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(&self.setup.binary);
        command
            .args(["encryption", verb, "--data-dir"])
            .arg(self.directory.join("data"))
            .arg("--config")
            .arg(&self.keys);
        if verb == "rotate" && self.setup.backing == Backing::Etcd {
            command.arg("--only-server");
        }
        command
    }

    /// Begins to replace the key.
    fn begin(&self) -> Process {
        let mut command = self.command("rotate");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Process::of(command.spawn().expect("gantry runs"))
    }

    /// What a verb prints that succeeds.
    fn says(&self, verb: &str) -> String {
        let output = self.command(verb).output().expect("gantry runs");
        assert!(output.status.success(), "{verb}: {output:?}");
        String::from_utf8(output.stdout).expect("text")
    }

    /// The names of the keys in the file.
    fn keys(&self) -> Vec<String> {
        let text = std::fs::read_to_string(&self.keys).expect("the file is whole");
        let names = text.lines().filter_map(|line| line.trim().strip_prefix("- name: "));
        names.map(|name| name.trim_matches('"').to_owned()).collect()
    }

    fn check(&self) {
        let template = "{range .items[*]}{.data.password}{\"\\n\"}{end}";
        let output = self.user.output(&format!("get secrets -l all=yes -o 'jsonpath={template}'"));
        let text = String::from_utf8(output.stdout).expect("text");
        assert_eq!(text.lines().filter(|line| *line == "b2Ygbm9ib2R5J3MgYnVzaW5lc3M=").count(), SECRETS, "{text}");
        for hidden in [HIDDEN, "b2Ygbm9ib2R5J3MgYnVzaW5lc3M="] {
            assert!(!holds(&self.directory, hidden.as_bytes()), "{hidden} is in a file of the cluster");
        }
        assert!(holds(&self.directory, b"for everybody"), "what is not secret is not encrypted");
    }
}

fn manifest() -> String {
    let mut text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: plain}\ndata: {k: for everybody}\n".to_owned();
    for number in 0..SECRETS {
        let _ = write!(
            text,
            "---\napiVersion: v1\nkind: Secret\nmetadata: {{name: s{number}, labels: {{all: 'yes'}}}}\nstringData: {{password: \
             \"{HIDDEN}\"}}\n"
        );
    }
    text
}

fn keys_are_replaced_while_everything_is_killed(backing: Backing) {
    let place = Place::new(backing);
    let made = place.user.with_input("create -f -", &manifest());
    assert!(made.status.success(), "{made:?}");
    place.check();
    let first = place.says("status");
    assert!(first.contains("current"), "{first}");

    // With the new key in the file, and hardly anything written by it.
    let rotation = place.begin();
    let two = until("a second key", || place.keys(), |keys| keys.len() == 2);
    let place = place.kill();
    drop(rotation);
    assert_eq!(place.keys(), two);
    place.check();

    // With some of them written anew.
    let rotation = place.begin();
    until("Secrets by the new key", || place.says("status"), |status| status.contains(&two[0]));
    let place = place.kill();
    drop(rotation);
    place.check();

    // At the moment at which the old key is gone.
    let rotation = place.begin();
    until("a key alone", || place.keys(), |keys| keys.len() == 1);
    let place = place.kill();
    drop(rotation);
    assert_eq!(place.keys(), two[..1]);
    place.check();
    let status = place.says("status");
    assert_eq!(status.lines().count(), 3, "{status}");
    assert!(status.contains(&format!("{}   current   ", two[0])), "{status}");

    let said = place.says("rotate");
    assert!(said.contains("a new key is in use\n"), "{said}");
    let [last] = <[String; 1]>::try_from(place.keys()).expect("one key");
    assert!(!two.contains(&last));
    place.kill().check();
}

#[test]
fn over_embedded() {
    keys_are_replaced_while_everything_is_killed(Backing::Embedded);
}

#[test]
fn over_etcd() {
    keys_are_replaced_while_everything_is_killed(Backing::Etcd);
}
