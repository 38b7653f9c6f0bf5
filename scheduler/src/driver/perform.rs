//! Does at the API what the engine says.

use std::collections::BTreeMap;
use std::sync::Arc;

use client::clock::Clock;
use client::events::{EventType, Recorder};
use client::queue::Backoff;
use futures::future::join_all;
use http::{Method, Request};
use k8s_openapi::api::core::v1::{ObjectReference, PersistentVolume, PersistentVolumeClaim, Pod, PodCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::Client;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::time::{Duration, sleep};

use super::Environment;
use super::inbox::{Inbox, Input};
use crate::cycle::Write;
use crate::engine::{Effect, Nomination, Reason};
use crate::snapshot::PlacedPod;

/// How many requests may be under way. A server takes 200 writes at a time, by upstream's default, and others want some.
const MOST_AT_ONCE: usize = 100;
/// The waits between attempts to bind, as long as it is not known what came of the last one.
const BACKOFF: Backoff = Backoff { first: Duration::from_millis(100), longest: Duration::from_secs(5) };
/// The longest message of an Event.
const LONGEST_MESSAGE: usize = 1024;
const JSON: &str = "application/json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";

/// Why a request was not fulfilled.
enum Failed {
    /// The server refused it, with this code.
    Refused(u16, String),
    /// It is not known whether it was.
    Unknown(String),
}

impl Failed {
    fn message(self) -> String {
        match self {
            Failed::Refused(_, message) | Failed::Unknown(message) => message,
        }
    }
}

impl From<kube::Error> for Failed {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) if (400..500).contains(&status.code) && status.code != 429 => {
                Failed::Refused(status.code, status.message)
            }
            error => Failed::Unknown(error.to_string()),
        }
    }
}

/// Does what the engine says, and tells it what came of it.
#[derive(Clone)]
pub(super) struct Performer {
    client: Client,
    clock: Clock,
    /// By the names of schedulers.
    recorders: Arc<BTreeMap<String, Recorder>>,
    inbox: Arc<Inbox>,
    requests: Arc<Semaphore>,
}

impl Performer {
    pub(super) fn new(
        environment: &Environment,
        recorders: BTreeMap<String, Recorder>,
        inbox: Arc<Inbox>,
    ) -> Performer {
        let Environment { client, clock, .. } = environment.clone();
        let requests = Arc::new(Semaphore::new(MOST_AT_ONCE));
        Performer { client, clock, recorders: Arc::new(recorders), inbox, requests }
    }

    pub(super) async fn perform(self, effect: Effect) {
        match effect {
            Effect::Prepare { pod, writes } => {
                let outcome = self.write_all(&pod, &writes).await.map_err(Failed::message);
                self.inbox.put(Input::Prepared(uid(&pod), outcome));
            }
            Effect::Bind { pod, node, write } => {
                let outcome = self.bind(&pod, &write).await;
                if outcome.is_ok() {
                    let message = format!("Successfully assigned {} to {node}", full_name(&pod));
                    self.record(&pod, EventType::Normal, "Scheduled", message);
                }
                self.inbox.put(Input::Bound(uid(&pod), outcome));
            }
            Effect::Refused { pod, reason, message, nomination } => {
                self.record(&pod, EventType::Warning, "FailedScheduling", shortened(&message));
                self.tell_refused(&pod, reason, &message, &nomination).await;
            }
            Effect::Preempt { pod, node, victims, displaced } => {
                let outcome = self.preempt(&pod, &node, &victims, &displaced).await.map_err(Failed::message);
                self.inbox.put(Input::Preempted(uid(&pod), outcome));
            }
            Effect::Skipped { pod } => {
                let message = format!("skip schedule deleting pod: {}", full_name(&pod));
                self.record(&pod, EventType::Warning, "FailedScheduling", message);
            }
        }
    }

    fn record(&self, pod: &Pod, event_type: EventType, reason: &str, message: String) {
        if let Some(recorder) = self.recorders.get(scheduler_of(pod)) {
            recorder.event(reference(pod), event_type, reason, message);
        }
    }

    async fn send(&self, method: Method, path: &str, content_type: &str, body: &Value) -> Result<(), Failed> {
        // Fails only if the semaphore has been closed, which it never is.
        let _permit = self.requests.acquire().await;
        let request = Request::builder().method(method).uri(path).header("content-type", content_type);
        let request =
            request.body(body.to_string().into_bytes()).map_err(|error| Failed::Unknown(error.to_string()))?;
        self.client.request::<IgnoredAny>(request).await?;
        Ok(())
    }

    /// Binds the pod. As long as it is not known whether it is bound, it counts on its node and nowhere else: the same is
    /// tried again until the server says.
    async fn bind(&self, pod: &Pod, write: &Write) -> Result<(), String> {
        let mut failures = 0;
        loop {
            match self.write(pod, write).await {
                Ok(()) => return Ok(()),
                // The attempt of which nothing was heard has done it; or somebody else has, which will be seen.
                Err(Failed::Refused(409, _)) if failures > 0 => return Ok(()),
                Err(Failed::Refused(_, message)) => {
                    return Err(format!("running Bind plugin \"DefaultBinder\": {message}"));
                }
                Err(Failed::Unknown(message)) => {
                    tracing::debug!(pod = full_name(pod), message, "it is not known whether the pod was bound");
                    failures += 1;
                    sleep(BACKOFF.after(failures)).await;
                }
            }
        }
    }

    async fn write_all(&self, pod: &Pod, writes: &[Write]) -> Result<(), Failed> {
        for write in writes {
            self.write(pod, write).await?;
        }
        Ok(())
    }

    async fn write(&self, pod: &Pod, write: &Write) -> Result<(), Failed> {
        match write {
            Write::Bind(node) => {
                let meta = &pod.metadata;
                let body = json!({
                    "apiVersion": "v1",
                    "kind": "Binding",
                    "metadata": {"name": meta.name, "namespace": meta.namespace, "uid": meta.uid},
                    "target": {"kind": "Node", "name": node},
                });
                self.send(Method::POST, &format!("{}/binding", path_of(pod)), JSON, &body).await
            }
            Write::PersistentVolume(volume) => {
                let path = format!("/api/v1/persistentvolumes/{}", name(&volume.metadata));
                self.send(Method::PUT, &path, JSON, &with_kind::<PersistentVolume>(volume)).await
            }
            Write::PersistentVolumeClaim(claim) => {
                let meta = &claim.metadata;
                let namespace = meta.namespace.as_deref().unwrap_or_default();
                let path = format!("/api/v1/namespaces/{namespace}/persistentvolumeclaims/{}", name(meta));
                self.send(Method::PUT, &path, JSON, &with_kind::<PersistentVolumeClaim>(claim)).await
            }
        }
    }

    /// Has the pod's status say why it was not scheduled, unless it does.
    async fn tell_refused(&self, pod: &Pod, reason: Reason, message: &str, nomination: &Nomination) {
        let status = pod.status.as_ref();
        let known = status.and_then(|status| status.conditions.iter().flatten().find(|known| known.type_ == SCHEDULED));
        let told = known.is_some_and(|known| {
            known.status == "False"
                && known.reason.as_deref() == Some(reason.as_str())
                && known.message.as_deref() == Some(message)
        });
        let nominated = status.and_then(|status| status.nominated_node_name.as_deref()).unwrap_or_default();
        let nominated_anew = match nomination {
            Nomination::Keep => None,
            Nomination::Clear => Some(""),
            Nomination::Set(node) => Some(node.as_str()),
        };
        let nominated_anew = nominated_anew.filter(|node| *node != nominated);
        if told && nominated_anew.is_none() {
            return;
        }
        let mut changed = json!({});
        if !told {
            let since =
                known.filter(|known| known.status == "False").and_then(|known| known.last_transition_time.clone());
            let condition = PodCondition {
                type_: SCHEDULED.to_owned(),
                status: "False".to_owned(),
                reason: Some(reason.as_str().to_owned()),
                message: Some(message.to_owned()),
                last_transition_time: Some(since.unwrap_or_else(|| Time(self.clock.now()))),
                observed_generation: pod.metadata.generation,
                ..PodCondition::default()
            };
            changed["conditions"] = json!([condition]);
        }
        if let Some(node) = nominated_anew {
            changed["nominatedNodeName"] = if node.is_empty() { Value::Null } else { json!(node) };
        }
        let uid = pod.metadata.uid.as_deref().unwrap_or_default();
        if let Err(failed) = self.patch_status(&path_of(pod), uid, changed).await {
            // The next attempt says it again.
            tracing::debug!(
                pod = full_name(pod),
                message = failed.message(),
                "could not say why a pod is not scheduled"
            );
        }
    }

    async fn patch_status(&self, path: &str, uid: &str, status: Value) -> Result<(), Failed> {
        let patch = json!({"metadata": {"uid": uid}, "status": status});
        self.send(Method::PATCH, &format!("{path}/status"), STRATEGIC, &patch).await
    }

    /// Deletes the victims, and lets the displaced know that no room is made for them.
    async fn preempt(
        &self,
        pod: &Pod,
        node: &str,
        victims: &[Arc<PlacedPod>],
        displaced: &[Arc<PlacedPod>],
    ) -> Result<(), Failed> {
        for displaced in displaced {
            let cleared = json!({"nominatedNodeName": null});
            if let Err(failed) = self.patch_status(&path_of_placed(displaced), &displaced.uid, cleared).await {
                // It is tried again as soon as anything changes, and then finds another node.
                tracing::debug!(pod = displaced.name, message = failed.message(), "could not withdraw a nomination");
            }
        }
        // What has begun is brought to its end, whatever fails beside it.
        let deletions = victims.iter().map(|victim| self.delete_victim(pod, node, victim));
        join_all(deletions).await.into_iter().collect()
    }

    async fn delete_victim(&self, pod: &Pod, node: &str, victim: &PlacedPod) -> Result<(), Failed> {
        let path = path_of_placed(victim);
        let condition = PodCondition {
            type_: "DisruptionTarget".to_owned(),
            status: "True".to_owned(),
            reason: Some("PreemptionByScheduler".to_owned()),
            message: Some(format!("{}: preempting to accommodate a higher priority pod", scheduler_of(pod))),
            last_transition_time: Some(Time(self.clock.now())),
            ..PodCondition::default()
        };
        match self.patch_status(&path, &victim.uid, json!({"conditions": [condition]})).await {
            // It is gone, or another has its name.
            Err(Failed::Refused(404 | 409, _)) => return Ok(()),
            outcome => outcome?,
        }
        let options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": victim.uid}});
        match self.send(Method::DELETE, &path, JSON, &options).await {
            Err(Failed::Refused(404 | 409, _)) => return Ok(()),
            outcome => outcome?,
        }
        if let Some(recorder) = self.recorders.get(scheduler_of(pod)) {
            let regarding = ObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Pod".to_owned()),
                namespace: Some(victim.info.namespace.clone()),
                name: Some(victim.name.clone()),
                uid: Some(victim.uid.clone()),
                ..ObjectReference::default()
            };
            let message = format!("Preempted by pod {} on node {node}", uid(pod));
            recorder.event(regarding, EventType::Normal, "Preempted", message);
        }
        Ok(())
    }
}

/// The condition that says whether a pod has a node.
const SCHEDULED: &str = "PodScheduled";

fn uid(pod: &Pod) -> String {
    pod.metadata.uid.clone().unwrap_or_default()
}

fn name(meta: &ObjectMeta) -> &str {
    meta.name.as_deref().unwrap_or_default()
}

fn full_name(pod: &Pod) -> String {
    format!("{}/{}", pod.metadata.namespace.as_deref().unwrap_or_default(), name(&pod.metadata))
}

fn path_of(pod: &Pod) -> String {
    path(pod.metadata.namespace.as_deref().unwrap_or_default(), name(&pod.metadata))
}

fn path_of_placed(pod: &PlacedPod) -> String {
    path(&pod.info.namespace, &pod.name)
}

fn path(namespace: &str, name: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/pods/{name}")
}

fn scheduler_of(pod: &Pod) -> &str {
    pod.spec.as_ref().and_then(|spec| spec.scheduler_name.as_deref()).unwrap_or("default-scheduler")
}

fn reference(pod: &Pod) -> ObjectReference {
    let meta = &pod.metadata;
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Pod".to_owned()),
        namespace: meta.namespace.clone(),
        name: meta.name.clone(),
        uid: meta.uid.clone(),
        resource_version: meta.resource_version.clone(),
        ..ObjectReference::default()
    }
}

/// An object as it is sent.
fn with_kind<K: k8s_openapi::Resource + serde::Serialize>(object: &K) -> Value {
    let mut value = json!(object);
    value["apiVersion"] = json!(K::API_VERSION);
    value["kind"] = json!(K::KIND);
    value
}

/// A message that is not too long for an Event.
fn shortened(message: &str) -> String {
    if message.len() <= LONGEST_MESSAGE {
        return message.to_owned();
    }
    let mut end = LONGEST_MESSAGE - 3;
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}...", &message[..end])
}
