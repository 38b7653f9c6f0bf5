//! What makes an engine that answers requests a server: TLS, connections, limits, and the pipeline that every request
//! passes.
//!
//! What always holds:
//!
//! - a request reaches the [`Handler`] only after it was authenticated and authorized; the health checks and the version
//!   are all that anybody may ask for;
//! - nothing that a client sends, or fails to send or read, takes unbounded memory or time: every wait has a limit, and
//!   every size and count has one in [`Limits`];
//! - certificates are renewed before their time is over, and new connections are shown the new one;
//! - a panic in a handler ends that request alone;
//! - after shutdown is asked for, requests under way are finished and streams are ended before the process goes.

mod advertised;
mod answer;
mod authority;
mod body;
mod connection;
mod deadline;
pub(crate) mod files;
mod flow_control;
mod impersonation;
mod in_flight;
mod kubeconfig;
mod limits;
mod listener;
mod local;
mod pipeline;
mod renewal;
mod takeover;
mod tls;

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use futures::future::BoxFuture;

pub use advertised::advertised_address;
pub use answer::{status_response, text_response};
pub use authority::{Authority, AuthorityError, Entry, Keeper, PemPair, inventory, renew, serving_names};
pub use body::{full_body, read_body};
pub(crate) use flow_control::StoredSizes;
pub use kubeconfig::server_url;
pub use limits::Limits;
pub(crate) use listener::prepare as keep_alive;
pub use listener::{Listener, Running};
pub use local::Local;
pub use pipeline::Pipeline;
pub use renewal::Renewal;
pub use takeover::{ClientAddress, Patience, TakenOver};
pub(crate) use tls::certified;
pub use tls::{ServingCertificate, TlsError, server_config};

/// Any error that a body can end with.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of a request. It fails with an error that [`read_body`] maps once it exceeds [`Limits::body_bytes`].
pub type RequestBody = http_body_util::combinators::UnsyncBoxBody<Bytes, BoxError>;

/// The body of a response.
pub type ResponseBody = http_body_util::combinators::UnsyncBoxBody<Bytes, BoxError>;

/// What tells the time of day. Certificates are judged by it.
pub type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// Where random numbers come from, for the IDs of requests and the serial numbers of certificates.
pub type Random = Arc<dyn Fn() -> u128 + Send + Sync>;

/// Set in every request's extensions: cancelled when the server begins to shut down. Handlers of connections that they
/// took over (exec and the like) end them then; response bodies of long-running requests are ended for them.
#[derive(Clone, Debug)]
pub struct Stopping(pub tokio_util::sync::CancellationToken);

/// What answers requests that have been authenticated and authorized. In the request's extensions are the identity as
/// `Arc<authn::Identity>`, what was authorized as `Arc<authz::Attributes>`, and [`Stopping`]; for those that came over a
/// connection also [`ClientAddress`] and [`Patience`].
///
/// A handler that takes a connection over answers `101`, and puts [`TakenOver`] into the extensions of that.
///
/// The future of a request is dropped when its client disconnects and when its time is up. What must not be left half
/// done belongs in a task of its own.
pub trait Handler: Send + Sync + 'static {
    /// Answers a request.
    fn handle(self: Arc<Self>, request: http::Request<RequestBody>)
    -> BoxFuture<'static, http::Response<ResponseBody>>;

    /// Whether the request may run for as long as the client wants (watch, log, exec and the like): it is exempt from the
    /// limits on time, on concurrent requests and on the body.
    fn is_long_running(&self, parts: &http::request::Parts) -> bool;
}

/// The clock of this machine.
#[must_use]
pub fn system_clock() -> Clock {
    Arc::new(SystemTime::now)
}

/// Random numbers that nobody can foretell.
#[must_use]
pub fn system_random() -> Random {
    Arc::new(|| {
        let mut bytes = [0; 16];
        aws_lc_rs::rand::fill(&mut bytes).expect("the generator reseeds itself and has nothing that can fail");
        u128::from_ne_bytes(bytes)
    })
}

#[cfg(test)]
mod tests;
