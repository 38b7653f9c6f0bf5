//! Whose ReplicaSets are whose, and what happens when one cannot be made.

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use serde_json::json;

use super::super::{Deployments, template};
use super::*;
use crate::plan::{Effect, Fact};
use crate::testing::check_converges;

/// A ReplicaSet that somebody made, of which `change` changes something.
fn stranger(name: &str, image: &str, change: impl FnOnce(&mut Value)) -> ReplicaSet {
    let labels = json!({"app": "web", "pod-template-hash": name});
    let mut set = json!({
        "metadata": {"name": name, "namespace": "shop", "labels": labels},
        "spec": {
            "replicas": 1, "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": image}]},
            },
        },
    });
    change(&mut set);
    serde_json::from_value(set).unwrap()
}

fn owner(world: &Here, name: &str) -> Option<String> {
    let set = world.get::<ReplicaSet>("shop", name).unwrap();
    set.metadata.owner_references.as_ref()?.first().map(|owner| owner.uid.clone())
}

#[test]
fn orphans_are_adopted() {
    let setup = || {
        let mut world = World::new(Deployments);
        world.add(stranger("old", "web:0", |_| {}));
        world.add(stranger("new", "web:1", |_| {}));
        world.add(stranger("other", "web:0", |set| set["metadata"]["labels"]["app"] = json!("shop")));
        world.add(stranger("going", "web:0", |set| {
            set["metadata"]["deletionTimestamp"] = json!("2026-03-01T12:00:00Z");
            set["metadata"]["finalizers"] = json!(["wait"]);
        }));
        world.add(deployment(2, |_| {}));
        world
    };
    let world = check_converges(setup, replica_sets);
    let owners = ["old", "new", "other", "going"].map(|name| owner(&world, name));
    assert_eq!(owners, [Some("uid-web".to_owned()), Some("uid-web".to_owned()), None, None]);
    let new = world.get::<ReplicaSet>("shop", "new").unwrap();
    assert_eq!((new.spec.replicas, annotation(&new, "revision")), (Some(2), Some("1")));
    check_reason(&world, "Progressing", "True", "NewReplicaSetAvailable");

    let (_, plan) = setup().settle().remove(0);
    assert_eq!(plan.actions[0].effect, Effect::Confirm(Fact::Alive));
    assert_eq!(plan.actions.len(), 3);
}

#[test]
fn what_does_not_match_is_released_and_what_does_is_taken_back() {
    let mut world = rolled_out(2, |_| {});
    let name = set_of(&world, "web:1").unwrap().metadata.name.clone().unwrap();
    let relabel = |world: &mut Here, label: &str| {
        world.change::<ReplicaSet>("shop", &name, |set| {
            set.metadata.labels.as_mut().unwrap().insert("app".to_owned(), label.to_owned());
        });
        world.settle_with(&replica_sets);
    };
    world.pass(std::time::Duration::from_secs(1));
    relabel(&mut world, "none");
    assert_eq!(owner(&world, &name), None);
    // Its name is taken now, so that the next one gets another.
    assert_eq!(status(&world).collision_count, Some(1));
    check_sizes(&world, &[("web:1", 2), ("web:1", 2)]);
    relabel(&mut world, "web");
    assert_eq!(owner(&world, &name), Some("uid-web".to_owned()));
    // Of two with the same template the older is the new one.
    assert_eq!(world.get::<ReplicaSet>("shop", &name).unwrap().spec.replicas, Some(2));
    check_sizes(&world, &[("web:1", 0), ("web:1", 2)]);
}

#[test]
fn others_are_left_alone() {
    let foreign = |set: &mut Value| {
        set["metadata"]["ownerReferences"] = json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "uid-else", "controller": true}]);
    };
    let setup = || {
        let mut world = World::new(Deployments);
        let deployment = deployment(2, |_| {});
        let hash = template::hash(&deployment.spec.template, None);
        let name = template::replica_set_name("web", &hash);
        world.add(stranger(&name, "web:1", foreign));
        let name = template::replica_set_name("web", &template::hash(&deployment.spec.template, Some(1)));
        world.add(stranger(&name, "web:1", foreign));
        world.add(deployment);
        world
    };
    let world = check_converges(setup, replica_sets);
    assert_eq!(status(&world).collision_count, Some(2));
    check_sizes(&world, &[("web:1", 1), ("web:1", 1), ("web:1", 2)]);
    assert_eq!(status(&world).replicas, Some(2));
}

#[test]
fn failures_to_create_are_told() {
    let mut world = World::new(Deployments);
    world.refuse_creation::<ReplicaSet>(Some(("Forbidden", "exceeded quota")));
    world.add(deployment(2, |_| {}));
    world.settle();
    let set = template::replica_set_name("web", &template::hash(&web(&world).spec.template, None));
    let message = format!("Failed to create new replica set \"{set}\": exceeded quota");
    assert_eq!(world.events[0], format!("Warning ReplicaSetCreateError Deployment web: {message}"));
    check_reason(&world, "Progressing", "False", "ReplicaSetCreateError");
    assert_eq!(condition(&world, "Progressing").unwrap().message, Some(message));
    world.refuse_creation::<ReplicaSet>(None);
    world.change::<Deployment>("shop", "web", |_| {});
    world.settle();
    check_reason(&world, "Progressing", "True", "NewReplicaSetCreated");
    world.settle_with(&replica_sets);
    check_reason(&world, "Progressing", "True", "NewReplicaSetAvailable");

    let mut world = World::new(Deployments);
    world.refuse_creation_in_ending_namespace::<ReplicaSet>();
    world.add(deployment(2, |_| {}));
    world.settle();
    assert_eq!((world.events.len(), reason(&world, "Progressing")), (0, None));
}

#[test]
fn a_selector_of_everything_is_refused() {
    let setup = || {
        let mut world = World::new(Deployments);
        world.add(deployment(2, |deployment| deployment["spec"]["selector"] = json!({})));
        world
    };
    let world = check_converges(setup, replica_sets);
    let event = "Warning SelectingAll Deployment web: This deployment is selecting all pods. A non-empty selector is \
                 required.";
    assert_eq!(world.events, [event]);
    assert_eq!(status(&world).observed_generation, Some(1));
    assert!(world.list::<ReplicaSet>().is_empty());
    let mut world = World::new(Deployments);
    let invalid = json!({"matchExpressions": [{"key": "app", "operator": "Likes"}]});
    world.add(deployment(2, |deployment| deployment["spec"]["selector"] = invalid));
    assert!(world.settle().is_empty());
}

#[test]
fn one_that_is_being_deleted_has_only_its_status_kept() {
    let mut world = rolled_out(3, |deployment| deployment["metadata"]["finalizers"] = json!(["wait"]));
    world.add(stranger("orphan", "web:0", |_| {}));
    world.delete::<Deployment>("shop", "web");
    change(&mut world, |deployment| deployment.spec.replicas = Some(5));
    set_image(&mut world, "web:2");
    let name = set_of(&world, "web:1").unwrap().metadata.name.clone().unwrap();
    world.change::<ReplicaSet>("shop", &name, |set| set.status.as_mut().unwrap().available_replicas = Some(1));
    world.settle();
    check_sizes(&world, &[("web:0", 1), ("web:1", 3)]);
    assert_eq!(owner(&world, "orphan"), None);
    let status = status(&world);
    assert_eq!((status.available_replicas, status.unavailable_replicas), (Some(1), Some(2)));
    assert_eq!((status.updated_replicas, status.observed_generation), (None, web(&world).metadata.generation));
}
