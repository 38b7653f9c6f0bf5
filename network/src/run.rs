//! Keeping the kernel as it should be, while Nodes come and go.
//!
//! What is known of Nodes stays known while the API server is away, and what is in the kernel stays there when this ends.
//! Whatever happens, one look at the kernel at a time is taken, and no two within [`PAUSE`]: all that happened in between is
//! seen by the next one.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use client::cache::Cache;
use client::clock::Clock;
use client::events::{EventType, Recorder};
use client::resource::{Resource, as_kind};
use k8s_openapi::api::core::v1::{Node, ObjectReference};
use kube::Client;
use nft::{Family, Kernel, Table};
use rtnetlink::sys::{AsyncSocket, AsyncSocketExt, SocketAddr, TokioSocket, protocols::NETLINK_ROUTE};
use tokio::sync::Notify;
use tokio::time::{Duration, Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::difference::{Step, changes, devices, withdrawal};
use crate::members::Member;
use crate::netlink::Netlink;
use crate::observed::Seen;
use crate::plan::{Problem, Wanted, Way, plan};
use crate::{Error, Mode, TABLE, condition, filter, sysctl};

/// The groups of messages that the kernel tells changes by: links, addresses and routes of both families, in bits.
const GROUPS: u32 = 1 | 1 << 4 | 1 << 6 | 1 << 8 | 1 << 10;
/// The least time between two looks.
const PAUSE: Duration = Duration::from_millis(100);
/// How long changes that follow each other may put off a look.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often a look is taken even if nothing has changed.
const CHECK: Duration = Duration::from_secs(60);
/// The least time between two questions to iptables, which is a program to be run. It tells nobody of changes either.
const ASK_IPTABLES: Duration = Duration::from_secs(10);
/// How soon what failed is tried again.
const AGAIN: Duration = Duration::from_secs(10);

/// What is decided about this node's network.
pub struct Options {
    /// The node's name.
    pub node: String,
    /// How packets get to other nodes.
    pub mode: Mode,
    /// Has pods get addresses of these ranges, and links of this size (MTU). It is told whenever the network was looked at,
    /// as soon as it is up.
    pub configure: Configure,
}

/// Is told what pods' network is like.
pub type Configure = Box<dyn Fn(&[String], u32) -> Result<(), String> + Send + Sync>;

/// What the network works with.
pub struct Means {
    /// The API, as the node.
    pub client: Client,
    /// A cache that somebody keeps all Nodes in.
    pub cache: Cache,
    /// What records Events.
    pub recorder: Recorder,
    /// The time.
    pub clock: Clock,
}

/// Keeps the network of this node until `stop` is cancelled, and leaves it as it is then.
pub async fn run(options: Options, means: Means, stop: CancellationToken) {
    let wake = Arc::new(Notify::new());
    let nodes = Resource::of::<Node>();
    let told = Arc::clone(&wake);
    let _subscription = means.cache.subscribe(&nodes, move |change| {
        let member = |object: &Option<_>| object.as_ref().and_then(as_kind::<Node>).map(|node| Member::of(&node));
        if member(&change.old) != member(&change.new) {
            told.notify_one();
        }
    });
    let cache = means.cache.clone();
    let keep = async {
        cache.synced(&nodes).await;
        let (filter, said) = (Kernel::default(), BTreeMap::new());
        Keeper { options, means, filter, said, iptables_asked: None }.keep(&wake).await;
    };
    tokio::select! {
        biased;
        () = stop.cancelled() => {}
        () = listen(&wake) => {}
        () = keep => {}
    }
}

/// Wakes whenever something in the kernel changes. What exactly is looked up then, so messages may be lost.
async fn listen(wake: &Notify) {
    loop {
        if let Err(error) = listen_once(wake).await {
            tracing::warn!(%error, "the kernel does not tell of changes to the network");
        }
        sleep(AGAIN).await;
    }
}

async fn listen_once(wake: &Notify) -> io::Result<()> {
    let mut socket = TokioSocket::new(NETLINK_ROUTE)?;
    socket.socket_mut().bind(&SocketAddr::new(0, GROUPS))?;
    wake.notify_one();
    loop {
        match socket.recv_from_full().await {
            Err(error) if !is_overrun(&error) => return Err(error),
            _ => wake.notify_one(),
        }
    }
}

/// Whether more has happened than the kernel keeps to be told.
fn is_overrun(error: &io::Error) -> bool {
    const ENOBUFS: i32 = 105;
    error.raw_os_error() == Some(ENOBUFS)
}

struct Keeper {
    options: Options,
    means: Means,
    filter: Kernel,
    /// What was said to be wrong, by the node that it is about.
    said: BTreeMap<String, String>,
    /// When iptables was asked last.
    iptables_asked: Option<Instant>,
}

/// What came of a look.
struct Outcome {
    /// Why this node is not in the network; `None` if nothing is known yet.
    own: Option<Result<(), String>>,
    /// Why others are not reached.
    others: BTreeMap<String, String>,
}

impl Keeper {
    async fn keep(mut self, wake: &Notify) {
        let mut checked = Instant::now();
        loop {
            let outcome = self.look().await;
            let is_well = self.say(outcome).await;
            let until = Instant::now() + if is_well { CHECK } else { AGAIN };
            if timeout_at(until, wake.notified()).await.is_ok() {
                settle(wake).await;
            }
            if checked.elapsed() >= CHECK {
                // Somebody may have emptied the packet filter, of which nobody is told.
                self.filter = Kernel::default();
                checked = Instant::now();
            }
        }
    }

    /// Has the kernel be as it should be by what is known now.
    async fn look(&mut self) -> Outcome {
        let nodes = self.means.cache.list::<Node>(None);
        let (mut me, mut others) = (None, Vec::new());
        for member in nodes.iter().map(|node| Member::of(node)) {
            if member.name == self.options.node {
                me = Some(member);
            } else {
                others.push(member);
            }
        }
        let nothing = Outcome { own: None, others: BTreeMap::new() };
        let Some(me) = me else { return nothing };
        match self.have(&me, &others).await {
            Ok(Some(others)) => Outcome { own: Some(Ok(())), others },
            Ok(None) => nothing,
            Err(why) => Outcome { own: Some(Err(why)), others: BTreeMap::new() },
        }
    }

    /// Does it. Says why which node is not reached. `None` if this node has no ranges yet.
    async fn have(&mut self, me: &Member, others: &[Member]) -> Result<Option<BTreeMap<String, String>>, String> {
        let text = |error: Error| error.to_string();
        let netlink = Netlink::connect().map_err(text)?;
        let addresses = || others.iter().flat_map(|other| other.addresses.iter().copied());
        let seen = netlink.look(addresses()).await.map_err(text)?;
        let of_own = |problem: Problem| format!("node {}: {problem}", me.name);
        let Some(mut wanted) = plan(me, others, self.options.mode, &seen).map_err(of_own)? else { return Ok(None) };
        forward(me, &seen).map_err(text)?;
        self.have_tables(&wanted.tables).map_err(text)?;
        self.pass_iptables(me).await;
        let mut failed = have_devices(&netlink, &mut wanted, &seen).await;
        let seen = if wanted.devices.is_empty() { seen } else { netlink.look(addresses()).await.map_err(text)? };
        let changes = changes(&wanted, &seen);
        take_all(&netlink, &changes.own).await.map_err(text)?;
        for step in &changes.stale {
            if let Err(error) = netlink.take(step).await {
                tracing::warn!(%error, "something is left of a node that is gone");
            }
        }
        for (name, steps) in &changes.others {
            if let Err(error) = take_all(&netlink, steps).await {
                failed.insert(name.clone(), error.to_string());
                let ways = wanted.others.get(name).cloned().unwrap_or_default();
                let seen = netlink.look(std::iter::empty()).await.map_err(text)?;
                take_all(&netlink, &withdrawal(&ways, &seen)).await.map_err(text)?;
            }
        }
        let ranges: Vec<String> = me.ranges.iter().map(crate::members::text).collect();
        let configured = (self.options.configure)(&ranges, wanted.mtu);
        configured.map_err(|why| text(Error::Configuration(why)))?;
        failed.extend(wanted.problems.into_iter().map(|(name, problem)| (name, problem.to_string())));
        Ok(Some(failed))
    }

    /// Has iptables let pods' packets pass, unless it was asked just now.
    async fn pass_iptables(&mut self, me: &Member) {
        if self.iptables_asked.is_some_and(|asked| asked.elapsed() < ASK_IPTABLES) {
            return;
        }
        self.iptables_asked = Some(Instant::now());
        if let Err(error) = filter::accept(&me.ranges).await {
            // It may be that nobody drops anything, which iptables could not tell either.
            tracing::warn!(%error, "whether iptables lets pods' packets pass is not known");
        }
    }

    fn have_tables(&mut self, tables: &[Table]) -> Result<(), Error> {
        for family in [Family::Ip, Family::Ip6] {
            match tables.iter().find(|table| table.family == family) {
                Some(table) => self.filter.apply(table)?,
                None => drop(self.filter.remove(family, TABLE)?),
            }
        }
        Ok(())
    }

    /// Says what came of it to whom it may concern, and whether all is well.
    async fn say(&mut self, outcome: Outcome) -> bool {
        let Some(own) = outcome.own else { return true };
        let problem = own.err();
        let node = self.options.node.clone();
        let mut problems = outcome.others;
        if let Some(problem) = &problem {
            // Of the others nothing is known now.
            problems = self.said.clone();
            problems.insert(node.clone(), problem.clone());
        }
        for (name, problem) in &problems {
            if self.said.get(name) == Some(problem) {
                continue;
            }
            if *name == node {
                tracing::error!(problem, "this node has no network for pods");
                self.event("PodNetworkNotReady", problem);
            } else {
                tracing::warn!(node = name, problem, "pods of a node cannot be reached");
                self.event("FailedToCreateRoute", &format!("Pods of node {name} cannot be reached: {problem}"));
            }
        }
        for name in self.said.keys().filter(|name| !problems.contains_key(*name)) {
            tracing::info!(node = name, "what was wrong with the network of a node's pods is no longer");
        }
        self.said = problems;
        let said = self.say_condition(problem.as_deref()).await;
        said && self.said.is_empty()
    }

    /// Has the Node say it. Whether it does now.
    async fn say_condition(&self, problem: Option<&str>) -> bool {
        let condition = condition::condition(problem, self.means.clock.now());
        let name = &self.options.node;
        let known = self.means.cache.get::<Node>("", name);
        if known.is_some_and(|node| condition::is_said(&node, &condition)) {
            return true;
        }
        let written = condition::say(&self.means.client, name, &condition).await;
        written.inspect_err(|error| tracing::debug!(%error, "the state of the network is not written")).is_ok()
    }

    fn event(&self, reason: &str, message: &str) {
        let regarding = ObjectReference {
            kind: Some("Node".to_owned()),
            name: Some(self.options.node.clone()),
            // As the node's agent has it.
            uid: Some(self.options.node.clone()),
            ..ObjectReference::default()
        };
        self.means.recorder.event(regarding, EventType::Warning, reason, message);
    }
}

/// Waits until nothing has happened for a moment, but not forever.
async fn settle(wake: &Notify) {
    let last = Instant::now() + PATIENCE;
    loop {
        let until = (Instant::now() + PAUSE).min(last);
        if timeout_at(until, wake.notified()).await.is_err() {
            return;
        }
        if Instant::now() >= last {
            return;
        }
    }
}

/// Has the kernel pass packets on.
fn forward(me: &Member, seen: &Seen) -> Result<(), Error> {
    let links: Vec<&str> = seen.carriers(&me.addresses).into_iter().map(|link| seen.name(link)).collect();
    let has = |is_ipv4: bool| me.ranges.iter().any(|range| range.address.is_ipv4() == is_ipv4);
    sysctl::forward(has(true), has(false), &links)
}

/// Makes the ends of tunnels. Nodes that need one that cannot be made are not wanted any longer; they are returned, each with
/// the reason. That nobody needs one that cannot be made is no problem.
async fn have_devices(netlink: &Netlink, wanted: &mut Wanted, seen: &Seen) -> BTreeMap<String, String> {
    let mut failed = BTreeMap::new();
    for (device, steps) in devices(&wanted.devices, seen) {
        let is_wanted = wanted.devices.iter().any(|wanted| wanted.name == device);
        let made = async {
            take_all(netlink, &steps).await?;
            if is_wanted { sysctl::open(device) } else { Ok(()) }
        };
        let Err(error) = made.await else { continue };
        tracing::debug!(device, %error, "there is no end for tunnels");
        wanted.devices.retain(|wanted| wanted.name != device);
        let needs = |way: &Way| matches!(way, Way::Tunnel { device: needed, .. } if *needed == device);
        wanted.others.retain(|name, ways| {
            let is_lost = ways.routes.iter().any(|route| needs(&route.way));
            if is_lost {
                failed.insert(name.clone(), error.to_string());
            }
            !is_lost
        });
    }
    failed
}

async fn take_all(netlink: &Netlink, steps: &[Step]) -> Result<(), Error> {
    for step in steps {
        netlink.take(step).await?;
    }
    Ok(())
}
