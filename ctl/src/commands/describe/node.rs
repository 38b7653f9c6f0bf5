//! Nodes, with what their pods request of them.

use std::collections::BTreeMap;

use api::pod_resources::{self, List, Options};
use api::quantity::{Format, Quantity};
use k8s_openapi::api::core::v1::Pod;
use serde_json::Value;

use super::Subject;
use super::page::{Page, list, or_none, shown, texts};

/// What the names of resources that all nodes have are, besides huge pages.
const STANDARD: [&str; 4] = ["cpu", "memory", "ephemeral-storage", "pods"];

/// How many pools of devices are told; of the rest only how many they are.
const MOST_POOLS: usize = 10;

/// A node.
pub(super) fn describe(page: &mut Page, subject: &Subject) {
    let node = &subject.object;
    let (meta, spec, status) = (&node["metadata"], &node["spec"], &node["status"]);
    page.field(0, "Name", &shown(&meta["name"]));
    page.field(0, "Roles", &or_none(roles(&meta["labels"]).join(",")));
    page.notes(node);
    page.created(node);
    page.many("Taints", &taints(&spec["taints"]));
    page.field(0, "Unschedulable", &(spec["unschedulable"] == true).to_string());
    lease(page, subject);
    conditions(page, list(&status["conditions"]));
    page.line(0, "Addresses:");
    for address in list(&status["addresses"]) {
        page.field(1, &shown(&address["type"]), &shown(&address["address"]));
    }
    for (title, field) in [("Capacity", "capacity"), ("Allocatable", "allocatable")] {
        let Some(quantities) = status[field].as_object().filter(|quantities| !quantities.is_empty()) else { continue };
        page.line(0, &format!("{title}:"));
        let mut quantities: Vec<_> = quantities.iter().collect();
        quantities.sort_by_key(|(name, _)| *name);
        quantities.into_iter().for_each(|(name, quantity)| page.field(1, name, &shown(quantity)));
    }
    devices(page, subject.related("resourceslices"));
    system(page, &status["nodeInfo"]);
    page.field_if(0, "PodCIDR", &spec["podCIDR"]);
    let ranges = texts(&spec["podCIDRs"]).join(",");
    if !ranges.is_empty() {
        page.field(0, "PodCIDRs", &ranges);
    }
    page.field_if(0, "ProviderID", &spec["providerID"]);
    match subject.failure("pods") {
        Some(_) => page.field(0, "Pods", "not authorized"),
        None => allocated(page, node, subject.related("pods")),
    }
    page.events(subject.events.as_deref());
}

/// The devices of drivers, by pool.
fn devices(page: &mut Page, slices: &[Value]) {
    let mut pools: BTreeMap<(String, String), (usize, usize)> = BTreeMap::new();
    for slice in slices {
        let spec = &slice["spec"];
        let (slices, devices) = pools.entry((shown(&spec["driver"]), shown(&spec["pool"]["name"]))).or_default();
        *slices += 1;
        *devices += list(&spec["devices"]).len();
    }
    if pools.is_empty() {
        return;
    }
    page.put("Node-Local ResourceSlices:\n  Driver\tPool\tSlices\tDevices\n  ------\t----\t------\t-------\n");
    for ((driver, pool), (slices, devices)) in pools.iter().take(MOST_POOLS) {
        page.line(1, &format!("{driver}\t{pool}\t{slices}\t{devices}"));
    }
    if pools.len() > MOST_POOLS {
        page.line(1, &format!("...and {} more pools", pools.len() - MOST_POOLS));
    }
}

fn roles(labels: &Value) -> Vec<String> {
    let role = |(name, value): (&String, &Value)| match name.strip_prefix("node-role.kubernetes.io/") {
        Some(role) => Some(role.to_owned()),
        None => (name == "kubernetes.io/role").then(|| shown(value)),
    };
    let mut roles: Vec<String> = labels.as_object().into_iter().flatten().filter_map(role).collect();
    roles.retain(|role| !role.is_empty());
    roles.sort();
    roles.dedup();
    roles
}

fn taints(taints: &Value) -> Vec<String> {
    let mut taints: Vec<&Value> = list(taints).iter().collect();
    taints.sort_by_key(|taint| format!("{},{}", shown(&taint["effect"]), shown(&taint["key"])));
    let text = |taint: &Value| {
        let (key, value, effect) = (shown(&taint["key"]), shown(&taint["value"]), shown(&taint["effect"]));
        match (value.is_empty(), effect.is_empty()) {
            (true, true) => key,
            (true, false) => format!("{key}:{effect}"),
            (false, true) => format!("{key}={value}:"),
            (false, false) => format!("{key}={value}:{effect}"),
        }
    };
    taints.into_iter().map(text).collect()
}

fn lease(page: &mut Page, subject: &Subject) {
    if let Some(failure) = subject.failure("lease") {
        return page.field(0, "Lease", &format!("Failed to get lease: {failure}"));
    }
    let Some(lease) = subject.related("lease").first() else { return };
    page.line(0, "Lease:");
    let spec = &lease["spec"];
    let or_unset = |text: String| if text.is_empty() { "<unset>".to_owned() } else { text };
    page.field(1, "HolderIdentity", &or_unset(shown(&spec["holderIdentity"])));
    for (title, field) in [("AcquireTime", "acquireTime"), ("RenewTime", "renewTime")] {
        let time = if spec[field].is_null() { String::new() } else { page.clock.time(&spec[field]) };
        page.field(1, title, &or_unset(time));
    }
}

fn conditions(page: &mut Page, conditions: &[Value]) {
    if conditions.is_empty() {
        return;
    }
    page.put("Conditions:\n  Type\tStatus\tLastHeartbeatTime\tLastTransitionTime\tReason\tMessage\n");
    page.line(1, "----\t------\t-----------------\t------------------\t------\t-------");
    for condition in conditions {
        let of = |field: &str| shown(&condition[field]);
        let [beat, change] =
            ["lastHeartbeatTime", "lastTransitionTime"].map(|field| page.clock.time(&condition[field]));
        let (kind, status, reason) = (of("type"), of("status"), of("reason"));
        page.line(1, &format!("{kind} \t{status} \t{beat} \t{change} \t{reason} \t{}", of("message")));
    }
}

fn system(page: &mut Page, info: &Value) {
    page.line(0, "System Info:");
    for (title, field) in [
        ("Machine ID", "machineID"),
        ("System UUID", "systemUUID"),
        ("Boot ID", "bootID"),
        ("Kernel Version", "kernelVersion"),
        ("OS Image", "osImage"),
        ("Operating System", "operatingSystem"),
        ("Architecture", "architecture"),
        ("Container Runtime Version", "containerRuntimeVersion"),
        ("Kubelet Version", "kubeletVersion"),
    ] {
        page.field(1, title, &shown(&info[field]));
    }
}

/// What a pod requests, and what it is limited to.
fn of_pod(pod: &Value) -> (List, List) {
    match serde_json::from_value::<Pod>(pod.clone()) {
        Ok(pod) => {
            let options = Options { status: true, ..Options::default() };
            (pod_resources::requests(&pod, options), pod_resources::limits(&pod, options))
        }
        Err(_) => (List::new(), List::new()),
    }
}

/// A quantity, and how many hundredths of all it is.
fn share(name: &str, amount: Option<&Quantity>, all: &List) -> String {
    let zero = Quantity::new(0, Format::DecimalSi);
    let (amount, all) = (amount.unwrap_or(&zero), all.get(name).unwrap_or(&zero));
    let in_units = |quantity: &Quantity| if name == "cpu" { quantity.milli_value() } else { quantity.value() };
    let (part, whole) = (i128::from(in_units(amount)), i128::from(in_units(all)));
    let percent = if whole == 0 { 0 } else { part * 100 / whole };
    format!("{amount} ({percent}%)")
}

/// The pods, and the sums.
fn allocated(page: &mut Page, node: &Value, pods: &[Value]) {
    page.field(0, "Non-terminated Pods", &format!("({} in total)", pods.len()));
    page.line(1, "Namespace\tName\t\tCPU Requests\tCPU Limits\tMemory Requests\tMemory Limits\tAge");
    page.line(1, "---------\t----\t\t------------\t----------\t---------------\t-------------\t---");
    let status = &node["status"];
    let of = |field: &str| -> List {
        let read = |(name, value): (&String, &Value)| Some((name.clone(), Quantity::parse(value.as_str()?).ok()?));
        status[field].as_object().into_iter().flatten().filter_map(read).collect()
    };
    let allocatable = if of("allocatable").is_empty() { of("capacity") } else { of("allocatable") };
    let (mut requests, mut limits) = (List::new(), List::new());
    for pod in pods {
        let (requested, limited) = of_pod(pod);
        let cell = |name: &str, of: &List| share(name, of.get(name), &allocatable);
        let meta = &pod["metadata"];
        let cells = [
            shown(&meta["namespace"]),
            shown(&meta["name"]),
            String::new(),
            cell("cpu", &requested),
            cell("cpu", &limited),
            cell("memory", &requested),
            cell("memory", &limited),
            page.clock.since(&meta["creationTimestamp"]),
        ];
        page.line(1, &cells.join("\t"));
        pod_resources::add(&mut requests, &requested);
        pod_resources::add(&mut limits, &limited);
    }
    page.line(0, "Allocated resources:");
    page.line(1, "(Total limits may be over 100 percent, i.e., overcommitted.)");
    page.line(1, "Resource\tRequests\tLimits");
    page.line(1, "--------\t--------\t------");
    let is_huge = |name: &&String| name.starts_with("hugepages-");
    let huge = allocatable.keys().filter(is_huge).map(String::as_str);
    for name in ["cpu", "memory", "ephemeral-storage"].into_iter().chain(huge) {
        let cell = |of: &List| share(name, of.get(name), &allocatable);
        page.line(1, &format!("{name}\t{}\t{}", cell(&requests), cell(&limits)));
    }
    let others = allocatable.keys().filter(|name| !is_huge(name) && !STANDARD.contains(&name.as_str()));
    for name in others {
        let cell = |of: &List| of.get(name).map_or_else(|| "0".to_owned(), Quantity::to_string);
        page.line(1, &format!("{name}\t{}\t{}", cell(&requests), cell(&limits)));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn roles_are_told_by_labels() {
        let labels = json!({"node-role.kubernetes.io/worker": "", "node-role.kubernetes.io/": "",
            "kubernetes.io/role": "edge", "other": "x"});
        assert_eq!(roles(&labels), ["edge", "worker"]);
        assert!(roles(&Value::Null).is_empty());
    }

    #[test]
    fn taints_are_in_the_order_of_their_effects() {
        let all = json!([{"key": "b", "effect": "NoSchedule"}, {"key": "a", "value": "1", "effect": "NoSchedule"},
            {"key": "z", "effect": "NoExecute"}]);
        assert_eq!(taints(&all), ["z:NoExecute", "a=1:NoSchedule", "b:NoSchedule"]);
    }

    #[test]
    fn shares_are_rounded_down() {
        let quantity = |text: &str| Quantity::parse(text).unwrap();
        let all = List::from([("cpu".to_owned(), quantity("3")), ("memory".to_owned(), quantity("1Gi"))]);
        let check = |name: &str, amount: &str, expected: &str| {
            assert_eq!(share(name, Some(&quantity(amount)), &all), expected);
        };
        check("cpu", "1", "1 (33%)");
        check("cpu", "4500m", "4500m (150%)");
        check("memory", "512Mi", "512Mi (50%)");
        check("other", "1", "1 (0%)");
        assert_eq!(share("cpu", None, &all), "0 (0%)");
    }
}
