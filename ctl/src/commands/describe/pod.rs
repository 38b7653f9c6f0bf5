//! Pods, and templates of pods.

use k8s_openapi::api::core::v1::Pod;
use serde_json::Value;

use super::Subject;
use super::page::{Page, list, selector, shown};
use super::{containers, volumes};

/// A pod.
pub(super) fn describe(page: &mut Page, subject: &Subject) {
    let pod = &subject.object;
    let (spec, status) = (&pod["spec"], &pod["status"]);
    page.head(pod);
    page.field_if(0, "Priority", &spec["priority"]);
    page.field_if(0, "Priority Class Name", &spec["priorityClassName"]);
    page.field_if(0, "Runtime Class Name", &spec["runtimeClassName"]);
    page.field_if(0, "Service Account", &spec["serviceAccountName"]);
    let node = shown(&spec["nodeName"]);
    let node = if node.is_empty() { "<none>".to_owned() } else { format!("{node}/{}", shown(&status["hostIP"])) };
    page.field(0, "Node", &node);
    if !status["startTime"].is_null() {
        let started = page.clock.time(&status["startTime"]);
        page.field(0, "Start Time", &started);
    }
    page.notes(pod);
    phase(page, pod);
    page.field_if(0, "Reason", &status["reason"]);
    page.field_if(0, "Message", &status["message"]);
    let profile = &spec["securityContext"]["seccompProfile"];
    if !profile.is_null() {
        page.field(0, "SeccompProfile", &shown(&profile["type"]));
        if profile["type"] == "Localhost" {
            page.field(0, "LocalhostProfile", &shown(&profile["localhostProfile"]));
        }
    }
    addresses(page, status);
    page.controller(pod);
    page.field_if(0, "NominatedNodeName", &status["nominatedNodeName"]);
    if !spec["resources"].is_null() {
        page.line(0, "Resources:");
        containers::resources(page, 1, &spec["resources"]);
    }
    for (title, field, statuses) in [
        ("Init Containers", "initContainers", "initContainerStatuses"),
        ("Containers", "containers", "containerStatuses"),
        ("Ephemeral Containers", "ephemeralContainers", "ephemeralContainerStatuses"),
    ] {
        if field == "containers" || !list(&spec[field]).is_empty() {
            containers::describe(page, title, list(&spec[field]), Some(pod), &status[statuses]);
        }
    }
    gates(page, pod);
    volumes::describe(page, list(&spec["volumes"]), false);
    page.field(0, "QoS Class", &quality(pod));
    page.labels("Node-Selectors", &spec["nodeSelector"]);
    page.many("Tolerations", &tolerations(&spec["tolerations"]));
    spread(page, &spec["topologySpreadConstraints"], "");
    page.events(subject.events.as_deref());
}

/// A template, of which nothing runs.
pub(super) fn template(page: &mut Page, template: &Value) {
    page.line(0, "Pod Template:");
    let (meta, spec) = (&template["metadata"], &template["spec"]);
    page.labels("  Labels", &meta["labels"]);
    if meta["annotations"].as_object().is_some_and(|annotations| !annotations.is_empty()) {
        page.annotations("  Annotations", &meta["annotations"]);
    }
    page.field_if(1, "Service Account", &spec["serviceAccountName"]);
    for (title, field) in [("Init Containers", "initContainers"), ("Containers", "containers")] {
        if field == "containers" || !list(&spec[field]).is_empty() {
            containers::describe(page, title, list(&spec[field]), None, &Value::Null);
        }
    }
    volumes::describe(page, list(&spec["volumes"]), true);
    spread(page, &spec["topologySpreadConstraints"], "  ");
    page.field_if(1, "Priority Class Name", &spec["priorityClassName"]);
    page.labels("  Node-Selectors", &spec["nodeSelector"]);
    page.many("  Tolerations", &tolerations(&spec["tolerations"]));
}

fn phase(page: &mut Page, pod: &Value) {
    let (meta, phase) = (&pod["metadata"], &pod["status"]["phase"]);
    if meta["deletionTimestamp"].is_null() || phase == "Failed" || phase == "Succeeded" {
        return page.field(0, "Status", &shown(phase));
    }
    let since = page.clock.since(&meta["deletionTimestamp"]);
    page.field(0, "Status", &format!("Terminating (lasts {since})"));
    let grace = meta["deletionGracePeriodSeconds"].as_i64().unwrap_or(0);
    page.field(0, "Termination Grace Period", &format!("{grace}s"));
}

fn addresses(page: &mut Page, status: &Value) {
    page.field(0, "IP", &shown(&status["podIP"]));
    let addresses = list(&status["podIPs"]);
    if addresses.is_empty() {
        return page.field(0, "IPs", "<none>");
    }
    page.line(0, "IPs:");
    for address in addresses {
        page.field(1, "IP", &shown(&address["ip"]));
    }
}

fn gates(page: &mut Page, pod: &Value) {
    let conditions = list(&pod["status"]["conditions"]);
    let gates = list(&pod["spec"]["readinessGates"]);
    if !gates.is_empty() {
        page.put("Readiness Gates:\n  Type\tStatus\n");
    }
    for gate in gates {
        let name = &gate["conditionType"];
        let status = conditions.iter().find(|condition| condition["type"] == *name);
        let status = status.map_or_else(|| "<none>".to_owned(), |condition| shown(&condition["status"]));
        page.line(1, &format!("{} \t{status} ", shown(name)));
    }
    if !conditions.is_empty() {
        page.put("Conditions:\n  Type\tStatus\n");
    }
    for condition in conditions {
        page.line(1, &format!("{} \t{} ", shown(&condition["type"]), shown(&condition["status"])));
    }
}

/// The class of its quality of service, which every server of these days says.
fn quality(pod: &Value) -> String {
    let said = shown(&pod["status"]["qosClass"]);
    if !said.is_empty() {
        return said;
    }
    serde_json::from_value::<Pod>(pod.clone()).map(|pod| api::pod_resources::qos::class_of(&pod)).unwrap_or_default()
}

fn tolerations(tolerations: &Value) -> Vec<String> {
    let mut tolerations: Vec<&Value> = list(tolerations).iter().collect();
    tolerations.sort_by_key(|toleration| shown(&toleration["key"]));
    tolerations.into_iter().map(toleration).collect()
}

fn toleration(toleration: &Value) -> String {
    let of = |field: &str| shown(&toleration[field]);
    let (mut text, value, effect) = (of("key"), of("value"), of("effect"));
    if !value.is_empty() {
        text.push_str(&format!("={value}"));
    }
    if !effect.is_empty() {
        text.push_str(&format!(":{effect}"));
    }
    if of("operator") == "Exists" && value.is_empty() {
        text.push_str(if text.is_empty() { "op=Exists" } else { " op=Exists" });
    }
    if let Some(seconds) = toleration["tolerationSeconds"].as_i64() {
        text.push_str(&format!(" for {seconds}s"));
    }
    text
}

fn spread(page: &mut Page, constraints: &Value, indent: &str) {
    let mut constraints: Vec<&Value> = list(constraints).iter().collect();
    constraints.sort_by_key(|constraint| shown(&constraint["topologyKey"]));
    for (index, constraint) in constraints.into_iter().enumerate() {
        let title = if index == 0 { "Topology Spread Constraints:" } else { "" };
        let of = |field: &str| shown(&constraint[field]);
        let mut text =
            format!("{}:{} when max skew {} is exceeded", of("topologyKey"), of("whenUnsatisfiable"), of("maxSkew"));
        if !constraint["labelSelector"].is_null() {
            text.push_str(&format!(" for selector {}", super::page::or_none(selector(&constraint["labelSelector"]))));
        }
        page.put(&format!("{indent}{title}\t{text}\n"));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tolerations_are_told_in_a_line() {
        let check = |value: Value, expected: &str| assert_eq!(toleration(&value), expected, "{value}");
        check(json!({"operator": "Exists"}), "op=Exists");
        check(json!({"key": "a", "operator": "Exists"}), "a op=Exists");
        check(json!({"key": "a", "operator": "Equal", "value": "b", "effect": "NoSchedule"}), "a=b:NoSchedule");
        check(
            json!({"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}),
            "a:NoExecute op=Exists for 300s",
        );
    }
}
