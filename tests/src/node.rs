//! A cluster of one real node on a machine of its own: `gantry up`, with containerd and real containers.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use crate::cluster::{Process, beside, ready, start};
use crate::images::{ARCHIVES, archives};
use crate::kubectl::{Kubectl, Reachable};
use crate::machine::{ADDRESS, Machine};

/// The node's name.
pub const NAME: &str = "node-1";

/// A cluster of one node.
pub struct Node {
    gantry: Option<Process>,
    /// The agent, where it is a process apart.
    agent: Option<Process>,
    url: String,
    kubeconfig: PathBuf,
    started_in: Duration,
    machine: Machine,
}

impl Reachable for Node {
    fn url(&self) -> &str {
        &self.url
    }

    fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    fn command(&self, program: &str) -> Command {
        self.machine.beside(program)
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
        let (url, kubeconfig) = (String::new(), PathBuf::new());
        let machine = Machine::new();
        let mut node = Node { gantry: None, agent: None, url, kubeconfig, started_in: Duration::ZERO, machine };
        node.start(arguments);
        node.load_images();
        node
    }

    /// `gantry up --no-node`, and beside it, on the same machine, `gantry kubelet`, which is given the administrator's
    /// kubeconfig to join with.
    ///
    /// # Panics
    /// If it does not start, or the images are not there.
    #[must_use]
    pub fn joined() -> Node {
        let machine = Machine::new();
        let mut command = machine.command(beside());
        command.args(["up", "--no-node", "--listen", "127.0.0.1:6443", "--data-dir"]);
        command.arg(machine.directory().join("cluster")).env("GANTRY_LOG", level());
        let (process, line, started_in) = start(command);
        let (url, kubeconfig) = ready(&line);
        let mut node = Node { gantry: Some(process), agent: None, url, kubeconfig, started_in, machine };
        node.join();
        node.load_images();
        node
    }

    /// Ends the agent that has joined as a crash does, and starts another.
    ///
    /// # Panics
    /// If it does not run, or does not start.
    pub fn rejoin(&mut self) {
        let killed = self.run("pkill", &["-KILL", "-f", "gantry kubelet"]);
        assert!(killed.status.success(), "the agent has ended by itself");
        self.agent = None;
        self.join();
    }

    /// The kubeconfig that the agent has joined with a certificate for.
    #[must_use]
    pub fn own_kubeconfig(&self) -> PathBuf {
        self.machine.directory().join("own.kubeconfig")
    }

    fn join(&mut self) {
        let mut command = self.gantry(&["kubelet"]);
        command.arg("--bootstrap-kubeconfig").arg(&self.kubeconfig).arg("--kubeconfig").arg(self.own_kubeconfig());
        self.describe_node(&mut command);
        self.agent = Some(start(command).0);
    }

    fn load_images(&self) {
        for image in ARCHIVES {
            let archive = archives().join(image);
            let loaded = self.gantry(&["image", "load"]).arg(&archive).output().expect("gantry runs");
            assert!(loaded.status.success(), "{}: {}", archive.display(), String::from_utf8_lossy(&loaded.stderr));
        }
    }

    /// Runs `gantry up`, with what is there of one before.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start(&mut self, arguments: &[&str]) {
        let mut command = self.gantry(&["up", "--listen", "127.0.0.1:6443"]);
        self.describe_node(&mut command);
        command.args(arguments);
        let (process, line, started_in) = start(command);
        (self.url, self.kubeconfig) = ready(&line);
        (self.gantry, self.started_in) = (Some(process), started_in);
    }

    /// What both ways to start a node have to be told of it.
    fn describe_node(&self, command: &mut Command) {
        command.args(["--node-name", NAME, "--node-ip", ADDRESS, "--cgroup-root"]);
        command.arg(format!("/{}", self.machine.cgroup()));
        // Tests run on full disks, too.
        command.args(["--eviction-hard", "memory.available<100Mi"]).env("GANTRY_LOG", level());
    }

    /// A command of gantry's on the machine, about its data.
    #[must_use]
    pub fn gantry(&self, arguments: &[&str]) -> Command {
        let mut command = self.machine.command(beside());
        command.args(arguments).arg("--data-dir").arg(self.data());
        command
    }

    /// Where gantry keeps its files.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.machine.directory().join("data")
    }

    /// Ends `gantry up` as a crash does. Containers and their runtime go on.
    ///
    /// # Panics
    /// If it does not run.
    pub fn kill(&mut self) {
        // What was started here is only what brought it into the machine.
        let killed = self.run("pkill", &["-KILL", "-x", "gantry"]);
        assert!(killed.status.success(), "gantry has ended by itself");
        // It has its address and its locks until the kernel has taken it apart.
        while self.run("pgrep", &["-x", "gantry"]).status.success() {
            std::thread::yield_now();
        }
        self.gantry = None;
    }

    /// The machine.
    #[must_use]
    pub fn machine(&self) -> &Machine {
        &self.machine
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
        self.machine.command(program).args(arguments).output().expect("it can be run")
    }
}

/// How much nodes say of what they do.
fn level() -> String {
    std::env::var("GANTRY_LOG").unwrap_or_else(|_| "warn".to_owned())
}

/// A user of a node's cluster, in a namespace of their own.
pub struct User<'a> {
    kubectl: Kubectl<&'a Node>,
    namespace: String,
}

impl Reachable for &Node {
    fn url(&self) -> &str {
        (**self).url()
    }

    fn kubeconfig(&self) -> &Path {
        (**self).kubeconfig()
    }

    fn command(&self, program: &str) -> Command {
        (**self).command(program)
    }
}

impl<'a> User<'a> {
    /// A user with a new namespace.
    ///
    /// # Panics
    /// If it cannot be made.
    #[must_use]
    pub fn of(node: &'a Node, namespace: &str) -> User<'a> {
        let user = User { kubectl: Kubectl::to(node), namespace: namespace.to_owned() };
        user.ok(&format!("create namespace {namespace}"));
        // Pods need the account, which a controller makes.
        user.ok("wait --for=create serviceaccount/default --timeout=60s");
        user
    }

    /// A user of a namespace that is there.
    ///
    /// # Panics
    /// If there is no kubectl.
    #[must_use]
    pub fn known(node: &'a Node, namespace: &str) -> User<'a> {
        User { kubectl: Kubectl::to(node), namespace: namespace.to_owned() }
    }

    /// The node.
    #[must_use]
    pub fn node(&self) -> &Node {
        self.kubectl.server
    }

    /// The namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// A kubectl that has not been started.
    #[must_use]
    pub fn command(&self, line: &str) -> Command {
        self.kubectl.command(&format!("-n {} {line}", self.namespace))
    }

    /// Runs kubectl, which has to succeed, and returns what it wrote to standard output.
    ///
    /// # Panics
    /// If it fails.
    pub fn ok(&self, line: &str) -> String {
        let output = self.command(line).output().expect("kubectl can be run");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "kubectl {line}: {text}{error}");
        text
    }

    /// Waits until kubectl writes what `is_so` wants.
    ///
    /// # Panics
    /// If it does not within a minute.
    pub fn until(&self, line: &str, is_so: impl Fn(&str) -> bool) -> String {
        let began = std::time::Instant::now();
        loop {
            let text = self.ok(line);
            if is_so(&text) {
                return text;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "kubectl {line}: {text}");
        }
    }

    /// Runs kubectl, which has to fail, and returns what it wrote to standard error.
    ///
    /// # Panics
    /// If it succeeds.
    pub fn fails(&self, line: &str) -> String {
        let output = self.command(line).output().expect("kubectl can be run");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "kubectl {line}: {}", String::from_utf8_lossy(&output.stdout));
        error
    }

    /// Makes objects.
    ///
    /// # Panics
    /// If they are refused.
    pub fn apply(&self, manifest: &serde_json::Value) {
        let name = format!("{}.json", manifest["metadata"]["name"].as_str().unwrap_or("list"));
        self.kubectl.file(&name, &manifest.to_string());
        self.ok(&format!("apply -f {name}"));
    }

    /// Writes a file where kubectl runs.
    pub fn file(&self, name: &str, content: &str) {
        self.kubectl.file(name, content);
    }

    /// Where kubectl runs.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.kubectl.directory()
    }

    /// Waits until something of an object is so (`kubectl wait --for`).
    ///
    /// # Panics
    /// If it does not become so.
    pub fn wait(&self, object: &str, what: &str) {
        self.ok(&format!("wait {object} --for={what} --timeout=120s"));
    }

    /// A part of an object.
    ///
    /// # Panics
    /// If it cannot be had.
    pub fn get(&self, object: &str, path: &str) -> String {
        self.ok(&format!("get {object} -o 'jsonpath={{{path}}}'"))
    }
}
