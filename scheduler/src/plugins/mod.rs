//! Upstream's default plugins, one file each: which nodes each lets a pod go to, in upstream's words, and how it scores.
//!
//! Each says in its doc what judging costs.

mod arguments;
mod registry;
mod selection;
mod volume_claims;

// tidy: sorted
pub mod default_binder;
pub mod default_preemption;
pub mod dynamic_resources;
pub mod image_locality;
pub mod inter_pod_affinity;
pub mod node_affinity;
pub mod node_declared_features;
pub mod node_name;
pub mod node_ports;
pub mod node_resources_balanced_allocation;
pub mod node_resources_fit;
pub mod node_unschedulable;
pub mod node_volume_limits;
pub mod pod_topology_spread;
pub mod priority_sort;
pub mod resource_scoring;
pub mod scheduling_gates;
pub mod taint_toleration;
pub mod volume_binding;
pub mod volume_restrictions;
pub mod volume_zone;
// tidy: end

pub use registry::all;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod volume_waiting;
#[cfg(test)]
mod waiting;
