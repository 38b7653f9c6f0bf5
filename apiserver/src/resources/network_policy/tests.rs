//! NetworkPolicies: defaults, refusals, what an update may keep, warnings, rows.

use serde_json::json;

use super::*;

/// A policy with this spec, and defaults.
fn policy(spec: Value) -> NetworkPolicy {
    let value = json!({"metadata": {"name": "p", "namespace": "default"}, "spec": spec});
    let mut policy = serde_json::from_value(value).unwrap();
    NetworkPolicies.default(&mut policy);
    policy
}

fn lines(errors: &ErrorList) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[track_caller]
fn check(spec: Value, expected: &[&str]) {
    let policy = policy(spec);
    assert_eq!(lines(&NetworkPolicies.validate(&policy)), expected.join("\n"), "{policy:?}");
}

fn block(cidr: &str, except: &[&str]) -> Value {
    json!({"ingress": [{"from": [{"ipBlock": {"cidr": cidr, "except": except}}]}]})
}

#[test]
fn defaults() {
    let check = |spec: Value, expected: Value| {
        let once = policy(spec);
        let mut twice = once.clone();
        NetworkPolicies.default(&mut twice);
        assert_eq!(once, twice);
        assert_eq!(serde_json::to_value(&once.spec).unwrap(), expected);
    };
    check(Value::Null, json!({"podSelector": {}, "policyTypes": ["Ingress"]}));
    check(
        json!({"podSelector": {}, "ingress": [{"ports": [{"port": 80}, {"port": 53, "protocol": "UDP"}]}]}),
        json!({
            "podSelector": {}, "policyTypes": ["Ingress"],
            "ingress": [{"ports": [{"port": 80, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}]}],
        }),
    );
    check(
        json!({"podSelector": {}, "egress": [{"ports": [{}]}]}),
        json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"], "egress": [{"ports": [{"protocol": "TCP"}]}]}),
    );
    check(
        json!({"podSelector": {}, "egress": [{}], "policyTypes": ["Egress"]}),
        json!({"podSelector": {}, "egress": [{}], "policyTypes": ["Egress"]}),
    );
}

#[test]
fn ports() {
    let check = |port: Value, expected: &[&str]| {
        let expected: Vec<String> = expected.iter().map(|what| format!("spec.egress[0].ports[0].{what}")).collect();
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        self::check(json!({"egress": [{"ports": [port]}]}), &expected);
    };
    let range = "must be between 1 and 65535, inclusive";
    check(json!({}), &[]);
    check(json!({"port": 80, "endPort": 80, "protocol": "SCTP"}), &[]);
    check(json!({"port": "http"}), &[]);
    let protocol = "protocol: Unsupported value: \"ICMP\": supported values: \"TCP\", \"UDP\", \"SCTP\"";
    check(json!({"protocol": "ICMP"}), &[protocol]);
    check(json!({"port": 0}), &[&format!("port: Invalid value: 0: {range}")]);
    check(
        json!({"port": 65_536, "endPort": 65_537}),
        &[&format!("port: Invalid value: 65536: {range}"), &format!("endPort: Invalid value: 65537: {range}")],
    );
    check(
        json!({"port": 80, "endPort": 0}),
        &[
            "endPort: Invalid value: 0: must be greater than or equal to `port`",
            &format!("endPort: Invalid value: 0: {range}"),
        ],
    );
    check(
        json!({"port": "a--b", "endPort": 80}),
        &[
            "endPort: Invalid value: 80: may not be specified when `port` is non-numeric",
            "port: Invalid value: \"a--b\": must not contain consecutive hyphens",
        ],
    );
    check(json!({"endPort": 80}), &["endPort: Invalid value: 80: may not be specified when `port` is not specified"]);
}

#[test]
fn peers_and_blocks() {
    let both = json!({"podSelector": {}, "namespaceSelector": {}});
    check(
        json!({"ingress": [{"from": [both, {"podSelector": {}}]}], "egress": [{"to": [{"namespaceSelector": {}}]}]}),
        &[],
    );
    let empty = json!({"ingress": [{}, {"from": [{}]}], "egress": [{"to": [{}]}]});
    check(
        empty,
        &[
            "spec.ingress[1].from[0]: Required value: must specify a peer",
            "spec.egress[0].to[0]: Required value: must specify a peer",
        ],
    );
    let mixed = json!({"egress": [{"to": [{"podSelector": {}, "ipBlock": {"cidr": "10.0.0.0/8"}}]}]});
    check(mixed, &["spec.egress[0].to[0]: Forbidden: may not specify both ipBlock and another peer"]);
    let at = |field: &str, value: &str, detail: &str| {
        format!("spec.ingress[0].from[0].ipBlock.{field}: Invalid value: {value:?}: {detail}")
    };
    let strict = "must be a strict subset of `cidr`";
    let malformed = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
    let beyond = "must not have bits set beyond the prefix length";
    check(block("10.0.0.0/8", &["10.1.0.0/16", "10.2.0.0/32"]), &[]);
    check(block("2001:db8::/32", &["2001:db8:1::/48"]), &[]);
    check(block("10.0.0.0", &["x"]), &[&at("cidr", "10.0.0.0", malformed)]);
    check(block("10.0.0.1/8", &[]), &[&at("cidr", "10.0.0.1/8", beyond)]);
    check(block("10.0.0.0/8", &["x"]), &[&at("except[0]", "x", malformed)]);
    check(
        block("10.0.0.0/8", &["10.0.0.0/8", "11.0.0.0/16", "2001:db8::/32", "10.1.1.1/16"]),
        &[
            &at("except[0]", "10.0.0.0/8", strict),
            &at("except[1]", "11.0.0.0/16", strict),
            &at("except[2]", "2001:db8::/32", strict),
            &at("except[3]", "10.1.1.1/16", beyond),
        ],
    );
    let mut unstated = block("", &["x"]);
    unstated["policyTypes"] = json!(["Both"]);
    check(
        unstated,
        &[
            "spec.policyTypes[0]: Unsupported value: \"Both\": supported values: \"Ingress\", \"Egress\"",
            "spec.ingress[0].from[0].ipBlock.cidr: Required value",
        ],
    );
}

#[test]
fn types_and_selectors() {
    check(
        json!({"policyTypes": ["Ingress", "Egress", "Ingress"]}),
        &["spec.policyTypes: Invalid value: [\"Ingress\",\"Egress\",\"Ingress\"]: may not specify more than two \
             policyTypes"],
    );
    let selector = |key: &str| json!({"matchExpressions": [{"key": key, "operator": "In", "values": []}]});
    let detail = "matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'";
    let peer = json!({"podSelector": selector("a"), "namespaceSelector": selector("b")});
    check(
        json!({"podSelector": selector("a"), "ingress": [{"from": [peer]}]}),
        &[
            &format!("spec.podSelector.{detail}"),
            &format!("spec.ingress[0].from[0].podSelector.{detail}"),
            &format!("spec.ingress[0].from[0].namespaceSelector.{detail}"),
        ],
    );
}

#[test]
fn updates_may_keep_what_was_stored() {
    let check = |old: Value, new: Value, expected: &str| {
        assert_eq!(lines(&NetworkPolicies.validate_update(&policy(new), &policy(old))), expected);
    };
    let beyond = "spec.ingress[0].from[0].ipBlock.cidr: Invalid value: \"10.0.0.1/8\": must not have bits set beyond the prefix \
                  length";
    check(block("10.0.0.0/8", &[]), block("10.0.0.1/8", &[]), beyond);
    check(block("10.0.0.1/8", &[]), block("10.0.0.1/8", &["10.1.0.0/16"]), "");
    let moved = json!({"egress": [{"to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.1/8"]}}]}]});
    check(moved, block("10.0.0.1/8", &[]), "");
    let selects =
        |value: &str| json!({"podSelector": {"matchExpressions": [{"key": "a", "operator": "In", "values": [value]}]}});
    let errors = NetworkPolicies.validate_update(&policy(selects("a b")), &policy(selects("a")));
    assert_eq!(errors.len(), 1, "{errors}");
    check(selects("a b"), selects("c d"), "");
}

#[test]
fn odd_blocks_are_warned_of() {
    let check = |spec: Value, expected: &[&str]| {
        assert_eq!(NetworkPolicies.warnings(&policy(spec), None), expected);
    };
    check(block("10.0.0.0/8", &["10.1.0.0/16"]), &[]);
    check(
        block("2001:DB8::/32", &["2001:db8:0:1:0::/64"]),
        &[
            "spec.ingress[0].from[0].ipBlock.cidr: IPv6 CIDR value \"2001:DB8::/32\" should be in RFC 5952 canonical format \
             (\"2001:db8::/32\")",
            "spec.ingress[0].from[0].ipBlock.except[0]: IPv6 CIDR value \"2001:db8:0:1:0::/64\" should be in RFC 5952 \
             canonical format (\"2001:db8:0:1::/64\")",
        ],
    );
}

#[test]
fn rows_and_generations() {
    let now = Timestamp::new(3 * 86_400, 0).unwrap();
    let check = |selector: Value, expected: &str| {
        let mut policy = policy(json!({"podSelector": selector}));
        policy.metadata.creation_timestamp = serde_json::from_value(json!("1970-01-01T00:00:00Z")).unwrap();
        assert_eq!(NetworkPolicies.row(&policy, now), ["p", expected, "3d"].map(Value::from));
    };
    check(json!({}), "<none>");
    check(json!({"matchLabels": {"b": "2", "a": "1"}}), "a=1,b=2");
    check(json!({"matchExpressions": [{"key": "a", "operator": "Maybe"}]}), "<error>");
    let names = NetworkPolicies.columns().iter().map(|column| column.name).collect::<Vec<_>>();
    assert_eq!(names, ["Name", "Pod-Selector", "Age"]);

    let grows = NetworkPolicies.generation().unwrap();
    let old = policy(json!({"policyTypes": ["Ingress"]}));
    assert!(!grows(&policy(json!({})), &old));
    assert!(grows(&policy(json!({"ingress": [{}]})), &old));
}
