//! PersistentVolumes: pieces of storage in the cluster, which outlive the pods that use them.
//!
//! What a volume is made of does not change. Its claim, its reclaim policy and its size do; its phase is its controller's,
//! and the server keeps the time at which it changed.

mod sources;
mod spec;
mod update;

use api::field::{Error, ErrorList, Path};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::pod_spec::absent::text;
use super::{access_modes, pod_spec, storage_class};
pub(super) use sources::set_source_defaults;
pub(super) use spec::validate_inline;

use crate::strategy::{AGE_COLUMN, Column, Context, NAME_COLUMN, Names, Strategy, UpdateSubresource};

const STORAGE: &str = "storage";
const PENDING: &str = "Pending";
/// The annotation that `mountOptions` has succeeded.
const MOUNT_OPTIONS: &str = "volume.beta.kubernetes.io/mount-options";

const COLUMNS: &[Column] = &[
    NAME_COLUMN,
    Column::new(
        "Capacity",
        "capacity is the description of the persistent volume's resources and capacity. More info: \
         https://kubernetes.io/docs/concepts/storage/persistent-volumes#capacity",
    ),
    Column::new(
        "Access Modes",
        "accessModes contains all ways the volume can be mounted. More info: \
         https://kubernetes.io/docs/concepts/storage/persistent-volumes#access-modes",
    ),
    Column::new(
        "Reclaim Policy",
        "persistentVolumeReclaimPolicy defines what happens to a persistent volume when released from its claim. Valid \
         options are Retain (default for manually created PersistentVolumes), Delete (default for dynamically provisioned \
         PersistentVolumes), and Recycle (deprecated). Recycle must be supported by the volume plugin underlying this \
         PersistentVolume. More info: https://kubernetes.io/docs/concepts/storage/persistent-volumes#reclaiming",
    ),
    Column::new(
        "Status",
        "phase indicates if a volume is available, bound to a claim, or released by a claim. More info: \
         https://kubernetes.io/docs/concepts/storage/persistent-volumes#phase",
    ),
    Column::new(
        "Claim",
        "claimRef is part of a bi-directional binding between PersistentVolume and PersistentVolumeClaim. Expected to be \
         non-nil when bound. claim.VolumeName is the authoritative bind between PV and PVC. More info: \
         https://kubernetes.io/docs/concepts/storage/persistent-volumes#binding",
    ),
    Column::new("StorageClass", "StorageClass of the pv"),
    Column::new("VolumeAttributesClass", "VolumeAttributesClass of the pv"),
    Column::new(
        "Reason",
        "reason is a brief CamelCase string that describes any failure and is meant for machine parsing and tidy display in \
         the CLI.",
    ),
    AGE_COLUMN,
    Column::new(
        "VolumeMode",
        "volumeMode defines if a volume is intended to be used with a formatted filesystem or to remain in raw block state. \
         Value of Filesystem is implied when not included in spec.",
    )
    .wide(),
];

pub(crate) struct PersistentVolumes;

impl Strategy for PersistentVolumes {
    type Object = PersistentVolume;

    fn names(&self) -> Names {
        Names::of::<PersistentVolume>("persistentvolume", false).short(&["pv"])
    }

    fn default(&self, object: &mut PersistentVolume) {
        pod_spec::fill(&mut object.status.get_or_insert_default().phase, PENDING);
        let spec = object.spec.get_or_insert_default();
        pod_spec::fill(&mut spec.persistent_volume_reclaim_policy, "Retain");
        spec.volume_mode.get_or_insert_with(|| "Filesystem".to_owned());
        set_source_defaults(spec);
    }

    fn prepare_create(&self, object: &mut PersistentVolume, context: Context<'_>) {
        object.status = Some(PersistentVolumeStatus {
            phase: Some(PENDING.to_owned()),
            last_phase_transition_time: Some(Time(context.now)),
            ..Default::default()
        });
    }

    fn prepare_update(&self, new: &mut PersistentVolume, old: &PersistentVolume, _: Context<'_>) {
        new.status.clone_from(&old.status);
    }

    fn validate(&self, object: &PersistentVolume) -> ErrorList {
        let mut errors = spec::validate(object, spec::Options::default());
        errors.extend(validate_mount_options(object));
        errors
    }

    fn validate_update(&self, new: &PersistentVolume, old: &PersistentVolume) -> ErrorList {
        let options = spec::Options::after(old);
        let mut errors = spec::validate(new, options);
        errors.extend(validate_mount_options(new));
        // Upstream looks at the new spec twice, and says everything twice.
        errors.extend(spec::validate(new, options));
        errors.extend(update::validate(new, old));
        errors
    }

    fn warnings(&self, new: &PersistentVolume, _: Option<&PersistentVolume>) -> Vec<String> {
        spec::warnings(new)
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn row(&self, object: &PersistentVolume, now: Timestamp) -> Vec<Value> {
        let (spec, status) = (object.spec.clone().unwrap_or_default(), object.status.clone().unwrap_or_default());
        let is_ending = object.metadata.deletion_timestamp.is_some();
        let phase = if is_ending { "Terminating".to_owned() } else { status.phase.unwrap_or_default() };
        let capacity = spec.capacity.as_ref().and_then(|capacity| capacity.get(STORAGE));
        let claim = spec.claim_ref.as_ref().map(|claim| format!("{}/{}", text(&claim.namespace), text(&claim.name)));
        let unset = || "<unset>".to_owned();
        vec![
            object.metadata.name.clone().into(),
            capacity.map_or_else(|| "0".to_owned(), |capacity| capacity.0.clone()).into(),
            access_modes::shown(spec.access_modes.as_ref()).into(),
            spec.persistent_volume_reclaim_policy.unwrap_or_default().into(),
            phase.into(),
            claim.unwrap_or_default().into(),
            storage_class::class_of(&object.metadata, spec.storage_class_name.as_deref()).into(),
            spec.volume_attributes_class_name.unwrap_or_else(unset).into(),
            status.reason.unwrap_or_default().into(),
            api::duration::age(object.metadata.creation_timestamp.as_ref(), now).into(),
            spec.volume_mode.unwrap_or_else(unset).into(),
        ]
    }

    fn updates(&self) -> Vec<UpdateSubresource<PersistentVolume>> {
        vec![UpdateSubresource { name: "status", prepare: prepare_status, validate: |_, _| ErrorList::new() }]
    }

    fn returns_deleted_object(&self) -> bool {
        true
    }
}

/// Keeps the time at which the phase changed, unless the client states another one.
fn prepare_status(new: &mut PersistentVolume, old: &PersistentVolume, context: Context<'_>) {
    new.spec.clone_from(&old.spec);
    let before = old.status.clone().unwrap_or_default();
    let status = new.status.get_or_insert_default();
    let changed = status.phase != before.phase;
    let stated = status.last_phase_transition_time.as_ref();
    if !changed && stated.is_none() {
        status.last_phase_transition_time = before.last_phase_transition_time;
    } else if changed && (stated.is_none() || stated == before.last_phase_transition_time.as_ref()) {
        status.last_phase_transition_time = Some(Time(context.now));
    }
}

/// The annotation is for drivers that have always known it.
fn validate_mount_options(volume: &PersistentVolume) -> Option<Error> {
    let has_options =
        volume.metadata.annotations.as_ref().is_some_and(|annotations| annotations.contains_key(MOUNT_OPTIONS));
    let knows_them = volume.spec.as_ref().is_some_and(sources::take_mount_options);
    let path = Path::new("metadata").child("annotations").child(MOUNT_OPTIONS);
    (has_options && !knows_them).then(|| Error::forbidden(&path, "may not specify mount options for this volume type"))
}

#[cfg(test)]
mod tests;
