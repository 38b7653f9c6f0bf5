//! `ConfigMaps` and `Secrets` out of texts and files, and the hash of their content that their names get.

use std::collections::BTreeMap;
use std::fmt::Write;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::Error;
use crate::kustomization::{Generator, GeneratorOptions};
use crate::loader::Loader;
use crate::resource::{Behavior, Resource};

/// Makes an object.
pub(crate) fn generate(
    kind: &str,
    generator: &Generator,
    all: Option<&GeneratorOptions>,
    loader: &Loader<'_>,
) -> Result<Resource, Error> {
    if generator.name.is_empty() {
        return Err(Error::said("a configmap must have a name"));
    }
    let pairs = pairs(generator, loader)?;
    let options = united(generator.options.as_ref(), all);
    let mut metadata = json!({"name": generator.name});
    let metadata_fields = [("labels", &options.labels), ("annotations", &options.annotations)];
    for (field, texts) in metadata_fields.into_iter().filter(|(_, texts)| !texts.is_empty()) {
        metadata[field] = json!(texts);
    }
    if !generator.namespace.is_empty() {
        metadata["namespace"] = json!(generator.namespace);
    }
    let mut object = json!({"apiVersion": "v1", "kind": kind, "metadata": metadata});
    if kind == "Secret" {
        let of_type = if generator.of_type.is_empty() { "Opaque" } else { &generator.of_type };
        object["type"] = json!(of_type);
    }
    for (key, content) in pairs {
        match String::from_utf8(content) {
            Ok(text) if kind == "ConfigMap" => object["data"][key] = json!(text),
            Ok(text) => object["data"][key] = json!(encoded(text.as_bytes())),
            Err(other) => {
                let field = if kind == "ConfigMap" { "binaryData" } else { "data" };
                object[field][key] = json!(encoded(other.as_bytes()));
            }
        }
    }
    if options.immutable {
        object["immutable"] = json!(true);
    }
    let mut resource = Resource::new(object);
    resource.hashed = !options.disable_name_suffix_hash;
    resource.behavior = Behavior::of(&generator.behavior);
    Ok(resource)
}

/// A generator's own options, with those for all.
fn united(own: Option<&GeneratorOptions>, all: Option<&GeneratorOptions>) -> GeneratorOptions {
    let mut options = all.cloned().unwrap_or_default();
    if let Some(own) = own.cloned() {
        options.labels.extend(own.labels);
        options.annotations.extend(own.annotations);
        options.disable_name_suffix_hash |= own.disable_name_suffix_hash;
        options.immutable |= own.immutable;
    }
    options
}

fn pairs(generator: &Generator, loader: &Loader<'_>) -> Result<BTreeMap<String, Vec<u8>>, Error> {
    let loading = |what: String, error: Error| error.doing(what).doing("loading KV pairs");
    let mut all: Vec<(String, Vec<u8>)> = Vec::new();
    let envs: Vec<&str> = generator.envs.iter().chain(Some(&generator.env)).map(String::as_str).collect();
    let envs: Vec<&str> = envs.into_iter().filter(|name| !name.is_empty()).collect();
    for name in &envs {
        let what = || format!("env source files: [{}]", envs.join(" "));
        let text = loader.load(name).map_err(|error| loading(what(), error))?;
        all.extend(variables(&text).map_err(|error| loading(what(), error))?);
    }
    for literal in &generator.literals {
        let (key, value) = literal.split_once('=').filter(|(key, _)| !key.is_empty()).ok_or_else(|| {
            let what = format!("literal sources [{}]", generator.literals.join(" "));
            loading(what, Error::said(format!("invalid literal source {literal}, expected key=value")))
        })?;
        all.push((key.to_owned(), without_quotes(value).as_bytes().to_vec()));
    }
    for source in &generator.files {
        let what = || format!("file sources: [{}]", generator.files.join(" "));
        let (key, path) = file(source).map_err(|error| loading(what(), error))?;
        let content = loader.load(path).map_err(|error| loading(what(), error))?;
        all.push((key.to_owned(), content));
    }
    let mut pairs = BTreeMap::new();
    for (key, content) in all {
        let is_valid = !key.is_empty()
            && key.len() <= 253
            && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
            && key != "."
            && !key.starts_with("..");
        if !is_valid {
            return Err(Error::said(format!("{key:?} is not a valid key name")));
        }
        if pairs.insert(key.clone(), content).is_some() {
            return Err(Error::said(format!("configmap {} illegally repeats the key `{key}`", generator.name)));
        }
    }
    Ok(pairs)
}

/// The key and the path of a file: `key=path`, or the path alone, whose last part is the key.
fn file(source: &str) -> Result<(&str, &str), Error> {
    match source.split_once('=') {
        None => Ok((source.rsplit('/').next().unwrap_or(source), source)),
        Some(("", path)) => Err(Error::said(format!("missing key name for file path {path:?} in source {source:?}"))),
        Some((key, "")) => Err(Error::said(format!("missing file path for key name {key:?} in source {source:?}"))),
        Some((_, path)) if path.contains('=') => {
            Err(Error::said(format!("source {source:?} key name or file path contains '='")))
        }
        Some((key, path)) => Ok((key, path)),
    }
}

/// The variables of a file, a line each; one without a value is empty.
fn variables(text: &[u8]) -> Result<Vec<(String, Vec<u8>)>, Error> {
    let text = std::str::from_utf8(text).map_err(|_| Error::said("a line has invalid utf8 bytes"))?;
    let mut found = Vec::new();
    for line in text.trim_start_matches('\u{feff}').lines() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (key, value) = line.split_once('=').unwrap_or((line, ""));
        let begins = |first: char| first.is_ascii_alphabetic() || "-._".contains(first);
        let is_valid = key.starts_with(begins) && key.chars().all(|c| begins(c) || c.is_ascii_digit());
        if !is_valid || key == "." || key.starts_with("..") {
            return Err(Error::said(format!("{key:?} is not a valid environment variable name")));
        }
        found.push((key.to_owned(), value.as_bytes().to_vec()));
    }
    Ok(found)
}

fn without_quotes(text: &str) -> &str {
    let mut inner = text.chars();
    match (inner.next(), inner.next_back()) {
        (Some(first @ ('"' | '\'')), Some(last)) if first == last => inner.as_str(),
        _ => text,
    }
}

/// Base64, in lines if it is long.
fn encoded(content: &[u8]) -> String {
    const LINE: usize = 70;
    let plain = BASE64_STANDARD.encode(content);
    if plain.len() <= LINE {
        return plain;
    }
    let mut text = String::with_capacity(plain.len() + plain.len() / LINE + 1);
    for (at, character) in plain.char_indices() {
        if at > 0 && at.is_multiple_of(LINE) {
            text.push('\n');
        }
        text.push(character);
    }
    text.push('\n');
    text
}

/// Adds the data of another one; its own stays where both have it.
pub(crate) fn merge_data(resource: &mut Resource, other: &Resource) {
    for field in ["data", "binaryData"] {
        let Some(data) = other.object[field].as_object() else { continue };
        let mut merged = data.clone();
        merged.extend(resource.object[field].as_object().cloned().unwrap_or_default());
        if !merged.is_empty() {
            resource.object[field] = Value::Object(merged);
        }
    }
}

/// Gives names their hashes.
pub(crate) fn hash_names(list: &mut [Resource]) {
    for resource in list.iter_mut().filter(|resource| resource.hashed) {
        let name = format!("{}-{}", resource.name(), hash(&resource.object));
        resource.remember_id();
        resource.set_name(&name);
    }
}

/// The hash of an object's content, by which a name changes with it. The name itself does not count.
fn hash(object: &Value) -> String {
    let field = |name: &str| match object.get(name) {
        Some(value) if !value.is_null() => value.clone(),
        _ => json!(""),
    };
    let mut content = Map::new();
    let kind = object["kind"].as_str().unwrap_or_default();
    let mut also = None;
    match kind {
        "ConfigMap" => also = Some("binaryData"),
        "Secret" => {
            content.insert("type".to_owned(), field("type"));
            also = Some("stringData");
        }
        _ => {}
    }
    if also.is_some() {
        content.insert("kind".to_owned(), json!(kind));
        content.insert("name".to_owned(), json!(""));
        content.insert("data".to_owned(), field("data"));
    } else {
        content = object.as_object().cloned().unwrap_or_default();
    }
    for name in also.into_iter().filter(|name| object[*name].is_object()) {
        content.insert(name.to_owned(), object[name].clone());
    }
    let digest = Sha256::digest(go_json(&Value::Object(content)));
    let mut hexadecimal = String::new();
    for byte in digest.iter().take(5) {
        let _ = write!(hexadecimal, "{byte:02x}");
    }
    // No vowels, so that no words come about.
    let letter = |letter: char| match letter {
        '0' => 'g',
        '1' => 'h',
        '3' => 'k',
        'a' => 'm',
        'e' => 't',
        other => other,
    };
    hexadecimal.chars().map(letter).collect()
}

/// JSON as Go writes it: keys in order, and what HTML or JavaScript could misread as escapes.
pub(crate) fn go_json(value: &Value) -> String {
    let mut sorted = value.clone();
    sorted.sort_all_objects();
    let mut text = String::new();
    for character in sorted.to_string().chars() {
        match character {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                let _ = write!(text, "\\u{:04x}", u32::from(character));
            }
            other => text.push(other),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_kustomize() {
        let check = |object: Value, expected: &str| assert_eq!(hash(&object), expected, "{object}");
        check(json!({"kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"a": "1"}}), "h29d89cmmt");
        check(json!({"kind": "ConfigMap", "data": {"a": "2"}}), "6gtghh96k8");
        check(json!({"kind": "ConfigMap"}), "6ct58987ht");
        check(json!({"kind": "Secret", "type": "Opaque", "data": {"a": "MQ=="}}), "25khgmg44c");
        check(json!({"kind": "Secret", "type": "Other", "data": {"a": "MQ=="}}), "dd8gbhk9fb");
    }

    #[test]
    fn quotes_go_if_they_are_around_it_all() {
        let check = |text: &str, expected: &str| assert_eq!(without_quotes(text), expected, "{text}");
        check("'a'", "a");
        check("\"a b\"", "a b");
        check("'a\"", "'a\"");
        check("'", "'");
        check("", "");
    }

    #[test]
    fn files_have_keys() {
        let check = |source: &str, expected: (&str, &str)| assert_eq!(file(source).unwrap(), expected);
        check("a/b.txt", ("b.txt", "a/b.txt"));
        check("k=a/b.txt", ("k", "a/b.txt"));
        assert!(file("=a").is_err() && file("a=").is_err() && file("a=b=c").is_err());
    }
}
