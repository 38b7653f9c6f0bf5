//! What has happened and the engine has not been told yet, in order.

use client::cache::Change;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Something that the engine is to be told.
pub(super) enum Input {
    Change(Change),
    Prepared(String, Result<(), String>),
    Bound(String, Result<(), String>),
    Preempted(String, Result<(), String>),
}

#[derive(Default)]
pub(super) struct Inbox {
    inputs: Mutex<Vec<Input>>,
    filled: Notify,
}

impl Inbox {
    pub(super) fn put(&self, input: Input) {
        self.inputs.lock().push(input);
        self.filled.notify_one();
    }

    pub(super) fn take(&self) -> Vec<Input> {
        std::mem::take(&mut *self.inputs.lock())
    }

    /// Resolves when something was put there since it was waited for last.
    pub(super) async fn filled(&self) {
        self.filled.notified().await;
    }
}
