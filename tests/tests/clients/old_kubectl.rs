//! kubectl 1.20, which is as old as clients get that people still have: no aggregated discovery, no OpenAPI v3, no streaming
//! lists, and its own client-side validation against OpenAPI v2.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use tests::kubectl::{Kubectl, stable};
use tests::server::Backing;

const WEB: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: 'nginx:1'}]}
";

fn run(backing: Backing) {
    let kubectl = Kubectl::old_over(backing);
    kubectl.file("web.yaml", WEB);
    kubectl.file("bad.yaml", &WEB.replace("replicas:", "replicaz:"));
    insta::assert_snapshot!(
        "old_kubectl",
        kubectl.session(
            "create -f bad.yaml
            apply -f web.yaml
            get deployments -o wide
            create configmap a --from-literal=k=v
            create configmap b --from-literal=k=v
            create configmap c --from-literal=k=v
            get configmaps --chunk-size=2
            patch deployment web -p '{\"spec\":{\"template\":{\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"nginx:2\"}]}}}}'
            patch deployment web --type=json -p '[{\"op\":\"replace\",\"path\":\"/spec/replicas\",\"value\":3}]'
            scale deployment web --replicas=4
            get deployment web -o jsonpath='{.spec.replicas} {.spec.template.spec.containers[0].image}'
            label configmap a x=y
            delete configmaps -l x=y
            explain deployment.spec.strategy.rollingUpdate.maxSurge
            delete deployment web
            get deployments"
        )
    );
    watches(&kubectl);
}

/// Each change waits until the one before has been seen, and the first object until the watch is there.
fn watches(kubectl: &Kubectl) {
    let mut child = kubectl
        .command("get secrets --watch --output-watch-events --no-headers")
        .stdout(Stdio::piped())
        .spawn()
        .expect("kubectl runs");
    let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines().map_while(Result::ok);
    let mut shown = Vec::new();
    for line in ["create secret generic s --from-literal=k=v", "label secret s x=y", "delete secret s"] {
        assert!(kubectl.output(line).status.success(), "{line}");
        let event = stable(&lines.next().expect("a line for each change"));
        shown.push(event.split_whitespace().collect::<Vec<_>>().join(" "));
    }
    child.kill().expect("kubectl is running");
    let _ = child.wait();
    assert_eq!(shown, ["ADDED s Opaque 1 AGE", "MODIFIED s Opaque 1 AGE", "DELETED s Opaque 1 AGE"]);
}

#[test]
fn works_over_embedded() {
    run(Backing::Embedded);
}

#[test]
fn works_over_etcd() {
    run(Backing::Etcd);
}
