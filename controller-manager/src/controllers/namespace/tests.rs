//! Namespaces with all kinds of content, and how they end.

use client::cache::Served;
use k8s_openapi::api::core::v1::{ConfigMap, NamespaceCondition, Node};
use serde_json::json;

use super::*;
use crate::plan::{Action, Fact, Refused};
use crate::testing::{World, check_converges};

const NAME: &str = "shop";

fn widgets() -> Resource {
    let text = str::to_owned;
    Resource {
        group: text("example.com"),
        version: text("v1"),
        plural: text("widgets"),
        kind: text("Widget"),
        namespaced: true,
    }
}

fn events() -> Resource {
    Resource { group: String::new(), plural: "events".to_owned(), kind: "Event".to_owned(), ..widgets() }
}

/// The namespace `shop`, with these finalizers, deleted.
fn ending(finalizers: &[&str]) -> World<Namespaces> {
    let mut world = World::new(Namespaces);
    let served =
        |resource: Resource, verbs: &str| Served { resource, verbs: verbs.split(' ').map(str::to_owned).collect() };
    let reviews = Resource { plural: "localreviews".to_owned(), kind: "LocalReview".to_owned(), ..widgets() };
    world.cache.set_served(vec![
        served(Resource::of::<ConfigMap>(), "list watch delete deletecollection"),
        served(events(), "list delete deletecollection"),
        served(Resource::of::<Node>(), "list watch delete deletecollection"),
        served(Resource::of::<Pod>(), "list watch delete deletecollection"),
        served(widgets(), "list watch delete"),
        served(reviews, "create"),
    ]);
    world.know_metadata(Resource::of::<ConfigMap>());
    world.know_metadata(Resource::of::<Node>());
    world.know_metadata(widgets());
    let namespace = json!({"metadata": {"name": NAME}, "spec": {"finalizers": finalizers}});
    world.add(serde_json::from_value::<Namespace>(namespace).unwrap());
    world
}

fn config_map(world: &mut World<Namespaces>, namespace: &str, name: &str, finalizers: &[&str]) -> Key {
    let meta = json!({"name": name, "namespace": namespace, "finalizers": finalizers});
    world.add_any(&Resource::of::<ConfigMap>(), json!({"metadata": meta}))
}

/// A pod on a node: it stays until its kubelet has ended it.
fn pod(world: &mut World<Namespaces>, name: &str, seconds: i64) {
    let spec = json!({"nodeName": "n1", "containers": [], "terminationGracePeriodSeconds": seconds});
    let pod = json!({"metadata": {"name": name, "namespace": NAME}, "spec": spec, "status": {"phase": "Running"}});
    world.add(serde_json::from_value::<Pod>(pod).unwrap());
}

fn widget(world: &mut World<Namespaces>, name: &str) {
    world.add_any(&widgets(), json!({"metadata": {"name": name, "namespace": NAME}}));
}

fn delete(world: &mut World<Namespaces>) {
    world.delete::<Namespace>("", NAME);
}

fn settle_after(world: &mut World<Namespaces>, seconds: u64) {
    world.pass(Duration::from_secs(seconds));
    world.settle();
}

/// What the conditions say that are true.
fn troubles(world: &World<Namespaces>) -> Vec<String> {
    let namespace = world.get::<Namespace>("", NAME).unwrap();
    let conditions = namespace.status.clone().unwrap_or_default().conditions.unwrap_or_default();
    let bad = conditions.iter().filter(|condition| condition.status == "True");
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    bad.map(|it| format!("{} {}: {}", it.type_, text(&it.reason), text(&it.message))).collect()
}

fn key() -> Key {
    Key::of::<Namespace>("", NAME)
}

/// What a controller would do that has failed so.
fn plan_after(world: &World<Namespaces>, resource: Resource, effect: Effect, message: &str) -> Plan {
    let observed = Namespaces.observe(&world.cache, &key()).unwrap();
    let target = Target { resource, namespace: NAME.to_owned(), name: String::new(), uid: String::new() };
    let failure = Failure::of(&Action { target, effect, report: None }, Refused::new("Forbidden", message));
    Namespaces.reconcile(&observed, &Moment { now: world.now(), failure: Some(failure) })
}

/// What a plan does, in short.
fn steps(plan: &Plan) -> Vec<String> {
    let effect = |effect: &Effect| match effect {
        Effect::DeleteAll => "delete all",
        Effect::Delete(_) => "delete",
        Effect::Confirm(Fact::Empty) => "confirm",
        Effect::Patch { subresource: Some("status"), .. } => "say",
        Effect::Replace { subresource: "finalize", .. } => "finalize",
        other => panic!("{other:?}"),
    };
    let actions = plan.actions.iter();
    actions.map(|action| format!("{} {}", effect(&action.effect), action.target.resource)).collect()
}

#[test]
fn everything_goes_and_nothing_else() {
    let setup = || {
        let mut world = ending(&["kubernetes"]);
        pod(&mut world, "p1", 30);
        pod(&mut world, "p2", 30);
        config_map(&mut world, NAME, "c1", &[]);
        config_map(&mut world, NAME, "c2", &["example.com/hold"]);
        config_map(&mut world, "other", "c1", &[]);
        widget(&mut world, "w1");
        widget(&mut world, "w2");
        world.add_any(&Resource::of::<Node>(), json!({"metadata": {"name": NAME}}));
        delete(&mut world);
        world
    };
    let others = |world: &mut World<Namespaces>| {
        let pods = world.list::<Pod>();
        let going = pods.iter().find(|pod| pod.metadata.deletion_timestamp.is_some());
        if let Some(name) = going.and_then(|pod| pod.metadata.name.clone()) {
            world.remove::<Pod>(NAME, &name);
            return true;
        }
        let held = Key::of::<ConfigMap>(NAME, "c2");
        if world.json(&held).is_some_and(|object| !object["metadata"]["deletionTimestamp"].is_null()) {
            world.change_any(&held, |object| object["metadata"]["finalizers"] = json!([]));
            return true;
        }
        let is_there = world.get::<Namespace>("", NAME).is_some();
        world.pass(Duration::from_secs(1));
        is_there
    };
    let world = check_converges(setup, others);
    let left = world.summary();
    assert_eq!(left.len(), 2, "{left:?}");
    assert!(left[0].starts_with("configmaps") && left[1].starts_with("nodes"), "{left:?}");
}

#[test]
fn pods_go_first_and_it_is_said_what_remains() {
    let mut world = ending(&["kubernetes"]);
    pod(&mut world, "p1", 60);
    let held = config_map(&mut world, NAME, "c1", &["example.com/hold", "example.com/more"]);
    widget(&mut world, "w1");
    world.settle();
    delete(&mut world);
    world.settle();
    let pods =
        "NamespaceContentRemaining SomeResourcesRemain: Some resources are remaining: pods. has 1 resource instances";
    assert_eq!(troubles(&world), [pods]);
    assert_eq!(world.plan(&key()).unwrap().again, Some(Duration::from_secs(31)));
    assert!(world.json(&held).unwrap()["metadata"]["deletionTimestamp"].is_null());
    let namespace = world.get::<Namespace>("", NAME).unwrap();
    assert_eq!(namespace.status.as_ref().unwrap().phase.as_deref(), Some("Terminating"));
    // The pod takes longer than it may.
    settle_after(&mut world, 60);
    let failure = "NamespaceDeletionContentFailure ContentDeletionFailed: Failed to delete all resource types, 1 remaining: \
                   unexpected items still remain in namespace: shop for gvr: /v1, Resource=pods";
    assert_eq!(troubles(&world), [failure, pods]);
    world.remove::<Pod>(NAME, "p1");
    world.settle();
    let remain = "NamespaceContentRemaining SomeResourcesRemain: Some resources are remaining: \
                  configmaps. has 1 resource instances";
    let finalizers = "NamespaceFinalizersRemaining SomeFinalizersRemain: Some content in the namespace has finalizers \
                      remaining: example.com/hold in 1 resource instances, example.com/more in 1 resource instances";
    assert_eq!(troubles(&world), [remain, finalizers]);
    assert!(world.cache.list_any(&widgets().name(), None).is_empty());
    assert_eq!(world.plan(&key()).unwrap().again, Some(Duration::from_secs(8)));
    world.change_any(&held, |object| object["metadata"]["finalizers"] = json!([]));
    world.settle();
    assert!(world.get::<Namespace>("", NAME).is_none());
}

#[test]
fn other_finalizers_hold_the_namespace() {
    let mut world = ending(&["kubernetes", "example.com/b", "example.com/a"]);
    config_map(&mut world, NAME, "c1", &[]);
    delete(&mut world);
    world.settle();
    settle_after(&mut world, 5);
    let finalizers = |world: &World<Namespaces>| world.json(&key()).unwrap()["spec"]["finalizers"].clone();
    assert_eq!(finalizers(&world), json!(["example.com/a", "example.com/b"]));
    let namespace = world.get::<Namespace>("", NAME).unwrap();
    let conditions = namespace.status.clone().unwrap().conditions.unwrap();
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let said =
        |it: &NamespaceCondition| format!("{} {} {}: {}", it.type_, it.status, text(&it.reason), text(&it.message));
    let expected = [
        "NamespaceDeletionDiscoveryFailure False ResourcesDiscovered: All resources successfully discovered",
        "NamespaceDeletionGroupVersionParsingFailure False ParsedGroupVersions: \
         All legacy kube types successfully parsed",
        "NamespaceDeletionContentFailure False ContentDeleted: \
         All content successfully deleted, may be waiting on finalization",
        "NamespaceContentRemaining False ContentRemoved: All content successfully removed",
        "NamespaceFinalizersRemaining False ContentHasNoFinalizers: All content-preserving finalizers finished",
    ];
    assert_eq!(conditions.iter().map(said).collect::<Vec<_>>(), expected);
    let restored = ending(&["example.com/a"]);
    assert!(restored.plan(&key()).is_none());
    assert!(ending(&["kubernetes"]).plan(&key()).is_none(), "it is not deleted");
}

#[test]
fn what_cannot_be_seen_is_deleted_and_asked_for() {
    let mut world = ending(&["kubernetes"]);
    delete(&mut world);
    world.settle();
    assert!(world.get::<Namespace>("", NAME).is_some(), "other servers may still let something in");
    assert_eq!(world.plan(&key()).unwrap().again, Some(SPREADING));
    world.pass(Duration::from_secs(5));
    let plans: Vec<Vec<String>> = world.settle().iter().map(|(_, plan)| steps(plan)).collect();
    let last = [
        "delete all events",
        "confirm events",
        "confirm pods",
        "confirm configmaps",
        "confirm widgets.example.com",
        "finalize namespaces",
    ];
    assert_eq!(plans, [&["delete all events", "confirm events", "say namespaces"][..], &last]);
}

#[test]
fn what_comes_late_goes_too() {
    let mut world = ending(&["kubernetes"]);
    let held = config_map(&mut world, NAME, "c1", &["example.com/hold"]);
    delete(&mut world);
    world.settle();
    pod(&mut world, "late", 30);
    world.settle();
    let late = world.get::<Pod>(NAME, "late").unwrap();
    assert!(late.metadata.deletion_timestamp.is_some());
    world.remove::<Pod>(NAME, "late");
    world.change_any(&held, |object| object["metadata"]["finalizers"] = json!([]));
    world.settle();
    settle_after(&mut world, 5);
    assert!(world.get::<Namespace>("", NAME).is_none());
}

#[test]
fn a_failure_is_said_and_holds_up_nothing_else() {
    let mut world = ending(&["kubernetes"]);
    config_map(&mut world, NAME, "c1", &[]);
    widget(&mut world, "w1");
    delete(&mut world);
    let mark = world.plan(&key()).unwrap();
    assert_eq!(steps(&mark), ["say namespaces"]);
    world.carry_out(&mark);
    let all = ["delete all configmaps", "delete all events", "delete widgets.example.com"];
    assert_eq!(steps(&world.plan(&key()).unwrap()), all);
    let failed = plan_after(&world, Resource::of::<ConfigMap>(), Effect::DeleteAll, "a webhook says no");
    let later = ["say namespaces", "delete all events", "delete widgets.example.com", "delete all configmaps"];
    assert_eq!(steps(&failed), later);
    world.carry_out(&Plan { actions: failed.actions[..1].to_vec(), ..Plan::default() });
    let failure = "NamespaceDeletionContentFailure ContentDeletionFailed: Failed to delete all resource types, 1 remaining: \
                   a webhook says no";
    assert_eq!(troubles(&world), [failure]);
    // It is said once.
    let again = plan_after(&world, Resource::of::<ConfigMap>(), Effect::DeleteAll, "a webhook says no");
    assert_eq!(steps(&again), later[1..]);
    world.settle();
    settle_after(&mut world, 5);
    assert!(world.get::<Namespace>("", NAME).is_none());
}

#[test]
fn a_failure_with_what_cannot_be_seen_is_said_before_it_is_tried_again() {
    let mut world = ending(&["kubernetes"]);
    delete(&mut world);
    world.settle();
    world.pass(SPREADING);
    let failed = plan_after(&world, events(), Effect::DeleteAll, "no events");
    assert_eq!(steps(&failed), ["say namespaces", "delete all events", "confirm events"]);
    // What is not about the content is no failure to delete it.
    let finalize = Effect::Replace { subresource: "finalize", body: json!({}) };
    let other = plan_after(&world, Resource::of::<Namespace>(), finalize, "no finalize");
    assert_eq!(steps(&other), ["say namespaces", "delete all events", "confirm events"]);
    world.carry_out(&other);
    assert!(troubles(&world).is_empty());
}

#[test]
fn pods_that_have_ended_need_no_grace() {
    let check = |phase: &str, expected: u64| {
        let mut world = ending(&["kubernetes"]);
        pod(&mut world, "p1", 60);
        world.change::<Pod>(NAME, "p1", |pod| pod.status.get_or_insert_default().phase = Some(phase.to_owned()));
        delete(&mut world);
        world.settle();
        assert_eq!(world.plan(&key()).unwrap().again, Some(Duration::from_secs(expected)), "{phase}");
    };
    check("Running", 31);
    check("Pending", 31);
    check("Succeeded", 8);
    check("Failed", 8);
}

#[test]
fn conditions_tell_when_they_turned() {
    let mut world = ending(&["kubernetes", "example.com/a"]);
    pod(&mut world, "p1", 60);
    let start = world.now();
    delete(&mut world);
    world.settle();
    let since = |world: &World<Namespaces>, index: usize| {
        let status = world.get::<Namespace>("", NAME).unwrap().status.clone().unwrap();
        let condition = status.conditions.unwrap()[index].clone();
        (condition.status, condition.last_transition_time.unwrap().0.duration_since(start).as_secs())
    };
    settle_after(&mut world, 70);
    let at = ["False", "False", "True", "True", "False"].map(str::to_owned);
    let times = [0, 0, 70, 0, 0];
    let expected: Vec<(String, i64)> = at.into_iter().zip(times).collect();
    assert_eq!((0..5).map(|index| since(&world, index)).collect::<Vec<_>>(), expected);
    world.pass(Duration::from_secs(10));
    world.remove::<Pod>(NAME, "p1");
    world.settle();
    assert_eq!(since(&world, 3), ("False".to_owned(), 80));
}

#[test]
fn nothing_is_done_before_it_is_known_what_is_served() {
    let mut world = ending(&["kubernetes"]);
    let served = world.cache.served();
    world.cache.set_served(Vec::new());
    delete(&mut world);
    world.settle();
    settle_after(&mut world, 60);
    assert!(world.get::<Namespace>("", NAME).is_some());
    world.cache.set_served(served.to_vec());
    settle_after(&mut world, 1);
    assert!(world.get::<Namespace>("", NAME).is_none());
}

#[test]
fn many_resources_are_asked_for_in_one_plan() {
    let mut world = ending(&["kubernetes"]);
    let verbs: Vec<String> = ["list", "watch", "delete", "deletecollection"].map(str::to_owned).into();
    let many = (0..700).map(|n| Resource { plural: format!("kind{n}s"), kind: format!("Kind{n}"), ..widgets() });
    let many: Vec<Served> = many.map(|resource| Served { resource, verbs: verbs.clone() }).collect();
    world.cache.set_served(world.cache.served().iter().cloned().chain(many.clone()).collect());
    delete(&mut world);
    world.settle();
    settle_after(&mut world, 5);
    assert!(world.get::<Namespace>("", NAME).is_some(), "too much cannot be seen");
    many.into_iter().for_each(|served| world.know_metadata(served.resource));
    settle_after(&mut world, 1);
    assert!(world.get::<Namespace>("", NAME).is_none());
}
