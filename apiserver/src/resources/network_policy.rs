//! NetworkPolicies: which traffic the pods of a namespace may have.

#[cfg(test)]
mod tests;

use api::field::{BadValue, Error, ErrorList, Path};
use api::names::{Cidr, parse_cidr_sloppy, port_name, port_number};
use api::selector::label::{from_api, validate_api};
use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::addresses::{cidr_warnings, legacy_cidr};
use crate::strategy::{AGE_COLUMN, Column, NAME_COLUMN, Names, Strategy};

const INGRESS: &str = "Ingress";
const EGRESS: &str = "Egress";
const TYPES: [&str; 2] = [INGRESS, EGRESS];
/// In the order of messages, which is not that of other kinds.
const PROTOCOLS: [&str; 3] = ["TCP", "UDP", "SCTP"];

const COLUMNS: &[Column] = &[
    NAME_COLUMN,
    Column::new(
        "Pod-Selector",
        "Selects the pods to which this NetworkPolicy object applies.  The array of ingress rules is applied to any pods \
         selected by this field. Multiple network policies can select the same set of pods.  In this case, the ingress \
         rules for each are combined additively. This field is NOT optional and follows standard label selector \
         semantics. An empty podSelector matches all pods in this namespace.",
    ),
    AGE_COLUMN,
];

pub(crate) struct NetworkPolicies;

impl Strategy for NetworkPolicies {
    type Object = NetworkPolicy;

    fn names(&self) -> Names {
        Names::of::<NetworkPolicy>("networkpolicy", true).short(&["netpol"])
    }

    fn default(&self, object: &mut NetworkPolicy) {
        let spec = object.spec.get_or_insert_default();
        let ingress = spec.ingress.iter_mut().flatten().flat_map(|rule| rule.ports.iter_mut().flatten());
        let egress = spec.egress.iter_mut().flatten().flat_map(|rule| rule.ports.iter_mut().flatten());
        for port in ingress.chain(egress) {
            port.protocol.get_or_insert_with(|| "TCP".to_owned());
        }
        if spec.policy_types.as_ref().is_none_or(Vec::is_empty) {
            let has_egress = spec.egress.as_ref().is_some_and(|rules| !rules.is_empty());
            let types = if has_egress { &TYPES[..] } else { &TYPES[..1] };
            spec.policy_types = Some(types.iter().map(ToString::to_string).collect());
        }
        // Go always writes it.
        spec.pod_selector.get_or_insert_default();
    }

    fn generation(&self) -> Option<fn(new: &NetworkPolicy, old: &NetworkPolicy) -> bool> {
        Some(|new, old| new.spec != old.spec)
    }

    fn validate(&self, object: &NetworkPolicy) -> ErrorList {
        object.spec.as_ref().map_or_else(ErrorList::new, |spec| validate(spec, &Leave::default()))
    }

    fn validate_update(&self, new: &NetworkPolicy, old: &NetworkPolicy) -> ErrorList {
        let leave = old.spec.as_ref().map(Leave::of).unwrap_or_default();
        new.spec.as_ref().map_or_else(ErrorList::new, |spec| validate(spec, &leave))
    }

    fn warnings(&self, new: &NetworkPolicy, _: Option<&NetworkPolicy>) -> Vec<String> {
        let mut warnings = Vec::new();
        for (peer, path) in new.spec.iter().flat_map(peers) {
            let Some(block) = &peer.ip_block else { continue };
            let path = path.child("ipBlock");
            warnings.extend(cidr_warnings(&path.child("cidr"), &block.cidr));
            for (i, except) in block.except.iter().flatten().enumerate() {
                warnings.extend(cidr_warnings(&path.child("except").index(i), except));
            }
        }
        warnings
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn row(&self, object: &NetworkPolicy, now: Timestamp) -> Vec<Value> {
        let none = Default::default();
        let selector = object.spec.as_ref().and_then(|spec| spec.pod_selector.as_ref()).unwrap_or(&none);
        let selector = match from_api(Some(selector)) {
            Err(_) => "<error>".to_owned(),
            Ok(selector) if selector.is_everything() => "<none>".to_owned(),
            Ok(selector) => selector.to_string(),
        };
        let age = api::duration::age(object.metadata.creation_timestamp.as_ref(), now);
        vec![object.metadata.name.clone().into(), selector.into(), age.into()]
    }
}

/// What an update may keep of a policy that was stored under older rules.
#[derive(Default)]
struct Leave {
    /// Values in selectors that are no labels' values.
    selector_values: bool,
    /// Blocks that are malformed, wherever they stood.
    blocks: Vec<String>,
}

impl Leave {
    fn of(old: &NetworkPolicySpec) -> Leave {
        let selector_values = !validate_api(old.pod_selector.as_ref(), false, &Path::nil()).is_empty();
        let blocks = peers(old).into_iter().filter_map(|(peer, _)| peer.ip_block.as_ref());
        let blocks = blocks.flat_map(|block| block.except.iter().flatten().chain([&block.cidr]).cloned());
        Leave { selector_values, blocks: blocks.collect() }
    }
}

/// Every peer of every rule, and where it stands.
fn peers(spec: &NetworkPolicySpec) -> Vec<(&NetworkPolicyPeer, Path)> {
    let ingress = spec.ingress.iter().flatten().map(|rule| rule.from.as_deref()).enumerate();
    let egress = spec.egress.iter().flatten().map(|rule| rule.to.as_deref()).enumerate();
    let ingress = ingress.map(|(i, peers)| (Path::new("spec").child("ingress").index(i).child("from"), peers));
    let egress = egress.map(|(i, peers)| (Path::new("spec").child("egress").index(i).child("to"), peers));
    let rules = ingress.chain(egress);
    rules.flat_map(|(path, peers)| enumerated(peers, &path)).collect()
}

/// The items of a list, and where each stands.
fn enumerated<'a, T>(items: Option<&'a [T]>, path: &Path) -> Vec<(&'a T, Path)> {
    items.unwrap_or_default().iter().enumerate().map(|(i, item)| (item, path.index(i))).collect()
}

fn validate(spec: &NetworkPolicySpec, leave: &Leave) -> ErrorList {
    let path = Path::new("spec");
    let mut errors = validate_api(spec.pod_selector.as_ref(), leave.selector_values, &path.child("podSelector"));
    for (i, rule) in spec.ingress.iter().flatten().enumerate() {
        let path = path.child("ingress").index(i);
        let peers = enumerated(rule.from.as_deref(), &path.child("from"));
        errors.extend(validate_rule(rule.ports.as_deref(), &peers, &path, leave));
    }
    for (i, rule) in spec.egress.iter().flatten().enumerate() {
        let path = path.child("egress").index(i);
        let peers = enumerated(rule.to.as_deref(), &path.child("to"));
        errors.extend(validate_rule(rule.ports.as_deref(), &peers, &path, leave));
    }
    errors.extend(validate_types(spec.policy_types.as_deref().unwrap_or_default(), &path.child("policyTypes")));
    // That a block has to be stated is among the declared rules, which upstream looks at last.
    for (peer, path) in peers(spec) {
        if peer.ip_block.as_ref().is_some_and(|block| block.cidr.is_empty()) {
            errors.push(Error::required(&path.child("ipBlock").child("cidr"), ""));
        }
    }
    errors
}

fn validate_rule(
    ports: Option<&[NetworkPolicyPort]>,
    peers: &[(&NetworkPolicyPeer, Path)],
    path: &Path,
    leave: &Leave,
) -> ErrorList {
    let ports = enumerated(ports, &path.child("ports")).into_iter();
    let mut errors: ErrorList = ports.flat_map(|(port, path)| validate_port(port, &path)).collect();
    errors.extend(peers.iter().flat_map(|(peer, path)| validate_peer(peer, path, leave)));
    errors
}

fn validate_port(port: &NetworkPolicyPort, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let (port_path, end_path) = (path.child("port"), path.child("endPort"));
    if let Some(protocol) = port.protocol.as_deref().filter(|protocol| !PROTOCOLS.contains(protocol)) {
        errors.push(Error::not_supported(&path.child("protocol"), protocol, &PROTOCOLS));
    }
    let numbers = |path: &Path, number: i32| {
        port_number(number.into()).into_iter().map(|message| Error::invalid(path, number, message)).collect::<Vec<_>>()
    };
    match (&port.port, port.end_port) {
        (Some(IntOrString::Int(first)), end) => {
            errors.extend(numbers(&port_path, *first));
            if let Some(end) = end {
                if end < *first {
                    errors.push(Error::invalid(&end_path, end, "must be greater than or equal to `port`"));
                }
                errors.extend(numbers(&end_path, end));
            }
        }
        (Some(IntOrString::String(name)), end) => {
            let detail = "may not be specified when `port` is non-numeric";
            errors.extend(end.map(|end| Error::invalid(&end_path, end, detail)));
            errors.push_invalid(&port_path, name, port_name(name));
        }
        (None, Some(end)) => {
            errors.push(Error::invalid(&end_path, end, "may not be specified when `port` is not specified"));
        }
        (None, None) => {}
    }
    errors
}

fn validate_peer(peer: &NetworkPolicyPeer, path: &Path, leave: &Leave) -> ErrorList {
    let mut errors = ErrorList::new();
    let selectors = [("podSelector", &peer.pod_selector), ("namespaceSelector", &peer.namespace_selector)];
    for (field, selector) in selectors {
        if selector.is_some() {
            errors.extend(validate_api(selector.as_ref(), leave.selector_values, &path.child(field)));
        }
    }
    let has_selector = selectors.iter().any(|(_, selector)| selector.is_some());
    match &peer.ip_block {
        Some(block) => {
            errors.extend(validate_block(block, &path.child("ipBlock"), leave));
            if has_selector {
                errors.push(Error::forbidden(path, "may not specify both ipBlock and another peer"));
            }
        }
        None if !has_selector => errors.push(Error::required(path, "must specify a peer")),
        None => {}
    }
    errors
}

fn validate_block(block: &IPBlock, path: &Path, leave: &Leave) -> ErrorList {
    if block.cidr.is_empty() {
        return ErrorList::new();
    }
    let mut errors = legacy_cidr(&path.child("cidr"), &block.cidr, &leave.blocks);
    let Some(outer) = parse_cidr_sloppy(&block.cidr) else { return errors };
    for (i, except) in block.except.iter().flatten().enumerate() {
        let path = path.child("except").index(i);
        errors.extend(legacy_cidr(&path, except, &leave.blocks));
        if parse_cidr_sloppy(except).is_some_and(|inner| !is_strictly_within(&inner, &outer)) {
            errors.push(Error::invalid(&path, except, "must be a strict subset of `cidr`"));
        }
    }
    errors
}

fn is_strictly_within(inner: &Cidr, outer: &Cidr) -> bool {
    let widened = Cidr { address: inner.network(), prefix_length: outer.prefix_length };
    inner.address.is_ipv4() == outer.address.is_ipv4()
        && inner.prefix_length > outer.prefix_length
        && widened.network() == outer.network()
}

fn validate_types(types: &[String], path: &Path) -> ErrorList {
    if types.len() > TYPES.len() {
        return Error::invalid(path, BadValue::json(types), "may not specify more than two policyTypes").into();
    }
    let unknown = types.iter().enumerate().filter(|(_, of_policy)| !TYPES.contains(&of_policy.as_str()));
    unknown.map(|(i, of_policy)| Error::not_supported(&path.index(i), of_policy, &TYPES)).collect()
}
