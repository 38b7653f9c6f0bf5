//! As whom containers run, and what they may do: what the pod says, unless the container says otherwise.

use std::path::{Component, Path};

use k8s_openapi::api::core::v1::{
    AppArmorProfile, Capabilities, Container, Pod, PodSecurityContext, SELinuxOptions, SeccompProfile, SecurityContext,
};

use super::{Image, Invalid, Node, described};
use crate::cri::v1::security_profile::ProfileType;
use crate::cri::v1::{
    Capability, Int64Value, LinuxContainerSecurityContext, LinuxSandboxSecurityContext, NamespaceMode, NamespaceOption,
    SeLinuxOption, SecurityProfile, SupplementalGroupsPolicy,
};
use crate::paths::Paths;

/// Before the container's name: the annotation that said which AppArmor profile it has, until there was a field.
const APPARMOR_ANNOTATION: &str = "container.apparmor.security.beta.kubernetes.io/";

/// What containers do not see of `/proc` and `/sys`, unless `procMount` is `Unmasked`.
const MASKED: &[&str] = &[
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];

/// What containers cannot write to, unless `procMount` is `Unmasked`.
const READ_ONLY: &[&str] = &["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// What a sandbox's first process may do, and which namespaces it makes.
pub(super) fn of_sandbox(pod: &Pod) -> LinuxSandboxSecurityContext {
    let of_pod = pod_level(pod);
    let number = |value: Option<i64>| value.map(|value| Int64Value { value });
    LinuxSandboxSecurityContext {
        namespace_options: Some(namespaces(pod)),
        selinux_options: of_pod.and_then(|context| context.se_linux_options.as_ref()).map(selinux),
        run_as_user: number(of_pod.and_then(|context| context.run_as_user)),
        run_as_group: number(of_pod.and_then(|context| context.run_as_group)),
        supplemental_groups: groups(of_pod, &[]),
        supplemental_groups_policy: groups_policy(of_pod),
        privileged: has_privileged_container(pod),
        // The sandbox does nothing that the runtime's own profile would forbid, whatever its containers do.
        seccomp: Some(profile(ProfileType::RuntimeDefault, "")),
        ..Default::default()
    }
}

/// As whom a container runs, and what it may do.
pub(super) fn of_container(
    pod: &Pod,
    container: &Container,
    image: &Image<'_>,
    further_groups: &[i64],
    node: &Node,
    paths: &Paths,
) -> Result<LinuxContainerSecurityContext, Invalid> {
    let (of_pod, own) = (pod_level(pod), container.security_context.as_ref());
    verify_not_root(pod, container, image)?;
    let unmasked = own.and_then(|own| own.proc_mount.as_deref()) == Some("Unmasked");
    let unless_unmasked = |paths: &[&str]| match unmasked {
        true => Vec::new(),
        false => paths.iter().map(|path| (*path).to_owned()).collect(),
    };
    let user = run_as_user(of_pod, own);
    let group = own.and_then(|own| own.run_as_group).or_else(|| of_pod.and_then(|context| context.run_as_group));
    let options = own
        .and_then(|own| own.se_linux_options.as_ref())
        .or_else(|| of_pod.and_then(|context| context.se_linux_options.as_ref()));
    let (uid, username) = match (user, image.uid, image.username) {
        (Some(user), _, _) => (Some(user), ""),
        (None, None, "") => (Some(0), ""),
        (None, uid, username) => (uid, username),
    };
    Ok(LinuxContainerSecurityContext {
        capabilities: own.and_then(|own| own.capabilities.as_ref()).map(capabilities),
        privileged: own.and_then(|own| own.privileged).unwrap_or(false),
        namespace_options: Some(namespaces(pod)),
        selinux_options: options.map(selinux),
        run_as_user: uid.map(|value| Int64Value { value }),
        run_as_group: group.map(|value| Int64Value { value }),
        run_as_username: username.to_owned(),
        readonly_rootfs: own.and_then(|own| own.read_only_root_filesystem).unwrap_or(false),
        supplemental_groups: groups(of_pod, further_groups),
        supplemental_groups_policy: groups_policy(of_pod),
        no_new_privs: own.and_then(|own| own.allow_privilege_escalation) == Some(false),
        masked_paths: unless_unmasked(MASKED),
        readonly_paths: unless_unmasked(READ_ONLY),
        seccomp: Some(seccomp(of_pod, own, node, paths)?),
        apparmor: apparmor(pod, container)?,
        ..Default::default()
    })
}

fn pod_level(pod: &Pod) -> Option<&PodSecurityContext> {
    pod.spec.as_ref()?.security_context.as_ref()
}

fn run_as_user(of_pod: Option<&PodSecurityContext>, own: Option<&SecurityContext>) -> Option<i64> {
    own.and_then(|own| own.run_as_user).or_else(|| of_pod.and_then(|context| context.run_as_user))
}

/// Whether a container that must not run as root would. A user that the image knows by name only cannot be told.
fn verify_not_root(pod: &Pod, container: &Container, image: &Image<'_>) -> Result<(), Invalid> {
    let (of_pod, own) = (pod_level(pod), container.security_context.as_ref());
    let not_root = own.and_then(|own| own.run_as_non_root);
    let not_root = not_root.or_else(|| of_pod.and_then(|context| context.run_as_non_root));
    if not_root != Some(true) {
        return Ok(());
    }
    let problem = match (run_as_user(of_pod, own), image.uid, image.username) {
        (Some(0), ..) => "container's runAsUser breaks non-root policy".to_owned(),
        (Some(_), ..) => return Ok(()),
        (None, Some(0), _) | (None, None, "") => "container has runAsNonRoot and image will run as root".to_owned(),
        (None, None, name) => format!(
            "container has runAsNonRoot and image has non-numeric user ({name}), cannot verify user is non-root"
        ),
        (None, Some(_), _) => return Ok(()),
    };
    Err(Invalid::container(format!("{problem} (pod: {:?}, container: {})", described(pod), container.name)))
}

/// Which namespaces are shared with whom.
fn namespaces(pod: &Pod) -> NamespaceOption {
    let spec = pod.spec.as_ref();
    let mode = |of_host: Option<bool>| if of_host == Some(true) { NamespaceMode::Node } else { NamespaceMode::Pod };
    let pid = match spec.map(|spec| (spec.host_pid, spec.share_process_namespace)) {
        Some((Some(true), _)) => NamespaceMode::Node,
        Some((_, Some(true))) => NamespaceMode::Pod,
        _ => NamespaceMode::Container,
    };
    NamespaceOption {
        network: mode(spec.and_then(|spec| spec.host_network)).into(),
        ipc: mode(spec.and_then(|spec| spec.host_ipc)).into(),
        pid: pid.into(),
        ..Default::default()
    }
}

/// Further groups: the one that the pod's volumes belong to, those that the pod names, and those of its volumes.
fn groups(of_pod: Option<&PodSecurityContext>, further: &[i64]) -> Vec<i64> {
    let of_volumes = of_pod.and_then(|context| context.fs_group);
    let named = of_pod.and_then(|context| context.supplemental_groups.as_deref()).unwrap_or_default();
    of_volumes.into_iter().chain(named.iter().copied()).chain(further.iter().copied()).collect()
}

fn groups_policy(of_pod: Option<&PodSecurityContext>) -> i32 {
    match of_pod.and_then(|context| context.supplemental_groups_policy.as_deref()) {
        Some("Strict") => SupplementalGroupsPolicy::Strict.into(),
        _ => SupplementalGroupsPolicy::Merge.into(),
    }
}

fn has_privileged_container(pod: &Pod) -> bool {
    let is_privileged =
        |context: &Option<SecurityContext>| context.as_ref().and_then(|context| context.privileged) == Some(true);
    pod.spec.as_ref().is_some_and(|spec| {
        let mut containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
        containers.any(|container| is_privileged(&container.security_context))
            || spec.ephemeral_containers.iter().flatten().any(|container| is_privileged(&container.security_context))
    })
}

fn capabilities(capabilities: &Capabilities) -> Capability {
    Capability {
        add_capabilities: capabilities.add.clone().unwrap_or_default(),
        drop_capabilities: capabilities.drop.clone().unwrap_or_default(),
        ..Default::default()
    }
}

fn selinux(options: &SELinuxOptions) -> SeLinuxOption {
    let or_empty = |value: &Option<String>| value.clone().unwrap_or_default();
    SeLinuxOption {
        user: or_empty(&options.user),
        role: or_empty(&options.role),
        r#type: or_empty(&options.type_),
        level: or_empty(&options.level),
    }
}

fn profile(kind: ProfileType, reference: &str) -> SecurityProfile {
    SecurityProfile { profile_type: kind.into(), localhost_ref: reference.to_owned() }
}

fn seccomp(
    of_pod: Option<&PodSecurityContext>,
    own: Option<&SecurityContext>,
    node: &Node,
    paths: &Paths,
) -> Result<SecurityProfile, Invalid> {
    let stated: Option<&SeccompProfile> = own
        .and_then(|own| own.seccomp_profile.as_ref())
        .or_else(|| of_pod.and_then(|context| context.seccomp_profile.as_ref()));
    match stated.map(|stated| (stated.type_.as_str(), stated.localhost_profile.as_deref().unwrap_or_default())) {
        Some(("RuntimeDefault", _)) => Ok(profile(ProfileType::RuntimeDefault, "")),
        Some(("Localhost", "")) => {
            Err(Invalid::container("localhostProfile must be set if seccompProfile type is Localhost."))
        }
        // Not all pods come by way of the API, which would refuse this.
        Some(("Localhost", file)) if !is_below(file) => {
            let problem = "must be a relative path without `..` below the node's directory of seccomp profiles";
            Err(Invalid::container(format!("seccompProfile.localhostProfile {file:?} {problem}")))
        }
        Some(("Localhost", file)) => Ok(profile(ProfileType::Localhost, &paths.seccomp().join(file).to_string_lossy())),
        None if node.seccomp_default => Ok(profile(ProfileType::RuntimeDefault, "")),
        _ => Ok(profile(ProfileType::Unconfined, "")),
    }
}

/// Whether a path cannot lead out of the directory that it is put to.
fn is_below(path: &str) -> bool {
    Path::new(path).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}

/// Whether the pod wants AppArmor to confine one of its containers, which a node without it cannot do.
#[must_use]
pub fn wants_apparmor(pod: &Pod) -> bool {
    let is_confined =
        |container: &Container| stated_apparmor(pod, container).is_some_and(|stated| stated.type_ != "Unconfined");
    pod.spec
        .as_ref()
        .is_some_and(|spec| spec.containers.iter().chain(spec.init_containers.iter().flatten()).any(is_confined))
}

/// What the container's field says, or else the old annotation, or else the pod's field.
fn stated_apparmor(pod: &Pod, container: &Container) -> Option<AppArmorProfile> {
    let own = container.security_context.as_ref().and_then(|own| own.app_armor_profile.clone());
    let annotations = pod.metadata.annotations.as_ref();
    let annotation = || annotations?.get(&format!("{APPARMOR_ANNOTATION}{}", container.name));
    own.or_else(|| annotation().and_then(|text| annotated(text)))
        .or_else(|| pod_level(pod).and_then(|context| context.app_armor_profile.clone()))
}

fn annotated(text: &str) -> Option<AppArmorProfile> {
    let (kind, name) = match text {
        "runtime/default" => ("RuntimeDefault", None),
        "unconfined" => ("Unconfined", None),
        other => ("Localhost", Some(other.strip_prefix("localhost/")?.to_owned())),
    };
    Some(AppArmorProfile { type_: kind.to_owned(), localhost_profile: name })
}

fn apparmor(pod: &Pod, container: &Container) -> Result<Option<SecurityProfile>, Invalid> {
    let Some(stated) = stated_apparmor(pod, container) else { return Ok(None) };
    match (stated.type_.as_str(), stated.localhost_profile.as_deref()) {
        ("RuntimeDefault", _) => Ok(Some(profile(ProfileType::RuntimeDefault, ""))),
        ("Unconfined", _) => Ok(Some(profile(ProfileType::Unconfined, ""))),
        ("Localhost", Some(name)) => Ok(Some(profile(ProfileType::Localhost, name))),
        ("Localhost", None) => Err(Invalid::container("missing localhost apparmor profile name")),
        (other, _) => Err(Invalid::container(format!("unknown apparmor profile type: {other:?}"))),
    }
}

#[cfg(test)]
mod tests;
