//! `gantry wait`.

use std::time::Duration;

use clap::Args;
use serde_json::Value;
use tokio::time::Instant;

use crate::dry_run::DryRun;
use crate::follow::{Change, Follow};
use crate::jsonpath::Template;
use crate::manifest::Files;
use crate::output::Printing;
use crate::progress::Progress;
use crate::report::{Failures, Report};
use crate::select::select;
use crate::session::Ask;
use crate::{Error, Session};

/// How long it waits that is to wait as long as it takes.
const A_WEEK: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The arguments.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// What: TYPE/NAME..., TYPE NAME..., or TYPE with -l or --all.
    #[arg(value_name = "WHAT")]
    what: Vec<String>,
    #[command(flatten)]
    files: Files,
    /// What for: create, delete, condition=NAME[=VALUE] or jsonpath=TEMPLATE[=VALUE]; if given more than once, one after the
    /// other.
    #[arg(long = "for", value_name = "CONDITION")]
    conditions: Vec<String>,
    /// All of the type in the namespace.
    #[arg(long)]
    all: bool,
    /// In all namespaces.
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Only objects with these labels.
    #[arg(short = 'l', long, value_name = "SELECTOR", default_value = "")]
    selector: String,
    /// Only objects with these fields.
    #[arg(long, value_name = "SELECTOR", default_value = "")]
    field_selector: String,
    /// For how long, such as 30s; 0 looks once, and less than 0 waits for a week.
    #[arg(long, value_name = "DURATION", default_value = "30s", allow_hyphen_values = true)]
    timeout: String,
    #[command(flatten)]
    output: Printing,
    /// With -o: show who owns which field.
    #[arg(long)]
    show_managed_fields: bool,
}

/// What is waited for.
#[derive(Clone, Debug, PartialEq)]
enum Condition {
    Create,
    Delete,
    /// That a condition of the status has a value.
    Status {
        name: String,
        value: String,
    },
    /// That a path leads to something, or to this value.
    Path {
        template: Template,
        value: Option<String>,
    },
}

/// A condition, and how it was named.
struct Wanted<'a> {
    condition: Condition,
    text: &'a str,
}

/// Waits for objects, one after the other; all of them share the time.
pub(crate) async fn run(arguments: Arguments, session: &mut Session<'_>) -> Result<(), Error> {
    let mut conditions = Vec::new();
    for text in &arguments.conditions {
        conditions.push(Wanted { condition: text.parse().map_err(Error::said)?, text });
    }
    if conditions.is_empty() {
        return Err(Error::said("unrecognized condition: []"));
    }
    // What is not there yet cannot be anything else first.
    conditions.sort_by_key(|wanted| wanted.condition != Condition::Create);
    let timeout = timeout(&arguments.timeout)?;
    let deadline = Instant::now() + timeout.unwrap_or_default();
    let mut report = Report::new(&arguments.output, DryRun::None)?.with_managed_fields(arguments.show_managed_fields);
    let waiting = Waiting { deadline: timeout.map(|_| deadline) };
    let mut awaited = arguments.awaited(session).await?;
    let mut progress = Progress::new(session);
    if conditions.first().is_some_and(|wanted| wanted.condition == Condition::Create) {
        let created = waiting.until_created(&arguments, session, awaited, &mut progress).await;
        progress.clear(session)?;
        awaited = created?;
    }
    let is_for_delete = conditions.iter().any(|wanted| wanted.condition == Condition::Delete);
    if awaited.is_empty() {
        return if is_for_delete { Ok(()) } else { Err(Error::said("no matching resources found")) };
    }
    let mut failures = Failures::default();
    for mut follow in awaited {
        let (name, kind) = (follow.plural_name(), follow.resource.clone());
        let result = waiting.until_all(session, &mut follow, &conditions, &mut progress).await;
        progress.clear(session)?;
        let result = match result {
            Ok(Some(object)) => {
                let done = report.done(session, &kind, &object, "condition met");
                session.flush()?;
                done
            }
            Ok(None) => Ok(()),
            Err(Stop::Late) => Err(Error::said(format!("timed out waiting for the condition on {name}"))),
            Err(Stop::NotMet) => Err(Error::said(format!("condition not met for {name}"))),
            Err(Stop::Failed(error)) => Err(error),
        };
        failures.note(result)?;
    }
    failures.finish(session)
}

/// How long to wait; none is to look once.
fn timeout(text: &str) -> Result<Option<Duration>, Error> {
    if text.starts_with('-') {
        return Ok(Some(A_WEEK));
    }
    crate::session::duration("--timeout", text)
}

impl Arguments {
    /// The objects to wait for.
    async fn awaited(&self, session: &mut Session<'_>) -> Result<Vec<Follow>, Error> {
        if !self.files.is_empty() {
            let placed = self.files.place_selected(session, &self.selector).await?;
            let follow = placed.into_iter().map(|placed| {
                let name = placed.name().to_owned();
                Follow::new(placed.resource, placed.namespace, name)
            });
            return Ok(follow.collect());
        }
        if self.what.is_empty() {
            return Err(Error::said(
                "You must provide one or more resources by argument or filename.\nExample resource specifications \
                 include:\n   '-f rsrc.yaml'\n   '--filename=rsrc.json'\n   '<resource> <name>'\n   '<resource>'",
            ));
        }
        let selects = !(self.selector.is_empty() && self.field_selector.is_empty());
        let namespace = session.namespace().await?;
        let mut awaited = Vec::new();
        for selected in select(session, &self.what).await? {
            let resource = selected.resource;
            if !selected.names.is_empty() {
                if selects || self.all {
                    return Err(Error::said("name cannot be provided when a selector is specified"));
                }
                let follow = |name| Follow::new(resource.clone(), namespace.clone(), name);
                awaited.extend(selected.names.into_iter().map(follow));
                continue;
            }
            if !selects && !self.all {
                return Err(Error::said("resource(s) were provided, but no name was specified"));
            }
            let path = resource.path((!self.all_namespaces).then_some(namespace.as_str()));
            let ask = Ask::get(&path).query("labelSelector", self.selector.as_str());
            let list = session.json(ask.query("fieldSelector", self.field_selector.as_str())).await?;
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            awaited.extend(list["items"].as_array().into_iter().flatten().map(|item| {
                let metadata = &item["metadata"];
                Follow::new(resource.clone(), text(&metadata["namespace"]), text(&metadata["name"]))
            }));
        }
        Ok(awaited)
    }
}

/// Why nothing more is waited for.
enum Stop {
    Late,
    /// It was to be looked at once.
    NotMet,
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Failed(error)
    }
}

/// For how long.
struct Waiting {
    /// None looks once.
    deadline: Option<Instant>,
}

impl Waiting {
    /// Waits until there is something to wait for, and all that is named is there.
    async fn until_created(
        &self,
        arguments: &Arguments,
        session: &mut Session<'_>,
        mut awaited: Vec<Follow>,
        progress: &mut Progress,
    ) -> Result<Vec<Follow>, Error> {
        const AGAIN: Duration = Duration::from_millis(500);
        let is_named = !awaited.is_empty();
        loop {
            let mut all_there = !awaited.is_empty();
            let mut missing = "what is selected".to_owned();
            for follow in &awaited {
                let path = follow.resource.object_path(&follow.namespace, &follow.name);
                match session.json(Ask::get(&path)).await {
                    Ok(_) => {}
                    Err(error) if error.reason() == Some("NotFound") => {
                        all_there = false;
                        missing = follow.resource.object(&follow.name);
                    }
                    Err(error) => return Err(error),
                }
            }
            if all_there {
                return Ok(awaited);
            }
            if self.deadline.is_some() {
                progress.redraw(session, [format!("{missing}: waiting for create")].into_iter())?;
            }
            let late = || Err(Error::said("timed out waiting for the condition"));
            match self.deadline {
                None => return late(),
                Some(deadline) if Instant::now() + AGAIN > deadline => {
                    tokio::time::sleep_until(deadline).await;
                    return late();
                }
                Some(_) => tokio::time::sleep(AGAIN).await,
            }
            if !is_named {
                awaited = arguments.awaited(session).await?;
            }
        }
    }

    /// Waits until all conditions are true of an object, one after the other. Gives the object; none if it has not been there
    /// at all, and was to be gone.
    async fn until_all(
        &self,
        session: &mut Session<'_>,
        follow: &mut Follow,
        conditions: &[Wanted<'_>],
        progress: &mut Progress,
    ) -> Result<Option<Value>, Stop> {
        let mut last = None;
        for wanted in conditions {
            let until = self.until(session, follow, wanted, progress);
            last = match self.deadline {
                None => until.await?,
                Some(deadline) => tokio::time::timeout_at(deadline, until).await.map_err(|_| Stop::Late)??,
            };
        }
        Ok(last)
    }

    async fn until(
        &self,
        session: &mut Session<'_>,
        follow: &mut Follow,
        wanted: &Wanted<'_>,
        progress: &mut Progress,
    ) -> Result<Option<Value>, Stop> {
        let condition = &wanted.condition;
        let path = follow.resource.object_path(&follow.namespace, &follow.name);
        let mut last = match session.json(Ask::get(&path)).await {
            Err(error) if error.reason() == Some("NotFound") && *condition == Condition::Delete => return Ok(None),
            object => object?,
        };
        let uid = last["metadata"]["uid"].clone();
        if condition.is_met(&last) {
            return Ok(Some(last));
        }
        if self.deadline.is_none() {
            return Err(Stop::NotMet);
        }
        loop {
            progress.redraw(session, [line(follow, wanted, &last)].into_iter())?;
            let now = match follow.is_closed() {
                true => follow.open(session).await?.map_or(Change::Gone, Change::Now),
                false => follow.change().await,
            };
            match now {
                // Another one of the same name is not the one that was to go.
                Change::Now(object) if *condition == Condition::Delete && object["metadata"]["uid"] != uid => {
                    return Ok(Some(last));
                }
                Change::Now(object) => {
                    last = object;
                    if condition.is_met(&last) {
                        return Ok(Some(last));
                    }
                }
                Change::Gone if *condition == Condition::Delete => return Ok(Some(last)),
                // Another one may come.
                Change::Gone | Change::Unknown => {}
            }
        }
    }
}

/// What is seen on a terminal of an object that is waited for.
fn line(follow: &Follow, wanted: &Wanted<'_>, object: &Value) -> String {
    let now = wanted.condition.now(object).map_or_else(String::new, |now| format!("; it is {now}"));
    format!("{}: waiting for {}{now}", follow.resource.object(&follow.name), wanted.text)
}

impl std::str::FromStr for Condition {
    type Err = String;

    fn from_str(text: &str) -> Result<Condition, String> {
        if text.eq_ignore_ascii_case("delete") {
            return Ok(Condition::Delete);
        }
        if text.eq_ignore_ascii_case("create") {
            return Ok(Condition::Create);
        }
        if let Some(condition) = text.strip_prefix("condition=") {
            let (name, value) = condition.split_once('=').unwrap_or((condition, "true"));
            return Ok(Condition::Status { name: name.to_owned(), value: value.to_owned() });
        }
        let Some(path) = text.strip_prefix("jsonpath=") else {
            return Err(format!("unrecognized condition: {text:?}"));
        };
        // A filter of the path has equals signs of its own; what follows the last brace is the value.
        let (path, value) = match path.rfind('}') {
            Some(end) => match &path[end + 1..] {
                "" => (path, None),
                rest => (&path[..=end], Some(rest.strip_prefix('=').ok_or_else(wrong_format)?)),
            },
            None => path.split_once('=').map_or((path, None), |(path, value)| (path, Some(value))),
        };
        if path.trim_matches(['{', '}']).is_empty() {
            return Err("jsonpath expression cannot be empty".to_owned());
        }
        if value == Some("") {
            return Err("jsonpath wait has to have a value after equal sign, like \
                 --for=jsonpath='{.status.readyReplicas}'=3"
                .to_owned());
        }
        let braced = match path.starts_with('{') {
            true => path.to_owned(),
            false => format!("{{.{}}}", path.trim_start_matches('.')),
        };
        let template = Template::parse(&braced)?;
        Ok(Condition::Path { template, value: value.map(|value| value.trim_matches(['\'', '"']).to_owned()) })
    }
}

fn wrong_format() -> String {
    "jsonpath wait format must be --for=jsonpath='{.status.readyReplicas}'=3 or \
     --for=jsonpath='{.status.readyReplicas}'"
        .to_owned()
}

impl Condition {
    /// What there is of an object in the place of what is waited for.
    fn now(&self, object: &Value) -> Option<String> {
        match self {
            Condition::Create | Condition::Delete => None,
            Condition::Path { template, .. } => Some(format!("{:?}", template.text(object))),
            Condition::Status { name, .. } => {
                let mut conditions = object["status"]["conditions"].as_array().into_iter().flatten();
                let is_it = |own: &&Value| own["type"].as_str().is_some_and(|own| same(own, name));
                let Some(condition) = conditions.find(is_it) else { return Some("not told".to_owned()) };
                let text = |field: &str| condition[field].as_str().unwrap_or_default();
                let reason = if text("reason").is_empty() { String::new() } else { format!(" ({})", text("reason")) };
                Some(format!("{}{reason}", text("status")))
            }
        }
    }

    /// Whether it is true of an object that is there.
    fn is_met(&self, object: &Value) -> bool {
        match self {
            Condition::Create => true,
            Condition::Delete => false,
            Condition::Path { template, value } => {
                let found = template.text(object);
                value.as_ref().map_or(!found.is_empty(), |value| *value == found)
            }
            Condition::Status { name, value } => {
                let conditions = object["status"]["conditions"].as_array();
                let is_it = |condition: &&Value| {
                    condition["status"].is_string() && condition["type"].as_str().is_some_and(|own| same(own, name))
                };
                let Some(condition) = conditions.and_then(|all| all.iter().find(is_it)) else { return false };
                // A status of a former generation says nothing of this one.
                let observed = [condition, &object["status"]];
                let observed = observed.iter().find_map(|status| status["observedGeneration"].as_i64());
                let generation = object["metadata"]["generation"].as_i64();
                if let (Some(observed), Some(generation)) = (observed, generation)
                    && observed < generation
                {
                    return false;
                }
                condition["status"].as_str().is_some_and(|own| same(own, value))
            }
        }
    }
}

/// Whether texts are the same but for capital letters.
fn same(left: &str, right: &str) -> bool {
    left.to_lowercase() == right.to_lowercase()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn conditions_are_read() {
        let error = |text: &str| text.parse::<Condition>().unwrap_err();
        assert_eq!("Delete".parse(), Ok(Condition::Delete));
        assert_eq!("create".parse(), Ok(Condition::Create));
        assert_eq!(error("foo"), "unrecognized condition: \"foo\"");
        assert!(error("jsonpath={.a}x").starts_with("jsonpath wait format must be"));
        assert!(error("jsonpath={.a}=").starts_with("jsonpath wait has to have a value after equal sign"));
        assert_eq!(error("jsonpath="), "jsonpath expression cannot be empty");
    }

    #[test]
    fn conditions_are_true_of_objects() {
        let check = |text: &str, object: Value, expected: bool| {
            assert_eq!(text.parse::<Condition>().unwrap().is_met(&object), expected, "{text} {object}");
        };
        let ready = |status: &str| json!({"status": {"conditions": [{"type": "Ready", "status": status}]}});
        check("condition=ready", ready("True"), true);
        check("condition=Ready", ready("False"), false);
        check("condition=Ready=false", ready("False"), true);
        check("condition=Other", ready("True"), false);
        check("condition=Ready", json!({}), false);
        let mut old = ready("True");
        old["metadata"] = json!({"generation": 2});
        check("condition=Ready", old.clone(), true);
        old["status"]["observedGeneration"] = json!(1);
        check("condition=Ready", old.clone(), false);
        old["status"]["conditions"][0]["observedGeneration"] = json!(2);
        check("condition=Ready", old, true);
        check("jsonpath={.status.phase}=Running", json!({"status": {"phase": "Running"}}), true);
        check("jsonpath={.status.phase}", json!({}), false);
        check("jsonpath=.status.n='3'", json!({"status": {"n": 3}}), true);
        check("jsonpath={.status.n}", json!({"status": {"n": 0}}), true);
        check("jsonpath={.a[?(@.b==\"c\")].d}=e", json!({"a": [{"b": "c", "d": "e"}]}), true);
        check("delete", json!({}), false);
    }

    #[test]
    fn what_there_is_meanwhile_is_told() {
        let check = |text: &str, object: Value, expected: Option<&str>| {
            assert_eq!(text.parse::<Condition>().unwrap().now(&object).as_deref(), expected, "{text} {object}");
        };
        let ready = json!({"status": {"conditions": [{"type": "Ready", "status": "False", "reason": "Starting"}]}});
        check("condition=ready", ready.clone(), Some("False (Starting)"));
        check("condition=other", ready, Some("not told"));
        check("jsonpath={.status.phase}=Running", json!({"status": {"phase": "Pending"}}), Some("\"Pending\""));
        check("delete", json!({}), None);
    }

    #[test]
    fn how_long_to_wait() {
        let check = |text: &str, expected: Option<Duration>| assert_eq!(timeout(text).unwrap(), expected, "{text}");
        check("0", None);
        check("0s", None);
        check("1m", Some(Duration::from_secs(60)));
        check("-1s", Some(A_WEEK));
        assert!(timeout("x").is_err());
    }
}
