//! SchedulingGates: a pod with gates is not tried until they are gone. Costs nothing a node.

use crate::config::ExtensionPoint;
use crate::cycle::Plugin;
use k8s_openapi::api::core::v1::Pod;

/// See the module.
pub struct SchedulingGates;

impl Plugin for SchedulingGates {
    fn name(&self) -> &'static str {
        "SchedulingGates"
    }

    fn points(&self) -> &'static [ExtensionPoint] {
        &[ExtensionPoint::PreEnqueue]
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
}
