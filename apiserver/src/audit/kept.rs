//! What is kept of a body while it passes, for the event about it.
//!
//! What always holds: what passes is the same, and no more is kept than was said; nothing is copied.

use std::collections::VecDeque;
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use flate2::read::GzDecoder;
use futures::FutureExt;
use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use parking_lot::Mutex;

use crate::engine;
use crate::serve::{BoxError, ResponseBody};

/// The most that is kept of a body. Of a longer one nothing is written, and the event says so.
pub(super) const MAX_BODY: usize = 3 << 20;

/// What is kept of a body.
#[derive(Clone)]
pub(super) struct Kept {
    headers: HeaderMap,
    pieces: Arc<Mutex<Pieces>>,
    most: usize,
}

#[derive(Default)]
struct Pieces {
    data: Vec<Bytes>,
    length: usize,
}

/// More came than is kept.
pub(super) struct TooLong;

impl Kept {
    /// Of a message with `headers`, at most so many bytes.
    pub(super) fn new(headers: &HeaderMap, most: usize) -> Kept {
        Kept { headers: headers.clone(), pieces: Arc::default(), most }
    }

    fn keep(&self, data: &Bytes) {
        let mut pieces = self.pieces.lock();
        pieces.length = pieces.length.saturating_add(data.len());
        if pieces.length > self.most {
            pieces.data.clear();
        } else {
            pieces.data.push(data.clone());
        }
    }

    /// The object as JSON, if it is one.
    pub(super) fn json(&self) -> Result<Option<Bytes>, TooLong> {
        let pieces = self.pieces.lock();
        if pieces.length > self.most {
            return Err(TooLong);
        }
        let mut bytes = Bytes::from(pieces.data.concat());
        drop(pieces);
        if self.headers.get(CONTENT_ENCODING).is_some_and(|coding| coding == "gzip") {
            let mut unzipped = Vec::new();
            if GzDecoder::new(&bytes[..]).take(self.most as u64 + 1).read_to_end(&mut unzipped).is_err() {
                return Ok(None);
            }
            if unzipped.len() > self.most {
                return Err(TooLong);
            }
            bytes = unzipped.into();
        }
        if bytes.is_empty() {
            return Ok(None);
        }
        let body = engine::Body::new(&self.headers, bytes);
        Ok(match body.media_type.as_str() {
            media_type if media_type.ends_with("json") => Some(body.bytes),
            media_type if media_type.ends_with("yaml") => engine::yaml_to_json(&body.bytes).ok(),
            _ => body.json().ok(),
        })
    }
}

/// A body of which what passes is kept.
pub(super) struct Recorded<B> {
    pub(super) body: B,
    pub(super) kept: Kept,
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

/// A body of which the beginning is there already.
struct Gathered {
    ready: VecDeque<Result<Frame<Bytes>, BoxError>>,
    rest: Option<ResponseBody>,
}

/// Takes of a body what is there already, up to a bound; the same body, and whether that was all of it.
pub(super) fn gather(mut body: ResponseBody) -> (ResponseBody, bool) {
    let (mut ready, mut length) = (VecDeque::new(), 0);
    let is_all = loop {
        if length > MAX_BODY {
            break false;
        }
        // Who sends it looks out for panics, and so has to be told.
        let next = catch_unwind(AssertUnwindSafe(|| body.frame().now_or_never()));
        match next.unwrap_or_else(|_| Some(Some(Err("the body of the answer panicked".into())))) {
            Some(Some(Ok(frame))) => {
                length += frame.data_ref().map_or(0, Bytes::len);
                ready.push_back(Ok(frame));
            }
            Some(Some(Err(error))) => {
                ready.push_back(Err(error));
                break true;
            }
            Some(None) => break true,
            None => break false,
        }
    };
    let rest = (!is_all).then_some(body);
    (Gathered { ready, rest }.boxed_unsync(), is_all)
}

impl Body for Gathered {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(next) = self.ready.pop_front() {
            return Poll::Ready(Some(next));
        }
        self.rest.as_mut().map_or(Poll::Ready(None), |rest| Pin::new(rest).poll_frame(cx))
    }

    fn is_end_stream(&self) -> bool {
        self.ready.is_empty() && self.rest.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let frames = self.ready.iter().filter_map(|frame| frame.as_ref().ok()?.data_ref());
        let length = frames.map(|data| data.len() as u64).sum::<u64>();
        let mut hint = self.rest.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint);
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + length);
        }
        hint.set_lower(hint.lower() + length);
        hint
    }
}
