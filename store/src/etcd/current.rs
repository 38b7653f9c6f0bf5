//! etcd's current revision, read linearizably, by many callers at a time.
//!
//! Callers share requests. Who comes while one is under way waits for the next: the point at which the one under way is
//! read may lie before the caller came, and then before a write that the caller knows to be acknowledged.

use std::sync::Arc;

use etcd_client::{Error, GetOptions, KvClient};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::Shared;
use super::wire::{self, Header};
use crate::error::ReadError;
use crate::key::Revision;

/// The most callers that wait to be taken up; further ones wait to wait.
const MAX_WAITING: usize = 4096;

/// Where the answer goes.
pub(super) type Caller = oneshot::Sender<Result<Revision, ReadError>>;

pub(super) fn callers() -> (mpsc::Sender<Caller>, mpsc::Receiver<Caller>) {
    mpsc::channel(MAX_WAITING)
}

/// Asks on behalf of one caller.
pub(super) async fn ask(reader: &mpsc::Sender<Caller>) -> Result<Revision, ReadError> {
    let (caller, answer) = oneshot::channel();
    reader.send(caller).await.map_err(|_| ReadError::Closed)?;
    answer.await.map_err(|_| ReadError::Closed)?
}

/// Answers callers until there can be no more.
pub(super) async fn run(shared: Arc<Shared>, mut callers: mpsc::Receiver<Caller>) {
    let mut batch = Vec::new();
    while callers.recv_many(&mut batch, MAX_WAITING).await > 0 {
        let answer = read(&shared).await;
        for caller in batch.drain(..) {
            // A caller that went away needs no answer.
            let _ = caller.send(answer.clone());
        }
    }
}

async fn read(shared: &Shared) -> Result<Revision, ReadError> {
    let unavailable = |detail: String| ReadError::Unavailable { detail };
    let before = shared.applied();
    let deadline = Instant::now() + shared.options.retry_for;
    let request = |kv| probe(kv, shared.keyspace.barrier());
    let now = shared.members.persist(deadline, request).await.map_err(|failure| unavailable(failure.detail))?;
    if let Some(reason) = shared.contradiction(now, before) {
        shared.suspicion.notify_one();
        return Err(unavailable(reason));
    }
    shared.want(now.revision);
    Ok(now.revision)
}

/// The smallest linearizable read. Its header tells the revision of the state it was read from.
pub(super) async fn probe(mut kv: KvClient, key: String) -> Result<Header, Error> {
    let response = kv.get(key, Some(GetOptions::new().with_count_only())).await?;
    wire::header(response.header())
}
