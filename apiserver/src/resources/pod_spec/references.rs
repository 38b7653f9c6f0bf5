//! References to the pod's own fields and resources (the downward API).

use api::field::{Error, ErrorList, Path};
use api::quantity::Quantity;
use k8s_openapi::api::core::v1::{ObjectFieldSelector, ResourceFieldSelector};

use super::absent::text;
use super::rules::{present, qualified_name};

/// What environment variables may show.
pub(super) const ENV_FIELDS: &[&str] = &[
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

/// What files may show.
pub(super) const VOLUME_FIELDS: &[&str] =
    &["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];

/// What can be named at all, here or there.
const KNOWN_FIELDS: &[&str] = &[
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.serviceAccountName",
    "spec.schedulerName",
    "status.phase",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

const RESOURCES: &[&str] = &[
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];

const BYTE_DIVISORS: &[&str] = &["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];

/// `fields` are those that may be shown here, besides single labels and annotations.
pub(super) fn validate_field(reference: &ObjectFieldSelector, fields: &[&str], path: &Path) -> ErrorList {
    let version = text(&reference.api_version);
    let field_path = path.child("fieldPath");
    let field = &*reference.field_path;
    if let Some(missing) = present(version, &path.child("apiVersion")).or_else(|| present(field, &field_path)) {
        return missing.into();
    }
    let refused = |why: String| Error::invalid(&field_path, field, format!("error converting fieldPath: {why}")).into();
    if version != "v1" {
        return refused(format!("unsupported pod version: {version}"));
    }
    match split_subscript(field) {
        Some(("metadata.annotations", key)) => qualified_name(&key.to_lowercase(), path),
        Some(("metadata.labels", key)) => qualified_name(key, path),
        Some(_) => refused(format!("field label does not support subscript: {field}")),
        None => {
            // What it was called before v1.
            let field = if field == "spec.host" { "spec.nodeName" } else { field };
            if !KNOWN_FIELDS.contains(&field) {
                return refused(format!("field label not supported: {field}"));
            }
            if fields.contains(&field) {
                return ErrorList::new();
            }
            Error::not_supported(&field_path, field, fields).into()
        }
    }
}

/// In volumes, which belong to no container, the container must be named.
pub(super) fn validate_resource(reference: &ResourceFieldSelector, in_volume: bool, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let resource = &*reference.resource;
    let is_huge_pages = ["limits.hugepages-", "requests.hugepages-"].iter().any(|prefix| resource.starts_with(prefix));
    if in_volume && text(&reference.container_name).is_empty() {
        errors.push(Error::required(&path.child("containerName"), ""));
    } else if resource.is_empty() {
        errors.push(Error::required(&path.child("resource"), ""));
    } else if !RESOURCES.contains(&resource) && !is_huge_pages {
        errors.push(Error::not_supported(&path.child("resource"), resource, RESOURCES));
    }
    let path = path.child("divisor");
    let divisor = match reference.divisor.as_ref().map(Quantity::try_from) {
        None => return errors,
        Some(Err(error)) => {
            errors.push(Error::invalid(&path, resource, error.to_string()));
            return errors;
        }
        Some(Ok(divisor)) if divisor.is_zero() => return errors,
        Some(Ok(divisor)) => divisor.to_string(),
    };
    let (divisors, described) = match resource.split_once('.').map(|(_, name)| name) {
        Some("cpu") => (&["1m", "1"][..], "1m and 1 are supported with the cpu resource"),
        Some("memory") => (BYTE_DIVISORS, "memory"),
        Some("ephemeral-storage") => (BYTE_DIVISORS, "local ephemeral storage"),
        _ if is_huge_pages => (BYTE_DIVISORS, "hugepages"),
        _ => return errors,
    };
    if !divisors.contains(&&*divisor) {
        let detail = if divisors == BYTE_DIVISORS {
            format!("{} are supported with the {described} resource", BYTE_DIVISORS.join(", "))
        } else {
            described.to_owned()
        };
        errors.push(Error::invalid(&path, resource, format!("only divisor's values {detail}")));
    }
    errors
}

/// `path['key']` as its two parts.
fn split_subscript(field: &str) -> Option<(&str, &str)> {
    let (path, key) = field.strip_suffix("']")?.split_once("['")?;
    (!path.is_empty()).then_some((path, key))
}
