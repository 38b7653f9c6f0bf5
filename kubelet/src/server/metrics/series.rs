//! Figures by their labels.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;

use crate::server::exposition::{Kind, Text};

/// What figures are counted under for which there is no room.
const OTHER: &str = "other";

type Labels = Vec<String>;

fn owned(values: &[&str]) -> Labels {
    values.iter().map(|value| (*value).to_owned()).collect()
}

/// The key to count under: that of `values`, or `other` where there would be more than `most`.
fn key<V>(known: &BTreeMap<Labels, V>, values: &[&str], most: usize) -> Labels {
    let key = owned(values);
    if known.len() < most || known.contains_key(&key) { key } else { owned(&vec![OTHER; values.len()]) }
}

/// One number for each set of labels.
#[derive(Debug)]
pub struct Series {
    labels: &'static [&'static str],
    most: usize,
    values: Mutex<BTreeMap<Labels, f64>>,
}

impl Series {
    /// With the names of the labels, and at most `most` sets of them and one more for all others.
    pub(super) fn new(labels: &'static [&'static str], most: usize) -> Series {
        Series { labels, most, values: Mutex::default() }
    }

    /// Adds to the number of some labels, of which there are as many as there are names; otherwise nothing happens.
    pub fn add(&self, labels: &[&str], amount: f64) {
        if labels.len() != self.labels.len() {
            return;
        }
        let mut values = self.values.lock();
        let key = key(&values, labels, self.most);
        *values.entry(key).or_default() += amount;
    }

    /// Makes this the number of what has no labels; where there have to be some, nothing happens.
    pub fn set(&self, value: f64) {
        if self.labels.is_empty() {
            self.values.lock().insert(Labels::new(), value);
        }
    }

    /// Forgets the labels that are not to be kept.
    pub(super) fn retain(&self, keep: impl Fn(&[String]) -> bool) {
        self.values.lock().retain(|labels, _| keep(labels));
    }

    pub(in crate::server) fn write(&self, text: &mut Text, name: &str, kind: Kind, help: &str) {
        let values = self.values.lock();
        if values.is_empty() && !self.labels.is_empty() {
            return;
        }
        text.metric(name, kind, help);
        if values.is_empty() {
            text.sample(name, &[], 0.0, None);
        }
        for (labels, value) in values.iter() {
            text.sample(name, &paired(self.labels, labels), *value, None);
        }
    }
}

fn paired<'a>(names: &'a [&'static str], values: &'a [String]) -> Vec<(&'a str, &'a str)> {
    names.iter().copied().zip(values.iter().map(String::as_str)).collect()
}

/// How often durations were up to some bounds, for each set of labels.
#[derive(Debug)]
pub struct Histogram {
    labels: &'static [&'static str],
    /// In seconds, ascending.
    bounds: &'static [f64],
    most: usize,
    values: Mutex<BTreeMap<Labels, Observed>>,
}

#[derive(Debug)]
struct Observed {
    /// How many were in each bucket and in no lower one; the last is for those beyond all bounds.
    counts: Vec<u64>,
    sum: f64,
}

impl Histogram {
    /// With the names of the labels, and bounds in seconds, and at most `most` sets of labels and one more for all others.
    pub(super) fn new(labels: &'static [&'static str], bounds: &'static [f64], most: usize) -> Histogram {
        Histogram { labels, bounds, most, values: Mutex::default() }
    }

    /// Counts a duration under some labels, of which there are as many as there are names; otherwise nothing happens.
    pub fn observe(&self, labels: &[&str], took: Duration) {
        if labels.len() != self.labels.len() {
            return;
        }
        let took = took.as_secs_f64();
        let bucket = self.bounds.iter().position(|bound| took <= *bound).unwrap_or(self.bounds.len());
        let mut values = self.values.lock();
        let key = key(&values, labels, self.most);
        let none = || Observed { counts: vec![0; self.bounds.len() + 1], sum: 0.0 };
        let observed = values.entry(key).or_insert_with(none);
        observed.counts[bucket] += 1;
        observed.sum += took;
    }

    /// Forgets the labels that are not to be kept.
    pub(super) fn retain(&self, keep: impl Fn(&[String]) -> bool) {
        self.values.lock().retain(|labels, _| keep(labels));
    }

    pub(in crate::server) fn write(&self, text: &mut Text, name: &str, help: &str) {
        let values = self.values.lock();
        if values.is_empty() {
            return;
        }
        text.metric(name, Kind::Histogram, help);
        let (buckets, sum, count) = (format!("{name}_bucket"), format!("{name}_sum"), format!("{name}_count"));
        for (labels, observed) in values.iter() {
            let labels = paired(self.labels, labels);
            let mut below = 0;
            for (index, in_bucket) in observed.counts.iter().enumerate() {
                below += in_bucket;
                let bound = self.bounds.get(index).map_or_else(|| "+Inf".to_owned(), f64::to_string);
                let mut labels = labels.clone();
                labels.push(("le", &bound));
                text.sample(&buckets, &labels, below as f64, None);
            }
            text.sample(&sum, &labels, observed.sum, None);
            text.sample(&count, &labels, below as f64, None);
        }
    }
}
