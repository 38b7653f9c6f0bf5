//! How full a node would be with a pod on it, as the scores of resources look at it.

use crate::cycle::MAX_SCORE;
use crate::snapshot::{CPU, MEMORY, NodeIndex, PODS, PodInfo, ResourceIndex, Snapshot};

/// A resource that is looked at, and how much it counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightedResource {
    /// The name of the resource.
    pub name: String,
    /// How much it counts, beside other resources.
    pub weight: i64,
}

/// CPU and memory, which count the same.
#[must_use]
pub fn default_resources() -> Vec<WeightedResource> {
    ["cpu", "memory"].map(|name| WeightedResource { name: name.to_owned(), weight: 1 }).into()
}

/// What a node would have of a resource, and what would be requested of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) allocatable: i64,
    /// Without the pod.
    pub(super) before: i64,
    /// With the pod.
    pub(super) requested: i64,
    pub(super) weight: i64,
}

/// The resources that are looked at for a pod, looked up once.
pub(super) struct Looked<'a> {
    snapshot: &'a Snapshot,
    /// Column, request and weight.
    resources: Vec<(ResourceIndex, i64, i64)>,
    presume: bool,
}

impl<'a> Looked<'a> {
    /// If `presume`, containers without a request count as if they had a small one. Resources other than the basic ones
    /// are looked at only if the pod requests them.
    pub(super) fn at(snapshot: &'a Snapshot, pod: &PodInfo, resources: &[WeightedResource], presume: bool) -> Self {
        let look = |resource: &WeightedResource| {
            let index = snapshot.resources().index(&resource.name)?;
            let request = match index {
                CPU if presume => pod.presumed[0],
                MEMORY if presume => pod.presumed[1],
                PODS => return None,
                _ => pod.requested(&resource.name),
            };
            let basic = !resource.name.contains('/') && !resource.name.starts_with("hugepages-");
            (basic || request != 0).then_some((index, request, resource.weight))
        };
        Self { snapshot, resources: resources.iter().filter_map(look).collect(), presume }
    }

    /// Whether the pod requests none of them.
    pub(super) fn requests_nothing(&self) -> bool {
        self.resources.iter().all(|(_, request, _)| *request == 0)
    }

    /// What would be, of each resource that the node has.
    pub(super) fn usages(&self, node: NodeIndex) -> impl Iterator<Item = Usage> {
        let columns = self.snapshot.resources();
        let usage = move |(index, request, weight): &(ResourceIndex, i64, i64)| {
            let before = if self.presume { columns.presumed(*index, node) } else { columns.requested(*index, node) };
            let allocatable = columns.allocatable(*index, node);
            Usage { allocatable, before, requested: before.saturating_add(*request), weight: *weight }
        };
        self.resources.iter().map(usage).filter(|usage| usage.allocatable != 0)
    }
}

/// `part` of `whole`, of [`MAX_SCORE`]; `part` is from zero to `whole`.
pub(super) fn share(part: i64, whole: i64) -> i64 {
    let whole = whole.max(1);
    if let Some(scaled) = part.checked_mul(MAX_SCORE) {
        return scaled / whole;
    }
    let scaled = i128::from(part) * i128::from(MAX_SCORE) / i128::from(whole);
    i64::try_from(scaled).unwrap_or(MAX_SCORE)
}
