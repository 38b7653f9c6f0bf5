//! Answers: bodies, and errors in the plain words that upstream's kubelet uses.

use std::fmt::Display;
use std::io;

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use http::{Method, Response, StatusCode};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use serde::Serialize;

/// A body of an answer.
pub(super) type Body = UnsyncBoxBody<Bytes, io::Error>;
/// An answer.
pub(super) type Answer = Response<Body>;

const JSON: &str = "application/json";
pub(super) const PLAIN: &str = "text/plain; charset=utf-8";

/// A body that is all there.
pub(super) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

fn answer(status: StatusCode, media_type: &'static str, body: Body) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    answer.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

/// Text of a media type.
pub(super) fn text(media_type: &'static str, text: impl Into<Bytes>) -> Answer {
    answer(StatusCode::OK, media_type, full(text))
}

/// A value as JSON.
pub(super) fn json<T: Serialize>(value: &T) -> Answer {
    match serde_json::to_vec(value) {
        Ok(bytes) => answer(StatusCode::OK, JSON, full(bytes)),
        Err(error) => refusal(StatusCode::INTERNAL_SERVER_ERROR, error),
    }
}

/// JSON that is there already.
pub(super) fn json_bytes(bytes: Vec<u8>) -> Answer {
    answer(StatusCode::OK, JSON, full(bytes))
}

/// Bytes as they come. An error ends the connection, so that nobody takes what there was for all.
pub(super) fn stream(media_type: &'static str, bytes: BoxStream<'static, io::Result<Bytes>>) -> Answer {
    let body = StreamBody::new(bytes.map_ok(Frame::data).boxed());
    answer(StatusCode::OK, media_type, BodyExt::boxed_unsync(body))
}

/// Why something was not done, in words.
pub(super) fn refusal(status: StatusCode, why: impl Display) -> Answer {
    answer(status, PLAIN, full(why.to_string()))
}

/// Why something is not done, before it is an answer.
#[derive(Debug)]
pub(super) struct Refused {
    status: StatusCode,
    why: String,
}

impl Refused {
    /// With a code, and in words.
    pub(super) fn new(status: StatusCode, why: impl Display) -> Refused {
        Refused { status, why: why.to_string() }
    }
}

impl From<Refused> for Answer {
    fn from(refused: Refused) -> Answer {
        refusal(refused.status, refused.why)
    }
}

impl From<tonic::Status> for Refused {
    /// What a failed call to the runtime is answered with: upstream's codes for those of gRPC.
    fn from(status: tonic::Status) -> Refused {
        let code = match status.code() {
            tonic::Code::NotFound => StatusCode::NOT_FOUND,
            tonic::Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
            tonic::Code::InvalidArgument => StatusCode::BAD_REQUEST,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Refused::new(code, status.message())
    }
}

/// There is nothing at that path.
pub(super) fn absent() -> Answer {
    refusal(StatusCode::NOT_FOUND, "404 page not found\n")
}

/// There is, but not with that method.
pub(super) fn method_not_allowed(allowed: &[Method]) -> Answer {
    let mut answer = refusal(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed");
    let names: Vec<&str> = allowed.iter().map(Method::as_str).collect();
    if let Ok(value) = HeaderValue::from_str(&names.join(", ")) {
        answer.headers_mut().insert(ALLOW, value);
    }
    answer
}
