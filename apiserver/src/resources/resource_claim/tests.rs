//! Claims, what they are given, and who uses it.

use k8s_openapi::jiff::Timestamp;
use serde_json::json;

use super::*;

const SHARE: &str = "0d5a1f0e-6a3f-4c8e-9d55-8f5f0c1f6a01";

fn claim(devices: Value, status: Value) -> ResourceClaim {
    let metadata = json!({"name": "gpus", "namespace": "default"});
    let mut claim =
        serde_json::from_value(json!({"metadata": metadata, "spec": {"devices": devices}, "status": status}));
    let claim: &mut ResourceClaim = claim.as_mut().unwrap();
    ResourceClaims.default(claim);
    claim.clone()
}

/// A request for exactly this, or for the first of these if it is a list.
fn request(name: &str, wish: Value) -> Value {
    let field = if wish.is_array() { "firstAvailable" } else { "exactly" };
    json!({"name": name, field: wish})
}

fn gpu() -> Value {
    json!({"requests": [request("gpu", json!({"deviceClassName": "gpu"}))]})
}

fn shown(errors: &ErrorList) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

fn same_start(shown: &[String], expected: &[&str]) {
    let same =
        shown.len() == expected.len() && shown.iter().zip(expected).all(|(shown, start)| shown.starts_with(start));
    assert!(same, "{shown:?}");
}

fn check_spec(devices: Value, expected: &[&str]) {
    same_start(&shown(&ResourceClaims.validate(&claim(devices, json!({})))), expected);
}

#[test]
fn requests() {
    let check = |wish: Value, expected: &[&str]| check_spec(json!({"requests": [request("gpu", wish)]}), expected);
    let path = "spec.devices.requests[0]";
    check_spec(json!({}), &[]);
    check_spec(gpu(), &[]);
    check(json!({"deviceClassName": "gpu", "allocationMode": "All", "adminAccess": true}), &[]);
    check(json!([{"name": "big", "deviceClassName": "a"}, {"name": "small", "deviceClassName": "b", "count": 2}]), &[]);
    check(json!({}), &[&format!("{path}.exactly.deviceClassName: Required value")]);
    check(
        json!({"deviceClassName": "A"}),
        &[&format!("{path}.exactly.deviceClassName: Invalid value: \"A\": a lowercase")],
    );
    check(
        json!({"deviceClassName": "gpu", "count": -1}),
        &[&format!("{path}.exactly.count: Invalid value: -1: must be greater than zero")],
    );
    check(
        json!({"deviceClassName": "gpu", "allocationMode": "All", "count": 1}),
        &[&format!("{path}.exactly.count: Invalid value: 1: must not be specified when allocationMode is 'All'")],
    );
    let modes = "Unsupported value: \"Some\": supported values: \"All\", \"ExactCount\"";
    check(
        json!({"deviceClassName": "gpu", "allocationMode": "Some"}),
        &[&format!("{path}.exactly.allocationMode: {modes}")],
    );
    check(
        json!({"deviceClassName": "gpu", "selectors": [{}]}),
        &[&format!("{path}.exactly.selectors[0].cel: Required value")],
    );
    check(
        json!({"deviceClassName": "gpu", "tolerations": [{"operator": "Exists", "value": "a"}]}),
        &[&format!("{path}.exactly.tolerations[0].value: Invalid value: \"a\": must be empty for operator `Exists`")],
    );
    check(
        json!([{"name": "a", "deviceClassName": "b"}, {"name": "a", "deviceClassName": ""}]),
        &[
            &format!("{path}.firstAvailable[1].deviceClassName: Required value"),
            &format!("{path}.firstAvailable[1]: Duplicate value: \"a\""),
        ],
    );
    let many: Vec<Value> = (0..9).map(|i| json!({"name": format!("r{i}"), "deviceClassName": "a"})).collect();
    check(json!(many), &[&format!("{path}.firstAvailable: Too many: 9: must have at most 8 items")]);
}

#[test]
fn claims() {
    let path = "spec.devices";
    check_spec(
        json!({"requests": [{"name": "gpu"}]}),
        &[&format!("{path}.requests[0]: Required value: exactly one of `exactly` or `firstAvailable` is required")],
    );
    let both = json!({"name": "gpu", "exactly": {"deviceClassName": "a"}, "firstAvailable": [{"name": "b", "deviceClassName": "a"}]});
    check_spec(
        json!({"requests": [both]}),
        &[&format!(
            "{path}.requests[0]: Invalid value: null: exactly one of `exactly` or `firstAvailable` is required, but"
        )],
    );
    let wish = json!({"deviceClassName": "gpu"});
    check_spec(
        json!({"requests": [request("", wish.clone())]}),
        &[&format!("{path}.requests[0].name: Invalid value: \"\": a lowercase RFC 1123 label")],
    );
    check_spec(
        json!({"requests": [request("a", wish.clone()), request("a", wish.clone())]}),
        &[&format!("{path}.requests[1]: Duplicate value: \"a\"")],
    );
    let many: Vec<Value> = (0..33).map(|i| request(&format!("r{i}"), wish.clone())).collect();
    check_spec(json!({"requests": many}), &[&format!("{path}.requests: Too many: 33: must have at most 32 items")]);
    let with = |field: &str, value: Value| {
        let mut devices = json!({"requests": [request("gpu", json!([{"name": "big", "deviceClassName": "a"}]))]});
        devices[field] = value;
        devices
    };
    let constraints = |value: Value| with("constraints", json!([value]));
    let reference =
        "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'";
    check_spec(constraints(json!({"requests": ["gpu", "gpu/big"], "matchAttribute": "a.b/c"})), &[]);
    check_spec(constraints(json!({"distinctAttribute": "a.b/c"})), &[]);
    let path = "spec.devices.constraints[0]";
    check_spec(
        constraints(json!({})),
        &[&format!("{path}: Required value: exactly one of \"matchAttribute\" or \"distinctAttribute\" is required")],
    );
    check_spec(
        constraints(json!({"matchAttribute": "c"})),
        &[&format!("{path}.matchAttribute: Invalid value: \"c\": a fully qualified name must be a domain and a name")],
    );
    check_spec(
        constraints(json!({"requests": ["cpu", "gpu/small", "a/b/c", "gpu", "gpu"], "matchAttribute": "a.b/c"})),
        &[
            &format!("{path}.requests[0]: Invalid value: \"cpu\": {reference}"),
            &format!("{path}.requests[1]: Invalid value: \"gpu/small\": {reference}"),
            &format!("{path}.requests[2]: Invalid value: \"a/b/c\": {reference}"),
            &format!("{path}.requests[4]: Duplicate value: \"gpu\""),
        ],
    );
    let config = |value: Value| with("config", json!([value]));
    let opaque = json!({"driver": "gpu.example.com", "parameters": {"a": 1}});
    check_spec(config(json!({"requests": ["gpu"], "opaque": opaque})), &[]);
    let path = "spec.devices.config[0]";
    check_spec(config(json!({})), &[&format!("{path}.opaque: Required value")]);
    check_spec(
        config(json!({"requests": ["cpu"], "opaque": opaque})),
        &[&format!("{path}.requests[0]: Invalid value: \"cpu\": {reference}")],
    );
}

#[test]
fn defaults_gates_and_immutability() {
    let mut bare: ResourceClaim = serde_json::from_value(json!({"status": {"allocation": {}}})).unwrap();
    ResourceClaims.default(&mut bare);
    assert_eq!(serde_json::to_value(&bare.spec).unwrap(), json!({"devices": {}}));
    assert_eq!(serde_json::to_value(&bare.status).unwrap(), json!({"allocation": {"devices": {}}}));
    let context = Context { now: Timestamp::UNIX_EPOCH, namespace: "default", identity: None };
    let derived = json!([{"name": "a/b", "expression": "1"}]);
    let wish = json!({"deviceClassName": "gpu", "derivedAttributes": derived, "tolerations": [{"key": "a"}]});
    let alternatives =
        json!([{"name": "a", "deviceClassName": "b", "derivedAttributes": derived, "allocationMode": "All"}]);
    let devices = json!({"requests": [request("gpu", wish), request("other", alternatives)]});
    let mut object = claim(devices.clone(), json!({"allocation": {}}));
    let stored = object.clone();
    ResourceClaims.prepare_create(&mut object, context);
    assert_eq!(object.status, Some(ResourceClaimStatus::default()));
    let requests = &serde_json::to_value(&object.spec).unwrap()["devices"]["requests"];
    let expected = json!({
        "deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 1,
        "tolerations": [{"key": "a", "operator": "Equal"}],
    });
    assert_eq!(requests[0]["exactly"], expected);
    assert_eq!(requests[1]["firstAvailable"][0], json!({"name": "a", "deviceClassName": "b", "allocationMode": "All"}));

    let mut same = claim(devices, json!({}));
    ResourceClaims.prepare_update(&mut same, &stored, context);
    assert_eq!(same, stored);
    assert!(ResourceClaims.validate_update(&same, &stored).is_empty());
    let errors = ResourceClaims.validate_update(&claim(gpu(), json!({})), &stored).to_string();
    assert!(errors.starts_with("spec: Invalid value: {") && errors.ends_with("field is immutable"), "{errors}");
}

fn result(changes: Value) -> Value {
    let mut result = json!({"request": "gpu", "driver": "gpu.example.com", "pool": "node-1", "device": "gpu-0"});
    result.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    result
}

fn allocation(results: &[Value]) -> Value {
    json!({"devices": {"results": results}})
}

/// Sends a status; what is stored and what is wrong with it.
fn send(status: Value, old: Value, is_deleted: bool) -> (ResourceClaim, Vec<String>) {
    let (mut new, mut old) = (claim(json!({}), status), claim(gpu(), old));
    if is_deleted {
        old.metadata.deletion_timestamp = Some(serde_json::from_value(json!("2026-03-01T12:00:00Z")).unwrap());
    }
    let update = &ResourceClaims.updates()[0];
    let context = Context { now: Timestamp::UNIX_EPOCH, namespace: "default", identity: None };
    (update.prepare)(&mut new, &old, context);
    assert_eq!((&new.spec, &new.metadata), (&old.spec, &old.metadata));
    let errors = shown(&(update.validate)(&new, &old));
    (new, errors)
}

#[test]
fn allocations() {
    let check = |allocation: Value, expected: &[&str]| {
        same_start(&send(json!({"allocation": allocation}), json!({}), false).1, expected);
    };
    let one = |changes: Value, expected: &[&str]| {
        let path = "status.allocation.devices.results[0]";
        let expected: Vec<String> = expected.iter().map(|rest| format!("{path}{rest}")).collect();
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        check(allocation(&[result(changes)]), &expected);
    };
    check(json!({}), &[]);
    one(
        json!({"shareID": SHARE, "bindingConditions": ["a"], "bindingFailureConditions": ["b"], "adminAccess": true}),
        &[],
    );
    one(json!({"request": "cpu"}), &[".request: Invalid value: \"cpu\": must be the name of a request in the claim"]);
    one(json!({"driver": ""}), &[".driver: Required value"]);
    one(json!({"pool": ""}), &[".pool: Required value"]);
    one(json!({"device": "A"}), &[".device: Invalid value: \"A\": a lowercase RFC 1123 label"]);
    one(json!({"shareID": "x"}), &[".shareID: Invalid value: \"x\": error validating uid: invalid UUID length: 1"]);
    one(
        json!({"bindingConditions": ["a"]}),
        &[".bindingFailureConditions: Invalid value: null: bindingFailureConditions"],
    );
    one(json!({"tolerations": [{"operator": "In"}]}), &[".tolerations[0].operator: Unsupported value: \"In\""]);
    let many = vec![result(json!({})); 33];
    check(allocation(&many), &["status.allocation.devices.results: Too many: 33: must have at most 32 items"]);
    let config = |source: &str| {
        let opaque = json!({"driver": "a", "parameters": {}});
        json!({"devices": {"config": [{"source": source, "opaque": opaque, "requests": ["gpu"]}]}})
    };
    let path = "status.allocation.devices.config";
    check(config("FromClaim"), &[]);
    check(config(""), &[&format!("{path}[0].source: Required value")]);
    check(
        config("FromFar"),
        &[&format!("{path}[0].source: Unsupported value: \"FromFar\": supported values: \"FromClaim\", \"FromClass\"")],
    );
    let many = vec![json!({"source": "FromClass", "opaque": {"driver": "a", "parameters": {}}}); 65];
    check(json!({"devices": {"config": many}}), &[&format!("{path}: Too many: 65: must have at most 64 items")]);
    let terms =
        "status.allocation.nodeSelector.nodeSelectorTerms: Required value: must have at least one node selector term";
    check(json!({"nodeSelector": {"nodeSelectorTerms": []}}), &[terms]);

    // What is given stays until it is given back, and was judged when it was given.
    let odd = json!({"allocation": allocation(&[result(json!({"device": "A"}))])});
    assert_eq!(send(odd.clone(), odd.clone(), false).1, [""; 0]);
    assert_eq!(send(json!({}), odd.clone(), false).1, [""; 0]);
    let errors = send(json!({"allocation": allocation(&[result(json!({}))])}), odd, false).1;
    assert!(errors.len() == 1 && errors[0].starts_with("status.allocation: Invalid value: {"), "{errors:?}");
    assert!(errors[0].ends_with(": field is immutable"), "{errors:?}");
    let gated = json!({"allocation": allocation(&[result(json!({"skipNodeOperations": ["*"]}))])});
    let stored = send(gated, json!({}), false).0;
    let expected = json!({"allocation": allocation(&[result(json!({}))])});
    assert_eq!(serde_json::to_value(stored.status).unwrap(), expected);
}

#[test]
fn reservations() {
    let consumer = |uid: &str| json!({"resource": "pods", "name": "web-0", "uid": uid});
    let status = |consumers: &[Value]| json!({"allocation": allocation(&[]), "reservedFor": consumers});
    let check = |status: Value, old: Value, is_deleted: bool, expected: &[&str]| {
        assert_eq!(send(status, old, is_deleted).1, expected);
    };
    check(status(&[consumer("1"), consumer("2")]), json!({}), false, &[]);
    check(
        json!({"reservedFor": [consumer("1")]}),
        json!({}),
        false,
        &["status.reservedFor: Forbidden: may not be specified when `allocated` is not set"],
    );
    check(
        status(&[consumer("1"), consumer("1")]),
        json!({}),
        false,
        &["status.reservedFor[1]: Duplicate value: \"1\""],
    );
    check(
        status(&[json!({"resource": "", "name": "", "uid": ""})]),
        json!({}),
        false,
        &[
            "status.reservedFor[0].resource: Required value",
            "status.reservedFor[0].name: Required value",
            "status.reservedFor[0].uid: Required value",
        ],
    );
    let many: Vec<Value> = (0..257).map(|i| consumer(&i.to_string())).collect();
    check(status(&many), json!({}), false, &["status.reservedFor: Too many: 257: must have at most 256 items"]);
    let two = status(&[consumer("1"), consumer("2")]);
    check(status(&[consumer("2")]), two.clone(), true, &[]);
    check(
        status(&[consumer("2"), consumer("3")]),
        two,
        true,
        &["status.reservedFor: Forbidden: new entries may not be added while `deallocationRequested` or \
           `deletionTimestamp` are set"],
    );
}

/// The status of a device that was given, with these fields changed.
fn device(changes: Value) -> Value {
    let mut device = json!({"driver": "gpu.example.com", "pool": "node-1", "device": "gpu-0"});
    device.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    device
}

fn check_devices(devices: &[Value], expected: &[&str]) {
    let given = allocation(&[result(json!({})), result(json!({"device": "gpu-1", "shareID": SHARE}))]);
    let status = json!({"allocation": given, "devices": devices});
    same_start(&send(status, json!({"allocation": given}), false).1, expected);
}

#[test]
fn device_statuses() {
    let condition = json!({"type": "Ready", "status": "True", "reason": "R", "message": "", "lastTransitionTime": "2026-03-01T12:00:00Z"});
    let network = json!({"interfaceName": "eth0", "hardwareAddress": "ea:9f:cb:40:b1:7b", "ips": ["10.9.8.7/24", "2001:db8::1/64"]});
    check_devices(
        &[
            device(json!({"conditions": [condition], "data": {"a": 1}, "networkData": network})),
            device(json!({"device": "gpu-1", "shareID": SHARE})),
        ],
        &[],
    );
    let path = "status.devices[0]";
    let wrong = "must be an allocated device in the claim";
    check_devices(
        &[device(json!({"device": "gpu-2"}))],
        &[&format!("{path}: Invalid value: gpu.example.com/node-1/gpu-2: {wrong}")],
    );
    check_devices(
        &[device(json!({"shareID": SHARE}))],
        &[&format!("{path}: Invalid value: gpu.example.com/node-1/gpu-0/{SHARE}: {wrong}")],
    );
    check_devices(
        &[device(json!({})), device(json!({}))],
        &["status.devices[1]: Duplicate value: gpu.example.com/node-1/gpu-0"],
    );
    check_devices(
        &[device(json!({"data": [1]}))],
        &[&format!("{path}.data: Invalid value: \"<value omitted>\": must be a valid JSON")],
    );
    let long = json!({"a": "x".repeat(10 * 1024)});
    check_devices(
        &[device(json!({"data": long}))],
        &[&format!("{path}.data: Too long: may not be more than 10240 bytes")],
    );
    let many: Vec<Value> = (0..9)
        .map(|i| {
            let mut condition = condition.clone();
            condition["type"] = format!("C{i}").into();
            condition
        })
        .collect();
    check_devices(
        &[device(json!({"conditions": many}))],
        &[&format!("{path}.conditions: Too many: 9: must have at most 8 items")],
    );
}

#[test]
fn networks_of_devices() {
    let with_network = |data: Value, expected: &str| {
        let expected = format!("status.devices[0].networkData.{expected}");
        check_devices(&[device(json!({"networkData": data}))], &[&expected]);
    };
    with_network(json!({"interfaceName": "x".repeat(257)}), "interfaceName: Too long: may not be more than 256 bytes");
    with_network(
        json!({"hardwareAddress": "x".repeat(129)}),
        "hardwareAddress: Too long: may not be more than 128 bytes",
    );
    with_network(
        json!({"ips": ["10.9.8.7"]}),
        "ips[0]: Invalid value: \"10.9.8.7\": must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)",
    );
    with_network(
        json!({"ips": ["10.9.8.07/24"]}),
        "ips[0]: Invalid value: \"10.9.8.07/24\": must be in canonical form (\"10.9.8.7/24\")",
    );
    with_network(json!({"ips": ["10.9.8.7/24", "10.9.8.7/24"]}), "ips[1]: Duplicate value: \"10.9.8.7/24\"");
    let many: Vec<String> = (0..17).map(|i| format!("10.9.8.{i}/24")).collect();
    with_network(json!({"ips": many}), "ips: Too many: 17: must have at most 16 items");
}

#[test]
fn what_is_given_back_has_no_status() {
    let devices = json!([{"driver": "gpu.example.com", "pool": "node-1", "device": "gpu-0"}]);
    let old = json!({"allocation": allocation(&[result(json!({}))]), "devices": devices});
    let (stored, errors) = send(json!({"devices": devices}), old, false);
    assert_eq!((stored.status, errors), (Some(ResourceClaimStatus::default()), Vec::new()));
}

#[test]
fn rows() {
    let row = |status: Value, is_deleted: bool| {
        let mut claim = claim(gpu(), status);
        if is_deleted {
            claim.metadata.deletion_timestamp = Some(serde_json::from_value(json!("2026-03-01T12:00:00Z")).unwrap());
        }
        ResourceClaims.row(&claim, Timestamp::UNIX_EPOCH)
    };
    let expected = |state: &str| ["gpus", state, "<unknown>"].map(Value::from);
    assert_eq!(row(json!({}), false), expected("pending"));
    assert_eq!(row(json!({"allocation": {}}), false), expected("allocated"));
    let reserved = json!({"allocation": {}, "reservedFor": [{"resource": "pods", "name": "a", "uid": "1"}]});
    assert_eq!(row(reserved.clone(), false), expected("allocated,reserved"));
    assert_eq!(row(reserved, true), expected("deleted,allocated,reserved"));
    assert_eq!(row(json!({}), true), expected("deleted"));
}
