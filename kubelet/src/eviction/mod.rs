//! Which pods have to go when the node runs out of memory, disk or processes.
//!
//! [`decide`] is pure: figures, pods, thresholds and what was seen before go in; conditions of the node, what can be
//! reclaimed without ending a pod, and the pod to be ended come out. [`driver`] looks every ten seconds and does it. At
//! most one pod goes at a time for the node's sake, and critical ones never do; a pod that takes more disk than it may goes
//! for its own. The rules, words and numbers are upstream's.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;

use crate::containers::priority::is_critical;
use crate::pod_plan::{Condemned, Verdict};
use crate::stats::{Figures, PodFigures};

mod admission;
pub mod driver;
mod messages;
mod observations;
mod ranking;
mod storage;
#[cfg(test)]
mod tests;
mod thresholds;

pub use admission::admit;
pub use observations::Observation;
pub use thresholds::{Amount, Threshold, ThresholdError, Written, defaults, parse};

/// The reason that evicted pods have in their status, and the Events about it.
pub const EVICTED: &str = "Evicted";
/// How long a pod's containers have that has to go at once (upstream's number).
const AT_ONCE: Duration = Duration::from_secs(1);
/// The reason of the condition `DisruptionTarget`.
const BY_KUBELET: &str = "TerminationByKubelet";

/// Something that a node may run out of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Signal {
    /// `memory.available`: without what is in use and cannot be taken back at once.
    Memory,
    /// `nodefs.available`: bytes of the file system that the agent's directory is on.
    NodeBytes,
    /// `nodefs.inodesFree`: its inodes.
    NodeInodes,
    /// `imagefs.available`: bytes of the file system that images are on.
    ImageBytes,
    /// `imagefs.inodesFree`: its inodes.
    ImageInodes,
    /// `pid.available`: process IDs.
    Processes,
}

impl Signal {
    /// All of them.
    pub const ALL: [Signal; 6] = [
        Signal::Memory,
        Signal::NodeBytes,
        Signal::NodeInodes,
        Signal::ImageBytes,
        Signal::ImageInodes,
        Signal::Processes,
    ];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Signal::Memory => "memory.available",
            Signal::NodeBytes => "nodefs.available",
            Signal::NodeInodes => "nodefs.inodesFree",
            Signal::ImageBytes => "imagefs.available",
            Signal::ImageInodes => "imagefs.inodesFree",
            Signal::Processes => "pid.available",
        }
    }

    /// What is reclaimed when it runs out.
    #[must_use]
    pub fn resource(self) -> &'static str {
        match self {
            Signal::Memory => "memory",
            Signal::NodeBytes | Signal::ImageBytes => "ephemeral-storage",
            Signal::NodeInodes | Signal::ImageInodes => "inodes",
            Signal::Processes => "pids",
        }
    }

    /// The node's condition when it runs out.
    fn condition(self) -> Pressure {
        match self {
            Signal::Memory => Pressure::Memory,
            Signal::Processes => Pressure::Pid,
            _ => Pressure::Disk,
        }
    }
}

/// A condition of a node that runs out of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pressure {
    /// `MemoryPressure`.
    Memory,
    /// `DiskPressure`.
    Disk,
    /// `PIDPressure`.
    Pid,
}

impl fmt::Display for Pressure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Pressure::Memory => "MemoryPressure",
            Pressure::Disk => "DiskPressure",
            Pressure::Pid => "PIDPressure",
        })
    }
}

/// Which conditions a node has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// It runs out of memory.
    pub memory: bool,
    /// It runs out of disk.
    pub disk: bool,
    /// It runs out of process IDs.
    pub pid: bool,
}

/// How pods are evicted.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// When the node counts as running out of something.
    pub thresholds: Vec<Threshold>,
    /// For how long it counts as running out after it was seen to last (`--eviction-pressure-transition-period`).
    pub transition: Duration,
    /// The longest time that containers have when a soft threshold makes them go (`--eviction-max-pod-grace-period`).
    pub longest_grace: Duration,
}

impl Default for Settings {
    /// As upstream's.
    fn default() -> Settings {
        Settings { thresholds: defaults(), transition: Duration::from_secs(5 * 60), longest_grace: Duration::ZERO }
    }
}

/// What was seen before. A look begins with what the last one left.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// The thresholds that made pods go when last looked: they hold until the least to be reclaimed is.
    acted_on: Vec<Threshold>,
    /// Since when thresholds have been crossed.
    crossed: Vec<(Threshold, Timestamp)>,
    /// When conditions were last seen.
    seen: BTreeMap<Pressure, Timestamp>,
    /// Of when the figures were that were acted on last.
    figures: BTreeMap<Signal, Timestamp>,
}

/// What has been decided.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decision {
    /// What the next look begins with.
    pub state: State,
    /// The node's conditions from now on.
    pub conditions: Conditions,
    /// What the node is to reclaim, if it runs out of something.
    pub low: Option<Low>,
    /// The pods that take more disk than they may. If there are any, nothing else is done.
    pub over_limits: Vec<Eviction>,
}

/// That a node runs out of something.
#[derive(Clone, Debug, PartialEq)]
pub struct Low {
    /// The name of what it runs out of.
    pub resource: &'static str,
    /// Whether containers that have ended and images that nobody uses are removed first. If that is enough
    /// ([`suffices`]), no pod goes.
    pub reclaim: bool,
    /// The pod that goes then, if there is any that may.
    pub evict: Option<Eviction>,
}

/// That a pod has to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Eviction {
    /// The pod's uid.
    pub uid: String,
    /// What made it go: a signal's name, or that of a limit of its own.
    pub signal: &'static str,
    /// Why, and how.
    pub condemned: Condemned,
}

impl Eviction {
    fn of(pod: &Pod, signal: &'static str, message: String, grace: Duration, disruption: Option<&str>) -> Eviction {
        Eviction {
            signal,
            uid: pod.metadata.uid.clone().unwrap_or_default(),
            condemned: Condemned {
                why: Verdict { reason: EVICTED.to_owned(), message },
                grace: Some(grace),
                disruption: disruption.map(str::to_owned),
            },
        }
    }
}

/// What pods use, by uid.
type ByUid<'a> = BTreeMap<&'a str, &'a PodFigures>;

/// What a pod uses, if that is known.
fn of_pod<'a>(figures: &ByUid<'a>, pod: &Pod) -> Option<&'a PodFigures> {
    figures.get(pod.metadata.uid.as_deref()?).copied()
}

/// Decides what is to be done. `pods` are those that have something running.
#[must_use]
pub fn decide(figures: &Figures, pods: &[Arc<Pod>], state: &State, settings: &Settings, now: Timestamp) -> Decision {
    let observed = observations::of(&figures.node);
    let mut met = thresholds::met(&settings.thresholds, &observed, false);
    for threshold in thresholds::met(&state.acted_on, &observed, true) {
        if !met.contains(&threshold) {
            met.push(threshold);
        }
    }
    let since = |threshold: &Threshold| {
        state.crossed.iter().find(|(known, _)| known == threshold).map_or(now, |(_, since)| *since)
    };
    let crossed: Vec<_> = met.iter().map(|threshold| (threshold.clone(), since(threshold))).collect();
    let mut seen = state.seen.clone();
    seen.extend(met.iter().map(|threshold| (threshold.signal.condition(), now)));
    // A condition that has not been seen for that long is over: nothing needs to be remembered of it.
    seen.retain(|_, last| passed(*last, now) < settings.transition || *last == now);
    let acted_on: Vec<Threshold> = crossed
        .iter()
        .filter(|(threshold, since)| passed(*since, now) >= threshold.grace)
        .map(|(threshold, _)| threshold.clone())
        .collect();
    // What is known already has been acted on: a pod that goes needs time until the figures show it.
    let is_news = |signal: Signal| {
        let at = observed.get(&signal).map(|observation| observation.at);
        at.is_some_and(|at| state.figures.get(&signal).is_none_or(|last| at > *last))
    };
    let due: Vec<Threshold> = acted_on.iter().filter(|threshold| is_news(threshold.signal)).cloned().collect();
    let by_uid: ByUid<'_> = figures.pods.iter().map(|pod| (pod.uid.as_str(), pod)).collect();
    let dedicated_images = figures.node.dedicated_images;
    let over_limits = storage::over_limits(pods, &by_uid, dedicated_images);
    let low = || low(&due, &observed, pods, &by_uid, (settings, dedicated_images));
    let low = if over_limits.is_empty() { low() } else { None };
    let has = |pressure| seen.contains_key(&pressure);
    let conditions = Conditions { memory: has(Pressure::Memory), disk: has(Pressure::Disk), pid: has(Pressure::Pid) };
    let figures = observed.iter().map(|(signal, observation)| (*signal, observation.at)).collect();
    Decision { state: State { acted_on, crossed, seen, figures }, conditions, low, over_limits }
}

/// Whether the node has enough of everything again, after something was reclaimed.
#[must_use]
pub fn suffices(figures: &Figures, settings: &Settings) -> bool {
    thresholds::met(&settings.thresholds, &observations::of(&figures.node), true).is_empty()
}

/// What is to be done about thresholds that are crossed: about memory first, and about one only.
fn low(
    due: &[Threshold],
    observed: &BTreeMap<Signal, Observation>,
    pods: &[Arc<Pod>],
    figures: &ByUid<'_>,
    (settings, dedicated_images): (&Settings, bool),
) -> Option<Low> {
    let threshold = due.iter().min_by_key(|threshold| threshold.signal != Signal::Memory)?;
    let resource = threshold.signal.resource();
    let ranked = ranking::ranked(threshold.signal, pods, figures, dedicated_images);
    let evict = ranked.into_iter().find(|pod| !is_critical(pod)).map(|pod| {
        let message = messages::low(resource, pod, of_pod(figures, pod), due, observed);
        let grace = if threshold.grace.is_zero() { AT_ONCE } else { settings.longest_grace.min(own_grace(pod)) };
        Eviction::of(pod, threshold.signal.name(), message, grace, Some(BY_KUBELET))
    });
    let reclaim = match threshold.signal {
        Signal::Memory | Signal::Processes => false,
        Signal::NodeBytes | Signal::NodeInodes => !dedicated_images,
        Signal::ImageBytes | Signal::ImageInodes => true,
    };
    Some(Low { resource, reclaim, evict })
}

/// How long a pod's containers have by its own will.
fn own_grace(pod: &Pod) -> Duration {
    let seconds = pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds);
    seconds.map_or(Duration::MAX, |seconds| Duration::from_secs(u64::try_from(seconds).unwrap_or_default()))
}

/// How much time has passed. None, if the clock was set back.
fn passed(since: Timestamp, now: Timestamp) -> Duration {
    let passed: SignedDuration = now.duration_since(since);
    passed.try_into().unwrap_or_default()
}
