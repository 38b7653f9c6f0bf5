//! What kubeconfigs say.

use clap::Args;
use serde_json::{Value, json};

use super::file::{CLUSTERS, CONTEXTS, Files, List, USERS, redact};
use crate::output::table::Printer;
use crate::output::{Format, Printing};
use crate::{Connection, Error, Session};

/// The arguments of `get-contexts`.
#[derive(Clone, Debug, Args)]
pub struct Contexts {
    /// Only these.
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Without the header.
    #[arg(long)]
    no_headers: bool,
    /// How they are shown: `name`, or a table.
    #[arg(short, long, value_name = "FORMAT", default_value = "")]
    output: String,
}

/// The arguments of `view`.
#[derive(Clone, Debug, Args)]
pub struct View {
    /// With what is secret.
    #[arg(long)]
    raw: bool,
    /// Only what belongs to the context that is used.
    #[arg(long)]
    minify: bool,
    #[command(flatten)]
    output: Printing,
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// The names of a list.
pub(super) fn names(files: &Files, list: List, session: &mut Session<'_>) -> Result<(), Error> {
    session.say("NAME")?;
    for entry in files.merged()[list.field].as_array().into_iter().flatten() {
        session.say(&text(&entry["name"]))?;
    }
    Ok(())
}

/// The contexts, with the one that is used marked.
pub(super) fn contexts(files: &Files, arguments: &Contexts, session: &mut Session<'_>) -> Result<(), Error> {
    let is_by_name = match arguments.output.as_str() {
        "" => false,
        "name" => true,
        other => return Err(Error::said(format!("output must be one of '' or 'name': {other}"))),
    };
    let current = files.current().unwrap_or_default();
    let merged = files.merged();
    let all: Vec<&Value> = merged["contexts"].as_array().into_iter().flatten().collect();
    let wanted = |entry: &&&Value| arguments.names.is_empty() || arguments.names.contains(&text(&entry["name"]));
    let mut lines: Vec<Vec<String>> = Vec::new();
    if !arguments.no_headers && !is_by_name {
        lines.push(["CURRENT", "NAME", "CLUSTER", "AUTHINFO", "NAMESPACE"].map(str::to_owned).to_vec());
    }
    for entry in all.iter().filter(wanted) {
        let name = text(&entry["name"]);
        if is_by_name {
            lines.push(vec![name]);
            continue;
        }
        let mark = if name == current { "*" } else { "" };
        let field = |field: &str| text(&entry["context"][field]);
        lines.push(vec![mark.to_owned(), name, field("cluster"), field("user"), field("namespace")]);
    }
    session.write(&Printer::plain(&lines))?;
    match arguments.names.iter().find(|name| !all.iter().any(|entry| entry["name"] == name.as_str())) {
        Some(missing) => Err(Error::said(format!("context {missing} not found"))),
        None => Ok(()),
    }
}

/// All of it.
pub(super) fn view(
    files: &Files,
    arguments: &View,
    connection: &Connection,
    session: &mut Session<'_>,
) -> Result<(), Error> {
    let format = arguments.output.of_objects()?.unwrap_or(Format::Yaml);
    let mut merged = files.merged();
    if arguments.minify {
        let name = connection.context.clone().or_else(|| files.current()).ok_or_else(super::no_context)?;
        minify(&mut merged, &name).map_err(Error::said)?;
    }
    if !arguments.raw {
        redact(&mut merged);
    }
    format.write(session, &merged, &|_| String::new())
}

/// Leaves nothing but a context, its cluster and its user.
fn minify(config: &mut Value, name: &str) -> Result<(), String> {
    let contexts = config["contexts"].as_array().into_iter().flatten();
    let context = contexts.into_iter().find(|entry| entry["name"] == name).cloned();
    let context = context.ok_or_else(|| format!("cannot locate context {name}"))?;
    config["current-context"] = json!(name);
    let inner = &context["context"];
    for (list, name) in [(CONTEXTS, &context["name"]), (CLUSTERS, &inner["cluster"]), (USERS, &inner["user"])] {
        if let Some(entries) = config[list.field].as_array_mut() {
            entries.retain(|entry| entry["name"] == *name);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_belongs_to_a_context_stays() {
        let entry = |name: &str| json!({"name": name});
        let mut config = json!({
            "contexts": [{"name": "a", "context": {"cluster": "c", "user": "u"}}, entry("b")],
            "clusters": [entry("c"), entry("d")],
            "users": [entry("u"), entry("v")],
        });
        assert_eq!(minify(&mut config, "x").unwrap_err(), "cannot locate context x");
        minify(&mut config, "a").unwrap();
        assert_eq!((&config["clusters"], &config["users"]), (&json!([entry("c")]), &json!([entry("u")])));
        assert_eq!(config["contexts"].as_array().unwrap().len(), 1);
    }
}
