//! Objects of files: applied, created, replaced, compared and waited for.

use tests::in_process::Server;

use crate::User;

const FIRST: &str = "\
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, labels: {app: web}}
data: {color: blue, size: big}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, clusterIP: None, ports: [{name: http, port: 80}, {name: metrics, port: 9090}]}
";

const SECOND: &str = "\
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {color: green}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, clusterIP: None, ports: [{name: metrics, port: 9090}, {name: https, port: 443}]}
";

const UNKNOWN: &str = "\
apiVersion: v1
kind: ConfigMap
metadata: {name: wrong}
colour: blue
";

async fn applying(user: &User) -> String {
    user.file("first.yaml", FIRST);
    user.file("second.yaml", SECOND);
    user.file("unknown.yaml", UNKNOWN);
    user.session(&[
        "apply -f @first.yaml --dry-run=client",
        "apply -f @first.yaml",
        "apply -f @first.yaml",
        // What somebody else says of it stays.
        "patch configmap settings -p {\"data\":{\"weight\":\"light\"}}",
        "diff -f @second.yaml",
        "apply -f @second.yaml --dry-run=server",
        "apply -f @second.yaml",
        "get configmap settings -o jsonpath={.data}{.metadata.labels}",
        "get service web -o jsonpath={.spec.ports[*].name}",
        "diff -f @second.yaml",
        "apply view-last-applied configmap settings",
        "apply -f @unknown.yaml",
        "apply -f @unknown.yaml -f @first.yaml",
        "apply",
    ])
    .await
}

async fn creating(user: &User) -> String {
    user.session(&[
        "create -f @first.yaml",
        "replace -f @first.yaml",
        "replace -f @unknown.yaml",
        "create namespace team",
        "create configmap extra -n team --from-literal=a=b",
        "create configmap extra -n team --from-literal=a=b",
        "create role reader --verb=get,list --resource=pods,deployments.apps --dry-run=client -o yaml",
        "create deployment web --image=web:1 --replicas=2 -o name",
        "create secret generic key --from-literal=a=b --dry-run=server",
    ])
    .await
}

async fn waiting(user: &User) -> String {
    user.session(&[
        "wait configmap/settings --for=jsonpath={.data.color}=blue",
        "wait configmap/settings --for=jsonpath={.data.color}=red --timeout=0",
        "wait configmap/gone --for=delete",
        "wait configmap/gone --for=condition=ready",
        "wait configmap -l a=b --for=condition=ready",
        "wait configmap/settings --for=foo",
        "apply -f @first.yaml --wait --timeout 30s",
    ])
    .await
}

#[tokio::test]
async fn objects_of_files_and_of_lines() {
    let server = Server::start().await;
    let user = User::of(&server);
    insta::assert_snapshot!("applying", applying(&user).await);
    insta::assert_snapshot!("creating", creating(&user).await);
    insta::assert_snapshot!("waiting", waiting(&user).await);
    drop(user);
    server.stop().await;
}
