//! Pod specs and pod templates, which pods and everything that makes pods share: defaults, validation and warnings.
//!
//! The rules are those of `ValidatePodSpec` and `SetDefaults_PodSpec` of v1.37 with its feature gates at their defaults,
//! with the same messages in the same order. Everything here is pure.

pub(super) mod absent;
mod affinity;
mod aggregate;
mod annotations;
mod container;
mod containers;
mod defaults;
mod dns;
mod env;
mod ephemeral;
mod gates;
mod handlers;
mod mounts;
mod options;
mod os;
mod overlaps;
mod profiles;
mod references;
mod resources;
pub(super) mod rules;
mod scheduling;
mod security;
mod shown;
mod spec;
mod topology;
pub(super) mod volumes;
pub(super) mod warnings;
mod windows;

use api::field::{Error, ErrorList, Path, go_json, go_quote};
use api::selector::label::validate_labels;
use api::validate::meta::validate_annotations;
use k8s_openapi::api::core::v1::{PodSpec, PodTemplateSpec, Toleration};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use absent::{list, text};
pub(crate) use affinity::validate_node_selector;
pub(super) use defaults::{fill, round_list, set_azure_disk_defaults};
pub(crate) use defaults::{set_pod_defaults, set_template_defaults};
pub(crate) use options::Options;
pub(crate) use resources::is_extended as is_extended_resource;
pub(crate) use resources::{
    is_overcommittable, validate_name as validate_any_resource_name, validate_overhead, validate_quantity,
};
pub(crate) use warnings::{node_label_message, warnings};

/// Says what is wrong with a spec. `meta` is the metadata of the pod that it is of; for a template pass one without a
/// name, since the names of its pods are not known.
pub(crate) fn validate_spec(spec: &PodSpec, meta: &ObjectMeta, path: &Path, options: &Options) -> ErrorList {
    spec::validate(spec, meta, path, options)
}

/// Says what is wrong with a pod, its metadata apart from the annotations that have a meaning to pods excepted: what
/// holds on creation and on every update (upstream's `validatePodMetadataAndSpec`).
pub(crate) fn validate_pod(spec: &PodSpec, meta: &ObjectMeta, options: &Options) -> ErrorList {
    let options = options.clone().of_pod();
    let annotations_path = Path::new("metadata").child("annotations");
    let mut errors = annotations::validate(meta.annotations.as_ref(), spec, &options, &annotations_path);
    let path = Path::new("spec");
    errors.extend(validate_spec(spec, meta, &path, &options));
    if text(&spec.service_account_name).is_empty() {
        let detail = "must not be specified when serviceAccountName is not set";
        let tokens = volumes::tokens(list(&spec.volumes), &path.child("volumes"));
        errors.extend(tokens.map(|path| Error::forbidden(&path, detail)));
    }
    errors.extend(containers::validate_images_of_pod(spec, &path));
    errors
}

/// Says what is wrong with a new pod: [`validate_pod`] and what holds only on creation (upstream's `ValidatePodCreate`).
pub(crate) fn validate_new_pod(spec: &PodSpec, meta: &ObjectMeta) -> ErrorList {
    let mut errors = validate_pod(spec, meta, &Options::default());
    let path = Path::new("spec");
    if !list(&spec.ephemeral_containers).is_empty() {
        errors.push(Error::forbidden(&path.child("ephemeralContainers"), "cannot be set on create"));
    }
    if !text(&spec.node_name).is_empty() && !list(&spec.scheduling_gates).is_empty() {
        let detail = "cannot be set until all schedulingGates have been cleared";
        errors.push(Error::forbidden(&path.child("nodeName"), detail));
    }
    if let Some(annotations) = &meta.annotations {
        errors.extend(profiles::validate_seccomp_match(annotations, spec, &path));
        errors.extend(profiles::validate_app_armor_match(annotations, spec, &path));
    }
    errors
}

/// Says what is wrong with how the annotations of a pod have changed (the first half of upstream's
/// `ValidatePodSpecificAnnotationUpdates`; the other is in [`validate_pod`]).
pub(crate) fn validate_pod_annotation_update(new: &ObjectMeta, old: &ObjectMeta) -> ErrorList {
    annotations::validate_update(new, old, &Path::new("metadata").child("annotations"))
}

/// Says what is wrong with a template: its labels, annotations and spec. Ephemeral containers are forbidden.
pub(crate) fn validate_template(template: &PodTemplateSpec, path: &Path, options: &Options) -> ErrorList {
    let meta = template.metadata.clone().unwrap_or_default();
    let absent = PodSpec::default();
    let spec = template.spec.as_ref().unwrap_or(&absent);
    let (annotations_path, spec_path) = (path.child("annotations"), path.child("spec"));
    let mut errors = validate_labels(meta.labels.as_ref(), &path.child("labels"));
    errors.extend(validate_annotations(meta.annotations.as_ref(), &annotations_path));
    errors.extend(annotations::validate(meta.annotations.as_ref(), spec, options, &annotations_path));
    errors.extend(validate_spec(spec, &ObjectMeta::default(), &spec_path, options));
    if let Some(annotations) = &meta.annotations {
        errors.extend(profiles::validate_seccomp_match(annotations, spec, &spec_path));
    }
    if !list(&spec.ephemeral_containers).is_empty() {
        let detail = "ephemeral containers not allowed in pod template";
        errors.push(Error::forbidden(&spec_path.child("ephemeralContainers"), detail));
    }
    errors
}

/// Says what is wrong with tolerations by themselves, at `path`.
pub(crate) fn validate_tolerations(tolerations: &[Toleration], path: &Path) -> ErrorList {
    scheduling::validate_tolerations(tolerations, path)
}

/// Says what is wrong with the name of a resource that a container may ask for, at `path`.
pub(crate) fn validate_resource_name(name: &str, path: &Path) -> ErrorList {
    resources::validate_container_name(name, path)
}

/// Says what is wrong with an update through `pods/ephemeralcontainers`: the whole pod must be valid, and ephemeral
/// containers may be added but neither changed nor removed. Metadata is not compared.
pub(crate) fn validate_ephemeral_containers(
    new: (&PodSpec, &ObjectMeta),
    old: (&PodSpec, &ObjectMeta),
    options: &Options,
) -> ErrorList {
    let is_mirror = |meta: &ObjectMeta| {
        meta.annotations.as_ref().is_some_and(|annotations| annotations.contains_key(annotations::MIRROR_POD))
    };
    if is_mirror(old.1) {
        return Error::forbidden(&Path::new(""), "static pods do not support ephemeral containers").into();
    }
    let mut errors = validate_pod(new.0, new.1, options);
    errors.extend(validate_pod_annotation_update(new.1, old.1));
    let path = Path::new("spec").child("ephemeralContainers");
    for before in list(&old.0.ephemeral_containers) {
        let name = go_quote(&before.name);
        match list(&new.0.ephemeral_containers).iter().find(|after| after.name == before.name) {
            None => {
                let detail = format!("existing ephemeral containers {name} may not be removed\n");
                errors.push(Error::forbidden(&path, detail));
            }
            Some(after) if after != before => {
                let difference = format!("- {}\n+ {}\n", go_json(before), go_json(after));
                let detail = format!("existing ephemeral containers {name} may not be changed\n{difference}");
                errors.push(Error::forbidden(&path, detail));
            }
            Some(_) => {}
        }
    }
    errors
}

#[cfg(test)]
mod tests;
