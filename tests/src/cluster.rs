//! A cluster of real processes to test against: `gantry up`, or its roles apart, over either store, with hollow nodes.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};
use tempfile::TempDir;

use crate::etcd::Etcd;
use crate::kubectl::Reachable;
use crate::server::Backing;

/// How long a process may take until it is ready.
const READY_WITHIN: Duration = Duration::from_secs(120);

/// A running cluster. Dropping it ends its processes and removes what it kept.
pub struct Cluster {
    url: String,
    kubeconfig: PathBuf,
    started_in: Duration,
    // In this order: those who use something end before it.
    processes: Vec<Process>,
    etcd: Option<Etcd>,
    directory: TempDir,
}

/// A process that is ended when this is dropped.
pub struct Process(Child);

impl Process {
    /// One that was started.
    #[must_use]
    pub fn of(child: Child) -> Process {
        Process(child)
    }

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

/// How the processes of a cluster are started.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The program.
    pub binary: PathBuf,
    /// What it logs to standard error.
    pub log_level: String,
    /// What objects are kept in.
    pub backing: Backing,
    /// How many hollow nodes there are.
    pub nodes: usize,
    /// What else `gantry up` is told.
    pub arguments: Vec<String>,
}

impl Setup {
    /// The binary that was built with this program. It logs warnings.
    ///
    /// # Panics
    /// If there is no such binary.
    #[must_use]
    pub fn new(backing: Backing, nodes: usize) -> Setup {
        Setup { binary: beside(), log_level: "warn".to_owned(), backing, nodes, arguments: Vec::new() }
    }

    /// `gantry up`.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn up(&self) -> Cluster {
        self.up_in(tempfile::tempdir().expect("a temporary directory"))
    }

    /// `gantry up`, with what a cluster before left in `directory`.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn up_in(&self, directory: TempDir) -> Cluster {
        let etcd = start_etcd(self.backing, directory.path());
        let mut command = self.command("up");
        command.args(["--no-node", "--hollow-nodes", &self.nodes.to_string()]).args(&self.arguments);
        serve(&mut command, directory.path(), etcd.as_ref());
        let (process, line, started_in) = start(command);
        let (url, kubeconfig) = ready(&line);
        Cluster { url, kubeconfig, started_in, processes: vec![process], etcd, directory }
    }

    /// `gantry apiserver`, `gantry controller-manager`, `gantry scheduler` and `gantry hollow`, each a process of its own.
    ///
    /// # Panics
    /// If one of them does not start.
    #[must_use]
    pub fn apart(&self) -> Cluster {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let etcd = start_etcd(self.backing, directory.path());
        let mut command = self.command("apiserver");
        serve(&mut command, directory.path(), etcd.as_ref());
        let (server, line, started_in) = start(command);
        let (url, kubeconfig) = ready(&line);
        let mut command = self.command("controller-manager");
        command.arg("--kubeconfig").arg(kubeconfig.with_file_name("controller-manager.kubeconfig"));
        let (controllers, ..) = start(command);
        let mut command = self.command("scheduler");
        command.arg("--kubeconfig").arg(kubeconfig.with_file_name("scheduler.kubeconfig"));
        let (scheduler, ..) = start(command);
        let mut command = self.command("hollow");
        command.arg("--kubeconfig").arg(&kubeconfig).args(["--nodes", &self.nodes.to_string()]);
        let (hollow, ..) = start(command);
        let processes = vec![controllers, scheduler, hollow, server];
        Cluster { url, kubeconfig, started_in, processes, etcd, directory }
    }

    fn command(&self, role: &str) -> Command {
        let mut command = Command::new(&self.binary);
        command.arg(role).env("GANTRY_LOG", &self.log_level);
        command
    }
}

impl Cluster {
    /// `gantry up`, with so many hollow nodes.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn up(backing: Backing, nodes: usize) -> Cluster {
        Setup::new(backing, nodes).up()
    }

    /// The same, each role a process of its own.
    ///
    /// # Panics
    /// If one of them does not start.
    #[must_use]
    pub fn apart(backing: Backing, nodes: usize) -> Cluster {
        Setup::new(backing, nodes).apart()
    }

    /// Kills the controllers of a cluster whose roles are processes of their own.
    pub fn end_controllers(&mut self) {
        drop(self.processes.remove(0));
    }

    /// Runs controllers whose leader holds its Lease for so many seconds, and waits until they are ready.
    ///
    /// # Panics
    /// If they do not start.
    #[must_use]
    pub fn add_controllers(&self, lease: u64) -> Process {
        start(self.controllers(lease)).0
    }

    /// The same, and does not wait: it may be long until they lead.
    ///
    /// # Panics
    /// If they do not start.
    #[must_use]
    pub fn stand_by(&self, lease: u64) -> Process {
        let mut command = self.controllers(lease);
        Process(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("gantry runs"))
    }

    fn controllers(&self, lease: u64) -> Command {
        let mut command = Command::new(beside());
        let kubeconfig = self.kubeconfig.with_file_name("controller-manager.kubeconfig");
        command.arg("controller-manager").arg("--kubeconfig").arg(kubeconfig).env("GANTRY_LOG", "warn");
        command.args(["--leader-elect-lease-duration", &lease.to_string()]);
        command
    }

    /// The IDs of the processes.
    #[must_use]
    pub fn processes(&self) -> Vec<u32> {
        self.processes.iter().map(Process::id).collect()
    }

    /// From the start of the process that serves the API until it said that it was ready.
    #[must_use]
    pub fn started_in(&self) -> Duration {
        self.started_in
    }

    /// A client with the rights of the administrator, over TLS.
    ///
    /// # Panics
    /// If the cluster's kubeconfig is of no use.
    pub async fn client(&self) -> Client {
        let config = Kubeconfig::read_from(&self.kubeconfig).expect("a kubeconfig");
        let options = KubeConfigOptions::default();
        let config = kube::Config::from_custom_kubeconfig(config, &options).await.expect("a context");
        Client::try_from(config).expect("a client")
    }

    /// Asks the processes to end, waits until they have, and leaves their files to whoever starts them again.
    ///
    /// # Panics
    /// If one of them fails at its end.
    #[must_use]
    pub fn stop(mut self) -> TempDir {
        for process in &mut self.processes {
            let asked = Command::new("kill").arg(process.0.id().to_string()).status();
            assert!(asked.is_ok_and(|status| status.success()), "a process of the cluster has ended by itself");
            assert!(process.0.wait().is_ok_and(|status| status.success()), "a process of the cluster failed");
        }
        self.kill()
    }

    /// Ends the processes as a crash does, and leaves their files to whoever starts them again.
    #[must_use]
    pub fn kill(self) -> TempDir {
        let Cluster { processes, etcd, directory, .. } = self;
        drop((processes, etcd));
        directory
    }
}

fn start_etcd(backing: Backing, directory: &Path) -> Option<Etcd> {
    let start = || Etcd::start(&directory.join("etcd")).expect("etcd starts: `make deps` installs it");
    (backing == Backing::Etcd).then(start)
}

/// The binary that was built with this program: it is two directories above.
pub(crate) fn beside() -> PathBuf {
    let here = std::env::current_exe().expect("a program knows where it is");
    let binary = here.ancestors().nth(2).expect("it is in a target directory").join("gantry");
    assert!(binary.exists(), "{} is not there: run `cargo build -p gantry`", binary.display());
    binary
}

fn serve(command: &mut Command, directory: &Path, etcd: Option<&Etcd>) {
    command.arg("--data-dir").arg(directory.join("data")).args(["--listen", "127.0.0.1:0"]);
    if let Some(etcd) = etcd {
        command.args(["--store", "etcd", "--etcd-servers", &etcd.endpoint]);
    }
}

/// Starts a process and waits for the line in which it says that it is ready, and takes the time until then.
pub(crate) fn start(mut command: Command) -> (Process, String, Duration) {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    let begin = Instant::now();
    let mut child = command.spawn().expect("gantry runs");
    let mut output = BufReader::new(child.stdout.take().expect("it was piped"));
    let process = Process(child);
    let (said, hears) = mpsc::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        let _ = output.read_line(&mut line);
        let _ = said.send((line, begin.elapsed()));
        // What else it says is of no interest, and must not keep it waiting.
        let _ = std::io::copy(&mut output, &mut std::io::sink());
    });
    let (line, started_in) = hears.recv_timeout(READY_WITHIN).unwrap_or_default();
    assert!(line.contains(" is ready"), "{command:?} said {line:?}");
    (process, line, started_in)
}

/// The address and the kubeconfig in the line that a server writes when it is ready.
pub(crate) fn ready(line: &str) -> (String, PathBuf) {
    let (before, kubeconfig) = line.trim().split_once("; KUBECONFIG=").expect("it names its kubeconfig");
    let (_, url) = before.split_once(" at ").expect("it names its address");
    (url.to_owned(), kubeconfig.into())
}
