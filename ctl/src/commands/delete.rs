//! `gantry delete`.

use std::time::Duration;

use clap::Args;
use http::Method;
use serde_json::{Value, json};

use crate::deletion::{self, Cascade};
use crate::dry_run::DryRun;
use crate::manifest::Files;
use crate::report::of_source;
use crate::resources::Resource;
use crate::select::{of_list, select};
use crate::session::Ask;
use crate::{Error, Session, commands};

/// How long it takes at most until the next look whether an object is gone.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How much is read of an answer.
const LONGEST_ANSWER: usize = 16;

/// The arguments.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// What: TYPE NAME..., TYPE/NAME..., or TYPE with -l or --all.
    #[arg(value_name = "WHAT")]
    what: Vec<String>,
    #[command(flatten)]
    files: Files,
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
    /// What becomes of what they own: deleted afterwards, deleted before, or left alone.
    #[arg(long, value_name = "HOW", num_args = 0..=1, require_equals = true, default_value = "background", default_missing_value = "background")]
    cascade: Cascade,
    /// How long they have to end, in seconds; -1 is as long as they say themselves.
    #[arg(long, value_name = "SECONDS", default_value_t = -1, allow_negative_numbers = true)]
    grace_period: i64,
    /// Give them one second to end.
    #[arg(long)]
    now: bool,
    /// With --grace-period 0: do not wait until they have ended.
    #[arg(long)]
    force: bool,
    /// Say nothing of what is not there.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    ignore_not_found: Option<bool>,
    /// Wait until they are gone.
    #[arg(long, value_name = "BOOL", default_value_t = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    wait: bool,
    /// For how long to wait, such as 30s; 0 is as long as it takes.
    #[arg(long, value_name = "DURATION", default_value = "0s")]
    timeout: String,
    /// Ask before anything is deleted.
    #[arg(short, long)]
    interactive: bool,
    /// Do not do it: say only what would be done (client), or have the server check it too (server).
    #[arg(long, value_name = "HOW", default_value = "none", num_args = 0..=1, require_equals = true, default_missing_value = "client")]
    dry_run: DryRun,
    /// Delete this path of the server, and show what it answers.
    #[arg(long, value_name = "PATH")]
    raw: Option<String>,
    /// How what is deleted is shown: only `name`.
    #[arg(short, long, value_name = "FORMAT", default_value = "")]
    output: String,
}

/// An object that is to go.
struct Doomed {
    resource: Resource,
    namespace: String,
    name: String,
    /// Which of all that ever had the name: known once it is being deleted.
    uid: String,
    /// The file that names it.
    source: Option<String>,
}

/// Deletes objects, and waits until they are gone.
pub(crate) async fn run(arguments: Arguments, session: &mut Session<'_>) -> Result<(), Error> {
    if let Some(path) = &arguments.raw {
        return commands::raw::run(session, (Method::DELETE, path), Some(&arguments.files), ("", false)).await;
    }
    let grace = arguments.grace()?;
    if !matches!(arguments.output.as_str(), "" | "name") {
        return Err(Error::said(format!("unexpected -o output mode: {}. We only support '-o name'", arguments.output)));
    }
    let timeout = crate::session::duration("--timeout", &arguments.timeout)?;
    arguments.cascade.warn(session)?;
    if arguments.force && grace == Some(0) {
        session.remark(
            "Warning: Immediate deletion does not wait for confirmation that the running resource has been terminated. The \
             resource may continue to run on the cluster indefinitely.",
        )?;
    }
    let doomed = arguments.doomed(session).await?;
    if doomed.is_empty() {
        let said = !arguments.output.is_empty() || arguments.ignore_not_found == Some(true);
        return if said { Ok(()) } else { session.say("No resources found") };
    }
    if arguments.interactive && !is_agreed(session, &doomed)? {
        return session.say("deletion is cancelled");
    }
    let (mut going, mut failed) = (Vec::new(), false);
    for doomed in doomed {
        let source = doomed.source.clone();
        let deleted = arguments.delete(session, doomed, grace).await;
        match deleted.map_err(|error| match &source {
            Some(source) => of_source(error, "deleting", source),
            None => error,
        }) {
            Ok(deleted) => going.extend(deleted),
            // One that cannot be deleted is no reason to leave the others.
            Err(error @ (Error::Server(_) | Error::Said(_))) => {
                session.remark(&error.to_string())?;
                failed = true;
            }
            Err(error) => return Err(error),
        }
    }
    let waits = arguments.wait && arguments.dry_run == DryRun::None && !(arguments.force && grace == Some(0));
    if waits {
        session.flush()?;
        wait(session, &going, timeout).await?;
    }
    if failed { Err(Error::Exit(1)) } else { Ok(()) }
}

/// Asks whether all of it is to go. Only `y` is a yes.
fn is_agreed(session: &mut Session<'_>, doomed: &[Doomed]) -> Result<bool, Error> {
    session.say(&format!("You are about to delete the following {} resource(s):", doomed.len()))?;
    for doomed in doomed {
        session.say(&doomed.resource.object(&doomed.name))?;
    }
    session.write("Do you want to continue? (y/N): ")?;
    session.flush()?;
    let (mut word, mut byte) = (Vec::new(), [0]);
    // The first word; what stands before it, and behind it, is left alone. What is longer than a yes is none.
    while word.len() <= LONGEST_ANSWER && session.input().read(&mut byte)? > 0 {
        match (byte[0].is_ascii_whitespace(), word.is_empty()) {
            (true, true) => {}
            (true, false) => break,
            (false, _) => word.push(byte[0]),
        }
    }
    Ok(word.eq_ignore_ascii_case(b"y"))
}

impl Arguments {
    /// The seconds that objects have to end, if they do not decide that.
    fn grace(&self) -> Result<Option<i64>, Error> {
        if self.now && self.grace_period != -1 {
            return Err(Error::said("--now and --grace-period cannot be specified together"));
        }
        match self.grace_period {
            _ if self.now => Ok(Some(1)),
            0 if !self.force => {
                // As kubectl has it: nobody loses data by a zero that was not meant.
                Ok(Some(1))
            }
            -1 if self.force => Ok(Some(0)),
            seconds if seconds > 0 && self.force => {
                Err(Error::said("--force and --grace-period greater than 0 cannot be specified together"))
            }
            seconds if seconds < 0 => Ok(None),
            seconds => Ok(Some(seconds)),
        }
    }

    /// What is to go.
    async fn doomed(&self, session: &mut Session<'_>) -> Result<Vec<Doomed>, Error> {
        if !self.files.is_empty() {
            if !self.what.is_empty() {
                return Err(Error::said(
                    "when paths, URLs, or stdin is provided as resource input, you may not specify resource arguments as \
                     well",
                ));
            }
            let placed = self.files.place(session).await?;
            let doomed = placed.into_iter().map(|placed| Doomed {
                name: placed.name().to_owned(),
                resource: placed.resource,
                namespace: placed.namespace,
                uid: String::new(),
                source: Some(placed.source),
            });
            return Ok(doomed.collect());
        }
        if self.what.is_empty() {
            return Err(crate::select::nothing_named());
        }
        let selects = !(self.selector.is_empty() && self.field_selector.is_empty());
        if self.all && selects {
            return Err(Error::said("setting 'all' parameter but found a non empty selector. "));
        }
        let namespace = session.namespace().await?;
        let mut doomed = Vec::new();
        for selected in select(session, &self.what).await? {
            let resource = selected.resource;
            if !selected.names.is_empty() {
                if self.all || selects {
                    return Err(Error::said("name cannot be provided when a selector is specified"));
                }
                let one = |name: String| Doomed {
                    resource: resource.clone(),
                    namespace: namespace.clone(),
                    name,
                    uid: String::new(),
                    source: None,
                };
                doomed.extend(selected.names.into_iter().map(one));
                continue;
            }
            if !self.all && !selects {
                return Err(Error::said("resource(s) were provided, but no name was specified"));
            }
            if !resource.can("list") || !resource.can("delete") {
                continue;
            }
            let path = resource.path((!self.all_namespaces).then_some(namespace.as_str()));
            let ask = Ask::get(&path).query("labelSelector", self.selector.as_str());
            let list = session.json(ask.query("fieldSelector", self.field_selector.as_str())).await;
            let list = list.map_err(|error| of_list(error, &resource, &self.selector, &self.field_selector))?;
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            doomed.extend(list["items"].as_array().into_iter().flatten().map(|item| Doomed {
                resource: resource.clone(),
                namespace: text(&item["metadata"]["namespace"]),
                name: text(&item["metadata"]["name"]),
                uid: String::new(),
                source: None,
            }));
        }
        Ok(doomed)
    }

    /// Deletes an object, and says so. `None` if it was not there, and that is no mistake.
    async fn delete(
        &self,
        session: &mut Session<'_>,
        mut doomed: Doomed,
        grace: Option<i64>,
    ) -> Result<Option<Doomed>, Error> {
        let path = doomed.resource.object_path(&doomed.namespace, &doomed.name);
        if self.dry_run != DryRun::Client {
            let mut options = deletion::options(self.cascade, grace);
            if self.dry_run == DryRun::Server {
                options["dryRun"] = json!(["All"]);
            }
            let ask = Ask::with(Method::DELETE, &path, &options);
            let answer = match session.json(ask).await {
                // What was found by a selector may have gone meanwhile.
                Err(error) if error.reason() == Some("NotFound") && self.may_be_missing() => return Ok(None),
                answer => answer?,
            };
            let uid = answer["metadata"]["uid"].as_str().or_else(|| answer["details"]["uid"].as_str());
            uid.unwrap_or_default().clone_into(&mut doomed.uid);
        } else if let Err(error) = session.json(Ask::get(&path)).await {
            return if error.reason() == Some("NotFound") && self.may_be_missing() { Ok(None) } else { Err(error) };
        }
        if self.output == "name" {
            session.say(&doomed.resource.object(&doomed.name))?;
        } else {
            let force = if self.force && grace == Some(0) { "force deleted" } else { "deleted" };
            let kind = doomed.resource.object("");
            let place = if doomed.resource.namespaced {
                format!(" from {} namespace", doomed.namespace)
            } else {
                String::new()
            };
            let remark = self.dry_run.remark();
            session.say(&format!("{} {:?} {force}{place}{remark}", kind.trim_end_matches('/'), doomed.name))?;
        }
        Ok(Some(doomed))
    }

    fn may_be_missing(&self) -> bool {
        self.ignore_not_found.unwrap_or(self.all || !(self.selector.is_empty() && self.field_selector.is_empty()))
    }
}

/// Waits until objects are gone: none of the name is there, or another one.
async fn wait(session: &mut Session<'_>, going: &[Doomed], timeout: Option<Duration>) -> Result<(), Error> {
    let all = async {
        for doomed in going {
            let path = doomed.resource.object_path(&doomed.namespace, &doomed.name);
            loop {
                match session.json(Ask::get(&path)).await {
                    Err(error) if error.reason() == Some("NotFound") => break,
                    Err(error) => return Err(error),
                    Ok(object) if !doomed.uid.is_empty() && object["metadata"]["uid"] != doomed.uid.as_str() => break,
                    Ok(_) => tokio::time::sleep(LOOK_EVERY).await,
                }
            }
        }
        Ok(())
    };
    match timeout {
        None => all.await,
        Some(timeout) => tokio::time::timeout(timeout, all)
            .await
            .unwrap_or_else(|_| Err(Error::said("timed out waiting for the condition: they are still being deleted"))),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    #[test]
    fn how_long_objects_have_is_kubectls() {
        let grace = |line: &str| Line::try_parse_from(line.split(' ')).unwrap().arguments.grace();
        let check = |line: &str, expected: Option<i64>| assert_eq!(grace(line).unwrap(), expected, "{line}");
        check("delete pod a", None);
        check("delete pod a --now", Some(1));
        check("delete pod a --force", Some(0));
        check("delete pod a --grace-period 0", Some(1));
        check("delete pod a --grace-period=0 --force", Some(0));
        check("delete pod a --grace-period 5", Some(5));
        assert!(grace("delete pod a --now --grace-period 5").is_err());
        assert!(grace("delete pod a --force --grace-period 5").is_err());
    }
}
