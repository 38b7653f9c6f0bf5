//! What a hollow node does about one pod: a decision that depends on nothing but its arguments.
//!
//! Where a pod is in its life is read from its status in the API, so that a process that was started anew goes on where the
//! last one ended. How long everything takes is drawn from a generator that is the same each time ([`draws`]).
//!
//! A pod costs few writes: one when it is accepted, one when its containers run, one more if it is ready later, one when
//! they have ended, and its deletion.

mod containers;
mod draws;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Container, ContainerStatus, EphemeralContainer, HostIP, Pod, PodIP, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use rand::Rng;
use serde_json::Value;

pub use containers::{EXIT_CODE, RUN_SECONDS};
use containers::{advance, end, lose, run, waiting};
use draws::{Course, Draws};

use super::options::Delays;
use crate::pod_plan::conditions::{self, Circumstances};
use crate::pod_plan::phase::{is_running, phase, terminated};
pub(in crate::hollow) use crate::pod_plan::spec::is_terminal;
use crate::pod_plan::spec::{is_sidecar, restarts};
use crate::pod_plan::time::{after, second};
use crate::status_patch;

/// How long a pod waits for which there is no address.
const NO_ADDRESS: Duration = Duration::from_secs(10);

/// Where a pod is, and what the node has decided about it.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The address of the node.
    pub host: IpAddr,
    /// The addresses that are the pod's, one of each family. Of no meaning if it uses the node's network.
    pub addresses: &'a [IpAddr],
    /// Why the node does not take the pod.
    pub refusal: Option<&'a Refusal>,
    /// How long everything takes.
    pub delays: &'a Delays,
}

/// Why a node does not take a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// In a word, such as `OutOfcpu`.
    pub reason: String,
    /// In a sentence.
    pub message: String,
}

/// What the node has seen of a pod, more exactly than the API says it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// When it was accepted.
    pub accepted: Option<Timestamp>,
    /// When it was first seen to be on its way out.
    pub stopping: Option<Timestamp>,
}

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    /// Change the pod's status by a strategic merge patch.
    Patch(Value),
    /// Delete the pod without further grace.
    Delete,
}

/// Something worth an Event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Says {
    /// The container that it is about.
    pub container: String,
    /// In a word.
    pub reason: &'static str,
    /// In a sentence.
    pub message: String,
}

/// What to do about a pod now, and when to look again if nothing happens until then.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// What is to be remembered.
    pub seen: Seen,
    /// What to do. The pod is to be looked at again afterwards.
    pub act: Option<Act>,
    /// After how long to look again.
    pub again: Option<Duration>,
    /// What to say of it when it is done.
    pub says: Vec<Says>,
}

/// Decides what to do about a pod.
pub fn plan(pod: &Pod, place: &Place<'_>, seen: Seen, now: Timestamp, random: &mut impl Rng) -> Plan {
    let draws = Draws::new(pod, place.delays, random);
    let old = pod.status.clone().unwrap_or_default();
    let mut life = Life { pod, place, draws, now, status: old.clone(), seen, says: Vec::new() };
    let next = life.advance();
    let uid = pod.metadata.uid.as_deref().unwrap_or_default();
    let Life { status, seen, says, .. } = life;
    let delete = || Some(Act::Delete).filter(|_| is_to_be_deleted(pod, &old));
    let act = status_patch::difference(uid, &old, &status).map(Act::Patch).or_else(delete);
    let again = next.map(|next| Duration::try_from(next.duration_since(now)).unwrap_or_default());
    Plan { seen, act, again, says }
}

/// Whether everything about a pod is over, and it is there only until its node says so.
fn is_to_be_deleted(pod: &Pod, status: &PodStatus) -> bool {
    let meta = &pod.metadata;
    // Without grace, it goes when its finalizers have gone.
    let grace = meta.deletion_grace_period_seconds.unwrap_or(0) > 0;
    meta.deletion_timestamp.is_some() && grace && is_terminal(status.phase.as_deref()) && !any_running(status)
}

fn any_running(status: &PodStatus) -> bool {
    statuses(status).any(is_running)
}

fn statuses(status: &PodStatus) -> impl Iterator<Item = &ContainerStatus> {
    let all = [&status.init_container_statuses, &status.container_statuses, &status.ephemeral_container_statuses];
    all.into_iter().flat_map(|statuses| statuses.iter().flatten())
}

fn statuses_mut(status: &mut PodStatus) -> impl Iterator<Item = &mut ContainerStatus> {
    let PodStatus { init_container_statuses, container_statuses, ephemeral_container_statuses, .. } = status;
    let all = [init_container_statuses, container_statuses, ephemeral_container_statuses];
    all.into_iter().flat_map(|statuses| statuses.iter_mut().flatten())
}

fn before(moment: Timestamp, duration: Duration) -> Timestamp {
    let duration = SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX);
    moment.checked_sub(duration).unwrap_or(Timestamp::MIN)
}

fn earlier(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    a.into_iter().chain(b).min()
}

fn annotation<'a>(pod: &'a Pod, key: &str) -> Option<&'a str> {
    pod.metadata.annotations.as_ref()?.get(key).map(String::as_str)
}

/// An ephemeral container, as far as it is like any other.
fn as_container(container: &EphemeralContainer) -> Container {
    Container {
        name: container.name.clone(),
        image: container.image.clone(),
        volume_mounts: container.volume_mounts.clone(),
        restart_policy: Some("Never".to_owned()),
        ..Container::default()
    }
}

/// A pod on its way from one status to the next.
struct Life<'a> {
    pod: &'a Pod,
    place: &'a Place<'a>,
    draws: Draws,
    now: Timestamp,
    status: PodStatus,
    seen: Seen,
    says: Vec<Says>,
}

impl Life<'_> {
    /// Brings the status to where it is now, and says when that changes next.
    fn advance(&mut self) -> Option<Timestamp> {
        let over = is_terminal(self.status.phase.as_deref());
        if over && !any_running(&self.status) {
            return None;
        }
        if self.pod.metadata.deletion_timestamp.is_some() || over {
            return self.stop();
        }
        if let Some(refusal) = self.place.refusal.filter(|_| self.status.start_time.is_none()) {
            self.refuse(refusal);
            return None;
        }
        let next = self.live();
        earlier(next, self.meet_deadline())
    }

    fn refuse(&mut self, refusal: &Refusal) {
        self.status.phase = Some("Failed".to_owned());
        self.status.reason = Some(refusal.reason.clone());
        self.status.message = Some(format!("Pod was rejected: {}", refusal.message));
        self.status.start_time = Some(Time(second(self.now)));
        self.status.observed_generation = self.pod.metadata.generation;
    }

    /// Runs what the pod says.
    fn live(&mut self) -> Option<Timestamp> {
        self.accept();
        let accepted = self.status.start_time.as_ref().map_or(self.now, |time| time.0);
        let accepted = self.seen.accepted.filter(|seen| second(*seen) == accepted).unwrap_or(accepted);
        let started =
            self.status.container_statuses.iter().flatten().any(|it| is_running(it) || terminated(it).is_some());
        if !started {
            let course = self.draws.course(self.pod);
            let due = after(accepted, course.total);
            if due > self.now {
                self.conclude(false, false);
                return Some(due);
            }
            if !self.give_addresses() {
                self.conclude(false, false);
                return Some(after(self.now, NO_ADDRESS));
            }
            self.start(&course);
        }
        let next = self.run_all();
        self.end_sidecars();
        self.conclude(true, false);
        if is_terminal(self.status.phase.as_deref()) { None } else { next }
    }

    /// Accepts a pod: its containers wait to be started.
    fn accept(&mut self) {
        if self.status.start_time.is_none() {
            self.status.start_time = Some(Time(second(self.now)));
            self.seen.accepted = Some(self.now);
        }
        let host = self.place.host.to_string();
        if self.status.host_ip.is_none() {
            self.status.host_ips = Some(vec![HostIP { ip: host.clone() }]);
            self.status.host_ip = Some(host);
        }
        let Some(spec) = &self.pod.spec else { return };
        let inits = spec.init_containers.as_deref().unwrap_or_default();
        let reason = if inits.is_empty() { "ContainerCreating" } else { "PodInitializing" };
        fill(&mut self.status.init_container_statuses, inits, reason);
        fill(&mut self.status.container_statuses, &spec.containers, reason);
        if spec.host_network == Some(true) {
            self.give_addresses();
        }
    }

    /// Gives the pod its addresses, if there are any.
    fn give_addresses(&mut self) -> bool {
        if self.status.pod_ip.as_ref().is_some_and(|address| !address.is_empty()) {
            return true;
        }
        let on_host = self.pod.spec.as_ref().is_some_and(|spec| spec.host_network == Some(true));
        let host = [self.place.host];
        let addresses = if on_host { &host } else { self.place.addresses };
        let addresses: Vec<PodIP> = addresses.iter().map(|address| PodIP { ip: address.to_string() }).collect();
        self.status.pod_ip = addresses.first().map(|address| address.ip.clone());
        self.status.pod_ips = Some(addresses).filter(|addresses| !addresses.is_empty());
        self.status.pod_ip.is_some()
    }

    /// Has every container run, one after the other, the last of them now.
    fn start(&mut self, course: &Course) {
        let Some(spec) = &self.pod.spec else { return };
        let then = |at: Duration| before(self.now, course.total.saturating_sub(at));
        let inits = spec.init_containers.iter().flatten().zip(self.status.init_container_statuses.iter_mut().flatten());
        for ((container, status), (runs, done)) in inits.zip(&course.init) {
            run(self.pod, container, status, then(*runs));
            self.says.extend(started(container));
            if !is_sidecar(container) {
                end(status, 0, then(*done));
                status.ready = true;
            }
        }
        let regular = spec.containers.iter().zip(self.status.container_statuses.iter_mut().flatten());
        for ((container, status), runs) in regular.zip(&course.containers) {
            run(self.pod, container, status, then(*runs));
            self.says.extend(started(container));
        }
    }

    /// Brings each container of a pod that has started to where it is now.
    fn run_all(&mut self) -> Option<Timestamp> {
        let spec = self.pod.spec.as_ref()?;
        let mut next = None;
        let sidecars = spec.init_containers.iter().flatten();
        let sidecars = sidecars.zip(self.status.init_container_statuses.iter_mut().flatten());
        for (container, status) in sidecars.filter(|(container, _)| is_sidecar(container)) {
            next = earlier(next, advance(self.pod, container, status, false, self.now));
        }
        for (container, status) in spec.containers.iter().zip(self.status.container_statuses.iter_mut().flatten()) {
            let restarts = status.restart_count;
            next = earlier(next, advance(self.pod, container, status, true, self.now));
            if status.restart_count > restarts {
                self.says.extend(started(container));
            }
        }
        let ephemeral: Vec<Container> = spec.ephemeral_containers.iter().flatten().map(as_container).collect();
        fill(&mut self.status.ephemeral_container_statuses, &ephemeral, "ContainerCreating");
        for (container, status) in ephemeral.iter().zip(self.status.ephemeral_container_statuses.iter_mut().flatten()) {
            if !is_running(status) && terminated(status).is_none() {
                run(self.pod, container, status, self.now);
            }
        }
        next
    }

    /// Stops the sidecars of a pod whose other containers have all ended for good.
    fn end_sidecars(&mut self) {
        let Some(spec) = &self.pod.spec else { return };
        let over = |(container, status): (&Container, &ContainerStatus)| {
            terminated(status).is_some_and(|ended| !restarts(self.pod, container, ended.exit_code))
        };
        if spec.containers.iter().zip(self.status.container_statuses.iter().flatten()).all(over) {
            let others = [&mut self.status.init_container_statuses, &mut self.status.ephemeral_container_statuses];
            for status in others.into_iter().flat_map(|statuses| statuses.iter_mut().flatten()) {
                if is_running(status) {
                    end(status, self.draws.exit(self.pod, &status.name.clone()), self.now);
                }
            }
        }
    }

    /// Fails a pod that has been active for longer than it may be.
    fn meet_deadline(&mut self) -> Option<Timestamp> {
        if is_terminal(self.status.phase.as_deref()) {
            return None;
        }
        let seconds = self.pod.spec.as_ref()?.active_deadline_seconds?;
        let accepted = self.status.start_time.as_ref()?.0;
        let due = after(accepted, Duration::from_secs(u64::try_from(seconds).unwrap_or(0)));
        if due > self.now {
            return Some(due);
        }
        self.end_all();
        self.status.phase = Some("Failed".to_owned());
        self.status.reason = Some("DeadlineExceeded".to_owned());
        self.status.message = Some("Pod was active on the node longer than the specified deadline".to_owned());
        self.conclude(false, true);
        None
    }

    /// Stops a pod: all at once, when its containers have had the time that they take.
    fn stop(&mut self) -> Option<Timestamp> {
        let running = any_running(&self.status);
        if self.seen.stopping.is_none() {
            let stopped = statuses(&self.status).filter(|status| is_running(status)).map(|status| Says {
                container: status.name.clone(),
                reason: "Killing",
                message: format!("Stopping container {}", status.name),
            });
            self.says.extend(stopped);
        }
        let since = *self.seen.stopping.get_or_insert(self.now);
        let latest = self.pod.metadata.deletion_timestamp.as_ref().map_or(Timestamp::MAX, |time| time.0);
        let due = after(since, self.draws.stop).min(latest);
        if running && due > self.now {
            return Some(due);
        }
        self.accept();
        self.end_all();
        self.conclude(false, true);
        None
    }

    /// Ends every container.
    fn end_all(&mut self) {
        let initialized =
            self.pod.spec.as_ref().is_none_or(|spec| {
                // What never began is not known to have ended while init containers were at work.
                spec.init_containers.as_ref().is_none_or(Vec::is_empty)
            }) || self.status.init_container_statuses.iter().flatten().all(|status| status.ready || is_running(status));
        for status in statuses_mut(&mut self.status) {
            if is_running(status) {
                let exit = self.draws.exit(self.pod, &status.name.clone());
                end(status, exit, self.now);
            } else if let Some(ended) = terminated(status).cloned() {
                let state = status.state.get_or_insert_default();
                (state.waiting, state.terminated) = (None, Some(ended));
            } else if initialized {
                lose(status);
            }
        }
    }

    /// Makes the rest of the status follow from the containers' states.
    fn conclude(&mut self, has_sandbox: bool, stopped: bool) {
        let phase = phase(self.pod, &self.status, stopped);
        if !is_terminal(self.status.phase.as_deref()) {
            // Whatever is stopped has come to its end, and if it never ran, it has failed.
            let phase = if stopped && !is_terminal(Some(phase)) { "Failed" } else { phase };
            self.status.phase = Some(phase.to_owned());
        }
        let over = is_terminal(self.status.phase.as_deref());
        let phase = self.status.phase.clone().unwrap_or_default();
        let circumstances = Circumstances { phase, has_sandbox: has_sandbox && !over, ..Circumstances::default() };
        conditions::set(self.pod, &mut self.status, circumstances, self.now);
        self.status.observed_generation = self.pod.metadata.generation;
    }
}

/// One status for each container, in their order; those that have none wait for a reason.
fn fill(statuses: &mut Option<Vec<ContainerStatus>>, containers: &[Container], reason: &str) {
    let mut known = statuses.take().unwrap_or_default();
    let filled = containers.iter().map(|container| {
        let place = known.iter().position(|status| status.name == container.name);
        place.map_or_else(|| waiting(container, reason), |place| known.swap_remove(place))
    });
    let filled: Vec<ContainerStatus> = filled.collect();
    *statuses = Some(filled).filter(|filled| !filled.is_empty());
}

/// What is said of a container that has been started.
fn started(container: &Container) -> [Says; 3] {
    let image = container.image.as_deref().unwrap_or_default();
    let says = |reason, message| Says { container: container.name.clone(), reason, message };
    [
        says(
            "Pulled",
            format!("Container image \"{image}\" already present on machine and can be accessed by the pod"),
        ),
        says("Created", "Container created".to_owned()),
        says("Started", "Container started".to_owned()),
    ]
}
