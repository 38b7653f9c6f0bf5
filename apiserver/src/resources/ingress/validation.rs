//! Rules of Ingresses, and what older rules had let through and an update may keep.

use api::field::{BadValue, Error, ErrorList, Path};
use api::names::{
    dns1123_subdomain, object_dns_label, object_dns_subdomain, object_dns1035_label, parse_ip_sloppy,
    path_segment_name, port_name, port_number, wildcard_dns1123_subdomain,
};
use k8s_openapi::api::core::v1::TypedLocalObjectReference;
use k8s_openapi::api::networking::v1::{
    HTTPIngressPath, HTTPIngressRuleValue, Ingress, IngressBackend, IngressRule, IngressServiceBackend, IngressSpec,
    IngressTLS,
};

use super::{CLASS_ANNOTATION, class_annotation, class_name, points};
use crate::resources::addresses::legacy_ip;

const EXACT: &str = "Exact";
const IMPLEMENTATION_SPECIFIC: &str = "ImplementationSpecific";
const PREFIX: &str = "Prefix";
const PATH_TYPES: [&str; 3] = [EXACT, IMPLEMENTATION_SPECIFIC, PREFIX];
/// What a path that is compared by its elements may not contain, and not end with.
const INVALID_SEQUENCES: [&str; 5] = ["//", "/./", "/../", "%2f", "%2F"];
const INVALID_SUFFIXES: [&str; 2] = ["/..", "/."];

/// What an update may keep of an Ingress that was stored under older rules.
#[derive(Clone, Copy, Default)]
struct Leave {
    /// Names of Secrets that are none.
    secret_names: bool,
    /// Anything in rules whose host is a wildcard, which were not looked at once.
    wildcard_rules: bool,
}

/// A new Ingress.
pub(super) fn create(ingress: &Ingress) -> ErrorList {
    let mut errors = with_leave(ingress, Leave::default());
    if let (Some(annotation), Some(name)) = (class_annotation(ingress), class_name(ingress))
        && annotation != name
    {
        // Upstream leaves out that annotations are in the metadata.
        let path = Path::new("annotations").child(CLASS_ANNOTATION);
        let detail = "must match `ingressClassName` when both are specified";
        errors.push(Error::invalid(&path, annotation, detail));
    }
    errors
}

/// A changed Ingress.
pub(super) fn update(new: &Ingress, old: &Ingress) -> ErrorList {
    let (tls, rules) = old.spec.as_ref().map_or((&[][..], &[][..]), |spec| (tls(spec), rules(spec)));
    let has_wrong_secret = |tls: &IngressTLS| !secret_name(tls).is_empty();
    // What counted as wrong then is judged by the rule for Services' names of then.
    let is_wrong = |rule: &IngressRule| {
        let errors = rule_value(rule, &Path::nil(), object_dns1035_label);
        host(rule).contains('*') && !errors.is_empty()
    };
    let leave = Leave { secret_names: tls.iter().any(has_wrong_secret), wildcard_rules: rules.iter().any(is_wrong) };
    with_leave(new, leave)
}

/// An Ingress whose status changed.
pub(super) fn status(new: &Ingress, old: &Ingress) -> ErrorList {
    let path = Path::new("status").child("loadBalancer").child("ingress");
    let stored: Vec<String> = points(old).iter().filter_map(|point| point.ip.clone()).collect();
    let mut errors = ErrorList::new();
    for (i, point) in points(new).iter().enumerate() {
        let path = path.index(i);
        let (ip, hostname) = (point.ip.as_deref().unwrap_or_default(), point.hostname.as_deref().unwrap_or_default());
        if !ip.is_empty() {
            errors.extend(legacy_ip(&path.child("ip"), ip, &stored));
        }
        if !hostname.is_empty() {
            let path = path.child("hostname");
            errors.push_invalid(&path, hostname, dns1123_subdomain(hostname));
            errors.extend(not_an_ip(hostname, &path));
        }
    }
    errors
}

fn with_leave(ingress: &Ingress, leave: Leave) -> ErrorList {
    let none = IngressSpec::default();
    let spec = ingress.spec.as_ref().unwrap_or(&none);
    let path = Path::new("spec");
    let mut errors = ErrorList::new();
    if rules(spec).is_empty() && spec.default_backend.is_none() {
        let detail = "either `defaultBackend` or `rules` must be specified";
        errors.push(Error::invalid(&path, BadValue::null(), detail));
    }
    if let Some(default) = &spec.default_backend {
        errors.extend(backend(default, &path.child("defaultBackend"), object_dns_label));
    }
    for (i, rule) in rules(spec).iter().enumerate() {
        let path = path.child("rules").index(i);
        errors.extend(rule_host(rule, &path.child("host")));
        if !(leave.wildcard_rules && host(rule).contains('*')) {
            errors.extend(rule_value(rule, &path, object_dns_label));
        }
    }
    for (i, tls) in tls(spec).iter().enumerate() {
        let path = path.child("tls").index(i);
        for (j, host) in tls.hosts.iter().flatten().enumerate() {
            errors.push_invalid(&path.child("hosts").index(j), host, host_name(host));
        }
        if !leave.secret_names {
            let name = tls.secret_name.as_deref().unwrap_or_default();
            errors.push_invalid(&path.child("secretName"), name, secret_name(tls));
        }
    }
    if let Some(class) = &spec.ingress_class_name {
        errors.push_invalid(&path.child("ingressClassName"), class, object_dns_subdomain(class, false));
    }
    errors
}

fn rules(spec: &IngressSpec) -> &[IngressRule] {
    spec.rules.as_deref().unwrap_or_default()
}

fn tls(spec: &IngressSpec) -> &[IngressTLS] {
    spec.tls.as_deref().unwrap_or_default()
}

fn host(rule: &IngressRule) -> &str {
    rule.host.as_deref().unwrap_or_default()
}

/// What is wrong with the name of the Secret with the certificate. There need not be one.
fn secret_name(tls: &IngressTLS) -> Vec<String> {
    let name = tls.secret_name.as_deref().filter(|name| !name.is_empty());
    name.map(|name| object_dns_subdomain(name, false)).unwrap_or_default()
}

fn host_name(host: &str) -> Vec<String> {
    if host.contains('*') { wildcard_dns1123_subdomain(host) } else { dns1123_subdomain(host) }
}

fn rule_host(rule: &IngressRule, path: &Path) -> ErrorList {
    let host = host(rule);
    let mut errors = ErrorList::new();
    if !host.is_empty() {
        errors.extend(not_an_ip(host, path));
        errors.push_invalid(path, host, host_name(host));
    }
    errors
}

fn not_an_ip(name: &str, path: &Path) -> Option<Error> {
    parse_ip_sloppy(name).map(|_| Error::invalid(path, name, "must be a DNS name, not an IP address"))
}

/// The rule for the name of a Service.
type ServiceName = fn(&str, bool) -> Vec<String>;

fn rule_value(rule: &IngressRule, path: &Path, service_name: ServiceName) -> ErrorList {
    let Some(HTTPIngressRuleValue { paths }) = &rule.http else { return ErrorList::new() };
    let path = path.child("http").child("paths");
    let mut errors = ErrorList::new();
    if paths.is_empty() {
        errors.push(Error::required(&path, ""));
    }
    for (i, of_rule) in paths.iter().enumerate() {
        errors.extend(http_path(of_rule, &path.index(i), service_name));
    }
    errors
}

fn http_path(of_rule: &HTTPIngressPath, path: &Path, service_name: ServiceName) -> ErrorList {
    let type_path = path.child("pathType");
    let value_path = path.child("path");
    let value = of_rule.path.as_deref().unwrap_or_default();
    let mut errors = ErrorList::new();
    let not_absolute = || Error::invalid(&value_path, value, "must be an absolute path");
    match of_rule.path_type.as_str() {
        "" => return Error::required(&type_path, "pathType must be specified").into(),
        EXACT | PREFIX => {
            errors.extend((!value.starts_with('/')).then(not_absolute));
            for sequence in INVALID_SEQUENCES.into_iter().filter(|sequence| value.contains(sequence)) {
                errors.push(Error::invalid(&value_path, value, format!("must not contain '{sequence}'")));
            }
            for suffix in INVALID_SUFFIXES.into_iter().filter(|suffix| value.ends_with(suffix)) {
                errors.push(Error::invalid(&value_path, value, format!("cannot end with '{suffix}'")));
            }
        }
        IMPLEMENTATION_SPECIFIC => {
            errors.extend((!value.is_empty() && !value.starts_with('/')).then(not_absolute));
        }
        other => errors.push(Error::not_supported(&type_path, other, &PATH_TYPES)),
    }
    errors.extend(backend(&of_rule.backend, &path.child("backend"), service_name));
    errors
}

fn backend(backend: &IngressBackend, path: &Path, service_name: ServiceName) -> ErrorList {
    match (&backend.resource, &backend.service) {
        (Some(_), Some(_)) => Error::invalid(path, "", "cannot set both resource and service backends").into(),
        (Some(resource), None) => reference(resource, &path.child("resource")),
        (None, Some(service)) => service_backend(service, path, service_name),
        (None, None) => Error::invalid(path, "", "resource or service backend is required").into(),
    }
}

fn service_backend(service: &IngressServiceBackend, path: &Path, service_name: ServiceName) -> ErrorList {
    let service_path = path.child("service");
    let name_path = service_path.child("name");
    let mut errors = ErrorList::new();
    if service.name.is_empty() {
        errors.push(Error::required(&name_path, ""));
    } else {
        errors.push_invalid(&name_path, &service.name, service_name(&service.name, false));
    }
    let port = service.port.as_ref();
    let name = port.and_then(|port| port.name.as_deref()).unwrap_or_default();
    let number = port.and_then(|port| port.number).unwrap_or(0);
    let port_path = service_path.child("port");
    match (name, number) {
        ("", 0) => errors.push(Error::required(path, "port name or number is required")),
        ("", number) => {
            let path = port_path.child("number");
            let messages = port_number(number.into()).into_iter();
            errors.extend(messages.map(|message| Error::invalid(&path, number, message)));
        }
        (name, 0) => errors.push_invalid(&port_path.child("name"), name, port_name(name)),
        _ => errors.push(Error::invalid(path, "", "cannot set both port name & port number")),
    }
    errors
}

fn reference(resource: &TypedLocalObjectReference, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if let Some(group) = &resource.api_group {
        errors.push_invalid(&path.child("apiGroup"), group, dns1123_subdomain(group));
    }
    for (field, value) in [("kind", &resource.kind), ("name", &resource.name)] {
        let path = path.child(field);
        if value.is_empty() {
            errors.push(Error::required(&path, ""));
        } else {
            errors.push_invalid(&path, value, path_segment_name(value));
        }
    }
    errors
}
