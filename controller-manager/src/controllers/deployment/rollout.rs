//! One step of a rollout: the sizes that a Deployment's ReplicaSets get, the one that is made, those that go, and the status.

use std::cmp::Reverse;
use std::sync::Arc;

use client::events::EventType;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentStatus, ReplicaSet, ReplicaSetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::budget::{self, Budget, Size};
use super::proportional::{self, Part};
use super::revision::{self, Annotations, REVISION};
use super::status::{self, Conditions, PAUSED, PROGRESSING, Sources};
use super::template::HASH_LABEL;
use super::{Next, Observed, rollback};
use crate::controller::Moment;
use crate::plan::{Deletion, Effect, Failure, Plan, Report, Target, controller_reference, reference};

const CREATE_ERROR: &str = "ReplicaSetCreateError";

/// A ReplicaSet as it is and as it is to be.
struct Member {
    set: Arc<ReplicaSet>,
    size: Size,
    wanted: i64,
    /// What it is to have, if that is not what it has.
    annotations: Option<Annotations>,
}

/// What is known and what has been decided.
pub(super) struct Rollout<'a> {
    deployment: &'a Deployment,
    budget: Budget,
    is_rolling: bool,
    waits: bool,
    next: Option<&'a Next>,
    /// From the oldest to the newest.
    members: Vec<Member>,
    /// Which of them has the Deployment's template.
    new: Option<usize>,
    /// Whether that is still to be made.
    creates: bool,
    /// Whether old ReplicaSets that are too many go.
    cleans_up: bool,
    conditions: Conditions,
    /// The revision of the new one.
    revision: Option<String>,
    /// What is to be done first.
    plan: Plan,
}

impl Member {
    fn new(set: &Arc<ReplicaSet>) -> Member {
        let size = Size::of(set);
        Member { set: Arc::clone(set), size, wanted: size.replicas, annotations: None }
    }

    fn name(&self) -> &str {
        self.set.metadata.name.as_deref().unwrap_or_default()
    }

    fn annotations(&self) -> Annotations {
        let has = || self.set.metadata.annotations.clone().unwrap_or_default();
        self.annotations.clone().unwrap_or_else(has)
    }

    fn annotate(&mut self, change: impl FnOnce(&mut Annotations)) {
        let mut annotations = self.annotations();
        change(&mut annotations);
        let differ = !annotations.iter().eq(self.set.metadata.annotations.iter().flatten());
        self.annotations = differ.then_some(annotations);
    }
}

impl<'a> Rollout<'a> {
    pub(super) fn new(observed: &'a Observed, moment: &Moment) -> Rollout<'a> {
        let deployment = &*observed.deployment;
        Rollout {
            deployment,
            budget: Budget::of(&deployment.spec),
            is_rolling: budget::is_rolling(&deployment.spec),
            waits: observed.waits,
            next: observed.next.as_ref(),
            members: observed.claims.own.iter().map(Member::new).collect(),
            new: observed.new,
            creates: false,
            cleans_up: false,
            conditions: conditions(deployment, moment.now),
            revision: None,
            plan: Plan::new(),
        }
    }

    /// The step. `failure` is why the last one was not done to its end.
    pub(super) fn plan(mut self, failure: Option<&Failure>) -> Plan {
        if self.deployment.metadata.deletion_timestamp.is_some() {
            return self.finish(false);
        }
        let is_paused = self.deployment.spec.paused == Some(true);
        let rollback = rollback::target(self.deployment);
        self.note_pause(is_paused);
        self.note_new(is_paused);
        if is_paused {
            self.scale();
            self.cleans_up = rollback.is_none();
            return self.finish(false);
        }
        if let Some(target) = rollback {
            return self.roll_back(target);
        }
        if self.is_to_be_scaled() {
            self.scale();
            return self.finish(false);
        }
        let is_whole = if self.is_rolling { self.roll(failure) } else { self.recreate(failure) };
        if is_whole { self.finish(true) } else { self.plan }
    }

    fn active(&self) -> Vec<usize> {
        (0..self.members.len()).filter(|i| self.members[*i].size.replicas > 0).collect()
    }

    fn old(&self) -> Vec<usize> {
        (0..self.members.len()).filter(|i| Some(*i) != self.new).collect()
    }

    fn total(&self) -> i64 {
        self.members.iter().map(|member| member.wanted).sum()
    }

    /// A paused rollout is not measured against its deadline, and one that goes on starts anew.
    fn note_pause(&mut self, is_paused: bool) {
        let reason = self.conditions.progress();
        if !status::has_deadline(&self.deployment.spec) || reason == status::TIMED_OUT {
            return;
        }
        match (is_paused, reason == PAUSED) {
            (true, false) => self.conditions.set(PROGRESSING, "Unknown", PAUSED, "Deployment is paused".to_owned()),
            (false, true) => {
                let message = "Deployment is resumed".to_owned();
                self.conditions.set(PROGRESSING, "Unknown", "DeploymentResumed", message);
            }
            _ => {}
        }
    }

    fn newest_revision(&self) -> i64 {
        let old = self.old().into_iter().filter_map(|i| revision::revision(&self.members[i].set));
        old.max().unwrap_or(0).max(0).saturating_add(1)
    }

    /// Brings the new ReplicaSet's annotations up to date, and takes note of it.
    fn note_new(&mut self, is_paused: bool) {
        let Some(new) = self.new else { return };
        let newest = self.newest_revision();
        let meta = &self.deployment.metadata;
        let member = &mut self.members[new];
        member.annotate(|annotations| revision::note_new(annotations, meta, newest));
        let revision = member.annotations().remove(REVISION).unwrap_or_default();
        let known = meta.annotations.as_ref().and_then(|annotations| annotations.get(REVISION));
        // A process that ended after it made the ReplicaSet could not say so.
        let is_made = known.is_some_and(|known| *known != revision)
            && !revision::has_history(&member.set)
            && member.annotations.is_none();
        if status::has_deadline(&self.deployment.spec) {
            let name = member.name();
            if self.conditions.get(PROGRESSING).is_none() {
                let message = format!("Found new replica set \"{name}\"");
                self.conditions.set(PROGRESSING, "True", "FoundNewReplicaSet", message);
            } else if is_made && !is_paused {
                let message = format!("Created new replica set \"{name}\"");
                self.conditions.set(PROGRESSING, "True", "NewReplicaSetCreated", message);
            }
        }
        self.revision = Some(revision);
    }

    fn resize(&mut self, i: usize, wanted: i64) {
        let budget = self.budget;
        self.members[i].wanted = wanted;
        self.members[i].annotate(|annotations| revision::note_scale(annotations, budget));
    }

    fn resize_if_other(&mut self, i: usize, wanted: i64) -> bool {
        let is_other = self.members[i].wanted != wanted;
        if is_other {
            self.resize(i, wanted);
        }
        is_other
    }

    /// Whether the Deployment was scaled since its ReplicaSets got their sizes. Without a rolling update, several of them
    /// that have pods are nothing that could be scaled.
    fn is_to_be_scaled(&self) -> bool {
        let active = self.active();
        let is_other = |set| revision::desired_then(set).is_some_and(|desired| desired != self.budget.replicas);
        (self.is_rolling || active.len() < 2) && active.iter().any(|i| is_other(&self.members[*i].set))
    }

    /// Gives all ReplicaSets their part of the scale, without any progress of the rollout.
    fn scale(&mut self) {
        let replicas = self.budget.replicas;
        let active = self.active();
        match (active[..].as_ref(), self.new) {
            ([], new) => {
                if let Some(latest) = new.or(self.members.len().checked_sub(1)) {
                    self.resize_if_other(latest, replicas);
                }
            }
            ([only], _) => {
                // One that somebody else gave its size is to be on record with it, too.
                if revision::desired_then(&self.members[*only].set) == Some(replicas) {
                    self.resize_if_other(*only, replicas);
                } else {
                    self.resize(*only, replicas);
                }
            }
            (_, Some(new)) if self.is_saturated(new) => self.empty_old(new),
            (active, _) if self.is_rolling => {
                let part = |i: &usize| {
                    let member = &self.members[*i];
                    Part { size: member.size, most_then: revision::most_then(&member.set).unwrap_or(0) }
                };
                let parts: Vec<Part> = active.iter().map(part).collect();
                let now = self.deployment.status.as_ref().and_then(|status| status.replicas).unwrap_or(0);
                let sizes = proportional::sizes(self.budget, &parts, i64::from(now));
                active.iter().zip(sizes).for_each(|(i, size)| self.resize(*i, size));
            }
            _ => {}
        }
    }

    /// Takes all pods from the old ReplicaSets, once it is certain that those of the new one are available.
    fn empty_old(&mut self, new: usize) {
        if self.members[new].size.is_uncertain {
            return;
        }
        for i in self.old() {
            self.resize_if_other(i, 0);
        }
    }

    /// Whether the new ReplicaSet has all the pods that there should be.
    fn is_saturated(&self, new: usize) -> bool {
        let (member, replicas) = (&self.members[new], self.budget.replicas);
        let Size { replicas: wanted, available, .. } = member.size;
        wanted == replicas && available == replicas && revision::desired_then(&member.set) == Some(replicas)
    }

    fn roll_back(self, target: i64) -> Plan {
        let number =
            |annotations: Annotations| annotations.get(REVISION).map_or(Some(0), |revision| revision.parse().ok());
        let of = |i: usize| (number(self.members[i].annotations()), &*self.members[i].set);
        let sets: Vec<(Option<i64>, &ReplicaSet)> = self.old().into_iter().chain(self.new).map(of).collect();
        rollback::plan(self.deployment, target, &sets, self.new.is_some())
    }

    /// Replaces pods step by step. Whether the step is to be finished.
    fn roll(&mut self, failure: Option<&Failure>) -> bool {
        let Some(new) = self.new.or_else(|| self.create(failure)) else { return false };
        let grown = self.budget.grown(self.members[new].wanted, self.total());
        if self.resize_if_other(new, grown) {
            return true;
        }
        let old = self.old();
        let sizes: Vec<Size> = old.iter().map(|i| self.members[*i].size).collect();
        let shrunk = self.budget.shrunk(self.members[new].size, &sizes);
        let mut changed = false;
        for (i, size) in old.into_iter().zip(shrunk) {
            changed |= self.resize_if_other(i, size);
        }
        self.cleans_up = !changed && self.was_complete();
        true
    }

    /// Lets all old pods go before there are new ones. Whether the step is to be finished.
    fn recreate(&mut self, failure: Option<&Failure>) -> bool {
        for i in self.old() {
            self.resize_if_other(i, 0);
        }
        if self.waits {
            return true;
        }
        let Some(new) = self.new.or_else(|| self.create(failure)) else { return false };
        self.resize_if_other(new, self.budget.replicas);
        self.cleans_up = self.was_complete();
        true
    }

    fn was_complete(&self) -> bool {
        let status = self.deployment.status.as_ref();
        status.is_some_and(|status| status::is_complete(self.deployment, self.budget, status))
    }

    /// Makes a ReplicaSet for the template. `None` if something else has to be done first.
    fn create(&mut self, failure: Option<&Failure>) -> Option<usize> {
        let next = self.next?;
        if next.is_taken {
            let status = self.deployment.status.clone().unwrap_or_default();
            let collision_count = Some(status.collision_count.unwrap_or(0).saturating_add(1));
            self.patch_status(DeploymentStatus { collision_count, ..status });
            return None;
        }
        let newest = self.newest_revision();
        let size = self.budget.grown(0, self.total());
        let set = Arc::new(replica_set(self.deployment, next, size, newest, self.budget));
        let refused = failure.filter(|failure| is_refusal(failure)).map(|failure| failure.message.as_str());
        if refused.is_some_and(|message| self.report_failure(next, message)) {
            self.plan_creation(&set, size);
            return None;
        }
        self.members.push(Member {
            set,
            size: Size { replicas: size, available: 0, is_uncertain: false },
            wanted: size,
            annotations: None,
        });
        self.new = Some(self.members.len() - 1);
        self.creates = true;
        self.revision = Some(newest.to_string());
        if status::has_deadline(&self.deployment.spec) {
            let message = format!("Created new replica set \"{}\"", next.name);
            self.conditions.set(PROGRESSING, "True", "NewReplicaSetCreated", message);
        }
        self.new
    }

    /// Says why the ReplicaSet could not be made. Whether the status changes by that, so that in the same step it cannot
    /// be written again.
    fn report_failure(&mut self, next: &Next, message: &str) -> bool {
        let message = format!("Failed to create new replica set \"{}\": {message}", next.name);
        if status::has_deadline(&self.deployment.spec) {
            self.conditions.set(PROGRESSING, "False", CREATE_ERROR, message.clone());
            self.patch_status(self.deployment.status.clone().unwrap_or_default());
        }
        let changes = !self.plan.is_empty();
        self.plan.event(self.deployment, EventType::Warning, CREATE_ERROR, message);
        changes
    }

    fn plan_creation(&mut self, set: &ReplicaSet, size: i64) {
        let action = self.plan.create(set);
        if size > 0 {
            let message = format!("Scaled up replica set {{name}} from 0 to {size}");
            action.reporting(scaling(self.deployment, message));
        }
    }

    /// What has been decided, as actions: first what makes room, then what takes it, and the status last.
    fn finish(mut self, measures: bool) -> Plan {
        if let Some(new) = self.new.filter(|_| self.creates) {
            let (set, size) = (Arc::clone(&self.members[new].set), self.members[new].wanted);
            self.plan_creation(&set, size);
        }
        let mut order: Vec<usize> = (0..self.members.len()).collect();
        order.sort_by_key(|i| Reverse(self.members[*i].size.replicas > self.members[*i].wanted));
        for i in order {
            self.plan_update(i);
        }
        if self.cleans_up {
            let old = self.old();
            let old = old.iter().map(|i| &self.members[*i].set);
            let excess = revision::excess(&self.deployment.spec, old);
            for set in excess.into_iter().take(self.plan.room().saturating_sub(1)) {
                // As it was seen without pods, and not if it has got some since.
                let version = set.metadata.resource_version.clone().unwrap_or_default();
                self.plan.act(Target::of(set), Effect::Delete(Deletion { version, ..Deletion::default() }));
            }
        }
        let sources = Sources {
            deployment: self.deployment,
            budget: self.budget,
            sets: self.members.iter().map(|member| &member.set).collect(),
            new: self.new.map(|new| &self.members[new].set),
            wanted: self.total(),
        };
        let status = sources.status(&mut self.conditions);
        if let Some(delay) = measures.then(|| sources.progress(&status, &mut self.conditions)).flatten() {
            self.plan.look_again(delay);
        }
        self.patch_status(status);
        self.plan
    }

    fn plan_update(&mut self, i: usize) {
        let member = &self.members[i];
        let is_new = Some(i) == self.new;
        if (is_new && self.creates) || self.plan.room() < 2 {
            return;
        }
        let wait = self.deployment.spec.min_ready_seconds;
        let waits_other = is_new && member.set.spec.min_ready_seconds.unwrap_or(0) != wait.unwrap_or(0);
        let is_deleting = self.deployment.metadata.deletion_timestamp.is_some();
        if is_deleting || (member.wanted == member.size.replicas && member.annotations.is_none() && !waits_other) {
            return;
        }
        let mut set = ReplicaSet::clone(&member.set);
        set.metadata.annotations = Some(member.annotations());
        set.spec.replicas = Some(i32::try_from(member.wanted).unwrap_or(i32::MAX));
        if is_new {
            set.spec.min_ready_seconds = wait;
        }
        let (from, to) = (member.size.replicas, member.wanted);
        let Some(action) = self.plan.update(&*member.set, &set) else { return };
        if from != to {
            let way = if from < to { "up" } else { "down" };
            let message = format!("Scaled {way} replica set {} from {from} to {to}", member.name());
            action.reporting(scaling(self.deployment, message));
        }
    }

    /// Writes the status with the conditions, and the revision.
    fn patch_status(&mut self, mut status: DeploymentStatus) {
        status.conditions = Some(self.conditions.list.clone()).filter(|conditions| !conditions.is_empty());
        let old = self.deployment.status.clone().unwrap_or_default();
        let mut annotations = self.deployment.metadata.annotations.clone().unwrap_or_default();
        if let Some(revision) = &self.revision {
            annotations.insert(REVISION.to_owned(), revision.clone());
        }
        self.plan.update_status_and_annotations(self.deployment, (&old, &status), &annotations);
    }
}

fn conditions(deployment: &Deployment, now: Timestamp) -> Conditions {
    let list = deployment.status.as_ref().and_then(|status| status.conditions.clone());
    Conditions::new(list.unwrap_or_default(), now)
}

fn scaling(deployment: &Deployment, message: String) -> Report {
    Report { regarding: reference(deployment), done: Some(("ScalingReplicaSet", message)), failed: None }
}

/// Whether the ReplicaSet could not be made, for a reason that users have to know of. That its name is taken is found out
/// and answered; and where a namespace goes, nothing is to be made.
fn is_refusal(failure: &Failure) -> bool {
    failure.is_creation_of::<ReplicaSet>()
        && !matches!(failure.reason.as_str(), "AlreadyExists" | "Conflict")
        && !failure.is_of_ending_namespace()
}

/// A new ReplicaSet for the Deployment's template.
fn replica_set(deployment: &Deployment, next: &Next, size: i64, newest: i64, budget: Budget) -> ReplicaSet {
    let hash = || (HASH_LABEL.to_owned(), next.hash.clone());
    let mut template = deployment.spec.template.clone();
    let labels = template.metadata.get_or_insert_default().labels.get_or_insert_default();
    labels.extend([hash()]);
    let labels = labels.clone();
    let mut selector = deployment.spec.selector.clone();
    selector.match_labels.get_or_insert_default().extend([hash()]);
    let mut annotations = Annotations::new();
    revision::note_new(&mut annotations, &deployment.metadata, newest);
    revision::note_scale(&mut annotations, budget);
    ReplicaSet {
        metadata: ObjectMeta {
            name: Some(next.name.clone()),
            namespace: deployment.metadata.namespace.clone(),
            labels: Some(labels),
            annotations: Some(annotations),
            owner_references: Some(vec![controller_reference(deployment)]),
            ..ObjectMeta::default()
        },
        spec: ReplicaSetSpec {
            replicas: Some(i32::try_from(size).unwrap_or(i32::MAX)),
            min_ready_seconds: deployment.spec.min_ready_seconds,
            selector,
            template: Some(template),
        },
        status: None,
    }
}
