//! How many pods a second a scheduler places: upstream's `scheduler_perf`, on an API server and a scheduler in one process.
//!
//! `cargo bench -p tests --bench scheduler` prints a line for each load: pods a second from the first creation until the last
//! pod is seen with a node, beside what upstream's CI wants; what the whole process (the API server, the scheduler and who
//! creates the pods) used of the processors, and the most memory that it had. Each load has a process of its own.
//!
//! Words such as `-- Affinity Basic` run only the loads that have one of them in their names. `GANTRY_BENCH_SHARE=0.01` runs a
//! hundredth of each. `-- in-turn` puts a loop in the scheduler's place that binds pods to nodes in turn: what is left is
//! what everything else costs.

use std::process::{Command, ExitCode};
use std::time::Duration;

use tests::scheduling::{Outcome, Share, Start, Workload, all, in_turn, run, scheduler};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long the pods of a load may take.
const WITHIN: Duration = Duration::from_secs(900);
/// Tells a process which load is its own.
const LOAD: &str = "GANTRY_BENCH_LOAD";
const IN_TURN: &str = "in-turn";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let start: Start = if words.iter().any(|word| word == IN_TURN) { in_turn } else { scheduler };
    let loads = all();
    if let Ok(name) = std::env::var(LOAD) {
        let load = loads.iter().find(|load| load.name == name).expect("GANTRY_BENCH_LOAD names a load");
        return one(load, start);
    }
    let mut filters = words.iter().filter(|word| *word != IN_TURN).peekable();
    let everything = filters.peek().is_none();
    let filters: Vec<&String> = filters.collect();
    say(&format!(
        "{:<75} {:>9} {:>8} {:>9} {:>6} {:>8} {:>8} {:>9}",
        "", "seconds", "pods/s", "upstream", "ratio", "CPU s", "us/pod", "peak MiB"
    ));
    let program = std::env::current_exe().expect("the path of this program");
    let mut code = ExitCode::SUCCESS;
    for load in loads.iter().filter(|load| everything || filters.iter().any(|filter| load.name.contains(*filter))) {
        let status = Command::new(&program).args(&words).env(LOAD, load.name).status();
        if !status.expect("a process starts").success() {
            say(&format!("{:<75} failed", load.name));
            code = ExitCode::FAILURE;
        }
    }
    code
}

/// Runs one load in this process. Fails if not all pods are bound.
fn one(load: &Workload, start: Start) -> ExitCode {
    let stated = std::env::var("GANTRY_BENCH_SHARE").ok();
    let share = stated.map_or(Some(Share::WHOLE), |stated| stated.parse().ok().and_then(Share::new));
    let share = share.expect("GANTRY_BENCH_SHARE is a number above 0, and at most 1");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let outcome = runtime.expect("a runtime").block_on(run(load, share, start, WITHIN));
    say(&line(load, &outcome));
    if outcome.took.is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn line(load: &Workload, outcome: &Outcome) -> String {
    let Outcome { pods, bound, took, used } = outcome;
    let Some(took) = took else {
        return format!("{:<75} of {pods} pods, {bound} were bound in {} s", load.name, WITHIN.as_secs());
    };
    let seconds = took.as_secs_f64();
    let rate = count(*pods) / seconds;
    let (threshold, ratio) = load.threshold.map_or(("-".to_owned(), "-".to_owned()), |threshold| {
        (threshold.to_string(), format!("{:.1}", rate / f64::from(threshold)))
    });
    let each = used.cpu / count(*pods) * 1e6;
    format!(
        "{:<75} {seconds:>9.2} {rate:>8.0} {threshold:>9} {ratio:>6} {:>8.2} {each:>8.0} {:>9.0}",
        load.name, used.cpu, used.peak_mib
    )
}

#[allow(clippy::cast_precision_loss, reason = "no count here comes near 2^52")]
fn count(number: usize) -> f64 {
    number as f64
}

#[allow(clippy::print_stdout, reason = "a benchmark's figures go to standard output")]
fn say(line: &str) {
    println!("{line}");
}
