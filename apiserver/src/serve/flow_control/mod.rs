//! How requests share the server (API priority and fairness): every request is of a FlowSchema and so of a priority level, has
//! seats of that level while it is served, and waits for them in turn with the other flows of the level.
//!
//! What always holds: the seats of all levels come to what the server may serve at a time; a request holds its seats until its
//! answer is sent or given up, and no longer; who is exempt never waits; and no request waits for longer than a quarter of its
//! time. What schemas and levels there are follows the store, and there are always `exempt` and `catch-all`.

mod allocation;
mod classes;
mod follow;
mod level;
mod queues;
mod shuffle;
#[cfg(test)]
mod tests;
mod width;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use k8s_openapi::api::flowcontrol::v1::{FlowSchema, FlowSchemaSpec, PriorityLevelConfiguration};
use parking_lot::{Mutex, RwLock};
use tokio::time::Instant;

use self::allocation::{Bounds, allocate, bounds};
use self::level::{Level, Seats, Setting};
use self::shuffle::hash_of;
use super::Limits;
use crate::authn::Identity;
use crate::authz::Attributes;
use crate::metrics::{FlowLabels, FlowMetrics, Metrics};
use crate::resources::{born_flow_schemas, born_priority_levels, mandatory_flow_control};

pub(crate) use self::width::StoredSizes;

const SCHEMA_UID: HeaderName = HeaderName::from_static("x-kubernetes-pf-flowschema-uid");
const LEVEL_UID: HeaderName = HeaderName::from_static("x-kubernetes-pf-prioritylevel-uid");

/// What every schema is without that says nothing else (upstream's default).
const PRECEDENCE: i32 = 1000;
/// How often levels lend and borrow anew (upstream's period).
const PERIOD: Duration = Duration::from_secs(10);
/// The longest that any request waits.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Shares the server among requests.
pub(crate) struct FlowControl {
    /// How many seats there are; 0 for any number.
    total: usize,
    classes: RwLock<Arc<Classes>>,
    /// When levels lent and borrowed last.
    adjusted: Mutex<Duration>,
    began: Instant,
    sizes: OnceLock<StoredSizes>,
    metrics: FlowMetrics,
}

/// What schemas and levels there are.
#[derive(Default)]
struct Classes {
    /// In the order in which they are asked.
    schemas: Vec<Schema>,
    levels: BTreeMap<String, Arc<Level>>,
}

struct Schema {
    spec: FlowSchemaSpec,
    class: Arc<Class>,
}

/// What a request is of.
pub(super) struct Class {
    schema: String,
    level: Arc<Level>,
    schema_uid: Option<HeaderValue>,
    level_uid: Option<HeaderValue>,
    labels: FlowLabels,
}

impl Class {
    /// Tells the client, by what only who may read the schemas and levels can look up.
    pub(super) fn tell(&self, headers: &mut HeaderMap) {
        for (name, uid) in [(SCHEMA_UID, &self.schema_uid), (LEVEL_UID, &self.level_uid)] {
            if let Some(uid) = uid {
                headers.insert(name, uid.clone());
            }
        }
    }
}

/// A request that is served. Dropping it gives its seats to others.
pub(super) struct Admitted {
    control: Arc<FlowControl>,
    class: Arc<Class>,
    seats: Option<Seats>,
    began: Instant,
    kind: &'static str,
}

impl Admitted {
    pub(super) fn class(&self) -> &Arc<Class> {
        &self.class
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        drop(self.seats.take());
        self.control.metrics.executed(&self.class.labels, self.kind, self.began.elapsed());
        self.control.adjust();
    }
}

impl FlowControl {
    /// With the schemas and levels of a new cluster.
    pub(super) fn new(limits: &Limits, metrics: &Metrics) -> Arc<FlowControl> {
        let control = FlowControl {
            total: limits.read_only_in_flight.saturating_add(limits.mutating_in_flight),
            classes: RwLock::default(),
            adjusted: Mutex::default(),
            began: Instant::now(),
            sizes: OnceLock::new(),
            metrics: metrics.flow_control(),
        };
        control.configure(born_flow_schemas(), born_priority_levels());
        Arc::new(control)
    }

    /// Takes the width of lists from what is stored.
    pub(crate) fn measure(&self, sizes: StoredSizes) {
        // Whoever was first stays.
        let _ = self.sizes.set(sizes);
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// Lets a request in as soon as it is its turn, within a quarter of the time that it has. The error is that it is not,
    /// and what it was of.
    pub(super) async fn admit(
        self: &Arc<Self>,
        identity: &Identity,
        attributes: &Attributes,
        query: Option<&str>,
        time: Duration,
    ) -> Result<Option<Admitted>, Arc<Class>> {
        if self.total == 0 {
            return Ok(None);
        }
        self.adjust();
        let Some((class, hash)) = self.classify(identity, attributes) else { return Ok(None) };
        let widest = class.level.widest();
        let seats = self.sizes.get().map_or(1, |sizes| sizes.width(attributes, query)).clamp(1, widest);
        self.metrics.width(&class.labels, seats);
        let came = Instant::now();
        let entry = class.level.enter(self.began, hash, seats);
        let found = match entry {
            Err(reason) => Err(reason),
            Ok(level::Entry::Started(seats)) => Ok(seats),
            Ok(level::Entry::Waits(turn)) => {
                let _counted = self.metrics.waits(&class.labels);
                let found = tokio::time::timeout((time / 4).min(LONGEST_WAIT), turn.came()).await;
                self.metrics.waited(&class.labels, found.is_ok(), came.elapsed());
                found.map_err(|_| "time-out")
            }
        };
        match found {
            Ok(seats) => {
                self.metrics.dispatched(&class.labels);
                let seats = seats.counted(self.metrics.executes(&class.labels));
                let kind = if attributes.verb == "watch" { "watch" } else { "regular" };
                Ok(Some(Admitted { control: Arc::clone(self), class, seats: Some(seats), began: Instant::now(), kind }))
            }
            Err(reason) => {
                self.metrics.rejected(&class.labels, reason);
                Err(class)
            }
        }
    }

    /// What a request is of, and what tells its flow from others.
    fn classify(&self, identity: &Identity, attributes: &Attributes) -> Option<(Arc<Class>, u64)> {
        let classes = Arc::clone(&self.classes.read());
        let schema = classes.schemas.iter().find(|schema| classes::matches(&schema.spec, identity, attributes));
        // The last one is for whatever no other is for.
        let schema = schema.or(classes.schemas.last())?;
        let flow = classes::flow(&schema.spec, identity, attributes);
        Some((Arc::clone(&schema.class), hash_of(&schema.class.schema, flow)))
    }

    /// From now on there are these schemas and levels. Levels that stay keep their queues; what waits in one that goes is
    /// served with the seats that it had.
    fn configure(&self, mut schemas: Vec<FlowSchema>, mut levels: Vec<PriorityLevelConfiguration>) {
        // Without these there would be requests of no kind.
        let name = |name: &Option<String>| name.clone().unwrap_or_default();
        for born in born_priority_levels() {
            let needed = mandatory_flow_control(&name(&born.metadata.name));
            if needed && !levels.iter().any(|level| level.metadata.name == born.metadata.name) {
                levels.push(born);
            }
        }
        for born in born_flow_schemas() {
            let needed = mandatory_flow_control(&name(&born.metadata.name));
            if needed && !schemas.iter().any(|schema| schema.metadata.name == born.metadata.name) {
                schemas.push(born);
            }
        }
        let mut classes = self.classes.write();
        let levels: Vec<_> = levels
            .into_iter()
            .filter_map(|level| Some((name(&level.metadata.name), level.metadata.uid, Setting::of(&level.spec)?)))
            .collect();
        let shares: Vec<_> = levels.iter().map(|(.., setting)| setting.shares).collect();
        let mut new = Classes::default();
        let mut uids = BTreeMap::new();
        for ((name, uid, setting), bounds) in levels.into_iter().zip(bounds(self.total, &shares)) {
            let level = classes.levels.get(&name).cloned().unwrap_or_default();
            level.configure(self.now(), setting, bounds);
            self.metrics.limits(&name, bounds.nominal, bounds.least, bounds.most, level.limit());
            uids.insert(name.clone(), header(uid));
            new.levels.insert(name, level);
        }
        schemas.sort_by_cached_key(|schema| {
            (schema.spec.matching_precedence.unwrap_or(PRECEDENCE), schema.metadata.name.clone())
        });
        for schema in schemas {
            let (schema_name, spec) = (name(&schema.metadata.name), schema.spec);
            let level_name = &spec.priority_level_configuration.name;
            // Requests of a schema whose level is missing are those of the next that matches.
            let Some(level) = new.levels.get(level_name) else { continue };
            let class = Class {
                level: Arc::clone(level),
                schema_uid: header(schema.metadata.uid),
                level_uid: uids.get(level_name).cloned().flatten(),
                labels: FlowLabels::new(level_name, &schema_name),
                schema: schema_name,
            };
            new.schemas.push(Schema { spec, class: Arc::new(class) });
        }
        *classes = Arc::new(new);
    }

    /// Has levels lend and borrow, if it is time.
    fn adjust(&self) {
        let now = self.now();
        // Somebody else does it.
        let Some(mut adjusted) = self.adjusted.try_lock() else { return };
        if now.saturating_sub(*adjusted) < PERIOD {
            return;
        }
        *adjusted = now;
        let classes = Arc::clone(&self.classes.read());
        let all: Vec<Bounds> = classes.levels.values().map(|level| level.bounds()).collect();
        let needs: Vec<_> = classes.levels.values().map(|level| level.end_period(now)).collect();
        for (((name, level), seats), (highest, smoothed)) in
            classes.levels.iter().zip(allocate(&all, &needs)).zip(needs)
        {
            level.set_limit(now, seats);
            self.metrics.adjusted(name, seats, highest, smoothed);
        }
    }
}

fn header(uid: Option<String>) -> Option<HeaderValue> {
    HeaderValue::try_from(uid.filter(|uid| !uid.is_empty())?).ok()
}
