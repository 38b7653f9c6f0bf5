//! Devices and claims, where more than one object matters.

use serde_json::{Value, json};

use crate::harness::{Ask, Server};

fn claim(name: &str) -> Value {
    let exactly = json!({"deviceClassName": "gpu.example.com", "adminAccess": true});
    let devices = json!({"requests": [{"name": "gpu", "exactly": exactly}]});
    json!({
        "apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim", "metadata": {"name": name}, "spec": {"devices": devices},
    })
}

fn template(name: &str) -> Value {
    let spec = json!({"spec": claim(name)["spec"]});
    json!({
        "apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaimTemplate", "metadata": {"name": name}, "spec": spec,
    })
}

#[tokio::test]
async fn only_marked_namespaces_get_access_to_devices_of_others() {
    let server = Server::start().await;
    let all = [("resourceclaims", claim("spy")), ("resourceclaimtemplates", template("spy"))];
    for (plural, object) in &all {
        let path = format!("/apis/resource.k8s.io/v1/namespaces/default/{plural}");
        let refusal = server.refusal(Ask::post(&path, object)).await;
        assert_eq!(refusal.code, 422);
        let expected = "spec.devices.requests[0].adminAccess: Forbidden: admin access to devices requires the \
                        `resource.kubernetes.io/admin-access: true` label on the containing namespace";
        assert!(refusal.message.ends_with(expected), "{}", refusal.message);
    }
    let labels = json!({"metadata": {"labels": {"resource.kubernetes.io/admin-access": "true"}}});
    server.json(Ask::patch("/api/v1/namespaces/default", &labels)).await;
    for (plural, object) in &all {
        let path = format!("/apis/resource.k8s.io/v1/namespaces/default/{plural}");
        let created = server.json(Ask::post(&path, object)).await;
        assert_eq!(created["metadata"]["name"], "spy");
    }
}

#[tokio::test]
async fn a_slice_without_devices_can_be_sent_back() {
    let server = Server::start().await;
    let counters = json!([{"name": "board-0", "counters": {"memory": {"value": "80Gi"}}}]);
    let pool = json!({"name": "node-1", "generation": 1, "resourceSliceCount": 2});
    let spec = json!({"driver": "gpu.example.com", "nodeName": "node-1", "pool": pool, "sharedCounters": counters});
    let slice = json!({
        "apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice", "metadata": {"name": "counters"}, "spec": spec,
    });
    let created = server.json(Ask::post("/apis/resource.k8s.io/v1/resourceslices", &slice)).await;
    let path = "/apis/resource.k8s.io/v1/resourceslices/counters";
    assert_eq!(server.json(Ask::get(path)).await, created);
    assert_eq!(server.json(Ask::put(path, &created)).await, created);
    let protobuf = api::protobuf::decode(&api::protobuf::encode_value(&created).unwrap()).unwrap();
    assert_eq!(server.json(Ask::put(path, &protobuf)).await, created);
}
