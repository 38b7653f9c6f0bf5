//! An API server for tests, in memory: what a [`Client`] asks is answered without a network, on tokio's clock, paused or not.
//!
//! It does what caches and drivers depend on: revisions, lists in pages, watches with history, preconditions, finalizers and
//! discovery. It validates and defaults nothing, and looks at what kind an object is only for strategic merge patches. What is
//! answered is exact as long as nothing is told otherwise; a test can make it fail ([`FakeServer::fail`]), fall behind
//! ([`FakeServer::hold_watches`]), forget ([`FakeServer::compact`]) and take time, and can read what was asked.
//!
//! It is public, behind the feature `testing`, since the tests of several crates need it: a crate's own test modules cannot
//! be seen by another, and two such servers would soon differ. Nothing that is shipped turns the feature on.

mod objects;

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Method, Request, Response, StatusCode, header};
use http_body::Frame;
use kube::Client;
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Duration, Instant, sleep};
use tower_service::Service;

use crate::resource::Resource;
use objects::{Address, Objects};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A request that was made.
#[derive(Clone, Debug)]
pub struct Asked {
    /// When.
    pub at: Instant,
    /// The method.
    pub method: Method,
    /// The path, without the query.
    pub path: String,
    /// The parameters of the query.
    pub query: BTreeMap<String, String>,
    /// The `accept` header; empty if there was none.
    pub accept: String,
    /// The `content-type` header; empty if there was none.
    pub content_type: String,
    /// The body; null if there was none.
    pub body: Value,
}

impl Asked {
    /// Whether it begins a watch.
    #[must_use]
    pub fn is_watch(&self) -> bool {
        matches!(self.parameter("watch"), "true" | "1")
    }

    /// A parameter of the query; empty if it is not there.
    #[must_use]
    pub fn parameter(&self, name: &str) -> &str {
        self.query.get(name).map_or("", String::as_str)
    }

    fn address(&self) -> Option<Address> {
        Address::parse(&self.path)
    }
}

impl std::fmt::Display for Asked {
    /// `PATCH /api/v1/namespaces/a/pods/x/status?fieldManager=m`, parameters in the order of their names.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.method, self.path)?;
        for (number, (name, value)) in self.query.iter().enumerate() {
            write!(f, "{}{name}={value}", if number == 0 { '?' } else { '&' })?;
        }
        Ok(())
    }
}

/// What happens to a request instead of what it asks for.
#[derive(Clone, Debug)]
pub enum Fault {
    /// It is refused, with this code and reason.
    Refused(u16, &'static str),
    /// No answer ever comes.
    Silence,
    /// The connection breaks.
    Broken,
    /// It is a watch, and ends at once.
    Ended,
}

struct Rule {
    what: String,
    left: usize,
    fault: Fault,
}

#[derive(Default)]
struct State {
    objects: Objects,
    rules: Vec<Rule>,
    asked: Vec<Asked>,
    served: Vec<(Resource, Vec<&'static str>)>,
    stale: Vec<String>,
    latency: Duration,
    under_way: usize,
}

/// The server. Cloning gives another handle to the same.
#[derive(Clone, Default)]
pub struct FakeServer {
    state: Arc<Mutex<State>>,
}

impl FakeServer {
    /// A server that has nothing.
    #[must_use]
    pub fn new() -> FakeServer {
        FakeServer::default()
    }

    /// A client of it. To be called within a runtime.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(self.clone(), "default")
    }

    /// Stores an object at a path such as `/api/v1/namespaces/a/pods/x`, status and all, and returns its revision. A new
    /// object gets a uid if it states none; one that is there keeps its own.
    ///
    /// # Panics
    /// If the path is not that of an object.
    pub fn put(&self, path: &str, object: Value) -> u64 {
        let address =
            Address::parse(path).filter(|address| address.name.is_some()).expect("it is the path of an object");
        self.state.lock().objects.put(&address, object)
    }

    /// Removes the object at a path, whatever finalizers it has.
    ///
    /// # Panics
    /// If the path is not that of an object.
    pub fn remove(&self, path: &str) {
        let address = Address::parse(path).expect("it is the path of an object");
        self.state.lock().objects.remove(&address);
    }

    /// The object at a path.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<Value> {
        let address = Address::parse(path)?;
        self.state.lock().objects.get(&address).cloned()
    }

    /// The objects of a resource, such as `/api/v1/pods`.
    #[must_use]
    pub fn list(&self, path: &str) -> Vec<Value> {
        Address::parse(path).map(|address| self.state.lock().objects.list(&address)).unwrap_or_default()
    }

    /// The revision of the last change.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.state.lock().objects.revision
    }

    /// Moves the revision on, as changes of what nobody here watches would.
    pub fn pass_revisions(&self, count: u64) {
        self.state.lock().objects.revision += count;
    }

    /// Forgets everything but the present state: watches from earlier revisions and pages of earlier lists have expired.
    pub fn compact(&self) {
        self.state.lock().objects.compact();
    }

    /// Goes on from an earlier revision, with the objects that there are, as if they had been restored from a backup.
    pub fn restore(&self, revision: u64) {
        self.state.lock().objects.restore(revision);
    }

    /// Tells every watch the present revision.
    pub fn bookmark(&self) {
        let mut state = self.state.lock();
        let meta = json!({"resourceVersion": state.objects.revision.to_string()});
        let object = json!({"apiVersion": "v1", "kind": "Object", "metadata": meta});
        state.objects.tell_all(&json!({"type": "BOOKMARK", "object": object}));
    }

    /// Tells every watch of an error.
    pub fn tell_error(&self, code: u16, reason: &str) {
        self.state.lock().objects.tell_all(&json!({"type": "ERROR", "object": status(code, reason)}));
    }

    /// Ends every watch in an orderly way.
    pub fn end_watches(&self) {
        self.state.lock().objects.end_watches();
    }

    /// Ends every watch by an error of the connection, after half of an event if `within_event`.
    pub fn break_watches(&self, within_event: bool) {
        self.state.lock().objects.break_watches(within_event);
    }

    /// Holds back what watches have to tell, or no longer, in which case they tell it all.
    pub fn hold_watches(&self, hold: bool) {
        self.state.lock().objects.hold(hold);
    }

    /// Makes requests fail, as many as `times`: those that, written as [`Asked`] displays them, contain `what`.
    pub fn fail(&self, what: &str, times: usize, fault: Fault) {
        self.state.lock().rules.push(Rule { what: what.to_owned(), left: times, fault });
    }

    /// Makes no more requests fail.
    pub fn recover(&self) {
        self.state.lock().rules.clear();
    }

    /// Takes that long for each answer.
    pub fn take(&self, latency: Duration) {
        self.state.lock().latency = latency;
    }

    /// Says in its discovery that it serves these resources, by these verbs.
    pub fn serve(&self, served: Vec<(Resource, Vec<&'static str>)>) {
        self.state.lock().served = served;
    }

    /// Says of these groups in its discovery that it does not know what they have now.
    pub fn lose_sight_of(&self, groups: &[&str]) {
        self.state.lock().stale = groups.iter().map(|group| (*group).to_owned()).collect();
    }

    /// Everything that has been asked.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        self.state.lock().asked.clone()
    }

    /// What has been asked since the last call.
    pub fn take_asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.state.lock().asked)
    }

    /// How many requests are not answered yet, and how many watches are open.
    #[must_use]
    pub fn under_way(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.under_way, state.objects.open_watches())
    }

    async fn answer(self, request: Request<Body>) -> Result<Response<Answered>, BoxError> {
        let (parts, body) = request.into_parts();
        let body = body.collect_bytes().await?;
        let text = |name| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        let asked = Asked {
            at: Instant::now(),
            method: parts.method.clone(),
            path: parts.uri.path().to_owned(),
            query: objects::parse_query(parts.uri.query().unwrap_or_default()),
            accept: text(header::ACCEPT),
            content_type: text(header::CONTENT_TYPE),
            body: if body.is_empty() { Value::Null } else { serde_json::from_slice(&body)? },
        };
        let _under_way = UnderWay::new(&self.state);
        let (fault, latency) = {
            let mut state = self.state.lock();
            state.asked.push(asked.clone());
            (state.fault(&asked), state.latency)
        };
        if !latency.is_zero() {
            sleep(latency).await;
        }
        match fault {
            None => Ok(self.state.lock().respond(&asked)),
            Some(Fault::Refused(code, reason)) => Ok(respond(code, &status(code, reason))),
            Some(Fault::Silence) => std::future::pending().await,
            Some(Fault::Broken) => Err("the connection broke".into()),
            Some(Fault::Ended) => Ok(Response::new(Answered(mpsc::unbounded_channel().1))),
        }
    }
}

impl State {
    fn fault(&mut self, asked: &Asked) -> Option<Fault> {
        let written = asked.to_string();
        let rule = self.rules.iter_mut().find(|rule| rule.left > 0 && written.contains(&rule.what))?;
        rule.left -= 1;
        Some(rule.fault.clone())
    }

    fn respond(&mut self, asked: &Asked) -> Response<Answered> {
        if matches!(asked.path.as_str(), "/api" | "/apis") {
            return respond(200, &self.discovery(asked.path == "/api"));
        }
        let Some(address) = asked.address() else { return respond(404, &status(404, "NotFound")) };
        if asked.is_watch() {
            return match self.objects.watch(&address, asked) {
                Ok(events) => Response::new(Answered(events)),
                Err((code, answer)) => respond(code, &answer),
            };
        }
        let (code, answer) = self.objects.carry_out(&address, asked);
        respond(code, &answer)
    }

    /// What is served, as in aggregated discovery.
    fn discovery(&self, of_core: bool) -> Value {
        let mut groups: BTreeMap<(&str, &str), Vec<Value>> = BTreeMap::new();
        for (resource, verbs) in self.served.iter().filter(|(resource, _)| resource.group.is_empty() == of_core) {
            let described = json!({
                "resource": resource.plural,
                "responseKind": {"group": resource.group, "version": resource.version, "kind": resource.kind},
                "scope": if resource.namespaced { "Namespaced" } else { "Cluster" },
                "verbs": verbs,
            });
            groups.entry((&resource.group, &resource.version)).or_default().push(described);
        }
        let stale = self.stale.iter().filter(|group| group.is_empty() == of_core);
        for group in stale {
            groups.entry((group, "v1")).or_default();
        }
        let items = groups.into_iter().map(|((group, version), resources)| {
            let stale = self.stale.iter().any(|stale| stale == group);
            let (freshness, resources) = if stale { ("Stale", Vec::new()) } else { ("Current", resources) };
            let version = json!({"version": version, "resources": resources, "freshness": freshness});
            json!({"metadata": {"name": group}, "versions": [version]})
        });
        let (kind, api_version) = ("APIGroupDiscoveryList", "apidiscovery.k8s.io/v2");
        json!({"kind": kind, "apiVersion": api_version, "metadata": {}, "items": items.collect::<Vec<_>>()})
    }
}

/// A refusal, as the API has it.
fn status(code: u16, reason: &str) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": format!("refused: {reason}"), "reason": reason, "code": code,
    })
}

fn respond(code: u16, answer: &Value) -> Response<Answered> {
    let (sender, receiver) = mpsc::unbounded_channel();
    // The receiver is ours.
    let _ = sender.send(Ok(answer.to_string().into()));
    let mut response = Response::new(Answered(receiver));
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
}

/// Counts a request while it is under way.
struct UnderWay(Arc<Mutex<State>>);

impl UnderWay {
    fn new(state: &Arc<Mutex<State>>) -> UnderWay {
        state.lock().under_way += 1;
        UnderWay(Arc::clone(state))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.lock().under_way -= 1;
    }
}

/// A body, in pieces as they come.
pub struct Answered(mpsc::UnboundedReceiver<Result<Bytes, std::io::Error>>);

impl http_body::Body for Answered {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}

impl Service<Request<Body>> for FakeServer {
    type Response = Response<Answered>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<Answered>, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.clone().answer(request).boxed()
    }
}
