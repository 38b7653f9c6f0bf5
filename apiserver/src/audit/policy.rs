//! `audit.k8s.io/v1` Policy: how much is written down of which requests. The first rule that is about a request decides.
//!
//! What always holds: a policy is used as a whole or not at all, and of what is wrong with it all is told, by its place. What
//! is not known in it is passed over with a warning, as upstream does.

use std::collections::BTreeMap;
use std::path::{Path as FilePath, PathBuf};

use api::field::{Error, ErrorList, Path};
use api::names::dns1123_subdomain;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::authn::Identity;
use crate::authz::Attributes;
use crate::config_file;

/// How much of a request is written down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
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
    const ALL: [Level; 4] = [Level::None, Level::Metadata, Level::Request, Level::RequestResponse];

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
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

impl Stage {
    const ALL: [Stage; 4] = [Stage::RequestReceived, Stage::ResponseStarted, Stage::ResponseComplete, Stage::Panic];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Stage::RequestReceived => "RequestReceived",
            Stage::ResponseStarted => "ResponseStarted",
            Stage::ResponseComplete => "ResponseComplete",
            Stage::Panic => "Panic",
        }
    }
}

/// A set of stages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stages(u8);

impl Stages {
    pub(super) fn contains(self, stage: Stage) -> bool {
        self.0 & (1 << stage as u8) != 0
    }

    fn and(self, other: Stages) -> Stages {
        Stages(self.0 | other.0)
    }
}

impl FromIterator<Stage> for Stages {
    fn from_iter<I: IntoIterator<Item = Stage>>(stages: I) -> Stages {
        Stages(stages.into_iter().fold(0, |all, stage| all | (1 << stage as u8)))
    }
}

/// A policy that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// It cannot be read.
    #[error("the audit policy {path} cannot be read: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Something in it is wrong.
    #[error("the audit policy {path}: {why}")]
    Wrong {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        why: String,
    },
}

/// What is written down of which requests.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    rules: Vec<Rule>,
}

/// A rule, with what the policy says for all of them.
#[derive(Clone, Debug, Default)]
struct Rule {
    wanted: Wanted,
    about: Written,
}

/// A rule as it is written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Written {
    level: String,
    users: Vec<String>,
    user_groups: Vec<String>,
    verbs: Vec<String>,
    resources: Vec<Resources>,
    namespaces: Vec<String>,
    #[serde(rename = "nonResourceURLs")]
    paths: Vec<String>,
    omit_stages: Vec<String>,
    omit_managed_fields: Option<bool>,
    #[serde(flatten)]
    unknown: BTreeMap<String, Value>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Resources {
    group: String,
    resources: Vec<String>,
    resource_names: Vec<String>,
    #[serde(flatten)]
    unknown: BTreeMap<String, Value>,
}

/// A policy as it is written.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct File {
    api_version: String,
    kind: String,
    #[allow(dead_code, reason = "objects may have metadata, and nothing depends on it")]
    metadata: Value,
    omit_stages: Vec<String>,
    omit_managed_fields: bool,
    rules: Vec<Value>,
    #[serde(flatten)]
    unknown: BTreeMap<String, Value>,
}

/// What a policy says of one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) level: Level,
    pub(super) omit_stages: Stages,
    pub(super) omit_managed_fields: bool,
}

impl Policy {
    /// Reads the policy in a file.
    ///
    /// # Errors
    /// Fails, and says where, if something in it has no meaning.
    pub fn read(path: &FilePath) -> Result<Policy, PolicyError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| PolicyError::Read { path: path.to_owned(), source })?;
        let parsed = Policy::parse(&text).map_err(|why| PolicyError::Wrong { path: path.to_owned(), why })?;
        for warning in &parsed.1 {
            tracing::warn!(path = %path.display(), "the audit policy: {warning}");
        }
        Ok(parsed.0)
    }

    /// Reads a policy, and what is to be warned of.
    pub(super) fn parse(text: &str) -> Result<(Policy, Vec<String>), String> {
        let mut warnings = Vec::new();
        if let Err(why) = serde_saphyr::from_str::<Value>(text) {
            // Unless it cannot be read at all, which is told below.
            warnings.push(why.to_string().lines().next().unwrap_or_default().to_owned());
        }
        let file: File = config_file::parse(text.as_bytes())?;
        if file.api_version != "audit.k8s.io/v1" {
            return Err(format!("apiVersion: must be audit.k8s.io/v1, not {:?}", file.api_version));
        }
        if file.kind != "Policy" {
            return Err(format!("kind: must be Policy, not {:?}", file.kind));
        }
        if file.rules.is_empty() {
            return Err("rules: loaded illegal policy with 0 rules".to_owned());
        }
        let mut errors = ErrorList::new();
        warn_of(&file.unknown, "", &mut warnings);
        let omitted = stages(&file.omit_stages, &Path::new("omitStages"), &mut errors);
        let mut rules = Vec::with_capacity(file.rules.len());
        for (i, rule) in file.rules.into_iter().enumerate() {
            let path = Path::new("rules").index(i);
            let about: Written = config_file::decode(rule).map_err(|why| format!("{path}: {why}"))?;
            warn_of(&about.unknown, &format!("{path}."), &mut warnings);
            for (i, resources) in about.resources.iter().enumerate() {
                warn_of(&resources.unknown, &format!("{}.", path.child("resources").index(i)), &mut warnings);
            }
            let (level, own) = about.check(&path, &mut errors);
            let omit_managed_fields = about.omit_managed_fields.unwrap_or(file.omit_managed_fields);
            rules.push(Rule { wanted: Wanted { level, omit_stages: omitted.and(own), omit_managed_fields }, about });
        }
        if errors.is_empty() { Ok((Policy { rules }, warnings)) } else { Err(errors.to_string()) }
    }

    /// How much is written down of a request.
    #[must_use]
    pub fn level(&self, identity: Option<&Identity>, asked: &Attributes) -> Level {
        self.wanted(identity, asked).level
    }

    /// What is wanted of a request. Somebody who is not known is in no rule about users.
    pub(super) fn wanted(&self, identity: Option<&Identity>, asked: &Attributes) -> Wanted {
        let rule = self.rules.iter().find(|rule| rule.about.is_about(identity, asked));
        rule.map_or_else(Wanted::default, |rule| rule.wanted)
    }
}

fn warn_of(unknown: &BTreeMap<String, Value>, place: &str, warnings: &mut Vec<String>) {
    warnings.extend(unknown.keys().map(|field| format!("unknown field \"{place}{field}\" is passed over")));
}

fn stages(names: &[String], path: &Path, errors: &mut ErrorList) -> Stages {
    let mut found = Vec::with_capacity(names.len());
    for (i, name) in names.iter().enumerate() {
        match Stage::ALL.into_iter().find(|stage| stage.as_str() == name) {
            Some(stage) => found.push(stage),
            None => {
                let allowed = Stage::ALL.map(Stage::as_str).join(",");
                errors.push(Error::invalid(&path.index(i), name, format!("allowed stages are {allowed}")));
            }
        }
    }
    found.into_iter().collect()
}

impl Written {
    /// What is wrong with it, in upstream's order; and its level and stages, if they have a meaning.
    fn check(&self, path: &Path, errors: &mut ErrorList) -> (Level, Stages) {
        let level = Level::ALL.into_iter().find(|level| level.as_str() == self.level);
        if self.level.is_empty() {
            errors.push(Error::required(&path.child("level"), ""));
        } else if level.is_none() {
            errors.push(Error::not_supported(&path.child("level"), &self.level, &Level::ALL.map(Level::as_str)));
        }
        let urls = path.child("nonResourceURLs");
        for (i, url) in self.paths.iter().enumerate().filter(|(_, url)| *url != "*") {
            let mut refuse = |why: &str| errors.push(Error::invalid(&urls.index(i), url, why));
            if !url.starts_with('/') {
                refuse("non-resource URL rules must begin with a '/' character");
            }
            if url.strip_suffix('*').unwrap_or(url).contains('*') {
                refuse("non-resource URL wildcards '*' must be the final character of the rule");
            }
        }
        for (i, resources) in self.resources.iter().enumerate() {
            let path = path.child("resources").index(i);
            if !resources.group.is_empty() {
                errors.push_invalid(&path.child("group"), &resources.group, dns1123_subdomain(&resources.group));
            }
            if !resources.resource_names.is_empty() && resources.resources.is_empty() {
                let why = "using resourceNames requires at least one resource";
                errors.push(Error::invalid(&path.child("resourceNames"), resources.resource_names.join(","), why));
            }
        }
        let omitted = stages(&self.omit_stages, &path.child("omitStages"), errors);
        let names_resources = !self.resources.is_empty() || !self.namespaces.is_empty();
        if names_resources && !self.paths.is_empty() {
            let why = "rules cannot apply to both regular resources and non-resource URLs";
            errors.push(Error::invalid(&urls, self.paths.join(","), why));
        }
        (level.unwrap_or_default(), omitted)
    }

    fn is_about(&self, identity: Option<&Identity>, asked: &Attributes) -> bool {
        let has = |list: &[String], value: &str| list.is_empty() || list.iter().any(|one| one == value);
        if !self.users.is_empty() && !identity.is_some_and(|identity| self.users.contains(&identity.user)) {
            return false;
        }
        let in_group = |group: &String| identity.is_some_and(|identity| identity.is_in(group));
        if !self.user_groups.is_empty() && !self.user_groups.iter().any(in_group) {
            return false;
        }
        if !has(&self.verbs, &asked.verb) {
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
        self.resources.iter().any(|pattern| {
            let is_it = match pattern.split_once('/') {
                None => subresource.is_empty() && pattern == resource,
                Some((of, part)) => !subresource.is_empty() && of == resource && part == subresource,
            };
            let of_any = pattern.strip_prefix("*/").is_some_and(|part| !subresource.is_empty() && part == subresource);
            // The object itself is meant, too.
            let any_of = pattern.strip_suffix("/*").is_some_and(|of| of == resource);
            pattern == "*" || is_it || of_any || any_of
        })
    }
}
