//! `gantry apply view-last-applied`, `edit-last-applied` and `set-last-applied`: what an object remembers of having been applied.

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

use crate::dry_run::DryRun;
use crate::editing::{Aim, Edited, Editing, Form};
use crate::last_applied::{self, ANNOTATION};
use crate::manifest::{Files, Placed};
use crate::output::{Format, Printing};
use crate::report::{Report, Validation};
use crate::resources::Resource;
use crate::select::select_named;
use crate::session::Ask;
use crate::{Error, Session};

/// What is done with what an object remembers.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Verb {
    /// Edit what objects remember.
    #[command(name = "edit-last-applied")]
    Edit(Edit),
    /// Show what was applied last.
    #[command(name = "view-last-applied")]
    View(View),
    /// Have objects remember that what files say was applied.
    #[command(name = "set-last-applied")]
    Set(Set),
}

/// The arguments.
#[derive(Clone, Debug, Args)]
pub(crate) struct Edit {
    /// What: TYPE NAME or TYPE/NAME...
    #[arg(value_name = "WHAT")]
    what: Vec<String>,
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    output: Printing,
    /// What becomes of fields that the server does not know: strict refuses them, warn says so, ignore drops them.
    #[arg(long, value_name = "HOW", default_value = "strict", num_args = 0..=1, require_equals = true, default_missing_value = "strict")]
    validate: Validation,
    /// Who is to own the annotation.
    #[arg(long, value_name = "NAME", default_value = "kubectl-client-side-apply")]
    field_manager: String,
    /// With who owns which field.
    #[arg(long)]
    show_managed_fields: bool,
}

/// The arguments.
#[derive(Clone, Debug, Args)]
pub(crate) struct View {
    /// What: TYPE NAME or TYPE/NAME...
    #[arg(value_name = "WHAT")]
    what: Vec<String>,
    #[command(flatten)]
    files: Files,
    /// How: yaml or json.
    #[arg(short, long, value_name = "FORMAT", default_value = "yaml")]
    output: String,
}

/// The arguments.
#[derive(Clone, Debug, Args)]
pub(crate) struct Set {
    #[command(flatten)]
    files: Files,
    /// Have objects remember it that remember nothing.
    #[arg(long)]
    create_annotation: bool,
    /// Do not do it: say only what would be done (client), or have the server check it too (server).
    #[arg(long, value_name = "HOW", default_value = "none", num_args = 0..=1, require_equals = true, default_missing_value = "client")]
    dry_run: DryRun,
    #[command(flatten)]
    output: Printing,
}

/// Does it.
pub(crate) async fn run(verb: Verb, session: &mut Session<'_>) -> Result<(), Error> {
    match verb {
        Verb::Edit(edit) => edit.run(session).await,
        Verb::View(view) => view.run(session).await,
        Verb::Set(set) => set.run(session).await,
    }
}

/// Where objects are that are named, or that files say.
async fn paths(session: &mut Session<'_>, what: &[String], files: &Files) -> Result<Vec<(Resource, String)>, Error> {
    if !files.is_empty() {
        let placed = files.place(session).await?.into_iter();
        let path = |placed: Placed| {
            let path = placed.resource.object_path(&placed.namespace, placed.name());
            (placed.resource, path)
        };
        return Ok(placed.map(path).collect());
    }
    let namespace = session.namespace().await?;
    let mut paths = Vec::new();
    for selected in select_named(session, what).await? {
        let path = |name: &String| (selected.resource.clone(), selected.resource.object_path(&namespace, name));
        paths.extend(selected.names.iter().map(path));
    }
    Ok(paths)
}

/// What the annotation of an object says.
fn remembered(name: &str, text: &str) -> Result<Value, Error> {
    serde_json::from_str(text)
        .map_err(|error| Error::said(format!("the annotation {ANNOTATION} of {name} is not JSON: {error}")))
}

impl Edit {
    async fn run(&self, session: &mut Session<'_>) -> Result<(), Error> {
        if self.files.is_empty() && self.what.is_empty() {
            return Err(crate::select::nothing_named());
        }
        let editing = Editing {
            aim: Aim::Remember,
            form: Form::of(self.output.as_str())?,
            save_config: false,
            validate: &self.validate,
            field_manager: &self.field_manager,
        };
        let mut report = Report::new(&self.output, DryRun::None)?.with_managed_fields(self.show_managed_fields);
        let mut all = Vec::new();
        for (resource, path) in paths(session, &self.what, &self.files).await? {
            let object = session.json(Ask::get(&path)).await?;
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            if let Some(text) = last_applied::of(&object) {
                let object = remembered(name, text)?;
                all.push(Edited { resource, path, object });
            }
        }
        if all.is_empty() {
            return Err(Error::said(
                "no last-applied-configuration annotation found on resources, to create the annotation, use command \
                 `gantry apply set-last-applied --create-annotation`",
            ));
        }
        for edited in all {
            editing.edit(session, &edited, &mut report).await?;
        }
        Ok(())
    }
}

impl View {
    async fn run(&self, session: &mut Session<'_>) -> Result<(), Error> {
        let format = match self.output.as_str() {
            "yaml" => Format::Yaml,
            "json" => Format::Json,
            other => {
                return Err(Error::said(format!(
                    "Unexpected -o output mode: {other}, the flag 'output' must be one of yaml|json"
                )));
            }
        };
        for (_, path) in paths(session, &self.what, &self.files).await? {
            let object = session.json(Ask::get(&path)).await?;
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            let Some(text) = last_applied::of(&object) else {
                return Err(Error::said(format!("no last-applied-configuration annotation found on resource: {name}")));
            };
            let value = remembered(name, text)?;
            let shown = match format {
                Format::Yaml => format.show(&value, &|_| String::new())?,
                // Only here kubectl indents by two spaces.
                _ => format!("{}\n", last_applied::with_escapes(&format!("{value:#}"))),
            };
            session.write(&shown)?;
        }
        Ok(())
    }
}

impl Set {
    async fn run(&self, session: &mut Session<'_>) -> Result<(), Error> {
        if self.files.is_empty() {
            return Err(Error::said("must specify -f"));
        }
        let mut report = Report::new(&self.output, self.dry_run)?;
        for placed in self.files.place(session).await? {
            let path = placed.resource.object_path(&placed.namespace, placed.name());
            let object = session.json(Ask::get(&path)).await?;
            let before = last_applied::of(&object);
            if before.is_none() && !self.create_annotation {
                return Err(Error::said(format!(
                    "no last-applied-configuration annotation found on resource: {}, to create the annotation, run the \
                     command with --create-annotation",
                    placed.name()
                )));
            }
            let mut wanted = placed.object.clone();
            last_applied::annotate(&mut wanted);
            let text = last_applied::of(&wanted);
            if before == text {
                session.remark(&format!("set-last-applied {}: no changes required.", placed.name()))?;
                continue;
            }
            let after = if self.dry_run == DryRun::Client {
                object.clone()
            } else {
                let patch = json!({"metadata": {"annotations": {ANNOTATION: text}}});
                let ask = Ask {
                    content_type: Some("application/merge-patch+json"),
                    ..Ask::with(Method::PATCH, &path, &patch)
                };
                session.json(ask.query("dryRun", self.dry_run.parameter())).await?
            };
            report.done(session, &placed.resource, &after, "configured")?;
        }
        Ok(())
    }
}
