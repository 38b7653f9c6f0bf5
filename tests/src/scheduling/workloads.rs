//! The loads of upstream's `test/integration/scheduler_perf`, those that its CI has a threshold for, under upstream's names
//! and with upstream's numbers.

use std::time::Duration;

use super::objects::{self, Make};

/// Which part of a load is asked for, so that it can also be tried in little time.
#[derive(Clone, Copy, Debug)]
pub struct Share(f64);

impl Share {
    /// All of it.
    pub const WHOLE: Share = Share(1.0);

    /// The part of a number between 0 and 1.
    #[must_use]
    pub fn new(part: f64) -> Option<Share> {
        (part > 0.0 && part <= 1.0).then_some(Share(part))
    }

    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small")]
    fn of(count: usize, part: f64, round: fn(f64) -> f64) -> usize {
        (round(count as f64 * part) as usize).max(1)
    }

    /// So many nodes: rather too many.
    pub(super) fn nodes(self, count: usize) -> usize {
        Share::of(count, self.0, f64::ceil)
    }

    /// So many pods: rather too few.
    pub(super) fn pods(self, count: usize) -> usize {
        Share::of(count, self.0, f64::floor)
    }

    /// So many of one thing each with so many of another.
    pub(super) fn product(self, (one, other): (usize, usize)) -> (usize, usize) {
        let part = self.0.sqrt();
        (Share::of(one, part, f64::floor), Share::of(other, part, f64::floor))
    }
}

/// One load.
pub struct Workload {
    /// Upstream's name of it.
    pub name: &'static str,
    /// How many pods a second upstream's CI wants of it.
    pub threshold: Option<u32>,
    pub(super) steps: Vec<Step>,
    /// How many pods are measured, and which.
    pub(super) measured: (usize, Make),
    /// Where they are.
    pub(super) namespace: &'static str,
}

/// What is done before the pods come that are measured.
pub(super) enum Step {
    /// The node with a name of its own.
    NamedNode,
    /// So many nodes.
    Nodes(usize, Make),
    /// Pods in a namespace, which are waited for until they are bound.
    Pods(&'static str, usize, Make),
    /// So many namespaces with so many pods each, which are waited for until they are bound.
    PodSets((usize, usize), Make),
    /// Pods that are not bound.
    Gated(usize, Make),
    /// A Service where the measured pods will be.
    Service,
    /// From now on: pods that come one after the other.
    Coming(Make, Duration),
    /// From now on: a node, a pod that is too large, and a Service, which come and go together.
    ComingAndGoing(Duration),
    /// From now on: the pods of a namespace go one after the other.
    Going(&'static str, Duration),
}

use Step::{Coming, ComingAndGoing, Gated, Going, NamedNode, Nodes, PodSets, Pods, Service};

/// Where pods are that come before the measured ones.
const INIT: &str = "init";
/// How often a pod comes that disturbs.
const DISTURB: Duration = Duration::from_millis(200);

fn load(name: &'static str, threshold: u32, steps: Vec<Step>, pods: usize, make: Make) -> Workload {
    let threshold = (threshold > 0).then_some(threshold);
    Workload { name, threshold, steps, measured: (pods, make), namespace: "measured" }
}

/// A load of the group whose pods' terms name the namespaces.
fn in_sched(name: &'static str, threshold: u32, steps: Vec<Step>, pods: usize, make: Make) -> Workload {
    Workload { namespace: "sched-1", ..load(name, threshold, steps, pods, make) }
}

/// All of them.
#[must_use]
pub fn all() -> Vec<Workload> {
    [basic(), disturbed(), affinity(), by_namespace(), spreading()].into_iter().flatten().collect()
}

fn basic() -> Vec<Workload> {
    use objects::{daemon_pod, node, node_with_extended_resource, pod, pod_with_extended_resource};
    let basic =
        |name, threshold, init, pods| load(name, threshold, vec![Nodes(5_000, node), Pods(INIT, init, pod)], pods, pod);
    vec![
        basic("SchedulingBasic/5000Nodes_10000Pods", 680, 1_000, 10_000),
        basic("SchedulingBasic/5000Nodes_50000Pods", 810, 5_000, 50_000),
        load("SchedulingDaemonset/15000Nodes", 1_100, vec![NamedNode, Nodes(15_000, node)], 30_000, daemon_pod),
        load(
            "SchedulingWithExtendedResource/5000pods_5000nodes",
            180,
            vec![Nodes(5_000, node_with_extended_resource)],
            5_000,
            pod_with_extended_resource,
        ),
    ]
}

fn disturbed() -> Vec<Workload> {
    use objects::{gated_pod, gated_pod_with_affinity, labelled_pod, light_pod, node, pod};
    use objects::{high_priority_pod, high_priority_pod_too_large, low_priority_pod};
    let full = |nodes, pods| vec![Nodes(nodes, node), Pods(INIT, pods, low_priority_pod)];
    let unschedulable = |name, threshold, init| {
        let steps = vec![Nodes(5_000, node), Pods(INIT, init, pod), Coming(high_priority_pod_too_large, DISTURB)];
        load(name, threshold, steps, 10_000, pod)
    };
    let mut asynchronous = full(5_000, 20_000);
    asynchronous.push(Coming(high_priority_pod, DISTURB));
    vec![
        // Upstream has no threshold for the first, and has given up on the second.
        load("PreemptionBasic/1000Nodes", 0, full(1_000, 4_000), 1_000, high_priority_pod),
        load("PreemptionBasic/5000Nodes", 0, full(5_000, 20_000), 5_000, high_priority_pod),
        load("PreemptionAsync/5000Nodes", 570, asynchronous, 5_000, pod),
        unschedulable("Unschedulable/5kNodes/100Init/10kPods", 590, 100),
        unschedulable("Unschedulable/5kNodes/20kInit/10kPods", 600, 20_000),
        load(
            "SchedulingWithMixedChurn/5000Nodes_10000Pods",
            710,
            vec![Nodes(5_000, node), ComingAndGoing(Duration::from_secs(1))],
            10_000,
            pod,
        ),
        load(
            "SchedulingWhileGated/1Node_10000GatedPods",
            910,
            vec![
                NamedNode,
                Gated(10_000, gated_pod),
                Pods(INIT, 20_000, light_pod),
                Going(INIT, Duration::from_millis(20)),
            ],
            20_000,
            light_pod,
        ),
        load(
            "SchedulingGatedPodsWithPodAffinityImpactForThroughput/1Node_10000GatedPods",
            110,
            vec![NamedNode, Gated(10_000, gated_pod_with_affinity)],
            20_000,
            labelled_pod,
        ),
    ]
}

fn affinity() -> Vec<Workload> {
    use objects::{green_pod, node, node_in_zone1, pod, pod_with_affinity, pod_with_anti_affinity};
    use objects::{pod_with_node_affinity, pod_with_preferred_affinity, pod_with_preferred_anti_affinity};
    let before = |nodes, pods, make| vec![Nodes(5_000, nodes), Pods("sched-0", pods, make)];
    let mixed =
        [pod, pod_with_affinity, pod_with_anti_affinity, pod_with_preferred_affinity, pod_with_preferred_anti_affinity];
    let mut mixed: Vec<Step> = mixed.into_iter().map(|make| Pods("sched-0", 2_000, make)).collect();
    mixed.insert(0, Nodes(5_000, node_in_zone1));
    vec![
        load(
            "SchedulingNodeAffinity/5000Nodes_10000Pods",
            220,
            vec![Nodes(5_000, node_in_zone1), Pods(INIT, 5_000, pod_with_node_affinity)],
            10_000,
            pod_with_node_affinity,
        ),
        in_sched(
            "SchedulingPodAntiAffinity/5000Nodes_2000Pods",
            60,
            before(node, 1_000, pod_with_anti_affinity),
            2_000,
            pod_with_anti_affinity,
        ),
        in_sched(
            "SchedulingPodMatchingAntiAffinity/5000Nodes_5000Pods",
            595,
            before(node, 1_000, pod_with_anti_affinity),
            5_000,
            green_pod,
        ),
        in_sched(
            "SchedulingPodAffinity/5000Nodes_5000Pods",
            35,
            before(node_in_zone1, 5_000, pod_with_affinity),
            5_000,
            pod_with_affinity,
        ),
        in_sched(
            "SchedulingPreferredPodAffinity/5000Nodes_5000Pods",
            90,
            before(node, 5_000, pod_with_preferred_affinity),
            5_000,
            pod_with_preferred_affinity,
        ),
        in_sched(
            "SchedulingPreferredPodAntiAffinity/5000Nodes_5000Pods",
            90,
            before(node, 5_000, pod_with_preferred_anti_affinity),
            5_000,
            pod_with_preferred_anti_affinity,
        ),
        load("MixedSchedulingBasePod/5000Nodes_5000Pods", 140, mixed, 5_000, pod),
    ]
}

fn by_namespace() -> Vec<Workload> {
    use objects::{node, node_in_zone1, pod_with_affinity_by_namespace, pod_with_anti_affinity_by_namespace};
    use objects::{pod_with_preferred_affinity_by_namespace, pod_with_preferred_anti_affinity_by_namespace};
    let group = |name, threshold, nodes, each, pods, make| {
        load(name, threshold, vec![nodes, PodSets((100, each), make)], pods, make)
    };
    vec![
        // Six thousand pods, no two of which may be on one of six thousand nodes.
        group(
            "SchedulingRequiredPodAntiAffinityWithNSSelector/5000Nodes_2000Pods",
            24,
            Nodes(6_000, node),
            40,
            2_000,
            pod_with_anti_affinity_by_namespace,
        ),
        group(
            "SchedulingPreferredAntiAffinityWithNSSelector/5000Nodes_2000Pods",
            55,
            Nodes(5_000, node),
            40,
            2_000,
            pod_with_preferred_anti_affinity_by_namespace,
        ),
        group(
            "SchedulingRequiredPodAffinityWithNSSelector/5000Nodes_2000Pods",
            35,
            Nodes(5_000, node_in_zone1),
            50,
            2_000,
            pod_with_affinity_by_namespace,
        ),
        group(
            "SchedulingPreferredAffinityWithNSSelector/5000Nodes_5000Pods",
            90,
            Nodes(5_000, node),
            50,
            5_000,
            pod_with_preferred_affinity_by_namespace,
        ),
    ]
}

fn spreading() -> Vec<Workload> {
    use objects::{labelled_pod, node, node_in_three_zones, node_with_taint, pod};
    use objects::{pod_with_node_inclusion_policy, pod_with_preferred_spreading, spread_pod};
    let before = || vec![Nodes(5_000, node_in_three_zones), Pods(INIT, 5_000, pod)];
    let mut with_service = before();
    with_service.push(Service);
    vec![
        load("TopologySpreading/5000Nodes_5000Pods", 460, before(), 5_000, spread_pod),
        load("PreferredTopologySpreading/5000Nodes_5000Pods", 340, before(), 5_000, pod_with_preferred_spreading),
        load("DefaultTopologySpreading/5000Nodes_50000Pods", 160, with_service, 50_000, labelled_pod),
        load(
            "SchedulingWithNodeInclusionPolicy/5000Nodes",
            270,
            vec![Nodes(4_000, node), Nodes(1_000, node_with_taint)],
            4_000,
            pod_with_node_inclusion_policy,
        ),
    ]
}
