//! etcd as the backend: for several API servers, on several machines.
//!
//! Keys and values are stored as they are, so that etcd's own tools read them. Any number of servers may work on one
//! etcd; each learns of the others' writes through its watch.
//!
//! What always holds, whatever happens to connections, members and leaders:
//!
//! - the sink is given every change once, whole transactions at a time, in revision order, or everything anew;
//! - a write is reported as failed only where it is proven that it was not executed;
//! - the revision that [`current`](Backend::current) names is read linearizably, after the call, and the sink gets there.
//!
//! Works with etcd 3.4 and later. Defragmentation and backups are the etcd administrator's.

mod barrier;
mod commit;
mod compact;
mod current;
mod failure;
mod feed;
mod keyspace;
mod load;
mod members;
mod options;
mod watch;
mod wire;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, watch as channel};
use tokio::task::JoinSet;

pub use options::{
    DEFAULT_ETCD_PREFIX, DEFAULT_ETCD_VALUE_LIMIT, EtcdClientCertificate, EtcdCredentials, EtcdOptions, EtcdTls,
};

use self::compact::KnownNote;
use self::current::Caller;
use self::keyspace::Keyspace;
use self::members::Members;
use self::wire::Header;
use crate::backend::{Backend, Sink, Write};
use crate::error::{CompactError, OpenError, ReadError, WriteError};
use crate::key::Revision;

/// A [`Backend`] on an etcd cluster. Its tasks end when it is closed or dropped.
pub struct EtcdBackend {
    shared: Arc<Shared>,
    readers: mpsc::Sender<Caller>,
    /// Taken by [`start`](Backend::start).
    callers: Mutex<Option<mpsc::Receiver<Caller>>>,
    tasks: Mutex<JoinSet<()>>,
}

/// What the backend's tasks have in common.
struct Shared {
    options: EtcdOptions,
    keyspace: Keyspace,
    members: Members,
    /// The cluster that was loaded from; 0 before the first load.
    cluster: AtomicU64,
    /// The newest revision that the sink has been brought to.
    applied: channel::Sender<Revision>,
    /// The newest revision that was promised to readers.
    wanted: channel::Sender<Revision>,
    /// Wakes the watch to check whether this is still the etcd that was loaded from.
    suspicion: Notify,
    compaction: KnownNote,
    closed: AtomicBool,
}

impl EtcdBackend {
    /// A backend that is not yet connected.
    ///
    /// # Errors
    ///
    /// [`OpenError::Etcd`] naming the option that cannot be.
    pub fn new(options: EtcdOptions) -> Result<Self, OpenError> {
        options.check()?;
        let shared = Shared {
            keyspace: Keyspace::new(options.prefix.clone()),
            members: Members::new(&options),
            options,
            cluster: AtomicU64::new(0),
            applied: channel::Sender::new(Revision::ZERO),
            wanted: channel::Sender::new(Revision::ZERO),
            suspicion: Notify::new(),
            compaction: KnownNote::default(),
            closed: AtomicBool::new(false),
        };
        let (readers, callers) = current::callers();
        Ok(EtcdBackend {
            shared: Arc::new(shared),
            readers,
            callers: Mutex::new(Some(callers)),
            tasks: Mutex::new(JoinSet::new()),
        })
    }

    fn open_error(&self, detail: impl Into<String>) -> OpenError {
        OpenError::Etcd { endpoints: self.shared.options.endpoint_list(), detail: detail.into() }
    }

    async fn open(&self, sink: Arc<dyn Sink>) -> Result<(), OpenError> {
        let Some(callers) = self.callers.lock().take() else {
            return Err(self.open_error("it was started before"));
        };
        load::load(&self.shared, &*sink).await.map_err(|failure| self.open_error(failure.detail))?;
        let mut tasks = self.tasks.lock();
        if self.shared.is_closed() {
            return Err(self.open_error("the store was closed while it was opened"));
        }
        tasks.spawn(watch::run(Arc::clone(&self.shared), sink));
        tasks.spawn(current::run(Arc::clone(&self.shared), callers));
        tasks.spawn(barrier::run(Arc::clone(&self.shared)));
        Ok(())
    }
}

impl Backend for EtcdBackend {
    fn start(&self, sink: Arc<dyn Sink>) -> BoxFuture<'_, Result<(), OpenError>> {
        self.open(sink).boxed()
    }

    fn commit(&self, write: Write) -> BoxFuture<'_, Result<Revision, WriteError>> {
        commit::commit(&self.shared, write).boxed()
    }

    fn current(&self) -> BoxFuture<'_, Result<Revision, ReadError>> {
        current::ask(&self.readers).boxed()
    }

    fn compact(&self, through: Revision) -> BoxFuture<'_, Result<(), CompactError>> {
        compact::compact(&self.shared, through).boxed()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        async {
            let mut tasks = {
                let mut tasks = self.tasks.lock();
                self.shared.closed.store(true, Ordering::Release);
                std::mem::take(&mut *tasks)
            };
            // Callers that wait for a read are told by their channel's end.
            self.callers.lock().take();
            tasks.shutdown().await;
            self.shared.members.disconnect();
        }
        .boxed()
    }
}

impl Shared {
    fn applied(&self) -> Revision {
        *self.applied.borrow()
    }

    /// Notes that the sink has everything through `revision`.
    fn applied_through(&self, revision: Revision) {
        self.applied.send_replace(revision);
    }

    /// Notes that readers were promised `revision`.
    fn want(&self, revision: Revision) {
        self.wanted.send_if_modified(|wanted| {
            let further = revision > *wanted;
            if further {
                *wanted = revision;
            }
            further
        });
    }

    /// Notes that the sink was given all of `cluster` at `revision`.
    fn adopt(&self, cluster: u64, revision: Revision) {
        let replaced = self.cluster.swap(cluster, Ordering::AcqRel) != cluster || revision < self.applied();
        if replaced {
            // What was promised of another history will not come.
            self.wanted.send_replace(revision);
        }
        self.applied_through(revision);
    }

    /// Why what etcd says of itself now cannot be the continuation of what it was, when the sink was at `before`.
    fn contradiction(&self, now: Header, before: Revision) -> Option<String> {
        let cluster = self.cluster.load(Ordering::Acquire);
        if cluster != 0 && now.cluster != cluster {
            return Some(format!("this is etcd cluster {:x}, not {cluster:x} as before", now.cluster));
        }
        (now.revision < before)
            .then(|| format!("etcd went back from revision {before} to {}: it was restored or emptied", now.revision))
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }
}
