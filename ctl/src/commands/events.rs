//! `gantry events`.

use clap::Args;
use futures::TryStreamExt;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::io::AsyncBufReadExt;

use super::describe::page::{Clock, moment, shown};
use crate::output::{Format, Printing, items, table::Printer, table::Shape};
use crate::session::Ask;
use crate::{Error, Session};

/// The arguments.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// In all namespaces.
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Only those about this object.
    #[arg(long = "for", value_name = "TYPE/NAME", default_value = "")]
    about: String,
    /// Only those of these types: Normal, Warning.
    #[arg(long, value_name = "TYPES", value_delimiter = ',')]
    types: Vec<String>,
    /// Go on and show what happens.
    #[arg(short, long)]
    watch: bool,
    /// Without the header.
    #[arg(long)]
    no_headers: bool,
    #[command(flatten)]
    output: Printing,
    /// How many are asked for at a time; 0 asks for all at once.
    #[arg(long, value_name = "NUMBER", default_value_t = 500)]
    chunk_size: u32,
}

/// Shows events.
pub(crate) async fn run(arguments: Arguments, session: &mut Session<'_>) -> Result<(), Error> {
    let is_known = |name: &String| ["normal", "warning"].contains(&name.to_lowercase().as_str());
    if !arguments.types.iter().all(is_known) {
        return Err(Error::said("valid --types are Normal or Warning"));
    }
    let format = arguments.output.of_objects()?.unwrap_or_default();
    let fields = match arguments.about.as_str() {
        "" => String::new(),
        about => about_fields(session, about).await?,
    };
    let namespace = session.namespace().await?;
    let path = match arguments.all_namespaces {
        true => "/api/v1/events".to_owned(),
        false => format!("/api/v1/namespaces/{}/events", crate::resources::escape(&namespace)),
    };
    let (mut events, version) = list(session, &path, &fields, arguments.chunk_size).await?;
    events.retain(|event| is_wanted(event, &arguments.types));
    let shape =
        Shape { with_namespace: arguments.all_namespaces, without_header: arguments.no_headers, ..Shape::default() };
    let mut printer = Printer::new(shape);
    if arguments.watch {
        if !events.is_empty() {
            show(session, &format, &mut printer, &events)?;
        }
        return watch(&arguments, session, (&path, &fields, version), &format, &mut printer).await;
    }
    if events.is_empty() {
        let place = if arguments.all_namespaces { ".".to_owned() } else { format!(" in {namespace} namespace.") };
        return session.remark(&format!("No events found{place}"));
    }
    events.sort_by_key(time);
    show(session, &format, &mut printer, &events)
}

/// The fields of events about an object.
async fn about_fields(session: &mut Session<'_>, about: &str) -> Result<String, Error> {
    let wrong = || Error::said("--for must be in resource/name form");
    let (resource, name) = about.split_once('/').ok_or_else(wrong)?;
    if resource.is_empty() || name.is_empty() || name.contains('/') {
        return Err(wrong());
    }
    let found = session.catalog().await?.find(resource)?;
    let resource = found.first().ok_or_else(wrong)?;
    Ok(format!("involvedObject.kind={},involvedObject.name={name}", resource.kind))
}

/// All of them, and the version of the last page.
async fn list(session: &mut Session<'_>, path: &str, fields: &str, chunk: u32) -> Result<(Vec<Value>, String), Error> {
    let (mut all, mut next) = (Vec::new(), String::new());
    loop {
        let limit = if chunk > 0 { chunk.to_string() } else { String::new() };
        let ask = Ask::get(path).query("fieldSelector", fields).query("limit", limit).query("continue", next);
        let page = session.json(ask).await?;
        all.extend(items(&page).into_iter().map(|event| {
            let mut event = event.clone();
            event["apiVersion"] = json!("v1");
            event["kind"] = json!("Event");
            event
        }));
        next = shown(&page["metadata"]["continue"]);
        if next.is_empty() {
            return Ok((all, shown(&page["metadata"]["resourceVersion"])));
        }
    }
}

fn is_wanted(event: &Value, types: &[String]) -> bool {
    types.is_empty() || types.iter().any(|name| name.eq_ignore_ascii_case(event["type"].as_str().unwrap_or_default()))
}

/// When it was last seen.
fn time(event: &Value) -> Option<jiff::Timestamp> {
    let series = moment(&event["series"]["lastObservedTime"]);
    series.or_else(|| moment(&event["lastTimestamp"])).or_else(|| moment(&event["eventTime"]))
}

/// When it was last seen, in words.
fn last_seen(event: &Value, clock: &Clock) -> String {
    let first = if event["eventTime"].is_null() { &event["firstTimestamp"] } else { &event["eventTime"] };
    let first = clock.since(first);
    let often = |last: &Value, count: &Value| format!("{} (x{} over {first})", clock.since(last), shown(count));
    let series = &event["series"];
    if !series.is_null() {
        return often(&series["lastObservedTime"], &series["count"]);
    }
    match event["count"].as_i64() {
        Some(2..) => often(&event["lastTimestamp"], &event["count"]),
        _ => first,
    }
}

/// Events as a table.
fn table(events: &[Value], clock: &Clock) -> Value {
    let columns = ["Last Seen", "Type", "Reason", "Object", "Message"].map(|name| json!({"name": name}));
    let row = |event: &Value| {
        let about = &event["involvedObject"];
        let object = format!("{}/{}", shown(&about["kind"]), shown(&about["name"]));
        let message = shown(&event["message"]);
        let seen = last_seen(event, clock);
        let cells = json!([seen, shown(&event["type"]), shown(&event["reason"]), object, message.trim()]);
        json!({"cells": cells, "object": {"metadata": {"namespace": event["metadata"]["namespace"]}}})
    };
    json!({"columnDefinitions": columns, "rows": events.iter().map(row).collect::<Vec<_>>()})
}

fn show(session: &mut Session<'_>, format: &Format, printer: &mut Printer, events: &[Value]) -> Result<(), Error> {
    if format.is_table() {
        session.write(&printer.show(&table(events, &Clock::here())))?;
    } else {
        let name = |event: &Value| format!("event/{}", shown(&event["metadata"]["name"]));
        let list = json!({"kind": "EventList", "apiVersion": "v1", "metadata": {}, "items": events});
        format.write(session, &list, &name)?;
    }
    session.flush()
}

async fn watch(
    arguments: &Arguments,
    session: &mut Session<'_>,
    (path, fields, version): (&str, &str, String),
    format: &Format,
    printer: &mut Printer,
) -> Result<(), Error> {
    let ask = Ask::get(path).query("fieldSelector", fields).query("watch", "true").query("resourceVersion", version);
    let body = session.open(ask).await?;
    let frames = body.into_data_stream().map_err(std::io::Error::other);
    let mut lines = tokio_util::io::StreamReader::new(frames).lines();
    while let Some(line) = lines.next_line().await? {
        let Ok(change) = serde_json::from_str::<Value>(&line) else { continue };
        let event = &change["object"];
        match change["type"].as_str() {
            Some("ERROR") => return Err(Error::Server(Box::new(event.clone()))),
            // What is forgotten has not happened now.
            Some("BOOKMARK" | "DELETED") | None => {}
            Some(_) if is_wanted(event, &arguments.types) => {
                show(session, format, printer, std::slice::from_ref(event))?;
            }
            Some(_) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    fn event(kind: &str, fields: &Value) -> Value {
        let mut event =
            json!({"type": kind, "reason": "R", "message": " m ", "involvedObject": {"kind": "Pod", "name": "a"}});
        for (name, value) in fields.as_object().unwrap() {
            event[name] = value.clone();
        }
        event
    }

    #[test]
    fn events_are_told_in_a_line() {
        let clock = Clock { now: "2026-01-02T00:10:00Z".parse().unwrap(), zone: TimeZone::UTC };
        let events = [
            event("Normal", &json!({"firstTimestamp": "2026-01-02T00:09:00Z", "count": 1})),
            event(
                "Warning",
                &json!({"firstTimestamp": "2026-01-02T00:00:00Z", "lastTimestamp": "2026-01-02T00:09:50Z", "count": 4}),
            ),
        ];
        let text = Printer::new(Shape::default()).show(&table(&events, &clock));
        let expected = "LAST SEEN           TYPE      REASON   OBJECT   MESSAGE\n\
            60s                 Normal    R        Pod/a    m\n\
            10s (x4 over 10m)   Warning   R        Pod/a    m\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn types_are_compared_without_case() {
        let wanted = |types: &[&str]| {
            let types: Vec<String> = types.iter().map(|name| (*name).to_owned()).collect();
            is_wanted(&event("Warning", &json!({})), &types)
        };
        assert!(wanted(&[]) && wanted(&["warning"]) && wanted(&["Normal", "Warning"]) && !wanted(&["Normal"]));
    }

    #[test]
    fn a_series_says_when_it_was_last_seen() {
        let series = event(
            "Normal",
            &json!({"eventTime": "2026-01-02T00:00:00Z",
            "series": {"count": 3, "lastObservedTime": "2026-01-02T00:05:00Z"}}),
        );
        assert_eq!(time(&series), moment(&json!("2026-01-02T00:05:00Z")));
        assert_eq!(
            time(&event("Normal", &json!({"eventTime": "2026-01-02T00:00:00Z"}))),
            moment(&json!("2026-01-02T00:00:00Z"))
        );
    }
}
