//! The transcoder against bytes that upstream's own code wrote, and its algebra over every kind in the table.
//!
//! `golden.jsonl` holds objects as `[JSON, body]`: the body, in base64, is what Kubernetes v1.36's protobuf serializer makes
//! of that JSON, or what kubectl v1.36 sent.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::generated::{KINDS, MESSAGES};
use super::table::{Field, Label, Message, Shape, Type, message};
use super::{
    Error, MAX_DEPTH, Problem, decode, decode_watch_event, encode, encode_value, encode_watch_event, has_kind,
    split_frame,
};

fn golden() -> Vec<(Value, Vec<u8>)> {
    include_str!("golden.jsonl")
        .lines()
        .map(|line| {
            let (object, body): (Value, String) = serde_json::from_str(line).unwrap();
            (object, BASE64.decode(body).unwrap())
        })
        .collect()
}

#[test]
fn upstream_bytes_decode_to_the_json_a_go_client_sends() {
    for (object, body) in golden() {
        assert_eq!(decode(&body).unwrap(), object);
    }
}

#[test]
fn upstream_objects_survive_the_wire() {
    for (object, body) in golden() {
        let ours = encode(object.to_string().as_bytes()).unwrap();
        assert_eq!(decode(&ours).unwrap(), object);
        assert_eq!(encode_value(&object).unwrap(), ours);
        assert!(ours.len() <= body.len(), "we write no zero that JSON leaves out: {object}");
    }
}

/// The object's own bytes: what an encoder writes between the envelope's head and tail.
fn check_encode(json: Value, head: &[u8], raw: &[u8]) {
    let mut expected = b"k8s\0".to_vec();
    expected.extend([0x0a, head.len() as u8]);
    expected.extend(head);
    expected.extend([0x12, raw.len() as u8]);
    expected.extend(raw);
    expected.extend([0x1a, 0, 0x22, 0]);
    assert_eq!(encode_value(&json).unwrap().escape_ascii().to_string(), expected.escape_ascii().to_string(), "{json}");
}

#[test]
fn bytes_are_laid_out_as_the_definitions_say() {
    let core = |kind: &str, body: Value, raw: &[u8]| {
        let head = [b"\x0a\x02v1\x12".as_slice(), &[kind.len() as u8], kind.as_bytes()].concat();
        let mut object = json!({ "apiVersion": "v1", "kind": kind });
        object.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
        check_encode(object, &head, raw);
    };
    core("ConfigMap", json!({ "metadata": { "name": "x" } }), b"\x0a\x03\x0a\x01x");
    core("ConfigMap", json!({ "data": { "a": "b" }, "unknown": [{ "x": 1 }] }), b"\x12\x06\x0a\x01a\x12\x01b");
    core("ConfigMap", json!({ "data": { "a": null }, "metadata": null }), b"\x12\x05\x0a\x01a\x12\x00");
    core("ConfigMap", json!({ "binaryData": { "a": "AAH/" } }), b"\x1a\x08\x0a\x01a\x12\x03\x00\x01\xff");
    core("ConfigMap", json!({ "immutable": false }), b"\x20\x00");
    core("Status", json!({ "code": 404, "status": "" }), b"\x30\x94\x03\x12\x00");
    core("Status", json!({ "code": -1 }), b"\x30\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01");
    core("DeleteOptions", json!({ "gracePeriodSeconds": 0 }), b"\x08\x00");
    // Namespace.metadata.creationTimestamp: {1 seconds, 2 nanos}, and the zero time.
    let time = |text: &str| json!({ "metadata": { "creationTimestamp": text } });
    core("Namespace", time("1970-01-01T00:00:01Z"), b"\x0a\x06\x42\x04\x08\x01\x10\x00");
    core("Namespace", time("1970-01-01T01:00:01.9+01:00"), b"\x0a\x06\x42\x04\x08\x01\x10\x00");
    core("Namespace", time("0001-01-01T00:00:00Z"), b"\x0a\x02\x42\x00");
    // ResourceQuota.spec.hard: map<string, Quantity>.
    let hard = |quantity: Value| json!({ "spec": { "hard": { "cpu": quantity } } });
    core("ResourceQuota", hard(json!("1")), b"\x12\x0c\x0a\x0a\x0a\x03cpu\x12\x03\x0a\x011");
    core("ResourceQuota", hard(json!(1)), b"\x12\x0c\x0a\x0a\x0a\x03cpu\x12\x03\x0a\x011");
    // Service.spec.ports[].targetPort, an IntOrString in field 4.
    let port = |port: Value| json!({ "spec": { "ports": [{ "targetPort": port }] } });
    core("Service", port(json!(8)), b"\x12\x0a\x0a\x08\x22\x06\x08\x00\x10\x08\x1a\x00");
    core("Service", port(json!("h")), b"\x12\x0b\x0a\x09\x22\x07\x08\x01\x10\x00\x1a\x01h");
    // List.items: RawExtension {1 raw}.
    core("List", json!({ "items": [{"a":1}, null] }), b"\x12\x09\x0a\x07{\"a\":1}\x12\x00");
    // Volume {1 name, 2 volumeSource}: the embedded struct's message follows the fields of its own.
    let volume = json!({ "spec": { "volumes": [{ "emptyDir": {}, "name": "v" }] } });
    core("Pod", volume, b"\x12\x09\x0a\x07\x0a\x01v\x12\x02\x12\x00");
}

#[test]
fn fields_of_an_embedded_struct_may_be_apart() {
    let text = br#"{"kind":"ValidatingAdmissionPolicy","apiVersion":"admissionregistration.k8s.io/v1","spec":{
        "matchConstraints":{"resourceRules":[
            {"apiGroups":["g"],"resourceNames":["n"],"operations":["CREATE"],"resources":["r"]}]}}}"#;
    let decoded = decode(&encode(text).unwrap()).unwrap();
    assert_eq!(decoded, serde_json::from_slice::<Value>(text).unwrap());
    // One NamedRuleWithOperations {1 resourceNames, 2 {1 operations, 2 {1 apiGroups, 3 resources}}}, parents whole.
    let body = encode(text).unwrap();
    let rule = b"\x0a\x01n\x12\x10\x0a\x06CREATE\x12\x06\x0a\x01g\x1a\x01r";
    assert!(body.windows(rule.len()).any(|window| window == rule), "{}", body.escape_ascii());
}

#[test]
fn lengths_of_every_size_are_written() {
    for length in [0_usize, 1, 126, 127, 128, 16_383, 16_384, 2_100_000] {
        let object = json!({ "apiVersion": "v1", "kind": "ConfigMap", "data": { "k": "x".repeat(length) } });
        assert_eq!(decode(&encode_value(&object).unwrap()).unwrap(), object, "{length}");
    }
}

#[test]
fn zeros_are_dropped_where_go_drops_them() {
    // Deployment.spec {1 replicas (pointer), 5 minReadySeconds, 7 paused}; all zero on the wire.
    let raw = b"\x12\x06\x08\x00\x28\x00\x38\x00";
    let body = [b"k8s\0\x0a\x15\x0a\x07apps/v1\x12\x0aDeployment\x12\x08".as_slice(), raw].concat();
    let expected = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "spec": { "replicas": 0 } });
    assert_eq!(decode(&body).unwrap(), expected);
}

fn configmap(raw: &[u8]) -> Vec<u8> {
    let mut body = b"k8s\0\x0a\x0f\x0a\x02v1\x12\x09ConfigMap\x12".to_vec();
    body.push(raw.len() as u8);
    body.extend(raw);
    body
}

#[test]
fn malformed_bodies_are_refused_with_their_place() {
    let cases: &[(&[u8], usize, Problem)] = &[
        (b"\x0a\x05\x0a", 25, Problem::Truncated),
        (b"\x0a", 24, Problem::Truncated),
        (b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x02", 23, Problem::Varint),
        (b"\x00\x00", 23, Problem::FieldNumber),
        (b"\x08\x01", 24, Problem::WireType),
        (b"\x0f", 24, Problem::WireType),
        (b"\x78\x01\x7c", 26, Problem::WireType),
        (b"\x7b", 24, Problem::Truncated),
        (b"\x0a\x04\x0a\x02a\xff", 28, Problem::Utf8),
        (b"\x12\x05\x0a\x01\xff\x12\x00", 27, Problem::Utf8),
        (b"\x0a\x09\x42\x07\x08\x00\x10\xff\xff\xff\xff", 30, Problem::Truncated),
        (b"\x0a\x04\x42\x02\x10\x81", 28, Problem::Truncated),
        (b"\x0a\x0f\x42\x0d\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x08\x01", 40, Problem::Time),
    ];
    for (raw, offset, problem) in cases {
        match decode(&configmap(raw)) {
            Err(Error::Wire { offset: at, problem: what }) => {
                assert_eq!((at, what), (*offset, *problem), "{}", raw.escape_ascii());
            }
            other => panic!("{}: {other:?}", raw.escape_ascii()),
        }
    }
    assert!(matches!(decode(b"{}"), Err(Error::Prefix)));
    assert!(matches!(decode(b"k8s\0"), Err(Error::MissingKind)));
    assert!(matches!(decode(b"k8s\0\x1a\x04gzip"), Err(Error::ContentEncoding(_))));
}

#[test]
fn unknown_fields_are_passed_over() {
    // Field 15 as varint, as fixed64, as bytes, as a group, as fixed32.
    let raw = b"\x78\x05\x79\x01\x02\x03\x04\x05\x06\x07\x08\x7a\x02ab\x7b\x08\x01\x7c\x7d\x01\x02\x03\x04\x20\x01";
    let expected = json!({ "apiVersion": "v1", "kind": "ConfigMap", "immutable": true });
    assert_eq!(decode(&configmap(raw)).unwrap(), expected);
}

#[test]
fn json_that_does_not_fit_names_its_field() {
    let cases = [
        (
            r#"{"spec":{"containers":[{},{"image":1}]}}"#,
            "spec.containers[1].image: invalid type: integer `1`, expected a string",
        ),
        (
            r#"{"metadata":{"labels":{"a":true}}}"#,
            "metadata.labels[a]: invalid type: boolean `true`, expected a string",
        ),
        (
            r#"{"spec":{"priority":3000000000}}"#,
            "spec.priority: invalid value: integer `3000000000`, expected an integer of 32 bits",
        ),
        (
            r#"{"spec":{"priority":1.5}}"#,
            "spec.priority: invalid type: floating point `1.5`, expected an integer of 32 bits",
        ),
        (r#"{"spec":[]}"#, "spec: invalid type: sequence, expected an object"),
        (r#"{"spec":{"containers":{}}}"#, "spec.containers: invalid type: map, expected an array"),
        (
            r#"{"metadata":{"creationTimestamp":"now"}}"#,
            "metadata.creationTimestamp: invalid value: string \"now\", expected a time of RFC 3339",
        ),
        (r#"{"spec":{"activeDeadlineSeconds":18446744073709551615}}"#, "expected an integer of 64 bits"),
        (r#"{"spec":{"#, "EOF"),
        (r#"{} x"#, "trailing characters"),
    ];
    for (rest, expected) in cases {
        let text = format!(r#"{{"apiVersion":"v1","kind":"Pod",{}"#, &rest[1..]).replace(",}", "}");
        let error = encode(text.as_bytes()).unwrap_err();
        let message = error.to_string();
        assert!(matches!(error, Error::Json { .. }) && message.contains(expected), "{text}: {message}");
        assert!(message.contains("at line 1 column"), "{message}");
    }
}

#[test]
fn kinds_without_a_form_are_told_apart() {
    assert!(has_kind("v1", "Pod") && has_kind("apps/v1", "DeleteOptions") && has_kind("v1", "List"));
    assert!(has_kind("apiregistration.k8s.io/v1", "APIService") && has_kind("meta.k8s.io/v1", "PartialObjectMetadata"));
    assert!(
        !has_kind("meta.k8s.io/v1", "Table")
            && !has_kind("example.com/v1", "Pod")
            && !has_kind("apps/v1beta1", "Deployment")
    );
    assert!(matches!(encode(br#"{"kind":"Pod"}"#), Err(Error::MissingKind)));
    assert!(matches!(encode(br#"{"kind":"","apiVersion":"v1"}"#), Err(Error::MissingKind)));
    assert!(matches!(encode(br#"{"kind":"Table","apiVersion":"meta.k8s.io/v1"}"#), Err(Error::UnknownKind { .. })));
    assert!(matches!(encode(b"{"), Err(Error::Json { .. })));
    assert!(matches!(encode(b"[]"), Err(Error::Json { .. })));
}

#[test]
fn kind_may_come_last_and_escaped() {
    let late = br#"{"metadata":{"name":"x"},"kin\u0064":"Config\u004dap","apiVersion":"v1"}"#;
    let early = br#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"x"}}"#;
    assert_eq!(encode(late).unwrap(), encode(early).unwrap());
}

/// A schema nested `levels` deep, as JSON.
fn nested_schema(levels: usize) -> Value {
    let mut schema = json!({ "type": "string" });
    for _ in 0..levels {
        schema = json!({ "not": schema });
    }
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "spec": { "versions": [{ "schema": { "openAPIV3Schema": schema } }] },
    })
}

#[test]
fn nesting_is_bounded_both_ways() {
    // The object, spec, versions, its element, schema and openAPIV3Schema are six.
    let deepest = nested_schema(MAX_DEPTH - 6);
    let body = encode_value(&deepest).unwrap();
    assert_eq!(decode(&body).unwrap(), deepest);
    assert_eq!(serde_json::from_str::<Value>(&deepest.to_string()).unwrap(), deepest);
    assert!(encode_value(&nested_schema(MAX_DEPTH - 5)).is_err());

    // JSON inside counts from where it stands: one level more than fits, assembled from a body that fits.
    let envelope = |object: &[u8]| {
        let mut body = b"k8s\0\x0a\x0a\x0a\x02v1\x12\x04List\x12".to_vec();
        super::wire::put_varint(&mut body, object.len() as u64);
        body.extend(object);
        body
    };
    let mut body = b"k8s\0".to_vec();
    for level in 0..MAX_DEPTH {
        let mut raw = Vec::new();
        super::wire::put_bytes(&mut raw, 1, &body);
        let mut list = Vec::new();
        super::wire::put_bytes(&mut list, 2, &raw);
        body = envelope(if level == 0 { b"" } else { &list });
    }
    assert!(matches!(decode(&body), Err(Error::Wire { problem: Problem::Depth, .. })));
}

#[test]
fn watch_frames_are_upstreams() {
    let object =
        br#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x","namespace":"default"},"data":{"a":"b"}}"#;
    let frame = encode_watch_event("ADDED", object).unwrap();
    let (event, rest) = split_frame(&frame).unwrap();
    assert_eq!((event.len() + 4, rest), (frame.len(), &b""[..]));
    assert!(split_frame(&frame[..frame.len() - 1]).is_none() && split_frame(b"\0\0\0").is_none());
    let (kind, decoded) = decode_watch_event(event).unwrap();
    assert_eq!((kind.as_str(), decoded), ("ADDED", serde_json::from_slice(object).unwrap()));

    // Written by upstream's raw serializer, of the first golden ConfigMap.
    let upstream = "CgVBRERFRBJXClVrOHMACg8KAnYxEglDb25maWdNYXASOgoYCgF4EgAaB2RlZmF1bHQiACoAMgA4AEIAEgYKAWESAWISCQoF\
                    ZW1wdHkSABoLCgNiaW4SBAABAv8aACIA";
    let (kind, decoded) = decode_watch_event(&BASE64.decode(upstream).unwrap()).unwrap();
    assert_eq!((kind.as_str(), decoded), ("ADDED", golden()[0].0.clone()));
    assert!(decode_watch_event(b"\x0a\x01x").is_err());
}

#[test]
fn no_name_of_an_embedded_struct_hides_another() {
    fn names(message: &Message, all: &mut Vec<&'static str>) {
        for field in message.fields() {
            match field.kind() {
                Type::Message(place) if field.inline() => names(super::table::message(place), all),
                _ => all.push(field.name()),
            }
        }
    }
    for message in &MESSAGES {
        let mut all = Vec::new();
        names(message, &mut all);
        all.sort_unstable();
        assert!(all.windows(2).all(|pair| pair[0] != pair[1]), "{all:?}");
    }
}

/// Bytes to draw from; when they run out, every draw is 0, which ends what is being made.
struct Choices<'a> {
    bytes: &'a [u8],
    fields: usize,
}

impl Choices<'_> {
    fn next(&mut self) -> u8 {
        let Some((&first, rest)) = self.bytes.split_first() else { return 0 };
        self.bytes = rest;
        first
    }

    fn coin(&mut self) -> bool {
        self.next() & 1 == 0
    }

    fn number(&mut self) -> i64 {
        let magnitude = (0..1 + self.next() % 8).fold(0_i64, |number, _| number << 8 | i64::from(self.next()));
        if self.coin() { magnitude } else { !magnitude }
    }

    fn text(&mut self) -> String {
        const ALPHABET: [char; 8] = ['a', 'Z', '0', '"', '\\', 'ä', '\u{1f600}', '\u{1}'];
        (0..self.next() % 6).map(|_| ALPHABET[usize::from(self.next() % 8)]).collect()
    }
}

/// An object that the wire keeps: every field the choices take, without what is dropped.
fn object(message: &Message, choices: &mut Choices<'_>, depth: usize) -> Map<String, Value> {
    let mut map = Map::new();
    for field in message.fields() {
        if choices.next() < 170 || choices.fields == 0 {
            continue;
        }
        choices.fields -= 1;
        match field.kind() {
            Type::Message(place) if field.inline() => map.extend(object(super::table::message(place), choices, depth)),
            _ => drop(value(field, choices, depth).map(|value| map.insert(field.name().to_owned(), value))),
        }
    }
    map
}

fn value(field: &Field, choices: &mut Choices<'_>, depth: usize) -> Option<Value> {
    if depth > 12 {
        return None;
    }
    let count = 1 + choices.next() % 3;
    match field.label {
        Label::Singular => {
            let made = single(field.kind(), choices, depth).filter(|value| !value.is_null())?;
            let zero = ["", "0", "0.0", "false"].map(|text| serde_json::from_str::<Value>(text).unwrap_or(json!("")));
            (!field.drop_zero() || !zero.contains(&made)).then_some(made)
        }
        Label::Repeated => Some(
            (0..count).map(|_| single(field.kind(), choices, depth + 1)).collect::<Option<_>>().map(Value::Array)?,
        ),
        Label::Map => {
            let entries = (0..count).map(|_| Some((choices.text(), single(field.kind(), choices, depth + 1)?)));
            Some(Value::Object(entries.collect::<Option<_>>()?))
        }
    }
}

fn single(kind: Type, choices: &mut Choices<'_>, depth: usize) -> Option<Value> {
    Some(match kind {
        Type::String => Value::from(choices.text()),
        Type::Bool => Value::from(choices.coin()),
        Type::Int32 => Value::from(choices.number() as i32),
        Type::Int64 => Value::from(choices.number()),
        Type::Double => match choices.number() as i16 {
            whole if whole % 2 == 0 => Value::from(whole),
            odd => Value::from(f64::from(odd) / 8.0),
        },
        Type::Bytes => Value::from(BASE64.encode(choices.text())),
        Type::Message(place) => shaped(message(place), choices, depth)?,
    })
}

fn shaped(message: &Message, choices: &mut Choices<'_>, depth: usize) -> Option<Value> {
    if depth > 12 {
        return None;
    }
    let seconds = choices.number().rem_euclid(253_402_300_800);
    Some(match message.shape {
        Shape::Object => Value::Object(object(message, choices, depth + 1)),
        Shape::List => Value::from((0..choices.next() % 3).map(|_| choices.text()).collect::<Vec<_>>()),
        Shape::Quantity => Value::from(format!("{}m", choices.number())),
        Shape::IntOrString if choices.coin() => Value::from(choices.number() as i32),
        Shape::IntOrString => Value::from(choices.text()),
        Shape::Time => Value::from(super::timestamp::format(seconds, 0, false)??),
        Shape::MicroTime => Value::from(super::timestamp::format(seconds, 123_456_000, true)??),
        Shape::RawJson | Shape::RawExtension => json!({ choices.text(): [choices.number(), null, choices.text()] }),
        Shape::SchemaOrBool if choices.coin() => Value::from(choices.coin()),
        shape => {
            let list = message.fields().iter().find(|field| field.label == Label::Repeated);
            let schema = message.fields().iter().find(|field| matches!(field.kind(), Type::Message(_)))?;
            match list.filter(|_| shape != Shape::SchemaOrBool && choices.coin()) {
                Some(list) => value(list, choices, depth)?,
                None => single(schema.kind(), choices, depth)?,
            }
        }
    })
}

/// How many kinds the table has.
pub(crate) fn kinds() -> usize {
    KINDS.len()
}

/// An object of the kind at this place in the table (modulo its length), and its body.
pub(crate) fn arbitrary(place: usize, bytes: &[u8]) -> (Value, Vec<u8>) {
    let kind = &KINDS[place % KINDS.len()];
    let mut made = object(message(kind.message), &mut Choices { bytes, fields: 2000 }, 1);
    made.insert("apiVersion".to_owned(), Value::from(kind.api_version));
    made.insert("kind".to_owned(), Value::from(kind.kind));
    let made = Value::Object(made);
    let body = encode_value(&made).unwrap_or_else(|error| panic!("{error}: {made}"));
    (made, body)
}

#[test]
fn every_kind_with_many_fields_survives_the_wire() {
    let mut random = 1_u64;
    for place in 0..KINDS.len() {
        for chance in [60, 200] {
            let bytes: Vec<u8> = (0..20_000)
                .map(|_| {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    let byte = (random >> 56) as u8;
                    if byte < chance { byte | 0xc0 } else { byte }
                })
                .collect();
            let (made, body) = arbitrary(place, &bytes);
            assert_eq!(decode(&body).unwrap(), made);
            assert_eq!(encode(made.to_string().as_bytes()).unwrap(), body);
        }
    }
}

proptest! {
    #[test]
    fn objects_survive_the_wire(place: usize, bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let (made, body) = arbitrary(place, &bytes);
        prop_assert_eq!(&decode(&body).unwrap(), &made);
        prop_assert_eq!(encode(made.to_string().as_bytes()).unwrap(), body);
    }

    #[test]
    fn damaged_bodies_never_panic(
        place: usize,
        bytes in prop::collection::vec(any::<u8>(), 0..600),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut: prop::sample::Index,
    ) {
        let (_, mut body) = arbitrary(place, &bytes);
        for (at, byte) in damage {
            let at = at.index(body.len());
            body[at] = byte;
        }
        let cut = 4 + cut.index(body.len() - 3);
        for body in [&body[..], &body[..cut]] {
            if let Ok(object) = decode(body) {
                prop_assert!(serde_json::from_str::<Value>(&object.to_string()).is_ok());
            }
        }
    }

    #[test]
    fn arbitrary_messages_never_panic(place: usize, raw in prop::collection::vec(any::<u8>(), 0..200)) {
        let kind = &KINDS[place % KINDS.len()];
        let head = json!({ "apiVersion": kind.api_version, "kind": kind.kind });
        let mut body = encode_value(&head).unwrap();
        body.truncate(body.len() - 6);
        super::wire::put_bytes(&mut body, 2, &raw);
        let _ = decode(&body);
        let _ = decode(&raw);
        let _ = decode_watch_event(&raw);
        let _ = encode(&raw);
    }
}
