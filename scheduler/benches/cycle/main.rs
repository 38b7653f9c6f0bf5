//! How long decisions take in large clusters, without a cluster around them: upstream's scheduler_perf workloads.
//!
//! `cargo bench -p scheduler --bench cycle` prints a line a workload: pods a second on one core, and where the time goes,
//! in microseconds of its time a pod. A filter such as `-- Spreading` runs those whose names contain it. `read` is to see what
//! scheduling sees of the pod, `decide` to choose a node, `room` to find whom to preempt (or to say that nobody helps)
//! and to make the room, `assume` to note the decision and what of storage it takes, and `events` to hear that the pod was bound and that it runs.

mod cluster;
mod storage;
mod templates;
mod workloads;

use std::time::Duration;

use cluster::{Cluster, Spent};
use workloads::Workload;

#[allow(clippy::print_stdout, reason = "a benchmark's figures go to standard output")]
fn main() {
    let filters: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    println!(
        "{:45} {:>6} {:>6} {:>8} {:>7} {:>8} {:>6} {:>7} {:>7} {:>7} {:>7} {:>6}",
        "workload",
        "nodes",
        "pods",
        "upstream",
        "pods/s",
        "us/pod",
        "read",
        "decide",
        "room",
        "assume",
        "events",
        "none"
    );
    for workload in workloads::all() {
        if filters.is_empty() || filters.iter().any(|filter| workload.name.contains(filter.as_str())) {
            println!("{}", run(&workload));
        }
    }
}

/// Runs a workload; gives its line.
fn run(workload: &Workload) -> String {
    let mut cluster = Cluster::default();
    for (name, labels) in &workload.namespaces {
        cluster.set_namespace(name, labels);
    }
    cluster.storage = workload.storage;
    workload.nodes.iter().for_each(|node| cluster.set_node(node));
    workload.initial.iter().flat_map(|pods| pods.each()).for_each(|pod| cluster.schedule(pod));
    cluster.spent = Spent::default();
    let mut without = 0;
    for (number, pod) in workload.measured.each().enumerate() {
        if let Some((every, others)) = &workload.churn
            && number % every == 0
        {
            cluster.schedule(others.one(number));
            without += 1;
        }
        cluster.schedule(pod);
    }
    let spent = &cluster.spent;
    let pods = workload.measured.count + without;
    let micros = |duration: Duration| duration.as_secs_f64() * 1e6 / pods as f64;
    let all = spent.read + spent.decide + spent.room + spent.assume + spent.events;
    format!(
        "{:45} {:>6} {pods:>6} {:>8} {:>7.0} {:>8.1} {:>6.1} {:>7.1} {:>7.1} {:>7.1} {:>7.1} {:>6}",
        workload.name,
        workload.nodes.len(),
        workload.upstream,
        1e6 / micros(all),
        micros(all),
        micros(spent.read),
        micros(spent.decide),
        micros(spent.room),
        micros(spent.assume),
        micros(spent.events),
        spent.unschedulable,
    )
}
