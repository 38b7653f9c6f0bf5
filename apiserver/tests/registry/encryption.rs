//! Secrets that are encrypted where they are stored: what clients see of it, which is nothing until a key is missing.

use std::path::Path;
use std::sync::Arc;

use apiserver::encryption::{Encryption, State, load};
use futures::StreamExt;
use http::Method;
use serde_json::{Value, json};
use store::{Embedded, EmbeddedOptions};
use tempfile::TempDir;

use crate::harness::{Ask, Server};

const SECRETS: &str = "/api/v1/namespaces/default/secrets";
const SECRET: &str = "/api/v1/namespaces/default/secrets/a";
const OPTION: &str = "ignoreStoreReadErrorWithClusterBreakingPotential=true";

/// One after the other, servers on one store.
struct Place(TempDir);

impl Place {
    fn new() -> Place {
        Place(tempfile::tempdir().unwrap())
    }

    /// A server by these keys, the first of which writes; or, if that is `plain`, nothing is encrypted that is written.
    async fn open(&self, keys: &[&str]) -> Server {
        self.open_for("secrets", keys).await.0
    }

    /// The same, for these resources.
    async fn open_for(&self, resources: &str, keys: &[&str]) -> (Server, Encryption) {
        let secret = |name: &&str| format!("{}AAAAAAAAAAAAAAAAAAAAA=", &format!("{name:0>22}")[..22]);
        let is_plain = keys.first() == Some(&"plain");
        let keys: Vec<Value> = keys
            .iter()
            .filter(|name| **name != "plain")
            .map(|name| json!({"name": name, "secret": secret(name)}))
            .collect();
        let identity = json!({"identity": {}});
        let aesgcm = (!keys.is_empty()).then(|| json!({"aesgcm": {"keys": keys}}));
        let mut providers: Vec<Value> = aesgcm.into_iter().collect();
        providers.insert(if is_plain { 0 } else { providers.len() }, identity);
        let text = json!({
            "apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration",
            "resources": [{"resources": [resources], "providers": providers}],
        });
        let path = self.0.path().join("encryption.json");
        std::fs::write(&path, text.to_string()).unwrap();
        let rules = load(&path).unwrap().rules;
        let backend = Embedded::open(self.0.path(), EmbeddedOptions::default()).unwrap();
        let encryption = Encryption::new(Arc::new(rules), None);
        (Server::over(Arc::new(backend), encryption.clone()).await, encryption)
    }

    /// Whether a file of the store has these bytes.
    fn holds(&self, bytes: &[u8]) -> bool {
        holds(self.0.path(), bytes)
    }
}

fn holds(directory: &Path, bytes: &[u8]) -> bool {
    std::fs::read_dir(directory).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        std::fs::read(path).unwrap().windows(bytes.len()).any(|window| window == bytes)
    })
}

fn secret(name: &str, value: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {"password": value}})
}

/// The base64 of `of nobody's business`.
const VALUE: &str = "b2Ygbm9ib2R5J3MgYnVzaW5lc3M=";

#[tokio::test]
async fn a_store_has_no_plain_secret() {
    let place = Place::new();
    let server = place.open(&["one"]).await;
    let created = server.json(Ask::post(SECRETS, &secret("a", "of nobody's business"))).await;
    assert_eq!(created["data"]["password"], VALUE);
    let map =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"k": "for everybody"}});
    server.json(Ask::post("/api/v1/namespaces/default/configmaps", &map)).await;
    assert_eq!(server.json(Ask::get(SECRET)).await, created);
    assert_eq!(server.json(Ask::get(SECRETS)).await["items"][0]["data"]["password"], VALUE);
    assert_eq!(
        server.json(Ask::get(SECRETS).query("limit=1&labelSelector=!x")).await["items"][0]["data"],
        created["data"]
    );
    server.json(Ask::patch(SECRET, &json!({"metadata": {"labels": {"patched": "yes"}}}))).await;
    server.close().await;
    assert!(place.holds(b"for everybody") && place.holds(b"k8s:enc:aesgcm:v1:one:"));
    assert!(!place.holds(VALUE.as_bytes()) && !place.holds(b"patched"));

    let server = place.open(&["one"]).await;
    assert_eq!(server.json(Ask::get(SECRET)).await["data"], created["data"]);
    server.close().await;
}

#[tokio::test]
async fn an_update_that_changes_nothing_is_written_if_the_value_is_stale() {
    let place = Place::new();
    let server = place.open(&["plain"]).await;
    let mut last = server.json(Ask::post(SECRETS, &secret("a", "of nobody's business"))).await;
    server.close().await;
    assert!(place.holds(VALUE.as_bytes()));
    for keys in [vec!["one"], vec!["two", "one"], vec!["three", "two"], vec!["plain", "three"]] {
        let server = place.open(&keys).await;
        assert_eq!(server.json(Ask::get(SECRET)).await, last, "{keys:?}");
        let mut frames = server.watch(SECRETS, &format!("resourceVersion={}", server.revision())).await;
        let before = server.revision();
        for ask in [Ask::put(SECRET, &last).query("dryRun=All"), Ask::get(SECRET)] {
            assert_eq!(server.json(ask).await, last, "{keys:?}");
        }
        assert_eq!(server.revision(), before);

        let written = server.json(Ask::put(SECRET, &last)).await;
        assert_eq!(written["data"], last["data"]);
        assert_ne!(written["metadata"]["resourceVersion"], last["metadata"]["resourceVersion"], "{keys:?}");
        let frame: Value = serde_json::from_slice(&frames.next().await.unwrap()).unwrap();
        assert_eq!(frame, json!({"type": "MODIFIED", "object": written}));

        // Now it is not stale.
        let after = server.revision();
        assert_eq!(server.json(Ask::put(SECRET, &written)).await, written);
        assert_eq!(server.json(Ask::patch(SECRET, &json!({}))).await, written);
        assert_eq!(server.revision(), after);
        last = written;
        drop(frames);
        server.close().await;
    }
}

#[tokio::test]
async fn a_secret_without_its_key_harms_nothing_else() {
    let place = Place::new();
    let server = place.open(&["one"]).await;
    server.json(Ask::post(SECRETS, &secret("a", "x"))).await;
    server.close().await;

    let server = place.open(&["two"]).await;
    let other = server.json(Ask::post(SECRETS, &secret("b", "y"))).await;
    let message = "Internal error occurred: unable to transform key \"/registry/core/secrets/default/a\": no matching key was \
                   found for the provided AES transformer; put back the key that it was encrypted with, or delete it by the option \
                   ignoreStoreReadErrorWithClusterBreakingPotential";
    let empty = json!({"metadata": {"name": "a"}});
    for ask in [
        Ask::get(SECRET),
        Ask::get(SECRETS),
        Ask::get("/api/v1/secrets").query("labelSelector=of=some"),
        Ask::get(SECRETS).query("fieldSelector=type=Opaque"),
        Ask::put(SECRET, &empty),
        Ask::patch(SECRET, &json!({"data": {}})),
        Ask::delete(SECRET),
        Ask::delete(SECRETS),
    ] {
        let refusal = server.refusal(ask).await;
        assert_eq!((refusal.code, refusal.message.as_str()), (500, message));
    }
    let mut frames = server.watch(SECRETS, "").await;
    let frame: Value = serde_json::from_slice(&frames.next().await.unwrap()).unwrap();
    assert_eq!((&frame["type"], &frame["object"]["message"]), (&json!("ERROR"), &json!(message)));
    assert!(frames.next().await.is_none());
    // Its name is not free, and the others are as they were.
    assert_eq!(server.refusal(Ask::post(SECRETS, &secret("a", "z"))).await.reason.as_str(), "AlreadyExists");
    assert_eq!(server.json(Ask::get(&format!("{SECRETS}/b"))).await, other);
    server.json(Ask::get("/api/v1/namespaces/default/configmaps")).await;

    let refusal = server.refusal(Ask::delete(&format!("{SECRETS}/b")).query(OPTION)).await;
    let why = "Invalid value: true: is exclusively used to delete corrupt object(s), try again by removing this option";
    assert!(refusal.code == 422 && refusal.message.ends_with(why), "{}", refusal.message);
    let refusal = server.refusal(Ask::delete(SECRET).query(&format!("{OPTION}&dryRun=All"))).await;
    assert!(
        refusal.message.ends_with("Invalid value: true: cannot be set together with .dryRun"),
        "{}",
        refusal.message
    );
    let refusal = server.refusal(Ask::delete(SECRETS).query(OPTION)).await;
    let why = "Invalid value: true: is not allowed with DELETECOLLECTION, try again after removing the option";
    assert!(refusal.code == 422 && refusal.message.ends_with(why), "{}", refusal.message);
    let refusal =
        server.by("jane", &["others", "system:authenticated"]).refusal(Ask::delete(SECRET).query(OPTION)).await;
    let why = "not permitted to do \"unsafe-delete-ignore-read-errors\", reason: ";
    assert!(refusal.code == 403 && refusal.message.contains(why), "{}", refusal.message);

    let from = server.revision();
    let body =
        json!({"kind": "DeleteOptions", "apiVersion": "v1", "ignoreStoreReadErrorWithClusterBreakingPotential": true});
    let deleted = Ask { body: body.to_string().into(), ..Ask::new(Method::DELETE, SECRET) };
    assert_eq!(server.json(deleted).await["status"], "Success");
    assert_eq!(server.refusal(Ask::get(SECRET)).await.code, 404);
    assert_eq!(server.json(Ask::get(SECRETS)).await["items"].as_array().unwrap().len(), 1);
    // Nobody knows what it was: who watches lists again.
    let mut frames = server.watch(SECRETS, &format!("resourceVersion={from}")).await;
    let frame: Value = serde_json::from_slice(&frames.next().await.unwrap()).unwrap();
    assert_eq!((&frame["type"], &frame["object"]["reason"]), (&json!("ERROR"), &json!("Expired")));
    server.close().await;
}

#[tokio::test]
async fn history_whose_key_is_gone_has_expired() {
    let place = Place::new();
    let server = place.open(&["one"]).await;
    let first = server.json(Ask::post(SECRETS, &secret("a", "x"))).await;
    server.close().await;
    let server = place.open(&["two", "one"]).await;
    server.json(Ask::put(SECRET, &first)).await;
    let rewritten = server.revision();
    server.close().await;

    let server = place.open(&["two"]).await;
    assert_eq!(server.json(Ask::get(SECRET)).await["data"], first["data"]);
    let version = first["metadata"]["resourceVersion"].as_str().unwrap();
    let exact = format!("resourceVersion={version}&resourceVersionMatch=Exact");
    assert_eq!(server.refusal(Ask::get(SECRETS).query(&exact)).await.code, 410);
    // Who has seen what there was goes on; who has not begins again.
    let mut frames = server.watch(SECRETS, &format!("resourceVersion={version}")).await;
    let frame: Value = serde_json::from_slice(&frames.next().await.unwrap()).unwrap();
    assert_eq!(frame["object"]["metadata"]["resourceVersion"], rewritten.to_string());
    let before = version.parse::<u64>().unwrap() - 1;
    let mut frames = server.watch(SECRETS, &format!("resourceVersion={before}")).await;
    let frame: Value = serde_json::from_slice(&frames.next().await.unwrap()).unwrap();
    assert_eq!(frame["object"]["reason"], "Expired");
    drop(frames);
    server.close().await;
}

#[tokio::test]
async fn everything_that_has_an_api_can_be_encrypted() {
    let place = Place::new();
    let (server, _) = place.open_for("*.*", &["one"]).await;
    let named = |kind: &str, spec: Value| json!({"kind": kind, "apiVersion": "v1", "metadata": {"name": "watchword"}, "spec": spec});
    let service = named("Service", json!({"type": "NodePort", "ports": [{"port": 80}]}));
    let account = json!({"kind": "ServiceAccount", "apiVersion": "v1", "metadata": {"name": "watchword"}});
    let template = json!({
        "metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]},
    });
    let deployment = json!({
        "kind": "Deployment", "apiVersion": "apps/v1", "metadata": {"name": "watchword"},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template},
    });
    let event = json!({
        "kind": "Event", "apiVersion": "v1", "metadata": {"name": "watchword"}, "message": "hush",
        "involvedObject": {"namespace": "default"},
    });
    let core = "/api/v1/namespaces/default";
    let objects = [
        (format!("{core}/services"), service),
        (format!("{core}/serviceaccounts"), account),
        ("/apis/apps/v1/namespaces/default/deployments".to_owned(), deployment),
        (format!("{core}/events"), event),
    ];
    for (path, object) in &objects {
        server.json(Ask::post(path, object)).await;
    }
    server.close().await;
    assert!(!place.holds(b"hush") && !place.holds(b"\"watchword\""));

    let (server, encryption) = place.open_for("*.*", &["two", "one"]).await;
    let before = encryption.census(server.store(), false);
    assert!(before.iter().all(|count| count.key == "one" && count.state == State::Stale), "{before:?}");
    assert!(before.iter().any(|count| count.resource == "ipaddresses.networking.k8s.io"), "{before:?}");
    for (path, _) in &objects {
        let path = format!("{path}/watchword");
        let object = server.json(Ask::get(&path)).await;
        server.json(Ask::put(&path, &object)).await;
    }
    let after = encryption.census(server.store(), true);
    for resource in ["services", "serviceaccounts", "deployments.apps", "events"] {
        let of: Vec<_> = after.iter().filter(|count| count.resource == resource).collect();
        assert!(matches!(of.as_slice(), [count] if count.key == "two" && count.state == State::Current), "{of:?}");
    }
    server.json(Ask::delete(&format!("{core}/services/watchword"))).await;
    server.close().await;
}
