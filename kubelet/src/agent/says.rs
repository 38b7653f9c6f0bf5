//! What is said about pods and the node in Events.

use client::events::{EventType, Recorder};
use k8s_openapi::api::core::v1::{ObjectReference, Pod};

use crate::pod_plan::Says;

/// Says things about one node and its pods.
#[derive(Clone)]
pub(super) struct Voice {
    recorder: Recorder,
    node: String,
}

impl Voice {
    pub(super) fn new(recorder: Recorder, node: &str) -> Voice {
        Voice { recorder, node: node.to_owned() }
    }

    /// The recorder itself, for parts that say things of their own.
    pub(super) fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// Says what was decided to be said about a pod.
    pub(super) fn say_all(&self, pod: &Pod, says: &[Says]) {
        for said in says {
            self.say(pod, said.field.as_deref(), said.warning, said.reason, said.message.clone());
        }
    }

    /// Says something about a pod, or about what stands at a field of it.
    pub(super) fn say(&self, pod: &Pod, field: Option<&str>, warning: bool, reason: &str, message: impl Into<String>) {
        let mut regarding = of_pod(pod);
        regarding.field_path = field.map(str::to_owned);
        let kind = if warning { EventType::Warning } else { EventType::Normal };
        self.recorder.event(regarding, kind, reason, message);
    }

    /// Says something about the node.
    pub(super) fn say_of_node(&self, warning: bool, reason: &str, message: impl Into<String>) {
        let regarding = ObjectReference {
            kind: Some("Node".to_owned()),
            name: Some(self.node.clone()),
            // Not the Node's uid but its name, as upstream has it: so its Events are found by either.
            uid: Some(self.node.clone()),
            ..ObjectReference::default()
        };
        let kind = if warning { EventType::Warning } else { EventType::Normal };
        self.recorder.event(regarding, kind, reason, message);
    }
}

/// Names a pod.
pub(super) fn of_pod(pod: &Pod) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Pod".to_owned()),
        namespace: pod.metadata.namespace.clone(),
        name: pod.metadata.name.clone(),
        uid: pod.metadata.uid.clone(),
        resource_version: pod.metadata.resource_version.clone(),
        field_path: None,
    }
}

/// Names a container within its pod, as Events do.
pub(super) fn field_of(pod: &Pod, container: &str) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let list = if spec.containers.iter().any(|it| it.name == container) {
        "containers"
    } else if spec.init_containers.iter().flatten().any(|it| it.name == container) {
        "initContainers"
    } else if spec.ephemeral_containers.iter().flatten().any(|it| it.name == container) {
        "ephemeralContainers"
    } else {
        return None;
    };
    Some(format!("spec.{list}{{{container}}}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn containers_are_named_by_where_they_stand() {
        let spec = json!({
            "containers": [{"name": "a"}], "initContainers": [{"name": "b"}], "ephemeralContainers": [{"name": "c"}],
        });
        let pod: Pod = serde_json::from_value(json!({"spec": spec})).unwrap();
        let check = |name: &str, expected: Option<&str>| assert_eq!(field_of(&pod, name).as_deref(), expected);
        check("a", Some("spec.containers{a}"));
        check("b", Some("spec.initContainers{b}"));
        check("c", Some("spec.ephemeralContainers{c}"));
        check("d", None);
    }
}
