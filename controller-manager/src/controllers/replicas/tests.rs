//! What happens to pods, for both kinds.

use serde_json::{Value, json};

use super::*;
use crate::plan::{Effect, Fact, Failure, Refused};
use crate::testing::{World, check_converges, nobody_else};

const LABELS: fn() -> Value = || json!({"app": "web"});

/// An object named `web` in the namespace `shop` that wants `replicas` pods, with `change` merged into it.
fn web<K: Replicated>(replicas: i32, change: Value) -> K {
    let selector = if K::KIND == "ReplicaSet" { json!({"matchLabels": LABELS()}) } else { LABELS() };
    let template = json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "main"}]}});
    let base = json!({
        "metadata": {"name": "web", "namespace": "shop", "uid": "uid of web"},
        "spec": {"replicas": replicas, "selector": selector, "template": template},
    });
    serde_json::from_value(api::patch::merge::apply(&base, change).unwrap()).unwrap()
}

/// A running pod without a controller, with `change` merged into it.
fn pod(name: &str, change: Value) -> Pod {
    let base = json!({
        "metadata": {"name": name, "namespace": "shop", "labels": {"app": "web"}},
        "spec": {"nodeName": "n", "containers": []},
        "status": {"phase": "Running"},
    });
    serde_json::from_value(api::patch::merge::apply(&base, change).unwrap()).unwrap()
}

/// A reference to an object as the controller of what refers to it.
fn owned_by<K: Replicated>(uid: &str) -> Value {
    let reference = json!({
        "apiVersion": K::API_VERSION, "kind": K::KIND, "name": "web", "uid": uid, "controller": true,
        "blockOwnerDeletion": true,
    });
    json!({"metadata": {"ownerReferences": [reference]}})
}

fn merged(a: Value, b: Value) -> Value {
    api::patch::merge::apply(&a, b).unwrap()
}

fn world<K: Replicated>(objects: Vec<K>, pods: Vec<Pod>) -> World<Replicas<K>> {
    let mut world = World::new(Replicas::<K>::new());
    for object in objects {
        world.add(object);
    }
    for pod in pods {
        world.add(pod);
    }
    world
}

/// Runs what is to run and removes what is to end.
fn kubelet<K: Replicated>(world: &mut World<Replicas<K>>) -> bool {
    let now = world.now().to_string();
    let mut did_something = false;
    for pod in world.list::<Pod>() {
        let meta = &pod.metadata;
        let (namespace, name) = (meta.namespace.as_deref().unwrap(), meta.name.as_deref().unwrap());
        if meta.deletion_timestamp.is_some() {
            world.remove::<Pod>(namespace, name);
        } else if crate::pods::phase(&pod) == "Pending" {
            let status = json!({
                "phase": "Running", "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": now}],
            });
            world.change::<Pod>(namespace, name, |pod| {
                pod.spec.get_or_insert_default().node_name = Some("n".to_owned());
                pod.status = serde_json::from_value(status).unwrap();
            });
        } else {
            continue;
        }
        did_something = true;
    }
    did_something
}

/// The status of `web`, without the generation.
fn status<K: Replicated>(world: &World<Replicas<K>>) -> Value {
    let mut object = world.json(&Key::of::<K>("shop", "web")).unwrap().clone();
    let generation = object["metadata"]["generation"].clone();
    let mut status = object["status"].take();
    assert_eq!(status["observedGeneration"], generation);
    status.as_object_mut().unwrap().remove("observedGeneration");
    if K::KIND != "ReplicaSet" {
        assert!(status["terminatingReplicas"].is_null());
        status["terminatingReplicas"] = json!(0);
    }
    status
}

/// The status of `web` if so many of its pods are there, ready, available and terminating.
fn counts<K: Replicated>(replicas: i32, ready: i32, available: i32, terminating: i32) -> Value {
    let terminating = if K::KIND == "ReplicaSet" { terminating } else { 0 };
    let mut status = json!({"replicas": replicas, "terminatingReplicas": terminating});
    let others = [("fullyLabeledReplicas", replicas), ("readyReplicas", ready), ("availableReplicas", available)];
    for (field, count) in others.into_iter().filter(|(_, count)| *count > 0) {
        status[field] = json!(count);
    }
    status
}

fn plan<K: Replicated>(world: &World<Replicas<K>>) -> Plan {
    world.plan(&Key::of::<K>("shop", "web")).unwrap()
}

/// What a plan does, in words.
fn effects(plan: &Plan) -> Vec<String> {
    let word = |effect: &Effect| match effect {
        Effect::Create(_) => "create",
        Effect::Patch { subresource: Some(_), .. } => "status",
        Effect::Patch { subresource: None, .. } => "patch",
        Effect::Delete(_) => "delete",
        Effect::Confirm(Fact::Alive) => "confirm",
        other => panic!("{other:?}"),
    };
    plan.actions.iter().map(|action| format!("{} {}", word(&action.effect), action.target.name)).collect()
}

fn pods_are_created<K: Replicated>() {
    let world = check_converges(|| world::<K>(vec![web(3, json!({}))], vec![]), kubelet);
    let pods = world.list::<Pod>();
    assert_eq!(pods.len(), 3);
    for pod in &pods {
        let name = pod.metadata.name.as_deref().unwrap();
        assert!(name.starts_with("web-"), "{name}");
        let reference = controller_of(&pod.metadata).unwrap();
        assert_eq!((reference.kind.as_str(), reference.uid.as_str()), (K::KIND, "uid of web"));
        assert_eq!(reference.block_owner_deletion, Some(true));
        let event = format!("Normal SuccessfulCreate {} web: Created pod: {name}", K::KIND);
        assert!(world.events.contains(&event), "{:?}", world.events);
    }
    assert_eq!(status(&world), counts::<K>(3, 3, 3, 0));
}

fn pods_are_deleted<K: Replicated>() {
    let setup = || {
        let owned = || owned_by::<K>("uid of web");
        let pods = (0..5).map(|i| pod(&format!("web-{i}"), owned())).collect();
        world::<K>(vec![web(2, json!({}))], pods)
    };
    let mut once = setup();
    once.settle();
    assert_eq!(status(&once), counts::<K>(2, 0, 0, 3));
    assert_eq!(once.events.len(), 3);
    assert_eq!(once.events[0], format!("Normal SuccessfulDelete {} web: Deleted pod: web-0", K::KIND));
    let world = check_converges(setup, kubelet);
    assert_eq!(world.list::<Pod>().len(), 2);
    assert_eq!(status(&world), counts::<K>(2, 0, 0, 0));

    let none = check_converges(|| world_of_pods::<K>(0, 2), kubelet);
    assert!(none.list::<Pod>().is_empty());
}

fn world_of_pods<K: Replicated>(wanted: i32, present: usize) -> World<Replicas<K>> {
    let pods = (0..present).map(|i| pod(&format!("web-{i:04}"), owned_by::<K>("uid of web"))).collect();
    world(vec![web(wanted, json!({}))], pods)
}

fn pods_are_claimed<K: Replicated>() {
    let owned = || owned_by::<K>("uid of web");
    let other_label = || json!({"metadata": {"labels": {"app": "other"}}});
    let elsewhere = || json!({"metadata": {"namespace": "elsewhere"}});
    let ended = || json!({"status": {"phase": "Failed"}});
    let ending =
        || json!({"metadata": {"deletionTimestamp": "2026-03-01T12:00:00Z", "deletionGracePeriodSeconds": 30}});
    let setup = || {
        let pods = vec![
            pod("mine", owned()),
            pod("orphan", json!({})),
            pod("ended", merged(owned(), ended())),
            pod("stray", merged(owned(), other_label())),
            pod("of-another", owned_by::<K>("uid of another")),
            pod("elsewhere", elsewhere()),
            pod("forged", merged(owned(), elsewhere())),
            pod("unrelated", other_label()),
            pod("ended-orphan", ended()),
            pod("ended-stray", merged(merged(owned(), other_label()), ended())),
            pod("ending-orphan", ending()),
        ];
        world::<K>(vec![web(2, json!({}))], pods)
    };
    let first = plan(&setup());
    assert_eq!(effects(&first), ["patch stray", "confirm web", "patch orphan", "status web"]);
    let world = check_converges(setup, nobody_else);
    let expected = [
        ("mine", Some("uid of web")),
        ("orphan", Some("uid of web")),
        ("ended", Some("uid of web")),
        ("stray", None),
        ("of-another", Some("uid of another")),
        ("elsewhere", None),
        ("forged", Some("uid of web")),
        ("unrelated", None),
        ("ended-orphan", None),
        ("ended-stray", Some("uid of web")),
        ("ending-orphan", None),
    ];
    for (name, expected) in expected {
        let namespace = if matches!(name, "elsewhere" | "forged") { "elsewhere" } else { "shop" };
        let pod = world.get::<Pod>(namespace, name).unwrap();
        assert_eq!(controller_of(&pod.metadata).map(|owner| owner.uid.as_str()), expected, "{name}");
    }
    assert_eq!(world.list::<Pod>().len(), expected.len());
    assert_eq!(status(&world), counts::<K>(2, 0, 0, 0));
}

fn nothing_is_claimed_or_managed_when_it_is_deleted<K: Replicated>() {
    let deleted = json!({"metadata": {
        "deletionTimestamp": "2026-03-01T12:00:00Z", "deletionGracePeriodSeconds": 0, "finalizers": ["orphan"],
    }});
    let owned = || owned_by::<K>("uid of web");
    let stray = merged(owned(), json!({"metadata": {"labels": {"app": "other"}}}));
    for wanted in [0, 5] {
        let pods = vec![pod("mine", owned()), pod("orphan", json!({})), pod("stray", stray.clone())];
        let mut world = world::<K>(vec![web(wanted, deleted.clone())], pods);
        assert_eq!(effects(&plan(&world)), ["status web"]);
        world.settle();
        assert_eq!(status(&world), counts::<K>(1, 0, 0, 0));
    }
}

fn orphans_are_noticed<K: Replicated>() {
    let setup = || world::<K>(vec![web(1, json!({}))], vec![pod("mine", owned_by::<K>("uid of web"))]);
    let controller = |world: &World<Replicas<K>>, name: &str| {
        let pod = world.get::<Pod>("shop", name)?;
        controller_of(&pod.metadata).map(|owner| owner.uid.clone())
    };
    let mut world = setup();
    world.settle();
    // It is adopted, and the one of the two that is on no node goes.
    world.add(pod("new", json!({"spec": {"nodeName": null}, "status": {"phase": "Pending"}})));
    world.settle();
    assert!(world.get::<Pod>("shop", "new").is_none());
    world.add(pod("other", json!({"metadata": {"labels": {"app": "other"}}})));
    assert!(world.settle().is_empty());
    world.remove::<Pod>("shop", "mine");
    world.settle();
    assert_eq!(world.list::<Pod>().len(), 2);
    world.change::<Pod>("shop", "other", |pod| pod.metadata.labels = serde_json::from_value(LABELS()).unwrap());
    world.settle();
    assert_eq!(controller(&world, "other").as_deref(), Some("uid of web"));
    world.change::<Pod>("shop", "other", |pod| pod.metadata.owner_references = None);
    world.settle();
    assert_eq!(controller(&world, "other").as_deref(), Some("uid of web"));
}

fn a_failure_is_told_and_forgotten<K: Replicated>() {
    let mut world = world::<K>(vec![web(2, json!({}))], vec![]);
    world.refuse_creation::<Pod>(Some(("Forbidden", "pods \"web-\" is forbidden: exceeded quota")));
    world.settle();
    let condition = json!({
        "type": "ReplicaFailure", "status": "True", "reason": "FailedCreate",
        "message": "pods \"web-\" is forbidden: exceeded quota", "lastTransitionTime": "2026-03-01T12:00:00Z",
    });
    assert_eq!(status(&world), merged(counts::<K>(0, 0, 0, 0), json!({"conditions": [condition.clone()]})));
    let event = "FailedCreate {} web: Error creating: pods \"web-\" is forbidden: exceeded quota";
    assert_eq!(world.events[0], format!("Warning {}", event.replace("{}", K::KIND)));
    // Another message does not replace it.
    world.refuse_creation::<Pod>(Some(("Forbidden", "pods \"web-\" is forbidden: another reason")));
    world.change::<K>("shop", "web", |web| web.metadata_mut().labels = Some(BTreeMap::new()));
    world.settle();
    assert_eq!(status(&world)["conditions"], json!([condition]));
    world.refuse_creation::<Pod>(None);
    world.change::<K>("shop", "web", |web| web.metadata_mut().labels = None);
    world.settle();
    assert_eq!(status(&world), counts::<K>(2, 0, 0, 0));
    assert_eq!(world.list::<Pod>().len(), 2);
}

fn available_later<K: Replicated>() {
    let setup = || world::<K>(vec![web(2, json!({"spec": {"minReadySeconds": 10}}))], vec![]);
    let mut world = check_converges(setup, kubelet);
    assert_eq!(status(&world), counts::<K>(2, 2, 0, 0));
    assert_eq!(plan(&world).again, Some(std::time::Duration::from_secs(10)));
    world.pass(std::time::Duration::from_secs(9));
    assert!(world.settle().is_empty());
    assert_eq!(plan(&world).again, Some(std::time::Duration::from_secs(1)));
    world.pass(std::time::Duration::from_secs(1));
    assert_eq!(world.settle().len(), 1);
    assert_eq!(status(&world), counts::<K>(2, 2, 2, 0));
    assert_eq!(plan(&world).again, None);
}

fn nonsense_is_survived<K: Replicated>() {
    let nonsense = if K::KIND == "ReplicaSet" {
        let expression = |operator: &str| json!([{"key": "a b", "operator": operator, "values": []}]);
        let invalid = |operator| json!({"spec": {"selector": {"matchExpressions": expression(operator)}}});
        vec![json!({"spec": {"selector": {"matchLabels": null}}}), invalid("In"), invalid("Is")]
    } else {
        vec![json!({"spec": {"selector": null}}), json!({"spec": {"selector": {"app": null}}})]
    };
    for change in nonsense {
        let mut world = world::<K>(vec![web(2, change)], vec![pod("orphan", json!({}))]);
        assert!(world.settle().is_empty());
        world.add(pod("later", json!({})));
        assert!(world.settle().is_empty());
    }
    // Pods of the template would be let go at once, for ever.
    for labels in [json!(null), json!({"app": "other"})] {
        let change = json!({"spec": {"template": {"metadata": {"labels": labels}}}});
        let mut world = world::<K>(vec![web(2, change)], vec![]);
        world.settle();
        assert!(world.list::<Pod>().is_empty());
    }
    let mut world = world::<K>(vec![web(-1, json!({}))], vec![]);
    world.settle();
    assert_eq!(status(&world), counts::<K>(0, 0, 0, 0));
}

/// Checks both kinds.
macro_rules! both {
    ($($name:ident),* $(,)?) => {$(
        mod $name {
            use super::*;

            #[test]
            fn of_replica_sets() {
                super::$name::<ReplicaSet>();
            }

            #[test]
            fn of_replication_controllers() {
                super::$name::<ReplicationController>();
            }
        }
    )*};
}

both!(
    a_failure_is_told_and_forgotten,
    available_later,
    nonsense_is_survived,
    nothing_is_claimed_or_managed_when_it_is_deleted,
    orphans_are_noticed,
    pods_are_claimed,
    pods_are_created,
    pods_are_deleted,
);

#[test]
fn much_is_done_in_parts() {
    let check = |wanted: i32, present: usize, parts: &[usize]| {
        let mut world = world_of_pods::<ReplicaSet>(wanted, present);
        let plans = world.settle();
        let managing = |action: &&crate::plan::Action| matches!(action.effect, Effect::Create(_) | Effect::Delete(_));
        let done: Vec<usize> =
            plans.iter().map(|(_, plan)| plan.actions.iter().filter(managing).count()).filter(|n| *n > 0).collect();
        assert_eq!(done, parts, "{wanted} of {present}");
    };
    check(1200, 0, &[499, 499, 202]);
    check(0, 600, &[499, 101]);
    let orphans = (0..600).map(|i| pod(&format!("web-{i:04}"), json!({}))).collect();
    let mut world = world::<ReplicaSet>(vec![web(600, json!({}))], orphans);
    world.settle();
    assert_eq!(status(&world), counts::<ReplicaSet>(600, 0, 0, 0));
    assert_eq!(world.list::<Pod>().len(), 600);
}

#[test]
fn the_status_tells_who_has_the_labels_of_the_template() {
    let template = json!({"metadata": {"labels": {"tier": "front"}}});
    let other = json!({"type": "Other", "status": "True"});
    let change = json!({"spec": {"template": template}, "status": {"replicas": 7, "conditions": [other.clone()]}});
    let old = owned_by::<ReplicaSet>("uid of web");
    let pods = vec![pod("old", old.clone()), pod("new", merged(old, template))];
    let mut world = world::<ReplicaSet>(vec![web(2, change)], pods);
    world.settle();
    let expected = json!({"replicas": 2, "fullyLabeledReplicas": 1, "terminatingReplicas": 0, "conditions": [other]});
    assert_eq!(status(&world), expected);
}

#[test]
fn pods_in_a_crowd_of_related_pods_go_first() {
    let deployment = json!({"metadata": {"ownerReferences": [{
        "apiVersion": "apps/v1", "kind": "Deployment", "name": "d", "uid": "uid of d", "controller": true,
    }]}});
    let check = |owner: Value, expected: &str| {
        let sibling: ReplicaSet =
            web(3, merged(owner.clone(), json!({"metadata": {"name": "web-2", "uid": "uid of web-2"}})));
        let on = |node: &str| json!({"spec": {"nodeName": node}});
        let mut pods = vec![
            pod("a", merged(owned_by::<ReplicaSet>("uid of web"), on("quiet"))),
            pod("b", merged(owned_by::<ReplicaSet>("uid of web"), on("crowded"))),
        ];
        let others =
            (0..3).map(|i| pod(&format!("other-{i}"), merged(owned_by::<ReplicaSet>("uid of web-2"), on("crowded"))));
        pods.extend(others);
        let world = world::<ReplicaSet>(vec![web(1, owner), sibling], pods);
        assert_eq!(effects(&plan(&world)), [format!("delete {expected}"), "status web".to_owned()]);
    };
    check(deployment, "b");
    check(json!({}), "a");
}

#[test]
fn nothing_is_created_in_a_namespace_that_is_ending() {
    let mut world = world::<ReplicaSet>(vec![web(2, json!({}))], vec![]);
    let namespace: Namespace = serde_json::from_value(json!({
        "metadata": {"name": "shop", "deletionTimestamp": "2026-03-01T12:00:00Z"}, "spec": {"finalizers": ["kubernetes"]},
    }))
    .unwrap();
    world.add(namespace);
    world.settle();
    assert!(world.list::<Pod>().is_empty() && world.events.is_empty());
    assert_eq!(status(&world), counts::<ReplicaSet>(0, 0, 0, 0));
}

#[test]
fn failures_are_told_apart() {
    let check = |present: usize, failed: &dyn Fn(&mut Plan), refused: Refused, expected: Value| {
        let world = world_of_pods::<ReplicaSet>(2, present);
        let controller = ReplicaSets::new();
        let observed = controller.observe(&world.cache, &Key::of::<ReplicaSet>("shop", "web")).unwrap();
        let mut last = Plan::new();
        failed(&mut last);
        let failure = Failure::of(&last.actions[0], refused);
        let told = format!("{present}: {failure:?}");
        let plan = controller.reconcile(&observed, &Moment { now: world.now(), failure: Some(failure) });
        let conditions = plan.actions.iter().find_map(|action| match &action.effect {
            Effect::Patch { body, .. } => Some(body["status"]["conditions"][0].clone()),
            _ => None,
        });
        let found = conditions.map(|condition| json!([condition["reason"], condition["message"]]));
        assert_eq!(found.unwrap(), expected, "{told}");
        assert_eq!(effects(&plan)[0] == "status web", expected[0].is_string(), "what failed is tried last");
    };
    let nothing = json!([null, null]);
    let one = pod("web-0000", json!({}));
    let create: &dyn Fn(&mut Plan) = &|plan| {
        plan.create(&one);
    };
    let delete: &dyn Fn(&mut Plan) = &|plan| {
        plan.delete(&one);
    };
    let adopt: &dyn Fn(&mut Plan) = &|plan| {
        plan.update(&one, &Pod::default());
    };
    let scale: &dyn Fn(&mut Plan) = &|plan| {
        plan.update(&web::<ReplicaSet>(1, json!({})), &web(2, json!({})));
    };
    let no = |reason: &str| Refused::new(reason, "no");
    check(1, create, no("Forbidden"), json!(["FailedCreate", "no"]));
    check(1, create, no(""), json!(["FailedCreate", "no"]));
    check(3, create, no("Forbidden"), nothing.clone());
    check(3, delete, no("Forbidden"), json!(["FailedDelete", "unable to delete pods: no"]));
    check(1, delete, no("Forbidden"), nothing.clone());
    check(3, delete, no("NotFound"), nothing.clone());
    check(3, delete, no("Conflict"), nothing.clone());
    check(3, adopt, no("Forbidden"), nothing.clone());
    check(3, scale, no("Conflict"), nothing.clone());
    let causes = vec![api::status::CAUSE_NAMESPACE_TERMINATING.to_owned()];
    check(1, create, Refused { causes, ..no("Forbidden") }, nothing);
}

#[test]
fn names_are_those_of_upstream() {
    fn names<C: Controller>() -> (&'static str, &'static str) {
        (C::NAME, C::COMPONENT)
    }
    assert_eq!(names::<ReplicaSets>(), ("replicaset-controller", "replicaset-controller"));
    assert_eq!(names::<ReplicationControllers>(), ("replicationcontroller-controller", "replication-controller"));
}
