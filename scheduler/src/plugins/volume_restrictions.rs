//! VolumeRestrictions: disks that pods on one node cannot share, and claims that only one pod at all can use.
//!
//! Costs, for a pod that names disks, one comparison for each disk of each pod on the node; for others that have a say,
//! nothing.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Pod;

use super::volume_claims::{needs, no_claim};
use crate::config::ExtensionPoint;
use crate::cycle::{Filter, Plugin, PreFilter, Rejection};
use crate::queue::{ActionType, ClusterEvent, Event, EventResource, Hint, Object};
use crate::snapshot::{ClaimKey, Disk, NodeIndex, PlacedPod, PodInfo, PodVolumes, Snapshot};

const DISK: u32 = 0;
const CLAIM: u32 = 1;

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
pub struct VolumeRestrictions;

impl Plugin for VolumeRestrictions {
    fn name(&self) -> &'static str {
        "VolumeRestrictions"
    }

    fn points(&self) -> &'static [ExtensionPoint] {
        &[ExtensionPoint::PreFilter, ExtensionPoint::Filter]
    }

    fn events(&self) -> Vec<ClusterEvent> {
        vec![
            ClusterEvent::new(EventResource::AssignedPod, ActionType::DELETE),
            ClusterEvent::new(EventResource::Node, ActionType::ADD),
            ClusterEvent::new(EventResource::PersistentVolumeClaim, ActionType::ADD),
        ]
    }

    fn hint(&self, pod: &Pod, event: &Event) -> Hint {
        let helps = match (event.kind.resource, &event.old, &event.new) {
            (EventResource::AssignedPod, Some(Object::Pod(gone)), _) => frees(gone, pod),
            (EventResource::PersistentVolumeClaim, _, Some(Object::PersistentVolumeClaim(claim))) => {
                needs(pod, claim, false)
            }
            _ => true,
        };
        if helps { Hint::Queue } else { Hint::Skip }
    }

    fn pre_filter<'a>(&'a self, snapshot: &'a Snapshot, pod: &'a PodInfo) -> PreFilter<'a> {
        let Some(volumes) = &pod.volumes else { return PreFilter::Skip };
        let mut single = Vec::new();
        for claim in volumes.claims.iter().filter(|claim| !claim.ephemeral) {
            match snapshot.storage().claim(&claim.key) {
                None => return PreFilter::Reject(no_claim(&claim.key.name)),
                Some(known) if known.single_pod => single.push(&claim.key),
                Some(_) => {}
            }
        }
        let users = single.iter().map(|claim| snapshot.storage().users(claim)).sum();
        if users == 0 && volumes.disks.is_empty() {
            return PreFilter::Skip;
        }
        PreFilter::Filter(Box::new(Shared {
            snapshot,
            volumes,
            single,
            users,
            gone: BTreeSet::new(),
            come: Vec::new(),
        }))
    }
}

/// Whether the pod that is gone may have been in the other's way. Upstream's hint misses disks of pods of other namespaces.
fn frees(gone: &Pod, pod: &Pod) -> bool {
    let (Some(gone), Some(pod)) = (PodVolumes::read(gone), PodVolumes::read(pod)) else { return false };
    let conflict = pod.disks.iter().any(|disk| gone.disks.iter().any(|other| disk.conflicts(other)));
    conflict || pod.claims.iter().any(|claim| !claim.ephemeral && gone.claims.contains(claim))
}

struct Shared<'a> {
    snapshot: &'a Snapshot,
    volumes: &'a PodVolumes,
    /// The claims that only one pod can use.
    single: Vec<&'a ClaimKey>,
    /// How many other pods use them.
    users: u32,
    /// Pods with disks that are supposed not to be on their nodes.
    gone: BTreeSet<String>,
    /// The disks of pods that are supposed to be on nodes.
    come: Vec<(NodeIndex, String, Vec<Disk>)>,
}

impl Shared<'_> {
    fn conflicts(&self, disks: &[Disk]) -> bool {
        disks.iter().any(|other| self.volumes.disks.iter().any(|disk| disk.conflicts(other)))
    }

    fn finds_disk_in_use(&self, node: NodeIndex) -> bool {
        if self.volumes.disks.is_empty() {
            return false;
        }
        let used = |pod: &PlacedPod| {
            let volumes = pod.info.volumes.as_ref().filter(|volumes| self.conflicts(&volumes.disks));
            volumes.is_some() && !self.gone.contains(&pod.uid)
        };
        self.snapshot.node(node).pods.iter().any(|pod| used(pod))
            || self.come.iter().any(|(other, _, disks)| *other == node && self.conflicts(disks))
    }

    /// How many of the claims that only one pod can use the pod uses.
    fn uses(&self, pod: &PlacedPod) -> u32 {
        let claims = pod.info.volumes.iter().flat_map(|volumes| &volumes.claims);
        claims.filter(|claim| self.single.contains(&&claim.key)).map(|_| 1).sum()
    }
}

impl Filter for Shared<'_> {
    fn filter(&self, node: NodeIndex) -> Result<(), Rejection> {
        if self.finds_disk_in_use(node) {
            return Err(Rejection::resolvable(DISK));
        }
        if self.users > 0 { Err(Rejection::resolvable(CLAIM)) } else { Ok(()) }
    }

    fn reason(&self, number: u32) -> String {
        let reason = match number {
            DISK => "node(s) had no available disk",
            _ => {
                "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by \
                 another pod"
            }
        };
        reason.to_owned()
    }

    fn add(&mut self, pod: &PlacedPod) {
        let Some(volumes) = &pod.info.volumes else { return };
        self.users += self.uses(pod);
        if !volumes.disks.is_empty() && !self.gone.remove(&pod.uid) {
            self.come.push((pod.node, pod.uid.clone(), volumes.disks.clone()));
        }
    }

    fn remove(&mut self, pod: &PlacedPod) {
        let Some(volumes) = &pod.info.volumes else { return };
        self.users = self.users.saturating_sub(self.uses(pod));
        if volumes.disks.is_empty() {
            return;
        }
        match self.come.iter().position(|(_, uid, _)| *uid == pod.uid) {
            Some(position) => drop(self.come.swap_remove(position)),
            None => drop(self.gone.insert(pod.uid.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;
    use crate::plugins::testing::{Told, check_filter};
    use crate::testing::{self, object};

    fn with(name: &str, volume: &Value) -> Pod {
        let mut volume = volume.clone();
        volume["name"] = json!("v");
        testing::pod(name, json!({"volumes": [volume]}))
    }

    fn gce(name: &str, read_only: bool) -> Value {
        json!({"gcePersistentDisk": {"pdName": name, "readOnly": read_only}})
    }

    fn ebs(id: &str) -> Value {
        json!({"awsElasticBlockStore": {"volumeID": id, "readOnly": true}})
    }

    fn iscsi(iqn: &str, read_only: bool) -> Value {
        json!({"iscsi": {"iqn": iqn, "lun": 0, "targetPortal": "p", "readOnly": read_only}})
    }

    fn rbd(monitors: &[&str], image: &str, read_only: bool) -> Value {
        json!({"rbd": {"monitors": monitors, "pool": "foo", "image": image, "readOnly": read_only}})
    }

    #[test]
    fn disks_are_shared_by_readers_alone() {
        const IN_USE: Told = Told::Resolvable(&["node(s) had no available disk"]);
        let check = |there: Value, wanted: Value, expected| {
            let node = testing::node("n", json!({}));
            check_filter(&VolumeRestrictions, &node, &[with("a", &there)], &with("b", &wanted), expected);
        };
        check(json!({"emptyDir": {}}), json!({"emptyDir": {}}), Told::Fits);
        check(gce("a", false), gce("a", false), IN_USE);
        check(gce("a", true), gce("a", false), IN_USE);
        check(gce("a", true), gce("a", true), Told::Fits);
        check(gce("a", false), gce("b", false), Told::Fits);
        check(ebs("a"), ebs("a"), IN_USE);
        check(ebs("a"), ebs("b"), Told::Fits);
        check(ebs("a"), gce("a", false), Told::Fits);
        check(iscsi("a", false), iscsi("a", false), IN_USE);
        check(iscsi("a", true), iscsi("a", true), Told::Fits);
        check(iscsi("a", false), iscsi("b", false), Told::Fits);
        check(rbd(&["a", "b"], "bar", false), rbd(&["b", "c"], "bar", false), IN_USE);
        check(rbd(&["a", "b"], "bar", true), rbd(&["b", "c"], "bar", true), Told::Fits);
        check(rbd(&["a", "b"], "bar", false), rbd(&["c", "d"], "bar", false), Told::Fits);
        check(rbd(&["a", "b"], "bar", false), rbd(&["a", "b"], "baz", false), Told::Fits);
    }

    fn claim(name: &str, mode: &str) -> Arc<k8s_openapi::api::core::v1::PersistentVolumeClaim> {
        Arc::new(object(json!({
            "metadata": {"namespace": "default", "name": name},
            "spec": {"accessModes": [mode]},
        })))
    }

    #[test]
    fn claims_of_one_pod_are_not_shared_with_others() {
        let of_claim = |name: &str| json!({"persistentVolumeClaim": {"claimName": name}});
        let nodes = ["n1", "n2"].map(|name| testing::node(name, json!({})));
        let mut snapshot = testing::snapshot(&nodes, &[("n1", with("a", &of_claim("one")))]);
        snapshot.set_persistent_volume_claim(&claim("one", "ReadWriteOncePod"));
        snapshot.set_persistent_volume_claim(&claim("free", "ReadWriteOncePod"));
        snapshot.set_persistent_volume_claim(&claim("many", "ReadWriteOnce"));
        let info = |name: &str| PodInfo::new(&with("b", &of_claim(name)));
        for name in ["free", "many"] {
            assert!(matches!(VolumeRestrictions.pre_filter(&snapshot, &info(name)), PreFilter::Skip), "{name}");
        }
        let missing = info("none");
        let PreFilter::Reject(reason) = VolumeRestrictions.pre_filter(&snapshot, &missing) else { panic!() };
        assert_eq!(reason, "persistentvolumeclaim \"none\" not found");
        let wanted = info("one");
        let PreFilter::Filter(mut filter) = VolumeRestrictions.pre_filter(&snapshot, &wanted) else { panic!() };
        for name in ["n1", "n2"] {
            let rejection = filter.filter(snapshot.index(name).unwrap()).unwrap_err();
            assert_eq!(rejection, Rejection::resolvable(CLAIM));
        }
        let user = snapshot.pod("a").unwrap();
        filter.remove(user);
        assert_eq!(filter.filter(snapshot.index("n2").unwrap()), Ok(()));
        filter.add(user);
        assert!(filter.filter(snapshot.index("n2").unwrap()).is_err());
    }

    #[test]
    fn hints_are_of_what_is_in_the_way() {
        let check_in = |namespace: &str, gone: Value, wanted: Value, expected| {
            let mut pod = with("a", &gone);
            pod.metadata.namespace = Some(namespace.to_owned());
            let event = Event {
                kind: ClusterEvent::new(EventResource::AssignedPod, ActionType::DELETE),
                old: Some(Object::Pod(Arc::new(pod))),
                new: None,
            };
            assert_eq!(VolumeRestrictions.hint(&with("b", &wanted), &event), expected, "{gone} {wanted}");
        };
        let check = |gone, wanted, expected| check_in("default", gone, wanted, expected);
        let of_claim = |name: &str| json!({"persistentVolumeClaim": {"claimName": name}});
        check(gce("a", false), gce("a", false), Hint::Queue);
        check(gce("a", true), gce("a", true), Hint::Skip);
        check(of_claim("a"), of_claim("a"), Hint::Queue);
        check_in("other", gce("a", false), gce("a", false), Hint::Queue);
        check_in("other", of_claim("a"), of_claim("a"), Hint::Skip);
        check(of_claim("a"), of_claim("b"), Hint::Skip);
        check(of_claim("a"), gce("a", false), Hint::Skip);
        let event = |name: &str| Event {
            kind: ClusterEvent::new(EventResource::PersistentVolumeClaim, ActionType::ADD),
            old: None,
            new: Some(Object::PersistentVolumeClaim(claim(name, "ReadWriteOncePod"))),
        };
        assert_eq!(VolumeRestrictions.hint(&with("b", &of_claim("a")), &event("a")), Hint::Queue);
        assert_eq!(VolumeRestrictions.hint(&with("b", &of_claim("a")), &event("b")), Hint::Skip);
    }
}
