//! Why a pod is not running, or not ready.

use serde_json::Value;

use super::facts::{Explanation, Facts, condition_line, one_line, quoted_after};
use super::scheduling;
use crate::commands::describe::page::{list, moment, shown, texts};

/// For a pod.
pub(super) fn why(facts: &Facts) -> Explanation {
    let (meta, spec, status) = (&facts.object["metadata"], &facts.object["spec"], &facts.object["status"]);
    if !meta["deletionTimestamp"].is_null() {
        return terminating(facts);
    }
    match status["phase"].as_str() {
        Some("Succeeded") => return Explanation::new(format!("{} has done its work and ended well.", facts.title())),
        Some("Failed") => return failed(facts),
        _ => {}
    }
    if shown(&spec["nodeName"]).is_empty() {
        return scheduling::why(facts);
    }
    let statuses = || ["initContainerStatuses", "containerStatuses"].into_iter().flat_map(|field| list(&status[field]));
    if let Some(explanation) = node(facts) {
        return explanation;
    }
    if let Some(explanation) = statuses().find_map(|container| of_container(facts, container)) {
        return explanation;
    }
    if let Some(explanation) = preparing(facts) {
        return explanation;
    }
    if facts.condition("Ready").is_some_and(|condition| condition["status"] == "True") {
        let restarts: i64 = statuses().filter_map(|container| container["restartCount"].as_i64()).sum();
        if restarts == 0 {
            return Explanation::new(format!("{} is running and ready: nothing is wrong with it.", facts.title()));
        }
        let lasts = statuses().filter_map(|container| end_line(container, &container["lastState"]["terminated"]));
        return Explanation::new(format!(
            "{} is running and ready now; it was restarted {restarts} times.",
            facts.title()
        ))
        .because(lasts)
        .then(format!("gantry logs {} --previous", facts.name()));
    }
    unready(facts)
}

fn terminating(facts: &Facts) -> Explanation {
    let (meta, title) = (&facts.object["metadata"], facts.title());
    let since = facts.clock.since(&meta["deletionTimestamp"]);
    let deleted = format!("metadata.deletionTimestamp: {} ({since} ago)", shown(&meta["deletionTimestamp"]));
    let is_due = moment(&meta["deletionTimestamp"]).is_some_and(|due| due > facts.clock.now);
    if is_due {
        let grace = meta["deletionGracePeriodSeconds"].as_i64().unwrap_or(0);
        return Explanation::new(format!("{title} is ending as it was asked to, and has {grace}s for it."))
            .because([format!("metadata.deletionTimestamp: {}", shown(&meta["deletionTimestamp"]))]);
    }
    let name = shown(&facts.object["spec"]["nodeName"]);
    let node = facts.find("nodes", &name);
    let ended = ["Succeeded", "Failed"].iter().any(|phase| facts.object["status"]["phase"] == *phase);
    let force = format!("if the node never comes back: gantry delete pod {} --force --grace-period=0", facts.name());
    if !name.is_empty() && !ended {
        if node.is_none() && facts.knows("nodes") {
            return Explanation::new(format!("{title} cannot end because its node {name} is gone."))
                .because([deleted, format!("spec.nodeName: {name}, which is no node")])
                .then(force);
        }
        let ready = node.and_then(ready_condition).filter(|condition| condition["status"] != "True");
        if let Some(condition) = ready {
            return Explanation::new(format!("{title} cannot end because its node {name} does not answer."))
                .because([deleted, format!("node/{name}: {}", condition_line(condition))])
                .then(format!("gantry why node/{name}"))
                .then(force);
        }
    }
    let finalizers = texts(&meta["finalizers"]).join(", ");
    if !finalizers.is_empty() {
        return Explanation::new(format!("{title} is deleted but kept by its finalizers: {finalizers}."))
            .because([deleted])
            .then(format!("let whoever set {finalizers} finish, or take it off if nobody will"));
    }
    Explanation::new(format!("{title} should have ended, but its node has not said that its containers are gone."))
        .because([deleted].into_iter().chain(facts.event_line(&["FailedKillPod", "FailedPreStopHook", "Killing"])))
        .then(format!("see the agent's log on node {name}"))
}

fn ready_condition(node: &Value) -> Option<&Value> {
    list(&node["status"]["conditions"]).iter().find(|condition| condition["type"] == "Ready")
}

/// A node that does not answer says nothing true of its pods.
fn node(facts: &Facts) -> Option<Explanation> {
    let name = shown(&facts.object["spec"]["nodeName"]);
    let title = facts.title();
    let Some(node) = facts.find("nodes", &name) else {
        return facts.knows("nodes").then(|| {
            Explanation::new(format!("{title} is on node {name}, which is gone."))
                .because([format!("spec.nodeName: {name}, which is no node")])
                .then(format!("delete the pod, so that another can be made: gantry delete pod {}", facts.name()))
        });
    };
    let condition = ready_condition(node).filter(|condition| condition["status"] != "True")?;
    Some(
        Explanation::new(format!("{title} is on node {name}, which is not ready."))
            .because([format!("node/{name}: {}", condition_line(condition))])
            .then(format!("gantry why node/{name}")),
    )
}

fn failed(facts: &Facts) -> Explanation {
    let status = &facts.object["status"];
    let ends = list(&status["containerStatuses"]).iter().chain(list(&status["initContainerStatuses"]));
    let ends: Vec<&Value> =
        ends.filter(|container| container["state"]["terminated"]["exitCode"].as_i64().unwrap_or(0) != 0).collect();
    let reason = shown(&status["reason"]);
    if !reason.is_empty() {
        let message = one_line(&shown(&status["message"]));
        return Explanation::new(format!("{} failed: {reason}.", facts.title()))
            .because([format!("status.reason: {reason}"), format!("status.message: {message}")])
            .because(ends.iter().filter_map(|container| end_line(container, &container["state"]["terminated"])));
    }
    match ends.first() {
        Some(container) => crash(facts, container, &container["state"]["terminated"], "failed because"),
        None => {
            Explanation::new(format!("{} failed, and does not say why.", facts.title())).because(facts.event_line(&[]))
        }
    }
}

/// What a container's status says, if it is the reason.
fn of_container(facts: &Facts, container: &Value) -> Option<Explanation> {
    let (name, state) = (shown(&container["name"]), &container["state"]);
    let (reason, message) = (shown(&state["waiting"]["reason"]), one_line(&shown(&state["waiting"]["message"])));
    let evidence = format!("container {name}: waiting ({reason}): {message}");
    let title = facts.title();
    match reason.as_str() {
        "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull" | "ImageInspectError" => {
            Some(image(facts, container, &reason).because([evidence]).because(facts.event_line(&["Failed"])))
        }
        "CreateContainerConfigError" => Some(
            missing(facts, &message)
                .unwrap_or_else(|| {
                    Explanation::new(format!(
                        "{title} cannot start: container {name} is configured wrongly: {message}."
                    ))
                })
                .because([evidence]),
        ),
        "CreateContainerError" | "RunContainerError" | "StartError" | "PostStartHookError" => Some(
            Explanation::new(format!("{title} cannot start its container {name}: {message}."))
                .because([evidence])
                .because(facts.event_line(&["Failed", "FailedPostStartHook"]))
                .then("correct the command, the mounts or the security context of the container"),
        ),
        "CrashLoopBackOff" => {
            let last = &container["lastState"]["terminated"];
            Some(crash(facts, container, last, "crashes again and again:").because([evidence]))
        }
        _ => {
            let ended = &state["terminated"];
            let has_failed = ended["exitCode"].as_i64().unwrap_or(0) != 0;
            has_failed.then(|| crash(facts, container, ended, "has a container that ended:"))
        }
    }
}

fn image(facts: &Facts, container: &Value, reason: &str) -> Explanation {
    let (title, image) = (facts.title(), shown(&container["image"]));
    let mut said = shown(&container["state"]["waiting"]["message"]);
    for event in facts.events(&["Failed"]) {
        said.push_str(&shown(&event["message"]));
    }
    let said = said.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
    let (why, next) = if reason == "InvalidImageName" {
        ("its name is none", "correct the image's name".to_owned())
    } else if reason == "ErrImageNeverPull" {
        ("it is not on the node, and must not be pulled", "load it onto the node, or change imagePullPolicy".to_owned())
    } else if has(&["unauthorized", "denied", "forbidden", "401", "403"]) {
        ("the registry does not let us have it", "see the image's name, and the pod's imagePullSecrets".to_owned())
    } else if has(&["not found", "manifest unknown", "404"]) {
        ("the registry does not have it", format!("see whether {image} exists: the name, and the tag"))
    } else if has(&["no such host", "lookup", "timeout", "refused", "unreachable", "dns"]) {
        (
            "the registry cannot be reached",
            "see whether the node reaches the registry, and the registry's name".to_owned(),
        )
    } else {
        ("pulling it fails", format!("gantry describe pod {}", facts.name()))
    };
    Explanation::new(format!("{title} cannot start because its image {image} is not to be had: {why}.")).then(next)
}

/// A ConfigMap or Secret that is not there.
fn missing(facts: &Facts, message: &str) -> Option<Explanation> {
    let lower = message.to_lowercase();
    for (word, kind) in [("configmap", "ConfigMap"), ("secret", "Secret")] {
        let Some(at) = lower.find(word) else { continue };
        if let Some(name) = quoted_after(&message[at..], &message[at..at + word.len()]) {
            if !lower.contains("not found") {
                continue;
            }
            let command = kind.to_lowercase();
            return Some(
                Explanation::new(format!("{} cannot start because its {kind} {name:?} is not there.", facts.title()))
                    .then(format!("gantry create {command} {name} ..., or correct the name in the pod")),
            );
        }
        // `couldn't find key x in ConfigMap ns/name`.
        if let Some((_, rest)) = message.split_once("find key ") {
            let key = rest.split_whitespace().next().unwrap_or_default();
            let of = rest.rsplit('/').next().unwrap_or_default();
            return Some(
                Explanation::new(format!(
                    "{} cannot start because its {kind} {of:?} has no key {key:?}.",
                    facts.title()
                ))
                .then(format!("gantry describe {} {of}", kind.to_lowercase())),
            );
        }
    }
    None
}

/// How a container ended, in a line.
fn end_line(container: &Value, end: &Value) -> Option<String> {
    let code = end["exitCode"].as_i64()?;
    let (name, reason) = (shown(&container["name"]), shown(&end["reason"]));
    let restarts = container["restartCount"].as_i64().unwrap_or(0);
    Some(format!("container {name}: exit code {code} ({reason}) at {}, {restarts} restarts", shown(&end["finishedAt"])))
}

fn crash(facts: &Facts, container: &Value, end: &Value, verb: &str) -> Explanation {
    let (title, name) = (facts.title(), shown(&container["name"]));
    let code = end["exitCode"].as_i64().unwrap_or(0);
    let of_pod = list(&facts.object["spec"]["containers"]).iter().chain(list(&facts.object["spec"]["initContainers"]));
    let spec = of_pod.into_iter().find(|spec| spec["name"] == container["name"]);
    let limit = spec.map(|spec| shown(&spec["resources"]["limits"]["memory"])).unwrap_or_default();
    let killing = facts.events(&["Killing", "Unhealthy"]);
    let by_probe = killing.iter().find(|event| shown(&event["message"]).to_lowercase().contains("liveness probe"));
    let (why, next) = if end["reason"] == "OOMKilled" {
        let limit = if limit.is_empty() { String::new() } else { format!(" (its limit is {limit})") };
        (format!("it ran out of memory{limit}"), "raise limits.memory, or have the program use less".to_owned())
    } else if let Some(event) = by_probe.filter(|_| matches!(code, 0 | 137 | 143)) {
        (
            format!("its liveness probe fails, so that it is killed ({})", one_line(&shown(&event["message"]))),
            "correct the probe, give it more time, or add a startupProbe".to_owned(),
        )
    } else {
        let why = match code {
            0 => "it ends by itself, with exit code 0, though it is to go on".to_owned(),
            126 => "its command cannot be run (exit code 126)".to_owned(),
            127 => "its command is not in the image (exit code 127)".to_owned(),
            137 => "it was killed (exit code 137)".to_owned(),
            139 => "it crashed with a bad memory access (exit code 139)".to_owned(),
            code => format!("it ends with exit code {code}"),
        };
        (why, format!("gantry logs {} -c {name} --previous", facts.name()))
    };
    let message = shown(&end["message"]);
    let last = message.lines().rev().find(|line| !line.trim().is_empty());
    let last = last.map(str::to_owned).or_else(|| facts.last_lines.get(&name).cloned());
    Explanation::new(format!("{title} {verb} container {name}: {why}."))
        .because(end_line(container, end))
        .because(last.map(|line| format!("last line of {name}: {}", line.trim())))
        .because(by_probe.map(|event| facts.line(event)))
        .then(next)
}

/// What keeps a pod's containers from being started.
fn preparing(facts: &Facts) -> Option<Explanation> {
    let status = &facts.object["status"];
    let has_started =
        list(&status["containerStatuses"]).iter().any(|container| container["state"]["waiting"].is_null());
    if has_started && !list(&status["containerStatuses"]).is_empty() {
        return None;
    }
    let event = facts.events(&["FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox", "FailedMapVolume"]);
    let event = *event.first()?;
    let message = one_line(&shown(&event["message"]));
    let explained = missing(facts, &message).unwrap_or_else(|| {
        let what = if event["reason"] == "FailedCreatePodSandBox" { "its network or sandbox" } else { "a volume" };
        Explanation::new(format!("{} cannot start because {what} cannot be made ready: {message}.", facts.title()))
            .then(format!("gantry describe pod {}", facts.name()))
    });
    Some(explained.because([facts.line(event)]))
}

fn unready(facts: &Facts) -> Explanation {
    let (title, status) = (facts.title(), &facts.object["status"]);
    let conditions = || facts.condition("ContainersReady").or_else(|| facts.condition("Ready")).map(condition_line);
    let is_unready = |container: &&Value| container["ready"] != true && !container["state"]["running"].is_null();
    if let Some(container) = list(&status["containerStatuses"]).iter().find(is_unready) {
        let name = shown(&container["name"]);
        let probe = facts.events(&["Unhealthy", "ProbeWarning"]);
        let said = probe.first().map(|event| one_line(&shown(&event["message"])));
        let which = if container["started"] == false { "startup" } else { "readiness" };
        let cause = match &said {
            Some(said) => format!("{title} is not ready because container {name} fails its {which} probe: {said}."),
            None => format!("{title} is not ready: container {name} has not passed its {which} probe yet."),
        };
        return Explanation::new(cause)
            .because(conditions())
            .because(probe.first().map(|event| facts.line(event)))
            .then(format!("gantry logs {} -c {name}, and see the {which} probe of the container", facts.name()));
    }
    for gate in list(&facts.object["spec"]["readinessGates"]) {
        let name = shown(&gate["conditionType"]);
        let condition = facts.condition(&name);
        if condition.is_none_or(|condition| condition["status"] != "True") {
            let said = condition.map_or_else(|| format!("condition {name}: <none>"), condition_line);
            return Explanation::new(format!("{title} is not ready because its readiness gate {name} is not open."))
                .because([said])
                .then(format!("let whoever sets the condition {name} set it to True"));
        }
    }
    if list(&status["containerStatuses"]).is_empty() {
        let node = shown(&facts.object["spec"]["nodeName"]);
        return Explanation::new(format!("{title} has a node, {node}, whose agent has not started it yet."))
            .because(facts.event_line(&[]))
            .then(format!("gantry why node/{node}"));
    }
    let waiting = list(&status["initContainerStatuses"]).iter().chain(list(&status["containerStatuses"]));
    let waiting = waiting.filter(|container| container["ready"] != true).map(|container| {
        let reason = shown(&container["state"]["waiting"]["reason"]);
        let state = if reason.is_empty() { "running".to_owned() } else { format!("waiting ({reason})") };
        format!("container {}: {state}", shown(&container["name"]))
    });
    Explanation::new(format!("{title} is being started: not all of its containers run yet."))
        .because(waiting)
        .because(facts.event_line(&[]))
}
