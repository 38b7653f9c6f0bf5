//! What the proxy did and does, for Prometheus. Names are upstream's where the meaning is the same.

use std::sync::Arc;

use http::{HeaderValue, StatusCode};
use jiff::Timestamp;
use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family as Series;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use tokio::time::Duration;

use crate::http::{Answer, nothing, of_type, text};

/// The format in which it is told (OpenMetrics, which Prometheus asks for first).
const FORMAT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The code that a probe was answered with.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Code {
    code: u16,
}

type Seconds = Gauge<f64, std::sync::atomic::AtomicU64>;

/// Where the parts of the proxy record what they do. Cloning gives another handle to the same.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Mutex<Registry>,
    durations: Histogram,
    programming: Histogram,
    synced: Seconds,
    queued: Seconds,
    failures: Counter,
    changes: [Counter; 2],
    pending: [Gauge; 2],
    forgotten: Counter,
    healthz: Series<Code, Counter>,
    livez: Series<Code, Counter>,
}

/// What changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A Service.
    Service,
    /// An EndpointSlice.
    Endpoints,
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics::new()
    }
}

impl Metrics {
    /// With nothing recorded.
    #[must_use]
    pub fn new() -> Metrics {
        // Upstream's buckets: quarters of a second, seconds, five seconds, half minutes.
        let programming = [0.25, 0.5].into_iter().chain((1..60).map(f64::from));
        let programming = programming.chain((60..120).step_by(5).map(f64::from));
        let programming = programming.chain((120..=300).step_by(30).map(f64::from));
        let inner = Inner {
            registry: Mutex::new(Registry::with_prefix("kubeproxy")),
            durations: Histogram::new(exponential_buckets(0.001, 2.0, 15)),
            programming: Histogram::new(programming),
            synced: Seconds::default(),
            queued: Seconds::default(),
            failures: Counter::default(),
            changes: Default::default(),
            pending: Default::default(),
            forgotten: Counter::default(),
            healthz: Series::default(),
            livez: Series::default(),
        };
        inner.register();
        Metrics(Arc::new(inner))
    }

    /// Something has changed.
    pub fn changed(&self, subject: Subject, now: Timestamp) {
        self.0.changes[subject as usize].inc();
        self.0.pending[subject as usize].inc();
        self.0.queued.set(seconds(now));
    }

    /// The kernel was told, in so long, of everything that had changed by then.
    pub fn synced(&self, took: Duration, now: Timestamp) {
        self.0.durations.observe(took.as_secs_f64());
        self.0.synced.set(seconds(now));
    }

    /// What has changed until now is taken up.
    pub fn taken_up(&self) {
        for pending in &self.0.pending {
            pending.set(0);
        }
    }

    /// The kernel did not take it.
    pub fn failed(&self) {
        self.0.failures.inc();
    }

    /// So long after something happened to endpoints the kernel knew.
    pub fn programmed(&self, trigger: Timestamp, now: Timestamp) {
        let took = now.duration_since(trigger).as_secs_f64();
        self.0.programming.observe(took.max(0.0));
    }

    /// So many connections were forgotten.
    pub fn forgot(&self, connections: usize) {
        self.0.forgotten.inc_by(u64::try_from(connections).unwrap_or(u64::MAX));
    }

    pub(crate) fn probed_health(&self, status: StatusCode) {
        self.0.healthz.get_or_create(&Code { code: status.as_u16() }).inc();
    }

    pub(crate) fn probed_life(&self, status: StatusCode) {
        self.0.livez.get_or_create(&Code { code: status.as_u16() }).inc();
    }

    /// What is told to those who ask at a path.
    pub(crate) fn answer(&self, path: &str) -> Answer {
        match path {
            "/metrics" => of_type(StatusCode::OK, HeaderValue::from_static(FORMAT), self.told()),
            "/proxyMode" => text(StatusCode::OK, "nftables"),
            "/healthz" => text(StatusCode::OK, "ok"),
            _ => nothing(),
        }
    }

    fn told(&self) -> String {
        let mut told = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut told, &self.0.registry.lock());
        told
    }
}

impl Inner {
    fn register(&self) {
        let mut registry = self.registry.lock();
        let durations = "How long it took to tell the kernel of a batch of changes, in seconds";
        registry.register("sync_proxy_rules_duration_seconds", durations, self.durations.clone());
        let programming = "How long after something happened to endpoints the kernel knew, in seconds";
        registry.register("network_programming_duration_seconds", programming, self.programming.clone());
        let synced = "When the kernel was last told with success";
        registry.register("sync_proxy_rules_last_timestamp_seconds", synced, self.synced.clone());
        let queued = "When something last changed that the kernel is to be told";
        registry.register("sync_proxy_rules_last_queued_timestamp_seconds", queued, self.queued.clone());
        let failures = "How often the kernel did not take what it was told";
        registry.register("sync_proxy_rules_nftables_sync_failures", failures, self.failures.clone());
        for (subject, of) in [(Subject::Service, "service"), (Subject::Endpoints, "endpoint")] {
            let (changes, pending) = (&self.changes[subject as usize], &self.pending[subject as usize]);
            let name = format!("sync_proxy_rules_{of}_changes");
            registry.register(name.clone(), format!("How many changes of {of}s there were"), changes.clone());
            let help = format!("How many changes of {of}s the kernel is still to be told");
            registry.register(format!("{name}_pending"), help, pending.clone());
        }
        let forgotten = "How many connections of UDP the kernel was made to forget";
        registry.register("gantry_forgotten_connections", forgotten, self.forgotten.clone());
        registry.register("proxy_healthz", "What probes of /healthz were answered", self.healthz.clone());
        registry.register("proxy_livez", "What probes of /livez were answered", self.livez.clone());
    }
}

fn seconds(time: Timestamp) -> f64 {
    time.as_duration().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_figures_are_upstreams() {
        let metrics = Metrics::new();
        let now = Timestamp::from_second(1_772_366_400).unwrap();
        metrics.changed(Subject::Endpoints, now);
        metrics.changed(Subject::Endpoints, now);
        metrics.changed(Subject::Service, now);
        metrics.taken_up();
        metrics.changed(Subject::Service, now);
        metrics.synced(Duration::from_millis(3), now);
        metrics.programmed(now, now + Duration::from_millis(1_500));
        metrics.failed();
        metrics.forgot(7);
        metrics.probed_health(StatusCode::OK);
        metrics.probed_life(StatusCode::SERVICE_UNAVAILABLE);
        let told = metrics.told();
        for line in [
            "kubeproxy_sync_proxy_rules_duration_seconds_bucket{le=\"0.002\"} 0",
            "kubeproxy_sync_proxy_rules_duration_seconds_bucket{le=\"0.004\"} 1",
            "kubeproxy_sync_proxy_rules_duration_seconds_bucket{le=\"16.384\"} 1",
            "kubeproxy_network_programming_duration_seconds_bucket{le=\"1.0\"} 0",
            "kubeproxy_network_programming_duration_seconds_bucket{le=\"2.0\"} 1",
            "kubeproxy_network_programming_duration_seconds_bucket{le=\"300.0\"} 1",
            "kubeproxy_sync_proxy_rules_endpoint_changes_total 2",
            "kubeproxy_sync_proxy_rules_endpoint_changes_pending 0",
            "kubeproxy_sync_proxy_rules_service_changes_total 2",
            "kubeproxy_sync_proxy_rules_service_changes_pending 1",
            "kubeproxy_sync_proxy_rules_last_timestamp_seconds 1772366400.0",
            "kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds 1772366400.0",
            "kubeproxy_sync_proxy_rules_nftables_sync_failures_total 1",
            "kubeproxy_gantry_forgotten_connections_total 7",
            "kubeproxy_proxy_healthz_total{code=\"200\"} 1",
            "kubeproxy_proxy_livez_total{code=\"503\"} 1",
        ] {
            assert!(told.lines().any(|told| told == line), "{line}\n{told}");
        }
        assert_eq!(metrics.answer("/proxyMode").status(), StatusCode::OK);
        assert_eq!(metrics.answer("/elsewhere").status(), StatusCode::NOT_FOUND);
    }
}
