//! What nodes, pods and containers use: collected once for everybody who asks ([`eviction`](crate::eviction),
//! [`server`](crate::server), `kubectl top`).

mod collector;
mod disk;
mod from_runtime;
mod machine;
mod node;
mod proc;
mod rates;

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::Timestamp;

pub use collector::{Cgroups, Collector, Parts, Usage, Volumes, of_machine};
pub use disk::{Used, filesystem, used};
pub use machine::Machine;

/// Where figures come from.
pub trait Source: Send + Sync + 'static {
    /// Figures that are no older than `age`. That may have to wait for them to be collected. What could not be found out is
    /// missing from them.
    fn figures(&self, age: Duration) -> BoxFuture<'_, Arc<Figures>>;
}

/// What is used of a CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cpu {
    /// When it was read.
    pub at: Timestamp,
    /// Nanoseconds of CPU time since the beginning.
    pub total_nanoseconds: u64,
    /// Nanoseconds of CPU time in a second, lately; `None` until it was read twice.
    pub rate: Option<u64>,
}

/// What is used of memory, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// When it was read.
    pub at: Timestamp,
    /// What could still be had: of the node, or below a limit; `None` without a limit.
    pub available: Option<u64>,
    /// All of it, caches included.
    pub usage: u64,
    /// What cannot be taken back at once: usage without inactive file pages.
    pub working_set: u64,
    /// Anonymous memory.
    pub rss: u64,
    /// Faults that were served from memory.
    pub page_faults: u64,
    /// Faults that were served from disk.
    pub major_page_faults: u64,
    /// Swap in use.
    pub swap: Option<u64>,
}

/// How often a limit on CPU time held processes up, since the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Throttling {
    /// Periods in which anything ran.
    pub periods: u64,
    /// Those of them in which all of the limit was used up.
    pub throttled_periods: u64,
    /// For how many nanoseconds processes were held up.
    pub nanoseconds: u64,
}

/// What was read from a block device and written to it, since the beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskTraffic {
    /// The device: `/dev/sda`. A cgroup has only its numbers, `8:0`.
    pub device: String,
    /// Bytes read.
    pub bytes_read: u64,
    /// Bytes written.
    pub bytes_written: u64,
    /// Reads that were done.
    pub reads: u64,
    /// Writes that were done.
    pub writes: u64,
}

impl DiskTraffic {
    /// None yet, of the device of these numbers.
    #[must_use]
    pub fn of(device: &str) -> DiskTraffic {
        DiskTraffic { device: device.to_owned(), ..DiskTraffic::default() }
    }
}

/// A file system, or a part of one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filesystem {
    /// When it was read.
    pub at: Timestamp,
    /// Bytes that are free for others than root.
    pub available: u64,
    /// Bytes in all.
    pub capacity: u64,
    /// Bytes in use by what this is about.
    pub used: u64,
    /// Free inodes.
    pub inodes_free: u64,
    /// Inodes in all.
    pub inodes: u64,
    /// Inodes in use by what this is about.
    pub inodes_used: u64,
}

/// What went through a network interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Bytes received.
    pub received: u64,
    /// Packets that could not be received.
    pub receive_errors: u64,
    /// Bytes sent.
    pub sent: u64,
    /// Packets that could not be sent.
    pub send_errors: u64,
}

/// Processes of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Processes {
    /// When it was read.
    pub at: Timestamp,
    /// How many there may be.
    pub most: u64,
    /// How many there are.
    pub running: u64,
}

/// What a container uses.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ContainerFigures {
    /// Its name in the pod.
    pub name: String,
    /// The runtime's ID.
    pub id: String,
    /// When it was started.
    pub started: Timestamp,
    /// CPU time.
    pub cpu: Option<Cpu>,
    /// How often its limit on CPU time held it up, if it has one.
    pub throttling: Option<Throttling>,
    /// What it read from block devices and wrote to them.
    pub disks: Vec<DiskTraffic>,
    /// Memory.
    pub memory: Option<Memory>,
    /// What it wrote to its own root.
    pub root: Option<Filesystem>,
    /// Its logs.
    pub logs: Option<Filesystem>,
}

/// What a volume of a pod uses.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VolumeFigures {
    /// Its name in the pod.
    pub name: String,
    /// The claim that it stands for.
    pub claim: Option<String>,
    /// What it uses.
    pub filesystem: Filesystem,
    /// Whether its content goes with the pod, so that it counts as the pod's ephemeral storage.
    pub ephemeral: bool,
}

/// What a pod uses.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodFigures {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// When it was started.
    pub started: Timestamp,
    /// Its containers.
    pub containers: Vec<ContainerFigures>,
    /// CPU time of all of it.
    pub cpu: Option<Cpu>,
    /// How often its limit on CPU time held it up, if it has one.
    pub throttling: Option<Throttling>,
    /// What it read from block devices and wrote to them.
    pub disks: Vec<DiskTraffic>,
    /// Memory of all of it.
    pub memory: Option<Memory>,
    /// Its network interfaces; none with the host's network.
    pub network: Vec<Interface>,
    /// Its volumes.
    pub volumes: Vec<VolumeFigures>,
    /// What counts as its ephemeral storage: roots, logs and volumes that go with it.
    pub ephemeral: Option<Filesystem>,
    /// How many processes it has.
    pub processes: Option<u64>,
}

/// What a node uses.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeFigures {
    /// When it was started.
    pub started: Timestamp,
    /// CPU time.
    pub cpu: Option<Cpu>,
    /// Memory; `available` is capacity without the working set.
    pub memory: Option<Memory>,
    /// Its network interfaces.
    pub network: Vec<Interface>,
    /// The file system that the agent's directory is on.
    pub filesystem: Option<Filesystem>,
    /// The file system that images are on.
    pub images: Option<Filesystem>,
    /// Whether images, and what containers write to their roots, are on a file system of their own.
    pub dedicated_images: bool,
    /// Processes.
    pub processes: Option<Processes>,
}

/// All of it, of one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// The node's name.
    pub node_name: String,
    /// The node.
    pub node: NodeFigures,
    /// Its pods.
    pub pods: Vec<PodFigures>,
}
