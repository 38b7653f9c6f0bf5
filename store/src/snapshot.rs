//! The whole state at one revision, as a value.
//!
//! A snapshot shares its structure with the mirror and with other snapshots; taking one costs the same whatever the
//! number of keys, and writes go on beside it.

use std::ops::Bound;
use std::sync::Arc;

use imbl::OrdMap;

use crate::event::{Event, Stored};
use crate::key::{Key, Prefix, Revision};

pub(crate) type Entries<E> = OrdMap<Key, Stored<E>>;

/// The state at one revision.
pub struct Snapshot<E> {
    revision: Revision,
    entries: Entries<E>,
}

impl<E> Clone for Snapshot<E> {
    fn clone(&self) -> Self {
        Snapshot { revision: self.revision, entries: self.entries.clone() }
    }
}

impl<E> Snapshot<E> {
    pub(crate) fn new(revision: Revision, entries: Entries<E>) -> Self {
        Snapshot { revision, entries }
    }

    /// Goes back to `revision` for the keys under `prefix`, by undoing `events`, which come newest first.
    pub(crate) fn undo<'a>(
        &mut self,
        revision: Revision,
        prefix: &Prefix,
        events: impl Iterator<Item = &'a Arc<Event<E>>>,
    ) where
        E: 'a,
    {
        for event in events.filter(|event| prefix.contains(&event.key)) {
            match &event.previous {
                Some(previous) => self.entries.insert(event.key.clone(), previous.clone()),
                None => self.entries.remove(&event.key),
            };
        }
        self.revision = revision;
    }

    /// The revision that this is the state at.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The number of keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What is stored at `key`.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<&Stored<E>> {
        self.entries.get(key)
    }

    /// What is stored under `prefix`, in key order, beginning after `after` if it is given.
    pub fn range<'a>(
        &'a self,
        prefix: &Prefix,
        after: Option<&Key>,
    ) -> impl Iterator<Item = (&'a Key, &'a Stored<E>)> + use<'a, E> {
        let start = match after {
            Some(key) if key.as_str() >= prefix.as_str() => Bound::Excluded(key.as_str()),
            _ => Bound::Included(prefix.as_str()),
        };
        // An `after` beyond the prefix is an empty range, and a range must not begin after its end.
        let end = prefix.end();
        let beyond = matches!(start, Bound::Excluded(key) if key >= end.as_str());
        let bounds = if beyond { (Bound::Included(""), Bound::Excluded("")) } else { (start, Bound::Excluded(&*end)) };
        self.entries.range::<_, str>(bounds)
    }
}
