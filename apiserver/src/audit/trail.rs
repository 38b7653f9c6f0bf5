//! What is known of one request while it passes the pipeline, and the events that are made of it.

use std::collections::BTreeMap;
use std::io::Read;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use flate2::read::GzDecoder;
use http::header::{CONTENT_ENCODING, USER_AGENT};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use k8s_openapi::jiff::Timestamp;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::event::{Event, ObjectRef, User};
use super::policy::{Level, Stage, Wanted};
use super::{Audit, OfLevel};
use crate::authn::Identity;
use crate::authz::Attributes;
use crate::engine;
use crate::serve::{BoxError, ClientAddress, Clock, RequestBody, ResponseBody};

/// The most that is kept of a body. Of a longer one nothing is written, and the event says so.
const MAX_BODY: usize = 3 << 20;
/// The most of an answer that is kept only to tell the reason of a failure.
const MAX_FAILURE: usize = 64 << 10;
const DECISION: &str = "authorization.k8s.io/decision";
const REASON: &str = "authorization.k8s.io/reason";
const TRUNCATED: &str = "audit.k8s.io/truncated";

/// In the extensions of an answer: that the handler panicked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Panicked;

/// The events of one request. The last one is written when this is dropped, which is when the answer has been sent.
pub(crate) struct Trail {
    audit: Arc<Audit>,
    clock: Clock,
    wanted: Wanted,
    id: String,
    uri: String,
    asked: Attributes,
    identity: Arc<Identity>,
    impersonated: Option<Arc<Identity>>,
    source_ips: Vec<String>,
    user_agent: String,
    received: String,
    annotations: BTreeMap<String, String>,
    request: Option<(HeaderMap, Kept)>,
    response: Option<(HeaderMap, Kept)>,
    code: u16,
    panicked: bool,
}

impl Trail {
    /// Begins, if the policy wants anything of this request. Somebody who did not prove who they are has no identity.
    pub(crate) fn begin(
        audit: &Arc<Audit>,
        clock: &Clock,
        id: &HeaderValue,
        parts: &Parts,
        identity: Option<&Arc<Identity>>,
    ) -> Option<Trail> {
        let asked = Attributes::of_request(parts);
        let wanted = audit.policy.wanted(identity.map(|identity| &**identity), &asked);
        audit.figures.levels.get_or_create(&OfLevel { level: wanted.level.as_str() }).inc();
        if wanted.level == Level::None {
            return None;
        }
        let agent = parts.headers.get(USER_AGENT).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        let trail = Trail {
            audit: Arc::clone(audit),
            clock: Arc::clone(clock),
            wanted,
            id: String::from_utf8_lossy(id.as_bytes()).into_owned(),
            uri: parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
            asked,
            identity: identity.cloned().unwrap_or_default(),
            impersonated: None,
            source_ips: source_ips(parts),
            user_agent: agent.unwrap_or_default(),
            received: now(clock),
            annotations: BTreeMap::new(),
            request: None,
            response: None,
            code: 0,
            panicked: false,
        };
        trail.emit(Stage::RequestReceived);
        Some(trail)
    }

    /// Notes as whom it is done.
    pub(crate) fn impersonates(&mut self, identity: &Arc<Identity>) {
        if !Arc::ptr_eq(identity, &self.identity) {
            self.impersonated = Some(Arc::clone(identity));
        }
    }

    /// Notes whether it is allowed, and why.
    pub(crate) fn decided(&mut self, allowed: bool, reason: &str) {
        self.annotations.insert(DECISION.to_owned(), if allowed { "allow" } else { "forbid" }.to_owned());
        self.annotations.insert(REASON.to_owned(), reason.to_owned());
    }

    /// Keeps what is sent, if that is wanted.
    pub(crate) fn keep_request(&mut self, headers: &HeaderMap, body: RequestBody) -> RequestBody {
        if self.wanted.level < Level::Request || !self.asked.is_resource() {
            return body;
        }
        let kept = Kept::new(MAX_BODY);
        self.request = Some((headers.clone(), kept.clone()));
        BodyExt::boxed_unsync(Recorded { body, kept })
    }

    /// Notes how it is answered, and keeps the answer, if that is wanted.
    pub(crate) fn answered(
        &mut self,
        mut response: Response<ResponseBody>,
        is_long_running: bool,
    ) -> Response<ResponseBody> {
        self.code = response.status().as_u16();
        self.panicked = response.extensions_mut().remove::<Panicked>().is_some();
        if is_long_running || self.code == 101 {
            self.emit(Stage::ResponseStarted);
            return response;
        }
        let wanted = self.wanted.level == Level::RequestResponse && self.asked.is_resource();
        if !wanted && self.code < 400 {
            return response;
        }
        let kept = Kept::new(if wanted { MAX_BODY } else { MAX_FAILURE });
        self.response = Some((response.headers().clone(), kept.clone()));
        response.map(|body| BodyExt::boxed_unsync(Recorded { body, kept }))
    }

    fn emit(&self, stage: Stage) {
        if self.wanted.omit_stages.contains(&stage) {
            return;
        }
        let mut annotations = self.annotations.clone();
        let mut object = |kept: &Option<(HeaderMap, Kept)>| {
            let (headers, kept) = kept.as_ref()?;
            let value = kept.value(headers, &mut annotations)?;
            Some(if self.wanted.omit_managed_fields { without_managed_fields(value) } else { value })
        };
        let request = object(&self.request);
        let response = object(&self.response);
        let status = self.status(response.as_ref());
        let shown = self.wanted.level == Level::RequestResponse && self.asked.is_resource();
        let reference = self.asked.is_resource().then(|| self.reference(request.as_ref()));
        self.audit.write(&Event {
            kind: "Event",
            api_version: "audit.k8s.io/v1",
            level: self.wanted.level,
            audit_id: &self.id,
            stage,
            request_uri: &self.uri,
            verb: &self.asked.verb,
            user: User::from(&*self.identity),
            impersonated_user: self.impersonated.as_deref().map(User::from),
            source_ips: &self.source_ips,
            user_agent: &self.user_agent,
            object_ref: reference.as_ref(),
            response_status: status.as_ref(),
            request_object: request.as_ref(),
            response_object: response.as_ref().filter(|_| shown),
            request_received_timestamp: &self.received,
            stage_timestamp: &now(&self.clock),
            annotations: &annotations,
        });
    }

    /// How it went: the code, and what a failure says of itself.
    fn status(&self, response: Option<&Value>) -> Option<Value> {
        if self.code == 0 {
            return None;
        }
        let mut status = json!({"metadata": {}, "code": self.code});
        if let Some(response) = response.filter(|response| response["kind"] == "Status") {
            for field in ["status", "message", "reason", "details"] {
                if let Some(value) = response.get(field) {
                    status[field] = value.clone();
                }
            }
        }
        Some(status)
    }

    /// What it is about, by the request and by what was sent.
    fn reference(&self, request: Option<&Value>) -> ObjectRef {
        let asked = &self.asked;
        let mut reference = ObjectRef {
            resource: asked.resource.clone(),
            namespace: asked.namespace.clone(),
            name: asked.name.clone(),
            api_group: asked.group.clone(),
            api_version: asked.version.clone(),
            subresource: asked.subresource.clone(),
            ..ObjectRef::default()
        };
        let stated =
            |name: &str| request.and_then(|sent| sent["metadata"][name].as_str()).unwrap_or_default().to_owned();
        if reference.name.is_empty() && asked.verb == "create" {
            reference.name = stated("name");
        }
        reference.uid = stated("uid");
        reference.resource_version = stated("resourceVersion");
        reference
    }
}

impl Drop for Trail {
    fn drop(&mut self) {
        self.emit(if self.panicked { Stage::Panic } else { Stage::ResponseComplete });
    }
}

fn now(clock: &Clock) -> String {
    let time = Timestamp::try_from(clock()).unwrap_or(Timestamp::UNIX_EPOCH);
    format!("{time:.6}")
}

/// Where it came from: what proxies say, and then who is connected (upstream's `SourceIPs`).
fn source_ips(parts: &Parts) -> Vec<String> {
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_ip = |text: &&str| text.parse::<std::net::IpAddr>().is_ok();
    let mut ips: Vec<String> =
        header("x-forwarded-for").split(',').map(str::trim).filter(is_ip).map(str::to_owned).collect();
    if ips.is_empty() {
        ips.extend(Some(header("x-real-ip").trim()).filter(is_ip).map(str::to_owned));
    }
    if let Some(ClientAddress(address)) = parts.extensions.get::<ClientAddress>() {
        let address = address.to_string();
        if ips.last() != Some(&address) {
            ips.push(address);
        }
    }
    ips
}

fn without_managed_fields(mut value: Value) -> Value {
    let strip = |object: &mut Value| {
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("managedFields");
        }
    };
    strip(&mut value);
    value.get_mut("items").and_then(Value::as_array_mut).into_iter().flatten().for_each(strip);
    value
}

/// What is kept of a body.
#[derive(Clone)]
struct Kept {
    bytes: Arc<Mutex<Vec<u8>>>,
    most: usize,
}

impl Kept {
    fn new(most: usize) -> Kept {
        Kept { bytes: Arc::default(), most }
    }

    fn keep(&self, data: &[u8]) {
        let mut bytes = self.bytes.lock();
        // One byte too many tells that there was more.
        let room = (self.most + 1).saturating_sub(bytes.len());
        bytes.extend_from_slice(&data[..data.len().min(room)]);
    }

    /// The object, if it is one.
    fn value(&self, headers: &HeaderMap, annotations: &mut BTreeMap<String, String>) -> Option<Value> {
        let mut bytes = self.bytes.lock().clone();
        if headers.get(CONTENT_ENCODING).is_some_and(|coding| coding == "gzip") && bytes.len() <= self.most {
            let mut unzipped = Vec::new();
            GzDecoder::new(&bytes[..]).take(self.most as u64 + 1).read_to_end(&mut unzipped).ok()?;
            bytes = unzipped;
        }
        if bytes.len() > self.most {
            annotations.insert(TRUNCATED.to_owned(), "true".to_owned());
            return None;
        }
        if bytes.is_empty() {
            return None;
        }
        let body = engine::Body::new(headers, Bytes::from(bytes));
        let json = match body.media_type.as_str() {
            media_type if media_type.ends_with("json") => Some(body.bytes.clone()),
            media_type if media_type.ends_with("yaml") => engine::yaml_to_json(&body.bytes).ok(),
            _ => body.json().ok(),
        };
        serde_json::from_slice(&json?).ok()
    }
}

/// A body of which what passes is kept.
struct Recorded<B> {
    body: B,
    kept: Kept,
}

impl<B: Body<Data = Bytes, Error = BoxError> + Unpin> Body for Recorded<B> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
        {
            self.kept.keep(data);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
