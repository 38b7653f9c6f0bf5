//! What is refused, and in which words.

use super::*;

/// A change of a valid Service, and what is wrong with the result.
const INVALID: &[(&str, &str)] = &[
    ("{}", ""),
    (r#"{"spec": {"ports": []}}"#, "spec.ports: Required value"),
    (
        r#"{"spec": {"type": "Other"}}"#,
        "spec.type: Unsupported value: \"Other\": supported values: \"ClusterIP\", \"ExternalName\", \"LoadBalancer\", \
         \"NodePort\"",
    ),
    (
        r#"{"spec": {"ports": [{"port": 0, "protocol": "ICMP", "name": "A"}]}}"#,
        "spec.ports[0].name: Invalid value: \"A\": a lowercase RFC 1123 label must consist of lower case alphanumeric \
         characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used \
         for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')\n\
         spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive\n\
         spec.ports[0].protocol: Unsupported value: \"ICMP\": supported values: \"SCTP\", \"TCP\", \"UDP\"\n\
         spec.ports[0].targetPort: Invalid value: 0: must be between 1 and 65535, inclusive",
    ),
    (
        r#"{"spec": {"ports": [{"port": 80}, {"port": 80, "name": "b"}, {"port": 81, "name": "b"}]}}"#,
        "spec.ports[0].name: Required value\nspec.ports[2].name: Duplicate value: \"b\"\n\
         spec.ports[1]: Duplicate value: {\"Name\":\"\",\"Protocol\":\"TCP\",\"AppProtocol\":null,\"Port\":80,\
         \"TargetPort\":0,\"NodePort\":0}",
    ),
    (
        r#"{"spec": {"ports": [{"port": 80, "targetPort": "Web", "appProtocol": "a b"}]}}"#,
        "spec.ports[0].targetPort: Invalid value: \"Web\": must contain only alpha-numeric characters (a-z, 0-9), and \
         hyphens (-)\n\
         spec.ports[0].appProtocol: Invalid value: \"a b\": name part must consist of alphanumeric characters, '-', '_' or \
         '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used \
         for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
    ),
    (
        r#"{"spec": {"ports": [{"port": 80, "nodePort": 30080}]}}"#,
        "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'",
    ),
    (
        r#"{"spec": {"type": "NodePort", "ports": [{"name": "a", "port": 1, "nodePort": 30080},
            {"name": "b", "port": 2, "nodePort": 30080}, {"name": "c", "protocol": "UDP", "port": 2, "nodePort": 30080}]}}"#,
        "spec.ports[1].nodePort: Duplicate value: 30080",
    ),
    (
        r#"{"spec": {"sessionAffinity": "Cookie"}}"#,
        "spec.sessionAffinity: Unsupported value: \"Cookie\": supported values: \"ClientIP\", \"None\"",
    ),
    (
        r#"{"spec": {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 86401}}}}"#,
        "spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 86401: must be greater than 0 and less than 86400",
    ),
    (
        r#"{"spec": {"externalIPs": ["1.2.3.4", "127.0.0.1", "010.0.0.1", "x"]}}"#,
        "spec.externalIPs[1]: Invalid value: \"127.0.0.1\": may not be in the loopback range (127.0.0.0/8, ::1/128)\n\
         spec.externalIPs[2]: Invalid value: \"010.0.0.1\": must not have leading 0s\n\
         spec.externalIPs[3]: Invalid value: \"x\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
    ),
    (
        r#"{"spec": {"type": "ExternalName", "internalTrafficPolicy": null, "externalName": "a_b."}}"#,
        "spec.clusterIPs: Forbidden: may not be set for ExternalName services\n\
         spec.ipFamilies: Forbidden: may not be set for ExternalName services\n\
         spec.ipFamilyPolicy: Forbidden: may not be set for ExternalName services\n\
         spec.externalName: Invalid value: \"a_b\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric \
         characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for \
         validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
    ),
    (
        r#"{"spec": {"type": "ExternalName", "clusterIP": null, "clusterIPs": null, "ipFamilies": null,
            "ipFamilyPolicy": null}}"#,
        "spec.externalName: Required value",
    ),
    (
        r#"{"metadata": {"annotations": {"service.kubernetes.io/topology-mode": "Auto",
            "service.kubernetes.io/topology-aware-hints": "Disabled"}}}"#,
        "metadata.annotations[service.kubernetes.io/topology-mode]: Invalid value: \"Auto\": must match \
         annotations[service.kubernetes.io/topology-aware-hints] when both are specified",
    ),
    (
        r#"{"spec": {"selector": {"a b": "c"}}}"#,
        "spec.selector: Invalid value: \"a b\": name part must consist of alphanumeric characters, '-', '_' or '.', and must \
         start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for \
         validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
    ),
];

/// The same, of addresses and exposure.
const INVALID_EXPOSURE: &[(&str, &str)] = &[
    (
        r#"{"spec": {"type": "LoadBalancer", "clusterIP": "None", "clusterIPs": ["None"], "ports": [{"port": 10250}]}}"#,
        "spec.ports[0]: Invalid value: 10250: may not expose port 10250 externally since it is used by kubelet\n\
         spec.clusterIPs[0]: Invalid value: \"None\": may not be set to 'None' for LoadBalancer services",
    ),
    (
        r#"{"spec": {"type": "NodePort", "clusterIP": "None", "clusterIPs": ["None"]}}"#,
        "spec.clusterIPs[0]: Invalid value: \"None\": may not be set to 'None' for NodePort services",
    ),
    (r#"{"spec": {"clusterIP": "None", "clusterIPs": ["None"], "ports": []}}"#, ""),
    (
        r#"{"spec": {"clusterIP": "10.96.0.11"}}"#,
        "spec.clusterIPs: Invalid value: [\"10.96.0.10\"]: first value must match `clusterIP`",
    ),
    (
        r#"{"spec": {"clusterIP": null}}"#,
        "spec.clusterIPs: Invalid value: [\"10.96.0.10\"]: must be empty when `clusterIP` is not specified",
    ),
    (r#"{"spec": {"clusterIPs": null}}"#, "spec.clusterIPs: Required value"),
    (
        r#"{"spec": {"clusterIP": "None", "clusterIPs": ["None", "10.96.0.10"]}}"#,
        "spec.clusterIPs: Invalid value: [\"None\",\"10.96.0.10\"]: 'None' must be the first and only value",
    ),
    (
        r#"{"spec": {"clusterIPs": ["10.96.0.10", "10.96.0.11", "fd00::1"]}}"#,
        "spec.clusterIPs: Invalid value: [\"10.96.0.10\",\"10.96.0.11\",\"fd00::1\"]: may only hold up to 2 values\n\
         spec.clusterIPs: Invalid value: [\"10.96.0.10\",\"10.96.0.11\",\"fd00::1\"]: may specify no more than one IP for \
         each IP family",
    ),
    (
        r#"{"spec": {"ipFamilies": ["IPv6", "IPv6", "IPv5"], "ipFamilyPolicy": "Both"}}"#,
        "spec.ipFamilies[1]: Duplicate value: \"IPv6\"\n\
         spec.ipFamilies[2]: Unsupported value: \"IPv5\": supported values: \"IPv4\", \"IPv6\"\n\
         spec.ipFamilyPolicy: Unsupported value: \"Both\": supported values: \"PreferDualStack\", \"RequireDualStack\", \
         \"SingleStack\"\n\
         spec.clusterIPs[0]: Invalid value: \"10.96.0.10\": expected an IPv6 value as indicated by `ipFamilies[0]`",
    ),
    (
        r#"{"spec": {"loadBalancerSourceRanges": [" 10.0.0.0/8 ", "10.0.0.1/8"]}}"#,
        "spec.LoadBalancerSourceRanges: Forbidden: may only be used when `type` is 'LoadBalancer'\n\
         spec.LoadBalancerSourceRanges[1]: Invalid value: \"10.0.0.1/8\": must not have bits set beyond the prefix length",
    ),
    (
        r#"{"metadata": {"annotations": {"service.beta.kubernetes.io/load-balancer-source-ranges": "10.0.0.0/8, x"}}}"#,
        "metadata.annotations[service.beta.kubernetes.io/load-balancer-source-ranges]: Forbidden: may only be used when \
         `type` is 'LoadBalancer'\n\
         metadata.annotations[service.beta.kubernetes.io/load-balancer-source-ranges]: Invalid value: \"x\": must be a valid \
         CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)",
    ),
    (
        r#"{"spec": {"allocateLoadBalancerNodePorts": true, "loadBalancerClass": "x", "externalTrafficPolicy": "Local",
            "healthCheckNodePort": 30000}}"#,
        "spec.allocateLoadBalancerNodePorts: Forbidden: may only be used when `type` is 'LoadBalancer'\n\
         spec.loadBalancerClass: Forbidden: may only be used when `type` is 'LoadBalancer'\n\
         spec.externalTrafficPolicy: Invalid value: \"Local\": may only be set for externally-accessible services\n\
         spec.healthCheckNodePort: Invalid value: 30000: may only be set when `type` is 'LoadBalancer' and \
         `externalTrafficPolicy` is 'Local'",
    ),
    (
        r#"{"spec": {"type": "LoadBalancer", "externalTrafficPolicy": "Local"}}"#,
        "spec.healthCheckNodePort: Required value",
    ),
    (
        r#"{"spec": {"type": "NodePort", "externalTrafficPolicy": "Near", "internalTrafficPolicy": "Far",
            "trafficDistribution": "Anywhere"}}"#,
        "spec.externalTrafficPolicy: Unsupported value: \"Near\": supported values: \"Cluster\", \"Local\"\n\
         spec.internalTrafficPolicy: Unsupported value: \"Far\": supported values: \"Cluster\", \"Local\"\n\
         spec.trafficDistribution: Unsupported value: \"Anywhere\": supported values: \"PreferClose\", \"PreferSameZone\", \
         \"PreferSameNode\"",
    ),
];

/// Two changes of a valid Service, the first stored, and what is wrong with going from it to the second.
const INVALID_UPDATES: &[(&str, &str, &str)] = &[
    ("{}", r#"{"spec": {"sessionAffinity": "ClientIP"}}"#, ""),
    (
        "{}",
        r#"{"spec": {"clusterIP": "10.96.0.11", "clusterIPs": ["10.96.0.11"]}}"#,
        "spec.clusterIPs[0]: Invalid value: [\"10.96.0.11\"]: may not change once set",
    ),
    (
        "{}",
        r#"{"spec": {"clusterIP": null, "clusterIPs": null}}"#,
        "spec.clusterIPs[0]: Invalid value: null: primary clusterIP can not be unset",
    ),
    (
        "{}",
        r#"{"spec": {"ipFamilies": ["IPv6"], "clusterIP": "fd00::1", "clusterIPs": ["fd00::1"]}}"#,
        "spec.clusterIPs[0]: Invalid value: [\"fd00::1\"]: may not change once set\n\
         spec.ipFamilies[0]: Invalid value: [\"IPv6\"]: may not change once set",
    ),
    (
        r#"{"spec": {"clusterIPs": ["10.96.0.10", "fd00::1"], "ipFamilies": ["IPv4", "IPv6"],
            "ipFamilyPolicy": "RequireDualStack"}}"#,
        r#"{"spec": {"ipFamilyPolicy": "RequireDualStack"}}"#,
        "spec.ipFamilyPolicy: Invalid value: \"RequireDualStack\": must be set to 'SingleStack' when releasing the \
         secondary clusterIP\n\
         spec.ipFamilyPolicy: Invalid value: \"RequireDualStack\": must be set to 'SingleStack' when releasing the \
         secondary ipFamily",
    ),
    (
        r#"{"spec": {"type": "LoadBalancer", "loadBalancerClass": "a.io/b"}}"#,
        r#"{"spec": {"type": "LoadBalancer"}}"#,
        "spec.loadBalancerClass: Invalid value: null: may not change once set",
    ),
    (
        r#"{"spec": {"type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": 30001}}"#,
        r#"{"spec": {"type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": 30002}}"#,
        "spec.healthCheckNodePort: Forbidden: field is immutable",
    ),
    (
        r#"{"spec": {"externalIPs": ["010.0.0.1"]}}"#,
        r#"{"spec": {"externalIPs": ["010.0.0.1", "010.0.0.2"]}}"#,
        "spec.externalIPs[1]: Invalid value: \"010.0.0.2\": must not have leading 0s",
    ),
];

/// The `status` of a load balancer, and what is wrong with it.
const INVALID_STATUS: &[(&str, &str)] = &[
    (r#"[{"ip": "1.2.3.4"}, {"hostname": "lb.example.com"}]"#, ""),
    (
        r#"[{"ip": "x"}, {"ipMode": "VIP"}, {"ip": "1.2.3.4", "ipMode": "NAT"}, {"hostname": "1.2.3.4"}]"#,
        "status.loadBalancer.ingress[0].ip: Invalid value: \"x\": must be a valid IP address, (e.g. 10.9.8.7 or \
         2001:db8::ffff)\n\
         status.loadBalancer.ingress[1].ipMode: Forbidden: may not be specified when `ip` is not set\n\
         status.loadBalancer.ingress[2].ipMode: Unsupported value: \"NAT\": supported values: \"Proxy\", \"VIP\"\n\
         status.loadBalancer.ingress[3].hostname: Invalid value: \"1.2.3.4\": must be a DNS name, not an IP address",
    ),
];

#[test]
fn invalid_services_are_refused() {
    for (patch, expected) in INVALID.iter().chain(INVALID_EXPOSURE) {
        assert_eq!(lines(&validation::service(&stored(patch), None)), *expected, "{patch}");
    }
}

#[test]
fn invalid_updates_are_refused() {
    for (old, new, expected) in INVALID_UPDATES {
        assert_eq!(lines(&validation::update(&stored(new), &stored(old))), *expected, "{old} -> {new}");
    }
}

#[test]
fn invalid_statuses_are_refused() {
    let old = stored(r#"{"spec": {"type": "LoadBalancer"}}"#);
    for (ingress, expected) in INVALID_STATUS {
        let patch = |kind| {
            format!(r#"{{"spec": {{"type": "{kind}"}}, "status": {{"loadBalancer": {{"ingress": {ingress}}}}}}}"#)
        };
        assert_eq!(lines(&validation::status(&stored(&patch("LoadBalancer")), &old)), *expected, "{ingress}");
        let refused = "status.loadBalancer.ingress: Forbidden: may only be used when `spec.type` is 'LoadBalancer'";
        assert_eq!(lines(&validation::status(&stored(&patch("NodePort")), &old)), refused);
    }
}

#[test]
fn names_are_dns_labels() {
    let services = Services::new(Config::default(), 0);
    for (name, is_valid) in [("web", true), ("1web", true), ("web.a", false), ("Web", false)] {
        assert_eq!(services.validate_name(name, false).is_empty(), is_valid, "{name}");
    }
}

/// A change of a valid Service, and what is warned of.
const WARNED: &[(&str, &[&str])] = &[
    ("{}", &[]),
    (
        r#"{"metadata": {"annotations": {"service.kubernetes.io/topology-aware-hints": "Auto"}}}"#,
        &["annotation service.kubernetes.io/topology-aware-hints is deprecated, please use \
           service.kubernetes.io/topology-mode instead"],
    ),
    (
        r#"{"spec": {"clusterIP": "None", "clusterIPs": ["None"], "externalIPs": ["1.2.3.4"], "loadBalancerIP": "1.2.3.4",
            "sessionAffinity": "ClientIP"}}"#,
        &[
            "spec.loadBalancerIP is ignored for headless services",
            "spec.externalIPs is ignored for headless services",
            "spec.SessionAffinity is ignored for headless services",
            "spec.externalIPs is deprecated",
        ],
    ),
    (
        r#"{"spec": {"externalName": "a.b", "trafficDistribution": "PreferClose",
            "loadBalancerSourceRanges": ["10.0.0.1/8"]}}"#,
        &[
            "spec.loadBalancerSourceRanges[0]: CIDR value \"10.0.0.1/8\" is ambiguous in this context (should be \
             \"10.0.0.0/8\" or \"10.0.0.1/32\"?)",
            "spec.externalName is ignored when spec.type is not \"ExternalName\"",
            "spec.trafficDistribution: \"PreferClose\" is deprecated; use \"PreferSameZone\"",
        ],
    ),
];

#[test]
fn doubtful_services_are_warned_of() {
    for (patch, expected) in WARNED {
        assert_eq!(warnings::of(&stored(patch)), *expected, "{patch}");
    }
}
