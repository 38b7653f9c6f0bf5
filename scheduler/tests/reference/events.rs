//! What happens to a cluster: told to a scheduler, and done to the plain objects.

use std::fmt;
use std::ops::Range;
use std::rc::Rc;

use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use scheduler::snapshot::{ControllerKind, PodInfo, Snapshot};
use serde_json::json;

use crate::cluster::{Cluster, Labels, Owner, Placed, name, uid};
use crate::generate::{self, NAMESPACES};

/// The names of nodes; the last is one that no node ever has.
const NODES: [&str; 7] = ["n1", "n2", "n3", "n4", "n5", "n6", "n7"];

/// An object that shows as its JSON.
pub(crate) struct Object<T>(pub(crate) Rc<T>);

impl<T> Object<T> {
    pub(crate) fn new(object: T) -> Self {
        Self(Rc::new(object))
    }
}

impl<T> Clone for Object<T> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<T: serde::Serialize> fmt::Debug for Object<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(&*self.0).unwrap())
    }
}

/// What else is true of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Running,
    Terminating,
    /// Terminating to make room for another.
    Preempted,
    Ended,
}

/// What happens. Pods are made of one of a few templates, given by their number.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    SetNode(Object<Node>),
    RemoveNode(&'static str),
    SetNamespace(&'static str, Labels),
    RemoveNamespace(&'static str),
    /// The API says that a pod is there, on a node if one is given.
    SetPod {
        number: usize,
        template: usize,
        node: Option<&'static str>,
        state: State,
    },
    /// The API says what the scheduler decided: of the pod at this position of those that are on nodes.
    ConfirmPod(usize),
    /// The pod at this position is gone.
    RemovePod(usize),
    Assume {
        number: usize,
        template: usize,
        node: &'static str,
    },
    Nominate {
        number: usize,
        template: usize,
        node: &'static str,
    },
    Withdraw {
        number: usize,
    },
    /// A Service or a controller selects pods.
    SetOwner((Owner, &'static str, &'static str), Object<LabelSelector>),
    RemoveOwner((Owner, &'static str, &'static str)),
    SetBudget(Object<PodDisruptionBudget>),
    RemoveBudget(&'static str, &'static str),
    /// What pods of the template ask is kept counted from now on.
    Watch(usize),
}

pub(crate) fn node_name() -> BoxedStrategy<&'static str> {
    select(NODES.to_vec()).boxed()
}

/// Most nodes that there can be appear.
pub(crate) fn set_nodes() -> BoxedStrategy<Vec<Change>> {
    let all =
        NODES[..6].iter().map(|name| generate::node(name).prop_map(|node| Change::SetNode(Object::new(node))).boxed());
    all.collect::<Vec<_>>().prop_flat_map(|nodes| subsequence(nodes, 2..=6)).boxed()
}

fn set_node() -> BoxedStrategy<Change> {
    select(NODES[..6].to_vec())
        .prop_flat_map(generate::node)
        .prop_map(|node| Change::SetNode(Object::new(node)))
        .boxed()
}

pub(crate) fn set_namespace() -> BoxedStrategy<Change> {
    (select(NAMESPACES.to_vec()), generate::namespace_labels())
        .prop_map(|(name, labels)| Change::SetNamespace(name, labels))
        .boxed()
}

pub(crate) fn set_owner() -> BoxedStrategy<Change> {
    generate::owner().prop_map(|(key, selector)| Change::SetOwner(key, Object::new(selector))).boxed()
}

fn remove_owner() -> BoxedStrategy<Change> {
    generate::owner().prop_map(|(key, _)| Change::RemoveOwner(key)).boxed()
}

pub(crate) fn set_budget() -> BoxedStrategy<Change> {
    generate::budget().prop_map(|budget| Change::SetBudget(Object::new(budget))).boxed()
}

/// A pod on a node, of one of a few templates.
pub(crate) fn set_pod(templates: Range<usize>, numbers: Range<usize>) -> BoxedStrategy<Change> {
    use State::{Ended, Preempted, Running, Terminating};
    let state = prop_oneof![6 => Just(Running), 2 => Just(Terminating), 1 => Just(Preempted), 1 => Just(Ended)];
    (numbers, templates, proptest::option::weighted(0.9, node_name()), state)
        .prop_map(|(number, template, node, state)| Change::SetPod { number, template, node, state })
        .boxed()
}

/// A change of what pods that want others near or far look at.
pub(crate) fn surroundings(templates: usize) -> BoxedStrategy<Change> {
    let placed = (0..12usize, 0..templates, node_name());
    prop_oneof![
        2 => set_node(),
        2 => node_name().prop_map(Change::RemoveNode),
        4 => set_namespace(),
        1 => select(NAMESPACES.to_vec()).prop_map(Change::RemoveNamespace),
        3 => set_pod(0..templates, 0..12),
        1 => (0..30usize).prop_map(Change::RemovePod),
        1 => set_owner(),
        1 => remove_owner(),
        5 => placed.prop_map(|(number, template, node)| Change::Nominate { number, template, node }),
    ]
    .boxed()
}

pub(crate) fn change(templates: usize) -> BoxedStrategy<Change> {
    let namespace = || select(NAMESPACES.to_vec());
    let placed = move || (0..12usize, 0..templates, node_name());
    prop_oneof![
        4 => set_node(),
        1 => node_name().prop_map(Change::RemoveNode),
        2 => set_namespace(),
        1 => namespace().prop_map(Change::RemoveNamespace),
        4 => set_pod(0..templates, 0..12),
        2 => (0..30usize).prop_map(Change::ConfirmPod),
        3 => (0..30usize).prop_map(Change::RemovePod),
        1 => placed().prop_map(|(number, template, node)| Change::Assume { number, template, node }),
        2 => placed().prop_map(|(number, template, node)| Change::Nominate { number, template, node }),
        1 => (0..12usize).prop_map(|number| Change::Withdraw { number }),
        1 => set_owner(),
        1 => remove_owner(),
        1 => set_budget(),
        1 => (namespace(), select(vec!["web", "db"])).prop_map(|(namespace, name)| Change::RemoveBudget(namespace, name)),
        1 => (0..templates).prop_map(Change::Watch),
    ]
    .boxed()
}

/// The pod of this number, made of a template. Each was started at another time, but the first, which was not yet.
pub(crate) fn make(template: &Pod, number: usize, node: Option<&str>, state: State) -> Pod {
    let mut pod = template.clone();
    pod.metadata.name = Some(format!("p{number}"));
    pod.metadata.uid = Some(format!("p{number}"));
    pod.spec.as_mut().unwrap().node_name = node.map(str::to_owned);
    let status = pod.status.get_or_insert_default();
    let times = ["2026-01-01T00:00", "2026-01-01T01:00", "2026-01-01T02:00"];
    if number > 0 {
        let start = format!("{}:{:02}Z", times[(number * 7) % 3], number % 60);
        status.start_time = Some(serde_json::from_value(json!(start)).unwrap());
    }
    if state == State::Ended {
        status.phase = Some("Succeeded".to_owned());
    }
    set_state(&mut pod, state);
    pod
}

/// Begins to delete the pod if that is its state.
pub(crate) fn set_state(pod: &mut Pod, state: State) {
    if matches!(state, State::Terminating | State::Preempted) {
        pod.metadata.deletion_timestamp = Some(serde_json::from_value(json!("2026-02-01T00:00:00Z")).unwrap());
    }
    if state == State::Preempted {
        let condition = json!({"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"});
        let conditions = &mut pod.status.get_or_insert_default().conditions;
        conditions.get_or_insert_default().push(serde_json::from_value(condition).unwrap());
    }
}

/// Lets a change happen to both.
pub(crate) fn apply(change: &Change, templates: &[Object<Pod>], snapshot: &mut Snapshot, cluster: &mut Cluster) {
    match change {
        Change::SetNode(Object(node)) => {
            snapshot.set_node(node);
            cluster.nodes.insert(name(node).to_owned(), Rc::clone(node));
        }
        Change::RemoveNode(name) => {
            snapshot.remove_node(name);
            if cluster.nodes.remove(*name).is_some() {
                cluster.nominated.retain(|_, (_, on)| on != name);
            }
        }
        Change::SetNamespace(name, labels) => {
            snapshot.set_namespace(name, labels.clone());
            cluster.namespaces.insert((*name).to_owned(), labels.clone());
        }
        Change::RemoveNamespace(name) => {
            snapshot.remove_namespace(name);
            cluster.namespaces.remove(*name);
        }
        Change::SetBudget(Object(budget)) => {
            snapshot.set_budget(budget);
            let meta = budget.metadata.clone();
            cluster.budgets.insert((meta.namespace.unwrap(), meta.name.unwrap()), (**budget).clone());
        }
        Change::RemoveBudget(namespace, name) => {
            snapshot.remove_budget(namespace, name);
            cluster.budgets.remove(&((*namespace).to_owned(), (*name).to_owned()));
        }
        Change::SetOwner(key, Object(selector)) => set_owner_in(*key, selector, snapshot, cluster),
        Change::RemoveOwner(key) => remove_owner_in(*key, snapshot, cluster),
        Change::Watch(template) => snapshot.watch(&PodInfo::new(&templates[*template].0)),
        Change::SetPod { number, template, node, state } => {
            set_pod_in(&make(&templates[*template].0, *number, *node, *state), snapshot, cluster);
        }
        Change::ConfirmPod(position) => {
            let Some(placed) = nth(cluster, *position) else { return };
            let mut pod = (*placed.pod).clone();
            pod.spec.as_mut().unwrap().node_name = Some(placed.node);
            set_pod_in(&pod, snapshot, cluster);
        }
        Change::RemovePod(position) => {
            let Some(placed) = nth(cluster, *position) else { return };
            snapshot.remove_pod(uid(&placed.pod));
            cluster.pods.remove(uid(&placed.pod));
        }
        Change::Assume { number, template, node } => {
            assume(&make(&templates[*template].0, *number, None, State::Running), node, snapshot, cluster);
        }
        Change::Nominate { number, template, node } => {
            nominate(&make(&templates[*template].0, *number, None, State::Running), node, snapshot, cluster);
        }
        Change::Withdraw { number } => {
            snapshot.withdraw(&format!("p{number}"));
            cluster.nominated.remove(&format!("p{number}"));
        }
    }
}

fn set_owner_in(
    (owner, namespace, name): (Owner, &str, &str),
    selector: &LabelSelector,
    snapshot: &mut Snapshot,
    cluster: &mut Cluster,
) {
    let meta = json!({"namespace": namespace, "name": name});
    let set = json!({"metadata": meta, "spec": {"selector": selector, "serviceName": "", "template": {}}});
    let by_labels = json!({"metadata": meta, "spec": {"selector": selector.match_labels}});
    match owner {
        Owner::Service => snapshot.set_service(&serde_json::from_value(by_labels).unwrap()),
        Owner::ReplicaSet => snapshot.set_replica_set(&serde_json::from_value(set).unwrap()),
        Owner::ReplicationController => {
            snapshot.set_replication_controller(&serde_json::from_value(by_labels).unwrap());
        }
        Owner::StatefulSet => snapshot.set_stateful_set(&serde_json::from_value(set).unwrap()),
    }
    cluster.owners.insert((owner, namespace.to_owned(), name.to_owned()), selector.clone());
}

fn remove_owner_in((owner, namespace, name): (Owner, &str, &str), snapshot: &mut Snapshot, cluster: &mut Cluster) {
    let mut remove = |kind| snapshot.remove_controller(kind, namespace, name);
    match owner {
        Owner::Service => snapshot.remove_service(namespace, name),
        Owner::ReplicaSet => remove(ControllerKind::ReplicaSet),
        Owner::ReplicationController => remove(ControllerKind::ReplicationController),
        Owner::StatefulSet => remove(ControllerKind::StatefulSet),
    }
    cluster.owners.remove(&(owner, namespace.to_owned(), name.to_owned()));
}

fn nth(cluster: &Cluster, position: usize) -> Option<Placed> {
    cluster.pods.values().nth(position.checked_rem(cluster.pods.len())?).cloned()
}

/// The API says this of a pod.
pub(crate) fn set_pod_in(pod: &Pod, snapshot: &mut Snapshot, cluster: &mut Cluster) {
    snapshot.set_pod(pod);
    let node = pod.spec.as_ref().unwrap().node_name.clone();
    let ended = pod.status.as_ref().unwrap().phase.is_some();
    match node {
        Some(node) if !ended => place(pod, node, false, cluster),
        // What was decided stays so until the API says otherwise.
        None if !ended && cluster.pods.get(uid(pod)).is_some_and(|placed| placed.assumed) => {}
        _ => drop(cluster.pods.remove(uid(pod))),
    }
}

/// It was decided that the pod goes to the node.
pub(crate) fn assume(pod: &Pod, node: &str, snapshot: &mut Snapshot, cluster: &mut Cluster) {
    snapshot.assume(pod, node);
    place(pod, node.to_owned(), true, cluster);
}

fn place(pod: &Pod, node: String, assumed: bool, cluster: &mut Cluster) {
    cluster.nominated.remove(uid(pod));
    cluster.pods.insert(uid(pod).to_owned(), Placed { pod: Rc::new(pod.clone()), node, assumed });
}

/// Room is being made for the pod, unless it is somewhere already.
pub(crate) fn nominate(pod: &Pod, node: &str, snapshot: &mut Snapshot, cluster: &mut Cluster) {
    if cluster.pods.contains_key(uid(pod)) {
        return;
    }
    snapshot.nominate(pod, node);
    cluster.nominated.remove(uid(pod));
    if cluster.nodes.contains_key(node) {
        cluster.nominated.insert(uid(pod).to_owned(), (Rc::new(pod.clone()), node.to_owned()));
    }
}
