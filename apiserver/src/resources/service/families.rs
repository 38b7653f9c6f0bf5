//! Which address families a Service has, as its fields and the cluster's ranges say (`initIPFamilyFields`).
//!
//! The policy is never guessed from the cluster alone: a Service changes between one family and two only when its
//! client says so.

use api::field::{BadValue, Error, ErrorList, Path};
use api::names::parse_ip_sloppy;
use k8s_openapi::api::core::v1::ServiceSpec;

use super::spec::{IPV4, IPV6, Meaning, NONE, PREFER_DUAL_STACK, REQUIRE_DUAL_STACK, SINGLE_STACK, list};
use super::validation::cluster_ips;

/// The families of the cluster's ranges.
#[derive(Clone, Copy, Debug)]
pub(super) struct Families {
    /// That of the first range.
    pub(super) primary: &'static str,
    /// Whether there is a range of the other family, too.
    pub(super) dual: bool,
}

impl Families {
    fn has(self, family: &str) -> bool {
        family == self.primary || (self.dual && family == other(self.primary))
    }
}

/// Fills in `ipFamilyPolicy` and `ipFamilies`, or says why what is there cannot be.
pub(super) fn initialise(new: &mut ServiceSpec, old: Option<&ServiceSpec>, cluster: Families) -> Result<(), ErrorList> {
    if !new.needs_cluster_ip() || old.is_some_and(|old| is_settled(new, old)) {
        return Ok(());
    }
    let without_endpoints_of_its_own = new.cluster_ip() == NONE && !new.has_selector();
    if new.ip_family_policy.is_none() {
        let inherited = old.and_then(|old| old.ip_family_policy.clone());
        let default = if without_endpoints_of_its_own { REQUIRE_DUAL_STACK } else { SINGLE_STACK };
        new.ip_family_policy = Some(inherited.unwrap_or_else(|| default.to_owned()));
    }
    cluster_ips::consistent(new, old).into_result()?;
    let mut errors = ErrorList::new();
    if let Some(old) = old {
        errors.extend(reduce(new, old));
    }
    errors.extend(too_many_for_policy(new));
    errors.extend(infer_from_ips(new, cluster));
    errors.into_result()?;
    let mut families = new.families().to_vec();
    if !without_endpoints_of_its_own {
        not_in_this_cluster(new, cluster).into_result()?;
    }
    if families.is_empty() {
        families.push(cluster.primary.to_owned());
    }
    // Endpoints that somebody else provides may be of any family, whatever the cluster's ranges are.
    if new.policy() != SINGLE_STACK && families.len() == 1 && (cluster.dual || without_endpoints_of_its_own) {
        families.push(other(&families[0]).to_owned());
    }
    new.ip_families = list(families);
    Ok(())
}

/// The family of an address.
pub(super) fn family_of(ip: &str) -> Option<&'static str> {
    parse_ip_sloppy(ip).map(|ip| if ip.is_ipv4() { IPV4 } else { IPV6 })
}

/// Whether the Service prefers two families and nothing about that changes. A cluster that gained or lost a family must
/// not change it.
pub(super) fn is_settled(new: &ServiceSpec, old: &ServiceSpec) -> bool {
    new.kind() == old.kind()
        && new.needs_cluster_ip()
        && new.policy() == PREFER_DUAL_STACK
        && matches!(old.policy(), PREFER_DUAL_STACK | "")
        && new.cluster_ips() == old.cluster_ips()
        && new.families() == old.families()
}

/// Drops the second family if the policy says so and it was not touched; with another policy, dropping it is an error.
fn reduce(new: &mut ServiceSpec, old: &ServiceSpec) -> ErrorList {
    let mut errors = ErrorList::new();
    if new.policy() == SINGLE_STACK {
        if old.cluster_ips() == new.cluster_ips() {
            new.cluster_ips.iter_mut().for_each(|ips| ips.truncate(1));
        }
        if old.families() == new.families() {
            new.ip_families.iter_mut().for_each(|families| families.truncate(1));
        }
        return errors;
    }
    let is_reduced = |new: &[String], old: &[String]| !new.is_empty() && new.len() < old.len();
    for (is_reduced, what) in [
        (is_reduced(new.cluster_ips(), old.cluster_ips()), "cluster IP"),
        (is_reduced(new.families(), old.families()), "IP family"),
    ] {
        if is_reduced {
            errors.push(policy_error(new, &format!("must be 'SingleStack' to release the secondary {what}")));
        }
    }
    errors
}

fn too_many_for_policy(new: &ServiceSpec) -> ErrorList {
    let mut errors = ErrorList::new();
    for (count, what) in [(new.cluster_ips().len(), "cluster IPs"), (new.families().len(), "IP families")] {
        if new.policy() == SINGLE_STACK && count == 2 {
            let detail = format!("must be 'RequireDualStack' or 'PreferDualStack' when multiple {what} are specified");
            errors.push(policy_error(new, &detail));
        }
    }
    errors
}

/// Adds the families of addresses that were asked for.
fn infer_from_ips(new: &mut ServiceSpec, cluster: Families) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut families = new.families().to_vec();
    for (i, ip) in new.cluster_ips().iter().enumerate() {
        if ip == NONE {
            break;
        }
        if i < families.len() {
            continue;
        }
        let family = family_of(ip).unwrap_or("unknown");
        if cluster.has(family) {
            families.push(family.to_owned());
        } else {
            let detail = format!("{family} is not configured on this cluster");
            errors.push(Error::invalid(&spec_path("clusterIPs").index(i), new.cluster_ips(), detail));
        }
    }
    new.ip_families = list(families);
    errors
}

fn not_in_this_cluster(new: &ServiceSpec, cluster: Families) -> ErrorList {
    let mut errors = ErrorList::new();
    if new.policy() == REQUIRE_DUAL_STACK && !cluster.dual {
        errors.push(policy_error(new, "this cluster is not configured for dual-stack services"));
    }
    for (i, family) in new.families().iter().enumerate() {
        if !cluster.has(family) {
            let path = spec_path("ipFamilies").index(i);
            errors.push(Error::invalid(&path, family, "not configured on this cluster"));
        }
    }
    errors
}

fn policy_error(spec: &ServiceSpec, detail: &str) -> Error {
    let value = spec.ip_family_policy.as_ref().map_or_else(BadValue::null, BadValue::from);
    Error::invalid(&spec_path("ipFamilyPolicy"), value, detail)
}

fn other(family: &str) -> &'static str {
    if family == IPV4 { IPV6 } else { IPV4 }
}

fn spec_path(field: &str) -> Path {
    Path::new("spec").child(field)
}
