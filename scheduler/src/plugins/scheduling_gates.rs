//! SchedulingGates: a pod with gates is not tried until they are gone. Costs nothing a node.

use crate::cycle::Plugin;
use crate::snapshot::PodInfo;

/// See the module.
pub struct SchedulingGates;

impl Plugin for SchedulingGates {
    fn name(&self) -> &'static str {
        "SchedulingGates"
    }

    fn pre_enqueue(&self, pod: &PodInfo) -> Result<(), String> {
        match pod.scheduling_gates.join(" ") {
            gates if gates.is_empty() => Ok(()),
            gates => Err(format!("waiting for scheduling gates: [{gates}]")),
        }
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
            let pod = PodInfo::new(&testing::pod("a", spec));
            assert_eq!(SchedulingGates.pre_enqueue(&pod), expected.map_err(str::to_owned));
        };
        check(json!({}), Ok(()));
        let gates = json!({"schedulingGates": [{"name": "a.io/x"}, {"name": "b.io/y"}]});
        check(gates, Err("waiting for scheduling gates: [a.io/x b.io/y]"));
    }
}
