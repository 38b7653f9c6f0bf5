//! What is known of storage is what it would be if it were made anew, whatever happened before.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use super::*;
use crate::testing::{self, object};

const NAMES: [&str; 3] = ["a", "b", "c"];
const NODES: [&str; 2] = ["n1", "n2"];

/// A kind of object, its name, and what it says besides, if it is there.
type Said = (&'static str, &'static str, Option<Value>);

#[derive(Clone, Debug)]
enum Event {
    Api(Said),
    /// A pod with these claims comes to a node.
    Come(u8, Vec<&'static str>, bool, &'static str),
    Leave(u8),
    /// The volume is kept for the claim.
    Keep(&'static str, &'static str),
    /// The node is selected for the claim.
    Select(&'static str, &'static str),
    /// What was decided for the claims no longer holds.
    Restore,
}

fn a_volume() -> impl Strategy<Value = Value> {
    let source = prop_oneof![
        Just(json!({"csi": {"driver": "d", "volumeHandle": "h"}})),
        Just(json!({"csi": {"driver": "d", "volumeHandle": "i"}})),
        Just(json!({"awsElasticBlockStore": {"volumeID": "vol-1"}})),
        Just(json!({"hostPath": {"path": "/"}})),
    ];
    let claim = proptest::option::of((select(&NAMES), select(&["", "u"])));
    (source, 1..3u8, select(&["x", "y"]), claim).prop_map(|(mut spec, size, class, claim)| {
        spec["capacity"] = json!({"storage": format!("{size}Gi")});
        spec["storageClassName"] = json!(class);
        if let Some((name, uid)) = claim {
            spec["claimRef"] = json!({"namespace": "default", "name": name, "uid": uid});
        }
        json!({ "spec": spec })
    })
}

fn said() -> impl Strategy<Value = Said> {
    let claim = (proptest::option::of(select(&NAMES)), select(&["x", "y"])).prop_map(
        |(volume, class)| json!({"spec": {"volumeName": volume.unwrap_or_default(), "storageClassName": class}}),
    );
    let class = select(&["d", "e", "kubernetes.io/aws-ebs", "kubernetes.io/azure-file"])
        .prop_map(|provisioner| json!({ "provisioner": provisioner }));
    let attachment = (select(&NODES), select(&NAMES)).prop_map(|(node, volume)| {
        json!({"spec": {"nodeName": node, "attacher": "d", "source": {"persistentVolumeName": volume}}})
    });
    let capacity = select(&["x", "y"]).prop_map(|class| json!({ "storageClassName": class, "capacity": "1Gi" }));
    let csi_node = Just(json!({"spec": {"drivers": [{"name": "d", "nodeID": "n", "allocatable": {"count": 2}}]}}));
    let driver = any::<bool>().prop_map(|tells| json!({"spec": {"storageCapacity": tells}}));
    prop_oneof![
        3 => (Just("volume"), select(&NAMES), proptest::option::of(a_volume())),
        3 => (Just("claim"), select(&NAMES), proptest::option::of(claim)),
        1 => (Just("class"), select(&["x", "y"]), proptest::option::of(class)),
        2 => (Just("attachment"), select(&NAMES), proptest::option::of(attachment)),
        1 => (Just("capacity"), select(&NAMES), proptest::option::of(capacity)),
        1 => (Just("node"), select(&NODES), proptest::option::of(csi_node)),
        1 => (Just("driver"), select(&["d", "e"]), proptest::option::of(driver)),
    ]
}

fn an_event() -> impl Strategy<Value = Event> {
    let claims = proptest::collection::vec(select(&NAMES), 0..3);
    prop_oneof![
        8 => said().prop_map(Event::Api),
        3 => (0..4u8, claims, any::<bool>(), select(&NODES))
            .prop_map(|(pod, claims, inline, node)| Event::Come(pod, claims, inline, node)),
        1 => (0..4u8).prop_map(Event::Leave),
        1 => (select(&NAMES), select(&NAMES)).prop_map(|(volume, claim)| Event::Keep(volume, claim)),
        1 => (select(&NAMES), select(&NODES)).prop_map(|(claim, node)| Event::Select(claim, node)),
        1 => Just(Event::Restore),
    ]
}

fn named<T: k8s_openapi::serde::de::DeserializeOwned>(name: &str, version: usize, said: &Value) -> T {
    let mut value = said.clone();
    value["metadata"] =
        json!({"namespace": "default", "name": name, "uid": "u", "resourceVersion": version.to_string()});
    object(value)
}

fn say(snapshot: &mut Snapshot, kind: &str, name: &str, version: usize, said: Option<&Value>) {
    match (kind, said) {
        ("volume", Some(said)) => snapshot.set_persistent_volume(&Arc::new(named(name, version, said))),
        ("volume", None) => snapshot.remove_persistent_volume(name),
        ("claim", Some(said)) => snapshot.set_persistent_volume_claim(&Arc::new(named(name, version, said))),
        ("claim", None) => snapshot.remove_persistent_volume_claim("default", name),
        ("class", Some(said)) => snapshot.set_storage_class(&named(name, version, said)),
        ("class", None) => snapshot.remove_storage_class(name),
        ("attachment", Some(said)) => snapshot.set_volume_attachment(&named(name, version, said)),
        ("attachment", None) => snapshot.remove_volume_attachment(name),
        ("capacity", Some(said)) => snapshot.set_csi_storage_capacity(&named(name, version, said)),
        ("capacity", None) => snapshot.remove_csi_storage_capacity("default", name),
        ("node", Some(said)) => snapshot.set_csi_node(&named(name, version, said)),
        ("node", None) => snapshot.remove_csi_node(name),
        ("driver", Some(said)) => snapshot.set_csi_driver(&named(name, version, said)),
        ("driver", None) => snapshot.remove_csi_driver(name),
        _ => unreachable!("there is no such kind"),
    }
}

fn pod(number: u8, claims: &[&str], inline: bool) -> Pod {
    let of_claim = |name: &&str| json!({"name": name, "persistentVolumeClaim": {"claimName": name}});
    let mut volumes: Vec<Value> = claims.iter().map(of_claim).collect();
    if inline {
        volumes.push(json!({"name": "inline", "awsElasticBlockStore": {"volumeID": "vol-1"}}));
    }
    testing::pod(&number.to_string(), json!({ "volumes": volumes }))
}

fn kept(volume: &Volume, claim: &str) -> Arc<PersistentVolume> {
    let mut object = PersistentVolume::clone(&volume.object);
    let reference = json!({"namespace": "default", "name": claim, "uid": "u"});
    object.spec.as_mut().unwrap().claim_ref = Some(testing::object(reference));
    Arc::new(object)
}

fn selected(claim: &Claim, node: &str) -> Arc<PersistentVolumeClaim> {
    let mut object = PersistentVolumeClaim::clone(&claim.object);
    object.metadata.annotations = Some([(SELECTED_NODE.to_owned(), node.to_owned())].into());
    Arc::new(object)
}

/// The volumes of a pod with all claims.
fn all_claims() -> Box<PodVolumes> {
    PodVolumes::read(&pod(9, &NAMES, false)).unwrap()
}

/// What there is.
#[derive(Default)]
struct Model {
    said: BTreeMap<(&'static str, &'static str), (usize, Value)>,
    pods: BTreeMap<u8, (Pod, &'static str)>,
    volumes: BTreeMap<&'static str, &'static str>,
    claims: BTreeMap<&'static str, &'static str>,
}

impl Model {
    fn apply(&mut self, event: &Event, version: usize) {
        match event.clone() {
            Event::Api((kind, name, said)) => {
                match kind {
                    "volume" => drop(self.volumes.remove(name)),
                    "claim" => drop(self.claims.remove(name)),
                    _ => {}
                }
                match said {
                    Some(said) => drop(self.said.insert((kind, name), (version, said))),
                    None => drop(self.said.remove(&(kind, name))),
                }
            }
            Event::Come(number, claims, inline, node) => {
                self.pods.insert(number, (pod(number, &claims, inline), node));
            }
            Event::Leave(number) => drop(self.pods.remove(&number)),
            Event::Keep(volume, claim) if self.said.contains_key(&("volume", volume)) => {
                self.volumes.insert(volume, claim);
            }
            Event::Select(claim, node) if self.said.contains_key(&("claim", claim)) => {
                self.claims.insert(claim, node);
            }
            Event::Keep(..) | Event::Select(..) => {}
            Event::Restore => {
                self.volumes.clear();
                self.claims.clear();
            }
        }
    }

    fn anew(&self) -> Snapshot {
        let mut snapshot = Snapshot::default();
        for (pod, node) in self.pods.values() {
            snapshot.assume(pod, node);
        }
        for ((kind, name), (version, said)) in self.said.iter().rev() {
            say(&mut snapshot, kind, name, *version, Some(said));
        }
        for (volume, claim) in &self.volumes {
            apply(&mut snapshot, &Event::Keep(volume, claim), 0);
        }
        for (claim, node) in &self.claims {
            apply(&mut snapshot, &Event::Select(claim, node), 0);
        }
        snapshot
    }
}

fn apply(snapshot: &mut Snapshot, event: &Event, version: usize) {
    match event {
        Event::Api((kind, name, said)) => say(snapshot, kind, name, version, said.as_ref()),
        Event::Come(number, claims, inline, node) => snapshot.assume(&pod(*number, claims, *inline), node),
        Event::Leave(number) => snapshot.remove_pod(&number.to_string()),
        Event::Keep(volume, claim) => {
            let known = snapshot.storage().api_volume(volume).map(|volume| kept(volume, claim));
            assert!(known.is_none_or(|volume| snapshot.storage_mut().assume_volume(&volume, "p")));
        }
        Event::Select(claim, node) => {
            let known = snapshot.storage().api_claim(&ClaimKey::new("default", claim));
            let known = known.map(|claim| selected(claim, node));
            assert!(known.is_none_or(|claim| snapshot.storage_mut().assume_claim(&claim, "p")));
        }
        Event::Restore => {
            snapshot.storage_mut().restore(&all_claims(), "someone else");
            snapshot.storage_mut().restore(&all_claims(), "p");
        }
    }
}

proptest! {
    #[test]
    fn events_make_what_would_be_made_anew(events in proptest::collection::vec(an_event(), 0..50)) {
        let (mut snapshot, mut model) = (Snapshot::default(), Model::default());
        for (number, event) in events.iter().enumerate() {
            apply(&mut snapshot, event, number + 1);
            model.apply(event, number + 1);
        }
        let anew = model.anew();
        prop_assert_eq!(snapshot.storage(), anew.storage());
    }
}

#[test]
fn what_was_decided_holds_until_the_api_says_something_new() {
    let mut snapshot = Snapshot::default();
    let free = json!({"spec": {"capacity": {"storage": "1Gi"}}});
    say(&mut snapshot, "volume", "a", 1, Some(&free));
    let decided = kept(snapshot.storage().volume("a").unwrap(), "c");
    let claim = |snapshot: &Snapshot| snapshot.storage().volume("a").and_then(|volume| volume.claim.clone());
    assert!(snapshot.storage_mut().assume_volume(&decided, "p"));
    assert_eq!(claim(&snapshot), Some((ClaimKey::new("default", "c"), "u".to_owned())));
    assert_eq!(snapshot.storage().api_volume("a").unwrap().claim, None);
    assert!(snapshot.storage().volume_decided_for("a", "p").is_some());
    assert!(snapshot.storage().volume_decided_for("a", "q").is_none());
    say(&mut snapshot, "volume", "a", 1, Some(&free));
    assert!(claim(&snapshot).is_some(), "it was only said again");
    say(&mut snapshot, "volume", "a", 2, Some(&free));
    assert_eq!(claim(&snapshot), None);
    assert!(!snapshot.storage_mut().assume_volume(&decided, "p"), "it was decided on what was before");
}

#[test]
fn pods_without_volumes_of_interest_have_none() {
    let check = |volumes: Value, expected: bool| {
        let info = crate::snapshot::PodInfo::new(&testing::pod("p", json!({ "volumes": volumes.clone() })));
        assert_eq!(info.volumes.is_some(), expected, "{volumes}");
    };
    check(json!([]), false);
    check(json!([{"name": "a", "emptyDir": {}}, {"name": "b", "projected": {}}, {"name": "c", "secret": {}}]), false);
    check(json!([{"name": "a", "csi": {"driver": "d"}}]), false);
    check(json!([{"name": "a", "azureFile": {"secretName": "s", "shareName": "s"}}]), false);
    check(json!([{"name": "a", "persistentVolumeClaim": {"claimName": "c"}}]), true);
    check(json!([{"name": "a", "ephemeral": {}}]), true);
    check(json!([{"name": "a", "iscsi": {"iqn": "i", "lun": 0, "targetPortal": "p"}}]), true);
    check(json!([{"name": "a", "cinder": {"volumeID": "v"}}]), true);
}
