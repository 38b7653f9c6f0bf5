//! Pods of all kinds, in worlds in which anything may fail and anything may happen: whatever it was, things come right.
//!
//! What must never be done is asserted by the world itself, with each action.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::core::v1::ResourceRequirements;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::world::{Fault, World, container, resources_of, statuses};
use crate::observed::ContainerState;
use crate::pod_plan::spec::{is_sidecar, is_terminal, slots};
use crate::pod_plan::time::after;
use crate::pod_plan::{Action, Condemned, Role, Verdict};

/// What happens to a pod.
#[derive(Clone, Debug)]
enum Event {
    /// A container ends; which, and how.
    Exit(usize, i32),
    /// A probe says something.
    Liveness(usize, bool),
    Startup(usize, bool),
    Readiness(usize, bool),
    SandboxDies,
    SandboxTwins,
    Twins(usize),
    /// The runtime loses sight of a container, or its record.
    Unsure(usize),
    Forgets(usize),
    /// The image of a container is changed.
    Changes(usize),
    /// It is to have other resources.
    Resizes(usize, u32),
    /// Somebody wants to look.
    Debug,
    AgentRestarts,
    Delete(i64),
    Condemn,
}

fn event() -> impl Strategy<Value = Event> {
    let which = 0..5usize;
    prop_oneof![
        18 => (which.clone(), prop_oneof![Just(0), Just(1), Just(42)]).prop_map(|(which, code)| Event::Exit(which, code)),
        8 => (which.clone(), any::<bool>()).prop_map(|(which, well)| Event::Liveness(which, well)),
        8 => (which.clone(), any::<bool>()).prop_map(|(which, well)| Event::Startup(which, well)),
        3 => (which.clone(), any::<bool>()).prop_map(|(which, well)| Event::Readiness(which, well)),
        3 => Just(Event::SandboxDies),
        1 => Just(Event::SandboxTwins),
        1 => which.clone().prop_map(Event::Twins),
        3 => which.clone().prop_map(Event::Unsure),
        3 => which.clone().prop_map(Event::Forgets),
        3 => which.clone().prop_map(Event::Changes),
        3 => (which, 1..4u32).prop_map(|(which, cpu)| Event::Resizes(which, cpu * 100)),
        1 => Just(Event::Debug),
        3 => Just(Event::AgentRestarts),
        1 => (0..40i64).prop_map(Event::Delete),
        1 => Just(Event::Condemn),
    ]
}

fn policy() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("Always"), Just("OnFailure"), Just("Never")]
}

fn probes() -> impl Strategy<Value = Value> {
    let probe = || json!({"exec": {"command": ["true"]}});
    (any::<bool>(), any::<bool>(), any::<bool>()).prop_map(move |(startup, liveness, readiness)| {
        let all = [("startupProbe", startup), ("livenessProbe", liveness), ("readinessProbe", readiness)];
        let all = all.into_iter().filter(|(_, there)| *there).map(|(name, _)| (name.to_owned(), probe()));
        Value::Object(all.collect())
    })
}

fn init_container(index: usize) -> impl Strategy<Value = Value> {
    let kind = prop_oneof![Just(None), Just(Some("Always")), Just(Some("Never"))];
    (kind, probes()).prop_map(move |(policy, probes)| match policy {
        Some("Always") => {
            let mut sidecar = container(&format!("i{index}"), probes);
            sidecar["restartPolicy"] = json!("Always");
            sidecar
        }
        Some(policy) => container(&format!("i{index}"), json!({"restartPolicy": policy})),
        None => container(&format!("i{index}"), json!({})),
    })
}

fn regular_container(index: usize) -> impl Strategy<Value = Value> {
    let action = proptest::option::of(prop_oneof![Just("Restart"), Just("RestartAllContainers")]);
    let own = proptest::option::of((policy(), action));
    (own, probes(), any::<bool>()).prop_map(move |(own, probes, restarts)| {
        let mut container = container(&format!("r{index}"), probes);
        if restarts {
            container["resizePolicy"] = json!([{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]);
        }
        if let Some((policy, action)) = own {
            container["restartPolicy"] = json!(policy);
            if let Some(action) = action {
                let codes = json!({"operator": "In", "values": [42]});
                container["restartPolicyRules"] = json!([{"action": action, "exitCodes": codes}]);
            }
        }
        container
    })
}

fn spec() -> impl Strategy<Value = Value> {
    let inits = prop_oneof![
        Just(Vec::new()).boxed(),
        init_container(0).prop_map(|it| vec![it]).boxed(),
        (init_container(0), init_container(1)).prop_map(|(a, b)| vec![a, b]).boxed(),
    ];
    let regulars = prop_oneof![
        regular_container(0).prop_map(|it| vec![it]).boxed(),
        (regular_container(0), regular_container(1)).prop_map(|(a, b)| vec![a, b]).boxed(),
    ];
    let deadline = prop_oneof![3 => Just(None), 1 => (1..300u32).prop_map(Some)];
    (policy(), inits, regulars, deadline, any::<bool>()).prop_map(|(policy, inits, regulars, deadline, host)| {
        let mut spec = json!({
            "restartPolicy": policy, "containers": regulars, "initContainers": inits, "hostNetwork": host,
        });
        if let Some(deadline) = deadline {
            spec["activeDeadlineSeconds"] = json!(deadline);
        }
        spec
    })
}

fn fault() -> impl Strategy<Value = Option<Fault>> {
    prop_oneof![
        6 => Just(None),
        1 => Just(Some(Fault::Refused)),
        1 => Just(Some(Fault::Halfway)),
        1 => Just(Some(Fault::Stillborn)),
    ]
}

fn name(world: &World, which: usize) -> String {
    let slots = slots(&world.pod);
    slots[which % slots.len()].name().to_owned()
}

fn happen(world: &mut World, event: &Event) {
    match event {
        Event::Exit(which, code) => {
            let name = name(world, *which);
            world.exits(&name, *code);
        }
        Event::Liveness(which, well) => {
            let name = name(world, *which);
            world.probes(&name, |probed| probed.liveness = Some(*well));
        }
        Event::Startup(which, well) => {
            let name = name(world, *which);
            world.probes(&name, |probed| probed.startup = Some(*well));
        }
        Event::Readiness(which, well) => {
            let name = name(world, *which);
            world.probes(&name, |probed| probed.readiness = Some(*well));
        }
        Event::SandboxDies => drop(world.sandbox_dies()),
        Event::SandboxTwins => drop(world.sandbox_gets_a_twin()),
        Event::Twins(which) => {
            let name = name(world, *which);
            world.container_gets_a_twin(&name);
        }
        Event::Unsure(which) => {
            let name = name(world, *which);
            if let Some(record) = world.runtime.containers.iter_mut().find(|it| it.name == name) {
                record.state = ContainerState::Unknown;
            }
        }
        Event::Forgets(which) => {
            let name = name(world, *which);
            world.runtime.containers.retain(|it| it.name != name || it.state == ContainerState::Running);
        }
        Event::Changes(which) => {
            let name = name(world, *which);
            let spec = world.pod.spec.as_mut().unwrap();
            let all = spec.init_containers.iter_mut().flatten().chain(&mut spec.containers);
            all.filter(|it| it.name == name).for_each(|it| it.image = Some("i:2".to_owned()));
        }
        Event::Resizes(which, milli) => {
            let name = name(world, *which);
            let resources = json!({"requests": {"cpu": format!("{milli}m")}});
            let spec = world.pod.spec.as_mut().unwrap();
            let all = spec.init_containers.iter_mut().flatten().chain(&mut spec.containers);
            let resources: ResourceRequirements = serde_json::from_value(resources).unwrap();
            all.filter(|it| it.name == name).for_each(|it| it.resources = Some(resources.clone()));
        }
        Event::Debug => {
            let debugger = json!([{"name": "d", "image": "i:1"}]);
            world.pod.spec.as_mut().unwrap().ephemeral_containers = serde_json::from_value(debugger).unwrap();
        }
        Event::AgentRestarts => drop(world.restarts()),
        Event::Delete(grace) if world.pod.metadata.deletion_timestamp.is_none() => drop(world.is_deleted(*grace)),
        Event::Delete(_) => {}
        Event::Condemn => {
            let why = Verdict { reason: "Evicted".to_owned(), message: "m".to_owned() };
            let condemned = Condemned { why, grace: None, disruption: Some("TerminationByKubelet".to_owned()) };
            world.memory.condemned.get_or_insert(condemned);
        }
    }
}

/// Lets everything go well from now on: probes succeed, and init containers do their work.
fn come_right(world: &mut World) {
    world.faults.clear();
    for _ in 0..50 {
        let end = world.now.duration_since(super::world::moment(0)).as_secs();
        world.until(u64::try_from(end).unwrap() + 700);
        let names: Vec<(String, bool)> = slots(&world.pod)
            .iter()
            .filter(|slot| slot.role != Role::Ephemeral && world.is_running(slot.name()))
            .map(|slot| (slot.name().to_owned(), slot.role == Role::Init && !is_sidecar(&slot.container)))
            .collect();
        let before = world.clone();
        for (name, works) in names {
            if works {
                world.exits(&name, 0);
            } else {
                world.probes(&name, |probed| {
                    (probed.startup, probed.liveness, probed.readiness) = (Some(true), Some(true), Some(true));
                });
            }
        }
        if (&before.runtime, &before.probed) == (&world.runtime, &world.probed) {
            return;
        }
    }
    panic!("it never comes right: {:#?}", world.log);
}

/// What is true of a pod when all is well.
fn check(world: &mut World) {
    let ending = world.pod.metadata.deletion_timestamp.is_some() || world.memory.condemned.is_some();
    let phase = world.status().phase.unwrap();
    assert!(!ending || is_terminal(Some(&phase)), "{phase}: {:#?}", world.log);
    if is_terminal(Some(&phase)) {
        assert!(!world.runtime.is_running() && world.memory.torn_down, "{:#?}", world.log);
        return;
    }
    assert_eq!(phase, "Running", "{:#?} {:#?}", world.log, world.status());
    for slot in slots(&world.pod).iter().filter(|slot| slot.is_sidecar()) {
        assert!(world.is_running(slot.name()), "the sidecar {} does not run: {:#?}", slot.name(), world.log);
    }
    let doubles = world.runtime.containers.iter().filter(|it| it.state == ContainerState::Running);
    let names: BTreeSet<&str> = doubles.clone().map(|it| it.name.as_str()).collect();
    assert_eq!(names.len(), doubles.count(), "something runs twice: {:#?}", world.log);
    assert_eq!(world.memory.resize, None, "{:#?}", world.log);
    for record in world.runtime.containers.iter().filter(|it| it.state == ContainerState::Running) {
        let wanted = resources_of(&world.pod, &record.name);
        // Where the runtime does not tell, what changes before anything was said of the container is not noticed.
        let told = record.resources.is_some();
        assert!(!told || record.resources == wanted, "{}: {:#?}", record.name, world.log);
    }
    let names: Vec<String> = statuses(&world.status()).map(|status| status.name.clone()).collect();
    assert_eq!(names.len(), slots(&world.pod).len());
    // An agent that starts again leaves everything as it is.
    let before = (world.runtime.clone(), world.status());
    world.restarts();
    let plan = world.step();
    assert_eq!(plan.actions, [Action::Prepare, Action::Mount]);
    assert_eq!((&world.runtime, &world.status()), (&before.0, &before.1));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_things_come_right(
        spec in spec(),
        events in prop::collection::vec((event(), 0..30u64, 0..4usize), 0..25),
        faults in prop::collection::vec(fault(), 0..40),
        slowness in 0..5u64,
        grace in 0..40i64,
    ) {
        let mut world = World::new(spec);
        world.faults = faults;
        world.slowness = Duration::from_secs(slowness);
        for (event, seconds, steps) in &events {
            for _ in 0..*steps {
                world.step();
            }
            happen(&mut world, event);
            world.now = after(world.now, Duration::from_secs(*seconds));
        }
        come_right(&mut world);
        check(&mut world);
        if world.pod.metadata.deletion_timestamp.is_none() {
            world.is_deleted(grace);
        }
        world.log.clear();
        come_right(&mut world);
        prop_assert!(is_terminal(world.status().phase.as_deref()));
        prop_assert!(!world.runtime.is_running());
        prop_assert_eq!(world.deleted, world.pod.metadata.deletion_grace_period_seconds != Some(0));
        let deletions = world.log.iter().filter(|line| line.ends_with("Delete")).count();
        prop_assert!(deletions <= 1);
    }
}
