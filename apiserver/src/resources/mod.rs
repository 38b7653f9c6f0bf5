//! The built-in kinds, one file each.

use std::sync::Arc;

use crate::kind::{Builtin, Kind};
use crate::registry::Registry;
use crate::strategy::Strategy;

// tidy: sorted
mod access_modes;
mod access_review;
mod addresses;
mod admission;
mod api_service;
mod binding;
mod born;
mod certificate_signing_request;
mod cluster_trust_bundle;
mod component_status;
mod config_map;
mod controller_revision;
mod cron_job;
mod csi_driver;
mod csi_node;
mod csi_storage_capacity;
mod custom_resource_definition;
mod daemon_set;
mod default_table;
mod deployment;
mod device_class;
mod device_taint_rule;
mod devices;
mod diff;
mod endpoint_slice;
mod endpoints;
mod event;
mod flow_control;
mod go_json;
mod go_url;
mod horizontal_pod_autoscaler;
mod ingress;
mod ingress_class;
mod int_or_percent;
mod ip_address;
mod job;
mod lease;
mod limit_range;
mod local_subject_access_review;
mod namespace;
mod network_policy;
mod node;
mod node_metrics;
mod pem;
mod persistent_volume;
mod persistent_volume_claim;
mod pkcs10;
mod pod_certificate_request;
mod pod_disruption_budget;
mod pod_metrics;
mod pod_spec;
mod pod_template;
mod priority_class;
mod provisioning;
mod rbac;
mod replica_set;
mod replica_status;
mod replica_template;
mod replication_controller;
mod resource_claim;
mod resource_claim_template;
mod resource_list;
mod resource_quota;
mod resource_slice;
mod runtime_class;
mod secret;
mod self_subject_access_review;
mod self_subject_review;
mod self_subject_rules_review;
mod semantic;
mod service_account;
mod service_cidr;
mod signer_name;
mod stateful_set;
mod status_meta;
mod storage_version_migration;
mod subject_access_review;
mod template_meta;
mod token_review;
mod volume_attachment;
mod volume_attributes_class;
mod webhook_client;
// tidy: end
// tidy: sorted
pub mod pod;
pub mod service;
// tidy: end
pub(crate) mod storage_class;
pub(crate) mod token_request;

pub(crate) use certificate_signing_request::{common_name, organizations};
pub(crate) use flow_control::{
    born_levels as born_priority_levels, born_schemas as born_flow_schemas, is_mandatory as mandatory_flow_control,
};
pub use namespace::{mark_terminating, may_be_removed};
pub(crate) use pod_disruption_budget::disruption;

use horizontal_pod_autoscaler as autoscalers;
pub(crate) use priority_class::system_classes as system_priority_classes;

/// What the kinds need to know of this cluster and this process.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// From which ranges Services get addresses and ports.
    pub services: service::Config,
    /// What random choices follow from. Servers that share a store need different ones.
    pub seed: u64,
}

/// Registers every built-in kind.
pub fn register_all(registry: &Registry, config: Config) {
    register_workloads(registry);
    register_cluster(registry, config);
    register_unstored(registry);
    // Further versions of what is registered above.
    // tidy: sorted
    registry.register_version(builtin(autoscalers::AutoscalersV1), autoscalers::STORED, autoscalers::CONVERSION);
    registry.register_version(builtin(event::EventsV1), event::STORED, event::CONVERSION);
    // tidy: end
}

/// Registers what nodes and pods use, for servers that can ask kubelets.
pub fn register_usage(registry: &Registry) {
    registry.register(builtin(node_metrics::NodesMetrics));
    registry.register(builtin(pod_metrics::PodsMetrics));
}

/// What runs in a namespace, and within which bounds.
fn register_workloads(registry: &Registry) {
    // tidy: sorted
    registry.register(builtin(config_map::ConfigMaps));
    registry.register(builtin(controller_revision::ControllerRevisions));
    registry.register(builtin(cron_job::CronJobs));
    registry.register(builtin(daemon_set::DaemonSets));
    registry.register(builtin(deployment::Deployments));
    registry.register(builtin(horizontal_pod_autoscaler::HorizontalPodAutoscalers));
    registry.register(builtin(job::Jobs));
    registry.register(builtin(limit_range::LimitRanges));
    registry.register(builtin(pod::Pods));
    registry.register(builtin(pod_disruption_budget::PodDisruptionBudgets));
    registry.register(builtin(pod_template::PodTemplates));
    registry.register(builtin(priority_class::PriorityClasses));
    registry.register(builtin(replica_set::ReplicaSets));
    registry.register(builtin(replication_controller::ReplicationControllers));
    registry.register(builtin(resource_quota::ResourceQuotas));
    registry.register(builtin(runtime_class::RuntimeClasses));
    registry.register(builtin(secret::Secrets));
    registry.register(builtin(service_account::ServiceAccounts));
    registry.register(builtin(stateful_set::StatefulSets));
    // tidy: end
}

/// What workloads run on and reach each other by, and what governs that.
fn register_cluster(registry: &Registry, config: Config) {
    // tidy: sorted
    registry.register(builtin(admission::MutatingAdmissionPolicies));
    registry.register(builtin(admission::MutatingAdmissionPolicyBindings));
    registry.register(builtin(admission::MutatingWebhookConfigurations));
    registry.register(builtin(admission::ValidatingAdmissionPolicies));
    registry.register(builtin(admission::ValidatingAdmissionPolicyBindings));
    registry.register(builtin(admission::ValidatingWebhookConfigurations));
    registry.register(builtin(api_service::APIServices));
    registry.register(builtin(certificate_signing_request::CertificateSigningRequests));
    registry.register(builtin(cluster_trust_bundle::ClusterTrustBundles));
    registry.register(builtin(csi_driver::CsiDrivers));
    registry.register(builtin(csi_node::CsiNodes));
    registry.register(builtin(csi_storage_capacity::CsiStorageCapacities));
    registry.register(builtin(custom_resource_definition::CustomResourceDefinitions));
    registry.register(builtin(device_class::DeviceClasses));
    registry.register(builtin(device_taint_rule::DeviceTaintRules));
    registry.register(builtin(endpoint_slice::EndpointSlices));
    registry.register(builtin(endpoints::EndpointsKind));
    registry.register(builtin(event::Events));
    registry.register(builtin(flow_control::FlowSchemas));
    registry.register(builtin(flow_control::PriorityLevels));
    registry.register(builtin(ingress::Ingresses));
    registry.register(builtin(ingress_class::IngressClasses));
    registry.register(builtin(ip_address::IPAddresses));
    registry.register(builtin(lease::Leases));
    registry.register(builtin(namespace::Namespaces));
    registry.register(builtin(network_policy::NetworkPolicies));
    registry.register(builtin(node::Nodes));
    registry.register(builtin(persistent_volume::PersistentVolumes));
    registry.register(builtin(persistent_volume_claim::PersistentVolumeClaims));
    registry.register(builtin(pod_certificate_request::PodCertificateRequests));
    registry.register(builtin(rbac::ClusterRoleBindings));
    registry.register(builtin(rbac::ClusterRoles));
    registry.register(builtin(rbac::RoleBindings));
    registry.register(builtin(rbac::Roles));
    registry.register(builtin(resource_claim::ResourceClaims));
    registry.register(builtin(resource_claim_template::ResourceClaimTemplates));
    registry.register(builtin(resource_slice::ResourceSlices));
    registry.register(builtin(service::Services::new(config.services, config.seed)));
    registry.register(builtin(service_cidr::ServiceCIDRs));
    registry.register(builtin(storage_class::StorageClasses));
    registry.register(builtin(storage_version_migration::StorageVersionMigrations));
    registry.register(builtin(volume_attachment::VolumeAttachments));
    registry.register(builtin(volume_attributes_class::VolumeAttributesClasses));
    // tidy: end
}

/// What is answered and not stored.
fn register_unstored(registry: &Registry) {
    // tidy: sorted
    registry.register(builtin(binding::Bindings));
    registry.register(builtin(component_status::ComponentStatuses));
    registry.register(builtin(local_subject_access_review::LocalSubjectAccessReviews));
    registry.register(builtin(self_subject_access_review::SelfSubjectAccessReviews));
    registry.register(builtin(self_subject_review::SelfSubjectReviews));
    registry.register(builtin(self_subject_rules_review::SelfSubjectRulesReviews));
    registry.register(builtin(subject_access_review::SubjectAccessReviews));
    registry.register(builtin(token_review::TokenReviews));
    // tidy: end
}

fn builtin<S: Strategy>(strategy: S) -> Arc<dyn Kind> {
    Arc::new(Builtin::new(strategy))
}
