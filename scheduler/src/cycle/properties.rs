//! What is remembered and what is kept counted change no decision, whatever happens between decisions.

use k8s_openapi::api::core::v1::{Node, Pod};
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use super::*;
use crate::config::ExtensionPoint;
use crate::testing::{self, requesting};

/// How many kinds of nodes and of pods there are in a cluster.
const KINDS: usize = 5;

/// What happens to one of a few nodes or pods, which is of one of a few kinds.
#[derive(Clone, Debug)]
enum Event {
    SetNode(u8, usize),
    RemoveNode(u8),
    Place(u8, usize, u8),
    Start(u8, usize, u8),
    RemovePod(u8),
    Nominate(u8, usize, u8),
    Withdraw(u8),
    SetNamespace(bool),
    /// So many pods of this application may be disrupted.
    SetBudget(u8, i32),
    /// A pod is to be scheduled, and goes where it is decided that it goes.
    Schedule(u8, usize, Option<u8>),
}

fn a_node() -> impl Strategy<Value = Node> {
    let taint = prop_oneof![3 => Just(None), 1 => Just(Some("NoSchedule")), 1 => Just(Some("PreferNoSchedule"))];
    let zone = proptest::option::weighted(0.8, 0..2u8);
    (1..4u8, zone, taint, proptest::option::of(20..60i64), proptest::bool::weighted(0.1), any::<bool>()).prop_map(
        |(cpu, zone, taint, image, unschedulable, gpu)| {
            let mut over = json!({"spec": {"unschedulable": unschedulable}, "status": {"allocatable": {"pods": "4"}}});
            over["status"]["allocatable"]["cpu"] = json!(cpu.to_string());
            if gpu {
                over["status"]["allocatable"]["example.com/gpu"] = json!("2");
            }
            if let Some(zone) = zone {
                over["metadata"] = json!({"labels": {"zone": zone.to_string()}});
            }
            if let Some(effect) = taint {
                over["spec"]["taints"] = json!([{"key": "a", "effect": effect}]);
            }
            if let Some(size) = image {
                over["status"]["images"] = json!([{"names": ["main:latest"], "sizeBytes": size << 24}]);
            }
            testing::node("", over)
        },
    )
}

/// What a pod wants of its nodes, and of others.
fn wanted(spec: &mut Value, app: u8, of_node: u8, of_pods: u8) {
    let required = "requiredDuringSchedulingIgnoredDuringExecution";
    let preferred = "preferredDuringSchedulingIgnoredDuringExecution";
    let zone = |zone: &str| json!({"matchExpressions": [{"key": "zone", "operator": "In", "values": [zone]}]});
    match of_node {
        0 => spec["affinity"]["nodeAffinity"] = json!({required: {"nodeSelectorTerms": [zone("0")]}}),
        1 => spec["affinity"]["nodeAffinity"] = json!({preferred: [{"weight": 5, "preference": zone("1")}]}),
        2 => spec["tolerations"] = json!([{"key": "a", "operator": "Exists"}]),
        3 => spec["containers"][0]["ports"] = json!([{"containerPort": 1, "hostPort": 80}]),
        4 => spec["nodeSelector"] = json!({"zone": "1"}),
        _ => {}
    }
    let selector = |app: u8| json!({"matchLabels": {"app": app.to_string()}});
    let host = "kubernetes.io/hostname";
    let term = |key: &str, app: u8| json!({"topologyKey": key, "labelSelector": selector(app)});
    let weighted = |key: &str, app: u8| json!([{"weight": 3, "podAffinityTerm": term(key, app)}]);
    let mut anywhere = term(host, app);
    anywhere["namespaceSelector"] = json!({"matchLabels": {"team": "x"}});
    let spread = |key: &str, when: &str, taints: &str| json!({"topologyKey": key, "maxSkew": 1, "whenUnsatisfiable": when, "nodeTaintsPolicy": taints, "labelSelector": selector(app)});
    match of_pods {
        0 => spec["affinity"]["podAffinity"] = json!({required: [term("zone", app)]}),
        1 => spec["affinity"]["podAntiAffinity"] = json!({required: [term(host, app)]}),
        2 => spec["affinity"]["podAntiAffinity"] = json!({required: [term("zone", 1 - app)]}),
        3 => spec["affinity"]["podAffinity"] = json!({preferred: weighted("zone", app)}),
        4 => spec["affinity"]["podAntiAffinity"] = json!({preferred: weighted(host, app)}),
        5 => spec["affinity"]["podAntiAffinity"] = json!({required: [anywhere]}),
        6 => spec["topologySpreadConstraints"] = json!([spread("zone", "DoNotSchedule", "Ignore")]),
        7 => {
            spec["topologySpreadConstraints"] =
                json!([spread(host, "DoNotSchedule", "Honor"), spread("zone", "DoNotSchedule", "Ignore")]);
        }
        8 => {
            spec["topologySpreadConstraints"] =
                json!([spread("zone", "ScheduleAnyway", "Honor"), spread(host, "ScheduleAnyway", "Ignore")]);
        }
        _ => {}
    }
}

fn a_pod() -> impl Strategy<Value = Pod> {
    (0..3u8, 0..3i32, 0..2u8, 0..12u8, 0..14u8, proptest::bool::weighted(0.2)).prop_map(
        |(cpu, priority, app, of_node, of_pods, gpu)| {
            let mut requests = json!({"cpu": cpu.to_string()});
            if gpu {
                requests["example.com/gpu"] = json!("1");
            }
            let mut spec = requesting(requests);
            spec["priority"] = json!(priority);
            wanted(&mut spec, app, of_node, of_pods);
            let mut pod = testing::pod("", spec);
            pod.metadata.labels = Some([("app".to_owned(), app.to_string())].into());
            pod
        },
    )
}

fn an_event() -> impl Strategy<Value = Event> {
    let (node, pod) = (0..6u8, 0..9u8);
    prop_oneof![
        3 => (node.clone(), 0..KINDS).prop_map(|(name, kind)| Event::SetNode(name, kind)),
        1 => node.clone().prop_map(Event::RemoveNode),
        2 => (pod.clone(), 0..KINDS, node.clone()).prop_map(|(name, kind, on)| Event::Place(name, kind, on)),
        1 => (pod.clone(), 0..KINDS, node.clone()).prop_map(|(name, kind, on)| Event::Start(name, kind, on)),
        2 => pod.clone().prop_map(Event::RemovePod),
        1 => (pod.clone(), 0..KINDS, node.clone()).prop_map(|(name, kind, on)| Event::Nominate(name, kind, on)),
        1 => pod.clone().prop_map(Event::Withdraw),
        1 => any::<bool>().prop_map(Event::SetNamespace),
        1 => (0..2u8, 0..3i32).prop_map(|(app, allowed)| Event::SetBudget(app, allowed)),
        12 => (pod, 0..KINDS, proptest::option::weighted(0.2, node))
            .prop_map(|(name, kind, nominated)| Event::Schedule(name, kind, nominated)),
    ]
}

fn named_pod(number: u8, pod: &Pod) -> Pod {
    let mut pod = pod.clone();
    pod.metadata.uid = Some(number.to_string());
    pod.metadata.name = pod.metadata.uid.clone();
    pod
}

fn named_node(number: u8, node: &Node) -> Node {
    let mut node = node.clone();
    node.metadata.name = Some(format!("n{number}"));
    let labels = node.metadata.labels.get_or_insert_default();
    labels.insert("kubernetes.io/hostname".to_owned(), format!("n{number}"));
    node
}

fn apply(snapshot: &mut Snapshot, nodes: &[Node], pods: &[Pod], event: &Event) {
    match event {
        Event::SetNode(name, kind) => snapshot.set_node(&named_node(*name, &nodes[*kind])),
        Event::RemoveNode(name) => snapshot.remove_node(&format!("n{name}")),
        Event::Place(name, kind, on) => snapshot.assume(&named_pod(*name, &pods[*kind]), &format!("n{on}")),
        Event::Start(name, kind, on) => {
            let mut pod = named_pod(*name, &pods[*kind]);
            pod.spec.get_or_insert_default().node_name = Some(format!("n{on}"));
            pod.status = Some(testing::object(json!({"startTime": "2030-01-01T00:00:00Z"})));
            snapshot.set_pod(&pod);
        }
        Event::RemovePod(name) => snapshot.remove_pod(&name.to_string()),
        Event::Nominate(name, kind, on) => snapshot.nominate(&named_pod(*name, &pods[*kind]), &format!("n{on}")),
        Event::Withdraw(name) => snapshot.withdraw(&name.to_string()),
        Event::SetNamespace(x) => {
            let team = if *x { "x" } else { "y" };
            snapshot.set_namespace("default", [("team".to_owned(), team.to_owned())].into());
        }
        Event::SetBudget(app, allowed) => snapshot.set_budget(&testing::object(json!({
            "metadata": {"name": app.to_string(), "namespace": "default"},
            "spec": {"selector": {"matchLabels": {"app": app.to_string()}}},
            "status": {"disruptionsAllowed": allowed, "currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 1},
        }))),
        Event::Schedule(..) => {}
    }
}

/// A cluster that is known in two ways: in one, everything is counted and remembered, in the other, nothing is.
struct Cluster {
    kept: Snapshot,
    plain: Snapshot,
    memory: Memory,
    profile: Profile,
    start: usize,
}

impl Cluster {
    fn decide(&mut self, number: u8, pod: &Pod, nominated: Option<u8>, seed: u64) -> Result<(), TestCaseError> {
        let pod = named_pod(number, pod);
        let info = PodInfo::new(&pod);
        self.kept.watch(&info);
        let name = nominated.map(|node| format!("n{node}"));
        let uid = number.to_string();
        let candidate = Candidate { uid: &uid, info: &info, nominated_node: name.as_deref() };
        let mut randoms = [seed; 2].map(StdRng::seed_from_u64);
        let (memory, profile, start) = (&mut self.memory, &self.profile, self.start);
        let decision = schedule_with(memory, &self.kept, profile, &candidate, start, &mut randoms[0]);
        let plain = schedule(&self.plain, profile, &candidate, start, &mut randoms[1]);
        prop_assert_eq!(&decision, &plain);
        prop_assert_eq!(decision.verdicts.message(""), plain.verdicts.message(""));
        self.start = decision.next_start;
        match decision.node {
            Some(node) => {
                let name = self.kept.node(node).name.clone();
                self.kept.assume(&pod, &name);
                self.plain.assume(&pod, &name);
            }
            None => {
                let plugin = profile.at(ExtensionPoint::PostFilter).next().unwrap();
                let attempt = |snapshot| Attempt { snapshot, profile, pod: &candidate, verdicts: &decision.verdicts };
                let room = plugin.post_filter_with(&mut self.memory, &attempt(&self.kept), &mut randoms[0]);
                prop_assert_eq!(room, plugin.post_filter(&attempt(&self.plain), &mut randoms[1]));
            }
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn what_is_kept_changes_no_decision(
        nodes in proptest::collection::vec(a_node(), KINDS),
        pods in proptest::collection::vec(a_pod(), KINDS),
        events in proptest::collection::vec(an_event(), 20..80),
    ) {
        let (kept, plain) = (Snapshot::default(), Snapshot::default());
        let mut cluster = Cluster { kept, plain, memory: Memory::default(), profile: Profile::default(), start: 0 };
        let first = (0..4u8).map(|name| Event::SetNode(name, name.into()));
        for (seed, event) in (0..).zip(first.chain(events)) {
            apply(&mut cluster.kept, &nodes, &pods, &event);
            apply(&mut cluster.plain, &nodes, &pods, &event);
            if let Event::Schedule(name, kind, nominated) = event {
                cluster.decide(name, &pods[kind], nominated, seed)?;
            }
        }
    }
}
