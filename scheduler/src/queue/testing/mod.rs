//! Tests of the queue: rules one by one, and a simple model of it that storms of events are compared with.

mod model;
mod rules;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod, PodSchedulingGate, PodSpec};

use super::*;

pub(super) const PLUGINS: [&str; 3] = ["A", "B", "C"];
pub(super) const NODE_ADD: ClusterEvent = ClusterEvent::new(EventResource::Node, ActionType::ADD);
pub(super) const NODE_LABEL: ClusterEvent = ClusterEvent::new(EventResource::Node, ActionType::UPDATE_NODE_LABEL);
pub(super) const POD_DELETE: ClusterEvent = ClusterEvent::new(EventResource::AssignedPod, ActionType::DELETE);

/// A plugin that registered for some events, and thinks that one helps if the node's name begins with the name of the
/// pod, or is empty. It lets go of pods whose labels change.
pub(super) struct Named {
    name: &'static str,
    events: Vec<ClusterEvent>,
}

impl EnqueueExtensions for Named {
    fn name(&self) -> &'static str {
        self.name
    }

    fn events(&self) -> Vec<ClusterEvent> {
        self.events.clone()
    }

    fn hint(&self, pod: &Pod, event: &Event) -> Hint {
        assert!(self.events.iter().any(|kind| kind.covers(event.kind)), "{} is not asked of {}", self.name, event.kind);
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        let helps = match &event.new {
            Some(Object::Node(node)) => {
                node.metadata.name.as_deref().is_none_or(|node| node.is_empty() || node.starts_with(name))
            }
            _ => true,
        };
        if helps { Hint::Queue } else { Hint::Skip }
    }
}

/// The plugin that waits for gates to go.
pub(super) struct Gates;

impl PreEnqueue for Gates {
    fn name(&self) -> &'static str {
        "SchedulingGates"
    }

    fn admits(&self, pod: &Pod) -> bool {
        pod.spec.as_ref().is_none_or(|spec| spec.scheduling_gates.as_ref().is_none_or(Vec::is_empty))
    }
}

pub(super) fn registered(plugin: &str) -> Vec<ClusterEvent> {
    match plugin {
        "A" => vec![NODE_ADD, ClusterEvent::new(EventResource::Node, ActionType::UPDATE)],
        "B" => vec![NODE_ADD, ClusterEvent::new(EventResource::Pod, ActionType::DELETE)],
        "C" => vec![ClusterEvent::new(EventResource::Pod, ActionType::UPDATE_POD_LABEL)],
        _ => vec![ClusterEvent::new(EventResource::Pod, ActionType::UPDATE_POD_SCHEDULING_GATES_ELIMINATED)],
    }
}

pub(super) fn profiles() -> BTreeMap<String, Profile> {
    let named = |name| Arc::new(Named { name, events: registered(name) }) as Arc<dyn EnqueueExtensions>;
    let extensions = PLUGINS.into_iter().chain(["SchedulingGates"]).map(named).collect();
    let default = Profile { pre_enqueue: vec![Arc::new(Gates)], extensions };
    let other = Profile { pre_enqueue: vec![Arc::new(Gates)], extensions: vec![named("A"), named("SchedulingGates")] };
    BTreeMap::from([("default-scheduler".to_owned(), default), ("other".to_owned(), other)])
}

pub(super) fn queue() -> Queue {
    Queue::new(Settings::default(), profiles())
}

/// A pod whose name and identifier are alike.
pub(super) fn pod(name: &str, priority: i32) -> Pod {
    let mut pod = Pod::default();
    pod.metadata.name = Some(name.to_owned());
    pod.metadata.uid = Some(name.to_owned());
    pod.spec = Some(PodSpec { priority: Some(priority), ..PodSpec::default() });
    pod
}

pub(super) fn gated(mut pod: Pod) -> Pod {
    let spec = pod.spec.get_or_insert_default();
    spec.scheduling_gates = Some(vec![PodSchedulingGate { name: "gate".to_owned() }]);
    pod
}

pub(super) fn labeled(mut pod: Pod, value: &str) -> Pod {
    pod.metadata.labels = Some(BTreeMap::from([("label".to_owned(), value.to_owned())]));
    pod
}

/// Something that happened to a node of a name.
pub(super) fn node(kind: ClusterEvent, name: &str) -> Event {
    let mut node = Node::default();
    node.metadata.name = Some(name.to_owned());
    Event { kind, old: None, new: Some(Object::Node(Arc::new(node))) }
}

pub(super) fn refused(plugins: &[&'static str], pending: &[&'static str]) -> Refusal {
    Refusal {
        unschedulable_plugins: plugins.iter().copied().collect::<BTreeSet<_>>(),
        pending_plugins: pending.iter().copied().collect::<BTreeSet<_>>(),
    }
}
