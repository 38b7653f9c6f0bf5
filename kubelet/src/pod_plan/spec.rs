//! What a pod's spec says of its containers: which there are, in which order, and which are started again after they ended.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, ContainerRestartRule, EphemeralContainer, Pod};
use sha2::{Digest, Sha256};

use super::Role;

/// What a pod has to end in that says nothing of it (the API server's default).
const DEFAULT_GRACE: Duration = Duration::from_secs(30);

/// The init containers of a pod, sidecars included.
pub(crate) fn init(pod: &Pod) -> impl DoubleEndedIterator<Item = &Container> {
    pod.spec.iter().flat_map(|spec| spec.init_containers.iter().flatten())
}

/// The containers that a pod is there for.
pub(crate) fn regular(pod: &Pod) -> impl DoubleEndedIterator<Item = &Container> {
    pod.spec.iter().flat_map(|spec| &spec.containers)
}

/// Whether an init container goes on running beside the others.
pub(crate) fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

/// Whether a regular container that exited so is started again (upstream's `ContainerShouldRestart`).
pub(crate) fn restarts(pod: &Pod, container: &Container, exit_code: i32) -> bool {
    let follows = |policy: &str| match policy {
        "Never" => false,
        "OnFailure" => exit_code != 0,
        _ => true,
    };
    if let Some(policy) = container.restart_policy.as_deref() {
        let rule = matching_rule(container, exit_code);
        return rule.is_some_and(|rule| rule.action == "Restart") || follows(policy);
    }
    follows(pod.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref()).unwrap_or("Always"))
}

/// Whether an init container that exited so is started again. One that succeeded is done.
pub(crate) fn restarts_init(pod: &Pod, container: &Container, exit_code: i32) -> bool {
    is_sidecar(container) || (exit_code != 0 && restarts(pod, container, exit_code))
}

/// The rule that decides about a container that exited so: the first that speaks of it.
pub(super) fn matching_rule(container: &Container, exit_code: i32) -> Option<&ContainerRestartRule> {
    container.restart_policy_rules.iter().flatten().find(|rule| applies(rule, exit_code))
}

fn applies(rule: &ContainerRestartRule, exit_code: i32) -> bool {
    let Some(codes) = &rule.exit_codes else { return false };
    let listed = codes.values.iter().flatten().any(|value| *value == exit_code);
    match codes.operator.as_str() {
        "In" => listed,
        "NotIn" => !listed,
        _ => false,
    }
}

/// A fingerprint of what makes a container another one when it changes while it runs: its name and its image, as upstream
/// has it. Everything else of a container cannot be changed, or is applied in place.
#[must_use]
pub fn hash_of(container: &Container) -> String {
    let text = format!("{}\n{}", container.name, container.image.as_deref().unwrap_or_default());
    let mut hash = String::with_capacity(16);
    for byte in Sha256::digest(text).iter().take(8) {
        // Writing to a string does not fail.
        let _ = write!(hash, "{byte:02x}");
    }
    hash
}

/// How long the containers of a pod have to end, if nobody says otherwise.
pub(super) fn grace(pod: &Pod) -> Duration {
    let seconds = pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds);
    seconds.map_or(DEFAULT_GRACE, seconds_of)
}

/// Seconds as the API has them; less than none is none.
pub(super) fn seconds_of(seconds: i64) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

/// A container in its place in the spec.
#[derive(Clone, Debug)]
pub(super) struct Slot<'a> {
    pub(super) container: Cow<'a, Container>,
    pub(super) role: Role,
}

impl Slot<'_> {
    pub(super) fn name(&self) -> &str {
        &self.container.name
    }

    pub(super) fn is_sidecar(&self) -> bool {
        self.role == Role::Init && is_sidecar(&self.container)
    }

    /// Whether it is started again once it exited so.
    pub(super) fn restarts(&self, pod: &Pod, exit_code: i32) -> bool {
        match self.role {
            Role::Init => restarts_init(pod, &self.container, exit_code),
            Role::Regular => restarts(pod, &self.container, exit_code),
            Role::Ephemeral => false,
        }
    }

    /// The field that Events about it name.
    pub(super) fn field(&self) -> String {
        let list = match self.role {
            Role::Init => "initContainers",
            Role::Regular => "containers",
            Role::Ephemeral => "ephemeralContainers",
        };
        format!("spec.{list}{{{}}}", self.name())
    }
}

/// Every container of a pod: init, regular, ephemeral.
pub(super) fn slots(pod: &Pod) -> Vec<Slot<'_>> {
    let slot = |role| move |container| Slot { container: Cow::Borrowed(container), role };
    let ephemeral = pod.spec.iter().flat_map(|spec| spec.ephemeral_containers.iter().flatten());
    let ephemeral =
        ephemeral.map(|container| Slot { container: Cow::Owned(as_container(container)), role: Role::Ephemeral });
    init(pod).map(slot(Role::Init)).chain(regular(pod).map(slot(Role::Regular))).chain(ephemeral).collect()
}

/// An ephemeral container as one like any other. It has no ports, no probes and no resources.
#[must_use]
pub fn as_container(container: &EphemeralContainer) -> Container {
    let EphemeralContainer {
        args,
        command,
        env,
        env_from,
        image,
        image_pull_policy,
        lifecycle,
        liveness_probe,
        name,
        ports,
        readiness_probe,
        resize_policy,
        resources,
        restart_policy,
        restart_policy_rules,
        security_context,
        startup_probe,
        stdin,
        stdin_once,
        target_container_name: _,
        termination_message_path,
        termination_message_policy,
        tty,
        volume_devices,
        volume_mounts,
        working_dir,
    } = container.clone();
    Container {
        args,
        command,
        env,
        env_from,
        image,
        image_pull_policy,
        lifecycle,
        liveness_probe,
        name,
        ports,
        readiness_probe,
        resize_policy,
        resources,
        restart_policy,
        restart_policy_rules,
        security_context,
        startup_probe,
        stdin,
        stdin_once,
        termination_message_path,
        termination_message_policy,
        tty,
        volume_devices,
        volume_mounts,
        working_dir,
    }
}

/// Whether no container of a pod in this phase will ever run again.
pub(crate) fn is_terminal(phase: Option<&str>) -> bool {
    matches!(phase, Some("Succeeded" | "Failed"))
}
