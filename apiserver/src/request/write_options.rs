//! The options of writes: `metav1.CreateOptions`, `UpdateOptions`, `PatchOptions` and `DeleteOptions`.

use api::field::{Error, ErrorList, Path};
use api::status::{GroupKind, Status};
use serde::Deserialize;

use super::Query;

/// What is done about fields that the kind does not have, or has twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldValidation {
    /// Nothing.
    Ignore,
    /// The client is warned. The default.
    Warn,
    /// The request is refused.
    Strict,
}

/// Options of create, update and patch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteOptions {
    /// Everything happens but the write.
    pub dry_run: bool,
    /// What is done about unknown fields.
    pub field_validation: FieldValidation,
}

impl WriteOptions {
    /// Reads the options of a request; `kind` is the name of its options type, for errors.
    pub fn parse(query: &Query, kind: &'static str) -> Result<WriteOptions, Status> {
        let mut errors = ErrorList::default();
        let dry_run = dry_run(query.all("dryRun"), &mut errors);
        let field_validation = match query.text("fieldValidation") {
            None | Some("Warn") => FieldValidation::Warn,
            Some("Ignore") => FieldValidation::Ignore,
            Some("Strict") => FieldValidation::Strict,
            Some(other) => {
                let path = Path::new("fieldValidation");
                errors.push(Error::not_supported(&path, other, &["Ignore", "Strict", "Warn", ""]));
                FieldValidation::Warn
            }
        };
        if let Some(manager) = query.text("fieldManager") {
            validate_field_manager(manager, &mut errors);
        }
        if errors.is_empty() {
            Ok(WriteOptions { dry_run, field_validation })
        } else {
            Err(Status::invalid(&GroupKind::new("meta.k8s.io", kind), "", &errors))
        }
    }
}

/// What becomes of an object's dependents when it is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Propagation {
    /// They stay, without an owner.
    Orphan,
    /// They go later.
    Background,
    /// They go first.
    Foreground,
}

/// What must hold of the object to be deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Preconditions {
    /// It is this very object.
    pub uid: Option<String>,
    /// It has not changed since.
    pub resource_version: Option<String>,
}

/// Options of delete.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteOptions {
    /// How long the object may take to end, in seconds; a negative value counts as 1.
    pub grace_period_seconds: Option<i64>,
    /// What becomes of its dependents; the kind decides if there is nothing here.
    pub propagation: Option<Propagation>,
    /// The old form of the same: `true` is `Orphan`.
    pub orphan_dependents: Option<bool>,
    /// What must hold.
    pub preconditions: Preconditions,
    /// Everything happens but the write.
    pub dry_run: bool,
    /// It is deleted although what is stored of it cannot be read.
    pub ignore_read_error: bool,
}

/// The body of a delete.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Body {
    kind: Option<String>,
    grace_period_seconds: Option<i64>,
    propagation_policy: Option<String>,
    orphan_dependents: Option<bool>,
    preconditions: Option<Preconditions>,
    dry_run: Option<Vec<String>>,
    #[serde(rename = "ignoreStoreReadErrorWithClusterBreakingPotential")]
    ignore_read_error: Option<bool>,
}

impl DeleteOptions {
    /// Reads the options from the body if there is one, and otherwise from the query.
    pub fn parse(query: &Query, body: Option<serde_json::Value>) -> Result<DeleteOptions, Status> {
        let body = match body {
            Some(value) => serde_json::from_value(value)
                .map_err(|error| Status::bad_request(format!("unable to decode DeleteOptions: {error}")))?,
            None => Body {
                grace_period_seconds: query.number("gracePeriodSeconds")?,
                propagation_policy: query.text("propagationPolicy").map(str::to_owned),
                orphan_dependents: query.flag("orphanDependents"),
                dry_run: query.has("dryRun").then(|| query.all("dryRun").to_vec()),
                ignore_read_error: query.flag("ignoreStoreReadErrorWithClusterBreakingPotential"),
                ..Body::default()
            },
        };
        if let Some(kind) = body.kind.filter(|kind| !kind.is_empty() && kind != "DeleteOptions") {
            return Err(Status::bad_request(format!("decoded object cannot be converted to DeleteOptions: {kind}")));
        }
        let mut errors = ErrorList::default();
        let dry_run = dry_run(body.dry_run.as_deref().unwrap_or_default(), &mut errors);
        let path = Path::new("propagationPolicy");
        let policy = body.propagation_policy.filter(|policy| !policy.is_empty());
        if policy.is_some() && body.orphan_dependents.is_some() {
            let why = "orphanDependents and deletionPropagation cannot be both set";
            errors.push(Error::invalid(&path, policy.as_deref().unwrap_or_default(), why));
        }
        let propagation = match policy.as_deref() {
            None => None,
            Some("Orphan") => Some(Propagation::Orphan),
            Some("Background") => Some(Propagation::Background),
            Some("Foreground") => Some(Propagation::Foreground),
            Some(other) => {
                errors.push(Error::not_supported(&path, other, &["Foreground", "Background", "Orphan", "nil"]));
                None
            }
        };
        if !errors.is_empty() {
            return Err(Status::invalid(&GroupKind::new("meta.k8s.io", "DeleteOptions"), "", &errors));
        }
        Ok(DeleteOptions {
            grace_period_seconds: body.grace_period_seconds,
            propagation,
            orphan_dependents: body.orphan_dependents,
            preconditions: body.preconditions.unwrap_or_default(),
            dry_run,
            ignore_read_error: body.ignore_read_error.unwrap_or(false),
        })
    }
}

fn dry_run(values: &[String], errors: &mut ErrorList) -> bool {
    let path = Path::new("dryRun");
    if values.iter().any(|value| value != "All") {
        for value in values.iter().filter(|value| *value != "All") {
            errors.push(Error::not_supported(&path, &**value, &["All"]));
        }
    }
    !values.is_empty()
}

fn validate_field_manager(manager: &str, errors: &mut ErrorList) {
    const MAX: usize = 128;
    let path = Path::new("fieldManager");
    if manager.len() > MAX {
        errors.push(Error::too_long(&path, MAX));
    }
    if let Some((at, character)) =
        manager.char_indices().find(|(_, character)| !api::field::is_go_printable(*character))
    {
        let why = format!("should only contain printable characters, found {character:?} at position {at}");
        errors.push(Error::invalid(&path, manager, why));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn write_options_are_checked() {
        let cases = [
            ("", Ok((false, FieldValidation::Warn))),
            ("dryRun=All&fieldValidation=Strict", Ok((true, FieldValidation::Strict))),
            ("dryRun=None", Err("dryRun: Unsupported value: \"None\": supported values: \"All\"")),
            ("fieldValidation=x", Err("fieldValidation: Unsupported value: \"x\"")),
            ("fieldManager=a%0Ab", Err("should only contain printable characters")),
        ];
        for (query, expected) in cases {
            match (WriteOptions::parse(&Query::parse(query), "CreateOptions"), expected) {
                (Ok(options), Ok(expected)) => assert_eq!((options.dry_run, options.field_validation), expected),
                (Err(status), Err(part)) => assert!(status.message.contains(part), "{query}: {}", status.message),
                (outcome, _) => panic!("{query}: {outcome:?}"),
            }
        }
    }

    #[test]
    fn delete_options_come_from_the_body_or_the_query() {
        let parse = |query: &str, body| DeleteOptions::parse(&Query::parse(query), body);
        let from_query = parse("gracePeriodSeconds=5&propagationPolicy=Foreground", None).unwrap();
        assert_eq!((from_query.grace_period_seconds, from_query.propagation), (Some(5), Some(Propagation::Foreground)));
        let body =
            json!({"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": "u"}, "dryRun": ["All"]});
        let from_body = parse("gracePeriodSeconds=5", Some(body)).unwrap();
        assert_eq!((from_body.grace_period_seconds, from_body.dry_run), (None, true));
        assert_eq!(from_body.preconditions.uid.as_deref(), Some("u"));
        for (body, part) in [
            (json!({"propagationPolicy": "x"}), "propagationPolicy: Unsupported value: \"x\""),
            (json!({"propagationPolicy": "Orphan", "orphanDependents": true}), "cannot be both set"),
            (json!({"gracePeriodSeconds": "x"}), "unable to decode DeleteOptions"),
            (json!({"kind": "Pod"}), "decoded object cannot be converted"),
        ] {
            let status = parse("", Some(body)).expect_err("refused");
            assert!(status.message.contains(part), "{}", status.message);
        }
    }
}
