//! What users are promised of a cluster's network: pods reach each other wherever they are, Services lead to those who answer, by
//! address and by name, and go on to while machines fail and pods are replaced. Between real pods on several machines, with
//! kubectl as the client, and with somebody outside.
//!
//! Most subjects share one cluster of three nodes, on which each has a namespace of its own; those that break something, and
//! those that need another kind of network, have clusters of their own. `GANTRY_SUBJECTS=names,groups` shows only subjects with
//! these names.

mod families;
mod faults;
mod names;
mod outside;
mod pods;
mod policies;
mod probe;
mod services;
mod stage;
mod updates;

use std::panic::{AssertUnwindSafe, catch_unwind};

use tests::machine::Machine;
use tests::site::{Plan, Site};

use crate::outside::Outside;
use crate::probe::Probe;
use crate::stage::Stage;

/// Whether there can be nodes here. Where containers are promised to run, they have to.
pub(crate) fn is_possible() -> bool {
    match Machine::possible() {
        Ok(()) => true,
        Err(why) => {
            assert!(std::env::var_os("CI").is_none(), "{why}");
            #[allow(clippy::print_stdout)]
            {
                println!("skipped: {why}");
            }
            false
        }
    }
}

/// A cluster of so many machines on one link.
pub(crate) fn plan(near: u8) -> Plan {
    Plan { near, images: vec!["test-1.tar", "test-2.tar"], ..Plan::default() }
}

/// What is shown, and what it is called.
type Case = (&'static str, fn(&Stage<'_>));

/// Runs all of these in one cluster, each in a namespace of its own, at once.
fn run_all(site: &Site, probes: &[Probe<'_>], cases: &[Case]) {
    let wanted = std::env::var("GANTRY_SUBJECTS").unwrap_or_default();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.split(',').any(|subject| subject == name);
    let failed: Vec<&str> = std::thread::scope(|scope| {
        let begin = |&(name, case): &Case| {
            let run = move || case(&Stage::new(site, name, probes));
            (name, scope.spawn(move || catch_unwind(AssertUnwindSafe(run)).is_ok()))
        };
        let running: Vec<_> = cases.iter().filter(|(name, _)| is_wanted(name)).map(begin).collect();
        let ended = running.into_iter().map(|(name, thread)| (name, thread.join().unwrap_or(false)));
        ended.filter(|(_, well)| !well).map(|(name, _)| name).collect()
    });
    assert!(failed.is_empty(), "failed: {failed:?}");
}

#[test]
fn pods_and_services_reach_each_other() {
    if !is_possible() {
        return;
    }
    let pool = format!("--load-balancer-pool={}", services::POOL);
    let site = Site::up(Plan { up: vec![pool], ..plan(3) });
    let _outside = Outside::open(&site);
    let probes = probe::on_every_node(&site);
    run_all(
        &site,
        &probes,
        &[
            ("pods", pods::reach),
            ("sizes", pods::sizes),
            ("elsewhere", pods::elsewhere),
            ("cluster-ips", services::cluster_ips),
            ("node-ports", services::node_ports),
            ("external-ips", services::external_ips),
            ("balancers", services::load_balancers),
            ("pool", services::pool),
            ("hairpin", services::hairpin),
            ("refusal", services::refusal),
            ("affinity", policies::affinity),
            ("internal-local", policies::internal_local),
            ("external-local", policies::external_local),
            ("same-node", policies::same_node),
            ("names", names::services),
            ("groups", names::groups),
            ("foreign-names", names::foreign),
            ("updates", updates::rolling),
        ],
    );
}
