//! Why what makes pods does not get on.

use serde_json::Value;

use super::facts::{Explanation, Facts, condition_line, one_line};
use super::pod;
use crate::commands::describe::page::{list, shown};
use crate::commands::describe::workloads::{generations, is_controlled};

/// For a Deployment.
pub(super) fn deployment(facts: &Facts) -> Explanation {
    let (title, object) = (facts.title(), &facts.object);
    if let Some(explanation) = unseen(facts) {
        return explanation;
    }
    let (_, new) = generations(object, facts.all("replicasets"));
    let progressing = facts.condition("Progressing").filter(|condition| condition["status"] == "False");
    if object["spec"]["paused"] == true {
        return Explanation::new(format!("{title} is paused, so that changes of it are not rolled out."))
            .then(format!("gantry rollout resume {title}"));
    }
    if let Some(failure) = facts.condition("ReplicaFailure").filter(|condition| condition["status"] == "True") {
        return refused(facts, &shown(&failure["message"])).because([condition_line(failure)]);
    }
    let Some(set) = new.first() else {
        return Explanation::new(format!("{title} has no ReplicaSet yet, which the controller manager is to make."))
            .because(progressing.map(condition_line))
            .because(facts.event_line(&[]))
            .then("see whether the controller manager runs");
    };
    let explanation = pods(facts, &facts.of("ReplicaSet", set), "available");
    explanation.because(progressing.map(condition_line))
}

/// For a ReplicaSet, a StatefulSet, a DaemonSet or a ReplicationController.
pub(super) fn set(facts: &Facts) -> Explanation {
    if let Some(explanation) = unseen(facts) {
        return explanation;
    }
    if let Some(failure) = facts.condition("ReplicaFailure").filter(|condition| condition["status"] == "True") {
        return refused(facts, &shown(&failure["message"])).because([condition_line(failure)]);
    }
    pods(facts, facts, "ready")
}

/// A controller that does not run has not seen what was last wanted.
fn unseen(facts: &Facts) -> Option<Explanation> {
    let wanted = facts.object["metadata"]["generation"].as_i64()?;
    let seen = facts.object["status"]["observedGeneration"].as_i64().unwrap_or(0);
    (seen < wanted).then(|| {
        Explanation::new(format!("{} was changed, and no controller has seen it yet.", facts.title()))
            .because([format!("metadata.generation: {wanted}, status.observedGeneration: {seen}")])
            .then("see whether the controller manager runs")
    })
}

/// Pods that the server does not let be made.
fn refused(facts: &Facts, message: &str) -> Explanation {
    let (title, message) = (facts.title(), one_line(message));
    if message.contains("exceeded quota") {
        let quota = message.split("exceeded quota: ").nth(1).and_then(|rest| rest.split(',').next()).unwrap_or("");
        return Explanation::new(format!(
            "{title} cannot make its pods because the quota {quota} is used up: {message}."
        ))
        .then(format!("gantry describe quota {quota}"))
        .then("raise the quota, request less, or remove what is not needed");
    }
    Explanation::new(format!("{title} cannot make its pods because the server refuses them: {message}."))
        .then(format!("correct the pod template of {title}, or whoever refuses it"))
}

/// What of the pods of `owner` keeps `facts` from being what it is to be.
fn pods(facts: &Facts, owner: &Facts, good: &str) -> Explanation {
    let title = facts.title();
    let wanted = owner.object["spec"]["replicas"].as_i64();
    let wanted = wanted.or(owner.object["status"]["desiredNumberScheduled"].as_i64()).unwrap_or(1);
    let own: Vec<&Value> = facts.all("pods").iter().filter(|pod| is_controlled(pod, &owner.object)).collect();
    if let Some(event) = owner.events(&["FailedCreate"]).first().filter(|_| (own.len() as i64) < wanted) {
        let message = shown(&event["message"]);
        let message = message.split_once(": ").map_or(message.as_str(), |(_, rest)| rest);
        return refused(facts, message).because([owner.line(event)]);
    }
    if wanted == 0 {
        return Explanation::new(format!("{title} is to have no pods, and has none."))
            .then(format!("if it is to have some: gantry scale {title} --replicas=1"));
    }
    let is_bad = |pod: &&&Value| {
        let is_ready = |condition: &Value| condition["type"] == "Ready" && condition["status"] == "True";
        !list(&pod["status"]["conditions"]).iter().any(is_ready) && pod["status"]["phase"] != "Succeeded"
    };
    let bad: Vec<&Value> = own.iter().filter(is_bad).copied().collect();
    let counts = format!("pods: {wanted} wanted, {} there, {} ready", own.len(), own.len() - bad.len());
    let Some(first) = bad.first() else {
        if (own.len() as i64) < wanted {
            return Explanation::new(format!("{title} has {} of its {wanted} pods, and no event says why.", own.len()))
                .because([counts])
                .then("see whether the controller manager runs");
        }
        return Explanation::new(format!("{title} has all its {wanted} pods ready: nothing is wrong with it."));
    };
    let of_pod = pod::why(&facts.of("Pod", first));
    let others =
        if bad.len() > 1 { format!(" (and {} more pods are not ready)", bad.len() - 1) } else { String::new() };
    let cause = of_pod.cause.trim_end_matches('.');
    Explanation { cause: format!("{title} is not {good} because {cause}{others}."), ..of_pod }.because([counts])
}

/// For a Job.
pub(super) fn job(facts: &Facts) -> Explanation {
    let (title, object) = (facts.title(), &facts.object);
    let condition = |name: &str| facts.condition(name).filter(|condition| condition["status"] == "True");
    if condition("Complete").is_some() {
        return Explanation::new(format!("{title} is complete: nothing is wrong with it."));
    }
    let own: Vec<&Value> = facts.all("pods").iter().filter(|pod| is_controlled(pod, object)).collect();
    let broken = own.iter().find(|pod| pod["status"]["phase"] == "Failed");
    if let Some(failed) = condition("Failed").or_else(|| condition("FailureTarget")) {
        let reason = match failed["reason"].as_str() {
            Some("BackoffLimitExceeded") => "its pods failed more often than its backoffLimit allows".to_owned(),
            Some("DeadlineExceeded") => "it took longer than its activeDeadlineSeconds".to_owned(),
            Some("PodFailurePolicy") => "its podFailurePolicy says so".to_owned(),
            _ => one_line(&shown(&failed["message"])),
        };
        let of_pod = broken.map(|pod| pod::why(&facts.of("Pod", pod))).unwrap_or_default();
        let detail = if of_pod.cause.is_empty() { ".".to_owned() } else { format!("; {}", of_pod.cause) };
        return Explanation { cause: format!("{title} failed because {reason}{detail}"), ..of_pod }
            .because([condition_line(failed)]);
    }
    if object["spec"]["suspend"] == true {
        return Explanation::new(format!("{title} is suspended."))
            .because(condition("Suspended").map(condition_line))
            .then(format!("gantry patch {title} -p '{{\"spec\":{{\"suspend\":false}}}}'"));
    }
    let is_open = |pod: &&&Value| {
        let is_ready = |condition: &Value| condition["type"] == "Ready" && condition["status"] == "True";
        !list(&pod["status"]["conditions"]).iter().any(is_ready) && pod["status"]["phase"] != "Succeeded"
    };
    if let Some(pod) = own.iter().find(is_open) {
        let of_pod = pod::why(&facts.of("Pod", pod));
        let cause = of_pod.cause.clone();
        return Explanation { cause: format!("{title} does not get on: {cause}"), ..of_pod };
    }
    if own.is_empty() {
        return match facts.events(&["FailedCreate"]).first() {
            Some(event) => refused(facts, &shown(&event["message"])).because([facts.line(event)]),
            None => Explanation::new(format!("{title} has no pods yet, which the controller manager is to make."))
                .then("see whether the controller manager runs"),
        };
    }
    Explanation::new(format!("{title} is at work: nothing is wrong with it."))
}
