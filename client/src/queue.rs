//! A queue of keys to work on.
//!
//! What always holds: a key is with one worker at a time; a key that is added while it is being worked on is worked on again
//! afterwards; and added twice before that, it is worked on once. So a key stands for "something about this object has
//! changed", and never for one change. Keys that failed come back later each time, up to a bound.
//!
//! How many keys there can be is bounded by how many objects there are: the queue keeps one place for each.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// How long a key waits that has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// After the first failure; twice as long after each further one.
    pub first: Duration,
    /// The longest.
    pub longest: Duration,
}

impl Default for Backoff {
    /// Upstream's bounds for its controllers.
    fn default() -> Self {
        Backoff { first: Duration::from_millis(5), longest: Duration::from_secs(1000) }
    }
}

impl Backoff {
    /// The wait after so many failures.
    #[must_use]
    pub fn after(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(63);
        let factor = u32::try_from(1_u64 << doublings.min(31)).unwrap_or(u32::MAX);
        if doublings > 31 { self.longest } else { self.first.saturating_mul(factor).min(self.longest) }
    }
}

/// A queue of keys, shared by those who add and those who work.
pub struct WorkQueue<K> {
    shared: Arc<Shared<K>>,
}

impl<K> Clone for WorkQueue<K> {
    fn clone(&self) -> Self {
        WorkQueue { shared: Arc::clone(&self.shared) }
    }
}

struct Shared<K> {
    state: Mutex<State<K>>,
    changed: Notify,
    backoff: Backoff,
}

struct State<K> {
    /// Keys to be handed out, in the order in which they came; each is in `dirty` too.
    ready: VecDeque<K>,
    /// Keys that have been added and not handed out since.
    dirty: HashSet<K>,
    /// Keys that are with a worker.
    working: HashSet<K>,
    /// Keys that are added at a time to come, by that time.
    waiting: BTreeSet<(Instant, K)>,
    due: HashMap<K, Instant>,
    failures: HashMap<K, u32>,
    closed: bool,
}

/// A key that a worker has. Dropping it, however the work went, lets the key be handed out again.
pub struct Work<K: Clone + Eq + Hash + Ord> {
    key: K,
    shared: Arc<Shared<K>>,
}

impl<K: Clone + Eq + Hash + Ord> Work<K> {
    /// What is to be worked on.
    #[must_use]
    pub fn key(&self) -> &K {
        &self.key
    }
}

impl<K: Clone + Eq + Hash + Ord> Drop for Work<K> {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        state.working.remove(&self.key);
        if state.dirty.contains(&self.key) {
            state.ready.push_back(self.key.clone());
            drop(state);
            self.shared.changed.notify_one();
        }
    }
}

impl<K: Clone + Eq + Hash + Ord> WorkQueue<K> {
    /// An empty queue.
    #[must_use]
    pub fn new(backoff: Backoff) -> Self {
        let state = State {
            ready: VecDeque::new(),
            dirty: HashSet::new(),
            working: HashSet::new(),
            waiting: BTreeSet::new(),
            due: HashMap::new(),
            failures: HashMap::new(),
            closed: false,
        };
        WorkQueue { shared: Arc::new(Shared { state: Mutex::new(state), changed: Notify::new(), backoff }) }
    }

    /// Adds a key, to be worked on as soon as somebody is free. A time that was set for it no longer counts.
    pub fn add(&self, key: K) {
        let mut state = self.shared.state.lock();
        state.forget_time(&key);
        if state.add(key) {
            drop(state);
            self.shared.changed.notify_one();
        }
    }

    /// Adds a key after a while. Of two times the earlier counts.
    pub fn add_after(&self, key: K, delay: Duration) {
        if delay.is_zero() {
            return self.add(key);
        }
        let at = Instant::now() + delay;
        let mut state = self.shared.state.lock();
        if state.closed || state.due.get(&key).is_some_and(|due| *due <= at) {
            return;
        }
        state.forget_time(&key);
        state.due.insert(key.clone(), at);
        state.waiting.insert((at, key));
        drop(state);
        // Whoever waits may have to wait for less.
        self.shared.changed.notify_one();
    }

    /// Adds a key with which the work failed: later after each failure in a row. Returns how long it waits.
    pub fn add_failed(&self, key: K) -> Duration {
        let failures = {
            let mut state = self.shared.state.lock();
            let failures = state.failures.entry(key.clone()).or_default();
            *failures = failures.saturating_add(1);
            *failures
        };
        let delay = self.shared.backoff.after(failures);
        self.add_after(key, delay);
        delay
    }

    /// Ends a row of failures.
    pub fn succeeded(&self, key: &K) {
        self.shared.state.lock().failures.remove(key);
    }

    /// How often in a row the work with a key has failed.
    #[must_use]
    pub fn failures(&self, key: &K) -> u32 {
        self.shared.state.lock().failures.get(key).copied().unwrap_or(0)
    }

    /// How many keys are waiting for a worker. Those whose time has not come are not counted.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.state.lock().ready.len()
    }

    /// Whether no key is waiting for a worker.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes the next key; waits until there is one. `None` when the queue is closed.
    ///
    /// Cancellation safe: a call that is dropped has taken nothing.
    pub async fn next(&self) -> Option<Work<K>> {
        loop {
            // Made before looking, so that what is added after the look is noticed.
            let changed = self.shared.changed.notified();
            let wake = {
                let mut state = self.shared.state.lock();
                if state.closed {
                    return None;
                }
                state.take_due(Instant::now());
                if let Some(key) = state.ready.pop_front() {
                    state.dirty.remove(&key);
                    state.working.insert(key.clone());
                    if !state.ready.is_empty() || !state.waiting.is_empty() {
                        // Another worker may go on with the rest.
                        self.shared.changed.notify_one();
                    }
                    return Some(Work { key, shared: Arc::clone(&self.shared) });
                }
                state.waiting.first().map(|(at, _)| *at)
            };
            match wake {
                Some(at) => {
                    tokio::select! {
                        // Not in turns: a simulation has to be had again exactly.
                        biased;
                        () = changed => {}
                        () = sleep_until(at) => {}
                    }
                }
                None => changed.await,
            }
        }
    }

    /// Hands out nothing more and takes nothing in; workers that wait are told so.
    pub fn close(&self) {
        let mut state = self.shared.state.lock();
        state.closed = true;
        state.ready.clear();
        state.dirty.clear();
        state.waiting.clear();
        state.due.clear();
        drop(state);
        self.shared.changed.notify_waiters();
        // For a worker that is between its look and its wait.
        self.shared.changed.notify_one();
    }
}

impl<K: Clone + Eq + Hash + Ord> State<K> {
    /// `true` if it can be handed out now.
    fn add(&mut self, key: K) -> bool {
        if self.closed || !self.dirty.insert(key.clone()) {
            return false;
        }
        if self.working.contains(&key) {
            return false;
        }
        self.ready.push_back(key);
        true
    }

    fn forget_time(&mut self, key: &K) {
        if let Some(at) = self.due.remove(key) {
            self.waiting.remove(&(at, key.clone()));
        }
    }

    /// Adds the keys whose time has come.
    fn take_due(&mut self, now: Instant) {
        while let Some((at, _)) = self.waiting.first() {
            if *at > now {
                break;
            }
            if let Some((_, key)) = self.waiting.pop_first() {
                self.due.remove(&key);
                self.add(key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn queue() -> WorkQueue<&'static str> {
        WorkQueue::new(Backoff { first: SECOND, longest: 10 * SECOND })
    }

    /// The next key, or nothing if there is none within an hour.
    async fn next(queue: &WorkQueue<&'static str>) -> Option<(&'static str, Duration)> {
        let begin = Instant::now();
        let work = tokio::time::timeout(Duration::from_secs(3600), queue.next()).await.ok().flatten()?;
        Some((*work.key(), begin.elapsed()))
    }

    #[test]
    fn failures_double_the_wait_up_to_a_bound() {
        let backoff = Backoff { first: Duration::from_millis(5), longest: SECOND };
        let check = |failures, millis| assert_eq!(backoff.after(failures), Duration::from_millis(millis), "{failures}");
        for (failures, millis) in [(0, 5), (1, 5), (2, 10), (3, 20), (8, 640), (9, 1000), (40, 1000), (u32::MAX, 1000)]
        {
            check(failures, millis);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn keys_come_in_their_order_and_once() {
        let queue = queue();
        for key in ["a", "b", "a"] {
            queue.add(key);
        }
        assert_eq!(queue.len(), 2);
        assert_eq!(next(&queue).await, Some(("a", Duration::ZERO)));
        assert_eq!(next(&queue).await, Some(("b", Duration::ZERO)));
        assert_eq!(next(&queue).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_changes_while_it_is_worked_on_comes_again_afterwards() {
        let queue = queue();
        queue.add("a");
        let work = queue.next().await.unwrap();
        queue.add("a");
        queue.add("a");
        assert_eq!(next(&queue).await, None, "it is with a worker");
        drop(work);
        assert_eq!(next(&queue).await, Some(("a", Duration::ZERO)));
        assert_eq!(next(&queue).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn of_two_times_the_earlier_counts() {
        let queue = queue();
        queue.add_after("a", 5 * SECOND);
        queue.add_after("a", 3 * SECOND);
        queue.add_after("a", 9 * SECOND);
        assert_eq!(next(&queue).await, Some(("a", 3 * SECOND)));
        assert_eq!(next(&queue).await, None);
        queue.add_after("a", 5 * SECOND);
        queue.add("a");
        assert_eq!(next(&queue).await, Some(("a", Duration::ZERO)));
        assert_eq!(next(&queue).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_fails_waits_longer_until_it_succeeds() {
        let queue = queue();
        for seconds in [1, 2, 4, 8, 10, 10] {
            assert_eq!(queue.add_failed("a"), seconds * SECOND);
            assert_eq!(next(&queue).await, Some(("a", seconds * SECOND)));
        }
        assert_eq!(queue.failures(&"a"), 6);
        queue.succeeded(&"a");
        assert_eq!((queue.failures(&"a"), queue.add_failed("a")), (0, SECOND));
    }

    #[tokio::test(start_paused = true)]
    async fn a_closed_queue_sends_its_workers_home() {
        let queue = queue();
        let waiting = tokio::spawn({
            let queue = queue.clone();
            async move { queue.next().await.is_none() }
        });
        tokio::task::yield_now().await;
        queue.close();
        assert!(waiting.await.unwrap());
        queue.add("a");
        queue.add_after("a", SECOND);
        assert!(queue.next().await.is_none());
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Add(u8),
        AddAfter(u8, u8),
        Fail(u8),
        Take,
        Finish(usize),
        Wait(u8),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            (0..4_u8).prop_map(Step::Add),
            (0..4_u8, 1..9_u8).prop_map(|(key, seconds)| Step::AddAfter(key, seconds)),
            (0..4_u8).prop_map(Step::Fail),
            Just(Step::Take),
            any::<usize>().prop_map(Step::Finish),
            (1..5_u8).prop_map(Step::Wait),
        ];
        prop::collection::vec(step, 1..60)
    }

    /// What must still be handed out: at once, and at a time.
    #[derive(Default)]
    struct Owed {
        now: HashSet<u8>,
        later: BTreeMap<u8, Instant>,
    }

    impl Owed {
        fn add(&mut self, key: u8) {
            self.later.remove(&key);
            self.now.insert(key);
        }

        fn add_after(&mut self, key: u8, delay: Duration) {
            let at = Instant::now() + delay;
            let due = self.later.entry(key).or_insert(at);
            *due = at.min(*due);
        }

        /// Makes what is due owed at once.
        fn pass_time(&mut self) {
            let now = Instant::now();
            let due: Vec<u8> = self.later.iter().filter(|(_, at)| **at <= now).map(|(key, _)| *key).collect();
            for key in due {
                self.add(key);
            }
        }
    }

    /// Does the steps, and then what is left to be done, and checks every key that is handed out.
    async fn run(steps: Vec<Step>) {
        let queue = WorkQueue::new(Backoff { first: SECOND, longest: 4 * SECOND });
        let (mut held, mut owed) = (Vec::<Work<u8>>::new(), Owed::default());
        for step in steps {
            match step {
                Step::Add(key) => {
                    queue.add(key);
                    owed.add(key);
                }
                Step::AddAfter(key, seconds) => {
                    let delay = u32::from(seconds) * SECOND;
                    queue.add_after(key, delay);
                    owed.add_after(key, delay);
                }
                Step::Fail(key) => owed.add_after(key, queue.add_failed(key)),
                Step::Take => {
                    let taken = tokio::time::timeout(Duration::from_millis(1), queue.next()).await;
                    owed.pass_time();
                    let Ok(Some(work)) = taken else {
                        let free = |key: &u8| held.iter().all(|work| work.key() != key);
                        assert!(!owed.now.iter().any(free), "a key is kept from a free worker");
                        continue;
                    };
                    assert!(held.iter().all(|other| other.key() != work.key()), "it is with another worker");
                    assert!(owed.now.remove(work.key()), "it was handed out for nothing");
                    held.push(work);
                }
                Step::Finish(at) if !held.is_empty() => drop(held.swap_remove(at % held.len())),
                Step::Finish(_) => {}
                Step::Wait(seconds) => tokio::time::advance(u32::from(seconds) * SECOND).await,
            }
        }
        held.clear();
        while let Ok(Some(work)) = tokio::time::timeout(60 * SECOND, queue.next()).await {
            owed.pass_time();
            assert!(owed.now.remove(work.key()), "it was handed out for nothing");
        }
        assert!(owed.now.is_empty() && owed.later.is_empty(), "what is owed is not forgotten");
        let state = queue.shared.state.lock();
        assert!(state.ready.is_empty() && state.dirty.is_empty() && state.working.is_empty());
        assert!(state.waiting.is_empty() && state.due.is_empty());
    }

    proptest! {
        #[test]
        fn no_key_is_forgotten_and_none_is_with_two_workers(steps in steps()) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
            runtime.unwrap().block_on(run(steps));
        }
    }
}
