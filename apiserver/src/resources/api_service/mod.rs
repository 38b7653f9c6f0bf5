//! APIServices: who serves a version of a group, this server itself or a service in the cluster.
//!
//! A local one is available from the start. What another server's is worth, and where requests go, follows from the status,
//! which only its own subresource writes.

use api::field::{Error, ErrorList, Path, go_quote};
use api::names::{dns1035_label, dns1123_subdomain, object_path_segment};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::{
    APIService, APIServiceCondition, APIServiceSpec, APIServiceStatus,
};
use serde_json::Value;

use super::webhook_client::DEFAULT_PORT;
use crate::strategy::{AGE_COLUMN, Column, Context, NAME_COLUMN, Names, Strategy, UpdateSubresource};

/// Greatest priorities of a group, and of a version within it.
const MAX_PRIORITIES: [i32; 2] = [20_000, 1000];
const CONDITION_STATUSES: [&str; 3] = ["True", "False", "Unknown"];
const AVAILABLE: &str = "Available";

pub(crate) struct APIServices;

impl Strategy for APIServices {
    type Object = APIService;

    fn names(&self) -> Names {
        Names::of::<APIService>("apiservice", false).within(&["api-extensions"])
    }

    fn default(&self, object: &mut APIService) {
        if let Some(service) = object.spec.as_mut().and_then(|spec| spec.service.as_mut()) {
            service.port.get_or_insert(DEFAULT_PORT);
        }
    }

    fn prepare_create(&self, object: &mut APIService, context: Context<'_>) {
        let local = object.spec.as_ref().is_none_or(|spec| spec.service.is_none());
        let available = APIServiceCondition {
            type_: AVAILABLE.to_owned(),
            status: "True".to_owned(),
            reason: Some("Local".to_owned()),
            message: Some("Local APIServices are always available".to_owned()),
            last_transition_time: Some(Time(Timestamp::from_second(context.now.as_second()).unwrap_or(context.now))),
        };
        object.status = Some(APIServiceStatus { conditions: local.then(|| vec![available]) });
    }

    fn prepare_update(&self, new: &mut APIService, old: &APIService, _: Context<'_>) {
        new.status.clone_from(&old.status);
    }

    fn validate_name(&self, name: &str, prefix: bool) -> Vec<String> {
        object_path_segment(name, prefix)
    }

    fn validate(&self, object: &APIService) -> ErrorList {
        let spec = object.spec.clone().unwrap_or_default();
        let mut errors = validate_name(object, &spec);
        errors.extend(validate_spec(&spec, &Path::new("spec")));
        errors
    }

    fn validate_update(&self, new: &APIService, _: &APIService) -> ErrorList {
        self.validate(new)
    }

    fn columns(&self) -> &'static [Column] {
        const {
            &[
                NAME_COLUMN,
                Column::new("Service", "The reference to the service that hosts this API endpoint."),
                Column::new("Available", "Whether this service is available."),
                AGE_COLUMN,
            ]
        }
    }

    fn row(&self, object: &APIService, now: Timestamp) -> Vec<Value> {
        let service = object.spec.as_ref().and_then(|spec| spec.service.as_ref());
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let service = service.map_or_else(
            || "Local".to_owned(),
            |service| format!("{}/{}", text(&service.namespace), text(&service.name)),
        );
        let mut conditions = object.status.iter().flat_map(|status| status.conditions.iter().flatten());
        let available = conditions.find(|condition| condition.type_ == AVAILABLE).map_or_else(
            || "Unknown".to_owned(),
            |condition| match condition.reason.as_deref() {
                Some(reason) if condition.status != "True" && !reason.is_empty() => {
                    format!("{} ({reason})", condition.status)
                }
                _ => condition.status.clone(),
            },
        );
        let age = api::duration::age(object.metadata.creation_timestamp.as_ref(), now);
        vec![object.metadata.name.clone().into(), service.into(), available.into(), age.into()]
    }

    fn updates(&self) -> Vec<UpdateSubresource<APIService>> {
        vec![UpdateSubresource {
            name: "status",
            prepare: |new, old, _| {
                new.spec.clone_from(&old.spec);
                let (new, old) = (&mut new.metadata, &old.metadata);
                new.labels.clone_from(&old.labels);
                new.annotations.clone_from(&old.annotations);
                new.finalizers.clone_from(&old.finalizers);
                new.owner_references.clone_from(&old.owner_references);
            },
            validate: |new, _| validate_status(new.status.as_ref(), &Path::new("status")),
        }]
    }

    fn allow_unconditional_update(&self) -> bool {
        false
    }
}

/// An APIService is called by what it serves.
fn validate_name(object: &APIService, spec: &APIServiceSpec) -> ErrorList {
    let mut errors = ErrorList::new();
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let required = format!("{}.{}", text(&spec.version), text(&spec.group));
    let meta = &object.metadata;
    for (field, name) in [("generateName", &meta.generate_name), ("name", &meta.name)] {
        let Some(name) = name.as_ref().filter(|name| !name.is_empty() && **name != required) else { continue };
        if object_path_segment(name, false).is_empty() {
            let detail = format!("must be `spec.version+\".\"+spec.group`: {}", go_quote(&required));
            errors.push(Error::invalid(&Path::new("metadata").child(field), name, detail));
        }
    }
    errors
}

fn validate_spec(spec: &APIServiceSpec, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let (group, version) = (spec.group.as_deref().unwrap_or_default(), spec.version.as_deref().unwrap_or_default());
    if group.is_empty() && version != "v1" {
        let detail = "only v1 may have an empty group and it better be legacy kube";
        errors.push(Error::required(&path.child("group"), detail));
    }
    if !group.is_empty() {
        errors.push_invalid(&path.child("group"), group, dns1123_subdomain(group));
    }
    errors.push_invalid(&path.child("version"), version, dns1035_label(version));
    let priorities =
        [("groupPriorityMinimum", spec.group_priority_minimum), ("versionPriority", spec.version_priority)];
    for ((field, priority), max) in priorities.into_iter().zip(MAX_PRIORITIES) {
        if !(1..=max).contains(&priority) {
            let detail = format!("must be positive and less than {max}");
            errors.push(Error::invalid(&path.child(field), priority, detail));
        }
    }
    let bundle = spec.ca_bundle.as_ref().map_or(0, |bundle| bundle.0.len());
    let insecure = spec.insecure_skip_tls_verify.unwrap_or(false);
    let insecure_path = path.child("insecureSkipTLSVerify");
    let Some(service) = &spec.service else {
        if bundle > 0 {
            let detail = "local APIServices may not have a caBundle";
            errors.push(Error::invalid(&path.child("caBundle"), format!("{bundle} bytes"), detail));
        }
        if insecure {
            let detail = "local APIServices may not have insecureSkipTLSVerify";
            errors.push(Error::invalid(&insecure_path, true, detail));
        }
        return errors;
    };
    for (field, value) in [("namespace", &service.namespace), ("name", &service.name)] {
        if value.as_ref().is_none_or(String::is_empty) {
            errors.push(Error::required(&path.child("service").child(field), ""));
        }
    }
    if insecure && bundle > 0 {
        errors.push(Error::invalid(&insecure_path, true, "may not be true if caBundle is present"));
    }
    errors
}

fn validate_status(status: Option<&APIServiceStatus>, path: &Path) -> ErrorList {
    let conditions = status.and_then(|status| status.conditions.as_deref()).unwrap_or_default().iter().enumerate();
    let unknown = conditions.filter(|(_, condition)| !CONDITION_STATUSES.contains(&condition.status.as_str()));
    unknown
        .map(|(i, condition)| {
            let path = path.child("conditions").index(i).child("status");
            Error::not_supported(&path, &condition.status, &CONDITION_STATUSES)
        })
        .collect()
}

#[cfg(test)]
mod tests;
