//! The pod's operating system, and what can be set for which.

use api::field::{Error, ErrorList, Path};
use k8s_openapi::api::core::v1::{PodSpec, SecurityContext};

use super::absent::{is_true, list};
use super::containers;
use super::rules::supported;

pub(super) fn validate(spec: &PodSpec, path: &Path) -> ErrorList {
    match spec.os.as_ref().map(|os| &*os.name) {
        None => ErrorList::new(),
        Some("") => Error::required(&path.child("os").child("name"), "cannot be empty").into(),
        Some("linux") => validate_linux(spec, path),
        Some("windows") => validate_windows(spec, path),
        Some(other) => supported(other, &["linux", "windows"], &path.child("os")).into_iter().collect(),
    }
}

fn validate_linux(spec: &PodSpec, path: &Path) -> ErrorList {
    let of_pod = spec.security_context.as_ref().is_some_and(|context| context.windows_options.is_some());
    let of_containers = containers::each(spec, path).filter(|(_, container)| {
        container.security_context.as_ref().is_some_and(|context| context.windows_options.is_some())
    });
    let found = of_pod.then(|| path.clone()).into_iter().chain(of_containers.map(|(path, _)| path));
    let detail = "windows options cannot be set for a linux pod";
    found.map(|path| Error::forbidden(&path.child("securityContext").child("windowsOptions"), detail)).collect()
}

fn validate_windows(spec: &PodSpec, path: &Path) -> ErrorList {
    let context_path = path.child("securityContext");
    let context = spec.security_context.clone().unwrap_or_default();
    let fields = [
        (&context_path, "appArmorProfile", context.app_armor_profile.is_some()),
        (&context_path, "seLinuxOptions", context.se_linux_options.is_some()),
        (path, "hostUsers", spec.host_users.is_some()),
        (path, "hostPID", is_true(spec.host_pid)),
        (path, "hostIPC", is_true(spec.host_ipc)),
        (&context_path, "seccompProfile", context.seccomp_profile.is_some()),
        (&context_path, "fsGroup", context.fs_group.is_some()),
        (&context_path, "fsGroupChangePolicy", context.fs_group_change_policy.is_some()),
        (&context_path, "sysctls", !list(&context.sysctls).is_empty()),
        (path, "shareProcessNamespace", spec.share_process_namespace.is_some()),
        (&context_path, "runAsUser", context.run_as_user.is_some()),
        (&context_path, "runAsGroup", context.run_as_group.is_some()),
        (&context_path, "supplementalGroups", !list(&context.supplemental_groups).is_empty()),
        (&context_path, "supplementalGroupsPolicy", context.supplemental_groups_policy.is_some()),
        (&context_path, "seLinuxChangePolicy", context.se_linux_change_policy.is_some()),
    ];
    let mut errors: ErrorList =
        fields.into_iter().filter(|(_, _, is_set)| *is_set).map(|(path, field, _)| forbidden(path, field)).collect();
    for (path, container) in containers::each(spec, path) {
        if let Some(context) = &container.security_context {
            errors.extend(validate_windows_container(context, &path.child("securityContext")));
        }
    }
    errors
}

fn validate_windows_container(context: &SecurityContext, path: &Path) -> ErrorList {
    let fields = [
        ("appArmorProfile", context.app_armor_profile.is_some()),
        ("seLinuxOptions", context.se_linux_options.is_some()),
        ("seccompProfile", context.seccomp_profile.is_some()),
        ("capabilities", context.capabilities.is_some()),
        ("readOnlyRootFilesystem", context.read_only_root_filesystem.is_some()),
        ("privileged", context.privileged.is_some()),
        ("allowPrivilegeEscalation", context.allow_privilege_escalation.is_some()),
        ("procMount", context.proc_mount.is_some()),
        ("runAsUser", context.run_as_user.is_some()),
        ("runAsGroup", context.run_as_group.is_some()),
    ];
    fields.into_iter().filter(|(_, is_set)| *is_set).map(|(field, _)| forbidden(path, field)).collect()
}

fn forbidden(path: &Path, field: &str) -> Error {
    Error::forbidden(&path.child(field), "cannot be set for a windows pod")
}
