//! What makes writes durable: the seam between the mirror and the embedded engine or etcd.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;

use crate::error::{CompactError, OpenError, ReadError, WriteError};
use crate::key::{Key, Revision};

/// What a write demands of its key as it stands when the write's turn comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// The key does not exist.
    Absent,
    /// The key's last change was at this revision.
    At(Revision),
}

/// What a write does to its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Stores these bytes.
    Put(Bytes),
    /// Removes the key. Demands [`Expect::At`].
    Delete,
}

/// When a write is acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// When it is on stable storage.
    #[default]
    Flushed,
    /// As soon as it is ordered and visible; it reaches stable storage a moment later, together with others. A crash may
    /// lose it, and then also every later write of this class, but never reorders it.
    Behind,
}

/// A conditional write of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// The key to write.
    pub key: Key,
    /// The condition.
    pub expect: Expect,
    /// The effect.
    pub op: Op,
    /// When to acknowledge.
    pub durability: Durability,
}

/// One committed change, as a backend reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The key that changed.
    pub key: Key,
    /// The revision of the change.
    pub revision: Revision,
    /// The new value, or `None` if the key was deleted.
    pub value: Option<Bytes>,
}

/// Takes what a backend knows. Calls come from one place at a time, in revision order.
///
/// Opening is [`load`](Sink::load), any number of times, then [`loaded`](Sink::loaded), then optionally history through
/// [`apply`](Sink::apply) and [`skip`](Sink::skip). The same sequence again replaces everything: a backend that has lost
/// track of its changes resynchronises that way, and open watches end.
pub trait Sink: Send + Sync + 'static {
    /// Takes a part of the state at one revision: live keys only, each once, in any order.
    fn load(&self, part: Vec<Change>);

    /// Ends a load: what was loaded is the whole state at `revision`, which is also where history begins.
    fn loaded(&self, revision: Revision);

    /// Takes changes after the current revision. They are visible to reads when this returns, and reach watchers with the
    /// next [`publish`](Sink::publish), so that a backend can acknowledge a write before its fan-out. Changes that one
    /// transaction made share a revision and must come in one call.
    fn apply(&self, changes: Vec<Change>);

    /// Gives watchers what was applied.
    fn publish(&self);

    /// Moves the current revision to `revision` with nothing changed since; the backend vouches for that.
    fn advance(&self, revision: Revision);

    /// Moves the current revision to `revision` over revisions whose changes, if there were any, are lost: those between
    /// are no longer valid to read at or to watch from.
    fn skip(&self, revision: Revision);

    /// The newest revision that was loaded, applied, advanced or skipped to.
    fn revision(&self) -> Revision;

    /// The revision of `key`'s last change, if it exists.
    fn revision_of(&self, key: &Key) -> Option<Revision>;
}

/// Commits writes in one order and makes them durable.
pub trait Backend: Send + Sync + 'static {
    /// Loads everything into `sink`, and from then on keeps it told of every change. Called once.
    fn start(&self, sink: Arc<dyn Sink>) -> BoxFuture<'_, Result<(), OpenError>>;

    /// Commits `write` if its condition holds, and returns its revision. By then the sink may or may not have been told.
    /// Cancelling the future does not undo the write.
    fn commit(&self, write: Write) -> BoxFuture<'_, Result<Revision, WriteError>>;

    /// A revision that is at least that of every write acknowledged before this call, by any client of the backend.
    /// The sink reaches it without further writes by clients.
    fn current(&self) -> BoxFuture<'_, Result<Revision, ReadError>>;

    /// Forgets changes at and before `through` that later ones have superseded.
    fn compact(&self, through: Revision) -> BoxFuture<'_, Result<(), CompactError>>;

    /// Flushes, tells the sink nothing more, and lets go of files and connections. Later calls answer `Closed`.
    fn close(&self) -> BoxFuture<'_, ()>;
}
