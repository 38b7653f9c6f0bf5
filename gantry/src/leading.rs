//! Work that one process at a time does: the one that holds a Lease.

use client::clock::Clock;
use client::election::{Candidate, NamedLease, Timing, guarded};
use kube::{Api, Client};
use tokio::time::Duration;

use crate::process;

/// Where upstream's components keep their Leases.
pub(crate) const NAMESPACE: &str = "kube-system";

/// What the leading process holds.
#[derive(Clone, Debug)]
pub(crate) struct Seat {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) timing: Timing,
}

impl Seat {
    /// A Lease of that name where upstream's are.
    pub(crate) fn new(name: &str, timing: Timing) -> Seat {
        Seat { namespace: NAMESPACE.to_owned(), name: name.to_owned(), timing }
    }
}

/// The timing of a lease that lasts so long, in upstream's proportions.
pub(crate) fn timing(lease: Duration) -> Timing {
    Timing { lease, renew: lease * 2 / 3, retry: lease * 2 / 15 }
}

/// Does `work` whenever this process leads, with a client that can change things only while it does. Runs until it is
/// dropped.
pub(crate) async fn lead<W: Future<Output = ()>>(client: Client, seat: Seat, work: impl Fn(Client) -> W) {
    let identity = format!("{}_{}", process::host_name(), std::process::id());
    let lease = NamedLease::new(Api::namespaced(client.clone(), &seat.namespace), &seat.name);
    let mut candidate = Candidate::new(lease, identity, seat.timing, Clock::Machine);
    loop {
        if candidate.lead(|leadership| work(guarded(&client, leadership))).await.is_none() {
            tracing::warn!(lease = seat.name, "another process leads now");
        }
    }
}
