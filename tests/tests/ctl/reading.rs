//! What is only read: objects in all formats, what the server is, and what it has to offer.

use tests::in_process::Server;

use crate::User;

const OBJECTS: &str = "\
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, labels: {app: web, tier: front}}
data: {color: blue}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: another, labels: {app: web}}
data: {color: red}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {clusterIP: None, ports: [{port: 80}]}
---
apiVersion: v1
kind: Event
metadata: {name: told, namespace: default}
involvedObject: {apiVersion: v1, kind: ConfigMap, name: settings, namespace: default}
reason: Told
message: of a test
type: Normal
firstTimestamp: TOLD
lastTimestamp: TOLD
";

async fn getting(user: &User) -> String {
    user.session(&[
        "get configmaps",
        "get cm settings -o wide",
        "get cm,svc",
        "get cm/settings svc/web -o name",
        "get cm -l tier=front -L app --show-labels",
        "get cm --sort-by=.data.color --no-headers",
        "get cm settings -o jsonpath={.data.color}",
        "get cm settings -o custom-columns=NAME:.metadata.name,COLOR:.data.color",
        "get cm settings -o json",
        "get cm settings -o yaml",
        "get -f @objects.yaml -o name",
        "get events",
        "get cm nothing",
        "get cm nothing --ignore-not-found",
        "get secrets",
        "get things",
        "get",
        "get cm -o nonsense",
        "get --raw /api/v1/namespaces/default/configmaps/nothing",
    ])
    .await
}

async fn looking(user: &User) -> String {
    user.session(&[
        "api-versions",
        "api-resources --api-group=apps",
        "api-resources --api-group=apps -o name",
        "api-resources --api-group=policy --namespaced=false",
        "api-resources --api-group=batch -o wide --no-headers",
        "api-resources --api-group=nonsense --verbs=sing",
        "cluster-info --kubeconfig @config",
        "version",
        "version --client",
        "version --client -o yaml",
        "version --kubeconfig @nothing -o json --client",
        "events --for=configmap/settings",
        "events -o json",
        "events --for=configmap",
        "explain service.spec.ports.port",
        "explain configmap",
        "explain nonsense",
        "top pod",
        "top node",
        "top pod nothing -A",
        "describe cm settings",
        "why cm/settings",
    ])
    .await
}

async fn asking(user: &User) -> String {
    user.session(&[
        "auth can-i get pods",
        "auth can-i get pods/log --subresource=status",
        "auth can-i create /healthz",
        "auth can-i",
        "auth can-i --list",
        "auth whoami",
        "auth whoami -o json",
        "auth whoami -o nonsense",
        "options",
    ])
    .await
}

/// Verbs with a stream: here there is nobody at the other end.
async fn streaming(user: &User) -> String {
    user.session(&[
        "logs nothing",
        "logs",
        "logs -l app=none",
        "logs svc/web",
        "attach nothing",
        "exec nothing -- true",
        "exec nothing",
        "cp @objects.yaml nothing:/x",
        "cp nothing:/x",
        "cp nothing:/x other:/y",
        "port-forward nothing 80",
        "port-forward svc/web",
    ])
    .await
}

#[tokio::test]
async fn objects_and_servers_are_looked_at() {
    let server = Server::start().await;
    let user = User::of(&server);
    // So old that its age is told in days alone.
    let told = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(300 * 24);
    user.file("objects.yaml", &OBJECTS.replace("TOLD", &told.strftime("%FT%TZ").to_string()));
    user.file("config", crate::config::CONFIG);
    user.run("create -f @objects.yaml", "").await;
    insta::assert_snapshot!("getting", getting(&user).await);
    // What was released last is not what these are about.
    let release = env!("CARGO_PKG_VERSION");
    insta::assert_snapshot!("looking", looking(&user).await.replace(release, "RELEASE"));
    insta::assert_snapshot!("asking", asking(&user).await);
    insta::assert_snapshot!("streaming", streaming(&user).await);
    drop(user);
    server.stop().await;
}
