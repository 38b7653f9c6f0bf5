//! Pods stay on a node that is not ready or not heard of for five minutes, unless they say otherwise.

use api::status::Status;
use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::{Pod, PodSpec, Toleration};

use super::{Plugin, Review, typed_mut};
use crate::object::Object;

/// How long, in seconds (upstream's default).
const SECONDS: i64 = 300;

const TAINTS: [&str; 2] = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];

pub(super) struct DefaultTolerationSeconds;

impl Plugin for DefaultTolerationSeconds {
    fn handles(&self, review: &Review<'_>) -> bool {
        review.is_of("core/pods")
    }

    fn mutate<'a>(
        &'a self,
        _: &'a Review<'a>,
        object: &'a mut dyn Object,
        _: Option<&'a dyn Object>,
    ) -> BoxFuture<'a, Result<(), Status>> {
        if let Some(spec) = typed_mut::<Pod>(object).and_then(|pod| pod.spec.as_mut()) {
            tolerate(spec);
        }
        async { Ok(()) }.boxed()
    }
}

fn tolerate(spec: &mut PodSpec) {
    for taint in TAINTS {
        let says = |toleration: &Toleration| {
            let unset_or = |text: &Option<String>, wanted: &str| {
                text.as_deref().is_none_or(|text| text.is_empty() || text == wanted)
            };
            unset_or(&toleration.key, taint) && unset_or(&toleration.effect, "NoExecute")
        };
        let tolerations = spec.tolerations.get_or_insert_default();
        if !tolerations.iter().any(says) {
            tolerations.push(Toleration {
                key: Some(taint.to_owned()),
                operator: Some("Exists".to_owned()),
                effect: Some("NoExecute".to_owned()),
                toleration_seconds: Some(SECONDS),
                ..Toleration::default()
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn who_says_nothing_stays_for_a_while() {
        let check = |given: serde_json::Value, added: &[&str]| {
            let mut spec =
                PodSpec { tolerations: serde_json::from_value(given.clone()).unwrap(), ..PodSpec::default() };
            let before = spec.tolerations.as_ref().map_or(0, Vec::len);
            tolerate(&mut spec);
            let tolerations = spec.tolerations.unwrap();
            let keys: Vec<_> = tolerations[before..].iter().map(|added| added.key.as_deref().unwrap()).collect();
            assert_eq!(keys, added, "{given}");
            assert!(tolerations[before..].iter().all(|added| added.toleration_seconds == Some(300)));
        };
        check(json!(null), &TAINTS);
        check(json!([{"key": "a", "operator": "Exists"}]), &TAINTS);
        check(json!([{"key": TAINTS[0], "operator": "Exists", "effect": "NoSchedule"}]), &TAINTS);
        check(json!([{"key": TAINTS[0], "operator": "Exists", "effect": "NoExecute"}]), &TAINTS[1..]);
        check(json!([{"key": TAINTS[1], "operator": "Exists", "tolerationSeconds": 1}]), &TAINTS[..1]);
        check(json!([{"operator": "Exists"}]), &[]);
    }
}
