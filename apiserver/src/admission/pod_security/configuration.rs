//! `PodSecurityConfiguration`: what is asked of pods where no label says, and what is exempt.

use std::collections::BTreeSet;

use api::field::{Error, ErrorList, Path};
use api::names::{dns1123_label, dns1123_subdomain};
use k8s_openapi::api::core::v1::PodSpec;
use serde::Deserialize;
use serde_json::Value;

use super::PodSecurity;
use super::levels::{Level, Policy, Standard, Version};
use crate::admission::configuration::{decode, refuse_if_any};
use crate::engine::Call;

const VERSIONS: [&str; 3] = [
    "pod-security.admission.config.k8s.io/v1",
    "pod-security.admission.config.k8s.io/v1beta1",
    "pod-security.admission.config.k8s.io/v1alpha1",
];
const KIND: &str = "PodSecurityConfiguration";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    defaults: WrittenDefaults,
    #[serde(default)]
    exemptions: WrittenExemptions,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct WrittenDefaults {
    #[serde(default)]
    enforce: String,
    #[serde(default)]
    enforce_version: String,
    #[serde(default)]
    audit: String,
    #[serde(default)]
    audit_version: String,
    #[serde(default)]
    warn: String,
    #[serde(default)]
    warn_version: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WrittenExemptions {
    #[serde(default)]
    usernames: Vec<String>,
    #[serde(default)]
    namespaces: Vec<String>,
    #[serde(default)]
    runtime_classes: Vec<String>,
}

/// Whose pods are not judged.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Exemptions {
    users: BTreeSet<String>,
    namespaces: BTreeSet<String>,
    runtime_classes: BTreeSet<String>,
}

impl Exemptions {
    pub(super) fn has_namespace(&self, name: &str) -> bool {
        self.namespaces.contains(name)
    }

    pub(super) fn has_runtime_class(&self, spec: &PodSpec) -> bool {
        spec.runtime_class_name.as_ref().is_some_and(|name| self.runtime_classes.contains(name))
    }

    /// What exempts a request, whatever it writes; as audit events say it.
    pub(super) fn of(&self, call: &Call<'_>) -> Option<&'static str> {
        if self.has_namespace(call.namespace()) {
            return Some("namespace");
        }
        call.identity.is_some_and(|identity| self.users.contains(&identity.user)).then_some("user")
    }
}

impl PodSecurity {
    pub(crate) fn of(configuration: Value) -> Result<PodSecurity, String> {
        let Written { defaults, exemptions } = decode(configuration, &VERSIONS, KIND)?;
        let mut errors = ErrorList::new();
        let mut standard = |mode: &str, level: &str, version: &str| {
            let path = Path::new("defaults");
            let mut standard = Standard::NONE;
            if !level.is_empty() {
                let refuse = |why| errors.push(Error::invalid(&path.child(mode), level, why));
                standard.level = Level::parse(level).map_err(refuse).unwrap_or(standard.level);
            }
            if !version.is_empty() {
                let refuse = |why| errors.push(Error::invalid(&path.child(&format!("{mode}-version")), version, why));
                standard.version = Version::parse(version).map_err(refuse).unwrap_or(standard.version);
            }
            standard
        };
        let defaults = Policy {
            enforce: standard("enforce", &defaults.enforce, &defaults.enforce_version),
            warn: standard("warn", &defaults.warn, &defaults.warn_version),
            audit: standard("audit", &defaults.audit, &defaults.audit_version),
        };
        let exemptions = Exemptions {
            namespaces: names("namespaces", exemptions.namespaces, dns1123_label, &mut errors),
            runtime_classes: names("runtimeClasses", exemptions.runtime_classes, dns1123_subdomain, &mut errors),
            users: names("usernames", exemptions.usernames, |_| Vec::new(), &mut errors),
        };
        refuse_if_any(&errors).map(|()| PodSecurity { defaults, exemptions })
    }
}

fn names<M: IntoIterator<Item = String>>(
    field: &str,
    names: Vec<String>,
    check: impl Fn(&str) -> M,
    errors: &mut ErrorList,
) -> BTreeSet<String> {
    let path = Path::new("exemptions").child(field);
    let mut known = BTreeSet::new();
    for (i, name) in names.into_iter().enumerate() {
        let path = path.index(i);
        let wrong: Vec<String> = check(&name).into_iter().collect();
        if !wrong.is_empty() {
            errors.push(Error::invalid(&path, &name, wrong.join(", ")));
        } else if name.is_empty() {
            errors.push(Error::required(&path, ""));
        } else if known.contains(&name) {
            errors.push(Error::duplicate(&path, &name));
        } else {
            known.insert(name);
        }
    }
    known
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(mut configuration: Value) -> Result<PodSecurity, String> {
        configuration["apiVersion"] = VERSIONS[0].into();
        configuration["kind"] = KIND.into();
        PodSecurity::of(configuration)
    }

    #[test]
    fn what_is_said_is_asked_where_labels_do_not() {
        let read = of(json!({
            "defaults": {"enforce": "baseline", "enforce-version": "v1.30", "warn": "restricted"},
            "exemptions": {"usernames": ["ann"], "namespaces": ["kube-system"], "runtimeClasses": ["kata"]},
        }));
        let read = read.unwrap();
        let labels = [("pod-security.kubernetes.io/enforce".to_owned(), "restricted".to_owned())].into();
        let check = |labels, expected: [&str; 3]| {
            let (policy, errors) = Policy::of(labels, &read.defaults);
            let found = [policy.enforce, policy.audit, policy.warn].map(|standard| standard.to_string());
            assert_eq!((found.each_ref().map(String::as_str), errors.is_empty()), (expected, true));
        };
        check(None, ["baseline:v1.30", "privileged:latest", "restricted:latest"]);
        check(Some(&labels), ["restricted:v1.30", "privileged:latest", "restricted:latest"]);
        let kata = PodSpec { runtime_class_name: Some("kata".to_owned()), ..PodSpec::default() };
        assert!(read.exemptions.has_runtime_class(&kata) && !read.exemptions.has_runtime_class(&PodSpec::default()));
        assert!(read.exemptions.has_namespace("kube-system") && !read.exemptions.has_namespace("default"));
        assert_eq!(of(json!({})), Ok(PodSecurity::default()));
    }

    #[test]
    fn mistakes_are_told_by_their_place() {
        let check = |configuration: Value, expected: &str| {
            assert_eq!(of(configuration).unwrap_err(), expected);
        };
        check(json!({"default": {}}), "unknown field `default`, expected `defaults` or `exemptions`");
        check(
            json!({"defaults": {"enforce": "strict", "warn-version": "1.30"}}),
            "[defaults.enforce: Invalid value: \"strict\": must be one of privileged, baseline, restricted, \
             defaults.warn-version: Invalid value: \"1.30\": must be \"latest\" or \"v1.x\"]",
        );
        check(
            json!({"exemptions": {"usernames": ["", "a", "a"]}}),
            "[exemptions.usernames[0]: Required value, exemptions.usernames[2]: Duplicate value: \"a\"]",
        );
        let refused = of(json!({"exemptions": {"namespaces": ["A"]}})).unwrap_err();
        assert!(
            refused.starts_with("exemptions.namespaces[0]: Invalid value: \"A\": a lowercase RFC 1123 label"),
            "{refused}"
        );
    }
}
