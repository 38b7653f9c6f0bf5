//! Events of both versions.

use k8s_openapi::api::events::v1;
use proptest::collection::vec;
use proptest::prelude::{Strategy as _, any, prop_assert_eq, proptest};
use proptest::sample::{Index, subsequence};
use serde_json::json;

use super::*;

const TIME: &str = "2026-01-01T00:00:00Z";
const MICRO_TIME: &str = "2026-01-01T00:00:00.000001Z";
const KEY: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
                   alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
                   '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";

fn merged(mut base: Value, changes: Value) -> Value {
    for (key, value) in changes.as_object().unwrap() {
        base[key] = value.clone();
    }
    base
}

/// An event of the old style.
fn old_style() -> Value {
    json!({"metadata": {"name": "e", "namespace": "default"}, "involvedObject": {"namespace": "default", "name": "p"}})
}

/// An event as clients of today write it, in the newer version.
fn new_style() -> Value {
    json!({"metadata": {"name": "e", "namespace": "default"}, "eventTime": MICRO_TIME, "type": "Normal",
        "reason": "Scheduled", "action": "Binding", "reportingController": "default-scheduler",
        "reportingInstance": "default-scheduler-1", "note": "assigned", "regarding": {"kind": "Pod", "name": "p",
        "namespace": "default"}})
}

fn core(value: Value) -> Event {
    serde_json::from_value(value).unwrap()
}

fn newer(value: Value) -> v1::Event {
    serde_json::from_value(value).unwrap()
}

fn shown(errors: &ErrorList) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn old_style_events_belong_to_the_namespace_of_their_object() {
    let mismatch = |namespace: &str| {
        format!("involvedObject.namespace: Invalid value: \"{namespace}\": does not match event.namespace")
    };
    let check = |namespace: &str, object: &str, expected: Vec<String>| {
        let event = core(merged(
            old_style(),
            json!({"metadata": {"namespace": namespace},
            "involvedObject": {"namespace": object}}),
        ));
        assert_eq!(shown(&Events.validate(&event)), expected, "{namespace} {object}");
        assert_eq!(shown(&Events.validate_update(&event, &event)), expected);
    };
    check("default", "default", vec![]);
    check("default", "", vec![]);
    check("web", "web", vec![]);
    check("web", "", vec![mismatch("")]);
    check("kube-system", "", vec![mismatch("")]);
    check("default", "web", vec![mismatch("web")]);
    let rule = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must \
                start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
                '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
    check("A", "A", vec![format!("namespace: Invalid value: \"A\": {rule}")]);
}

#[test]
fn new_style_events_say_who_reports_what() {
    let long = "x".repeat(129);
    let at_most = |field: &str, max: i32| format!("{field}: Invalid value: \"\": can have at most {max} characters");
    let required = |field: &str| format!("{field}: Required value");
    let cases: Vec<(Value, Vec<String>)> = vec![
        (json!({}), vec![]),
        (json!({"regarding": {"kind": "Node", "name": "n"}}), vec![]),
        (json!({"regarding": {"namespace": "web"}}), vec![]),
        (
            json!({"metadata": {"namespace": "web"}, "regarding": {}}),
            vec!["involvedObject.namespace: Invalid value: \"\": does not match event.namespace".to_owned()],
        ),
        (json!({"metadata": {"namespace": "kube-system"}, "regarding": {}}), vec![]),
        (
            json!({"reportingController": ""}),
            vec![
                required("reportingController"),
                "reportingController: Invalid value: \"\": name part must be non-empty".to_owned(),
                format!("reportingController: Invalid value: \"\": {KEY}"),
            ],
        ),
        (json!({"reportingController": "a b"}), vec![format!("reportingController: Invalid value: \"a b\": {KEY}")]),
        (json!({"reportingInstance": null}), vec![required("reportingInstance")]),
        (json!({"reportingInstance": long}), vec![at_most("reportingInstance", 128)]),
        (json!({"action": ""}), vec![required("action")]),
        (json!({"action": long}), vec![at_most("action", 128)]),
        (json!({"reason": ""}), vec![required("reason")]),
        (json!({"reason": long, "note": "x".repeat(1025)}), vec![at_most("reason", 128), at_most("message", 1024)]),
        (json!({"note": "x".repeat(1024)}), vec![]),
    ];
    for (changes, expected) in cases {
        let event = newer(merged(new_style(), changes));
        assert_eq!(shown(&EventsV1.validate(&event)), expected);
        assert_eq!(shown(&Events.validate(&conversion::to_core(&event))), expected);
    }
}

#[test]
fn the_newer_version_is_strict() {
    let unset = |field: &str| format!("{field}: Invalid value: \"\": needs to be unset");
    let few = "series.count: Invalid value: \"\": should be at least 2";
    let cases: Vec<(Value, Vec<String>)> = vec![
        (json!({"type": "Warning", "series": {"count": 2, "lastObservedTime": MICRO_TIME}}), vec![]),
        (json!({"deprecatedSource": {}, "deprecatedCount": 0}), vec![]),
        (json!({"eventTime": null}), vec!["eventTime: Required value".to_owned()]),
        (json!({"type": null}), vec!["type: Invalid value: \"\": has invalid value: ".to_owned()]),
        (json!({"type": "Bad"}), vec!["type: Invalid value: \"\": has invalid value: Bad".to_owned()]),
        (json!({"series": {"count": 1, "lastObservedTime": MICRO_TIME}}), vec![few.to_owned()]),
        (
            json!({"series": {"lastObservedTime": "1970-01-01T00:00:00.000000Z"}}),
            vec![few.to_owned(), "series.lastObservedTime: Required value".to_owned()],
        ),
        (
            json!({"deprecatedFirstTimestamp": TIME, "deprecatedLastTimestamp": TIME, "deprecatedCount": 1,
                "deprecatedSource": {"host": "n"}}),
            ["firstTimestamp", "lastTimestamp", "count", "source"].map(unset).to_vec(),
        ),
        (json!({"deprecatedSource": {"component": "c"}}), vec![unset("source")]),
    ];
    for (changes, expected) in cases {
        let event = newer(merged(new_style(), changes));
        assert_eq!(shown(&EventsV1.validate(&event)), expected);
        assert_eq!(shown(&Events.validate(&conversion::to_core(&event))), [""; 0]);
    }
}

#[test]
fn only_the_series_changes_through_the_newer_version() {
    let fixed = |field: &str, value: &str| format!("{field}: Invalid value: {value}: field is immutable");
    let series = |count: i32| json!({"series": {"count": count, "lastObservedTime": MICRO_TIME}});
    let cases: Vec<(Value, Value, Vec<String>)> = vec![
        (json!({}), series(2), vec![]),
        (series(2), series(3), vec![]),
        (series(2), json!({}), vec![]),
        (series(1), series(1), vec![]),
        (series(2), series(1), vec!["series.count: Invalid value: \"\": should be at least 2".to_owned()]),
        (json!({"type": "Bad"}), json!({"type": "Bad"}), vec![]),
        (json!({}), json!({"metadata": {"namespace": "default", "labels": {"a": "b"}}}), vec![]),
        (
            json!({}),
            json!({"regarding": {"kind": "Pod", "name": "q", "namespace": "default", "uid": "u"}}),
            vec![fixed(
                "involvedObject",
                "{\"Kind\":\"Pod\",\"Namespace\":\"default\",\"Name\":\"q\",\"UID\":\"u\",\"APIVersion\":\"\",\
                 \"ResourceVersion\":\"\",\"FieldPath\":\"\"}",
            )],
        ),
        (json!({}), json!({"reason": "R"}), vec![fixed("reason", "\"R\""), fixed("reason", "\"R\"")]),
        (json!({}), json!({"note": "n"}), vec![fixed("message", "\"n\"")]),
        (
            json!({}),
            json!({"deprecatedSource": {"component": "c"}}),
            vec![fixed("source", "{\"Component\":\"c\",\"Host\":\"\"}")],
        ),
        (
            json!({}),
            json!({"deprecatedFirstTimestamp": TIME, "deprecatedCount": 2}),
            vec![fixed("firstTimestamp", &format!("\"{TIME}\"")), fixed("count", "2")],
        ),
        (json!({"deprecatedLastTimestamp": TIME}), json!({}), vec![fixed("lastTimestamp", "null")]),
        (
            json!({}),
            json!({"type": "Warning", "action": "a"}),
            vec![fixed("type", "\"Warning\""), fixed("action", "\"a\"")],
        ),
        (
            json!({}),
            json!({"eventTime": "2026-01-02T00:00:00.000000Z"}),
            vec![fixed("eventTime", "\"2026-01-02T00:00:00.000000Z\"")],
        ),
        (json!({"related": {"name": "a"}}), json!({}), vec![fixed("related", "null")]),
        (
            json!({}),
            json!({"reportingController": "c", "reportingInstance": "i"}),
            vec![fixed("reportingController", "\"c\""), fixed("reportingInstance", "\"i\"")],
        ),
    ];
    for (old, new, expected) in cases {
        let (old, new) = (newer(merged(new_style(), old)), newer(merged(new_style(), new)));
        assert_eq!(shown(&EventsV1.validate_update(&new, &old)), expected);
    }
}

#[test]
fn defaults_are_none() {
    let (mut old, mut new) = (core(old_style()), newer(new_style()));
    Events.default(&mut old);
    EventsV1.default(&mut new);
    assert_eq!((old, new), (core(old_style()), newer(new_style())));
}

#[test]
fn conversion_renames() {
    let stored = json!({
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": "e", "labels": {"message": "kept"}}, "count": 3,
        "firstTimestamp": TIME, "lastTimestamp": TIME, "message": "m", "reportingComponent": "c",
        "reportingInstance": "i", "source": {"component": "kubelet", "host": "n"}, "involvedObject": {"name": "p"},
        "related": {"name": "r"}, "reason": "R", "action": "A", "type": "Normal", "eventTime": MICRO_TIME,
        "series": {"count": 2, "lastObservedTime": MICRO_TIME}});
    let newer = json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "e", "labels": {"message": "kept"}},
        "deprecatedCount": 3, "deprecatedFirstTimestamp": TIME, "deprecatedLastTimestamp": TIME, "note": "m",
        "reportingController": "c", "reportingInstance": "i",
        "deprecatedSource": {"component": "kubelet", "host": "n"}, "regarding": {"name": "p"},
        "related": {"name": "r"}, "reason": "R", "action": "A", "type": "Normal", "eventTime": MICRO_TIME,
        "series": {"count": 2, "lastObservedTime": MICRO_TIME}});
    assert_eq!((CONVERSION.from_stored)(stored.clone()), newer);
    assert_eq!((CONVERSION.to_stored)(newer), stored);
    let bare = json!({"apiVersion": "v1", "involvedObject": {}, "series": {}});
    let filled = (CONVERSION.from_stored)(bare.clone());
    assert_eq!(filled["series"], json!({"count": 0, "lastObservedTime": "1970-01-01T00:00:00.000000Z"}));
    assert_eq!((CONVERSION.to_stored)(filled), bare);
    assert_eq!((CONVERSION.from_stored)(json!([])), json!([]));
}

/// Any fields of a stored event, each there or not.
fn any_stored() -> impl proptest::strategy::Strategy<Value = Value> {
    let reference = || json!({"kind": "Pod", "name": "p", "namespace": "default", "uid": "u", "fieldPath": "spec"});
    let fields = [
        ("metadata", vec![json!({"name": "e"}), json!({"namespace": "default", "annotations": {"a": "b"}})]),
        ("involvedObject", vec![json!({}), reference()]),
        ("related", vec![json!({}), reference()]),
        ("count", vec![json!(0), json!(7)]),
        ("firstTimestamp", vec![json!(TIME)]),
        ("lastTimestamp", vec![json!(TIME)]),
        ("eventTime", vec![json!(MICRO_TIME)]),
        ("message", vec![json!(""), json!("m")]),
        ("reason", vec![json!("R")]),
        ("action", vec![json!("A")]),
        ("type", vec![json!("Normal"), json!("Other")]),
        ("reportingComponent", vec![json!(""), json!("c")]),
        ("reportingInstance", vec![json!("i")]),
        ("source", vec![json!({}), json!({"component": "c", "host": "h"})]),
        ("series", vec![json!({}), json!({"count": 4}), json!({"lastObservedTime": MICRO_TIME})]),
    ];
    let indexes = vec(any::<Index>(), fields.len());
    (subsequence(fields.to_vec(), 0..=fields.len()), indexes).prop_map(|(chosen, indexes)| {
        let mut event = json!({"apiVersion": "v1", "kind": "Event", "metadata": {}, "involvedObject": {}});
        for ((name, values), index) in chosen.iter().zip(indexes) {
            event[name] = index.get(values).clone();
        }
        event
    })
}

proptest! {
    #[test]
    fn conversion_loses_nothing(stored in any_stored()) {
        let converted = (CONVERSION.from_stored)(stored.clone());
        prop_assert_eq!(&(CONVERSION.to_stored)(converted.clone()), &stored);

        // Through the typed objects, as the engine goes.
        let typed: v1::Event = serde_json::from_value(converted).unwrap();
        let back = serde_json::to_value(&typed).unwrap();
        prop_assert_eq!(&(CONVERSION.to_stored)(back), &serde_json::to_value(core(stored.clone())).unwrap());
        prop_assert_eq!(conversion::to_core(&typed), core(stored));
    }
}

#[test]
fn rows() {
    let now = "2026-01-01T00:01:40Z".parse().unwrap();
    let at = |second: i32| format!("2026-01-01T00:00:{second:02}Z");
    let base = json!({"metadata": {"name": "e"}, "involvedObject": {"kind": "Pod", "name": "p", "fieldPath":
        "spec.containers{web}"}, "type": "Normal", "reason": "Pulled", "message": " done\n"});
    let check = |changes: Value, last: &str, source: &str, first: &str, count: i32| {
        let row = Events.row(&core(merged(base.clone(), changes)), now);
        let expected =
            [last, "Normal", "Pulled", "pod/p", "spec.containers{web}", source, "done", first].map(Value::from);
        assert_eq!((&row[..8], &row[8..]), (&expected[..], &[json!(count), json!("e")][..]));
    };
    let unknown = "<unknown>";
    check(json!({}), unknown, "", unknown, 1);
    check(json!({"firstTimestamp": at(10), "count": 5}), "90s", "", "90s", 5);
    check(json!({"firstTimestamp": at(10), "lastTimestamp": at(40)}), "60s", "", "90s", 1);
    check(
        json!({"eventTime": MICRO_TIME, "source": {"component": "kubelet", "host": "n1"}}),
        "99s",
        "kubelet, n1",
        "99s",
        1,
    );
    let series = json!({"count": 9, "lastObservedTime": "2026-01-01T00:00:50.500000Z"});
    check(
        json!({"eventTime": at(20), "lastTimestamp": at(30), "count": 2, "series": series, "reportingComponent": "c",
            "reportingInstance": "i", "source": {"component": "", "host": "n1"}}),
        "49s",
        "c, n1",
        "80s",
        9,
    );
    check(json!({"series": {}, "reportingComponent": "c"}), unknown, "c", unknown, 0);

    let row = Events.row(&core(json!({"metadata": {}, "involvedObject": {"kind": "Node"}})), now);
    assert_eq!((&row[3], &row[9]), (&json!("node"), &json!(null)));
    let event = newer(new_style());
    assert_eq!(EventsV1.row(&event, now), Events.row(&conversion::to_core(&event), now));
    assert_eq!(EventsV1.row(&event, now)[..4], ["99s", "Normal", "Scheduled", "pod/p"].map(Value::from));
}

#[test]
fn columns_and_fields_are_those_of_both_versions() {
    let wide = |wide: bool| {
        let columns = Events.columns().iter().filter(|column| (column.priority == 1) == wide);
        columns.map(|column| column.name).collect::<Vec<_>>()
    };
    assert_eq!(wide(false), ["Last Seen", "Type", "Reason", "Object", "Message"]);
    assert_eq!(wide(true), ["Subobject", "Source", "First Seen", "Count", "Name"]);
    assert_eq!(EventsV1.columns(), Events.columns());
    let paths = |fields: &[SelectableField]| {
        let mut paths = fields.iter().map(|field| field.path).collect::<Vec<_>>();
        paths.sort_unstable();
        paths
    };
    assert_eq!(paths(EventsV1.selectable_fields()), paths(Events.selectable_fields()));
}
