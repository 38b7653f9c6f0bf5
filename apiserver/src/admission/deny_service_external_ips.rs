//! Services get no external addresses that they do not have (upstream's DenyServiceExternalIPs, which is not enabled by
//! default): whoever may write Services could otherwise have the traffic of any address.

use api::status::Status;
use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Service;

use super::{Operation, Plugin, Review, typed};
use crate::object::Object;

pub(super) struct DenyServiceExternalIps;

impl Plugin for DenyServiceExternalIps {
    fn handles(&self, review: &Review<'_>) -> bool {
        review.is_of("core/services") && matches!(review.operation, Operation::Create | Operation::Update)
    }

    fn validate<'a>(
        &'a self,
        review: &'a Review<'a>,
        object: &'a dyn Object,
        old: Option<&'a dyn Object>,
    ) -> BoxFuture<'a, Result<(), Status>> {
        let had = old.map_or(&[] as &[String], addresses);
        let more = addresses(object).iter().any(|address| !had.contains(address));
        let why = "Use of external IPs is denied by admission control.";
        let decided = if more { Err(review.forbidden(object, why)) } else { Ok(()) };
        async { decided }.boxed()
    }
}

fn addresses(object: &dyn Object) -> &[String] {
    let spec = typed::<Service>(object).and_then(|service| service.spec.as_ref());
    spec.and_then(|spec| spec.external_ips.as_deref()).unwrap_or_default()
}
