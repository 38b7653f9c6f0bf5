//! What can go wrong, by operation. Every message says what to do where there is something to do.

use std::path::PathBuf;

use crate::key::{Key, Revision};

/// Why a store did not open. Nothing on disk was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has the store open.
    #[error("{path} is in use by another process: stop it, or give this one a data directory of its own")]
    Locked {
        /// The store's file.
        path: PathBuf,
    },
    /// The file is something else than a store of ours.
    #[error("{path} is not a Gantry store: {detail}")]
    NotAStore {
        /// The file that was found.
        path: PathBuf,
        /// What was expected and what is there.
        detail: String,
    },
    /// The store was written by a later version.
    #[error("{path} has store format {found}, and this version reads formats up to {supported}: use a newer Gantry")]
    NewerFormat {
        /// The store's file.
        path: PathBuf,
        /// The format it is in.
        found: u32,
        /// The newest format that this version knows.
        supported: u32,
    },
    /// What is stored contradicts itself.
    #[error("{path} is damaged: {detail}; restore it from a backup")]
    Damaged {
        /// The store's file.
        path: PathBuf,
        /// What was found where.
        detail: String,
    },
    /// The operating system refused.
    #[error("cannot open {path}: {source}")]
    Io {
        /// The file or directory concerned.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// No etcd member could be used.
    #[error("cannot use etcd at {endpoints}: {detail}")]
    Etcd {
        /// The endpoints that were tried, comma-separated.
        endpoints: String,
        /// The last error.
        detail: String,
    },
}

/// Why a write was not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// The key is not as the write expected it. Nothing was changed.
    #[error("{key} is not as expected: {}", describe_current(*current))]
    Conflict {
        /// The key of the write.
        key: Key,
        /// The revision of the key's last change, or `None` if it does not exist.
        current: Option<Revision>,
    },
    /// The value is over the limit. Nothing was changed.
    #[error("value of {key} has {size} bytes, more than the {limit} that a value may have")]
    TooLarge {
        /// The key of the write.
        key: Key,
        /// The value's size in bytes.
        size: usize,
        /// The largest size in bytes.
        limit: usize,
    },
    /// There is no room. Nothing was changed; writes are taken again as soon as there is room.
    #[error("no space left to store {key}: {detail}")]
    NoSpace {
        /// The key of the write.
        key: Key,
        /// What is full and what to do.
        detail: String,
    },
    /// The backend cannot be reached or does not take writes. Nothing was changed.
    #[error("the store takes no writes at present: {detail}")]
    Unavailable {
        /// What is wrong.
        detail: String,
    },
    /// The connection broke or the deadline passed after the write was sent: it may have happened. Read to find out.
    #[error("it is not known whether {key} was written: {detail}")]
    Undetermined {
        /// The key of the write.
        key: Key,
        /// What went wrong.
        detail: String,
    },
    /// The store is closed.
    #[error("the store is closed")]
    Closed,
}

fn describe_current(current: Option<Revision>) -> String {
    current.map_or_else(|| "it does not exist".to_owned(), |revision| format!("it is at revision {revision}"))
}

/// Why a read could not be served as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The revision is older than the history that is kept.
    #[error("revision {requested} has been compacted; the oldest is {oldest}")]
    Compacted {
        /// The revision that was asked for.
        requested: Revision,
        /// The oldest revision that can be read.
        oldest: Revision,
    },
    /// The revision has not been reached.
    #[error("revision {requested} is in the future; the store is at {current}")]
    Future {
        /// The revision that was asked for.
        requested: Revision,
        /// The newest revision.
        current: Revision,
    },
    /// The backend could not be asked for its current revision.
    #[error("the store cannot answer at present: {detail}")]
    Unavailable {
        /// What is wrong.
        detail: String,
    },
    /// The store is closed.
    #[error("the store is closed")]
    Closed,
}

/// Why a watch could not start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WatchError {
    /// The revision is older than the history that is kept: list, then watch from the list's revision.
    #[error("revision {requested} has been compacted; the oldest is {oldest}")]
    Compacted {
        /// The revision that was asked for.
        requested: Revision,
        /// The oldest revision that a watch can start from.
        oldest: Revision,
    },
    /// The revision has not been reached.
    #[error("revision {requested} is in the future; the store is at {current}")]
    Future {
        /// The revision that was asked for.
        requested: Revision,
        /// The newest revision.
        current: Revision,
    },
    /// There are as many watches as the store allows.
    #[error("there are {limit} watches already")]
    TooMany {
        /// The largest number of watches.
        limit: usize,
    },
    /// The store is closed.
    #[error("the store is closed")]
    Closed,
}

/// Why a watch ended. Every event before the end was yielded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WatchClosed {
    /// Its reader was slower than the changes and its queue is full: list, then watch again.
    #[error("the watch fell behind by more than {limit} events")]
    Lagged {
        /// The largest number of events that may wait.
        limit: usize,
    },
    /// The backend compacted changes that the mirror had not yet seen: list, then watch again.
    #[error("changes were compacted before they could be seen")]
    Compacted,
    /// The store is closing.
    #[error("the store is closed")]
    Closed,
}

/// Why compaction did not happen; it is tried again later.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompactError {
    /// The backend refused or could not be reached.
    #[error("cannot compact through revision {through}: {detail}")]
    Failed {
        /// The revision through which history was to go.
        through: Revision,
        /// What is wrong.
        detail: String,
    },
}
