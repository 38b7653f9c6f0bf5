//! Random nodes, pods, namespaces and budgets, of few different values each, so that they have to do with each other.

use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Map, Value, json};

use crate::cluster::{Labels, Owner};

pub(crate) const NAMESPACES: [&str; 3] = ["blue", "green", "red"];
/// Labels of nodes that are domains. Not every node has them.
const KEYS: [&str; 3] = ["kubernetes.io/hostname", "zone", "rack"];
/// What pods can belong to, and how they say so.
const OWNERS: [(Owner, &str, &str); 4] = [
    (Owner::Service, "v1", "Service"),
    (Owner::ReplicaSet, "apps/v1", "ReplicaSet"),
    (Owner::ReplicationController, "v1", "ReplicationController"),
    (Owner::StatefulSet, "apps/v1", "StatefulSet"),
];
pub(crate) const OWNER_NAMES: [&str; 2] = ["one", "two"];
const MILD: &str = "PreferNoSchedule";

/// One of these, as a value.
fn one_of<T: Clone + std::fmt::Debug + Into<Value> + 'static>(values: &[T]) -> BoxedStrategy<Value> {
    select(values.to_vec()).prop_map(Into::into).boxed()
}

/// An object of what is there.
fn object(fields: Vec<(&str, Option<Value>)>) -> Value {
    Value::Object(fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect())
}

pub(crate) fn node(name: &'static str) -> BoxedStrategy<Node> {
    let labels = (
        weighted(0.9, one_of(&["a", "b"])),
        weighted(0.7, one_of(&["1", "2", "3"])),
        weighted(0.9, Just(name)),
        weighted(0.8, one_of(&["a", "b", "c"])),
    );
    let taint = (one_of(&["disk", "gpu"]), one_of(&["", "1"]), one_of(&["NoSchedule", "NoExecute", MILD, MILD]));
    let taint = taint.prop_map(|(key, value, effect)| json!({"key": key, "value": value, "effect": effect}));
    let taints = prop_oneof![3 => Just(Vec::new()), 1 => vec(taint, 1..3)];
    let amounts = (
        weighted(0.98, one_of(&["2", "5", "7500m"])),
        weighted(0.98, one_of(&["4Gi", "11Gi", "9G"])),
        one_of(&["4", "8", "12"]),
        weighted(0.5, one_of(&["1", "4"])),
        weighted(0.5, one_of(&["1Gi", "10Gi"])),
    );
    let images = subsequence(vec![("small:1", 10), ("big:latest", 700), ("huge:2", 3000)], 0..=3);
    (labels, taints, amounts, images, prop::bool::weighted(0.05))
        .prop_map(move |((zone, rack, hostname, failure), taints, (cpu, memory, pods, gpu, disk), images, cordoned)| {
            let labels = object(vec![
                ("zone", zone),
                ("rack", rack),
                ("kubernetes.io/hostname", hostname.map(Value::from)),
                ("topology.kubernetes.io/zone", failure),
            ]);
            let allocatable = object(vec![
                ("cpu", cpu),
                ("memory", memory),
                ("pods", Some(pods)),
                ("example.com/gpu", gpu),
                ("ephemeral-storage", disk),
            ]);
            let image =
                |(name, size): &(&str, i64)| json!({"names": [name, format!("{name}-too")], "sizeBytes": size << 20});
            let images: Vec<_> = images.iter().map(image).collect();
            serde_json::from_value(json!({
                "metadata": {"name": name, "labels": labels},
                "spec": {"taints": taints, "unschedulable": cordoned},
                "status": {"allocatable": allocatable, "images": images},
            }))
            .unwrap()
        })
        .boxed()
}

pub(crate) fn namespace_labels() -> BoxedStrategy<Labels> {
    weighted(0.7, select(vec!["x", "y"]))
        .prop_map(|team| team.into_iter().map(|team| ("team".to_owned(), team.to_owned())).collect())
        .boxed()
}

/// Selects by the labels `app` and `version`.
fn selector(everything: u32) -> BoxedStrategy<Value> {
    prop_oneof![
        8 => one_of(&["web", "db"]).prop_map(|app| json!({"matchLabels": {"app": app}})),
        3 => Just(json!({"matchExpressions": [{"key": "app", "operator": "Exists"}]})),
        2 => one_of(&["1", "2"]).prop_map(
            |version| json!({"matchExpressions": [{"key": "version", "operator": "NotIn", "values": [version]}]})
        ),
        everything => Just(json!({})),
    ]
    .boxed()
}

fn requests() -> BoxedStrategy<Value> {
    let amounts = (
        weighted(0.7, one_of(&["0", "300m", "700m", "1", "2500m"])),
        weighted(0.5, one_of(&["300Mi", "1Gi", "3Gi"])),
        weighted(0.08, one_of(&["0", "1", "2"])),
        weighted(0.04, one_of(&["1Gi", "2G"])),
    );
    amounts
        .prop_map(|(cpu, memory, gpu, disk)| {
            object(vec![("cpu", cpu), ("memory", memory), ("example.com/gpu", gpu), ("ephemeral-storage", disk)])
        })
        .boxed()
}

fn container(name: &'static str) -> BoxedStrategy<Value> {
    let image = one_of(&["small:1", "small:1-too", "big", "huge:2", "none"]);
    let port = (one_of(&[80, 81]), weighted(0.3, one_of(&["UDP"])), weighted(0.4, one_of(&["10.0.0.1", "10.0.0.2"])));
    let port = port.prop_map(|(port, protocol, ip)| {
        object(vec![
            ("containerPort", Some(json!(80))),
            ("hostPort", Some(port)),
            ("protocol", protocol),
            ("hostIP", ip),
        ])
    });
    (requests(), image, weighted(0.1, port))
        .prop_map(move |(requests, image, port)| {
            let ports = port.map_or_else(|| json!([]), |port| json!([port]));
            json!({"name": name, "image": image, "resources": {"requests": requests}, "ports": ports})
        })
        .boxed()
}

/// Containers of all kinds, overhead and resources of the pod as a whole.
fn containers() -> BoxedStrategy<Map<String, Value>> {
    let sidecar = (container("init"), any::<bool>()).prop_map(|(mut container, always)| {
        if always {
            container["restartPolicy"] = json!("Always");
        }
        container
    });
    let overhead = Just(json!({"cpu": "100m", "memory": "100Mi"}));
    let whole = Just(json!({"requests": {"cpu": "1", "memory": "1Gi"}}));
    let second = weighted(0.2, container("second"));
    (container("main"), second, weighted(0.2, sidecar), weighted(0.1, overhead), weighted(0.05, whole))
        .prop_map(|(main, second, init, overhead, whole)| {
            let containers: Vec<Value> = std::iter::once(main).chain(second).collect();
            let fields = vec![
                ("containers", Some(json!(containers))),
                ("initContainers", init.map(|init| json!([init]))),
                ("overhead", overhead),
                ("resources", whole),
            ];
            let Value::Object(fields) = object(fields) else { unreachable!("it is an object") };
            fields
        })
        .boxed()
}

/// One container that requests nothing.
fn undemanding() -> Map<String, Value> {
    Map::from_iter([("containers".to_owned(), json!([{"name": "main", "image": "none"}]))])
}

/// A resize of the main container under way, or one that cannot be.
fn resize() -> BoxedStrategy<Value> {
    (requests(), requests(), prop::bool::weighted(0.3))
        .prop_map(|(given, had, infeasible)| {
            let pending = json!({"type": "PodResizePending", "status": "True", "reason": "Infeasible"});
            let status = json!({"name": "main", "image": "", "imageID": "", "ready": true, "restartCount": 0,
            "allocatedResources": given, "resources": {"requests": had}});
            json!({"containerStatuses": [status], "conditions": if infeasible { json!([pending]) } else { json!([]) }})
        })
        .boxed()
}

fn tolerations() -> BoxedStrategy<Value> {
    let effects = &["NoSchedule", "NoExecute", MILD];
    let keys = &["disk", "gpu", "node.kubernetes.io/unschedulable"];
    let one = (weighted(0.8, one_of(keys)), any::<bool>(), one_of(&["", "1"]), weighted(0.5, one_of(effects)));
    let one = one.prop_map(|(key, exists, value, effect)| {
        let exists = exists || key.is_none();
        let operator = exists.then(|| json!("Exists"));
        object(vec![("key", key), ("operator", operator), ("value", (!exists).then_some(value)), ("effect", effect)])
    });
    prop_oneof![2 => Just(Vec::new()), 1 => vec(one, 1..3)].prop_map(Value::from).boxed()
}

/// Which nodes: by labels, rarely by name.
fn node_term() -> BoxedStrategy<Value> {
    let zone = one_of(&["a", "b"]).prop_map(|zone| json!({"key": "zone", "operator": "In", "values": [zone]}));
    let rack = one_of(&["1", "2"]);
    let rack = (rack, select(vec!["NotIn", "Gt", "Lt"]))
        .prop_map(|(rack, operator)| json!({"key": "rack", "operator": operator, "values": [rack]}));
    let other =
        select(vec!["Exists", "DoesNotExist"]).prop_map(|operator| json!({"key": "rack", "operator": operator}));
    let by_name = (select(vec!["In", "NotIn"]), one_of(&["n1", "n2", "n3"]))
        .prop_map(|(operator, name)| json!({"key": "metadata.name", "operator": operator, "values": [name]}));
    prop_oneof![
        8 => prop_oneof![zone, rack, other].prop_map(|expression| json!({"matchExpressions": [expression]})),
        1 => vec(by_name.clone(), 1..3).prop_map(|fields| json!({"matchFields": fields})),
        1 => by_name.prop_map(
            |field| json!({"matchFields": [field], "matchExpressions": [{"key": "zone", "operator": "Exists"}]})
        ),
    ]
    .boxed()
}

fn node_affinity() -> BoxedStrategy<Value> {
    let preferred = (1..5i32, node_term()).prop_map(|(weight, term)| json!({"weight": weight, "preference": term}));
    let required = vec(node_term(), 1..3).prop_map(|terms| json!({"nodeSelectorTerms": terms}));
    (weighted(0.5, required), weighted(0.5, vec(preferred, 1..3)))
        .prop_map(|(required, preferred)| {
            object(vec![
                ("requiredDuringSchedulingIgnoredDuringExecution", required),
                ("preferredDuringSchedulingIgnoredDuringExecution", preferred.map(Value::from)),
            ])
        })
        .boxed()
}

/// A term of pod affinity as the server stores it, with the keys that must match, or must not, merged into its selector.
fn pod_term(version: Option<&'static str>) -> BoxedStrategy<Value> {
    let namespaces = subsequence(NAMESPACES.to_vec(), 1..=2).prop_map(|names| json!(names));
    let by_team = prop_oneof![
        Just(json!({})),
        one_of(&["x", "y"]).prop_map(|team| json!({"matchLabels": {"team": team}})),
        Just(json!({"matchExpressions": [{"key": "team", "operator": "DoesNotExist"}]})),
    ];
    let of = (weighted(0.2, namespaces), weighted(0.5, by_team));
    (select(KEYS.to_vec()), selector(1), of, weighted(0.3, any::<bool>()))
        .prop_map(move |(key, mut selector, (namespaces, by_team), same)| {
            let keys = same.is_some().then(|| json!(["version"]));
            if let (Some(same), Some(version)) = (same, version) {
                let operator = if same { "In" } else { "NotIn" };
                let merged = json!({"key": "version", "operator": operator, "values": [version]});
                match selector.get_mut("matchExpressions").and_then(Value::as_array_mut) {
                    Some(expressions) => expressions.push(merged),
                    None => selector["matchExpressions"] = json!([merged]),
                }
            }
            let (matching, mismatching) = if same == Some(true) { (keys, None) } else { (None, keys) };
            object(vec![
                ("topologyKey", Some(json!(key))),
                ("labelSelector", Some(selector)),
                ("namespaces", namespaces),
                ("namespaceSelector", by_team),
                ("matchLabelKeys", matching),
                ("mismatchLabelKeys", mismatching),
            ])
        })
        .boxed()
}

fn pod_affinity(version: Option<&'static str>, required: f64) -> BoxedStrategy<Value> {
    let weighed =
        (1..4i32, pod_term(version)).prop_map(|(weight, term)| json!({"weight": weight, "podAffinityTerm": term}));
    (weighted(required, vec(pod_term(version), 1..3)), weighted(0.5, vec(weighed, 1..3)))
        .prop_map(|(required, preferred)| {
            object(vec![
                ("requiredDuringSchedulingIgnoredDuringExecution", required.map(Value::from)),
                ("preferredDuringSchedulingIgnoredDuringExecution", preferred.map(Value::from)),
            ])
        })
        .boxed()
}

fn spread_constraint() -> BoxedStrategy<Value> {
    let policy = || weighted(0.4, one_of(&["Honor", "Ignore"]));
    let what = (select(KEYS.to_vec()), selector(1), 1..3i32, any::<bool>());
    (what, weighted(0.3, 2..4i32), policy(), policy(), weighted(0.2, Just(json!(["version"]))))
        .prop_map(|((key, selector, skew, required), domains, affinity, taints, keys)| {
            object(vec![
                ("topologyKey", Some(json!(key))),
                ("labelSelector", Some(selector)),
                ("maxSkew", Some(json!(skew))),
                ("whenUnsatisfiable", Some(json!(if required { "DoNotSchedule" } else { "ScheduleAnyway" }))),
                ("minDomains", domains.filter(|_| required).map(Value::from)),
                ("nodeAffinityPolicy", affinity),
                ("nodeTaintsPolicy", taints),
                ("matchLabelKeys", keys),
            ])
        })
        .boxed()
}

fn affinity(version: Option<&'static str>, company: f64) -> BoxedStrategy<Value> {
    (
        weighted(0.25, node_affinity()),
        weighted(company, pod_affinity(version, 0.3)),
        weighted(company, pod_affinity(version, 0.6)),
    )
        .prop_map(|(node, near, far)| {
            object(vec![("nodeAffinity", node), ("podAffinity", near), ("podAntiAffinity", far)])
        })
        .boxed()
}

/// What a Service or a controller selects; Services and ReplicationControllers by labels only.
pub(crate) fn owner() -> BoxedStrategy<((Owner, &'static str, &'static str), LabelSelector)> {
    let owner = select(OWNERS.to_vec()).prop_map(|(owner, ..)| owner);
    ((owner, select(NAMESPACES.to_vec()), select(OWNER_NAMES.to_vec())), selector(1))
        .prop_map(|(key, selector)| {
            let mut selector: LabelSelector = serde_json::from_value(selector).unwrap();
            if matches!(key.0, Owner::Service | Owner::ReplicationController) {
                selector.match_expressions = None;
            }
            (key, selector)
        })
        .boxed()
}

/// How likely pods ask for what.
#[derive(Clone, Copy)]
pub(crate) struct Taste {
    /// Requests of any kind.
    pub(crate) demands: f64,
    /// Other pods near or far.
    pub(crate) company: f64,
    /// That they are spread.
    pub(crate) evenness: f64,
}

/// Of everything a little.
pub(crate) const ANYTHING: Taste = Taste { demands: 0.95, company: 0.3, evenness: 0.3 };
/// Nothing but other pods.
pub(crate) const COMPANY: Taste = Taste { demands: 0.05, company: 0.5, evenness: 0.6 };

/// A pod without a name.
pub(crate) fn pod(taste: Taste) -> BoxedStrategy<Pod> {
    let labels = (weighted(0.9, one_of(&["web", "db"])), weighted(0.5, select(vec!["1", "2"])));
    let constraints = weighted(taste.evenness, vec(spread_constraint(), 1..3));
    let demands = weighted(taste.demands, (containers(), weighted(0.1, resize())));
    let importance = (0..4i32, prop::bool::weighted(0.05));
    let selector = weighted(0.05, one_of(&["a", "b"]).prop_map(|zone| json!({"zone": zone})));
    let owner = (select(OWNERS[1..].to_vec()), select(OWNER_NAMES.to_vec()), any::<bool>());
    let first = (select(NAMESPACES.to_vec()), labels, demands, weighted(0.4, owner));
    first
        .prop_flat_map(move |(namespace, (app, version), demands, owner)| {
            let owners = owner.map(|((_, api_version, kind), name, controller)| {
                json!([{"apiVersion": api_version, "kind": kind, "name": name, "uid": "", "controller": controller}])
            });
            let (containers, status) = demands.unwrap_or_else(|| (undemanding(), None));
            let rest = (
                affinity(version, taste.company),
                tolerations(),
                constraints.clone(),
                importance.clone(),
                selector.clone(),
            );
            rest.prop_map(move |(affinity, tolerations, constraints, (priority, never), selector)| {
                let mut spec = containers.clone();
                spec.insert("affinity".to_owned(), affinity);
                spec.insert("tolerations".to_owned(), tolerations);
                spec.insert("topologySpreadConstraints".to_owned(), json!(constraints.unwrap_or_default()));
                spec.insert("priority".to_owned(), json!(priority));
                spec.insert("preemptionPolicy".to_owned(), json!(if never { "Never" } else { "PreemptLowerPriority" }));
                if let Some(selector) = selector {
                    spec.insert("nodeSelector".to_owned(), selector);
                }
                let labels = object(vec![("app", app.clone()), ("version", version.map(Value::from))]);
                serde_json::from_value(json!({
                    "metadata": {"namespace": namespace, "labels": labels, "ownerReferences": owners},
                    "spec": spec,
                    "status": status,
                }))
                .unwrap()
            })
        })
        .boxed()
}

pub(crate) fn budget() -> BoxedStrategy<PodDisruptionBudget> {
    let what = (select(NAMESPACES.to_vec()), one_of(&["web", "db"]), selector(1));
    (what, 0..3i32, weighted(0.3, 0..4u8))
        .prop_map(|((namespace, name, selector), allowed, disrupted)| {
            let disrupted =
                disrupted.map_or_else(|| json!({}), |pod| json!({format!("p{pod}"): "2026-01-01T00:00:00Z"}));
            serde_json::from_value(json!({
                "metadata": {"namespace": namespace, "name": name},
                "spec": {"selector": selector},
                "status": {"disruptionsAllowed": allowed, "disruptedPods": disrupted, "currentHealthy": 0,
                    "desiredHealthy": 0, "expectedPods": 0},
            }))
            .unwrap()
        })
        .boxed()
}

/// Takes from the pod what it says of nodes, and lets it tolerate every taint.
pub(crate) fn make_welcome(pod: &mut Pod) {
    let spec = pod.spec.as_mut().unwrap();
    spec.tolerations = Some(vec![serde_json::from_value(json!({"operator": "Exists"})).unwrap()]);
    spec.node_selector = None;
    if let Some(affinity) = &mut spec.affinity {
        affinity.node_affinity = None;
    }
}

/// Lets the pod request much of what every node has.
pub(crate) fn make_demanding(pod: &mut Pod) {
    request(pod, &json!({"requests": {"cpu": "2", "memory": "2Gi"}}));
}

/// Lets the pod request little of what every node has, and no port.
pub(crate) fn make_modest(pod: &mut Pod) {
    request(pod, &json!({"requests": {"cpu": "200m"}}));
    for container in &mut pod.spec.as_mut().unwrap().containers {
        container.ports = None;
    }
}

/// The first container requests this, and nothing else does.
fn request(pod: &mut Pod, resources: &Value) {
    pod.status = None;
    let spec = pod.spec.as_mut().unwrap();
    (spec.resources, spec.init_containers) = (None, None);
    for container in &mut spec.containers {
        container.resources = None;
    }
    spec.containers[0].resources = Some(serde_json::from_value(resources.clone()).unwrap());
}

/// How many aspects pods have that [`differing`] knows.
pub(crate) const ASPECTS: usize = 9;

/// The pod, but in one aspect as the other.
pub(crate) fn differing(pod: &Pod, other: &Pod, aspect: usize) -> Pod {
    let mut pod = pod.clone();
    let (spec, other_spec) = (pod.spec.as_mut().unwrap(), other.spec.as_ref().unwrap());
    let other_affinity = other_spec.affinity.clone().unwrap_or_default();
    let affinity = spec.affinity.get_or_insert_default();
    let (container, other_container) = (&mut spec.containers[0], &other_spec.containers[0]);
    match aspect {
        0 => pod.metadata.labels.clone_from(&other.metadata.labels),
        1 => pod.metadata.namespace.clone_from(&other.metadata.namespace),
        2 => spec.tolerations.clone_from(&other_spec.tolerations),
        3 => affinity.node_affinity = other_affinity.node_affinity,
        4 => {
            (affinity.pod_affinity, affinity.pod_anti_affinity) =
                (other_affinity.pod_affinity, other_affinity.pod_anti_affinity)
        }
        5 => spec.topology_spread_constraints.clone_from(&other_spec.topology_spread_constraints),
        6 => container.image.clone_from(&other_container.image),
        7 => {
            container.ports = Some(vec![serde_json::from_value(json!({"containerPort": 80, "hostPort": 80})).unwrap()])
        }
        _ => container.resources.clone_from(&other_container.resources),
    }
    pod
}
