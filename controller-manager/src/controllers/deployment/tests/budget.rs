//! The budget of a rolling update holds at every moment, whatever happens.
//!
//! The ReplicaSets' part is played at random: one at a time gets or loses pods, and some of its pods become available or
//! fail. In between the user changes templates, scales, and pauses. What the controller does is followed action by action.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::ReplicaSet;
use proptest::prelude::*;
use serde_json::json;

use super::super::budget::{Budget, Size};
use super::*;
use crate::plan::{Effect, Plan};

/// The sizes of all ReplicaSets by name.
type Sizes = BTreeMap<String, Size>;

#[derive(Clone, Debug)]
enum Step {
    /// The ReplicaSet of this number has as many pods as it wants, and this many of a hundred of them are available.
    Report(usize, i32),
    Image(usize),
    Scale(i32),
    Surge(i32, i32),
    Pause(bool),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        12 => (0usize..5, prop_oneof![Just(100), Just(0), 0i32..100]).prop_map(|(i, percent)| Step::Report(i, percent)),
        2 => (0usize..4).prop_map(Step::Image),
        2 => (0i32..16).prop_map(Step::Scale),
        1 => (0i32..4, 0i32..4).prop_map(|(surge, unavailable)| Step::Surge(surge, unavailable)),
        1 => any::<bool>().prop_map(Step::Pause),
    ];
    prop::collection::vec(step, 1..40)
}

fn report(world: &mut Here, sizes: &mut Sizes, set: &ReplicaSet, percent: i32) {
    let name = set.metadata.name.clone().unwrap();
    let generation = set.metadata.generation;
    let replicas = set.spec.replicas.unwrap();
    let available = replicas * percent / 100;
    world.change::<ReplicaSet>("shop", &name, |set| {
        let status = set.status.get_or_insert_default();
        status.replicas = replicas;
        status.ready_replicas = Some(available);
        status.available_replicas = Some(available);
        status.observed_generation = generation;
    });
    sizes.get_mut(&name).unwrap().available = available.into();
}

fn take(world: &mut Here, sizes: &mut Sizes, step: &Step) {
    match step {
        Step::Report(i, percent) => {
            if let Some(set) = world.list::<ReplicaSet>().get(*i) {
                report(world, sizes, set, *percent);
            }
        }
        Step::Image(number) => set_image(world, &format!("web:{number}")),
        Step::Scale(replicas) => set_replicas(world, *replicas),
        Step::Surge(surge, unavailable) => change(world, |deployment| {
            let rolling = json!({"maxSurge": surge, "maxUnavailable": unavailable});
            let strategy = deployment.spec.strategy.as_mut().unwrap();
            strategy.rolling_update = serde_json::from_value(rolling).unwrap();
        }),
        Step::Pause(is_paused) => change(world, |deployment| deployment.spec.paused = Some(*is_paused)),
    }
}

fn all_sizes(world: &Here) -> Sizes {
    world.list::<ReplicaSet>().iter().map(|set| (set.metadata.name.clone().unwrap(), Size::of(set))).collect()
}

fn sums(sizes: &Sizes) -> (i64, i64) {
    let sum = |of: fn(&Size) -> i64| sizes.values().map(of).sum();
    (sum(|size| size.replicas), sum(|size| size.available))
}

/// Whether the user's change of scale is passed on: then a ReplicaSet's count from before it changed is all that there is.
fn scales(plan: &Plan) -> bool {
    let key = "deployment.kubernetes.io/desired-replicas";
    let bodies = plan.actions.iter().filter_map(|action| match &action.effect {
        Effect::Patch { subresource: None, body, .. } => Some(body),
        _ => None,
    });
    bodies.into_iter().any(|body| !body["metadata"]["annotations"][key].is_null())
}

/// Follows a plan action by action. A ReplicaSet that becomes smaller loses those pods first that are not available.
/// `is_true` says whether the counts that the controller sees are those of the pods that there are.
fn follow(sizes: &mut Sizes, plan: &Plan, budget: Budget, is_true: bool) {
    for action in &plan.actions {
        let (before, before_available) = sums(sizes);
        let target = &action.target;
        match &action.effect {
            Effect::Create(set) => {
                let replicas = set["spec"]["replicas"].as_i64().unwrap();
                sizes.insert(target.name.clone(), Size { replicas, available: 0, is_uncertain: false });
            }
            Effect::Patch { subresource: None, body, .. } if target.resource.plural == "replicasets" => {
                let size = sizes.get_mut(&target.name).unwrap();
                size.replicas = body["spec"]["replicas"].as_i64().unwrap_or(size.replicas);
                size.available = size.available.min(size.replicas);
            }
            Effect::Delete(_) => {
                let gone = sizes.remove(&target.name).unwrap();
                assert_eq!(gone.replicas, 0);
            }
            _ => {}
        }
        let (after, available) = sums(sizes);
        assert!(after <= before || after <= budget.most(), "{after} pods with {budget:?}: {sizes:?}");
        let is_enough = available >= before_available.min(budget.least());
        assert!(is_enough || (scales(plan) && !is_true), "{available} available, {budget:?}: {sizes:?}");
    }
}

/// Lets the controller do what it does. `sizes` are those of the pods that there are, if ReplicaSets act at once.
fn settle(world: &mut Here, sizes: &mut Sizes) {
    let budget = Budget::of(&web(world).spec);
    let counted: BTreeMap<String, i64> =
        all_sizes(world).into_iter().map(|(name, size)| (name, size.available)).collect();
    for (_, plan) in world.settle() {
        let counted = |name: &String| counted.get(name).copied().unwrap_or(0);
        let is_true = sizes.iter().all(|(name, size)| counted(name).min(size.replicas) == size.available);
        follow(sizes, &plan, budget, is_true);
    }
    let wanted = |sizes: &Sizes| -> Vec<i64> { sizes.values().map(|size| size.replicas).collect() };
    assert_eq!(wanted(sizes), wanted(&all_sizes(world)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_budget_holds(replicas in 0i32..12, surge in 0i32..4, unavailable in 0i32..4, steps in steps()) {
        let mut world = World::new(Deployments);
        world.add(deployment(replicas, |deployment| {
            deployment["spec"]["revisionHistoryLimit"] = json!(2);
            let rolling = json!({"maxSurge": surge, "maxUnavailable": unavailable});
            deployment["spec"]["strategy"]["rollingUpdate"] = rolling;
        }));
        let mut sizes = Sizes::new();
        settle(&mut world, &mut sizes);
        for step in steps.iter().chain([&Step::Pause(false)]) {
            take(&mut world, &mut sizes, step);
            settle(&mut world, &mut sizes);
        }
        // In the end all goes well.
        for _ in 0..100 {
            if !replica_sets(&mut world) {
                break;
            }
            sizes = all_sizes(&world);
            settle(&mut world, &mut sizes);
        }
        let wanted = web(&world).spec.replicas;
        let (total, available) = sums(&all_sizes(&world));
        prop_assert_eq!((Some(total), Some(available)), (wanted.map(i64::from), wanted.map(i64::from)));
        prop_assert_eq!(reason(&world, "Progressing"), Some(("True".to_owned(), "NewReplicaSetAvailable".to_owned())));
        let status = status(&world);
        prop_assert_eq!(status.updated_replicas.unwrap_or(0), wanted.unwrap_or(0));
        prop_assert!(world.plan(&key()).unwrap().is_empty());
        prop_assert!(world.list::<ReplicaSet>().len() <= 3);
    }
}
