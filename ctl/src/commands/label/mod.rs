//! `gantry label` and `gantry annotate`: the same but for words, and for what a value may be.

mod pairs;

use clap::Args;
use serde_json::{Map, Value, json};

use crate::dry_run::DryRun;
use crate::manifest::Files;
use crate::outcome::Outcome;
use crate::output::Printing;
use crate::target::{Found, MERGE, Target, Wanted, find, finish};
use crate::{Error, Session};
use pairs::Changes;

/// The arguments.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// What, and then what changes: TYPE NAME... or TYPE/NAME..., and KEY=VALUE to set or KEY- to remove.
    #[arg(value_name = "WHAT")]
    what: Vec<String>,
    #[command(flatten)]
    files: Files,
    /// Replace values that there are.
    #[arg(long)]
    overwrite: bool,
    /// Show what there is then.
    #[arg(long)]
    list: bool,
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
    /// Only if this is its version.
    #[arg(long, value_name = "VERSION", default_value = "")]
    resource_version: String,
    /// Change what a file says, and do not ask the server.
    #[arg(long)]
    local: bool,
    /// Do not do it: say only what would be done (client), or have the server check it too (server).
    #[arg(long, value_name = "HOW", default_value = "none", num_args = 0..=1, require_equals = true, default_missing_value = "client")]
    dry_run: DryRun,
    /// Who is to own the fields.
    #[arg(long, value_name = "NAME")]
    field_manager: Option<String>,
    #[command(flatten)]
    output: Printing,
}

/// Labels or annotations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    Labels,
    Annotations,
}

impl Which {
    const fn field(self) -> &'static str {
        match self {
            Which::Labels => "labels",
            Which::Annotations => "annotations",
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Which::Labels => "label",
            Which::Annotations => "annotation",
        }
    }
}

/// Changes labels or annotations, one object after the other.
pub(crate) async fn run(arguments: Arguments, which: Which, session: &mut Session<'_>) -> Result<(), Error> {
    let (what, changes) = Changes::parse(&arguments.what, which).map_err(Error::said)?;
    if what.is_empty() && arguments.files.is_empty() {
        return Err(Error::said("one or more resources must be specified as <resource> <name> or <resource>/<name>"));
    }
    if changes.is_empty() && !arguments.list {
        return Err(Error::said(format!("at least one {} update is required", which.word())));
    }
    let mut outcome = Outcome::new(&arguments.output, arguments.dry_run)?;
    let Found { targets, mut errors } = find(
        session,
        Wanted {
            what: &what,
            files: &arguments.files,
            selector: &arguments.selector,
            field_selector: &arguments.field_selector,
            all: arguments.all,
            all_namespaces: arguments.all_namespaces,
            local: arguments.local,
        },
    )
    .await?;
    if !arguments.resource_version.is_empty() && targets.len() > 1 {
        return Err(Error::said("--resource-version may only be used with a single resource"));
    }
    let is_one = targets.len() == 1;
    for target in &targets {
        let changed = one(&arguments, which, &changes, target, session).await;
        match changed {
            Ok((object, _)) if arguments.list => list(session, which, target, &object, is_one)?,
            Ok((object, words)) => outcome.show(session, &target.resource, &object, words)?,
            Err(error @ (Error::Server(_) | Error::Said(_))) => errors.push(error),
            Err(error) => return Err(error),
        }
    }
    finish(session, errors)
}

/// Changes an object, and says what has become of it.
async fn one(
    arguments: &Arguments,
    which: Which,
    changes: &Changes,
    target: &Target,
    session: &mut Session<'_>,
) -> Result<(Value, &'static str), Error> {
    let mut object = target.object.clone();
    let before = object["metadata"][which.field()].as_object().cloned().unwrap_or_default();
    if !arguments.overwrite {
        changes.check(&before, which).map_err(Error::said)?;
    }
    if which == Which::Labels {
        for key in changes.removed.iter().filter(|key| !before.contains_key(*key)) {
            session.say(&format!("label {key:?} not found."))?;
        }
    }
    let after = changes.apply(&before);
    let words = words(which, &before, &after, arguments.overwrite);
    object["metadata"][which.field()] = Value::Object(after);
    let sends = !changes.is_empty() && !arguments.local && arguments.dry_run != DryRun::Client;
    if !sends || object == target.object && arguments.resource_version.is_empty() {
        return Ok((object, words));
    }
    let mut patch = json!({"metadata": {which.field(): changes.patch()}});
    if !arguments.resource_version.is_empty() {
        patch["metadata"]["resourceVersion"] = json!(arguments.resource_version);
    }
    let manager = match (&arguments.field_manager, which) {
        (Some(name), _) => name.as_str(),
        (None, Which::Labels) => "kubectl-label",
        (None, Which::Annotations) => "kubectl-annotate",
    };
    Ok((target.patch(session, (MERGE, &patch), arguments.dry_run, manager).await?, words))
}

/// What has been done, in kubectl's words.
fn words(which: Which, before: &Map<String, Value>, after: &Map<String, Value>, overwrites: bool) -> &'static str {
    match which {
        Which::Annotations => "annotated",
        Which::Labels if before == after => "not labeled",
        Which::Labels if !overwrites && after.len() < before.len() => "unlabeled",
        Which::Labels => "labeled",
    }
}

fn list(session: &mut Session<'_>, which: Which, target: &Target, object: &Value, is_one: bool) -> Result<(), Error> {
    let indent = if is_one { "" } else { " " };
    if !is_one {
        let (kind, group) = (&target.resource.kind, &target.resource.group);
        session.say(&format!("Listing {} for {kind}.{group}/{}:", which.field(), target.name))?;
    }
    for (key, value) in object["metadata"][which.field()].as_object().into_iter().flatten() {
        session.say(&format!("{indent}{key}={}", value.as_str().unwrap_or_default()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_is_said_in_kubectls_words() {
        let map = |value: Value| value.as_object().unwrap().clone();
        let check = |before: Value, after: Value, overwrites: bool, expected: &str| {
            assert_eq!(words(Which::Labels, &map(before), &map(after), overwrites), expected);
        };
        check(json!({"a": "b"}), json!({"a": "b"}), false, "not labeled");
        check(json!({"a": "b"}), json!({"a": "c"}), true, "labeled");
        check(json!({"a": "b"}), json!({}), false, "unlabeled");
        assert_eq!(words(Which::Annotations, &Map::new(), &Map::new(), false), "annotated");
    }
}
