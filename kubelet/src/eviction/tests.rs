//! Tests of what is decided: conditions, order, words, and properties of all of it.

use k8s_openapi::api::core::v1::{PodSpec, Toleration};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::stats::{ContainerFigures, Filesystem, Memory, NodeFigures, PodFigures, Processes, VolumeFigures};

const MIB: u64 = 1 << 20;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_772_366_400 + second).unwrap()
}

/// A pod of this name and uid, with a spec of this kind.
fn pod(name: &str, spec: Value) -> Arc<Pod> {
    let mut all = json!({ "containers": [{ "name": "c" }] });
    for (field, value) in spec.as_object().unwrap() {
        all[field] = value.clone();
    }
    let spec: PodSpec = serde_json::from_value(all).unwrap();
    let mut pod = Pod { spec: Some(spec), ..Pod::default() };
    pod.metadata.name = Some(name.to_owned());
    pod.metadata.uid = Some(name.to_owned());
    Arc::new(pod)
}

/// A pod whose container requests so much memory.
fn requests(name: &str, memory: &str, priority: i32) -> Arc<Pod> {
    let container = json!({ "name": "c", "resources": { "requests": { "memory": memory } } });
    pod(name, json!({ "priority": priority, "containers": [container] }))
}

/// What such a pod uses of memory.
fn uses(name: &str, mebibytes: u64) -> PodFigures {
    let memory = Some(Memory { working_set: mebibytes * MIB, ..Memory::default() });
    let container = ContainerFigures { name: "c".to_owned(), memory, ..ContainerFigures::default() };
    PodFigures { uid: name.to_owned(), memory, containers: vec![container], ..PodFigures::default() }
}

/// A node with so many mebibytes left of a gibibyte, a while after the beginning.
fn node(available: u64, second: i64, pods: Vec<PodFigures>) -> Figures {
    let memory = Memory {
        at: at(second),
        available: Some(available * MIB),
        working_set: (1024 - available) * MIB,
        ..Memory::default()
    };
    Figures { node: NodeFigures { memory: Some(memory), ..NodeFigures::default() }, pods, ..Figures::default() }
}

/// The uid of the pod that goes for the node's sake.
fn goes(decision: &Decision) -> Option<&str> {
    Some(decision.low.as_ref()?.evict.as_ref()?.uid.as_str())
}

fn soft(less_than: &str, grace: u64) -> Settings {
    let less_than = Amount::Quantity(api::quantity::Quantity::parse(less_than).unwrap());
    let threshold = Threshold { signal: Signal::Memory, less_than, grace: Duration::from_secs(grace), reclaim: None };
    Settings { thresholds: vec![threshold], longest_grace: Duration::from_secs(20), ..Settings::default() }
}

#[test]
fn who_exceeds_requests_goes_first_then_who_matters_less_then_who_uses_most() {
    let pods = [
        requests("within", "500Mi", -5),
        requests("important", "10Mi", 7),
        requests("small", "10Mi", 0),
        requests("large", "100Mi", 0),
        requests("unknown", "1Gi", 1000),
        requests("critical", "1Mi", 2_000_000_000),
    ];
    let mut left: Vec<Arc<Pod>> = pods.to_vec();
    let figures =
        vec![uses("within", 400), uses("important", 300), uses("small", 20), uses("large", 200), uses("critical", 900)];
    let mut order = Vec::new();
    loop {
        let figures = node(50, 0, figures.clone());
        let decision = decide(&figures, &left, &State::default(), &Settings::default(), at(0));
        let Some(uid) = goes(&decision) else { break };
        order.push(uid.to_owned());
        left.retain(|pod| pod.metadata.uid.as_deref() != Some(uid));
    }
    assert_eq!(order, ["unknown", "large", "small", "important", "within"]);
    assert_eq!(left.len(), 1);
}

#[test]
fn evictions_are_told_in_upstreams_words() {
    let pods = [requests("p", "10Mi", 0)];
    let figures = node(50, 0, vec![uses("p", 20)]);
    let decision = decide(&figures, &pods, &State::default(), &Settings::default(), at(0));
    let eviction = decision.low.unwrap().evict.unwrap().condemned;
    assert_eq!(
        eviction.why.message,
        "The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi. Container c was using 20Mi, \
         request is 10Mi, has larger consumption of memory. "
    );
    assert_eq!((eviction.why.reason.as_str(), eviction.grace), ("Evicted", Some(Duration::from_secs(1))));
    assert_eq!(eviction.disruption.as_deref(), Some("TerminationByKubelet"));
    // Nothing is said of containers that use no more than they request, and a pod without requests requests 0.
    let figures = node(50, 0, vec![uses("q", 20)]);
    let decision = decide(&figures, &[pod("q", json!({}))], &State::default(), &Settings::default(), at(0));
    let message = decision.low.unwrap().evict.unwrap().condemned.why.message;
    assert!(
        message.ends_with("Container c was using 20Mi, request is 0, has larger consumption of memory. "),
        "{message}"
    );
}

#[test]
fn soft_thresholds_wait() {
    let pods = [pod("p", json!({ "terminationGracePeriodSeconds": 5 })), pod("q", json!({}))];
    let settings = soft("200Mi", 90);
    let mut state = State::default();
    for (second, available, expected) in
        [(0, 150, None), (89, 150, None), (91, 150, Some("p")), (92, 300, None), (93, 150, None), (183, 150, Some("p"))]
    {
        let figures = node(available, second, vec![uses("p", 20), uses("q", 10)]);
        let decision = decide(&figures, &pods, &state, &settings, at(second));
        assert_eq!(goes(&decision), expected, "after {second} s");
        assert!(decision.conditions.memory, "after {second} s");
        let grace = decision.low.and_then(|low| low.evict).and_then(|eviction| eviction.condemned.grace);
        assert_eq!(grace, expected.map(|_| Duration::from_secs(5)));
        state = decision.state;
    }
}

#[test]
fn conditions_stay_for_a_while() {
    let mut state = State::default();
    for (second, available, expected) in
        [(0, 150, false), (10, 50, true), (20, 150, true), (309, 150, true), (310, 150, false), (320, 50, true)]
    {
        let decision = decide(&node(available, second, Vec::new()), &[], &state, &Settings::default(), at(second));
        assert_eq!(decision.conditions.memory, expected, "after {second} s");
        state = decision.state;
    }
}

#[test]
fn old_figures_make_no_pod_go() {
    let pods = [pod("p", json!({})), pod("q", json!({}))];
    let figures = node(50, 0, vec![uses("p", 20)]);
    let first = decide(&figures, &pods, &State::default(), &Settings::default(), at(0));
    assert_eq!(goes(&first), Some("q"));
    let second = decide(&figures, &pods, &first.state, &Settings::default(), at(1));
    assert_eq!(second.low, None);
    let third = decide(&node(50, 2, Vec::new()), &pods, &second.state, &Settings::default(), at(2));
    assert!(third.low.is_some());
}

#[test]
fn enough_is_reclaimed() {
    let pods = [pod("p", json!({}))];
    let mut settings = soft("100Mi", 0);
    settings.thresholds[0].reclaim = Some(Amount::Quantity(api::quantity::Quantity::parse("50Mi").unwrap()));
    let mut state = State::default();
    for (second, available, expected) in
        [(0, 120, false), (1, 99, true), (2, 149, true), (3, 150, false), (4, 149, false)]
    {
        let decision = decide(&node(available, second, Vec::new()), &pods, &state, &settings, at(second));
        assert_eq!(decision.low.is_some(), expected, "with {available} MiB");
        state = decision.state;
    }
    assert!(suffices(&node(150, 0, Vec::new()), &settings));
    assert!(!suffices(&node(149, 0, Vec::new()), &settings));
}

/// A node whose disks have so many hundredths left, of space and of inodes.
fn disks(node_bytes: u64, node_inodes: u64, image_bytes: u64, image_inodes: u64, pods: Vec<PodFigures>) -> Figures {
    let disk = |available, inodes_free| Filesystem {
        at: at(0),
        available,
        capacity: 100,
        inodes_free,
        inodes: 100,
        ..Filesystem::default()
    };
    let (filesystem, images) = (disk(node_bytes, node_inodes), disk(image_bytes, image_inodes));
    let node = NodeFigures { filesystem: Some(filesystem), images: Some(images), ..NodeFigures::default() };
    Figures { node, pods, ..Figures::default() }
}

/// What a pod has on disks: in its container's root, in its logs, in a volume; bytes and inodes are as many.
fn stores(name: &str, root: u64, logs: u64, volume: u64) -> PodFigures {
    let takes = |used| Filesystem { used, inodes_used: used, ..Filesystem::default() };
    let container = ContainerFigures {
        name: "c".to_owned(),
        root: Some(takes(root)),
        logs: Some(takes(logs)),
        ..ContainerFigures::default()
    };
    let all = Some(takes(root + logs + volume));
    let volume = VolumeFigures { name: "v".to_owned(), filesystem: takes(volume), ephemeral: true, claim: None };
    PodFigures {
        uid: name.to_owned(),
        containers: vec![container],
        volumes: vec![volume],
        ephemeral: all,
        ..PodFigures::default()
    }
}

#[test]
fn disks_are_made_room_on_by_who_is_on_them() {
    let volume = json!({ "volumes": [{ "name": "v", "emptyDir": {} }] });
    let pods = [pod("root", volume.clone()), pod("volume", volume)];
    let stored = vec![stores("root", 10, 0, 0), stores("volume", 0, 4, 5)];
    let cases = [
        // What runs out, whether images have their own disk, who goes, and whether images are removed first.
        (disks(9, 99, 99, 99, stored.clone()), false, "ephemeral-storage", "root", true),
        (disks(9, 99, 99, 99, stored.clone()), true, "ephemeral-storage", "volume", false),
        (disks(99, 4, 99, 99, stored.clone()), true, "inodes", "volume", false),
        (disks(99, 99, 14, 99, stored.clone()), true, "ephemeral-storage", "root", true),
        (disks(99, 99, 99, 4, stored.clone()), true, "inodes", "root", true),
        (disks(99, 99, 99, 4, stored), false, "inodes", "root", true),
    ];
    for (mut figures, dedicated_images, resource, uid, reclaim) in cases {
        figures.node.dedicated_images = dedicated_images;
        let decision = decide(&figures, &pods, &State::default(), &Settings::default(), at(0));
        assert_eq!(goes(&decision), Some(uid), "{figures:?}");
        let low = decision.low.unwrap();
        assert_eq!((low.resource, low.reclaim), (resource, reclaim));
        assert!(decision.conditions.disk && !decision.conditions.memory);
    }
    let enough = decide(&disks(10, 5, 15, 5, Vec::new()), &pods, &State::default(), &Settings::default(), at(0));
    assert_eq!((enough.low, enough.conditions), (None, Conditions::default()));
}

#[test]
fn memory_comes_first() {
    let mut figures = disks(0, 0, 0, 0, Vec::new());
    figures.node.memory = node(50, 0, Vec::new()).node.memory;
    figures.node.processes = Some(Processes { at: at(0), most: 100, running: 99 });
    let mut settings = Settings::default();
    settings.thresholds.insert(
        0,
        Threshold { signal: Signal::Processes, less_than: Amount::Part(0.5), grace: Duration::ZERO, reclaim: None },
    );
    let decision = decide(&figures, &[], &State::default(), &settings, at(0));
    assert_eq!(decision.low, Some(Low { resource: "memory", reclaim: false, evict: None }));
    assert_eq!(decision.conditions, Conditions { memory: true, disk: true, pid: true });
}

#[test]
fn process_ids_are_taken_from_who_matters_least() {
    let threshold =
        Threshold { signal: Signal::Processes, less_than: Amount::Part(0.5), grace: Duration::ZERO, reclaim: None };
    let settings = Settings { thresholds: vec![threshold], ..Settings::default() };
    let running =
        |uid: &str, processes| PodFigures { uid: uid.to_owned(), processes: Some(processes), ..PodFigures::default() };
    let mut figures = Figures::default();
    figures.node.processes = Some(Processes { at: at(0), most: 100, running: 99 });
    figures.pods = vec![running("important", 50), running("few", 2), running("many", 20)];
    let pods = [requests("important", "1Mi", 9), requests("few", "1Mi", 1), requests("many", "1Mi", 1)];
    let decision = decide(&figures, &pods, &State::default(), &settings, at(0));
    assert_eq!(goes(&decision), Some("many"));
    let evict = decision.low.unwrap().evict.unwrap();
    assert_eq!(evict.signal, "pid.available");
    let message = evict.condemned.why.message;
    assert_eq!(message, "The node was low on resource: pids. Threshold quantity: 50, available: 1. ");
}

#[test]
fn who_takes_more_disk_than_it_may_goes() {
    let limited = |limit: &str| json!({ "containers": [{ "name": "c", "resources": { "limits": { "ephemeral-storage": limit } } }] });
    let volume = |limit: &str| json!({ "volumes": [{ "name": "v", "emptyDir": { "sizeLimit": limit } }] });
    let critical = |mut spec: Value| {
        spec["priority"] = json!(2_000_000_000);
        spec
    };
    let two = json!({ "containers": [
        { "name": "c", "resources": { "limits": { "ephemeral-storage": "5" } } },
        { "name": "d", "resources": { "limits": { "ephemeral-storage": "50" } } },
    ] });
    let cases = [
        (volume("10"), stores("p", 0, 0, 10), None),
        (volume("10"), stores("p", 0, 0, 11), Some("Usage of EmptyDir volume \"v\" exceeds the limit \"10\". ")),
        (volume("0"), stores("p", 0, 0, 11), None),
        (critical(volume("10")), stores("p", 0, 0, 11), None),
        (limited("10"), stores("p", 5, 3, 2), None),
        (
            limited("10"),
            stores("p", 5, 4, 2),
            Some("Pod ephemeral local storage usage exceeds the total limit of containers 10. "),
        ),
        (two.clone(), stores("p", 3, 2, 0), None),
        (two, stores("p", 3, 3, 0), Some("Container c exceeded its local ephemeral storage limit \"5\". ")),
    ];
    for (spec, figures, expected) in cases {
        let figures = Figures { pods: vec![figures], ..Figures::default() };
        let decision = decide(&figures, &[pod("p", spec.clone())], &State::default(), &Settings::default(), at(0));
        let said: Vec<_> = decision.over_limits.iter().map(|over| over.condemned.why.message.as_str()).collect();
        assert_eq!(said, Vec::from_iter(expected), "{spec}");
        assert!(decision.over_limits.iter().all(|over| over.condemned.disruption.is_none()));
    }
}

#[test]
fn pods_are_taken_as_far_as_there_is_enough_for_them() {
    let tolerant = json!({ "tolerations": [{ "key": "node.kubernetes.io/memory-pressure", "operator": "Exists" }] });
    assert!(serde_json::from_value::<Toleration>(tolerant["tolerations"][0].clone()).is_ok());
    let best_effort = pod("p", json!({}));
    let tolerant = pod("p", tolerant);
    let burstable = requests("p", "1Mi", 0);
    let critical = pod("p", json!({ "priority": 2_000_001_000 }));
    let conditions = |memory, disk, pid| Conditions { memory, disk, pid };
    for (conditions, taken, message) in [
        (conditions(false, false, false), [true, true, true, true], ""),
        (conditions(true, false, false), [false, true, true, true], "The node had condition: [MemoryPressure]. "),
        (conditions(false, true, false), [false, false, false, true], "The node had condition: [DiskPressure]. "),
        (
            conditions(true, false, true),
            [false, false, false, true],
            "The node had condition: [MemoryPressure PIDPressure]. ",
        ),
    ] {
        for (pod, expected) in [&best_effort, &tolerant, &burstable, &critical].into_iter().zip(taken) {
            let answer = admit(pod, &conditions);
            assert_eq!(answer.is_ok(), expected, "{conditions:?}");
            if let Err(verdict) = answer {
                assert_eq!((verdict.reason.as_str(), verdict.message.as_str()), ("Evicted", message));
            }
        }
    }
}

proptest! {
    /// Whatever there is and was: nobody goes while there is enough, and nobody goes that is critical or not there; who
    /// goes matters no more than others that exceed their requests as it does; and what was decided does not depend on
    /// the order of pods.
    #[test]
    fn whoever_goes_may_go(
        available in 0u64..200,
        pods in prop::collection::vec((0u64..100, 0u64..100, prop::sample::select(vec![-1, 0, 5, 2_000_000_000])), 0..8),
        seconds in 1i64..20,
    ) {
        let named: Vec<_> = pods.iter().enumerate().map(|(at, pod)| (format!("p{at}"), *pod)).collect();
        let made = |(name, (request, _, priority)): &(String, (u64, u64, i32))| {
            requests(name, &format!("{request}Mi"), *priority)
        };
        let mut all: Vec<Arc<Pod>> = named.iter().map(made).collect();
        let figures = named.iter().map(|(name, (_, used, _))| uses(name, *used)).collect();
        let figures = node(available, seconds, figures);
        let decision = decide(&figures, &all, &State::default(), &Settings::default(), at(seconds));
        prop_assert_eq!(decision.low.is_some(), available < 100);
        let exceeds = |(request, used, _): &(u64, u64, i32)| used > request;
        if let Some(uid) = goes(&decision) {
            let gone = named.iter().find(|(name, _)| name == uid).unwrap().1;
            prop_assert!(gone.2 < 2_000_000_000);
            for (_, other) in named.iter().filter(|(_, other)| other.2 < 2_000_000_000) {
                prop_assert!(exceeds(&gone) || !exceeds(other));
                prop_assert!(gone.2 <= other.2 || exceeds(&gone) != exceeds(other));
            }
        } else if available < 100 {
            prop_assert!(named.iter().all(|(_, pod)| pod.2 == 2_000_000_000));
        }
        all.reverse();
        let again = decide(&figures, &all, &State::default(), &Settings::default(), at(seconds));
        prop_assert_eq!(again.low.is_some(), decision.low.is_some());
    }
}
