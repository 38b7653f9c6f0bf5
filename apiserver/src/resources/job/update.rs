//! What may change of a Job once it exists. Its template may not, except for where and with which resources pods run, and
//! that only while the Job is suspended and none of its pods are left.

use api::field::{BadValue, Error, ErrorList, Path};
use api::validate::meta::FIELD_IMMUTABLE;
use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{Affinity, Container, PodTemplateSpec};
use serde::Serialize;

use super::spec::{Leniency, is_indexed, validate_job, validate_spec};
use super::{absent_spec, selector, shown, status};
use crate::resources::pod_spec::Options;
use crate::resources::replica_template::shown_selector;
use crate::resources::semantic;

/// What is wrong with a changed Job, its metadata excepted. The rules of the spec are looked at twice, as upstream does.
pub(super) fn validate(new: &Job, old: &Job) -> ErrorList {
    let leniency = leniency(old);
    let mut errors = validate_job(new, &leniency);
    let is_mutable = template_is_mutable(old);
    let (new, old) = (new.spec.as_ref().unwrap_or(absent_spec()), old.spec.as_ref().unwrap_or(absent_spec()));
    errors.extend(validate_spec(new, &leniency));
    let path = Path::new("spec");
    errors.extend(validate_completions(new, old, &path.child("completions")));
    errors.extend(unchanged(&new.selector, &old.selector, &path.child("selector"), shown_selector));
    let template = if is_mutable { with_mutable_parts(&old.template, &new.template) } else { old.template.clone() };
    if !semantic::equal(&new.template, &template) {
        errors.push(Error::invalid(&path.child("template"), BadValue::json(&new.template), FIELD_IMMUTABLE));
    }
    let json = |mode: &String| BadValue::json(mode);
    errors.extend(unchanged(&new.completion_mode, &old.completion_mode, &path.child("completionMode"), json));
    let (new_policy, old_policy) = (&new.pod_failure_policy, &old.pod_failure_policy);
    errors.extend(unchanged(new_policy, old_policy, &path.child("podFailurePolicy"), shown::failure_policy));
    let (new_limit, old_limit) = (&new.backoff_limit_per_index, &old.backoff_limit_per_index);
    errors.extend(unchanged(new_limit, old_limit, &path.child("backoffLimitPerIndex"), |limit| (*limit).into()));
    errors.extend(unchanged(&new.managed_by, &old.managed_by, &path.child("managedBy"), |manager| manager.into()));
    let (new_policy, old_policy) = (&new.success_policy, &old.success_policy);
    errors.extend(unchanged(new_policy, old_policy, &path.child("successPolicy"), shown::success_policy));
    errors
}

fn leniency(old: &Job) -> Leniency {
    let spec = old.spec.as_ref().unwrap_or(absent_spec());
    let template = template_options(&spec.template);
    let has_invalid_values = spec.selector.as_ref().is_some_and(|selector| {
        let values =
            selector.match_expressions.iter().flatten().flat_map(|expression| expression.values.iter().flatten());
        values.into_iter().any(|value| !api::names::label_value(value).is_empty())
    });
    let invalid_selector_values = template.allow_invalid_selector_values || has_invalid_values;
    Leniency {
        template: Options { allow_invalid_selector_values: invalid_selector_values, ..template },
        invalid_selector_values,
        no_prefixed_labels: !selector::has_prefixed_labels(old),
    }
}

/// What the template of an object may keep that had `old`.
pub(crate) fn template_options(old: &PodTemplateSpec) -> Options {
    let meta = old.metadata.clone().unwrap_or_default();
    old.spec.as_ref().map_or_else(Options::default, |spec| Options::for_update(spec, &meta))
}

/// Whether no pod of the old template is left, so that it makes no difference which one it was.
fn template_is_mutable(old: &Job) -> bool {
    let status = old.status.as_ref();
    let suspended = old.spec.as_ref().is_some_and(|spec| spec.suspend == Some(true));
    let active = status.and_then(|status| status.active).unwrap_or(0);
    let started = status.is_some_and(|status| status.start_time.is_some());
    suspended && active == 0 && (!started || status::is_true(status, status::SUSPENDED))
}

/// `old` with those parts of `new` that may change while a Job is suspended.
fn with_mutable_parts(old: &PodTemplateSpec, new: &PodTemplateSpec) -> PodTemplateSpec {
    let mut template = old.clone();
    let meta = new.metadata.clone().unwrap_or_default();
    let template_meta = template.metadata.get_or_insert_default();
    template_meta.annotations = meta.annotations;
    template_meta.labels = meta.labels;
    let new = new.spec.clone().unwrap_or_default();
    let spec = template.spec.get_or_insert_default();
    spec.affinity = with_node_affinity(spec.affinity.take(), new.affinity);
    spec.node_selector = new.node_selector;
    spec.tolerations = new.tolerations;
    spec.scheduling_gates = new.scheduling_gates;
    take_resources(&mut spec.containers, new.containers);
    take_resources(spec.init_containers.as_mut().unwrap_or(&mut Vec::new()), new.init_containers.unwrap_or_default());
    template
}

/// `old` with the node affinity of `new`. What says nothing any more may go.
fn with_node_affinity(old: Option<Affinity>, new: Option<Affinity>) -> Option<Affinity> {
    match (old, new) {
        (Some(old), None) => Some(Affinity { node_affinity: None, ..old }).filter(|left| *left != Affinity::default()),
        (old, Some(new)) => Some(Affinity { node_affinity: new.node_affinity, ..old.unwrap_or_default() }),
        (None, None) => None,
    }
}

fn take_resources(containers: &mut [Container], from: Vec<Container>) {
    for (container, new) in containers.iter_mut().zip(from) {
        container.resources = new.resources;
    }
}

fn unchanged<T: PartialEq + Serialize>(
    new: &Option<T>,
    old: &Option<T>,
    path: &Path,
    shown: impl Fn(&T) -> BadValue,
) -> Option<Error> {
    let shown = || new.as_ref().map_or_else(BadValue::null, shown);
    (!semantic::equal(new, old)).then(|| Error::invalid(path, shown(), FIELD_IMMUTABLE))
}

/// Indexed Jobs may be scaled, if every index runs at once.
fn validate_completions(new: &JobSpec, old: &JobSpec, path: &Path) -> Option<Error> {
    if new.completions == old.completions {
        return None;
    }
    if !is_indexed(new) {
        return Some(Error::invalid(path, new.completions, FIELD_IMMUTABLE));
    }
    let completions = new.completions?;
    let detail = "can only be modified in tandem with spec.parallelism";
    (Some(completions) != new.parallelism).then(|| Error::invalid(path, completions, detail))
}
