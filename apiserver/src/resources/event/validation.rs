//! What an event must be, of the stored form.
//!
//! An event with `eventTime` is a new-style one and says who reports what; one without only belongs to the namespace of
//! its object. Through `events.k8s.io/v1` only new-style events are written, and only their series changes.

use api::field::{BadValue, Error, ErrorList, Path};
use api::names::{dns1123_subdomain, label_key};
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use serde::Serialize;

use super::text;

const MAX_NAME_BYTES: usize = 128;
const MAX_NOTE_BYTES: usize = 1024;

/// The rules that hold in every version.
pub(super) fn validate_legacy(event: &Event) -> ErrorList {
    let mut errors = ErrorList::new();
    let namespace = text(&event.metadata.namespace);
    let object_namespace = text(&event.involved_object.namespace);
    let is_new = event.event_time.is_some();
    // Objects without a namespace have their events in `default`; new-style ones also in `kube-system`.
    let agrees = match (object_namespace, is_new) {
        ("", false) => matches!(namespace, "" | "default"),
        ("", true) => matches!(namespace, "default" | "kube-system"),
        (_, false) => namespace == object_namespace,
        (_, true) => true,
    };
    if !agrees {
        let path = Path::new("involvedObject").child("namespace");
        errors.push(Error::invalid(&path, object_namespace, "does not match event.namespace"));
    }
    if is_new {
        errors.extend(validate_new_style(event));
    }
    errors.push_invalid(&Path::new("namespace"), namespace, dns1123_subdomain(namespace));
    errors
}

/// The rules for what is created through `events.k8s.io/v1`.
pub(super) fn validate_strict(event: &Event) -> ErrorList {
    let mut errors = validate_legacy(event);
    errors.extend(validate_series(event));
    if event.event_time.is_none() {
        errors.push(Error::required(&Path::new("eventTime"), ""));
    }
    let kind = text(&event.type_);
    if !matches!(kind, "Normal" | "Warning") {
        errors.push(Error::invalid(&Path::new("type"), "", format!("has invalid value: {kind}")));
    }
    let (component, host) = source(event);
    let deprecated = [
        ("firstTimestamp", event.first_timestamp.is_some()),
        ("lastTimestamp", event.last_timestamp.is_some()),
        ("count", event.count.is_some_and(|count| count != 0)),
        ("source", !component.is_empty() || !host.is_empty()),
    ];
    let set = deprecated.into_iter().filter(|(_, is_set)| *is_set);
    errors.extend(set.map(|(name, _)| Error::invalid(&Path::new(name), "", "needs to be unset")));
    errors
}

/// The rules for what is updated through `events.k8s.io/v1`.
pub(super) fn validate_strict_change(new: &Event, old: &Event) -> ErrorList {
    let mut errors = validate_legacy(new);
    let series = |event: &Event| {
        let series = event.series.as_ref()?;
        let time = series.last_observed_time.as_ref().map(|time| time.0.as_microsecond());
        Some((series.count.unwrap_or(0), time))
    };
    if series(new) != series(old) {
        errors.extend(validate_series(new));
    }
    let mut fixed = |name: &str, new: BadValue, old: BadValue| {
        if new != old {
            errors.push(Error::invalid(&Path::new(name), new, "field is immutable"));
        }
    };
    let reasons = || (text(&new.reason).into(), text(&old.reason).into());
    fixed("involvedObject", reference(&new.involved_object), reference(&old.involved_object));
    let (reason, old_reason) = reasons();
    fixed("reason", reason, old_reason);
    fixed("message", text(&new.message).into(), text(&old.message).into());
    fixed("source", BadValue::json(&ShownSource::from(new)), BadValue::json(&ShownSource::from(old)));
    fixed("firstTimestamp", BadValue::json(&new.first_timestamp), BadValue::json(&old.first_timestamp));
    fixed("lastTimestamp", BadValue::json(&new.last_timestamp), BadValue::json(&old.last_timestamp));
    fixed("count", new.count.unwrap_or(0).into(), old.count.unwrap_or(0).into());
    // Upstream looks at the reason twice.
    let (reason, old_reason) = reasons();
    fixed("reason", reason, old_reason);
    fixed("type", text(&new.type_).into(), text(&old.type_).into());
    fixed("eventTime", BadValue::json(&new.event_time), BadValue::json(&old.event_time));
    fixed("action", text(&new.action).into(), text(&old.action).into());
    let related = |event: &Event| event.related.as_ref().map_or_else(BadValue::null, reference);
    fixed("related", related(new), related(old));
    let controller = |event: &Event| text(&event.reporting_component).into();
    fixed("reportingController", controller(new), controller(old));
    fixed("reportingInstance", text(&new.reporting_instance).into(), text(&old.reporting_instance).into());
    errors
}

fn validate_new_style(event: &Event) -> ErrorList {
    let mut errors = ErrorList::new();
    let controller = text(&event.reporting_component);
    let path = Path::new("reportingController");
    if controller.is_empty() {
        errors.push(Error::required(&path, ""));
    }
    errors.push_invalid(&path, controller, label_key(controller));
    let too_long = |path: &Path, max| Error::invalid(path, "", format!("can have at most {max} characters"));
    let names =
        [("reportingInstance", &event.reporting_instance), ("action", &event.action), ("reason", &event.reason)];
    for (name, value) in names {
        let path = Path::new(name);
        match text(value).len() {
            0 => errors.push(Error::required(&path, "")),
            length if length > MAX_NAME_BYTES => errors.push(too_long(&path, MAX_NAME_BYTES)),
            _ => {}
        }
    }
    if text(&event.message).len() > MAX_NOTE_BYTES {
        errors.push(too_long(&Path::new("message"), MAX_NOTE_BYTES));
    }
    errors
}

fn validate_series(event: &Event) -> ErrorList {
    let mut errors = ErrorList::new();
    if let Some(series) = &event.series {
        let path = Path::new("series");
        if series.count.unwrap_or(0) < 2 {
            errors.push(Error::invalid(&path.child("count"), "", "should be at least 2"));
        }
        if series.last_observed_time.is_none() {
            errors.push(Error::required(&path.child("lastObservedTime"), ""));
        }
    }
    errors
}

fn source(event: &Event) -> (&str, &str) {
    let read =
        |read: fn(&EventSource) -> &Option<String>| event.source.as_ref().map_or("", |source| text(read(source)));
    (read(|source| &source.component), read(|source| &source.host))
}

/// The source of an event as messages show it: upstream's internal type, whose fields have Go's names.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ShownSource<'a> {
    component: &'a str,
    host: &'a str,
}

impl<'a> From<&'a Event> for ShownSource<'a> {
    fn from(event: &'a Event) -> Self {
        let (component, host) = source(event);
        ShownSource { component, host }
    }
}

/// A reference as messages show it, likewise.
fn reference(reference: &ObjectReference) -> BadValue {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Shown<'a> {
        kind: &'a str,
        namespace: &'a str,
        name: &'a str,
        #[serde(rename = "UID")]
        uid: &'a str,
        #[serde(rename = "APIVersion")]
        api_version: &'a str,
        resource_version: &'a str,
        field_path: &'a str,
    }
    BadValue::json(&Shown {
        kind: text(&reference.kind),
        namespace: text(&reference.namespace),
        name: text(&reference.name),
        uid: text(&reference.uid),
        api_version: text(&reference.api_version),
        resource_version: text(&reference.resource_version),
        field_path: text(&reference.field_path),
    })
}
