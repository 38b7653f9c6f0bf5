//! A cluster with nothing to do: how long it takes to start, and what it then uses.

use std::time::Duration;

use tests::cluster::Cluster;
use tests::usage::{Meter, resident_mib};
use tokio::time::timeout;

use crate::{Bench, with_nodes};

/// How often a start is measured.
const STARTS: usize = 7;
/// How long a cluster is left alone before it counts as idle.
const SETTLE: Duration = Duration::from_secs(10);
/// How long an idle cluster is watched.
const WATCH: Duration = Duration::from_secs(30);

/// From the start of the process until it says that it is ready: with nothing there, and with what it left.
pub(crate) fn starts(bench: &Bench) {
    let setup = with_nodes(0);
    let (mut first, mut again, mut after_crash) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let cluster = setup.up();
        first.push(cluster.started_in());
        let cluster = setup.up_in(cluster.stop());
        again.push(cluster.started_in());
        let cluster = setup.up_in(cluster.kill());
        after_crash.push(cluster.started_in());
    }
    for (name, mut times) in [("new", first), ("again", again), ("again after it was killed", after_crash)] {
        times.sort_unstable();
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let (median, worst) = (ms(times[STARTS / 2]), ms(times[STARTS - 1]));
        let shown = format!("ready after {median:.0} ms, and {worst:.0} ms at worst of {STARTS}");
        bench.report.say(&format!("start, {name}"), &shown);
    }
}

/// Memory and CPU without nodes, and with a hundred.
pub(crate) fn idle(bench: &Bench) {
    for nodes in [0, 100] {
        let setup = with_nodes(nodes);
        let cluster = if bench.apart { setup.apart() } else { setup.up() };
        bench.report.say(&format!("idle, {nodes} hollow nodes"), &bench.runtime.block_on(watch(&cluster)));
    }
}

async fn watch(cluster: &Cluster) -> String {
    pass(SETTLE).await;
    let mut shown = Vec::new();
    let processes = cluster.processes();
    let resident: Vec<f64> = processes.iter().map(|process| resident_mib(*process)).collect();
    let meters: Vec<Meter> = processes.iter().map(|process| Meter::start(*process)).collect();
    pass(WATCH).await;
    for (meter, resident) in meters.iter().zip(resident) {
        let cpu = meter.used().cpu;
        let share = cpu / WATCH.as_secs_f64() * 100.0;
        let seconds = WATCH.as_secs();
        shown.push(format!("{resident:.1} MiB resident, {cpu:.2} CPU s in {seconds} s ({share:.2} % of a processor)"));
    }
    shown.join("; ")
}

/// Lets time pass. It is time alone that is waited for here: nothing is to happen.
async fn pass(time: Duration) {
    let _ = timeout(time, std::future::pending::<()>()).await;
}
