//! What nodes have and what is requested of them, in flat columns: one array a resource, indexed by node.
//!
//! Amounts are in thousandths for cpu and in units for everything else. Comparing a pod with a node reads two numbers
//! for each resource that the pod requests, whatever else the node has. A resource becomes a column when a node or a pod
//! first names it, and stays one. A column of which few nodes have anything holds these nodes alone, since there may be as
//! many such resources as nodes.

use std::collections::{BTreeMap, HashMap};

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

/// What a node has of a resource, and what pods on it request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Amounts {
    allocatable: i64,
    requested: i64,
}

/// So many nodes, and one in [`SPARSE`] of all, may have something of a resource before its column is flat.
const FEW: usize = 16;
const SPARSE: usize = 8;

/// The amounts of one resource, by node. They are zero where nothing is said.
#[derive(Clone, Debug)]
enum Column {
    Flat(Vec<Amounts>),
    Sparse(BTreeMap<NodeIndex, Amounts>),
}

impl Column {
    fn get(&self, node: NodeIndex) -> Amounts {
        match self {
            Column::Flat(amounts) => amounts.get(node.get()).copied(),
            Column::Sparse(amounts) => amounts.get(&node).copied(),
        }
        .unwrap_or_default()
    }

    /// Changes the amounts of one of so many nodes.
    fn change(&mut self, node: NodeIndex, nodes: usize, change: impl FnOnce(&mut Amounts)) {
        if let Column::Sparse(sparse) = self
            && sparse.len() > FEW.max(nodes / SPARSE)
        {
            let mut flat = vec![Amounts::default(); nodes];
            sparse.iter().for_each(|(node, amounts)| flat[node.get()] = *amounts);
            *self = Column::Flat(flat);
        }
        match self {
            Column::Flat(amounts) => {
                if amounts.len() <= node.get() {
                    amounts.resize(nodes, Amounts::default());
                }
                change(&mut amounts[node.get()]);
            }
            Column::Sparse(amounts) => {
                let entry = amounts.entry(node).or_default();
                change(entry);
                if *entry == Amounts::default() {
                    amounts.remove(&node);
                }
            }
        }
    }
}

/// Columns of all resources.
#[derive(Clone, Debug)]
pub struct Resources {
    indices: HashMap<String, ResourceIndex>,
    columns: Vec<Column>,
    /// The columns of which each node has something.
    of_node: Vec<Vec<ResourceIndex>>,
    /// Requests of cpu and of memory, where containers without a request count as if they had a small one.
    presumed: [Vec<i64>; 2],
}

impl Default for Resources {
    fn default() -> Self {
        let indices = FIRST_NAMES.iter().enumerate().map(|(i, name)| ((*name).to_owned(), ResourceIndex(i))).collect();
        let columns = vec![Column::Flat(Vec::new()); FIRST_NAMES.len()];
        Self { indices, columns, of_node: Vec::new(), presumed: Default::default() }
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
        self.columns[resource.0].get(node).allocatable
    }

    /// How much pods on the node request of a resource.
    #[must_use]
    pub fn requested(&self, resource: ResourceIndex, node: NodeIndex) -> i64 {
        self.columns[resource.0].get(node).requested
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
        self.columns.push(Column::Sparse(BTreeMap::new()));
        self.indices.insert(name.to_owned(), new);
        new
    }

    /// Makes room for a node after the last.
    pub(super) fn push_node(&mut self) {
        self.of_node.push(Vec::new());
        for column in &mut self.presumed {
            column.push(0);
        }
    }

    /// Sets all that a node has.
    pub(super) fn set_allocatable(&mut self, node: NodeIndex, amounts: &[(String, i64)]) {
        for resource in std::mem::take(&mut self.of_node[node.get()]) {
            self.change(resource, node, |amounts| amounts.allocatable = 0);
        }
        for (name, amount) in amounts {
            let resource = self.intern(name);
            self.change(resource, node, |amounts| amounts.allocatable = *amount);
            self.of_node[node.get()].push(resource);
        }
    }

    /// Adds `sign` times these requests to those of a node, one pod included.
    pub(super) fn request(&mut self, node: NodeIndex, requests: &[(String, i64)], presumed: [i64; 2], sign: i64) {
        let add = |sum: &mut i64, amount: i64| *sum = sum.wrapping_add(amount.wrapping_mul(sign));
        for (name, amount) in requests {
            let resource = self.intern(name);
            self.change(resource, node, |amounts| add(&mut amounts.requested, *amount));
        }
        self.change(PODS, node, |amounts| add(&mut amounts.requested, 1));
        for (column, amount) in self.presumed.iter_mut().zip(presumed) {
            add(&mut column[node.get()], amount);
        }
    }

    fn change(&mut self, resource: ResourceIndex, node: NodeIndex, change: impl FnOnce(&mut Amounts)) {
        let nodes = self.of_node.len();
        self.columns[resource.0].change(node, nodes, change);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_become_flat_when_many_nodes_have_something() {
        let mut resources = Resources::default();
        let nodes: Vec<NodeIndex> = (0..100).map(NodeIndex::new).collect();
        nodes.iter().for_each(|_| resources.push_node());
        for (i, node) in nodes.iter().enumerate() {
            resources.set_allocatable(*node, &[("a".to_owned(), 5), (format!("only-{i}"), 1)]);
            resources.request(*node, &[("a".to_owned(), 2)], [0, 0], 1);
        }
        let (all, one) = (resources.index("a").unwrap(), resources.index("only-7").unwrap());
        let at = |node: usize| {
            let node = nodes[node];
            (resources.allocatable(all, node), resources.requested(all, node), resources.allocatable(one, node))
        };
        assert_eq!([at(0), at(7), at(99)], [(5, 2, 0), (5, 2, 1), (5, 2, 0)]);
        assert!(matches!(resources.columns[all.0], Column::Flat(_)));
        assert!(matches!(&resources.columns[one.0], Column::Sparse(amounts) if amounts.len() == 1));
        resources.set_allocatable(nodes[7], &[]);
        assert!(matches!(&resources.columns[one.0], Column::Sparse(amounts) if amounts.is_empty()));
        assert_eq!((resources.allocatable(all, nodes[7]), resources.requested(all, nodes[7])), (0, 2));
    }
}
