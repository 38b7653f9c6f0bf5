//! Tests of the status of budgets, of what is said about it, and of stale disruption targets.

use client::cache::Served;
use client::resource::Resource;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::policy::v1::PodDisruptionBudgetStatus;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::testing::{World, check_converges, nobody_else};

type Shop = World<Disruption>;

fn add(world: &mut Shop, mut object: Value) {
    let resource = match object["kind"].as_str().unwrap() {
        "Deployment" => Resource::of::<Deployment>(),
        "PodDisruptionBudget" => Resource::of::<PodDisruptionBudget>(),
        "ReplicaSet" => Resource::of::<ReplicaSet>(),
        "ReplicationController" => Resource::of::<ReplicationController>(),
        "StatefulSet" => Resource::of::<StatefulSet>(),
        _ => Resource::of::<Pod>(),
    };
    object["metadata"]["namespace"] = json!("shop");
    if object["metadata"]["uid"].is_null() {
        object["metadata"]["uid"] = object["metadata"]["name"].clone();
    }
    world.add_any(&resource, object);
}

fn owner(api_version: &str, kind: &str, name: &str) -> Value {
    json!([{"apiVersion": api_version, "kind": kind, "name": name, "uid": name, "controller": true}])
}

fn controller(kind: &str, name: &str, replicas: i32, owners: &Value) -> Value {
    let selector = if kind == "ReplicationController" { json!({}) } else { json!({"matchLabels": {"app": "web"}}) };
    let template = json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": []}});
    json!({
        "kind": kind, "metadata": {"name": name, "ownerReferences": owners},
        "spec": {"replicas": replicas, "selector": selector, "template": template, "serviceName": ""},
    })
}

fn pod(name: &str, ready: bool, owners: &Value) -> Value {
    let status = if ready { "True" } else { "False" };
    json!({
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": "web"}, "ownerReferences": owners},
        "spec": {"nodeName": "n1", "containers": []},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": status}]},
    })
}

fn budget(name: &str, mut spec: Value) -> Value {
    if spec["selector"].is_null() {
        spec["selector"] = json!({"matchLabels": {"app": "web"}});
    }
    json!({"kind": "PodDisruptionBudget", "metadata": {"name": name}, "spec": spec})
}

/// Three ready pods and one that is not, of a ReplicaSet of a Deployment that wants five.
fn with_deployment(world: &mut Shop) {
    add(world, controller("Deployment", "web", 5, &json!([])));
    add(world, controller("ReplicaSet", "web-1", 4, &owner("apps/v1", "Deployment", "web")));
    for (name, ready) in [("a", true), ("b", true), ("c", true), ("d", false)] {
        add(world, pod(name, ready, &owner("apps/v1", "ReplicaSet", "web-1")));
    }
}

fn status(world: &Shop, name: &str) -> PodDisruptionBudgetStatus {
    world.get::<PodDisruptionBudget>("shop", name).unwrap().status.clone().unwrap_or_default()
}

/// Expected, desired, healthy and allowed.
fn counts(status: &PodDisruptionBudgetStatus) -> [i32; 4] {
    let number = |number: Option<i32>| number.unwrap_or(-1);
    [
        number(status.expected_pods),
        number(status.desired_healthy),
        number(status.current_healthy),
        number(status.disruptions_allowed),
    ]
}

/// Status, reason and message of the one condition.
fn condition(status: &PodDisruptionBudgetStatus) -> (String, String, String) {
    let [condition] = status.conditions.as_deref().unwrap() else { panic!("{status:?}") };
    (condition.status.clone(), condition.reason.clone(), condition.message.clone())
}

#[test]
fn what_is_wanted_is_taken_of_pods_or_of_scales() {
    let check = |spec: Value, expected: [i32; 4]| {
        let setup = || {
            let mut world = World::new(Disruption);
            with_deployment(&mut world);
            add(&mut world, budget("web", spec.clone()));
            world
        };
        let world = check_converges(setup, nobody_else);
        let status = status(&world, "web");
        assert_eq!(counts(&status), expected, "{spec}");
        let words = if expected[3] > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
        assert_eq!(condition(&status), (words.0.to_owned(), words.1.to_owned(), String::new()), "{spec}");
        assert_eq!(status.observed_generation, Some(1));
        assert!(world.events.is_empty(), "{:?}", world.events);
    };
    check(json!({"minAvailable": 2}), [4, 2, 3, 1]);
    check(json!({"minAvailable": 9}), [4, 9, 3, 0]);
    check(json!({"minAvailable": "50%"}), [5, 3, 3, 0]);
    check(json!({"minAvailable": "40%"}), [5, 2, 3, 1]);
    check(json!({"minAvailable": "0%"}), [5, 0, 3, 3]);
    check(json!({"maxUnavailable": 3}), [5, 2, 3, 1]);
    check(json!({"maxUnavailable": 9}), [5, 0, 3, 3]);
    check(json!({"maxUnavailable": "20%"}), [5, 4, 3, 0]);
    check(json!({"maxUnavailable": "41%"}), [5, 2, 3, 1]);
    check(json!({}), [0, 0, 3, 0]);
    check(json!({"minAvailable": 2, "selector": {}}), [4, 2, 3, 1]);
}

#[test]
fn scales_are_those_of_whoever_is_behind_the_pods() {
    let check = |objects: Vec<Value>, expected: i32| {
        let mut world = World::new(Disruption);
        add(&mut world, budget("web", json!({"maxUnavailable": 0})));
        objects.into_iter().for_each(|object| add(&mut world, object));
        world.settle();
        let status = status(&world, "web");
        assert_eq!(status.expected_pods, Some(expected), "{:?}", world.events);
        assert_eq!(status.desired_healthy, status.expected_pods);
    };
    let none = json!([]);
    for (api_version, kind) in [("v1", "ReplicationController"), ("apps/v1", "ReplicaSet"), ("apps/v1", "StatefulSet")]
    {
        let owners = owner(api_version, kind, "web");
        check(vec![controller(kind, "web", 7, &none), pod("a", true, &owners), pod("b", true, &owners)], 7);
    }
    let rollout = owner("example.com/v1", "Rollout", "web");
    let of_set = owner("apps/v1", "ReplicaSet", "set");
    check(vec![controller("ReplicaSet", "set", 3, &rollout), pod("a", true, &of_set)], 3);
    // Two ReplicaSets of one Deployment count once, and those of another Deployment besides.
    let behind = |name: &str| owner("apps/v1", "Deployment", name);
    let of = |name: &str| owner("apps/v1", "ReplicaSet", name);
    check(
        vec![
            controller("Deployment", "one", 5, &none),
            controller("Deployment", "two", 20, &none),
            controller("ReplicaSet", "one-a", 2, &behind("one")),
            controller("ReplicaSet", "one-b", 3, &behind("one")),
            controller("ReplicaSet", "two-a", 1, &behind("two")),
            pod("a", true, &of("one-a")),
            pod("b", true, &of("one-b")),
            pod("c", true, &of("two-a")),
        ],
        25,
    );
    // A Deployment of the same name that is another one.
    let mut other = controller("Deployment", "one", 5, &none);
    other["metadata"]["uid"] = json!("newer");
    check(vec![other, controller("ReplicaSet", "one-a", 2, &behind("one")), pod("a", true, &of("one-a"))], 2);
}

#[test]
fn what_cannot_be_counted_allows_nothing() {
    let check = |spec: Value, owners: Value, message: &str| {
        let setup = || {
            let mut world = World::new(Disruption);
            let verbs = vec!["list".to_owned()];
            let widgets = Resource {
                group: "example.com".to_owned(),
                plural: "widgets".to_owned(),
                kind: "Widget".to_owned(),
                ..Resource::of::<Job>()
            };
            let jobs = Served { resource: Resource::of::<Job>(), verbs: verbs.clone() };
            world.cache.set_served(vec![jobs, Served { resource: widgets, verbs }]);
            let mut stale = budget("web", spec.clone());
            stale["status"] = json!({"disruptionsAllowed": 3, "currentHealthy": 5});
            add(&mut world, stale);
            add(&mut world, controller("ReplicaSet", "web-1", 1, &json!([])));
            add(&mut world, pod("a", true, &owners));
            world
        };
        let world = check_converges(setup, nobody_else);
        let status = status(&world, "web");
        assert_eq!(counts(&status), [-1, -1, 5, 0], "{message}");
        assert_eq!(condition(&status), ("False".to_owned(), "SyncFailed".to_owned(), message.to_owned()));
        assert_eq!(status.observed_generation, None);
        assert_eq!(world.events.len(), 1, "{:?}", world.events);
        let mut event = world.events[0].split_once(": ").unwrap();
        if let Some(why) = event.1.strip_prefix("Failed to calculate the number of expected pods: ") {
            assert_eq!(event.0, "Warning CalculateExpectedPodCountFailed PodDisruptionBudget web");
            event = (event.0, why);
        }
        assert!(event.1.ends_with(message), "{event:?}");
    };
    let percent = || json!({"maxUnavailable": "50%"});
    check(percent(), owner("apps/v1", "ReplicaSet", "gone"), "found no controllers for pod \"a\"");
    check(percent(), owner("batch/v1", "Job", "job"), "jobs.batch does not implement the scale subresource");
    let message = "the scale of widgets.example.com \"w\" is not known";
    check(percent(), owner("example.com/v1", "Widget", "w"), message);
    let message = "no matches for kind \"Toy\" in version \"example.com/v1\"";
    check(percent(), owner("example.com/v1", "Toy", "t"), message);
    let message = "invalid value for IntOrString: invalid type: string is not a percentage";
    check(json!({"minAvailable": "many"}), owner("apps/v1", "ReplicaSet", "web-1"), message);
    let selector = json!({"matchExpressions": [{"key": "app", "operator": "Like", "values": ["web"]}]});
    let message = "\"Like\" is not a valid label selector operator";
    check(json!({"minAvailable": 1, "selector": selector}), json!([]), message);
}

#[test]
fn events_say_what_is_odd_about_the_pods() {
    let check = |spec: Value, pods: &[&str], expected: &[&str]| {
        let mut world = World::new(Disruption);
        add(&mut world, budget("web", spec));
        pods.iter().for_each(|name| add(&mut world, pod(name, true, &json!([]))));
        world.settle();
        assert_eq!(world.events, expected);
    };
    let none = "Normal NoPods PodDisruptionBudget web: No matching pods found";
    check(json!({"minAvailable": 1}), &[], &[none]);
    check(json!({"minAvailable": 1}), &["a"], &[]);
    let unmanaged = |selector: &str| {
        format!(
            "Warning UnmanagedPods PodDisruptionBudget web: Pods selected by this PodDisruptionBudget (selector: {selector}) \
             were found to be unmanaged. As a result, the status of the PDB cannot be calculated correctly, which may \
             result in undefined behavior. To account for these pods please set \".spec.minAvailable\" field of the PDB to \
             an integer value."
        )
    };
    let labels =
        "&LabelSelector{MatchLabels:map[string]string{app: web,},MatchExpressions:[]LabelSelectorRequirement{},}";
    check(json!({"maxUnavailable": 1}), &["a", "b"], &[&unmanaged(labels)]);
    let expression = json!({"key": "app", "operator": "In", "values": ["web", "api"]});
    let selector = "&LabelSelector{MatchLabels:map[string]string{},MatchExpressions:[]LabelSelectorRequirement{\
                    LabelSelectorRequirement{Key:app,Operator:In,Values:[web api],},},}";
    let spec = json!({"minAvailable": "10%", "selector": {"matchExpressions": [expression]}});
    check(spec, &["a"], &[&unmanaged(selector)]);
}

#[test]
fn pods_under_several_budgets_are_told() {
    let mut world = World::new(Disruption);
    for name in ["second", "first"] {
        add(&mut world, budget(name, json!({"minAvailable": 1})));
    }
    add(&mut world, pod("a", true, &json!([])));
    world.settle();
    let event = "Warning MultiplePodDisruptionBudgets Pod a: Pod \"shop\"/\"a\" matches multiple PodDisruptionBudgets.  \
                 Chose \"first\" arbitrarily.";
    assert_eq!(world.events, [event, event]);
    assert_eq!(counts(&status(&world, "second")), [1, 1, 1, 0]);
}

#[test]
fn allowed_evictions_are_expected_for_two_minutes() {
    let setup = || {
        let mut world = World::new(Disruption);
        for name in ["a", "b", "c", "d"] {
            add(&mut world, pod(name, true, &json!([])));
        }
        let mut evicting = budget("web", json!({"minAvailable": 1}));
        let times = json!({
            "a": "2026-03-01T11:59:00Z", "b": "2026-03-01T11:58:00Z", "c": "2026-03-01T11:59:50Z",
            "gone": "2026-03-01T11:59:59Z",
        });
        evicting["status"] = json!({"disruptedPods": times, "disruptionsAllowed": 0});
        add(&mut world, evicting);
        world.delete::<Pod>("shop", "c");
        world
    };
    let not_deleted = |name: &str| {
        format!("Warning NotDeleted Pod {name}: Pod was expected by PDB shop/shop to be deleted but it wasn't")
    };
    let mut world = check_converges(setup, nobody_else);
    let named = |world: &Shop| status(world, "web").disrupted_pods.unwrap_or_default().into_keys().collect::<Vec<_>>();
    assert_eq!(named(&world), ["a"]);
    assert_eq!(counts(&status(&world, "web")), [4, 1, 2, 1]);
    assert_eq!(world.events, [not_deleted("b")]);

    world.pass(Duration::from_secs(59));
    assert!(world.settle().is_empty());
    world.pass(Duration::from_secs(1));
    world.settle();
    assert!(named(&world).is_empty());
    assert_eq!(counts(&status(&world, "web")), [4, 1, 3, 2]);
    assert_eq!(world.events, [not_deleted("b"), not_deleted("a")]);
}

#[test]
fn stale_targets_are_taken_back() {
    let target = |world: &Shop, name: &str| {
        let pod = world.get::<Pod>("shop", name).unwrap();
        let conditions = pod.status.clone().unwrap().conditions.unwrap();
        assert_eq!(conditions.len(), 2);
        serde_json::to_value(&conditions[1]).unwrap()
    };
    let add_target = |world: &mut Shop, name: &str, phase: &str, reason: &str, since: &str| {
        let mut pod = pod(name, true, &json!([]));
        pod["status"]["phase"] = json!(phase);
        pod["metadata"]["generation"] = json!(3);
        pod["status"]["conditions"].as_array_mut().unwrap().push(json!({
            "type": "DisruptionTarget", "status": "True", "reason": reason, "message": "m", "lastTransitionTime": since,
        }));
        add(world, pod);
    };
    let setup = || {
        let mut world = World::new(Disruption);
        add_target(&mut world, "new", "Running", "EvictionByEvictionAPI", "2026-03-01T11:58:30Z");
        add_target(&mut world, "old", "Running", "PreemptionByScheduler", "2026-03-01T11:58:00Z");
        add_target(&mut world, "kubelet", "Running", "TerminationByKubelet", "2026-03-01T11:00:00Z");
        add_target(&mut world, "ended", "Failed", "EvictionByEvictionAPI", "2026-03-01T11:00:00Z");
        add_target(&mut world, "going", "Running", "EvictionByEvictionAPI", "2026-03-01T11:00:00Z");
        world.delete::<Pod>("shop", "going");
        world
    };
    let mut world = check_converges(setup, nobody_else);
    let taken_back = |time: &str| json!({"type": "DisruptionTarget", "status": "False", "observedGeneration": 3, "lastTransitionTime": time});
    assert_eq!(target(&world, "old"), taken_back("2026-03-01T12:00:00Z"));
    for name in ["new", "kubelet", "ended", "going"] {
        assert_eq!(target(&world, name)["status"], "True", "{name}");
    }
    world.pass(Duration::from_secs(30));
    world.settle();
    assert_eq!(target(&world, "new"), taken_back("2026-03-01T12:00:30Z"));
}

#[test]
fn changes_of_pods_and_scales_are_noticed() {
    let mut world = World::new(Disruption);
    with_deployment(&mut world);
    add(&mut world, budget("web", json!({"maxUnavailable": "40%"})));
    let mut check = |change: &dyn Fn(&mut Shop), expected: [i32; 4]| {
        change(&mut world);
        world.settle();
        assert_eq!(counts(&status(&world, "web")), expected);
        assert!(world.settle().is_empty());
    };
    check(&|_| {}, [5, 3, 3, 0]);
    check(&|world| world.change::<Deployment>("shop", "web", |it| it.spec.replicas = Some(3)), [3, 1, 3, 2]);
    // The ReplicaSet's own scale does not matter.
    check(&|world| world.change::<ReplicaSet>("shop", "web-1", |it| it.spec.replicas = Some(3)), [3, 1, 3, 2]);
    check(&|world| world.change::<Pod>("shop", "a", |it| it.metadata.labels = None), [3, 1, 2, 1]);
    check(&|world| world.delete::<Pod>("shop", "b"), [3, 1, 1, 0]);
    check(&|world| world.remove::<Pod>("shop", "b"), [3, 1, 1, 0]);
    check(&|world| world.remove::<Deployment>("shop", "web"), [3, 1, 1, 0]);
    let ready = |pod: &mut Pod| {
        let conditions = pod.status.as_mut().unwrap().conditions.as_mut().unwrap();
        conditions[0].status = "True".to_owned();
    };
    check(&|world| world.change::<Pod>("shop", "d", ready), [3, 1, 2, 1]);
    check(&|world| world.remove::<ReplicaSet>("shop", "web-1"), [3, 1, 2, 0]);
    check(&|world| add(world, controller("ReplicaSet", "web-1", 10, &json!([]))), [10, 6, 2, 0]);
    check(&|world| add(world, controller("Deployment", "new", 2, &json!([]))), [10, 6, 2, 0]);
    let adopt = |set: &mut ReplicaSet| {
        set.metadata.owner_references = serde_json::from_value(owner("apps/v1", "Deployment", "new")).unwrap();
    };
    check(&|world| world.change("shop", "web-1", adopt), [2, 1, 2, 1]);
}

#[test]
fn the_condition_says_since_when_it_holds() {
    let mut world = World::new(Disruption);
    add(&mut world, budget("web", json!({"minAvailable": 2})));
    let mut check = |change: &dyn Fn(&mut Shop), holds: &str, since: &str| {
        change(&mut world);
        world.settle();
        let condition = status(&world, "web").conditions.unwrap().remove(0);
        let shown = serde_json::to_value(&condition).unwrap();
        assert_eq!((&shown["status"], &shown["lastTransitionTime"]), (&json!(holds), &json!(since)));
    };
    let more = |name: &'static str| {
        move |world: &mut Shop| {
            world.pass(Duration::from_secs(1));
            add(world, pod(name, true, &json!([])));
        }
    };
    check(&|_| {}, "False", "2026-03-01T12:00:00Z");
    check(&more("a"), "False", "2026-03-01T12:00:00Z");
    check(&more("b"), "False", "2026-03-01T12:00:00Z");
    check(&more("c"), "True", "2026-03-01T12:00:03Z");
    check(&more("d"), "True", "2026-03-01T12:00:03Z");
}

proptest! {
    #[test]
    fn never_more_is_allowed_than_leaves_what_is_desired(
        least: bool, percent in 0u8..=100, number in 0i32..12, relative: bool, replicas in 0i32..12, ready in 0usize..12,
    ) {
        let value = if relative { json!(format!("{percent}%")) } else { json!(number) };
        let spec = if least { json!({"minAvailable": value}) } else { json!({"maxUnavailable": value}) };
        let mut world = World::new(Disruption);
        add(&mut world, controller("ReplicaSet", "web", replicas, &json!([])));
        for i in 0..ready {
            add(&mut world, pod(&format!("p{i}"), true, &owner("apps/v1", "ReplicaSet", "web")));
        }
        add(&mut world, budget("web", spec));
        world.settle();
        let [expected, desired, healthy, allowed] = counts(&status(&world, "web"));
        prop_assert_eq!(healthy, i32::try_from(ready).unwrap());
        prop_assert!(allowed >= 0 && (allowed == 0 || healthy - allowed == desired));
        prop_assert!(allowed > 0 || expected == 0 || healthy <= desired);
        if !least {
            let most = if relative { (i32::from(percent) * expected + 99) / 100 } else { number };
            prop_assert_eq!(desired, (expected - most).max(0));
        }
    }
}
