//! The API server beside its peer, over TLS: start, memory, GET, LIST, durable POST, PATCH and the fan-out of watches.
//!
//! `cargo bench -p tests --bench api` measures `gantry apiserver` over its embedded store and over etcd, and upstream's
//! `kube-apiserver` over etcd if there is one on the path, one after the other in one run, and prints a table in which the
//! last column compares. A word such as `-- post` runs only the measurements that have it in their names, and
//! `GANTRY_BENCH_BINARY` names another `gantry` to measure, such as an earlier version. Each server is a process of its own;
//! the load comes from this one, over HTTP/1.1 connections that stay open.

mod connection;
mod load;
mod server;
mod watches;

use std::time::Duration;

use tokio::runtime::Runtime;

use connection::Target;
use load::{Operation, bind_ordinary, measure};
use server::{Kind, Process};

/// How long each measurement goes on, after a tenth of that to warm up.
const TIME: Duration = Duration::from_secs(8);

/// The figures of one server: what was measured, the figure that is compared, and everything worth saying about it.
type Figures = Vec<(&'static str, f64, String)>;

#[allow(clippy::print_stdout, reason = "a benchmark's figures go to standard output")]
fn main() {
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let mut all: Vec<(Kind, Figures)> = Vec::new();
    for kind in Kind::available() {
        let figures = run(&runtime, kind, &filter);
        for (name, _, shown) in &figures {
            println!("{:<18} {name:<22} {shown}", kind.name());
        }
        all.push((kind, figures));
    }
    let Some((_, first)) = all.first() else { return };
    for (kind, figures) in &all[1..] {
        println!("\ngantry over its embedded store, as a multiple of {}:", kind.name());
        for (name, figure, _) in figures {
            if let Some((_, ours, _)) = first.iter().find(|(other, ..)| other == name) {
                println!("  {name:<22} {:.2}", ours / figure);
            }
        }
    }
}

fn run(runtime: &Runtime, kind: Kind, filter: &str) -> Figures {
    let mut figures = Figures::new();
    let mut process = runtime.block_on(Process::start(kind));
    let start = process.started_in.as_secs_f64();
    figures.push(("start (1/s)", 1.0 / start, format!("ready after {:.0} ms", start * 1e3)));
    let idle = process.resident_mib();
    figures.push(("idle memory (1/MiB)", 1.0 / idle, format!("{idle:.0} MiB resident")));
    let target = Target::new(&process);
    runtime.block_on(async {
        bind_ordinary(&target).await;
        let ordinary = target.as_ordinary();
        for (name, target, operation, connections) in [
            ("get", &target, Operation::Get, 16),
            ("get, by a role", &ordinary, Operation::Get, 16),
            ("get, 256 connections", &target, Operation::Get, 256),
            ("list of 500", &target, Operation::List, 16),
            ("post", &target, Operation::Post, 16),
            ("post, by a role", &ordinary, Operation::Post, 16),
            ("post, 64 connections", &target, Operation::Post, 64),
            ("patch", &target, Operation::Patch, 16),
        ] {
            if name.contains(filter) {
                let (rate, shown) = measure(target, name, operation, connections, TIME).await;
                figures.push((name, rate, shown));
            }
        }
        if "watch".contains(filter) {
            let (rate, shown) = watches::fan_out(&target, 100, 1_000).await;
            figures.push(("watch, 100 watchers", rate, shown));
        }
    });
    let loaded = process.resident_mib();
    figures.push(("memory after (1/MiB)", 1.0 / loaded, format!("{loaded:.0} MiB resident")));
    process.end();
    figures
}
