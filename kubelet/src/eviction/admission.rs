//! Which pods a node still takes while it runs out of something. Pure.

use api::pod_resources::qos;
use api::taints::tolerates;
use k8s_openapi::api::core::v1::{Pod, Taint};

use super::{Conditions, EVICTED, Pressure};
use crate::containers::priority::is_critical;
use crate::pod_plan::Verdict;

/// Whether the node takes the pod: all that are critical; and where only memory runs out, those that request something
/// and those that tolerate it.
pub fn admit(pod: &Pod, conditions: &Conditions) -> Result<(), Verdict> {
    let held =
        [(conditions.memory, Pressure::Memory), (conditions.disk, Pressure::Disk), (conditions.pid, Pressure::Pid)];
    let held: Vec<String> = held.into_iter().filter(|(holds, _)| *holds).map(|(_, held)| held.to_string()).collect();
    let only_memory = conditions.memory && held.len() == 1;
    let taint = Taint {
        key: "node.kubernetes.io/memory-pressure".to_owned(),
        effect: "NoSchedule".to_owned(),
        ..Taint::default()
    };
    let tolerated = || {
        let tolerations = pod.spec.iter().flat_map(|spec| spec.tolerations.iter().flatten());
        tolerations.into_iter().any(|toleration| tolerates(toleration, &taint))
    };
    let takes =
        held.is_empty() || is_critical(pod) || only_memory && (qos::class_of(pod) != qos::BEST_EFFORT || tolerated());
    if takes {
        return Ok(());
    }
    let message = format!("The node had condition: [{}]. ", held.join(" "));
    Err(Verdict { reason: EVICTED.to_owned(), message })
}
