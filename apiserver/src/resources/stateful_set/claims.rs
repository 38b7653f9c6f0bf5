//! The templates of claims: each pod gets a claim of every one, and a volume of its name.

use api::field::{ErrorList, Path};
use k8s_openapi::api::apps::v1::StatefulSetSpec;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimVolumeSource, PodTemplateSpec, Volume};

use crate::resources::persistent_volume_claim;
use crate::resources::pod_spec::warnings::fraction;

const STORAGE: &str = "storage";

/// Fills in what every claim is filled with, its phase included.
pub(super) fn set_defaults(claim: &mut PersistentVolumeClaim) {
    let spec = claim.spec.get_or_insert_default();
    spec.resources.get_or_insert_default();
    persistent_volume_claim::set_spec_defaults(spec);
    super::fill(&mut claim.status.get_or_insert_default().phase, "Pending");
}

/// What is wrong with the templates, which stand at `path`. Their metadata is not looked at, here as upstream.
pub(super) fn validate(claims: &[PersistentVolumeClaim], path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (i, claim) in claims.iter().enumerate() {
        let spec = claim.spec.clone().unwrap_or_default();
        let options = persistent_volume_claim::Options::default();
        errors.extend(persistent_volume_claim::validate_spec(&spec, options, &path.index(i).child("spec")));
    }
    errors
}

/// What a client is warned of: sizes that are no whole number of bytes. Upstream names the field otherwise on an update.
pub(super) fn warnings(spec: &StatefulSetSpec, is_update: bool) -> Vec<String> {
    let mut warnings = Vec::new();
    for (i, claim) in spec.volume_claim_templates.iter().flatten().enumerate() {
        let path = Path::new("spec").child("volumeClaimTemplates").index(i);
        let path = if is_update { path.child("Spec") } else { path }.child("resources");
        let Some(resources) = claim.spec.as_ref().and_then(|spec| spec.resources.as_ref()) else { continue };
        for (field, quantities) in [("requests", &resources.requests), ("limits", &resources.limits)] {
            let size = quantities.as_ref().and_then(|quantities| quantities.get(STORAGE));
            warnings.extend(fraction(size, &path.child(field).key(STORAGE)));
        }
    }
    warnings
}

/// The template as pods are made of it: with a volume for every claim, in place of one of the same name.
pub(super) fn with_volumes(spec: &StatefulSetSpec) -> PodTemplateSpec {
    let mut template = spec.template.clone();
    let mut volumes: Vec<Volume> = Vec::new();
    for claim in spec.volume_claim_templates.iter().flatten() {
        let name = claim.metadata.name.clone().unwrap_or_default();
        if volumes.iter().all(|volume| volume.name != name) {
            let source = PersistentVolumeClaimVolumeSource { claim_name: name.clone(), ..Default::default() };
            volumes.push(Volume { name, persistent_volume_claim: Some(source), ..Volume::default() });
        }
    }
    if !volumes.is_empty() {
        let pod = template.spec.get_or_insert_default();
        let mut others = pod.volumes.take().unwrap_or_default();
        others.retain(|other| volumes.iter().all(|volume| volume.name != other.name));
        volumes.append(&mut others);
        pod.volumes = Some(volumes);
    }
    template
}
