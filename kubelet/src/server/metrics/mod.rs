//! `/metrics` and `/metrics/probes`: what the agent did and does, for Prometheus. Names, labels and buckets are upstream's.
//!
//! Whoever does something says so here; [`Metrics`] is shared by all of them. What a label's value may be comes from the
//! agent and never from a client, and a bound on the number of series holds even if there are very many of those.

mod feeds;
mod series;

use std::fmt::Write as _;
use std::time::Duration;

use parking_lot::Mutex;

use super::exposition::{Kind, Text};
use crate::stats;
pub use series::{Histogram, Series};

/// Upstream's buckets of most durations, in seconds (`prometheus.DefBuckets`).
const DURATIONS: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Upstream's buckets of how long pods take to start, in seconds.
const POD_STARTS: &[f64] = &[
    0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 20.0, 30.0, 45.0, 60.0, 120.0, 180.0, 240.0, 300.0, 360.0, 480.0,
    600.0, 900.0, 1200.0, 1800.0, 2700.0, 3600.0,
];
/// How long a probe's metrics are kept at most: as many as there are probes.
const PROBES: usize = 4096;
/// How many label sets most metrics may have.
const SERIES: usize = 512;

/// What a probe's figures are told apart by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Probe<'a> {
    /// `Liveness`, `Readiness` or `Startup`.
    pub kind: &'a str,
    /// The container.
    pub container: &'a str,
    /// The pod.
    pub pod: &'a str,
    /// Its namespace.
    pub namespace: &'a str,
    /// Its uid.
    pub pod_uid: &'a str,
}

/// What the agent's parts record.
#[derive(Debug)]
pub struct Metrics {
    node: String,
    /// Requests: method, path, `server_type`, `long_running`.
    pub(super) requests: Series,
    /// The same, and how long they took.
    pub(super) request_durations: Histogram,
    /// Those under way.
    pub(super) requests_in_flight: Series,
    /// Handshakes that failed.
    pub(super) handshake_errors: Series,
    /// From a pod's creation, as the node saw it first, until all of it runs.
    pub pod_start: Histogram,
    /// From a pod's creation until the API has it that all of its containers run.
    pub pod_start_total: Histogram,
    /// The same without pulling images and init containers, of pods that need nothing brought to the node.
    pub pod_start_sli: Histogram,
    /// From when a pod was seen until its worker began.
    pub pod_worker_start: Histogram,
    /// How long it took until nothing was left to do about a pod; by `operation_type`: `create` when it was seen first, `update`
    /// when the API had changed it, `kill` while it was being ended, `terminated` when the last of it was removed, and `sync`
    /// otherwise.
    pub pod_worker: Histogram,
    /// How long it took to look at all that the runtime has.
    pub relist: Histogram,
    /// The time between two such looks.
    pub relist_interval: Histogram,
    /// Pods that were begun.
    pub started_pods: Series,
    /// Pods that could not be begun.
    pub started_pods_errors: Series,
    /// Containers that were begun; by `container_type`: `container`, `init_container`, `ephemeral_container`,
    /// `pod_sandbox`.
    pub started_containers: Series,
    /// Those that could not be begun; by `container_type` and `code`.
    pub started_containers_errors: Series,
    /// Calls to the runtime; by `operation_type`.
    pub runtime_operations: Series,
    /// Those that failed; by `operation_type`.
    pub runtime_operations_errors: Series,
    /// How long they took; by `operation_type`.
    pub runtime_operations_durations: Histogram,
    /// Pods that had to go; by `eviction_signal`.
    pub evictions: Series,
    /// When the machine began to shut down last, in seconds since 1970.
    pub shutdown_start: Series,
    /// When all pods had ended then or had had their time; 0 as long as they have not.
    pub shutdown_end: Series,
    /// What probes came to; by `probe_type`, `result`, `container`, `pod`, `namespace`, `pod_uid`.
    probes: Series,
    /// How long they took; by `probe_type`, `container`, `pod`, `namespace`.
    probe_durations: Histogram,
    /// Whoever has figures of their own.
    collectors: Mutex<Vec<Collector>>,
}

/// Writes the samples of metrics that somebody else keeps.
struct Collector(Box<dyn Fn(&mut String) + Send + Sync>);

impl std::fmt::Debug for Collector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Collector")
    }
}

impl Metrics {
    /// Metrics of the agent of the node `node`.
    #[must_use]
    pub fn new(node: &str) -> Metrics {
        const REQUEST: &[&str] = &["method", "path", "server_type", "long_running"];
        const PROBE: &[&str] = &["probe_type", "result", "container", "pod", "namespace", "pod_uid"];
        let series = |labels| Series::new(labels, SERIES);
        let histogram = |labels, buckets| Histogram::new(labels, buckets, SERIES);
        Metrics {
            node: node.to_owned(),
            requests: series(REQUEST),
            request_durations: histogram(REQUEST, DURATIONS),
            requests_in_flight: series(REQUEST),
            handshake_errors: series(&[]),
            pod_start: histogram(&[], POD_STARTS),
            pod_start_total: histogram(&[], POD_STARTS),
            pod_start_sli: histogram(&[], POD_STARTS),
            pod_worker_start: histogram(&[], DURATIONS),
            pod_worker: histogram(&["operation_type"], DURATIONS),
            relist: histogram(&[], DURATIONS),
            relist_interval: histogram(&[], DURATIONS),
            started_pods: series(&[]),
            started_pods_errors: series(&[]),
            started_containers: series(&["container_type"]),
            started_containers_errors: series(&["container_type", "code"]),
            runtime_operations: series(&["operation_type"]),
            runtime_operations_errors: series(&["operation_type"]),
            runtime_operations_durations: histogram(&["operation_type"], DURATIONS),
            evictions: series(&["eviction_signal"]),
            shutdown_start: series(&[]),
            shutdown_end: series(&[]),
            probes: Series::new(PROBE, PROBES),
            probe_durations: Histogram::new(&["probe_type", "container", "pod", "namespace"], DURATIONS, PROBES),
            collectors: Mutex::default(),
        }
    }

    /// Counts what a probe came to (`successful`, `failed`, `unknown`), and how long that took.
    pub fn probed(&self, probe: &Probe<'_>, result: &str, took: Duration) {
        let Probe { kind, container, pod, namespace, pod_uid } = *probe;
        self.probes.add(&[kind, result, container, pod, namespace, pod_uid], 1.0);
        self.probe_durations.observe(&[kind, container, pod, namespace], took);
    }

    /// Forgets the probes of a pod that is gone.
    pub fn forget_probes(&self, namespace: &str, pod: &str) {
        self.probes.retain(|labels| labels[3] != pod || labels[4] != namespace);
        self.probe_durations.retain(|labels| labels[2] != pod || labels[3] != namespace);
    }

    /// Has `collect` write metrics of its own whenever somebody looks: whole lines in the text format, of names that nobody
    /// else uses.
    pub fn collect_from(&self, collect: impl Fn(&mut String) + Send + Sync + 'static) {
        self.collectors.lock().push(Collector(Box::new(collect)));
    }

    /// `/metrics`, of a node on which nothing runs.
    #[cfg(test)]
    pub(crate) fn written(&self) -> String {
        self.text(&Running::default(), &stats::Figures::default())
    }

    /// `/metrics`, with what `figures` say of pods and volumes.
    pub(super) fn text(&self, running: &Running, figures: &stats::Figures) -> String {
        let mut text = Text::default();
        self.of_requests(&mut text);
        self.of_pods(&mut text, running);
        self.of_shutdowns(&mut text);
        self.of_runtime(&mut text);
        of_volumes(&mut text, figures);
        let mut text = text.finish();
        for collector in self.collectors.lock().iter() {
            (collector.0)(&mut text);
        }
        of_process(&mut text);
        text
    }

    fn of_requests(&self, text: &mut Text) {
        let help = "Number of the http requests received since the server started";
        self.requests.write(text, "kubelet_http_requests_total", Kind::Counter, help);
        let help = "Duration in seconds to serve http requests";
        self.request_durations.write(text, "kubelet_http_requests_duration_seconds", help);
        let help = "Number of the inflight http requests";
        self.requests_in_flight.write(text, "kubelet_http_inflight_requests", Kind::Gauge, help);
        let help = "Number of TLS handshakes that failed";
        self.handshake_errors.write(text, "gantry_kubelet_tls_handshake_errors_total", Kind::Counter, help);
    }

    fn of_pods(&self, text: &mut Text, running: &Running) {
        text.metric("kubelet_node_name", Kind::Gauge, "The node's name. The count is always 1.");
        text.sample("kubelet_node_name", &[("node", &self.node)], 1.0, None);
        let help = "Number of pods that have a running pod sandbox";
        text.metric("kubelet_running_pods", Kind::Gauge, help);
        text.sample("kubelet_running_pods", &[], running.pods as f64, None);
        text.metric("kubelet_running_containers", Kind::Gauge, "Number of containers currently running");
        for (state, count) in &running.containers {
            text.sample("kubelet_running_containers", &[("container_state", state)], *count as f64, None);
        }
        let help = "Duration in seconds from kubelet seeing a pod for the first time to the pod starting to run";
        self.pod_start.write(text, "kubelet_pod_start_duration_seconds", help);
        let help = "Duration in seconds to start a pod since creation, including time to pull images and run init \
                    containers, measured from pod creation timestamp to when all its containers are reported as started \
                    and observed via watch";
        self.pod_start_total.write(text, "kubelet_pod_start_total_duration_seconds", help);
        let help = "Duration in seconds to start a pod, excluding time to pull images and run init containers, measured \
                    from pod creation timestamp to when all its containers are reported as started and observed via \
                    watch";
        self.pod_start_sli.write(text, "kubelet_pod_start_sli_duration_seconds", help);
        let help = "Duration in seconds from kubelet seeing a pod to starting a worker.";
        self.pod_worker_start.write(text, "kubelet_pod_worker_start_duration_seconds", help);
        let help = "Duration in seconds to sync a single pod. Broken down by operation type: create, update, or sync";
        self.pod_worker.write(text, "kubelet_pod_worker_duration_seconds", help);
        let help = "Cumulative number of pods started";
        self.started_pods.write(text, "kubelet_started_pods_total", Kind::Counter, help);
        let help = "Cumulative number of errors when starting pods";
        self.started_pods_errors.write(text, "kubelet_started_pods_errors_total", Kind::Counter, help);
        let help = "Cumulative number of containers started";
        self.started_containers.write(text, "kubelet_started_containers_total", Kind::Counter, help);
        let help = "Cumulative number of errors when starting containers";
        self.started_containers_errors.write(text, "kubelet_started_containers_errors_total", Kind::Counter, help);
        let help = "Cumulative number of pod evictions by eviction signal";
        self.evictions.write(text, "kubelet_evictions", Kind::Counter, help);
    }

    fn of_shutdowns(&self, text: &mut Text) {
        let help = "Last graceful shutdown start time since unix epoch in seconds";
        self.shutdown_start.write(text, "kubelet_graceful_shutdown_start_time_seconds", Kind::Gauge, help);
        let help = "Last graceful shutdown end time since unix epoch in seconds";
        self.shutdown_end.write(text, "kubelet_graceful_shutdown_end_time_seconds", Kind::Gauge, help);
    }

    fn of_runtime(&self, text: &mut Text) {
        let help = "Duration in seconds for relisting pods in PLEG.";
        self.relist.write(text, "kubelet_pleg_relist_duration_seconds", help);
        let help = "Interval in seconds between relisting in PLEG.";
        self.relist_interval.write(text, "kubelet_pleg_relist_interval_seconds", help);
        let help = "Cumulative number of runtime operations by operation type.";
        self.runtime_operations.write(text, "kubelet_runtime_operations_total", Kind::Counter, help);
        let help = "Cumulative number of runtime operation errors by operation type.";
        let name = "kubelet_runtime_operations_errors_total";
        self.runtime_operations_errors.write(text, name, Kind::Counter, help);
        let help = "Duration in seconds of runtime operations. Broken down by operation type.";
        let name = "kubelet_runtime_operations_duration_seconds";
        self.runtime_operations_durations.write(text, name, help);
    }

    /// `/metrics/probes`.
    pub(super) fn probes_text(&self) -> String {
        let mut text = Text::default();
        let help = "Cumulative number of a liveness, readiness or startup probe for a container by result.";
        self.probes.write(&mut text, "prober_probe_total", Kind::Counter, help);
        let help = "Duration in seconds for a probe response.";
        self.probe_durations.write(&mut text, "prober_probe_duration_seconds", help);
        let mut text = text.finish();
        of_process(&mut text);
        text
    }
}

/// How many pods and containers run.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Running {
    /// Pods with a sandbox that is ready.
    pub(super) pods: usize,
    /// Containers by their state.
    pub(super) containers: std::collections::BTreeMap<&'static str, usize>,
}

/// What volumes of claims use.
fn of_volumes(text: &mut Text, figures: &stats::Figures) {
    type Read = fn(&stats::Filesystem) -> u64;
    let metrics: [(&str, &str, Read); 6] = [
        ("available_bytes", "Number of available bytes in the volume", |f| f.available),
        ("capacity_bytes", "Capacity in bytes of the volume", |f| f.capacity),
        ("inodes", "Maximum number of inodes in the volume", |f| f.inodes),
        ("inodes_free", "Number of free inodes in the volume", |f| f.inodes_free),
        ("inodes_used", "Number of used inodes in the volume", |f| f.inodes_used),
        ("used_bytes", "Number of used bytes in the volume", |f| f.used),
    ];
    let claims = || {
        figures.pods.iter().flat_map(|pod| {
            pod.volumes
                .iter()
                .filter_map(|volume| Some((&*pod.namespace, volume.claim.as_deref()?, &volume.filesystem)))
        })
    };
    if claims().next().is_none() {
        return;
    }
    for (name, help, read) in metrics {
        let name = format!("kubelet_volume_stats_{name}");
        text.metric(&name, Kind::Gauge, help);
        let mut seen = std::collections::BTreeSet::new();
        for (namespace, claim, filesystem) in claims() {
            // Several pods may share a claim, whose figures are the same.
            if seen.insert((namespace, claim)) {
                let labels = [("namespace", namespace), ("persistentvolumeclaim", claim)];
                text.sample(&name, &labels, read(filesystem) as f64, None);
            }
        }
    }
}

/// What this process uses. What the kernel does not tell is left out.
fn of_process(text: &mut String) {
    let Ok(process) = procfs::process::Process::myself() else { return };
    let Ok(stat) = process.stat() else { return };
    let ticks = procfs::ticks_per_second() as f64;
    let mut metric = |name: &str, kind: &str, help: &str, value: f64| {
        // Writing to a string does not fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
    };
    let help = "Total user and system CPU time spent in seconds.";
    metric("process_cpu_seconds_total", "counter", help, (stat.utime + stat.stime) as f64 / ticks);
    if let Ok(count) = process.fd_count() {
        metric("process_open_fds", "gauge", "Number of open file descriptors.", count as f64);
    }
    let resident = stat.rss.saturating_mul(procfs::page_size());
    metric("process_resident_memory_bytes", "gauge", "Resident memory size in bytes.", resident as f64);
    metric("process_virtual_memory_bytes", "gauge", "Virtual memory size in bytes.", stat.vsize as f64);
    if let Ok(began) = procfs::boot_time_secs() {
        let began = began as f64 + stat.starttime as f64 / ticks;
        let help = "Start time of the process since unix epoch in seconds.";
        metric("process_start_time_seconds", "gauge", help, began);
    }
}

#[cfg(test)]
mod tests;
