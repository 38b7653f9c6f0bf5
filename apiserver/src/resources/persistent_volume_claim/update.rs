//! What an update of a claim may change (`ValidatePersistentVolumeClaimUpdate`): its volume and its class once each, and its
//! size and its class of attributes while it is bound.

use api::field::{Error, ErrorList, Path};
use api::quantity::Quantity;
use api::validate::meta::{FIELD_IMMUTABLE, immutable};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;

use super::spec::{Options, validate_spec};
use super::{STORAGE, data_source};
use crate::resources::diff::diff;
use crate::resources::pod_spec::absent::text;
use crate::resources::semantic;
use crate::resources::storage_class::{CLASS_ANNOTATION, annotated_class};

/// What is wrong with an update.
pub(super) fn validate(new: &PersistentVolumeClaim, old: &PersistentVolumeClaim) -> ErrorList {
    let path = Path::new("spec");
    let new_spec = new.spec.clone().unwrap_or_default();
    let mut old_spec = old.spec.clone().unwrap_or_default();
    let options = Options::after(&old_spec);
    // Stored by an older version, its data sources may not agree yet.
    data_source::agree(&mut old_spec);
    // Upstream looks at the new spec twice, and says everything twice.
    let mut errors = validate_spec(&new_spec, options, &path);
    errors.extend(validate_spec(&new_spec, options, &path));

    let mut rest = new_spec.clone();
    let mut before = old_spec.clone();
    if text(&old_spec.volume_name).is_empty() {
        before.volume_name.clone_from(&new_spec.volume_name);
    }
    errors.extend(validate_class(new, old, &mut rest, &before));
    let is_bound = new.status.as_ref().is_some_and(|status| text(&status.phase) == "Bound");
    if is_bound {
        ignore_size(&mut rest, &old_spec);
        rest.volume_attributes_class_name.clone_from(&old_spec.volume_attributes_class_name);
    }
    if !semantic::equal(&rest, &before) {
        let shown =
            diff("core.PersistentVolumeClaimSpec", &semantic::normal_form(&before), &semantic::normal_form(&rest));
        let detail = format!(
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound \
             claims\n{shown}"
        );
        errors.push(Error::forbidden(&path, detail));
    }
    errors.extend(validate_size(&new_spec, &old_spec, old, &path));
    errors.extend(immutable(&new_spec.volume_mode, &old_spec.volume_mode, &Path::new("volumeMode")));
    errors.extend(validate_attributes(&new_spec, &old_spec, old, &path.child("volumeAttributesClassName")));
    errors
}

/// A claim without a class may get one, and its class may move from the annotation into the field. `rest` loses what is
/// allowed.
fn validate_class(
    new: &PersistentVolumeClaim,
    old: &PersistentVolumeClaim,
    rest: &mut PersistentVolumeClaimSpec,
    before: &PersistentVolumeClaimSpec,
) -> Option<Error> {
    let (new_annotation, old_annotation) = (annotated_class(&new.metadata), annotated_class(&old.metadata));
    let class = rest.storage_class_name.clone();
    let is_first = class.is_some() && before.storage_class_name.is_none();
    let matches_annotation = old_annotation.is_some() && old_annotation == class.as_deref();
    if is_first && matches_annotation && new_annotation.is_none_or(|annotation| Some(annotation) == old_annotation) {
        rest.storage_class_name = None;
        return None;
    }
    if is_first && (old_annotation.is_none() || matches_annotation) {
        rest.storage_class_name = None;
    }
    let path = Path::new("metadata").child("annotations").child(CLASS_ANNOTATION);
    let new_annotation = new_annotation.unwrap_or_default();
    (new_annotation != old_annotation.unwrap_or_default())
        .then(|| Error::invalid(&path, new_annotation, FIELD_IMMUTABLE))
}

/// Gives a spec that requests anything the size that `old` had.
fn ignore_size(rest: &mut PersistentVolumeClaimSpec, old: &PersistentVolumeClaimSpec) {
    let Some(requests) = rest.resources.as_mut().and_then(|resources| resources.requests.as_mut()) else { return };
    let size = requested(old).cloned().unwrap_or_else(|| ApiQuantity("0".to_owned()));
    requests.insert(STORAGE.to_owned(), size);
}

fn requested(spec: &PersistentVolumeClaimSpec) -> Option<&ApiQuantity> {
    spec.resources.as_ref()?.requests.as_ref()?.get(STORAGE)
}

/// A request for more may be taken back as long as there is more than what there was before.
fn validate_size(
    new: &PersistentVolumeClaimSpec,
    old: &PersistentVolumeClaimSpec,
    claim: &PersistentVolumeClaim,
    path: &Path,
) -> Option<Error> {
    let size =
        |quantity: Option<&ApiQuantity>| quantity.and_then(|text| Quantity::try_from(text).ok()).unwrap_or_default();
    let capacity = claim.status.as_ref().and_then(|status| status.capacity.as_ref());
    let (new, old) = (size(requested(new)), size(requested(old)));
    let is_refused = new < old && new <= size(capacity.and_then(|capacity| capacity.get(STORAGE)));
    let path = path.child("resources").child("requests").child(STORAGE);
    is_refused.then(|| Error::forbidden(&path, "field can not be less than status.capacity"))
}

/// A class of attributes that has been applied can be replaced, but not be taken away.
fn validate_attributes(
    new: &PersistentVolumeClaimSpec,
    old: &PersistentVolumeClaimSpec,
    claim: &PersistentVolumeClaim,
    path: &Path,
) -> Option<Error> {
    let applied = claim.status.as_ref().and_then(|status| status.current_volume_attributes_class_name.as_ref());
    if applied.is_none() || new.volume_attributes_class_name == old.volume_attributes_class_name {
        return None;
    }
    let what = match new.volume_attributes_class_name.as_deref() {
        None => "nil",
        Some("") => "empty string",
        Some(_) => return None,
    };
    let detail = format!("update to {what} is forbidden when status.currentVolumeAttributesClassName is not nil");
    Some(Error::forbidden(path, detail))
}
