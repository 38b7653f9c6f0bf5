//! Volumes of small files that the API server has the content of: secrets, config maps, the downward API, tokens.

use std::collections::HashSet;

use api::field::{Error, ErrorList, Path};
use k8s_openapi::api::core::v1::{
    ConfigMapVolumeSource, DownwardAPIVolumeFile, DownwardAPIVolumeSource, KeyToPath, ProjectedVolumeSource,
    SecretVolumeSource, ServiceAccountTokenProjection, VolumeProjection,
};

use super::super::absent::{list, text};
use super::super::options::Options;
use super::super::references;
use super::super::rules::{file_mode, local_path, present};

const MIN_TOKEN_SECONDS: i64 = 10 * 60;
const MAX_TOKEN_SECONDS: i64 = 1 << 32;

pub(super) fn secret(source: &SecretVolumeSource, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    errors.extend(present(text(&source.secret_name), &path.child("secretName")));
    errors.extend(file_mode(source.default_mode, &path.child("defaultMode")));
    errors.extend(validate_items(list(&source.items), &path.child("items")));
    errors
}

pub(super) fn config_map(source: &ConfigMapVolumeSource, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    errors.extend(present(&source.name, &path.child("name")));
    errors.extend(file_mode(source.default_mode, &path.child("defaultMode")));
    errors.extend(validate_items(list(&source.items), &path.child("items")));
    errors
}

pub(super) fn downward_api(source: &DownwardAPIVolumeSource, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    errors.extend(file_mode(source.default_mode, &path.child("defaultMode")));
    // Upstream leaves the items out of the paths.
    errors.extend(list(&source.items).iter().flat_map(|file| validate_file(file, path)));
    errors
}

pub(super) fn projected(source: &ProjectedVolumeSource, options: &Options, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    errors.extend(file_mode(source.default_mode, &path.child("defaultMode")));
    let mut paths = HashSet::new();
    for (i, projection) in list(&source.sources).iter().enumerate() {
        let source_path = path.child("sources").index(i);
        errors.extend(validate_projection(projection, &mut paths, options, path, &source_path));
        let sources = [
            projection.secret.is_some(),
            projection.config_map.is_some(),
            projection.downward_api.is_some(),
            projection.service_account_token.is_some(),
            projection.cluster_trust_bundle.is_some(),
            projection.pod_certificate.is_some(),
        ];
        if sources.into_iter().filter(|is_set| *is_set).count() > 1 {
            errors.push(Error::forbidden(&source_path, "may not specify more than 1 volume type per source"));
        }
    }
    errors
}

/// `paths` are those of all sources so far; no two may share one. `path` is the volume's, where conflicts are reported.
fn validate_projection<'a>(
    projection: &'a VolumeProjection,
    paths: &mut HashSet<&'a str>,
    options: &Options,
    path: &Path,
    source_path: &Path,
) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut claim = |file: &'a str, shown: &str| {
        let is_taken = !file.is_empty() && !paths.insert(file);
        is_taken.then(|| Error::invalid(path, shown, "conflicting duplicate paths"))
    };
    let secret = projection.secret.as_ref().map(|source| ("secret", &source.name, &source.items));
    let config_map = projection.config_map.as_ref().map(|source| ("configMap", &source.name, &source.items));
    for (field, name, items) in secret.into_iter().chain(config_map) {
        let source_path = source_path.child(field);
        errors.extend(present(name, &source_path.child("name")));
        for (i, item) in list(items).iter().enumerate() {
            errors.extend(validate_item(item, &source_path.child("items").index(i)));
            errors.extend(claim(&item.path, name));
        }
    }
    if let Some(source) = &projection.downward_api {
        for file in list(&source.items) {
            errors.extend(validate_file(file, &source_path.child("downwardAPI")));
            errors.extend(claim(&file.path, &file.path));
        }
    }
    if let Some(source) = &projection.service_account_token {
        errors.extend(validate_token(source, options, path, &source_path.child("serviceAccountToken")));
    }
    errors
}

fn validate_token(source: &ServiceAccountTokenProjection, options: &Options, path: &Path, own: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let seconds = source.expiration_seconds.unwrap_or_default();
    let seconds_path = own.child("expirationSeconds");
    if seconds < MIN_TOKEN_SECONDS {
        errors.push(Error::invalid(&seconds_path, seconds, "may not specify a duration less than 10 minutes"));
    }
    if seconds > MAX_TOKEN_SECONDS {
        errors.push(Error::invalid(&seconds_path, seconds, "may not specify a duration larger than 2^32 seconds"));
    }
    let file_path = path.child("path");
    match present(&source.path, &file_path) {
        Some(missing) => errors.push(missing),
        None if options.allow_non_local_token_path => {}
        None => errors.extend(local_path(&source.path, &file_path)),
    }
    errors
}

fn validate_items(items: &[KeyToPath], path: &Path) -> ErrorList {
    items.iter().enumerate().flat_map(|(i, item)| validate_item(item, &path.index(i))).collect()
}

fn validate_item(item: &KeyToPath, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    errors.extend(present(&item.key, &path.child("key")));
    errors.extend(present(&item.path, &path.child("path")));
    errors.extend(local_path(&item.path, &path.child("path")));
    errors.extend(file_mode(item.mode, &path.child("mode")));
    errors
}

fn validate_file(file: &DownwardAPIVolumeFile, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    errors.extend(present(&file.path, &path.child("path")));
    errors.extend(local_path(&file.path, &path.child("path")));
    match (&file.field_ref, &file.resource_field_ref) {
        (Some(field), resource) => {
            errors.extend(references::validate_field(field, references::VOLUME_FIELDS, &path.child("fieldRef")));
            if resource.is_some() {
                let detail = "fieldRef and resourceFieldRef can not be specified simultaneously";
                errors.push(Error::invalid(path, "resource", detail));
            }
        }
        (None, Some(resource)) => {
            errors.extend(references::validate_resource(resource, true, &path.child("resourceFieldRef")));
        }
        (None, None) => errors.push(Error::required(path, "one of fieldRef and resourceFieldRef is required")),
    }
    errors.extend(file_mode(file.mode, &path.child("mode")));
    errors
}
