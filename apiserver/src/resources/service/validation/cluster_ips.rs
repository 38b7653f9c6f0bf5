//! Rules for cluster IPs and address families: of one Service, and of a change.

use api::field::{BadValue, Error, ErrorList, Path};
use k8s_openapi::api::core::v1::ServiceSpec;

use super::super::families::family_of;
use super::super::spec::{
    EXTERNAL_NAME, IPV4, IPV6, Meaning, NONE, PREFER_DUAL_STACK, REQUIRE_DUAL_STACK, SINGLE_STACK,
};
use crate::resources::addresses::legacy_ip;

const FIXED: &str = "may not change once set";

/// Cluster IPs, families and policy agree with each other (`ValidateServiceClusterIPsRelatedFields`). Also asked before
/// anything is allocated, so that allocation need not consider what makes no sense.
pub(in super::super) fn consistent(spec: &ServiceSpec, old: Option<&ServiceSpec>) -> ErrorList {
    let mut errors = ErrorList::new();
    if spec.kind() == EXTERNAL_NAME {
        return errors;
    }
    let path = spec_path("clusterIPs");
    let ips = spec.cluster_ips();
    match (spec.cluster_ip(), ips.first()) {
        ("", None) => {}
        ("", Some(_)) => {
            errors.push(Error::invalid(&path, ips, "must be empty when `clusterIP` is not specified"));
        }
        (_, None) => errors.push(Error::required(&path, "")),
        (ip, Some(first)) if ip != first => {
            errors.push(Error::invalid(&path, ips, "first value must match `clusterIP`"));
        }
        _ => {}
    }
    errors.extend(families_and_policy(spec));
    let mut malformed = ErrorList::new();
    for (i, ip) in ips.iter().enumerate() {
        if i == 0 && ip == NONE {
            if ips.len() > 1 {
                malformed.push(Error::invalid(&path, ips, "'None' must be the first and only value"));
            }
            continue;
        }
        malformed.extend(legacy_ip(&path.index(i), ip, old.map_or(&[], |old| old.cluster_ips())));
    }
    let is_malformed = !malformed.is_empty();
    errors.extend(malformed);
    if ips.len() > 2 {
        errors.push(Error::invalid(&path, ips, "may only hold up to 2 values"));
    }
    if !is_malformed {
        errors.extend(ips_match_families(spec));
    }
    errors
}

/// `clusterIPs` of a change: one may be added to or taken from a Service, but none may be exchanged.
pub(super) fn change(new: &ServiceSpec, old: &ServiceSpec) -> ErrorList {
    let mut errors = ErrorList::new();
    if is_exempt(new, old) || (old.is_headless() && new.is_headless()) {
        return errors;
    }
    let path = spec_path("clusterIPs");
    let (before, after) = (old.cluster_ips(), new.cluster_ips());
    if before.len() == after.len() {
        for (i, _) in before.iter().zip(after).enumerate().filter(|(_, (before, after))| before != after) {
            errors.push(Error::invalid(&path.index(i), after, FIXED));
        }
        return errors;
    }
    if after.is_empty() {
        errors.push(Error::invalid(&path.index(0), BadValue::null(), "primary clusterIP can not be unset"));
    }
    if has_other_first(before, after) {
        errors.push(Error::invalid(&path.index(0), after, FIXED));
    }
    if before.len() > after.len() && after.len() == 1 && new.policy() != SINGLE_STACK {
        let detail = "must be set to 'SingleStack' when releasing the secondary clusterIP";
        errors.push(Error::invalid(&spec_path("ipFamilyPolicy"), policy_value(new), detail));
    }
    errors
}

/// `ipFamilies` of a change. Those of headless Services may be changed at will.
pub(super) fn families_change(new: &ServiceSpec, old: &ServiceSpec) -> ErrorList {
    let mut errors = ErrorList::new();
    if is_exempt(new, old) || new.is_headless() || old.is_headless() {
        return errors;
    }
    let path = spec_path("ipFamilies").index(0);
    let (before, after) = (old.families(), new.families());
    if before.len() == after.len() {
        for _ in before.iter().zip(after).filter(|(before, after)| before != after) {
            errors.push(Error::invalid(&path, after, FIXED));
        }
        return errors;
    }
    if before.len() > after.len() && new.cluster_ips().is_empty() {
        errors.push(Error::invalid(&path, list_value(after), "primary ipFamily can not be unset"));
    }
    if has_other_first(before, after) {
        // Upstream shows the addresses here.
        errors.push(Error::invalid(&path, list_value(new.cluster_ips()), FIXED));
    }
    if before.len() > after.len() && after.len() == 1 && new.policy() != SINGLE_STACK {
        let detail = "must be set to 'SingleStack' when releasing the secondary ipFamily";
        errors.push(Error::invalid(&spec_path("ipFamilyPolicy"), policy_value(new), detail));
    }
    errors
}

fn families_and_policy(spec: &ServiceSpec) -> ErrorList {
    let mut errors = ErrorList::new();
    let path = spec_path("ipFamilies");
    for (i, family) in spec.families().iter().enumerate() {
        if !matches!(family.as_str(), IPV4 | IPV6) {
            errors.push(Error::not_supported(&path.index(i), family, &[IPV4, IPV6]));
        }
        if spec.families()[..i].contains(family) {
            errors.push(Error::duplicate(&path.index(i), family));
        }
    }
    let policies = [PREFER_DUAL_STACK, REQUIRE_DUAL_STACK, SINGLE_STACK];
    if let Some(policy) = &spec.ip_family_policy
        && !policies.contains(&policy.as_str())
    {
        errors.push(Error::not_supported(&spec_path("ipFamilyPolicy"), policy, &policies));
    }
    errors
}

/// At most one address a family, and each of the family that `ipFamilies` says. The addresses are well-formed.
fn ips_match_families(spec: &ServiceSpec) -> ErrorList {
    let mut errors = ErrorList::new();
    let path = spec_path("clusterIPs");
    let ips = spec.cluster_ips();
    if ips.len() > 1 {
        let count = |family| ips.iter().filter(|ip| family_of(ip) == Some(family)).count();
        // More than two cannot be one of each, which upstream says as well as that they are too many.
        if ips.len() != 2 || count(IPV4) != 1 {
            errors.push(Error::invalid(&path, ips, "may specify no more than one IP for each IP family"));
        }
    }
    if spec.is_headless() {
        return errors;
    }
    for (i, (ip, family)) in ips.iter().zip(spec.families()).enumerate() {
        let expected = match (family.as_str(), family_of(ip)) {
            (IPV4, Some(IPV6)) => IPV4,
            (IPV6, Some(IPV4)) => IPV6,
            _ => continue,
        };
        let detail = format!("expected an {expected} value as indicated by `ipFamilies[{i}]`");
        errors.push(Error::invalid(&path.index(i), ip, detail));
    }
    errors
}

fn is_exempt(new: &ServiceSpec, old: &ServiceSpec) -> bool {
    new.kind() == EXTERNAL_NAME || old.kind() == EXTERNAL_NAME
}

fn has_other_first(before: &[String], after: &[String]) -> bool {
    matches!((before.first(), after.first()), (Some(before), Some(after)) if before != after)
}

/// A list, which for Go is `null` when it is empty.
fn list_value(items: &[String]) -> BadValue {
    if items.is_empty() { BadValue::null() } else { items.into() }
}

fn policy_value(spec: &ServiceSpec) -> BadValue {
    spec.ip_family_policy.as_ref().map_or_else(BadValue::null, BadValue::from)
}

fn spec_path(field: &str) -> Path {
    Path::new("spec").child(field)
}
