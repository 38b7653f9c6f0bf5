//! What upstream's documentation says of scheduling, example by example.
//!
//! Each file of cases beside this one is of one page of the documentation. A case is a cluster, and pods that come one
//! after the other; where each may go, where it goes, and what is said if it goes nowhere.

#![allow(clippy::unwrap_used, reason = "a test's own helpers may panic as the test may")]

mod cases;
mod scores;

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Pod;
use rand::SeedableRng;
use rand::rngs::StdRng;
use scheduler::config::ExtensionPoint;
use scheduler::cycle::{Attempt, Candidate, PostFilter, Profile, schedule};
use scheduler::snapshot::{PodInfo, Snapshot};

use cases::{Asked, Case};

/// Equally good nodes are chosen from by chance: each case is tried with so many seeds.
const SEEDS: u64 = 8;

fn check(file: &str) {
    let cases: Vec<Case> = serde_saphyr::from_str(file).unwrap();
    for case in &cases {
        for seed in 0..SEEDS {
            let mut snapshot = case.snapshot();
            let mut random = StdRng::seed_from_u64(seed);
            for (i, asked) in case.asked().enumerate() {
                ask(&mut snapshot, asked, &format!("asked{i}"), &mut random, &case.says);
            }
        }
    }
}

/// Decides on a pod, which then is where it was decided that it goes.
fn ask(snapshot: &mut Snapshot, asked: &Asked, name: &str, random: &mut StdRng, says: &str) {
    let pod: Pod = asked.pod.object(name);
    let (info, profile) = (PodInfo::new(&pod), Profile::default());
    let candidate = Candidate { uid: name, info: &info, nominated_node: None };
    let decision = schedule(snapshot, &profile, &candidate, 0, random);
    let node_name = |node| snapshot.node(node).name.clone();
    if let Some(may) = &asked.may {
        let rejected: BTreeSet<String> =
            decision.verdicts.rejections.iter().map(|(node, _)| node_name(*node)).collect();
        let all = snapshot.order().iter().map(|node| node_name(*node));
        let feasible: BTreeSet<String> = all.filter(|name| !rejected.contains(name)).collect();
        assert_eq!(&feasible, may, "{says}: where it may go");
    }
    let chosen = decision.node.map(node_name);
    match &chosen {
        Some(node) => {
            assert_eq!(asked.said, None, "{says}: it goes to {node}");
            let goes = asked.goes.as_ref().or(asked.may.as_ref()).unwrap();
            assert!(goes.contains(node), "{says}: it goes to {node}");
        }
        None => {
            assert!(asked.goes.is_none(), "{says}: it goes nowhere: {}", decision.verdicts.message(""));
            let verdicts = &decision.verdicts;
            let attempt = Attempt { snapshot, profile: &profile, pod: &candidate, verdicts };
            let mut plugins = profile.at(ExtensionPoint::PostFilter);
            match plugins.find_map(|plugin| plugin.post_filter(&attempt, random)).unwrap() {
                PostFilter::Room { node, victims, .. } => {
                    let victims = victims.iter().map(|victim| victim.name.clone()).collect();
                    assert_eq!(asked.displaces, Some((node_name(node), victims)), "{says}");
                }
                PostFilter::Unhelpful { message, .. } => {
                    assert_eq!(asked.displaces, None, "{says}");
                    if let Some(said) = &asked.said {
                        let told = verdicts.message(&message);
                        assert!(told.starts_with(said), "{says}: {told}");
                    }
                }
            }
        }
    }
    if let Some(node) = chosen {
        snapshot.assume(&pod, &node);
    }
}

#[test]
fn assigning_pods_to_nodes() {
    check(include_str!("assign_pod_node.yaml"));
}

#[test]
fn inter_pod_affinity() {
    check(include_str!("inter_pod_affinity.yaml"));
}

#[test]
fn pod_priority_preemption() {
    check(include_str!("pod_priority_preemption.yaml"));
}

#[test]
fn resources() {
    check(include_str!("resources.yaml"));
}

#[test]
fn taint_and_toleration() {
    check(include_str!("taint_and_toleration.yaml"));
}

#[test]
fn topology_spread_constraints() {
    check(include_str!("topology_spread_constraints.yaml"));
}

#[test]
fn scheduler_perf_tuning() {
    // Zone 1 has nodes 1 to 4, zone 2 has nodes 5 and 6.
    let cases: Vec<Case> = serde_saphyr::from_str(include_str!("scheduler_perf_tuning.yaml")).unwrap();
    let snapshot = cases[0].snapshot();
    let order: Vec<_> = snapshot.order().iter().map(|node| snapshot.node(*node).name.as_str()).collect();
    assert_eq!(order, ["node1", "node5", "node2", "node6", "node3", "node4"]);
}
