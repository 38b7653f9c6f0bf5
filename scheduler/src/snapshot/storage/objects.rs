//! What scheduling sees of storage besides volumes and claims: classes, drivers, what drivers say of nodes, and how much
//! room there is.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use api::quantity::Quantity;
use api::selector::label::{self, Operator, Selector};
use k8s_openapi::api::storage::v1::{CSIDriver, CSINode, CSIStorageCapacity, StorageClass};

/// The annotation that names the plugins that were migrated to drivers on a node.
const MIGRATED_PLUGINS: &str = "storage.alpha.kubernetes.io/migrated-plugins";
/// Says that volumes of a class are not made on demand.
const NO_PROVISIONER: &str = "kubernetes.io/no-provisioner";

/// A class of volumes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Class {
    /// Its name.
    pub name: String,
    /// Who makes its volumes.
    pub provisioner: String,
    /// When they are made.
    pub mode: Option<String>,
    /// Where they can be made: for one of these, nodes must have one of the values of each label. If there are none,
    /// anywhere.
    topologies: Vec<Vec<(String, Vec<String>)>>,
}

impl Class {
    /// Reads a class.
    #[must_use]
    pub fn read(object: &StorageClass) -> Class {
        let topologies = object.allowed_topologies.iter().flatten().map(|term| {
            let expressions = term.match_label_expressions.iter().flatten();
            expressions.map(|expression| (expression.key.clone(), expression.values.clone())).collect()
        });
        Class {
            name: object.metadata.name.clone().unwrap_or_default(),
            provisioner: object.provisioner.clone(),
            mode: object.volume_binding_mode.clone(),
            topologies: topologies.collect(),
        }
    }

    /// Whether volumes are made on demand.
    #[must_use]
    pub fn provisions(&self) -> bool {
        !self.provisioner.is_empty() && self.provisioner != NO_PROVISIONER
    }

    /// Whether they can be made for a node with these labels.
    #[must_use]
    pub fn is_allowed(&self, labels: &BTreeMap<String, String>) -> bool {
        let holds = |(key, values): &(String, Vec<String>)| labels.get(key).is_some_and(|value| values.contains(value));
        self.topologies.is_empty() || self.topologies.iter().any(|term| !term.is_empty() && term.iter().all(holds))
    }
}

/// A driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Driver {
    /// Whether it says how much room there is.
    pub tells_capacity: bool,
    /// Whether pods that need it must not go where it is not.
    pub is_required: bool,
}

impl Driver {
    /// Reads a driver.
    #[must_use]
    pub fn read(object: &CSIDriver) -> Driver {
        Driver {
            tells_capacity: object.spec.storage_capacity.unwrap_or_default(),
            is_required: object.spec.prevent_pod_scheduling_if_missing.unwrap_or_default(),
        }
    }
}

/// What drivers say of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CsiNode {
    /// How many volumes each driver can attach, of those that are there, if there is a limit.
    drivers: HashMap<String, Option<u32>>,
    migrated: BTreeSet<String>,
}

impl CsiNode {
    /// Reads what drivers say.
    #[must_use]
    pub fn read(object: &CSINode) -> CsiNode {
        let limit = |count: i32| u32::try_from(count).unwrap_or_default();
        let drivers = object.spec.drivers.iter().map(|driver| {
            let count = driver.allocatable.as_ref().and_then(|allocatable| allocatable.count);
            (driver.name.clone(), count.map(limit))
        });
        let migrated = migrated_plugins(object).split(',').filter(|plugin| !plugin.is_empty());
        CsiNode { drivers: drivers.collect(), migrated: migrated.map(str::to_owned).collect() }
    }

    /// The drivers that are there.
    pub fn drivers(&self) -> impl Iterator<Item = &str> {
        self.drivers.keys().map(String::as_str)
    }

    /// Whether the driver is there.
    #[must_use]
    pub fn has(&self, driver: &str) -> bool {
        self.drivers.contains_key(driver)
    }

    /// How many volumes the driver can attach, if there is a limit.
    #[must_use]
    pub fn limit(&self, driver: &str) -> Option<u32> {
        self.drivers.get(driver).copied().flatten()
    }

    /// Whether the plugin was migrated to a driver.
    #[must_use]
    pub fn has_migrated(&self, plugin: &str) -> bool {
        self.migrated.contains(plugin)
    }

    /// Whether volumes of the plugin count as the driver's. Those of most plugins do wherever there are drivers at all.
    #[must_use]
    pub fn counts(&self, plugin: &str) -> bool {
        plugin != "kubernetes.io/portworx-volume" || self.has_migrated(plugin)
    }
}

/// What names the plugins that were migrated, as it is written.
#[must_use]
pub fn migrated_plugins(object: &CSINode) -> &str {
    let annotations = object.metadata.annotations.as_ref();
    annotations.and_then(|annotations| annotations.get(MIGRATED_PLUGINS)).map_or("", String::as_str)
}

/// How much room there is for volumes of a class, and from where.
#[derive(Clone, Debug, PartialEq)]
pub struct Capacity {
    /// The name of the class.
    pub class: String,
    /// How large a volume can be, in bytes.
    pub limit: Option<i64>,
    /// How much room there is, in bytes.
    pub total: i64,
    /// A value of a label that nodes must have to reach it, if there is one.
    pub pin: Option<(String, String)>,
    /// The nodes that reach it, if any do.
    nodes: Option<Selector>,
}

impl Capacity {
    /// Reads it.
    #[must_use]
    pub fn read(object: &CSIStorageCapacity) -> Capacity {
        let total = object.capacity.as_ref().and_then(|capacity| Quantity::try_from(capacity).ok());
        let nodes = object.node_topology.as_ref().and_then(|topology| label::from_api(Some(topology)).ok());
        let pin = nodes.iter().flat_map(Selector::requirements).find_map(|requirement| {
            let [value] = requirement.values() else { return None };
            let equals = matches!(requirement.operator(), Operator::In | Operator::Equals | Operator::DoubleEquals);
            equals.then(|| (requirement.key().to_owned(), value.clone()))
        });
        Capacity {
            class: object.storage_class_name.clone(),
            limit: volume_limit(object),
            total: total.as_ref().map_or(0, Quantity::value),
            pin,
            nodes,
        }
    }

    /// Whether a volume of that many bytes can be made.
    #[must_use]
    pub fn suffices(&self, bytes: i64) -> bool {
        self.limit.is_some_and(|limit| limit >= bytes)
    }

    /// Whether a node with these labels reaches it.
    #[must_use]
    pub fn is_reached(&self, labels: &BTreeMap<String, String>) -> bool {
        self.nodes.as_ref().is_some_and(|nodes| nodes.matches(labels))
    }
}

/// How large a volume can be, in bytes.
#[must_use]
pub fn volume_limit(object: &CSIStorageCapacity) -> Option<i64> {
    let limit = object.maximum_volume_size.as_ref().or(object.capacity.as_ref())?;
    Quantity::try_from(limit).ok().map(|limit| limit.value())
}
