//! What the labels of a namespace ask of its pods: a level and a version, once to enforce, once to audit, once to warn.
//!
//! What always holds: there is a policy whatever the labels say. A label that says nothing that is known is enforced as the
//! strictest level of the newest version, and neither audited nor warned of.

use std::collections::BTreeMap;
use std::fmt;

use api::field::{Error, ErrorList, Path};

/// What the labels begin with, and the annotations of audit events.
pub(super) const PREFIX: &str = "pod-security.kubernetes.io/";

/// How much pods may do, from the laxest to the strictest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// Everything.
    Privileged,
    /// What is not known to lead out of the pod.
    Baseline,
    /// What a hardened pod needs.
    Restricted,
}

/// Of which minor version of Kubernetes the standards are, from the oldest to the newest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Version {
    /// Of 1.n.
    Minor(i64),
    /// Of the newest that is known.
    Latest,
}

/// One of the standards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standard {
    pub(super) level: Level,
    pub(super) version: Version,
}

/// What a namespace asks of its pods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Policy {
    /// Pods that break it are refused.
    pub(super) enforce: Standard,
    /// Pods that break it are noted.
    pub(super) audit: Standard,
    /// Who makes pods that break it is warned.
    pub(super) warn: Standard,
}

impl Level {
    pub(super) fn parse(text: &str) -> Result<Level, &'static str> {
        match text {
            "privileged" => Ok(Level::Privileged),
            "baseline" => Ok(Level::Baseline),
            "restricted" => Ok(Level::Restricted),
            _ => Err("must be one of privileged, baseline, restricted"),
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Level::Privileged => "privileged",
            Level::Baseline => "baseline",
            Level::Restricted => "restricted",
        })
    }
}

impl Version {
    pub(super) fn parse(text: &str) -> Result<Version, &'static str> {
        let minor = text.strip_prefix("v1.").filter(|minor| {
            minor.bytes().all(|byte| byte.is_ascii_digit()) && (*minor == "0" || !minor.starts_with('0'))
        });
        match (text, minor.and_then(|minor| minor.parse().ok())) {
            ("latest", _) => Ok(Version::Latest),
            (_, Some(minor)) => Ok(Version::Minor(minor)),
            _ => Err(r#"must be "latest" or "v1.x""#),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Version::Minor(minor) => write!(f, "v1.{minor}"),
            Version::Latest => f.write_str("latest"),
        }
    }
}

impl Standard {
    /// What is asked where nothing is said.
    pub(super) const NONE: Standard = Standard { level: Level::Privileged, version: Version::Latest };

    /// That of the labels of one mode, such as `enforce`, or what is said by default. `otherwise` is the level of a label that
    /// cannot be read.
    fn of(
        labels: &BTreeMap<String, String>,
        mode: &str,
        (default, otherwise): (Standard, Level),
        errors: &mut ErrorList,
    ) -> Standard {
        let (level, version) = (format!("{PREFIX}{mode}"), format!("{PREFIX}{mode}-version"));
        let mut refuse = |label: &str, value: &String, why| {
            errors.push(Error::invalid(&Path::new("metadata").child("labels").key(label), value, why));
        };
        let mut standard = default;
        if let Some(text) = labels.get(&level) {
            standard.level = Level::parse(text).unwrap_or_else(|why| {
                refuse(&level, text, why);
                otherwise
            });
        }
        if let Some(text) = labels.get(&version) {
            standard.version = Version::parse(text).unwrap_or_else(|why| {
                refuse(&version, text, why);
                Version::Latest
            });
        }
        standard
    }
}

impl Default for Standard {
    fn default() -> Self {
        Standard::NONE
    }
}

impl fmt::Display for Standard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.level, self.version)
    }
}

impl Policy {
    /// That of a namespace with `labels`, and what is wrong with them.
    pub(super) fn of(labels: Option<&BTreeMap<String, String>>, defaults: &Policy) -> (Policy, ErrorList) {
        let mut errors = ErrorList::new();
        let none = BTreeMap::new();
        let labels = labels.unwrap_or(&none);
        let policy = Policy {
            enforce: Standard::of(labels, "enforce", (defaults.enforce, Level::Restricted), &mut errors),
            audit: Standard::of(labels, "audit", (defaults.audit, Level::Privileged), &mut errors),
            warn: Standard::of(labels, "warn", (defaults.warn, Level::Privileged), &mut errors),
        };
        (policy, errors)
    }

    /// Whether it asks nothing of a pod.
    pub(super) fn is_privileged(&self) -> bool {
        self.enforce.level == Level::Privileged && self.asks_nothing_of_templates()
    }

    /// Whether it asks nothing of what makes pods.
    pub(super) fn asks_nothing_of_templates(&self) -> bool {
        self.audit.level == Level::Privileged && self.warn.level == Level::Privileged
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_upstream_reads_them() {
        let check = |text: &str, expected: Option<Version>| assert_eq!(Version::parse(text).ok(), expected, "{text}");
        check("latest", Some(Version::Latest));
        check("v1.0", Some(Version::Minor(0)));
        check("v1.37", Some(Version::Minor(37)));
        for wrong in ["", "v1", "v1.", "v1.01", "v1.-1", "v1.+1", "v2.0", "1.2", "v1.2.3", "v1.99999999999999999999"] {
            check(wrong, None);
        }
        assert!(Version::Minor(1000) < Version::Latest && Version::Minor(9) < Version::Minor(10));
    }

    #[test]
    fn labels_ask_for_standards() {
        let check = |labels: &[(&str, &str)], expected: [&str; 3], wrong: &[&str]| {
            let labels = labels.iter().map(|(name, value)| (format!("{PREFIX}{name}"), (*value).to_owned())).collect();
            let (policy, errors) = Policy::of(Some(&labels), &Policy::default());
            let found = [policy.enforce, policy.audit, policy.warn].map(|standard| standard.to_string());
            assert_eq!(found, expected);
            assert_eq!(errors.iter().map(ToString::to_string).collect::<Vec<_>>(), wrong);
        };
        let none = "privileged:latest";
        check(&[], [none, none, none], &[]);
        check(
            &[("enforce", "baseline"), ("audit", "restricted"), ("warn", "restricted"), ("warn-version", "v1.25")],
            ["baseline:latest", "restricted:latest", "restricted:v1.25"],
            &[],
        );
        check(
            &[("enforce", "x"), ("audit", "y"), ("warn", "z"), ("enforce-version", "1.0")],
            ["restricted:latest", none, none],
            &[
                "metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: \"x\": must be one of privileged, \
                 baseline, restricted",
                "metadata.labels[pod-security.kubernetes.io/enforce-version]: Invalid value: \"1.0\": must be \"latest\" or \
                 \"v1.x\"",
                "metadata.labels[pod-security.kubernetes.io/audit]: Invalid value: \"y\": must be one of privileged, \
                 baseline, restricted",
                "metadata.labels[pod-security.kubernetes.io/warn]: Invalid value: \"z\": must be one of privileged, \
                 baseline, restricted",
            ],
        );
    }
}
