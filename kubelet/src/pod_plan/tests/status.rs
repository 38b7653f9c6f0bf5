//! What is said of pods that run, and what stays said.

use k8s_openapi::api::core::v1::{Container, ResourceRequirements};
use serde_json::{Value, json};

use super::world::{World, container, moment, one};
use crate::observed::{AppliedResources, LinuxUser};
use crate::pod_plan::phase::phase;
use crate::pod_plan::resources::{Wanted, actual};
use crate::pod_plan::{Memory, Resize, Setback, Verdict};

#[test]
fn a_running_container_is_described() {
    let spec = json!({"containers": [container("a", json!({
        "resources": {"requests": {"cpu": "100m"}, "limits": {"memory": "64Mi"}},
        "volumeMounts": [
            {"name": "v", "mountPath": "/v"},
            {"name": "w", "mountPath": "/w", "readOnly": true, "recursiveReadOnly": "Enabled"},
        ],
    }))]});
    let mut world = World::new(spec);
    world.until(0);
    let user = LinuxUser { uid: 1, gid: 2, supplemental_groups: vec![2, 3] };
    world.runtime.containers[0].user = Some(user);
    world.until(1);
    let status = serde_json::to_value(&world.status().container_statuses.unwrap()[0]).unwrap();
    assert_eq!(
        status,
        json!({
            "name": "a", "image": "i:1", "imageID": "sha256:i:1", "containerID": "containerd://c2",
            "ready": true, "started": true, "restartCount": 0, "lastState": {},
            "state": {"running": {"startedAt": "2023-11-14T22:13:20Z"}},
            "allocatedResources": {"cpu": "100m"},
            "resources": {"requests": {"cpu": "100m"}, "limits": {"memory": "64Mi"}},
            "user": {"linux": {"uid": 1, "gid": 2, "supplementalGroups": [2, 3]}},
            "volumeMounts": [
                {"name": "v", "mountPath": "/v"},
                {"name": "w", "mountPath": "/w", "readOnly": true, "recursiveReadOnly": "Enabled"},
            ],
        })
    );
    let status = serde_json::to_value(world.status()).unwrap();
    assert_eq!(status["hostIPs"], json!([{"ip": "172.16.0.1"}]));
    assert_eq!(status["podIPs"], json!([{"ip": "10.0.0.2"}]));
    assert_eq!(status["qosClass"], "Burstable");
    assert_eq!(status["startTime"], "2023-11-14T22:13:20Z");
    assert_eq!(status["observedGeneration"], 1);
}

#[test]
fn a_pod_in_the_hosts_network_has_its_addresses() {
    let mut spec = one("Always");
    spec["hostNetwork"] = json!(true);
    let mut world = World::new(spec);
    world.until(1);
    assert_eq!(world.status().pod_ip.as_deref(), Some("172.16.0.1"));
    // They stay what they were, but for a second family.
    world.host.addresses = vec!["172.16.0.2".parse().unwrap()];
    world.until(2);
    assert_eq!(world.status().pod_ip.as_deref(), Some("172.16.0.1"));
    world.host.addresses.push("fd00::1".parse().unwrap());
    world.until(3);
    assert_eq!(world.status().pod_ips.unwrap().len(), 2);
}

#[test]
fn addresses_are_one_of_each_family_in_the_nodes_order() {
    let check = |host: &str, expected: &[&str]| {
        let mut world = World::new(one("Always"));
        world.host.addresses = vec![host.parse().unwrap()];
        world.until(1);
        let addresses = ["10.0.0.9", "10.0.0.8", "fd00::9"].map(|it| it.parse().unwrap());
        world.runtime.sandboxes[0].addresses = addresses.to_vec();
        world.until(2);
        let found: Vec<String> = world.status().pod_ips.unwrap().into_iter().map(|it| it.ip).collect();
        assert_eq!(found, expected);
        assert_eq!(world.status().pod_ip.as_deref(), expected.first().copied());
    };
    check("172.16.0.1", &["10.0.0.9", "fd00::9"]);
    check("fd00::1", &["fd00::9", "10.0.0.9"]);
}

#[test]
fn phases_follow_from_the_states_of_containers() {
    // i: init, s: sidecar, a and b: regular. w: waits, l: waits after an end, r: runs, 0 and 1: ended.
    let status = |name: &str, state: char| {
        let end = |code: i32| json!({"terminated": {"exitCode": code}});
        let (state, last) = match state {
            'w' => (json!({"waiting": {}}), json!({})),
            'l' => (json!({"waiting": {}}), end(1)),
            'r' => (json!({"running": {}}), json!({})),
            code => (end(if code == '0' { 0 } else { 1 }), json!({})),
        };
        json!({
            "name": name, "image": "", "imageID": "", "ready": true, "restartCount": 0, "started": true,
            "state": state, "lastState": last,
        })
    };
    let check = |policy: &str, states: &str, expected: &str, stopped: &str| {
        let mut spec = json!({"restartPolicy": policy, "initContainers": [], "containers": []});
        let mut said = json!({"initContainerStatuses": [], "containerStatuses": []});
        for pair in states.split(' ') {
            let (name, state) = (&pair[..1], pair.chars().nth(1));
            let (list, statuses) = match name {
                "i" | "s" => ("initContainers", "initContainerStatuses"),
                _ => ("containers", "containerStatuses"),
            };
            let more = if name == "s" { json!({"restartPolicy": "Always"}) } else { json!({}) };
            spec[list].as_array_mut().unwrap().push(container(name, more));
            said[statuses].as_array_mut().unwrap().extend(state.map(|state| status(name, state)));
        }
        let (pod, said) = (World::new(spec).pod, serde_json::from_value(said).unwrap());
        assert_eq!((phase(&pod, &said, false), phase(&pod, &said, true)), (expected, stopped), "{policy} {states}");
    };
    check("Always", "a", "Pending", "Pending");
    check("Always", "aw br", "Pending", "Pending");
    check("Always", "ar b1", "Running", "Running");
    check("Always", "al bl", "Running", "Failed");
    check("Always", "a0 b0", "Running", "Succeeded");
    check("OnFailure", "a0 b0", "Succeeded", "Succeeded");
    check("OnFailure", "a0 b1", "Running", "Failed");
    check("Never", "a0 b1", "Failed", "Failed");
    check("Never", "a0 bl", "Running", "Failed");
    check("Always", "ir aw", "Pending", "Pending");
    check("Always", "i0 ar", "Running", "Running");
    check("Always", "i1 aw", "Pending", "Pending");
    check("Never", "i1 aw", "Failed", "Failed");
    check("Never", "il aw", "Pending", "Pending");
    check("Always", "s aw", "Pending", "Pending");
    check("Always", "sr aw", "Pending", "Pending");
    check("Always", "sl ar", "Running", "Running");
    check("OnFailure", "sr a0", "Running", "Running");
    check("OnFailure", "s1 a0", "Succeeded", "Succeeded");
}

#[test]
fn conditions_of_others_stay_and_gate_readiness() {
    let mut spec = one("Always");
    spec["readinessGates"] = json!([{"conditionType": "example.com/up"}]);
    let mut world = World::new(spec);
    world.until(1);
    let message = "corresponding condition of pod readiness gate \"example.com/up\" does not exist.";
    assert_eq!(world.condition("Ready"), format!("False ReadinessGatesNotReady {message} since 0"));
    let up = json!({"type": "example.com/up", "status": "True", "observedGeneration": 1, "lastTransitionTime": "2023-11-14T22:13:20Z"});
    let conditions = world.pod.status.as_mut().unwrap().conditions.as_mut().unwrap();
    conditions.insert(0, serde_json::from_value(up).unwrap());
    world.until(2);
    assert_eq!(world.condition("Ready"), "True since 1");
    let types: Vec<String> = world.status().conditions.unwrap().into_iter().map(|it| it.type_).collect();
    let own = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"];
    assert_eq!(types, [&["example.com/up"], &own[..]].concat());
}

#[test]
fn readiness_and_start_follow_the_probes() {
    let mut spec = one("Always");
    let probe = json!({"exec": {"command": ["true"]}});
    spec["containers"][0]["startupProbe"] = probe.clone();
    spec["containers"][0]["readinessProbe"] = probe;
    let mut world = World::new(spec);
    let lacking = "False ContainersNotReady containers with unready status: [a]";
    world.until(1).says("Running, a runs");
    world.probes("a", |probed| probed.readiness = Some(true)).until(1).says("Running, a runs");
    assert_eq!(world.condition("ContainersReady"), format!("{lacking} since 0"));
    world.probes("a", |probed| probed.startup = Some(true)).until(2).says("Running, a* runs");
    assert_eq!(world.condition("Ready"), "True since 1");
    // An agent that starts again knows no results, and goes by what it said before.
    world.restarts().until(3).says("Running, a* runs");
    world.probes("a", |probed| probed.readiness = Some(false)).until(4).says("Running, a runs");
    assert_eq!(world.condition("Ready"), format!("{lacking} since 3"));
    // What was said of one container is not said of the next.
    world.probes("a", |probed| probed.readiness = Some(true)).until(5).exits("a", 1).until(6).says("Running, a1 runs");
}

#[test]
fn what_the_runtime_forgot_stays_said() {
    let mut world = World::new(json!({"restartPolicy": "OnFailure", "containers": [
        container("a", json!({})), container("b", json!({})),
    ]}));
    world.until(1).exits("a", 3).until(1).exits("b", 0).until(2).says("Running, a*1 runs, b Completed(0)");
    world.log.clear();
    world.runtime.containers.clear();
    world.until(3).did(&["2: Start a 2"]).says("Running, a*2 runs, b Completed(0)");
    let mut world = World::new(one("Never"));
    world.until(1);
    world.runtime.containers.clear();
    world.until(2).says("Failed, a ContainerStatusUnknown(137)");
}

#[test]
fn a_setback_of_a_container_that_was_made_is_shown() {
    let mut world = World::new(one("Always"));
    world.until(1).exits("a", 128);
    let why = Verdict { reason: "RunContainerError".to_owned(), message: "no such file".to_owned() };
    let setback = Setback { why, until: moment(5) };
    world.memory.containers.insert("a".to_owned(), setback);
    world.until(2).says("Running, a RunContainerError");
    let status = world.status().container_statuses.unwrap().remove(0);
    assert_eq!(status.last_state.unwrap().terminated.unwrap().exit_code, 128);
    world.until(5).says("Running, a*1 runs");
}

#[test]
fn resizes_that_wait_are_conditions() {
    let check = |resize: Resize, condition: &str, expected: &str| {
        let mut spec = one("Always");
        spec["containers"][0]["resources"] = json!({"requests": {"cpu": "100m"}});
        let mut world = World::new(spec);
        world.until(1).log.clear();
        let requests = json!({"requests": {"cpu": "200m"}});
        world.pod.spec.as_mut().unwrap().containers[0].resources = serde_json::from_value(requests).unwrap();
        world.memory.resize = Some(resize);
        world.step();
        assert_eq!(world.condition(condition), expected);
        let status = serde_json::to_value(&world.status().container_statuses.unwrap()[0]).unwrap();
        (world.log, status["allocatedResources"]["cpu"].clone(), status["resources"]["requests"]["cpu"].clone())
    };
    let text = "Node didn't have enough resource: cpu".to_owned();
    let waits = (Vec::new(), json!("100m"), json!("100m"));
    let expected = format!("True Deferred {text} since 1");
    assert_eq!(check(Resize::Deferred(text.clone()), "PodResizePending", &expected), waits);
    let expected = format!("True Infeasible {text} since 1");
    assert_eq!(check(Resize::Infeasible(text.clone()), "PodResizePending", &expected), waits);
    let expected = format!("True Error {text} since 1");
    let goes_on = (vec!["1: Resize".to_owned()], json!("200m"), json!("100m"));
    assert_eq!(check(Resize::InProgress(Some(text)), "PodResizeInProgress", &expected), goes_on);
}

#[test]
fn a_resize_that_does_not_come_about_is_not_made_without_end() {
    let mut spec = one("Always");
    spec["containers"][0]["resources"] = json!({"requests": {"cpu": "100m"}});
    let mut world = World::new(spec);
    world.until(1).log.clear();
    let stubborn = Some(AppliedResources { cpu_shares: Some(5), ..AppliedResources::default() });
    world.runtime.containers[0].resources = stubborn;
    let plan = world.step();
    world.runtime.containers[0].resources = stubborn;
    assert_eq!((world.step().actions, plan.actions.len()), (Vec::new(), 1));
    world.until(11);
    assert_eq!(world.log, ["1: Resize", "11: Resize"]);
}

#[test]
fn a_resize_that_the_runtime_does_not_tell_of_is_taken_to_be_made() {
    let mut spec = one("Always");
    spec["containers"][0]["resources"] = json!({"requests": {"cpu": "100m"}});
    let mut world = World::new(spec);
    world.until(1).log.clear();
    world.runtime.containers[0].resources = None;
    let requests = json!({"requests": {"cpu": "200m"}});
    world.pod.spec.as_mut().unwrap().containers[0].resources = serde_json::from_value(requests).unwrap();
    let says = |world: &World| {
        let status = serde_json::to_value(&world.status().container_statuses.unwrap()[0]).unwrap();
        (world.condition("PodResizeInProgress"), status["resources"]["requests"]["cpu"].clone())
    };
    let step = |world: &mut World| {
        world.step();
        world.runtime.containers[0].resources = None;
    };
    step(&mut world);
    assert_eq!(says(&world), ("True since 1".to_owned(), json!("100m")));
    // It failed: it is tried again later.
    world.memory.resize = Some(Resize::InProgress(Some("it failed".to_owned())));
    step(&mut world);
    assert_eq!(says(&world), ("True Error it failed since 1".to_owned(), json!("100m")));
    world.now = moment(11);
    step(&mut world);
    step(&mut world);
    assert_eq!(says(&world), ("none".to_owned(), json!("200m")));
    world.until(60).did(&["1: Resize", "11: Resize"]);
    let containers = r#"{"containers":[{"name":"a","resources":{"requests":{"cpu":"200m"}}}],"generation":1"#;
    let said = [
        format!("ResizeStarted Pod resize started: {containers}}}"),
        format!("ResizeError Pod resize error: {containers},\"error\":\"it failed\"}}"),
        format!("ResizeCompleted Pod resize completed: {containers}}}"),
    ];
    assert_eq!(world.says, said);
}

#[test]
fn resources_are_compared_as_the_kernel_counts_them() {
    let container = |requests: Value, limits: Value| {
        let resources = json!({"requests": requests, "limits": limits});
        serde_json::from_value(json!({"name": "a", "resources": resources})).unwrap()
    };
    let check = |requests: Value, limits: Value, applied: [Option<i64>; 3], differing: &[&str], said: Value| {
        let [cpu_shares, cpu_quota, memory_limit] = applied;
        let applied = AppliedResources { cpu_shares, cpu_quota, cpu_period: Some(100_000), memory_limit };
        let container: Container = container(requests, limits);
        assert_eq!(Wanted::of(container.resources.as_ref()).differing(&applied), differing);
        let said: ResourceRequirements = serde_json::from_value(said).unwrap();
        let none = |list: &Option<_>| list.as_ref().is_none_or(std::collections::BTreeMap::is_empty);
        let found = actual(&container, Some(&applied));
        let empty = none(&found.requests) && none(&said.requests);
        assert!(empty || found.requests == said.requests, "{found:?}");
        assert!((none(&found.limits) && none(&said.limits)) || found.limits == said.limits, "{found:?}");
    };
    let small = || json!({"cpu": "0.1"});
    let both = || json!({"cpu": "500m", "memory": "10M"});
    check(json!({}), json!({}), [Some(2), Some(-1), Some(0)], &[], json!({}));
    check(json!({}), json!({}), [None, None, None], &[], json!({}));
    check(small(), json!({}), [Some(102), None, None], &[], json!({"requests": {"cpu": "0.1"}}));
    // As a weight tells it.
    check(small(), json!({}), [Some(80), None, None], &[], json!({"requests": {"cpu": "0.1"}}));
    check(small(), json!({}), [Some(205), None, None], &["cpu"], json!({"requests": {"cpu": "201m"}}));
    check(small(), json!({}), [Some(2), None, None], &["cpu"], json!({}));
    let said = json!({"limits": {"cpu": "500m", "memory": "10M"}});
    check(json!({}), both(), [Some(512), Some(50_000), Some(9_998_336)], &[], said);
    let said = json!({"limits": {"cpu": "250m", "memory": "20Mi"}});
    check(json!({}), both(), [Some(512), Some(25_000), Some(20 << 20)], &["cpu", "memory"], said);
    check(json!({}), both(), [Some(512), Some(-1), Some(i64::MAX - 4095)], &["cpu", "memory"], json!({}));
}

#[test]
fn memory_is_kept_of_what_is_there() {
    let mut world = World::new(one("Always"));
    let why = Verdict::default();
    world.memory.containers.insert("gone".to_owned(), Setback { why, until: moment(5) });
    let memory = world.plan().memory;
    assert_eq!(memory, Memory::default());
}
