//! Pods that were refused for the sake of their volumes come back by whatever lets them be placed.
//!
//! What upstream counts as no event is left out: that volumes, claims, classes, drivers and what drivers say of nodes are
//! deleted; that the driver of a claim's volume becomes another; and that a pod brings a volume to a node that is full.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Pod};
use proptest::prelude::*;
use proptest::sample::select;
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use crate::config::Configuration;
use crate::cycle::{Candidate, Profile, schedule};
use crate::engine::{Effect, Engine};
use crate::queue::Object;
use crate::snapshot::PodInfo;
use crate::testing::{self, object};

/// Something that happens.
#[derive(Clone, Debug)]
enum Step {
    /// An object of storage is there, and so.
    Is(&'static str, &'static str, Value),
    /// A volume is no longer attached.
    Detached(&'static str),
    /// The node is in that zone, if in any.
    Zone(&'static str, Option<&'static str>),
    /// A pod with that volume comes to a node.
    Comes(u8, Value, &'static str),
    Goes(u8),
}

/// A cluster and a pod that waits there.
struct World {
    engine: Engine,
    there: BTreeMap<(&'static str, &'static str), Object>,
    nodes: BTreeMap<&'static str, Arc<Node>>,
    pods: BTreeMap<u8, Arc<Pod>>,
    now: Duration,
}

fn read(kind: &str, name: &str, said: &Value, version: usize) -> Object {
    let mut value = said.clone();
    let meta = json!({"namespace": "default", "name": name, "uid": name, "resourceVersion": version.to_string()});
    let mut described = json!({ "metadata": meta });
    testing::merge(&mut described, value.take());
    match kind {
        "volume" => Object::PersistentVolume(Arc::new(object(described))),
        "claim" => Object::PersistentVolumeClaim(Arc::new(object(described))),
        "class" => Object::StorageClass(Arc::new(object(described))),
        "room" => Object::CsiStorageCapacity(Arc::new(object(described))),
        "driver" => Object::CsiDriver(Arc::new(object(described))),
        "node" => Object::CsiNode(Arc::new(object(described))),
        _ => Object::VolumeAttachment(Arc::new(object(described))),
    }
}

impl World {
    fn new() -> World {
        let engine = Engine::new(&Configuration::default(), 0).unwrap();
        let (there, nodes, pods) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let mut world = World { engine, there, nodes, pods, now: Duration::from_secs(10) };
        world.happen(&Step::Zone("n1", None), 0);
        world.happen(&Step::Zone("n2", None), 0);
        world
    }

    fn happen(&mut self, step: &Step, version: usize) {
        match step.clone() {
            Step::Is(kind, name, said) => {
                let new = read(kind, name, &said, version);
                let old = self.there.insert((kind, name), new.clone());
                self.engine.storage(old, Some(new), self.now);
            }
            Step::Detached(name) => {
                let Some(old) = self.there.remove(&("attachment", name)) else { return };
                self.engine.storage(Some(old), None, self.now);
            }
            Step::Zone(name, zone) => {
                let labels = json!({"metadata": {"labels": zone.map(|zone| json!({"topology.kubernetes.io/zone": zone}))
                    .unwrap_or(json!({}))}});
                let new = Arc::new(testing::node(name, labels));
                let old = self.nodes.insert(name, Arc::clone(&new));
                self.engine.node(old.as_ref(), Some(&new), self.now);
            }
            Step::Comes(number, volume, node) => {
                self.happen(&Step::Goes(number), version);
                let mut pod = testing::pod(&number.to_string(), json!({ "volumes": [volume] }));
                pod.spec.as_mut().unwrap().node_name = Some(node.to_owned());
                let pod = Arc::new(pod);
                self.engine.pod(None, Some(&pod), self.now);
                self.pods.insert(number, pod);
            }
            Step::Goes(number) => {
                let Some(old) = self.pods.remove(&number) else { return };
                self.engine.pod(Some(&old), None, self.now);
            }
        }
    }
}

fn of_claim(name: &str) -> Value {
    json!({"name": name, "persistentVolumeClaim": {"claimName": name}})
}

fn disk(read_only: bool) -> Value {
    json!({"name": "disk", "gcePersistentDisk": {"pdName": "disk", "readOnly": read_only}})
}

/// A claim that waits for its volume, or has one, or does neither.
fn a_claim() -> impl Strategy<Value = Value> {
    let class = || select(&["wait", "make", "tells", "now"]);
    let volume = proptest::option::of(select(&["v", "w"]));
    let any_claim = (class(), 1..4u8, volume, any::<bool>()).prop_map(|(class, size, volume, done)| {
        let mut said = waiting_claim(class, size);
        said["spec"]["volumeName"] = json!(volume);
        if done {
            said["metadata"] = json!({"annotations": {"pv.kubernetes.io/bind-completed": "yes"}});
        }
        said
    });
    prop_oneof![(class(), 1..4u8).prop_map(|(class, size)| waiting_claim(class, size)), any_claim]
}

fn waiting_claim(class: &str, size: u8) -> Value {
    let requests = json!({"storage": format!("{size}Gi")});
    json!({"spec": {"resources": {"requests": requests}, "storageClassName": class}})
}

fn room(node: &'static str, size: u8) -> Step {
    let nodes = json!({"matchLabels": {"kubernetes.io/hostname": node}});
    let said = json!({"storageClassName": "tells", "capacity": format!("{size}Gi"), "nodeTopology": nodes});
    Step::Is("room", node, said)
}

fn limit(node: &'static str, count: Option<u8>) -> Step {
    let limit = count.map(|count| json!({ "count": count }));
    Step::Is("node", node, json!({"spec": {"drivers": [{"name": "d", "nodeID": node, "allocatable": limit}]}}))
}

/// Attachments stay at their nodes until they are gone.
fn attached(volume: &'static str) -> Step {
    let node = if volume == "o" { "n1" } else { "n2" };
    let source = json!({ "persistentVolumeName": volume });
    Step::Is("attachment", volume, json!({"spec": {"nodeName": node, "attacher": "d", "source": source}}))
}

fn a_volume() -> impl Strategy<Value = Value> {
    let node = proptest::option::of(select(&["n1", "n2"]));
    (1..3u8, node, any::<bool>(), proptest::option::of(select(&["a", "b"])), any::<bool>()).prop_map(
        |(size, node, available, zone, kept)| {
            let terms = node.map(|node| {
                json!({"required": {"nodeSelectorTerms": [{"matchExpressions": [
                    {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]},
                ]}]}})
            });
            json!({
                "metadata": {"labels": zone.map(|zone| json!({"topology.kubernetes.io/zone": zone}))},
                "spec": {
                    "capacity": {"storage": format!("{size}Gi")}, "storageClassName": "wait", "nodeAffinity": terms,
                    "claimRef": kept.then(|| json!({"namespace": "default", "name": "c"})),
                },
                "status": {"phase": if available { "Available" } else { "Bound" }},
            })
        },
    )
}

fn a_step() -> impl Strategy<Value = Step> {
    let node = || select(&["n1", "n2"]);
    let zone = (node(), proptest::option::of(select(&["a", "b"])));
    let volume = prop_oneof![select(&["one", "shared"]).prop_map(of_claim), any::<bool>().prop_map(disk)];
    prop_oneof![
        3 => (select(&["v", "w"]), a_volume()).prop_map(|(name, said)| Step::Is("volume", name, said)),
        3 => a_claim().prop_map(|said| Step::Is("claim", "c", said)),
        1 => Just(Step::Is("class", "make", json!({"provisioner": "maker", "volumeBindingMode": "WaitForFirstConsumer"}))),
        1 => any::<bool>().prop_map(|tells| Step::Is("driver", "teller", json!({"spec": {"storageCapacity": tells}}))),
        2 => zone.prop_map(|(node, zone)| Step::Zone(node, zone)),
        2 => (node(), 1..4u8).prop_map(|(node, size)| room(node, size)),
        2 => (node(), proptest::option::of(0..3u8)).prop_map(|(node, count)| limit(node, count)),
        1 => select(&["o", "s"]).prop_map(attached),
        2 => select(&["o", "s"]).prop_map(Step::Detached),
        2 => (0..3u8, volume, node()).prop_map(|(pod, volume, node)| Step::Comes(pod, volume, node)),
        2 => (0..3u8).prop_map(Step::Goes),
    ]
}

/// What there is from the beginning: claim `c`, for which there is no room; claim `one`, which only one pod can use, and
/// `shared`, whose volumes `o` and `s` are attached where no more can be.
fn first() -> Vec<Step> {
    let class = |name, provisioner: &str, mode: &str| {
        Step::Is("class", name, json!({"provisioner": provisioner, "volumeBindingMode": mode}))
    };
    let of_driver = |name| {
        let csi = json!({"driver": "d", "volumeHandle": name});
        let claim = json!({"namespace": "default", "name": name});
        Step::Is("volume", name, json!({"spec": {"csi": csi, "claimRef": claim, "capacity": {"storage": "1Gi"}}}))
    };
    let bound = |name, volume: &str, mode: &str| {
        let annotations = json!({"pv.kubernetes.io/bind-completed": "yes"});
        let spec = json!({"volumeName": volume, "accessModes": [mode]});
        Step::Is("claim", name, json!({"metadata": {"annotations": annotations}, "spec": spec}))
    };
    vec![
        class("wait", "kubernetes.io/no-provisioner", "WaitForFirstConsumer"),
        class("tells", "teller", "WaitForFirstConsumer"),
        class("now", "maker", "Immediate"),
        Step::Is("driver", "teller", json!({"spec": {"storageCapacity": true}})),
        of_driver("o"),
        of_driver("s"),
        bound("one", "o", "ReadWriteOncePod"),
        bound("shared", "s", "ReadWriteMany"),
        Step::Is("claim", "c", waiting_claim("tells", 3)),
        room("n1", 1),
        room("n2", 2),
        limit("n1", Some(1)),
        limit("n2", Some(1)),
        attached("o"),
        attached("s"),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn whoever_can_be_placed_is_tried(
        wanted in proptest::collection::vec(prop_oneof![select(&["c", "one", "shared"]).prop_map(of_claim), Just(disk(false))], 1..3),
        before in proptest::collection::vec(a_step(), 0..5),
        steps in proptest::collection::vec(a_step(), 1..8),
    ) {
        let mut world = World::new();
        for (version, step) in first().iter().chain(&before).enumerate() {
            world.happen(step, version);
        }
        let pod = testing::pod("waiting", json!({ "volumes": wanted }));
        let (info, profile) = (PodInfo::new(&pod), Profile::default());
        world.engine.pod(None, Some(&Arc::new(pod)), world.now);
        let steps = steps.iter().filter(|step| !matches!(step, Step::Comes(..))).map(Some);
        for (version, step) in steps.chain([None]).enumerate() {
            let candidate = Candidate { uid: "waiting", info: &info, nominated_node: None };
            let decision = schedule(world.engine.snapshot(), &profile, &candidate, 0, &mut StdRng::seed_from_u64(0));
            // It has waited for long enough, if it does not wait for something to happen.
            world.now += Duration::from_secs(30);
            let effects = world.engine.step(9, world.now);
            let goes = effects.iter().any(|effect| matches!(effect, Effect::Bind { .. } | Effect::Prepare { .. }));
            prop_assert_eq!(goes, decision.node.is_some(), "{:?} before {:?}", decision, step);
            if goes {
                return Ok(());
            }
            let Some(step) = step else { return Ok(()) };
            world.happen(step, version + 100);
        }
    }
}
