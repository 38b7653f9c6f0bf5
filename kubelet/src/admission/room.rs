//! What a pod requests beyond what a node has left.

use std::fmt;

use api::pod_resources::{self, List, Options};
use api::quantity::Quantity;
use k8s_openapi::api::core::v1::Pod;

/// That a node has too little of something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lack {
    /// What.
    pub(super) resource: String,
    /// How much the pod requests: thousandths of CPU, and units of everything else.
    pub(super) requested: i64,
    /// How much the others request.
    pub(super) used: i64,
    /// How much there is.
    pub(super) capacity: i64,
}

impl Lack {
    /// How much is missing.
    pub(super) fn missing(&self) -> i64 {
        self.requested - (self.capacity - self.used)
    }
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Lack { resource, requested, used, capacity } = self;
        let numbers = format_args!("requested: {requested}, used: {used}, capacity: {capacity}");
        write!(f, "Node didn't have enough resource: {resource}, {numbers}")
    }
}

/// How much of something is in a list: thousandths of CPU, and units of everything else.
pub(super) fn amount(list: &List, resource: &str) -> i64 {
    let count = if resource == "cpu" { Quantity::milli_value } else { Quantity::value };
    list.get(resource).map_or(0, count)
}

/// How much of something a pod requests. Each is one of the `pods`.
pub(super) fn requested(pod: &Pod, resource: &str) -> i64 {
    if resource == "pods" { 1 } else { amount(&pod_resources::requests(pod, Options::default()), resource) }
}

/// What a node has too little of for a pod besides the others, in upstream's order: the number of pods, CPU, memory,
/// ephemeral storage, all else by name. What others were given or still have counts, if it is more than they want by now.
pub(super) fn lacks(pod: &Pod, others: &[&Pod], allocatable: &List) -> Vec<Lack> {
    let wanted = pod_resources::requests(pod, Options::default());
    let mut taken = List::new();
    for other in others {
        pod_resources::add(&mut taken, &pod_resources::requests(other, Options { status: true, ..Options::default() }));
    }
    let number = i64::try_from(others.len()).unwrap_or(i64::MAX);
    let mut lacks = Vec::new();
    let mut check = |resource: &str, requested: i64, used: i64| {
        let capacity = amount(allocatable, resource);
        if requested > 0 && requested > capacity - used {
            lacks.push(Lack { resource: resource.to_owned(), requested, used, capacity });
        }
    };
    check("pods", 1, number);
    const FIRST: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];
    let others = wanted.keys().map(String::as_str).filter(|name| !FIRST.contains(name));
    // Extended resources that the node has nothing of are the cluster's, and somebody else's to count.
    let others = others.filter(|name| !is_extended(name) || allocatable.contains_key(*name));
    for name in FIRST.into_iter().chain(others) {
        check(name, amount(&wanted, name), amount(&taken, name));
    }
    lacks
}

/// Whether a resource is of a domain other than Kubernetes' own.
fn is_extended(name: &str) -> bool {
    name.split_once('/').is_some_and(|(domain, _)| {
        domain != "kubernetes.io" && !domain.ends_with(".kubernetes.io") && !name.starts_with("requests.")
    })
}
