//! Between the two forms of events. Nothing is lost either way.
//!
//! The newer form demands what the older one may leave out of a series. The generated struct cannot hold a series without
//! its last time, so that the epoch stands for none there; in the stored form there is none.

use k8s_openapi::api::core::v1::{Event, EventSeries};
use k8s_openapi::api::events::v1;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::registry::Conversion;

/// Between the stored form and `events.k8s.io/v1`.
pub(crate) const CONVERSION: Conversion = Conversion { from_stored, to_stored };

const API_VERSION: &str = "events.k8s.io/v1";
const STORED_API_VERSION: &str = "v1";
const EPOCH: &str = "1970-01-01T00:00:00.000000Z";

/// Names that differ: in the stored form, and in the newer one.
const RENAMED: [(&str, &str); 7] = [
    ("count", "deprecatedCount"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("involvedObject", "regarding"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("message", "note"),
    ("reportingComponent", "reportingController"),
    ("source", "deprecatedSource"),
];

/// The stored form of an event, typed. Agrees with what [`CONVERSION`] makes of its JSON.
pub(super) fn to_core(event: &v1::Event) -> Event {
    let event = event.clone();
    let series = event.series.map(|series| EventSeries {
        count: Some(series.count).filter(|count| *count != 0),
        last_observed_time: Some(series.last_observed_time).filter(|time| time.0 != Timestamp::UNIX_EPOCH),
    });
    Event {
        action: event.action,
        count: event.deprecated_count,
        event_time: event.event_time,
        first_timestamp: event.deprecated_first_timestamp,
        involved_object: event.regarding.unwrap_or_default(),
        last_timestamp: event.deprecated_last_timestamp,
        message: event.note,
        metadata: event.metadata,
        reason: event.reason,
        related: event.related,
        reporting_component: event.reporting_controller,
        reporting_instance: event.reporting_instance,
        series,
        source: event.deprecated_source,
        type_: event.type_,
    }
}

fn from_stored(value: Value) -> Value {
    convert(value, API_VERSION, RENAMED, |series| {
        series.entry("count").or_insert_with(|| json!(0));
        let time = series.entry("lastObservedTime").or_insert(Value::Null);
        if time.is_null() {
            *time = json!(EPOCH);
        }
    })
}

fn to_stored(value: Value) -> Value {
    let mut stored = convert(value, STORED_API_VERSION, RENAMED.map(|(stored, newer)| (newer, stored)), |series| {
        if series.get("count") == Some(&json!(0)) {
            series.remove("count");
        }
        if series.get("lastObservedTime") == Some(&json!(EPOCH)) {
            series.remove("lastObservedTime");
        }
    });
    if let Value::Object(fields) = &mut stored {
        // The one field that the stored form demands.
        fields.entry("involvedObject").or_insert_with(|| json!({}));
    }
    stored
}

fn convert(
    value: Value,
    api_version: &str,
    renamed: [(&str, &str); 7],
    convert_series: impl Fn(&mut Map<String, Value>),
) -> Value {
    let Value::Object(fields) = value else { return value };
    let rename = |(name, mut value): (String, Value)| {
        if name == "apiVersion" {
            return (name, json!(api_version));
        }
        if let ("series", Value::Object(series)) = (&*name, &mut value) {
            convert_series(series);
        }
        let newer = renamed.iter().find(|(from, _)| *from == name).map(|(_, to)| (*to).to_owned());
        (newer.unwrap_or(name), value)
    };
    fields.into_iter().map(rename).collect()
}
