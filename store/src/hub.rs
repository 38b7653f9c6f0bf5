//! Brings each change to the watches that want it.
//!
//! Watches are filed by the text of their scope, and below that by index value. An event looks up the scopes that its
//! key stands in (one for each segment of the key) and its index values: what it costs depends on the watches that get
//! it, not on those that do not.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::codec::Codec;
use crate::error::WatchClosed;
use crate::event::{Event, EventKind};
use crate::key::Revision;
use crate::watch::{Queue, Scope, Select};

pub(crate) struct Hub<E> {
    scopes: HashMap<Box<str>, Watches<E>>,
    published: Arc<AtomicU64>,
    count: usize,
}

struct Watches<E> {
    all: Vec<Arc<Queue<E>>>,
    by_value: HashMap<&'static str, QueuesByValue<E>>,
}

type QueuesByValue<E> = HashMap<Box<str>, Vec<Arc<Queue<E>>>>;

impl<E> Default for Watches<E> {
    fn default() -> Self {
        Watches { all: Vec::new(), by_value: HashMap::new() }
    }
}

impl<E> Hub<E> {
    pub(crate) fn new() -> Self {
        Hub { scopes: HashMap::new(), published: Arc::new(AtomicU64::new(0)), count: 0 }
    }

    /// The number of watches.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// The revision up to which watches have been given everything.
    pub(crate) fn published(&self) -> Revision {
        Revision(self.published.load(Ordering::Acquire))
    }

    /// The same, for watches to look at.
    pub(crate) fn published_cell(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.published)
    }

    pub(crate) fn insert(&mut self, scope: &Scope, select: &Select, queue: Arc<Queue<E>>) {
        let watches = self.scopes.entry(scope.as_str().into()).or_default();
        match select {
            Select::All => watches.all.push(queue),
            Select::Value { index, value } => {
                watches.by_value.entry(index).or_default().entry(value.as_str().into()).or_default().push(queue);
            }
        }
        self.count += 1;
    }

    pub(crate) fn remove(&mut self, scope: &Scope, select: &Select, queue: &Arc<Queue<E>>) {
        let Some(watches) = self.scopes.get_mut(scope.as_str()) else { return };
        let removed = match select {
            Select::All => remove_from(&mut watches.all, queue),
            Select::Value { index, value } => watches.remove_by_value(index, value, queue),
        };
        if watches.all.is_empty() && watches.by_value.is_empty() {
            self.scopes.remove(scope.as_str());
        }
        self.count -= usize::from(removed);
    }

    /// Ends every watch.
    pub(crate) fn close_all(&mut self, reason: WatchClosed) {
        for watches in self.scopes.values() {
            watches.all.iter().for_each(|queue| queue.close(reason));
            watches.by_value.values().flat_map(HashMap::values).flatten().for_each(|queue| queue.close(reason));
        }
        self.scopes.clear();
        self.count = 0;
    }

    /// Queues `events`, after which everything through `revision` has been published; then wakes the readers, once each.
    pub(crate) fn publish<C: Codec<Entry = E>>(&self, codec: &C, events: &[Arc<Event<E>>], revision: Revision) {
        let mut asleep = Vec::new();
        if !self.scopes.is_empty() {
            for event in events {
                let scopes = event.key.prefixes().chain([event.key.as_str()]);
                for watches in scopes.filter_map(|scope| self.scopes.get(scope)) {
                    watches.deliver(codec, event, &mut asleep);
                }
            }
        }
        self.published.store(revision.0, Ordering::Release);
        for queue in asleep {
            queue.wake();
        }
    }
}

impl<E> Watches<E> {
    fn deliver<'a, C: Codec<Entry = E>>(
        &'a self,
        codec: &C,
        event: &Arc<Event<E>>,
        asleep: &mut Vec<&'a Arc<Queue<E>>>,
    ) {
        asleep.extend(self.all.iter().filter(|queue| queue.push(event)));
        if self.by_value.is_empty() {
            return;
        }
        for (index, value) in selectable_values(codec, event) {
            let queues = self.by_value.get(index).and_then(|values| values.get(&*value));
            asleep.extend(queues.into_iter().flatten().filter(|queue| queue.push(event)));
        }
    }

    fn remove_by_value(&mut self, index: &'static str, value: &str, queue: &Arc<Queue<E>>) -> bool {
        let Some(values) = self.by_value.get_mut(index) else { return false };
        let Some(queues) = values.get_mut(value) else { return false };
        let removed = remove_from(queues, queue);
        if queues.is_empty() {
            values.remove(value);
        }
        if values.is_empty() {
            self.by_value.remove(index);
        }
        removed
    }
}

/// Whether a watch that selects `select` is to see `event`.
pub(crate) fn selects<C: Codec>(codec: &C, select: &Select, event: &Event<C::Entry>) -> bool {
    match select {
        Select::All => true,
        Select::Value { index, value } => {
            selectable_values(codec, event).iter().any(|(name, found)| name == index && **found == **value)
        }
    }
}

/// The index values that `event`'s entry has or had, each once. A watch that selects a value must also learn that an
/// entry no longer has it.
fn selectable_values<C: Codec>(codec: &C, event: &Event<C::Entry>) -> Vec<(&'static str, Box<str>)> {
    let mut values: Vec<(&'static str, Box<str>)> = Vec::new();
    let current = (event.kind != EventKind::Deleted).then_some(&event.entry);
    let previous = event.previous.as_ref().map(|previous| &previous.entry);
    for entry in current.into_iter().chain(previous) {
        codec.index_values(&event.key, entry, &mut |found| {
            if !values.iter().any(|(index, value)| *index == found.index && **value == *found.value) {
                values.push((found.index, found.value.into()));
            }
        });
    }
    values
}

fn remove_from<E>(queues: &mut Vec<Arc<Queue<E>>>, queue: &Arc<Queue<E>>) -> bool {
    match queues.iter().position(|candidate| Arc::ptr_eq(candidate, queue)) {
        Some(at) => {
            queues.swap_remove(at);
            true
        }
        None => false,
    }
}
