//! `audit.k8s.io/v1` Policy: how much is written down of which requests. The first rule that is about a request decides.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::authn::Identity;
use crate::authz::Attributes;

/// How much of a request is written down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
pub enum Level {
    /// Nothing.
    #[default]
    None,
    /// Who asked for what, and how that went.
    Metadata,
    /// What they sent, too.
    Request,
    /// What they were answered, too.
    RequestResponse,
}

impl Level {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Level::None => "None",
            Level::Metadata => "Metadata",
            Level::Request => "Request",
            Level::RequestResponse => "RequestResponse",
        }
    }
}

/// When an event is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum Stage {
    /// Before anything is done.
    RequestReceived,
    /// When a stream begins.
    ResponseStarted,
    /// When all has been sent.
    ResponseComplete,
    /// When the server panicked.
    Panic,
}

/// A policy that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// It cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Something in it is wrong.
    #[error("{path}: {field}: {why}")]
    Wrong {
        /// The file.
        path: PathBuf,
        /// Where in it.
        field: String,
        /// What is wrong.
        why: String,
    },
}

/// What is written down of which requests.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    omit_stages: Vec<Stage>,
    omit_managed_fields: bool,
    rules: Vec<Rule>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Rule {
    level: Option<Level>,
    users: Vec<String>,
    user_groups: Vec<String>,
    verbs: Vec<String>,
    resources: Vec<Resources>,
    namespaces: Vec<String>,
    #[serde(rename = "nonResourceURLs")]
    paths: Vec<String>,
    omit_stages: Vec<Stage>,
    omit_managed_fields: Option<bool>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Resources {
    group: String,
    resources: Vec<String>,
    resource_names: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    api_version: String,
    kind: String,
    #[serde(default)]
    #[allow(dead_code, reason = "objects may have metadata, and nothing depends on it")]
    metadata: serde_json::Value,
    #[serde(default)]
    omit_stages: Vec<Stage>,
    #[serde(default)]
    omit_managed_fields: bool,
    #[serde(default)]
    rules: Vec<serde_json::Value>,
}

/// What a policy says of one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) level: Level,
    pub(super) omit_stages: Vec<Stage>,
    pub(super) omit_managed_fields: bool,
}

impl Policy {
    /// Reads the policy in a file.
    ///
    /// # Errors
    /// Fails, and says where, if something in it has no meaning.
    pub fn read(path: &Path) -> Result<Policy, PolicyError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| PolicyError::Read { path: path.to_owned(), source })?;
        Policy::parse(&text).map_err(|(field, why)| PolicyError::Wrong { path: path.to_owned(), field, why })
    }

    /// Reads a policy. What is wrong is told by field and reason.
    pub(super) fn parse(text: &str) -> Result<Policy, (String, String)> {
        let wrong = |field: &str, why: String| (field.to_owned(), why);
        let file: File = serde_saphyr::from_str(text).map_err(|error| wrong("policy", error.to_string()))?;
        if file.api_version != "audit.k8s.io/v1" {
            return Err(wrong("apiVersion", format!("must be audit.k8s.io/v1, not {:?}", file.api_version)));
        }
        if file.kind != "Policy" {
            return Err(wrong("kind", format!("must be Policy, not {:?}", file.kind)));
        }
        if file.rules.is_empty() {
            return Err(wrong("rules", "there are none".to_owned()));
        }
        let mut rules = Vec::with_capacity(file.rules.len());
        for (i, rule) in file.rules.into_iter().enumerate() {
            let at = format!("rules[{i}]");
            let rule: Rule = serde_json::from_value(rule).map_err(|error| (at.clone(), error.to_string()))?;
            rule.check().map_err(|(field, why)| (format!("{at}.{field}"), why))?;
            rules.push(rule);
        }
        Ok(Policy { omit_stages: file.omit_stages, omit_managed_fields: file.omit_managed_fields, rules })
    }

    /// What is wanted of a request. Somebody who is not known is in no rule about users.
    pub(super) fn wanted(&self, identity: Option<&Identity>, asked: &Attributes) -> Wanted {
        let Some(rule) = self.rules.iter().find(|rule| rule.is_about(identity, asked)) else {
            return Wanted::default();
        };
        let omit_stages = self.omit_stages.iter().chain(&rule.omit_stages).copied().collect();
        let omit_managed_fields = rule.omit_managed_fields.unwrap_or(self.omit_managed_fields);
        Wanted { level: rule.level.unwrap_or_default(), omit_stages, omit_managed_fields }
    }
}

impl Rule {
    fn check(&self) -> Result<(), (String, String)> {
        let wrong = |field: String, why: &str| Err((field, why.to_owned()));
        if self.level.is_none() {
            return wrong("level".to_owned(), "is required");
        }
        let names_resources = !self.resources.is_empty() || !self.namespaces.is_empty();
        if names_resources && !self.paths.is_empty() {
            return wrong(
                "nonResourceURLs".to_owned(),
                "rules cannot apply to both regular resources and non-resource URLs",
            );
        }
        for (i, path) in self.paths.iter().enumerate().filter(|(_, path)| *path != "*") {
            let field = format!("nonResourceURLs[{i}]");
            if !path.starts_with('/') {
                return wrong(field, "non-resource URL rules must begin with a '/' character");
            }
            if path.trim_end_matches('*').contains('*') || path.ends_with("**") {
                return wrong(field, "non-resource URL wildcards '*' must be the final character of the rule");
            }
        }
        for (i, resources) in self.resources.iter().enumerate() {
            if resources.group.contains('/') {
                return wrong(format!("resources[{i}].group"), "is a group without a version");
            }
            if !resources.resource_names.is_empty() && resources.resources.is_empty() {
                return wrong(
                    format!("resources[{i}].resourceNames"),
                    "using resourceNames requires at least one resource",
                );
            }
        }
        Ok(())
    }

    fn is_about(&self, identity: Option<&Identity>, asked: &Attributes) -> bool {
        let has = |list: &[String], value: &str| list.is_empty() || list.iter().any(|one| one == value);
        if !has(&self.users, identity.map_or("", |identity| &identity.user)) || !has(&self.verbs, &asked.verb) {
            return false;
        }
        let in_group = |group: &String| identity.is_some_and(|identity| identity.is_in(group));
        if !self.user_groups.is_empty() && !self.user_groups.iter().any(in_group) {
            return false;
        }
        if !self.namespaces.is_empty() || !self.resources.is_empty() {
            return asked.is_resource()
                && has(&self.namespaces, &asked.namespace)
                && (self.resources.is_empty() || self.resources.iter().any(|resources| resources.have(asked)));
        }
        let matches = |path: &String| match path.strip_suffix('*') {
            Some(beginning) => asked.path.starts_with(beginning),
            None => asked.path == *path,
        };
        self.paths.is_empty() || (!asked.is_resource() && self.paths.iter().any(matches))
    }
}

impl Resources {
    fn have(&self, asked: &Attributes) -> bool {
        if self.group != asked.group {
            return false;
        }
        if self.resources.is_empty() {
            return true;
        }
        if !self.resource_names.is_empty() && !self.resource_names.contains(&asked.name) {
            return false;
        }
        let (resource, subresource) = (asked.resource.as_str(), asked.subresource.as_str());
        self.resources.iter().any(|pattern| match pattern.split_once('/') {
            _ if pattern == "*" => true,
            None => subresource.is_empty() && pattern == resource,
            // With a wildcard for the subresource, the object itself is meant, too.
            Some((of, "*")) => of == resource || of == "*",
            Some(("*", part)) => !subresource.is_empty() && part == subresource,
            Some((of, part)) => of == resource && part == subresource,
        })
    }
}
