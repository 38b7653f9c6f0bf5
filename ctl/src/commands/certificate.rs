//! `gantry certificate`: whether certificates that somebody asks for are made.

use clap::{Args, Subcommand};
use http::Method;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use crate::command::Verb;
use crate::dry_run::DryRun;
use crate::manifest::Files;
use crate::outcome::Outcome;
use crate::output::Printing;
use crate::session::Ask;
use crate::target::{Found, Target, Wanted, find, finish};
use crate::{Connection, Error, Session};

/// How often a change is tried that somebody else's comes before.
const TRIES: usize = 10;

/// What can be decided.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    // tidy: sorted
    /// Have certificates be made.
    Approve(Box<Verb<Arguments>>),
    /// Have certificates not be made.
    Deny(Box<Verb<Arguments>>),
    // tidy: end
}

impl Command {
    /// Which server it is for.
    pub(crate) fn connection(&self) -> &Connection {
        match self {
            Command::Approve(verb) | Command::Deny(verb) => &verb.connection,
        }
    }
}

/// The arguments.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// The requests.
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    #[command(flatten)]
    files: Files,
    /// Also if it has been decided already.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    output: Printing,
}

/// Decides it, one request after the other.
pub(crate) async fn run(command: Command, session: &mut Session<'_>) -> Result<(), Error> {
    let (arguments, approves) = match command {
        Command::Approve(verb) => (verb.arguments, true),
        Command::Deny(verb) => (verb.arguments, false),
    };
    if arguments.names.is_empty() && arguments.files.is_empty() {
        return Err(Error::said("one or more CSRs must be specified as <name> or -f <filename>"));
    }
    let mut outcome = Outcome::new(&arguments.output, DryRun::None)?;
    let mut what = Vec::new();
    if !arguments.names.is_empty() {
        what.push("certificatesigningrequests".to_owned());
        what.extend(arguments.names.iter().cloned());
    }
    let wanted = Wanted {
        what: &what,
        files: &arguments.files,
        selector: "",
        field_selector: "",
        all: false,
        all_namespaces: false,
        local: false,
    };
    let Found { targets, mut errors } = find(session, wanted).await?;
    for target in &targets {
        match decide(target, approves, arguments.force, session).await {
            Ok(object) => {
                let words = if approves { "approved" } else { "denied" };
                outcome.show(session, &target.resource, &object, words)?;
            }
            Err(error @ (Error::Server(_) | Error::Said(_))) => errors.push(error),
            Err(error) => return Err(error),
        }
    }
    finish(session, errors)
}

async fn decide(target: &Target, approves: bool, force: bool, session: &mut Session<'_>) -> Result<Value, Error> {
    let path = target.path();
    let approval = format!("{path}/approval");
    let mut object = target.object.clone();
    for _ in 1..TRIES {
        let now = Timestamp::now().to_string();
        let changed = decided(&object, approves, force, &now).map_err(Error::said)?;
        let Some(changed) = changed else { return Ok(object) };
        match session.json(Ask::with(Method::PUT, &approval, &changed)).await {
            Err(error) if error.reason() == Some("Conflict") => object = session.json(Ask::get(&path)).await?,
            answer => return answer,
        }
    }
    Err(Error::said(format!("{} is changed by somebody else all the time: try again", target.quoted())))
}

/// A request with the decision; `None` if it has been made already.
fn decided(object: &Value, approves: bool, force: bool, now: &str) -> Result<Option<Value>, String> {
    let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let has = |kind: &str| conditions.iter().any(|condition| condition["type"] == kind);
    let (kind, other, verb) = if approves { ("Approved", "Denied", "approve") } else { ("Denied", "Approved", "deny") };
    if has(other) {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        return Err(format!("certificate signing request {name:?} is already {other}"));
    }
    if has(kind) && !force {
        return Ok(None);
    }
    let mut kept: Vec<Value> = conditions.into_iter().filter(|condition| condition["type"] != kind).collect();
    let reason = if approves { "KubectlApprove" } else { "KubectlDeny" };
    let past = kind.to_lowercase();
    kept.push(json!({
        "type": kind,
        "status": "True",
        "reason": reason,
        "message": format!("This CSR was {past} by kubectl certificate {verb}."),
        "lastUpdateTime": now,
    }));
    let mut changed = object.clone();
    changed["status"]["conditions"] = Value::Array(kept);
    Ok(Some(changed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_is_made_once() {
        let open = json!({"metadata": {"name": "a"}});
        let approved = decided(&open, true, false, "2026-01-02T03:04:05Z").unwrap().unwrap();
        assert_eq!(
            approved["status"]["conditions"][0]["message"],
            "This CSR was approved by kubectl certificate approve."
        );
        assert_eq!(decided(&approved, true, false, ""), Ok(None));
        let again = decided(&approved, true, true, "x").unwrap().unwrap();
        assert_eq!(again["status"]["conditions"].as_array().unwrap().len(), 1);
        let error = decided(&approved, false, true, "").unwrap_err();
        assert_eq!(error, "certificate signing request \"a\" is already Approved");
    }
}
