//! Collects figures: once for everybody who asks at about the same time, and not more often than somebody asks.
//!
//! What cannot be found out is left out, and the rest is told all the same: one container that cannot be read must not hide
//! the others.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use client::clock::Clock;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::disk::{self, Used};
use super::from_runtime::{self, ContainerUsage};
use super::rates::Rates;
use super::{
    ContainerFigures, Cpu, DiskTraffic, Figures, Filesystem, Interface, Memory, NodeFigures, PodFigures, Source,
    Throttling, VolumeFigures, node, proc,
};
use crate::cgroups;
use crate::cri::{Cri, v1};
use crate::observed::{ContainerState, RuntimeContainer, RuntimePod};
use crate::paths::Paths;
use crate::server::View;

/// How many sandboxes the runtime is asked about at a time.
const ASKED_AT_ONCE: usize = 8;

/// What a cgroup says of what is in it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Usage {
    /// CPU time.
    pub cpu: Option<Cpu>,
    /// How often a limit on it held it up, if there is one.
    pub throttling: Option<Throttling>,
    /// What was read from block devices and written to them.
    pub disks: Vec<DiskTraffic>,
    /// Memory.
    pub memory: Option<Memory>,
    /// How many processes there are.
    pub processes: Option<u64>,
}

/// Reads cgroups. It may block for as long as reading files takes.
pub trait Cgroups: Send + Sync + 'static {
    /// What a pod's cgroup says, if there is one.
    fn pod(&self, pod: &Pod) -> Option<Usage>;
    /// What the cgroup of a container of a pod says, by the runtime's ID, if there is one.
    fn container(&self, pod: &Pod, id: &str) -> Option<Usage>;
}

/// Reads a machine's cgroups.
#[must_use]
pub fn of_machine(cgroups: Arc<cgroups::Cgroups>, clock: Clock) -> Arc<dyn Cgroups> {
    Arc::new(OfMachine { cgroups, clock })
}

struct OfMachine {
    cgroups: Arc<cgroups::Cgroups>,
    clock: Clock,
}

impl OfMachine {
    fn usage(&self, cgroup: &str) -> Option<Usage> {
        let cgroups::Usage { cpu, throttling, disks, memory, processes, .. } =
            self.cgroups.usage(cgroup, self.clock.now())?;
        Some(Usage { cpu, throttling, disks, memory, processes })
    }
}

impl Cgroups for OfMachine {
    fn pod(&self, pod: &Pod) -> Option<Usage> {
        self.usage(&self.cgroups.pod_parent(pod))
    }

    fn container(&self, pod: &Pod, id: &str) -> Option<Usage> {
        self.usage(self.cgroups.containers(pod).get(id)?)
    }
}

/// What a pod's volumes use. It may block for as long as reading directories takes.
pub type Volumes = Arc<dyn Fn(&Pod) -> Vec<VolumeFigures> + Send + Sync>;

/// What a collector looks at.
#[derive(Clone)]
pub struct Parts {
    /// The node's name.
    pub node: String,
    /// The container runtime, which is asked for what cgroups do not tell.
    pub cri: Cri,
    /// The pods' cgroups, by [`of_machine`]; without them all is asked of the runtime.
    pub cgroups: Option<Arc<dyn Cgroups>>,
    /// What volumes use.
    pub volumes: Volumes,
    /// Where the agent has its files.
    pub paths: Paths,
    /// What the agent knows of pods.
    pub view: Arc<dyn View>,
    /// What time it is.
    pub clock: Clock,
    /// Where `/proc` is (`/`, unless in tests).
    pub root: PathBuf,
}

/// Collects figures when they are asked for.
pub struct Collector {
    parts: Parts,
    /// The newest, and when they were collected.
    newest: Mutex<Option<(Instant, Arc<Figures>)>>,
    /// Held by whoever collects.
    memory: tokio::sync::Mutex<Remembered>,
}

/// What is remembered from one collection to the next; only of what still is there.
#[derive(Clone, Default)]
struct Remembered {
    rates: Rates,
    /// The processes of sandboxes; `None` where the runtime does not tell.
    processes: BTreeMap<String, Option<u32>>,
}

/// A pod and what the runtime has of it.
struct Seen {
    pod: Arc<Pod>,
    runtime: Arc<RuntimePod>,
}

impl Seen {
    fn uid(&self) -> &str {
        self.pod.metadata.uid.as_deref().unwrap_or_default()
    }
}

/// What the runtime said.
#[derive(Default)]
struct Asked {
    containers: BTreeMap<String, ContainerUsage>,
    /// Where images are, and how much they use.
    images: Option<(PathBuf, Used)>,
    networks: BTreeMap<String, Vec<Interface>>,
    processes: BTreeMap<String, Option<u32>>,
}

impl Collector {
    /// Collects from `parts`.
    #[must_use]
    pub fn new(parts: Parts) -> Arc<Collector> {
        Arc::new(Collector { parts, newest: Mutex::default(), memory: tokio::sync::Mutex::default() })
    }

    fn newest(&self, age: Duration) -> Option<Arc<Figures>> {
        let newest = self.newest.lock();
        let (at, figures) = newest.as_ref()?;
        (at.elapsed() <= age).then(|| Arc::clone(figures))
    }

    async fn collect(&self, remembered: &Remembered) -> (Figures, Remembered) {
        let parts = self.parts.clone();
        let seen: Vec<Seen> = parts
            .view
            .pods()
            .into_iter()
            .filter_map(|pod| {
                let runtime = parts.view.runtime(pod.metadata.uid.as_deref()?)?;
                runtime.is_running().then_some(Seen { pod, runtime })
            })
            .collect();
        let asked = ask(&parts.cri, &seen, &remembered.processes).await;
        let processes = asked.processes.clone();
        let rates = remembered.rates.clone();
        let at = parts.clock.now();
        let read = tokio::task::spawn_blocking(move || {
            let mut next = Rates::default();
            let figures = Reading { parts: &parts, asked: &asked, at, rates: &rates, next: &mut next }.read(&seen);
            (figures, next)
        });
        match read.await {
            Ok((figures, rates)) => (figures, Remembered { rates, processes }),
            Err(error) => {
                tracing::error!(%error, "collecting figures failed");
                (Figures { node_name: self.parts.node.clone(), ..Figures::default() }, Remembered::default())
            }
        }
    }
}

impl Source for Collector {
    fn figures(&self, age: Duration) -> BoxFuture<'_, Arc<Figures>> {
        async move {
            if let Some(newest) = self.newest(age) {
                return newest;
            }
            let mut remembered = self.memory.lock().await;
            // Whoever collected meanwhile did it for all who waited.
            if let Some(newest) = self.newest(age) {
                return newest;
            }
            let began = Instant::now();
            let (figures, next) = self.collect(&remembered).await;
            let figures = Arc::new(figures);
            *remembered = next;
            *self.newest.lock() = Some((began, Arc::clone(&figures)));
            figures
        }
        .boxed()
    }
}

/// Asks the runtime for what only it knows.
async fn ask(cri: &Cri, seen: &[Seen], known: &BTreeMap<String, Option<u32>>) -> Asked {
    let containers = async {
        let answer = cri.list_container_stats(v1::ListContainerStatsRequest { filter: None }).await;
        let answer =
            answer.inspect_err(|error| tracing::debug!(%error, "the runtime does not say what containers use"));
        let stats = answer.map(|answer| answer.stats).unwrap_or_default();
        let usage =
            |stats: &v1::ContainerStats| Some((stats.attributes.as_ref()?.id.clone(), from_runtime::container(stats)));
        stats.iter().filter_map(usage).collect()
    };
    let (containers, images, (processes, networks)) =
        futures::join!(containers, images(cri), networks(cri, seen, known));
    Asked { containers, images, networks, processes }
}

async fn images(cri: &Cri) -> Option<(PathBuf, Used)> {
    let answer = cri.image_fs_info(v1::ImageFsInfoRequest {}).await;
    let answer = answer.inspect_err(|error| tracing::debug!(%error, "the runtime does not say where images are"));
    let usage = answer.ok()?.image_filesystems.into_iter().next()?;
    let value = |value: Option<v1::UInt64Value>| value.map_or(0, |value| value.value);
    let used = Used { bytes: value(usage.used_bytes), inodes: value(usage.inodes_used) };
    Some((PathBuf::from(usage.fs_id?.mountpoint), used))
}

/// The processes of the sandboxes that have networks of their own, and what the runtime says of the networks of those of
/// which it does not tell the process.
async fn networks(
    cri: &Cri,
    seen: &[Seen],
    known: &BTreeMap<String, Option<u32>>,
) -> (BTreeMap<String, Option<u32>>, BTreeMap<String, Vec<Interface>>) {
    let sandboxes = seen.iter().filter_map(|seen| seen.runtime.sandbox().filter(|sandbox| sandbox.ready));
    let sandboxes = sandboxes.filter(|sandbox| !sandbox.host_network).map(|sandbox| sandbox.id.clone());
    let sandboxes: Vec<String> = sandboxes.collect();
    let processes: BTreeMap<String, Option<u32>> = futures::stream::iter(sandboxes)
        .map(|id| async move {
            if let Some(process) = known.get(&id) {
                return Some((id, *process));
            }
            let request = v1::PodSandboxStatusRequest { pod_sandbox_id: id.clone(), verbose: true };
            let answer = cri.pod_sandbox_status(request).await.ok()?;
            Some((id, from_runtime::process(&answer)))
        })
        .buffer_unordered(ASKED_AT_ONCE)
        .filter_map(|process| async { process })
        .collect()
        .await;
    if processes.values().all(Option::is_some) {
        return (processes, BTreeMap::new());
    }
    let answer = cri.list_pod_sandbox_stats(v1::ListPodSandboxStatsRequest { filter: None }).await;
    let stats = answer.map(|answer| answer.stats).unwrap_or_default();
    let network =
        |stats: v1::PodSandboxStats| Some((stats.attributes?.id, from_runtime::network(&stats.linux?.network?)));
    (processes, stats.into_iter().filter_map(network).collect())
}

/// One collection, as far as it reads files.
struct Reading<'a> {
    parts: &'a Parts,
    asked: &'a Asked,
    at: Timestamp,
    rates: &'a Rates,
    next: &'a mut Rates,
}

impl Reading<'_> {
    fn read(mut self, seen: &[Seen]) -> Figures {
        let mut node = node::read(&self.parts.root, self.at);
        node.cpu = node.cpu.map(|cpu| self.rated("node", cpu));
        node.filesystem = self.filesystem(&self.parts.paths.root);
        node.images = match &self.asked.images {
            Some((path, used)) => self.filesystem(path).map(|filesystem| Filesystem { used: used.bytes, ..filesystem }),
            None => node.filesystem,
        };
        let images = self.asked.images.as_ref().map(|(path, _)| path);
        node.dedicated_images = images.is_some_and(|path| disk::are_apart(path, &self.parts.paths.root));
        let pods = seen.iter().map(|seen| self.pod(seen, &node)).collect();
        Figures { node_name: self.parts.node.clone(), node, pods }
    }

    fn filesystem(&self, path: &Path) -> Option<Filesystem> {
        // What is not there yet is on the same file system as what it will be in.
        path.ancestors().find_map(|path| disk::filesystem(path, self.at).ok())
    }

    fn rated(&mut self, key: &str, cpu: Cpu) -> Cpu {
        self.rates.rated(key, cpu, self.next)
    }

    fn pod(&mut self, seen: &Seen, node: &NodeFigures) -> PodFigures {
        let metadata = &seen.pod.metadata;
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let running = |container: &&RuntimeContainer| container.state == ContainerState::Running;
        let containers: Vec<ContainerFigures> = seen
            .runtime
            .containers
            .iter()
            .filter(running)
            .map(|container| self.container(seen, container, node))
            .collect();
        let usage = self.parts.cgroups.as_ref().and_then(|cgroups| cgroups.pod(&seen.pod)).unwrap_or_default();
        let cpu = usage.cpu.map(|cpu| self.rated(seen.uid(), cpu)).or_else(|| sum_of_cpu(&containers));
        let memory = usage.memory.or_else(|| sum_of_memory(&containers));
        let volumes = (self.parts.volumes)(&seen.pod);
        let status = seen.pod.status.as_ref();
        let started = status.and_then(|status| status.start_time.as_ref()).map(|time| time.0);
        let sandbox = seen.runtime.sandbox();
        PodFigures {
            namespace: text(&metadata.namespace),
            name: text(&metadata.name),
            uid: text(&metadata.uid),
            started: started.or_else(|| sandbox.map(|sandbox| sandbox.created)).unwrap_or_default(),
            ephemeral: node.filesystem.map(|filesystem| filesystem.of(ephemeral(&containers, &volumes))),
            containers,
            cpu,
            throttling: usage.throttling,
            disks: disk::named(&self.parts.root, usage.disks),
            memory,
            network: self.network(&seen.runtime),
            volumes,
            processes: usage.processes,
        }
    }

    fn container(&mut self, seen: &Seen, container: &RuntimeContainer, node: &NodeFigures) -> ContainerFigures {
        let asked = self.asked.containers.get(&container.id).copied().unwrap_or_default();
        let cgroups = self.parts.cgroups.as_ref();
        let usage = cgroups.and_then(|cgroups| cgroups.container(&seen.pod, &container.id)).unwrap_or_default();
        let cpu = usage.cpu.or(asked.cpu).map(|cpu| self.rated(&container.id, cpu));
        let limit = container.resources.and_then(|resources| resources.memory_limit).filter(|limit| *limit > 0);
        let memory = usage.memory.or(asked.memory).map(|memory| {
            let left = limit.and_then(|limit| u64::try_from(limit).ok());
            let left = left.map(|limit| limit.saturating_sub(memory.working_set));
            Memory { available: memory.available.or(left), ..memory }
        });
        let metadata = &seen.pod.metadata;
        let (namespace, name) = (metadata.namespace.as_deref().unwrap_or_default(), metadata.name.as_deref());
        let directory = self.parts.paths.logs_of(namespace, name.unwrap_or_default(), seen.uid()).join(&container.name);
        let logs = disk::used(&directory).ok();
        ContainerFigures {
            name: container.name.clone(),
            id: container.id.clone(),
            started: container.started.unwrap_or(container.created),
            cpu,
            throttling: usage.throttling,
            disks: disk::named(&self.parts.root, usage.disks),
            memory,
            root: asked.root.and_then(|used| Some(node.images?.of(used))),
            logs: logs.and_then(|used| Some(node.filesystem?.of(used))),
        }
    }

    fn network(&self, runtime: &RuntimePod) -> Vec<Interface> {
        let Some(sandbox) = runtime.sandbox().filter(|sandbox| sandbox.ready && !sandbox.host_network) else {
            return Vec::new();
        };
        if let Some(Some(process)) = self.asked.processes.get(&sandbox.id) {
            let path = self.parts.root.join(format!("proc/{process}/net/dev"));
            return std::fs::read_to_string(path).map(|dev| proc::interfaces(&dev)).unwrap_or_default();
        }
        self.asked.networks.get(&sandbox.id).cloned().unwrap_or_default()
    }
}

/// What counts as a pod's ephemeral storage.
fn ephemeral(containers: &[ContainerFigures], volumes: &[VolumeFigures]) -> Used {
    let of_containers = containers.iter().flat_map(|container| [container.root, container.logs]).flatten();
    let of_volumes = volumes.iter().filter(|volume| volume.ephemeral).map(|volume| volume.filesystem);
    of_containers.chain(of_volumes).fold(Used::default(), |sum, part| Used {
        bytes: sum.bytes.saturating_add(part.used),
        inodes: sum.inodes.saturating_add(part.inodes_used),
    })
}

/// Where there is no pod's cgroup, a pod uses what its containers use.
fn sum_of_cpu(containers: &[ContainerFigures]) -> Option<Cpu> {
    containers.iter().filter_map(|container| container.cpu).reduce(|sum, cpu| Cpu {
        at: sum.at.max(cpu.at),
        total_nanoseconds: sum.total_nanoseconds.saturating_add(cpu.total_nanoseconds),
        rate: sum.rate.zip(cpu.rate).map(|(sum, rate)| sum.saturating_add(rate)),
    })
}

fn sum_of_memory(containers: &[ContainerFigures]) -> Option<Memory> {
    containers.iter().filter_map(|container| container.memory).reduce(|sum, memory| Memory {
        at: sum.at.max(memory.at),
        available: sum.available.zip(memory.available).map(|(sum, available)| sum.saturating_add(available)),
        usage: sum.usage.saturating_add(memory.usage),
        working_set: sum.working_set.saturating_add(memory.working_set),
        rss: sum.rss.saturating_add(memory.rss),
        page_faults: sum.page_faults.saturating_add(memory.page_faults),
        major_page_faults: sum.major_page_faults.saturating_add(memory.major_page_faults),
        swap: sum.swap.zip(memory.swap).map(|(sum, swap)| sum.saturating_add(swap)),
    })
}

#[cfg(test)]
mod tests;
