//! Claims of storage: references to them, and those that are made for one pod.

use api::field::{Error, ErrorList, Path};
use k8s_openapi::api::core::v1::{EphemeralVolumeSource, PersistentVolumeClaimVolumeSource};

use super::super::rules::present;
use crate::resources::{persistent_volume_claim, template_meta};

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
    let options = persistent_volume_claim::Options::default();
    errors.extend(persistent_volume_claim::validate_spec(&template.spec, options, &path.child("spec")));
    errors
}
