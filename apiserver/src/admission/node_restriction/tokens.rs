//! Tokens that nodes ask for on behalf of their pods.

use api::field::go_quote;
use api::status::{GroupResource, Status};
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod, Volume};
use k8s_openapi::api::storage::v1::CSIDriver;

use super::Write;
use crate::authz::Attributes;
use crate::authz::node::claim_of;

/// What a node must be allowed to do with an audience to get a token for it that its pods do not use.
const REQUEST_AUDIENCE: &str = "request-serviceaccounts-token-audience";

/// A token must be bound to a pod of the node, and be for whom the pod uses it.
pub(super) async fn admit(write: Write<'_>) -> Result<(), Status> {
    let request: &TokenRequest = write.object()?;
    let spec = request.spec.clone().unwrap_or_default();
    let not_bound = || write.refused("node requested token not bound to a pod");
    let BoundObjectReference { api_version, kind, name, uid } = spec.bound_object_ref.ok_or_else(not_bound)?;
    let name = name.unwrap_or_default();
    if api_version.as_deref() != Some("v1") || kind.as_deref() != Some("Pod") || name.is_empty() {
        return Err(not_bound());
    }
    let uid = uid.unwrap_or_default();
    if uid.is_empty() {
        return Err(write.refused("node requested token with a pod binding without a uid"));
    }
    let pod: Option<Pod> = write.stored("core/pods", write.review.call.namespace(), &name).await?;
    let pod = pod.ok_or_else(|| Status::not_found(&GroupResource::new("", "pods"), &name))?;
    if pod.metadata.uid.as_ref() != Some(&uid) {
        let why = format!(
            "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been \
             deleted and then recreated"
        );
        return Err(write.refused(why));
    }
    let on = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
    if on != Some(write.node) {
        return Err(write.refused("node requested token bound to a pod scheduled on a different node"));
    }
    admit_audience(write, &pod, spec.audiences.as_deref().unwrap_or_default()).await
}

async fn admit_audience(write: Write<'_>, pod: &Pod, audiences: &[String]) -> Result<(), Status> {
    let audience = match audiences {
        [] => "",
        [audience] => audience,
        _ => return Err(write.refused("node may only request 0 or 1 audiences")),
    };
    for volume in pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten()) {
        if uses(write, pod, volume, audience).await? {
            return Ok(());
        }
    }
    if may_request(write, audience) {
        return Ok(());
    }
    let user = write.review.call.identity.map(|identity| identity.user.as_str()).unwrap_or_default();
    Err(write.refused(format!(
        "audience {} not found in pod spec volume, {user} is not authorized to request tokens for this audience",
        go_quote(audience)
    )))
}

fn may_request(write: Write<'_>, audience: &str) -> bool {
    let call = write.review.call;
    let attributes = Attributes {
        verb: REQUEST_AUDIENCE.to_owned(),
        version: "v1".to_owned(),
        resource: audience.to_owned(),
        namespace: call.namespace().to_owned(),
        name: write.name().to_owned(),
        ..Attributes::default()
    };
    write.may(&attributes)
}

/// Whether a volume of the pod is made of tokens for an audience: it shows them, or its driver is given them.
async fn uses(write: Write<'_>, pod: &Pod, volume: &Volume, audience: &str) -> Result<bool, Status> {
    let sources = volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten());
    let mut tokens = sources.filter_map(|source| source.service_account_token.as_ref());
    if tokens.any(|token| token.audience.as_deref().unwrap_or_default() == audience) {
        return Ok(true);
    }
    let namespace = write.review.call.namespace();
    let driver = match claim_of(volume, pod.metadata.name.as_deref().unwrap_or_default()) {
        Some(claim) => driver_of(write, namespace, &claim).await?,
        None => volume.csi.as_ref().map(|source| source.driver.clone()),
    };
    let Some(driver) = driver else { return Ok(false) };
    let driver: Option<CSIDriver> = write.stored("storage.k8s.io/csidrivers", "", &driver).await?;
    let requests = driver.and_then(|driver| driver.spec.token_requests).unwrap_or_default();
    Ok(requests.iter().any(|request| request.audience == audience))
}

/// The driver of the volume that a claim is bound to.
async fn driver_of(write: Write<'_>, namespace: &str, claim: &str) -> Result<Option<String>, Status> {
    let claim: Option<PersistentVolumeClaim> = write.stored("core/persistentvolumeclaims", namespace, claim).await?;
    let Some(volume) = claim.and_then(|claim| claim.spec?.volume_name) else { return Ok(None) };
    let volume: Option<PersistentVolume> = write.stored("core/persistentvolumes", "", &volume).await?;
    Ok(volume.and_then(|volume| volume.spec?.csi).map(|source| source.driver))
}
