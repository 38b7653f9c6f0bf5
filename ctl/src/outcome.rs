//! How what has become of an object is shown: in words, such as `deployment.apps/web scaled`, or in a format of `-o`.

use serde_json::Value;

use crate::dry_run::DryRun;
use crate::output::{Format, Printing};
use crate::resources::Resource;
use crate::{Error, Session};

/// How it is shown.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    format: Option<Format>,
    remark: &'static str,
    documents: usize,
}

impl Outcome {
    /// As `-o` says, which may say nothing.
    pub(crate) fn new(output: &Printing, dry_run: DryRun) -> Result<Outcome, Error> {
        Ok(Outcome { format: output.of_objects()?, remark: dry_run.remark(), documents: 0 })
    }

    /// Whether it is in words.
    pub(crate) fn is_words(&self) -> bool {
        self.format.is_none()
    }

    /// Shows an object that these words say something of.
    pub(crate) fn show(
        &mut self,
        session: &mut Session<'_>,
        resource: &Resource,
        object: &Value,
        words: &str,
    ) -> Result<(), Error> {
        let name = |object: &Value| resource.object(object["metadata"]["name"].as_str().unwrap_or_default());
        let Some(format) = &self.format else {
            return session.say(&format!("{} {words}{}", name(object), self.remark));
        };
        let mut shown = object.clone();
        if let Some(meta) = shown["metadata"].as_object_mut() {
            meta.remove("managedFields");
        }
        if self.documents > 0 && *format == Format::Yaml {
            session.say("---")?;
        }
        self.documents += 1;
        format.write(session, &shown, &name)
    }
}
