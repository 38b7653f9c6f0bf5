//! Nodes as kubelets and administrators write them.

use serde_json::json;

use super::*;

fn node(value: Value) -> Node {
    serde_json::from_value(value).unwrap()
}

fn shown(errors: &ErrorList) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

fn context() -> Context<'static> {
    Context { now: Timestamp::UNIX_EPOCH, namespace: "", identity: None }
}

#[test]
fn defaults() {
    let check = |written: Value, expected: Value| {
        let mut object = node(written);
        Nodes.default(&mut object);
        let got = serde_json::to_value(&object).unwrap();
        assert_eq!((&got["spec"], &got["status"]), (&expected["spec"], &expected["status"]));
        Nodes.default(&mut object);
        assert_eq!(serde_json::to_value(&object).unwrap(), got);
    };
    check(json!({}), json!({}));
    check(
        json!({"status": {"capacity": {"cpu": "4000m", "memory": "1024Ki", "x": "0.0001"}}}),
        json!({"status": {"capacity": {"cpu": "4", "memory": "1Mi", "x": "1m"},
            "allocatable": {"cpu": "4", "memory": "1Mi", "x": "1m"}}}),
    );
    check(
        json!({"status": {"capacity": {"cpu": "4"}, "allocatable": {"cpu": "nonsense"}}}),
        json!({"status": {"capacity": {"cpu": "4"}, "allocatable": {"cpu": "nonsense"}}}),
    );
    let both = json!({"spec": {"podCIDR": "10.0.0.0/24", "podCIDRs": ["10.0.0.0/24"]}});
    check(json!({"spec": {"podCIDR": "10.0.0.0/24"}}), both.clone());
    check(json!({"spec": {"podCIDRs": ["10.0.0.0/24"]}}), both.clone());
    check(json!({"spec": {"podCIDR": "10.0.0.0/24", "podCIDRs": ["10.9.0.0/24", "fd00::/64"]}}), both);
    let dual = json!({"spec": {"podCIDR": "10.0.0.0/24", "podCIDRs": ["10.0.0.0/24", "fd00::/64"]}});
    check(dual.clone(), dual);
}

/// Checks what is wrong with new nodes.
fn check_all(cases: impl IntoIterator<Item = (Value, Vec<String>)>) {
    for (value, expected) in cases {
        assert_eq!(shown(&Nodes.validate(&node(value))), expected);
    }
}

const EFFECTS: &str = "supported values: \"NoSchedule\", \"PreferNoSchedule\", \"NoExecute\"";

#[test]
fn taints() {
    let pattern = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
                   alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
                   '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
    let value = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must \
                 start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used \
                 for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
    let taint = json!({"key": "a", "value": "b", "effect": "NoSchedule"});
    check_all([
        (json!({}), vec![]),
        (json!({"spec": {"taints": [taint, {"key": "a", "effect": "NoExecute"}]}}), vec![]),
        (
            json!({"spec": {"taints": [{"key": "", "effect": ""}]}}),
            vec![
                "metadata.taints[0].key: Invalid value: \"\": name part must be non-empty".to_owned(),
                format!("metadata.taints[0].key: Invalid value: \"\": {pattern}"),
                "metadata.taints[0].effect: Required value".to_owned(),
            ],
        ),
        (
            json!({"spec": {"taints": [{"key": "a", "value": "b c", "effect": "Never"}]}}),
            vec![
                format!("metadata.taints[0].value: Invalid value: \"b c\": {value}"),
                format!("metadata.taints[0].effect: Unsupported value: \"Never\": {EFFECTS}"),
            ],
        ),
        (
            json!({"spec": {"taints": [taint, {"key": "a", "effect": "NoSchedule"}]}}),
            vec![
                "metadata.taints[1]: Duplicate value: {\"Key\":\"a\",\"Value\":\"\",\"Effect\":\"NoSchedule\",\
                 \"TimeAdded\":null}: taints must be unique by key and effect pair"
                    .to_owned(),
            ],
        ),
    ]);
}

#[test]
fn annotations_that_hold_json() {
    let annotated = |name: &str, text: &str| json!({"metadata": {"annotations": {name: text}}});
    let (taints, avoid) = ("scheduler.alpha.kubernetes.io/taints", "scheduler.alpha.kubernetes.io/preferAvoidPods");
    let unreadable = |message: &str| vec![format!("metadata.annotations: Invalid value: \"{taints}\": {message}")];
    let signature = |controller: Value| json!({"podSignature": {"podController": controller}});
    let avoided = |entries: Value| annotated(avoid, &json!({"preferAvoidPods": entries}).to_string());
    let at = format!("metadata.annotations.{avoid}");
    check_all([
        (
            annotated(taints, "[{\"key\": \"a\", \"effect\": \"Never\"}]"),
            vec![format!("metadata.annotations.{taints}[0].effect: Unsupported value: \"Never\": {EFFECTS}")],
        ),
        (annotated(taints, "[{\"KEY\": \"a\", \"effect\": \"NoSchedule\"}]"), vec![]),
        (annotated(taints, ""), vec![]),
        (annotated(taints, "nope"), unreadable("invalid character 'o' in literal null (expecting 'u')")),
        (
            annotated(taints, "[{\"key\": 1}]"),
            unreadable("json: cannot unmarshal number into Go struct field Taint.Key of type string"),
        ),
        (annotated(taints, "[7]"), unreadable("json: cannot unmarshal number into Go value of type core.Taint")),
        (
            avoided(json!([{}, signature(json!({"kind": "x"}))])),
            vec![
                format!("{at}[0].PodSignature: Required value"),
                format!(
                    "{at}[1].PodSignature.PodController.Controller: Invalid value: false: must point to a controller"
                ),
            ],
        ),
        (avoided(json!([signature(json!({"controller": true}))])), vec![]),
        (
            annotated(avoid, "[]"),
            vec![format!(
                "metadata.annotations.AvoidPods: Invalid value: \"{avoid}\": json: cannot unmarshal array into Go value \
                 of type v1.AvoidPods"
            )],
        ),
    ]);
}

#[test]
fn addresses_for_pods() {
    let cidr = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
    let families = "may specify no more than one CIDR for each IP family";
    let failed = "invalid PodCIDRs. failed to check with dual stack with error";
    let cidrs = |cidrs: &[&str]| json!({"spec": {"podCIDRs": cidrs}});
    check_all([
        (cidrs(&["10.0.0.0/24", "fd00::/64"]), vec![]),
        (cidrs(&["010.0.0.5/24"]), vec![]),
        (cidrs(&["10.0.0.0"]), vec![format!("spec.podCIDRs[0]: Invalid value: \"10.0.0.0\": {cidr}")]),
        (
            cidrs(&["10.0.0.0/24", "10.0.0.0/24"]),
            vec![
                format!("spec.podCIDRs: Invalid value: [\"10.0.0.0/24\",\"10.0.0.0/24\"]: {families}"),
                "spec.podCIDRs[1]: Duplicate value: \"10.0.0.0/24\"".to_owned(),
            ],
        ),
        (
            cidrs(&["10.0.0.0/24", "x"]),
            vec![
                format!("spec.podCIDRs[1]: Invalid value: \"x\": {cidr}"),
                format!("spec.podCIDRs: Internal error: {failed}:invalid CIDR[1]: <nil> (invalid CIDR address: x)"),
                format!("spec.podCIDRs: Invalid value: [\"10.0.0.0/24\",\"x\"]: {families}"),
            ],
        ),
        (
            cidrs(&["10.0.0.0/24", "fd00::/64", "fd01::/64"]),
            vec![format!("spec.podCIDRs: Invalid value: [\"10.0.0.0/24\",\"fd00::/64\",\"fd01::/64\"]: {families}")],
        ),
    ]);
}

#[test]
fn resources_and_features() {
    let rule = "must start with an UpperCamelCase segment, with subsequent segments separated by '/' (e.g., MyFeature or \
                MyFeature/mySubFeature), and contain only alphanumeric characters and slashes";
    let long = format!("A{}", "b".repeat(253));
    let format = "quantities must match the regular expression \
                  '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
    let natural = "must be greater than or equal to 0";
    let cases: Vec<(Value, Vec<String>)> = vec![
        (json!({"capacity": {"cpu": "100m", "pods": "110", "example.com/gpu": "2", "hugepages-2Mi": "0"}}), vec![]),
        (json!({"capacity": {"cpu": "-1"}}), vec![format!("status.capacity.cpu: Invalid value: \"-1\": {natural}")]),
        (
            json!({"allocatable": {"pods": "1500m"}}),
            vec!["status.allocatable.pods: Invalid value: \"1500m\": must be an integer".to_owned()],
        ),
        (
            json!({"capacity": {"example.com/gpu": "-0.5"}}),
            vec![
                format!("status.capacity.example.com/gpu: Invalid value: \"-500m\": {natural}"),
                "status.capacity.example.com/gpu: Invalid value: \"-500m\": must be an integer".to_owned(),
            ],
        ),
        (json!({"capacity": {"x.kubernetes.io/y": "0.5", "requests.example.com/z": "0.5"}}), vec![]),
        (json!({"capacity": {"cpu": "two"}}), vec![format!("status.capacity.cpu: Invalid value: \"two\": {format}")]),
        (json!({"declaredFeatures": ["A/b", "B", "C1/d2/E"]}), vec![]),
        (
            json!({"declaredFeatures": ["B", "A", "A"]}),
            vec![
                "status.declaredFeatures[1]: Invalid value: \"A\": list must be sorted alphabetically".to_owned(),
                "status.declaredFeatures[2]: Duplicate value: \"A\"".to_owned(),
            ],
        ),
        (
            json!({"declaredFeatures": ["A/", "a"]}),
            vec![
                format!("status.declaredFeatures[0]: Invalid value: \"A/\": invalid feature name \"A/\": {rule}"),
                format!("status.declaredFeatures[1]: Invalid value: \"a\": invalid feature name \"a\": {rule}"),
            ],
        ),
        (
            json!({"declaredFeatures": [long]}),
            vec![format!(
                "status.declaredFeatures[0]: Invalid value: \"{long}\": invalid feature name \"{long}\": must be no more \
                 than 253 characters"
            )],
        ),
    ];
    for (status, expected) in cases {
        let object = node(json!({"status": status}));
        assert_eq!(shown(&Nodes.validate(&object)), expected);
        assert_eq!(shown(&validation::validate_change(&object, &Node::default())), expected);
    }
    let mut info = serde_json::to_value(NodeSystemInfo::default()).unwrap();
    info["swap"] = json!({"capacity": 0});
    assert_eq!(
        shown(&Nodes.validate(&node(json!({"status": {"nodeInfo": info}})))),
        ["metadata.nodeSwapStatus.capacity: Invalid value: \"0\": must be greater than zero"]
    );
}

/// Checks what is wrong with changes: old, new, errors.
fn check_changes(cases: impl IntoIterator<Item = (Value, Value, Vec<String>)>) {
    for (old, new, expected) in cases {
        assert_eq!(shown(&validation::validate_change(&node(new), &node(old))), expected);
    }
}

#[test]
fn changes() {
    let cidrs = "spec.podCIDRs: Forbidden: node updates may not change podCIDR except from \"\" to valid";
    let provider = "spec.providerID: Forbidden: node updates may not change providerID except from \"\" to valid";
    let external = "spec.externalID: Forbidden: may not be updated";
    let address = json!({"type": "InternalIP", "address": "10.0.0.1"});
    check_changes([
        (
            json!({}),
            json!({"spec": {"podCIDRs": ["10.0.0.0/24"], "providerID": "a://b", "unschedulable": true}}),
            vec![],
        ),
        (json!({"spec": {"podCIDRs": ["10.0.0.0/24"]}}), json!({}), vec![cidrs.to_owned()]),
        (
            json!({"spec": {"podCIDRs": ["10.0.0.0/24", "fd00::/64"]}}),
            json!({"spec": {"podCIDRs": ["10.0.1.0/24", "fd01::/64"]}}),
            vec![cidrs.to_owned(), cidrs.to_owned()],
        ),
        (json!({"spec": {"providerID": "a"}}), json!({"spec": {"providerID": "b"}}), vec![provider.to_owned()]),
        (json!({"spec": {"providerID": "a"}}), json!({}), vec![provider.to_owned()]),
        (json!({"spec": {"externalID": "a"}}), json!({}), vec![external.to_owned()]),
        (
            json!({}),
            json!({"status": {"addresses": [address, {"type": "Hostname", "address": "10.0.0.1"}, address]}}),
            vec!["status.addresses[2]: Duplicate value: {\"Type\":\"InternalIP\",\"Address\":\"10.0.0.1\"}".to_owned()],
        ),
    ]);
    let tainted = node(json!({"spec": {"taints": [{"key": "a", "effect": ""}]}}));
    let both = shown(&Nodes.validate_update(&tainted, &Node::default()));
    assert_eq!(both, ["metadata.taints[0].effect: Required value"; 2]);
}

#[test]
fn sources_of_configuration() {
    let config_map = |extra: Value| {
        let mut config_map = json!({"namespace": "kube-system", "name": "kubelet", "kubeletConfigKey": "kubelet"});
        config_map.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        json!({"configMap": config_map})
    };
    let spec = |source: Value| json!({"spec": {"configSource": source}});
    let assigned = |extra: Value| json!({"status": {"config": {"assigned": config_map(extra)}}});
    let at = "status.config.assigned.configMap";
    let required = |field: &str| format!("{at}.{field}: Required value: {field} must be set in status");
    let forbidden =
        |field: &str| format!("spec.configSource.configMap.{field}: Forbidden: {field} must not be set in spec");
    let one = "exactly one reference subfield must be non-nil";
    check_changes([
        (json!({}), spec(json!({})), vec![format!("spec.configSource: Invalid value: {{\"ConfigMap\":null}}: {one}")]),
        (json!({}), spec(config_map(json!({}))), vec![]),
        (
            json!({}),
            spec(config_map(json!({"uid": "u", "resourceVersion": "1"}))),
            vec![forbidden("uid"), forbidden("resourceVersion")],
        ),
        (json!({}), assigned(json!({"uid": "u", "resourceVersion": "1"})), vec![]),
        (json!({}), assigned(json!({})), vec![required("uid"), required("resourceVersion")]),
        (
            json!({}),
            assigned(json!({"uid": "u", "resourceVersion": "1", "namespace": "", "name": "", "kubeletConfigKey": ""})),
            vec![
                format!("{at}.namespace: Required value: namespace must be set"),
                format!("{at}.name: Required value: name must be set"),
                format!("{at}.kubeletConfigKey: Required value: kubeletConfigKey must be set"),
            ],
        ),
        (
            json!({}),
            assigned(json!({"uid": "u", "resourceVersion": "1", "namespace": "a.b"})),
            vec![format!("{at}.namespace: Invalid value: \"a.b\": must not contain dots")],
        ),
    ]);
}

#[test]
fn preparation() {
    let gone = json!({"configMap": {"namespace": "a", "name": "b", "kubeletConfigKey": "c"}});
    let policy = json!({});
    let written = json!({"metadata": {}, "spec": {"configSource": gone, "podPreemptionPolicy": policy, "unschedulable": true},
        "status": {"config": {"error": "e"}, "phase": "Running"}});
    let check = |object: &Node, spec: Value, status: Value| {
        let got = serde_json::to_value(object).unwrap();
        assert_eq!((&got["spec"], &got["status"]), (&spec, &status));
    };

    let mut created = node(written.clone());
    Nodes.prepare_create(&mut created, context());
    check(&created, json!({"unschedulable": true}), json!({"phase": "Running"}));

    let mut updated = node(written.clone());
    Nodes.prepare_update(&mut updated, &node(json!({"spec": {}, "status": {"phase": "Pending"}})), context());
    check(&updated, json!({"unschedulable": true}), json!({"phase": "Pending"}));

    let mut updated = node(written.clone());
    Nodes.prepare_update(&mut updated, &node(written.clone()), context());
    check(&updated, written["spec"].clone(), written["status"].clone());

    let status = Nodes.updates().pop().unwrap();
    let mut updated = node(written.clone());
    (status.prepare)(&mut updated, &node(json!({"spec": {"providerID": "p"}})), context());
    check(&updated, json!({"providerID": "p"}), json!({"phase": "Running"}));
    let mut updated = node(written.clone());
    (status.prepare)(&mut updated, &node(json!({"status": {"config": {}}})), context());
    check(&updated, json!(null), written["status"].clone());
}

#[test]
fn warnings_of_fields_without_effect() {
    let object = node(json!({"spec": {"configSource": {}, "externalID": "x", "podCIDRs": ["10.0.0.5/24"]}}));
    assert_eq!(
        Nodes.warnings(&object, None),
        [
            "spec.configSource: the feature is removed",
            "spec.externalID: this field is deprecated, and is unused by Kubernetes",
            "spec.podCIDRs[0]: CIDR value \"10.0.0.5/24\" is ambiguous in this context (should be \"10.0.0.0/24\" or \
             \"10.0.0.5/32\"?)",
        ]
    );
    assert!(Nodes.warnings(&Node::default(), None).is_empty());
}

#[test]
fn rows() {
    let info = json!({"kubeletVersion": "v1.37.0", "osImage": "Debian GNU/Linux 13 (trixie)", "kernelVersion": "6.12",
        "containerRuntimeVersion": "containerd://2.1", "architecture": "amd64", "bootID": "", "kubeProxyVersion": "",
        "machineID": "", "operatingSystem": "linux", "systemUUID": ""});
    let full = json!({
        "metadata": {"name": "n1", "creationTimestamp": "1970-01-01T00:00:00Z", "labels": {
            "node-role.kubernetes.io/worker": "", "node-role.kubernetes.io/control-plane": "", "kubernetes.io/role": "db",
            "node-role.kubernetes.io/": "", "other": "x"}},
        "spec": {"unschedulable": true},
        "status": {"nodeInfo": info, "conditions": [{"type": "DiskPressure", "status": "False"},
                {"type": "Ready", "status": "True"}],
            "addresses": [{"type": "Hostname", "address": "n1"}, {"type": "InternalIP", "address": "10.0.0.1"},
                {"type": "InternalIP", "address": "fd00::1"}, {"type": "ExternalIP", "address": "192.0.2.1"}]}});
    let check = |value: Value, expected: [&str; 10]| {
        let row = Nodes.row(&node(value), Timestamp::new(3600 * 5, 0).unwrap());
        assert_eq!(row, expected.map(Value::from));
    };
    check(
        full,
        [
            "n1",
            "Ready,SchedulingDisabled",
            "control-plane,db,worker",
            "5h",
            "v1.37.0",
            "10.0.0.1",
            "192.0.2.1",
            "Debian GNU/Linux 13 (trixie)",
            "6.12",
            "containerd://2.1",
        ],
    );
    let not_ready = json!({"metadata": {"name": "n"},
        "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Ready", "status": "Unknown"}],
            "nodeInfo": {"kubeletVersion": "v1"}}});
    let unknown = "<unknown>";
    check(not_ready, ["n", "NotReady", "<none>", unknown, "v1", "<none>", "<none>", unknown, unknown, unknown]);
    let row = Nodes.row(&Node::default(), Timestamp::UNIX_EPOCH);
    let nothing = ["Unknown", "<none>", unknown, "", "<none>", "<none>", unknown, unknown, unknown].map(Value::from);
    assert_eq!((row.first(), &row[1..]), (Some(&json!(null)), &nothing[..]));
    let wide = |wide: bool| {
        let columns = Nodes.columns().iter().filter(|column| (column.priority == 1) == wide);
        columns.map(|column| column.name).collect::<Vec<_>>()
    };
    assert_eq!(wide(false), ["Name", "Status", "Roles", "Age", "Version"]);
    assert_eq!(wide(true), ["Internal-IP", "External-IP", "OS-Image", "Kernel-Version", "Container-Runtime"]);
}
