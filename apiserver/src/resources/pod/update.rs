//! What an ordinary update of a pod may change (`ValidatePodUpdate`): images, the deadline, tolerations to be added, gates
//! to be removed, and, while a gate keeps the pod from the scheduler, where it may go.

use std::collections::{BTreeMap, BTreeSet};

use api::field::{BadValue, Error, ErrorList, Path};
use api::names::inclusive_range_error;
use k8s_openapi::api::core::v1::{
    Affinity, Container, NodeAffinity, NodeSelectorRequirement, NodeSelectorTerm, Pod, PodSchedulingGate, PodSpec,
    Toleration,
};
use serde_json::{Value, json};

use super::validation;
use crate::resources::diff::diff;
use crate::resources::{pod_spec, semantic};

const UPDATABLE: &str = "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,\
                         `spec.tolerations` (only additions to existing tolerations),\
                         `spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/// What is wrong with an update.
pub(super) fn validate(new: &Pod, old: &Pod) -> ErrorList {
    let mut errors = validation::validate_changed(new, old);
    errors.extend(pod_spec::validate_pod_annotation_update(&new.metadata, &old.metadata));
    let (new, old) = (validation::spec_of(new), validation::spec_of(old));
    // Where these fail, upstream looks no further.
    match validate_comparable(&new, &old) {
        Ok(more) => errors.extend(more),
        Err(more) => {
            errors.extend(more);
            return errors;
        }
    }
    let path = Path::new("spec");
    errors.extend(validate_tolerations(list(&new.tolerations), list(&old.tolerations), &path.child("tolerations")));
    let (new_gates, old_gates) = (list(&new.scheduling_gates), list(&old.scheduling_gates));
    errors.extend(validate_gates(new_gates, old_gates, &path.child("schedulingGates")));
    if *new == *old {
        return errors;
    }
    let mut rest = without_updatable(&new, &old);
    if !old_gates.is_empty() {
        errors.extend(validate_node_selector(&mut rest, &old, &path.child("nodeSelector")));
        errors.extend(validate_node_affinity(&mut rest, &old, &path.child("affinity").child("nodeAffinity")));
    }
    if !semantic::equal(&rest, &*old) {
        let shown = diff("core.PodSpec", &semantic::normal_form(&*old), &semantic::normal_form(&rest));
        let detail = format!("pod updates may not change fields other than {UPDATABLE}\n{shown}");
        errors.push(Error::forbidden(&path, detail));
    }
    errors
}

/// Whether the containers are the same in number, and the deadline has come no later.
fn validate_comparable(new: &PodSpec, old: &PodSpec) -> Result<ErrorList, ErrorList> {
    let path = Path::new("spec");
    let mut errors = ErrorList::new();
    for (new, old, field) in [
        (new.containers.as_slice(), old.containers.as_slice(), "containers"),
        (list(&new.init_containers), list(&old.init_containers), "initContainers"),
    ] {
        if new.len() != old.len() {
            errors.push(Error::forbidden(&path.child(field), "pod updates may not add or remove containers"));
            return Err(errors);
        }
        errors.extend(validate_images(new, &path.child(field)));
    }
    let path = path.child("activeDeadlineSeconds");
    match (new.active_deadline_seconds, old.active_deadline_seconds) {
        (Some(new), _) if !(0..=i64::from(i32::MAX)).contains(&new) => {
            errors.push(Error::invalid(&path, new, inclusive_range_error(0, i32::MAX.into())));
            return Err(errors);
        }
        (Some(new), Some(old)) if old < new => {
            errors.push(Error::invalid(&path, new, "must be less than or equal to previous value"));
            return Err(errors);
        }
        (None, Some(_)) => {
            let detail = "must not update from a positive integer to nil value";
            errors.push(Error::invalid(&path, BadValue::null(), detail));
        }
        _ => {}
    }
    Ok(errors)
}

fn validate_images(containers: &[Container], path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (i, container) in containers.iter().enumerate() {
        let path = path.index(i).child("image");
        let image = container.image.as_deref().unwrap_or_default();
        if image.is_empty() {
            errors.push(Error::required(&path, ""));
        }
        if image.trim() != image {
            errors.push(Error::invalid(&path, image, "must not have leading or trailing whitespace"));
        }
    }
    errors
}

fn validate_tolerations(new: &[Toleration], old: &[Toleration], path: &Path) -> ErrorList {
    let untimed =
        |toleration: &Toleration| semantic::normal_form(&Toleration { toleration_seconds: None, ..toleration.clone() });
    let kept: Vec<Value> = new.iter().map(untimed).collect();
    if old.iter().all(|toleration| kept.contains(&untimed(toleration))) {
        return pod_spec::validate_tolerations(new, path);
    }
    Error::forbidden(path, "existing toleration can not be modified except its tolerationSeconds").into()
}

fn validate_gates(new: &[PodSchedulingGate], old: &[PodSchedulingGate], path: &Path) -> ErrorList {
    let known: BTreeSet<&str> = old.iter().map(|gate| gate.name.as_str()).collect();
    let added = new.iter().enumerate().filter(|(_, gate)| !known.contains(gate.name.as_str()));
    let error = |(i, gate): (usize, &PodSchedulingGate)| {
        let detail = format!("only deletion is allowed, but found new scheduling gate '{}'", gate.name);
        Error::forbidden(&path.index(i).child("name"), detail)
    };
    added.map(error).collect()
}

/// The new spec with the old values of whatever an update may change.
fn without_updatable(new: &PodSpec, old: &PodSpec) -> PodSpec {
    let mut rest = new.clone();
    let containers = rest.containers.iter_mut().zip(&old.containers);
    let initial = rest.init_containers.iter_mut().flatten().zip(list(&old.init_containers));
    for (container, old) in containers.chain(initial) {
        container.image = old.image.clone();
    }
    rest.active_deadline_seconds = old.active_deadline_seconds;
    rest.scheduling_gates = old.scheduling_gates.clone();
    rest.tolerations = old.tolerations.clone();
    let was_negative = old.termination_grace_period_seconds.is_some_and(|seconds| seconds < 0);
    if was_negative && rest.termination_grace_period_seconds == Some(1) {
        rest.termination_grace_period_seconds = old.termination_grace_period_seconds;
    }
    rest
}

/// A gated pod may be bound to further labels of nodes.
fn validate_node_selector(rest: &mut PodSpec, old: &PodSpec, path: &Path) -> Option<Error> {
    let empty = BTreeMap::new();
    let new = std::mem::replace(&mut rest.node_selector, old.node_selector.clone());
    let new = new.as_ref().unwrap_or(&empty);
    let kept = old.node_selector.iter().flatten().all(|(key, value)| new.get(key) == Some(value));
    let detail = "only additions to spec.nodeSelector are allowed (no mutations or deletions)";
    (!kept).then(|| Error::invalid(path, shown(new), detail))
}

fn shown(selector: &BTreeMap<String, String>) -> BadValue {
    if selector.is_empty() { BadValue::null() } else { BadValue::json(selector) }
}

/// A gated pod may require more of its nodes: terms stay, and get further requirements.
fn validate_node_affinity(rest: &mut PodSpec, old: &PodSpec, path: &Path) -> ErrorList {
    let node_affinity = |affinity: &Option<Affinity>| affinity.as_ref().and_then(|both| both.node_affinity.clone());
    let (new_node, old_node) = (node_affinity(&rest.affinity), node_affinity(&old.affinity));
    if semantic::equal(&new_node, &old_node) {
        return ErrorList::new();
    }
    let errors = validate_terms(new_node.as_ref(), old_node.as_ref(), path);
    let is_otherwise_empty = |both: &Affinity| both.pod_affinity.is_none() && both.pod_anti_affinity.is_none();
    match &mut rest.affinity {
        None => rest.affinity = Some(Affinity { node_affinity: old_node, ..Affinity::default() }),
        Some(both) if old.affinity.is_none() && is_otherwise_empty(both) => rest.affinity = None,
        Some(both) => both.node_affinity = old_node,
    }
    errors
}

fn validate_terms(new: Option<&NodeAffinity>, old: Option<&NodeAffinity>, path: &Path) -> ErrorList {
    fn terms(affinity: Option<&NodeAffinity>) -> &[NodeSelectorTerm] {
        let required = affinity.and_then(|node| node.required_during_scheduling_ignored_during_execution.as_ref());
        required.map_or(&[], |selector| &selector.node_selector_terms)
    }
    let (new, old) = (terms(new), terms(old));
    let path = path.child("requiredDuringSchedulingIgnoredDuringExecution").child("nodeSelectorTerms");
    if !old.is_empty() && old.len() != new.len() {
        let shown: Vec<Value> = new.iter().map(shown_term).collect();
        let shown = if shown.is_empty() { BadValue::null() } else { BadValue::json(&shown) };
        let detail = "no additions/deletions to non-empty NodeSelectorTerms list are allowed";
        return Error::invalid(&path, shown, detail).into();
    }
    let changed = new.iter().zip(old).enumerate().filter(|(_, (new, old))| !has_only_additions(new, old));
    let detail = "only additions are allowed (no mutations or deletions)";
    changed.map(|(i, (new, _))| Error::invalid(&path.index(i), BadValue::json(&shown_term(new)), detail)).collect()
}

fn has_only_additions(new: &NodeSelectorTerm, old: &NodeSelectorTerm) -> bool {
    let (new_labels, new_fields) = (list(&new.match_expressions), list(&new.match_fields));
    let (old_labels, old_fields) = (list(&old.match_expressions), list(&old.match_fields));
    // A term without requirements matches no node; with one it would match some.
    if old_labels.is_empty() && old_fields.is_empty() {
        return new_labels.is_empty() && new_fields.is_empty();
    }
    let begins_with = |new: &[NodeSelectorRequirement], old: &[NodeSelectorRequirement]| {
        new.len() >= old.len() && new.iter().zip(old).all(|(new, old)| semantic::equal(new, old))
    };
    begins_with(new_labels, old_labels) && begins_with(new_fields, old_fields)
}

/// A term in the names of upstream's internal type, which its messages show.
fn shown_term(term: &NodeSelectorTerm) -> Value {
    let requirements = |requirements: &Option<Vec<NodeSelectorRequirement>>| -> Value {
        let shown = |requirement: &NodeSelectorRequirement| json!({"Key": requirement.key, "Operator": requirement.operator, "Values": requirement.values});
        let shown: Vec<Value> = list(requirements).iter().map(shown).collect();
        if shown.is_empty() { Value::Null } else { shown.into() }
    };
    json!({"MatchExpressions": requirements(&term.match_expressions), "MatchFields": requirements(&term.match_fields)})
}

fn list<T>(items: &Option<Vec<T>>) -> &[T] {
    items.as_deref().unwrap_or_default()
}
