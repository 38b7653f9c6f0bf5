//! Cases of upstream's tests, and that what is taken back was never done.

mod binding;
mod reserving;

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::*;
use crate::testing::{self, object};

pub(super) const SELECTED: &str = "volume.kubernetes.io/selected-node";
pub(super) const HOST: &str = "kubernetes.io/hostname";
const ZONE: &str = "topology.kubernetes.io/zone";

/// Nodes `n1` to `n3` in zones `z1` to `z3`; classes `wait`, whose volumes are there, `make`, whose volumes are made
/// anywhere, `zoned`, whose volumes are made in `z1`, `tells`, whose driver says how much room there is, and `now`.
pub(super) fn cluster() -> Snapshot {
    let node = |number: u8| {
        testing::node(&format!("n{number}"), json!({"metadata": {"labels": {ZONE: format!("z{number}")}}}))
    };
    let mut snapshot = testing::snapshot(&[1, 2, 3].map(node), &[]);
    let z1 = json!([{"matchLabelExpressions": [{"key": ZONE, "values": ["z1"]}]}]);
    let wait = "WaitForFirstConsumer";
    for (name, provisioner, mode, topologies) in [
        ("wait", "kubernetes.io/no-provisioner", json!(wait), json!([])),
        ("make", "maker", json!(wait), json!([])),
        ("zoned", "maker", json!(wait), z1),
        ("tells", "teller", json!(wait), json!([])),
        ("now", "maker", json!("Immediate"), json!([])),
        ("odd", "maker", Value::Null, json!([])),
    ] {
        snapshot.set_storage_class(&object(json!({
            "metadata": {"name": name}, "provisioner": provisioner,
            "volumeBindingMode": mode, "allowedTopologies": topologies,
        })));
    }
    snapshot.set_csi_driver(&object(json!({"metadata": {"name": "teller"}, "spec": {"storageCapacity": true}})));
    snapshot
}

/// Says more, if there is more to say.
pub(super) fn say(value: &mut Value, over: &Value) {
    if !over.is_null() {
        testing::merge(value, over.clone());
    }
}

/// A volume of so many gigabytes that is there for claims of class `wait`, if it is of a node for pods there only.
pub(super) fn volume(name: &str, size: u8, node: Option<&str>, over: &Value) -> Value {
    let mut value = json!({
        "metadata": {"name": name, "resourceVersion": "1"},
        "spec": {
            "capacity": {"storage": format!("{size}Gi")}, "storageClassName": "wait", "accessModes": ["ReadWriteOnce"],
        },
        "status": {"phase": "Available"},
    });
    if let Some(node) = node {
        value["spec"]["nodeAffinity"] = json!({"required": {"nodeSelectorTerms": [
            {"matchExpressions": [{"key": HOST, "operator": "In", "values": [node]}]},
        ]}});
    }
    say(&mut value, over);
    value
}

/// A claim of so many gigabytes of a class.
pub(super) fn claim(name: &str, size: u8, class: &str, over: &Value) -> Value {
    let mut value = json!({
        "metadata": {"namespace": "default", "name": name, "uid": name, "resourceVersion": "1"},
        "spec": {
            "resources": {"requests": {"storage": format!("{size}Gi")}},
            "storageClassName": class, "accessModes": ["ReadWriteOnce"],
        },
    });
    say(&mut value, over);
    value
}

/// A claim that is bound to a volume for good.
fn bound(name: &str, volume: &str) -> Value {
    let annotations = json!({"pv.kubernetes.io/bind-completed": "yes"});
    claim(name, 1, "wait", &json!({"metadata": {"annotations": annotations}, "spec": {"volumeName": volume}}))
}

pub(super) fn add(snapshot: &mut Snapshot, volumes: &[Value], claims: &[Value]) {
    for volume in volumes {
        snapshot.set_persistent_volume(&Arc::new(object(volume.clone())));
    }
    for claim in claims {
        snapshot.set_persistent_volume_claim(&Arc::new(object(claim.clone())));
    }
}

pub(super) fn pod(claims: &[&str]) -> Pod {
    let of_claim = |name: &&str| match name.strip_prefix('+') {
        Some(name) => json!({"name": name, "ephemeral": {}}),
        None => json!({"name": name, "persistentVolumeClaim": {"claimName": name}}),
    };
    testing::pod("p", json!({"volumes": claims.iter().map(of_claim).collect::<Vec<_>>()}))
}

/// What is said of nodes `n1` and `n2`: `ok`, or the reasons.
fn said(snapshot: &Snapshot, claims: &[&str]) -> Vec<String> {
    let (info, plugin) = (PodInfo::new(&pod(claims)), VolumeBinding::default());
    let filter = match plugin.pre_filter(snapshot, &info) {
        PreFilter::Skip => return vec!["skip".to_owned()],
        PreFilter::Reject(reason) => return vec![reason],
        PreFilter::Filter(filter) => filter,
        PreFilter::Only(..) => panic!("it does not know the only nodes"),
    };
    let say = |node: &str| match filter.filter(snapshot.index(node).unwrap()) {
        Ok(()) => "ok".to_owned(),
        Err(rejection) => {
            assert!(rejection.unresolvable, "no pod is in the way");
            let numbers = (0..u64::BITS).filter(|number| rejection.reasons & (1 << number) != 0);
            numbers.map(|number| filter.reason(number)).collect::<Vec<_>>().join(", ")
        }
    };
    ["n1", "n2"].map(say).into()
}

fn check(volumes: &[Value], claims: &[Value], expected: &[&str]) {
    let mut snapshot = cluster();
    add(&mut snapshot, volumes, claims);
    let names: Vec<&str> = claims.iter().map(|claim| claim["metadata"]["name"].as_str().unwrap()).collect();
    assert_eq!(said(&snapshot, &names), expected, "{volumes:?} {claims:?}");
}

const NONE: &str = "node(s) didn't find available persistent volumes to bind";
const ELSEWHERE: &str = "node(s) didn't match PersistentVolume's node affinity";
const GONE: &str = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)";
const FULL: &str = "node(s) did not have enough free storage";
/// Nothing is said besides.
const NOTHING: &Value = &Value::Null;

#[test]
fn claims_must_be_usable() {
    check(&[], &[], &["skip"]);
    let snapshot = cluster();
    assert_eq!(said(&snapshot, &["c"]), ["persistentvolumeclaim \"c\" not found"]);
    let waiting = "waiting for ephemeral volume controller to create the persistentvolumeclaim \"p-c\"";
    assert_eq!(said(&snapshot, &["+c"]), [waiting]);
    let with = |over: Value| [claim("c", 1, "wait", &over)];
    let lost = json!({"spec": {"volumeName": "v"}, "status": {"phase": "Lost"}});
    check(&[], &with(lost), &["persistentvolumeclaim \"c\" bound to non-existent persistentvolume \"v\""]);
    let leaving = json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}});
    check(&[], &with(leaving), &["persistentvolumeclaim \"c\" is being deleted"]);
    let immediate = "pod has unbound immediate PersistentVolumeClaims";
    check(&[], &[claim("c", 1, "now", NOTHING)], &[immediate]);
    check(&[], &[claim("c", 1, "", NOTHING)], &[immediate]);
    check(&[], &[claim("c", 1, "unknown", NOTHING)], &[immediate]);
    check(&[], &with(json!({"spec": {"volumeName": "v"}})), &[immediate]);
    check(&[], &[claim("c", 1, "odd", NOTHING)], &["VolumeBindingMode not set for StorageClass \"odd\""]);
    let mut snapshot = cluster();
    let owner = |uid: &str| {
        let owner = json!({"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": uid, "controller": true});
        claim("p-c", 1, "make", &json!({"metadata": {"ownerReferences": [owner]}}))
    };
    add(&mut snapshot, &[], &[owner("other")]);
    assert_eq!(said(&snapshot, &["+c"]), ["PVC default/p-c was not created for pod default/p (pod is not owner)"]);
    add(&mut snapshot, &[], &[owner("p")]);
    assert_eq!(said(&snapshot, &["+c"]), ["ok", "ok"]);
}

#[test]
fn bound_volumes_are_where_they_are() {
    check(&[volume("v", 1, None, NOTHING)], &[bound("c", "v")], &["ok", "ok"]);
    check(&[volume("v", 1, Some("n1"), NOTHING)], &[bound("c", "v")], &["ok", ELSEWHERE]);
    check(&[], &[bound("c", "v")], &[GONE, GONE]);
    let both = [volume("v", 1, Some("n1"), NOTHING), volume("w", 1, Some("n2"), NOTHING)];
    check(&both, &[bound("c", "v"), bound("d", "w")], &[ELSEWHERE, ELSEWHERE]);
    let and = format!("{ELSEWHERE}, {NONE}");
    let taken = json!({"spec": {"claimRef": {"namespace": "default", "name": "c", "uid": "c"}}});
    let taken = volume("v", 1, Some("n1"), &taken);
    check(&[taken], &[bound("c", "v"), claim("d", 1, "wait", NOTHING)], &[NONE, &and]);
    // A plugin that was migrated to a driver asks for the driver's labels.
    let affinity = json!({"required": {"nodeSelectorTerms": [
        {"matchExpressions": [{"key": ZONE, "operator": "In", "values": ["z1"]}]},
    ]}});
    let old = json!({"spec": {"awsElasticBlockStore": {"volumeID": "vol-1"}, "nodeAffinity": affinity}});
    let mut snapshot = cluster();
    add(&mut snapshot, &[volume("v", 1, None, &old)], &[bound("c", "v")]);
    assert_eq!(said(&snapshot, &["c"]), ["ok", ELSEWHERE]);
    let migrated = json!({"storage.alpha.kubernetes.io/migrated-plugins": "kubernetes.io/aws-ebs"});
    let node = json!({"metadata": {"name": "n1", "annotations": migrated}, "spec": {"drivers": []}});
    snapshot.set_csi_node(&object(node));
    assert_eq!(said(&snapshot, &["c"]), [ELSEWHERE, ELSEWHERE]);
}

#[test]
fn claims_get_volumes_that_there_are() {
    let wants = |over: Value| [claim("c", 2, "wait", &over)];
    let check_one = |size, node, over: Value, expected: &[&str]| {
        check(&[volume("v", size, node, &over)], &wants(json!({})), expected);
    };
    check(&[], &wants(json!({})), &[NONE, NONE]);
    check_one(2, None, json!({}), &["ok", "ok"]);
    check_one(2, Some("n1"), json!({}), &["ok", NONE]);
    check_one(1, None, json!({}), &[NONE, NONE]);
    check_one(2, None, json!({"spec": {"storageClassName": "other"}}), &[NONE, NONE]);
    check_one(2, None, json!({"spec": {"volumeMode": "Block"}}), &[NONE, NONE]);
    check_one(2, None, json!({"spec": {"accessModes": ["ReadOnlyMany"]}}), &[NONE, NONE]);
    check_one(2, None, json!({"spec": {"volumeAttributesClassName": "fast"}}), &[NONE, NONE]);
    check_one(2, None, json!({"status": {"phase": "Released"}}), &[NONE, NONE]);
    check_one(2, None, json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}), &[NONE, NONE]);
    let kept =
        |name: &str, uid: &str| json!({"spec": {"claimRef": {"namespace": "default", "name": name, "uid": uid}}});
    check_one(2, None, kept("d", ""), &[NONE, NONE]);
    check_one(2, None, kept("c", ""), &["ok", "ok"]);
    check_one(2, Some("n2"), kept("c", "c"), &[NONE, "ok"]);
    check_one(2, None, kept("c", "another"), &[NONE, NONE]);
    // What is kept for it, or nothing.
    let other = volume("w", 2, Some("n1"), NOTHING);
    check(&[volume("v", 2, Some("n2"), &kept("c", "c")), other.clone()], &wants(json!({})), &[NONE, "ok"]);
    // The claim's own selector.
    let labelled = volume("v", 2, None, &json!({"metadata": {"labels": {"a": "b"}}}));
    let selector = |value: &str| json!({"spec": {"selector": {"matchLabels": {"a": value}}}});
    check(std::slice::from_ref(&labelled), &wants(selector("b")), &["ok", "ok"]);
    check(&[labelled], &wants(selector("c")), &[NONE, NONE]);
    // Two claims need two volumes, and the greater needs the greater.
    let two = [claim("c", 2, "wait", NOTHING), claim("d", 1, "wait", NOTHING)];
    let sized = |size| volume("w", size, Some("n1"), NOTHING);
    check(&[volume("v", 2, None, NOTHING)], &two, &[NONE, NONE]);
    check(&[volume("v", 2, None, NOTHING), sized(1)], &two, &["ok", NONE]);
    check(&[volume("v", 1, None, NOTHING), sized(1)], &two, &[NONE, NONE]);
}

#[test]
fn volumes_are_made_where_they_can_be() {
    check(&[], &[claim("c", 1, "make", NOTHING)], &["ok", "ok"]);
    check(&[], &[claim("c", 1, "zoned", NOTHING)], &["ok", NONE]);
    check(&[], &[claim("c", 1, "make", NOTHING), claim("d", 1, "zoned", NOTHING)], &["ok", NONE]);
    check(
        &[volume("v", 1, None, NOTHING)],
        &[claim("c", 1, "wait", NOTHING), claim("d", 1, "zoned", NOTHING)],
        &["ok", NONE],
    );
    let chosen = |node: &str| json!({"metadata": {"annotations": {SELECTED: node}}});
    check(&[], &[claim("c", 1, "make", &chosen("n1"))], &["ok", NONE]);
    check(&[], &[claim("c", 1, "make", &chosen("n3"))], &[NONE, NONE]);
    // Once a node is selected, volumes that are there are no longer for it.
    check(&[volume("v", 1, None, NOTHING)], &[claim("c", 1, "wait", &chosen("n1"))], &[NONE, NONE]);
    let kept = json!({"spec": {"storageClassName": "make", "claimRef": {"namespace": "default", "name": "c"}}});
    check(&[volume("v", 1, Some("n2"), &kept)], &[claim("c", 1, "make", NOTHING)], &["ok", "ok"]);
}

#[test]
fn volumes_are_made_where_there_is_room() {
    let room = |name: &str, over: Value| {
        let mut room = json!({"metadata": {"namespace": "default", "name": name}, "storageClassName": "tells"});
        testing::merge(&mut room, over);
        room
    };
    let at = |zone: &str| json!({"matchLabels": {ZONE: zone}});
    let check = |rooms: &[Value], expected: &[&str]| {
        let mut snapshot = cluster();
        rooms.iter().for_each(|room| snapshot.set_csi_storage_capacity(&object(room.clone())));
        add(&mut snapshot, &[], &[claim("c", 2, "tells", NOTHING)]);
        assert_eq!(said(&snapshot, &["c"]), expected, "{rooms:?}");
        snapshot.set_csi_driver(&object(json!({"metadata": {"name": "teller"}, "spec": {}})));
        assert_eq!(said(&snapshot, &["c"]), ["ok", "ok"], "nobody asks");
    };
    check(&[], &[FULL, FULL]);
    check(&[room("a", json!({"capacity": "2Gi", "nodeTopology": at("z1")}))], &["ok", FULL]);
    check(&[room("a", json!({"capacity": "2Gi", "nodeTopology": {}}))], &["ok", "ok"]);
    check(&[room("a", json!({"capacity": "1Gi", "nodeTopology": {}}))], &[FULL, FULL]);
    check(&[room("a", json!({"capacity": "2Gi"}))], &[FULL, FULL]);
    check(&[room("a", json!({"nodeTopology": {}}))], &[FULL, FULL]);
    check(&[room("a", json!({"capacity": "9Gi", "maximumVolumeSize": "1Gi", "nodeTopology": {}}))], &[FULL, FULL]);
    let several = [
        room("a", json!({"capacity": "1Gi", "nodeTopology": at("z1")})),
        room(
            "b",
            json!({"capacity": "2Gi", "nodeTopology": {"matchExpressions": [
                {"key": ZONE, "operator": "In", "values": ["z2", "z1"]},
            ]}}),
        ),
    ];
    check(&several, &["ok", "ok"]);
    check(&[room("a", json!({"storageClassName": "make", "capacity": "2Gi", "nodeTopology": {}}))], &[FULL, FULL]);
}

#[test]
fn the_less_of_the_storage_is_used_the_better() {
    let scores = |shape: &[(i64, i64)], volumes: &[Value], rooms: &[(&str, &str)], claims: &[Value]| {
        let mut snapshot = cluster();
        add(&mut snapshot, volumes, claims);
        for (zone, size) in rooms {
            snapshot.set_csi_storage_capacity(&object(json!({
                "metadata": {"namespace": "default", "name": zone}, "storageClassName": "tells", "capacity": size,
                "nodeTopology": {"matchLabels": {ZONE: zone}},
            })));
        }
        let names: Vec<&str> = claims.iter().map(|claim| claim["metadata"]["name"].as_str().unwrap()).collect();
        let info = PodInfo::new(&pod(&names));
        let mut plugin = VolumeBinding::default();
        if !shape.is_empty() {
            plugin.shape = shape.to_vec();
        }
        let nodes: Vec<NodeIndex> = ["n1", "n2"].iter().map(|node| snapshot.index(node).unwrap()).collect();
        plugin.pre_score(&snapshot, &info, &nodes).map(|judge| nodes.iter().map(|node| judge.score(*node)).collect())
    };
    let check = |shape: &[(i64, i64)],
                 volumes: &[Value],
                 rooms: &[(&str, &str)],
                 claims: &[Value],
                 expected: Option<&[i64]>| {
        let told: Option<Vec<i64>> = scores(shape, volumes, rooms, claims);
        assert_eq!(told.as_deref(), expected, "{volumes:?} {rooms:?} {claims:?}");
    };
    let at = |name: &str, size, node| volume(name, size, Some(node), NOTHING);
    let one = [claim("c", 25, "wait", NOTHING)];
    check(&[], &[at("v", 100, "n1"), at("w", 50, "n2")], &[], &one, Some(&[75, 50]));
    check(&[(0, 0), (100, 100)], &[at("v", 100, "n1"), at("w", 50, "n2")], &[], &one, Some(&[25, 50]));
    // The smallest volume that does is the one that is taken.
    check(&[], &[at("v", 100, "n1"), at("w", 50, "n1"), at("x", 25, "n2")], &[], &one, Some(&[50, 0]));
    let made = [claim("c", 25, "tells", NOTHING), claim("d", 25, "tells", NOTHING)];
    check(&[], &[], &[("z1", "100Gi"), ("z2", "50Gi")], &made, Some(&[50, 0]));
    // Volumes that there are count alone; classes count alike.
    let mixed = [claim("c", 25, "wait", NOTHING), claim("d", 25, "tells", NOTHING)];
    check(&[], &[at("v", 100, "n1"), at("w", 50, "n2")], &[("z1", "50Gi"), ("z2", "50Gi")], &mixed, Some(&[75, 50]));
    check(&[], &[], &[], &[claim("c", 1, "make", NOTHING)], Some(&[0, 0]));
    check(&[], &[at("v", 1, "n1")], &[], &[bound("c", "v")], None);
    check(&[], &[], &[], &[], None);
}

#[test]
fn hints_are_of_what_may_help() {
    let check = |wanted: &Pod, old: Option<Object>, new: Object, expected| {
        let event = Event { kind: ClusterEvent::WILD_CARD, old, new: Some(new.clone()) };
        assert_eq!(VolumeBinding::default().hint(wanted, &event), expected, "{new:?}");
    };
    let wanted = pod(&["c", "+d"]);
    let of_claim = |name: &str| Object::PersistentVolumeClaim(Arc::new(object(claim(name, 1, "wait", NOTHING))));
    check(&wanted, None, of_claim("c"), Hint::Queue);
    check(&wanted, None, of_claim("p-d"), Hint::Queue);
    check(&wanted, None, of_claim("d"), Hint::Skip);
    let class = |topologies: Value| {
        let class = json!({"metadata": {"name": "c"}, "provisioner": "p", "allowedTopologies": topologies});
        Object::StorageClass(Arc::new(object(class)))
    };
    let zone = json!([{"matchLabelExpressions": [{"key": ZONE, "values": ["z1"]}]}]);
    check(&wanted, None, class(json!([])), Hint::Queue);
    check(&wanted, Some(class(json!([]))), class(json!(null)), Hint::Skip);
    check(&wanted, Some(class(json!([]))), class(zone), Hint::Queue);
    let node = |plugins: &str| {
        let annotations = json!({"storage.alpha.kubernetes.io/migrated-plugins": plugins});
        let node = json!({"metadata": {"name": "n", "annotations": annotations}, "spec": {"drivers": []}});
        Object::CsiNode(Arc::new(object(node)))
    };
    check(&wanted, None, node("a"), Hint::Queue);
    check(&wanted, Some(node("a")), node("a"), Hint::Skip);
    check(&wanted, Some(node("a")), node("a,b"), Hint::Queue);
    let driver = |tells: bool| {
        Object::CsiDriver(Arc::new(object(json!({"metadata": {"name": "d"}, "spec": {"storageCapacity": tells}}))))
    };
    let inline = testing::pod("p", json!({"volumes": [{"name": "v", "csi": {"driver": "d"}}]}));
    check(&inline, Some(driver(true)), driver(false), Hint::Queue);
    check(&inline, Some(driver(false)), driver(true), Hint::Skip);
    check(&wanted, Some(driver(true)), driver(false), Hint::Queue);
    check(&wanted, Some(driver(false)), driver(true), Hint::Skip);
    check(&testing::pod("p", json!({})), Some(driver(true)), driver(false), Hint::Skip);
    let room = |capacity: Value| {
        let room = json!({"metadata": {"name": "r"}, "storageClassName": "c", "capacity": capacity});
        Object::CsiStorageCapacity(Arc::new(object(room)))
    };
    check(&wanted, None, room(json!(null)), Hint::Queue);
    check(&wanted, Some(room(json!(null))), room(json!("1")), Hint::Queue);
    check(&wanted, Some(room(json!("1"))), room(json!("2")), Hint::Queue);
    check(&wanted, Some(room(json!("2"))), room(json!("1")), Hint::Skip);
    check(&wanted, Some(room(json!("2"))), room(json!(null)), Hint::Skip);
    check(&wanted, None, Object::PersistentVolume(Arc::new(object(volume("v", 1, None, NOTHING)))), Hint::Queue);
}
