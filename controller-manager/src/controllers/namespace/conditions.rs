//! What the conditions of a namespace say of its deletion, in upstream's words.

use std::collections::BTreeMap;

use client::resource::Resource;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{NamespaceCondition, NamespaceStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::content::Content;

/// The condition types, in their order, and reason and message of each when all is well.
const ALL_WELL: [(&str, &str, &str); 5] = [
    ("NamespaceDeletionDiscoveryFailure", "ResourcesDiscovered", "All resources successfully discovered"),
    ("NamespaceDeletionGroupVersionParsingFailure", "ParsedGroupVersions", "All legacy kube types successfully parsed"),
    (CONTENT_FAILURE, "ContentDeleted", "All content successfully deleted, may be waiting on finalization"),
    (CONTENT_REMAINING, "ContentRemoved", "All content successfully removed"),
    (FINALIZERS_REMAINING, "ContentHasNoFinalizers", "All content-preserving finalizers finished"),
];
const CONTENT_FAILURE: &str = "NamespaceDeletionContentFailure";
const CONTENT_REMAINING: &str = "NamespaceContentRemaining";
const FINALIZERS_REMAINING: &str = "NamespaceFinalizersRemaining";

/// What was found in a namespace.
#[derive(Default)]
pub(super) struct Findings {
    /// In how many seconds it is expected to be gone.
    pub(super) seconds: i64,
    failures: Vec<String>,
    resources: Vec<String>,
    finalizers: BTreeMap<String, usize>,
}

impl Findings {
    /// Some objects are there, and will be for `seconds`.
    pub(super) fn remains(&mut self, content: &Content, seconds: i64) {
        let Resource { plural, group, .. } = &content.resource;
        self.seconds = self.seconds.max(seconds);
        self.resources.push(format!("{plural}.{group} has {} resource instances", content.remaining));
        for (finalizer, count) in &content.finalizers {
            *self.finalizers.entry(finalizer.clone()).or_default() += count;
        }
    }

    /// Objects are there that nothing holds.
    pub(super) fn unexpected(&mut self, namespace: &str, resource: &Resource) {
        let Resource { group, version, plural, .. } = resource;
        self.failures.push(format!(
            "unexpected items still remain in namespace: {namespace} for gvr: {group}/{version}, Resource={plural}"
        ));
    }

    /// A deletion failed.
    pub(super) fn failed(&mut self, message: &str) {
        self.failures.push(message.to_owned());
    }

    /// Writes the conditions. Their times tell when they turned true or false.
    pub(super) fn write(&self, status: &mut NamespaceStatus, now: Timestamp) {
        let conditions = status.conditions.get_or_insert_default();
        for (type_, reason, message) in ALL_WELL {
            let bad = self.about(type_);
            let is_true = if bad.is_some() { "True" } else { "False" };
            let (reason, message) = bad.unwrap_or_else(|| (reason, message.to_owned()));
            let known = conditions.iter().position(|condition| condition.type_ == type_);
            let as_before = known.map(|known| &conditions[known]).filter(|condition| condition.status == is_true);
            let since = as_before.and_then(|condition| condition.last_transition_time.clone());
            let new = NamespaceCondition {
                type_: type_.to_owned(),
                status: is_true.to_owned(),
                reason: Some(reason.to_owned()),
                message: Some(message),
                last_transition_time: since.or(Some(Time(second(now)))),
            };
            match known {
                Some(known) => conditions[known] = new,
                None => conditions.push(new),
            }
        }
    }

    /// Why a condition is true, and in which words.
    fn about(&self, type_: &str) -> Option<(&'static str, String)> {
        let mut parts: Vec<String> = match type_ {
            CONTENT_FAILURE => self.failures.clone(),
            CONTENT_REMAINING => self.resources.clone(),
            FINALIZERS_REMAINING => {
                let held = |(finalizer, count): (&String, &usize)| format!("{finalizer} in {count} resource instances");
                self.finalizers.iter().map(held).collect()
            }
            _ => Vec::new(),
        };
        if parts.is_empty() {
            return None;
        }
        parts.sort();
        let (count, list) = (parts.len(), parts.join(", "));
        Some(match type_ {
            CONTENT_FAILURE => {
                ("ContentDeletionFailed", format!("Failed to delete all resource types, {count} remaining: {list}"))
            }
            CONTENT_REMAINING => ("SomeResourcesRemain", format!("Some resources are remaining: {list}")),
            _ => ("SomeFinalizersRemain", format!("Some content in the namespace has finalizers remaining: {list}")),
        })
    }
}

/// Times are in whole seconds.
fn second(now: Timestamp) -> Timestamp {
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}
