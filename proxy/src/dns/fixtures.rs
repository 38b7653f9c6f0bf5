//! Objects for tests, and questions and replies as text.

use std::collections::BTreeMap;

use hickory_proto::rr::{Name, Record, RecordType};
use k8s_openapi::api::core::v1::{Namespace, Service, ServicePort, ServiceSpec};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::answer::Question;
use super::names::{Names, Zone};

pub(super) fn zone() -> Zone {
    Zone {
        name: Name::from_ascii("cluster.local.").unwrap(),
        ttl: 30,
        addresses: vec!["10.96.0.10".parse().unwrap(), "fd00:96::a".parse().unwrap()],
    }
}

/// `name.namespace` as metadata. Of more than one dot, the last counts.
fn meta(place: &str) -> ObjectMeta {
    let (name, namespace) = place.rsplit_once('.').unwrap();
    ObjectMeta { name: Some(name.to_owned()), namespace: Some(namespace.to_owned()), ..ObjectMeta::default() }
}

pub(super) fn namespace(name: &str) -> Namespace {
    Namespace { metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() }, ..Namespace::default() }
}

/// A port `name/protocol/number`.
fn port(text: &str) -> (Option<String>, Option<String>, i32) {
    let parts: Vec<&str> = text.split('/').collect();
    let name = Some(parts[0].to_owned()).filter(|name| !name.is_empty());
    (name, Some(parts[1].to_owned()), parts[2].parse().unwrap())
}

/// A Service with these cluster IPs (`None` makes it headless).
pub(super) fn service(place: &str, addresses: &[&str], ports: &[&str]) -> Service {
    let ports = ports.iter().map(|text| {
        let (name, protocol, port) = port(text);
        ServicePort { name, protocol, port, ..ServicePort::default() }
    });
    let spec = ServiceSpec {
        type_: Some("ClusterIP".to_owned()),
        cluster_ip: addresses.first().map(|address| (*address).to_owned()),
        cluster_ips: Some(addresses.iter().map(|address| (*address).to_owned()).collect()),
        ports: Some(ports.collect()),
        ..ServiceSpec::default()
    };
    Service { metadata: meta(place), spec: Some(spec), ..Service::default() }
}

pub(super) fn external(place: &str, name: &str) -> Service {
    let spec = ServiceSpec {
        type_: Some("ExternalName".to_owned()),
        external_name: Some(name.to_owned()),
        ..ServiceSpec::default()
    };
    Service { metadata: meta(place), spec: Some(spec), ..Service::default() }
}

/// A slice of a Service with these endpoints, each `address`, `host=address` or either with `!` before it if it is not
/// ready.
pub(super) fn slice(place: &str, service: &str, endpoints: &[&str], ports: &[&str]) -> EndpointSlice {
    let endpoints = endpoints.iter().map(|text| {
        let (ready, text) = text.strip_prefix('!').map_or((None, *text), |text| (Some(false), text));
        let (hostname, address) = text.split_once('=').map_or((None, text), |(host, at)| (Some(host), at));
        Endpoint {
            addresses: vec![address.to_owned()],
            hostname: hostname.map(str::to_owned),
            conditions: Some(EndpointConditions { ready, ..EndpointConditions::default() }),
            ..Endpoint::default()
        }
    });
    let ports = ports.iter().map(|text| {
        let (name, protocol, port) = port(text);
        EndpointPort { name, protocol, port: Some(port), ..EndpointPort::default() }
    });
    let mut metadata = meta(place);
    metadata.labels = Some(BTreeMap::from([("kubernetes.io/service-name".to_owned(), service.to_owned())]));
    EndpointSlice {
        metadata,
        address_type: "IPv4".to_owned(),
        endpoints: Some(endpoints.collect()),
        ports: Some(ports.collect()),
    }
}

/// The cluster of upstream's own tests, and a little more.
pub(super) fn cluster() -> Names {
    let mut names = Names::new(zone());
    names.put_namespace(&namespace("testns"));
    names.put_namespace(&namespace("kube-system"));
    let http = &["http/TCP/80"];
    let services = [
        service("kube-dns.kube-system", &["10.96.0.10"], &["dns/UDP/53", "dns-tcp/TCP/53"]),
        service("svc1.testns", &["10.0.0.1"], http),
        service("svc6.testns", &["1234:abcd::1"], http),
        service("svc-dual-stack.testns", &["10.0.0.3", "10::3"], http),
        service("two.testns", &["10.0.0.4"], &["http/TCP/80", "Admin/UDP/81"]),
        service("unnamed.testns", &["10.0.0.5"], &["/TCP/82"]),
        service("pending.testns", &[], http),
        service("hdls1.testns", &["None"], &[]),
        service("hdlsprtls.testns", &["None"], &[]),
        service("hdlsempty.testns", &["None"], http),
        service("svc1.nons", &["10.0.0.9"], http),
        external("external.testns", "ext.interwebs.test"),
        external("external-to-service.testns", "svc1.testns.svc.cluster.local."),
        external("external-to-nothing.testns", "svc0.testns.svc.cluster.local"),
        external("external-to-address.testns", "10.9.9.9"),
        external("circle1.testns", "circle2.testns.svc.cluster.local"),
        external("circle2.testns", "CIRCLE1.testns.svc.cluster.local"),
        external("external-to-external.testns", "external.testns.svc.cluster.local"),
    ];
    services.iter().for_each(|service| names.put_service(service));
    let mut unready = service("unready.testns", &["None"], http);
    unready.spec.as_mut().unwrap().publish_not_ready_addresses = Some(true);
    names.put_service(&unready);
    let slices = [
        slice("svc1-slice1.testns", "svc1", &["ep1a=172.0.0.1"], http),
        slice(
            "hdls1-slice1.testns",
            "hdls1",
            &["172.0.0.2", "172.0.0.3", "dup-name=172.0.0.4", "dup-name=172.0.0.5", "!172.0.0.6"],
            http,
        ),
        slice("hdls1-slice2.testns", "hdls1", &["5678:abcd::1", "5678:abcd::2", "172.0.0.2"], http),
        slice("hdlsprtls-slice1.testns", "hdlsprtls", &["172.0.0.20"], &[]),
        slice("hdlsempty-slice1.testns", "hdlsempty", &["!172.0.0.30"], http),
        slice("unready-slice1.testns", "unready", &["!early=172.0.0.40"], http),
        slice("orphan-slice1.testns", "orphan", &["172.0.0.50"], http),
    ];
    slices.iter().for_each(|slice| names.put_slice(slice));
    names.set_complete();
    names
}

/// A question such as `svc1.testns.svc A`. A name without a dot at its end is below the zone, and `@` is the zone.
pub(super) fn question(text: &str) -> Question {
    let (name, kind) = text.split_once(' ').unwrap();
    let name = match name {
        "@" => "cluster.local.".to_owned(),
        name if name.ends_with('.') => name.to_owned(),
        name => format!("{name}.cluster.local."),
    };
    Question { name: Name::from_ascii(name).unwrap(), kind: kind.parse::<RecordType>().unwrap() }
}

/// Records as lines, in which `@` is the zone, sorted.
pub(super) fn lines(records: &[Record]) -> Vec<String> {
    let line = |record: &Record| {
        let (name, ttl, kind) = (record.name.to_ascii(), record.ttl, record.record_type());
        format!("{name} {ttl} {kind} {}", record.data).replace("cluster.local.", "@")
    };
    let mut lines: Vec<String> = records.iter().map(line).collect();
    lines.sort();
    lines
}
