//! Why the newest pods went where they went, or went nowhere: what each plugin said of each node.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::cycle::Verdicts;
use crate::snapshot::{NodeIndex, Snapshot};

/// Of how many pods decisions are kept.
const MOST_PODS: usize = 10_000;
/// How many verdicts on single nodes are kept, in all. Each takes eight bytes.
const MOST_VERDICTS: usize = 500_000;

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The pod goes to the node of this name.
    Scheduled(String),
    /// It goes nowhere, for this reason.
    Refused(String),
}

/// What was decided of a pod, the last time.
#[derive(Clone, Debug)]
pub struct Record {
    /// Its namespace and name.
    pub pod: (String, String),
    /// When, counted from when the scheduler began.
    pub at: Duration,
    /// What came of it.
    pub outcome: Outcome,
    /// How many nodes were tried.
    pub evaluated: usize,
    /// How many of them were feasible.
    pub feasible: usize,
    verdicts: Verdicts,
    /// The names of the nodes at that time, by index.
    names: Arc<[Arc<str>]>,
}

impl Record {
    pub(super) fn new(
        pod: (String, String),
        at: Duration,
        outcome: Outcome,
        counts: (usize, usize),
        verdicts: Verdicts,
    ) -> Record {
        let (evaluated, feasible) = counts;
        Record { pod, at, outcome, evaluated, feasible, verdicts, names: Arc::default() }
    }

    /// What was said of the pod itself or of all nodes.
    #[must_use]
    pub fn verdicts(&self) -> &Verdicts {
        &self.verdicts
    }

    /// Which plugin rejected which node, and why.
    pub fn rejections(&self) -> impl Iterator<Item = (&str, &'static str, Vec<&str>)> {
        self.verdicts.rejections.iter().map(|(node, verdict)| {
            let (plugin, reasons) = self.verdicts.explain(verdict);
            (self.name(*node), plugin, reasons.collect())
        })
    }

    fn name(&self, node: NodeIndex) -> &str {
        self.names.get(node.get()).map_or("", |name| name)
    }

    /// What it takes of the bound.
    fn size(&self) -> usize {
        self.verdicts.rejections.len()
    }
}

/// The newest decisions, within a bound.
#[derive(Debug, Default)]
pub struct Decisions {
    /// By uid.
    records: HashMap<String, (u64, Record)>,
    by_age: BTreeMap<u64, String>,
    next: u64,
    verdicts: usize,
    /// The names of nodes, and for which version of the snapshot's nodes they are.
    names: (u64, Arc<[Arc<str>]>),
}

impl Decisions {
    /// What was decided of the pod with that uid, the last time, if that is still known.
    #[must_use]
    pub fn of(&self, uid: &str) -> Option<&Record> {
        self.records.get(uid).map(|(_, record)| record)
    }

    /// Of how many pods something is known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    pub(super) fn note(&mut self, snapshot: &Snapshot, uid: &str, mut record: Record) {
        if self.names.0 != snapshot.nodes_version() || self.names.1.len() != snapshot.bound() {
            let known = &self.names.1;
            let name = |index: NodeIndex| {
                let name = snapshot.node(index).name.as_str();
                known.get(index.get()).filter(|known| ***known == *name).map_or_else(|| name.into(), Arc::clone)
            };
            let names = (0..snapshot.bound()).map(|position| name(NodeIndex::new(position))).collect();
            self.names = (snapshot.nodes_version(), names);
        }
        record.names = Arc::clone(&self.names.1);
        self.forget(uid);
        self.verdicts += record.size();
        self.by_age.insert(self.next, uid.to_owned());
        self.records.insert(uid.to_owned(), (self.next, record));
        self.next += 1;
        while self.records.len() > MOST_PODS || (self.verdicts > MOST_VERDICTS && self.records.len() > 1) {
            let Some((_, oldest)) = self.by_age.first_key_value() else { return };
            let oldest = oldest.clone();
            self.forget(&oldest);
        }
    }

    pub(super) fn forget(&mut self, uid: &str) {
        if let Some((age, record)) = self.records.remove(uid) {
            self.by_age.remove(&age);
            self.verdicts -= record.size();
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing;

    fn record() -> Record {
        Record::new(
            (String::new(), String::new()),
            Duration::ZERO,
            Outcome::Refused(String::new()),
            (1, 0),
            Verdicts::default(),
        )
    }

    #[test]
    fn the_newest_are_kept() {
        let snapshot = testing::snapshot(&[testing::node("n", json!({}))], &[]);
        let mut decisions = Decisions::default();
        assert!(decisions.is_empty());
        for i in 0..=MOST_PODS {
            decisions.note(&snapshot, &i.to_string(), record());
        }
        assert_eq!(
            (decisions.len(), decisions.of("0").is_none(), decisions.of("1").is_some()),
            (MOST_PODS, true, true)
        );
        decisions.note(&snapshot, "1", record());
        decisions.note(&snapshot, "new", record());
        assert!(decisions.of("1").is_some(), "it is among the newest again");
        decisions.forget("1");
        assert!(decisions.of("1").is_none());
    }
}
