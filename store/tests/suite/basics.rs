//! Conditional writes, lists and reads at revisions.

use bytes::Bytes;
use store::{At, Durability, ListOptions, ReadError, Revision, Store, WriteError};

use super::{Fixture, Text, key, open, prefix, registry};

async fn put_all(store: &Store<Text>, paths: &[&str]) -> Vec<Revision> {
    let mut revisions = Vec::new();
    for path in paths {
        let value = Bytes::from((*path).to_owned());
        revisions.push(store.create(key(path), value, Durability::Flushed).await.expect("created").revision);
    }
    revisions
}

fn paths(list: &store::List<super::Entry>) -> Vec<&str> {
    list.entries.iter().map(|(key, _)| key.as_str()).collect()
}

pub(crate) async fn creates_updates_and_deletes_on_condition<F: Fixture>() {
    let fixture = F::create().await;
    let store = open(&fixture).await;
    let name = key("/registry/core/configmaps/default/a");
    let flushed = Durability::Flushed;

    let created = store.create(name.clone(), "one".into(), flushed).await.expect("created");
    assert_eq!((created.entry.text.as_str(), created.entry.revision), ("one", created.revision));
    let again = store.create(name.clone(), "two".into(), flushed).await.expect_err("exists");
    assert_eq!(again, WriteError::Conflict { key: name.clone(), current: Some(created.revision) });

    let updated = store.update(name.clone(), created.revision, "two".into(), flushed).await.expect("updated");
    assert!(updated.revision > created.revision);
    for stale in [created.revision, Revision(0), updated.revision.next()] {
        let conflict = WriteError::Conflict { key: name.clone(), current: Some(updated.revision) };
        assert_eq!(store.update(name.clone(), stale, "x".into(), flushed).await.expect_err("stale"), conflict);
        assert_eq!(store.delete(name.clone(), stale, flushed).await.expect_err("stale"), conflict);
    }
    assert_eq!(store.get(&name, At::Latest).await.expect("read").expect("there").entry.text, "two");

    let deleted = store.delete(name.clone(), updated.revision, flushed).await.expect("deleted");
    assert!(deleted.entry.tombstone && deleted.entry.text == "two" && deleted.entry.revision == deleted.revision);
    assert!(store.get(&name, At::Latest).await.expect("read").is_none());
    let gone = WriteError::Conflict { key: name.clone(), current: None };
    assert_eq!(store.delete(name.clone(), updated.revision, flushed).await.expect_err("gone"), gone);
    assert_eq!(store.update(name.clone(), updated.revision, "x".into(), flushed).await.expect_err("gone"), gone);
    let recreated = store.create(name, "three".into(), flushed).await.expect("created again");
    assert!(recreated.revision > deleted.revision);
    store.close().await;
}

pub(crate) async fn lists_pages_at_one_revision_while_writes_go_on<F: Fixture>() {
    let fixture = F::create().await;
    let store = open(&fixture).await;
    let pods = prefix("/registry/core/pods/default/");
    let names = ["a", "b", "c", "d", "e"].map(|name| format!("{pods}{name}"));
    put_all(&store, &names.each_ref().map(String::as_str)).await;
    put_all(&store, &["/registry/core/pods/default-2/x", "/registry/core/services/default/a"]).await;

    let first = store.list(&pods, ListOptions { limit: 2, ..ListOptions::default() }).await.expect("first page");
    assert_eq!((paths(&first), first.remaining), (vec![names[0].as_str(), &names[1]], 3));

    // Behind, on and ahead of where the next page begins.
    for name in &names[1..4] {
        let revision = store.get(&key(name), At::Latest).await.expect("read").expect("there").revision;
        store.delete(key(name), revision, Durability::Flushed).await.expect("deleted");
    }
    let late = format!("{pods}cc");
    put_all(&store, &[&late]).await;

    let mut after = first.entries.last().map(|(key, _)| key.clone());
    let mut rest = Vec::new();
    while let Some(from) = after.take() {
        let at = At::Exactly(first.revision);
        let page = store.list(&pods, ListOptions { at, after: Some(from), limit: 2 }).await.expect("later page");
        assert_eq!(page.revision, first.revision);
        rest.extend(paths(&page).into_iter().map(str::to_owned));
        after = page.entries.last().map(|(key, _)| key.clone()).filter(|_| page.remaining > 0);
    }
    assert_eq!(rest, names[2..]);
    let now = store.list(&pods, ListOptions::default()).await.expect("list");
    assert_eq!(paths(&now), [names[0].as_str(), &late, &names[4]]);
    store.close().await;
}

pub(crate) async fn reads_the_past_until_it_is_compacted<F: Fixture>() {
    let fixture = F::create().await;
    let store = open(&fixture).await;
    let name = key("/registry/a");
    let first = store.create(name.clone(), "1".into(), Durability::Flushed).await.expect("created").revision;
    let second = store.update(name.clone(), first, "2".into(), Durability::Flushed).await.expect("updated").revision;
    let third = store.delete(name.clone(), second, Durability::Flushed).await.expect("deleted").revision;

    let at = async |revision| {
        let read = store.get(&name, At::Exactly(revision)).await?;
        Ok::<_, ReadError>(read.map(|stored| (stored.entry.text.clone(), stored.revision)))
    };
    assert_eq!(at(first).await, Ok(Some(("1".to_owned(), first))));
    assert_eq!(at(second).await, Ok(Some(("2".to_owned(), second))));
    assert_eq!(at(third).await, Ok(None));
    let future = Revision(third.0 + 1000);
    assert!(matches!(at(future).await, Err(ReadError::Future { requested, .. }) if requested == future));

    store.compact(second).await.expect("compacted");
    assert_eq!(at(first).await, Err(ReadError::Compacted { requested: first, oldest: second }));
    assert_eq!(at(second).await, Ok(Some(("2".to_owned(), second))));
    store.close().await;
}

pub(crate) async fn refuses_values_over_the_limit_and_stays_usable<F: Fixture>() {
    if !F::KEEPS {
        return;
    }
    let fixture = F::create().await;
    let store = open(&fixture).await;
    let huge = Bytes::from(vec![b'x'; 8 << 20]);
    let refused = store.create(key("/registry/huge"), huge, Durability::Flushed).await.expect_err("too large");
    assert!(matches!(refused, WriteError::TooLarge { size, .. } if size == 8 << 20), "{refused}");
    let large = Bytes::from(vec![b'x'; 1 << 20]);
    let stored = store.create(key("/registry/large"), large.clone(), Durability::Flushed).await.expect("1 MiB fits");
    assert_eq!(stored.entry.text.len(), large.len());
    assert!(store.get(&key("/registry/huge"), At::Latest).await.expect("read").is_none());
    store.close().await;
}

pub(crate) async fn serves_after_reopening_what_was_acknowledged<F: Fixture>() {
    if !F::KEEPS {
        return;
    }
    let fixture = F::create().await;
    let store = open(&fixture).await;
    let revisions = put_all(&store, &["/registry/a", "/registry/b", "/registry/c"]).await;
    store.delete(key("/registry/b"), revisions[1], Durability::Flushed).await.expect("deleted");
    store.create(key("/registry/event"), "behind".into(), Durability::Behind).await.expect("created");
    let before = store.list(&registry(), ListOptions::default()).await.expect("list");
    store.close().await;

    let store = open(&fixture).await;
    let after = store.list(&registry(), ListOptions::default()).await.expect("list");
    let facts = |list: &store::List<super::Entry>| -> Vec<_> {
        list.entries.iter().map(|(key, stored)| (key.clone(), stored.revision, stored.entry.text.clone())).collect()
    };
    assert_eq!(facts(&after), facts(&before));
    assert!(after.revision >= before.revision);
    let next = store.create(key("/registry/d"), "d".into(), Durability::Flushed).await.expect("created").revision;
    assert!(next > before.revision);
    store.close().await;
}

pub(crate) async fn answers_closed_after_close<F: Fixture>() {
    let fixture = F::create().await;
    let store = open(&fixture).await;
    put_all(&store, &["/registry/a"]).await;
    store.close().await;
    let write = store.create(key("/registry/b"), "b".into(), Durability::Flushed).await;
    assert_eq!(write.expect_err("closed"), WriteError::Closed);
    assert!(store.get(&key("/registry/a"), At::Known).await.expect("reads go on").is_some());
    store.close().await;
}
