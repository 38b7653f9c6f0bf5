//! From which nodes pods are driven out, and how fast.
//!
//! Nodes that are not ready get a taint of effect NoExecute, in each zone at most one node in ten seconds, since many that
//! fall silent at once are more likely out of sight than dead. The one that has not been ready for longest is the first. If many nodes of a zone are not ready, it goes on more slowly,
//! or not at all if the zone is small. If no zone has a ready node, the fault is likely ours: nothing is driven out, and the
//! taints are taken back.
//!
//! When the last node of a zone got its taint is read from the taints. So the rate is kept over restarts, and a taint that is
//! taken back meanwhile no longer counts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;

use super::health::{condition, later, readiness};
use super::settings::Settings;
use super::taints::{NOT_READY, UNREACHABLE, driving_out, no_execute, times};
use crate::plan::Plan;

/// Nodes with this label do not count when it is decided how a zone is.
const EXCLUDED: &str = "node.kubernetes.io/exclude-disruption";

/// What is known of a zone.
#[derive(Default)]
pub(super) struct Zone {
    ready: usize,
    not_ready: usize,
    /// When a node that still has it got a taint that drives out pods.
    last: Option<Timestamp>,
    /// The nodes that said that they are not ready, or have fallen silent.
    down: Vec<Arc<Node>>,
}

/// How a zone is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Normal,
    /// Many nodes are not ready.
    Partial,
    /// No node is ready.
    Full,
}

impl Zone {
    fn counted(&self) -> usize {
        self.ready + self.not_ready
    }

    #[expect(clippy::cast_precision_loss, reason = "no zone has 2^52 nodes")]
    fn state(&self, settings: &Settings) -> State {
        if self.ready == 0 && self.not_ready > 0 {
            State::Full
        } else if self.not_ready > 2 && self.not_ready as f64 / self.counted() as f64 >= settings.unhealthy_part {
            State::Partial
        } else {
            State::Normal
        }
    }

    /// How long after one node the next may get its taint; `None` if none may.
    fn pause(&self, settings: &Settings) -> Option<Duration> {
        let rate = match self.state(settings) {
            State::Normal | State::Full => settings.eviction_rate,
            State::Partial if self.counted() > settings.large_zone => settings.secondary_eviction_rate,
            State::Partial => return None,
        };
        Duration::try_from_secs_f64(1.0 / rate).ok()
    }
}

/// The name of a node's zone, in its region.
fn zone_of(node: &Node) -> String {
    let label = |names: [&str; 2]| {
        let labels = node.metadata.labels.as_ref();
        let value = labels.and_then(|labels| names.iter().find_map(|name| labels.get(*name)));
        value.map_or("", String::as_str)
    };
    let region = label(["failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"]);
    let zone = label(["failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"]);
    format!("{region}\0{zone}")
}

fn is_excluded(node: &Node) -> bool {
    node.metadata.labels.as_ref().is_some_and(|labels| labels.contains_key(EXCLUDED))
}

/// All that matters of a node when zones are decided on.
pub(super) fn concern(node: &Arc<Node>) -> impl PartialEq + use<> {
    let has = |key| no_execute(node, key).is_some();
    (zone_of(node), is_excluded(node), readiness(node).map(str::to_owned), has(NOT_READY), has(UNREACHABLE))
}

/// The zones that these nodes are in.
pub(super) fn zones(nodes: Vec<Arc<Node>>) -> BTreeMap<String, Zone> {
    let mut zones: BTreeMap<String, Zone> = BTreeMap::new();
    for node in nodes {
        let zone = zones.entry(zone_of(&node)).or_default();
        let readiness = readiness(&node);
        if !is_excluded(&node) {
            *(if readiness == Some("True") { &mut zone.ready } else { &mut zone.not_ready }) += 1;
        }
        zone.last = zone.last.max(times(&node).max());
        if matches!(readiness, Some("False" | "Unknown")) {
            zone.down.push(node);
        }
    }
    zones
}

/// Which nodes get which taint now, and when the next do.
pub(super) fn plan(zones: &BTreeMap<String, Zone>, settings: &Settings, now: Timestamp) -> Plan {
    let mut plan = Plan::new();
    let mut counted = zones.values().filter(|zone| zone.counted() > 0).peekable();
    let none_is_ready = counted.peek().is_some() && counted.all(|zone| zone.state(settings) == State::Full);
    for zone in zones.values() {
        if none_is_ready {
            for node in zone.down.iter().filter(|node| is_driven_out(node)) {
                change(&mut plan, node, None, now);
            }
        } else {
            drive_out(&mut plan, zone, settings, now);
        }
    }
    plan
}

fn is_driven_out(node: &Node) -> bool {
    no_execute(node, NOT_READY).or_else(|| no_execute(node, UNREACHABLE)).is_some()
}

fn change(plan: &mut Plan, node: &Node, key: Option<&str>, now: Timestamp) {
    if plan.room() > 0 {
        plan.update(node, &driving_out(node, key, now));
    }
}

fn drive_out(plan: &mut Plan, zone: &Zone, settings: &Settings, now: Timestamp) {
    let mut next: Option<(Option<Timestamp>, &Node)> = None;
    for node in &zone.down {
        let (wanted, other) =
            if readiness(node) == Some("False") { (NOT_READY, UNREACHABLE) } else { (UNREACHABLE, NOT_READY) };
        if no_execute(node, other).is_some() {
            change(plan, node, Some(wanted), now);
        } else if no_execute(node, wanted).is_none() {
            let since = condition(node, "Ready").and_then(|ready| Some(ready.last_transition_time.as_ref()?.0));
            if next.is_none_or(|(longest, _)| since < longest) {
                next = Some((since, node));
            }
        }
    }
    let (Some((since, node)), Some(pause)) = (next, zone.pause(settings)) else { return };
    // Clocks differ, and may be set back: who got a taint in the future got it now, and who ceased to be ready in the future
    // did so long ago.
    let by_pace = zone.last.map_or(now, |last| later(last.min(now), pause));
    let by_node = since.filter(|since| *since <= now).map_or(now, |since| later(since, settings.monitor_period));
    let due = by_pace.max(by_node);
    match Duration::try_from(due.duration_since(now)) {
        Ok(left) if !left.is_zero() => plan.look_again(left),
        _ => {
            let wanted = if readiness(node) == Some("False") { NOT_READY } else { UNREACHABLE };
            change(plan, node, Some(wanted), now);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_pace_is_that_of_the_zone() {
        let check = |ready: usize, not_ready: usize, state: State, pause: Option<u64>| {
            let (zone, settings) = (Zone { ready, not_ready, ..Zone::default() }, Settings::default());
            assert_eq!(zone.state(&settings), state, "{ready} ready, {not_ready} not");
            assert_eq!(zone.pause(&settings), pause.map(Duration::from_secs), "{ready} ready, {not_ready} not");
        };
        check(0, 0, State::Normal, Some(10));
        check(5, 1, State::Normal, Some(10));
        check(1, 2, State::Normal, Some(10));
        check(1, 3, State::Partial, None);
        check(9, 11, State::Partial, None);
        check(10, 11, State::Normal, Some(10));
        check(22, 28, State::Partial, None);
        check(22, 29, State::Partial, Some(100));
        check(0, 1, State::Full, Some(10));
    }

    #[test]
    fn a_rate_of_none_is_no_rate() {
        for rate in [0.0, -1.0, f64::NAN] {
            let settings = Settings { eviction_rate: rate, ..Settings::default() };
            assert_eq!(Zone::default().pause(&settings), None, "{rate}");
        }
    }

    proptest! {
        #[test]
        fn a_zone_is_never_better_with_a_node_less(ready in 1usize..100, not_ready in 0usize..100) {
            let rank = |ready, not_ready| {
                let zone = Zone { ready, not_ready, ..Zone::default() };
                zone.state(&Settings::default()) as u8
            };
            prop_assert!(rank(ready, not_ready) <= rank(ready - 1, not_ready + 1));
        }
    }
}
