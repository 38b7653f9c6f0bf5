//! The store: reads from the mirror, writes through the backend.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;

use crate::backend::{Backend, Durability, Expect, Op, Sink, Write};
use crate::codec::Codec;
use crate::compaction::{self, CompactionPolicy};
use crate::error::{OpenError, ReadError, WatchError, WriteError};
use crate::event::Stored;
use crate::history::HistoryLimits;
use crate::key::{Key, Prefix, Revision};
use crate::mirror::{Mirror, StoreStats};
use crate::snapshot::Snapshot;
use crate::watch::{Watch, WatchOptions};

/// How a store keeps and serves what its backend has.
#[derive(Clone, Copy, Debug)]
pub struct StoreOptions {
    /// How much history is kept for watches to resume from and lists to continue in.
    pub history: HistoryLimits,
    /// When history is forgotten, in memory and in the backend.
    pub compaction: CompactionPolicy,
    /// How long a read waits for the mirror to reach its revision.
    pub read_timeout: Duration,
}

impl Default for StoreOptions {
    fn default() -> Self {
        StoreOptions {
            history: HistoryLimits::default(),
            compaction: CompactionPolicy::default(),
            read_timeout: Duration::from_secs(10),
        }
    }
}

/// Which state a read is of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum At {
    /// The newest: every write acknowledged before the read is in it, whoever made it.
    #[default]
    Latest,
    /// Whatever this process knows; never waits.
    Known,
    /// That of this revision or a later one. Waits for it.
    NotBefore(Revision),
    /// That of exactly this revision.
    Exactly(Revision),
}

/// What to list.
#[derive(Clone, Debug, Default)]
pub struct ListOptions {
    /// Which state.
    pub at: At,
    /// Begin after this key; the last key of the page before.
    pub after: Option<Key>,
    /// The most entries to return; 0 for all.
    pub limit: usize,
}

/// A list, or a page of one.
#[derive(Debug)]
pub struct List<E> {
    /// The revision that this is the state at. Later pages are to be asked for at exactly this one.
    pub revision: Revision,
    /// The entries in key order.
    pub entries: Vec<(Key, Stored<E>)>,
    /// How many entries come after this page.
    pub remaining: usize,
}

/// Revisioned keys with watch. Cloning gives another handle to the same store.
pub struct Store<C: Codec> {
    inner: Arc<Inner<C>>,
}

pub(crate) struct Inner<C: Codec> {
    pub(crate) mirror: Arc<Mirror<C>>,
    pub(crate) backend: Arc<dyn Backend>,
    options: StoreOptions,
    compacted: AtomicU64,
}

impl<C: Codec> Inner<C> {
    pub(crate) fn compacted(&self) -> Revision {
        Revision(self.compacted.load(Ordering::Relaxed))
    }

    pub(crate) fn set_compacted(&self, through: Revision) {
        self.compacted.store(through.0, Ordering::Relaxed);
    }
}

impl<C: Codec> Clone for Store<C> {
    fn clone(&self) -> Self {
        Store { inner: Arc::clone(&self.inner) }
    }
}

impl<C: Codec> Store<C> {
    /// Loads everything from `backend` and serves it. Needs a tokio runtime, for compaction and time-outs.
    pub async fn open(backend: Arc<dyn Backend>, codec: C, options: StoreOptions) -> Result<Store<C>, OpenError> {
        let mirror = Arc::new(Mirror::new(codec, options.history));
        backend.start(Arc::clone(&mirror) as Arc<dyn Sink>).await?;
        let inner = Arc::new(Inner { mirror, backend, options, compacted: AtomicU64::new(0) });
        tokio::spawn(compaction::run(Arc::downgrade(&inner), options.compaction));
        Ok(Store { inner })
    }

    /// What makes entries of stored bytes.
    #[must_use]
    pub fn codec(&self) -> &C {
        self.inner.mirror.codec()
    }

    /// Stores `value` at `key`, which must not exist.
    pub async fn create(&self, key: Key, value: Bytes, durability: Durability) -> Result<Stored<C::Entry>, WriteError> {
        self.put(key, Expect::Absent, value, durability).await
    }

    /// Stores `value` at `key`, whose last change must have been at `expected`.
    pub async fn update(
        &self,
        key: Key,
        expected: Revision,
        value: Bytes,
        durability: Durability,
    ) -> Result<Stored<C::Entry>, WriteError> {
        self.put(key, Expect::At(expected), value, durability).await
    }

    /// Removes `key`, whose last change must have been at `expected`, and returns its tombstone.
    pub async fn delete(
        &self,
        key: Key,
        expected: Revision,
        durability: Durability,
    ) -> Result<Stored<C::Entry>, WriteError> {
        let last = self.inner.mirror.get(&key);
        let write = Write { key: key.clone(), expect: Expect::At(expected), op: Op::Delete, durability };
        let revision = self.commit(write).await?;
        if let Some(event) = self.inner.mirror.event_at(revision, &key) {
            return Ok(Stored { revision, entry: Arc::clone(&event.entry) });
        }
        // History is so short that the change has left it already.
        let last = last.filter(|last| last.revision == expected);
        let undetermined = || WriteError::Undetermined { key: key.clone(), detail: "its history is gone".to_owned() };
        let last = last.ok_or_else(undetermined)?;
        Ok(Stored { revision, entry: Arc::new(self.inner.mirror.codec().tombstone(&key, revision, &last.entry)) })
    }

    /// What is stored at `key`. `At::Exactly` costs as much as the history since then.
    pub async fn get(&self, key: &Key, at: At) -> Result<Option<Stored<C::Entry>>, ReadError> {
        if let At::Exactly(revision) = at {
            let prefix = Prefix::of_parent(key);
            return Ok(self.inner.mirror.snapshot_at(revision, &prefix)?.get(key).cloned());
        }
        self.ready(at).await?;
        Ok(self.inner.mirror.get(key))
    }

    /// The state of everything under `prefix` as one value, to iterate over without holding up anybody. What the snapshot
    /// holds of other keys has no meaning.
    pub async fn snapshot(&self, prefix: &Prefix, at: At) -> Result<Snapshot<C::Entry>, ReadError> {
        if let At::Exactly(revision) = at {
            return self.inner.mirror.snapshot_at(revision, prefix);
        }
        self.ready(at).await?;
        Ok(self.inner.mirror.snapshot())
    }

    /// A page of what is stored under `prefix`.
    pub async fn list(&self, prefix: &Prefix, options: ListOptions) -> Result<List<C::Entry>, ReadError> {
        let snapshot = self.snapshot(prefix, options.at).await?;
        let mut range = snapshot.range(prefix, options.after.as_ref());
        let limit = if options.limit == 0 { usize::MAX } else { options.limit };
        let entries = range.by_ref().take(limit).map(|(key, stored)| (key.clone(), stored.clone())).collect();
        Ok(List { revision: snapshot.revision(), entries, remaining: range.count() })
    }

    /// Opens a watch.
    pub fn watch(&self, options: WatchOptions) -> Result<Watch<C::Entry>, WatchError> {
        Mirror::watch(&self.inner.mirror, options)
    }

    /// What this process knows to be stored at `key`, without waiting.
    #[must_use]
    pub fn known(&self, key: &Key) -> Option<Stored<C::Entry>> {
        self.inner.mirror.get(key)
    }

    /// Everything that this process knows to be stored, without waiting.
    #[must_use]
    pub fn known_state(&self) -> Snapshot<C::Entry> {
        self.inner.mirror.snapshot()
    }

    /// Makes entries anew of the bytes that `stored_bytes` gives of them, after what the codec knows has changed, and returns how
    /// many. It is no change of what is stored: watchers are told nothing, and history stays as it is.
    pub fn decode_again(&self, stored_bytes: impl Fn(&C::Entry) -> Option<Bytes>) -> usize {
        self.inner.mirror.decode_again(stored_bytes)
    }

    /// Whether the backend answers.
    pub async fn check(&self) -> Result<(), ReadError> {
        self.inner.backend.current().await.map(drop)
    }

    /// Figures for metrics.
    #[must_use]
    pub fn stats(&self) -> StoreStats {
        self.inner.mirror.stats()
    }

    /// Forgets history through `through`, in memory and in the backend. Done regularly by the policy too.
    pub async fn compact(&self, through: Revision) -> Result<(), crate::CompactError> {
        let through = through.min(self.inner.mirror.revision());
        self.inner.mirror.trim(through);
        self.inner.backend.compact(through).await?;
        self.inner.set_compacted(through);
        Ok(())
    }

    /// Flushes what is behind, ends every watch, and lets go of the backend. Later writes answer `Closed`.
    pub async fn close(&self) {
        self.inner.backend.close().await;
        self.inner.mirror.close();
    }

    async fn put(
        &self,
        key: Key,
        expect: Expect,
        value: Bytes,
        durability: Durability,
    ) -> Result<Stored<C::Entry>, WriteError> {
        let mirror = &self.inner.mirror;
        let encoded = mirror.codec().encode(&key, value).map_err(|detail| WriteError::Unavailable { detail })?;
        let op = Op::Put(encoded.value.clone());
        let revision = self.commit(Write { key: key.clone(), expect, op, durability }).await?;
        if let Some(stored) = mirror.get(&key).filter(|stored| stored.revision == revision) {
            return Ok(stored);
        }
        // It has been overwritten since.
        if let Some(event) = mirror.event_at(revision, &key) {
            return Ok(Stored { revision, entry: Arc::clone(&event.entry) });
        }
        Ok(Stored { revision, entry: Arc::new(mirror.codec().decode(&key, revision, encoded.value)) })
    }

    /// Commits, and waits until this process's reads see it.
    async fn commit(&self, write: Write) -> Result<Revision, WriteError> {
        let key = write.key.clone();
        let revision = self.inner.backend.commit(write).await?;
        match self.reach(revision).await {
            Ok(()) | Err(ReadError::Closed) => Ok(revision),
            Err(error) => Err(WriteError::Undetermined { key, detail: format!("it was written, but {error}") }),
        }
    }

    async fn ready(&self, at: At) -> Result<(), ReadError> {
        match at {
            At::Known | At::Exactly(_) => Ok(()),
            At::NotBefore(revision) => self.reach(revision).await,
            At::Latest => self.reach(self.inner.backend.current().await?).await,
        }
    }

    async fn reach(&self, revision: Revision) -> Result<(), ReadError> {
        if self.inner.mirror.revision() >= revision {
            return Ok(());
        }
        let reached = tokio::time::timeout(self.inner.options.read_timeout, self.inner.mirror.reach(revision)).await;
        reached
            .unwrap_or_else(|_| Err(ReadError::Future { requested: revision, current: self.inner.mirror.revision() }))
    }
}
