//! A volume claim grows only if it is bound, and the class that its volume was made by allows it.

use api::pod_resources;
use api::quantity::Quantity;
use api::status::Status;
use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::api::storage::v1::StorageClass;

use super::{Operation, Plugin, Review, typed};
use crate::object::Object;
use crate::resources::storage_class;

pub(super) struct PersistentVolumeClaimResize;

impl Plugin for PersistentVolumeClaimResize {
    fn handles(&self, review: &Review<'_>) -> bool {
        review.is_of("core/persistentvolumeclaims") && review.operation == Operation::Update
    }

    fn validate<'a>(
        &'a self,
        review: &'a Review<'a>,
        object: &'a dyn Object,
        old: Option<&'a dyn Object>,
    ) -> BoxFuture<'a, Result<(), Status>> {
        async move {
            let claim = typed::<PersistentVolumeClaim>;
            let (Some(new), Some(old)) = (claim(object), old.and_then(claim)) else { return Ok(()) };
            if size(new) <= size(old) {
                return Ok(());
            }
            if old.status.as_ref().and_then(|status| status.phase.as_deref()) != Some("Bound") {
                return Err(review.forbidden(object, "Only bound persistent volume claims can be expanded"));
            }
            let mut allowed = false;
            if !class(new).is_empty() && class(new) == class(old) {
                let found = review.look_up::<StorageClass>("storage.k8s.io/storageclasses", "", class(new)).await?;
                allowed = found.is_some_and(|class| class.allow_volume_expansion == Some(true));
            }
            let why = "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must \
                       support resize";
            if allowed { Ok(()) } else { Err(review.forbidden(object, why)) }
        }
        .boxed()
    }
}

fn class(claim: &PersistentVolumeClaim) -> &str {
    let field = claim.spec.as_ref().and_then(|spec| spec.storage_class_name.as_deref());
    storage_class::class_of(&claim.metadata, field)
}

fn size(claim: &PersistentVolumeClaim) -> Quantity {
    let resources = claim.spec.as_ref().and_then(|spec| spec.resources.as_ref());
    let mut requests = pod_resources::read(resources.and_then(|resources| resources.requests.as_ref()));
    requests.remove("storage").unwrap_or_default()
}
