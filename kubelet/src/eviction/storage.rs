//! Pods that take more disk than they may: for which the node need not run out of anything. Pure.

use std::sync::Arc;

use api::pod_resources::{Options, limits, read};
use api::quantity::{Format, Quantity};
use k8s_openapi::api::core::v1::Pod;

use super::observations::whole;
use super::{AT_ONCE, ByUid, Eviction, of_pod};
use crate::containers::priority::is_critical;
use crate::stats::{ContainerFigures, PodFigures};

/// What limits are called where evictions are counted.
const EMPTY_DIR: &str = "emptydirfs.limit";
const POD: &str = "ephemeralpodfs.limit";
const CONTAINER: &str = "ephemeralcontainerfs.limit";
/// What is limited.
const STORAGE: &str = "ephemeral-storage";

/// The pods that take more than they may, and why they go.
pub(super) fn over_limits(pods: &[Arc<Pod>], figures: &ByUid<'_>, dedicated_images: bool) -> Vec<Eviction> {
    let over = |pod: &Arc<Pod>| {
        let figures = of_pod(figures, pod)?;
        let of = |signal: &'static str| move |message: String| (signal, message);
        let (signal, message) = (empty_dir(pod, figures).map(of(EMPTY_DIR)))
            .or_else(|| whole_pod(pod, figures).map(of(POD)))
            .or_else(|| container(pod, figures, dedicated_images).map(of(CONTAINER)))?;
        Some(Eviction::of(pod, signal, message, AT_ONCE, None))
    };
    pods.iter().filter(|pod| !is_critical(pod)).filter_map(over).collect()
}

fn bytes(count: u64) -> Quantity {
    Quantity::new(whole(count), Format::BinarySi)
}

/// A volume has more in it than it may.
fn empty_dir(pod: &Pod, figures: &PodFigures) -> Option<String> {
    let volumes = pod.spec.as_ref()?.volumes.as_ref()?;
    volumes.iter().find_map(|volume| {
        let limit = Quantity::try_from(volume.empty_dir.as_ref()?.size_limit.as_ref()?).ok()?;
        let used = figures.volumes.iter().find(|figures| figures.name == volume.name)?.filesystem.used;
        let over = limit.signum() > 0 && bytes(used) > limit;
        over.then(|| format!("Usage of EmptyDir volume {:?} exceeds the limit {:?}. ", volume.name, limit.to_string()))
    })
}

/// All of it takes more than all of its containers may.
fn whole_pod(pod: &Pod, figures: &PodFigures) -> Option<String> {
    let limits = limits(pod, Options::default());
    let limit = limits.get(STORAGE)?;
    let over = bytes(figures.ephemeral?.used) > *limit;
    over.then(|| format!("Pod ephemeral local storage usage exceeds the total limit of containers {limit}. "))
}

/// A container takes more than it may: its root, where that is on the same disk, and its logs.
fn container(pod: &Pod, figures: &PodFigures, dedicated_images: bool) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let used = |container: &ContainerFigures| {
        let root = container.root.filter(|_| !dedicated_images).map_or(0, |root| root.used);
        root.saturating_add(container.logs.map_or(0, |logs| logs.used))
    };
    figures.containers.iter().find_map(|figures| {
        let container = spec.containers.iter().find(|container| container.name == figures.name)?;
        let limits = read(container.resources.as_ref()?.limits.as_ref());
        let limit = limits.get(STORAGE).filter(|limit| !limit.is_zero())?;
        let over = bytes(used(figures)) > *limit;
        let name = &container.name;
        over.then(|| format!("Container {name} exceeded its local ephemeral storage limit {:?}. ", limit.to_string()))
    })
}
