//! Brings the sink to a revision that was promised to readers, when no change of ours does.
//!
//! etcd counts every change of every key, so that its current revision may lie beyond the last event of our watch: another
//! program's keys moved it. A write inside the watched range settles it, on every version of etcd: its event comes after
//! all earlier ones. At most one such write is under way, whatever the number of readers, and none is made while the
//! watch merely is a moment behind.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::Shared;
use super::failure::FailureKind;
use super::members::Backoff;
use crate::key::Revision;

/// How long the watch is given to bring the revision by itself.
const GRACE: Duration = Duration::from_millis(10);

/// How long a barrier's event may take before another barrier is written.
const ARRIVAL: Duration = Duration::from_secs(5);

/// Runs until the task is ended.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut wanted = shared.wanted.subscribe();
    let mut backoff = Backoff::new();
    loop {
        let target = *wanted.borrow_and_update();
        if reached(&shared, target, GRACE).await {
            backoff.reset();
            if wanted.changed().await.is_err() {
                return;
            }
            continue;
        }
        if !raise(&shared).await || !reached(&shared, target, ARRIVAL).await {
            backoff.wait().await;
        }
    }
}

async fn reached(shared: &Shared, target: Revision, within: Duration) -> bool {
    let mut applied = shared.applied.subscribe();
    timeout(within, applied.wait_for(|applied| *applied >= target)).await.is_ok_and(|waited| waited.is_ok())
}

/// Makes an event on the barrier key. An etcd without space takes no put but still takes the deletion of the key that
/// earlier barriers left.
async fn raise(shared: &Shared) -> bool {
    let key = shared.keyspace.barrier();
    let deadline = Instant::now() + shared.options.retry_for;
    let put = |mut kv: etcd_client::KvClient| {
        let key = key.clone();
        async move { kv.put(key, "", None).await }
    };
    let failure = match shared.members.persist(deadline, put).await {
        Ok(_) => return true,
        Err(failure) => failure,
    };
    if failure.kind == FailureKind::NoSpace {
        let delete = |mut kv: etcd_client::KvClient| {
            let key = key.clone();
            async move { kv.delete(key, None).await }
        };
        if shared.members.persist(deadline, delete).await.is_ok_and(|response| response.deleted() > 0) {
            return true;
        }
    }
    tracing::warn!(%failure, "cannot write a barrier to etcd; consistent reads wait");
    false
}
