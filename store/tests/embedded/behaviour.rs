//! What writes, compaction, restarts, backups and a full disk do when nothing crashes.

use std::sync::Arc;
use std::time::Duration;

use store::{
    Backend, CompactError, Embedded, EmbeddedOptions, Expect, Revision, Sink, WriteError, verify, verify_disk,
};

use super::faulty_disk::FaultyDisk;
use super::*;

#[tokio::test]
async fn conditions_are_judged_in_order() {
    let (store, sink) = start(formatted()).await;
    let first = commit(&store, put("/a", Expect::Absent, "1")).await;
    assert_eq!(first, Revision(1));
    let cases = [
        (put("/a", Expect::Absent, "2"), Err(conflict("/a", Some(first)))),
        (put("/b", Expect::At(first), "2"), Err(conflict("/b", None))),
        (delete("/b", first), Err(conflict("/b", None))),
        (Write { op: Op::Delete, ..put("/b", Expect::Absent, "") }, Err(conflict("/b", None))),
        (put("/a", Expect::At(first), "2"), Ok(Revision(2))),
        (delete("/a", first), Err(conflict("/a", Some(Revision(2))))),
        (delete("/a", Revision(2)), Ok(Revision(3))),
        (put("/a", Expect::At(Revision(2)), "3"), Err(conflict("/a", None))),
        (put("/a", Expect::Absent, "3"), Ok(Revision(4))),
    ];
    for (write, expected) in cases {
        assert_eq!(store.commit(write.clone()).await, expected, "{write:?}");
    }
    let too_large = store.commit(put("/l", Expect::Absent, vec![0; (3 << 19) + 1])).await;
    assert!(matches!(too_large, Err(WriteError::TooLarge { size: 1_572_865, limit: 1_572_864, .. })));
    commit(&store, put("/l", Expect::Absent, vec![0; 3 << 19])).await;
    assert_eq!(store.current().await, Ok(sink.revision()));
    store.close().await;
    let state = sink.0.lock();
    assert_eq!(state.published, state.log.len());
}

#[tokio::test]
async fn one_flush_serves_all_who_wait_and_conflicts_wait_for_what_they_depend_on() {
    let disk = formatted();
    let (store, sink) = start(disk.clone()).await;
    let store = Arc::new(store);
    let spawn = |write| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.commit(write).await })
    };
    disk.hold();
    let first = spawn(put("/first", Expect::Absent, ""));
    tokio::task::yield_now().await;
    tokio::task::spawn_blocking({
        let disk = disk.clone();
        move || disk.wait_for_held_sync()
    })
    .await
    .unwrap();
    let waiting: Vec<_> = (0..20).map(|at| spawn(put(&format!("/k/{}", at / 2), Expect::Absent, ""))).collect();
    for _ in 0..40 {
        tokio::task::yield_now().await;
    }
    assert_eq!(sink.revision(), Revision::ZERO, "nothing is shown before it is durable");
    assert!(waiting.iter().all(|task| !task.is_finished()));
    let syncs = disk.syncs();
    disk.release();
    first.await.unwrap().unwrap();
    let mut results = Vec::new();
    for task in waiting {
        results.push(task.await.unwrap());
    }
    assert_eq!(disk.syncs(), syncs + 2, "one for the first, one for all who waited");
    for (at, pair) in results.chunks(2).enumerate() {
        let revision = *pair[0].as_ref().unwrap();
        assert_eq!(pair[1], Err(conflict(&format!("/k/{at}"), Some(revision))));
    }
    store.close().await;
}

#[tokio::test]
async fn behind_is_acknowledged_before_the_flush_and_flushed_in_time() {
    let disk = formatted();
    let (store, sink) = start(disk.clone()).await;
    let calls = disk.calls();
    let first = commit(&store, behind(put("/e/1", Expect::Absent, "1"))).await;
    let second = commit(&store, behind(put("/e/1", Expect::At(first), "2"))).await;
    assert_eq!((first, second), (Revision(1), Revision(2)));
    assert_eq!(disk.calls(), calls, "nothing was written for it");
    // Watchers are given it right after it was acknowledged.
    while sink.0.lock().published < 2 {
        tokio::task::yield_now().await;
    }
    // A durable write takes along what was written before it.
    commit(&store, put("/d", Expect::Absent, "")).await;
    let (_, survivor) = start(FaultyDisk::holding(disk.content())).await;
    assert_eq!(survivor.0.lock().log.len(), 3);
    store.close().await;

    // With a delay it goes without anyone asking; with a bound, as soon as that is reached.
    let options = EmbeddedOptions { behind_delay: Duration::from_millis(1), ..options() };
    let (store, _) = start_with(disk.clone(), options).await;
    disk.hold();
    commit(&store, behind(put("/e/2", Expect::Absent, ""))).await;
    let held = disk.clone();
    tokio::task::spawn_blocking(move || held.wait_for_held_sync()).await.unwrap();
    disk.release();
    store.close().await;
    let options = EmbeddedOptions { behind_writes: 3, ..super::options() };
    let (store, _) = start_with(disk.clone(), options).await;
    disk.hold();
    for at in 0..3 {
        commit(&store, behind(put(&format!("/f/{at}"), Expect::Absent, ""))).await;
    }
    let held = disk.clone();
    tokio::task::spawn_blocking(move || held.wait_for_held_sync()).await.unwrap();
    disk.release();
    store.close().await;
}

#[tokio::test]
async fn history_survives_a_restart_and_compaction_forgets_it() {
    let disk = formatted();
    let (store, sink) = start(disk.clone()).await;
    let mut at = None;
    for round in 0..600u32 {
        let expect = at.map_or(Expect::Absent, Expect::At);
        at = Some(commit(&store, behind(put("/a", expect, round.to_le_bytes().to_vec()))).await);
    }
    let gone = commit(&store, put("/gone", Expect::Absent, "")).await;
    commit(&store, delete("/gone", gone)).await;
    let last = commit(&store, put("/b", Expect::Absent, "")).await;
    let future = store.compact(last.next()).await;
    assert!(matches!(future, Err(CompactError::Failed { .. })), "{future:?}");
    store.close().await;
    assert_eq!(store.commit(put("/c", Expect::Absent, "")).await, Err(WriteError::Closed));
    let before = sink.0.lock().log.clone();

    let (store, sink) = start(disk.clone()).await;
    assert_eq!(sink.0.lock().log, before);
    assert!(sink.0.lock().skips.is_empty(), "a clean close leaves no gap");
    store.compact(Revision(590)).await.unwrap();
    store.compact(Revision(5)).await.unwrap();
    store.close().await;
    let report = verify_disk(FaultyDisk::holding(disk.content())).unwrap();
    assert_eq!((report.compacted.0, report.objects, report.history), (590, 2, 13));

    let (store, sink) = start(disk.clone()).await;
    assert_eq!(sink.0.lock().oldest, Revision(590));
    assert_eq!(sink.0.lock().log, before[590..]);
    store.compact(last).await.unwrap();
    store.close().await;
    let report = verify_disk(FaultyDisk::holding(disk.content())).unwrap();
    assert_eq!((report.compacted, report.objects, report.history, report.clean), (last, 2, 0, true));
    let (store, sink) = start(disk).await;
    assert_eq!(sink.0.lock().values().keys().collect::<Vec<_>>(), ["/a", "/b"]);
    assert_eq!(commit(&store, put("/c", Expect::Absent, "")).await, last.next());
}

#[tokio::test]
async fn a_full_disk_refuses_writes_until_there_is_room() {
    let disk = formatted();
    let (store, sink) = start(disk.clone()).await;
    let kept = commit(&store, put("/kept", Expect::Absent, "kept")).await;
    commit(&store, behind(put("/event", Expect::Absent, "event"))).await;
    disk.limit(Some(0));
    let refused = |result: Result<Revision, WriteError>| matches!(result, Err(WriteError::NoSpace { .. }));
    for round in 0..4 {
        let (first, second, third) = tokio::join!(
            store.commit(put("/big", Expect::Absent, vec![1; 200_000])),
            store.commit(put("/big", Expect::Absent, vec![2; 200_000])),
            store.commit(put("/kept", Expect::Absent, "")),
        );
        assert!(refused(first) && refused(second), "round {round}");
        assert_eq!(third, Err(conflict("/kept", Some(kept))));
    }
    assert_eq!(sink.0.lock().values().keys().collect::<Vec<_>>(), ["/event", "/kept"]);
    disk.limit(None);
    let revision = commit(&store, put("/big", Expect::Absent, vec![3; 200_000])).await;
    assert_eq!(revision, Revision(3), "what was refused has used no revision");
    store.close().await;
    let (_, survivor) = start(disk).await;
    assert_eq!(survivor.0.lock().values(), sink.0.lock().values());
}

#[tokio::test]
async fn after_a_failed_sync_nothing_more_is_written() {
    let disk = formatted();
    let (store, sink) = start(disk.clone()).await;
    commit(&store, put("/a", Expect::Absent, "")).await;
    disk.fail_syncs();
    let result = store.commit(put("/b", Expect::Absent, "")).await;
    assert!(matches!(result, Err(WriteError::Undetermined { .. })), "{result:?}");
    let calls = disk.calls();
    for write in [put("/c", Expect::Absent, ""), behind(put("/d", Expect::Absent, ""))] {
        let result = store.commit(write).await;
        assert!(matches!(&result, Err(WriteError::Unavailable { detail }) if detail.contains("restart")), "{result:?}");
    }
    assert_eq!(store.commit(put("/a", Expect::Absent, "")).await, Err(conflict("/a", Some(Revision(1)))));
    assert_eq!(store.current().await, Ok(Revision(1)));
    store.close().await;
    assert_eq!(disk.calls(), calls, "not even to close");
    assert_eq!(sink.0.lock().values().len(), 1);
}

#[tokio::test]
async fn dropping_a_store_ends_its_writer_and_flushes() {
    let disk = formatted();
    let (store, _) = start(disk.clone()).await;
    commit(&store, behind(put("/a", Expect::Absent, ""))).await;
    drop(store);
    let report = verify_disk(FaultyDisk::holding(disk.content())).unwrap();
    assert_eq!((report.clean, report.objects), (true, 1));
    drop(Embedded::open_disk(Arc::new(disk), options()).unwrap());
}

#[tokio::test]
async fn a_backup_is_restored_as_it_was_and_goes_on_later() {
    let dir = tempfile::tempdir().unwrap();
    let (data, to) = (dir.path().join("data"), dir.path().join("backup"));
    let store = Embedded::open(&data, options()).unwrap();
    let sink = Arc::new(TestSink::default());
    store.start(sink.clone()).await.unwrap();
    for at in 0..40 {
        commit(&store, behind(put(&format!("/k/{at}"), Expect::Absent, vec![at; 3000]))).await;
    }
    let first = commit(&store, put("/changed", Expect::Absent, "old")).await;
    let second = commit(&store, put("/changed", Expect::At(first), "new")).await;
    let gone = commit(&store, put("/gone", Expect::Absent, "")).await;
    let newest = commit(&store, behind(delete("/gone", gone))).await;
    let wanted = sink.0.lock().values();
    assert_eq!(store.backup(&to).await.unwrap(), newest);
    assert!(matches!(store.backup(&to).await, Err(store::MaintenanceError::Exists { .. })));
    assert!(matches!(store::restore(&to, &data), Err(store::MaintenanceError::Exists { .. })));
    commit(&store, put("/changed", Expect::At(second), "newer")).await;
    store.close().await;

    let report = verify(&to).unwrap();
    assert_eq!((report.revision, report.compacted, report.objects, report.history), (newest, newest, 41, 0));
    let restored = dir.path().join("restored");
    assert_eq!(store::restore(&to, &restored).unwrap(), report);
    assert_eq!(verify(&restored).unwrap().objects, 41);
    let store = Embedded::open(&restored, options()).unwrap();
    let sink = Arc::new(TestSink::default());
    store.start(sink.clone()).await.unwrap();
    assert_eq!(sink.0.lock().values(), wanted);
    assert_eq!(sink.0.lock().oldest, Revision(newest.0 + 1_000_000_000), "watches from before are refused");
    assert!(commit(&store, put("/next", Expect::Absent, "")).await.0 > newest.0 + 1_000_000_000);
    store.close().await;
}
