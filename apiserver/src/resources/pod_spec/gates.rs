//! Fields behind feature gates that are closed by default in v1.37: they are dropped, as upstream drops them.
//!
//! Upstream keeps them where the stored object has them already. The gates cannot be opened here, so no object does.

use k8s_openapi::api::core::v1::{Container, PodSpec, Volume};

use super::ephemeral;

pub(super) fn drop_disabled(spec: &mut PodSpec) {
    // GenericWorkload
    spec.scheduling_group = None;
    // EvictionRequestAPI
    spec.eviction_responders = None;
    spec.containers.iter_mut().for_each(drop_from_container);
    spec.init_containers.iter_mut().flatten().for_each(drop_from_container);
    for container in spec.ephemeral_containers.iter_mut().flatten() {
        ephemeral::change_common_part(container, drop_from_container);
    }
    spec.volumes.iter_mut().flatten().for_each(drop_from_volume);
}

fn drop_from_container(container: &mut Container) {
    // ContainerStopSignals
    if let Some(lifecycle) = &mut container.lifecycle {
        lifecycle.stop_signal = None;
    }
    // VolumeBindMountOptions
    for mount in container.volume_mounts.iter_mut().flatten() {
        mount.bind_mount_options = None;
    }
}

fn drop_from_volume(volume: &mut Volume) {
    // EmptyDirVolumeMode
    if let Some(source) = &mut volume.empty_dir {
        source.mode = None;
    }
    // AtomicWriteVolumeUserFields
    if let Some(source) = &mut volume.secret {
        source.default_user = None;
        source.items.iter_mut().flatten().for_each(|item| item.user = None);
    }
    if let Some(source) = &mut volume.config_map {
        source.default_user = None;
        source.items.iter_mut().flatten().for_each(|item| item.user = None);
    }
    if let Some(source) = &mut volume.downward_api {
        source.default_user = None;
        source.items.iter_mut().flatten().for_each(|item| item.user = None);
    }
    let Some(projected) = &mut volume.projected else { return };
    projected.default_user = None;
    for source in projected.sources.iter_mut().flatten() {
        // ClusterTrustBundleProjection and PodCertificateRequest
        source.cluster_trust_bundle = None;
        source.pod_certificate = None;
        let secret = source.secret.iter_mut().flat_map(|source| &mut source.items);
        let config_map = source.config_map.iter_mut().flat_map(|source| &mut source.items);
        secret.chain(config_map).flatten().for_each(|item| item.user = None);
        let files = source.downward_api.iter_mut().flat_map(|source| &mut source.items);
        files.flatten().for_each(|item| item.user = None);
        if let Some(token) = &mut source.service_account_token {
            token.user = None;
        }
    }
}
