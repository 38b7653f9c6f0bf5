//! Seccomp and AppArmor profiles, as fields and as the annotations that were before.

use std::collections::BTreeMap;

use api::field::{BadValue, Error, ErrorList, Path};
use k8s_openapi::api::core::v1::{AppArmorProfile, PodSpec, SeccompProfile};
use serde::Serialize;

use super::containers;
use super::rules::{descending_path, one_of, supported};

/// The annotation with the seccomp profile of a pod.
pub(super) const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
/// What annotations with the seccomp profile of a container start with.
pub(super) const SECCOMP_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";
/// What annotations with the AppArmor profile of a container start with.
pub(super) const APP_ARMOR_CONTAINER: &str = "container.apparmor.security.beta.kubernetes.io/";

const TYPES: &[&str] = &["Localhost", "RuntimeDefault", "Unconfined"];
/// Longest path on Linux, without the zero byte at its end.
const MAX_PROFILE_BYTES: usize = 4095;

/// A profile as upstream shows it, which is by the names of its Go fields.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Shown<'a> {
    r#type: &'a str,
    localhost_profile: Option<&'a str>,
}

impl<'a> From<&'a SeccompProfile> for Shown<'a> {
    fn from(profile: &'a SeccompProfile) -> Self {
        Self { r#type: &profile.type_, localhost_profile: profile.localhost_profile.as_deref() }
    }
}

impl<'a> From<&'a AppArmorProfile> for Shown<'a> {
    fn from(profile: &'a AppArmorProfile) -> Self {
        Self { r#type: &profile.type_, localhost_profile: profile.localhost_profile.as_deref() }
    }
}

pub(super) fn validate_seccomp(profile: &SeccompProfile, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if profile.type_.is_empty() {
        errors.push(Error::required(&path.child("type"), "type is required when seccompProfile is set"));
    } else {
        errors.extend(one_of(&profile.type_, TYPES, &path.child("type")));
    }
    let path = path.child("localhostProfile");
    match (&*profile.type_, &profile.localhost_profile) {
        ("Localhost", None) => errors.push(Error::required(&path, "must be set when seccomp type is Localhost")),
        ("Localhost", Some(file)) => errors.extend(descending_path(file, &path)),
        (_, None) => {}
        (_, Some(_)) => {
            let detail = "can only be set when seccomp type is Localhost";
            errors.push(Error::invalid(&path, BadValue::json(&Shown::from(profile)), detail));
        }
    }
    errors
}

pub(super) fn validate_app_armor(profile: &AppArmorProfile, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let (type_path, path) = (path.child("type"), path.child("localhostProfile"));
    let missing = "must be set when AppArmor type is Localhost";
    match (&*profile.type_, profile.localhost_profile.as_deref()) {
        ("Localhost", None) => errors.push(Error::required(&path, missing)),
        ("Localhost", Some(name)) => {
            if name.trim() != name {
                errors.push(Error::invalid(&path, name, "must not be padded with whitespace"));
            } else if name.is_empty() {
                errors.push(Error::required(&path, missing));
            }
            if name.len() > MAX_PROFILE_BYTES {
                errors.push(Error::too_long(&path, MAX_PROFILE_BYTES));
            }
        }
        ("RuntimeDefault" | "Unconfined", None) => {}
        ("RuntimeDefault" | "Unconfined", Some(name)) => {
            errors.push(Error::invalid(&path, name, "can only be set when AppArmor type is Localhost"));
        }
        ("", _) => errors.push(Error::required(&type_path, "type is required when appArmorProfile is set")),
        (other, _) => errors.extend(supported(other, TYPES, &type_path)),
    }
    errors
}

/// The annotations by themselves.
pub(super) fn validate_annotations(annotations: &BTreeMap<String, String>, spec: &PodSpec, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (key, profile) in annotations {
        if key == SECCOMP_POD || key.starts_with(SECCOMP_CONTAINER) {
            errors.extend(validate_seccomp_annotation(profile, &path.child(key)));
        }
    }
    for (key, profile) in annotations {
        let Some(container) = key.strip_prefix(APP_ARMOR_CONTAINER) else { continue };
        let path = path.key(key);
        if !containers::each(spec, &Path::nil()).any(|(_, other)| other.name == container) {
            errors.push(Error::invalid(&path, container, "container not found"));
        }
        let is_known = matches!(&**profile, "" | "runtime/default" | "unconfined");
        if !is_known && !profile.starts_with("localhost/") {
            let detail = format!("invalid AppArmor profile name: {}", api::field::go_quote(profile));
            errors.push(Error::invalid(&path, profile, detail));
        }
    }
    errors
}

/// That seccomp annotations say what the fields say.
pub(super) fn validate_seccomp_match(annotations: &BTreeMap<String, String>, spec: &PodSpec, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut check = |key: &str, profile: Option<&SeccompProfile>, path: &Path| {
        let (Some(annotation), Some(profile)) = (annotations.get(key), profile) else { return };
        let path = path.child("securityContext").child("seccompProfile");
        let defaults = &["runtime/default", "docker/default"];
        let shown = Shown::from(profile);
        errors.extend(mismatch(annotation, &shown, defaults, "seccomp", &path));
    };
    check(SECCOMP_POD, spec.security_context.as_ref().and_then(|context| context.seccomp_profile.as_ref()), path);
    for (path, container) in containers::each(spec, path) {
        let profile = container.security_context.as_ref().and_then(|context| context.seccomp_profile.as_ref());
        check(&format!("{SECCOMP_CONTAINER}{}", container.name), profile, &path);
    }
    errors
}

/// That AppArmor annotations say what the fields say, on creation.
pub(super) fn validate_app_armor_match(
    annotations: &BTreeMap<String, String>,
    spec: &PodSpec,
    path: &Path,
) -> ErrorList {
    let mut errors = ErrorList::new();
    if spec.os.as_ref().is_some_and(|os| os.name == "windows") {
        return errors;
    }
    let of_pod = spec.security_context.as_ref().and_then(|context| context.app_armor_profile.as_ref());
    for (path, container) in containers::each(spec, path) {
        let own = container.security_context.as_ref().and_then(|context| context.app_armor_profile.as_ref());
        let annotation = annotations.get(&format!("{APP_ARMOR_CONTAINER}{}", container.name));
        let (Some(annotation), Some(profile)) = (annotation, own.or(of_pod)) else { continue };
        let path = path.child("securityContext").child("appArmorProfile");
        errors.extend(mismatch(annotation, &Shown::from(profile), &["runtime/default"], "apparmor", &path));
    }
    errors
}

fn mismatch(annotation: &str, profile: &Shown<'_>, defaults: &[&str], subject: &str, path: &Path) -> Option<Error> {
    let type_matches = match profile.r#type {
        "Unconfined" => annotation == "unconfined",
        "RuntimeDefault" => defaults.contains(&annotation),
        "Localhost" => match annotation.strip_prefix("localhost/") {
            Some(file) if profile.localhost_profile == Some(file) => true,
            Some(_) => {
                let detail = format!("{subject} profile in annotation and field must match");
                return Some(Error::forbidden(&path.child("localhostProfile"), detail));
            }
            None => false,
        },
        _ => true,
    };
    let detail = || format!("{subject} type in annotation and field must match");
    (!type_matches).then(|| Error::forbidden(&path.child("type"), detail()))
}

fn validate_seccomp_annotation(profile: &str, path: &Path) -> ErrorList {
    match profile {
        "runtime/default" | "docker/default" | "unconfined" => ErrorList::new(),
        _ => match profile.strip_prefix("localhost/") {
            Some(file) => descending_path(file, path),
            None => Error::invalid(path, profile, "must be a valid seccomp profile").into(),
        },
    }
}
