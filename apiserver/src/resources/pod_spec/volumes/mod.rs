//! Volumes: each has a unique name and exactly one source, whose own rules hold.

mod claim;
mod files;
pub(in crate::resources) mod local;
pub(in crate::resources) mod network;
pub(in crate::resources) mod retired;

use std::collections::{HashMap, HashSet};

use api::field::{Error, ErrorList, Path, go_quote};
use api::names;
use k8s_openapi::api::core::v1::Volume;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::absent::{list, text};
use super::container::validate_pull_policy;
use super::options::Options;
use super::rules::{dns_label, present};

/// The sound volumes of a pod by name. References to others are errors.
#[derive(Default)]
pub(super) struct Volumes<'a>(HashMap<&'a str, &'a Volume>);

impl<'a> Volumes<'a> {
    pub(super) fn get(&self, name: &str) -> Option<&'a Volume> {
        self.0.get(name).copied()
    }
}

/// `meta` is the pod's; without a name, as in templates, the names of claims made for it are not checked.
pub(super) fn validate<'a>(
    volumes: &'a [Volume],
    meta: &ObjectMeta,
    options: &Options,
    path: &Path,
) -> (Volumes<'a>, ErrorList) {
    let mut errors = ErrorList::new();
    let mut sound = Volumes::default();
    let pod_name = text(&meta.name);
    let made_claims: HashSet<String> = volumes
        .iter()
        .filter(|volume| volume.ephemeral.is_some() && !pod_name.is_empty())
        .map(|volume| format!("{pod_name}-{}", volume.name))
        .collect();
    for (i, volume) in volumes.iter().enumerate() {
        let path = path.index(i);
        let name_path = path.child("name");
        let mut own = validate_source(volume, pod_name, options, &path);
        match present(&volume.name, &name_path) {
            Some(missing) => own.push(missing),
            None => own.extend(dns_label(&volume.name, &name_path)),
        }
        if sound.0.contains_key(&*volume.name) {
            own.push(Error::duplicate(&name_path, &volume.name));
        }
        if own.is_empty() {
            sound.0.insert(&volume.name, volume);
        }
        errors.extend(own);
        let claim = volume.persistent_volume_claim.as_ref().map(|claim| &claim.claim_name);
        if let Some(claim) = claim.filter(|claim| made_claims.contains(*claim)) {
            let path = path.child("persistentVolumeClaim").child("claimName");
            let detail = "must not reference a PVC that gets created for an ephemeral volume";
            errors.push(Error::invalid(&path, claim, detail));
        }
    }
    (sound, errors)
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

fn validate_source(volume: &Volume, pod_name: &str, options: &Options, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut found = false;
    // In upstream's order, which decides which one of several is the first, and with upstream's names of fields.
    let sources = [
        source(&volume.empty_dir, "emptyDir", "emptyDir", local::empty_dir),
        source(&volume.host_path, "hostPath", "hostPath", local::host_path),
        source(&volume.git_repo, "gitRepo", "gitRepo", local::git_repo),
        source(&volume.gce_persistent_disk, "gcePersistentDisk", "persistentDisk", retired::gce_disk),
        source(&volume.aws_elastic_block_store, "awsElasticBlockStore", "awsElasticBlockStore", retired::aws_disk),
        source(&volume.secret, "secret", "secret", files::secret),
        source(&volume.nfs, "nfs", "nfs", network::nfs),
        source(&volume.iscsi, "iscsi", "iscsi", network::iscsi),
        source(&volume.glusterfs, "glusterfs", "glusterfs", retired::glusterfs),
        source(&volume.flocker, "flocker", "flocker", retired::flocker),
        source(&volume.persistent_volume_claim, "persistentVolumeClaim", "persistentVolumeClaim", claim::reference),
        source(&volume.rbd, "rbd", "rbd", retired::rbd),
        source(&volume.cinder, "cinder", "cinder", retired::cinder),
        source(&volume.cephfs, "cephFS", "cephfs", retired::cephfs),
        source(&volume.quobyte, "quobyte", "quobyte", retired::quobyte),
        source(&volume.downward_api, "downwarAPI", "downwardAPI", files::downward_api),
        source(&volume.fc, "fc", "fc", network::fibre_channel),
        source(&volume.flex_volume, "flexVolume", "flexVolume", network::flex),
        source(&volume.config_map, "configMap", "configMap", files::config_map),
        source(&volume.azure_file, "azureFile", "azureFile", retired::azure_file),
        source(&volume.vsphere_volume, "vsphereVolume", "vsphereVolume", retired::vsphere),
        source(&volume.photon_persistent_disk, "photonPersistentDisk", "photonPersistentDisk", retired::photon),
        source(&volume.portworx_volume, "portworxVolume", "portworxVolume", retired::portworx),
        source(&volume.azure_disk, "azureDisk", "azureDisk", retired::azure_disk),
        source(&volume.storageos, "storageos", "storageos", retired::storage_os),
        source(&volume.projected, "projected", "projected", |source, path| files::projected(source, options, path)),
        source(&volume.scale_io, "scaleIO", "scaleIO", retired::scale_io),
        source(&volume.csi, "csi", "csi", network::csi),
        source(&volume.ephemeral, "ephemeral", "ephemeral", claim::ephemeral),
        source(&volume.image, "image", "image", |image, path| {
            let mut errors = ErrorList::new();
            if !options.allow_empty_image_reference {
                errors.extend(present(text(&image.reference), &path.child("reference")));
            }
            errors.extend(validate_pull_policy(text(&image.pull_policy), &path.child("pullPolicy")));
            errors
        }),
    ];
    for (field, own_path, check) in sources.into_iter().flatten() {
        if std::mem::replace(&mut found, true) {
            errors.push(Error::forbidden(&path.child(field), "may not specify more than 1 volume type"));
            continue;
        }
        errors.extend(check(&path.child(own_path)));
        match field {
            "iscsi" => errors.extend(network::iscsi_name(volume, path)),
            "ephemeral" => errors.extend(validate_claim_name(&volume.name, pod_name, path)),
            _ => {}
        }
    }
    if !found {
        errors.push(Error::required(path, "must specify a volume type"));
    }
    errors
}

/// That the claim made for the pod has a name that it can have.
fn validate_claim_name(volume: &str, pod_name: &str, path: &Path) -> ErrorList {
    if pod_name.is_empty() || volume.is_empty() {
        return ErrorList::new();
    }
    let claim = format!("{pod_name}-{volume}");
    let message = |message| format!("PVC name {}: {message}", go_quote(&claim));
    let messages = names::dns1123_subdomain(&claim).into_iter().map(message);
    let mut errors = ErrorList::new();
    errors.push_invalid(&path.child("name"), volume, messages);
    errors
}

/// Whether a volume projects a token of a service account; with where.
pub(super) fn tokens<'a>(volumes: &'a [Volume], path: &Path) -> impl Iterator<Item = Path> + 'a {
    let path = path.clone();
    volumes.iter().enumerate().flat_map(move |(i, volume)| {
        let path = path.index(i).child("projected").child("sources");
        let sources = volume.projected.as_ref().map_or(&[][..], |projected| list(&projected.sources));
        let tokens = sources.iter().enumerate().filter(|(_, source)| source.service_account_token.is_some());
        tokens.map(move |(j, _)| path.index(j).child("serviceAccountToken")).collect::<Vec<_>>()
    })
}
