//! Sees that a volume that is being deleted is there for as long as a claim is bound to it.
//!
//! That is what its status says: nobody else is asked.

use std::sync::Arc;

use client::cache::Cache;
use client::resource::Key;
use k8s_openapi::api::core::v1::PersistentVolume;

use super::protection::{hold, is_bare, is_held, release};
use crate::controller::{Controller, Moment, Watches};
use crate::plan::Plan;

const FINALIZER: &str = "kubernetes.io/pv-protection";

/// The controller.
pub struct VolumeProtection;

impl Controller for VolumeProtection {
    const NAME: &'static str = "persistentvolume-protection-controller";
    type Observed = Arc<PersistentVolume>;

    fn watches(&self) -> Watches {
        Watches::on::<PersistentVolume>()
    }

    fn observe(&self, cache: &Cache, key: &Key) -> Option<Arc<PersistentVolume>> {
        cache.get("", &key.name)
    }

    fn reconcile(&self, volume: &Arc<PersistentVolume>, _: &Moment) -> Plan {
        let mut plan = Plan::new();
        let is_bound = volume.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Bound");
        if is_held(&volume.metadata, FINALIZER) && !is_bound {
            release(&mut plan, &**volume, FINALIZER);
        } else if is_bare(&volume.metadata, FINALIZER) {
            hold(&mut plan, &**volume, FINALIZER);
        }
        plan
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{World, check_converges, nobody_else};

    fn volume(name: &str, phase: &str, finalizers: Value) -> PersistentVolume {
        let metadata = json!({"name": name, "finalizers": finalizers});
        serde_json::from_value(json!({"metadata": metadata, "spec": {}, "status": {"phase": phase}})).unwrap()
    }

    /// What there is, and by what it is held.
    fn all(world: &World<VolumeProtection>) -> Vec<String> {
        let line = |volume: Arc<PersistentVolume>| {
            let meta = &volume.metadata;
            let finalizers = meta.finalizers.as_deref().unwrap_or_default().join(",");
            format!("{} {finalizers}", meta.name.as_deref().unwrap_or_default())
        };
        world.list::<PersistentVolume>().into_iter().map(line).collect()
    }

    fn setup() -> World<VolumeProtection> {
        let mut world = World::new(VolumeProtection);
        for phase in ["Available", "Bound", "Released", "Failed", "Pending"] {
            world.add(volume(&phase.to_lowercase(), phase, json!([FINALIZER])));
            world.delete::<PersistentVolume>("", &phase.to_lowercase());
        }
        world.add(volume("others", "Available", json!(["example.com/a", FINALIZER, "example.com/b"])));
        world.delete::<PersistentVolume>("", "others");
        world.add(volume("bare", "Available", json!(null)));
        world.add(volume("foreign", "Bound", json!(["example.com/a"])));
        world.add(volume("late", "Available", json!(["example.com/a"])));
        world.delete::<PersistentVolume>("", "late");
        world.add(volume("kept", "Available", json!([FINALIZER])));
        world
    }

    #[test]
    fn what_is_bound_stays() {
        let mut world = check_converges(setup, nobody_else);
        let expected = [
            "bare kubernetes.io/pv-protection",
            "bound kubernetes.io/pv-protection",
            "foreign example.com/a,kubernetes.io/pv-protection",
            "kept kubernetes.io/pv-protection",
            "late example.com/a",
            "others example.com/a,example.com/b",
        ];
        assert_eq!(all(&world), expected);
        let released = |volume: &mut PersistentVolume| {
            volume.status.get_or_insert_default().phase = Some("Released".to_owned());
        };
        world.change::<PersistentVolume>("", "bound", released);
        world.settle();
        assert!(world.get::<PersistentVolume>("", "bound").is_none());
    }
}
