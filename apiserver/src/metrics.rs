//! `/metrics`: what the server did and does, for Prometheus. Names and labels are upstream's where the meaning is the
//! same; what is our own begins with `gantry_`.
//!
//! No label's value comes from a client: resources are named by the engine, which knows which exist, and a bound on the
//! number of series holds even if there are very many of those.

mod collect;
mod encryption;
mod flow_control;
mod text;

use std::borrow::Cow;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::RwLock;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use store::StoreStats;

use crate::request::{Target, Verb};

pub use encryption::EncryptionFigures;
pub use flow_control::{FlowCounted, FlowLabels, FlowMetrics};
pub use text::Exposition;

/// How many label sets one metric may have. Further ones are counted together, as `other`.
const MAX_SERIES: usize = 8192;

/// Upstream's buckets of `apiserver_request_duration_seconds`.
const DURATION_BUCKETS: [f64; 23] = [
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0,
    45.0, 60.0,
];

/// Upstream's buckets of `apiserver_watch_events_sizes`, in bytes.
const EVENT_SIZE_BUCKETS: [f64; 8] = [1024.0, 2048.0, 4096.0, 8192.0, 16384.0, 32768.0, 65536.0, 131_072.0];

const OTHER: &str = "other";

/// What a request is counted under. The engine sets it in the extensions of its response, for the server to count.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct RequestLabels {
    /// `GET`, `LIST`, `WATCH`, `POST`, `PUT`, `PATCH`, `APPLY`, `DELETE`, `DELETECOLLECTION` or `CONNECT`.
    pub verb: &'static str,
    /// The API group; empty for the core group.
    pub group: Cow<'static, str>,
    /// The version.
    pub version: Cow<'static, str>,
    /// The resource; never one that does not exist.
    pub resource: Cow<'static, str>,
    /// The subresource; never one that does not exist.
    pub subresource: Cow<'static, str>,
    /// `resource`, `namespace`, `cluster` or empty.
    pub scope: &'static str,
    /// `All`, or empty for a request that is no dry run.
    pub dry_run: &'static str,
}

impl RequestLabels {
    /// The labels of a request for a resource that exists.
    #[must_use]
    pub fn of_target(target: &Target) -> RequestLabels {
        let one = !target.name.is_empty() || target.verb == Verb::Create;
        let scope = match (one, target.namespace.is_empty()) {
            (true, _) => "resource",
            (false, false) => "namespace",
            (false, true) => "cluster",
        };
        RequestLabels {
            verb: verb_label(target.verb),
            group: target.group.clone().into(),
            version: target.version.clone().into(),
            resource: target.resource.clone().into(),
            subresource: target.subresource.split('/').next().unwrap_or_default().to_owned().into(),
            scope,
            dry_run: "",
        }
    }

    /// The labels of a request that is for no resource, or for none that exists.
    #[must_use]
    pub fn of_method(method: &http::Method) -> RequestLabels {
        let verb = match method.as_str() {
            "GET" | "HEAD" => "GET",
            "POST" => "POST",
            "PUT" => "PUT",
            "PATCH" => "PATCH",
            "DELETE" => "DELETE",
            "OPTIONS" => "OPTIONS",
            _ => OTHER,
        };
        RequestLabels { verb, ..RequestLabels::default() }
    }

    fn overflow() -> RequestLabels {
        RequestLabels { verb: OTHER, ..RequestLabels::default() }
    }
}

fn verb_label(verb: Verb) -> &'static str {
    match verb {
        Verb::Get => "GET",
        Verb::List => "LIST",
        Verb::Watch => "WATCH",
        Verb::Create => "POST",
        Verb::Update => "PUT",
        Verb::Patch => "PATCH",
        Verb::Delete => "DELETE",
        Verb::DeleteCollection => "DELETECOLLECTION",
    }
}

/// Whether a request changes something, as the limits on concurrent requests distinguish them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RequestKind {
    /// It does not.
    ReadOnly,
    /// It may.
    Mutating,
}

impl RequestKind {
    fn label(self) -> Kind {
        let request_kind = match self {
            RequestKind::ReadOnly => "readOnly",
            RequestKind::Mutating => "mutating",
        };
        Kind { request_kind }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    request_kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Requests {
    verb: &'static str,
    dry_run: &'static str,
    group: Cow<'static, str>,
    version: Cow<'static, str>,
    resource: Cow<'static, str>,
    subresource: Cow<'static, str>,
    scope: &'static str,
    component: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestsWithCode {
    #[prometheus(flatten)]
    requests: Requests,
    code: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Watched {
    group: Cow<'static, str>,
    version: Cow<'static, str>,
    resource: Cow<'static, str>,
}

impl From<RequestLabels> for Requests {
    fn from(labels: RequestLabels) -> Requests {
        let RequestLabels { verb, group, version, resource, subresource, scope, dry_run } = labels;
        Requests { verb, dry_run, group, version, resource, subresource, scope, component: "apiserver" }
    }
}

#[derive(Clone)]
struct Buckets(&'static [f64]);

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(self.0.iter().copied())
    }
}

/// Where the parts of the server record what they do. Cloning gives another handle to the same metrics.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: RwLock<Registry>,
    requests: Bounded<RequestsWithCode, Counter>,
    durations: Bounded<Requests, Histogram, Buckets>,
    in_flight: Family<Kind, Gauge>,
    dropped: Family<Kind, Counter>,
    long_running: Bounded<Requests, Gauge>,
    watch_events: Bounded<Watched, Counter>,
    watch_event_sizes: Bounded<Watched, Histogram, Buckets>,
    handshake_errors: Counter,
    connections: Gauge,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics::new()
    }
}

impl Metrics {
    /// Metrics of one server, with those of this process.
    #[must_use]
    pub fn new() -> Metrics {
        let inner = Inner {
            registry: RwLock::default(),
            requests: Bounded::new(Family::default()),
            durations: Bounded::new(Family::new_with_constructor(Buckets(&DURATION_BUCKETS))),
            in_flight: Family::default(),
            dropped: Family::default(),
            long_running: Bounded::new(Family::default()),
            watch_events: Bounded::new(Family::default()),
            watch_event_sizes: Bounded::new(Family::new_with_constructor(Buckets(&EVENT_SIZE_BUCKETS))),
            handshake_errors: Counter::default(),
            connections: Gauge::default(),
        };
        inner.register();
        Metrics(Arc::new(inner))
    }

    /// Counts a request that was answered.
    pub fn request(&self, labels: RequestLabels, code: u16, took: Duration) {
        let requests = Requests::from(labels);
        let with_code = RequestsWithCode { requests: requests.clone(), code };
        self.0.requests.with(
            with_code,
            || RequestsWithCode { requests: overflow(), code: 0 },
            |n| {
                n.inc();
            },
        );
        self.0.durations.with(requests, overflow, |histogram| histogram.observe(took.as_secs_f64()));
    }

    /// Counts a request as under way until what this returns is dropped.
    #[must_use]
    pub fn in_flight(&self, kind: RequestKind) -> InFlight {
        let gauge = self.0.in_flight.get_or_create_owned(&kind.label());
        gauge.inc();
        InFlight(gauge)
    }

    /// Counts a long-running request as under way until what this returns is dropped.
    #[must_use]
    pub fn long_running(&self, labels: RequestLabels) -> InFlight {
        let gauge = self.0.long_running.with(Requests::from(labels), overflow, Gauge::clone);
        gauge.inc();
        InFlight(gauge)
    }

    /// Counts a request that was turned away because too many were under way.
    pub fn dropped_request(&self, kind: RequestKind) {
        self.0.dropped.get_or_create(&kind.label()).inc();
    }

    /// Where the watches of one resource count their events.
    #[must_use]
    pub fn watch_events(
        &self,
        group: impl Into<Cow<'static, str>>,
        version: impl Into<Cow<'static, str>>,
        resource: impl Into<Cow<'static, str>>,
    ) -> WatchEvents {
        let watched = Watched { group: group.into(), version: version.into(), resource: resource.into() };
        let other = || Watched { group: "".into(), version: "".into(), resource: OTHER.into() };
        WatchEvents {
            count: self.0.watch_events.with(watched.clone(), other, Counter::clone),
            sizes: self.0.watch_event_sizes.with(watched, other, Histogram::clone),
        }
    }

    /// Where flow control records what it does. To be asked for once.
    #[must_use]
    pub fn flow_control(&self) -> FlowMetrics {
        FlowMetrics::register(&mut self.0.registry.write())
    }

    /// Counts a TLS handshake that failed.
    pub fn handshake_error(&self) {
        self.0.handshake_errors.inc();
    }

    /// Counts a connection as open until what this returns is dropped.
    #[must_use]
    pub fn connection(&self) -> InFlight {
        self.0.connections.inc();
        InFlight(self.0.connections.clone())
    }

    /// Shows the figures of a store, which are asked for whenever somebody looks.
    pub fn observe_store(&self, stats: impl Fn() -> StoreStats + Send + Sync + 'static) {
        let collector = collect::StoreFigures(Box::new(stats));
        self.0.registry.write().register_collector(Box::new(collector));
    }

    /// Shows figures of another part of the server.
    pub(crate) fn register(&self, register: impl FnOnce(&mut Registry)) {
        register(&mut self.0.registry.write());
    }

    /// Shows how objects are encrypted, which is asked for whenever somebody looks.
    pub fn observe_encryption(&self, figures: impl Fn() -> EncryptionFigures + Send + Sync + 'static) {
        self.0.registry.write().register_collector(Box::new(encryption::Collected(Box::new(figures))));
    }

    /// All of it as text.
    #[must_use]
    pub fn expose(&self, exposition: Exposition) -> String {
        let mut open_metrics = String::new();
        // Writing to a string does not fail; what a collector cannot find out, it leaves out.
        let _ = prometheus_client::encoding::text::encode(&mut open_metrics, &self.0.registry.read());
        match exposition {
            Exposition::OpenMetrics => open_metrics,
            Exposition::Plain => text::plain(&open_metrics),
        }
    }
}

impl Inner {
    fn register(&self) {
        let mut registry = self.registry.write();
        let r = &mut *registry;
        let help = "Counter of apiserver requests broken out for each verb, dry run value, group, version, resource, \
                    scope, component, and HTTP response code";
        r.register("apiserver_request", help, self.requests.family.clone());
        let help = "Response latency distribution in seconds for each verb, dry run value, group, version, resource, \
                    subresource, scope and component";
        r.register("apiserver_request_duration_seconds", help, self.durations.family.clone());
        let help = "Number of requests under way that count against the limit of their kind";
        r.register("apiserver_current_inflight_requests", help, self.in_flight.clone());
        let help = "Number of requests dropped with 'Too many requests, please try again later' response";
        r.register("apiserver_dropped_requests", help, self.dropped.clone());
        let help = "Gauge of all active long-running apiserver requests broken out by verb, group, version, resource, \
                    scope and component";
        r.register("apiserver_longrunning_requests", help, self.long_running.family.clone());
        let help = "Number of events sent in watch clients";
        r.register("apiserver_watch_events", help, self.watch_events.family.clone());
        let help = "Watch event size distribution in bytes";
        r.register("apiserver_watch_events_sizes", help, self.watch_event_sizes.family.clone());
        let help = "Number of requests dropped with 'TLS handshake error from' error";
        r.register("apiserver_tls_handshake_errors", help, self.handshake_errors.clone());
        r.register("gantry_apiserver_connections", "Number of open connections", self.connections.clone());
        r.register_collector(Box::new(collect::ProcessFigures));
    }
}

fn overflow() -> Requests {
    RequestLabels::overflow().into()
}

/// Metrics by their labels, of which there are so many at most; those beyond share one.
struct Bounded<S, M, C = fn() -> M> {
    family: Family<S, M, C>,
    series: AtomicUsize,
}

impl<S, M, C> Bounded<S, M, C>
where
    S: Clone + Hash + Eq,
    C: MetricConstructor<M>,
{
    fn new(family: Family<S, M, C>) -> Self {
        Bounded { family, series: AtomicUsize::new(0) }
    }

    /// Does something with the metric of `labels`, or with that of `other` if there are too many.
    fn with<R>(&self, labels: S, other: impl FnOnce() -> S, then: impl FnOnce(&M) -> R) -> R {
        if let Some(metric) = self.family.get(&labels) {
            return then(&metric);
        }
        // Two threads may count the same labels, which makes the bound a little less.
        let room = self.series.fetch_add(1, Ordering::Relaxed) < MAX_SERIES;
        if !room {
            self.series.store(MAX_SERIES, Ordering::Relaxed);
        }
        let labels = if room { labels } else { other() };
        then(&self.family.get_or_create(&labels))
    }
}

/// Something that is counted as long as it lives.
#[derive(Debug)]
pub struct InFlight(Gauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Counts the events of watches of one resource.
#[derive(Clone, Debug)]
pub struct WatchEvents {
    count: Counter,
    sizes: Histogram,
}

impl WatchEvents {
    /// Counts an event that took so many bytes.
    pub fn sent(&self, bytes: usize) {
        self.count.inc();
        self.sizes.observe(bytes as f64);
    }
}

#[cfg(test)]
mod tests;
