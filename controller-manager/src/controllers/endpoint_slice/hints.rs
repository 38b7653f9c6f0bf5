//! Hints to proxies which endpoints to prefer, as a Service's `trafficDistribution` asks for: each ready endpoint is for its
//! own zone and, if so asked, for its own node.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointHints, EndpointSlice, ForNode, ForZone};

use super::endpoint::{endpoints, is_ready};
use super::packing::{Layout, Revision};

/// What a Service asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Distribution {
    /// Nothing.
    Anywhere,
    /// Endpoints of the zone of the client first.
    SameZone,
    /// Endpoints of the node of the client first, and then those of its zone.
    SameNode,
    /// Endpoints spread over the zones in proportion to their processors.
    Proportional,
}

/// What the Service asks for. The older annotation goes before the newer, and both before the field.
pub(super) fn asked(service: &Service) -> Distribution {
    let annotations = service.metadata.annotations.as_ref();
    let annotation = |key: &str| annotations.and_then(|annotations| annotations.get(key));
    let mode = annotation("service.kubernetes.io/topology-aware-hints");
    let mode = mode.or_else(|| annotation("service.kubernetes.io/topology-mode"));
    if mode.is_some_and(|mode| mode == "Auto" || mode == "auto") {
        return Distribution::Proportional;
    }
    match service.spec.as_ref().and_then(|spec| spec.traffic_distribution.as_deref()) {
        Some("PreferClose" | "PreferSameZone") => Distribution::SameZone,
        Some("PreferSameNode") => Distribution::SameNode,
        _ => Distribution::Anywhere,
    }
}

/// Lets every ready endpoint be for its own zone, and for its own node if `nodes`.
pub(super) fn prefer_close(layout: &mut Layout, nodes: bool) {
    layout.revise_unchanged(|slice| endpoints(slice).iter().any(|it| is_ready(it) && it.hints != own(it, nodes)));
    for endpoint in layout.written().flat_map(|slice| slice.endpoints.iter_mut().flatten()) {
        if is_ready(endpoint) {
            endpoint.hints = own(endpoint, nodes);
        }
    }
}

fn own(endpoint: &Endpoint, nodes: bool) -> Option<EndpointHints> {
    let zone = endpoint.zone.clone().map(|name| vec![ForZone { name }]);
    let node = endpoint.node_name.clone().filter(|_| nodes).map(|name| vec![ForNode { name }]);
    (zone.is_some() || node.is_some()).then_some(EndpointHints { for_nodes: node, for_zones: zone })
}

/// Lets no endpoint be for anybody in particular.
pub(super) fn clear(layout: &mut Layout) {
    layout.revise_unchanged(|slice| endpoints(slice).iter().any(|endpoint| endpoint.hints.is_some()));
    for endpoint in layout.written().flat_map(|slice| slice.endpoints.iter_mut().flatten()) {
        endpoint.hints = None;
    }
}

impl Layout {
    /// Also writes those unchanged slices for which this is so.
    pub(super) fn revise_unchanged(&mut self, mut must_change: impl FnMut(&EndpointSlice) -> bool) {
        let (changed, unchanged) = std::mem::take(&mut self.unchanged)
            .into_iter()
            .partition::<Vec<Arc<EndpointSlice>>, _>(|slice| must_change(slice));
        self.unchanged = unchanged;
        self.update.extend(changed.into_iter().map(Revision::of));
    }

    /// The slices that will be written.
    pub(super) fn written(&mut self) -> impl Iterator<Item = &mut EndpointSlice> {
        self.create.iter_mut().chain(self.update.iter_mut().map(|revision| &mut revision.new))
    }

    /// All slices as they will be.
    pub(super) fn all(&self) -> impl Iterator<Item = &EndpointSlice> {
        let revised = self.update.iter().map(|revision| &revision.new);
        self.create.iter().chain(revised).chain(self.unchanged.iter().map(|slice| &**slice))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn annotations_go_before_the_field() {
        let check = |annotations: Value, field: Value, expected: Distribution| {
            let json = json!({"metadata": {"annotations": annotations}, "spec": {"trafficDistribution": field}});
            assert_eq!(asked(&serde_json::from_value(json).unwrap()), expected);
        };
        let (old, new) = ("service.kubernetes.io/topology-aware-hints", "service.kubernetes.io/topology-mode");
        check(json!({}), json!(null), Distribution::Anywhere);
        check(json!({}), json!("PreferClose"), Distribution::SameZone);
        check(json!({}), json!("PreferSameZone"), Distribution::SameZone);
        check(json!({}), json!("PreferSameNode"), Distribution::SameNode);
        check(json!({}), json!("Elsewhere"), Distribution::Anywhere);
        check(json!({new: "Auto"}), json!("PreferClose"), Distribution::Proportional);
        check(json!({new: "auto"}), json!(null), Distribution::Proportional);
        check(json!({new: "Disabled"}), json!("PreferClose"), Distribution::SameZone);
        check(json!({new: "Auto", old: "Disabled"}), json!(null), Distribution::Anywhere);
        check(json!({new: "Disabled", old: "Auto"}), json!(null), Distribution::Proportional);
    }

    /// Hints of slices that are there, given as pairs of an endpoint and of the hints that it is to have.
    fn check(nodes: bool, cases: &[(Value, Value)], written: usize) {
        let slice = |(endpoint, _): &(Value, Value)| {
            let json = json!({"addressType": "IPv4", "metadata": {}, "endpoints": [endpoint]});
            Arc::new(serde_json::from_value::<EndpointSlice>(json).unwrap())
        };
        let mut layout = Layout { unchanged: cases.iter().map(slice).collect(), ..Layout::default() };
        prefer_close(&mut layout, nodes);
        assert_eq!(layout.update.len(), written);
        let mut hints: Vec<String> = layout.all().map(|slice| json!(endpoints(slice)[0].hints).to_string()).collect();
        let mut expected: Vec<String> = cases.iter().map(|(_, hints)| hints.to_string()).collect();
        hints.sort();
        expected.sort();
        assert_eq!(hints, expected);
        clear(&mut layout);
        assert!(layout.all().all(|slice| endpoints(slice)[0].hints.is_none()));
    }

    #[test]
    fn ready_endpoints_are_for_their_own_zone_and_node() {
        let ready = json!({"ready": true});
        let zone = json!({"forZones": [{"name": "a"}]});
        let both = json!({"forNodes": [{"name": "n"}], "forZones": [{"name": "a"}]});
        let placed = json!({"addresses": ["1"], "conditions": ready, "zone": "a", "nodeName": "n"});
        let hinted = |hints: &Value| {
            let mut endpoint = placed.clone();
            endpoint["hints"] = hints.clone();
            endpoint
        };
        let nowhere = json!({"addresses": ["2"], "conditions": ready, "hints": zone});
        let not_ready = json!({"addresses": ["3"], "conditions": {"ready": false}, "zone": "a"});
        let rest = [(nowhere, Value::Null), (not_ready, Value::Null)];
        check(false, &[(placed.clone(), zone.clone()), rest[0].clone(), rest[1].clone()], 2);
        check(false, &[(hinted(&zone), zone.clone())], 0);
        check(false, &[(hinted(&both), zone.clone())], 1);
        check(true, &[(hinted(&zone), both.clone()), rest[0].clone(), rest[1].clone()], 2);
        check(true, &[(hinted(&both), both)], 0);
    }
}
