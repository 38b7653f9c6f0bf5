//! The defaults of volumes.

use k8s_openapi::api::core::v1::{AzureDiskVolumeSource, Volume, VolumeProjection};

use super::{fill, image, round, set_field_defaults, set_resource_field_defaults};
use crate::resources::persistent_volume_claim;

const FILE_MODE: i32 = 0o644;
const TOKEN_SECONDS: i64 = 3600;

pub(super) fn set_defaults(volume: &mut Volume) {
    let named_only = Volume { name: volume.name.clone(), ..Volume::default() };
    if *volume == named_only {
        volume.empty_dir = Some(Default::default());
    }
    set_file_defaults(volume);
    if let Some(limit) = volume.empty_dir.as_mut().and_then(|source| source.size_limit.as_mut()) {
        round(limit, None);
    }
    if let Some(source) = &mut volume.host_path {
        source.type_.get_or_insert_default();
    }
    if let Some(source) = &mut volume.image {
        let policy = image::pull_policy(source.reference.as_deref().unwrap_or_default());
        fill(&mut source.pull_policy, policy);
    }
    if let Some(template) = volume.ephemeral.as_mut().and_then(|source| source.volume_claim_template.as_mut()) {
        persistent_volume_claim::set_spec_defaults(&mut template.spec);
    }
    set_driver_defaults(volume);
}

fn set_file_defaults(volume: &mut Volume) {
    if let Some(source) = &mut volume.secret {
        source.default_mode.get_or_insert(FILE_MODE);
    }
    if let Some(source) = &mut volume.config_map {
        source.default_mode.get_or_insert(FILE_MODE);
    }
    if let Some(source) = &mut volume.downward_api {
        source.default_mode.get_or_insert(FILE_MODE);
        for file in source.items.iter_mut().flatten() {
            file.field_ref.iter_mut().for_each(set_field_defaults);
            file.resource_field_ref.iter_mut().for_each(set_resource_field_defaults);
        }
    }
    if let Some(source) = &mut volume.projected {
        source.default_mode.get_or_insert(FILE_MODE);
        source.sources.iter_mut().flatten().for_each(set_projection_defaults);
    }
}

fn set_projection_defaults(projection: &mut VolumeProjection) {
    for file in projection.downward_api.iter_mut().flat_map(|source| &mut source.items).flatten() {
        file.field_ref.iter_mut().for_each(set_field_defaults);
        file.resource_field_ref.iter_mut().for_each(set_resource_field_defaults);
    }
    if let Some(token) = &mut projection.service_account_token {
        token.expiration_seconds.get_or_insert(TOKEN_SECONDS);
    }
}

fn set_driver_defaults(volume: &mut Volume) {
    if let Some(source) = &mut volume.iscsi {
        fill(&mut source.iscsi_interface, "default");
    }
    if let Some(source) = &mut volume.rbd {
        fill(&mut source.pool, "rbd");
        fill(&mut source.user, "admin");
        fill(&mut source.keyring, "/etc/ceph/keyring");
    }
    volume.azure_disk.iter_mut().for_each(set_azure_disk_defaults);
    if let Some(source) = &mut volume.scale_io {
        fill(&mut source.storage_mode, "ThinProvisioned");
        fill(&mut source.fs_type, "xfs");
    }
}

/// The defaults of a disk of Azure's, which persistent volumes have, too.
pub(in crate::resources) fn set_azure_disk_defaults(source: &mut AzureDiskVolumeSource) {
    source.caching_mode.get_or_insert_with(|| "ReadWrite".to_owned());
    source.kind.get_or_insert_with(|| "Shared".to_owned());
    source.fs_type.get_or_insert_with(|| "ext4".to_owned());
    source.read_only.get_or_insert(false);
}
