//! HorizontalPodAutoscalers, of both versions.

use serde_json::Value;

use super::Subject;
use super::page::{Page, list, shown};

/// What the second version of an object of the first is found under.
pub(super) const SECOND: &str = "autoscaling/v2";

/// An autoscaler.
pub(super) fn describe(page: &mut Page, subject: &Subject) {
    // The second version says more, where the server has it.
    let autoscaler = subject.related(SECOND).first().unwrap_or(&subject.object);
    let (spec, status) = (&autoscaler["spec"], &autoscaler["status"]);
    let is_first = autoscaler["apiVersion"] == "autoscaling/v1";
    page.head(autoscaler);
    page.notes(autoscaler);
    page.created(autoscaler);
    let target = &spec["scaleTargetRef"];
    page.field(0, "Reference", &format!("{}/{}", shown(&target["kind"]), shown(&target["name"])));
    if is_first {
        utilization(page, spec, status);
    } else {
        page.field(0, "Metrics", "( current / target )");
        let current = list(&status["currentMetrics"]);
        for (index, wanted) in list(&spec["metrics"]).iter().enumerate() {
            page.line(1, &metric(wanted, current.get(index).unwrap_or(&Value::Null)));
        }
    }
    let least = if spec["minReplicas"].is_null() { "<unset>".to_owned() } else { shown(&spec["minReplicas"]) };
    page.field(0, "Min replicas", &least);
    page.field(0, "Max replicas", &shown(&spec["maxReplicas"]));
    let behavior = &spec["behavior"];
    if !is_first && !behavior.is_null() {
        page.line(0, "Behavior:");
        direction(page, "Scale Up", &behavior["scaleUp"]);
        direction(page, "Scale Down", &behavior["scaleDown"]);
    }
    let number = |field: &str| status[field].as_i64().unwrap_or(0);
    let replicas = format!("{} current / {} desired", number("currentReplicas"), number("desiredReplicas"));
    page.field(0, &format!("{} pods", shown(&target["kind"])), &replicas);
    if !is_first {
        conditions(page, list(&status["conditions"]));
    }
    page.events(subject.events.as_deref());
}

/// What the first version knows: how much CPU is to be used, and how much is.
fn utilization(page: &mut Page, spec: &Value, status: &Value) {
    let target = &spec["targetCPUUtilizationPercentage"];
    if target.is_null() {
        return;
    }
    page.field(0, "Target CPU utilization", &format!("{}%", shown(target)));
    let current = &status["currentCPUUtilizationPercentage"];
    let current = if current.is_null() { "<unknown>".to_owned() } else { shown(current) };
    page.field(0, "Current CPU utilization", &format!("{current}%"));
}

/// A metric: what it is, how it is, and how it is to be.
fn metric(metric: &Value, current: &Value) -> String {
    let kind = shown(&metric["type"]);
    // `ContainerResource` is told by the field `containerResource`.
    let field = kind.chars().take(1).flat_map(char::to_lowercase).chain(kind.chars().skip(1)).collect::<String>();
    let (wanted, current) = (&metric[&field], &current[&field]);
    let (target, name) = (&wanted["target"], shown(&wanted["metric"]["name"]));
    match kind.as_str() {
        "External" if !target["averageValue"].is_null() => {
            let current = Some(&current["current"]["averageValue"]).filter(|value| !value.is_null());
            let current = current.map_or_else(unknown, quantity);
            format!("{name:?} (target average value):\t{current} / {}", quantity(&target["averageValue"]))
        }
        "External" => format!("{name:?} (target value):\t{}", compared(target, current, "value")),
        "Pods" => format!("{name:?} on pods:\t{}", compared(target, current, "averageValue")),
        "Object" => {
            let of = &wanted["describedObject"];
            let (title, value) = match target["type"].as_str() {
                Some("AverageValue") => ("target average value", "averageValue"),
                _ => ("target value", "value"),
            };
            let (kind, object) = (shown(&of["kind"]), shown(&of["name"]));
            format!("\"{name}\" on {kind}/{object} ({title}):\t{}", compared(target, current, value))
        }
        "Resource" => format!("resource {} on pods{}", shown(&wanted["name"]), resource(target, current)),
        "ContainerResource" => {
            let (name, container) = (shown(&wanted["name"]), shown(&wanted["container"]));
            format!("resource {name} of container \"{container}\" on pods{}", resource(target, current))
        }
        _ => format!("<unknown metric type {kind:?}>"),
    }
}

/// A value as it is, and as it is to be.
fn compared(target: &Value, current: &Value, field: &str) -> String {
    let now = if current.is_null() { unknown() } else { quantity(&current["current"][field]) };
    format!("{now} / {}", quantity(&target[field]))
}

/// What is compared of a resource.
fn resource(target: &Value, current: &Value) -> String {
    if !target["averageValue"].is_null() {
        return format!(":\t{}", compared(target, current, "averageValue"));
    }
    let (used, now) = (&current["current"]["averageUtilization"], &current["current"]["averageValue"]);
    let now = if used.is_null() { unknown() } else { format!("{}% ({})", shown(used), quantity(now)) };
    let wanted = &target["averageUtilization"];
    let wanted = if wanted.is_null() { "<auto>".to_owned() } else { format!("{}%", shown(wanted)) };
    format!("  (as a percentage of request):\t{now} / {wanted}")
}

fn unknown() -> String {
    "<unknown>".to_owned()
}

fn quantity(value: &Value) -> String {
    if value.is_null() { "<nil>".to_owned() } else { shown(value) }
}

/// How fast it goes in one direction.
fn direction(page: &mut Page, title: &str, rules: &Value) {
    if rules.is_null() {
        return;
    }
    page.line(1, &format!("{title}:"));
    if !rules["stabilizationWindowSeconds"].is_null() {
        page.line(2, &format!("Stabilization Window: {} seconds", shown(&rules["stabilizationWindowSeconds"])));
    }
    let policies = list(&rules["policies"]);
    if policies.is_empty() {
        return;
    }
    page.line(2, &format!("Select Policy: {}", rules["selectPolicy"].as_str().unwrap_or("Max")));
    page.line(2, "Policies:");
    for policy in policies {
        let of = |field: &str| shown(&policy[field]);
        let (kind, value, period) = (of("type"), of("value"), of("periodSeconds"));
        page.line(3, &format!("- Type: {kind}\tValue: {value}\tPeriod: {period} seconds"));
    }
}

fn conditions(page: &mut Page, conditions: &[Value]) {
    if conditions.is_empty() {
        return;
    }
    page.put("Conditions:\n  Type\tStatus\tReason\tMessage\n  ----\t------\t------\t-------\n");
    for condition in conditions {
        let of = |field: &str| shown(&condition[field]);
        page.line(1, &[of("type"), of("status"), of("reason"), of("message")].join("\t"));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn metrics_are_told_in_a_line() {
        let check = |wanted: Value, current: Value, expected: &str| {
            assert_eq!(metric(&wanted, &current), expected, "{wanted} {current}");
        };
        let cpu = json!({"type": "Resource", "resource": {"name": "cpu", "target": {"averageUtilization": 65}}});
        let percent = "resource cpu on pods  (as a percentage of request):\t";
        check(cpu.clone(), json!(null), &format!("{percent}<unknown> / 65%"));
        let used = json!({"resource": {"current": {"averageUtilization": 40, "averageValue": "200m"}}});
        check(cpu, used, &format!("{percent}40% (200m) / 65%"));
        let none = json!({"type": "Resource", "resource": {"name": "cpu", "target": {}}});
        check(none, json!(null), &format!("{percent}<unknown> / <auto>"));
        let memory = json!({"type": "ContainerResource",
            "containerResource": {"name": "memory", "container": "c", "target": {"averageValue": "1Gi"}}});
        let used = json!({"containerResource": {"current": {"averageValue": "1Mi"}}});
        check(memory, used, "resource memory of container \"c\" on pods:\t1Mi / 1Gi");
        let object = |kind: &str, field: &str| {
            json!({"type": "Object", "object": {"metric": {"name": "hits"},
                "describedObject": {"kind": "Ingress", "name": "i"}, "target": {"type": kind, field: "5"}}})
        };
        check(object("Value", "value"), json!(null), "\"hits\" on Ingress/i (target value):\t<unknown> / 5");
        let used = json!({"object": {"current": {"averageValue": "2"}}});
        check(object("AverageValue", "averageValue"), used, "\"hits\" on Ingress/i (target average value):\t2 / 5");
        let external =
            |field: &str| json!({"type": "External", "external": {"metric": {"name": "q"}, "target": {field: "30"}}});
        check(external("value"), json!({"external": {"current": {}}}), "\"q\" (target value):\t<nil> / 30");
        check(
            external("averageValue"),
            json!({"external": {"current": {}}}),
            "\"q\" (target average value):\t<unknown> / 30",
        );
        check(json!({"type": "Odd"}), json!(null), "<unknown metric type \"Odd\">");
    }
}
