//! How stored bytes become what reads hand out.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

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

/// What is stored of a value.
pub struct Encoded {
    /// The bytes that are stored.
    pub value: Bytes,
    /// What is to be held until it is known what has become of the write, if anything is.
    pub held: Option<Arc<dyn Any + Send + Sync>>,
}

impl Encoded {
    /// A value that is stored as it is.
    #[must_use]
    pub fn plain(value: Bytes) -> Encoded {
        Encoded { value, held: None }
    }
}

impl fmt::Debug for Encoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoded").field("bytes", &self.value.len()).finish_non_exhaustive()
    }
}

/// Makes entries of stored bytes. Called once for each change, on the way in, in revision order; what it computes is
/// shared by every reader after that.
pub trait Codec: Send + Sync + 'static {
    /// What reads hand out, behind an `Arc`.
    type Entry: Send + Sync + 'static;

    /// Makes the entry of `value`, which was written to `key` at `revision`. There is no error: what cannot be decoded
    /// is an entry that says so, because it stays stored all the same.
    fn decode(&self, key: &Key, revision: Revision, value: Bytes) -> Self::Entry;

    /// Makes of `value`, which is to be written to `key`, the bytes that [`decode`](Codec::decode) will be given. Fails with
    /// the reason if that is not possible at present; then nothing is written.
    fn encode(&self, _key: &Key, value: Bytes) -> Result<Encoded, String> {
        Ok(Encoded::plain(value))
    }

    /// Makes what watchers are shown of an entry that was deleted at `revision`; `last` is the entry it was.
    fn tombstone(&self, key: &Key, revision: Revision, last: &Self::Entry) -> Self::Entry;

    /// Calls `visit` with each value of `entry` that watches may be selected by.
    fn index_values(&self, key: &Key, entry: &Self::Entry, visit: &mut dyn FnMut(IndexValue<'_>));

    /// About how many bytes of memory `entry` takes; the bound on history counts in these.
    fn weight(&self, entry: &Self::Entry) -> usize;
}
