//! A node's pods: which it may make, end, and say the status of.

use api::field::go_quote;
use api::status::{GroupResource, Status};
use k8s_openapi::api::core::v1::{Node, Pod, PodSpec, Volume, VolumeProjection};

use super::{Operation, Write};
use crate::authz::node::{MIRROR, environments};

pub(super) async fn admit(write: Write<'_>) -> Result<(), Status> {
    match write.operation() {
        Operation::Create => admit_new(write).await,
        Operation::Delete if is_on(write.object()?, write.node) => Ok(()),
        Operation::Delete => {
            let why = format!("node {} can only delete pods with spec.nodeName set to itself", go_quote(write.node));
            Err(write.refused(why))
        }
        Operation::Update => {
            let (operation, node) = (go_quote(write.operation().as_str()), go_quote(write.node));
            let why = format!("unexpected operation {operation}, node {node} can only create and delete mirror pods");
            Err(write.refused(why))
        }
    }
}

fn is_on(pod: &Pod, node: &str) -> bool {
    pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()) == Some(node)
}

/// A new pod stands for one that the node has from elsewhere, and refers to nothing that the node would then be shown.
async fn admit_new(write: Write<'_>) -> Result<(), Status> {
    let pod: &Pod = write.object()?;
    let this = go_quote(write.node);
    if !pod.metadata.annotations.as_ref().is_some_and(|annotations| annotations.contains_key(MIRROR)) {
        let why = format!("pod does not have \"{MIRROR}\" annotation, node {this} can only create mirror pods");
        return Err(write.refused(why));
    }
    if !is_on(pod, write.node) {
        return Err(write.refused(format!("node {this} can only create pods with spec.nodeName set to itself")));
    }
    admit_owner(write, pod, &this).await?;
    match pod.spec.as_ref().and_then(refers_to) {
        Some(what) => Err(write.refused(format!("node {this} can not create pods that reference {}", go_quote(what)))),
        None => Ok(()),
    }
}

async fn admit_owner(write: Write<'_>, pod: &Pod, this: &str) -> Result<(), Status> {
    let only = |what: &str| {
        write.refused(format!("node {this} can only create pods with {what} owner reference set to itself"))
    };
    let owner = match pod.metadata.owner_references.as_deref().unwrap_or_default() {
        [] => return Err(only("an")),
        [owner] => owner,
        _ => return Err(only("a single")),
    };
    if (owner.api_version.as_str(), owner.kind.as_str(), owner.name.as_str()) != ("v1", "Node", write.node) {
        return Err(only("an"));
    }
    if owner.controller != Some(true) {
        return Err(only("a controller"));
    }
    if owner.block_owner_deletion == Some(true) {
        return Err(write.refused(format!("node {this} must not set blockOwnerDeletion on an owner reference")));
    }
    let node: Option<Node> = write.stored("core/nodes", "", write.node).await?;
    let node = node.ok_or_else(|| Status::not_found(&GroupResource::new("", "nodes"), write.node))?;
    let uid = node.metadata.uid.unwrap_or_default();
    if owner.uid != uid {
        let why = format!("node {} UID mismatch: expected {} got {uid}", write.node, owner.uid);
        return Err(write.refused(why));
    }
    Ok(())
}

/// What of the API a pod refers to, if anything, in upstream's order and words.
fn refers_to(spec: &PodSpec) -> Option<&'static str> {
    if spec.service_account_name.as_ref().is_some_and(|name| !name.is_empty()) {
        return Some("serviceaccounts");
    }
    let refers_by = |secrets: bool| {
        environments(spec).any(|environment| {
            let mut variables = environment.variables().iter().filter_map(|variable| variable.value_from.as_ref());
            let mut sources = environment.sources().iter();
            if secrets {
                variables.any(|from| from.secret_key_ref.is_some()) || sources.any(|from| from.secret_ref.is_some())
            } else {
                variables.any(|from| from.config_map_key_ref.is_some())
                    || sources.any(|from| from.config_map_ref.is_some())
            }
        })
    };
    if spec.image_pull_secrets.as_ref().is_some_and(|secrets| !secrets.is_empty()) || refers_by(true) {
        return Some("secrets");
    }
    if refers_by(false) {
        return Some("configmaps");
    }
    if spec.resource_claims.as_ref().is_some_and(|claims| !claims.is_empty()) {
        return Some("resourceclaims");
    }
    spec.volumes.iter().flatten().find_map(by_volume)
}

fn by_volume(volume: &Volume) -> Option<&'static str> {
    let secret_of_storage = volume.azure_file.is_some()
        || volume.cephfs.as_ref().is_some_and(|source| source.secret_ref.is_some())
        || volume.cinder.as_ref().is_some_and(|source| source.secret_ref.is_some())
        || volume.flex_volume.as_ref().is_some_and(|source| source.secret_ref.is_some())
        || volume.iscsi.as_ref().is_some_and(|source| source.secret_ref.is_some())
        || volume.rbd.as_ref().is_some_and(|source| source.secret_ref.is_some())
        || volume.scale_io.is_some()
        || volume.storageos.as_ref().is_some_and(|source| source.secret_ref.is_some());
    match volume {
        _ if secret_of_storage => Some("secrets"),
        Volume { config_map: Some(_), .. } => Some("configmaps (via configmap volumes)"),
        Volume { secret: Some(_), .. } => Some("secrets (via secret volumes)"),
        Volume { csi: Some(_), .. } => Some("csidrivers (via CSI volumes)"),
        Volume { persistent_volume_claim: Some(_), .. } => Some("persistentvolumeclaims"),
        Volume { ephemeral: Some(_), .. } => Some("persistentvolumeclaims (via ephemeral volumes)"),
        // What it is of is looked up by the node.
        Volume { glusterfs: Some(_), .. } => Some("endpoints (via glusterFS volumes)"),
        Volume { projected: Some(projected), .. } => projected.sources.iter().flatten().find_map(by_projection),
        _ => None,
    }
}

fn by_projection(source: &VolumeProjection) -> Option<&'static str> {
    match source {
        VolumeProjection { config_map: Some(_), .. } => Some("configmaps (via projected volumes)"),
        VolumeProjection { secret: Some(_), .. } => Some("secrets (via projected volumes)"),
        VolumeProjection { service_account_token: Some(_), .. } => Some("serviceaccounts (via projected volumes)"),
        VolumeProjection { cluster_trust_bundle: Some(_), .. } => Some("clustertrustbundles"),
        VolumeProjection { pod_certificate: Some(_), .. } => Some("podcertificates"),
        _ => None,
    }
}

pub(super) fn admit_status(write: Write<'_>) -> Result<(), Status> {
    if write.operation() != Operation::Update {
        return Err(write.unexpected());
    }
    let (new, old): (&Pod, &Pod) = (write.object()?, write.old()?);
    let this = go_quote(write.node);
    if !is_on(old, write.node) {
        let why = format!("node {this} can only update pod status for pods with spec.nodeName set to itself");
        return Err(write.refused(why));
    }
    let labels = |pod: &Pod| pod.metadata.labels.clone().unwrap_or_default();
    if labels(new) != labels(old) {
        return Err(write.refused(format!("node {this} cannot update labels through pod status")));
    }
    // What claims a pod has decides which claims its node is shown.
    let claims = |pod: &Pod| pod.status.as_ref().and_then(|status| status.resource_claim_statuses.clone());
    if claims(new).unwrap_or_default() != claims(old).unwrap_or_default() {
        return Err(write.refused(format!("node {this} cannot update resource claim statues")));
    }
    let extended = |pod: &Pod| pod.status.as_ref().and_then(|status| status.extended_resource_claim_status.clone());
    if extended(new) != extended(old) {
        return Err(write.refused(format!("node {this} cannot update extended resource claim status")));
    }
    Ok(())
}

pub(super) async fn admit_eviction(write: Write<'_>) -> Result<(), Status> {
    let name = write.name();
    if name.is_empty() {
        return Err(write.refused("could not determine pod from request data"));
    }
    let pod: Option<Pod> = write.stored("core/pods", write.review.call.namespace(), name).await?;
    let pod = pod.ok_or_else(|| Status::not_found(&GroupResource::new("", "pods"), name))?;
    if !is_on(&pod, write.node) {
        let why = format!("node {} can only evict pods with spec.nodeName set to itself", write.node);
        return Err(write.refused(why));
    }
    Ok(())
}
