//! PodTopologySpread: pods are spread evenly among domains, which are nodes with the same value of a label.
//!
//! A pod costs, for each constraint, a look-up; then, a node, two look-ups in arrays. What pods there are in each domain is
//! kept counted by event for pods that are watched. Pods that have no constraints have those of the configuration, or the
//! system's, among the pods that their Services and controllers select.

use std::borrow::Cow;

use k8s_openapi::api::core::v1::{Node, Pod, Taint, TopologySpreadConstraint};

use super::selection::selects;
use crate::config::{ExtensionPoint, PodTopologySpreadArgs};
use crate::cycle::{Filter, MAX_SCORE, Plugin, PreFilter, Rejection, Score};
use crate::queue::{ActionType, Change, ClusterEvent, Event, EventResource, Hint};
use crate::snapshot::{
    DEFAULT_TOPOLOGIES, Domains, NodeIndex, PlacedPod, PodInfo, Query, Scope, Snapshot, SpreadConstraint, Tally,
    node_name, same,
};

const UNEVEN: u32 = 0;
const NO_LABEL: u32 = 1;

const HOSTNAME: &str = DEFAULT_TOPOLOGIES[0];

/// See the module.
#[derive(Clone, Debug)]
pub struct PodTopologySpread {
    /// How pods are spread that do not say how. Their queries are of no matter.
    defaults: Vec<SpreadConstraint>,
    /// Whether, with these, nodes that are in no domain of some still count for the others.
    defaults_are_lenient: bool,
}

impl Default for PodTopologySpread {
    /// With the system's constraints for pods that have none.
    fn default() -> Self {
        Self { defaults: SpreadConstraint::system().into(), defaults_are_lenient: true }
    }
}

impl From<&PodTopologySpreadArgs> for PodTopologySpread {
    fn from(args: &PodTopologySpreadArgs) -> Self {
        if args.defaulting_type == "System" {
            return Self::default();
        }
        let defaults = args.default_constraints.iter().map(SpreadConstraint::unbound).collect();
        Self { defaults, defaults_are_lenient: false }
    }
}

impl Plugin for PodTopologySpread {
    fn name(&self) -> &'static str {
        "PodTopologySpread"
    }

    fn points(&self) -> &'static [ExtensionPoint] {
        &[ExtensionPoint::PreFilter, ExtensionPoint::Filter, ExtensionPoint::PreScore, ExtensionPoint::Score]
    }

    fn events(&self) -> Vec<ClusterEvent> {
        let of_pods = ActionType::ADD | ActionType::UPDATE_POD_LABEL | ActionType::UPDATE_POD_TOLERATION;
        let of_nodes = ActionType::ADD | ActionType::DELETE | ActionType::UPDATE_NODE_LABEL;
        vec![
            ClusterEvent::new(EventResource::Pod, of_pods | ActionType::DELETE),
            ClusterEvent::new(EventResource::Node, of_nodes | ActionType::UPDATE_NODE_TAINT),
        ]
    }

    fn hint(&self, pod: &Pod, event: &Event) -> Hint {
        let constraints = pod.spec.iter().flat_map(|spec| spec.topology_spread_constraints.iter().flatten());
        let mut constraints: Vec<&TopologySpreadConstraint> = constraints.collect();
        let has_own = !constraints.is_empty();
        constraints.retain(|constraint| constraint.when_unsatisfiable == "DoNotSchedule");
        match event.change() {
            Change::Pod(old, new) if ![old, new].into_iter().flatten().all(|other| is_involved(pod, other)) => {
                Hint::Skip
            }
            Change::Pod(old, new) if has_own => Hint::when(pods_may_help(&constraints, pod, old, new)),
            // Which pods the constraints by default are about is not known here.
            Change::Pod(Some(old), Some(new)) if !same(pod, new) => {
                Hint::when(old.metadata.labels != new.metadata.labels)
            }
            Change::Node(old, new) => {
                let own = constraints.iter().map(|constraint| constraint.topology_key.as_str());
                let defaults = self.defaults.iter().filter(|constraint| constraint.required && !has_own);
                let keys: Vec<&str> = own.chain(defaults.map(|constraint| constraint.topology_key.as_str())).collect();
                Hint::when(node_may_help(&keys, old, new))
            }
            Change::Pod(..) | Change::Other => Hint::Queue,
        }
    }

    fn prepare(&self, snapshot: &mut Snapshot) {
        self.defaults.iter().for_each(|constraint| snapshot.watch_topology(&constraint.topology_key));
    }

    fn pre_filter<'a>(&'a self, snapshot: &'a Snapshot, pod: &'a PodInfo) -> PreFilter<'a> {
        let mut spreads = self.spreads(snapshot, pod, true);
        if spreads.is_empty() {
            return PreFilter::Skip;
        }
        spreads.iter_mut().for_each(Spread::find_least);
        PreFilter::Filter(Box::new(Even { snapshot, spreads }))
    }

    fn pre_score<'a>(
        &'a self,
        snapshot: &'a Snapshot,
        pod: &'a PodInfo,
        feasible: &[NodeIndex],
    ) -> Option<Box<dyn Score + 'a>> {
        let spreads = self.spreads(snapshot, pod, false);
        if spreads.is_empty() {
            return None;
        }
        let is_lenient = self.defaults_are_lenient && pod.spread.is_empty();
        let is_ignored = |node: &NodeIndex| !is_lenient && !in_all_domains(&spreads, *node);
        let ignored: Vec<bool> = feasible.iter().map(is_ignored).collect();
        let considered = || feasible.iter().zip(&ignored).filter(|(_, ignored)| !**ignored).map(|(node, _)| *node);
        let weight = |spread: &Spread<'_>| {
            let size = if spread.constraint.topology_key == HOSTNAME {
                considered().count()
            } else {
                // Nodes that are in no domain, if they are considered, are as if they were in one.
                let mut seen = vec![false; spread.domains.bound() + 1];
                let elsewhere = spread.domains.bound();
                considered().for_each(|node| seen[spread.domains.get(node).unwrap_or(elsewhere)] = true);
                seen.into_iter().filter(|seen| *seen).count()
            };
            // Counts in few domains are not watered down by those in many.
            ((size + 2) as f64).ln()
        };
        let weights = spreads.iter().map(weight).collect();
        Some(Box::new(Evenness { spreads, weights, ignored, is_lenient }))
    }
}

impl PodTopologySpread {
    /// The pod's constraints that are required, or those that are not.
    fn spreads<'a>(&'a self, snapshot: &'a Snapshot, pod: &'a PodInfo, required: bool) -> Vec<Spread<'a>> {
        let wanted = |constraint: &&SpreadConstraint| constraint.required == required;
        if !pod.spread.is_empty() {
            let own = || pod.spread.iter().filter(wanted);
            let spread = |constraint: &'a SpreadConstraint| {
                let query = Cow::Borrowed(&constraint.query);
                Spread::new(snapshot, constraint, query, constraint.contains_self, Scope::of(pod, constraint, own()))
            };
            return own().map(spread).collect();
        }
        if !self.defaults.iter().any(|constraint| wanted(&constraint)) {
            return Vec::new();
        }
        let Some(query) = snapshot.default_query(pod) else { return Vec::new() };
        let contains_self = query.contains(pod, snapshot.namespaces());
        let defaults = || self.defaults.iter().filter(wanted);
        let spread = |constraint: &'a SpreadConstraint| {
            let all = defaults().filter(|_| !self.defaults_are_lenient);
            Spread::new(snapshot, constraint, query.clone(), contains_self, Scope::of(pod, constraint, all))
        };
        defaults().map(spread).collect()
    }
}

/// Whether it may be of matter to `target` what becomes of a pod, which may be itself.
fn is_involved(target: &Pod, pod: &Pod) -> bool {
    same(pod, target) || (node_name(pod).is_some() && pod.metadata.namespace == target.metadata.namespace)
}

/// Whether what became of a pod, which may be `target` itself, may help that with its constraints.
fn pods_may_help(
    constraints: &[&TopologySpreadConstraint],
    target: &Pod,
    old: Option<&Pod>,
    new: Option<&Pod>,
) -> bool {
    fn label<'a>(pod: &'a Pod, key: &str) -> Option<&'a String> {
        pod.metadata.labels.as_ref().and_then(|labels| labels.get(key))
    }
    let counts = |constraint: &TopologySpreadConstraint, pod: &Pod| {
        let mut keys = constraint.match_label_keys.iter().flatten();
        let is_same = |key: &String| label(target, key).is_none_or(|own| label(pod, key) == Some(own));
        keys.all(is_same) && selects(constraint.label_selector.as_ref(), pod)
    };
    let (Some(old), Some(new)) = (old, new) else {
        // It came or went.
        return constraints.iter().any(|constraint| old.or(new).is_some_and(|pod| counts(constraint, pod)));
    };
    let tolerations = |pod: &Pod| pod.spec.as_ref().and_then(|spec| spec.tolerations.clone()).unwrap_or_default();
    let honor_taints = constraints.iter().any(|constraint| constraint.node_taints_policy.as_deref() == Some("Honor"));
    honor_taints && same(new, target) && tolerations(old) != tolerations(new)
        || constraints.iter().any(|constraint| counts(constraint, old) != counts(constraint, new))
}

/// Whether what became of a node may help a pod with constraints about these labels.
fn node_may_help(keys: &[&str], old: Option<&Node>, new: Option<&Node>) -> bool {
    fn domain<'a>(node: &'a Node, key: &str) -> Option<&'a String> {
        node.metadata.labels.as_ref().and_then(|labels| labels.get(key))
    }
    fn taints(node: &Node) -> &[Taint] {
        node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default()
    }
    let is_in_all = |node: &Node| keys.iter().all(|key| domain(node, key).is_some());
    let (Some(old), Some(new)) = (old, new) else { return old.or(new).is_some_and(is_in_all) };
    let moves = || keys.iter().any(|key| domain(old, key) != domain(new, key));
    is_in_all(old) != is_in_all(new) || is_in_all(new) && (moves() || taints(old) != taints(new))
}

/// A constraint and what is counted for it.
struct Spread<'a> {
    constraint: &'a SpreadConstraint,
    /// Among which pods.
    query: Cow<'a, Query>,
    /// Whether the pod is one of them.
    contains_self: bool,
    /// Which nodes count.
    scope: Scope,
    domains: Cow<'a, Domains>,
    by_node: Cow<'a, [u32]>,
    /// How many pods each domain has, on nodes that count; nothing if each node's own are looked at.
    tally: Cow<'a, Tally>,
    /// How many more (or fewer, if negative) are supposed to be in which domains, each once.
    supposed: Vec<(usize, i64)>,
    /// How many pods there are in the domain that has the fewest, or zero if there are too few domains.
    least: i64,
}

impl<'a> Spread<'a> {
    fn new(
        snapshot: &'a Snapshot,
        constraint: &'a SpreadConstraint,
        query: Cow<'a, Query>,
        contains_self: bool,
        scope: Scope,
    ) -> Self {
        let key = &constraint.topology_key;
        let tally = if constraint.is_tallied() { snapshot.tally(&query, key, &scope) } else { Cow::default() };
        let (domains, by_node) = (snapshot.domains(key), snapshot.count(&query));
        let supposed = Vec::new();
        Self { constraint, query, contains_self, scope, domains, by_node, tally, supposed, least: 0 }
    }

    fn sum(&self, domain: usize) -> i64 {
        let supposed = self.supposed.iter().find(|(known, _)| *known == domain);
        self.tally.get(domain) + supposed.map_or(0, |(_, more)| *more)
    }

    fn suppose(&mut self, domain: usize, more: i64) {
        match self.supposed.iter().position(|(known, _)| *known == domain) {
            None => self.supposed.push((domain, more)),
            Some(position) => {
                self.supposed[position].1 += more;
                if self.supposed[position].1 == 0 {
                    self.supposed.swap_remove(position);
                }
            }
        }
        self.find_least();
    }

    fn find_least(&mut self) {
        let too_few = self.tally.domains() < self.constraint.min_domains;
        self.least = if too_few { 0 } else { self.tally.least(&self.supposed) };
    }
}

fn in_all_domains(spreads: &[Spread<'_>], node: NodeIndex) -> bool {
    spreads.iter().all(|spread| spread.domains.get(node).is_some())
}

struct Even<'a> {
    snapshot: &'a Snapshot,
    spreads: Vec<Spread<'a>>,
}

impl Even<'_> {
    fn suppose(&mut self, pod: &PlacedPod, sign: i64) {
        let node = self.snapshot.node(pod.node);
        for spread in &mut self.spreads {
            if let Some(domain) = spread.domains.get(pod.node)
                && spread.query.counts(pod, self.snapshot.namespaces())
                && spread.scope.contains(node)
            {
                spread.suppose(domain, sign);
            }
        }
    }
}

impl Filter for Even<'_> {
    fn filter(&self, node: NodeIndex) -> Result<(), Rejection> {
        for spread in &self.spreads {
            let Some(domain) = spread.domains.get(node) else { return Err(Rejection::unresolvable(NO_LABEL)) };
            let with_pod = spread.sum(domain) + i64::from(spread.contains_self);
            if with_pod - spread.least > spread.constraint.max_skew {
                return Err(Rejection::resolvable(UNEVEN));
            }
        }
        Ok(())
    }

    fn reason(&self, number: u32) -> String {
        let reason = match number {
            NO_LABEL => "node(s) didn't match pod topology spread constraints (missing required label)",
            _ => "node(s) didn't match pod topology spread constraints",
        };
        reason.to_owned()
    }

    fn add(&mut self, pod: &PlacedPod) {
        self.suppose(pod, 1);
    }

    fn remove(&mut self, pod: &PlacedPod) {
        self.suppose(pod, -1);
    }
}

struct Evenness<'a> {
    spreads: Vec<Spread<'a>>,
    weights: Vec<f64>,
    /// For each feasible node, whether it is in no domain of some constraint.
    ignored: Vec<bool>,
    /// Whether a node that is in no domain of some constraint is scored by the others.
    is_lenient: bool,
}

impl Score for Evenness<'_> {
    fn score(&self, node: NodeIndex) -> i64 {
        if !self.is_lenient && !in_all_domains(&self.spreads, node) {
            return 0;
        }
        let score = |(spread, weight): (&Spread<'_>, &f64)| {
            let domain = spread.domains.get(node)?;
            let count = if spread.constraint.topology_key == HOSTNAME {
                spread.by_node.get(node.get()).copied().unwrap_or_default().into()
            } else {
                spread.sum(domain)
            };
            Some(count as f64 * weight + (spread.constraint.max_skew - 1) as f64)
        };
        self.spreads.iter().zip(&self.weights).filter_map(score).sum::<f64>().round() as i64
    }

    fn normalize(&self, scores: &mut [i64]) {
        let considered = || scores.iter().zip(&self.ignored).filter(|(_, ignored)| !**ignored).map(|(score, _)| *score);
        let (least, greatest) = (considered().min().unwrap_or_default(), considered().max().unwrap_or_default());
        for (score, ignored) in scores.iter_mut().zip(&self.ignored) {
            *score = match greatest {
                _ if *ignored => 0,
                0 => MAX_SCORE,
                _ => MAX_SCORE * (greatest + least - *score) / greatest,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{Node, Pod};
    use serde_json::{Value, json};

    use super::*;
    use crate::plugins::testing::{check_node_hint, check_pod_hint, check_reasons, check_scores};
    use crate::queue::Hint::{Queue, Skip};
    use crate::testing;

    const FITS: &str = "";
    const SKEW: &str = "node(s) didn't match pod topology spread constraints";
    const LABEL: &str = "node(s) didn't match pod topology spread constraints (missing required label)";

    /// Nodes `a1`, `a2` in zone `a`, `b1` in zone `b`, and `x` in none.
    fn nodes() -> Vec<Node> {
        let node = |name: &str, over: Value| testing::node(name, json!({"metadata": {"labels": over}}));
        let mut tainted = node("b1", json!({"zone": "b"}));
        let taint = json!({"key": "a", "effect": "NoSchedule"});
        tainted.spec = Some(testing::object(json!({"taints": [taint]})));
        vec![
            node("a1", json!({"zone": "a", "disk": "ssd"})),
            node("a2", json!({"zone": "a"})),
            tainted,
            node("x", json!({})),
        ]
    }

    fn labelled(name: &str, app: &str) -> Pod {
        let mut pod = testing::pod(name, json!({}));
        pod.metadata.labels = Some([("app".to_owned(), app.to_owned())].into());
        pod
    }

    fn constraint(key: &str, over: Value) -> Value {
        let mut constraint = json!({
            "topologyKey": key, "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": {"app": "web"}},
        });
        constraint.as_object_mut().unwrap().extend(over.as_object().unwrap().clone());
        constraint
    }

    fn wanting(constraints: &[Value], spec: Value) -> Pod {
        let mut pod = labelled("p", "web");
        let mut spec = testing::pod("p", spec).spec.unwrap();
        spec.topology_spread_constraints = Some(testing::object(json!(constraints)));
        pod.spec = Some(spec);
        pod
    }

    #[test]
    fn skew_is_bound() {
        let check = |on: &[&str], constraints: &[Value], spec: Value, expected: [&str; 4]| {
            let pods = on.iter().enumerate().map(|(i, node)| (*node, labelled(&i.to_string(), "web")));
            let pods: Vec<_> = pods.chain([("b1", labelled("other", "other"))]).collect();
            check_reasons(&PodTopologySpread::default(), &nodes(), &pods, &wanting(constraints, spec), &expected);
        };
        let zone = |over| constraint("zone", over);
        check(&[], &[], json!({}), [FITS; 4]);
        check(&[], &[zone(json!({}))], json!({}), [FITS, FITS, FITS, LABEL]);
        check(&["a1"], &[zone(json!({}))], json!({}), [SKEW, SKEW, FITS, LABEL]);
        check(&["a1", "b1"], &[zone(json!({}))], json!({}), [FITS, FITS, FITS, LABEL]);
        check(&["a1", "a2"], &[zone(json!({"maxSkew": 2}))], json!({}), [SKEW, SKEW, FITS, LABEL]);
        check(&["a1", "x"], &[zone(json!({}))], json!({}), [SKEW, SKEW, FITS, LABEL]);
        check(&["a1", "b1"], &[zone(json!({"minDomains": 3}))], json!({}), [SKEW, SKEW, SKEW, LABEL]);
        check(&["a1"], &[zone(json!({"nodeTaintsPolicy": "Honor"}))], json!({}), [FITS, FITS, FITS, LABEL]);
        let ssd = || json!({"nodeSelector": {"disk": "ssd"}});
        check(&["a1"], &[zone(json!({}))], ssd(), [FITS, FITS, FITS, LABEL]);
        check(&["a1"], &[zone(json!({"nodeAffinityPolicy": "Ignore"}))], ssd(), [SKEW, SKEW, FITS, LABEL]);
        let host = || constraint(HOSTNAME, json!({}));
        check(&["a1"], &[host()], json!({}), [SKEW, FITS, FITS, FITS]);
        check(&["a1"], &[host(), zone(json!({"maxSkew": 2}))], json!({}), [SKEW, FITS, FITS, LABEL]);
        check(&["a1"], &[zone(json!({"labelSelector": {}}))], json!({}), [FITS, FITS, FITS, LABEL]);
        check(&["a1"], &[zone(json!({"labelSelector": null}))], json!({}), [FITS, FITS, FITS, LABEL]);
        let other = json!({"labelSelector": {"matchLabels": {"app": "other"}}});
        check(&[], &[zone(other)], json!({}), [FITS, FITS, FITS, LABEL]);
        check(&["a1"], &[zone(json!({"whenUnsatisfiable": "ScheduleAnyway"}))], json!({}), [FITS; 4]);
        check(
            &["a1"],
            &[zone(json!({"labelSelector": {}, "matchLabelKeys": ["app"]}))],
            json!({}),
            [SKEW, SKEW, FITS, LABEL],
        );
    }

    #[test]
    fn emptier_domains_are_better() {
        let check = |on: &[&str], constraints: &[Value], expected: Option<&[i64]>| {
            let pods: Vec<_> =
                on.iter().enumerate().map(|(i, node)| (*node, labelled(&i.to_string(), "web"))).collect();
            check_scores(&PodTopologySpread::default(), &nodes(), &pods, &wanting(constraints, json!({})), expected);
        };
        let soft = |key: &str| constraint(key, json!({"whenUnsatisfiable": "ScheduleAnyway"}));
        check(&[], &[], None);
        check(&[], &[constraint("zone", json!({}))], None);
        check(&[], &[soft("zone")], Some(&[100, 100, 100, 0]));
        check(&["a1"], &[soft("zone")], Some(&[0, 0, 100, 0]));
        // Logarithms of 2 + 2 weigh 1, 1 and 1 pods with 1, 1 and 1; the greatest is 3 and the least 1.
        check(&["a1", "a2", "b1"], &[soft("zone")], Some(&[33, 33, 100, 0]));
        check(&["a1", "a1", "x"], &[soft(HOSTNAME)], Some(&[0, 100, 100, 50]));
    }

    #[test]
    fn refused_pods_wait_for_nodes_of_their_domains() {
        let node = |labels: Value| testing::node("n", json!({"metadata": {"labels": labels}}));
        let check = |keys: &[&str], old: Option<Node>, new: Option<Node>, expected| {
            let constraints: Vec<_> = keys.iter().map(|key| constraint(key, json!({}))).collect();
            check_node_hint(&PodTopologySpread::default(), &wanting(&constraints, json!({})), old, new, expected);
        };
        let (zone, both) = (["zone"], ["zone", "rack"]);
        check(&zone, Some(node(json!({"zone": "1"}))), Some(node(json!({"zone": "2"}))), Queue);
        check(&zone, Some(node(json!({"a": "1"}))), Some(node(json!({"a": "2"}))), Skip);
        let full = |a: &str| node(json!({"zone": "1", "rack": "1", "a": a}));
        check(&both, Some(full("1")), Some(full("2")), Skip);
        check(&zone, None, Some(node(json!({"a": "1"}))), Skip);
        check(&zone, None, Some(node(json!({"zone": "1"}))), Queue);
        check(&zone, Some(node(json!({"a": "1"}))), None, Skip);
        check(&zone, Some(node(json!({"zone": "1"}))), None, Queue);
        check(&both, None, Some(node(json!({"zone": "1"}))), Skip);
        check(&both, None, Some(full("")), Queue);
        check(&both, Some(node(json!({"zone": "1"}))), Some(node(json!({"zone": "2"}))), Skip);
        check(&both, Some(full("")), Some(node(json!({"zone": "1", "rack": "2"}))), Queue);
        check(&both, Some(full("")), Some(node(json!({"zone": "1"}))), Queue);
        let tainted = |mut node: Node, key: &str| {
            node.spec = Some(testing::object(json!({"taints": [{"key": key, "effect": "NoSchedule"}]})));
            Some(node)
        };
        check(&both, tainted(full(""), "a"), tainted(full(""), "b"), Queue);
        let rack = || node(json!({"rack": "1"}));
        check(&both, tainted(rack(), "a"), tainted(rack(), "b"), Skip);
    }

    #[test]
    fn refused_pods_wait_for_pods_that_they_are_spread_among() {
        let exists = |key: &str| json!({"labelSelector": {"matchExpressions": [{"key": key, "operator": "Exists"}]}});
        let other = |labels: &[(&str, &str)], node: &str| {
            let mut pod = testing::pod("q", json!({"nodeName": node}));
            pod.metadata.labels = Some(labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect());
            Some(pod)
        };
        let check = |keys: &[&str], old: Option<Pod>, new: Option<Pod>, expected| {
            let constraints: Vec<_> = keys.iter().map(|key| constraint("zone", exists(key))).collect();
            check_pod_hint(&PodTopologySpread::default(), &wanting(&constraints, json!({})), old, new, expected);
        };
        let foo = ["foo"];
        check(&foo, None, other(&[("foo", "")], "n"), Queue);
        check(&foo, None, other(&[("foo", "")], ""), Skip);
        check(&foo, other(&[("bar", "")], ""), other(&[("foo", "")], ""), Skip);
        check(&foo, other(&[("foo", "")], ""), None, Skip);
        check(&foo, None, other(&[("bar", "")], "n"), Skip);
        check(&foo, other(&[("foo", "")], "n"), None, Queue);
        check(&foo, other(&[("bar", "")], "n"), None, Skip);
        check(&foo, other(&[("foo", ""), ("bar", "1")], "n"), other(&[("foo", ""), ("bar", "2")], "n"), Skip);
        check(&foo, other(&[], "n"), other(&[("foo", "")], "n"), Queue);
        check(&foo, other(&[("foo", "")], "n"), other(&[], "n"), Queue);
        check(&foo, other(&[("foo", "1")], "n"), other(&[("foo", "2")], "n"), Skip);
        let both = ["foo", "bar"];
        check(&both, other(&[("foo", "")], "n"), other(&[("foo", ""), ("bar", "2")], "n"), Queue);
        check(&both, other(&[("foo", "")], "n"), other(&[("foo", ""), ("baz", "")], "n"), Skip);
        check(&both, other(&[("foo", ""), ("bar", "")], "n"), other(&[("foo", ""), ("bar", "2")], "n"), Skip);
        let mut elsewhere = other(&[("foo", "")], "n");
        elsewhere.as_mut().unwrap().metadata.namespace = Some("elsewhere".to_owned());
        check(&foo, None, elsewhere, Skip);
    }

    #[test]
    fn refused_pods_wait_for_changes_of_themselves() {
        let check = |policy: &str, label: &str, tolerations: Value, expected| {
            let mut new = wanting(&[constraint("zone", json!({"nodeTaintsPolicy": policy}))], json!({}));
            let mut old = new.clone();
            old.metadata.labels = None;
            new.metadata.labels = Some([(label.to_owned(), "web".to_owned())].into());
            if label.is_empty() {
                new.metadata.labels = None;
            }
            new.spec.as_mut().unwrap().tolerations = Some(testing::object(tolerations));
            check_pod_hint(&PodTopologySpread::default(), &new.clone(), Some(old), Some(new), expected);
        };
        let tolerating = || json!([{"operator": "Exists"}]);
        check("Honor", "", tolerating(), Queue);
        check("Ignore", "", tolerating(), Skip);
        check("Ignore", "app", json!([]), Queue);
        check("Ignore", "unrelated", json!([]), Skip);
    }

    /// `web` and its pods, so many on each node, and another Service.
    fn served(nodes: &[Node], counts: &[usize]) -> Snapshot {
        let mut snapshot = testing::snapshot(nodes, &[]);
        for (node, count) in nodes.iter().zip(counts) {
            let name = node.metadata.name.as_deref().unwrap();
            (0..*count).for_each(|i| snapshot.assume(&labelled(&format!("{name}-{i}"), "web"), name));
            snapshot.assume(&labelled(&format!("{name}-other"), "other"), name);
        }
        for app in ["web", "none"] {
            let service =
                json!({"metadata": {"name": app, "namespace": "default"}, "spec": {"selector": {"app": app}}});
            snapshot.set_service(&testing::object(service));
        }
        snapshot
    }

    fn told(args: Value) -> PodTopologySpread {
        PodTopologySpread::from(&serde_json::from_value::<PodTopologySpreadArgs>(args).unwrap())
    }

    fn list(key: &str, max_skew: i32, when: &str) -> PodTopologySpread {
        let constraint = json!({"topologyKey": key, "maxSkew": max_skew, "whenUnsatisfiable": when});
        told(json!({"defaultingType": "List", "defaultConstraints": [constraint]}))
    }

    fn zoned(name: &str, zone: &str) -> Node {
        testing::node(name, json!({"metadata": {"labels": {DEFAULT_TOPOLOGIES[1]: zone}}}))
    }

    #[test]
    fn pods_of_services_are_spread_by_default() {
        let check =
            |plugin: &PodTopologySpread, nodes: &[Node], counts: &[usize], pod: &Pod, expected: Option<&[i64]>| {
                let (mut snapshot, info) = (served(nodes, counts), PodInfo::new(pod));
                for watched in [false, true] {
                    if watched {
                        snapshot.watch(&info);
                    }
                    let order: Vec<_> = nodes
                        .iter()
                        .map(|node| snapshot.index(node.metadata.name.as_deref().unwrap()).unwrap())
                        .collect();
                    let scores = plugin.pre_score(&snapshot, &info, &order).map(|judge| {
                        let mut scores: Vec<_> = order.iter().map(|node| judge.score(*node)).collect();
                        judge.normalize(&mut scores);
                        scores
                    });
                    assert_eq!(scores.as_deref(), expected, "{watched} {counts:?} {pod:?}");
                }
            };
        let system = told(json!({"defaultingType": "System"}));
        let web = labelled("p", "web");
        let plain = ["a", "b", "c", "d"].map(|name| testing::node(name, json!({})));
        check(&system, &plain, &[4, 3, 2, 1], &web, Some(&[44, 66, 77, 100]));
        check(&system, &plain, &[4, 3, 2, 1], &labelled("p", "other"), None);
        let own = wanting(&[constraint(HOSTNAME, json!({"whenUnsatisfiable": "ScheduleAnyway"}))], json!({}));
        check(&system, &plain, &[1, 0, 0, 0], &own, Some(&[0, 100, 100, 100]));
        let hard = wanting(&[constraint(HOSTNAME, json!({}))], json!({}));
        check(&system, &plain, &[1, 0, 0, 0], &hard, None);
        // The scores are 2 ln 6 + 2 ln 4 + 6, 2 ln 4 + 6 and 6, which are 12, 9 and 6.
        let zones = [zoned("a1", "a"), zoned("a2", "a"), zoned("b1", "b"), zoned("b2", "b")];
        check(&system, &zones, &[2, 0, 0, 0], &web, Some(&[50, 75, 100, 100]));
        // A node in no zone is spread by its name alone, and is not worse for that.
        let partly = [zoned("a1", "a"), zoned("b1", "b"), testing::node("x", json!({}))];
        check(&system, &partly, &[1, 1, 0], &web, Some(&[22, 22, 100]));
        let key = DEFAULT_TOPOLOGIES[1];
        check(&list(key, 1, "ScheduleAnyway"), &partly, &[1, 0, 0], &web, Some(&[0, 100, 0]));
        check(&list(key, 1, "DoNotSchedule"), &partly, &[1, 0, 0], &web, None);
        check(&told(json!({"defaultingType": "List"})), &plain, &[1, 0, 0, 0], &web, None);
    }

    #[test]
    fn pods_of_services_may_have_to_be_spread() {
        let nodes = [zoned("a1", "a"), zoned("b1", "b"), testing::node("x", json!({}))];
        let key = DEFAULT_TOPOLOGIES[1];
        let check = |plugin: &PodTopologySpread, pod: &Pod, expected: Option<[&str; 3]>| {
            let (mut snapshot, info) = (served(&nodes, &[1, 0, 0]), PodInfo::new(pod));
            for watched in [false, true] {
                if watched {
                    plugin.prepare(&mut snapshot);
                    assert!(matches!(snapshot.domains(key), Cow::Borrowed(_)));
                    snapshot.watch(&info);
                }
                let filter = match plugin.pre_filter(&snapshot, &info) {
                    PreFilter::Filter(filter) => filter,
                    _ => return assert_eq!(None, expected),
                };
                let judge = |name: &str| {
                    let told = filter.filter(snapshot.index(name).unwrap());
                    told.map_or_else(|why| filter.reason(why.reasons.trailing_zeros()), |()| String::new())
                };
                assert_eq!(Some(["a1", "b1", "x"].map(judge).each_ref().map(String::as_str)), expected, "{pod:?}");
            }
        };
        check(&list(key, 1, "DoNotSchedule"), &labelled("p", "web"), Some([SKEW, FITS, LABEL]));
        check(&list(key, 2, "DoNotSchedule"), &labelled("p", "web"), Some([FITS, FITS, LABEL]));
        check(&list(key, 1, "DoNotSchedule"), &labelled("p", "other"), None);
        check(&list(key, 1, "ScheduleAnyway"), &labelled("p", "web"), None);
        check(&PodTopologySpread::default(), &labelled("p", "web"), None);
    }

    #[test]
    fn pods_that_are_refused_by_default_wait_for_less() {
        let plugin = list("zone", 1, "DoNotSchedule");
        let waiting = labelled("p", "web");
        let other = |app: &str, node: &str| {
            let mut pod = testing::pod("q", json!({"nodeName": node}));
            pod.metadata.labels = Some([("app".to_owned(), app.to_owned())].into());
            Some(pod)
        };
        let pods = |old, new, expected| check_pod_hint(&plugin, &waiting, old, new, expected);
        pods(None, other("any", "n"), Queue);
        pods(other("any", "n"), None, Queue);
        pods(other("any", ""), None, Skip);
        pods(other("a", "n"), other("b", "n"), Queue);
        pods(other("a", "n"), other("a", "n"), Skip);
        pods(Some(labelled("p", "db")), Some(labelled("p", "web")), Queue);
        let mut elsewhere = other("any", "n");
        elsewhere.as_mut().unwrap().metadata.namespace = Some("elsewhere".to_owned());
        pods(None, elsewhere, Skip);
        let node = |labels: Value| Some(testing::node("n", json!({"metadata": {"labels": labels}})));
        let nodes = |old, new, expected| check_node_hint(&plugin, &waiting, old, new, expected);
        nodes(None, node(json!({"zone": "1"})), Queue);
        nodes(None, node(json!({})), Skip);
        nodes(node(json!({"zone": "1"})), node(json!({"zone": "2"})), Queue);
        nodes(node(json!({"zone": "1"})), node(json!({"zone": "1", "a": "b"})), Skip);
    }
}
