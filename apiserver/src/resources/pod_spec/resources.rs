//! Requests, limits and claims, of containers and of whole pods.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use api::field::{BadValue, Error, ErrorList, Path};
use api::names;
use api::quantity::Quantity;
use k8s_openapi::api::core::v1::{PodSpec, ResourceClaim, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;

use super::absent::{list, text};
use super::aggregate::{self, List};
use super::options::Options;
use super::rules::{NEGATIVE, dns_label};

const HUGE_PAGES: &str = "hugepages-";
/// Unprefixed resources that are counted in whole numbers.
const INTEGER_RESOURCES: &[&str] = &[
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "services.nodeports",
    "services.loadbalancers",
];
/// Resources whose names need no domain.
const STANDARD_RESOURCES: &[&str] = &[
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "storage",
    "requests.storage",
    "services.nodeports",
    "services.loadbalancers",
];
/// What upstream's sums can be asked for at the level of pods, besides pages of each size.
const POD_RESOURCES: &[&str] = &["cpu", "memory"];

pub(super) fn validate_container(
    requirements: &ResourceRequirements,
    spec: &PodSpec,
    options: &Options,
    path: &Path,
) -> ErrorList {
    validate(requirements, validate_container_name, &claim_names(spec), options, path)
}

/// The resources of the pod as a whole.
pub(super) fn validate_pod(spec: &PodSpec, options: &Options, path: &Path) -> ErrorList {
    let Some(requirements) = &spec.resources else { return ErrorList::new() };
    let path = path.child("resources");
    if spec.os.as_ref().is_some_and(|os| os.name == "windows") {
        return Error::forbidden(&path, "may not be set for a windows pod").into();
    }
    let mut errors = ErrorList::new();
    if !list(&requirements.claims).is_empty() {
        let detail = "claims may not be set for Resources at pod-level";
        errors.push(Error::forbidden(&path.child("claims"), detail));
    }
    errors.extend(validate(requirements, validate_pod_name, &claim_names(spec), options, &path));
    errors.extend(validate_sums(spec, requirements, &path));
    errors
}

/// What the pod itself costs, beside its containers.
pub(crate) fn validate_overhead(overhead: &BTreeMap<String, ApiQuantity>, options: &Options, path: &Path) -> ErrorList {
    let requirements = ResourceRequirements { limits: Some(overhead.clone()), ..Default::default() };
    validate(&requirements, validate_container_name, &BTreeSet::new(), options, path)
}

/// Whether the resource is memory in pages of one size.
pub(super) fn is_huge_pages(name: &str) -> bool {
    name.starts_with(HUGE_PAGES)
}

/// Whether the resource can be requested for a pod as a whole.
pub(super) fn is_pod_level(name: &str) -> bool {
    POD_RESOURCES.contains(&name) || is_huge_pages(name)
}

/// Whether more of the resource can be promised in limits than there is.
pub(crate) fn is_overcommittable(name: &str) -> bool {
    is_native(name) && !is_huge_pages(name)
}

/// Whether a quantity of huge pages is no multiple of their size.
pub(super) fn has_indivisible_huge_pages(requirements: Option<&ResourceRequirements>) -> bool {
    let Some(requirements) = requirements else { return false };
    let mut quantities = requirements.limits.iter().chain(&requirements.requests).flatten();
    quantities.any(|(name, quantity)| {
        is_huge_pages(name) && Quantity::try_from(quantity).is_ok_and(|quantity| !is_divisible(name, &quantity))
    })
}

/// That the quantity is not negative, and whole where fractions mean nothing.
pub(crate) fn validate_quantity(name: &str, quantity: &Quantity, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if quantity.signum() < 0 {
        errors.push(Error::invalid(path, quantity.to_string(), NEGATIVE));
    }
    let is_integer = INTEGER_RESOURCES.contains(&name) || is_extended(name);
    if is_integer && quantity.milli_value() % 1000 != 0 {
        errors.push(Error::invalid(path, BadValue::json(quantity), "must be an integer"));
    }
    errors
}

type NameRule = fn(&str, &Path) -> ErrorList;

fn validate(
    requirements: &ResourceRequirements,
    validate_name: NameRule,
    claim_names: &BTreeSet<&str>,
    options: &Options,
    path: &Path,
) -> ErrorList {
    let mut errors = ErrorList::new();
    let (limits_path, requests_path) = (path.child("limits"), path.child("requests"));
    let (mut any_ordinary, mut any_huge) = (false, false);
    let mut limits = BTreeMap::new();
    for (is_limit, lists, list_path) in
        [(true, &requirements.limits, &limits_path), (false, &requirements.requests, &requests_path)]
    {
        for (name, quantity) in lists.iter().flatten() {
            let path = list_path.key(name);
            errors.extend(validate_name(name, &path));
            let quantity = match Quantity::try_from(quantity) {
                Ok(parsed) => parsed,
                Err(error) => {
                    errors.push(Error::invalid(&path, &*quantity.0, error.to_string()));
                    continue;
                }
            };
            errors.extend(validate_quantity(name, &quantity, &path));
            if !is_limit {
                errors.extend(validate_against_limit(name, &quantity, limits.get(name), &requests_path, &limits_path));
            }
            if is_huge_pages(name) {
                any_huge = true;
                if !options.allow_indivisible_huge_pages && !is_divisible(name, &quantity) {
                    let detail = format!("{quantity} is not positive integer multiple of {name}");
                    errors.push(Error::invalid(&path, quantity.to_string(), detail));
                }
            }
            any_ordinary |= matches!(&**name, "cpu" | "memory");
            if is_limit {
                limits.insert(name.clone(), quantity);
            }
        }
    }
    if any_huge && !any_ordinary {
        errors.push(Error::forbidden(path, "HugePages require cpu or memory"));
    }
    errors.extend(validate_claims(list(&requirements.claims), claim_names, &path.child("claims")));
    errors
}

fn validate_against_limit(
    name: &str,
    request: &Quantity,
    limit: Option<&Quantity>,
    requests_path: &Path,
    limits_path: &Path,
) -> Option<Error> {
    let overcommittable = is_overcommittable(name);
    let Some(limit) = limit else {
        let detail = "Limit must be set for non overcommitable resources";
        return (!overcommittable).then(|| Error::required(limits_path, detail));
    };
    let relation = match request.cmp(limit) {
        std::cmp::Ordering::Equal => return None,
        _ if !overcommittable => "equal to",
        std::cmp::Ordering::Greater => "less than or equal to",
        std::cmp::Ordering::Less => return None,
    };
    let detail = format!("must be {relation} {name} limit of {limit}");
    Some(Error::invalid(requests_path, request.to_string(), detail))
}

/// That each claim is one of the pod's, and that none is used twice, as a whole or in parts.
fn validate_claims(claims: &[ResourceClaim], known: &BTreeSet<&str>, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut used: HashSet<(&str, &str)> = HashSet::new();
    for (i, claim) in claims.iter().enumerate() {
        let path = path.index(i);
        let (name, request) = (&*claim.name, text(&claim.request));
        if name.is_empty() {
            errors.push(Error::required(&path, ""));
            continue;
        }
        if used.contains(&(name, "")) {
            errors.push(Error::duplicate(&path, name));
        } else {
            if !request.is_empty() {
                errors.extend(dns_label(request, &path.child("request")));
                if used.contains(&(name, request)) {
                    errors.push(Error::duplicate(&path, format!("{name}/{request}")));
                }
            } else {
                let parts = used.iter().filter(|(used, _)| *used == name);
                errors.extend(parts.map(|_| Error::duplicate(&path, name)));
            }
            used.insert((name, request));
        }
        if !known.contains(name) {
            let mut error = Error::not_found(&path, name);
            let names: Vec<&str> = known.iter().copied().collect();
            error.detail = "must be one of the names in pod.spec.resourceClaims".to_owned()
                + &(if names.is_empty() { " which is empty".to_owned() } else { format!(": {}", names.join(", ")) });
            errors.push(error);
        }
    }
    errors
}

/// That the pod's requests and limits leave room for those of its containers.
fn validate_sums(spec: &PodSpec, requirements: &ResourceRequirements, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let requests = aggregate::parse(requirements.requests.as_ref());
    let limits = aggregate::parse(requirements.limits.as_ref());
    let check = |errors: &mut ErrorList, sums: &List, stated: &List, field: &str| {
        for (name, sum) in sums {
            if let Some(own) = stated.get(name).filter(|own| sum > own) {
                let detail = format!("must be greater than or equal to aggregate container {field} of {sum}");
                errors.push(Error::invalid(&path.child(field).key(name), own.to_string(), detail));
            }
        }
    };
    check(&mut errors, &aggregate::requests(spec), &requests, "requests");
    let mut huge_pages = aggregate::limits(spec);
    huge_pages.retain(|name, _| is_huge_pages(name));
    check(&mut errors, &huge_pages, &limits, "limits");
    for (i, container) in spec.containers.iter().enumerate() {
        let own = container.resources.as_ref().and_then(|resources| resources.limits.as_ref());
        for (name, limit) in aggregate::parse(own) {
            if let Some(of_pod) = limits.get(&name).filter(|of_pod| limit > **of_pod) {
                let path = path.child("containers").index(i).key(&name).child("limits");
                let detail = format!("must be less than or equal to pod limits of {of_pod}");
                errors.push(Error::invalid(&path, limit.to_string(), detail));
            }
        }
    }
    errors
}

fn claim_names(spec: &PodSpec) -> BTreeSet<&str> {
    list(&spec.resource_claims).iter().map(|claim| &*claim.name).filter(|name| !name.is_empty()).collect()
}

pub(super) fn validate_container_name(name: &str, path: &Path) -> ErrorList {
    let mut errors = validate_name(name, path);
    let refused = if !name.contains('/') {
        let known = matches!(name, "cpu" | "memory" | "ephemeral-storage") || is_huge_pages(name);
        (!known).then_some("must be a standard resource for containers")
    } else {
        (!is_native(name) && !is_extended(name)).then_some("doesn't follow extended resource name standard")
    };
    errors.extend(refused.map(|detail| Error::invalid(path, BadValue::json(name), detail)));
    errors
}

fn validate_pod_name(name: &str, path: &Path) -> ErrorList {
    let mut errors = validate_name(name, path);
    if errors.is_empty() && !is_pod_level(name) {
        errors.push(Error::not_supported(path, BadValue::json(name), &["cpu", HUGE_PAGES, "memory"]));
    }
    errors
}

/// That the name is one that Kubernetes knows or one with a domain, whatever it is the name of.
pub(crate) fn validate_name(name: &str, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    errors.push_invalid(path, name, names::label_key(name));
    let is_known = STANDARD_RESOURCES.contains(&name) || is_huge_pages(name.strip_prefix("requests.").unwrap_or(name));
    if errors.is_empty() && !name.contains('/') && !is_known {
        let detail = "must be a standard resource type or fully qualified";
        errors.push(Error::invalid(path, BadValue::json(name), detail));
    }
    errors
}

/// Whether Kubernetes itself gives the name its meaning.
fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

/// Whether the name is someone else's, and can be used in quotas, too.
pub(crate) fn is_extended(name: &str) -> bool {
    let quota_name = format!("requests.{name}");
    !is_native(name) && !name.starts_with("requests.") && names::label_key(&quota_name).is_empty()
}

fn is_divisible(name: &str, quantity: &Quantity) -> bool {
    let Ok(page) = Quantity::parse(name.trim_start_matches(HUGE_PAGES)) else { return false };
    page.signum() > 0 && page.milli_value() % 1000 == 0 && quantity.value() % page.value() == 0
}
