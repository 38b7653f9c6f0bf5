//! A sink that keeps what it is told, and panics if it is told something out of order.

use std::collections::BTreeMap;

use bytes::Bytes;
use parking_lot::Mutex;
use store::{Change, Key, Revision, Sink};

/// What a sink has been told.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) live: BTreeMap<Key, (Revision, Bytes)>,
    pub(crate) log: Vec<Change>,
    pub(crate) revision: Revision,
    /// Where history begins.
    pub(crate) oldest: Revision,
    /// Where revisions were skipped to.
    pub(crate) skips: Vec<Revision>,
    /// How much of the log watchers were given.
    pub(crate) published: usize,
    loading: bool,
}

/// The state, shared.
#[derive(Debug, Default)]
pub(crate) struct TestSink(pub(crate) Mutex<State>);

impl State {
    pub(crate) fn values(&self) -> BTreeMap<String, (u64, Bytes)> {
        self.live.iter().map(|(key, (at, value))| (key.to_string(), (at.0, value.clone()))).collect()
    }
}

impl Sink for TestSink {
    fn load(&self, part: Vec<Change>) {
        let mut state = self.0.lock();
        if !state.loading {
            *state = State { loading: true, ..State::default() };
        }
        for Change { key, revision, value } in part {
            let value = value.expect("only live keys are loaded");
            assert!(state.live.insert(key.clone(), (revision, value)).is_none(), "{key} is loaded twice");
        }
    }

    fn loaded(&self, revision: Revision) {
        let mut state = self.0.lock();
        if !state.loading {
            *state = State::default();
        }
        assert!(state.live.values().all(|(at, _)| *at <= revision));
        state.loading = false;
        state.revision = revision;
        state.oldest = revision;
    }

    fn apply(&self, changes: Vec<Change>) {
        let mut state = self.0.lock();
        assert!(!state.loading);
        for change in changes {
            assert!(change.revision > state.revision, "{} after {}", change.revision, state.revision);
            state.revision = change.revision;
            match &change.value {
                Some(value) => drop(state.live.insert(change.key.clone(), (change.revision, value.clone()))),
                None => assert!(state.live.remove(&change.key).is_some(), "{} is deleted and absent", change.key),
            }
            state.log.push(change);
        }
    }

    fn publish(&self) {
        let mut state = self.0.lock();
        state.published = state.log.len();
    }

    fn advance(&self, revision: Revision) {
        let mut state = self.0.lock();
        state.revision = state.revision.max(revision);
    }

    fn skip(&self, revision: Revision) {
        let mut state = self.0.lock();
        assert!(revision >= state.revision);
        state.revision = revision;
        state.skips.push(revision);
    }

    fn revision(&self) -> Revision {
        self.0.lock().revision
    }

    fn revision_of(&self, key: &Key) -> Option<Revision> {
        self.0.lock().live.get(key).map(|(at, _)| *at)
    }
}
