//! Endpoints as a client sees them.

use serde_json::json;

use super::*;

fn endpoints(subsets: &str) -> Endpoints {
    let subsets: Value = serde_json::from_str(subsets).expect(subsets);
    let mut endpoints: Endpoints = serde_json::from_value(json!({
        "metadata": {"name": "web", "creationTimestamp": "2026-01-01T00:00:00Z"}, "subsets": subsets,
    }))
    .unwrap();
    EndpointsKind.default(&mut endpoints);
    endpoints
}

const LABEL_RULE: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must \
                          start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for \
                          validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";

/// Subsets, and what is wrong with them; `LABEL` stands for the rule of labels.
const INVALID: &[(&str, &str)] = &[
    (r#"[{"addresses": [{"ip": "10.0.0.1", "nodeName": "n1", "hostname": "a"}], "ports": [{"port": 80}]}]"#, ""),
    (r#"[{"notReadyAddresses": [{"ip": "fd00::1"}]}]"#, ""),
    (r#"[{"ports": [{"port": 80}]}]"#, "subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`"),
    (
        r#"[{"addresses": [{"ip": "x"}]}]"#,
        "subsets[0].addresses[0].ip: Invalid value: \"x\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)\n\
         subsets[0].addresses[0].ip: Invalid value: \"x\": must be a valid IP address",
    ),
    (
        r#"[{"addresses": [{"ip": "10.0.0.01"}]}]"#,
        "subsets[0].addresses[0].ip: Invalid value: \"10.0.0.01\": must not have leading 0s",
    ),
    (
        r#"[{"notReadyAddresses": [{"ip": "127.0.0.1"}]}]"#,
        "subsets[0].notReadyAddresses[0].ip: Invalid value: \"127.0.0.1\": may not be in the loopback range (127.0.0.0/8, \
         ::1/128)",
    ),
    (
        r#"[{"addresses": [{"ip": "10.0.0.1", "hostname": "A"}]}]"#,
        "subsets[0].addresses[0].hostname: Invalid value: \"A\": LABEL",
    ),
    (
        r#"[{"addresses": [{"ip": "10.0.0.1", "nodeName": "N"}]}]"#,
        "subsets[0].addresses[0].nodeName: Invalid value: \"N\": a lowercase RFC 1123 subdomain must consist of lower case \
         alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', \
         regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
    ),
    (
        r#"[{"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 80}, {"port": 81, "name": "B"}]}]"#,
        "subsets[0].ports[0].name: Required value\nsubsets[0].ports[1].name: Invalid value: \"B\": LABEL",
    ),
    (
        r#"[{"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 65536, "protocol": "ICMP"}]}]"#,
        "subsets[0].ports[0].port: Invalid value: 65536: must be between 1 and 65535, inclusive\n\
         subsets[0].ports[0].protocol: Unsupported value: \"ICMP\": supported values: \"SCTP\", \"TCP\", \"UDP\"",
    ),
    (
        r#"[{"addresses": [{"ip": "169.254.1.1"}, {"ip": "0.0.0.0"}, {"ip": "224.0.0.1"}]}]"#,
        "subsets[0].addresses[0].ip: Invalid value: \"169.254.1.1\": may not be in the link-local range (169.254.0.0/16, \
         fe80::/10)\n\
         subsets[0].addresses[1].ip: Invalid value: \"0.0.0.0\": may not be unspecified (0.0.0.0)\n\
         subsets[0].addresses[2].ip: Invalid value: \"224.0.0.1\": may not be in the link-local multicast range \
         (224.0.0.0/24, ff02::/10)",
    ),
];

#[test]
fn invalid_endpoints_are_refused() {
    for (subsets, expected) in INVALID {
        let object = endpoints(subsets);
        let errors = EndpointsKind.validate(&object);
        let found = errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        assert_eq!(found, expected.replace("LABEL", LABEL_RULE), "{subsets}");
        assert_eq!(EndpointsKind.validate_update(&object, &endpoints("[]")), errors);
        assert!(EndpointsKind.validate_update(&object, &object).is_empty(), "stored before");
    }
}

#[test]
fn protocols_default_to_tcp() {
    let object =
        endpoints(r#"[{"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 80}, {"port": 53, "protocol": "UDP"}]}]"#);
    let ports = json!([{"port": 80, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}]);
    assert_eq!(serde_json::to_value(object).unwrap()["subsets"][0]["ports"], ports);
}

#[test]
fn the_kind_is_deprecated_and_odd_addresses_are_warned_of() {
    let mut object = endpoints(r#"[{"addresses": [{"ip": "10.0.0.1"}, {"ip": "FD00::1"}]}]"#);
    let odd =
        "subsets[0].addresses[1].ip: IPv6 address \"FD00::1\" should be in RFC 5952 canonical format (\"fd00::1\")";
    assert_eq!(EndpointsKind.warnings(&object, None), [DEPRECATION, odd]);
    let label = json!({"endpoints.kubernetes.io/managed-by": "endpoint-controller"});
    object.metadata.labels = serde_json::from_value(label).unwrap();
    assert_eq!(EndpointsKind.warnings(&object, None), [DEPRECATION]);
}

#[test]
fn rows_show_the_first_addresses() {
    let four = r#"{"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}, {"ip": "10.0.0.3"}, {"ip": "10.0.0.4"}"#;
    let cases = [
        ("[]".to_owned(), "<none>"),
        (r#"[{"notReadyAddresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 80}]}]"#.to_owned(), ""),
        (r#"[{"addresses": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]}]"#.to_owned(), "10.0.0.1,fd00::1"),
        (
            r#"[{"addresses": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}], "ports": [{"port": 80}]}]"#.to_owned(),
            "10.0.0.1:80,[fd00::1]:80",
        ),
        (format!(r#"[{{"addresses": [{four}]}}]"#), "10.0.0.1,10.0.0.2,10.0.0.3 + 1 more..."),
        (
            format!(
                r#"[{{"addresses": [{four}], "ports": [{{"port": 80}}, {{"port": 81}}]}},
                {{"addresses": [{{"ip": "10.0.0.5"}}], "ports": [{{"port": 82}}]}}]"#
            ),
            "10.0.0.1:80,10.0.0.2:80,10.0.0.3:80 + 6 more...",
        ),
    ];
    for (subsets, expected) in cases {
        let row = EndpointsKind.row(&endpoints(&subsets), "2026-01-01T01:00:00Z".parse().unwrap());
        assert_eq!(json!(row), json!(["web", expected, "60m"]), "{subsets}");
    }
}
