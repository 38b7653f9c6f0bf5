//! Keeps something in memory true to a part of the store, for those who must know it without waiting.
//!
//! What always holds: what is known was true, and if changes cannot be had for a time, it stays in force until they can.

use std::sync::Arc;
use std::time::Duration;

use api::status::Status;
use store::{At, Event, Prefix, Scope, Snapshot, Store, Watch, WatchClosed, WatchOptions};
use tokio_util::sync::CancellationToken;

use crate::engine::{read_failed, watch_failed};
use crate::entry::{Entry, Objects, ROOT};

/// How many changes may wait. Who cannot keep up begins anew.
const QUEUE: usize = 10_000;

/// How long it takes to begin anew when that failed.
const PAUSE: Duration = Duration::from_secs(1);

/// What is kept true to the store.
pub(crate) trait Follower: Send + Sync + 'static {
    /// Which part of the store: what the paths of its objects begin with.
    fn path(&self) -> &str;

    /// Knows this, and nothing else. All that there is of its part is below the prefix.
    fn replace(&self, snapshot: &Snapshot<Entry>, prefix: &Prefix);

    /// Takes in what has changed, in this order; or says `false`, and is told all anew.
    fn take(&self, events: &[Arc<Event<Entry>>]) -> bool;
}

/// Has a follower know what is in the store, and follow it from then on until `stopping`.
///
/// # Errors
/// What the store answered.
pub(crate) async fn follow(
    follower: impl Follower,
    store: Store<Objects>,
    stopping: CancellationToken,
) -> Result<(), Status> {
    let watch = begin(&follower, &store).await?;
    tokio::spawn(async move { stopping.run_until_cancelled(keep(&follower, &store, watch)).await });
    Ok(())
}

async fn keep(follower: &impl Follower, store: &Store<Objects>, mut watch: Watch<Entry>) {
    let mut events = Vec::new();
    loop {
        match watch.next(&mut events).await {
            Ok(()) if follower.take(&events) => {}
            Err(WatchClosed::Closed) => return,
            Ok(()) | Err(_) => watch = again(follower, store).await,
        }
    }
}

async fn again(follower: &impl Follower, store: &Store<Objects>) -> Watch<Entry> {
    loop {
        match begin(follower, store).await {
            Ok(begun) => return begun,
            Err(error) => {
                tracing::warn!(%error, path = follower.path(), "changes have no effect at the moment");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Takes in what there is, and watches from there.
async fn begin(follower: &impl Follower, store: &Store<Objects>) -> Result<Watch<Entry>, Status> {
    let prefix = Prefix::new(&format!("{ROOT}{}", follower.path())).map_err(Status::internal_error)?;
    let snapshot = store.snapshot(&prefix, At::Latest).await.map_err(read_failed)?;
    let scope = Scope::Prefix(prefix.clone());
    let options = WatchOptions { queue: QUEUE, ..WatchOptions::new(scope, snapshot.revision()) };
    let watch = store.watch(options).map_err(watch_failed)?;
    follower.replace(&snapshot, &prefix);
    Ok(watch)
}
