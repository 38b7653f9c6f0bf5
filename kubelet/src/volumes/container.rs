//! What a container gets of its pod's volumes, as CRI is told of it.
//!
//! The order is the pod's: the runtime sorts mounts by depth itself. Messages are upstream's, and say nothing of the node's
//! file system where users must not learn of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{Container, VolumeMount};

use super::problem::Problem;
use super::set_up::{Measure, Mounted};
use super::{host_path, mounts, subpath, teardown};
use crate::cri::v1;

/// A mount of a container, and what has to be done first.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Wanted {
    pub mount: v1::Mount,
    /// The part of the volume that has to be bound.
    pub part: Option<Part>,
    /// The volume, if it has to pass on mounts. What is the node's own is as the node has it.
    pub sharing: Option<PathBuf>,
}

/// A part of a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// The volume's name in the pod.
    pub volume: String,
    /// Where the volume is.
    pub within: PathBuf,
    /// Which part it is.
    pub path: PathBuf,
    /// Where it is to be bound.
    pub target: PathBuf,
}

/// What a container's mounts come to. `subpaths` is where parts of the pod's volumes are bound; `variable` gives the values of
/// the container's environment.
pub(super) fn wanted(
    container: &Container,
    mounted: &BTreeMap<String, Mounted>,
    subpaths: &Path,
    recursive_read_only: bool,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<Wanted>, Problem> {
    let all = container.volume_mounts.iter().flatten().enumerate();
    let each = all.map(|(index, mount)| {
        let volume = mounted.get(&mount.name).filter(|volume| !volume.is_block).ok_or_else(|| {
            let (volume, container) = (&mount.name, &container.name);
            Problem::container(format!("cannot find volume \"{volume}\" to mount into container \"{container}\""))
        })?;
        if !teardown::is_name(&container.name) {
            return Err(Problem::container(format!(
                "the container's name {:?} is no name of a directory",
                container.name
            )));
        }
        let part = part_of(mount, variable).map_err(Problem::container)?.map(|path| Part {
            volume: mount.name.clone(),
            within: volume.path.clone(),
            path,
            target: subpaths.join(&volume.inner).join(&container.name).join(index.to_string()),
        });
        let host_path = part.as_ref().map_or(&volume.path, |part| &part.target);
        let propagation = propagation(mount).map_err(Problem::container)?;
        let is_shared = propagation != v1::MountPropagation::PropagationPrivate;
        let sharing = Some(&volume.path).filter(|_| is_shared && part.is_none() && volume.measure != Measure::Nothing);
        let sharing = sharing.cloned();
        let mount = v1::Mount {
            container_path: absolute(&mount.mount_path),
            host_path: host_path.to_string_lossy().into_owned(),
            readonly: mount.read_only == Some(true) || volume.read_only,
            propagation: propagation.into(),
            recursive_read_only: is_recursive(mount, recursive_read_only).map_err(Problem::container)?,
            ..v1::Mount::default()
        };
        Ok(Wanted { mount, part, sharing })
    });
    each.collect()
}

/// What a container's devices come to.
pub(super) fn devices(container: &Container, mounted: &BTreeMap<String, Mounted>) -> Result<Vec<v1::Device>, Problem> {
    let each = container.volume_devices.iter().flatten().map(|device| {
        let volume = mounted.get(&device.name).filter(|volume| volume.is_block).ok_or_else(|| {
            let (volume, container) = (&device.name, &container.name);
            Problem::container(format!("cannot find volume \"{volume}\" to pass into container \"{container}\""))
        })?;
        Ok(v1::Device {
            container_path: device.device_path.clone(),
            host_path: volume.path.to_string_lossy().into_owned(),
            permissions: if volume.read_only { "r" } else { "mrw" }.to_owned(),
        })
    });
    each.collect()
}

fn absolute(path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("/{path}") }
}

/// The part of the volume that is mounted; `None` for all of it.
fn part_of(mount: &VolumeMount, variable: &dyn Fn(&str) -> Option<String>) -> Result<Option<PathBuf>, String> {
    let expression = mount.sub_path_expr.as_deref().filter(|expression| !expression.is_empty());
    let path = match expression {
        Some(expression) => expand(expression, variable)?,
        None => mount.sub_path.clone().unwrap_or_default(),
    };
    if path.is_empty() {
        return Ok(None);
    }
    if path.starts_with('/') {
        return Err(format!("error SubPath `{path}` must not be an absolute path"));
    }
    if host_path::leads_upwards(&path) {
        return Err(format!("unable to provision SubPath `{path}`: must not contain '..'"));
    }
    Ok(Some(PathBuf::from(path)))
}

/// Replaces each `$(NAME)` by a variable's value; `$$` is a dollar sign.
fn expand(expression: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let (mut expanded, mut rest) = (String::new(), expression);
    while let Some(at) = rest.find('$') {
        expanded.push_str(&rest[..at]);
        let behind = &rest[at + 1..];
        let name = behind.strip_prefix('(').and_then(|behind| behind.split_once(')'));
        rest = match name {
            Some((name, behind)) => {
                let value = variable(name).ok_or_else(|| format!("missing value for {name:?}"))?;
                expanded.push_str(&value);
                behind
            }
            None => {
                expanded.push('$');
                behind.strip_prefix('$').unwrap_or(behind)
            }
        };
    }
    expanded.push_str(rest);
    Ok(expanded)
}

fn propagation(mount: &VolumeMount) -> Result<v1::MountPropagation, String> {
    match mount.mount_propagation.as_deref() {
        None | Some("" | "None") => Ok(v1::MountPropagation::PropagationPrivate),
        Some("HostToContainer") => Ok(v1::MountPropagation::PropagationHostToContainer),
        Some("Bidirectional") => Ok(v1::MountPropagation::PropagationBidirectional),
        Some(other) => Err(format!("invalid MountPropagation mode: {other:?}")),
    }
}

/// Whether what is mounted below can only be read either.
fn is_recursive(mount: &VolumeMount, is_supported: bool) -> Result<bool, String> {
    let name = &mount.name;
    let mode = match mount.recursive_read_only.as_deref() {
        None | Some("" | "Disabled") => return Ok(false),
        Some(mode) => mode,
    };
    if mount.read_only != Some(true) {
        return Err(format!("volume \"{name}\" requested recursive read-only mode, but it is not read-only"));
    }
    if let Some(propagation) = mount.mount_propagation.as_deref().filter(|mode| !matches!(*mode, "" | "None")) {
        return Err(format!(
            "volume \"{name}\" requested recursive read-only mode, but it is not compatible with propagation \"{propagation}\""
        ));
    }
    match mode {
        "IfPossible" => Ok(is_supported),
        "Enabled" if is_supported => Ok(true),
        "Enabled" => {
            Err(format!("volume \"{name}\" requested recursive read-only mode, but it is not supported by the runtime"))
        }
        _ => Err(format!("unknown recursive read-only mode \"{mode}\"")),
    }
}

impl Wanted {
    /// Does what has to be done before the container is made. Blocks.
    pub(super) fn make_ready(&self, container: &str) -> Result<(), Problem> {
        if let Some(volume) = &self.sharing {
            mounts::share(volume).map_err(|error| {
                Problem::container(format!("cannot have {} pass on mounts: {error}", volume.display()))
            })?;
        }
        self.part.as_ref().map_or(Ok(()), |part| bind(part, container))
    }
}

/// Binds a part of a volume to where the container gets it from.
fn bind(part: &Part, container: &str) -> Result<(), Problem> {
    let volume = &part.volume;
    // What exactly is wrong could tell of the node's file system.
    let found = subpath::find_or_make(&part.within, &part.path).map_err(|error| {
        tracing::warn!(%error, volume, container, "a subPath could not be found or made");
        // What is there and leads out of the volume is not to be made.
        let what = if error.kind() == std::io::ErrorKind::CrossesDevices {
            "prepare subPath"
        } else {
            "create subPath directory"
        };
        Problem::container(format!("failed to {what} for volumeMount \"{volume}\" of container \"{container}\""))
    })?;
    found.bind(&part.target).map_err(|error| {
        tracing::warn!(%error, volume, container, "a subPath could not be bound");
        Problem::container(format!(
            "failed to prepare subPath for volumeMount \"{volume}\" of container \"{container}\""
        ))
    })
}

#[cfg(test)]
mod tests;
