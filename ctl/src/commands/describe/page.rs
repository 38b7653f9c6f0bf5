//! The page that describes an object: lines of cells that tabs end, which are put in columns at the end as Go's tabwriter
//! does it for kubectl (least width 0, two spaces between columns). Here is also how kubectl words what every page has:
//! labels, annotations, times and events.

use jiff::{Timestamp, tz::TimeZone};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::Value;

/// Space behind the widest cell of a column.
const SPACE: usize = 2;
/// How long an annotation may be to stand behind its name.
const LONGEST: usize = 140;
/// What `kubectl apply` remembers, which nobody wants to read.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Where times are read: the present, and whose clock shows it.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    pub(crate) now: Timestamp,
    pub(crate) zone: TimeZone,
}

impl Clock {
    /// That of this machine.
    pub(crate) fn here() -> Clock {
        Clock { now: Timestamp::now(), zone: TimeZone::system() }
    }

    /// A time as RFC 1123 writes it, with the zone in figures. None is the first moment of Go's times.
    pub(super) fn time(&self, time: &Value) -> String {
        match moment(time) {
            Some(time) => time.to_zoned(self.zone.clone()).strftime("%a, %d %b %Y %H:%M:%S %z").to_string(),
            None => "Mon, 01 Jan 0001 00:00:00 +0000".to_owned(),
        }
    }

    /// A time as Go writes it by itself, as `2026-01-02 03:04:05 +0000 UTC`.
    pub(super) fn plain_time(&self, time: &Value) -> String {
        match moment(time) {
            Some(time) => time.to_zoned(self.zone.clone()).strftime("%Y-%m-%d %H:%M:%S %z %Z").to_string(),
            None => "0001-01-01 00:00:00 +0000 UTC".to_owned(),
        }
    }

    /// How long ago a time is.
    pub(crate) fn since(&self, time: &Value) -> String {
        api::duration::age(moment(time).map(Time).as_ref(), self.now)
    }
}

/// The time that a field says.
pub(crate) fn moment(time: &Value) -> Option<Timestamp> {
    time.as_str()?.parse().ok()
}

/// A page as it is written.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) clock: Clock,
    text: String,
}

impl Page {
    pub(super) fn new(clock: &Clock) -> Page {
        Page { clock: clock.clone(), text: String::new() }
    }

    /// More of the line that is being written.
    pub(super) fn put(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// A line, indented by so many levels.
    pub(super) fn line(&mut self, level: usize, text: &str) {
        self.put(&"  ".repeat(level));
        self.put(text);
        self.put("\n");
    }

    /// A line with a name and a value.
    pub(super) fn field(&mut self, level: usize, name: &str, value: &str) {
        self.line(level, &format!("{name}:\t{value}"));
    }

    /// The same, if there is a value.
    pub(super) fn field_if(&mut self, level: usize, name: &str, value: &Value) {
        let value = shown(value);
        if !value.is_empty() {
            self.field(level, name, &value);
        }
    }

    /// A name with a value a line.
    pub(super) fn many(&mut self, title: &str, values: &[String]) {
        if values.is_empty() {
            return self.line(0, &format!("{title}:\t<none>"));
        }
        for (index, value) in values.iter().enumerate() {
            let title = if index == 0 { format!("{title}:") } else { String::new() };
            self.line(0, &format!("{title}\t{value}"));
        }
    }

    /// Labels, or what else has names and values, a line each.
    pub(super) fn labels(&mut self, title: &str, labels: &Value) {
        self.many(title, &pairs(labels));
    }

    /// Annotations, a line each if they are short.
    pub(super) fn annotations(&mut self, title: &str, annotations: &Value) {
        let annotations: Vec<(&String, &Value)> =
            annotations.as_object().into_iter().flatten().filter(|(name, _)| *name != LAST_APPLIED).collect();
        self.put(&format!("{title}:\t"));
        if annotations.is_empty() {
            self.put("<none>\n");
        }
        for (index, (name, value)) in annotations.into_iter().enumerate() {
            if index > 0 {
                self.put("\t");
            }
            let value = shown(value);
            let value = value.strip_suffix('\n').unwrap_or(&value);
            if value.len() + name.len() + 2 > LONGEST || value.contains('\n') {
                self.line(0, &format!("{name}:"));
                for line in value.split('\n') {
                    self.line(0, &format!("\t  {}", shortened(line, LONGEST - 2)));
                }
            } else {
                self.line(0, &format!("{name}: {value}"));
            }
        }
    }

    /// What every page of an object of a namespace starts with.
    pub(super) fn head(&mut self, object: &Value) {
        let meta = &object["metadata"];
        self.field(0, "Name", &shown(&meta["name"]));
        self.field(0, "Namespace", &shown(&meta["namespace"]));
    }

    /// Labels and annotations.
    pub(super) fn notes(&mut self, object: &Value) {
        self.labels("Labels", &object["metadata"]["labels"]);
        self.annotations("Annotations", &object["metadata"]["annotations"]);
    }

    /// Who controls the object, if somebody does.
    pub(super) fn controller(&mut self, object: &Value) {
        if let Some(owner) = controller(object) {
            self.field(0, "Controlled By", &format!("{}/{}", shown(&owner["kind"]), shown(&owner["name"])));
        }
    }

    /// When the object was made.
    pub(super) fn created(&mut self, object: &Value) {
        let time = self.clock.time(&object["metadata"]["creationTimestamp"]);
        self.field(0, "CreationTimestamp", &time);
    }

    /// Conditions with when they changed, if there are some.
    pub(super) fn transitions(&mut self, object: &Value) {
        let conditions = list(&object["status"]["conditions"]);
        if !conditions.is_empty() {
            self.put("Conditions:\n  Type\tStatus\tLastTransitionTime\tReason\tMessage\n");
            self.line(1, "----\t------\t------------------\t------\t-------");
        }
        for condition in conditions {
            let of = |field: &str| shown(&condition[field]);
            let change = self.clock.time(&condition["lastTransitionTime"]);
            self.line(1, &[of("type"), of("status"), change, of("reason"), of("message")].join("\t"));
        }
    }

    /// Conditions as the pages of controllers have them: with their reasons.
    pub(super) fn conditions(&mut self, object: &Value) {
        let conditions = list(&object["status"]["conditions"]);
        if conditions.is_empty() {
            return;
        }
        self.put("Conditions:\n  Type\tStatus\tReason\n  ----\t------\t------\n");
        for condition in conditions {
            let cell = |name: &str| shown(&condition[name]);
            self.line(1, &format!("{} \t{}\t{}", cell("type"), cell("status"), cell("reason")));
        }
    }

    /// What happened to the object, if that is to be said.
    pub(super) fn events(&mut self, events: Option<&[Value]>) {
        let Some(events) = events else { return };
        if events.is_empty() {
            return self.field(0, "Events", "<none>");
        }
        let mut events: Vec<&Value> = events.iter().collect();
        events.sort_by_key(|event| moment(&event["lastTimestamp"]));
        self.put("Events:\n  Type\tReason\tAge\tFrom\tMessage\n  ----\t------\t----\t----\t-------\n");
        for event in events {
            let source = [&event["source"]["component"], &event["reportingComponent"]].map(shown);
            let source = source.iter().find(|source| !source.is_empty()).cloned().unwrap_or_default();
            let (kind, reason, message) = (shown(&event["type"]), shown(&event["reason"]), shown(&event["message"]));
            let age = self.age(event);
            let part = shown(&event["involvedObject"]["fieldPath"]);
            let part = if part.is_empty() { part } else { format!("{part}: ") };
            self.line(1, &format!("{kind}\t{reason}\t{age}\t{source}\t{part}{}", message.trim()));
        }
    }

    /// When an event was, and how often.
    fn age(&self, event: &Value) -> String {
        let first = if event["eventTime"].is_null() { &event["firstTimestamp"] } else { &event["eventTime"] };
        let first = self.clock.since(first);
        let often =
            |last: &Value, count: &Value| format!("{} (x{} over {first})", self.clock.since(last), shown(count));
        let series = &event["series"];
        if !series.is_null() {
            return often(&series["lastObservedTime"], &series["count"]);
        }
        if event["count"].as_i64().unwrap_or(0) > 1 {
            return often(&event["lastTimestamp"], &event["count"]);
        }
        first
    }

    /// The page, with its cells in columns.
    pub(super) fn finish(self) -> String {
        // What somebody wrote into an object does not command the terminal of who reads it.
        aligned(&self.text.replace('\u{1b}', "^[").replace('\r', "\\r"))
    }
}

/// Text whose cells end with tabs, in columns. A column is a run of lines that have a cell there which a tab ends.
fn aligned(text: &str) -> String {
    let lines: Vec<Vec<&str>> = text.split('\n').map(|line| line.split('\t').collect()).collect();
    let mut widths: Vec<Vec<usize>> = lines.iter().map(|line| vec![0; line.len() - 1]).collect();
    let columns = widths.iter().map(Vec::len).max().unwrap_or(0);
    for column in 0..columns {
        let mut start = 0;
        while start < lines.len() {
            let end = start + widths[start..].iter().take_while(|line| line.len() > column).count();
            let cells = lines[start..end].iter().map(|line| line[column].chars().count() + SPACE);
            let width = cells.max().unwrap_or(0);
            widths[start..end].iter_mut().for_each(|line| line[column] = width);
            start = end.max(start + 1);
        }
    }
    let mut result = Vec::new();
    for (line, widths) in lines.iter().zip(&widths) {
        let mut written = String::new();
        for (cell, width) in line.iter().zip(widths) {
            written.push_str(cell);
            written.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.chars().count())));
        }
        written.push_str(line.last().copied().unwrap_or_default());
        result.push(written);
    }
    result.join("\n")
}

/// A value of one word, as it is shown; nothing if it is absent.
pub(crate) fn shown(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The elements of a list; none, if it is absent.
pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The elements of a list, as they are shown.
pub(crate) fn texts(value: &Value) -> Vec<String> {
    list(value).iter().map(shown).collect()
}

/// `name=value`, by name.
pub(crate) fn pairs(map: &Value) -> Vec<String> {
    let mut pairs: Vec<(&String, String)> =
        map.as_object().into_iter().flatten().map(|(name, value)| (name, shown(value))).collect();
    pairs.sort();
    pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
}

/// What is shown if there is nothing.
pub(super) fn or_none(text: String) -> String {
    if text.is_empty() { "<none>".to_owned() } else { text }
}

/// Go's booleans of pages.
pub(super) fn truth(value: bool) -> &'static str {
    if value { "True" } else { "False" }
}

/// A selector by labels, as it is written in one line; empty if it selects nothing or everything.
pub(crate) fn selector(selector: &Value) -> String {
    let equal = selector["matchLabels"].as_object().into_iter().flatten();
    let mut terms: Vec<(String, String)> =
        equal.map(|(name, value)| (name.clone(), format!("{name}={}", shown(value)))).collect();
    for expression in list(&selector["matchExpressions"]) {
        let key = shown(&expression["key"]);
        let mut values = texts(&expression["values"]);
        values.sort();
        let values = values.join(",");
        let term = match expression["operator"].as_str().unwrap_or_default() {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "DoesNotExist" => format!("!{key}"),
            _ => key.clone(),
        };
        terms.push((key, term));
    }
    terms.sort_by(|(left, _), (right, _)| left.cmp(right));
    terms.into_iter().map(|(_, term)| term).collect::<Vec<_>>().join(",")
}

/// The owner that controls an object.
pub(crate) fn controller(object: &Value) -> Option<&Value> {
    list(&object["metadata"]["ownerReferences"]).iter().find(|owner| owner["controller"] == true)
}

fn shortened(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    format!("{}...", &text[..text.floor_char_boundary(most)])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn page() -> Page {
        let now = "2026-01-02T00:10:00Z".parse().unwrap();
        Page::new(&Clock { now, zone: TimeZone::UTC })
    }

    #[test]
    fn columns_are_runs_of_lines() {
        let check = |text: &str, expected: &str| assert_eq!(aligned(text), expected, "{text:?}");
        check("a:\tb\nccc:\td\n", "a:    b\nccc:  d\n");
        // A line without a tab ends the column.
        check("a:\tb\nline\nccc:\td\n", "a:  b\nline\nccc:  d\n");
        check("a:\tb\n\tc\n", "a:  b\n    c\n");
        check("x\tlong\ty\nx\ts\n", "x  long  y\nx  s\n");
        check("IP:\t\nIPs:\t1\n", "IP:   \nIPs:  1\n");
        check("ä\tb\nab\tc\n", "ä   b\nab  c\n");
    }

    #[test]
    fn terminals_are_not_commanded() {
        let mut page = page();
        page.field(0, "Name", "\u{1b}[2Jx\ry");
        assert_eq!(page.finish(), "Name:  ^[[2Jx\\ry\n");
    }

    #[test]
    fn annotations_that_are_long_have_their_own_lines() {
        let mut page = page();
        let long = "x".repeat(150);
        page.annotations("Annotations", &json!({"a": "1", "b": "one\ntwo\n", "c": long, LAST_APPLIED: "{}"}));
        let expected = format!(
            "Annotations:  a: 1\n              b:\n                one\n                two\n              c:\n                {}...\n",
            "x".repeat(138)
        );
        assert_eq!(page.finish(), expected);
    }

    #[test]
    fn events_say_when_and_how_often() {
        let mut page = page();
        let events = [
            json!({"type": "Warning", "reason": "B", "message": "twice ", "count": 2, "source": {"component": "s"},
                "firstTimestamp": "2026-01-02T00:00:00Z", "lastTimestamp": "2026-01-02T00:09:00Z"}),
            json!({"type": "Normal", "reason": "A", "message": "once", "reportingComponent": "r",
                "involvedObject": {"fieldPath": "spec.containers{c}"},
                "eventTime": "2026-01-02T00:05:00.000000Z"}),
            json!({"type": "Normal", "reason": "C", "message": "series", "reportingComponent": "r",
                "eventTime": "2026-01-02T00:00:00.000000Z",
                "series": {"count": 7, "lastObservedTime": "2026-01-02T00:09:50.000000Z"}}),
        ];
        page.events(Some(&events));
        let expected = "Events:\n  Type     Reason  Age                 From  Message\n  \
            ----     ------  ----                ----  -------\n  \
            Normal   A       5m                  r     spec.containers{c}: once\n  \
            Normal   C       10s (x7 over 10m)   r     series\n  \
            Warning  B       60s (x2 over 10m)   s     twice\n";
        let found = page.finish();
        assert_eq!(found.split_whitespace().collect::<Vec<_>>(), expected.split_whitespace().collect::<Vec<_>>());
    }

    #[test]
    fn selectors_are_written_in_one_line() {
        let check = |value: Value, expected: &str| assert_eq!(selector(&value), expected, "{value}");
        check(json!(null), "");
        check(json!({}), "");
        check(json!({"matchLabels": {"b": "1", "a": "2"}}), "a=2,b=1");
        check(
            json!({"matchLabels": {"b": "1"}, "matchExpressions": [
                {"key": "a", "operator": "In", "values": ["y", "x"]}, {"key": "c", "operator": "NotIn", "values": ["z"]},
                {"key": "d", "operator": "Exists"}, {"key": "e", "operator": "DoesNotExist"}]}),
            "a in (x,y),b=1,c notin (z),d,!e",
        );
    }

    #[test]
    fn times_are_of_the_zone_of_the_clock() {
        let page = page();
        assert_eq!(page.clock.time(&json!("2026-01-02T03:04:05Z")), "Fri, 02 Jan 2026 03:04:05 +0000");
        assert_eq!(page.clock.time(&Value::Null), "Mon, 01 Jan 0001 00:00:00 +0000");
        assert_eq!(page.clock.plain_time(&json!("2026-01-02T03:04:05Z")), "2026-01-02 03:04:05 +0000 UTC");
        assert_eq!(page.clock.since(&json!("2026-01-02T00:00:00Z")), "10m");
        assert_eq!(page.clock.since(&Value::Null), "<unknown>");
    }
}
