//! How much a node has left, by figures. Pure.

use std::collections::BTreeMap;

use api::quantity::{Format, Quantity};
use jiff::Timestamp;

use super::Signal;
use crate::stats::{Filesystem, NodeFigures};

/// How much a node has left of something.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// What is left.
    pub available: Quantity,
    /// What there is in all.
    pub capacity: i64,
    /// When that was so.
    pub at: Timestamp,
}

/// How much a node has left of everything that figures tell.
pub(super) fn of(node: &NodeFigures) -> BTreeMap<Signal, Observation> {
    let mut observed = BTreeMap::new();
    if let Some(memory) = node.memory
        && let Some(available) = memory.available
    {
        let capacity = available.saturating_add(memory.working_set);
        observed.insert(Signal::Memory, observation(available, capacity, memory.at, Format::BinarySi));
    }
    let filesystems = [
        (node.filesystem, Signal::NodeBytes, Signal::NodeInodes),
        (node.images, Signal::ImageBytes, Signal::ImageInodes),
    ];
    for (filesystem, bytes, inodes) in filesystems {
        let Some(Filesystem { at, available, capacity, inodes_free, inodes: all, .. }) = filesystem else { continue };
        observed.insert(bytes, observation(available, capacity, at, Format::BinarySi));
        // A file system that makes inodes as they are needed says that it has none.
        if all > 0 {
            observed.insert(inodes, observation(inodes_free, all, at, Format::DecimalSi));
        }
    }
    if let Some(processes) = node.processes {
        let available = processes.most.saturating_sub(processes.running);
        observed.insert(Signal::Processes, observation(available, processes.most, processes.at, Format::DecimalSi));
    }
    observed
}

fn observation(available: u64, capacity: u64, at: Timestamp, format: Format) -> Observation {
    Observation { available: Quantity::new(whole(available), format), capacity: whole(capacity), at }
}

/// A count as quantities have it.
pub(super) fn whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
