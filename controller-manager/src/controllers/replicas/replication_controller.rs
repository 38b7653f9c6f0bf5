//! ReplicationControllers: as ReplicaSets, with a selector that is a map, and without a count of terminating pods.

use std::collections::BTreeMap;

use api::selector::label::Selector;
use k8s_openapi::api::core::v1::{
    PodTemplateSpec, ReplicationController, ReplicationControllerCondition, ReplicationControllerStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::status::{Failing, REPLICA_FAILURE, Tally, conditions, stated};
use super::{Replicated, sensible};

impl Replicated for ReplicationController {
    const CONTROLLER: &'static str = "replicationcontroller-controller";
    const COMPONENT: &'static str = "replication-controller";
    type Status = ReplicationControllerStatus;

    fn wanted(&self) -> Option<i32> {
        self.spec.as_ref()?.replicas
    }

    fn min_ready_seconds(&self) -> Option<i32> {
        self.spec.as_ref()?.min_ready_seconds
    }

    fn template(&self) -> Option<&PodTemplateSpec> {
        self.spec.as_ref()?.template.as_ref()
    }

    fn match_labels(&self) -> Option<&BTreeMap<String, String>> {
        self.spec.as_ref()?.selector.as_ref()
    }

    fn selector(&self) -> Option<Selector> {
        sensible(Selector::from_labels(self.match_labels()?))
    }

    fn status(&self) -> Option<&ReplicationControllerStatus> {
        self.status.as_ref()
    }

    fn counted(&self, tally: &Tally, failing: Option<Failing>) -> ReplicationControllerStatus {
        let failing = failing.map(|failing| ReplicationControllerCondition {
            type_: REPLICA_FAILURE.to_owned(),
            status: "True".to_owned(),
            reason: Some(failing.reason.to_owned()),
            message: Some(failing.message),
            last_transition_time: Some(Time(failing.since)),
        });
        let present = self.status.as_ref().and_then(|status| status.conditions.as_ref());
        ReplicationControllerStatus {
            replicas: tally.replicas,
            fully_labeled_replicas: stated(tally.fully_labeled),
            ready_replicas: stated(tally.ready),
            available_replicas: stated(tally.available),
            observed_generation: self.metadata.generation,
            conditions: conditions(present, |condition| &condition.type_, failing),
        }
    }

    fn with_status(&self, status: ReplicationControllerStatus) -> ReplicationController {
        ReplicationController { status: Some(status), ..self.clone() }
    }
}
