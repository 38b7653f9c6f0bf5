//! A container's environment: Services, whole ConfigMaps and Secrets, and the variables that it names, each of which may
//! refer to those before it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::names::relaxed_env_var_name;
use api::pod_resources::List;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{
    ConfigMap, Container, EnvFromSource, EnvVarSource, FileKeySelector, Pod, Secret, Service,
};

use super::fields::{self, Addresses};
use super::{Invalid, expand, services};
use crate::pod_plan::Says;

/// What values are taken from.
#[derive(Clone, Copy, Debug)]
pub struct Sources<'a> {
    /// The ConfigMaps of the pod's namespace that the container refers to, by name; those that there are.
    pub config_maps: &'a BTreeMap<String, Arc<ConfigMap>>,
    /// The Secrets of the pod's namespace that the container refers to, by name; those that there are.
    pub secrets: &'a BTreeMap<String, Arc<Secret>>,
    /// All Services, or at least those of the pod's namespace and the API's own.
    pub services: &'a [Arc<Service>],
    /// What the node's pods may request in all.
    pub allocatable: &'a List,
    /// The content of files in the pod's volumes that the container refers to, by the volume's name and the path in it;
    /// those that there are.
    pub files: &'a BTreeMap<(String, String), String>,
}

/// What a container refers to in its environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct References {
    /// ConfigMaps.
    pub config_maps: BTreeSet<String>,
    /// Secrets.
    pub secrets: BTreeSet<String>,
    /// Files: a volume's name and a path in it.
    pub files: BTreeSet<(String, String)>,
}

/// A container's environment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Environment {
    /// The variables.
    pub variables: BTreeMap<String, String>,
    /// What is said of them in Events (`InvalidEnvironmentVariableNames`).
    pub says: Vec<Says>,
}

/// Which objects of the pod's namespace, and which files, have to be there to tell the container's environment.
#[must_use]
pub fn references(container: &Container) -> References {
    let mut references = References::default();
    for source in container.env_from.iter().flatten() {
        references.config_maps.extend(source.config_map_ref.iter().map(|reference| reference.name.clone()));
        references.secrets.extend(source.secret_ref.iter().map(|reference| reference.name.clone()));
    }
    for source in container.env.iter().flatten().filter_map(|variable| variable.value_from.as_ref()) {
        references.config_maps.extend(source.config_map_key_ref.iter().map(|reference| reference.name.clone()));
        references.secrets.extend(source.secret_key_ref.iter().map(|reference| reference.name.clone()));
        let files = source.file_key_ref.iter();
        references.files.extend(files.map(|file| (file.volume_name.clone(), file.path.clone())));
    }
    references
}

/// A container's environment. `addresses` are those that the pod and its node have by now.
///
/// # Errors
/// If something that is not optional is not there, with upstream's words.
pub fn environment(
    pod: &Pod,
    container: &Container,
    sources: &Sources<'_>,
    addresses: Addresses<'_>,
) -> Result<Environment, Invalid> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let links = pod.spec.as_ref().and_then(|spec| spec.enable_service_links).unwrap_or(true);
    let of_services = services::variables(sources.services, namespace, links);
    let mut found = Environment::default();
    for source in container.env_from.iter().flatten() {
        add_all(&mut found, namespace, source, sources)?;
    }
    let context = Context { pod, container, namespace, sources, addresses };
    for variable in container.env.iter().flatten() {
        let value = match (variable.value.as_deref().filter(|value| !value.is_empty()), &variable.value_from) {
            (Some(text), _) => {
                let known = |name: &str| found.variables.get(name).or_else(|| of_services.get(name));
                Some(expand(text, |name| known(name).map(String::as_str)))
            }
            (None, Some(source)) => context.value_of(source)?,
            (None, None) => Some(String::new()),
        };
        if let Some(value) = value {
            found.variables.insert(variable.name.clone(), value);
        }
    }
    for (name, value) in of_services {
        found.variables.entry(name).or_insert(value);
    }
    Ok(found)
}

/// Adds what a ConfigMap or Secret holds.
fn add_all(
    found: &mut Environment,
    namespace: &str,
    source: &EnvFromSource,
    sources: &Sources<'_>,
) -> Result<(), Invalid> {
    let (kind, name, entries) = if let Some(reference) = &source.config_map_ref {
        let Some(map) = sources.config_maps.get(&reference.name) else {
            return absent("configmap", &reference.name, reference.optional);
        };
        let entries = map.data.iter().flatten().map(|(key, value)| (key, value.clone()));
        ("configMap", &reference.name, entries.collect::<Vec<_>>())
    } else if let Some(reference) = &source.secret_ref {
        let Some(secret) = sources.secrets.get(&reference.name) else {
            return absent("secret", &reference.name, reference.optional);
        };
        let entries = secret.data.iter().flatten().map(|(key, value)| (key, text(value)));
        ("secret", &reference.name, entries.collect())
    } else {
        return Ok(());
    };
    let prefix = source.prefix.as_deref().unwrap_or_default();
    let mut skipped = Vec::new();
    for (key, value) in entries {
        let variable = format!("{prefix}{key}");
        if relaxed_env_var_name(&variable).is_empty() {
            found.variables.insert(variable, value);
        } else {
            skipped.push(variable);
        }
    }
    if !skipped.is_empty() {
        let message = format!(
            "Keys [{}] from the EnvFrom {kind} {namespace}/{name} were skipped since they are considered invalid \
             environment variable names.",
            skipped.join(", ")
        );
        found.says.push(Says { warning: true, reason: "InvalidEnvironmentVariableNames", message, field: None });
    }
    Ok(())
}

fn absent(kind: &str, name: &str, optional: Option<bool>) -> Result<(), Invalid> {
    match optional {
        Some(true) => Ok(()),
        _ => Err(Invalid::container(format!("{kind} {name:?} not found"))),
    }
}

/// What processes get are bytes; CRI takes text only.
fn text(value: &ByteString) -> String {
    String::from_utf8_lossy(&value.0).into_owned()
}

struct Context<'a> {
    pod: &'a Pod,
    container: &'a Container,
    namespace: &'a str,
    sources: &'a Sources<'a>,
    addresses: Addresses<'a>,
}

impl Context<'_> {
    /// The value from elsewhere; `None` if it is not there and need not be.
    fn value_of(&self, source: &EnvVarSource) -> Result<Option<String>, Invalid> {
        if let Some(reference) = &source.field_ref {
            let value = fields::field(self.pod, &reference.field_path, self.addresses);
            return value.map(Some).map_err(Invalid::container);
        }
        if let Some(selector) = &source.resource_field_ref {
            let value = fields::resource(self.pod, self.container, selector, self.sources.allocatable);
            return value.map(Some).map_err(Invalid::container);
        }
        if let Some(reference) = &source.config_map_key_ref {
            let (name, key) = (&reference.name, &reference.key);
            let Some(map) = self.sources.config_maps.get(name) else {
                return absent("configmap", name, reference.optional).map(|()| None);
            };
            let value = map.data.as_ref().and_then(|data| data.get(key)).cloned();
            return self.present(value, "ConfigMap", name, key, reference.optional);
        }
        if let Some(reference) = &source.secret_key_ref {
            let (name, key) = (&reference.name, &reference.key);
            let Some(secret) = self.sources.secrets.get(name) else {
                return absent("secret", name, reference.optional).map(|()| None);
            };
            let value = secret.data.as_ref().and_then(|data| data.get(key)).map(text);
            return self.present(value, "Secret", name, key, reference.optional);
        }
        match &source.file_key_ref {
            Some(reference) => self.value_in_file(reference),
            None => Ok(Some(String::new())),
        }
    }

    fn present(
        &self,
        value: Option<String>,
        kind: &str,
        name: &str,
        key: &str,
        optional: Option<bool>,
    ) -> Result<Option<String>, Invalid> {
        if value.is_none() && optional != Some(true) {
            let namespace = self.namespace;
            return Err(Invalid::container(format!("couldn't find key {key} in {kind} {namespace}/{name}")));
        }
        Ok(value)
    }

    /// The value of a variable in a file of a volume: lines `NAME='value'` (KEP-3721).
    fn value_in_file(&self, reference: &FileKeySelector) -> Result<Option<String>, Invalid> {
        let (path, key, optional) = (&reference.path, &reference.key, reference.optional == Some(true));
        let Some(content) = self.sources.files.get(&(reference.volume_name.clone(), path.clone())) else {
            let message = format!("env file {path:?} not found in volume {:?}", reference.volume_name);
            return if optional { Ok(None) } else { Err(Invalid::container(message)) };
        };
        match quoted_value(content, key) {
            Ok(None) if !optional => {
                Err(Invalid::container(format!("environment variable key {key:?} not found in file {path:?}")))
            }
            Ok(value) => Ok(value),
            Err(line) => {
                Err(Invalid::container(format!("couldn't parse env file {path:?}: line {line} is not NAME='value'")))
            }
        }
    }
}

/// The value of a name among lines `NAME='value'`; the value may go over several lines, and lines that start with `#` are
/// passed over. The last one of a name counts. An error is the number of a line that is no such line.
fn quoted_value(content: &str, key: &str) -> Result<Option<String>, usize> {
    let mut found = None;
    let mut rest = content;
    while !rest.is_empty() {
        let number = content[..content.len() - rest.len()].lines().count() + 1;
        let line = rest.lines().next().unwrap_or_default();
        if line.trim().is_empty() || line.trim_start().starts_with('#') {
            rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
            continue;
        }
        let (name, value) = rest.trim_start().split_once("='").ok_or(number)?;
        let (value, after) = value.split_once('\'').ok_or(number)?;
        let (tail, after) = after.split_once('\n').unwrap_or((after, ""));
        let is_end = tail.trim().is_empty() || tail.trim_start().starts_with('#');
        if !is_end || !relaxed_env_var_name(name).is_empty() {
            return Err(number);
        }
        if name == key {
            found = Some(value.to_owned());
        }
        rest = after;
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
