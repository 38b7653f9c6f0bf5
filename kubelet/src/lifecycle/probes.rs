//! The probes of all pods of a node, on one task: a queue says which is due next, and only a look that is being taken has a
//! task of its own. So an idle probe costs a few hundred bytes. There is at most one look at a time for each probe, and one
//! entry in the queue.
//!
//! A look that ends after its container has been replaced, or its pod forgotten, counts for nothing.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use client::clock::Clock;
use client::events::{EventType, Recorder};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Container, ContainerStatus, ObjectReference, Pod, Probe};
use parking_lot::Mutex;
use rand::Rng;
use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

use super::check::{self, Target, Verdict};
use super::probe::{Kind, Next, Prober, Schedule, Situation};
use crate::cri::Cri;
use crate::observed::{ContainerState, Probed, RuntimeContainer, RuntimePod};

/// How long before the agent's start a container must have been started for it to be one of the agent's former life
/// (upstream's number).
const FORMER_LIFE: SignedDuration = SignedDuration::from_secs(10);

/// Is told of a pod, by its uid, of whose containers something else is to be said than before.
pub type OnChange = Arc<dyn Fn(&str) + Send + Sync>;

/// A look at a container, for metrics.
#[derive(Clone, Copy, Debug)]
pub struct Look<'a> {
    /// Which probe (label `probe_type`, by [`Kind::as_str`]).
    pub kind: Kind,
    /// The container.
    pub container: &'a str,
    /// Its pod.
    pub pod: &'a Pod,
    /// Whether it was good (label `result`, `successful` or `failed`). A look that found nothing out is not told of.
    pub good: bool,
    /// How long it took.
    pub took: Duration,
}

/// Is told of each look. Must not wait.
pub type OnLook = Box<dyn Fn(&Look<'_>) + Send + Sync>;

/// The probes of a node's pods. Clones are the same; probing ends with the last one.
#[derive(Clone)]
pub struct Probes {
    shared: Arc<Shared>,
    _driver: Arc<Driver>,
}

struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Shared {
    cri: Cri,
    clock: Clock,
    on_change: OnChange,
    recorder: Recorder,
    on_look: OnceLock<OnLook>,
    /// When the agent was started.
    began: Timestamp,
    state: Mutex<State>,
    /// That something else may be due first.
    sooner: Notify,
}

#[derive(Default)]
struct State {
    pods: HashMap<Arc<str>, Attended>,
    /// What is due when. The number tells entries of the same time apart.
    queue: BTreeMap<(Instant, u64), (Arc<str>, usize)>,
    queued: u64,
}

/// A pod with probes.
struct Attended {
    pod: Arc<Pod>,
    address: Option<IpAddr>,
    /// Whether it is being ended, so that only readiness is of interest.
    ending: bool,
    workers: Vec<Worker>,
}

/// A probe of a container.
struct Worker {
    place: Place,
    prober: Prober,
    seen: Option<Seen>,
    /// The time before which it does not look again.
    earliest: Instant,
    /// Its entry in the queue.
    due: Option<(Instant, u64)>,
    looking: Option<UnderWay>,
}

/// Where a container stands in its pod's spec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    init: bool,
    index: usize,
}

/// What the runtime has of a container.
#[derive(Clone, Copy)]
struct Seen {
    running: bool,
    since: Option<Timestamp>,
}

/// A look that is being taken. It ends when this is dropped.
struct UnderWay(AbortHandle);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What came of a look.
struct Found {
    uid: Arc<str>,
    worker: usize,
    container: String,
    verdict: Verdict,
    took: Duration,
}

impl Place {
    fn container(self, pod: &Pod) -> Option<&Container> {
        let spec = pod.spec.as_ref()?;
        if self.init { spec.init_containers.as_ref()?.get(self.index) } else { spec.containers.get(self.index) }
    }
}

fn probe_of(container: &Container, kind: Kind) -> Option<&Probe> {
    match kind {
        Kind::Startup => container.startup_probe.as_ref(),
        Kind::Liveness => container.liveness_probe.as_ref(),
        Kind::Readiness => container.readiness_probe.as_ref(),
    }
}

/// Whether a probe goes to its pod's address.
fn needs_address(probe: &Probe) -> bool {
    let names = |host: &Option<String>| host.as_ref().is_some_and(|host| !host.is_empty());
    let elsewhere = probe.http_get.as_ref().is_some_and(|get| names(&get.host))
        || probe.tcp_socket.as_ref().is_some_and(|socket| names(&socket.host));
    probe.exec.is_none() && !elsewhere
}

impl Probes {
    /// Probes nothing yet. `on_change` is told by the task that probes, and must not wait. To be called on a tokio runtime.
    #[must_use]
    pub fn new(cri: Cri, clock: Clock, on_change: OnChange, recorder: Recorder) -> Probes {
        let (state, sooner, on_look) = (Mutex::default(), Notify::new(), OnceLock::new());
        let shared = Arc::new(Shared { cri, clock, on_change, recorder, on_look, began: clock.now(), state, sooner });
        let driver = tokio::spawn(drive(Arc::clone(&shared)));
        Probes { shared, _driver: Arc::new(Driver(driver)) }
    }

    /// Takes what the runtime has of a pod, and probes what runs as the pod's spec says. To be called whenever it has
    /// changed.
    pub fn attend(&self, pod: &Arc<Pod>, runtime: &RuntimePod) {
        let Some(uid) = pod.metadata.uid.as_deref() else { return };
        let mut state = self.shared.state.lock();
        if !state.pods.contains_key(uid) {
            let workers = workers_of(pod);
            if workers.is_empty() {
                return;
            }
            let attended = Attended { pod: Arc::clone(pod), address: None, ending: false, workers };
            state.pods.insert(uid.into(), attended);
        }
        let State { pods, queue, queued } = &mut *state;
        let Some((uid, attended)) = pods.get_key_value(uid).map(|(uid, _)| Arc::clone(uid)).and_then(|uid| {
            let attended = pods.get_mut(&uid)?;
            Some((uid, attended))
        }) else {
            return;
        };
        attended.pod = Arc::clone(pod);
        attended.address = address_of(pod, runtime);
        attended.ending |= pod.metadata.deletion_timestamp.is_some();
        for worker in &mut attended.workers {
            worker.see(pod, runtime, self.shared.began);
        }
        let now = self.shared.clock.now();
        attended.schedule(&uid, now, &mut Queue { entries: queue, count: queued });
        drop(state);
        self.shared.sooner.notify_one();
    }

    /// Has liveness and startup of a pod probed no more, since it is being ended; readiness goes on.
    pub fn stop_liveness(&self, uid: &str) {
        let now = self.shared.clock.now();
        let mut state = self.shared.state.lock();
        let State { pods, queue, queued } = &mut *state;
        let Some(attended) = pods.get_mut(uid) else { return };
        attended.ending = true;
        attended.schedule(&uid.into(), now, &mut Queue { entries: queue, count: queued });
    }

    /// Ends everything about a pod.
    pub fn forget(&self, uid: &str) {
        let mut state = self.shared.state.lock();
        let Some(attended) = state.pods.remove(uid) else { return };
        for due in attended.workers.iter().filter_map(|worker| worker.due) {
            state.queue.remove(&due);
        }
    }

    /// What is said of a pod's containers, by the runtime's IDs: of the newest one of each name.
    #[must_use]
    pub fn results(&self, uid: &str) -> BTreeMap<String, Probed> {
        let state = self.shared.state.lock();
        let mut results: BTreeMap<String, Probed> = BTreeMap::new();
        for worker in state.pods.get(uid).iter().flat_map(|attended| &attended.workers) {
            let Some(container) = worker.prober.container() else { continue };
            if !results.contains_key(container) {
                results.insert(container.to_owned(), Probed::default());
            }
            let Some(probed) = results.get_mut(container) else { continue };
            match worker.prober.kind() {
                Kind::Startup => probed.startup = worker.prober.says(),
                Kind::Liveness => probed.liveness = worker.prober.says(),
                Kind::Readiness => probed.readiness = worker.prober.says(),
            }
        }
        results
    }

    /// Has `on_look` told of each look from now on. Only the first one that is given is.
    pub fn tell_looks(&self, on_look: OnLook) {
        let _ = self.shared.on_look.set(on_look);
    }
}

/// The probes that a pod's spec has: of its containers, and of init containers that go on running.
fn workers_of(pod: &Pod) -> Vec<Worker> {
    let Some(spec) = &pod.spec else { return Vec::new() };
    let init = spec.init_containers.iter().flatten().enumerate();
    let sidecars = init.filter(|(_, container)| container.restart_policy.as_deref() == Some("Always"));
    let sidecars = sidecars.map(|(index, container)| (Place { init: true, index }, container));
    let regular = spec.containers.iter().enumerate();
    let regular = regular.map(|(index, container)| (Place { init: false, index }, container));
    let mut workers = Vec::new();
    for (place, container) in sidecars.chain(regular) {
        for kind in [Kind::Startup, Kind::Liveness, Kind::Readiness] {
            let Some(probe) = probe_of(container, kind) else { continue };
            workers.push(Worker {
                place,
                prober: Prober::new(kind, Schedule::of(probe)),
                seen: None,
                earliest: Instant::now(),
                due: None,
                looking: None,
            });
        }
    }
    workers.shrink_to_fit();
    workers
}

/// The address at which a pod's containers are probed: the first one, in the order of its status.
fn address_of(pod: &Pod, runtime: &RuntimePod) -> Option<IpAddr> {
    let status = pod.status.as_ref();
    let parsed = |text: Option<&String>| text.and_then(|text| text.parse().ok());
    let told = parsed(status.and_then(|status| status.pod_ip.as_ref()));
    let sandbox = runtime.sandbox();
    if sandbox.is_some_and(|sandbox| sandbox.host_network) {
        return told.or_else(|| parsed(status.and_then(|status| status.host_ip.as_ref())));
    }
    let addresses = sandbox.map(|sandbox| sandbox.addresses.as_slice()).unwrap_or_default();
    told.filter(|told| addresses.contains(told)).or_else(|| addresses.first().copied())
}

impl Worker {
    /// Takes what the runtime has of the container.
    fn see(&mut self, pod: &Pod, runtime: &RuntimePod, began: Timestamp) {
        let container = self.place.container(pod).and_then(|container| runtime.container(&container.name));
        let Some(container) = container else {
            self.looking = None;
            self.seen = None;
            return;
        };
        let running = container.state == ContainerState::Running;
        let former = container.started.is_some_and(|started| started < began - FORMER_LIFE);
        let before = former.then(|| self.said_before(pod, container)).flatten();
        if self.prober.is_about(&container.id, before) {
            self.looking = None;
            self.earliest = Instant::now();
            if former {
                // All probes of the node would come at once otherwise.
                self.earliest += self.prober.schedule().period.mul_f64(rand::rng().random::<f64>());
            }
        }
        if !running {
            self.looking = None;
        }
        self.seen = Some(Seen { running, since: container.started });
    }

    /// What the pod's status says of this very container.
    fn said_before(&self, pod: &Pod, container: &RuntimeContainer) -> Option<bool> {
        let status = pod.status.as_ref()?;
        let list = if self.place.init { &status.init_container_statuses } else { &status.container_statuses };
        let same = |status: &&ContainerStatus| {
            let id = status.container_id.as_deref().and_then(|id| id.rsplit_once("//"));
            status.name == container.name && id.is_some_and(|(_, id)| id == container.id)
        };
        let status = list.iter().flatten().find(same)?;
        match self.prober.kind() {
            Kind::Startup => status.started.filter(|started| *started),
            Kind::Readiness => Some(status.ready),
            Kind::Liveness => None,
        }
    }
}

/// What is due when.
struct Queue<'a> {
    entries: &'a mut BTreeMap<(Instant, u64), (Arc<str>, usize)>,
    count: &'a mut u64,
}

impl Attended {
    /// Whether a container's startup probe has succeeded, or it has none.
    fn has_started(&self, place: Place) -> bool {
        let mut startup = self.workers.iter().filter(|worker| worker.place == place);
        startup.all(|worker| worker.prober.kind() != Kind::Startup || worker.prober.says() == Some(true))
    }

    /// Has the queue say when each probe is due that does not look now. Whether what is said has changed by that.
    fn schedule(&mut self, uid: &Arc<str>, now: Timestamp, queue: &mut Queue<'_>) -> bool {
        let mut has_changed = false;
        for index in 0..self.workers.len() {
            let started = self.has_started(self.workers[index].place);
            let ending = self.ending;
            let worker = &mut self.workers[index];
            let situation = Situation {
                running: worker.seen.is_some_and(|seen| seen.running),
                since: worker.seen.and_then(|seen| seen.since),
                started,
                ending,
                now,
            };
            let (next, changed) = worker.prober.next(&situation);
            has_changed |= changed;
            let probe = worker.place.container(&self.pod).and_then(|found| probe_of(found, worker.prober.kind()));
            // Its address comes with what is observed next.
            let waits = self.address.is_none() && probe.is_some_and(needs_address);
            let next = if waits { Next::Nothing } else { next };
            if let Some(due) = worker.due.take() {
                queue.entries.remove(&due);
            }
            let due = match next {
                Next::Nothing => {
                    worker.looking = None;
                    None
                }
                _ if worker.looking.is_some() => None,
                Next::Look => Some(worker.earliest.max(Instant::now())),
                Next::After(rest) => Some(worker.earliest.max(Instant::now() + rest)),
            };
            if let Some(due) = due {
                *queue.count += 1;
                worker.due = Some((due, *queue.count));
                queue.entries.insert((due, *queue.count), (Arc::clone(uid), index));
            }
        }
        has_changed
    }
}

/// Probes, until it is aborted.
async fn drive(shared: Arc<Shared>) {
    let mut looks = JoinSet::new();
    loop {
        let next = shared.start_due(&mut looks);
        let due = async {
            match next {
                Some(next) => sleep_until(next).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = due => {}
            () = shared.sooner.notified() => {}
            Some(found) = looks.join_next() => {
                if let Ok(found) = found {
                    shared.take(&found);
                }
            }
        }
    }
}

impl Shared {
    /// Starts the looks whose time has come. Says when the next one is due.
    fn start_due(self: &Arc<Self>, looks: &mut JoinSet<Found>) -> Option<Instant> {
        let mut state = self.state.lock();
        let State { pods, queue, .. } = &mut *state;
        let now = Instant::now();
        while let Some(entry) = queue.first_entry() {
            if entry.key().0 > now {
                return Some(entry.key().0);
            }
            let ((due, _), (uid, index)) = entry.remove_entry();
            let Some(attended) = pods.get_mut(&uid) else { continue };
            let Some(worker) = attended.workers.get_mut(index) else { continue };
            worker.due = None;
            // A look that came too late is made up for once, and then the old rhythm goes on.
            worker.earliest = due + worker.prober.schedule().period;
            let Some(container) = worker.prober.container().map(str::to_owned) else { continue };
            let look = Arc::clone(self).look(Looking {
                uid,
                worker: index,
                container,
                pod: Arc::clone(&attended.pod),
                address: attended.address,
                place: worker.place,
                kind: worker.prober.kind(),
                timeout: worker.prober.schedule().timeout,
            });
            worker.looking = Some(UnderWay(looks.spawn(look)));
        }
        None
    }

    async fn look(self: Arc<Self>, looking: Looking) -> Found {
        let began = Instant::now();
        let Looking { uid, worker, container: id, pod, address, place, kind, timeout } = looking;
        let verdict = match place.container(&pod).and_then(|found| Some((found, probe_of(found, kind)?))) {
            Some((container, probe)) => {
                let target = Target { cri: &self.cri, container, id: &id, address };
                check::look(&target, probe, timeout).await
            }
            None => Verdict::Unknown { state: "unknown", message: "the container has no such probe".to_owned() },
        };
        Found { uid, worker, container: id, verdict, took: began.elapsed() }
    }

    /// Takes what came of a look.
    fn take(&self, found: &Found) {
        let now = self.clock.now();
        let mut state = self.state.lock();
        let State { pods, queue, queued } = &mut *state;
        let Some(attended) = pods.get_mut(&found.uid) else { return };
        let Some(worker) = attended.workers.get_mut(found.worker) else { return };
        if worker.prober.container() != Some(&found.container) || worker.looking.take().is_none() {
            return;
        }
        let (kind, place) = (worker.prober.kind(), worker.place);
        let good = match &found.verdict {
            Verdict::Good | Verdict::Warning(_) => Some(true),
            Verdict::Bad(_) => Some(false),
            Verdict::Unknown { .. } => None,
        };
        let mut changed = false;
        if let Some(good) = good {
            changed = worker.prober.found(good);
        }
        if changed && kind == Kind::Startup && worker.prober.says() == Some(true) {
            // What had to wait for this is not to wait for its own rhythm as well.
            for other in attended.workers.iter_mut().filter(|other| other.place == place) {
                other.earliest = Instant::now();
            }
        }
        changed |= attended.schedule(&found.uid, now, &mut Queue { entries: queue, count: queued });
        let pod = Arc::clone(&attended.pod);
        drop(state);
        if let (Some(good), Some(on_look), Some(container)) = (good, self.on_look.get(), place.container(&pod)) {
            on_look(&Look { kind, container: &container.name, pod: &pod, good, took: found.took });
        }
        self.tell(&pod, place, kind, &found.verdict);
        if changed {
            (self.on_change)(&found.uid);
        }
    }

    /// Says in an Event what is not as it should be.
    fn tell(&self, pod: &Pod, place: Place, kind: Kind, verdict: &Verdict) {
        let kind = kind.as_str();
        let (reason, message) = match verdict {
            Verdict::Good => return,
            Verdict::Warning(message) => ("ProbeWarning", format!("{kind} probe warning: {message}")),
            Verdict::Bad(message) => ("Unhealthy", format!("{kind} probe failed: {message}")),
            Verdict::Unknown { state, message } => {
                ("Unhealthy", format!("{kind} probe errored and resulted in {state} state: {message}"))
            }
        };
        let Some(container) = place.container(pod) else { return };
        let list = if place.init { "initContainers" } else { "containers" };
        let regarding = ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            namespace: pod.metadata.namespace.clone(),
            name: pod.metadata.name.clone(),
            uid: pod.metadata.uid.clone(),
            resource_version: pod.metadata.resource_version.clone(),
            field_path: Some(format!("spec.{list}{{{}}}", container.name)),
        };
        self.recorder.event(regarding, EventType::Warning, reason, message);
    }
}

/// A look to be taken.
struct Looking {
    uid: Arc<str>,
    worker: usize,
    container: String,
    pod: Arc<Pod>,
    address: Option<IpAddr>,
    place: Place,
    kind: Kind,
    timeout: Duration,
}

#[cfg(test)]
mod tests;
