//! NetworkPolicies: what may talk to pods, and to what pods may.

use serde_json::Value;

use super::Subject;
use super::page::{Page, list, or_none, selector, shown, texts};

/// Traffic of one direction, in the words for it.
struct Direction {
    policy_type: &'static str,
    rules: &'static str,
    peers: &'static str,
    title: &'static str,
    anybody: &'static str,
}

const DIRECTIONS: [Direction; 2] = [
    Direction { policy_type: "Ingress", rules: "ingress", peers: "from", title: "From", anybody: "source" },
    Direction { policy_type: "Egress", rules: "egress", peers: "to", title: "To", anybody: "destination" },
];

/// A policy.
pub(super) fn describe(page: &mut Page, subject: &Subject) {
    let policy = &subject.object;
    let spec = &policy["spec"];
    page.head(policy);
    let created = page.clock.plain_time(&policy["metadata"]["creationTimestamp"]);
    page.field(0, "Created on", &created);
    page.notes(policy);
    page.line(0, "Spec:");
    let pods = selector(&spec["podSelector"]);
    let pods =
        if pods.is_empty() { "<none> (Allowing the specific traffic to all pods in this namespace)" } else { &pods };
    page.line(1, &format!("PodSelector:     {pods}"));
    let types = texts(&spec["policyTypes"]);
    for direction in &DIRECTIONS {
        let traffic = format!("{} traffic", direction.rules);
        if types.iter().any(|of| of == direction.policy_type) {
            page.line(1, &format!("Allowing {traffic}:"));
            rules(page, direction, list(&spec[direction.rules]));
        } else {
            page.line(1, &format!("Not affecting {traffic}"));
        }
    }
    page.line(1, &format!("Policy Types: {}", or_none(types.join(", "))));
}

fn rules(page: &mut Page, direction: &Direction, rules: &[Value]) {
    if rules.is_empty() {
        page.line(2, &format!("<none> (Selected pods are isolated for {} connectivity)", direction.rules));
    }
    for (index, rule) in rules.iter().enumerate() {
        if index > 0 {
            page.line(2, "----------");
        }
        let ports = list(&rule["ports"]);
        if ports.is_empty() {
            page.line(2, "To Port: <any> (traffic allowed to all ports)");
        }
        for port in ports {
            page.line(2, &self::port(port));
        }
        let (peers, title) = (list(&rule[direction.peers]), direction.title);
        if peers.is_empty() {
            page.line(2, &format!("{title}: <any> (traffic not restricted by {})", direction.anybody));
        }
        for peer in peers {
            page.line(2, &format!("{title}:"));
            self::peer(page, peer);
        }
    }
}

/// A port, or a range of them.
fn port(port: &Value) -> String {
    let protocol = port["protocol"].as_str().unwrap_or("TCP");
    let first = if port["port"].is_null() { "<nil>".to_owned() } else { shown(&port["port"]) };
    match port["endPort"].as_i64() {
        Some(last) => format!("To Port Range: {first}-{last}/{protocol}"),
        None => format!("To Port: {first}/{protocol}"),
    }
}

/// Pods of these namespaces, or addresses.
fn peer(page: &mut Page, peer: &Value) {
    let selectors = [("NamespaceSelector", "namespaceSelector"), ("PodSelector", "podSelector")];
    let selectors: Vec<_> = selectors.into_iter().filter(|(_, field)| !peer[field].is_null()).collect();
    for (title, field) in &selectors {
        page.line(3, &format!("{title}: {}", or_none(selector(&peer[field]))));
    }
    let block = &peer["ipBlock"];
    if selectors.is_empty() && !block.is_null() {
        page.line(3, "IPBlock:");
        page.line(4, &format!("CIDR: {}", shown(&block["cidr"])));
        page.line(4, &format!("Except: {}", texts(&block["except"]).join(", ")));
    }
}
