//! A client whose identity can be exchanged while it is in use.

use std::sync::Arc;
use std::task::{Context, Poll};

use futures::FutureExt;
use futures::future::BoxFuture;
use kube::Client;
use kube::client::Body;
use parking_lot::RwLock;
use tower::{BoxError, Service};

/// Leads every request to the client that is current when it is made. Cloning it is cheap, and all clones change together.
#[derive(Clone)]
pub struct Swap(Arc<RwLock<Client>>);

impl Swap {
    /// Begins with this client.
    #[must_use]
    pub fn new(client: Client) -> Swap {
        Swap(Arc::new(RwLock::new(client)))
    }

    /// From now on, requests go through this client. Those under way go on with the one that they began with.
    pub fn exchange(&self, client: Client) {
        *self.0.write() = client;
    }

    /// A client that follows the exchanges.
    #[must_use]
    pub fn client(&self) -> Client {
        let namespace = self.0.read().default_namespace().to_owned();
        Client::new(self.clone(), namespace)
    }
}

impl Service<http::Request<Body>> for Swap {
    type Response = http::Response<Body>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let current = self.0.read().clone();
        async move { Ok(current.send(request).await?) }.boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answering(text: &'static str) -> Client {
        let service = tower::service_fn(move |_: http::Request<Body>| async move {
            Ok::<_, BoxError>(http::Response::new(Body::from(text.as_bytes().to_vec())))
        });
        Client::new(service, "default")
    }

    #[tokio::test]
    async fn requests_go_to_whoever_is_current() {
        let swap = Swap::new(answering("1"));
        let client = swap.client();
        let ask = || async {
            let request = http::Request::get("/").body(Vec::new()).unwrap();
            client.request_text(request).await.unwrap()
        };
        assert_eq!(ask().await, "1");
        swap.exchange(answering("2"));
        assert_eq!(ask().await, "2");
    }
}
