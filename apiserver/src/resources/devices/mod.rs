//! What the kinds of dynamic resource allocation share: names of drivers, pools and devices, selectors, configuration,
//! taints and binding conditions.
//!
//! The rules are those of `pkg/apis/resource/validation` of v1.37 with its feature gates at their defaults. Expressions of
//! selectors are checked for being there and for their length, and not compiled.

mod admin_access;
mod binding;
mod configuration;
mod lists;
mod names;
mod taints;

pub(super) use admin_access::authorize as authorize_admin_access;
pub(super) use binding::validate_binding_conditions;
pub(super) use configuration::{validate_object, validate_opaque, validate_selectors};
pub(super) use lists::{validate_list, validate_map, validate_set};
pub(super) use names::{DeviceId, fully_qualified_name, is_uid, label, object_name, pool_name, qualified_name};
pub(super) use names::{MAX_LABEL_BYTES, MAX_QUALIFIED_BYTES, driver_name};
pub(super) use taints::{validate_taint, validate_toleration};

/// The most requests of a claim, selectors of a request, constraints, configurations, and results of an allocation.
pub(super) const MAX_ITEMS: usize = 32;
/// Bytes that the data of one configuration or device may have.
pub(super) const MAX_DATA_BYTES: usize = 10 * 1024;
