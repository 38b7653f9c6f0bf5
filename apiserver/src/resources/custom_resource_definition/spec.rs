//! The rules of a definition's spec and status.

use std::collections::HashSet;

use api::field::{BadValue, Error, ErrorList, Path, is_go_printable};
use api::names::{dns1035_label, dns1123_subdomain};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceConversion, CustomResourceDefinitionNames, CustomResourceDefinitionSpec,
    CustomResourceDefinitionStatus, CustomResourceDefinitionVersion,
};

use super::options::Options;
use super::shown::ShownVersion;
use super::version;
use super::view::{Version, View, schemas};
use super::walk::{any, set};
use super::webhook_client;

const SCOPES: [&str; 2] = ["Cluster", "Namespaced"];
const STRATEGIES: [&str; 2] = ["None", "Webhook"];
const REVIEW_VERSIONS: [&str; 2] = ["v1", "v1beta1"];
/// Longest warning that a version is deprecated.
const MAX_WARNING_BYTES: usize = 256;

/// Whether one of the versions is one that this server speaks.
pub(super) fn knows_review_version(versions: &[String]) -> bool {
    versions.iter().any(|version| REVIEW_VERSIONS.contains(&version.as_str()))
}

/// What is wrong with a spec.
pub(super) fn validate(spec: &CustomResourceDefinitionSpec, options: Options, path: &Path) -> ErrorList {
    let view = View::new(spec);
    let mut errors = group_and_scope(spec, path);
    let preserves = set(spec.preserve_unknown_fields);
    errors.extend(missing_schemas(&view, options, preserves, path));
    let has_defaults = schemas(spec).any(|schema| any(schema, &mut |schema| schema.default.is_some()));
    if has_defaults && preserves {
        let detail = "must be false in order to use defaults in the schema";
        errors.push(Error::invalid(&path.child("preserveUnknownFields"), true, detail));
    }
    let has_extensions = schemas(spec).any(|schema| any(schema, &mut version::uses_extensions));
    let structural = options.require_structural || !preserves || has_defaults || has_extensions;
    let options = Options { require_structural: structural, ..options };
    errors.extend(versions(&view, &options, path));
    errors.extend(spec_names(&spec.names, &path.child("names")));
    let status = view.versions.iter().map(|version| version.subresources).chain([view.subresources]);
    let any_status = status.flatten().any(|subresources| subresources.status.is_some());
    if let Some(validation) = view.validation {
        errors.extend(version::schema(validation, any_status, &options, &path.child("validation")));
    }
    errors.extend(version::subresources(view.subresources, &path.child("subresources")));
    errors.extend(version::columns(view.columns, &path.child("additionalPrinterColumns")));
    if !view.selectable_fields.is_empty() {
        let schema = view.validation.map(|validation| validation.open_api_v3_schema.as_ref());
        let missing = "selectableFields may only be set when validations.schema is included";
        errors.extend(version::selectable_fields(view.selectable_fields, schema, missing, path));
    }
    if let Some(conversion) = &spec.conversion {
        let path = path.child("conversion");
        if conversion.strategy != "None" && preserves {
            let detail = "must be None if spec.preserveUnknownFields is true";
            errors.push(Error::invalid(&path.child("strategy"), &conversion.strategy, detail));
        }
        errors.extend(validate_conversion(conversion, &options, &path));
    }
    errors
}

fn group_and_scope(spec: &CustomResourceDefinitionSpec, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let (group, group_path) = (&spec.group, path.child("group"));
    let messages = dns1123_subdomain(group);
    if group.is_empty() {
        errors.push(Error::required(&group_path, ""));
    } else if !messages.is_empty() {
        errors.push(Error::invalid(&group_path, group, messages.join(",")));
    } else if !group.contains('.') {
        errors.push(Error::invalid(&group_path, group, "should be a domain with at least one dot"));
    }
    errors.extend(validate_enum(&spec.scope, &SCOPES, &path.child("scope")));
    errors
}

fn validate_enum(value: &str, accepted: &[&str], path: &Path) -> Option<Error> {
    match value {
        "" => Some(Error::required(path, "")),
        value => (!accepted.contains(&value)).then(|| Error::not_supported(path, value, accepted)),
    }
}

fn missing_schemas(view: &View<'_>, options: Options, preserves: bool, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if view.validation.is_some_and(|validation| validation.open_api_v3_schema.is_some()) {
        return errors;
    }
    for (i, version) in view.versions.iter().enumerate() {
        if version.schema.is_some_and(|schema| schema.open_api_v3_schema.is_some()) {
            continue;
        }
        let path = path.child("versions").index(i).child("schema").child("openAPIV3Schema");
        if options.require_schema {
            errors.push(Error::required(&path, "schemas are required"));
        } else if !preserves && version.source.served {
            errors.push(Error::required(&path, "because otherwise all fields are pruned"));
        }
    }
    errors
}

fn versions(view: &View<'_>, options: &Options, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let path = path.child("versions");
    let mut names = HashSet::new();
    let mut unique = true;
    for (i, version) in view.versions.iter().enumerate() {
        let (name, path) = (&version.source.name, path.index(i));
        unique &= names.insert(name);
        let messages = dns1035_label(name);
        if !messages.is_empty() {
            errors.push(Error::invalid(&path.child("name"), name, messages.join(",")));
        }
        let status = view.subresources_of(version).is_some_and(|subresources| subresources.status.is_some());
        errors.extend(validate_version(version, status, options, &path));
    }
    let shown = || BadValue::json(&view.versions.iter().map(ShownVersion::from).collect::<Vec<_>>());
    if !unique {
        errors.push(Error::invalid(&path, shown(), "must contain unique version names"));
    }
    if view.versions.iter().filter(|version| version.source.storage).count() != 1 {
        errors.push(Error::invalid(&path, shown(), "must have exactly one version marked as storage version"));
    }
    // The first version's name is the spec's own `version`, too.
    if let Some(first) = view.versions.first().filter(|first| !first.source.name.is_empty()) {
        let messages = dns1035_label(&first.source.name);
        if !messages.is_empty() {
            errors.push(Error::invalid(&Path::new("spec").child("version"), &first.source.name, messages.join(",")));
        }
    }
    errors
}

fn validate_version(version: &Version<'_>, status: bool, options: &Options, path: &Path) -> ErrorList {
    let mut errors = deprecation(version.source, &path.child("deprecationWarning"));
    if let Some(validation) = version.schema {
        errors.extend(version::schema(validation, status, options, &path.child("schema")));
    }
    errors.extend(version::subresources(version.subresources, &path.child("subresources")));
    errors.extend(version::columns(version.columns, &path.child("additionalPrinterColumns")));
    if !version.selectable_fields.is_empty() {
        let schema = version.schema.and_then(|schema| schema.open_api_v3_schema.as_ref());
        let missing = "selectableFields may only be set when version.schema.openAPIV3Schema is not included";
        errors.extend(version::selectable_fields(version.selectable_fields, schema.map(Some), missing, path));
    }
    errors
}

fn deprecation(version: &CustomResourceDefinitionVersion, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let Some(warning) = &version.deprecation_warning else { return errors };
    if !set(version.deprecated) {
        return Error::invalid(path, warning, "can only be set for deprecated versions").into();
    }
    if warning.len() > MAX_WARNING_BYTES {
        errors.push(Error::invalid(path, warning, format!("must be <= {MAX_WARNING_BYTES} characters long")));
    }
    if warning.is_empty() {
        errors.push(Error::invalid(path, warning, "must not be an empty string"));
    }
    if let Some((at, _)) = warning.char_indices().find(|(_, c)| !is_go_printable(*c)) {
        let detail =
            format!("must only contain printable UTF-8 characters; non-printable character found at index {at}");
        errors.push(Error::invalid(path, warning, detail));
    }
    errors
}

fn spec_names(names: &CustomResourceDefinitionNames, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let required = [
        ("plural", names.plural.clone()),
        ("singular", text(&names.singular)),
        ("kind", names.kind.clone()),
        ("listKind", text(&names.list_kind)),
    ];
    for (field, value) in required {
        if value.is_empty() {
            errors.push(Error::required(&path.child(field), ""));
        }
    }
    errors.extend(validate_names(names, path));
    errors
}

/// What is wrong with names, those that are missing excepted.
fn validate_names(names: &CustomResourceDefinitionNames, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut check = |value: &str, path: &Path, mixed: bool| {
        let messages = if mixed { dns1035_label(&value.to_lowercase()) } else { dns1035_label(value) };
        if !messages.is_empty() {
            let prefix = if mixed { "may have mixed case, but should otherwise match: " } else { "" };
            errors.push(Error::invalid(path, value, format!("{prefix}{}", messages.join(","))));
        }
    };
    let (singular, list_kind) =
        (names.singular.as_deref().unwrap_or_default(), names.list_kind.as_deref().unwrap_or_default());
    for (field, value, mixed) in [
        ("plural", names.plural.as_str(), false),
        ("singular", singular, false),
        ("kind", names.kind.as_str(), true),
        ("listKind", list_kind, true),
    ] {
        if !value.is_empty() {
            check(value, &path.child(field), mixed);
        }
    }
    for (i, name) in names.short_names.iter().flatten().enumerate() {
        check(name, &path.child("shortNames").index(i), false);
    }
    if !names.kind.is_empty() && names.kind == list_kind {
        let detail = "kind and listKind may not be the same";
        errors.push(Error::invalid(&path.child("listKind"), list_kind, detail));
    }
    for (i, category) in names.categories.iter().flatten().enumerate() {
        let messages = dns1035_label(category);
        if !messages.is_empty() {
            errors.push(Error::invalid(&path.child("categories").index(i), category, messages.join(",")));
        }
    }
    errors
}

fn validate_conversion(conversion: &CustomResourceConversion, options: &Options, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    errors.extend(validate_enum(&conversion.strategy, &STRATEGIES, &path.child("strategy")));
    let webhook = conversion.webhook.as_ref();
    let client = webhook.and_then(|webhook| webhook.client_config.as_ref());
    let reviews = webhook.map(|webhook| webhook.conversion_review_versions.as_slice()).unwrap_or_default();
    let (client_path, reviews_path) = (path.child("webhookClientConfig"), path.child("conversionReviewVersions"));
    if conversion.strategy != "Webhook" {
        let detail = "should not be set when strategy is not set to Webhook";
        errors.extend(client.map(|_| Error::forbidden(&client_path, detail)));
        errors.extend((!reviews.is_empty()).then(|| Error::forbidden(&reviews_path, detail)));
        return errors;
    }
    match client {
        None => errors.push(Error::required(&client_path, "required when strategy is set to Webhook")),
        Some(client) => {
            let service = client.service.as_ref().map(|service| webhook_client::Service {
                namespace: &service.namespace,
                name: &service.name,
                path: service.path.as_deref(),
                port: service.port.unwrap_or(webhook_client::DEFAULT_PORT),
            });
            errors.extend(webhook_client::validate(client.url.as_deref(), service, &client_path));
            let bundle = client.ca_bundle.as_ref().filter(|bundle| !bundle.0.is_empty());
            if let Some(bundle) = bundle.filter(|_| !options.allow_invalid_ca_bundle) {
                errors.extend(webhook_client::validate_ca_bundle(&bundle.0, &client_path.child("caBundle")));
            }
        }
    }
    errors.extend(review_versions(reviews, options.require_known_review_version, &reviews_path));
    errors
}

fn review_versions(versions: &[String], known: bool, path: &Path) -> ErrorList {
    if versions.is_empty() {
        return Error::required(path, "").into();
    }
    let mut errors = ErrorList::new();
    let mut seen = HashSet::new();
    for (i, version) in versions.iter().enumerate() {
        if seen.insert(version) {
            errors.push_invalid(&path.index(i), version, dns1035_label(version));
        } else {
            errors.push(Error::invalid(&path.index(i), version, "duplicate version"));
        }
    }
    if known && !knows_review_version(versions) {
        let detail = format!("must include at least one of {}", REVIEW_VERSIONS.join(", "));
        errors.push(Error::invalid(path, versions, detail));
    }
    errors
}

/// What is wrong with a status.
pub(super) fn validate_status(status: Option<&CustomResourceDefinitionStatus>, path: &Path) -> ErrorList {
    let names = status.and_then(|status| status.accepted_names.as_ref());
    names.map(|names| validate_names(names, &path.child("acceptedNames"))).unwrap_or_default()
}

/// That objects may be stored in the versions which the spec has, and in no other.
pub(super) fn validate_stored_versions(
    status: Option<&CustomResourceDefinitionStatus>,
    versions: &[CustomResourceDefinitionVersion],
    path: &Path,
) -> ErrorList {
    let stored = status.and_then(|status| status.stored_versions.as_deref()).unwrap_or_default();
    if stored.is_empty() {
        return Error::invalid(path, stored, "must have at least one stored version").into();
    }
    let mut errors = ErrorList::new();
    for version in versions.iter().filter(|version| version.storage && !stored.contains(&version.name)) {
        let detail = format!("must have the storage version {}", version.name);
        errors.push(Error::invalid(path, stored, detail));
    }
    let is_gone = |name: &String| !versions.iter().any(|version| version.name == *name);
    let last = |at: usize, name: &String| stored.iter().rposition(|other| other == name) == Some(at);
    for (i, name) in stored.iter().enumerate().filter(|(i, name)| is_gone(name) && last(*i, name)) {
        let detail = format!(
            "missing from spec.versions; {name} was previously a storage version, and must remain in spec.versions until \
             a storage migration ensures no data remains persisted in {name} and removes {name} from status.storedVersions"
        );
        errors.push(Error::invalid(&path.index(i), name, detail));
    }
    errors
}
