//! What nodes may write (upstream's NodeRestriction): their own Node and what belongs to it, the status of their own pods, and
//! pods that stand for what they run anyway.
//!
//! What always holds: a node changes nothing by which it would be given more, such as labels that pods are placed by, and
//! nothing of another node. Which resources it may write at all is the authorizer's to say (`authz/node`).

mod certificates;
mod nodes;
mod pods;
mod tokens;

use api::field::go_quote;
use api::status::Status;
use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::api::resource::v1::ResourceSlice;
use serde::de::DeserializeOwned;

use super::{Operation, Plugin, Review, typed};
use crate::authz::node::{LEASES, node_of};
use crate::authz::{Attributes, Decision};
use crate::object::Object;

pub(super) struct NodeRestriction;

impl Plugin for NodeRestriction {
    fn handles(&self, review: &Review<'_>) -> bool {
        review.call.identity.is_some_and(|identity| node_of(identity).is_some())
    }

    fn mutate<'a>(
        &'a self,
        review: &'a Review<'a>,
        object: &'a mut dyn Object,
        old: Option<&'a dyn Object>,
    ) -> BoxFuture<'a, Result<(), Status>> {
        async move { admit(Write { review, node: node(review)?, object: &*object, old }).await }.boxed()
    }

    fn delete<'a>(&'a self, review: &'a Review<'a>, old: &'a dyn Object) -> BoxFuture<'a, Result<(), Status>> {
        async move { admit(Write { review, node: node(review)?, object: old, old: Some(old) }).await }.boxed()
    }
}

/// The name of the node that asks.
fn node<'a>(review: &Review<'a>) -> Result<&'a str, Status> {
    let identity = review.call.identity;
    let node = identity.and_then(node_of).filter(|node| !node.is_empty());
    node.ok_or_else(|| {
        let user = identity.map(|identity| identity.user.as_str()).unwrap_or_default();
        let why = format!("could not determine node from user {}", go_quote(user));
        Status::forbidden(&review.call.group_resource(), &review.call.target.name, why)
    })
}

/// A write of a node.
#[derive(Clone, Copy)]
struct Write<'a> {
    review: &'a Review<'a>,
    node: &'a str,
    /// What is to be; of a deletion, what is.
    object: &'a dyn Object,
    old: Option<&'a dyn Object>,
}

async fn admit(write: Write<'_>) -> Result<(), Status> {
    let Review { call, operation, subresource } = *write.review;
    match (&*call.resource.storage.path, subresource) {
        ("core/pods", "") => pods::admit(write).await,
        ("core/pods", "status") => pods::admit_status(write),
        // That is how an eviction that was admitted marks its pod.
        ("core/pods", "eviction") if operation == Operation::Update => Ok(()),
        ("core/pods", "eviction") => pods::admit_eviction(write).await,
        ("core/pods", other) => {
            let other = go_quote(other);
            Err(write.refused(format!("unexpected pod subresource {other}, only 'status' and 'eviction' are allowed")))
        }
        ("core/nodes", _) => nodes::admit(write),
        ("core/persistentvolumeclaims", "status") => admit_claim_status(write),
        ("core/persistentvolumeclaims", _) => Err(write.refused("may only update PVC status")),
        ("core/serviceaccounts", "token") if operation == Operation::Create => tokens::admit(write).await,
        ("coordination.k8s.io/leases", _) => admit_lease(write),
        ("storage.k8s.io/csinodes", _) if write.name() != write.node => {
            Err(write.refused("can only access CSINode with the same name as the requesting node"))
        }
        ("resource.k8s.io/resourceslices", _) => admit_slice(write),
        ("certificates.k8s.io/certificatesigningrequests", "") if operation == Operation::Create => {
            certificates::admit_signing_request(write)
        }
        ("certificates.k8s.io/podcertificaterequests", _) => certificates::admit_pod_request(write).await,
        _ => Ok(()),
    }
}

impl Write<'_> {
    fn operation(&self) -> Operation {
        self.review.operation
    }

    /// The name in the path, or where there is none, that of the object.
    fn name(&self) -> &str {
        match self.review.call.target.name.as_str() {
            "" => self.object.meta().name.as_deref().unwrap_or_default(),
            name => name,
        }
    }

    fn refused(&self, why: impl std::fmt::Display) -> Status {
        let name = Some(self.name()).filter(|name| !name.is_empty()).unwrap_or("Unknown");
        Status::forbidden(&self.review.call.group_resource(), name, why)
    }

    /// That nothing of the sort is ever asked of a node.
    fn unexpected(&self) -> Status {
        self.refused(format!("unexpected operation {}", go_quote(self.operation().as_str())))
    }

    /// The object as its type, which its resource implies.
    fn object<T: 'static>(&self) -> Result<&T, Status> {
        typed(self.object).ok_or_else(|| self.refused("unexpected type"))
    }

    fn old<T: 'static>(&self) -> Result<&T, Status> {
        self.old.and_then(typed).ok_or_else(|| self.refused("unexpected type"))
    }

    /// Whether the node may do something that stands for what it asks for.
    fn may(&self, asked: &Attributes) -> bool {
        let call = self.review.call;
        let decide = |identity| call.engine.access().authorizer.authorize(identity, asked);
        matches!(call.identity.map(decide), Some(Decision::Allow(_)))
    }

    async fn stored<T: DeserializeOwned>(&self, path: &str, namespace: &str, name: &str) -> Result<Option<T>, Status> {
        // Such a name would be that of something else.
        if name.is_empty() || name.contains('/') {
            return Ok(None);
        }
        self.review.get(path, namespace, name).await
    }
}

/// Only what is known of a volume's size after it was made larger, and how that goes.
fn admit_claim_status(write: Write<'_>) -> Result<(), Status> {
    if write.operation() != Operation::Update {
        return Err(write.unexpected());
    }
    let without = |claim: &PersistentVolumeClaim| {
        let mut claim = claim.clone();
        (claim.metadata.resource_version, claim.metadata.managed_fields) = (None, None);
        let status = claim.status.get_or_insert_default();
        (status.capacity, status.conditions) = (None, None);
        (status.allocated_resource_statuses, status.allocated_resources) = (None, None);
        claim
    };
    if without(write.object()?) != without(write.old()?) {
        let node = go_quote(write.node);
        let why =
            format!("node {node} is not allowed to update fields other than status.quantity and status.conditions");
        return Err(write.refused(why));
    }
    Ok(())
}

fn admit_lease(write: Write<'_>) -> Result<(), Status> {
    if write.review.call.namespace() != LEASES {
        return Err(write.refused(format!("can only access leases in the \"{LEASES}\" system namespace")));
    }
    if write.name() != write.node {
        return Err(write.refused("can only access node lease with the same name as the requesting node"));
    }
    Ok(())
}

/// Of updates the authorizer knows the object; a new one it does not, nor each one of a collection.
fn admit_slice(write: Write<'_>) -> Result<(), Status> {
    let verb = match write.operation() {
        Operation::Create => "create",
        Operation::Delete => "delete",
        Operation::Update => return Ok(()),
    };
    let slice: &ResourceSlice = write.object()?;
    if slice.spec.node_name.as_deref().unwrap_or_default() != write.node {
        return Err(
            write.refused(format!("can only {verb} ResourceSlice with the same NodeName as the requesting node"))
        );
    }
    Ok(())
}
