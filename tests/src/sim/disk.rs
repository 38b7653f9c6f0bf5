//! A disk that outlives the API server's crashes, and a store's backend on it whose writes are slow, fail, or come to an
//! unknown end.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use store::{Backend, Change, CompactError, Expect, Key, Op, OpenError, ReadError, Revision, Sink, Write, WriteError};
use tokio::time::sleep;

use super::faults::Faults;
use super::invariants::Invariants;

/// How long a write takes, mostly, and when it is slow.
const QUICK: Duration = Duration::from_millis(1);
const SLOW: Duration = Duration::from_secs(2);

/// What is durable. Cloning gives another handle to the same disk.
#[derive(Clone)]
pub struct Disk {
    durable: Arc<Mutex<Durable>>,
}

struct Durable {
    objects: BTreeMap<Key, (Revision, Bytes)>,
    revision: Revision,
    history: Vec<String>,
    invariants: Invariants,
}

impl Disk {
    /// An empty disk, every change of which is shown to `invariants`.
    #[must_use]
    pub fn new(invariants: Invariants) -> Disk {
        let (objects, history) = (BTreeMap::new(), Vec::new());
        let durable = Durable { objects, revision: Revision::ZERO, history, invariants };
        Disk { durable: Arc::new(Mutex::new(durable)) }
    }

    /// What was committed, in order: each key, and a digest of its value.
    #[must_use]
    pub fn history(&self) -> Vec<String> {
        self.durable.lock().history.clone()
    }

    /// What is known of the objects on it.
    pub fn invariants<T>(&self, look: impl FnOnce(&mut Invariants) -> T) -> T {
        look(&mut self.durable.lock().invariants)
    }
}

/// A backend on a disk, as long as its server lives.
pub struct SimulatedBackend {
    disk: Disk,
    faults: Faults,
    alive: Arc<AtomicBool>,
    sink: Mutex<Option<Arc<dyn Sink>>>,
}

impl SimulatedBackend {
    /// A backend for a server that is dead when `alive` no longer holds: it writes nothing from then on.
    #[must_use]
    pub fn new(disk: Disk, faults: Faults, alive: Arc<AtomicBool>) -> SimulatedBackend {
        SimulatedBackend { disk, faults, alive, sink: Mutex::new(None) }
    }

    async fn write(&self, write: Write) -> Result<Revision, WriteError> {
        let slow = self.faults.strikes(200);
        sleep(self.faults.up_to(if slow { SLOW } else { QUICK })).await;
        if self.faults.strikes(400) {
            return Err(WriteError::Unavailable { detail: "the disk does not answer".to_owned() });
        }
        let key = write.key.clone();
        if matches!(write.expect, Expect::At(_)) && self.faults.strikes(300) {
            // As if somebody else had been quicker, and had then put back what was there.
            return Err(WriteError::Conflict { key, current: None });
        }
        let revision = self.commit_now(write)?;
        if self.faults.strikes(400) {
            return Err(WriteError::Undetermined { key, detail: "the disk's answer is lost".to_owned() });
        }
        Ok(revision)
    }

    fn commit_now(&self, write: Write) -> Result<Revision, WriteError> {
        if !self.alive.load(Ordering::Relaxed) {
            return Err(WriteError::Closed);
        }
        let sink = self.sink.lock().clone().ok_or(WriteError::Closed)?;
        let revision = {
            let mut durable = self.disk.durable.lock();
            let current = durable.objects.get(&write.key).map(|(revision, _)| *revision);
            let expected = match write.expect {
                Expect::Absent => None,
                Expect::At(revision) => Some(revision),
            };
            if current != expected {
                return Err(WriteError::Conflict { key: write.key, current });
            }
            let revision = durable.revision.next();
            durable.revision = revision;
            let value = match write.op {
                Op::Put(value) => Some(value),
                Op::Delete => None,
            };
            let mut digest = DefaultHasher::new();
            digest.write(value.as_deref().unwrap_or_default());
            durable.history.push(format!("{} {:x}", write.key.as_str(), digest.finish()));
            match &value {
                Some(value) => durable.objects.insert(write.key.clone(), (revision, value.clone())),
                None => durable.objects.remove(&write.key),
            };
            durable.invariants.committed(write.key.as_str(), value.as_deref());
            sink.apply(vec![Change { key: write.key, revision, value }]);
            revision
        };
        sink.publish();
        Ok(revision)
    }
}

impl Backend for SimulatedBackend {
    fn start(&self, sink: Arc<dyn Sink>) -> BoxFuture<'_, Result<(), OpenError>> {
        let durable = self.disk.durable.lock();
        let change = |(key, (revision, value)): (&Key, &(Revision, Bytes))| Change {
            key: key.clone(),
            revision: *revision,
            value: Some(value.clone()),
        };
        sink.load(durable.objects.iter().map(change).collect());
        sink.loaded(durable.revision);
        *self.sink.lock() = Some(sink);
        async { Ok(()) }.boxed()
    }

    fn commit(&self, write: Write) -> BoxFuture<'_, Result<Revision, WriteError>> {
        self.write(write).boxed()
    }

    fn current(&self) -> BoxFuture<'_, Result<Revision, ReadError>> {
        async move { self.sink.lock().as_ref().map(|sink| sink.revision()).ok_or(ReadError::Closed) }.boxed()
    }

    fn compact(&self, _: Revision) -> BoxFuture<'_, Result<(), CompactError>> {
        async { Ok(()) }.boxed()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        async { drop(self.sink.lock().take()) }.boxed()
    }
}
