//! Services, with where they lead to: EndpointSlices, and Endpoints.

use serde_json::Value;

use super::Subject;
use super::page::{Page, list, or_none, pairs, shown, texts};

/// How many addresses are told; of the rest only how many they are.
const MOST: usize = 3;

/// A Service.
pub(super) fn describe(page: &mut Page, subject: &Subject) {
    let service = &subject.object;
    let spec = &service["spec"];
    page.head(service);
    page.notes(service);
    page.field(0, "Selector", &or_none(pairs(&spec["selector"]).join(",")));
    page.field(0, "Type", &shown(&spec["type"]));
    page.field_if(0, "IP Family Policy", &spec["ipFamilyPolicy"]);
    page.field(0, "IP Families", &or_none(texts(&spec["ipFamilies"]).join(",")));
    page.field(0, "IP", &shown(&spec["clusterIP"]));
    page.field(0, "IPs", &or_none(texts(&spec["clusterIPs"]).join(",")));
    for (title, value) in [
        ("External IPs", texts(&spec["externalIPs"]).join(",")),
        ("Desired LoadBalancer IP", shown(&spec["loadBalancerIP"])),
        ("External Name", shown(&spec["externalName"])),
        ("LoadBalancer Ingress", ingress(list(&service["status"]["loadBalancer"]["ingress"]))),
    ] {
        if !value.is_empty() {
            page.field(0, title, &value);
        }
    }
    for port in list(&spec["ports"]) {
        let (name, protocol) = (shown(&port["name"]), shown(&port["protocol"]));
        let title = if name.is_empty() { "<unset>" } else { &name };
        page.field(0, "Port", &format!("{title}\t{}/{protocol}", shown(&port["port"])));
        let target = if port["targetPort"].is_null() { "0".to_owned() } else { shown(&port["targetPort"]) };
        page.field(0, "TargetPort", &format!("{target}/{protocol}"));
        page.field_if(0, "AppProtocol", &port["appProtocol"]);
        if port["nodePort"].as_i64().unwrap_or(0) != 0 {
            page.field(0, "NodePort", &format!("{title}\t{}/{protocol}", shown(&port["nodePort"])));
        }
        page.field(0, "Endpoints", &endpoints(subject.related("endpointslices"), &name));
    }
    page.field(0, "Session Affinity", &shown(&spec["sessionAffinity"]));
    page.field_if(0, "External Traffic Policy", &spec["externalTrafficPolicy"]);
    page.field_if(0, "Internal Traffic Policy", &spec["internalTrafficPolicy"]);
    if spec["healthCheckNodePort"].as_i64().unwrap_or(0) != 0 {
        page.field(0, "HealthCheck NodePort", &shown(&spec["healthCheckNodePort"]));
    }
    let ranges = texts(&spec["loadBalancerSourceRanges"]).join(",");
    if !ranges.is_empty() {
        page.field(0, "LoadBalancer Source Ranges", &ranges);
    }
    page.field_if(0, "Traffic Distribution", &spec["trafficDistribution"]);
    page.events(subject.events.as_deref());
}

fn ingress(points: &[Value]) -> String {
    let text = |point: &Value| {
        let address = shown(&point["ip"]);
        if address.is_empty() {
            return shown(&point["hostname"]);
        }
        match point["ipMode"].as_str() {
            Some(mode) => format!("{address} ({mode})"),
            None => address,
        }
    };
    points.iter().map(text).collect::<Vec<_>>().join(", ")
}

/// Where a port leads to: ready addresses of slices, each with the port of this name; of slices without ports, by
/// themselves.
pub(super) fn endpoints(slices: &[Value], port_name: &str) -> String {
    if slices.is_empty() {
        return "<none>".to_owned();
    }
    let mut all = Vec::new();
    for slice in slices {
        let ready = || {
            let endpoints = list(&slice["endpoints"]).iter();
            endpoints
                .filter(|endpoint| endpoint["conditions"]["ready"] != false)
                .map(|endpoint| shown(&endpoint["addresses"][0]))
        };
        let ports = list(&slice["ports"]);
        if ports.is_empty() {
            all.extend(ready());
        }
        for port in ports.iter().filter(|port| shown(&port["name"]) == port_name) {
            let number = shown(&port["port"]);
            let with_port = |address: String| {
                if address.contains(':') { format!("[{address}]:{number}") } else { format!("{address}:{number}") }
            };
            all.extend(ready().map(with_port));
        }
    }
    let told = all[..all.len().min(MOST)].join(",");
    if all.len() > MOST { format!("{told} + {} more...", all.len() - MOST) } else { told }
}

/// An EndpointSlice.
pub(super) fn slice(page: &mut Page, subject: &Subject) {
    let slice = &subject.object;
    let or_unset = |value: &Value| if shown(value).is_empty() { "<unset>".to_owned() } else { shown(value) };
    page.head(slice);
    page.notes(slice);
    page.field(0, "AddressType", &shown(&slice["addressType"]));
    let ports = list(&slice["ports"]);
    page.put(if ports.is_empty() {
        "Ports: <unset>\n"
    } else {
        "Ports:\n  Name\tPort\tProtocol\n  ----\t----\t--------\n"
    });
    for port in ports {
        page.line(
            1,
            &format!("{}\t{}\t{}", or_unset(&port["name"]), or_unset(&port["port"]), shown(&port["protocol"])),
        );
    }
    let endpoints = list(&slice["endpoints"]);
    page.line(0, if endpoints.is_empty() { "Endpoints: <none>" } else { "Endpoints:" });
    for endpoint in endpoints {
        page.field(1, "- Addresses", &or_none(texts(&endpoint["addresses"]).join(", ")));
        page.line(2, "Conditions:");
        page.field(3, "Ready", &or_unset(&endpoint["conditions"]["ready"]));
        page.field(2, "Hostname", &or_unset(&endpoint["hostname"]));
        let target = &endpoint["targetRef"];
        if !target.is_null() {
            page.field(2, "TargetRef", &format!("{}/{}", shown(&target["kind"]), shown(&target["name"])));
        }
        page.field(2, "NodeName", &or_unset(&endpoint["nodeName"]));
        page.field(2, "Zone", &or_unset(&endpoint["zone"]));
    }
    page.events(subject.events.as_deref());
}

/// Endpoints, of before there were slices.
pub(super) fn endpoints_object(page: &mut Page, subject: &Subject) {
    let object = &subject.object;
    page.head(object);
    page.notes(object);
    page.line(0, "Subsets:");
    for subset in list(&object["subsets"]) {
        for (title, field) in [("Addresses", "addresses"), ("NotReadyAddresses", "notReadyAddresses")] {
            let addresses: Vec<String> = list(&subset[field]).iter().map(|address| shown(&address["ip"])).collect();
            page.field(1, title, &or_none(addresses.join(",")));
        }
        let ports = list(&subset["ports"]);
        if !ports.is_empty() {
            page.put("  Ports:\n    Name\tPort\tProtocol\n    ----\t----\t--------\n");
        }
        for port in ports {
            let name = shown(&port["name"]);
            let name = if name.is_empty() { "<unset>" } else { &name };
            page.line(2, &format!("{name}\t{}\t{}", shown(&port["port"]), shown(&port["protocol"])));
        }
        page.put("\n");
    }
    page.events(subject.events.as_deref());
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn endpoints_are_those_that_are_ready() {
        let check = |slices: Value, port: &str, expected: &str| {
            assert_eq!(endpoints(list(&slices), port), expected, "{slices}");
        };
        let endpoint = |address: &str, ready: Value| json!({"addresses": [address], "conditions": {"ready": ready}});
        check(json!([]), "", "<none>");
        let two = json!([{"ports": [{"name": "a", "port": 80}, {"name": "b", "port": 81}],
            "endpoints": [endpoint("10.0.0.1", json!(true)), endpoint("10.0.0.2", json!(false)),
                endpoint("fd00::1", Value::Null)]}]);
        check(two.clone(), "a", "10.0.0.1:80,[fd00::1]:80");
        check(two.clone(), "b", "10.0.0.1:81,[fd00::1]:81");
        check(two, "c", "");
        let many: Vec<Value> = (1..6).map(|index| endpoint(&format!("10.0.0.{index}"), json!(true))).collect();
        check(
            json!([{"ports": [{"name": "", "port": 1}], "endpoints": many}]),
            "",
            "10.0.0.1:1,10.0.0.2:1,10.0.0.3:1 + 2 more...",
        );
        check(json!([{"ports": null, "endpoints": [endpoint("10.0.0.1", json!(true))]}]), "x", "10.0.0.1");
    }
}
