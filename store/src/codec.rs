//! How stored bytes become what reads hand out.

use bytes::Bytes;

use crate::key::{Key, Revision};

/// A value of an entry by which watches can be selected, such as the node of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IndexValue<'a> {
    /// Which property it is, such as `spec.nodeName`.
    pub index: &'static str,
    /// The entry's value of it.
    pub value: &'a str,
}

/// Makes entries of stored bytes. Called once for each change, on the way in, in revision order; what it computes is
/// shared by every reader after that.
pub trait Codec: Send + Sync + 'static {
    /// What reads hand out, behind an `Arc`.
    type Entry: Send + Sync + 'static;

    /// Makes the entry of `value`, which was written to `key` at `revision`. There is no error: what cannot be decoded
    /// is an entry that says so, because it stays stored all the same.
    fn decode(&self, key: &Key, revision: Revision, value: Bytes) -> Self::Entry;

    /// Makes what watchers are shown of an entry that was deleted at `revision`; `last` is the entry it was.
    fn tombstone(&self, key: &Key, revision: Revision, last: &Self::Entry) -> Self::Entry;

    /// Calls `visit` with each value of `entry` that watches may be selected by.
    fn index_values(&self, key: &Key, entry: &Self::Entry, visit: &mut dyn FnMut(IndexValue<'_>));

    /// About how many bytes of memory `entry` takes; the bound on history counts in these.
    fn weight(&self, entry: &Self::Entry) -> usize;
}
