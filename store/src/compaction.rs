//! Compaction by age and size: which revision history may be forgotten through, and when.

use std::collections::VecDeque;
use std::sync::Weak;
use std::time::Duration;

use tokio::time::Instant;

use crate::codec::Codec;
use crate::key::Revision;
use crate::store::Inner;

/// When history is given up. Its size is bounded by [`HistoryLimits`](crate::HistoryLimits) besides.
#[derive(Clone, Copy, Debug)]
pub struct CompactionPolicy {
    /// Changes are kept at least this long, as far as the size limits allow.
    pub keep: Duration,
    /// How often it is looked at; changes are kept at most `keep` and two of these.
    pub interval: Duration,
}

impl Default for CompactionPolicy {
    /// Five minutes, as upstream's API server asks of etcd, looked at every 30 seconds.
    fn default() -> Self {
        CompactionPolicy { keep: Duration::from_secs(300), interval: Duration::from_secs(30) }
    }
}

/// Compacts again and again until the store is gone.
pub(crate) async fn run<C: Codec>(store: Weak<Inner<C>>, policy: CompactionPolicy) {
    let mut marks = Marks::default();
    loop {
        tokio::time::sleep(policy.interval).await;
        let Some(store) = store.upgrade() else { return };
        let stats = store.mirror.stats();
        let aged = marks.pass(Instant::now(), stats.revision, policy.keep);
        // What the size limits dropped from memory need not stay on disk.
        let through = aged.max(stats.oldest);
        if through <= store.compacted() {
            continue;
        }
        store.mirror.trim(through);
        match store.backend.compact(through).await {
            Ok(()) => store.set_compacted(through),
            Err(error) => tracing::warn!(%error, "compaction failed and will be tried again"),
        }
    }
}

/// Which revision was current when, as far back as matters.
#[derive(Default)]
struct Marks(VecDeque<(Instant, Revision)>);

impl Marks {
    /// Notes that `revision` is current at `now`, and returns the newest revision that was current at least `keep` ago.
    fn pass(&mut self, now: Instant, revision: Revision, keep: Duration) -> Revision {
        self.0.push_back((now, revision));
        let mut aged = Revision::ZERO;
        while let Some((_, revision)) = self.0.pop_front_if(|(then, _)| now.duration_since(*then) >= keep) {
            aged = revision;
        }
        aged
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_current_long_enough_ago_may_go() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut marks = Marks::default();
        let cases = [(0, 10, 0), (30, 20, 0), (59, 30, 0), (60, 40, 10), (89, 50, 0), (125, 60, 40), (300, 60, 60)];
        for (seconds, revision, expected) in cases {
            let aged = marks.pass(at(seconds), Revision(revision), Duration::from_secs(60));
            assert_eq!(aged, Revision(expected), "at {seconds} s");
        }
    }
}
