//! One hollow node at work: it registers, keeps its Lease, reports its status, and attends to its pods, all in one task.

use std::future::{Future, pending};
use std::sync::Arc;

use client::cache::ListWatch;
use client::clock::Clock;
use client::events::{EventType, Recorder};
use client::queue::Backoff;
use client::resource::Resource;
use futures::future::join_all;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, ObjectReference, Pod};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, Client};
use parking_lot::Mutex;
use rand::Rng;
use rand::rngs::StdRng;
use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio::time::{Duration, Instant, sleep};

use super::node::node;
use super::options::Valid;
use super::plan::{Act, Says};
use super::pods::{Name, Pods};
use super::random::generator;
use crate::node::lease::{LEASES, lease, renewed};
use crate::node::report::{pod_ranges, report};
use crate::request::{Failure, ask};

/// How many pods of a node are attended to at a time.
const WORKERS: usize = 4;
/// The waits after failures (upstream's bounds).
const BACKOFF: Backoff = Backoff { first: Duration::from_millis(200), longest: Duration::from_secs(7) };
/// By how much an interval is longer at times, so that nodes do not come to renew their Leases at the same time.
const JITTER: f64 = 0.04;

/// A hollow node.
pub(super) struct Agent {
    options: Arc<Valid>,
    number: u32,
    name: String,
    client: Client,
    clock: Clock,
    pods: Arc<Pods>,
    /// That the status is to be reported at once.
    stale: Notify,
    random: Mutex<StdRng>,
}

impl Agent {
    pub(super) fn new(options: &Arc<Valid>, number: u32, client: Client, clock: Clock) -> Agent {
        let name = options.name(number);
        let random = Mutex::new(generator(options.seed, &name, "times"));
        let pods = Arc::new(Pods::new(Arc::clone(options), number));
        Agent { options: Arc::clone(options), number, name, client, clock, pods, stale: Notify::new(), random }
    }

    /// Is a node, until it is dropped. Gives the permit back when it has come up.
    pub(super) async fn live(self, permit: OwnedSemaphorePermit) {
        self.register().await;
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
            () = self.keep_lease() => {}
            () = self.keep_reporting() => {}
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

    fn nodes(&self) -> Api<Node> {
        Api::all(self.client.clone())
    }

    fn leases(&self) -> Api<Lease> {
        Api::namespaced(self.client.clone(), LEASES)
    }

    /// A part of an interval, from nothing to all of it.
    fn part_of(&self, interval: Duration) -> Duration {
        interval.mul_f64(self.random.lock().random::<f64>())
    }

    async fn register(&self) {
        let mut failures = 0_u32;
        while let Err(error) = self.try_to_register().await {
            tracing::debug!(node = self.name, %error, "not registered");
            failures += 1;
            sleep(BACKOFF.after(failures)).await;
        }
    }

    async fn try_to_register(&self) -> Result<(), Failure> {
        let node = node(&self.options, self.number, self.clock.now());
        let answer = ask(self.nodes().create(&PostParams::default(), &node)).await;
        let node = match answer {
            Err(failure) if failure.is(409) => return self.report().await,
            answer => answer?,
        };
        self.learn_ranges(&node);
        Ok(())
    }

    /// Takes in which addresses the Node gives to its pods, if it says so.
    fn learn_ranges(&self, node: &Node) {
        let ranges = pod_ranges(node);
        if !ranges.is_empty() {
            self.pods.set_ranges(ranges);
        }
    }

    /// Makes the Node say what it has to.
    async fn report(&self) -> Result<(), Failure> {
        let known = ask(self.nodes().get(&self.name)).await?;
        let patch = report(&known, &node(&self.options, self.number, self.clock.now()));
        let patch = Patch::Strategic(patch);
        let node = ask(self.nodes().patch_status(&self.name, &PatchParams::default(), &patch)).await?;
        self.learn_ranges(&node);
        Ok(())
    }

    /// Reports now and then, and at once when the API may think that the node is gone.
    async fn keep_reporting(&self) {
        let interval = self.options.report_interval;
        let mut wait = self.part_of(interval);
        loop {
            tokio::select! {
                biased;
                () = self.stale.notified() => {}
                () = sleep(wait) => {}
            }
            let mut failures = 0_u32;
            while let Err(error) = self.report().await {
                tracing::debug!(node = self.name, %error, "no status reported");
                if error.is(404) {
                    // As a kubelet, it does not register again. Should somebody else make the Node, the Lease tells.
                    break;
                }
                failures += 1;
                sleep(BACKOFF.after(failures)).await;
            }
            wait = interval;
        }
    }

    async fn keep_lease(&self) {
        let interval = self.options.renew_interval;
        let (mut held, mut failures) = (None, 0_u32);
        let mut renewed = Instant::now();
        let mut wait = self.part_of(interval);
        loop {
            match self.renew(held.take()).await {
                Ok((lease, made)) => {
                    if renewed.elapsed() > self.options.lease_duration || (made && failures > 0) {
                        self.stale.notify_one();
                    }
                    (held, failures, renewed) = (Some(lease), 0, Instant::now());
                    sleep(wait).await;
                    wait = interval + self.part_of(interval.mul_f64(JITTER));
                }
                Err(error) => {
                    tracing::debug!(node = self.name, %error, "the lease is not renewed");
                    failures += 1;
                    sleep(BACKOFF.after(failures)).await;
                }
            }
        }
    }

    /// Renews the Lease, and says whether it had to be made.
    async fn renew(&self, held: Option<Lease>) -> Result<(Lease, bool), Failure> {
        let leases = self.leases();
        let held = match held {
            Some(held) => Some(held),
            None => ask(leases.get_opt(&self.name)).await?,
        };
        let now = self.clock.now();
        match held {
            Some(held) => {
                let lease = renewed(held, &self.name, self.options.lease_duration, now);
                Ok((ask(leases.replace(&self.name, &PostParams::default(), &lease)).await?, false))
            }
            None => {
                // It goes with the Node, so that there is none without one.
                let node = ask(self.nodes().get(&self.name)).await?;
                let lease = lease(&node, self.options.lease_duration, now);
                Ok((ask(leases.create(&PostParams::default(), &lease)).await?, true))
            }
        }
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
        match ask(self.nodes().get(&self.name)).await {
            Ok(node) => self.learn_ranges(&node),
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
