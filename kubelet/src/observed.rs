//! What a runtime has of a pod, as the rest of the agent sees it: read once, sorted, and with times and addresses decoded.

use std::net::IpAddr;

use jiff::Timestamp;

/// What a runtime has of a pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RuntimePod {
    /// Its sandboxes, the newest first. At most one is ready, unless something went wrong.
    pub sandboxes: Vec<Sandbox>,
    /// Its containers, whatever sandbox they are or were in, the newest first.
    pub containers: Vec<RuntimeContainer>,
}

/// A sandbox.
#[derive(Clone, Debug, PartialEq)]
pub struct Sandbox {
    /// The runtime's ID.
    pub id: String,
    /// How many there were of this pod before.
    pub attempt: u32,
    /// When it was made.
    pub created: Timestamp,
    /// Whether it runs.
    pub ready: bool,
    /// The pod's addresses, unless it has the host's network or the sandbox is not ready.
    pub addresses: Vec<IpAddr>,
    /// Whether the pod shares the host's network, as the runtime has it.
    pub host_network: bool,
}

/// How far a container has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ContainerState {
    /// Made, and not started.
    Created,
    /// Started, and not ended.
    Running,
    /// Ended.
    Exited,
    /// The runtime does not know.
    #[default]
    Unknown,
}

/// A container.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RuntimeContainer {
    /// The runtime's ID, without the runtime's name.
    pub id: String,
    /// Its name in the pod.
    pub name: String,
    /// The sandbox that it is in.
    pub sandbox: String,
    /// How many there were of this name before.
    pub attempt: u32,
    /// How far it has come.
    pub state: ContainerState,
    /// When it was made.
    pub created: Timestamp,
    /// When it was started.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub finished: Option<Timestamp>,
    /// What it ended with.
    pub exit_code: i32,
    /// Why it ended, in the runtime's word: `Completed`, `Error`, `OOMKilled`, …
    pub reason: String,
    /// What it left to be said, or what the runtime says of its end.
    pub message: String,
    /// The image that it was made from, as the runtime was asked for it.
    pub image: String,
    /// The image's ID at the runtime, which `imageID` in statuses says.
    pub image_id: String,
    /// A fingerprint of what the pod said of the container when it was made (`io.kubernetes.container.hash`).
    pub hash: String,
    /// Where it writes, on the node.
    pub log_path: String,
    /// Which user runs its first process, if the runtime says so.
    pub user: Option<LinuxUser>,
    /// What it may use, if the runtime says so.
    pub resources: Option<AppliedResources>,
}

/// Who a container's first process is run by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinuxUser {
    /// The user.
    pub uid: i64,
    /// Its group.
    pub gid: i64,
    /// Its further groups.
    pub supplemental_groups: Vec<i64>,
}

/// What a container may use, as the kernel has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AppliedResources {
    /// `cpu.shares`, or the same from `cpu.weight`.
    pub cpu_shares: Option<i64>,
    /// Microseconds of CPU time in a period; -1 for no limit.
    pub cpu_quota: Option<i64>,
    /// The period, in microseconds.
    pub cpu_period: Option<i64>,
    /// Bytes; 0 or -1 for no limit.
    pub memory_limit: Option<i64>,
}

impl RuntimePod {
    /// The sandbox that the pod lives in now: the newest, ready or not.
    #[must_use]
    pub fn sandbox(&self) -> Option<&Sandbox> {
        self.sandboxes.first()
    }

    /// The newest container of a name.
    #[must_use]
    pub fn container(&self, name: &str) -> Option<&RuntimeContainer> {
        self.containers.iter().find(|container| container.name == name)
    }

    /// The containers of a name, the newest first.
    pub fn attempts<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a RuntimeContainer> {
        self.containers.iter().filter(move |container| container.name == name)
    }

    /// Whether anything of it runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.sandboxes.iter().any(|sandbox| sandbox.ready)
            || self.containers.iter().any(|container| container.state == ContainerState::Running)
    }
}

/// What probes say of a container. What is `None` has not been found out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Probed {
    /// Whether its startup probe has succeeded.
    pub startup: Option<bool>,
    /// Whether its liveness probe succeeds.
    pub liveness: Option<bool>,
    /// Whether its readiness probe succeeds.
    pub readiness: Option<bool>,
}
