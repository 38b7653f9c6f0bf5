//! References to a kubelet's configuration. The feature that used them is gone; what old clients send is validated still.

use api::field::{BadValue, Error, ErrorList, Path};
use api::names::{config_map_key, namespace_name, object_dns_subdomain};
use k8s_openapi::api::core::v1::{ConfigMapNodeConfigSource, NodeConfigSource, NodeConfigStatus};
use serde_json::json;

/// What is wrong with `spec.configSource`, which names a ConfigMap but no version of it.
pub(super) fn validate_spec(source: &NodeConfigSource, path: &Path) -> ErrorList {
    validate_source(source, path, |config_map, path| {
        let mut errors = ErrorList::new();
        if !is_empty(&config_map.uid) {
            errors.push(Error::forbidden(&path.child("uid"), "uid must not be set in spec"));
        }
        if !is_empty(&config_map.resource_version) {
            let detail = "resourceVersion must not be set in spec";
            errors.push(Error::forbidden(&path.child("resourceVersion"), detail));
        }
        errors
    })
}

/// What is wrong with `status.config`, whose references state the very version.
pub(super) fn validate_status(config: &NodeConfigStatus, path: &Path) -> ErrorList {
    let sources =
        [("assigned", &config.assigned), ("active", &config.active), ("lastKnownGood", &config.last_known_good)];
    let present = sources.into_iter().filter_map(|(name, source)| Some((name, source.as_ref()?)));
    let validate = |(name, source)| {
        validate_source(source, &path.child(name), |config_map, path| {
            let mut errors = ErrorList::new();
            if is_empty(&config_map.uid) {
                errors.push(Error::required(&path.child("uid"), "uid must be set in status"));
            }
            if is_empty(&config_map.resource_version) {
                let detail = "resourceVersion must be set in status";
                errors.push(Error::required(&path.child("resourceVersion"), detail));
            }
            errors
        })
    };
    present.flat_map(validate).collect()
}

fn validate_source(
    source: &NodeConfigSource,
    path: &Path,
    validate_version: impl Fn(&ConfigMapNodeConfigSource, &Path) -> ErrorList,
) -> ErrorList {
    let Some(config_map) = &source.config_map else {
        let shown = BadValue::json(&json!({"ConfigMap": null}));
        return Error::invalid(path, shown, "exactly one reference subfield must be non-nil").into();
    };
    let path = path.child("configMap");
    let mut errors = validate_version(config_map, &path);
    let mut check = |name: &str, value: &str, messages: &dyn Fn(&str) -> Vec<String>| {
        let path = path.child(name);
        if value.is_empty() {
            errors.push(Error::required(&path, format!("{name} must be set")));
        } else {
            errors.push_invalid(&path, value, messages(value));
        }
    };
    check("namespace", &config_map.namespace, &|name| namespace_name(name, false));
    check("name", &config_map.name, &|name| object_dns_subdomain(name, false));
    check("kubeletConfigKey", &config_map.kubelet_config_key, &config_map_key);
    errors
}

fn is_empty(text: &Option<String>) -> bool {
    text.as_ref().is_none_or(String::is_empty)
}
