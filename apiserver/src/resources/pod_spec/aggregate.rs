//! What the containers of a pod use together.
//!
//! Ordinary containers and sidecars run at the same time; other init containers run one by one, each beside the sidecars
//! that were started before it. The pod uses the greater of the two.

use std::collections::BTreeMap;

use api::quantity::Quantity;
use k8s_openapi::api::core::v1::{Container, PodSpec, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;

use super::absent::list;
use super::containers::is_sidecar;

/// Quantities by the names of resources.
pub(super) type List = BTreeMap<String, Quantity>;

/// What the containers request together.
pub(super) fn requests(spec: &PodSpec) -> List {
    sum(spec, |resources| resources.requests.as_ref())
}

/// What the containers are limited to together.
pub(super) fn limits(spec: &PodSpec) -> List {
    sum(spec, |resources| resources.limits.as_ref())
}

/// The quantities that can be read; others are errors of their own.
pub(super) fn parse(quantities: Option<&BTreeMap<String, ApiQuantity>>) -> List {
    let quantities = quantities.into_iter().flatten();
    quantities.filter_map(|(name, quantity)| Some((name.clone(), Quantity::try_from(quantity).ok()?))).collect()
}

fn sum(spec: &PodSpec, field: fn(&ResourceRequirements) -> Option<&BTreeMap<String, ApiQuantity>>) -> List {
    let of = |container: &Container| parse(container.resources.as_ref().and_then(field));
    let mut together = List::new();
    for container in &spec.containers {
        add(&mut together, of(container));
    }
    let (mut sidecars, mut starting) = (List::new(), List::new());
    for container in list(&spec.init_containers) {
        let mut own = of(container);
        if is_sidecar(container) {
            add(&mut together, own.clone());
            add(&mut sidecars, own);
            raise(&mut starting, sidecars.clone());
        } else {
            add(&mut own, sidecars.clone());
            raise(&mut starting, own);
        }
    }
    raise(&mut together, starting);
    together
}

fn add(sums: &mut List, more: List) {
    for (name, quantity) in more {
        sums.entry(name).or_default().add(&quantity);
    }
}

fn raise(greatest: &mut List, others: List) {
    for (name, quantity) in others {
        match greatest.entry(name) {
            std::collections::btree_map::Entry::Occupied(mut entry) if *entry.get() < quantity => {
                entry.insert(quantity);
            }
            std::collections::btree_map::Entry::Occupied(_) => {}
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(quantity);
            }
        }
    }
}
