//! What a write may and may not touch: a client's write of a pod leaves its status alone, a kubelet's write of the status
//! leaves the spec alone, and each subresource changes its own part only.

use std::collections::{BTreeMap, HashMap, VecDeque};

use api::pod_resources::qos;
use k8s_openapi::api::core::v1::{
    AppArmorProfile, Container, Pod, PodAffinityTerm, PodCondition, PodIP, PodSpec, PodStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement, ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;

use crate::strategy::Context;

/// The annotation with a container's AppArmor profile, before the container's name. Superseded by a field in v1.30.
const APP_ARMOR_PREFIX: &str = "container.apparmor.security.beta.kubernetes.io/";

type Labels = BTreeMap<String, String>;

/// Sets a new pod's status and works out what its spec says by way of its labels.
pub(super) fn create(pod: &mut Pod, now: Timestamp) {
    let class = pod.spec.as_ref().map_or(qos::BEST_EFFORT, qos::compute);
    let mut status =
        PodStatus { phase: Some("Pending".to_owned()), qos_class: Some(class.to_owned()), ..PodStatus::default() };
    let labels = pod.metadata.labels.clone().unwrap_or_default();
    let annotations = pod.metadata.annotations.clone().unwrap_or_default();
    let spec = pod.spec.get_or_insert_default();
    if spec.scheduling_gates.as_ref().is_some_and(|gates| !gates.is_empty()) {
        let gated = PodCondition {
            type_: "PodScheduled".to_owned(),
            status: "False".to_owned(),
            reason: Some("SchedulingGated".to_owned()),
            message: Some("Scheduling is blocked due to non-empty scheduling gates".to_owned()),
            ..PodCondition::default()
        };
        set_condition(&mut status, gated, now);
    }
    pod.status = Some(status);
    select_by_own_labels(spec, &labels);
    app_armor_from_annotations(spec, &annotations);
}

/// Keeps the status.
pub(super) fn update(new: &mut Pod, old: &Pod) {
    new.status = old.status.clone();
}

/// Keeps everything but the status. Owners are kept, too, as upstream does because of kubelets that lost them.
pub(super) fn update_status(new: &mut Pod, old: &Pod, _: Context<'_>) {
    new.spec = old.spec.clone();
    new.metadata.deletion_timestamp = old.metadata.deletion_timestamp.clone();
    new.metadata.owner_references = old.metadata.owner_references.clone();
    let old = old.status.clone().unwrap_or_default();
    let status = new.status.get_or_insert_default();
    if status.qos_class.as_deref().unwrap_or_default().is_empty() {
        status.qos_class = old.qos_class.clone();
    }
    first_ip_is_the_pods(status);
    keep_observed_generations(status, &old);
}

/// Keeps everything but the ephemeral containers.
pub(super) fn update_ephemeral_containers(new: &mut Pod, old: &Pod, _: Context<'_>) {
    let ephemeral = new.spec.take().and_then(|spec| spec.ephemeral_containers);
    new.spec = old.spec.clone();
    new.spec.get_or_insert_default().ephemeral_containers = ephemeral;
    new.status = old.status.clone();
    keep_metadata(&mut new.metadata, &old.metadata);
}

/// Keeps everything but resources and resize policies. What adds, removes, renames or reorders containers is left as it
/// is, for validation to refuse.
pub(super) fn resize(new: &mut Pod, old: &Pod, _: Context<'_>) {
    let old_spec = old.spec.clone().unwrap_or_default();
    let new_spec = new.spec.take().unwrap_or_default();
    let initial = |spec: &PodSpec| spec.init_containers.clone().unwrap_or_default();
    let (new_init, old_init) = (initial(&new_spec), initial(&old_spec));
    if new_spec.containers.len() != old_spec.containers.len() || new_init.len() != old_init.len() {
        new.spec = Some(new_spec);
        return;
    }
    new.spec = Some(PodSpec {
        resources: new_spec.resources,
        containers: resized(new_spec.containers, &old_spec.containers),
        init_containers: Some(resized(new_init, &old_init)).filter(|containers| !containers.is_empty()),
        ..old_spec
    });
    new.status = old.status.clone();
    keep_metadata(&mut new.metadata, &old.metadata);
}

/// Sets a condition, whose time of transition changes with its status only. Says whether anything changed.
pub(super) fn set_condition(status: &mut PodStatus, condition: PodCondition, now: Timestamp) -> bool {
    // Conditions have whole seconds on the wire.
    let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
    let conditions = status.conditions.get_or_insert_default();
    let mut condition = PodCondition { last_transition_time: Some(Time(now)), ..condition };
    match conditions.iter_mut().find(|other| other.type_ == condition.type_) {
        None => conditions.push(condition),
        Some(other) => {
            if other.status == condition.status {
                condition.last_transition_time = other.last_transition_time.clone();
            }
            if *other == condition {
                return false;
            }
            *other = condition;
        }
    }
    true
}

fn resized(new: Vec<Container>, old: &[Container]) -> Vec<Container> {
    if new.iter().zip(old).any(|(new, old)| new.name != old.name) {
        return new;
    }
    let pairs = new.into_iter().zip(old);
    pairs
        .map(|(new, old)| Container { resources: new.resources, resize_policy: new.resize_policy, ..old.clone() })
        .collect()
}

/// What only a write of the whole object may change.
fn keep_metadata(new: &mut ObjectMeta, old: &ObjectMeta) {
    new.deletion_timestamp = old.deletion_timestamp.clone();
    new.generation = old.generation;
    new.labels = old.labels.clone();
    new.annotations = old.annotations.clone();
    new.owner_references = old.owner_references.clone();
    new.finalizers = old.finalizers.clone();
}

/// `podIP` is `podIPs[0]`; where a client states both and they differ, `podIP` holds.
fn first_ip_is_the_pods(status: &mut PodStatus) {
    let first = status.pod_ips.iter().flatten().next().map(|ip| ip.ip.clone());
    match status.pod_ip.clone().filter(|ip| !ip.is_empty()) {
        Some(ip) if first.as_ref() != Some(&ip) => status.pod_ips = Some(vec![PodIP { ip }]),
        None => status.pod_ip = first,
        Some(_) => {}
    }
}

/// Clients that know nothing of observed generations do not clear them. There may be several conditions of one type, so
/// that they are matched in order.
fn keep_observed_generations(status: &mut PodStatus, old: &PodStatus) {
    if status.observed_generation.unwrap_or(0) == 0 {
        status.observed_generation = old.observed_generation;
    }
    let mut remembered: HashMap<&str, VecDeque<Option<i64>>> = HashMap::new();
    for condition in old.conditions.iter().flatten() {
        remembered.entry(&condition.type_).or_default().push_back(condition.observed_generation);
    }
    for condition in status.conditions.iter_mut().flatten() {
        let before = remembered.get_mut(condition.type_.as_str()).and_then(VecDeque::pop_front).flatten();
        if condition.observed_generation.unwrap_or(0) == 0 {
            condition.observed_generation = before;
        }
    }
}

/// Where a rule is to select pods by the values that this pod itself has of some labels, the selector is made to say so.
fn select_by_own_labels(spec: &mut PodSpec, labels: &Labels) {
    for term in affinity_terms(spec) {
        // An absent selector matches nothing and stays so.
        if let Some(selector) = &mut term.label_selector {
            require(selector, term.match_label_keys.iter().flatten(), "In", labels);
            require(selector, term.mismatch_label_keys.iter().flatten(), "NotIn", labels);
        }
    }
    for constraint in spec.topology_spread_constraints.iter_mut().flatten() {
        if let Some(selector) = &mut constraint.label_selector {
            require(selector, constraint.match_label_keys.iter().flatten(), "In", labels);
        }
    }
}

fn affinity_terms(spec: &mut PodSpec) -> Vec<&mut PodAffinityTerm> {
    let Some(affinity) = &mut spec.affinity else { return Vec::new() };
    let mut terms = Vec::new();
    if let Some(pod) = &mut affinity.pod_affinity {
        let preferred = pod.preferred_during_scheduling_ignored_during_execution.iter_mut().flatten();
        terms.extend(preferred.map(|weighted| &mut weighted.pod_affinity_term));
        terms.extend(pod.required_during_scheduling_ignored_during_execution.iter_mut().flatten());
    }
    if let Some(pod) = &mut affinity.pod_anti_affinity {
        let preferred = pod.preferred_during_scheduling_ignored_during_execution.iter_mut().flatten();
        terms.extend(preferred.map(|weighted| &mut weighted.pod_affinity_term));
        terms.extend(pod.required_during_scheduling_ignored_during_execution.iter_mut().flatten());
    }
    terms
}

fn require<'a>(selector: &mut LabelSelector, keys: impl Iterator<Item = &'a String>, operator: &str, labels: &Labels) {
    let requirements = keys.filter_map(|key| {
        let values = Some(vec![labels.get(key)?.clone()]);
        Some(LabelSelectorRequirement { key: key.clone(), operator: operator.to_owned(), values })
    });
    let requirements: Vec<_> = requirements.collect();
    if !requirements.is_empty() {
        selector.match_expressions.get_or_insert_default().extend(requirements);
    }
}

/// AppArmor profiles that are stated in annotations only, as before v1.30, become fields.
fn app_armor_from_annotations(spec: &mut PodSpec, annotations: &Labels) {
    if spec.os.as_ref().is_some_and(|os| os.name == "windows") {
        return;
    }
    let for_pod = spec.security_context.as_ref().and_then(|context| context.app_armor_profile.clone());
    for container in spec.init_containers.iter_mut().flatten().chain(&mut spec.containers) {
        let stated = container.security_context.as_ref().is_some_and(|context| context.app_armor_profile.is_some());
        let annotation = annotations.get(&format!("{APP_ARMOR_PREFIX}{}", container.name));
        let Some(profile) = annotation.and_then(|text| app_armor_profile(text)).filter(|_| !stated) else { continue };
        if for_pod.as_ref() != Some(&profile) {
            container.security_context.get_or_insert_default().app_armor_profile = Some(profile);
        }
    }
}

fn app_armor_profile(annotation: &str) -> Option<AppArmorProfile> {
    let (type_, localhost_profile) = match annotation.strip_prefix("localhost/") {
        None if annotation == "unconfined" => ("Unconfined", None),
        None if annotation == "runtime/default" => ("RuntimeDefault", None),
        // A field allows neither spaces around the profile nor such a length.
        Some(profile) if !profile.trim().is_empty() && profile.trim() == profile && profile.len() <= 4095 => {
            ("Localhost", Some(profile.to_owned()))
        }
        _ => return None,
    };
    Some(AppArmorProfile { type_: type_.to_owned(), localhost_profile })
}
