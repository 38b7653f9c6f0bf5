//! VolumeBinding: pods go where their volumes can be used, and volumes that are not bound yet are chosen, or made, for the
//! node.
//!
//! Costs, for each claim that is bound, one comparison of the node with the volume; for each other, one for each volume
//! that the node may reach, until one does. Volumes of other nodes and zones are not looked at. A pod with several claims
//! that are not bound allocates a list of the volumes that it has chosen.

mod judge;
mod pre_bind;
mod reach;
mod score;

use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, Volume};
use k8s_openapi::api::storage::v1::CSIDriver;

use super::volume_claims::{needs, volumes};
use crate::config::ExtensionPoint;
use crate::cycle::{Candidate, MAX_SCORE, Plugin, PreBind, PreFilter, Score};
use crate::queue::{ActionType, ClusterEvent, Event, EventResource, Hint, Object};
use crate::snapshot::storage::{migrated_plugins, volume_limit};
use crate::snapshot::{NodeIndex, PodInfo, Snapshot};
use judge::{Found, Judge};
use score::Usage;

/// See the module.
#[derive(Clone, Debug)]
pub struct VolumeBinding {
    /// How long is waited for volumes to be bound.
    pub timeout: Duration,
    /// What score it is worth if so many percent of the storage are used.
    pub shape: Vec<(i64, i64)>,
}

impl Default for VolumeBinding {
    /// It is waited for ten minutes, and the less of the storage is used, the better.
    fn default() -> Self {
        Self { timeout: Duration::from_secs(600), shape: vec![(0, MAX_SCORE), (100, 0)] }
    }
}

impl Plugin for VolumeBinding {
    fn name(&self) -> &'static str {
        "VolumeBinding"
    }

    fn points(&self) -> &'static [ExtensionPoint] {
        &[
            ExtensionPoint::PreFilter,
            ExtensionPoint::Filter,
            ExtensionPoint::PreScore,
            ExtensionPoint::Score,
            ExtensionPoint::Reserve,
            ExtensionPoint::PreBind,
        ]
    }

    fn events(&self) -> Vec<ClusterEvent> {
        let update = ActionType::ADD | ActionType::UPDATE;
        vec![
            ClusterEvent::new(EventResource::StorageClass, update),
            ClusterEvent::new(EventResource::PersistentVolumeClaim, update),
            ClusterEvent::new(EventResource::PersistentVolume, update),
            ClusterEvent::new(EventResource::Node, ActionType::ADD | ActionType::UPDATE_NODE_LABEL),
            ClusterEvent::new(EventResource::CsiNode, update),
            ClusterEvent::new(EventResource::CsiDriver, ActionType::UPDATE),
            ClusterEvent::new(EventResource::CsiStorageCapacity, update),
        ]
    }

    fn hint(&self, pod: &Pod, event: &Event) -> Hint {
        let helps = match (&event.old, &event.new) {
            (Some(Object::StorageClass(old)), Some(Object::StorageClass(new))) => {
                let some = |class: &k8s_openapi::api::storage::v1::StorageClass| {
                    class.allowed_topologies.clone().unwrap_or_default()
                };
                some(old) != some(new)
            }
            (_, Some(Object::PersistentVolumeClaim(claim))) => needs(pod, claim, true),
            (Some(Object::CsiNode(old)), Some(Object::CsiNode(new))) => migrated_plugins(old) != migrated_plugins(new),
            (Some(Object::CsiDriver(old)), Some(Object::CsiDriver(new))) => no_longer_tells_capacity(old, new, pod),
            (Some(Object::CsiStorageCapacity(old)), Some(Object::CsiStorageCapacity(new))) => {
                volume_limit(new) > volume_limit(old)
            }
            _ => true,
        };
        if helps { Hint::Queue } else { Hint::Skip }
    }

    fn pre_filter<'a>(&'a self, snapshot: &'a Snapshot, pod: &'a PodInfo) -> PreFilter<'a> {
        let Some(volumes) = &pod.volumes else { return PreFilter::Skip };
        match Judge::new(snapshot, volumes) {
            Ok(None) => PreFilter::Skip,
            Ok(Some(judge)) => PreFilter::Filter(Box::new(judge)),
            Err(reason) => PreFilter::Reject(reason),
        }
    }

    fn pre_score<'a>(
        &'a self,
        snapshot: &'a Snapshot,
        pod: &'a PodInfo,
        _feasible: &[NodeIndex],
    ) -> Option<Box<dyn Score + 'a>> {
        let judge = Judge::new(snapshot, pod.volumes.as_ref()?).ok()??;
        judge.wants_any().then(|| Box::new(Usage { judge, shape: &self.shape }) as Box<dyn Score + 'a>)
    }

    fn reserve(&self, snapshot: &mut Snapshot, pod: &Candidate<'_>, node: NodeIndex) -> Result<(), String> {
        let Some(volumes) = &pod.info.volumes else { return Ok(()) };
        let Some(judge) = Judge::new(snapshot, volumes)? else { return Ok(()) };
        let name = &snapshot.node(node).name;
        let (mut kept, mut selected) = (Vec::new(), Vec::new());
        let decided = judge.decide(node, |found| match found {
            Found::Static(claim, volume) => kept.extend(pre_bind::keep_for(volume, claim)),
            Found::Dynamic(claim, _) => selected.extend(pre_bind::select_node(claim, name)),
        });
        decided.map_err(|rejection| {
            let numbers = (0..u64::BITS).filter(|number| rejection.reasons & (1 << number) != 0);
            numbers.map(judge::reason).collect::<Vec<_>>().join(", ")
        })?;
        let storage = snapshot.storage_mut();
        let noted = kept.iter().all(|volume| storage.assume_volume(volume, pod.uid))
            && selected.iter().all(|claim| storage.assume_claim(claim, pod.uid));
        if noted {
            return Ok(());
        }
        storage.restore(volumes, pod.uid);
        Err("volumes have changed since they were chosen".to_owned())
    }

    fn unreserve(&self, snapshot: &mut Snapshot, pod: &Candidate<'_>, _node: NodeIndex) {
        if let Some(volumes) = &pod.info.volumes {
            snapshot.storage_mut().restore(volumes, pod.uid);
        }
    }

    fn pre_bind(&self, snapshot: &Snapshot, pod: &Candidate<'_>, node: NodeIndex) -> Option<PreBind> {
        pre_bind::pre_bind(snapshot, pod, node, self.timeout)
    }
}

/// Whether the driver may be one of the pod's, and from now on is not asked how much room there is. Upstream's hint misses
/// those of claims, though it is they that need room.
fn no_longer_tells_capacity(old: &CSIDriver, new: &CSIDriver, pod: &Pod) -> bool {
    let tells = |driver: &CSIDriver| driver.spec.storage_capacity.unwrap_or_default();
    let uses = |volume: &Volume| {
        let inline = volume.csi.as_ref().is_some_and(|csi| new.metadata.name.as_ref() == Some(&csi.driver));
        inline || volume.persistent_volume_claim.is_some() || volume.ephemeral.is_some()
    };
    tells(old) && !tells(new) && volumes(pod).iter().any(uses)
}

#[cfg(test)]
mod tests;
