//! Tables of specs and what is said of them.

mod defaults;
mod pods;
mod resources;
mod scheduling;
mod templates;
mod updates;
mod volumes;
mod warnings;

use api::field::ErrorList;
use k8s_openapi::api::core::v1::PodSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};

use super::{set_pod_defaults, validate_new_pod};

/// Merges `patch` into `target` as RFC 7386 says: objects by key, everything else as a whole, null removes.
fn merge(target: &mut Value, patch: &Value) {
    let (Some(target), Some(patch)) = (target.as_object_mut(), patch.as_object()) else {
        *target = patch.clone();
        return;
    };
    for (key, value) in patch {
        if value.is_null() {
            target.remove(key);
        } else {
            merge(target.entry(key).or_insert(Value::Null), value);
        }
    }
}

fn spec(patch: &Value) -> PodSpec {
    let mut spec = json!({"containers": [{"name": "app", "image": "app:1"}]});
    merge(&mut spec, patch);
    serde_json::from_value(spec).unwrap()
}

/// A spec with one container, which `patch` changes.
fn with_container(patch: &Value) -> Value {
    let mut container = json!({"name": "app", "image": "app:1"});
    merge(&mut container, patch);
    json!({"containers": [container]})
}

fn meta() -> ObjectMeta {
    serde_json::from_value(json!({"name": "pod", "namespace": "default"})).unwrap()
}

fn rendered(errors: &ErrorList) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

/// What is wrong with a new pod whose spec is the usual one, patched and with its defaults.
#[track_caller]
fn check(patch: &Value, expected: &[&str]) {
    let mut spec = spec(patch);
    set_pod_defaults(&mut spec);
    assert_eq!(rendered(&validate_new_pod(&spec, &meta())), expected, "{patch}");
}

#[track_caller]
fn check_container(patch: &Value, expected: &[&str]) {
    check(&with_container(patch), expected);
}
