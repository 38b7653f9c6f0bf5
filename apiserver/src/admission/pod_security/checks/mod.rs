//! The checks of the Pod Security Standards, by level and version.
//!
//! What always holds: a check is a pure function of a pod, and what it finds depends on nothing else. Which checks belong to
//! a standard is decided here alone, as upstream's registry decides it: of each check the newest form that the version has,
//! the baseline's first, each level in the order of names, and without those that a stricter one stands for.

mod baseline;
mod restricted;
#[cfg(test)]
mod tests;
mod words;

use k8s_openapi::api::core::v1::{
    Container, ContainerPort, EphemeralContainer, Lifecycle, PodSpec, Probe, SecurityContext,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::levels::{Level, Standard, Version};

/// What a check has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Violation {
    reason: &'static str,
    detail: String,
}

/// Everything that is wrong with a pod; nothing, if it is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Violations(Vec<Violation>);

type Function = fn(&ObjectMeta, &PodSpec) -> Option<Violation>;

/// A check, in all its forms.
struct Check {
    name: &'static str,
    /// From which minor version on it is which function, from the oldest on.
    forms: &'static [(i64, Function)],
    /// The check of the baseline that it stands for where it applies.
    replaces: Option<&'static str>,
}

/// The baseline's, in the order of names.
const BASELINE: &[Check] = &[
    Check::new("appArmorProfile", &[(0, baseline::app_armor_profile)]),
    Check::new("capabilities_baseline", &[(0, baseline::capabilities)]),
    Check::new("hostNamespaces", &[(0, baseline::host_namespaces)]),
    Check::new("hostPathVolumes", &[(0, baseline::host_path_volumes)]),
    Check::new("hostPorts", &[(0, baseline::host_ports)]),
    Check::new("hostProbesAndHostLifecycle", &[(34, baseline::host_probes_and_lifecycle)]),
    Check::new("privileged", &[(0, baseline::privileged)]),
    Check::new("procMount", &[(0, baseline::proc_mount), (35, baseline::proc_mount_1_35)]),
    Check::new("seLinuxOptions", &[(0, baseline::se_linux_options), (31, baseline::se_linux_options_1_31)]),
    Check::new("seccompProfile_baseline", &[(0, baseline::seccomp_annotations), (19, baseline::seccomp_profile)]),
    Check::new(
        "sysctls",
        &[
            (0, baseline::sysctls),
            (27, baseline::sysctls_1_27),
            (29, baseline::sysctls_1_29),
            (32, baseline::sysctls_1_32),
            (37, baseline::sysctls_1_37),
        ],
    ),
    Check::new("windowsHostProcess", &[(0, baseline::windows_host_process)]),
];

/// What is asked of restricted pods besides, in the order of names.
const RESTRICTED: &[Check] = &[
    Check::new(
        "allowPrivilegeEscalation",
        &[(8, restricted::allow_privilege_escalation), (25, restricted::allow_privilege_escalation_1_25)],
    ),
    Check::new("capabilities_restricted", &[(22, restricted::capabilities), (25, restricted::capabilities_1_25)])
        .replacing("capabilities_baseline"),
    Check::new("procMount_restricted", &[(35, baseline::proc_mount)]).replacing("procMount"),
    Check::new("restrictedVolumes", &[(0, restricted::volumes)]).replacing("hostPathVolumes"),
    Check::new("runAsNonRoot", &[(0, restricted::run_as_non_root), (35, restricted::run_as_non_root_1_35)]),
    Check::new("runAsUser", &[(23, restricted::run_as_user), (35, restricted::run_as_user_1_35)]),
    Check::new(
        "seccompProfile_restricted",
        &[(19, restricted::seccomp_profile), (25, restricted::seccomp_profile_1_25)],
    )
    .replacing("seccompProfile_baseline"),
];

impl Check {
    const fn new(name: &'static str, forms: &'static [(i64, Function)]) -> Check {
        Check { name, forms, replaces: None }
    }

    const fn replacing(self, name: &'static str) -> Check {
        Check { replaces: Some(name), ..self }
    }

    /// Its form of a version, if it has one by then.
    fn form(&self, version: Version) -> Option<Function> {
        let forms = self.forms.iter().rev();
        forms
            .map(|(since, function)| (Version::Minor(*since), *function))
            .find(|(since, _)| *since <= version)
            .map(|(_, function)| function)
    }
}

/// The checks of a standard, in order.
fn of(standard: Standard) -> impl Iterator<Item = Function> {
    let Standard { level, version } = standard;
    let restricted = RESTRICTED.iter().filter(move |check| level == Level::Restricted && check.form(version).is_some());
    let replaced: Vec<&str> = restricted.clone().filter_map(|check| check.replaces).collect();
    let baseline = BASELINE.iter().filter(move |check| level >= Level::Baseline && !replaced.contains(&check.name));
    baseline.chain(restricted).filter_map(move |check| check.form(version))
}

/// What is wrong with a pod by a standard.
pub(super) fn evaluate(standard: Standard, meta: &ObjectMeta, spec: &PodSpec) -> Violations {
    Violations(of(standard).filter_map(|check| check(meta, spec)).collect())
}

impl Violations {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of it, in short.
    pub(super) fn reasons(&self) -> String {
        self.0.iter().map(|violation| violation.reason).collect::<Vec<_>>().join(", ")
    }

    /// All of it, with what is wrong where.
    pub(super) fn details(&self) -> String {
        let details = self.0.iter().map(|Violation { reason, detail }| format!("{reason} ({detail})"));
        details.collect::<Vec<_>>().join(", ")
    }
}

/// What checks look at in a container of any kind.
struct Part<'a> {
    name: &'a str,
    security: Option<&'a SecurityContext>,
    ports: &'a [ContainerPort],
    probes: [Option<&'a Probe>; 3],
    lifecycle: Option<&'a Lifecycle>,
}

impl<'a> From<&'a Container> for Part<'a> {
    fn from(container: &'a Container) -> Self {
        Part {
            name: &container.name,
            security: container.security_context.as_ref(),
            ports: container.ports.as_deref().unwrap_or_default(),
            probes: [&container.liveness_probe, &container.readiness_probe, &container.startup_probe]
                .map(Option::as_ref),
            lifecycle: container.lifecycle.as_ref(),
        }
    }
}

impl<'a> From<&'a EphemeralContainer> for Part<'a> {
    fn from(container: &'a EphemeralContainer) -> Self {
        Part {
            name: &container.name,
            security: container.security_context.as_ref(),
            ports: container.ports.as_deref().unwrap_or_default(),
            probes: [&container.liveness_probe, &container.readiness_probe, &container.startup_probe]
                .map(Option::as_ref),
            lifecycle: container.lifecycle.as_ref(),
        }
    }
}

/// All containers: those that come first, those that are meant, and those that were added.
fn parts(spec: &PodSpec) -> impl Iterator<Item = Part<'_>> {
    let containers = spec.init_containers.iter().flatten().chain(&spec.containers).map(Part::from);
    containers.chain(spec.ephemeral_containers.iter().flatten().map(Part::from))
}

/// The names of the containers whose security context is as `wrong` says.
fn with_context(spec: &PodSpec, mut wrong: impl FnMut(&SecurityContext) -> bool) -> Vec<&str> {
    parts(spec).filter(|part| part.security.is_some_and(&mut wrong)).map(|part| part.name).collect()
}

/// Whether the pod's users are not the node's.
fn has_own_users(spec: &PodSpec) -> bool {
    spec.host_users == Some(false)
}

/// Whether it is a pod for Windows, which has no such thing as some checks ask for.
fn is_for_windows(spec: &PodSpec) -> bool {
    spec.os.as_ref().is_some_and(|os| os.name == "windows")
}
