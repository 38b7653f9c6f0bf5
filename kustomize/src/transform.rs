//! What a kustomization does to all objects alike: names, namespaces, labels, annotations, images and replicas.

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::{Value, json};

use crate::Error;
use crate::kustomization::{Image, Replica};
use crate::resource::Resource;
use crate::set::Set;
use crate::spec::{FieldSpec, Made, change};
use crate::yaml::is_null;

/// At which end of a name something is added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Prefix,
    Suffix,
}

/// Whether names of the kind stay as they are: they are names of something else.
fn keeps_its_name(resource: &Resource) -> bool {
    let gvk = resource.original_id().gvk;
    match gvk.kind.as_str() {
        "CustomResourceDefinition" | "Namespace" => true,
        "APIService" => gvk.group == "apiregistration.k8s.io",
        _ => false,
    }
}

/// Adds a prefix or a suffix to names.
pub(crate) fn rename(set: &mut Set, end: End, text: &str, fields: &[FieldSpec]) -> Result<(), Error> {
    for resource in &mut set.list {
        if keeps_its_name(resource) {
            continue;
        }
        let gvk = resource.original_id().gvk;
        for field in fields.iter().filter(|field| gvk.is_selected(&field.gvk())) {
            if field.path == "metadata/name" {
                match end {
                    End::Prefix => resource.prefixes.push(text.to_owned()),
                    End::Suffix => resource.suffixes.push(text.to_owned()),
                }
                resource.remember_id();
            }
            change(&mut resource.object, field, Made::Text, &mut |value| {
                let old = in_words(value)?;
                *value = match end {
                    End::Prefix => json!(format!("{text}{old}")),
                    End::Suffix => json!(format!("{old}{text}")),
                };
                Ok(())
            })?;
        }
    }
    Ok(())
}

/// A value that is no list and no map, as text.
pub(crate) fn in_words(value: &Value) -> Result<String, Error> {
    match value {
        Value::String(_) if is_null(value) => Ok(String::new()),
        Value::String(text) => Ok(text.clone()),
        Value::Null => Ok(String::new()),
        Value::Object(_) | Value::Array(_) => {
            Err(Error::said(format!("wrong node kind: expected ScalarNode: {value}")))
        }
        other => Ok(other.to_string()),
    }
}

/// Which subjects of bindings get the namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Subjects {
    /// The account `default`.
    #[default]
    Default,
    All,
    None,
}

/// Puts objects into a namespace.
pub(crate) fn set_namespace(
    set: &mut Set,
    namespace: &str,
    fields: &[FieldSpec],
    subjects: Subjects,
    unset_only: bool,
) -> Result<(), Error> {
    for index in 0..set.list.len() {
        let resource = &mut set.list[index];
        if resource.is_gone() {
            continue;
        }
        resource.remember_id();
        let gvk = resource.gvk();
        let mut put = |value: &mut Value| {
            if !unset_only || in_words(value)?.is_empty() {
                *value = json!(namespace);
            }
            Ok(())
        };
        if !gvk.is_cluster_scoped() {
            let field = FieldSpec::new("", "", "metadata/namespace", true);
            change(&mut resource.object, &field, Made::Text, &mut put)?;
        }
        let is_binding = matches!(gvk.kind.as_str(), "RoleBinding" | "ClusterRoleBinding");
        if is_binding {
            for subject in resource.object["subjects"].as_array_mut().into_iter().flatten() {
                let is_meant = match subjects {
                    Subjects::Default => subject["name"] == "default",
                    Subjects::All => subject["kind"] == "ServiceAccount",
                    Subjects::None => false,
                };
                if let Some(subject) = subject.as_object_mut().filter(|_| is_meant) {
                    put(subject.entry("namespace").or_insert_with(|| json!("")))?;
                }
            }
        }
        for field in fields {
            let is_done = field.path == "metadata/namespace" || (is_binding && field.path == "subjects");
            if !is_done {
                change(&mut resource.object, field, Made::Text, &mut put)?;
            }
        }
        let id = set.list[index].id();
        let same = set.list.iter().filter(|other| !other.is_gone() && other.id().is(&id)).count();
        if same != 1 {
            return Err(Error::said(format!("namespace transformation produces ID conflict: {same} objects are {id}")));
        }
    }
    Ok(())
}

/// Puts labels or annotations into maps.
pub(crate) fn set_texts(set: &mut Set, texts: &BTreeMap<String, String>, fields: &[FieldSpec]) -> Result<(), Error> {
    for resource in &mut set.list {
        for field in fields {
            change(&mut resource.object, field, Made::Map, &mut |value| {
                if is_null(value) {
                    *value = json!({});
                }
                let Some(map) = value.as_object_mut() else {
                    let path = &field.path;
                    return Err(Error::said(format!("wrong node kind: expected MappingNode at path '{path}'")));
                };
                map.extend(texts.iter().map(|(name, text)| (name.clone(), json!(text))));
                Ok(())
            })?;
        }
    }
    Ok(())
}

/// Sets how many pods the workloads of a name have.
pub(crate) fn set_replicas(set: &mut Set, replica: &Replica, fields: &[FieldSpec]) -> Result<(), Error> {
    let mut found = false;
    for field in fields {
        for index in set.by_any_id(|id| id.name == replica.name && id.gvk.is_selected(&field.gvk())) {
            found = true;
            change(&mut set.list[index].object, field, Made::Text, &mut |value| {
                *value = json!(replica.count);
                Ok(())
            })?;
        }
    }
    if found {
        return Ok(());
    }
    let kinds: Vec<String> = fields.iter().map(|field| field.gvk().to_string()).collect();
    let (name, kinds) = (&replica.name, kinds.join(" "));
    Err(Error::said(format!("resource with name {name} does not match a config with the following GVK [{kinds}]")))
}

/// Changes images of containers, wherever they are, and of fields.
pub(crate) fn set_images(set: &mut Set, image: &Image, fields: &[FieldSpec]) -> Result<(), Error> {
    let pattern = format!("^{}(:[a-zA-Z0-9_.{{}}-]*)?(@sha256:[a-zA-Z0-9_.{{}}-]*)?$", image.name);
    let pattern = Regex::new(&pattern)
        .map_err(|_| Error::said(format!("the image's name {:?} is no regular expression", image.name)))?;
    let mut put = |value: &mut Value| {
        let old = in_words(value)?;
        if pattern.is_match(&old) {
            *value = json!(changed(&old, image));
        }
        Ok(())
    };
    for resource in &mut set.list {
        if resource.kind() != "CustomResourceDefinition" {
            containers(&mut resource.object, &mut put)?;
        }
    }
    for resource in &mut set.list {
        for field in fields {
            change(&mut resource.object, field, Made::Never, &mut put)?;
        }
    }
    Ok(())
}

fn containers(value: &mut Value, put: &mut dyn FnMut(&mut Value) -> Result<(), Error>) -> Result<(), Error> {
    match value {
        Value::Array(elements) => elements.iter_mut().try_for_each(|element| containers(element, put)),
        Value::Object(fields) => {
            for (name, value) in fields {
                containers(value, put)?;
                let Some(elements) = value.as_array_mut() else { continue };
                if name == "containers" || name == "initContainers" {
                    for element in elements {
                        if let Some(image) = element.get_mut("image").filter(|image| !is_null(image)) {
                            put(image)?;
                        }
                    }
                }
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// An image with another name, tag or digest.
fn changed(old: &str, image: &Image) -> String {
    let (name, mut tag, mut digest) = parts(old);
    let name = if image.new_name.is_empty() { name } else { &image.new_name };
    match (image.new_tag.is_empty(), image.digest.is_empty()) {
        (false, _) => (tag, digest) = (image.new_tag.clone(), image.digest.clone()),
        (true, false) => (tag, digest) = (String::new(), image.digest.clone()),
        (true, true) if !image.tag_suffix.is_empty() => {
            tag.push_str(&image.tag_suffix);
            digest = String::new();
        }
        _ => {}
    }
    let mut new = name.to_owned();
    for (separator, part) in [(':', tag), ('@', digest)] {
        if !part.is_empty() {
            new.push(separator);
            new.push_str(&part);
        }
    }
    new
}

/// An image's name, tag and digest. A colon before the first slash belongs to a port.
fn parts(image: &str) -> (&str, String, String) {
    let after = image.find('/').unwrap_or(0);
    let (before_digest, digest) = match image[after..].find('@') {
        Some(at) => (&image[..after + at], &image[after + at + 1..]),
        None => (image, ""),
    };
    let (name, tag) = match before_digest[after..].find(':') {
        Some(at) => (&before_digest[..after + at], &before_digest[after + at + 1..]),
        None => (before_digest, ""),
    };
    (name, tag.to_owned(), digest.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_have_parts() {
        let check = |image: &str, name: &str, tag: &str, digest: &str| {
            assert_eq!(parts(image), (name, tag.to_owned(), digest.to_owned()), "{image}");
        };
        check("nginx", "nginx", "", "");
        check("nginx:1", "nginx", "1", "");
        check("host:5000/a/b", "host:5000/a/b", "", "");
        check("host:5000/a/b:1@sha256:x", "host:5000/a/b", "1", "sha256:x");
        check("a@sha256:x", "a", "", "sha256:x");
    }
}
