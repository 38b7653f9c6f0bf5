//! Pod templates: when two are the same, and what a ReplicaSet is called after one.

use api::names::safe_encode;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// The label that tells the pods of one ReplicaSet of a Deployment from those of the others.
pub(super) const HASH_LABEL: &str = "pod-template-hash";
/// How long the name of a ReplicaSet may be.
const LONGEST_NAME: usize = 253;

/// Whether two templates are the same, apart from the label that ReplicaSets add. They are compared as the server keeps
/// them, in which form what means the same is the same.
pub(super) fn is_same(a: &PodTemplateSpec, b: &PodTemplateSpec) -> bool {
    a.spec == b.spec
        && match (&a.metadata, &b.metadata) {
            (None, None) => true,
            (Some(a), Some(b)) => is_same_metadata(a, b),
            (Some(one), None) | (None, Some(one)) => is_same_metadata(one, &ObjectMeta::default()),
        }
}

fn is_same_metadata(a: &ObjectMeta, b: &ObjectMeta) -> bool {
    fn labels(meta: &ObjectMeta) -> impl Iterator<Item = (&String, &String)> {
        meta.labels.iter().flatten().filter(|(key, _)| *key != HASH_LABEL)
    }
    labels(a).eq(labels(b))
        && a.annotations.iter().flatten().eq(b.annotations.iter().flatten())
        && a.name == b.name
        && a.generate_name == b.generate_name
        && a.namespace == b.namespace
        && a.finalizers.iter().flatten().eq(b.finalizers.iter().flatten())
        && a.owner_references.iter().flatten().eq(b.owner_references.iter().flatten())
}

/// A text that tells templates apart, mostly. `collisions` is how often it did not: each time gives another text.
pub(super) fn hash(template: &PodTemplateSpec, collisions: Option<i32>) -> String {
    // A template is a struct with string keys, of which JSON can always be made.
    let mut bytes = serde_json::to_vec(template).unwrap_or_default();
    if let Some(collisions) = collisions {
        bytes.extend(collisions.to_le_bytes());
    }
    safe_encode(&fnv(&bytes).to_string())
}

/// FNV-1a of 32 bits. The crate of that name has only 64.
fn fnv(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

/// The name of the ReplicaSet for a template with this hash. Of a Deployment's name that is too long the end goes.
pub(super) fn replica_set_name(deployment: &str, hash: &str) -> String {
    let end = deployment.floor_char_boundary(LONGEST_NAME.saturating_sub(hash.len() + 1));
    format!("{}-{hash}", &deployment[..end])
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn template(metadata: &Value, image: &str) -> PodTemplateSpec {
        serde_json::from_value(
            json!({"metadata": metadata, "spec": {"containers": [{"name": "main", "image": image}]}}),
        )
        .unwrap()
    }

    #[test]
    fn templates_are_compared_without_the_hash() {
        let check = |a: Value, b: Value, expected| {
            let (a, b) = (template(&a, "web:1"), template(&b, "web:1"));
            assert_eq!((is_same(&a, &b), is_same(&b, &a)), (expected, expected), "{a:?} {b:?}");
        };
        check(json!({"labels": {"app": "web"}}), json!({"labels": {"app": "web", HASH_LABEL: "x"}}), true);
        check(json!({"labels": {"app": "web", HASH_LABEL: "y"}}), json!({"labels": {"app": "web"}}), true);
        check(json!({"labels": {"app": "web"}}), json!({"labels": {"app": "web", "zone": "x"}}), false);
        check(json!({"labels": {"app": "web"}}), json!({"labels": {"app": "shop"}}), false);
        check(json!(null), json!({}), true);
        check(json!({"annotations": {}}), json!({}), true);
        check(json!({"annotations": {"a": "b"}}), json!({}), false);
        check(json!({"annotations": {"a": "b"}}), json!(null), false);
        check(json!({"name": "a"}), json!({}), false);
        let labels = json!({"labels": {"app": "web"}});
        assert!(!is_same(&template(&labels, "web:1"), &template(&labels, "web:2")));
    }

    #[test]
    fn hashes_tell_apart() {
        let one = template(&json!({"labels": {"app": "web"}}), "web:1");
        let two = template(&json!({"labels": {"app": "web"}}), "web:2");
        let hashes = [hash(&one, None), hash(&one, Some(0)), hash(&one, Some(1)), hash(&two, None)];
        for (i, hash) in hashes.iter().enumerate() {
            assert!(!hashes[..i].contains(hash) && !hash.is_empty() && hash.len() <= 10, "{hashes:?}");
        }
        assert_eq!(hash(&one, Some(1)), hash(&one.clone(), Some(1)));
        assert_eq!(fnv(b"a"), 0xe40c_292c);
    }

    #[test]
    fn names_fit() {
        let check = |deployment: &str, expected: &str| assert_eq!(replica_set_name(deployment, "5d4f"), expected);
        check("web", "web-5d4f");
        check(&"a".repeat(248), &format!("{}-5d4f", "a".repeat(248)));
        check(&"a".repeat(253), &format!("{}-5d4f", "a".repeat(248)));
    }
}
