//! `gantry set env`.

use api::names::env_var_name;
use clap::Args;
use serde_json::{Value, json};

use super::{Which, containers, pod_spec, split};
use crate::session::Ask;
use crate::target::{Found, finish};
use crate::{Error, Session};

/// The arguments.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    which: Which,
    /// KEY=VALUE to set, or KEY- to remove; can be given more than once.
    #[arg(short, long, value_name = "PAIR")]
    env: Vec<String>,
    /// The containers, in whose names * stands for anything.
    #[arg(short, long, value_name = "NAME", default_value = "*")]
    containers: String,
    /// A variable for each key of this object: configmap/NAME or secret/NAME.
    #[arg(long, value_name = "OBJECT", default_value = "")]
    from: String,
    /// Put before the name of each variable that is made from an object.
    #[arg(long, value_name = "PREFIX", default_value = "")]
    prefix: String,
    /// Only these keys of the object.
    #[arg(long, value_name = "KEYS", value_delimiter = ',')]
    keys: Vec<String>,
    /// Show what there is, and change nothing.
    #[arg(long)]
    list: bool,
    /// Replace values that there are.
    #[arg(long, value_name = "BOOL", default_value_t = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    overwrite: bool,
}

/// What is to be changed.
#[derive(Clone, Debug, Default, PartialEq)]
struct Changes {
    set: Vec<Value>,
    removed: Vec<String>,
}

/// Sets environment variables, or lists them.
pub(crate) async fn run(arguments: Arguments, session: &mut Session<'_>) -> Result<(), Error> {
    let which = &arguments.which;
    let (what, pairs) = split(&which.what, |argument| {
        (argument.contains('=') && !argument.starts_with('=')) || argument.ends_with('-')
    });
    let mut pairs: Vec<String> = pairs.iter().chain(&arguments.env).cloned().collect();
    if let Some(index) = pairs.iter().position(|pair| pair == "-") {
        let mut text = String::new();
        session.input().read_to_string(&mut text)?;
        let lines = text.lines().map(str::trim).filter(|line| line.contains('=') && !line.starts_with('#'));
        pairs.splice(index..=index, lines.map(str::to_owned));
    }
    let mut changes = Changes::parse(&pairs).map_err(Error::said)?;
    changes.set.extend(from(&arguments, session).await?);
    if arguments.list {
        let Found { targets, errors } = which.find(what, session).await?;
        for target in &targets {
            let mut object = target.object.clone();
            let spec = pod_spec(target, &mut object).map_err(Error::said)?;
            for container in containers(spec, &arguments.containers) {
                let name = container["name"].as_str().unwrap_or_default();
                session.say(&format!("# {} {}, container {name}", target.resource.kind, target.name))?;
                for variable in container["env"].as_array().into_iter().flatten() {
                    session.say(&line(variable))?;
                }
            }
        }
        return finish(session, errors);
    }
    let mut warnings = Vec::new();
    let result = which
        .change(what, "env updated", session, |target, object| {
            let found = containers(pod_spec(target, object)?, &arguments.containers);
            if found.is_empty() {
                warnings.push(format!(
                    "Warning: {}/{} does not have any containers matching {:?}",
                    target.resource.kind, target.name, arguments.containers
                ));
            }
            for container in found {
                changes.apply(container, arguments.overwrite)?;
            }
            Ok(())
        })
        .await;
    for warning in warnings {
        session.remark(&warning)?;
    }
    result
}

impl Changes {
    fn parse(pairs: &[String]) -> Result<Changes, String> {
        let mut changes = Changes::default();
        for pair in pairs {
            let (name, value) = match pair.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (
                    pair.strip_suffix('-')
                        .ok_or_else(|| format!("invalid parameter {pair}: write KEY=VALUE or KEY-"))?,
                    None,
                ),
            };
            let Some(value) = value else {
                changes.removed.push(name.to_owned());
                continue;
            };
            if let Some(why) = env_var_name(name).first() {
                return Err(format!("{name:?} is not a valid key name: {why}"));
            }
            changes.set.push(json!({"name": name, "value": value}));
        }
        let is_set = |name: &String| changes.set.iter().any(|variable| variable["name"] == name.as_str());
        if changes.removed.iter().any(is_set) {
            return Err("can not both modify and remove the same environment variable in the same command".to_owned());
        }
        Ok(changes)
    }

    fn apply(&self, container: &mut Value, overwrite: bool) -> Result<(), String> {
        let before = container["env"].as_array().cloned().unwrap_or_default();
        let mut after = before.clone();
        for variable in &self.set {
            match after.iter_mut().find(|known| known["name"] == variable["name"]) {
                Some(known) if !overwrite && known != variable => {
                    let (name, value) = (variable["name"].as_str(), known["value"].as_str());
                    return Err(format!(
                        "'{}' already has a value ({}), and --overwrite is false",
                        name.unwrap_or_default(),
                        value.unwrap_or_default()
                    ));
                }
                Some(known) => *known = variable.clone(),
                None => after.push(variable.clone()),
            }
        }
        after.retain(|variable| !self.removed.iter().any(|name| variable["name"] == name.as_str()));
        if after != before {
            container["env"] = Value::Array(after);
        }
        Ok(())
    }
}

/// The variables that an object makes: one for each of its keys, which refers to it.
async fn from(arguments: &Arguments, session: &mut Session<'_>) -> Result<Vec<Value>, Error> {
    if arguments.from.is_empty() {
        return Ok(Vec::new());
    }
    let found = crate::select::select_named(session, std::slice::from_ref(&arguments.from)).await?;
    let namespace = session.namespace().await?;
    let mut variables = Vec::new();
    for selected in found {
        let reference = match selected.resource.kind.as_str() {
            "ConfigMap" => "configMapKeyRef",
            "Secret" => "secretKeyRef",
            other => return Err(Error::said(format!("unsupported resource specified in --from: {other}"))),
        };
        for name in selected.names {
            let object = session.json(Ask::get(&selected.resource.object_path(&namespace, &name))).await?;
            for key in object["data"].as_object().into_iter().flatten().map(|(key, _)| key) {
                if !arguments.keys.is_empty() && !arguments.keys.contains(key) {
                    continue;
                }
                let variable = variable_name(key);
                if variable != *key {
                    session.remark(&format!("Warning: key {key} transferred to {variable}"))?;
                }
                let variable = format!("{}{variable}", arguments.prefix);
                variables.push(json!({"name": variable, "valueFrom": {reference: {"key": key, "name": name}}}));
            }
        }
    }
    Ok(variables)
}

fn variable_name(key: &str) -> String {
    let character =
        |character: char| if character.is_ascii_alphanumeric() || character == '_' { character } else { '_' };
    key.chars().map(character).collect::<String>().to_uppercase()
}

/// A variable, as it is listed.
fn line(variable: &Value) -> String {
    let name = variable["name"].as_str().unwrap_or_default();
    let from = &variable["valueFrom"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    if !from.is_object() {
        return format!("{name}={}", text(&variable["value"]));
    }
    for (field, kind) in [("configMapKeyRef", "configmap"), ("secretKeyRef", "secret")] {
        if from[field].is_object() {
            return format!("# {name} from {kind} {}, key {}", text(&from[field]["name"]), text(&from[field]["key"]));
        }
    }
    if from["fieldRef"].is_object() {
        return format!("# {name} from field path {}", text(&from["fieldRef"]["fieldPath"]));
    }
    let reference = &from["resourceFieldRef"];
    let container = text(&reference["containerName"]);
    let of = if container.is_empty() { container } else { format!("container {container}, ") };
    format!("# {name} from {of}resource field {}", text(&reference["resource"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Changes, String> {
        Changes::parse(&line.split(' ').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn variables_are_set_and_removed() {
        let check = |line: &str, expected: Value| {
            let mut container = json!({"env": [{"name": "A", "value": "1"}, {"name": "B", "valueFrom": {}}]});
            parse(line).unwrap().apply(&mut container, true).unwrap();
            assert_eq!(container["env"], expected, "{line}");
        };
        check(
            "A=2 C=x=y",
            json!([{"name": "A", "value": "2"}, {"name": "B", "valueFrom": {}}, {"name": "C", "value": "x=y"}]),
        );
        check("A- Z-", json!([{"name": "B", "valueFrom": {}}]));
        check("B=", json!([{"name": "A", "value": "1"}, {"name": "B", "value": ""}]));
        let mut container = json!({"env": [{"name": "A", "value": "1"}]});
        let error = parse("A=2").unwrap().apply(&mut container, false).unwrap_err();
        assert_eq!(error, "'A' already has a value (1), and --overwrite is false");
        assert!(parse("A=1 A-").unwrap_err().starts_with("can not both modify and remove"));
        assert!(
            parse("1=b").unwrap_err().starts_with("\"1\" is not a valid key name: a valid environment variable name")
        );
    }

    #[test]
    fn keys_become_names_of_variables() {
        assert_eq!(variable_name("ca.crt"), "CA_CRT");
        assert_eq!(variable_name("A_1"), "A_1");
    }
}
