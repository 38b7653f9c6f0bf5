//! The suite over the memory backend, which is the mirror with next to nothing below it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use bytes::Bytes;
use store::{
    Backend, Codec, Durability, Encoded, IndexValue, Key, MemoryBackend, Revision, Store, StoreOptions, WriteError,
};

mod suite;

struct Memory;

impl suite::Fixture for Memory {
    const KEEPS: bool = false;

    async fn create() -> Self {
        Memory
    }

    async fn backend(&self) -> Arc<dyn Backend> {
        Arc::new(MemoryBackend::new())
    }
}

backend_suite!(Memory);

/// Stores values behind a mark, and knows only some marks.
struct Marked(AtomicU8);

impl Codec for Marked {
    type Entry = Option<Bytes>;

    fn encode(&self, _: &Key, value: Bytes) -> Result<Encoded, String> {
        match self.0.load(Ordering::Relaxed) {
            0 => Err("there is no mark".to_owned()),
            mark => Ok(Encoded::plain([&[mark], &*value].concat().into())),
        }
    }

    fn decode(&self, _: &Key, _: Revision, value: Bytes) -> Option<Bytes> {
        (value.first() == Some(&self.0.load(Ordering::Relaxed))).then(|| value.slice(1..))
    }

    fn tombstone(&self, _: &Key, _: Revision, last: &Option<Bytes>) -> Option<Bytes> {
        last.clone()
    }

    fn index_values(&self, _: &Key, _: &Option<Bytes>, _: &mut dyn FnMut(IndexValue<'_>)) {}

    fn weight(&self, _: &Option<Bytes>) -> usize {
        1
    }
}

#[tokio::test]
async fn a_codec_says_what_is_stored_of_a_value() {
    let codec = Marked(AtomicU8::new(0));
    let store = Store::open(Arc::new(MemoryBackend::new()), codec, StoreOptions::default()).await.unwrap();
    let key = suite::key("/registry/a");
    let create = || store.create(key.clone(), Bytes::from_static(b"value"), Durability::Flushed);
    let refused = create().await.map(|stored| stored.revision);
    assert_eq!(refused, Err(WriteError::Unavailable { detail: "there is no mark".to_owned() }));
    assert!(store.known(&key).is_none());

    store.codec().0.store(b'x', Ordering::Relaxed);
    let created = create().await.unwrap();
    assert_eq!(created.entry.as_deref(), Some(&b"value"[..]));
    // Entries change, and neither revisions nor history.
    store.codec().0.store(b'y', Ordering::Relaxed);
    let stored_bytes = |entry: &Option<Bytes>| entry.as_ref().map(|_| Bytes::from_static(b"xvalue"));
    assert_eq!(store.decode_again(stored_bytes), 1);
    let known = store.known(&key).unwrap();
    assert_eq!((known.entry.as_deref(), known.revision), (None, created.revision));
    assert_eq!(store.decode_again(stored_bytes), 0);
    assert_eq!(store.known_state().revision(), created.revision);
}
