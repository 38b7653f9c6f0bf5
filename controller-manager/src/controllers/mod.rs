//! The controllers, one file or directory each.

// tidy: sorted
pub mod certificates;
pub mod cluster_role_aggregation;
pub mod replicas;
pub mod root_ca;
pub mod service_account;
// tidy: end

use cluster_role_aggregation::ClusterRoleAggregation;
use replicas::{ReplicaSets, ReplicationControllers};

use crate::controller::Controller;
use crate::driver::Manager;

/// The names of all controllers.
pub const NAMES: &[&str] = &[
    // tidy: sorted
    ClusterRoleAggregation::NAME,
    ReplicaSets::NAME,
    ReplicationControllers::NAME,
    // tidy: end
];

/// What controllers have to be told about the cluster.
#[derive(Clone, Debug, Default)]
pub struct Config {}

/// Adds every controller that the manager takes.
pub fn add_all(manager: &mut Manager, _: &Config) {
    // tidy: sorted
    manager.add(ClusterRoleAggregation);
    manager.add(ReplicaSets::new());
    manager.add(ReplicationControllers::new());
    // tidy: end
}
