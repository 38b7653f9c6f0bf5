//! Slices and their devices, valid and not.

use serde_json::json;

use super::*;

fn shown(errors: &ErrorList) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

/// A valid slice with these fields of its spec changed, or taken away by `null`.
fn slice(changes: &Value) -> ResourceSlice {
    let mut spec = json!({
        "driver": "gpu.example.com", "nodeName": "node-1",
        "pool": {"name": "node-1", "generation": 1, "resourceSliceCount": 1},
    });
    let fields = spec.as_object_mut().unwrap();
    fields.extend(changes.as_object().unwrap().clone());
    fields.retain(|_, value| !value.is_null());
    serde_json::from_value(json!({"metadata": {"name": "a"}, "spec": spec})).unwrap()
}

fn check(changes: Value, expected: &[&str]) {
    let errors = shown(&ResourceSlices.validate(&slice(&changes)));
    let same =
        errors.len() == expected.len() && errors.iter().zip(expected).all(|(shown, start)| shown.starts_with(start));
    assert!(same, "{errors:?}");
}

/// A slice of one device.
fn check_device(changes: Value, expected: &[&str]) {
    let mut device = json!({"name": "gpu-0"});
    device.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    let expected: Vec<String> = expected.iter().map(|rest| format!("spec.devices[0]{rest}")).collect();
    check(json!({"devices": [device]}), &expected.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn pools() {
    let pool = |name: &str, generation: i64, count: i64| json!({"pool": {"name": name, "generation": generation, "resourceSliceCount": count}});
    check(json!({}), &[]);
    check(pool("node-1/gpus", 0, 3), &[]);
    check(pool("", 1, 1), &["spec.pool.name: Required value"]);
    check(pool("a//b", 1, 1), &["spec.pool.name: Invalid value: \"\": a lowercase RFC 1123 subdomain"]);
    check(pool("a", 1, 0), &["spec.pool.resourceSliceCount: Invalid value: 0: must be greater than zero"]);
    check(pool("a", -1, 1), &["spec.pool.generation: Invalid value: -1: must be greater than or equal to zero"]);
    check(json!({"driver": ""}), &["spec.driver: Required value"]);
    check(json!({"driver": "a_b"}), &["spec.driver: Invalid value: \"a_b\": a lowercase RFC 1123 subdomain"]);
    check(json!({"driver": "a".repeat(64)}), &["spec.driver: Too long: may not be more than 63 bytes"]);
}

#[test]
fn nodes() {
    let rule = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";
    let required = format!("spec: Required value: {rule}");
    let term = json!({"matchExpressions": [{"key": "a", "operator": "Exists"}]});
    let selector = |terms: &[Value]| json!({"nodeName": null, "nodeSelector": {"nodeSelectorTerms": terms}});
    check(selector(std::slice::from_ref(&term)), &[]);
    check(json!({"nodeName": null, "allNodes": true}), &[]);
    check(json!({"nodeName": null, "perDeviceNodeSelection": true}), &[]);
    check(json!({"nodeName": null}), &[&required]);
    check(
        json!({"nodeName": ""}),
        &["spec.nodeName: Invalid value: \"\": must be either unset or set to a non-empty string", &required],
    );
    check(json!({"nodeName": "A"}), &["spec.nodeName: Invalid value: \"A\": a lowercase RFC 1123 subdomain"]);
    check(json!({"allNodes": false}), &["spec.allNodes: Invalid value: false: must be either unset or set to true"]);
    check(
        json!({"perDeviceNodeSelection": false}),
        &["spec.perDeviceNodeSelection: Invalid value: false: must be either unset or set to true"],
    );
    check(
        json!({"allNodes": true}),
        &[&format!("spec: Invalid value: \"{{`nodeName`, `allNodes`}}\": {rule}, but multiple fields are set")],
    );
    let terms = "spec.nodeSelector.nodeSelectorTerms";
    let one = "must have exactly one node selector term";
    check(
        selector(&[]),
        &[
            &format!("{terms}: Required value: must have at least one node selector term"),
            &format!("{terms}: Invalid value: []: {one}"),
        ],
    );
    check(selector(&[term.clone(), term]), &[&format!("{terms}: Invalid value: [{{")]);
    let rule = "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is set to \
                true in the ResourceSlice spec";
    let device = |changes: Value, expected: &[&str]| {
        let mut device = json!({"name": "gpu-0"});
        device.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        check(json!({"nodeName": null, "perDeviceNodeSelection": true, "devices": [device]}), expected);
    };
    let path = "spec.devices[0]";
    device(json!({"nodeName": "node-1"}), &[]);
    device(json!({"allNodes": true}), &[]);
    device(json!({}), &[&format!("{path}: Required value: {rule}")]);
    device(
        json!({"nodeName": ""}),
        &[
            &format!("{path}.nodeName: Invalid value: \"\": must not be empty"),
            &format!("{path}: Required value: {rule}"),
        ],
    );
    device(
        json!({"allNodes": false, "nodeName": "a"}),
        &[&format!("{path}.allNodes: Invalid value: false: must be either unset or set to true")],
    );
    device(
        json!({"allNodes": true, "nodeName": "a"}),
        &[&format!("{path}: Invalid value: \"{{`nodeName`, `allNodes`}}\": {rule}")],
    );
    check_device(
        json!({"allNodes": true}),
        &[
            ": Invalid value: null: `nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is",
        ],
    );
}

#[test]
fn limits() {
    let devices = |count: usize, changes: Value| {
        let device = |i: usize| {
            let mut device = json!({"name": format!("gpu-{i}")});
            device.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
            device
        };
        json!({"devices": (0..count).map(device).collect::<Vec<_>>()})
    };
    let too_many = |count: usize, max: usize| format!("spec.devices: Too many: {count}: must have at most {max} items");
    check(devices(128, json!({})), &[]);
    check(devices(129, json!({})), &[&too_many(129, 128)]);
    let taints = json!({"taints": [{"key": "a", "effect": "None"}]});
    check(devices(64, taints.clone()), &[]);
    check(devices(65, taints), &[&too_many(65, 64)]);
    let counters = json!({"consumesCounters": [{"counterSet": "a", "counters": {"b": {"value": "1"}}}]});
    check(devices(65, counters), &[&too_many(65, 64)]);
    check(
        json!({"devices": [{"name": "a"}, {"name": "a"}, {"name": "A"}]}),
        &[
            "spec.devices[2].name: Invalid value: \"A\": a lowercase RFC 1123 label",
            "spec.devices[1]: Duplicate value: \"a\"",
        ],
    );
    let attributes = |count: usize| {
        let attribute = |i: usize| (format!("a{i}"), json!({"int": i}));
        (0..count).map(attribute).collect::<serde_json::Map<_, _>>()
    };
    check_device(json!({"attributes": attributes(31), "capacity": {"memory": {"value": "1Gi"}}}), &[]);
    check_device(
        json!({"attributes": attributes(32), "capacity": {"memory": {"value": "1Gi"}}}),
        &[": Invalid value: 33: the total number of attributes and capacities must not exceed 32"],
    );
    check_device(
        json!({"attributes": attributes(49)}),
        &[
            ": Invalid value: 49: the total number of attributes and capacities must not exceed 32",
            ": Invalid value: 49: the total number of attribute values must not exceed 48",
        ],
    );
    let taints = vec![json!({"key": "a", "effect": "None"}); 17];
    check_device(json!({"taints": taints}), &[".taints: Too many: 17: must have at most 16 items"]);
}

#[test]
fn counters() {
    let sets = |value: Value| json!({"sharedCounters": value});
    let good = json!({"name": "memory", "counters": {"bytes": {"value": "40Gi"}}});
    check(sets(json!([good])), &[]);
    check(
        json!({"sharedCounters": [good], "devices": [{"name": "a"}]}),
        &["spec: Invalid value: \"\": only one of `sharedCounters` or `devices` is allowed"],
    );
    let path = "spec.sharedCounters";
    check(
        sets(json!([{"name": "", "counters": {}}])),
        &[&format!("{path}[0].name: Required value"), &format!("{path}[0].counters: Required value")],
    );
    check(
        sets(json!([{"name": "A", "counters": {"B": {"value": "1"}}}])),
        &[
            &format!("{path}[0].name: Invalid value: \"A\": a lowercase RFC 1123 label"),
            &format!("{path}[0].counters: Invalid value: \"B\": a lowercase RFC 1123 label"),
        ],
    );
    check(sets(json!([good, good])), &[&format!("{path}[1]: Duplicate value: \"memory\"")]);
    check(sets(json!(vec![good; 9])), &[&format!("{path}: Too many: 9: must have at most 8 items")]);
    let many: serde_json::Map<_, _> = (0..33).map(|i| (format!("c{i}"), json!({"value": "1"}))).collect();
    check(
        sets(json!([{"name": "a", "counters": many}])),
        &[&format!("{path}[0].counters: Too many: 33: must have at most 32 items")],
    );
    let consumption = |set: &str, counters: Value| json!({"counterSet": set, "counters": counters});
    check_device(
        json!({"consumesCounters": [consumption("", json!({}))]}),
        &[".consumesCounters[0].counterSet: Required value", ".consumesCounters[0].counters: Required value"],
    );
    let one = consumption("a", json!({"b": {"value": "1"}}));
    check_device(json!({"consumesCounters": [one, one]}), &[".consumesCounters[1]: Duplicate value: \"a\""]);
    check_device(
        json!({"consumesCounters": [one, one, one]}),
        &[".consumesCounters: Too many: 3: must have at most 2 items"],
    );
}

#[test]
fn attributes() {
    let check =
        |name: &str, value: Value, expected: &[&str]| check_device(json!({"attributes": {name: value}}), expected);
    check("model", json!({"string": "a100"}), &[]);
    check("gpu.example.com/driverVersion", json!({"version": "1.2.3-rc.1+b"}), &[]);
    check("healthy", json!({"bool": false}), &[]);
    check("model", json!({}), &[".attributes[model]: Invalid value: \"\": exactly one value must be specified"]);
    check(
        "model",
        json!({"int": 1, "bool": true}),
        &[".attributes[model]: Invalid value: {\"bool\":true,\"int\":1}: exactly one value must be specified"],
    );
    check(
        "model",
        json!({"string": "x".repeat(65)}),
        &[".attributes[model].string: Too long: may not be more than 64 bytes"],
    );
    check(
        "model",
        json!({"version": "1.2"}),
        &[".attributes[model].version: Invalid value: \"1.2\": must be a string compatible with semver.org spec 2.0.0"],
    );
    check("a b", json!({"int": 1}), &[".attributes: Invalid value: \"a b\": a valid C identifier"]);
    check("a/b/c", json!({"int": 1}), &[".attributes: Invalid value: \"a/b/c\": must not contain more than one slash"]);
    check("/b", json!({"int": 1}), &[".attributes: Invalid value: \"\": the domain must not be empty"]);
    check_device(
        json!({"taints": [{"key": "a", "effect": "Odd"}]}),
        &[".taints[0].effect: Unsupported value: \"Odd\": supported values: \"NoExecute\", \"NoSchedule\", \"None\""],
    );
    check_device(
        json!({"bindingConditions": ["a"]}),
        &[".bindingFailureConditions: Invalid value: null: bindingFailureConditions are required"],
    );
}

/// A device that may be allocated more than once, with so much memory.
fn check_policy(value: &str, policy: Value, expected: &[&str]) {
    let path = ".capacity[memory].requestPolicy";
    let expected: Vec<String> = expected.iter().map(|rest| format!("{path}{rest}")).collect();
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    let capacity = json!({"memory": {"value": value, "requestPolicy": policy}});
    check_device(json!({"allowMultipleAllocations": true, "capacity": capacity}), &expected);
}

/// A policy with a range; what is empty is not there.
fn range(default: &str, min: &str, max: &str, step: &str) -> Value {
    let mut range = json!({"min": min, "max": max, "step": step});
    range.as_object_mut().unwrap().retain(|_, value| value != "");
    json!({"default": default, "validRange": range})
}

#[test]
fn capacities() {
    check_policy("10Gi", json!({}), &[]);
    check_policy("10Gi", json!({"default": "1Gi", "validValues": ["1Gi", "2Gi"]}), &[]);
    check_policy("10Gi", range("1Gi", "1Gi", "9Gi", "2Gi"), &[]);
    check_policy("10", range("1500m", "500m", "9500m", "500m"), &[]);
    check_policy(
        "10",
        json!({"validValues": ["1"]}),
        &[".default: Required value: required when validValues is defined"],
    );
    check_policy(
        "10",
        json!({"validRange": {"min": "1"}}),
        &[".default: Required value: required when validRange is defined"],
    );
    check_policy(
        "10",
        json!({"default": "1", "validValues": ["1"], "validRange": {"min": "1"}}),
        &[
            ": Forbidden: exactly one policy can be specified, cannot specify \"validValues\" and \"validRange\" at the same",
        ],
    );
    check_policy(
        "10",
        json!({"default": "3", "validValues": ["2", "1", "20", "20"]}),
        &[
            ".validValues[1]: Invalid value: \"1\": values must be sorted in ascending order",
            ".validValues[2]: Invalid value: \"20\": option is larger than capacity value: 10",
            ".validValues[3]: Invalid value: \"20\": option is larger than capacity value: 10",
            ".validValues[3]: Duplicate value: \"20\"",
            ".validValues: Invalid value: \"3\": default value is not valid according to the requestPolicy",
        ],
    );
    check_policy(
        "10",
        json!({"default": "1", "validValues": ["500m", "1"]}),
        &[".validValues[1]: Duplicate value: \"1\""],
    );
    let many: Vec<String> = (1..12).map(|i| i.to_string()).collect();
    check_policy(
        "20",
        json!({"default": "1", "validValues": many}),
        &[
            ".validValues: Too many: 11: must have at most 10 items",
            ".validValues: Invalid value: \"1\": default value is not valid according to the requestPolicy",
        ],
    );
    check_device(
        json!({"capacity": {"memory": {"value": "1", "requestPolicy": {}}}}),
        &[".capacity[memory].requestPolicy: Forbidden: allowMultipleAllocations must be true"],
    );
}

#[test]
fn ranges() {
    let invalid =
        |field: &str, value: &str, detail: &str| format!(".validRange.{field}: Invalid value: \"{value}\": {detail}");
    check_policy(
        "10",
        range("1", "", "5", ""),
        &[".validRange.min: Required value: required when validRange is defined"],
    );
    check_policy("10", range("11", "11", "", ""), &[&invalid("min", "11", "min is larger than capacity value: 10")]);
    check_policy("10", range("1", "2", "", ""), &[&invalid("default", "1", "default is less than min: 2")]);
    check_policy(
        "10",
        range("4", "4", "3", ""),
        &[&invalid("max", "4", "min is larger than max: 3"), &invalid("default", "4", "default is more than max: 3")],
    );
    check_policy("10", range("1", "1", "11", ""), &[&invalid("max", "11", "max is larger than capacity value: 10")]);
    check_policy("10", range("1", "1", "", "0"), &[&invalid("step", "0", "must be greater than zero")]);
    check_policy(
        "10",
        range("1", "1", "", "10"),
        &[&invalid("step", "10", "one step 11 is larger than capacity value: 10")],
    );
    check_policy(
        "10",
        range("2", "1", "4", "2"),
        &[
            &invalid("step", "2", "value is not a multiple of a given step (2) from (1)"),
            &invalid("step", "4", "value is not a multiple of a given step (2) from (1)"),
        ],
    );
    // Fractions count as the next whole unit.
    check_policy("10", range("1500m", "1", "", "1"), &[]);
    check_policy(
        "10",
        range("1500m", "1", "", "2"),
        &[&invalid("step", "1500m", "value is not a multiple of a given step (2) from (1)")],
    );
    check_policy(
        "20E",
        range("10E", "10E", "", "1"),
        &[
            &invalid("default", "10E", "must not be larger than 9223372036854775807"),
            &invalid("min", "10E", "must not be larger than 9223372036854775807"),
        ],
    );
    check_policy(
        "10",
        range("-1", "-1", "", "1"),
        &[
            &invalid("default", "-1", "must be greater than or equal to 0"),
            &invalid("min", "-1", "must be greater than or equal to 0"),
        ],
    );
}

#[test]
fn updates() {
    let check = |new: Value, old: Value, expected: &[&str]| {
        assert_eq!(shown(&ResourceSlices.validate_update(&slice(&new), &slice(&old))), expected);
    };
    let pool = |name: &str| json!({"pool": {"name": name, "generation": 2, "resourceSliceCount": 1}});
    check(pool("node-1"), json!({}), &[]);
    check(pool("other"), json!({}), &["spec.pool.name: Invalid value: \"other\": field is immutable"]);
    check(json!({"driver": "a"}), json!({}), &["spec.driver: Invalid value: \"a\": field is immutable"]);
    check(json!({"nodeName": "b"}), json!({}), &["spec.nodeName: Invalid value: \"b\": field is immutable"]);
    check(
        json!({"nodeName": null, "allNodes": true}),
        json!({}),
        &["spec.nodeName: Invalid value: null: field is immutable"],
    );
    // What did not change is not looked at again.
    let odd = json!({"devices": [{
        "name": "a", "taints": [{"key": "a", "effect": "Odd"}], "capacity": {"a b": {"value": "1"}},
    }]});
    check(odd.clone(), odd, &[]);
}

#[test]
fn gates_taints_and_warnings() {
    let now = Timestamp::from_second(1_772_366_400).unwrap();
    let context = Context { now, namespace: "", identity: None };
    let gated = json!({
        "partitionTypeAttribute": "a/b", "skipNodeOperations": ["*"],
        "devices": [{
            "name": "a", "attributes": {"a": {"ints": [1], "int": 2}},
            "nodeAllocatableResources": {"cpu": {"mapping": {"deviceMultiplier": "1"}}},
            "consumesCounters": [{"counterSet": "a", "counters": {"b": {"value": "1"}}, "compatibilityGroups": ["c"]}],
            "taints": [{"key": "a", "effect": "None"}],
        }],
    });
    let mut created = slice(&gated);
    ResourceSlices.prepare_create(&mut created, context);
    let spec = serde_json::to_value(&created.spec).unwrap();
    assert_eq!((&spec["partitionTypeAttribute"], &spec["skipNodeOperations"]), (&Value::Null, &Value::Null));
    let expected = json!({
        "name": "a", "attributes": {"a": {"int": 2}},
        "consumesCounters": [{"counterSet": "a", "counters": {"b": {"value": "1"}}}],
        "taints": [{"key": "a", "effect": "None", "timeAdded": "2026-03-01T12:00:00Z"}],
    });
    assert_eq!(spec["devices"][0], expected);
    let (mut kept, stored) = (slice(&gated), slice(&gated));
    ResourceSlices.prepare_update(&mut kept, &stored, context);
    let taint = &mut kept.spec.devices.as_mut().unwrap()[0].taints.as_mut().unwrap()[0];
    assert_eq!(taint.time_added.take(), Some(Time(now)));
    assert_eq!(kept, stored);

    assert!(ResourceSlices.warnings(&slice(&json!({})), None).is_empty());
    let expected = "spec.driver: driver names should be lowercase; \"GPU.example.com\" contains uppercase characters";
    assert_eq!(ResourceSlices.warnings(&slice(&json!({"driver": "GPU.example.com"})), None), [expected]);
    let changed = ResourceSlices.generation().unwrap();
    assert!(changed(&slice(&json!({"driver": "b"})), &slice(&json!({}))));
    assert!(!changed(&slice(&json!({})), &slice(&json!({}))));
}

#[test]
fn quantities_that_are_not_stated_are_zero() {
    let counters = json!({"a": {}});
    let mut object = slice(&json!({
        "devices": [{"name": "a", "capacity": {"a": {}}, "consumesCounters": [{"counterSet": "b", "counters": counters}]}],
        "sharedCounters": [{"name": "b", "counters": counters}],
    }));
    ResourceSlices.default(&mut object);
    let spec = serde_json::to_value(&object.spec).unwrap();
    let zero = json!({"a": {"value": "0"}});
    assert_eq!(spec["devices"][0]["capacity"], zero);
    assert_eq!(spec["devices"][0]["consumesCounters"][0]["counters"], zero);
    assert_eq!(spec["sharedCounters"][0]["counters"], zero);
}

#[test]
fn rows() {
    let row = |changes: Value| ResourceSlices.row(&slice(&changes), Timestamp::UNIX_EPOCH);
    assert_eq!(row(json!({})), ["a", "node-1", "gpu.example.com", "node-1", "<unknown>"].map(Value::from));
    assert_eq!(row(json!({"nodeName": null}))[1], "");
}
