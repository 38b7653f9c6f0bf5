//! Kustomize: objects out of a directory that says which files and other directories they come from, and how they differ.
//!
//! [`build`] gives what `kubectl kustomize` (kustomize 5.8) prints, object by object and in its order. It asks no server and
//! fetches nothing: what it reads comes from a [`Files`], and of that nothing outside of the directory that names it.
//!
//! - `kustomization`: what the file says; `loader`: which files it may read; `yaml`: texts as Go reads them.
//! - `resource`, `set`, `id`: objects on their way, and what they are and were called.
//! - `target`: one directory after the other, bases first. `steps`: what is done to the objects, in order, out of `transform`,
//!   `patches` with `merge` and `select`, and `replacements`.
//! - `generate`: `ConfigMaps`, `Secrets` and the hashes of their names. `references`: names that follow, and `variables`.
//! - `defaults`, `scope`: what kustomize knows of kinds. `spec`: fields by paths. `order`, `origin`: the end.
//!
//! The order of fields means nothing here, as what is printed is sorted; the order of lists does.

use std::path::Path;

use serde_json::{Value, json};

mod defaults;
mod error;
mod files;
mod generate;
mod id;
mod kustomization;
mod loader;
mod merge;
mod order;
mod origin;
mod patches;
mod references;
mod replacements;
mod resource;
mod scope;
mod select;
mod set;
mod spec;
mod steps;
mod target;
mod transform;
mod variables;
mod yaml;

pub use error::Error;
pub use files::{Disk, Files};
pub use id::Id;

/// The label of `managedByLabel`, and its value in kubectl, which does not say a version.
const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "kustomize-(devel)");

/// What has been built.
#[derive(Debug)]
pub struct Built {
    /// The objects, or whatever keeps them from being built whole.
    pub objects: Result<Vec<Value>, Error>,
    /// What is to be said besides, a line each.
    pub warnings: Vec<String>,
}

/// Builds a directory. Files outside of the directories that name them are refused if `restricted`.
#[must_use]
pub fn build(files: &dyn Files, directory: &Path, restricted: bool) -> Built {
    let mut warnings = Vec::new();
    let objects = objects(files, directory, restricted, &mut warnings);
    Built { objects, warnings }
}

/// Names for files of objects, one each: by kind and name, and by namespace if there are several.
#[must_use]
pub fn file_names(objects: &[Value]) -> Vec<String> {
    let ids: Vec<Id> = objects.iter().map(|object| resource::Resource::new(object.clone()).id()).collect();
    let namespaced = || ids.iter().filter(|id| !id.is_cluster_scoped());
    let many = namespaced().any(|id| namespaced().any(|other| id.effective_namespace() != other.effective_namespace()));
    let name = |id: &Id| {
        let namespace = (many && !id.is_cluster_scoped()).then(|| id.effective_namespace());
        let parts = [namespace.unwrap_or_default(), &id.gvk.group, &id.gvk.version, &id.gvk.kind, &id.name];
        let parts: Vec<String> = parts.iter().filter(|part| !part.is_empty()).map(|part| part.to_lowercase()).collect();
        format!("{}.yaml", parts.join("_"))
    };
    ids.iter().map(name).collect()
}

fn objects(
    files: &dyn Files,
    directory: &Path,
    restricted: bool,
    warnings: &mut Vec<String>,
) -> Result<Vec<Value>, Error> {
    let loader = loader::Loader::new(files, directory, restricted)?;
    let target = target::Target::load(loader, String::new(), warnings)?;
    let mut all = target::Accumulated::default();
    target.accumulate(&mut all, warnings)?;
    let target::Accumulated { mut set, fields, vars } = all;
    generate::hash_names(&mut set.list);
    references::follow(&mut set, &fields.name_reference)?;
    let unused = variables::resolve(&mut set, &vars, &fields.var_reference)?;
    if !unused.is_empty() {
        warnings.push(format!("well-defined vars that were never replaced: {}", unused.join(",")));
    }
    set.list.retain(|resource| !is_local(resource));
    let it = &target.kustomization;
    order::sort(&mut set.list, it.sort_options.as_ref())?;
    Ok(set.list.into_iter().map(|resource| finished(resource, &it.build_metadata)).collect())
}

/// Whether an object is only there for building others.
fn is_local(resource: &resource::Resource) -> bool {
    let annotations = resource.texts("annotations");
    annotations.get("config.kubernetes.io/local-config").is_some_and(|word| word != "false")
}

/// An object, with what is to be said of it.
fn finished(mut resource: resource::Resource, wanted: &[String]) -> Value {
    yaml::settle(&mut resource.object);
    let notes = target::notes(&resource, wanted);
    let is_managed = wanted.iter().any(|wanted| wanted == "managedByLabel");
    if let Some(metadata) = resource.metadata_mut() {
        if !notes.is_empty()
            && let Some(annotations) = resource::child(metadata, "annotations")
        {
            annotations.extend(notes.into_iter().map(|(name, text)| (name, json!(text))));
        }
        if is_managed && let Some(labels) = resource::child(metadata, "labels") {
            labels.insert(MANAGED_BY.0.to_owned(), json!(MANAGED_BY.1));
        }
        // Upstream keeps notes of its own there meanwhile, and leaves nothing behind if they were all.
        let annotations = metadata.get("annotations");
        if annotations
            .is_some_and(|it| it.is_null() || it == "" || it.as_object().is_some_and(serde_json::Map::is_empty))
        {
            metadata.remove("annotations");
        }
    }
    resource.object
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_by_what_is_in_them() {
        let object = |api_version: &str, kind: &str, name: &str, namespace: &str| json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "namespace": namespace}});
        let check = |objects: &[Value], expected: &[&str]| assert_eq!(file_names(objects), expected);
        let (pod, web) = (object("v1", "Pod", "P", ""), object("apps/v1", "Deployment", "web", "default"));
        check(&[pod.clone(), web.clone()], &["v1_pod_p.yaml", "apps_v1_deployment_web.yaml"]);
        let (other, node) = (object("v1", "Pod", "p", "other"), object("v1", "Node", "n", ""));
        check(&[pod, other, node], &["default_v1_pod_p.yaml", "other_v1_pod_p.yaml", "v1_node_n.yaml"]);
    }
}
