//! What is to be done about a pod, and what is to be said of it. Pure.
//!
//! The API's pod, what the runtime has of it, what probes say and what its worker remembers go in; actions in their order
//! and the pod's status come out. The worker carries the actions out one after the other, and plans again as soon as one
//! of them failed, something changed, or all are done. Whatever can be read from the runtime or the API is read from
//! there, so that a worker that starts again goes on where the last one was; [`Memory`] holds the rest.
//!
//! # What is expected of the worker
//!
//! It keeps [`Plan::memory`], and marks in it what it has done: `prepared`, `volumes`, `torn_down` and `deleted` when the
//! action of that kind has succeeded. When a sandbox, a mount or a start has failed it leaves a [`Setback`] there, and
//! takes the one of a container away when it was started. Of a change of resources it leaves in [`Memory::resize`] whether it
//! failed. Actions that have no setback (stopping, removing, tearing down,
//! resizing, deleting) are planned again at once: it is the worker that waits a while before it tries them again.

mod backoff;
pub(crate) mod conditions;
mod draft;
mod living;
pub(crate) mod phase;
mod resize;
mod resources;
mod scene;
pub(crate) mod spec;
mod status;
pub(crate) mod statuses;
mod stopping;
#[cfg(test)]
mod tests;
pub(crate) mod time;
mod together;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodStatus};

use crate::observed::{Probed, RuntimePod};
use draft::Draft;
use scene::Scene;
pub use spec::{as_container, hash_of};

/// Everything that a decision needs.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// The pod, with the status that was written last.
    pub pod: &'a Pod,
    /// What the runtime has of it.
    pub runtime: &'a RuntimePod,
    /// What probes say, by the IDs of containers.
    pub probed: &'a BTreeMap<String, Probed>,
    /// What its worker remembers.
    pub memory: &'a Memory,
    /// What is the same for every pod of the node.
    pub host: &'a Host,
    /// The time.
    pub now: Timestamp,
}

/// What a decision needs to know of the node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Host {
    /// The runtime's name, which the IDs in statuses begin with: `containerd`.
    pub runtime: String,
    /// The node's addresses, the first of each family.
    pub addresses: Vec<IpAddr>,
    /// The longest wait before a container is restarted (upstream: five minutes).
    pub longest_back_off: Option<Duration>,
}

/// What a pod's worker has learned and neither the API nor the runtime tells.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memory {
    /// Why the node does not take the pod: it fails without anything having been started.
    pub rejected: Option<Verdict>,
    /// Why the node ends the pod although nobody deleted it: eviction, preemption, shutdown. Its phase becomes `Failed`.
    pub condemned: Option<Condemned>,
    /// Whether the API has the pod no longer: what runs is ended, and nobody is told.
    pub forgotten: bool,
    /// Since when it is being ended, and how long its containers have from then on.
    pub stopping: Option<Stopping>,
    /// Whether its directories and its cgroup are there.
    pub prepared: bool,
    /// Whether its volumes are mounted.
    pub volumes: Mounts,
    /// Why no sandbox could be made the last time, and when to try again.
    pub sandbox: Option<Setback>,
    /// Why a container of this name could not be started the last time, and when to try again.
    pub containers: BTreeMap<String, Setback>,
    /// How often a container of this name was restarted lately, and until when the next restart waits (`CrashLoopBackOff`).
    pub restarts: BTreeMap<String, Restart>,
    /// Whether everything that the pod had on the node is gone: volumes, cgroup, directories.
    pub torn_down: bool,
    /// Whether the API has been told to delete it.
    pub deleted: bool,
    /// What has come of changing the resources of containers in place, unless it is done.
    pub resize: Option<Resize>,
    /// Which change of resources was made last, so that one that does not come about is not made without end.
    pub resized: Option<Tried>,
}

/// That a change of resources was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// What was to be changed into what.
    pub what: String,
    /// When.
    pub at: Timestamp,
}

/// Why something is as it is: a word and a sentence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// The word, such as `OutOfcpu`.
    pub reason: String,
    /// The sentence.
    pub message: String,
}

/// That the node ends a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Condemned {
    /// Why.
    pub why: Verdict,
    /// How long its containers have, if not as long as the pod says.
    pub grace: Option<Duration>,
    /// The reason for the condition `DisruptionTarget`, if it gets one: `TerminationByKubelet`.
    pub disruption: Option<String>,
}

impl Condemned {
    /// Has the pod end as soon as another reason demands it, if that is sooner.
    pub(crate) fn hurry(&mut self, other: &Condemned) {
        self.grace = self.grace.into_iter().chain(other.grace).min();
    }
}

/// That a pod is being ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopping {
    /// Since when.
    pub since: Timestamp,
    /// How long its containers have from then on. Only ever gets shorter.
    pub grace: Duration,
}

/// Whether a pod's volumes are mounted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Mounts {
    /// Nobody has tried.
    #[default]
    NotYet,
    /// They are.
    Done,
    /// They could not be.
    Failed(Setback),
}

/// That something failed and is to be tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setback {
    /// Why.
    pub why: Verdict,
    /// When to try again.
    pub until: Timestamp,
}

/// That a container was restarted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restart {
    /// The fingerprint of what was restarted: something else starts anew.
    pub hash: String,
    /// How long the last wait was.
    pub wait: Duration,
    /// When the container that was restarted last had ended.
    pub finished: Timestamp,
}

/// What has come of a change of resources in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resize {
    /// The node has no room for it now (condition `PodResizePending`, reason `Deferred`).
    Deferred(String),
    /// The node never has room for it (reason `Infeasible`).
    Infeasible(String),
    /// It is under way (condition `PodResizeInProgress`), and failed the last time if there is a message.
    InProgress(Option<String>),
}

/// Which list of the pod's spec a container stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Runs before the others, sidecars included.
    Init,
    /// One of those that the pod is there for.
    Regular,
    /// Added later, to look at the others.
    Ephemeral,
}

/// Something to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Make the pod's directories and its cgroup.
    Prepare,
    /// Mount its volumes.
    Mount,
    /// Make a sandbox.
    RunSandbox {
        /// How many there were before.
        attempt: u32,
    },
    /// Stop a sandbox that is of no use any more, and what runs in it.
    StopSandbox {
        /// Which.
        id: String,
    },
    /// Pull the image, make the container, start it and run its `postStart` hook.
    Start {
        /// Its name.
        container: String,
        /// Where it stands in the spec.
        role: Role,
        /// How many there were of the name before.
        attempt: u32,
    },
    /// Run the `preStop` hook of each container and stop it, all of them at once.
    Stop(Vec<Stop>),
    /// Remove a container that has ended, and its log.
    Remove {
        /// Which.
        id: String,
    },
    /// Remove a sandbox that has been stopped, and in which there is no container.
    RemoveSandbox {
        /// Which.
        id: String,
    },
    /// Have the cgroups and the running containers follow the pod's resources.
    Resize,
    /// Unmount its volumes, and remove its cgroup, directories and sandboxes.
    TearDown,
    /// Delete the pod from the API: it has ended, and somebody wanted it gone.
    Delete,
}

/// That a container is to be stopped.
#[derive(Clone, Debug, PartialEq)]
pub struct Stop {
    /// Its name.
    pub container: String,
    /// The runtime's ID.
    pub id: String,
    /// How long it has, its hook included.
    pub grace: Duration,
    /// What the Event says (`Killing`).
    pub message: String,
    /// Whether its hook is run.
    pub hook: bool,
}

/// Something to be said in an Event about the pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Says {
    /// Whether it is a warning.
    pub warning: bool,
    /// The word.
    pub reason: &'static str,
    /// The sentence.
    pub message: String,
    /// The field that it is about, such as `spec.containers{web}`.
    pub field: Option<String>,
}

/// What has been decided.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// What is to be done, in this order.
    pub actions: Vec<Action>,
    /// The pod's status from now on. It is written before anything is done.
    pub status: PodStatus,
    /// What the worker is to remember.
    pub memory: Memory,
    /// When to look again, even if nothing changes.
    pub again: Option<Duration>,
    /// What is said in Events.
    pub says: Vec<Says>,
}

/// Decides what is to be done about a pod, and what is to be said of it. The same is decided for the same inputs, and
/// nothing is done about a pod that is as it is to be.
#[must_use]
pub fn plan(inputs: &Inputs<'_>) -> Plan {
    let scene = Scene::new(*inputs);
    let mut draft = Draft::new(&scene);
    let cause = stopping::cause(&scene, &mut draft);
    let ended = match &cause {
        Some(_) => stopping::advance(&scene, &mut draft),
        None => {
            draft.memory.stopping = None;
            if together::is_under_way(&scene) {
                together::advance(&scene, &mut draft);
            } else {
                living::advance(&scene, &mut draft);
            }
            false
        }
    };
    let status = status::of(&scene, &draft, cause.as_ref(), ended);
    let Draft { actions, memory, says, again, .. } = draft;
    let again = again.map(|again| time::between(inputs.now, again));
    Plan { actions, status, memory, again, says }
}
