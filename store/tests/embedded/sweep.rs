//! Power failures at every disk call, and at random ones in random workloads.

use std::collections::BTreeMap;
use std::io;

use bytes::Bytes;
use futures::stream::{FuturesUnordered, StreamExt};
use proptest::prelude::*;
use store::{Backend, Durability, Embedded, Expect, Op, Revision, Sink, Write, WriteError, verify_disk};

use super::faulty_disk::{Fault, FaultyDisk};
use super::*;

/// One round of a workload: writes that are submitted together. Keys are different within a round.
type Round = Vec<Step>;

#[derive(Clone, Debug)]
struct Step {
    key: u8,
    delete: bool,
    behind: bool,
    bytes: usize,
}

/// What a run did before the power failed.
#[derive(Default)]
struct Run {
    acknowledged: Vec<(Revision, Write)>,
    /// What readers could see, in order.
    shown: Vec<store::Change>,
    /// What was neither acknowledged nor in conflict.
    unanswered: Vec<Write>,
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

async fn run(disk: &FaultyDisk, rounds: &[Round]) -> Run {
    let mut run = Run::default();
    let store = Embedded::open_disk(Arc::new(disk.clone()), options());
    let Ok(store) = store else { return run };
    let sink = Arc::new(TestSink::default());
    if store.start(sink.clone()).await.is_err() {
        return run;
    }
    for (number, round) in rounds.iter().enumerate() {
        let mut writes = FuturesUnordered::new();
        for step in round {
            let path = format!("/k/{}", step.key);
            let current = sink.0.lock().live.get(&key(&path)).map(|(at, _)| *at);
            let write = Write {
                key: key(&path),
                expect: current.map_or(Expect::Absent, Expect::At),
                op: match current {
                    Some(_) if step.delete => Op::Delete,
                    _ => Op::Put(Bytes::from(vec![number as u8; step.bytes])),
                },
                durability: if step.behind { Durability::Behind } else { Durability::Flushed },
            };
            let committed = store.commit(write.clone());
            writes.push(async move { (committed.await, write) });
        }
        while let Some((result, write)) = writes.next().await {
            match result {
                Ok(revision) => run.acknowledged.push((revision, write)),
                Err(WriteError::Undetermined { .. }) => run.unanswered.push(write),
                Err(WriteError::Unavailable { .. } | WriteError::NoSpace { .. }) => {}
                // After an undetermined write that did happen, the next of its key may be in conflict.
                Err(WriteError::Conflict { .. }) => {}
                Err(other) => panic!("{other}"),
            }
        }
        if number % 7 == 5 {
            // It may fail: then the disk has.
            let through = Revision(sink.revision().0.saturating_sub(6));
            let _ = store.compact(through).await;
        }
    }
    store.close().await;
    run.shown = std::mem::take(&mut sink.0.lock().log);
    run
}

/// What `changes` leave.
fn state_of(changes: &[store::Change]) -> BTreeMap<String, (u64, Bytes)> {
    let mut state = BTreeMap::new();
    for change in changes {
        match &change.value {
            Some(value) => drop(state.insert(change.key.to_string(), (change.revision.0, value.clone()))),
            None => drop(state.remove(change.key.as_str())),
        }
    }
    state
}

/// Opens what a crash left and checks every promise against what had been done before it.
fn check_survivor(disk: &FaultyDisk, before: &Run) {
    verify_disk(FaultyDisk::holding(disk.content())).unwrap();
    let (kept, oldest, base, opened_at, revision) = block_on(async {
        let (store, sink) = start(disk.clone()).await;
        let (kept, oldest, opened_at, live) = {
            let state = sink.0.lock();
            (state.log.clone(), state.oldest, state.revision, state.values())
        };
        // It works, and what it writes now is at a revision that was never seen before.
        let revision = commit(&store, put("/new", Expect::Absent, "new")).await;
        store.close().await;
        let base = if kept.is_empty() { Some(live) } else { None };
        (kept, oldest, base, opened_at, revision)
    });
    assert!(verify_disk(FaultyDisk::holding(disk.content())).unwrap().clean);

    let seen = before.shown.last().map(|change| change.revision).unwrap_or_default();
    assert!(revision > seen && revision > opened_at, "revision {revision} may be seen twice: {seen} was shown");
    let flushed = before.acknowledged.iter().filter(|(_, write)| write.durability == Durability::Flushed);
    let last_durable = flushed.map(|(revision, _)| *revision).max().unwrap_or_default();
    let last_kept = kept.last().map_or(oldest, |change| change.revision);
    assert!(last_kept >= last_durable, "{last_kept} is the last kept, and {last_durable} was acknowledged as durable");

    // What is kept is the beginning of what was shown, and if it is all of that, then the transaction in flight.
    let shown = before.shown.iter().filter(|change| change.revision > oldest && change.revision <= last_kept);
    let (known, in_flight): (Vec<_>, Vec<_>) = kept.iter().partition(|change| change.revision <= seen);
    assert_eq!(known, shown.collect::<Vec<_>>());
    for change in in_flight {
        assert!(before.unanswered.iter().any(|write| write.key == change.key), "{change:?} was never asked for");
    }
    if let Some(base) = base {
        let shown: Vec<_> = before.shown.iter().filter(|change| change.revision <= oldest).cloned().collect();
        assert_eq!(base, state_of(&shown));
    }
    for (revision, write) in &before.acknowledged {
        let shown = before.shown.iter().find(|change| change.revision == *revision);
        assert_eq!(shown.map(|change| &change.key), Some(&write.key), "shown before it was acknowledged");
    }
}

fn fixed_workload() -> Vec<Round> {
    (0..34)
        .map(|round: usize| {
            (0..3)
                .map(|at: usize| Step {
                    key: ((round * 3 + at * 5) % 11) as u8,
                    delete: round % 4 == 3 && at == 1,
                    behind: at == 0 || round % 6 == 2,
                    bytes: [3, 700, 5000][(round + at) % 3],
                })
                .collect()
        })
        .collect()
}

#[test]
fn a_power_failure_at_any_disk_call_loses_nothing_acknowledged() {
    let rounds = fixed_workload();
    let disk = formatted();
    let untouched = disk.content();
    let whole = block_on(run(&disk, &rounds));
    assert!(whole.acknowledged.len() > 95, "{}", whole.acknowledged.len());
    assert!(verify_disk(FaultyDisk::holding(disk.content())).unwrap().clean);
    let calls = disk.calls();
    for call in 0..calls {
        let disk = FaultyDisk::holding(untouched.clone());
        disk.fault_after(call, Fault::Crash);
        let before = block_on(run(&disk, &rounds));
        check_survivor(&disk.after_power_failure(call), &before);
    }
}

#[test]
fn an_error_at_any_disk_call_is_answered_truthfully() {
    let rounds = fixed_workload();
    let untouched = formatted().content();
    let mut call = 0;
    loop {
        let kind = if call % 2 == 0 { io::ErrorKind::StorageFull } else { io::ErrorKind::Other };
        let disk = FaultyDisk::holding(untouched.clone());
        disk.fault_after(call, Fault::Error(kind));
        let before = block_on(run(&disk, &rounds));
        check_survivor(&FaultyDisk::holding(disk.content()), &before);
        if disk.calls() <= call {
            break;
        }
        // Each run is about as long as the last: a stride that is odd and prime meets every kind of call.
        call += 3;
    }
    assert!(call > 100, "{call}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn random_workloads_survive_power_failures(
        rounds in proptest::collection::vec(
            proptest::collection::btree_map(0..9u8, (any::<bool>(), any::<bool>(), 0..9000usize), 1..6),
            1..25,
        ),
        call in 0..400u64,
        seed in any::<u64>(),
    ) {
        let step = |(key, (delete, behind, bytes))| Step { key, delete, behind, bytes };
        let rounds: Vec<Round> = rounds.into_iter().map(|round| round.into_iter().map(step).collect()).collect();
        let disk = formatted();
        disk.fault_after(call, Fault::Crash);
        let before = block_on(run(&disk, &rounds));
        check_survivor(&disk.after_power_failure(seed), &before);
    }
}
