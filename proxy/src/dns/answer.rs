//! What the cluster's DNS answers to a question by itself. Pure.
//!
//! The records are those of the Kubernetes DNS specification 1.1.0, and what that leaves open is as CoreDNS's plugin
//! `kubernetes` has it (`pods insecure`). A name of the zone exists if an object gives it records or it is on the way to one
//! that may (`svc`, `pod`, the namespaces below them, `_tcp` of a Service with a named port, `dns`); a name that exists
//! has no NXDOMAIN for any type, and one that does not has nothing else. Upstream departs from that for the types SOA, TXT
//! and MX and for names below a pod's, and hides an alias whose target has no records; here these are as RFC 2308 wants them.

use std::net::{IpAddr, Ipv4Addr};

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::{A, AAAA, CNAME, NS, PTR, SOA, SRV, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::names::{Names, Port, ServiceNames, Target, Zone};

/// The version of the specification.
const VERSION: &str = "1.1.0";
/// How long that is good for, in seconds, as the specification's example has it.
const VERSION_TTL: u32 = 28_800;
/// So many aliases are followed one after another.
const ALIASES: usize = 8;

/// A question of class IN.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Question {
    /// The name, in the case in which it was asked.
    pub name: Name,
    /// The type of records.
    pub kind: RecordType,
}

/// What is said to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Whether there is such a name, or why nothing can be said.
    pub code: ResponseCode,
    /// The records asked for, after the aliases that led to them.
    pub answers: Vec<Record>,
    /// The zone's SOA record if there are no records.
    pub authorities: Vec<Record>,
    /// The addresses of names in the answer.
    pub additionals: Vec<Record>,
}

impl Reply {
    /// A reply that says nothing but this.
    #[must_use]
    pub fn only(code: ResponseCode) -> Reply {
        Reply { code, answers: Vec::new(), authorities: Vec::new(), additionals: Vec::new() }
    }
}

/// Who can answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The cluster, and this is the answer.
    Here(Reply),
    /// The name is, by these aliases of the cluster, another one outside, of which others know.
    Beyond {
        /// The aliases, in the order in which they lead there.
        aliases: Vec<Record>,
        /// The name outside.
        target: Name,
    },
    /// Others: the name is not the cluster's.
    Elsewhere,
}

/// What is at a name of the zone.
enum Here<'a> {
    /// The name does not exist.
    Missing,
    /// It exists, and has no records.
    Bare,
    /// The zone itself.
    Apex,
    /// The version of the specification.
    Version,
    /// The server of the zone.
    Server,
    /// A pod's address.
    Pod(IpAddr),
    /// An external name.
    Alias(&'a Name),
    /// Addresses with ports, of a Service or of its endpoints.
    Ends(Vec<End<'a>>),
}

/// An address with a port.
struct End<'a> {
    address: IpAddr,
    port: Option<u16>,
    /// The endpoint's host, if it is one.
    host: Option<&'a str>,
    /// The Service, as `name.namespace`.
    service: &'a str,
}

/// Answers a question from what is known of the cluster.
#[must_use]
pub fn answer(names: &Names, question: &Question) -> Answer {
    if matches!(question.kind, RecordType::AXFR | RecordType::IXFR) {
        return Answer::Here(Reply::only(ResponseCode::Refused));
    }
    if !names.zone().name.zone_of(&question.name) {
        return reverse(names, question);
    }
    let mut aliases: Vec<Record> = Vec::new();
    let mut owner = question.name.clone();
    while aliases.len() < ALIASES {
        let relative = below(names.zone(), &owner);
        let Some(here) = look(names, relative.as_deref()) else {
            return Answer::Here(Reply::only(ResponseCode::ServFail));
        };
        let target = match here {
            Here::Alias(target) if question.kind != RecordType::ANY => target.clone(),
            here => {
                let mut reply = reply(names, question.kind, owner, &here);
                reply.answers.splice(0..0, aliases);
                return Answer::Here(reply);
            }
        };
        aliases.push(Record::from_rdata(owner, names.zone().ttl, RData::CNAME(CNAME(target.clone()))));
        if question.kind == RecordType::CNAME {
            return Answer::Here(Reply { answers: aliases, ..Reply::only(ResponseCode::NoError) });
        }
        if !names.zone().name.zone_of(&target) {
            return Answer::Beyond { aliases, target };
        }
        owner = target;
    }
    // The aliases go round in a circle, or might as well.
    Answer::Here(Reply::only(ResponseCode::ServFail))
}

/// What of a name is below the zone, in lower case: empty for the zone itself, `None` if no name of a cluster has such bytes.
fn below(zone: &Zone, name: &Name) -> Option<String> {
    let labels = usize::from(name.num_labels().saturating_sub(zone.name.num_labels()));
    let mut text = String::with_capacity(name.len());
    for label in name.iter().take(labels) {
        if !text.is_empty() {
            text.push('.');
        }
        for byte in label {
            if !matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_') {
                return None;
            }
            text.push(char::from(byte.to_ascii_lowercase()));
        }
    }
    Some(text)
}

/// What is at the name so far below the zone. `None` if that is not known yet.
fn look<'a>(names: &'a Names, relative: Option<&'a str>) -> Option<Here<'a>> {
    let Some(relative) = relative else { return names.is_complete().then_some(Here::Missing) };
    let labels: Vec<&str> = relative.rsplit('.').collect();
    match labels.as_slice() {
        [""] => return Some(Here::Apex),
        ["dns-version"] => return Some(Here::Version),
        ["dns", "ns"] => return Some(Here::Server),
        ["dns" | "svc" | "pod"] => return Some(Here::Bare),
        _ if !names.is_complete() => return None,
        _ => {}
    }
    let ["svc" | "pod", namespace, rest @ ..] = labels.as_slice() else { return Some(Here::Missing) };
    if !names.has_namespace(namespace) {
        return Some(Here::Missing);
    }
    Some(match (labels[0], rest) {
        (_, []) => Here::Bare,
        ("pod", [pod]) => pod_address(pod).map_or(Here::Missing, Here::Pod),
        ("svc", [service, rest @ ..]) => {
            // The text has it as `…service.namespace.svc`.
            let end = relative.len() - ".svc".len();
            let place = &relative[end - namespace.len() - 1 - service.len()..end];
            match (names.service(place), rest) {
                (Some(service), []) => in_service(names, place, service, &Wanted::default()),
                (Some(service), [label]) => one_label(names, place, service, label),
                (Some(service), [protocol, port]) => {
                    let wanted = Wanted { protocol: bare(protocol), port: bare(port), ..Wanted::default() };
                    in_service(names, place, service, &wanted)
                }
                _ => Here::Missing,
            }
        }
        _ => Here::Missing,
    })
}

/// A label without the underscore with which ports and protocols begin. Upstream does without it as well.
fn bare(label: &str) -> Option<&str> {
    Some(label.strip_prefix('_').unwrap_or(label)).filter(|label| !label.is_empty())
}

/// The address that a pod's name states: with dashes for the dots or colons.
fn pod_address(label: &str) -> Option<IpAddr> {
    let is_v4 = label.bytes().filter(|byte| *byte == b'-').count() == 3 && !label.contains("--");
    if is_v4 {
        label.replace('-', ".").parse::<Ipv4Addr>().ok().map(IpAddr::V4)
    } else {
        label.replace('-', ":").parse().ok()
    }
}

/// Which endpoints and ports of a Service a name asks for.
#[derive(Default)]
struct Wanted<'a> {
    host: Option<&'a str>,
    port: Option<&'a str>,
    protocol: Option<&'a str>,
}

impl Wanted<'_> {
    fn has(&self, port: &Port) -> bool {
        self.port.is_none_or(|name| *name == *port.name) && self.protocol.is_none_or(|name| name == port.protocol)
    }

    fn has_host(&self, host: &str) -> bool {
        self.host.is_none_or(|wanted| wanted == host)
    }
}

/// What is at a name of one label below a Service's: an endpoint, or a protocol on the way to a named port.
fn one_label<'a>(names: &'a Names, place: &'a str, service: &'a ServiceNames, label: &str) -> Here<'a> {
    let here = in_service(names, place, service, &Wanted { host: Some(label), ..Wanted::default() });
    let (Here::Missing, Some(protocol)) = (&here, label.strip_prefix('_')) else { return here };
    let is_named = |port: &Port| !port.name.is_empty() && port.protocol == protocol;
    let leads_on = match service.target {
        Target::Addresses(_) => service.ports.iter().any(is_named),
        Target::Endpoints => {
            let mut slices = names.slices(place).filter(|slice| slice.ports.iter().any(is_named));
            slices.any(|slice| slice.endpoints.iter().any(|endpoint| endpoint.ready || service.unready))
        }
        Target::Alias(_) | Target::Nothing => false,
    };
    if leads_on { Here::Bare } else { here }
}

fn in_service<'a>(names: &'a Names, place: &'a str, service: &'a ServiceNames, wanted: &Wanted<'_>) -> Here<'a> {
    let is_whole = wanted.host.is_none() && wanted.port.is_none() && wanted.protocol.is_none();
    match &service.target {
        Target::Alias(target) if is_whole => Here::Alias(target),
        Target::Alias(_) | Target::Nothing => Here::Missing,
        Target::Addresses(addresses) if wanted.host.is_none() => {
            let ports = service.ports.iter().filter(|port| wanted.has(port));
            let mut exists = false;
            let ends = ports.inspect(|_| exists = true).flat_map(|port| {
                addresses.iter().map(|address| End { address: *address, port: port.number, host: None, service: place })
            });
            let ends = ends.collect();
            if exists { Here::Ends(ends) } else { Here::Missing }
        }
        Target::Addresses(_) | Target::Endpoints => {
            let mut ends = Vec::new();
            for slice in names.slices(place) {
                let published = slice.endpoints.iter().filter(|endpoint| endpoint.ready || service.unready);
                for endpoint in published.filter(|endpoint| wanted.has_host(&endpoint.host)) {
                    let ports = slice.ports.iter().filter(|port| wanted.has(port));
                    let host = Some(&*endpoint.host);
                    ends.extend(ports.map(|port| End {
                        address: endpoint.address,
                        port: port.number,
                        host,
                        service: place,
                    }));
                }
            }
            if ends.is_empty() { Here::Missing } else { Here::Ends(ends) }
        }
    }
}

/// The records of a type at a name, or that there are none.
fn reply(names: &Names, kind: RecordType, owner: Name, here: &Here<'_>) -> Reply {
    let zone = names.zone();
    let mut reply = Reply::only(ResponseCode::NoError);
    match (here, kind) {
        (Here::Missing, _) => reply.code = ResponseCode::NXDomain,
        (Here::Apex, RecordType::SOA) => {
            let mut record = soa(names);
            record.name = owner;
            reply.answers.push(record);
        }
        (Here::Apex, RecordType::NS) => servers(names, &owner, &mut reply),
        (Here::Version, RecordType::TXT) => {
            reply.answers.push(Record::from_rdata(owner, VERSION_TTL, RData::TXT(TXT::new(vec![VERSION.to_owned()]))));
        }
        (Here::Server, _) => reply.answers = addresses(zone, &owner, kind, zone.addresses.iter().copied()),
        (Here::Pod(address), _) => reply.answers = addresses(zone, &owner, kind, [*address].into_iter()),
        (Here::Ends(ends), RecordType::SRV) => services(zone, &owner, ends, &mut reply),
        (Here::Ends(ends), _) => {
            reply.answers = addresses(zone, &owner, kind, ends.iter().map(|end| end.address));
        }
        (Here::Bare | Here::Apex | Here::Version | Here::Alias(_), _) => {}
    }
    if reply.answers.is_empty() {
        reply.authorities.push(soa(names));
    }
    reply
}

/// The record of an address.
fn address_record(zone: &Zone, owner: Name, address: IpAddr) -> Record {
    let data = match address {
        IpAddr::V4(address) => RData::A(A(address)),
        IpAddr::V6(address) => RData::AAAA(AAAA(address)),
    };
    Record::from_rdata(owner, zone.ttl, data)
}

/// The addresses of the family that is asked for, each once.
fn addresses(zone: &Zone, owner: &Name, kind: RecordType, all: impl Iterator<Item = IpAddr>) -> Vec<Record> {
    let asked = |address: &IpAddr| match kind {
        RecordType::A => address.is_ipv4(),
        RecordType::AAAA => address.is_ipv6(),
        _ => false,
    };
    let mut seen = std::collections::HashSet::new();
    let asked = all.filter(|address| asked(address) && seen.insert(*address));
    asked.map(|address| address_record(zone, owner.clone(), address)).collect()
}

/// The SRV records of these ends, and the addresses of their targets. The weights are shares of 100, as upstream has them.
fn services(zone: &Zone, owner: &Name, ends: &[End<'_>], reply: &mut Reply) {
    let weight = u16::try_from(100 / ends.len().max(1)).unwrap_or(1).max(1);
    let (mut seen, mut seen_addresses) = (std::collections::HashSet::new(), std::collections::HashSet::new());
    for end in ends {
        let Some(port) = end.port else { continue };
        let is_new = seen.insert((end.host, port));
        let is_new_address = seen_addresses.insert((end.host, end.address));
        if !is_new && !is_new_address {
            continue;
        }
        let host = end.host.map(|host| format!("{host}.")).unwrap_or_default();
        let Some(target) = zone.below(&format!("{host}{}.svc", end.service)) else { continue };
        if is_new {
            let data = RData::SRV(SRV::new(0, weight, port, target.clone()));
            reply.answers.push(Record::from_rdata(owner.clone(), zone.ttl, data));
        }
        if is_new_address {
            reply.additionals.push(address_record(zone, target, end.address));
        }
    }
}

/// The zone's servers: the Services that have its addresses, or else `ns.dns` with them.
fn servers(names: &Names, owner: &Name, reply: &mut Reply) {
    let zone = names.zone();
    for address in &zone.addresses {
        let place = names.with_cluster_ip(*address);
        let relative = place.map_or_else(|| "ns.dns".to_owned(), |place| format!("{place}.svc"));
        let Some(target) = zone.below(&relative) else { continue };
        let record = Record::from_rdata(owner.clone(), zone.ttl, RData::NS(NS(target.clone())));
        if !reply.answers.contains(&record) {
            reply.answers.push(record);
        }
        reply.additionals.push(address_record(zone, target, *address));
    }
}

/// The zone's SOA record.
fn soa(names: &Names) -> Record {
    let zone = names.zone();
    let (server, mail) = (zone.below("ns.dns"), zone.below("hostmaster"));
    let own = || zone.name.clone();
    let data =
        SOA::new(server.unwrap_or_else(own), mail.unwrap_or_else(own), names.serial(), 7_200, 1_800, 86_400, zone.ttl);
    Record::from_rdata(own(), zone.ttl.min(300), RData::SOA(data))
}

/// The names of an address: of the Service whose cluster IP it is, or else of the endpoints there.
fn reverse(names: &Names, question: &Question) -> Answer {
    if question.kind != RecordType::PTR {
        return Answer::Elsewhere;
    }
    let Some(address) = reversed(&question.name) else { return Answer::Elsewhere };
    let zone = names.zone();
    let mut targets: Vec<Name> = Vec::new();
    if let Some(place) = names.with_cluster_ip(address) {
        targets.extend(zone.below(&format!("{place}.svc")));
    } else {
        for (host, place) in names.endpoints_at(address) {
            let target = zone.below(&format!("{host}.{place}.svc"));
            targets.extend(target.filter(|target| !targets.contains(target)));
        }
    }
    if targets.is_empty() {
        // Others would say that there is no such name, which is not so if it only has not been heard of.
        let unknown = Answer::Here(Reply::only(ResponseCode::ServFail));
        return if names.is_complete() { Answer::Elsewhere } else { unknown };
    }
    let record = |target| Record::from_rdata(question.name.clone(), zone.ttl, RData::PTR(PTR(target)));
    let answers = targets.into_iter().map(record).collect();
    Answer::Here(Reply { answers, ..Reply::only(ResponseCode::NoError) })
}

/// The address that a name of `in-addr.arpa` or `ip6.arpa` is of.
fn reversed(name: &Name) -> Option<IpAddr> {
    let network = name.parse_arpa_name().ok()?;
    let whole = network.prefix_len() == network.max_prefix_len();
    // There is more than one way to write a number, but only one to write it in such a name.
    Some(network.addr()).filter(|address| whole && Name::from(*address) == *name)
}

#[cfg(test)]
mod tests;
