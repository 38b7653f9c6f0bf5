//! How objects are shown, what goes to the server as it is, and what debugs pods.

use tests::in_process::Server;

use crate::User;

const OBJECTS: &str = "\
apiVersion: v1
kind: ConfigMap
metadata: {name: one, labels: {a: b}}
data: {x: '1', y: abc, script: \"a\\n b\\n\", z: '<&>'}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: two}
data: {x: '2', y: 'yes'}
";

const POD: &str = "\
apiVersion: v1
kind: Pod
metadata: {name: p, labels: {a: b}}
spec:
  automountServiceAccountToken: false
  securityContext: {runAsUser: 1000}
  containers: [{name: c, image: busybox, livenessProbe: {exec: {command: [a]}}}]
";

async fn showing(user: &User) -> String {
    user.file("objects.yaml", OBJECTS);
    user.file("t.tmpl", "{{.kind}}/{{.metadata.name}}\n");
    user.file("t.path", "{.kind}\n");
    user.session(&[
        "create -f @objects.yaml -o go-template={{.metadata.name}}{{\"\\n\"}}",
        "get cm one two -o go-template={{range.items}}{{.metadata.name}}:{{.data.x|html}}{{\"\\n\"}}{{end}}",
        "get cm one -o go-template-file=@t.tmpl",
        "get cm one -o templatefile --template=@t.tmpl",
        "get cm one --template={{.data.y}}",
        "get cm one -o go-template={{.a",
        "get cm one -o jsonpath-as-json={.data.x}",
        "get cm one two -o jsonpath-as-json={.items[*].metadata.name}",
        "get cm one -o jsonpath-file=@t.path",
        "get cm one two -o custom-columns=N:.metadata.name,X:.data.x",
        "create -f @objects.yaml --dry-run=client -o kyaml",
        "get cm one -o nope",
        "label cm one a=c --overwrite -o go-template={{.metadata.labels.a}}{{\"\\n\"}}",
        "run r --image=i --restart=Never --overrides={\"spec\":{\"hostPID\":true}} --dry-run=client -o kyaml",
    ])
    .await
}

async fn raw(user: &User) -> String {
    user.file("ns.json", "{\"metadata\": {\"name\": \"raw\"}}");
    user.session(&[
        "create --raw /api/v1/namespaces -f @ns.json -o json",
        "create --raw /api/v1/namespaces",
        "create --raw nope -f @ns.json",
        "get --raw /healthz",
        "get --raw /api/v1/namespaces?labelSelector=a%3Dnope",
        "get --raw /nope",
        "get --raw /x pods",
        "delete --raw /api/v1/namespaces/nope",
        "replace --raw /api/v1/namespaces/nope -f @none.json",
    ])
    .await
}

async fn debugging(user: &User) -> String {
    user.file("pod.yaml", POD);
    user.session(&[
        "create serviceaccount default",
        "create -f @pod.yaml",
        "debug p --image=busybox -c e --target=c -- sh",
        "get pod p -o jsonpath={.spec.ephemeralContainers}",
        "debug p --image=busybox -c d --copy-to=q --profile=baseline --env=A=b -- sh",
        "get pod q -o jsonpath={.metadata.labels}{.spec.shareProcessNamespace}{.spec.containers}",
        "debug p --copy-to=s --set-image=*=other --same-node --keep-labels --replace",
        "get pod s -o jsonpath={.metadata.labels}{.spec.containers[*].image}",
        "debug cm/one --image=b",
        "debug p",
        "debug nope --image=b",
    ])
    .await
}

#[tokio::test]
async fn objects_are_shown() {
    let server = Server::start().await;
    let user = User::of(&server);
    insta::assert_snapshot!("showing", showing(&user).await);
    insta::assert_snapshot!("raw", raw(&user).await);
    insta::assert_snapshot!("debugging", debugging(&user).await);
    server.stop().await;
}
