//! Sees that an attributes class that is being deleted is there for as long as a claim or a volume names it.
//!
//! As with upstream the caches are all that is asked: a claim that comes at the moment of the end may lose its class.

use std::sync::Arc;

use api::quota::claims::attributes_classes;
use client::cache::Cache;
use client::resource::{Key, Kind};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::VolumeAttributesClass;

use super::protection::{hold, is_bare, is_held, release};
use crate::controller::{Controller, Moment, Pair, Watches};
use crate::plan::Plan;

const FINALIZER: &str = "kubernetes.io/vac-protection";

/// The controller.
pub struct AttributesClassProtection;

/// A class.
pub struct Observed {
    class: Arc<VolumeAttributesClass>,
    /// Claims and volumes, if it waits for them.
    claims: Vec<Arc<PersistentVolumeClaim>>,
    volumes: Vec<Arc<PersistentVolume>>,
}

impl Controller for AttributesClassProtection {
    const NAME: &'static str = "volumeattributesclass-protection-controller";
    type Observed = Observed;

    fn watches(&self) -> Watches {
        Watches::on::<VolumeAttributesClass>()
            .mapped::<PersistentVolumeClaim>(|_, pair| {
                given_up(pair, |claim| attributes_classes(claim).into_iter().collect())
            })
            .mapped::<PersistentVolume>(|_, pair| given_up(pair, |volume| class_of(volume).into_iter().collect()))
    }

    fn observe(&self, cache: &Cache, key: &Key) -> Option<Observed> {
        let class = cache.get::<VolumeAttributesClass>("", &key.name)?;
        let waits = is_held(&class.metadata, FINALIZER);
        let (claims, volumes) = if waits { (cache.list(None), cache.list(None)) } else { (Vec::new(), Vec::new()) };
        Some(Observed { class, claims, volumes })
    }

    fn reconcile(&self, Observed { class, claims, volumes }: &Observed, _: &Moment) -> Plan {
        let mut plan = Plan::new();
        if is_bare(&class.metadata, FINALIZER) {
            hold(&mut plan, &**class, FINALIZER);
        } else if is_held(&class.metadata, FINALIZER) {
            let name = class.metadata.name.as_deref().unwrap_or_default();
            let is_used = claims.iter().any(|claim| attributes_classes(claim).contains(name))
                || volumes.iter().any(|volume| class_of(volume) == Some(name));
            if !is_used {
                release(&mut plan, &**class, FINALIZER);
            }
        }
        plan
    }
}

/// The class of a volume, if it has one.
fn class_of(volume: &PersistentVolume) -> Option<&str> {
    let name = volume.spec.as_ref().and_then(|spec| spec.volume_attributes_class_name.as_deref());
    name.filter(|name| !name.is_empty())
}

/// The classes that an object has named and names no longer.
fn given_up<K: Kind>(pair: &Pair<K>, names: impl Fn(&K) -> Vec<&str>) -> Vec<Key> {
    let Some(old) = &pair.old else { return Vec::new() };
    let still = pair.new.as_ref().map(|new| names(new)).unwrap_or_default();
    let gone = names(old).into_iter().filter(|name| !still.contains(name));
    gone.map(|name| Key::of::<VolumeAttributesClass>("", name)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{World, check_converges, nobody_else};

    type Classes = World<AttributesClassProtection>;

    fn going(world: &mut Classes, name: &str) {
        let class = json!({"metadata": {"name": name, "finalizers": [FINALIZER]}, "driverName": "d"});
        world.add(serde_json::from_value::<VolumeAttributesClass>(class).unwrap());
        world.delete::<VolumeAttributesClass>("", name);
    }

    fn claim(name: &str, wanted: Value, current: Value, target: Value) -> PersistentVolumeClaim {
        let modifying = json!({"status": "InProgress", "targetVolumeAttributesClassName": target});
        let status = json!({"currentVolumeAttributesClassName": current, "modifyVolumeStatus": modifying});
        let spec = json!({"volumeAttributesClassName": wanted});
        let metadata = json!({"name": name, "namespace": "a"});
        serde_json::from_value(json!({"metadata": metadata, "spec": spec, "status": status})).unwrap()
    }

    fn setup() -> Classes {
        let mut world = World::new(AttributesClassProtection);
        let volume = json!({"metadata": {"name": "disk"}, "spec": {"volumeAttributesClassName": "of-volume"}});
        world.add(serde_json::from_value::<PersistentVolume>(volume).unwrap());
        world.add(claim("data", json!("wanted"), json!("current"), json!("target")));
        world.add(claim("none", json!(""), json!(null), json!(null)));
        for name in ["current", "free", "of-volume", "target", "wanted"] {
            going(&mut world, name);
        }
        let bare = json!({"metadata": {"name": "bare"}, "driverName": "d"});
        world.add(serde_json::from_value::<VolumeAttributesClass>(bare).unwrap());
        world
    }

    fn names(world: &Classes) -> Vec<String> {
        let classes = world.list::<VolumeAttributesClass>();
        classes.iter().map(|class| class.metadata.name.clone().unwrap_or_default()).collect()
    }

    #[test]
    fn what_is_named_stays() {
        let mut world = check_converges(setup, nobody_else);
        assert_eq!(names(&world), ["bare", "current", "of-volume", "target", "wanted"]);
        let bare = world.get::<VolumeAttributesClass>("", "bare").unwrap();
        assert_eq!(bare.metadata.finalizers, Some(vec![FINALIZER.to_owned()]));

        let arrived = |claim: &mut PersistentVolumeClaim| {
            let status = claim.status.get_or_insert_default();
            status.current_volume_attributes_class_name = Some("target".to_owned());
            status.modify_volume_status = None;
        };
        world.change::<PersistentVolumeClaim>("a", "data", arrived);
        world.settle();
        assert_eq!(names(&world), ["bare", "of-volume", "target", "wanted"], "`target` is what it has");
        world.remove::<PersistentVolumeClaim>("a", "data");
        world.settle();
        assert_eq!(names(&world), ["bare", "of-volume"]);
        world.remove::<PersistentVolume>("", "disk");
        world.settle();
        assert_eq!(names(&world), ["bare"]);
    }
}
