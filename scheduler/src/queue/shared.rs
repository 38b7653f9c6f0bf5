//! The queue as tasks share it: some tell it what happens, others wait for pods.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::entry::{QueuedPod, Refusal, Settings};
use super::event::Event;
use super::plugins::Profile;
use super::state::Queue;

/// A [`Queue`] that goes with tokio's clock. What is told to it by one task is seen by all others at once.
pub struct SchedulingQueue {
    state: Mutex<State>,
    changed: Notify,
    began: Instant,
}

struct State {
    queue: Queue,
    is_closed: bool,
}

impl fmt::Debug for SchedulingQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SchedulingQueue").field("queue", &self.state.lock().queue).finish_non_exhaustive()
    }
}

impl SchedulingQueue {
    /// An empty queue that begins now.
    #[must_use]
    pub fn new(settings: Settings, profiles: BTreeMap<String, Profile>) -> SchedulingQueue {
        let state = State { queue: Queue::new(settings, profiles), is_closed: false };
        SchedulingQueue { state: Mutex::new(state), changed: Notify::new(), began: Instant::now() }
    }

    /// How long ago it began: the time of its pods.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// Reads or changes the queue in one step, and wakes those who wait for pods.
    pub fn with<R>(&self, act: impl FnOnce(&mut Queue, Duration) -> R) -> R {
        let now = self.now();
        let result = act(&mut self.state.lock().queue, now);
        self.changed.notify_waiters();
        result
    }

    /// As [`Queue::add`].
    pub fn add(&self, pod: Arc<Pod>) {
        self.with(|queue, now| queue.add(pod, now));
    }

    /// As [`Queue::update`].
    pub fn update(&self, pod: Arc<Pod>) {
        self.with(|queue, now| queue.update(pod, now));
    }

    /// As [`Queue::delete`].
    pub fn delete(&self, uid: &str) {
        self.with(|queue, _| queue.delete(uid));
    }

    /// As [`Queue::event`].
    pub fn event(&self, event: &Event) -> usize {
        self.with(|queue, now| queue.event(event, now))
    }

    /// As [`Queue::activate`].
    pub fn activate(&self, uid: &str) {
        self.with(|queue, now| queue.activate(uid, now));
    }

    /// As [`Queue::done`].
    pub fn done(&self, uid: &str) {
        self.with(|queue, _| queue.done(uid));
    }

    /// As [`Queue::failed`].
    pub fn failed(&self, uid: &str, refusal: Refusal) {
        self.with(|queue, now| queue.failed(uid, refusal, now));
    }

    /// Waits for a pod to try. Nothing when the queue has been closed.
    pub async fn pop(&self) -> Option<QueuedPod> {
        self.pop_batch(1).await.pop()
    }

    /// Waits for pods to try, and takes up to `most`, which is not zero, in order. None when the queue has been closed.
    pub async fn pop_batch(&self, most: usize) -> Vec<QueuedPod> {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            // What changes from here on is noticed, so that nothing is missed between the look and the wait.
            changed.as_mut().enable();
            let wake = {
                let mut state = self.state.lock();
                if state.is_closed {
                    return Vec::new();
                }
                let popped = state.queue.pop_batch(most, self.now());
                if !popped.is_empty() {
                    return popped;
                }
                state.queue.next_wake()
            };
            match wake.and_then(|wake| self.began.checked_add(wake)) {
                Some(wake) => {
                    tokio::select! {
                        () = changed => {}
                        () = sleep_until(wake) => {}
                    }
                }
                None => changed.await,
            }
        }
    }

    /// Lets everybody go who waits for pods, now and later.
    pub fn close(&self) {
        self.state.lock().is_closed = true;
        self.changed.notify_waiters();
    }
}
