//! `gantry edit`: an object as a file of an editor, and what was changed of it as a patch.

use clap::Args;
use serde_json::Value;

use crate::dry_run::DryRun;
use crate::editing::{Aim, Edited, Editing, Form};
use crate::manifest::Files;
use crate::output::Printing;
use crate::report::{Report, Validation};
use crate::resources::Resource;
use crate::select::select_named;
use crate::session::Ask;
use crate::{Error, Session};

/// Who is said to own the fields, unless it is said.
const MANAGER: &str = "kubectl-edit";

/// The arguments.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// What: TYPE NAME or TYPE/NAME...
    #[arg(value_name = "WHAT")]
    what: Vec<String>,
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    output: Printing,
    /// Have objects remember what they are, for `gantry apply`.
    #[arg(long)]
    save_config: bool,
    /// Of which subresource: status or scale.
    #[arg(long, value_name = "NAME")]
    subresource: Option<String>,
    /// What becomes of fields that the server does not know: strict refuses them, warn says so, ignore drops them.
    #[arg(long, value_name = "HOW", default_value = "strict", num_args = 0..=1, require_equals = true, default_missing_value = "strict")]
    validate: Validation,
    /// Who is to own the fields.
    #[arg(long, value_name = "NAME", default_value = MANAGER)]
    field_manager: String,
    /// With who owns which field.
    #[arg(long)]
    show_managed_fields: bool,
}

/// Edits objects, one after the other.
pub(crate) async fn run(arguments: Arguments, session: &mut Session<'_>) -> Result<(), Error> {
    let mut report = match arguments.output.as_str() {
        "yaml" | "json" => Report::new(&Printing::default(), DryRun::None)?,
        _ => Report::new(&arguments.output, DryRun::None)?,
    };
    let mut all = Vec::new();
    for (resource, namespace, name) in arguments.targets(session).await? {
        let subresource = arguments.subresource.as_ref().map(|name| format!("/{name}")).unwrap_or_default();
        let path = format!("{}{subresource}", resource.object_path(&namespace, &name));
        let mut object = session.json(Ask::get(&path)).await?;
        if !arguments.show_managed_fields
            && let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut)
        {
            metadata.remove("managedFields");
        }
        all.push(Edited { resource, path, object });
    }
    let editing = Editing {
        aim: Aim::Change,
        form: Form::of(arguments.output.as_str()).unwrap_or(Form::YAML),
        save_config: arguments.save_config,
        validate: &arguments.validate,
        field_manager: &arguments.field_manager,
    };
    for edited in all {
        editing.edit(session, &edited, &mut report).await?;
    }
    Ok(())
}

impl Arguments {
    async fn targets(&self, session: &mut Session<'_>) -> Result<Vec<(Resource, String, String)>, Error> {
        if !self.files.is_empty() {
            let placed = self.files.place(session).await?;
            let target = |placed: crate::manifest::Placed| {
                let name = placed.name().to_owned();
                (placed.resource, placed.namespace, name)
            };
            return Ok(placed.into_iter().map(target).collect());
        }
        if self.what.is_empty() {
            return Err(crate::select::nothing_named());
        }
        let namespace = session.namespace().await?;
        let mut targets = Vec::new();
        for selected in select_named(session, &self.what).await? {
            let target = |name| (selected.resource.clone(), namespace.clone(), name);
            targets.extend(selected.names.into_iter().map(target));
        }
        Ok(targets)
    }
}
