//! Environment variables that tell containers of the Services of their namespace, as Docker's links once did.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Service;

/// Where the API's own Service is, which every pod is told of.
const DEFAULT_NAMESPACE: &str = "default";
/// The API's own Service.
const API_SERVICE: &str = "kubernetes";

/// The variables for a pod of this namespace. Without `links` (`enableServiceLinks`) only the API's Service is told of. A
/// Service of the pod's namespace comes before the API's, should it have the same name; one without an address is none.
pub(super) fn variables(services: &[Arc<Service>], namespace: &str, links: bool) -> BTreeMap<String, String> {
    let mut told: BTreeMap<&str, (&Service, &str)> = BTreeMap::new();
    for service in services {
        let (Some(name), Some(address)) = (service.metadata.name.as_deref(), address(service)) else { continue };
        let of = service.metadata.namespace.as_deref();
        if of == Some(DEFAULT_NAMESPACE) && name == API_SERVICE {
            told.entry(name).or_insert((service, address));
        } else if of == Some(namespace) && links {
            told.insert(name, (service, address));
        }
    }
    let mut variables = BTreeMap::new();
    for (name, (service, address)) in told {
        add(&mut variables, name, service, address);
    }
    variables
}

fn address(service: &Service) -> Option<&str> {
    let address = service.spec.as_ref()?.cluster_ip.as_deref()?;
    (!address.is_empty() && address != "None").then_some(address)
}

fn add(variables: &mut BTreeMap<String, String>, name: &str, service: &Service, address: &str) {
    let ports = service.spec.as_ref().and_then(|spec| spec.ports.as_deref()).unwrap_or_default();
    let prefix = of_name(name);
    let is_v6 = address.parse().is_ok_and(|address: IpAddr| address.is_ipv6());
    variables.insert(format!("{prefix}_SERVICE_HOST"), address.to_owned());
    for (index, port) in ports.iter().enumerate() {
        let number = port.port;
        if index == 0 {
            variables.insert(format!("{prefix}_SERVICE_PORT"), number.to_string());
        }
        if let Some(name) = port.name.as_deref().filter(|name| !name.is_empty()) {
            variables.insert(format!("{prefix}_SERVICE_PORT_{}", of_name(name)), number.to_string());
        }
        let protocol = port.protocol.as_deref().filter(|protocol| !protocol.is_empty()).unwrap_or("TCP");
        let lower = protocol.to_lowercase();
        let url =
            if is_v6 { format!("{lower}://[{address}]:{number}") } else { format!("{lower}://{address}:{number}") };
        if index == 0 {
            variables.insert(format!("{prefix}_PORT"), url.clone());
        }
        let prefix = format!("{prefix}_PORT_{number}_{}", protocol.to_uppercase());
        variables.insert(format!("{prefix}_PROTO"), lower);
        variables.insert(format!("{prefix}_PORT"), number.to_string());
        variables.insert(format!("{prefix}_ADDR"), address.to_owned());
        variables.insert(prefix, url);
    }
}

fn of_name(name: &str) -> String {
    name.replace('-', "_").to_uppercase()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn service(namespace: &str, name: &str, address: Value, ports: Value) -> Arc<Service> {
        let spec = json!({"clusterIP": address, "ports": ports});
        let metadata = json!({"namespace": namespace, "name": name});
        Arc::new(serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap())
    }

    #[test]
    fn services_are_told_of_by_name() {
        let services = [
            service("default", "kubernetes", json!("10.96.0.1"), json!([{"name": "https", "port": 443}])),
            service(
                "ns",
                "my-db",
                json!("fd00::5"),
                json!([{"port": 53, "protocol": "UDP"}, {"name": "a-b", "port": 8080, "protocol": "TCP"}]),
            ),
            service("ns", "headless", json!("None"), json!([{"port": 1}])),
            service("ns", "elsewhere", json!(null), json!([])),
            service("other", "foreign", json!("10.96.0.9"), json!([{"port": 1}])),
            service("default", "neighbour", json!("10.96.0.8"), json!([{"port": 1}])),
        ];
        let of_api = json!({
            "KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443",
            "KUBERNETES_SERVICE_PORT_HTTPS": "443", "KUBERNETES_PORT": "tcp://10.96.0.1:443",
            "KUBERNETES_PORT_443_TCP": "tcp://10.96.0.1:443", "KUBERNETES_PORT_443_TCP_PROTO": "tcp",
            "KUBERNETES_PORT_443_TCP_PORT": "443", "KUBERNETES_PORT_443_TCP_ADDR": "10.96.0.1",
        });
        assert_eq!(json!(variables(&services, "ns", false)), of_api);
        let mut all = of_api;
        all.as_object_mut().unwrap().extend(
            json!({
                "MY_DB_SERVICE_HOST": "fd00::5", "MY_DB_SERVICE_PORT": "53", "MY_DB_SERVICE_PORT_A_B": "8080",
                "MY_DB_PORT": "udp://[fd00::5]:53", "MY_DB_PORT_53_UDP": "udp://[fd00::5]:53",
                "MY_DB_PORT_53_UDP_PROTO": "udp", "MY_DB_PORT_53_UDP_PORT": "53", "MY_DB_PORT_53_UDP_ADDR": "fd00::5",
                "MY_DB_PORT_8080_TCP": "tcp://[fd00::5]:8080", "MY_DB_PORT_8080_TCP_PROTO": "tcp",
                "MY_DB_PORT_8080_TCP_PORT": "8080", "MY_DB_PORT_8080_TCP_ADDR": "fd00::5",
            })
            .as_object()
            .unwrap()
            .clone(),
        );
        assert_eq!(json!(variables(&services, "ns", true)), all);
    }

    #[test]
    fn a_namespaces_own_kubernetes_comes_first() {
        let services = [
            service("ns", "kubernetes", json!("10.1.1.1"), json!([{"port": 1}])),
            service("default", "kubernetes", json!("10.96.0.1"), json!([{"port": 443}])),
        ];
        let host = |links| variables(&services, "ns", links)["KUBERNETES_SERVICE_HOST"].clone();
        assert_eq!((host(true).as_str(), host(false).as_str()), ("10.1.1.1", "10.96.0.1"));
    }
}
