//! Cases of upstream's tests, and that supposing pods is as good as placing them.

use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::testing::{self, object};

const EBS: &str = "ebs.csi.aws.com";
const GCE: &str = "pd.csi.storage.gke.io";
const OLD_EBS: &str = "kubernetes.io/aws-ebs";

/// Volumes and claims `ebs0` to `ebs3`, `gce0` to `gce3`, `old0` to `old3` and `host0`; claims that are not bound: `new` of
/// class `c`, `lost` of it, whose volume there is not, and `bare` of none; and class `c`.
fn storage(snapshot: &mut Snapshot, provisioner: &str) {
    let csi = |driver: &str, handle: &str| json!({"csi": {"driver": driver, "volumeHandle": handle}});
    let mut volumes = vec![("host0".to_owned(), json!({"hostPath": {"path": "/tmp"}}))];
    for number in 0..4 {
        let (ebs, gce, old) = (format!("ebs{number}"), format!("gce{number}"), format!("old{number}"));
        volumes.push((ebs.clone(), csi(EBS, &ebs)));
        volumes.push((gce.clone(), csi(GCE, &gce)));
        volumes.push((old.clone(), json!({"awsElasticBlockStore": {"volumeID": old}})));
    }
    let mut claims = vec![
        ("new".to_owned(), json!({"storageClassName": "c"})),
        ("lost".to_owned(), json!({"storageClassName": "c", "volumeName": "missing"})),
        ("bare".to_owned(), json!({})),
    ];
    for (name, spec) in volumes {
        snapshot.set_persistent_volume(&Arc::new(object(json!({"metadata": {"name": name}, "spec": spec}))));
        claims.push((name.clone(), json!({ "volumeName": name })));
    }
    for (name, spec) in claims {
        let meta = json!({"namespace": "default", "name": name});
        snapshot.set_persistent_volume_claim(&Arc::new(object(json!({"metadata": meta, "spec": spec}))));
    }
    snapshot.set_storage_class(&object(json!({"metadata": {"name": "c"}, "provisioner": provisioner})));
}

fn csi_node(limits: &[(&str, Option<i32>)]) -> CSINode {
    let driver = |(name, limit): &(&str, Option<i32>)| json!({"name": name, "nodeID": "n", "allocatable": limit.map(|count| json!({ "count": count }))});
    object(json!({
        "metadata": {"name": "n"},
        "spec": {"drivers": limits.iter().map(driver).collect::<Vec<_>>()},
    }))
}

/// A pod with volumes: `+` a claim that is made for it, `=` a block store of Amazon's, or else a claim.
fn pod(name: &str, volumes: &[&str]) -> Pod {
    let volume = |(number, volume): (usize, &&str)| {
        let mut said = match volume.split_at(1) {
            ("=", id) => json!({"awsElasticBlockStore": {"volumeID": id}}),
            ("+", _) => json!({"ephemeral": {}}),
            _ => json!({"persistentVolumeClaim": {"claimName": volume}}),
        };
        said["name"] = json!(volume.strip_prefix('+').map_or_else(|| number.to_string(), str::to_owned));
        said
    };
    testing::pod(name, json!({"volumes": volumes.iter().enumerate().map(volume).collect::<Vec<_>>()}))
}

/// What is said of the pod on the node, and that it is the same if the other pods are only supposed there.
fn told(snapshot: &Snapshot, pods: &[Pod], wanted: &Pod) -> String {
    let info = PodInfo::new(wanted);
    let mut full = snapshot.clone();
    pods.iter().for_each(|pod| full.assume(pod, "n"));
    let say = |filter: &dyn Filter| match filter.filter(full.index("n").unwrap()) {
        Ok(()) => "fits".to_owned(),
        Err(rejection) => filter.reason(rejection.reasons.trailing_zeros()),
    };
    let PreFilter::Filter(mut filter) = NodeVolumeLimits.pre_filter(&full, &info) else { return "skip".to_owned() };
    let told = say(&*filter);
    let PreFilter::Filter(mut supposed) = NodeVolumeLimits.pre_filter(snapshot, &info) else { panic!() };
    let alone = say(&*supposed);
    for pod in pods {
        supposed.add(full.pod(pod.metadata.uid.as_ref().unwrap()).unwrap());
        filter.remove(full.pod(pod.metadata.uid.as_ref().unwrap()).unwrap());
    }
    assert_eq!(say(&*supposed), told, "if they are supposed there");
    assert_eq!(say(&*filter), alone, "if they are supposed away");
    for pod in pods {
        supposed.remove(full.pod(pod.metadata.uid.as_ref().unwrap()).unwrap());
    }
    assert_eq!(say(&*supposed), alone, "if they are supposed away again");
    told
}

const FULL: &str = "node(s) exceed max volume count";

fn check(limits: &[(&str, Option<i32>)], there: &[&[&str]], wanted: &[&str], expected: &str) {
    let provisioner = if limits.iter().any(|(name, _)| *name == OLD_EBS) { OLD_EBS } else { EBS };
    let mut snapshot = testing::snapshot(&[testing::node("n", json!({}))], &[]);
    storage(&mut snapshot, provisioner);
    if !limits.is_empty() {
        snapshot.set_csi_node(&csi_node(limits));
    }
    let pods: Vec<Pod> =
        there.iter().enumerate().map(|(number, volumes)| pod(&format!("p{number}"), volumes)).collect();
    assert_eq!(told(&snapshot, &pods, &pod("wanted", wanted)), expected, "{there:?} {wanted:?}");
}

#[test]
fn volumes_of_drivers_are_limited() {
    let ebs = |count| [(EBS, Some(count))];
    check(&ebs(4), &[&["ebs3"], &["ebs1", "ebs2"]], &["ebs0"], "fits");
    check(&ebs(2), &[&["ebs3"], &["ebs1", "ebs2"]], &["ebs0"], FULL);
    check(&[(EBS, None)], &[&["ebs3"], &["ebs1", "ebs2"]], &["ebs0"], "fits");
    check(&[], &[&["ebs3"], &["ebs1", "ebs2"]], &["ebs0"], "fits");
    check(&ebs(0), &[], &["ebs0"], FULL);
    // What is there already needs no more room, even if there are more than there can be.
    check(&ebs(1), &[&["ebs0"], &["ebs1"]], &["ebs0"], "fits");
    check(&ebs(2), &[&["ebs0"], &["ebs0"]], &["ebs1"], "fits");
    check(&ebs(1), &[], &["ebs0", "ebs1"], FULL);
    // Claims that are not bound, and those whose volumes there are not.
    check(&ebs(2), &[&["new"], &["ebs1", "ebs2"]], &["ebs0"], FULL);
    check(&ebs(4), &[&["new"], &["new"], &["ebs1", "ebs2"]], &["ebs0"], "fits");
    check(&ebs(2), &[&["lost"], &["ebs1", "ebs2"]], &["ebs0"], FULL);
    check(&ebs(2), &[&["ebs3"], &["bare"]], &["ebs0"], "fits");
    // Other drivers.
    let both = [(EBS, Some(2)), (GCE, Some(2))];
    check(&both, &[&["gce1", "gce2"], &["ebs1", "ebs2"]], &["ebs0"], FULL);
    check(&both, &[&["ebs1", "ebs2"], &["ebs3"]], &["gce1", "gce2"], "fits");
    check(&ebs(2), &[], &["host0"], "skip");
    check(&ebs(2), &[], &["bare"], "skip");
    check(&ebs(2), &[], &[], "skip");
}

#[test]
fn volumes_of_migrated_plugins_are_their_drivers() {
    let limits = |count| [(OLD_EBS, Some(count)), (EBS, Some(count))];
    check(&limits(2), &[&["old1", "old2"]], &["old0"], FULL);
    check(&limits(3), &[&["old1", "old2"]], &["old0"], "fits");
    check(&[], &[&["old1", "old2"]], &["=aws-inline1"], "fits");
    check(&limits(2), &[&["old1", "old2"]], &["new"], FULL);
    check(&[(OLD_EBS, None), (EBS, None)], &[&["old1", "old2"]], &["old0"], "fits");
    check(&limits(2), &[&["old1", "old2"]], &["=aws-inline1"], FULL);
    check(&limits(2), &[&["ebs1", "ebs2"]], &["old0"], FULL);
    check(&limits(3), &[&["ebs1", "ebs2"], &["old0"]], &["=aws-inline1"], FULL);
    check(&limits(3), &[&["ebs1", "ebs2"], &["old0"]], &["=ebs1"], "fits");
    check(&limits(2), &[&["old1", "old2"]], &["ebs0"], FULL);
}

#[test]
fn claims_that_are_made_for_pods_count() {
    let claim = |name: &str, owner: Option<&str>| {
        let owner =
            owner.map(|uid| json!({"apiVersion": "v1", "kind": "Pod", "name": uid, "uid": uid, "controller": true}));
        Arc::new(object(json!({
            "metadata": {"namespace": "default", "name": name, "ownerReferences": owner.into_iter().collect::<Vec<_>>()},
            "spec": {"storageClassName": "c"},
        })))
    };
    let check = |claims: &[(&str, Option<&str>)], limit, there: &[&[&str]], wanted: &[&str], expected: &str| {
        let mut snapshot = testing::snapshot(&[testing::node("n", json!({}))], &[]);
        storage(&mut snapshot, EBS);
        snapshot.set_csi_node(&csi_node(&[(EBS, limit)]));
        claims.iter().for_each(|(name, owner)| snapshot.set_persistent_volume_claim(&claim(name, *owner)));
        let pods: Vec<Pod> =
            there.iter().enumerate().map(|(number, volumes)| pod(&format!("p{number}"), volumes)).collect();
        assert_eq!(told(&snapshot, &pods, &pod("abc", wanted)), expected);
    };
    let missing = "looking up PVC default/abc-xyz: persistentvolumeclaim \"abc-xyz\" not found";
    check(&[], None, &[], &["+xyz"], missing);
    let foreign = "PVC default/abc-xyz was not created for pod default/abc (pod is not owner)";
    check(&[("abc-xyz", None)], None, &[], &["+xyz"], foreign);
    check(&[("abc-xyz", Some("other"))], None, &[], &["+xyz"], foreign);
    let own = [("abc-xyz", Some("abc"))];
    check(&own, None, &[], &["+xyz"], "fits");
    check(&own, Some(2), &[&["ebs3"], &["ebs1", "ebs2"]], &["+xyz"], FULL);
    let theirs = [("p1-x", Some("p1")), ("p1-y", Some("p1"))];
    check(&theirs, Some(3), &[&["ebs3"], &["+x", "+y"]], &["ebs0"], FULL);
    check(&theirs, Some(4), &[&["ebs3"], &["+x", "+y"]], &["ebs0"], "fits");
}

#[test]
fn attachments_count_until_they_are_gone() {
    let attachment = |number: i32, node: &str| -> VolumeAttachment {
        object(json!({
            "metadata": {"name": format!("va{number}")},
            "spec": {"nodeName": node, "attacher": EBS, "source": {"persistentVolumeName": format!("ebs{number}")}},
        }))
    };
    let mut snapshot = testing::snapshot(&[testing::node("n", json!({}))], &[]);
    storage(&mut snapshot, EBS);
    snapshot.set_csi_node(&csi_node(&[(EBS, Some(2))]));
    let said = |snapshot: &Snapshot, pods: &[Pod]| told(snapshot, pods, &pod("wanted", &["ebs0"]));
    snapshot.set_volume_attachment(&attachment(0, "n"));
    assert_eq!(said(&snapshot, &[]), "fits");
    snapshot.set_volume_attachment(&attachment(1, "n"));
    assert_eq!(said(&snapshot, &[]), FULL, "also if it is attached already, as upstream counts");
    assert_eq!(said(&snapshot, &[pod("p", &["ebs0"])]), "fits", "unless a pod there has it");
    snapshot.set_volume_attachment(&attachment(1, "elsewhere"));
    assert_eq!(said(&snapshot, &[]), "fits");
    snapshot.set_volume_attachment(&attachment(2, "n"));
    assert_eq!(said(&snapshot, &[]), FULL);
    snapshot.remove_volume_attachment("va2");
    assert_eq!(said(&snapshot, &[pod("p", &["ebs1"])]), FULL);
    assert_eq!(said(&snapshot, &[]), "fits");
}

#[test]
fn pods_wait_for_drivers_that_say_so() {
    let mut snapshot = testing::snapshot(&[testing::node("n", json!({}))], &[]);
    storage(&mut snapshot, EBS);
    let driver =
        |prevent: bool| object(json!({"metadata": {"name": EBS}, "spec": {"preventPodSchedulingIfMissing": prevent}}));
    let said = |snapshot: &Snapshot, volume: &str| told(snapshot, &[], &pod("wanted", &[volume]));
    let missing = "ebs.csi.aws.com CSI driver is not installed on the node";
    snapshot.set_csi_driver(&driver(false));
    assert_eq!(said(&snapshot, "ebs0"), "fits");
    snapshot.set_csi_driver(&driver(true));
    assert_eq!(said(&snapshot, "ebs0"), missing);
    assert_eq!(said(&snapshot, "gce0"), "fits");
    snapshot.set_csi_node(&csi_node(&[(GCE, None)]));
    assert_eq!(said(&snapshot, "ebs0"), missing);
    snapshot.set_csi_node(&csi_node(&[(EBS, None)]));
    assert_eq!(said(&snapshot, "ebs0"), "fits");
    snapshot.remove_csi_node("n");
    snapshot.remove_csi_driver(EBS);
    assert_eq!(said(&snapshot, "ebs0"), "fits");
}

fn hint(wanted: &Pod, old: Option<Object>, new: Option<Object>) -> Hint {
    let kind = ClusterEvent::new(EventResource::WildCard, ActionType::ALL);
    NodeVolumeLimits.hint(wanted, &Event { kind, old, new })
}

#[test]
fn hints_are_of_pods_and_claims() {
    let gone = |volumes: &[&str], node: &str| {
        let mut pod = pod("gone", volumes);
        pod.spec.as_mut().unwrap().node_name = Some(node.to_owned());
        Some(Object::Pod(Arc::new(pod)))
    };
    let wanted = pod("wanted", &["ebs2"]);
    assert_eq!(hint(&wanted, gone(&["none"], "n"), None), Hint::Queue);
    assert_eq!(hint(&wanted, gone(&["=v"], "n"), None), Hint::Queue);
    assert_eq!(hint(&wanted, gone(&["+v"], "n"), None), Hint::Queue);
    assert_eq!(hint(&wanted, gone(&[], "n"), None), Hint::Skip);
    assert_eq!(hint(&wanted, gone(&["ebs0"], ""), None), Hint::Skip);
    let claim = |namespace: &str, name: &str| {
        let claim = object(json!({"metadata": {"namespace": namespace, "name": name}}));
        Some(Object::PersistentVolumeClaim(Arc::new(claim)))
    };
    assert_eq!(hint(&wanted, None, claim("default", "ebs2")), Hint::Queue);
    assert_eq!(hint(&wanted, None, claim("other", "ebs2")), Hint::Skip);
    assert_eq!(hint(&wanted, None, claim("default", "ebs1")), Hint::Skip);
    assert_eq!(hint(&pod("wanted", &["+v"]), None, claim("default", "wanted-v")), Hint::Queue);
}

#[test]
fn hints_are_of_drivers_and_attachments() {
    let node = |limits: &[(&str, Option<i32>)]| Some(Object::CsiNode(Arc::new(csi_node(limits))));
    let check = |old: &[(&str, Option<i32>)], new: &[(&str, Option<i32>)], expected| {
        assert_eq!(hint(&pod("wanted", &["ebs0"]), node(old), node(new)), expected, "{old:?} {new:?}");
    };
    check(&[(EBS, Some(1))], &[(EBS, Some(2))], Hint::Queue);
    check(&[(EBS, Some(2))], &[(EBS, Some(2))], Hint::Skip);
    check(&[(EBS, Some(2))], &[(EBS, Some(1))], Hint::Skip);
    check(&[], &[(EBS, Some(1))], Hint::Queue);
    check(&[], &[(EBS, None)], Hint::Queue);
    check(&[(EBS, None)], &[], Hint::Skip);
    check(&[(EBS, Some(1))], &[(EBS, None)], Hint::Queue);
    check(&[(EBS, Some(1))], &[], Hint::Queue);
    assert_eq!(hint(&pod("wanted", &["ebs0"]), None, node(&[])), Hint::Queue);
    let attachment = |driver: &str| {
        let source: Value = json!({"persistentVolumeName": "pv1"});
        let attachment =
            json!({"metadata": {"name": "a"}, "spec": {"nodeName": "n", "attacher": driver, "source": source}});
        Some(Object::VolumeAttachment(Arc::new(object(attachment))))
    };
    assert_eq!(hint(&pod("wanted", &["ebs0"]), attachment("test"), None), Hint::Queue);
    assert_eq!(hint(&pod("wanted", &["+v"]), attachment("test"), None), Hint::Queue);
    assert_eq!(hint(&pod("wanted", &["=v"]), attachment(EBS), None), Hint::Queue);
    assert_eq!(hint(&pod("wanted", &["=v"]), attachment(GCE), None), Hint::Skip);
    assert_eq!(hint(&pod("wanted", &[]), attachment(EBS), None), Hint::Skip);
}
