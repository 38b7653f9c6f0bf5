//! Affinity to nodes, and to and against other pods.

use std::collections::HashSet;

use api::field::{BadValue, Error, ErrorList, Path};
use api::names;
use api::selector::label::{validate_api, validate_label_name};
use k8s_openapi::api::core::v1::{
    Affinity, NodeAffinity, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, PodAffinityTerm,
    WeightedPodAffinityTerm,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::absent::list;
use super::options::Options;
use super::rules::{dns_subdomain, named};

pub(super) fn validate(affinity: &Affinity, options: &Options, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if let Some(node) = &affinity.node_affinity {
        errors.extend(validate_node(node, options, &path.child("nodeAffinity")));
    }
    for (field, required, preferred) in pod_lists(affinity) {
        let path = path.child(field);
        let required_path = path.child("requiredDuringSchedulingIgnoredDuringExecution");
        for (i, term) in required.iter().enumerate() {
            errors.extend(validate_pod_term(term, options, &required_path.index(i)));
        }
        let preferred_path = path.child("preferredDuringSchedulingIgnoredDuringExecution");
        for (i, term) in preferred.iter().enumerate() {
            let path = preferred_path.index(i);
            errors.extend(validate_weight(term.weight, &path));
            errors.extend(validate_pod_term(&term.pod_affinity_term, options, &path.child("podAffinityTerm")));
        }
    }
    errors
}

/// The lists of terms of affinity and anti-affinity, with the field that they are in.
pub(super) fn pod_lists(
    affinity: &Affinity,
) -> impl Iterator<Item = (&'static str, &[PodAffinityTerm], &[WeightedPodAffinityTerm])> {
    let to = affinity.pod_affinity.as_ref().map(|pods| {
        let required = list(&pods.required_during_scheduling_ignored_during_execution);
        ("podAffinity", required, list(&pods.preferred_during_scheduling_ignored_during_execution))
    });
    let against = affinity.pod_anti_affinity.as_ref().map(|pods| {
        let required = list(&pods.required_during_scheduling_ignored_during_execution);
        ("podAntiAffinity", required, list(&pods.preferred_during_scheduling_ignored_during_execution))
    });
    to.into_iter().chain(against)
}

/// All terms of affinity and anti-affinity.
pub(super) fn pod_terms(affinity: &Affinity) -> impl Iterator<Item = &PodAffinityTerm> {
    pod_lists(affinity).flat_map(|(_, required, preferred)| {
        required.iter().chain(preferred.iter().map(|weighted| &weighted.pod_affinity_term))
    })
}

/// That the keys whose values are taken from the pod can be merged into the selector.
pub(super) fn validate_merged_keys(
    matching: &[String],
    mismatching: &[String],
    selector: Option<&LabelSelector>,
    path: &Path,
) -> ErrorList {
    let mut errors = ErrorList::new();
    for (field, keys) in [("matchLabelKeys", matching), ("mismatchLabelKeys", mismatching)] {
        let path = path.child(field);
        if !keys.is_empty() && selector.is_none() {
            errors.push(Error::forbidden(&path, "must not be specified when labelSelector is not set"));
            continue;
        }
        for (i, key) in keys.iter().enumerate() {
            errors.extend(validate_label_name(key, &path.index(i)));
        }
    }
    if let Some(selector) = selector {
        let mut selected: HashSet<&str> = selector.match_labels.iter().flatten().map(|(key, _)| &**key).collect();
        for expression in list(&selector.match_expressions) {
            // The key's own requirement has been merged in already, so it is the second that is too many.
            let position = matching.iter().rposition(|key| *key == expression.key);
            if let Some(i) = position.filter(|_| selected.contains(&*expression.key)) {
                let detail = "exists in both matchLabelKeys and labelSelector";
                errors.push(Error::invalid(&path.index(i), &expression.key, detail));
            }
            selected.insert(&expression.key);
        }
    }
    for (i, key) in matching.iter().enumerate().filter(|(_, key)| mismatching.contains(key)) {
        let detail = "exists in both matchLabelKeys and mismatchLabelKeys";
        errors.push(Error::invalid(&path.child("matchLabelKeys").index(i), key, detail));
    }
    errors
}

fn validate_node(affinity: &NodeAffinity, options: &Options, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if let Some(selector) = &affinity.required_during_scheduling_ignored_during_execution {
        let path = path.child("requiredDuringSchedulingIgnoredDuringExecution");
        errors.extend(validate_node_selector(selector, options.allow_invalid_node_affinity_values, &path));
    }
    let path = path.child("preferredDuringSchedulingIgnoredDuringExecution");
    for (i, term) in list(&affinity.preferred_during_scheduling_ignored_during_execution).iter().enumerate() {
        let path = path.index(i);
        errors.extend(validate_weight(term.weight, &path));
        // A preference that no node can meet does no harm.
        errors.extend(validate_node_term(&term.preference, true, &path.child("preference")));
    }
    errors
}

/// What is wrong with a selector of nodes. What is stored may have values that no label has.
pub(crate) fn validate_node_selector(selector: &NodeSelector, allow_invalid_values: bool, path: &Path) -> ErrorList {
    let path = path.child("nodeSelectorTerms");
    let mut errors = ErrorList::new();
    if selector.node_selector_terms.is_empty() {
        errors.push(Error::required(&path, "must have at least one node selector term"));
    }
    for (i, term) in selector.node_selector_terms.iter().enumerate() {
        errors.extend(validate_node_term(term, allow_invalid_values, &path.index(i)));
    }
    errors
}

fn validate_weight(weight: i32, path: &Path) -> Option<Error> {
    let in_range = (1..=100).contains(&weight);
    (!in_range).then(|| Error::invalid(&path.child("weight"), weight, "must be in the range 1-100"))
}

fn validate_node_term(term: &NodeSelectorTerm, allow_invalid_values: bool, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (i, requirement) in list(&term.match_expressions).iter().enumerate() {
        let path = path.child("matchExpressions").index(i);
        errors.extend(validate_node_labels(requirement, allow_invalid_values, &path));
    }
    for (i, requirement) in list(&term.match_fields).iter().enumerate() {
        errors.extend(validate_node_fields(requirement, &path.child("matchFields").index(i)));
    }
    errors
}

fn validate_node_labels(requirement: &NodeSelectorRequirement, allow_invalid_values: bool, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let values = list(&requirement.values);
    let values_path = path.child("values");
    match &*requirement.operator {
        "In" | "NotIn" if values.is_empty() => {
            let detail = "must be specified when `operator` is 'In' or 'NotIn'";
            errors.push(Error::required(&values_path, detail));
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            let detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
            errors.push(Error::forbidden(&values_path, detail));
        }
        "Gt" | "Lt" if values.len() != 1 => {
            let detail = "must be specified single value when `operator` is 'Lt' or 'Gt'";
            errors.push(Error::required(&values_path, detail));
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
        other => errors.push(invalid_operator(other, path)),
    }
    errors.extend(validate_label_name(&requirement.key, &path.child("key")));
    if !allow_invalid_values {
        for (i, value) in values.iter().enumerate() {
            errors.extend(named(value, names::label_value(value), &values_path.index(i)));
        }
    }
    errors
}

fn validate_node_fields(requirement: &NodeSelectorRequirement, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let values = list(&requirement.values);
    match &*requirement.operator {
        "In" | "NotIn" if values.len() != 1 => {
            let detail = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
            errors.push(Error::required(&path.child("values"), detail));
        }
        "In" | "NotIn" => {}
        other => errors.push(invalid_operator(other, path)),
    }
    if requirement.key != "metadata.name" {
        errors.push(Error::invalid(&path.child("key"), &requirement.key, "not a valid field selector key"));
        return errors;
    }
    for (i, value) in values.iter().enumerate() {
        errors.extend(dns_subdomain(value, &path.child("values").index(i)));
    }
    errors
}

fn invalid_operator(operator: &str, path: &Path) -> Error {
    Error::invalid(&path.child("operator"), BadValue::json(operator), "not a valid selector operator")
}

fn validate_pod_term(term: &PodAffinityTerm, options: &Options, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let allow_invalid_values = options.allow_invalid_selector_values;
    for (field, selector) in [("labelSelector", &term.label_selector), ("namespaceSelector", &term.namespace_selector)]
    {
        errors.extend(validate_api(selector.as_ref(), allow_invalid_values, &path.child(field)));
    }
    for name in list(&term.namespaces) {
        errors.extend(named(name, names::namespace_name(name, false), &path.child("namespace")));
    }
    let (matching, mismatching) = (list(&term.match_label_keys), list(&term.mismatch_label_keys));
    errors.extend(validate_merged_keys(matching, mismatching, term.label_selector.as_ref(), path));
    let path = path.child("topologyKey");
    if term.topology_key.is_empty() {
        errors.push(Error::required(&path, "can not be empty"));
    }
    errors.extend(validate_label_name(&term.topology_key, &path));
    errors
}
