//! Keeps schemas and levels true to the store.

use std::sync::Arc;
use std::time::Duration;

use api::status::Status;
use serde::de::DeserializeOwned;
use store::{At, Prefix, Scope, Snapshot, Store, Watch, WatchClosed, WatchOptions};
use tokio_util::sync::CancellationToken;

use super::FlowControl;
use crate::engine::{read_failed, watch_failed};
use crate::entry::{Entry, Objects, ROOT};

const GROUP: &str = "flowcontrol.apiserver.k8s.io/";
/// How many changes may wait. Who cannot keep up begins anew.
const QUEUE: usize = 1000;
/// How long it takes to begin anew when that failed.
const PAUSE: Duration = Duration::from_secs(1);

impl FlowControl {
    /// Does as the store says, and from then on follows it until `stopping`.
    ///
    /// # Errors
    /// What the store answered.
    pub(crate) async fn follow(
        self: &Arc<Self>,
        store: Store<Objects>,
        stopping: CancellationToken,
    ) -> Result<(), Status> {
        let watch = self.begin(&store).await?;
        let followed = Arc::clone(self);
        tokio::spawn(async move { stopping.run_until_cancelled(followed.keep(&store, watch)).await });
        Ok(())
    }

    async fn keep(&self, store: &Store<Objects>, mut watch: Watch<Entry>) {
        let mut events = Vec::new();
        loop {
            // Changes are rare, and there are few objects: all are read anew.
            match watch.next(&mut events).await {
                Err(WatchClosed::Closed) => return,
                Ok(()) | Err(_) => watch = self.again(store).await,
            }
        }
    }

    /// Begins anew. What is known until then stays in force.
    async fn again(&self, store: &Store<Objects>) -> Watch<Entry> {
        loop {
            match self.begin(store).await {
                Ok(begun) => return begun,
                Err(error) => {
                    tracing::warn!(%error, "changes of flow control do not show at the moment");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    async fn begin(&self, store: &Store<Objects>) -> Result<Watch<Entry>, Status> {
        let prefix = Prefix::new(&format!("{ROOT}{GROUP}")).map_err(Status::internal_error)?;
        let snapshot = store.snapshot(&prefix, At::Latest).await.map_err(read_failed)?;
        let options = WatchOptions { queue: QUEUE, ..WatchOptions::new(Scope::Prefix(prefix), snapshot.revision()) };
        let watch = store.watch(options).map_err(watch_failed)?;
        self.configure(read(&snapshot, "flowschemas/")?, read(&snapshot, "prioritylevelconfigurations/")?);
        Ok(watch)
    }
}

/// All objects of a resource. What cannot be read is left out; this program wrote it.
fn read<T: DeserializeOwned>(snapshot: &Snapshot<Entry>, resource: &str) -> Result<Vec<T>, Status> {
    let prefix = Prefix::new(&format!("{ROOT}{GROUP}{resource}")).map_err(Status::internal_error)?;
    let read = |bytes: &[u8]| match serde_json::from_slice(bytes) {
        Ok(object) => Some(object),
        Err(error) => {
            tracing::error!(resource, %error, "what is stored cannot be read");
            None
        }
    };
    Ok(snapshot.range(&prefix, None).filter_map(|(_, stored)| read(stored.entry.bytes())).collect())
}
