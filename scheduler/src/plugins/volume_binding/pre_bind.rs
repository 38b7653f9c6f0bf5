//! What has to be written before a pod is bound whose volumes are not, and what has to happen then.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{ObjectReference, PersistentVolume, PersistentVolumeClaim};

use crate::cycle::{Candidate, PreBind, Write};
use crate::snapshot::storage::{Claim, SELECTED_NODE, Volume};
use crate::snapshot::{ClaimKey, NodeIndex, PodClaim, PodVolumes, Snapshot};

/// Says that what binds volumes to claims is not the user.
const BOUND_BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";

/// The volume, kept for the claim; nothing if it is already.
pub(super) fn keep_for(volume: &Volume, claim: &Claim) -> Option<Arc<PersistentVolume>> {
    let mut object = PersistentVolume::clone(&volume.object);
    let known = volume.claim.as_ref().is_some_and(|(key, uid)| *key == claim.key && *uid == claim.uid);
    if !known {
        object.spec.get_or_insert_default().claim_ref = Some(ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("PersistentVolumeClaim".to_owned()),
            namespace: Some(claim.key.namespace.clone()),
            name: Some(claim.key.name.clone()),
            uid: Some(claim.uid.clone()),
            resource_version: claim.object.metadata.resource_version.clone(),
            field_path: None,
        });
    }
    if !volume.is_of(claim) {
        let annotations = object.metadata.annotations.get_or_insert_default();
        annotations.entry(BOUND_BY_CONTROLLER.to_owned()).or_insert_with(|| "yes".to_owned());
    }
    (!known).then(|| Arc::new(object))
}

/// The claim, with the node on which its volume is to be made; nothing if that is known already.
pub(super) fn select_node(claim: &Claim, node: &str) -> Option<Arc<PersistentVolumeClaim>> {
    if claim.selected_node.as_deref() == Some(node) {
        return None;
    }
    let mut object = PersistentVolumeClaim::clone(&claim.object);
    object.metadata.annotations.get_or_insert_default().insert(SELECTED_NODE.to_owned(), node.to_owned());
    Some(Arc::new(object))
}

/// A claim that is not bound yet, and how it will be.
#[derive(Clone, Debug)]
struct Waiting {
    claim: ClaimKey,
    how: How,
    /// The version of what is written, before it is written.
    before: Option<String>,
}

#[derive(Clone, Debug)]
enum How {
    /// To the volume of this name.
    Static(String),
    /// To one that is made for it.
    Dynamic,
    /// Not at all: what was decided no longer holds.
    Lost,
}

/// What has to be done for the pod's claims, if anything.
pub(super) fn pre_bind(
    snapshot: &Snapshot,
    pod: &Candidate<'_>,
    node: NodeIndex,
    timeout: Duration,
) -> Option<PreBind> {
    let volumes = pod.info.volumes.as_deref()?;
    let node = snapshot.node(node).name.clone();
    let (waiting, writes) = plan(snapshot, volumes, pod.uid, &node);
    if waiting.is_empty() {
        return None;
    }
    let placed = snapshot.pod(pod.uid).map(|pod| pod.uid.clone());
    let name = placed.as_ref().and_then(|uid| snapshot.pod(uid)).map_or_else(String::new, |pod| pod.name.clone());
    let ready = move |snapshot: &Snapshot| {
        // A pod that was not counted before cannot be missed.
        let there = placed.as_ref().is_none_or(|uid| snapshot.pod(uid).is_some());
        let told = if there {
            are_bound(snapshot, &waiting, &node)
        } else {
            Err(format!("pod does not exist any more: pod {name:?} not found"))
        };
        told.map_err(|why| format!("binding volumes: {why}"))
    };
    Some(PreBind { writes, ready: Arc::new(ready), timeout })
}

fn plan(snapshot: &Snapshot, volumes: &PodVolumes, pod: &str, node: &str) -> (Vec<Waiting>, Vec<Write>) {
    let storage = snapshot.storage();
    let (mut waiting, mut of_volumes, mut of_claims) = (Vec::new(), Vec::new(), Vec::new());
    for PodClaim { key, .. } in &volumes.claims {
        let claim = storage.claim(key);
        if claim.is_some_and(|claim| claim.bound) {
            continue;
        }
        let kept = claim.and_then(|claim| storage.kept_volumes(key).find(|volume| volume.is_of(claim)));
        let (how, before) = match (claim, kept) {
            (Some(claim), _) if claim.selected_node.as_deref() == Some(node) => {
                let decided = storage.claim_decided_for(key, pod);
                of_claims.extend(
                    decided.map(|claim| {
                        Write::PersistentVolumeClaim(Box::new(PersistentVolumeClaim::clone(&claim.object)))
                    }),
                );
                (How::Dynamic, decided.map(|claim| claim.version().to_owned()))
            }
            (Some(_), Some(volume)) => {
                let decided = storage.volume_decided_for(&volume.name, pod);
                of_volumes.extend(
                    decided.map(|volume| Write::PersistentVolume(Box::new(PersistentVolume::clone(&volume.object)))),
                );
                (How::Static(volume.name.clone()), decided.map(|volume| volume.version().to_owned()))
            }
            _ => (How::Lost, None),
        };
        waiting.push(Waiting { claim: key.clone(), how, before });
    }
    if waiting.iter().any(|waiting| matches!(waiting.how, How::Lost)) {
        // Nothing is to be begun that cannot be brought to an end.
        return (waiting, Vec::new());
    }
    // Upstream binds what there is before it asks for more.
    waiting.sort_by_key(|waiting| matches!(waiting.how, How::Dynamic));
    of_volumes.extend(of_claims);
    (waiting, of_volumes)
}

/// Whether all claims are bound, by what the API says.
fn are_bound(snapshot: &Snapshot, waiting: &[Waiting], node: &str) -> Result<bool, String> {
    let index = snapshot.index(node).ok_or_else(|| format!("failed to get node {node:?}: node {node:?} not found"))?;
    for waiting in waiting {
        let bound = match &waiting.how {
            How::Static(volume) => is_bound_to(snapshot, waiting, volume, index)?,
            How::Dynamic => is_provisioned(snapshot, waiting, index)?,
            How::Lost => {
                let ClaimKey { namespace, name } = &waiting.claim;
                return Err(format!(
                    "volumes that were found for claim \"{namespace}/{name}\" are no longer kept for it"
                ));
            }
        };
        if !bound {
            return Ok(false);
        }
    }
    Ok(true)
}

fn is_bound_to(snapshot: &Snapshot, waiting: &Waiting, volume: &str, node: NodeIndex) -> Result<bool, String> {
    let missing = || format!("failed to check binding: persistentvolumes {volume:?} not found");
    let volume = snapshot.storage().api_volume(volume).ok_or_else(missing)?;
    let claim = api_claim(snapshot, &waiting.claim, "failed to check binding")?;
    if waiting.before.as_deref() == Some(volume.version()) {
        // What was written has not come back yet.
        return Ok(false);
    }
    check_node(snapshot, volume, node)?;
    if volume.claim.as_ref().is_none_or(|(_, uid)| uid.is_empty()) {
        return Err(format!("ClaimRef got reset for pv {:?}", volume.name));
    }
    Ok(claim.bound)
}

fn is_provisioned(snapshot: &Snapshot, waiting: &Waiting, node: NodeIndex) -> Result<bool, String> {
    let claim = api_claim(snapshot, &waiting.claim, "failed to check provisioning pvc")?;
    if waiting.before.as_deref() == Some(claim.version()) {
        return Ok(false);
    }
    let name = &claim.key.name;
    if claim.object.metadata.annotations.is_none() {
        return Err(format!("selectedNode annotation reset for PVC {name:?}"));
    }
    // Who makes volumes takes the node away if it cannot make one there.
    if claim.selected_node.as_ref() != Some(&snapshot.node(node).name) {
        return Err(format!("provisioning failed for PVC {name:?}"));
    }
    if !claim.volume.is_empty() {
        // The volume may just not have been heard of yet.
        let Some(volume) = snapshot.storage().api_volume(&claim.volume) else { return Ok(false) };
        check_node(snapshot, volume, node)?;
    }
    Ok(claim.bound)
}

fn api_claim<'a>(snapshot: &'a Snapshot, key: &ClaimKey, what: &str) -> Result<&'a Claim, String> {
    let claim = snapshot.storage().api_claim(key).map(|claim| &**claim);
    let ClaimKey { namespace, name } = key;
    claim.ok_or_else(|| format!("{what}: persistentvolumeclaims \"{namespace}/{name}\" not found"))
}

/// Whether the node still reaches the volume.
fn check_node(snapshot: &Snapshot, volume: &Volume, node: NodeIndex) -> Result<(), String> {
    let node = snapshot.node(node);
    if volume.is_reached_through(&node.labels, snapshot.storage().csi_node(&node.name)) {
        return Ok(());
    }
    let (volume, node) = (&volume.name, &node.name);
    Err(format!("pv {volume:?} node affinity doesn't match node {node:?}: no matching NodeSelectorTerms"))
}
