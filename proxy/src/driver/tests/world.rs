//! A kernel that is told, others that meddle with it, and decisions whose tables are easy to read.

use std::collections::BTreeMap;
use std::sync::Arc;

use client::events::{EventApi, WriteError};
use imbl::OrdMap;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event;
use nft::{Datum, Endpoint, Set, Shape, Type, Value};
use parking_lot::Mutex;
use serde_json::{Value as Json, json};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::super::*;
use crate::rules::Stale;

/// What the kernel has, and what it does when it is told something.
#[derive(Default)]
pub(super) struct Fate {
    /// Tables, by family, in a form that can be read.
    pub(super) tables: BTreeMap<Family, Table>,
    /// What it was told, in order.
    pub(super) log: Vec<String>,
    /// Why it refuses tables, by family.
    pub(super) refuses: BTreeMap<Family, String>,
    /// Why it forgets nothing.
    pub(super) forgets_nothing: Option<String>,
    /// Breaks off the next time.
    pub(super) breaks: bool,
    /// The machine's addresses.
    pub(super) addresses: Vec<IpAddr>,
}

/// A way to that kernel, which remembers what it has put there.
pub(super) struct FakeKernel {
    pub(super) fate: Arc<Mutex<Fate>>,
    known: BTreeMap<Family, Table>,
}

impl FakeKernel {
    pub(super) fn of(fate: &Arc<Mutex<Fate>>) -> FakeKernel {
        FakeKernel { fate: Arc::clone(fate), known: BTreeMap::new() }
    }
}

impl Kernel for FakeKernel {
    fn apply(&mut self, table: &Table) -> Result<(), String> {
        let family = table.family;
        let mut fate = self.fate.lock();
        if std::mem::take(&mut fate.breaks) {
            drop(fate);
            panic!("the kernel breaks off, as this test has it");
        }
        if let Some(why) = fate.refuses.get(&family).cloned() {
            fate.log.push(format!("refuse {family:?}"));
            return Err(why);
        }
        // What is known to be there is not looked at.
        if self.known.get(&family) != Some(table) {
            fate.log.push(format!("apply {family:?} {}", names(table).join(" ")));
            fate.tables.insert(family, table.clone());
            self.known.insert(family, table.clone());
        }
        Ok(())
    }

    fn look_anew(&mut self) {
        self.fate.lock().log.push("look anew".to_owned());
        self.known.clear();
    }

    fn forget(&mut self, connections: &Forgetting) -> Result<usize, String> {
        let mut fate = self.fate.lock();
        if let Some(why) = fate.forgets_nothing.clone() {
            return Err(why);
        }
        assert!(!connections.is_empty());
        fate.log.push("forget".to_owned());
        Ok(1)
    }

    fn addresses(&mut self) -> Result<Vec<IpAddr>, String> {
        Ok(self.fate.lock().addresses.clone())
    }
}

/// The names of a table's sets.
pub(super) fn names(table: &Table) -> Vec<String> {
    table.sets.keys().map(|name| name.to_string()).collect()
}

/// Tables with a set for each Service, of the addresses of its endpoints, and one for the node. An endpoint that goes is one
/// whose connections are to be forgotten.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Listing([Table; 2]);

fn set_of(addresses: impl IntoIterator<Item = IpAddr>) -> Set {
    let shape = Shape { key: vec![Type::Address], value: nft::Kind::Nothing, learned: None };
    let elements = addresses.into_iter().map(|address| (vec![Datum::Address(address)], Value::Nothing)).collect();
    Set { shape: Arc::new(shape), elements }
}

impl Decisions for Listing {
    fn of(node: rules::Node) -> Listing {
        Listing(FAMILIES.map(|family| {
            let at = node.addresses.iter().copied().filter(|address| Family::of(*address) == family);
            let own = format!("node {} {}", node.name, node.zone.clone().unwrap_or_default());
            let sets = OrdMap::unit(own.into(), set_of(at));
            Table { family, name: "gantry".into(), sets, chains: OrdMap::new() }
        }))
    }

    fn set(&mut self, namespace: &str, name: &str, service: Option<&Service>, slices: &[&EndpointSlice]) -> Effects {
        let mut stale = Vec::new();
        for table in &mut self.0 {
            let family = table.family;
            let endpoints = slices.iter().flat_map(|slice| slice.endpoints.iter().flatten());
            let addresses = endpoints.flat_map(|endpoint| &endpoint.addresses).filter_map(|it| it.parse().ok());
            let set = set_of(addresses.filter(|address| Family::of(*address) == family));
            let key: nft::Name = format!("{namespace}/{name}").into();
            let before = match service {
                Some(_) => table.sets.insert(key, set.clone()),
                None => table.sets.remove(&key),
            };
            let gone = before.into_iter().flat_map(|before| before.elements.keys().cloned().collect::<Vec<_>>());
            for gone in gone.filter(|gone| service.is_none() || !set.elements.contains_key(gone)) {
                let [Datum::Address(address)] = gone[..] else { continue };
                stale.push(Stale::AnsweredBy(address, 53, Endpoint { address, port: 53 }));
            }
        }
        Effects { stale }
    }

    fn table(&self, family: Family) -> &Table {
        self.0.iter().find(|table| table.family == family).unwrap()
    }
}

/// Notes Events.
#[derive(Clone, Default)]
pub(super) struct Events(Arc<Mutex<Vec<String>>>);

impl EventApi for Events {
    async fn create(&self, event: &Event) -> Result<(), WriteError> {
        let said = format!("{} {}", event.reason.clone().unwrap(), event.message.clone().unwrap());
        self.0.lock().push(said);
        Ok(())
    }

    async fn patch(&self, _: &str, name: &str, _: &Json) -> Result<(), WriteError> {
        self.0.lock().push(format!("again {name}"));
        Ok(())
    }
}

/// A driver's surroundings.
pub(super) struct World {
    pub(super) cache: Cache,
    pub(super) fate: Arc<Mutex<Fate>>,
    pub(super) metrics: Metrics,
    pub(super) health: Health,
    pub(super) checks: Checks,
    pub(super) events: Events,
    pub(super) clock: Clock,
    pub(super) node_ports: NodePorts,
    recorder: Recorder,
    tasks: JoinSet<()>,
    stop: CancellationToken,
}

/// Long enough for whatever is done at once.
pub(super) const MOMENT: Duration = Duration::from_millis(1);

impl World {
    pub(super) fn new() -> World {
        let noon: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        let (clock, metrics, events) = (Clock::simulated(noon), Metrics::new(), Events::default());
        let (recorder, recording) = Recorder::new(events.clone(), "kube-proxy", "n", clock);
        let mut tasks = JoinSet::new();
        tasks.spawn(recording);
        World {
            cache: Cache::new(),
            fate: Arc::default(),
            health: Health::new(clock, metrics.clone()),
            metrics,
            checks: Checks::default(),
            events,
            clock,
            node_ports: NodePorts::Primary,
            recorder,
            tasks,
            stop: CancellationToken::new(),
        }
    }

    /// With everything listed, a Node, and a driver that has told the kernel of it.
    pub(super) async fn at_work() -> World {
        let mut world = World::new();
        world.put_node(json!({}));
        world.list_all();
        world.start();
        world.pass(Duration::from_secs(1)).await;
        world.told();
        world
    }

    /// Says that everything has been listed that is in the cache by now.
    pub(super) fn list_all(&self) {
        let list = |resource: Resource| {
            let listed = self.cache.list_any(&resource.name(), None);
            self.cache.put_all(&resource, listed, 1);
        };
        list(Resource::of::<Service>());
        list(Resource::of::<EndpointSlice>());
        list(Resource::of::<Node>());
    }

    pub(super) fn start(&mut self) -> Disturbed {
        let setting = Setting {
            node: "n".to_owned(),
            node_ports: self.node_ports.clone(),
            answered: BTreeSet::new(),
            cache: self.cache.clone(),
            health: self.health.clone(),
            checks: self.checks.clone(),
            metrics: self.metrics.clone(),
            recorder: self.recorder.clone(),
            clock: self.clock,
            timing: Timing::default(),
        };
        let driver: Driver<FakeKernel, Listing> = Driver::new(setting, FakeKernel::of(&self.fate));
        let disturbed = driver.disturbed();
        self.stop = CancellationToken::new();
        self.tasks.spawn(driver.run(self.stop.clone()));
        disturbed
    }

    /// Stops the driver.
    pub(super) async fn stop(&self) {
        self.stop.cancel();
        self.pass(MOMENT).await;
    }

    pub(super) async fn pass(&self, time: Duration) {
        let waited = timeout(time, std::future::pending::<()>()).await;
        assert!(waited.is_err());
    }

    /// What the kernel was told since the last call.
    pub(super) fn told(&self) -> Vec<String> {
        std::mem::take(&mut self.fate.lock().log)
    }

    /// What the kernel has.
    pub(super) fn tables(&self) -> BTreeMap<Family, Table> {
        self.fate.lock().tables.clone()
    }

    pub(super) fn said(&self) -> Vec<String> {
        std::mem::take(&mut *self.events.0.lock())
    }

    pub(super) fn put_node(&self, change: Json) {
        let mut node = json!({
            "metadata": {"name": "n", "labels": {"topology.kubernetes.io/zone": "z"}},
            "status": {"addresses": [{"type": "InternalIP", "address": "192.0.2.1"}]},
        });
        for (key, value) in change.as_object().into_iter().flatten() {
            node[key] = value.clone();
        }
        self.cache.put(serde_json::from_value::<Node>(node).unwrap());
    }

    pub(super) fn put_service(&self, name: &str) {
        self.put_service_of(name, json!({}), json!({"clusterIP": "10.96.0.5"}));
    }

    pub(super) fn put_service_of(&self, name: &str, labels: Json, spec: Json) {
        let json = json!({"metadata": {"name": name, "namespace": "s", "labels": labels}, "spec": spec});
        self.cache.put(serde_json::from_value::<Service>(json).unwrap());
    }

    pub(super) fn remove_service(&self, name: &str) {
        let meta = json!({"name": name, "namespace": "s"});
        self.cache.remove(&Resource::of::<Service>(), &serde_json::from_value(meta).unwrap());
    }

    /// A slice of a Service, with these endpoints.
    pub(super) fn put_slice(&self, name: &str, service: &str, addresses: &[&str], trigger: Option<Timestamp>) {
        let trigger = trigger.map(|trigger| trigger.to_string());
        let annotations = trigger.map(|trigger| json!({"endpoints.kubernetes.io/last-change-trigger-time": trigger}));
        let endpoints: Vec<Json> = addresses.iter().map(|address| json!({"addresses": [address]})).collect();
        let labels = json!({"kubernetes.io/service-name": service});
        let meta = json!({"name": name, "namespace": "s", "labels": labels, "annotations": annotations});
        let json = json!({"metadata": meta, "addressType": "IPv4", "endpoints": endpoints});
        self.cache.put(serde_json::from_value::<EndpointSlice>(json).unwrap());
    }

    pub(super) fn remove_slice(&self, name: &str) {
        let meta = json!({"name": name, "namespace": "s"});
        self.cache.remove(&Resource::of::<EndpointSlice>(), &serde_json::from_value(meta).unwrap());
    }

    /// What the kernel would have if everything were as the cache has it.
    pub(super) fn expected(&self) -> BTreeMap<Family, Table> {
        let node = self.cache.get::<Node>("", "n").unwrap();
        let addresses = self.fate.lock().addresses.clone();
        let mut listing = Listing::of(facts(&node, &self.node_ports, &addresses, &BTreeSet::new()));
        let slices = self.cache.list::<EndpointSlice>(None);
        for service in self.cache.list::<Service>(None) {
            let name = service.metadata.name.clone().unwrap();
            let of = |slice: &&Arc<EndpointSlice>| slice.metadata.labels.as_ref().unwrap()[SERVICE_NAME] == name;
            let slices: Vec<&EndpointSlice> = slices.iter().filter(of).map(|slice| &**slice).collect();
            listing.set("s", &name, Some(&service), &slices);
        }
        FAMILIES.into_iter().map(|family| (family, listing.table(family).clone())).collect()
    }
}
