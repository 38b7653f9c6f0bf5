//! Conditional writes, and what can be said of one whose answer did not come.
//!
//! A write is one transaction: compare the key's revision, then put or delete. That makes a second attempt harmless
//! where the write expects a revision: revisions never return, so that of all attempts at most one can take effect, ever.
//! Such a write is sent again after a failure that leaves its fate open, and a success then is the proof. A write that
//! expects absence has no such protection (a key that it created may have been deleted by somebody since, and a second
//! attempt would bring it back), so that it is only sent again where the first is known not to have been executed.

use bytes::Bytes;
use etcd_client::{Compare, CompareOp, Error, GetOptions, KvClient, Txn, TxnOp, TxnOpResponse};
use tokio::time::Instant;

use super::Shared;
use super::failure::{Failure, FailureKind};
use super::members::Backoff;
use super::wire;
use crate::backend::{Expect, Op, Write};
use crate::error::WriteError;
use crate::key::Revision;

/// What etcd answered to an attempt.
enum Outcome {
    Committed(Revision),
    /// The condition does not hold; this is the key's revision, if it exists.
    Mismatch(Option<Revision>),
}

/// Whether a write has taken effect, as far as is known after a failure.
enum Fate {
    NotExecuted,
    /// Another write took its turn; the key is at this revision now.
    Overtaken(Option<Revision>),
    Unknown,
}

/// Commits `write`.
pub(super) async fn commit(shared: &Shared, write: Write) -> Result<Revision, WriteError> {
    check(shared, &write)?;
    let undetermined = |detail: String| WriteError::Undetermined { key: write.key.clone(), detail };
    let deadline = Instant::now() + shared.options.retry_for;
    let mut backoff = Backoff::new();
    // Why an earlier attempt may have been executed.
    let mut doubt: Option<Failure> = None;
    loop {
        let failure = match shared.members.once(|kv| attempt(kv, &write)).await {
            Ok(Outcome::Committed(revision)) => return Ok(revision),
            Ok(Outcome::Mismatch(current)) => {
                let Some(earlier) = doubt else { return Err(conflict(&write, current)) };
                return Err(match fate(shared, &write).await {
                    Fate::Overtaken(current) => conflict(&write, current),
                    _ => undetermined(earlier.detail),
                });
            }
            Err(failure) => failure,
        };
        match failure.kind {
            FailureKind::NoSpace => return Err(no_space(shared, &write, failure, doubt).await),
            FailureKind::TooLarge if doubt.is_none() => return Err(too_large(shared, &write)),
            FailureKind::Unknown | FailureKind::AnswerTooLong if write.expect == Expect::Absent => {
                return Err(undetermined(failure.detail));
            }
            FailureKind::Unknown | FailureKind::AnswerTooLong => doubt = Some(failure.clone()),
            _ => {}
        }
        if !failure.is_passing() || shared.is_closed() || Instant::now() >= deadline {
            return Err(match doubt {
                Some(earlier) => undetermined(earlier.detail),
                None => WriteError::Unavailable { detail: failure.detail },
            });
        }
        backoff.wait().await;
    }
}

/// Refuses what etcd need not be asked.
fn check(shared: &Shared, write: &Write) -> Result<(), WriteError> {
    if shared.is_closed() {
        return Err(WriteError::Closed);
    }
    if !shared.keyspace.holds(&write.key) {
        let detail =
            format!("{} is not under {}, or is kept for the store's own use", write.key, shared.options.prefix);
        return Err(WriteError::Unavailable { detail });
    }
    match &write.op {
        Op::Put(value) if value.len() > shared.options.value_limit => Err(too_large(shared, write)),
        Op::Delete if write.expect == Expect::Absent => {
            let detail = format!("the deletion of {} names no revision", write.key);
            Err(WriteError::Unavailable { detail })
        }
        _ => Ok(()),
    }
}

async fn attempt(mut kv: KvClient, write: &Write) -> Result<Outcome, Error> {
    let response = kv.txn(transaction(write)).await?;
    if response.succeeded() {
        return Ok(Outcome::Committed(wire::header(response.header())?.revision));
    }
    let responses = response.op_responses();
    let Some(TxnOpResponse::Get(read)) = responses.first() else {
        return Err(Error::Internal("the answer to a transaction lacks its read".to_owned()));
    };
    Ok(Outcome::Mismatch(read.kvs().first().map(|pair| wire::revision(pair.mod_revision()))))
}

fn transaction(write: &Write) -> Txn {
    let key = write.key.as_str();
    // A key that does not exist has revision 0 in etcd's eyes.
    let condition = match write.expect {
        Expect::Absent => vec![Compare::mod_revision(key, CompareOp::Equal, 0)],
        // Which must not mean "absent" for those who expect a revision.
        Expect::At(revision) => vec![
            Compare::mod_revision(key, CompareOp::Equal, wire::to_etcd(revision)),
            Compare::create_revision(key, CompareOp::Greater, 0),
        ],
    };
    let effect = match &write.op {
        Op::Put(value) => TxnOp::put(key, value.to_vec(), None),
        Op::Delete => TxnOp::delete(key, None),
    };
    let otherwise = TxnOp::get(key, Some(GetOptions::new().with_keys_only()));
    Txn::new().when(condition).and_then([effect]).or_else([otherwise])
}

/// Finds out what "no space" means for this write: etcd refuses writes when it has none, but the write that brings it
/// over its quota is executed and answered likewise. Either way etcd is done with it when it answers, so that a read
/// tells.
async fn no_space(shared: &Shared, write: &Write, failure: Failure, doubt: Option<Failure>) -> WriteError {
    let key = write.key.clone();
    if let Some(earlier) = doubt {
        return WriteError::Undetermined { key, detail: earlier.detail };
    }
    match fate(shared, write).await {
        Fate::NotExecuted => {
            let advice = "compact and defragment etcd, or raise its quota, then disarm its alarm";
            WriteError::NoSpace { key, detail: format!("{}; {advice}", failure.detail) }
        }
        Fate::Overtaken(current) => conflict(write, current),
        Fate::Unknown => WriteError::Undetermined { key, detail: failure.detail },
    }
}

/// What became of a write that etcd is done with, or whose condition can never hold again, by what its key has become.
async fn fate(shared: &Shared, write: &Write) -> Fate {
    let Ok(now) = read(shared, write, None).await else { return Fate::Unknown };
    let Some(last) = now else {
        return if write.expect == Expect::Absent { Fate::NotExecuted } else { Fate::Unknown };
    };
    let Expect::At(expected) = write.expect else { return Fate::Unknown };
    if last.revision == expected {
        return Fate::NotExecuted;
    }
    // The first change after the expected one is the only one that can be ours. If that is also the last one, its bytes
    // may rule us out. They cannot prove it: another server may have written the same.
    let before = Revision(last.revision.0 - 1);
    let first_is_last = matches!(
        read(shared, write, Some(before)).await,
        Ok(Some(previous)) if previous.revision == expected
    );
    match &write.op {
        Op::Put(ours) if first_is_last && *ours == last.value => Fate::Unknown,
        _ if first_is_last => Fate::Overtaken(Some(last.revision)),
        _ => Fate::Unknown,
    }
}

/// A key's state at some revision.
struct Stored {
    revision: Revision,
    value: Bytes,
}

async fn read(shared: &Shared, write: &Write, at: Option<Revision>) -> Result<Option<Stored>, Failure> {
    let options = at.map(|at| GetOptions::new().with_revision(wire::to_etcd(at)));
    let deadline = Instant::now() + shared.options.retry_for;
    let request = |mut kv: KvClient| {
        let options = options.clone();
        async move { kv.get(write.key.as_str(), options).await }
    };
    let mut response = shared.members.persist(deadline, request).await?;
    Ok(response.take_kvs().pop().map(|pair| Stored {
        revision: wire::revision(pair.mod_revision()),
        value: Bytes::from(pair.into_key_value().1),
    }))
}

fn conflict(write: &Write, current: Option<Revision>) -> WriteError {
    WriteError::Conflict { key: write.key.clone(), current }
}

fn too_large(shared: &Shared, write: &Write) -> WriteError {
    let size = match &write.op {
        Op::Put(value) => value.len(),
        Op::Delete => 0,
    };
    // etcd may be set to take less than we do.
    let limit = shared.options.value_limit.min(size.saturating_sub(1));
    WriteError::TooLarge { key: write.key.clone(), size, limit }
}
