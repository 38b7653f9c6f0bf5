//! A whole cluster through the real kubectl: `gantry up`, and its roles as processes of their own, over both stores.
//!
//! `GANTRY_TEST_PODS` says how many pods the Deployment has at first; three times as many when it is scaled up. There is a
//! node for every ten.

mod failover;
mod watcher;

use std::time::Duration;

use tests::cluster::Cluster;
use tests::kubectl::Kubectl;
use tests::server::Backing;
use watcher::Watcher;

#[test]
fn over_embedded() {
    both_ways(Backing::Embedded);
}

#[test]
fn over_etcd() {
    both_ways(Backing::Etcd);
}

/// Most of the time is spent waiting: a cluster in one process and one of several are tried at the same time.
fn both_ways(backing: Backing) {
    let up = std::thread::spawn(move || everything_works(Kubectl::to(Cluster::up(backing, nodes()))));
    everything_works(Kubectl::to(Cluster::apart(backing, nodes())));
    up.join().expect("the cluster in one process works, too");
}

/// The fewest nodes of a cluster.
const NODES: usize = 10;
/// How many pods a Deployment has at first, unless something else is said.
const PODS: usize = 30;
/// How long anything may take until the cluster is as it should be.
const WITHIN: Duration = Duration::from_secs(600);

pub(crate) type User = Kubectl<Cluster>;

fn pods() -> usize {
    let stated = std::env::var("GANTRY_TEST_PODS").ok();
    stated.map_or(PODS, |stated| stated.parse().expect("GANTRY_TEST_PODS is a number"))
}

fn nodes() -> usize {
    NODES.max(pods() / 10)
}

fn everything_works(user: User) {
    let watcher = Watcher::start(&user.server);
    let pods = pods();
    deploy_and_scale(&user, pods);
    roll(&user, &watcher, pods);
    pause(&user, pods);
    lose_a_node(&user, &watcher, pods);
    delete_a_namespace(&user);
}

/// Runs kubectl, which has to succeed.
pub(crate) fn run(user: &User, line: &str) -> String {
    let output = user.output(line);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "kubectl {line}: {text}{error}");
    text
}

fn rolled_out(user: &User) {
    let shown = run(user, &format!("rollout status deployment/web --timeout={}s", WITHIN.as_secs()));
    assert!(shown.contains("successfully rolled out"), "{shown}");
}

fn field(user: &User, path: &str) -> String {
    run(user, &format!("get deployment web -o jsonpath={{{path}}}"))
}

fn deploy_and_scale(user: &User, pods: usize) {
    let manifest = format!(
        "{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: web}}, spec: {{replicas: {pods}, \
         strategy: {{rollingUpdate: {{maxUnavailable: 0, maxSurge: 25%}}}}, selector: {{matchLabels: {{app: web}}}}, \
         template: {{metadata: {{labels: {{app: web}}}}, spec: {{terminationGracePeriodSeconds: 1, \
         containers: [{{name: c, image: 'web:1'}}]}}}}}}}}"
    );
    user.file("web.yaml", &manifest);
    run(user, "apply -f web.yaml");
    rolled_out(user);
    for wanted in [pods * 3, 10, pods] {
        run(user, &format!("scale deployment web --replicas={wanted}"));
        let within = WITHIN.as_secs();
        run(user, &format!("wait deployment/web --for=jsonpath={{.status.replicas}}={wanted} --timeout={within}s"));
        rolled_out(user);
        assert_eq!(field(user, ".status.availableReplicas"), wanted.to_string());
    }
}

fn roll(user: &User, watcher: &Watcher, pods: usize) {
    watcher.available(pods, WITHIN);
    watcher.begin();
    run(user, "set image deployment/web c=web:2");
    rolled_out(user);
    let (fewest, most) = watcher.end();
    assert!(fewest >= pods, "{fewest} pods of {pods} were available at some moment of the rollout");
    let surge = pods.div_ceil(4);
    assert!(most <= pods + surge, "{most} pods were wanted, and {pods} and {surge} more are allowed");

    run(user, "rollout undo deployment/web");
    rolled_out(user);
    assert_eq!(field(user, ".spec.template.spec.containers[0].image"), "web:1");
    let history = run(user, "rollout history deployment/web");
    let revisions: Vec<&str> = history.lines().skip(2).filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(revisions, ["2", "3"], "{history}");
}

fn pause(user: &User, pods: usize) {
    run(user, "rollout pause deployment/web");
    run(user, "set image deployment/web c=web:4");
    let condition = "condition=Progressing=Unknown";
    run(user, &format!("wait deployment/web --for={condition} --timeout={}s", WITHIN.as_secs()));
    let generation = field(user, ".metadata.generation");
    let within = WITHIN.as_secs();
    run(
        user,
        &format!("wait deployment/web --for=jsonpath={{.status.observedGeneration}}={generation} --timeout={within}s"),
    );
    assert_eq!(field(user, ".status.updatedReplicas"), "", "a paused deployment is not rolled");
    run(user, "rollout resume deployment/web");
    rolled_out(user);
    assert_eq!(field(user, ".status.updatedReplicas"), pods.to_string());
}

/// The pods of a node that is deleted are replaced on others.
fn lose_a_node(user: &User, watcher: &Watcher, pods: usize) {
    let node = run(user, "get pods -l app=web -o jsonpath={.items[0].spec.nodeName}");
    run(user, &format!("delete node {node}"));
    watcher.nothing_on(&node, WITHIN);
    watcher.available(pods, WITHIN);
}

/// A namespace goes with everything in it.
fn delete_a_namespace(user: &User) {
    run(user, "create namespace shop");
    run(user, "create deployment db -n shop --image=db:1 --replicas=3");
    run(user, "expose deployment db -n shop --port=80");
    run(user, "create configmap settings -n shop --from-literal=a=b");
    run(user, "create quota few -n shop --hard=pods=10");
    let within = WITHIN.as_secs();
    run(user, &format!("rollout status deployment/db -n shop --timeout={within}s"));
    run(user, &format!("delete namespace shop --timeout={within}s"));
    let kinds = "pods,services,configmaps,secrets,deployments,replicasets,endpoints,endpointslices,serviceaccounts,quota,events";
    let left = run(user, &format!("get {kinds} -n shop --ignore-not-found -o name"));
    assert_eq!(left, "", "something is left of the namespace");
}
