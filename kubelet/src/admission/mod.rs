//! Whether a node takes a pod. Pure.
//!
//! Schedulers look at all this too, but not all pods come by way of one, and what a scheduler knew may have changed. So a node
//! looks again, as upstream's does: in the same order, with the same words. What it turns away fails; its status says the
//! reason, and `Pod was rejected: ` before the message, and an Event says both.

mod placement;
mod preemption;
mod resize;
mod room;

use std::collections::BTreeMap;

use api::pod_resources::List;
use api::taints::tolerates;
use k8s_openapi::api::core::v1::{Pod, Taint};

pub use resize::{Resize, resize};

use crate::cgroups::Class;
use crate::containers::{priority, sysctls, wants_apparmor};
use crate::node::shutdown;
use crate::pod_plan::Verdict;
use room::Lack;

/// The reason with which a pod ends that made room for one that the cluster cannot do without.
pub const PREEMPTING: &str = "Preempting";
/// What its status and the Event say.
pub const PREEMPTED: &str = "Preempted in order to admit critical pod";

/// What a node goes by.
#[derive(Clone, Debug, Default)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its taints.
    pub taints: Vec<Taint>,
    /// What its pods may request in all, `pods` among it.
    pub allocatable: List,
    /// Unsafe kernel parameters that its owner lets pods set.
    pub unsafe_sysctls: Vec<String>,
    /// What it lacks, by the conditions that say so: `MemoryPressure`, `DiskPressure`, `PIDPressure`.
    pub pressures: Vec<String>,
    /// Whether it is being shut down.
    pub shutting_down: bool,
    /// Whether it has AppArmor.
    pub apparmor: bool,
    /// Whether its runtime can leave out groups that an image gives to users (`supplementalGroupsPolicy: Strict`).
    pub strict_groups: bool,
}

/// What becomes of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The node takes it.
    Admit,
    /// The node takes it once those pods have ended, which are given by their places among the others.
    Preempt(Vec<usize>),
    /// The node does not take it.
    Reject(Verdict),
}

/// Whether a node takes a pod. `others` are those that it has taken and that have not ended. One that it had `taken` before
/// the agent started again is not turned away for labels or taints that came later.
#[must_use]
pub fn admit(pod: &Pod, others: &[&Pod], node: &Node, taken: bool) -> Decision {
    if let Some(verdict) = under_pressure(pod, node).or_else(|| unsafe_sysctls(pod, node)) {
        return Decision::Reject(verdict);
    }
    if let Some(verdict) = unsupported(pod, node) {
        return Decision::Reject(verdict);
    }
    let lacks = room::lacks(pod, others, &node.allocatable);
    let misplaced = placement::problems(pod, others, node, taken);
    let decision = decide(pod, others, &lacks, misplaced);
    if matches!(decision, Decision::Reject(_)) {
        return decision;
    }
    if node.shutting_down {
        return Decision::Reject(shutdown::rejected());
    }
    if !node.apparmor && wants_apparmor(pod) {
        return reject("AppArmor", "Cannot enforce AppArmor: AppArmor is not enabled on the host");
    }
    decision
}

fn verdict(reason: impl Into<String>, message: impl Into<String>) -> Verdict {
    Verdict { reason: reason.into(), message: message.into() }
}

fn reject(reason: impl Into<String>, message: impl Into<String>) -> Decision {
    Decision::Reject(verdict(reason, message))
}

/// The first problem decides. One that the cluster cannot do without is not turned away for a lack of resources, but ends
/// others.
fn decide(pod: &Pod, others: &[&Pod], lacks: &[Lack], misplaced: Option<Verdict>) -> Decision {
    let Some(first) = lacks.first() else { return misplaced.map_or(Decision::Admit, Decision::Reject) };
    if !priority::is_critical(pod) {
        return reject(format!("OutOf{}", first.resource), first.to_string());
    }
    if let Some(verdict) = misplaced {
        return Decision::Reject(verdict);
    }
    match preemption::victims(pod, others, lacks) {
        Ok(victims) => Decision::Preempt(victims),
        Err(problem) => {
            let problem = format!("preemption: error finding a set of pods to preempt: {problem}");
            let message = format!("Unexpected error while attempting to recover from admission failure: {problem}");
            reject("UnexpectedAdmissionError", message)
        }
    }
}

/// A node that lacks something takes only what it cannot do without; if that is memory alone, all that request some, too.
fn under_pressure(pod: &Pod, node: &Node) -> Option<Verdict> {
    if node.pressures.is_empty() || priority::is_critical(pod) {
        return None;
    }
    if node.pressures == ["MemoryPressure"] {
        let key = "node.kubernetes.io/memory-pressure".to_owned();
        let taint = Taint { key, effect: "NoSchedule".to_owned(), ..Taint::default() };
        let mut tolerations = pod.spec.iter().flat_map(|spec| spec.tolerations.iter().flatten());
        if Class::of(pod) != Class::BestEffort || tolerations.any(|toleration| tolerates(toleration, &taint)) {
            return None;
        }
    }
    Some(verdict("Evicted", format!("The node had condition: [{}]. ", node.pressures.join(" "))))
}

fn unsafe_sysctls(pod: &Pod, node: &Node) -> Option<Verdict> {
    sysctls::forbidden(pod, &node.unsafe_sysctls).map(|message| verdict(sysctls::FORBIDDEN, message))
}

/// What no other pod's end would help with.
fn unsupported(pod: &Pod, node: &Node) -> Option<Verdict> {
    let spec = pod.spec.as_ref()?;
    let os = pod.metadata.labels.as_ref().and_then(|labels| labels.get("kubernetes.io/os"));
    if os.is_some_and(|os| os != "linux") {
        let message = "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label";
        return Some(verdict("PodOSSelectorNodeLabelDoesNotMatch", message));
    }
    if spec.os.as_ref().is_some_and(|os| os.name != "linux") {
        return Some(verdict("PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS"));
    }
    let policy = spec.security_context.as_ref().and_then(|context| context.supplemental_groups_policy.as_deref());
    if policy == Some("Strict") && !node.strict_groups {
        let message = "SupplementalGroupsPolicy=Strict is not supported in this node";
        return Some(verdict("SupplementalGroupsPolicyNotSupported", message));
    }
    None
}

#[cfg(test)]
mod tests;
