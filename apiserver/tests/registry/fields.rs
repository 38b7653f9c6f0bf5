//! Field selectors: every selectable field answers, and no other.

use apiserver::strategy::SelectableField;
use futures::StreamExt;
use serde_json::Value;

use crate::harness::{Ask, Server, Subject};

/// `field=value` or the like, as a query with a field selector.
fn query(field: &str, operator: &str, value: &str) -> String {
    let escaped = value.replace('\\', r"\\").replace(',', r"\,").replace('=', r"\=");
    let selector = format!("{field}{operator}{escaped}");
    form_urlencoded::Serializer::new(String::new()).append_pair("fieldSelector", &selector).finish()
}

/// What the stored object says at a path.
fn at(object: &Value, path: &str) -> Option<String> {
    match path.split('.').try_fold(object, |value, name| value.get(name))? {
        Value::String(text) => Some(text.clone()),
        Value::Null => None,
        other => Some(other.to_string()),
    }
}

fn expected(object: &Value, field: &SelectableField) -> String {
    let own = at(object, field.path);
    let value = match field.or_path {
        Some(path) => own.filter(|text| !text.is_empty()).or_else(|| at(object, path)),
        None => own,
    };
    value.unwrap_or_else(|| field.absent.to_owned())
}

#[tokio::test]
async fn every_selectable_field_answers() {
    for subject in Subject::all() {
        let title = subject.title();
        let (server, created) = Server::with(&subject).await;
        let stored = server.stored(&subject).await;
        let object: Value = serde_json::from_slice(stored.entry.bytes()).unwrap();
        for field in subject.resource.kind.selectable_fields() {
            let (name, value) = (field.name, expected(&object, field));
            assert_eq!(stored.entry.field(field.path), Some(&*value), "{title}: {name}");
            let names = async |query: &str| {
                let list = server.json(Ask::get(&subject.collection).query(query)).await;
                let items = list["items"].as_array().unwrap().clone();
                items.iter().map(|item| item["metadata"]["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
            };
            let is = names(&query(name, "=", &value)).await;
            assert!(is.contains(&subject.name), "{title}: {name}={value}: {is:?}");
            let is_not = names(&query(name, "!=", &value)).await;
            assert!(!is_not.contains(&subject.name), "{title}: {name}!={value}: {is_not:?}");
            let other = names(&query(name, "=", "something.else")).await;
            assert!(!other.contains(&subject.name), "{title}: {name}=something.else: {other:?}");

            // A watch is found by the same value, by index where there is one.
            let from = format!("resourceVersion={}&{}", stored.revision.0 - 1, query(name, "=", &value));
            let frame = server.watch(&subject.collection, &from).await.next().await.unwrap();
            let event: Value = serde_json::from_slice(&frame).unwrap();
            assert_eq!(event["object"], created, "{title}: {name}");
        }
    }
}

#[tokio::test]
async fn other_fields_are_refused() {
    for subject in Subject::all() {
        let (title, server) = (subject.title(), Server::ready_for(&subject).await);
        for verb in ["", "watch=1&"] {
            let query = format!("{verb}{}", query("spec.unheardOf", "=", "x"));
            let refusal = server.refusal(Ask::get(&subject.collection).query(&query)).await;
            assert_eq!((refusal.code, refusal.reason.as_str()), (400, "BadRequest"), "{title}");
            assert!(refusal.message.contains("spec.unheardOf"), "{title}: {}", refusal.message);
        }
        let query = query("spec.unheardOf", "=", "x");
        assert_eq!(server.refusal(Ask::delete(&subject.collection).query(&query)).await.code, 400, "{title}");
    }
}
