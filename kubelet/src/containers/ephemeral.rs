//! A pod's containers, in whatever list of its spec they stand.

use std::borrow::Cow;

use k8s_openapi::api::core::v1::{Container, EphemeralContainer, Pod};

use crate::pod_plan::Role;

/// An ephemeral container as if it were another: all but the container that it is there to look at.
#[must_use]
pub fn as_container(ephemeral: &EphemeralContainer) -> Container {
    let ephemeral = ephemeral.clone();
    Container {
        args: ephemeral.args,
        command: ephemeral.command,
        env: ephemeral.env,
        env_from: ephemeral.env_from,
        image: ephemeral.image,
        image_pull_policy: ephemeral.image_pull_policy,
        lifecycle: ephemeral.lifecycle,
        liveness_probe: ephemeral.liveness_probe,
        name: ephemeral.name,
        ports: ephemeral.ports,
        readiness_probe: ephemeral.readiness_probe,
        resize_policy: ephemeral.resize_policy,
        resources: ephemeral.resources,
        restart_policy: ephemeral.restart_policy,
        restart_policy_rules: ephemeral.restart_policy_rules,
        security_context: ephemeral.security_context,
        startup_probe: ephemeral.startup_probe,
        stdin: ephemeral.stdin,
        stdin_once: ephemeral.stdin_once,
        termination_message_path: ephemeral.termination_message_path,
        termination_message_policy: ephemeral.termination_message_policy,
        tty: ephemeral.tty,
        volume_devices: ephemeral.volume_devices,
        volume_mounts: ephemeral.volume_mounts,
        working_dir: ephemeral.working_dir,
    }
}

/// The container of a name, and where it stands.
#[must_use]
pub fn find<'a>(pod: &'a Pod, name: &str) -> Option<(Role, Cow<'a, Container>)> {
    let spec = pod.spec.as_ref()?;
    let among = |containers: &'a [Container]| containers.iter().find(|container| container.name == name);
    if let Some(container) = among(spec.init_containers.as_deref().unwrap_or_default()) {
        return Some((Role::Init, Cow::Borrowed(container)));
    }
    if let Some(container) = among(&spec.containers) {
        return Some((Role::Regular, Cow::Borrowed(container)));
    }
    let container = spec.ephemeral_containers.iter().flatten().find(|container| container.name == name)?;
    Some((Role::Ephemeral, Cow::Owned(as_container(container))))
}
