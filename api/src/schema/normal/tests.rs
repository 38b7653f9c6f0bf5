//! What is dropped and what stays, by example, and the algebra over every kind that has a protobuf form.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::super::{Field, Schema, Shape, Type, decode};
use super::normalize;
use crate::protobuf;

fn of(group: &str, kind: &str) -> &'static Type {
    Schema::of(group, "v1", kind).expect("a published kind")
}

fn check(group: &str, kind: &str, given: Value, expected: Value) {
    let mut value = given.clone();
    normalize(&mut value, of(group, kind));
    assert_eq!(value, expected, "{given}");
    normalize(&mut value, of(group, kind));
    assert_eq!(value, expected, "{given}, twice");
}

#[test]
fn drops_what_go_omits() {
    check(
        "",
        "Pod",
        json!({
            "metadata": {"name": "a", "namespace": "", "labels": {}, "finalizers": [], "generation": 0},
            "spec": {
                "hostNetwork": false, "hostname": "", "nodeSelector": {}, "tolerations": [], "priority": 0,
                "automountServiceAccountToken": false, "containers": [],
                "volumes": [{"name": "", "emptyDir": {"medium": ""}}, {"name": "s", "secret": {"items": []}}],
            },
            "status": {"phase": "", "conditions": []},
        }),
        json!({
            "metadata": {"name": "a"},
            "spec": {
                "priority": 0, "automountServiceAccountToken": false, "containers": [],
                "volumes": [{"name": "", "emptyDir": {}}, {"name": "s", "secret": {}}],
            },
            "status": {},
        }),
    );
    check(
        "",
        "Pod",
        json!({"spec": {"containers": [{
            "name": "", "image": "", "tty": false, "args": [""], "command": [], "resources": {"limits": {}},
            "securityContext": {"readOnlyRootFilesystem": false, "runAsUser": 0, "capabilities": {"add": []}},
            "env": [{"name": "", "value": "", "valueFrom": {"configMapKeyRef": {"key": "", "optional": false}}}],
            "ports": [{"containerPort": 0, "hostPort": 0, "protocol": ""}],
            "readinessProbe": {"httpGet": {"port": 0, "path": ""}, "periodSeconds": 0},
        }], "ephemeralContainers": [{"name": "e", "stdin": false, "targetContainerName": ""}]}}),
        json!({"spec": {"containers": [{
            "name": "", "args": [""], "resources": {},
            "securityContext": {"readOnlyRootFilesystem": false, "runAsUser": 0, "capabilities": {}},
            "env": [{"name": "", "valueFrom": {"configMapKeyRef": {"key": "", "optional": false}}}],
            "ports": [{"containerPort": 0}],
            "readinessProbe": {"httpGet": {"port": 0}},
        }], "ephemeralContainers": [{"name": "e"}]}}),
    );
    check(
        "apps",
        "Deployment",
        json!({"spec": {"replicas": 0, "paused": false, "minReadySeconds": 0, "strategy": {"type": ""},
            "selector": {"matchLabels": {}, "matchExpressions": []}, "template": {"spec": {"volumes": null}}}}),
        json!({"spec": {"replicas": 0, "strategy": {}, "selector": {}, "template": {"spec": {}}}}),
    );
    // A map's values and a list's elements have no `omitempty`.
    check(
        "",
        "ConfigMap",
        json!({"data": {"a": ""}, "binaryData": {}, "immutable": false}),
        json!({"data": {"a": ""}, "immutable": false}),
    );
}

#[test]
fn keeps_what_go_writes_though_empty() {
    check(
        "discovery.k8s.io",
        "EndpointSlice",
        json!({"endpoints": [], "ports": [], "addressType": ""}),
        json!({"endpoints": [], "ports": [], "addressType": ""}),
    );
    check("rbac.authorization.k8s.io", "Role", json!({"rules": []}), json!({"rules": []}));
    check(
        "rbac.authorization.k8s.io",
        "ClusterRole",
        json!({"rules": [{"verbs": [], "apiGroups": [], "resourceNames": []}], "aggregationRule": {}}),
        json!({"rules": [{"verbs": []}], "aggregationRule": {}}),
    );
    // What no type describes is left alone: other fields, values of another shape, and JSON that is kept as it is.
    check(
        "",
        "Pod",
        json!({"x": [], "spec": [], "metadata": {"managedFields": [{"fieldsV1": {"f:x": {}, "y": ""}}]}}),
        json!({"x": [], "spec": [], "metadata": {"managedFields": [{"fieldsV1": {"f:x": {}, "y": ""}}]}}),
    );
    check("", "Pod", json!(null), json!(null));
}

#[test]
fn writes_quantities_as_upstream() {
    let cases = [
        ("1000m", "1"),
        ("0.5", "500m"),
        ("1024Mi", "1Gi"),
        ("1.5Gi", "1536Mi"),
        ("0Gi", "0"),
        ("1e3", "1e3"),
        // Upstream takes a plus for canonical.
        ("+1", "+1"),
        ("100m", "100m"),
        ("much", "much"),
        ("", ""),
    ];
    for (given, expected) in cases {
        let quota = |quantity: &str| json!({"spec": {"hard": {"cpu": quantity}}});
        check("", "ResourceQuota", quota(given), quota(expected));
        let volume = |quantity: &str| json!({"spec": {"containers": [], "volumes": [{"name": "v", "emptyDir": {"sizeLimit": quantity}}]}});
        check("", "Pod", volume(given), volume(expected));
    }
}

#[test]
fn decodes_and_normalizes_numbers_and_padding() {
    let text = br#"{"spec": {"hard": {"cpu": 1, "memory": " 1024Ki ", "pods": 0.5, "x": null}}}"#;
    let (mut value, _) = decode(text, of("", "ResourceQuota")).unwrap();
    normalize(&mut value, of("", "ResourceQuota"));
    assert_eq!(value, json!({"spec": {"hard": {"cpu": "1", "memory": "1Mi", "pods": "500m", "x": "0"}}}));
}

/// Offers `change` every field of every object of a type: the field, and its value if it has one.
fn each_field(value: &mut Value, shape: Shape, change: &mut dyn FnMut(&Field, &mut Option<Value>)) {
    match (shape, value) {
        (Shape::Object(of), Value::Object(members)) => {
            for field in of.fields() {
                let mut member = members.remove(field.name());
                if let Some(member) = &mut member {
                    each_field(member, field.shape(), change);
                }
                change(field, &mut member);
                members.extend(member.map(|member| (field.name().to_owned(), member)));
            }
        }
        (Shape::Array(element), Value::Array(list)) => {
            list.iter_mut().for_each(|value| each_field(value, element.shape(), change));
        }
        (Shape::Map(element), Value::Object(map)) => {
            map.values_mut().for_each(|value| each_field(value, element.shape(), change));
        }
        _ => {}
    }
}

fn zero(shape: Shape) -> Option<Value> {
    Some(match shape {
        Shape::String | Shape::Bytes => Value::from(""),
        Shape::Int32 | Shape::Int64 | Shape::Number => Value::from(0),
        Shape::Boolean => Value::from(false),
        _ => return None,
    })
}

fn one(shape: Shape) -> Option<Value> {
    Some(match shape {
        Shape::String => Value::from("x"),
        Shape::Bytes => Value::from("eA=="),
        Shape::Int32 | Shape::Int64 | Shape::Number => Value::from(1),
        Shape::Boolean => Value::from(true),
        _ => return None,
    })
}

fn empty(shape: Shape) -> Value {
    match shape {
        Shape::Array(_) => Value::Array(Vec::new()),
        Shape::Map(_) => Value::Object(Map::new()),
        Shape::Time | Shape::MicroTime => Value::Null,
        other => zero(other).unwrap_or_else(|| panic!("{other:?} is never omitted")),
    }
}

/// The kind that the object states, if it has a type.
fn stated(object: &Value) -> Option<&'static Type> {
    let version = object["apiVersion"].as_str()?;
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    Schema::of(group, version, object["kind"].as_str()?)
}

fn normalized(value: &Value, of: &'static Type) -> Value {
    let mut value = value.clone();
    normalize(&mut value, of);
    value
}

fn through_the_wire(value: &Value) -> Value {
    protobuf::decode(&protobuf::encode_value(value).unwrap()).unwrap()
}

/// `made` is an object without empties of fields that Go omits; `coins` says which of them to write. Answers whether
/// the object has a type.
fn commutes(made: &Value, coins: &mut dyn Iterator<Item = bool>) -> bool {
    let Some(of) = stated(made) else { return false };
    let normal = normalized(made, of);
    assert_eq!(normalized(&normal, of), normal);
    assert_eq!(through_the_wire(&normal), normal);

    let mut noisy = made.clone();
    each_field(&mut noisy, Shape::Object(of), &mut |field, value| {
        if value.is_none() && field.omits_empty() && coins.next() == Some(true) {
            *value = Some(empty(field.shape()));
        }
    });
    assert_eq!(normalized(&noisy, of), normal, "{noisy}");
    assert_eq!(normalized(&through_the_wire(&noisy), of), normal, "{noisy}");
    true
}

/// Of an object in which every scalar is zero, normalizing drops the same as protobuf does.
fn zeros_agree(made: &Value) {
    let Some(of) = stated(made) else { return };
    let mut full = made.clone();
    each_field(&mut full, Shape::Object(of), &mut |field, value| {
        if value.is_none() {
            *value = one(field.shape());
        }
    });
    // Without the fields that the wire tables lack.
    let mut zeros = through_the_wire(&normalized(&full, of));
    each_field(&mut zeros, Shape::Object(of), &mut |field, value| {
        if value.is_some() {
            *value = zero(field.shape()).or(value.take());
        }
    });
    for name in ["apiVersion", "kind"] {
        zeros[name] = made[name].clone();
    }
    assert_eq!(normalized(&zeros, of), through_the_wire(&zeros), "{zeros}");
}

#[test]
fn every_kind_commutes_with_the_wire() {
    let mut random = 1_u64;
    let mut byte = move || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 56) as u8
    };
    let mut typed = 0;
    for place in 0..protobuf::tests::kinds() {
        let bytes: Vec<u8> =
            (0..10_000).map(|_| byte()).map(|byte| if byte < 100 { byte | 0xc0 } else { byte }).collect();
        let (made, _) = protobuf::tests::arbitrary(place, &bytes);
        zeros_agree(&made);
        typed += usize::from(commutes(&made, &mut std::iter::repeat(true)));
    }
    assert!(typed > 100, "{typed}");
}

proptest! {
    #[test]
    fn objects_commute_with_the_wire(
        place: usize,
        bytes in prop::collection::vec(any::<u8>(), 0..600),
        coins in prop::collection::vec(any::<bool>(), 0..200),
    ) {
        let (made, _) = protobuf::tests::arbitrary(place, &bytes);
        zeros_agree(&made);
        commutes(&made, &mut coins.into_iter());
    }

    #[test]
    fn any_json_normalizes_once_and_for_all(document in crate::patch::json::tests::document()) {
        for of in [of("", "Pod"), of("apiextensions.k8s.io", "CustomResourceDefinition")] {
            let mut once = json!({"metadata": document, "spec": document, "status": document});
            normalize(&mut once, of);
            let mut twice = once.clone();
            normalize(&mut twice, of);
            prop_assert_eq!(&twice, &once);
        }
    }
}
