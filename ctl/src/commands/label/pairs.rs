//! `KEY=VALUE` and `KEY-` behind what they are for.

use std::collections::BTreeMap;

use api::names::label_value;
use serde_json::{Map, Value, json};

use super::Which;

/// What is to be changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    pub(super) set: BTreeMap<String, String>,
    pub(super) removed: Vec<String>,
}

impl Changes {
    /// Takes arguments apart: those before the first change say what it is done to.
    pub(super) fn parse(arguments: &[String], which: Which) -> Result<(Vec<String>, Changes), String> {
        let is_change =
            |argument: &String| (argument.contains('=') && !argument.starts_with('=')) || argument.ends_with('-');
        let word = which.word();
        let first = arguments.iter().position(is_change).unwrap_or(arguments.len());
        let (what, pairs) = arguments.split_at(first);
        let what: Vec<String> = what.iter().filter(|argument| !argument.starts_with('=')).cloned().collect();
        let mut changes = Changes::default();
        for pair in pairs {
            match pair.split_once('=') {
                Some((key, value)) if !key.is_empty() => {
                    if which == Which::Labels
                        && let Some(why) = label_value(value).first()
                    {
                        return Err(format!("invalid label value: {pair:?}: {why}"));
                    }
                    changes.set.insert(key.to_owned(), value.to_owned());
                }
                _ => match pair.strip_suffix('-') {
                    Some(key) => changes.removed.push(key.to_owned()),
                    None => return Err(format!("all resources must be specified before {word} changes: {pair}")),
                },
            }
        }
        let both: Vec<&str> =
            changes.removed.iter().filter(|key| changes.set.contains_key(*key)).map(String::as_str).collect();
        match (both.is_empty(), which) {
            (true, _) => Ok((what, changes)),
            (false, Which::Labels) => Err("can not both modify and remove a label in the same command".to_owned()),
            (false, Which::Annotations) => Err(format!(
                "can not both modify and remove the following annotation(s) in the same command: {}",
                both.join(", ")
            )),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.set.is_empty() && self.removed.is_empty()
    }

    /// Refuses to replace values.
    pub(super) fn check(&self, before: &Map<String, Value>, which: Which) -> Result<(), String> {
        let replaced = self.set.iter().filter_map(|(key, value)| {
            let old = before.get(key)?.as_str()?;
            (old != value).then(|| format!("'{key}' already has a value ({old})"))
        });
        let replaced: Vec<String> = replaced.collect();
        match (replaced.is_empty(), which) {
            (true, _) => Ok(()),
            (false, Which::Labels) => Err(format!("{}, and --overwrite is false", replaced[0])),
            (false, Which::Annotations) => Err(format!(
                "--overwrite is false but found the following declared annotation(s): {}",
                replaced.join("; ")
            )),
        }
    }

    /// What there is then.
    pub(super) fn apply(&self, before: &Map<String, Value>) -> Map<String, Value> {
        let mut after = before.clone();
        after.extend(self.set.iter().map(|(key, value)| (key.clone(), json!(value))));
        after.retain(|key, _| !self.removed.contains(key));
        after
    }

    /// The merge patch that does it.
    pub(super) fn patch(&self) -> Value {
        let mut patch = Map::new();
        patch.extend(self.set.iter().map(|(key, value)| (key.clone(), json!(value))));
        patch.extend(self.removed.iter().map(|key| (key.clone(), Value::Null)));
        Value::Object(patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str, which: Which) -> Result<(Vec<String>, Changes), String> {
        Changes::parse(&line.split(' ').map(str::to_owned).collect::<Vec<_>>(), which)
    }

    #[test]
    fn changes_stand_behind_what_they_are_for() {
        let (what, changes) = parse("pod a b x=1 y= z-", Which::Labels).unwrap();
        assert_eq!(what, ["pod", "a", "b"]);
        assert_eq!(changes.patch(), json!({"x": "1", "y": "", "z": null}));
        let before = json!({"x": "0", "z": "1", "k": "v"});
        let before = before.as_object().unwrap();
        assert_eq!(Value::Object(changes.apply(before)), json!({"k": "v", "x": "1", "y": ""}));
        let error = changes.check(before, Which::Labels).unwrap_err();
        assert_eq!(error, "'x' already has a value (0), and --overwrite is false");
        let error = |line: &str, which| parse(line, which).unwrap_err();
        assert_eq!(error("pod/a x=1 b", Which::Labels), "all resources must be specified before label changes: b");
        assert!(error("pod/a x=1 x-", Which::Annotations).ends_with("in the same command: x"));
        assert!(error("pod/a x=a/b", Which::Labels).starts_with("invalid label value: \"x=a/b\": a valid label"));
        assert!(parse("pod/a x=a/b", Which::Annotations).is_ok());
    }
}
