//! What flow control did, under upstream's names.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::{Bounded, Buckets, OTHER};

const DURATIONS: [f64; 12] = [0.0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 15.0, 30.0];
const SEATS: [f64; 4] = [1.0, 2.0, 4.0, 10.0];

/// A priority level and a FlowSchema.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct FlowLabels {
    priority_level: Arc<str>,
    flow_schema: Arc<str>,
}

impl FlowLabels {
    /// By their names.
    #[must_use]
    pub fn new(level: &str, schema: &str) -> FlowLabels {
        FlowLabels { priority_level: level.into(), flow_schema: schema.into() }
    }

    fn other() -> FlowLabels {
        FlowLabels::new(OTHER, OTHER)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WithReason {
    #[prometheus(flatten)]
    flow: FlowLabels,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WithExecute {
    #[prometheus(flatten)]
    flow: FlowLabels,
    execute: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WithType {
    #[prometheus(flatten)]
    flow: FlowLabels,
    r#type: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfLevel {
    priority_level: Arc<str>,
}

type Gauges<S> = Bounded<S, Gauge>;
type Seats = Bounded<OfLevel, Gauge<f64, std::sync::atomic::AtomicU64>>;

/// Where flow control records what it does. Cloning gives another handle.
#[derive(Clone)]
pub struct FlowMetrics(Arc<Inner>);

struct Inner {
    rejected: Bounded<WithReason, Counter>,
    dispatched: Bounded<FlowLabels, Counter>,
    waiting: Gauges<FlowLabels>,
    executing: Gauges<FlowLabels>,
    waits: Bounded<WithExecute, Histogram, Buckets>,
    executions: Bounded<WithType, Histogram, Buckets>,
    widths: Bounded<FlowLabels, Histogram, Buckets>,
    nominal: Gauges<OfLevel>,
    least: Gauges<OfLevel>,
    most: Gauges<OfLevel>,
    current: Gauges<OfLevel>,
    highest: Seats,
    smoothed: Seats,
}

impl FlowMetrics {
    pub(super) fn register(registry: &mut Registry) -> FlowMetrics {
        let inner = Inner {
            rejected: Bounded::new(Family::default()),
            dispatched: Bounded::new(Family::default()),
            waiting: Bounded::new(Family::default()),
            executing: Bounded::new(Family::default()),
            waits: Bounded::new(Family::new_with_constructor(Buckets(&DURATIONS))),
            executions: Bounded::new(Family::new_with_constructor(Buckets(&DURATIONS))),
            widths: Bounded::new(Family::new_with_constructor(Buckets(&SEATS))),
            nominal: Bounded::new(Family::default()),
            least: Bounded::new(Family::default()),
            most: Bounded::new(Family::default()),
            current: Bounded::new(Family::default()),
            highest: Bounded::new(Family::default()),
            smoothed: Bounded::new(Family::default()),
        };
        inner.register(registry);
        FlowMetrics(Arc::new(inner))
    }

    /// Counts a request that was turned away.
    pub fn rejected(&self, flow: &FlowLabels, reason: &'static str) {
        let labels = WithReason { flow: flow.clone(), reason };
        self.0.rejected.with(labels, || WithReason { flow: FlowLabels::other(), reason }, Counter::inc);
    }

    /// Counts a request that is served.
    pub fn dispatched(&self, flow: &FlowLabels) {
        self.0.dispatched.with(flow.clone(), FlowLabels::other, Counter::inc);
    }

    /// Counts a request as waiting until what this returns is dropped.
    #[must_use]
    pub fn waits(&self, flow: &FlowLabels) -> FlowCounted {
        FlowCounted::of(self.0.waiting.with(flow.clone(), FlowLabels::other, Gauge::clone))
    }

    /// Counts a request as being served until what this returns is dropped.
    #[must_use]
    pub fn executes(&self, flow: &FlowLabels) -> FlowCounted {
        FlowCounted::of(self.0.executing.with(flow.clone(), FlowLabels::other, Gauge::clone))
    }

    /// A request waited so long, and then was served or not.
    pub fn waited(&self, flow: &FlowLabels, served: bool, time: Duration) {
        let execute = if served { "true" } else { "false" };
        let labels = WithExecute { flow: flow.clone(), execute };
        let other = || WithExecute { flow: FlowLabels::other(), execute };
        self.0.waits.with(labels, other, |histogram| histogram.observe(time.as_secs_f64()));
    }

    /// A request was served for so long.
    pub fn executed(&self, flow: &FlowLabels, kind: &'static str, time: Duration) {
        let labels = WithType { flow: flow.clone(), r#type: kind };
        let other = || WithType { flow: FlowLabels::other(), r#type: kind };
        self.0.executions.with(labels, other, |histogram| histogram.observe(time.as_secs_f64()));
    }

    /// A request takes so many seats.
    pub fn width(&self, flow: &FlowLabels, seats: usize) {
        self.0.widths.with(flow.clone(), FlowLabels::other, |histogram| histogram.observe(seats as f64));
    }

    /// What a level may have.
    pub fn limits(&self, level: &str, nominal: usize, least: usize, most: usize, current: usize) {
        let all =
            [(&self.0.nominal, nominal), (&self.0.least, least), (&self.0.most, most), (&self.0.current, current)];
        for (family, seats) in all {
            set(family, level, seats);
        }
    }

    /// What a level has from now on, and what it needed.
    pub fn adjusted(&self, level: &str, current: usize, highest: f64, smoothed: f64) {
        set(&self.0.current, level, current);
        for (family, seats) in [(&self.0.highest, highest), (&self.0.smoothed, smoothed)] {
            family.with(of_level(level), || of_level(OTHER), |gauge| gauge.set(seats));
        }
    }
}

fn of_level(level: &str) -> OfLevel {
    OfLevel { priority_level: level.into() }
}

fn set(family: &Gauges<OfLevel>, level: &str, seats: usize) {
    family.with(of_level(level), || of_level(OTHER), |gauge| gauge.set(i64::try_from(seats).unwrap_or(i64::MAX)));
}

impl Inner {
    fn register(&self, r: &mut Registry) {
        let name = |name: &str| format!("apiserver_flowcontrol_{name}");
        let help = "Number of requests rejected by API Priority and Fairness subsystem";
        r.register(name("rejected_requests"), help, self.rejected.family.clone());
        let help = "Number of requests executed by API Priority and Fairness subsystem";
        r.register(name("dispatched_requests"), help, self.dispatched.family.clone());
        let help = "Number of requests currently pending in queues of the API Priority and Fairness subsystem";
        r.register(name("current_inqueue_requests"), help, self.waiting.family.clone());
        let help = "Number of requests in initial (for a WATCH) or any (for a non-WATCH) execution stage in the API \
                    Priority and Fairness subsystem";
        r.register(name("current_executing_requests"), help, self.executing.family.clone());
        let help = "Length of time a request spent waiting in its queue";
        r.register(name("request_wait_duration_seconds"), help, self.waits.family.clone());
        let help = "Duration of initial stage (for a WATCH) or any (for a non-WATCH) stage of request execution in the \
                    API Priority and Fairness subsystem";
        r.register(name("request_execution_seconds"), help, self.executions.family.clone());
        let help = "Number of estimated seats associated with requests in API Priority and Fairness";
        r.register(name("work_estimated_seats"), help, self.widths.family.clone());
        let help = "Nominal number of execution seats configured for each priority level";
        r.register(name("nominal_limit_seats"), help, self.nominal.family.clone());
        let help = "Configured lower bound on number of execution seats available to each priority level";
        r.register(name("lower_limit_seats"), help, self.least.family.clone());
        let help = "Configured upper bound on number of execution seats available to each priority level";
        r.register(name("upper_limit_seats"), help, self.most.family.clone());
        let help = "current derived number of execution seats available to each priority level";
        r.register(name("current_limit_seats"), help, self.current.family.clone());
        let help = "High watermark, over last adjustment period, of demand_seats";
        r.register(name("demand_seats_high_watermark"), help, self.highest.family.clone());
        r.register(name("demand_seats_smoothed"), "Smoothed seat demands", self.smoothed.family.clone());
    }
}

/// Something that is counted as long as it lives.
#[derive(Debug)]
pub struct FlowCounted(Gauge);

impl FlowCounted {
    fn of(gauge: Gauge) -> FlowCounted {
        gauge.inc();
        FlowCounted(gauge)
    }
}

impl Drop for FlowCounted {
    fn drop(&mut self) {
        self.0.dec();
    }
}
