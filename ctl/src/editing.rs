//! Objects as files of an editor: what is there already, what is to be created, and what objects remember of having been applied.
//!
//! What the server does not take is shown again, with the reason in comments, until it does or nothing is changed any more.
//! What was written is never lost: where it ends otherwise, it stays in a file.

use std::path::{Path, PathBuf};

use api::schema::Schema;
use http::Method;
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use crate::last_applied::{self, ANNOTATION, fields};
use crate::manifest::{Document, parse, place};
use crate::output::Format;
use crate::report::{Report, Validation};
use crate::resources::Resource;
use crate::session::Ask;
use crate::{Error, Session, three_way};

/// Where the name of the editor is, first things first, and the one that is there everywhere.
const EDITORS: [&str; 2] = ["KUBE_EDITOR", "EDITOR"];
const EDITOR: &str = "vi";

/// How the file is called in what stands in it.
const THIS_FILE: &str = "this file";

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

/// Why what was written was not taken.
#[derive(Debug)]
enum Stop {
    /// It could not be read.
    Unread(Error),
    /// It may be written otherwise.
    Refused(Error),
    /// Nothing that is written could help.
    Ends(Error),
}

/// What was written and not taken.
#[derive(Debug)]
struct Refusal {
    of: String,
    text: String,
    error: Stop,
    document: Option<Document>,
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
        let name = edited.object["metadata"]["name"].as_str().unwrap_or_default();
        let of = format!("{} {name:?}", edited.resource.qualified());
        let mut text = self.form.format.show(&edited.object, &|_| String::new())?;
        let mut refusal: Option<Refusal> = None;
        loop {
            let (file, saved) = open_editor(self.form.extension, &self.shown(&text, refusal.as_ref()))?;
            let body = without_comments(&saved);
            let unchanged = body.trim() == without_comments(&text).trim();
            if body.trim().is_empty() {
                return session.remark("Edit cancelled, saved file was empty.");
            }
            match refusal {
                None if unchanged => return session.remark("Edit cancelled, no changes made."),
                // Who leaves it as it was refused has given up.
                Some(_) if unchanged => {
                    self.keep(session, file)?;
                    return Err(Error::said("Edit cancelled, no valid changes were saved."));
                }
                _ => text = body,
            }
            let (error, document) = match one(&text) {
                Err(error) => (Stop::Unread(error), None),
                Ok(document) => match self.take(session, edited, &document).await {
                    Ok(None) => return session.remark("Edit cancelled, no changes made."),
                    Ok(Some((changed, after))) => {
                        return report.done(session, &changed.resource, &after, self.aim.done());
                    }
                    Err(error) => (error, Some(document)),
                },
            };
            if let Stop::Ends(error) = error {
                let path = self.keep(session, file)?;
                let above = saved.lines().count().saturating_sub(text.lines().count());
                let places = document.map(|document| document.places(&error, (above, &path.to_string_lossy())));
                places.into_iter().flatten().try_for_each(|place| session.remark(&place))?;
                return Err(error);
            }
            session.remark(&format!("error: {of} is invalid"))?;
            let new = Refusal { of: of.clone(), text: text.clone(), error, document };
            // There are no comments in JSON in which it could stand.
            if self.form.format == Format::Json {
                session.remark(&new.words(0))?;
            }
            refusal = Some(new);
        }
    }

    /// Has the server take what a text says; nothing if it says what is there already.
    async fn take(
        &self,
        session: &mut Session<'_>,
        edited: &Edited,
        document: &Document,
    ) -> Result<Option<(Edited, Value)>, Stop> {
        let changed = if self.aim == Aim::Create {
            let placed = place(session, document.clone()).await.map_err(Stop::Refused)?;
            let path = placed.resource.path(Some(&placed.namespace));
            Edited { resource: placed.resource, path, object: placed.object }
        } else {
            let object = document.object.clone();
            let is_other = |field: &&str| {
                object.pointer(field).unwrap_or(&Value::Null) != edited.object.pointer(field).unwrap_or(&Value::Null)
            };
            if ["/apiVersion", "/kind", "/metadata/name", "/metadata/namespace"].iter().any(is_other) {
                return Err(Stop::Ends(Error::said("At least one of apiVersion, kind and name was changed")));
            }
            Edited { object, ..edited.clone() }
        };
        if changed.object == edited.object {
            return Ok(None);
        }
        match self.send(session, edited, &changed).await {
            Ok(after) => Ok(Some((changed, after))),
            Err(error @ Error::Server(_)) if self.ends(&error) => Err(Stop::Ends(error)),
            Err(error @ (Error::Server(_) | Error::Said(_))) => Err(Stop::Refused(error)),
            Err(error) => Err(Stop::Ends(error)),
        }
    }

    /// Whether nothing that is edited could help against what the server says.
    fn ends(&self, error: &Error) -> bool {
        self.aim != Aim::Change || matches!(error.reason(), Some("NotFound" | "Conflict"))
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
    fn shown(&self, text: &str, refusal: Option<&Refusal>) -> String {
        if self.form.format == Format::Json { text.to_owned() } else { with_comments(self.aim.header(), text, refusal) }
    }

    /// Keeps what was written, and says where.
    fn keep(&self, session: &mut Session<'_>, file: NamedTempFile) -> Result<PathBuf, Error> {
        let (_, path) = file.keep().map_err(|error| error.error)?;
        session.remark(&format!("A copy of your changes has been stored to {:?}", path.display().to_string()))?;
        Ok(path)
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

impl Refusal {
    /// Why, in kubectl's words, and where in the file in which so many lines stand above the text.
    fn words(&self, above: usize) -> String {
        match &self.error {
            Stop::Refused(error) | Stop::Ends(error) => {
                let places = self.document.as_ref().map(|document| document.places(error, (above, THIS_FILE)));
                let places = places.into_iter().flatten().map(|place| format!("\n{place}"));
                format!("{}{}", reasons(&self.of, error), places.collect::<String>())
            }
            Stop::Unread(error) => {
                // The same mistake with the numbers that lines have in the file.
                let here = one(&format!("{}{}", "\n".repeat(above), self.text)).err();
                let words = here.as_ref().unwrap_or(error).among_others();
                let words = words.trim_start_matches(&format!("error parsing {THIS_FILE}: "));
                let of = &self.of;
                format!("{of} was not valid:\n* <nil>: Invalid value: \"The edited file failed validation\": {words}")
            }
        }
    }
}

/// The object of a text.
fn one(text: &str) -> Result<Document, Error> {
    let mut documents = parse(THIS_FILE, text)?;
    match documents.len() {
        1 => Ok(documents.remove(0)),
        many => Err(Error::said(format!("there are {many} objects, and one was to be edited"))),
    }
}

/// A text for the editor: what to do, why it was refused, and the object.
fn with_comments(header: &str, text: &str, refusal: Option<&Refusal>) -> String {
    let Some(refusal) = refusal else { return format!("{header}{text}") };
    // Why it was refused has as many lines wherever the text is.
    let above = header.lines().count() + refusal.words(0).lines().count() + 1;
    let why: String = refusal.words(above).lines().map(|line| format!("# {line}\n")).collect();
    format!("{header}{why}#\n{text}")
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
fn open_editor(extension: &str, text: &str) -> Result<(NamedTempFile, String), Error> {
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

    fn refusal(text: &str, error: Stop) -> Refusal {
        Refusal { of: "pods \"p\"".to_owned(), text: text.to_owned(), error, document: one(text).ok() }
    }

    #[test]
    fn comments_come_and_go() {
        let text = "a: b\n# mine\nc: d\n";
        assert_eq!(without_comments(&with_comments(HEADER, text, None)), text);
        let refused = refusal(text, Stop::Refused(Error::said("one\ntwo")));
        let refused = with_comments(HEADER_OF_APPLIED, text, Some(&refused));
        assert!(refused.contains("# * one\n# two\n#\na: b\n"), "{refused}");
        assert_eq!(without_comments(&refused), text);
        assert_eq!(without_comments(HEADER), "");
        assert_eq!(without_comments(HEADER_OF_APPLIED), "");
    }

    #[test]
    fn what_is_wrong_is_shown_where_it_stands_in_the_file() {
        let check = |text: &str, error: Option<Error>, expected: &str| {
            let error = error.map_or_else(|| Stop::Unread(one(text).unwrap_err()), Stop::Refused);
            let shown = with_comments(HEADER, text, Some(&refusal(text, error)));
            assert_eq!(shown, format!("{HEADER}# pods \"p\" was not valid:\n{expected}#\n{text}"));
        };
        let causes = json!([{"field": "spec.b", "message": "Required value"}]);
        let invalid = json!({"reason": "Invalid", "message": "m", "details": {"causes": causes}});
        check(
            "spec:\n  a: 1\n  b: 2\n",
            Some(Error::Server(Box::new(invalid))),
            "# * spec.b: Required value\n# this file:13:6: spec.b\n#   13 |   b: 2\n#      |      ^\n",
        );
        let shown =
            |text: &str| with_comments(HEADER, text, Some(&refusal(text, Stop::Unread(one(text).unwrap_err()))));
        let shown = shown("spec:\n  a: [\n  b: 2\n");
        let words = "# * <nil>: Invalid value: \"The edited file failed validation\": line 11, column 6, in spec: ";
        assert!(shown.contains(words) && shown.contains("\n#   11 |   a: [\n#      |      ^\n#\nspec:\n"), "{shown}");
        assert_eq!(shown.lines().nth(10), Some("  a: ["));
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
        let shown = |output: &str, why: Option<&str>| {
            let refusal = why.map(|why| refusal("{}", Stop::Refused(Error::said(why))));
            let validate: Validation = "strict".parse().unwrap();
            let form = Form::of(output).unwrap();
            let (aim, validate, field_manager) = (Aim::Create, &validate, "me");
            Editing { aim, form, save_config: false, validate, field_manager }.shown("{}", refusal.as_ref())
        };
        assert_eq!(shown("json", Some("x")), "{}");
        assert_eq!(shown("", Some("x")), format!("{HEADER}# pods \"p\" was not valid:\n# * x\n#\n{{}}"));
        assert_eq!(shown("kyaml", None), format!("{HEADER}{{}}"));
        assert!(Form::of("name").unwrap_err().to_string().ends_with("allowed formats are: json,kyaml,yaml"));
    }
}
