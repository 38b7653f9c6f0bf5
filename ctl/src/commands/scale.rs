//! `gantry scale`.

use std::time::Duration;

use clap::Args;
use http::Method;
use serde_json::{Value, json};

use crate::dry_run::DryRun;
use crate::manifest::Files;
use crate::outcome::Outcome;
use crate::output::Printing;
use crate::session::{Ask, duration};
use crate::target::{Found, MERGE, Target, Wanted, find, finish};
use crate::{Error, Session};

/// How long it takes until the next look whether the replicas are there.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The arguments.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// What: TYPE NAME..., TYPE/NAME..., or TYPE with -l or --all.
    #[arg(value_name = "WHAT")]
    what: Vec<String>,
    #[command(flatten)]
    files: Files,
    /// How many there are to be.
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    replicas: Option<i64>,
    /// Only if there are to be this many now.
    #[arg(long, value_name = "NUMBER", default_value_t = -1, allow_negative_numbers = true)]
    current_replicas: i64,
    /// Only if this is its version.
    #[arg(long, value_name = "VERSION", default_value = "")]
    resource_version: String,
    /// All of the type in the namespace.
    #[arg(long)]
    all: bool,
    /// Only objects with these labels.
    #[arg(short = 'l', long, value_name = "SELECTOR", default_value = "")]
    selector: String,
    /// For how long to wait until they are there, such as 30s; 0 does not wait.
    #[arg(long, value_name = "DURATION", default_value = "0s")]
    timeout: String,
    /// Do not do it: say only what would be done (client), or have the server check it too (server).
    #[arg(long, value_name = "HOW", default_value = "none", num_args = 0..=1, require_equals = true, default_missing_value = "client")]
    dry_run: DryRun,
    #[command(flatten)]
    output: Printing,
}

/// Sets numbers of replicas, one object after the other.
pub(crate) async fn run(arguments: Arguments, session: &mut Session<'_>) -> Result<(), Error> {
    let Some(replicas) = arguments.replicas else {
        return Err(Error::said("required flag(s) \"replicas\" not set"));
    };
    if replicas < 0 {
        return Err(Error::said("The --replicas=COUNT flag is required, and COUNT must be greater than or equal to 0"));
    }
    let mut outcome = Outcome::new(&arguments.output, arguments.dry_run)?;
    let timeout = duration("--timeout", &arguments.timeout)?;
    let Found { targets, mut errors } = find(
        session,
        Wanted {
            what: &arguments.what,
            files: &arguments.files,
            selector: &arguments.selector,
            field_selector: "",
            all: arguments.all,
            all_namespaces: false,
            local: false,
        },
    )
    .await?;
    if !arguments.resource_version.is_empty() && targets.len() > 1 {
        return Err(Error::said("cannot use --resource-version with multiple resources"));
    }
    if targets.is_empty() && errors.is_empty() {
        return Err(Error::said("no objects passed to scale"));
    }
    for target in targets {
        match one(&arguments, replicas, &target, session).await {
            Ok(()) => outcome.show(session, &target.resource, &target.object, "scaled")?,
            Err(error @ (Error::Server(_) | Error::Said(_))) => {
                errors.push(error);
                continue;
            }
            Err(error) => return Err(error),
        }
        if let Some(timeout) = timeout.filter(|_| arguments.dry_run == DryRun::None) {
            session.flush()?;
            let reached = tokio::time::timeout(timeout, until_reached(session, &target));
            reached.await.unwrap_or_else(|_| Err(Error::said("timed out waiting for the condition")))?;
        }
    }
    finish(session, errors)
}

async fn one(arguments: &Arguments, replicas: i64, target: &Target, session: &mut Session<'_>) -> Result<(), Error> {
    if arguments.dry_run == DryRun::Client {
        return Ok(());
    }
    let path = format!("{}/scale", target.path());
    let dry_run = arguments.dry_run.parameter();
    if arguments.current_replicas == -1 && arguments.resource_version.is_empty() {
        let patch = json!({"spec": {"replicas": replicas}});
        let ask = Ask { content_type: Some(MERGE), ..Ask::with(Method::PATCH, &path, &patch) };
        session.json(ask.query("dryRun", dry_run)).await?;
        return Ok(());
    }
    let mut scale = session.json(Ask::get(&path)).await?;
    check(&scale, arguments.current_replicas, &arguments.resource_version).map_err(Error::said)?;
    scale["spec"]["replicas"] = json!(replicas);
    session.json(Ask::with(Method::PUT, &path, &scale).query("dryRun", dry_run)).await?;
    Ok(())
}

/// Whether it is what it was thought to be.
fn check(scale: &Value, replicas: i64, version: &str) -> Result<(), String> {
    let now = scale["spec"]["replicas"].as_i64().unwrap_or(0);
    if replicas != -1 && replicas != now {
        return Err(format!("Expected replicas to be {replicas}, was {now}"));
    }
    let now = scale["metadata"]["resourceVersion"].as_str().unwrap_or_default();
    if !version.is_empty() && version != now {
        return Err(format!("Expected resource version to be {version}, was {now}"));
    }
    Ok(())
}

/// Waits until there are as many as there are to be.
async fn until_reached(session: &mut Session<'_>, target: &Target) -> Result<(), Error> {
    let path = format!("{}/scale", target.path());
    loop {
        let scale = session.json(Ask::get(&path)).await?;
        let number = |part: &str| scale[part]["replicas"].as_i64().unwrap_or(0);
        if number("spec") == number("status") {
            return Ok(());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_expected_is_checked() {
        let scale = json!({"metadata": {"resourceVersion": "7"}, "spec": {"replicas": 2}});
        let is = |replicas, version: &str, expected: Result<(), &str>| {
            assert_eq!(check(&scale, replicas, version), expected.map_err(str::to_owned));
        };
        is(-1, "", Ok(()));
        is(2, "7", Ok(()));
        is(3, "", Err("Expected replicas to be 3, was 2"));
        is(-1, "8", Err("Expected resource version to be 8, was 7"));
    }
}
