//! NodeResourcesFit: pods go where enough is left of all that they request, and, as configured, rather to where much or
//! little is left.
//!
//! Costs, a node, two numbers for each resource that the pod requests; scoring, two for each resource that is looked at.

use k8s_openapi::api::core::v1::{Node, Pod};

use super::resource_scoring::{Looked, Usage, WeightedResource, default_resources, share};
use crate::config::ExtensionPoint;
use crate::cycle::{Filter, MAX_SCORE, Plugin, PreFilter, Rejection, Score};
use crate::queue::{ActionType, Change, ClusterEvent, Event, EventResource, Hint};
use crate::snapshot::{
    NodeIndex, PODS, PlacedPod, PodInfo, ResourceIndex, Snapshot, allocatable, is_placed, node_name, requested, same,
};

/// What is requested is told apart in reasons up to this number; beyond, it is told together.
const LAST_REASON: usize = u64::BITS as usize - 1;

/// How full nodes had better be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// As empty as possible.
    #[default]
    LeastAllocated,
    /// As full as possible.
    MostAllocated,
    /// As these points say: percentages of use, ascending, and scores from 0 to [`MAX_SCORE`], with straight lines between.
    RequestedToCapacityRatio(Vec<(i64, i64)>),
}

/// See the module.
#[derive(Clone, Debug)]
pub struct NodeResourcesFit {
    /// How full nodes had better be.
    pub strategy: Strategy,
    /// Of which resources.
    pub resources: Vec<WeightedResource>,
    /// Extended resources that somebody else looks after.
    pub ignored_resources: Vec<String>,
    /// The same, by what is before the slash in their names.
    pub ignored_resource_groups: Vec<String>,
}

impl Default for NodeResourcesFit {
    fn default() -> Self {
        Self {
            strategy: Strategy::default(),
            resources: default_resources(),
            ignored_resources: Vec::new(),
            ignored_resource_groups: Vec::new(),
        }
    }
}

impl Plugin for NodeResourcesFit {
    fn name(&self) -> &'static str {
        "NodeResourcesFit"
    }

    fn points(&self) -> &'static [ExtensionPoint] {
        &[ExtensionPoint::PreFilter, ExtensionPoint::Filter, ExtensionPoint::PreScore, ExtensionPoint::Score]
    }

    fn is_node_local(&self) -> bool {
        true
    }

    fn events(&self) -> Vec<ClusterEvent> {
        vec![
            ClusterEvent::new(EventResource::Pod, ActionType::DELETE | ActionType::UPDATE_POD_SCALE_DOWN),
            ClusterEvent::new(EventResource::Node, ActionType::ADD | ActionType::UPDATE_NODE_ALLOCATABLE),
        ]
    }

    fn hint(&self, pod: &Pod, event: &Event) -> Hint {
        match event.change() {
            Change::Pod(Some(gone), None) => Hint::when(is_placed(gone)),
            Change::Pod(Some(old), Some(new)) => Hint::when(same(pod, new) || frees(old, new, pod)),
            Change::Node(old, Some(new)) => Hint::when(self.may_fit(pod, old, new)),
            _ => Hint::Queue,
        }
    }

    fn pre_filter<'a>(&'a self, snapshot: &'a Snapshot, pod: &'a PodInfo) -> PreFilter<'a> {
        let mut wanted: Vec<Wanted<'a>> = pod
            .requests
            .iter()
            .filter(|(name, _)| !self.ignores(name))
            .map(|(name, amount)| Wanted { name, amount: *amount, column: snapshot.resources().index(name) })
            .collect();
        // In the order in which upstream looks at them, of which the basic ones are part.
        wanted.sort_by_key(|wanted| (wanted.column.is_none(), wanted.column));
        PreFilter::Filter(Box::new(Left { snapshot, wanted, supposed: Vec::new() }))
    }

    fn pre_score<'a>(
        &'a self,
        snapshot: &'a Snapshot,
        pod: &'a PodInfo,
        _feasible: &[NodeIndex],
    ) -> Option<Box<dyn Score + 'a>> {
        Some(Box::new(Fullness { plugin: self, looked: Looked::at(snapshot, pod, &self.resources, true) }))
    }
}

/// How much of a resource is listed.
fn amount(list: &[(String, i64)], name: &str) -> i64 {
    list.iter().find(|(other, _)| other == name).map_or(0, |(_, amount)| *amount)
}

/// Whether another pod, which is on a node, now requests less of what `pod` requests.
fn frees(old: &Pod, new: &Pod, pod: &Pod) -> bool {
    let less = || {
        let (before, after) = (requested(old), requested(new));
        requested(pod).iter().any(|(name, _)| amount(&before, name) > amount(&after, name))
    };
    node_name(new).is_some() && less()
}

impl NodeResourcesFit {
    /// Whether the pod would have room on the new node if that were empty, and the old one had less.
    fn may_fit(&self, pod: &Pod, old: Option<&Node>, new: &Node) -> bool {
        let (mut wanted, has) = (requested(pod), allocatable(new));
        wanted.retain(|(name, _)| !self.ignores(name));
        wanted.push(("pods".to_owned(), 1));
        let had = old.map(allocatable);
        let more = |name: &String| had.as_ref().is_none_or(|had| amount(&has, name) > amount(had, name));
        wanted.iter().all(|(name, wanted)| *wanted <= amount(&has, name)) && wanted.iter().any(|(name, _)| more(name))
    }

    fn ignores(&self, name: &str) -> bool {
        let Some((group, _)) = name.split_once('/') else { return false };
        self.ignored_resources.iter().any(|ignored| ignored == name)
            || self.ignored_resource_groups.iter().any(|ignored| ignored == group)
    }
}

struct Wanted<'a> {
    name: &'a str,
    amount: i64,
    /// None if no node ever had it.
    column: Option<ResourceIndex>,
}

struct Left<'a> {
    snapshot: &'a Snapshot,
    wanted: Vec<Wanted<'a>>,
    /// Nodes on which more (or less, if negative) is supposed to be requested than is: of pods, and of what is wanted.
    supposed: Vec<(NodeIndex, i64, Vec<i64>)>,
}

impl Left<'_> {
    fn suppose(&mut self, pod: &PlacedPod, sign: i64) {
        let position = self.supposed.iter().position(|(node, ..)| *node == pod.node).unwrap_or_else(|| {
            self.supposed.push((pod.node, 0, vec![0; self.wanted.len()]));
            self.supposed.len() - 1
        });
        let (_, pods, more) = &mut self.supposed[position];
        *pods += sign;
        for (more, wanted) in more.iter_mut().zip(&self.wanted) {
            *more += sign * pod.info.requested(wanted.name);
        }
        if *pods == 0 && more.iter().all(|more| *more == 0) {
            self.supposed.swap_remove(position);
        }
    }
}

impl Filter for Left<'_> {
    fn filter(&self, node: NodeIndex) -> Result<(), Rejection> {
        let columns = self.snapshot.resources();
        let supposed = self.supposed.iter().find(|(other, ..)| *other == node);
        let pods = columns.requested(PODS, node) + supposed.map_or(0, |(_, pods, _)| *pods);
        let mut rejection = Rejection { reasons: 0, unresolvable: false };
        if pods >= columns.allocatable(PODS, node) {
            rejection.reasons |= 1;
        }
        for (i, wanted) in self.wanted.iter().enumerate() {
            let (allocatable, requested) = wanted
                .column
                .map_or((0, 0), |column| (columns.allocatable(column, node), columns.requested(column, node)));
            let requested = requested + supposed.map_or(0, |(_, _, more)| more[i]);
            if wanted.amount > allocatable.saturating_sub(requested) {
                rejection.reasons |= 1 << (i + 1).min(LAST_REASON);
                rejection.unresolvable |= wanted.amount > allocatable;
            }
        }
        if rejection.reasons == 0 { Ok(()) } else { Err(rejection) }
    }

    fn reason(&self, number: u32) -> String {
        match (number as usize).checked_sub(1).and_then(|position| self.wanted.get(position)) {
            Some(wanted) => format!("Insufficient {}", wanted.name),
            None => "Too many pods".to_owned(),
        }
    }

    fn add(&mut self, pod: &PlacedPod) {
        self.suppose(pod, 1);
    }

    fn remove(&mut self, pod: &PlacedPod) {
        self.suppose(pod, -1);
    }
}

struct Fullness<'a> {
    plugin: &'a NodeResourcesFit,
    looked: Looked<'a>,
}

impl Score for Fullness<'_> {
    fn score(&self, node: NodeIndex) -> i64 {
        let (mut sum, mut weights) = (0, 0);
        for usage in self.looked.usages(node) {
            let score = self.plugin.strategy.score(usage);
            // A resource that is of no use in the ratio does not water down the others.
            if score > 0 || !matches!(self.plugin.strategy, Strategy::RequestedToCapacityRatio(_)) {
                sum += score * usage.weight;
                weights += usage.weight;
            }
        }
        match self.plugin.strategy {
            _ if weights == 0 => 0,
            Strategy::RequestedToCapacityRatio(_) => (sum as f64 / weights as f64).round() as i64,
            _ => sum / weights,
        }
    }
}

impl Strategy {
    fn score(&self, Usage { allocatable, requested, .. }: Usage) -> i64 {
        let used = requested.clamp(0, allocatable.max(0));
        match self {
            Self::LeastAllocated if requested > allocatable => 0,
            Self::LeastAllocated => share(allocatable - used, allocatable),
            Self::MostAllocated => share(used, allocatable),
            Self::RequestedToCapacityRatio(points) => broken_line(points, share(used, allocatable)),
        }
    }
}

/// The height at `x` of the line through the points, which goes on level before the first and after the last.
pub(super) fn broken_line(points: &[(i64, i64)], x: i64) -> i64 {
    let Some(after) = points.iter().position(|(at, _)| x <= *at) else {
        return points.last().map_or(0, |(_, height)| *height);
    };
    let (x1, y1) = points[after];
    match after.checked_sub(1).map(|before| points[before]) {
        Some((x0, y0)) if x1 != x0 => y0 + (y1 - y0) * (x - x0) / (x1 - x0),
        _ => y1,
    }
    .clamp(0, MAX_SCORE)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::plugins::testing::{Told, check_filter, check_node_hint, check_pod_hint, check_scores};
    use crate::queue::Hint::{Queue, Skip};
    use crate::testing::{self, requesting};

    fn check_fit(plugin: &NodeResourcesFit, taken: Value, wanted: Value, expected: Told) {
        let over =
            json!({"cpu": "4", "memory": "8Gi", "pods": "2", "ephemeral-storage": "10Gi", "example.com/gpu": "2"});
        let node = testing::node("n", json!({"status": {"allocatable": over}}));
        let taken = testing::pod("a", requesting(taken));
        check_filter(plugin, &node, &[taken], &testing::pod("b", wanted), expected);
    }

    #[test]
    fn enough_must_be_left_of_everything() {
        let check = |taken, wanted, expected| {
            check_fit(&NodeResourcesFit::default(), taken, requesting(wanted), expected);
        };
        check(json!({"cpu": "3"}), json!({"cpu": "1"}), Told::Fits);
        check(json!({"cpu": "3"}), json!({"cpu": "1001m"}), Told::Resolvable(&["Insufficient cpu"]));
        check(json!({}), json!({"cpu": "4001m"}), Told::Unresolvable(&["Insufficient cpu"]));
        let both = Told::Resolvable(&["Insufficient cpu", "Insufficient memory"]);
        check(json!({"cpu": "3", "memory": "8Gi"}), json!({"cpu": "2", "memory": "1"}), both);
        check(json!({"cpu": "5"}), json!({}), Told::Fits);
        check(
            json!({"ephemeral-storage": "10Gi"}),
            json!({"ephemeral-storage": "1"}),
            Told::Resolvable(&["Insufficient ephemeral-storage"]),
        );
        check(
            json!({"example.com/gpu": "1"}),
            json!({"example.com/gpu": "2"}),
            Told::Resolvable(&["Insufficient example.com/gpu"]),
        );
        check(json!({}), json!({"example.com/fpga": "1"}), Told::Unresolvable(&["Insufficient example.com/fpga"]));
        check(json!({}), json!({"example.com/fpga": "0"}), Told::Fits);
    }

    #[test]
    fn containers_that_start_need_room_too() {
        let check = |wanted, expected| check_fit(&NodeResourcesFit::default(), json!({"cpu": "2"}), wanted, expected);
        let container = |cpu: &str| json!({"name": cpu, "image": "i", "resources": {"requests": {"cpu": cpu}}});
        let sidecar =
            json!({"name": "s", "image": "i", "restartPolicy": "Always", "resources": {"requests": {"cpu": "1"}}});
        const TIGHT: Told = Told::Resolvable(&["Insufficient cpu"]);
        check(json!({"containers": [container("1")], "initContainers": [container("2")]}), Told::Fits);
        check(json!({"containers": [container("1")], "initContainers": [container("3")]}), TIGHT);
        check(json!({"containers": [container("1")], "initContainers": [sidecar.clone()]}), Told::Fits);
        check(json!({"containers": [container("1")], "initContainers": [sidecar, container("2")]}), TIGHT);
        check(json!({"containers": [container("1")], "overhead": {"cpu": "1"}}), Told::Fits);
        check(json!({"containers": [container("1")], "overhead": {"cpu": "1001m"}}), TIGHT);
    }

    #[test]
    fn nodes_take_so_many_pods() {
        let node = testing::node("n", json!({"status": {"allocatable": {"pods": "1"}}}));
        let check = |taken: &[_], expected| {
            let plugin = NodeResourcesFit::default();
            check_filter(&plugin, &node, taken, &testing::pod("b", json!({})), expected);
        };
        check(&[], Told::Fits);
        check(&[testing::pod("a", json!({}))], Told::Resolvable(&["Too many pods"]));
    }

    #[test]
    fn others_may_look_after_extended_resources() {
        let resources =
            NodeResourcesFit { ignored_resources: vec!["a.com/x".to_owned()], ..NodeResourcesFit::default() };
        let groups =
            NodeResourcesFit { ignored_resource_groups: vec!["a.com".to_owned()], ..NodeResourcesFit::default() };
        let check = |plugin: &NodeResourcesFit, name: &str, expected| {
            check_fit(plugin, json!({}), requesting(json!({ name: "1" })), expected);
        };
        check(&resources, "a.com/x", Told::Fits);
        check(&resources, "a.com/y", Told::Unresolvable(&["Insufficient a.com/y"]));
        check(&groups, "a.com/y", Told::Fits);
    }

    #[test]
    fn strategies_prefer_empty_or_full_nodes() {
        let node = |name: &str, cpu: &str| {
            testing::node(name, json!({"status": {"allocatable": {"cpu": cpu, "memory": "10Gi", "x.io/gpu": "4"}}}))
        };
        let nodes = [node("n1", "4"), node("n2", "10"), node("n3", "0")];
        let check = |strategy: Strategy, resources: &[(&str, i64)], wanted, expected: &[i64]| {
            let resources = resources.iter();
            let resources =
                resources.map(|(name, weight)| WeightedResource { name: (*name).to_owned(), weight: *weight });
            let plugin = NodeResourcesFit { strategy, resources: resources.collect(), ..NodeResourcesFit::default() };
            let pods = [("n2", testing::pod("a", requesting(json!({"cpu": "3", "memory": "5Gi", "x.io/gpu": "1"}))))];
            check_scores(&plugin, &nodes, &pods, &testing::pod("b", requesting(wanted)), Some(expected));
        };
        let both = [("cpu", 1), ("memory", 1)];
        let wanted = || json!({"cpu": "3", "memory": "5Gi"});
        // With the pod, 3 of 4 and 6 of 10 cpu are used, 5 of 10 and 10 of 10 Gi.
        check(Strategy::LeastAllocated, &both, wanted(), &[37, 20, 50]);
        check(Strategy::MostAllocated, &both, wanted(), &[62, 80, 50]);
        check(Strategy::MostAllocated, &[("cpu", 3), ("memory", 1)], wanted(), &[68, 70, 50]);
        let rising = || Strategy::RequestedToCapacityRatio(vec![(0, 0), (100, 100)]);
        check(rising(), &both, wanted(), &[63, 80, 50]);
        check(rising(), &[("x.io/gpu", 1)], json!({"x.io/gpu": "2"}), &[50, 75, 50]);
        check(rising(), &[("x.io/gpu", 1)], json!({}), &[0, 0, 0]);
        let cpu = [("cpu", 1)];
        check(Strategy::LeastAllocated, &cpu, json!({}), &[97, 69, 0]);
        check(Strategy::LeastAllocated, &cpu, json!({"cpu": "8"}), &[0, 0, 0]);
    }

    #[test]
    fn lines_are_broken_at_their_points() {
        let check =
            |points: &[(i64, i64)], x, expected| assert_eq!(broken_line(points, x), expected, "{points:?} at {x}");
        let roof = [(10, 0), (50, 100), (90, 20)];
        for (x, expected) in [(0, 0), (10, 0), (20, 25), (50, 100), (70, 60), (90, 20), (100, 20)] {
            check(&roof, x, expected);
        }
        check(&[], 50, 0);
    }

    #[test]
    fn refused_pods_wait_for_what_others_free() {
        let pod = |name: &str, requests: Value, node: &str| {
            let mut spec = requesting(requests);
            spec["nodeName"] = json!(node);
            testing::pod(name, spec)
        };
        let check = |old: Pod, new: Option<Pod>, expected| {
            let waiting = pod("p", json!({"cpu": "1"}), "");
            check_pod_hint(&NodeResourcesFit::default(), &waiting, Some(old), new, expected);
        };
        let cpu = |cpu: &str| json!({"cpu": cpu});
        let memory = |memory: &str| json!({"memory": memory});
        check(pod("q", cpu("1"), "n"), None, Queue);
        check(pod("q", cpu("1"), ""), None, Skip);
        check(pod("q", memory("2"), "n"), Some(pod("q", memory("1"), "n")), Skip);
        check(pod("q", cpu("2"), "n"), Some(pod("q", cpu("1"), "n")), Queue);
        check(pod("q", cpu("2"), ""), Some(pod("q", cpu("1"), "")), Skip);
        check(pod("q", cpu("1"), "n"), Some(pod("q", cpu("2"), "n")), Skip);
        check(pod("p", cpu("2"), ""), Some(pod("p", cpu("1"), "")), Queue);
    }

    #[test]
    fn refused_pods_wait_for_nodes_with_room() {
        let node = |resources: Value| {
            let mut node = testing::node("n", json!({}));
            node.status.as_mut().unwrap().allocatable = Some(testing::object(resources));
            node
        };
        let check = |plugin: &NodeResourcesFit, wanted: Value, old: Option<Value>, new: Value, expected| {
            let pod = testing::pod("p", requesting(wanted));
            check_node_hint(plugin, &pod, old.map(node), Some(node(new)), expected);
        };
        let plain = NodeResourcesFit::default();
        let both = || json!({"memory": "2", "x.io/a": "1"});
        let has = |memory: &str, a: &str| json!({"memory": memory, "x.io/a": a, "pods": "32"});
        check(&plain, json!({"memory": "2"}), None, json!({"memory": "1", "pods": "32"}), Skip);
        check(&plain, json!({"x.io/a": "1"}), None, json!({"x.io/b": "1", "pods": "32"}), Skip);
        check(&plain, both(), None, has("4", "2"), Queue);
        check(
            &plain,
            both(),
            Some(has("2", "2")),
            json!({"memory": "2", "x.io/a": "1", "x.io/b": "2", "pods": "32"}),
            Skip,
        );
        check(&plain, both(), Some(has("2", "1")), has("2", "2"), Queue);
        check(&plain, both(), Some(has("4", "2")), has("1", "2"), Skip);
        check(&plain, both(), Some(has("1", "2")), has("4", "2"), Queue);
        check(&plain, json!({}), Some(json!({"pods": "1"})), json!({"pods": "2"}), Queue);
        check(&plain, json!({}), Some(json!({"pods": "1"})), json!({"pods": "1", "cpu": "1"}), Skip);
        check(&plain, json!({}), None, json!({"cpu": "1"}), Skip);
        let resources = vec!["x.io/a".to_owned()];
        let ignoring = NodeResourcesFit { ignored_resources: resources, ..NodeResourcesFit::default() };
        check(&ignoring, both(), None, json!({"memory": "2", "pods": "32"}), Queue);
    }
}
