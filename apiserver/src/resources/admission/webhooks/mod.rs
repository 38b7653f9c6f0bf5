//! Webhooks that requests are sent to before they take effect, to be refused (validating) or changed (mutating).
//!
//! Both are the same but for one field, so that they share their rules. Some rules came later than configurations which
//! break them: an update is held to them if the stored configuration keeps them.

use std::collections::HashSet;

use api::field::{Error, ErrorList, Path};
use api::names::{dns1035_label, fully_qualified_name};
use api::selector::label::validate_api;
use k8s_openapi::api::admissionregistration::v1::{
    MatchCondition, MutatingWebhook, MutatingWebhookConfiguration, RuleWithOperations, ValidatingWebhook,
    ValidatingWebhookConfiguration, WebhookClientConfig,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::matching::{
    FAILURE_POLICIES, MATCH_POLICIES, REINVOCATION_POLICIES, validate_choice, validate_conditions, validate_rule,
};
use super::reserved_name_warnings;
use crate::resources::webhook_client;
use crate::strategy::{AGE_COLUMN, Column, NAME_COLUMN, Names, Strategy};

const REVIEW_VERSIONS: [&str; 2] = ["v1", "v1beta1"];
const SIDE_EFFECTS: [&str; 4] = ["None", "NoneOnDryRun", "Some", "Unknown"];
/// What a dry run may call.
const NO_SIDE_EFFECTS: [&str; 2] = ["None", "NoneOnDryRun"];
const TIMEOUTS: std::ops::RangeInclusive<i32> = 1..=30;
const DEFAULT_TIMEOUT: i32 = 10;

pub(crate) struct ValidatingWebhookConfigurations;
pub(crate) struct MutatingWebhookConfigurations;

/// What the two kinds of webhooks have alike.
struct Webhook<'a> {
    name: &'a str,
    client: &'a WebhookClientConfig,
    rules: &'a [RuleWithOperations],
    failure_policy: Option<&'a str>,
    match_policy: Option<&'a str>,
    namespace_selector: Option<&'a LabelSelector>,
    object_selector: Option<&'a LabelSelector>,
    side_effects: &'a str,
    timeout: Option<i32>,
    review_versions: &'a [String],
    conditions: Option<&'a Vec<MatchCondition>>,
    reinvocation_policy: Option<&'a str>,
}

macro_rules! webhook {
    ($hook:ident, $reinvocation:expr) => {
        Webhook {
            name: &$hook.name,
            client: &$hook.client_config,
            rules: $hook.rules.as_deref().unwrap_or_default(),
            failure_policy: $hook.failure_policy.as_deref(),
            match_policy: $hook.match_policy.as_deref(),
            namespace_selector: $hook.namespace_selector.as_ref(),
            object_selector: $hook.object_selector.as_ref(),
            side_effects: &$hook.side_effects,
            timeout: $hook.timeout_seconds,
            review_versions: &$hook.admission_review_versions,
            conditions: $hook.match_conditions.as_ref(),
            reinvocation_policy: $reinvocation,
        }
    };
}

impl<'a> From<&'a ValidatingWebhook> for Webhook<'a> {
    fn from(hook: &'a ValidatingWebhook) -> Self {
        webhook!(hook, None)
    }
}

impl<'a> From<&'a MutatingWebhook> for Webhook<'a> {
    fn from(hook: &'a MutatingWebhook) -> Self {
        webhook!(hook, hook.reinvocation_policy.as_deref())
    }
}

macro_rules! set_defaults {
    ($hook:ident) => {
        $hook.failure_policy.get_or_insert_with(|| "Fail".to_owned());
        $hook.match_policy.get_or_insert_with(|| "Equivalent".to_owned());
        $hook.namespace_selector.get_or_insert_default();
        $hook.object_selector.get_or_insert_default();
        $hook.timeout_seconds.get_or_insert(DEFAULT_TIMEOUT);
        if let Some(service) = &mut $hook.client_config.service {
            service.port.get_or_insert(webhook_client::DEFAULT_PORT);
        }
        for rule in $hook.rules.iter_mut().flatten() {
            rule.scope.get_or_insert_with(|| "*".to_owned());
        }
    };
}

macro_rules! strategy {
    ($kind:ty, $strategy:ty, $singular:literal, $default:expr) => {
        impl Strategy for $strategy {
            type Object = $kind;

            fn names(&self) -> Names {
                Names::of::<$kind>($singular, false).within(&["api-extensions"])
            }

            fn default(&self, object: &mut $kind) {
                object.webhooks.iter_mut().flatten().for_each($default);
            }

            fn generation(&self) -> Option<fn(new: &$kind, old: &$kind) -> bool> {
                Some(|new, old| new.webhooks != old.webhooks)
            }

            fn validate(&self, object: &$kind) -> ErrorList {
                validate(&hooks(&object.webhooks), Options::NEW)
            }

            fn validate_update(&self, new: &$kind, old: &$kind) -> ErrorList {
                let (new, old) = (hooks(&new.webhooks), hooks(&old.webhooks));
                validate(&new, Options::of_update(&new, &old))
            }

            fn warnings(&self, new: &$kind, _: Option<&$kind>) -> Vec<String> {
                reserved_name_warnings(&new.metadata)
            }

            fn columns(&self) -> &'static [Column] {
                COLUMNS
            }

            fn row(&self, object: &$kind, now: Timestamp) -> Vec<Value> {
                let age = api::duration::age(object.metadata.creation_timestamp.as_ref(), now);
                let count = object.webhooks.as_ref().map_or(0, Vec::len);
                vec![object.metadata.name.clone().into(), count.into(), age.into()]
            }

            fn allow_unconditional_update(&self) -> bool {
                false
            }
        }
    };
}

strategy!(
    ValidatingWebhookConfiguration,
    ValidatingWebhookConfigurations,
    "validatingwebhookconfiguration",
    |hook: &mut ValidatingWebhook| {
        set_defaults!(hook);
    }
);
strategy!(
    MutatingWebhookConfiguration,
    MutatingWebhookConfigurations,
    "mutatingwebhookconfiguration",
    |hook: &mut MutatingWebhook| {
        set_defaults!(hook);
        hook.reinvocation_policy.get_or_insert_with(|| "Never".to_owned());
    }
);

const COLUMNS: &[Column] = &[
    NAME_COLUMN,
    Column::new("Webhooks", "Webhooks indicates the number of webhooks registered in this configuration")
        .of_type("integer"),
    AGE_COLUMN,
];

fn hooks<'a, T>(webhooks: &'a Option<Vec<T>>) -> Vec<Webhook<'a>>
where
    Webhook<'a>: From<&'a T>,
{
    webhooks.iter().flatten().map(Webhook::from).collect()
}

/// Which of the younger rules hold.
#[derive(Clone, Copy)]
struct Options {
    ignore_conditions: bool,
    no_side_effects: bool,
    known_review_version: bool,
    unique_names: bool,
    any_selector_values: bool,
}

impl Options {
    const NEW: Options = Options {
        ignore_conditions: false,
        no_side_effects: true,
        known_review_version: true,
        unique_names: true,
        any_selector_values: false,
    };

    fn of_update(new: &[Webhook<'_>], old: &[Webhook<'_>]) -> Options {
        let same_conditions =
            new.len() == old.len() && new.iter().zip(old).all(|(new, old)| new.conditions == old.conditions);
        let mut names = HashSet::new();
        let is_bad = |selector| !validate_api(selector, false, &Path::nil()).is_empty();
        Options {
            ignore_conditions: same_conditions,
            no_side_effects: old.iter().all(|hook| NO_SIDE_EFFECTS.contains(&hook.side_effects)),
            known_review_version: old
                .iter()
                .all(|hook| hook.review_versions.is_empty() || knows_review_version(hook.review_versions)),
            unique_names: old.iter().all(|hook| names.insert(hook.name)),
            any_selector_values: old.iter().any(|hook| is_bad(hook.namespace_selector) || is_bad(hook.object_selector)),
        }
    }
}

fn knows_review_version(versions: &[String]) -> bool {
    versions.iter().any(|version| REVIEW_VERSIONS.contains(&version.as_str()))
}

fn validate(hooks: &[Webhook<'_>], options: Options) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut names = HashSet::new();
    for (i, hook) in hooks.iter().enumerate() {
        let path = Path::new("webhooks").index(i);
        errors.extend(validate_hook(hook, options, &path));
        let versions_path = path.child("admissionReviewVersions");
        errors.extend(validate_review_versions(hook.review_versions, options, &versions_path));
        if options.unique_names && !hook.name.is_empty() && !names.insert(hook.name) {
            errors.push(Error::duplicate(&path.child("name"), hook.name));
        }
    }
    errors
}

fn validate_hook(hook: &Webhook<'_>, options: Options, path: &Path) -> ErrorList {
    let mut errors = fully_qualified_name(&path.child("name"), hook.name);
    for (i, rule) in hook.rules.iter().enumerate() {
        errors.extend(validate_rule(rule.into(), &path.child("rules").index(i)));
    }
    errors.extend(validate_choice(hook.failure_policy, &FAILURE_POLICIES, &path.child("failurePolicy")));
    errors.extend(validate_choice(hook.match_policy, &MATCH_POLICIES, &path.child("matchPolicy")));
    let side_effects: &[&str] = if options.no_side_effects { &NO_SIDE_EFFECTS } else { &SIDE_EFFECTS };
    let effects_path = path.child("sideEffects");
    if hook.side_effects.is_empty() {
        errors.push(Error::required(&effects_path, format!("must specify one of {}", side_effects.join(", "))));
    } else {
        errors.extend(validate_choice(Some(hook.side_effects), side_effects, &effects_path));
    }
    if let Some(timeout) = hook.timeout.filter(|timeout| !TIMEOUTS.contains(timeout)) {
        let detail = "the timeout value must be between 1 and 30 seconds";
        errors.push(Error::invalid(&path.child("timeoutSeconds"), timeout, detail));
    }
    let selectors = [("namespaceSelector", hook.namespace_selector), ("objectSelector", hook.object_selector)];
    for (field, selector) in selectors {
        errors.extend(validate_api(selector, options.any_selector_values, &path.child(field)));
    }
    let reinvocation_path = path.child("reinvocationPolicy");
    errors.extend(validate_choice(hook.reinvocation_policy, &REINVOCATION_POLICIES, &reinvocation_path));
    let service = hook.client.service.as_ref().map(|service| webhook_client::Service {
        namespace: &service.namespace,
        name: &service.name,
        path: service.path.as_deref(),
        port: service.port.unwrap_or(webhook_client::DEFAULT_PORT),
    });
    errors.extend(webhook_client::validate(hook.client.url.as_deref(), service, &path.child("clientConfig")));
    if !options.ignore_conditions {
        errors.extend(validate_conditions(hook.conditions, &path.child("matchConditions")));
    }
    errors
}

fn validate_review_versions(versions: &[String], options: Options, path: &Path) -> ErrorList {
    if versions.is_empty() {
        return Error::required(path, format!("must specify one of {}", REVIEW_VERSIONS.join(", "))).into();
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
    if options.known_review_version && !knows_review_version(versions) {
        let detail = format!("must include at least one of {}", REVIEW_VERSIONS.join(", "));
        errors.push(Error::invalid(path, versions, detail));
    }
    errors
}

#[cfg(test)]
mod tests;
