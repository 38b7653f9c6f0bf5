//! Kinds that are not stored: answered when they are created, or computed when they are read.

use apiserver::request::Verb;
use http::Method;
use serde_json::{Value, json};

use crate::harness::{Ask, JSON, PROTOBUF, Reply, Server, Subject, TABLE};

const STRICT: &str = "fieldValidation=Strict&dryRun=All";

/// A server that has what the example of `subject` is about.
async fn server_for(subject: &Subject) -> Server {
    let server = Server::start().await;
    server.add_account("default").await;
    if subject.title() == "bindings" {
        let pod = json!({"metadata": {"name": subject.name}, "spec": {"containers": [{"name": "a", "image": "a"}]}});
        server.json(Ask::post("/api/v1/namespaces/default/pods", &pod)).await;
    }
    server
}

async fn send(subject: &Subject, query: &str, media_type: &'static str, body: Vec<u8>) -> Reply {
    let server = server_for(subject).await;
    let before = server.revision();
    let ask = Ask { media_type, body, ..Ask::new(Method::POST, &subject.collection) };
    let reply = server.ask(ask.query(query)).await;
    let reply = reply.unwrap_or_else(|status| panic!("{}: {}", subject.title(), status.message));
    assert_eq!(reply.code, 201, "{}", subject.title());
    if subject.title() != "bindings" || !query.is_empty() {
        assert_eq!(server.revision(), before, "{}: nothing is stored", subject.title());
    }
    reply
}

#[tokio::test]
async fn what_is_created_is_answered_whatever_its_encoding() {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let _bound = settings.bind_to_scope();
    for subject in Subject::unstored(Verb::Create) {
        let title = subject.title();
        let answered = send(&subject, "", JSON, subject.example.to_string().into()).await.json();
        insta::assert_snapshot!(title.as_str(), serde_saphyr::to_string(&answered).unwrap());
        let encoded = api::protobuf::encode_value(&subject.example).unwrap();
        let yaml = serde_saphyr::to_string(&subject.example).unwrap();
        for (media_type, body) in [(PROTOBUF, encoded), ("application/yaml", yaml.into())] {
            assert_eq!(send(&subject, STRICT, media_type, body).await.json(), answered, "{title}: {media_type}");
        }
    }
}

#[tokio::test]
async fn a_field_that_is_not_known_is_refused() {
    for subject in Subject::unstored(Verb::Create) {
        let (title, server) = (subject.title(), server_for(&subject).await);
        let mut body = subject.example.clone();
        body["unheardOf"] = json!(1);
        let refusal = server.refusal(Ask::post(&subject.collection, &body).query(STRICT)).await;
        assert_eq!(refusal.code, 400, "{title}");
        assert!(refusal.message.contains("unknown field \"unheardOf\""), "{title}: {}", refusal.message);
    }
}

#[tokio::test]
async fn there_is_nothing_to_read() {
    for subject in Subject::unstored(Verb::Create) {
        let (title, server) = (subject.title(), Server::start().await);
        let one = format!("{}/any", subject.collection);
        let check = async |ask: Ask<'_>, code: u16| {
            assert_eq!(server.refusal(ask).await.code, code, "{title}");
        };
        check(Ask::get(&subject.collection), 405).await;
        check(Ask::get(&subject.collection).query("watch=1"), 405).await;
        check(Ask::delete(&subject.collection), 405).await;
        check(Ask::get(&one), 404).await;
        check(Ask::put(&one, &subject.example), 404).await;
        check(Ask::patch(&one, &json!({})), 404).await;
        check(Ask::delete(&one), 404).await;
        check(Ask::get(&format!("{one}/status")), 404).await;
    }
}

#[tokio::test]
async fn what_is_computed_can_be_read_and_no_more() {
    for subject in Subject::unstored(Verb::Get) {
        let (title, server, path) = (subject.title(), Server::start().await, subject.path());
        let one = server.json(Ask::get(&path)).await;
        assert_eq!(one, subject.example, "{title}: the example is what is answered");
        let list = server.json(Ask::get(&subject.collection)).await;
        assert_eq!((&list["kind"], &list["metadata"]), (&json!("ComponentStatusList"), &json!({})), "{title}");
        let names = |list: &Value| {
            let items = list["items"].as_array().unwrap();
            items.iter().map(|item| item["metadata"]["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(names(&list), ["controller-manager", "scheduler", "etcd-0"], "{title}");
        let selected = format!("fieldSelector=metadata.name%3D{}", subject.name);
        assert_eq!(names(&server.json(Ask::get(&subject.collection).query(&selected)).await), [&*subject.name]);
        let labelled = server.json(Ask::get(&subject.collection).query("labelSelector=a%3Db")).await;
        assert_eq!(names(&labelled), [""; 0]);
        let table = server.json(Ask::get(&path).accept(TABLE)).await;
        assert_eq!(table["rows"][0]["cells"], json!(["etcd-0", "Healthy", "ok", ""]), "{title}");

        let missing = server.refusal(Ask::get(&format!("{}/any", subject.collection))).await;
        assert_eq!((missing.code, missing.message.as_str()), (500, "Component not found: any"), "{title}");
        for ask in [
            Ask::post(&subject.collection, &subject.example),
            Ask::get(&subject.collection).query("watch=1"),
            Ask::put(&path, &subject.example),
            Ask::delete(&path),
        ] {
            assert_eq!(server.refusal(ask).await.code, 405, "{title}");
        }
    }
}
