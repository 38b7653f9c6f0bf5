//! Volumes whose drivers have moved out of Kubernetes or are gone; their fields are still part of the API.

use api::field::{BadValue, Error, ErrorList, Path};
use api::names;
use k8s_openapi::api::core::v1::{
    AWSElasticBlockStoreVolumeSource, AzureDiskVolumeSource, AzureFileVolumeSource, CephFSVolumeSource,
    CinderVolumeSource, FlockerVolumeSource, GCEPersistentDiskVolumeSource, GlusterfsVolumeSource,
    LocalObjectReference, PhotonPersistentDiskVolumeSource, PortworxVolumeSource, QuobyteVolumeSource, RBDVolumeSource,
    ScaleIOVolumeSource, StorageOSVolumeSource, VsphereVirtualDiskVolumeSource,
};

use super::super::absent::{number, text};
use super::super::rules::{dns_label, present, supported};

/// The longest tenant of Quobyte, a UUID.
const MAX_TENANT_BYTES: usize = 64;
const MAX_PARTITION: i32 = 255;

pub(in crate::resources) fn gce_disk(source: &GCEPersistentDiskVolumeSource, path: &Path) -> ErrorList {
    let missing = present(&source.pd_name, &path.child("pdName"));
    missing.into_iter().chain(partition(source.partition, path)).collect()
}

pub(in crate::resources) fn aws_disk(source: &AWSElasticBlockStoreVolumeSource, path: &Path) -> ErrorList {
    let missing = present(&source.volume_id, &path.child("volumeID"));
    missing.into_iter().chain(partition(source.partition, path)).collect()
}

pub(super) fn glusterfs(source: &GlusterfsVolumeSource, path: &Path) -> ErrorList {
    all_present([("endpoints", &source.endpoints), ("path", &source.path)], path)
}

pub(in crate::resources) fn flocker(source: &FlockerVolumeSource, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let (name, uuid) = (text(&source.dataset_name), text(&source.dataset_uuid));
    if name.is_empty() && uuid.is_empty() {
        errors.push(Error::required(path, "one of datasetName and datasetUUID is required"));
    }
    if !name.is_empty() && !uuid.is_empty() {
        let detail = "datasetName and datasetUUID can not be specified simultaneously";
        errors.push(Error::invalid(path, "resource", detail));
    }
    if name.contains('/') {
        errors.push(Error::invalid(&path.child("datasetName"), name, "must not contain '/'"));
    }
    errors
}

pub(super) fn rbd(source: &RBDVolumeSource, path: &Path) -> ErrorList {
    let monitors = source.monitors.is_empty().then(|| Error::required(&path.child("monitors"), ""));
    monitors.into_iter().chain(present(&source.image, &path.child("image"))).collect()
}

pub(super) fn cinder(source: &CinderVolumeSource, path: &Path) -> ErrorList {
    let missing = present(&source.volume_id, &path.child("volumeID"));
    missing.into_iter().chain(secret(source.secret_ref.as_ref(), path)).collect()
}

pub(super) fn cephfs(source: &CephFSVolumeSource, path: &Path) -> ErrorList {
    source.monitors.is_empty().then(|| Error::required(&path.child("monitors"), "")).into_iter().collect()
}

pub(in crate::resources) fn quobyte(source: &QuobyteVolumeSource, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let pairs = "must be a host:port pair or multiple pairs separated by commas";
    let registry_path = path.child("registry");
    if source.registry.is_empty() {
        errors.push(Error::required(&registry_path, pairs));
    } else if text(&source.tenant).len() > MAX_TENANT_BYTES {
        let detail = "must be a UUID and may not exceed a length of 64 characters";
        errors.push(Error::required(&path.child("tenant"), detail));
    } else {
        let bad = source.registry.split(',').filter(|pair| !is_host_and_port(pair));
        errors.extend(bad.map(|_| Error::invalid(&registry_path, &source.registry, pairs)));
    }
    errors.extend(present(&source.volume, &path.child("volume")));
    errors
}

pub(super) fn azure_file(source: &AzureFileVolumeSource, path: &Path) -> ErrorList {
    all_present([("secretName", &source.secret_name), ("shareName", &source.share_name)], path)
}

pub(in crate::resources) fn azure_disk(source: &AzureDiskVolumeSource, path: &Path) -> ErrorList {
    let mut errors = all_present([("diskName", &source.disk_name), ("diskURI", &source.disk_uri)], path);
    if let Some(mode) = &source.caching_mode {
        errors.extend(supported(mode, &["None", "ReadOnly", "ReadWrite"], &path.child("cachingMode")));
    }
    let Some(kind) = &source.kind else { return errors };
    errors.extend(supported(kind, &["Dedicated", "Managed", "Shared"], &path.child("kind")));
    let (prefix, form) = if kind == "Managed" {
        let form = "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}";
        ("/subscriptions/", form)
    } else {
        ("https://", "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd")
    };
    if !source.disk_uri.starts_with(prefix) {
        errors.push(Error::not_supported(&path.child("diskURI"), &source.disk_uri, &[form]));
    }
    errors
}

pub(in crate::resources) fn vsphere(source: &VsphereVirtualDiskVolumeSource, path: &Path) -> ErrorList {
    all_present([("volumePath", &source.volume_path)], path)
}

pub(in crate::resources) fn photon(source: &PhotonPersistentDiskVolumeSource, path: &Path) -> ErrorList {
    all_present([("pdID", &source.pd_id)], path)
}

pub(in crate::resources) fn portworx(source: &PortworxVolumeSource, path: &Path) -> ErrorList {
    all_present([("volumeID", &source.volume_id)], path)
}

pub(super) fn storage_os(source: &StorageOSVolumeSource, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let (name, name_path) = (text(&source.volume_name), path.child("volumeName"));
    match present(name, &name_path) {
        Some(missing) => errors.push(missing),
        None => errors.extend(dns_label(name, &name_path)),
    }
    let namespace = text(&source.volume_namespace);
    if !namespace.is_empty() {
        errors.extend(dns_label(namespace, &path.child("volumeNamespace")));
    }
    errors.extend(secret(source.secret_ref.as_ref(), path));
    errors
}

pub(super) fn scale_io(source: &ScaleIOVolumeSource, path: &Path) -> ErrorList {
    let volume = source.volume_name.clone().unwrap_or_default();
    all_present([("gateway", &source.gateway), ("system", &source.system), ("volumeName", &volume)], path)
}

fn all_present<const N: usize>(fields: [(&str, &String); N], path: &Path) -> ErrorList {
    fields.into_iter().filter_map(|(field, value)| present(value, &path.child(field))).collect()
}

/// Upstream's message speaks of 1, and its check of 0.
fn partition(partition: Option<i32>, path: &Path) -> Option<Error> {
    let partition = number(partition);
    let message = || names::inclusive_range_error(1, MAX_PARTITION.into());
    let in_range = (0..=MAX_PARTITION).contains(&partition);
    (!in_range).then(|| Error::invalid(&path.child("partition"), BadValue::from(partition), message()))
}

fn secret(reference: Option<&LocalObjectReference>, path: &Path) -> Option<Error> {
    present(&reference?.name, &path.child("secretRef").child("name"))
}

/// `host:port`, where a host with colons is in brackets.
fn is_host_and_port(pair: &str) -> bool {
    let Some((host, port)) = pair.rsplit_once(':') else { return false };
    let host_is_sound = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').is_some_and(|inner| !inner.contains(['[', ']'])),
        None => !host.contains([':', '[', ']']),
    };
    host_is_sound && !port.contains(['[', ']'])
}
