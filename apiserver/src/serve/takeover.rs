//! What a handler needs to know and to hold that takes a connection over, or streams to it for as long as its client wants.

use std::any::Any;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// How long a client may take nothing of what is sent to it while it was told that this is all right: as long as upstream's
/// kubelets keep idle streams (`streamingConnectionIdleTimeout`).
const MOST_PATIENCE: Duration = Duration::from_secs(4 * 60 * 60);

/// The address of the client, in the extensions of requests that came over a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

/// How long a client may take nothing of what is sent to it, in the extensions of requests that came over a connection.
///
/// What people look at may stand still for long, as a log in a pager does. It is a property of the connection, so that the
/// next request sets it back.
#[derive(Clone, Debug)]
pub struct Patience(Arc<AtomicU64>);

impl Patience {
    pub(super) fn new(time: Duration) -> Patience {
        let patience = Patience(Arc::default());
        patience.set(time);
        patience
    }

    pub(super) fn set(&self, time: Duration) {
        self.0.store(u64::try_from(time.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(super) fn time(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }

    /// Has the server wait for hours, until the next request of the connection.
    pub fn extend(&self) {
        self.set(MOST_PATIENCE);
    }
}

type Held = Box<dyn Any + Send>;

/// Set in the extensions of an answer of `101`: hands what the request occupies over to whoever takes the connection over,
/// so that it counts as under way until that ends.
#[derive(Clone)]
pub struct TakenOver(Arc<Mutex<Option<oneshot::Sender<Held>>>>);

impl TakenOver {
    /// For an answer, and what receives for whoever takes over. Receiving fails if the answer is never sent.
    #[must_use]
    pub fn new() -> (TakenOver, oneshot::Receiver<Held>) {
        let (sender, receiver) = oneshot::channel();
        (TakenOver(Arc::new(Mutex::new(Some(sender)))), receiver)
    }

    pub(super) fn hand_over(&self, held: impl Any + Send) {
        if let Some(sender) = self.0.lock().take() {
            // Nobody is there any more if the server is stopping.
            let _ = sender.send(Box::new(held));
        }
    }
}
