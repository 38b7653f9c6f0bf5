//! What is known of the images that are there, and which of them may go. Pure: the time and the images come in.
//!
//! The order is upstream's: what was used longest ago goes first, and of what was never used what was first seen longest
//! ago. Never does an image go that a container is of, one that is pinned, or one that was seen or wanted for the first
//! time a moment ago: a container may be about to be made of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use crate::cri::v1;

/// What may be collected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// With this much of the file system in use, in percent, images have to go (`imageGCHighThresholdPercent`). At 100 they
    /// never have to.
    pub high_percent: u8,
    /// They go until no more than this is in use (`imageGCLowThresholdPercent`).
    pub low_percent: u8,
    /// How long an image is spared once it was seen (`imageMinimumGCAge`).
    pub minimum_age: Duration,
    /// After how long an image that nobody uses goes however much room there is (`imageMaximumGCAge`).
    pub maximum_age: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { high_percent: 85, low_percent: 80, minimum_age: Duration::from_secs(120), maximum_age: None }
    }
}

/// Why limits make no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLimits {
    /// A share that is more than all.
    #[error("imageGCHighThresholdPercent: {0} is more than 100")]
    High(u8),
    /// Collection would never come to its end.
    #[error("imageGCLowThresholdPercent: {low} has to be lower than imageGCHighThresholdPercent, {high}")]
    Order {
        /// The lower one.
        low: u8,
        /// The higher one.
        high: u8,
    },
}

impl Limits {
    /// Whether they make sense.
    pub fn check(&self) -> Result<(), InvalidLimits> {
        if self.high_percent > 100 {
            return Err(InvalidLimits::High(self.high_percent));
        }
        if self.low_percent >= self.high_percent {
            return Err(InvalidLimits::Order { low: self.low_percent, high: self.high_percent });
        }
        Ok(())
    }
}

/// The images that are there, by ID. There are as many records as images.
#[derive(Debug)]
pub(super) struct Records {
    began: Instant,
    images: BTreeMap<String, Record>,
    looked: bool,
}

#[derive(Clone, Debug)]
struct Record {
    /// `None` if it was there before anybody looked.
    seen: Option<Instant>,
    /// When a container of it was seen the last time.
    used: Option<Instant>,
    /// When somebody wanted to make a container of it the last time.
    wanted: Option<Instant>,
    size: u64,
    in_use: bool,
    spared: bool,
}

/// An image that may go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) id: String,
    pub(super) size: u64,
    /// How long nobody has used it, as far as is known.
    pub(super) unused: Duration,
}

impl Record {
    fn new(seen: Option<Instant>) -> Record {
        Record { seen, used: None, wanted: None, size: 0, in_use: false, spared: false }
    }
}

impl Records {
    pub(super) fn new(now: Instant) -> Records {
        Records { began: now, images: BTreeMap::new(), looked: false }
    }

    /// Takes in what images there are. `in_use` has IDs or names of images that containers are of, `pinned` such of images
    /// that never go.
    pub(super) fn see(
        &mut self,
        images: &[v1::Image],
        in_use: &BTreeSet<String>,
        pinned: &BTreeSet<String>,
        now: Instant,
    ) {
        let seen = self.looked.then_some(now);
        self.looked = true;
        let mut records = std::mem::take(&mut self.images);
        for image in images {
            let record = records.remove(&image.id);
            let mut record = record.unwrap_or_else(|| Record::new(seen));
            record.size = image.size;
            record.spared = image.pinned || has(image, pinned);
            record.in_use = has(image, in_use);
            if record.in_use {
                record.used = Some(now);
            }
            self.images.insert(image.id.clone(), record);
        }
    }

    /// Takes in that a container is about to be made of an image.
    pub(super) fn want(&mut self, id: &str, now: Instant) {
        // It may just have been pulled.
        self.images.entry(id.to_owned()).or_insert_with(|| Record::new(Some(now))).wanted = Some(now);
    }

    /// What may go now that everything was looked at, the first to go first.
    pub(super) fn candidates(&self, limits: &Limits, now: Instant) -> Vec<Candidate> {
        let is_fresh = |time: Option<Instant>| time.is_some_and(|time| now.duration_since(time) < limits.minimum_age);
        let free = self.images.iter().filter(|(_, record)| {
            !record.spared && !record.in_use && !is_fresh(record.seen) && !is_fresh(record.wanted)
        });
        let mut free: Vec<(&String, &Record)> = free.collect();
        free.sort_by_key(|(id, record)| (record.used, record.seen, id.as_str()));
        let candidate = |(id, record): (&String, &Record)| {
            // What was there before we looked may have been used until then.
            let last = record.used.max(record.seen).unwrap_or(self.began);
            Candidate { id: id.clone(), size: record.size, unused: now.duration_since(last) }
        };
        free.into_iter().map(candidate).collect()
    }

    /// Takes in that an image is gone.
    pub(super) fn gone(&mut self, id: &str) {
        self.images.remove(id);
    }
}

/// Whether an image is meant by one of these IDs or names.
fn has(image: &v1::Image, these: &BTreeSet<String>) -> bool {
    these.contains(&image.id) || image.repo_tags.iter().chain(&image.repo_digests).any(|name| these.contains(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn image(id: &str) -> v1::Image {
        v1::Image { id: id.to_owned(), repo_tags: vec![format!("{id}:1")], size: 10, ..v1::Image::default() }
    }

    fn set(of: &[&str]) -> BTreeSet<String> {
        of.iter().map(|text| (*text).to_owned()).collect()
    }

    fn ids(candidates: &[Candidate]) -> Vec<&str> {
        candidates.iter().map(|candidate| candidate.id.as_str()).collect()
    }

    #[test]
    fn what_was_used_longest_ago_goes_first() {
        let mut now = Instant::now();
        let mut records = Records::new(now);
        let limits = Limits::default();
        let all = ["a", "b", "c", "d", "e"].map(image);
        // `d` is new, `e` newer; `b` was used until lately, `a` before that, `c` never.
        for (images, in_use) in [(3, set(&["a", "b:1"])), (4, set(&["b"])), (5, set(&[])), (5, set(&[]))] {
            records.see(&all[..images], &in_use, &set(&[]), now);
            assert!(ids(&records.candidates(&limits, now)).iter().all(|id| !in_use.contains(*id)));
            now += 100 * SECOND;
        }
        records.see(&all, &set(&[]), &set(&[]), now);
        assert_eq!(ids(&records.candidates(&limits, now)), ["c", "d", "e", "a", "b"]);
        let unused = records.candidates(&limits, now).into_iter().map(|it| it.unused.as_secs());
        assert_eq!(unused.collect::<Vec<_>>(), [400, 300, 200, 400, 300]);
        // In use again.
        records.see(&all, &set(&["c"]), &set(&[]), now);
        assert_eq!(ids(&records.candidates(&limits, now)), ["d", "e", "a", "b"]);
        records.gone("d");
        assert_eq!(ids(&records.candidates(&limits, now)), ["e", "a", "b"]);
        records.see(&all[..1], &set(&[]), &set(&[]), now);
        assert_eq!(ids(&records.candidates(&limits, now)), ["a"]);
    }

    #[test]
    fn what_is_pinned_new_or_wanted_stays() {
        let mut now = Instant::now();
        let mut records = Records::new(now);
        let limits = Limits::default();
        let pinned = v1::Image { pinned: true, ..image("pinned") };
        let mut all = vec![pinned, image("pause"), image("old"), image("wanted")];
        let see = |records: &mut Records, all: &[v1::Image], now| records.see(all, &set(&[]), &set(&["pause:1"]), now);
        see(&mut records, &all, now);
        assert_eq!(ids(&records.candidates(&limits, now)), ["old", "wanted"]);
        now += SECOND;
        records.want("wanted", now);
        all.push(image("new"));
        see(&mut records, &all, now);
        assert_eq!(ids(&records.candidates(&limits, now)), ["old"]);
        now += limits.minimum_age;
        see(&mut records, &all, now);
        assert_eq!(ids(&records.candidates(&limits, now)), ["old", "wanted", "new"]);
    }

    #[test]
    fn limits_that_make_no_sense_are_told() {
        let check = |high_percent, low_percent, expected: Option<&str>| {
            let limits = Limits { high_percent, low_percent, ..Limits::default() };
            assert_eq!(limits.check().err().map(|error| error.to_string()).as_deref(), expected);
        };
        check(85, 80, None);
        check(100, 0, None);
        check(101, 80, Some("imageGCHighThresholdPercent: 101 is more than 100"));
        check(80, 80, Some("imageGCLowThresholdPercent: 80 has to be lower than imageGCHighThresholdPercent, 80"));
    }
}
