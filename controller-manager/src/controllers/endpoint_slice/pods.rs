//! Which pods are endpoints of which Services, and what of a pod matters to that.
//!
//! A change of a pod is a reason to look at a Service only if the Service selects the pod, or selected it before, and what
//! an endpoint says of the pod may differ.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use api::names::parse_ip_sloppy;
use api::selector::label::Selector;
use client::cache::Cache;
use client::resource::Key;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, ContainerPort, Namespace, Node, Pod, Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::controller::Pair;
use crate::pods::{condition, is_ready, is_terminal};

/// The label of a node that says in which zone it is.
pub(in crate::controllers) const ZONE: &str = "topology.kubernetes.io/zone";
/// The label of Endpoints and EndpointSlices of Services without an address of their own.
pub(in crate::controllers) const HEADLESS: &str = "service.kubernetes.io/headless";
/// The annotation that says when that happened on account of which endpoints were changed.
pub(in crate::controllers) const TRIGGER_TIME: &str = "endpoints.kubernetes.io/last-change-trigger-time";

type Labels = BTreeMap<String, String>;

fn text(text: Option<&String>) -> &str {
    text.map_or("", String::as_str)
}

/// Since when the pod has been ready, or not ready.
pub(in crate::controllers) fn ready_changed(pod: &Pod) -> Option<Timestamp> {
    condition(pod, "Ready")?.last_transition_time.as_ref().map(|time| time.0)
}

/// The pod's addresses, of whatever family, as its status has them.
pub(in crate::controllers) fn addresses(pod: &Pod) -> impl Iterator<Item = &str> {
    let ips = pod.status.iter().flat_map(|status| status.pod_ips.iter().flatten());
    ips.map(|ip| ip.ip.as_str())
}

/// Whether a pod that a Service selects has a place among its endpoints; one that is being deleted has if `terminating`.
pub(in crate::controllers) fn is_endpoint(pod: &Pod, terminating: bool) -> bool {
    let primary = pod.status.as_ref().and_then(|status| status.pod_ip.as_ref());
    let has_address = !text(primary).is_empty() || addresses(pod).next().is_some();
    !is_terminal(pod) && has_address && (terminating || pod.metadata.deletion_timestamp.is_none())
}

/// The name under which the pod is known below the Service's own, if it has one.
pub(in crate::controllers) fn hostname_in<'a>(pod: &'a Pod, service: &Service) -> Option<&'a String> {
    let spec = pod.spec.as_ref()?;
    let below = spec.subdomain.as_ref() == service.metadata.name.as_ref();
    spec.hostname.as_ref().filter(|hostname| below && !hostname.is_empty())
}

/// The port of the pod that a Service's port stands for. A named one may be of any container that keeps running.
pub(in crate::controllers) fn port_of(pod: &Pod, port: &ServicePort) -> Option<i32> {
    let name = match &port.target_port {
        None => return Some(port.port),
        Some(IntOrString::Int(number)) => return Some(*number),
        Some(IntOrString::String(name)) => name,
    };
    let spec = pod.spec.as_ref()?;
    let keeps_running = |container: &&Container| container.restart_policy.as_deref() == Some("Always");
    let beside = spec.init_containers.iter().flatten().filter(keeps_running);
    let ports = spec.containers.iter().chain(beside).flat_map(|container| container.ports.iter().flatten());
    let is_meant = |found: &&ContainerPort| {
        found.name.as_ref() == Some(name) && protocol(found.protocol.as_ref()) == protocol(port.protocol.as_ref())
    };
    ports.into_iter().find(is_meant).map(|found| found.container_port)
}

/// A protocol, which is TCP if nothing is said.
pub(in crate::controllers) fn protocol(protocol: Option<&String>) -> &str {
    protocol.map_or("TCP", String::as_str)
}

/// Which pods a Service selects; `None` if its endpoints are not found by controllers: those of a name elsewhere, and of a
/// Service without a selector.
pub(in crate::controllers) fn selector(service: &Service) -> Option<&Labels> {
    let spec = service.spec.as_ref()?;
    let selector = spec.selector.as_ref().filter(|selector| !selector.is_empty())?;
    (spec.type_.as_deref() != Some("ExternalName")).then_some(selector)
}

fn selects(service: &Service, labels: Option<&Labels>) -> bool {
    let has = |(key, value): (&String, &String)| labels.is_some_and(|labels| labels.get(key) == Some(value));
    selector(service).is_some_and(|selector| selector.iter().all(has))
}

/// The pods that a Service selects, by name.
pub(in crate::controllers) fn selected(cache: &Cache, service: &Service) -> Option<Vec<Arc<Pod>>> {
    let namespace = service.metadata.namespace.as_deref()?;
    Some(cache.select::<Pod>(namespace, &Selector::from_labels(selector(service)?)))
}

/// Whether the Service has no address of its own.
pub(in crate::controllers) fn has_no_address(service: &Service) -> bool {
    matches!(cluster_ip(service), "" | "None")
}

fn cluster_ip(service: &Service) -> &str {
    text(service.spec.as_ref().and_then(|spec| spec.cluster_ip.as_ref()))
}

/// Whether the Service says of itself that it has no address, for which it may go without ports.
pub(in crate::controllers) fn is_headless(service: &Service) -> bool {
    cluster_ip(service) == "None"
}

/// Whether the endpoints of a Service are published even if they are not ready.
pub(in crate::controllers) fn publishes_not_ready(service: &Service) -> bool {
    service.spec.as_ref().and_then(|spec| spec.publish_not_ready_addresses) == Some(true)
}

/// The ports of a Service.
pub(in crate::controllers) fn ports(service: &Service) -> &[ServicePort] {
    service.spec.as_ref().and_then(|spec| spec.ports.as_deref()).unwrap_or_default()
}

/// A family of addresses. Sloppily written ones are what they would be read as.
pub(in crate::controllers) fn family(address: &str) -> Option<&'static str> {
    Some(match parse_ip_sloppy(address)? {
        IpAddr::V4(_) => "IPv4",
        IpAddr::V6(_) => "IPv6",
    })
}

/// The families of addresses that a Service says it has, or that follow from its own address. Empty if nothing is known.
pub(in crate::controllers) fn families(service: &Service) -> Vec<&'static str> {
    let stated = |spec: &ServiceSpec| spec.ip_families.clone().unwrap_or_default();
    let stated = service.spec.as_ref().map(stated).unwrap_or_default();
    let mut families: Vec<&str> = Vec::new();
    for family in ["IPv4", "IPv6"] {
        if stated.iter().any(|stated| stated == family) {
            families.push(family);
        }
    }
    if families.is_empty() && !has_no_address(service) {
        families.push(family(cluster_ip(service)).unwrap_or("IPv4"));
    }
    families
}

/// The Services that a change of a pod is a reason to look at.
pub(in crate::controllers) fn services_of_change(cache: &Cache, pair: &Pair<Pod>) -> Vec<Key> {
    let changed = match (&pair.old, &pair.new) {
        (Some(old), Some(new)) => matters(old) != matters(new),
        _ => true,
    };
    let labels = |pod: &Option<Arc<Pod>>| pod.as_ref().and_then(|pod| pod.metadata.labels.clone());
    let (before, after) = (labels(&pair.old), labels(&pair.new));
    if !changed && before == after {
        return Vec::new();
    }
    let Some(namespace) = pair.both().next().and_then(|pod| pod.metadata.namespace.clone()) else { return Vec::new() };
    let services = cache.list::<Service>(Some(&namespace));
    let is_touched = |service: &&Arc<Service>| {
        let (was, is) = (selects(service, before.as_ref()), selects(service, after.as_ref()));
        if changed { was || is } else { was != is }
    };
    services.iter().filter(is_touched).map(|service| Key::to(&**service)).collect()
}

/// What of a pod may make a difference to endpoints, its labels and what never changes excepted.
fn matters(pod: &Pod) -> impl PartialEq {
    let spec = pod.spec.as_ref();
    let placed = spec.map(|spec| (spec.node_name.clone(), spec.hostname.clone(), spec.subdomain.clone()));
    let addresses: Vec<String> = addresses(pod).map(str::to_owned).collect();
    let primary = pod.status.as_ref().and_then(|status| status.pod_ip.clone());
    let is_going = pod.metadata.deletion_timestamp.is_some();
    ((pod.metadata.uid.clone(), is_going, is_terminal(pod)), is_ready(pod), (primary, addresses), placed)
}

/// The Services that have pods on the node that changed, if it came or went or is in another zone than it was.
pub(in crate::controllers) fn services_on_changed_node(cache: &Cache, pair: &Pair<Node>) -> Vec<Key> {
    let zone = |node: &Option<Arc<Node>>| node.as_ref().map(|node| zone_of(node).to_owned());
    if zone(&pair.old) == zone(&pair.new) {
        return Vec::new();
    }
    let Some(name) = pair.both().next().and_then(|node| node.metadata.name.clone()) else { return Vec::new() };
    let mut by_namespace: BTreeMap<String, Vec<Arc<Pod>>> = BTreeMap::new();
    for pod in cache.pods_on(&name) {
        by_namespace.entry(pod.metadata.namespace.clone().unwrap_or_default()).or_default().push(pod);
    }
    let mut keys = BTreeSet::new();
    for (namespace, pods) in by_namespace {
        let services = cache.list::<Service>(Some(&namespace));
        let has_one = |service: &&Arc<Service>| pods.iter().any(|pod| selects(service, pod.metadata.labels.as_ref()));
        keys.extend(services.iter().filter(has_one).map(|service| Key::to(&**service)));
    }
    keys.into_iter().collect()
}

/// The zone that a node is in; empty if that is not known.
pub(in crate::controllers) fn zone_of(node: &Node) -> &str {
    text(node.metadata.labels.as_ref().and_then(|labels| labels.get(ZONE)))
}

/// Whether nothing can be made in the namespace any more, because it is being deleted.
pub(in crate::controllers) fn is_ending(cache: &Cache, namespace: &str) -> bool {
    cache.get::<Namespace>("", namespace).is_some_and(|namespace| namespace.metadata.deletion_timestamp.is_some())
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use serde_json::json;

    use super::*;

    fn pod(change: impl FnOnce(&mut Pod)) -> Arc<Pod> {
        let mut pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "a", "namespace": "shop", "uid": "1", "labels": {"app": "web", "tier": "front"}},
            "spec": {"nodeName": "n1", "containers": []},
            "status": {"phase": "Running", "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}],
                "conditions": [{"type": "Ready", "status": "True"}]},
        }))
        .unwrap();
        change(&mut pod);
        Arc::new(pod)
    }

    fn service(namespace: &str, name: &str, selector: &[(&str, &str)]) -> Service {
        let selector: BTreeMap<&str, &str> = selector.iter().copied().collect();
        let json = json!({"metadata": {"name": name, "namespace": namespace}, "spec": {"selector": selector}});
        serde_json::from_value(json).unwrap()
    }

    fn touched(old: Option<Arc<Pod>>, new: Option<Arc<Pod>>) -> Vec<String> {
        let cache = Cache::new();
        cache.put(service("shop", "all", &[("app", "web")]));
        cache.put(service("shop", "back", &[("app", "web"), ("tier", "back")]));
        cache.put(service("shop", "front", &[("tier", "front")]));
        cache.put(service("shop", "none", &[]));
        cache.put(service("other", "all", &[("app", "web")]));
        services_of_change(&cache, &Pair { old, new }).iter().map(|key| key.name.to_string()).collect()
    }

    #[test]
    fn pods_that_come_and_go_touch_what_selects_them() {
        assert_eq!(touched(None, Some(pod(|_| {}))), ["all", "front"]);
        assert_eq!(touched(Some(pod(|_| {})), None), ["all", "front"]);
    }

    #[test]
    fn changes_touch_what_they_matter_to() {
        let check = |change: fn(&mut Pod), expected: &[&str]| {
            assert_eq!(touched(Some(pod(|_| {})), Some(pod(change))), expected);
        };
        let set_tier = |pod: &mut Pod, tier: &str| {
            pod.metadata.labels.as_mut().unwrap().insert("tier".to_owned(), tier.to_owned());
        };
        assert_eq!(touched(Some(pod(|_| {})), Some(pod(|pod| set_tier(pod, "back")))), ["back", "front"]);
        let both = |pod: &mut Pod| {
            set_tier(pod, "back");
            pod.status.as_mut().unwrap().conditions = None;
        };
        assert_eq!(touched(Some(pod(|_| {})), Some(pod(both))), ["all", "back", "front"]);
        check(|pod| pod.metadata.resource_version = Some("7".to_owned()), &[]);
        check(|pod| pod.metadata.annotations = Some(Labels::new()), &[]);
        check(|pod| pod.status.as_mut().unwrap().message = Some("fine".to_owned()), &[]);
        check(|pod| pod.status.as_mut().unwrap().phase = Some("Pending".to_owned()), &[]);
        let selected = ["all", "front"];
        check(|pod| pod.status.as_mut().unwrap().phase = Some("Failed".to_owned()), &selected);
        check(|pod| pod.status.as_mut().unwrap().conditions = None, &selected);
        check(|pod| pod.status.as_mut().unwrap().pod_ips = None, &selected);
        check(|pod| pod.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH)), &selected);
        check(|pod| pod.spec.as_mut().unwrap().node_name = Some("n2".to_owned()), &selected);
        check(|pod| pod.spec.as_mut().unwrap().subdomain = Some("all".to_owned()), &selected);
    }

    #[test]
    fn ports_are_found_by_number_and_by_name() {
        let pod = pod(|pod| {
            let containers =
                json!([{"name": "c", "ports": [{"name": "web", "containerPort": 8080, "protocol": "TCP"}]}]);
            let init = json!([
                {"name": "i", "ports": [{"name": "once", "containerPort": 1}]},
                {"name": "s", "restartPolicy": "Always", "ports": [{"name": "proxy", "containerPort": 2}]},
            ]);
            let spec = pod.spec.as_mut().unwrap();
            spec.containers = serde_json::from_value(containers).unwrap();
            spec.init_containers = serde_json::from_value(init).unwrap();
        });
        let check = |target: serde_json::Value, protocol: &str, expected: Option<i32>| {
            let json = json!({"port": 80, "targetPort": target, "protocol": protocol});
            assert_eq!(port_of(&pod, &serde_json::from_value(json).unwrap()), expected);
        };
        check(json!(null), "TCP", Some(80));
        check(json!(9090), "TCP", Some(9090));
        check(json!("web"), "TCP", Some(8080));
        check(json!("web"), "UDP", None);
        check(json!("proxy"), "TCP", Some(2));
        check(json!("once"), "TCP", None);
        check(json!("absent"), "TCP", None);
    }

    #[test]
    fn families_are_those_stated_or_that_of_the_address() {
        let check = |spec: serde_json::Value, expected: &[&str]| {
            let service: Service = serde_json::from_value(json!({"metadata": {}, "spec": spec})).unwrap();
            assert_eq!(families(&service), expected);
        };
        check(json!({"ipFamilies": ["IPv6", "IPv4"]}), &["IPv4", "IPv6"]);
        check(json!({"ipFamilies": ["IPv6"], "clusterIP": "10.0.0.1"}), &["IPv6"]);
        check(json!({"clusterIP": "10.0.0.1"}), &["IPv4"]);
        check(json!({"clusterIP": "fd00::1"}), &["IPv6"]);
        check(json!({"clusterIP": "None"}), &[]);
    }
}
