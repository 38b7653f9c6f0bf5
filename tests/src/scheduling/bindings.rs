//! Counts the pods that have been bound, as the scheduler's own cache shows them. Upstream's benchmark counts by the
//! scheduler's informer, too.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use client::cache::{Cache, Subscription};
use client::resource::{AnyObject, Resource, as_kind};
use k8s_openapi::api::core::v1::Pod;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::timeout;

/// How many pods have been bound, by namespace.
pub(super) struct Bindings {
    seen: Arc<Seen>,
    _subscription: Subscription,
}

#[derive(Default)]
struct Seen {
    state: Mutex<State>,
    reached: Notify,
}

#[derive(Default)]
struct State {
    bound: HashMap<String, usize>,
    /// A namespace, how many of its pods have to be bound, and when they were.
    awaited: Option<(String, usize, Option<Instant>)>,
}

impl Bindings {
    /// Counts from now on, in a cache that is empty yet.
    pub(super) fn count(cache: &Cache) -> Bindings {
        let seen = Arc::new(Seen::default());
        let told = Arc::clone(&seen);
        let subscription = cache.subscribe(&Resource::of::<Pod>(), move |change| {
            if !is_bound(change.old.as_ref()) && is_bound(change.new.as_ref()) {
                let namespace = change.latest().and_then(|pod| pod.meta().namespace.as_deref());
                told.bound(namespace.unwrap_or_default());
            }
        });
        Bindings { seen, _subscription: subscription }
    }

    /// How many pods of a namespace have been bound.
    pub(super) fn of(&self, namespace: &str) -> usize {
        self.seen.state.lock().bound.get(namespace).copied().unwrap_or_default()
    }

    /// Waits until so many pods of a namespace have been bound, and says when the last of them was seen. `None` if that
    /// does not happen in time. One may wait at a time.
    pub(super) async fn reach(&self, namespace: &str, count: usize, within: Duration) -> Option<Instant> {
        {
            let mut state = self.seen.state.lock();
            let at = (state.bound.get(namespace).copied().unwrap_or_default() >= count).then(Instant::now);
            state.awaited = Some((namespace.to_owned(), count, at));
        }
        let reached = async {
            loop {
                let told = self.seen.reached.notified();
                if let Some((_, _, Some(at))) = self.seen.state.lock().awaited {
                    return at;
                }
                told.await;
            }
        };
        timeout(within, reached).await.ok()
    }
}

impl Seen {
    fn bound(&self, namespace: &str) {
        let mut state = self.state.lock();
        let State { bound, awaited } = &mut *state;
        let count = match bound.get_mut(namespace) {
            Some(count) => count,
            None => bound.entry(namespace.to_owned()).or_default(),
        };
        *count += 1;
        if let Some((_, wanted, at @ None)) = awaited.as_mut().filter(|(awaited, ..)| awaited == namespace)
            && *count >= *wanted
        {
            *at = Some(Instant::now());
            self.reached.notify_one();
        }
    }
}

fn is_bound(pod: Option<&AnyObject>) -> bool {
    let pod = pod.and_then(as_kind::<Pod>);
    pod.is_some_and(|pod| pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some()))
}
