//! Revisioned keys with watch and compaction: what an API server persists its objects in.
//!
//! A [`Store`] is an in-memory mirror of everything that is stored, over a [`Backend`] that makes it durable. The mirror
//! serves every read: gets, lists at one revision, and watches from any revision in a bounded history. The backend
//! commits conditional writes one after the other, each at a revision of its own, and tells the mirror of every change
//! in revision order.
//!
//! Values are opaque here. What a read hands out is an entry that the caller's [`Codec`] made of the bytes once, on the
//! way in, so that reads cost no parsing and no copy.
//!
//! What always holds:
//!
//! - a write is acknowledged only when it is durable (writes of [`Durability::Behind`] excepted) and visible to reads;
//! - revisions grow, and no revision ever stands for two different changes, crash or not;
//! - a watch yields every change after its revision, once and in order, or ends with a typed reason.

mod backend;
mod codec;
mod compaction;
mod embedded;
mod error;
mod etcd;
mod event;
mod history;
mod hub;
mod key;
mod memory;
mod mirror;
mod snapshot;
mod store;
mod watch;

pub use backend::{Backend, Change, Durability, Expect, Op, Sink, Write};
pub use codec::{Codec, Encoded, IndexValue};
pub use compaction::CompactionPolicy;
pub use embedded::{
    Disk, Embedded, EmbeddedOptions, FileDisk, MaintenanceError, Report, STORE_FILE, backup, restore, verify,
    verify_disk,
};
pub use error::{CompactError, OpenError, ReadError, WatchClosed, WatchError, WriteError};
pub use etcd::{
    DEFAULT_ETCD_PREFIX, DEFAULT_ETCD_VALUE_LIMIT, EtcdBackend, EtcdClientCertificate, EtcdCredentials, EtcdOptions,
    EtcdTls,
};
pub use event::{Event, EventKind, Stored};
pub use history::HistoryLimits;
pub use key::{Key, KeyError, MAX_KEY_BYTES, Prefix, Revision};
pub use memory::MemoryBackend;
pub use mirror::StoreStats;
pub use snapshot::Snapshot;
pub use store::{At, List, ListOptions, Store, StoreOptions};
pub use watch::{Scope, Select, Watch, WatchOptions};
