//! TaintToleration: pods go to nodes whose taints they tolerate, and rather to those whose mild taints they tolerate too.
//!
//! Costs, a node, its taints times the pod's tolerations.

use crate::config::ExtensionPoint;
use crate::cycle::{Filter, Plugin, PreFilter, Rejection, Score, normalize};
use crate::snapshot::{NodeIndex, PodInfo, Snapshot, Taint};

/// See the module.
pub struct TaintToleration;

impl Plugin for TaintToleration {
    fn name(&self) -> &'static str {
        "TaintToleration"
    }

    fn points(&self) -> &'static [ExtensionPoint] {
        &[ExtensionPoint::Filter, ExtensionPoint::PreScore, ExtensionPoint::Score]
    }

    fn pre_filter<'a>(&'a self, snapshot: &'a Snapshot, pod: &'a PodInfo) -> PreFilter<'a> {
        PreFilter::Filter(Box::new(Tolerated { snapshot, pod }))
    }

    fn pre_score<'a>(
        &'a self,
        snapshot: &'a Snapshot,
        pod: &'a PodInfo,
        _feasible: &[NodeIndex],
    ) -> Option<Box<dyn Score + 'a>> {
        Some(Box::new(Tolerated { snapshot, pod }))
    }
}

struct Tolerated<'a> {
    snapshot: &'a Snapshot,
    pod: &'a PodInfo,
}

impl Tolerated<'_> {
    fn tolerates(&self, taint: &Taint) -> bool {
        self.pod.tolerations.iter().any(|toleration| toleration.tolerates(taint))
    }
}

impl Filter for Tolerated<'_> {
    fn filter(&self, node: NodeIndex) -> Result<(), Rejection> {
        let mut taints = self.snapshot.node(node).taints.iter().filter(|taint| taint.forbids());
        if taints.all(|taint| self.tolerates(taint)) { Ok(()) } else { Err(Rejection::unresolvable(0)) }
    }

    fn reason(&self, _number: u32) -> String {
        "node(s) had untolerated taint(s)".to_owned()
    }
}

impl Score for Tolerated<'_> {
    fn score(&self, node: NodeIndex) -> i64 {
        let taints = self.snapshot.node(node).taints.iter().filter(|taint| taint.discourages());
        taints.filter(|taint| !self.tolerates(taint)).map(|_| 1).sum()
    }

    fn normalize(&self, scores: &mut [i64]) {
        normalize(scores, true);
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Node;
    use serde_json::{Value, json};

    use super::*;
    use crate::plugins::testing::{Told, check_filter, check_scores};
    use crate::testing;

    fn node(name: &str, taints: Value) -> Node {
        testing::node(name, json!({"spec": {"taints": taints}}))
    }

    #[test]
    fn taints_that_are_not_tolerated_forbid() {
        let check = |taints, tolerations, expected| {
            let pod = testing::pod("a", json!({ "tolerations": tolerations }));
            check_filter(&TaintToleration, &node("n", taints), &[], &pod, expected);
        };
        const TAINTED: Told = Told::Unresolvable(&["node(s) had untolerated taint(s)"]);
        let a = json!([{"key": "a", "value": "1", "effect": "NoSchedule"}]);
        check(json!([]), json!([]), Told::Fits);
        check(a.clone(), json!([]), TAINTED);
        check(a.clone(), json!([{"key": "a", "value": "1"}]), Told::Fits);
        check(a.clone(), json!([{"key": "a", "value": "2"}]), TAINTED);
        check(a, json!([{"operator": "Exists"}]), Told::Fits);
        check(json!([{"key": "a", "effect": "NoExecute"}]), json!([]), TAINTED);
        check(json!([{"key": "a", "effect": "PreferNoSchedule"}]), json!([]), Told::Fits);
    }

    #[test]
    fn mild_taints_discourage() {
        let mild =
            |keys: &[&str]| keys.iter().map(|key| json!({"key": key, "effect": "PreferNoSchedule"})).collect::<Value>();
        let nodes = [node("n1", mild(&[])), node("n2", mild(&["a"])), node("n3", mild(&["a", "b", "c"]))];
        let check = |tolerations, expected: &[i64]| {
            let pod = testing::pod("a", json!({ "tolerations": tolerations }));
            check_scores(&TaintToleration, &nodes, &[], &pod, Some(expected));
        };
        check(json!([]), &[100, 67, 0]);
        check(json!([{"key": "a", "operator": "Exists"}]), &[100, 100, 0]);
        check(json!([{"key": "a", "operator": "Exists", "effect": "NoSchedule"}]), &[100, 67, 0]);
        check(json!([{"operator": "Exists"}]), &[100, 100, 100]);
    }
}
