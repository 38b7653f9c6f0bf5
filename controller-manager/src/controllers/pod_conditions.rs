//! Conditions of pods, as controllers write them: the time of transition moves when the status does, and only then.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// Says why a pod is about to go, which is not of its own making.
pub(super) const DISRUPTION_TARGET: &str = "DisruptionTarget";

/// Sets a condition, of the pod in its present generation.
pub(super) fn set(pod: &mut Pod, condition: PodCondition, now: Timestamp) {
    let generation = pod.metadata.generation;
    let conditions = pod.status.get_or_insert_default().conditions.get_or_insert_default();
    let known = conditions.iter_mut().find(|known| known.type_ == condition.type_);
    let kept = known.as_ref().filter(|known| known.status == condition.status);
    let last_transition_time = kept.map_or(Some(Time(now)), |known| known.last_transition_time.clone());
    let condition = PodCondition { last_transition_time, observed_generation: generation, ..condition };
    match known {
        Some(known) => *known = condition,
        None => conditions.push(condition),
    }
}

/// Removes a condition.
pub(super) fn remove(pod: &mut Pod, type_: &str) {
    if let Some(conditions) = pod.status.as_mut().and_then(|status| status.conditions.as_mut()) {
        conditions.retain(|condition| condition.type_ != type_);
    }
}

/// That the pod is about to be disrupted, for this reason.
pub(super) fn disrupted(reason: &str, message: &str) -> PodCondition {
    PodCondition {
        type_: DISRUPTION_TARGET.to_owned(),
        status: "True".to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        ..PodCondition::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pods;

    #[test]
    fn the_time_of_transition_is_that_of_the_status() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut pod = Pod::default();
        pod.metadata.generation = Some(3);
        let mut check = |condition: PodCondition, now: i64, transition: i64| {
            set(&mut pod, condition.clone(), at(now));
            let found = pods::condition(&pod, &condition.type_).unwrap();
            assert_eq!(found.last_transition_time, Some(Time(at(transition))));
            assert_eq!((&found.reason, found.observed_generation), (&condition.reason, Some(3)));
        };
        check(disrupted("A", "a"), 10, 10);
        check(disrupted("B", "b"), 20, 10);
        check(PodCondition { status: "False".to_owned(), ..disrupted("C", "c") }, 30, 30);
        remove(&mut pod, DISRUPTION_TARGET);
        assert_eq!(pods::condition(&pod, DISRUPTION_TARGET), None);
    }
}
