//! What scheduling sees of a persistent volume.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use api::quantity::Quantity;
use api::selector::node::Selector;
use k8s_openapi::api::core::v1::{NodeSelector, PersistentVolume, PersistentVolumeSpec};

use super::assumed::{Assumed, Versioned};
use super::claim::{CLASS_ANNOTATION, Claim, quantity};
use super::in_tree::{self, BETA_REGION, BETA_ZONE, REGION, ZONE, ZONE_DELIMITER};
use super::objects::CsiNode;
use super::usage::{Attachable, Handle};
use crate::snapshot::pod_volumes::ClaimKey;

/// The labels of nodes and volumes that say where they are.
pub const TOPOLOGY_LABELS: [&str; 4] = [BETA_ZONE, BETA_REGION, ZONE, REGION];

/// The label by which volumes of a single node name it.
const HOSTNAME: &str = "kubernetes.io/hostname";

/// The name of a label of today for one of old.
#[must_use]
pub fn current_label(label: &str) -> &str {
    match label {
        BETA_ZONE => ZONE,
        BETA_REGION => REGION,
        other => other,
    }
}

/// A persistent volume.
#[derive(Clone, Debug, PartialEq)]
pub struct Volume {
    /// As the API has it, or will have it.
    pub object: Arc<PersistentVolume>,
    /// Its name.
    pub name: String,
    /// The name of its class, which is empty if it has none.
    pub class: String,
    /// How large it is.
    pub capacity: Quantity,
    /// Whether it is to be had.
    pub available: bool,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// `Filesystem` or `Block`.
    pub mode: String,
    /// The name of its attributes class, which is empty if it has none.
    pub attributes_class: String,
    /// The claim that it is kept for or bound to, and that claim's identity, unless it is not known yet.
    pub claim: Option<(ClaimKey, String)>,
    /// In which zones and regions it is, by the labels that say so.
    pub topologies: Vec<(&'static str, BTreeSet<String>)>,
    /// What a driver attaches for it.
    pub attachable: Option<Attachable>,
    /// A value of a label that nodes must have to reach it, if there is one.
    pub pin: Option<(String, String)>,
    /// The nodes that reach it, unless all do.
    affinity: Option<Selector>,
    /// The plugin that was migrated to a driver, and the nodes that reach it through the driver, unless all do.
    migrated: Option<(&'static str, Option<Selector>)>,
}

impl Versioned for Volume {
    fn version(&self) -> &str {
        self.object.metadata.resource_version.as_deref().unwrap_or_default()
    }
}

impl Volume {
    /// Reads a volume.
    #[must_use]
    pub fn read(object: &Arc<PersistentVolume>) -> Volume {
        let empty = PersistentVolumeSpec::default();
        let spec = object.spec.as_ref().unwrap_or(&empty);
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let required = spec.node_affinity.as_ref().and_then(|affinity| affinity.required.as_ref());
        let translated = in_tree::of_volume(object);
        let of_csi = spec.csi.as_ref().map(|csi| Attachable {
            driver: csi.driver.clone(),
            handle: Handle::Volume(csi.volume_handle.clone()),
            plugin: None,
        });
        let migrated = translated
            .as_ref()
            .and_then(|(attachable, affinity)| Some((attachable.plugin?, affinity.as_ref().map(Selector::from_api))));
        let class = object.metadata.annotations.as_ref().and_then(|annotations| annotations.get(CLASS_ANNOTATION));
        let claim = spec
            .claim_ref
            .as_ref()
            .map(|claim| (ClaimKey { namespace: text(&claim.namespace), name: text(&claim.name) }, text(&claim.uid)));
        Volume {
            name: text(&object.metadata.name),
            class: class.or(spec.storage_class_name.as_ref()).cloned().unwrap_or_default(),
            capacity: quantity(spec.capacity.as_ref()).unwrap_or_default(),
            available: object.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Available"),
            deleting: object.metadata.deletion_timestamp.is_some(),
            mode: spec.volume_mode.clone().unwrap_or_else(|| "Filesystem".to_owned()),
            attributes_class: text(&spec.volume_attributes_class_name),
            claim,
            topologies: topologies(object),
            attachable: of_csi.or(translated.map(|(attachable, _)| attachable)),
            pin: required.and_then(pin),
            affinity: required.map(Selector::from_api),
            migrated,
            object: Arc::clone(object),
        }
    }

    /// The version in which the API has it.
    #[must_use]
    pub fn version(&self) -> &str {
        Versioned::version(self)
    }

    /// Whether a node with these labels reaches the volume.
    #[must_use]
    pub fn is_reached(&self, labels: &BTreeMap<String, String>) -> bool {
        self.affinity.as_ref().is_none_or(|affinity| affinity.matches("", labels))
    }

    /// The same, through the driver if the volume's plugin was migrated to it on the node.
    #[must_use]
    pub fn is_reached_through(&self, labels: &BTreeMap<String, String>, node: Option<&CsiNode>) -> bool {
        match &self.migrated {
            Some((plugin, affinity)) if node.is_some_and(|node| node.has_migrated(plugin)) => {
                affinity.as_ref().is_none_or(|affinity| affinity.matches("", labels))
            }
            _ => self.is_reached(labels),
        }
    }

    /// Whether the volume is kept for the claim or bound to it.
    #[must_use]
    pub fn is_of(&self, claim: &Claim) -> bool {
        let same = |(key, uid): &(ClaimKey, String)| *key == claim.key && (uid.is_empty() || *uid == claim.uid);
        self.claim.as_ref().is_some_and(same)
    }

    /// Whether the volume is as large as the claim wants it and of the kind that it wants, so that it would do if it is
    /// the claim's already.
    #[must_use]
    pub fn suits(&self, claim: &Claim) -> bool {
        claim.request.as_ref().is_none_or(|request| self.capacity >= *request)
            && self.mode == claim.mode
            && self.attributes_class == claim.attributes_class
            && !self.deleting
    }

    /// Whether the claim can have the volume, which is nobody's.
    #[must_use]
    pub fn can_be_of(&self, claim: &Claim) -> bool {
        let none = BTreeMap::new();
        let modes = self.object.spec.as_ref().and_then(|spec| spec.access_modes.as_deref()).unwrap_or_default();
        self.claim.is_none()
            && self.available
            && self.class == claim.class
            && self.suits(claim)
            && claim
                .selector
                .as_ref()
                .is_none_or(|selector| selector.matches(self.object.metadata.labels.as_ref().unwrap_or(&none)))
            && claim.access_modes().iter().all(|mode| modes.contains(mode))
    }
}

/// A value of a label that every node that is selected has: rather the host's name than another.
fn pin(selector: &NodeSelector) -> Option<(String, String)> {
    let [term] = selector.node_selector_terms.as_slice() else { return None };
    let only = term.match_expressions.iter().flatten().filter_map(|expression| {
        let value = expression.values.as_deref().filter(|values| values.len() == 1)?.first()?;
        (expression.operator == "In").then_some((&expression.key, value))
    });
    let (key, value) = only.min_by_key(|(key, _)| *key != HOSTNAME)?;
    Some((key.clone(), value.clone()))
}

/// A label that cannot be read says nothing.
fn topologies(object: &PersistentVolume) -> Vec<(&'static str, BTreeSet<String>)> {
    let labels = object.metadata.labels.as_ref();
    let topology = |label: &'static str| {
        let zones: BTreeSet<String> =
            labels?.get(label)?.split(ZONE_DELIMITER).map(|zone| zone.trim().to_owned()).collect();
        (!zones.contains("")).then_some((label, zones))
    };
    TOPOLOGY_LABELS.into_iter().filter_map(topology).collect()
}

/// All volumes, and which are nobody's.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Volumes {
    known: Assumed<String, Volume>,
    /// The sizes and names of those that are nobody's, by the names of their classes.
    free: HashMap<String, BTreeSet<(Quantity, String)>>,
    /// The names of the others, by their claims.
    kept: HashMap<ClaimKey, BTreeSet<String>>,
}

impl Volumes {
    pub(super) fn known(&self) -> &Assumed<String, Volume> {
        &self.known
    }

    /// Changes what is known of the volume of that name.
    pub(super) fn change<R>(&mut self, name: &str, change: impl FnOnce(&mut Assumed<String, Volume>) -> R) -> R {
        if let Some(volume) = self.known.get(name).map(Arc::clone) {
            self.index(&volume, false);
        }
        let result = change(&mut self.known);
        if let Some(volume) = self.known.get(name).map(Arc::clone) {
            self.index(&volume, true);
        }
        result
    }

    fn index(&mut self, volume: &Volume, there: bool) {
        if let Some((claim, _)) = &volume.claim {
            let kept = self.kept.entry(claim.clone()).or_default();
            if there {
                kept.insert(volume.name.clone());
            } else {
                kept.remove(&volume.name);
            }
            if kept.is_empty() {
                self.kept.remove(claim);
            }
        } else {
            let free = self.free.entry(volume.class.clone()).or_default();
            let entry = (volume.capacity.clone(), volume.name.clone());
            if there {
                free.insert(entry);
            } else {
                free.remove(&entry);
            }
            if free.is_empty() {
                self.free.remove(&volume.class);
            }
        }
    }

    /// Those of the class that are nobody's and have at least that size, the smallest first.
    pub(super) fn free(&self, class: &str, least: Option<&Quantity>) -> impl Iterator<Item = &Arc<Volume>> {
        let least = (least.cloned().unwrap_or_default(), String::new());
        let entries = self.free.get(class).into_iter().flat_map(move |entries| entries.range(least.clone()..));
        entries.filter_map(|(_, name)| self.known.get(name))
    }

    /// Those that are kept for the claim or bound to it.
    pub(super) fn kept(&self, claim: &ClaimKey) -> impl Iterator<Item = &Arc<Volume>> {
        self.kept.get(claim).into_iter().flatten().filter_map(|name| self.known.get(name))
    }
}
