//! `config set` and `config unset`: single values of kubeconfigs, by their path.
//!
//! A path is `current-context`, or a list, the name of an entry, and a field of it. A name may have dots: it ends before the
//! first word that is a field.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use clap::{ArgAction, Args};
use serde_json::{Value, json};

use super::file::{CLUSTERS, CONTEXTS, Files, List, USERS};
use crate::{Error, Session};

/// The arguments of `set`.
#[derive(Clone, Debug, Args)]
pub struct Set {
    /// Which one: LIST.NAME.FIELD, or current-context.
    #[arg(value_name = "PROPERTY")]
    name: String,
    /// What it is to be.
    #[arg(value_name = "VALUE")]
    value: String,
    /// What is binary is given as it is, and not in base64.
    #[arg(long, value_name = "BOOL", default_value_t = false, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = ArgAction::Set)]
    set_raw_bytes: bool,
}

/// The arguments of `unset`.
#[derive(Clone, Debug, Args)]
pub struct Unset {
    /// Which one: LIST.NAME.FIELD, LIST.NAME, or current-context.
    #[arg(value_name = "PROPERTY")]
    name: String,
}

/// What a field has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Bool,
    Bytes,
    /// Texts with commas between them.
    List,
}

const CLUSTER_FIELDS: &[(&str, Kind)] = &[
    ("certificate-authority", Kind::Text),
    ("certificate-authority-data", Kind::Bytes),
    ("disable-compression", Kind::Bool),
    ("insecure-skip-tls-verify", Kind::Bool),
    ("proxy-url", Kind::Text),
    ("server", Kind::Text),
    ("tls-server-name", Kind::Text),
];
const CONTEXT_FIELDS: &[(&str, Kind)] = &[("cluster", Kind::Text), ("namespace", Kind::Text), ("user", Kind::Text)];
const USER_FIELDS: &[(&str, Kind)] = &[
    ("as", Kind::Text),
    ("as-groups", Kind::List),
    ("as-uid", Kind::Text),
    ("client-certificate", Kind::Text),
    ("client-certificate-data", Kind::Bytes),
    ("client-key", Kind::Text),
    ("client-key-data", Kind::Bytes),
    ("password", Kind::Text),
    ("token", Kind::Text),
    ("tokenFile", Kind::Text),
    ("username", Kind::Text),
];

/// Where a value is.
#[derive(Clone, Debug, PartialEq)]
enum Property {
    Current,
    Entry(List, String),
    Field(List, String, &'static str, Kind),
}

/// What a path means.
fn property(path: &str) -> Result<Property, String> {
    if path == "current-context" {
        return Ok(Property::Current);
    }
    let words: Vec<&str> = path.split('.').collect();
    let (list, fields) = match words[0] {
        "clusters" => (CLUSTERS, CLUSTER_FIELDS),
        "contexts" => (CONTEXTS, CONTEXT_FIELDS),
        "users" => (USERS, USER_FIELDS),
        _ => return Err(format!("unable to parse {path} after [] at api.Config")),
    };
    let known = |word: &&str| fields.iter().find(|(name, _)| name == word);
    let at = words.iter().skip(2).position(|word| known(word).is_some()).map(|at| at + 2);
    match at {
        Some(at) if at + 1 == words.len() => {
            let (field, kind) = known(&words[at]).copied().unwrap_or(("", Kind::Text));
            Ok(Property::Field(list, words[1..at].join("."), field, kind))
        }
        None if words.len() == 2 && !words[1].is_empty() => Ok(Property::Entry(list, words[1].to_owned())),
        None if words.len() == 1 => Err(format!("can't set a map to a value: {path}")),
        _ => Err(format!("unable to parse one or more field values of {path}")),
    }
}

/// A value as a kubeconfig has it.
fn value(kind: Kind, text: &str, is_raw: bool) -> Result<Value, String> {
    match kind {
        Kind::Text => Ok(json!(text)),
        Kind::Bool => match text {
            "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(json!(true)),
            "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(json!(false)),
            _ => Err(format!("strconv.ParseBool: parsing {text:?}: invalid syntax")),
        },
        Kind::Bytes if is_raw => Ok(json!(BASE64_STANDARD.encode(text))),
        Kind::Bytes => {
            let bytes = BASE64_STANDARD.decode(text).map_err(|error| format!("error decoding value: {error}"))?;
            Ok(json!(BASE64_STANDARD.encode(bytes)))
        }
        Kind::List => Ok(json!(text.split(',').collect::<Vec<_>>())),
    }
}

/// An entry of which nothing is said.
fn empty(list: List) -> Value {
    match list {
        CLUSTERS => json!({"server": ""}),
        CONTEXTS => json!({"cluster": "", "user": ""}),
        _ => json!({}),
    }
}

/// Sets a value.
pub(super) fn set(files: &mut Files, arguments: &Set, session: &mut Session<'_>) -> Result<(), Error> {
    let Set { name: path, value: text, set_raw_bytes } = arguments;
    match property(path).map_err(Error::said)? {
        Property::Current => files.set_current(text)?,
        Property::Entry(..) => return Err(Error::said(format!("unable to parse one or more field values of {path}"))),
        Property::Field(list, name, field, kind) => {
            let value = value(kind, text, *set_raw_bytes).map_err(Error::said)?;
            let mut inner = files.entry(list, &name).map_or_else(|| empty(list), |mut entry| entry[list.inner].take());
            inner[field] = value;
            files.put(list, &name, inner)?;
        }
    }
    session.say(&format!("Property {path:?} set."))
}

/// Has a value be nothing.
pub(super) fn unset(files: &mut Files, arguments: &Unset, session: &mut Session<'_>) -> Result<(), Error> {
    let path = &arguments.name;
    let whole = [CLUSTERS, CONTEXTS, USERS].into_iter().find(|list| list.field == path);
    if let Some(list) = whole {
        let names: Vec<String> = files.merged()[list.field]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|entry| entry["name"].as_str().map(str::to_owned))
            .collect();
        for name in names {
            files.take(list, &name)?;
        }
        return session.say(&format!("Property {path:?} unset."));
    }
    match property(path).map_err(Error::said)? {
        Property::Current => files.set_current("")?,
        Property::Entry(list, name) => {
            files.take(list, &name)?;
        }
        Property::Field(list, name, field, _) => {
            let Some(mut entry) = files.entry(list, &name) else {
                return Err(Error::said(format!("current map key `{name}` is invalid")));
            };
            let mut inner = entry[list.inner].take();
            if let Some(fields) = inner.as_object_mut() {
                fields.remove(field);
            }
            if let Some(default) = empty(list).get(field) {
                inner[field] = default.clone();
            }
            files.put(list, &name, inner)?;
        }
    }
    session.say(&format!("Property {path:?} unset."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_fields() {
        let field = |list, name: &str, field, kind| Ok(Property::Field(list, name.to_owned(), field, kind));
        let cases = [
            ("current-context", Ok(Property::Current)),
            ("clusters.a.server", field(CLUSTERS, "a", "server", Kind::Text)),
            (
                "clusters.a.b.c.insecure-skip-tls-verify",
                field(CLUSTERS, "a.b.c", "insecure-skip-tls-verify", Kind::Bool),
            ),
            ("users.u.client-key-data", field(USERS, "u", "client-key-data", Kind::Bytes)),
            ("contexts.b", Ok(Property::Entry(CONTEXTS, "b".to_owned()))),
            ("nope.x", Err("unable to parse nope.x after [] at api.Config".to_owned())),
            ("clusters.a.nope", Err("unable to parse one or more field values of clusters.a.nope".to_owned())),
            ("users.u.token.x", Err("unable to parse one or more field values of users.u.token.x".to_owned())),
            ("clusters", Err("can't set a map to a value: clusters".to_owned())),
        ];
        for (path, expected) in cases {
            assert_eq!(property(path), expected, "{path}");
        }
    }

    #[test]
    fn values_have_kinds() {
        assert_eq!(value(Kind::Text, "x", false), Ok(json!("x")));
        assert_eq!(value(Kind::Bool, "true", false), Ok(json!(true)));
        assert_eq!(value(Kind::Bytes, "aGk=", false), Ok(json!("aGk=")));
        assert_eq!(value(Kind::Bytes, "hi", true), Ok(json!("aGk=")));
        assert_eq!(value(Kind::List, "a,b", false), Ok(json!(["a", "b"])));
        assert!(value(Kind::Bool, "x", false).unwrap_err().contains("parsing \"x\": invalid syntax"));
        assert!(value(Kind::Bytes, "?", false).is_err());
    }
}
