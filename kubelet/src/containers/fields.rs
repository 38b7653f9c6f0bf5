//! What a pod can be told of itself: its fields and its containers' resources, in environment variables and downwardAPI
//! volumes.

use std::collections::BTreeMap;
use std::net::IpAddr;

use api::field::go_quote;
use api::names::label_key;
use api::pod_resources::{self, List};
use api::quantity::Quantity;
use k8s_openapi::api::core::v1::{Container, Pod, ResourceFieldSelector};

/// The resources of which a container without a limit is told the node's.
const LIMITED_BY_NODE: &[&str] = &["cpu", "memory", "ephemeral-storage"];

/// The addresses that a pod can be told of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Addresses<'a> {
    /// The pod's, the first family first.
    pub pod: &'a [IpAddr],
    /// The node's, the first family first.
    pub host: &'a [IpAddr],
}

/// The value of a field (`fieldRef.fieldPath`).
///
/// # Errors
/// If there is no such field, in upstream's words.
pub fn field(pod: &Pod, path: &str, addresses: Addresses<'_>) -> Result<String, String> {
    let metadata = &pod.metadata;
    let spec = pod.spec.as_ref();
    let first = |addresses: &[IpAddr]| addresses.first().map(ToString::to_string).unwrap_or_default();
    let all = |addresses: &[IpAddr]| addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let text = |value: Option<&String>| value.cloned().unwrap_or_default();
    if let Some((of, key)) = path.strip_suffix("']").and_then(|path| path.split_once("['")) {
        let (map, problems) = match of {
            "metadata.annotations" => (&metadata.annotations, label_key(&key.to_lowercase())),
            "metadata.labels" => (&metadata.labels, label_key(key)),
            _ => return Err(format!("fieldPath {path:?} does not support subscript")),
        };
        if !problems.is_empty() {
            return Err(format!("invalid key subscript in {path}: {}", problems.join("; ")));
        }
        return Ok(text(map.as_ref().and_then(|map| map.get(key))));
    }
    Ok(match path {
        "metadata.annotations" => lines(metadata.annotations.as_ref()),
        "metadata.labels" => lines(metadata.labels.as_ref()),
        "metadata.name" => text(metadata.name.as_ref()),
        "metadata.namespace" => text(metadata.namespace.as_ref()),
        "metadata.uid" => text(metadata.uid.as_ref()),
        "spec.nodeName" => text(spec.and_then(|spec| spec.node_name.as_ref())),
        "spec.serviceAccountName" => text(spec.and_then(|spec| spec.service_account_name.as_ref())),
        "status.hostIP" => first(addresses.host),
        "status.hostIPs" => all(addresses.host),
        "status.podIP" => first(addresses.pod),
        "status.podIPs" => all(addresses.pod),
        _ => return Err(format!("unsupported fieldPath: {path}")),
    })
}

/// A line for each entry, with the value in quotes.
fn lines(map: Option<&BTreeMap<String, String>>) -> String {
    let lines = map.into_iter().flatten().map(|(key, value)| format!("{key}={}", go_quote(value)));
    lines.collect::<Vec<_>>().join("\n")
}

/// The amount of a container's resource (`resourceFieldRef`), in units of the divisor, rounded up. A container without a
/// limit has the pod's, or else all of the node's.
///
/// # Errors
/// If there is no such container or resource, in upstream's words.
pub fn resource(
    pod: &Pod,
    container: &Container,
    selector: &ResourceFieldSelector,
    allocatable: &List,
) -> Result<String, String> {
    let spec = pod.spec.as_ref();
    let container = match selector.container_name.as_deref().filter(|name| !name.is_empty()) {
        None => container,
        Some(name) => {
            let mut all =
                spec.into_iter().flat_map(|spec| spec.containers.iter().chain(spec.init_containers.iter().flatten()));
            all.find(|container| container.name == name).ok_or_else(|| format!("container {name} not found"))?
        }
    };
    let unsupported = || format!("unsupported container resource : {}", selector.resource);
    let (kind, name) = selector.resource.split_once('.').ok_or_else(unsupported)?;
    if !LIMITED_BY_NODE.contains(&name) && !name.starts_with("hugepages-") {
        return Err(unsupported());
    }
    let resources = container.resources.as_ref();
    let list = match kind {
        "limits" => resources.and_then(|resources| resources.limits.as_ref()),
        "requests" => resources.and_then(|resources| resources.requests.as_ref()),
        _ => return Err(unsupported()),
    };
    let stated = pod_resources::read(list).remove(name).filter(|quantity| !quantity.is_zero());
    let amount = match stated {
        None if kind == "limits" && LIMITED_BY_NODE.contains(&name) => limit_from_around(pod, name, allocatable),
        stated => stated.unwrap_or_default(),
    };
    let divisor = selector.divisor.as_ref().and_then(|divisor| Quantity::try_from(divisor).ok());
    let divisor = divisor.filter(|divisor| !divisor.is_zero()).unwrap_or_else(|| Quantity::new(1, amount.format()));
    let (amount, divisor) = match name {
        "cpu" => (amount.milli_value(), divisor.milli_value()),
        _ => (amount.value(), divisor.value()),
    };
    Ok(divide_up(amount, divisor).to_string())
}

/// The pod's own limit, or else what the node has, whichever is less.
fn limit_from_around(pod: &Pod, name: &str, allocatable: &List) -> Quantity {
    let of_pod = pod.spec.as_ref().and_then(|spec| spec.resources.as_ref());
    let of_pod = pod_resources::read(of_pod.and_then(|resources| resources.limits.as_ref())).remove(name);
    let of_pod = of_pod.filter(|_| pod_resources::is_pod_level(name));
    match (of_pod, allocatable.get(name)) {
        (Some(of_pod), Some(of_node)) => of_pod.min(of_node.clone()),
        (of_pod, of_node) => of_pod.or_else(|| of_node.cloned()).unwrap_or_default(),
    }
}

fn divide_up(amount: i64, divisor: i64) -> i64 {
    let divisor = divisor.max(1);
    amount / divisor + i64::from(amount % divisor > 0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_are_read() {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "web", "namespace": "ns", "uid": "u",
                "labels": {"app": "a", "b/c": "d"}, "annotations": {"Note": "say \"hi\"\n"}},
            "spec": {"containers": [], "nodeName": "n", "serviceAccountName": "sa"},
        }))
        .unwrap();
        let (of_pod, of_host) = (["10.0.0.1", "fd00::1"], ["192.168.0.1", "fd01::1"]);
        let [of_pod, of_host] = [of_pod, of_host].map(|all| all.map(|address| address.parse().unwrap()));
        let check = |path: &str, expected: Result<&str, &str>| {
            let found = field(&pod, path, Addresses { pod: &of_pod, host: &of_host });
            assert_eq!(found.as_ref().map(String::as_str).map_err(String::as_str), expected);
        };
        check("metadata.name", Ok("web"));
        check("metadata.namespace", Ok("ns"));
        check("metadata.uid", Ok("u"));
        check("metadata.labels", Ok("app=\"a\"\nb/c=\"d\""));
        check("metadata.labels['b/c']", Ok("d"));
        check("metadata.labels['none']", Ok(""));
        check("metadata.annotations", Ok("Note=\"say \\\"hi\\\"\\n\""));
        check("metadata.annotations['Note']", Ok("say \"hi\"\n"));
        check("spec.nodeName", Ok("n"));
        check("spec.serviceAccountName", Ok("sa"));
        check("status.hostIP", Ok("192.168.0.1"));
        check("status.hostIPs", Ok("192.168.0.1,fd01::1"));
        check("status.podIP", Ok("10.0.0.1"));
        check("status.podIPs", Ok("10.0.0.1,fd00::1"));
        check("spec.priority", Err("unsupported fieldPath: spec.priority"));
        check("spec.nodeName['a']", Err("fieldPath \"spec.nodeName['a']\" does not support subscript"));
    }

    #[test]
    fn resources_are_counted_in_units_of_the_divisor() {
        let check = |name: &str, divisor: &str, pod_limit: &str, expected: Result<&str, &str>| {
            let pod: Pod = serde_json::from_value(json!({"spec": {
                "resources": {"limits": {"cpu": pod_limit}},
                "containers": [
                    {"name": "a", "resources": {"limits": {"memory": "100Mi", "hugepages-2Mi": "4Mi"},
                        "requests": {"cpu": "1500m", "ephemeral-storage": "1Gi"}}},
                    {"name": "b", "resources": {"requests": {"cpu": "3"}}}]}}))
            .unwrap();
            let (container, name) = name.split_once(':').unwrap();
            let selector = json!({"resource": name, "divisor": divisor, "containerName": container});
            let allocatable = [("cpu", "8"), ("memory", "2Gi"), ("ephemeral-storage", "10G")];
            let allocatable: List =
                allocatable.iter().map(|(name, text)| ((*name).to_owned(), Quantity::parse(text).unwrap())).collect();
            let selector = serde_json::from_value(selector).unwrap();
            let found = resource(&pod, &pod.spec.as_ref().unwrap().containers[0], &selector, &allocatable);
            assert_eq!(found.as_ref().map(String::as_str).map_err(String::as_str), expected, "{name}");
        };
        check(":requests.cpu", "0", "0", Ok("2"));
        check(":requests.cpu", "1m", "0", Ok("1500"));
        check("b:requests.cpu", "1", "0", Ok("3"));
        check(":limits.cpu", "1", "4", Ok("4"));
        check(":limits.cpu", "1", "16", Ok("8"));
        check(":limits.memory", "1Mi", "0", Ok("100"));
        check(":limits.memory", "3Mi", "0", Ok("34"));
        check("b:limits.memory", "1Gi", "0", Ok("2"));
        check(":limits.ephemeral-storage", "1", "0", Ok("10000000000"));
        check(":requests.ephemeral-storage", "1Mi", "0", Ok("1024"));
        check(":requests.memory", "1", "0", Ok("0"));
        check(":limits.hugepages-2Mi", "1Mi", "0", Ok("4"));
        check("b:limits.hugepages-2Mi", "1Mi", "0", Ok("0"));
        check("c:limits.cpu", "1", "0", Err("container c not found"));
        check(":limits.gpu", "1", "0", Err("unsupported container resource : limits.gpu"));
        check(":cpu", "1", "0", Err("unsupported container resource : cpu"));
    }
}
