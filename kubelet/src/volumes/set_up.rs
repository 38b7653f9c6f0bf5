//! Makes a pod's volumes on the disk. All of this blocks, and may be done again.

use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use client::clock::Clock;
use k8s_openapi::api::core::v1::{Pod, Volume};
use rustix::mount::MountFlags;

use super::claims::{Claimed, Place};
use super::empty_dir::{self, Medium};
use super::ownership::Ownership;
use super::prepare::{EMPTY_DIR, LOCAL, Prepared, group_of};
use super::problem::Problem;
use super::{atomic, host_path, kinds, mounts};
use crate::paths::Paths;

/// A volume that is ready.
#[derive(Clone, Debug)]
pub(super) struct Mounted {
    /// Where it is on the node.
    pub path: PathBuf,
    /// What it is called on the disk: the persistent volume's name, or the volume's.
    pub inner: String,
    /// Whether containers may only read it.
    pub read_only: bool,
    /// Whether it is a device.
    pub is_block: bool,
    /// The claim that it stands for.
    pub claim: Option<String>,
    /// The group that its content is of, if it says so.
    pub group: Option<i64>,
    /// How its use is found out.
    pub measure: Measure,
    /// Whether its use counts as the pod's ephemeral storage.
    pub is_ephemeral: bool,
}

/// How it is found out what a volume uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Measure {
    /// Not at all: it is the node's.
    Nothing,
    /// By what is in it.
    Content,
    /// By its file system, which is its own.
    FileSystem,
}

/// The pod that volumes are made for, and where.
pub(super) struct Site<'a> {
    pub paths: &'a Paths,
    pub pod: &'a Pod,
    pub uid: &'a str,
    pub clock: Clock,
}

impl Site<'_> {
    /// Makes a volume what it is to be.
    pub(super) fn set_up(&self, volume: &Volume, prepared: &Prepared) -> Result<Mounted, Problem> {
        let name = &volume.name;
        self.make_pod_directory().map_err(|error| Problem::set_up(name, error))?;
        let ready = |path: PathBuf| Mounted {
            path,
            inner: name.clone(),
            read_only: false,
            is_block: false,
            claim: None,
            group: None,
            measure: Measure::Content,
            is_ephemeral: kinds::is_local_ephemeral(volume),
        };
        match prepared {
            Prepared::Empty { medium, mode } => {
                let dir = self.paths.volume(self.uid, EMPTY_DIR, name);
                let made = empty_dir::make(&dir, &self.marker(name), *medium, *mode, self.ownership(false));
                made.map_err(|error| Problem::set_up(name, error))?;
                let measure = if *medium == Medium::Disk { Measure::Content } else { Measure::FileSystem };
                Ok(Mounted { measure, ..ready(dir) })
            }
            Prepared::Files { plugin, medium, payload } => {
                let dir = self.paths.volume(self.uid, plugin, name);
                let made = empty_dir::make(&dir, &self.marker(&format!("wrapped_{name}")), *medium, None, None);
                made.map_err(|error| Problem::set_up(name, error))?;
                let own = || self.ownership(true).map_or(Ok(()), |ownership| ownership.apply(&dir));
                let written = atomic::write(&dir, payload, self.clock.now(), &own);
                written.map_err(|error| Problem::set_up(name, error))?;
                Ok(Mounted { read_only: true, ..ready(dir) })
            }
            Prepared::HostPath { path, kind } => {
                host_path::check(path, kind).map_err(|error| Problem::set_up(name, error))?;
                Ok(Mounted { measure: Measure::Nothing, ..ready(PathBuf::from(path)) })
            }
            Prepared::Claimed { claimed, read_only } => {
                let (path, measure) = self.claimed(claimed, *read_only)?;
                Ok(Mounted {
                    inner: claimed.volume.clone(),
                    read_only: *read_only,
                    is_block: claimed.is_block,
                    claim: Some(claimed.claim.clone()),
                    group: claimed.group,
                    measure,
                    ..ready(path)
                })
            }
        }
    }

    fn make_pod_directory(&self) -> std::io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o750).create(self.paths.volumes(self.uid))?;
        // Whoever made it before: what is in volumes is not for every user of the node.
        fs::set_permissions(self.paths.pod(self.uid), Permissions::from_mode(0o750))
    }

    /// Where it is noted that an empty directory was made, in the place where upstream notes it.
    fn marker(&self, name: &str) -> PathBuf {
        let plugins = self.paths.pod(self.uid).join("plugins");
        plugins.join(EMPTY_DIR.replace('/', "~")).join(name).join("ready")
    }

    fn ownership(&self, read_only: bool) -> Option<Ownership> {
        group_of(self.pod).map(|group| Ownership { group, read_only, only_if_root_differs: false })
    }

    fn claimed(&self, claimed: &Claimed, read_only: bool) -> Result<(PathBuf, Measure), Problem> {
        let failed = |error: String| Problem::set_up(&claimed.volume, error);
        let unsupported = |why: String| Err(Problem::options(&claimed.volume, why));
        match &claimed.place {
            Place::HostPath { path, kind } => {
                if !claimed.options.is_empty() {
                    return unsupported(
                        "Mount options are not supported for volume type kubernetes.io/host-path".into(),
                    );
                }
                host_path::check(path, kind).map_err(|error| failed(error.to_string()))?;
                Ok((PathBuf::from(path), Measure::Nothing))
            }
            Place::Local { path } if claimed.is_block => {
                let is_device = fs::metadata(path).is_ok_and(|there| there.file_type().is_block_device());
                if !is_device {
                    return Err(Problem::map(&claimed.volume, format!("{path} is not a block device")));
                }
                Ok((PathBuf::from(path), Measure::Nothing))
            }
            Place::Local { path } => {
                let mut flags = match mounts::flags_of(&claimed.options) {
                    Ok(flags) => flags,
                    Err(option) => return unsupported(format!("{option:?} is no option of a directory that is bound")),
                };
                flags.set(MountFlags::RDONLY, read_only || flags.contains(MountFlags::RDONLY));
                let dir = self.local(&claimed.volume, path, flags).map_err(failed)?;
                Ok((dir, Measure::FileSystem))
            }
        }
    }

    /// Binds a directory of the node into the pod's own.
    fn local(&self, volume: &str, path: &str, flags: MountFlags) -> Result<PathBuf, String> {
        if host_path::leads_upwards(path) {
            return Err(format!("invalid path: {path} must not contain '..'"));
        }
        let there = fs::metadata(path).map_err(|_| format!("path {path:?} does not exist"))?;
        if !there.is_dir() {
            return Err(format!(
                "local volume path {path:?} is not a directory: mount what is on the device, and name the directory"
            ));
        }
        let dir = self.paths.volume(self.uid, LOCAL, volume);
        if mounts::at(&dir).map_err(|error| error.to_string())?.is_some() {
            return Ok(dir);
        }
        DirBuilder::new().recursive(true).mode(0o750).create(&dir).map_err(|error| error.to_string())?;
        let read_only = flags.contains(MountFlags::RDONLY);
        if let Some(group) = group_of(self.pod).filter(|_| !read_only) {
            let context = self.pod.spec.as_ref().and_then(|spec| spec.security_context.as_ref());
            let policy = context.and_then(|context| context.fs_group_change_policy.as_deref());
            let only_if_root_differs = policy == Some("OnRootMismatch");
            let ownership = Ownership { group, read_only, only_if_root_differs };
            ownership.apply(Path::new(path)).map_err(|error| error.to_string())?;
        }
        mounts::bind(Path::new(path), &dir, flags).map_err(|error| error.to_string())?;
        Ok(dir)
    }
}
