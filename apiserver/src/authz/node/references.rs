//! Which objects a pod or a volume makes a node read.
//!
//! What always holds: a mirror pod makes a node read nothing. Its node made it, which would else give itself whatever it names.

use k8s_openapi::api::core::v1::{
    Container, EnvFromSource, EnvVar, EphemeralContainer, PersistentVolume, PersistentVolumeSpec, Pod, PodSpec, Volume,
};

use super::graph::{Kind, Place};

/// What marks a pod that stands for one that its node has from elsewhere.
pub(crate) const MIRROR: &str = "kubernetes.io/config.mirror";

/// What a container, of whatever sort, takes from elsewhere.
pub(crate) trait Environment {
    fn variables(&self) -> &[EnvVar];
    fn sources(&self) -> &[EnvFromSource];
}

impl Environment for Container {
    fn variables(&self) -> &[EnvVar] {
        self.env.as_deref().unwrap_or_default()
    }

    fn sources(&self) -> &[EnvFromSource] {
        self.env_from.as_deref().unwrap_or_default()
    }
}

impl Environment for EphemeralContainer {
    fn variables(&self) -> &[EnvVar] {
        self.env.as_deref().unwrap_or_default()
    }

    fn sources(&self) -> &[EnvFromSource] {
        self.env_from.as_deref().unwrap_or_default()
    }
}

/// All containers of a pod.
pub(crate) fn environments(spec: &PodSpec) -> impl Iterator<Item = &dyn Environment> {
    let init = spec.init_containers.iter().flatten().map(|container| container as &dyn Environment);
    let main = spec.containers.iter().map(|container| container as &dyn Environment);
    let ephemeral = spec.ephemeral_containers.iter().flatten().map(|container| container as &dyn Environment);
    init.chain(main).chain(ephemeral)
}

/// The objects that a pod's node reads because of it, the pod itself among them.
pub(super) fn of_pod(pod: &Pod) -> Vec<Place> {
    let (namespace, name) = (text(pod.metadata.namespace.as_ref()), text(pod.metadata.name.as_ref()));
    let mut found = vec![Place::new(Kind::Pod, namespace, name)];
    let is_mirror = pod.metadata.annotations.as_ref().is_some_and(|annotations| annotations.contains_key(MIRROR));
    let Some(spec) = pod.spec.as_ref().filter(|_| !is_mirror) else { return found };
    let mut put = |kind: Kind, named: &str| {
        if !named.is_empty() {
            found.push(Place::new(kind, namespace, named));
        }
    };
    put(Kind::ServiceAccount, text(spec.service_account_name.as_ref()));
    for secret in spec.image_pull_secrets.iter().flatten() {
        put(Kind::Secret, &secret.name);
    }
    environments(spec).for_each(|environment| of_environment(environment, &mut put));
    for volume in spec.volumes.iter().flatten() {
        of_volume(volume, name, &mut put);
    }
    claims(pod, spec).for_each(|claim| put(Kind::ResourceClaim, claim));
    found.sort_unstable();
    found.dedup();
    found
}

fn of_environment(environment: &dyn Environment, put: &mut impl FnMut(Kind, &str)) {
    for from in environment.variables().iter().filter_map(|variable| variable.value_from.as_ref()) {
        from.secret_key_ref.iter().for_each(|secret| put(Kind::Secret, &secret.name));
        from.config_map_key_ref.iter().for_each(|map| put(Kind::ConfigMap, &map.name));
    }
    for from in environment.sources() {
        from.secret_ref.iter().for_each(|secret| put(Kind::Secret, &secret.name));
        from.config_map_ref.iter().for_each(|map| put(Kind::ConfigMap, &map.name));
    }
}

fn of_volume(volume: &Volume, pod: &str, put: &mut impl FnMut(Kind, &str)) {
    let local = [
        volume.cephfs.as_ref().and_then(|source| source.secret_ref.as_ref()),
        volume.cinder.as_ref().and_then(|source| source.secret_ref.as_ref()),
        volume.flex_volume.as_ref().and_then(|source| source.secret_ref.as_ref()),
        volume.rbd.as_ref().and_then(|source| source.secret_ref.as_ref()),
        volume.scale_io.as_ref().map(|source| &source.secret_ref),
        volume.iscsi.as_ref().and_then(|source| source.secret_ref.as_ref()),
        volume.storageos.as_ref().and_then(|source| source.secret_ref.as_ref()),
        volume.csi.as_ref().and_then(|source| source.node_publish_secret_ref.as_ref()),
    ];
    local.into_iter().flatten().for_each(|secret| put(Kind::Secret, &secret.name));
    volume.azure_file.iter().for_each(|source| put(Kind::Secret, &source.secret_name));
    volume.secret.iter().for_each(|source| put(Kind::Secret, text(source.secret_name.as_ref())));
    volume.config_map.iter().for_each(|source| put(Kind::ConfigMap, &source.name));
    for source in volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten()) {
        source.secret.iter().for_each(|secret| put(Kind::Secret, &secret.name));
        source.config_map.iter().for_each(|map| put(Kind::ConfigMap, &map.name));
    }
    if let Some(claim) = claim_of(volume, pod) {
        put(Kind::Claim, &claim);
    }
}

/// The PersistentVolumeClaim that a volume of a pod of this name is.
pub(crate) fn claim_of(volume: &Volume, pod: &str) -> Option<String> {
    if let Some(source) = &volume.persistent_volume_claim {
        return Some(source.claim_name.clone());
    }
    volume.ephemeral.as_ref().map(|_| format!("{pod}-{}", volume.name))
}

/// The ResourceClaims of a pod: those that it names, and those that were made for it.
fn claims<'a>(pod: &'a Pod, spec: &'a PodSpec) -> impl Iterator<Item = &'a str> {
    let status = pod.status.as_ref();
    let made = status.and_then(|status| status.resource_claim_statuses.as_deref()).unwrap_or_default();
    let extended = status.and_then(|status| status.extended_resource_claim_status.as_ref());
    let named = spec.resource_claims.iter().flatten().filter_map(move |claim| match &claim.resource_claim_name {
        Some(name) => Some(name.as_str()),
        None => {
            claim.resource_claim_template_name.as_ref()?;
            let made = made.iter().find(|made| made.name == claim.name)?;
            made.resource_claim_name.as_deref()
        }
    });
    named.chain(extended.map(|claim| claim.resource_claim_name.as_str()))
}

/// The claim that a volume is bound to, and the Secrets that a node needs to mount it.
pub(super) fn of_persistent_volume(volume: &PersistentVolume) -> Option<(Place, Vec<Place>)> {
    let spec = volume.spec.as_ref()?;
    let claim = spec.claim_ref.as_ref()?;
    let namespace = text(claim.namespace.as_ref());
    let mut secrets = Vec::new();
    secrets_of(spec, namespace, &mut |namespace: &str, name: &str| {
        if !name.is_empty() {
            secrets.push(Place::new(Kind::Secret, namespace, name));
        }
    });
    secrets.sort_unstable();
    secrets.dedup();
    Some((Place::new(Kind::Claim, namespace, text(claim.name.as_ref())), secrets))
}

/// Those that only controllers need are not among them.
fn secrets_of(spec: &PersistentVolumeSpec, claim: &str, put: &mut impl FnMut(&str, &str)) {
    if let Some(source) = &spec.azure_file {
        put(or(source.secret_namespace.as_ref(), claim), &source.secret_name);
    }
    // Older volumes name no namespace, and mean the claim's.
    let of_claim = [
        spec.cephfs.as_ref().and_then(|source| source.secret_ref.as_ref()),
        spec.flex_volume.as_ref().and_then(|source| source.secret_ref.as_ref()),
        spec.rbd.as_ref().and_then(|source| source.secret_ref.as_ref()),
        spec.scale_io.as_ref().map(|source| &source.secret_ref),
        spec.iscsi.as_ref().and_then(|source| source.secret_ref.as_ref()),
    ];
    for secret in of_claim.into_iter().flatten() {
        put(or(secret.namespace.as_ref(), claim), text(secret.name.as_ref()));
    }
    let csi = spec.csi.as_ref();
    let elsewhere = [
        spec.cinder.as_ref().and_then(|source| source.secret_ref.as_ref()),
        csi.and_then(|source| source.node_publish_secret_ref.as_ref()),
        csi.and_then(|source| source.node_stage_secret_ref.as_ref()),
        csi.and_then(|source| source.node_expand_secret_ref.as_ref()),
    ];
    for secret in elsewhere.into_iter().flatten() {
        put(text(secret.namespace.as_ref()), text(secret.name.as_ref()));
    }
    if let Some(secret) = spec.storageos.as_ref().and_then(|source| source.secret_ref.as_ref()) {
        put(text(secret.namespace.as_ref()), text(secret.name.as_ref()));
    }
}

fn or<'a>(stated: Option<&'a String>, otherwise: &'a str) -> &'a str {
    stated.map(String::as_str).filter(|stated| !stated.is_empty()).unwrap_or(otherwise)
}

fn text(text: Option<&String>) -> &str {
    text.map(String::as_str).unwrap_or_default()
}
