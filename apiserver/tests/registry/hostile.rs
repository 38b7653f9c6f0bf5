//! Bodies that no client would send: examples with a part replaced, and examples with bytes replaced, in every encoding.
//!
//! Nothing panics, nothing is the server's fault, nothing is changed, and what is accepted is accepted again as it was
//! answered. The fuzz targets in `fuzz/` ask the same of any bytes; this is what is tried at every build.

use api::status::Status;
use http::Method;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{TestCaseResult, TestRunner};
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

use crate::harness::{Ask, JSON, JSON_PATCH, MERGE, PROTOBUF, Reply, STRATEGIC, Server, Subject};

const YAML: &str = "application/yaml";
const DRY: &str = "dryRun=All";
const CASES: u32 = 64;

/// JSON that is seldom right where it stands.
fn odd() -> impl Strategy<Value = Value> {
    let texts =
        select(vec!["", "a", "-1", "100%", "1e3Gi", "2026-03-01T10:00:00Z", "::1", "A_b/c", "$patch", "\u{0}é"]);
    let numbers = select(vec![0, -1, 1, 65_536, i64::from(i32::MAX) + 1, i64::MIN, i64::MAX]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        numbers.prop_map(Value::from),
        Just(json!(1.5e300)),
        texts.prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 8, 3, |inner| {
        let name = select(vec!["name", "$patch", "type", "ports", "key", "metadata"]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::vec((name, inner), 0..3).prop_map(|fields| fields.into_iter().collect()),
        ]
    })
}

/// Every pointer into `value` but the one to the whole.
fn pointers(value: &Value, at: &str, found: &mut Vec<String>) {
    let mut visit = |name: &str, value: &Value| {
        let pointer = format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
        pointers(value, &pointer, found);
        found.push(pointer);
    };
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| visit(name, value)),
        Value::Array(list) => list.iter().enumerate().for_each(|(at, value)| visit(&at.to_string(), value)),
        _ => {}
    }
}

/// A server with the example of `subject`, and what runs it.
fn server(subject: &Subject) -> (Runtime, Server, Value) {
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    let (server, created) = runtime.block_on(Server::with(subject));
    (runtime, server, created)
}

/// Runs `test` on `cases` of what `input` makes.
fn property<S: Strategy>(title: &str, input: S, test: impl Fn(S::Value) -> TestCaseResult) {
    let mut runner = TestRunner::new(ProptestConfig { cases: CASES, failure_persistence: None, ..Default::default() });
    runner.run(&input, test).unwrap_or_else(|failure| panic!("{title}: {failure}"));
}

fn not_our_fault(answer: &Result<Reply, Status>) -> TestCaseResult {
    if let Err(status) = answer {
        prop_assert!((400..500).contains(&status.code), "{}: {}", status.code, status.message);
    }
    Ok(())
}

/// Sends `body` as a new object, and what comes back again.
fn try_create(
    runtime: &Runtime,
    server: &Server,
    subject: &Subject,
    media_type: &'static str,
    body: Vec<u8>,
) -> TestCaseResult {
    let send = |media_type, body| {
        let ask = Ask { media_type, body, ..Ask::new(Method::POST, &subject.collection) };
        runtime.block_on(server.ask(ask.query(DRY)))
    };
    let answer = send(media_type, body);
    not_our_fault(&answer)?;
    let Ok(created) = answer else { return Ok(()) };
    let again = send(JSON, created.bytes.to_vec());
    let again = again.map_err(|status| TestCaseError::fail(format!("{}: {:?}", status.message, created.bytes)))?;
    prop_assert_eq!(&again.json()["spec"], &created.json()["spec"], "defaults that are set again");
    Ok(())
}

#[test]
fn an_odd_part_is_refused_or_taken_but_never_a_fault() {
    for subject in Subject::all() {
        let (runtime, server, _) = server(&subject);
        let mut example = subject.example.clone();
        // A name of its own, since the example is there already; and no address that it has.
        example["metadata"]["name"] = json!("another");
        let mut all = Vec::new();
        pointers(&example, "", &mut all);
        let revision = server.revision();
        let input = (any::<Index>(), odd(), select(vec![JSON, YAML, PROTOBUF]));
        property(&subject.title(), input, |(at, odd, media_type)| {
            let mut body = example.clone();
            *body.pointer_mut(&all[at.index(all.len())]).unwrap() = odd;
            let bytes = match media_type {
                PROTOBUF => match api::protobuf::encode_value(&body) {
                    Ok(bytes) => bytes,
                    // What has no protobuf form cannot be sent so.
                    Err(_) => return Ok(()),
                },
                // JSON is YAML too.
                _ => body.to_string().into(),
            };
            try_create(&runtime, &server, &subject, media_type, bytes)
        });
        assert_eq!(server.revision(), revision, "{}", subject.title());
    }
}

#[test]
fn odd_bytes_are_refused_or_taken_but_never_a_fault() {
    for subject in Subject::all() {
        let (runtime, server, _) = server(&subject);
        let encoded = |media_type| match media_type {
            PROTOBUF => api::protobuf::encode_value(&subject.example).unwrap(),
            YAML => serde_saphyr::to_string(&subject.example).unwrap().into(),
            _ => subject.example.to_string().into(),
        };
        let edits = prop::collection::vec((any::<Index>(), any::<u8>(), 0_usize..4), 1..4);
        property(&subject.title(), (edits, select(vec![JSON, YAML, PROTOBUF])), |(edits, media_type)| {
            let mut body: Vec<u8> = encoded(media_type);
            for (at, byte, removed) in edits {
                let at = at.index(body.len());
                let end = (at + removed).min(body.len());
                body.splice(at..end, [byte]);
            }
            try_create(&runtime, &server, &subject, media_type, body)
        });
    }
}

#[test]
fn odd_patches_are_refused_or_taken_but_never_a_fault() {
    for subject in Subject::all() {
        let (runtime, server, created) = server(&subject);
        let mut all = Vec::new();
        pointers(&created, "", &mut all);
        let path = subject.path();
        let operations = select(vec!["add", "remove", "replace", "move", "copy", "test"]);
        let input = (any::<Index>(), any::<Index>(), operations, odd(), select(vec![MERGE, STRATEGIC, JSON_PATCH]));
        property(&subject.title(), input, |(at, from, operation, odd, media_type)| {
            let at = at.get(&all);
            let body = match media_type {
                JSON_PATCH => json!([{"op": operation, "path": at, "from": from.get(&all), "value": odd}]),
                // The same place, reached through objects and lists of one.
                _ => at.rsplit('/').filter(|name| !name.is_empty()).fold(odd, |inner, name| match name.parse::<u8>() {
                    Ok(_) => json!([inner]),
                    Err(_) => json!({name.replace("~1", "/").replace("~0", "~"): inner}),
                }),
            };
            let ask = Ask { media_type, ..Ask::patch(&path, &body) };
            let answer = runtime.block_on(server.ask(ask.query(DRY)));
            match &answer {
                // Upstream calls what it does not expect of a strategic patch an internal error, and so do we.
                Err(status) if media_type == STRATEGIC && status.code == 500 => Ok(()),
                _ => not_our_fault(&answer),
            }
        });
        assert_eq!(runtime.block_on(server.json(Ask::get(&path))), created, "{}", subject.title());
    }
}
