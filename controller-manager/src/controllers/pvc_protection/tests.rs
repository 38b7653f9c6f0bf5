//! Claims and who uses them, as tables and as any order of events.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::plan::Deletion;
use crate::testing::{World, check_converges, nobody_else};

type Claims = World<ClaimProtection>;

fn claim(name: &str, finalizers: Value, controller: Option<&str>) -> PersistentVolumeClaim {
    let owner = |uid| json!([{"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": uid, "controller": true}]);
    let metadata = json!({
        "name": name, "namespace": "a", "finalizers": finalizers, "ownerReferences": controller.map(owner),
    });
    serde_json::from_value(json!({"metadata": metadata, "spec": {}})).unwrap()
}

fn pod(name: &str, uid: &str, node: Option<&str>, volumes: &[&str]) -> Pod {
    let volume = |name: &&str| match name.strip_prefix('+') {
        Some(made) => json!({"name": made, "ephemeral": {"volumeClaimTemplate": {"spec": {}}}}),
        None => json!({"name": name, "persistentVolumeClaim": {"claimName": name}}),
    };
    let volumes: Vec<Value> = volumes.iter().map(volume).collect();
    let metadata = json!({"name": name, "namespace": "a", "uid": uid});
    let spec = json!({"containers": [], "nodeName": node, "volumes": volumes});
    serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap()
}

fn add_going(world: &mut Claims, name: &str, controller: Option<&str>) {
    world.add(claim(name, json!([FINALIZER]), controller));
    world.delete::<PersistentVolumeClaim>("a", name);
}

fn names(world: &Claims) -> Vec<String> {
    let claims = world.list::<PersistentVolumeClaim>();
    claims.iter().map(|claim| claim.metadata.name.clone().unwrap_or_default()).collect()
}

fn finalizers(world: &Claims, name: &str) -> Vec<String> {
    let claim = world.get::<PersistentVolumeClaim>("a", name).unwrap();
    claim.metadata.finalizers.clone().unwrap_or_default()
}

fn setup() -> Claims {
    let mut world = World::new(ClaimProtection);
    world.add(pod("web", "uid-web", Some("n1"), &["used", "+scratch"]));
    world.add(pod("later", "uid-later", None, &["waited-for"]));
    world.add(Pod {
        metadata: ObjectMeta { namespace: Some("b".to_owned()), ..pod("other", "uid-b", None, &[]).metadata },
        ..pod("other", "uid-b", Some("n1"), &["elsewhere"])
    });
    for name in ["elsewhere", "free", "used", "waited-for"] {
        add_going(&mut world, name, None);
    }
    add_going(&mut world, "web-scratch", Some("uid-web"));
    add_going(&mut world, "web-used", Some("uid-web"));
    world.add(claim("bare", json!(null), None));
    world.add(claim("foreign", json!(["example.com/a"]), None));
    world.add(claim("held", json!(["example.com/a", FINALIZER, "example.com/b"]), None));
    world.delete::<PersistentVolumeClaim>("a", "held");
    world.add(claim("kept", json!([FINALIZER]), None));
    world
}

#[test]
fn what_a_pod_uses_stays() {
    let mut world = check_converges(setup, nobody_else);
    assert_eq!(names(&world), ["bare", "foreign", "held", "kept", "used", "web-scratch"]);
    assert_eq!(finalizers(&world, "bare"), [FINALIZER]);
    assert_eq!(finalizers(&world, "foreign"), ["example.com/a", FINALIZER]);
    assert_eq!(finalizers(&world, "held"), ["example.com/a", "example.com/b"]);
    assert_eq!(finalizers(&world, "kept"), [FINALIZER]);

    // It ends, and its kubelet is not done with it.
    world.delete::<Pod>("a", "web");
    world.change::<Pod>("a", "web", |pod| pod.status.get_or_insert_default().phase = Some("Succeeded".to_owned()));
    assert!(world.settle().is_empty());
    // Something else holds it, which may wait for its own claim.
    world.change::<Pod>("a", "web", |pod| pod.metadata.finalizers = Some(vec!["example.com/a".to_owned()]));
    world.delete_any(&Key::of::<Pod>("a", "web"), &Deletion { grace_seconds: Some(0), ..Deletion::default() });
    world.settle();
    assert_eq!(names(&world), ["bare", "foreign", "held", "kept", "used"]);
    world.remove::<Pod>("a", "web");
    world.settle();
    assert_eq!(names(&world), ["bare", "foreign", "held", "kept"]);
}

#[test]
fn a_pod_that_took_anothers_name_does_not_use_its_claims() {
    let mut world = World::new(ClaimProtection);
    world.add(pod("web", "uid-1", Some("n1"), &["data"]));
    add_going(&mut world, "data", None);
    world.settle();
    assert_eq!(names(&world), ["data"]);
    // Both are seen as one change.
    world.change::<Pod>("a", "web", |known| *known = pod("web", "uid-2", Some("n1"), &["more"]));
    world.settle();
    assert!(names(&world).is_empty());
}

#[test]
fn a_pod_that_no_cache_shows_keeps_its_claim() {
    let mut world = World::new(ClaimProtection);
    add_going(&mut world, "data", None);
    let key = Key::of::<PersistentVolumeClaim>("a", "data");
    let plan = world.plan(&key).unwrap();
    assert_eq!(plan.actions[0].effect, Effect::ConfirmUnused { controller: String::new() });
    world.add(pod("web", "uid-1", Some("n1"), &["data"]));
    let failure = world.carry_out(&plan).expect("it is used");
    assert_eq!(failure.message, "pods a/web uses it");
    assert_eq!(finalizers(&world, "data"), [FINALIZER]);
}

/// What may happen. Names are numbers.
#[derive(Clone, Debug)]
enum Step {
    Claim(usize),
    DeleteClaim(usize),
    Pod { name: usize, claims: [usize; 2], has_own: bool },
    Bind(usize),
    DeletePod { name: usize, by_force: bool },
    Remove(usize),
    Settle,
    Restart,
}

const MOST: usize = 3;

fn step() -> impl Strategy<Value = Step> {
    let name = 0..MOST;
    prop_oneof![
        name.clone().prop_map(Step::Claim),
        name.clone().prop_map(Step::DeleteClaim),
        (name.clone(), [name.clone(), name.clone()], any::<bool>()).prop_map(|(name, claims, has_own)| Step::Pod {
            name,
            claims,
            has_own
        }),
        name.clone().prop_map(Step::Bind),
        (name.clone(), any::<bool>()).prop_map(|(name, by_force)| Step::DeletePod { name, by_force }),
        name.prop_map(Step::Remove),
        Just(Step::Settle),
        Just(Step::Restart),
    ]
}

/// Does it if it can be done.
fn take(world: &mut Claims, step: &Step, made: usize) {
    let has_pod = |world: &Claims, name: &str| world.get::<Pod>("a", name).is_some();
    let has_claim = |world: &Claims, name: &str| world.get::<PersistentVolumeClaim>("a", name).is_some();
    match step {
        Step::Claim(name) if !has_claim(world, &format!("c{name}")) => {
            world.add(claim(&format!("c{name}"), json!([FINALIZER]), None));
        }
        Step::DeleteClaim(name) if has_claim(world, &format!("c{name}")) => {
            world.delete::<PersistentVolumeClaim>("a", &format!("c{name}"));
        }
        Step::Pod { name, claims, has_own } if !has_pod(world, &format!("p{name}")) => {
            let claims = claims.map(|claim| format!("c{claim}"));
            let mut volumes: Vec<&str> = claims.iter().map(String::as_str).collect();
            let (pod_name, uid, own) = (format!("p{name}"), format!("pod-{made}"), format!("p{name}-own"));
            if *has_own {
                volumes.push("+own");
                if !has_claim(world, &own) {
                    world.add(claim(&own, json!([FINALIZER]), Some(&uid)));
                    world.delete::<PersistentVolumeClaim>("a", &own);
                }
            }
            world.add(pod(&pod_name, &uid, None, &volumes));
        }
        // As the kubelet, which starts nothing whose claim is not there or ends.
        Step::Bind(name) if has_pod(world, &format!("p{name}")) => {
            let bind = |pod: &mut Pod| pod.spec.get_or_insert_default().node_name = Some("n1".to_owned());
            world.change::<Pod>("a", &format!("p{name}"), bind);
        }
        Step::DeletePod { name, by_force } if has_pod(world, &format!("p{name}")) => {
            let deletion = Deletion { grace_seconds: by_force.then_some(0), ..Deletion::default() };
            world.delete_any(&Key::of::<Pod>("a", &format!("p{name}")), &deletion);
        }
        Step::Remove(name) if has_pod(world, &format!("p{name}")) => world.remove::<Pod>("a", &format!("p{name}")),
        Step::Settle => drop(world.settle()),
        Step::Restart => world.restart(),
        _ => {}
    }
}

/// The claims that are used, by another way than the controller's: pod by pod.
fn used(world: &Claims) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    for pod in world.list::<Pod>() {
        let json = serde_json::to_value(&*pod).unwrap();
        let (meta, spec) = (&json["metadata"], &json["spec"]);
        if !spec["nodeName"].is_string() {
            continue;
        }
        let is_forced = meta["deletionTimestamp"].is_string() && meta["deletionGracePeriodSeconds"] == 0;
        for volume in spec["volumes"].as_array().unwrap() {
            if let Some(name) = volume["persistentVolumeClaim"]["claimName"].as_str() {
                used.insert(name.to_owned());
            }
            let own = format!("{}-own", meta["name"].as_str().unwrap());
            let found =
                world.get::<PersistentVolumeClaim>("a", &own).map(|claim| serde_json::to_value(&*claim).unwrap());
            let is_own = found.is_some_and(|claim| claim["metadata"]["ownerReferences"][0]["uid"] == meta["uid"]);
            if volume["ephemeral"].is_object() && is_own && !is_forced {
                used.insert(own);
            }
        }
    }
    used
}

proptest! {
    #[test]
    fn a_claim_goes_if_and_only_if_nobody_uses_it(steps in prop::collection::vec(step(), 0..40)) {
        let mut world: Claims = World::new(ClaimProtection);
        for (made, step) in steps.iter().enumerate() {
            let before = (used(&world), names(&world));
            take(&mut world, step, made);
            if matches!(step, Step::Settle | Step::Restart) {
                for name in before.1.iter().filter(|name| before.0.contains(*name)) {
                    prop_assert!(names(&world).contains(name), "{} is used and gone", name);
                }
            }
        }
        world.settle();
        let used = used(&world);
        for claim in world.list::<PersistentVolumeClaim>() {
            let name = claim.metadata.name.clone().unwrap_or_default();
            prop_assert!(claim.metadata.deletion_timestamp.is_none() || used.contains(&name), "{} stays", name);
            prop_assert_eq!(claim.metadata.finalizers.clone(), Some(vec![FINALIZER.to_owned()]));
        }
    }
}
