//! The table against facts known from the API, and reading documents against what Go's reader says.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn of(group: &str, version: &str, kind: &str) -> &'static Type {
    Schema::of(group, version, kind).expect("a published kind")
}

#[test]
fn finds_types_by_kind_and_by_name() {
    assert_eq!(of("", "v1", "Pod").name(), "io.k8s.api.core.v1.Pod");
    assert_eq!(of("apps", "v1", "DeploymentList").name(), "io.k8s.api.apps.v1.DeploymentList");
    assert_eq!(of("storage.k8s.io", "v1", "DeleteOptions"), of("", "v1", "DeleteOptions"));
    assert_eq!(of("apps", "v1", "Deployment").go_name(), "v1.Deployment");
    assert_eq!(Schema::of("apps", "v1", "Pod"), None);
    assert_eq!(Schema::of("apps", "v1beta1", "Deployment"), None);
    assert_eq!(Schema::named("io.k8s.api.core.v1.PodSpec").map(Type::short_name), Some("PodSpec"));
    assert_eq!(Schema::named("PodSpec"), None);
}

#[test]
fn knows_shapes_and_rules() {
    for (path, shape, rules) in [
        ("spec.replicas", "int32", ""),
        ("spec.template.spec.containers", "[]v1.Container", "map[name] merge name"),
        (
            "spec.template.spec.containers.ports",
            "[]v1.ContainerPort",
            "map[containerPort,protocol] merge containerPort",
        ),
        ("spec.template.spec.containers.args", "[]string", "atomic"),
        ("spec.template.spec.containers.resources.requests", "v1.ResourceList", ""),
        ("spec.template.spec.containers.livenessProbe.httpGet.port", "IntOrString", ""),
        ("spec.template.spec.volumes", "[]v1.Volume", "map[name] merge,retainKeys name"),
        ("spec.template.spec.tolerations", "[]v1.Toleration", "atomic"),
        (
            "spec.template.spec.topologySpreadConstraints",
            "[]v1.TopologySpreadConstraint",
            "map[topologyKey,whenUnsatisfiable] merge topologyKey",
        ),
        ("spec.template.metadata.finalizers", "[]string", "set merge"),
        ("spec.template.metadata.labels", "map[string]string", ""),
        ("spec.strategy", "v1.DeploymentStrategy", "retainKeys"),
        ("metadata.creationTimestamp", "v1.Time", ""),
        ("metadata.managedFields.fieldsV1", "interface {}", ""),
        ("status.conditions", "[]v1.DeploymentCondition", "map[type] merge type"),
        ("status.observedGeneration", "int64", ""),
    ] {
        let mut at = of("apps", "v1", "Deployment");
        let mut parts = path.split('.').peekable();
        while let Some(part) = parts.next() {
            let field = at.field(part).unwrap_or_else(|| panic!("{path}: no {part}"));
            match field.shape() {
                Shape::Object(inner) if parts.peek().is_some() => at = inner,
                Shape::Array(element) if parts.peek().is_some() => match element.shape() {
                    Shape::Object(inner) => at = inner,
                    other => panic!("{path}: {other:?}"),
                },
                found => {
                    let found = if found == Shape::IntOrString { "IntOrString".to_owned() } else { found.go_type() };
                    assert_eq!((found.as_str(), describe(field.rules()).as_str()), (shape, rules), "{path}");
                }
            }
        }
    }
}

fn describe(rules: &Rules) -> String {
    let keys = rules.list_map_keys.join(",");
    let list = match rules.list_type {
        Some(ListType::Atomic) => "atomic".to_owned(),
        Some(ListType::Set) => "set".to_owned(),
        Some(ListType::Map) => format!("map[{keys}]"),
        None => String::new(),
    };
    let strategies =
        [(rules.patch_merge, "merge"), (rules.patch_replace, "replace"), (rules.patch_retain_keys, "retainKeys")];
    let strategies: Vec<&str> = strategies.into_iter().filter(|(has, _)| *has).map(|(_, name)| name).collect();
    let parts = [list, strategies.join(","), rules.patch_merge_key.unwrap_or_default().to_owned()];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

#[test]
fn is_sorted_and_whole() {
    let kinds: Vec<_> = Schema::kinds().map(|(group, version, kind, _)| (group, version, kind)).collect();
    assert!(kinds.is_sorted() && kinds.len() > 300);
    assert!(Schema::types().is_sorted_by_key(Type::name));
    for of in Schema::types() {
        assert_eq!(Schema::named(of.name()), Some(of));
        assert!(of.fields().is_sorted_by_key(Field::name), "{of:?}");
        // As many as strict reading can keep in mind.
        assert!(of.fields().len() <= 128, "{of:?}");
        for field in of.fields() {
            assert_eq!(of.field(field.name()).map(Field::name), Some(field.name()));
            let element = match field.shape() {
                Shape::Array(element) => Some(element.shape()),
                _ => None,
            };
            if let Some(key) = field.rules().patch_merge_key {
                let Some(Shape::Object(element)) = element else { panic!("{of:?}: {field:?}") };
                assert!(element.field(key).is_some(), "{of:?}: {field:?}");
            }
            for key in field.rules().list_map_keys {
                let Some(Shape::Object(element)) = element else { panic!("{of:?}: {field:?}") };
                assert!(element.field(key).is_some(), "{of:?}: {field:?}");
            }
        }
    }
    for (.., of) in Schema::kinds() {
        assert!(of.fields().is_empty() || of.field("kind").is_some() || of.short_name() == "WatchEvent", "{of:?}");
    }
}

fn check(text: &str, of: &'static Type, expected: Value, faults: &[&str]) {
    let (document, found) = decode(text.as_bytes(), of).unwrap_or_else(|error| panic!("{text}: {error}"));
    let found: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!((document, found), (expected, faults.iter().map(ToString::to_string).collect()), "{text}");
}

#[test]
fn reads_documents() {
    let deployment = of("apps", "v1", "Deployment");
    let pod = of("", "v1", "Pod");
    check(r#"{"spec": {"replicas": 3}}"#, deployment, json!({"spec": {"replicas": 3}}), &[]);
    check(
        r#"{"spec": {"foo": {"a": 1, "a": 2}, "replicas": 3}}"#,
        deployment,
        json!({"spec": {"replicas": 3}}),
        &[r#"unknown field "spec.foo""#],
    );
    check(
        r#"{"spec": {"replicas": 3, "replicas": 4}}"#,
        deployment,
        json!({"spec": {"replicas": 4}}),
        &[r#"duplicate field "spec.replicas""#],
    );
    check(r#"{"Spec": {}}"#, deployment, json!({}), &[r#"unknown field "Spec""#]);
    check(
        r#"{"spec": {"containers": [{"name": "a"}, {"nam": 1, "name": "b", "env": [{"name": "x", "name": "y", "z": 1}]}]}}"#,
        pod,
        json!({"spec": {"containers": [{"name": "a"}, {"name": "b", "env": [{"name": "y"}]}]}}),
        &[
            r#"unknown field "spec.containers[1].nam""#,
            r#"duplicate field "spec.containers[1].env[0].name""#,
            r#"unknown field "spec.containers[1].env[0].z""#,
        ],
    );
    check(
        r#"{"metadata": {"labels": {"a": "1", "a": "2"}}}"#,
        pod,
        json!({"metadata": {"labels": {"a": "2"}}}),
        &[r#"duplicate field "metadata.labels.a""#],
    );
    // The same fault is told once.
    check(r#"{"x": 1, "x": 2, "x\"": 3}"#, pod, json!({}), &[r#"unknown field "x""#, r#"unknown field "x\"""#]);
    // Objects said twice are merged, lists are not.
    check(
        r#"{"spec": {"hostname": "a", "nodeSelector": {"a": "1"}, "containers": [{}]}, "spec": {"subdomain": "b", "nodeSelector": {"b": "2"}, "containers": []}}"#,
        pod,
        json!({"spec": {"hostname": "a", "subdomain": "b", "nodeSelector": {"a": "1", "b": "2"}, "containers": []}}),
        &[r#"duplicate field "spec""#],
    );
}

#[test]
fn reads_values_as_they_are_stored() {
    let pod = of("", "v1", "Pod");
    let secret = of("", "v1", "Secret");
    let lease = of("coordination.k8s.io", "v1", "Lease");
    // Null is absent, or zero where something must stand.
    check(
        r#"{"spec": null, "metadata": {"labels": {"a": null}, "finalizers": ["a", null]}}"#,
        pod,
        json!({"metadata": {"labels": {"a": ""}, "finalizers": ["a", ""]}}),
        &[],
    );
    check(r#"{"spec": {"containers": [null]}}"#, pod, json!({"spec": {"containers": [{}]}}), &[]);
    check("null", pod, Value::Null, &[]);
    // Text forms.
    check(
        r#"{"metadata": {"creationTimestamp": "2024-02-29T23:30:00.5-01:00"}}"#,
        pod,
        json!({"metadata": {"creationTimestamp": "2024-03-01T00:30:00Z"}}),
        &[],
    );
    check(
        r#"{"spec": {"renewTime": "2024-01-01T00:00:00.000001+00:30"}}"#,
        lease,
        json!({"spec": {"renewTime": "2023-12-31T23:30:00.000001Z"}}),
        &[],
    );
    check(
        r#"{"spec": {"containers": [{"resources": {"limits": {"cpu": 1, "memory": "1Gi"}}}]}}"#,
        pod,
        json!({"spec": {"containers": [{"resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}]}}),
        &[],
    );
    check(
        "{\"data\": {\"a\": \"aGVs\\r\\nbG8=\", \"b\": \"\"}}",
        secret,
        json!({"data": {"a": "aGVsbG8=", "b": ""}}),
        &[],
    );
    // What reads itself is kept as it is, and not looked into.
    check(
        r#"{"metadata": {"managedFields": [{"fieldsV1": {"f:x": {}, "f:x": {"a": null}}}]}}"#,
        pod,
        json!({"metadata": {"managedFields": [{"fieldsV1": {"f:x": {"a": null}}}]}}),
        &[],
    );
}

#[test]
fn reads_untyped_documents() {
    let (document, found) =
        decode_untyped(br#"{"a": null, "b": [{"c": 1, "c": 2}], "b.d": {"e": 1, "e": 1}}"#).unwrap();
    assert_eq!(document, json!({"a": null, "b": [{"c": 2}], "b.d": {"e": 1}}));
    let found: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(found, [r#"duplicate field "b[0].c""#, r#"duplicate field "b.d.e""#]);
}

#[test]
fn reads_patched_documents() {
    let deployment = of("apps", "v1", "Deployment");
    let (document, found) =
        decode_value(json!({"spec": {"replicas": 1, "$patch": "x", "paused": null}}), deployment).unwrap();
    assert_eq!(
        (document, found),
        (json!({"spec": {"replicas": 1}}), vec![StrictError::UnknownField("spec.$patch".to_owned())])
    );
    let deep = (0..200).fold(json!(1), |inner, _| json!({"a": inner}));
    assert_eq!(decode_value(deep, deployment), Err(DecodeError::TooDeep));
}

#[test]
fn says_what_go_says_of_wrong_scalars() {
    for (group, kind, text, message) in [
        (
            "apps",
            "Deployment",
            r#"{"spec": {"replicas": "3"}}"#,
            "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            "apps",
            "Deployment",
            r#"{"spec": {"replicas": 1.5}}"#,
            "json: cannot unmarshal number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            "apps",
            "Deployment",
            r#"{"spec": {"replicas": 2147483648}}"#,
            "json: cannot unmarshal number 2147483648 into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            "apps",
            "Deployment",
            r#"{"spec": []}"#,
            "json: cannot unmarshal array into Go struct field Deployment.spec of type v1.DeploymentSpec",
        ),
        (
            "apps",
            "Deployment",
            r#"{"spec": {"paused": 1}}"#,
            "json: cannot unmarshal number into Go struct field DeploymentSpec.spec.paused of type bool",
        ),
        ("apps", "Deployment", "[]", "json: cannot unmarshal array into Go value of type v1.Deployment"),
        (
            "",
            "Pod",
            r#"{"metadata": {"labels": {"a": 1}}}"#,
            "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string",
        ),
        (
            "",
            "Pod",
            r#"{"metadata": {"labels": []}}"#,
            "json: cannot unmarshal array into Go struct field ObjectMeta.metadata.labels of type map[string]string",
        ),
        (
            "",
            "Pod",
            r#"{"spec": {"containers": {}}}"#,
            "json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container",
        ),
    ] {
        let error = decode(text.as_bytes(), of(group, "v1", kind)).expect_err(text);
        assert_eq!(error, DecodeError::Type(message.to_owned()), "{text}");
    }
}

#[test]
fn says_what_go_says_of_wrong_texts() {
    let quantity = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
    for (group, kind, text, message) in [
        (
            "",
            "Pod",
            r#"{"spec": {"containers": [{"name": true}]}}"#,
            "json: cannot unmarshal bool into Go struct field Container.spec.containers.name of type string",
        ),
        (
            "",
            "Service",
            r#"{"spec": {"ports": [{"targetPort": {}}]}}"#,
            "json: cannot unmarshal object into Go struct field ServicePort.spec.ports.targetPort of type int32",
        ),
        (
            "",
            "Service",
            r#"{"spec": {"ports": [{"targetPort": 1.5}]}}"#,
            "json: cannot unmarshal number 1.5 into Go struct field ServicePort.spec.ports.targetPort of type int32",
        ),
        // The first of several, but a type that reads itself goes before.
        (
            "",
            "Pod",
            r#"{"spec": 1, "metadata": 2}"#,
            "json: cannot unmarshal number into Go struct field Pod.spec of type v1.PodSpec",
        ),
        ("", "Pod", r#"{"spec": {"containers": [{"name": 1, "resources": {"limits": {"cpu": "x"}}}]}}"#, quantity),
        ("", "Pod", r#"{"spec": {"containers": [{"resources": {"limits": {"cpu": "1.2.3"}}}]}}"#, quantity),
        ("", "Pod", r#"{"spec": {"containers": [{"resources": {"limits": {"cpu": ""}}}]}}"#, quantity),
        ("", "Pod", r#"{"spec": {"containers": [{"resources": {"limits": {"cpu": true}}}]}}"#, quantity),
        (
            "",
            "Pod",
            r#"{"spec": {"containers": [{"resources": {"limits": {"cpu": "1mM"}}}]}}"#,
            "unable to parse quantity's suffix",
        ),
        (
            "",
            "Pod",
            r#"{"spec": {"containers": [{"resources": {"limits": {"cpu": "Pi"}}}]}}"#,
            "unable to parse numeric part of quantity",
        ),
        (
            "",
            "Pod",
            r#"{"spec": {"containers": [{"resources": {"limits": "x"}}]}}"#,
            "json: cannot unmarshal string into Go struct field ResourceRequirements.spec.containers.resources.limits of type v1.ResourceList",
        ),
    ] {
        let error = decode(text.as_bytes(), of(group, "v1", kind)).expect_err(text);
        assert_eq!(error, DecodeError::Type(message.to_owned()), "{text}");
    }
}

#[test]
fn says_what_go_says_of_wrong_quantities() {
    for (group, kind, text, message) in [
        (
            "",
            "Pod",
            r#"{"metadata": {"creationTimestamp": 1}}"#,
            "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.creationTimestamp of type string",
        ),
        (
            "",
            "Pod",
            r#"{"metadata": {"creationTimestamp": "yesterday"}}"#,
            r#"parsing time "yesterday" as "2006-01-02T15:04:05Z07:00": cannot parse "yesterday" as "2006""#,
        ),
        (
            "",
            "Pod",
            r#"{"metadata": {"creationTimestamp": "2024-13-01T00:00:00Z"}}"#,
            r#"parsing time "2024-13-01T00:00:00Z": month out of range"#,
        ),
        (
            "",
            "Pod",
            r#"{"metadata": {"creationTimestamp": "2023-02-29T00:00:00Z"}}"#,
            r#"parsing time "2023-02-29T00:00:00Z": day out of range"#,
        ),
        (
            "",
            "Pod",
            r#"{"metadata": {"creationTimestamp": "2024-01-01 00:00:00Z"}}"#,
            r#"parsing time "2024-01-01 00:00:00Z" as "2006-01-02T15:04:05Z07:00": cannot parse " 00:00:00Z" as "T""#,
        ),
        (
            "",
            "Pod",
            r#"{"metadata": {"creationTimestamp": "2024-01-01T00:00:00"}}"#,
            r#"parsing time "2024-01-01T00:00:00" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "Z07:00""#,
        ),
        (
            "",
            "Pod",
            r#"{"metadata": {"creationTimestamp": "2024-01-01T00:00:00Zx"}}"#,
            r#"parsing time "2024-01-01T00:00:00Zx": extra text: "x""#,
        ),
        (
            "coordination.k8s.io",
            "Lease",
            r#"{"spec": {"renewTime": "2024-01-01T00:00:00Z"}}"#,
            r#"parsing time "2024-01-01T00:00:00Z" as "2006-01-02T15:04:05.000000Z07:00": cannot parse "Z" as ".000000""#,
        ),
        ("", "Secret", r#"{"data": {"a": "!"}}"#, "illegal base64 data at input byte 0"),
        ("", "Secret", r#"{"data": {"a": "aGVsbG8"}}"#, "illegal base64 data at input byte 4"),
        ("", "Secret", r#"{"data": {"a": "aGVsbG8=x"}}"#, "illegal base64 data at input byte 8"),
        ("", "Secret", r#"{"data": {"a": "aA=b"}}"#, "illegal base64 data at input byte 2"),
    ] {
        let error = decode(text.as_bytes(), of(group, "v1", kind)).expect_err(text);
        assert_eq!(error, DecodeError::Type(message.to_owned()), "{text}");
    }
}

#[test]
fn says_what_go_says_of_bad_json() {
    for (text, message) in [
        ("", "unexpected end of JSON input"),
        ("{", "unexpected end of JSON input"),
        (r#"{"a": 1"#, "unexpected end of JSON input"),
        (r#"{"a" 1}"#, "invalid character '1' after object key"),
        ("{a: 1}", "invalid character 'a' looking for beginning of object key string"),
        (r#"{"a": 1,}"#, "invalid character '}' looking for beginning of object key string"),
        (r#"{"a": 1 "b": 2}"#, "invalid character '\"' after object key:value pair"),
        ("[1 2]", "invalid character '2' after array element"),
        ("[1,]", "invalid character ']' looking for beginning of value"),
        ("{} x", "invalid character 'x' after top-level value"),
        ("nul", "unexpected end of JSON input"),
        ("nulx", "invalid character 'x' in literal null (expecting 'l')"),
        ("-x", "invalid character 'x' in numeric literal"),
        ("1.x", "invalid character 'x' after decimal point in numeric literal"),
        ("1ex", "invalid character 'x' in exponent of numeric literal"),
        ("01", "invalid character '1' after top-level value"),
        (r#""\x""#, "invalid character 'x' in string escape code"),
        (r#""\u00g0""#, "invalid character 'g' in \\u hexadecimal character escape"),
        ("\"a\nb\"", "invalid character '\\n' in string literal"),
        ("'a'", "invalid character '\\'' looking for beginning of value"),
    ] {
        let error = decode(text.as_bytes(), of("", "v1", "Pod")).expect_err(text);
        assert_eq!(error, DecodeError::Syntax(message.to_owned()), "{text}");
        assert_eq!(decode_untyped(text.as_bytes()), Err(DecodeError::Syntax(message.to_owned())), "{text}");
    }
}

#[test]
fn bounds_depth_and_faults() {
    let deep = |levels: usize| format!("{}1{}", r#"{"a":["#.repeat(levels / 2), "]}".repeat(levels / 2));
    assert!(decode_untyped(deep(120).as_bytes()).is_ok());
    assert_eq!(decode_untyped(deep(1_000).as_bytes()), Err(DecodeError::TooDeep));
    // What is skipped is skipped without recursion, however deep.
    assert!(decode(deep(1_000_000).as_bytes(), of("", "v1", "Pod")).is_ok());
    let schema = r#"{"properties":{"a":"#;
    let crd = format!(
        r#"{{"spec":{{"versions":[{{"schema":{{"openAPIV3Schema":{}1{}}}}}]}}}}"#,
        schema.repeat(1_000),
        "}}".repeat(1_000)
    );
    let custom = of("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
    assert_eq!(decode(crd.as_bytes(), custom), Err(DecodeError::TooDeep));

    let many: Vec<String> = (0..1_000).map(|at| format!(r#""x{at}": 1"#)).collect();
    let (_, found) = decode(format!("{{{}}}", many.join(",")).as_bytes(), of("", "v1", "Pod")).unwrap();
    assert_eq!(found.len(), 100);
}

/// Text made of the pieces of JSON documents about pods.
fn pieces() -> impl Strategy<Value = String> {
    let words = vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "null",
        "true",
        "1",
        "-1.5",
        "1e400",
        "\"spec\"",
        "\"metadata\"",
        "\"labels\"",
        "\"containers\"",
        "\"name\"",
        "\"x\"",
        "\"\\ud800\"",
        "\"creationTimestamp\"",
        "\"2024-01-01T00:00:00Z\"",
        "\"é",
        " ",
    ];
    prop::collection::vec(prop::sample::select(words), 0..24).prop_map(|words| words.concat())
}

proptest! {
    #[test]
    fn never_panics_on_bytes(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = decode(&bytes, of("", "v1", "Pod"));
        let _ = decode_untyped(&bytes);
    }

    #[test]
    fn never_panics_on_near_json(text in pieces()) {
        let _ = decode(text.as_bytes(), of("", "v1", "Pod"));
        // What Go's scanner accepts or refuses, serde_json does too, but for lone surrogates and numbers out of range.
        let read = decode_untyped(text.as_bytes());
        if !text.contains("\\ud800") && !text.contains("1e400") {
            prop_assert_eq!(read.is_err(), go_json::syntax_error(text.as_bytes()).is_some());
        }
    }

    #[test]
    fn never_panics_on_text_forms(text in "[0-9TZ:.+-]{0,28}|[0-9eEinumkKMGTP.+-]{0,8}|[A-Za-z=\r\n]{0,9}") {
        let _ = literals::time(&text);
        let _ = literals::micro_time(&text);
        let _ = literals::quantity(&text);
        let _ = literals::base64(&text);
    }

    #[test]
    fn times_survive_reading_twice(year in 1i64..9999, month in 1..=12, day in 1..=28, hour in 0..24, offset in 0..24) {
        let text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:00:00+{offset:02}:00");
        if let Ok(once) = literals::time(&text) {
            prop_assert_eq!(literals::time(&once), Ok(once));
        }
    }

    #[test]
    fn untyped_documents_come_back_whole(document in crate::patch::json::tests::document()) {
        let text = serde_json::to_vec(&document).unwrap();
        prop_assert_eq!(decode_untyped(&text), Ok((document, Vec::new())));
    }
}
