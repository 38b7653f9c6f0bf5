//! Follows etcd's changes for as long as the backend is open.
//!
//! One watch over the whole prefix, resumed after the newest revision that the sink has: whatever happens to the
//! connection, the member or its leader, the sink is given every change once and in order. Where that cannot be done
//! (the changes were compacted meanwhile, or this etcd is not the one that was loaded from) everything is loaded anew.

use std::sync::Arc;

use etcd_client::{WatchOptions, WatchResponse, WatchStream};

use super::Shared;
use super::current;
use super::failure::{Failure, FailureKind};
use super::feed::{Feed, RawEvent};
use super::load;
use super::members::{Backoff, Member};
use super::wire;
use crate::backend::Sink;
use crate::key::Revision;

/// Why following ended.
enum End {
    /// Another member is preferred.
    Moved,
    /// The watch broke; it can be resumed.
    Broken(Failure),
    /// What came next can no longer be had.
    Lost(String),
}

/// Whether a watch got anywhere before it ended.
struct Followed {
    end: End,
    moved_on: bool,
}

/// Runs until the task is ended.
pub(super) async fn run(shared: Arc<Shared>, sink: Arc<dyn Sink>) {
    let mut backoff = Backoff::new();
    loop {
        let Followed { end, moved_on } = follow(&shared, &*sink).await;
        if moved_on {
            backoff.reset();
        }
        match end {
            End::Moved => backoff.wait().await,
            End::Broken(failure) => {
                tracing::debug!(%failure, after = %shared.applied(), "the watch of etcd broke and is resumed");
                backoff.wait().await;
            }
            End::Lost(reason) => {
                tracing::warn!(reason, "loading everything from etcd anew");
                while let Err(failure) = load::load(&shared, &*sink).await {
                    tracing::warn!(%failure, "cannot load from etcd");
                    backoff.wait().await;
                }
            }
        }
    }
}

async fn follow(shared: &Shared, sink: &dyn Sink) -> Followed {
    // Subscribed before the member is chosen, so that no move in between is missed.
    let mut preferred = shared.members.preferred();
    preferred.mark_unchanged();
    let before = shared.applied();
    let end = tokio::select! {
        // What ended the watch is of more interest than the move to another member that it caused.
        biased;
        end = receive(shared, sink) => end,
        _ = preferred.changed() => End::Moved,
        () = shared.suspicion.notified() => {
            End::Broken(Failure::new(FailureKind::Unknown, "etcd's revision or cluster is not as expected"))
        }
    };
    Followed { end, moved_on: shared.applied() > before }
}

async fn receive(shared: &Shared, sink: &dyn Sink) -> End {
    let (mut stream, member) = match open(shared).await {
        Ok(opened) => opened,
        Err(end) => return end,
    };
    let mut feed = Feed::after(&shared.keyspace, shared.applied());
    loop {
        let response = match stream.message().await {
            Ok(Some(response)) => response,
            outcome => {
                let failure = match outcome {
                    Err(error) => Failure::of(shared.members.endpoint(member), &error),
                    _ => Failure::new(FailureKind::Unknown, "the member ended the watch"),
                };
                shared.members.note(member, &failure);
                return End::Broken(failure);
            }
        };
        if let Some(end) = take(shared, sink, &mut feed, response) {
            return end;
        }
    }
}

/// Opens a watch after what the sink has, at an etcd that is proven to be the one it was loaded from.
async fn open(shared: &Shared) -> Result<(WatchStream, usize), End> {
    let Member { index, kv, mut watch } = shared.members.member().await.map_err(End::Broken)?;
    let after = shared.applied();
    let probe = current::probe(kv, shared.keyspace.barrier());
    let now = shared.members.limit(index, probe).await.map_err(End::Broken)?;
    if let Some(reason) = shared.contradiction(now, after) {
        return Err(End::Lost(reason));
    }
    let options = WatchOptions::new()
        .with_range(shared.keyspace.end())
        .with_start_revision(wire::to_etcd(after.next()))
        // Sent through the same queue as the events, and only to a watch that has been sent all of them. (The answer to
        // a progress *request* is not, before 3.4.25 and 3.5.8, which is why none is made.)
        .with_progress_notify()
        .with_fragment();
    let opening = watch.watch(shared.keyspace.start(), Some(options));
    let stream = shared.members.limit(index, opening).await.map_err(End::Broken)?;
    Ok((stream, index))
}

fn take(shared: &Shared, sink: &dyn Sink, feed: &mut Feed<'_>, response: WatchResponse) -> Option<End> {
    let response = response.0;
    if response.compact_revision > 0 {
        let (after, compacted) = (shared.applied(), response.compact_revision);
        return Some(End::Lost(format!("changes after revision {after} were compacted through {compacted}")));
    }
    if response.canceled {
        return Some(End::Broken(Failure::new(FailureKind::Unknown, response.cancel_reason)));
    }
    if response.created {
        return None;
    }
    if response.events.is_empty() && !response.fragment {
        let revision = response.header.map_or(Revision::ZERO, |header| wire::revision(header.revision));
        if let Some(revision) = feed.progress(revision) {
            sink.advance(revision);
            shared.applied_through(revision);
        }
        return None;
    }
    let events = response.events.into_iter().filter_map(|event| {
        let deleted = event.r#type != 0;
        let pair = event.kv?;
        let revision = wire::revision(pair.mod_revision);
        Some(RawEvent { key: pair.key, revision, value: (!deleted).then_some(pair.value) })
    });
    match feed.take(events.collect(), response.fragment) {
        Ok(None) => None,
        Ok(Some(batch)) => {
            let last = batch.changes.last().map(|change| change.revision);
            if last.is_some() {
                sink.apply(batch.changes);
                sink.publish();
            }
            if last != Some(batch.through) {
                sink.advance(batch.through);
            }
            shared.applied_through(batch.through);
            None
        }
        Err(_) => Some(End::Broken(Failure::new(FailureKind::Unknown, "etcd sent events out of order"))),
    }
}
