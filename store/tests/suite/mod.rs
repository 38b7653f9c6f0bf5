//! What every backend must do, seen through a `Store` over it.
//!
//! A backend's test file calls [`backend_suite!`] with a type that opens stores. The same tests then run against it:
//! a model, concurrent writers, watches under load, and reopening.

#![allow(dead_code, reason = "each test file that includes the suite uses a part of it")]

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use store::{Backend, Codec, IndexValue, Key, Prefix, Revision, Store, StoreOptions};

pub(crate) mod basics;
pub(crate) mod linearizable;
pub(crate) mod model;
pub(crate) mod watches;

/// A backend under test, with whatever it needs to exist. Dropping it removes what it made.
pub(crate) trait Fixture: Send + Sync + Sized + 'static {
    /// Makes an empty one.
    fn create() -> impl Future<Output = Self> + Send;

    /// A backend on what is stored; the one before has been closed.
    fn backend(&self) -> impl Future<Output = Arc<dyn Backend>> + Send;

    /// Whether what was written is still there after closing and opening again.
    const KEEPS: bool;
}

/// Entries are the value as text; the part of the text before `:` is indexed.
pub(crate) struct Text;

/// What [`Text`] decodes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) text: String,
    pub(crate) revision: Revision,
    pub(crate) tombstone: bool,
}

/// The index that [`Text`] reports.
pub(crate) const BY_HEAD: &str = "head";

impl Codec for Text {
    type Entry = Entry;

    fn decode(&self, _: &Key, revision: Revision, value: Bytes) -> Entry {
        Entry { text: String::from_utf8_lossy(&value).into_owned(), revision, tombstone: false }
    }

    fn tombstone(&self, _: &Key, revision: Revision, last: &Entry) -> Entry {
        Entry { text: last.text.clone(), revision, tombstone: true }
    }

    fn index_values(&self, _: &Key, entry: &Entry, visit: &mut dyn FnMut(IndexValue<'_>)) {
        if let Some((head, _)) = entry.text.split_once(':') {
            visit(IndexValue { index: BY_HEAD, value: head });
        }
    }

    fn weight(&self, entry: &Entry) -> usize {
        entry.text.len()
    }
}

pub(crate) async fn open(fixture: &impl Fixture) -> Store<Text> {
    Store::open(fixture.backend().await, Text, StoreOptions::default()).await.expect("the store opens")
}

pub(crate) fn key(path: &str) -> Key {
    Key::new(path).expect("a valid key")
}

pub(crate) fn prefix(path: &str) -> Prefix {
    Prefix::new(path).expect("a valid prefix")
}

/// The prefix that every test writes under; backends may watch nothing else.
pub(crate) fn registry() -> Prefix {
    prefix("/registry/")
}

/// Stops a test that hangs with a message that says so.
pub(crate) async fn bounded<T>(what: impl Future<Output = T>) -> T {
    let limit = std::time::Duration::from_secs(60);
    tokio::time::timeout(limit, what).await.expect("the test makes progress")
}

/// Runs the suite against a [`Fixture`].
#[macro_export]
macro_rules! backend_suite {
    ($fixture:ty) => {
        backend_suite!(@tests $fixture,
            basics: creates_updates_and_deletes_on_condition,
            basics: lists_pages_at_one_revision_while_writes_go_on,
            basics: reads_the_past_until_it_is_compacted,
            basics: refuses_values_over_the_limit_and_stays_usable,
            basics: serves_after_reopening_what_was_acknowledged,
            basics: answers_closed_after_close,
            linearizable: concurrent_increments_lose_nothing,
            linearizable: reads_never_go_back,
            watches: yield_every_change_once_in_order_under_load,
            watches: begin_anywhere_in_history,
            watches: select_by_index_value,
            watches: that_fall_behind_end_with_the_reason,
            watches: make_progress_without_changes_of_their_own,
            watches: resume_across_a_restart,
        );

        #[test]
        fn agrees_with_the_model() {
            suite::model::agrees_with_the_model::<$fixture>();
        }
    };
    (@tests $fixture:ty, $($module:ident: $test:ident,)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                suite::bounded(suite::$module::$test::<$fixture>()).await;
            }
        )*
    };
}
