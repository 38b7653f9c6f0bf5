//! Where a container has its volumes: mounts of file systems, and block devices.

use std::collections::HashSet;

use api::field::{Error, ErrorList, Path};
use k8s_openapi::api::core::v1::{Container, VolumeMount};

use super::absent::{is_true, list, text};
use super::rules::{descending_path, no_backsteps, present, supported};
use super::volumes::Volumes;

const PROPAGATIONS: &[&str] = &["Bidirectional", "HostToContainer", "None"];
const RECURSIVE_READ_ONLY: &[&str] = &["Disabled", "Enabled", "IfPossible"];

pub(super) fn validate_mounts(container: &Container, volumes: &Volumes<'_>, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let devices = list(&container.volume_devices);
    let mut mount_paths = HashSet::new();
    for (i, mount) in list(&container.volume_mounts).iter().enumerate() {
        // Upstream leaves the index out of some paths.
        let list_path = path;
        let path = path.index(i);
        let (name_path, mount_path) = (path.child("name"), path.child("mountPath"));
        errors.extend(present(&mount.name, &name_path));
        if volumes.get(&mount.name).is_none() {
            errors.push(Error::not_found(&name_path, &mount.name));
        }
        errors.extend(present(&mount.mount_path, &mount_path));
        if !mount_paths.insert(&mount.mount_path) {
            errors.push(Error::invalid(&mount_path, &mount.mount_path, "must be unique"));
        }
        if devices.iter().any(|device| device.name == mount.name) {
            errors.push(Error::invalid(&name_path, &mount.name, "must not already exist in volumeDevices"));
        }
        if devices.iter().any(|device| device.device_path == mount.mount_path) {
            let detail = "must not already exist as a path in volumeDevices";
            errors.push(Error::invalid(&mount_path, &mount.mount_path, detail));
        }
        errors.extend(validate_sub_paths(mount, list_path, &path));
        errors.extend(validate_propagation(mount, container, &list_path.child("mountPropagation")));
        errors.extend(validate_recursive_read_only(mount, &list_path.child("recursiveReadOnly")));
    }
    errors
}

pub(super) fn validate_devices(container: &Container, volumes: &Volumes<'_>, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mounts = list(&container.volume_mounts);
    let (mut names, mut device_paths) = (HashSet::new(), HashSet::new());
    for (i, device) in list(&container.volume_devices).iter().enumerate() {
        let path = path.index(i);
        let (name_path, device_path) = (path.child("name"), path.child("devicePath"));
        errors.extend(present(&device.name, &name_path));
        if !device.name.is_empty() && !names.insert(&device.name) {
            errors.push(Error::invalid(&name_path, &device.name, "must be unique"));
        }
        match volumes.get(&device.name) {
            Some(volume) if volume.persistent_volume_claim.is_none() && volume.ephemeral.is_none() => {
                let detail = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode";
                errors.push(Error::invalid(&name_path, &device.name, detail));
            }
            Some(_) => {}
            None => errors.push(Error::not_found(&name_path, &device.name)),
        }
        errors.extend(present(&device.device_path, &device_path));
        if device_paths.contains(&device.device_path) {
            errors.push(Error::invalid(&device_path, &device.device_path, "must be unique"));
        }
        if no_backsteps(&device.device_path, &device_path).is_some() {
            errors.push(Error::invalid(&device_path, &device.device_path, "can not contain backsteps ('..')"));
        } else {
            device_paths.insert(&device.device_path);
        }
        if mounts.iter().any(|mount| mount.name == device.name) {
            errors.push(Error::invalid(&name_path, &device.name, "must not already exist in volumeMounts"));
        }
        if mounts.iter().any(|mount| mount.mount_path == device.device_path) {
            let detail = "must not already exist as a path in volumeMounts";
            errors.push(Error::invalid(&device_path, &device.device_path, detail));
        }
    }
    errors
}

fn validate_sub_paths(mount: &VolumeMount, list_path: &Path, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let (sub_path, expression) = (text(&mount.sub_path), text(&mount.sub_path_expr));
    if !sub_path.is_empty() {
        errors.extend(descending_path(sub_path, &list_path.child("subPath")));
    }
    if !expression.is_empty() {
        if !sub_path.is_empty() {
            let detail = "subPathExpr and subPath are mutually exclusive";
            errors.push(Error::invalid(&path.child("subPathExpr"), expression, detail));
        }
        errors.extend(descending_path(expression, &list_path.child("subPathExpr")));
    }
    errors
}

fn validate_propagation(mount: &VolumeMount, container: &Container, path: &Path) -> Option<Error> {
    let propagation = mount.mount_propagation.as_deref()?;
    let privileged = container.security_context.as_ref().is_some_and(|context| is_true(context.privileged));
    if propagation == "Bidirectional" && !privileged {
        let detail = "Bidirectional mount propagation is available only to privileged containers";
        return Some(Error::forbidden(path, detail));
    }
    supported(propagation, PROPAGATIONS, path)
}

fn validate_recursive_read_only(mount: &VolumeMount, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    match mount.recursive_read_only.as_deref() {
        None | Some("Disabled") => {}
        Some("Enabled" | "IfPossible") => {
            if !is_true(mount.read_only) {
                errors.push(Error::forbidden(path, "may only be specified when readOnly is true"));
            }
            if mount.mount_propagation.as_deref().is_some_and(|propagation| propagation != "None") {
                let detail = "may only be specified when mountPropagation is None or not specified";
                errors.push(Error::forbidden(path, detail));
            }
        }
        Some(other) => errors.extend(supported(other, RECURSIVE_READ_ONLY, path)),
    }
    errors
}
