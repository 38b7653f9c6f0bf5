//! ServiceCIDRs: ranges that the cluster IPs of Services are from.
//!
//! The one that every cluster has, `kubernetes`, says what the server was configured with. A controller protects ranges
//! that are in use by a finalizer; the rules here know nothing of that.

#[cfg(test)]
mod tests;

use api::field::{BadValue, Error, ErrorList, Path};
use api::names::{cidr, parse_cidr_sloppy};
use api::validate::meta::FIELD_IMMUTABLE;
use k8s_openapi::api::networking::v1::{ServiceCIDR, ServiceCIDRStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use crate::strategy::{AGE_COLUMN, Column, Context, NAME_COLUMN, Names, Strategy, UpdateSubresource};

/// One range a family.
const MAX_RANGES: usize = 2;

pub(crate) struct ServiceCIDRs;

impl Strategy for ServiceCIDRs {
    type Object = ServiceCIDR;

    fn names(&self) -> Names {
        Names::of::<ServiceCIDR>("servicecidr", false)
    }

    fn prepare_create(&self, object: &mut ServiceCIDR, _: Context<'_>) {
        object.status = Some(ServiceCIDRStatus::default());
    }

    fn prepare_update(&self, new: &mut ServiceCIDR, old: &ServiceCIDR, _: Context<'_>) {
        new.status.clone_from(&old.status);
    }

    fn validate(&self, object: &ServiceCIDR) -> ErrorList {
        validate(ranges(object))
    }

    fn validate_update(&self, new: &ServiceCIDR, old: &ServiceCIDR) -> ErrorList {
        validate_change(ranges(new), ranges(old))
    }

    fn columns(&self) -> &'static [Column] {
        const RANGES: Column = Column::new(
            "CIDRs",
            "cidrs defines the IP blocks in CIDR notation (e.g. \"192.168.0.0/24\" or \"2001:db8::/64\") from which to \
             assign service cluster IPs. Max of two CIDRs is allowed, one of each IP family. This field is immutable.",
        );
        const { &[NAME_COLUMN, RANGES, AGE_COLUMN] }
    }

    fn row(&self, object: &ServiceCIDR, now: Timestamp) -> Vec<Value> {
        let age = api::duration::age(object.metadata.creation_timestamp.as_ref(), now);
        vec![object.metadata.name.clone().into(), ranges(object).join(",").into(), age.into()]
    }

    fn updates(&self) -> Vec<UpdateSubresource<ServiceCIDR>> {
        vec![UpdateSubresource {
            name: "status",
            prepare: |new, old, _| {
                new.spec.clone_from(&old.spec);
                keep_metadata(&mut new.metadata, &old.metadata);
            },
            validate: |_, _| ErrorList::new(),
        }]
    }
}

/// What a change of the status leaves as it is (`ResetObjectMetaForStatus`).
fn keep_metadata(new: &mut ObjectMeta, old: &ObjectMeta) {
    new.labels.clone_from(&old.labels);
    new.annotations.clone_from(&old.annotations);
    new.finalizers.clone_from(&old.finalizers);
    new.owner_references.clone_from(&old.owner_references);
    new.deletion_timestamp.clone_from(&old.deletion_timestamp);
}

fn ranges(object: &ServiceCIDR) -> &[String] {
    object.spec.as_ref().and_then(|spec| spec.cidrs.as_deref()).unwrap_or_default()
}

fn validate(ranges: &[String]) -> ErrorList {
    let path = Path::new("spec").child("cidrs");
    if ranges.is_empty() {
        return Error::required(&path, "at least one CIDR required").into();
    }
    if ranges.len() > MAX_RANGES {
        // Upstream shows its internal form of the whole specification.
        let spec = BadValue::json(&json!({"CIDRs": ranges}));
        return Error::invalid(&path, spec, "may only hold up to 2 values").into();
    }
    let each = ranges.iter().enumerate();
    let mut errors: ErrorList = each.flat_map(|(i, range)| cidr(&path.index(i), range)).collect();
    let is_ipv4 = |range: &String| parse_cidr_sloppy(range).map(|cidr| cidr.address.is_ipv4());
    if let [first, second] = ranges
        && is_ipv4(first).is_some()
        && is_ipv4(first) == is_ipv4(second)
    {
        let detail = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64";
        errors.push(Error::invalid(&path, ranges, detail));
    }
    errors
}

/// All that a change may do is to add the other family.
fn validate_change(new: &[String], old: &[String]) -> ErrorList {
    let path = Path::new("spec").child("cidrs");
    let changed = old.iter().zip(new).enumerate().filter(|(_, (old, new))| old != new);
    let mut errors: ErrorList =
        changed.map(|(i, (_, new))| Error::invalid(&path.index(i), new, FIELD_IMMUTABLE)).collect();
    match (old.len(), new.len()) {
        (old, new) if old == new => errors,
        (1, 2) => {
            errors.extend(validate(new));
            errors
        }
        _ => {
            let shown = if new.is_empty() { BadValue::null() } else { new.into() };
            Error::invalid(&path, shown, FIELD_IMMUTABLE).into()
        }
    }
}
