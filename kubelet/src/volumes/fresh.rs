//! Keeps the files of volumes as the objects are that they come from.
//!
//! What has changed is written soon after it was seen. Everything is looked at about once a minute besides, as upstream
//! does it: tokens are renewed then, and what could not be written is tried again.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Duration, Instant, sleep_until};

use super::{Problem, Volumes};

/// How often everything is looked at (upstream's pods are synchronised as often).
const PERIOD: Duration = Duration::from_secs(60);
/// How many pods are looked at at once.
const AT_ONCE: usize = 8;

/// Pods of which an object has changed. There are no more of them than pods.
#[derive(Default)]
pub(super) struct Changes {
    uids: Mutex<BTreeSet<String>>,
    added: Notify,
}

impl Changes {
    pub(super) fn add(&self, uid: &str) {
        self.uids.lock().insert(uid.to_owned());
        self.added.notify_one();
    }

    fn take(&self) -> BTreeSet<String> {
        std::mem::take(&mut self.uids.lock())
    }
}

impl Volumes {
    /// Keeps files as they should be, until it is dropped. `problem` is told of what could not be written, and of which pod.
    pub async fn keep_fresh(self: Arc<Self>, problem: impl Fn(&Arc<Pod>, &Problem) + Send + Sync) {
        let mut all_at = Instant::now() + PERIOD;
        loop {
            let is_time = tokio::select! {
                biased;
                () = self.changes.added.notified() => false,
                () = sleep_until(all_at) => true,
            };
            let mut uids = self.changes.take();
            if is_time {
                all_at = Instant::now() + PERIOD;
                uids.extend(self.pods.lock().keys().cloned());
            }
            // One that waits for an answer holds up few others.
            let problem = &problem;
            let volumes = &self;
            let each = futures::stream::iter(uids).map(|uid| async move {
                let known = volumes.pods.lock().get(&uid).cloned()?;
                let found = volumes.refresh_known(&uid, &known).await.err()?;
                let pod = Arc::clone(&known.state.lock().pod);
                problem(&pod, &found);
                Some(())
            });
            each.buffer_unordered(AT_ONCE).for_each(|_| std::future::ready(())).await;
        }
    }
}
