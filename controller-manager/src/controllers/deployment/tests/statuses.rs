//! What a Deployment's status says, and when.

use std::time::Duration;

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::apps::v1::ReplicaSetCondition;
use serde_json::json;

use super::super::Deployments;
use super::*;
use crate::plan::Effect;

const NOON: &str = "2026-03-01T12:00:00Z";

#[test]
fn counts_and_conditions_follow_the_replica_sets() {
    let mut world = World::new(Deployments);
    world.add(deployment(3, |_| {}));
    world.settle();
    let name = set_of(&world, "web:1").unwrap().metadata.name.clone().unwrap();
    let progressing = |reason: &str, message: &str, updated: &str| {
        json!({
            "type": "Progressing", "status": "True", "reason": reason, "message": message,
            "lastTransitionTime": NOON, "lastUpdateTime": updated,
        })
    };
    let available = |status: &str, reason: &str, message: &str, since: &str| {
        json!({
            "type": "Available", "status": status, "reason": reason, "message": message,
            "lastTransitionTime": since, "lastUpdateTime": since,
        })
    };
    let lacks =
        available("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.", NOON);
    let created = progressing("NewReplicaSetCreated", &format!("Created new replica set \"{name}\""), NOON);
    let expected = json!({
        "observedGeneration": 1, "unavailableReplicas": 3, "terminatingReplicas": 0, "conditions": [created, lacks],
    });
    assert_eq!(json!(status(&world)), expected);

    world.pass(Duration::from_secs(60));
    report(&mut world, "web:1", (3, 2, 1));
    let later = "2026-03-01T12:01:00Z";
    let message = format!("ReplicaSet \"{name}\" is progressing.");
    let expected = json!({
        "observedGeneration": 1, "replicas": 3, "updatedReplicas": 3, "readyReplicas": 2, "availableReplicas": 1,
        "unavailableReplicas": 2, "terminatingReplicas": 0,
        "conditions": [lacks, progressing("ReplicaSetUpdated", &message, later)],
    });
    assert_eq!(json!(status(&world)), expected);

    report(&mut world, "web:1", (3, 3, 3));
    let has = available("True", "MinimumReplicasAvailable", "Deployment has minimum availability.", later);
    let message = format!("ReplicaSet \"{name}\" has successfully progressed.");
    let expected = json!({
        "observedGeneration": 1, "replicas": 3, "updatedReplicas": 3, "readyReplicas": 3, "availableReplicas": 3,
        "terminatingReplicas": 0, "conditions": [has, progressing("NewReplicaSetAvailable", &message, later)],
    });
    assert_eq!(json!(status(&world)), expected);
    // What is complete stays so, whatever becomes of its pods.
    report(&mut world, "web:1", (3, 1, 1));
    check_reason(&world, "Progressing", "True", "NewReplicaSetAvailable");
    check_reason(&world, "Available", "False", "MinimumReplicasUnavailable");
    assert_eq!(world.plan(&key()).unwrap().again, None);
}

#[test]
fn a_rollout_without_progress_is_reported() {
    let mut world = rolled_out(3, |_| {});
    set_image(&mut world, "web:bad");
    world.settle_with(&replica_sets);
    check_reason(&world, "Progressing", "True", "ReplicaSetUpdated");
    assert_eq!(world.plan(&key()).unwrap().again, Some(Duration::from_secs(601)));
    world.pass(Duration::from_secs(600));
    world.settle();
    check_reason(&world, "Progressing", "True", "ReplicaSetUpdated");
    world.pass(Duration::from_secs(1));
    world.settle();
    check_reason(&world, "Progressing", "False", "ProgressDeadlineExceeded");
    let name = set_of(&world, "web:bad").unwrap().metadata.name.clone().unwrap();
    let message = format!("ReplicaSet \"{name}\" has timed out progressing.");
    assert_eq!(condition(&world, "Progressing").unwrap().message, Some(message));
    assert_eq!(world.plan(&key()).unwrap().again, None);
    // A pause does not hide that, and progress does.
    change(&mut world, |deployment| deployment.spec.paused = Some(true));
    world.settle();
    check_reason(&world, "Progressing", "False", "ProgressDeadlineExceeded");
    change(&mut world, |deployment| deployment.spec.paused = None);
    report(&mut world, "web:bad", (1, 1, 0));
    check_reason(&world, "Progressing", "True", "ReplicaSetUpdated");
    // Without a deadline nothing is said.
    change(&mut world, |deployment| deployment.spec.progress_deadline_seconds = Some(i32::MAX));
    world.settle();
    assert_eq!(reason(&world, "Progressing"), None);
}

#[test]
fn a_known_replica_set_begins_the_measuring() {
    let mut world = rolled_out(3, |deployment| deployment["spec"]["progressDeadlineSeconds"] = json!(null));
    assert_eq!(reason(&world, "Progressing"), None);
    report(&mut world, "web:1", (3, 2, 2));
    change(&mut world, |deployment| deployment.spec.progress_deadline_seconds = Some(60));
    world.settle();
    check_reason(&world, "Progressing", "True", "FoundNewReplicaSet");
}

#[test]
fn failures_of_replica_sets_are_passed_on() {
    let mut world = rolled_out(3, |_| {});
    set_image(&mut world, "web:bad");
    world.settle_with(&replica_sets);
    let fail = |world: &mut Here, image: &str, message: Option<&str>| {
        let set = set_of(world, image).unwrap();
        world.change::<ReplicaSet>("shop", set.metadata.name.as_deref().unwrap(), |set| {
            let condition = |message: &str| ReplicaSetCondition {
                type_: Some("ReplicaFailure".to_owned()),
                status: Some("True".to_owned()),
                reason: Some("FailedCreate".to_owned()),
                message: Some(message.to_owned()),
                ..ReplicaSetCondition::default()
            };
            set.status.as_mut().unwrap().conditions = message.map(|message| vec![condition(message)]);
        });
        world.settle();
    };
    let message = |world: &Here| condition(world, "ReplicaFailure").and_then(|condition| condition.message);
    fail(&mut world, "web:1", Some("old"));
    check_reason(&world, "ReplicaFailure", "True", "FailedCreate");
    assert_eq!(message(&world), Some("old".to_owned()));
    fail(&mut world, "web:1", None);
    assert_eq!(message(&world), None);
    fail(&mut world, "web:bad", Some("new"));
    fail(&mut world, "web:1", Some("old"));
    assert_eq!(message(&world), Some("new".to_owned()));
}

#[test]
fn pods_on_their_way_out_are_counted_if_all_say_so() {
    let mut world = rolled_out(3, |_| {});
    set_image(&mut world, "web:bad");
    world.settle_with(&replica_sets);
    let mut terminating = |image: &str, count: Option<i32>| {
        let set = set_of(&world, image).unwrap();
        world.change::<ReplicaSet>("shop", set.metadata.name.as_deref().unwrap(), |set| {
            set.status.as_mut().unwrap().terminating_replicas = count;
        });
        world.settle();
        status(&world).terminating_replicas
    };
    assert_eq!(terminating("web:1", Some(2)), Some(2));
    assert_eq!(terminating("web:bad", Some(1)), Some(3));
    assert_eq!(terminating("web:1", None), None);
}

#[test]
fn what_changes_of_the_counts_is_all_that_is_written() {
    let mut world = rolled_out(3, |_| {});
    let set = set_of(&world, "web:1").unwrap();
    world.change::<ReplicaSet>("shop", set.metadata.name.as_deref().unwrap(), |set| {
        set.status.as_mut().unwrap().ready_replicas = Some(2);
    });
    let plan = world.plan(&key()).unwrap();
    let version = web(&world).metadata.resource_version.clone().unwrap();
    let body = json!({"status": {"readyReplicas": 2}});
    assert_eq!(plan.actions.len(), 1);
    assert_eq!(plan.actions[0].effect, Effect::Patch { subresource: Some("status"), version, body });
}

#[test]
fn annotations_and_waiting_times_are_handed_on() {
    let mut world = rolled_out(3, |_| {});
    annotate(&mut world, "team", "b");
    change(&mut world, |deployment| deployment.spec.min_ready_seconds = Some(7));
    world.settle();
    let set = set_of(&world, "web:1").unwrap();
    assert_eq!(set.metadata.annotations.as_ref().unwrap()["team"], "b");
    assert_eq!(set.spec.min_ready_seconds, Some(7));
    assert_eq!(annotation(&set, "revision"), Some("1"));
    assert!(world.events.is_empty());
}
