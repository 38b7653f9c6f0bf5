//! An API server as far as nodes can tell: it keeps objects, answers lists and watches, and applies patches. What watches
//! tell of is pods alone.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use api::patch::strategic;
use api::schema::Schema;
use bytes::Bytes;
use client::clock::Clock;
use futures::StreamExt;
use futures::channel::mpsc::{UnboundedSender, unbounded};
use futures::stream::{self, BoxStream};
use http::{Method, Request, Response};
use http_body_util::{BodyExt, StreamBody};
use jiff::Timestamp;
use kube::Client;
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Value, json};

const PODS: &str = "/api/v1/pods";
/// What else nodes list.
const OTHERS: [&str; 3] = ["/api/v1/nodes", "/api/v1/services", "/apis/node.k8s.io/v1/runtimeclasses"];

type Answer = Response<StreamBody<BoxStream<'static, Result<http_body::Frame<Bytes>, Infallible>>>>;
type Refusal = (u16, &'static str);

/// The server. Cloning gives another handle to the same.
#[derive(Clone)]
pub(crate) struct Server {
    state: Arc<Mutex<State>>,
    clock: Clock,
    begin: Timestamp,
}

#[derive(Default)]
struct State {
    /// By path.
    objects: BTreeMap<String, Value>,
    revision: u64,
    made: u64,
    /// Every change of a pod, for watches.
    changes: Vec<(u64, Value)>,
    watches: Vec<(String, UnboundedSender<Bytes>)>,
    away: bool,
    log: Vec<String>,
}

/// The path of a pod in namespace `default`.
fn pod_path(name: &str) -> String {
    format!("/api/v1/namespaces/default/pods/{name}")
}

impl Server {
    pub(crate) fn new() -> Server {
        let begin = Timestamp::from_second(1_700_000_000).unwrap();
        Server { state: Arc::default(), clock: Clock::simulated(begin), begin }
    }

    pub(crate) fn clock(&self) -> Clock {
        self.clock
    }

    /// A client with the identity of a node.
    pub(crate) fn client(&self, node: &str) -> Client {
        let (server, node) = (self.clone(), node.to_owned());
        let service = tower::service_fn(move |request: Request<Body>| {
            let (server, node) = (server.clone(), node.clone());
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
                let body = serde_json::from_slice(&body).unwrap_or_default();
                Ok::<_, Infallible>(server.answer(&node, &parts.method, &parts.uri, body))
            }
        });
        Client::new(service, "default")
    }

    fn answer(&self, node: &str, method: &Method, uri: &http::Uri, body: Value) -> Answer {
        let query: BTreeMap<String, String> =
            form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
        let path = uri.path();
        let mut state = self.state.lock();
        if state.away {
            return status(503, "away");
        }
        if query.contains_key("watch") {
            return state.watch(path, &query);
        }
        let elapsed = self.clock.now().duration_since(self.begin).as_secs_f64();
        if *method != Method::GET {
            state.log.push(format!("{elapsed:.1} {node} {method} {path}"));
        }
        let now = self.clock.now();
        let done = match *method {
            Method::GET if path == PODS => Ok(state.list(&query)),
            Method::GET if OTHERS.contains(&path) => {
                Ok(json!({"metadata": {"resourceVersion": state.revision.to_string()}, "items": state.below(path)}))
            }
            Method::GET => state.objects.get(path).cloned().ok_or((404, "NotFound")),
            Method::POST => state.create(path, body),
            Method::PUT => state.replace(path, body),
            Method::PATCH => state.patch(path, body),
            Method::DELETE => state.delete(path, &body, now),
            _ => Err((405, "MethodNotAllowed")),
        };
        match done {
            Ok(object) => respond(200, stream::iter([line(&object)]).boxed()),
            Err((code, reason)) => status(code, reason),
        }
    }

    /// What was asked for besides what was only read, with when and by whom.
    pub(crate) fn log(&self) -> Vec<String> {
        self.state.lock().log.clone()
    }

    /// How many such requests contain this text.
    pub(crate) fn count(&self, text: &str) -> usize {
        self.state.lock().log.iter().filter(|line| line.contains(text)).count()
    }

    pub(crate) fn get(&self, path: &str) -> Option<Value> {
        self.state.lock().objects.get(path).cloned()
    }

    /// The objects of a path.
    pub(crate) fn list(&self, path: &str) -> Vec<Value> {
        self.state.lock().below(path)
    }

    pub(crate) fn pod(&self, name: &str) -> Option<Value> {
        self.get(&pod_path(name))
    }

    /// Makes or changes an object, as somebody else.
    pub(crate) fn put(&self, path: &str, object: Value) {
        self.state.lock().store(path, object);
    }

    /// Removes an object, as somebody else.
    pub(crate) fn remove(&self, path: &str) {
        self.state.lock().remove(path);
    }

    /// Binds a new pod to a node.
    pub(crate) fn bind(&self, name: &str, node: &str, mut spec: Value) {
        spec["nodeName"] = json!(node);
        let mut state = self.state.lock();
        state.made += 1;
        let uid = format!("uid-{}", state.made);
        let metadata = json!({"name": name, "namespace": "default", "uid": uid, "generation": 1});
        let pod = json!({"metadata": metadata, "spec": spec, "status": {"phase": "Pending"}});
        state.store(&pod_path(name), pod);
    }

    /// Asks for the end of a pod.
    pub(crate) fn end(&self, name: &str, grace: u64) {
        let now = self.clock.now();
        let body = json!({"gracePeriodSeconds": grace});
        self.state.lock().delete(&pod_path(name), &body, now).unwrap();
    }

    /// Answers nothing but errors, until it is back.
    pub(crate) fn set_away(&self, away: bool) {
        let mut state = self.state.lock();
        state.away = away;
        if away {
            state.watches.clear();
        }
    }
}

impl State {
    fn store(&mut self, path: &str, mut object: Value) -> Value {
        let same = self.objects.get(path).is_some_and(|old| *old == object);
        if same {
            return object;
        }
        self.revision += 1;
        object["metadata"]["resourceVersion"] = json!(self.revision.to_string());
        let what = if self.objects.insert(path.to_owned(), object.clone()).is_some() { "MODIFIED" } else { "ADDED" };
        self.tell(what, path, &object);
        object
    }

    fn remove(&mut self, path: &str) {
        if let Some(mut object) = self.objects.remove(path) {
            self.revision += 1;
            object["metadata"]["resourceVersion"] = json!(self.revision.to_string());
            self.tell("DELETED", path, &object);
        }
    }

    fn tell(&mut self, what: &str, path: &str, object: &Value) {
        if !path.contains("/pods/") {
            return;
        }
        let change = json!({"type": what, "object": object});
        let node = object["spec"]["nodeName"].as_str().unwrap_or_default();
        self.watches.retain(|(watched, watch)| watched != node || watch.unbounded_send(line(&change)).is_ok());
        self.changes.push((self.revision, change));
    }

    fn list(&self, query: &BTreeMap<String, String>) -> Value {
        let node = node_of(query);
        let pods =
            self.objects.iter().filter(|(path, object)| path.contains("/pods/") && object["spec"]["nodeName"] == node);
        let items: Vec<&Value> = pods.map(|(_, pod)| pod).collect();
        json!({"metadata": {"resourceVersion": self.revision.to_string()}, "items": items})
    }

    /// The objects of a path.
    fn below(&self, path: &str) -> Vec<Value> {
        let all = self.objects.iter().filter(|(of, _)| of.strip_prefix(path).is_some_and(|of| of.starts_with('/')));
        all.map(|(_, object)| object.clone()).collect()
    }

    fn watch(&mut self, path: &str, query: &BTreeMap<String, String>) -> Answer {
        let (sender, receiver) = unbounded();
        if path != PODS {
            self.watches.push((path.to_owned(), sender));
            return respond(200, receiver.boxed());
        }
        let node = node_of(query);
        let from: u64 = query["resourceVersion"].parse().unwrap();
        for (revision, change) in &self.changes {
            if *revision > from && change["object"]["spec"]["nodeName"] == json!(node) {
                sender.unbounded_send(line(change)).unwrap();
            }
        }
        self.watches.push((node, sender));
        respond(200, receiver.boxed())
    }

    fn create(&mut self, path: &str, mut object: Value) -> Result<Value, Refusal> {
        let path = format!("{path}/{}", object["metadata"]["name"].as_str().unwrap_or_default());
        if self.objects.contains_key(&path) {
            return Err((409, "AlreadyExists"));
        }
        self.made += 1;
        object["metadata"]["uid"] = json!(format!("uid-{}", self.made));
        Ok(self.store(&path, object))
    }

    fn replace(&mut self, path: &str, object: Value) -> Result<Value, Refusal> {
        let known = self.objects.get(path).ok_or((404, "NotFound"))?;
        if known["metadata"]["resourceVersion"] != object["metadata"]["resourceVersion"] {
            return Err((409, "Conflict"));
        }
        Ok(self.store(path, object))
    }

    fn patch(&mut self, path: &str, patch: Value) -> Result<Value, Refusal> {
        let path = path.strip_suffix("/status").ok_or((405, "MethodNotAllowed"))?;
        let known = self.objects.get(path).ok_or((404, "NotFound"))?;
        if patch["metadata"]["uid"].is_string() && patch["metadata"]["uid"] != known["metadata"]["uid"] {
            return Err((409, "Conflict"));
        }
        let kind = if path.contains("/pods/") { "Pod" } else { "Node" };
        let of = Schema::of("", "v1", kind).unwrap();
        let (Value::Object(known), Value::Object(patch)) = (known, patch) else { return Err((400, "BadRequest")) };
        let patched = strategic::apply(known, patch, of).map_err(|_| (422, "Invalid"))?;
        Ok(self.store(path, Value::Object(patched)))
    }

    fn delete(&mut self, path: &str, options: &Value, now: Timestamp) -> Result<Value, Refusal> {
        let mut pod = self.objects.get(path).cloned().ok_or((404, "NotFound"))?;
        let uid = &options["preconditions"]["uid"];
        if uid.is_string() && *uid != pod["metadata"]["uid"] {
            return Err((409, "Conflict"));
        }
        let grace = options["gracePeriodSeconds"].as_u64().unwrap_or(30);
        if grace == 0 {
            self.remove(path);
            return Ok(json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}));
        }
        let until = now + jiff::SignedDuration::from_secs(i64::try_from(grace).unwrap());
        pod["metadata"]["deletionTimestamp"] = json!(Timestamp::from_second(until.as_second()).unwrap().to_string());
        pod["metadata"]["deletionGracePeriodSeconds"] = json!(grace);
        pod["metadata"]["generation"] = json!(2);
        Ok(self.store(path, pod))
    }
}

fn node_of(query: &BTreeMap<String, String>) -> String {
    query["fieldSelector"].strip_prefix("spec.nodeName=").expect("nodes ask for their own pods").to_owned()
}

fn line(value: &Value) -> Bytes {
    format!("{value}\n").into()
}

fn respond(code: u16, body: BoxStream<'static, Bytes>) -> Answer {
    let frames = body.map(|bytes| Ok(http_body::Frame::data(bytes))).boxed();
    Response::builder().status(code).body(StreamBody::new(frames)).unwrap()
}

fn status(code: u16, reason: &str) -> Answer {
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": reason});
    respond(code, stream::iter([line(&status)]).boxed())
}
