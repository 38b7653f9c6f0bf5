//! What controllers ask of pods: what state they are in, whose they are, and which of them to give up first.
//!
//! The answers are those of upstream's controllers. All of them are pure, and none fails, whatever a pod says.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use api::names::DNS_SUBDOMAIN_MAX_BYTES;
use client::resource::Kind;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodCondition, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use crate::plan::controller_reference;

/// The annotation that says how much it costs to delete a pod, compared with others of the same controller.
pub const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// The reference to the controller of an object, if it has one.
#[must_use]
pub fn controller_of(meta: &ObjectMeta) -> Option<&OwnerReference> {
    meta.owner_references.iter().flatten().find(|owner| owner.controller == Some(true))
}

/// The same object, with `owner` as its controller.
#[must_use]
pub fn adopted<K: Kind, O: Kind>(object: &K, owner: &O) -> K {
    let reference = controller_reference(owner);
    let mut object = released(object, &reference.uid);
    object.metadata_mut().owner_references.get_or_insert_default().push(reference);
    object
}

/// The same object, no longer owned by the object with this uid.
#[must_use]
pub fn released<K: Kind>(object: &K, owner: &str) -> K {
    let mut object = object.clone();
    let references = &mut object.metadata_mut().owner_references;
    if let Some(owners) = references {
        owners.retain(|reference| reference.uid != owner);
    }
    if references.as_ref().is_some_and(Vec::is_empty) {
        *references = None;
    }
    object
}

/// The pod that `owner` creates from a template: with a name that begins like the owner's, and the owner as controller.
#[must_use]
pub fn from_template<O: Kind>(template: &PodTemplateSpec, owner: &O) -> Pod {
    let (stated, owner_meta) = (template.metadata.as_ref(), owner.metadata());
    let name = owner_meta.name.as_deref().unwrap_or_default();
    let dash = if name.len() < DNS_SUBDOMAIN_MAX_BYTES { "-" } else { "" };
    Pod {
        metadata: ObjectMeta {
            generate_name: Some(format!("{name}{dash}")),
            namespace: owner_meta.namespace.clone(),
            labels: stated.and_then(|meta| meta.labels.clone()),
            annotations: stated.and_then(|meta| meta.annotations.clone()),
            finalizers: stated.and_then(|meta| meta.finalizers.clone()),
            owner_references: Some(vec![controller_reference(owner)]),
            ..ObjectMeta::default()
        },
        spec: template.spec.clone(),
        status: None,
    }
}

/// The phase of a pod; empty if it has none yet.
#[must_use]
pub fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

/// Whether a pod has ended, well or badly.
#[must_use]
pub fn is_terminal(pod: &Pod) -> bool {
    matches!(phase(pod), "Succeeded" | "Failed")
}

/// Whether a pod has neither ended nor been told to.
#[must_use]
pub fn is_active(pod: &Pod) -> bool {
    !is_terminal(pod) && pod.metadata.deletion_timestamp.is_none()
}

/// Whether a pod has been told to end and has not yet.
#[must_use]
pub fn is_terminating(pod: &Pod) -> bool {
    !is_terminal(pod) && pod.metadata.deletion_timestamp.is_some()
}

/// The node that a pod is bound to.
#[must_use]
pub fn node(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref().filter(|node| !node.is_empty())
}

/// The condition of this type.
#[must_use]
pub fn condition<'a>(pod: &'a Pod, condition_type: &str) -> Option<&'a PodCondition> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|condition| condition.type_ == condition_type)
}

/// The condition that says that a pod is ready, if it does.
fn ready_condition(pod: &Pod) -> Option<&PodCondition> {
    condition(pod, "Ready").filter(|condition| condition.status == "True")
}

/// Whether a pod is ready.
#[must_use]
pub fn is_ready(pod: &Pod) -> bool {
    ready_condition(pod).is_some()
}

/// Since when a pod is ready; `None` if it is not, or does not say.
#[must_use]
pub fn ready_since(pod: &Pod) -> Option<Timestamp> {
    ready_condition(pod)?.last_transition_time.as_ref().map(|time| time.0)
}

/// In how long a pod will have been ready for `min_ready_seconds`: zero if it is available now. `None` if it is not ready,
/// or does not say since when and would have to.
#[must_use]
pub fn available_in(pod: &Pod, min_ready_seconds: i32, now: Timestamp) -> Option<Duration> {
    if min_ready_seconds <= 0 {
        return is_ready(pod).then_some(Duration::ZERO);
    }
    let left = SignedDuration::from_secs(min_ready_seconds.into()) - now.duration_since(ready_since(pod)?);
    Some(Duration::try_from(left).unwrap_or(Duration::ZERO))
}

/// Whether a pod has been ready for `min_ready_seconds`.
#[must_use]
pub fn is_available(pod: &Pod, min_ready_seconds: i32, now: Timestamp) -> bool {
    available_in(pod, min_ready_seconds, now) == Some(Duration::ZERO)
}

/// What it costs to delete a pod. Annotations that are no plain 32-bit integer count as zero.
#[must_use]
pub fn deletion_cost(pod: &Pod) -> i32 {
    let stated = pod.metadata.annotations.as_ref().and_then(|annotations| annotations.get(DELETION_COST));
    // Rust reads also what upstream does not take: a plus sign, and zeros in front.
    let plain = stated.filter(|text| *text == "0" || text.starts_with(|c| matches!(c, '-' | '1'..='9')));
    plain.and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// The most restarts of any of a pod's containers, and of any of its sidecars.
fn restarts(pod: &Pod) -> (i32, i32) {
    let (spec, status) = (pod.spec.as_ref(), pod.status.as_ref());
    let init_containers = spec.into_iter().flat_map(|spec| spec.init_containers.iter().flatten());
    let sidecars: BTreeSet<&str> = init_containers
        .filter(|container| container.restart_policy.as_deref() == Some("Always"))
        .map(|container| container.name.as_str())
        .collect();
    let most = |statuses: Option<&Vec<ContainerStatus>>, counts: &dyn Fn(&ContainerStatus) -> bool| {
        let statuses = statuses.into_iter().flatten().filter(|status| counts(status));
        statuses.map(|status| status.restart_count).max().unwrap_or(0).max(0)
    };
    let containers = status.and_then(|status| status.container_statuses.as_ref());
    let init_containers = status.and_then(|status| status.init_container_statuses.as_ref());
    (most(containers, &|_| true), most(init_containers, &|status| sidecars.contains(status.name.as_str())))
}

/// The place of a pod among those that may be deleted. The least goes first.
///
/// Ages are compared by their order of magnitude only, so that it is left to chance which of the pods of about the same
/// age go: then those go that share their time with the least uid.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Standing<'a> {
    is_bound: bool,
    phase: u8,
    is_ready: bool,
    cost: i32,
    crowd: Reverse<usize>,
    ready: Magnitude,
    ready_draw: &'a str,
    restarts: Reverse<(i32, i32)>,
    age: Magnitude,
    age_draw: &'a str,
}

/// The order of magnitude of the time that has passed since something; that of an unknown time is the least.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Magnitude {
    Unknown,
    Future,
    Log2OfNanoseconds(u32),
}

fn magnitude(time: Option<Timestamp>, now: Timestamp) -> Magnitude {
    let Some(time) = time else { return Magnitude::Unknown };
    let passed = u128::try_from(now.as_nanosecond() - time.as_nanosecond()).unwrap_or(0);
    passed.checked_ilog2().map_or(Magnitude::Future, Magnitude::Log2OfNanoseconds)
}

fn uid(pod: &Pod) -> &str {
    pod.metadata.uid.as_deref().unwrap_or_default()
}

fn created(pod: &Pod) -> Option<Timestamp> {
    pod.metadata.creation_timestamp.as_ref().map(|time| time.0)
}

/// For each time that any of the pods has, the least uid of those that have it.
type Draws = HashMap<Option<Timestamp>, String>;

fn draws(pods: &[Arc<Pod>], time: impl Fn(&Pod) -> Option<Timestamp>) -> Draws {
    let mut draws = Draws::new();
    for pod in pods {
        let least = draws.entry(time(pod)).or_insert_with(|| uid(pod).to_owned());
        if uid(pod) < least.as_str() {
            uid(pod).clone_into(least);
        }
    }
    draws
}

/// Sorts pods so that those come first that are best given up, as upstream ranks them: pods without a node, then by phase,
/// then those that are not ready, that cost less to delete, that share their node with more others (`crowd` counts the
/// pods that a pod stands among), that became ready later, that restarted more often, and that are younger.
pub fn sort_by_deletion(pods: &mut [Arc<Pod>], crowd: impl Fn(&Pod) -> usize, now: Timestamp) {
    let (ready_draws, age_draws) = (draws(pods, ready_since), draws(pods, created));
    pods.sort_by_cached_key(|pod| Standing {
        is_bound: node(pod).is_some(),
        phase: match phase(pod) {
            "Running" => 2,
            "Unknown" => 1,
            _ => 0,
        },
        is_ready: is_ready(pod),
        cost: deletion_cost(pod),
        crowd: Reverse(crowd(pod)),
        ready: magnitude(ready_since(pod), now),
        ready_draw: ready_draws.get(&ready_since(pod)).map_or("", String::as_str),
        restarts: Reverse(restarts(pod)),
        age: magnitude(created(pod), now),
        age_draw: age_draws.get(&created(pod)).map_or("", String::as_str),
    });
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use k8s_openapi::api::apps::v1::ReplicaSet;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    const NOW: &str = "2026-03-01T12:00:00Z";

    fn now() -> Timestamp {
        NOW.parse().unwrap()
    }

    fn pod(json: Value) -> Pod {
        serde_json::from_value(json).unwrap()
    }

    fn at(phase: &str, ready: &str, since: Option<&str>) -> Pod {
        let condition = json!({"type": "Ready", "status": ready, "lastTransitionTime": since});
        pod(json!({"metadata": {"name": "a"}, "status": {"phase": phase, "conditions": [condition]}}))
    }

    #[test]
    fn the_state_of_a_pod_is_told() {
        let check = |phase: &str, deleted: bool, expected: (bool, bool, bool)| {
            let deletion = deleted.then_some(NOW);
            let pod = pod(json!({"metadata": {"deletionTimestamp": deletion}, "status": {"phase": phase}}));
            assert_eq!((is_active(&pod), is_terminating(&pod), is_terminal(&pod)), expected, "{phase} {deleted}");
        };
        for phase in ["", "Pending", "Running", "Unknown"] {
            check(phase, false, (true, false, false));
            check(phase, true, (false, true, false));
        }
        for phase in ["Succeeded", "Failed"] {
            check(phase, false, (false, false, true));
            check(phase, true, (false, false, true));
        }
    }

    #[test]
    fn a_pod_becomes_available_some_time_after_it_is_ready() {
        let check = |ready: &str, since: Option<&str>, min_ready: i32, expected: Option<u64>| {
            let pod = at("Running", ready, since);
            let found = available_in(&pod, min_ready, now());
            assert_eq!(found, expected.map(Duration::from_secs), "{ready} since {since:?}, {min_ready}");
            assert_eq!(is_available(&pod, min_ready, now()), expected == Some(0));
        };
        check("False", Some("2026-03-01T11:00:00Z"), 0, None);
        check("Unknown", Some("2026-03-01T11:00:00Z"), 1, None);
        check("True", None, 0, Some(0));
        check("True", None, 1, None);
        check("True", Some(NOW), 0, Some(0));
        check("True", Some(NOW), 10, Some(10));
        check("True", Some("2026-03-01T11:59:50Z"), 10, Some(0));
        check("True", Some("2026-03-01T11:59:50Z"), 11, Some(1));
        check("True", Some("2026-03-01T11:00:00Z"), 10, Some(0));
        check("True", Some("2026-03-01T12:00:05Z"), 10, Some(15));
        check("True", Some(NOW), i32::MAX, Some(2_147_483_647));
        assert_eq!(available_in(&Pod::default(), 0, now()), None);
    }

    #[test]
    fn costs_are_plain_integers() {
        let check = |text: &str, expected: i32| {
            let pod = pod(json!({"metadata": {"annotations": {DELETION_COST: text}}}));
            assert_eq!(deletion_cost(&pod), expected, "{text:?}");
        };
        check("0", 0);
        check("10", 10);
        check("-10", -10);
        check("2147483647", i32::MAX);
        check("-2147483648", i32::MIN);
        for wrong in ["", "-", "+10", "010", "2147483648", "1.5", "1e3", " 1", "one"] {
            check(wrong, 0);
        }
        assert_eq!(deletion_cost(&Pod::default()), 0);
    }

    fn owner(name: &str) -> ReplicaSet {
        let metadata = json!({"name": name, "namespace": "shop", "uid": format!("uid of {name}")});
        serde_json::from_value(json!({"metadata": metadata})).unwrap()
    }

    #[test]
    fn pods_are_made_of_templates() {
        let template: PodTemplateSpec = serde_json::from_value(json!({
            "metadata": {"name": "ignored", "labels": {"a": "b"}, "annotations": {"c": "d"}, "finalizers": ["e/f"]},
            "spec": {"containers": [{"name": "main"}]},
        }))
        .unwrap();
        let made = serde_json::to_value(from_template(&template, &owner("web"))).unwrap();
        let reference = json!({
            "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "uid of web",
            "controller": true, "blockOwnerDeletion": true,
        });
        let expected = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "generateName": "web-", "namespace": "shop", "ownerReferences": [reference],
                "labels": {"a": "b"}, "annotations": {"c": "d"}, "finalizers": ["e/f"],
            },
            "spec": {"containers": [{"name": "main"}]},
        });
        assert_eq!(made, expected);
        let long = "a".repeat(DNS_SUBDOMAIN_MAX_BYTES);
        assert_eq!(from_template(&template, &owner(&long)).metadata.generate_name, Some(long));
    }

    #[test]
    fn pods_are_adopted_and_released() {
        let other = json!({"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "other"});
        let named = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "uid of web"});
        let check = |owners: Value, expected: &[&str]| {
            let pod = adopted(&pod(json!({"metadata": {"ownerReferences": owners}})), &owner("web"));
            let controller = controller_of(&pod.metadata).map(|owner| owner.uid.as_str());
            assert_eq!(controller, Some("uid of web"));
            let uids = |pod: &Pod| -> Vec<String> {
                pod.metadata.owner_references.iter().flatten().map(|owner| owner.uid.clone()).collect()
            };
            assert_eq!(uids(&pod), expected);
            let left: Vec<&str> = expected.iter().copied().filter(|uid| *uid != "uid of web").collect();
            let released = released(&pod, "uid of web");
            assert_eq!(uids(&released), left);
            assert_eq!(released.metadata.owner_references.is_none(), left.is_empty());
        };
        check(json!(null), &["uid of web"]);
        check(json!([other]), &["other", "uid of web"]);
        check(json!([named, other]), &["other", "uid of web"]);
        assert_eq!(controller_of(&pod(json!({"metadata": {"ownerReferences": [other]}})).metadata), None);
    }

    /// A running, ready pod on a node, with `change` merged into it.
    fn ranked(uid: &str, change: Value) -> Arc<Pod> {
        let base = json!({
            "metadata": {"uid": uid, "creationTimestamp": "2026-03-01T08:00:00Z"},
            "spec": {"nodeName": "n", "containers": []},
            "status": {
                "phase": "Running",
                "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-03-01T09:00:00Z"}],
            },
        });
        Arc::new(pod(api::patch::merge::apply(&base, change).unwrap()))
    }

    fn ready_at(time: Option<&str>) -> Value {
        json!({"status": {"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": time}]}})
    }

    #[test]
    fn each_rule_decides_when_those_before_it_do_not() {
        // In every pair the first is to go first, although its uid is the greater.
        let check = |first: Value, second: Value, crowds: (usize, usize)| {
            let mut pods = vec![ranked("a", second.clone()), ranked("b", first.clone())];
            sort_by_deletion(&mut pods, |pod| if uid(pod) == "b" { crowds.0 } else { crowds.1 }, now());
            assert_eq!(uid(&pods[0]), "b", "{first} before {second}");
        };
        let nothing = json!({});
        let phase = |phase: &str| json!({"status": {"phase": phase}});
        let restarted = |count: u32| {
            json!({"status": {"containerStatuses": [
                {"name": "x", "restartCount": 0, "image": "", "imageID": "", "ready": true},
                {"name": "y", "restartCount": count, "image": "", "imageID": "", "ready": true},
            ]}})
        };
        let sidecar = |policy: Option<&str>| {
            json!({
                "spec": {"initContainers": [{"name": "s", "restartPolicy": policy}]},
                "status": {"initContainerStatuses": [
                    {"name": "s", "restartCount": 3, "image": "", "imageID": "", "ready": true},
                ]},
            })
        };
        let cost = |cost: &str| json!({"metadata": {"annotations": {DELETION_COST: cost}}});
        let created = |time: Option<&str>| json!({"metadata": {"creationTimestamp": time}});
        check(json!({"spec": {"nodeName": null}}), phase("Pending"), (1, 1));
        check(phase("Pending"), phase("Unknown"), (1, 1));
        check(phase("Unknown"), json!({"status": {"conditions": []}}), (1, 1));
        check(json!({"status": {"conditions": []}}), cost("-5"), (1, 1));
        check(cost("-1"), nothing.clone(), (1, 2));
        check(nothing.clone(), cost("1"), (1, 2));
        check(ready_at(Some("2026-03-01T01:00:00Z")), nothing.clone(), (3, 2));
        check(ready_at(Some("2026-03-01T11:00:00Z")), restarted(5), (1, 1));
        check(ready_at(None), ready_at(Some("2026-03-01T11:59:59Z")), (1, 1));
        check(restarted(2), restarted(1), (1, 1));
        check(restarted(1), sidecar(Some("Always")), (1, 1));
        check(sidecar(Some("Always")), sidecar(None), (1, 1));
        check(created(Some("2026-03-01T11:00:00Z")), nothing.clone(), (1, 1));
        check(created(None), created(Some("2026-03-01T11:59:59Z")), (1, 1));
        // An init container that has run is no sidecar.
        check(created(Some("2026-03-01T11:00:00Z")), sidecar(None), (1, 1));
    }

    #[test]
    fn chance_decides_between_times_of_one_magnitude() {
        let order = |a: Value, b: Value| {
            let mut pods = vec![ranked("b", b), ranked("a", a)];
            sort_by_deletion(&mut pods, |_| 0, now());
            uid(&pods[0]).to_owned()
        };
        let created = |time: &str| json!({"metadata": {"creationTimestamp": time}});
        // 4 hours and 3 hours are of one magnitude in nanoseconds, 4 hours and 1 hour are not.
        assert_eq!(order(created("2026-03-01T08:00:00Z"), created("2026-03-01T09:00:00Z")), "a");
        assert_eq!(order(created("2026-03-01T09:00:00Z"), created("2026-03-01T08:00:00Z")), "a");
        assert_eq!(order(created("2026-03-01T08:00:00Z"), created("2026-03-01T11:00:00Z")), "b");
        let ready = |time: &str| ready_at(Some(time));
        assert_eq!(order(ready("2026-03-01T08:00:00Z"), ready("2026-03-01T09:00:00Z")), "a");
        assert_eq!(order(ready("2026-03-01T08:00:00Z"), ready("2026-03-01T11:00:00Z")), "b");
        // Both are still to come.
        assert_eq!(order(ready("2026-03-01T13:00:00Z"), ready("2026-03-02T13:00:00Z")), "a");
    }

    /// What of a pod the order depends on, in few values, so that ties are frequent.
    fn arbitrary_pod() -> impl Strategy<Value = Value> {
        let time = |hours: u32| (hours > 0).then(|| format!("2026-03-01T{:02}:00:00Z", hours + 5));
        (0..2u8, 0..3usize, 0..3u8, 0..2u8, 0..9u32, 0..2u32, 0..9u32).prop_map(
            move |(bound, phase, ready, cost, since, restarts, age)| {
                let phase = ["Pending", "Running", "Unknown"][phase];
                // Nothing depends on since when a pod is not ready.
                let (status, since) = if ready == 0 { ("False", 0) } else { ("True", since) };
                json!({
                    "metadata": {
                        "creationTimestamp": time(age), "annotations": {DELETION_COST: cost.to_string()},
                    },
                    "spec": {"nodeName": (bound > 0).then_some("n")},
                    "status": {
                        "phase": phase,
                        "conditions": [{"type": "Ready", "status": status, "lastTransitionTime": time(since)}],
                        "containerStatuses": [
                            {"name": "x", "restartCount": restarts, "image": "", "imageID": "", "ready": true},
                        ],
                    },
                })
            },
        )
    }

    /// Which of two pods goes first, rule by rule, as upstream documents it.
    fn rule(a: &Pod, b: &Pod) -> Ordering {
        let phase = |pod: &Pod| ["Pending", "Unknown", "Running"].iter().position(|known| *known == phase(pod));
        let passed = |time: Timestamp| now().duration_since(time).as_secs_f64() * 1e9;
        let log = |time: Timestamp| if passed(time) > 0.0 { passed(time).log2().trunc() } else { -1.0 };
        // The later goes first, and one that is not known before all; nothing is said about equal times.
        let by_time = |times: (Option<Timestamp>, Option<Timestamp>)| match times {
            (Some(x), Some(y)) if x != y => log(x).total_cmp(&log(y)).then_with(|| uid(a).cmp(uid(b))),
            (x, y) => x.is_some().cmp(&y.is_some()),
        };
        (node(a).is_some().cmp(&node(b).is_some()))
            .then(phase(a).cmp(&phase(b)))
            .then(is_ready(a).cmp(&is_ready(b)))
            .then(deletion_cost(a).cmp(&deletion_cost(b)))
            .then(by_time((ready_since(a), ready_since(b))))
            .then(restarts(b).cmp(&restarts(a)))
            .then(by_time((created(a), created(b))))
    }

    proptest! {
        #[test]
        fn two_pods_are_in_the_order_of_the_rules(a in arbitrary_pod(), b in arbitrary_pod()) {
            let mut pods = vec![ranked("a", a), ranked("b", b)];
            let expected = rule(&pods[0], &pods[1]);
            sort_by_deletion(&mut pods, |_| 0, now());
            prop_assert_eq!(uid(&pods[0]) == "a", expected != Ordering::Greater);
        }

        #[test]
        fn the_order_does_not_depend_on_where_pods_were(
            contents in prop::collection::vec(arbitrary_pod(), 0..12),
            turn in 0..12usize,
        ) {
            let made = contents.into_iter().enumerate();
            let mut pods: Vec<Arc<Pod>> = made.map(|(i, content)| ranked(&format!("{i:02}"), content)).collect();
            let mut turned = pods.clone();
            turned.rotate_left(turn.min(pods.len()));
            turned.reverse();
            let key = |pod: &Arc<Pod>| Pod { metadata: ObjectMeta { uid: None, ..pod.metadata.clone() }, ..Pod::clone(pod) };
            sort_by_deletion(&mut pods, |_| 0, now());
            sort_by_deletion(&mut turned, |_| 0, now());
            let (pods, turned): (Vec<Pod>, Vec<Pod>) = (pods.iter().map(key).collect(), turned.iter().map(key).collect());
            prop_assert_eq!(pods, turned);
        }
    }
}
