//! Tokens on a clock that is moved on, from a server that counts.

use std::sync::atomic::{AtomicU32, Ordering};

use http::{Request, Response};
use kube::client::Body;
use serde_json::{Value, json};
use tower::service_fn;

use super::*;

/// A server that gives a numbered token to whoever asks, or refuses.
#[derive(Clone, Default)]
struct Server {
    given: Arc<AtomicU32>,
    is_away: Arc<Mutex<bool>>,
    asked: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Server {
    fn client(&self, clock: Clock) -> Client {
        let server = self.clone();
        let service = service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move {
                let path = request.uri().path().to_owned();
                let body = request.into_body().collect_bytes().await?;
                let asked: Value = serde_json::from_slice(&body)?;
                server.asked.lock().push((path, asked.clone()));
                let (code, answer) = server.answer(asked, clock.now());
                let response = Response::builder().status(code).body(Body::from(answer.to_string().into_bytes()))?;
                Ok::<_, tower::BoxError>(response)
            }
        });
        Client::new(service, "default")
    }

    fn answer(&self, mut asked: Value, now: Timestamp) -> (u16, Value) {
        if *self.is_away.lock() {
            let message = "serviceaccounts \"sa\" not found";
            return (
                404,
                json!({"kind": "Status", "status": "Failure", "message": message, "reason": "NotFound", "code": 404}),
            );
        }
        let seconds = asked["spec"]["expirationSeconds"].as_i64().unwrap();
        let token = format!("token-{}", self.given.fetch_add(1, Ordering::Relaxed) + 1);
        let expires = now + SignedDuration::from_secs(seconds);
        asked["status"] = json!({"token": token, "expirationTimestamp": expires.to_string()});
        (201, asked)
    }
}

fn pod(uid: &str) -> Pod {
    let meta = json!({"name": "web", "namespace": "shop", "uid": uid});
    serde_json::from_value(json!({"metadata": meta, "spec": {"serviceAccountName": "sa", "containers": []}})).unwrap()
}

fn setup() -> (Server, Tokens) {
    let server = Server::default();
    let clock = Clock::simulated("2026-03-01T12:00:00Z".parse().unwrap());
    let client = server.client(clock);
    (server, Tokens::new(client, clock))
}

async fn pass(seconds: u64) {
    tokio::time::advance(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn tokens_are_kept_and_renewed_in_time() {
    let (server, tokens) = setup();
    let pod = pod("u1");
    let get = async |seconds: i64| tokens.get(&pod, None, Some(seconds)).await.unwrap();
    assert_eq!(&*get(3600).await, "token-1");
    pass(2800).await;
    assert_eq!(&*get(3600).await, "token-1");
    pass(81).await;
    assert_eq!(&*get(3600).await, "token-2", "a fifth of an hour is left");
    let days = 30 * 24 * 3600;
    assert_eq!(&*get(days).await, "token-3", "another time is another token");
    pass(24 * 3600 - 11).await;
    assert_eq!(&*get(days).await, "token-3");
    pass(12).await;
    assert_eq!(&*get(days).await, "token-4", "a day is long enough");
    let (path, asked) = server.asked.lock()[0].clone();
    assert_eq!(path, "/api/v1/namespaces/shop/serviceaccounts/sa/token");
    let bound = json!({"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": "u1"});
    assert_eq!(asked["spec"], json!({"audiences": [], "boundObjectRef": bound, "expirationSeconds": 3600}));
}

#[tokio::test(start_paused = true)]
async fn an_old_token_is_used_until_it_expires() {
    let (server, tokens) = setup();
    let pod = pod("u1");
    *server.is_away.lock() = true;
    let error = tokens.get(&pod, None, None).await.unwrap_err();
    assert_eq!(error, "failed to fetch token: serviceaccounts \"sa\" not found");
    *server.is_away.lock() = false;
    assert_eq!(&*tokens.get(&pod, None, None).await.unwrap(), "token-1");
    *server.is_away.lock() = true;
    pass(3500).await;
    assert_eq!(&*tokens.get(&pod, None, None).await.unwrap(), "token-1");
    pass(101).await;
    let error = tokens.get(&pod, None, None).await.unwrap_err();
    assert_eq!(error, "token expired and refresh failed: serviceaccounts \"sa\" not found");
    *server.is_away.lock() = false;
    assert_eq!(&*tokens.get(&pod, None, None).await.unwrap(), "token-2");
}

#[tokio::test(start_paused = true)]
async fn tokens_are_for_one_pod_and_audience() {
    let (server, tokens) = setup();
    let get = async |uid: &str, audience: Option<&str>| tokens.get(&pod(uid), audience, None).await.unwrap();
    assert_eq!(&*get("u1", None).await, "token-1");
    assert_eq!(&*get("u1", Some("")).await, "token-1");
    assert_eq!(&*get("u1", Some("vault")).await, "token-2");
    assert_eq!(&*get("u2", None).await, "token-3");
    assert_eq!(server.asked.lock()[1].1["spec"]["audiences"], json!(["vault"]));
    tokens.forget("u1");
    assert_eq!(&*get("u2", None).await, "token-3");
    assert_eq!(&*get("u1", None).await, "token-4");
}
