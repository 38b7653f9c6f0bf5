//! Reading the configuration again when its file changes.
//!
//! What cannot be used is said once, and changes nothing. New rules hold at once for what is written from then on; they count
//! as loaded when those writes are over that earlier rules have sealed.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use store::Store;
use tokio_util::sync::CancellationToken;

use super::{Encryption, Kept, Rules, file};
use crate::entry::Objects;

/// How often the file is looked at.
const INTERVAL: Duration = Duration::from_secs(1);
/// How often it is looked whether the writes of earlier rules are over.
const SETTLE: Duration = Duration::from_millis(10);

impl Encryption {
    /// Reads the configuration again whenever its file changes, if that was asked for, until `stopping`.
    pub(crate) fn follow(&self, store: Store<Objects>, stopping: CancellationToken) {
        let Some(path) = self.followed().map(Path::to_owned) else { return };
        let encryption = self.clone();
        tokio::spawn(async move {
            let followed = async {
                // What could not be used last, which is said once.
                let mut refused = String::new();
                loop {
                    tokio::time::sleep(INTERVAL).await;
                    encryption.look(&path, &store, &mut refused).await;
                }
            };
            let _: Option<()> = stopping.run_until_cancelled(followed).await;
        });
    }

    /// Looks at the file once.
    pub(super) async fn look(&self, path: &Path, store: &Store<Objects>, refused: &mut String) {
        let (mark, read) = match tokio::fs::read(path).await {
            Ok(bytes) => (file::hash(&bytes), file::understand(path, &bytes)),
            Err(source) => (source.to_string(), Err(file::EncryptionError::File { path: path.to_owned(), source })),
        };
        if mark == self.rules().hash() {
            refused.clear();
            return;
        }
        if mark == *refused {
            return;
        }
        match read {
            Ok(loaded) => {
                refused.clear();
                self.load(Arc::new(loaded.rules), store).await;
                self.0.reloads.fetch_add(1, Ordering::Relaxed);
                tracing::info!(path = %path.display(), hash = mark, "the encryption configuration was read again");
            }
            Err(error) => {
                self.0.failed_reloads.fetch_add(1, Ordering::Relaxed);
                tracing::error!(%error, "the encryption configuration has changed and is not used: that of before holds");
                *refused = mark;
            }
        }
    }

    /// Goes by these rules, and returns when nothing is written by earlier ones any more.
    pub(super) async fn load(&self, rules: Arc<Rules>, store: &Store<Objects>) {
        let hash = rules.hash().to_owned();
        let old = self.replace(rules);
        while Arc::strong_count(&old) > 1 {
            tokio::time::sleep(SETTLE).await;
        }
        // What could not be read until now may have a key again.
        store.decode_again(|entry| matches!(entry.kept(), Kept::Unreadable(_)).then(|| entry.bytes().clone()));
        self.warn_of_loss(store);
        *self.0.loaded.write() = hash;
    }
}
