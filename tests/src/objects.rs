//! Objects as benchmarks store them: opaque values of a stated size, of which a part is indexed.

use bytes::Bytes;
use store::{Codec, IndexValue, Key, Revision};

/// The index that [`Opaque`] reports: the number of the node that an object belongs to.
pub const NODE: &str = "spec.nodeName";

/// Hands out values as they are. The text before the first `;` is the object's node.
pub struct Opaque;

impl Codec for Opaque {
    type Entry = Bytes;

    fn decode(&self, _: &Key, _: Revision, value: Bytes) -> Bytes {
        value
    }

    fn tombstone(&self, _: &Key, _: Revision, last: &Bytes) -> Bytes {
        last.clone()
    }

    fn index_values(&self, _: &Key, entry: &Bytes, visit: &mut dyn FnMut(IndexValue<'_>)) {
        let node = entry.split(|byte| *byte == b';').next().and_then(|node| std::str::from_utf8(node).ok());
        if let Some(value) = node {
            visit(IndexValue { index: NODE, value });
        }
    }

    fn weight(&self, entry: &Bytes) -> usize {
        entry.len()
    }
}

/// A value of `size` bytes that belongs to `node`.
#[must_use]
pub fn value(node: usize, size: usize) -> Bytes {
    let mut value = format!("node-{node};").into_bytes();
    value.resize(size.max(value.len()), b'x');
    value.into()
}

/// The key of the pod of a number, in one of a hundred namespaces.
///
/// # Panics
/// Never: the text is always a key.
#[must_use]
pub fn pod_key(number: usize) -> Key {
    Key::new(&format!("/registry/core/pods/ns-{:02}/pod-{number:08}", number % 100)).expect("a valid key")
}
