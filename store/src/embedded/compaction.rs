//! Which records of the log are superseded, and by what, so that compaction finds them without a search.
//!
//! Compaction moves the compacted revision forward in slices. Each slice deletes, in one transaction, what the changes up
//! to some revision have superseded, and records that revision as the compacted one; a crash between two slices leaves
//! a store that is compacted a little less far.

use std::collections::VecDeque;

use crate::key::Revision;

/// For each change after the compacted revision, what compacting through it deletes; in revision order. It takes 32
/// bytes for each record of history.
#[derive(Debug, Default)]
pub(super) struct Superseded {
    queue: VecDeque<Supersession>,
}

#[derive(Debug)]
struct Supersession {
    by: Revision,
    /// The record of the key's last change before.
    before: Option<Revision>,
    /// Whether the record itself is of no use once it is compacted: it tells of a deletion or of skipped revisions.
    itself: bool,
}

/// A part of a compaction, for one transaction.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Slice {
    /// The records to delete.
    pub(super) delete: Vec<Revision>,
    /// The compacted revision once they are deleted.
    pub(super) compacted: Revision,
    changes: usize,
}

impl Superseded {
    /// Notes that `by` changed a key whose last change was at `before`.
    pub(super) fn changed(&mut self, by: Revision, before: Option<Revision>, deletion: bool) {
        if before.is_some() || deletion {
            self.queue.push_back(Supersession { by, before, itself: deletion });
        }
    }

    /// Notes a record that only tells of skipped revisions.
    pub(super) fn skipped(&mut self, at: Revision) {
        self.queue.push_back(Supersession { by: at, before: None, itself: true });
    }

    /// The next part, of about `limit` deletions, of a compaction through `through`.
    pub(super) fn slice(&self, through: Revision, limit: usize) -> Slice {
        let mut slice = Slice { delete: Vec::new(), compacted: through, changes: 0 };
        for supersession in self.queue.iter().take_while(|supersession| supersession.by <= through) {
            if slice.delete.len() >= limit {
                slice.compacted = Revision(supersession.by.0 - 1);
                break;
            }
            slice.delete.extend(supersession.before);
            slice.delete.extend(supersession.itself.then_some(supersession.by));
            slice.changes += 1;
        }
        slice
    }

    /// Forgets what `slice` has deleted.
    pub(super) fn done(&mut self, slice: &Slice) {
        self.queue.drain(..slice.changes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_delete_what_is_superseded_and_end_between_changes() {
        let mut superseded = Superseded::default();
        superseded.changed(Revision(1), None, false);
        superseded.changed(Revision(2), None, false);
        superseded.changed(Revision(3), Some(Revision(1)), false);
        superseded.changed(Revision(4), Some(Revision(3)), true);
        superseded.skipped(Revision(90));
        superseded.changed(Revision(91), Some(Revision(2)), false);

        let next = |superseded: &mut Superseded, through, limit| {
            let slice = superseded.slice(Revision(through), limit);
            superseded.done(&slice);
            (slice.delete.iter().map(|revision| revision.0).collect::<Vec<_>>(), slice.compacted.0)
        };
        assert_eq!(next(&mut superseded, 2, 10), (vec![], 2));
        assert_eq!(next(&mut superseded, 90, 1), (vec![1], 3));
        assert_eq!(next(&mut superseded, 90, 1), (vec![3, 4], 89));
        assert_eq!(next(&mut superseded, 90, 1), (vec![90], 90));
        assert_eq!(next(&mut superseded, 91, 1), (vec![2], 91));
        assert_eq!(next(&mut superseded, 99, 1), (vec![], 99));
    }
}
