//! Which server stands behind a name in a path: a pod, one of the endpoints of a Service, or what listens on a node.
//!
//! Addresses that mean something else to this machine than to the cluster (loopback, link-local and the like) are refused:
//! they would lead to what only this machine may reach.

use std::net::IpAddr;

use api::status::Status;
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;

use super::location::Reference;
use super::transport::{Endpoint, Security};

/// What is said of addresses that are refused; upstream's words.
const NOT_ALLOWED: &str = "address not allowed";

/// Whether an address may be one of the cluster's: a global unicast address as Go's `IsGlobalUnicast` has it.
pub(super) fn is_proxyable(ip: IpAddr) -> bool {
    let unusual = ip.is_unspecified() || ip.is_loopback() || ip.is_multicast();
    !unusual
        && match ip {
            IpAddr::V4(ip) => !ip.is_broadcast() && !ip.is_link_local(),
            IpAddr::V6(ip) => match ip.to_ipv4_mapped() {
                Some(v4) => is_proxyable(IpAddr::V4(v4)),
                None => !ip.is_unicast_link_local(),
            },
        }
}

/// The refusal of an address.
pub(super) fn not_allowed() -> Status {
    Status::bad_request(NOT_ALLOWED)
}

/// How a server that is no kubelet is spoken to.
pub(super) fn security(https: bool) -> Security {
    if https { Security::Unverified } else { Security::Plain }
}

/// The server in `pod`: at the port that `reference` states, or the first that the pod declares, or that of HTTP.
pub(super) fn of_pod(pod: &Pod, reference: Reference<'_>) -> Result<Endpoint, Status> {
    let status = pod.status.as_ref();
    let ip = status.and_then(|status| status.pod_ips.as_deref()?.first()).map(|ip| ip.ip.as_str());
    let ip: Option<IpAddr> = ip.and_then(|ip| ip.parse().ok());
    let ip = ip.filter(|ip| is_proxyable(*ip)).ok_or_else(not_allowed)?;
    let containers = pod.spec.as_ref().map(|spec| spec.containers.as_slice()).unwrap_or_default();
    let declared = || containers.iter().find_map(|container| container.ports.as_ref()?.first());
    let port = match (reference.port, declared()) {
        ("", Some(port)) => u16::try_from(port.container_port).unwrap_or(0),
        ("", None) => default_port(reference.https),
        (stated, _) => parse_port(stated)?,
    };
    Ok(Endpoint { host: ip.to_string(), port, security: security(reference.https) })
}

/// The port of the scheme.
fn default_port(https: bool) -> u16 {
    if https { 443 } else { 80 }
}

/// A port that a request states as a number.
pub(super) fn parse_port(text: &str) -> Result<u16, Status> {
    let port = text.parse().ok().filter(|port| *port > 0);
    port.ok_or_else(|| Status::bad_request(format!("invalid port {text:?}: a number between 1 and 65535 is needed")))
}

/// The name of the port of `service` that `reference` states by name or number; upstream's rules and words.
pub(super) fn port_name(service: &Service, reference: Reference<'_>) -> Result<String, Status> {
    let Ok(number) = reference.port.parse::<i64>() else { return Ok(reference.port.to_owned()) };
    let ports = service.spec.as_ref().and_then(|spec| spec.ports.as_deref()).unwrap_or_default();
    let port = ports.iter().find(|port| i64::from(port.port) == number).ok_or_else(|| {
        let name = reference.name;
        Status::service_unavailable(format!("no service port {number} found for service {name:?}"))
    })?;
    Ok(port.name.clone().unwrap_or_default())
}

/// An endpoint of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) ip: IpAddr,
    pub(super) port: u16,
    /// The pod that it is to be, in the Service's namespace.
    pub(super) pod: String,
}

impl Candidate {
    /// Whether `pod`, which has the name that the endpoint states, has its address.
    pub(super) fn is(&self, pod: &Pod) -> bool {
        let ips = pod.status.as_ref().and_then(|status| status.pod_ips.as_deref()).unwrap_or_default();
        ips.iter().any(|ip| ip.ip.parse() == Ok(self.ip))
    }
}

/// The endpoints among `slices` that are ready and have a port of that name, beginning at one that `random` chooses. Those
/// that are no pods of `namespace` are left out, as whoever may change an EndpointSlice could lead requests elsewhere.
pub(super) fn candidates(slices: &[EndpointSlice], port: &str, namespace: &str, random: u64) -> Vec<Candidate> {
    let mut found = Vec::new();
    for slice in slices {
        let named =
            |known: &&k8s_openapi::api::discovery::v1::EndpointPort| known.name.as_deref().unwrap_or_default() == port;
        let number = slice.ports.iter().flatten().find(named).and_then(|port| port.port);
        let Some(number) = number.and_then(|number| u16::try_from(number).ok()).filter(|number| *number > 0) else {
            continue;
        };
        for endpoint in slice.endpoints.iter().flatten() {
            let ready = endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true);
            let pod = endpoint.target_ref.as_ref().filter(|target| {
                target.kind.as_deref() == Some("Pod") && target.namespace.as_deref() == Some(namespace)
            });
            let ip = endpoint.addresses.first().and_then(|address| address.parse::<IpAddr>().ok());
            let (Some(ip), Some(pod)) = (ip.filter(|ip| is_proxyable(*ip)), pod.and_then(|pod| pod.name.clone()))
            else {
                continue;
            };
            if ready {
                found.push(Candidate { ip, port: number, pod });
            }
        }
    }
    let count = found.len().max(1) as u64;
    let first = usize::try_from(random % count).unwrap_or(0);
    found.rotate_left(first);
    found
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn addresses_of_the_machine_itself_are_refused() {
        let check = |ip: &str, expected: bool| assert_eq!(is_proxyable(ip.parse().unwrap()), expected, "{ip}");
        check("10.0.0.1", true);
        check("8.8.8.8", true);
        check("fd00::1", true);
        check("2001:db8::1", true);
        check("::ffff:10.0.0.1", true);
        for refused in [
            "127.0.0.1",
            "127.8.8.8",
            "::1",
            "0.0.0.0",
            "::",
            "169.254.169.254",
            "fe80::1",
            "224.0.0.1",
            "ff02::1",
            "255.255.255.255",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
        ] {
            check(refused, false);
        }
    }

    fn pod(ips: &[&str], ports: &[u16]) -> Pod {
        let ips: Vec<Value> = ips.iter().map(|ip| json!({"ip": ip})).collect();
        let ports: Vec<Value> = ports.iter().map(|port| json!({"containerPort": port})).collect();
        let containers = json!([{"name": "first"}, {"name": "second", "ports": ports}]);
        let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": containers}, "status": {"podIPs": ips}});
        serde_json::from_value(pod).unwrap()
    }

    #[test]
    fn pods_are_found_at_their_address_and_port() {
        let check = |pod: &Pod, reference: &str, expected: Result<&str, &str>| {
            let found = of_pod(pod, Reference::parse(reference).unwrap());
            let found = found.map(|found| format!("{}://{}", found.scheme(), found.authority()));
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(found.map_err(|status| status.message), expected, "{reference}");
        };
        let web = pod(&["10.0.0.7", "fd00::7"], &[8080, 9090]);
        check(&web, "p", Ok("http://10.0.0.7:8080"));
        check(&web, "https:p:", Ok("https://10.0.0.7:8080"));
        check(&web, "p:9", Ok("http://10.0.0.7:9"));
        check(&web, "https:p:9", Ok("https://10.0.0.7:9"));
        check(&web, "p:0", Err("invalid port \"0\": a number between 1 and 65535 is needed"));
        check(&web, "p:http", Err("invalid port \"http\": a number between 1 and 65535 is needed"));
        check(&pod(&["fd00::7"], &[]), "p", Ok("http://[fd00::7]:80"));
        check(&pod(&["fd00::7"], &[]), "https:p:", Ok("https://[fd00::7]:443"));
        check(&pod(&["127.0.0.1"], &[80]), "p", Err("address not allowed"));
        check(&pod(&[], &[80]), "p", Err("address not allowed"));
    }

    #[test]
    fn ports_of_services_have_names_and_numbers() {
        let ports = json!([{"name": "web", "port": 80}, {"name": "tls", "port": 443}]);
        let service: Service = serde_json::from_value(json!({"spec": {"ports": ports}})).unwrap();
        let check = |reference: &str, expected: Result<&str, &str>| {
            let found = port_name(&service, Reference::parse(reference).unwrap());
            let expected = expected.map(str::to_owned).map_err(|message| (503, message.to_owned()));
            assert_eq!(found.map_err(|status| (status.code, status.message)), expected, "{reference}");
        };
        check("s", Ok(""));
        check("s:web", Ok("web"));
        check("s:443", Ok("tls"));
        check("https:s:443", Ok("tls"));
        check("s:8080", Err("no service port 8080 found for service \"s\""));
    }

    #[test]
    fn endpoints_are_ready_pods_of_the_namespace() {
        let endpoint = |ip: &str, ready: Option<bool>, namespace: &str, pod: &str| {
            json!({
                "addresses": [ip],
                "conditions": {"ready": ready},
                "targetRef": {"kind": "Pod", "namespace": namespace, "name": pod},
            })
        };
        let slice = |endpoints: Value, port: Value| {
            let slice = json!({"metadata": {}, "addressType": "IPv4", "endpoints": endpoints, "ports": [port]});
            serde_json::from_value::<EndpointSlice>(slice).unwrap()
        };
        let web = json!({"name": "web", "port": 8080});
        let slices = [
            slice(
                json!([
                    endpoint("10.0.0.1", Some(true), "a", "p1"),
                    endpoint("10.0.0.2", Some(false), "a", "p2"),
                    endpoint("10.0.0.3", None, "a", "p3"),
                    endpoint("10.0.0.4", None, "b", "p4"),
                    endpoint("127.0.0.1", None, "a", "p5"),
                    {"addresses": ["10.0.0.6"]},
                ]),
                web.clone(),
            ),
            slice(json!([endpoint("10.0.1.1", None, "a", "q1")]), json!({"name": "tls", "port": 8443})),
            slice(json!([endpoint("10.0.2.1", None, "a", "r1")]), web),
            slice(json!([endpoint("10.0.3.1", None, "a", "s1")]), json!({"port": 80})),
        ];
        let check = |port: &str, random: u64, expected: &[&str]| {
            let found = candidates(&slices, port, "a", random);
            let found: Vec<String> =
                found.iter().map(|found| format!("{} {}:{}", found.pod, found.ip, found.port)).collect();
            assert_eq!(found, expected, "{port} {random}");
        };
        check("web", 0, &["p1 10.0.0.1:8080", "p3 10.0.0.3:8080", "r1 10.0.2.1:8080"]);
        check("web", 5, &["r1 10.0.2.1:8080", "p1 10.0.0.1:8080", "p3 10.0.0.3:8080"]);
        check("tls", 1, &["q1 10.0.1.1:8443"]);
        check("", 1, &["s1 10.0.3.1:80"]);
        check("none", 1, &[]);
        let candidate = Candidate { ip: "10.0.0.1".parse().unwrap(), port: 1, pod: "p".to_owned() };
        assert!(candidate.is(&pod(&["fd00::1", "10.0.0.1"], &[])));
        assert!(!candidate.is(&pod(&["10.0.0.2"], &[])));
    }
}
