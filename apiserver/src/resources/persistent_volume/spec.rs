//! What must be right with a volume (`ValidatePersistentVolumeSpec`), in a PersistentVolume and inline in a
//! VolumeAttachment, and what is warned of.

use std::collections::BTreeMap;

use api::field::{BadValue, Error, ErrorList, Path};
use api::names;
use api::quantity::Quantity;
use k8s_openapi::api::core::v1::{NodeSelectorTerm, PersistentVolume, PersistentVolumeSpec, VolumeNodeAffinity};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;

use super::{MOUNT_OPTIONS, STORAGE, sources};
use crate::resources::persistent_volume_claim::VOLUME_MODES;
use crate::resources::pod_spec::absent::{list, text};
use crate::resources::pod_spec::rules::{NOT_POSITIVE, basic_quantity, dns_subdomain, supported};
use crate::resources::pod_spec::validate_node_selector;
use crate::resources::pod_spec::warnings::node_term;
use crate::resources::{access_modes, storage_class};

const RECLAIM_POLICIES: &[&str] = &["Delete", "Recycle", "Retain"];

/// What is not checked because it was stored before it was.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Options {
    allow_invalid_node_values: bool,
}

impl Options {
    /// For a volume that was `old`.
    pub(super) fn after(old: &PersistentVolume) -> Options {
        let affinity = old.spec.as_ref().and_then(|spec| spec.node_affinity.as_ref());
        let requirements = terms(affinity).iter().flat_map(|term| list(&term.match_expressions));
        let mut values = requirements.flat_map(|requirement| list(&requirement.values));
        Options { allow_invalid_node_values: values.any(|value| !names::label_value(value).is_empty()) }
    }
}

fn terms(affinity: Option<&VolumeNodeAffinity>) -> &[NodeSelectorTerm] {
    let required = affinity.and_then(|affinity| affinity.required.as_ref());
    required.map_or(&[], |selector| &selector.node_selector_terms)
}

/// What is wrong with the spec of a volume.
pub(super) fn validate(volume: &PersistentVolume, options: Options) -> ErrorList {
    let absent = PersistentVolumeSpec::default();
    let (spec, path) = (volume.spec.as_ref().unwrap_or(&absent), Path::new("spec"));
    let mut errors = validate_modes(spec, &path);
    errors.extend(validate_capacity(spec.capacity.as_ref(), &path.child("capacity")));
    let policy = text(&spec.persistent_volume_reclaim_policy);
    if !policy.is_empty() {
        errors.extend(supported(policy, RECLAIM_POLICIES, &path.child("persistentVolumeReclaimPolicy")));
    }
    if let Some(affinity) = &spec.node_affinity {
        errors.extend(validate_node_affinity(affinity, options, &path.child("nodeAffinity")));
    }
    errors.extend(sources::validate(spec, text(&volume.metadata.name), &path));
    errors.extend(validate_recycling(spec, &path));
    let class = text(&spec.storage_class_name);
    if !class.is_empty() {
        errors.extend(dns_subdomain(class, &path.child("storageClassName")));
    }
    if let Some(mode) = &spec.volume_mode {
        errors.extend(supported(mode, VOLUME_MODES, &path.child("volumeMode")));
    }
    errors.extend(validate_attributes_class(spec, &path));
    errors
}

/// What is wrong with the spec at `path` of a volume that is stated where it is attached, and that is no object of its own.
pub(in crate::resources) fn validate_inline(spec: &PersistentVolumeSpec, path: &Path) -> ErrorList {
    let elsewhere = "may not be specified in the context of inline volumes";
    let mut errors = ErrorList::new();
    if spec.claim_ref.is_some() {
        errors.push(Error::forbidden(&path.child("claimRef"), elsewhere));
    }
    if spec.capacity.as_ref().is_some_and(|capacity| !capacity.is_empty()) {
        errors.push(Error::forbidden(&path.child("capacity"), elsewhere));
    }
    if spec.csi.is_none() {
        errors.push(Error::required(&path.child("csi"), "has to be specified in the context of inline volumes"));
    }
    errors.extend(validate_modes(spec, path));
    if !matches!(text(&spec.persistent_volume_reclaim_policy), "" | "Retain") {
        let detail = "may only be Retain in the context of inline volumes";
        errors.push(Error::forbidden(&path.child("persistentVolumeReclaimPolicy"), detail));
    }
    if spec.node_affinity.is_some() {
        errors.push(Error::forbidden(&path.child("nodeAffinity"), elsewhere));
    }
    errors.extend(sources::validate(spec, "", path));
    errors.extend(validate_recycling(spec, path));
    if !text(&spec.storage_class_name).is_empty() {
        errors.push(Error::forbidden(&path.child("storageClassName"), elsewhere));
    }
    if spec.volume_mode.as_ref().is_some_and(|mode| mode != "Filesystem") {
        let detail = "may not specify volumeMode other than Filesystem in the context of inline volumes";
        errors.push(Error::forbidden(&path.child("volumeMode"), detail));
    }
    errors
}

fn validate_modes(spec: &PersistentVolumeSpec, path: &Path) -> ErrorList {
    let path = path.child("accessModes");
    let modes = list(&spec.access_modes);
    let mut errors = ErrorList::new();
    if modes.is_empty() {
        errors.push(Error::required(&path, ""));
    }
    errors.extend(access_modes::validate(modes, &path));
    errors
}

fn validate_capacity(capacity: Option<&BTreeMap<String, ApiQuantity>>, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if capacity.is_none_or(BTreeMap::is_empty) {
        errors.push(Error::required(path, ""));
    }
    if capacity.is_none_or(|capacity| !capacity.contains_key(STORAGE) || capacity.len() > 1) {
        errors.push(Error::not_supported(path, BadValue::json(&capacity), &[STORAGE]));
    }
    for (resource, quantity) in capacity.into_iter().flatten() {
        let path = path.key(resource);
        match Quantity::try_from(quantity) {
            Err(error) => errors.push(Error::invalid(&path, &*quantity.0, error.to_string())),
            Ok(quantity) => {
                errors.extend(basic_quantity(&quantity, &path));
                if quantity.signum() <= 0 {
                    errors.push(Error::invalid(&path, quantity.to_string(), NOT_POSITIVE));
                }
            }
        }
    }
    errors
}

fn validate_node_affinity(affinity: &VolumeNodeAffinity, options: Options, path: &Path) -> ErrorList {
    let path = path.child("required");
    match &affinity.required {
        None => Error::required(&path, "must specify required node constraints").into(),
        Some(selector) => validate_node_selector(selector, options.allow_invalid_node_values, &path),
    }
}

/// Nobody is to empty the host.
fn validate_recycling(spec: &PersistentVolumeSpec, path: &Path) -> Option<Error> {
    let is_root = spec.host_path.as_ref().is_some_and(|source| is_root(&source.path));
    let is_recycled = text(&spec.persistent_volume_reclaim_policy) == "Recycle";
    let detail = "may not be 'recycle' for a hostPath mount of '/'";
    (is_root && is_recycled).then(|| Error::forbidden(&path.child("persistentVolumeReclaimPolicy"), detail))
}

/// Whether the path leads to the root: it begins there, and takes back every step.
fn is_root(path: &str) -> bool {
    let depth = path.split('/').fold(0_usize, |depth, part| match part {
        "" | "." => depth,
        ".." => depth.saturating_sub(1),
        _ => depth + 1,
    });
    path.starts_with('/') && depth == 0
}

fn validate_attributes_class(spec: &PersistentVolumeSpec, path: &Path) -> ErrorList {
    let Some(class) = &spec.volume_attributes_class_name else { return ErrorList::new() };
    let class_path = path.child("volumeAttributesClassName");
    let mut errors = match &**class {
        "" => Error::required(&class_path, "an empty string is disallowed").into(),
        class => dns_subdomain(class, &class_path),
    };
    if spec.csi.is_none() {
        let detail = "has to be specified when using volumeAttributesClassName";
        errors.push(Error::required(&path.child("csi"), detail));
    }
    errors
}

/// What a client is warned of: what is deprecated in a volume, and drivers that are gone.
pub(super) fn warnings(volume: &PersistentVolume) -> Vec<String> {
    let absent = PersistentVolumeSpec::default();
    let (spec, path) = (volume.spec.as_ref().unwrap_or(&absent), Path::new("spec"));
    let mut warnings = Vec::from_iter(storage_class::annotation_warning(&volume.metadata));
    let annotations = volume.metadata.annotations.as_ref();
    if annotations.is_some_and(|annotations| annotations.contains_key(MOUNT_OPTIONS)) {
        let path = Path::new("metadata").child("annotations").key(MOUNT_OPTIONS);
        warnings.push(format!("{path}: deprecated since v1.31; use \"mountOptions\" attribute instead"));
    }
    if text(&spec.persistent_volume_reclaim_policy) == "Recycle" {
        warnings.push(format!(
            "{}: The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning.",
            path.child("persistentVolumeReclaimPolicy")
        ));
    }
    let terms_path = path.child("nodeAffinity").child("required").child("nodeSelectorTerms");
    for (i, term) in terms(spec.node_affinity.as_ref()).iter().enumerate() {
        warnings.extend(node_term(term, false, &terms_path.index(i)));
    }
    let retired = [
        ("cephfs", spec.cephfs.is_some(), "v1.28, non-functional in v1.31+"),
        ("photonPersistentDisk", spec.photon_persistent_disk.is_some(), "v1.11, non-functional in v1.16+"),
        ("scaleIO", spec.scale_io.is_some(), "v1.16, non-functional in v1.22+"),
        ("storageOS", spec.storageos.is_some(), "v1.22, non-functional in v1.25+"),
        ("glusterfs", spec.glusterfs.is_some(), "v1.25, non-functional in v1.26+"),
        ("rbd", spec.rbd.is_some(), "v1.28, non-functional in v1.31+"),
    ];
    let used = retired.into_iter().filter(|(_, is_used, _)| *is_used);
    warnings.extend(used.map(|(field, _, since)| format!("{}: deprecated in {since}", path.child(field))));
    warnings
}
