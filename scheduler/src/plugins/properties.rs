//! What holds of decisions whatever the cluster: they are the same whether pods are watched or not, and what they promise
//! comes true.

use k8s_openapi::api::core::v1::Pod;
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::json;

use super::default_preemption::DefaultPreemption;
use crate::cycle::{Attempt, Candidate, Decision, Plugin, PostFilter, Profile, schedule};
use crate::snapshot::{PodInfo, Snapshot};
use crate::testing::{self, requesting};

/// A pod of one of two applications, with one of several constraints.
pub(super) fn a_pod() -> impl Strategy<Value = Pod> {
    (0..5u8, 0..4i32, 0..2u8, 0..6u8).prop_map(|(cpu, priority, app, constraint)| {
        let mut spec = requesting(json!({"cpu": cpu.to_string()}));
        spec["priority"] = json!(priority);
        let other = json!({"matchLabels": {"app": (1 - app).to_string()}});
        let same = json!({"matchLabels": {"app": app.to_string()}});
        let terms = |selector| json!([{"topologyKey": "zone", "labelSelector": selector}]);
        let spread =
            |when| json!([{"topologyKey": "zone", "maxSkew": 1, "whenUnsatisfiable": when, "labelSelector": same}]);
        let required = "requiredDuringSchedulingIgnoredDuringExecution";
        match constraint {
            0 => spec["affinity"] = json!({"podAffinity": {required: terms(same)}}),
            1 => spec["affinity"] = json!({"podAntiAffinity": {required: terms(other)}}),
            2 => spec["topologySpreadConstraints"] = spread("DoNotSchedule"),
            3 => spec["topologySpreadConstraints"] = spread("ScheduleAnyway"),
            4 => spec["containers"][0]["ports"] = json!([{"containerPort": 1, "hostPort": 80}]),
            _ => {}
        }
        let mut pod = testing::pod("", spec);
        pod.metadata.labels = Some([("app".to_owned(), app.to_string())].into());
        pod
    })
}

/// Four nodes in two zones, and pods on them that may fit there or not.
fn a_cluster() -> impl Strategy<Value = Snapshot> {
    proptest::collection::vec((0..4usize, a_pod()), 0..12).prop_map(|pods| {
        let node = |i: usize| {
            let labels = json!({"zone": (i % 2).to_string()});
            testing::node(
                &format!("n{i}"),
                json!({"metadata": {"labels": labels}, "status": {"allocatable": {"pods": "5"}}}),
            )
        };
        let mut snapshot = testing::snapshot(&[0, 1, 2, 3].map(node), &[]);
        for (i, (on, mut pod)) in pods.into_iter().enumerate() {
            pod.metadata.uid = Some(i.to_string());
            snapshot.assume(&pod, &format!("n{on}"));
        }
        let service = json!({"metadata": {"name": "s", "namespace": "default"}, "spec": {"selector": {"app": "0"}}});
        snapshot.set_service(&testing::object(service));
        snapshot
    })
}

fn decide(snapshot: &Snapshot, info: &PodInfo, nominated_node: Option<&str>) -> Decision {
    let candidate = Candidate { uid: "wanted", info, nominated_node };
    schedule(snapshot, &Profile::default(), &candidate, 0, &mut StdRng::seed_from_u64(0))
}

proptest! {
    #[test]
    fn watching_changes_no_decision(mut snapshot in a_cluster(), pod in a_pod()) {
        let info = PodInfo::new(&pod);
        let before = decide(&snapshot, &info, None);
        snapshot.watch(&info);
        prop_assert_eq!(decide(&snapshot, &info, None), before);
    }

    #[test]
    fn room_that_is_made_is_room(mut snapshot in a_cluster(), pod in a_pod(), seed in any::<u64>()) {
        let info = PodInfo::new(&pod);
        let decision = decide(&snapshot, &info, None);
        if decision.node.is_some() {
            return Ok(());
        }
        let candidate = Candidate { uid: "wanted", info: &info, nominated_node: None };
        let mut random = StdRng::seed_from_u64(seed);
        let (plugin, profile) = (DefaultPreemption::default(), Profile::default());
        let verdicts = &decision.verdicts;
        let attempt = Attempt { snapshot: &snapshot, profile: &profile, pod: &candidate, verdicts };
        let outcome = plugin.post_filter(&attempt, &mut random);
        let Some(PostFilter::Room { node, victims, .. }) = outcome else { return Ok(()) };
        prop_assert!(!victims.is_empty());
        for victim in &victims {
            prop_assert!(victim.node == node && victim.info.priority < info.priority);
            snapshot.remove_pod(&victim.uid);
        }
        let name = snapshot.node(node).name.clone();
        prop_assert_eq!(decide(&snapshot, &info, Some(&name)).node, Some(node));
    }
}
