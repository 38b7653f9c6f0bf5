//! The three lists of containers: which fields each may use, and that names and host ports are unique.

use std::borrow::Cow;
use std::collections::HashSet;

use api::field::{Error, ErrorList, Path};
use k8s_openapi::api::core::v1::{Container, EphemeralContainer, PodSpec};

use super::absent::{is_true, list, number, text};
use super::options::{Options, uses_host_network};
use super::volumes::Volumes;
use super::{container, ephemeral, handlers};

/// What the containers of a pod have in common.
pub(super) struct Surroundings<'a> {
    pub(super) spec: &'a PodSpec,
    pub(super) options: &'a Options,
    pub(super) volumes: &'a Volumes<'a>,
}

impl Surroundings<'_> {
    /// Whether the containers are in the host's user namespace.
    pub(super) fn host_users(&self) -> bool {
        self.spec.host_users != Some(false)
    }
}

/// Every container with its path: init containers, then ordinary ones, then ephemeral ones in the shape of the others.
pub(super) fn each<'a>(spec: &'a PodSpec, path: &Path) -> impl Iterator<Item = (Path, Cow<'a, Container>)> {
    let init = path.child("initContainers");
    let ordinary = path.child("containers");
    let debug = path.child("ephemeralContainers");
    let init = list(&spec.init_containers).iter().enumerate().map(move |(i, c)| (init.index(i), Cow::Borrowed(c)));
    let ordinary = spec.containers.iter().enumerate().map(move |(i, c)| (ordinary.index(i), Cow::Borrowed(c)));
    let debug = list(&spec.ephemeral_containers)
        .iter()
        .enumerate()
        .map(move |(i, c)| (debug.index(i), Cow::Owned(ephemeral::common_part(c))));
    init.chain(ordinary).chain(debug)
}

/// Whether an init container keeps running beside the ordinary ones.
pub(super) fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

pub(super) fn validate_ordinary(context: &Surroundings<'_>, path: &Path) -> ErrorList {
    let containers = &context.spec.containers;
    if containers.is_empty() {
        return Error::required(path, "").into();
    }
    let mut errors = ErrorList::new();
    let mut names = HashSet::new();
    for (i, container) in containers.iter().enumerate() {
        let path = path.index(i);
        errors.extend(container::validate(container, context, &path));
        if !names.insert(&container.name) {
            errors.push(Error::duplicate(&path.child("name"), &container.name));
        }
        errors.extend(handlers::validate(container, context, &path));
        errors.extend(container::validate_restart_policy(container, &path));
    }
    errors.extend(validate_host_ports(containers, path));
    errors
}

pub(super) fn validate_init(context: &Surroundings<'_>, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut names: HashSet<&str> = context.spec.containers.iter().map(|container| &*container.name).collect();
    for (i, container) in list(&context.spec.init_containers).iter().enumerate() {
        let list_path = path;
        let path = path.index(i);
        errors.extend(container::validate(container, context, &path));
        errors.extend(container::validate_restart_policy(container, &path));
        if !container.name.is_empty() && !names.insert(&container.name) {
            errors.push(Error::duplicate(&path.child("name"), &container.name));
        }
        errors.extend(validate_host_ports(std::slice::from_ref(container), list_path));
        if is_sidecar(container) {
            errors.extend(handlers::validate(container, context, &path));
            continue;
        }
        let handlers = [
            ("lifecycle", container.lifecycle.is_some()),
            ("livenessProbe", container.liveness_probe.is_some()),
            ("readinessProbe", container.readiness_probe.is_some()),
            ("startupProbe", container.startup_probe.is_some()),
        ];
        for (field, _) in handlers.iter().filter(|(_, is_set)| *is_set) {
            let detail = "may not be set for init containers without restartPolicy=Always";
            errors.push(Error::forbidden(&path.child(field), detail));
        }
        for (j, policy) in list(&container.resize_policy).iter().enumerate() {
            if policy.restart_policy == "RestartContainer" && !context.options.allow_init_resize_restart {
                let path = path.child("resizePolicy").index(j).child("restartPolicy");
                let detail = "must not be set to 'RestartContainer' for non-sidecar initContainers";
                errors.push(Error::invalid(&path, &policy.restart_policy, detail));
            }
        }
    }
    errors
}

pub(super) fn validate_ephemeral(context: &Surroundings<'_>, path: &Path) -> ErrorList {
    let spec = context.spec;
    let mut errors = ErrorList::new();
    let fixed: HashSet<&str> =
        spec.containers.iter().chain(list(&spec.init_containers)).map(|container| &*container.name).collect();
    let mut names = fixed.clone();
    for (i, ephemeral) in list(&spec.ephemeral_containers).iter().enumerate() {
        let path = path.index(i);
        let container = ephemeral::common_part(ephemeral);
        errors.extend(container::validate(&container, context, &path));
        errors.extend(container::validate_image_of_pod(&container, &path));
        if !names.insert(&ephemeral.name) {
            errors.push(Error::duplicate(&path.child("name"), &ephemeral.name));
        }
        let target = text(&ephemeral.target_container_name);
        if !target.is_empty() && !fixed.contains(target) {
            errors.push(Error::not_found(&path.child("targetContainerName"), target));
        }
        errors.extend(validate_ephemeral_fields(ephemeral, &path));
    }
    errors
}

/// That the ordinary and init containers' images are not padded, which is demanded of pods but not of templates.
pub(super) fn validate_images_of_pod(spec: &PodSpec, path: &Path) -> ErrorList {
    let fixed = [("containers", &spec.containers[..]), ("initContainers", list(&spec.init_containers))];
    let indexed = fixed.iter().flat_map(|(field, containers)| {
        let path = path.child(field);
        containers.iter().enumerate().map(move |(i, container)| (path.index(i), container))
    });
    indexed.filter_map(|(path, container)| container::validate_image_of_pod(container, &path)).collect()
}

/// That in the host's network every port of a container is a port of the host. In templates the host's port may be
/// missing, since it is filled in when the pod is created.
pub(super) fn validate_host_network_ports(spec: &PodSpec, options: &Options, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if !uses_host_network(spec) {
        return errors;
    }
    for (i, container) in spec.containers.iter().enumerate() {
        let path = path.child("containers").index(i).child("ports");
        for (j, port) in list(&container.ports).iter().enumerate() {
            let host_port = number(port.host_port);
            if (options.is_pod || host_port != 0) && host_port != port.container_port {
                let detail = "must match `containerPort` when `hostNetwork` is true";
                errors.push(Error::invalid(&path.index(j).child("hostPort"), host_port, detail));
            }
        }
    }
    errors
}

/// What a pod in a user namespace of its own cannot do.
pub(super) fn validate_host_users(spec: &PodSpec, options: &Options, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if spec.host_users != Some(false) {
        return errors;
    }
    let detail = "when `hostUsers` is false";
    let shared = [("hostNetwork", spec.host_network), ("HostPID", spec.host_pid), ("HostIPC", spec.host_ipc)];
    for (field, _) in shared.into_iter().filter(|(_, shared)| is_true(*shared)) {
        errors.push(Error::forbidden(&path.child(field), detail));
    }
    if !options.allow_user_namespace_devices {
        for (path, _) in each(spec, path).filter(|(_, container)| !list(&container.volume_devices).is_empty()) {
            errors.push(Error::forbidden(&path.child("volumeDevices"), detail));
        }
    }
    errors
}

fn validate_host_ports(containers: &[Container], path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut taken = HashSet::new();
    for (i, container) in containers.iter().enumerate() {
        let path = path.index(i).child("ports");
        for (j, port) in list(&container.ports).iter().enumerate().filter(|(_, port)| number(port.host_port) != 0) {
            let name = format!("{}/{}/{}", text(&port.protocol), text(&port.host_ip), number(port.host_port));
            if taken.contains(&name) {
                errors.push(Error::duplicate(&path.index(j).child("hostPort"), name));
            } else {
                taken.insert(name);
            }
        }
    }
    errors
}

/// Ephemeral containers must not be relied upon for what a pod is for, so much is forbidden to them.
fn validate_ephemeral_fields(container: &EphemeralContainer, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let detail = "cannot be set for an Ephemeral Container";
    let resources = container.resources.as_ref().is_some_and(|resources| *resources != Default::default());
    let fields = [
        ("ports", !list(&container.ports).is_empty()),
        ("resources", resources),
        ("resizePolicy", !list(&container.resize_policy).is_empty()),
        ("restartPolicy", container.restart_policy.is_some()),
        ("restartPolicyRules", !list(&container.restart_policy_rules).is_empty()),
        ("livenessProbe", container.liveness_probe.is_some()),
        ("readinessProbe", container.readiness_probe.is_some()),
        ("startupProbe", container.startup_probe.is_some()),
        ("lifecycle", container.lifecycle.is_some()),
    ];
    for (field, _) in fields.into_iter().filter(|(_, is_set)| *is_set) {
        errors.push(Error::forbidden(&path.child(field), detail));
    }
    for (i, mount) in list(&container.volume_mounts).iter().enumerate() {
        let path = path.child("volumeMounts").index(i);
        if !text(&mount.sub_path).is_empty() {
            errors.push(Error::forbidden(&path.child("subPath"), detail));
        }
        if !text(&mount.sub_path_expr).is_empty() {
            errors.push(Error::forbidden(&path.child("subPathExpr"), detail));
        }
    }
    errors
}
