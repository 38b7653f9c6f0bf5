//! What a pod's files say of the pod itself (`downwardAPI`). Pure.
//!
//! Which fields there are and how they are written is upstream's: maps are lines of `key="value"`, quoted as Go quotes;
//! resources are rounded up to a multiple of the divisor, and a limit that is not set is what the node can give.

use std::fmt::Write;

use api::pod_resources::List;
use api::quantity::{Format, Quantity};
use k8s_openapi::api::core::v1::{Container, DownwardAPIVolumeFile, Pod, ResourceFieldSelector, ResourceRequirements};

use super::payload::{File, Payload, permissions};

/// Why a file cannot be made.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    /// There is no such field, or none that files may show.
    #[error("unsupported fieldPath: {0}")]
    Field(String),
    /// The pod has no container of this name.
    #[error("container {0} not found")]
    Container(String),
    /// There is no such resource, or none that files may show.
    #[error("unsupported container resource : {0}")]
    Resource(String),
    /// A quantity of the container, or the divisor, cannot be read.
    #[error("resource {0} is no quantity")]
    Quantity(String),
    /// The item says of neither a field nor a resource.
    #[error("the item for {0:?} has neither a fieldRef nor a resourceFieldRef")]
    Nothing(String),
}

/// The files that the items ask for. `allocatable` is what the node gives to pods.
pub(super) fn files(
    items: &[DownwardAPIVolumeFile],
    pod: &Pod,
    allocatable: &List,
    default_mode: i32,
) -> Result<Payload, Vec<Refused>> {
    let (mut payload, mut refused) = (Payload::new(), Vec::new());
    for item in items {
        let content = match (&item.field_ref, &item.resource_field_ref) {
            (Some(field), _) => field_of(pod, &field.field_path),
            (None, Some(resource)) => resource_of(pod, resource, allocatable),
            (None, None) => Err(Refused::Nothing(item.path.clone())),
        };
        match content {
            Ok(content) => {
                let mode = permissions(item.mode.unwrap_or(default_mode));
                payload.insert(item.path.clone(), File { content: content.into_bytes(), mode, owner: None });
            }
            Err(error) => refused.push(error),
        }
    }
    if refused.is_empty() { Ok(payload) } else { Err(refused) }
}

fn field_of(pod: &Pod, path: &str) -> Result<String, Refused> {
    let meta = &pod.metadata;
    let text = |text: &Option<String>| Ok(text.clone().unwrap_or_default());
    match path {
        "metadata.name" => return text(&meta.name),
        "metadata.namespace" => return text(&meta.namespace),
        "metadata.uid" => return text(&meta.uid),
        "metadata.labels" => return Ok(lines(meta.labels.iter().flatten())),
        "metadata.annotations" => return Ok(lines(meta.annotations.iter().flatten())),
        _ => {}
    }
    let unsupported = || Refused::Field(path.to_owned());
    let (map, key) = path.split_once("['").ok_or_else(unsupported)?;
    let key = key.strip_suffix("']").ok_or_else(unsupported)?;
    let map = match map {
        "metadata.labels" => &meta.labels,
        "metadata.annotations" => &meta.annotations,
        _ => return Err(unsupported()),
    };
    Ok(map.as_ref().and_then(|map| map.get(key)).cloned().unwrap_or_default())
}

fn lines<'a>(map: impl Iterator<Item = (&'a String, &'a String)>) -> String {
    map.map(|(key, value)| format!("{key}={}", quote(value))).collect::<Vec<_>>().join("\n")
}

/// A text as Go's `%q` writes it.
fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{b}' => quoted.push_str("\\v"),
            _ if is_shown(character) => quoted.push(character),
            // Writing to a string cannot fail.
            _ => {
                let code = u32::from(character);
                let _ = match code {
                    ..=0x7f => write!(quoted, "\\x{code:02x}"),
                    0x80..=0xffff => write!(quoted, "\\u{code:04x}"),
                    _ => write!(quoted, "\\U{code:08x}"),
                };
            }
        }
    }
    quoted.push('"');
    quoted
}

/// Whether both languages take a character for one that can be seen. Rust's escapes tell what Go's table does, but at the
/// beginning of a text, where marks are escaped that would combine with the quote.
fn is_shown(character: char) -> bool {
    matches!(character, '\'' | ' '..='~') || !format!("a{character}").escape_debug().to_string().contains('\\')
}

/// What a container asks of a resource or is limited to, in multiples of the divisor.
fn resource_of(pod: &Pod, selector: &ResourceFieldSelector, allocatable: &List) -> Result<String, Refused> {
    let name = selector.container_name.as_deref().unwrap_or_default();
    let container = container_of(pod, name).ok_or_else(|| Refused::Container(name.to_owned()))?;
    let unsupported = || Refused::Resource(selector.resource.clone());
    let (bound, resource) = selector.resource.split_once('.').ok_or_else(unsupported)?;
    let is_huge = resource.starts_with("hugepages-");
    if !matches!(bound, "limits" | "requests")
        || !(is_huge || matches!(resource, "cpu" | "memory" | "ephemeral-storage"))
    {
        return Err(unsupported());
    }
    let own = quantity(container.resources.as_ref(), bound, resource)?;
    let value = match own.filter(|own| bound == "requests" || is_huge || !own.is_zero()) {
        Some(own) => own,
        None if bound == "limits" && !is_huge => {
            let of_pod = pod.spec.as_ref().and_then(|spec| spec.resources.as_ref());
            let of_pod = quantity(of_pod, bound, resource)?.filter(|limit| !limit.is_zero());
            of_pod.or_else(|| allocatable.get(resource).cloned()).unwrap_or_else(none)
        }
        None => none(),
    };
    let divisor = selector.divisor.as_ref().map(Quantity::try_from).transpose();
    let divisor = divisor.map_err(|_| Refused::Quantity("divisor".to_owned()))?;
    let divisor = divisor.filter(|divisor| !divisor.is_zero()).unwrap_or_else(|| Quantity::new(1, Format::DecimalSi));
    Ok(if resource == "cpu" {
        multiples(value.milli_value(), divisor.milli_value())
    } else {
        multiples(value.value(), divisor.value())
    })
}

fn none() -> Quantity {
    Quantity::new(0, Format::DecimalSi)
}

/// How many times `divisor` covers `value`.
fn multiples(value: i64, divisor: i64) -> String {
    let (value, divisor) = (i128::from(value), i128::from(divisor.max(1)));
    ((value + divisor - 1) / divisor).to_string()
}

fn container_of<'a>(pod: &'a Pod, name: &str) -> Option<&'a Container> {
    let spec = pod.spec.as_ref()?;
    spec.containers.iter().chain(spec.init_containers.iter().flatten()).find(|container| container.name == name)
}

fn quantity(
    resources: Option<&ResourceRequirements>,
    bound: &str,
    resource: &str,
) -> Result<Option<Quantity>, Refused> {
    let list = resources.and_then(|it| if bound == "limits" { it.limits.as_ref() } else { it.requests.as_ref() });
    let quantity = list.and_then(|list| list.get(resource)).map(Quantity::try_from).transpose();
    quantity.map_err(|_| Refused::Quantity(format!("{bound}.{resource}")))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod() -> Pod {
        serde_json::from_value(json!({
            "metadata": {
                "name": "web-0", "namespace": "shop", "uid": "u-1",
                "labels": {"app": "web", "tier": "a\"b"},
                "annotations": {"note": "line\nnext", "sign": "é\u{301}\u{a0}\u{200b}\u{1}'"},
            },
            "spec": {
                "containers": [{"name": "c", "resources": {
                    "requests": {"cpu": "250m", "memory": "100Mi"},
                    "limits": {"cpu": "1500m", "ephemeral-storage": "1Gi", "hugepages-2Mi": "4Mi"},
                }}],
                "initContainers": [{"name": "i"}],
            },
        }))
        .unwrap()
    }

    fn shown(item: Value) -> String {
        let allocatable =
            [("memory".to_owned(), Quantity::parse("8Gi").unwrap()), ("cpu".to_owned(), Quantity::parse("4").unwrap())];
        let mut item = item;
        item["path"] = json!("f");
        let item: DownwardAPIVolumeFile = serde_json::from_value(item).unwrap();
        match files(&[item], &pod(), &allocatable.into(), 0o644) {
            Ok(payload) => String::from_utf8(payload["f"].content.clone()).unwrap(),
            Err(refused) => refused[0].to_string(),
        }
    }

    #[test]
    fn fields_are_shown() {
        let check = |path: &str, expected: &str| {
            assert_eq!(shown(json!({"fieldRef": {"fieldPath": path}})), expected, "{path}");
        };
        check("metadata.name", "web-0");
        check("metadata.namespace", "shop");
        check("metadata.uid", "u-1");
        check("metadata.labels", "app=\"web\"\ntier=\"a\\\"b\"");
        check("metadata.annotations", "note=\"line\\nnext\"\nsign=\"é\u{301}\\u00a0\\u200b\\x01'\"");
        check("metadata.labels['tier']", "a\"b");
        check("metadata.annotations['note']", "line\nnext");
        check("metadata.annotations['none']", "");
        check("metadata.labels['tier", "unsupported fieldPath: metadata.labels['tier");
        check("status.podIP", "unsupported fieldPath: status.podIP");
        check("metadata.finalizers['x']", "unsupported fieldPath: metadata.finalizers['x']");
    }

    #[test]
    fn resources_are_shown() {
        let check = |container: &str, resource: &str, divisor: Value, expected: &str| {
            let selector = json!({"containerName": container, "resource": resource, "divisor": divisor});
            assert_eq!(shown(json!({"resourceFieldRef": selector})), expected, "{resource} by {divisor}");
        };
        check("c", "requests.cpu", Value::Null, "1");
        check("c", "requests.cpu", json!("1m"), "250");
        check("c", "limits.cpu", json!("0"), "2");
        check("c", "requests.memory", json!("1Mi"), "100");
        check("c", "limits.memory", json!("1Gi"), "8");
        check("c", "limits.ephemeral-storage", Value::Null, "1073741824");
        check("c", "limits.hugepages-2Mi", json!("1Mi"), "4");
        check("c", "requests.ephemeral-storage", Value::Null, "0");
        check("i", "limits.cpu", json!("1"), "4");
        check("i", "requests.memory", json!("1"), "0");
        check("x", "limits.cpu", json!("1"), "container x not found");
        check("c", "limits.gpu", json!("1"), "unsupported container resource : limits.gpu");
    }
}
