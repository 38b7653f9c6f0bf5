//! Which volumes are attached to which nodes, or will be, by the drivers that attach them; kept by event.
//!
//! A volume that several pods of a node use counts once. A pod that comes or goes costs one step for each of its claims;
//! a claim or a volume that changes, one for each node where it is used.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::snapshot::pod_volumes::{ClaimKey, PodVolumes};

/// How a driver calls a volume.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Handle {
    /// By this name.
    Volume(String),
    /// Not yet: it is still to be made for this claim.
    Claim(ClaimKey),
}

/// A volume that a driver attaches to nodes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Attachable {
    /// The driver.
    pub driver: String,
    /// The volume.
    pub handle: Handle,
    /// The plugin of which it is, if it is of one that was migrated to the driver.
    pub plugin: Option<&'static str>,
}

/// On whose account a volume is at a node, and how many of each there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Reasons {
    pods: u32,
    /// Pods that name it as one of a migrated plugin.
    migrated: u32,
    attachments: u32,
}

impl Reasons {
    /// Whether it counts wherever it is, and whether it counts only where the plugin is migrated.
    fn counts(self) -> (bool, bool) {
        let always = self.pods > 0 || self.attachments > 0;
        (always, !always && self.migrated > 0)
    }
}

/// Who uses a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum User {
    /// A pod.
    Pod,
    /// An attachment that the API knows of.
    Attachment,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct OfDriver {
    volumes: HashMap<Handle, Reasons>,
    always: u32,
    migrated: u32,
}

/// The volumes at a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeVolumes {
    drivers: HashMap<String, OfDriver>,
}

impl NodeVolumes {
    /// How many volumes of the driver there are. Those of the plugin that was migrated to the driver count if `migrated`.
    #[must_use]
    pub fn count(&self, driver: &str, migrated: bool) -> u32 {
        self.drivers.get(driver).map_or(0, |of| of.always + if migrated { of.migrated } else { 0 })
    }

    /// Whether pods use the volume.
    #[must_use]
    pub fn is_used(&self, volume: &Attachable, migrated: bool) -> bool {
        let reasons = self.drivers.get(&volume.driver).and_then(|of| of.volumes.get(&volume.handle));
        reasons.is_some_and(|reasons| reasons.pods > 0 || migrated && reasons.migrated > 0)
    }

    /// So many more users use the volume, or fewer.
    pub fn change(&mut self, volume: &Attachable, user: User, by: i32) {
        let of = self.drivers.entry(volume.driver.clone()).or_default();
        let reasons = of.volumes.entry(volume.handle.clone()).or_default();
        let before = reasons.counts();
        let count = match (user, volume.plugin) {
            (User::Attachment, _) => &mut reasons.attachments,
            (User::Pod, Some(_)) => &mut reasons.migrated,
            (User::Pod, None) => &mut reasons.pods,
        };
        *count = count.saturating_add_signed(by);
        let after = reasons.counts();
        if *reasons == Reasons::default() {
            of.volumes.remove(&volume.handle);
        }
        let shift = |total: &mut u32, before: bool, after: bool| *total = *total + u32::from(after) - u32::from(before);
        shift(&mut of.always, before.0, after.0);
        shift(&mut of.migrated, before.1, after.1);
        if of.volumes.is_empty() {
            self.drivers.remove(&volume.driver);
        }
    }
}

/// A claim that pods on nodes use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct UsedClaim {
    /// By how many pods, by the name of the node.
    nodes: BTreeMap<String, u32>,
    /// What is attached for it.
    volume: Option<Attachable>,
}

/// An attachment that the API knows of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Attachment {
    pub(super) node: String,
    pub(super) driver: String,
    /// The name of the persistent volume.
    pub(super) volume: String,
}

/// Which volumes are used where.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Usage {
    claims: HashMap<ClaimKey, UsedClaim>,
    /// By name, with what is attached, if that is known.
    attachments: HashMap<String, (Attachment, Option<Attachable>)>,
    /// The names of the attachments of a volume.
    by_volume: HashMap<String, BTreeSet<String>>,
    nodes: HashMap<String, NodeVolumes>,
}

impl Usage {
    /// The volumes at the node of that name, if there are any.
    pub(super) fn node(&self, node: &str) -> Option<&NodeVolumes> {
        self.nodes.get(node)
    }

    /// How many pods on nodes use the claim.
    pub(super) fn users(&self, claim: &ClaimKey) -> u32 {
        self.claims.get(claim).map_or(0, |used| used.nodes.values().sum())
    }

    /// The claims that are used.
    pub(super) fn claims(&self) -> impl Iterator<Item = &ClaimKey> {
        self.claims.keys()
    }

    fn change(&mut self, node: &str, volume: &Attachable, user: User, by: i32) {
        let volumes = self.nodes.entry(node.to_owned()).or_default();
        volumes.change(volume, user, by);
        if volumes.drivers.is_empty() {
            self.nodes.remove(node);
        }
    }

    /// A pod comes to the node. `resolve` tells what is attached for a claim.
    pub(super) fn add_pod(
        &mut self,
        volumes: &PodVolumes,
        node: &str,
        resolve: impl Fn(&ClaimKey) -> Option<Attachable>,
    ) {
        for claim in &volumes.claims {
            let used = self
                .claims
                .entry(claim.key.clone())
                .or_insert_with(|| UsedClaim { nodes: BTreeMap::new(), volume: resolve(&claim.key) });
            *used.nodes.entry(node.to_owned()).or_default() += 1;
            if let Some(volume) = used.volume.clone() {
                self.change(node, &volume, User::Pod, 1);
            }
        }
        for volume in &volumes.in_tree {
            self.change(node, volume, User::Pod, 1);
        }
    }

    /// A pod leaves the node.
    pub(super) fn remove_pod(&mut self, volumes: &PodVolumes, node: &str) {
        for claim in &volumes.claims {
            let Some(used) = self.claims.get_mut(&claim.key) else { continue };
            let Some(pods) = used.nodes.get_mut(node) else { continue };
            *pods -= 1;
            if *pods == 0 {
                used.nodes.remove(node);
            }
            let volume = used.volume.clone();
            if used.nodes.is_empty() {
                self.claims.remove(&claim.key);
            }
            if let Some(volume) = volume {
                self.change(node, &volume, User::Pod, -1);
            }
        }
        for volume in &volumes.in_tree {
            self.change(node, volume, User::Pod, -1);
        }
    }

    /// This is what is attached for the claim from now on.
    pub(super) fn set_claim(&mut self, claim: &ClaimKey, resolve: impl Fn(&ClaimKey) -> Option<Attachable>) {
        let Some(used) = self.claims.get_mut(claim) else { return };
        let volume = resolve(claim);
        if used.volume == volume {
            return;
        }
        let nodes = used.nodes.clone();
        let before = std::mem::replace(&mut used.volume, volume.clone());
        for (node, pods) in &nodes {
            let pods = i32::try_from(*pods).unwrap_or(i32::MAX);
            if let Some(before) = &before {
                self.change(node, before, User::Pod, -pods);
            }
            if let Some(volume) = &volume {
                self.change(node, volume, User::Pod, pods);
            }
        }
    }

    /// An attachment appeared or changed. `handle` is how the driver calls the volume, if that is known.
    pub(super) fn set_attachment(&mut self, name: &str, attachment: Attachment, handle: Option<String>) {
        self.remove_attachment(name);
        let volume = handle.map(|handle| attached(&attachment, handle));
        if let Some(volume) = &volume {
            self.change(&attachment.node, volume, User::Attachment, 1);
        }
        self.by_volume.entry(attachment.volume.clone()).or_default().insert(name.to_owned());
        self.attachments.insert(name.to_owned(), (attachment, volume));
    }

    /// An attachment is gone.
    pub(super) fn remove_attachment(&mut self, name: &str) {
        let Some((attachment, volume)) = self.attachments.remove(name) else { return };
        if let Some(volume) = volume {
            self.change(&attachment.node, &volume, User::Attachment, -1);
        }
        if let Some(names) = self.by_volume.get_mut(&attachment.volume) {
            names.remove(name);
            if names.is_empty() {
                self.by_volume.remove(&attachment.volume);
            }
        }
    }

    /// From now on, the driver calls the persistent volume so.
    pub(super) fn set_handle(&mut self, volume: &str, handle: Option<&str>) {
        let names = self.by_volume.get(volume).cloned().unwrap_or_default();
        for name in names {
            let Some((attachment, _)) = self.attachments.get(&name) else { continue };
            let attachment = attachment.clone();
            self.set_attachment(&name, attachment, handle.map(str::to_owned));
        }
    }
}

fn attached(attachment: &Attachment, handle: String) -> Attachable {
    Attachable { driver: attachment.driver.clone(), handle: Handle::Volume(handle), plugin: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_counts_once_on_whatever_account() {
        let volume = |handle: &str, plugin| Attachable {
            driver: "d".to_owned(),
            handle: Handle::Volume(handle.to_owned()),
            plugin,
        };
        let (own, old) = (volume("v", None), volume("v", Some("p")));
        let check = |users: &[(&Attachable, User)], expected: (u32, u32), used: (bool, bool)| {
            let mut node = NodeVolumes::default();
            users.iter().for_each(|(volume, user)| node.change(volume, *user, 1));
            assert_eq!((node.count("d", false), node.count("d", true)), expected, "{users:?}");
            assert_eq!((node.is_used(&own, false), node.is_used(&own, true)), used, "{users:?}");
            users.iter().for_each(|(volume, user)| node.change(volume, *user, -1));
            assert_eq!(node, NodeVolumes::default());
        };
        check(&[], (0, 0), (false, false));
        check(&[(&own, User::Pod)], (1, 1), (true, true));
        check(&[(&own, User::Pod), (&own, User::Pod)], (1, 1), (true, true));
        check(&[(&old, User::Pod)], (0, 1), (false, true));
        check(&[(&old, User::Pod), (&own, User::Pod)], (1, 1), (true, true));
        check(&[(&own, User::Attachment)], (1, 1), (false, false));
        check(&[(&own, User::Attachment), (&old, User::Pod)], (1, 1), (false, true));
        check(&[(&own, User::Pod), (&volume("w", None), User::Pod)], (2, 2), (true, true));
    }
}
