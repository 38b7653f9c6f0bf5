//! Decisions as a whole: where pods go, in which order nodes are tried, and what is said if there is none.

use k8s_openapi::api::core::v1::{Node, Pod};
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::json;

use super::*;
use crate::testing::{self, requesting};

fn decide(snapshot: &Snapshot, profile: &Profile, pod: &Pod, start: usize, seed: u64) -> Decision {
    let info = PodInfo::new(pod);
    let nominated_node = pod.status.as_ref().and_then(|status| status.nominated_node_name.as_deref());
    let candidate = Candidate { uid: pod.metadata.uid.as_deref().unwrap(), info: &info, nominated_node };
    schedule(snapshot, profile, &candidate, start, &mut StdRng::seed_from_u64(seed))
}

fn name<'a>(snapshot: &'a Snapshot, decision: &Decision) -> Option<&'a str> {
    decision.node.map(|node| snapshot.node(node).name.as_str())
}

fn many(count: usize) -> Vec<Node> {
    (0..count).map(|i| testing::node(&format!("n{i}"), json!({}))).collect()
}

#[test]
fn what_is_said_is_upstreams() {
    let check = |nodes: &[Node], pods: &[(&str, Pod)], spec, expected: &str, plugins: &[&str]| {
        let snapshot = testing::snapshot(nodes, pods);
        let decision = decide(&snapshot, &Profile::default(), &testing::pod("p", spec), 0, 0);
        assert_eq!(decision.node, None);
        assert_eq!(decision.verdicts.message(""), expected);
        assert_eq!(decision.verdicts.plugins(), plugins);
    };
    check(&[], &[], json!({}), "no nodes available to schedule pods", &[]);
    let tainted = |name| testing::node(name, json!({"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]}}));
    let plain = |name| testing::node(name, json!({}));
    let five = [plain("n1"), plain("n2"), plain("n3"), tainted("n4"), tainted("n5")];
    let cpu = "0/5 nodes are available: 2 node(s) had untolerated taint(s), 3 Insufficient cpu.";
    check(&five, &[], requesting(json!({"cpu": "5"})), cpu, &["NodeResourcesFit", "TaintToleration"]);
    let full = testing::pod("full", requesting(json!({"cpu": "4"})));
    let both =
        "0/5 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint(s), 3 Insufficient memory.";
    let wanted = requesting(json!({"cpu": "1", "memory": "9Gi"}));
    check(&five, &[("n1", full)], wanted, both, &["NodeResourcesFit", "TaintToleration"]);
    let names = |names: &[&str]| {
        let fields = |name: &&str| json!({"key": "metadata.name", "operator": "In", "values": [name]});
        let term = json!({"matchFields": names.iter().map(fields).collect::<Vec<_>>()});
        let required = json!({"nodeSelectorTerms": [term]});
        json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}})
    };
    let one = "0/5 nodes are available: 1 node(s) had untolerated taint(s), 4 node(s) didn't satisfy plugin(s) [NodeAffinity].";
    check(&five, &[], names(&["n4"]), one, &["NodeAffinity", "TaintToleration"]);
    let none = "0/5 nodes are available: 5 node(s) didn't satisfy plugin(s) [NodeAffinity].";
    check(&five, &[], names(&["n6"]), none, &["NodeAffinity"]);
    let conflict = "0/5 nodes are available: pod affinity terms conflict.";
    check(&five, &[], names(&["n1", "n2"]), conflict, &["NodeAffinity"]);
}

#[test]
fn what_was_tried_in_vain_is_said_last() {
    let snapshot = testing::snapshot(&many(1), &[]);
    let pod = testing::pod("p", requesting(json!({"cpu": "5"})));
    let decision = decide(&snapshot, &Profile::default(), &pod, 0, 0);
    let message = decision.verdicts.message("preemption: 0/1 nodes are available: 1 No preemption victims found.");
    let expected = "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 No preemption \
                    victims found.";
    assert_eq!(message, expected);
    assert_eq!(decision.verdicts.resolvable().count(), 0, "the node never has that much");
    let (node, verdict) = decision.verdicts.rejections.iter().next().unwrap();
    assert_eq!(snapshot.node(*node).name, "n0");
    let (plugin, reasons) = decision.verdicts.explain(verdict);
    assert_eq!((plugin, reasons.collect::<Vec<_>>()), ("NodeResourcesFit", vec!["Insufficient cpu"]));
}

#[test]
fn the_best_of_the_feasible_nodes_is_chosen() {
    let pods = [
        ("n0", testing::pod("a", requesting(json!({"cpu": "2"})))),
        ("n2", testing::pod("b", requesting(json!({"cpu": "1"})))),
    ];
    let snapshot = testing::snapshot(&many(3), &pods);
    let decision = decide(&snapshot, &Profile::default(), &testing::pod("p", requesting(json!({"cpu": "1"}))), 0, 0);
    assert_eq!(name(&snapshot, &decision), Some("n1"));
    assert_eq!((decision.evaluated, decision.feasible), (3, 3));
}

#[test]
fn equally_good_nodes_are_equally_likely() {
    let snapshot = testing::snapshot(&many(4), &[]);
    let mut counts = [0; 4];
    for seed in 0..400 {
        let decision = decide(&snapshot, &Profile::default(), &testing::pod("p", json!({})), 0, seed);
        counts[decision.node.unwrap().get()] += 1;
    }
    assert!(counts.iter().all(|count| (60..140).contains(count)), "{counts:?}");
    let again = |seed| decide(&snapshot, &Profile::default(), &testing::pod("p", json!({})), 0, seed);
    assert_eq!(again(7), again(7));
}

#[test]
fn each_search_begins_where_the_last_one_ended() {
    let mut nodes = many(250);
    for node in nodes.iter_mut().take(50) {
        node.spec.get_or_insert_default().unschedulable = Some(true);
    }
    let snapshot = testing::snapshot(&nodes, &[]);
    let mut start = 0;
    for (evaluated, next) in [(170, 170), (170, 90), (120, 210)] {
        let decision = decide(&snapshot, &Profile::default(), &testing::pod("p", json!({})), start, 0);
        assert_eq!((decision.feasible, decision.evaluated, decision.next_start), (120, evaluated, next));
        start = decision.next_start;
    }
}

#[test]
fn room_that_is_made_for_a_pod_is_kept_for_it() {
    let mut snapshot = testing::snapshot(&many(2), &[]);
    let mut important = testing::pod("important", requesting(json!({"cpu": "4"})));
    important.spec.as_mut().unwrap().priority = Some(5);
    important.status.get_or_insert_default().nominated_node_name = Some("n1".to_owned());
    snapshot.nominate(&important, "n1");
    let check = |priority: i32, feasible| {
        let mut spec = requesting(json!({"cpu": "1"}));
        spec["priority"] = json!(priority);
        let decision = decide(&snapshot, &Profile::default(), &testing::pod("p", spec), 0, 0);
        assert_eq!(decision.feasible, feasible, "of priority {priority}");
    };
    check(4, 1);
    check(5, 1);
    check(6, 2);
    let decision = decide(&snapshot, &Profile::default(), &important, 0, 0);
    assert_eq!((name(&snapshot, &decision), decision.evaluated), (Some("n1"), 1));
    snapshot.withdraw("important");
    assert!(snapshot.nominated(snapshot.index("n1").unwrap()).is_empty());
}
