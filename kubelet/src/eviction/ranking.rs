//! Which pods go first when a node runs out of something. Pure.
//!
//! Those come first that use more than they requested, then those of less priority, then those that use most beyond what
//! they requested. Of whom nothing is known comes before all others.

use std::cmp::Reverse;
use std::sync::Arc;

use api::pod_resources::{Options, requests};
use api::quantity::{Format, Quantity};
use k8s_openapi::api::core::v1::{Pod, Volume};

use super::observations::whole;
use super::{ByUid, Signal, of_pod};
use crate::stats::{Filesystem, PodFigures};

/// What a pod takes of a disk that is measured.
#[derive(Clone, Copy, Debug)]
struct Measured {
    roots: bool,
    logs_and_volumes: bool,
    inodes: bool,
}

/// What pods are ordered by: the least goes first.
type Rank = (bool, Reverse<bool>, i32, bool, Reverse<Quantity>);

/// The pods in the order in which they go when this runs out.
pub(super) fn ranked<'a>(
    signal: Signal,
    pods: &'a [Arc<Pod>],
    figures: &ByUid<'_>,
    dedicated_images: bool,
) -> Vec<&'a Arc<Pod>> {
    let mut pods: Vec<&Arc<Pod>> = pods.iter().collect();
    pods.sort_by_cached_key(|pod| rank(signal, pod, of_pod(figures, pod), dedicated_images));
    pods
}

fn rank(signal: Signal, pod: &Pod, figures: Option<&PodFigures>, dedicated_images: bool) -> Rank {
    let priority = pod.spec.as_ref().and_then(|spec| spec.priority).unwrap_or_default();
    // Process IDs are requested by nobody.
    let requested = if signal == Signal::Processes { "" } else { signal.resource() };
    let zero = || Quantity::new(0, Format::BinarySi);
    let known = figures.is_some();
    let used = figures.map_or_else(zero, |figures| used(signal, pod, figures, dedicated_images));
    let all = requests(pod, Options::default());
    let exceeds = known && signal != Signal::Processes && used > all.get(requested).cloned().unwrap_or_else(zero);
    let mut beyond = used;
    let storage = if signal == Signal::Memory { "memory" } else { "ephemeral-storage" };
    if known
        && signal != Signal::Processes
        && let Some(request) = all.get(storage)
    {
        beyond.sub(request);
    }
    // For process IDs, priority comes before whether anything is known.
    (known && signal != Signal::Processes, Reverse(exceeds), priority, known, Reverse(beyond))
}

/// How much a pod uses of what runs out.
fn used(signal: Signal, pod: &Pod, figures: &PodFigures, dedicated_images: bool) -> Quantity {
    let count = |count: u64| Quantity::new(whole(count), Format::BinarySi);
    let disk = |nodes: bool, inodes: bool| {
        let measured =
            Measured { roots: !dedicated_images || !nodes, logs_and_volumes: !dedicated_images || nodes, inodes };
        count(measured.of(pod, figures))
    };
    match signal {
        Signal::Memory => count(figures.memory.map_or(0, |memory| memory.working_set)),
        Signal::Processes => count(figures.processes.unwrap_or_default()),
        Signal::NodeBytes => disk(true, false),
        Signal::NodeInodes => disk(true, true),
        Signal::ImageBytes => disk(false, false),
        Signal::ImageInodes => disk(false, true),
    }
}

impl Measured {
    fn of(self, pod: &Pod, figures: &PodFigures) -> u64 {
        let used = |filesystem: Option<Filesystem>| {
            filesystem.map_or(0, |filesystem| if self.inodes { filesystem.inodes_used } else { filesystem.used })
        };
        let mut sum = 0u64;
        for container in &figures.containers {
            if self.roots {
                sum = sum.saturating_add(used(container.root));
            }
            if self.logs_and_volumes {
                sum = sum.saturating_add(used(container.logs));
            }
        }
        if self.logs_and_volumes {
            let spec = pod.spec.as_ref();
            let local =
                spec.into_iter().flat_map(|spec| spec.volumes.iter().flatten()).filter(|volume| is_local(volume));
            for volume in local {
                let found = figures.volumes.iter().find(|figures| figures.name == volume.name);
                sum = sum.saturating_add(used(found.map(|figures| figures.filesystem)));
            }
        }
        sum
    }
}

/// Whether what is in a volume is on the node's own disk.
fn is_local(volume: &Volume) -> bool {
    let on_disk = volume.empty_dir.as_ref().is_some_and(|empty_dir| empty_dir.medium.as_deref() != Some("Memory"));
    on_disk || volume.host_path.is_some() || volume.config_map.is_some() || volume.git_repo.is_some()
}
