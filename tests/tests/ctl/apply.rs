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

/// Objects with a label, in two namespaces and in none.
const MANY: &str = "\
{apiVersion: v1, kind: Namespace, metadata: {name: pruned, labels: {set: a}}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: one, namespace: pruned, labels: {set: a}}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: two, namespace: pruned, labels: {set: a}}}
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: robot, namespace: pruned, labels: {set: a}}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: elsewhere, labels: {set: a}}}
";
const FEW: &str = "\
{apiVersion: v1, kind: Namespace, metadata: {name: pruned, labels: {set: a}}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: one, namespace: pruned, labels: {set: a}}}
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

async fn pruning(user: &User) -> String {
    user.file("many.yaml", MANY);
    user.file("few.yaml", FEW);
    user.file("one.yaml", FEW.rsplit("---\n").next().expect("it has two"));
    user.session(&[
        "apply -f @many.yaml",
        "create configmap three -n pruned --from-literal=a=b",
        "label configmap three -n pruned set=a",
        "apply -f @few.yaml --prune",
        "apply -f @few.yaml --prune --all -l set=a",
        "apply -f @few.yaml --prune -l set=a --prune-allowlist=ConfigMap",
        "apply -f @few.yaml --prune -l set=a --prune-allowlist=core/v1/Nothing",
        "apply -f @few.yaml --prune -l set=a --dry-run=client",
        "apply -f @few.yaml --prune -l set=a --dry-run=server -o name",
        "apply -f @few.yaml --prune -l set=a --dry-run=client -o yaml --prune-allowlist=core/v1/ConfigMap",
        // Nothing goes where something could not be applied.
        "apply -f @few.yaml -f @unknown.yaml --prune --all --prune-allowlist=core/v1/ConfigMap",
        "apply -f @few.yaml --prune --all --prune-allowlist=core/v1/Secret",
        "apply -f @few.yaml --prune -l set=a",
        // Neither what was not applied, nor another kind, nor what is elsewhere.
        "get configmaps,serviceaccounts -A -l set=a -o name",
        "apply -f @few.yaml --prune -l set=a --prune-allowlist=core/v1/ServiceAccount",
        "apply -f @one.yaml --prune --all --cascade=orphan --grace-period=3 --prune-allowlist=core/v1/Namespace",
    ])
    .await
}

async fn patching(user: &User) -> String {
    user.file("patch.yaml", "data:\n  color: blue\nmetadata:\n  labels:\n    app: web\n    of: _\n");
    user.file("broken.yaml", "data:\n  color: [blue\n");
    user.file("operations.yaml", "- op: add\n  path: /metadata/labels/of\n  value: _\n");
    user.session(&[
        "patch service web -p {\"spec\":{\"ports\":[{\"port\":70000}],\"type\":\"No\"}}",
        "patch service web --type=merge -p {\"spec\":{\"ports\":[{\"port\":70000}]}}",
        "patch configmap settings --patch-file @patch.yaml",
        "patch configmap settings --type=json --patch-file @operations.yaml",
        "patch configmap settings --patch-file @broken.yaml",
        "patch configmap settings --type=json --patch-file @broken.yaml",
        "patch configmap settings -p {\"data\":3}",
        "patch configmap settings -p {\"data\":",
        "patch configmap settings --type=json -p [{\"op\":\"nothing\",\"path\":\"/data/a\"}]",
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
    insta::assert_snapshot!("patching", patching(&user).await);
    insta::assert_snapshot!("pruning", pruning(&user).await);
    insta::assert_snapshot!("waiting", waiting(&user).await);
    drop(user);
    server.stop().await;
}
