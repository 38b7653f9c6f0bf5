//! What was created is what every read shows, in every form.

use futures::StreamExt;
use serde_json::{Value, json};

use crate::harness::{Ask, PARTIAL, Server, Subject, TABLE};

/// An item of a list leaves out what the list says.
fn as_item(object: &Value) -> Value {
    let mut item = object.clone();
    let fields = item.as_object_mut().unwrap();
    fields.remove("kind");
    fields.remove("apiVersion");
    item
}

#[tokio::test]
async fn get_list_and_watch_show_what_was_created() {
    for subject in Subject::all() {
        let title = subject.title();
        let (server, created) = Server::with(&subject).await;
        assert_eq!(server.json(Ask::get(&subject.path())).await, created, "{title}");

        let selector = format!("fieldSelector=metadata.name%3D{}", subject.name);
        let list = server.json(Ask::get(&subject.collection).query(&selector)).await;
        assert_eq!(list["kind"], format!("{}List", subject.names().kind), "{title}");
        assert_eq!(list["apiVersion"], *subject.names().api_version(), "{title}");
        assert_eq!(list["items"], json!([as_item(&created)]), "{title}");
        assert_eq!(list["metadata"]["resourceVersion"], server.revision().to_string(), "{title}");
        let whole = server.json(Ask::get(&subject.collection)).await;
        assert!(whole["items"].as_array().unwrap().contains(&as_item(&created)), "{title}");

        let frame = server.watch(&subject.collection, &selector).await.next().await.unwrap();
        let event: Value = serde_json::from_slice(&frame).unwrap();
        assert_eq!(event, json!({"type": "ADDED", "object": created}), "{title}");
    }
}

#[tokio::test]
async fn a_watch_tells_of_changes_in_order() {
    for subject in Subject::all() {
        let (title, server) = (subject.title(), Server::ready_for(&subject).await);
        let from = format!("resourceVersion={}", server.revision());
        let mut frames = server.watch(&subject.collection, &from).await;
        let created = server.json(Ask::post(&subject.collection, &subject.example)).await;
        let labels = json!({"metadata": {"labels": {"example.com/changed": "yes"}}});
        let changed = server.json(Ask::patch(&subject.path(), &labels)).await;
        assert_ne!(created["metadata"]["resourceVersion"], changed["metadata"]["resourceVersion"], "{title}");
        let mut seen = Vec::new();
        while seen.len() < 2 {
            let batch = frames.next().await.unwrap();
            let lines = batch.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            seen.extend(lines.map(|line| serde_json::from_slice::<Value>(line).unwrap()));
        }
        let expected = [json!({"type": "ADDED", "object": created}), json!({"type": "MODIFIED", "object": changed})];
        assert_eq!(seen, expected, "{title}");
    }
}

#[tokio::test]
async fn a_table_has_a_cell_for_each_column() {
    for subject in Subject::all() {
        let title = subject.title();
        let (server, created) = Server::with(&subject).await;
        let selector = format!("fieldSelector=metadata.name%3D{}", subject.name);
        for (path, query) in [(subject.path(), ""), (subject.collection.clone(), selector.as_str())] {
            let table = server.json(Ask::get(&path).query(query).accept(TABLE)).await;
            assert_eq!((&table["kind"], &table["apiVersion"]), (&json!("Table"), &json!("meta.k8s.io/v1")), "{title}");
            let columns = table["columnDefinitions"].as_array().unwrap();
            let [row] = &table["rows"].as_array().unwrap()[..] else { panic!("{title}: one row: {table}") };
            let cells = row["cells"].as_array().unwrap();
            assert_eq!(cells.len(), columns.len(), "{title}: {table}");
            for (cell, column) in cells.iter().zip(columns) {
                check_cell(&title, cell, column);
                // Others may have the format of names, too: an attachment has a column for what attaches.
                if column["name"] == "Name" {
                    assert_eq!(cell, subject.name.as_str(), "{title}");
                    // Upstream forgot the format in one table.
                    let format = if title.ends_with(".storagemigration.k8s.io") { "" } else { "name" };
                    assert_eq!(column["format"], format, "{title}");
                }
            }
            assert!(columns.iter().any(|column| column["name"] == "Name"), "{title}: a column with the name");
            assert_eq!(row["object"]["kind"], "PartialObjectMetadata", "{title}");
            assert_eq!(row["object"]["metadata"], created["metadata"], "{title}");
        }
    }
}

fn check_cell(title: &str, cell: &Value, column: &Value) {
    let fits = match column["type"].as_str().unwrap() {
        "integer" => cell.is_i64() || cell.is_u64(),
        "number" => cell.is_number(),
        // Upstream writes some truths out.
        "boolean" => cell.is_boolean() || cell == "True" || cell == "False",
        "date" => cell.is_string(),
        // Upstream has numbers and truths in some columns that it calls strings.
        "string" => cell.is_string() || cell.is_i64() || cell.is_boolean(),
        other => panic!("{title}: {other} is no type of a column"),
    };
    assert!(fits, "{title}: {cell} in {column}");
}

#[tokio::test]
async fn metadata_can_be_had_alone() {
    for subject in Subject::all() {
        let title = subject.title();
        let (server, created) = Server::with(&subject).await;
        let expected =
            json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": created["metadata"]});
        assert_eq!(server.json(Ask::get(&subject.path()).accept(PARTIAL)).await, expected, "{title}");
    }
}

#[tokio::test]
async fn a_watch_that_is_behind_is_told_everything_in_bounded_frames() {
    const MANY: usize = 120;
    const COLLECTION: &str = "/api/v1/namespaces/default/configmaps";
    let server = Server::start().await;
    let from = format!("resourceVersion={}", server.revision());
    let mut all = server.watch(COLLECTION, &from).await;
    let mut late = server.watch(COLLECTION, &format!("{from}&labelSelector=late")).await;
    for number in 0..MANY {
        let labels = if number < MANY / 2 { json!({}) } else { json!({"late": "yes"}) };
        let meta = json!({"name": format!("c-{number}"), "labels": labels});
        server.json(Ask::post(COLLECTION, &json!({"metadata": meta, "data": {"text": "x".repeat(1000)}}))).await;
    }
    for (frames, first) in [(&mut all, 0), (&mut late, MANY / 2)] {
        let (mut seen, mut count) = (Vec::new(), 0);
        while seen.len() < MANY - first {
            let batch = frames.next().await.unwrap();
            assert!((1..20_000).contains(&batch.len()), "{} bytes", batch.len());
            count += 1;
            for line in batch.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                let event: Value = serde_json::from_slice(line).unwrap();
                assert_eq!(event["type"], "ADDED");
                seen.push(event["object"]["metadata"]["name"].as_str().unwrap().to_owned());
            }
        }
        assert_eq!(seen, (first..MANY).map(|number| format!("c-{number}")).collect::<Vec<_>>());
        assert!(count < (MANY - first) / 4, "{count} frames");
    }
}

#[tokio::test]
async fn who_asks_for_what_is_deprecated_is_noted() {
    let server = Server::start().await;
    let check = async |path: &str, is_deprecated: bool| {
        let noted = server.noted(Ask::get(path)).await;
        assert_eq!(noted.get("k8s.io/deprecated").map(String::as_str), is_deprecated.then_some("true"), "{path}");
    };
    check("/api/v1/namespaces/default/endpoints", true).await;
    check("/api/v1/namespaces/default/endpoints/none", true).await;
    check("/api/v1/componentstatuses", true).await;
    check("/api/v1/namespaces/default/pods", false).await;
    check("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", false).await;
}
