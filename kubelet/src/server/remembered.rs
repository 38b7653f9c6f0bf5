//! Answers that are remembered for a while: never more than a given number of them, and none after its time.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Answers by what was asked.
#[derive(Debug)]
pub(super) struct Remembered<K, V> {
    most: usize,
    answers: Mutex<HashMap<K, (V, Instant)>>,
}

impl<K: Clone + Eq + Hash, V: Clone> Remembered<K, V> {
    /// At most `most` answers, which is at least one.
    pub(super) fn new(most: usize) -> Remembered<K, V> {
        Remembered { most: most.max(1), answers: Mutex::default() }
    }

    /// The answer, if it is known and not too old.
    pub(super) fn get(&self, asked: &K) -> Option<V> {
        let answers = self.answers.lock();
        let (answer, until) = answers.get(asked)?;
        (*until > Instant::now()).then(|| answer.clone())
    }

    /// Remembers an answer for a time. Where there is no room, those whose time is over go, and otherwise the one whose time
    /// is over first.
    pub(super) fn put(&self, asked: K, answer: V, time: Duration) {
        let now = Instant::now();
        let mut answers = self.answers.lock();
        if answers.len() >= self.most && !answers.contains_key(&asked) {
            answers.retain(|_, (_, until)| *until > now);
            if answers.len() >= self.most {
                let first = answers.iter().min_by_key(|(_, (_, until))| *until).map(|(asked, _)| asked.clone());
                if let Some(first) = first {
                    answers.remove(&first);
                }
            }
        }
        answers.insert(asked, (answer, now + time));
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.answers.lock().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn nothing_is_remembered_beyond_its_time_or_number() {
        let remembered = Remembered::new(2);
        remembered.put("a", 1, Duration::from_secs(10));
        remembered.put("b", 2, Duration::from_secs(5));
        assert_eq!((remembered.get(&"a"), remembered.get(&"b")), (Some(1), Some(2)));
        // There is no room for a third: the one goes whose time is over first.
        remembered.put("c", 3, Duration::from_secs(20));
        assert_eq!((remembered.get(&"a"), remembered.get(&"b"), remembered.get(&"c")), (Some(1), None, Some(3)));
        // What is known already needs no room.
        remembered.put("c", 4, Duration::from_secs(20));
        assert_eq!((remembered.get(&"a"), remembered.get(&"c")), (Some(1), Some(4)));
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(remembered.get(&"a"), None, "its time is over");
        remembered.put("d", 5, Duration::from_secs(1));
        assert_eq!((remembered.len(), remembered.get(&"c")), (2, Some(4)));
    }
}
