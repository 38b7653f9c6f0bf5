//! What is known of one request while it passes the pipeline, and the events that are made of it.
//!
//! What always holds: each stage leaves one event, in upstream's order: that the request came; that the answer begins, if it may
//! go on for as long as the client wants; and, when the answer has been sent, that it was, or that the server panicked. Of who did
//! not prove who they are, there is one event, of the answer.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use api::status::Status;
use http::header::USER_AGENT;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Response};
use http_body_util::BodyExt;
use k8s_openapi::jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::event::{Event, ObjectRef, TRUNCATED, User};
use super::kept::{Kept, MAX_BODY, Recorded, gather};
use super::log::{Fate, Mode};
use super::policy::{Level, Stage, Wanted};
use super::{Annotations, Audit, OfLevel};
use crate::authn::Identity;
use crate::authz::Attributes;
use crate::serve::{ClientAddress, Clock, RequestBody, ResponseBody};

/// The most of an answer that is kept only to tell how it went.
const MAX_STATUS: usize = 64 << 10;
/// The most bytes that are written of what a client says of itself, as upstream.
const MAX_USER_AGENT: usize = 1024;
const DECISION: &str = "authorization.k8s.io/decision";
const REASON: &str = "authorization.k8s.io/reason";

/// In the extensions of an answer: that the handler panicked, and what it said.
#[derive(Clone, Debug)]
pub(crate) struct Panicked(pub(crate) String);

/// What is known of a request when it comes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival<'a> {
    /// Its ID.
    pub(crate) id: &'a HeaderValue,
    /// When it came.
    pub(crate) time: SystemTime,
    /// Until when it may wait.
    pub(crate) until: Instant,
}

/// The events of one request. The last one is written when this is dropped, which is when the answer has been sent.
pub(crate) struct Trail {
    audit: Arc<Audit>,
    clock: Clock,
    wanted: Wanted,
    id: String,
    uri: String,
    asked: Attributes,
    identity: Option<Arc<Identity>>,
    impersonated: Option<Arc<Identity>>,
    source_ips: Vec<String>,
    user_agent: String,
    received: String,
    until: Instant,
    annotations: BTreeMap<String, String>,
    request: Option<Kept>,
    response: Option<Kept>,
    outcome: Outcome,
    has_ended: bool,
}

/// How it went, as far as that is known.
enum Outcome {
    Unknown,
    Answered(u16),
    Panicked(String),
    /// The client has gone before there was an answer.
    Abandoned,
}

/// What an object that is sent says of itself.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Sent {
    metadata: Meta,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Meta {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
}

impl Trail {
    /// Begins, if the policy wants anything of this request. Somebody who did not prove who they are has no identity.
    pub(crate) fn begin(
        audit: &Arc<Audit>,
        clock: &Clock,
        arrival: Arrival<'_>,
        parts: &Parts,
        identity: Option<&Arc<Identity>>,
    ) -> Option<Trail> {
        let asked = Attributes::of_request(parts);
        let wanted = audit.policy.wanted(identity.map(|identity| &**identity), &asked);
        audit.figures.levels.get_or_create(&OfLevel { level: wanted.level.as_str() }).inc();
        if wanted.level == Level::None {
            return None;
        }
        Some(Trail {
            audit: Arc::clone(audit),
            clock: Arc::clone(clock),
            wanted,
            id: String::from_utf8_lossy(arrival.id.as_bytes()).into_owned(),
            uri: parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
            asked,
            identity: identity.cloned(),
            impersonated: None,
            source_ips: source_ips(&parts.headers, parts.extensions.get().map(|ClientAddress(address)| *address)),
            user_agent: user_agent(&parts.headers),
            received: text_of(arrival.time),
            until: arrival.until,
            annotations: BTreeMap::new(),
            request: None,
            response: None,
            outcome: Outcome::Unknown,
            has_ended: false,
        })
    }

    /// Notes that it came.
    ///
    /// # Errors
    /// Refuses the request if it was asked for that it waits for this, and it waits too long; or if it is not to be answered
    /// when this cannot be written.
    pub(crate) async fn received(&mut self) -> Result<(), Box<Status>> {
        match self.emit(Stage::RequestReceived).wait(self.until).await {
            None => Err(Box::new(Status::timeout("request did not complete within the allotted timeout", 0))),
            Some(false) if self.audit.log.mode() == Mode::BlockingStrict => {
                self.audit.figures.rejected.inc();
                self.has_ended = true;
                Err(Box::new(Status::internal_error("failed to store audit event")))
            }
            Some(_) => Ok(()),
        }
    }

    /// Notes as whom it is done.
    pub(crate) fn impersonates(&mut self, identity: &Arc<Identity>) {
        if self.identity.as_ref().is_none_or(|own| !Arc::ptr_eq(identity, own)) {
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
        if !self.asked.is_resource() || (self.wanted.level < Level::Request && !self.sends_an_object()) {
            return body;
        }
        let kept = Kept::new(headers, MAX_BODY);
        self.request = Some(kept.clone());
        BodyExt::boxed_unsync(Recorded { body, kept })
    }

    /// Notes how it is answered, and keeps the answer, if that is wanted.
    pub(crate) async fn answered(&mut self, mut response: Response<ResponseBody>) -> Response<ResponseBody> {
        let code = response.status().as_u16();
        self.outcome = match response.extensions_mut().remove::<Panicked>() {
            Some(Panicked(said)) => Outcome::Panicked(said),
            None => Outcome::Answered(code),
        };
        for (key, value) in response.extensions_mut().remove::<Annotations>().unwrap_or_default().0 {
            self.annotations.entry(key).or_insert(value);
        }
        let streams = self.is_long_running() || code == 101 || self.identity.is_none();
        let waits = self.audit.log.mode() != Mode::Batch;
        // How a stream begins is told at once, and a failure to begin is an answer like any other.
        let is_stream = streams && code < 400;
        let mut is_all = !is_stream;
        if let Some(most) = self.keeps_of_answer(code).filter(|_| !is_stream) {
            let kept = Kept::new(response.headers(), most);
            self.response = Some(kept.clone());
            response = response.map(|body| BodyExt::boxed_unsync(Recorded { body, kept }));
            if streams || waits {
                let (parts, body) = response.into_parts();
                let (body, gathered) = gather(body);
                is_all = gathered;
                response = Response::from_parts(parts, body);
            }
        }
        if streams {
            // Whether it is written in time makes no difference any more.
            let _ = self.emit(Stage::ResponseStarted).wait(self.until).await;
            self.has_ended = self.identity.is_none();
        }
        if waits && is_all && !self.has_ended {
            self.has_ended = true;
            let _ = self.emit(self.last_stage()).wait(self.until).await;
        }
        response
    }

    /// How much of an answer is to be kept, if any: of what failed, and of what tells that something was done, how it went.
    fn keeps_of_answer(&self, code: u16) -> Option<usize> {
        let asked = &self.asked;
        let is_done = matches!(&*asked.verb, "delete" | "deletecollection")
            || (asked.verb == "create" && !asked.subresource.is_empty());
        if self.wanted.level == Level::RequestResponse && asked.is_resource() {
            Some(MAX_BODY)
        } else {
            (code >= 400 || (is_done && asked.is_resource())).then_some(MAX_STATUS)
        }
    }

    /// Whether its answer may go on for as long as the client wants, as upstream judges it: by what is asked for alone.
    fn is_long_running(&self) -> bool {
        self.asked.is_resource()
            && (self.asked.verb == "watch"
                || matches!(&*self.asked.subresource, "attach" | "exec" | "log" | "portforward" | "proxy"))
    }

    /// Whether what is sent is an object, which says what it is about. A patch is none.
    fn sends_an_object(&self) -> bool {
        matches!(&*self.asked.verb, "create" | "update")
    }

    fn last_stage(&self) -> Stage {
        if matches!(self.outcome, Outcome::Panicked(_)) { Stage::Panic } else { Stage::ResponseComplete }
    }

    fn emit(&self, stage: Stage) -> Fate {
        if self.wanted.omit_stages.contains(stage) {
            return Fate::Known(true);
        }
        let mut is_truncated = false;
        let mut json = |kept: &Option<Kept>| {
            let json = kept.as_ref()?.json();
            is_truncated |= json.is_err();
            json.ok().flatten()
        };
        let (request, response) = (json(&self.request), json(&self.response));
        let is_resource = self.asked.is_resource();
        let reference = is_resource.then(|| self.reference(request.as_deref()));
        let object = |json: Option<&[u8]>| serde_json::from_slice::<Value>(json?).ok();
        let omits = self.wanted.omit_managed_fields;
        let mut request = object(request.as_deref().filter(|_| self.wanted.level >= Level::Request));
        if omits && self.asked.verb != "patch" {
            request = request.map(without_managed_fields);
        }
        let mut response = object(response.as_deref());
        let status = self.status(response.as_ref());
        response = response.filter(|_| is_resource && self.wanted.level == Level::RequestResponse);
        if omits {
            response = response.map(without_managed_fields);
        }
        let mut annotations = Cow::Borrowed(&self.annotations);
        if is_truncated && self.wanted.level >= Level::Request {
            annotations.to_mut().insert(TRUNCATED.to_owned(), "true".to_owned());
        }
        let now = (stage != Stage::RequestReceived).then(|| text_of((self.clock)()));
        self.audit.write(Event {
            kind: "Event",
            api_version: "audit.k8s.io/v1",
            level: self.wanted.level,
            audit_id: &self.id,
            stage,
            request_uri: &self.uri,
            verb: &self.asked.verb,
            user: self.identity.as_deref().map(User::from).unwrap_or_default(),
            impersonated_user: self.impersonated.as_deref().map(User::from),
            source_ips: &self.source_ips,
            user_agent: &self.user_agent,
            object_ref: reference.as_ref(),
            response_status: status.as_ref(),
            request_object: request.as_ref(),
            response_object: response.as_ref(),
            request_received_timestamp: &self.received,
            stage_timestamp: now.as_deref().unwrap_or(&self.received),
            annotations,
        })
    }

    /// How it went: the code, and what a Status says of itself.
    fn status(&self, response: Option<&Value>) -> Option<Value> {
        let code = match &self.outcome {
            Outcome::Unknown => return None,
            Outcome::Answered(code) => code,
            Outcome::Panicked(said) => {
                let message = format!("APIServer panic'd: {said}");
                return Some(json!({
                    "metadata": {}, "status": "Failure", "message": message, "reason": "InternalError", "code": 500,
                }));
            }
            Outcome::Abandoned => {
                let message = "Connection closed early";
                return Some(json!({"metadata": {}, "status": "Success", "message": message, "code": 200}));
            }
        };
        let mut status = json!({"metadata": {}, "code": code});
        let is_status = |response: &&Value| response["kind"] == "Status" && response["apiVersion"] == "v1";
        if let Some(response) = response.filter(is_status) {
            for field in ["status", "message", "reason", "details"] {
                if let Some(value) = response.get(field) {
                    status[field] = value.clone();
                }
            }
        }
        Some(status)
    }

    /// What it is about, by the request and by the object that was sent.
    fn reference(&self, request: Option<&[u8]>) -> ObjectRef {
        let asked = &self.asked;
        let sent = request.filter(|_| self.sends_an_object());
        let Sent { metadata } = sent.and_then(|json| serde_json::from_slice(json).ok()).unwrap_or_default();
        let or = |asked: &String, sent: Option<String>| {
            if asked.is_empty() { sent.unwrap_or_default() } else { asked.clone() }
        };
        ObjectRef {
            resource: asked.resource.clone(),
            namespace: or(&asked.namespace, metadata.namespace),
            name: or(&asked.name, metadata.name),
            uid: metadata.uid.unwrap_or_default(),
            api_group: asked.group.clone(),
            api_version: asked.version.clone(),
            resource_version: metadata.resource_version.unwrap_or_default(),
            subresource: asked.subresource.clone(),
        }
    }
}

impl Drop for Trail {
    fn drop(&mut self) {
        if self.has_ended {
            return;
        }
        if matches!(self.outcome, Outcome::Unknown) {
            self.outcome = Outcome::Abandoned;
            if self.is_long_running() {
                self.emit(Stage::ResponseStarted);
            }
        }
        self.emit(self.last_stage());
    }
}

fn text_of(time: SystemTime) -> String {
    let time = Timestamp::try_from(time).unwrap_or(Timestamp::UNIX_EPOCH);
    format!("{time:.6}")
}

/// What a client says of itself, up to a length.
fn user_agent(headers: &HeaderMap) -> String {
    let agent = headers.get(USER_AGENT).map(HeaderValue::as_bytes).unwrap_or_default();
    let text = String::from_utf8_lossy(&agent[..agent.len().min(MAX_USER_AGENT)]).into_owned();
    if agent.len() > MAX_USER_AGENT { text + "...TRUNCATED" } else { text }
}

/// Where it came from: what proxies say, and then who is connected. All but the last may be a lie.
fn source_ips(headers: &HeaderMap, client: Option<IpAddr>) -> Vec<String> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let ip = |text: &str| text.parse::<IpAddr>().ok().map(|ip| ip.to_canonical());
    let mut ips: Vec<IpAddr> = header("x-forwarded-for").split(',').filter_map(|part| ip(part.trim())).collect();
    ips.extend(ip(header("x-real-ip")).filter(|real| !ips.contains(real)));
    let client = client.map(|client| client.to_canonical());
    ips.extend(client.filter(|client| ips.last() != Some(client)));
    ips.iter().map(ToString::to_string).collect()
}

/// Without what says who manages which field, in an object, in the items of a list and in the rows of a table.
fn without_managed_fields(mut value: Value) -> Value {
    let strip = |object: &mut Value| {
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("managedFields");
        }
    };
    strip(&mut value);
    value.get_mut("items").and_then(Value::as_array_mut).into_iter().flatten().for_each(strip);
    let rows = value.get_mut("rows").and_then(Value::as_array_mut).into_iter().flatten();
    rows.filter_map(|row| row.get_mut("object")).for_each(strip);
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_requests_come_from_is_told_as_upstream_tells_it() {
        let check = |forwarded: &str, real: &str, client: Option<&str>, expected: &[&str]| {
            let headers = [("x-forwarded-for", forwarded), ("x-real-ip", real)];
            let headers = headers.into_iter().filter(|(_, value)| !value.is_empty());
            let headers = headers.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
            assert_eq!(source_ips(&headers, client.map(|ip| ip.parse().unwrap())), expected, "{forwarded} {real}");
        };
        check("", "", None, &[]);
        check("", "", Some("192.0.2.1"), &["192.0.2.1"]);
        check("", "", Some("::ffff:192.0.2.1"), &["192.0.2.1"]);
        check("10.0.0.1, nobody,10.0.0.2", "", Some("192.0.2.1"), &["10.0.0.1", "10.0.0.2", "192.0.2.1"]);
        check("10.0.0.1,10.0.0.2", "10.0.0.2", Some("10.0.0.2"), &["10.0.0.1", "10.0.0.2"]);
        check("10.0.0.1", "10.0.0.9", Some("10.0.0.1"), &["10.0.0.1", "10.0.0.9", "10.0.0.1"]);
        check("", "10.0.0.9", Some("10.0.0.9"), &["10.0.0.9"]);
        check("", "2001:DB8::1", None, &["2001:db8::1"]);
    }

    #[test]
    fn what_clients_say_of_themselves_has_a_bound() {
        let check = |agent: &str, expected: &str| {
            let headers = HeaderMap::from_iter([(USER_AGENT, agent.parse().unwrap())]);
            assert_eq!(user_agent(&headers), expected);
        };
        check("kubectl/v1.37.0", "kubectl/v1.37.0");
        let long = "x".repeat(MAX_USER_AGENT);
        check(&long, &long);
        check(&format!("{long}y"), &format!("{long}...TRUNCATED"));
    }

    #[test]
    fn managed_fields_are_left_out() {
        let meta = || json!({"name": "a", "managedFields": [{"manager": "m"}]});
        let bare = json!({"name": "a"});
        let check = |value: Value, expected: Value| assert_eq!(without_managed_fields(value), expected);
        check(json!({"metadata": meta()}), json!({"metadata": bare}));
        check(json!({"items": [{"metadata": meta()}]}), json!({"items": [{"metadata": bare}]}));
        check(
            json!({"rows": [{"cells": [1], "object": {"metadata": meta()}}]}),
            json!({"rows": [{"cells": [1], "object": {"metadata": bare}}]}),
        );
        check(json!("text"), json!("text"));
    }
}
