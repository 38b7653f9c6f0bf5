//! The annotations of pods that have a meaning.

use std::collections::BTreeMap;

use api::field::{Error, ErrorList, Path};
use k8s_openapi::api::core::v1::{PodSpec, Toleration};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::absent::text;
use super::options::Options;
use super::profiles::{self, APP_ARMOR_CONTAINER};
use super::scheduling;

/// Marks the API's image of a pod that a node runs from a file.
pub(super) const MIRROR_POD: &str = "kubernetes.io/config.mirror";
const TOLERATIONS: &str = "scheduler.alpha.kubernetes.io/tolerations";
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

pub(super) fn validate(
    annotations: Option<&BTreeMap<String, String>>,
    spec: &PodSpec,
    options: &Options,
    path: &Path,
) -> ErrorList {
    let mut errors = ErrorList::new();
    let Some(annotations) = annotations else { return errors };
    if let Some(value) = annotations.get(MIRROR_POD).filter(|_| text(&spec.node_name).is_empty()) {
        let detail = "must set spec.nodeName if mirror pod annotation is set";
        errors.push(Error::invalid(&path.key(MIRROR_POD), value, detail));
    }
    if let Some(json) = annotations.get(TOLERATIONS).filter(|json| !json.is_empty()) {
        match serde_json::from_str::<Vec<Toleration>>(json) {
            Ok(tolerations) => errors.extend(scheduling::validate_tolerations(&tolerations, &path.child(TOLERATIONS))),
            Err(error) => errors.push(Error::invalid(path, TOLERATIONS, error.to_string())),
        }
    }
    if !options.allow_invalid_deletion_cost && deletion_cost(Some(annotations)).is_none() {
        let value = annotations.get(DELETION_COST).map_or("", String::as_str);
        errors.push(Error::invalid(&path.key(DELETION_COST), value, "must be a 32bit integer"));
    }
    errors.extend(profiles::validate_annotations(annotations, spec, path));
    errors
}

/// That the annotations with a meaning are what they were.
pub(super) fn validate_update(new: &ObjectMeta, old: &ObjectMeta, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let none = BTreeMap::new();
    let (new, old) = (new.annotations.as_ref().unwrap_or(&none), old.annotations.as_ref().unwrap_or(&none));
    let mut refuse = |key: &str, change: &str| {
        if key.starts_with(APP_ARMOR_CONTAINER) {
            errors.push(Error::forbidden(&path.key(key), format!("may not {change} AppArmor annotations")));
        }
        if key == MIRROR_POD {
            errors.push(Error::forbidden(&path.key(key), format!("may not {change} mirror pod annotation")));
        }
    };
    for (key, _) in old.iter().filter(|(key, value)| new.get(*key) != Some(value)) {
        refuse(key, "remove or update");
    }
    for key in new.keys().filter(|key| !old.contains_key(*key)) {
        refuse(key, "add");
    }
    errors
}

/// What the pod says its deletion costs: 0 when it says nothing, `None` when that is no number. A sign and leading zeros
/// are refused, so that one number has one text.
pub(super) fn deletion_cost(annotations: Option<&BTreeMap<String, String>>) -> Option<i32> {
    let Some(text) = annotations.and_then(|annotations| annotations.get(DELETION_COST)) else { return Some(0) };
    let leads_with_zero = text.len() > 1 && text.starts_with('0');
    if text.starts_with('+') || leads_with_zero {
        return None;
    }
    text.parse().ok()
}
