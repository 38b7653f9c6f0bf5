//! Resources as CRI is told of them.

use serde_json::{Value, json};

use super::*;

const GIB: i64 = 1 << 30;

fn node() -> Node {
    Node { memory_capacity: 8 * GIB, ..Node::default() }
}

fn pod(spec: Value) -> Pod {
    serde_json::from_value(json!({"spec": spec})).unwrap()
}

/// A pod of one container with these resources.
fn single(resources: Value) -> Pod {
    pod(json!({"containers": [{"name": "c", "resources": resources}]}))
}

fn first(pod: &Pod) -> &Container {
    &pod.spec.as_ref().unwrap().containers[0]
}

#[test]
fn requests_are_shares_and_limits_are_quotas() {
    let check = |resources: Value, expected: [i64; 3]| {
        let pod = single(resources);
        let found = of_container(&pod, first(&pod), &node());
        assert_eq!([found.cpu_shares, found.cpu_quota, found.memory_limit_in_bytes], expected);
        assert_eq!((found.cpu_period, found.memory_swap_limit_in_bytes), (100_000, 0));
        assert!(found.unified.is_empty() && found.hugepage_limits.is_empty());
    };
    check(json!({}), [2, 0, 0]);
    check(json!({"requests": {"cpu": "500m", "memory": "1Gi"}}), [512, 0, 0]);
    check(json!({"limits": {"cpu": "2", "memory": "1Gi"}}), [2048, 200_000, GIB]);
    check(json!({"requests": {"cpu": "0"}, "limits": {"cpu": "1m"}}), [2, 1000, 0]);
    let pod = single(json!({"limits": {"cpu": "2"}}));
    let unlimited = of_container(&pod, first(&pod), &Node { quota_period: None, ..node() });
    assert_eq!((unlimited.cpu_quota, unlimited.cpu_period), (0, 0));
}

#[test]
fn the_pods_limits_hold_for_containers_without() {
    let pod = pod(json!({"resources": {"limits": {"cpu": "3", "memory": "2Gi"}}, "containers": [{"name": "c"},
        {"name": "d", "resources": {"limits": {"memory": "1Gi"}}}]}));
    let of = |index: usize| of_container(&pod, &pod.spec.as_ref().unwrap().containers[index], &node());
    assert_eq!((of(0).cpu_quota, of(0).memory_limit_in_bytes), (300_000, 2 * GIB));
    assert_eq!((of(1).cpu_quota, of(1).memory_limit_in_bytes), (300_000, GIB));
}

#[test]
fn scores_fall_with_requests() {
    let check = |spec: Value, expected: i64| {
        let pod = pod(spec);
        assert_eq!(of_container(&pod, first(&pod), &node()).oom_score_adj, expected);
    };
    let of = |resources: Value| json!({"containers": [{"name": "c", "resources": resources}]});
    check(of(json!({})), 1000);
    check(of(json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1", "memory": "1Gi"}})), -997);
    check(of(json!({"requests": {"cpu": "1"}})), 999);
    check(of(json!({"requests": {"memory": "1Gi"}})), 875);
    check(of(json!({"requests": {"memory": "8Gi"}})), 3);
    check(of(json!({"requests": {"memory": "100Gi"}})), 3);
    check(json!({"priority": 2_000_001_000, "containers": [{"name": "c"}]}), -997);
    let of_pod = json!({"resources": {"requests": {"memory": "4Gi"}},
        "containers": [{"name": "c", "resources": {"requests": {"memory": "1Gi"}}}, {"name": "d"}]});
    // What is left of 4 GiB is shared by two: 1 GiB and 1.5 GiB of 8 GiB.
    check(of_pod, 688);
}

#[test]
fn a_sidecar_goes_no_sooner_than_whom_it_serves() {
    let pod = pod(json!({"initContainers": [{"name": "s", "restartPolicy": "Always"}, {"name": "i"}],
        "containers": [{"name": "c", "resources": {"requests": {"memory": "2Gi"}}}]}));
    let init = pod.spec.as_ref().unwrap().init_containers.as_ref().unwrap();
    assert_eq!([0, 1].map(|index| of_container(&pod, &init[index], &node()).oom_score_adj), [750, 999]);
}

#[test]
fn hugepages_are_limited_by_size() {
    let node = Node { hugepage_sizes: vec!["2MB".to_owned(), "1GB".to_owned()], ..node() };
    let pod = single(json!({"limits": {"hugepages-2Mi": "100Mi"}}));
    let found = of_container(&pod, first(&pod), &node).hugepage_limits;
    let found: Vec<_> = found.iter().map(|limit| (limit.page_size.as_str(), limit.limit)).collect();
    assert_eq!(found, [("2MB", 100 << 20), ("1GB", 0)]);
    assert_eq!([size_name(64 << 10), size_name(2 << 20), size_name(1 << 30)], ["64KB", "2MB", "1GB"]);
}

#[test]
fn version_2_has_settings_of_its_own() {
    let check = |resources: Value, node: Node, expected: Value| {
        let pod = single(resources);
        let found = of_container(&pod, first(&pod), &node);
        assert_eq!(json!([found.unified, found.memory_swap_limit_in_bytes]), expected);
    };
    let burstable = json!({"requests": {"memory": "1Gi"}, "limits": {"memory": "2Gi"}});
    let v1 = Node { swap: Swap::None, ..node() };
    check(burstable.clone(), v1, json!([{}, 2 * GIB]));
    let v2 = Node { unified: true, ..node() };
    check(burstable.clone(), v2.clone(), json!([{"memory.oom.group": "1"}, 0]));
    let single = Node { single_process_oom_kill: true, swap: Swap::None, ..v2.clone() };
    check(burstable.clone(), single, json!([{"memory.swap.max": "0"}, 0]));
    let limited = Node { single_process_oom_kill: true, swap: Swap::Limited(4 * GIB), ..v2 };
    check(burstable, limited.clone(), json!([{"memory.swap.max": (GIB / 2).to_string()}, 0]));
    check(json!({}), limited, json!([{"memory.swap.max": "0"}, 0]));
}

#[test]
fn updates_say_that_there_is_no_limit() {
    let quota = |resources: Value| {
        let pod = single(resources);
        let request = update(&pod, first(&pod), "id", &node());
        (request.container_id, request.linux.unwrap().cpu_quota)
    };
    assert_eq!(quota(json!({"requests": {"cpu": "1"}})), ("id".to_owned(), -1));
    assert_eq!(quota(json!({"limits": {"cpu": "1"}})), ("id".to_owned(), 100_000));
}

#[test]
fn sandboxes_are_sized_by_their_pods() {
    let pod = pod(json!({"overhead": {"cpu": "250m", "memory": "120Mi"}, "containers": [
        {"name": "c", "resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}},
        {"name": "d", "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}]}));
    let of = |found: LinuxContainerResources| [found.cpu_shares, found.cpu_quota, found.memory_limit_in_bytes];
    assert_eq!(of(of_sandbox(&pod, &node())), [512, 200_000, 2 * GIB]);
    assert_eq!(of(overhead(&pod, &node())), [256, 25_000, 120 << 20]);
    assert_eq!(overhead(&single(json!({})), &node()), LinuxContainerResources::default());
}
