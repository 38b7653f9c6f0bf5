//! Upstream's workloads, in the sizes of its performance tests: `test/integration/scheduler_perf` in its repository.
//!
//! What upstream has come five times a second comes with every hundredth pod here.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Node;
use serde_json::{Value, json};

use crate::storage::{Storage, claimed};
use crate::templates::{Pods, coloured, for_nodes, nodes, plain, pod, small, spread};

const HOSTNAME: &str = "kubernetes.io/hostname";
const ZONE: &str = "topology.kubernetes.io/zone";
const NEAR: &str = "podAffinity";
const FAR: &str = "podAntiAffinity";

/// What there is, and what comes.
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    /// How many pods a second upstream's tests ask for.
    pub(crate) upstream: u32,
    pub(crate) namespaces: Vec<(String, BTreeMap<String, String>)>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) initial: Vec<Pods>,
    pub(crate) measured: Pods,
    /// With every so many pods, one of these comes too.
    pub(crate) churn: Option<(usize, Pods)>,
    /// Where the pods' volumes come from, if they have any.
    pub(crate) storage: Option<Storage>,
}

impl Workload {
    fn new(name: &'static str, upstream: u32, nodes: Vec<Node>, initial: Vec<Pods>, measured: Pods) -> Self {
        Self { name, upstream, namespaces: Vec::new(), nodes, initial, measured, churn: None, storage: None }
    }

    fn with(self, others: Pods) -> Self {
        Self { churn: Some((100, others)), ..self }
    }
}

fn default_nodes(count: usize, zones: &[&str]) -> Vec<Node> {
    nodes(count, zones, &[], &json!([]))
}

pub(crate) fn all() -> Vec<Workload> {
    let mut all = basic();
    all.extend(affinity());
    all.extend(namespace_selectors());
    all.extend(spreading());
    all.extend(without_room());
    all.extend(volumes());
    all
}

fn basic() -> Vec<Workload> {
    let plain = |count| Pods::new(count, plain(), "default");
    let mut many_nodes = default_nodes(15_000, &[]);
    let named = for_nodes(
        json!({}),
        json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["scheduler-perf-node"]}]}),
    );
    let mut one = nodes(1, &[], &[("pods", "90000")], &json!([])).remove(0);
    one.metadata.name = Some("scheduler-perf-node".to_owned());
    many_nodes.insert(0, one);
    let expressions = json!([{"key": ZONE, "operator": "In", "values": ["zone1", "zone2"]}]);
    let zoned = for_nodes(small(), json!({ "matchExpressions": expressions }));
    let zoned = |count| Pods::new(count, zoned.clone(), "default");
    let extended = pod(json!({"foo.com/bar": "1"}), json!({}), json!({}));
    let rich = nodes(5000, &[], &[("foo.com/bar", "2")], &json!([]));
    vec![
        Workload::new("SchedulingBasic", 680, default_nodes(5000, &[]), vec![plain(1000)], plain(10_000)),
        Workload::new("SchedulingBasic/50000Pods", 810, default_nodes(5000, &[]), vec![plain(5000)], plain(50_000)),
        Workload::new("SchedulingDaemonset", 1100, many_nodes, vec![], Pods::new(30_000, named, "default")),
        Workload::new("SchedulingNodeAffinity", 220, default_nodes(5000, &["zone1"]), vec![zoned(5000)], zoned(10_000)),
        Workload::new("SchedulingWithExtendedResource", 180, rich, vec![], Pods::new(5000, extended, "test")),
    ]
}

fn affinity() -> Vec<Workload> {
    let both = || json!({"namespaces": ["sched-1", "sched-0"]});
    let near = || coloured("blue", NEAR, true, ZONE, both());
    let far = || coloured("green", FAR, true, HOSTNAME, both());
    let rather_near = || coloured("red", NEAR, false, HOSTNAME, both());
    let rather_far = || coloured("yellow", FAR, false, HOSTNAME, both());
    let green = || pod(small(), json!({"color": "green"}), json!({}));
    let initial = |count, template| vec![Pods::new(count, template, "sched-0")];
    let measured = |count, template| Pods::new(count, template, "sched-1");
    let nodes = |zones: &[&str]| default_nodes(5000, zones);
    let templates = [plain(), near(), far(), rather_near(), rather_far()];
    let mixed = templates.into_iter().map(|template| Pods::new(2000, template, "sched-0")).collect();
    vec![
        Workload::new("SchedulingPodAntiAffinity", 60, nodes(&[]), initial(1000, far()), measured(2000, far())),
        Workload::new(
            "SchedulingPodMatchingAntiAffinity",
            595,
            nodes(&[]),
            initial(1000, far()),
            measured(5000, green()),
        ),
        Workload::new("SchedulingPodAffinity", 35, nodes(&["zone1"]), initial(5000, near()), measured(5000, near())),
        Workload::new(
            "SchedulingPreferredPodAffinity",
            90,
            nodes(&[]),
            initial(5000, rather_near()),
            measured(5000, rather_near()),
        ),
        Workload::new(
            "SchedulingPreferredPodAntiAffinity",
            90,
            nodes(&[]),
            initial(5000, rather_far()),
            measured(5000, rather_far()),
        ),
        Workload::new("MixedSchedulingBasePod", 140, nodes(&["zone1"]), mixed, Pods::new(5000, plain(), "default")),
    ]
}

fn namespace_selectors() -> Vec<Workload> {
    let devops = || BTreeMap::from([("team".to_owned(), "devops".to_owned())]);
    let first = || (0..100).map(|number| format!("init-ns-{number}"));
    let selector = || json!({"namespaceSelector": {"matchLabels": {"team": "devops"}}});
    let workload = |name, upstream, nodes, each: usize, count, template: k8s_openapi::api::core::v1::Pod| {
        let initial = vec![Pods { count: 100 * each, template: template.clone(), namespaces: first().collect() }];
        let namespaces = first().chain(["measure-ns-0".to_owned()]).map(|name| (name, devops())).collect();
        let measured = Pods::new(count, template, "measure-ns-0");
        Workload { namespaces, ..Workload::new(name, upstream, nodes, initial, measured) }
    };
    vec![
        workload(
            "SchedulingRequiredPodAntiAffinityWithNSSelector",
            24,
            default_nodes(6000, &[]),
            40,
            2000,
            coloured("green", FAR, true, HOSTNAME, selector()),
        ),
        workload(
            "SchedulingPreferredAntiAffinityWithNSSelector",
            55,
            default_nodes(5000, &[]),
            40,
            2000,
            coloured("yellow", FAR, false, HOSTNAME, selector()),
        ),
        workload(
            "SchedulingRequiredPodAffinityWithNSSelector",
            35,
            default_nodes(5000, &["zone1"]),
            50,
            2000,
            coloured("blue", NEAR, true, ZONE, selector()),
        ),
        workload(
            "SchedulingPreferredAffinityWithNSSelector",
            90,
            default_nodes(5000, &[]),
            50,
            5000,
            coloured("red", NEAR, false, HOSTNAME, selector()),
        ),
    ]
}

fn spreading() -> Vec<Workload> {
    let zone = |when: &str| spread("blue", json!({"maxSkew": 5, "topologyKey": ZONE, "whenUnsatisfiable": when}));
    let honest = spread(
        "blue",
        json!({
            "maxSkew": 1,
            "topologyKey": HOSTNAME,
            "whenUnsatisfiable": "DoNotSchedule",
            "nodeAffinityPolicy": "Honor",
            "nodeTaintsPolicy": "Honor",
        }),
    );
    let workload = |name, upstream, template| {
        let nodes = default_nodes(5000, &["moon-1", "moon-2", "moon-3"]);
        let initial = vec![Pods::new(5000, plain(), "default")];
        Workload::new(name, upstream, nodes, initial, Pods::new(5000, template, "spread"))
    };
    let mut some_tainted = default_nodes(4000, &[]);
    some_tainted.extend(nodes(1000, &[], &[], &json!([{"key": "foo", "effect": "NoSchedule"}])));
    vec![
        workload("TopologySpreading", 460, zone("DoNotSchedule")),
        workload("PreferredTopologySpreading", 340, zone("ScheduleAnyway")),
        Workload::new(
            "SchedulingWithNodeInclusionPolicy",
            270,
            some_tainted,
            vec![],
            Pods::new(4000, honest, "default"),
        ),
    ]
}

fn without_room() -> Vec<Workload> {
    let requests = |cpu: &str| json!({"cpu": cpu, "memory": "500Mi"});
    let important = |cpu: &str| pod(requests(cpu), json!({}), json!({"priority": 10}));
    let low = |count| vec![Pods::new(count, pod(requests("900m"), json!({}), json!({})), "low")];
    let measured = |count| Pods::new(count, plain(), "default");
    let never = |count: usize| Pods::new(count, important("9"), "never");
    let full = |value: Value| vec![Pods::new(20_000, pod(value, json!({}), json!({})), "full")];
    let nodes = || default_nodes(5000, &[]);
    vec![
        Workload::new(
            "PreemptionBasic/1000Nodes",
            0,
            default_nodes(1000, &[]),
            low(4000),
            Pods { count: 1000, template: important("3"), namespaces: vec!["high".to_owned()] },
        ),
        Workload::new("PreemptionBasic", 0, nodes(), low(20_000), Pods::new(5000, important("3"), "high")),
        Workload::new("PreemptionAsync", 570, nodes(), low(20_000), measured(5000)).with(Pods::new(
            5000,
            important("3"),
            "high",
        )),
        Workload::new("Unschedulable/100Init", 590, nodes(), vec![Pods::new(100, plain(), "first")], measured(10_000))
            .with(never(10_000)),
        Workload::new(
            "Unschedulable/20kInit",
            600,
            nodes(),
            vec![Pods::new(20_000, plain(), "first")],
            measured(10_000),
        )
        .with(never(10_000)),
        // Not upstream's: every pod is one for which there is no room, though there could be on every node but for others.
        Workload::new(
            "NoRoom",
            0,
            nodes(),
            full(requests("900m")),
            Pods::new(1000, pod(requests("1"), json!({}), json!({})), "x"),
        ),
        Workload::new("NoRoomEver", 0, nodes(), full(requests("900m")), never(1000)),
    ]
}

fn volumes() -> Vec<Workload> {
    let workload = |name, (count, measured), storage| {
        let pods = |count| Pods::new(count, pod(small(), json!({}), claimed()), "default");
        let initial = if count == 0 { Vec::new() } else { vec![pods(count)] };
        let workload = Workload::new(name, 0, default_nodes(5000, &["zone1"]), initial, pods(measured));
        Workload { storage: Some(storage), ..workload }
    };
    vec![
        workload("SchedulingCSIPVs", (5000, 4000), Storage::Csi),
        workload("SchedulingMigratedInTreePVs", (5000, 4000), Storage::Migrated),
        // Not upstream's: every node has a volume, and the more pods there are the fewer are left.
        workload("LocalPVs", (0, 1000), Storage::Local),
    ]
}
