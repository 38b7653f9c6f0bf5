//! What volumes are made of: exactly one source, whose own rules hold. Where pods can have the same source, the rules are
//! theirs.

use api::field::{Error, ErrorList, Path};
use api::names;
use k8s_openapi::api::core::v1::{
    AzureFilePersistentVolumeSource, CSIPersistentVolumeSource, CephFSPersistentVolumeSource,
    CinderPersistentVolumeSource, FlexPersistentVolumeSource, GlusterfsPersistentVolumeSource,
    ISCSIPersistentVolumeSource, LocalVolumeSource, PersistentVolumeSpec, RBDPersistentVolumeSource,
    ScaleIOPersistentVolumeSource, SecretReference, StorageOSPersistentVolumeSource,
};

use crate::resources::pod_spec;
use crate::resources::pod_spec::absent::{is_true, text};
use crate::resources::pod_spec::rules::{dns_label, dns_subdomain, named, no_backsteps, present};
use crate::resources::pod_spec::volumes::{local, network, retired};

/// Fills in what a source left out, and writes the capacity as it is stored.
pub(in crate::resources) fn set_source_defaults(spec: &mut PersistentVolumeSpec) {
    spec.capacity.iter_mut().for_each(pod_spec::round_list);
    if let Some(source) = &mut spec.host_path {
        source.type_.get_or_insert_default();
    }
    if let Some(source) = &mut spec.rbd {
        pod_spec::fill(&mut source.pool, "rbd");
        pod_spec::fill(&mut source.user, "admin");
        pod_spec::fill(&mut source.keyring, "/etc/ceph/keyring");
    }
    if let Some(source) = &mut spec.iscsi {
        pod_spec::fill(&mut source.iscsi_interface, "default");
    }
    spec.azure_disk.iter_mut().for_each(pod_spec::set_azure_disk_defaults);
    if let Some(source) = &mut spec.scale_io {
        pod_spec::fill(&mut source.storage_mode, "ThinProvisioned");
        pod_spec::fill(&mut source.fs_type, "xfs");
    }
}

/// The spec with its sources and nothing else.
pub(super) fn only(spec: &PersistentVolumeSpec) -> PersistentVolumeSpec {
    PersistentVolumeSpec {
        access_modes: None,
        capacity: None,
        claim_ref: None,
        mount_options: None,
        node_affinity: None,
        persistent_volume_reclaim_policy: None,
        storage_class_name: None,
        volume_attributes_class_name: None,
        volume_mode: None,
        ..spec.clone()
    }
}

/// Whether the source's driver has always taken mount options from the annotation.
pub(super) fn take_mount_options(spec: &PersistentVolumeSpec) -> bool {
    spec.gce_persistent_disk.is_some()
        || spec.aws_elastic_block_store.is_some()
        || spec.glusterfs.is_some()
        || spec.nfs.is_some()
        || spec.rbd.is_some()
        || spec.quobyte.is_some()
        || spec.iscsi.is_some()
        || spec.cinder.is_some()
        || spec.cephfs.is_some()
        || spec.azure_file.is_some()
        || spec.vsphere_volume.is_some()
        || spec.azure_disk.is_some()
        || spec.photon_persistent_disk.is_some()
}

type Check<'a> = Box<dyn Fn(&Path) -> ErrorList + 'a>;

/// A source that is there: the field by which a second one is refused, that which its own errors name, and its rules.
fn source<'a, T>(
    source: &'a Option<T>,
    field: &'static str,
    path: &'static str,
    check: impl Fn(&'a T, &Path) -> ErrorList + 'a,
) -> Option<(&'static str, &'static str, Check<'a>)> {
    source.as_ref().map(|source| (field, path, Box::new(move |path: &Path| check(source, path)) as Check<'a>))
}

/// What is wrong with the sources of the spec at `path`, of a volume called `name`.
pub(super) fn validate(spec: &PersistentVolumeSpec, name: &str, path: &Path) -> ErrorList {
    // In upstream's order, which decides which one of several is the first, and with upstream's names of fields.
    let sources = [
        source(&spec.host_path, "hostPath", "hostPath", local::host_path),
        source(&spec.gce_persistent_disk, "gcePersistentDisk", "persistentDisk", retired::gce_disk),
        source(&spec.aws_elastic_block_store, "awsElasticBlockStore", "awsElasticBlockStore", retired::aws_disk),
        source(&spec.glusterfs, "glusterfs", "glusterfs", glusterfs),
        source(&spec.flocker, "flocker", "flocker", retired::flocker),
        source(&spec.nfs, "nfs", "nfs", network::nfs),
        source(&spec.rbd, "rbd", "rbd", rbd),
        source(&spec.quobyte, "quobyte", "quobyte", retired::quobyte),
        source(&spec.cephfs, "cephFS", "cephfs", cephfs),
        source(&spec.iscsi, "iscsi", "iscsi", |source, path| iscsi(source, name, path)),
        source(&spec.cinder, "cinder", "cinder", cinder),
        source(&spec.fc, "fc", "fc", network::fibre_channel),
        source(&spec.flex_volume, FLEX, FLEX, flex),
        source(&spec.azure_file, "azureFile", "azureFile", azure_file),
        source(&spec.vsphere_volume, "vsphereVolume", "vsphereVolume", retired::vsphere),
        source(&spec.photon_persistent_disk, "photonPersistentDisk", "photonPersistentDisk", retired::photon),
        source(&spec.portworx_volume, "portworxVolume", "portworxVolume", retired::portworx),
        source(&spec.azure_disk, "azureDisk", "azureDisk", retired::azure_disk),
        source(&spec.scale_io, "scaleIO", "scaleIO", scale_io),
        source(&spec.local, LOCAL, LOCAL, local_disk),
        source(&spec.storageos, "storageos", "storageos", storage_os),
        source(&spec.csi, "csi", "csi", csi),
    ];
    let mut errors = ErrorList::new();
    let mut found = false;
    for (field, own_path, check) in sources.into_iter().flatten() {
        // Upstream counts this one without asking whether it is the first.
        if std::mem::replace(&mut found, true) && field != FLEX {
            errors.push(Error::forbidden(&path.child(field), "may not specify more than 1 volume type"));
            continue;
        }
        errors.extend(check(&path.child(own_path)));
        if field == LOCAL && spec.node_affinity.is_none() {
            errors.push(Error::required(&path.child("nodeAffinity"), "Local volume requires node affinity"));
        }
    }
    if !found {
        errors.push(Error::required(path, "must specify a volume type"));
    }
    errors
}

const FLEX: &str = "flexVolume";
const LOCAL: &str = "local";

fn glusterfs(source: &GlusterfsPersistentVolumeSource, path: &Path) -> ErrorList {
    let mut errors = all_present([("endpoints", &source.endpoints), ("path", &source.path)], path);
    if let Some(namespace) = &source.endpoints_namespace {
        let path = path.child("endpointsNamespace");
        if namespace.is_empty() {
            let detail = "if the endpointnamespace is set, it must be a valid namespace name";
            errors.push(Error::invalid(&path, "", detail));
        } else {
            errors.extend(named(namespace, names::namespace_name(namespace, false), &path));
        }
    }
    errors
}

fn rbd(source: &RBDPersistentVolumeSource, path: &Path) -> ErrorList {
    let monitors = source.monitors.is_empty().then(|| Error::required(&path.child("monitors"), ""));
    monitors.into_iter().chain(present(&source.image, &path.child("image"))).collect()
}

fn cephfs(source: &CephFSPersistentVolumeSource, path: &Path) -> ErrorList {
    source.monitors.is_empty().then(|| Error::required(&path.child("monitors"), "")).into_iter().collect()
}

fn iscsi(source: &ISCSIPersistentVolumeSource, name: &str, path: &Path) -> ErrorList {
    const FORMAT: &str = "must be valid format";
    let mut errors = ErrorList::from_iter(present(&source.target_portal, &path.child("targetPortal")));
    let length = name.len() + 1 + source.target_portal.len();
    if source.initiator_name.is_some() && length > network::MAX_ISCSI_PORTAL_BYTES {
        let detail = "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if \
                      iscsi.initiatorName is specified.";
        errors.push(Error::invalid(&path.child("targetportal"), &source.target_portal, detail));
    }
    let qualified =
        |name: &str, path: &Path| (!network::is_qualified(name)).then(|| Error::invalid(path, name, FORMAT));
    let iqn_path = path.child("iqn");
    errors.extend(present(&source.iqn, &iqn_path).or_else(|| qualified(&source.iqn, &iqn_path)));
    errors.extend(network::lun(source.lun, path));
    let authenticates = is_true(source.chap_auth_discovery) || is_true(source.chap_auth_session);
    let secret_path = path.child("secretRef");
    match &source.secret_ref {
        None if authenticates => errors.push(Error::required(&secret_path, "")),
        None => {}
        Some(secret) => errors.extend(present(text(&secret.name), &secret_path.child("name"))),
    }
    if let Some(initiator) = &source.initiator_name {
        errors.extend(qualified(initiator, &path.child("initiatorname")));
    }
    errors
}

fn cinder(source: &CinderPersistentVolumeSource, path: &Path) -> ErrorList {
    let mut errors = all_present([("volumeID", &source.volume_id)], path);
    if let Some(secret) = &source.secret_ref {
        let path = path.child("secretRef");
        errors.extend(present(text(&secret.name), &path.child("name")));
        errors.extend(present(text(&secret.namespace), &path.child("namespace")));
    }
    errors
}

fn flex(source: &FlexPersistentVolumeSource, path: &Path) -> ErrorList {
    let mut errors = all_present([("driver", &source.driver)], path);
    errors.extend(network::flex_options(source.options.as_ref(), path));
    errors
}

fn azure_file(source: &AzureFilePersistentVolumeSource, path: &Path) -> ErrorList {
    let mut errors = all_present([("secretName", &source.secret_name), ("shareName", &source.share_name)], path);
    if let Some(namespace) = &source.secret_namespace {
        errors.extend(present(namespace, &path.child("secretNamespace")));
    }
    errors
}

fn scale_io(source: &ScaleIOPersistentVolumeSource, path: &Path) -> ErrorList {
    let volume = source.volume_name.clone().unwrap_or_default();
    all_present([("gateway", &source.gateway), ("system", &source.system), ("volumeName", &volume)], path)
}

fn local_disk(source: &LocalVolumeSource, path: &Path) -> ErrorList {
    let path = path.child("path");
    let error = present(&source.path, &path).or_else(|| no_backsteps(&source.path, &path));
    error.into_iter().collect()
}

fn storage_os(source: &StorageOSPersistentVolumeSource, path: &Path) -> ErrorList {
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
    if let Some(secret) = &source.secret_ref {
        let path = path.child("secretRef");
        errors.extend(present(text(&secret.name), &path.child("name")));
        errors.extend(present(text(&secret.namespace), &path.child("namespace")));
    }
    errors
}

fn csi(source: &CSIPersistentVolumeSource, path: &Path) -> ErrorList {
    let mut errors = network::driver_name(&source.driver, &path.child("driver"));
    errors.extend(present(&source.volume_handle, &path.child("volumeHandle")));
    // Upstream does not look at the secret for staging.
    let secrets = [
        ("controllerPublishSecretRef", &source.controller_publish_secret_ref),
        ("controllerExpandSecretRef", &source.controller_expand_secret_ref),
        ("nodePublishSecretRef", &source.node_publish_secret_ref),
        ("nodeExpandSecretRef", &source.node_expand_secret_ref),
    ];
    for (field, secret) in secrets {
        errors.extend(secret.iter().flat_map(|secret| validate_secret(secret, &path.child(field))));
    }
    errors
}

fn validate_secret(secret: &SecretReference, path: &Path) -> ErrorList {
    let (name, namespace) = (text(&secret.name), text(&secret.namespace));
    let (name_path, namespace_path) = (path.child("name"), path.child("namespace"));
    let mut errors = match present(name, &name_path) {
        Some(missing) => missing.into(),
        None => dns_subdomain(name, &name_path),
    };
    errors.extend(match present(namespace, &namespace_path) {
        Some(missing) => missing.into(),
        None => dns_label(namespace, &namespace_path),
    });
    errors
}

fn all_present<const N: usize>(fields: [(&str, &String); N], path: &Path) -> ErrorList {
    fields.into_iter().filter_map(|(field, value)| present(value, &path.child(field))).collect()
}
