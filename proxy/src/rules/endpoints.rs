//! Which endpoints packets may go to: those that are ready and near enough, or, if none is, those that still serve while
//! they end. The rules are those of upstream's `CategorizeEndpoints` (KEP-1669, KEP-2433, KEP-3015).

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::discovery::v1::{Endpoint as Listed, EndpointSlice};
use nft::{Endpoint, Family};

use super::Node;
use super::service::{Frontend, Port, Protocol, address, left_out, number};

/// What slices say of an endpoint. The greater of two is believed if an endpoint is in several slices, which it is for
/// a short time when it moves: the order of slices does not matter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct State {
    local: bool,
    ready: bool,
    serving: bool,
    terminating: bool,
    zones: BTreeSet<String>,
    nodes: BTreeSet<String>,
}

impl State {
    fn new(endpoint: &Listed, node: &Node) -> State {
        let conditions = endpoint.conditions.as_ref();
        let hints = endpoint.hints.as_ref();
        State {
            local: !node.name.is_empty() && endpoint.node_name.as_deref() == Some(&node.name),
            ready: conditions.and_then(|conditions| conditions.ready).unwrap_or(true),
            serving: conditions.and_then(|conditions| conditions.serving).unwrap_or(true),
            terminating: conditions.and_then(|conditions| conditions.terminating).unwrap_or(false),
            zones: hints.iter().flat_map(|hints| hints.for_zones.iter().flatten()).map(|z| z.name.clone()).collect(),
            nodes: hints.iter().flat_map(|hints| hints.for_nodes.iter().flatten()).map(|n| n.name.clone()).collect(),
        }
    }

    /// Whether it still serves while it ends, and so is better than none.
    const fn is_draining(&self) -> bool {
        self.serving && self.terminating
    }
}

/// The name of a Service's port in slices.
type PortKey = (String, Protocol);

/// The endpoints of a Service in one family.
#[derive(Clone, Debug, Default)]
pub(super) struct Endpoints {
    ports: BTreeMap<PortKey, BTreeMap<Endpoint, State>>,
}

/// Where the packets to a port of a Service may go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Targets {
    /// With the policy `Cluster`.
    pub(super) cluster: Vec<Endpoint>,
    /// With the policy `Local`.
    pub(super) local: Vec<Endpoint>,
    /// Whether there is anybody anywhere in the cluster, if not for this node.
    pub(super) any: bool,
    /// Those of this node among all of these.
    pub(super) here: BTreeSet<Endpoint>,
    /// Whoever serves, anywhere: connections to them go on, whatever is chosen for new ones.
    pub(super) serving: BTreeSet<Endpoint>,
}

impl Endpoints {
    /// What slices say. Those of another family are left out, and those that are for headless Services alone.
    pub(super) fn new(family: Family, slices: &[&EndpointSlice], node: &Node) -> Endpoints {
        let kind = match family {
            Family::Ip => "IPv4",
            Family::Ip6 => "IPv6",
        };
        let mut all = Endpoints::default();
        for slice in
            slices.iter().filter(|slice| slice.address_type == kind && !left_out(slice.metadata.labels.as_ref()))
        {
            for port in slice.ports.iter().flatten() {
                // A port without a number stands for all, which no Service can lead to.
                let Some(number) = port.port.and_then(number) else { continue };
                let Some(protocol) = Protocol::new(port.protocol.as_deref()) else { continue };
                let known = all.ports.entry((port.name.clone().unwrap_or_default(), protocol)).or_default();
                for endpoint in slice.endpoints.iter().flatten() {
                    // The addresses of one endpoint are all the same to us: the first will do.
                    let Some(address) = endpoint.addresses.first().and_then(|text| address(family, text)) else {
                        continue;
                    };
                    let state = State::new(endpoint, node);
                    let slot = known.entry(Endpoint { address, port: number }).or_insert_with(|| state.clone());
                    if *slot < state {
                        *slot = state;
                    }
                }
            }
        }
        all
    }

    /// Where packets to a port may go.
    pub(super) fn targets(&self, frontend: &Frontend, port: &Port, node: &Node) -> Targets {
        let Some(all) = self.ports.get(&(port.name.clone(), port.protocol)) else { return Targets::default() };
        let external = frontend.is_external(port);
        let mut targets = Targets::default();
        // Even if external traffic stays on the node, the node's own and its pods' does not.
        if !frontend.internal_local || external {
            let near = Near::new(all, node);
            targets.cluster = chosen(all, |state| state.ready && near.has(state, node));
            if targets.cluster.is_empty() {
                targets.cluster = chosen(all, State::is_draining);
            }
            targets.any = !targets.cluster.is_empty();
        }
        if frontend.internal_local || (frontend.external_local && external) {
            targets.local = chosen(all, |state| state.local && state.ready);
            if targets.local.is_empty() {
                targets.local = chosen(all, |state| state.local && state.is_draining());
            }
            targets.any |= all.values().any(|state| state.ready || state.is_draining());
        }
        let used = targets.cluster.iter().chain(&targets.local);
        targets.here = used.filter(|endpoint| all.get(endpoint).is_some_and(|state| state.local)).copied().collect();
        targets.serving = chosen(all, |state| state.serving).into_iter().collect();
        targets
    }
}

fn chosen(all: &BTreeMap<Endpoint, State>, is_chosen: impl Fn(&State) -> bool) -> Vec<Endpoint> {
    all.iter().filter(|(_, state)| is_chosen(state)).map(|(endpoint, _)| *endpoint).collect()
}

/// How near an endpoint has to be. Hints count only if all ready endpoints have them and some are for us: otherwise a
/// node could be left without any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Near {
    Anywhere,
    Zone,
    Node,
}

impl Near {
    fn new(all: &BTreeMap<Endpoint, State>, node: &Node) -> Near {
        [Near::Node, Near::Zone].into_iter().find(|near| near.holds(all, node)).unwrap_or(Near::Anywhere)
    }

    fn holds(self, all: &BTreeMap<Endpoint, State>, node: &Node) -> bool {
        let mut ready = all.values().filter(|state| state.ready);
        let hinted = match self {
            Near::Anywhere => true,
            Near::Zone => ready.clone().all(|state| !state.zones.is_empty()),
            Near::Node => ready.clone().all(|state| !state.nodes.is_empty()),
        };
        hinted && ready.any(|state| self.has(state, node))
    }

    fn has(self, state: &State, node: &Node) -> bool {
        match self {
            Near::Anywhere => true,
            Near::Zone => node.zone.as_ref().is_some_and(|zone| state.zones.contains(zone)),
            Near::Node => state.nodes.contains(&node.name),
        }
    }
}
