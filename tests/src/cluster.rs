//! A cluster of real processes to test against: `gantry up`, or its roles apart, over either store, with hollow nodes.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::etcd::Etcd;
use crate::kubectl::Reachable;
use crate::server::Backing;

/// A running cluster. Dropping it ends its processes and removes what it kept.
pub struct Cluster {
    url: String,
    kubeconfig: PathBuf,
    // In this order: those who use something end before it.
    processes: Vec<Process>,
    _etcd: Option<Etcd>,
    _directory: TempDir,
}

/// A process that is ended when this is dropped.
pub struct Process(Child);

impl Process {
    /// Its ID.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Reachable for Cluster {
    fn url(&self) -> &str {
        &self.url
    }

    fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }
}

impl Cluster {
    /// `gantry up`, with so many hollow nodes.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn up(backing: Backing, nodes: usize) -> Cluster {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let etcd = start_etcd(backing, directory.path());
        let mut command = gantry();
        command.arg("up").args(["--hollow-nodes", &nodes.to_string()]);
        serve(&mut command, directory.path(), etcd.as_ref());
        let (process, line) = start(command);
        let (url, kubeconfig) = ready(&line);
        Cluster { url, kubeconfig, processes: vec![process], _etcd: etcd, _directory: directory }
    }

    /// `gantry apiserver`, `gantry controller-manager` and `gantry hollow`, each a process of its own.
    ///
    /// # Panics
    /// If one of them does not start.
    #[must_use]
    pub fn apart(backing: Backing, nodes: usize) -> Cluster {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let etcd = start_etcd(backing, directory.path());
        let mut command = gantry();
        command.arg("apiserver");
        serve(&mut command, directory.path(), etcd.as_ref());
        let (server, line) = start(command);
        let (url, kubeconfig) = ready(&line);
        let (controllers, _) = start(controllers(&kubeconfig));
        let mut command = gantry();
        command.arg("hollow").arg("--kubeconfig").arg(&kubeconfig).args(["--nodes", &nodes.to_string()]);
        let (hollow, _) = start(command);
        let processes = vec![controllers, hollow, server];
        Cluster { url, kubeconfig, processes, _etcd: etcd, _directory: directory }
    }

    /// Ends the controllers of a cluster whose roles are processes of their own.
    pub fn end_controllers(&mut self) {
        drop(self.processes.remove(0));
    }

    /// Runs controllers whose leader holds its Lease for so many seconds, and waits until they are ready.
    ///
    /// # Panics
    /// If they do not start.
    #[must_use]
    pub fn add_controllers(&self, lease: u64) -> Process {
        start(with_lease(&self.kubeconfig, lease)).0
    }

    /// The same, and does not wait: it may be long until they lead.
    ///
    /// # Panics
    /// If they do not start.
    #[must_use]
    pub fn stand_by(&self, lease: u64) -> Process {
        let mut command = with_lease(&self.kubeconfig, lease);
        Process(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("gantry runs"))
    }
}

fn controllers(kubeconfig: &Path) -> Command {
    let mut command = gantry();
    let of_controllers = kubeconfig.with_file_name("controller-manager.kubeconfig");
    command.arg("controller-manager").arg("--kubeconfig").arg(of_controllers);
    command
}

fn with_lease(kubeconfig: &Path, lease: u64) -> Command {
    let mut command = controllers(kubeconfig);
    command.args(["--leader-elect-lease-duration", &lease.to_string()]).env("GANTRY_LOG", "warn");
    command
}

fn start_etcd(backing: Backing, directory: &Path) -> Option<Etcd> {
    let start = || Etcd::start(&directory.join("etcd")).expect("etcd starts: `make deps` installs it");
    (backing == Backing::Etcd).then(start)
}

/// The binary that was built with this test: it is two directories above.
fn gantry() -> Command {
    let here = std::env::current_exe().expect("a test knows where it is");
    let binary = here.ancestors().nth(2).expect("it is in a target directory").join("gantry");
    assert!(binary.exists(), "{} is not there: run `cargo build -p gantry`", binary.display());
    Command::new(binary)
}

fn serve(command: &mut Command, directory: &Path, etcd: Option<&Etcd>) {
    command.arg("--data-dir").arg(directory.join("data")).args(["--listen", "127.0.0.1:0"]);
    if let Some(etcd) = etcd {
        command.args(["--store", "etcd", "--etcd-servers", &etcd.endpoint]);
    }
}

/// Starts a process and waits for the line in which it says that it is ready.
fn start(mut command: Command) -> (Process, String) {
    command.env("GANTRY_LOG", "warn").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    let mut child = command.spawn().expect("gantry runs");
    let mut output = BufReader::new(child.stdout.take().expect("it was piped"));
    let process = Process(child);
    let mut line = String::new();
    output.read_line(&mut line).expect("gantry writes to its standard output");
    assert!(line.contains(" is ready"), "{command:?} said {line:?}");
    // What else it says is of no interest, and must not keep it waiting.
    std::thread::spawn(move || drop(output.read_to_end(&mut Vec::new())));
    (process, line)
}

/// The address and the kubeconfig in the line that a server writes when it is ready.
fn ready(line: &str) -> (String, PathBuf) {
    let (before, kubeconfig) = line.trim().split_once("; KUBECONFIG=").expect("it names its kubeconfig");
    let (_, url) = before.split_once(" at ").expect("it names its address");
    (url.to_owned(), kubeconfig.into())
}
