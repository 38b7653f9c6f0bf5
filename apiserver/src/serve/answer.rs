//! Answers that the server gives by itself.

use api::status::Status;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Response, StatusCode};

use super::ResponseBody;
use super::body::full_body;

/// `status` as JSON, with its own HTTP code, and `Retry-After` if it says when to try again.
///
/// It is JSON whatever the client accepts: every client reads that, because errors may come from before negotiation.
#[must_use]
pub fn status_response(status: &Status) -> Response<ResponseBody> {
    let mut json = serde_json::to_vec(status).expect("a Status is strings and numbers");
    json.push(b'\n');
    let code = StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = answer(code, "application/json", json);
    let retry_after = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
    if retry_after > 0 {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(retry_after));
    }
    response
}

/// Plain text.
#[must_use]
pub fn text_response(code: StatusCode, text: impl Into<Bytes>) -> Response<ResponseBody> {
    let mut response = answer(code, "text/plain; charset=utf-8", text);
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// What upstream says, in these words, when too many requests are under way. It is text and no Status there too.
pub(super) fn too_many_requests() -> Response<ResponseBody> {
    let mut response = text_response(StatusCode::TOO_MANY_REQUESTS, "Too many requests, please try again later.\n");
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

pub(super) fn answer(code: StatusCode, media_type: &'static str, body: impl Into<Bytes>) -> Response<ResponseBody> {
    let mut response = Response::new(full_body(body));
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}
