//! PersistentVolumeClaims: requests for storage, which are bound to one volume each.
//!
//! What a claim asks for does not change, but for its size and its class of attributes once it is bound. Its status says
//! what it got, and how far a change of size has come.

mod data_source;
mod spec;
mod status;
mod update;

use api::field::{ErrorList, Path};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimStatus};
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::pod_spec::warnings::fraction;
use super::{access_modes, pod_spec, storage_class};
pub(super) use spec::VOLUME_MODES;
pub(crate) use spec::{Options, set_spec_defaults, validate_spec};

use crate::strategy::{AGE_COLUMN, Column, Context, NAME_COLUMN, Names, Strategy, UpdateSubresource};

const STORAGE: &str = "storage";
const PENDING: &str = "Pending";

const COLUMNS: &[Column] = &[
    NAME_COLUMN,
    Column::new("Status", "phase represents the current phase of PersistentVolumeClaim."),
    Column::new("Volume", "volumeName is the binding reference to the PersistentVolume backing this claim."),
    Column::new("Capacity", "capacity represents the actual resources of the underlying volume."),
    Column::new(
        "Access Modes",
        "accessModes contains the actual access modes the volume backing the PVC has. More info: \
         https://kubernetes.io/docs/concepts/storage/persistent-volumes#access-modes-1",
    ),
    Column::new("StorageClass", "StorageClass of the pvc"),
    Column::new("VolumeAttributesClass", "VolumeAttributesClass of the pvc"),
    AGE_COLUMN,
    Column::new(
        "VolumeMode",
        "volumeMode defines what type of volume is required by the claim. Value of Filesystem is implied when not included \
         in claim spec.",
    )
    .wide(),
];

pub(crate) struct PersistentVolumeClaims;

impl Strategy for PersistentVolumeClaims {
    type Object = PersistentVolumeClaim;

    fn names(&self) -> Names {
        Names::of::<PersistentVolumeClaim>("persistentvolumeclaim", true).short(&["pvc"])
    }

    fn default(&self, object: &mut PersistentVolumeClaim) {
        set_spec_defaults(object.spec.get_or_insert_default());
        let status = object.status.get_or_insert_default();
        pod_spec::fill(&mut status.phase, PENDING);
        status.capacity.iter_mut().for_each(pod_spec::round_list);
        status.allocated_resources.iter_mut().for_each(pod_spec::round_list);
    }

    fn prepare_create(&self, object: &mut PersistentVolumeClaim, _: Context<'_>) {
        object.status = Some(PersistentVolumeClaimStatus { phase: Some(PENDING.to_owned()), ..Default::default() });
        data_source::prepare(object.spec.get_or_insert_default(), None);
    }

    fn prepare_update(&self, new: &mut PersistentVolumeClaim, old: &PersistentVolumeClaim, _: Context<'_>) {
        new.status.clone_from(&old.status);
        data_source::prepare(new.spec.get_or_insert_default(), old.spec.as_ref());
    }

    fn validate(&self, object: &PersistentVolumeClaim) -> ErrorList {
        let spec = object.spec.clone().unwrap_or_default();
        validate_spec(&spec, Options::default(), &Path::new("spec"))
    }

    fn validate_update(&self, new: &PersistentVolumeClaim, old: &PersistentVolumeClaim) -> ErrorList {
        update::validate(new, old)
    }

    fn warnings(&self, new: &PersistentVolumeClaim, _: Option<&PersistentVolumeClaim>) -> Vec<String> {
        let mut warnings = Vec::from_iter(storage_class::annotation_warning(&new.metadata));
        if let Some(resources) = new.spec.as_ref().and_then(|spec| spec.resources.as_ref()) {
            let path = Path::new("spec").child("resources");
            for (field, quantities) in [("requests", &resources.requests), ("limits", &resources.limits)] {
                let quantity = quantities.as_ref().and_then(|quantities| quantities.get(STORAGE));
                warnings.extend(fraction(quantity, &path.child(field).key(STORAGE)));
            }
        }
        warnings
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn row(&self, object: &PersistentVolumeClaim, now: Timestamp) -> Vec<Value> {
        let (spec, status) = (object.spec.clone().unwrap_or_default(), object.status.clone().unwrap_or_default());
        let is_ending = object.metadata.deletion_timestamp.is_some();
        let phase = if is_ending { "Terminating".to_owned() } else { status.phase.unwrap_or_default() };
        let volume = spec.volume_name.unwrap_or_default();
        // What there is of it is shown only when it is bound.
        let (capacity, modes) = if volume.is_empty() {
            Default::default()
        } else {
            let capacity = status.capacity.as_ref().and_then(|capacity| capacity.get(STORAGE));
            let capacity = capacity.map_or_else(|| "0".to_owned(), |capacity| capacity.0.clone());
            (capacity, access_modes::shown(status.access_modes.as_ref()))
        };
        let unset = || "<unset>".to_owned();
        vec![
            object.metadata.name.clone().into(),
            phase.into(),
            volume.into(),
            capacity.into(),
            modes.into(),
            storage_class::class_of(&object.metadata, spec.storage_class_name.as_deref()).into(),
            spec.volume_attributes_class_name.unwrap_or_else(unset).into(),
            api::duration::age(object.metadata.creation_timestamp.as_ref(), now).into(),
            spec.volume_mode.unwrap_or_else(unset).into(),
        ]
    }

    fn updates(&self) -> Vec<UpdateSubresource<PersistentVolumeClaim>> {
        vec![UpdateSubresource {
            name: "status",
            prepare: |new, old, _| {
                new.spec.clone_from(&old.spec);
                // Upstream's gate CSIVolumeHealth is off.
                if let Some(status) = &mut new.status {
                    status.health_status = None;
                }
            },
            validate: |new, _| status::validate(new),
        }]
    }

    fn returns_deleted_object(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests;
