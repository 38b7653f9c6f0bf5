//! How long a container waits that ends again and again (upstream's `doBackOff` and `flowcontrol.Backoff`).

use std::time::Duration;

use jiff::Timestamp;

use super::Restart;
use super::time::after;

/// How long the second restart of a container waits. Every further one waits twice as long as the one before.
const FIRST: Duration = Duration::from_secs(10);
/// The longest that a restart waits, if the node does not say otherwise.
const LONGEST: Duration = Duration::from_secs(300);

/// How a container ended that may be started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) exit_code: i32,
    pub(super) started: Option<Timestamp>,
    pub(super) finished: Timestamp,
}

/// When a container is started again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Next {
    /// How long it waits, counted from its end.
    pub(super) wait: Duration,
    /// When that is over.
    pub(super) due: Timestamp,
    /// What is remembered as soon as it is started.
    pub(super) entry: Restart,
}

/// When a container is started again that ended so; `known` is what is remembered of its earlier restarts.
///
/// A container that ran for twice the longest wait does not crash again and again, and neither does one whose definition
/// has changed: they are started at once, as if for the first time.
pub(super) fn next(known: Option<&Restart>, hash: &str, ended: &Ended, longest: Option<Duration>) -> Next {
    let longest = longest.unwrap_or(LONGEST);
    let known = known.filter(|known| known.hash == hash);
    if let Some(known) = known.filter(|known| known.finished == ended.finished) {
        // It was to be started then, and has not been yet: it does not wait once more.
        return Next { wait: known.wait, due: after(ended.finished, known.wait), entry: known.clone() };
    }
    let patience = longest.saturating_mul(2);
    let forgiven = ended.started.is_some_and(|started| after(started, patience) < ended.finished);
    let wait = match known.filter(|_| !forgiven) {
        None => Duration::ZERO,
        Some(known) => longer(known.wait, longest),
    };
    let entry = Restart { hash: hash.to_owned(), wait, finished: ended.finished };
    Next { wait, due: after(ended.finished, wait), entry }
}

/// When a container that runs and is to be killed is started again: it waits for the end before, not for the one to come.
/// `before` is how it had ended when it was started the last time, if it had.
pub(super) fn next_if_killed(
    known: Option<&Restart>,
    hash: &str,
    before: Option<&Ended>,
    longest: Option<Duration>,
) -> Option<Next> {
    let before = before?;
    let longest = longest.unwrap_or(LONGEST);
    let wait = match known.filter(|known| known.hash == hash) {
        None => Duration::ZERO,
        Some(known) => longer(known.wait, longest),
    };
    let entry = Restart { hash: hash.to_owned(), wait, finished: before.finished };
    Some(Next { wait, due: after(before.finished, wait), entry })
}

/// The wait that comes after one.
fn longer(wait: Duration, longest: Duration) -> Duration {
    if wait.is_zero() { FIRST.min(longest) } else { wait.saturating_mul(2).min(longest) }
}
