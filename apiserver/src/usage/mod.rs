//! What nodes and containers use, as `kubectl top` shows it: metrics.k8s.io, served from what kubelets say, with no add-on.
//!
//! Kubelets are asked when somebody asks, and what they said is told again to whoever asks soon after. So a cluster that
//! nobody looks at costs nothing. A figure that a kubelet does not give is missing, and so are those of kubelets that do not
//! answer in time; nobody waits longer than that.

mod rates;
mod schemas;
mod summary;
pub mod types;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::quantity::{Format, Quantity};
use api::status::Status;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::engine::Engine;
use crate::proxy::{Options, Proxy, stored};
use rates::{Track, Used, go_duration};
pub use schemas::Schemas;
use summary::{Container, Summary};
use types::{ContainerMetrics, NodeMetrics, PodMetrics, Usage};

/// For how long figures are told again; the interval in which upstream's metrics-server asks.
const FRESH: Duration = Duration::from_secs(15);
/// How long a kubelet may take to answer, and all of them together.
const KUBELET_TIME: Duration = Duration::from_secs(10);
const ALL_TIME: Duration = Duration::from_secs(20);
/// How many kubelets are asked at a time.
const AT_ONCE: usize = 128;
/// How much a kubelet may say: a node of 500 pods says less than one MiB.
const MOST_BYTES: usize = 16 << 20;

/// Asks kubelets, and remembers what they said.
pub struct Collector {
    engine: Arc<Engine>,
    proxy: Proxy,
    state: Mutex<State>,
}

/// What is known, of those nodes and containers that were there last.
#[derive(Default)]
struct State {
    asked: Option<Instant>,
    figures: Arc<Figures>,
}

#[derive(Debug, Default)]
struct Figures {
    nodes: BTreeMap<String, Track>,
    containers: BTreeMap<Container, Track>,
}

impl Collector {
    /// Finds nodes and pods in the store of `engine`, and kubelets as `options` say.
    #[must_use]
    pub fn new(engine: Arc<Engine>, options: Options) -> Collector {
        let proxy = Proxy::new(Arc::clone(&engine), options);
        Collector { engine, proxy, state: Mutex::default() }
    }

    /// What nodes use: all, or the one with a name.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn nodes(&self, name: Option<&str>) -> Result<Vec<NodeMetrics>, Status> {
        let nodes: Vec<Node> = match name {
            Some(name) => vec![stored::get(&self.engine, "nodes", "", name).await?],
            None => stored::list(&self.engine, "core/nodes", "").await?,
        };
        let figures = self.figures().await?;
        Ok(nodes.iter().filter_map(|node| node_metrics(node, &figures)).collect())
    }

    /// What pods use: all, those of a namespace, or the one with a name there.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn pods(&self, namespace: &str, name: Option<&str>) -> Result<Vec<PodMetrics>, Status> {
        let pods: Vec<Pod> = match name {
            Some(name) => vec![stored::get(&self.engine, "pods", namespace, name).await?],
            None => stored::list(&self.engine, "core/pods", namespace).await?,
        };
        let figures = self.figures().await?;
        Ok(pods.iter().filter_map(|pod| pod_metrics(pod, &figures)).collect())
    }

    /// What is known and no older than [`FRESH`]. Those who ask at the same time wait for the same answers.
    async fn figures(&self) -> Result<Arc<Figures>, Status> {
        let mut state = self.state.lock().await;
        if state.asked.is_none_or(|asked| asked.elapsed() >= FRESH) {
            let nodes: Vec<Node> = stored::list(&self.engine, "core/nodes", "").await?;
            state.figures = Arc::new(self.ask(&nodes, &state.figures).await);
            state.asked = Some(Instant::now());
        }
        Ok(Arc::clone(&state.figures))
    }

    fn ask_one<'a>(&'a self, node: &'a Node) -> BoxFuture<'a, (String, Result<Summary, String>)> {
        async move {
            let name = node.metadata.name.clone().unwrap_or_default();
            let answer = self.proxy.read(node, summary::PATH, summary::QUERY, MOST_BYTES);
            let answer = tokio::time::timeout(KUBELET_TIME, answer).await;
            let answer = answer.unwrap_or_else(|_| Err("it did not answer in time".to_owned()));
            (name, answer.and_then(|json| Summary::parse(&json).map_err(|error| error.to_string())))
        }
        .boxed()
    }

    async fn ask(&self, nodes: &[Node], before: &Figures) -> Figures {
        let mut asked = Vec::new();
        for node in nodes {
            if is_heard_of(node) {
                asked.push(self.ask_one(node));
            }
        }
        let mut answers = Box::pin(futures::stream::iter(asked).buffer_unordered(AT_ONCE));
        let until = Instant::now() + ALL_TIME;
        let mut figures = Figures::default();
        while let Ok(Some((name, answer))) = tokio::time::timeout_at(until, answers.next()).await {
            match answer {
                Ok(summary) => figures.take(name, summary, before),
                Err(why) => tracing::debug!(node = name, %why, "a kubelet does not say what is used"),
            }
        }
        figures
    }
}

impl Figures {
    /// Adds what a kubelet said to what was known `before`.
    fn take(&mut self, node: String, summary: Summary, before: &Figures) {
        let track = |known: Option<&Track>, reading| known.map_or(Track::new(reading), |known| known.with(reading));
        if let Some(reading) = summary.node {
            let known = before.nodes.get(&node);
            self.nodes.insert(node, track(known, reading));
        }
        for (container, reading) in summary.containers {
            let known = before.containers.get(&container);
            let track = track(known, reading);
            self.containers.insert(container, track);
        }
    }
}

/// Whether a node's kubelet has said lately that it is there. Others are not waited for.
fn is_heard_of(node: &Node) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    !conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "Unknown")
}

fn node_metrics(node: &Node, figures: &Figures) -> Option<NodeMetrics> {
    let name = node.metadata.name.as_ref()?;
    let used = figures.nodes.get(name)?.used()?;
    Some(NodeMetrics {
        metadata: metadata(&node.metadata, used.at),
        timestamp: Some(to_the_second(used.at)),
        window: go_duration(used.window),
        usage: usage(&used),
    })
}

/// The earliest of its containers says when, as with upstream's.
fn pod_metrics(pod: &Pod, figures: &Figures) -> Option<PodMetrics> {
    let uid = pod.metadata.uid.as_deref()?;
    let from = Container { pod: uid.to_owned(), name: String::new() };
    let of_pod = figures.containers.range(from..).take_while(|(container, _)| container.pod == uid);
    let used: Vec<(&str, Used)> =
        of_pod.filter_map(|(container, track)| Some((container.name.as_str(), track.used()?))).collect();
    let (_, first) = used.iter().min_by_key(|(_, used)| used.at)?;
    Some(PodMetrics {
        metadata: metadata(&pod.metadata, first.at),
        timestamp: Some(to_the_second(first.at)),
        window: go_duration(first.window),
        containers: used
            .iter()
            .map(|(name, used)| ContainerMetrics { name: (*name).to_owned(), usage: usage(used) })
            .collect(),
    })
}

fn metadata(of: &ObjectMeta, at: Timestamp) -> ObjectMeta {
    ObjectMeta {
        name: of.name.clone(),
        namespace: of.namespace.clone(),
        labels: of.labels.clone(),
        creation_timestamp: Some(to_the_second(at)),
        ..ObjectMeta::default()
    }
}

fn to_the_second(at: Timestamp) -> Time {
    Time(Timestamp::from_second(at.as_second()).unwrap_or(at))
}

fn usage(used: &Used) -> Usage {
    let whole = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let cpu = Quantity::scaled(whole(used.cpu), -9, Format::DecimalSi);
    let memory = Quantity::new(whole(used.memory), Format::BinarySi);
    [("cpu", cpu), ("memory", memory)].map(|(name, value)| (name.to_owned(), ApiQuantity(value.canonical()))).into()
}

#[cfg(test)]
mod tests;
