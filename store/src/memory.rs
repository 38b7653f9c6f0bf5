//! A backend that keeps nothing beyond the process: for simulations, where time and threads must not intrude, and for
//! tests of what stands on a store.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;

use crate::backend::{Backend, Change, Expect, Op, Sink, Write};
use crate::error::{CompactError, OpenError, ReadError, WriteError};
use crate::key::Revision;

/// Commits within the call, without a thread, a timer or a file. What it was told is gone when it is dropped.
#[derive(Default)]
pub struct MemoryBackend {
    sink: Mutex<Option<Arc<dyn Sink>>>,
}

impl MemoryBackend {
    /// An empty store at revision 0.
    #[must_use]
    pub fn new() -> Self {
        MemoryBackend::default()
    }

    fn commit_now(&self, write: Write) -> Result<Revision, WriteError> {
        // Held to the end: it is what orders the writes.
        let sink = self.sink.lock();
        let sink = sink.as_ref().ok_or(WriteError::Closed)?;
        let current = sink.revision_of(&write.key);
        let expected = match write.expect {
            Expect::Absent => None,
            Expect::At(revision) => Some(revision),
        };
        if current != expected {
            return Err(WriteError::Conflict { key: write.key, current });
        }
        let revision = sink.revision().next();
        let value = match write.op {
            Op::Put(value) => Some(value),
            Op::Delete => None,
        };
        sink.apply(vec![Change { key: write.key, revision, value }]);
        sink.publish();
        Ok(revision)
    }
}

impl Backend for MemoryBackend {
    fn start(&self, sink: Arc<dyn Sink>) -> BoxFuture<'_, Result<(), OpenError>> {
        sink.loaded(Revision::ZERO);
        *self.sink.lock() = Some(sink);
        async { Ok(()) }.boxed()
    }

    fn commit(&self, write: Write) -> BoxFuture<'_, Result<Revision, WriteError>> {
        async move { self.commit_now(write) }.boxed()
    }

    fn current(&self) -> BoxFuture<'_, Result<Revision, ReadError>> {
        async move { self.sink.lock().as_ref().map(|sink| sink.revision()).ok_or(ReadError::Closed) }.boxed()
    }

    fn compact(&self, _through: Revision) -> BoxFuture<'_, Result<(), CompactError>> {
        async { Ok(()) }.boxed()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        async { drop(self.sink.lock().take()) }.boxed()
    }
}
