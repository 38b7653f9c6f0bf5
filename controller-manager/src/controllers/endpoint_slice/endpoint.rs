//! When two endpoints are the same one, and when two lists of ports are.

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointPort, EndpointSlice};

use super::pods::protocol;

/// What tells one endpoint from another. All else of an endpoint may change in place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::controllers) struct Identity {
    addresses: Vec<String>,
    hostname: String,
    namespace: String,
    name: String,
}

impl Identity {
    /// The identity of an endpoint.
    pub(in crate::controllers) fn of(endpoint: &Endpoint) -> Identity {
        let mut addresses = endpoint.addresses.clone();
        addresses.sort_unstable();
        let target = endpoint.target_ref.as_ref();
        let of_target = |field: fn(&ObjectReference) -> &Option<String>| {
            target.and_then(|target| field(target).clone()).unwrap_or_default()
        };
        Identity {
            addresses,
            hostname: endpoint.hostname.clone().unwrap_or_default(),
            namespace: of_target(|target| &target.namespace),
            name: of_target(|target| &target.name),
        }
    }

    /// The name of the pod behind the endpoint.
    pub(super) fn target(&self) -> &str {
        &self.name
    }
}

/// Whether two endpoints of the same identity say the same, but for hints, which are not their own.
pub(in crate::controllers) fn is_same(one: &Endpoint, other: &Endpoint) -> bool {
    let conditions = |endpoint: &Endpoint| {
        endpoint.conditions.as_ref().map(|is| (is.ready, is.serving, is.terminating)).unwrap_or_default()
    };
    one.node_name == other.node_name
        && one.zone == other.zone
        && conditions(one) == conditions(other)
        && target(one.target_ref.as_ref()) == target(other.target_ref.as_ref())
}

/// What is behind an endpoint, whatever its version.
fn target(target: Option<&ObjectReference>) -> Option<[&Option<String>; 6]> {
    let ObjectReference { api_version, field_path, kind, name, namespace, resource_version: _, uid } = target?;
    Some([api_version, field_path, kind, name, namespace, uid])
}

/// Whether the endpoint can take new connections.
pub(super) fn is_ready(endpoint: &Endpoint) -> bool {
    endpoint.conditions.as_ref().and_then(|conditions| conditions.ready) == Some(true)
}

/// A list of ports, whatever their order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::controllers) struct PortSet(Vec<(String, Option<i32>, String, Option<String>)>);

impl PortSet {
    /// The ports of a list.
    pub(in crate::controllers) fn of(ports: Option<&[EndpointPort]>) -> PortSet {
        let told = |port: &EndpointPort| {
            let name = port.name.clone().unwrap_or_default();
            (name, port.port, protocol(port.protocol.as_ref()).to_owned(), port.app_protocol.clone())
        };
        let mut ports: Vec<_> = ports.into_iter().flatten().map(told).collect();
        ports.sort_unstable();
        PortSet(ports)
    }

    /// The ports of a slice.
    pub(in crate::controllers) fn of_slice(slice: &EndpointSlice) -> PortSet {
        PortSet::of(slice.ports.as_deref())
    }
}

/// Puts ports in the order in which upstream writes them: that of the hashes (FNV-1a, of 128 bits) of how Go prints them.
pub(in crate::controllers) fn sort_ports(ports: &mut [EndpointPort]) {
    fn or_nil(text: Option<&str>) -> &str {
        text.unwrap_or("<nil>")
    }
    let printed = |port: &EndpointPort| {
        format!(
            "(v1.EndpointPort){{Name:(*string){} Protocol:(*v1.Protocol){} Port:(*int32){} AppProtocol:(*string){}}}",
            or_nil(port.name.as_deref()),
            or_nil(port.protocol.as_deref()),
            port.port.map_or_else(|| "<nil>".to_owned(), |port| port.to_string()),
            or_nil(port.app_protocol.as_deref()),
        )
    };
    ports.sort_by_cached_key(|port| fnv(printed(port).as_bytes()));
}

/// FNV-1a of 128 bits. The crate of that name has only 64.
fn fnv(bytes: &[u8]) -> u128 {
    let (basis, prime) = (0x6c62_272e_07bb_0142_62b8_2175_6295_c58d, 0x0000_0000_0100_0000_0000_0000_0000_013b);
    bytes.iter().fold(basis, |hash: u128, byte| (hash ^ u128::from(*byte)).wrapping_mul(prime))
}

/// The endpoints of a slice.
pub(in crate::controllers) fn endpoints(slice: &EndpointSlice) -> &[Endpoint] {
    slice.endpoints.as_deref().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn endpoint(json: Value) -> Endpoint {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn endpoints_are_told_apart_by_address_hostname_and_target() {
        let base = json!({"addresses": ["b", "a"], "hostname": "h", "targetRef": {"namespace": "n", "name": "p"}});
        let check = |other: Value, same_identity: bool, same: bool| {
            let (one, other) = (endpoint(base.clone()), endpoint(other));
            assert_eq!(Identity::of(&one) == Identity::of(&other), same_identity, "{other:?}");
            assert_eq!(is_same(&one, &other), same, "{other:?}");
        };
        let with = |field: &str, value: Value| {
            let mut json = base.clone();
            json[field] = value;
            json
        };
        check(with("addresses", json!(["a", "b"])), true, true);
        check(with("addresses", json!(["a"])), false, true);
        check(with("hostname", json!(null)), false, true);
        check(with("targetRef", json!({"namespace": "n", "name": "q"})), false, false);
        check(with("targetRef", json!({"namespace": "n", "name": "p", "resourceVersion": "7"})), true, true);
        check(with("targetRef", json!({"namespace": "n", "name": "p", "uid": "7"})), true, false);
        check(with("conditions", json!({"ready": true})), true, false);
        check(with("conditions", json!({})), true, true);
        check(with("zone", json!("z")), true, false);
        check(with("nodeName", json!("n")), true, false);
        check(with("hints", json!({"forZones": [{"name": "z"}]})), true, true);
    }

    #[test]
    fn ports_are_the_same_in_any_order() {
        let check = |one: Value, other: Value, same: bool| {
            let ports = |json: Value| serde_json::from_value::<Vec<EndpointPort>>(json).unwrap();
            let (one, other) = (ports(one), ports(other));
            assert_eq!(PortSet::of(Some(&one)) == PortSet::of(Some(&other)), same, "{one:?} {other:?}");
        };
        let (http, dns) = (json!({"name": "http", "port": 80}), json!({"name": "dns", "port": 53, "protocol": "UDP"}));
        check(json!([http, dns]), json!([dns, http]), true);
        check(json!([http]), json!([{"name": "http", "port": 80, "protocol": "TCP"}]), true);
        check(json!([{"name": "", "port": 80}]), json!([{"port": 80}]), true);
        check(json!([http]), json!([{"name": "http", "port": 80, "appProtocol": "h2c"}]), false);
        check(json!([http]), json!([http, http]), false);
        check(json!([]), json!([http]), false);
        assert_eq!(PortSet::of(None), PortSet::of(Some(&[])));
    }

    #[test]
    fn ports_are_in_the_order_that_clusters_show() {
        // As the slices of the cluster's DNS are shown by every cluster: 53,53,9153.
        let port = |name: &str, port: i32, protocol: &str| EndpointPort {
            name: Some(name.to_owned()),
            port: Some(port),
            protocol: Some(protocol.to_owned()),
            ..EndpointPort::default()
        };
        let mut ports = [port("metrics", 9153, "TCP"), port("dns-tcp", 53, "TCP"), port("dns", 53, "UDP")];
        sort_ports(&mut ports);
        assert_eq!(ports.map(|port| port.name.unwrap()), ["dns", "dns-tcp", "metrics"]);
        assert_eq!(fnv(b""), 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d);
        assert_eq!(fnv(b"a"), 0xd228_cb69_6f1a_8caf_7891_2b70_4e4a_8964);
    }
}
