//! Compaction of etcd, taking turns with the other servers that share it.
//!
//! The last compaction is noted under one key, and whoever means to compact changes that note first, on the condition
//! that it is still the one it knows. Of several servers that compact at the same interval one succeeds each time; the
//! others learn the new note and are content. (Upstream's API servers do the same with `compact_rev_key`.)

use std::sync::atomic::{AtomicI64, Ordering};

use etcd_client::{Compare, CompareOp, Error, GetOptions, KvClient, Txn, TxnOp};
use tokio::time::Instant;

use super::Shared;
use super::failure::{Failure, FailureKind};
use super::wire;
use crate::error::CompactError;
use crate::key::Revision;

/// The note's revision as this server knows it; 0 before the first look, which is also that of a missing note.
#[derive(Default)]
pub(super) struct KnownNote(AtomicI64);

/// Whose turn it is.
enum Turn {
    Ours,
    Theirs,
}

/// Compacts through `through`, or finds that another server has compacted since the last time.
pub(super) async fn compact(shared: &Shared, through: Revision) -> Result<(), CompactError> {
    let failed = |detail: String| CompactError::Failed { through, detail };
    if shared.is_closed() {
        return Err(failed("the store is closed".to_owned()));
    }
    if through == Revision::ZERO {
        return Ok(());
    }
    match take_turn(shared, through).await {
        Ok(Turn::Ours) => {}
        Ok(Turn::Theirs) => return Ok(()),
        // The note cannot be written where compaction is needed most. Compacting twice does no harm.
        Err(failure) if failure.kind == FailureKind::NoSpace => {}
        Err(failure) => return Err(failed(failure.detail)),
    }
    let deadline = Instant::now() + shared.options.retry_for;
    let request = |mut kv: KvClient| async move { kv.compact(wire::to_etcd(through), None).await };
    match shared.members.persist(deadline, request).await {
        Ok(_) => Ok(()),
        Err(failure) if failure.kind == FailureKind::Compacted => Ok(()),
        Err(failure) => Err(failed(failure.detail)),
    }
}

async fn take_turn(shared: &Shared, through: Revision) -> Result<Turn, Failure> {
    let key = shared.keyspace.compaction();
    let known = shared.compaction.0.load(Ordering::Relaxed);
    let note = if known == 0 { read_note(shared, &key).await? } else { Note { revision: known, through: None } };
    if note.through.is_some_and(|done| done >= through) {
        shared.compaction.0.store(note.revision, Ordering::Relaxed);
        return Ok(Turn::Theirs);
    }
    // Executing this twice is no matter: the second attempt finds the first one's note, takes it for another server's,
    // and this interval passes without a compaction.
    let deadline = Instant::now() + shared.options.retry_for;
    let request = |mut kv: KvClient| {
        let key = key.clone();
        async move {
            let unchanged = Compare::mod_revision(key.as_str(), CompareOp::Equal, note.revision);
            let put = TxnOp::put(key.as_str(), through.to_string(), None);
            let get = TxnOp::get(key.as_str(), Some(GetOptions::new().with_keys_only()));
            let response = kv.txn(Txn::new().when([unchanged]).and_then([put]).or_else([get])).await?;
            let header = wire::header(response.header())?;
            if response.succeeded() {
                return Ok((Turn::Ours, wire::to_etcd(header.revision)));
            }
            let responses = response.op_responses();
            let found = responses.first().and_then(|response| match response {
                etcd_client::TxnOpResponse::Get(read) => read.kvs().first().map(etcd_client::KeyValue::mod_revision),
                _ => None,
            });
            Ok::<_, Error>((Turn::Theirs, found.unwrap_or(0)))
        }
    };
    let (turn, revision) = shared.members.persist(deadline, request).await?;
    shared.compaction.0.store(revision, Ordering::Relaxed);
    Ok(turn)
}

/// The note of the last compaction.
#[derive(Clone, Copy)]
struct Note {
    revision: i64,
    through: Option<Revision>,
}

async fn read_note(shared: &Shared, key: &str) -> Result<Note, Failure> {
    let deadline = Instant::now() + shared.options.retry_for;
    let request = |mut kv: KvClient| {
        let key = key.to_owned();
        async move { kv.get(key, None).await }
    };
    let response = shared.members.persist(deadline, request).await?;
    Ok(response.kvs().first().map_or(Note { revision: 0, through: None }, |pair| Note {
        revision: pair.mod_revision(),
        through: pair.value_str().ok().and_then(|text| text.parse().ok()).map(Revision),
    }))
}
