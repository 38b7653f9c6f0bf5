//! What the scheduler knows of nodes and of the pods on them, laid out for deciding quickly, and kept by event.
//!
//! Whatever the order of events, the snapshot is what it would be if it were made anew of the nodes and pods that there
//! are. Nodes keep their index for as long as they exist, or pods say that they are on them. Adding or removing a pod
//! takes time proportional to what it requests and to the queries that count it; changing a node, to what it says of
//! itself; removing a node, or moving it to another zone, to the number of nodes.

mod affinity;
mod budget;
mod counts;
mod domains;
mod generations;
mod groups;
mod namespaced;
mod node;
mod nominated;
mod order;
mod owners;
mod pod;
mod pod_volumes;
mod ports;
mod queries;
mod resources;
mod scope;
pub mod storage;
mod taints;
mod wishes;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::{Node, Pod, ReplicationController, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;

pub use affinity::{AffinityTerm, Namespaces, PodAffinities, PodSet, Query, SpreadConstraint};
pub use budget::Budget;
pub use domains::{Domains, Tally};
pub use node::NodeInfo;
pub use owners::{Controller, ControllerKind};
pub use pod::{Needs, PodInfo, PreferredNodes};
pub use pod_volumes::{ClaimKey, Disk, Owner, PodClaim, PodVolumes};
pub use ports::{HostPort, TakenPorts};
pub use resources::{CPU, EPHEMERAL_STORAGE, MEMORY, NodeIndex, PODS, ResourceIndex, Resources};
pub use scope::Scope;
pub use storage::Storage;
pub use taints::{Taint, Toleration};
pub use wishes::{Wish, Wished};

pub(crate) use node::allocatable;
pub(crate) use pod::{is_placed, node_name, requested, required_features, required_nodes, same, tolerations};
pub(crate) use pod_volumes::claim_name;
pub(crate) use ports::of_pod as ports_of_pod;

use counts::Counts;
use generations::Generations;
use nominated::Nominated;
use order::Order;
use owners::Owners;

/// The labels whose values are domains to whoever does not say how pods are spread.
pub(crate) const DEFAULT_TOPOLOGIES: [&str; 2] = ["kubernetes.io/hostname", "topology.kubernetes.io/zone"];

/// A pod that is on a node, or will be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacedPod {
    /// Its identity.
    pub uid: String,
    /// Its name.
    pub name: String,
    /// What scheduling sees of it.
    pub info: Arc<PodInfo>,
    /// The node.
    pub node: NodeIndex,
    /// When it was started there.
    pub started: Option<Timestamp>,
    /// Whether it is being deleted.
    pub terminating: bool,
    /// Whether it is being deleted to make room for another.
    pub preempted: bool,
    /// Whether it was decided that it goes to the node, and the API does not say so yet.
    pub assumed: bool,
}

/// Nodes, and pods on nodes.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    resources: Resources,
    nodes: Vec<NodeInfo>,
    /// Raised whenever an index comes to mean another node.
    nodes_version: u64,
    by_name: HashMap<String, NodeIndex>,
    /// Indices that no node has.
    free: Vec<NodeIndex>,
    order: Order,
    pods: HashMap<String, Arc<PlacedPod>>,
    /// Pods that are about to be deleted, of which the API does not say so yet, as it says that they are.
    leaving: HashMap<String, Arc<PlacedPod>>,
    /// What is seen of pods, and how many pods have it.
    groups: HashMap<Arc<PodInfo>, usize>,
    /// On how many nodes there is an image of that name.
    images: HashMap<String, u32>,
    nominated: Nominated,
    generations: Generations,
    namespaces: Namespaces,
    /// By namespace and name.
    budgets: BTreeMap<(String, String), Budget>,
    counts: Counts,
    owners: Owners,
    storage: Storage,
}

impl Snapshot {
    /// The nodes that exist, in the order in which they are tried.
    #[must_use]
    pub fn order(&self) -> &[NodeIndex] {
        self.order.all()
    }

    /// What nodes have and what is requested of them.
    #[must_use]
    pub fn resources(&self) -> &Resources {
        &self.resources
    }

    /// A node.
    #[must_use]
    pub fn node(&self, index: NodeIndex) -> &NodeInfo {
        &self.nodes[index.get()]
    }

    /// The index of the node of that name, if it exists.
    #[must_use]
    pub fn index(&self, name: &str) -> Option<NodeIndex> {
        self.by_name.get(name).copied().filter(|index| self.node(*index).exists)
    }

    /// A number that is greater than every node's index.
    #[must_use]
    pub fn bound(&self) -> usize {
        self.nodes.len()
    }

    /// Differs if an index may mean another node than it did.
    #[must_use]
    pub fn nodes_version(&self) -> u64 {
        self.nodes_version
    }

    /// A number that a node that exists has until anything changes of what it is and of the pods on it. It does not tell of
    /// pods for which room is being made. Not zero, and never given twice, not even to different snapshots.
    #[must_use]
    pub fn generation(&self, node: NodeIndex) -> u64 {
        self.generations.of(node)
    }

    /// The same for what is told of resources' columns, of the number of nodes, and of how many have which image.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.generations.epoch()
    }

    /// The same for budgets.
    #[must_use]
    pub fn budgets_generation(&self) -> u64 {
        self.generations.budgets()
    }

    /// The pod, if it is on a node.
    #[must_use]
    pub fn pod(&self, uid: &str) -> Option<&Arc<PlacedPod>> {
        self.pods.get(uid)
    }

    /// On how many nodes there is an image of that name.
    #[must_use]
    pub fn nodes_with_image(&self, name: &str) -> u32 {
        self.images.get(name).copied().unwrap_or_default()
    }

    /// The labels of namespaces.
    #[must_use]
    pub fn namespaces(&self) -> &Namespaces {
        &self.namespaces
    }

    /// Keeps counted from now on what the pod's constraints are about. Decisions are the same without, but slower.
    pub fn watch(&mut self, pod: &PodInfo) {
        self.counts.watch(pod, &self.nodes, &self.namespaces);
        if pod.spread.is_empty()
            && let Some(query) = self.owners.learn(pod)
        {
            self.counts.watch_query(query, &self.nodes, &self.namespaces);
            for constraint in SpreadConstraint::system() {
                self.counts.watch_spread(pod, &constraint, query, [], &self.nodes);
            }
        }
    }

    /// Keeps nodes numbered from now on by their values of a label. Decisions are the same without, but slower.
    pub fn watch_topology(&mut self, key: &str) {
        self.counts.watch_domains(key, &self.nodes);
    }

    /// Among which pods the pod is spread if it does not say how: those that its Services and its controller select.
    /// None if there are no such.
    #[must_use]
    pub fn default_query(&self, pod: &PodInfo) -> Option<Cow<'_, Query>> {
        self.owners.query(pod)
    }

    /// A Service appeared or changed.
    pub fn set_service(&mut self, service: &Service) {
        self.owners.set_service(service);
    }

    /// A Service is gone.
    pub fn remove_service(&mut self, namespace: &str, name: &str) {
        self.owners.remove_service(namespace, name);
    }

    /// A ReplicationController appeared or changed.
    pub fn set_replication_controller(&mut self, controller: &ReplicationController) {
        self.owners.set_replication_controller(controller);
    }

    /// A ReplicaSet appeared or changed.
    pub fn set_replica_set(&mut self, set: &ReplicaSet) {
        self.owners.set_replica_set(set);
    }

    /// A StatefulSet appeared or changed.
    pub fn set_stateful_set(&mut self, set: &StatefulSet) {
        self.owners.set_stateful_set(set);
    }

    /// A controller is gone.
    pub fn remove_controller(&mut self, kind: ControllerKind, namespace: &str, name: &str) {
        self.owners.remove_controller(kind, namespace, name);
    }

    /// The nodes that exist by their values of a label.
    #[must_use]
    pub fn domains(&self, key: &str) -> Cow<'_, Domains> {
        self.counts.domains(key, &self.nodes)
    }

    /// How many pods on each node the query counts; for nodes beyond the end, none.
    #[must_use]
    pub fn count(&self, query: &Query) -> Cow<'_, [u32]> {
        self.counts.count(query, &self.nodes, &self.namespaces)
    }

    /// How many pods the query counts by the domains of a label, on the nodes of the scope.
    #[must_use]
    pub fn tally(&self, query: &Query, key: &str, scope: &Scope) -> Cow<'_, Tally> {
        self.counts.tally(query, key, scope, &self.nodes, &self.namespaces)
    }

    /// What pods on nodes want of others: each different wish once.
    pub fn wishes(&self) -> impl Iterator<Item = &Wished> {
        self.counts.wishes()
    }

    /// Those of the wishes that are about the pod.
    pub fn wishes_about(&self, pod: &PodInfo) -> impl Iterator<Item = &Wished> {
        self.counts.wishes_about(pod, &self.namespaces)
    }

    /// A namespace appeared or its labels changed.
    pub fn set_namespace(&mut self, name: &str, labels: BTreeMap<String, String>) {
        if self.namespaces.get(name) != Some(&labels) {
            self.namespaces.insert(name.to_owned(), labels);
            self.counts.recount(&self.nodes, &self.namespaces);
        }
    }

    /// A namespace is gone.
    pub fn remove_namespace(&mut self, name: &str) {
        if self.namespaces.remove(name).is_some() {
            self.counts.recount(&self.nodes, &self.namespaces);
        }
    }

    /// How many of which pods may be disrupted.
    pub fn budgets(&self) -> impl Iterator<Item = &Budget> + Clone {
        self.budgets.values()
    }

    /// A budget appeared or changed.
    pub fn set_budget(&mut self, budget: &PodDisruptionBudget) {
        let meta = &budget.metadata;
        let key = (meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default());
        self.budgets.insert(key, Budget::from(budget));
        self.generations.raise_budgets();
    }

    /// A budget is gone.
    pub fn remove_budget(&mut self, namespace: &str, name: &str) {
        self.budgets.remove(&(namespace.to_owned(), name.to_owned()));
        self.generations.raise_budgets();
    }

    /// The pods for which room is being made on the node.
    #[must_use]
    pub fn nominated(&self, node: NodeIndex) -> &[Arc<PlacedPod>] {
        self.nominated.on(node)
    }

    /// Whether there are any such pods.
    #[must_use]
    pub fn has_nominated(&self) -> bool {
        !self.nominated.is_empty()
    }

    /// Room is being made for the pod on the node of that name, if it exists, and nowhere else.
    pub fn nominate(&mut self, pod: &Pod, node: &str) {
        self.withdraw(uid(pod));
        let Some(index) = self.index(node) else { return };
        let placed = Arc::new(placed(pod, Arc::new(PodInfo::new(pod)), index, false));
        self.nominated.add(placed);
    }

    /// Room is being made for the pod no longer.
    pub fn withdraw(&mut self, uid: &str) {
        self.nominated.remove(uid);
    }

    /// A node appeared or changed.
    pub fn set_node(&mut self, node: &Node) {
        let Some(name) = &node.metadata.name else { return };
        let index = self.slot(name);
        let existed = self.nodes[index.get()].exists;
        let columns = self.resources.columns();
        self.counts.leave(index, &self.nodes);
        self.count_images(index, false);
        let images = std::mem::take(&mut self.nodes[index.get()].images);
        let info = &mut self.nodes[index.get()];
        let zone = |info: &NodeInfo| (info.zone().0.to_owned(), info.zone().1.to_owned());
        let before = zone(info);
        info.describe(node);
        if !existed || before != zone(info) {
            if existed {
                self.order.remove(index);
            }
            self.order.add(index, info.zone());
        }
        self.count_images(index, true);
        let other_images = !self.nodes[index.get()].images.keys().eq(images.keys());
        self.resources.set_allocatable(index, &allocatable(node));
        self.counts.enter(index, &self.nodes);
        self.generations.raise(index);
        if !existed || other_images || columns != self.resources.columns() {
            self.generations.raise_epoch();
        }
    }

    /// A node is gone.
    pub fn remove_node(&mut self, name: &str) {
        let Some(index) = self.index(name) else { return };
        self.count_images(index, false);
        self.order.remove(index);
        self.nominated.clear(index);
        self.counts.leave(index, &self.nodes);
        self.nodes[index.get()].vanish();
        self.resources.set_allocatable(index, &[]);
        self.counts.enter(index, &self.nodes);
        self.generations.raise(index);
        self.generations.raise_epoch();
        self.free_if_unused(index);
    }

    /// A pod appeared or changed. It counts if it has a node and has not ended.
    pub fn set_pod(&mut self, pod: &Pod) {
        let ended = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        let ended = matches!(ended, Some("Succeeded" | "Failed"));
        match node_name(pod) {
            Some(node) if !ended => self.place(pod, node, false),
            // What is decided stays so until the API says otherwise of the pod's node, or that there is no such pod.
            None if !ended && self.pods.get(uid(pod)).is_some_and(|known| known.assumed) => {}
            _ => self.remove_pod(uid(pod)),
        }
    }

    /// It was decided that the pod goes to that node.
    pub fn assume(&mut self, pod: &Pod, node: &str) {
        self.place(pod, node, true);
    }

    /// The pod is about to be deleted to make room for another, or is not after all. What the API says of it meanwhile
    /// counts, and stays.
    pub fn set_leaving(&mut self, uid: &str, leaving: bool) {
        if !leaving {
            if let Some(before) = self.leaving.remove(uid) {
                self.replace(before);
            }
            return;
        }
        let Some(placed) = self.pods.get(uid).filter(|placed| !placed.preempted).cloned() else { return };
        let changed = Arc::new(PlacedPod { terminating: true, preempted: true, ..PlacedPod::clone(&placed) });
        self.leaving.insert(uid.to_owned(), placed);
        self.replace(changed);
    }

    /// A pod that stays where it is, and takes what it takes, looks like this now.
    fn replace(&mut self, changed: Arc<PlacedPod>) {
        let Some(known) = self.pods.get_mut(&changed.uid) else { return };
        self.counts.set_pod(known, false, &self.nodes, &self.namespaces);
        self.counts.set_pod(&changed, true, &self.nodes, &self.namespaces);
        let pods = &mut self.nodes[changed.node.get()].pods;
        if let Some(there) = pods.iter_mut().rfind(|other| Arc::ptr_eq(other, known)) {
            *there = Arc::clone(&changed);
        }
        self.generations.raise(changed.node);
        *known = changed;
    }

    /// A pod is gone, or does not go where it was decided that it goes.
    pub fn remove_pod(&mut self, uid: &str) {
        let Some(pod) = self.pods.remove(uid) else { return };
        self.leaving.remove(uid);
        let node = &mut self.nodes[pod.node.get()];
        // Who came last often goes first.
        if let Some(position) = node.pods.iter().rposition(|other| Arc::ptr_eq(other, &pod)) {
            node.pods.remove(position);
        }
        node.ports.release(&pod.info.host_ports);
        self.generations.raise(pod.node);
        self.resources.request(pod.node, &pod.info.requests, pod.info.presumed, -1);
        if let Some(volumes) = &pod.info.volumes {
            self.storage.place(volumes, &node.name, false);
        }
        self.counts.set_pod(&pod, false, &self.nodes, &self.namespaces);
        if let Some(count) = self.groups.get_mut(&pod.info) {
            *count -= 1;
            if *count == 0 {
                self.groups.remove(&pod.info);
                self.counts.forget(&pod.info);
            }
        }
        self.free_if_unused(pod.node);
    }

    fn place(&mut self, pod: &Pod, node: &str, assumed: bool) {
        self.withdraw(uid(pod));
        self.leaving.remove(uid(pod));
        let mut info = PodInfo::new(pod);
        // Where it is, is not what scheduling sees of it: it would set apart pods that are alike.
        info.node_name = None;
        if let (Some(known), Some(index)) = (self.pods.get_mut(uid(pod)), self.by_name.get(node))
            && known.node == *index
            && *known.info == info
        {
            let placed = placed(pod, Arc::clone(&known.info), *index, assumed);
            if **known == placed {
                // Most changes of pods are of no matter to scheduling.
                return;
            }
            if known.terminating == placed.terminating {
                // It counts as it did before.
                let placed = Arc::new(placed);
                let pods = &mut self.nodes[index.get()].pods;
                if let Some(there) = pods.iter_mut().rfind(|other| Arc::ptr_eq(other, known)) {
                    *there = Arc::clone(&placed);
                }
                *known = placed;
                self.generations.raise(*index);
                return;
            }
        }
        self.remove_pod(uid(pod));
        let index = self.slot(node);
        let placed = Arc::new(placed(pod, self.group(info), index, assumed));
        let node = &mut self.nodes[index.get()];
        node.ports.take(&placed.info.host_ports);
        node.pods.push(Arc::clone(&placed));
        let columns = self.resources.columns();
        self.resources.request(index, &placed.info.requests, placed.info.presumed, 1);
        if columns != self.resources.columns() {
            self.generations.raise_epoch();
        }
        self.generations.raise(index);
        if let Some(volumes) = &placed.info.volumes {
            self.storage.place(volumes, &node.name, true);
        }
        self.counts.set_pod(&placed, true, &self.nodes, &self.namespaces);
        self.pods.insert(placed.uid.clone(), placed);
    }

    /// The one copy of what is seen of pods such as this one, which counts one more.
    fn group(&mut self, info: PodInfo) -> Arc<PodInfo> {
        let known = self.groups.get_key_value(&info).map(|(known, _)| Arc::clone(known));
        let info = known.unwrap_or_else(|| Arc::new(info));
        *self.groups.entry(Arc::clone(&info)).or_default() += 1;
        info
    }

    /// The index of the node of that name, which it gets if it has none.
    fn slot(&mut self, name: &str) -> NodeIndex {
        if let Some(known) = self.by_name.get(name) {
            return *known;
        }
        let index = self.free.pop().unwrap_or_else(|| {
            self.nodes.push(NodeInfo::default());
            self.resources.push_node();
            NodeIndex::new(self.nodes.len() - 1)
        });
        self.nodes_version += 1;
        self.nodes[index.get()].name = name.to_owned();
        self.by_name.insert(name.to_owned(), index);
        index
    }

    fn free_if_unused(&mut self, index: NodeIndex) {
        let node = &mut self.nodes[index.get()];
        if !node.exists && node.pods.is_empty() {
            self.by_name.remove(&node.name);
            *node = NodeInfo::default();
            self.free.push(index);
        }
    }

    fn count_images(&mut self, index: NodeIndex, there: bool) {
        for name in self.nodes[index.get()].images.keys() {
            if there {
                *self.images.entry(name.clone()).or_default() += 1;
            } else if let Some(count) = self.images.get_mut(name) {
                *count -= 1;
                if *count == 0 {
                    self.images.remove(name);
                }
            }
        }
    }
}

fn placed(pod: &Pod, info: Arc<PodInfo>, node: NodeIndex, assumed: bool) -> PlacedPod {
    let terminating = pod.metadata.deletion_timestamp.is_some();
    let mut conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let disruption = conditions.find(|condition| condition.type_ == "DisruptionTarget");
    let for_another = disruption.is_some_and(|condition| {
        condition.status == "True" && condition.reason.as_deref() == Some("PreemptionByScheduler")
    });
    PlacedPod {
        uid: uid(pod).to_owned(),
        name: pod.metadata.name.clone().unwrap_or_default(),
        info,
        node,
        started: pod.status.as_ref().and_then(|status| status.start_time.as_ref()).map(|time| time.0),
        terminating,
        preempted: terminating && for_another,
        assumed,
    }
}

fn uid(pod: &Pod) -> &str {
    pod.metadata.uid.as_deref().unwrap_or_default()
}

#[cfg(test)]
mod tests;
