//! A machine that is a node of a cluster, by `gantry up` or by `gantry kubelet`, with a containerd and images of its own.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use parking_lot::Mutex;

use crate::cluster::{Process, beside, ready, start};
use crate::images::archives;
use crate::machine::Machine;

/// A machine that is a node, or is to be one.
pub struct Host {
    name: String,
    addresses: Vec<IpAddr>,
    process: Mutex<Option<Process>>,
    machine: Machine,
}

/// A cluster that a host serves.
pub struct Served {
    /// Where its API is.
    pub url: String,
    /// The administrator's kubeconfig.
    pub kubeconfig: PathBuf,
    /// From the start until it was ready.
    pub started_in: Duration,
}

impl Host {
    /// A machine that is to be a node of this name, with these addresses.
    #[must_use]
    pub fn new(name: &str, addresses: &[IpAddr], machine: Machine) -> Host {
        Host { name: name.to_owned(), addresses: addresses.to_vec(), process: Mutex::new(None), machine }
    }

    /// The node's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The node's address, and a second one, where there are two families.
    #[must_use]
    pub fn addresses(&self) -> &[IpAddr] {
        &self.addresses
    }

    /// The machine.
    #[must_use]
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Runs `gantry up`, with what is there of one before.
    ///
    /// # Panics
    /// If it does not start.
    pub fn serve(&self, listen: &str, arguments: &[&str]) -> Served {
        let mut command = self.gantry(&["up", "--listen", listen]);
        self.describe(&mut command);
        command.args(arguments);
        let (process, line, started_in) = start(command);
        *self.process.lock() = Some(process);
        let (url, kubeconfig) = ready(&line);
        Served { url, kubeconfig, started_in }
    }

    /// Has `gantry up -d` start a cluster, which goes on by itself, with what is there of one before.
    ///
    /// # Panics
    /// If it does not start.
    pub fn serve_in_background(&self, listen: &str) -> Served {
        let mut command = self.gantry(&["up", "-d", "--listen", listen]);
        self.describe(&mut command);
        let begin = std::time::Instant::now();
        let output = command.output().expect("gantry runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        let (url, kubeconfig) = ready(said.lines().next().expect("it says that it is ready"));
        Served { url, kubeconfig, started_in: begin.elapsed() }
    }

    /// Runs `gantry kubelet`, which is given a kubeconfig to join with.
    ///
    /// # Panics
    /// If it does not start.
    pub fn join(&self, bootstrap: &Path, arguments: &[&str]) {
        let mut command = self.gantry(&["kubelet"]);
        command.arg("--bootstrap-kubeconfig").arg(bootstrap).arg("--kubeconfig").arg(self.own_kubeconfig());
        self.describe(&mut command);
        command.args(arguments);
        *self.process.lock() = Some(start(command).0);
    }

    /// Runs a line that somebody was given to join a cluster with, as a shell does; what it leaves to be chosen is said
    /// behind it. Waits until the machine is a node.
    ///
    /// # Panics
    /// If it does not become one.
    pub fn join_by(&self, line: &str) {
        *self.process.lock() = Some(start(self.joining(line)).0);
    }

    /// The same, where it is to fail.
    ///
    /// # Panics
    /// If it cannot be run.
    #[must_use]
    pub fn fail_to_join_by(&self, line: &str) -> Output {
        self.joining(line).output().expect("a shell can be run")
    }

    fn joining(&self, line: &str) -> Command {
        let binary = beside();
        let programs = binary.parent().expect("a program is in a directory").display();
        let mut command = self.machine.command("sh");
        command.args(["-c", &format!("PATH={programs}:$PATH; exec {line} \"$@\""), "sh", "--data-dir"]);
        command.arg(self.data());
        self.describe(&mut command);
        command
    }

    /// What both ways to start a node have to be told of it.
    fn describe(&self, command: &mut Command) {
        let addresses: Vec<String> = self.addresses.iter().map(IpAddr::to_string).collect();
        command.args(["--node-name", &self.name, "--node-ip", &addresses.join(","), "--cgroup-root"]);
        command.arg(format!("/{}", self.machine.cgroup()));
        // Tests run on full disks, too.
        command.args(["--eviction-hard", "memory.available<100Mi"]).env("GANTRY_LOG", level());
    }

    /// The kubeconfig that the agent has joined with a certificate for.
    #[must_use]
    pub fn own_kubeconfig(&self) -> PathBuf {
        self.machine.directory().join("own.kubeconfig")
    }

    /// Loads images of tests into the node's runtime.
    ///
    /// # Panics
    /// If they are not there, or cannot be loaded.
    pub fn load(&self, images: &[&str]) {
        for image in images {
            let archive = archives().join(image);
            let loaded = self.gantry(&["image", "load"]).arg(&archive).output().expect("gantry runs");
            assert!(loaded.status.success(), "{}: {}", archive.display(), String::from_utf8_lossy(&loaded.stderr));
        }
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

    /// Ends all of gantry on the machine as a crash does. Containers and their runtime go on.
    ///
    /// # Panics
    /// If none of it runs.
    pub fn kill(&self) {
        self.kill_all("-x", "gantry");
    }

    /// The same for the agent that has joined, if something else of gantry's is to go on.
    ///
    /// # Panics
    /// If it does not run.
    pub fn kill_agent(&self) {
        self.kill_all("-f", "gantry kubelet");
    }

    fn kill_all(&self, by: &str, pattern: &str) {
        // What was started here is only what brought it into the machine.
        let killed = self.run("pkill", &["-KILL", by, pattern]);
        assert!(killed.status.success(), "{pattern} has ended by itself");
        // It has its address and its locks until the kernel has taken it apart.
        while self.run("pgrep", &[by, pattern]).status.success() {
            std::thread::yield_now();
        }
        *self.process.lock() = None;
    }

    /// What there is of the network that nobody has but the machine: its devices, addresses, routes and tables of the packet
    /// filter.
    ///
    /// # Panics
    /// If it does not say.
    #[must_use]
    pub fn network(&self) -> String {
        // Of a device its number may differ, and of an address for how long it is valid.
        let script = "ip -o link | sed 's/@.*//; s/^[0-9]*: //' | cut -d: -f1 && ip -o address | awk '{print $2, $4}' && \
                      ip route && ip -6 route && ip rule && ip -6 rule && nft list tables";
        let output = self.run("sh", &["-c", script]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
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
pub(crate) fn level() -> String {
    std::env::var("GANTRY_LOG").unwrap_or_else(|_| "warn".to_owned())
}
