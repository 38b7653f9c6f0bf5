//! What a whole control plane costs: `gantry up` starting, idle, and under load, as one process that others use over TLS.
//!
//! `cargo bench -p tests --bench cluster` prints, for the binary that `make bench` builds: how long a start takes, what an
//! idle cluster uses with and without hollow nodes, and what it takes to create, roll and delete pods, up to the last one.
//! A word such as `-- roll` runs only the measurements that have it in their names, and `-- apart` those with a process for
//! each role. `GANTRY_BENCH_PODS` makes everything smaller than the 10,000 pods that it is otherwise.
//!
//! Pods are watched from here; what this process itself used of the processors is said beside each figure. Upstream is not
//! measured: its control plane needs kubelets to do the same, which are not here.

mod idle;
mod observer;
mod report;
mod workloads;

use tests::cluster::Setup;
use tests::server::Backing;
use tokio::runtime::Runtime;

use report::Report;

/// How many pods the largest measurement has, unless `GANTRY_BENCH_PODS` says something else.
const PODS: usize = 10_000;
/// How many pods there are for each node.
const PODS_PER_NODE: usize = 10;

/// A measurement and its name.
type Measurement = (&'static str, fn(&Bench));

/// What measurements share.
struct Bench {
    runtime: Runtime,
    pods: usize,
    /// Whether each role is a process of its own.
    apart: bool,
    report: Report,
}

impl Bench {
    /// Nodes enough for so many pods.
    fn setup(&self, pods: usize) -> Setup {
        with_nodes(pods.div_ceil(PODS_PER_NODE))
    }
}

/// A cluster whose warnings do not come between the lines of the table.
fn with_nodes(nodes: usize) -> Setup {
    Setup { log_level: "error".to_owned(), ..Setup::new(Backing::Embedded, nodes) }
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let stated = std::env::var("GANTRY_BENCH_PODS").ok();
    let pods = stated.map_or(PODS, |stated| stated.parse().expect("GANTRY_BENCH_PODS is a number"));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let apart = words.iter().any(|word| word == "apart");
    let filter = words.into_iter().find(|word| word != "apart").unwrap_or_default();
    let bench = Bench { runtime: runtime.expect("a runtime"), pods: pods.max(100), apart, report: Report::default() };
    let measurements: [Measurement; 5] = [
        ("start", idle::starts),
        ("idle", idle::idle),
        ("one deployment", workloads::one_deployment),
        ("small deployments", workloads::small_deployments),
        ("roll", workloads::roll),
    ];
    for (name, measure) in measurements {
        if name.contains(&filter) {
            measure(&bench);
        }
    }
}
