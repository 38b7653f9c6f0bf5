//! Works out the status of every PodDisruptionBudget, by which the API server decides whether a pod may be evicted.
//!
//! The server takes each eviction that it allows from `disruptionsAllowed`, and notes the pod in `disruptedPods`. A status is
//! only written over the version that it was worked out of, so that no such note is ever lost; the pods in the notes count as
//! gone until they are, or until they have stayed for two minutes. What cannot be worked out allows nothing.
//!
//! Events are told once for each change of a status, where upstream tells them at every look.

mod scale;
mod stale;
mod status;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use api::field::go_quote;
use api::selector::label::{self, Selector};
use client::cache::Cache;
use client::events::EventType;
use client::resource::Key;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::{Pod, ReplicationController};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};

use crate::controller::{Controller, Moment, Pair, Watches};
use crate::plan::Plan;
use crate::pods::controller_of;
use scale::{Scaled, scale_of};
use status::{Scales, count, disrupted, failed, healthy, known, needs_scales};

/// When a budget that could not be worked out is looked at again: nothing tells that a kind has come to be served.
const RETRY: Duration = Duration::from_mins(1);
/// How many pods at a time are told that they are under several budgets.
const MOST_SHARED: usize = 10;

/// The controller.
pub struct Disruption;

/// What a decision is about.
pub enum Observed {
    /// A budget.
    Budget(Box<Covering>),
    /// A pod that was to be disrupted.
    Target(Arc<Pod>),
}

/// A budget and what it covers.
pub struct Covering {
    budget: Arc<PodDisruptionBudget>,
    /// The pods that it selects, by name; or why its selector is none.
    pods: Result<Vec<Arc<Pod>>, String>,
    scales: Scales,
    /// Pods that other budgets cover, too, and the first of all their budgets.
    shared: Vec<(Arc<Pod>, String)>,
}

impl Controller for Disruption {
    const NAME: &'static str = "disruption-controller";
    const COMPONENT: &'static str = "controllermanager";
    type Observed = Observed;

    fn watches(&self) -> Watches {
        Watches::on::<PodDisruptionBudget>()
            .mapped::<Pod>(|cache, pair| {
                let mut keys: Vec<Key> = pair.both().flat_map(|pod| covering(cache, &pod.metadata)).collect();
                keys.extend(pair.new.iter().filter(|pod| stale::target(pod).is_some()).map(|pod| Key::to(&**pod)));
                keys
            })
            .mapped::<ReplicationController>(rescaled)
            .mapped::<ReplicaSet>(rescaled)
            .mapped::<Deployment>(rescaled)
            .mapped::<StatefulSet>(rescaled)
    }

    fn observe(&self, cache: &Cache, key: &Key) -> Option<Observed> {
        if key.is_of::<Pod>() {
            return cache.get(&key.namespace, &key.name).map(Observed::Target);
        }
        let budget = cache.get::<PodDisruptionBudget>(&key.namespace, &key.name)?;
        let selector = budget.spec.as_ref().and_then(|spec| spec.selector.as_ref());
        let pods = label::from_api(selector).map(|selector| cache.select::<Pod>(&key.namespace, &selector));
        let covered = pods.as_deref().unwrap_or_default();
        let needed = budget.spec.as_ref().is_some_and(needs_scales);
        let scales = if needed { scales(cache, &key.namespace, covered) } else { Scales::new() };
        let shared = shared(cache, &key.namespace, covered);
        Some(Observed::Budget(Box::new(Covering { budget, pods, scales, shared })))
    }

    fn reconcile(&self, observed: &Observed, moment: &Moment) -> Plan {
        match observed {
            Observed::Budget(covering) => covering.plan(moment.now),
            Observed::Target(pod) => stale::plan(pod, moment.now),
        }
    }
}

/// What is said when a status changes.
type Saying = (EventType, &'static str, String);

impl Covering {
    fn plan(&self, now: Timestamp) -> Plan {
        let mut plan = Plan::new();
        let mut sayings = Vec::new();
        let outcome = self.count(&mut sayings);
        let pods = self.pods.as_deref().unwrap_or_default();
        let mut kept = Vec::new();
        let status = match outcome {
            Ok(count) => {
                let disrupted = disrupted(&self.budget, pods, now);
                disrupted.again.into_iter().for_each(|again| plan.look_again(again));
                kept = disrupted.kept;
                let healthy = healthy(pods, &disrupted.expected);
                known(&self.budget, &count, healthy, disrupted.expected, now)
            }
            Err(why) => {
                plan.look_again(RETRY);
                failed(&self.budget, &why, now)
            }
        };
        let new = PodDisruptionBudget { status: Some(status), ..PodDisruptionBudget::clone(&self.budget) };
        if plan.update_status(&*self.budget, &new).is_some() {
            self.say(&mut plan, sayings, &kept);
        }
        plan
    }

    /// How many pods there should be, and what there is to say about them.
    fn count(&self, sayings: &mut Vec<Saying>) -> Result<status::Count, String> {
        let pods = self.pods.as_ref().map_err(|why| {
            sayings.push((EventType::Warning, "NoPods", format!("Failed to get pods: {why}")));
            why.clone()
        })?;
        if pods.is_empty() {
            sayings.push((EventType::Normal, "NoPods", "No matching pods found".to_owned()));
        }
        let spec = self.budget.spec.clone().unwrap_or_default();
        let count = count(&spec, pods, &self.scales).inspect_err(|why| {
            let message = format!("Failed to calculate the number of expected pods: {why}");
            sayings.push((EventType::Warning, "CalculateExpectedPodCountFailed", message));
        })?;
        if count.unmanaged {
            let selector = go_text(spec.selector.as_ref());
            let message = format!(
                "Pods selected by this PodDisruptionBudget (selector: {selector}) were found to be unmanaged. As a \
                 result, the status of the PDB cannot be calculated correctly, which may result in undefined behavior. \
                 To account for these pods please set \".spec.minAvailable\" field of the PDB to an integer value."
            );
            sayings.push((EventType::Warning, "UnmanagedPods", message));
        }
        Ok(count)
    }

    fn say(&self, plan: &mut Plan, sayings: Vec<Saying>, kept: &[Arc<Pod>]) {
        for (event_type, reason, message) in sayings {
            plan.event(&*self.budget, event_type, reason, message);
        }
        for (pod, first) in &self.shared {
            let ObjectMeta { namespace, name, .. } = &pod.metadata;
            let quoted = |text: &Option<String>| go_quote(text.as_deref().unwrap_or_default());
            let message = format!(
                "Pod {}/{} matches multiple PodDisruptionBudgets.  Chose {} arbitrarily.",
                quoted(namespace),
                quoted(name),
                go_quote(first)
            );
            plan.event(&**pod, EventType::Warning, "MultiplePodDisruptionBudgets", message);
        }
        // Upstream names the namespace twice, and never the budget.
        let namespace = self.budget.metadata.namespace.as_deref().unwrap_or_default();
        for pod in kept.iter().take(plan.room()) {
            let message = format!("Pod was expected by PDB {namespace}/{namespace} to be deleted but it wasn't");
            plan.event(&**pod, EventType::Warning, "NotDeleted", message);
        }
    }
}

/// The budgets of a namespace that have a selector, by name.
fn budgets(cache: &Cache, namespace: &str) -> Vec<(Arc<PodDisruptionBudget>, Selector)> {
    let selecting = |budget: Arc<PodDisruptionBudget>| {
        let selector = label::from_api(budget.spec.as_ref().and_then(|spec| spec.selector.as_ref())).ok()?;
        Some((budget, selector))
    };
    cache.list::<PodDisruptionBudget>(Some(namespace)).into_iter().filter_map(selecting).collect()
}

/// The keys of the budgets that cover a pod with this metadata.
fn covering(cache: &Cache, meta: &ObjectMeta) -> Vec<Key> {
    let budgets = budgets(cache, meta.namespace.as_deref().unwrap_or_default());
    let covers = |(_, selector): &&(_, Selector)| selector.matches(&meta.labels);
    budgets.iter().filter(covers).map(|(budget, _)| Key::to(&**budget)).collect()
}

fn scales(cache: &Cache, namespace: &str, pods: &[Arc<Pod>]) -> Scales {
    let mut scales = Scales::new();
    for controller in pods.iter().filter_map(|pod| controller_of(&pod.metadata)) {
        if !scales.contains_key(&controller.uid) {
            scales.insert(controller.uid.clone(), scale_of(cache, namespace, controller));
        }
    }
    scales
}

/// Some of the pods that other budgets cover, too.
fn shared(cache: &Cache, namespace: &str, pods: &[Arc<Pod>]) -> Vec<(Arc<Pod>, String)> {
    let budgets = budgets(cache, namespace);
    if budgets.len() < 2 {
        return Vec::new();
    }
    let of_several = |pod: &Arc<Pod>| {
        let mut covering = budgets.iter().filter(|(_, selector)| selector.matches(&pod.metadata.labels));
        let (first, _) = covering.next()?;
        covering.next().map(|_| (Arc::clone(pod), first.metadata.name.clone().unwrap_or_default()))
    };
    pods.iter().filter_map(of_several).take(MOST_SHARED).collect()
}

/// The budgets that cover pods of a controller whose scale, or whose own controller, has changed.
fn rescaled<K: Scaled>(cache: &Cache, pair: &Pair<K>) -> Vec<Key> {
    if let (Some(old), Some(new)) = (&pair.old, &pair.new)
        && old.scale() == new.scale()
        && controller_of(old.metadata()) == controller_of(new.metadata())
    {
        return Vec::new();
    }
    let uids: BTreeSet<String> = pair.both().map(|object| object.scale().uid).collect();
    let mut keys = BTreeSet::new();
    for uid in &uids {
        let sets = cache.controlled::<ReplicaSet>(uid);
        let of_sets = sets.iter().flat_map(|set| cache.controlled::<Pod>(&set.scale().uid));
        for pod in cache.controlled::<Pod>(uid).into_iter().chain(of_sets) {
            keys.extend(covering(cache, &pod.metadata));
        }
    }
    keys.into_iter().collect()
}

/// A selector as Go prints it.
fn go_text(selector: Option<&LabelSelector>) -> String {
    let Some(selector) = selector else { return "nil".to_owned() };
    let labels = selector.match_labels.iter().flatten();
    let labels: String = labels.map(|(key, value)| format!("{key}: {value},")).collect();
    let expressions = selector.match_expressions.iter().flatten();
    let expressions: String = expressions
        .map(|it| {
            let values = it.values.as_deref().unwrap_or_default().join(" ");
            format!("LabelSelectorRequirement{{Key:{},Operator:{},Values:[{values}],}},", it.key, it.operator)
        })
        .collect();
    format!(
        "&LabelSelector{{MatchLabels:map[string]string{{{labels}}},\
         MatchExpressions:[]LabelSelectorRequirement{{{expressions}}},}}"
    )
}
