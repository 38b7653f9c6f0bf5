//! Pods by the thousand: created, rolled and deleted by Deployments, each time in a cluster of its own.

use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;
use tests::cluster::Cluster;
use tests::usage::Meter;

use crate::Bench;
use crate::observer::{NAMESPACE, Observer, Tally};
use crate::report::{Report, Work, count};

/// How long any step may take.
const WITHIN: Duration = Duration::from_secs(900);
/// How many Deployments are created at the same time.
const AT_ONCE: usize = 32;
/// How many pods a small Deployment has.
const FEW: usize = 10;

/// Creates one Deployment of all pods, and scales it to nothing.
pub(crate) fn one_deployment(bench: &Bench) {
    bench.runtime.block_on(async {
        let mut load = Load::start(bench, bench.pods).await;
        let pods = bench.pods;
        let api = load.deployments();
        load.begin().await;
        create(&api, "web", pods).await;
        load.come_up(&format!("deployment of {pods}"), pods).await;
        load.begin().await;
        patch(&api, "web", json!({"spec": {"replicas": 0}})).await;
        load.until(&format!("deployment of {pods}: scaled to 0, gone"), pods, |tally| tally.pods == 0).await;
    });
}

/// Creates many small Deployments, and deletes the namespace that they are in.
pub(crate) fn small_deployments(bench: &Bench) {
    bench.runtime.block_on(async {
        let mut load = Load::start(bench, bench.pods).await;
        let many = bench.pods / FEW;
        let (pods, name) = (many * FEW, format!("{many} deployments of {FEW}"));
        let api = load.deployments();
        load.begin().await;
        let begin = Instant::now();
        let created = stream::iter(0..many).map(|number| {
            let api = api.clone();
            async move { create(&api, &format!("web-{number}"), FEW).await }
        });
        created.buffer_unordered(AT_ONCE).collect::<()>().await;
        let rate = count(many) / begin.elapsed().as_secs_f64();
        load.report.say(&format!("{name}: created"), &format!("{rate:.0} deployments/s"));
        load.come_up(&name, pods).await;
        load.begin().await;
        let namespaces: Api<Namespace> = Api::all(load.client.clone());
        namespaces.delete(NAMESPACE, &DeleteParams::default()).await.expect("the namespace is told to go");
        load.until(&format!("{name}: namespace deleted, pods gone"), pods, |tally| tally.pods == 0).await;
        load.until(&format!("{name}: namespace gone"), pods, |tally| tally.namespaces == 0).await;
    });
}

/// Rolls a Deployment of a tenth of the pods.
pub(crate) fn roll(bench: &Bench) {
    bench.runtime.block_on(async {
        let pods = bench.pods / 10;
        let mut load = Load::start(bench, pods * 2).await;
        let api = load.deployments();
        load.begin().await;
        create(&api, "web", pods).await;
        load.come_up(&format!("deployment of {pods}"), pods).await;
        load.begin().await;
        patch(&api, "web", json!({"spec": {"template": {"spec": {"containers": [container(2)]}}}})).await;
        let all = |tally: &Tally| tally.updated == pods && tally.living == pods;
        load.until(&format!("deployment of {pods}: rolled, all new ready"), pods, all).await;
        load.until(&format!("deployment of {pods}: rolled, old gone"), pods, |tally| tally.pods == pods).await;
    });
}

/// What is counted of a tally.
type Counter = fn(&Tally) -> usize;

/// A cluster, and who works with it.
struct Load<'b> {
    report: &'b Report,
    // Before the cluster that it watches.
    observer: Observer,
    client: Client,
    cluster: Cluster,
    begun: Begun,
}

/// What there was when a measurement began.
struct Begun {
    at: Instant,
    cluster: Vec<Meter>,
    load: Meter,
    revision: u64,
}

impl<'b> Load<'b> {
    /// Starts a cluster with room for so many pods, and waits until all its nodes take pods.
    async fn start(bench: &'b Bench, pods: usize) -> Load<'b> {
        let setup = bench.setup(pods);
        let cluster = if bench.apart { setup.apart() } else { setup.up() };
        let client = cluster.client().await;
        let observer = Observer::start(&client).await;
        let usable = observer.reaches(WITHIN, |tally| tally.nodes == setup.nodes).await;
        assert!(usable, "nodes do not get ready: {:?}", observer.now());
        let started = cluster.started_in().as_secs_f64();
        bench.report.say(&format!("{} hollow nodes", setup.nodes), &format!("ready after {started:.2} s"));
        let namespace = serde_json::from_value(json!({"metadata": {"name": NAMESPACE}})).expect("a namespace");
        let namespaces: Api<Namespace> = Api::all(client.clone());
        namespaces.create(&PostParams::default(), &namespace).await.expect("a namespace");
        let begun = begin(&cluster, &client).await;
        Load { report: &bench.report, observer, client, cluster, begun }
    }

    fn deployments(&self) -> Api<Deployment> {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    async fn begin(&mut self) {
        self.begun = begin(&self.cluster, &self.client).await;
    }

    /// Reports each step of the life of pods, all from the same beginning, up to the first that is not reached.
    async fn come_up(&self, name: &str, pods: usize) {
        let steps: [(&str, Counter); 4] = [
            ("all exist", |tally| tally.living),
            ("all bound", |tally| tally.bound),
            ("all ready", |tally| tally.ready),
            ("said to be available", |tally| tally.available),
        ];
        for (step, count) in steps {
            if !self.until(&format!("{name}: {step}"), pods, |tally| count(tally) == pods).await {
                break;
            }
        }
    }

    /// Reports when the cluster has come so far, and what it has used until then since the beginning. Says whether it has.
    async fn until(&self, what: &str, pods: usize, far_enough: impl FnMut(&Tally) -> bool) -> bool {
        let reached = self.observer.reaches(WITHIN, far_enough).await;
        let took = reached.then(|| self.begun.at.elapsed());
        let cluster = self.begun.cluster.iter().map(Meter::used).collect();
        let load = self.begun.load.used();
        let writes = revision(&self.client).await.saturating_sub(self.begun.revision);
        self.report.work(&Work { what: what.to_owned(), pods, took, cluster, load, writes });
        if !reached {
            self.report.say(what, &format!("after {} s there is {:?}", WITHIN.as_secs(), self.observer.now()));
        }
        reached
    }
}

async fn begin(cluster: &Cluster, client: &Client) -> Begun {
    let revision = revision(client).await;
    let cluster = cluster.processes().into_iter().map(Meter::start).collect();
    Begun { at: Instant::now(), cluster, load: Meter::start(std::process::id()), revision }
}

/// The store's revision, which grows by one with each write.
async fn revision(client: &Client) -> u64 {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let listed = namespaces.list_metadata(&ListParams::default().limit(1)).await.expect("a list");
    listed.metadata.resource_version.and_then(|version| version.parse().ok()).expect("a list has a revision")
}

fn container(version: usize) -> serde_json::Value {
    json!({"name": "c", "image": format!("web:{version}"), "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}}})
}

async fn create(api: &Api<Deployment>, name: &str, replicas: usize) {
    let labels = json!({"app": name});
    let deployment = json!({
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "strategy": {"rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container(1)]}},
        },
    });
    let deployment = serde_json::from_value(deployment).expect("a deployment");
    api.create(&PostParams::default(), &deployment).await.expect("the deployment is created");
}

async fn patch(api: &Api<Deployment>, name: &str, change: serde_json::Value) {
    // A strategic patch merges containers by name.
    api.patch(name, &PatchParams::default(), &Patch::Strategic(change)).await.expect("the deployment is changed");
}
