//! Makes the ledger agree with the stored Services, which are the truth: at the start, and whenever in doubt.
//!
//! A crash between a claim and the write that it was made for leaves a claim of nobody; one between a write and what it
//! gives up leaves a claim too many; a ledger that was lost, or Services that were restored from a backup, leave Services
//! without their claims. Deciding what to do is apart from doing it.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Service;

use super::allocation::used;
use super::claims::Owner;
use super::pool::{CLUSTER_IPS, NODE_PORTS};
use crate::reservation::{ClaimError, Ledger};

/// What the holders of claims that the repair made end with.
const TOKEN: &str = "repair";

/// A claim as the ledger has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claim {
    /// `cluster-ips` or `node-ports`.
    pub pool: &'static str,
    /// The address or port.
    pub item: String,
    /// Who holds it: `services/<namespace>/<name>/<uid>/<token>`.
    pub holder: String,
}

/// Which claims of nobody are given back.
#[derive(Clone, Copy, Debug)]
pub enum Orphans<'a> {
    /// All: nobody else writes to this store, so no write is under way that such a claim could be for.
    All,
    /// Those that were [orphans](Report::orphans) in an earlier repair, too, longer ago than any request may take. Other
    /// servers that share the store may have claimed the others just now.
    SeenBefore(&'a [Claim]),
}

/// What a repair found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Claims that no Service uses, and that were given back.
    pub dropped: Vec<Claim>,
    /// Claims that no Service uses, and that were left as they are.
    pub orphans: Vec<Claim>,
    /// Claims that were made for Services that had none.
    pub restored: Vec<Claim>,
    /// What several Services use.
    pub conflicts: Vec<Conflict>,
}

/// An address or port that a Service uses and does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// `cluster-ips` or `node-ports`.
    pub pool: &'static str,
    /// The address or port.
    pub item: String,
    /// The Service that uses it: `services/<namespace>/<name>/<uid>`.
    pub service: String,
    /// Who holds it.
    pub holder: String,
}

/// Gives claims of nobody back and makes those that are missing. `services` must be what is stored after this was called;
/// so it may be lazy, but no earlier list.
///
/// # Errors
/// The ledger could not be read or written. What has been done until then stays done; repairing again is harmless.
pub async fn repair(
    ledger: &Ledger,
    services: impl Iterator<Item = Service>,
    orphans: Orphans<'_>,
) -> Result<Report, ClaimError> {
    let mut claims = Vec::new();
    for pool in [CLUSTER_IPS, NODE_PORTS] {
        let held = ledger.claims(pool).await?.into_iter();
        claims.extend(held.map(|(item, holder)| Claim { pool, item, holder }));
    }
    let plan = plan(&claims, services);
    let mut report = Report { conflicts: plan.conflicts, ..Report::default() };
    for claim in plan.orphans {
        let is_dropped = match orphans {
            Orphans::All => true,
            Orphans::SeenBefore(seen) => seen.contains(&claim),
        };
        if is_dropped {
            ledger.release(claim.pool, &claim.item, &claim.holder).await?;
            report.dropped.push(claim);
        } else {
            report.orphans.push(claim);
        }
    }
    for claim in plan.missing {
        match ledger.claim(claim.pool, &claim.item, &claim.holder).await {
            Ok(()) => report.restored.push(claim),
            Err(ClaimError::Taken { holder }) => {
                let service = Owner::of_holder(&claim.holder).as_str().to_owned();
                report.conflicts.push(Conflict { pool: claim.pool, item: claim.item, service, holder });
            }
            Err(error) => return Err(error),
        }
    }
    Ok(report)
}

/// What has to be done.
#[derive(Debug, Default, PartialEq, Eq)]
struct Plan {
    orphans: Vec<Claim>,
    missing: Vec<Claim>,
    conflicts: Vec<Conflict>,
}

/// Compares claims with Services. Of several that use the same item the one that holds it keeps it, and if none does, the
/// oldest gets it.
fn plan(claims: &[Claim], services: impl Iterator<Item = Service>) -> Plan {
    let mut users: BTreeMap<(&'static str, String), BTreeSet<_>> = BTreeMap::new();
    for service in services {
        let user = (service.metadata.creation_timestamp.as_ref().map(|time| time.0), Owner::of(&service.metadata));
        for item in service.spec.iter().flat_map(used) {
            users.entry(item).or_default().insert(user.clone());
        }
    }
    let mut plan = Plan::default();
    let mut held = BTreeMap::new();
    for claim in claims {
        let (item, owner) = ((claim.pool, claim.item.clone()), Owner::of_holder(&claim.holder));
        if users.get(&item).is_some_and(|users| users.iter().any(|(_, user)| *user == owner)) {
            held.insert(item, (owner, claim.holder.clone()));
        } else {
            plan.orphans.push(claim.clone());
        }
    }
    for ((pool, item), users) in users {
        let mut users = users.into_iter().map(|(_, user)| user);
        let holder = held.remove(&(pool, item.clone())).or_else(|| {
            let oldest = users.next()?;
            let holder = oldest.holder(TOKEN);
            plan.missing.push(Claim { pool, item: item.clone(), holder: holder.clone() });
            Some((oldest, holder))
        });
        let Some((owner, holder)) = holder else { continue };
        for user in users.filter(|user| *user != owner) {
            let service = user.as_str().to_owned();
            plan.conflicts.push(Conflict { pool, item: item.clone(), service, holder: holder.clone() });
        }
    }
    plan
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn service(name: &str, created: i64, ips: &[&str], node_port: i32) -> Service {
        serde_json::from_value(json!({
            "metadata": {
                "namespace": "d", "name": name, "uid": "u",
                "creationTimestamp": format!("2026-01-01T00:00:{created:02}Z"),
            },
            "spec": {
                "type": if node_port == 0 { "ClusterIP" } else { "NodePort" },
                "clusterIP": ips.first(), "clusterIPs": ips,
                "ports": [{"port": 80, "nodePort": node_port}],
            },
        }))
        .unwrap()
    }

    fn claim(pool: &'static str, item: &str, holder: &str) -> Claim {
        Claim { pool, item: item.to_owned(), holder: holder.to_owned() }
    }

    #[test]
    fn what_agrees_is_left_alone() {
        let services = [
            service("a", 0, &["10.0.0.1", "fd00::1"], 30_000),
            service("headless", 0, &["None"], 0),
            service("no-ip", 0, &[], 0),
        ];
        let claims = [
            claim(CLUSTER_IPS, "10.0.0.1", "services/d/a/u/1"),
            claim(CLUSTER_IPS, "fd00::1", "services/d/a/u/2"),
            claim(NODE_PORTS, "30000", "services/d/a/u/3"),
        ];
        assert_eq!(plan(&claims, services.into_iter()), Plan::default());
        assert_eq!(plan(&[], std::iter::empty()), Plan::default());
    }

    #[test]
    fn claims_of_nobody_are_orphans() {
        let claims = [
            claim(CLUSTER_IPS, "10.0.0.1", "services/d/a/other-uid/1"),
            claim(CLUSTER_IPS, "10.0.0.2", "services/d/a/u/1"),
            claim(NODE_PORTS, "30000", "services/d/gone/u/1"),
            claim(NODE_PORTS, "30001", "not a service"),
        ];
        let expected = Plan {
            orphans: claims.to_vec(),
            missing: vec![claim(CLUSTER_IPS, "10.0.0.1", "services/d/a/u/repair")],
            conflicts: vec![],
        };
        assert_eq!(plan(&claims, [service("a", 0, &["10.0.0.1"], 0)].into_iter()), expected);
    }

    #[test]
    fn the_holder_or_else_the_oldest_keeps_what_several_use() {
        let services = || {
            [service("c", 1, &["10.0.0.1"], 0), service("a", 2, &["10.0.0.1"], 0), service("b", 3, &["010.0.0.1"], 0)]
        };
        let conflict = |service: &str, holder: &str| Conflict {
            pool: CLUSTER_IPS,
            item: "10.0.0.1".to_owned(),
            service: format!("services/d/{service}/u"),
            holder: format!("services/d/{holder}"),
        };
        let held = [claim(CLUSTER_IPS, "10.0.0.1", "services/d/a/u/1")];
        let expected = Plan { conflicts: vec![conflict("c", "a/u/1"), conflict("b", "a/u/1")], ..Plan::default() };
        assert_eq!(plan(&held, services().into_iter()), expected);
        let expected = Plan {
            missing: vec![claim(CLUSTER_IPS, "10.0.0.1", "services/d/c/u/repair")],
            conflicts: vec![conflict("a", "c/u/repair"), conflict("b", "c/u/repair")],
            ..Plan::default()
        };
        assert_eq!(plan(&[], services().into_iter()), expected);
    }
}
