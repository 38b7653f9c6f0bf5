//! What must hold of a changed pod as such, whatever changed.

use std::borrow::Cow;

use api::field::ErrorList;
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::resources::pod_spec::{self, Options};

/// Marks a pod that mirrors a kubelet's static pod.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// The spec, or an empty one.
pub(super) fn spec_of(pod: &Pod) -> Cow<'_, PodSpec> {
    pod.spec.as_ref().map_or_else(|| Cow::Owned(PodSpec::default()), Cow::Borrowed)
}

/// What is wrong with the new state of a pod (`validatePodMetadataAndSpec`). What `old` had already is let pass.
pub(super) fn validate_changed(new: &Pod, old: &Pod) -> ErrorList {
    pod_spec::validate_pod(&spec_of(new), &new.metadata, &options(old))
}

/// What is wrong with a change of a pod's ephemeral containers.
pub(super) fn validate_ephemeral_containers(new: &Pod, old: &Pod) -> ErrorList {
    let options = options(old);
    let (new_spec, old_spec) = (spec_of(new), spec_of(old));
    let (new, old) = ((&*new_spec, &new.metadata), (&*old_spec, &old.metadata));
    pod_spec::validate_ephemeral_containers(new, old, &options)
}

/// Whether a pod only mirrors a static pod, which the API cannot change.
pub(super) fn is_mirror(meta: &ObjectMeta) -> bool {
    meta.annotations.as_ref().is_some_and(|annotations| annotations.contains_key(MIRROR))
}

/// Whether an init container goes on running beside the others.
pub(super) fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

fn options(old: &Pod) -> Options {
    Options::for_update(&spec_of(old), &old.metadata).of_pod()
}
