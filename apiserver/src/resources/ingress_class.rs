//! IngressClasses: which controller serves the Ingresses of a class, and with which parameters.

#[cfg(test)]
mod tests;

use api::field::{Error, ErrorList, Path};
use api::names::{dns1123_subdomain, domain_prefixed_path, namespace_name, path_segment_name};
use api::validate::meta::FIELD_IMMUTABLE;
use k8s_openapi::api::networking::v1::{IngressClass, IngressClassParametersReference, IngressClassSpec};
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::semantic;
use crate::strategy::{AGE_COLUMN, Column, NAME_COLUMN, Names, Strategy};

const CLUSTER: &str = "Cluster";
const NAMESPACE: &str = "Namespace";
const SCOPES: [&str; 2] = [CLUSTER, NAMESPACE];
const MAX_CONTROLLER_BYTES: usize = 250;

pub(crate) struct IngressClasses;

impl Strategy for IngressClasses {
    type Object = IngressClass;

    fn names(&self) -> Names {
        Names::of::<IngressClass>("ingressclass", false)
    }

    fn default(&self, object: &mut IngressClass) {
        if let Some(parameters) = object.spec.get_or_insert_default().parameters.as_mut() {
            parameters.scope.get_or_insert_with(|| CLUSTER.to_owned());
        }
    }

    fn generation(&self) -> Option<fn(new: &IngressClass, old: &IngressClass) -> bool> {
        Some(|new, old| !semantic::equal(&new.spec, &old.spec))
    }

    fn validate(&self, object: &IngressClass) -> ErrorList {
        validate(object, None)
    }

    fn validate_update(&self, new: &IngressClass, old: &IngressClass) -> ErrorList {
        validate(new, Some(old))
    }

    fn columns(&self) -> &'static [Column] {
        const CONTROLLER: Column = Column::new("Controller", "Controller that is responsible for handling this class");
        const PARAMETERS: Column = Column::new("Parameters", "A reference to a resource with additional parameters");
        const { &[NAME_COLUMN, CONTROLLER, PARAMETERS, AGE_COLUMN] }
    }

    fn row(&self, object: &IngressClass, now: Timestamp) -> Vec<Value> {
        let parameters = object.spec.as_ref().and_then(|spec| spec.parameters.as_ref());
        vec![
            object.metadata.name.clone().into(),
            controller(object).into(),
            parameters.map_or_else(|| "<none>".to_owned(), shown).into(),
            api::duration::age(object.metadata.creation_timestamp.as_ref(), now).into(),
        ]
    }
}

fn controller(class: &IngressClass) -> &str {
    class.spec.as_ref().and_then(|spec| spec.controller.as_deref()).unwrap_or_default()
}

fn shown(parameters: &IngressClassParametersReference) -> String {
    let group = parameters.api_group.as_ref().map(|group| format!(".{group}")).unwrap_or_default();
    format!("{}{group}/{}", parameters.kind, parameters.name)
}

/// What a class demands, the declared rules last, as upstream looks at them.
fn validate(class: &IngressClass, old: Option<&IngressClass>) -> ErrorList {
    let none = IngressClassSpec::default();
    let spec = class.spec.as_ref().unwrap_or(&none);
    let path = Path::new("spec");
    let controller_path = path.child("controller");
    let name = controller(class);
    let (mut errors, mut declared) = (ErrorList::new(), ErrorList::new());
    if !name.is_empty() {
        errors.extend(domain_prefixed_path(&controller_path, name));
    }
    if old.is_some_and(|old| controller(old) != name) {
        declared.push(Error::invalid(&controller_path, name, FIELD_IMMUTABLE));
    }
    match name.len() {
        0 => declared.push(Error::required(&controller_path, "")),
        bytes if bytes > MAX_CONTROLLER_BYTES => {
            declared.push(Error::too_long(&controller_path, MAX_CONTROLLER_BYTES));
        }
        _ => {}
    }
    if let Some(parameters) = &spec.parameters {
        let path = path.child("parameters");
        errors.extend(validate_parameters(parameters, &path));
        for (field, value) in [("kind", &parameters.kind), ("name", &parameters.name)] {
            declared.extend(value.is_empty().then(|| Error::required(&path.child(field), "")));
        }
    }
    errors.extend(declared);
    errors
}

fn validate_parameters(parameters: &IngressClassParametersReference, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if let Some(group) = &parameters.api_group {
        errors.push_invalid(&path.child("apiGroup"), group, dns1123_subdomain(group));
    }
    for (field, value) in [("kind", &parameters.kind), ("name", &parameters.name)] {
        // An empty one is missing, which is said elsewhere.
        errors.push_invalid(&path.child(field), value, path_segment_name(value));
    }
    let namespace_path = path.child("namespace");
    // Defaults state a scope.
    match (parameters.scope.as_deref().unwrap_or(CLUSTER), &parameters.namespace) {
        (CLUSTER, None) => {}
        (CLUSTER, Some(_)) => {
            errors.push(Error::forbidden(&namespace_path, "`parameters.scope` is set to 'Cluster'"));
        }
        (NAMESPACE, None) => {
            errors.push(Error::required(&namespace_path, "`parameters.scope` is set to 'Namespace'"));
        }
        (NAMESPACE, Some(namespace)) => {
            errors.push_invalid(&namespace_path, namespace, namespace_name(namespace, false));
        }
        (scope, _) => errors.push(Error::not_supported(&path.child("scope"), scope, &SCOPES)),
    }
    errors
}
