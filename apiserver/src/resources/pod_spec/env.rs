//! Environment variables and where their values come from.

use api::field::{Error, ErrorList, Path};
use api::names;
use k8s_openapi::api::core::v1::{
    ConfigMapKeySelector, EnvFromSource, EnvVar, EnvVarSource, FileKeySelector, PodSpec, SecretKeySelector,
};

use super::absent::{list, text};
use super::rules::{dns_label, dns_subdomain, named, no_backsteps, present};
use super::{containers, references};

pub(super) fn validate(variables: &[EnvVar], path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (i, variable) in variables.iter().enumerate() {
        let path = path.index(i);
        let name_path = path.child("name");
        match present(&variable.name, &name_path) {
            Some(missing) => errors.push(missing),
            None => errors.extend(named(&variable.name, names::relaxed_env_var_name(&variable.name), &name_path)),
        }
        if let Some(source) = &variable.value_from {
            errors.extend(validate_source(source, text(&variable.value), &path.child("valueFrom")));
        }
    }
    errors
}

pub(super) fn validate_from(sources: &[EnvFromSource], path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (i, source) in sources.iter().enumerate() {
        let list_path = path;
        let path = path.index(i);
        let prefix = text(&source.prefix);
        if !prefix.is_empty() {
            errors.extend(named(prefix, names::relaxed_env_var_name(prefix), &path.child("prefix")));
        }
        let config_map = source.config_map_ref.as_ref().map(|reference| (&reference.name, "configMapRef"));
        let secret = source.secret_ref.as_ref().map(|reference| (&reference.name, "secretRef"));
        for (name, field) in [&config_map, &secret].into_iter().flatten() {
            let path = path.child(field).child("name");
            match present(name, &path) {
                Some(missing) => errors.push(missing),
                None => errors.extend(named(name, names::object_dns_subdomain(name, true), &path)),
            }
        }
        match (config_map, secret) {
            (None, None) => {
                let detail = "must specify one of: `configMapRef` or `secretRef`";
                errors.push(Error::invalid(list_path, "", detail));
            }
            (Some(_), Some(_)) => {
                errors.push(Error::invalid(list_path, "", "may not have more than one field specified at a time"));
            }
            _ => {}
        }
    }
    errors
}

/// That files of environment variables are in volumes of the pod, and in empty directories.
pub(super) fn validate_file_volumes(spec: &PodSpec, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (path, container) in containers::each(spec, path) {
        for (i, variable) in list(&container.env).iter().enumerate() {
            let source = variable.value_from.as_ref().and_then(|source| source.file_key_ref.as_ref());
            let Some(FileKeySelector { volume_name, .. }) = source else { continue };
            let path = path.child("env").index(i).child("valueFrom").child("fileKeyRef").child("volumeName");
            match list(&spec.volumes).iter().rev().find(|volume| volume.name == *volume_name) {
                None => errors.push(Error::not_found(&path, volume_name)),
                Some(volume) if volume.empty_dir.is_none() => {
                    errors.push(Error::invalid(&path, volume_name, "referenced volume must be of type emptyDir"));
                }
                Some(_) => {}
            }
        }
    }
    errors
}

fn validate_source(source: &EnvVarSource, value: &str, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut sources = 0;
    if let Some(reference) = &source.field_ref {
        sources += 1;
        errors.extend(references::validate_field(reference, references::ENV_FIELDS, &path.child("fieldRef")));
    }
    if let Some(reference) = &source.resource_field_ref {
        sources += 1;
        errors.extend(references::validate_resource(reference, false, &path.child("resourceFieldRef")));
    }
    if let Some(ConfigMapKeySelector { name, key, .. }) = &source.config_map_key_ref {
        sources += 1;
        errors.extend(validate_key(name, key, &path.child("configMapKeyRef")));
    }
    if let Some(SecretKeySelector { name, key, .. }) = &source.secret_key_ref {
        sources += 1;
        errors.extend(validate_key(name, key, &path.child("secretKeyRef")));
    }
    if let Some(reference) = &source.file_key_ref {
        sources += 1;
        errors.extend(validate_file_key(reference, &path.child("fileKeyRef")));
    }
    let detail = match sources {
        0 => "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`",
        _ if !value.is_empty() => "may not be specified when `value` is not empty",
        1 => return errors,
        _ => "may not have more than one field specified at a time",
    };
    errors.push(Error::invalid(path, "", detail));
    errors
}

fn validate_key(name: &str, key: &str, path: &Path) -> ErrorList {
    let mut errors = dns_subdomain(name, &path.child("name"));
    let path = path.child("key");
    match present(key, &path) {
        Some(missing) => errors.push(missing),
        None => errors.extend(named(key, names::config_map_key(key), &path)),
    }
    errors
}

fn validate_file_key(reference: &FileKeySelector, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let key_path = path.child("key");
    match present(&reference.key, &key_path) {
        Some(missing) => errors.push(missing),
        None => errors.extend(named(&reference.key, names::relaxed_env_var_name(&reference.key), &key_path)),
    }
    let volume_path = path.child("volumeName");
    match present(&reference.volume_name, &volume_path) {
        Some(missing) => errors.push(missing),
        None => errors.extend(dns_label(&reference.volume_name, &volume_path)),
    }
    let file_path = path.child("path");
    errors.extend(present(&reference.path, &file_path).or_else(|| no_backsteps(&reference.path, &file_path)));
    errors
}
