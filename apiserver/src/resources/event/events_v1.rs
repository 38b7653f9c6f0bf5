//! Events in `events.k8s.io/v1`. Its rules are stated of the stored form, so that messages name the fields of that form,
//! as upstream's do.

use api::field::ErrorList;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::conversion::to_core;
use super::{COLUMNS, SOURCE, row, validation};
use crate::strategy::{Column, Names, SelectableField, Strategy};

/// Events in their own group.
pub(crate) struct EventsV1;

impl Strategy for EventsV1 {
    type Object = Event;

    fn names(&self) -> Names {
        Names::of::<Event>("event", true).short(&["ev"])
    }

    fn validate(&self, object: &Event) -> ErrorList {
        validation::validate_strict(&to_core(object))
    }

    fn validate_update(&self, new: &Event, old: &Event) -> ErrorList {
        validation::validate_strict_change(&to_core(new), &to_core(old))
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn row(&self, object: &Event, now: Timestamp) -> Vec<Value> {
        row(&to_core(object), now)
    }

    /// The paths are those of the stored form.
    fn selectable_fields(&self) -> &'static [SelectableField] {
        const fn stored(name: &'static str, path: &'static str) -> SelectableField {
            SelectableField { name, ..SelectableField::at(path) }
        }
        const {
            &[
                SelectableField::at("reason"),
                stored("regarding.apiVersion", "involvedObject.apiVersion"),
                stored("regarding.fieldPath", "involvedObject.fieldPath"),
                stored("regarding.kind", "involvedObject.kind"),
                stored("regarding.name", "involvedObject.name"),
                stored("regarding.namespace", "involvedObject.namespace"),
                stored("regarding.resourceVersion", "involvedObject.resourceVersion"),
                stored("regarding.uid", "involvedObject.uid"),
                stored("reportingController", "reportingComponent"),
                SOURCE,
                SelectableField::at("type"),
            ]
        }
    }

    fn allow_create_on_update(&self) -> bool {
        true
    }
}
