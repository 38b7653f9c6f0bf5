//! VolumeZone: pods go to the zones and regions where their volumes are, by the labels of both.
//!
//! Costs, for each label of a volume, one look at the node's labels.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Pod;

use super::volume_claims::{needs, no_claim};
use crate::config::ExtensionPoint;
use crate::cycle::{Filter, Plugin, PreFilter, Rejection};
use crate::queue::{ActionType, ClusterEvent, Event, EventResource, Hint, Object};
use crate::snapshot::storage::{TOPOLOGY_LABELS, Volume, current_label};
use crate::snapshot::{ClaimKey, NodeIndex, PodInfo, Snapshot, Storage};

/// What a class says whose volumes are made when a pod wants them.
pub(super) const WAIT_FOR_FIRST_CONSUMER: &str = "WaitForFirstConsumer";

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
pub struct VolumeZone;

impl Plugin for VolumeZone {
    fn name(&self) -> &'static str {
        "VolumeZone"
    }

    fn points(&self) -> &'static [ExtensionPoint] {
        &[ExtensionPoint::PreFilter, ExtensionPoint::Filter]
    }

    fn events(&self) -> Vec<ClusterEvent> {
        let update = ActionType::ADD | ActionType::UPDATE;
        vec![
            ClusterEvent::new(EventResource::StorageClass, ActionType::ADD),
            ClusterEvent::new(EventResource::Node, ActionType::ADD | ActionType::UPDATE_NODE_LABEL),
            ClusterEvent::new(EventResource::PersistentVolumeClaim, update),
            ClusterEvent::new(EventResource::PersistentVolume, update),
        ]
    }

    fn hint(&self, pod: &Pod, event: &Event) -> Hint {
        let helps = match (&event.old, &event.new) {
            (_, Some(Object::StorageClass(class))) => {
                class.volume_binding_mode.as_deref() == Some(WAIT_FOR_FIRST_CONSUMER)
            }
            (_, Some(Object::PersistentVolumeClaim(claim))) => needs(pod, claim, false),
            (Some(Object::PersistentVolume(old)), Some(Object::PersistentVolume(new))) => {
                Volume::read(old).topologies != Volume::read(new).topologies
            }
            _ => true,
        };
        if helps { Hint::Queue } else { Hint::Skip }
    }

    fn pre_filter<'a>(&'a self, snapshot: &'a Snapshot, pod: &'a PodInfo) -> PreFilter<'a> {
        let Some(volumes) = &pod.volumes else { return PreFilter::Skip };
        let mut topologies = Vec::new();
        for claim in volumes.claims.iter().filter(|claim| !claim.ephemeral) {
            match bound_volume(snapshot.storage(), &claim.key) {
                Ok(volume) => topologies.extend(volume.into_iter().flat_map(|volume| &volume.topologies)),
                Err(reason) => return PreFilter::Reject(reason),
            }
        }
        if topologies.is_empty() {
            PreFilter::Skip
        } else {
            PreFilter::Filter(Box::new(Zones { snapshot, topologies }))
        }
    }
}

/// The volume of the claim, if there is one already; or why there never is.
fn bound_volume<'a>(storage: &'a Storage, claim: &ClaimKey) -> Result<Option<&'a Volume>, String> {
    let claim = storage.claim(claim).ok_or_else(|| no_claim(&claim.name))?;
    if !claim.volume.is_empty() {
        let volume = storage.volume(&claim.volume);
        return volume
            .map(|volume| Some(&**volume))
            .ok_or_else(|| format!("persistentvolume {:?} not found", claim.volume));
    }
    let name = &claim.class;
    if name.is_empty() {
        return Err("PersistentVolumeClaim had no pv name and storageClass name".to_owned());
    }
    let class = storage.class(name).ok_or_else(|| format!("storageclass.storage.k8s.io {name:?} not found"))?;
    match class.mode.as_deref() {
        None => Err(format!("VolumeBindingMode not set for StorageClass {name:?}")),
        Some(WAIT_FOR_FIRST_CONSUMER) => Ok(None),
        Some(_) => Err("PersistentVolume had no name".to_owned()),
    }
}

struct Zones<'a> {
    snapshot: &'a Snapshot,
    topologies: Vec<&'a (&'static str, BTreeSet<String>)>,
}

impl Filter for Zones<'_> {
    fn filter(&self, node: NodeIndex) -> Result<(), Rejection> {
        let labels = &self.snapshot.node(node).labels;
        // A cluster of a single zone may not label its nodes.
        if !TOPOLOGY_LABELS.iter().any(|label| labels.contains_key(*label)) {
            return Ok(());
        }
        let holds = |(label, values): &(&str, BTreeSet<String>)| {
            let value = labels.get(*label).or_else(|| labels.get(current_label(label)));
            value.is_some_and(|value| values.contains(value))
        };
        if self.topologies.iter().all(|topology| holds(topology)) { Ok(()) } else { Err(Rejection::unresolvable(0)) }
    }

    fn reason(&self, _number: u32) -> String {
        "node(s) had no available volume zone".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{self, object};

    const ZONE: &str = "topology.kubernetes.io/zone";
    const REGION: &str = "topology.kubernetes.io/region";
    const BETA_ZONE: &str = "failure-domain.beta.kubernetes.io/zone";

    fn pod() -> Pod {
        testing::pod("p", json!({"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]}))
    }

    /// What is said of a pod whose claim `c` says `claim`, if volume `v` has these labels and the node those.
    fn told(claim: Value, volume: Value, node: Value) -> String {
        let mut snapshot = testing::snapshot(&[testing::node("n", json!({"metadata": {"labels": node}}))], &[]);
        if !claim.is_null() {
            snapshot.set_persistent_volume_claim(&Arc::new(object(json!({
                "metadata": {"namespace": "default", "name": "c"}, "spec": claim,
            }))));
        }
        if !volume.is_null() {
            snapshot.set_persistent_volume(&Arc::new(object(json!({"metadata": {"name": "v", "labels": volume}}))));
        }
        for (name, mode) in
            [("now", json!("Immediate")), ("late", json!(WAIT_FOR_FIRST_CONSUMER)), ("odd", Value::Null)]
        {
            snapshot.set_storage_class(&object(json!({
                "metadata": {"name": name}, "provisioner": "p", "volumeBindingMode": mode,
            })));
        }
        let info = PodInfo::new(&pod());
        match VolumeZone.pre_filter(&snapshot, &info) {
            PreFilter::Skip => "skip".to_owned(),
            PreFilter::Reject(reason) => reason,
            PreFilter::Filter(filter) => match filter.filter(snapshot.index("n").unwrap()) {
                Ok(()) => "fits".to_owned(),
                Err(rejection) => {
                    assert!(rejection.unresolvable);
                    filter.reason(rejection.reasons.trailing_zeros())
                }
            },
            PreFilter::Only(..) => panic!("it does not know the only nodes"),
        }
    }

    #[test]
    fn nodes_are_where_volumes_are() {
        let check = |volume: Value, node: Value, expected: &str| {
            assert_eq!(told(json!({"volumeName": "v"}), volume.clone(), node.clone()), expected, "{volume} {node}");
        };
        let conflict = "node(s) had no available volume zone";
        check(json!({}), json!({ZONE: "a"}), "skip");
        check(json!({"other": "a"}), json!({ZONE: "a"}), "skip");
        check(json!({ZONE: "a"}), json!({}), "fits");
        check(json!({ZONE: "a"}), json!({ZONE: "a", "other": ""}), "fits");
        check(json!({ZONE: "a"}), json!({ZONE: "b"}), conflict);
        check(json!({ZONE: "a"}), json!({REGION: "a"}), conflict);
        check(json!({ZONE: "a__b"}), json!({ZONE: "b"}), "fits");
        check(json!({ZONE: "a__b"}), json!({ZONE: "c"}), conflict);
        check(json!({ZONE: "a__"}), json!({ZONE: "c"}), "skip");
        check(json!({ZONE: "a", REGION: "r"}), json!({ZONE: "a", REGION: "r"}), "fits");
        check(json!({ZONE: "a", REGION: "r"}), json!({ZONE: "a", REGION: "s"}), conflict);
        check(json!({BETA_ZONE: "a"}), json!({ZONE: "a"}), "fits");
        check(json!({BETA_ZONE: "a"}), json!({ZONE: "b"}), conflict);
        check(json!({BETA_ZONE: "a"}), json!({BETA_ZONE: "a", ZONE: "b"}), "fits");
        check(json!({ZONE: "a"}), json!({BETA_ZONE: "a"}), conflict);
    }

    #[test]
    fn claims_must_have_volumes_unless_they_are_still_made() {
        let check = |claim: Value, expected: &str| {
            assert_eq!(told(claim.clone(), Value::Null, json!({ZONE: "a"})), expected, "{claim}");
        };
        check(Value::Null, "persistentvolumeclaim \"c\" not found");
        check(json!({"volumeName": "v"}), "persistentvolume \"v\" not found");
        check(json!({}), "PersistentVolumeClaim had no pv name and storageClass name");
        check(json!({"storageClassName": "none"}), "storageclass.storage.k8s.io \"none\" not found");
        check(json!({"storageClassName": "odd"}), "VolumeBindingMode not set for StorageClass \"odd\"");
        check(json!({"storageClassName": "now"}), "PersistentVolume had no name");
        check(json!({"storageClassName": "late"}), "skip");
    }

    #[test]
    fn hints_are_of_zones() {
        let check = |resource, old: Option<Object>, new: Object, expected| {
            let kind = ClusterEvent::new(resource, ActionType::ADD);
            assert_eq!(VolumeZone.hint(&pod(), &Event { kind, old, new: Some(new.clone()) }), expected, "{new:?}");
        };
        let volume = |labels: Value| {
            Object::PersistentVolume(Arc::new(object(json!({"metadata": {"name": "v", "labels": labels}}))))
        };
        let resource = EventResource::PersistentVolume;
        check(resource, None, volume(json!({})), Hint::Queue);
        check(resource, Some(volume(json!({}))), volume(json!({ZONE: "a"})), Hint::Queue);
        check(resource, Some(volume(json!({ZONE: "a"}))), volume(json!({ZONE: "a", "b": ""})), Hint::Skip);
        let class = |mode: &str| {
            let class = json!({"metadata": {"name": "c"}, "provisioner": "p", "volumeBindingMode": mode});
            Object::StorageClass(Arc::new(object(class)))
        };
        check(EventResource::StorageClass, None, class(WAIT_FOR_FIRST_CONSUMER), Hint::Queue);
        check(EventResource::StorageClass, None, class("Immediate"), Hint::Skip);
        let claim = |name: &str| {
            let claim = json!({"metadata": {"namespace": "default", "name": name}});
            Object::PersistentVolumeClaim(Arc::new(object(claim)))
        };
        check(EventResource::PersistentVolumeClaim, None, claim("c"), Hint::Queue);
        check(EventResource::PersistentVolumeClaim, None, claim("d"), Hint::Skip);
    }
}
