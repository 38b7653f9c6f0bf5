//! What plugins' tables of cases are checked with.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod};

use crate::cycle::{Plugin, PreFilter};
use crate::queue::{ActionType, ClusterEvent, Event, EventResource, Hint, Object, node_changes, pod_changes};
use crate::snapshot::{PlacedPod, PodInfo, Snapshot};
use crate::testing;

/// What a plugin says of a pod and a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Fits,
    Resolvable(&'static [&'static str]),
    Unresolvable(&'static [&'static str]),
    /// Said of all nodes, before any was looked at.
    Rejected(&'static str),
}

/// What the plugin says of `pod`, if `node` has `pods` already; and that supposing the pods away and back again says the
/// same as if they were.
pub(crate) fn check_filter(plugin: &dyn Plugin, node: &Node, pods: &[Pod], pod: &Pod, expected: Told) {
    let name = node.metadata.name.as_deref().unwrap();
    let placed: Vec<_> = pods.iter().map(|pod| (name, pod.clone())).collect();
    let info = PodInfo::new(pod);
    let snapshot = testing::snapshot(std::slice::from_ref(node), &placed);
    let index = snapshot.index(name).unwrap();
    let mut filter = match plugin.pre_filter(&snapshot, &info) {
        PreFilter::Skip => return assert_eq!(expected, Told::Fits, "{pod:?}"),
        PreFilter::Reject(reason) => return assert_eq!(expected, Told::Rejected(reason.leak()), "{pod:?}"),
        PreFilter::Filter(filter) => filter,
        PreFilter::Only(names, filter) => {
            assert!(names.contains(name), "{names:?}");
            filter
        }
    };
    let told = filter.filter(index);
    let reasons = |reasons: u64| -> Vec<String> {
        (0..u64::BITS).filter(|number| reasons & (1 << number) != 0).map(|number| filter.reason(number)).collect()
    };
    match (expected, told) {
        (Told::Fits, Ok(())) => {}
        (Told::Resolvable(texts), Err(told)) if !told.unresolvable => {
            assert_eq!(reasons(told.reasons), texts, "{pod:?}")
        }
        (Told::Unresolvable(texts), Err(told)) if told.unresolvable => {
            assert_eq!(reasons(told.reasons), texts, "{pod:?}")
        }
        _ => panic!("{told:?} instead of {expected:?} of {pod:?}"),
    }
    snapshot.node(index).pods.iter().for_each(|pod| filter.remove(pod));
    let empty = testing::snapshot(std::slice::from_ref(node), &[]);
    if let PreFilter::Filter(unused) = plugin.pre_filter(&empty, &info) {
        let (supposed, real) = (filter.filter(index).is_ok(), unused.filter(empty.index(name).unwrap()).is_ok());
        assert_eq!(supposed, real, "{pod:?} without others");
    }
    snapshot.node(index).pods.iter().for_each(|pod| filter.add(pod));
    assert_eq!(filter.filter(index), told, "{pod:?} with others again");
}

/// What the plugin, if it has refused `pod`, says of what becomes of another, or of the pod itself. Only events that it
/// asked for come to it.
pub(crate) fn check_pod_hint(plugin: &dyn Plugin, pod: &Pod, old: Option<Pod>, new: Option<Pod>, expected: Hint) {
    let changes = match (&old, &new) {
        (Some(old), Some(new)) => pod_changes(old, new),
        (None, _) => vec![ClusterEvent::new(EventResource::AssignedPod, ActionType::ADD)],
        (_, None) => vec![ClusterEvent::new(EventResource::AssignedPod, ActionType::DELETE)],
    };
    let object = |pod: Pod| Object::Pod(Arc::new(pod));
    check_hint(plugin, pod, &changes, (old.map(object), new.map(object)), expected);
}

/// What the plugin, if it has refused `pod`, says of what becomes of a node.
pub(crate) fn check_node_hint(plugin: &dyn Plugin, pod: &Pod, old: Option<Node>, new: Option<Node>, expected: Hint) {
    let changes = match (&old, &new) {
        (Some(old), Some(new)) => node_changes(old, new),
        (None, _) => vec![ClusterEvent::new(EventResource::Node, ActionType::ADD)],
        (_, None) => vec![ClusterEvent::new(EventResource::Node, ActionType::DELETE)],
    };
    let object = |node: Node| Object::Node(Arc::new(node));
    check_hint(plugin, pod, &changes, (old.map(object), new.map(object)), expected);
}

fn check_hint(
    plugin: &dyn Plugin,
    pod: &Pod,
    changes: &[ClusterEvent],
    (old, new): (Option<Object>, Option<Object>),
    expected: Hint,
) {
    let helps = changes.iter().any(|kind| {
        let is_asked = plugin.events().iter().any(|event| event.covers(*kind));
        let event = Event { kind: *kind, old: old.clone(), new: new.clone() };
        is_asked && plugin.hint(pod, &event) == Hint::Queue
    });
    assert_eq!(Hint::when(helps), expected, "of {pod:?}: {old:?} became {new:?}");
}

/// How the plugin scores the nodes for `pod`, brought to scale; none if it has no say.
pub(crate) fn check_scores(
    plugin: &dyn Plugin,
    nodes: &[Node],
    pods: &[(&str, Pod)],
    pod: &Pod,
    expected: Option<&[i64]>,
) {
    let snapshot = testing::snapshot(nodes, pods);
    let info = PodInfo::new(pod);
    let scores = plugin.pre_score(&snapshot, &info, snapshot.order()).map(|judge| {
        let mut scores: Vec<_> = snapshot.order().iter().map(|node| judge.score(*node)).collect();
        judge.normalize(&mut scores);
        scores
    });
    assert_eq!(scores.as_deref(), expected, "{pod:?}");
}

/// What the plugin says of each node, in order, if `pods` are there; nothing where the pod fits. It is the same whether
/// the pod is watched or not, and if the other pods are only supposed there.
pub(crate) fn check_reasons(plugin: &dyn Plugin, nodes: &[Node], pods: &[(&str, Pod)], pod: &Pod, expected: &[&str]) {
    let info = PodInfo::new(pod);
    let told = |snapshot: &Snapshot, supposed: &[(bool, Arc<PlacedPod>)]| -> Vec<String> {
        let mut filter = match plugin.pre_filter(snapshot, &info) {
            PreFilter::Skip if supposed.is_empty() => return vec![String::new(); nodes.len()],
            PreFilter::Filter(filter) => filter,
            _ => return expected.iter().map(|reason| (*reason).to_owned()).collect(),
        };
        for (there, pod) in supposed {
            if *there { filter.add(pod) } else { filter.remove(pod) }
        }
        let reason = |name: &str| match filter.filter(snapshot.index(name).unwrap()) {
            Ok(()) => String::new(),
            Err(rejection) => filter.reason(rejection.reasons.trailing_zeros()),
        };
        nodes.iter().map(|node| reason(node.metadata.name.as_deref().unwrap())).collect()
    };
    let mut full = testing::snapshot(nodes, pods);
    let mut empty = testing::snapshot(nodes, &[]);
    let placed: Vec<_> = full.order().iter().flat_map(|node| full.node(*node).pods.clone()).collect();
    for watched in [false, true] {
        if watched {
            full.watch(&info);
            empty.watch(&info);
        }
        assert_eq!(told(&full, &[]), expected, "{watched} {pod:?}");
        let come: Vec<_> = placed.iter().map(|pod| (true, Arc::clone(pod))).collect();
        assert_eq!(told(&empty, &come), expected, "supposed there: {pod:?}");
        let gone: Vec<_> = placed.iter().map(|pod| (false, Arc::clone(pod))).collect();
        let without = told(&empty, &[]);
        assert!(matches!(plugin.pre_filter(&full, &info), PreFilter::Skip) || told(&full, &gone) == without);
    }
}
