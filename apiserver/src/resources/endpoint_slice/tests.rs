//! EndpointSlices as a client sees them.

use serde_json::json;

use super::*;

/// A slice of `manifest`, whose name, type and ports need not be stated.
fn slice(manifest: Value) -> EndpointSlice {
    let mut object = json!({
        "metadata": {"name": "web-1", "creationTimestamp": "2026-01-01T00:00:00Z"}, "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.0.0.1"]}],
    });
    for (field, value) in manifest.as_object().unwrap() {
        object[field] = value.clone();
    }
    let mut slice: EndpointSlice = serde_json::from_value(object).unwrap();
    EndpointSlices.default(&mut slice);
    slice
}

fn lines(errors: &ErrorList) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[track_caller]
fn check(manifest: Value, expected: &str) {
    assert_eq!(lines(&EndpointSlices.validate(&slice(manifest.clone()))), expected, "{manifest}");
}

const LABEL_RULE: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must \
                          start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for \
                          validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";

#[test]
fn invalid_slices_are_refused() {
    check(json!({}), "");
    check(json!({"endpoints": null}), "");
    check(json!({"addressType": ""}), "addressType: Required value");
    let unsupported = "addressType: Unsupported value: \"IP\": supported values: \"FQDN\", \"IPv4\", \"IPv6\"";
    check(json!({"addressType": "IP"}), unsupported);
    let node = "endpoints[0].nodeName: Invalid value: \"N\": a lowercase RFC 1123 subdomain must consist of lower case \
                alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. \
                'example.com', regex used for validation is \
                '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
    check(
        json!({"endpoints": [{"addresses": ["10.0.0.1"], "nodeName": "N", "hostname": "H"}]}),
        &format!("{node}\nendpoints[0].hostname: Invalid value: \"H\": {LABEL_RULE}"),
    );
    check(
        json!({"ports": [{"name": "A"}, {"port": 1}, {"port": 2}, {"name": "c", "protocol": "ICMP"}]}),
        &format!(
            "ports[0].name: Invalid value: \"A\": {LABEL_RULE}\nports[2].name: Duplicate value: \"\"\n\
             ports[3].protocol: Unsupported value: \"ICMP\": supported values: \"SCTP\", \"TCP\", \"UDP\""
        ),
    );
    let hints = json!({"forZones": [{"name": "a"}, {"name": "a"}, {"name": "b c"}], "forNodes": [{"name": "n"}, {"name": "n"}]});
    check(
        json!({"endpoints": [{"addresses": ["10.0.0.1"], "hints": hints}]}),
        "endpoints[0].hints.forZones[1].name: Duplicate value: \"a\"\n\
         endpoints[0].hints.forZones[2].name: Invalid value: \"b c\": a valid label must be an empty string or consist of \
         alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  \
         or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')\n\
         endpoints[0].hints.forNodes[1].name: Duplicate value: \"n\"",
    );
}

#[test]
fn addresses_are_of_the_stated_type() {
    let of = |kind: &str, address: &str| json!({"addressType": kind, "endpoints": [{"addresses": [address]}]});
    let at = |address: &str, detail: &str| format!("endpoints[0].addresses[0]: Invalid value: {address:?}: {detail}");
    check(of("IPv6", "fd00::1"), "");
    check(of("FQDN", "a.example.com"), "");
    check(of("IPv4", "fd00::1"), &at("fd00::1", "must be a valid IPv4 address"));
    check(of("IPv6", "10.0.0.1"), &at("10.0.0.1", "must be a valid IPv6 address"));
    check(of("IPv4", "10.0.0.01"), &at("10.0.0.01", "must not have leading 0s"));
    let loopback = "may not be in the loopback range (127.0.0.0/8, ::1/128)";
    check(of("IPv4", "127.0.0.1"), &at("127.0.0.1", loopback));
    let both = [at("x", "must be a valid IPv4 address"), at("x", "must be a valid IP address")].join("\n");
    check(of("IPv4", "x"), &both);
    check(of("FQDN", "local"), &at("local", "should be a domain with at least two segments separated by dots"));
}

#[test]
fn lists_have_limits() {
    let endpoints = |count: usize| json!(vec![json!({"addresses": ["10.0.0.1"]}); count]);
    check(json!({"endpoints": endpoints(1000)}), "");
    check(json!({"endpoints": endpoints(1001)}), "endpoints: Too many: 1001: must have at most 1000 items");
    let empty = "endpoints[0].addresses: Required value: must contain at least 1 address";
    check(json!({"endpoints": [{"addresses": []}]}), empty);
    let addresses = json!([{"addresses": vec!["10.0.0.1"; 101]}]);
    check(json!({"endpoints": addresses}), "endpoints[0].addresses: Too many: 101: must have at most 100 items");
    let ports: Vec<Value> = (0..20_001).map(|i| json!({"name": format!("p{i}"), "port": 1})).collect();
    check(json!({"ports": ports}), "ports: Too many: 20001: must have at most 20000 items");
    let zones: Vec<Value> = (0..9).map(|i| json!({"name": format!("z{i}")})).collect();
    let hints = json!([{"addresses": ["10.0.0.1"], "hints": {"forZones": zones, "forNodes": zones}}]);
    check(
        json!({"endpoints": hints}),
        "endpoints[0].hints.forZones: Too many: 9: must have at most 8 items\n\
         endpoints[0].hints.forNodes: Too many: 9: must have at most 8 items",
    );
}

#[test]
fn updates_keep_the_type_and_may_keep_the_rest() {
    let (v4, v6) = (slice(json!({})), slice(json!({"addressType": "IPv6", "endpoints": [{"addresses": ["fd00::1"]}]})));
    let fixed = "addressType: Invalid value: \"IPv6\": field is immutable";
    assert_eq!(lines(&EndpointSlices.validate_update(&v6, &v4)), fixed);
    let odd = slice(json!({"endpoints": [{"addresses": ["10.0.0.01"]}]}));
    assert_eq!(EndpointSlices.validate_update(&odd, &v4).len(), 1);
    assert!(EndpointSlices.validate_update(&odd, &odd).is_empty(), "stored before");

    let changed = EndpointSlices.generation().unwrap();
    let labelled = slice(json!({"metadata": {"labels": {"a": "b"}}}));
    let annotated = slice(json!({"metadata": {"annotations": {"a": "b"}}}));
    let cases = [(&v4, &v4, false), (&v6, &v4, true), (&labelled, &v4, true), (&annotated, &v4, false)];
    for (new, old, expected) in cases {
        assert_eq!(changed(new, old), expected);
    }
}

#[test]
fn ports_have_names_and_protocols() {
    let slice = slice(json!({"ports": [{"port": 80}, {"name": "dns", "port": 53, "protocol": "UDP"}]}));
    let ports = json!([{"name": "", "port": 80, "protocol": "TCP"}, {"name": "dns", "port": 53, "protocol": "UDP"}]);
    assert_eq!(serde_json::to_value(slice).unwrap()["ports"], ports);
}

#[test]
fn topology_is_not_written() {
    let context = Context { now: Timestamp::UNIX_EPOCH, namespace: "default", identity: None };
    let with_topology = |address: &str, node: &str| {
        slice(json!({"endpoints": [{"addresses": [address], "deprecatedTopology": {"kubernetes.io/hostname": node}}]}))
    };
    let old = with_topology("10.0.0.1", "n1");
    let prepare = |new: EndpointSlice, old: Option<&EndpointSlice>| {
        let mut new = new;
        match old {
            None => EndpointSlices.prepare_create(&mut new, context),
            Some(old) => EndpointSlices.prepare_update(&mut new, old, context),
        }
        let endpoint = new.endpoints.unwrap().remove(0);
        (endpoint.node_name, endpoint.deprecated_topology.is_some())
    };
    assert_eq!(prepare(old.clone(), None), (None, false));
    assert_eq!(prepare(old.clone(), Some(&old)), (None, true));
    assert_eq!(prepare(with_topology("10.0.0.2", "n1"), Some(&old)), (Some("n1".to_owned()), false));
    assert_eq!(prepare(with_topology("10.0.0.2", "n2"), Some(&old)), (None, false));
}

#[test]
fn deprecated_types_and_odd_addresses_are_warned_of() {
    let fqdn = slice(json!({"addressType": "FQDN", "endpoints": [{"addresses": ["a.example.com"]}]}));
    assert_eq!(EndpointSlices.warnings(&fqdn, None), ["spec.addressType: FQDN endpoints are deprecated"]);
    assert!(EndpointSlices.warnings(&fqdn, Some(&fqdn)).is_empty());
    let odd = json!([{"addresses": ["10.0.0.1", "FD00::1"]}]);
    let warning =
        "endpoints[0].addresses[1]: IPv6 address \"FD00::1\" should be in RFC 5952 canonical format (\"fd00::1\")";
    assert_eq!(EndpointSlices.warnings(&slice(json!({"endpoints": odd})), None), [warning]);
    let labels = json!({"endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"});
    let managed = slice(json!({"endpoints": odd, "metadata": {"labels": labels}}));
    assert!(EndpointSlices.warnings(&managed, None).is_empty());
}

#[test]
fn rows_show_the_first_ports_and_addresses() {
    let endpoints = json!([{"addresses": ["10.0.0.1", "10.0.0.2"]}, {"addresses": ["10.0.0.3", "10.0.0.4"]}]);
    let ports = json!([{"port": 80}, {"name": "any"}, {"name": "b", "port": 81}, {"name": "c", "port": 82}]);
    let cases = [
        (json!({}), "<unset>", "10.0.0.1"),
        (json!({"endpoints": [], "ports": [{"port": 80}]}), "80", "<unset>"),
        (
            json!({"endpoints": endpoints, "ports": ports}),
            "80,any,81 + 1 more...",
            "10.0.0.1,10.0.0.2,10.0.0.3 + 1 more...",
        ),
    ];
    for (manifest, ports, endpoints) in cases {
        let row = EndpointSlices.row(&slice(manifest), "2026-01-01T01:00:00Z".parse().unwrap());
        assert_eq!(json!(row), json!(["web-1", "IPv4", ports, endpoints, "60m"]));
    }
}
