//! Those who wait for pods get them, by what others tell the queue and by time.

use std::time::Duration;

use super::*;

fn shared() -> Arc<SchedulingQueue> {
    Arc::new(SchedulingQueue::new(Settings::default(), profiles()))
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_get_what_is_added() {
    let queue = shared();
    let waiting = [0, 1].map(|_| {
        let queue = Arc::clone(&queue);
        tokio::spawn(async move { queue.pop().await.map(|popped| popped.uid().to_owned()) })
    });
    tokio::task::yield_now().await;
    queue.add(Arc::new(pod("a", 0)));
    queue.add(Arc::new(pod("b", 0)));
    let mut popped = Vec::new();
    for waiting in waiting {
        popped.extend(waiting.await.unwrap());
    }
    popped.sort();
    assert_eq!(popped, ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn backoffs_end_by_themselves() {
    let queue = shared();
    queue.add(Arc::new(pod("a", 0)));
    queue.pop().await.unwrap();
    queue.failed("a", Refusal::default());
    let again = queue.pop().await.unwrap();
    assert_eq!((again.attempts, queue.now().as_secs()), (2, 2));
    queue.failed("a", refused(&["A"], &[]));
    assert_eq!(queue.pop_batch(10).await.len(), 1);
    assert_eq!(queue.now(), Duration::from_secs(302), "nothing happened for five minutes");
}

#[tokio::test(start_paused = true)]
async fn a_closed_queue_lets_everybody_go() {
    let queue = shared();
    let waiting = {
        let queue = Arc::clone(&queue);
        tokio::spawn(async move { queue.pop().await })
    };
    tokio::task::yield_now().await;
    queue.close();
    assert_eq!(waiting.await.unwrap(), None);
    queue.add(Arc::new(pod("a", 0)));
    assert_eq!(queue.pop().await, None);
}
