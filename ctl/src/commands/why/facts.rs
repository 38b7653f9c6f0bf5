//! What is known of an object, and what is said of it.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::commands::describe::page::{Clock, list, moment, shown};

/// An object, and what a server says besides of what it has to do with.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) kind: String,
    pub(super) object: Value,
    /// Other objects, by the names of their resources, and `events` of all objects. What could not be had is not there.
    pub(super) related: BTreeMap<String, Vec<Value>>,
    /// The last line that a container that ended has written, by container.
    pub(super) last_lines: BTreeMap<String, String>,
    pub(super) clock: Clock,
}

/// What is the matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Explanation {
    /// In one sentence.
    pub(super) cause: String,
    /// Lines of conditions, statuses and events that say so.
    pub(super) evidence: Vec<String>,
    /// What to do next.
    pub(super) next: Vec<String>,
}

impl Explanation {
    pub(super) fn new(cause: impl Into<String>) -> Explanation {
        Explanation { cause: cause.into(), ..Explanation::default() }
    }

    pub(super) fn because(mut self, evidence: impl IntoIterator<Item = String>) -> Explanation {
        for line in evidence {
            if !line.is_empty() && !self.evidence.contains(&line) {
                self.evidence.push(line);
            }
        }
        self
    }

    pub(super) fn then(mut self, next: impl Into<String>) -> Explanation {
        self.next.push(next.into());
        self
    }

    /// As it is shown.
    pub(super) fn text(&self) -> String {
        let mut text = format!("{}\n", self.cause);
        for (title, lines) in [("Evidence", &self.evidence), ("Next", &self.next)] {
            if !lines.is_empty() {
                text.push_str(&format!("\n{title}:\n"));
            }
            for line in lines {
                text.push_str(&format!("  {line}\n"));
            }
        }
        text
    }
}

impl Facts {
    pub(super) fn all(&self, resource: &str) -> &[Value] {
        self.related.get(resource).map(Vec::as_slice).unwrap_or_default()
    }

    /// Whether these could be had at all.
    pub(super) fn knows(&self, resource: &str) -> bool {
        self.related.contains_key(resource)
    }

    pub(super) fn find(&self, resource: &str, name: &str) -> Option<&Value> {
        self.all(resource).iter().find(|object| object["metadata"]["name"] == name)
    }

    /// The same facts, for an object that has to do with it.
    pub(super) fn of(&self, kind: &str, object: &Value) -> Facts {
        Facts { kind: kind.to_owned(), object: object.clone(), ..self.clone() }
    }

    pub(super) fn name(&self) -> String {
        shown(&self.object["metadata"]["name"])
    }

    /// `pod/a`.
    pub(super) fn title(&self) -> String {
        format!("{}/{}", self.kind.to_lowercase(), self.name())
    }

    /// Events about the object with one of these reasons, the latest first; with any, if none is named.
    pub(super) fn events(&self, reasons: &[&str]) -> Vec<&Value> {
        let meta = &self.object["metadata"];
        let is_own = |event: &&Value| {
            let about = &event["involvedObject"];
            about["name"] == meta["name"] && (about["uid"] == meta["uid"] || about["uid"] == meta["name"])
        };
        let is_meant = |event: &&Value| reasons.is_empty() || reasons.iter().any(|reason| event["reason"] == *reason);
        let mut events: Vec<&Value> = self.all("events").iter().filter(is_own).filter(is_meant).collect();
        events.sort_by_key(|event| std::cmp::Reverse(latest(event)));
        events
    }

    /// The latest such event as a line, if there is one.
    pub(super) fn event_line(&self, reasons: &[&str]) -> Option<String> {
        self.events(reasons).first().map(|event| self.line(event))
    }

    /// An event as a line.
    pub(super) fn line(&self, event: &Value) -> String {
        let age = latest(event).map_or_else(
            || "<unknown>".to_owned(),
            |time| api::duration::human(self.clock.now.duration_since(time).as_secs()),
        );
        let count = event["series"]["count"].as_i64().or(event["count"].as_i64()).unwrap_or(1);
        let often = if count > 1 { format!(", {count} times") } else { String::new() };
        format!("event {} ({age} ago{often}): {}", shown(&event["reason"]), one_line(&shown(&event["message"])))
    }

    /// A condition, if the object has it.
    pub(super) fn condition(&self, name: &str) -> Option<&Value> {
        list(&self.object["status"]["conditions"]).iter().find(|condition| condition["type"] == name)
    }
}

fn latest(event: &Value) -> Option<jiff::Timestamp> {
    ["lastTimestamp", "eventTime", "firstTimestamp"]
        .iter()
        .filter_map(|field| moment(&event[*field]))
        .chain(moment(&event["series"]["lastObservedTime"]))
        .max()
}

/// A condition as a line.
pub(super) fn condition_line(condition: &Value) -> String {
    let of = |field: &str| shown(&condition[field]);
    let reason = if of("reason").is_empty() { String::new() } else { format!(" ({})", of("reason")) };
    let message = if of("message").is_empty() { String::new() } else { format!(": {}", one_line(&of("message"))) };
    format!("condition {}={}{reason}{message}", of("type"), of("status"))
}

/// A message without line breaks.
pub(super) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The text between quotation marks after a word: which ConfigMap is not found, for one.
pub(super) fn quoted_after<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let rest = &text[text.find(word)? + word.len()..];
    let rest = rest.trim_start().strip_prefix('"')?;
    rest.split_once('"').map(|(name, _)| name)
}
