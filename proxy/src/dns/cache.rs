//! What other servers have answered, for as long as it may be said again. Pure: the time comes in as an argument.
//!
//! The cache is bounded by the number of answers and by the bytes that they took on the wire; when it is full, what would
//! have to go soonest goes first. What it keeps, and for how long, is as CoreDNS's plugin `cache` has it: an answer for the
//! least of its records' times, but not less than 5 seconds nor more than the bound (30 in upstream's clusters); that there
//! is no name or record only if it says for how long; a server's failure for 5 seconds. Nothing is said after its time.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{RData, Record};
use tokio::time::Instant;

use super::answer::{Question, Reply};

/// What an answer is kept for at least, and a failure at most.
const LEAST: Duration = Duration::from_secs(5);
/// What an entry takes besides its records.
const OVERHEAD: usize = 256;

/// By what an answer is found.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// The question, of class IN.
    pub(super) question: Question,
    /// Whether proofs were asked for.
    pub(super) dnssec_ok: bool,
    /// Whether proofs were not to be checked.
    pub(super) checking_disabled: bool,
}

/// What another server has answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Heard {
    /// What it said.
    pub(super) reply: Reply,
    /// Whether it said that this is proven.
    pub(super) authentic: bool,
    /// How many bytes that took.
    pub(super) size: usize,
}

impl Heard {
    /// What this message says, which took so many bytes.
    pub(super) fn new(message: Message, size: usize) -> Heard {
        Heard {
            authentic: message.metadata.authentic_data,
            reply: Reply {
                code: message.metadata.response_code,
                answers: message.answers,
                authorities: message.authorities,
                additionals: message.additionals,
            },
            size,
        }
    }

    /// Whether it says that there is no such name, or no such record.
    fn is_denial(&self) -> bool {
        self.reply.code == ResponseCode::NXDomain || self.reply.answers.is_empty()
    }

    /// How long it may be said again; `None` if not at all.
    fn good_for(&self, longest: Duration) -> Option<Duration> {
        let reply = &self.reply;
        let records = || reply.answers.iter().chain(&reply.authorities).chain(&reply.additionals);
        let least = || records().map(|record| record.ttl).min().map(|ttl| Duration::from_secs(ttl.into()));
        let stated = match reply.code {
            ResponseCode::ServFail => Some(LEAST),
            ResponseCode::NoError | ResponseCode::NXDomain if self.is_denial() => {
                let denied = reply.authorities.iter().find_map(denied_for)?;
                least().map(|least| least.min(denied))
            }
            ResponseCode::NoError => least(),
            _ => None,
        };
        stated.map(|stated| stated.max(LEAST).min(longest))
    }

    /// The answer to whoever asks, as long before its end. The name is as it was asked.
    pub(super) fn said(&self, question: &Question, left: Option<Duration>) -> Reply {
        let mut reply = self.reply.clone();
        for record in reply.answers.iter_mut().filter(|record| record.name == question.name) {
            record.name.clone_from(&question.name);
        }
        if let Some(left) = left {
            let seconds = u32::try_from(left.as_secs()).unwrap_or(u32::MAX);
            let sections = [&mut reply.answers, &mut reply.authorities, &mut reply.additionals];
            for record in sections.into_iter().flatten() {
                record.ttl = seconds;
            }
        }
        reply
    }
}

/// For how long a SOA record lets its zone's denials be kept.
fn denied_for(record: &Record) -> Option<Duration> {
    match &record.data {
        RData::SOA(soa) => Some(Duration::from_secs(soa.minimum.min(record.ttl).into())),
        _ => None,
    }
}

/// How much is kept, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheBounds {
    /// So many answers.
    pub entries: usize,
    /// So many bytes.
    pub bytes: usize,
    /// For so long. Zero keeps nothing.
    pub longest: Duration,
}

impl Default for CacheBounds {
    fn default() -> CacheBounds {
        // Upstream's: two caches of 9984 entries, and `cache 30`. It does not bound bytes.
        CacheBounds { entries: 19_968, bytes: 32 << 20, longest: Duration::from_secs(30) }
    }
}

struct Entry {
    heard: Arc<Heard>,
    until: Instant,
    number: u64,
}

/// The answers of other servers.
pub(super) struct Cache {
    bounds: CacheBounds,
    entries: HashMap<Arc<Key>, Entry>,
    /// In the order in which they have to go.
    order: BTreeMap<(Instant, u64), Arc<Key>>,
    bytes: usize,
    next: u64,
}

impl Cache {
    pub(super) fn new(bounds: CacheBounds) -> Cache {
        Cache { bounds, entries: HashMap::new(), order: BTreeMap::new(), bytes: 0, next: 0 }
    }

    /// How many answers there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// What was answered, how long that is good for yet, and whether it is a denial.
    pub(super) fn get(&self, key: &Key, now: Instant) -> Option<(Arc<Heard>, Duration, bool)> {
        let entry = self.entries.get(key).filter(|entry| entry.until > now)?;
        Some((Arc::clone(&entry.heard), entry.until.duration_since(now), entry.heard.is_denial()))
    }

    /// Takes an answer in, and returns how long it is good for. One that may not be kept replaces nothing.
    pub(super) fn put(&mut self, key: Key, heard: &Arc<Heard>, now: Instant) -> Option<Duration> {
        let good_for = heard.good_for(self.bounds.longest).filter(|time| !time.is_zero())?;
        let size = cost(heard);
        self.remove(&key);
        if size > self.bounds.bytes || self.bounds.entries == 0 {
            return Some(good_for);
        }
        while self.entries.len() >= self.bounds.entries || self.bytes + size > self.bounds.bytes {
            let Some((_, oldest)) = self.order.pop_first() else { break };
            self.remove(&oldest);
        }
        let (key, until, number) = (Arc::new(key), now + good_for, self.next);
        self.next += 1;
        self.bytes += size;
        self.order.insert((until, number), Arc::clone(&key));
        self.entries.insert(key, Entry { heard: Arc::clone(heard), until, number });
        Some(good_for)
    }

    fn remove(&mut self, key: &Key) {
        if let Some(entry) = self.entries.remove(key) {
            self.order.remove(&(entry.until, entry.number));
            self.bytes -= cost(&entry.heard);
        }
    }

    /// Forgets what may not be said any longer.
    pub(super) fn expire(&mut self, now: Instant) {
        while let Some(first) = self.order.first_entry().filter(|first| first.key().0 <= now) {
            let key = first.remove();
            self.remove(&key);
        }
    }
}

/// What an answer counts for. Decoded, records take more than they did on the wire, by a factor of a few.
fn cost(heard: &Heard) -> usize {
    OVERHEAD + 4 * heard.size
}

#[cfg(test)]
mod tests;
