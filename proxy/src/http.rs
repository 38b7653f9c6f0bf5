//! Small answers over HTTP, for load balancers and for those who gather figures. They say nothing that is secret and take
//! nothing in; what clients may take is bounded.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// How many connections one listener has at a time. Others wait to be accepted.
const CONNECTIONS: usize = 128;
/// How long a client may take for the head of a request.
const HEAD: Duration = Duration::from_secs(10);
/// How long a connection may last, whatever it is used for.
const LIFE: Duration = Duration::from_secs(300);
/// After a connection could not be accepted, for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

pub(crate) type Answer = Response<Full<Bytes>>;

/// What answers the requests of a path: everything is asked by GET.
pub(crate) type Answers = Arc<dyn Fn(&str) -> Answer + Send + Sync>;

/// Answers whoever connects. Ends when it is dropped, with all connections.
pub(crate) async fn serve(listener: TcpListener, answers: Answers) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        // The semaphore is never closed.
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        while connections.try_join_next().is_some() {}
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!(%error, "a connection was not accepted");
                sleep(PAUSE).await;
                continue;
            }
        };
        let answers = Arc::clone(&answers);
        connections.spawn(async move {
            let _permit = permit;
            let service = service_fn(move |request: Request<Incoming>| {
                let answer = answer(&request, &answers);
                async move { Ok::<_, std::convert::Infallible>(answer) }
            });
            let mut builder = hyper::server::conn::http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(HEAD);
            // What becomes of a connection is the client's affair.
            let _ = timeout(LIFE, builder.serve_connection(TokioIo::new(stream), service)).await;
        });
    }
}

fn answer(request: &Request<Incoming>, answers: &Answers) -> Answer {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return text(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered here\n");
    }
    answers(request.uri().path())
}

/// An answer in plain words.
pub(crate) fn text(status: StatusCode, text: impl Into<Bytes>) -> Answer {
    of_type(status, HeaderValue::from_static("text/plain; charset=utf-8"), text)
}

/// An answer of JSON.
pub(crate) fn json(status: StatusCode, text: impl Into<Bytes>) -> Answer {
    of_type(status, HeaderValue::from_static("application/json"), text)
}

/// An answer of some type.
pub(crate) fn of_type(status: StatusCode, content_type: HeaderValue, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, content_type);
    answer.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

/// There is nothing at that path.
pub(crate) fn nothing() -> Answer {
    text(StatusCode::NOT_FOUND, "404 page not found\n")
}
