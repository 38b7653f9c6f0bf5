//! `gantry rollout pause`, `resume` and `restart`.

use clap::Args;
use http::Method;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::Workloads;
use crate::dry_run::DryRun;
use crate::outcome::Outcome;
use crate::output::Printing;
use crate::session::Ask;
use crate::target::{Target, finish};
use crate::{Error, Session};

/// The arguments.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    workloads: Workloads,
    /// Who is to own the fields.
    #[arg(long, value_name = "NAME", default_value = "kubectl-rollout")]
    field_manager: String,
    #[command(flatten)]
    output: Printing,
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Pause,
    Restart,
    Resume,
}

impl Change {
    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Change::Pause => ("pausing", "paused"),
            Change::Restart => ("restarting", "restarted"),
            Change::Resume => ("resuming", "resumed"),
        }
    }

    /// The patch that does it, or why it cannot be done, behind the object's name.
    fn patch(self, kind: &str, object: &Value, now: &str) -> Result<Value, String> {
        let is_paused = object["spec"]["paused"] == true;
        match (self, kind) {
            (Change::Pause, "Deployment") if is_paused => Err("is already paused".to_owned()),
            (Change::Pause, "Deployment") => Ok(json!({"spec": {"paused": true}})),
            (Change::Resume, "Deployment") if !is_paused => Err("is not paused".to_owned()),
            (Change::Resume, "Deployment") => Ok(json!({"spec": {"paused": null}})),
            (Change::Restart, "Deployment") if is_paused => {
                Err("can't restart paused deployment (run rollout resume first)".to_owned())
            }
            (Change::Restart, "Deployment" | "DaemonSet" | "StatefulSet") => {
                let annotations = json!({"kubectl.kubernetes.io/restartedAt": now});
                Ok(json!({"spec": {"template": {"metadata": {"annotations": annotations}}}}))
            }
            _ => Err(format!("{} is not supported", self.words().0)),
        }
    }
}

/// Does it, one object after the other.
pub(crate) async fn run(arguments: Arguments, change: Change, session: &mut Session<'_>) -> Result<(), Error> {
    let mut outcome = Outcome::new(&arguments.output, DryRun::None)?;
    let mut found = arguments.workloads.find(session).await?;
    // To the second, as kubectl has it.
    let now = Timestamp::now().to_string();
    let now = now.split_once('.').map_or(now.clone(), |(seconds, _)| format!("{seconds}Z"));
    for target in &found.targets {
        match one(&arguments, change, &now, target, session).await {
            Ok(object) => outcome.show(session, &target.resource, &object, change.words().1)?,
            Err(error @ (Error::Server(_) | Error::Said(_))) => found.errors.push(error),
            Err(error) => return Err(error),
        }
    }
    finish(session, found.errors)
}

async fn one(
    arguments: &Arguments,
    change: Change,
    now: &str,
    target: &Target,
    session: &mut Session<'_>,
) -> Result<Value, Error> {
    let patch = change.patch(&target.resource.kind, &target.object, now);
    let patch = patch.map_err(|why| Error::said(format!("{} {why}", target.quoted())))?;
    let restarted = &target.object["spec"]["template"]["metadata"]["annotations"]["kubectl.kubernetes.io/restartedAt"];
    if change == Change::Restart && restarted == now {
        return Err(Error::said(format!(
            "failed to create patch for {}: if restart has already been triggered within the past second, please wait before \
             attempting to trigger another",
            target.name
        )));
    }
    let path = target.path();
    let ask =
        Ask { content_type: Some("application/strategic-merge-patch+json"), ..Ask::with(Method::PATCH, &path, &patch) };
    session.json(ask.query("fieldManager", arguments.field_manager.as_str())).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_changed_is() {
        let check = |change: Change, kind: &str, paused: bool, expected: Result<(), &str>| {
            let object = json!({"spec": {"paused": paused}});
            let found = change.patch(kind, &object, "2026-01-02T03:04:05Z").map(|_| ());
            assert_eq!(found, expected.map_err(str::to_owned), "{change:?} {kind}");
        };
        check(Change::Pause, "Deployment", false, Ok(()));
        check(Change::Pause, "Deployment", true, Err("is already paused"));
        check(Change::Resume, "Deployment", false, Err("is not paused"));
        check(Change::Resume, "DaemonSet", false, Err("resuming is not supported"));
        check(Change::Restart, "StatefulSet", false, Ok(()));
        let paused = "can't restart paused deployment (run rollout resume first)";
        check(Change::Restart, "Deployment", true, Err(paused));
        check(Change::Restart, "Service", false, Err("restarting is not supported"));
    }
}
