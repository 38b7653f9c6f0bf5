//! Who makes the objects: as little work as possible beside what is measured.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use apiserver::serve::Local;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use serde_json::Value;
use tokio::task::JoinSet;
use tower_service::Service;

use super::objects::Make;

/// How many objects are made at the same time.
pub(super) const WRITERS: usize = 32;

/// Makes objects by requests that are prepared as text.
#[derive(Clone)]
pub(super) struct Load(Local);

/// Objects to be made.
enum Bodies {
    /// Each like the first.
    Same(Bytes),
    Each(Vec<Bytes>),
}

/// What is to be made: so many objects at a path.
#[derive(Clone)]
pub(super) struct Batch {
    path: String,
    bodies: Arc<Bodies>,
    count: usize,
}

impl Batch {
    /// The first `count` objects that `make` makes.
    pub(super) fn new(path: String, make: Make, count: usize) -> Batch {
        let bodies = if make(0) == make(1) {
            Bodies::Same(text(&make(0)))
        } else {
            Bodies::Each((0..count).map(|index| text(&make(index))).collect())
        };
        Batch { path, bodies: Arc::new(bodies), count }
    }

    fn body(&self, index: usize) -> Bytes {
        match &*self.bodies {
            Bodies::Same(body) => body.clone(),
            Bodies::Each(bodies) => bodies[index].clone(),
        }
    }
}

fn text(object: &Value) -> Bytes {
    object.to_string().into()
}

impl Load {
    pub(super) fn new(local: Local) -> Load {
        Load(local)
    }

    /// Makes a batch, by several writers at a time, and waits until it is there.
    pub(super) async fn make(&self, batch: &Batch) {
        let next = Arc::new(AtomicUsize::new(0));
        let mut writers = JoinSet::new();
        for _ in 0..WRITERS.min(batch.count) {
            let (load, batch, next) = (self.clone(), batch.clone(), Arc::clone(&next));
            writers.spawn(async move {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= batch.count {
                        break;
                    }
                    load.done(Method::POST, &batch.path, batch.body(index)).await;
                }
            });
        }
        writers.join_all().await;
    }

    /// Makes one object, and returns its name.
    pub(super) async fn make_one(&self, path: &str, object: &Value) -> String {
        let made = self.done(Method::POST, path, text(object)).await;
        let made: Value = serde_json::from_slice(&made).expect("an object");
        made["metadata"]["name"].as_str().expect("it has a name").to_owned()
    }

    /// Has an object be just what is sent.
    pub(super) async fn replace(&self, path: &str, object: &Value) {
        let name = object["metadata"]["name"].as_str().expect("it has a name");
        self.done(Method::PUT, &format!("{path}/{name}"), text(object)).await;
    }

    /// Deletes one object, which may be gone already.
    pub(super) async fn delete(&self, path: &str, name: &str) {
        let (code, body) = self.send(Method::DELETE, &format!("{path}/{name}"), Bytes::new()).await;
        assert!(matches!(code, 200 | 202 | 404), "DELETE {path}/{name}: {code} {}", String::from_utf8_lossy(&body));
    }

    /// The names of the objects at a path.
    pub(super) async fn names(&self, path: &str) -> Vec<String> {
        let listed = self.done(Method::GET, path, Bytes::new()).await;
        let listed: Value = serde_json::from_slice(&listed).expect("a list");
        let items = listed["items"].as_array().expect("a list has items");
        items.iter().filter_map(|item| item["metadata"]["name"].as_str().map(str::to_owned)).collect()
    }

    /// Sends a request, which has to succeed.
    async fn done(&self, method: Method, path: &str, body: Bytes) -> Bytes {
        let (code, answer) = self.send(method.clone(), path, body).await;
        assert!((200..300).contains(&code), "{method} {path}: {code} {}", String::from_utf8_lossy(&answer));
        answer
    }

    async fn send(&self, method: Method, path: &str, body: Bytes) -> (u16, Bytes) {
        let request = Request::builder().method(method).uri(path).header(CONTENT_TYPE, "application/json");
        let request = request.body(Full::new(body)).expect("a request");
        let Ok(response) = self.0.clone().call(request).await;
        let code = response.status().as_u16();
        let body = response.into_body().collect().await.expect("the whole answer");
        (code, body.to_bytes())
    }
}
