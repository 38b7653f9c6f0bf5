//! VolumeAttachments: that a volume is to be attached to a node, and whether it is.

#[cfg(test)]
mod tests;

use api::field::{BadValue, Error, ErrorList, Path};
use api::names::inclusive_range_error;
use api::validate::meta::FIELD_IMMUTABLE;
use k8s_openapi::api::core::v1::PersistentVolumeSpec;
use k8s_openapi::api::storage::v1::{
    VolumeAttachment, VolumeAttachmentSource, VolumeAttachmentSpec, VolumeAttachmentStatus, VolumeError,
};
use k8s_openapi::jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::pod_spec::absent::text;
use super::pod_spec::rules::{dns_subdomain, present};
use super::pod_spec::volumes::network::driver_name;
use super::{persistent_volume, semantic, status_meta};
use crate::strategy::{AGE_COLUMN, Column, Context, NAME_COLUMN, Names, Strategy, UpdateSubresource};

/// The most that keys and values of the metadata may have together.
const MAX_METADATA_BYTES: usize = 256 * 1024;
const MAX_MESSAGE_BYTES: usize = 1024;

const COLUMNS: &[Column] = &[
    NAME_COLUMN,
    Column {
        format: "name",
        ..Column::new(
            "Attacher",
            "attacher indicates the name of the volume driver that MUST handle this request. This is the name returned by \
             GetPluginName().",
        )
    },
    Column::new("PV", "persistentVolumeName represents the name of the persistent volume to attach."),
    Column::new("Node", "nodeName represents the node that the volume should be attached to."),
    Column::new(
        "Attached",
        "attached indicates the volume is successfully attached. This field must only be set by the entity completing the \
         attach operation, i.e. the external-attacher.",
    )
    .of_type("boolean"),
    AGE_COLUMN,
];

pub(crate) struct VolumeAttachments;

impl Strategy for VolumeAttachments {
    type Object = VolumeAttachment;

    fn names(&self) -> Names {
        Names::of::<VolumeAttachment>("volumeattachment", false)
    }

    fn default(&self, object: &mut VolumeAttachment) {
        object.spec.source.inline_volume_spec.iter_mut().for_each(persistent_volume::set_source_defaults);
    }

    fn prepare_create(&self, object: &mut VolumeAttachment, _: Context<'_>) {
        object.status = Some(VolumeAttachmentStatus::default());
    }

    fn prepare_update(&self, new: &mut VolumeAttachment, old: &VolumeAttachment, _: Context<'_>) {
        new.status.clone_from(&old.status);
    }

    fn validate(&self, object: &VolumeAttachment) -> ErrorList {
        let mut errors = validate(object);
        // Older versions of the API took other names, and what they stored stays.
        errors.extend(driver_name(&object.spec.attacher, &Path::new("spec").child("attacher")));
        if let Some(name) = &object.spec.source.persistent_volume_name {
            let path = Path::new("spec").child("source").child("persistentVolumeName");
            errors.extend(dns_subdomain(name, &path));
        }
        errors
    }

    fn validate_update(&self, new: &VolumeAttachment, old: &VolumeAttachment) -> ErrorList {
        validate_change(new, old)
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn row(&self, object: &VolumeAttachment, now: Timestamp) -> Vec<Value> {
        let spec = &object.spec;
        vec![
            object.metadata.name.clone().into(),
            spec.attacher.clone().into(),
            text(&spec.source.persistent_volume_name).into(),
            spec.node_name.clone().into(),
            object.status.as_ref().is_some_and(|status| status.attached).into(),
            api::duration::age(object.metadata.creation_timestamp.as_ref(), now).into(),
        ]
    }

    fn updates(&self) -> Vec<UpdateSubresource<VolumeAttachment>> {
        vec![UpdateSubresource {
            name: "status",
            prepare: |new, old, _| {
                new.spec.clone_from(&old.spec);
                status_meta::reset(&mut new.metadata, &old.metadata);
                new.status.get_or_insert_default();
            },
            validate: validate_change,
        }]
    }

    fn allow_unconditional_update(&self) -> bool {
        false
    }

    fn returns_deleted_object(&self) -> bool {
        true
    }
}

fn validate_change(new: &VolumeAttachment, old: &VolumeAttachment) -> ErrorList {
    // Upstream looks at the new object twice, and says everything twice.
    let mut errors = validate(new);
    errors.extend(validate(new));
    if !semantic::equal(&new.spec, &old.spec) {
        errors.push(Error::invalid(&Path::new("spec"), shown(&new.spec), FIELD_IMMUTABLE));
    }
    errors
}

fn validate(object: &VolumeAttachment) -> ErrorList {
    let path = Path::new("spec");
    let mut errors = ErrorList::from_iter(present(&object.spec.attacher, &path.child("attacher")));
    errors.extend(validate_source(&object.spec.source, &path.child("source")));
    errors.extend(dns_subdomain(&object.spec.node_name, &path.child("nodeName")));
    if let Some(status) = &object.status {
        errors.extend(validate_status(status, &Path::new("status")));
    }
    errors
}

fn validate_source(source: &VolumeAttachmentSource, path: &Path) -> ErrorList {
    let one = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
    match (&source.inline_volume_spec, &source.persistent_volume_name) {
        (None, None) => Error::required(path, one).into(),
        (Some(_), Some(_)) => Error::forbidden(path, one).into(),
        (None, Some(name)) if name.is_empty() => {
            Error::required(&path.child("persistentVolumeName"), "must specify non empty persistentVolumeName").into()
        }
        (None, Some(_)) => ErrorList::new(),
        (Some(spec), None) => persistent_volume::validate_inline(spec, &path.child("inlineVolumeSpec")),
    }
}

fn validate_status(status: &VolumeAttachmentStatus, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let metadata = status.attachment_metadata.iter().flatten();
    if metadata.map(|(key, value)| key.len() + value.len()).sum::<usize>() > MAX_METADATA_BYTES {
        errors.push(Error::too_long(&path.child("attachmentMetadata"), MAX_METADATA_BYTES));
    }
    for (field, error) in [("attachError", &status.attach_error), ("detachError", &status.detach_error)] {
        errors.extend(error.iter().flat_map(|error| validate_error(error, &path.child(field))));
    }
    errors
}

fn validate_error(error: &VolumeError, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if text(&error.message).len() > MAX_MESSAGE_BYTES {
        // Upstream names the other bound.
        errors.push(Error::too_long(&path.child("message"), MAX_METADATA_BYTES));
    }
    if let Some(code) = error.error_code.filter(|code| *code < 0) {
        errors.push(Error::invalid(&path.child("errorCode"), code, inclusive_range_error(0, i32::MAX.into())));
    }
    errors
}

/// A spec in the names of upstream's internal type, which its message shows. An inline volume has its public names.
fn shown(spec: &VolumeAttachmentSpec) -> BadValue {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Source<'a> {
        persistent_volume_name: Option<&'a str>,
        inline_volume_spec: Option<&'a PersistentVolumeSpec>,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Spec<'a> {
        attacher: &'a str,
        source: Source<'a>,
        node_name: &'a str,
    }
    let source = Source {
        persistent_volume_name: spec.source.persistent_volume_name.as_deref(),
        inline_volume_spec: spec.source.inline_volume_spec.as_ref(),
    };
    BadValue::json(&Spec { attacher: &spec.attacher, source, node_name: &spec.node_name })
}
