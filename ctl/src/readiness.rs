//! Whether an object is what was asked for, as its status says.

use serde_json::Value;

/// How far an object has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// It is what was asked for.
    Ready,
    /// Not yet, and why.
    Waiting(String),
    /// It will not be, and why.
    Failed(String),
}

impl Readiness {
    /// In a few words.
    pub(crate) fn words(&self) -> &str {
        match self {
            Readiness::Ready => "ready",
            Readiness::Waiting(why) | Readiness::Failed(why) => why,
        }
    }
}

/// How far an object of a kind has come; what has nothing to come to is ready.
pub(crate) fn of(group: &str, kind: &str, object: &Value) -> Readiness {
    match (group, kind) {
        ("apps", "DaemonSet") => observed(object, daemon_set),
        ("apps", "Deployment") => observed(object, deployment),
        ("apps", "StatefulSet") => observed(object, stateful_set),
        ("batch", "Job") => job(object),
        ("", "Pod") => pod(object),
        _ => Readiness::Ready,
    }
}

/// Whether objects of this kind come to something.
pub(crate) fn has_readiness(group: &str, kind: &str) -> bool {
    matches!((group, kind), ("apps", "DaemonSet" | "Deployment" | "StatefulSet") | ("batch", "Job") | ("", "Pod"))
}

fn waiting(why: impl Into<String>) -> Readiness {
    Readiness::Waiting(why.into())
}

fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or_default()
}

/// A status says something only of the generation that it was written for.
fn observed(object: &Value, of: fn(&Value, &Value) -> Readiness) -> Readiness {
    let (generation, status) = (number(&object["metadata"]["generation"]), &object["status"]);
    if number(&status["observedGeneration"]) < generation {
        return waiting("has not been seen by its controller");
    }
    of(&object["spec"], status)
}

fn deployment(spec: &Value, status: &Value) -> Readiness {
    let wanted = spec["replicas"].as_i64().unwrap_or(1);
    let (updated, available) = (number(&status["updatedReplicas"]), number(&status["availableReplicas"]));
    if let Some(condition) = condition(status, "Progressing")
        && condition["reason"] == "ProgressDeadlineExceeded"
    {
        return Readiness::Failed("exceeded its progress deadline".to_owned());
    }
    if updated < wanted {
        return waiting(format!("{updated} of {wanted} replicas are updated"));
    }
    let old = number(&status["replicas"]) - updated;
    if old > 0 {
        return waiting(format!("{old} old replicas are still there"));
    }
    if available < updated {
        return waiting(format!("{available} of {updated} replicas are available"));
    }
    Readiness::Ready
}

fn stateful_set(spec: &Value, status: &Value) -> Readiness {
    let wanted = spec["replicas"].as_i64().unwrap_or(1);
    let (updated, ready) = (number(&status["updatedReplicas"]), number(&status["readyReplicas"]));
    if ready < wanted {
        return waiting(format!("{ready} of {wanted} replicas are ready"));
    }
    let strategy = &spec["updateStrategy"];
    // Others are updated by whoever deletes their pods.
    if strategy["type"] == "OnDelete" {
        return Readiness::Ready;
    }
    let to_update = wanted - number(&strategy["rollingUpdate"]["partition"]);
    if updated < to_update {
        return waiting(format!("{updated} of {to_update} replicas are updated"));
    }
    Readiness::Ready
}

fn daemon_set(spec: &Value, status: &Value) -> Readiness {
    let (wanted, available) = (number(&status["desiredNumberScheduled"]), number(&status["numberAvailable"]));
    let updated = number(&status["updatedNumberScheduled"]);
    if spec["updateStrategy"]["type"] != "OnDelete" && updated < wanted {
        return waiting(format!("{updated} of {wanted} pods are updated"));
    }
    if available < wanted {
        return waiting(format!("{available} of {wanted} pods are available"));
    }
    Readiness::Ready
}

fn job(object: &Value) -> Readiness {
    let status = &object["status"];
    if condition(status, "Complete").is_some_and(|condition| condition["status"] == "True") {
        return Readiness::Ready;
    }
    if let Some(failed) = condition(status, "Failed").filter(|condition| condition["status"] == "True") {
        let message = failed["message"].as_str().filter(|message| !message.is_empty());
        return Readiness::Failed(format!("failed: {}", message.unwrap_or("it does not say why")));
    }
    // What is suspended does not come to anything until somebody lets it.
    if object["spec"]["suspend"] == true {
        return Readiness::Ready;
    }
    let wanted = object["spec"]["completions"].as_i64().unwrap_or(1);
    waiting(format!("{} of {wanted} pods have succeeded", number(&status["succeeded"])))
}

fn pod(object: &Value) -> Readiness {
    let status = &object["status"];
    match status["phase"].as_str() {
        Some("Succeeded") => return Readiness::Ready,
        Some("Failed") => {
            let why = ["message", "reason"].iter().find_map(|field| status[*field].as_str());
            return Readiness::Failed(format!("failed: {}", why.unwrap_or("a container ended with an error")));
        }
        _ => {}
    }
    if condition(status, "Ready").is_some_and(|condition| condition["status"] == "True") {
        return Readiness::Ready;
    }
    let not_scheduled = condition(status, "PodScheduled").filter(|condition| condition["status"] == "False");
    if let Some(message) = not_scheduled.and_then(|condition| condition["message"].as_str()) {
        return waiting(format!("waits for a node: {message}"));
    }
    let containers = ["initContainerStatuses", "containerStatuses"];
    let mut containers = containers.iter().flat_map(|list| status[*list].as_array().into_iter().flatten());
    let reason = containers.find_map(|container| container["state"]["waiting"]["reason"].as_str());
    waiting(match reason {
        Some(reason) => format!("not ready: {reason}"),
        None => "not ready".to_owned(),
    })
}

fn condition<'a>(status: &'a Value, kind: &str) -> Option<&'a Value> {
    status["conditions"].as_array()?.iter().find(|condition| condition["type"] == kind)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(group: &str, kind: &str, object: &Value, expected: &str) {
        let found = match of(group, kind, object) {
            Readiness::Ready => "ready".to_owned(),
            Readiness::Waiting(why) => format!("waiting: {why}"),
            Readiness::Failed(why) => format!("failed: {why}"),
        };
        assert_eq!(found, expected, "{kind} {object}");
    }

    #[test]
    fn deployments_are_ready_when_all_of_the_new_ones_are_available() {
        let check = |status: Value, expected: &str| {
            let object = json!({"metadata": {"generation": 2}, "spec": {"replicas": 2}, "status": status});
            check("apps", "Deployment", &object, expected);
        };
        check(json!({}), "waiting: has not been seen by its controller");
        check(
            json!({"observedGeneration": 1, "updatedReplicas": 2, "availableReplicas": 2}),
            "waiting: has not been seen by its controller",
        );
        check(json!({"observedGeneration": 2, "updatedReplicas": 1}), "waiting: 1 of 2 replicas are updated");
        check(
            json!({"observedGeneration": 2, "updatedReplicas": 2, "replicas": 3}),
            "waiting: 1 old replicas are still there",
        );
        check(
            json!({"observedGeneration": 2, "updatedReplicas": 2, "replicas": 2, "availableReplicas": 1}),
            "waiting: 1 of 2 replicas are available",
        );
        check(json!({"observedGeneration": 2, "updatedReplicas": 2, "replicas": 2, "availableReplicas": 2}), "ready");
        let late = json!([{"type": "Progressing", "reason": "ProgressDeadlineExceeded"}]);
        check(json!({"observedGeneration": 2, "conditions": late}), "failed: exceeded its progress deadline");
    }

    #[test]
    fn sets_are_ready_when_their_pods_are() {
        let check = |kind: &str, spec: Value, status: Value, expected: &str| {
            check("apps", kind, &json!({"spec": spec, "status": status}), expected);
        };
        let rolling = json!({"replicas": 3, "updateStrategy": {"rollingUpdate": {"partition": 2}}});
        check("StatefulSet", rolling.clone(), json!({"readyReplicas": 2}), "waiting: 2 of 3 replicas are ready");
        check("StatefulSet", rolling.clone(), json!({"readyReplicas": 3}), "waiting: 0 of 1 replicas are updated");
        check("StatefulSet", rolling, json!({"readyReplicas": 3, "updatedReplicas": 1}), "ready");
        let by_hand = json!({"updateStrategy": {"type": "OnDelete"}});
        check("StatefulSet", by_hand.clone(), json!({"readyReplicas": 1}), "ready");
        check(
            "DaemonSet",
            json!({}),
            json!({"desiredNumberScheduled": 2, "numberAvailable": 2}),
            "waiting: 0 of 2 pods are updated",
        );
        check(
            "DaemonSet",
            by_hand,
            json!({"desiredNumberScheduled": 2, "numberAvailable": 1}),
            "waiting: 1 of 2 pods are available",
        );
        check("DaemonSet", json!({}), json!({}), "ready");
    }

    #[test]
    fn jobs_and_pods_can_fail() {
        let condition = |kind: &str| json!({"conditions": [{"type": kind, "status": "True", "message": "too often"}]});
        check("batch", "Job", &json!({"spec": {"completions": 3}}), "waiting: 0 of 3 pods have succeeded");
        check("batch", "Job", &json!({"status": condition("Complete")}), "ready");
        check("batch", "Job", &json!({"status": condition("Failed")}), "failed: failed: too often");
        check("", "Pod", &json!({"status": condition("Ready")}), "ready");
        check("", "Pod", &json!({"status": {"phase": "Succeeded"}}), "ready");
        check("", "Pod", &json!({"status": {"phase": "Failed", "reason": "Evicted"}}), "failed: failed: Evicted");
        let pulling = json!({"containerStatuses": [{"state": {"waiting": {"reason": "ErrImagePull"}}}]});
        check("", "Pod", &json!({"status": pulling}), "waiting: not ready: ErrImagePull");
        let nowhere = json!({"conditions": [{"type": "PodScheduled", "status": "False", "message": "no node"}]});
        check("", "Pod", &json!({"status": nowhere}), "waiting: waits for a node: no node");
        check("", "ConfigMap", &json!({}), "ready");
    }
}
