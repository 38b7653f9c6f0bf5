//! Whether a write fits into quotas, and what it takes of each (upstream's `CheckRequest`).

use std::collections::BTreeMap;

use api::pod_resources::{List, add, read};
use api::quota::{Subject, scopes};
use k8s_openapi::api::core::v1::{ResourceQuota, ScopedResourceSelectorRequirement};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;
use k8s_openapi::jiff::Timestamp;
use store::{Key, Revision};

use super::subject;
use crate::object::Object;

/// A write that is to be charged for.
pub(super) struct Demand {
    pub(super) new: Box<dyn Object>,
    pub(super) old: Option<Box<dyn Object>>,
    /// The resource and its group, such as `deployments.apps`.
    pub(super) resource: String,
    /// What device classes stand for; of claims of devices only.
    pub(super) classes: api::quota::devices::Classes,
    /// What a pod is charged for already; of claims of devices only.
    pub(super) charged: List,
    /// Whether it is refused when there is not enough. What has happened is charged anyway.
    pub(super) is_limited: bool,
    /// Whether nothing is to be charged.
    pub(super) dry_run: bool,
    pub(super) now: Timestamp,
}

/// A quota with what is charged to it while it is being looked at.
pub(super) struct Running {
    pub(super) key: Key,
    pub(super) revision: Revision,
    pub(super) quota: ResourceQuota,
    pub(super) used: List,
    hard: List,
    requirements: Vec<ScopedResourceSelectorRequirement>,
    /// Whether `used` is not what is stored.
    pub(super) is_changed: bool,
}

impl Running {
    pub(super) fn new(key: Key, revision: Revision, quota: ResourceQuota) -> Running {
        let status = quota.status.as_ref();
        let hard = read(status.and_then(|status| status.hard.as_ref()));
        let used = read(status.and_then(|status| status.used.as_ref()));
        let requirements = quota.spec.as_ref().map(scopes::requirements).unwrap_or_default();
        Running { key, revision, quota, used, hard, requirements, is_changed: false }
    }

    pub(super) fn name(&self) -> &str {
        self.quota.metadata.name.as_deref().unwrap_or_default()
    }

    /// Charges `more`.
    pub(super) fn take(&mut self, more: &List) {
        add(&mut self.used, more);
        self.is_changed = true;
    }

    /// Gives `amounts` back, as far as something is charged.
    pub(super) fn give_back(&mut self, amounts: &List) {
        for (name, amount) in amounts {
            if let Some(used) = self.used.get_mut(name) {
                used.sub(amount);
                if used.signum() < 0 {
                    used.sub(&used.clone());
                }
                self.is_changed = true;
            }
        }
    }

    /// The quota as it is to be stored.
    pub(super) fn changed(&self) -> ResourceQuota {
        let mut quota = self.quota.clone();
        let used: BTreeMap<String, ApiQuantity> =
            self.used.iter().map(|(name, quantity)| (name.clone(), quantity.into())).collect();
        quota.status.get_or_insert_default().used = Some(used);
        quota.metadata.resource_version = None;
        quota
    }

    /// The names that are limited and that `subject` takes something of.
    fn restricted(&self, subject: &Subject<'_>) -> Vec<&str> {
        self.hard.keys().map(String::as_str).filter(|name| subject.measures(name)).collect()
    }

    fn is_about(&self, subject: &Subject<'_>) -> bool {
        subject.meets(&self.requirements) && self.hard.keys().any(|name| subject.measures(name))
    }
}

/// What a write takes of which of `quotas`; or, in upstream's words, why it may not.
pub(super) fn judge(quotas: &[Running], demand: &Demand) -> Result<Vec<(usize, List)>, String> {
    let new = subject(&*demand.new, demand);
    let mut concerned = Vec::new();
    for (at, quota) in quotas.iter().enumerate().filter(|(_, quota)| quota.is_about(&new)) {
        let restricted = quota.restricted(&new);
        if let Some(missing) = new.missing(&restricted) {
            return Err(format!("failed quota: {}: {missing}", quota.name()));
        }
        if restricted.iter().any(|name| !quota.used.contains_key(*name)) {
            return Err(format!("status unknown for quota: {}, resources: {}", quota.name(), restricted.join(",")));
        }
        concerned.push(at);
    }
    if concerned.is_empty() {
        return Ok(Vec::new());
    }
    let usage = new.usage(demand.now);
    let negative: Vec<&str> =
        usage.iter().filter(|(_, amount)| amount.signum() < 0).map(|(name, _)| name.as_str()).collect();
    if !negative.is_empty() {
        return Err(format!("quota usage is negative for resource(s): {}", negative.join(",")));
    }
    let old = demand.old.as_deref().map(|old| subject(old, demand));
    let mut takes = Vec::new();
    for at in concerned {
        let quota = &quotas[at];
        // An object that was under the quota already is charged for what it takes more than it did.
        let before = old.as_ref().filter(|old| quota.is_about(old)).map(|old| old.usage(demand.now));
        let mut more = beyond(&usage, &before.unwrap_or_default());
        more.retain(|name, _| quota.hard.contains_key(name));
        if more.is_empty() {
            continue;
        }
        if demand.is_limited {
            check(quota, &more)?;
        }
        takes.push((at, more));
    }
    Ok(takes)
}

/// What of `usage` is more than what was taken before.
fn beyond(usage: &List, before: &List) -> List {
    let rest = |(name, amount): (&String, &api::quantity::Quantity)| {
        let mut amount = amount.clone();
        if let Some(before) = before.get(name) {
            amount.sub(before);
        }
        (amount.signum() > 0).then(|| (name.clone(), amount))
    };
    usage.iter().filter_map(rest).collect()
}

fn check(quota: &Running, more: &List) -> Result<(), String> {
    let exceeds = |name: &String| {
        let mut sum = quota.used.get(name).cloned().unwrap_or_default();
        sum.add(&more[name]);
        quota.hard.get(name).is_some_and(|hard| sum > *hard)
    };
    let exceeded: Vec<&String> = more.keys().filter(|name| exceeds(name)).collect();
    if exceeded.is_empty() {
        return Ok(());
    }
    let shown = |list: &List| {
        let shown = exceeded.iter().filter_map(|name| Some(format!("{name}={}", list.get(*name)?)));
        shown.collect::<Vec<_>>().join(",")
    };
    Err(format!(
        "exceeded quota: {}, requested: {}, used: {}, limited: {}",
        quota.name(),
        shown(more),
        shown(&quota.used),
        shown(&quota.hard)
    ))
}
