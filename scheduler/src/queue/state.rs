//! The queue itself: a value whose every step is told the time.
//!
//! Times are counted from when the queue began, so that nobody who sets a clock makes pods wait.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;

use super::changes::pod_changes;
use super::entry::{Counts, Entry, Id, Place, QueuedPod, Refusal, Settings, Spot, Turn};
use super::event::{ClusterEvent, Event, Object};
use super::in_flight::InFlight;
use super::plugins::{Hint, Profile, Registered};
use super::unschedulable::Unschedulable;

/// How a pod comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Return {
    /// Not yet.
    Skip,
    /// When it has backed off.
    AfterBackoff,
    /// At once.
    Immediately,
}

/// The pods that wait for a node. Pods are told apart by their unique identifiers.
pub struct Queue {
    settings: Settings,
    names: HashMap<String, usize>,
    profiles: Vec<Registered>,
    ids: HashMap<String, Id>,
    next: Id,
    pods: HashMap<Id, Entry>,
    active: BTreeSet<Turn>,
    backoff: BTreeSet<(u64, Turn)>,
    error_backoff: BTreeSet<(u64, Turn)>,
    unschedulable: Unschedulable,
    in_flight: InFlight,
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("settings", &self.settings)
            .field("counts", &self.counts())
            .finish_non_exhaustive()
    }
}

impl Queue {
    /// An empty queue for the pods of some profiles, by the names of their schedulers.
    #[must_use]
    pub fn new(settings: Settings, profiles: BTreeMap<String, Profile>) -> Queue {
        let names = profiles.keys().enumerate().map(|(index, name)| (name.clone(), index)).collect();
        Queue {
            settings,
            names,
            profiles: profiles.into_values().map(Registered::new).collect(),
            ids: HashMap::new(),
            next: 0,
            pods: HashMap::new(),
            active: BTreeSet::new(),
            backoff: BTreeSet::new(),
            error_backoff: BTreeSet::new(),
            unschedulable: Unschedulable::default(),
            in_flight: InFlight::default(),
        }
    }

    /// Whether a pod is one of a profile's.
    #[must_use]
    pub fn is_responsible(&self, pod: &Pod) -> bool {
        self.profile_of(pod).is_some()
    }

    /// Adds a pod that has no node, or updates it if it is known. Pods of other schedulers are ignored.
    pub fn add(&mut self, pod: Arc<Pod>, now: Duration) {
        if self.ids.contains_key(uid(&pod)) {
            return self.update(pod, now);
        }
        let Some(profile) = self.profile_of(&pod) else { return };
        let id = self.next;
        self.next += 1;
        self.ids.insert(uid(&pod).to_owned(), id);
        self.pods.insert(id, Entry { queued: QueuedPod::new(pod, now), profile, spot: Spot::Nowhere });
        self.put_back(id, Return::AfterBackoff, now);
    }

    /// Notes that a pod, which still has no node, has changed. A pod that is not known is added.
    ///
    /// A pod that was refused comes back if one of the plugins that refused it says that the change may help.
    pub fn update(&mut self, pod: Arc<Pod>, now: Duration) {
        let Some(&id) = self.ids.get(uid(&pod)) else { return self.add(pod, now) };
        let Some(spot) = self.pods.get(&id).map(|entry| entry.spot) else { return };
        let spot = if spot == Spot::InFlight(true) { Spot::InFlight(false) } else { spot };
        self.take(id);
        let Some(entry) = self.pods.get_mut(&id) else { return };
        let old = std::mem::replace(&mut entry.queued.pod, Arc::clone(&pod));
        self.put(id, spot);
        if !matches!(spot, Spot::InFlight(_) | Spot::Unschedulable) {
            return;
        }
        let event =
            |kind| Event { kind, old: Some(Object::Pod(Arc::clone(&old))), new: Some(Object::Pod(Arc::clone(&pod))) };
        let events: Vec<Event> = pod_changes(&old, &pod).into_iter().map(event).collect();
        if spot == Spot::Unschedulable {
            // Whether a pod is admitted is for the most part up to itself, so that is asked whatever has changed.
            let is_gated = self.pods.get(&id).is_some_and(|entry| entry.queued.gated_by.is_some());
            let gated = is_gated.then_some(Return::AfterBackoff);
            let back = events.iter().map(|event| self.consider(id, event)).chain(gated).max();
            self.bring_back(id, back.unwrap_or(Return::Skip), now);
        } else {
            let interested = self.pods.get(&id).map(|entry| &self.profiles[entry.profile]);
            let concerns = |event: &&Event| interested.is_some_and(|profile| profile.is_interested(event.kind));
            events.iter().filter(concerns).for_each(|event| self.in_flight.record(Some(id), event));
        }
    }

    /// Notes that a pod has been deleted, or has got a node. If it is in flight, that ends when its attempt does.
    pub fn delete(&mut self, uid: &str) {
        let Some(&id) = self.ids.get(uid) else { return };
        match self.pods.get_mut(&id) {
            Some(entry) if matches!(entry.spot, Spot::InFlight(_)) => entry.spot = Spot::InFlight(true),
            _ => self.forget(id),
        }
    }

    /// Takes the pod whose turn it is. It is in flight until [`Queue::done`] or [`Queue::failed`] is called for it.
    ///
    /// If no pod is ready, a pod that was refused is tried before it has backed off, since there is nothing better to do;
    /// pods that failed by an error are not.
    pub fn pop(&mut self, now: Duration) -> Option<QueuedPod> {
        self.advance(now);
        let id = match self.active.first() {
            Some(turn) => turn.id,
            None => self.backoff.first()?.1.id,
        };
        self.take(id);
        let entry = self.pods.get_mut(&id)?;
        let queued = &mut entry.queued;
        queued.attempts = queued.attempts.saturating_add(1);
        queued.initial_attempt.get_or_insert(now);
        queued.unschedulable_plugins.clear();
        queued.pending_plugins.clear();
        let popped = queued.clone();
        self.put(id, Spot::InFlight(false));
        Some(popped)
    }

    /// Takes up to so many pods whose turns it is, in order.
    pub fn pop_batch(&mut self, most: usize, now: Duration) -> Vec<QueuedPod> {
        std::iter::from_fn(|| self.pop(now)).take(most).collect()
    }

    /// Notes that a pod in flight has got a node, or is not to be tried again.
    ///
    /// To be called when the pod has been bound, and not before: if binding fails, the pod is to come back by
    /// [`Queue::failed`], and what happened in the meantime must be known.
    pub fn done(&mut self, uid: &str) {
        if let Some(id) = self.flying(uid) {
            self.forget(id);
        }
    }

    /// Puts a pod in flight back, unless it has been deleted meanwhile. Says where it is now.
    ///
    /// It waits for an event that concerns one of the plugins that refused it, unless one has happened since its attempt
    /// began. If none refused it, it failed by an error, and is tried again when it has backed off.
    pub fn failed(&mut self, uid: &str, refusal: Refusal, now: Duration) -> Option<Place> {
        let id = self.flying(uid)?;
        let entry = self.pods.get_mut(&id)?;
        if entry.spot == Spot::InFlight(true) {
            self.forget(id);
            return None;
        }
        let queued = &mut entry.queued;
        queued.unschedulable_plugins = refusal.unschedulable_plugins;
        queued.pending_plugins = refusal.pending_plugins;
        if queued.is_unrefused() {
            queued.consecutive_errors = queued.consecutive_errors.saturating_add(1);
        } else {
            queued.unschedulable_count = queued.unschedulable_count.saturating_add(1);
            queued.consecutive_errors = 0;
        }
        queued.since = now;
        let back = match self.in_flight.since(id) {
            None => Return::AfterBackoff,
            Some(_) if self.pods[&id].queued.is_unrefused() => Return::AfterBackoff,
            Some(events) => events.map(|event| self.consider(id, event)).max().unwrap_or(Return::Skip),
        };
        self.take(id);
        self.put_back(id, back, now);
        self.place(uid)
    }

    /// Offers an event to the plugins that registered for it and refused pods, and brings back the pods of which one of
    /// these says that the event may help. Says how many came back.
    pub fn event(&mut self, event: &Event, now: Duration) -> usize {
        let kind = event.kind;
        let candidates = if kind == ClusterEvent::WILD_CARD {
            self.unschedulable.ungated()
        } else if self.profiles.iter().any(|profile| profile.is_interested(kind)) {
            self.unschedulable.refused_by(|profile, plugin| self.profiles[profile].wants(plugin, kind))
        } else {
            return 0;
        };
        let mut returned = 0;
        for id in candidates {
            let back = self.consider(id, event);
            returned += usize::from(self.bring_back(id, back, now));
        }
        self.in_flight.record(None, event);
        returned
    }

    /// Makes a pod ready at once, whatever refused it, if plugins admit it. If it is in flight, and fails, it comes back
    /// when it has backed off.
    pub fn activate(&mut self, uid: &str, now: Duration) {
        let Some(&id) = self.ids.get(uid) else { return };
        match self.pods.get(&id).map(|entry| entry.spot) {
            Some(Spot::InFlight(_)) => {
                let event = Event { kind: ClusterEvent::WILD_CARD, old: None, new: None };
                self.in_flight.record(Some(id), &event);
            }
            Some(Spot::Backoff(_) | Spot::ErrorBackoff(_) | Spot::Unschedulable) => {
                self.take(id);
                self.put_back(id, Return::Immediately, now);
            }
            Some(Spot::Active | Spot::Nowhere) | None => {}
        }
    }

    /// Does what is due by time alone: ends backoffs, and brings back pods that have waited for too long.
    pub fn advance(&mut self, now: Duration) {
        while let Some(&(second, turn)) = self.backoff.first().filter(|(second, _)| *second < now.as_secs()) {
            self.backoff.remove(&(second, turn));
            self.make_active(turn.id, now);
        }
        while let Some(&(second, turn)) = self.error_backoff.first().filter(|(second, _)| *second < now.as_secs()) {
            self.error_backoff.remove(&(second, turn));
            self.make_active(turn.id, now);
        }
        let longest = self.settings.max_unschedulable;
        while let Some((_, id)) = self.unschedulable.oldest().filter(|(since, _)| now.saturating_sub(*since) >= longest)
        {
            self.bring_back(id, Return::AfterBackoff, now);
        }
    }

    /// Whether [`Queue::pop`] would give a pod, whatever time it is.
    #[must_use]
    pub fn has_ready(&self) -> bool {
        !self.active.is_empty() || !self.backoff.is_empty()
    }

    /// When [`Queue::advance`] will have something to do.
    #[must_use]
    pub fn next_wake(&self) -> Option<Duration> {
        let backoffs = [self.backoff.first(), self.error_backoff.first()].into_iter().flatten();
        let backoffs = backoffs.map(|(second, _)| Duration::from_secs(second.saturating_add(1)));
        let oldest = self.unschedulable.oldest();
        let timeout = oldest.map(|(since, _)| since.saturating_add(self.settings.max_unschedulable));
        backoffs.chain(timeout).min()
    }

    /// Where a pod is.
    #[must_use]
    pub fn place(&self, uid: &str) -> Option<Place> {
        let entry = self.pods.get(self.ids.get(uid)?)?;
        match entry.spot {
            Spot::Active => Some(Place::Active),
            Spot::Backoff(_) => Some(Place::Backoff),
            Spot::ErrorBackoff(_) => Some(Place::ErrorBackoff),
            Spot::Unschedulable if entry.queued.gated_by.is_some() => Some(Place::Gated),
            Spot::Unschedulable => Some(Place::Unschedulable),
            Spot::InFlight(_) => Some(Place::InFlight),
            Spot::Nowhere => None,
        }
    }

    /// What is known of a pod.
    #[must_use]
    pub fn get(&self, uid: &str) -> Option<&QueuedPod> {
        self.pods.get(self.ids.get(uid)?).map(|entry| &entry.queued)
    }

    /// How many pods are where.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let (unschedulable, gated) = self.unschedulable.counts();
        Counts {
            active: self.active.len(),
            backoff: self.backoff.len() + self.error_backoff.len(),
            unschedulable,
            gated,
            in_flight: self.in_flight.len(),
            in_flight_events: self.in_flight.events(),
        }
    }

    fn profile_of(&self, pod: &Pod) -> Option<usize> {
        let name = pod.spec.as_ref().and_then(|spec| spec.scheduler_name.as_deref()).unwrap_or("default-scheduler");
        self.names.get(name).copied()
    }

    fn flying(&self, uid: &str) -> Option<Id> {
        let id = *self.ids.get(uid)?;
        matches!(self.pods.get(&id)?.spot, Spot::InFlight(_)).then_some(id)
    }

    /// How an event brings back a pod that was refused.
    fn consider(&self, id: Id, event: &Event) -> Return {
        let Some(entry) = self.pods.get(&id) else { return Return::Skip };
        let (queued, profile) = (&entry.queued, &self.profiles[entry.profile]);
        if event.kind == ClusterEvent::WILD_CARD {
            return Return::AfterBackoff;
        }
        let says_queue = |plugin: &&'static str| profile.hint(plugin, &queued.pod, event) == Hint::Queue;
        if queued.pending_plugins.iter().any(&says_queue) {
            Return::Immediately
        } else if queued.unschedulable_plugins.iter().any(says_queue) {
            Return::AfterBackoff
        } else {
            Return::Skip
        }
    }

    /// Brings an unschedulable pod back. Says whether it did: the pod may still not be admitted.
    fn bring_back(&mut self, id: Id, back: Return, now: Duration) -> bool {
        if back == Return::Skip {
            return false;
        }
        self.take(id);
        self.put_back(id, back, now)
    }

    /// Puts a pod that is nowhere where it belongs. Says whether it can be tried now or later.
    fn put_back(&mut self, id: Id, back: Return, now: Duration) -> bool {
        let Some(entry) = self.pods.get_mut(&id) else { return false };
        let queued = &mut entry.queued;
        if back == Return::Skip {
            queued.gated_by = None;
            self.put(id, Spot::Unschedulable);
            return false;
        }
        queued.gated_by = self.profiles[entry.profile].gate(&queued.pod, queued.gated_by);
        if let Some(plugin) = queued.gated_by {
            queued.unschedulable_plugins.insert(plugin);
            self.put(id, Spot::Unschedulable);
            return false;
        }
        let until = queued.backs_off_until(&self.settings).filter(|second| *second >= now.as_secs());
        match until.filter(|_| back == Return::AfterBackoff) {
            Some(second) if queued.is_unrefused() => self.put(id, Spot::ErrorBackoff(second)),
            Some(second) => self.put(id, Spot::Backoff(second)),
            None => self.make_active(id, now),
        }
        true
    }

    fn make_active(&mut self, id: Id, now: Duration) {
        if let Some(entry) = self.pods.get_mut(&id) {
            entry.queued.initial_attempt.get_or_insert(now);
        }
        self.put(id, Spot::Active);
    }

    fn put(&mut self, id: Id, spot: Spot) {
        let Some(entry) = self.pods.get_mut(&id) else { return };
        let flew = matches!(entry.spot, Spot::InFlight(_));
        entry.spot = spot;
        let turn = entry.turn(id);
        match spot {
            Spot::Active => drop(self.active.insert(turn)),
            Spot::Backoff(second) => drop(self.backoff.insert((second, turn))),
            Spot::ErrorBackoff(second) => drop(self.error_backoff.insert((second, turn))),
            Spot::Unschedulable => self.unschedulable.insert(id, entry),
            Spot::InFlight(_) if !flew => self.in_flight.begin(id),
            Spot::InFlight(_) | Spot::Nowhere => {}
        }
        if flew && !matches!(spot, Spot::InFlight(_)) {
            self.in_flight.end(id);
        }
    }

    /// Takes a pod from where it is. One in flight stays so until it is put somewhere else.
    fn take(&mut self, id: Id) {
        let Some(entry) = self.pods.get_mut(&id) else { return };
        let turn = entry.turn(id);
        match entry.spot {
            Spot::Active => drop(self.active.remove(&turn)),
            Spot::Backoff(second) => drop(self.backoff.remove(&(second, turn))),
            Spot::ErrorBackoff(second) => drop(self.error_backoff.remove(&(second, turn))),
            Spot::Unschedulable => self.unschedulable.remove(id, entry),
            Spot::InFlight(_) | Spot::Nowhere => return,
        }
        entry.spot = Spot::Nowhere;
    }

    fn forget(&mut self, id: Id) {
        self.take(id);
        self.in_flight.end(id);
        if let Some(entry) = self.pods.remove(&id) {
            self.ids.remove(entry.queued.uid());
        }
    }
}

fn uid(pod: &Pod) -> &str {
    pod.metadata.uid.as_deref().unwrap_or_default()
}
