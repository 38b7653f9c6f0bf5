//! What a write comes to, whatever becomes of its answer.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use etcd_client::{AlarmAction, AlarmOptions, AlarmType};
use futures::future::join_all;
use store::{
    Backend, EtcdBackend, EtcdOptions, Expect, Key, Op, OpenError, ReadError, Revision, Sink, Write, WriteError,
};

use crate::harness::backend::{assert_nothing_missed, key, listed, open, put, write};
use crate::harness::proxy::{Mode, Proxy};
use crate::harness::recorder::Recorder;
use crate::harness::{Cluster, Setup, eventually, options};

#[tokio::test]
async fn writes_what_was_expected_and_nothing_else() {
    let cluster = Cluster::single().await;
    let (backend, recorder) = open(cluster.options()).await;
    let (a, b) = (key("a"), key("b"));
    let first = backend.commit(put(&a, Expect::Absent, "1")).await.unwrap();
    let second = backend.commit(put(&a, Expect::At(first), "2")).await.unwrap();
    assert!(second > first);
    let conflict = |key: &Key, current| Err(WriteError::Conflict { key: key.clone(), current });
    let limit = cluster.options().value_limit;
    let large = vec![0; limit + 1];
    let outside = Key::new("/elsewhere/a").unwrap();
    let own = Key::new("/registry/.gantry/barrier").unwrap();
    let cases = [
        (put(&a, Expect::Absent, "3"), conflict(&a, Some(second))),
        (put(&a, Expect::At(first), "3"), conflict(&a, Some(second))),
        (put(&b, Expect::At(first), "3"), conflict(&b, None)),
        (put(&b, Expect::At(Revision::ZERO), "3"), conflict(&b, None)),
        (write(&a, Expect::At(first), Op::Delete), conflict(&a, Some(second))),
        (write(&b, Expect::At(second), Op::Delete), conflict(&b, None)),
        (put(&b, Expect::Absent, large), Err(WriteError::TooLarge { key: b.clone(), size: limit + 1, limit })),
    ];
    for (write, expected) in cases {
        assert_eq!(backend.commit(write).await, expected);
    }
    for refused in
        [put(&outside, Expect::Absent, ""), put(&own, Expect::Absent, ""), write(&b, Expect::Absent, Op::Delete)]
    {
        let outcome = backend.commit(refused).await;
        assert!(matches!(outcome, Err(WriteError::Unavailable { .. })), "{outcome:?}");
    }
    // Just within our limit, and over etcd's, which counts the whole request.
    let outcome = backend.commit(put(&b, Expect::Absent, vec![0; limit])).await;
    assert!(matches!(outcome, Err(WriteError::TooLarge { .. })), "{outcome:?}");

    let deleted = backend.commit(write(&a, Expect::At(second), Op::Delete)).await.unwrap();
    recorder.reach(deleted).await;
    let told: Vec<_> = recorder.changes().into_iter().map(|change| (change.revision, change.value)).collect();
    assert_eq!(told, [(first, Some("1".into())), (second, Some("2".into())), (deleted, None)]);
    assert_eq!(deleted, second.next());

    backend.close().await;
    assert_eq!(backend.commit(put(&a, Expect::Absent, "1")).await, Err(WriteError::Closed));
    assert_eq!(backend.current().await, Err(ReadError::Closed));
    assert_eq!(Arc::strong_count(&recorder), 1, "no task holds the sink");
}

#[tokio::test]
async fn concurrent_writers_lose_no_update() {
    const WRITERS: u32 = 16;
    const EACH: u32 = 10;
    let cluster = Cluster::single().await;
    let (one, seen_by_one) = open(cluster.options()).await;
    let (two, seen_by_two) = open(cluster.options()).await;
    let counter = key("counter");
    let started = seen_by_one.revision();
    one.commit(put(&counter, Expect::Absent, "0")).await.unwrap();
    let writers = (0..WRITERS).map(|number| {
        let (backend, recorder) = if number % 2 == 0 { (&one, &seen_by_one) } else { (&two, &seen_by_two) };
        let counter = &counter;
        async move {
            for _ in 0..EACH {
                loop {
                    recorder.reach(backend.current().await.unwrap()).await;
                    let (at, value) = recorder.contents()[counter.as_str()].clone();
                    let next = std::str::from_utf8(&value).unwrap().parse::<u32>().unwrap() + 1;
                    match backend.commit(put(counter, Expect::At(at), next.to_string())).await {
                        Ok(_) => break,
                        Err(WriteError::Conflict { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            }
        }
    });
    join_all(writers).await;
    let now = one.current().await.unwrap();
    for recorder in [&seen_by_one, &seen_by_two] {
        recorder.reach(now).await;
        assert_eq!(recorder.value(&counter).unwrap(), (WRITERS * EACH).to_string());
    }
    assert_nothing_missed(&cluster.client(0).await, &seen_by_two, started, now).await;
}

#[tokio::test]
async fn says_of_a_lost_answer_only_what_is_certain() {
    let cluster = Cluster::single().await;
    let proxy = Proxy::to(cluster.port(0)).await;
    let (backend, _recorder) = open(options(&[proxy.endpoint()])).await;
    let mut client = cluster.client(0).await;
    let names = ["update-lost", "update-done", "create-lost", "create-done", "overtaken"];
    let [update_lost, update_done, create_lost, create_done, overtaken] = names.map(key);
    let mut at = Vec::new();
    for known in [&update_lost, &update_done, &overtaken] {
        at.push(backend.commit(put(known, Expect::Absent, "old")).await.unwrap());
    }
    let mut run = async |mode: Mode, write: Write, overtaken: bool| {
        proxy.set(mode);
        let key = write.key.clone();
        let committing = tokio::spawn({
            let backend = Arc::clone(&backend);
            async move { backend.commit(write).await }
        });
        if mode == Mode::LoseRequests {
            proxy.loses(key.as_str()).await;
        } else {
            let stored = async || listed(&mut client).await.get(key.as_str()).is_some_and(|(_, value)| value == "new");
            eventually("the write is done", stored).await;
        }
        proxy.set(Mode::Cut);
        if overtaken {
            client.put(key.as_str(), "another's", None).await.unwrap();
        }
        proxy.set(Mode::Pass);
        committing.await.unwrap()
    };
    let undetermined = |outcome: &Result<Revision, WriteError>| matches!(outcome, Err(WriteError::Undetermined { .. }));

    // The request was lost: a second attempt is safe, and its success the proof.
    let outcome = run(Mode::LoseRequests, put(&update_lost, Expect::At(at[0]), "new"), false).await;
    assert!(outcome.is_ok(), "{outcome:?}");
    // The answer was lost: it happened, and nobody can tell by whose hand.
    let outcome = run(Mode::LoseAnswers, put(&update_done, Expect::At(at[1]), "new"), false).await;
    assert!(undetermined(&outcome), "{outcome:?}");
    // Another write came first, so that ours did not happen and never will.
    let outcome = run(Mode::LoseRequests, put(&overtaken, Expect::At(at[2]), "new"), true).await;
    assert!(matches!(outcome, Err(WriteError::Conflict { current: Some(_), .. })), "{outcome:?}");
    // A creation is not attempted twice.
    let outcome = run(Mode::LoseRequests, put(&create_lost, Expect::Absent, "new"), false).await;
    assert!(undetermined(&outcome), "{outcome:?}");
    let outcome = run(Mode::LoseAnswers, put(&create_done, Expect::Absent, "new"), false).await;
    assert!(undetermined(&outcome), "{outcome:?}");

    let stored = listed(&mut cluster.client(0).await).await;
    let values: Vec<_> = [&update_lost, &update_done, &overtaken, &create_lost, &create_done]
        .map(|key| stored.get(key.as_str()).map(|(_, value)| value.clone()))
        .to_vec();
    let expected = [Some("new"), Some("new"), Some("another's"), None, Some("new")];
    assert_eq!(values, expected.map(|value| value.map(Bytes::from)));
}

#[tokio::test]
async fn without_etcd_nothing_was_written() {
    let mut cluster = Cluster::single().await;
    let impatient = EtcdOptions { retry_for: Duration::from_millis(300), ..cluster.options() };
    let (backend, recorder) = open(impatient.clone()).await;
    backend.commit(put(&key("a"), Expect::Absent, "1")).await.unwrap();
    cluster.members[0].kill();
    // The first request may still meet the dying connection; from then on there is none.
    let _ = backend.current().await;
    let outcome = backend.commit(put(&key("b"), Expect::Absent, "1")).await;
    assert!(matches!(&outcome, Err(WriteError::Unavailable { .. })), "{outcome:?}");
    let outcome = backend.current().await;
    assert!(matches!(&outcome, Err(ReadError::Unavailable { detail }) if detail.contains("refused")), "{outcome:?}");
    let outcome = EtcdBackend::new(impatient).unwrap().start(Recorder::new()).await;
    assert!(matches!(&outcome, Err(OpenError::Etcd { .. })), "{outcome:?}");

    cluster.restart(0).await;
    let written = backend.commit(put(&key("b"), Expect::Absent, "2")).await.unwrap();
    recorder.reach(written).await;
    assert_eq!(recorder.loads(), 1);
    drop(backend);
    eventually("dropping ends the tasks", async || Arc::strong_count(&recorder) == 1).await;
}

#[tokio::test]
async fn survives_a_full_database() {
    let flags = vec!["--quota-backend-bytes=16777216".to_owned()];
    let cluster = Cluster::start(Setup { members: 1, flags, tls: None }).await;
    let (backend, recorder) = open(cluster.options()).await;
    let mut client = cluster.client(0).await;
    let mut acknowledged = Vec::new();
    let mut uncertain = Vec::new();
    let mut refused = Vec::new();
    while refused.is_empty() {
        // Several at a time, so that some pass etcd's first check and go over the quota when they are applied.
        let from = acknowledged.len() + uncertain.len();
        let keys: Vec<_> = (from..from + 8).map(|n| key(&format!("fill-{n}"))).collect();
        let writes = keys.iter().map(|key| backend.commit(put(key, Expect::Absent, vec![b'x'; 500_000])));
        let outcomes = join_all(writes).await;
        for (key, outcome) in keys.into_iter().zip(outcomes) {
            match outcome {
                Ok(_) => acknowledged.push(key),
                Err(WriteError::NoSpace { .. }) => refused.push(key),
                Err(WriteError::Undetermined { .. }) => uncertain.push(key),
                Err(error) => panic!("{error}"),
            }
        }
    }
    let stored = listed(&mut client).await;
    assert!(acknowledged.iter().all(|key| stored.contains_key(key.as_str())), "an acknowledged write is stored");
    assert!(!refused.iter().any(|key| stored.contains_key(key.as_str())), "what was refused is not");
    assert!(stored.len() <= acknowledged.len() + uncertain.len());
    let current = backend.current().await.unwrap();
    recorder.reach(current).await;
    assert!(recorder.contents() == stored, "reads go on");

    // Deletions by others move the revision, and the barrier still brings us there.
    for gone in &acknowledged {
        client.delete(gone.as_str(), None).await.unwrap();
    }
    let current = backend.current().await.unwrap();
    recorder.reach(current).await;
    backend.compact(current).await.unwrap();
    // etcd compacts in the background, and only what is compacted makes room.
    eventually("writes are taken again", async || {
        client.defragment().await.unwrap();
        let mut member = AlarmOptions::new();
        member.with_member(cluster.member_id(0).await);
        client.alarm(AlarmAction::Deactivate, AlarmType::Nospace, Some(member)).await.unwrap();
        backend.commit(put(&refused[0], Expect::Absent, "fits")).await.is_ok()
    })
    .await;
    recorder.reach(backend.current().await.unwrap()).await;
    assert!(recorder.contents() == listed(&mut client).await);
}
