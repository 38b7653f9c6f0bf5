//! Loading, following and compacting.

use etcd_client::{Client, GetOptions, Txn, TxnOp};
use futures::future::join_all;
use store::{Backend, EtcdBackend, EtcdCredentials, EtcdOptions, Expect, Revision, Sink};

use crate::harness::backend::{assert_nothing_missed, key, listed, open, put};
use crate::harness::proxy::{Mode, Proxy};
use crate::harness::recorder::Recorder;
use crate::harness::{Cluster, Setup, eventually, options};

#[tokio::test]
async fn loads_everything_at_one_revision() {
    let cluster = Cluster::single().await;
    let mut client = cluster.client(0).await;
    for part in 0..20 {
        let puts: Vec<_> = (0..128).map(|n| TxnOp::put(key(&format!("k{part}-{n}")).as_str(), "v", None)).collect();
        client.txn(Txn::new().and_then(puts)).await.unwrap();
    }
    for n in 0..40 {
        client.put(key(&format!("large-{n}")).as_str(), vec![b'x'; 1_000_000], None).await.unwrap();
    }
    client.put("/elsewhere/a", "foreign", None).await.unwrap();
    let expected = listed(&mut client).await;
    client.put("/registry//not-a-path", "foreign", None).await.unwrap();

    let (backend, recorder) = open(cluster.options()).await;
    assert_eq!(recorder.contents().len(), 20 * 128 + 40);
    assert!(recorder.contents() == expected);
    assert_eq!(backend.current().await, Ok(recorder.revision()));
    backend.close().await;
}

#[tokio::test]
async fn servers_read_each_others_writes() {
    let cluster = Cluster::single().await;
    let (one, _) = open(cluster.options()).await;
    let (two, seen_by_two) = open(cluster.options()).await;
    let shared = key("shared");
    let mut at = Expect::Absent;
    for round in 0..100_u32 {
        let revision = one.commit(put(&shared, at, round.to_string())).await.unwrap();
        at = Expect::At(revision);
        // Many readers, all of whom came after the acknowledgement.
        let answers = join_all((0..8).map(|_| two.current())).await;
        for answer in answers {
            let current = answer.unwrap();
            assert!(current >= revision);
            seen_by_two.reach(current).await;
            assert_eq!(seen_by_two.value(&shared).unwrap(), round.to_string());
        }
    }
}

#[tokio::test]
async fn reads_complete_while_others_use_the_same_etcd() {
    let cluster = Cluster::single().await;
    let (backend, recorder) = open(cluster.options()).await;
    let mut client = cluster.client(0).await;
    for round in 0..10 {
        client.put("/elsewhere/a", round.to_string(), None).await.unwrap();
        let current = backend.current().await.unwrap();
        recorder.reach(current).await;
    }
    assert!(recorder.contents().is_empty() && recorder.changes().is_empty(), "a barrier is not an object");
    assert!(listed(&mut client).await.is_empty());
    let own = client.get("/registry/.gantry/", Some(GetOptions::new().with_prefix().with_keys_only())).await.unwrap();
    assert_eq!(own.kvs().len(), 1, "any number of barriers leaves one key");
}

#[tokio::test]
async fn an_idle_watch_moves_on_by_itself() {
    let flags = vec!["--experimental-watch-progress-notify-interval=200ms".to_owned()];
    let cluster = Cluster::start(Setup { members: 1, flags, tls: None }).await;
    let (_backend, recorder) = open(cluster.options()).await;
    let put = cluster.client(0).await.put("/elsewhere/a", "1", None).await.unwrap();
    recorder.reach(Revision(put.header().unwrap().revision().try_into().unwrap())).await;
}

#[tokio::test]
async fn resumes_after_a_broken_connection() {
    let cluster = Cluster::single().await;
    let mut client = cluster.client(0).await;
    let proxy = Proxy::to(cluster.port(0)).await;
    let (backend, recorder) = open(options(&[proxy.endpoint()])).await;
    let started = recorder.revision();
    for round in 0..5_u32 {
        let before = backend.commit(put(&key(&format!("seen-{round}")), Expect::Absent, "x")).await.unwrap();
        recorder.reach(before).await;
        proxy.set(Mode::Cut);
        // Transactions of several keys, together larger than one message: etcd cuts its answer into fragments.
        for n in 0..6_u32 {
            let name = |part: u32| key(&format!("missed-{round}-{n}-{part}"));
            let puts: Vec<_> = (0..3).map(|p| TxnOp::put(name(p).as_str(), vec![b'x'; 400_000], None)).collect();
            client.txn(Txn::new().and_then(puts)).await.unwrap();
        }
        client.delete(key(&format!("seen-{round}")).as_str(), None).await.unwrap();
        proxy.set(Mode::Pass);
    }
    let now = backend.current().await.unwrap();
    assert_nothing_missed(&client, &recorder, started, now).await;
    assert_eq!(recorder.loads(), 1);
    let revisions_of_calls = recorder.calls();
    let torn = revisions_of_calls
        .windows(2)
        .find(|calls| calls[0].last().map(|change| change.revision) >= calls[1].first().map(|change| change.revision));
    assert!(torn.is_none(), "a transaction came in two calls");
    assert!(recorder.contents() == listed(&mut client).await);
}

#[tokio::test]
async fn loads_anew_what_was_compacted_while_away() {
    let cluster = Cluster::single().await;
    let mut client = cluster.client(0).await;
    let proxy = Proxy::to(cluster.port(0)).await;
    let (backend, recorder) = open(options(&[proxy.endpoint()])).await;
    let gone = key("gone");
    let written = backend.commit(put(&gone, Expect::Absent, "1")).await.unwrap();
    recorder.reach(written).await;
    proxy.set(Mode::Cut);
    client.delete(gone.as_str(), None).await.unwrap();
    client.put(key("new").as_str(), "2", None).await.unwrap();
    let last = client.put(key("newer").as_str(), "3", None).await.unwrap().header().unwrap().revision();
    client.compact(last, None).await.unwrap();
    proxy.set(Mode::Pass);
    eventually("everything is loaded anew", async || recorder.loads() == 2).await;
    assert!(recorder.contents() == listed(&mut client).await);
    let now = backend.commit(put(&gone, Expect::Absent, "4")).await.unwrap();
    recorder.reach(now).await;
    assert_eq!(recorder.changes().len(), 1);
}

#[tokio::test]
async fn notices_another_etcd_in_the_place_of_the_old() {
    let mut cluster = Cluster::single().await;
    let (backend, recorder) = open(cluster.options()).await;
    for n in 0..20 {
        backend.commit(put(&key(&format!("old-{n}")), Expect::Absent, "1")).await.unwrap();
    }
    recorder.reach(backend.current().await.unwrap()).await;
    // Emptied: the same cluster by its ID, at an earlier revision.
    cluster.replace("first").await;
    eventually("the emptied etcd is loaded", async || recorder.loads() == 2).await;
    assert!(recorder.contents().is_empty());
    let written = backend.commit(put(&key("new"), Expect::Absent, "1")).await.unwrap();
    recorder.reach(written).await;
    assert!(written < Revision(20));

    // Another cluster, whose revision is beyond ours.
    cluster.replace("second").await;
    let mut client = cluster.client(0).await;
    for n in 0..20_u32 {
        client.put(key("theirs").as_str(), n.to_string(), None).await.unwrap();
    }
    eventually("the other etcd is loaded", async || recorder.loads() == 3).await;
    recorder.reach(backend.current().await.unwrap()).await;
    assert!(recorder.contents() == listed(&mut client).await);
}

#[tokio::test]
async fn servers_take_turns_in_compacting() {
    let cluster = Cluster::single().await;
    let mut client = cluster.client(0).await;
    let (one, _) = open(cluster.options()).await;
    let (two, seen_by_two) = open(cluster.options()).await;
    let a = key("a");
    let mut revisions = vec![one.commit(put(&a, Expect::Absent, "0")).await.unwrap()];
    for n in 1..10_u32 {
        let last = *revisions.last().unwrap();
        revisions.push(one.commit(put(&a, Expect::At(last), n.to_string())).await.unwrap());
    }
    // A watch that has not begun when its first changes are compacted loads again, and rightly so.
    seen_by_two.reach(*revisions.last().unwrap()).await;
    let compacted = async |client: &mut Client, revision: Revision| {
        let options = GetOptions::new().with_revision(revision.0.try_into().unwrap());
        client.get(a.as_str(), Some(options)).await.is_err()
    };
    // (who, through, the newest revision that is compacted afterwards), by index.
    for (server, through, expected) in [
        (&one, 2, 2),
        // The second's first look: the note says less, and nobody else wrote it meanwhile.
        (&two, 3, 3),
        // The first finds that the second was faster this time; the next turn is its own.
        (&one, 4, 3),
        (&one, 5, 5),
        (&two, 6, 5),
        // Done already, by whomever.
        (&one, 1, 5),
    ] {
        server.compact(revisions[through]).await.unwrap();
        assert!(!compacted(&mut client, revisions[expected]).await, "through {through}: too much");
        assert!(compacted(&mut client, Revision(revisions[expected].0 - 1)).await, "through {through}: too little");
    }
    assert!(one.compact(Revision(1_000_000)).await.is_err(), "the future cannot be compacted");
    seen_by_two.reach(two.current().await.unwrap()).await;
    assert_eq!(seen_by_two.value(&a).unwrap(), "9");
    assert_eq!(seen_by_two.loads(), 1);
}

#[tokio::test]
async fn logs_in_where_etcd_asks_for_it() {
    let cluster = Cluster::single().await;
    let mut client = cluster.client(0).await;
    client.user_add("root", "secret", None).await.unwrap();
    client.role_add("root").await.unwrap();
    client.user_grant_role("root", "root").await.unwrap();
    client.auth_enable().await.unwrap();
    let named = |password: &str| {
        let credentials = EtcdCredentials { user: "root".to_owned(), password: password.to_owned() };
        EtcdOptions { credentials: Some(credentials), ..cluster.options() }
    };
    for (options, expected) in
        [(cluster.options(), "user name is empty"), (named("wrong"), "invalid user ID or password")]
    {
        let error = EtcdBackend::new(options).unwrap().start(Recorder::new()).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
    let (backend, recorder) = open(named("secret")).await;
    let written = backend.commit(put(&key("a"), Expect::Absent, "1")).await.unwrap();
    recorder.reach(written).await;
}
