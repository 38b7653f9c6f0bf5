//! What scheduling sees of a pod's volumes. Most pods have none that it sees.

use k8s_openapi::api::core::v1::{Pod, Volume};

use super::storage::{Attachable, in_tree};

/// The name of a claim.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClaimKey {
    /// Its namespace.
    pub namespace: String,
    /// Its name in the namespace.
    pub name: String,
}

impl ClaimKey {
    /// The claim of that name.
    #[must_use]
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.to_owned(), name: name.to_owned() }
    }
}

/// A claim that a pod needs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PodClaim {
    /// Its name.
    pub key: ClaimKey,
    /// Whether it is made for the pod, and must be the pod's own.
    pub ephemeral: bool,
}

/// A disk that a pod names itself, and that pods on one node cannot share as they like.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Disk {
    /// A persistent disk of Google's.
    GcePersistentDisk {
        /// Its name.
        name: String,
        /// Whether it is only read.
        read_only: bool,
    },
    /// A block store of Amazon's.
    AwsElasticBlockStore {
        /// Its identity.
        id: String,
    },
    /// A disk on an iSCSI target.
    Iscsi {
        /// The target's name.
        iqn: String,
        /// Whether it is only read.
        read_only: bool,
    },
    /// A block device of Ceph's.
    Rbd {
        /// The monitors.
        monitors: Vec<String>,
        /// The pool.
        pool: String,
        /// The image.
        image: String,
        /// Whether it is only read.
        read_only: bool,
    },
}

impl Disk {
    fn read(volume: &Volume) -> Option<Disk> {
        if let Some(disk) = &volume.gce_persistent_disk {
            let read_only = disk.read_only.unwrap_or_default();
            return Some(Disk::GcePersistentDisk { name: disk.pd_name.clone(), read_only });
        }
        if let Some(disk) = &volume.aws_elastic_block_store {
            return Some(Disk::AwsElasticBlockStore { id: disk.volume_id.clone() });
        }
        if let Some(disk) = &volume.iscsi {
            return Some(Disk::Iscsi { iqn: disk.iqn.clone(), read_only: disk.read_only.unwrap_or_default() });
        }
        volume.rbd.as_ref().map(|disk| Disk::Rbd {
            monitors: disk.monitors.clone(),
            // What the API server fills in.
            pool: disk.pool.clone().unwrap_or_else(|| "rbd".to_owned()),
            image: disk.image.clone(),
            read_only: disk.read_only.unwrap_or_default(),
        })
    }

    /// Whether two pods on a node cannot have one each.
    #[must_use]
    pub fn conflicts(&self, other: &Disk) -> bool {
        match (self, other) {
            (
                Disk::GcePersistentDisk { name, read_only },
                Disk::GcePersistentDisk { name: other, read_only: other_read_only },
            ) => name == other && !(*read_only && *other_read_only),
            (Disk::AwsElasticBlockStore { id }, Disk::AwsElasticBlockStore { id: other }) => id == other,
            (Disk::Iscsi { iqn, read_only }, Disk::Iscsi { iqn: other, read_only: other_read_only }) => {
                iqn == other && !(*read_only && *other_read_only)
            }
            (
                Disk::Rbd { monitors, pool, image, read_only },
                Disk::Rbd { monitors: others, pool: other_pool, image: other_image, read_only: other_read_only },
            ) => {
                let same = pool == other_pool && image == other_image;
                let common = || monitors.iter().any(|monitor| others.contains(monitor));
                same && !(*read_only && *other_read_only) && common()
            }
            _ => false,
        }
    }
}

/// The pod that claims must be made for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Owner {
    /// Its name.
    pub name: String,
    /// Its identity.
    pub uid: String,
}

/// What scheduling sees of a pod's volumes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PodVolumes {
    /// The claims that it needs, each once, in the order in which it names them.
    pub claims: Vec<PodClaim>,
    /// The pod itself, if any of them is made for it: such a pod is like no other.
    pub owner: Option<Owner>,
    /// The disks that it names itself.
    pub disks: Vec<Disk>,
    /// Other volumes that it names itself and that CSI drivers attach.
    pub in_tree: Vec<Attachable>,
}

impl PodVolumes {
    /// Reads a pod's volumes; none if scheduling sees nothing of them.
    #[must_use]
    pub fn read(pod: &Pod) -> Option<Box<PodVolumes>> {
        let volumes = pod.spec.as_ref()?.volumes.as_deref()?;
        let mut seen = PodVolumes { claims: Vec::new(), owner: None, disks: Vec::new(), in_tree: Vec::new() };
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        for volume in volumes {
            if let Some((name, ephemeral)) = claim_name(pod, volume) {
                let claim = PodClaim { key: ClaimKey { namespace: namespace.to_owned(), name }, ephemeral };
                if !seen.claims.contains(&claim) {
                    seen.claims.push(claim);
                }
                continue;
            }
            seen.disks.extend(Disk::read(volume));
            seen.in_tree.extend(in_tree::of_pod(volume));
        }
        if seen.claims.iter().any(|claim| claim.ephemeral) {
            let text = |text: &Option<String>| text.clone().unwrap_or_default();
            seen.owner = Some(Owner { name: text(&pod.metadata.name), uid: text(&pod.metadata.uid) });
        }
        let nothing = seen.claims.is_empty() && seen.disks.is_empty() && seen.in_tree.is_empty();
        (!nothing).then(|| Box::new(seen))
    }
}

/// The name of the claim that a volume of a pod is, and whether it is made for the pod.
pub(crate) fn claim_name(pod: &Pod, volume: &Volume) -> Option<(String, bool)> {
    if let Some(claim) = &volume.persistent_volume_claim {
        return Some((claim.claim_name.clone(), false));
    }
    volume.ephemeral.as_ref()?;
    let pod = pod.metadata.name.as_deref().unwrap_or_default();
    Some((format!("{pod}-{}", volume.name), true))
}
