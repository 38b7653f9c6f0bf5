//! Writes what becomes of pods to the API: the newest status of each, as soon as the API takes it.
//!
//! A status that is overtaken by a newer one before it could be written is never written. While the API is away, the
//! newest one waits. How many can wait is bounded by how many pods there are.
//!
//! That a pod has a sandbox, and no more, waits a little: mostly its containers run soon after, and both are one write.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use client::clock::Clock;
use client::queue::{Backoff, WorkQueue};
use client::told::Told;
use futures::future::join_all;
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::Value;
use tokio::time::Instant;

use super::echo::Said;
use super::pods::{Entry, Origin, Pods, Uid};
use crate::request::ask;
use crate::server::Metrics;
use crate::status_patch::difference;

/// How many statuses are written at a time.
const AT_ONCE: usize = 8;
/// The waits after failures.
const BACKOFF: Backoff = Backoff { first: Duration::from_millis(100), longest: Duration::from_secs(5) };

/// How long a status waits for what mostly follows soon.
const HELD: Duration = Duration::from_secs(1);

/// Writes statuses.
pub(super) struct Writer {
    client: Client,
    pods: Arc<Pods>,
    queue: WorkQueue<Uid>,
    metrics: Arc<Metrics>,
    clock: Clock,
    /// What is not written yet.
    pending: Told<HashMap<Uid, Arc<PodStatus>>>,
}

impl Writer {
    pub(super) fn new(client: Client, pods: Arc<Pods>, (metrics, clock): (Arc<Metrics>, Clock)) -> Writer {
        let (queue, pending) = (WorkQueue::new(BACKOFF), Told::new(HashMap::new()));
        Writer { client, pods, queue, metrics, clock, pending }
    }

    /// Has a status written, unless the API has it.
    pub(super) fn set(&self, entry: &Entry, status: &Arc<PodStatus>) {
        let patch = self.counterpart(entry).map(|pod| patch(&pod, status));
        let waits = self.pending.look(|pending| pending.contains_key(&entry.uid));
        let written = matches!(patch, Some(None));
        *entry.said.lock() = Said { status: Some(Arc::clone(status)), waits: waits || !written };
        if written && !waits {
            return;
        }
        self.pending.change(|pending| {
            pending.insert(Arc::clone(&entry.uid), Arc::clone(status));
        });
        if patch.flatten().is_some_and(|patch| has_only_a_sandbox(&patch)) {
            self.queue.add_after(Arc::clone(&entry.uid), HELD);
        } else {
            self.queue.add(Arc::clone(&entry.uid));
        }
    }

    /// Waits until the API has the newest status of a pod, or the pod no longer.
    pub(super) async fn flushed(&self, uid: &str) {
        self.pending.wait(|pending| (!pending.contains_key(uid)).then_some(())).await;
    }

    /// Writes, until it is dropped.
    pub(super) async fn run(&self) {
        join_all((0..AT_ONCE).map(|_| self.write_all())).await;
    }

    async fn write_all(&self) {
        while let Some(work) = self.queue.next().await {
            let uid = work.key();
            let Some(status) = self.pending.look(|pending| pending.get(uid).cloned()) else { continue };
            if self.write(uid, &status).await {
                self.queue.succeeded(uid);
                let mut is_newest = false;
                self.pending.change(|pending| {
                    is_newest = pending.get(uid).is_some_and(|newest| Arc::ptr_eq(newest, &status));
                    if is_newest {
                        pending.remove(uid);
                    }
                });
                if let Some(entry) = self.pods.get(uid).filter(|_| is_newest) {
                    entry.said.lock().waits = false;
                }
            } else {
                self.queue.add_failed(Arc::clone(uid));
            }
        }
    }

    /// Writes a status. `false` if it has to be tried again.
    async fn write(&self, uid: &Uid, status: &Arc<PodStatus>) -> bool {
        let Some(entry) = self.pods.get(uid) else { return true };
        let Some(pod) = self.counterpart(&entry) else { return entry.origin != Origin::File };
        let Some(patch) = patch(&pod, status) else { return true };
        let (namespace, name) = (pod.metadata.namespace.as_deref(), pod.metadata.name.as_deref().unwrap_or_default());
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), namespace.unwrap_or_default());
        let (params, patch) = (PatchParams::default(), Patch::Strategic(patch));
        let began = Instant::now();
        match ask(pods.patch_status(name, &params, &patch)).await {
            Ok(pod) => {
                let phase = status.phase.as_deref();
                tracing::debug!(pod = %uid, phase, took = ?began.elapsed(), "the status of a pod is written");
                self.measure(&entry, &pod);
                if entry.origin == Origin::Api {
                    self.pods.take(pod, Origin::Api);
                }
                true
            }
            // It is gone, or another one has its name. The watch tells.
            Err(failure) if failure.is(404) || failure.is(409) => true,
            Err(error) => {
                if error.is_for_good() {
                    tracing::warn!(pod = name, %error, "the status of a pod was refused");
                } else {
                    tracing::debug!(pod = name, %error, "the status of a pod is not written yet");
                }
                false
            }
        }
    }

    /// Measures how long the pod took to start, if it has by what the API has of it.
    fn measure(&self, entry: &Entry, pod: &Pod) {
        let Some(took) = entry.startup.lock().observe(pod, self.clock.now()) else { return };
        self.metrics.pod_start_total.observe(&[], took.total);
        if let Some(promised) = took.promised {
            self.metrics.pod_start_sli.observe(&[], promised);
        }
    }

    /// The pod of the API whose status it is.
    fn counterpart(&self, entry: &Entry) -> Option<Arc<Pod>> {
        let pod = entry.pod();
        match entry.origin {
            Origin::Api => Some(pod),
            Origin::File => {
                let key = (pod.metadata.namespace.clone()?, pod.metadata.name.clone()?);
                self.pods.mirrors().look(|mirrors| mirrors.get(&key).cloned())
            }
            Origin::Runtime => None,
        }
    }
}

/// What has to be written.
fn patch(pod: &Pod, status: &PodStatus) -> Option<Value> {
    let uid = pod.metadata.uid.as_deref().unwrap_or_default();
    match &pod.status {
        Some(known) => difference(uid, known, status),
        None => difference(uid, &PodStatus::default(), status),
    }
}

/// Whether a patch says nothing but that the pod has a sandbox, and an address with it.
fn has_only_a_sandbox(patch: &Value) -> bool {
    const OF_SANDBOXES: [&str; 4] = ["$setElementOrder/conditions", "conditions", "podIP", "podIPs"];
    let status = patch["status"].as_object();
    let mut conditions = patch["status"]["conditions"].as_array().into_iter().flatten();
    let is_of_sandbox = |it: &Value| it["type"] == "PodReadyToStartContainers" && it["status"] == "True";
    status.is_some_and(|status| status.keys().all(|field| OF_SANDBOXES.contains(&field.as_str())))
        && conditions.all(is_of_sandbox)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_a_sandbox_waits() {
        let check = |status: Value, expected: bool| {
            assert_eq!(has_only_a_sandbox(&json!({"status": status})), expected, "{status}");
        };
        let condition = |kind: &str, status: &str| json!([{"type": kind, "status": status}]);
        check(json!({"podIP": "10.0.0.1", "conditions": condition("PodReadyToStartContainers", "True")}), true);
        check(json!({"conditions": condition("PodReadyToStartContainers", "False")}), false);
        check(json!({"conditions": condition("Ready", "True")}), false);
        check(json!({"podIP": "10.0.0.1", "phase": "Running"}), false);
        check(json!({"podIP": "10.0.0.1", "containerStatuses": []}), false);
    }
}
