//! Figures that are looked up when somebody asks for them: of the process, from `/proc`, and of the store.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use store::StoreStats;

/// The figures that every Prometheus client publishes of its process.
#[derive(Debug)]
pub(super) struct ProcessFigures;

impl Collector for ProcessFigures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        // What cannot be found out is left out.
        let Some(figures) = read_process() else { return Ok(()) };
        let e = &mut encoder;
        counter(e, "process_cpu_seconds", "Total user and system CPU time spent in seconds", figures.cpu_seconds)?;
        gauge(e, "process_resident_memory_bytes", "Resident memory size in bytes", figures.resident_bytes)?;
        gauge(e, "process_virtual_memory_bytes", "Virtual memory size in bytes", figures.virtual_bytes)?;
        gauge(e, "process_threads", "Number of operating system threads", figures.threads)?;
        let help = "Start time of the process since unix epoch in seconds";
        gauge(e, "process_start_time_seconds", help, figures.start_seconds)?;
        if let Some(open) = figures.open_files {
            gauge(e, "process_open_fds", "Number of open file descriptors", open)?;
        }
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        if let Some(limit) = limit {
            gauge(e, "process_max_fds", "Maximum number of open file descriptors", limit as f64)?;
        }
        Ok(())
    }
}

struct Figures {
    cpu_seconds: f64,
    resident_bytes: f64,
    virtual_bytes: f64,
    threads: f64,
    start_seconds: f64,
    open_files: Option<f64>,
}

fn read_process() -> Option<Figures> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is the program's name, which may contain anything; those after it are numbers.
    let fields: Vec<f64> =
        stat.rsplit_once(')')?.1.split_ascii_whitespace().map(|field| field.parse().unwrap_or(0.0)).collect();
    // Numbered from 1 in proc_pid_stat(5); the first here is number 3.
    let field = |number: usize| fields.get(number - 3).copied();
    let ticks = rustix::param::clock_ticks_per_second() as f64;
    let booted = std::fs::read_to_string("/proc/stat").ok()?;
    let booted: f64 = booted.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok())?;
    Some(Figures {
        cpu_seconds: (field(14)? + field(15)?) / ticks,
        threads: field(20)?,
        start_seconds: booted + field(22)? / ticks,
        virtual_bytes: field(23)?,
        resident_bytes: field(24)? * rustix::param::page_size() as f64,
        // Less the one that is open to count them.
        open_files: std::fs::read_dir("/proc/self/fd").ok().map(|open| open.count().saturating_sub(1) as f64),
    })
}

/// The figures of a store.
pub(super) struct StoreFigures(pub(super) Box<dyn Fn() -> StoreStats + Send + Sync>);

impl fmt::Debug for StoreFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreFigures")
    }
}

impl Collector for StoreFigures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let stats = (self.0)();
        let e = &mut encoder;
        gauge(e, "gantry_store_revision", "Newest revision", stats.revision.0 as f64)?;
        let help = "Oldest revision that can be read at or watched from";
        gauge(e, "gantry_store_oldest_revision", help, stats.oldest.0 as f64)?;
        gauge(e, "gantry_store_keys", "Number of stored keys", stats.keys as f64)?;
        gauge(e, "gantry_store_history_events", "Number of changes in the history", stats.history_events as f64)?;
        let help = "Memory that superseded entries in the history take, in bytes";
        gauge(e, "gantry_store_history_bytes", help, stats.history_weight as f64)?;
        gauge(e, "gantry_store_watches", "Number of open watches", stats.watches as f64)
    }
}

fn gauge(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: f64) -> fmt::Result {
    let gauge = ConstGauge::new(value);
    let metric = encoder.encode_descriptor(name, help, None, prometheus_client::metrics::MetricType::Gauge)?;
    gauge.encode(metric)
}

fn counter(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: f64) -> fmt::Result {
    let counter = ConstCounter::new(value);
    let metric = encoder.encode_descriptor(name, help, None, prometheus_client::metrics::MetricType::Counter)?;
    counter.encode(metric)
}
