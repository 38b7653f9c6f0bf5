//! How pods start and are kept running.

use std::time::Duration;

use serde_json::{Value, json};

use super::world::{World, container, moment, one};
use crate::observed::ContainerState;
use crate::pod_plan::backoff::{self, Ended};
use crate::pod_plan::spec::restarts;
use crate::pod_plan::{Action, Restart, hash_of};

fn sidecar(name: &str, more: Value) -> Value {
    let mut sidecar = container(name, more);
    sidecar["restartPolicy"] = json!("Always");
    sidecar
}

const BEGIN: [&str; 3] = ["0: Prepare", "0: Mount", "0: RunSandbox 0"];

#[test]
fn containers_are_started_in_their_order() {
    let spec = json!({"containers": [container("b", json!({})), container("a", json!({}))]});
    let mut world = World::new(spec);
    world.until(0).did(&[&BEGIN[..], &["0: Start b 0", "0: Start a 0"]].concat());
    world.says("Running, a* runs, b* runs");
    // An agent that starts again makes sure of directories and volumes, and does nothing else.
    world.restarts().until(10).did(&["0: Prepare", "0: Mount"]).says("Running, a* runs, b* runs");
}

#[test]
fn init_containers_run_one_after_the_other() {
    let probe = json!({"startupProbe": {"exec": {"command": ["true"]}}});
    let spec = json!({
        "initContainers": [container("i", json!({})), sidecar("s", probe), container("j", json!({}))],
        "containers": [container("a", json!({}))],
    });
    let mut world = World::new(spec);
    world.until(0).did(&[&BEGIN[..], &["0: Start i 0"]].concat());
    world.says("Pending, i runs, s PodInitializing, j PodInitializing, a PodInitializing");
    world.exits("i", 0).until(1).did(&["0: Start s 0"]);
    world.says("Pending, i* Completed(0), s runs, j PodInitializing, a PodInitializing");
    // A sidecar that dies before it has started is started again, and the next waits for it.
    world.exits("s", 1).until(2).did(&["1: Start s 1"]);
    world.probes("s", |probed| probed.startup = Some(true)).until(3).did(&["2: Start j 0"]);
    // One that has started is kept running, and nothing waits for it.
    world.exits("s", 1).until(5).did(&[]);
    world.says("Pending, i* Completed(0), s1 CrashLoopBackOff, j runs, a PodInitializing");
    world.exits("j", 0).until(12).did(&["5: Start a 0"]);
    world.until(13).did(&["13: Start s 2", "13: Remove c3"]);
    world.says("Running, i* Completed(0), s2 runs, j* Completed(0), a* runs");
    assert_eq!(world.condition("Initialized"), "True since 5");
}

#[test]
fn init_containers_that_fail_are_tried_again_if_the_policy_says_so() {
    let check = |policy: &str, expected: &str| {
        let spec = json!({
            "restartPolicy": policy,
            "initContainers": [container("i", json!({}))],
            "containers": [container("a", json!({}))],
        });
        let mut world = World::new(spec);
        world.until(0).exits("i", 3).until(1).says(expected);
    };
    check("Always", "Pending, i1 runs, a PodInitializing");
    check("OnFailure", "Pending, i1 runs, a PodInitializing");
    check("Never", "Failed, i Error(3), a PodInitializing");
}

#[test]
fn policies_and_rules_decide_about_restarts() {
    let check = |pod: &str, own: Value, code: i32, expected: bool| {
        let world = World::new(json!({"restartPolicy": pod, "containers": [container("a", own.clone())]}));
        let found = restarts(&world.pod, &world.pod.spec.as_ref().unwrap().containers[0], code);
        assert_eq!(found, expected, "{pod} {own} {code}");
    };
    check("Always", json!({}), 0, true);
    check("Always", json!({}), 1, true);
    check("OnFailure", json!({}), 0, false);
    check("OnFailure", json!({}), 1, true);
    check("Never", json!({}), 1, false);
    check("Never", json!({"restartPolicy": "Always"}), 0, true);
    check("Always", json!({"restartPolicy": "Never"}), 1, false);
    check("Always", json!({"restartPolicy": "OnFailure"}), 0, false);
    let rule = |operator: &str| {
        let codes = json!({"operator": operator, "values": [42, 43]});
        json!({"restartPolicy": "Never", "restartPolicyRules": [{"action": "Restart", "exitCodes": codes}]})
    };
    check("Never", rule("In"), 42, true);
    check("Never", rule("In"), 1, false);
    check("Never", rule("NotIn"), 42, false);
    check("Never", rule("NotIn"), 0, true);
    check("Never", rule("Near"), 42, false);
}

#[test]
fn restarts_wait_longer_each_time() {
    let ended = |started: u64, finished: u64| Ended {
        exit_code: 1,
        started: Some(moment(started)),
        finished: moment(finished),
    };
    let mut known: Option<Restart> = None;
    let mut at = 0;
    for expected in [0, 10, 20, 40, 80, 160, 300, 300] {
        let next = backoff::next(known.as_ref(), "h", &ended(at, at + 1), None);
        assert_eq!((next.wait.as_secs(), next.due), (expected, moment(at + 1 + expected)));
        let again = backoff::next(Some(&next.entry), "h", &ended(at, at + 1), None);
        assert_eq!(again.due, next.due, "what was to be started and was not does not wait longer");
        (known, at) = (Some(next.entry), at + 1 + expected);
    }
    let wait = |hash: &str, ran: u64, longest: Option<u64>| {
        let ended = ended(5000, 5000 + ran);
        backoff::next(known.as_ref(), hash, &ended, longest.map(Duration::from_secs)).wait.as_secs()
    };
    assert_eq!(wait("h", 600, None), 300);
    assert_eq!(wait("h", 601, None), 0);
    assert_eq!(wait("other", 1, None), 0);
    assert_eq!(wait("h", 1, Some(15)), 15);
}

#[test]
fn containers_that_crash_are_started_again_and_again() {
    let mut world = World::new(one("Always"));
    world.until(0).log.clear();
    world.exits("a", 7).until(1).did(&["0: Start a 1"]);
    world.exits("a", 7).until(5).did(&[]).says("Running, a1 CrashLoopBackOff");
    let status = world.status().container_statuses.unwrap().remove(0);
    let message = status.state.unwrap().waiting.unwrap().message;
    assert_eq!(message.as_deref(), Some("back-off 10s restarting failed container=a pod=p_n(u)"));
    assert_eq!(status.last_state.unwrap().terminated.unwrap().container_id.as_deref(), Some("containerd://c3"));
    world.until(11).did(&["11: Start a 2", "11: Remove c2"]).says("Running, a*2 runs");
    // Two records of each name are enough.
    world.exits("a", 7).until(12).did(&[]);
    world.until(31).did(&["31: Start a 3", "31: Remove c3"]);
    assert_eq!(world.says, ["BackOff Back-off restarting failed container a in pod p_n(u)"; 2]);
}

#[test]
fn what_cannot_be_started_is_tried_again_later() {
    let spec = json!({"containers": [container("a", json!({})), container("b", json!({}))]});
    let mut world = World::new(spec);
    world.faults = vec![Some(super::world::Fault::Refused), None, None, None];
    world.until(4).did(&[&BEGIN[..], &["0: Start a 0 failed", "0: Start b 0"]].concat());
    world.says("Pending, a ErrImagePull, b* runs");
    world.until(5).did(&["5: Start a 0"]).says("Running, a* runs, b* runs");
    assert!(world.memory.containers.is_empty());
}

#[test]
fn volumes_and_sandboxes_are_waited_for() {
    let mut world = World::new(one("Always"));
    let refused = Some(super::world::Fault::Refused);
    world.faults = vec![refused, None, refused, None];
    world.until(4).did(&["0: Prepare", "0: Mount failed"]).says("Pending, a ContainerCreating");
    world.until(9).did(&["5: Mount", "5: RunSandbox 0 failed"]).says("Pending, a ContainerCreating");
    assert_eq!(world.condition("PodReadyToStartContainers"), "False since 0");
    world.until(11).did(&["10: RunSandbox 0", "10: Start a 0"]).says("Running, a* runs");
    assert_eq!(world.condition("PodReadyToStartContainers"), "True since 10");
}

fn stop_of(world: &World) -> (String, Duration) {
    let plan = world.plan();
    let Some(Action::Stop(stops)) = plan.actions.first() else { panic!("nothing is stopped: {plan:#?}") };
    (stops[0].message.clone(), stops[0].grace)
}

#[test]
fn containers_whose_probes_fail_are_started_again() {
    let check = |policy: &str, field: &str, own: Option<i64>, message: &str, grace: u64, did: &[&str]| {
        let mut probe = json!({"exec": {"command": ["true"]}});
        if let Some(own) = own {
            probe["terminationGracePeriodSeconds"] = json!(own);
        }
        let mut spec = one(policy);
        spec["terminationGracePeriodSeconds"] = json!(20);
        spec["containers"][0][field] = probe;
        let mut world = World::new(spec);
        world.until(1).log.clear();
        world.probes("a", |probed| match field {
            "livenessProbe" => probed.liveness = Some(false),
            _ => probed.startup = Some(false),
        });
        assert_eq!(stop_of(&world), (message.to_owned(), Duration::from_secs(grace)));
        world.until(2).did(did);
    };
    let again = "Container a failed liveness probe, will be restarted";
    check("Always", "livenessProbe", None, again, 20, &["1: Stop a 20", "1: Start a 1"]);
    check("OnFailure", "livenessProbe", Some(5), again, 5, &["1: Stop a 5", "1: Start a 1"]);
    check("OnFailure", "livenessProbe", Some(0), again, 2, &["1: Stop a 2", "1: Start a 1"]);
    let end = ["1: Stop a 20", "1: StopSandbox s1", "1: StopSandbox s1", "1: TearDown"];
    check("Never", "livenessProbe", None, "Container a failed liveness probe", 20, &end);
    let again = "Container a failed startup probe, will be restarted";
    check("Always", "startupProbe", Some(7), again, 7, &["1: Stop a 7", "1: Start a 1"]);
}

#[test]
fn probes_that_go_on_failing_lead_to_longer_waits() {
    let mut spec = one("Always");
    spec["containers"][0]["livenessProbe"] = json!({"exec": {"command": ["true"]}});
    let mut world = World::new(spec);
    world.until(0).log.clear();
    for _ in 0..3 {
        world.now = crate::pod_plan::time::after(world.now, Duration::from_secs(1));
        world.probes("a", |probed| probed.liveness = Some(false)).step();
    }
    world.did(&["1: Stop a 30", "1: Start a 1", "2: Stop a 30", "2: Start a 2", "3: Stop a 30", "3: Remove c2"]);
}

#[test]
fn a_container_with_another_image_takes_the_place_of_the_old_one() {
    for policy in ["Always", "Never"] {
        let mut world = World::new(one(policy));
        world.until(1).log.clear();
        world.pod.spec.as_mut().unwrap().containers[0].image = Some("i:2".to_owned());
        assert_eq!(stop_of(&world).0, "Container a definition changed, will be restarted");
        world.until(2).did(&["1: Stop a 30", "1: Start a 1"]).says("Running, a*1 runs");
        assert_eq!(world.status().container_statuses.unwrap()[0].image, "i:2");
    }
    let container = |image: &str, port: i32| {
        let ports = json!([{"containerPort": port}]);
        serde_json::from_value(json!({"name": "a", "image": image, "ports": ports})).unwrap()
    };
    assert_eq!(hash_of(&container("i:1", 1)), hash_of(&container("i:1", 2)));
    assert_ne!(hash_of(&container("i:1", 1)), hash_of(&container("i:2", 1)));
}

#[test]
fn containers_of_which_the_runtime_is_not_sure_are_replaced() {
    let set = |world: &mut World, state| world.runtime.containers[0].state = state;
    let mut world = World::new(one("OnFailure"));
    world.until(1).log.clear();
    set(&mut world, ContainerState::Unknown);
    assert_eq!(stop_of(&world).0, "Container is in \"unknown\" state, try killing it before restart");
    world.until(2).did(&["1: Stop a 30", "1: Start a 1"]);
    set(&mut world, ContainerState::Created);
    world.until(3).did(&["2: Start a 2", "2: Remove c2"]);
    // One that is not to run twice has failed.
    let mut world = World::new(one("Never"));
    world.until(1);
    set(&mut world, ContainerState::Unknown);
    world.until(2).says("Failed, a Error(137)");
}

#[test]
fn a_lost_sandbox_is_replaced_as_the_policy_says() {
    let check = |policy: &str, expected: &[&str], state: &str| {
        let spec = json!({
            "restartPolicy": policy,
            "initContainers": [container("i", json!({}))],
            "containers": [container("a", json!({})), container("b", json!({}))],
        });
        let mut world = World::new(spec);
        world.until(0).exits("i", 0).until(0).exits("b", 0).until(1).log.clear();
        world.sandbox_dies().until(1).exits("i", 0).until(2).did(expected).says(state);
    };
    let again = ["1: StopSandbox s1", "1: RunSandbox 1", "1: Start i 1", "1: Start a 1"];
    check("OnFailure", &again, "Running, i*1 Completed(0), a*1 runs, b Completed(0)");
    check("Never", &["1: StopSandbox s1", "1: TearDown"], "Failed, i* Completed(0), a Error(137), b Completed(0)");
    let mut world = World::new(one("Always"));
    world.until(1).log.clear();
    world
        .sandbox_dies()
        .until(1)
        .did(&["1: StopSandbox s1", "1: RunSandbox 1", "1: Start a 1", "1: RemoveSandbox s1"][..3]);
    assert_eq!(world.says, ["SandboxChanged Pod sandbox changed, it will be killed and re-created."]);
    assert_eq!(world.status().pod_ip.as_deref(), Some("10.0.0.3"));
}

#[test]
fn a_sandbox_with_another_network_is_replaced() {
    let mut world = World::new(one("Always"));
    world.until(1).log.clear();
    world.runtime.sandboxes[0].host_network = true;
    let expected = ["1: Stop a 30", "1: StopSandbox s1", "1: RunSandbox 1", "1: Start a 1"];
    world.until(1).did(&expected);
    world.runtime.sandboxes[0].addresses.clear();
    world.until(1).did(&[
        "1: Stop a 30",
        "1: StopSandbox s3",
        "1: RunSandbox 2",
        "1: Start a 2",
        "1: Remove c2",
        "1: RemoveSandbox s1",
    ]);
}

#[test]
fn what_runs_twice_is_stopped_once() {
    let mut world = World::new(one("Always"));
    world.until(1).log.clear();
    world.container_gets_a_twin("a").until(2).did(&["1: Stop a 30"]).says("Running, a*1 runs");
}

#[test]
fn ephemeral_containers_run_once() {
    let mut world = World::new(one("Always"));
    world.until(1).log.clear();
    let debugger = json!([{"name": "d", "image": "i:1"}]);
    world.pod.spec.as_mut().unwrap().ephemeral_containers = serde_json::from_value(debugger).unwrap();
    world.until(2).did(&["1: Start d 0"]).says("Running, a* runs, d runs");
    world.exits("d", 1).until(60).did(&[]).says("Running, a* runs, d Error(1)");
    // Not even when there is no record of it.
    world.runtime.containers.retain(|it| it.name != "d");
    world.until(70).did(&[]).says("Running, a* runs, d Error(1)");
}

#[test]
fn resources_change_in_place_if_they_may() {
    let cpu = |milli: u32| json!({"requests": {"cpu": format!("{milli}m")}});
    let restart = json!([{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]);
    let check = |more: Value, expected: &[&str]| {
        let mut spec = json!({"containers": [container("a", more)]});
        spec["containers"][0]["resources"] = cpu(100);
        let mut world = World::new(spec);
        world.until(1).log.clear();
        let resources = serde_json::from_value(cpu(200)).unwrap();
        world.pod.spec.as_mut().unwrap().containers[0].resources = Some(resources);
        world.step();
        assert_eq!(world.condition("PodResizeInProgress"), "True since 1");
        world.until(2).did(expected);
        assert_eq!(world.condition("PodResizeInProgress"), "none");
    };
    check(json!({}), &["1: Resize"]);
    check(json!({"resizePolicy": restart}), &["1: Stop a 30", "1: Resize", "1: Start a 1"]);
}

#[test]
fn all_containers_are_restarted_together_if_a_rule_says_so() {
    let rule = json!([{"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [42]}}]);
    let spec = json!({
        "restartPolicy": "Never",
        "initContainers": [container("i", json!({})), sidecar("s", json!({}))],
        "containers": [
            container("a", json!({})),
            container("b", json!({"restartPolicy": "Never", "restartPolicyRules": rule})),
        ],
    });
    let mut world = World::new(spec);
    world.until(0).exits("i", 0).until(1).log.clear();
    assert_eq!(world.condition("AllContainersRestarting"), "False since 0");
    world.exits("b", 42).step();
    world.says("Running, i RestartingAllContainers, s* runs, a* runs, b RestartingAllContainers").step();
    let restarting = "True RestartAllContainersStarted container exited with restart policy rule since 1";
    assert_eq!(world.condition("AllContainersRestarting"), restarting);
    assert!(world.memory.stopping.is_none());
    world.did(&["1: Stop a 30, s 30", "1: Remove c2", "1: Remove c3", "1: Remove c4", "1: Remove c5"]);
    world.says("Running, i RestartingAllContainers, s RestartingAllContainers, a RestartingAllContainers, b RestartingAllContainers");
    world.restarts().until(1).did(&["1: Prepare", "1: Mount", "1: Start i 1"]);
    let waits = "RestartingAllContainers";
    world.says(&format!("Pending, i1 runs, s {waits}, a {waits}, b {waits}"));
    assert_eq!(world.condition("AllContainersRestarting"), "False since 1");
    world.exits("i", 0).until(2).did(&["1: Start s 1", "1: Start a 1", "1: Start b 1"]);
    world.says("Running, i*1 Completed(0), s*1 runs, a*1 runs, b*1 runs");
    let last = world.status().container_statuses.unwrap().remove(1).last_state.unwrap().terminated.unwrap();
    assert_eq!((last.exit_code, last.reason.as_deref()), (137, Some(waits)));
    // Any other end is one for good.
    world.exits("b", 1).until(3).did(&[]);
    world.exits("a", 0).until(4);
    assert_eq!(world.status().phase.as_deref(), Some("Failed"));
    assert_eq!(world.condition("AllContainersRestarting"), "False PodFailed since 1");
}
