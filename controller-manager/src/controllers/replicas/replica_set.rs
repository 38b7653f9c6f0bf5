//! ReplicaSets.

use std::collections::BTreeMap;

use api::selector::label::{self, Selector};
use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetCondition, ReplicaSetStatus};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::status::{Failing, REPLICA_FAILURE, Tally, conditions, stated};
use super::{Replicated, sensible};

impl Replicated for ReplicaSet {
    const CONTROLLER: &'static str = "replicaset-controller";
    const COMPONENT: &'static str = "replicaset-controller";
    type Status = ReplicaSetStatus;

    fn wanted(&self) -> Option<i32> {
        self.spec.replicas
    }

    fn min_ready_seconds(&self) -> Option<i32> {
        self.spec.min_ready_seconds
    }

    fn template(&self) -> Option<&PodTemplateSpec> {
        self.spec.template.as_ref()
    }

    fn match_labels(&self) -> Option<&BTreeMap<String, String>> {
        self.spec.selector.match_labels.as_ref()
    }

    fn selector(&self) -> Option<Selector> {
        label::from_api(Some(&self.spec.selector)).ok().and_then(sensible)
    }

    fn status(&self) -> Option<&ReplicaSetStatus> {
        self.status.as_ref()
    }

    fn counted(&self, tally: &Tally, failing: Option<Failing>) -> ReplicaSetStatus {
        let failing = failing.map(|failing| ReplicaSetCondition {
            type_: Some(REPLICA_FAILURE.to_owned()),
            status: Some("True".to_owned()),
            reason: Some(failing.reason.to_owned()),
            message: Some(failing.message),
            last_transition_time: Some(Time(failing.since)),
        });
        let present = self.status.as_ref().and_then(|status| status.conditions.as_ref());
        ReplicaSetStatus {
            replicas: tally.replicas,
            fully_labeled_replicas: stated(tally.fully_labeled),
            ready_replicas: stated(tally.ready),
            available_replicas: stated(tally.available),
            terminating_replicas: Some(tally.terminating),
            observed_generation: self.metadata.generation,
            conditions: conditions(present, |condition| condition.type_.as_deref().unwrap_or_default(), failing),
        }
    }

    fn with_status(&self, status: ReplicaSetStatus) -> ReplicaSet {
        ReplicaSet { status: Some(status), ..self.clone() }
    }
}
