//! Watches: complete, ordered, selective, and honest about their end.

use std::collections::BTreeMap;
use std::sync::Arc;

use store::{
    At, Durability, Event, EventKind, ListOptions, Revision, Scope, Select, Store, Watch, WatchClosed, WatchError,
    WatchOptions, WriteError,
};

use super::{BY_HEAD, Entry, Fixture, Text, key, open, prefix, registry};

type Events = Vec<Arc<Event<Entry>>>;

fn everything(from: Revision) -> WatchOptions {
    WatchOptions::new(Scope::Prefix(registry()), from)
}

/// Takes events until there are `count`.
async fn take(watch: &mut Watch<Entry>, count: usize) -> Events {
    let mut all = Vec::new();
    let mut batch = Vec::new();
    while all.len() < count {
        watch.next(&mut batch).await.expect("the watch goes on");
        all.append(&mut batch);
    }
    assert_eq!(all.len(), count, "no more than was written");
    all
}

fn facts(events: &Events) -> Vec<(EventKind, &str, &str)> {
    events.iter().map(|event| (event.kind, event.key.as_str(), event.entry.text.as_str())).collect()
}

async fn put(store: &Store<Text>, path: &str, text: &str) -> Revision {
    let value = bytes::Bytes::from(text.to_owned());
    let current = store.get(&key(path), At::Latest).await.expect("read");
    let written = match current {
        None => store.create(key(path), value, Durability::Flushed).await,
        Some(stored) => store.update(key(path), stored.revision, value, Durability::Flushed).await,
    };
    written.expect("written").revision
}

async fn delete(store: &Store<Text>, path: &str) -> Revision {
    let current = store.get(&key(path), At::Latest).await.expect("read").expect("there").revision;
    store.delete(key(path), current, Durability::Flushed).await.expect("deleted").revision
}

/// Writers contend for few keys while watches run from the beginning and from the middle. Replaying the events of each
/// must give, key by key, an unbroken chain that ends in what is stored.
pub(crate) async fn yield_every_change_once_in_order_under_load<F: Fixture>() {
    let fixture = F::create().await;
    let store = open(&fixture).await;
    let start = put(&store, "/registry/start", "0").await;
    let early = store.watch(everything(start)).expect("watch");
    let writers: Vec<_> = (0..4u64).map(|seed| tokio::spawn(scramble(store.clone(), seed))).collect();
    let middle = store.list(&registry(), ListOptions::default()).await.expect("list");
    let late = store.watch(everything(middle.revision)).expect("watch");
    for writer in writers {
        writer.await.expect("the writer finishes");
    }
    let end = put(&store, "/registry/end", "end").await;

    let from_start = BTreeMap::from([("/registry/start".to_owned(), start)]);
    let from_middle = middle.entries.iter().map(|(key, stored)| (key.to_string(), stored.revision)).collect();
    let stored = store.list(&registry(), ListOptions::default()).await.expect("list");
    let stored: BTreeMap<_, _> =
        stored.entries.iter().map(|(key, stored)| (key.to_string(), stored.revision)).collect();
    for (watch, state) in [(early, from_start), (late, from_middle)] {
        assert_eq!(replay(watch, state, end).await, stored);
    }
    store.close().await;
}

/// Writes and deletes few keys in an order that `seed` decides; conflicts with other writers are part of it.
async fn scramble(store: Store<Text>, seed: u64) {
    let mut state = seed + 1;
    for round in 0..60 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let path = format!("/registry/k{}", (state >> 33) % 5);
        let durability = if round % 3 == 0 { Durability::Behind } else { Durability::Flushed };
        let current = store.get(&key(&path), At::Known).await.expect("read");
        let outcome = match current {
            None => store.create(key(&path), format!("{seed}-{round}").into(), durability).await,
            Some(stored) if round % 4 == 0 => store.delete(key(&path), stored.revision, durability).await,
            Some(stored) => {
                store.update(key(&path), stored.revision, format!("{seed}-{round}").into(), durability).await
            }
        };
        assert!(matches!(outcome, Ok(_) | Err(WriteError::Conflict { .. })), "{outcome:?}");
    }
}

/// Applies a watch's events through `end` to `state`, checking that each continues what was there.
async fn replay(
    mut watch: Watch<Entry>,
    mut state: BTreeMap<String, Revision>,
    end: Revision,
) -> BTreeMap<String, Revision> {
    let mut newest = Revision::ZERO;
    let mut batch = Vec::new();
    while newest < end {
        watch.next(&mut batch).await.expect("the watch goes on");
        for event in &batch {
            assert!(event.revision > newest, "{} after {newest}", event.revision);
            newest = event.revision;
            let path = event.key.to_string();
            let before = event.previous.as_ref().map(|previous| previous.revision);
            assert_eq!(state.get(&path).copied(), before, "{path} at {}", event.revision);
            assert_eq!(event.entry.tombstone, event.kind == EventKind::Deleted);
            match event.kind {
                EventKind::Deleted => state.remove(&path),
                EventKind::Created | EventKind::Updated => state.insert(path, event.revision),
            };
        }
    }
    state
}

pub(crate) async fn begin_anywhere_in_history<F: Fixture>() {
    let fixture = F::create().await;
    let store = open(&fixture).await;
    let mut revisions = vec![put(&store, "/registry/a", "1").await];
    revisions.push(put(&store, "/registry/a", "2").await);
    revisions.push(put(&store, "/registry/b", "3").await);
    revisions.push(delete(&store, "/registry/a").await);
    let expected = [
        (EventKind::Updated, "/registry/a", "2"),
        (EventKind::Created, "/registry/b", "3"),
        (EventKind::Deleted, "/registry/a", "2"),
    ];
    for (skipped, &from) in revisions.iter().enumerate() {
        let mut watch = store.watch(everything(from)).expect("watch");
        if skipped < expected.len() {
            assert_eq!(facts(&take(&mut watch, expected.len() - skipped).await), expected[skipped..]);
        }
        assert_eq!(watch.progress(), revisions[3]);
    }
    let mut of_one = store.watch(WatchOptions::new(Scope::Key(key("/registry/b")), revisions[0])).expect("watch");
    assert_eq!(facts(&take(&mut of_one, 1).await), [(EventKind::Created, "/registry/b", "3")]);

    let future = Revision(revisions[3].0 + 1000);
    let refused = store.watch(everything(future)).err();
    assert!(matches!(refused, Some(WatchError::Future { requested, .. }) if requested == future), "{refused:?}");
    store.compact(revisions[1]).await.expect("compacted");
    let requested = revisions[0];
    let refused = store.watch(everything(requested)).err();
    assert_eq!(refused, Some(WatchError::Compacted { requested, oldest: revisions[1] }));
    let mut watch = store.watch(everything(revisions[1])).expect("watch");
    assert_eq!(take(&mut watch, 2).await.len(), 2);
    store.close().await;
}

/// A watch by value sees entries come to have the value, change while they have it, and cease to have it.
pub(crate) async fn select_by_index_value<F: Fixture>() {
    let fixture = F::create().await;
    let store = open(&fixture).await;
    let start = put(&store, "/registry/pods/default/start", "none").await;
    let select = || Select::Value { index: BY_HEAD, value: "node-1".to_owned() };
    let scope = Scope::Prefix(prefix("/registry/pods/"));
    let options = || WatchOptions { select: select(), ..WatchOptions::new(scope.clone(), start) };
    let mut live = store.watch(options()).expect("watch");

    for (path, text) in [
        ("/registry/pods/default/a", ":unscheduled"),
        ("/registry/pods/default/b", "node-2:pending"),
        ("/registry/pods/default/a", "node-1:pending"),
        ("/registry/other/default/a", "node-1:elsewhere"),
        ("/registry/pods/default/a", "node-1:running"),
        ("/registry/pods/default/b", "node-1:moved"),
        ("/registry/pods/default/b", "node-2:moved back"),
    ] {
        put(&store, path, text).await;
    }
    delete(&store, "/registry/pods/default/b").await;
    delete(&store, "/registry/pods/default/a").await;

    let expected = [
        (EventKind::Updated, "/registry/pods/default/a", "node-1:pending"),
        (EventKind::Updated, "/registry/pods/default/a", "node-1:running"),
        (EventKind::Updated, "/registry/pods/default/b", "node-1:moved"),
        (EventKind::Updated, "/registry/pods/default/b", "node-2:moved back"),
        (EventKind::Deleted, "/registry/pods/default/a", "node-1:running"),
    ];
    assert_eq!(facts(&take(&mut live, expected.len()).await), expected, "as it happens");
    let mut past = store.watch(options()).expect("watch");
    assert_eq!(facts(&take(&mut past, expected.len()).await), expected, "from history");
    store.close().await;
}

pub(crate) async fn that_fall_behind_end_with_the_reason<F: Fixture>() {
    let fixture = F::create().await;
    let store = open(&fixture).await;
    let start = put(&store, "/registry/a", "0").await;
    let mut slow = store.watch(WatchOptions { queue: 3, ..everything(start) }).expect("watch");
    let mut quick = store.watch(everything(start)).expect("watch");
    for value in 1..=5 {
        put(&store, "/registry/a", &value.to_string()).await;
    }
    let all = take(&mut quick, 5).await;
    let first = take(&mut slow, 3).await;
    assert_eq!(facts(&first), facts(&all)[..3], "what was queued is yielded");
    assert_eq!(slow.progress(), first[2].revision, "and no more is claimed");
    let mut batch = Vec::new();
    assert_eq!(slow.next(&mut batch).await, Err(WatchClosed::Lagged { limit: 3 }));
    let mut resumed = store.watch(everything(slow.progress())).expect("watch");
    assert_eq!(facts(&take(&mut resumed, 2).await), facts(&all)[3..]);
    store.close().await;
    assert_eq!(quick.next(&mut batch).await, Err(WatchClosed::Closed));
}

pub(crate) async fn make_progress_without_changes_of_their_own<F: Fixture>() {
    let fixture = F::create().await;
    let store = open(&fixture).await;
    let start = put(&store, "/registry/core/pods/default/a", "0").await;
    let pods = WatchOptions::new(Scope::Prefix(prefix("/registry/core/pods/")), start);
    let idle = store.watch(pods).expect("watch");
    let mut all = store.watch(everything(start)).expect("watch");
    let elsewhere = put(&store, "/registry/core/nodes/n", "1").await;
    take(&mut all, 1).await;
    assert_eq!(idle.progress(), elsewhere);
    store.close().await;
}

/// A client that comes back after the server was restarted goes on where it was.
pub(crate) async fn resume_across_a_restart<F: Fixture>() {
    if !F::KEEPS {
        return;
    }
    let fixture = F::create().await;
    let store = open(&fixture).await;
    let seen = put(&store, "/registry/a", "1").await;
    put(&store, "/registry/a", "2").await;
    let last = delete(&store, "/registry/a").await;
    store.close().await;

    let store = open(&fixture).await;
    // etcd keeps its history to itself: a mirror that starts anew begins at its present.
    match store.watch(everything(seen)) {
        Ok(mut watch) => {
            let expected = [(EventKind::Updated, "/registry/a", "2"), (EventKind::Deleted, "/registry/a", "2")];
            assert_eq!(facts(&take(&mut watch, 2).await), expected);
        }
        Err(WatchError::Compacted { requested, oldest }) => assert!(requested == seen && oldest >= last),
        Err(error) => panic!("{error}"),
    }
    let mut watch = store.watch(everything(last.max(store.stats().oldest))).expect("watch from the last revision");
    put(&store, "/registry/b", "3").await;
    assert_eq!(facts(&take(&mut watch, 1).await), [(EventKind::Created, "/registry/b", "3")]);
    store.close().await;
}
