//! What an update of a volume may not change (`ValidatePersistentVolumeUpdate`): what it is made of, its mode, and the nodes
//! that can reach it.

use api::field::{BadValue, Error, ErrorList, Path};
use api::validate::meta::{FIELD_IMMUTABLE, immutable};
use k8s_openapi::api::core::v1::{
    NodeSelectorRequirement, NodeSelectorTerm, PersistentVolume, PersistentVolumeSpec, VolumeNodeAffinity,
};
use serde_json::{Value, json};

use super::sources;
use crate::resources::diff::diff;
use crate::resources::pod_spec::absent::list;
use crate::resources::semantic;

/// Labels of nodes that have been given other names.
const RENAMED_LABELS: &[(&str, &str)] = &[
    ("beta.kubernetes.io/arch", "kubernetes.io/arch"),
    ("beta.kubernetes.io/instance-type", "node.kubernetes.io/instance-type"),
    ("beta.kubernetes.io/os", "kubernetes.io/os"),
    ("failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"),
    ("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"),
];

/// What is wrong with the change of a volume; that the new one is right is checked elsewhere.
pub(super) fn validate(new: &PersistentVolume, old: &PersistentVolume) -> ErrorList {
    let new = new.spec.clone().unwrap_or_default();
    let old = old.spec.clone().unwrap_or_default();
    let mut errors = ErrorList::from_iter(validate_source(&new, &old));
    errors.extend(immutable(&new.volume_mode, &old.volume_mode, &Path::new("volumeMode")));
    if let Some(affinity) = &old.node_affinity {
        errors.extend(validate_node_affinity(new.node_affinity.as_ref(), affinity));
    }
    if old.volume_attributes_class_name.is_some() && new.volume_attributes_class_name.is_none() {
        let path = Path::new("spec").child("volumeAttributesClassName");
        errors.push(Error::forbidden(&path, "update from non-nil value to nil is forbidden"));
    }
    errors
}

/// The secret with which the driver's controller makes the volume bigger may be added; nothing else may change.
fn validate_source(new: &PersistentVolumeSpec, old: &PersistentVolumeSpec) -> Option<Error> {
    let (mut new, old) = (sources::only(new), sources::only(old));
    if old.csi.as_ref().is_some_and(|csi| csi.controller_expand_secret_ref.is_none())
        && let Some(csi) = &mut new.csi
    {
        csi.controller_expand_secret_ref = None;
    }
    if semantic::equal(&new, &old) {
        return None;
    }
    let shown = diff("core.PersistentVolumeSource", &semantic::normal_form(&old), &semantic::normal_form(&new));
    let detail = format!("spec.persistentvolumesource is immutable after creation\n{shown}");
    Some(Error::forbidden(&Path::new("spec").child("persistentvolumesource"), detail))
}

fn validate_node_affinity(new: Option<&VolumeNodeAffinity>, old: &VolumeNodeAffinity) -> Option<Error> {
    let mut renamed = old.clone();
    if let (Some(new), Some(old)) = (new.and_then(|new| new.required.as_ref()), &mut renamed.required) {
        for (new, old) in new.node_selector_terms.iter().zip(&mut old.node_selector_terms) {
            follow_renames(list(&new.match_expressions), old.match_expressions.as_deref_mut());
            follow_renames(list(&new.match_fields), old.match_fields.as_deref_mut());
        }
    }
    if new.is_some_and(|new| semantic::equal(new, &renamed)) {
        return None;
    }
    let detail = format!("{FIELD_IMMUTABLE}, except for updating from beta label to GA");
    Some(Error::invalid(&Path::new("nodeAffinity"), new.map_or_else(BadValue::null, shown), detail))
}

/// Renames what the new requirements have renamed.
fn follow_renames(new: &[NodeSelectorRequirement], old: Option<&mut [NodeSelectorRequirement]>) {
    for (new, old) in new.iter().zip(old.unwrap_or_default()) {
        if RENAMED_LABELS.contains(&(&*old.key, &*new.key)) {
            old.key.clone_from(&new.key);
        }
    }
}

/// The affinity in the names of upstream's internal type, which its message shows.
fn shown(affinity: &VolumeNodeAffinity) -> BadValue {
    let requirement = |requirement: &NodeSelectorRequirement| json!({"Key": requirement.key, "Operator": requirement.operator, "Values": requirement.values});
    let requirements = |stated: &Option<Vec<NodeSelectorRequirement>>| -> Value {
        stated.as_ref().map_or(Value::Null, |stated| stated.iter().map(requirement).collect())
    };
    let term = |term: &NodeSelectorTerm| {
        json!({
            "MatchExpressions": requirements(&term.match_expressions),
            "MatchFields": requirements(&term.match_fields),
        })
    };
    let selector = affinity.required.as_ref().map(
        |selector| json!({"NodeSelectorTerms": selector.node_selector_terms.iter().map(term).collect::<Vec<_>>()}),
    );
    BadValue::json(&json!({"Required": selector}))
}
