//! InterPodAffinity: pods go near those that they want near, and far from those that they, or these, want far.
//!
//! A pod costs a look-up for each of its own terms and for each wish that is about it; then, a node, a look-up in an array
//! for each term and in a table for each wish. What is counted and wished is kept by event, by domain.

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Node, Pod, PodAffinityTerm};

use super::selection::may_mean;
use crate::config::ExtensionPoint;
use crate::cycle::{Filter, MAX_SCORE, Plugin, PreFilter, Rejection, Score};
use crate::queue::{ActionType, Change, ClusterEvent, Event, EventResource, Hint};
use crate::snapshot::{
    AffinityTerm, Domains, NodeIndex, PlacedPod, PodInfo, Query, Scope, Snapshot, Tally, Wish, Wished, is_placed, same,
};

const AFFINITY: u32 = 0;
const ANTI_AFFINITY: u32 = 1;
const EXISTING: u32 = 2;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct InterPodAffinity {
    /// What it counts, from 0 to 100, that a pod that is there must have the pod near.
    pub hard_pod_affinity_weight: i64,
    /// Whether what pods that are there prefer is of no matter if the pod itself prefers nothing.
    pub ignore_preferred_terms_of_existing_pods: bool,
}

impl Default for InterPodAffinity {
    fn default() -> Self {
        Self { hard_pod_affinity_weight: 1, ignore_preferred_terms_of_existing_pods: false }
    }
}

impl Plugin for InterPodAffinity {
    fn name(&self) -> &'static str {
        "InterPodAffinity"
    }

    fn points(&self) -> &'static [ExtensionPoint] {
        &[ExtensionPoint::PreFilter, ExtensionPoint::Filter, ExtensionPoint::PreScore, ExtensionPoint::Score]
    }

    fn events(&self) -> Vec<ClusterEvent> {
        let of_pods = ActionType::ADD | ActionType::UPDATE_POD_LABEL | ActionType::DELETE;
        vec![
            ClusterEvent::new(EventResource::Pod, of_pods),
            ClusterEvent::new(EventResource::Node, ActionType::ADD | ActionType::UPDATE_NODE_LABEL),
        ]
    }

    fn hint(&self, pod: &Pod, event: &Event) -> Hint {
        match event.change() {
            // Other pods may have wanted it far because of its old labels.
            Change::Pod(_, Some(new)) if same(pod, new) => Hint::Queue,
            Change::Pod(old, new) => Hint::when(pods_may_help(pod, old, new)),
            Change::Node(old, Some(new)) => Hint::when(node_may_help(pod, old, new)),
            _ => Hint::Queue,
        }
    }

    fn pre_filter<'a>(&'a self, snapshot: &'a Snapshot, pod: &'a PodInfo) -> PreFilter<'a> {
        let query = pod.affinities.required_query();
        let required =
            pod.affinities.required.iter().map(|term| Sums::of(snapshot, &query, &term.topology_key)).collect();
        let forbidden = pod.affinities.forbidden.iter();
        let forbidden = forbidden.map(|term| Sums::of(snapshot, &term.query(), &term.topology_key)).collect();
        let mut near = Near { snapshot, pod, query, required, forbidden, existing: BTreeMap::new() };
        for wished in snapshot.wishes_about(pod).filter(|wished| wished.wish == Wish::Forbidden) {
            near.existing(&wished.term.topology_key).kept.push(Kept::Wished(wished));
        }
        if near.required.is_empty()
            && near.forbidden.is_empty()
            && near.existing.is_empty()
            && !snapshot.has_nominated()
        {
            return PreFilter::Skip;
        }
        PreFilter::Filter(Box::new(near))
    }

    fn pre_score<'a>(
        &'a self,
        snapshot: &'a Snapshot,
        pod: &'a PodInfo,
        _feasible: &[NodeIndex],
    ) -> Option<Box<dyn Score + 'a>> {
        let preferred = &pod.affinities.preferred;
        if self.ignore_preferred_terms_of_existing_pods && preferred.is_empty() {
            return None;
        }
        let mut liked: Vec<Liking<'a>> = Vec::new();
        let everywhere = Scope::default();
        for (weight, term) in preferred {
            let tally = snapshot.tally(&term.query(), &term.topology_key, &everywhere);
            liked.push(Liking::new(snapshot, *weight, &term.topology_key, Kept::Counted(tally)));
        }
        for wished in snapshot.wishes_about(pod) {
            let weight = match wished.wish {
                Wish::Required => self.hard_pod_affinity_weight,
                Wish::Forbidden => 0,
                Wish::Preferred(weight) => weight,
            };
            if weight != 0 {
                liked.push(Liking::new(snapshot, weight, &wished.term.topology_key, Kept::Wished(wished)));
            }
        }
        liked.retain(|liking| liking.kept.total() > 0);
        if liked.is_empty() { None } else { Some(Box::new(Liked(liked))) }
    }
}

/// The terms that must hold, and those that must not.
fn terms(pod: &Pod) -> [&[PodAffinityTerm]; 2] {
    let affinity = pod.spec.as_ref().and_then(|spec| spec.affinity.as_ref());
    let near = affinity.and_then(|affinity| affinity.pod_affinity.as_ref());
    let far = affinity.and_then(|affinity| affinity.pod_anti_affinity.as_ref());
    let near = near.and_then(|near| near.required_during_scheduling_ignored_during_execution.as_deref());
    let far = far.and_then(|far| far.required_during_scheduling_ignored_during_execution.as_deref());
    [near.unwrap_or_default(), far.unwrap_or_default()]
}

/// Whether what became of another pod may help `target`.
fn pods_may_help(target: &Pod, old: Option<&Pod>, new: Option<&Pod>) -> bool {
    if ![old, new].into_iter().flatten().all(is_placed) {
        return false;
    }
    let [required, forbidden] = terms(target);
    let attracts = |pod: &Pod| !required.is_empty() && required.iter().all(|term| may_mean(term, target, pod));
    let repels = |pod: &Pod| forbidden.iter().any(|term| may_mean(term, target, pod));
    // A pod that wants its like near may go anywhere if there is none.
    let was_tied_by = |old: &Pod| attracts(old) && attracts(target);
    match (old, new) {
        (Some(old), Some(new)) => {
            attracts(old) != attracts(new) && (attracts(new) || was_tied_by(old)) || repels(old) && !repels(new)
        }
        (None, Some(new)) => attracts(new),
        (Some(old), None) => {
            let [_, forbidden] = terms(old);
            repels(old) || forbidden.iter().any(|term| may_mean(term, old, target)) || was_tied_by(old)
        }
        (None, None) => true,
    }
}

/// Whether a node that appeared, or got other labels, may help the pod.
fn node_may_help(pod: &Pod, old: Option<&Node>, new: &Node) -> bool {
    let [required, forbidden] = terms(pod);
    if required.is_empty() && forbidden.is_empty() {
        // It is others who want it far, and by which labels is not known here.
        return true;
    }
    fn domain<'a>(node: &'a Node, term: &PodAffinityTerm) -> Option<&'a String> {
        node.metadata.labels.as_ref().and_then(|labels| labels.get(&term.topology_key))
    }
    let attracts = |term: &PodAffinityTerm| old.and_then(|old| domain(old, term)) != domain(new, term);
    let lets_go = |term: &PodAffinityTerm| {
        old.is_none_or(|old| domain(old, term).is_some() && domain(old, term) != domain(new, term))
    };
    required.iter().any(attracts) || forbidden.iter().any(lets_go)
}

/// Sums by domain that are kept by event.
enum Kept<'a> {
    Counted(Cow<'a, Tally>),
    Wished(&'a Wished),
}

impl Kept<'_> {
    fn get(&self, domain: usize) -> i64 {
        match self {
            Self::Counted(tally) => tally.get(domain),
            Self::Wished(wished) => wished.get(domain),
        }
    }

    fn total(&self) -> i64 {
        match self {
            Self::Counted(tally) => tally.total(),
            Self::Wished(wished) => wished.total(),
        }
    }
}

/// Sums by domain, and what is supposed besides.
struct Sums<'a> {
    domains: Cow<'a, Domains>,
    kept: Vec<Kept<'a>>,
    /// How many more pods (or fewer, if negative) are supposed to be in which domains, each once.
    supposed: Vec<(usize, i64)>,
}

impl<'a> Sums<'a> {
    fn at(snapshot: &'a Snapshot, key: &str) -> Self {
        Self { domains: snapshot.domains(key), kept: Vec::new(), supposed: Vec::new() }
    }

    fn of(snapshot: &'a Snapshot, query: &Query, key: &str) -> Self {
        let tally = snapshot.tally(query, key, &Scope::default());
        Self { kept: vec![Kept::Counted(tally)], ..Self::at(snapshot, key) }
    }

    fn add(&mut self, node: NodeIndex, more: i64) {
        let Some(domain) = self.domains.get(node) else { return };
        match self.supposed.iter().position(|(known, _)| *known == domain) {
            None => self.supposed.push((domain, more)),
            Some(position) => {
                self.supposed[position].1 += more;
                if self.supposed[position].1 == 0 {
                    self.supposed.swap_remove(position);
                }
            }
        }
    }

    /// Whether there is no pod in any domain.
    fn is_zero(&self) -> bool {
        let supposed: i64 = self.supposed.iter().map(|(_, more)| more).sum();
        self.kept.iter().map(Kept::total).sum::<i64>() + supposed == 0
    }

    /// The sum of the node's domain; none if the node is in no domain.
    fn get(&self, node: NodeIndex) -> Option<i64> {
        let domain = self.domains.get(node)?;
        let supposed = self.supposed.iter().find(|(known, _)| *known == domain);
        let kept: i64 = self.kept.iter().map(|kept| kept.get(domain)).sum();
        Some(kept + supposed.map_or(0, |(_, more)| *more))
    }
}

struct Near<'a> {
    snapshot: &'a Snapshot,
    pod: &'a PodInfo,
    /// What all of the required terms are about.
    query: Query,
    /// For each required term, pods that match all of them.
    required: Vec<Sums<'a>>,
    /// For each forbidden term, pods that match it.
    forbidden: Vec<Sums<'a>>,
    /// Pods that want this one far, by the labels whose domains are meant.
    existing: BTreeMap<String, Sums<'a>>,
}

impl<'a> Near<'a> {
    fn existing(&mut self, key: &str) -> &mut Sums<'a> {
        if !self.existing.contains_key(key) {
            self.existing.insert(key.to_owned(), Sums::at(self.snapshot, key));
        }
        self.existing.get_mut(key).expect("it was inserted just now")
    }
}

impl Near<'_> {
    fn suppose(&mut self, pod: &PlacedPod, sign: i64) {
        let namespaces = self.snapshot.namespaces();
        if self.query.contains(&pod.info, namespaces) {
            self.required.iter_mut().for_each(|sums| sums.add(pod.node, sign));
        }
        for (sums, term) in self.forbidden.iter_mut().zip(&self.pod.affinities.forbidden) {
            if term.pods.contains(&pod.info, namespaces) {
                sums.add(pod.node, sign);
            }
        }
        let wants_far = |term: &&AffinityTerm| term.pods.contains(self.pod, namespaces);
        for term in pod.info.affinities.forbidden.iter().filter(wants_far) {
            self.existing(&term.topology_key).add(pod.node, sign);
        }
    }

    fn has_near(&self, node: NodeIndex) -> bool {
        let mut near = true;
        for sums in &self.required {
            match sums.get(node) {
                None => return false,
                Some(count) => near &= count > 0,
            }
        }
        // The first of pods that want each other near has to be somewhere.
        near || (self.required.iter().all(Sums::is_zero) && self.query.contains(self.pod, self.snapshot.namespaces()))
    }
}

fn any_at<'a>(sums: impl IntoIterator<Item = &'a Sums<'a>>, node: NodeIndex) -> bool {
    sums.into_iter().any(|sums| sums.get(node).is_some_and(|count| count > 0))
}

impl Filter for Near<'_> {
    fn filter(&self, node: NodeIndex) -> Result<(), Rejection> {
        if !self.has_near(node) {
            Err(Rejection::unresolvable(AFFINITY))
        } else if any_at(&self.forbidden, node) {
            Err(Rejection::resolvable(ANTI_AFFINITY))
        } else if any_at(self.existing.values(), node) {
            Err(Rejection::resolvable(EXISTING))
        } else {
            Ok(())
        }
    }

    fn reason(&self, number: u32) -> String {
        let reason = match number {
            AFFINITY => "node(s) didn't match pod affinity rules",
            ANTI_AFFINITY => "node(s) didn't match pod anti-affinity rules",
            _ => "node(s) didn't satisfy existing pods anti-affinity rules",
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

/// What pods in a domain count.
struct Liking<'a> {
    weight: i64,
    domains: Cow<'a, Domains>,
    kept: Kept<'a>,
}

impl<'a> Liking<'a> {
    fn new(snapshot: &'a Snapshot, weight: i64, key: &str, kept: Kept<'a>) -> Self {
        Self { weight, domains: snapshot.domains(key), kept }
    }
}

struct Liked<'a>(Vec<Liking<'a>>);

impl Score for Liked<'_> {
    fn score(&self, node: NodeIndex) -> i64 {
        let liked = |liking: &Liking<'_>| Some(liking.weight * liking.kept.get(liking.domains.get(node)?));
        self.0.iter().filter_map(liked).sum()
    }

    fn normalize(&self, scores: &mut [i64]) {
        let least = scores.iter().copied().min().unwrap_or_default();
        let range = scores.iter().copied().max().unwrap_or_default() - least;
        for score in scores {
            let share = if range > 0 { (*score - least) as f64 / range as f64 } else { 0.0 };
            *score = (MAX_SCORE as f64 * share) as i64;
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
    const NEAR: &str = "node(s) didn't match pod affinity rules";
    const FAR: &str = "node(s) didn't match pod anti-affinity rules";
    const THEY: &str = "node(s) didn't satisfy existing pods anti-affinity rules";

    /// Nodes `a1`, `a2` in zone `a`, `b1` in zone `b`, and `x` in none.
    fn nodes() -> Vec<Node> {
        let node = |name: &str, over: Value| testing::node(name, json!({"metadata": {"labels": over}}));
        let zone = |zone: &str| json!({ "zone": zone });
        vec![node("a1", zone("a")), node("a2", zone("a")), node("b1", zone("b")), node("x", json!({}))]
    }

    fn pod(name: &str, app: &str, affinity: Value) -> Pod {
        let mut pod = testing::pod(name, json!({ "affinity": affinity }));
        pod.metadata.labels = Some([("app".to_owned(), app.to_owned())].into());
        pod
    }

    fn term(key: &str, app: &str) -> Value {
        json!({"topologyKey": key, "labelSelector": {"matchLabels": {"app": app}}})
    }

    fn affinity(kind: &str, terms: &[Value]) -> Value {
        json!({ kind: {"requiredDuringSchedulingIgnoredDuringExecution": terms} })
    }

    fn near(terms: &[Value]) -> Value {
        affinity("podAffinity", terms)
    }

    fn far(terms: &[Value]) -> Value {
        affinity("podAntiAffinity", terms)
    }

    #[test]
    fn pods_go_near_and_far() {
        let check = |pods: &[(&str, &str, Value)], wanted: Value, expected: [&str; 4]| {
            let placed = pods.iter().enumerate();
            let placed = placed.map(|(i, (on, app, affinity))| (*on, pod(&i.to_string(), app, affinity.clone())));
            let placed: Vec<_> = placed.collect();
            check_reasons(&InterPodAffinity::default(), &nodes(), &placed, &pod("p", "web", wanted), &expected);
        };
        let db = |on| (on, "db", json!({}));
        check(&[db("a1")], json!({}), [FITS; 4]);
        check(&[db("a1")], near(&[term("zone", "db")]), [FITS, FITS, NEAR, NEAR]);
        check(&[], near(&[term("zone", "db")]), [NEAR; 4]);
        check(&[db("x")], near(&[term("zone", "db")]), [NEAR; 4]);
        let host = "kubernetes.io/hostname";
        check(&[db("a1")], near(&[term(host, "db"), term("zone", "db")]), [FITS, NEAR, NEAR, NEAR]);
        check(&[db("a1"), ("a1", "lb", json!({}))], near(&[term("zone", "db"), term("zone", "lb")]), [NEAR; 4]);
        check(&[], near(&[term("zone", "web")]), [FITS, FITS, FITS, NEAR]);
        check(&[("b1", "web", json!({}))], near(&[term("zone", "web")]), [NEAR, NEAR, FITS, NEAR]);
        check(&[db("a1")], far(&[term("zone", "db")]), [FAR, FAR, FITS, FITS]);
        check(&[db("a1"), db("b1")], far(&[term(host, "db")]), [FAR, FITS, FAR, FITS]);
        check(&[("a1", "db", far(&[term("zone", "web")]))], json!({}), [THEY, THEY, FITS, FITS]);
        check(&[("a1", "db", far(&[term("zone", "lb")]))], json!({}), [FITS; 4]);
        check(&[("x", "db", far(&[term("zone", "web")]))], json!({}), [FITS; 4]);
    }

    #[test]
    fn namespaces_bound_what_is_meant() {
        let check = |over: Value, expected: &str| {
            let mut wanted = term("zone", "db");
            wanted.as_object_mut().unwrap().extend(over.as_object().unwrap().clone());
            let mut other = pod("o", "db", json!({}));
            other.metadata.namespace = Some("other".to_owned());
            let mut snapshot = testing::snapshot(&nodes()[..1], &[("a1", other)]);
            snapshot.set_namespace("other", [("team".to_owned(), "x".to_owned())].into());
            let info = PodInfo::new(&pod("p", "web", far(&[wanted])));
            for watched in [false, true] {
                if watched {
                    snapshot.watch(&info);
                }
                let plugin = InterPodAffinity::default();
                let PreFilter::Filter(filter) = plugin.pre_filter(&snapshot, &info) else { panic!("there is a term") };
                let told = filter.filter(snapshot.order()[0]).err().map_or(FITS, |_| FAR);
                assert_eq!(told, expected, "{over}");
            }
        };
        check(json!({}), FITS);
        check(json!({"namespaces": ["other"]}), FAR);
        check(json!({"namespaceSelector": {}}), FAR);
        check(json!({"namespaceSelector": {"matchLabels": {"team": "x"}}}), FAR);
        check(json!({"namespaceSelector": {"matchLabels": {"team": "y"}}}), FITS);
    }

    #[test]
    fn preferences_of_both_sides_count() {
        let preferred = |kind: &str, weight: i32, app: &str| {
            let terms = json!([{"weight": weight, "podAffinityTerm": term("zone", app)}]);
            json!({ kind: {"preferredDuringSchedulingIgnoredDuringExecution": terms} })
        };
        let check = |pods: &[(&str, Value)], wanted: Value, expected: Option<&[i64]>| {
            let placed = pods.iter().enumerate();
            let placed = placed.map(|(i, (on, affinity))| (*on, pod(&i.to_string(), "db", affinity.clone())));
            let placed: Vec<_> = placed.collect();
            check_scores(&InterPodAffinity::default(), &nodes(), &placed, &pod("p", "web", wanted), expected);
        };
        check(&[("a1", json!({}))], json!({}), None);
        check(&[], preferred("podAffinity", 5, "db"), None);
        check(&[("a1", json!({}))], preferred("podAffinity", 5, "db"), Some(&[100, 100, 0, 0]));
        check(&[("a1", json!({}))], preferred("podAntiAffinity", 5, "db"), Some(&[0, 0, 100, 100]));
        check(&[("b1", preferred("podAffinity", 5, "web"))], json!({}), Some(&[0, 0, 100, 0]));
        check(&[("b1", preferred("podAffinity", 5, "lb"))], json!({}), None);
        check(&[("b1", near(&[term("zone", "web")]))], json!({}), Some(&[0, 0, 100, 0]));
        let both = [("b1", preferred("podAffinity", 4, "web")), ("a1", preferred("podAntiAffinity", 4, "web"))];
        check(&both, json!({}), Some(&[0, 0, 100, 50]));
    }

    fn on(labels: &[(&str, &str)], affinity: Value, node: &str) -> Option<Pod> {
        let mut pod = testing::pod("q", json!({"affinity": affinity, "nodeName": node}));
        pod.metadata.labels = Some(labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect());
        Some(pod)
    }

    #[test]
    fn refused_pods_wait_for_pods_that_they_want_near() {
        let check = |terms: &[Value], old: Option<Pod>, new: Option<Pod>, expected| {
            check_pod_hint(&InterPodAffinity::default(), &pod("p", "web", near(terms)), old, new, expected);
        };
        let db = [json!({"topologyKey": "zone", "labelSelector": {"matchExpressions": [
            {"key": "app", "operator": "In", "values": ["db", "store"]},
        ]}})];
        let app = |app: &str, node: &str| on(&[("app", app)], json!({}), node);
        check(&db, None, app("db", "n"), Queue);
        check(&db, None, app("db", ""), Skip);
        check(&db, None, app("other", "n"), Skip);
        check(&db, app("other", "n"), app("db", "n"), Queue);
        check(&db, app("store", "n"), app("db", "n"), Skip);
        check(&db, app("other", ""), app("db", ""), Skip);
        check(&db, app("db", "n"), app("other", "n"), Skip);
        let like = [term("zone", "web")];
        check(&like, app("web", "n"), app("other", "n"), Queue);
        check(&like, app("web", "n"), None, Queue);
        check(&db, app("db", "n"), None, Skip);
        let exists = |key: &str| json!({"topologyKey": "host", "labelSelector": {"matchExpressions": [{"key": key, "operator": "Exists"}]}});
        let both = [exists("a"), exists("b")];
        check(&both, on(&[("a", "")], json!({}), "n"), on(&[("c", "")], json!({}), "n"), Skip);
        check(&both, on(&[("a", "")], json!({}), "n"), on(&[("a", ""), ("b", "")], json!({}), "n"), Queue);
        // In another namespace, whose labels are not known here.
        let mut elsewhere = app("db", "n");
        elsewhere.as_mut().unwrap().metadata.namespace = Some("elsewhere".to_owned());
        check(&db, None, elsewhere.clone(), Skip);
        let mut anywhere = db[0].clone();
        anywhere["namespaceSelector"] = json!({"matchLabels": {"a": "b"}});
        check(&[anywhere], None, elsewhere, Queue);
    }

    #[test]
    fn refused_pods_wait_for_pods_that_are_to_be_far_to_go() {
        let check = |label: &str, terms: &[Value], old: Option<Pod>, new: Option<Pod>, expected| {
            check_pod_hint(&InterPodAffinity::default(), &pod("p", label, far(terms)), old, new, expected);
        };
        let db = [term("zone", "db")];
        let app = |app: &str, node: &str| on(&[("app", app)], json!({}), node);
        check("web", &db, app("db", "n"), app("other", "n"), Queue);
        check("web", &db, app("other", "n"), app("db", "n"), Skip);
        check("web", &db, app("other", "n"), None, Skip);
        check("web", &db, app("db", "n"), None, Queue);
        check("web", &db, app("db", ""), None, Skip);
        let nominated = |pod: Option<Pod>| {
            pod.map(|mut pod| {
                pod.status.get_or_insert_default().nominated_node_name = Some("n".to_owned());
                pod
            })
        };
        check("web", &db, nominated(app("other", "")), None, Skip);
        check("web", &db, nominated(app("db", "")), None, Queue);
        // It is the other that wants the pod far.
        check("web", &[], on(&[], far(&[term("zone", "web")]), "n"), None, Queue);
        check("other", &[], on(&[], far(&[term("zone", "web")]), "n"), None, Skip);
        check("other", &[term("zone", "web")], on(&[("app", "other")], far(&[term("zone", "web")]), "n"), None, Skip);
        check("web", &[], on(&[], far(&[term("zone", "web"), term("zone", "db")]), "n"), None, Queue);
        // Either of two terms may be what keeps it away.
        let other = json!({"topologyKey": "zone", "labelSelector": {"matchLabels": {"tier": "x"}}});
        let both = [term("zone", "db"), other];
        let labelled = |app: &str, tier: &str| on(&[("app", app), ("tier", tier)], json!({}), "n");
        check("web", &both, labelled("db", "y"), labelled("a", "y"), Queue);
        check("web", &both, labelled("db", "y"), labelled("a", "x"), Skip);
        check("web", &both, app("db", "n"), None, Queue);
    }

    #[test]
    fn refused_pods_wait_for_their_own_labels() {
        let (old, new) = (pod("p", "web", json!({})), pod("p", "db", json!({})));
        check_pod_hint(&InterPodAffinity::default(), &new.clone(), Some(old), Some(new), Queue);
    }

    #[test]
    fn refused_pods_wait_for_nodes_in_other_domains() {
        let node = |labels: &Value| testing::node("n", json!({"metadata": {"labels": labels}}));
        let check = |affinity: &Value, old: Option<Value>, new: Value, expected| {
            let pod = pod("p", "web", affinity.clone());
            let (old, new) = (old.map(|labels| node(&labels)), Some(node(&new)));
            check_node_hint(&InterPodAffinity::default(), &pod, old, new, expected);
        };
        let zone = |zone: &str| json!({ "zone": zone });
        let near = near(&[term("zone", "db")]);
        check(&near, None, zone("1"), Queue);
        check(&near, None, json!({"region": "1"}), Skip);
        check(&near, Some(json!({"a": "1"})), json!({"a": "2"}), Skip);
        check(&near, Some(zone("1")), json!({"zone": "1", "a": "1"}), Skip);
        check(&near, Some(zone("1")), zone("2"), Queue);
        check(&near, Some(json!({"a": "1"})), zone("1"), Queue);
        // A pod on the node may have wanted the pod far.
        check(&near, Some(zone("1")), json!({"a": "1"}), Queue);
        let far = far(&[term("zone", "db")]);
        check(&far, None, zone("1"), Queue);
        check(&far, None, json!({}), Queue);
        check(&far, Some(zone("1")), json!({"zone": "1", "a": "1"}), Skip);
        check(&far, Some(zone("1")), zone("2"), Queue);
        check(&far, Some(json!({"a": "1"})), zone("1"), Skip);
        check(&far, Some(zone("1")), json!({"a": "1"}), Queue);
        // Others want the pod far, by labels that are not known here.
        check(&json!({}), None, json!({}), Queue);
        check(&json!({}), Some(zone("1")), zone("2"), Queue);
    }
}
