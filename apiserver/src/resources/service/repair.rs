//! Makes the ledger agree with the stored Services, which are the truth: at the start, and whenever in doubt.
//!
//! A crash between a claim and the write that it was made for leaves a claim of nobody; one between a write and what it
//! gives up leaves a claim too many; a ledger that was lost, or Services that were restored from a backup, leave Services
//! without their claims. Deciding what to do is apart from doing it.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::networking::v1::IPAddress;

use super::allocation::used;
use super::book::{Owner, book, holder, token};
use super::pool::{CLUSTER_IPS, NODE_PORTS};
use crate::entry::ROOT;
use crate::reservation::{ClaimError, Ledger};

/// A claim as the ledger has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claim {
    /// `cluster-ips` or `node-ports`.
    pub pool: &'static str,
    /// The address or port.
    pub item: String,
    /// Who holds it: `services/<namespace>/<name>/<uid>/<token>`, with as much of the uid as the ledger keeps.
    pub holder: String,
    /// Whether it is the ledger's. Clients may make addresses of their own, which is no claim and keeps others out.
    pub managed: bool,
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
    /// The Service that uses it: `services/<namespace>/<name>/<uid>`, with as much of the uid as the ledger keeps.
    pub service: String,
    /// Who holds it.
    pub holder: String,
}

/// Gives claims of nobody back and makes those that are missing. `services` must be what is stored after this was called;
/// so it may be lazy, but no earlier list.
///
/// An address that a client has made in place of a Service's claim is an orphan like others: what a Service uses is its.
///
/// # Errors
/// The ledger could not be read or written. What has been done until then stays done; repairing again is harmless.
pub async fn repair(
    ledger: &Ledger,
    services: impl Iterator<Item = Service>,
    orphans: Orphans<'_>,
    mut random: impl FnMut() -> u64,
) -> Result<Report, ClaimError> {
    let mut claims = Vec::new();
    for pool in [CLUSTER_IPS, NODE_PORTS] {
        let held = ledger.claims(book(pool)).await?.into_iter();
        claims.extend(held.map(|held| Claim { pool, item: held.item, holder: held.holder, managed: held.managed }));
    }
    let plan = plan(&claims, services, || token(random()));
    let mut report = Report { conflicts: plan.conflicts, ..Report::default() };
    for claim in plan.orphans {
        let is_dropped = match orphans {
            Orphans::All => true,
            Orphans::SeenBefore(seen) => seen.contains(&claim),
        };
        if is_dropped {
            ledger.release(book(claim.pool), &claim.item, &claim.holder).await?;
            report.dropped.push(claim);
        } else {
            report.orphans.push(claim);
        }
    }
    for claim in plan.missing {
        match ledger.claim(book(claim.pool), &claim.item, &claim.holder).await {
            Ok(()) => report.restored.push(claim),
            // Another server has repaired the same.
            Err(ClaimError::Taken { holder }) if Owner::of_holder(&holder) == Owner::of_holder(&claim.holder) => {}
            Err(ClaimError::Taken { holder }) => {
                let service = Owner::of_holder(&claim.holder).as_str().to_owned();
                report.conflicts.push(Conflict { pool: claim.pool, item: claim.item, service, holder });
            }
            Err(error) => return Err(error),
        }
    }
    Ok(report)
}

/// Makes up for the deletion of an address that a Service uses: it is claimed again at once.
///
/// # Errors
/// The ledger or the Service could not be read, or the claim not be made. The next repair tries again.
pub async fn restore(ledger: &Ledger, deleted: &IPAddress) -> Result<(), ClaimError> {
    let parent = &deleted.spec.parent_ref;
    let (namespace, name) = (parent.namespace.as_deref().unwrap_or_default(), parent.name.as_str());
    let is_of_service = parent.resource == "services" && parent.group.as_deref().unwrap_or_default().is_empty();
    if !is_of_service || [namespace, name].iter().any(|part| part.is_empty() || part.contains('/')) {
        return Ok(());
    }
    let Some(service) = ledger.stored(&format!("{ROOT}core/services/{namespace}/{name}")).await? else { return Ok(()) };
    let Ok(service) = serde_json::from_slice::<Service>(&service) else { return Ok(()) };
    let item = (CLUSTER_IPS, deleted.metadata.name.clone().unwrap_or_default());
    if !service.spec.iter().flat_map(used).any(|used| used == item) {
        return Ok(());
    }
    // No two objects have one uid, and this one follows from that of the deleted one.
    let bits = holder(deleted)
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |bits: u64, byte| (bits ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    let claimed = ledger.claim(book(CLUSTER_IPS), &item.1, &Owner::of(&service.metadata).holder(&token(bits))).await;
    match claimed {
        // Somebody was quicker, perhaps the deletion of another one.
        Ok(()) | Err(ClaimError::Taken { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// What has to be done.
#[derive(Debug, Default, PartialEq, Eq)]
struct Plan {
    orphans: Vec<Claim>,
    missing: Vec<Claim>,
    conflicts: Vec<Conflict>,
}

/// Compares claims with Services. Of several that use the same item the one that holds it keeps it, and if none does, the
/// oldest gets it, with a token that `token` makes.
fn plan(claims: &[Claim], services: impl Iterator<Item = Service>, mut token: impl FnMut() -> String) -> Plan {
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
        match users.get(&item) {
            Some(users) if users.iter().any(|(_, user)| *user == owner) => {
                held.insert(item, (owner, claim.holder.clone()));
            }
            // Not ours, and in nobody's way.
            None if !claim.managed => {}
            _ => plan.orphans.push(claim.clone()),
        }
    }
    for ((pool, item), users) in users {
        let mut users = users.into_iter().map(|(_, user)| user);
        let holder = held.remove(&(pool, item.clone())).or_else(|| {
            let oldest = users.next()?;
            let holder = oldest.holder(&token());
            plan.missing.push(Claim { pool, item: item.clone(), holder: holder.clone(), managed: true });
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
        Claim { pool, item: item.to_owned(), holder: holder.to_owned(), managed: true }
    }

    fn plan(claims: &[Claim], services: impl Iterator<Item = Service>) -> Plan {
        super::plan(claims, services, || "repair".to_owned())
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
    fn what_clients_have_made_gives_way_to_services_alone() {
        let of_client =
            |item: &str| Claim { managed: false, ..claim(CLUSTER_IPS, item, "gateways.example.com//edge/u/1") };
        let claims = [of_client("10.0.0.1"), of_client("10.0.0.2")];
        let expected = Plan {
            orphans: vec![of_client("10.0.0.1")],
            missing: vec![claim(CLUSTER_IPS, "10.0.0.1", "services/d/a/u/repair")],
            conflicts: vec![],
        };
        assert_eq!(plan(&claims, [service("a", 0, &["10.0.0.1"], 0)].into_iter()), expected);
        // Whoever takes the labels off a claim does not take the address off its Service.
        let unlabelled = Claim { managed: false, ..claim(CLUSTER_IPS, "10.0.0.1", "services/d/a/u/1") };
        assert_eq!(plan(&[unlabelled], [service("a", 0, &["10.0.0.1"], 0)].into_iter()), Plan::default());
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
