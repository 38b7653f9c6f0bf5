//! The controllers, one file or directory each.

// tidy: sorted
pub mod bootstrap;
pub mod certificates;
pub mod cluster_role_aggregation;
pub mod deployment;
pub mod disruption;
pub mod endpoint_slice;
pub mod endpoint_slice_mirroring;
pub mod endpoints;
pub mod garbage_collector;
pub mod load_balancer;
pub mod namespace;
pub mod node_ipam;
pub mod node_lifecycle;
pub mod pod_gc;
pub mod pv_protection;
pub mod pvc_protection;
pub mod replicas;
pub mod resource_quota;
pub mod root_ca;
pub mod service_account;
pub mod taint_eviction;
pub mod vac_protection;
// tidy: end
mod pod_conditions;
mod protection;

use std::time::Duration;

use bootstrap::clean::TokenCleaning;
use bootstrap::cluster_info::ClusterInfo;
use bootstrap::sign::BootstrapSigning;
use certificates::approve::Approval;
use certificates::approve_serving::ServingApproval;
use certificates::clean::Cleaning;
use certificates::clean_pod_requests::PodRequestCleaning;
use certificates::sign::{ONE_YEAR, Signing};
use cluster_role_aggregation::ClusterRoleAggregation;
use deployment::Deployments;
use disruption::Disruption;
use endpoint_slice::EndpointSlices;
use endpoint_slice_mirroring::EndpointSliceMirroring;
use endpoints::EndpointsOfServices;
use garbage_collector::GarbageCollector;
use load_balancer::LoadBalancers;
use namespace::Namespaces;
use node_ipam::NodeIpam;
use node_lifecycle::{NodeLifecycle, Settings};
use pod_gc::PodGc;
use pv_protection::VolumeProtection;
use pvc_protection::ClaimProtection;
use replicas::{ReplicaSets, ReplicationControllers};
use resource_quota::ResourceQuotas;
use root_ca::RootCa;
use service_account::ServiceAccounts;
use taint_eviction::TaintEviction;
use vac_protection::AttributesClassProtection;

use crate::controller::Controller;
use crate::driver::Manager;

/// The names of all controllers.
pub const NAMES: &[&str] = &[
    // tidy: sorted
    Approval::NAME,
    AttributesClassProtection::NAME,
    BootstrapSigning::NAME,
    ClaimProtection::NAME,
    Cleaning::NAME,
    ClusterInfo::NAME,
    ClusterRoleAggregation::NAME,
    Deployments::NAME,
    Disruption::NAME,
    EndpointSliceMirroring::NAME,
    EndpointSlices::NAME,
    EndpointsOfServices::NAME,
    GarbageCollector::NAME,
    LoadBalancers::NAME,
    Namespaces::NAME,
    NodeIpam::NAME,
    NodeLifecycle::NAME,
    PodGc::NAME,
    PodRequestCleaning::NAME,
    ReplicaSets::NAME,
    ReplicationControllers::NAME,
    ResourceQuotas::NAME,
    RootCa::NAME,
    ServiceAccounts::NAME,
    ServingApproval::NAME,
    Signing::NAME,
    TaintEviction::NAME,
    TokenCleaning::NAME,
    VolumeProtection::NAME,
    // tidy: end
];

/// What controllers have to be told about the cluster.
#[derive(Clone)]
pub struct Config {
    /// The certificate that pods trust the API server by, PEM; without it none is published.
    pub root_ca: Option<String>,
    /// How long certificates are valid at most.
    pub signing_duration: Duration,
    /// From which ranges nodes get addresses for their pods; without it they get none.
    pub node_ipam: Option<NodeIpam>,
    /// How long nodes may be silent, and how fast pods are driven out of them.
    pub node_lifecycle: Settings,
    /// From where Services of type LoadBalancer get addresses; of the nodes, if there is none.
    pub load_balancer_pool: Option<load_balancer::Pool>,
    /// How many ended pods may be there before the oldest are removed; any number, if it is 0.
    pub terminated_pods: usize,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            root_ca: None,
            signing_duration: ONE_YEAR,
            node_ipam: None,
            node_lifecycle: Settings::default(),
            load_balancer_pool: None,
            terminated_pods: PodGc::default().threshold,
        }
    }
}

/// Adds every controller that the manager takes, and that has what it needs.
pub fn add_all(manager: &mut Manager, config: &Config) {
    let since = manager.environment().clock.now();
    manager.add(NodeLifecycle { settings: config.node_lifecycle.clone(), since });
    // tidy: sorted
    manager.add(Approval);
    manager.add(AttributesClassProtection);
    manager.add(BootstrapSigning);
    manager.add(ClaimProtection);
    manager.add(Cleaning);
    manager.add(ClusterRoleAggregation);
    manager.add(Deployments);
    manager.add(Disruption);
    manager.add(EndpointSliceMirroring);
    manager.add(EndpointSlices);
    manager.add(EndpointsOfServices);
    manager.add(GarbageCollector);
    manager.add(LoadBalancers { pool: config.load_balancer_pool.clone() });
    manager.add(Namespaces);
    manager.add(PodGc { threshold: config.terminated_pods });
    manager.add(PodRequestCleaning);
    manager.add(ReplicaSets::new());
    manager.add(ReplicationControllers::new());
    manager.add(ResourceQuotas);
    manager.add(ServiceAccounts);
    manager.add(ServingApproval);
    manager.add(TaintEviction);
    manager.add(TokenCleaning);
    manager.add(VolumeProtection);
    // tidy: end
    if let Some(certificate) = &config.root_ca {
        manager.add(ClusterInfo::new(certificate.as_str()));
        manager.add(RootCa::new(certificate.as_str()));
    }
    if manager.environment().authority.is_some() {
        manager.add(Signing::new(config.signing_duration));
    }
    if let Some(node_ipam) = &config.node_ipam {
        manager.add(node_ipam.clone());
    }
}
