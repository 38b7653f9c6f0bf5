//! ControllerRevisions: what a DaemonSet or StatefulSet was at some time, so that it can become that again. The data never
//! changes; which revision it is may, when an old state is taken up again.

use api::field::{BadValue, Error, ErrorList, Path};
use api::validate::meta::FIELD_IMMUTABLE;
use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::replica_template::validate_non_negative;
use crate::strategy::{AGE_COLUMN, Column, NAME_COLUMN, Names, Strategy};

pub(crate) struct ControllerRevisions;

impl Strategy for ControllerRevisions {
    type Object = ControllerRevision;

    fn names(&self) -> Names {
        Names::of::<ControllerRevision>("controllerrevision", true)
    }

    fn default(&self, object: &mut ControllerRevision) {
        object.revision.get_or_insert(0);
    }

    fn validate(&self, object: &ControllerRevision) -> ErrorList {
        let path = Path::new("data");
        let mut errors = match &object.data.0 {
            Value::Object(_) => ErrorList::new(),
            Value::Null => Error::required(&path, "data is mandatory").into(),
            _ => Error::required(&path, "data must be a valid JSON object").into(),
        };
        errors.extend(validate_non_negative(object.revision.unwrap_or(0), &Path::new("revision")));
        errors
    }

    fn validate_update(&self, new: &ControllerRevision, old: &ControllerRevision) -> ErrorList {
        let mut errors = self.validate(new);
        if new.data != old.data {
            errors.push(Error::invalid(&Path::new("data"), BadValue::json(&new.data.0), FIELD_IMMUTABLE));
        }
        errors
    }

    fn columns(&self) -> &'static [Column] {
        const CONTROLLER: Column = Column::new("Controller", "Controller of the object");
        const REVISION: Column =
            Column::new("Revision", "Revision indicates the revision of the state represented by Data.");
        const { &[NAME_COLUMN, CONTROLLER, REVISION, AGE_COLUMN] }
    }

    fn row(&self, object: &ControllerRevision, now: Timestamp) -> Vec<Value> {
        vec![
            object.metadata.name.clone().into(),
            controller(&object.metadata).unwrap_or_else(|| "<none>".to_owned()).into(),
            object.revision.unwrap_or(0).into(),
            api::duration::age(object.metadata.creation_timestamp.as_ref(), now).into(),
        ]
    }
}

/// The controller as users name it, such as `statefulset.apps/web`.
fn controller(meta: &ObjectMeta) -> Option<String> {
    let owner = meta.owner_references.iter().flatten().find(|owner| owner.controller == Some(true))?;
    let group = owner.api_version.split_once('/').map_or(String::new(), |(group, _)| format!(".{group}"));
    Some(format!("{}/{}", format!("{}{group}", owner.kind).to_lowercase(), owner.name))
}

#[cfg(test)]
mod tests;
