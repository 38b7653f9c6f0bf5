//! A value that many wait on. They are woken in the order in which they began to wait, so that a simulation goes the same way
//! again; tokio's `watch` wakes them in an order that is drawn at random.

use parking_lot::Mutex;
use tokio::sync::Notify;

/// A value that many wait on.
#[derive(Debug, Default)]
pub struct Told<T> {
    value: Mutex<T>,
    changed: Notify,
}

impl<T> Told<T> {
    /// With this value at first.
    #[must_use]
    pub fn new(value: T) -> Told<T> {
        Told { value: Mutex::new(value), changed: Notify::new() }
    }

    /// Looks at the value.
    pub fn look<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        look(&self.value.lock())
    }

    /// Changes the value, and wakes everybody who waits.
    pub fn change(&self, change: impl FnOnce(&mut T)) {
        change(&mut self.value.lock());
        self.changed.notify_waiters();
    }

    /// Waits until `look` finds something, and returns that. It is called at once, and after every change.
    pub async fn wait<R>(&self, mut look: impl FnMut(&T) -> Option<R>) -> R {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            // Before looking, so that what changes after the look is noticed.
            changed.as_mut().enable();
            let found = look(&self.value.lock());
            if let Some(found) = found {
                return found;
            }
            changed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn all_are_woken_in_their_order() {
        let (told, order) = (Arc::new(Told::new(0)), Arc::new(Mutex::new(Vec::new())));
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..20 {
            let (told, order) = (Arc::clone(&told), Arc::clone(&order));
            tasks.spawn(async move {
                told.wait(|value| (*value > 1).then_some(())).await;
                order.lock().push(number);
            });
        }
        for value in 1..3 {
            tokio::task::yield_now().await;
            told.change(|told| *told = value);
        }
        tasks.join_all().await;
        assert_eq!(*order.lock(), (0..20).collect::<Vec<_>>());
        assert_eq!(told.look(|value| *value), 2);
    }
}
