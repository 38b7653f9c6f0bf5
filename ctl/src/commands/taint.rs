//! `gantry taint`.

use clap::Args;
use serde_json::{Value, json};

use api::names::{label_key, label_value};

use crate::dry_run::DryRun;
use crate::manifest::Files;
use crate::outcome::Outcome;
use crate::output::Printing;
use crate::target::{Found, STRATEGIC, Wanted, find, finish};
use crate::{Error, Session};

/// The arguments.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// Which nodes, and then what changes: node NAME..., and KEY=VALUE:EFFECT to set, or KEY:EFFECT- or KEY- to remove.
    #[arg(value_name = "WHAT")]
    what: Vec<String>,
    /// Replace taints that there are.
    #[arg(long)]
    overwrite: bool,
    /// All nodes.
    #[arg(long)]
    all: bool,
    /// Only nodes with these labels.
    #[arg(short = 'l', long, value_name = "SELECTOR", default_value = "")]
    selector: String,
    /// Do not do it: say only what would be done (client), or have the server check it too (server).
    #[arg(long, value_name = "HOW", default_value = "none", num_args = 0..=1, require_equals = true, default_missing_value = "client")]
    dry_run: DryRun,
    /// Who is to own the fields.
    #[arg(long, value_name = "NAME", default_value = "kubectl-taint")]
    field_manager: String,
    #[command(flatten)]
    output: Printing,
}

/// A taint to set, or to remove: then without an effect it is all of the key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Taint {
    key: String,
    value: Option<String>,
    effect: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Changes {
    set: Vec<Taint>,
    removed: Vec<Taint>,
}

/// Changes taints, one node after the other.
pub(crate) async fn run(arguments: Arguments, session: &mut Session<'_>) -> Result<(), Error> {
    let is_change = |argument: &String| argument.contains(['=', ':']) || argument.ends_with('-');
    let first = arguments.what.iter().position(is_change).unwrap_or(arguments.what.len());
    let (what, specs) = arguments.what.split_at(first);
    let (kind, names) = match what.split_first() {
        Some((kind, names)) => (kind.clone(), names.to_vec()),
        None => return Err(Error::said("one or more resources must be specified as <resource> <name>")),
    };
    if specs.is_empty() {
        return Err(Error::said("at least one taint update is required"));
    }
    if !matches!(kind.split('/').next(), Some("node" | "nodes" | "no")) {
        return Err(Error::said(format!("invalid resource type {kind}, only node types are supported")));
    }
    let has_names = !names.is_empty() || kind.contains('/');
    if !arguments.all && arguments.selector.is_empty() && !has_names {
        return Err(Error::said("at least one resource name must be specified since 'all' parameter is not set"));
    }
    let usage = |why: String| Error::said(format!("{why}\nSee 'gantry taint -h' for help and examples"));
    let changes = Changes::parse(specs).map_err(usage)?;
    let mut outcome = Outcome::new(&arguments.output, DryRun::None)?;
    let Found { targets, mut errors } = find(
        session,
        Wanted {
            what,
            files: &Files::default(),
            selector: &arguments.selector,
            field_selector: "",
            all: arguments.all,
            all_namespaces: false,
            local: false,
        },
    )
    .await?;
    for target in targets {
        let none = Vec::new();
        let before = target.object["spec"]["taints"].as_array().unwrap_or(&none);
        let (after, missing) = match changes.apply(before, arguments.overwrite) {
            Ok(changed) => changed,
            Err(why) => {
                errors.push(Error::said(format!("node {} {why}", target.name)));
                continue;
            }
        };
        errors.extend(missing.iter().map(|taint| Error::said(format!("taint {taint:?} not found"))));
        if after == *before {
            continue;
        }
        let mut object = target.object.clone();
        object["spec"]["taints"] = json!(after);
        if arguments.dry_run != DryRun::Client {
            let patch = json!({"spec": {"taints": after}});
            match target.patch(session, (STRATEGIC, &patch), arguments.dry_run, &arguments.field_manager).await {
                Ok(changed) => object = changed,
                Err(error @ Error::Server(_)) => {
                    errors.push(error);
                    continue;
                }
                Err(error) => return Err(error),
            }
        }
        outcome.show(session, &target.resource, &object, changes.words(before))?;
    }
    finish(session, errors)
}

impl Changes {
    fn parse(specs: &[String]) -> Result<Changes, String> {
        let mut changes = Changes::default();
        for spec in specs {
            let wrong = |why: &str| format!("invalid taint spec: {spec}, {why}");
            let (plain, is_removed) = spec.strip_suffix('-').map_or((spec.as_str(), false), |plain| (plain, true));
            let (pair, effect) = plain.split_once(':').unwrap_or((plain, ""));
            let (key, value) = pair.split_once('=').map_or((pair, None), |(key, value)| (key, Some(value.to_owned())));
            // Only what is to go can be without an effect.
            let key = if effect.is_empty() && !is_removed { plain } else { key };
            if let Some(why) = label_key(key).first() {
                return Err(wrong(why));
            }
            if let Some(why) = value.as_deref().and_then(|value| label_value(value).first().cloned()) {
                return Err(wrong(&why));
            }
            if effect.is_empty() && !is_removed {
                return Err(wrong("it has no effect: write KEY=VALUE:EFFECT"));
            }
            if !matches!(effect, "" | "NoSchedule" | "PreferNoSchedule" | "NoExecute") {
                return Err(format!("invalid taint effect: {effect}, unsupported taint effect"));
            }
            let taint = Taint { key: key.to_owned(), value, effect: effect.to_owned() };
            let list = if is_removed { &mut changes.removed } else { &mut changes.set };
            if !is_removed && list.iter().any(|other| other.key == taint.key && other.effect == taint.effect) {
                return Err(format!("duplicated taints with the same key and effect: {spec}"));
            }
            list.push(taint);
        }
        let both = changes
            .set
            .iter()
            .filter(|taint| changes.removed.iter().any(|removed| removed.is_of(&taint.key, &taint.effect)));
        let both: Vec<String> = both.map(|taint| format!("{}={}", taint.key, taint.effect)).collect();
        if both.is_empty() {
            return Ok(changes);
        }
        Err(format!("can not both modify and remove the following taint(s) in the same command: {}", both.join(", ")))
    }

    /// The taints that there are then, and those that were to go and are not there.
    fn apply(&self, before: &[Value], overwrite: bool) -> Result<(Vec<Value>, Vec<String>), String> {
        let text = |taint: &Value, field: &str| taint[field].as_str().unwrap_or_default().to_owned();
        let is_set = |taint: &Value| {
            self.set.iter().any(|new| new.key == text(taint, "key") && new.effect == text(taint, "effect"))
        };
        let twice: Vec<String> = before.iter().filter(|taint| is_set(taint)).map(|taint| text(taint, "key")).collect();
        if !overwrite && !twice.is_empty() {
            let keys = twice.join(",");
            return Err(format!("already has {keys} taint(s) with same effect(s) and --overwrite is false"));
        }
        let mut after: Vec<Value> = Vec::new();
        for taint in &self.set {
            let mut new = json!({"key": taint.key, "effect": taint.effect});
            if let Some(value) = taint.value.as_ref().filter(|value| !value.is_empty()) {
                new["value"] = json!(value);
            }
            after.push(new);
        }
        after.extend(before.iter().filter(|taint| !is_set(taint)).cloned());
        let mut missing = Vec::new();
        for removed in &self.removed {
            let count = after.len();
            after.retain(|taint| !removed.is_of(&text(taint, "key"), &text(taint, "effect")));
            if after.len() == count {
                let effect = if removed.effect.is_empty() { String::new() } else { format!(":{}", removed.effect) };
                missing.push(format!("{}{effect}", removed.key));
            }
        }
        Ok((after, missing))
    }

    /// What is said of a node that had these taints.
    fn words(&self, before: &[Value]) -> &'static str {
        let is_there = |new: &Taint| {
            before.iter().any(|old| old["key"] == new.key.as_str() && old["effect"] == new.effect.as_str())
        };
        match (self.set.is_empty(), self.removed.is_empty()) {
            (true, _) => "untainted",
            (false, true) if !self.set.iter().any(is_there) => "tainted",
            _ => "modified",
        }
    }
}

impl Taint {
    fn is_of(&self, key: &str, effect: &str) -> bool {
        self.key == key && (self.effect.is_empty() || self.effect == effect)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Changes, String> {
        Changes::parse(&line.split(' ').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn taints_are_set_and_removed() {
        let before =
            [json!({"key": "a", "value": "b", "effect": "NoSchedule"}), json!({"key": "a", "effect": "NoExecute"})];
        let check = |line: &str, overwrite: bool, expected: Result<(Value, &[&str]), &str>| {
            let found = parse(line).unwrap().apply(&before, overwrite);
            let found = found.map(|(taints, missing)| (Value::Array(taints), missing));
            let expected =
                expected.map(|(taints, missing)| (taints, missing.iter().map(|it| (*it).to_owned()).collect()));
            assert_eq!(found, expected.map_err(str::to_owned), "{line}");
        };
        check("a-", false, Ok((json!([]), &[])));
        check("a:NoExecute-", false, Ok((json!([before[0]]), &[])));
        check("b:NoExecute-", false, Ok((json!(before), &["b:NoExecute"])));
        let new = json!({"key": "a", "value": "c", "effect": "NoSchedule"});
        check("a=c:NoSchedule", true, Ok((json!([new, before[1]]), &[])));
        check("a=c:NoSchedule", false, Err("already has a taint(s) with same effect(s) and --overwrite is false"));
    }

    #[test]
    fn mistakes_are_told() {
        let error = |line: &str| parse(line).unwrap_err();
        assert_eq!(error("a=b:Nope"), "invalid taint effect: Nope, unsupported taint effect");
        assert!(error("y*=a:NoSchedule").starts_with("invalid taint spec: y*=a:NoSchedule, name part must consist of"));
        assert!(error("a:NoSchedule a-").ends_with("in the same command: a=NoSchedule"));
        assert!(error("a=b").starts_with("invalid taint spec: a=b, "));
    }
}
