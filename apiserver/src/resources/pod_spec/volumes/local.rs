//! Volumes on the node itself.

use api::field::{Error, ErrorList, Path};
use api::quantity::Quantity;
use k8s_openapi::api::core::v1::{EmptyDirVolumeSource, GitRepoVolumeSource, HostPathVolumeSource};

use super::super::absent::text;
use super::super::rules::{descending_path, no_backsteps, present, supported};

const HOST_PATH_TYPES: &[&str] =
    &["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];

pub(super) fn empty_dir(source: &EmptyDirVolumeSource, path: &Path) -> ErrorList {
    let Some(limit) = &source.size_limit else { return ErrorList::new() };
    let is_valid = Quantity::try_from(limit).is_ok_and(|limit| limit.signum() >= 0);
    let detail = "SizeLimit field must be a valid resource quantity";
    (!is_valid).then(|| Error::forbidden(&path.child("sizeLimit"), detail)).into_iter().collect()
}

pub(in crate::resources) fn host_path(source: &HostPathVolumeSource, path: &Path) -> ErrorList {
    let host_path = path.child("path");
    if let Some(missing) = present(&source.path, &host_path) {
        return missing.into();
    }
    let backsteps = no_backsteps(&source.path, &host_path);
    let kind = source.type_.as_deref().and_then(|kind| supported(kind, HOST_PATH_TYPES, &path.child("type")));
    backsteps.into_iter().chain(kind).collect()
}

pub(super) fn git_repo(source: &GitRepoVolumeSource, path: &Path) -> ErrorList {
    let mut errors = descending_path(text(&source.directory), &path.child("directory"));
    if let Some(missing) = present(&source.repository, &path.child("repository")) {
        errors = std::iter::once(missing).chain(errors).collect();
    }
    errors
}
