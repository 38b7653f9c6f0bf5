//! What changes single things of objects: labels, scales, images, nodes, rollouts.

use http::Request;
use kube::Client;
use serde_json::Value;
use tests::in_process::Server;

use crate::User;

pub(crate) const DEPLOYMENT: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: 'nginx:1', ports: [{containerPort: 80}]}]}
";

const NODES: &str = "\
apiVersion: v1
kind: Node
metadata: {name: one}
---
apiVersion: v1
kind: Node
metadata: {name: two}
";

/// Pods that nobody runs are deleted at once when nobody has to end anything.
const PODS: &str = "\
apiVersion: v1
kind: Pod
metadata: {name: bare}
spec: {nodeName: one, terminationGracePeriodSeconds: 0, containers: [{name: c, image: nginx}]}
---
apiVersion: v1
kind: Pod
metadata: {name: data}
spec: {nodeName: one, terminationGracePeriodSeconds: 0, containers: [{name: c, image: nginx}], volumes: [{name: v, emptyDir: {}}]}
";

const ACCOUNT: &str = "\
apiVersion: v1
kind: ServiceAccount
metadata: {name: default}
";

/// Makes the objects of a text.
async fn make(server: &Server, path: &str, text: &str) {
    let client = Client::new(server.local("admin", &["system:masters"]), "default");
    for document in text.split("---\n") {
        let object: Value = serde_saphyr::from_str(document).expect("an object");
        let request =
            Request::post(path).header("content-type", "application/json").body(object.to_string().into_bytes());
        let made = client.request::<Value>(request.expect("a request")).await;
        made.unwrap_or_else(|error| panic!("{path}: {error}"));
    }
}

async fn labelling(user: &User) -> String {
    user.session(&[
        "label deploy/web tier=front",
        "label deploy/web tier=front",
        "label deploy/web tier=back",
        "label deploy/web tier=back --overwrite",
        "label deploy web tier- other-",
        "label deploy/web --list",
        "label deploy/web deploy/nope x=y --dry-run=server",
        "label deploy/web x=a/b",
        "annotate deploy --all why=so",
        "annotate deploy/web why=not",
        "annotate deploy/web why-",
    ])
    .await
}

async fn scaling(user: &User) -> String {
    user.session(&[
        "scale deploy/web --replicas=3",
        "scale deploy/web --replicas=4 --current-replicas=2",
        "scale deploy/web --replicas=4 --current-replicas=3 -o name",
        "scale deploy --replicas=1",
        "scale deploy/web",
        "autoscale deploy/web --max=5 --cpu=70%",
        "autoscale deploy/web --max=1 --min=2",
        "get hpa web -o jsonpath={.spec}",
    ])
    .await
}

async fn setting(user: &User) -> String {
    user.session(&[
        "set image deploy/web c=nginx:2",
        "set image deploy/web nope=nginx:2",
        "set env deploy/web A=1 B=2",
        "set env deploy/web A- C=3",
        "set env deploy/web --list",
        "set resources deploy/web --limits=cpu=1,memory=1Gi --requests=cpu=500m",
        "set serviceaccount deploy/web robot",
        "get deploy web -o jsonpath={.spec.template.spec.containers[0].env}{.spec.template.spec.serviceAccountName}",
        "expose deploy/web",
        "set selector svc/web app=other",
        "set selector deploy/web app=other",
        "get svc web -o jsonpath={.spec.selector}{.spec.ports}",
        "run one --image=nginx --port=80 --dry-run=client -o yaml -- a b",
        "run one --image=nginx -t",
    ])
    .await
}

async fn rolling_out(user: &User) -> String {
    user.session(&[
        "rollout status deploy/web --watch=false",
        "rollout history deploy/web",
        "rollout undo deploy/web",
        "rollout pause deploy/web",
        "rollout pause deploy/web",
        "rollout restart deploy/web",
        "rollout resume deploy/web",
        "rollout restart deploy/web -o name",
        "rollout status svc/web",
        "rollout status deploy/web --revision=7",
    ])
    .await
}

async fn draining(user: &User) -> String {
    user.file("nodes.yaml", NODES);
    user.session(&[
        "label -f @nodes.yaml zone=a",
        "cordon one two",
        "uncordon one",
        "taint node two dedicated=x:NoSchedule",
        "taint node two dedicated=y:NoSchedule",
        "taint node two dedicated-",
        "drain one",
        "drain one --force --dry-run=client",
        "drain one --force --delete-emptydir-data",
        "get pods --ignore-not-found",
    ])
    .await
}

#[tokio::test]
async fn single_things_are_changed() {
    let server = Server::start().await;
    let user = User::of(&server);
    make(&server, "/apis/apps/v1/namespaces/default/deployments", DEPLOYMENT).await;
    insta::assert_snapshot!("labelling", labelling(&user).await);
    insta::assert_snapshot!("scaling", scaling(&user).await);
    insta::assert_snapshot!("setting", setting(&user).await);
    insta::assert_snapshot!("rolling_out", rolling_out(&user).await);
    make(&server, "/api/v1/nodes", NODES).await;
    make(&server, "/api/v1/namespaces/default/serviceaccounts", ACCOUNT).await;
    make(&server, "/api/v1/namespaces/default/pods", PODS).await;
    insta::assert_snapshot!("draining", draining(&user).await);
    server.stop().await;
}
