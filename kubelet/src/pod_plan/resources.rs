//! What containers may use: as the spec says it, as the kernel has it, and whether that is the same.

use std::collections::BTreeMap;

use api::quantity::{Format, Quantity};
use k8s_openapi::api::core::v1::{Container, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;

use crate::observed::AppliedResources;

/// The shares of a processor, and the fewest that there are.
const SHARES: i64 = 1024;
const FEWEST_SHARES: i64 = 2;
/// The period that a quota is for, in microseconds, unless the kernel has another one; and the smallest quota.
const PERIOD: i64 = 100_000;
const SMALLEST_QUOTA: i64 = 1000;
/// The kernel counts memory in pages.
const PAGE: i64 = 4096;
/// What the kernel calls a limit where there is none is near the largest number.
const NO_LIMIT: i64 = 1 << 60;

type List = BTreeMap<String, ApiQuantity>;

/// What a container is to be given, as the kernel counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Thousandths of a processor that it is sure of.
    request: i64,
    /// Thousandths of a processor at most.
    limit: Option<i64>,
    /// Bytes at most.
    memory: Option<i64>,
}

fn get(list: Option<&List>, name: &str) -> Option<Quantity> {
    // What is no quantity was never accepted by the API.
    list?.get(name).and_then(|quantity| Quantity::parse(&quantity.0).ok())
}

impl Wanted {
    pub(super) fn of(requirements: Option<&ResourceRequirements>) -> Wanted {
        let requests = requirements.and_then(|it| it.requests.as_ref());
        let limits = requirements.and_then(|it| it.limits.as_ref());
        let limit = get(limits, "cpu").map(|quantity| quantity.milli_value()).filter(|limit| *limit > 0);
        let request = get(requests, "cpu").map(|quantity| quantity.milli_value()).or(limit).unwrap_or(0);
        let memory = get(limits, "memory").map(|quantity| quantity.value()).filter(|limit| *limit > 0);
        Wanted { request, limit, memory }
    }

    fn has_request(&self, applied: &AppliedResources) -> bool {
        let Some(has) = applied.cpu_shares else { return true };
        let shares = (self.request.saturating_mul(SHARES) / 1000).clamp(FEWEST_SHARES, 262_144);
        // With control groups of version 2 shares become a weight, and come back less exact.
        let weight = 1 + (shares - 2) * 9999 / 262_142;
        has == shares || has == 2 + (weight - 1) * 262_142 / 9999
    }

    fn has_limit(&self, applied: &AppliedResources) -> bool {
        let Some(has) = applied.cpu_quota else { return true };
        let has = Some(has).filter(|quota| *quota > 0);
        let period = period(applied);
        has == self.limit.map(|limit| (limit.saturating_mul(period) / 1000).max(SMALLEST_QUOTA))
    }

    fn has_memory(&self, applied: &AppliedResources) -> bool {
        let Some(has) = applied.memory_limit else { return true };
        let pages = |bytes: Option<i64>| bytes.map(|bytes| bytes / PAGE);
        pages(limited(has)) == pages(self.memory)
    }

    /// Which resources the kernel has otherwise. What it does not tell is as it is to be.
    pub(super) fn differing(&self, applied: &AppliedResources) -> Vec<&'static str> {
        let cpu = self.has_request(applied) && self.has_limit(applied);
        let all = [("cpu", cpu), ("memory", self.has_memory(applied))];
        all.into_iter().filter_map(|(name, same)| (!same).then_some(name)).collect()
    }

    /// Which resources are others than those of an earlier time.
    pub(super) fn differing_from(&self, earlier: &Wanted) -> Vec<&'static str> {
        let cpu = (self.request, self.limit) == (earlier.request, earlier.limit);
        let all = [("cpu", cpu), ("memory", self.memory == earlier.memory)];
        all.into_iter().filter_map(|(name, same)| (!same).then_some(name)).collect()
    }
}

fn period(applied: &AppliedResources) -> i64 {
    applied.cpu_period.filter(|period| *period > 0).unwrap_or(PERIOD)
}

fn limited(bytes: i64) -> Option<i64> {
    Some(bytes).filter(|bytes| (1..NO_LIMIT).contains(bytes))
}

/// What a container has, as its status says it: the spec's own words where the kernel has just that.
pub(super) fn actual(container: &Container, applied: Option<&AppliedResources>) -> ResourceRequirements {
    let mut has = container.resources.clone().unwrap_or_default();
    let Some(applied) = applied else { return has };
    let wanted = Wanted::of(container.resources.as_ref());
    if let Some(shares) = applied.cpu_shares.filter(|_| !wanted.has_request(applied)) {
        let milli = if shares > FEWEST_SHARES { (shares * 1000 + SHARES - 1) / SHARES } else { 0 };
        set(&mut has.requests, "cpu", Some(milli).filter(|milli| *milli > 0).map(processors));
    }
    if let Some(quota) = applied.cpu_quota.filter(|_| !wanted.has_limit(applied)) {
        let milli = Some(quota).filter(|quota| *quota > 0).map(|quota| quota.saturating_mul(1000) / period(applied));
        set(&mut has.limits, "cpu", milli.map(processors));
    }
    if let Some(bytes) = applied.memory_limit.filter(|_| !wanted.has_memory(applied)) {
        let bytes = limited(bytes).map(|bytes| Quantity::new(bytes, Format::BinarySi));
        set(&mut has.limits, "memory", bytes);
    }
    has
}

fn processors(milli: i64) -> Quantity {
    Quantity::from_milli(milli, Format::DecimalSi)
}

fn set(list: &mut Option<List>, name: &str, quantity: Option<Quantity>) {
    match quantity {
        Some(quantity) => {
            list.get_or_insert_default().insert(name.to_owned(), ApiQuantity::from(&quantity));
        }
        None => {
            let mut rest = list.take().unwrap_or_default();
            rest.remove(name);
            *list = Some(rest).filter(|rest| !rest.is_empty());
        }
    }
}
