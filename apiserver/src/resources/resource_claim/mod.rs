//! ResourceClaims: what devices a workload asks for, what it was given, and who may use that.
//!
//! What is asked for never changes, and what was given changes only by being given back. The scheduler asks for access to
//! devices of others only where a claim does, so that it is enough to judge that when the claim is made.

mod allocation;
mod device_status;
mod spec;
mod status;
#[cfg(test)]
mod tests;

use api::field::{BadValue, Error, ErrorList, Path};
use api::status::Status;
use api::validate::meta::FIELD_IMMUTABLE;
use futures::future::BoxFuture;
use k8s_openapi::api::resource::v1::{ResourceClaim, ResourceClaimStatus};
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::{devices, semantic, status_meta};
use crate::reservation::{Ledger, Reservation};
use crate::strategy::{AGE_COLUMN, Column, Context, NAME_COLUMN, Names, Strategy, UpdateSubresource};

pub(super) use spec::{drop_gated, set_defaults, validate as validate_spec};

pub(crate) struct ResourceClaims;

impl Strategy for ResourceClaims {
    type Object = ResourceClaim;

    fn names(&self) -> Names {
        Names::of::<ResourceClaim>("resourceclaim", true)
    }

    fn default(&self, object: &mut ResourceClaim) {
        set_defaults(object.spec.get_or_insert_default());
        status::set_defaults(object);
    }

    fn prepare_create(&self, object: &mut ResourceClaim, _: Context<'_>) {
        object.status = Some(ResourceClaimStatus::default());
        drop_gated(object.spec.as_mut(), None);
    }

    fn prepare_update(&self, new: &mut ResourceClaim, old: &ResourceClaim, _: Context<'_>) {
        new.status = old.status.clone();
        drop_gated(new.spec.as_mut(), old.spec.as_ref());
    }

    fn validate(&self, object: &ResourceClaim) -> ErrorList {
        validate_spec(&object.spec.clone().unwrap_or_default(), &Path::new("spec"))
    }

    fn validate_update(&self, new: &ResourceClaim, old: &ResourceClaim) -> ErrorList {
        if semantic::equal(&new.spec, &old.spec) {
            return ErrorList::new();
        }
        Error::invalid(&Path::new("spec"), BadValue::json(&new.spec), FIELD_IMMUTABLE).into()
    }

    fn columns(&self) -> &'static [Column] {
        const STATE: Column =
            Column::new("State", "A summary of the current state (allocated, pending, reserved, etc.).");
        const { &[NAME_COLUMN, STATE, AGE_COLUMN] }
    }

    fn row(&self, object: &ResourceClaim, now: Timestamp) -> Vec<Value> {
        vec![
            object.metadata.name.clone().into(),
            state(object).into(),
            api::duration::age(object.metadata.creation_timestamp.as_ref(), now).into(),
        ]
    }

    fn updates(&self) -> Vec<UpdateSubresource<ResourceClaim>> {
        vec![UpdateSubresource {
            name: "status",
            prepare: |new, old, _| {
                new.spec = old.spec.clone();
                status_meta::reset(&mut new.metadata, &old.metadata);
                status::drop_deallocated(new, old);
                status::drop_gated(new, old);
            },
            validate: status::validate_update,
        }]
    }

    fn reserve<'a>(
        &'a self,
        ledger: &'a Ledger,
        new: &'a mut ResourceClaim,
        old: Option<&'a ResourceClaim>,
        _: bool,
    ) -> BoxFuture<'a, Result<Reservation, Status>> {
        Box::pin(async move {
            if old.is_none() {
                let (meta, spec) = (&new.metadata, new.spec.as_ref());
                let text = |field: &'a Option<String>| field.as_deref().unwrap_or_default();
                let kind = self.names().group_kind();
                devices::authorize_admin_access(ledger, spec, kind, text(&meta.namespace), text(&meta.name)).await?;
            }
            Ok(Reservation::none())
        })
    }
}

/// Where the claim is in its life, for its table.
fn state(claim: &ResourceClaim) -> String {
    let status = claim.status.as_ref();
    let is_allocated = status.is_some_and(|status| status.allocation.is_some());
    let is_reserved = status.and_then(|status| status.reserved_for.as_ref()).is_some_and(|list| !list.is_empty());
    let is_deleted = claim.metadata.deletion_timestamp.is_some();
    let states = [
        ("deleted", is_deleted),
        ("pending", !is_deleted && !is_allocated),
        ("allocated", is_allocated),
        ("reserved", is_allocated && is_reserved),
    ];
    states.iter().filter(|(_, is)| *is).map(|(state, _)| *state).collect::<Vec<_>>().join(",")
}
