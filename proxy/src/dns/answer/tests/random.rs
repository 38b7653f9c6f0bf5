//! Random clusters: what they answer is what stands in a zone file that has every record, and does not depend on how the
//! cluster came to be as it is.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::dns::fixtures::{external, namespace, service, slice};

const NAMESPACES: [&str; 2] = ["a", "b"];
const SERVICES: [&str; 3] = ["web", "db", "api"];
const ADDRESSES: [&str; 5] = ["10.0.0.1", "10.0.0.2", "10.0.1.1", "fd00::1", "fd00:0:0:1::2"];
const ENDPOINTS: [&str; 7] =
    ["10.1.0.1", "!10.1.0.1", "web-0=10.1.0.2", "web-0=fd01::1", "!web-1=10.1.0.3", "fd01::2", "10.0.0.1"];
const PORTS: [&str; 4] = ["http/TCP/80", "dns/UDP/53", "/TCP/9", "http/TCP/81"];
const TARGETS: [&str; 5] =
    ["db.a.svc.cluster.local", "web.b.svc.cluster.local.", "none.a.svc.cluster.local", "example.com", "10.0.0.7"];

/// Something that happens to a cluster.
#[derive(Clone, Debug)]
enum Event {
    Namespace(&'static str, bool),
    Service(Box<Service>),
    NoService(&'static str, &'static str),
    Slice(Box<EndpointSlice>),
    NoSlice(&'static str, u8),
}

fn some<T: Clone + std::fmt::Debug + 'static>(all: &'static [T], most: usize) -> impl Strategy<Value = Vec<T>> {
    proptest::collection::vec(select(all), 0..=most)
}

fn event() -> impl Strategy<Value = Event> {
    let place = || (select(&NAMESPACES[..]), select(&SERVICES[..]));
    let with_addresses = (place(), some(&ADDRESSES, 2), some(&PORTS, 3)).prop_map(|((ns, name), addresses, ports)| {
        Event::Service(Box::new(service(&format!("{name}.{ns}"), &addresses, &ports)))
    });
    let headless = (place(), any::<bool>()).prop_map(|((ns, name), unready)| {
        let mut service = service(&format!("{name}.{ns}"), &["None"], &[]);
        service.spec.as_mut().unwrap().publish_not_ready_addresses = Some(unready);
        Event::Service(Box::new(service))
    });
    let alias = (place(), select(&TARGETS[..]))
        .prop_map(|((ns, name), target)| Event::Service(Box::new(external(&format!("{name}.{ns}"), target))));
    let slices = (place(), 0..4_u8, some(&ENDPOINTS, 4), some(&PORTS, 2)).prop_map(|((ns, name), at, ends, ports)| {
        Event::Slice(Box::new(slice(&format!("s{at}.{ns}"), name, &ends, &ports)))
    });
    prop_oneof![
        2 => (select(&NAMESPACES[..]), prop::bool::weighted(0.8)).prop_map(|(ns, there)| Event::Namespace(ns, there)),
        4 => with_addresses,
        4 => headless,
        2 => alias,
        2 => place().prop_map(|(ns, name)| Event::NoService(ns, name)),
        8 => slices,
        2 => (select(&NAMESPACES[..]), 0..4_u8).prop_map(|(ns, at)| Event::NoSlice(ns, at)),
    ]
}

/// The objects of a cluster, as they are.
#[derive(Default)]
struct Objects {
    namespaces: BTreeSet<String>,
    services: BTreeMap<(String, String), Service>,
    slices: BTreeMap<(String, String), EndpointSlice>,
}

impl Objects {
    fn apply(&mut self, event: &Event, names: &mut Names) {
        let place = |meta: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta| {
            (meta.namespace.clone().unwrap(), meta.name.clone().unwrap())
        };
        match event {
            Event::Namespace(name, true) => {
                self.namespaces.insert((*name).to_owned());
                names.put_namespace(&namespace(name));
            }
            Event::Namespace(name, false) => {
                self.namespaces.remove(*name);
                names.remove_namespace(name);
            }
            Event::Service(service) => {
                names.put_service(service);
                self.services.insert(place(&service.metadata), (**service).clone());
            }
            Event::NoService(ns, name) => {
                names.remove_service(ns, name);
                self.services.remove(&((*ns).to_owned(), (*name).to_owned()));
            }
            Event::Slice(slice) => {
                names.put_slice(slice);
                self.slices.insert(place(&slice.metadata), (**slice).clone());
            }
            Event::NoSlice(ns, at) => {
                names.remove_slice(ns, &format!("s{at}"));
                self.slices.remove(&((*ns).to_owned(), format!("s{at}")));
            }
        }
    }

    fn anew(&self) -> Names {
        let mut names = Names::new(zone());
        self.slices.values().rev().for_each(|slice| names.put_slice(slice));
        self.services.values().for_each(|service| names.put_service(service));
        self.namespaces.iter().for_each(|name| names.put_namespace(&namespace(name)));
        names
    }
}

/// Every record of a cluster, as `(owner, type, data)`, and the names that have none.
#[derive(Default)]
struct ZoneFile {
    records: BTreeSet<(String, &'static str, String)>,
    bare: BTreeSet<String>,
}

/// An address with its port, below the Service if it is an endpoint's.
struct Pair {
    host: Option<String>,
    address: String,
    port: Option<(String, String, i32)>,
}

impl ZoneFile {
    fn of(objects: &Objects) -> ZoneFile {
        let mut file = ZoneFile::default();
        for fixed in ["@", "svc.@", "pod.@"] {
            file.bare.insert(fixed.to_owned());
        }
        for name in &objects.namespaces {
            file.bare.extend([format!("{name}.svc.@"), format!("{name}.pod.@")]);
        }
        for ((ns, name), service) in &objects.services {
            file.service(objects, &format!("{name}.{ns}.svc.@"), ns, name, service);
        }
        file
    }

    fn service(&mut self, objects: &Objects, owner: &str, ns: &str, name: &str, service: &Service) {
        let is_there = objects.namespaces.contains(ns);
        let spec = service.spec.as_ref().unwrap();
        if spec.type_.as_deref() == Some("ExternalName") {
            let target = spec.external_name.as_deref().unwrap();
            if is_there && target.parse::<IpAddr>().is_err() {
                let target = format!("{}.", target.trim_end_matches('.')).replace("cluster.local.", "@");
                self.records.insert((owner.to_owned(), "CNAME", target));
            }
            return;
        }
        let ends = ends(objects, ns, name, spec.publish_not_ready_addresses == Some(true));
        let addresses = spec.cluster_ips.clone().unwrap_or_default();
        let headless = addresses.first().is_some_and(|address| address == "None");
        for end in &ends {
            let target = format!("{}.{owner}", end.host.as_ref().unwrap());
            self.records.insert((format!("{}/", end.address), "PTR", target));
        }
        let ports: Vec<_> = spec.ports.iter().flatten().collect();
        let ports = ports.iter().map(|port| {
            (port.name.clone().unwrap_or_default(), port.protocol.clone().unwrap().to_lowercase(), port.port)
        });
        let mut ports: Vec<Option<_>> = ports.map(Some).collect();
        if ports.is_empty() {
            ports.push(None);
        }
        if !headless {
            // A cluster IP is told first, and alone: the first Service that has it.
            for address in &addresses {
                self.records.insert((address.clone(), "PTR", owner.to_owned()));
            }
        }
        if !is_there {
            return;
        }
        let own = if headless { Vec::new() } else { addresses };
        let own = own.iter().flat_map(|address| {
            ports.iter().map(|port| Pair { host: None, address: address.clone(), port: port.clone() })
        });
        let own: Vec<Pair> = own.collect();
        if !headless {
            self.bare.insert(owner.to_owned());
            for (name, protocol, _) in ports.iter().flatten().filter(|(name, ..)| !name.is_empty()) {
                self.bare.insert(format!("_{name}._{protocol}.{owner}"));
            }
        }
        let whole: Vec<&Pair> = if headless { ends.iter().collect() } else { own.iter().collect() };
        self.all(owner, owner, &whole);
        for end in &ends {
            let host = format!("{}.{owner}", end.host.as_ref().unwrap());
            self.all(&host, owner, &ends.iter().filter(|other| other.host == end.host).collect::<Vec<_>>());
        }
        let named: BTreeSet<_> = whole.iter().filter_map(|pair| pair.port.as_ref()).map(|(n, p, _)| (n, p)).collect();
        for (name, protocol) in named.into_iter().filter(|(name, _)| !name.is_empty()) {
            let of_port = |pair: &&&Pair| pair.port.as_ref().is_some_and(|(n, p, _)| (n, p) == (name, protocol));
            let pairs: Vec<&Pair> = whole.iter().filter(of_port).copied().collect();
            self.all(&format!("_{name}._{protocol}.{owner}"), owner, &pairs);
        }
    }

    fn all(&mut self, at: &str, service: &str, pairs: &[&Pair]) {
        for pair in pairs {
            let kind = if pair.address.contains(':') { "AAAA" } else { "A" };
            let address = pair.address.parse::<IpAddr>().unwrap().to_string();
            self.records.insert((at.to_owned(), kind, address));
            if let Some((_, _, port)) = &pair.port {
                let host = pair.host.as_ref().map(|host| format!("{host}.")).unwrap_or_default();
                let weight = (100 / pairs.len()).max(1);
                self.records.insert((at.to_owned(), "SRV", format!("0 {weight} {port} {host}{service}")));
            }
        }
    }

    /// The code and the data of the answers, `None` if the name leads out of the cluster.
    fn look(&self, owner: &str, kind: &str, depth: usize) -> Option<(ResponseCode, Vec<String>)> {
        let at = |kind: &str| {
            let found = self.records.iter().filter(|(name, known, _)| name == owner && *known == kind);
            found.map(|(_, _, data)| data.clone()).collect::<Vec<String>>()
        };
        if depth == 8 {
            return Some((ResponseCode::ServFail, Vec::new()));
        }
        if let Some(target) = at("CNAME").pop() {
            if kind == "CNAME" {
                return Some((NOERROR, vec![target]));
            }
            let (code, mut found) = target.ends_with('@').then(|| self.look(&target, kind, depth + 1)).flatten()?;
            if code != ResponseCode::ServFail {
                found.push(target);
            }
            return Some((code, found));
        }
        let below = format!(".{owner}");
        let all = self.bare.iter().chain(self.records.iter().map(|(name, ..)| name));
        let exists = all.into_iter().any(|name| name == owner || name.ends_with(&below));
        Some((if exists { NOERROR } else { NXDOMAIN }, at(kind)))
    }

    /// The names of an address.
    fn reverse(&self, address: &str) -> Vec<String> {
        let at = |owner: &str| {
            let found = self.records.iter().filter(|(name, kind, _)| name == owner && *kind == "PTR");
            found.map(|(_, _, data)| data.clone()).collect::<Vec<String>>()
        };
        let mut services = at(address);
        services.sort();
        services.truncate(1);
        if services.is_empty() { at(&format!("{address}/")) } else { services }
    }
}

/// The published endpoints of a Service with their ports.
fn ends(objects: &Objects, ns: &str, name: &str, unready: bool) -> Vec<Pair> {
    let mut ends = Vec::new();
    for ((at, _), slice) in &objects.slices {
        let label = &slice.metadata.labels.as_ref().unwrap()["kubernetes.io/service-name"];
        if at != ns || label != name {
            continue;
        }
        let ports = slice.ports.iter().flatten().map(|port| {
            let protocol = port.protocol.clone().unwrap().to_lowercase();
            Some((port.name.clone().unwrap_or_default(), protocol, port.port.unwrap()))
        });
        let mut ports: Vec<_> = ports.collect();
        if ports.is_empty() {
            ports.push(None);
        }
        for endpoint in slice.endpoints.iter().flatten() {
            if endpoint.conditions.as_ref().unwrap().ready == Some(false) && !unready {
                continue;
            }
            let address = &endpoint.addresses[0];
            let host = endpoint.hostname.clone().unwrap_or_else(|| address.replace(['.', ':'], "-"));
            let pair =
                |port: &Option<_>| Pair { host: Some(host.clone()), address: address.clone(), port: port.clone() };
            ends.extend(ports.iter().map(pair));
        }
    }
    ends
}

/// The names that may be asked for, without the zone.
fn owners() -> Vec<String> {
    let mut owners = vec!["svc".to_owned(), "pod".to_owned(), "nothing".to_owned()];
    let labels =
        ["10-1-0-1", "web-0", "web-1", "fd01--2", "10-0-0-1", "_tcp", "_udp", "_http._tcp", "_dns._udp", "_dns._tcp"];
    for ns in NAMESPACES {
        owners.extend([format!("{ns}.svc"), format!("{ns}.pod")]);
        for name in SERVICES {
            owners.push(format!("{name}.{ns}.svc"));
            owners.extend(labels.iter().map(|label| format!("{label}.{name}.{ns}.svc")));
        }
    }
    owners
}

fn data(records: &[Record]) -> Vec<String> {
    let mut data: Vec<String> =
        records.iter().map(|record| record.data.to_string().replace("cluster.local.", "@")).collect();
    data.sort();
    data
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn answers_are_those_of_a_zone_file(events in proptest::collection::vec(event(), 1..40)) {
        let (mut objects, mut names) = (Objects::default(), Names::new(zone()));
        for event in &events {
            objects.apply(event, &mut names);
        }
        prop_assert_eq!(&names, &objects.anew());
        names.set_complete();
        let file = ZoneFile::of(&objects);
        for owner in owners() {
            for kind in ["A", "AAAA", "SRV", "CNAME", "TXT"] {
                let expected = file.look(&format!("{owner}.@"), kind, 0);
                match answer(&names, &question(&format!("{owner} {kind}"))) {
                    Answer::Here(reply) => {
                        let (code, mut found) = expected.expect("it is here");
                        found.sort();
                        prop_assert_eq!((reply.code, data(&reply.answers)), (code, found), "{} {}", owner, kind);
                    }
                    _ => prop_assert!(expected.is_none(), "{} {} is here", owner, kind),
                }
            }
        }
        for address in ADDRESSES.iter().chain(&["10.1.0.1", "10.1.0.2", "fd01::1", "10.1.0.3"]) {
            let name = Name::from(address.parse::<IpAddr>().unwrap());
            let mut expected = file.reverse(address);
            expected.sort();
            match answer(&names, &Question { name, kind: RecordType::PTR }) {
                Answer::Here(reply) => prop_assert_eq!(data(&reply.answers), expected, "{}", address),
                other => prop_assert!(other == Answer::Elsewhere && expected.is_empty(), "{}", address),
            }
        }
    }
}
