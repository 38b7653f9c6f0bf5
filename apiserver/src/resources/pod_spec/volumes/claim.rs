//! Claims of storage: references to them, and those that are made for one pod.

use api::field::{BadValue, Error, ErrorList, Path};
use api::names;
use api::quantity::Quantity;
use api::selector::label::validate_api;
use k8s_openapi::api::core::v1::{
    EphemeralVolumeSource, PersistentVolumeClaimSpec, PersistentVolumeClaimVolumeSource, TypedObjectReference,
};

use super::super::absent::{list, text};
use super::super::resources::validate_quantity;
use super::super::rules::{NOT_POSITIVE, dns_subdomain, named, present, supported};
use crate::resources::template_meta;

const ACCESS_MODES: &[&str] = &["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];

pub(super) fn reference(source: &PersistentVolumeClaimVolumeSource, path: &Path) -> ErrorList {
    present(&source.claim_name, &path.child("claimName")).into_iter().collect()
}

pub(super) fn ephemeral(source: &EphemeralVolumeSource, path: &Path) -> ErrorList {
    let path = path.child("volumeClaimTemplate");
    let Some(template) = &source.volume_claim_template else { return Error::required(&path, "").into() };
    let mut errors = ErrorList::new();
    if let Some(meta) = &template.metadata {
        errors.extend(template_meta::validate(meta, &path.child("metadata")));
    }
    errors.extend(validate_spec(&template.spec, &path.child("spec")));
    errors
}

/// What is wrong with the spec of a claim at `path`.
pub(in crate::resources) fn validate_spec(spec: &PersistentVolumeClaimSpec, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let modes_path = path.child("accessModes");
    let modes = list(&spec.access_modes);
    if modes.is_empty() {
        errors.push(Error::required(&modes_path, "at least 1 access mode is required"));
    }
    errors.extend(validate_api(spec.selector.as_ref(), false, &path.child("selector")));
    errors.extend(modes.iter().filter_map(|mode| supported(mode, ACCESS_MODES, &modes_path)));
    let is_exclusive = |mode: &&String| *mode == "ReadWriteOncePod";
    let shares = modes.iter().any(|mode| !is_exclusive(&mode) && ACCESS_MODES.contains(&&**mode));
    if shares && modes.iter().any(|mode| is_exclusive(&mode)) {
        errors.push(Error::forbidden(&modes_path, "may not use ReadWriteOncePod with other access modes"));
    }
    errors.extend(validate_size(spec, &path.child("resources").key("storage")));
    let class = text(&spec.storage_class_name);
    if !class.is_empty() {
        errors.extend(dns_subdomain(class, &path.child("storageClassName")));
    }
    if let Some(mode) = &spec.volume_mode {
        errors.extend(supported(mode, &["Block", "Filesystem"], &path.child("volumeMode")));
    }
    errors.extend(validate_sources(spec, path));
    let attributes = text(&spec.volume_attributes_class_name);
    if !attributes.is_empty() {
        errors.extend(dns_subdomain(attributes, &path.child("volumeAttributesClassName")));
    }
    errors
}

fn validate_size(spec: &PersistentVolumeClaimSpec, path: &Path) -> ErrorList {
    let requests = spec.resources.as_ref().and_then(|resources| resources.requests.as_ref());
    match requests.and_then(|requests| requests.get("storage")).map(Quantity::try_from) {
        None => Error::required(path, "").into(),
        Some(Err(error)) => Error::invalid(path, "", error.to_string()).into(),
        Some(Ok(size)) if size.signum() <= 0 => Error::invalid(path, size.to_string(), NOT_POSITIVE).into(),
        Some(Ok(size)) => validate_quantity("storage", &size, path),
    }
}

fn validate_sources(spec: &PersistentVolumeClaimSpec, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    // The older field as the newer one says it.
    let source = spec.data_source.as_ref().map(|source| TypedObjectReference {
        api_group: source.api_group.clone(),
        kind: source.kind.clone(),
        name: source.name.clone(),
        namespace: None,
    });
    if let Some(source) = &source {
        errors.extend(validate_source(source, &path.child("dataSource")));
    }
    let Some(reference) = &spec.data_source_ref else { return errors };
    errors.extend(validate_source(reference, &path.child("dataSourceRef")));
    let namespace = text(&reference.namespace);
    if !namespace.is_empty() {
        let path = path.child("dataSourceRef").child("namespace");
        errors.extend(named(namespace, names::namespace_name(namespace, false), &path));
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

fn validate_source(source: &TypedObjectReference, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    errors.extend(present(&source.name, &path.child("name")));
    errors.extend(present(&source.kind, &path.child("kind")));
    let group = text(&source.api_group);
    if !group.is_empty() {
        errors.extend(dns_subdomain(group, &path.child("apiGroup")));
    } else if source.kind != "PersistentVolumeClaim" {
        let detail = "must be 'PersistentVolumeClaim' when referencing the default apiGroup";
        errors.push(Error::invalid(path, &source.kind, detail));
    }
    errors
}
