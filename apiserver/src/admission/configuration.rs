//! `AdmissionConfiguration` of apiserver.config.k8s.io/v1: how plugins are to decide, in one file or in a file each.
//!
//! What always holds: it is used as a whole or not at all, and what no plugin here would heed is refused.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use api::field::ErrorList;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{event_rate_limit, pod_security};
use crate::config_file;

const API_VERSION: &str = "apiserver.config.k8s.io/v1";
const KIND: &str = "AdmissionConfiguration";

/// Why a configuration cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("--admission-control-config-file: {path}: {why}")]
pub struct ConfigurationError {
    /// The file that it is in.
    path: PathBuf,
    /// What is wrong with it.
    why: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    api_version: String,
    kind: String,
    #[serde(default)]
    plugins: Vec<WrittenPlugin>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenPlugin {
    name: String,
    #[serde(default)]
    path: String,
    #[serde(default)]
    configuration: Option<Value>,
}

/// How the plugins are to decide that can be told so.
#[derive(Default)]
pub(super) struct Configuration {
    pub(super) event_rate_limit: Option<event_rate_limit::EventRateLimit>,
    pub(super) pod_security: pod_security::PodSecurity,
}

impl Configuration {
    /// Reads a file, and the files that it names, whose places are seen from where it is.
    pub(super) fn read(path: &Path) -> Result<Configuration, ConfigurationError> {
        let invalid = |why: String| ConfigurationError { path: path.to_owned(), why };
        let written: Written = read(path)?;
        if (written.api_version.as_str(), written.kind.as_str()) != (API_VERSION, KIND) {
            let Written { api_version, kind, .. } = written;
            return Err(invalid(format!("it has to be {KIND} of {API_VERSION}, and is {kind:?} of {api_version:?}")));
        }
        let mut configuration = Configuration::default();
        let mut seen = BTreeMap::new();
        for (i, plugin) in written.plugins.into_iter().enumerate() {
            if let Some(before) = seen.insert(plugin.name.clone(), i) {
                return Err(invalid(format!("plugins[{i}].name: {:?} is that of plugins[{before}], too", plugin.name)));
            }
            let (at, what) = match (plugin.configuration, plugin.path.as_str()) {
                (Some(what), _) => (path.to_owned(), what),
                (None, "") => {
                    let why = "it has neither a configuration nor a path: give it one of them";
                    return Err(invalid(format!("plugins[{i}]: {why}")));
                }
                (None, other) => {
                    let other = path.parent().unwrap_or(Path::new("")).join(other);
                    let what = read(&other)?;
                    (other, what)
                }
            };
            let taken = match plugin.name.as_str() {
                "EventRateLimit" => event_rate_limit::EventRateLimit::of(what)
                    .map(|plugin| configuration.event_rate_limit = Some(plugin)),
                "PodSecurity" => pod_security::PodSecurity::of(what).map(|plugin| configuration.pod_security = plugin),
                other => {
                    let why = "no such plugin is configured here: EventRateLimit and PodSecurity are";
                    return Err(invalid(format!("plugins[{i}].name: {other:?}: {why}")));
                }
            };
            taken.map_err(|why| ConfigurationError { path: at, why: format!("{}: {why}", plugin.name) })?;
        }
        Ok(configuration)
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T, ConfigurationError> {
    config_file::read(path).map_err(|why| ConfigurationError { path: path.to_owned(), why })
}

/// Reads what a plugin is to heed, of a kind that is one of these versions.
pub(super) fn decode<T: DeserializeOwned>(mut value: Value, versions: &[&str], kind: &str) -> Result<T, String> {
    let mut take = |field: &str| value.as_object_mut().and_then(|fields| fields.remove(field)).unwrap_or_default();
    let (version, found) = (take("apiVersion"), take("kind"));
    if found != kind || !versions.iter().any(|known| version == *known) {
        return Err(format!("it has to be {kind} of {}, and is {found} of {version}", versions[0]));
    }
    config_file::decode(value)
}

/// What is wrong, as one text.
pub(super) fn refuse_if_any(errors: &ErrorList) -> Result<(), String> {
    if errors.is_empty() { Ok(()) } else { Err(errors.to_string()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_one(text: &str) -> Result<Configuration, String> {
        let directory = tempfile::tempdir().unwrap();
        let limits = "apiVersion: eventratelimit.admission.k8s.io/v1alpha1\nkind: Configuration\nlimits:\n\
                      - {type: Server, qps: 5, burst: 10}\n";
        std::fs::write(directory.path().join("limits.yaml"), limits).unwrap();
        std::fs::write(directory.path().join("wrong.yaml"), limits.replace("Server", "Sever")).unwrap();
        let path = directory.path().join("admission.yaml");
        std::fs::write(&path, text).unwrap();
        let place = format!("{}/", directory.path().display());
        Configuration::read(&path).map_err(|error| error.to_string().replace(&place, ""))
    }

    fn of(plugins: &str) -> String {
        format!("apiVersion: {API_VERSION}\nkind: {KIND}\nplugins:\n{plugins}")
    }

    #[test]
    fn plugins_are_told_in_place_or_in_files_of_their_own() {
        let configuration =
            read_one(&of("- {name: EventRateLimit, path: limits.yaml}\n- name: PodSecurity\n  configuration: \
            {apiVersion: pod-security.admission.config.k8s.io/v1, kind: PodSecurityConfiguration}\n"));
        assert!(configuration.unwrap().event_rate_limit.is_some());
        let configuration = read_one(&format!("apiVersion: {API_VERSION}\nkind: {KIND}\n")).unwrap();
        assert!(configuration.event_rate_limit.is_none());
    }

    #[test]
    fn what_cannot_be_used_is_refused_by_its_place() {
        let check = |text: &str, expected: &str| {
            let why = read_one(text).map(drop).unwrap_err();
            assert!(why.starts_with(&format!("--admission-control-config-file: {expected}")), "{why}");
        };
        check("a: [", "admission.yaml: ");
        check("kind: AdmissionConfiguration", "admission.yaml: missing field `apiVersion`");
        check(&of("").replace("/v1", "/v2"), "admission.yaml: it has to be AdmissionConfiguration of apiserver.config");
        check(&of("- {name: EventRateLimit, file: x}\n"), "admission.yaml: unknown field `file`");
        check(
            &of("- {name: EventRateLimit}\n"),
            "admission.yaml: plugins[0]: it has neither a configuration nor a path",
        );
        check(&of("- {name: EventRateLimit, path: none.yaml}\n"), "none.yaml: No such file");
        check(
            &of("- {name: EventRateLimit, path: wrong.yaml}\n"),
            "wrong.yaml: EventRateLimit: limits[0].type: Unsupported value: \"Sever\"",
        );
        check(
            &of("- {name: ImagePolicyWebhook, path: limits.yaml}\n"),
            "admission.yaml: plugins[0].name: \"ImagePolicy",
        );
        check(&of("- {name: PodSecurity, path: limits.yaml}\n"), "limits.yaml: PodSecurity: it has to be PodSecurity");
        check(
            &of("- {name: EventRateLimit, path: limits.yaml}\n- {name: EventRateLimit, path: limits.yaml}\n"),
            "admission.yaml: plugins[1].name: \"EventRateLimit\" is that of plugins[0], too",
        );
    }
}
