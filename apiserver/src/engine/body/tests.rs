//! One object, however its author wrote it.

use std::sync::Arc;

use http::{HeaderMap, Method};
use k8s_openapi::jiff::Timestamp;
use serde_json::json;
use store::{MemoryBackend, Store, StoreOptions};

use super::*;
use crate::engine::{Engine, Surroundings};
use crate::entry::Objects;
use crate::registry::Registry;
use crate::request::{Query, Target};
use crate::resources::{self, register_all};

struct Still;

impl Surroundings for Still {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }

    fn random(&self) -> u64 {
        0
    }
}

/// Reads a body that is sent to `path`; answers the JSON of the object, or what the client is told.
async fn read(path: &str, media_type: &str, bytes: Vec<u8>) -> Result<Value, String> {
    let registry = Arc::new(Registry::new());
    register_all(&registry, resources::Config::default());
    let codec = Objects::new(Arc::clone(&registry));
    let store = Store::open(Arc::new(MemoryBackend::new()), codec, StoreOptions::default()).await.unwrap();
    let engine = Engine::new(store, Arc::clone(&registry), Arc::new(Still));
    let target = Target::parse(&Method::POST, path, false).unwrap();
    let resources = registry.resources();
    let resource = resources.find(&target.group, &target.version, &target.resource).unwrap();
    let (query, headers) = (Query::parse(""), HeaderMap::new());
    let call = Call::new(&engine, &target, resource, &query, &headers);
    let body = Body { media_type: media_type.to_owned(), bytes: bytes.into() };
    match decode(&call, &body, FieldValidation::Strict) {
        Ok(object) => Ok(serde_json::from_slice(&object.to_json().unwrap()).unwrap()),
        Err(status) => Err(status.message),
    }
}

#[tokio::test]
async fn every_way_of_writing_an_object_gives_the_same_json() {
    let path = "/apis/apps/v1/namespaces/default/deployments";
    let terse = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {
            "replicas": 0, "selector": {"matchLabels": {"a": "b"}},
            "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{
                "name": "c", "image": "i", "resources": {"limits": {"cpu": "1500m", "memory": "1Gi"}},
                "securityContext": {"readOnlyRootFilesystem": false},
            }]}},
        },
    });
    let wordy = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "labels": {}, "ownerReferences": [], "generateName": ""},
        "spec": {
            "replicas": 0, "selector": {"matchLabels": {"a": "b"}, "matchExpressions": []}, "paused": false,
            "minReadySeconds": 0,
            "template": {"metadata": {"labels": {"a": "b"}, "annotations": null}, "spec": {"containers": [{
                "name": "c", "image": "i", "resources": {"limits": {"cpu": 1.5, "memory": "1024Mi"}, "requests": {}},
                "securityContext": {"readOnlyRootFilesystem": false}, "command": [], "tty": false, "workingDir": "",
            }], "hostNetwork": false, "nodeSelector": {}, "tolerations": [], "hostname": ""}},
        },
    });
    let expected = read(path, "application/json", terse.to_string().into_bytes()).await.unwrap();
    for (media_type, bytes) in [
        ("application/json", wordy.to_string().into_bytes()),
        ("application/yaml", wordy.to_string().into_bytes()),
        ("application/vnd.kubernetes.protobuf", api::protobuf::encode_value(&wordy).unwrap()),
    ] {
        assert_eq!(read(path, media_type, bytes).await.as_ref(), Ok(&expected), "{media_type}");
    }
    let container = &expected["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["resources"], json!({"limits": {"cpu": "1500m", "memory": "1Gi"}}));
    assert_eq!(container["securityContext"], json!({"readOnlyRootFilesystem": false}));
    assert_eq!((&expected["spec"]["replicas"], expected["spec"].get("paused")), (&json!(0), None));
}

#[tokio::test]
async fn an_unreadable_quantity_is_refused() {
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"},
        "spec": {"containers": [{"name": "c", "resources": {"limits": {"cpu": "much"}}}]}});
    let told = read("/api/v1/namespaces/default/pods", "application/json", pod.to_string().into_bytes()).await;
    let expected = "Pod in version \"v1\" cannot be handled as a Pod: quantities must match the regular expression \
                    '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
    assert_eq!(told, Err(expected.to_owned()));
}
