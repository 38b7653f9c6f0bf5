//! One load, from an empty cluster to its last pod.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use client::cache::Cache;
use futures::StreamExt;
use kube::Client;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::bindings::Bindings;
use super::load::{Batch, Load, WRITERS};
use super::objects;
use super::scheduler::Start;
use super::workloads::{Share, Step, Workload};
use crate::in_process::Server;
use crate::usage::{Meter, Used};

/// Where the pods are that come while others are measured.
const DISTURBANCE: &str = "disturbance";
const GATED: &str = "gated";

/// What became of a load.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// How many pods were to be bound.
    pub pods: usize,
    /// How many of them were.
    pub bound: usize,
    /// From the creation of the first to the moment when the last was seen with a node; `None` if that did not happen in
    /// time.
    pub took: Option<Duration>,
    /// What the process used in that time.
    pub used: Used,
}

/// Runs a share of a load with what `start` starts. Neither the pods that come first nor the measured ones may take
/// longer than `within`.
///
/// # Panics
/// If the server refuses something, or if the pods that come first are not bound in time.
pub async fn run(workload: &Workload, share: Share, start: Start, within: Duration) -> Outcome {
    let server = Server::start().await;
    let cache = Cache::new();
    let bindings = Bindings::count(&cache);
    let client = Client::new(server.local("system:kube-scheduler", &[]), "default");
    let scheduler = start(client, cache).await;
    let load = Load::new(server.local("admin", &["system:masters"]));
    let mut cluster = Cluster { load, bindings, share, within, namespaces: HashSet::new(), tasks: JoinSet::new() };
    cluster.load.make_one("/apis/scheduling.k8s.io/v1/priorityclasses", &objects::priority_class()).await;
    for step in &workload.steps {
        cluster.take(step, workload.namespace).await;
    }
    let outcome = cluster.measure(workload).await;
    cluster.tasks.shutdown().await;
    drop(scheduler);
    server.stop().await;
    outcome
}

/// The cluster as the load finds it.
struct Cluster {
    load: Load,
    bindings: Bindings,
    share: Share,
    within: Duration,
    namespaces: HashSet<String>,
    /// What goes on while pods are measured.
    tasks: JoinSet<()>,
}

const NODES: &str = "/api/v1/nodes";

fn path(namespace: &str, resource: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/{resource}")
}

impl Cluster {
    async fn take(&mut self, step: &Step, measured: &str) {
        match *step {
            Step::NamedNode => self.have_nodes(1, objects::named_node).await,
            Step::Nodes(count, make) => self.have_nodes(self.share.nodes(count), make).await,
            Step::Pods(namespace, count, make) => self.bound(namespace, self.share.pods(count), make).await,
            Step::PodSets(product, make) => {
                let (namespaces, each) = self.share.product(product);
                for number in 0..namespaces {
                    self.bound(&format!("init-ns-{number}"), each, make).await;
                }
            }
            Step::Gated(count, make) => {
                let count = self.share.pods(count);
                self.have(GATED).await;
                self.load.make(&Batch::new(path(GATED, "pods"), make, count)).await;
            }
            Step::Service => {
                self.have(measured).await;
                drop(self.load.make_one(&path(measured, "services"), &objects::service(0)).await);
            }
            Step::Coming(make, every) => {
                self.have(DISTURBANCE).await;
                self.tasks.spawn(coming(self.load.clone(), make(0), every));
            }
            Step::ComingAndGoing(every) => {
                self.have(DISTURBANCE).await;
                self.tasks.spawn(coming_and_going(self.load.clone(), every));
            }
            Step::Going(namespace, every) => {
                self.tasks.spawn(going(self.load.clone(), path(namespace, "pods"), every));
            }
        }
    }

    /// Makes nodes, and takes the taint from them that new ones have until somebody sees that they are ready: nobody looks
    /// here, and upstream's loads run without that taint.
    async fn have_nodes(&self, count: usize, make: objects::Make) {
        self.load.make(&Batch::new(NODES.to_owned(), make, count)).await;
        let nodes = futures::stream::iter((0..count).map(make));
        nodes.for_each_concurrent(WRITERS, |node| async move { self.load.replace(NODES, &node).await }).await;
    }

    /// Makes a namespace, if it is not there.
    async fn have(&mut self, namespace: &str) {
        if self.namespaces.insert(namespace.to_owned()) {
            self.load.make_one("/api/v1/namespaces", &objects::namespace(namespace)).await;
            self.load.make_one(&path(namespace, "serviceaccounts"), &objects::account()).await;
        }
    }

    /// Makes pods, and waits until they are bound.
    async fn bound(&mut self, namespace: &str, count: usize, make: objects::Make) {
        self.have(namespace).await;
        let wanted = self.bindings.of(namespace) + count;
        self.load.make(&Batch::new(path(namespace, "pods"), make, count)).await;
        let reached = self.bindings.reach(namespace, wanted, self.within).await;
        let bound = self.bindings.of(namespace);
        assert!(reached.is_some(), "of the {wanted} pods that come first in {namespace}, {bound} are bound");
    }

    async fn measure(&mut self, workload: &Workload) -> Outcome {
        let (count, make) = workload.measured;
        let (namespace, pods) = (workload.namespace, self.share.pods(count));
        self.have(namespace).await;
        let batch = Batch::new(path(namespace, "pods"), make, pods);
        let meter = Meter::start(std::process::id());
        let begin = Instant::now();
        let ((), last) = tokio::join!(self.load.make(&batch), self.bindings.reach(namespace, pods, self.within));
        let took = last.map(|last| last.duration_since(begin));
        Outcome { pods, bound: self.bindings.of(namespace), took, used: meter.used() }
    }
}

/// Makes a pod like this one time and again.
async fn coming(load: Load, pod: Value, every: Duration) {
    let pods = path(DISTURBANCE, "pods");
    let mut time = ticks(every);
    loop {
        time.tick().await;
        load.make_one(&pods, &pod).await;
    }
}

/// Makes a node, a pod and a Service, deletes them the next time, and so on.
async fn coming_and_going(load: Load, every: Duration) {
    let (pods, services) = (path(DISTURBANCE, "pods"), path(DISTURBANCE, "services"));
    let mut time = ticks(every);
    for round in 0.. {
        time.tick().await;
        let made = [
            (NODES, load.make_one(NODES, &objects::passing_node(round)).await),
            (&pods, load.make_one(&pods, &objects::high_priority_pod_too_large(round)).await),
            (&services, load.make_one(&services, &objects::passing_service(round)).await),
        ];
        time.tick().await;
        for (path, name) in made {
            load.delete(path, &name).await;
        }
    }
}

/// Deletes the objects that are at a path, one after the other.
async fn going(load: Load, path: String, every: Duration) {
    let mut time = ticks(every);
    for name in load.names(&path).await {
        time.tick().await;
        load.delete(&path, &name).await;
    }
}

fn ticks(every: Duration) -> tokio::time::Interval {
    let mut time = interval(every);
    time.set_missed_tick_behavior(MissedTickBehavior::Delay);
    time
}
