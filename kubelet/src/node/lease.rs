//! The Lease by which a node says that it lives.

use std::time::Duration;

use client::clock::whole_seconds;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, OwnerReference};

/// The namespace of the Leases of nodes.
pub(crate) const LEASES: &str = "kube-node-lease";

/// The Lease of a node, as new.
pub(crate) fn lease(node: &Node, lasts: Duration, now: Timestamp) -> Lease {
    let meta = &node.metadata;
    let owner = OwnerReference {
        api_version: "v1".to_owned(),
        kind: "Node".to_owned(),
        name: meta.name.clone().unwrap_or_default(),
        uid: meta.uid.clone().unwrap_or_default(),
        ..OwnerReference::default()
    };
    let metadata = ObjectMeta {
        name: meta.name.clone(),
        namespace: Some(LEASES.to_owned()),
        owner_references: Some(vec![owner]),
        ..ObjectMeta::default()
    };
    renewed(Lease { metadata, spec: None }, &meta.name.clone().unwrap_or_default(), lasts, now)
}

/// The same Lease, renewed.
pub(crate) fn renewed(lease: Lease, holder: &str, lasts: Duration, now: Timestamp) -> Lease {
    let spec = LeaseSpec {
        holder_identity: Some(holder.to_owned()),
        lease_duration_seconds: Some(whole_seconds(lasts)),
        renew_time: Some(MicroTime(now)),
        ..lease.spec.unwrap_or_default()
    };
    Lease { spec: Some(spec), ..lease }
}
