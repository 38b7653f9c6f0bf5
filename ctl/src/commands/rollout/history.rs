//! `gantry rollout history`.

use clap::Args;
use serde_json::{Value, json};

use super::Workloads;
use super::revisions::{CHANGE_CAUSE, Revision, revisions};
use super::template;
use crate::dry_run::DryRun;
use crate::outcome::Outcome;
use crate::output::Printing;
use crate::resources::Resource;
use crate::target::{Target, finish};
use crate::{Error, Session};

/// The arguments.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    workloads: Workloads,
    /// Show all of this revision.
    #[arg(long, value_name = "REVISION", default_value_t = 0, allow_negative_numbers = true)]
    revision: i64,
    #[command(flatten)]
    output: Printing,
}

/// Shows what was rolled out.
pub(crate) async fn run(arguments: Arguments, session: &mut Session<'_>) -> Result<(), Error> {
    if arguments.revision < 0 {
        return Err(Error::said(format!("revision must be a positive integer: {}", arguments.revision)));
    }
    let mut outcome = Outcome::new(&arguments.output, DryRun::None)?;
    let mut found = arguments.workloads.find(session).await?;
    for target in &found.targets {
        match one(arguments.revision, &mut outcome, target, session).await {
            Ok(()) => {}
            Err(error @ (Error::Server(_) | Error::Said(_))) => found.errors.push(error),
            Err(error) => return Err(error),
        }
    }
    finish(session, found.errors)
}

async fn one(wanted: i64, outcome: &mut Outcome, target: &Target, session: &mut Session<'_>) -> Result<(), Error> {
    let Some(revisions) = revisions(session, target).await? else {
        let Resource { group, kind, .. } = &target.resource;
        return Err(Error::said(format!(
            "error retrieving history for {kind:?}, no visitor method exists for {{{group} {kind}}}"
        )));
    };
    let one = revisions.iter().find(|revision| revision.number == wanted);
    if wanted > 0 && one.is_none() && !(revisions.is_empty() && outcome.is_words()) {
        return Err(Error::said("unable to find the specified revision"));
    }
    if !outcome.is_words() {
        for revision in revisions.iter().filter(|revision| wanted == 0 || revision.number == wanted) {
            let (resource, object) = shown(target, revision, session).await?;
            outcome.show(session, &resource, &object, "")?;
        }
        return Ok(());
    }
    let (which, text) = match one {
        _ if revisions.is_empty() => (String::new(), "No rollout history found.".to_owned()),
        Some(revision) => (format!("with revision #{wanted}"), template::describe(&with_cause(revision))),
        None => (String::new(), table(&revisions)),
    };
    session.say(&format!("{} {which}\n{text}", target.resource.object(&target.name)))
}

/// What a revision is shown as: a ReplicaSet as it is, and of other workloads what the workload was then.
async fn shown(target: &Target, revision: &Revision, session: &mut Session<'_>) -> Result<(Resource, Value), Error> {
    if revision.object["kind"] == "ControllerRevision" {
        let mut object = target.object.clone();
        object["spec"]["template"] = revision.template.clone();
        return Ok((target.resource.clone(), object));
    }
    let field = |name: &str| revision.object[name].as_str().unwrap_or_default().to_owned();
    let resource = session.catalog().await?.of_kind(&field("apiVersion"), &field("kind"))?.clone();
    Ok((resource, revision.object.clone()))
}

/// Its template, with why it was rolled out among the annotations, as kubectl shows it of Deployments.
fn with_cause(revision: &Revision) -> Value {
    let mut template = revision.template.clone();
    if let Some(cause) = revision.cause().filter(|_| revision.object["kind"] == "ReplicaSet") {
        template["metadata"]["annotations"][CHANGE_CAUSE] = json!(cause);
    }
    template
}

/// The revisions and why they were rolled out, in two columns.
fn table(revisions: &[Revision]) -> String {
    let mut lines = vec![("REVISION".to_owned(), "CHANGE-CAUSE")];
    lines.extend(revisions.iter().map(|it| (it.number.to_string(), it.cause().unwrap_or("<none>"))));
    let width = lines.iter().map(|(number, _)| number.len()).max().unwrap_or(0) + 2;
    lines.iter().map(|(number, cause)| format!("{number:width$}{cause}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revisions_are_in_two_columns() {
        let revision = |number, annotations| Revision {
            number,
            object: json!({"metadata": {"annotations": annotations}}),
            template: Value::Null,
        };
        let shown = table(&[revision(1, json!({})), revision(12, json!({CHANGE_CAUSE: "a b"}))]);
        assert_eq!(shown, "REVISION  CHANGE-CAUSE\n1         <none>\n12        a b\n");
    }
}
