//! What is told of objects: described, explained, and why they are not as they are to be.

use http::Request;
use serde_json::{Value, json};
use tests::in_process::Server;

use crate::User;

/// Where objects are created, and the objects.
fn objects() -> Vec<(&'static str, Value)> {
    let pod = |name: &str, spec: Value| {
        let meta = json!({"name": name, "labels": {"app": "web"}});
        ("pods", json!({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}))
    };
    let container = json!({"name": "main", "image": "web:1", "env": [{"name": "A", "value": "b"}]});
    vec![
        ("serviceaccounts", json!({"metadata": {"name": "default"}})),
        (
            "configmaps",
            json!({"metadata": {"name": "settings", "labels": {"app": "web"}, "annotations": {"note": "two words"}},
            "data": {"color": "blue", "lines": "one\ntwo\n"}, "binaryData": {"bytes": "AAEC"}}),
        ),
        ("secrets", json!({"metadata": {"name": "key"}, "stringData": {"password": "secret"}})),
        (
            "services",
            json!({"metadata": {"name": "web"},
            "spec": {"selector": {"app": "webb"}, "clusterIP": "None", "ports": [{"name": "http", "port": 80}]}}),
        ),
        pod("web-1", json!({"containers": [container]})),
        pod("web-2", json!({"containers": [container], "schedulingGates": [{"name": "example.com/later"}]})),
        (
            "persistentvolumeclaims",
            json!({"metadata": {"name": "data"}, "spec": {"storageClassName": "fast",
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}),
        ),
    ]
}

async fn described(user: &User) -> String {
    user.file("key.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: key}\n");
    user.session(&[
        "describe -f @key.yaml",
        "describe configmap settings",
        "describe secret/key",
        "describe service web",
        "describe pvc data",
        // What names begin with.
        "describe secrets ke",
        "describe configmap nothing",
        "describe",
        "describe secrets -l app=other",
    ])
    .await
}

/// Pages of objects that have much to tell. kubectl's are the same: ../kubectl/describe.rs.
async fn paged(user: &User) -> String {
    const ALL: &str = include_str!("described.yaml");
    let statuses: Vec<&str> = ALL.split("\n---\n").filter(|object| object.contains("\nstatus:")).collect();
    user.file("all.yaml", ALL);
    user.file("statuses.yaml", &statuses.join("\n---\n"));
    user.run("create -f @all.yaml", "").await;
    user.run("replace --subresource=status -f @statuses.yaml", "").await;
    let pages = user
        .session(&[
            "describe ingress shop",
            "describe ingressclass edge",
            "describe networkpolicy strict",
            "describe role editor",
            "describe clusterrole reader",
            "describe rolebinding editors",
            "describe hpa full",
            "describe hpa.v1.autoscaling unmeasured",
            "describe pdb least",
            "describe csr mina",
            "describe storageclass fast",
            "describe volumeattributesclass gold",
            "describe csinode one",
            "describe servicecidr more",
            "describe ipaddress 10.97.0.7",
            "describe endpoints old",
            "describe endpointslice web-1",
            "describe limitrange limits -n full",
            "describe job once",
            "describe cronjob nightly",
            "describe statefulset db --show-events=false",
            "describe pod,service bare",
        ])
        .await;
    let lines = pages.lines().map(|line| if line.starts_with("Created on:") { "Created on:  TIME" } else { line });
    lines.collect::<Vec<_>>().join("\n")
}

async fn explained(user: &User) -> String {
    user.session(&[
        "why service/web",
        "why pod/web-2",
        "why pvc data",
        "why configmap/settings",
        "why pod/nothing",
        "events",
        "events --types Other",
        "top pod",
        "top node --sum",
        "explain configmap.immutable",
        "explain lease.spec --recursive",
        "explain pod.nothing",
    ])
    .await
}

#[tokio::test]
async fn what_is_told_of_objects() {
    let server = Server::start().await;
    let user = User::of(&server);
    for (plural, object) in objects() {
        let path = format!("/api/v1/namespaces/default/{plural}");
        let request = Request::post(path).header("content-type", "application/json");
        let request = request.body(object.to_string().into_bytes()).expect("a request");
        user.client.request::<Value>(request).await.expect("the object is created");
    }
    insta::assert_snapshot!("described", described(&user).await);
    insta::assert_snapshot!("explained", explained(&user).await);
    insta::assert_snapshot!("paged", paged(&user).await);
    drop(user);
    server.stop().await;
}
