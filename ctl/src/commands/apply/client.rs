//! Applying by the client: a patch of what the file changes, which the object itself remembers for the next time.

use api::patch::{merge, strategic};
use api::schema::Schema;
use http::Method;
use serde_json::{Map, Value};

use super::Arguments;
use crate::dry_run::DryRun;
use crate::last_applied::{self, ANNOTATION, annotate, fields};
use crate::manifest::Placed;
use crate::report::of_source;
use crate::session::Ask;
use crate::three_way::{self, Patch};
use crate::{Error, Session};

/// How often an object may change while the patch for it is on its way.
const MOST_CONFLICTS: usize = 5;

/// Applies an object. Gives what has become of it, and what to say.
pub(super) async fn apply(
    arguments: &Arguments,
    session: &mut Session<'_>,
    placed: &Placed,
) -> Result<(Value, &'static str), Error> {
    let mut wanted = placed.object.clone();
    annotate(&mut wanted);
    let path = placed.resource.object_path(&placed.namespace, placed.name());
    let current = match session.json(Ask::get(&path)).await {
        Ok(current) => current,
        Err(error) if error.reason() == Some("NotFound") => {
            let created = create(arguments, session, placed, &wanted).await;
            return created.map(|object| (object, "created"));
        }
        Err(error) => {
            let words = format!("retrieving current configuration of:\n{}\nfrom server for:", described(placed));
            return Err(of_source(error, &words, &placed.source));
        }
    };
    warn(session, placed, &current)?;
    change(arguments, session, placed, &wanted, current).await
}

/// Says what is not as it should be, and is no reason to stop.
fn warn(session: &mut Session<'_>, placed: &Placed, current: &Value) -> Result<(), Error> {
    let name = format!("{}/{}", placed.resource.plural, placed.name());
    if last_applied::of(current).is_none() {
        session.remark(&format!(
            "Warning: resource {name} is missing the {ANNOTATION} annotation which is required by gantry apply. gantry \
             apply should only be used on resources created declaratively by either gantry create --save-config or gantry \
             apply. The missing annotation will be patched automatically."
        ))?;
    }
    warn_if_deleting(session, current)
}

/// Says that an object will be gone whatever it becomes.
pub(super) fn warn_if_deleting(session: &mut Session<'_>, object: &Value) -> Result<(), Error> {
    let metadata = &object["metadata"];
    if metadata["deletionTimestamp"].is_string() {
        let name = metadata["name"].as_str().unwrap_or_default();
        session.remark(&format!("Warning: Detected changes to resource {name} which is currently being deleted."))?;
    }
    Ok(())
}

async fn create(
    arguments: &Arguments,
    session: &mut Session<'_>,
    placed: &Placed,
    wanted: &Value,
) -> Result<Value, Error> {
    let mut wanted = wanted.clone();
    // As a patch would have it, for which null is that there is nothing. What is remembered is what the file says.
    last_applied::without_nulls(&mut wanted);
    if arguments.dry_run == DryRun::Client {
        return Ok(wanted);
    }
    let path = placed.resource.path(Some(&placed.namespace));
    let ask = Ask::with(Method::POST, &path, &wanted).query("fieldManager", arguments.manager());
    let ask = ask.query("fieldValidation", arguments.validate.parameter());
    let created = session.json(ask.query("dryRun", arguments.dry_run.parameter())).await;
    created.map_err(|error| of_source(error, "creating", &placed.source))
}

/// Changes an object to what is wanted, again if it is another one meanwhile.
async fn change(
    arguments: &Arguments,
    session: &mut Session<'_>,
    placed: &Placed,
    wanted: &Value,
    mut current: Value,
) -> Result<(Value, &'static str), Error> {
    let path = placed.resource.object_path(&placed.namespace, placed.name());
    let of = Schema::of(&placed.resource.group, &placed.resource.version, &placed.resource.kind);
    let mut conflicts = 0;
    loop {
        let before: Map<String, Value> = match last_applied::of(&current) {
            Some(text) => serde_json::from_str(text).map_err(|error| {
                let said = format!("the annotation {ANNOTATION} is not the JSON of an object: {error}");
                of_source(Error::said(said), "applying", &placed.source)
            })?,
            None => Map::new(),
        };
        let patch = three_way::patch(&before, &fields(wanted), &fields(&current), of)
            .map_err(|error| of_source(Error::said(error.to_string()), "applying", &placed.source))?;
        if patch.fields.is_empty() {
            return Ok((current, "unchanged"));
        }
        let patch_fields = Value::Object(patch.fields.clone());
        if arguments.dry_run == DryRun::Client {
            return Ok((patched(&current, patch, of), "configured"));
        }
        let ask = Ask { content_type: Some(patch.content_type), ..Ask::with(Method::PATCH, &path, &patch_fields) };
        let ask = ask.query("fieldManager", arguments.manager());
        let ask = ask.query("fieldValidation", arguments.validate.parameter());
        match session.json(ask.query("dryRun", arguments.dry_run.parameter())).await {
            Ok(after) => return Ok((after, "configured")),
            Err(error) if error.reason() == Some("Conflict") && conflicts < MOST_CONFLICTS => {
                conflicts += 1;
                current = session.json(Ask::get(&path)).await?;
            }
            Err(error) if arguments.force && matches!(error.reason(), Some("Conflict" | "Invalid")) => {
                return anew(arguments, session, placed, wanted).await.map(|object| (object, "configured"));
            }
            Err(error) => {
                let patch = last_applied::go_json(&patch_fields);
                let words = format!("applying patch:\n{}\nto:\n{}\nfor:", patch.trim_end(), described(placed));
                return Err(of_source(error, &words, &placed.source));
            }
        }
    }
}

/// What the server would make of it, as far as that can be known here.
fn patched(current: &Value, patch: Patch, of: Option<&'static api::schema::Type>) -> Value {
    let fields = fields(current);
    let patched = match of {
        Some(of) => strategic::apply(&fields, patch.fields, of).ok().map(Value::Object),
        None => merge::apply(current, Value::Object(patch.fields)).ok(),
    };
    patched.unwrap_or_else(|| current.clone())
}

/// Deletes an object, and creates it once it is gone.
async fn anew(
    arguments: &Arguments,
    session: &mut Session<'_>,
    placed: &Placed,
    wanted: &Value,
) -> Result<Value, Error> {
    let timeout = crate::session::duration("--timeout", &arguments.timeout)?;
    crate::commands::replace::remove(session, placed, arguments.deletion(), timeout).await?;
    create(arguments, session, placed, wanted).await
}

/// An object, as errors name it.
fn described(placed: &Placed) -> String {
    let resource = &placed.resource;
    format!(
        "Resource: \"{}, Resource={}\", GroupVersionKind: \"{}, Kind={}\"\nName: {:?}, Namespace: {:?}",
        slashed(&resource.group, &resource.version),
        resource.plural,
        slashed(&resource.group, &resource.version),
        resource.kind,
        placed.name(),
        placed.namespace
    )
}

/// A group and a version, with the slash also where the group has no name.
fn slashed(group: &str, version: &str) -> String {
    format!("{group}/{version}")
}
