//! Pods as a user makes them, and what a watch sees of them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use client::cache::{ListWatch, Sink};
use client::resource::Resource;
use client::told::Told;
use futures::future::join_all;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client};
use serde_json::json;
use tests::kubectl::Reachable;
use tests::node::Node;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::{COMMAND, IMAGE};

/// The namespace that everything happens in.
const NAMESPACE: &str = "bench";
/// How long anything may take.
const WITHIN: Duration = Duration::from_secs(300);

/// The pods there are, by name: since when it is known that they run, if it is.
#[derive(Default)]
struct Seen(Told<HashMap<String, Option<Instant>>>);

impl Sink<Pod> for Seen {
    fn replace(&self, listed: Vec<Pod>, _: u64) {
        let names: HashSet<String> = listed.iter().filter_map(|pod| pod.metadata.name.clone()).collect();
        self.0.change(|seen| seen.retain(|name, _| names.contains(name)));
        listed.into_iter().for_each(|pod| self.put(pod));
    }

    fn put(&self, pod: Pod) {
        let runs = pod.status.is_some_and(|status| status.phase.as_deref() == Some("Running"));
        self.0.change(|seen| {
            let since = seen.entry(pod.metadata.name.unwrap_or_default()).or_default();
            *since = since.or_else(|| runs.then(Instant::now));
        });
    }

    fn remove(&self, pod: Pod) {
        self.0.change(|seen| {
            seen.remove(&pod.metadata.name.unwrap_or_default());
        });
    }

    fn advance(&self, _: u64) {}
}

/// A user with a namespace.
pub(crate) struct Pods {
    api: Api<Pod>,
    seen: Arc<Seen>,
    _watch: JoinSet<()>,
}

impl Pods {
    /// Makes the namespace, and begins to watch.
    pub(crate) async fn of(node: &Node) -> Pods {
        let config = Kubeconfig::read_from(node.kubeconfig()).expect("a kubeconfig");
        let config = kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await;
        let client = Client::try_from(config.expect("a context")).expect("a client");
        let namespace = serde_json::from_value(json!({"metadata": {"name": NAMESPACE}})).expect("a namespace");
        let namespaces: Api<Namespace> = Api::all(client.clone());
        namespaces.create(&PostParams::default(), &namespace).await.expect("a namespace");
        let seen = Arc::new(Seen::default());
        let mut watch = JoinSet::new();
        let listing = ListWatch::telling(client.clone(), Arc::clone(&seen), Resource::of::<Pod>())
            .selecting(format!("metadata.namespace={NAMESPACE}"));
        watch.spawn(async move { listing.tell::<Pod>().await });
        let api = Api::namespaced(client, NAMESPACE);
        let pods = Pods { api, seen, _watch: watch };
        pods.settle().await;
        pods
    }

    /// A pod is taken only when the namespace has its account.
    async fn settle(&self) {
        let begin = Instant::now();
        while self.api.create(&PostParams::default(), &pod("first")).await.is_err() {
            assert!(begin.elapsed() < WITHIN, "no pod is taken");
            tokio::task::yield_now().await;
        }
        let first = |seen: &HashMap<String, Option<Instant>>| seen.get("first").copied().flatten();
        timeout(WITHIN, self.seen.0.wait(first)).await.expect("the first pod runs");
        self.end().await;
    }

    /// Makes pods, all at once, and says how long it took until all of them ran.
    pub(crate) async fn run(&self, name: &str, count: usize) -> Duration {
        let pods: Vec<Pod> = (0..count).map(|number| pod(&format!("{name}-{number}"))).collect();
        let begin = Instant::now();
        let params = PostParams::default();
        for made in join_all(pods.iter().map(|pod| self.api.create(&params, pod))).await {
            made.expect("the pod is taken");
        }
        let last = self.seen.0.wait(|seen| {
            let running: Vec<Instant> = seen.values().copied().flatten().collect();
            (running.len() == count).then(|| running.into_iter().max()).flatten()
        });
        let Ok(last) = timeout(WITHIN, last).await else { panic!("of {count} pods not all run") };
        last - begin
    }

    /// Deletes all pods, and waits until they are gone.
    pub(crate) async fn end(&self) {
        let deleted = self.api.delete_collection(&DeleteParams::default(), &ListParams::default()).await;
        deleted.expect("pods can be deleted");
        let gone = self.seen.0.wait(|seen| seen.is_empty().then_some(()));
        timeout(WITHIN, gone).await.expect("pods go");
    }
}

fn pod(name: &str) -> Pod {
    let container = json!({"name": "c", "image": IMAGE, "command": COMMAND});
    let spec = json!({"terminationGracePeriodSeconds": 1, "containers": [container]});
    serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec})).expect("a pod")
}
