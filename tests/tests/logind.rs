//! What a node agrees on with logind, over a real bus: a lock that holds up the machine's shutdown, for long enough, from the
//! beginning; handed on when the machine is about to shut down, and taken again if it is not, or when logind or the bus was
//! away.

use std::future::Future;
use std::path::Path;
use std::time::Duration;

use kubelet::node::logind::{Options, watch};
use kubelet::node::shutdown::{Hold, News};
use tests::logind::{Bus, Logind};
use tokio::sync::mpsc;

/// How long anything may take.
const WITHIN: Duration = Duration::from_secs(30);
/// For how long pods need a shutdown to be held up.
const DELAY: Duration = Duration::from_millis(39_500);

async fn soon<T>(what: &str, happens: impl Future<Output = T>) -> T {
    match tokio::time::timeout(WITHIN, happens).await {
        Ok(happened) => happened,
        Err(_) => panic!("it does not happen: {what}"),
    }
}

/// Listens to the logind of a bus as a node does.
fn listen(bus: &Bus, drop_ins: &Path) -> mpsc::Receiver<News> {
    let (tell, news) = mpsc::channel(1);
    tokio::spawn(watch(Options { bus: Some(bus.address()), drop_ins: drop_ins.to_owned(), delay: DELAY }, tell));
    news
}

async fn goes_on(news: &mut mpsc::Receiver<News>) {
    let heard = soon("the machine goes on", news.recv()).await;
    assert!(matches!(heard, Some(News::GoesOn)), "{heard:?}");
}

async fn shuts_down(news: &mut mpsc::Receiver<News>) -> Hold {
    match soon("the machine shuts down", news.recv()).await {
        Some(News::ShutsDown(hold)) => hold,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_lock_is_held_until_pods_have_ended() {
    let files = tempfile::tempdir().unwrap();
    let drop_ins = files.path().join("logind.conf.d");
    let bus = Bus::start(files.path());
    let logind = Logind::start(&bus, DELAY, None).await;
    let mut news = listen(&bus, &drop_ins);
    let mut lock = soon("a lock is taken", logind.lock()).await;
    assert_eq!(lock.taken, ["shutdown", "kubelet", "delay"]);
    goes_on(&mut news).await;

    logind.say(true).await;
    let hold = shuts_down(&mut news).await;
    assert!(lock.is_held(), "pods have not ended yet");
    drop(hold);
    soon("the lock is released", lock.released()).await;

    // It is called off: the next time is held up, too.
    logind.say(false).await;
    goes_on(&mut news).await;
    let mut lock = soon("another lock is taken", logind.lock()).await;
    logind.say(true).await;
    let hold = shuts_down(&mut news).await;
    // That is called off while pods are being ended.
    logind.say(false).await;
    goes_on(&mut news).await;
    let mut next = soon("yet another lock is taken", logind.lock()).await;
    assert!(lock.is_held() && next.is_held());
    drop(hold);
    soon("the lock is released", lock.released()).await;
    assert!(next.is_held());
    // Whoever listened has gone, and what was held with it.
    drop(news);
    soon("the last lock is released", next.released()).await;
    assert_eq!(logind.signals(), []);
    assert!(!drop_ins.exists(), "it waits for long enough as it is");
}

#[tokio::test]
async fn logind_is_made_to_wait_for_long_enough() {
    let files = tempfile::tempdir().unwrap();
    let drop_ins = files.path().join("logind.conf.d");
    let bus = Bus::start(files.path());
    let logind = Logind::start(&bus, Duration::from_secs(5), Some(&drop_ins)).await;
    let mut news = listen(&bus, &drop_ins);
    goes_on(&mut news).await;
    assert!(soon("a lock is taken", logind.lock()).await.is_held());
    assert_eq!(logind.signals(), [("systemd-logind.service".to_owned(), "all".to_owned(), 1)]);
    let text = std::fs::read_to_string(drop_ins.join("99-kubelet.conf")).unwrap();
    assert!(text.ends_with("[Login]\nInhibitDelayMaxSec=40\n"), "{text}");
}

#[tokio::test]
async fn without_enough_time_no_lock_is_taken() {
    let files = tempfile::tempdir().unwrap();
    let (drop_ins, elsewhere) = (files.path().join("logind.conf.d"), files.path().join("elsewhere"));
    let bus = Bus::start(files.path());
    // Another file has the last word.
    let logind = Logind::start(&bus, Duration::from_secs(5), Some(&elsewhere)).await;
    let mut news = listen(&bus, &drop_ins);
    soon("it is asked again", async {
        while logind.signals().len() < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(news.try_recv().is_err(), "the machine is not held up for as long as pods need");
    std::fs::create_dir(&elsewhere).unwrap();
    std::fs::write(elsewhere.join("other.conf"), "[Login]\nInhibitDelayMaxSec=60\n").unwrap();
    goes_on(&mut news).await;
    assert!(soon("a lock is taken", logind.lock()).await.is_held());
}

#[tokio::test]
async fn what_was_away_is_listened_to_when_it_is_back() {
    let files = tempfile::tempdir().unwrap();
    let bus = Bus::start(files.path());
    let mut news = listen(&bus, files.path());
    let logind = Logind::start(&bus, DELAY, None).await;
    goes_on(&mut news).await;
    let mut first = soon("a lock is taken", logind.lock()).await;
    // logind starts again.
    logind.stop().await;
    let logind = Logind::start(&bus, DELAY, None).await;
    goes_on(&mut news).await;
    let mut second = soon("a lock is taken again", logind.lock()).await;
    soon("the first lock is released", first.released()).await;
    // The bus does.
    drop((logind, bus));
    let bus = Bus::start(files.path());
    let logind = Logind::start(&bus, DELAY, None).await;
    goes_on(&mut news).await;
    let mut third = soon("a lock is taken yet again", logind.lock()).await;
    soon("the second lock is released", second.released()).await;
    // A lock that is not given is asked for again.
    logind.say(true).await;
    let hold = shuts_down(&mut news).await;
    assert!(third.is_held());
    logind.refuse(true);
    logind.say(false).await;
    goes_on(&mut news).await;
    soon("no lock is given", logind.refused()).await;
    assert!(news.try_recv().is_err());
    logind.refuse(false);
    goes_on(&mut news).await;
    assert!(soon("a lock is taken in the end", logind.lock()).await.is_held());
    drop(hold);
    soon("the third lock is released", third.released()).await;
}
