//! `/stats/summary`: all figures, as JSON of upstream's `stats/v1alpha1`.
//!
//! What is not known is left out. Times are in whole seconds, as the API writes them.

use jiff::Timestamp;
use serde::Serialize;

use crate::stats;

/// Upstream's name of the interface that a pod's figures of network are those of, beside all of them.
const DEFAULT_INTERFACE: &str = "eth0";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Summary<'a> {
    node: Node<'a>,
    pods: Vec<Pod<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Node<'a> {
    node_name: &'a str,
    #[serde(with = "time")]
    start_time: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu: Option<Cpu>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory: Option<Memory>,
    #[serde(skip_serializing_if = "Option::is_none")]
    network: Option<Network<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fs: Option<Filesystem>,
    #[serde(skip_serializing_if = "Option::is_none")]
    runtime: Option<Runtime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rlimit: Option<Rlimit>,
    #[serde(skip_serializing_if = "Option::is_none")]
    swap: Option<Swap>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Pod<'a> {
    pod_ref: PodReference<'a>,
    #[serde(with = "time")]
    start_time: Timestamp,
    containers: Vec<Container<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu: Option<Cpu>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory: Option<Memory>,
    #[serde(skip_serializing_if = "Option::is_none")]
    network: Option<Network<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    volume: Vec<Volume<'a>>,
    #[serde(rename = "ephemeral-storage", skip_serializing_if = "Option::is_none")]
    ephemeral_storage: Option<Filesystem>,
    #[serde(rename = "process_stats", skip_serializing_if = "Option::is_none")]
    process_stats: Option<ProcessStats>,
    #[serde(skip_serializing_if = "Option::is_none")]
    swap: Option<Swap>,
}

#[derive(Serialize)]
struct PodReference<'a> {
    name: &'a str,
    namespace: &'a str,
    uid: &'a str,
}

#[derive(Serialize)]
struct ProcessStats {
    process_count: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Container<'a> {
    name: &'a str,
    #[serde(with = "time")]
    start_time: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu: Option<Cpu>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory: Option<Memory>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rootfs: Option<Filesystem>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logs: Option<Filesystem>,
    #[serde(skip_serializing_if = "Option::is_none")]
    swap: Option<Swap>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Cpu {
    #[serde(with = "time")]
    time: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage_nano_cores: Option<u64>,
    usage_core_nano_seconds: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Memory {
    #[serde(with = "time")]
    time: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    available_bytes: Option<u64>,
    usage_bytes: u64,
    working_set_bytes: u64,
    rss_bytes: u64,
    page_faults: u64,
    major_page_faults: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Swap {
    #[serde(with = "time")]
    time: Timestamp,
    swap_usage_bytes: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Network<'a> {
    #[serde(with = "time")]
    time: Timestamp,
    #[serde(flatten)]
    default: Option<Interface<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    interfaces: Vec<Interface<'a>>,
}

#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
struct Interface<'a> {
    name: &'a str,
    rx_bytes: u64,
    rx_errors: u64,
    tx_bytes: u64,
    tx_errors: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Filesystem {
    #[serde(with = "time")]
    time: Timestamp,
    available_bytes: u64,
    capacity_bytes: u64,
    used_bytes: u64,
    inodes_free: u64,
    inodes: u64,
    inodes_used: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Volume<'a> {
    #[serde(flatten)]
    filesystem: Filesystem,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pvc_ref: Option<ClaimReference<'a>>,
}

#[derive(Serialize)]
struct ClaimReference<'a> {
    name: &'a str,
    namespace: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Runtime {
    image_fs: Filesystem,
    container_fs: Filesystem,
}

#[derive(Serialize)]
struct Rlimit {
    #[serde(with = "time")]
    time: Timestamp,
    maxpid: u64,
    curproc: u64,
}

mod time {
    use jiff::Timestamp;
    use serde::Serializer;

    pub(super) fn serialize<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        // Cutting off what is below a second cannot fail for a time that there is.
        let seconds = Timestamp::from_second(time.as_second()).unwrap_or(*time);
        serializer.collect_str(&seconds)
    }
}

/// `figures` in upstream's shape, or only what they say of CPU and memory.
pub(super) fn summary(figures: &stats::Figures, only_cpu_and_memory: bool) -> Summary<'_> {
    let node = &figures.node;
    let all = !only_cpu_and_memory;
    Summary {
        node: Node {
            node_name: &figures.node_name,
            start_time: node.started,
            cpu: node.cpu.map(Cpu::from),
            memory: node.memory.map(Memory::from),
            network: network(&node.network, node.cpu.map(|cpu| cpu.at)).filter(|_| all),
            fs: node.filesystem.map(Filesystem::from).filter(|_| all),
            runtime: node
                .images
                .filter(|_| all)
                .map(|images| Runtime { image_fs: images.into(), container_fs: images.into() }),
            rlimit: node.processes.filter(|_| all).map(Rlimit::from),
            swap: node.memory.and_then(swap),
        },
        pods: figures.pods.iter().map(|figures| pod(figures, all)).collect(),
    }
}

fn pod(figures: &stats::PodFigures, all: bool) -> Pod<'_> {
    let volumes = figures.volumes.iter().filter(|_| all);
    Pod {
        pod_ref: PodReference { name: &figures.name, namespace: &figures.namespace, uid: &figures.uid },
        start_time: figures.started,
        containers: figures.containers.iter().map(|figures| container(figures, all)).collect(),
        cpu: figures.cpu.map(Cpu::from),
        memory: figures.memory.map(Memory::from),
        network: network(&figures.network, figures.cpu.map(|cpu| cpu.at)).filter(|_| all),
        volume: volumes.map(|volume| self::volume(volume, &figures.namespace)).collect(),
        ephemeral_storage: figures.ephemeral.map(Filesystem::from).filter(|_| all),
        process_stats: figures.processes.filter(|_| all).map(|process_count| ProcessStats { process_count }),
        swap: figures.memory.and_then(swap),
    }
}

fn container(figures: &stats::ContainerFigures, all: bool) -> Container<'_> {
    Container {
        name: &figures.name,
        start_time: figures.started,
        cpu: figures.cpu.map(Cpu::from),
        memory: figures.memory.map(Memory::from),
        rootfs: figures.root.map(Filesystem::from).filter(|_| all),
        logs: figures.logs.map(Filesystem::from).filter(|_| all),
        swap: figures.memory.and_then(swap),
    }
}

fn volume<'a>(figures: &'a stats::VolumeFigures, namespace: &'a str) -> Volume<'a> {
    let claim = figures.claim.as_deref();
    Volume {
        filesystem: figures.filesystem.into(),
        name: &figures.name,
        pvc_ref: claim.map(|name| ClaimReference { name, namespace }),
    }
}

fn network(interfaces: &[stats::Interface], at: Option<Timestamp>) -> Option<Network<'_>> {
    let interfaces: Vec<_> = interfaces.iter().map(Interface::from).collect();
    let default = interfaces.iter().find(|interface| interface.name == DEFAULT_INTERFACE).copied();
    let known = !interfaces.is_empty();
    known.then(|| Network { time: at.unwrap_or_default(), default, interfaces })
}

fn swap(memory: stats::Memory) -> Option<Swap> {
    Some(Swap { time: memory.at, swap_usage_bytes: memory.swap? })
}

impl From<stats::Cpu> for Cpu {
    fn from(cpu: stats::Cpu) -> Cpu {
        Cpu { time: cpu.at, usage_nano_cores: cpu.rate, usage_core_nano_seconds: cpu.total_nanoseconds }
    }
}

impl From<stats::Memory> for Memory {
    fn from(memory: stats::Memory) -> Memory {
        Memory {
            time: memory.at,
            available_bytes: memory.available,
            usage_bytes: memory.usage,
            working_set_bytes: memory.working_set,
            rss_bytes: memory.rss,
            page_faults: memory.page_faults,
            major_page_faults: memory.major_page_faults,
        }
    }
}

impl From<stats::Filesystem> for Filesystem {
    fn from(filesystem: stats::Filesystem) -> Filesystem {
        Filesystem {
            time: filesystem.at,
            available_bytes: filesystem.available,
            capacity_bytes: filesystem.capacity,
            used_bytes: filesystem.used,
            inodes_free: filesystem.inodes_free,
            inodes: filesystem.inodes,
            inodes_used: filesystem.inodes_used,
        }
    }
}

impl From<stats::Processes> for Rlimit {
    fn from(processes: stats::Processes) -> Rlimit {
        Rlimit { time: processes.at, maxpid: processes.most, curproc: processes.running }
    }
}

impl<'a> From<&'a stats::Interface> for Interface<'a> {
    fn from(interface: &'a stats::Interface) -> Interface<'a> {
        Interface {
            name: &interface.name,
            rx_bytes: interface.received,
            rx_errors: interface.receive_errors,
            tx_bytes: interface.sent,
            tx_errors: interface.send_errors,
        }
    }
}
