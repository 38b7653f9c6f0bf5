//! Rules that came later than objects which break them: an update may leave such an object as it is.

use api::field::Path;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

use super::open_api::TYPES;
use super::view::schemas;
use super::walk::{any, type_of};
use super::{defaults, list_type, spec, structural, webhook_client};

/// Which rules hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Options {
    /// Of the versions of conversion reviews, the server knows one.
    pub(super) require_known_review_version: bool,
    /// Scope and kind stay.
    pub(super) require_immutable_names: bool,
    /// Every version has a schema.
    pub(super) require_schema: bool,
    /// Types are those of OpenAPI.
    pub(super) require_valid_types: bool,
    /// Schemas are structural.
    pub(super) require_structural: bool,
    /// Defaults have only fields that are specified.
    pub(super) require_pruned_defaults: bool,
    /// Items of sets are atomic.
    pub(super) require_atomic_sets: bool,
    /// Items and keys of sets and maps are there, and not null.
    pub(super) require_sound_lists: bool,
    /// Certificates may be malformed.
    pub(super) allow_invalid_ca_bundle: bool,
}

impl Options {
    /// For a new definition.
    pub(super) const NEW: Options = Options {
        require_known_review_version: true,
        require_immutable_names: false,
        require_schema: true,
        require_valid_types: true,
        require_structural: true,
        require_pruned_defaults: true,
        require_atomic_sets: true,
        require_sound_lists: true,
        allow_invalid_ca_bundle: true,
    };

    /// For an update of `old`.
    pub(super) fn of_update(old: &CustomResourceDefinition) -> Options {
        let spec = &old.spec;
        let webhook = spec.conversion.as_ref().and_then(|conversion| conversion.webhook.as_ref());
        let reviews = webhook.map(|webhook| webhook.conversion_review_versions.as_slice()).unwrap_or_default();
        let bundle = webhook.and_then(|webhook| webhook.client_config.as_ref()?.ca_bundle.as_ref());
        let bundle = bundle.filter(|bundle| !bundle.0.is_empty());
        let established = is_established(old);
        let has_bad_bundle =
            bundle.is_some_and(|bundle| webhook_client::validate_ca_bundle(&bundle.0, &Path::nil()).is_some());
        let never =
            |broken: &dyn Fn(&_) -> bool| !schemas(spec).any(|schema| any(schema, &mut |schema| broken(schema)));
        let has_schema = |version: &super::view::Source| {
            version.schema.as_ref().is_some_and(|schema| schema.open_api_v3_schema.is_some())
        };
        Options {
            require_known_review_version: reviews.is_empty() || spec::knows_review_version(reviews),
            require_immutable_names: established,
            require_schema: spec.versions.iter().all(has_schema),
            require_valid_types: never(&|schema| !type_of(schema).is_empty() && !TYPES.contains(&type_of(schema))),
            require_structural: schemas(spec).all(|schema| {
                structural::unconvertible(schema).is_none() && structural::validate(schema, &Path::nil()).is_empty()
            }),
            require_pruned_defaults: !schemas(spec).any(defaults::are_not_pruned),
            require_atomic_sets: never(&list_type::has_items_that_are_not_atomic),
            require_sound_lists: never(&|schema| !list_type::soundness(schema, &Path::nil()).is_empty()),
            allow_invalid_ca_bundle: !established || has_bad_bundle,
        }
    }
}

fn is_established(definition: &CustomResourceDefinition) -> bool {
    let conditions = definition.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Established" && condition.status == "True")
}
