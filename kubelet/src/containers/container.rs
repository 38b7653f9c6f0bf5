//! What a container is asked for with.

use std::collections::BTreeMap;
use std::path::PathBuf;

use k8s_openapi::api::core::v1::{Container, Pod};

use super::{Invalid, Node, expand, labels, on_host_network, resources, security};
use crate::cri::v1::{
    ContainerConfig, ContainerMetadata, ImageSpec, KeyValue, LinuxContainerConfig, Mount, NamespaceMode,
};
use crate::paths::Paths;
use crate::pod_plan::Role;

/// Where containers look up names.
const ETC_HOSTS: &str = "/etc/hosts";

/// An image as the runtime has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Image<'a> {
    /// What the runtime calls it.
    pub reference: &'a str,
    /// The user that it runs as, if it states a number.
    pub uid: Option<i64>,
    /// The user that it runs as, if it states a name; otherwise empty. Without both it runs as root.
    pub username: &'a str,
}

/// Everything that a container is made from.
#[derive(Clone, Copy, Debug)]
pub struct Making<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// The container; see [`as_container`](crate::pod_plan::as_container) for ephemeral ones.
    pub container: &'a Container,
    /// Which list of the spec it stands in.
    pub role: Role,
    /// How many there were of the name before.
    pub attempt: u32,
    /// The fingerprint that later tells whether it is still what the pod wants.
    pub hash: &'a str,
    /// Its image.
    pub image: Image<'a>,
    /// Its environment.
    pub environment: &'a BTreeMap<String, String>,
    /// What is mounted into it, but for `/etc/hosts` and where its last words go.
    pub mounts: &'a [Mount],
    /// Whether there is a file for its `/etc/hosts` (see [`hosts_file`](super::hosts_file)).
    pub hosts: bool,
    /// Groups that its volumes want it to have (`pv.beta.kubernetes.io/gid`).
    pub groups: &'a [i64],
    /// The ID of the container whose processes an ephemeral one sees (`targetContainerName`).
    pub target: Option<&'a str>,
    /// What is the same for every pod of the node.
    pub node: &'a Node,
    /// Where files are.
    pub paths: &'a Paths,
}

/// The file on the node that a container writes its last words to. It has to be there, and anybody has to be allowed to write
/// to it, before the container is made.
#[must_use]
pub fn termination_log(paths: &Paths, uid: &str, container: &str, attempt: u32) -> PathBuf {
    paths.container(uid, container).join(attempt.to_string())
}

/// What the runtime is asked for.
///
/// # Errors
/// If the container cannot have what it asks for, in upstream's words.
pub fn container(making: &Making<'_>) -> Result<ContainerConfig, Invalid> {
    let Making { pod, container, node, paths, .. } = making;
    let expanded = |texts: &Option<Vec<String>>| {
        let value_of = |name: &str| making.environment.get(name).map(String::as_str);
        texts.iter().flatten().map(|text| expand(text, value_of)).collect()
    };
    let mut security = security::of_container(pod, container, &making.image, making.groups, node, paths)?;
    if let (Some(target), Some(namespaces)) = (making.target, &mut security.namespace_options)
        && namespaces.pid() == NamespaceMode::Container
    {
        namespaces.set_pid(NamespaceMode::Target);
        namespaces.target_id = target.to_owned();
    }
    let variables = making.environment.iter();
    Ok(ContainerConfig {
        metadata: Some(ContainerMetadata { name: container.name.clone(), attempt: making.attempt }),
        image: Some(ImageSpec {
            image: making.image.reference.to_owned(),
            user_specified_image: container.image.clone().unwrap_or_default(),
            ..Default::default()
        }),
        command: expanded(&container.command),
        args: expanded(&container.args),
        working_dir: container.working_dir.clone().unwrap_or_default(),
        envs: variables.map(|(key, value)| KeyValue { key: key.clone(), value: value.clone() }).collect(),
        mounts: mounts(making),
        labels: labels::of_container(pod, container),
        annotations: labels::annotations_of_container(pod, container, making.role, making.attempt, making.hash),
        log_path: Paths::log_of(&container.name, making.attempt).to_string_lossy().into_owned(),
        stdin: container.stdin.unwrap_or(false),
        stdin_once: container.stdin_once.unwrap_or(false),
        tty: container.tty.unwrap_or(false),
        linux: Some(LinuxContainerConfig {
            resources: Some(resources::of_container(pod, container, node)),
            security_context: Some(security),
        }),
        ..Default::default()
    })
}

/// What is given, `/etc/hosts` unless the container mounts something there itself, and where its last words go.
fn mounts(making: &Making<'_>) -> Vec<Mount> {
    let uid = making.pod.metadata.uid.as_deref().unwrap_or_default();
    let name = &making.container.name;
    let mut mounts = making.mounts.to_vec();
    if making.hosts && !mounts.iter().any(|mount| mount.container_path.trim_end_matches('/') == ETC_HOSTS) {
        mounts.push(Mount {
            container_path: ETC_HOSTS.to_owned(),
            host_path: making.paths.etc_hosts(uid).to_string_lossy().into_owned(),
            selinux_relabel: !on_host_network(making.pod),
            ..Default::default()
        });
    }
    if let Some(path) = making.container.termination_message_path.as_deref().filter(|path| !path.is_empty()) {
        let file = termination_log(making.paths, uid, name, making.attempt);
        mounts.push(Mount {
            container_path: path.to_owned(),
            host_path: file.to_string_lossy().into_owned(),
            selinux_relabel: true,
            ..Default::default()
        });
    }
    mounts
}
