//! What plugins of volumes ask of the claims that a pod needs.

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Volume};

use crate::snapshot::claim_name;

/// A pod's volumes.
pub(super) fn volumes(pod: &Pod) -> &[Volume] {
    pod.spec.as_ref().and_then(|spec| spec.volumes.as_deref()).unwrap_or_default()
}

/// Whether the pod needs the claim. Claims that are made for it count if `ephemeral`.
pub(super) fn needs(pod: &Pod, claim: &PersistentVolumeClaim, ephemeral: bool) -> bool {
    let needs = |volume: &Volume| {
        let named = claim_name(pod, volume).filter(|(_, made)| ephemeral || !made);
        named.is_some_and(|(name, _)| claim.metadata.name.as_ref() == Some(&name))
    };
    pod.metadata.namespace == claim.metadata.namespace && volumes(pod).iter().any(needs)
}

/// That there is no such claim, in upstream's words.
pub(super) fn no_claim(name: &str) -> String {
    format!("persistentvolumeclaim {name:?} not found")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{self, object};

    #[test]
    fn pods_need_claims_of_their_namespace() {
        let check = |volume: Value, namespace: &str, name: &str, expected: (bool, bool)| {
            let pod = testing::pod("p", json!({"volumes": [volume]}));
            let claim = object(json!({"metadata": {"namespace": namespace, "name": name}}));
            assert_eq!(
                (needs(&pod, &claim, false), needs(&pod, &claim, true)),
                expected,
                "{volume} {namespace} {name}"
            );
        };
        let claim = || json!({"name": "v", "persistentVolumeClaim": {"claimName": "a"}});
        check(claim(), "default", "a", (true, true));
        check(claim(), "default", "b", (false, false));
        check(claim(), "other", "a", (false, false));
        check(json!({"name": "v", "ephemeral": {}}), "default", "p-v", (false, true));
        check(json!({"name": "v", "ephemeral": {}}), "default", "q-v", (false, false));
        check(json!({"name": "v", "emptyDir": {}}), "default", "p-v", (false, false));
    }
}
