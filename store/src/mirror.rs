//! Everything that is stored, in memory: the side of the store that reads are served from.
//!
//! The state is changed from one place (the backend, through [`Sink`]) and read from many. A reader holds the lock for one
//! look-up, or for taking a snapshot, whose cost does not depend on the number of keys. Watches are published to under a
//! lock of their own, so that fan-out delays neither readers nor the acknowledgement of writes.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch as revision_channel;

use crate::backend::{Change, Sink};
use crate::codec::Codec;
use crate::error::{ReadError, WatchClosed, WatchError};
use crate::event::{Event, EventKind, Stored};
use crate::history::{History, HistoryLimits};
use crate::hub::{Hub, selects};
use crate::key::{Key, Prefix, Revision};
use crate::snapshot::{Entries, Snapshot};
use crate::watch::{Queue, Watch, WatchOptions};

/// The most watches that may be open at a time.
pub(crate) const MAX_WATCHES: usize = 100_000;

pub(crate) struct Mirror<C: Codec> {
    codec: C,
    state: RwLock<State<C::Entry>>,
    /// What a load has brought so far.
    loading: Mutex<Entries<C::Entry>>,
    hub: Mutex<Hub<C::Entry>>,
    reached: revision_channel::Sender<Reached>,
}

/// What those wait on who need a revision.
#[derive(Clone, Copy, Default)]
struct Reached {
    revision: Revision,
    closed: bool,
}

struct State<E> {
    entries: Entries<E>,
    history: History<E>,
    revision: Revision,
    unpublished: Vec<Arc<Event<E>>>,
    loaded: bool,
    closed: bool,
}

/// Figures about a mirror, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreStats {
    /// The newest revision.
    pub revision: Revision,
    /// The oldest revision that can be read at or watched from.
    pub oldest: Revision,
    /// The number of keys.
    pub keys: usize,
    /// The number of changes in the history.
    pub history_events: usize,
    /// The memory that superseded entries in the history take, in bytes.
    pub history_weight: usize,
    /// The number of open watches.
    pub watches: usize,
}

impl<C: Codec> Mirror<C> {
    pub(crate) fn new(codec: C, limits: HistoryLimits) -> Self {
        let state = State {
            entries: Entries::new(),
            history: History::new(limits),
            revision: Revision::ZERO,
            unpublished: Vec::new(),
            loaded: false,
            closed: false,
        };
        Mirror {
            codec,
            state: RwLock::new(state),
            loading: Mutex::new(Entries::new()),
            hub: Mutex::new(Hub::new()),
            reached: revision_channel::Sender::new(Reached::default()),
        }
    }

    pub(crate) fn codec(&self) -> &C {
        &self.codec
    }

    pub(crate) fn get(&self, key: &Key) -> Option<Stored<C::Entry>> {
        self.state.read().entries.get(key).cloned()
    }

    pub(crate) fn snapshot(&self) -> Snapshot<C::Entry> {
        let state = self.state.read();
        Snapshot::new(state.revision, state.entries.clone())
    }

    /// The state at `revision` of the keys under `prefix`; what the snapshot holds of other keys has no meaning.
    pub(crate) fn snapshot_at(&self, revision: Revision, prefix: &Prefix) -> Result<Snapshot<C::Entry>, ReadError> {
        let state = self.state.read();
        if revision > state.revision {
            return Err(ReadError::Future { requested: revision, current: state.revision });
        }
        let since = state.history.since(revision);
        let since = since.map_err(|oldest| ReadError::Compacted { requested: revision, oldest })?;
        let mut snapshot = Snapshot::new(state.revision, state.entries.clone());
        snapshot.undo(revision, prefix, since.rev());
        Ok(snapshot)
    }

    /// The change that `key` underwent at `revision`, while history has it.
    pub(crate) fn event_at(&self, revision: Revision, key: &Key) -> Option<Arc<Event<C::Entry>>> {
        self.state.read().history.at(revision).find(|event| event.key == *key).cloned()
    }

    /// Waits until the current revision is `revision` or later.
    pub(crate) async fn reach(&self, revision: Revision) -> Result<(), ReadError> {
        if self.revision() >= revision {
            return Ok(());
        }
        let mut reached = self.reached.subscribe();
        let waited = reached.wait_for(|reached| reached.revision >= revision || reached.closed).await;
        if waited.is_ok_and(|reached| reached.revision >= revision) { Ok(()) } else { Err(ReadError::Closed) }
    }

    pub(crate) fn watch(mirror: &Arc<Self>, options: WatchOptions) -> Result<Watch<C::Entry>, WatchError> {
        let mut hub = mirror.hub.lock();
        if hub.len() >= MAX_WATCHES {
            return Err(WatchError::TooMany { limit: MAX_WATCHES });
        }
        let state = mirror.state.read();
        if state.closed {
            return Err(WatchError::Closed);
        }
        let requested = options.from;
        if requested > state.revision {
            return Err(WatchError::Future { requested, current: state.revision });
        }
        let since = state.history.since(requested).map_err(|oldest| WatchError::Compacted { requested, oldest })?;
        // The hub is locked: what is published up to now comes from history, and the rest through the hub.
        let published = hub.published();
        let backlog = since
            .take_while(|event| event.revision <= published)
            .filter(|event| options.scope.contains(&event.key) && selects(&mirror.codec, &options.select, event))
            .cloned()
            .collect();
        // A watch may begin at a revision that is applied but not yet published.
        drop(state);
        let queue = Arc::new(Queue::new(backlog, options.queue, requested));
        let WatchOptions { scope, select, .. } = options;
        hub.insert(&scope, &select, Arc::clone(&queue));
        let (hub_of, filed) = (Arc::downgrade(mirror), Arc::clone(&queue));
        let leave = move || {
            if let Some(mirror) = hub_of.upgrade() {
                mirror.hub.lock().remove(&scope, &select, &filed);
            }
        };
        Ok(Watch::new(queue, hub.published_cell(), requested, Box::new(leave)))
    }

    /// Makes entries anew of the bytes that `stored_bytes` gives of them. What changes meanwhile is decoded by its change.
    pub(crate) fn decode_again(&self, stored_bytes: impl Fn(&C::Entry) -> Option<Bytes>) -> usize {
        let before = self.state.read().entries.clone();
        let again = before.iter().filter_map(|(key, old)| Some((key, old, stored_bytes(&old.entry)?)));
        let decoded = again.map(|(key, old, bytes)| (key, old, self.codec.decode(key, old.revision, bytes)));
        let decoded: Vec<_> = decoded.collect();
        let mut state = self.state.write();
        let mut count = 0;
        for (key, old, entry) in decoded {
            if state.entries.get(key).is_some_and(|now| Arc::ptr_eq(&now.entry, &old.entry)) {
                state.entries.insert(key.clone(), Stored { revision: old.revision, entry: Arc::new(entry) });
                count += 1;
            }
        }
        count
    }

    /// Forgets history through `through`.
    pub(crate) fn trim(&self, through: Revision) {
        let mut state = self.state.write();
        let through = through.min(state.revision);
        state.history.trim(through);
    }

    /// Ends every watch and everyone who waits for a revision. Reads go on.
    pub(crate) fn close(&self) {
        self.state.write().closed = true;
        self.hub.lock().close_all(WatchClosed::Closed);
        self.reached.send_modify(|reached| reached.closed = true);
    }

    pub(crate) fn stats(&self) -> StoreStats {
        let watches = self.hub.lock().len();
        let state = self.state.read();
        StoreStats {
            revision: state.revision,
            oldest: state.history.floor(),
            keys: state.entries.len(),
            history_events: state.history.len(),
            history_weight: state.history.weight(),
            watches,
        }
    }

    fn apply_one(&self, state: &mut State<C::Entry>, key: Key, revision: Revision, entry: Option<Arc<C::Entry>>) {
        debug_assert!(revision >= state.revision, "changes come in revision order");
        let (kind, entry, previous) = match entry {
            Some(entry) => {
                let stored = Stored { revision, entry: Arc::clone(&entry) };
                let previous = state.entries.insert(key.clone(), stored);
                let kind = if previous.is_some() { EventKind::Updated } else { EventKind::Created };
                (kind, entry, previous)
            }
            None => {
                // A key that is created and deleted in one transaction was never seen by anybody.
                let Some(previous) = state.entries.remove(&key) else { return };
                let tombstone = Arc::new(self.codec.tombstone(&key, revision, &previous.entry));
                (EventKind::Deleted, tombstone, Some(previous))
            }
        };
        let superseded = previous.as_ref().map_or(0, |previous| self.codec.weight(&previous.entry));
        let tombstone = if kind == EventKind::Deleted { self.codec.weight(&entry) } else { 0 };
        let event = Arc::new(Event { key, revision, kind, entry, previous });
        state.history.push(Arc::clone(&event), superseded + tombstone);
        state.unpublished.push(event);
    }

    fn set_revision(&self, state: &mut State<C::Entry>, revision: Revision) {
        state.revision = state.revision.max(revision);
        self.reached.send_modify(|reached| reached.revision = state.revision);
    }
}

impl<C: Codec> Sink for Mirror<C> {
    fn load(&self, part: Vec<Change>) {
        let decoded: Vec<_> = part
            .into_iter()
            .filter_map(|Change { key, revision, value }| {
                let entry = Arc::new(self.codec.decode(&key, revision, value?));
                Some((key, Stored { revision, entry }))
            })
            .collect();
        self.loading.lock().extend(decoded);
    }

    fn loaded(&self, revision: Revision) {
        let entries = std::mem::take(&mut *self.loading.lock());
        // Nobody may start a watch between the old history and the new one.
        let mut hub = self.hub.lock();
        let mut state = self.state.write();
        if state.loaded {
            hub.close_all(WatchClosed::Compacted);
        }
        state.loaded = true;
        state.entries = entries;
        state.history.restart(revision);
        state.unpublished.clear();
        state.revision = revision;
        self.reached.send_modify(|reached| reached.revision = revision);
        hub.publish(&self.codec, &[], revision);
    }

    fn apply(&self, changes: Vec<Change>) {
        let Some(newest) = changes.last().map(|change| change.revision) else { return };
        let decoded: Vec<_> = changes
            .into_iter()
            .map(|Change { key, revision, value }| {
                let entry = value.map(|value| Arc::new(self.codec.decode(&key, revision, value)));
                (key, revision, entry)
            })
            .collect();
        let mut state = self.state.write();
        for (key, revision, entry) in decoded {
            self.apply_one(&mut state, key, revision, entry);
        }
        state.history.enforce_limits();
        self.set_revision(&mut state, newest);
    }

    fn publish(&self) {
        let hub = self.hub.lock();
        let (events, revision) = {
            let mut state = self.state.write();
            (std::mem::take(&mut state.unpublished), state.revision)
        };
        hub.publish(&self.codec, &events, revision);
    }

    fn advance(&self, revision: Revision) {
        self.set_revision(&mut self.state.write(), revision);
        self.publish();
    }

    fn skip(&self, revision: Revision) {
        let mut state = self.state.write();
        let current = state.revision;
        state.history.mark_lost(current, revision);
        self.set_revision(&mut state, revision);
        drop(state);
        self.publish();
    }

    fn revision(&self) -> Revision {
        self.state.read().revision
    }

    fn revision_of(&self, key: &Key) -> Option<Revision> {
        self.state.read().entries.get(key).map(|stored| stored.revision)
    }
}
