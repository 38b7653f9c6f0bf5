//! Rollouts: of first templates, of others, of former ones; with both strategies; paused, scaled and stuck.

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;

use super::super::Deployments;
use super::*;
use crate::plan::MOST_ACTIONS;
use crate::testing::check_converges;

#[test]
fn the_first_rollout() {
    let setup = || {
        let mut world = World::new(Deployments);
        world.add(deployment(3, |deployment| {
            deployment["metadata"]["annotations"] = json!({
                "team": "a", "kubectl.kubernetes.io/last-applied-configuration": "{}",
            });
            deployment["spec"]["minReadySeconds"] = json!(5);
        }));
        world
    };
    let mut world = check_converges(setup, replica_sets);
    check_sizes(&world, &[("web:1", 3)]);
    let set = set_of(&world, "web:1").unwrap();
    let hash = &set.metadata.labels.as_ref().unwrap()["pod-template-hash"];
    let labels = json!({"app": "web", "pod-template-hash": hash});
    assert_eq!(set.metadata.name, Some(format!("web-{hash}")));
    assert_eq!(json!(set.metadata.labels), labels);
    assert_eq!(json!(set.spec.selector.match_labels), labels);
    assert_eq!(json!(set.spec.template.as_ref().unwrap().metadata), json!({"labels": labels}));
    assert_eq!(set.spec.min_ready_seconds, Some(5));
    let annotations = json!({
        "team": "a", "deployment.kubernetes.io/revision": "1",
        "deployment.kubernetes.io/desired-replicas": "3", "deployment.kubernetes.io/max-replicas": "4",
    });
    assert_eq!(json!(set.metadata.annotations), annotations);
    let owner = json!([{
        "apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "uid-web",
        "controller": true, "blockOwnerDeletion": true,
    }]);
    assert_eq!(json!(set.metadata.owner_references), owner);
    assert_eq!(
        events(&mut world),
        ["Normal ScalingReplicaSet Deployment web: Scaled up replica set web:1 from 0 to 3"]
    );
}

#[test]
fn a_rolling_update_keeps_its_budget() {
    let setup = || {
        let mut world = rolled_out(10, |_| {});
        set_image(&mut world, "web:2");
        world
    };
    let world = check_converges(setup, replica_sets);
    check_sizes(&world, &[("web:1", 0), ("web:2", 10)]);
    let mut world = setup();
    world.settle();
    check_sizes(&world, &[("web:1", 8), ("web:2", 5)]);
    world.settle_with(&replica_sets);
    let scaled = |way: &str, image: &str, from: i32, to: i32| {
        format!("Normal ScalingReplicaSet Deployment web: Scaled {way} replica set {image} from {from} to {to}")
    };
    let expected = [
        scaled("up", "web:2", 0, 3),
        scaled("down", "web:1", 10, 8),
        scaled("up", "web:2", 3, 5),
        scaled("down", "web:1", 8, 3),
        scaled("up", "web:2", 5, 10),
        scaled("down", "web:1", 3, 0),
    ];
    assert_eq!(events(&mut world), expected);
    let revision = &web(&world).metadata.annotations.clone().unwrap()["deployment.kubernetes.io/revision"];
    assert_eq!(revision, "2");
}

#[test]
fn a_former_template_gets_its_replica_set_back() {
    let setup = || {
        let mut world = rolled_out(3, |_| {});
        set_image(&mut world, "web:2");
        world.settle_with(&replica_sets);
        set_image(&mut world, "web:1");
        world
    };
    let mut world = check_converges(setup, replica_sets);
    check_sizes(&world, &[("web:1", 3), ("web:2", 0)]);
    let check = |world: &Here, image: &str, revision: &str, history: Option<&str>| {
        let set = set_of(world, image).unwrap();
        assert_eq!((annotation(&set, "revision"), annotation(&set, "revision-history")), (Some(revision), history));
    };
    check(&world, "web:1", "3", Some("1"));
    check(&world, "web:2", "2", None);
    assert_eq!(web(&world).metadata.annotations.as_ref().unwrap()["deployment.kubernetes.io/revision"], "3");
    set_image(&mut world, "web:2");
    world.settle_with(&replica_sets);
    check(&world, "web:2", "4", Some("2"));
    set_image(&mut world, "web:1");
    world.settle_with(&replica_sets);
    check(&world, "web:1", "5", Some("1,3"));
}

#[test]
fn unhealthy_pods_go_first() {
    let mut world = rolled_out(10, |_| {});
    set_image(&mut world, "web:bad");
    world.settle_with(&replica_sets);
    check_sizes(&world, &[("web:1", 8), ("web:bad", 5)]);
    // A third template: what was bad goes as far as all could have gone well.
    set_image(&mut world, "web:3");
    world.settle();
    check_sizes(&world, &[("web:1", 8), ("web:3", 5), ("web:bad", 0)]);
    world.settle_with(&replica_sets);
    check_sizes(&world, &[("web:1", 0), ("web:3", 10), ("web:bad", 0)]);
}

#[test]
fn recreation_waits_until_old_pods_are_gone() {
    let mut world = rolled_out(2, recreate);
    let set = set_of(&world, "web:1").unwrap();
    let owner = json!([{
        "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": set.metadata.name, "uid": set.metadata.uid,
        "controller": true,
    }]);
    for name in ["a", "b", "c"] {
        let phase = if name == "c" { "Succeeded" } else { "Running" };
        let pod = json!({
            "metadata": {"name": name, "namespace": "shop", "ownerReferences": owner},
            "spec": {"containers": [], "nodeName": "n1"}, "status": {"phase": phase},
        });
        world.add(serde_json::from_value::<Pod>(pod).unwrap());
    }
    set_image(&mut world, "web:2");
    world.settle_with(&replica_sets);
    check_sizes(&world, &[("web:1", 0)]);
    check_reason(&world, "Available", "False", "MinimumReplicasUnavailable");
    world.remove::<Pod>("shop", "a");
    world.settle_with(&replica_sets);
    check_sizes(&world, &[("web:1", 0)]);
    world.change::<Pod>("shop", "b", |pod| pod.status.as_mut().unwrap().phase = Some("Failed".to_owned()));
    world.settle_with(&replica_sets);
    check_sizes(&world, &[("web:1", 0), ("web:2", 2)]);
    check_reason(&world, "Progressing", "True", "NewReplicaSetAvailable");
    let expected = [
        "Normal ScalingReplicaSet Deployment web: Scaled down replica set web:1 from 2 to 0",
        "Normal ScalingReplicaSet Deployment web: Scaled up replica set web:2 from 0 to 2",
    ];
    assert_eq!(events(&mut world), expected);
}

#[test]
fn recreation_converges() {
    let setup = || {
        let mut world = rolled_out(2, recreate);
        set_image(&mut world, "web:2");
        world
    };
    check_sizes(&check_converges(setup, replica_sets), &[("web:1", 0), ("web:2", 2)]);
    // Neither are the ReplicaSets of an interrupted rolling update scaled together.
    let setup = || {
        let mut world = rolled_out(10, |_| {});
        set_image(&mut world, "web:2");
        world.settle();
        change(&mut world, |deployment| {
            deployment.spec.strategy.as_mut().unwrap().type_ = Some("Recreate".to_owned());
            deployment.spec.replicas = Some(12);
        });
        world
    };
    check_sizes(&check_converges(setup, replica_sets), &[("web:1", 0), ("web:2", 12)]);
}

#[test]
fn a_paused_deployment_is_scaled_and_not_rolled_out() {
    let mut world = rolled_out(4, |_| {});
    change(&mut world, |deployment| deployment.spec.paused = Some(true));
    set_image(&mut world, "web:2");
    world.settle_with(&replica_sets);
    check_reason(&world, "Progressing", "Unknown", "DeploymentPaused");
    check_sizes(&world, &[("web:1", 4)]);
    set_replicas(&mut world, 6);
    world.settle_with(&replica_sets);
    check_sizes(&world, &[("web:1", 6)]);
    assert_eq!((status(&world).available_replicas, status(&world).updated_replicas), (Some(6), None));
    change(&mut world, |deployment| deployment.spec.paused = None);
    world.settle();
    check_sizes(&world, &[("web:1", 5), ("web:2", 3)]);
    check_reason(&world, "Progressing", "True", "NewReplicaSetCreated");
    world.settle_with(&replica_sets);
    check_sizes(&world, &[("web:1", 0), ("web:2", 6)]);
    // Nothing is resumed but what it says.
    change(&mut world, |deployment| deployment.spec.paused = Some(true));
    world.settle();
    change(&mut world, |deployment| deployment.spec.paused = None);
    world.settle();
    check_reason(&world, "Progressing", "True", "NewReplicaSetAvailable");
}

#[test]
fn a_paused_rollout_takes_all_the_room_there_is() {
    let setup = || {
        let mut world = rolled_out(4, |_| {});
        set_image(&mut world, "web:bad");
        change(&mut world, |deployment| deployment.spec.paused = Some(true));
        world.settle_with(&replica_sets);
        change(&mut world, |deployment| deployment.spec.paused = None);
        world.settle();
        check_sizes(&world, &[("web:1", 3), ("web:bad", 2)]);
        change(&mut world, |deployment| {
            deployment.spec.paused = Some(true);
            deployment.spec.replicas = Some(8);
        });
        world
    };
    let mut world = check_converges(setup, replica_sets);
    check_sizes(&world, &[("web:1", 6), ("web:bad", 4)]);
    // When the new one has all its pods, no old ones stay.
    let set = set_of(&world, "web:bad").unwrap();
    world.change::<ReplicaSet>("shop", set.metadata.name.as_deref().unwrap(), |set| {
        set.spec.replicas = Some(8);
        set.status.as_mut().unwrap().available_replicas = Some(8);
        set.metadata.generation = Some(100);
    });
    world.settle();
    check_sizes(&world, &[("web:1", 6), ("web:bad", 8)]);
    world.change::<ReplicaSet>("shop", set.metadata.name.as_deref().unwrap(), |set| {
        set.status.as_mut().unwrap().observed_generation = Some(100);
    });
    world.settle();
    check_sizes(&world, &[("web:1", 0), ("web:bad", 8)]);
}

#[test]
fn a_resumed_rollout_gets_its_time_anew() {
    let mut world = rolled_out(4, |_| {});
    set_image(&mut world, "web:bad");
    world.settle_with(&replica_sets);
    change(&mut world, |deployment| deployment.spec.paused = Some(true));
    world.settle();
    world.pass(std::time::Duration::from_secs(900));
    change(&mut world, |deployment| deployment.spec.paused = None);
    world.settle();
    check_reason(&world, "Progressing", "Unknown", "DeploymentResumed");
    world.pass(std::time::Duration::from_secs(602));
    world.settle();
    check_reason(&world, "Progressing", "False", "ProgressDeadlineExceeded");
}

#[test]
fn a_rollout_is_scaled_in_proportion() {
    let setup = || {
        let mut world = rolled_out(10, |deployment| {
            let rolling = json!({"maxSurge": 3, "maxUnavailable": 2});
            deployment["spec"]["strategy"]["rollingUpdate"] = rolling;
        });
        set_image(&mut world, "web:bad");
        world.settle_with(&replica_sets);
        check_sizes(&world, &[("web:1", 8), ("web:bad", 5)]);
        world.events.clear();
        set_replicas(&mut world, 30);
        world
    };
    let mut world = check_converges(setup, replica_sets);
    check_sizes(&world, &[("web:1", 20), ("web:bad", 13)]);
    for image in ["web:1", "web:bad"] {
        let set = set_of(&world, image).unwrap();
        assert_eq!((annotation(&set, "desired-replicas"), annotation(&set, "max-replicas")), (Some("30"), Some("33")));
    }
    set_replicas(&mut world, 0);
    world.settle_with(&replica_sets);
    check_sizes(&world, &[("web:1", 0), ("web:bad", 0)]);
    set_replicas(&mut world, 2);
    world.settle_with(&replica_sets);
    check_sizes(&world, &[("web:1", 0), ("web:bad", 2)]);
}

#[test]
fn what_makes_room_comes_before_what_takes_it() {
    let mut world = rolled_out(20, |deployment| {
        deployment["spec"]["strategy"]["rollingUpdate"] = json!({"maxSurge": 10, "maxUnavailable": 0});
    });
    set_image(&mut world, "web:2");
    world.settle();
    for (new, old) in [((10, 10), (20, 20)), ((20, 16), (10, 10)), ((20, 16), (4, 4))] {
        report(&mut world, "web:2", (new.0, new.1, new.1));
        report(&mut world, "web:1", (old.0, old.1, old.1));
    }
    check_sizes(&world, &[("web:1", 4), ("web:2", 20)]);
    world.events.clear();
    set_replicas(&mut world, 15);
    world.settle();
    let expected = [
        "Normal ScalingReplicaSet Deployment web: Scaled down replica set web:1 from 4 to 3",
        "Normal ScalingReplicaSet Deployment web: Scaled up replica set web:2 from 20 to 22",
    ];
    assert_eq!(events(&mut world)[..2], expected);
}

#[test]
fn what_others_scale_is_brought_back() {
    let mut world = rolled_out(3, |_| {});
    let name = set_of(&world, "web:1").unwrap().metadata.name.clone().unwrap();
    for other in [1, 5] {
        world.change::<ReplicaSet>("shop", &name, |set| set.spec.replicas = Some(other));
        world.settle_with(&replica_sets);
        check_sizes(&world, &[("web:1", 3)]);
    }
    // Both the Deployment and its ReplicaSet are scaled to the same by hand: that is on record, and does not block.
    world.change::<ReplicaSet>("shop", &name, |set| set.spec.replicas = Some(5));
    set_replicas(&mut world, 5);
    set_image(&mut world, "web:2");
    world.settle_with(&replica_sets);
    check_sizes(&world, &[("web:1", 0), ("web:2", 5)]);
}

#[test]
fn old_replica_sets_go_when_they_are_too_many() {
    let setup = || {
        let mut world = rolled_out(2, |deployment| deployment["spec"]["revisionHistoryLimit"] = json!(1));
        for image in ["web:2", "web:3"] {
            set_image(&mut world, image);
            world.settle_with(&replica_sets);
        }
        set_image(&mut world, "web:4");
        world
    };
    let mut world = check_converges(setup, replica_sets);
    check_sizes(&world, &[("web:3", 0), ("web:4", 2)]);
    change(&mut world, |deployment| deployment.spec.revision_history_limit = Some(0));
    world.settle_with(&replica_sets);
    check_sizes(&world, &[("web:4", 2)]);
}

#[test]
fn any_number_of_replica_sets_goes_in_the_end() {
    let mut world = rolled_out(2, |deployment| deployment["spec"]["revisionHistoryLimit"] = json!(0));
    let owners = set_of(&world, "web:1").unwrap().metadata.owner_references.clone();
    for number in 0..MOST_ACTIONS + 20 {
        let set = json!({
            "metadata": {
                "name": format!("old-{number}"), "namespace": "shop", "labels": {"app": "web"}, "ownerReferences": owners,
            },
            "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "web"}}},
            "status": {"replicas": 0, "observedGeneration": 1},
        });
        world.add(serde_json::from_value::<ReplicaSet>(set).unwrap());
    }
    assert_eq!(world.settle()[0].1.actions.len(), MOST_ACTIONS);
    check_sizes(&world, &[("web:1", 2)]);
}

#[test]
fn the_old_field_for_a_return_is_heeded() {
    let rollback = "deprecated.deployment.rollback.to";
    let check = |target: &str, expected_image: &str, event: &str| {
        let mut world = rolled_out(2, |_| {});
        annotate(&mut world, "cause", "second");
        set_image(&mut world, "web:2");
        world.settle_with(&replica_sets);
        world.events.clear();
        annotate(&mut world, rollback, target);
        world.settle();
        let deployment = web(&world);
        assert!(!deployment.metadata.annotations.as_ref().unwrap().contains_key(rollback));
        world.settle_with(&replica_sets);
        assert_eq!(set_of(&world, expected_image).unwrap().spec.replicas, Some(2));
        assert!(world.events.contains(&event.replacen("web:", "Deployment web:", 1)), "{:?}", world.events);
    };
    check("0", "web:1", "Normal DeploymentRollback web: Rolled back deployment \"web\" to revision 1");
    check("1", "web:1", "Normal DeploymentRollback web: Rolled back deployment \"web\" to revision 1");
    let event = "Warning DeploymentRollbackTemplateUnchanged web: The rollback revision contains the same template as \
                 current deployment \"web\"";
    check("2", "web:2", event);
    let event = "Warning DeploymentRollbackRevisionNotFound web: Unable to find the revision to rollback to.";
    check("7", "web:2", event);
    let setup = || {
        let mut world = rolled_out(2, |_| {});
        annotate(&mut world, rollback, "0");
        world
    };
    let world = check_converges(setup, replica_sets);
    let event = "Warning DeploymentRollbackRevisionNotFound Deployment web: Unable to find last revision.";
    assert_eq!(world.events, [event]);
}
