//! A node's own Node: which parts of it are not the node's to say.

use std::collections::{BTreeMap, BTreeSet};

use api::field::go_quote;
use api::status::Status;
use k8s_openapi::api::core::v1::Node;

use super::{Operation, Write};

/// Labels that a node may give itself although they are of the system (upstream's list).
const OWN: [&str; 11] = [
    "beta.kubernetes.io/arch",
    "beta.kubernetes.io/instance-type",
    "beta.kubernetes.io/os",
    "failure-domain.beta.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "kubernetes.io/arch",
    "kubernetes.io/hostname",
    "kubernetes.io/os",
    "node.kubernetes.io/instance-type",
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
];

/// The same, by what stands before the slash, or ends it.
const OWN_DOMAINS: [&str; 2] = ["kubelet.kubernetes.io", "node.kubernetes.io"];

/// Labels by which pods are kept to nodes that cannot give them to themselves.
const RESTRICTED: &str = "node-restriction.kubernetes.io";

pub(super) fn admit(write: Write<'_>) -> Result<(), Status> {
    let (name, this) = (write.name(), go_quote(write.node));
    if name != write.node {
        return Err(write.refused(format!("node {this} is not allowed to modify node {}", go_quote(name))));
    }
    match write.operation() {
        Operation::Create => admit_new(write, &this),
        Operation::Update => admit_changed(write, &this),
        Operation::Delete => Ok(()),
    }
}

fn admit_new(write: Write<'_>, this: &str) -> Result<(), Status> {
    let node: &Node = write.object()?;
    if node.spec.as_ref().is_some_and(|spec| spec.config_source.is_some()) {
        return Err(write.refused(format!("node {this} is not allowed to create pods with a non-nil configSource")));
    }
    let labels = forbidden(node.metadata.labels.as_ref(), None);
    if !labels.is_empty() {
        return Err(write.refused(format!("node {this} is not allowed to set the following labels: {labels}")));
    }
    Ok(())
}

fn admit_changed(write: Write<'_>, this: &str) -> Result<(), Status> {
    let (new, old): (&Node, &Node) = (write.object()?, write.old()?);
    let source = |node: &Node| node.spec.as_ref().and_then(|spec| spec.config_source.clone());
    if source(new).is_some() && source(new) != source(old) {
        let why = format!("node {this} is not allowed to update configSource to a new non-nil configSource");
        return Err(write.refused(why));
    }
    let taints = |node: &Node| node.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default();
    if taints(new) != taints(old) {
        return Err(write.refused(format!("node {this} is not allowed to modify taints")));
    }
    // An owner that does not exist would have the node collected as garbage, and made again with labels of its choice.
    let owners = |node: &Node| node.metadata.owner_references.clone().unwrap_or_default();
    if owners(new) != owners(old) {
        return Err(write.refused(format!("node {this} is not allowed to modify ownerReferences")));
    }
    let labels = forbidden(new.metadata.labels.as_ref(), old.metadata.labels.as_ref());
    if !labels.is_empty() {
        return Err(write.refused(format!("is not allowed to modify labels: {labels}")));
    }
    Ok(())
}

type Labels = BTreeMap<String, String>;

/// The labels that differ and are not the node's to say.
fn forbidden(new: Option<&Labels>, old: Option<&Labels>) -> String {
    let value = |labels: Option<&Labels>, key: &String| labels.and_then(|labels| labels.get(key).cloned());
    let keys: BTreeSet<&String> = new.into_iter().chain(old).flat_map(BTreeMap::keys).collect();
    let differing = keys.into_iter().filter(|key| value(new, key) != value(old, key));
    differing.filter(|key| !is_own(key)).map(String::as_str).collect::<Vec<_>>().join(", ")
}

fn is_own(label: &str) -> bool {
    let domain = label.split_once('/').map_or("", |(domain, _)| domain);
    let within = |of: &str| domain.strip_suffix(of).is_some_and(|before| before.is_empty() || before.ends_with('.'));
    if within(RESTRICTED) {
        return false;
    }
    let is_of_system = within("kubernetes.io") || within("k8s.io");
    !is_of_system || OWN.contains(&label) || OWN_DOMAINS.into_iter().any(within)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_the_system_are_not_a_nodes_to_say() {
        let check = |label: &str, expected: bool| assert_eq!(is_own(label), expected, "{label}");
        for own in OWN {
            check(own, true);
        }
        check("mine", true);
        check("example.com/mine", true);
        check("notkubernetes.io/mine", true);
        check("kubernetes.io.example.com/mine", true);
        check("node.kubernetes.io/anything", true);
        check("x.node.kubernetes.io/anything", true);
        check("kubelet.kubernetes.io/anything", true);
        check("kubernetes.io/anything", false);
        check("k8s.io/anything", false);
        check("x.k8s.io/anything", false);
        check("node-role.kubernetes.io/control-plane", false);
        check("xnode.kubernetes.io/anything", false);
        check("node-restriction.kubernetes.io/anything", false);
        check("x.node-restriction.kubernetes.io/anything", false);
        check("node.kubernetes.io.node-restriction.kubernetes.io/anything", false);
        check("kubernetes.io/Hostname", false);
    }
}
