//! `gantry rollout undo`.

use clap::Args;
use http::Method;
use serde_json::{Map, Value, json};

use super::Workloads;
use super::revisions::{Revision, revisions};
use super::template;
use crate::dry_run::DryRun;
use crate::outcome::Outcome;
use crate::output::Printing;
use crate::resources::Resource;
use crate::session::Ask;
use crate::target::{Target, finish};
use crate::{Error, Session};

/// The label by which a Deployment tells its ReplicaSets apart.
const HASH: &str = "pod-template-hash";
/// Annotations that are the Deployment's own, and not of what it rolls out.
const OWN: &[&str] = &[
    "deployment.kubernetes.io/desired-replicas",
    "deployment.kubernetes.io/max-replicas",
    "deployment.kubernetes.io/revision",
    "deployment.kubernetes.io/revision-history",
    "deprecated.deployment.rollback.to",
    LAST_APPLIED,
];
/// What `apply` was last told.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The arguments.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    workloads: Workloads,
    /// The revision to go back to; 0 is the one before.
    #[arg(long, value_name = "REVISION", default_value_t = 0, allow_negative_numbers = true)]
    to_revision: i64,
    /// Do not do it: show what it would be (client), or have the server check it (server).
    #[arg(long, value_name = "HOW", default_value = "none", num_args = 0..=1, require_equals = true, default_missing_value = "client")]
    dry_run: DryRun,
    #[command(flatten)]
    output: Printing,
}

/// Goes back, one workload after the other.
pub(crate) async fn run(arguments: Arguments, session: &mut Session<'_>) -> Result<(), Error> {
    let mut outcome = Outcome::new(&arguments.output, arguments.dry_run)?;
    let mut found = arguments.workloads.find(session).await?;
    for target in &found.targets {
        match one(&arguments, target, session).await {
            Ok(words) => outcome.show(session, &target.resource, &target.object, &words)?,
            Err(error @ (Error::Server(_) | Error::Said(_))) => found.errors.push(error),
            Err(error) => return Err(error),
        }
    }
    finish(session, found.errors)
}

async fn one(arguments: &Arguments, target: &Target, session: &mut Session<'_>) -> Result<String, Error> {
    if target.object["metadata"]["annotations"][LAST_APPLIED].is_string() {
        session.remark(&format!(
            "Warning: resource {}/{} was previously managed with 'kubectl apply'. Rolling back will not update the \
             {LAST_APPLIED} annotation, which may cause unexpected behavior on future 'kubectl apply' operations. Consider \
             using 'kubectl apply' with your previous configuration file instead.",
            target.resource.plural, target.name
        ))?;
    }
    let Some(revisions) = revisions(session, target).await? else {
        let Resource { group, kind, .. } = &target.resource;
        return Err(Error::said(format!(
            "error retrieving rollbacker for {kind:?}, no visitor method exists for {{{group} {kind}}}"
        )));
    };
    let is_deployment = target.resource.kind == "Deployment";
    let to = choose(&revisions, arguments.to_revision, is_deployment, &target.name).map_err(Error::said)?;
    if arguments.dry_run == DryRun::Client {
        let template = template::describe(&to.template);
        return Ok(if is_deployment { template } else { format!("will roll back to {template}") });
    }
    if is_deployment && target.object["spec"]["paused"] == true {
        return Err(Error::said(
            "you cannot rollback a paused deployment; resume it first with 'kubectl rollout resume' and try again",
        ));
    }
    if plain(&to.template) == plain(&target.object["spec"]["template"]) {
        // As kubectl says it: what was asked for, or else what was found.
        let number = if is_deployment { arguments.to_revision } else { to.number };
        let number = if number == 0 { to.number } else { number };
        return Ok(format!("skipped rollback (current template already matches revision {number})"));
    }
    let path = target.path();
    let (content_type, patch) = if is_deployment {
        ("application/json-patch+json", of_deployment(&target.object, to))
    } else {
        ("application/strategic-merge-patch+json", to.object["data"].clone())
    };
    let ask = Ask { content_type: Some(content_type), ..Ask::with(Method::PATCH, &path, &patch) };
    session.json(ask.query("dryRun", arguments.dry_run.parameter())).await?;
    Ok("rolled back".to_owned())
}

/// The revision to go back to: the one of this number, or the last but one.
fn choose<'a>(revisions: &'a [Revision], to: i64, is_deployment: bool, name: &str) -> Result<&'a Revision, String> {
    if to < 0 || (to > 0 && !revisions.iter().any(|revision| revision.number == to)) {
        return Err(format!("unable to find specified revision {to} in history"));
    }
    if to > 0 {
        return revisions.iter().find(|revision| revision.number == to).ok_or_else(String::new);
    }
    let before = revisions.len().checked_sub(2).and_then(|index| revisions.get(index));
    before.ok_or_else(|| match is_deployment {
        true => format!("no rollout history found for deployment {name:?}"),
        false => "no last revision to roll back to".to_owned(),
    })
}

/// A template without what tells it apart.
fn plain(template: &Value) -> Value {
    let mut template = template.clone();
    if let Some(labels) = template["metadata"]["labels"].as_object_mut() {
        labels.remove(HASH);
    }
    if let Some(meta) = template["metadata"].as_object_mut() {
        meta.remove("creationTimestamp");
    }
    template
}

/// The patch that has a Deployment roll out again what a ReplicaSet has.
fn of_deployment(deployment: &Value, to: &Revision) -> Value {
    let own = |annotations: &Value, is_own: bool| -> Map<String, Value> {
        let all = annotations.as_object().cloned().unwrap_or_default();
        all.into_iter().filter(|(name, _)| OWN.contains(&name.as_str()) == is_own).collect()
    };
    let mut annotations = own(&deployment["metadata"]["annotations"], true);
    annotations.extend(own(&to.object["metadata"]["annotations"], false));
    json!([
        {"op": "replace", "path": "/spec/template", "value": plain(&to.template)},
        {"op": "replace", "path": "/metadata/annotations", "value": annotations},
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn revision(number: i64) -> Revision {
        let annotations = json!({"deployment.kubernetes.io/revision": number.to_string(), "why": "so"});
        let template = json!({"metadata": {"labels": {"app": "a", HASH: "x"}}, "spec": {"n": number}});
        Revision { number, object: json!({"metadata": {"annotations": annotations}}), template }
    }

    #[test]
    fn the_revision_before_is_chosen_unless_it_is_said() {
        let three = [revision(2), revision(5), revision(6)];
        let check = |to: i64, expected: Result<i64, &str>| {
            let found = choose(&three, to, true, "a").map(|revision| revision.number);
            assert_eq!(found, expected.map_err(str::to_owned), "{to}");
        };
        check(0, Ok(5));
        check(2, Ok(2));
        check(3, Err("unable to find specified revision 3 in history"));
        check(-1, Err("unable to find specified revision -1 in history"));
        let error = |is_deployment| choose(&three[..1], 0, is_deployment, "a").unwrap_err();
        assert_eq!(error(true), "no rollout history found for deployment \"a\"");
        assert_eq!(error(false), "no last revision to roll back to");
    }

    #[test]
    fn a_deployment_keeps_its_own_annotations() {
        let deployment = json!({"metadata": {"annotations": {"deployment.kubernetes.io/revision": "9", "why": "not"}}});
        let expected = json!([
            {"op": "replace", "path": "/spec/template", "value": {"metadata": {"labels": {"app": "a"}}, "spec": {"n": 5}}},
            {"op": "replace", "path": "/metadata/annotations",
             "value": {"deployment.kubernetes.io/revision": "9", "why": "so"}},
        ]);
        assert_eq!(of_deployment(&deployment, &revision(5)), expected);
    }
}
