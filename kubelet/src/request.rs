//! Requests to the API server that are not waited for without end.

use std::future::Future;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::time::timeout;

/// How long a request may take.
const REQUEST: Duration = Duration::from_secs(30);

/// Why a request was of no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The server said so, or it was not reached.
    #[error(transparent)]
    Refused(#[from] kube::Error),
    /// The server said nothing.
    #[error("no answer in time")]
    Late,
}

impl Failure {
    /// Whether the server answered with this code.
    pub(crate) fn is(&self, code: u16) -> bool {
        matches!(self, Failure::Refused(kube::Error::Api(status)) if status.code == code)
    }

    /// Whether the server will most likely answer the same the next time.
    pub(crate) fn is_for_good(&self) -> bool {
        matches!(self, Failure::Refused(kube::Error::Api(status)) if (400..500).contains(&status.code) && status.code != 429)
    }
}

/// Waits for an answer, but not for ever. A request takes memory only while it is made: most of the time, most nodes make
/// none.
pub(crate) fn ask<'a, T>(
    request: impl Future<Output = Result<T, kube::Error>> + Send + 'a,
) -> BoxFuture<'a, Result<T, Failure>> {
    async { timeout(REQUEST, request).await.map_or(Err(Failure::Late), |answer| Ok(answer?)) }.boxed()
}
