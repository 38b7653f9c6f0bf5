//! One change, as watchers see it.

use std::sync::Arc;

use crate::key::{Key, Revision};

/// What a change did to its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// The key did not exist before.
    Created,
    /// The key had a value before.
    Updated,
    /// The key is gone.
    Deleted,
}

/// One change. Shared by every watcher and the history.
#[derive(Debug)]
pub struct Event<E> {
    /// The key that changed.
    pub key: Key,
    /// The revision of the change.
    pub revision: Revision,
    /// What the change did.
    pub kind: EventKind,
    /// The new entry, or of a deleted key its tombstone.
    pub entry: Arc<E>,
    /// What was stored before the change, unless the key was created.
    pub previous: Option<Stored<E>>,
}

/// An entry with the revision of the change that made it.
#[derive(Debug)]
pub struct Stored<E> {
    /// The revision of the key's last change.
    pub revision: Revision,
    /// What the codec made of the value.
    pub entry: Arc<E>,
}

impl<E> Clone for Stored<E> {
    fn clone(&self) -> Self {
        Stored { revision: self.revision, entry: Arc::clone(&self.entry) }
    }
}
