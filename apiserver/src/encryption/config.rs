//! The EncryptionConfiguration of apiserver.config.k8s.io/v1: read strictly, validated in upstream's words, and written.
//!
//! No message and no debug output shows a secret: not of a key, and not of what stands where a key should.

use std::fmt;
use std::fmt::Write;

use api::field::{BadValue, Error, ErrorList, Path};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use super::cipher::Means;

const API_VERSION: &str = "apiserver.config.k8s.io/v1";
const KIND: &str = "EncryptionConfiguration";

/// What is said of each resource. It is valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    pub(super) resources: Vec<ResourceConfig>,
}

/// Some resources, and the providers that they have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ResourceConfig {
    pub(super) resources: Vec<String>,
    pub(super) providers: Vec<ProviderConfig>,
}

/// A provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ProviderConfig {
    Identity,
    Keys(Means, Vec<KeyConfig>),
}

/// A key.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct KeyConfig {
    pub(super) name: String,
    pub(super) secret: Vec<u8>,
}

impl fmt::Debug for KeyConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyConfig").field("name", &self.name).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    #[serde(default)]
    resources: Option<Vec<WrittenResource>>,
    #[serde(rename = "apiVersion")]
    _api_version: String,
    #[serde(rename = "kind")]
    _kind: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenResource {
    #[serde(default)]
    resources: Option<Vec<String>>,
    #[serde(default)]
    providers: Option<Vec<WrittenProvider>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenProvider {
    #[serde(default)]
    aesgcm: Option<WrittenKeys>,
    #[serde(default)]
    aescbc: Option<WrittenKeys>,
    #[serde(default)]
    secretbox: Option<WrittenKeys>,
    #[serde(default)]
    identity: Option<Nothing>,
    #[serde(default)]
    kms: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenKeys {
    #[serde(default)]
    keys: Option<Vec<WrittenKey>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenKey {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    secret: Option<String>,
}

impl Configuration {
    /// Reads a configuration, in YAML or JSON.
    ///
    /// # Errors
    /// If it is none, or not valid: in upstream's words where it has some.
    pub fn parse(text: &str) -> Result<Configuration, String> {
        if text.trim().is_empty() {
            return Err("it is empty".to_owned());
        }
        let options = serde_saphyr::options! { with_snippet: false };
        let value: Value = serde_saphyr::from_str_with_options(text, options).map_err(|error| place(&error))?;
        check_type(&value)?;
        let written: Written = serde_json::from_value(value).map_err(|error| redacted(&error.to_string()))?;
        validate(written)
    }

    /// The configuration that a cluster begins with: Secrets are sealed by AES-GCM, and those that were there before stay readable.
    #[must_use]
    pub(super) fn of_secrets(key: KeyConfig) -> Configuration {
        let providers = vec![ProviderConfig::Keys(Means::AesGcm, vec![key]), ProviderConfig::Identity];
        Configuration { resources: vec![ResourceConfig { resources: vec!["secrets".to_owned()], providers }] }
    }

    /// How many keys those providers have that write, each the first of its resources: of the provider with the most.
    #[must_use]
    pub fn most_keys(&self) -> usize {
        self.writers().map(Vec::len).max().unwrap_or(0)
    }

    fn writers(&self) -> impl Iterator<Item = &Vec<KeyConfig>> {
        self.resources.iter().filter_map(|rule| match rule.providers.first() {
            Some(ProviderConfig::Keys(_, keys)) => Some(keys),
            _ => None,
        })
    }

    fn writers_mut(&mut self) -> impl Iterator<Item = &mut Vec<KeyConfig>> {
        self.resources.iter_mut().filter_map(|rule| match rule.providers.first_mut() {
            Some(ProviderConfig::Keys(_, keys)) => Some(keys),
            _ => None,
        })
    }

    /// Puts a new key before the others wherever a key writes. `new` makes one of 32 bytes, which every provider takes.
    pub(super) fn add_keys(&mut self, mut new: impl FnMut() -> Result<KeyConfig, String>) -> Result<(), String> {
        for keys in self.writers_mut() {
            keys.insert(0, new()?);
        }
        Ok(())
    }

    /// Takes away the keys behind the first, wherever a key writes.
    pub fn drop_old_keys(&mut self) {
        self.writers_mut().for_each(|keys| keys.truncate(1));
    }

    /// It as YAML, below `comment`.
    #[must_use]
    pub fn to_yaml(&self, comment: &str) -> String {
        let mut text = String::new();
        for line in comment.lines() {
            text.push_str(format!("# {line}").trim_end());
            text.push('\n');
        }
        // Writing to a string does not fail. JSON's strings are YAML's.
        let _ = write!(text, "apiVersion: {API_VERSION}\nkind: {KIND}\nresources:\n");
        for rule in &self.resources {
            text.push_str("- resources:\n");
            for resource in &rule.resources {
                let _ = writeln!(text, "  - {}", json!(resource));
            }
            text.push_str("  providers:\n");
            for provider in &rule.providers {
                let ProviderConfig::Keys(means, keys) = provider else {
                    text.push_str("  - identity: {}\n");
                    continue;
                };
                let _ = writeln!(text, "  - {}:\n      keys:", means.name());
                for KeyConfig { name, secret } in keys {
                    let _ =
                        writeln!(text, "      - name: {}\n        secret: {}", json!(name), STANDARD.encode(secret));
                }
            }
        }
        text
    }
}

fn place(error: &serde_saphyr::Error) -> String {
    let place = error.location().map(|at| format!(" at line {}, column {}", at.line(), at.column()));
    format!("it is no YAML{}", place.unwrap_or_default())
}

/// What a decoder says, without the value that it says it of.
fn redacted(message: &str) -> String {
    let plain = ["unknown field", "missing field", "duplicate field"].iter().any(|start| message.starts_with(start));
    if plain {
        return format!("strict decoding error: {message}");
    }
    let expected = message.rsplit_once(", expected ").map(|(_, expected)| format!(", expected {expected}"));
    format!("a value is not of the right type{}", expected.unwrap_or_default())
}

fn check_type(value: &Value) -> Result<(), String> {
    let text = |field: &str| value.get(field).and_then(Value::as_str).filter(|text| !text.is_empty());
    let kind = text("kind").ok_or("Object 'Kind' is missing")?;
    let version = text("apiVersion").ok_or("Object 'apiVersion' is missing")?;
    if version != API_VERSION || kind != KIND {
        return Err(format!(
            "no kind {kind:?} is registered for version {version:?}; it has to be {KIND} of {API_VERSION}"
        ));
    }
    Ok(())
}

fn validate(written: Written) -> Result<Configuration, String> {
    let root = Path::new("resources");
    let mut errors = ErrorList::default();
    let mut resources = Vec::new();
    let written = written.resources.unwrap_or_default();
    if written.is_empty() {
        errors.push(Error::required(&root, format!("at least one {root} is required")));
    }
    for (i, rule) in written.into_iter().enumerate() {
        let (names, providers) = (root.index(i).child("resources"), root.index(i).child("providers"));
        let named = rule.resources.unwrap_or_default();
        if named.is_empty() {
            errors.push(Error::required(&names, format!("at least one {names} is required")));
        }
        check_overlap(&named, &names, &mut errors);
        check_names(&named, &names, &mut errors);
        let written = rule.providers.unwrap_or_default();
        if written.is_empty() {
            errors.push(Error::required(&providers, format!("at least one {providers} is required")));
        }
        let valid = written.into_iter().enumerate();
        let valid = valid.filter_map(|(j, provider)| check_provider(provider, &providers.index(j), &mut errors));
        let providers = valid.collect();
        resources.push(ResourceConfig { resources: named, providers });
    }
    if errors.is_empty() {
        return Ok(Configuration { resources });
    }
    let messages: Vec<String> = errors.iter().map(ToString::to_string).collect();
    Err(match messages.as_slice() {
        [one] => one.clone(),
        several => format!("[{}]", several.join(", ")),
    })
}

/// A resource and its group, as upstream parses them.
fn parts(resource: &str) -> (&str, &str) {
    resource.split_once('.').unwrap_or((resource, ""))
}

fn check_overlap(resources: &[String], path: &Path, errors: &mut ErrorList) {
    let parsed: Vec<_> = resources.iter().map(|resource| parts(resource)).collect();
    let (mut repeated, mut overlaps) = (false, false);
    for (i, one) in parsed.iter().enumerate() {
        for other in parsed.iter().enumerate().filter(|(j, _)| i != *j).map(|(_, other)| other) {
            if one == other && !repeated {
                repeated = true;
            } else {
                overlaps |= *one == ("*", "*") || (one.1 == other.1 && (one.0 == "*" || other.0 == "*"));
            }
        }
    }
    if repeated {
        let detail = "the same resource cannot be specified multiple times";
        errors.push(Error::invalid(path, BadValue::json(resources), detail));
    }
    if overlaps {
        let detail = "using overlapping resources such as 'secrets' and '*.' in the same resource list is not allowed as they \
                      will be masked";
        errors.push(Error::invalid(path, BadValue::json(resources), detail));
    }
}

fn check_names(resources: &[String], path: &Path, errors: &mut ErrorList) {
    for (j, resource) in resources.iter().enumerate() {
        let (name, group) = parts(resource);
        let detail = match resource.as_str() {
            text if text.to_lowercase() != text => "resource name should not contain capital letters",
            "*" => "use '*.' to encrypt all the resources from core API group or *.* to encrypt all resources",
            "apiserveripinfo" | "serviceipallocations" | "servicenodeportallocations" => {
                "resources which do not have REST API/s cannot be encrypted"
            }
            _ if group == "events.k8s.io" => {
                "'*.events.k8s.io' objects are stored using the 'events' API group in etcd. Use 'events' instead in the \
                 config file"
            }
            _ if group == "extensions" => "'extensions' group has been removed and cannot be used for encryption",
            _ if group == "*" && name != "*" => "encrypting the same resource across groups is not supported",
            _ => continue,
        };
        errors.push(Error::invalid(&path.index(j), resource, detail));
    }
}

fn check_provider(written: WrittenProvider, path: &Path, errors: &mut ErrorList) -> Option<ProviderConfig> {
    let WrittenProvider { aesgcm, aescbc, secretbox, identity, kms } = written;
    let found = [aesgcm.is_some(), aescbc.is_some(), secretbox.is_some(), identity.is_some(), kms.is_some()];
    match found.into_iter().filter(|found| *found).count() {
        0 => {
            let detail =
                "provider does not contain any of the expected providers: KMS, AESGCM, AESCBC, Secretbox, Identity";
            errors.push(Error::invalid(path, BadValue::json(&json!({})), detail));
            return None;
        }
        1 => {}
        _ => {
            let detail =
                "more than one provider specified in a single element, should split into different list elements";
            errors.push(Error::invalid(path, "REDACTED", detail));
            return None;
        }
    }
    if kms.is_some() {
        let detail = "this server calls no key management services: use aesgcm, aescbc, secretbox or identity";
        errors.push(Error::forbidden(&path.child("kms"), detail));
        return None;
    }
    let choices = [(Means::AesGcm, aesgcm), (Means::AesCbc, aescbc), (Means::Secretbox, secretbox)];
    let chosen = choices.into_iter().find_map(|(means, keys)| Some((means, keys?)));
    let Some((means, keys)) = chosen else { return Some(ProviderConfig::Identity) };
    let path = path.child(means.name()).child("keys");
    let keys = keys.keys.unwrap_or_default();
    if keys.is_empty() {
        errors.push(Error::required(&path, "at least one keys is required"));
    }
    let keys = keys.into_iter().enumerate().filter_map(|(k, key)| check_key(key, means, &path.index(k), errors));
    Some(ProviderConfig::Keys(means, keys.collect()))
}

fn check_key(written: WrittenKey, means: Means, path: &Path, errors: &mut ErrorList) -> Option<KeyConfig> {
    let name = written.name.unwrap_or_default();
    if name.is_empty() {
        errors.push(Error::required(&path.child("name"), "name is a mandatory field for a key"));
    }
    let path = path.child("secret");
    let secret = written.secret.unwrap_or_default();
    if secret.is_empty() {
        errors.push(Error::required(&path, "secret is a mandatory field for a key"));
        return None;
    }
    // As Go reads it, line breaks make no difference.
    let secret = STANDARD.decode(secret.replace(['\r', '\n'], ""));
    let Ok(secret) = secret else {
        errors.push(Error::invalid(&path, "REDACTED", "secrets must be base64 encoded"));
        return None;
    };
    if !means.key_sizes().contains(&secret.len()) {
        let sizes: Vec<String> = means.key_sizes().iter().map(ToString::to_string).collect();
        let (got, sizes) = (secret.len(), sizes.join(" "));
        let detail = format!("secret is not of the expected length, got {got}, expected one of [{sizes}]");
        errors.push(Error::invalid(&path, "REDACTED", detail));
        return None;
    }
    Some(KeyConfig { name, secret })
}
