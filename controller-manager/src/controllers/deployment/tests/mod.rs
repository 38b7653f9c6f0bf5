//! Deployments in a world in which nothing but their controller runs: the ReplicaSets' part is played on their counts.

mod budget;
mod owners;
mod rollouts;
mod statuses;

use std::sync::Arc;

use client::resource::Key;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentCondition, DeploymentStatus, ReplicaSet};
use serde_json::{Value, json};

use super::Deployments;
use crate::testing::World;

type Here = World<Deployments>;

/// A Deployment `web` as the server would complete it, of which `change` changes something.
fn deployment(replicas: i32, change: impl FnOnce(&mut Value)) -> Deployment {
    let mut deployment = json!({
        "metadata": {"name": "web", "namespace": "shop", "uid": "uid-web"},
        "spec": {
            "replicas": replicas, "progressDeadlineSeconds": 600, "revisionHistoryLimit": 10,
            "selector": {"matchLabels": {"app": "web"}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "main", "image": "web:1"}]},
            },
        },
    });
    change(&mut deployment);
    serde_json::from_value(deployment).unwrap()
}

fn recreate(deployment: &mut Value) {
    deployment["spec"]["strategy"] = json!({"type": "Recreate"});
}

/// A world with a Deployment whose first rollout is over.
fn rolled_out(replicas: i32, change: impl FnOnce(&mut Value)) -> Here {
    let mut world = World::new(Deployments);
    world.add(deployment(replicas, change));
    world.settle_with(&replica_sets);
    world.events.clear();
    world
}

fn key() -> Key {
    Key::of::<Deployment>("shop", "web")
}

fn web(world: &Here) -> Arc<Deployment> {
    world.get("shop", "web").unwrap()
}

fn status(world: &Here) -> DeploymentStatus {
    web(world).status.clone().unwrap_or_default()
}

fn condition(world: &Here, kind: &str) -> Option<DeploymentCondition> {
    status(world).conditions.into_iter().flatten().find(|condition| condition.type_.as_deref() == Some(kind))
}

/// Status and reason of a condition.
fn reason(world: &Here, kind: &str) -> Option<(String, String)> {
    condition(world, kind).map(|condition| (condition.status.unwrap(), condition.reason.unwrap()))
}

#[track_caller]
fn check_reason(world: &Here, kind: &str, status: &str, expected: &str) {
    assert_eq!(reason(world, kind), Some((status.to_owned(), expected.to_owned())));
}

/// As users do: a change of the specification or of annotations is a new generation.
fn change(world: &mut Here, change: impl FnOnce(&mut Deployment)) {
    world.change::<Deployment>("shop", "web", |deployment| {
        change(deployment);
        let generation = &mut deployment.metadata.generation;
        *generation = Some(generation.unwrap_or(0) + 1);
    });
}

fn set_image(world: &mut Here, image: &str) {
    change(world, |deployment| {
        deployment.spec.template.spec.as_mut().unwrap().containers[0].image = Some(image.to_owned());
    });
}

fn set_replicas(world: &mut Here, replicas: i32) {
    change(world, |deployment| deployment.spec.replicas = Some(replicas));
}

fn annotate(world: &mut Here, key: &str, value: &str) {
    change(world, |deployment| {
        deployment.metadata.annotations.get_or_insert_default().insert(key.to_owned(), value.to_owned());
    });
}

fn image(set: &ReplicaSet) -> &str {
    set.spec.template.as_ref().unwrap().spec.as_ref().unwrap().containers[0].image.as_deref().unwrap()
}

fn annotation<'a>(set: &'a ReplicaSet, key: &str) -> Option<&'a str> {
    set.metadata.annotations.as_ref()?.get(&format!("deployment.kubernetes.io/{key}")).map(String::as_str)
}

/// The ReplicaSet for an image.
fn set_of(world: &Here, of: &str) -> Option<Arc<ReplicaSet>> {
    world.list::<ReplicaSet>().into_iter().find(|set| image(set) == of)
}

/// The ReplicaSets by image, with how many pods they want.
fn sizes(world: &Here) -> Vec<(String, i32)> {
    let size = |set: &Arc<ReplicaSet>| (image(set).to_owned(), set.spec.replicas.unwrap());
    let mut sizes: Vec<(String, i32)> = world.list::<ReplicaSet>().iter().map(size).collect();
    sizes.sort();
    sizes
}

#[track_caller]
fn check_sizes(world: &Here, expected: &[(&str, i32)]) {
    let sizes = sizes(world);
    let sizes: Vec<(&str, i32)> = sizes.iter().map(|(image, size)| (image.as_str(), *size)).collect();
    assert_eq!(sizes, expected);
}

/// The Events, with images instead of hashes.
fn events(world: &mut Here) -> Vec<String> {
    let sets = world.list::<ReplicaSet>();
    let named = |event: String| {
        sets.iter().fold(event, |event, set| event.replace(set.metadata.name.as_deref().unwrap(), image(set)))
    };
    std::mem::take(&mut world.events).into_iter().map(named).collect()
}

/// Plays the controller of ReplicaSets: all get their pods, and these become available unless their image is bad.
fn replica_sets(world: &mut Here) -> bool {
    let mut did = false;
    for set in world.list::<ReplicaSet>() {
        let name = set.metadata.name.clone().unwrap();
        let replicas = set.spec.replicas.unwrap();
        let ready = Some(if image(&set).contains("bad") { 0 } else { replicas });
        let generation = set.metadata.generation;
        let status = set.status.clone().unwrap_or_default();
        if (status.replicas, status.available_replicas, status.observed_generation) == (replicas, ready, generation) {
            continue;
        }
        world.change::<ReplicaSet>("shop", &name, |set| {
            let status = set.status.get_or_insert_default();
            status.replicas = replicas;
            status.ready_replicas = ready;
            status.available_replicas = ready;
            status.observed_generation = generation;
            status.terminating_replicas = Some(0);
        });
        did = true;
    }
    did
}

/// Plays one ReplicaSet's controller: the counts are pods, ready ones and available ones.
fn report(world: &mut Here, image: &str, counts: (i32, i32, i32)) {
    let set = set_of(world, image).unwrap();
    world.change::<ReplicaSet>("shop", set.metadata.name.as_deref().unwrap(), |set| {
        let status = set.status.get_or_insert_default();
        status.replicas = counts.0;
        status.ready_replicas = Some(counts.1);
        status.available_replicas = Some(counts.2);
        status.observed_generation = set.metadata.generation;
        status.terminating_replicas = Some(0);
    });
    world.settle();
}
