//! What every request passes: authenticate, authorize, limit, handle. One pipeline, and no way around it.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use api::status::{Reason, Status};
use bytes::Bytes;
use futures::FutureExt;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, HeaderName};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::answer::{answer, status_response, too_many_requests};
use super::body::{Guarded, limited, too_large};
use super::connection::{ActiveRequest, Watchdog, Watched};
use super::flow_control::{Admitted, Class, FlowControl};
use super::in_flight::{InFlightLimits, Slot};
use super::{
    BoxError, Clock, Handler, Limits, Random, RequestBody, ResponseBody, Stopping, TakenOver, deadline, impersonation,
};
use crate::audit::{Arrival, Audit, Panicked, Trail};
use crate::authn::{Authenticators, Identity, MASTERS, PeerCertificate};
use crate::authz::{Attributes, Authorizer, Decision, forbidden};
use crate::health::Health;
use crate::metrics::{Exposition, InFlight, Metrics, RequestKind, RequestLabels};
use crate::version;

/// The ID of a request, which its client may choose.
const AUDIT_ID: HeaderName = HeaderName::from_static("audit-id");
/// How long the sending of an answer may go on after the time of its request, so that `504` is still sent.
const SEND_GRACE: Duration = Duration::from_secs(5);

/// The pipeline of one server.
pub struct Pipeline {
    handler: Arc<dyn Handler>,
    authenticators: Authenticators,
    authorizer: Arc<dyn Authorizer>,
    health: Health,
    metrics: Metrics,
    limits: Limits,
    in_flight: InFlightLimits,
    flow_control: Arc<FlowControl>,
    clock: Clock,
    random: Random,
    audit: Option<Arc<Audit>>,
}

/// What a request is answered with, and what it occupies until the answer is sent.
struct Handled {
    response: Response<ResponseBody>,
    slot: Option<Slot>,
    admitted: Option<Admitted>,
    long_running: bool,
}

impl From<Response<ResponseBody>> for Handled {
    fn from(response: Response<ResponseBody>) -> Self {
        Handled { response, slot: None, admitted: None, long_running: false }
    }
}

impl From<Status> for Handled {
    fn from(status: Status) -> Self {
        status_response(&status).into()
    }
}

/// What an answer holds on to until it is sent.
struct Held {
    // The log is told first, so that it knows of every request that has ended.
    _trail: Option<Trail>,
    _active: ActiveRequest,
    _slot: Option<Slot>,
    _admitted: Option<Admitted>,
    _long_running: Option<InFlight>,
    _watched: Option<Watched>,
}

impl Pipeline {
    /// Leads to `handler`. Health and metrics are answered here, and counted there.
    #[must_use]
    pub fn new(
        handler: Arc<dyn Handler>,
        authenticators: Authenticators,
        authorizer: Arc<dyn Authorizer>,
        health: Health,
        metrics: Metrics,
        limits: Limits,
        (clock, random): (Clock, Random),
    ) -> Pipeline {
        let in_flight = InFlightLimits::new(&limits, metrics.clone());
        let flow_control = FlowControl::new(&limits, &metrics);
        Pipeline {
            handler,
            authenticators,
            authorizer,
            health,
            metrics,
            limits,
            in_flight,
            flow_control,
            clock,
            random,
            audit: None,
        }
    }

    /// The same, which tells `audit` of every request.
    #[must_use]
    pub fn with_audit(self, audit: Option<Arc<Audit>>) -> Pipeline {
        if let Some(audit) = &audit {
            audit.figures().register(&self.metrics);
        }
        Pipeline { audit, ..self }
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// What shares the server among requests.
    pub(crate) fn flow_control(&self) -> &Arc<FlowControl> {
        &self.flow_control
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Answers a request that came over a connection with `peer`. It counts as `active` until its answer is sent.
    pub(super) async fn serve<B>(
        &self,
        request: Request<B>,
        peer: &PeerCertificate,
        active: ActiveRequest,
        stopping: &CancellationToken,
    ) -> Response<ResponseBody>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let (started, time) = (Instant::now(), (self.clock)());
        let method = request.method().clone();
        let audit_id = match request.headers().get(&AUDIT_ID) {
            Some(chosen) if !chosen.is_empty() => chosen.clone(),
            _ => new_audit_id((self.random)()),
        };
        let watchdog = Watchdog::of_this_task();
        let mut trail = None;
        let arrival = Arrival { id: &audit_id, time, until: started + self.limits.request_time };
        let handled = self.answer(request, peer, (arrival, &mut trail), started, stopping).await;
        let Handled { mut response, slot, admitted, long_running } = handled;
        if let Some(trail) = &mut trail {
            response = trail.answered(response).await;
        }

        let headers = response.headers_mut();
        headers.entry(AUDIT_ID).or_insert(audit_id);
        headers.entry(CACHE_CONTROL).or_insert(const { HeaderValue::from_static("no-cache, private") });
        let labels = response.extensions_mut().remove::<RequestLabels>();
        let labels = labels.unwrap_or_else(|| RequestLabels::of_method(&method));
        let held = Held {
            _trail: trail,
            _active: active,
            _slot: slot,
            _admitted: admitted,
            _long_running: long_running.then(|| self.metrics.long_running(labels.clone())),
            _watched: (!long_running)
                .then(|| watchdog.map(|watchdog| watchdog.limit(started + self.limits.request_time + SEND_GRACE)))
                .flatten(),
        };
        self.metrics.request(labels, response.status().as_u16(), started.elapsed());
        if let Some(taken_over) = response.extensions_mut().remove::<TakenOver>() {
            taken_over.hand_over(held);
            return response;
        }
        let end = long_running.then(|| stopping.clone().cancelled_owned().boxed());
        response.map(|body| http_body_util::BodyExt::boxed_unsync(Guarded::new(body, end, held)))
    }

    async fn answer<B>(
        &self,
        request: Request<B>,
        peer: &PeerCertificate,
        (arrival, trail): (Arrival<'_>, &mut Option<Trail>),
        started: Instant,
        stopping: &CancellationToken,
    ) -> Handled
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let (mut parts, body) = request.into_parts();
        let (identity, attributes) = match self.admit(&mut parts, peer, arrival, trail).await {
            Ok(admitted) => admitted,
            Err(status) => return (*status).into(),
        };
        if let Some(response) = self.own_answer(&parts).await {
            return response.into();
        }
        let kind = if attributes.is_read_only() { RequestKind::ReadOnly } else { RequestKind::Mutating };
        parts.extensions.insert(Arc::clone(&identity));
        parts.extensions.insert(Arc::clone(&attributes));
        parts.extensions.insert(Stopping(stopping.clone()));
        let long_running = std::panic::catch_unwind(AssertUnwindSafe(|| self.handler.is_long_running(&parts)));
        let long_running = match long_running {
            Ok(long_running) => long_running,
            Err(panic) => return panic_answer(&parts.method, parts.uri.path(), &*panic).into(),
        };
        if long_running {
            return self.stream(parts, body, (&identity, &attributes), kind).await;
        }
        let limit = self.limits.body_bytes;
        if stated_length(&parts).is_some_and(|length| length > limit as u64) {
            return too_large(limit).into();
        }
        let time = match deadline::request_time(parts.uri.query(), self.limits.request_time) {
            Ok(time) => time,
            Err(status) => return status.into(),
        };
        let admitted = self.flow_control.admit(&identity, &attributes, parts.uri.query(), time).await;
        let admitted = match admitted {
            Ok(admitted) => admitted,
            Err(class) => return self.turn_away(kind, Some(&class)),
        };
        let slot = self.in_flight.count(kind);
        let body = limited(body, limit);
        let body = match trail {
            Some(trail) => trail.keep_request(&parts.headers, body),
            None => body,
        };
        let handled = self.handle(parts, body);
        let mut response = tokio::time::timeout_at(started + time, handled).await.unwrap_or_else(|_| {
            status_response(&Status::timeout("request did not complete within the allotted timeout", 0))
        });
        if let Some(admitted) = &admitted {
            admitted.class().tell(response.headers_mut());
        }
        Handled { response, slot: Some(slot), admitted, long_running: false }
    }

    /// Answers a request that may go on for as long as its client wants. A watch has its turn with all other requests, and is
    /// no burden once it began; other streams are told by their number alone.
    async fn stream<B>(
        &self,
        parts: Parts,
        body: B,
        (identity, attributes): (&Arc<Identity>, &Attributes),
        kind: RequestKind,
    ) -> Handled
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let Some(slot) = self.in_flight.admit_long_running(identity.is_in(MASTERS)) else {
            return self.turn_away(kind, None);
        };
        let admitted = if attributes.verb == "watch" {
            let time = self.limits.request_time;
            match self.flow_control.admit(identity, attributes, parts.uri.query(), time).await {
                Ok(admitted) => admitted,
                Err(class) => return self.turn_away(kind, Some(&class)),
            }
        } else {
            None
        };
        let body = http_body_util::BodyExt::boxed_unsync(http_body_util::BodyExt::map_err(body, Into::into));
        let mut response = self.handle(parts, body).await;
        if let Some(admitted) = &admitted {
            admitted.class().tell(response.headers_mut());
        }
        // A refusal to stream is an answer like any other.
        let long_running = response.status().is_success() || response.status().is_informational();
        Handled { response, slot: Some(slot), admitted: None, long_running }
    }

    /// The answer to a request for which there is no room.
    fn turn_away(&self, kind: RequestKind, class: Option<&Class>) -> Handled {
        self.metrics.dropped_request(kind);
        let mut response = too_many_requests();
        if let Some(class) = class {
            class.tell(response.headers_mut());
        }
        response.into()
    }

    /// Finds out who asks, and whether they may.
    async fn admit(
        &self,
        parts: &mut Parts,
        peer: &PeerCertificate,
        arrival: Arrival<'_>,
        trail: &mut Option<Trail>,
    ) -> Result<(Arc<Identity>, Arc<Attributes>), Box<Status>> {
        let length = parts.uri.path_and_query().map_or(0, |url| url.as_str().len());
        if length > self.limits.url_bytes {
            let most = self.limits.url_bytes;
            let mut status =
                Status::of(Reason::Unknown, format!("the URL has {length} bytes; at most {most} are allowed"));
            status.code = StatusCode::URI_TOO_LONG.as_u16();
            return Err(Box::new(status));
        }
        let begin = |parts: &Parts, identity: Option<&Arc<Identity>>| {
            let audit = self.audit.as_ref()?;
            Trail::begin(audit, &self.clock, arrival, parts, identity)
        };
        let authenticated = self.authenticators.authenticate(parts, peer, (self.clock)()).await;
        let identity = authenticated.map_err(|why| {
            tracing::debug!(method = %parts.method, path = parts.uri.path(), %why, "not authenticated");
            *trail = begin(parts, None);
            Box::new(Status::unauthorized("Unauthorized"))
        })?;
        *trail = begin(parts, Some(&identity));
        if let Some(trail) = trail {
            trail.received().await?;
        }
        let identity = impersonation::act(identity, &mut parts.headers, &*self.authorizer)?;
        let attributes = Attributes::of_request(parts);
        let decision = self.authorizer.authorize(&identity, &attributes);
        let (allowed, reason) = match &decision {
            Decision::Allow(reason) => (true, reason),
            Decision::Deny(reason) | Decision::NoOpinion(reason) => (false, reason),
        };
        if let Some(trail) = trail {
            trail.impersonates(&identity);
            trail.decided(allowed, reason);
        }
        if !allowed {
            tracing::debug!(user = identity.user, ?attributes, reason, "not authorized");
            return Err(Box::new(forbidden(&identity, &attributes, reason)));
        }
        Ok((identity, Arc::new(attributes)))
    }

    /// Answers what is about the server itself.
    async fn own_answer(&self, parts: &Parts) -> Option<Response<ResponseBody>> {
        let path = parts.uri.path();
        let get = matches!(parts.method, Method::GET | Method::HEAD);
        match path {
            "/version" | "/version/" if get => Some(answer(StatusCode::OK, "application/json", version::json())),
            "/metrics" if get => {
                let exposition = Exposition::negotiate(&parts.headers);
                Some(answer(StatusCode::OK, exposition.media_type(), self.metrics.expose(exposition)))
            }
            _ => {
                let query = parts.uri.query().unwrap_or_default();
                self.health.answer(path, query, self.limits.check_time).await
            }
        }
    }

    async fn handle(&self, parts: Parts, body: RequestBody) -> Response<ResponseBody> {
        let summary = (parts.method.clone(), parts.uri.clone());
        let handler = Arc::clone(&self.handler);
        let handled = AssertUnwindSafe(async move { handler.handle(Request::from_parts(parts, body)).await });
        handled.catch_unwind().await.unwrap_or_else(|panic| {
            let (method, uri) = summary;
            panic_answer(&method, uri.path(), &*panic)
        })
    }
}

/// The panic itself was reported where it happened, by the panic hook.
fn panic_answer(method: &Method, path: &str, panic: &(dyn Any + Send)) -> Response<ResponseBody> {
    tracing::error!(%method, path, "the handler of a request panicked");
    let message = "This request caused apiserver to panic. Look in the logs for details.";
    let mut response = status_response(&Status::of(Reason::InternalError, message));
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    response.extensions_mut().insert(Panicked(text.unwrap_or("it does not say why").to_owned()));
    response
}

fn stated_length(parts: &Parts) -> Option<u64> {
    parts.headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// A random UUID (RFC 9562, version 4).
fn new_audit_id(random: u128) -> HeaderValue {
    let id = (random & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    let text = format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        (id >> 96) as u32,
        (id >> 80) as u16,
        (id >> 64) as u16,
        (id >> 48) as u16,
        id & 0xffff_ffff_ffff
    );
    HeaderValue::from_str(&text).expect("it is hexadecimal digits and hyphens")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn audit_ids_are_random_uuids() {
        let check = |random: u128, expected: &str| assert_eq!(new_audit_id(random), expected);
        check(0, "00000000-0000-4000-8000-000000000000");
        check(u128::MAX, "ffffffff-ffff-4fff-bfff-ffffffffffff");
        check(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef, "01234567-89ab-4def-8123-456789abcdef");
    }
}
