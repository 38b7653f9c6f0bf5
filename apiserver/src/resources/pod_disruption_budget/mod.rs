//! PodDisruptionBudgets: how many of some pods may be missing because somebody wants them away.

pub(crate) mod disruption;

use api::field::{BadValue, Error, ErrorList, Path, go_json};
use api::selector::label::validate_api;
use api::validate::conditions::validate_conditions;
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec, PodDisruptionBudgetStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::replica_template::{shown_selector, validate_non_negative};
use super::{int_or_percent, semantic};
use crate::strategy::{AGE_COLUMN, Column, Context, NAME_COLUMN, Names, Strategy, UpdateSubresource};

const ALWAYS_ALLOW: &str = "AlwaysAllow";
const POLICIES: [&str; 2] = [ALWAYS_ALLOW, "IfHealthyBudget"];

pub(crate) struct PodDisruptionBudgets;

impl Strategy for PodDisruptionBudgets {
    type Object = PodDisruptionBudget;

    fn names(&self) -> Names {
        Names::of::<PodDisruptionBudget>("poddisruptionbudget", true).short(&["pdb"])
    }

    fn default(&self, object: &mut PodDisruptionBudget) {
        object.spec.get_or_insert_default();
        // Counts are written whether they are zero or not.
        let status = object.status.get_or_insert_default();
        for count in [
            &mut status.current_healthy,
            &mut status.desired_healthy,
            &mut status.disruptions_allowed,
            &mut status.expected_pods,
        ] {
            count.get_or_insert(0);
        }
    }

    fn prepare_create(&self, object: &mut PodDisruptionBudget, _: Context<'_>) {
        object.status = None;
        self.default(object);
    }

    fn prepare_update(&self, new: &mut PodDisruptionBudget, old: &PodDisruptionBudget, _: Context<'_>) {
        new.status = old.status.clone();
    }

    fn generation(&self) -> Option<fn(new: &PodDisruptionBudget, old: &PodDisruptionBudget) -> bool> {
        Some(|new, old| !semantic::equal(&new.spec, &old.spec))
    }

    fn validate(&self, object: &PodDisruptionBudget) -> ErrorList {
        validate_spec(&object.spec.clone().unwrap_or_default(), false)
    }

    fn validate_update(&self, new: &PodDisruptionBudget, old: &PodDisruptionBudget) -> ErrorList {
        let selector = old.spec.as_ref().and_then(|spec| spec.selector.as_ref());
        validate_spec(&new.spec.clone().unwrap_or_default(), selector.is_some_and(has_invalid_value))
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn row(&self, object: &PodDisruptionBudget, now: Timestamp) -> Vec<Value> {
        let spec = object.spec.clone().unwrap_or_default();
        let shown = |value: Option<IntOrString>| match value {
            None => "N/A".to_owned(),
            Some(IntOrString::Int(number)) => number.to_string(),
            Some(IntOrString::String(text)) => text,
        };
        let allowed = object.status.as_ref().and_then(|status| status.disruptions_allowed);
        vec![
            object.metadata.name.clone().into(),
            shown(spec.min_available).into(),
            shown(spec.max_unavailable).into(),
            allowed.unwrap_or(0).into(),
            api::duration::age(object.metadata.creation_timestamp.as_ref(), now).into(),
        ]
    }

    fn updates(&self) -> Vec<UpdateSubresource<PodDisruptionBudget>> {
        vec![UpdateSubresource {
            name: "status",
            prepare: |new, old, _| new.spec = old.spec.clone(),
            validate: |new, _| validate_status(&new.status.clone().unwrap_or_default(), &Path::new("status")),
        }]
    }

    fn allow_unconditional_update(&self) -> bool {
        false
    }
}

const COLUMNS: &[Column] = &[
    NAME_COLUMN,
    Column::new("Min Available", "The minimum number of pods that must be available."),
    Column::new("Max Unavailable", "The maximum number of pods that may be unavailable."),
    Column::new("Allowed Disruptions", "Calculated number of pods that may be disrupted at this time.")
        .of_type("integer"),
    AGE_COLUMN,
];

fn validate_spec(spec: &PodDisruptionBudgetSpec, allow_invalid_values: bool) -> ErrorList {
    let path = Path::new("spec");
    let mut errors = ErrorList::new();
    if spec.min_available.is_some() && spec.max_unavailable.is_some() {
        let detail = "minAvailable and maxUnavailable cannot be both set";
        errors.push(Error::invalid(&path, shown_spec(spec), detail));
    }
    for (value, field) in [(&spec.min_available, "minAvailable"), (&spec.max_unavailable, "maxUnavailable")] {
        if let Some(value) = value {
            let path = path.child(field);
            errors.extend(int_or_percent::validate(value, &path));
            errors.extend(int_or_percent::validate_at_most_all(value, &path));
        }
    }
    errors.extend(validate_api(spec.selector.as_ref(), allow_invalid_values, &path.child("selector")));
    if let Some(policy) = spec.unhealthy_pod_eviction_policy.as_deref().filter(|policy| !POLICIES.contains(policy)) {
        let path = path.child("unhealthyPodEvictionPolicy");
        errors.push(Error::not_supported(&path, BadValue::json(policy), &POLICIES));
    }
    errors
}

fn validate_status(status: &PodDisruptionBudgetStatus, path: &Path) -> ErrorList {
    let conditions = status.conditions.as_deref().unwrap_or_default();
    let mut errors = validate_conditions(conditions, &path.child("conditions"));
    for (value, field) in [
        (status.disruptions_allowed, "disruptionsAllowed"),
        (status.current_healthy, "currentHealthy"),
        (status.desired_healthy, "desiredHealthy"),
        (status.expected_pods, "expectedPods"),
    ] {
        errors.extend(validate_non_negative(value.unwrap_or(0).into(), &path.child(field)));
    }
    errors
}

fn has_invalid_value(selector: &LabelSelector) -> bool {
    let expressions = selector.match_expressions.iter().flatten();
    let mut values = expressions.flat_map(|expression| expression.values.iter().flatten());
    values.any(|value| !api::names::label_value(value).is_empty())
}

/// A spec as messages show it, which is by the names of Go's fields.
fn shown_spec(spec: &PodDisruptionBudgetSpec) -> BadValue {
    let selector = match spec.selector.as_ref().map(shown_selector) {
        Some(BadValue::Json(json)) => json,
        _ => "null".to_owned(),
    };
    BadValue::Json(format!(
        r#"{{"MinAvailable":{},"Selector":{selector},"MaxUnavailable":{},"UnhealthyPodEvictionPolicy":{}}}"#,
        go_json(&spec.min_available),
        go_json(&spec.max_unavailable),
        go_json(&spec.unhealthy_pod_eviction_policy),
    ))
}

#[cfg(test)]
mod tests;
