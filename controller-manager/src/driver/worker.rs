//! Takes keys off a controller's queue, as many at a time as it has workers, and sees each through.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use client::cache::Written;
use client::events::Recorder;
use client::queue::{Work, WorkQueue};
use client::resource::Key;
use futures::FutureExt;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Duration, timeout};

use super::Environment;
use super::execute::{Executor, Failed};
use crate::controller::{Controller, Moment};
use crate::plan::{Failure, MOST_ACTIONS, Plan};

/// How long a key waits for the cache to show what was written. A cache that is slower has lost its server, and the next
/// plan will fail where it is wrong.
const CATCH_UP: Duration = Duration::from_secs(30);

/// How soon a plan that failed may be made again, at the soonest, because it wanted to be looked at again.
const SOONEST_AFTER_FAILURE: Duration = Duration::from_secs(1);

struct Worker<C> {
    controller: Arc<C>,
    environment: Environment,
    executor: Executor,
    queue: WorkQueue<Key>,
    failures: Mutex<HashMap<Key, Failure>>,
}

/// Works until it is dropped.
pub(super) async fn work<C: Controller>(
    controller: Arc<C>,
    environment: Environment,
    recorder: Recorder,
    queue: WorkQueue<Key>,
) {
    let executor = Executor::new(&environment, recorder);
    let worker =
        Arc::new(Worker { controller, environment, executor, queue: queue.clone(), failures: Mutex::default() });
    let workers = Arc::new(Semaphore::new(C::WORKERS));
    let mut tasks = JoinSet::new();
    // The semaphore is never closed.
    while let Ok(permit) = Arc::clone(&workers).acquire_owned().await {
        let Some(work) = queue.next().await else { return };
        while tasks.try_join_next().is_some() {}
        tasks.spawn(Arc::clone(&worker).see_through(work, permit));
    }
}

impl<C: Controller> Worker<C> {
    /// Looks at a key, does what is to be done, and keeps the key until the cache shows it.
    async fn see_through(self: Arc<Self>, work: Work<Key>, permit: OwnedSemaphorePermit) {
        let key = work.key().clone();
        let looked = AssertUnwindSafe(self.look_at(&key)).catch_unwind().await;
        // Others may go on meanwhile.
        drop(permit);
        let Ok(written) = looked else {
            tracing::error!(controller = C::NAME, %key, "a panic");
            self.queue.add_failed(key);
            return;
        };
        let caught_up = async {
            for (key, written) in &written {
                self.environment.cache.shows(key, written).await;
            }
        };
        if timeout(CATCH_UP, caught_up).await.is_err() {
            tracing::warn!(controller = C::NAME, %key, "the cache does not show what was written");
        }
    }

    /// Plans, and carries the plan out. Returns what was written.
    async fn look_at(&self, key: &Key) -> Vec<(Key, Written)> {
        let Some(observed) = self.controller.observe(&self.environment.cache, key) else {
            self.failures.lock().remove(key);
            self.queue.succeeded(key);
            return Vec::new();
        };
        let failure = self.failures.lock().get(key).cloned();
        let plan = self.controller.reconcile(&observed, &Moment { now: self.environment.clock.now(), failure });
        drop(observed);
        let mut written = Vec::new();
        let carried_out = self.carry_out(key, &plan, &mut written).await;
        let soonest = match carried_out {
            Ok(()) => {
                self.queue.succeeded(key);
                let failed_before = self.failures.lock().remove(key).is_some();
                if plan.writes() || failed_before {
                    self.queue.add(key.clone());
                }
                Duration::ZERO
            }
            Err(failed) => {
                let delay = self.queue.add_failed(key.clone());
                let message = &failed.failure.message;
                tracing::debug!(controller = C::NAME, %key, message, ?delay, "a plan was not carried out");
                if !failed.is_stale {
                    self.failures.lock().insert(key.clone(), failed.failure);
                }
                delay.min(SOONEST_AFTER_FAILURE)
            }
        };
        if let Some(again) = plan.again {
            self.queue.add_after(key.clone(), again.max(soonest));
        }
        written
    }

    async fn carry_out(&self, key: &Key, plan: &Plan, written: &mut Vec<(Key, Written)>) -> Result<(), Failed> {
        if plan.is_empty() {
            return Ok(());
        }
        debug_assert!(plan.actions.len() <= MOST_ACTIONS, "a plan for {key} has {} actions", plan.actions.len());
        tracing::trace!(controller = C::NAME, %key, ?plan, "a plan");
        self.executor.execute(&plan.actions, written).await
    }
}
