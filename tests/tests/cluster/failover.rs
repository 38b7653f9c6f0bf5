//! Several processes run the controllers, and one of them leads.

use std::time::Duration;

use tests::cluster::Cluster;
use tests::kubectl::Kubectl;
use tests::server::Backing;

use crate::run;

/// How long a leader that is gone still holds its Lease, in seconds.
const LEASE: u64 = 3;

#[test]
fn another_process_leads_when_the_leader_is_gone() {
    let mut cluster = Cluster::apart(Backing::Embedded, 1);
    cluster.end_controllers();
    let first = cluster.add_controllers(LEASE);
    let user = Kubectl::to(cluster);
    let holder = || run(&user, "get lease kube-controller-manager -n kube-system -o jsonpath={.spec.holderIdentity}");
    assert!(holder().ends_with(&format!("_{}", first.id())), "{}", holder());

    let second = user.server.stand_by(LEASE);
    // Killed: it cannot give its Lease back.
    drop(first);
    run(&user, "create namespace shop");
    let made = "wait --for=create serviceaccount/default -n shop";
    run(&user, &format!("{made} --timeout={}s", Duration::from_secs(120).as_secs()));
    assert!(holder().ends_with(&format!("_{}", second.id())), "{}", holder());
}
