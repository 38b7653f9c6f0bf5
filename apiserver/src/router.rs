//! From an authenticated and authorized HTTP request to its answer.
//!
//! Requests for resources go to the [`engine`](crate::engine); what else a server has (discovery, OpenAPI, version) is
//! answered here. A request that writes runs in a task of its own: a client that goes away does not leave its write half
//! done.

use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, stream};
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, VARY, WARNING,
};
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};

use crate::audit::Annotations;
use crate::authn::{CONFIGURATION_PATH, Identity, KEYS_PATH};
use crate::discovery::{self, Addresses};
use crate::engine::{Answer, Body, Call, Engine, Payload, dispatch, not_served};
use crate::metrics::RequestLabels;
use crate::openapi::OpenApi;
use crate::proxy::{self, Proxy, Way};
use crate::registry::Resource;
use crate::request::{Query, Target, Verb};
use crate::serve::{BoxError, Handler, RequestBody, ResponseBody, full_body, read_body, text_response};
use crate::usage::Schemas;

/// Answers smaller than this are not compressed: it would take longer than it saves (upstream's limit).
const GZIP_FROM: usize = 128 * 1024;

const JSON: &str = "application/json";

/// The handler of an API server.
pub struct Router {
    engine: Arc<Engine>,
    openapi: OpenApi,
    proxy: Proxy,
    addresses: Addresses,
    body_bytes: usize,
}

impl Router {
    /// Serves the resources of `engine`. `proxy` is how others are reached, `addresses` where clients are told to find the
    /// server, and `body_bytes` the most that the body of a request may have.
    #[must_use]
    pub fn new(engine: Arc<Engine>, proxy: proxy::Options, addresses: Addresses, body_bytes: usize) -> Self {
        let proxy = Proxy::new(Arc::clone(&engine), proxy);
        Router { engine, openapi: OpenApi::new(Some(Arc::new(Schemas))), proxy, addresses, body_bytes }
    }

    async fn answer(self: Arc<Self>, request: Request<RequestBody>) -> Response<ResponseBody> {
        let (parts, body) = request.into_parts();
        let query = Query::parse(parts.uri.query().unwrap_or_default());
        if let Some((way, target)) = way(&parts) {
            return self.pass(way, target, parts, body).await;
        }
        let Some(target) = target(&parts, &query) else { return self.document(parts, query).await };
        // Even if it is of no use: a client that is still sending may not see an answer that comes before the end.
        let body = match read_body(body, self.body_bytes).boxed().await {
            Ok(bytes) => Body::new(&parts.headers, bytes),
            Err(status) => return respond(Answer::status(&parts.headers, &status), Vec::new(), &parts.headers),
        };
        let resources = self.engine.registry.resources();
        let Some(resource) = resources.find(&target.group, &target.version, &target.resource).cloned() else {
            if resources.has_group(&target.group) {
                let status = not_served();
                return respond(Answer::status(&parts.headers, &status), Vec::new(), &parts.headers);
            }
            return not_found();
        };
        let read_only = target.verb.is_read_only();
        let work = work(Arc::clone(&self.engine), target, resource, query, parts, body);
        if read_only {
            return work.await;
        }
        match tokio::spawn(work).await {
            Ok(response) => response,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }

    /// What others answer.
    async fn pass(&self, way: Way, target: Target, parts: Parts, body: RequestBody) -> Response<ResponseBody> {
        let headers = parts.headers.clone();
        let passed = self.proxy.pass(way, &target, parts, body).boxed().await;
        let mut response =
            passed.unwrap_or_else(|status| respond(Answer::status(&headers, &status), Vec::new(), &headers));
        let labels = RequestLabels { verb: "CONNECT", ..RequestLabels::of_target(&target) };
        response.extensions_mut().insert(labels);
        response
    }

    /// What is no resource: discovery and OpenAPI.
    async fn document(self: Arc<Self>, parts: Parts, query: Query) -> Response<ResponseBody> {
        if parts.method != Method::GET && parts.method != Method::HEAD {
            return not_found();
        }
        let resources = self.engine.registry.resources();
        let path = parts.uri.path();
        let found = self
            .issuer_document(path)
            .or_else(|| discovery::respond(&resources, &self.addresses, path, &parts.headers));
        if let Some(found) = found {
            return found.map(full_body);
        }
        // A document of OpenAPI may take a tenth of a second to compute, which others need not wait for.
        let found = tokio::task::spawn_blocking(move || {
            self.openapi.respond(&resources, parts.uri.path(), &query, &parts.headers, self.engine.now())
        });
        match found.await {
            Ok(found) => found.map_or_else(not_found, |response| response.map(full_body)),
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }

    /// How whoever gets a ServiceAccount's token can check it: OpenID Connect discovery, and the keys.
    fn issuer_document(&self, path: &str) -> Option<Response<Bytes>> {
        let issuer = self.engine.access().service_accounts.as_ref()?.issuer();
        let (content_type, json) = match path {
            CONFIGURATION_PATH => (JSON, issuer.configuration(&self.addresses.server_address)),
            KEYS_PATH => ("application/jwk-set+json", issuer.keys()),
            _ => return None,
        };
        let mut response = Response::new(Bytes::from(json));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));
        Some(response)
    }
}

/// Has the engine answer.
fn work(
    engine: Arc<Engine>,
    target: Target,
    resource: Resource,
    query: Query,
    parts: Parts,
    body: Body,
) -> BoxFuture<'static, Response<ResponseBody>> {
    async move {
        let identity = parts.extensions.get::<Arc<Identity>>().map(Arc::as_ref);
        let call = Call::new(&engine, &target, &resource, &query, &parts.headers).by(identity);
        let answer = dispatch(&call, &body).await;
        let answer = answer.unwrap_or_else(|status| Answer::status(&parts.headers, &status));
        let mut response = respond(answer, call.take_warnings(), &parts.headers);
        response.extensions_mut().insert(RequestLabels::of_target(&target));
        let annotations = call.take_annotations();
        if !annotations.is_empty() {
            response.extensions_mut().insert(Annotations(annotations));
        }
        response
    }
    .boxed()
}

/// The target of a request for a resource.
fn target(parts: &Parts, query: &Query) -> Option<Target> {
    Target::parse(&parts.method, parts.uri.path(), query.flag("watch").unwrap_or(false))
}

/// What a request is passed on to, if it is.
fn way(parts: &Parts) -> Option<(Way, Target)> {
    // A method that has no verb may be passed on, too.
    let method = if parts.method == Method::OPTIONS { &Method::GET } else { &parts.method };
    let target = Target::parse(method, parts.uri.path(), false)?;
    Some((Way::of(&target).filter(|_| target.verb != Verb::Watch)?, target))
}

/// What upstream answers on paths that it does not know.
fn not_found() -> Response<ResponseBody> {
    text_response(StatusCode::NOT_FOUND, "404 page not found\n")
}

impl Handler for Router {
    fn handle(self: Arc<Self>, request: Request<RequestBody>) -> BoxFuture<'static, Response<ResponseBody>> {
        self.answer(request).boxed()
    }

    fn is_long_running(&self, parts: &Parts) -> bool {
        let query = Query::parse(parts.uri.query().unwrap_or_default());
        way(parts).is_some() || target(parts, &query).is_some_and(|target| target.verb == Verb::Watch)
    }
}

/// An answer as HTTP.
fn respond(answer: Answer, warnings: Vec<String>, wishes: &HeaderMap) -> Response<ResponseBody> {
    let Answer { code, content_type, payload } = answer;
    let zip = wants_gzip(wishes);
    let (body, length, zipped) = match payload {
        Payload::Stream(frames) => (streamed(frames.boxed()), None, false),
        Payload::Whole(bytes) => whole(vec![bytes], zip),
        Payload::Pieces(pieces) => whole(pieces, zip),
    };
    let mut response = Response::new(body);
    *response.status_mut() = code;
    let headers = response.headers_mut();
    if let Ok(content_type) = HeaderValue::from_str(&content_type) {
        headers.insert(CONTENT_TYPE, content_type);
    }
    if let Some(length) = length {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    if zipped {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    }
    for warning in warnings {
        if let Ok(value) = HeaderValue::from_str(&warning_text(&warning)) {
            headers.append(WARNING, value);
        }
    }
    response
}

/// A warning as the header has it (RFC 7234): `299 - "text"`.
fn warning_text(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 10);
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            character if character.is_control() => quoted.push(' '),
            character => quoted.push(character),
        }
    }
    format!("299 - \"{quoted}\"")
}

fn wants_gzip(wishes: &HeaderMap) -> bool {
    let accepted = wishes.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        parts.next() == Some("gzip") && parts.all(|part| part != "q=0")
    })
}

fn whole(pieces: Vec<Bytes>, zip: bool) -> (ResponseBody, Option<usize>, bool) {
    let length = pieces.iter().map(Bytes::len).sum();
    if zip
        && length >= GZIP_FROM
        && let Ok(zipped) = gzip(&pieces)
    {
        let length = zipped.len();
        return (full_body(Bytes::from(zipped)), Some(length), true);
    }
    if let [piece] = pieces.as_slice() {
        return (full_body(piece.clone()), Some(length), false);
    }
    (streamed(stream::iter(pieces)), Some(length), false)
}

fn gzip(pieces: &[Bytes]) -> std::io::Result<Vec<u8>> {
    // The fastest level, as upstream: the network is not that slow.
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    for piece in pieces {
        encoder.write_all(piece)?;
    }
    encoder.finish()
}

fn streamed(frames: impl stream::Stream<Item = Bytes> + Send + 'static) -> ResponseBody {
    StreamBody::new(frames.map(|bytes| Ok::<_, BoxError>(Frame::data(bytes)))).boxed_unsync()
}
