//! For how long a pod tolerates taints.

use std::time::Duration;

use api::taints::tolerates;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Pod, Taint};

use crate::pods;

/// How long a pod may stay on a node with these taints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stay {
    /// For as long as the taints stay as they are.
    Forever,
    /// Until then.
    Until(Timestamp),
    /// For a while that begins when the taints say that it does, which one of them does not.
    Undated,
    /// Not at all.
    Over,
}

/// How long the pod may stay on a node with these taints, all of effect NoExecute. Of several tolerations of a taint the
/// first counts, and of several taints the one whose time is over first. Time counts from when the taint was added or the
/// pod came to the node, whichever was later.
pub(super) fn stay(pod: &Pod, taints: &[&Taint]) -> Stay {
    let tolerations = pod.spec.as_ref().and_then(|spec| spec.tolerations.as_deref()).unwrap_or_default();
    let mut until: Option<Timestamp> = None;
    let mut undated = false;
    for taint in taints {
        let Some(toleration) = tolerations.iter().find(|toleration| tolerates(toleration, taint)) else {
            return Stay::Over;
        };
        let Some(seconds) = toleration.toleration_seconds else { continue };
        if seconds <= 0 {
            return Stay::Over;
        }
        let Some(added) = &taint.time_added else {
            undated = true;
            continue;
        };
        let from = arrival(pod).map_or(added.0, |arrival| arrival.max(added.0));
        // What is over after the end of time is never over.
        if let Ok(end) = from.checked_add(SignedDuration::from_secs(seconds)) {
            until = Some(until.map_or(end, |until| until.min(end)));
        }
    }
    match until {
        _ if undated => Stay::Undated,
        Some(until) => Stay::Until(until),
        None => Stay::Forever,
    }
}

/// When the pod came to its node.
fn arrival(pod: &Pod) -> Option<Timestamp> {
    let scheduled = pods::condition(pod, "PodScheduled").filter(|condition| condition.status == "True");
    let scheduled = scheduled.and_then(|condition| condition.last_transition_time.as_ref());
    scheduled.or(pod.metadata.creation_timestamp.as_ref()).map(|time| time.0)
}

/// How long it is until then; `None` if it is then or later.
pub(super) fn time_until(then: Timestamp, now: Timestamp) -> Option<Duration> {
    Duration::try_from(then.duration_since(now)).ok().filter(|left| !left.is_zero())
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{PodCondition, PodSpec, PodStatus, Toleration};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use proptest::prelude::*;

    use super::*;

    fn text(text: &str) -> Option<String> {
        Some(text.to_owned()).filter(|text| !text.is_empty())
    }

    fn taint(key: &str, value: &str, added: Option<i64>) -> Taint {
        let time_added = added.map(|second| Time(Timestamp::from_second(second).unwrap()));
        Taint { key: key.to_owned(), value: text(value), effect: "NoExecute".to_owned(), time_added }
    }

    fn toleration(key: &str, operator: &str, value: &str, seconds: Option<i64>) -> Toleration {
        Toleration {
            key: text(key),
            operator: text(operator),
            value: text(value),
            effect: None,
            toleration_seconds: seconds,
        }
    }

    fn pod(arrived: i64, tolerations: &[Toleration]) -> Pod {
        let scheduled = PodCondition {
            type_: "PodScheduled".to_owned(),
            status: "True".to_owned(),
            last_transition_time: Some(Time(Timestamp::from_second(arrived).unwrap())),
            ..PodCondition::default()
        };
        Pod {
            spec: Some(PodSpec { tolerations: Some(tolerations.to_vec()), ..PodSpec::default() }),
            status: Some(PodStatus { conditions: Some(vec![scheduled]), ..PodStatus::default() }),
            ..Pod::default()
        }
    }

    #[test]
    fn pods_stay_as_long_as_their_tolerations_say() {
        let check = |tolerations: &[Toleration], taints: &[Taint], expected: Stay| {
            let taints: Vec<&Taint> = taints.iter().collect();
            assert_eq!(stay(&pod(50, tolerations), &taints), expected, "{tolerations:?} of {taints:?}");
        };
        let until = |second| Stay::Until(Timestamp::from_second(second).unwrap());
        let (a, b) =
            (|seconds| toleration("a", "Exists", "", seconds), |seconds| toleration("b", "Exists", "", seconds));
        check(&[], &[], Stay::Forever);
        check(&[], &[taint("a", "", Some(100))], Stay::Over);
        check(&[a(None)], &[taint("a", "", Some(100))], Stay::Forever);
        check(&[a(None)], &[taint("a", "", Some(100)), taint("b", "", Some(100))], Stay::Over);
        check(&[a(Some(300))], &[taint("a", "", Some(100))], until(400));
        check(&[a(Some(300))], &[taint("a", "", Some(10))], until(350));
        check(&[a(Some(0))], &[taint("a", "", Some(100))], Stay::Over);
        check(&[a(Some(-5))], &[taint("a", "", None)], Stay::Over);
        check(&[a(Some(300)), a(Some(3))], &[taint("a", "", Some(100))], until(400));
        check(&[a(Some(300)), b(Some(30))], &[taint("a", "", Some(100)), taint("b", "", Some(200))], until(230));
        check(&[a(Some(300)), b(None)], &[taint("a", "", Some(100)), taint("b", "", Some(200))], until(400));
        check(&[a(Some(300))], &[taint("a", "", None)], Stay::Undated);
        check(&[a(Some(i64::MAX))], &[taint("a", "", Some(100))], Stay::Forever);
    }

    proptest! {
        #[test]
        fn another_taint_never_lets_a_pod_stay_longer(
            seconds in proptest::collection::vec(proptest::option::of(-2i64..1000), 1..5),
            added in 0i64..1000,
        ) {
            let tolerations: Vec<Toleration> =
                seconds.iter().enumerate().map(|(i, s)| toleration(&format!("k{i}"), "Exists", "", *s)).collect();
            let taints: Vec<Taint> = (0..seconds.len()).map(|i| taint(&format!("k{i}"), "", Some(added))).collect();
            let taints: Vec<&Taint> = taints.iter().collect();
            let rank = |stay: Stay| match stay {
                Stay::Over => i64::MIN,
                Stay::Until(at) => at.as_second(),
                Stay::Forever | Stay::Undated => i64::MAX,
            };
            let pod = pod(0, &tolerations);
            for n in 1..taints.len() {
                prop_assert!(rank(stay(&pod, &taints[..=n])) <= rank(stay(&pod, &taints[..n])));
            }
        }
    }
}
