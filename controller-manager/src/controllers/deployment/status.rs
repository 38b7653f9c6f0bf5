//! The status of a Deployment: its counts, and what its conditions say of availability, progress and failures.
//!
//! A condition is replaced only if its status or its reason changes, and the time of its last transition is that of its
//! status. The condition `Progressing` is the exception: whenever there is progress its update time is set anew, for from
//! there the time is measured after which a Deployment counts as stuck.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{
    Deployment, DeploymentCondition, DeploymentSpec, DeploymentStatus, ReplicaSet, ReplicaSetCondition,
    ReplicaSetStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::budget::Budget;

pub(super) const PROGRESSING: &str = "Progressing";
const AVAILABLE: &str = "Available";
const REPLICA_FAILURE: &str = "ReplicaFailure";

pub(super) const PAUSED: &str = "DeploymentPaused";
pub(super) const TIMED_OUT: &str = "ProgressDeadlineExceeded";
const COMPLETE: &str = "NewReplicaSetAvailable";

/// Sets and removes conditions at one moment.
pub(super) struct Conditions {
    pub(super) list: Vec<DeploymentCondition>,
    now: Time,
}

impl Conditions {
    /// Times are whole seconds, as the API writes them.
    pub(super) fn new(list: Vec<DeploymentCondition>, now: Timestamp) -> Conditions {
        let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
        Conditions { list, now: Time(now) }
    }

    pub(super) fn get(&self, kind: &str) -> Option<&DeploymentCondition> {
        self.list.iter().find(|condition| condition.type_.as_deref() == Some(kind))
    }

    /// The reason of `Progressing`; empty if there is no such condition.
    pub(super) fn progress(&self) -> &str {
        self.get(PROGRESSING).and_then(|condition| condition.reason.as_deref()).unwrap_or_default()
    }

    fn remove(&mut self, kind: &str) {
        self.list.retain(|condition| condition.type_.as_deref() != Some(kind));
    }

    /// States a condition, unless it is stated with this status and this reason.
    pub(super) fn set(&mut self, kind: &str, status: &str, reason: &str, message: String) {
        let condition = DeploymentCondition {
            type_: Some(kind.to_owned()),
            status: Some(status.to_owned()),
            reason: Some(reason.to_owned()),
            message: Some(message),
            last_update_time: Some(self.now.clone()),
            last_transition_time: Some(self.now.clone()),
        };
        self.put(condition, false);
    }

    /// States that there is progress, whatever was stated before.
    fn refresh(&mut self, reason: &str, message: String) {
        let condition = DeploymentCondition {
            type_: Some(PROGRESSING.to_owned()),
            status: Some("True".to_owned()),
            reason: Some(reason.to_owned()),
            message: Some(message),
            last_update_time: Some(self.now.clone()),
            last_transition_time: Some(self.now.clone()),
        };
        self.put(condition, true);
    }

    fn put(&mut self, mut condition: DeploymentCondition, again: bool) {
        let kind = condition.type_.clone().unwrap_or_default();
        if let Some(known) = self.get(&kind) {
            if known.status == condition.status {
                if known.reason == condition.reason && !again {
                    return;
                }
                condition.last_transition_time.clone_from(&known.last_transition_time);
            }
            self.remove(&kind);
        }
        self.list.push(condition);
    }
}

/// Whether the Deployment counts as stuck after some time.
pub(super) fn has_deadline(spec: &DeploymentSpec) -> bool {
    spec.progress_deadline_seconds.is_some_and(|seconds| seconds != i32::MAX)
}

/// What a status is made of.
pub(super) struct Sources<'a> {
    pub(super) deployment: &'a Deployment,
    pub(super) budget: Budget,
    /// All ReplicaSets of the Deployment, also one that is just being made.
    pub(super) sets: Vec<&'a Arc<ReplicaSet>>,
    /// The one that has its template.
    pub(super) new: Option<&'a Arc<ReplicaSet>>,
    /// How many pods they want, after what is being done.
    pub(super) wanted: i64,
}

fn number(count: i64) -> Option<i32> {
    Some(i32::try_from(count).unwrap_or(i32::MAX)).filter(|count| *count != 0)
}

impl Sources<'_> {
    fn sum(&self, field: impl Fn(&ReplicaSetStatus) -> Option<i32>) -> i64 {
        let statuses = self.sets.iter().filter_map(|set| set.status.as_ref());
        statuses.map(|status| i64::from(field(status).unwrap_or(0))).sum()
    }

    /// How many pods are on their way out; unknown if a ReplicaSet that was looked at does not say.
    fn terminating(&self) -> Option<i32> {
        let mut sum = 0;
        for status in self.sets.iter().filter_map(|set| set.status.as_ref()) {
            match (status.terminating_replicas, status.observed_generation.unwrap_or(0)) {
                (Some(count), _) => sum += i64::from(count),
                (None, 0) => {}
                (None, _) => return None,
            }
        }
        Some(i32::try_from(sum).unwrap_or(i32::MAX))
    }

    /// The status as to counts and availability, with the other conditions as they are given.
    pub(super) fn status(&self, conditions: &mut Conditions) -> DeploymentStatus {
        let available = self.sum(|status| status.available_replicas);
        let updated = self.new.and_then(|new| new.status.as_ref()).map_or(0, |status| i64::from(status.replicas));
        if available >= self.budget.least() {
            let message = "Deployment has minimum availability.";
            conditions.set(AVAILABLE, "True", "MinimumReplicasAvailable", message.to_owned());
        } else {
            let message = "Deployment does not have minimum availability.";
            conditions.set(AVAILABLE, "False", "MinimumReplicasUnavailable", message.to_owned());
        }
        DeploymentStatus {
            observed_generation: self.deployment.metadata.generation.filter(|generation| *generation != 0),
            replicas: number(self.sum(|status| Some(status.replicas))),
            updated_replicas: number(updated),
            ready_replicas: number(self.sum(|status| status.ready_replicas)),
            available_replicas: number(available),
            unavailable_replicas: number((self.wanted - available).max(0)),
            terminating_replicas: self.terminating(),
            collision_count: self.deployment.status.as_ref().and_then(|status| status.collision_count),
            conditions: None,
        }
    }

    /// Says in the conditions how far the rollout is, and why ReplicaSets fail. `status` has the counts. Gives after how
    /// long to look whether the rollout is stuck.
    pub(super) fn progress(&self, status: &DeploymentStatus, conditions: &mut Conditions) -> Option<Duration> {
        let deadline = has_deadline(&self.deployment.spec);
        if !deadline {
            conditions.remove(PROGRESSING);
        }
        let is_settled = status.replicas == status.updated_replicas && conditions.progress() == COMPLETE;
        if deadline && !is_settled {
            if is_complete(self.deployment, self.budget, status) {
                conditions.set(PROGRESSING, "True", COMPLETE, self.subject("has successfully progressed."));
            } else if self.has_progressed(status) {
                conditions.refresh("ReplicaSetUpdated", self.subject("is progressing."));
            } else if self.has_timed_out(conditions) {
                conditions.set(PROGRESSING, "False", TIMED_OUT, self.subject("has timed out progressing."));
            }
        }
        match self.failure() {
            Some(failure) => conditions.put(failure, false),
            None => conditions.remove(REPLICA_FAILURE),
        }
        let is_open = ![COMPLETE, TIMED_OUT].contains(&conditions.progress());
        let waits = deadline && is_open && !is_complete(self.deployment, self.budget, status);
        let left = self.time_left(conditions).filter(|_| waits)?;
        // A second more, since the API keeps whole seconds.
        Some(left.saturating_add(Duration::from_secs(1)))
    }

    fn subject(&self, what: &str) -> String {
        match self.new {
            Some(new) => format!("ReplicaSet \"{}\" {what}", new.metadata.name.as_deref().unwrap_or_default()),
            None => format!("Deployment \"{}\" {what}", self.deployment.metadata.name.as_deref().unwrap_or_default()),
        }
    }

    /// Whether there are more new pods than there were, or fewer old ones, or more that are of use.
    fn has_progressed(&self, status: &DeploymentStatus) -> bool {
        let before = self.deployment.status.clone().unwrap_or_default();
        let count = |count: Option<i32>| i64::from(count.unwrap_or(0));
        let old = |status: &DeploymentStatus| count(status.replicas) - count(status.updated_replicas);
        count(status.updated_replicas) > count(before.updated_replicas)
            || old(status) < old(&before)
            || count(status.ready_replicas) > count(before.ready_replicas)
            || count(status.available_replicas) > count(before.available_replicas)
    }

    /// How long there has been no progress is no question before the rollout has begun.
    fn has_timed_out(&self, conditions: &Conditions) -> bool {
        match conditions.progress() {
            COMPLETE => false,
            TIMED_OUT => true,
            _ => self.time_left(conditions).is_some_and(|left| left.is_zero()),
        }
    }

    /// How long it takes until the rollout counts as stuck; nothing when it does.
    fn time_left(&self, conditions: &Conditions) -> Option<Duration> {
        let Time(from) = conditions.get(PROGRESSING)?.last_update_time.as_ref()?;
        let allowed = i64::from(self.deployment.spec.progress_deadline_seconds.unwrap_or(0));
        let gone = conditions.now.0.as_second().saturating_sub(from.as_second());
        // Exactly at the deadline there is still a moment left.
        if gone > allowed {
            return Some(Duration::ZERO);
        }
        Some(Duration::from_secs(u64::try_from(allowed - gone).unwrap_or(0)).max(Duration::from_millis(1)))
    }

    /// Why pods are not made or not deleted: what the new ReplicaSet says, or else another.
    fn failure(&self) -> Option<DeploymentCondition> {
        let of = |set: &&Arc<ReplicaSet>| {
            let conditions = set.status.as_ref().and_then(|status| status.conditions.as_ref());
            conditions
                .into_iter()
                .flatten()
                .find(|condition| condition.type_.as_deref() == Some(REPLICA_FAILURE))
                .map(converted)
        };
        self.new.as_ref().and_then(of).or_else(|| self.sets.iter().find_map(of))
    }
}

fn converted(condition: &ReplicaSetCondition) -> DeploymentCondition {
    DeploymentCondition {
        type_: condition.type_.clone(),
        status: condition.status.clone(),
        reason: condition.reason.clone(),
        message: condition.message.clone(),
        last_update_time: condition.last_transition_time.clone(),
        last_transition_time: condition.last_transition_time.clone(),
    }
}

/// Whether all pods are new and available, and no old ones run.
pub(super) fn is_complete(deployment: &Deployment, budget: Budget, status: &DeploymentStatus) -> bool {
    let all = |count: Option<i32>| i64::from(count.unwrap_or(0)) == budget.replicas;
    all(status.updated_replicas)
        && all(status.replicas)
        && all(status.available_replicas)
        && status.observed_generation.unwrap_or(0) >= deployment.metadata.generation.unwrap_or(0)
}
