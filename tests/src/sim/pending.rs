//! Which pods have no node although they could have one, as a scheduler sees it that knows nothing but the objects.

use k8s_openapi::api::core::v1::{Namespace, Node, Pod};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use scheduler::config::ExtensionPoint;
use scheduler::cycle::{Attempt, Candidate, PostFilter, Profile, schedule};
use scheduler::snapshot::{PodInfo, Snapshot};
use serde::de::DeserializeOwned;
use serde_json::Value;

fn read<K: DeserializeOwned>(value: &Value) -> Option<K> {
    K::deserialize(value).ok()
}

fn node_name(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref())
}

fn nominated(pod: &Pod) -> Option<&str> {
    pod.status.as_ref().and_then(|status| status.nominated_node_name.as_deref())
}

/// The keys of pods that have no node, and for which there is one or room can be made on one; each with what there is.
#[must_use]
pub fn neglected<'a>(objects: impl Iterator<Item = (&'a String, &'a Value)>) -> Vec<(String, String)> {
    let mut snapshot = Snapshot::default();
    let mut pending = Vec::new();
    for (key, value) in objects {
        match value["kind"].as_str().unwrap_or_default() {
            "Node" => read::<Node>(value).iter().for_each(|node| snapshot.set_node(node)),
            "Namespace" => {
                let Some(Namespace { metadata, .. }) = read(value) else { continue };
                snapshot.set_namespace(&metadata.name.unwrap_or_default(), metadata.labels.unwrap_or_default());
            }
            "PodDisruptionBudget" => {
                read::<PodDisruptionBudget>(value).iter().for_each(|budget| snapshot.set_budget(budget));
            }
            "Pod" => match read::<Pod>(value) {
                Some(pod) if node_name(&pod).is_some() => snapshot.set_pod(&pod),
                Some(pod) if pod.metadata.deletion_timestamp.is_none() => pending.push((key, pod)),
                _ => {}
            },
            _ => {}
        }
    }
    for (_, pod) in &pending {
        if let Some(node) = nominated(pod) {
            snapshot.nominate(pod, node);
        }
    }
    let profile = Profile::default();
    let found = pending.iter().filter_map(|(key, pod)| Some(((*key).clone(), place(&mut snapshot, &profile, pod)?)));
    found.collect()
}

/// What there is for a pod.
fn place(snapshot: &mut Snapshot, profile: &Profile, pod: &Pod) -> Option<String> {
    let info = PodInfo::new(pod);
    snapshot.watch(&info);
    let uid = pod.metadata.uid.as_deref().unwrap_or_default();
    let candidate = Candidate { uid, info: &info, nominated_node: nominated(pod) };
    let mut random = SmallRng::seed_from_u64(0);
    let decision = schedule(snapshot, profile, &candidate, 0, &mut random);
    if let Some(node) = decision.node {
        return Some(format!("there is room on {}", snapshot.node(node).name));
    }
    let attempt = Attempt { snapshot, profile, pod: &candidate, verdicts: &decision.verdicts };
    let remedies = profile.at(ExtensionPoint::PostFilter);
    let mut remedies = remedies.filter_map(|plugin| plugin.post_filter(&attempt, &mut random));
    remedies.find_map(|remedy| match remedy {
        PostFilter::Room { node, victims, .. } => {
            let victims: Vec<&str> = victims.iter().map(|victim| victim.name.as_str()).collect();
            Some(format!("room can be made on {} if {victims:?} go", snapshot.node(node).name))
        }
        PostFilter::Unhelpful { .. } => None,
    })
}
