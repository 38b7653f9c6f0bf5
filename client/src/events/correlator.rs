//! What of many Events is written. The rules and numbers are those of upstream's recorder (client-go, `tools/record`).

use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// How many objects, and how many sorts of Events, are remembered; the longest unheard of are forgotten.
const REMEMBERED: usize = 4096;
/// So many different messages of one sort within [`SIMILAR_WITHIN`], and further ones are combined.
const SIMILAR: usize = 10;
const SIMILAR_WITHIN: SignedDuration = SignedDuration::from_secs(600);
/// So many Events about one object at once, and then one each [`REFILL`].
const BURST: u32 = 25;
const REFILL: SignedDuration = SignedDuration::from_secs(300);

/// An Event to be written.
#[derive(Clone, Debug, PartialEq)]
pub struct Write {
    /// The Event as it is to be.
    pub event: Event,
    /// Whether it was written before, and its count, message and last time are to be changed.
    pub is_repeated: bool,
}

/// Remembers what was recorded lately, and decides what is written.
#[derive(Default)]
pub struct Correlator {
    sorts: Remembered<Sort>,
    written: Remembered<Event>,
    objects: Remembered<Bucket>,
}

/// Events that differ in nothing but their message.
struct Sort {
    messages: HashSet<u64>,
    last: Timestamp,
}

/// How much more may be written about an object.
struct Bucket {
    tokens: u32,
    refilled: Timestamp,
}

impl Correlator {
    /// What is to be written of `event`, which is recorded `now`.
    pub fn observe(&mut self, mut event: Event, now: Timestamp) -> Option<Write> {
        let (object, sort) = (object_key(&event), sort_key(&event));
        let message = event.message.clone().unwrap_or_default();
        let is_combined = self.is_one_of_many(sort, &message, now);
        let key = if is_combined { sort } else { hash(&(sort, &message)) };
        if is_combined {
            event.message = Some(format!("(combined from similar events): {message}"));
        }
        let mut is_repeated = false;
        if let Some(before) = self.written.get(key) {
            event.metadata.name.clone_from(&before.metadata.name);
            event.first_timestamp.clone_from(&before.first_timestamp);
            event.last_timestamp = Some(Time(now));
            event.count = Some(before.count.unwrap_or(1).saturating_add(1));
            is_repeated = true;
        }
        self.written.put(key, event.clone());
        // Counted all the same, so that the next one that is written says how many there were.
        self.may_write(object, now).then_some(Write { event, is_repeated })
    }

    /// Whether there have been many different messages of this sort.
    fn is_one_of_many(&mut self, sort: u64, message: &str, now: Timestamp) -> bool {
        let begun = || Sort { messages: HashSet::new(), last: now };
        let known = self.sorts.get_or_put(sort, begun);
        if now.duration_since(known.last) > SIMILAR_WITHIN {
            known.messages.clear();
        }
        known.last = now;
        known.messages.insert(hash(&message));
        if known.messages.len() < SIMILAR {
            return false;
        }
        // Which one goes makes no difference; there are never more than the limit.
        if let Some(any) = known.messages.iter().next().copied() {
            known.messages.remove(&any);
        }
        true
    }

    fn may_write(&mut self, object: u64, now: Timestamp) -> bool {
        let bucket = self.objects.get_or_put(object, || Bucket { tokens: BURST, refilled: now });
        let refills = now.duration_since(bucket.refilled).as_secs() / REFILL.as_secs();
        if let Ok(refills @ 1..) = u32::try_from(refills) {
            bucket.tokens = bucket.tokens.saturating_add(refills).min(BURST);
            bucket.refilled = bucket.refilled.checked_add(REFILL.saturating_mul(refills.cast_signed())).unwrap_or(now);
        }
        bucket.tokens.checked_sub(1).map(|left| bucket.tokens = left).is_some()
    }
}

/// Who tells of which object.
fn object_key(event: &Event) -> u64 {
    let object = &event.involved_object;
    let source = event.source.as_ref();
    hash(&(
        source.and_then(|source| source.component.as_deref()),
        source.and_then(|source| source.host.as_deref()),
        (&object.kind, &object.namespace, &object.name, &object.uid, &object.api_version),
    ))
}

/// Everything but the message.
fn sort_key(event: &Event) -> u64 {
    hash(&(
        object_key(event),
        &event.involved_object.field_path,
        (&event.type_, &event.reason, &event.reporting_component, &event.reporting_instance),
    ))
}

fn hash(of: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

/// A bounded memory: what was longest not asked for goes first.
struct Remembered<T> {
    values: BTreeMap<u64, (u64, T)>,
    by_use: BTreeMap<u64, u64>,
    uses: u64,
}

impl<T> Default for Remembered<T> {
    fn default() -> Self {
        Remembered { values: BTreeMap::new(), by_use: BTreeMap::new(), uses: 0 }
    }
}

impl<T> Remembered<T> {
    fn get(&mut self, key: u64) -> Option<&mut T> {
        self.uses += 1;
        let (used, value) = self.values.get_mut(&key)?;
        self.by_use.remove(used);
        *used = self.uses;
        self.by_use.insert(self.uses, key);
        Some(value)
    }

    fn put(&mut self, key: u64, value: T) {
        if let Some(known) = self.get(key) {
            *known = value;
            return;
        }
        if self.values.len() >= REMEMBERED
            && let Some((_, oldest)) = self.by_use.pop_first()
        {
            self.values.remove(&oldest);
        }
        self.by_use.insert(self.uses, key);
        self.values.insert(key, (self.uses, value));
    }

    fn get_or_put(&mut self, key: u64, value: impl FnOnce() -> T) -> &mut T {
        if !self.values.contains_key(&key) {
            self.put(key, value());
        }
        self.get(key).expect("it was put there")
    }
}
