//! What the kinds that keep replicas of one pod template running have in common: rules of selector and template, and how
//! both are shown.

use std::collections::BTreeMap;

use api::field::{BadValue, Error, ErrorList, Path};
use api::names;
use api::selector::label::{Selector, from_api, validate_api};
use api::validate::meta::FIELD_IMMUTABLE;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use serde::Serialize;
use serde_json::{Map, Value};

use super::pod_spec::{self, Options};
use super::semantic;
use crate::strategy::Column;

/// The column of the template's container names.
pub(super) const CONTAINERS_COLUMN: Column =
    Column::new("Containers", "Names of each container in the template.").wide();
/// The column of the template's images.
pub(super) const IMAGES_COLUMN: Column =
    Column::new("Images", "Images referenced by each container in the template.").wide();

/// What is wrong with a number that may not be negative.
pub(super) fn validate_non_negative(value: i64, path: &Path) -> Option<Error> {
    (value < 0).then(|| Error::invalid(path, value, "must be greater than or equal to 0"))
}

/// What is wrong with the selector and the template below `path`. The template's pods run forever, and the selector selects
/// them. `old` is the template before an update.
pub(super) fn validate(
    selector: &LabelSelector,
    template: &PodTemplateSpec,
    old: Option<&PodTemplateSpec>,
    path: &Path,
) -> ErrorList {
    let selector_path = path.child("selector");
    let mut errors = validate_selector(selector, "deployment", &selector_path);
    match from_api(Some(selector)) {
        Err(_) => errors.push(Error::invalid(&selector_path, shown_selector(selector), "invalid label selector")),
        Ok(selector) => {
            let path = path.child("template");
            errors.extend(validate_match(&selector, template, &path));
            errors.extend(pod_spec::validate_template(template, &path, &options(old)));
            errors.extend(validate_endless(template, "ReplicaSet", &path));
        }
    }
    errors
}

/// What is wrong with a selector, which may not be empty. Messages call what has it `kind`.
pub(super) fn validate_selector(selector: &LabelSelector, kind: &str, path: &Path) -> ErrorList {
    let mut errors = validate_api(Some(selector), false, path);
    errors.extend(validate_not_empty(selector, kind, path));
    errors
}

/// What is wrong with a selector that selects everything.
pub(super) fn validate_not_empty(selector: &LabelSelector, kind: &str, path: &Path) -> Option<Error> {
    let is_empty = selector.match_labels.as_ref().is_none_or(|labels| labels.is_empty())
        && selector.match_expressions.as_ref().is_none_or(|expressions| expressions.is_empty());
    is_empty.then(|| Error::invalid(path, shown_selector(selector), format!("empty selector is invalid for {kind}")))
}

/// What is wrong with the labels of the template at `path`, whose pods the selector selects.
pub(super) fn validate_match(selector: &Selector, template: &PodTemplateSpec, path: &Path) -> Option<Error> {
    let labels = template.metadata.as_ref().and_then(|meta| meta.labels.clone()).unwrap_or_default();
    if selector.is_everything() || selector.matches(&labels) {
        return None;
    }
    let shown = if labels.is_empty() { BadValue::null() } else { BadValue::json(&labels) };
    let path = path.child("metadata").child("labels");
    Some(Error::invalid(&path, shown, "`selector` does not match template `labels`"))
}

/// What is wrong with a template at `path` whose pods run forever. Messages call what has it `kind`.
pub(super) fn validate_endless(template: &PodTemplateSpec, kind: &str, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let spec = template.spec.as_ref();
    let path = path.child("spec");
    let policy = spec.and_then(|spec| spec.restart_policy.as_deref()).unwrap_or_default();
    if policy != "Always" {
        errors.push(Error::not_supported(&path.child("restartPolicy"), policy, &["Always"]));
    }
    if spec.is_some_and(|spec| spec.active_deadline_seconds.is_some()) {
        let detail = format!("activeDeadlineSeconds in {kind} is not Supported");
        errors.push(Error::forbidden(&path.child("activeDeadlineSeconds"), detail));
    }
    errors
}

/// How strictly a template is checked that was `old`.
pub(super) fn options(old: Option<&PodTemplateSpec>) -> Options {
    let empty = ObjectMeta::default();
    match old.and_then(|old| Some((old.spec.as_ref()?, old.metadata.as_ref().unwrap_or(&empty)))) {
        Some((spec, meta)) => Options::for_update(spec, meta),
        None => Options::default(),
    }
}

/// What is wrong with a selector that may not change.
pub(super) fn validate_same_selector(new: &LabelSelector, old: &LabelSelector, path: &Path) -> Option<Error> {
    (!semantic::equal(new, old)).then(|| Error::invalid(path, shown_selector(new), FIELD_IMMUTABLE))
}

/// Warnings of a new or changed template, and of a new object's name.
pub(super) fn warnings(meta: &ObjectMeta, template: &PodTemplateSpec, old: Option<&PodTemplateSpec>) -> Vec<String> {
    let mut warnings = Vec::new();
    if old.is_none() {
        warnings.extend(name_warning(meta));
    }
    warnings.extend(template_warnings(&Path::new("spec").child("template"), template, old));
    warnings
}

/// What a client is warned of in the name of an object whose pods are named after it.
pub(super) fn name_warning(meta: &ObjectMeta) -> Option<String> {
    let messages = names::dns1123_label(meta.name.as_deref().unwrap_or_default());
    (!messages.is_empty()).then(|| {
        format!(
            "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is \
             recommended: [{}]",
            messages.join(" ")
        )
    })
}

/// What a client is warned of in a new or changed template at `path`.
pub(super) fn template_warnings(path: &Path, template: &PodTemplateSpec, old: Option<&PodTemplateSpec>) -> Vec<String> {
    let (none, no_meta) = (Default::default(), ObjectMeta::default());
    let spec = template.spec.as_ref().unwrap_or(&none);
    let template_meta = template.metadata.as_ref().unwrap_or(&no_meta);
    pod_spec::warnings(path, spec, template_meta, old.and_then(|template| template.spec.as_ref()))
}

/// The names of the template's containers, and their images.
pub(super) fn container_cells(template: &PodTemplateSpec) -> [Value; 2] {
    let containers = template.spec.as_ref().map_or(&[][..], |spec| &spec.containers);
    let names: Vec<&str> = containers.iter().map(|container| container.name.as_str()).collect();
    let images: Vec<&str> = containers.iter().map(|container| container.image.as_deref().unwrap_or_default()).collect();
    [names.join(",").into(), images.join(",").into()]
}

/// How tables show a selector.
pub(super) fn selector_cell(selector: &LabelSelector) -> Value {
    match from_api(Some(selector)) {
        Err(_) => "<error>".into(),
        Ok(selector) if selector.is_everything() => "<none>".into(),
        Ok(selector) => selector.to_string().into(),
    }
}

/// How tables show labels.
pub(super) fn labels_cell(labels: Option<&BTreeMap<String, String>>) -> Value {
    let mut shown: Vec<String> = labels.into_iter().flatten().map(|(key, value)| format!("{key}={value}")).collect();
    // By the whole text, as Go sorts them: `a-b=` comes before `a=`.
    shown.sort();
    if shown.is_empty() { "<none>".into() } else { shown.join(",").into() }
}

/// The selector in its text form; an invalid one is empty.
pub(super) fn selector_text(selector: &LabelSelector) -> String {
    from_api(Some(selector)).map(|selector| selector.to_string()).unwrap_or_default()
}

/// A selector with its fields in the order in which messages show them: Go declares `matchLabels` first.
pub(super) fn shown_selector(selector: &LabelSelector) -> BadValue {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Shown<'a> {
        #[serde(skip_serializing_if = "Map::is_empty")]
        match_labels: Map<String, Value>,
        #[serde(skip_serializing_if = "<[Value]>::is_empty")]
        match_expressions: &'a [Value],
    }
    let expression = |value: &_| serde_json::to_value(value).unwrap_or_default();
    let expressions: Vec<Value> = selector.match_expressions.iter().flatten().map(expression).collect();
    let labels = selector.match_labels.iter().flatten();
    let match_labels = labels.map(|(key, value)| (key.clone(), value.as_str().into())).collect();
    BadValue::json(&Shown { match_labels, match_expressions: &expressions })
}
