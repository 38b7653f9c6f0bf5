//! Judges queued writes one after the other, each against the state that those before it leave.

use std::collections::HashMap;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::queue::WriteRequest;
use crate::backend::{Change, Expect, Op, Sink, Write};
use crate::error::WriteError;
use crate::key::{Key, Revision};

/// A change that has its revision.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// The change.
    pub(super) change: Change,
    /// The revision of the key's last change before, if the key existed.
    pub(super) before: Option<Revision>,
}

/// Where the answer to a write goes. While it is kept, the write takes up room in the queue.
#[derive(Debug)]
pub(super) struct Reply {
    sender: oneshot::Sender<Result<Revision, WriteError>>,
    _room: OwnedSemaphorePermit,
}

impl Reply {
    /// Answers. That the caller has gone is no concern of the writer's.
    pub(super) fn answer(self, result: Result<Revision, WriteError>) {
        let _ = self.sender.send(result);
    }
}

/// Writes that were judged together, and will happen together or not at all.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// The changes, in revision order.
    pub(super) entries: Vec<Entry>,
    /// What is still needed of the writes behind them, one for each.
    pub(super) writers: Vec<(Expect, Reply)>,
    /// Writes that conflict with a change of this batch, so that their answer depends on its fate.
    pub(super) conflicts: Vec<Conflict>,
}

/// A write whose condition did not hold.
#[derive(Debug)]
pub(super) struct Conflict {
    key: Key,
    expect: Expect,
    /// The key's revision when the write had its turn.
    current: Option<Revision>,
    reply: Reply,
}

impl Batch {
    /// Judges `requests` in order and gives revisions after `last` to those that hold. Those that conflict with what is
    /// visible already are answered here.
    pub(super) fn judge(requests: impl IntoIterator<Item = WriteRequest>, sink: &dyn Sink, last: Revision) -> Batch {
        let mut batch = Batch::default();
        let mut last = last;
        // The keys that this batch has changed, and their revision, if they exist.
        let mut changed: HashMap<Key, Option<Revision>> = HashMap::new();
        for WriteRequest { write, reply, room } in requests {
            let reply = Reply { sender: reply, _room: room };
            let in_batch = changed.get(&write.key).copied();
            let current = in_batch.unwrap_or_else(|| sink.revision_of(&write.key));
            if !holds(write.expect, &write.op, current) {
                match in_batch {
                    Some(_) => {
                        batch.conflicts.push(Conflict { key: write.key, expect: write.expect, current, reply });
                    }
                    None => reply.answer(Err(WriteError::Conflict { key: write.key, current })),
                }
                continue;
            }
            last = last.next();
            let Write { key, expect, op, .. } = write;
            let value = match op {
                Op::Put(value) => Some(value),
                Op::Delete => None,
            };
            changed.insert(key.clone(), value.as_ref().map(|_| last));
            batch.entries.push(Entry { change: Change { key, revision: last, value }, before: current });
            batch.writers.push((expect, reply));
        }
        batch
    }

    /// The revision that the batch leaves, if it changes anything.
    pub(super) fn last_revision(&self) -> Option<Revision> {
        self.entries.last().map(|entry| entry.change.revision)
    }

    /// Answers every write of a batch that happened.
    pub(super) fn acknowledge(revisions: impl Iterator<Item = Revision>, writers: Vec<(Expect, Reply)>) {
        for ((_, reply), revision) in writers.into_iter().zip(revisions) {
            reply.answer(Ok(revision));
        }
    }

    /// Answers every write of a batch of which it is certain that it did not happen: with the conflict that it has
    /// without the batch, or else with `refusal`.
    pub(super) fn refuse(self, sink: &dyn Sink, refusal: impl Fn(Key) -> WriteError) {
        for (entry, (expect, reply)) in self.entries.into_iter().zip(self.writers) {
            let op = entry.change.value.map_or(Op::Delete, Op::Put);
            refuse_one(entry.change.key, expect, &op, reply, sink, &refusal);
        }
        refuse_conflicts(self.conflicts, sink, refusal);
    }

    /// Answers every write of a batch of which it is not known whether it happened.
    pub(super) fn leave_undetermined(
        writers: impl Iterator<Item = (Key, Reply)>,
        conflicts: Vec<Conflict>,
        sink: &dyn Sink,
        detail: &str,
    ) {
        for (key, reply) in writers {
            reply.answer(Err(WriteError::Undetermined { key, detail: detail.to_owned() }));
        }
        refuse_conflicts(conflicts, sink, |_| WriteError::Unavailable { detail: detail.to_owned() });
    }
}

/// Answers writes that conflicted with a change of a batch which has happened.
pub(super) fn answer_conflicts(conflicts: Vec<Conflict>) {
    for Conflict { key, current, reply, .. } in conflicts {
        reply.answer(Err(WriteError::Conflict { key, current }));
    }
}

/// Answers `request` without attempting it: with its conflict, or else with `refusal`.
pub(super) fn refuse_request(request: WriteRequest, sink: &dyn Sink, refusal: impl Fn(Key) -> WriteError) {
    let WriteRequest { write, reply, room } = request;
    let reply = Reply { sender: reply, _room: room };
    refuse_one(write.key, write.expect, &write.op, reply, sink, refusal);
}

fn refuse_conflicts(conflicts: Vec<Conflict>, sink: &dyn Sink, refusal: impl Fn(Key) -> WriteError) {
    for Conflict { key, expect, reply, .. } in conflicts {
        // Whether it was a put or a delete makes a difference only if the condition is that the key is absent.
        refuse_one(key, expect, &Op::Put(bytes::Bytes::new()), reply, sink, &refusal);
    }
}

fn refuse_one(key: Key, expect: Expect, op: &Op, reply: Reply, sink: &dyn Sink, refusal: impl Fn(Key) -> WriteError) {
    let current = sink.revision_of(&key);
    let error = if holds(expect, op, current) { refusal(key) } else { WriteError::Conflict { key, current } };
    reply.answer(Err(error));
}

fn holds(expect: Expect, op: &Op, current: Option<Revision>) -> bool {
    match (expect, op) {
        (Expect::At(revision), _) => current == Some(revision),
        (Expect::Absent, Op::Put(_)) => current.is_none(),
        // There is nothing to delete: a deletion demands the revision that it deletes.
        (Expect::Absent, Op::Delete) => false,
    }
}
