//! What a new volume is filled with: `dataSource`, which older clients know, and `dataSourceRef`, which can say more. Both
//! say the same where both can.

use api::field::{BadValue, Error, ErrorList, Path};
use api::names;
use k8s_openapi::api::core::v1::{PersistentVolumeClaimSpec, TypedLocalObjectReference, TypedObjectReference};

use crate::resources::pod_spec::absent::text;
use crate::resources::pod_spec::rules::{dns_subdomain, named, present};

const CLAIM: &str = "PersistentVolumeClaim";

/// Drops what may not be stated, and makes the two fields agree.
pub(super) fn prepare(spec: &mut PersistentVolumeClaimSpec, old: Option<&PersistentVolumeClaimSpec>) {
    // Upstream's gate CrossNamespaceVolumeDataSource is off.
    let crosses = spec.data_source_ref.as_ref().is_some_and(|reference| !text(&reference.namespace).is_empty());
    if crosses && old.is_none_or(|old| old.data_source_ref.is_none()) {
        spec.data_source_ref = None;
    }
    // The older field has always ignored what it does not know.
    let was_used = old.is_some_and(|old| old.data_source.is_some() || old.data_source_ref.is_some());
    if !was_used && !spec.data_source.as_ref().is_some_and(is_claim_or_snapshot) {
        spec.data_source = None;
    }
    agree(spec);
}

fn is_claim_or_snapshot(source: &TypedLocalObjectReference) -> bool {
    matches!((text(&source.api_group), &*source.kind), ("", CLAIM) | ("snapshot.storage.k8s.io", "VolumeSnapshot"))
}

/// Fills in the field that is absent from the one that is there.
pub(super) fn agree(spec: &mut PersistentVolumeClaimSpec) {
    match (&spec.data_source, &spec.data_source_ref) {
        (Some(source), None) => spec.data_source_ref = Some(widened(source)),
        (None, Some(reference)) if text(&reference.namespace).is_empty() => {
            spec.data_source = Some(TypedLocalObjectReference {
                api_group: reference.api_group.clone(),
                kind: reference.kind.clone(),
                name: reference.name.clone(),
            });
        }
        _ => {}
    }
}

/// The older field as the newer one says it.
fn widened(source: &TypedLocalObjectReference) -> TypedObjectReference {
    TypedObjectReference {
        api_group: source.api_group.clone(),
        kind: source.kind.clone(),
        name: source.name.clone(),
        namespace: None,
    }
}

/// Whether a stored claim's groups of data sources are not to be checked any more.
pub(super) fn names_group(spec: &PersistentVolumeClaimSpec) -> bool {
    spec.data_source.as_ref().is_some_and(|source| source.api_group.is_some())
        || spec.data_source_ref.as_ref().is_some_and(|source| source.api_group.is_some())
}

/// What is wrong with the data sources of the spec at `path`.
pub(super) fn validate(spec: &PersistentVolumeClaimSpec, allow_invalid_groups: bool, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let source = spec.data_source.as_ref().map(widened);
    if let Some(source) = &source {
        errors.extend(validate_source(source, allow_invalid_groups, &path.child("dataSource")));
    }
    let Some(reference) = &spec.data_source_ref else { return errors };
    let reference_path = path.child("dataSourceRef");
    errors.extend(validate_source(reference, allow_invalid_groups, &reference_path));
    let namespace = text(&reference.namespace);
    if !namespace.is_empty() {
        errors.extend(named(namespace, names::namespace_name(namespace, false), &reference_path.child("namespace")));
    }
    let detail = match source {
        Some(_) if !namespace.is_empty() => "may not be specified when dataSourceRef.namespace is specified",
        Some(source) if source != (TypedObjectReference { namespace: None, ..reference.clone() }) => {
            "must match dataSourceRef"
        }
        _ => return errors,
    };
    // Upstream shows a path here, which has no JSON.
    errors.push(Error::invalid(path, BadValue::Json("{}".to_owned()), detail));
    errors
}

fn validate_source(source: &TypedObjectReference, allow_invalid_groups: bool, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    errors.extend(present(&source.name, &path.child("name")));
    errors.extend(present(&source.kind, &path.child("kind")));
    let group = text(&source.api_group);
    if group.is_empty() && source.kind != CLAIM {
        let detail = "must be 'PersistentVolumeClaim' when referencing the default apiGroup";
        errors.push(Error::invalid(path, &source.kind, detail));
    }
    if !group.is_empty() && !allow_invalid_groups {
        errors.extend(dns_subdomain(group, &path.child("apiGroup")));
    }
    errors
}
