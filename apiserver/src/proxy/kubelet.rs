//! Where the kubelet of a node is found: at an address and a port that its Node states.

use std::fmt;
use std::str::FromStr;

use k8s_openapi::api::core::v1::Node;

/// The port of a kubelet whose Node states none; upstream's default.
const DEFAULT_PORT: u16 = 10250;

/// A type of address in the status of a Node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressType {
    /// `Hostname`.
    Hostname,
    /// `InternalDNS`.
    InternalDns,
    /// `InternalIP`.
    InternalIp,
    /// `ExternalDNS`.
    ExternalDns,
    /// `ExternalIP`.
    ExternalIp,
}

impl AddressType {
    /// The order of preference, unless another is wanted. Addresses come before names, as kubeadm has it and not upstream's
    /// API server by itself: a node's name is often one that nobody resolves, which is found out only after seconds.
    pub const DEFAULT: [AddressType; 5] = [
        AddressType::InternalIp,
        AddressType::ExternalIp,
        AddressType::Hostname,
        AddressType::InternalDns,
        AddressType::ExternalDns,
    ];

    fn as_str(self) -> &'static str {
        match self {
            AddressType::Hostname => "Hostname",
            AddressType::InternalDns => "InternalDNS",
            AddressType::InternalIp => "InternalIP",
            AddressType::ExternalDns => "ExternalDNS",
            AddressType::ExternalIp => "ExternalIP",
        }
    }
}

impl fmt::Display for AddressType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for AddressType {
    type Err = String;

    fn from_str(text: &str) -> Result<AddressType, String> {
        let found = AddressType::DEFAULT.into_iter().find(|known| known.as_str() == text);
        found.ok_or_else(|| {
            let known = AddressType::DEFAULT.map(AddressType::as_str).join(", ");
            format!("{text:?} is no type of address of a node: use {known}")
        })
    }
}

/// Where a kubelet may be found, most preferred first. Upstream knows the first alone; the others are for those whose
/// first is a name that this machine cannot look up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kubelet {
    pub(super) hosts: Vec<String>,
    pub(super) port: u16,
}

/// Reads it from `node`. `None` if that has no address of a type that is wanted.
pub(super) fn find(node: &Node, preferred: &[AddressType]) -> Option<Kubelet> {
    let status = node.status.as_ref()?;
    let addresses = status.addresses.as_deref().unwrap_or_default();
    let of_type = |wanted: &AddressType| addresses.iter().find(|address| address.type_ == wanted.as_str());
    let mut hosts: Vec<String> = Vec::new();
    for address in preferred.iter().filter_map(of_type).filter(|address| !address.address.is_empty()) {
        if !hosts.contains(&address.address) {
            hosts.push(address.address.clone());
        }
    }
    let stated = status.daemon_endpoints.as_ref().and_then(|endpoints| endpoints.kubelet_endpoint.as_ref());
    let port = stated.and_then(|endpoint| u16::try_from(endpoint.port).ok()).filter(|port| *port > 0);
    (!hosts.is_empty()).then(|| Kubelet { hosts, port: port.unwrap_or(DEFAULT_PORT) })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn kubelets_are_found_where_their_nodes_say() {
        let check = |status: Value, preferred: &[AddressType], expected: Option<(&[&str], u16)>| {
            let node: Node = serde_json::from_value(json!({"metadata": {"name": "n"}, "status": status})).unwrap();
            let found = find(&node, preferred);
            let expected = expected.map(|(hosts, port)| {
                let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
                Kubelet { hosts, port }
            });
            assert_eq!(found, expected);
        };
        let addresses = json!([
            {"type": "InternalIP", "address": "10.0.0.7"},
            {"type": "InternalIP", "address": "fd00::7"},
            {"type": "Hostname", "address": "box"},
        ]);
        let port = json!({"kubeletEndpoint": {"Port": 10350}});
        let status = json!({"addresses": addresses, "daemonEndpoints": port});
        check(status.clone(), &AddressType::DEFAULT, Some((&["10.0.0.7", "box"], 10350)));
        check(status.clone(), &[AddressType::Hostname, AddressType::InternalIp], Some((&["box", "10.0.0.7"], 10350)));
        check(status, &[AddressType::ExternalIp], None);
        check(json!({"addresses": addresses}), &[AddressType::Hostname], Some((&["box"], 10250)));
        let no_port = json!({"addresses": addresses, "daemonEndpoints": {"kubeletEndpoint": {"Port": 0}}});
        check(no_port, &[AddressType::Hostname], Some((&["box"], 10250)));
        check(json!({}), &AddressType::DEFAULT, None);
        let same = json!([{"type": "Hostname", "address": "10.0.0.7"}, {"type": "InternalIP", "address": "10.0.0.7"}]);
        check(json!({"addresses": same}), &AddressType::DEFAULT, Some((&["10.0.0.7"], 10250)));
    }

    #[test]
    fn types_of_addresses_are_read_by_name() {
        for known in AddressType::DEFAULT {
            assert_eq!(known.to_string().parse(), Ok(known));
        }
        assert!("IP".parse::<AddressType>().unwrap_err().contains("InternalIP"));
    }
}
