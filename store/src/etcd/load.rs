//! Reads everything at one revision, a page at a time.

use bytes::Bytes;
use etcd_client::{Error, GetOptions};
use tokio::time::Instant;

use super::Shared;
use super::failure::{Failure, FailureKind};
use super::wire::{self, Header};
use crate::backend::{Change, Sink};
use crate::key::Revision;

/// How many keys the first page asks for.
const FIRST_PAGE_KEYS: i64 = 500;

/// The most keys that a page asks for.
const LARGEST_PAGE_KEYS: i64 = 10_000;

/// How large an answer should be, in bytes. Pages are sized by those before them.
const PAGE_BYTES: usize = 4 * 1024 * 1024;

/// How often a load starts over because its revision was compacted under it. Compaction leaves minutes for a load that
/// takes seconds.
const MAX_ATTEMPTS: usize = 5;

/// Everything below the prefix, at one revision.
pub(super) struct Loaded {
    pages: Vec<Vec<Change>>,
    revision: Revision,
    cluster: u64,
}

/// Loads everything into `sink`, and returns the revision. Members that cannot be reached are tried for `retry_for`, a
/// page.
pub(super) async fn load(shared: &Shared, sink: &dyn Sink) -> Result<Revision, Failure> {
    let mut attempts = 1;
    let loaded = loop {
        match fetch(shared).await {
            Err(failure) if failure.kind == FailureKind::Compacted && attempts < MAX_ATTEMPTS => attempts += 1,
            outcome => break outcome?,
        }
    };
    // Only now, when nothing can fail any more, is the sink told: it has no way to forget the pages of an attempt that
    // came to nothing.
    let Loaded { pages, revision, cluster } = loaded;
    for page in pages {
        sink.load(page);
    }
    sink.loaded(revision);
    shared.adopt(cluster, revision);
    Ok(revision)
}

async fn fetch(shared: &Shared) -> Result<Loaded, Failure> {
    let keyspace = &shared.keyspace;
    let mut from = keyspace.start().as_bytes().to_vec();
    let mut at: Option<Header> = None;
    let mut limit = FIRST_PAGE_KEYS;
    let mut pages = Vec::new();
    loop {
        let page = match fetch_page(shared, &from, at, limit).await {
            Err(failure) if failure.kind == FailureKind::AnswerTooLong && limit > 1 => {
                limit /= 2;
                continue;
            }
            outcome => outcome?,
        };
        let pinned = *at.get_or_insert(page.header);
        if pinned.cluster != page.header.cluster {
            let detail = "the endpoints belong to different etcd clusters";
            return Err(Failure::new(FailureKind::Refused, detail));
        }
        limit = next_limit(limit, page.bytes);
        let next = page.more.then(|| wire::after(&page.last)).filter(|next| *next > from);
        pages.push(page.changes(shared));
        let Some(next) = next else {
            return Ok(Loaded { pages, revision: pinned.revision, cluster: pinned.cluster });
        };
        from = next;
    }
}

/// One answer of etcd.
struct Page {
    header: Header,
    pairs: Vec<(Vec<u8>, Revision, Vec<u8>)>,
    last: Vec<u8>,
    bytes: usize,
    more: bool,
}

impl Page {
    fn changes(self, shared: &Shared) -> Vec<Change> {
        let changes = self.pairs.into_iter().filter_map(|(key, revision, value)| {
            let key = shared.keyspace.object(&key)?;
            Some(Change { key, revision, value: Some(Bytes::from(value)) })
        });
        changes.collect()
    }
}

async fn fetch_page(shared: &Shared, from: &[u8], at: Option<Header>, limit: i64) -> Result<Page, Failure> {
    let mut options = GetOptions::new().with_range(shared.keyspace.end()).with_limit(limit);
    if let Some(pinned) = at {
        options = options.with_revision(wire::to_etcd(pinned.revision));
    }
    let deadline = Instant::now() + shared.options.retry_for;
    let request = |mut kv: etcd_client::KvClient| {
        let (from, options) = (from.to_vec(), options.clone());
        async move {
            let mut response = kv.get(from, Some(options)).await?;
            let header = wire::header(response.header())?;
            Ok::<_, Error>((header, response.more(), response.take_kvs()))
        }
    };
    let (header, more, pairs) = shared.members.persist(deadline, request).await?;
    let pairs: Vec<_> =
        pairs.into_iter().map(|pair| (pair.0.key, wire::revision(pair.0.mod_revision), pair.0.value)).collect();
    let bytes = pairs.iter().map(|(key, _, value)| key.len() + value.len()).sum();
    let last = pairs.last().map(|(key, ..)| key.clone()).unwrap_or_default();
    Ok(Page { header, pairs, last, bytes, more })
}

/// How many keys to ask for after a page of `limit` keys had `bytes`.
fn next_limit(limit: i64, bytes: usize) -> i64 {
    let fitting = limit.saturating_mul(PAGE_BYTES as i64) / i64::try_from(bytes.max(1)).unwrap_or(i64::MAX);
    fitting.clamp(1, (limit * 2).min(LARGEST_PAGE_KEYS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_settle_at_their_size() {
        let mib = 1024 * 1024;
        let cases = [
            (500, 4 * mib, 500),
            (500, 0, 1000),
            (500, mib, 1000),
            (500, 8 * mib, 250),
            (8_000, 1, LARGEST_PAGE_KEYS),
            (2, 3 * mib, 2),
            (1, 60 * mib, 1),
            (4, 6 * mib, 2),
        ];
        for (limit, bytes, expected) in cases {
            assert_eq!(next_limit(limit, bytes), expected, "{limit} keys of {bytes} bytes");
        }
    }
}
