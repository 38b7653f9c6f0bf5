//! Where objects come from, and what has changed them, for `buildMetadata`.

use std::fmt::Write;
use std::path::Path;

use crate::loader::clean;

/// Where an object comes from: a file, or what made it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Origin {
    /// Its file, below the directory that was built.
    pub(crate) path: String,
    /// The file that says to make or change it.
    pub(crate) configured_in: String,
    /// What made or changed it: API version, kind, name and namespace.
    pub(crate) configured_by: Option<[String; 4]>,
}

impl Origin {
    /// A file.
    pub(crate) fn file(path: String) -> Origin {
        Origin { path, ..Origin::default() }
    }

    /// What kustomize brings along, configured by a field of a kustomization.
    pub(crate) fn builtin(configured_in: &str, kind: &str) -> Origin {
        let by = ["builtin".to_owned(), kind.to_owned(), String::new(), String::new()];
        Origin { path: String::new(), configured_in: configured_in.to_owned(), configured_by: Some(by) }
    }

    /// As YAML, each line after some text.
    pub(crate) fn yaml(&self, first: &str, others: &str) -> String {
        let mut lines = Vec::new();
        for (name, value) in [("path", &self.path), ("configuredIn", &self.configured_in)] {
            if !value.is_empty() {
                lines.push(format!("{name}: {value}"));
            }
        }
        if let Some(by) = &self.configured_by {
            lines.push("configuredBy:".to_owned());
            for (name, value) in ["apiVersion", "kind", "name", "namespace"].iter().zip(by) {
                if !value.is_empty() {
                    lines.push(format!("  {name}: {value}"));
                }
            }
        }
        let mut text = String::new();
        for (index, line) in lines.iter().enumerate() {
            let _ = writeln!(text, "{}{line}", if index == 0 { first } else { others });
        }
        text
    }
}

/// A path below another one, without dots.
pub(crate) fn join(path: &str, name: &str) -> String {
    clean(&Path::new(path).join(name)).display().to_string()
}
