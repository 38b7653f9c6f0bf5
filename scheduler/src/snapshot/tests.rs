//! The snapshot is what it would be if it were made anew, whatever happened before.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Node, Pod};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::testing;

/// What happens to one of a few nodes or pods.
#[derive(Clone, Debug)]
enum Event {
    SetNode(u8, Node),
    RemoveNode(u8),
    /// The pod is on a node, if one is given.
    SetPod(u8, Pod, Option<u8>),
    /// The pod ends on its node.
    EndPod(u8),
    Assume(u8, Pod, u8),
    RemovePod(u8),
}

fn a_node() -> impl Strategy<Value = Node> {
    (0..3i64, proptest::option::of(0..3i64), 0..3u8, any::<bool>()).prop_map(|(cpu, gpu, zone, image)| {
        let mut allocatable = json!({"cpu": format!("{cpu}500m"), "memory": "1Gi", "pods": "10"});
        if let Some(gpu) = gpu {
            allocatable["example.com/gpu"] = json!(gpu.to_string());
        }
        let images = if image { json!([{"names": ["a:1", "a:2"], "sizeBytes": 5}]) } else { json!([]) };
        testing::node(
            "",
            json!({
                "metadata": {"labels": {"topology.kubernetes.io/zone": zone.to_string()}},
                "spec": {"taints": if cpu == 0 { json!([{"key": "a", "effect": "NoSchedule"}]) } else { json!([]) }},
                "status": {"allocatable": allocatable, "images": images},
            }),
        )
    })
}

fn a_pod() -> impl Strategy<Value = Pod> {
    (0..3i64, 0..2i64, proptest::option::of(80..82), 0..3u8).prop_map(|(cpu, gpu, port, app)| {
        let mut spec = testing::requesting(json!({"cpu": format!("{cpu}00m"), "example.com/gpu": gpu.to_string()}));
        if let Some(port) = port {
            spec["containers"][0]["ports"] = json!([{"containerPort": port, "hostPort": port}]);
        }
        if app == 2 {
            let term =
                json!({"topologyKey": "topology.kubernetes.io/zone", "labelSelector": {"matchLabels": {"app": "2"}}});
            spec["affinity"] = json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}});
        }
        let mut pod = testing::pod("", spec);
        pod.metadata.labels = Some(BTreeMap::from([("app".to_owned(), app.to_string())]));
        if gpu == 1 {
            pod.metadata.deletion_timestamp =
                Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(Timestamp::UNIX_EPOCH));
        }
        pod
    })
}

/// A pod about whose surroundings everything is kept counted.
fn watched() -> PodInfo {
    let constraint = |key: &str, app: &str| {
        let selector = json!({"matchLabels": {"app": app}});
        json!({"maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": selector})
    };
    let mut constraints = [constraint("topology.kubernetes.io/zone", "1"), constraint("kubernetes.io/hostname", "2")];
    constraints[1]["nodeTaintsPolicy"] = json!("Honor");
    PodInfo::new(&testing::pod("watched", json!({ "topologySpreadConstraints": constraints })))
}

/// A pod that is spread as it is by default, and the Service that selects it.
fn defaulted() -> (PodInfo, Service) {
    let mut pod = testing::pod("defaulted", json!({}));
    pod.metadata.labels = Some(BTreeMap::from([("app".to_owned(), "0".to_owned())]));
    let service = json!({"metadata": {"name": "s", "namespace": "default"}, "spec": {"selector": {"app": "0"}}});
    (PodInfo::new(&pod), testing::object(service))
}

/// What is said of each node's domain, by the nodes' names.
fn by_name(snapshot: &Snapshot, key: &str, of: impl Fn(usize) -> i64) -> BTreeMap<String, Option<i64>> {
    let domains = snapshot.domains(key);
    let named = |node: &NodeIndex| (snapshot.node(*node).name.clone(), domains.get(*node).map(&of));
    snapshot.order().iter().map(named).collect()
}

/// The wishes of pods, with the names of their nodes, and how many pods have them near each node.
fn named_wishes(snapshot: &Snapshot) -> BTreeMap<String, impl PartialEq + std::fmt::Debug + use<>> {
    let wish = |wished: &Wished| {
        let Wished { wish, term, by_node, .. } = wished;
        let mut named: Vec<_> =
            by_node.iter().map(|(node, count)| (snapshot.node(*node).name.clone(), *count)).collect();
        named.sort();
        let sums = by_name(snapshot, &term.topology_key, |domain| wished.get(domain));
        (format!("{wish:?} {term:?}"), (named, sums))
    };
    snapshot.wishes().map(wish).collect()
}

fn an_event() -> impl Strategy<Value = Event> {
    let (node, pod) = (0..4u8, 0..6u8);
    prop_oneof![
        (node.clone(), a_node()).prop_map(|(name, node)| Event::SetNode(name, node)),
        node.clone().prop_map(Event::RemoveNode),
        (pod.clone(), a_pod(), proptest::option::of(node.clone())).prop_map(|(n, pod, on)| Event::SetPod(n, pod, on)),
        pod.clone().prop_map(Event::EndPod),
        (pod.clone(), a_pod(), node).prop_map(|(name, pod, on)| Event::Assume(name, pod, on)),
        pod.prop_map(Event::RemovePod),
    ]
}

fn named_node(number: u8, mut node: Node) -> Node {
    node.metadata.name = Some(format!("n{number}"));
    node
}

fn named_pod(number: u8, mut pod: Pod, node: Option<u8>) -> Pod {
    pod.metadata.uid = Some(number.to_string());
    pod.spec.as_mut().unwrap().node_name = node.map(|node| format!("n{node}"));
    pod
}

/// The nodes and pods that there are.
#[derive(Default)]
struct Model {
    nodes: BTreeMap<u8, Node>,
    pods: BTreeMap<u8, (Pod, u8, bool)>,
}

impl Model {
    fn apply(&mut self, event: &Event) {
        match event.clone() {
            Event::SetNode(name, node) => drop(self.nodes.insert(name, node)),
            Event::RemoveNode(name) => drop(self.nodes.remove(&name)),
            Event::SetPod(name, pod, Some(node)) => drop(self.pods.insert(name, (pod, node, false))),
            Event::SetPod(name, _, None) => {
                if self.pods.get(&name).is_some_and(|(_, _, assumed)| !assumed) {
                    self.pods.remove(&name);
                }
            }
            Event::Assume(name, pod, node) => drop(self.pods.insert(name, (pod, node, true))),
            Event::EndPod(name) | Event::RemovePod(name) => drop(self.pods.remove(&name)),
        }
    }

    fn anew(&self) -> Snapshot {
        let mut snapshot = Snapshot::default();
        for (name, node) in &self.nodes {
            snapshot.set_node(&named_node(*name, node.clone()));
        }
        for (name, (pod, node, assumed)) in &self.pods {
            let pod = named_pod(*name, pod.clone(), (!assumed).then_some(*node));
            if *assumed {
                snapshot.assume(&pod, &format!("n{node}"));
            } else {
                snapshot.set_pod(&pod);
            }
        }
        snapshot
    }
}

fn apply(snapshot: &mut Snapshot, event: &Event) {
    match event.clone() {
        Event::SetNode(name, node) => snapshot.set_node(&named_node(name, node)),
        Event::RemoveNode(name) => snapshot.remove_node(&format!("n{name}")),
        Event::SetPod(name, pod, node) => snapshot.set_pod(&named_pod(name, pod, node)),
        Event::EndPod(name) => {
            let mut pod = named_pod(name, testing::pod("", json!({})), Some(0));
            pod.status.get_or_insert_default().phase = Some("Failed".to_owned());
            snapshot.set_pod(&pod);
        }
        Event::Assume(name, pod, node) => snapshot.assume(&named_pod(name, pod, None), &format!("n{node}")),
        Event::RemovePod(name) => snapshot.remove_pod(&name.to_string()),
    }
}

/// Everything that a snapshot says of its nodes, but their indices.
fn told(snapshot: &Snapshot) -> BTreeMap<String, impl PartialEq + std::fmt::Debug + use<>> {
    let tell = |(name, index): (&String, &NodeIndex)| {
        let resources = ["cpu", "memory", "pods", "example.com/gpu"].map(|resource| {
            let column = snapshot.resources.index(resource);
            column.map_or([0; 3], |column| {
                let resources = &snapshot.resources;
                [
                    resources.allocatable(column, *index),
                    resources.requested(column, *index),
                    resources.presumed(column, *index),
                ]
            })
        });
        let node = snapshot.node(*index);
        let pods: BTreeMap<_, _> =
            node.pods.iter().map(|pod| (pod.uid.clone(), (pod.info.clone(), pod.assumed))).collect();
        let rest = NodeInfo { pods: Vec::new(), ..node.clone() };
        (name.clone(), (resources, pods, rest, snapshot.order().contains(index)))
    };
    snapshot.by_name.iter().map(tell).collect()
}

proptest! {
    #[test]
    fn events_make_what_would_be_made_anew(events in proptest::collection::vec(an_event(), 0..60)) {
        let (mut snapshot, mut model) = (Snapshot::default(), Model::default());
        for (number, event) in events.iter().enumerate() {
            if number == events.len() / 2 {
                snapshot.watch(&watched());
                snapshot.set_service(&defaulted().1);
                snapshot.watch(&defaulted().0);
            }
            apply(&mut snapshot, event);
            model.apply(event);
        }
        let anew = model.anew();
        snapshot.watch(&watched());
        snapshot.set_service(&defaulted().1);
        snapshot.watch(&defaulted().0);
        let by_default = snapshot.default_query(&defaulted().0).unwrap().into_owned();
        prop_assert_eq!(told(&snapshot), told(&anew));
        prop_assert_eq!(&snapshot.groups, &anew.groups);
        prop_assert_eq!(&snapshot.images, &anew.images);
        prop_assert_eq!(snapshot.order().len(), model.nodes.len());
        prop_assert_eq!(snapshot.pods.len(), model.pods.len());
        for key in ["topology.kubernetes.io/zone", "kubernetes.io/hostname"] {
            // Numbers of domains differ; which nodes are in the same one does not.
            let kept = snapshot.counts.domains(key, &[]);
            prop_assert!(matches!(kept, Cow::Borrowed(_)));
            for (a, b) in snapshot.order().iter().flat_map(|a| snapshot.order().iter().map(move |b| (*a, *b))) {
                let label = |node| snapshot.node(node).labels.get(key);
                prop_assert_eq!(kept.get(a) == kept.get(b), label(a) == label(b));
                prop_assert_eq!(kept.get(a).is_some(), label(a).is_some());
            }
        }
        for query in watched().spread.iter().map(|constraint| &constraint.query).chain([&by_default]) {
            let kept = snapshot.count(query);
            prop_assert!(matches!(kept, Cow::Borrowed(_)));
            let of_node = |node: &NodeInfo| node.pods.iter().filter(|pod| query.counts(pod, snapshot.namespaces())).count();
            let counted: Vec<_> = snapshot.nodes.iter().map(|node| u32::try_from(of_node(node)).unwrap()).collect();
            let mut kept = kept.into_owned();
            kept.resize(counted.len(), 0);
            prop_assert_eq!(kept, counted);
        }
        for constraint in &watched().spread {
            let (query, key) = (&constraint.query, &constraint.topology_key);
            let scope = Scope::of(&watched(), constraint, &watched().spread);
            let (kept, counted) = (snapshot.tally(query, key, &scope), anew.tally(query, key, &scope));
            prop_assert!(matches!(kept, Cow::Borrowed(_)));
            let whole = |tally: &Tally| (tally.total(), tally.domains(), tally.least(&[]));
            prop_assert_eq!(whole(&kept), whole(&counted));
            prop_assert_eq!(by_name(&snapshot, key, |domain| kept.get(domain)), by_name(&anew, key, |domain| counted.get(domain)));
        }
        prop_assert_eq!(named_wishes(&snapshot), named_wishes(&anew));
        let unused: BTreeSet<_> = snapshot.free.iter().collect();
        prop_assert_eq!(unused.len() + snapshot.by_name.len(), snapshot.bound());
        let zones = |snapshot: &Snapshot| -> Vec<usize> {
            let mut known = BTreeMap::<&str, usize>::new();
            let round = |index: &NodeIndex| {
                let count = known.entry(snapshot.node(*index).zone().1).or_default();
                *count += 1;
                *count
            };
            snapshot.order().iter().map(round).collect()
        };
        prop_assert!(zones(&snapshot).is_sorted(), "a zone had two turns before another had one");
    }
}

#[test]
fn pods_that_are_alike_are_seen_as_one() {
    let alike = |name: &str| testing::pod(name, testing::requesting(json!({"cpu": "1"})));
    let other = testing::pod("c", testing::requesting(json!({"cpu": "2"})));
    let pods = [("n1", alike("a")), ("n2", alike("b")), ("n2", other)];
    let snapshot = testing::snapshot(&[testing::node("n1", json!({}))], &pods);
    let info = |uid: &str| &snapshot.pod(uid).unwrap().info;
    assert!(Arc::ptr_eq(info("a"), info("b")));
    assert!(!Arc::ptr_eq(info("a"), info("c")));
    assert!(snapshot.index("n1").is_some());
    assert_eq!(snapshot.index("n2"), None, "no such node exists, though pods are on it");
}

#[test]
fn changes_that_scheduling_does_not_see_change_nothing() {
    let mut pod = testing::pod("a", testing::requesting(json!({"cpu": "1"})));
    pod.spec.as_mut().unwrap().node_name = Some("n1".to_owned());
    let mut snapshot = testing::snapshot(&[testing::node("n1", json!({}))], &[]);
    snapshot.set_pod(&pod);
    let before = Arc::clone(snapshot.pod("a").unwrap());
    pod.metadata.resource_version = Some("2".to_owned());
    snapshot.set_pod(&pod);
    assert!(Arc::ptr_eq(&before, snapshot.pod("a").unwrap()));
    pod.metadata.labels = Some(BTreeMap::from([("app".to_owned(), "b".to_owned())]));
    snapshot.set_pod(&pod);
    assert_eq!(snapshot.pod("a").unwrap().info.labels.len(), 1);
    assert_eq!(snapshot.node(before.node).pods.len(), 1);
}

#[test]
fn the_queries_that_were_asked_last_are_kept() {
    let labelled = |name: &str, number: usize, node: Option<&str>| {
        let selector = json!({"matchLabels": {"number": number.to_string()}});
        let constraint = json!({
            "maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": selector,
        });
        let mut pod = testing::pod(name, json!({"topologySpreadConstraints": [constraint], "nodeName": node}));
        pod.metadata.labels = Some(BTreeMap::from([("number".to_owned(), number.to_string())]));
        pod
    };
    let mut snapshot = testing::snapshot(&[testing::node("n0", json!({})), testing::node("n1", json!({}))], &[]);
    let many = queries::MOST_QUERIES + 10;
    for number in 0..many {
        snapshot.set_pod(&labelled(&format!("a{number}"), number, Some("n0")));
        snapshot.watch(&PodInfo::new(&labelled("p", number, None)));
        // This one is asked for again and again.
        snapshot.watch(&PodInfo::new(&labelled("p", 0, None)));
    }
    for number in 0..many {
        snapshot.set_pod(&labelled(&format!("b{number}"), number, Some("n1")));
    }
    snapshot.remove_pod("a0");
    let check = |number: usize, is_kept: bool, expected: [u32; 2]| {
        let pod = PodInfo::new(&labelled("p", number, None));
        let counted = snapshot.count(&pod.spread[0].query);
        assert_eq!(matches!(counted, Cow::Borrowed(_)), is_kept, "{number}");
        assert_eq!(*counted, expected, "{number}");
    };
    check(0, true, [0, 1]);
    (1..11).for_each(|number| check(number, false, [1, 1]));
    (11..many).for_each(|number| check(number, true, [1, 1]));
}

#[test]
fn pods_that_leave_after_all_do_so_whatever_was_thought() {
    let check = |thinks: &[bool], hears: Option<bool>, expected: (bool, bool)| {
        let mut snapshot = testing::snapshot(&[testing::node("n", json!({}))], &[]);
        let pod = |leaves: bool| {
            let mut pod = testing::pod("a", json!({"nodeName": "n"}));
            if leaves {
                pod.metadata.deletion_timestamp = Some(testing::object(json!("2030-01-01T00:00:00Z")));
                let reason = json!({"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"});
                pod.status.get_or_insert_default().conditions = Some(vec![testing::object(reason)]);
            }
            pod
        };
        snapshot.set_pod(&pod(false));
        for (position, leaving) in thinks.iter().enumerate() {
            if position == 1
                && let Some(leaves) = hears
            {
                snapshot.set_pod(&pod(leaves));
            }
            snapshot.set_leaving("a", *leaving);
        }
        let placed = snapshot.pod("a").unwrap();
        assert_eq!((placed.terminating, placed.preempted), expected, "{thinks:?} {hears:?}");
        assert!(Arc::ptr_eq(placed, &snapshot.node(placed.node).pods[0]));
    };
    check(&[true], None, (true, true));
    check(&[true, false], None, (false, false));
    check(&[true, false], Some(true), (true, true));
    check(&[true, false], Some(false), (false, false));
    check(&[false], None, (false, false));
}
