//! Events: what happened to an object, for people to read.
//!
//! The two API versions, `v1` and `events.k8s.io/v1`, are two forms of the same stored objects. The older one is stored;
//! the newer one is stricter about what is written through it.

use k8s_openapi::api::core::v1::{Event, EventSource};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use api::field::ErrorList;

use crate::strategy::{Column, NAME_COLUMN, Names, SelectableField, Strategy};

mod conversion;
mod events_v1;
mod validation;

pub(crate) use conversion::CONVERSION;
pub(crate) use events_v1::EventsV1;

/// Where events of both versions are stored.
pub(crate) const STORED: &str = "core/events";

const COLUMNS: &[Column] = &[
    Column::new("Last Seen", "The time at which the most recent occurrence of this event was recorded."),
    Column::new("Type", "Type of this event (Normal, Warning), new types could be added in the future"),
    Column::new(
        "Reason",
        "This should be a short, machine understandable string that gives the reason for the transition into the \
         object's current status.",
    ),
    Column::new("Object", "The object that this event is about."),
    Column::new(
        "Subobject",
        "If referring to a piece of an object instead of an entire object, this string should contain a valid JSON/Go \
         field access statement, such as desiredState.manifest.containers[2]. For example, if the object reference is to \
         a container within a pod, this would take on a value like: \"spec.containers{name}\" (where \"name\" refers to \
         the name of the container that triggered the event) or if no container name is specified \
         \"spec.containers[2]\" (container with index 2 in this pod). This syntax is chosen only to have some \
         well-defined way of referencing a part of an object.",
    )
    .wide(),
    Column::new(
        "Source",
        "The component reporting this event. Should be a short machine understandable string.",
    )
    .wide(),
    Column::new("Message", "A human-readable description of the status of this operation."),
    Column::new(
        "First Seen",
        "The time at which the event was first recorded. (Time of server receipt is in TypeMeta.)",
    )
    .wide(),
    Column::new("Count", "The number of times this event has occurred.").wide(),
    NAME_COLUMN.wide(),
];

/// Events in the core group.
pub(crate) struct Events;

impl Strategy for Events {
    type Object = Event;

    fn names(&self) -> Names {
        Names::of::<Event>("event", true).short(&["ev"])
    }

    fn validate(&self, object: &Event) -> ErrorList {
        validation::validate_legacy(object)
    }

    fn validate_update(&self, new: &Event, _: &Event) -> ErrorList {
        validation::validate_legacy(new)
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn row(&self, object: &Event, now: Timestamp) -> Vec<Value> {
        row(object, now)
    }

    fn selectable_fields(&self) -> &'static [SelectableField] {
        const {
            &[
                SelectableField::at("involvedObject.apiVersion"),
                SelectableField::at("involvedObject.fieldPath"),
                SelectableField::at("involvedObject.kind"),
                SelectableField::at("involvedObject.name"),
                SelectableField::at("involvedObject.namespace"),
                SelectableField::at("involvedObject.resourceVersion"),
                SelectableField::at("involvedObject.uid"),
                SelectableField::at("reason"),
                SelectableField::at("reportingComponent"),
                SOURCE,
                SelectableField::at("type"),
            ]
        }
    }

    fn allow_create_on_update(&self) -> bool {
        true
    }
}

/// The component that an event comes from, in the older form or the newer one.
const SOURCE: SelectableField =
    SelectableField { name: "source", or_path: Some("reportingComponent"), ..SelectableField::at("source.component") };

/// The cells of an event of either version.
fn row(event: &Event, now: Timestamp) -> Vec<Value> {
    let age = |time: Option<&Time>| api::duration::age(time, now);
    let micro_age = |time: Option<&MicroTime>| age(time.map(|time| Time(time.0)).as_ref());
    let first_seen = match &event.first_timestamp {
        Some(time) => age(Some(time)),
        None => micro_age(event.event_time.as_ref()),
    };
    let (last_seen, count) = match (&event.series, &event.last_timestamp) {
        (Some(series), _) => (micro_age(series.last_observed_time.as_ref()), series.count.unwrap_or(0)),
        (None, last) => {
            let last_seen = last.as_ref().map_or_else(|| first_seen.clone(), |last| age(Some(last)));
            // An event that happened once may leave the count out.
            (last_seen, event.count.filter(|count| *count != 0).unwrap_or(1))
        }
    };
    let object = &event.involved_object;
    let kind = text(&object.kind).to_lowercase();
    let target = match text(&object.name) {
        "" => kind,
        name => format!("{kind}/{name}"),
    };
    vec![
        last_seen.into(),
        text(&event.type_).into(),
        text(&event.reason).into(),
        target.into(),
        text(&object.field_path).into(),
        source(event).into(),
        text(&event.message).trim().into(),
        first_seen.into(),
        count.into(),
        event.metadata.name.clone().into(),
    ]
}

/// Component and host, each in the older form if it is there.
fn source(event: &Event) -> String {
    let older = |read: fn(&EventSource) -> &Option<String>| {
        event.source.as_ref().map(|source| text(read(source))).filter(|text| !text.is_empty())
    };
    let component = older(|source| &source.component).unwrap_or(text(&event.reporting_component));
    match older(|source| &source.host).unwrap_or(text(&event.reporting_instance)) {
        "" => component.to_owned(),
        instance => format!("{component}, {instance}"),
    }
}

fn text(text: &Option<String>) -> &str {
    text.as_deref().unwrap_or_default()
}

#[cfg(test)]
mod tests;
