//! Which plugins decide about writes, and in which order.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::configuration::{Configuration, ConfigurationError};
use super::default_class::{DefaultIngressClass, DefaultStorageClass};
use super::signers::{
    CertificateApproval, CertificateSigning, CertificateSubjectRestriction, ClusterTrustBundleAttest,
};
use super::{
    Plugin, always_pull_images, default_toleration_seconds, deny_service_external_ips, limit_ranger, node_restriction,
    persistent_volume_claim_resize, priority, runtime_class, service_account, storage_protection, taint_new_nodes,
};

/// When a plugin decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    /// A cluster without it would not be safe, or not work.
    Always,
    /// Unless it is disabled.
    ByDefault,
    /// If it is enabled.
    IfEnabled,
}

/// What is to be decided elsewhere than in the chain: before it (`engine/lifecycle.rs`) and behind it (`resource_quota`).
const ELSEWHERE: [&str; 2] = ["NamespaceLifecycle", "ResourceQuota"];

const EVENT_RATE_LIMIT: &str = "EventRateLimit";
const ENABLE: &str = "enable-admission-plugins";
const DISABLE: &str = "disable-admission-plugins";

type Known = (&'static str, When, Arc<dyn Plugin>);

/// Every plugin, in upstream's order.
fn known(configuration: Configuration) -> Vec<Known> {
    use When::{Always, ByDefault, IfEnabled};
    vec![
        ("LimitRanger", ByDefault, Arc::new(limit_ranger::LimitRanger)),
        ("ServiceAccount", Always, Arc::new(service_account::ServiceAccounts)),
        ("NodeRestriction", Always, Arc::new(node_restriction::NodeRestriction)),
        ("TaintNodesByCondition", ByDefault, Arc::new(taint_new_nodes::TaintNewNodes)),
        ("AlwaysPullImages", IfEnabled, Arc::new(always_pull_images::AlwaysPullImages)),
        ("PodSecurity", ByDefault, Arc::new(configuration.pod_security)),
        ("Priority", ByDefault, Arc::new(priority::Priority)),
        ("DefaultTolerationSeconds", ByDefault, Arc::new(default_toleration_seconds::DefaultTolerationSeconds)),
        (EVENT_RATE_LIMIT, IfEnabled, Arc::new(configuration.event_rate_limit.unwrap_or_default())),
        ("DefaultStorageClass", ByDefault, Arc::new(DefaultStorageClass)),
        ("StorageObjectInUseProtection", ByDefault, Arc::new(storage_protection::StorageObjectInUseProtection)),
        (
            "PersistentVolumeClaimResize",
            ByDefault,
            Arc::new(persistent_volume_claim_resize::PersistentVolumeClaimResize),
        ),
        ("RuntimeClass", ByDefault, Arc::new(runtime_class::RuntimeClasses)),
        ("CertificateApproval", ByDefault, Arc::new(CertificateApproval)),
        ("CertificateSigning", ByDefault, Arc::new(CertificateSigning)),
        ("ClusterTrustBundleAttest", ByDefault, Arc::new(ClusterTrustBundleAttest)),
        ("CertificateSubjectRestriction", ByDefault, Arc::new(CertificateSubjectRestriction)),
        ("DefaultIngressClass", ByDefault, Arc::new(DefaultIngressClass)),
        ("DenyServiceExternalIPs", IfEnabled, Arc::new(deny_service_external_ips::DenyServiceExternalIps)),
    ]
}

/// The plugins that decide about a server's writes.
#[derive(Clone)]
pub struct Admission(Arc<[(&'static str, Arc<dyn Plugin>)]>);

/// Why plugins cannot be as they are asked to be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdmissionError {
    /// There is none of this name.
    #[error("--{option}: plugin {name:?} is unknown; there are {}", all_names())]
    Unknown {
        /// The option that has it.
        option: &'static str,
        /// What it was called.
        name: String,
    },
    /// It is asked for and refused.
    #[error("--{ENABLE} and --{DISABLE} both name {name}: leave it out of one")]
    Both {
        /// The plugin.
        name: String,
    },
    /// It decides by what a file says.
    #[error(transparent)]
    Configuration(#[from] ConfigurationError),
    /// It is enabled, and no file says by what it is to decide.
    #[error("--{ENABLE}: {EVENT_RATE_LIMIT} has no limits: state them with --admission-control-config-file")]
    NoLimits,
    /// It always decides.
    #[error("--{DISABLE}: {name} always decides, and cannot be disabled: leave it out")]
    Always {
        /// The plugin.
        name: String,
    },
}

fn all_names() -> String {
    let mut names: Vec<&str> =
        known(Configuration::default()).iter().map(|(name, ..)| *name).chain(ELSEWHERE).collect();
    names.sort_unstable();
    names.join(", ")
}

impl Admission {
    /// Those that decide by default and those of `enabled`, but none of `disabled`; they decide as an AdmissionConfiguration in a
    /// file says, if there is one. Names may be repeated, as lists of options that come from several places are.
    ///
    /// # Errors
    ///
    /// If there is no such plugin, one is in both, one that is disabled always decides, or the file cannot be used.
    pub fn new(enabled: &[String], disabled: &[String], file: Option<&Path>) -> Result<Admission, AdmissionError> {
        let configuration = file.map(Configuration::read).transpose()?.unwrap_or_default();
        let has_limits = configuration.event_rate_limit.is_some();
        let known = known(configuration);
        let when = |name: &str| {
            let elsewhere = ELSEWHERE.contains(&name).then_some(When::Always);
            elsewhere.or_else(|| known.iter().find(|(known, ..)| *known == name).map(|(_, when, _)| *when))
        };
        for (option, names) in [(ENABLE, enabled), (DISABLE, disabled)] {
            if let Some(name) = names.iter().find(|name| when(name).is_none()) {
                return Err(AdmissionError::Unknown { option, name: name.clone() });
            }
        }
        if let Some(name) = disabled.iter().find(|name| enabled.contains(name)) {
            return Err(AdmissionError::Both { name: name.clone() });
        }
        if let Some(name) = disabled.iter().find(|name| when(name) == Some(When::Always)) {
            return Err(AdmissionError::Always { name: name.clone() });
        }
        if !has_limits && enabled.iter().any(|name| name == EVENT_RATE_LIMIT) {
            return Err(AdmissionError::NoLimits);
        }
        let has = |names: &[String], name: &str| names.iter().any(|wanted| wanted == name);
        if has_limits && !has(enabled, EVENT_RATE_LIMIT) {
            tracing::warn!("the limits of {EVENT_RATE_LIMIT} hold only with --{ENABLE} {EVENT_RATE_LIMIT}");
        }
        let decides = |(name, when, plugin): Known| {
            let decides = match when {
                When::Always => true,
                When::ByDefault => !has(disabled, name),
                When::IfEnabled => has(enabled, name),
            };
            decides.then_some((name, plugin))
        };
        Ok(Admission(known.into_iter().filter_map(decides).collect()))
    }

    pub(super) fn plugins(&self) -> impl Iterator<Item = &dyn Plugin> {
        self.0.iter().map(|(_, plugin)| &**plugin)
    }

    fn names(&self) -> Vec<&'static str> {
        self.0.iter().map(|(name, _)| *name).collect()
    }
}

impl Default for Admission {
    fn default() -> Self {
        Admission::new(&[], &[], None).expect("nothing is asked for")
    }
}

impl fmt::Debug for Admission {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Admission").field(&self.names()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn plugins_decide_by_default_or_as_they_are_asked_to() {
        let check = |enabled: &[&str], disabled: &[&str], more: &[&str], fewer: &[&str]| {
            let names = Admission::new(&owned(enabled), &owned(disabled), None).unwrap().names();
            let default = Admission::default().names();
            let differ = |one: &[&'static str], other: &[&'static str]| -> Vec<&str> {
                one.iter().filter(|name| !other.contains(name)).copied().collect()
            };
            assert_eq!((differ(&names, &default), differ(&default, &names)), (more.to_vec(), fewer.to_vec()));
        };
        check(&[], &[], &[], &[]);
        check(&["NodeRestriction", "NamespaceLifecycle", "Priority"], &[], &[], &[]);
        // Their order is not that of the option.
        let both = ["AlwaysPullImages", "DenyServiceExternalIPs"];
        check(&["DenyServiceExternalIPs", "AlwaysPullImages", "AlwaysPullImages"], &[], &both, &[]);
        check(&[], &["AlwaysPullImages", "PodSecurity"], &[], &["PodSecurity"]);
    }

    #[test]
    fn mistakes_are_named() {
        let check = |enabled: &[&str], disabled: &[&str], expected: &str| {
            let error = Admission::new(&owned(enabled), &owned(disabled), None).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        };
        check(
            &["Noderestriction"],
            &[],
            "--enable-admission-plugins: plugin \"Noderestriction\" is unknown; there are AlwaysPull",
        );
        check(&[], &["AlwaysDeny"], "--disable-admission-plugins: plugin \"AlwaysDeny\" is unknown; there are");
        check(
            &["Priority"],
            &["PodSecurity", "Priority"],
            "--enable-admission-plugins and --disable-admission-plugins both name Priority: leave it out of one",
        );
        check(&["EventRateLimit"], &[], "--enable-admission-plugins: EventRateLimit has no limits");
        for name in ["NamespaceLifecycle", "ServiceAccount", "NodeRestriction", "ResourceQuota"] {
            check(&[], &[name], &format!("--disable-admission-plugins: {name} always decides, and cannot be disabled"));
        }
    }
}
