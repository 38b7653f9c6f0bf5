//! Topology spread constraints.

use api::field::{BadValue, Error, ErrorList, Path};
use api::selector::label::{validate_api, validate_label_name};
use k8s_openapi::api::core::v1::TopologySpreadConstraint;

use super::absent::list;
use super::affinity::validate_merged_keys;
use super::options::Options;
use super::rules::{NOT_POSITIVE, supported};

pub(super) fn validate(constraints: &[TopologySpreadConstraint], options: &Options, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (i, constraint) in constraints.iter().enumerate() {
        let path = path.index(i);
        if constraint.max_skew <= 0 {
            errors.push(Error::invalid(&path.child("maxSkew"), constraint.max_skew, NOT_POSITIVE));
        }
        if constraint.topology_key.is_empty() {
            errors.push(Error::required(&path.child("topologyKey"), "can not be empty"));
        }
        let (key, action) = (&constraint.topology_key, &constraint.when_unsatisfiable);
        errors.extend(supported(action, &["DoNotSchedule", "ScheduleAnyway"], &path.child("whenUnsatisfiable")));
        let is_same =
            |other: &TopologySpreadConstraint| other.topology_key == *key && other.when_unsatisfiable == *action;
        if constraints[i + 1..].iter().any(is_same) {
            let path = path.child("{topologyKey, whenUnsatisfiable}");
            errors.push(Error::duplicate(&path, format!("{{{key}, {action}}}")));
        }
        errors.extend(validate_min_domains(constraint, &path.child("minDomains")));
        let policies = [
            ("nodeAffinityPolicy", &constraint.node_affinity_policy),
            ("nodeTaintsPolicy", &constraint.node_taints_policy),
        ];
        for (field, policy) in policies {
            errors.extend(
                policy.as_deref().and_then(|policy| supported(policy, &["Honor", "Ignore"], &path.child(field))),
            );
        }
        if options.allow_invalid_spread_label_keys {
            errors.extend(validate_separate_keys(constraint, &path.child("matchLabelKeys")));
        } else {
            errors.extend(validate_label_keys(constraint, &path));
        }
        if !options.allow_invalid_spread_selectors {
            errors.extend(validate_api(constraint.label_selector.as_ref(), false, &path.child("labelSelector")));
        }
    }
    errors
}

/// The rule for `matchLabelKeys` that holds since v1.34, where they are merged into the selector.
pub(super) fn validate_label_keys(constraint: &TopologySpreadConstraint, path: &Path) -> ErrorList {
    validate_merged_keys(list(&constraint.match_label_keys), &[], constraint.label_selector.as_ref(), path)
}

/// The rule that held before, where they were apart from it.
fn validate_separate_keys(constraint: &TopologySpreadConstraint, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let keys = list(&constraint.match_label_keys);
    let selector = constraint.label_selector.as_ref();
    if !keys.is_empty() && selector.is_none() {
        errors.push(Error::forbidden(path, "must not be specified when labelSelector is not set"));
    }
    for (i, key) in keys.iter().enumerate() {
        errors.extend(validate_label_name(key, &path.index(i)));
        let is_selected = selector.is_some_and(|selector| {
            selector.match_labels.as_ref().is_some_and(|labels| labels.contains_key(key))
                || list(&selector.match_expressions).iter().any(|expression| expression.key == *key)
        });
        if is_selected {
            let detail = "exists in both matchLabelKeys and labelSelector";
            errors.push(Error::invalid(&path.index(i), key, detail));
        }
    }
    errors
}

fn validate_min_domains(constraint: &TopologySpreadConstraint, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let Some(domains) = constraint.min_domains else { return errors };
    if domains <= 0 {
        errors.push(Error::invalid(path, domains, NOT_POSITIVE));
    }
    let action = &constraint.when_unsatisfiable;
    if action != "DoNotSchedule" {
        let detail = format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}");
        errors.push(Error::invalid(path, BadValue::from(domains), detail));
    }
    errors
}
