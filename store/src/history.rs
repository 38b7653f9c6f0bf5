//! The newest changes, within a bound on their number and on the memory that they keep alive.
//!
//! Every change after [`History::floor`] is present, so a watch may start at the floor or later, and the state at any
//! revision from the floor on can be had by undoing what came after it.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::event::Event;
use crate::key::Revision;

/// How much history is kept.
#[derive(Clone, Copy, Debug)]
pub struct HistoryLimits {
    /// The largest number of changes.
    pub events: usize,
    /// The most memory that superseded entries may take, by [`Codec::weight`](crate::Codec::weight), in bytes.
    pub weight: usize,
}

impl Default for HistoryLimits {
    /// 100,000 changes or 128 MiB of superseded entries.
    fn default() -> Self {
        HistoryLimits { events: 100_000, weight: 128 << 20 }
    }
}

pub(crate) struct History<E> {
    events: VecDeque<(Arc<Event<E>>, usize)>,
    weight: usize,
    floor: Revision,
    /// Revisions strictly between these were shown to somebody and then lost in a crash.
    hole: Option<(Revision, Revision)>,
    limits: HistoryLimits,
}

impl<E> History<E> {
    pub(crate) fn new(limits: HistoryLimits) -> Self {
        History { events: VecDeque::new(), weight: 0, floor: Revision::ZERO, hole: None, limits }
    }

    /// Forgets everything; history begins at `floor`.
    pub(crate) fn restart(&mut self, floor: Revision) {
        *self = History { floor, ..History::new(self.limits) };
    }

    /// Appends a change that keeps `weight` bytes of superseded entries alive.
    pub(crate) fn push(&mut self, event: Arc<Event<E>>, weight: usize) {
        self.events.push_back((event, weight));
        self.weight += weight;
    }

    /// Drops the oldest changes until the limits hold. Only between whole transactions: changes that share a revision
    /// go together.
    pub(crate) fn enforce_limits(&mut self) {
        while self.events.len() > self.limits.events || self.weight > self.limits.weight {
            let Some((oldest, _)) = self.events.front() else { break };
            let through = oldest.revision;
            self.trim(through);
        }
    }

    /// Drops every change at or before `through`.
    pub(crate) fn trim(&mut self, through: Revision) {
        while let Some((_, weight)) = self.events.pop_front_if(|(event, _)| event.revision <= through) {
            self.weight -= weight;
        }
        self.floor = self.floor.max(through);
        self.hole = self.hole.filter(|(_, end)| *end > self.floor);
    }

    /// Notes that revisions strictly between `from` and `to` are not to be relied on.
    pub(crate) fn mark_lost(&mut self, from: Revision, to: Revision) {
        let from = self.hole.map_or(from, |(start, _)| start);
        self.hole = Some((from, to));
    }

    pub(crate) fn floor(&self) -> Revision {
        self.floor
    }

    pub(crate) fn len(&self) -> usize {
        self.events.len()
    }

    pub(crate) fn weight(&self) -> usize {
        self.weight
    }

    /// The changes after `revision`, oldest first, or the oldest revision that could have been asked for.
    pub(crate) fn since(
        &self,
        revision: Revision,
    ) -> Result<impl DoubleEndedIterator<Item = &Arc<Event<E>>>, Revision> {
        if let Some((start, end)) = self.hole
            && revision > start
            && revision < end
        {
            return Err(end);
        }
        if revision < self.floor {
            return Err(self.floor);
        }
        let first = self.events.partition_point(|(event, _)| event.revision <= revision);
        Ok(self.events.range(first..).map(|(event, _)| event))
    }

    /// The changes of exactly `revision`, if they are still kept.
    pub(crate) fn at(&self, revision: Revision) -> impl Iterator<Item = &Arc<Event<E>>> {
        let first = self.events.partition_point(|(event, _)| event.revision < revision);
        self.events.range(first..).map(|(event, _)| event).take_while(move |event| event.revision == revision)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventKind;
    use crate::key::Key;

    fn history(limits: HistoryLimits, revisions: &[u64]) -> History<()> {
        let mut history = History::new(limits);
        for &revision in revisions {
            let event = Event {
                key: Key::new("/a").unwrap(),
                revision: Revision(revision),
                kind: EventKind::Updated,
                entry: Arc::new(()),
                previous: None,
            };
            history.push(Arc::new(event), 10);
        }
        history.enforce_limits();
        history
    }

    fn since(history: &History<()>, revision: u64) -> Result<Vec<u64>, u64> {
        match history.since(Revision(revision)) {
            Ok(events) => Ok(events.map(|event| event.revision.0).collect()),
            Err(oldest) => Err(oldest.0),
        }
    }

    #[test]
    fn keeps_what_the_limits_allow_and_says_where_it_begins() {
        let limits = |events, weight| HistoryLimits { events, weight };
        let cases = [
            (limits(10, 1000), vec![1, 2, 3], 0, Ok(vec![1, 2, 3])),
            (limits(10, 1000), vec![1, 2, 3], 2, Ok(vec![3])),
            (limits(10, 1000), vec![1, 2, 3], 3, Ok(vec![])),
            (limits(2, 1000), vec![1, 2, 3], 0, Err(1)),
            (limits(2, 1000), vec![1, 2, 3], 1, Ok(vec![2, 3])),
            (limits(10, 20), vec![1, 2, 3], 0, Err(1)),
            (limits(10, 20), vec![1, 2, 3], 1, Ok(vec![2, 3])),
            // A transaction's changes go together.
            (limits(2, 1000), vec![1, 1, 3], 0, Err(1)),
            (limits(2, 1000), vec![1, 1, 3], 1, Ok(vec![3])),
        ];
        for (limits, revisions, from, expected) in cases {
            assert_eq!(since(&history(limits, &revisions), from), expected, "{limits:?} {revisions:?} from {from}");
        }
    }

    #[test]
    fn refuses_revisions_that_were_lost() {
        let mut history = history(HistoryLimits::default(), &[1, 2]);
        history.mark_lost(Revision(2), Revision(100));
        assert_eq!(since(&history, 1), Ok(vec![2]));
        assert_eq!(since(&history, 2), Ok(vec![]));
        assert_eq!(since(&history, 3), Err(100));
        assert_eq!(since(&history, 99), Err(100));
        assert_eq!(since(&history, 100), Ok(vec![]));
        history.trim(Revision(100));
        assert_eq!(since(&history, 99), Err(100));
    }
}
