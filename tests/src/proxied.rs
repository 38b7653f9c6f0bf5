//! Services without nodes or pods: on a machine of their own, `gantry up --no-node` and, beside it, `gantry proxy` for a node
//! that is there for the API only. What endpoints there are is for whoever writes them.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cluster::{Process, beside, ready, start};
use crate::host::level;
use crate::kubectl::Reachable;
use crate::machine::Machine;

/// The node's name.
pub const NODE: &str = "node-1";

/// An API server, and what makes Services reachable on the machine.
pub struct Proxied {
    url: String,
    kubeconfig: PathBuf,
    // In this order: who uses something ends before it.
    proxy: Option<Process>,
    _server: Process,
    machine: Machine,
}

impl Reachable for Proxied {
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

impl Proxied {
    /// `gantry up --no-node` on a new machine.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn up() -> Proxied {
        let machine = Machine::new();
        let mut command = machine.command(beside());
        command.args(["up", "--no-node", "--listen", "127.0.0.1:6443", "--data-dir"]);
        command.arg(machine.directory().join("data")).env("GANTRY_LOG", level());
        let (server, line, _) = start(command);
        let (url, kubeconfig) = ready(&line);
        Proxied { url, kubeconfig, proxy: None, _server: server, machine }
    }

    /// Runs `gantry proxy` for the node [`NODE`], which has to be there.
    ///
    /// # Panics
    /// If it does not start.
    pub fn begin(&mut self) {
        let mut command = self.machine.command(beside());
        command.args(["proxy", "--node-name", NODE, "--kubeconfig"]).arg(&self.kubeconfig).env("GANTRY_LOG", level());
        self.proxy = Some(start(command).0);
    }

    /// The machine.
    #[must_use]
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// The ID of `gantry proxy`, as it is outside of the machine.
    ///
    /// # Panics
    /// If it does not run.
    #[must_use]
    pub fn process(&self) -> u32 {
        let is_it = |process: &u32| {
            let line = std::fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
            line.split(|byte| *byte == 0).nth(1) == Some(b"proxy")
        };
        self.machine.processes("gantry").into_iter().find(is_it).expect("gantry proxy runs")
    }
}
