//! Keeps the kernel's packet filter as the rules have it.
//!
//! - Nothing is told to the kernel before everything has been listed once: what an earlier proxy left goes on until then,
//!   and is replaced by what is true, without a gap.
//! - A change is told at once if the last batch is a little while ago; otherwise with all that has changed until then. The
//!   while is at least [`Timing::gap`], and as long as telling the last batch took, within [`Timing::longest_gap`]. It is
//!   counted from the last batch and not from the last change, so that no flood of changes can put it off.
//! - What the kernel refuses is kept, and tried again, later each time, each family for itself. The cause is said once, in
//!   the log and in an Event of the Node.
//! - Connections are forgotten once the kernel has the rules by which they begin anew.
//! - When others have changed our tables, and every now and then, the kernel is looked at anew.
//!
//! While the API server is away the caches stay as they are, and so do the rules. When the driver ends the kernel keeps them.

mod noted;
mod open;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use api::selector::label::Selector;
use client::cache::Cache;
use client::clock::Clock;
use client::events::{EventType, Recorder};
use client::queue::Backoff;
use client::resource::Resource;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, ObjectReference, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use nft::{Family, Table};
use parking_lot::Mutex;
use tokio::time::{Duration, Instant, sleep_until};
use tokio_util::sync::CancellationToken;

pub use noted::Disturbed;
use noted::{Name, Noted, TRIGGERS, Work};
use open::Open;

use crate::conntrack::Forgetting;
use crate::health::{Checks, Health, check_of};
use crate::metrics::Metrics;
use crate::node::{NodePorts, facts};
use crate::rules::{self, Effects, Rules};

/// The label of a slice that says of which Service it is.
const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// The label of a Service that another proxy is to care for.
pub(crate) const PROXY_NAME: &str = "service.kubernetes.io/service-proxy-name";
/// The label of a slice of a Service without an address of its own.
pub(crate) const HEADLESS: &str = "service.kubernetes.io/headless";

/// What is to be done to the machine.
pub trait Kernel: Send + 'static {
    /// Has the kernel have this table.
    ///
    /// # Errors
    /// It does not take it. It has what it had before.
    fn apply(&mut self, table: &Table) -> Result<(), String>;

    /// Takes nothing for granted any longer: what the kernel has is looked at with the next table.
    fn look_anew(&mut self);

    /// Has the kernel forget connections, and returns how many there were.
    ///
    /// # Errors
    /// Some may still be known.
    fn forget(&mut self, connections: &Forgetting) -> Result<usize, String>;

    /// The machine's addresses.
    ///
    /// # Errors
    /// The kernel does not say.
    fn addresses(&mut self) -> Result<Vec<IpAddr>, String>;
}

/// What decides about tables. [`Rules`] do; tests may decide otherwise.
pub trait Decisions: Send + Sync + 'static {
    /// For a node, without Services.
    fn of(node: rules::Node) -> Self;
    /// A Service is this now.
    fn set(&mut self, namespace: &str, name: &str, service: Option<&Service>, slices: &[&EndpointSlice]) -> Effects;
    /// What a family's table is now.
    fn table(&self, family: Family) -> &Table;
}

impl Decisions for Rules {
    fn of(node: rules::Node) -> Rules {
        Rules::new(node)
    }

    fn set(&mut self, namespace: &str, name: &str, service: Option<&Service>, slices: &[&EndpointSlice]) -> Effects {
        Rules::set(self, namespace, name, service, slices)
    }

    fn table(&self, family: Family) -> &Table {
        Rules::table(self, family)
    }
}

/// When what is done.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// The least time between two batches.
    pub gap: Duration,
    /// The longest time by which batches that take long are kept apart.
    pub longest_gap: Duration,
    /// The waits after failures.
    pub backoff: Backoff,
    /// How long it takes at least from one repair to the next of what others changed.
    pub repair: Duration,
    /// When the kernel is looked at in any case (as upstream's proxy does).
    pub check: Duration,
    /// When the machine's addresses are looked at.
    pub addresses: Duration,
}

impl Default for Timing {
    fn default() -> Timing {
        Timing {
            gap: Duration::from_millis(10),
            longest_gap: Duration::from_secs(1),
            backoff: Backoff { first: Duration::from_millis(100), longest: Duration::from_secs(30) },
            repair: Duration::from_secs(1),
            check: Duration::from_secs(3600),
            addresses: Duration::from_secs(30),
        }
    }
}

/// What a driver is told once.
pub struct Setting {
    /// The node's name.
    pub node: String,
    /// At which of the machine's addresses node ports are.
    pub node_ports: NodePorts,
    /// Cluster IPs that the node answers itself.
    pub answered: BTreeSet<IpAddr>,
    /// Services, EndpointSlices and the own Node.
    pub cache: Cache,
    /// Who is told whether it works.
    pub health: Health,
    /// Where the health checks of Services are told.
    pub checks: Checks,
    /// Where it is counted.
    pub metrics: Metrics,
    /// Where Events go.
    pub recorder: Recorder,
    /// What time it is.
    pub clock: Clock,
    /// When what is done.
    pub timing: Timing,
}

/// Keeps the kernel's packet filter as the rules have it.
pub struct Driver<K, D = Rules> {
    setting: Setting,
    kernel: Arc<Mutex<K>>,
    noted: Arc<Noted>,
    decided: Option<Decided<D>>,
    machine: Vec<IpAddr>,
    /// What the kernel has not taken yet, of each family.
    open: [Open; 2],
    /// When that happened of which the kernel has not been told yet.
    triggers: Vec<Timestamp>,
    /// Before this nothing is told to the kernel.
    not_before: Instant,
    next_check: Instant,
    next_addresses: Instant,
    /// When what others changed is repaired.
    next_repair: Option<Instant>,
    last_repair: Option<Instant>,
}

struct Decided<D> {
    node: rules::Node,
    rules: D,
}

/// Every family has a table of its own.
pub(crate) const FAMILIES: [Family; 2] = [Family::Ip, Family::Ip6];

/// What came of telling the kernel of a family.
struct Outcome {
    table: Option<Result<(), String>>,
    forgotten: Option<Result<usize, String>>,
}

impl<K: Kernel, D: Decisions> Driver<K, D> {
    /// One that has told the kernel nothing.
    #[must_use]
    pub fn new(setting: Setting, kernel: K) -> Driver<K, D> {
        let now = Instant::now();
        Driver {
            noted: Arc::new(Noted::new(setting.metrics.clone(), setting.health.clone(), setting.clock)),
            kernel: Arc::new(Mutex::new(kernel)),
            decided: None,
            machine: Vec::new(),
            open: Default::default(),
            triggers: Vec::new(),
            not_before: now,
            next_check: now + setting.timing.check,
            next_addresses: now,
            next_repair: None,
            last_repair: None,
            setting,
        }
    }

    /// By what the driver is told that others have changed our tables.
    #[must_use]
    pub fn disturbed(&self) -> Disturbed {
        Disturbed::of(&self.noted)
    }

    /// Runs until it is stopped. What the kernel has stays.
    pub async fn run(mut self, stop: CancellationToken) {
        let cache = self.setting.cache.clone();
        let _subscriptions = Noted::subscribe(&self.noted, &cache, &self.setting.node);
        let work = async {
            for resource in [Resource::of::<Service>(), Resource::of::<EndpointSlice>(), Resource::of::<Node>()] {
                cache.synced(&resource).await;
            }
            if cache.get::<Node>("", &self.setting.node).is_none() {
                let node = &self.setting.node;
                tracing::warn!(node, "there is no Node of this name yet: Services are not reachable until there is");
            }
            loop {
                self.step().await;
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = work => {}
        }
    }

    /// Waits for something to do, and does it.
    async fn step(&mut self) {
        tokio::select! { () = self.noted.wait() => {}, () = sleep_until(self.due()) => {} }
        sleep_until(self.not_before).await;
        self.look_at_the_clock().await;
        let work = self.noted.take();
        self.take_up(work);
        let now = Instant::now();
        let due =
            self.open.each_ref().map(|open| self.decided.is_some() && open.due(now).is_some_and(|due| due <= now));
        if due.contains(&true) {
            self.tell(due).await;
        }
    }

    /// When there is something to do, if nothing changes.
    fn due(&self) -> Instant {
        let now = Instant::now();
        let open = self.open.iter().filter_map(|open| open.due(now)).filter(|_| self.decided.is_some());
        let first = self.next_check.min(self.next_addresses);
        open.chain(self.next_repair).fold(first, Instant::min)
    }

    /// Does what is due by now.
    async fn look_at_the_clock(&mut self) {
        let (now, timing) = (Instant::now(), self.setting.timing);
        if now >= self.next_check {
            self.next_check = now + timing.check;
            self.look_anew();
        }
        if self.next_repair.is_some_and(|repair| now >= repair) {
            (self.next_repair, self.last_repair) = (None, Some(now));
            self.look_anew();
        }
        if now >= self.next_addresses {
            self.next_addresses = now + timing.addresses;
            if self.setting.node_ports == NodePorts::Primary {
                return;
            }
            match self.on_kernel(|kernel| kernel.addresses()).await {
                Some(Ok(addresses)) => self.machine = addresses,
                Some(Err(error)) => tracing::warn!(error, "the machine does not say what addresses it has"),
                None => {}
            }
        }
    }

    fn look_anew(&mut self) {
        self.open.iter_mut().for_each(Open::look_anew);
    }

    /// Decides anew about what has changed.
    fn take_up(&mut self, work: Work) {
        let Work { services, triggers, repair, node: _ } = work;
        let room = TRIGGERS.saturating_sub(self.triggers.len());
        self.triggers.extend(triggers.into_iter().take(room));
        let setting = &self.setting;
        let node = setting.cache.get::<Node>("", &setting.node);
        setting.health.node(node.clone());
        let known = node.map(|node| facts(&node, &setting.node_ports, &self.machine, &setting.answered));
        if let Some(node) = known
            && self.decided.as_ref().is_none_or(|decided| decided.node != node)
        {
            setting.checks.listen_at(&node.addresses);
            self.decided = Some(Decided { rules: D::of(node.clone()), node });
            self.open.iter_mut().for_each(Open::fall_behind);
            let all = setting.cache.list::<Service>(None);
            // What is gone has to be gone from the health checks, too.
            self.decide(all.iter().map(|service| noted::name_of(&service.metadata)).chain(services).collect());
        } else {
            self.decide(services);
        }
        if repair {
            let last = self.last_repair.map(|last| last + self.setting.timing.repair);
            self.next_repair = Some(last.unwrap_or_else(Instant::now).max(Instant::now()));
            if self.next_repair.is_some_and(|repair| repair <= Instant::now()) {
                (self.next_repair, self.last_repair) = (None, Some(Instant::now()));
                self.look_anew();
            }
        }
    }

    fn decide(&mut self, services: BTreeSet<Name>) {
        let Some(decided) = &mut self.decided else { return };
        let cache = &self.setting.cache;
        for (namespace, name) in services {
            let service = cache.get::<Service>(&namespace, &name).filter(|service| is_ours(service));
            let selector = Selector::from_labels([(&SERVICE_NAME.to_owned(), &name)]);
            let slices = service.as_ref().map(|_| cache.select::<EndpointSlice>(&namespace, &selector));
            let slices = slices.unwrap_or_default();
            let slices: Vec<&EndpointSlice> = slices.iter().map(|slice| &**slice).collect();
            let check = service.as_ref().and_then(|service| check_of(service, &slices, &self.setting.node));
            self.setting.checks.set(&namespace, &name, check);
            let effects = decided.rules.set(&namespace, &name, service.as_deref(), &slices);
            let mut forgetting = Forgetting::of(effects.stale);
            for (open, family) in self.open.iter_mut().zip(FAMILIES) {
                open.forgetting.extend(forgetting.take(family));
                open.fall_behind();
            }
        }
    }

    /// Tells the kernel what it has not taken yet, of those families that are due.
    async fn tell(&mut self, due: [bool; 2]) {
        let Some(decided) = &self.decided else { return };
        let began = Instant::now();
        let looks_anew = self.open.iter().zip(due).any(|(open, due)| due && open.looks_anew());
        let tasks = [0, 1].map(|index: usize| {
            let open = &self.open[index];
            let table = open.is_behind().then(|| decided.rules.table(FAMILIES[index]).clone());
            due[index].then(|| (table, open.forgetting.clone()))
        });
        let done = self.on_kernel(move |kernel| {
            if looks_anew {
                kernel.look_anew();
            }
            tasks.map(|task| task.map(|(table, forgetting)| tell_of_family(kernel, table.as_ref(), &forgetting)))
        });
        let outcomes = done.await.unwrap_or_else(|| {
            // What it did before it broke off is not known.
            self.look_anew();
            let broken = || Outcome { table: Some(Err("telling the kernel broke off".to_owned())), forgotten: None };
            due.map(|due| due.then(broken))
        });
        for (index, outcome) in outcomes.into_iter().enumerate() {
            if let Some(outcome) = outcome {
                self.settle(index, outcome, began);
            }
        }
        let (now, timing) = (Instant::now(), &self.setting.timing);
        self.not_before = now + (now - began).clamp(timing.gap, timing.longest_gap);
        if !self.open.iter().any(Open::is_behind) {
            let time = self.setting.clock.now();
            self.setting.metrics.synced(now - began, time);
            self.triggers.drain(..).for_each(|trigger| self.setting.metrics.programmed(trigger, time));
        }
    }

    /// Notes what came of telling the kernel of a family.
    fn settle(&mut self, index: usize, outcome: Outcome, began: Instant) {
        let backoff = &self.setting.timing.backoff;
        let open = &mut self.open[index];
        let mut problem = None;
        match outcome.table {
            Some(Ok(())) => {
                open.caught_up();
                let is_more = self.noted.is_more();
                self.setting.health.updated(FAMILIES[index], began, is_more);
            }
            Some(Err(error)) => {
                open.failed(backoff);
                self.setting.metrics.failed();
                problem = Some(format!("The rules of Services are not as they should be: {error}"));
            }
            None => {}
        }
        match outcome.forgotten {
            Some(Ok(number)) => {
                open.forgot();
                self.setting.metrics.forgot(number);
            }
            Some(Err(error)) => {
                open.failed_to_forget(backoff);
                problem = Some(format!("Connections to Services are not forgotten: {error}"));
            }
            None => {}
        }
        let is_said = self.open.iter().any(|open| open.said.is_some() && open.said == problem);
        let before = std::mem::replace(&mut self.open[index].said, problem.clone());
        match problem {
            Some(problem) if !is_said => self.say(problem),
            Some(_) => {}
            None if before.is_some() => {
                tracing::info!(family = ?FAMILIES[index], "the kernel does as it is told again")
            }
            None => {}
        }
    }

    /// Says that something does not work, to whoever looks at the Node.
    fn say(&self, problem: String) {
        tracing::error!("{problem}");
        let name = &self.setting.node;
        let node = self.setting.cache.get::<Node>("", name);
        let regarding = ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Node".to_owned()),
            name: Some(name.clone()),
            uid: node.and_then(|node| node.metadata.uid.clone()),
            ..ObjectReference::default()
        };
        self.setting.recorder.event(regarding, EventType::Warning, "FailedToSyncProxyRules", problem);
    }

    /// Does something to the kernel where it may wait. `None` if that broke off.
    async fn on_kernel<R: Send + 'static>(&self, work: impl FnOnce(&mut K) -> R + Send + 'static) -> Option<R> {
        let kernel = Arc::clone(&self.kernel);
        let done = tokio::task::spawn_blocking(move || work(&mut kernel.lock())).await;
        done.inspect_err(|error| tracing::error!(%error, "telling the kernel broke off")).ok()
    }
}

/// Tells the kernel of a table, if it is behind, and then of connections: without the rules they would begin as they were.
fn tell_of_family<K: Kernel>(kernel: &mut K, table: Option<&Table>, forgetting: &Forgetting) -> Outcome {
    let table = table.map(|table| kernel.apply(table));
    let is_ready = !matches!(table, Some(Err(_))) && !forgetting.is_empty();
    let forgotten = is_ready.then(|| kernel.forget(forgetting));
    Outcome { table, forgotten }
}

/// Whether this proxy is to care for the Service.
fn is_ours(service: &Service) -> bool {
    let labels = service.metadata.labels.as_ref();
    let spec = service.spec.as_ref();
    let address = spec.and_then(|spec| spec.cluster_ip.as_deref()).unwrap_or_default();
    let is_a_name = spec.is_some_and(|spec| spec.type_.as_deref() == Some("ExternalName"));
    !labels.is_some_and(|labels| labels.contains_key(PROXY_NAME)) && !matches!(address, "" | "None") && !is_a_name
}

#[cfg(test)]
mod tests;
