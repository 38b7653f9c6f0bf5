//! Evicting a pod: the parts of the subresource `eviction` that need neither the store nor disruption budgets.

use api::field::{Error, ErrorList, Path};
use api::status::Status;
use k8s_openapi::api::core::v1::{Pod, PodCondition};
use k8s_openapi::api::policy::v1::Eviction;
use k8s_openapi::jiff::Timestamp;

use super::prepare;

/// Checks an eviction that was posted to the pod `name`, and says whether it is to be tried only: because the request says
/// so (`dry_run`), or the eviction's own delete options.
///
/// # Errors
/// `BadRequest` when the eviction names another pod, or its delete options state an unknown stage of dry run.
pub fn check(eviction: &Eviction, name: &str, dry_run: bool) -> Result<bool, Status> {
    if eviction.metadata.name.as_deref().unwrap_or_default() != name {
        return Err(Status::bad_request("name in URL does not match name in Eviction object"));
    }
    let stages = eviction.delete_options.as_ref().and_then(|options| options.dry_run.as_deref()).unwrap_or_default();
    let errors = validate_dry_run(stages);
    if !errors.is_empty() {
        return Err(Status::bad_request(errors.to_string()));
    }
    Ok(dry_run || !stages.is_empty())
}

/// Whether a pod may be evicted whatever the budgets say, since it does no work: it has ended, has not begun, or is on its
/// way out already (`canIgnorePDB`).
pub fn can_evict_without_budget(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default();
    matches!(phase, "Succeeded" | "Failed" | "Pending") || pod.metadata.deletion_timestamp.is_some()
}

/// Whether a pod that needs no budget could still come to need one, so that it may only go as it was seen: it has not begun
/// (`shouldEnforceResourceVersion`).
pub fn may_begin(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default();
    !matches!(phase, "Succeeded" | "Failed") && pod.metadata.deletion_timestamp.is_none()
}

/// Says in the pod's conditions why it is going to end. Says whether that changed anything.
pub fn mark_evicted(pod: &mut Pod, now: Timestamp) -> bool {
    let target = PodCondition {
        type_: "DisruptionTarget".to_owned(),
        status: "True".to_owned(),
        reason: Some("EvictionByEvictionAPI".to_owned()),
        message: Some("Eviction API: evicting".to_owned()),
        observed_generation: pod.metadata.generation,
        ..PodCondition::default()
    };
    prepare::set_condition(pod.status.get_or_insert_default(), target, now)
}

fn validate_dry_run(stages: &[String]) -> ErrorList {
    let unknown = stages.iter().any(|stage| stage != "All");
    let error = || Error::not_supported(&Path::new("dryRun"), stages, &["All"]);
    unknown.then(error).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn evictions_are_checked() {
        let checked = |eviction: Value, dry_run: bool| {
            let eviction = serde_json::from_value(eviction).unwrap();
            check(&eviction, "p", dry_run).map_err(|status| (status.code, status.message))
        };
        let named = json!({"metadata": {"name": "p"}});
        assert_eq!(checked(named.clone(), false), Ok(false));
        assert_eq!(checked(named, true), Ok(true));
        let trial = json!({"metadata": {"name": "p"}, "deleteOptions": {"dryRun": ["All"]}});
        assert_eq!(checked(trial, false), Ok(true));
        let unknown = json!({"metadata": {"name": "p"}, "deleteOptions": {"dryRun": ["Some"]}});
        let message = "dryRun: Unsupported value: [\"Some\"]: supported values: \"All\"";
        assert_eq!(checked(unknown, false), Err((400, message.to_owned())));
        let message = "name in URL does not match name in Eviction object";
        assert_eq!(checked(json!({"metadata": {"name": "q"}}), false), Err((400, message.to_owned())));
    }

    #[test]
    fn idle_pods_need_no_budget() {
        let check = |pod: Value, expected: bool, begins: bool| {
            let pod: Pod = serde_json::from_value(pod).unwrap();
            assert_eq!((can_evict_without_budget(&pod), may_begin(&pod)), (expected, begins), "{pod:?}");
        };
        check(json!({"metadata": {}, "status": {"phase": "Running"}}), false, true);
        check(json!({"metadata": {}, "status": {"phase": "Pending"}}), true, true);
        for phase in ["Succeeded", "Failed"] {
            check(json!({"metadata": {}, "status": {"phase": phase}}), true, false);
        }
        let going = json!({"deletionTimestamp": "2023-11-14T22:13:20Z"});
        check(json!({"metadata": going, "status": {"phase": "Running"}}), true, false);
    }

    #[test]
    fn the_reason_is_recorded_once() {
        let mut pod: Pod = serde_json::from_value(json!({"metadata": {"generation": 2}})).unwrap();
        let at = |second| Timestamp::from_second(second).unwrap();
        assert!(mark_evicted(&mut pod, at(0)));
        assert!(!mark_evicted(&mut pod, at(9)));
        let expected = json!([{
            "type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI",
            "message": "Eviction API: evicting", "observedGeneration": 2, "lastTransitionTime": "1970-01-01T00:00:00Z",
        }]);
        assert_eq!(serde_json::to_value(pod.status.unwrap().conditions).unwrap(), expected);
    }
}
