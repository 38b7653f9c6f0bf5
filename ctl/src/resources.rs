//! The server's resources, as discovery tells them, and what people call them.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::session::Ask;
use crate::{Error, Session};

/// What of a name must be escaped in a path.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':');
/// Discovery in one answer a root, from servers that know it.
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";

/// A resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Resource {
    /// The API group; empty for the core.
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) plural: String,
    pub(crate) singular: String,
    pub(crate) kind: String,
    pub(crate) namespaced: bool,
    pub(crate) short_names: Vec<String>,
    pub(crate) categories: Vec<String>,
    pub(crate) verbs: Vec<String>,
    pub(crate) subresources: Vec<String>,
}

impl Resource {
    /// `v1`, `apps/v1`.
    pub(crate) fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// As kubectl names it in what it says: `pods`, `deployments.apps`.
    pub(crate) fn qualified(&self) -> String {
        if self.group.is_empty() { self.plural.clone() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// As kubectl names one object in what it says: `pod/a`, `deployment.apps/a`.
    pub(crate) fn object(&self, name: &str) -> String {
        let kind = self.kind.to_lowercase();
        if self.group.is_empty() { format!("{kind}/{name}") } else { format!("{kind}.{}/{name}", self.group) }
    }

    /// The path of all objects, of a namespace or of all of them.
    pub(crate) fn path(&self, namespace: Option<&str>) -> String {
        let root = if self.group.is_empty() { "/api" } else { "/apis" };
        match namespace.filter(|_| self.namespaced) {
            Some(namespace) => {
                format!("{root}/{}/namespaces/{}/{}", self.api_version(), escape(namespace), self.plural)
            }
            None => format!("{root}/{}/{}", self.api_version(), self.plural),
        }
    }

    /// The path of an object.
    pub(crate) fn object_path(&self, namespace: &str, name: &str) -> String {
        format!("{}/{}", self.path(Some(namespace)), escape(name))
    }

    pub(crate) fn can(&self, verb: &str) -> bool {
        self.verbs.iter().any(|own| own == verb)
    }

    fn is_called(&self, name: &str) -> bool {
        self.plural == name
            || self.singular == name
            || self.kind.to_lowercase() == name
            || self.short_names.iter().any(|short| short == name)
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.qualified())
    }
}

/// Escapes what would be something else in a path.
pub(crate) fn escape(segment: &str) -> String {
    utf8_percent_encode(segment, SEGMENT).to_string()
}

/// All resources that a server has, in its order: what is preferred comes first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Catalog {
    resources: Vec<Resource>,
}

impl Catalog {
    /// Asks the server.
    pub(crate) async fn discover(session: &mut Session<'_>) -> Result<Catalog, Error> {
        let mut resources = Vec::new();
        for root in ["/api", "/apis"] {
            let answer = session.json(Ask { accept: AGGREGATED, ..Ask::get(root) }).await?;
            if answer["kind"] == "APIGroupDiscoveryList" {
                resources.extend(aggregated(&answer));
            } else {
                for (group, path) in versions(root, &answer) {
                    // A group whose server is away is no reason to be without the others.
                    match session.json(Ask::get(&path)).await {
                        Ok(answer) => resources.extend(legacy(&group, &answer)),
                        Err(Error::Server(_)) => {}
                        Err(error) => return Err(error),
                    }
                }
            }
        }
        Ok(Catalog { resources })
    }

    /// All of them.
    pub(crate) fn all(&self) -> &[Resource] {
        &self.resources
    }

    /// The resource that an object of this kind is of.
    pub(crate) fn of_kind(&self, api_version: &str, kind: &str) -> Result<&Resource, Error> {
        let mut candidates = self.resources.iter();
        let found = candidates.find(|resource| resource.kind == kind && resource.api_version() == api_version);
        found.ok_or_else(|| {
            let kinds = self.resources.iter().filter(|resource| resource.kind == kind);
            let versions: Vec<String> = kinds.map(Resource::api_version).collect();
            let hint = match versions.first() {
                Some(version) => format!(": the server has it in {version}"),
                None => suggestion(kind, self.resources.iter().map(|resource| resource.kind.as_str()))
                    .map_or_else(|| ": are its CRDs installed?".to_owned(), |other| format!(": did you mean {other}?")),
            };
            Error::said(format!("no kind {kind:?} in version {api_version:?} at the server{hint}"))
        })
    }

    /// What people call a resource: plural, singular, kind or short name, with version and group or without. A category is
    /// many.
    pub(crate) fn find(&self, name: &str) -> Result<Vec<&Resource>, Error> {
        let name = name.to_lowercase();
        let (first, rest) = name.split_once('.').map_or((name.as_str(), None), |(first, rest)| (first, Some(rest)));
        let is_it = |resource: &&Resource| {
            resource.is_called(first)
                && rest.is_none_or(|rest| {
                    let (version, group) = rest.split_once('.').unwrap_or((rest, ""));
                    resource.group == rest || (resource.version == version && resource.group == group)
                })
        };
        if let Some(found) = self.resources.iter().find(is_it) {
            return Ok(vec![found]);
        }
        let of_category = |resource: &&Resource| resource.categories.contains(&name);
        let mut many: Vec<&Resource> = Vec::new();
        for resource in self.resources.iter().filter(of_category) {
            if !many.iter().any(|other| other.group == resource.group && other.plural == resource.plural) {
                many.push(resource);
            }
        }
        if !many.is_empty() {
            return Ok(many);
        }
        let names = self.resources.iter().flat_map(|resource| [resource.plural.as_str(), resource.singular.as_str()]);
        let hint = suggestion(first, names).map_or_else(String::new, |other| format!("; did you mean {other:?}?"));
        Err(Error::said(format!("the server doesn't have a resource type {name:?}{hint}")))
    }
}

/// What somebody probably meant, if anything is close.
pub(crate) fn suggestion<'a>(text: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let near = known.map(|name| (strsim::damerau_levenshtein(text, name), name));
    let (distance, name) = near.min_by_key(|(distance, _)| *distance)?;
    (distance <= text.len().max(3) / 3).then_some(name)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(text).collect()
}

fn aggregated(answer: &Value) -> Vec<Resource> {
    let mut resources = Vec::new();
    for group in answer["items"].as_array().into_iter().flatten() {
        for version in group["versions"].as_array().into_iter().flatten() {
            for resource in version["resources"].as_array().into_iter().flatten() {
                let subresources = resource["subresources"].as_array().into_iter().flatten();
                resources.push(Resource {
                    group: text(&group["metadata"]["name"]),
                    version: text(&version["version"]),
                    plural: text(&resource["resource"]),
                    singular: text(&resource["singularResource"]),
                    kind: text(&resource["responseKind"]["kind"]),
                    namespaced: resource["scope"] == "Namespaced",
                    short_names: texts(&resource["shortNames"]),
                    categories: texts(&resource["categories"]),
                    verbs: texts(&resource["verbs"]),
                    subresources: subresources.map(|subresource| text(&subresource["subresource"])).collect(),
                });
            }
        }
    }
    resources
}

/// The paths of all versions, each with its group: of each group the preferred version first.
fn versions(root: &str, answer: &Value) -> Vec<(String, String)> {
    let core = texts(&answer["versions"]).into_iter().map(|version| (String::new(), format!("{root}/{version}")));
    let groups = answer["groups"].as_array().into_iter().flatten();
    let grouped = groups.flat_map(|group| {
        let preferred = text(&group["preferredVersion"]["groupVersion"]);
        let mut versions: Vec<String> =
            group["versions"].as_array().into_iter().flatten().map(|version| text(&version["groupVersion"])).collect();
        versions.sort_by_key(|version| *version != preferred);
        let name = text(&group["name"]);
        versions.into_iter().map(move |version| (name.clone(), format!("{root}/{version}")))
    });
    core.chain(grouped).collect()
}

fn legacy(group: &str, answer: &Value) -> Vec<Resource> {
    let version = text(&answer["groupVersion"]);
    let version = version.rsplit('/').next().unwrap_or_default();
    let mut resources: Vec<Resource> = Vec::new();
    for resource in answer["resources"].as_array().into_iter().flatten() {
        let name = text(&resource["name"]);
        if let Some((parent, subresource)) = name.split_once('/') {
            if let Some(parent) = resources.iter_mut().find(|resource| resource.plural == parent) {
                parent.subresources.push(subresource.to_owned());
            }
            continue;
        }
        resources.push(Resource {
            group: group.to_owned(),
            version: version.to_owned(),
            plural: name,
            singular: text(&resource["singularName"]),
            kind: text(&resource["kind"]),
            namespaced: resource["namespaced"] == true,
            short_names: texts(&resource["shortNames"]),
            categories: texts(&resource["categories"]),
            verbs: texts(&resource["verbs"]),
            subresources: Vec::new(),
        });
    }
    resources
}

#[cfg(test)]
mod tests;
