//! From watch responses to what a sink is given: whole revisions, each once, in order.
//!
//! Pure, so that every way in which etcd may cut a sequence of events into responses can be tried.

use bytes::Bytes;

use super::keyspace::Keyspace;
use crate::backend::Change;
use crate::key::Revision;

/// An event as etcd reports it: the new value, or `None` for a deletion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RawEvent {
    pub(super) key: Vec<u8>,
    pub(super) revision: Revision,
    pub(super) value: Option<Vec<u8>>,
}

/// Changes of whole revisions, and how far they bring the sink.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Batch {
    /// Changes of objects. Empty if only the backend's own keys changed.
    pub(super) changes: Vec<Change>,
    /// The newest revision of any event, which is at or after that of the last change.
    pub(super) through: Revision,
}

/// etcd sent events in another order than that of their revisions.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OutOfOrder;

/// Puts one watch's events together.
pub(super) struct Feed<'a> {
    keyspace: &'a Keyspace,
    /// What was given out last; events up to here are repetitions.
    through: Revision,
    /// Events of the newest revision seen, while a following fragment may hold more of it. At most one transaction's,
    /// which etcd limits (`--max-txn-ops`).
    partial: Vec<RawEvent>,
}

impl<'a> Feed<'a> {
    /// A feed of what comes after `through`.
    pub(super) fn after(keyspace: &'a Keyspace, through: Revision) -> Self {
        Feed { keyspace, through, partial: Vec::new() }
    }

    /// Takes the events of a response; `more` says that it is a fragment, and further ones follow.
    pub(super) fn take(&mut self, events: Vec<RawEvent>, more: bool) -> Result<Option<Batch>, OutOfOrder> {
        let mut pending = std::mem::take(&mut self.partial);
        pending.extend(events.into_iter().filter(|event| event.revision > self.through));
        if !pending.is_sorted_by_key(|event| event.revision) {
            return Err(OutOfOrder);
        }
        if let Some(newest) = pending.last().map(|event| event.revision).filter(|_| more) {
            let whole = pending.partition_point(|event| event.revision < newest);
            self.partial = pending.split_off(whole);
        }
        let Some(through) = pending.last().map(|event| event.revision) else { return Ok(None) };
        self.through = through;
        let changes = pending.into_iter().filter_map(|event| {
            let RawEvent { key, revision, value } = event;
            let key = self.keyspace.object(&key)?;
            Some(Change { key, revision, value: value.map(Bytes::from) })
        });
        Ok(Some(Batch { changes: changes.collect(), through }))
    }

    /// Takes a progress notification: everything through `revision` was sent. Returns it if that is news.
    pub(super) fn progress(&mut self, revision: Revision) -> Option<Revision> {
        if revision <= self.through || !self.partial.is_empty() {
            return None;
        }
        self.through = revision;
        Some(revision)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::key::Prefix;

    fn keyspace() -> Keyspace {
        Keyspace::new(Prefix::new("/registry/").unwrap())
    }

    fn event(key: &str, revision: u64) -> RawEvent {
        RawEvent { key: key.as_bytes().to_vec(), revision: Revision(revision), value: Some(vec![1]) }
    }

    /// What a batch comes to: the revisions of its changes, and how far it reaches.
    fn shape(batch: Option<Batch>) -> Option<(Vec<u64>, u64)> {
        batch.map(|batch| (batch.changes.iter().map(|change| change.revision.0).collect(), batch.through.0))
    }

    #[test]
    fn a_revision_waits_for_its_last_fragment() {
        let keyspace = keyspace();
        let own = keyspace.barrier();
        let mut feed = Feed::after(&keyspace, Revision(4));
        let (a, b, c) = ("/registry/a", "/registry/b", "/registry/c");
        type Step<'a> = (Vec<RawEvent>, bool, Option<(Vec<u64>, u64)>);
        let steps: Vec<Step<'_>> = vec![
            (vec![event(a, 5)], false, Some((vec![5], 5))),
            (vec![event(a, 6), event(a, 7)], true, Some((vec![6], 6))),
            (vec![event(b, 7)], true, None),
            (vec![event(c, 7), event(a, 8)], false, Some((vec![7, 7, 7, 8], 8))),
            (vec![event(a, 7), event(a, 8)], false, None),
            (vec![event(&own, 9)], false, Some((vec![], 9))),
            (vec![event(&own, 10), event(a, 11), event(&own, 12)], false, Some((vec![11], 12))),
            (vec![event(a, 13)], true, None),
            (vec![], false, Some((vec![13], 13))),
        ];
        for (number, (events, more, expected)) in steps.into_iter().enumerate() {
            assert_eq!(shape(feed.take(events, more).unwrap()), expected, "step {number}");
        }
        assert_eq!(feed.take(vec![event(a, 15), event(a, 14)], false), Err(OutOfOrder));
    }

    #[test]
    fn progress_never_goes_back_nor_past_an_open_revision() {
        let keyspace = keyspace();
        let mut feed = Feed::after(&keyspace, Revision(4));
        assert_eq!(feed.progress(Revision(4)), None);
        assert_eq!(feed.progress(Revision(6)), Some(Revision(6)));
        assert_eq!(feed.progress(Revision(5)), None);
        assert_eq!(shape(feed.take(vec![event("/registry/a", 7)], true).unwrap()), None);
        assert_eq!(feed.progress(Revision(9)), None);
    }

    proptest! {
        /// However a history is cut into fragments, and whatever is repeated after a reconnect, each change comes once,
        /// in order, and none without the rest of its revision.
        #[test]
        fn any_cut_gives_whole_revisions_once(
            sizes in prop::collection::vec(1_usize..4, 1..12),
            cuts in prop::collection::vec(any::<bool>(), 40),
            resume in 0_usize..12,
        ) {
            let keyspace = keyspace();
            let history: Vec<RawEvent> = sizes
                .iter()
                .enumerate()
                .flat_map(|(at, size)| (0..*size).map(move |n| event(&format!("/registry/k{n}"), at as u64 + 1)))
                .collect();
            let resume = Revision(resume as u64);
            let mut feed = Feed::after(&keyspace, resume);
            let mut seen = Vec::new();
            let mut fragment = Vec::new();
            for (at, event) in history.iter().enumerate() {
                fragment.push(event.clone());
                let last = at + 1 == history.len();
                if !last && !cuts[at % cuts.len()] {
                    continue;
                }
                let batch = feed.take(std::mem::take(&mut fragment), !last).unwrap();
                if let Some((revisions, through)) = shape(batch) {
                    let before = seen.last().copied().unwrap_or(resume.0);
                    prop_assert!(revisions.first().is_none_or(|first| *first > before));
                    prop_assert_eq!(revisions.last().copied(), Some(through));
                    seen.extend(revisions);
                }
            }
            let expected: Vec<u64> = history.iter().map(|event| event.revision.0).filter(|r| *r > resume.0).collect();
            prop_assert_eq!(seen, expected);
        }
    }
}
