//! What is to be made of a pod's volumes: everything that has to be asked of the API server is asked here, before anything is
//! done to the disk.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{
    DownwardAPIVolumeFile, KeyToPath, Pod, ProjectedVolumeSource, Volume, VolumeProjection,
};

use super::claims::{self, Claimed};
use super::empty_dir::{self, Medium};
use super::payload::{self, DEFAULT_MODE, File, Payload};
use super::problem::Problem;
use super::{Volumes, downward, kinds};

/// What a volume is to become.
#[derive(Debug)]
pub(super) enum Prepared {
    /// An empty directory, with these permissions if the pod says so.
    Empty { medium: Medium, mode: Option<i32> },
    /// Files, in a directory of this plugin's, in memory of so many bytes or on disk.
    Files { plugin: &'static str, medium: Medium, payload: Payload },
    /// A path of the node.
    HostPath { path: String, kind: String },
    /// What a claim stands for.
    Claimed { claimed: Claimed, read_only: bool },
}

/// The plugins that have directories in pods', under upstream's names.
pub(super) const EMPTY_DIR: &str = "kubernetes.io/empty-dir";
pub(super) const LOCAL: &str = "kubernetes.io/local-volume";
const CONFIG_MAP: &str = "kubernetes.io/configmap";
const SECRET: &str = "kubernetes.io/secret";
const DOWNWARD: &str = "kubernetes.io/downward-api";
const PROJECTED: &str = "kubernetes.io/projected";

/// Several errors as upstream writes them: one by itself, more in brackets.
fn joined(errors: Vec<String>) -> String {
    match <[String; 1]>::try_from(errors) {
        Ok([error]) => error,
        Err(errors) => format!("[{}]", errors.join(", ")),
    }
}

impl Volumes {
    /// What a volume is to become.
    pub(super) async fn prepare(&self, pod: &Pod, volume: &Volume) -> Result<Prepared, Problem> {
        if let Some(empty) = &volume.empty_dir {
            let medium = empty_dir::medium(empty, pod, &self.node.read().allocatable);
            let medium = medium.map_err(|error| Problem::set_up(&volume.name, error))?;
            return Ok(Prepared::Empty { medium, mode: empty.mode });
        }
        if let Some(host) = &volume.host_path {
            let kind = host.type_.clone().unwrap_or_default();
            return Ok(Prepared::HostPath { path: host.path.clone(), kind });
        }
        if let Some(claim) = &volume.persistent_volume_claim {
            return self.prepare_claim(pod, volume, &claim.claim_name, claim.read_only == Some(true)).await;
        }
        if volume.ephemeral.is_some() {
            let pod_name = pod.metadata.name.as_deref().unwrap_or_default();
            return self.prepare_claim(pod, volume, &format!("{pod_name}-{}", volume.name), false).await;
        }
        let files = self.files(pod, volume).await.map_err(|error| Problem::set_up(&volume.name, error))?;
        if let Some((plugin, payload)) = files {
            let in_memory = || empty_dir::memory_size(None, pod, &self.node.read().allocatable);
            let medium = if plugin == CONFIG_MAP { Medium::Disk } else { Medium::Memory(in_memory()) };
            return Ok(Prepared::Files { plugin, medium, payload });
        }
        let kind = kinds::of(volume);
        Err(Problem::set_up(
            &volume.name,
            match kind.as_str() {
                "image" => {
                    "image volumes need a container runtime that mounts images, which this node's does not".to_owned()
                }
                "csi" => "CSI drivers are not supported by this node".to_owned(),
                _ => format!("volumes of the kind {kind} are not supported by this node"),
            },
        ))
    }

    async fn prepare_claim(
        &self,
        pod: &Pod,
        volume: &Volume,
        claim: &str,
        read_only: bool,
    ) -> Result<Prepared, Problem> {
        let is_owned = volume.ephemeral.is_some();
        let claimed = claims::resolve(&self.client, pod, claim, is_owned).await;
        let claimed = claimed.map_err(|error| Problem::process(&volume.name, error))?;
        let (mounted, devices) = kinds::used(pod);
        let name = volume.name.as_str();
        let (mode, wrong) = if claimed.is_block { ("Block", "volumeMounts") } else { ("Filesystem", "volumeDevices") };
        let is_wrong = if claimed.is_block { mounted.contains(name) } else { devices.contains(name) };
        if is_wrong {
            let why = format!("volume {name} has volumeMode {mode}, but is specified in {wrong}");
            return Err(Problem::process(name, why));
        }
        Ok(Prepared::Claimed { claimed, read_only })
    }

    /// The files of a volume that is made of files; `None` if it is of another kind.
    pub(super) async fn files(&self, pod: &Pod, volume: &Volume) -> Result<Option<(&'static str, Payload)>, String> {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        if let Some(source) = &volume.config_map {
            let (mode, optional) = (source.default_mode.unwrap_or(DEFAULT_MODE), source.optional == Some(true));
            let files = self.config_map_files(namespace, &source.name, source.items.as_ref(), mode, optional);
            return Ok(Some((CONFIG_MAP, files.await?)));
        }
        if let Some(source) = &volume.secret {
            let (mode, optional) = (source.default_mode.unwrap_or(DEFAULT_MODE), source.optional == Some(true));
            let name = source.secret_name.as_deref().unwrap_or_default();
            let files = self.secret_files(namespace, name, source.items.as_ref(), mode, optional);
            return Ok(Some((SECRET, files.await?)));
        }
        if let Some(source) = &volume.downward_api {
            let items = source.items.as_deref().unwrap_or_default();
            let mode = source.default_mode.unwrap_or(DEFAULT_MODE);
            return Ok(Some((DOWNWARD, self.downward(pod, items, mode)?)));
        }
        match &volume.projected {
            Some(source) => Ok(Some((PROJECTED, self.projected(pod, source).await?))),
            None => Ok(None),
        }
    }

    async fn config_map_files(
        &self,
        namespace: &str,
        name: &str,
        items: Option<&Vec<KeyToPath>>,
        mode: i32,
        optional: bool,
    ) -> Result<Payload, String> {
        let map = match self.objects.config_map(namespace, name).await {
            Err(error) if optional && error.is_absent() => Arc::default(),
            map => map.map_err(|error| error.to_string())?,
        };
        payload::of_config_map(&map, items, mode, optional).map_err(|error| error.to_string())
    }

    async fn secret_files(
        &self,
        namespace: &str,
        name: &str,
        items: Option<&Vec<KeyToPath>>,
        mode: i32,
        optional: bool,
    ) -> Result<Payload, String> {
        let secret = match self.objects.secret(namespace, name).await {
            Err(error) if optional && error.is_absent() => Arc::default(),
            secret => secret.map_err(|error| error.to_string())?,
        };
        payload::of_secret(&secret, items, mode, optional).map_err(|error| error.to_string())
    }

    fn downward(&self, pod: &Pod, items: &[DownwardAPIVolumeFile], mode: i32) -> Result<Payload, String> {
        let files = downward::files(items, pod, &self.node.read().allocatable, mode);
        files.map_err(|errors| joined(errors.iter().map(ToString::to_string).collect()))
    }

    /// The files of all sources; of two at one path, the later source's.
    async fn projected(&self, pod: &Pod, source: &ProjectedVolumeSource) -> Result<Payload, String> {
        let mode = source.default_mode.unwrap_or(DEFAULT_MODE);
        let (mut payload, mut errors) = (Payload::new(), Vec::new());
        for source in source.sources.iter().flatten() {
            match self.projection(pod, source, mode).await {
                Ok(files) => payload.extend(files),
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok(payload) } else { Err(joined(errors)) }
    }

    async fn projection(&self, pod: &Pod, source: &VolumeProjection, mode: i32) -> Result<Payload, String> {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        if let Some(source) = &source.config_map {
            let optional = source.optional == Some(true);
            return self.config_map_files(namespace, &source.name, source.items.as_ref(), mode, optional).await;
        }
        if let Some(source) = &source.secret {
            let optional = source.optional == Some(true);
            return self.secret_files(namespace, &source.name, source.items.as_ref(), mode, optional).await;
        }
        if let Some(source) = &source.downward_api {
            return self.downward(pod, source.items.as_deref().unwrap_or_default(), mode);
        }
        if let Some(source) = &source.service_account_token {
            let token = self.tokens.get(pod, source.audience.as_deref(), source.expiration_seconds).await?;
            return Ok(Payload::from([(source.path.clone(), secret_file(pod, token.as_bytes().to_vec(), mode))]));
        }
        if let Some(source) = &source.cluster_trust_bundle {
            let bundle = self.trust.get(source).await?;
            return Ok(Payload::from([(source.path.clone(), secret_file(pod, bundle.into_bytes(), mode))]));
        }
        if source.pod_certificate.is_some() {
            return Err("podCertificate sources are not supported by this node".to_owned());
        }
        Err("a source of the projected volume is of no kind that this node supports".to_owned())
    }
}

/// A file that only the pod's user and group may read, if the pod says who they are.
fn secret_file(pod: &Pod, content: Vec<u8>, mode: i32) -> File {
    let owner = user_of(pod);
    let is_held_back = owner.is_some() || group_of(pod).is_some();
    File { content, mode: if is_held_back { 0o600 } else { payload::permissions(mode) }, owner }
}

/// The group that volumes are given to.
pub(super) fn group_of(pod: &Pod) -> Option<u32> {
    let context = pod.spec.as_ref()?.security_context.as_ref()?;
    u32::try_from(context.fs_group?).ok()
}

/// The user that all containers run as, if they all say so and agree (upstream's `FsUserFrom`).
fn user_of(pod: &Pod) -> Option<u32> {
    let spec = pod.spec.as_ref()?;
    let of_pod = spec.security_context.as_ref().and_then(|context| context.run_as_user);
    let containers = spec.init_containers.iter().flatten().chain(&spec.containers);
    let mut users =
        containers
            .map(|container| container.security_context.as_ref().and_then(|context| context.run_as_user).or(of_pod))
            .chain(spec.ephemeral_containers.iter().flatten().map(|container| {
                container.security_context.as_ref().and_then(|context| context.run_as_user).or(of_pod)
            }));
    let first = users.next()??;
    users.all(|user| user == Some(first)).then(|| u32::try_from(first).ok())?
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn files_belong_to_a_user_that_all_agree_on() {
        let check = |pod: Option<i64>, containers: &[Option<i64>], expected: Option<u32>| {
            let containers: Vec<Value> =
                containers.iter().map(|user| json!({"name": "c", "securityContext": {"runAsUser": user}})).collect();
            let pod = json!({"spec": {"securityContext": {"runAsUser": pod}, "containers": containers}});
            assert_eq!(user_of(&serde_json::from_value(pod).unwrap()), expected);
        };
        check(None, &[None], None);
        check(Some(1000), &[None], Some(1000));
        check(Some(1000), &[None, Some(1001)], None);
        check(None, &[Some(5), Some(5)], Some(5));
        check(None, &[Some(5), None], None);
        check(Some(5), &[Some(7), Some(7)], Some(7));
    }

    #[test]
    fn errors_are_written_as_upstreams() {
        assert_eq!(joined(vec!["a".to_owned()]), "a");
        assert_eq!(joined(vec!["a".to_owned(), "b".to_owned()]), "[a, b]");
    }
}
