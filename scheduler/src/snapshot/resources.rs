//! What nodes have and what is requested of them, in flat columns: one array a resource, indexed by node.
//!
//! Amounts are in thousandths for cpu and in units for everything else. Comparing a pod with a node reads two numbers
//! for each resource that the pod requests, whatever else the node has. A resource becomes a column when a node or a pod
//! first names it, and stays one.

use std::collections::HashMap;

/// The position of a node in every array that is indexed by node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeIndex(pub(crate) u32);

impl NodeIndex {
    pub(crate) fn new(position: usize) -> Self {
        Self(u32::try_from(position).expect("there are fewer nodes than 2^32"))
    }

    pub(crate) fn get(self) -> usize {
        self.0 as usize
    }
}

/// The position of a resource's column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ResourceIndex(usize);

/// CPU, in thousandths.
pub const CPU: ResourceIndex = ResourceIndex(0);
/// Memory, in bytes.
pub const MEMORY: ResourceIndex = ResourceIndex(1);
/// Local storage, in bytes.
pub const EPHEMERAL_STORAGE: ResourceIndex = ResourceIndex(2);
/// Pods, of which each requests one.
pub const PODS: ResourceIndex = ResourceIndex(3);

const FIRST_NAMES: [&str; 4] = ["cpu", "memory", "ephemeral-storage", "pods"];

/// What nodes have of one resource, and what pods on them request of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Column {
    allocatable: Vec<i64>,
    requested: Vec<i64>,
}

/// Columns of all resources.
#[derive(Clone, Debug)]
pub struct Resources {
    indices: HashMap<String, ResourceIndex>,
    columns: Vec<Column>,
    /// Requests of cpu and of memory, where containers without a request count as if they had a small one.
    presumed: [Vec<i64>; 2],
    nodes: usize,
}

impl Default for Resources {
    fn default() -> Self {
        let indices = FIRST_NAMES.iter().enumerate().map(|(i, name)| ((*name).to_owned(), ResourceIndex(i))).collect();
        Self { indices, columns: vec![Column::default(); FIRST_NAMES.len()], presumed: Default::default(), nodes: 0 }
    }
}

impl Resources {
    /// The column of a resource, if a node or a pod on a node ever named it.
    #[must_use]
    pub fn index(&self, name: &str) -> Option<ResourceIndex> {
        self.indices.get(name).copied()
    }

    /// How much a node has of a resource for pods.
    #[must_use]
    pub fn allocatable(&self, resource: ResourceIndex, node: NodeIndex) -> i64 {
        self.columns[resource.0].allocatable[node.get()]
    }

    /// How much pods on the node request of a resource.
    #[must_use]
    pub fn requested(&self, resource: ResourceIndex, node: NodeIndex) -> i64 {
        self.columns[resource.0].requested[node.get()]
    }

    /// The same, where of cpu and memory containers without a request count as if they had a small one.
    #[must_use]
    pub fn presumed(&self, resource: ResourceIndex, node: NodeIndex) -> i64 {
        self.presumed.get(resource.0).map_or_else(|| self.requested(resource, node), |column| column[node.get()])
    }

    /// How many columns there are.
    pub(super) fn columns(&self) -> usize {
        self.columns.len()
    }

    /// The column of a resource, which becomes one if it is none yet.
    pub(super) fn intern(&mut self, name: &str) -> ResourceIndex {
        if let Some(known) = self.index(name) {
            return known;
        }
        let new = ResourceIndex(self.columns.len());
        self.columns.push(Column { allocatable: vec![0; self.nodes], requested: vec![0; self.nodes] });
        self.indices.insert(name.to_owned(), new);
        new
    }

    /// Makes room for a node after the last.
    pub(super) fn push_node(&mut self) {
        self.nodes += 1;
        for column in &mut self.columns {
            column.allocatable.push(0);
            column.requested.push(0);
        }
        for column in &mut self.presumed {
            column.push(0);
        }
    }

    /// Sets all that a node has.
    pub(super) fn set_allocatable(&mut self, node: NodeIndex, amounts: &[(String, i64)]) {
        for column in &mut self.columns {
            column.allocatable[node.get()] = 0;
        }
        for (name, amount) in amounts {
            let resource = self.intern(name);
            self.columns[resource.0].allocatable[node.get()] = *amount;
        }
    }

    /// Adds `sign` times these requests to those of a node, one pod included.
    pub(super) fn request(&mut self, node: NodeIndex, requests: &[(String, i64)], presumed: [i64; 2], sign: i64) {
        let add = |sum: &mut i64, amount: i64| *sum = sum.wrapping_add(amount.wrapping_mul(sign));
        for (name, amount) in requests {
            let resource = self.intern(name);
            add(&mut self.columns[resource.0].requested[node.get()], *amount);
        }
        add(&mut self.columns[PODS.0].requested[node.get()], 1);
        for (column, amount) in self.presumed.iter_mut().zip(presumed) {
            add(&mut column[node.get()], amount);
        }
    }
}
