//! Sees that a claim that is being deleted is there for as long as a pod uses it.
//!
//! A cache may not show a pod yet that came before the claim's end. So before a claim is let go the server says that nobody uses
//! it, and a pod that comes to a node later is not started, since its claim is being deleted.

use std::sync::Arc;

use client::cache::Cache;
use client::resource::Key;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};

use super::protection::{hold, is_bare, is_held, release};
use crate::claims::{is_used_by, used_by};
use crate::controller::{Controller, Moment, Pair, Watches};
use crate::plan::{Effect, Plan, Target};
use crate::pods::controller_of;

const FINALIZER: &str = "kubernetes.io/pvc-protection";

/// The controller.
pub struct ClaimProtection;

/// A claim.
pub struct Observed {
    claim: Arc<PersistentVolumeClaim>,
    /// The pods of its namespace, if it waits for them.
    pods: Vec<Arc<Pod>>,
}

impl Controller for ClaimProtection {
    const NAME: &'static str = "persistentvolumeclaim-protection-controller";
    type Observed = Observed;

    fn watches(&self) -> Watches {
        Watches::on::<PersistentVolumeClaim>().mapped::<Pod>(|_, pair| given_up(pair))
    }

    fn observe(&self, cache: &Cache, key: &Key) -> Option<Observed> {
        let claim = cache.get::<PersistentVolumeClaim>(&key.namespace, &key.name)?;
        let waits = is_held(&claim.metadata, FINALIZER);
        let pods = if waits { cache.list(Some(&key.namespace)) } else { Vec::new() };
        Some(Observed { claim, pods })
    }

    fn reconcile(&self, Observed { claim, pods }: &Observed, _: &Moment) -> Plan {
        let mut plan = Plan::new();
        let meta = &claim.metadata;
        if is_bare(meta, FINALIZER) {
            hold(&mut plan, &**claim, FINALIZER);
        } else if is_held(meta, FINALIZER) {
            let name = meta.name.as_deref().unwrap_or_default();
            let controller = controller_of(meta).map(|owner| owner.uid.clone()).unwrap_or_default();
            if !pods.iter().any(|pod| is_used_by(name, &controller, pod)) {
                plan.act(Target::of(&**claim), Effect::ConfirmUnused { controller });
                release(&mut plan, &**claim, FINALIZER);
            }
        }
        plan
    }
}

/// The claims that a pod has used and uses no longer. Another pod may have come by its name.
fn given_up(pair: &Pair<Pod>) -> Vec<Key> {
    let Some(old) = &pair.old else { return Vec::new() };
    let same = pair.new.as_ref().filter(|new| new.metadata.uid == old.metadata.uid);
    let still = same.map(|new| used_by(new)).unwrap_or_default();
    let namespace = old.metadata.namespace.as_deref().unwrap_or_default();
    let gone = used_by(old).into_iter().filter(|claim| !still.contains(claim));
    gone.map(|claim| Key::of::<PersistentVolumeClaim>(namespace, &claim)).collect()
}

#[cfg(test)]
mod tests;
