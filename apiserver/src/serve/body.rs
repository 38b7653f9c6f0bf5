//! Bodies: whole ones, bounded ones, and those of answers, which hold on to what the request occupies until they are sent.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use api::status::Status;
use bytes::Bytes;
use futures::future::BoxFuture;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};

use super::{BoxError, RequestBody, ResponseBody};

/// How much of a body is handed on at a time. What was handed on is in buffers, and the request no longer holds it.
const CHUNK: usize = 64 << 10;

/// A body that is all there.
#[must_use]
pub fn full_body(bytes: impl Into<Bytes>) -> ResponseBody {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// Reads a request's body to its end: `413` if it is larger than `limit` bytes, `400` if it breaks off.
pub async fn read_body(mut body: RequestBody, limit: usize) -> Result<Bytes, Status> {
    let mut parts: Vec<Bytes> = Vec::new();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) if is_too_large(&*error) => return Err(too_large(limit)),
            Err(error) => {
                return Err(Status::bad_request(format!("the request's body could not be read: {error}")));
            }
        };
        if let Ok(data) = frame.into_data() {
            length += data.len();
            if length > limit {
                return Err(too_large(limit));
            }
            parts.push(data);
        }
    }
    // Most bodies come in one piece, which need not be copied.
    if parts.len() == 1 {
        return Ok(parts.swap_remove(0));
    }
    Ok(parts.concat().into())
}

/// The answer to a body of more than `limit` bytes.
pub(super) fn too_large(limit: usize) -> Status {
    Status::request_entity_too_large(&format!("limit is {limit}"))
}

/// At most `limit` bytes of `body`, and then an error.
pub(super) fn limited<B>(body: B, limit: usize) -> RequestBody
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    Limited::new(body, limit).boxed_unsync()
}

fn is_too_large(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut error = Some(error);
    // Errors wrap each other a few times at most.
    for _ in 0..8 {
        match error {
            None => return false,
            Some(found) if found.is::<LengthLimitError>() => return true,
            Some(found) => error = found.source(),
        }
    }
    false
}

/// The body of an answer, with what is to happen when it ends or is dropped (`guard`), and when the server stops.
pub(super) struct Guarded<G> {
    inner: ResponseBody,
    /// Resolves when the body is to end early: set for streams, which have no end of their own.
    end: Option<BoxFuture<'static, ()>>,
    /// What is left of a frame that is handed on in parts.
    rest: Bytes,
    guard: Option<G>,
}

impl<G: Unpin + Send + 'static> Guarded<G> {
    pub(super) fn new(inner: ResponseBody, end: Option<BoxFuture<'static, ()>>, guard: G) -> Self {
        Guarded { inner, end, rest: Bytes::new(), guard: Some(guard) }
    }

    fn hand_on(&mut self, frame: Frame<Bytes>) -> Frame<Bytes> {
        match frame.into_data() {
            Ok(data) => {
                self.rest = data;
                self.next_part()
            }
            Err(trailers) => trailers,
        }
    }

    fn next_part(&mut self) -> Frame<Bytes> {
        let part = self.rest.split_to(self.rest.len().min(CHUNK));
        if self.is_end_stream() {
            self.guard = None;
        }
        Frame::data(part)
    }

    fn finish(&mut self) {
        self.guard = None;
        self.end = None;
        self.rest = Bytes::new();
        self.inner = full_body(Bytes::new());
    }
}

impl<G: Unpin + Send + 'static> Body for Guarded<G> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        if let Some(end) = &mut this.end
            && end.as_mut().poll(cx).is_ready()
        {
            this.finish();
            return Poll::Ready(None);
        }
        if !this.rest.is_empty() {
            return Poll::Ready(Some(Ok(this.next_part())));
        }
        // One connection carries many answers: a panic in one of them must not take the others along.
        let polled = catch_unwind(AssertUnwindSafe(|| Pin::new(&mut this.inner).poll_frame(cx)));
        let polled = polled.unwrap_or_else(|_| {
            tracing::error!("the body of an answer panicked");
            Poll::Ready(Some(Err("the body of the answer panicked".into())))
        });
        match polled {
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(Ok(this.hand_on(frame)))),
            Poll::Ready(ended) => {
                this.finish();
                Poll::Ready(ended)
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (mut hint, rest) = (self.inner.size_hint(), self.rest.len() as u64);
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + rest);
        }
        hint.set_lower(hint.lower() + rest);
        hint
    }
}
