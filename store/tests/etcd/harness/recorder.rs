//! A sink that keeps everything it is told, and insists on the contract.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use store::{Change, Key, Revision, Sink};
use tokio::sync::watch;
use tokio::time::timeout;

use super::SOON;

/// What is stored, by key.
pub(crate) type Contents = BTreeMap<String, (Revision, Bytes)>;

#[derive(Default)]
struct State {
    loading: Contents,
    contents: Contents,
    /// The changes since the last load, a call of `apply` each.
    calls: Vec<Vec<Change>>,
    loads: usize,
    unpublished: bool,
}

pub(crate) struct Recorder {
    state: Mutex<State>,
    revision: watch::Sender<Revision>,
}

impl Recorder {
    pub(crate) fn new() -> Arc<Recorder> {
        Arc::new(Recorder { state: Mutex::default(), revision: watch::Sender::new(Revision::ZERO) })
    }

    pub(crate) fn contents(&self) -> Contents {
        self.state.lock().contents.clone()
    }

    pub(crate) fn changes(&self) -> Vec<Change> {
        self.state.lock().calls.concat()
    }

    pub(crate) fn calls(&self) -> Vec<Vec<Change>> {
        self.state.lock().calls.clone()
    }

    pub(crate) fn loads(&self) -> usize {
        self.state.lock().loads
    }

    pub(crate) fn value(&self, key: &Key) -> Option<Bytes> {
        self.state.lock().contents.get(key.as_str()).map(|(_, value)| value.clone())
    }

    pub(crate) async fn reach(&self, revision: Revision) {
        let mut reached = self.revision.subscribe();
        let waited = timeout(SOON, reached.wait_for(|reached| *reached >= revision)).await;
        assert!(waited.is_ok(), "the sink is at {} and does not reach {revision}", self.revision());
    }
}

impl Sink for Recorder {
    fn load(&self, part: Vec<Change>) {
        let mut state = self.state.lock();
        for Change { key, revision, value } in part {
            let stored = (revision, value.expect("a load brings live keys"));
            let twice = state.loading.insert(key.as_str().to_owned(), stored);
            assert!(twice.is_none(), "{key} was loaded twice");
        }
    }

    fn loaded(&self, revision: Revision) {
        let mut state = self.state.lock();
        state.contents = std::mem::take(&mut state.loading);
        assert!(state.contents.values().all(|(of, _)| *of <= revision));
        state.calls.clear();
        state.loads += 1;
        drop(state);
        self.revision.send_replace(revision);
    }

    fn apply(&self, changes: Vec<Change>) {
        let last = changes.last().expect("no empty call").revision;
        assert!(changes[0].revision > self.revision(), "{:?} after {}", changes[0], self.revision());
        assert!(changes.is_sorted_by_key(|change| change.revision));
        let mut state = self.state.lock();
        assert!(state.loads > 0 && state.loading.is_empty());
        for Change { key, revision, value } in &changes {
            match value {
                Some(value) => state.contents.insert(key.as_str().to_owned(), (*revision, value.clone())),
                None => state.contents.remove(key.as_str()),
            };
        }
        state.calls.push(changes);
        state.unpublished = true;
        drop(state);
        self.revision.send_replace(last);
    }

    fn publish(&self) {
        self.state.lock().unpublished = false;
    }

    fn advance(&self, revision: Revision) {
        assert!(!self.state.lock().unpublished);
        assert!(revision >= self.revision(), "{revision} after {}", self.revision());
        self.revision.send_replace(revision);
    }

    fn skip(&self, revision: Revision) {
        panic!("nothing is lost in etcd, and yet {revision} was skipped to");
    }

    fn revision(&self) -> Revision {
        *self.revision.borrow()
    }

    fn revision_of(&self, key: &Key) -> Option<Revision> {
        self.state.lock().contents.get(key.as_str()).map(|(revision, _)| *revision)
    }
}
