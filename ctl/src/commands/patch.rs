//! `gantry patch`.

use clap::{Args, ValueEnum};
use http::Method;
use serde_json::Value;

use crate::dry_run::DryRun;
use crate::manifest::{self, Files, Origin, parse};
use crate::output::{Format, Printing};
use crate::report::Failures;
use crate::resources::Resource;
use crate::select::select_named;
use crate::session::Ask;
use crate::{Error, Session};

/// Who is said to own the fields that a patch writes, unless it is said.
const MANAGER: &str = "kubectl-patch";

/// The arguments.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// What: TYPE NAME or TYPE/NAME...
    #[arg(value_name = "WHAT")]
    what: Vec<String>,
    #[command(flatten)]
    files: Files,
    /// The patch, in JSON or YAML.
    #[arg(short, long, value_name = "PATCH", conflicts_with = "patch_file")]
    patch: Option<String>,
    /// A file with the patch.
    #[arg(long, value_name = "FILE")]
    patch_file: Option<std::path::PathBuf>,
    /// What kind of patch it is.
    #[arg(long = "type", value_name = "TYPE", default_value = "strategic")]
    kind: Kind,
    /// Of which subresource: status, scale, resize and others.
    #[arg(long, value_name = "NAME")]
    subresource: Option<String>,
    /// Do not change it: show what it would be, or have the server check it (server).
    #[arg(long, value_name = "HOW", default_value = "none", num_args = 0..=1, require_equals = true, default_missing_value = "client")]
    dry_run: DryRun,
    /// Who is to own the fields.
    #[arg(long, value_name = "NAME", default_value = MANAGER)]
    field_manager: String,
    #[command(flatten)]
    output: Printing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    Strategic,
    Merge,
    Json,
}

impl Kind {
    const fn content_type(self) -> &'static str {
        match self {
            Kind::Strategic => "application/strategic-merge-patch+json",
            Kind::Merge => "application/merge-patch+json",
            Kind::Json => "application/json-patch+json",
        }
    }

    const fn in_text(self) -> manifest::Patch {
        match self {
            Kind::Strategic => manifest::Patch::Strategic,
            Kind::Merge => manifest::Patch::Merge,
            Kind::Json => manifest::Patch::Json,
        }
    }
}

/// A patch, and the text that it is of.
struct Patch {
    /// As JSON.
    body: Vec<u8>,
    origin: Origin,
    /// Where it is no JSON, and why.
    mistake: Option<String>,
}

impl Patch {
    /// Shows where in the text is what the server says is wrong.
    fn show(&self, session: &mut Session<'_>, error: &Error, kind: Kind) -> Result<(), Error> {
        let places = match &self.mistake {
            Some(mistake) if matches!(error, Error::Server(_)) && error.reason() == Some("BadRequest") => {
                vec![mistake.clone()]
            }
            _ => manifest::places(error, |field| self.origin.show_in_patch(field, kind.in_text())),
        };
        places.iter().try_for_each(|place| session.remark(place))
    }
}

/// Changes objects, one after the other.
pub(crate) async fn run(arguments: Arguments, session: &mut Session<'_>) -> Result<(), Error> {
    let format = arguments.output.of_objects()?;
    let patch = arguments.read()?;
    let mut failures = Failures::default();
    for target in arguments.targets(session).await? {
        let patched = arguments.patch(target, &patch, format.as_ref(), session).await;
        failures.note(patched)?;
    }
    failures.finish(session)
}

impl Arguments {
    /// Changes an object, and says so.
    async fn patch(
        &self,
        (resource, namespace, name): (Resource, String, String),
        patch: &Patch,
        format: Option<&Format>,
        session: &mut Session<'_>,
    ) -> Result<(), Error> {
        let subresource = self.subresource.as_ref().map(|name| format!("/{name}")).unwrap_or_default();
        let object_path = resource.object_path(&namespace, &name);
        let path = format!("{object_path}{subresource}");
        let before = session.json(Ask::get(&path)).await?;
        let content_type = Some(self.kind.content_type());
        let ask = Ask { method: Method::PATCH, content_type, body: patch.body.clone(), ..Ask::get(&path) };
        let ask = ask.query("fieldManager", self.field_manager.as_str());
        // Only the server knows what a patch makes of an object: it is asked without doing it in either case.
        let dry_run = if self.dry_run == DryRun::None { "" } else { "All" };
        let after = match session.json(ask.query("dryRun", dry_run)).await {
            Ok(after) => after,
            Err(error) => {
                patch.show(session, &error, self.kind)?;
                return Err(error);
            }
        };
        let named = |object: &Value| resource.object(object["metadata"]["name"].as_str().unwrap_or(&name));
        match format {
            Some(format) => format.write(session, &after, &named)?,
            None => {
                let is_same = before["metadata"]["resourceVersion"] == after["metadata"]["resourceVersion"];
                let is_same = is_same && self.dry_run == DryRun::None;
                // kubectl does not say here that it was a dry run.
                let remark = if is_same { " (no change)" } else { "" };
                session.say(&format!("{} patched{remark}", of_what(&resource, &after).object(&name)))?;
            }
        }
        Ok(())
    }

    /// The patch. What is to be JSON is the server's to judge.
    fn read(&self) -> Result<Patch, Error> {
        let (source, text) = match (&self.patch, &self.patch_file) {
            (Some(text), _) => ("--patch".to_owned(), text.clone()),
            (None, Some(path)) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|error| Error::said(format!("unable to read patch file: {}: {error}", path.display())))?;
                (path.display().to_string(), text)
            }
            (None, None) => Default::default(),
        };
        if text.trim().is_empty() {
            return Err(Error::said("must specify --patch or --patch-file containing the contents of the patch"));
        }
        let origin = Origin::whole(&source, &text);
        if text.trim_start().starts_with('{') && !is_flow(&text) {
            let mistake = manifest::mistake_of_json(&source, &text);
            return Ok(Patch { body: text.into_bytes(), origin, mistake });
        }
        let value = if self.kind == Kind::Json {
            manifest::value(&source, &text)?
        } else {
            let mut documents = parse(&source, &text)?;
            if documents.len() != 1 {
                return Err(Error::said("a patch is one object with the fields that change"));
            }
            documents.remove(0).object
        };
        Ok(Patch { body: value.to_string().into_bytes(), origin, mistake: None })
    }

    /// What it is done to: the resource, the namespace and the name of each.
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
        let selected = select_named(session, &self.what).await?;
        let each = selected.into_iter().flat_map(|selected| {
            let namespace = namespace.clone();
            selected.names.into_iter().map(move |name| (selected.resource.clone(), namespace.clone(), name))
        });
        Ok(each.collect())
    }
}

/// Whether a text that begins with a brace is YAML, and no JSON.
fn is_flow(text: &str) -> bool {
    serde_json::from_str::<Value>(text).is_err() && parse("--patch", text).is_ok()
}

/// What an object is of: a subresource may be another kind than what it is of.
fn of_what(resource: &Resource, object: &Value) -> Resource {
    let text = |field: &str| object[field].as_str().unwrap_or_default().to_owned();
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    if kind.is_empty() || kind == resource.kind {
        return resource.clone();
    }
    let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
    Resource { group: group.to_owned(), version: version.to_owned(), kind, ..resource.clone() }
}
