//! Whether a node can give a pod that runs what it wants by now.

use k8s_openapi::api::core::v1::Pod;

use super::room::{self, amount, requested};
use super::{Decision, Node, admit};
use crate::containers::priority;

/// What becomes of a pod's wish for other resources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resize {
    /// It gets them.
    Possible,
    /// Not as long as the others are there (`PodResizePending` with reason `Deferred`), and why.
    Deferred(String),
    /// Never here (`PodResizePending` with reason `Infeasible`), and why.
    Infeasible(String),
}

/// Whether a pod, whose spec says what it wants by now, gets it. `others` are the node's other pods, this one not among them.
#[must_use]
pub fn resize(pod: &Pod, others: &[&Pod], node: &Node) -> Resize {
    if priority::is_static(pod) {
        return Resize::Infeasible("In-place resize of static-pods is not supported".to_owned());
    }
    for resource in ["memory", "cpu"] {
        let (wanted, capacity) = (requested(pod, resource), amount(&node.allocatable, resource));
        if wanted > capacity {
            let numbers = format!("{resource}, requested: {wanted}, capacity: {capacity}");
            return Resize::Infeasible(format!("Node didn't have enough capacity: {numbers}"));
        }
    }
    // Nobody else ends for it, however much the cluster needs it: what it has now it keeps.
    if let Some(lack) = room::lacks(pod, others, &node.allocatable).first() {
        return Resize::Deferred(lack.to_string());
    }
    match admit(pod, others, node, true) {
        Decision::Reject(verdict) => Resize::Deferred(verdict.message),
        Decision::Admit | Decision::Preempt(_) => Resize::Possible,
    }
}
