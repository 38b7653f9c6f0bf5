//! How pods end.

use std::time::Duration;

use serde_json::{Value, json};

use super::world::{World, container, one};
use crate::pod_plan::{Action, Condemned, Verdict};

fn with_sidecars() -> Value {
    let sidecar = |name: &str| container(name, json!({"restartPolicy": "Always"}));
    json!({
        "restartPolicy": "Never",
        "initContainers": [sidecar("s"), container("i", json!({})), sidecar("t")],
        "containers": [container("a", json!({})), container("b", json!({}))],
    })
}

fn running(spec: Value) -> World {
    let mut world = World::new(spec);
    world.until(0).exits("i", 0).until(10).log.clear();
    world
}

#[test]
fn a_deleted_pod_is_stopped_then_taken_down_then_deleted() {
    let mut world = running(one("Always"));
    world.slowness = Duration::from_secs(3);
    world.is_deleted(30).until(60);
    world.did(&["10: Stop a 30", "13: StopSandbox s1", "13: StopSandbox s1", "13: TearDown", "13: Delete"]);
    world.says("Failed, a Error(143)");
    assert!(world.deleted);
    assert_eq!(world.condition("Ready"), "False PodFailed since 13");
    assert_eq!(world.condition("PodReadyToStartContainers"), "False since 13");
    let status = world.status();
    assert_eq!((status.observed_generation, status.pod_ip.as_deref()), (Some(2), Some("10.0.0.2")));
    world.restarts().until(70);
}

#[test]
fn sidecars_outlive_the_others_within_one_grace() {
    let mut world = running(with_sidecars());
    world.slowness = Duration::from_secs(4);
    world.is_deleted(9).until(60);
    let stops = ["10: Stop b 9, a 9", "14: Stop t 5", "18: Stop s 2"];
    world.did(&[&stops[..], &["20: StopSandbox s1", "20: StopSandbox s1", "20: TearDown", "20: Delete"]].concat());
    let world = &mut running(with_sidecars());
    // When all that it was there for is over, sidecars and whoever looks on are stopped too.
    let debugger = json!([{"name": "d", "image": "i:1"}]);
    world.pod.spec.as_mut().unwrap().ephemeral_containers = serde_json::from_value(debugger).unwrap();
    world.until(11).exits("a", 0).exits("b", 0).until(60);
    let stops = ["10: Start d 0", "11: Stop d 30, t 30", "11: Stop s 30"];
    world.did(&[&stops[..], &["11: StopSandbox s1", "11: StopSandbox s1", "11: TearDown"]].concat());
    let state = "Succeeded, s Error(143), i* Completed(0), t Error(143), a Completed(0), b Completed(0), d Error(143)";
    world.says(state);
    assert_eq!(world.condition("Initialized"), "True PodCompleted since 0");
    assert_eq!(world.condition("ContainersReady"), "False PodCompleted since 11");
    // It stays in the API, and is taken down once more by an agent that starts again.
    world.restarts().until(70).did(&["60: TearDown"]).says(state);
    world.is_deleted(30).until(80).did(&["70: Delete"]).says(state);
}

#[test]
fn grace_only_ever_gets_shorter() {
    let grace = |world: &mut World| {
        let plan = world.plan();
        world.memory = plan.memory;
        match plan.actions.first() {
            Some(Action::Stop(stops)) => stops[0].grace.as_secs(),
            other => panic!("nothing is stopped: {other:?}"),
        }
    };
    let mut world = running(one("Always"));
    assert_eq!(grace(world.is_deleted(30)), 30);
    let pass =
        |world: &mut World, seconds| world.now = crate::pod_plan::time::after(world.now, Duration::from_secs(seconds));
    pass(&mut world, 10);
    assert_eq!(grace(&mut world), 20);
    assert_eq!(grace(world.is_deleted(25)), 20);
    assert_eq!(grace(world.is_deleted(5)), 5);
    pass(&mut world, 2);
    assert_eq!(grace(world.is_deleted(30)), 3);
    pass(&mut world, 2);
    assert_eq!(grace(&mut world), 2);
    pass(&mut world, 100);
    assert_eq!(grace(&mut world), 2);
    let mut world = running(one("Always"));
    let why = Verdict { reason: "Evicted".to_owned(), message: "m".to_owned() };
    world.memory.condemned = Some(Condemned { why, grace: Some(Duration::from_secs(7)), disruption: None });
    assert_eq!(grace(&mut world), 7);
    assert_eq!(grace(world.is_deleted(30)), 7);
}

#[test]
fn what_is_deleted_before_it_ran_has_failed() {
    let mut world = World::new(one("Always"));
    let unknown = "Failed, a ContainerStatusUnknown(137)";
    world.is_deleted(30).until(5).did(&["0: TearDown", "0: Delete"]).says(unknown);
    let spec = json!({"initContainers": [container("i", json!({})), container("j", json!({}))], "containers": [container("a", json!({}))]});
    let mut world = World::new(spec);
    let expected = "Failed, i ContainerStatusUnknown(137), j PodInitializing, a PodInitializing";
    world.is_deleted(30).until(5).says(expected);
}

#[test]
fn finalizers_and_force_are_respected() {
    let mut world = running(one("Always"));
    // Deleted by force, and kept by a finalizer: the API does the rest by itself.
    world.is_deleted(0).until(20);
    world.did(&["10: Stop a 2", "10: StopSandbox s1", "10: StopSandbox s1", "10: TearDown"]);
    let mut world = running(one("Always"));
    world.is_deleted(30).until(20).log.clear();
    world.until(30).did(&[]);
}

#[test]
fn nobody_is_told_of_a_pod_that_the_api_has_forgotten() {
    let mut world = running(one("Always"));
    world.memory.forgotten = true;
    world.until(20).did(&["10: Stop a 30", "10: StopSandbox s1", "10: StopSandbox s1", "10: TearDown"]);
    world.is_deleted(30).until(30).did(&[]);
}

#[test]
fn condemned_pods_fail_when_nothing_runs_any_more() {
    let mut world = running(one("Always"));
    let why = Verdict { reason: "Evicted".to_owned(), message: "The node was low on resource: memory.".to_owned() };
    let disruption = Some("TerminationByKubelet".to_owned());
    world.memory.condemned = Some(Condemned { why, grace: None, disruption });
    world.slowness = Duration::from_secs(5);
    world.step();
    world.says("Running, a* runs");
    assert_eq!(world.condition("Ready"), "False PodFailed since 10");
    assert_eq!(world.condition("DisruptionTarget"), "none");
    world.until(20).says("Failed Evicted, a Error(143)");
    let expected = "True TerminationByKubelet The node was low on resource: memory. since 15";
    assert_eq!(world.condition("DisruptionTarget"), expected);
    assert_eq!(world.status().message.as_deref(), Some("The node was low on resource: memory."));
    // Who condemned it may forget it.
    world.restarts().until(30).says("Failed Evicted, a Error(143)");
    assert_eq!(world.condition("DisruptionTarget"), expected);
}

#[test]
fn a_pod_fails_at_its_deadline() {
    let mut spec = one("Always");
    spec["activeDeadlineSeconds"] = json!(20);
    let mut world = running(spec);
    assert_eq!(world.plan().again, Some(Duration::from_secs(10)));
    world.until(60);
    world.did(&["20: Stop a 30", "20: StopSandbox s1", "20: StopSandbox s1", "20: TearDown"]);
    world.says("Failed DeadlineExceeded, a Error(143)");
    let message = "Pod was active on the node longer than the specified deadline";
    assert_eq!(world.status().message.as_deref(), Some(message));
    assert_eq!(world.says, [format!("DeadlineExceeded {message}")]);
}

#[test]
fn a_rejected_pod_fails_at_once() {
    let mut world = World::new(one("Always"));
    world.memory.rejected = Some(Verdict { reason: "OutOfcpu".to_owned(), message: "No cpu".to_owned() });
    world.until(10).did(&["0: TearDown"]).says("Failed OutOfcpu");
    assert_eq!(world.status().message.as_deref(), Some("Pod was rejected: No cpu"));
    world.restarts().until(20).says("Failed OutOfcpu");
    world.is_deleted(30).until(30).says("Failed OutOfcpu");
    assert!(world.deleted);
}

#[test]
fn pods_end_by_themselves_as_their_policy_says() {
    let check = |policy: &str, codes: [i32; 2], expected: &str| {
        let spec =
            json!({"restartPolicy": policy, "containers": [container("a", json!({})), container("b", json!({}))]});
        let mut world = running(spec);
        world.exits("a", codes[0]).until(11).exits("b", codes[1]).until(11).says(expected);
    };
    check("Never", [0, 0], "Succeeded, a Completed(0), b Completed(0)");
    check("Never", [0, 3], "Failed, a Completed(0), b Error(3)");
    check("OnFailure", [0, 0], "Succeeded, a Completed(0), b Completed(0)");
    check("OnFailure", [0, 3], "Running, a Completed(0), b*1 runs");
    check("Always", [0, 0], "Running, a*1 runs, b*1 runs");
}

#[test]
fn a_pod_that_waits_to_be_restarted_can_be_deleted() {
    let mut world = running(one("Always"));
    world.exits("a", 7).until(11).exits("a", 8).until(12).says("Running, a1 CrashLoopBackOff");
    world.is_deleted(30).until(20).says("Failed, a1 Error(8)");
    let last = world.status().container_statuses.unwrap().remove(0).last_state.unwrap().terminated.unwrap();
    assert_eq!(last.exit_code, 7);
}
