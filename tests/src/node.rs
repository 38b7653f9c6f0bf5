//! A cluster of one real node on a machine of its own: `gantry up`, with containerd and real containers.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use crate::cluster::{Process, beside, ready, start};
use crate::host::{Host, level};
use crate::images::ARCHIVES;
use crate::kubectl::Reachable;
use crate::machine::{ADDRESS, Machine};
pub use crate::user::User;

/// The node's name.
pub const NAME: &str = "node-1";
/// Where its API is.
const LISTEN: &str = "127.0.0.1:6443";

/// A cluster of one node.
pub struct Node {
    /// What serves the API, where the agent is a process apart.
    _server: Option<Process>,
    url: String,
    kubeconfig: PathBuf,
    started_in: Duration,
    host: Host,
}

impl Reachable for Node {
    fn url(&self) -> &str {
        &self.url
    }

    fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    fn command(&self, program: &str) -> Command {
        self.machine().beside(program)
    }
}

impl Node {
    /// `gantry up` on a new machine, with the images of tests loaded.
    ///
    /// # Panics
    /// If it does not start, or the images are not there.
    #[must_use]
    pub fn up() -> Node {
        Node::up_with(&[])
    }

    /// The same with further arguments.
    ///
    /// # Panics
    /// If it does not start, or the images are not there.
    #[must_use]
    pub fn up_with(arguments: &[&str]) -> Node {
        Node::up_on(Machine::new(), arguments)
    }

    /// The same on a machine on which something has been prepared.
    ///
    /// # Panics
    /// If it does not start, or the images are not there.
    #[must_use]
    pub fn up_on(machine: Machine, arguments: &[&str]) -> Node {
        let (url, kubeconfig) = (String::new(), PathBuf::new());
        let mut node = Node { _server: None, url, kubeconfig, started_in: Duration::ZERO, host: host(machine) };
        node.start(arguments);
        node.host.load(&ARCHIVES);
        node
    }

    /// `gantry up -d` on a new machine, with the images of tests loaded.
    ///
    /// # Panics
    /// If it does not start, or the images are not there.
    #[must_use]
    pub fn in_background() -> Node {
        let (url, kubeconfig) = (String::new(), PathBuf::new());
        let host = host(Machine::new());
        let mut node = Node { _server: None, url, kubeconfig, started_in: Duration::ZERO, host };
        node.start_in_background();
        node.host.load(&ARCHIVES);
        node
    }

    /// Has `gantry up -d` start the cluster again.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start_in_background(&mut self) {
        let served = self.host.serve_in_background(LISTEN);
        (self.url, self.kubeconfig, self.started_in) = (served.url, served.kubeconfig, served.started_in);
    }

    /// `gantry up --no-node`, and beside it, on the same machine, `gantry kubelet`, which is given the administrator's
    /// kubeconfig to join with.
    ///
    /// # Panics
    /// If it does not start, or the images are not there.
    #[must_use]
    pub fn joined() -> Node {
        let host = host(Machine::new());
        let mut command = host.machine().command(beside());
        command.args(["up", "--no-node", "--listen", LISTEN, "--data-dir"]);
        command.arg(host.machine().directory().join("cluster")).env("GANTRY_LOG", level());
        let (process, line, started_in) = start(command);
        let (url, kubeconfig) = ready(&line);
        host.join(&kubeconfig, &[]);
        host.load(&ARCHIVES);
        Node { _server: Some(process), url, kubeconfig, started_in, host }
    }

    /// Ends the agent that has joined as a crash does, and starts another.
    ///
    /// # Panics
    /// If it does not run, or does not start.
    pub fn rejoin(&mut self) {
        self.host.kill_agent();
        self.host.join(&self.kubeconfig, &[]);
    }

    /// The kubeconfig that the agent has joined with a certificate for.
    #[must_use]
    pub fn own_kubeconfig(&self) -> PathBuf {
        self.host.own_kubeconfig()
    }

    /// Runs `gantry up`, with what is there of one before.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start(&mut self, arguments: &[&str]) {
        let served = self.host.serve(LISTEN, arguments);
        (self.url, self.kubeconfig, self.started_in) = (served.url, served.kubeconfig, served.started_in);
    }

    /// A command of gantry's on the machine, about its data.
    #[must_use]
    pub fn gantry(&self, arguments: &[&str]) -> Command {
        self.host.gantry(arguments)
    }

    /// Where gantry keeps its files.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.host.data()
    }

    /// Ends `gantry up` as a crash does. Containers and their runtime go on.
    ///
    /// # Panics
    /// If it does not run.
    pub fn kill(&mut self) {
        self.host.kill();
    }

    /// The machine.
    #[must_use]
    pub fn machine(&self) -> &Machine {
        self.host.machine()
    }

    /// From the start until the cluster was ready.
    #[must_use]
    pub fn started_in(&self) -> Duration {
        self.started_in
    }

    /// Runs a program on the machine.
    ///
    /// # Panics
    /// If it cannot be run.
    #[must_use]
    pub fn run(&self, program: &str, arguments: &[&str]) -> Output {
        self.host.run(program, arguments)
    }
}

fn host(machine: Machine) -> Host {
    Host::new(NAME, &[ADDRESS.parse().expect("an address")], machine)
}
