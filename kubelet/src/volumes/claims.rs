//! What a persistent volume claim stands for on this node. What is asked of the API server is asked here; what follows from
//! the answers is decided by pure functions, in upstream's words.
//!
//! Whether the volume may be used on this node is the scheduler's to judge, and was judged.

use std::time::Duration;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Api, Client};
use tokio::time::timeout;

use super::problem::said;

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(10);

/// Where a persistent volume is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A path of whatever node.
    HostPath { path: String, kind: String },
    /// A path of this node: a directory, or a device.
    Local { path: String },
}

/// What a claim stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claimed {
    /// The claim's name.
    pub claim: String,
    /// The volume's name.
    pub volume: String,
    /// Where it is.
    pub place: Place,
    /// Whether it is a device, and no file system.
    pub is_block: bool,
    /// How it is to be mounted.
    pub options: Vec<String>,
    /// The group that may use what is in it, which every process of the pod is to be in.
    pub group: Option<i64>,
}

/// Says on a persistent volume which group that is.
const GROUP: &str = "pv.beta.kubernetes.io/gid";

/// Asks what a claim stands for. `is_owned` says that the claim is the pod's own, made for a generic ephemeral volume.
///
/// # Errors
/// If it is not bound, not the pod's though it should be, or bound to what this node cannot mount.
pub(super) async fn resolve(client: &Client, pod: &Pod, claim: &str, is_owned: bool) -> Result<Claimed, String> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let failed = |error: String| format!("error processing PVC {namespace}/{claim}: {error}");
    let claims = Api::<PersistentVolumeClaim>::namespaced(client.clone(), namespace);
    let found = answer(claims.get(claim)).await;
    let found = found.map_err(|error| failed(format!("failed to fetch PVC from API server: {error}")))?;
    let volume = bound_volume(pod, &found, is_owned).map_err(failed)?;
    let volumes = Api::<PersistentVolume>::all(client.clone());
    let fetched = answer(volumes.get(volume)).await;
    let fetched = fetched.map_err(|error| failed(format!("failed to fetch PV {volume} from API server: {error}")))?;
    claimed(&found, &fetched).map_err(failed)
}

async fn answer<T>(ask: impl Future<Output = Result<T, kube::Error>>) -> Result<T, String> {
    match timeout(ANSWER, ask).await {
        Ok(answer) => answer.map_err(said),
        Err(_) => Err("it does not answer".to_owned()),
    }
}

fn name(meta: &ObjectMeta) -> &str {
    meta.name.as_deref().unwrap_or_default()
}

/// The volume that a claim is bound to.
fn bound_volume<'a>(pod: &Pod, claim: &'a PersistentVolumeClaim, is_owned: bool) -> Result<&'a str, String> {
    if is_owned {
        let mut owners = claim.metadata.owner_references.iter().flatten();
        let pod_uid = pod.metadata.uid.as_deref().unwrap_or_default();
        if !owners.any(|owner| owner.controller == Some(true) && owner.uid == pod_uid) {
            let namespace = claim.metadata.namespace.as_deref().unwrap_or_default();
            return Err(format!(
                "PVC {namespace}/{} was not created for pod {namespace}/{} (pod is not owner)",
                name(&claim.metadata),
                name(&pod.metadata),
            ));
        }
    }
    if claim.metadata.deletion_timestamp.is_some() {
        return Err("PVC is being deleted".to_owned());
    }
    let phase = claim.status.as_ref().and_then(|status| status.phase.as_deref());
    let volume = claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref()).filter(|name| !name.is_empty());
    volume.filter(|_| phase == Some("Bound")).ok_or_else(|| "PVC is not bound".to_owned())
}

/// What a volume is to the claim that is bound to it.
fn claimed(claim: &PersistentVolumeClaim, volume: &PersistentVolume) -> Result<Claimed, String> {
    let (name, uid) = (name(&volume.metadata), claim.metadata.uid.as_deref().unwrap_or_default());
    let spec = volume.spec.as_ref().ok_or_else(|| format!("PV {name} has no spec"))?;
    match spec.claim_ref.as_ref() {
        None => {
            return Err(format!(
                "found PV object {name} with nil pv.Spec.ClaimRef indicating it is not yet bound to the claim"
            ));
        }
        Some(reference) if reference.uid.as_deref() != Some(uid) => {
            return Err(format!(
                "found PV object {name} with a pv.Spec.ClaimRef.UID {} that does not point to the expected claim UID {uid}",
                reference.uid.as_deref().unwrap_or_default(),
            ));
        }
        Some(_) => {}
    }
    let place = if let Some(host) = &spec.host_path {
        Place::HostPath { path: host.path.clone(), kind: host.type_.clone().unwrap_or_default() }
    } else if let Some(local) = &spec.local {
        Place::Local { path: local.path.clone() }
    } else {
        let kind = super::kinds::of_persistent(spec);
        return Err(format!("PV {name} is of the kind {kind}, which this node cannot mount: use local or hostPath"));
    };
    let is_block = spec.volume_mode.as_deref() == Some("Block");
    if is_block && matches!(place, Place::HostPath { .. }) {
        return Err(format!("PV {name} has volumeMode Block, which hostPath volumes cannot have: use local"));
    }
    let options = spec.mount_options.clone().unwrap_or_default();
    let claim = self::name(&claim.metadata).to_owned();
    Ok(Claimed { claim, volume: name.to_owned(), place, is_block, options, group: group_of(volume) })
}

/// The group of a volume. What is no number is of no effect, as by upstream.
fn group_of(volume: &PersistentVolume) -> Option<i64> {
    let text = volume.metadata.annotations.as_ref()?.get(GROUP)?;
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn outcome(claim: Value, volume: Value, is_owned: bool) -> Result<Claimed, String> {
        let pod = json!({"metadata": {"name": "web", "namespace": "shop", "uid": "p1"}});
        let pod: Pod = serde_json::from_value(pod).unwrap();
        let mut whole = json!({
            "metadata": {"name": "data", "namespace": "shop", "uid": "c1"},
            "spec": {"volumeName": "pv1"}, "status": {"phase": "Bound"},
        });
        api::patch::merge::apply(&whole, claim).map(|merged| whole = merged).unwrap();
        let claim: PersistentVolumeClaim = serde_json::from_value(whole).unwrap();
        bound_volume(&pod, &claim, is_owned)?;
        let mut spec = json!({"claimRef": {"uid": "c1"}});
        api::patch::merge::apply(&spec, volume).map(|merged| spec = merged).unwrap();
        let volume = json!({"metadata": {"name": "pv1"}, "spec": spec});
        claimed(&claim, &serde_json::from_value(volume).unwrap())
    }

    #[test]
    fn only_bound_claims_are_mounted() {
        let refused = |claim: Value, volume: Value, is_owned: bool, expected: &str| {
            assert_eq!(outcome(claim, volume, is_owned).unwrap_err(), expected);
        };
        let host = || json!({"hostPath": {"path": "/data"}});
        refused(json!({"status": {"phase": "Pending"}}), host(), false, "PVC is not bound");
        refused(json!({"spec": {"volumeName": ""}}), host(), false, "PVC is not bound");
        let going = json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}});
        refused(going, host(), false, "PVC is being deleted");
        let others = "PVC shop/data was not created for pod shop/web (pod is not owner)";
        refused(json!({}), host(), true, others);
        let unbound = "found PV object pv1 with nil pv.Spec.ClaimRef indicating it is not yet bound to the claim";
        refused(json!({}), json!({"claimRef": null}), false, unbound);
        let elsewhere =
            "found PV object pv1 with a pv.Spec.ClaimRef.UID c2 that does not point to the expected claim UID c1";
        refused(json!({}), json!({"claimRef": {"uid": "c2"}}), false, elsewhere);
        let nfs = "PV pv1 is of the kind nfs, which this node cannot mount: use local or hostPath";
        refused(json!({}), json!({"nfs": {"path": "/", "server": "s"}}), false, nfs);
        let block = "PV pv1 has volumeMode Block, which hostPath volumes cannot have: use local";
        refused(json!({}), json!({"hostPath": {"path": "/d"}, "volumeMode": "Block"}), false, block);
    }

    #[test]
    fn claims_stand_for_places() {
        let check = |claim: Value, volume: Value, place: Place, is_block: bool| {
            let options = volume["mountOptions"].as_array().into_iter().flatten();
            let options = options.map(|option| option.as_str().unwrap().to_owned()).collect();
            let (claimed, volume_name, group) = ("data".to_owned(), "pv1".to_owned(), None);
            let expected = Claimed { claim: claimed, volume: volume_name, place, is_block, options, group };
            let is_owned = !claim.is_null();
            assert_eq!(outcome(if is_owned { claim } else { json!({}) }, volume, is_owned), Ok(expected));
        };
        let host = Place::HostPath { path: "/data".to_owned(), kind: "Directory".to_owned() };
        check(Value::Null, json!({"hostPath": {"path": "/data", "type": "Directory"}}), host, false);
        let local = || Place::Local { path: "/dev/x".to_owned() };
        let owner = json!({"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": "p1", "controller": true});
        check(json!({"metadata": {"ownerReferences": [owner]}}), json!({"local": {"path": "/dev/x"}}), local(), false);
        check(Value::Null, json!({"local": {"path": "/dev/x"}, "volumeMode": "Block"}), local(), true);
        check(Value::Null, json!({"local": {"path": "/dev/x"}, "mountOptions": ["noexec"]}), local(), false);
    }

    #[test]
    fn a_volume_may_be_of_a_group() {
        let check = |text: Option<&str>, expected: Option<i64>| {
            let annotations = text.map(|text| json!({GROUP: text}));
            let volume = json!({"metadata": {"name": "pv1", "annotations": annotations}});
            assert_eq!(group_of(&serde_json::from_value(volume).unwrap()), expected, "{text:?}");
        };
        check(None, None);
        check(Some("1234"), Some(1234));
        check(Some("abc123"), None);
        check(Some(""), None);
    }
}
