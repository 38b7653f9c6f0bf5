//! `gantry edit`: an object as a file of an editor, and what was changed of it as a patch.
//!
//! What the server does not take is shown again, with the reason in comments, until it does or nothing is changed any more.
//! What was written is never lost: where it ends otherwise, it stays in a file.

use std::path::{Path, PathBuf};

use api::schema::Schema;
use clap::Args;
use http::Method;
use serde_json::Value;

use crate::dry_run::DryRun;
use crate::last_applied::{self, fields};
use crate::manifest::{Files, parse};
use crate::output::{Format, Printing};
use crate::report::{Report, Validation};
use crate::resources::Resource;
use crate::select::select_named;
use crate::session::Ask;
use crate::{Error, Session, three_way};

/// Who is said to own the fields, unless it is said.
const MANAGER: &str = "kubectl-edit";
/// Where the name of the editor is, first things first, and the one that is there everywhere.
const EDITORS: [&str; 2] = ["KUBE_EDITOR", "EDITOR"];
const EDITOR: &str = "vi";

const HEADER: &str = "\
# Please edit the object below. Lines beginning with a '#' will be ignored,
# and an empty file will abort the edit. If an error occurs while saving this file will be
# reopened with the relevant failures.
#
";

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

/// An object that is edited.
struct Edited {
    resource: Resource,
    path: String,
    object: Value,
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
    for edited in all {
        arguments.edit(session, &edited, &mut report).await?;
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

    /// Has an object edited until the server takes it, or nothing is changed.
    async fn edit(&self, session: &mut Session<'_>, edited: &Edited, report: &mut Report) -> Result<(), Error> {
        let (format, extension) = match self.output.as_str() {
            "json" => (Format::Json, "json"),
            _ => (Format::Yaml, "yaml"),
        };
        let original = format.show(&edited.object, &|_| String::new())?;
        let (mut text, mut why) = (original.clone(), String::new());
        loop {
            let (file, saved) = open_editor(extension, &shown(extension, &text, &why))?;
            let body = without_comments(&saved);
            let unchanged = body.trim() == without_comments(&text).trim();
            if body.trim().is_empty() {
                session.remark("Edit cancelled, saved file was empty.")?;
                return Ok(());
            }
            if unchanged && why.is_empty() {
                session.remark("Edit cancelled, no changes made.")?;
                return Ok(());
            }
            // Who leaves it as it was refused has given up.
            if unchanged {
                let kept = keep(&file, &saved, extension)?;
                session
                    .remark(&format!("A copy of your changes has been stored to {:?}", kept.display().to_string()))?;
                return Err(Error::said("Edit cancelled, no valid changes were saved."));
            }
            text = body;
            let changed = match self.read(edited, &text) {
                Ok(changed) => changed,
                Err(error) => {
                    why = error.among_others();
                    session.remark(&format!("error: {why}"))?;
                    continue;
                }
            };
            if changed == edited.object {
                session.remark("Edit cancelled, no changes made.")?;
                return Ok(());
            }
            match self.send(session, edited, changed).await {
                Ok(after) => return report.done(session, &edited.resource, &after, "edited"),
                Err(error @ Error::Server(_)) if matches!(error.reason(), Some("NotFound" | "Conflict")) => {
                    let kept = keep(&file, &saved, extension)?;
                    session.remark(&format!(
                        "A copy of your changes has been stored to {:?}",
                        kept.display().to_string()
                    ))?;
                    return Err(error);
                }
                Err(error @ (Error::Server(_) | Error::Said(_))) => {
                    let name = edited.object["metadata"]["name"].as_str().unwrap_or_default();
                    let of = format!("{} {name:?}", edited.resource.qualified());
                    why = reasons(&of, &error);
                    session.remark(&format!("error: {of} is invalid"))?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The object of a text, which must be the same one still.
    fn read(&self, edited: &Edited, text: &str) -> Result<Value, Error> {
        let mut documents = parse("the edited file", text)?;
        if documents.len() != 1 {
            return Err(Error::said(format!(
                "the edited file has {} objects, and one was to be edited",
                documents.len()
            )));
        }
        let changed = documents.remove(0).object;
        for field in ["/apiVersion", "/kind", "/metadata/name", "/metadata/namespace"] {
            if changed.pointer(field) != edited.object.pointer(field) {
                let field = field.trim_start_matches('/').replace('/', ".");
                return Err(Error::said(format!("At least one of apiVersion, kind and name was changed: {field}")));
            }
        }
        Ok(changed)
    }

    /// Has the server make the object what it is to be.
    async fn send(&self, session: &mut Session<'_>, edited: &Edited, mut changed: Value) -> Result<Value, Error> {
        if self.save_config {
            last_applied::annotate(&mut changed);
        }
        let resource = &edited.resource;
        let of = Schema::of(&resource.group, &resource.version, &resource.kind);
        let before = fields(&edited.object);
        let patch = three_way::patch(&before, &fields(&changed), &before, of)
            .map_err(|error| Error::said(error.to_string()))?;
        let content = Value::Object(patch.fields);
        let ask = Ask { content_type: Some(patch.content_type), ..Ask::with(Method::PATCH, &edited.path, &content) };
        let ask = ask.query("fieldManager", self.field_manager.as_str());
        session.json(ask.query("fieldValidation", self.validate.parameter())).await
    }
}

/// Why the server did not take it, a line each.
fn reasons(of: &str, error: &Error) -> String {
    let causes = match error {
        Error::Server(status) => status["details"]["causes"].as_array(),
        _ => None,
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut reasons = format!("{of} was not valid:");
    match causes {
        Some(causes) if !causes.is_empty() => {
            for cause in causes {
                reasons += &format!("\n* {}: {}", text(&cause["field"]), text(&cause["message"]));
            }
        }
        _ => reasons += &format!("\n* {}", error.among_others()),
    }
    reasons
}

/// What the editor is given: JSON has no comments.
fn shown(extension: &str, text: &str, why: &str) -> String {
    if extension == "json" { text.to_owned() } else { with_comments(text, why) }
}

/// A text for the editor: what to do, why it was refused, and the object.
fn with_comments(text: &str, why: &str) -> String {
    let why: String = why.lines().map(|line| format!("# {line}\n")).collect();
    let end = if why.is_empty() { "" } else { "#\n" };
    format!("{HEADER}{why}{end}{text}")
}

/// A text without the comments before the object. Those in it are for whoever reads it.
fn without_comments(text: &str) -> String {
    let mut lines = text.lines().skip_while(|line| line.starts_with('#')).peekable();
    let mut kept = String::new();
    while let Some(line) = lines.next() {
        kept.push_str(line);
        if lines.peek().is_some() || text.ends_with('\n') {
            kept.push('\n');
        }
    }
    kept
}

/// Has the user's editor edit a text. Gives the file, which goes with what it gives, and what is in it.
fn open_editor(extension: &str, text: &str) -> Result<(tempfile::NamedTempFile, String), Error> {
    let file = tempfile::Builder::new().prefix("gantry-edit-").suffix(&format!(".{extension}")).tempfile()?;
    std::fs::write(file.path(), text)?;
    let named = EDITORS.iter().filter_map(|name| std::env::var(name).ok()).find(|name| !name.trim().is_empty());
    let editor = named.unwrap_or_else(|| EDITOR.to_owned());
    // Editors are named with options, and with quotes about them.
    let status = std::process::Command::new("/bin/sh")
        .args(["-c", &format!("{editor} \"$1\""), "gantry-edit"])
        .arg(file.path())
        .status()
        .map_err(|error| Error::said(format!("unable to launch the editor {editor:?}: {error}")))?;
    if !status.success() {
        return Err(Error::said(format!("there was a problem with the editor {editor:?}: {status}")));
    }
    let saved = read(file.path())?;
    Ok((file, saved))
}

fn read(path: &Path) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(|error| Error::said(format!("{}: {error}", path.display())))
}

/// Keeps what was written beside the file of the editor, which goes.
fn keep(file: &tempfile::NamedTempFile, text: &str, extension: &str) -> Result<PathBuf, Error> {
    let path = file.path().with_extension(format!("kept.{extension}"));
    let mut options = std::fs::OpenOptions::new();
    std::os::unix::fs::OpenOptionsExt::mode(options.write(true).create_new(true), 0o600);
    std::io::Write::write_all(&mut options.open(&path)?, text.as_bytes())?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn comments_come_and_go() {
        let text = "a: b\n# mine\nc: d\n";
        assert_eq!(without_comments(&with_comments(text, "")), text);
        let refused = with_comments(text, "one\ntwo");
        assert!(refused.contains("# one\n# two\n#\na: b\n"), "{refused}");
        assert_eq!(without_comments(&refused), text);
        assert_eq!(without_comments(HEADER), "");
    }

    #[test]
    fn reasons_are_told_line_by_line() {
        let causes = json!([{"field": "a", "message": "b"}, {"field": "c", "message": "d"}]);
        let invalid = json!({"reason": "Invalid", "message": "m", "details": {"causes": causes}});
        let error = Error::Server(Box::new(invalid));
        assert_eq!(reasons("pods \"p\"", &error), "pods \"p\" was not valid:\n* a: b\n* c: d");
        assert_eq!(reasons("pods \"p\"", &Error::said("x")), "pods \"p\" was not valid:\n* x");
        assert_eq!(shown("json", "{}", "x"), "{}");
    }
}
