//! What the scheduler knows of storage: volumes, claims, classes, drivers, and what is attached where; kept by event.
//!
//! Whatever the order of events, it is what it would be if it were made anew of the objects that there are. What was
//! decided of a volume or a claim, and the API does not say yet, is kept beside what the API says.

mod assumed;
mod claim;
pub(crate) mod in_tree;
mod objects;
mod usage;
mod volume;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::{CSIDriver, CSINode, CSIStorageCapacity, StorageClass, VolumeAttachment};

use super::Snapshot;
use super::pod_volumes::{ClaimKey, PodVolumes};
use assumed::Assumed;
use usage::{Attachment, Usage};
use volume::Volumes;

pub use claim::{BIND_COMPLETED, Claim, SELECTED_NODE};
pub use objects::{Capacity, Class, CsiNode, Driver, migrated_plugins, volume_limit};
pub use usage::{Attachable, Handle, NodeVolumes, User};
pub use volume::{TOPOLOGY_LABELS, Volume, current_label};

/// What is known of storage.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Storage {
    volumes: Volumes,
    claims: Assumed<ClaimKey, Claim>,
    /// The claims that the API says are of a volume, by the volume's name.
    claims_of: HashMap<String, BTreeSet<ClaimKey>>,
    classes: HashMap<String, Class>,
    drivers: HashMap<String, Driver>,
    nodes: HashMap<String, CsiNode>,
    /// By namespace and name.
    capacities: BTreeMap<(String, String), Capacity>,
    /// The names of the capacities of a class.
    of_class: HashMap<String, BTreeSet<(String, String)>>,
    usage: Usage,
}

impl Storage {
    /// The volume of that name, as it will be.
    #[must_use]
    pub fn volume(&self, name: &str) -> Option<&Arc<Volume>> {
        self.volumes.known().get(name)
    }

    /// The volume of that name, as the API says that it is.
    #[must_use]
    pub fn api_volume(&self, name: &str) -> Option<&Arc<Volume>> {
        self.volumes.known().api(name)
    }

    /// The volume of that name, if it was decided for the pod what will be of it.
    #[must_use]
    pub fn volume_decided_for(&self, name: &str, pod: &str) -> Option<&Arc<Volume>> {
        self.volumes.known().assumed(name, pod)
    }

    /// Volumes of the class that are nobody's and would be large enough for the claim, the smallest first.
    pub fn free_volumes(&self, claim: &Claim) -> impl Iterator<Item = &Arc<Volume>> {
        self.volumes.free(&claim.class, claim.request.as_ref())
    }

    /// Volumes that are kept for the claim or bound to it, by name.
    pub fn kept_volumes(&self, claim: &ClaimKey) -> impl Iterator<Item = &Arc<Volume>> {
        self.volumes.kept(claim)
    }

    /// The claim, as it will be.
    #[must_use]
    pub fn claim(&self, key: &ClaimKey) -> Option<&Arc<Claim>> {
        self.claims.get(key)
    }

    /// The claim, as the API says that it is.
    #[must_use]
    pub fn api_claim(&self, key: &ClaimKey) -> Option<&Arc<Claim>> {
        self.claims.api(key)
    }

    /// The claim, if it was decided for the pod what will be of it.
    #[must_use]
    pub fn claim_decided_for(&self, key: &ClaimKey, pod: &str) -> Option<&Arc<Claim>> {
        self.claims.assumed(key, pod)
    }

    /// The class of that name.
    #[must_use]
    pub fn class(&self, name: &str) -> Option<&Class> {
        self.classes.get(name)
    }

    /// The driver of that name.
    #[must_use]
    pub fn driver(&self, name: &str) -> Option<Driver> {
        self.drivers.get(name).copied()
    }

    /// What drivers say of the node of that name.
    #[must_use]
    pub fn csi_node(&self, name: &str) -> Option<&CsiNode> {
        self.nodes.get(name)
    }

    /// How much room there is for volumes of the class, from wherever.
    pub fn capacities(&self, class: &str) -> impl Iterator<Item = &Capacity> {
        self.of_class.get(class).into_iter().flatten().filter_map(|key| self.capacities.get(key))
    }

    /// How many pods on nodes use the claim.
    #[must_use]
    pub fn users(&self, claim: &ClaimKey) -> u32 {
        self.usage.users(claim)
    }

    /// The volumes at the node of that name, if there are any.
    #[must_use]
    pub fn at_node(&self, name: &str) -> Option<&NodeVolumes> {
        self.usage.node(name)
    }

    /// What a driver attaches for the claim, or will when there is a volume.
    #[must_use]
    pub fn attachable(&self, claim: &ClaimKey) -> Option<Attachable> {
        resolve(&self.claims, &self.volumes, &self.classes, claim)
    }

    /// It was decided for the pod that the volume is to be so: false if the volume has changed since.
    pub fn assume_volume(&mut self, object: &Arc<PersistentVolume>, pod: &str) -> bool {
        let volume = Volume::read(object);
        let name = volume.name.clone();
        self.volumes.change(&name, |known| known.assume(name.as_str(), volume, pod))
    }

    /// It was decided for the pod that the claim is to be so: false if the claim has changed since.
    pub fn assume_claim(&mut self, object: &Arc<PersistentVolumeClaim>, pod: &str) -> bool {
        let claim = Claim::read(object);
        let key = claim.key.clone();
        self.claims.assume(&key, claim, pod)
    }

    /// Whatever was decided for the pod of its claims and of volumes for them no longer holds.
    pub fn restore(&mut self, volumes: &PodVolumes, pod: &str) {
        for claim in &volumes.claims {
            self.claims.restore(&claim.key, pod);
            let kept: Vec<String> = self.volumes.kept(&claim.key).map(|volume| volume.name.clone()).collect();
            for name in kept {
                self.volumes.change(&name, |known| known.restore(name.as_str(), pod));
            }
        }
    }

    /// A pod with these volumes comes to the node of that name, or leaves it.
    pub(super) fn place(&mut self, volumes: &PodVolumes, node: &str, there: bool) {
        let Storage { volumes: known, claims, classes, usage, .. } = self;
        if there {
            usage.add_pod(volumes, node, |claim| resolve(claims, known, classes, claim));
        } else {
            usage.remove_pod(volumes, node);
        }
    }

    fn claim_changed(&mut self, key: &ClaimKey) {
        let Storage { volumes, claims, classes, usage, .. } = self;
        usage.set_claim(key, |claim| resolve(claims, volumes, classes, claim));
    }

    fn volume_changed(&mut self, name: &str) {
        let volume = self.volumes.known().api(name);
        let attachable = volume.and_then(|volume| volume.attachable.clone()).filter(|volume| volume.plugin.is_none());
        let handle = attachable.and_then(|volume| match volume.handle {
            Handle::Volume(handle) => Some(handle),
            Handle::Claim(_) => None,
        });
        self.usage.set_handle(name, handle.as_deref());
        for key in self.claims_of.get(name).cloned().unwrap_or_default() {
            self.claim_changed(&key);
        }
    }

    /// The claim is gone, or is about to be what it was not.
    fn forget_volume_of(&mut self, key: &ClaimKey) {
        let Some(claim) = self.claims.api(key).filter(|claim| !claim.volume.is_empty()) else { return };
        if let Some(claims) = self.claims_of.get_mut(&claim.volume) {
            claims.remove(key);
            if claims.is_empty() {
                self.claims_of.remove(&claim.volume);
            }
        }
    }

    fn classes_changed(&mut self) {
        let claims: Vec<ClaimKey> = self.usage.claims().cloned().collect();
        claims.iter().for_each(|claim| self.claim_changed(claim));
    }

    fn remove_capacity(&mut self, key: &(String, String)) {
        let Some(capacity) = self.capacities.remove(key) else { return };
        if let Some(of_class) = self.of_class.get_mut(&capacity.class) {
            of_class.remove(key);
            if of_class.is_empty() {
                self.of_class.remove(&capacity.class);
            }
        }
    }
}

fn resolve(
    claims: &Assumed<ClaimKey, Claim>,
    volumes: &Volumes,
    classes: &HashMap<String, Class>,
    key: &ClaimKey,
) -> Option<Attachable> {
    let claim = claims.api(key)?;
    if let Some(volume) = volumes.known().api(claim.volume.as_str()) {
        return volume.attachable.clone();
    }
    let class = classes.get(&claim.class)?;
    let (driver, plugin) = match in_tree::driver(&class.provisioner) {
        Some((plugin, driver)) => (driver?, Some(plugin)),
        None => (class.provisioner.as_str(), None),
    };
    Some(Attachable { driver: driver.to_owned(), handle: Handle::Claim(key.clone()), plugin })
}

fn name(meta: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta) -> String {
    meta.name.clone().unwrap_or_default()
}

impl Snapshot {
    /// What is known of storage.
    #[must_use]
    pub fn storage(&self) -> &Storage {
        &self.storage
    }

    /// The same, to note what is decided.
    pub fn storage_mut(&mut self) -> &mut Storage {
        &mut self.storage
    }

    /// A volume appeared or changed.
    pub fn set_persistent_volume(&mut self, object: &Arc<PersistentVolume>) {
        let volume = Volume::read(object);
        let name = volume.name.clone();
        self.storage.volumes.change(&name, |known| known.set(name.clone(), volume));
        self.storage.volume_changed(&name);
    }

    /// A volume is gone.
    pub fn remove_persistent_volume(&mut self, name: &str) {
        self.storage.volumes.change(name, |known| known.remove(name));
        self.storage.volume_changed(name);
    }

    /// A claim appeared or changed.
    pub fn set_persistent_volume_claim(&mut self, object: &Arc<PersistentVolumeClaim>) {
        let claim = Claim::read(object);
        let key = claim.key.clone();
        self.storage.forget_volume_of(&key);
        if !claim.volume.is_empty() {
            self.storage.claims_of.entry(claim.volume.clone()).or_default().insert(key.clone());
        }
        self.storage.claims.set(key.clone(), claim);
        self.storage.claim_changed(&key);
    }

    /// A claim is gone.
    pub fn remove_persistent_volume_claim(&mut self, namespace: &str, name: &str) {
        let key = ClaimKey::new(namespace, name);
        self.storage.forget_volume_of(&key);
        self.storage.claims.remove(&key);
        self.storage.claim_changed(&key);
    }

    /// A class appeared or changed.
    pub fn set_storage_class(&mut self, object: &StorageClass) {
        let class = Class::read(object);
        let before = self.storage.classes.insert(class.name.clone(), class);
        let after = self.storage.classes.get(&name(&object.metadata));
        if before.map(|class| class.provisioner) != after.map(|class| class.provisioner.clone()) {
            self.storage.classes_changed();
        }
    }

    /// A class is gone.
    pub fn remove_storage_class(&mut self, name: &str) {
        if self.storage.classes.remove(name).is_some() {
            self.storage.classes_changed();
        }
    }

    /// What drivers say of a node appeared or changed.
    pub fn set_csi_node(&mut self, object: &CSINode) {
        self.storage.nodes.insert(name(&object.metadata), CsiNode::read(object));
    }

    /// Drivers no longer say anything of the node of that name.
    pub fn remove_csi_node(&mut self, name: &str) {
        self.storage.nodes.remove(name);
    }

    /// A driver appeared or changed.
    pub fn set_csi_driver(&mut self, object: &CSIDriver) {
        self.storage.drivers.insert(name(&object.metadata), Driver::read(object));
    }

    /// A driver is gone.
    pub fn remove_csi_driver(&mut self, name: &str) {
        self.storage.drivers.remove(name);
    }

    /// How much room there is appeared or changed.
    pub fn set_csi_storage_capacity(&mut self, object: &CSIStorageCapacity) {
        let key = (object.metadata.namespace.clone().unwrap_or_default(), name(&object.metadata));
        let capacity = Capacity::read(object);
        self.storage.remove_capacity(&key);
        self.storage.of_class.entry(capacity.class.clone()).or_default().insert(key.clone());
        self.storage.capacities.insert(key, capacity);
    }

    /// How much room there is, is no longer said there.
    pub fn remove_csi_storage_capacity(&mut self, namespace: &str, name: &str) {
        self.storage.remove_capacity(&(namespace.to_owned(), name.to_owned()));
    }

    /// An attachment of a volume to a node appeared or changed.
    pub fn set_volume_attachment(&mut self, object: &VolumeAttachment) {
        let (attachment, spec) = (name(&object.metadata), &object.spec);
        let volume = spec.source.persistent_volume_name.clone().filter(|_| !spec.attacher.is_empty());
        let Some(volume) = volume else { return self.remove_volume_attachment(&attachment) };
        let storage = &mut self.storage;
        let known = storage.volumes.known().api(volume.as_str());
        let handle = known.and_then(|volume| match volume.attachable.as_ref()? {
            Attachable { handle: Handle::Volume(handle), plugin: None, .. } => Some(handle.clone()),
            _ => None,
        });
        let told = Attachment { node: spec.node_name.clone(), driver: spec.attacher.clone(), volume };
        storage.usage.set_attachment(&attachment, told, handle);
    }

    /// An attachment is gone.
    pub fn remove_volume_attachment(&mut self, name: &str) {
        self.storage.usage.remove_attachment(name);
    }
}

#[cfg(test)]
mod tests;
