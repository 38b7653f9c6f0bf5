//! `gantry diff`: what `gantry apply` would change, as the server would have it.
//!
//! The exit code says it, too: 0 if nothing, 1 if something, more if that cannot be known.

use std::path::Path;

use api::patch::merge;
use api::schema::Schema;
use clap::Args;
use http::Method;
use serde_json::{Map, Value, json};
use similar::TextDiff;

use crate::last_applied::{self, ANNOTATION, fields};
use crate::manifest::{Files, Placed};
use crate::output::Format;
use crate::session::Ask;
use crate::{Error, Session, three_way};

/// Who is said to own the fields, unless it is said.
const CLIENT_SIDE: &str = "kubectl-client-side-apply";
const SERVER_SIDE: &str = "kubectl";
/// The program that shows differences, if there is one.
const PROGRAM: &str = "KUBECTL_EXTERNAL_DIFF";
/// The exit codes: something differs, and nobody knows.
const DIFFERENT: u8 = 1;
const TROUBLE: u8 = 2;

/// The arguments.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    files: Files,
    /// Only objects of the files with these labels.
    #[arg(short = 'l', long, value_name = "SELECTOR", default_value = "")]
    selector: String,
    /// What would be if the server applied it.
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", action = clap::ArgAction::Set)]
    server_side: bool,
    /// With --server-side: take fields from whoever else owns them.
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", action = clap::ArgAction::Set)]
    force_conflicts: bool,
    /// Who is to own the fields [default: kubectl-client-side-apply, or kubectl with --server-side].
    #[arg(long, value_name = "NAME")]
    field_manager: Option<String>,
    /// With who owns which field.
    #[arg(long)]
    show_managed_fields: bool,
}

/// An object before and after.
struct Version {
    file: String,
    before: Value,
    after: Value,
}

/// Shows what would change.
pub(crate) async fn run(arguments: Arguments, session: &mut Session<'_>) -> Result<(), Error> {
    match arguments.differ(session).await {
        Ok(false) => Ok(()),
        Ok(true) => Err(Error::Exit(DIFFERENT)),
        // The exit code 1 means something else here.
        Err(error @ (Error::Server(_) | Error::Said(_) | Error::Unreachable(_))) => {
            session.remark(&error.to_string())?;
            Err(Error::Exit(TROUBLE))
        }
        Err(error) => Err(error),
    }
}

impl Arguments {
    /// Shows the differences, and says whether there are any.
    async fn differ(&self, session: &mut Session<'_>) -> Result<bool, Error> {
        if self.files.is_empty() {
            return Err(Error::said("must specify one of -f and -k"));
        }
        if self.force_conflicts && !self.server_side {
            return Err(Error::said("--force-conflicts only works with --server-side"));
        }
        let mut versions = Vec::new();
        for placed in self.files.place_selected(session, &self.selector).await? {
            versions.push(self.versions(session, &placed).await?);
        }
        versions.sort_by(|left, right| left.file.cmp(&right.file));
        for version in &mut versions {
            if version.before["kind"] == "Secret" || version.after["kind"] == "Secret" {
                mask(&mut version.before, &mut version.after);
            }
        }
        match std::env::var(PROGRAM).ok().filter(|program| !program.trim().is_empty()) {
            Some(program) => shown_by(session, &program, &versions),
            None => {
                let mut differs = false;
                for version in &versions {
                    let shown = unified(&version.file, &yaml(&version.before)?, &yaml(&version.after)?);
                    differs |= !shown.is_empty();
                    session.write(&shown)?;
                }
                Ok(differs)
            }
        }
    }

    /// An object as it is, and as it would be.
    async fn versions(&self, session: &mut Session<'_>, placed: &Placed) -> Result<Version, Error> {
        let path = placed.resource.object_path(&placed.namespace, placed.name());
        let before = match session.json(Ask::get(&path)).await {
            Err(error) if error.reason() == Some("NotFound") => Value::Null,
            before => before?,
        };
        let after = if self.server_side {
            let ask = Ask::with(Method::PATCH, &path, &placed.object);
            let ask = Ask { content_type: Some("application/apply-patch+yaml"), ..ask };
            let force = if self.force_conflicts { "true" } else { "false" };
            let ask = ask.query("fieldManager", self.manager()).query("force", force);
            session.json(ask.query("dryRun", "All")).await?
        } else {
            self.applied(session, placed, &before).await?
        };
        let resource = &placed.resource;
        let group = if resource.group.is_empty() { String::new() } else { format!("{}.", resource.group) };
        let file = format!("{group}{}.{}.{}.{}", resource.version, resource.kind, placed.namespace, placed.name());
        let shown = |mut object: Value| {
            if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut)
                && !self.show_managed_fields
            {
                metadata.remove("managedFields");
            }
            object
        };
        Ok(Version { file: file.replace(['/', ':'], "-"), before: shown(before), after: shown(after) })
    }

    fn manager(&self) -> &str {
        let default = if self.server_side { SERVER_SIDE } else { CLIENT_SIDE };
        self.field_manager.as_deref().unwrap_or(default)
    }

    /// What the client's patch would make of it. What the object remembers of having been applied is no difference.
    async fn applied(&self, session: &mut Session<'_>, placed: &Placed, before: &Value) -> Result<Value, Error> {
        let mut wanted = placed.object.clone();
        // So that it has annotations, if none: what was applied had them.
        last_applied::annotate(&mut wanted);
        if let Some(annotations) = wanted.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
            annotations.remove(ANNOTATION);
        }
        if before.is_null() {
            last_applied::without_nulls(&mut wanted);
            let path = placed.resource.path(Some(&placed.namespace));
            let ask = Ask::with(Method::POST, &path, &wanted).query("fieldManager", self.manager());
            return session.json(ask.query("dryRun", "All")).await;
        }
        let remembered: Map<String, Value> = match last_applied::of(before) {
            Some(text) => serde_json::from_str(text)
                .map_err(|error| Error::said(format!("the annotation {ANNOTATION} is no JSON: {error}")))?,
            None => Map::new(),
        };
        let of = Schema::of(&placed.resource.group, &placed.resource.version, &placed.resource.kind);
        let patch = three_way::patch(&remembered, &fields(&wanted), &fields(before), of)
            .map_err(|error| Error::said(error.to_string()))?;
        if patch.fields.is_empty() {
            return merge::apply(before, json!({})).map_err(|error| Error::said(error.to_string()));
        }
        let path = placed.resource.object_path(&placed.namespace, placed.name());
        let content = Value::Object(patch.fields);
        let ask = Ask { content_type: Some(patch.content_type), ..Ask::with(Method::PATCH, &path, &content) };
        session.json(ask.query("fieldManager", self.manager()).query("dryRun", "All")).await
    }
}

/// An object as a file has it; one that is not there is an empty file.
fn yaml(object: &Value) -> Result<String, Error> {
    if object.is_null() { Ok(String::new()) } else { Format::Yaml.show(object, &|_| String::new()) }
}

/// The difference of two texts as `diff -u -N` shows it; nothing if there is none.
fn unified(file: &str, before: &str, after: &str) -> String {
    const CONTEXT: usize = 3;
    if before == after {
        return String::new();
    }
    let (live, merged) = (format!("LIVE/{file}"), format!("MERGED/{file}"));
    let diff = TextDiff::from_lines(before, after);
    let shown = diff.unified_diff().context_radius(CONTEXT).header(&live, &merged).to_string();
    format!("diff -u -N {live} {merged}\n{shown}")
}

/// Hides what is in secrets, but not where it differs.
fn mask(before: &mut Value, after: &mut Value) {
    const HIDDEN: &str = "***";
    let entries = |object: &Value| object["data"].as_object().cloned().unwrap_or_default();
    let (old, new) = (entries(before), entries(after));
    let hide = |object: &mut Value, other: &Map<String, Value>, hint: &str| {
        for (key, value) in object.get_mut("data").and_then(Value::as_object_mut).into_iter().flatten() {
            let differs = other.get(key).is_some_and(|other| other != value);
            *value = if differs { json!(format!("{HIDDEN} ({hint})")) } else { json!(HIDDEN) };
        }
    };
    hide(before, &new, "before");
    hide(after, &old, "after");
    // What was applied has the texts, too.
    for object in [before, after] {
        if last_applied::of(object).is_some() {
            object["metadata"]["annotations"][ANNOTATION] = json!(HIDDEN);
        }
    }
}

/// Has a program compare two directories, and says whether it saw a difference.
fn shown_by(session: &mut Session<'_>, program: &str, versions: &[Version]) -> Result<bool, Error> {
    let directories =
        [tempfile::Builder::new().prefix("LIVE-").tempdir()?, tempfile::Builder::new().prefix("MERGED-").tempdir()?];
    for version in versions {
        write(directories[0].path(), &version.file, &version.before)?;
        write(directories[1].path(), &version.file, &version.after)?;
    }
    let mut words = program.split_whitespace();
    let name = words.next().unwrap_or_default();
    // What a shell would take for something else is left out, as kubectl does it.
    let is_plain = |word: &&str| word.chars().all(|it| it.is_ascii_alphanumeric() || matches!(it, '-' | '='));
    let mut command = std::process::Command::new(name);
    command.args(words.filter(is_plain)).args(directories.iter().map(tempfile::TempDir::path));
    let output = command.output().map_err(|error| {
        let why = match error.kind() {
            std::io::ErrorKind::NotFound => "executable file not found in $PATH".to_owned(),
            _ => error.to_string(),
        };
        Error::said(format!("failed to run {name:?}: {why}"))
    })?;
    session.write(&String::from_utf8_lossy(&output.stdout))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !said.is_empty() {
        session.remark(said.trim_end())?;
    }
    match output.status.code() {
        Some(0) => Ok(false),
        Some(1) => Ok(true),
        _ => Err(Error::said(format!("failed to run {name:?}: {}", output.status))),
    }
}

/// Writes an object that is there into a file.
fn write(directory: &Path, file: &str, object: &Value) -> Result<(), Error> {
    if object.is_null() { Ok(()) } else { Ok(std::fs::write(directory.join(file), yaml(object)?)?) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_shown_as_diff_does() {
        let expected = "diff -u -N LIVE/f MERGED/f\n--- LIVE/f\n+++ MERGED/f\n@@ -1,2 +1,2 @@\n a: b\n-c: d\n+c: e\n";
        assert_eq!(unified("f", "a: b\nc: d\n", "a: b\nc: e\n"), expected);
        let expected = "diff -u -N LIVE/f MERGED/f\n--- LIVE/f\n+++ MERGED/f\n@@ -0,0 +1 @@\n+a: b\n";
        assert_eq!(unified("f", "", "a: b\n"), expected);
        assert_eq!(unified("f", "a\n", "a\n"), "");
    }

    #[test]
    fn secrets_stay_secret() {
        let secret = |data: Value| json!({"kind": "Secret", "metadata": {"annotations": {ANNOTATION: "{\"stringData\":{}}"}}, "data": data});
        let (mut before, mut after) =
            (secret(json!({"a": "1", "b": "2", "c": "3"})), secret(json!({"a": "1", "b": "3", "d": "4"})));
        mask(&mut before, &mut after);
        assert_eq!(before["data"], json!({"a": "***", "b": "*** (before)", "c": "***"}));
        assert_eq!(after["data"], json!({"a": "***", "b": "*** (after)", "d": "***"}));
        assert_eq!(last_applied::of(&after), Some("***"));
    }
}
