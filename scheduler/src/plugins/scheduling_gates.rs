//! SchedulingGates: a pod with gates is not tried until they are gone. Costs nothing a node.

use k8s_openapi::api::core::v1::Pod;

use crate::config::ExtensionPoint;
use crate::cycle::Plugin;
use crate::queue::{ActionType, Change, ClusterEvent, Event, EventResource, Hint};
use crate::snapshot::same;

/// See the module.
pub struct SchedulingGates;

impl Plugin for SchedulingGates {
    fn name(&self) -> &'static str {
        "SchedulingGates"
    }

    fn points(&self) -> &'static [ExtensionPoint] {
        &[ExtensionPoint::PreEnqueue]
    }

    fn events(&self) -> Vec<ClusterEvent> {
        vec![ClusterEvent::new(EventResource::Pod, ActionType::UPDATE_POD_SCHEDULING_GATES_ELIMINATED)]
    }

    fn hint(&self, pod: &Pod, event: &Event) -> Hint {
        match event.change() {
            Change::Pod(_, Some(new)) => Hint::when(same(pod, new)),
            _ => Hint::Queue,
        }
    }

    fn pre_enqueue(&self, pod: &Pod) -> Result<(), String> {
        let gates: Vec<&str> = pod
            .spec
            .iter()
            .flat_map(|spec| spec.scheduling_gates.iter().flatten())
            .map(|gate| gate.name.as_str())
            .collect();
        if gates.is_empty() { Ok(()) } else { Err(format!("waiting for scheduling gates: [{}]", gates.join(" "))) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plugins::testing::check_pod_hint;
    use crate::queue::Hint::{Queue, Skip};
    use crate::testing;

    #[test]
    fn gates_keep_pods_from_being_tried() {
        let check = |spec, expected: Result<(), &str>| {
            let pod = testing::pod("a", spec);
            assert_eq!(SchedulingGates.pre_enqueue(&pod), expected.map_err(str::to_owned));
        };
        check(json!({}), Ok(()));
        let gates = json!({"schedulingGates": [{"name": "a.io/x"}, {"name": "b.io/y"}]});
        check(gates, Err("waiting for scheduling gates: [a.io/x b.io/y]"));
    }

    #[test]
    fn gated_pods_wait_for_their_own_gates_to_go() {
        let check = |name: &str, expected| {
            let old = testing::pod(name, json!({"schedulingGates": [{"name": "a.io/x"}]}));
            let (pod, new) = (testing::pod("p", json!({})), testing::pod(name, json!({})));
            check_pod_hint(&SchedulingGates, &pod, Some(old), Some(new), expected);
        };
        check("p", Queue);
        check("q", Skip);
    }
}
