//! What lies between the API server and its clients: requests and answers get lost, are late, and watches break.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use apiserver::authn::Identity;
use apiserver::core::Core;
use apiserver::serve::{BoxError, ResponseBody};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use kube::Client;
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::time::sleep;
use tower_service::Service;

use super::faults::Faults;

/// How long a request is under way, mostly, and when it is late.
const QUICK: Duration = Duration::from_millis(2);
const LATE: Duration = Duration::from_secs(5);
/// How long a watch that is to break goes on before.
const BREAKS_WITHIN: Duration = Duration::from_secs(60);

/// The way to whatever API server runs at the time. Cloning gives another handle to the same.
#[derive(Clone)]
pub struct Network {
    server: Arc<Mutex<Option<Arc<Core>>>>,
    faults: Faults,
}

impl Network {
    /// A network with no server on it.
    #[must_use]
    pub fn new(faults: Faults) -> Network {
        Network { server: Arc::default(), faults }
    }

    /// Puts a server on the network, or takes it off.
    pub fn connect(&self, server: Option<Arc<Core>>) {
        *self.server.lock() = server;
    }

    /// A client on the network.
    #[must_use]
    pub fn client(&self, user: &str, groups: &[&str]) -> Client {
        let groups = groups.iter().map(|group| (*group).to_owned()).collect();
        let identity = Identity { user: user.to_owned(), groups, ..Identity::default() };
        Client::new(Link { network: self.clone(), identity, binds: None }, "default")
    }

    /// A client on the network, every Binding of which is shown to `binds` when it is sent.
    #[must_use]
    pub fn binding_client(&self, user: &str, binds: Binds) -> Client {
        let identity = Identity { user: user.to_owned(), ..Identity::default() };
        Client::new(Link { network: self.clone(), identity, binds: Some(binds) }, "default")
    }
}

/// One client's way to the server.
#[derive(Clone)]
struct Link {
    network: Network,
    identity: Identity,
    binds: Option<Binds>,
}

/// Sees Bindings.
pub type Binds = Arc<dyn Fn(&Value) + Send + Sync>;

/// Shows the request if it is a Binding.
async fn show(request: Request<Body>, binds: &Binds) -> Result<Request<Body>, BoxError> {
    if !request.uri().path().ends_with("/binding") {
        return Ok(request);
    }
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    binds(&serde_json::from_slice(&body)?);
    Ok(Request::from_parts(head, Body::from(body.to_vec())))
}

fn lost(what: &str) -> BoxError {
    io::Error::new(io::ErrorKind::ConnectionReset, what.to_owned()).into()
}

impl Service<Request<Body>> for Link {
    type Response = Response<ResponseBody>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let Link { network, identity, binds } = self.clone();
        async move {
            let request = match &binds {
                Some(binds) => show(request, binds).await?,
                None => request,
            };
            let faults = &network.faults;
            let late = faults.strikes(500);
            sleep(faults.up_to(if late { LATE } else { QUICK })).await;
            if faults.strikes(500) {
                return Err(lost("the request is lost"));
            }
            let server = network.server.lock().clone();
            let Some(server) = server else { return Err(lost("nobody listens")) };
            let gone = server.stopping().clone();
            let mut local = server.local(identity);
            drop(server);
            let answer = gone.run_until_cancelled(local.call(request)).await;
            let Some(Ok(answer)) = answer else { return Err(lost("the server is gone")) };
            if faults.strikes(500) {
                return Err(lost("the answer is lost"));
            }
            let breaks = faults.strikes(20).then(|| faults.up_to(BREAKS_WITHIN));
            Ok(answer.map(|body| match breaks {
                Some(after) => broken(body, after),
                None => body,
            }))
        }
        .boxed()
    }
}

/// A body that ends early if it is not over after a while.
fn broken(body: ResponseBody, after: Duration) -> ResponseBody {
    let frames = body.into_data_stream().map(|data| data.map(Frame::data));
    StreamBody::new(frames.take_until(sleep(after).boxed())).boxed_unsync()
}
