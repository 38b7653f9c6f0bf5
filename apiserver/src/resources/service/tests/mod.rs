//! Services as a client sees them: manifests in, objects, errors, warnings and tables out.

mod allocation;
mod fixed;
mod rules;

use serde_json::{Value, json};

use super::*;

/// A Service of `manifest`, with defaults.
fn service(manifest: Value) -> Service {
    let mut service: Service = serde_json::from_value(manifest).unwrap();
    defaults::set(&mut service);
    service
}

/// A Service that has been stored, changed by a JSON merge patch.
fn stored(patch: &str) -> Service {
    let mut manifest = json!({
        "metadata": {"name": "web", "namespace": "default", "uid": "web-uid"},
        "spec": {
            "clusterIP": "10.96.0.10", "clusterIPs": ["10.96.0.10"],
            "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack",
            "ports": [{"port": 80}], "selector": {"app": "web"},
        },
    });
    merge(&mut manifest, serde_json::from_str(patch).expect(patch));
    service(manifest)
}

fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (key, value) in patch {
        if value.is_null() {
            target.as_object_mut().unwrap().remove(&key);
        } else {
            merge(&mut target[key], value);
        }
    }
}

/// One line an error.
fn lines(errors: &ErrorList) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
