//! ResourceQuotas: how much of what a namespace may have.
//!
//! What is used is counted by a controller, into the status. The scopes of a quota stay as they are.

use std::collections::BTreeSet;

use api::field::{BadValue, Error, ErrorList, Path};
use api::quantity::Quantity;
use api::validate::meta::FIELD_IMMUTABLE;
use k8s_openapi::api::core::v1::{
    ResourceQuota, ResourceQuotaSpec, ResourceQuotaStatus, ScopeSelector, ScopedResourceSelectorRequirement,
};
use k8s_openapi::jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::pod_spec;
use super::resource_list::{self, List};
use crate::strategy::{AGE_COLUMN, Column, Context, NAME_COLUMN, Names, Strategy, UpdateSubresource};

/// Resources without a domain that quotas count.
const COUNTED: &[&str] = &[
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.storage",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "persistentvolumeclaims",
    "configmaps",
    "services.nodeports",
    "services.loadbalancers",
];
/// What the scopes of pods can be applied to.
const OF_PODS: &[&str] = &["pods", "cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory"];
/// What the scope of volume claims can be applied to.
const OF_CLAIMS: &[&str] = &["persistentvolumeclaims", "requests.storage"];
/// Scopes that exclude each other.
const OPPOSITES: [[&str; 2]; 2] = [["BestEffort", "NotBestEffort"], ["Terminating", "NotTerminating"]];
/// Resources of which upstream expects requests below limits.
const COMPARED: [&str; 4] = ["cpu", "memory", "storage", "ephemeral-storage"];

pub(crate) struct ResourceQuotas;

impl Strategy for ResourceQuotas {
    type Object = ResourceQuota;

    fn names(&self) -> Names {
        Names::of::<ResourceQuota>("resourcequota", true).short(&["quota"])
    }

    fn default(&self, object: &mut ResourceQuota) {
        if let Some(spec) = &mut object.spec {
            resource_list::set_defaults(spec.hard.as_mut());
        }
        if let Some(status) = &mut object.status {
            resource_list::set_defaults(status.hard.as_mut());
            resource_list::set_defaults(status.used.as_mut());
        }
    }

    fn prepare_create(&self, object: &mut ResourceQuota, _: Context<'_>) {
        object.status = Some(ResourceQuotaStatus::default());
    }

    fn prepare_update(&self, new: &mut ResourceQuota, old: &ResourceQuota, _: Context<'_>) {
        new.status.clone_from(&old.status);
    }

    fn validate(&self, object: &ResourceQuota) -> ErrorList {
        object.spec.as_ref().map_or_else(ErrorList::new, |spec| validate_spec(spec, &Path::new("spec")))
    }

    fn validate_update(&self, new: &ResourceQuota, old: &ResourceQuota) -> ErrorList {
        let mut errors = self.validate(new);
        let scopes = |quota: &ResourceQuota| quota.spec.as_ref().and_then(|spec| spec.scopes.clone());
        let set = |scopes: &Option<Vec<String>>| scopes.iter().flatten().cloned().collect::<BTreeSet<String>>();
        let (new, old) = (scopes(new), scopes(old));
        if set(&new) != set(&old) {
            let path = Path::new("spec").child("scopes");
            errors.push(Error::invalid(&path, BadValue::json(&new), FIELD_IMMUTABLE));
        }
        errors
    }

    fn warnings(&self, new: &ResourceQuota, old: Option<&ResourceQuota>) -> Vec<String> {
        if old.is_some() {
            return Vec::new();
        }
        let hard = new.spec.as_ref().and_then(|spec| spec.hard.as_ref());
        COMPARED.iter().filter_map(|name| warning(name, hard?)).collect()
    }

    fn columns(&self) -> &'static [Column] {
        const REQUEST: Column =
            Column::new("Request", "Request represents a minimum amount of cpu/memory that a container may consume.");
        const LIMIT: Column = Column::new(
            "Limit",
            "Limits control the maximum amount of cpu/memory that a container may use independent of contention on the \
             node.",
        );
        const { &[NAME_COLUMN, REQUEST, LIMIT, AGE_COLUMN] }
    }

    fn row(&self, object: &ResourceQuota, now: Timestamp) -> Vec<Value> {
        let [requests, limits] = cells(object.status.as_ref());
        let age = api::duration::age(object.metadata.creation_timestamp.as_ref(), now);
        vec![object.metadata.name.clone().into(), requests.into(), limits.into(), age.into()]
    }

    fn updates(&self) -> Vec<UpdateSubresource<ResourceQuota>> {
        vec![UpdateSubresource {
            name: "status",
            prepare: |new, old, _| new.spec.clone_from(&old.spec),
            validate: |new, _| {
                let status = new.status.clone().unwrap_or_default();
                let path = Path::new("status");
                let mut errors = validate_list(status.hard.as_ref(), &path.child("hard"));
                errors.extend(validate_list(status.used.as_ref(), &path.child("used")));
                errors
            },
        }]
    }

    fn returns_deleted_object(&self) -> bool {
        true
    }
}

fn validate_spec(spec: &ResourceQuotaSpec, path: &Path) -> ErrorList {
    let mut errors = validate_list(spec.hard.as_ref(), &path.child("hard"));
    errors.extend(validate_scopes(spec, path));
    if let Some(selector) = &spec.scope_selector {
        errors.extend(validate_selector(selector, spec, path));
    }
    errors
}

fn validate_list(list: Option<&List>, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let quantities = resource_list::parse(list, path, &mut errors);
    for name in list.into_iter().flat_map(List::keys) {
        let path = path.key(name);
        errors.extend(pod_spec::validate_any_resource_name(name, &path));
        if !name.contains('/') && !is_counted(name) {
            errors.push(Error::invalid(&path, BadValue::json(name), "must be a standard resource for quota"));
        }
        if let Some(quantity) = quantities.get(name) {
            errors.extend(pod_spec::validate_quantity(name, quantity, &path));
        }
    }
    errors
}

fn is_counted(name: &str) -> bool {
    COUNTED.contains(&name) || name.starts_with("hugepages-") || name.starts_with("requests.hugepages-")
}

fn validate_scopes(spec: &ResourceQuotaSpec, path: &Path) -> ErrorList {
    let path = path.child("scopes");
    let scopes = spec.scopes.as_deref().unwrap_or_default();
    let invalid = |detail: &str| Error::invalid(&path, scopes, detail);
    let mut errors = ErrorList::new();
    for scope in scopes {
        if !is_scope(scope) {
            errors.push(invalid("unsupported scope"));
        }
        let unfit = unfit_resources(scope, spec);
        errors.extend((0..unfit).map(|_| invalid("unsupported scope applied to resource")));
    }
    let conflicts = conflicts(scopes.iter().map(String::as_str));
    errors.extend((0..conflicts).map(|_| invalid("conflicting scopes")));
    errors
}

fn validate_selector(selector: &ScopeSelector, spec: &ResourceQuotaSpec, path: &Path) -> ErrorList {
    let requirements = selector.match_expressions.as_deref().unwrap_or_default();
    let expressions_path = path.child("scopeSelector").child("matchExpressions");
    let mut errors = ErrorList::new();
    for requirement in requirements {
        let scope = &*requirement.scope_name;
        if !is_scope(scope) {
            errors.push(Error::invalid(&expressions_path.child("scopeName"), scope, "unsupported scope"));
        }
        let detail = "unsupported scope applied to resource";
        let unfit = unfit_resources(scope, spec);
        errors.extend((0..unfit).map(|_| Error::invalid(&expressions_path, shown(requirements), detail)));
        errors.extend(validate_requirement(requirement, &expressions_path));
    }
    // Upstream shows the scopes, though it is the selector that conflicts.
    let conflicts = conflicts(requirements.iter().map(|requirement| &*requirement.scope_name));
    let scopes = BadValue::json(&spec.scopes);
    errors.extend((0..conflicts).map(|_| Error::invalid(&expressions_path, scopes.clone(), "conflicting scopes")));
    errors
}

fn validate_requirement(requirement: &ScopedResourceSelectorRequirement, path: &Path) -> ErrorList {
    let values = requirement.values.as_deref().unwrap_or_default();
    let operator = &*requirement.operator;
    let mut errors = ErrorList::new();
    let exists_only = matches!(
        &*requirement.scope_name,
        "BestEffort" | "NotBestEffort" | "Terminating" | "NotTerminating" | "CrossNamespacePodAffinity"
    );
    if exists_only && operator != "Exists" {
        let detail = "must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, \
                      ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or \
                      ResourceQuotaScopeCrossNamespacePodAffinity";
        errors.push(Error::invalid(&path.child("operator"), operator, detail));
    }
    match operator {
        "In" | "NotIn" if values.is_empty() => {
            let detail = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector";
            errors.push(Error::required(&path.child("values"), detail));
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            let detail = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector";
            errors.push(Error::invalid(&path.child("values"), values, detail));
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
        other => errors.push(Error::invalid(&path.child("operator"), other, "not a valid selector operator")),
    }
    errors
}

fn is_scope(scope: &str) -> bool {
    OPPOSITES.as_flattened().contains(&scope)
        || matches!(scope, "PriorityClass" | "CrossNamespacePodAffinity" | "VolumeAttributesClass")
}

/// How many of the quota's resources have nothing to do with the scope.
fn unfit_resources(scope: &str, spec: &ResourceQuotaSpec) -> usize {
    let fits = |name: &&str| match scope {
        "Terminating" | "NotTerminating" | "NotBestEffort" | "PriorityClass" | "CrossNamespacePodAffinity" => {
            OF_PODS.contains(name)
        }
        "BestEffort" => *name == "pods",
        "VolumeAttributesClass" => OF_CLAIMS.contains(name),
        _ => true,
    };
    let names = spec.hard.iter().flat_map(List::keys).map(String::as_str);
    names.filter(|name| is_counted(name) && !fits(name)).count()
}

/// How many pairs of opposites are among the scopes.
fn conflicts<'a>(scopes: impl Iterator<Item = &'a str>) -> usize {
    let scopes: BTreeSet<&str> = scopes.collect();
    OPPOSITES.iter().filter(|pair| pair.iter().all(|scope| scopes.contains(scope))).count()
}

/// A selector as messages show it, which is by the names of its Go fields.
fn shown(requirements: &[ScopedResourceSelectorRequirement]) -> BadValue {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Selector<'a> {
        match_expressions: Vec<Requirement<'a>>,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Requirement<'a> {
        scope_name: &'a str,
        operator: &'a str,
        values: Option<&'a [String]>,
    }
    let match_expressions = requirements.iter().map(|requirement| Requirement {
        scope_name: &requirement.scope_name,
        operator: &requirement.operator,
        values: requirement.values.as_deref(),
    });
    BadValue::json(&Selector { match_expressions: match_expressions.collect() })
}

/// What a client is warned of that promises more of the resource than may be used.
fn warning(resource: &str, hard: &List) -> Option<String> {
    let read = |name: &str| hard.get(name).and_then(|quantity| Quantity::try_from(quantity).ok());
    let mut request_name = format!("requests.{resource}");
    let mut request = read(&request_name);
    if request.is_none() && matches!(resource, "cpu" | "memory") {
        request = read(resource);
        resource.clone_into(&mut request_name);
    }
    let limit_name = format!("limits.{resource}");
    let (request, limit) = (request?, read(&limit_name)?);
    (request > limit)
        .then(|| format!("ResourceQuota {request_name} ({request}) should be less than {limit_name} ({limit})"))
}

/// What is used of how much: of limits, and of everything else.
fn cells(status: Option<&ResourceQuotaStatus>) -> [String; 2] {
    let mut cells = [Vec::new(), Vec::new()];
    for (name, hard) in status.iter().flat_map(|status| status.hard.iter().flatten()) {
        let used = status.and_then(|status| status.used.as_ref()?.get(name)).map_or("0", |quantity| &quantity.0);
        let column = usize::from(name.starts_with("limits."));
        cells[column].push(format!("{name}: {used}/{}", hard.0));
    }
    cells.map(|cell| cell.join(", "))
}

#[cfg(test)]
mod tests;
