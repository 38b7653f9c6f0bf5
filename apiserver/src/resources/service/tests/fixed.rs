//! Defaults, what updates carry over, and tables.

use super::*;

/// The spec of a manifest, and what defaults make of it.
const DEFAULTS: &[(&str, &str)] = &[
    (
        r#"{"ports": [{"port": 80}]}"#,
        r#"{"internalTrafficPolicy": "Cluster", "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}],
            "sessionAffinity": "None", "type": "ClusterIP"}"#,
    ),
    (
        r#"{"type": "LoadBalancer", "sessionAffinity": "ClientIP",
            "ports": [{"port": 53, "protocol": "UDP", "targetPort": "dns"}, {"port": 1, "targetPort": 0}]}"#,
        r#"{"allocateLoadBalancerNodePorts": true, "externalTrafficPolicy": "Cluster", "internalTrafficPolicy": "Cluster",
            "ports": [{"port": 53, "protocol": "UDP", "targetPort": "dns"}, {"port": 1, "protocol": "TCP", "targetPort": 1}],
            "sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 10800}},
            "type": "LoadBalancer"}"#,
    ),
    (
        r#"{"externalIPs": ["1.2.3.4"], "sessionAffinity": "ClientIP",
            "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 5}}}"#,
        r#"{"externalIPs": ["1.2.3.4"], "externalTrafficPolicy": "Cluster", "internalTrafficPolicy": "Cluster",
            "sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 5}},
            "type": "ClusterIP"}"#,
    ),
    (
        r#"{"type": "ExternalName", "externalName": "a.b", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 5}}}"#,
        r#"{"externalName": "a.b", "sessionAffinity": "None", "type": "ExternalName"}"#,
    ),
];

#[test]
fn defaults_fill_what_is_left_out() {
    for (manifest, expected) in DEFAULTS {
        let spec: Value = serde_json::from_str(manifest).unwrap();
        let mut service = service(json!({"metadata": {}, "spec": spec}));
        let expected: Value = serde_json::from_str(expected).unwrap();
        assert_eq!(serde_json::to_value(&service).unwrap()["spec"], expected);
        defaults::set(&mut service);
        assert_eq!(serde_json::to_value(&service).unwrap()["spec"], expected, "applied twice");
    }
    let balanced = stored(
        r#"{"spec": {"type": "LoadBalancer"}, "status": {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}, {"hostname": "a"}]}}}"#,
    );
    let ingress = json!([{"ip": "1.2.3.4", "ipMode": "VIP"}, {"hostname": "a"}]);
    assert_eq!(serde_json::to_value(balanced).unwrap()["status"]["loadBalancer"]["ingress"], ingress);
}

fn context() -> Context<'static> {
    Context { now: Timestamp::UNIX_EPOCH, namespace: "default", identity: None }
}

/// What is stored, what is put, and a part of what becomes of it. `null` says that a field is not there.
const CARRIED_OVER: &[(&str, &str, &str)] = &[
    // The same manifest again.
    (
        r#"{"spec": {"type": "NodePort", "ports": [{"port": 80, "nodePort": 30080}]}}"#,
        r#"{"spec": {"type": "NodePort", "clusterIP": null, "clusterIPs": null}}"#,
        r#"{"clusterIP": "10.96.0.10", "clusterIPs": ["10.96.0.10"]}"#,
    ),
    // Node ports stay with the ports' names, unless they have been taken for another port.
    (
        r#"{"spec": {"type": "NodePort", "ports": [{"name": "a", "port": 80, "nodePort": 30080},
            {"name": "b", "port": 81, "nodePort": 30081}]}}"#,
        r#"{"spec": {"type": "LoadBalancer", "ports": [{"name": "a", "port": 180}, {"name": "c", "port": 81, "nodePort": 30081},
            {"name": "b", "port": 82}]}}"#,
        r#"{"ports": [{"name": "a", "nodePort": 30080, "port": 180, "protocol": "TCP", "targetPort": 180},
            {"name": "c", "nodePort": 30081, "port": 81, "protocol": "TCP", "targetPort": 81},
            {"name": "b", "port": 82, "protocol": "TCP", "targetPort": 82}]}"#,
    ),
    (
        r#"{"spec": {"type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": 30001}}"#,
        r#"{"spec": {"type": "LoadBalancer", "externalTrafficPolicy": "Local"}}"#,
        r#"{"healthCheckNodePort": 30001}"#,
    ),
    // A client that knows only the singular.
    (
        r#"{"spec": {"type": "ExternalName", "clusterIP": null, "clusterIPs": null, "ipFamilies": null}}"#,
        r#"{"spec": {"clusterIP": "10.96.0.12", "clusterIPs": null}}"#,
        r#"{"clusterIP": "10.96.0.12", "clusterIPs": ["10.96.0.12"]}"#,
    ),
    // Types without addresses and ports.
    (
        "{}",
        r#"{"spec": {"type": "ExternalName", "externalName": "a.b", "clusterIPs": null}}"#,
        r#"{"clusterIP": null, "clusterIPs": null, "ipFamilies": null, "ipFamilyPolicy": null}"#,
    ),
    (
        r#"{"spec": {"type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": 30001,
            "loadBalancerClass": "a.io/b", "ports": [{"port": 80, "nodePort": 30080}]}}"#,
        r#"{"spec": {"type": "ClusterIP", "externalTrafficPolicy": "Local", "healthCheckNodePort": 30001,
            "allocateLoadBalancerNodePorts": true, "loadBalancerClass": "a.io/b", "ports": [{"port": 80, "nodePort": 30080}]}}"#,
        r#"{"externalTrafficPolicy": null, "healthCheckNodePort": null, "allocateLoadBalancerNodePorts": null,
            "loadBalancerClass": null, "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}]}"#,
    ),
    // What was changed along with the type is left to validation.
    (
        r#"{"spec": {"type": "NodePort", "ports": [{"port": 80, "nodePort": 30080}]}}"#,
        r#"{"spec": {"type": "ClusterIP", "ports": [{"port": 80, "nodePort": 30081}]}}"#,
        r#"{"ports": [{"nodePort": 30081, "port": 80, "protocol": "TCP", "targetPort": 80}]}"#,
    ),
];

#[test]
fn updates_carry_over_what_was_allocated() {
    let services = Services::new(Config::default(), 0);
    for (old, new, expected) in CARRIED_OVER {
        let (mut prepared, old) = (stored(new), stored(old));
        services.prepare_update(&mut prepared, &old, context());
        let spec = serde_json::to_value(&prepared.spec).unwrap();
        let expected: Value = serde_json::from_str(expected).unwrap();
        for (field, value) in expected.as_object().unwrap() {
            assert_eq!(spec.get(field).unwrap_or(&Value::Null), value, "{field} of {new}");
        }
    }
}

#[test]
fn spec_and_status_are_written_apart() {
    let services = Services::new(Config::default(), 0);
    let status = r#"{"loadBalancer": {"ingress": [{"ip": "1.2.3.4", "ipMode": "VIP"}]}}"#;
    let balanced = |name: &str, status: &str| {
        stored(&format!(
            r#"{{"spec": {{"type": "LoadBalancer", "selector": {{"app": "{name}"}}}}, "status": {status}}}"#
        ))
    };
    let (old, new) = (balanced("old", status), balanced("new", "{}"));

    let mut created = old.clone();
    services.prepare_create(&mut created, context());
    assert_eq!(serde_json::to_value(&created.status).unwrap(), json!({"loadBalancer": {}}));

    let mut updated = new.clone();
    services.prepare_update(&mut updated, &old, context());
    assert_eq!((&updated.status, &updated.spec), (&old.status, &new.spec));

    let mut unbalanced = stored("{}");
    services.prepare_update(&mut unbalanced, &old, context());
    assert_eq!(serde_json::to_value(&unbalanced.status).unwrap(), json!({"loadBalancer": {}}));

    let mut with_status = new.clone();
    (services.updates()[0].prepare)(&mut with_status, &old, context());
    assert_eq!((&with_status.status, &with_status.spec), (&new.status, &old.spec));
}

/// A change of a valid Service, and its cells without name and age.
const ROWS: &[(&str, [&str; 5])] = &[
    ("{}", ["ClusterIP", "10.96.0.10", "<none>", "80/TCP", "app=web"]),
    (
        r#"{"spec": {"clusterIP": "None", "clusterIPs": ["None"], "ports": [], "selector": null}}"#,
        ["ClusterIP", "None", "<none>", "<none>", "<none>"],
    ),
    (
        r#"{"spec": {"type": "NodePort", "externalIPs": ["1.2.3.4", "1.2.3.5"], "selector": {"b": "2", "a": "1"},
            "ports": [{"port": 80, "nodePort": 30080}, {"port": 53, "protocol": "UDP"}]}}"#,
        ["NodePort", "10.96.0.10", "1.2.3.4,1.2.3.5", "80:30080/TCP,53/UDP", "a=1,app=web,b=2"],
    ),
    (r#"{"spec": {"type": "LoadBalancer"}}"#, ["LoadBalancer", "10.96.0.10", "<pending>", "80/TCP", "app=web"]),
    (
        r#"{"spec": {"type": "LoadBalancer", "externalIPs": ["9.9.9.9"]}, "status": {"loadBalancer": {"ingress": [
            {"ip": "2.2.2.2"}, {"hostname": "a.example.com"}, {"ip": "1.1.1.1", "hostname": "b"}, {"ip": "2.2.2.2"}]}}}"#,
        ["LoadBalancer", "10.96.0.10", "1.1.1.1,2.2.2.2,a.example.com,9.9.9.9", "80/TCP", "app=web"],
    ),
    (
        r#"{"spec": {"type": "ExternalName", "externalName": "a.b", "clusterIPs": null, "ports": []}}"#,
        ["ExternalName", "<none>", "a.b", "<none>", "app=web"],
    ),
];

#[test]
fn rows_show_addresses_and_ports() {
    let headings: Vec<&str> = table::COLUMNS.iter().map(|column| column.name).collect();
    assert_eq!(headings, ["Name", "Type", "Cluster-IP", "External-IP", "Port(s)", "Age", "Selector"]);
    for (patch, [kind, ip, external_ip, ports, selector]) in ROWS {
        let mut service = stored(patch);
        merge_created(&mut service);
        let row = table::row(&service, "2026-01-01T00:05:00Z".parse().unwrap());
        assert_eq!(json!(row), json!(["web", kind, ip, external_ip, ports, "5m", selector]), "{patch}");
    }
}

fn merge_created(service: &mut Service) {
    service.metadata.creation_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
}
