//! Policies in CEL: what a request must be like (validating), or what is changed about it (mutating).
//!
//! None of the expressions is compiled: what they mean, which variables they use and what they cost is not checked.

use std::collections::HashSet;

use api::field::{BadValue, Error, ErrorList, Path};
use api::names::{dns1035_label, dns1123_subdomain, label_key};
use k8s_openapi::api::admissionregistration::v1::{
    AuditAnnotation, MatchResources, MutatingAdmissionPolicy, MutatingAdmissionPolicySpec, Mutation, ParamKind,
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicySpec, ValidatingAdmissionPolicyStatus, Validation, Variable,
};
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::matching::{
    self, FAILURE_POLICIES, REINVOCATION_POLICIES, require_choice, validate_choice, validate_conditions,
};
use super::reserved_name_warnings;
use crate::resources::semantic;
use crate::strategy::{AGE_COLUMN, Column, Context, NAME_COLUMN, Names, Strategy, UpdateSubresource};

mod status;

const REASONS: [&str; 3] = ["Forbidden", "Invalid", "RequestEntityTooLarge"];
const PATCH_TYPES: [&str; 2] = ["ApplyConfiguration", "JSONPatch"];
const MAX_ANNOTATIONS: usize = 20;
const MAX_ANNOTATION_BYTES: usize = 5 * 1024;
/// Words of CEL that are no identifiers.
const KEYWORDS: [&str; 21] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "false",
    "for",
    "function",
    "if",
    "import",
    "in",
    "let",
    "loop",
    "namespace",
    "null",
    "package",
    "return",
    "true",
    "var",
    "void",
    "while",
];

pub(crate) struct ValidatingAdmissionPolicies;
pub(crate) struct MutatingAdmissionPolicies;

impl Strategy for ValidatingAdmissionPolicies {
    type Object = ValidatingAdmissionPolicy;

    fn names(&self) -> Names {
        Names::of::<ValidatingAdmissionPolicy>("validatingadmissionpolicy", false).within(&["api-extensions"])
    }

    fn default(&self, object: &mut ValidatingAdmissionPolicy) {
        let spec = object.spec.get_or_insert_default();
        set_defaults(&mut spec.failure_policy, spec.match_constraints.as_mut());
    }

    fn prepare_create(&self, object: &mut ValidatingAdmissionPolicy, _: Context<'_>) {
        object.status = Some(ValidatingAdmissionPolicyStatus::default());
    }

    fn prepare_update(&self, new: &mut ValidatingAdmissionPolicy, old: &ValidatingAdmissionPolicy, _: Context<'_>) {
        new.status.clone_from(&old.status);
    }

    fn generation(&self) -> Option<fn(&ValidatingAdmissionPolicy, &ValidatingAdmissionPolicy) -> bool> {
        Some(|new, old| !semantic::equal(&new.spec, &old.spec))
    }

    fn validate(&self, object: &ValidatingAdmissionPolicy) -> ErrorList {
        validate_validating(object, false)
    }

    fn validate_update(&self, new: &ValidatingAdmissionPolicy, old: &ValidatingAdmissionPolicy) -> ErrorList {
        let conditions = |policy: &ValidatingAdmissionPolicy| {
            let spec = policy.spec.clone().unwrap_or_default();
            (spec.param_kind, spec.match_conditions)
        };
        validate_validating(new, conditions(new) == conditions(old))
    }

    fn warnings(&self, new: &ValidatingAdmissionPolicy, _: Option<&ValidatingAdmissionPolicy>) -> Vec<String> {
        reserved_name_warnings(&new.metadata)
    }

    fn columns(&self) -> &'static [Column] {
        const VALIDATIONS: Column = Column::new(
            "Validations",
            "Validations indicates the number of validation rules defined in this configuration",
        )
        .of_type("integer");
        const { &[NAME_COLUMN, VALIDATIONS, PARAM_KIND_COLUMN, AGE_COLUMN] }
    }

    fn row(&self, object: &ValidatingAdmissionPolicy, now: Timestamp) -> Vec<Value> {
        let age = api::duration::age(object.metadata.creation_timestamp.as_ref(), now);
        let spec = object.spec.as_ref();
        let count = spec.and_then(|spec| spec.validations.as_ref()).map_or(0, Vec::len);
        let kind = param_kind_cell(spec.and_then(|spec| spec.param_kind.as_ref()));
        vec![object.metadata.name.clone().into(), count.into(), kind.into(), age.into()]
    }

    fn updates(&self) -> Vec<UpdateSubresource<ValidatingAdmissionPolicy>> {
        vec![UpdateSubresource {
            name: "status",
            prepare: |new, old, _| new.spec.clone_from(&old.spec),
            validate: |new, _| status::validate(new.status.as_ref(), &Path::new("status")),
        }]
    }

    fn allow_unconditional_update(&self) -> bool {
        false
    }
}

impl Strategy for MutatingAdmissionPolicies {
    type Object = MutatingAdmissionPolicy;

    fn names(&self) -> Names {
        Names::of::<MutatingAdmissionPolicy>("mutatingadmissionpolicy", false).within(&["api-extensions"])
    }

    fn default(&self, object: &mut MutatingAdmissionPolicy) {
        let spec = object.spec.get_or_insert_default();
        set_defaults(&mut spec.failure_policy, spec.match_constraints.as_mut());
    }

    fn generation(&self) -> Option<fn(&MutatingAdmissionPolicy, &MutatingAdmissionPolicy) -> bool> {
        Some(|new, old| !semantic::equal(&new.spec, &old.spec))
    }

    fn validate(&self, object: &MutatingAdmissionPolicy) -> ErrorList {
        validate_mutating(object, false)
    }

    fn validate_update(&self, new: &MutatingAdmissionPolicy, old: &MutatingAdmissionPolicy) -> ErrorList {
        let conditions = |policy: &MutatingAdmissionPolicy| {
            let spec = policy.spec.clone().unwrap_or_default();
            (spec.param_kind, spec.match_conditions)
        };
        validate_mutating(new, conditions(new) == conditions(old))
    }

    fn warnings(&self, new: &MutatingAdmissionPolicy, _: Option<&MutatingAdmissionPolicy>) -> Vec<String> {
        reserved_name_warnings(&new.metadata)
    }

    fn columns(&self) -> &'static [Column] {
        const MUTATIONS: Column =
            Column::new("Mutations", "Mutation indicates the number of mutations rules defined in this configuration")
                .of_type("integer");
        const { &[NAME_COLUMN, MUTATIONS, PARAM_KIND_COLUMN, AGE_COLUMN] }
    }

    fn row(&self, object: &MutatingAdmissionPolicy, now: Timestamp) -> Vec<Value> {
        let age = api::duration::age(object.metadata.creation_timestamp.as_ref(), now);
        let spec = object.spec.as_ref();
        let count = spec.and_then(|spec| spec.mutations.as_ref()).map_or(0, Vec::len);
        let kind = param_kind_cell(spec.and_then(|spec| spec.param_kind.as_ref()));
        vec![object.metadata.name.clone().into(), count.into(), kind.into(), age.into()]
    }

    fn allow_unconditional_update(&self) -> bool {
        false
    }
}

const PARAM_KIND_COLUMN: Column =
    Column::new("ParamKind", "ParamKind specifies the kind of resources used to parameterize this policy");

fn param_kind_cell(kind: Option<&ParamKind>) -> String {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    kind.map_or_else(|| "<unset>".to_owned(), |kind| format!("{}/{}", text(&kind.api_version), text(&kind.kind)))
}

fn set_defaults(failure_policy: &mut Option<String>, constraints: Option<&mut MatchResources>) {
    failure_policy.get_or_insert_with(|| "Fail".to_owned());
    if let Some(constraints) = constraints {
        matching::set_defaults(constraints);
    }
}

fn validate_validating(object: &ValidatingAdmissionPolicy, ignore_conditions: bool) -> ErrorList {
    let default = ValidatingAdmissionPolicySpec::default();
    let (spec, path) = (object.spec.as_ref().unwrap_or(&default), Path::new("spec"));
    let mut errors = ErrorList::new();
    errors.extend(require_choice(spec.failure_policy.as_deref(), &FAILURE_POLICIES, &path.child("failurePolicy")));
    errors.extend(validate_param_kind(spec.param_kind.as_ref(), &path.child("paramKind")));
    errors.extend(validate_constraints(spec.match_constraints.as_ref(), &path.child("matchConstraints")));
    if !ignore_conditions {
        errors.extend(validate_conditions(spec.match_conditions.as_ref(), &path.child("matchConditions")));
    }
    errors.extend(validate_variables(spec.variables.as_ref(), &path.child("variables")));
    let validations = spec.validations.as_deref().unwrap_or_default();
    let annotations = spec.audit_annotations.as_deref().unwrap_or_default();
    let annotations_path = path.child("auditAnnotations");
    if validations.is_empty() && annotations.is_empty() {
        let detail = "validations or auditAnnotations must contain at least one item";
        errors.push(Error::required(&path.child("validations"), detail));
        errors.push(Error::required(&annotations_path, detail));
        return errors;
    }
    for (i, validation) in validations.iter().enumerate() {
        errors.extend(validate_validation(validation, &path.child("validations").index(i)));
    }
    if annotations.len() > MAX_ANNOTATIONS {
        let detail = format!("must not have more than {MAX_ANNOTATIONS} auditAnnotations");
        errors.push(Error::invalid(&annotations_path, shown_annotations(annotations), detail));
    }
    let mut keys = HashSet::new();
    let name = object.metadata.name.as_deref().unwrap_or_default();
    for (i, annotation) in annotations.iter().enumerate() {
        let path = annotations_path.index(i);
        errors.extend(validate_annotation(name, annotation, &path));
        if !keys.insert(&annotation.key) {
            errors.push(Error::duplicate(&path.child("key"), &annotation.key));
        }
    }
    errors
}

/// Upstream's internal type has no JSON names.
fn shown_annotations(annotations: &[AuditAnnotation]) -> BadValue {
    #[derive(serde::Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Shown<'a> {
        key: &'a str,
        value_expression: &'a str,
    }
    let shown = annotations
        .iter()
        .map(|annotation| Shown { key: &annotation.key, value_expression: &annotation.value_expression });
    BadValue::json(&shown.collect::<Vec<_>>())
}

fn validate_mutating(object: &MutatingAdmissionPolicy, ignore_conditions: bool) -> ErrorList {
    let default = MutatingAdmissionPolicySpec::default();
    let (spec, path) = (object.spec.as_ref().unwrap_or(&default), Path::new("spec"));
    let mut errors = ErrorList::new();
    errors.extend(require_choice(spec.failure_policy.as_deref(), &FAILURE_POLICIES, &path.child("failurePolicy")));
    errors.extend(validate_param_kind(spec.param_kind.as_ref(), &path.child("paramKind")));
    let constraints_path = path.child("matchConstraints");
    errors.extend(validate_constraints(spec.match_constraints.as_ref(), &constraints_path));
    if let Some(constraints) = &spec.match_constraints {
        errors.extend(matching::validate_mutable(constraints, &constraints_path));
    }
    if !ignore_conditions {
        errors.extend(validate_conditions(spec.match_conditions.as_ref(), &path.child("matchConditions")));
    }
    errors.extend(validate_variables(spec.variables.as_ref(), &path.child("variables")));
    let mutations = spec.mutations.as_deref().unwrap_or_default();
    if mutations.is_empty() {
        let detail = "mutations must contain at least one item";
        errors.push(Error::required(&path.child("mutations"), detail));
    }
    for (i, mutation) in mutations.iter().enumerate() {
        errors.extend(validate_mutation(mutation, &path.child("mutations").index(i)));
    }
    let policy = spec.reinvocation_policy.as_deref().filter(|policy| !policy.is_empty());
    errors.extend(require_choice(policy, &REINVOCATION_POLICIES, &path.child("reinvocationPolicy")));
    errors
}

fn validate_constraints(constraints: Option<&MatchResources>, path: &Path) -> ErrorList {
    let Some(constraints) = constraints else { return Error::required(path, "").into() };
    let mut errors = matching::validate_resources_matched(constraints, path);
    // Types are known from the rules.
    if constraints.resource_rules.as_ref().is_none_or(Vec::is_empty) {
        errors.push(Error::required(&path.child("resourceRules"), ""));
    }
    errors
}

fn validate_param_kind(kind: Option<&ParamKind>, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let Some(param) = kind else { return errors };
    let (api_version, kind) =
        (param.api_version.as_deref().unwrap_or_default(), param.kind.as_deref().unwrap_or_default());
    let version_path = path.child("apiVersion");
    let (group, version) =
        if api_version == "/" { ("", "") } else { api_version.split_once('/').unwrap_or(("", api_version)) };
    if api_version.is_empty() {
        errors.push(Error::required(&version_path, ""));
    } else if version.contains('/') {
        let detail = format!("unexpected GroupVersion string: {api_version}");
        errors.push(Error::invalid(&version_path, api_version, detail));
    } else {
        let messages = dns1123_subdomain(group);
        if !group.is_empty() && !messages.is_empty() {
            errors.push(Error::invalid(&version_path, group, messages.join(",")));
        }
        let messages = dns1035_label(version);
        if version.is_empty() {
            errors.push(Error::invalid(&version_path, api_version, "version must be specified"));
        } else if !messages.is_empty() {
            errors.push(Error::invalid(&version_path, version, messages.join(",")));
        }
    }
    let messages = dns1035_label(&kind.to_lowercase());
    if kind.is_empty() {
        errors.push(Error::required(&path.child("kind"), ""));
    } else if !messages.is_empty() {
        let detail = format!("may have mixed case, but should otherwise match: {}", messages.join(","));
        errors.push(Error::invalid(&path.child("kind"), kind, detail));
    }
    errors
}

fn validate_variables(variables: Option<&Vec<Variable>>, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (i, variable) in variables.into_iter().flatten().enumerate() {
        let (path, name) = (path.index(i), &variable.name);
        if name.trim().is_empty() {
            errors.push(Error::required(&path.child("name"), "name is not specified"));
        } else if !is_cel_identifier(name) {
            errors.push(Error::invalid(&path.child("name"), name, "must be a valid CEL identifier"));
        }
        if variable.expression.trim().is_empty() {
            errors.push(Error::required(&path.child("expression"), "expression is not specified"));
        }
    }
    errors
}

fn is_cel_identifier(name: &str) -> bool {
    let starts = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    starts && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') && !KEYWORDS.contains(&name)
}

fn validate_validation(validation: &Validation, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if validation.expression.trim().is_empty() {
        errors.push(Error::required(&path.child("expression"), "expression is not specified"));
    }
    let is_blank = |text: &str| !text.is_empty() && text.trim().is_empty();
    let expression = validation.message_expression.as_deref().unwrap_or_default();
    if is_blank(expression) {
        let path = path.child("messageExpression");
        errors.push(Error::invalid(&path, expression, "must be non-empty if specified"));
    }
    let message = validation.message.as_deref().unwrap_or_default();
    if is_blank(message) {
        let detail = "must be non-empty if specified";
        errors.push(Error::invalid(&path.child("message"), message, detail));
    } else if message.trim().contains(['\n', '\r']) {
        errors.push(Error::invalid(&path.child("message"), message, "must not contain line breaks"));
    }
    errors.extend(validate_choice(validation.reason.as_deref(), &REASONS, &path.child("reason")));
    errors
}

fn validate_annotation(policy: &str, annotation: &AuditAnnotation, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let key_path = path.child("key");
    if policy.is_empty() {
        errors.push(Error::invalid(&key_path, &annotation.key, "requires metadata.name be non-empty"));
    } else {
        let key = format!("{policy}/{}", annotation.key);
        errors.push_invalid(&key_path, &key, label_key(&key));
    }
    let expression = annotation.value_expression.trim();
    let path = path.child("valueExpression");
    if expression.is_empty() {
        errors.push(Error::required(&path, "valueExpression is not specified"));
    } else if expression.len() > MAX_ANNOTATION_BYTES {
        let detail = format!("must not exceed {MAX_ANNOTATION_BYTES} bytes in length");
        errors.push(Error::required(&path, detail));
    }
    errors
}

fn validate_mutation(mutation: &Mutation, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let expression = |expression: &Option<String>| expression.clone().unwrap_or_default();
    let apply = mutation.apply_configuration.as_ref().map(|apply| expression(&apply.expression));
    let patch = mutation.json_patch.as_ref().map(|patch| expression(&patch.expression));
    let (wanted, other) = match mutation.patch_type.as_str() {
        "" => return Error::required(&path.child("patchType"), "").into(),
        "JSONPatch" => (("jsonPatch", patch), ("applyConfiguration", apply)),
        "ApplyConfiguration" => (("applyConfiguration", apply), ("jsonPatch", patch)),
        unknown => return Error::not_supported(&path.child("patchType"), unknown, &PATCH_TYPES).into(),
    };
    let (field, expression) = wanted;
    match expression {
        None => {
            let detail = format!("must be specified when patchType is {}", mutation.patch_type);
            errors.push(Error::required(&path.child(field), detail));
        }
        Some(expression) if expression.trim().is_empty() => {
            errors.push(Error::required(&path.child(field).child("expression"), ""));
        }
        Some(_) => {}
    }
    let (field, expression) = other;
    if expression.is_some() {
        let detail = format!("must not be specified when patchType is {}", mutation.patch_type);
        errors.push(Error::invalid(&path.child(field), format!("{{{field}}}"), detail));
    }
    errors
}

#[cfg(test)]
mod tests;
