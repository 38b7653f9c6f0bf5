//! A way to the API server that only a leader can write on.

use std::task::{Context, Poll};

use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Method, Request, Response};
use kube::Client;
use kube::client::Body;
use tokio::time::timeout;
use tower_service::Service;

use super::Leadership;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a request was not sent, or was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this process does not lead")]
pub struct NotLeading;

/// The same client, which refuses to change anything as soon as this process no longer leads, and gives up on changes
/// that are under way then. Reads pass.
#[must_use]
pub fn guarded(client: &Client, leadership: Leadership) -> Client {
    let namespace = client.default_namespace().to_owned();
    Client::new(Guard { client: client.clone(), leadership }, namespace)
}

struct Guard {
    client: Client,
    leadership: Leadership,
}

impl Service<Request<Body>> for Guard {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<Body>, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let client = self.client.clone();
        if matches!(*request.method(), Method::GET | Method::HEAD) {
            return async move { Ok(client.send(request).await?) }.boxed();
        }
        let remaining = self.leadership.remaining();
        async move {
            if remaining.is_zero() {
                return Err(NotLeading.into());
            }
            match timeout(remaining, client.send(request)).await {
                Ok(answer) => Ok(answer?),
                Err(_) => Err(NotLeading.into()),
            }
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::time::{Duration, Instant, advance};

    use super::*;

    /// Counts requests and answers each.
    #[derive(Clone, Default)]
    struct Counter(Arc<AtomicUsize>);

    impl Service<Request<Body>> for Counter {
        type Response = Response<Body>;
        type Error = std::convert::Infallible;
        type Future = std::future::Ready<Result<Response<Body>, std::convert::Infallible>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), std::convert::Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Request<Body>) -> Self::Future {
            self.0.fetch_add(1, Ordering::Relaxed);
            std::future::ready(Ok(Response::new(Body::empty())))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_leader_that_wakes_up_late_changes_nothing() {
        let counter = Counter::default();
        let leadership = Leadership::until(Instant::now() + Duration::from_secs(10));
        let client = guarded(&Client::new(counter.clone(), "default"), leadership.clone());
        let send = async |method: Method| {
            let request = Request::builder().method(method).uri("/api/v1/pods").body(Body::empty()).unwrap();
            client.send(request).await.is_ok()
        };
        assert!(send(Method::POST).await && send(Method::GET).await);
        advance(Duration::from_secs(10)).await;
        for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            assert!(!send(method).await);
        }
        assert_eq!(counter.0.load(Ordering::Relaxed), 2);
        assert!(send(Method::GET).await, "reads do no harm");
        leadership.extend(Instant::now() + Duration::from_secs(1));
        assert!(send(Method::DELETE).await);
    }
}
