//! One hollow node at work: it registers, keeps its Lease, reports its status, and attends to its pods, all in one task.

use std::future::{Future, pending};
use std::sync::Arc;

use client::cache::ListWatch;
use client::clock::Clock;
use client::events::{EventType, Recorder};
use client::resource::Resource;
use futures::future::join_all;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, ObjectReference, Pod};
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, Client};
use tokio::sync::OwnedSemaphorePermit;

use super::node::node;
use super::options::Valid;
use super::plan::{Act, Says};
use super::pods::{Name, Pods};
use super::random::generator;
use crate::node::keep::{Describes, Intervals, Keeper};
use crate::node::report::pod_ranges;
use crate::request::{Failure, ask};

/// How many pods of a node are attended to at a time.
const WORKERS: usize = 4;
/// A hollow node.
pub(super) struct Agent {
    options: Arc<Valid>,
    number: u32,
    name: String,
    client: Client,
    clock: Clock,
    pods: Arc<Pods>,
    keeper: Keeper<About>,
}

/// What a hollow node says of itself.
struct About {
    options: Arc<Valid>,
    number: u32,
    pods: Arc<Pods>,
}

impl Describes for About {
    fn node(&self, now: Timestamp) -> Node {
        node(&self.options, self.number, now)
    }

    fn learn(&self, node: &Node) {
        let ranges = pod_ranges(node);
        if !ranges.is_empty() {
            self.pods.set_ranges(ranges);
        }
    }
}

impl Agent {
    pub(super) fn new(options: &Arc<Valid>, number: u32, client: Client, clock: Clock) -> Agent {
        let name = options.name(number);
        let random = generator(options.seed, &name, "times");
        let pods = Arc::new(Pods::new(Arc::clone(options), number));
        let about = About { options: Arc::clone(options), number, pods: Arc::clone(&pods) };
        let intervals = Intervals {
            lease: options.lease_duration,
            renew: options.renew_interval,
            report: options.report_interval,
            check: None,
        };
        let keeper = Keeper::new(client.clone(), clock, &name, intervals, about, random);
        Agent { options: Arc::clone(options), number, name, client, clock, pods, keeper }
    }

    /// Is a node, until it is dropped. Gives the permit back when it has come up.
    pub(super) async fn live(self, permit: OwnedSemaphorePermit) {
        self.keeper.register().await;
        let watch = ListWatch::telling(self.client.clone(), Arc::clone(&self.pods), Resource::of::<Pod>())
            .selecting(format!("spec.nodeName={}", self.name));
        let come_up = async {
            self.pods.listed().await;
            drop(permit);
            pending::<()>().await;
        };
        let (recorder, recording) = self.recorder();
        let workers = join_all((0..WORKERS).map(|_| self.attend_all(recorder.as_ref())));
        tokio::select! {
            biased;
            () = watch.tell::<Pod>() => {}
            () = self.keeper.keep_lease() => {}
            () = self.keeper.keep_reporting() => {}
            () = come_up => {}
            () = recording => {}
            _ = workers => {}
        }
    }

    fn recorder(&self) -> (Option<Recorder>, impl Future<Output = ()>) {
        let (recorder, task) = if self.options.events {
            let (recorder, task) = Recorder::new(self.client.clone(), "kubelet", &self.name, self.clock);
            (Some(recorder), Some(task))
        } else {
            (None, None)
        };
        let recording = async move {
            if let Some(task) = task {
                task.await;
            }
            pending::<()>().await;
        };
        (recorder, recording)
    }

    async fn attend_all(&self, recorder: Option<&Recorder>) {
        while let Some(work) = self.pods.queue.next().await {
            Box::pin(self.attend(work.key(), recorder)).await;
        }
    }

    /// Does what is to be done about a pod now.
    async fn attend(&self, name: &Name, recorder: Option<&Recorder>) {
        if !self.pods.has_ranges() {
            self.find_ranges().await;
        }
        let queue = &self.pods.queue;
        let Some((pod, plan)) = self.pods.consider(name, self.clock.now()) else { return };
        let done = match &plan.act {
            None => Ok(None),
            Some(act) => self.carry_out(&pod, act).await,
        };
        match done {
            Ok(changed) => {
                queue.succeeded(name);
                say(recorder, &pod, &plan.says);
                // A pod that has changed is in the queue again.
                let is_news = changed.is_some_and(|changed| self.pods.take(changed));
                match plan.again {
                    _ if is_news => {}
                    Some(again) => queue.add_after(Arc::clone(name), again),
                    None => self.pods.rest(name, &pod),
                }
            }
            // There is no such pod any longer, or another of the same name. The watch tells.
            Err(failure) if failure.is(404) || failure.is(409) => self.pods.rest(name, &pod),
            Err(error) => {
                let wait = queue.add_failed(Arc::clone(name));
                if error.is_for_good() {
                    tracing::warn!(node = self.name, pod = %name, %error, ?wait, "a pod is not as it should be");
                } else {
                    tracing::debug!(node = self.name, pod = %name, %error, ?wait, "a pod is not yet as it should be");
                }
            }
        }
    }

    /// Finds out from which ranges pods get addresses, before the first gets one.
    async fn find_ranges(&self) {
        match self.keeper.get().await {
            Ok(node) => self.keeper.learn(&node),
            Err(error) => tracing::debug!(node = self.name, %error, "it is not known which addresses pods get"),
        }
        if !self.pods.has_ranges() {
            self.pods.set_ranges([self.options.pod_range(self.number).as_str()]);
        }
    }

    /// Does something to a pod, and returns it if it is still there.
    async fn carry_out(&self, pod: &Pod, act: &Act) -> Result<Option<Pod>, Failure> {
        let meta = &pod.metadata;
        let (name, namespace) = (meta.name.as_deref(), meta.namespace.as_deref());
        let (name, namespace) = (name.unwrap_or_default(), namespace.unwrap_or_default());
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        match act {
            Act::Patch(patch) => {
                let patch = Patch::Strategic(patch);
                Ok(Some(ask(pods.patch_status(name, &PatchParams::default(), &patch)).await?))
            }
            Act::Delete => {
                let preconditions = Preconditions { uid: meta.uid.clone(), resource_version: None };
                let params = DeleteParams::default().grace_period(0).preconditions(preconditions);
                ask(pods.delete(name, &params)).await?;
                Ok(None)
            }
        }
    }
}

/// Records what is to be said of a pod.
fn say(recorder: Option<&Recorder>, pod: &Pod, says: &[Says]) {
    let Some(recorder) = recorder else { return };
    for says in says {
        let inits = pod.spec.iter().flat_map(|spec| spec.init_containers.iter().flatten());
        let is_init = inits.into_iter().any(|container| container.name == says.container);
        let field = if is_init { "initContainers" } else { "containers" };
        let regarding = ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            namespace: pod.metadata.namespace.clone(),
            name: pod.metadata.name.clone(),
            uid: pod.metadata.uid.clone(),
            field_path: Some(format!("spec.{field}{{{}}}", says.container)),
            ..ObjectReference::default()
        };
        recorder.event(regarding, EventType::Normal, says.reason, says.message.clone());
    }
}
