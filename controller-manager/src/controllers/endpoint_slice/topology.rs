//! Hints in proportion to the processors of zones, as the annotation `service.kubernetes.io/topology-mode: Auto` asks for.
//!
//! Each zone gets a share of the ready endpoints as large as its share of processors, its own endpoints first. Where that
//! cannot be done without overloading a zone's endpoints by more than a fifth, there are no hints. Hints that are good
//! enough stay as they are, so that nodes that come and go do not rewrite slices.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::quantity::Quantity;
use client::events::EventType;
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointHints, EndpointSlice, ForZone};

use super::endpoint::{endpoints, is_ready};
use super::hints::clear;
use super::packing::Layout;
use super::pods::zone_of;

/// By how much an endpoint may be asked for more than its share.
const OVERLOAD: f64 = 0.2;
const CONTROL_PLANE: [&str; 2] = ["node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"];

/// How many endpoints zones have, or give, or need.
type Counts = BTreeMap<String, usize>;

/// What is said about hints.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Notice {
    pub(super) event_type: EventType,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

/// How many endpoints a zone is to have.
struct Allocation {
    least: usize,
    most: usize,
    desired: f64,
}

type Allocations = BTreeMap<String, Allocation>;

/// What share of the processors of ready workers is in which zone; `None` if that is not known of each of them, or if there
/// are not two zones.
pub(super) fn shares(nodes: &[Arc<Node>]) -> Option<BTreeMap<String, f64>> {
    let mut by_zone: BTreeMap<String, Quantity> = BTreeMap::new();
    let mut total = Quantity::default();
    for node in nodes.iter().filter(|node| is_worker(node) && is_node_ready(node)) {
        let allocatable = node.status.as_ref().and_then(|status| status.allocatable.as_ref());
        let cpu = allocatable.and_then(|allocatable| Quantity::parse(&allocatable.get("cpu")?.0).ok())?;
        let zone = zone_of(node);
        if zone.is_empty() || cpu.is_zero() {
            return None;
        }
        total.add(&cpu);
        by_zone.entry(zone.to_owned()).or_default().add(&cpu);
    }
    if by_zone.len() < 2 || total.is_zero() {
        return None;
    }
    let share = |cpu: Quantity| cpu.milli_value() as f64 / total.milli_value() as f64;
    Some(by_zone.into_iter().map(|(zone, cpu)| (zone, share(cpu))).collect())
}

fn is_worker(node: &Node) -> bool {
    let labels = node.metadata.labels.as_ref();
    !CONTROL_PLANE.iter().any(|role| labels.is_some_and(|labels| labels.contains_key(*role)))
}

fn is_node_ready(node: &Node) -> bool {
    let mut conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.find(|condition| condition.type_ == "Ready").is_some_and(|condition| condition.status == "True")
}

/// What of a node makes a difference to the shares of zones.
pub(super) fn matters(node: &Node) -> impl PartialEq + use<> {
    (is_worker(node), is_node_ready(node), zone_of(node).to_owned())
}

/// Hints all ready endpoints, or none.
pub(super) fn hint(layout: &mut Layout, shares: Option<&BTreeMap<String, f64>>, address_type: &str) -> Vec<Notice> {
    let had_hints = layout.update.iter().map(|revision| &*revision.old).chain(layout.unchanged.iter().map(|it| &**it));
    let had_hints = had_hints.chain(layout.delete.iter().map(|it| &**it)).any(has_hints);
    let notice = |event_type: EventType, reason: &'static str, message: &str| {
        vec![Notice { event_type, reason, message: format!("{message}, addressType: {address_type}") }]
    };
    let outcome = allocate(shares, ready(layout).count()).and_then(|allocations| spread(layout, &allocations));
    match outcome {
        Err(message) => {
            clear(layout);
            notice(EventType::Warning, "TopologyAwareHintsDisabled", &message)
        }
        Ok(()) if !had_hints => {
            notice(EventType::Normal, "TopologyAwareHintsEnabled", "Topology Aware Hints has been enabled")
        }
        Ok(()) => Vec::new(),
    }
}

fn has_hints(slice: &EndpointSlice) -> bool {
    endpoints(slice).iter().any(|endpoint| endpoint.hints.is_some())
}

fn ready(layout: &Layout) -> impl Iterator<Item = &Endpoint> {
    layout.all().flat_map(endpoints).filter(|endpoint| is_ready(endpoint))
}

/// How many of this many endpoints each zone is to have, or why that cannot be.
fn allocate(shares: Option<&BTreeMap<String, f64>>, ready: usize) -> Result<Allocations, String> {
    let Some(shares) = shares else {
        return Err(
            "Insufficient Node information: allocatable CPU or zone not specified on one or more nodes".to_owned()
        );
    };
    let counts = format!("({ready} endpoints, {} zones)", shares.len());
    if shares.len() > ready {
        return Err(format!("Insufficient number of endpoints {counts}"));
    }
    let mut allocations = Allocations::new();
    let mut least_of_all = 0;
    for (zone, share) in shares {
        let desired = share * ready as f64;
        let least = (desired * (1.0 / (1.0 + OVERLOAD))).ceil() as usize;
        least_of_all += least;
        allocations.insert(zone.clone(), Allocation { least, most: 0, desired: desired.max(least as f64) });
    }
    let Some(spare) = ready.checked_sub(least_of_all) else {
        return Err(format!(
            "Unable to allocate minimum required endpoints to each zone without exceeding overload threshold {counts}"
        ));
    };
    allocations.values_mut().for_each(|allocation| allocation.most = allocation.least + spare);
    Ok(allocations)
}

/// Spreads the hints of endpoints over zones, or says why that cannot be. Slices that are not written in any case stay as
/// they are if that leaves every zone enough.
fn spread(layout: &mut Layout, allocations: &Allocations) -> Result<(), String> {
    let at_rest = layout.create.is_empty() && layout.update.is_empty() && layout.delete.is_empty();
    if at_rest && is_good_enough(layout, allocations) {
        return Ok(());
    }
    let mut hinted = Counts::new();
    layout.revise_unchanged(|slice| {
        let more = hints_by_zone(slice, &hinted, allocations).filter(|_| !at_rest);
        more.iter().flatten().for_each(|(zone, more)| *hinted.entry(zone.clone()).or_default() += more);
        more.is_none()
    });
    for endpoint in written_and_ready(layout) {
        let zone = endpoint.zone.clone().filter(|zone| !zone.is_empty());
        let zone = zone.ok_or("One or more endpoints do not have a zone specified")?;
        *hinted.entry(zone.clone()).or_default() += 1;
        endpoint.hints = Some(for_zone(zone));
    }
    let (mut giving, mut receiving) = exchanges(allocations, &hinted);
    for endpoint in written_and_ready(layout) {
        let Some(gives) = endpoint.zone.as_ref().and_then(|zone| giving.get_mut(zone)).filter(|gives| **gives > 0)
        else {
            continue;
        };
        let Some((zone, needs)) = receiving.iter_mut().find(|(_, needs)| **needs > 0) else { break };
        endpoint.hints = Some(for_zone(zone.clone()));
        *gives -= 1;
        *needs -= 1;
    }
    if hinted.is_empty() { Err("No hints allocated for zones".to_owned()) } else { Ok(()) }
}

fn written_and_ready(layout: &mut Layout) -> impl Iterator<Item = &mut Endpoint> {
    layout.written().flat_map(|slice| slice.endpoints.iter_mut().flatten()).filter(|endpoint| is_ready(endpoint))
}

fn for_zone(name: String) -> EndpointHints {
    EndpointHints { for_nodes: None, for_zones: Some(vec![ForZone { name }]) }
}

/// The zones that an endpoint is for.
fn zones_of(endpoint: &Endpoint) -> &[ForZone] {
    endpoint.hints.as_ref().and_then(|hints| hints.for_zones.as_deref()).unwrap_or_default()
}

/// Whether every ready endpoint is for zones that are to have some, and no zone has less than it must have.
fn is_good_enough(layout: &Layout, allocations: &Allocations) -> bool {
    let mut hinted = Counts::new();
    for endpoint in ready(layout) {
        let zones = zones_of(endpoint);
        if zones.is_empty() || zones.iter().any(|zone| !allocations.contains_key(&zone.name)) {
            return false;
        }
        zones.iter().for_each(|zone| *hinted.entry(zone.name.clone()).or_default() += 1);
    }
    allocations.iter().all(|(zone, allocation)| hinted.get(zone).is_some_and(|count| *count >= allocation.least))
}

/// How many endpoints of a slice are for each zone; `None` if the slice cannot stay as it is: an endpoint is for no zone, or
/// for one that is to have none, or a zone would get so many that another would get too few.
fn hints_by_zone(slice: &EndpointSlice, hinted: &Counts, allocations: &Allocations) -> Option<Counts> {
    let mut counts = Counts::new();
    for endpoint in endpoints(slice).iter().filter(|endpoint| is_ready(endpoint)) {
        let zones = zones_of(endpoint);
        if zones.is_empty() {
            return None;
        }
        zones.iter().for_each(|zone| *counts.entry(zone.name.clone()).or_default() += 1);
    }
    let fits = |(zone, count): (&String, &usize)| {
        let before = hinted.get(zone).copied().unwrap_or(0);
        allocations.get(zone).is_some_and(|allocation| before + count <= allocation.most)
    };
    counts.iter().all(fits).then_some(counts)
}

/// How many endpoints which zones give to others, and how many which get from others.
fn exchanges(allocations: &Allocations, hinted: &Counts) -> (Counts, Counts) {
    let has = |zone: &String| hinted.get(zone).copied().unwrap_or(0) as f64;
    let difference = |(zone, allocation): (&String, &Allocation)| (zone.clone(), has(zone) - allocation.desired);
    let (mut surplus, mut lack): (Vec<_>, Vec<_>) =
        allocations.iter().map(difference).partition(|(_, difference)| *difference > 0.0);
    lack.iter_mut().for_each(|(_, difference)| *difference = -*difference);
    let (mut giving, mut receiving) = (Counts::new(), Counts::new());
    while let (Some(gives), Some(needs)) = (largest(&mut surplus), largest(&mut lack)) {
        if (gives.1 < 1.0 && needs.1 < 1.0) || gives.1 < 0.5 || needs.1 < 0.5 {
            break;
        }
        *giving.entry(gives.0.clone()).or_default() += 1;
        *receiving.entry(needs.0.clone()).or_default() += 1;
        gives.1 -= 1.0;
        needs.1 -= 1.0;
    }
    (giving, receiving)
}

/// The zone with the most, the first of them by name.
fn largest(zones: &mut [(String, f64)]) -> Option<&mut (String, f64)> {
    zones.iter_mut().rev().max_by(|one, other| one.1.total_cmp(&other.1))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::packing::Revision;
    use super::*;

    fn node(zone: &str, cpu: &str, ready: &str, role: &str) -> Arc<Node> {
        let mut labels = json!({"topology.kubernetes.io/zone": zone});
        if !role.is_empty() {
            labels[role] = json!("");
        }
        let status = json!({"allocatable": {"cpu": cpu}, "conditions": [{"type": "Ready", "status": ready}]});
        Arc::new(serde_json::from_value(json!({"metadata": {"labels": labels}, "status": status})).unwrap())
    }

    fn zones(shares: &[(&str, f64)]) -> BTreeMap<String, f64> {
        shares.iter().map(|(zone, share)| ((*zone).to_owned(), *share)).collect()
    }

    #[test]
    fn shares_are_those_of_ready_workers() {
        let check = |nodes: &[Arc<Node>], expected: Option<&[(&str, f64)]>| {
            assert_eq!(shares(nodes), expected.map(zones));
        };
        let (a, b) = (node("a", "1", "True", ""), node("b", "1", "True", ""));
        let equal = Some([("a", 0.5), ("b", 0.5)].as_slice());
        check(&[], None);
        check(&[a.clone(), a.clone()], None);
        check(&[a.clone(), b.clone()], equal);
        check(&[a.clone(), node("b", "1", "False", "")], None);
        check(&[a.clone(), b.clone(), node("b", "1", "Unknown", "")], equal);
        check(&[a.clone(), node("b", "1", "True", CONTROL_PLANE[0])], None);
        check(&[a.clone(), b.clone(), node("", "1", "True", CONTROL_PLANE[1])], equal);
        check(&[a.clone(), b.clone(), node("", "1", "True", "")], None);
        check(&[a.clone(), b.clone(), node("b", "0", "True", "")], None);
        check(&[a.clone(), b.clone(), node("b", "much", "True", "")], None);
        let c = node("c", "500m", "True", "");
        let b = [node("b", "3", "True", ""), node("b", "1500m", "True", "")];
        let all = [&[node("a", "2", "True", ""), node("a", "3", "True", ""), c], b.as_slice()].concat();
        check(&all, Some(&[("a", 0.5), ("b", 0.45), ("c", 0.05)]));
    }

    #[test]
    fn endpoints_are_given_to_where_they_are_needed_most() {
        type Zones<'a> = &'a [(&'a str, usize)];
        let check = |desired: &[(&str, f64)], hinted: Zones<'_>, giving: Zones<'_>, receiving: Zones<'_>| {
            let allocation = |(zone, desired): (String, f64)| (zone, Allocation { least: 0, most: 0, desired });
            let allocations = zones(desired).into_iter().map(allocation).collect();
            let counts =
                |zones: Zones<'_>| zones.iter().map(|(zone, count)| ((*zone).to_owned(), *count)).collect::<Counts>();
            assert_eq!(exchanges(&allocations, &counts(hinted)), (counts(giving), counts(receiving)));
        };
        check(&[], &[], &[], &[]);
        check(&[("a", 1.2), ("b", 1.1), ("c", 1.0)], &[("a", 1), ("b", 1), ("c", 1)], &[], &[]);
        check(&[("a", 5.1), ("b", 5.1), ("c", 5.8)], &[("a", 16)], &[("a", 10)], &[("b", 5), ("c", 5)]);
        let desired = [("a", 5.0), ("b", 5.6), ("c", 5.4)];
        check(&desired, &[("a", 16)], &[("a", 11)], &[("b", 6), ("c", 5)]);
        check(&desired, &[("b", 8), ("c", 8)], &[("b", 2), ("c", 3)], &[("a", 5)]);
        check(&[("a", 5.0), ("b", 5.0)], &[("a", 6), ("b", 6)], &[], &[]);
    }

    /// A slice whose endpoints are given as their zones, with `>` before the zone that they are for, and `-` behind what
    /// is not ready.
    fn slice(text: &str) -> EndpointSlice {
        let endpoint = |word: &str| {
            let (zone, hint) = word.split_once('>').map_or((word, None), |(zone, hint)| (zone, Some(hint)));
            let zone_name = zone.trim_end_matches('-');
            let hints = hint.map(|hint| json!({"forZones": [{"name": hint}]}));
            let zone_name = Some(zone_name).filter(|zone| *zone != "?");
            json!({"addresses": ["1"], "zone": zone_name, "hints": hints, "conditions": {"ready": !zone.ends_with('-')}})
        };
        let endpoints: Vec<Value> = text.split_whitespace().map(endpoint).collect();
        serde_json::from_value(json!({"addressType": "IPv4", "metadata": {}, "endpoints": endpoints})).unwrap()
    }

    fn told(slice: &EndpointSlice) -> String {
        let endpoint = |endpoint: &Endpoint| {
            let zone = endpoint.zone.as_deref().unwrap_or("?");
            let state = if is_ready(endpoint) { "" } else { "-" };
            zones_of(endpoint).iter().fold(format!("{zone}{state}"), |text, hint| format!("{text}>{}", hint.name))
        };
        endpoints(slice).iter().map(endpoint).collect::<Vec<_>>().join(" ")
    }

    /// Checks the hints of slices that are created and that are there, and what is said.
    fn check(shares: &[(&str, f64)], create: &[&str], unchanged: &[&str], expected: &[&str], said: &str) {
        let mut layout = Layout {
            create: create.iter().map(|text| slice(text)).collect(),
            unchanged: unchanged.iter().map(|text| Arc::new(slice(text))).collect(),
            ..Layout::default()
        };
        let shares = Some(zones(shares)).filter(|shares| !shares.is_empty());
        let notices = hint(&mut layout, shares.as_ref(), "IPv4");
        assert_eq!(layout.all().map(told).collect::<Vec<_>>(), expected);
        let notices: Vec<_> =
            notices.iter().map(|notice| notice.message.trim_end_matches(", addressType: IPv4")).collect();
        assert_eq!(notices.join(""), said);
        assert!(
            layout.update.iter().all(|Revision { old, .. }| layout.unchanged.iter().all(|it| !Arc::ptr_eq(it, old)))
        );
    }

    #[test]
    fn hints_are_spread_in_proportion() {
        let enabled = "Topology Aware Hints has been enabled";
        let insufficient = "Insufficient Node information: allocatable CPU or zone not specified on one or more nodes";
        let three = [("a", 0.35), ("b", 0.35), ("c", 0.3)];
        let two = [("a", 0.45), ("b", 0.55)];
        check(&[], &["a"], &["b>b"], &["a", "b"], insufficient);
        check(&three, &["a b"], &[], &["a b"], "Insufficient number of endpoints (2 endpoints, 3 zones)");
        check(&two, &["a b b- a-"], &[], &["a>a b>b b- a-"], enabled);
        check(&two, &["a ?"], &["b>b b>b"], &["a ?", "b b"], "One or more endpoints do not have a zone specified");
        let unable = "Unable to allocate minimum required endpoints to each zone without exceeding overload threshold \
                      (4 endpoints, 3 zones)";
        check(&three, &["a b c a"], &[], &["a b c a"], unable);
        let spread = ["a>b b>b", "c>c c>c a>a", "a>a a>a", "b>b c>c a>a"];
        check(&three, &["a b", "c c a", "a a", "b c a"], &[], &spread, enabled);
    }

    #[test]
    fn hints_that_are_good_enough_stay() {
        let two = [("a", 0.5), ("b", 0.5)];
        // Nothing is written, and no zone has too little.
        check(&two, &[], &["a>a a>a b>b", "b>b a>a b>b"], &["a>a a>a b>b", "b>b a>a b>b"], "");
        // The second zone would be overloaded: everything is spread anew.
        check(&two, &[], &["a>a a>a a>a", "b>b a>a a>a"], &["a>b a>b a>a", "b>b a>a a>a"], "");
        // What is written makes up for what is not.
        check(&two, &["a a"], &["a>a a>a a>a", "b>b"], &["a>b a>b", "a>a a>a a>a", "b>b"], "");
        // A slice with hints for a zone that is no more is written.
        check(&two, &["a b"], &["a>c b>b"], &["a>a b>b", "a>a b>b"], "");
        // So is one with which a zone would have so many that another has too few.
        check(&two, &["b b"], &["a>a a>a a>a", "a>a"], &["b>b b>b", "a>b", "a>a a>a a>a"], "");
    }
}
