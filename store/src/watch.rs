//! A watch: the changes under a prefix or of a key, as they happen.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use futures::task::AtomicWaker;
use parking_lot::Mutex;

use crate::error::WatchClosed;
use crate::event::Event;
use crate::key::{Key, Prefix, Revision};

/// Which keys a watch is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Every key under a prefix.
    Prefix(Prefix),
    /// One key.
    Key(Key),
}

impl Scope {
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Scope::Prefix(prefix) => prefix.as_str(),
            Scope::Key(key) => key.as_str(),
        }
    }

    pub(crate) fn contains(&self, key: &Key) -> bool {
        match self {
            Scope::Prefix(prefix) => prefix.contains(key),
            Scope::Key(only) => only == key,
        }
    }
}

/// Which changes within its scope a watch yields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Select {
    /// Every change.
    #[default]
    All,
    /// Changes whose entry has, or had just before, this value of an index. An event finds such a watch by look-up, so
    /// that watches of other values cost it nothing.
    Value {
        /// One of the indexes that the [`Codec`](crate::Codec) reports.
        index: &'static str,
        /// The value.
        value: String,
    },
}

/// What to watch.
#[derive(Clone, Debug)]
pub struct WatchOptions {
    /// The keys.
    pub scope: Scope,
    /// The changes of those keys.
    pub select: Select,
    /// The first change is the one after this revision.
    pub from: Revision,
    /// How many changes may wait to be taken before the watch ends as [`WatchClosed::Lagged`]. Changes that were history
    /// already when the watch began do not count.
    pub queue: usize,
}

impl WatchOptions {
    /// Every change within `scope` after `from`, with a queue of 10,000.
    #[must_use]
    pub fn new(scope: Scope, from: Revision) -> Self {
        WatchOptions { scope, select: Select::All, from, queue: 10_000 }
    }
}

/// An open watch. Dropping it ends it.
pub struct Watch<E> {
    queue: Arc<Queue<E>>,
    published: Arc<AtomicU64>,
    from: Revision,
    /// The revision of the newest event that was handed out.
    taken: Revision,
    on_drop: Option<Box<dyn FnOnce() + Send + Sync>>,
}

impl<E> Watch<E> {
    pub(crate) fn new(
        queue: Arc<Queue<E>>,
        published: Arc<AtomicU64>,
        from: Revision,
        on_drop: Box<dyn FnOnce() + Send + Sync>,
    ) -> Self {
        Watch { queue, published, from, taken: from, on_drop: Some(on_drop) }
    }

    /// Waits for changes and replaces what is in `into` with all that wait, in order. There is at least one.
    ///
    /// After an error the watch is over; every change before the end was handed out.
    pub async fn next(&mut self, into: &mut Vec<Arc<Event<E>>>) -> Result<(), WatchClosed> {
        std::future::poll_fn(|context| self.poll_next(context, into)).await
    }

    /// [`next`](Watch::next) in the form that hand-written futures need.
    pub fn poll_next(
        &mut self,
        context: &mut Context<'_>,
        into: &mut Vec<Arc<Event<E>>>,
    ) -> Poll<Result<(), WatchClosed>> {
        if let Some(outcome) = self.take(into) {
            return Poll::Ready(outcome);
        }
        self.queue.waker.register(context.waker());
        // What came between the look and the registration woke nobody.
        match self.take(into) {
            Some(outcome) => Poll::Ready(outcome),
            None => Poll::Pending,
        }
    }

    /// The revision up to which every change has been handed out: a later watch from here misses nothing. It grows also
    /// when changes are elsewhere, which is what bookmarks are made of.
    #[must_use]
    pub fn progress(&self) -> Revision {
        // In this order: all that was published by then is in the queue, or has been taken from it.
        let published = Revision(self.published.load(Ordering::Acquire));
        let state = self.queue.state.lock();
        let complete = state.events.is_empty() && state.closed.is_none();
        if complete { published.max(self.from) } else { self.taken }
    }

    fn take(&mut self, into: &mut Vec<Arc<Event<E>>>) -> Option<Result<(), WatchClosed>> {
        let mut state = self.queue.state.lock();
        if state.events.is_empty() {
            return state.closed.map(Err);
        }
        into.clear();
        std::mem::swap(&mut state.events, into);
        if let Some(last) = into.last() {
            self.taken = last.revision;
        }
        Some(Ok(()))
    }
}

impl<E> Drop for Watch<E> {
    fn drop(&mut self) {
        if let Some(leave) = self.on_drop.take() {
            leave();
        }
    }
}

/// Where the hub puts a watch's events.
pub(crate) struct Queue<E> {
    state: Mutex<QueueState<E>>,
    waker: AtomicWaker,
    limit: usize,
    /// Changes at or before this revision are not wanted; some may be applied but not yet published when a watch begins.
    from: Revision,
}

struct QueueState<E> {
    events: Vec<Arc<Event<E>>>,
    closed: Option<WatchClosed>,
}

impl<E> Queue<E> {
    /// A queue that holds `backlog`, may grow by `limit`, and takes events after `from`.
    pub(crate) fn new(backlog: Vec<Arc<Event<E>>>, limit: usize, from: Revision) -> Self {
        let limit = backlog.len().saturating_add(limit.max(1));
        Queue {
            state: Mutex::new(QueueState { events: backlog, closed: None }),
            waker: AtomicWaker::new(),
            limit,
            from,
        }
    }

    /// Adds an event. Says whether the reader may be asleep and must be [woken](Queue::wake).
    pub(crate) fn push(&self, event: &Arc<Event<E>>) -> bool {
        if event.revision <= self.from {
            return false;
        }
        let mut state = self.state.lock();
        if state.closed.is_some() {
            return false;
        }
        if state.events.len() >= self.limit {
            state.closed = Some(WatchClosed::Lagged { limit: self.limit });
            return false;
        }
        state.events.push(Arc::clone(event));
        state.events.len() == 1
    }

    /// Ends the watch after what is queued.
    pub(crate) fn close(&self, reason: WatchClosed) {
        self.state.lock().closed.get_or_insert(reason);
        self.waker.wake();
    }

    pub(crate) fn wake(&self) {
        self.waker.wake();
    }
}
