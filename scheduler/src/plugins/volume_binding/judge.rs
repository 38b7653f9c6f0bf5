//! What is known of a pod's claims before any node is looked at, and which volumes they get on a node.

use std::sync::Arc;

use super::reach::Reach;
use crate::cycle::{Filter, Rejection};
use crate::plugins::volume_claims::no_claim;
use crate::plugins::volume_zone::WAIT_FOR_FIRST_CONSUMER;
use crate::snapshot::storage::{Capacity, Claim, Class, Volume};
use crate::snapshot::{NodeIndex, PodClaim, PodVolumes, Snapshot, Storage};

const NODE_CONFLICT: u32 = 0;
const BIND_CONFLICT: u32 = 1;
const NOT_ENOUGH_SPACE: u32 = 2;
const NO_VOLUME: u32 = 3;

/// What a reason of a filter means.
pub(super) fn reason(number: u32) -> &'static str {
    match number {
        NODE_CONFLICT => "node(s) didn't match PersistentVolume's node affinity",
        BIND_CONFLICT => "node(s) didn't find available persistent volumes to bind",
        NOT_ENOUGH_SPACE => "node(s) did not have enough free storage",
        _ => "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)",
    }
}

/// What a claim gets on a node.
#[derive(Clone, Copy)]
pub(super) enum Found<'a> {
    /// A volume that there is.
    Static(&'a Arc<Claim>, &'a Arc<Volume>),
    /// A volume that is made for it, out of this room, if that is known.
    Dynamic(&'a Arc<Claim>, Option<&'a Capacity>),
}

/// A claim that gets its volume with the node.
struct Wanted<'a> {
    claim: &'a Arc<Claim>,
    /// Volumes that are kept for it already.
    kept: Vec<&'a Arc<Volume>>,
    /// Volumes that it can have, the smallest first.
    free: Reach<'a, &'a Arc<Volume>>,
    class: &'a Class,
    /// Where there is room enough, if that is known.
    room: Option<Reach<'a, &'a Capacity>>,
}

/// Says which nodes the pod's volumes can be used on.
pub(super) struct Judge<'a> {
    snapshot: &'a Snapshot,
    /// The volumes of claims that are bound; none where there is no such volume.
    bound: Vec<Option<&'a Arc<Volume>>>,
    /// Those for which a node was selected already, then the others, the least first.
    wanted: Vec<Wanted<'a>>,
}

impl<'a> Judge<'a> {
    /// Looks at the claims of a pod; nothing if it has none.
    ///
    /// # Errors
    /// What is wrong with them, in upstream's words.
    pub(super) fn new(snapshot: &'a Snapshot, volumes: &'a PodVolumes) -> Result<Option<Judge<'a>>, String> {
        if volumes.claims.is_empty() {
            return Ok(None);
        }
        let storage = snapshot.storage();
        let claims: Result<Vec<_>, String> =
            volumes.claims.iter().map(|claim| usable(storage, volumes, claim)).collect();
        let (bound, unbound): (Vec<_>, Vec<_>) = claims?.into_iter().partition(|claim| claim.bound);
        let mut wanted = Vec::new();
        let mut immediate = false;
        for claim in unbound {
            match delayed(storage, claim)? {
                Some(class) => wanted.push(Wanted::new(storage, claim, class)),
                None => immediate = true,
            }
        }
        if immediate {
            return Err("pod has unbound immediate PersistentVolumeClaims".to_owned());
        }
        wanted.sort_by(|a, b| {
            (&a.claim.selected_node.is_none(), &a.claim.request)
                .cmp(&(&b.claim.selected_node.is_none(), &b.claim.request))
        });
        let bound = bound.into_iter().map(|claim| storage.volume(&claim.volume)).collect();
        Ok(Some(Judge { snapshot, bound, wanted }))
    }

    /// Whether any claim gets its volume with the node.
    pub(super) fn wants_any(&self) -> bool {
        !self.wanted.is_empty()
    }

    /// Tells `found` what each claim gets on the node. If that is not enough, it was told of some claims only.
    pub(super) fn decide(&self, node: NodeIndex, mut found: impl FnMut(Found<'a>)) -> Result<(), Rejection> {
        let bound = self.bound(node);
        let wanted = self.wanted(node, &mut found);
        match (bound, wanted) {
            (Ok(()), Ok(())) => Ok(()),
            (bound, wanted) => {
                let bit = |result: Result<(), u32>| result.map_or_else(|reason| 1 << reason, |()| 0);
                Err(Rejection { reasons: bit(bound) | bit(wanted), unresolvable: true })
            }
        }
    }

    fn bound(&self, node: NodeIndex) -> Result<(), u32> {
        let node = self.snapshot.node(node);
        let csi = || self.snapshot.storage().csi_node(&node.name);
        for volume in &self.bound {
            let volume = volume.ok_or(NO_VOLUME)?;
            if !volume.is_reached_through(&node.labels, csi()) {
                return Err(NODE_CONFLICT);
            }
        }
        Ok(())
    }

    fn wanted(&self, node: NodeIndex, found: &mut impl FnMut(Found<'a>)) -> Result<(), u32> {
        let name = &self.snapshot.node(node).name;
        let elsewhere = |wanted: &Wanted<'_>| wanted.claim.selected_node.as_ref().is_some_and(|other| other != name);
        if self.wanted.iter().any(elsewhere) {
            return Err(BIND_CONFLICT);
        }
        let labels = &self.snapshot.node(node).labels;
        let mut chosen: Vec<&str> = Vec::new();
        for (position, wanted) in self.wanted.iter().enumerate() {
            let fits = |volume: &Volume| volume.is_reached(labels) && !chosen.contains(&volume.name.as_str());
            let volume = match wanted.kept.iter().find(|volume| !chosen.contains(&volume.name.as_str())) {
                _ if wanted.claim.selected_node.is_some() => None,
                // What is kept for it is what it gets, or nothing is.
                Some(kept) => Some(*kept).filter(|volume| fits(volume)),
                None => wanted.free.first(labels, |volume| fits(volume)),
            };
            if let Some(volume) = volume {
                // The last need not be remembered: nobody comes after it.
                if position + 1 < self.wanted.len() {
                    chosen.push(&volume.name);
                }
                found(Found::Static(wanted.claim, volume));
                continue;
            }
            if !wanted.class.provisions() || !wanted.class.is_allowed(labels) {
                return Err(BIND_CONFLICT);
            }
            let room = match &wanted.room {
                None => None,
                Some(room) => Some(room.first(labels, |room| room.is_reached(labels)).ok_or(NOT_ENOUGH_SPACE)?),
            };
            found(Found::Dynamic(wanted.claim, room));
        }
        Ok(())
    }
}

impl Filter for Judge<'_> {
    fn filter(&self, node: NodeIndex) -> Result<(), Rejection> {
        self.decide(node, |_| {})
    }

    fn reason(&self, number: u32) -> String {
        reason(number).to_owned()
    }
}

impl<'a> Wanted<'a> {
    fn new(storage: &'a Storage, claim: &'a Arc<Claim>, class: &'a Class) -> Wanted<'a> {
        let of = |volume: &&Arc<Volume>| volume.class == claim.class && volume.is_of(claim) && volume.suits(claim);
        let free = storage.free_volumes(claim).filter(|volume| volume.can_be_of(claim));
        let tells = storage.driver(&class.provisioner).is_some_and(|driver| driver.tells_capacity);
        let room = claim.request.as_ref().filter(|_| tells).map(|request| {
            let bytes = request.value();
            let enough = storage.capacities(&class.name).filter(|room| room.suffices(bytes));
            Reach::new(enough, |room: &Capacity| room.pin.as_ref())
        });
        Wanted {
            claim,
            kept: storage.kept_volumes(&claim.key).filter(of).collect(),
            free: Reach::new(free, |volume: &Arc<Volume>| volume.pin.as_ref()),
            class,
            room,
        }
    }
}

/// The claim, if the pod can use it.
fn usable<'a>(storage: &'a Storage, volumes: &PodVolumes, wanted: &PodClaim) -> Result<&'a Arc<Claim>, String> {
    let name = &wanted.key.name;
    let claim = storage.claim(&wanted.key).ok_or_else(|| {
        if wanted.ephemeral {
            format!("waiting for ephemeral volume controller to create the persistentvolumeclaim {name:?}")
        } else {
            no_claim(name)
        }
    })?;
    if claim.lost {
        let volume = &claim.volume;
        return Err(format!("persistentvolumeclaim {name:?} bound to non-existent persistentvolume {volume:?}"));
    }
    if claim.deleting {
        return Err(format!("persistentvolumeclaim {name:?} is being deleted"));
    }
    if wanted.ephemeral {
        claim.is_made_for(volumes)?;
    }
    Ok(claim)
}

/// The class of a claim that is not bound, if it gets its volume with a node.
fn delayed<'a>(storage: &'a Storage, claim: &Claim) -> Result<Option<&'a Class>, String> {
    let name = &claim.class;
    let Some(class) = storage.class(name).filter(|_| !name.is_empty()) else { return Ok(None) };
    match class.mode.as_deref() {
        None => Err(format!("VolumeBindingMode not set for StorageClass {name:?}")),
        Some(WAIT_FOR_FIRST_CONSUMER) if claim.volume.is_empty() => Ok(Some(class)),
        Some(_) => Ok(None),
    }
}
