//! Which credentials fit which image, by upstream's rules. Pure.
//!
//! An entry of a Docker configuration is for a registry (`registry.example:5000`), for part of one
//! (`registry.example/team`), or, with `*` for a part of the host's name, for many. The one that says most comes first.

use std::collections::{BTreeMap, HashMap};

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use k8s_openapi::api::core::v1::Secret;
use serde::Deserialize;

use crate::cri::v1;

/// What entries call Docker Hub.
const DEFAULT_REGISTRY: &str = "index.docker.io";
/// What users write is padded or not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Who to be at a registry.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Credential {
    pub(super) username: String,
    pub(super) password: String,
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credential").field("username", &self.username).finish_non_exhaustive()
    }
}

impl From<Credential> for v1::AuthConfig {
    fn from(credential: Credential) -> v1::AuthConfig {
        let Credential { username, password } = credential;
        v1::AuthConfig { username, password, ..v1::AuthConfig::default() }
    }
}

/// Why a Secret has no credentials that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum CredentialsError {
    #[error("the secret {secret}, key {key}: {problem}")]
    Configuration { secret: String, key: &'static str, problem: String },
    #[error("the secret {secret}, auth of {registry:?}: must be base64(username:password)")]
    Auth { secret: String, registry: String },
}

/// `~/.docker/config.json`. The older `.dockercfg` is what is in `auths`.
#[derive(Deserialize)]
struct Configuration {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    auth: String,
}

/// Credentials, by what they are for.
#[derive(Clone, Debug, Default)]
pub(super) struct Keyring {
    by_place: HashMap<String, Vec<Credential>>,
}

impl Keyring {
    /// Those of Secrets, in their order. Secrets of other types have none.
    pub(super) fn of(secrets: &[Secret]) -> Result<Keyring, CredentialsError> {
        let mut keyring = Keyring::default();
        for secret in secrets {
            let name = secret.metadata.name.as_deref().unwrap_or_default();
            let entry =
                |key: &str| secret.data.as_ref()?.get(key).map(|value| &value.0).filter(|value| !value.is_empty());
            let read = |key: &'static str| {
                move |error: serde_json::Error| CredentialsError::Configuration {
                    secret: name.to_owned(),
                    key,
                    problem: error.to_string(),
                }
            };
            let entries = match secret.type_.as_deref() {
                Some("kubernetes.io/dockerconfigjson") => entry(".dockerconfigjson").map(|text| {
                    let configuration: Result<Configuration, _> = serde_json::from_slice(text);
                    configuration.map(|it| it.auths).map_err(read(".dockerconfigjson"))
                }),
                Some("kubernetes.io/dockercfg") => {
                    entry(".dockercfg").map(|text| serde_json::from_slice(text).map_err(read(".dockercfg")))
                }
                _ => None,
            };
            for (registry, entry) in entries.transpose()?.unwrap_or_default() {
                keyring.add(&registry, credential(name, &registry, entry)?);
            }
        }
        Ok(keyring)
    }

    fn add(&mut self, registry: &str, credential: Credential) {
        let place = registry.strip_prefix("https://").or_else(|| registry.strip_prefix("http://")).unwrap_or(registry);
        let place = place.split(['?', '#']).next().unwrap_or_default();
        let (host, path) = place.find('/').map_or((place, ""), |at| place.split_at(at));
        // Docker's own configuration says `https://index.docker.io/v1/` for the registry as a whole.
        let path = if path.starts_with("/v1/") || path.starts_with("/v2/") { &path[3..] } else { path };
        let path = if path == "/" { "" } else { path };
        self.by_place.entry(format!("{host}{path}")).or_default().push(credential);
    }

    /// What fits a repository (`registry.example/team/web`), the most exact first.
    pub(super) fn find(&self, repository: &str) -> Vec<Credential> {
        let mut places: Vec<&String> = self.by_place.keys().filter(|place| fits(place, repository)).collect();
        places.sort_by(|one, other| other.cmp(one));
        let mut found: Vec<Credential> = places.into_iter().flat_map(|place| self.by_place[place].clone()).collect();
        if found.is_empty() && is_default(repository) {
            found = self.by_place.get(DEFAULT_REGISTRY).cloned().unwrap_or_default();
        }
        found
    }
}

fn credential(secret: &str, registry: &str, entry: Entry) -> Result<Credential, CredentialsError> {
    let auth = entry.auth.trim();
    if auth.is_empty() {
        return Ok(Credential { username: entry.username, password: entry.password });
    }
    let decoded = BASE64.decode(auth).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let Some((username, password)) = decoded.as_deref().and_then(|text| text.split_once(':')) else {
        return Err(CredentialsError::Auth { secret: secret.to_owned(), registry: registry.to_owned() });
    };
    Ok(Credential { username: username.to_owned(), password: password.to_owned() })
}

/// Whether what is for `place` is for `repository`: each part of the host's name fits, the port is the same, and the path
/// begins with the place's.
fn fits(place: &str, repository: &str) -> bool {
    let (place_host, place_path) = place.find('/').map_or((place, ""), |at| place.split_at(at));
    let (host, path) = repository.find('/').map_or((repository, ""), |at| repository.split_at(at));
    let (place_name, place_port) = split_port(place_host);
    let (name, port) = split_port(host);
    let (place_parts, parts): (Vec<&str>, Vec<&str>) = (place_name.split('.').collect(), name.split('.').collect());
    place_port == port
        && place_parts.len() == parts.len()
        && path.starts_with(place_path)
        && place_parts.into_iter().zip(parts).all(|(pattern, part)| fits_part(pattern, part))
}

fn split_port(host: &str) -> (&str, &str) {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => (name, port),
        _ => (host, ""),
    }
}

/// Whether a part of a name fits a pattern, in which `*` stands for anything.
fn fits_part(pattern: &str, part: &str) -> bool {
    let Some((before, pattern)) = pattern.split_once('*') else { return pattern == part };
    let Some(mut rest) = part.strip_prefix(before) else { return false };
    let mut pieces: Vec<&str> = pattern.split('*').collect();
    let last = pieces.pop().unwrap_or_default();
    // Each piece as early as it can be leaves most for those behind it.
    for piece in pieces {
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
    }
    rest.ends_with(last)
}

/// Whether a repository is Docker Hub's.
fn is_default(repository: &str) -> bool {
    match repository.split_once('/') {
        None => !repository.is_empty(),
        Some(("docker.io" | DEFAULT_REGISTRY, _)) => true,
        Some((first, _)) => !first.is_empty() && !first.contains(['.', ':']),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
    use serde_json::json;

    use super::*;

    fn secret(secret_type: &str, key: &str, content: &str) -> Secret {
        Secret {
            metadata: ObjectMeta { name: Some("pull".to_owned()), ..ObjectMeta::default() },
            type_: Some(secret_type.to_owned()),
            data: Some([(key.to_owned(), ByteString(content.as_bytes().to_vec()))].into()),
            ..Secret::default()
        }
    }

    fn modern(auths: &serde_json::Value) -> Secret {
        secret("kubernetes.io/dockerconfigjson", ".dockerconfigjson", &json!({"auths": auths}).to_string())
    }

    /// Whose credentials a repository gets, when each entry's user is called as what it is for.
    fn check(places: &[&str], repository: &str, expected: &[&str]) {
        let auths = places.iter().map(|place| ((*place).to_owned(), json!({"username": place, "password": "p"})));
        let keyring = Keyring::of(&[modern(&serde_json::Value::Object(auths.collect()))]).unwrap();
        let users: Vec<String> = keyring.find(repository).into_iter().map(|it| it.username).collect();
        assert_eq!(users, expected, "{places:?} for {repository}");
    }

    #[test]
    fn entries_fit_by_host_port_and_path() {
        check(&["a.b"], "a.b/c", &["a.b"]);
        check(&["https://a.b", "http://x.y"], "a.b/c", &["https://a.b"]);
        check(&["a.b/"], "a.b/c", &["a.b/"]);
        check(&["a.b"], "a.b:5000/c", &[]);
        check(&["a.b:5000"], "a.b:5000/c", &["a.b:5000"]);
        check(&["a.b/c"], "a.b/c/d", &["a.b/c"]);
        check(&["a.b/c"], "a.b/d", &[]);
        check(&["a.b/v1/", "x.y/v2/c"], "a.b/c", &["a.b/v1/"]);
        check(&["x.y/v2/c"], "x.y/c/d", &["x.y/v2/c"]);
        check(&["a.b", "a.b/c/d", "a.b/c"], "a.b/c/d", &["a.b/c/d", "a.b/c", "a.b"]);
        check(&["b.c", "a.c"], "b.c/d", &["b.c"]);
    }

    #[test]
    fn stars_stand_for_anything_in_one_part_of_a_name() {
        check(&["*.b.c"], "a.b.c/d", &["*.b.c"]);
        check(&["*.c"], "a.b.c/d", &[]);
        check(&["*.*.c"], "a.b.c/d", &["*.*.c"]);
        check(&["pre*.c"], "prefix.c/d", &["pre*.c"]);
        check(&["*fix.c"], "prefix.c/d", &["*fix.c"]);
        check(&["p*f*x.c"], "prefix.c/d", &["p*f*x.c"]);
        check(&["p*ff*x.c"], "prefix.c/d", &[]);
        check(&["*.c:*"], "a.c:1/d", &[]);
        check(&["a.c/*"], "a.c/d", &[]);
    }

    #[test]
    fn what_is_for_docker_hub_fits_when_nothing_else_does() {
        check(&["https://index.docker.io/v1/"], "docker.io/library/web", &["https://index.docker.io/v1/"]);
        check(&["docker.io", "index.docker.io"], "docker.io/library/web", &["docker.io"]);
        check(&["index.docker.io"], "a.b/web", &[]);
    }

    #[test]
    fn both_types_are_read_with_auth_before_username() {
        let old = secret(
            "kubernetes.io/dockercfg",
            ".dockercfg",
            r#"{"a.b": {"username": "no", "password": "no", "auth": "bWU6aXQ6aXM"}}"#,
        );
        let padded = modern(&json!({"a.b": {"auth": "bWU6eHg="}}));
        let other = secret("Opaque", ".dockercfg", "{");
        let keyring = Keyring::of(&[old, padded, other]).unwrap();
        let found = keyring.find("a.b/c");
        let found: Vec<_> = found.iter().map(|it| (it.username.as_str(), it.password.as_str())).collect();
        assert_eq!(found, [("me", "it:is"), ("me", "xx")]);
    }

    #[test]
    fn what_cannot_be_read_is_told_without_telling_secrets() {
        let check = |secret: Secret, expected: &str| {
            let error = Keyring::of(&[secret]).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check(secret("kubernetes.io/dockerconfigjson", ".dockerconfigjson", "{"), "pull, key .dockerconfigjson: EOF");
        check(modern(&json!({"a.b": {"auth": "aGlkZGVu"}})), "auth of \"a.b\": must be base64(username:password)");
        let credential = Credential { username: "me".into(), password: "hidden".into() };
        assert!(!format!("{credential:?}").contains("hidden"));
    }
}
