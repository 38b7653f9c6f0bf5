//! What the engine says is to be done, and what it makes of what has been done.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::apps::v1::{ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::{Node, Pod, ReplicationController, Service};
use serde_json::json;

use super::{Effect, Engine, Nomination, Outcome, Reason};
use crate::config::Configuration;
use crate::queue::{Object, Place};
use crate::testing::{self, requesting};

const START: Duration = Duration::from_secs(10);

/// An engine that knows of these nodes, of 4 processors each.
fn engine(nodes: &[&str]) -> Engine {
    let mut engine = Engine::new(&Configuration::default(), 0).unwrap();
    for name in nodes {
        engine.node(None, Some(&node(name)), START);
    }
    engine
}

fn node(name: &str) -> Arc<Node> {
    Arc::new(testing::node(name, json!({})))
}

fn pod(name: &str, cpu: u32, priority: i32) -> Arc<Pod> {
    let mut spec = requesting(json!({"cpu": cpu.to_string()}));
    spec["priority"] = json!(priority);
    Arc::new(testing::pod(name, spec))
}

fn on(pod: &Arc<Pod>, node: &str) -> Arc<Pod> {
    let mut pod = Pod::clone(pod);
    pod.spec.as_mut().unwrap().node_name = Some(node.to_owned());
    Arc::new(pod)
}

/// Whom it binds, and where.
fn bindings(effects: &[Effect]) -> Vec<(&str, &str)> {
    let mut bound = Vec::new();
    for effect in effects {
        if let Effect::Bind { pod, node, .. } = effect {
            bound.push((super::uid(pod), node.as_str()));
        }
    }
    bound
}

#[test]
fn pods_are_bound_and_then_forgotten_by_the_queue() {
    let mut engine = engine(&["n"]);
    let wanted = pod("a", 3, 0);
    engine.pod(None, Some(&wanted), START);
    let effects = engine.step(9, START);
    assert_eq!(bindings(&effects), [("a", "n")]);
    assert!(engine.snapshot().pod("a").unwrap().assumed, "it counts at once");
    assert_eq!(engine.decisions().of("a").unwrap().outcome, Outcome::Scheduled("n".to_owned()));
    engine.bound("a", Ok(()), START);
    // What was on its way when it was bound does not bring it back.
    engine.pod(Some(&wanted), Some(&wanted), START);
    assert_eq!(engine.counts(), crate::queue::Counts::default());
    engine.pod(Some(&wanted), Some(&on(&wanted, "n")), START);
    assert!(!engine.snapshot().pod("a").unwrap().assumed);
    assert_eq!(engine.step(9, START), []);
}

#[test]
fn those_whose_turn_it_is_need_not_wait_for_anything_to_happen() {
    let mut engine = engine(&["n"]);
    engine.pod(None, Some(&pod("a", 1, 0)), START);
    engine.pod(None, Some(&pod("b", 1, 0)), START);
    assert_eq!(bindings(&engine.step(1, START)), [("a", "n")]);
    assert_eq!(engine.next_wake(), Some(Duration::ZERO));
    assert_eq!(bindings(&engine.step(1, START)), [("b", "n")]);
    assert_eq!(engine.next_wake(), None);
}

#[test]
fn what_cannot_be_bound_is_taken_back_and_tried_again() {
    let mut engine = engine(&["n"]);
    engine.pod(None, Some(&pod("a", 3, 0)), START);
    engine.step(9, START);
    engine.bound("a", Err("no".to_owned()), START);
    assert!(engine.snapshot().pod("a").is_none());
    let effects = engine.step(9, START);
    let [Effect::Refused { reason: Reason::SchedulerError, message, nomination: Nomination::Keep, .. }] = &*effects
    else {
        panic!("{effects:?}")
    };
    assert_eq!(message, "no");
    assert_eq!(engine.queue.place("a"), Some(Place::ErrorBackoff));
    let later = engine.next_wake().unwrap();
    assert_eq!(bindings(&engine.step(9, later)), [("a", "n")]);
}

#[test]
fn a_pod_that_goes_while_it_is_bound_leaves_nothing() {
    let mut engine = engine(&["n"]);
    let wanted = pod("a", 3, 0);
    engine.pod(None, Some(&wanted), START);
    engine.step(9, START);
    engine.pod(Some(&wanted), None, START);
    assert!(engine.snapshot().pod("a").is_none());
    engine.bound("a", Err("it is gone".to_owned()), START);
    assert_eq!(engine.step(9, START), []);
    assert_eq!(engine.counts(), crate::queue::Counts::default());
}

#[test]
fn room_is_made_for_the_important_and_kept_for_them() {
    let mut engine = engine(&["n"]);
    let lesser = on(&pod("lesser", 4, 1), "n");
    engine.pod(None, Some(&lesser), START);
    let wanted = pod("wanted", 3, 5);
    engine.pod(None, Some(&wanted), START);
    let effects = engine.step(9, START);
    let [Effect::Preempt { node, victims, .. }, Effect::Refused { message, nomination, .. }] = &*effects else {
        panic!("{effects:?}")
    };
    assert_eq!((node.as_str(), victims[0].uid.as_str()), ("n", "lesser"));
    assert_eq!(message, "0/1 nodes are available: 1 Insufficient cpu.");
    assert_eq!(*nomination, Nomination::Set("n".to_owned()));
    assert_eq!(engine.queue.place("wanted"), Some(Place::InFlight), "as long as the victims are not being deleted");
    engine.preempted("wanted", Ok(()), START);
    // Nobody less important takes the room.
    engine.pod(None, Some(&pod("other", 3, 4)), START);
    assert_eq!(bindings(&engine.step(9, START)), []);
    engine.pod(Some(&lesser), None, START);
    let later = START + Duration::from_secs(5);
    assert_eq!(bindings(&engine.step(9, later)), [("wanted", "n")]);
}

#[test]
fn room_that_could_not_be_made_is_not_counted_on() {
    let mut engine = engine(&["n"]);
    engine.pod(None, Some(&on(&pod("lesser", 4, 1), "n")), START);
    engine.pod(None, Some(&pod("wanted", 3, 5)), START);
    engine.step(9, START);
    assert!(engine.snapshot().pod("lesser").unwrap().preempted);
    engine.preempted("wanted", Err("no".to_owned()), START);
    assert!(!engine.snapshot().pod("lesser").unwrap().preempted && !engine.snapshot().has_nominated());
    let effects = engine.step(9, engine.next_wake().unwrap());
    assert!(matches!(&*effects, [Effect::Preempt { .. }, Effect::Refused { .. }]), "{effects:?}");
}

#[test]
fn why_nothing_was_found_is_kept_node_by_node() {
    let mut engine = engine(&["m", "n"]);
    engine.pod(None, Some(&pod("a", 5, 0)), START);
    let effects = engine.step(9, START);
    let message = "0/2 nodes are available: 2 Insufficient cpu. preemption: 0/2 nodes are available: 2 Preemption is not \
                   helpful for scheduling.";
    assert!(matches!(&*effects, [Effect::Refused { message: said, .. }] if said == message), "{effects:?}");
    let record = engine.decisions().of("a").unwrap();
    assert_eq!(record.outcome, Outcome::Refused(message.to_owned()));
    let rejections: Vec<_> = record.rejections().collect();
    let expected = ["m", "n"].map(|name| (name, "NodeResourcesFit", vec!["Insufficient cpu"]));
    assert_eq!(rejections, expected);
}

#[test]
fn pods_of_services_and_controllers_are_spread() {
    let service: Service = testing::object(json!({
        "metadata": {"name": "web", "namespace": "default"}, "spec": {"selector": {"app": "web"}},
    }));
    let template = json!({"spec": {"containers": []}});
    let spec = json!({"selector": {"matchLabels": {"app": "web"}}, "template": template, "serviceName": ""});
    let controller = json!({"metadata": {"name": "web", "namespace": "default"}, "spec": spec});
    let replica_set: ReplicaSet = testing::object(controller.clone());
    let stateful_set: StatefulSet = testing::object(controller.clone());
    let mut controller = controller;
    controller["spec"] = json!({"selector": {"app": "web"}});
    let replication_controller: ReplicationController = testing::object(controller);
    let web = |name: &str, owner: [&str; 2]| {
        let mut pod = Pod::clone(&pod(name, 0, 0));
        pod.metadata.labels = Some([("app".to_owned(), "web".to_owned())].into());
        let [version, kind] = owner;
        let owner = json!({"apiVersion": version, "kind": kind, "name": "web", "uid": "web", "controller": true});
        pod.metadata.owner_references = Some(vec![testing::object(owner)]);
        Arc::new(pod)
    };
    // The emptier node has the pods among which another is to be spread.
    let check = |owner: [&str; 2], tell: &dyn Fn(&mut Engine, bool)| {
        let mut engine = engine(&["empty", "full"]);
        engine.pod(None, Some(&on(&pod("other", 2, 0), "full")), START);
        for name in ["a", "b", "c"] {
            engine.pod(None, Some(&on(&web(name, owner), "empty")), START);
        }
        for (name, there, expected) in [("d", false, "empty"), ("e", true, "full"), ("f", false, "empty")] {
            tell(&mut engine, there);
            let wanted = web(name, owner);
            engine.pod(None, Some(&wanted), START);
            assert_eq!(bindings(&engine.step(9, START)), [(name, expected)], "{owner:?} {there}");
            engine.pod(Some(&wanted), None, START);
        }
    };
    let known = |there: bool| (there.then_some(()), (!there).then_some(()));
    check(["v1", "Pod"], &|engine, there| {
        let (new, old) = known(there);
        engine.service(old.map(|()| &service), new.map(|()| &service));
    });
    check(["apps/v1", "ReplicaSet"], &|engine, there| {
        let (new, old) = known(there);
        engine.replica_set(old.map(|()| &replica_set), new.map(|()| &replica_set));
    });
    check(["apps/v1", "StatefulSet"], &|engine, there| {
        let (new, old) = known(there);
        engine.stateful_set(old.map(|()| &stateful_set), new.map(|()| &stateful_set));
    });
    check(["v1", "ReplicationController"], &|engine, there| {
        let (new, old) = known(there);
        engine.replication_controller(old.map(|()| &replication_controller), new.map(|()| &replication_controller));
    });
}

/// An engine that knows of a node and of a volume on it that waits for a claim's first pod.
fn engine_with_volume() -> Engine {
    let mut engine = engine(&["n"]);
    let class = json!({"metadata": {"name": "local"}, "provisioner": "kubernetes.io/no-provisioner",
        "volumeBindingMode": "WaitForFirstConsumer"});
    engine.storage(None, Some(Object::StorageClass(Arc::new(testing::object(class)))), START);
    let on_node = json!({"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["n"]}]});
    let volume = json!({"metadata": {"name": "v", "uid": "v", "resourceVersion": "1"}, "spec": {
        "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "local",
        "local": {"path": "/v"}, "nodeAffinity": {"required": {"nodeSelectorTerms": [on_node]}},
    }, "status": {"phase": "Available"}});
    engine.storage(None, Some(Object::PersistentVolume(Arc::new(testing::object(volume)))), START);
    let claim = json!({"metadata": {"name": "c", "namespace": "default", "uid": "c", "resourceVersion": "1"}, "spec": {
        "accessModes": ["ReadWriteOnce"], "storageClassName": "local", "resources": {"requests": {"storage": "1Gi"}},
    }, "status": {"phase": "Pending"}});
    engine.storage(None, Some(Object::PersistentVolumeClaim(Arc::new(testing::object(claim)))), START);
    let spec = json!({"volumes": [{"name": "d", "persistentVolumeClaim": {"claimName": "c"}}]});
    engine.pod(None, Some(&Arc::new(testing::pod("a", spec))), START);
    engine
}

#[test]
fn a_pod_whose_volumes_are_not_bound_in_time_is_tried_again() {
    let mut engine = engine_with_volume();
    engine.step(9, START);
    engine.prepared("a", Ok(()), START);
    assert_eq!(engine.step(9, START), []);
    let late = engine.next_wake().unwrap();
    assert_eq!(late, START + Duration::from_secs(600));
    let effects = engine.step(9, late);
    let [Effect::Refused { reason: Reason::SchedulerError, message, .. }] = &*effects else { panic!("{effects:?}") };
    assert!(message.starts_with("running PreBind plugin \"VolumeBinding\": "), "{message}");
    let effects = engine.step(9, late + Duration::from_secs(5));
    assert!(matches!(&*effects, [Effect::Prepare { .. }]), "{effects:?}");
}
