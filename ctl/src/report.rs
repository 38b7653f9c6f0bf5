//! What is said of objects that were changed: a line each, or the objects themselves by `-o`.

use serde_json::{Value, json};

use crate::dry_run::DryRun;
use crate::output::{Format, Printing};
use crate::resources::Resource;
use crate::{Error, Session};

/// How it is said.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    format: Option<Format>,
    remark: &'static str,
    shown: usize,
    shows_managed_fields: bool,
}

impl Report {
    /// By `-o`; without it is a line each.
    pub(crate) fn new(output: &Printing, dry_run: DryRun) -> Result<Report, Error> {
        Ok(Report { format: output.of_objects()?, remark: dry_run.remark(), shown: 0, shows_managed_fields: false })
    }

    /// With who owns which field.
    pub(crate) fn with_managed_fields(mut self, shows: bool) -> Report {
        self.shows_managed_fields = shows;
        self
    }

    /// Whether it shows objects, and not only which ones they are.
    pub(crate) fn shows_objects(&self) -> bool {
        self.format.as_ref().is_some_and(|format| *format != Format::Name)
    }

    /// Says what was done to an object.
    pub(crate) fn done(
        &mut self,
        session: &mut Session<'_>,
        resource: &Resource,
        object: &Value,
        what: &str,
    ) -> Result<(), Error> {
        let name = |object: &Value| resource.object(object["metadata"]["name"].as_str().unwrap_or_default());
        let Some(format) = &self.format else {
            return session.say(&format!("{} {what}{}", name(object), self.remark));
        };
        // Documents of a stream.
        if *format == Format::Yaml && self.shown > 0 {
            session.say("---")?;
        }
        self.shown += 1;
        format.write(session, &self.shown(object), &name)
    }

    /// Shows objects together: one as it is, and several as a list.
    pub(crate) fn together(&mut self, session: &mut Session<'_>, objects: &[Value]) -> Result<(), Error> {
        let Some(format) = &self.format else { return Ok(()) };
        let name = |_: &Value| String::new();
        let objects: Vec<Value> = objects.iter().map(|object| self.shown(object)).collect();
        self.shown += usize::from(!objects.is_empty());
        match &objects[..] {
            [] => Ok(()),
            [one] => format.write(session, one, &name),
            many => {
                let list = json!({"apiVersion": "v1", "items": many, "kind": "List", "metadata": {}});
                format.write(session, &list, &name)
            }
        }
    }

    fn shown(&self, object: &Value) -> Value {
        let mut object = object.clone();
        let metadata = object.get_mut("metadata").and_then(Value::as_object_mut);
        if let Some(metadata) = metadata.filter(|_| !self.shows_managed_fields) {
            metadata.remove("managedFields");
        }
        object
    }
}

/// Goes on with the next object after one that failed, and says at the end what all of them failed with.
#[derive(Debug, Default)]
pub(crate) struct Failures(Vec<Error>);

impl Failures {
    /// Notes what came of one; only what the others would fail with, too, ends it all.
    pub(crate) fn note(&mut self, result: Result<(), Error>) -> Result<(), Error> {
        match result {
            Err(error @ (Error::Server(_) | Error::Said(_))) => self.0.push(error),
            other => other?,
        }
        Ok(())
    }

    /// Whether nothing has failed.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Says it all.
    pub(crate) fn finish(mut self, session: &mut Session<'_>) -> Result<(), Error> {
        if self.0.len() == 1
            && let Some(only) = self.0.pop()
        {
            return Err(only);
        }
        for error in &self.0 {
            session.remark(&error.among_others())?;
        }
        if self.0.is_empty() { Ok(()) } else { Err(Error::Exit(1)) }
    }
}

/// An error with what was being done with which file.
pub(crate) fn of_source(error: Error, verb: &str, source: &str) -> Error {
    match error {
        Error::Server(mut status) => {
            let message = status["message"].as_str().unwrap_or_default();
            status["message"] = json!(format!("error when {verb} {source:?}: {message}"));
            Error::Server(status)
        }
        Error::Said(sentence) => Error::Said(format!("error when {verb} {source:?}: {sentence}")),
        other => other,
    }
}

/// What the server does with fields that it does not know, and with those that are there twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Validation(&'static str);

impl Validation {
    /// What the server is told.
    pub(crate) const fn parameter(&self) -> &'static str {
        self.0
    }
}

impl std::str::FromStr for Validation {
    type Err = String;

    fn from_str(text: &str) -> Result<Validation, String> {
        match text {
            "strict" | "true" => Ok(Validation("Strict")),
            "warn" => Ok(Validation("Warn")),
            "ignore" | "false" => Ok(Validation("Ignore")),
            other => Err(format!("{other:?}: it is strict, warn or ignore")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_say_what_they_are_of() {
        let status = json!({"reason": "NotFound", "message": "namespaces \"a\" not found"});
        let error = of_source(Error::Server(Box::new(status)), "creating", "f.yaml");
        let expected = "Error from server (NotFound): error when creating \"f.yaml\": namespaces \"a\" not found";
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn validation_has_two_names() {
        let check = |text: &str, expected: &str| {
            assert_eq!(text.parse::<Validation>().map(|found| found.parameter()), Ok(expected));
        };
        check("strict", "Strict");
        check("true", "Strict");
        check("warn", "Warn");
        check("false", "Ignore");
        assert!("maybe".parse::<Validation>().is_err());
    }

    #[test]
    fn what_makes_no_sense_for_changes_is_refused() {
        assert!(Report::new(&Printing::by("wide"), DryRun::None).is_err());
        assert!(Report::new(&Printing::by("yaml"), DryRun::None).unwrap().shows_objects());
        assert!(!Report::new(&Printing::by("name"), DryRun::None).unwrap().shows_objects());
    }
}
