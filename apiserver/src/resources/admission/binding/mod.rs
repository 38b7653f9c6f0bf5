//! Bindings: where a policy applies, and with which parameters.

use std::collections::HashSet;

use api::field::{Error, ErrorList, Path};
use api::names::{object_dns_subdomain, object_path_segment};
use api::selector::label::validate_api;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingAdmissionPolicyBinding, MutatingAdmissionPolicyBindingSpec, ParamRef, ValidatingAdmissionPolicyBinding,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::matching::{self, shown, validate_choice};
use super::reserved_name_warnings;
use crate::resources::semantic;
use crate::strategy::{AGE_COLUMN, Column, NAME_COLUMN, Names, Strategy};

const ACTIONS: [&str; 3] = ["Audit", "Deny", "Warn"];
const NOT_FOUND_ACTIONS: [&str; 2] = ["Deny", "Allow"];
const EXCLUSIVE: &str = "name and selector are mutually exclusive";

pub(crate) struct ValidatingAdmissionPolicyBindings;
pub(crate) struct MutatingAdmissionPolicyBindings;

const COLUMNS: &[Column] = &[
    NAME_COLUMN,
    Column::new("PolicyName", "PolicyName indicates the policy definition which the policy binding binded to"),
    Column::new("ParamRef", "ParamRef indicates the param resource which sets the configration param"),
    AGE_COLUMN,
];

impl Strategy for ValidatingAdmissionPolicyBindings {
    type Object = ValidatingAdmissionPolicyBinding;

    fn names(&self) -> Names {
        Names::of::<ValidatingAdmissionPolicyBinding>("validatingadmissionpolicybinding", false)
            .within(&["api-extensions"])
    }

    fn default(&self, object: &mut ValidatingAdmissionPolicyBinding) {
        if let Some(matches) = &mut object.spec.match_resources {
            matching::set_defaults(matches);
        }
    }

    fn generation(&self) -> Option<fn(&ValidatingAdmissionPolicyBinding, &ValidatingAdmissionPolicyBinding) -> bool> {
        Some(|new, old| !semantic::equal(&new.spec, &old.spec))
    }

    fn validate(&self, object: &ValidatingAdmissionPolicyBinding) -> ErrorList {
        let (spec, path) = (&object.spec, Path::new("spec"));
        let mut errors = validate_policy_name(&spec.policy_name, &path.child("policyName"));
        errors.extend(validate_param_ref(spec.param_ref.as_ref(), &path.child("paramRef")));
        if let Some(matches) = &spec.match_resources {
            errors.extend(matching::validate_resources_matched(matches, &path.child("matchResources")));
        }
        errors.extend(validate_actions(&spec.validation_actions, &path.child("validationActions")));
        errors
    }

    fn validate_update(
        &self,
        new: &ValidatingAdmissionPolicyBinding,
        _: &ValidatingAdmissionPolicyBinding,
    ) -> ErrorList {
        self.validate(new)
    }

    fn warnings(
        &self,
        new: &ValidatingAdmissionPolicyBinding,
        _: Option<&ValidatingAdmissionPolicyBinding>,
    ) -> Vec<String> {
        reserved_name_warnings(&new.metadata)
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn row(&self, object: &ValidatingAdmissionPolicyBinding, now: Timestamp) -> Vec<Value> {
        let age = api::duration::age(object.metadata.creation_timestamp.as_ref(), now);
        let param = param_cell(object.spec.param_ref.as_ref());
        vec![object.metadata.name.clone().into(), object.spec.policy_name.clone().into(), param.into(), age.into()]
    }

    fn allow_unconditional_update(&self) -> bool {
        false
    }
}

impl Strategy for MutatingAdmissionPolicyBindings {
    type Object = MutatingAdmissionPolicyBinding;

    fn names(&self) -> Names {
        Names::of::<MutatingAdmissionPolicyBinding>("mutatingadmissionpolicybinding", false).within(&["api-extensions"])
    }

    fn default(&self, object: &mut MutatingAdmissionPolicyBinding) {
        if let Some(matches) = object.spec.as_mut().and_then(|spec| spec.match_resources.as_mut()) {
            matching::set_defaults(matches);
        }
    }

    fn generation(&self) -> Option<fn(&MutatingAdmissionPolicyBinding, &MutatingAdmissionPolicyBinding) -> bool> {
        Some(|new, old| !semantic::equal(&new.spec, &old.spec))
    }

    fn validate(&self, object: &MutatingAdmissionPolicyBinding) -> ErrorList {
        let default = MutatingAdmissionPolicyBindingSpec::default();
        let (spec, path) = (object.spec.as_ref().unwrap_or(&default), Path::new("spec"));
        let name = spec.policy_name.as_deref().unwrap_or_default();
        let mut errors = validate_policy_name(name, &path.child("policyName"));
        errors.extend(validate_param_ref(spec.param_ref.as_ref(), &path.child("paramRef")));
        if let Some(matches) = &spec.match_resources {
            let path = path.child("matchResources");
            errors.extend(matching::validate_resources_matched(matches, &path));
            errors.extend(matching::validate_mutable(matches, &path));
        }
        errors
    }

    fn validate_update(&self, new: &MutatingAdmissionPolicyBinding, _: &MutatingAdmissionPolicyBinding) -> ErrorList {
        self.validate(new)
    }

    fn warnings(
        &self,
        new: &MutatingAdmissionPolicyBinding,
        _: Option<&MutatingAdmissionPolicyBinding>,
    ) -> Vec<String> {
        reserved_name_warnings(&new.metadata)
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn row(&self, object: &MutatingAdmissionPolicyBinding, now: Timestamp) -> Vec<Value> {
        let age = api::duration::age(object.metadata.creation_timestamp.as_ref(), now);
        let spec = object.spec.as_ref();
        let policy = spec.and_then(|spec| spec.policy_name.clone()).unwrap_or_default();
        let param = param_cell(spec.and_then(|spec| spec.param_ref.as_ref()));
        vec![object.metadata.name.clone().into(), policy.into(), param.into(), age.into()]
    }

    fn allow_unconditional_update(&self) -> bool {
        false
    }
}

fn param_cell(param: Option<&ParamRef>) -> String {
    let unset = || "<unset>".to_owned();
    let Some(param) = param else { return unset() };
    let stated = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    match (stated(&param.name), &param.selector) {
        // Whether the parameter is in a namespace is not known here.
        (Some(name), _) => format!("{}/{name}", stated(&param.namespace).unwrap_or_else(|| "*".to_owned())),
        (None, Some(selector)) => selector_cell(selector),
        (None, None) => unset(),
    }
}

/// A selector as Go writes its struct.
fn selector_cell(selector: &LabelSelector) -> String {
    let labels: String =
        selector.match_labels.iter().flatten().map(|(key, value)| format!("{key}: {value},")).collect();
    let expressions = selector.match_expressions.iter().flatten().map(|expression| {
        let values = expression.values.as_deref().unwrap_or_default().join(" ");
        format!(
            "LabelSelectorRequirement{{Key:{},Operator:{},Values:[{values}],}},",
            expression.key, expression.operator
        )
    });
    let expressions: String = expressions.collect();
    format!(
        "&LabelSelector{{MatchLabels:map[string]string{{{labels}}},\
         MatchExpressions:[]LabelSelectorRequirement{{{expressions}}},}}"
    )
}

fn validate_policy_name(name: &str, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if name.is_empty() {
        errors.push(Error::required(path, ""));
    } else {
        errors.push_invalid(path, name, object_dns_subdomain(name, false));
    }
    errors
}

fn validate_param_ref(param: Option<&ParamRef>, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let Some(param) = param else { return errors };
    let name = param.name.as_deref().unwrap_or_default();
    if !name.is_empty() {
        errors.push_invalid(&path.child("name"), name, object_path_segment(name, false));
        if param.selector.is_some() {
            errors.push(Error::forbidden(&path.child("name"), EXCLUSIVE));
        }
    }
    if let Some(selector) = &param.selector {
        errors.extend(validate_api(Some(selector), false, &path.child("selector")));
        if !name.is_empty() {
            errors.push(Error::forbidden(&path.child("selector"), EXCLUSIVE));
        }
    }
    if name.is_empty() && param.selector.is_none() {
        errors.push(Error::required(path, "one of name or selector must be specified"));
    }
    let path = path.child("parameterNotFoundAction");
    match param.parameter_not_found_action.as_deref() {
        None | Some("") => errors.push(Error::required(&path, "")),
        action => errors.extend(validate_choice(action, &NOT_FOUND_ACTIONS, &path)),
    }
    errors
}

fn validate_actions(actions: &[String], path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen = HashSet::new();
    for (i, action) in actions.iter().enumerate() {
        errors.extend(validate_choice(Some(action), &ACTIONS, &path.index(i)));
        if !seen.insert(action.as_str()) {
            errors.push(Error::duplicate(&path.index(i), action));
        }
    }
    if seen.contains("Deny") && seen.contains("Warn") {
        let detail = "must not contain both Deny and Warn (repeating the same validation failure information in the API \
                      response and headers serves no purpose)";
        errors.push(Error::invalid(path, shown(actions), detail));
    }
    if seen.is_empty() {
        errors.push(Error::required(path, "at least one validation action is required"));
    }
    errors
}

#[cfg(test)]
mod tests;
