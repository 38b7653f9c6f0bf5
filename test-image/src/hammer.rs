//! Asks a server again and again, each time over a connection of its own, and counts what comes of it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};

use crate::dial;

/// How long it waits after an answer: there may be many such, and few processors.
const PAUSE: Duration = Duration::from_millis(5);
/// How many different answers, and reasons of failures, are told apart.
const KINDS: usize = 100;

/// What came of it so far.
#[derive(Debug, Default)]
struct Tally {
    ok: u64,
    failed: u64,
    answers: BTreeMap<String, u64>,
    problems: BTreeMap<String, u64>,
}

impl Tally {
    fn count(&mut self, result: Result<Value, String>) {
        let (kinds, kind) = match result {
            Ok(answer) if answer["status"] == 200 => {
                self.ok += 1;
                (&mut self.answers, answer["body"].as_str().unwrap_or_default().to_owned())
            }
            Ok(answer) => {
                self.failed += 1;
                (&mut self.problems, format!("status {}", answer["status"]))
            }
            Err(problem) => {
                self.failed += 1;
                (&mut self.problems, problem)
            }
        };
        if kinds.len() < KINDS || kinds.contains_key(&kind) {
            *kinds.entry(kind).or_default() += 1;
        }
    }
}

/// Whoever asks, if anybody does, and what has come of it.
#[derive(Debug, Default)]
pub(crate) struct Hammer {
    tally: Arc<Mutex<Tally>>,
    asking: Mutex<Option<(Arc<AtomicBool>, JoinHandle<()>)>>,
}

impl Hammer {
    /// Asks this URL from now on, and nothing else any more; with an empty one it stops. What was counted before is forgotten
    /// when it begins, and complete once it has stopped.
    pub(crate) fn swing(&self, url: &str) {
        let mut asking = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((stop, thread)) = asking.take() {
            stop.store(true, Ordering::Relaxed);
            let _ = thread.join();
        }
        if url.is_empty() {
            return;
        }
        *self.tally.lock().unwrap_or_else(PoisonError::into_inner) = Tally::default();
        let (stop, tally, url) = (Arc::new(AtomicBool::new(false)), Arc::clone(&self.tally), url.to_owned());
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let result = dial::get(&url);
                tally.lock().unwrap_or_else(PoisonError::into_inner).count(result);
                std::thread::sleep(PAUSE);
            }
        });
        *asking = Some((stop, thread));
    }

    /// What has come of it.
    pub(crate) fn tally(&self) -> Value {
        let tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        json!({"ok": tally.ok, "failed": tally.failed, "answers": tally.answers, "problems": tally.problems})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_of_it_is_counted() {
        let mut tally = Tally::default();
        tally.count(Ok(json!({"status": 200, "body": "1"})));
        tally.count(Ok(json!({"status": 200, "body": "1"})));
        tally.count(Ok(json!({"status": 503, "body": "1"})));
        tally.count(Err("refused".to_owned()));
        assert_eq!((tally.ok, tally.failed, tally.answers["1"]), (2, 2, 2));
        assert_eq!((tally.problems["status 503"], tally.problems["refused"]), (1, 1));
        for number in 0..2 * KINDS {
            tally.count(Err(format!("{number}")));
        }
        assert_eq!(tally.problems.len(), KINDS);
    }

    #[test]
    fn it_stops_when_it_is_told() {
        let hammer = Hammer::default();
        hammer.swing("http://127.0.0.1:1/");
        hammer.swing("");
        let tally = hammer.tally();
        assert_eq!(tally["ok"], 0);
        assert_eq!(hammer.tally(), tally);
    }
}
