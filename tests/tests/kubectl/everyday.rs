//! What people type every day, with kubectl and with Gantry in its place: the same answers, byte by byte.
//!
//! `everyday/invocations.txt` is the list, whose first lines say what form it has. There are two servers with the same objects, and
//! each invocation is run by a shell, with a `kubectl` on its path that is kubectl for the one and Gantry for the other. What must
//! differ is replaced, and all the rest is the same: what is written to standard output and to standard error, and the exit code.
//! Where Gantry's answer is another one on purpose the list has the reason; one that is no other any more is a failure, too.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use tempfile::TempDir;
use tests::kubectl::{Reachable, stable};
use tests::server::{Backing, Server};

const INVOCATIONS: &str = include_str!("everyday/invocations.txt");
/// How many invocations there are at least.
const LEAST: usize = 150;
/// How many subjects are under way at a time.
const AT_A_TIME: usize = 2;

/// A namespace, and what is typed in it.
#[derive(Debug, PartialEq, Eq)]
struct Subject<'a> {
    name: &'a str,
    seeded: bool,
    invocations: Vec<Invocation>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Invocation {
    script: String,
    /// Why it differs.
    differs: Option<String>,
}

#[test]
fn people_type_the_same_and_see_the_same() {
    let subjects = parse(INVOCATIONS);
    let count: usize = subjects.iter().map(|subject| subject.invocations.len()).sum();
    assert!(count >= LEAST, "there are only {count} invocations");
    let (theirs, ours) = (Server::start(Backing::Embedded), Server::start(Backing::Embedded));
    let kubectl = Command::new("sh").args(["-c", "command -v kubectl"]).output().expect("there is a shell");
    let kubectl = PathBuf::from(String::from_utf8_lossy(&kubectl.stdout).trim());
    assert!(kubectl.exists(), "there is no kubectl: run `make deps`");
    let sides = [Side::of(&theirs, &kubectl, &kubectl), Side::of(&ours, &kubectl, &gantry())];
    std::thread::scope(|scope| {
        for side in &sides {
            scope.spawn(|| side.furnish_cluster());
        }
    });
    let (next, failures) = (Mutex::new(subjects.iter()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                while let Some(subject) = { next.lock().unwrap().next() } {
                    let found = compare(subject, &sides);
                    failures.lock().unwrap().extend(found);
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{} of {count} invocations:\n{}", failures.len(), failures.concat());
}

/// Runs all of a subject, and returns what is not as it is to be.
fn compare(subject: &Subject<'_>, sides: &[Side<'_>; 2]) -> Vec<String> {
    let homes = std::thread::scope(|scope| {
        sides.each_ref().map(|side| scope.spawn(|| side.home(subject))).map(|home| home.join().expect("a home"))
    });
    let mut failures = Vec::new();
    for invocation in &subject.invocations {
        let [theirs, ours] = std::thread::scope(|scope| {
            let runs = [0, 1].map(|side| {
                let (side, home) = (&sides[side], homes[side].path());
                scope.spawn(|| side.run(home, &invocation.script))
            });
            runs.map(|run| run.join().expect("it can be run"))
        });
        let Some(why) = verdict(invocation.differs.as_deref(), &theirs, &ours) else { continue };
        failures.push(format!("\n[{}] $ {}\n{why}", subject.name, invocation.script));
    }
    failures
}

/// What is wrong with what was seen of an invocation.
fn verdict(differs: Option<&str>, theirs: &str, ours: &str) -> Option<String> {
    match (differs, theirs == ours) {
        (None, true) | (Some(_), false) => None,
        (None, false) => Some(format!("kubectl:\n{theirs}gantry:\n{ours}")),
        (Some(reason), true) => Some(format!("is no different any more, though {reason:?}\n")),
    }
}

/// A server, and who asks it.
struct Side<'a> {
    server: &'a Server,
    kubectl: &'a Path,
    /// A directory with the program that is called `kubectl`.
    programs: TempDir,
}

impl<'a> Side<'a> {
    fn of(server: &'a Server, kubectl: &'a Path, program: &Path) -> Side<'a> {
        let programs = tempfile::tempdir().expect("a temporary directory");
        std::os::unix::fs::symlink(program, programs.path().join("kubectl")).expect("a program can be linked");
        Side { server, kubectl, programs }
    }

    /// Makes what the cluster has.
    fn furnish_cluster(&self) {
        let file = files().join("cluster.yaml");
        self.furnish("default", &file);
    }

    /// Makes the objects of a file, with the status that it says.
    fn furnish(&self, namespace: &str, file: &Path) {
        for verb in [&["create", "-f"][..], &["replace", "--subresource=status", "-f"]] {
            let mut command = Command::new(self.kubectl);
            command.args(["-n", namespace]).args(verb).arg(file).env("KUBECONFIG", self.server.kubeconfig());
            let output = command.output().expect("kubectl can be run");
            // Not everything has a status.
            let error = String::from_utf8_lossy(&output.stderr);
            let is_bad = |line: &&str| !line.contains("NotFound") && !line.starts_with("Warning");
            let bad: Vec<&str> = error.lines().filter(is_bad).collect();
            assert!(bad.is_empty(), "{command:?}: {bad:#?}");
        }
    }

    /// A home with the files of the list and a kubeconfig of its own, and the namespace of a subject.
    fn home(&self, subject: &Subject<'_>) -> TempDir {
        let home = tempfile::tempdir().expect("a temporary directory");
        let here = home.path();
        let copied = Command::new("cp").arg("-rT").arg(files()).arg(here).status();
        assert!(copied.is_ok_and(|status| status.success()), "files can be copied");
        std::fs::copy(self.server.kubeconfig(), here.join("config")).expect("a file can be copied");
        let seed = std::fs::read_to_string(here.join("seed.yaml")).expect("a file can be read");
        std::fs::write(here.join("seed.yaml"), seed.replace("NAMESPACE", subject.name)).expect("a file can be written");
        let made = Command::new(self.kubectl)
            .args(["create", "namespace", subject.name])
            .env("KUBECONFIG", self.server.kubeconfig())
            .stdout(Stdio::null())
            .status();
        assert!(made.is_ok_and(|status| status.success()), "a namespace can be made");
        let set = Command::new(self.kubectl)
            .args(["config", "set-context", "--current", "--namespace", subject.name])
            .env("KUBECONFIG", here.join("config"))
            .stdout(Stdio::null())
            .status();
        assert!(set.is_ok_and(|status| status.success()), "a namespace can be set");
        if subject.seeded {
            self.furnish(subject.name, &here.join("seed.yaml"));
        }
        home
    }

    /// What is seen of a script, with everything replaced that must differ.
    fn run(&self, home: &Path, script: &str) -> String {
        let path = std::env::var("PATH").unwrap_or_default();
        let output = Command::new("timeout")
            .args(["20", "sh", "-c", script])
            .current_dir(home)
            .env_clear()
            .env("PATH", format!("{}:{path}", self.programs.path().display()))
            .env("HOME", home)
            .env("TMPDIR", home)
            .env("KUBECONFIG", home.join("config"))
            .stdin(Stdio::null())
            .output()
            .expect("there is a shell");
        let mut seen = String::new();
        for (sign, bytes) in [("  | ", &output.stdout), ("  ! ", &output.stderr)] {
            let text = String::from_utf8_lossy(bytes);
            let text = text.replace(self.server.url(), "https://SERVER").replace(&*home.to_string_lossy(), "HOME");
            let text = text.replace(self.server.url().trim_start_matches("https://"), "SERVER");
            for line in stable(&text).split('\n').filter(|line| !is_log(line)) {
                let _ = writeln!(seen, "{sign}{}", alike(line));
            }
        }
        let _ = writeln!(seen, "  exit code {:?}", output.status.code());
        seen
    }
}

/// Whether a line is one that kubectl's libraries log: a letter for the level, and the date.
fn is_log(line: &str) -> bool {
    let bytes = line.as_bytes();
    bytes.len() > 5
        && b"IWEF".contains(&bytes[0])
        && bytes[1..5].iter().all(u8::is_ascii_digit)
        && bytes[5] == b' '
        && line.contains("] ")
}

/// A line without the program's name, the names of temporary files, and the times of files.
fn alike(line: &str) -> String {
    let mut line = line.replace("gantry", "kubectl");
    for before in ["kubectl-edit-", "LIVE-", "MERGED-"] {
        if let Some((start, end)) = line.split_once(before) {
            line = format!("{start}{before}{}", end.trim_start_matches(|c: char| c.is_ascii_alphanumeric()));
            break;
        }
    }
    match line.split_once('\t') {
        Some((file, _)) if file.starts_with("--- ") || file.starts_with("+++ ") => file.to_owned(),
        _ => line,
    }
}

/// The files that the list is about.
fn files() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kubectl/everyday")
}

/// The program that was built with this one: it is two directories above.
fn gantry() -> PathBuf {
    let here = std::env::current_exe().expect("a program knows where it is");
    let program = here.ancestors().nth(2).expect("it is in a target directory").join("gantry");
    assert!(program.exists(), "{} is not there: run `cargo build -p gantry`", program.display());
    program
}

/// The list.
fn parse(text: &str) -> Vec<Subject<'_>> {
    let mut subjects: Vec<Subject<'_>> = Vec::new();
    for line in text.lines() {
        if let Some(header) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            let (name, seeded) = header.strip_suffix(" seeded").map_or((header, false), |name| (name, true));
            subjects.push(Subject { name, seeded, invocations: Vec::new() });
            continue;
        }
        let Some(Subject { invocations, .. }) = subjects.last_mut() else { continue };
        if let Some(script) = line.strip_prefix("$ ") {
            invocations.push(Invocation { script: script.to_owned(), differs: None });
        } else if let Some(last) = invocations.last_mut().filter(|_| !line.is_empty()) {
            match line.trim_start().strip_prefix("differs: ") {
                Some(reason) => last.differs = Some(reason.to_owned()),
                None => {
                    last.script.push('\n');
                    last.script.push_str(line);
                }
            }
        }
    }
    subjects
}

#[test]
fn what_differs_has_a_reason() {
    let check = |differs: Option<&str>, ours: &str, expected: Option<&str>| {
        assert_eq!(verdict(differs, "a\n", ours).as_deref(), expected);
    };
    check(None, "a\n", None);
    check(None, "b\n", Some("kubectl:\na\ngantry:\nb\n"));
    check(Some("because"), "b\n", None);
    check(Some("because"), "a\n", Some("is no different any more, though \"because\"\n"));
}

#[test]
fn what_must_differ_is_replaced() {
    assert_eq!(
        alike("error: stored in /tmp/kubectl-edit-17.yaml by gantry"),
        "error: stored in /tmp/kubectl-edit-.yaml by kubectl"
    );
    assert_eq!(alike("--- /tmp/LIVE-17/a\t2026-11-26 08:00:00"), "--- /tmp/LIVE-/a");
    assert_eq!(alike("a\tb"), "a\tb");
    assert!(is_log("W1126 08:00:00.000000   17 helpers.go:1] --dry-run is deprecated"));
    assert!(!is_log("Warning: it is not"));
}

#[test]
fn the_list_has_a_form() {
    let subjects =
        parse("# About\n\n[a seeded]\n$ kubectl x\n$ kubectl y <<END\nz\nEND\n    differs: because\n\n[b]\n$ q\n");
    let invocation = |script: &str, differs: Option<&str>| Invocation {
        script: script.to_owned(),
        differs: differs.map(str::to_owned),
    };
    let of_a = vec![invocation("kubectl x", None), invocation("kubectl y <<END\nz\nEND", Some("because"))];
    let expected = vec![
        Subject { name: "a", seeded: true, invocations: of_a },
        Subject { name: "b", seeded: false, invocations: vec![invocation("q", None)] },
    ];
    assert_eq!(subjects, expected);
}
