//! What a node writes into its Node, and reads out of it.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Node, NodeCondition};
use serde_json::{Map, Value, json};

/// Says that volumes are attached by a controller, not by the kubelet.
pub(crate) const CONTROLLER_ATTACHES: &str = "volumes.kubernetes.io/controller-managed-attach-detach";
/// The labels that a kubelet sets even if the Node is there already.
const DEFAULT_LABELS: [&str; 6] = [
    "beta.kubernetes.io/arch",
    "beta.kubernetes.io/os",
    "kubernetes.io/arch",
    "kubernetes.io/hostname",
    "kubernetes.io/os",
    "topology.kubernetes.io/zone",
];

/// What a node writes into its Node to make it as it says, by a strategic merge patch of the status: what differs, and
/// when it was heard of last.
pub(crate) fn report(known: &Node, said: &Node) -> Value {
    let mut patch = json!({"status": status_patch(known, said)});
    let differing =
        |known: &Option<BTreeMap<String, String>>, said: &Option<BTreeMap<String, String>>, keys: &[&str]| {
            let of = |map: &Option<BTreeMap<String, String>>, key: &str| map.as_ref()?.get(key).cloned();
            let keys = keys.iter().filter(|key| of(said, key).is_some() && of(said, key) != of(known, key));
            keys.map(|key| ((*key).to_owned(), json!(of(said, key)))).collect::<Map<String, Value>>()
        };
    let labels = differing(&known.metadata.labels, &said.metadata.labels, &DEFAULT_LABELS);
    let annotations = differing(&known.metadata.annotations, &said.metadata.annotations, &[CONTROLLER_ATTACHES]);
    for (field, changes) in [("labels", labels), ("annotations", annotations)] {
        if !changes.is_empty() {
            patch["metadata"][field] = changes.into();
        }
    }
    patch
}

/// The fields of a status that are written whole.
const WHOLE: [&str; 8] = [
    "allocatable",
    "capacity",
    "daemonEndpoints",
    "declaredFeatures",
    "features",
    "images",
    "nodeInfo",
    "runtimeHandlers",
];

fn status_patch(known: &Node, said: &Node) -> Value {
    let (known, said) = (known.status.clone().unwrap_or_default(), said.status.clone().unwrap_or_default());
    let (was, is) = (json!(known), json!(said));
    let mut patch = Map::new();
    for field in WHOLE {
        if was.get(field) != is.get(field) {
            patch.insert(field.to_owned(), is.get(field).cloned().unwrap_or_default());
        }
    }
    if known.addresses != said.addresses {
        let addresses = said.addresses.iter().flatten().map(|address| json!(address));
        let whole = [json!({"$patch": "replace"})].into_iter().chain(addresses);
        patch.insert("addresses".to_owned(), whole.collect());
    }
    let conditions = said.conditions.into_iter().flatten().map(|condition| {
        let mut old = known.conditions.iter().flatten();
        let old = old.find(|old| old.type_ == condition.type_ && old.status == condition.status);
        let since = old.and_then(|old| old.last_transition_time.clone()).or(condition.last_transition_time);
        json!(NodeCondition { last_transition_time: since, ..condition })
    });
    patch.insert("conditions".to_owned(), conditions.collect());
    patch.into()
}

/// The ranges of addresses that a Node gives to its pods.
pub(crate) fn pod_ranges(node: &Node) -> Vec<&str> {
    let Some(spec) = &node.spec else { return Vec::new() };
    let all: Vec<&str> = spec.pod_cidrs.iter().flatten().map(String::as_str).collect();
    if all.is_empty() {
        spec.pod_cidr.iter().map(String::as_str).filter(|range| !range.is_empty()).collect()
    } else {
        all
    }
}
