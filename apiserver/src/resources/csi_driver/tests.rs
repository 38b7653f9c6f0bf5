//! Drivers as their authors describe them.

use serde_json::json;

use super::*;

/// A driver with this spec, with its defaults.
fn driver(spec: Value) -> CSIDriver {
    let metadata = json!({"name": "disk.example.com", "creationTimestamp": "2026-01-01T00:00:00Z"});
    let mut object = serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap();
    CsiDrivers.default(&mut object);
    object
}

fn messages(errors: &ErrorList) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn defaults() {
    let once = driver(json!({}));
    let mut twice = once.clone();
    CsiDrivers.default(&mut twice);
    assert_eq!(once, twice);
    let expected = json!({
        "attachRequired": true,
        "fsGroupPolicy": "ReadWriteOnceWithFSType",
        "podInfoOnMount": false,
        "preventPodSchedulingIfMissing": false,
        "requiresRepublish": false,
        "seLinuxMount": false,
        "storageCapacity": false,
        "volumeLifecycleModes": ["Persistent"],
    });
    assert_eq!(serde_json::to_value(once.spec).unwrap(), expected);
    let stated = json!({
        "attachRequired": false,
        "fsGroupPolicy": "None",
        "podInfoOnMount": true,
        "preventPodSchedulingIfMissing": true,
        "requiresRepublish": true,
        "seLinuxMount": true,
        "storageCapacity": true,
        "volumeLifecycleModes": ["Ephemeral"],
    });
    assert_eq!(serde_json::to_value(driver(stated.clone()).spec).unwrap(), stated);
}

#[test]
fn refusals() {
    let check = |spec: Value, expected: &[&str]| {
        assert_eq!(messages(&CsiDrivers.validate(&driver(spec))), expected);
    };
    let tokens = |tokens: Value| json!({"tokenRequests": tokens});
    check(json!({}), &[]);
    check(json!({"volumeLifecycleModes": ["Persistent", "Ephemeral"], "fsGroupPolicy": "File"}), &[]);
    check(json!({"nodeAllocatableUpdatePeriodSeconds": 10}), &[]);
    check(tokens(json!([{"audience": ""}, {"audience": "a", "expirationSeconds": 600}])), &[]);
    check(json!({"tokenRequests": [{"audience": "a"}], "serviceAccountTokenInSecrets": true}), &[]);
    check(
        json!({"fsGroupPolicy": "All"}),
        &[
            "spec.fsGroupPolicy: Unsupported value: \"All\": supported values: \"File\", \"None\", \"ReadWriteOnceWithFSType\"",
        ],
    );
    check(
        json!({"fsGroupPolicy": ""}),
        &[
            "spec.fsGroupPolicy: Unsupported value: \"\": supported values: \"File\", \"None\", \"ReadWriteOnceWithFSType\"",
        ],
    );
    let modes = "supported values: \"Persistent\", \"Ephemeral\"";
    check(
        json!({"volumeLifecycleModes": ["Brief", "Persistent", ""]}),
        &[
            &format!("spec.volumeLifecycleModes: Unsupported value: \"Brief\": {modes}"),
            &format!("spec.volumeLifecycleModes: Unsupported value: \"\": {modes}"),
        ],
    );
    check(
        json!({"nodeAllocatableUpdatePeriodSeconds": 9}),
        &["spec.nodeAllocatableUpdatePeriodSeconds: Invalid value: 9: must be greater than or equal to 10 seconds"],
    );
    check(
        json!({"nodeAllocatableUpdatePeriodSeconds": -1}),
        &["spec.nodeAllocatableUpdatePeriodSeconds: Invalid value: -1: must be greater than or equal to 10 seconds"],
    );
    check(
        tokens(json!([{"audience": "a"}, {"audience": "a", "expirationSeconds": 1}])),
        &["spec.tokenRequests[1].audience: Duplicate value: \"a\""],
    );
    check(
        tokens(json!([{"audience": "a", "expirationSeconds": 599}])),
        &[
            "spec.tokenRequests[0].expirationSeconds: Invalid value: 599: may not specify a duration less than 10 minutes",
        ],
    );
    check(
        tokens(json!([{"audience": "a", "expirationSeconds": 4_294_967_297_i64}])),
        &[
            "spec.tokenRequests[0].expirationSeconds: Invalid value: 4294967297: may not specify a duration larger than 2^32 \
         seconds",
        ],
    );
    for stated in [true, false] {
        let expected = format!(
            "spec.serviceAccountTokenInSecrets: Invalid value: {stated}: serviceAccountTokenInSecrets is set but no \
             tokenRequests are specified"
        );
        check(json!({"serviceAccountTokenInSecrets": stated}), &[&expected]);
    }
}

#[test]
fn how_volumes_are_used_does_not_change() {
    let check = |spec: Value, expected: &[&str]| {
        assert_eq!(messages(&CsiDrivers.validate_update(&driver(spec), &driver(json!({})))), expected);
    };
    check(json!({"podInfoOnMount": true, "fsGroupPolicy": "File", "storageCapacity": true}), &[]);
    check(json!({"attachRequired": false}), &["spec.attachRequired: Invalid value: false: field is immutable"]);
    check(
        json!({"volumeLifecycleModes": ["Persistent", "Ephemeral"]}),
        &["spec.volumeLifecycleModes: Invalid value: [\"Persistent\",\"Ephemeral\"]: field is immutable"],
    );
    check(
        json!({"nodeAllocatableUpdatePeriodSeconds": 1}),
        &["spec.nodeAllocatableUpdatePeriodSeconds: Invalid value: 1: must be greater than or equal to 10 seconds"],
    );
}

#[test]
fn generations_follow_the_spec() {
    let changed = CsiDrivers.generation().unwrap();
    assert!(changed(&driver(json!({"storageCapacity": true})), &driver(json!({}))));
    let mut labelled = driver(json!({}));
    labelled.metadata.labels = Some([("a".to_owned(), "b".to_owned())].into());
    assert!(!changed(&labelled, &driver(json!({}))));
}

#[test]
fn rows() {
    let check = |spec: Value, expected: Value| {
        let now = "2026-01-01T00:05:00Z".parse().unwrap();
        assert_eq!(Value::from(CsiDrivers.row(&driver(spec), now)), expected);
    };
    check(json!({}), json!(["disk.example.com", true, false, false, "<unset>", false, "Persistent", "5m"]));
    check(
        json!({
            "attachRequired": false, "podInfoOnMount": true, "storageCapacity": true, "requiresRepublish": true,
            "tokenRequests": [{"audience": "a"}, {"audience": "b"}],
            "volumeLifecycleModes": ["Persistent", "Ephemeral"],
        }),
        json!(["disk.example.com", false, true, true, "a,b", true, "Persistent,Ephemeral", "5m"]),
    );
    let bare = CSIDriver { spec: CSIDriverSpec::default(), ..driver(json!({})) };
    assert_eq!(CsiDrivers.row(&bare, Timestamp::UNIX_EPOCH)[6], json!("<none>"));
    assert_eq!(CsiDrivers.columns().len(), 8);
}
