//! What sandboxes and containers are labelled and annotated with at the runtime, and what is read back from there.
//!
//! The keys are upstream's: an agent that starts again knows its pods by them, and so do tools that look at a node.

use std::collections::HashMap;

use k8s_openapi::api::core::v1::{Container, ContainerPort, LifecycleHandler, Pod};
use serde::de::DeserializeOwned;

use crate::pod_plan::Role;

/// A pod's name.
pub const POD_NAME: &str = "io.kubernetes.pod.name";
/// A pod's namespace.
pub const POD_NAMESPACE: &str = "io.kubernetes.pod.namespace";
/// A pod's uid.
pub const POD_UID: &str = "io.kubernetes.pod.uid";
/// A container's name in its pod.
pub const CONTAINER_NAME: &str = "io.kubernetes.container.name";
/// A fingerprint of what the pod said of the container.
pub const HASH: &str = "io.kubernetes.container.hash";
/// How many containers of the name there were before.
pub const RESTART_COUNT: &str = "io.kubernetes.container.restartCount";
/// Where in the container its last words are.
pub const MESSAGE_PATH: &str = "io.kubernetes.container.terminationMessagePath";
/// Whether its log's end may stand for them.
pub const MESSAGE_POLICY: &str = "io.kubernetes.container.terminationMessagePolicy";
/// Its `preStop` hook, as JSON.
pub const PRE_STOP: &str = "io.kubernetes.container.preStopHandler";
/// Its ports, as JSON.
pub const PORTS: &str = "io.kubernetes.container.ports";
/// Which list of the pod's spec it stands in.
pub const TYPE: &str = "io.kubernetes.container.type";
/// The seconds that the deletion gave the pod.
pub const DELETION_GRACE: &str = "io.kubernetes.pod.deletionGracePeriod";
/// The seconds that the spec gives the pod.
pub const TERMINATION_GRACE: &str = "io.kubernetes.pod.terminationGracePeriod";

/// A sandbox's labels: the pod's own, and who it is.
pub(super) fn of_sandbox(pod: &Pod) -> HashMap<String, String> {
    let own = pod.metadata.labels.iter().flatten();
    let mut labels: HashMap<_, _> = own.map(|(key, value)| (key.clone(), value.clone())).collect();
    labels.extend(identity(pod));
    labels
}

/// A sandbox's annotations: the pod's own.
pub(super) fn annotations_of_sandbox(pod: &Pod) -> HashMap<String, String> {
    pod.metadata.annotations.iter().flatten().map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// A container's labels: who it is.
pub(super) fn of_container(pod: &Pod, container: &Container) -> HashMap<String, String> {
    let name = (CONTAINER_NAME.to_owned(), container.name.clone());
    identity(pod).into_iter().chain([name]).collect()
}

/// A container's annotations: what is needed to end it although its pod is gone, and to see whether it is still wanted.
pub(super) fn annotations_of_container(
    pod: &Pod,
    container: &Container,
    role: Role,
    attempt: u32,
    hash: &str,
) -> HashMap<String, String> {
    let or_empty = |value: &Option<String>| value.clone().unwrap_or_default();
    let grace = pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds);
    let pre_stop = container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.pre_stop.as_ref());
    let ports = container.ports.as_ref().filter(|ports| !ports.is_empty());
    let annotations = [
        (HASH, Some(hash.to_owned())),
        (RESTART_COUNT, Some(attempt.to_string())),
        (MESSAGE_PATH, Some(or_empty(&container.termination_message_path))),
        (MESSAGE_POLICY, Some(or_empty(&container.termination_message_policy))),
        (DELETION_GRACE, pod.metadata.deletion_grace_period_seconds.map(|seconds| seconds.to_string())),
        (TERMINATION_GRACE, grace.map(|seconds| seconds.to_string())),
        // Both are made of strings and numbers, which JSON always takes.
        (PRE_STOP, pre_stop.and_then(|handler| serde_json::to_string(handler).ok())),
        (PORTS, ports.and_then(|ports| serde_json::to_string(ports).ok())),
        (TYPE, Some(type_of(role).to_owned())),
    ];
    annotations.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
}

fn identity(pod: &Pod) -> [(String, String); 3] {
    let or_empty = |value: &Option<String>| value.clone().unwrap_or_default();
    [
        (POD_NAME.to_owned(), or_empty(&pod.metadata.name)),
        (POD_NAMESPACE.to_owned(), or_empty(&pod.metadata.namespace)),
        (POD_UID.to_owned(), or_empty(&pod.metadata.uid)),
    ]
}

fn type_of(role: Role) -> &'static str {
    match role {
        Role::Init => "init",
        Role::Regular => "container",
        Role::Ephemeral => "ephemeral",
    }
}

/// Which pod a sandbox or container is of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its uid.
    pub uid: String,
}

/// Which pod something with these labels is of; `None` if it is nothing of a kubelet's.
#[must_use]
pub fn pod_of(labels: &HashMap<String, String>) -> Option<Identity> {
    let of = |key: &str| labels.get(key).cloned();
    Some(Identity { name: of(POD_NAME)?, namespace: of(POD_NAMESPACE)?, uid: of(POD_UID)? })
}

/// The name of a container with these labels.
#[must_use]
pub fn container_of(labels: &HashMap<String, String>) -> Option<&str> {
    labels.get(CONTAINER_NAME).map(String::as_str)
}

/// What a container's annotations say. What is missing or cannot be read is left out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Noted {
    /// A fingerprint of what the pod said of it.
    pub hash: String,
    /// How many there were of its name before.
    pub restart_count: u32,
    /// Where in the container its last words are.
    pub message_path: String,
    /// Whether its log's end may stand for them.
    pub message_policy: String,
    /// The seconds that the deletion gave the pod when the container was made.
    pub deletion_grace: Option<i64>,
    /// The seconds that the spec gave the pod when the container was made.
    pub termination_grace: Option<i64>,
    /// Its `preStop` hook.
    pub pre_stop: Option<LifecycleHandler>,
    /// Its ports.
    pub ports: Vec<ContainerPort>,
    /// Which list of the spec it stood in.
    pub role: Option<Role>,
}

/// Reads a container's annotations.
#[must_use]
pub fn read(annotations: &HashMap<String, String>) -> Noted {
    let text = |key: &str| annotations.get(key).cloned().unwrap_or_default();
    let number = |key: &str| annotations.get(key).and_then(|value| value.parse().ok());
    Noted {
        hash: text(HASH),
        restart_count: annotations.get(RESTART_COUNT).and_then(|value| value.parse().ok()).unwrap_or(0),
        message_path: text(MESSAGE_PATH),
        message_policy: text(MESSAGE_POLICY),
        deletion_grace: number(DELETION_GRACE),
        termination_grace: number(TERMINATION_GRACE),
        pre_stop: json(annotations, PRE_STOP),
        ports: json(annotations, PORTS).unwrap_or_default(),
        role: [Role::Init, Role::Regular, Role::Ephemeral].into_iter().find(|role| type_of(*role) == text(TYPE)),
    }
}

fn json<T: DeserializeOwned>(annotations: &HashMap<String, String>, key: &str) -> Option<T> {
    serde_json::from_str(annotations.get(key)?).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "web", "namespace": "ns", "uid": "u", "labels": {"a": "b", POD_UID: "forged"},
                "deletionGracePeriodSeconds": 5},
            "spec": {"terminationGracePeriodSeconds": 7, "containers": [{"name": "c",
                "terminationMessagePath": "/m", "terminationMessagePolicy": "File",
                "ports": [{"containerPort": 80}], "lifecycle": {"preStop": {"sleep": {"seconds": 1}}}}]},
        }))
        .unwrap();
        let container = &pod.spec.as_ref().unwrap().containers[0];
        let identity = Identity { name: "web".to_owned(), namespace: "ns".to_owned(), uid: "u".to_owned() };
        let sandbox = of_sandbox(&pod);
        assert_eq!(sandbox["a"], "b");
        assert_eq!(pod_of(&sandbox), Some(identity.clone()));
        let labels = of_container(&pod, container);
        assert_eq!((pod_of(&labels), container_of(&labels), labels.len()), (Some(identity), Some("c"), 4));
        let noted = read(&annotations_of_container(&pod, container, Role::Regular, 3, "1f"));
        let expected = Noted {
            hash: "1f".to_owned(),
            restart_count: 3,
            message_path: "/m".to_owned(),
            message_policy: "File".to_owned(),
            deletion_grace: Some(5),
            termination_grace: Some(7),
            pre_stop: container.lifecycle.as_ref().unwrap().pre_stop.clone(),
            ports: container.ports.clone().unwrap(),
            role: Some(Role::Regular),
        };
        assert_eq!(noted, expected);
        assert_eq!(read(&HashMap::new()), Noted::default());
        assert_eq!(pod_of(&HashMap::from([(POD_NAME.to_owned(), "x".to_owned())])), None);
    }
}
