//! How a pod resolves names, and what it is called itself.

use api::field::{BadValue, Error, ErrorList, Path};
use api::names;
use k8s_openapi::api::core::v1::{HostAlias, PodDNSConfig, PodSpec};

use super::absent::{is_true, list, text};
use super::rules::{dns_label, dns_subdomain, named, one_of};

const POLICIES: &[&str] = &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
/// What libc's resolver can take.
const MAX_NAMESERVERS: usize = 3;
const MAX_SEARCH_PATHS: usize = 32;
const MAX_SEARCH_BYTES: usize = 2048;
/// What Linux can take.
const MAX_HOSTNAME_BYTES: usize = 64;

pub(super) fn validate_policy(policy: &str, path: &Path) -> Option<Error> {
    one_of(policy, POLICIES, path)
}

pub(super) fn validate_config(config: Option<&PodDNSConfig>, policy: &str, path: &Path) -> ErrorList {
    let nameservers = config.map_or(&[][..], |config| list(&config.nameservers));
    let Some(config) = config else {
        let detail = "must provide `dnsConfig` when `dnsPolicy` is None";
        return (policy == "None").then(|| Error::required(path, detail)).into_iter().collect();
    };
    if policy == "None" && nameservers.is_empty() {
        let detail = "must provide at least one DNS nameserver when `dnsPolicy` is None";
        return Error::required(&path.child("nameservers"), detail).into();
    }
    let mut errors = ErrorList::new();
    let nameservers_path = path.child("nameservers");
    if nameservers.len() > MAX_NAMESERVERS {
        let detail = format!("must not have more than {MAX_NAMESERVERS} nameservers");
        errors.push(Error::invalid(&nameservers_path, BadValue::json(nameservers), detail));
    }
    for (i, nameserver) in nameservers.iter().enumerate() {
        errors.extend(names::legacy_ip(&nameservers_path.index(i), nameserver, true));
    }
    errors.extend(validate_searches(list(&config.searches), &path.child("searches")));
    for (i, option) in list(&config.options).iter().enumerate() {
        if text(&option.name).is_empty() {
            errors.push(Error::required(&path.child("options").index(i), "must not be empty"));
        }
    }
    errors
}

pub(super) fn validate_host_aliases(aliases: &[HostAlias], path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (i, alias) in aliases.iter().enumerate() {
        let path = path.index(i);
        errors.extend(names::legacy_ip(&path.child("ip"), &alias.ip, true));
        for (j, hostname) in list(&alias.hostnames).iter().enumerate() {
            errors.extend(dns_subdomain(hostname, &path.child("hostnames").index(j)));
        }
    }
    errors
}

/// The pod's own name in the cluster's DNS.
pub(super) fn validate_hostname(spec: &PodSpec, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (field, value) in [("hostname", text(&spec.hostname)), ("subdomain", text(&spec.subdomain))] {
        if !value.is_empty() {
            errors.extend(dns_label(value, &path.child(field)));
        }
    }
    errors
}

/// The name that the pod's kernel knows, where it is another.
pub(super) fn validate_hostname_override(spec: &PodSpec, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let Some(hostname) = &spec.hostname_override else { return errors };
    let path = path.child("hostnameOverride");
    if is_true(spec.set_hostname_as_fqdn) {
        errors.push(Error::forbidden(&path, "may not be specified when setHostnameAsFQDN is true"));
    }
    if is_true(spec.host_network) {
        errors.push(Error::forbidden(&path, "may not be specified when hostNetwork is true"));
    }
    if hostname.len() > MAX_HOSTNAME_BYTES {
        errors.push(Error::too_long(&path, MAX_HOSTNAME_BYTES));
    }
    errors.extend(dns_subdomain(hostname, &path));
    errors
}

fn validate_searches(searches: &[String], path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if searches.len() > MAX_SEARCH_PATHS {
        let detail = format!("must not have more than {MAX_SEARCH_PATHS} search paths");
        errors.push(Error::invalid(path, BadValue::json(searches), detail));
    }
    if searches.join(" ").len() > MAX_SEARCH_BYTES {
        let detail =
            format!("must not have more than {MAX_SEARCH_BYTES} characters (including spaces) in the search list");
        errors.push(Error::invalid(path, BadValue::json(searches), detail));
    }
    for (i, search) in searches.iter().enumerate().filter(|(_, search)| *search != ".") {
        let search = search.strip_suffix('.').unwrap_or(search);
        errors.extend(named(search, names::dns1123_subdomain_with_underscore(search), &path.index(i)));
    }
    errors
}
