//! NodeVolumeLimits: no more volumes at a node than the drivers that attach them say they can.
//!
//! Costs, for each new volume of the pod, one look at what is at the node already, which is kept counted.

use k8s_openapi::api::core::v1::{Pod, Volume};
use k8s_openapi::api::storage::v1::{CSINode, VolumeAttachment};

use super::volume_claims::{needs, no_claim, volumes};
use crate::config::ExtensionPoint;
use crate::cycle::{Filter, Plugin, PreFilter, Rejection};
use crate::queue::{ActionType, ClusterEvent, Event, EventResource, Hint, Object};
use crate::snapshot::storage::{Attachable, CsiNode, NodeVolumes, User, in_tree};
use crate::snapshot::{NodeIndex, PlacedPod, PodInfo, PodVolumes, Snapshot, Storage};

const TOO_MANY: u32 = 0;
const BAD_CLAIM: u32 = 1;
/// That the driver of the first volume is missing; of the second, the next number; and so on.
const FIRST_DRIVER: u32 = 2;

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
pub struct NodeVolumeLimits;

impl Plugin for NodeVolumeLimits {
    fn name(&self) -> &'static str {
        "NodeVolumeLimits"
    }

    fn points(&self) -> &'static [ExtensionPoint] {
        &[ExtensionPoint::PreFilter, ExtensionPoint::Filter]
    }

    fn events(&self) -> Vec<ClusterEvent> {
        vec![
            ClusterEvent::new(EventResource::CsiNode, ActionType::ADD | ActionType::UPDATE),
            ClusterEvent::new(EventResource::AssignedPod, ActionType::DELETE),
            ClusterEvent::new(EventResource::PersistentVolumeClaim, ActionType::ADD),
            ClusterEvent::new(EventResource::VolumeAttachment, ActionType::DELETE),
        ]
    }

    fn hint(&self, pod: &Pod, event: &Event) -> Hint {
        let helps = match (&event.old, &event.new) {
            (Some(Object::CsiNode(old)), Some(Object::CsiNode(new))) => takes_more(old, new),
            (Some(Object::Pod(gone)), None) => frees(gone),
            (_, Some(Object::PersistentVolumeClaim(claim))) => needs(pod, claim, true),
            (Some(Object::VolumeAttachment(gone)), None) => is_of_interest(gone, pod),
            _ => true,
        };
        if helps { Hint::Queue } else { Hint::Skip }
    }

    fn pre_filter<'a>(&'a self, snapshot: &'a Snapshot, pod: &'a PodInfo) -> PreFilter<'a> {
        let has_any = |volumes: &&PodVolumes| !volumes.claims.is_empty() || !volumes.in_tree.is_empty();
        let Some(volumes) = pod.volumes.as_deref().filter(has_any) else { return PreFilter::Skip };
        let (new, problem) = match attached(snapshot.storage(), volumes) {
            Ok(new) => (new, None),
            Err(problem) => (Vec::new(), Some(problem)),
        };
        if new.is_empty() && problem.is_none() {
            return PreFilter::Skip;
        }
        PreFilter::Filter(Box::new(Limits { snapshot, new, problem, supposed: Vec::new() }))
    }
}

/// Whether a driver can attach more than before, or is new. Upstream's hint misses limits that are taken away.
fn takes_more(old: &CSINode, new: &CSINode) -> bool {
    let (old, new) = (CsiNode::read(old), CsiNode::read(new));
    let no_limit = |limit: Option<u32>| limit.map_or(i64::MAX, i64::from);
    let more = |driver: &str| no_limit(new.limit(driver)) > no_limit(old.limit(driver));
    old.drivers().any(more) || new.drivers().any(|driver| !old.has(driver))
}

/// Whether the pod that is gone had volumes that count.
fn frees(gone: &Pod) -> bool {
    let set = |name: Option<&String>| name.is_some_and(|name| !name.is_empty());
    let placed = set(gone.spec.as_ref().and_then(|spec| spec.node_name.as_ref()))
        || set(gone.status.as_ref().and_then(|status| status.nominated_node_name.as_ref()));
    let counts = |volume: &Volume| {
        volume.persistent_volume_claim.is_some() || volume.ephemeral.is_some() || in_tree::is_migratable(volume)
    };
    placed && volumes(gone).iter().any(counts)
}

/// Whether the pod has a volume that the attachment which is gone may have been counted with. Upstream's hint misses claims
/// that are made for pods.
fn is_of_interest(gone: &VolumeAttachment, pod: &Pod) -> bool {
    volumes(pod).iter().any(|volume| {
        let driver = || in_tree::of_pod(volume).map(|volume| volume.driver);
        let claims = volume.persistent_volume_claim.is_some() || volume.ephemeral.is_some();
        claims || driver().is_some_and(|driver| driver == gone.spec.attacher)
    })
}

/// What drivers attach for a pod, each volume once.
fn attached(storage: &Storage, volumes: &PodVolumes) -> Result<Vec<Attachable>, String> {
    let mut all = Vec::new();
    for claim in &volumes.claims {
        let (namespace, name) = (&claim.key.namespace, &claim.key.name);
        let known = storage.claim(&claim.key);
        let known = known.ok_or_else(|| format!("looking up PVC {namespace}/{name}: {}", no_claim(name)))?;
        if claim.ephemeral {
            known.is_made_for(volumes)?;
        }
        all.extend(storage.attachable(&claim.key));
    }
    all.extend(volumes.in_tree.iter().cloned());
    let mut once: Vec<Attachable> = Vec::new();
    for volume in all {
        let same = |other: &&mut Attachable| other.driver == volume.driver && other.handle == volume.handle;
        match once.iter_mut().find(same) {
            // The same whether it is named as the driver's or as a migrated plugin's.
            Some(known) if volume.plugin.is_none() => known.plugin = None,
            Some(_) => {}
            None => once.push(volume),
        }
    }
    Ok(once)
}

struct Limits<'a> {
    snapshot: &'a Snapshot,
    /// What has to be attached for the pod.
    new: Vec<Attachable>,
    /// Why the pod cannot go anywhere.
    problem: Option<String>,
    /// Nodes at which other volumes are supposed to be than there are.
    supposed: Vec<(NodeIndex, NodeVolumes)>,
}

impl Limits<'_> {
    fn at(&self, node: NodeIndex) -> Option<&NodeVolumes> {
        match self.supposed.iter().find(|(other, _)| *other == node) {
            Some((_, volumes)) => Some(volumes),
            None => self.snapshot.storage().at_node(&self.snapshot.node(node).name),
        }
    }

    fn suppose(&mut self, pod: &PlacedPod, by: i32) {
        let Some(volumes) = &pod.info.volumes else { return };
        let storage = self.snapshot.storage();
        let mut at = self.at(pod.node).cloned().unwrap_or_default();
        for volume in volumes.claims.iter().filter_map(|claim| storage.attachable(&claim.key)) {
            at.change(&volume, User::Pod, by);
        }
        volumes.in_tree.iter().for_each(|volume| at.change(volume, User::Pod, by));
        self.supposed.retain(|(node, _)| *node != pod.node);
        self.supposed.push((pod.node, at));
    }
}

/// Whether the volume is a driver's on the node.
fn counts(volume: &Attachable, csi: Option<&CsiNode>) -> bool {
    volume.plugin.is_none_or(|plugin| csi.is_some_and(|csi| csi.counts(plugin)))
}

impl Filter for Limits<'_> {
    fn filter(&self, node: NodeIndex) -> Result<(), Rejection> {
        if self.problem.is_some() {
            return Err(Rejection::unresolvable(BAD_CLAIM));
        }
        let storage = self.snapshot.storage();
        let csi = storage.csi_node(&self.snapshot.node(node).name);
        let new = || self.new.iter().filter(|volume| counts(volume, csi));
        for (number, volume) in (FIRST_DRIVER..u64::BITS).zip(&self.new) {
            let required = storage.driver(&volume.driver).is_some_and(|driver| driver.is_required);
            if required && counts(volume, csi) && !csi.is_some_and(|csi| csi.has(&volume.driver)) {
                return Err(Rejection::resolvable(number));
            }
        }
        let Some(csi) = csi else { return Ok(()) };
        let at = self.at(node);
        for volume in new() {
            let Some(limit) = csi.limit(&volume.driver) else { continue };
            // Of a plugin that is migrated to the driver, if there is one.
            let migrated = in_tree::plugin_of(&volume.driver).is_some_and(|plugin| csi.counts(plugin));
            let is_new = |other: &&Attachable| {
                other.driver == volume.driver && !at.is_some_and(|at| at.is_used(other, migrated))
            };
            let more: u32 = new().filter(is_new).map(|_| 1).sum();
            let there = at.map_or(0, |at| at.count(&volume.driver, migrated));
            if more > 0 && there.saturating_add(more) > limit {
                return Err(Rejection::resolvable(TOO_MANY));
            }
        }
        Ok(())
    }

    fn reason(&self, number: u32) -> String {
        match number {
            TOO_MANY => "node(s) exceed max volume count".to_owned(),
            BAD_CLAIM => self.problem.clone().unwrap_or_default(),
            other => {
                let volume = self.new.get((other - FIRST_DRIVER) as usize);
                let driver = volume.map_or("", |volume| volume.driver.as_str());
                format!("{driver} CSI driver is not installed on the node")
            }
        }
    }

    fn add(&mut self, pod: &PlacedPod) {
        self.suppose(pod, 1);
    }

    fn remove(&mut self, pod: &PlacedPod) {
        self.suppose(pod, -1);
    }
}

#[cfg(test)]
mod tests;
