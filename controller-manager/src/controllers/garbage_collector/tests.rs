//! What becomes of graphs of objects, written as text.
//!
//! `c-web: !n-one, ~c-old` is the object `c-web` with two owners. The first letter is the kind and the namespace: `c` and `d`
//! are ConfigMaps in two namespaces, `w` is of a kind that is not built in, `n` and `m` are in no namespace, and `u` is of a
//! kind that is not served. A reference with `!` blocks the deletion of its owner, and one with `~` has another uid than its
//! owner. `+hold` behind an object's name is a finalizer; `(going)` says that it is being deleted.

use client::cache::Served;
use serde_json::{Value, json};

use super::*;
use crate::plan::{Deletion, Effect, MOST_ACTIONS, Propagation};
use crate::testing::{World, check_converges, nobody_else};

/// The kinds of the objects.
fn kind(letter: char) -> Resource {
    let (group, plural, kind, namespaced) = match letter {
        'c' | 'd' => ("", "configmaps", "ConfigMap", true),
        'w' => ("example.com", "widgets", "Widget", true),
        'n' => ("", "nodes", "Node", false),
        'm' => ("example.com", "machines", "Machine", false),
        'u' => ("example.com", "unheardofs", "Unheardof", true),
        'e' => ("", "events", "Event", true),
        other => panic!("{other} is no kind"),
    };
    let (group, version, plural, kind) = (group.to_owned(), "v1".to_owned(), plural.to_owned(), kind.to_owned());
    Resource { group, version, plural, kind, namespaced }
}

fn letter(name: &str) -> char {
    name.chars().next().unwrap()
}

fn namespace(name: &str) -> &'static str {
    match letter(name) {
        'n' | 'm' => "",
        'd' => "two",
        _ => "one",
    }
}

pub(super) fn key(name: &str) -> Key {
    Key { resource: kind(letter(name)).name(), namespace: namespace(name).into(), name: name.into() }
}

/// A reference, of its text.
fn reference(text: &str) -> Value {
    let name = text.trim_start_matches(['!', '~']);
    let uid = if text.contains('~') { format!("other-{name}") } else { format!("uid-{name}") };
    let resource = kind(letter(name));
    let mut reference = json!({"apiVersion": resource.api_version(), "kind": resource.kind, "name": name, "uid": uid});
    if text.contains('!') {
        reference["blockOwnerDeletion"] = json!(true);
    }
    reference
}

/// An object, of its text.
fn object(text: &str) -> Value {
    let (name, owners) = text.split_once(':').unwrap_or((text, ""));
    let (name, finalizer) = name.split_once('+').unwrap_or((name, ""));
    let owners: Vec<Value> = owners.split(',').map(str::trim).filter(|it| !it.is_empty()).map(reference).collect();
    let mut meta = json!({"name": name, "namespace": namespace(name), "uid": format!("uid-{name}")});
    if namespace(name).is_empty() {
        meta.as_object_mut().unwrap().remove("namespace");
    }
    if !owners.is_empty() {
        meta["ownerReferences"] = json!(owners);
    }
    if !finalizer.is_empty() {
        meta["finalizers"] = json!([finalizer]);
    }
    json!({"metadata": meta})
}

/// The text of an object.
fn text(object: &Value) -> String {
    let meta = &object["metadata"];
    let mut text = meta["name"].as_str().unwrap().to_owned();
    for finalizer in meta["finalizers"].as_array().into_iter().flatten() {
        text += &format!("+{}", finalizer.as_str().unwrap());
    }
    if !meta["deletionTimestamp"].is_null() {
        text += " (going)";
    }
    let refer = |reference: &Value| {
        let name = reference["name"].as_str().unwrap();
        let block = if reference["blockOwnerDeletion"] == json!(true) { "!" } else { "" };
        let other = if reference["uid"] == json!(format!("uid-{name}")) { "" } else { "~" };
        format!("{block}{other}{name}")
    };
    let owners: Vec<String> = meta["ownerReferences"].as_array().into_iter().flatten().map(refer).collect();
    if owners.is_empty() { text } else { format!("{text}: {}", owners.join(", ")) }
}

/// A world of these kinds.
pub(super) fn nothing<C: Controller>(controller: C) -> World<C> {
    let mut world = World::new(controller);
    let verbs: Vec<String> = ["delete", "list", "patch", "watch"].map(str::to_owned).into();
    let served = ['c', 'e', 'm', 'n', 'w'].map(|letter| Served { resource: kind(letter), verbs: verbs.clone() });
    world.cache.set_served(served.clone().into());
    for served in served {
        world.know_metadata(served.resource);
    }
    world
}

pub(super) fn add<C: Controller>(world: &mut World<C>, text: &str) {
    world.add_any(&kind(letter(text)), object(text));
}

/// Deletes, of `c-web foreground` and the like; in the background if nothing is said.
pub(super) fn delete<C: Controller>(world: &mut World<C>, text: &str) {
    let (name, how) = text.split_once(' ').unwrap_or((text, "background"));
    let propagation = match how {
        "foreground" => Propagation::Foreground,
        "orphan" => Propagation::Orphan,
        _ => Propagation::Background,
    };
    if world.json(&key(name)).is_some() {
        world.delete_any(&key(name), &Deletion { propagation: Some(propagation), ..Deletion::default() });
    }
}

/// Has an object be owned by another, in addition.
pub(super) fn adopt<C: Controller>(world: &mut World<C>, name: &str, owner: &str) {
    world.change_any(&key(name), |object| {
        let mut owners = object["metadata"]["ownerReferences"].as_array().cloned().unwrap_or_default();
        owners.push(reference(owner));
        object["metadata"]["ownerReferences"] = json!(owners);
    });
}

/// The texts of all objects.
pub(super) fn texts<C: Controller>(world: &World<C>) -> Vec<String> {
    let names = ['c', 'e', 'm', 'n', 'w'].map(|letter| kind(letter).name());
    let objects = names.iter().flat_map(|name| world.cache.list_any(name, None).into_iter().map(move |it| (name, it)));
    let keys = objects.map(|(name, object)| Key::in_resource(name, object.meta()));
    let mut texts: Vec<String> = keys.map(|key| text(world.json(&key).unwrap())).collect();
    texts.sort();
    texts
}

/// Checks what there is at rest after these objects were made and those deleted.
#[track_caller]
fn check(objects: &[&str], deletions: &[&str], expected: &[&str]) -> World<GarbageCollector> {
    let setup = || {
        let mut world = nothing(GarbageCollector);
        objects.iter().for_each(|text| add(&mut world, text));
        deletions.iter().for_each(|text| delete(&mut world, text));
        world
    };
    let world = check_converges(setup, nobody_else);
    assert_eq!(texts(&world), expected, "{objects:?} without {deletions:?}");
    world
}

#[test]
fn objects_go_after_their_owners() {
    check(&["c-a", "c-b: c-a", "c-c: c-b"], &[], &["c-a", "c-b: c-a", "c-c: c-b"]);
    check(&["c-a", "c-b: c-a", "c-c: c-b"], &["c-a"], &[]);
    check(&["n-a", "c-b: n-a", "d-b: n-a", "w-b: n-a", "m-b: n-a"], &["n-a"], &[]);
    check(&["c-b: c-never"], &[], &[]);
    check(&["c-a", "c-b: ~c-a"], &[], &["c-a"]);
    check(&["c-a", "c-b", "c-c: c-a, c-b"], &["c-a"], &["c-b", "c-c: c-b"]);
    check(&["c-a", "c-b: c-never, c-a, ~c-a"], &[], &["c-a", "c-b: c-a"]);
    // What holds an owner otherwise, holds its dependents.
    check(&["c-a+hold", "c-b: c-a"], &["c-a"], &["c-a+hold (going)", "c-b: c-a"]);
    check(&["c-a", "c-b+hold: c-a", "c-c: c-b"], &["c-a"], &["c-b+hold (going): c-a", "c-c: c-b"]);
    // Circles stay, also without what began them, but do not hold others.
    check(&["c-a: c-b", "c-b: c-a"], &[], &["c-a: c-b", "c-b: c-a"]);
    check(&["c-a: c-b", "c-b: c-a"], &["c-a"], &[]);
    check(&["c-a: c-a"], &[], &["c-a: c-a"]);
}

#[test]
fn deletion_goes_on_as_finalizers_ask() {
    check(&["c-a", "c-b+orphan: c-a", "c-c: c-b"], &["c-a"], &["c-c"]);
    let all = ["c-a", "c-b+foregroundDeletion: c-a", "c-c+hold: !c-b"];
    let left = ["c-b+foregroundDeletion (going): c-a", "c-c+hold (going): !c-b"];
    check(&all, &["c-a"], &left);
}

#[test]
fn orphans_stay() {
    check(&["c-a", "c-b: c-a", "d-b: c-a"], &["c-a orphan"], &["c-b", "d-b"]);
    check(&["c-a", "c-b", "c-c: !c-a, c-b"], &["c-a orphan"], &["c-b", "c-c: c-b"]);
    check(&["c-a+hold", "c-b: c-a"], &["c-a orphan"], &["c-a+hold (going)", "c-b"]);
    check(&["c-a: c-a"], &["c-a orphan"], &[]);
}

#[test]
fn owners_wait_for_the_dependents_that_block_them() {
    check(&["c-a", "c-b: !c-a", "c-c: !c-b", "w-c: c-b"], &["c-a foreground"], &[]);
    let left = ["c-a+foregroundDeletion (going)", "c-b+hold (going): !c-a"];
    check(&["c-a", "c-b+hold: !c-a"], &["c-a foreground"], &left);
    check(&["c-a", "c-b+hold: c-a"], &["c-a foreground"], &["c-b+hold (going): c-a"]);
    // Another owner keeps the dependent, and then it no longer blocks.
    check(&["c-a", "c-b", "c-c: !c-a, !c-b"], &["c-a foreground"], &["c-b", "c-c: !c-b"]);
    // The dependent's own dependents go first.
    let left = ["c-a+foregroundDeletion (going)", "c-b+foregroundDeletion (going): !c-a", "c-c+hold (going): !c-b"];
    check(&["c-a", "c-b: !c-a", "c-c+hold: !c-b"], &["c-a foreground"], &left);
}

#[test]
fn circles_do_not_wait_for_themselves() {
    check(&["c-a: !c-b", "c-b: !c-a"], &["c-a foreground"], &[]);
    check(&["c-a: !c-b", "c-b: !c-a"], &["c-a foreground", "c-b foreground"], &[]);
    check(&["c-a: !c-a"], &["c-a foreground"], &[]);
    let all = ["c-a: !c-c", "c-b: !c-a", "c-c: !c-b", "c-d: !c-b", "c-e: !c-d"];
    let each = ["c-a foreground", "c-b foreground", "c-c foreground", "c-d foreground", "c-e foreground"];
    check(&all, &["c-a foreground"], &[]);
    check(&all, &each, &[]);
    // Who leads to a circle waits for it, and a circle waits for what hangs on it.
    check(&["c-a", "c-b: !c-a, !c-c", "c-c: !c-b"], &["c-a foreground", "c-b foreground", "c-c foreground"], &[]);
    let mut world = nothing(GarbageCollector);
    ["c-a", "c-b: !c-a, !c-c", "c-c: !c-b"].iter().for_each(|text| add(&mut world, text));
    ["c-a", "c-b", "c-c"].iter().for_each(|name| delete(&mut world, &format!("{name} foreground")));
    assert!(world.plan(&key("c-a")).is_none() && world.plan(&key("c-b")).is_some());
    let left = ["c-a+foregroundDeletion (going): !c-a", "c-b+hold (going): !c-a"];
    check(&["c-a: !c-a", "c-b+hold: !c-a"], &["c-a foreground"], &left);
}

#[test]
fn owners_are_looked_for_in_the_namespace_of_the_dependent() {
    let world = check(&["d-a", "c-b: d-a"], &[], &["d-a"]);
    let message =
        r#"ownerRef [v1/ConfigMap, namespace: one, name: d-a, uid: uid-d-a] does not exist in namespace "one""#;
    assert_eq!(world.events, [format!("Warning OwnerRefInvalidNamespace ConfigMap c-b: {message}")]);
    let world = check(&["d-a", "c-a", "c-b: d-a, c-a"], &[], &["c-a", "c-b: c-a", "d-a"]);
    assert_eq!(world.events.len(), 1);
    // An object of no namespace cannot have an owner that is in one, and stays for ever.
    let mut world = check(&["c-a", "n-b: c-a, n-never"], &[], &["c-a", "n-b: c-a, n-never"]);
    let message = r#"ownerRef [v1/ConfigMap, namespace: , name: c-a, uid: uid-c-a] does not exist in namespace """#;
    assert_eq!(*world.events.last().unwrap(), format!("Warning OwnerRefInvalidNamespace Node n-b: {message}"));
    delete(&mut world, "c-a");
    world.settle();
    assert_eq!(texts(&world), ["n-b: c-a, n-never"]);
    check(&["n-b: c-never"], &[], &["n-b: c-never"]);
}

#[test]
fn what_cannot_be_known_stays() {
    let world = check(&["c-a", "c-b: u-a", "c-c: c-never, u-a"], &[], &["c-a", "c-b: u-a", "c-c: c-never, u-a"]);
    assert_eq!(world.plan(&key("c-b")).unwrap().again, Some(DISCOVERY));
    check(&["e-a: c-never", "c-a: e-a"], &[], &["c-a: e-a", "e-a: c-never"]);
    // A kind of which no list has come yet.
    let mut world = nothing(GarbageCollector);
    let verbs = ["delete", "list", "watch"].map(str::to_owned).into();
    let served = world.cache.served().iter().cloned().chain([Served { resource: kind('u'), verbs }]).collect();
    world.cache.set_served(served);
    ["c-b: u-a", "c-f", "c-o"].iter().for_each(|text| add(&mut world, text));
    ["c-f foreground", "c-o orphan"].iter().for_each(|text| delete(&mut world, text));
    world.settle();
    assert_eq!(texts(&world), ["c-b: u-a", "c-f+foregroundDeletion (going)", "c-o+orphan (going)"]);
    assert_eq!(world.plan(&key("c-b")).unwrap().again, Some(SOON));
    world.pass(SOON);
    world.know_metadata(kind('u'));
    world.settle();
    assert!(texts(&world).is_empty());
}

#[test]
fn nothing_is_judged_before_it_is_known_what_is_served() {
    let mut world = nothing(GarbageCollector);
    world.cache.set_served(Vec::new());
    add(&mut world, "c-a: c-never");
    world.settle();
    assert_eq!(texts(&world), ["c-a: c-never"]);
    let again = nothing(GarbageCollector).cache.served();
    world.cache.set_served(again.to_vec());
    world.pass(SOON);
    world.settle();
    assert!(texts(&world).is_empty());
}

#[test]
fn what_comes_late_is_judged_too() {
    let mut world = check(&["c-a", "c-b: c-a"], &["c-a"], &[]);
    add(&mut world, "c-c: c-a");
    world.settle();
    assert!(texts(&world).is_empty());
    add(&mut world, "c-d");
    world.settle();
    adopt(&mut world, "c-d", "c-a");
    world.settle();
    assert!(texts(&world).is_empty());
    // A new dependent of an owner that waits goes, too.
    add(&mut world, "c-a");
    add(&mut world, "c-b+hold: !c-a");
    delete(&mut world, "c-a foreground");
    world.settle();
    add(&mut world, "c-c: !c-a");
    world.settle();
    assert_eq!(texts(&world), ["c-a+foregroundDeletion (going)", "c-b+hold (going): !c-a"]);
    world.change_any(&key("c-b"), |it| it["metadata"]["ownerReferences"][0]["blockOwnerDeletion"] = json!(false));
    world.settle();
    assert_eq!(texts(&world), ["c-b+hold (going): !c-a".replace('!', "")]);
}

#[test]
fn a_decision_that_came_too_late_does_no_harm() {
    let check = |change: fn(&mut World<GarbageCollector>), expected: &[&str]| {
        let mut world = nothing(GarbageCollector);
        ["c-a", "c-c", "c-b: c-a"].iter().for_each(|text| add(&mut world, text));
        world.settle();
        delete(&mut world, "c-a");
        let late = world.plan(&key("c-b")).unwrap();
        assert!(matches!(late.actions[0].effect, Effect::Confirm(_)), "{late:?}");
        change(&mut world);
        assert!(world.carry_out(&late).is_some());
        assert_eq!(texts(&world), expected);
    };
    // Somebody else adopted it.
    check(|world| adopt(world, "c-b", "c-c"), &["c-b: c-a, c-c", "c-c"]);
    // The owner is there after all.
    check(|world| add(world, "c-a"), &["c-a", "c-b: c-a", "c-c"]);
    // It is another object by now.
    let replace = |world: &mut World<_>| {
        delete(world, "c-b");
        let mut other = object("c-b: c-a");
        other["metadata"]["uid"] = json!("another");
        world.add_any(&kind('c'), other);
    };
    check(replace, &["c-b: c-a", "c-c"]);
}

#[test]
fn much_is_done_in_parts() {
    let many: Vec<String> = (0..2 * MOST_ACTIONS).map(|n| format!("~c-{n}")).collect();
    let mut world = nothing(GarbageCollector);
    add(&mut world, "c-a");
    add(&mut world, &format!("c-b: c-a, {}", many.join(", ")));
    add(&mut world, &format!("c-c: {}", many.join(", ")));
    for n in 0..MOST_ACTIONS {
        add(&mut world, &format!("d-{n}: !c-o"));
        add(&mut world, &format!("c-{n}: !c-o"));
    }
    add(&mut world, "c-o");
    delete(&mut world, "c-o orphan");
    let deletes = |plan: &Plan| plan.actions.iter().any(|action| matches!(action.effect, Effect::Delete(_)));
    assert!(!deletes(&world.plan(&key("c-c")).unwrap()), "not all owners are confirmed to be absent");
    world.settle();
    let texts = texts(&world);
    assert_eq!(texts.len(), 2 + 2 * MOST_ACTIONS);
    assert!(texts.contains(&"c-b: c-a".to_owned()) && texts.contains(&"d-7".to_owned()), "{texts:?}");
}
