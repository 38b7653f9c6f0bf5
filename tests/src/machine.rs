//! A machine of a test's own: namespaces of processes, mounts and network, so that whatever a node does there (bridges,
//! rules of the packet filter, mounts, processes without parents) is gone when the machine is, even if the test failed, or
//! was killed: the machine ends when nobody holds its first process's standard input any more.
//!
//! What is shared with the real machine are its files, its kernel, and its cgroups: a node is given a cgroup of its own to
//! begin from, which is removed here.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::place::{enter, within};

/// The machine's address, in a network that goes nowhere.
pub const ADDRESS: &str = "192.168.77.1";

/// What the first process of the machine does: its mounts are nobody else's, it sees no network but its own, it takes up
/// processes whose parents have ended, and it ends when its standard input does.
const INIT: &str = r#"
set -e
mount --make-rprivate /
for directory in /run /var/log; do mount -t tmpfs tmpfs $directory; done
mkdir /run/sys
mount -t sysfs sysfs /run/sys
mount --rbind /sys/fs/cgroup /run/sys/fs/cgroup
mount --move /run/sys /sys
rmdir /run/sys
ip link set lo up
eval "$CARD"
echo ready
exec 3<&0
{ cat <&3 >/dev/null; kill -TERM 1; } &
trap 'exit 0' TERM
trap : CHLD
while :; do sleep 1000 3<&- & wait $! || :; done
"#;

/// A network card that leads nowhere.
const CARD: &str = r"
ip link add eth0 type veth peer name uplink
ip address add 192.168.77.1/24 dev eth0
ip link set eth0 up; ip link set uplink up
ip route add default via 192.168.77.254
";

/// A machine. Dropping it ends all that runs on it.
pub struct Machine {
    init: Child,
    directory: TempDir,
    cgroup: String,
}

impl Machine {
    /// Whether this process may make machines. If not, `why` it may not.
    ///
    /// # Errors
    /// With the reason.
    pub fn possible() -> Result<(), String> {
        let root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0");
        if root { Ok(()) } else { Err("only root can make namespaces and run containers".to_owned()) }
    }

    /// A new machine, alone in a network that goes nowhere.
    ///
    /// # Panics
    /// If it cannot be made.
    #[must_use]
    pub fn new() -> Machine {
        Machine::with(CARD)
    }

    /// A new machine without a network card.
    ///
    /// # Panics
    /// If it cannot be made.
    #[must_use]
    pub fn unplugged() -> Machine {
        Machine::with(":")
    }

    fn with(card: &str) -> Machine {
        // Not in the system's directory for such: the machine has one of its own in its place.
        let program = std::env::current_exe().expect("a program knows where it is");
        let place = program.ancestors().nth(3).expect("it is in a target directory").join("tmp");
        std::fs::create_dir_all(&place).expect("a directory");
        let directory = tempfile::Builder::new().prefix("node-").tempdir_in(place).expect("a directory");
        let mut command = Command::new("unshare");
        command.args(["--mount", "--net", "--pid", "--ipc", "--uts", "--fork", "--kill-child=SIGKILL", "--mount-proc"]);
        command.args(["sh", "-c", INIT]).env("CARD", card).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut init = command.spawn().expect("unshare is there");
        let mut line = String::new();
        let mut output = BufReader::new(init.stdout.take().expect("it was piped"));
        output.read_line(&mut line).expect("it can be read");
        let name = directory.path().file_name().expect("it has a name").to_string_lossy().into_owned();
        let machine = Machine { init, directory, cgroup: format!("gantry-test-{name}") };
        assert_eq!(line.trim(), "ready", "a machine of namespaces cannot be made");
        machine
    }

    /// Where its files are.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The cgroup that its node begins from.
    #[must_use]
    pub fn cgroup(&self) -> &str {
        &self.cgroup
    }

    /// A program that is to run on the machine.
    #[must_use]
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg("--target").arg(self.first().to_string());
        command.args(["--mount", "--net", "--pid", "--ipc", "--uts", "--"]).arg(program);
        command
    }

    /// A program that is to run elsewhere, and to reach what the machine reaches.
    #[must_use]
    pub fn beside(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg("--target").arg(self.first().to_string()).args(["--net", "--"]).arg(program);
        command
    }

    /// Has this thread reach what the machine reaches, and nothing else, from now on.
    ///
    /// # Errors
    /// If the kernel does not let it.
    pub fn enter_network(&self) -> std::io::Result<()> {
        enter(self.first())
    }

    /// Does something that reaches what the machine reaches.
    ///
    /// # Panics
    /// If it does, or the network cannot be entered.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        within(self.first(), work)
    }

    /// The processes of a program on the machine, by the IDs that they have outside it.
    #[must_use]
    pub fn processes(&self, program: &str) -> Vec<u32> {
        let namespace = |process: &str| std::fs::read_link(format!("/proc/{process}/ns/pid")).ok();
        let here = namespace(&self.first().to_string());
        let named = |process: &str| std::fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
        let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let all = all.filter_map(|entry| entry.file_name().into_string().ok());
        let ours = all.filter(|process| namespace(process) == here && named(process).trim_end() == program);
        ours.filter_map(|process| process.parse().ok()).collect()
    }

    /// The first process of the machine. `unshare` itself is not in its namespaces, and ends it when it ends.
    pub(crate) fn first(&self) -> u32 {
        let children = format!("/proc/{0}/task/{0}/children", self.init.id());
        let children = std::fs::read_to_string(children).unwrap_or_default();
        children.split_whitespace().next().and_then(|child| child.parse().ok()).unwrap_or(0)
    }
}

impl Default for Machine {
    fn default() -> Machine {
        Machine::new()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.init.kill();
        let _ = self.init.wait();
        remove_cgroups(&self.cgroup);
    }
}

/// Removes what is left of a cgroup. Its processes have been killed, and are about to be gone.
fn remove_cgroups(name: &str) {
    let root = Path::new("/sys/fs/cgroup");
    let hierarchies = std::fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path());
    for hierarchy in hierarchies.chain([PathBuf::from(root)]) {
        let top = hierarchy.join(name);
        for _ in 0..1000 {
            if !top.exists() || remove_tree(&top) {
                break;
            }
            std::thread::yield_now();
        }
    }
}

/// Removes a cgroup and those below it, from the innermost outwards. `false` if one is in use.
fn remove_tree(top: &Path) -> bool {
    let below = std::fs::read_dir(top).into_iter().flatten().flatten();
    let below: Vec<PathBuf> = below.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    below.iter().all(|path| remove_tree(path)) && std::fs::remove_dir(top).is_ok()
}
