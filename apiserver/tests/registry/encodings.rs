//! The same object in every encoding.

use serde_json::Value;

use crate::harness::{Ask, PROTOBUF, Server, Subject};

#[tokio::test]
async fn protobuf_keeps_every_object() {
    for subject in Subject::all() {
        let title = subject.title();
        let (server, created) = Server::with(&subject).await;
        let encoded = api::protobuf::encode_value(&created).unwrap_or_else(|error| panic!("{title}: {error}"));
        let decoded = api::protobuf::decode(&encoded).unwrap_or_else(|error| panic!("{title}: {error}"));
        let kind = &subject.resource.kind;
        let typed = |value: Value| kind.decode(value).unwrap_or_else(|error| panic!("{title}: {error}"));
        let text = |value| String::from_utf8(typed(value).to_json().unwrap()).unwrap();
        assert_eq!(text(decoded), text(created.clone()), "{title}");

        let json = server.ask(Ask::get(&subject.path())).await.unwrap();
        let answer = server.ask(Ask::get(&subject.path()).accept(PROTOBUF)).await.unwrap();
        assert_eq!(answer.bytes, api::protobuf::encode(&json.bytes).unwrap(), "{title}");
    }
}

#[tokio::test]
async fn protobuf_creates_what_json_creates() {
    for subject in Subject::all() {
        let title = subject.title();
        let (_, created) = Server::with(&subject).await;
        let body = api::protobuf::encode_value(&subject.example).unwrap_or_else(|error| panic!("{title}: {error}"));
        let server = Server::ready_for(&subject).await;
        let ask = Ask { media_type: PROTOBUF, body, ..Ask::post(&subject.collection, &Value::Null) };
        assert_eq!(server.json(ask).await, created, "{title}");
    }
}
