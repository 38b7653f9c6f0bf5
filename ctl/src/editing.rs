//! Objects as files of an editor: what is there already, what is to be created, and what objects remember of having been applied.
//!
//! What the server does not take is shown again, with the reason in comments, until it does or nothing is changed any more.
//! What was written is never lost: where it ends otherwise, it stays in a file.

use std::path::Path;

use api::schema::Schema;
use http::Method;
use serde_json::{Value, json};

use crate::last_applied::{self, ANNOTATION, fields};
use crate::manifest::{parse, place};
use crate::output::Format;
use crate::report::{Report, Validation};
use crate::resources::Resource;
use crate::session::Ask;
use crate::{Error, Session, three_way};

/// Where the name of the editor is, first things first, and the one that is there everywhere.
const EDITORS: [&str; 2] = ["KUBE_EDITOR", "EDITOR"];
const EDITOR: &str = "vi";

const HEADER: &str = "\
# Please edit the object below. Lines beginning with a '#' will be ignored,
# and an empty file will abort the edit. If an error occurs while saving this file will be
# reopened with the relevant failures.
#
";
const HEADER_OF_APPLIED: &str = "\
# Please edit the 'last-applied-configuration' annotations below.
# Lines beginning with a '#' will be ignored, and an empty file will abort the edit.
#
";

/// What is done with an object that was edited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aim {
    /// It is changed.
    Change,
    /// It is created.
    Create,
    /// It remembers that this was applied.
    Remember,
}

impl Aim {
    const fn header(self) -> &'static str {
        match self {
            Aim::Change | Aim::Create => HEADER,
            Aim::Remember => HEADER_OF_APPLIED,
        }
    }

    const fn done(self) -> &'static str {
        match self {
            Aim::Change | Aim::Remember => "edited",
            Aim::Create => "created",
        }
    }
}

/// What the file looks like.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Form {
    format: Format,
    extension: &'static str,
}

impl Form {
    pub(crate) const YAML: Form = Form { format: Format::Yaml, extension: "yaml" };

    /// By `-o`; without it is YAML.
    pub(crate) fn of(output: &str) -> Result<Form, Error> {
        match output {
            "" | "yaml" => Ok(Form::YAML),
            "json" => Ok(Form { format: Format::Json, extension: "json" }),
            "kyaml" => Ok(Form { format: Format::Kyaml, extension: "yaml" }),
            other => Err(Error::Plain(format!(
                "unable to match a printer suitable for the output format {other:?}, allowed formats are: json,kyaml,yaml"
            ))),
        }
    }
}

/// An object that is edited.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Edited {
    pub(crate) resource: Resource,
    /// Where it is, if it is there.
    pub(crate) path: String,
    pub(crate) object: Value,
}

/// How objects are edited.
#[derive(Clone, Debug)]
pub(crate) struct Editing<'a> {
    pub(crate) aim: Aim,
    pub(crate) form: Form,
    /// Whether objects are to remember what they are.
    pub(crate) save_config: bool,
    pub(crate) validate: &'a Validation,
    pub(crate) field_manager: &'a str,
}

impl Editing<'_> {
    /// Has an object edited until the server takes it, or nothing is changed.
    pub(crate) async fn edit(
        &self,
        session: &mut Session<'_>,
        edited: &Edited,
        report: &mut Report,
    ) -> Result<(), Error> {
        let original = self.form.format.show(&edited.object, &|_| String::new())?;
        let (mut text, mut why) = (original, String::new());
        loop {
            let (file, saved) = open_editor(self.form.extension, &self.shown(&text, &why))?;
            let body = without_comments(&saved);
            let unchanged = body.trim() == without_comments(&text).trim();
            if body.trim().is_empty() {
                return session.remark("Edit cancelled, saved file was empty.");
            }
            if unchanged && why.is_empty() {
                return session.remark("Edit cancelled, no changes made.");
            }
            // Who leaves it as it was refused has given up.
            if unchanged {
                self.keep(session, &file, &saved)?;
                return Err(Error::said("Edit cancelled, no valid changes were saved."));
            }
            text = body;
            let changed = match self.read(session, edited, &text).await {
                Ok(changed) => changed,
                Err(error) => {
                    why = error.among_others();
                    session.remark(&format!("error: {why}"))?;
                    continue;
                }
            };
            if changed.object == edited.object {
                return session.remark("Edit cancelled, no changes made.");
            }
            match self.send(session, edited, &changed).await {
                Ok(after) => return report.done(session, &changed.resource, &after, self.aim.done()),
                Err(error @ Error::Server(_)) if self.ends(&error) => {
                    self.keep(session, &file, &saved)?;
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

    /// Whether nothing that is edited could help against what the server says.
    fn ends(&self, error: &Error) -> bool {
        self.aim != Aim::Change || matches!(error.reason(), Some("NotFound" | "Conflict"))
    }

    /// What a text says that was edited. What is there already must be the same object still.
    async fn read(&self, session: &mut Session<'_>, edited: &Edited, text: &str) -> Result<Edited, Error> {
        let mut documents = parse("the edited file", text)?;
        if documents.len() != 1 {
            return Err(Error::said(format!(
                "the edited file has {} objects, and one was to be edited",
                documents.len()
            )));
        }
        let document = documents.remove(0);
        if self.aim == Aim::Create {
            let placed = place(session, document).await?;
            let path = placed.resource.path(Some(&placed.namespace));
            return Ok(Edited { resource: placed.resource, path, object: placed.object });
        }
        let object = document.object;
        for field in ["/apiVersion", "/kind", "/metadata/name", "/metadata/namespace"] {
            if object.pointer(field) != edited.object.pointer(field) {
                let field = field.trim_start_matches('/').replace('/', ".");
                return Err(Error::said(format!("At least one of apiVersion, kind and name was changed: {field}")));
            }
        }
        Ok(Edited { object, ..edited.clone() })
    }

    /// Has the server make the object what it is to be. Gives what is shown of it.
    async fn send(&self, session: &mut Session<'_>, edited: &Edited, changed: &Edited) -> Result<Value, Error> {
        let mut object = changed.object.clone();
        if self.save_config {
            last_applied::annotate(&mut object);
        }
        let path = &changed.path;
        let patch = |content_type, content: &Value| Ask {
            content_type: Some(content_type),
            ..Ask::with(Method::PATCH, path, content)
        };
        let ask = match self.aim {
            Aim::Create => Ask::with(Method::POST, path, &object),
            Aim::Change => {
                let resource = &edited.resource;
                let of = Schema::of(&resource.group, &resource.version, &resource.kind);
                let before = fields(&edited.object);
                let change = three_way::patch(&before, &fields(&object), &before, of)
                    .map_err(|error| Error::said(error.to_string()))?;
                patch(change.content_type, &Value::Object(change.fields))
            }
            Aim::Remember => {
                let text = last_applied::go_json(&object);
                patch("application/merge-patch+json", &json!({"metadata": {"annotations": {ANNOTATION: text}}}))
            }
        };
        let ask = ask.query("fieldManager", self.field_manager);
        let after = session.json(ask.query("fieldValidation", self.validate.parameter())).await?;
        Ok(if self.aim == Aim::Remember { object } else { after })
    }

    /// What the editor is given: JSON has no comments.
    fn shown(&self, text: &str, why: &str) -> String {
        if self.form.format == Format::Json { text.to_owned() } else { with_comments(self.aim.header(), text, why) }
    }

    /// Keeps what was written beside the file of the editor, which goes.
    fn keep(&self, session: &mut Session<'_>, file: &tempfile::NamedTempFile, text: &str) -> Result<(), Error> {
        let path = file.path().with_extension(format!("kept.{}", self.form.extension));
        let mut options = std::fs::OpenOptions::new();
        std::os::unix::fs::OpenOptionsExt::mode(options.write(true).create_new(true), 0o600);
        std::io::Write::write_all(&mut options.open(&path)?, text.as_bytes())?;
        session.remark(&format!("A copy of your changes has been stored to {:?}", path.display().to_string()))
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

/// A text for the editor: what to do, why it was refused, and the object.
fn with_comments(header: &str, text: &str, why: &str) -> String {
    let why: String = why.lines().map(|line| format!("# {line}\n")).collect();
    let end = if why.is_empty() { "" } else { "#\n" };
    format!("{header}{why}{end}{text}")
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn comments_come_and_go() {
        let text = "a: b\n# mine\nc: d\n";
        assert_eq!(without_comments(&with_comments(HEADER, text, "")), text);
        let refused = with_comments(HEADER_OF_APPLIED, text, "one\ntwo");
        assert!(refused.contains("# one\n# two\n#\na: b\n"), "{refused}");
        assert_eq!(without_comments(&refused), text);
        assert_eq!(without_comments(HEADER), "");
        assert_eq!(without_comments(HEADER_OF_APPLIED), "");
    }

    #[test]
    fn reasons_are_told_line_by_line() {
        let causes = json!([{"field": "a", "message": "b"}, {"field": "c", "message": "d"}]);
        let invalid = json!({"reason": "Invalid", "message": "m", "details": {"causes": causes}});
        let error = Error::Server(Box::new(invalid));
        assert_eq!(reasons("pods \"p\"", &error), "pods \"p\" was not valid:\n* a: b\n* c: d");
        assert_eq!(reasons("pods \"p\"", &Error::said("x")), "pods \"p\" was not valid:\n* x");
    }

    #[test]
    fn files_have_a_form() {
        let shown = |output: &str, why: &str| {
            let validate: Validation = "strict".parse().unwrap();
            let form = Form::of(output).unwrap();
            let (aim, validate, field_manager) = (Aim::Create, &validate, "me");
            Editing { aim, form, save_config: false, validate, field_manager }.shown("{}", why)
        };
        assert_eq!(shown("json", "x"), "{}");
        assert_eq!(shown("", "x"), format!("{HEADER}# x\n#\n{{}}"));
        assert_eq!(shown("kyaml", ""), format!("{HEADER}{{}}"));
        assert!(Form::of("name").unwrap_err().to_string().ends_with("allowed formats are: json,kyaml,yaml"));
    }
}
