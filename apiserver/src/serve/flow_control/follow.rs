//! Keeps schemas and levels true to the store.

use std::sync::Arc;

use api::status::Status;
use serde::de::DeserializeOwned;
use store::{Event, Prefix, Snapshot, Store};
use tokio_util::sync::CancellationToken;

use super::FlowControl;
use crate::entry::{Entry, Objects, ROOT};
use crate::follow::{Follower, follow};

const GROUP: &str = "flowcontrol.apiserver.k8s.io/";

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
        follow(Arc::clone(self), store, stopping).await
    }
}

impl Follower for Arc<FlowControl> {
    fn path(&self) -> &str {
        GROUP
    }

    fn replace(&self, snapshot: &Snapshot<Entry>, _: &Prefix) {
        self.configure(read(snapshot, "flowschemas/"), read(snapshot, "prioritylevelconfigurations/"));
    }

    /// Changes are rare, and there are few objects: all are read anew.
    fn take(&self, _: &[Arc<Event<Entry>>]) -> bool {
        false
    }
}

/// All objects of a resource. What cannot be read is left out; this program wrote it.
fn read<T: DeserializeOwned>(snapshot: &Snapshot<Entry>, resource: &str) -> Vec<T> {
    let Ok(prefix) = Prefix::new(&format!("{ROOT}{GROUP}{resource}")) else { return Vec::new() };
    let read = |bytes: &[u8]| match serde_json::from_slice(bytes) {
        Ok(object) => Some(object),
        Err(error) => {
            tracing::error!(resource, %error, "what is stored cannot be read");
            None
        }
    };
    snapshot.range(&prefix, None).filter_map(|(_, stored)| read(stored.entry.bytes())).collect()
}
