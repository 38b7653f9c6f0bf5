//! Security contexts of pods and containers: users and groups, sysctls, policies, privileges.

use std::collections::HashSet;

use api::field::{Error, ErrorList, Path};
use api::names;
use k8s_openapi::api::core::v1::{PodSpec, SecurityContext, Sysctl};

use super::absent::{is_true, list};
use super::options::Options;
use super::profiles;
use super::rules::{present, supported};
use super::shown::security_context as shown;
use super::windows;

const SYSCTL_MAX_BYTES: usize = 253;
const SYSCTL_RULE: &str = "must have at most 253 characters and match regex \
                           ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";

pub(super) fn validate_pod(spec: &PodSpec, options: &Options, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let Some(context) = &spec.security_context else { return errors };
    errors.extend(validate_id(context.fs_group, names::group_id, &path.child("fsGroup")));
    errors.extend(validate_id(context.run_as_user, names::user_id, &path.child("runAsUser")));
    errors.extend(validate_id(context.run_as_group, names::group_id, &path.child("runAsGroup")));
    for (i, group) in list(&context.supplemental_groups).iter().enumerate() {
        errors.extend(validate_id(Some(*group), names::group_id, &path.child("supplementalGroups").index(i)));
    }
    if is_true(spec.share_process_namespace) && is_true(spec.host_pid) {
        let detail = "ShareProcessNamespace and HostPID cannot both be enabled";
        errors.push(Error::invalid(&path.child("shareProcessNamespace"), true, detail));
    }
    errors.extend(validate_sysctls(list(&context.sysctls), spec, options, &path.child("sysctls")));
    let choice = |field: &str, value: &Option<String>, choices: &[&str]| {
        value.as_deref().and_then(|value| supported(value, choices, &path.child(field)))
    };
    errors.extend(choice("fsGroupChangePolicy", &context.fs_group_change_policy, &["Always", "OnRootMismatch"]));
    if let Some(profile) = &context.seccomp_profile {
        errors.extend(profiles::validate_seccomp(profile, &path.child("seccompProfile")));
    }
    if let Some(options) = &context.windows_options {
        errors.extend(windows::validate_options(options, &path.child("windowsOptions")));
    }
    if let Some(profile) = &context.app_armor_profile {
        errors.extend(profiles::validate_app_armor(profile, &path.child("appArmorProfile")));
    }
    errors.extend(choice("supplementalGroupsPolicy", &context.supplemental_groups_policy, &["Merge", "Strict"]));
    errors.extend(choice("seLinuxChangePolicy", &context.se_linux_change_policy, &["MountOption", "Recursive"]));
    errors
}

pub(super) fn validate_container(context: &SecurityContext, host_users: bool, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    errors.extend(validate_id(context.run_as_user, names::user_id, &path.child("runAsUser")));
    errors.extend(validate_id(context.run_as_group, names::group_id, &path.child("runAsGroup")));
    if let Some(mount) = &context.proc_mount {
        let path = path.child("procMount");
        errors.extend(supported(mount, &["Default", "Unmasked"], &path));
        if host_users && mount == "Unmasked" {
            errors.push(Error::invalid(&path, mount, "`hostUsers` must be false to use `Unmasked`"));
        }
    }
    if let Some(profile) = &context.seccomp_profile {
        errors.extend(profiles::validate_seccomp(profile, &path.child("seccompProfile")));
    }
    if context.allow_privilege_escalation == Some(false) {
        if is_true(context.privileged) {
            let detail = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
            errors.push(Error::invalid(path, shown(context), detail));
        }
        let added = context.capabilities.as_ref().map_or(&[][..], |capabilities| list(&capabilities.add));
        for _ in added.iter().filter(|capability| *capability == "CAP_SYS_ADMIN") {
            let detail = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
            errors.push(Error::invalid(path, shown(context), detail));
        }
    }
    if let Some(options) = &context.windows_options {
        errors.extend(windows::validate_options(options, &path.child("windowsOptions")));
    }
    if let Some(profile) = &context.app_armor_profile {
        errors.extend(profiles::validate_app_armor(profile, &path.child("appArmorProfile")));
    }
    errors
}

/// Whether the pod sets sysctls of a namespace that it shares with the host.
pub(super) fn uses_host_sysctls(spec: &PodSpec) -> bool {
    let sysctls = spec.security_context.as_ref().map_or(&[][..], |context| list(&context.sysctls));
    sysctls.iter().any(|sysctl| shared_namespace(&sysctl.name, spec).is_some())
}

fn validate_id(id: Option<i64>, rule: fn(i64) -> Vec<String>, path: &Path) -> ErrorList {
    let Some(id) = id else { return ErrorList::new() };
    rule(id).into_iter().map(|message| Error::invalid(path, id, message)).collect()
}

fn validate_sysctls(sysctls: &[Sysctl], spec: &PodSpec, options: &Options, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen = HashSet::new();
    for (i, Sysctl { name, .. }) in sysctls.iter().enumerate() {
        let path = path.index(i).child("name");
        let first = seen.insert(name);
        errors.extend(present(name, &path));
        if !name.is_empty() && !is_sysctl_name(name) {
            errors.push(Error::invalid(&path, name, SYSCTL_RULE));
        } else if !name.is_empty() && !first {
            errors.push(Error::duplicate(&path, name));
        }
        if let Some(namespace) = shared_namespace(name, spec).filter(|_| !options.allow_host_sysctls) {
            errors.push(Error::invalid(&path, name, format!("may not be specified when '{namespace}' is true")));
        }
    }
    errors
}

fn is_sysctl_name(name: &str) -> bool {
    let is_segment = |segment: &str| {
        let is_edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let is_inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
        is_edge(segment.bytes().next()) && is_edge(segment.bytes().next_back()) && segment.bytes().all(is_inner)
    };
    name.len() <= SYSCTL_MAX_BYTES && name.split(['.', '/']).all(is_segment)
}

/// The field of the spec by which the pod shares the namespace of the sysctl with the host.
fn shared_namespace(name: &str, spec: &PodSpec) -> Option<&'static str> {
    // In a name whose first separator is a slash, dots and slashes have changed places.
    let name = match name.find(['.', '/']) {
        Some(at) if name.as_bytes()[at] == b'/' => name
            .chars()
            .map(|c| {
                if c == '/' {
                    '.'
                } else if c == '.' {
                    '/'
                } else {
                    c
                }
            })
            .collect(),
        _ => name.to_owned(),
    };
    let of_ipc = name == "kernel.sem"
        || ["kernel.shm", "kernel.msg", "fs.mqueue."].iter().any(|prefix| name.starts_with(prefix));
    if is_true(spec.host_network) && name.starts_with("net.") {
        Some("hostNetwork")
    } else if is_true(spec.host_ipc) && of_ipc {
        Some("hostIPC")
    } else {
        None
    }
}
