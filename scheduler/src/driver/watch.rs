//! What the scheduler watches, and what the engine is told of each kind.

use std::sync::Arc;
use std::time::Duration;

use client::cache::{Change, Keep};
use client::resource::{Kind, Resource, as_kind};
use futures::FutureExt;
use k8s_openapi::api::apps::v1::{ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::{Namespace, Node, Pod, ReplicationController, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;

use crate::engine::Engine;
use crate::queue::Object;

/// Pods that have ended take nothing of their nodes.
const NOT_ENDED: &str = "status.phase!=Succeeded,status.phase!=Failed";

type Apply = Box<dyn Fn(&mut Engine, &Change, Duration) + Send + Sync>;

/// A resource that the scheduler watches.
pub(super) struct Watched {
    pub(super) resource: Resource,
    /// Keeps it in a cache.
    pub(super) keep: Keep,
    /// Tells the engine of a change.
    pub(super) apply: Apply,
}

/// Tells of an object as it was and as it is.
type Tell<K> = fn(&mut Engine, Option<&Arc<K>>, Option<&Arc<K>>, Duration);

fn watched<K: Kind>(tell: Tell<K>) -> Watched {
    watching(move |engine, old: Option<Arc<K>>, new, now| tell(engine, old.as_ref(), new.as_ref(), now))
}

/// Something of storage, which is told of as what `wrap` makes of it.
fn stored<K: Kind>(wrap: fn(Arc<K>) -> Object) -> Watched {
    watching(move |engine, old: Option<Arc<K>>, new, now| engine.storage(old.map(wrap), new.map(wrap), now))
}

fn watching<K: Kind>(
    tell: impl Fn(&mut Engine, Option<Arc<K>>, Option<Arc<K>>, Duration) + Send + Sync + 'static,
) -> Watched {
    Watched {
        resource: Resource::of::<K>(),
        keep: |list_watch| list_watch.run::<K>().boxed(),
        apply: Box::new(move |engine, change, now| {
            let read = |object: &Option<_>| object.as_ref().and_then(as_kind::<K>);
            tell(engine, read(&change.old), read(&change.new), now);
        }),
    }
}

/// Everything that the scheduler watches.
pub(super) fn everything() -> Vec<Watched> {
    let pods = watched::<Pod>(Engine::pod);
    vec![
        Watched { keep: |list_watch| list_watch.selecting(NOT_ENDED).run::<Pod>().boxed(), ..pods },
        watched::<Node>(Engine::node),
        watched::<Namespace>(|engine, old, new, _| engine.namespace(plain(old), plain(new))),
        watched::<PodDisruptionBudget>(|engine, old, new, _| engine.budget(plain(old), plain(new))),
        watched::<Service>(|engine, old, new, _| engine.service(plain(old), plain(new))),
        watched::<ReplicationController>(|engine, old, new, _| engine.replication_controller(plain(old), plain(new))),
        watched::<ReplicaSet>(|engine, old, new, _| engine.replica_set(plain(old), plain(new))),
        watched::<StatefulSet>(|engine, old, new, _| engine.stateful_set(plain(old), plain(new))),
        stored(Object::PersistentVolume),
        stored(Object::PersistentVolumeClaim),
        stored(Object::StorageClass),
        stored(Object::CsiNode),
        stored(Object::CsiDriver),
        stored(Object::CsiStorageCapacity),
        stored(Object::VolumeAttachment),
    ]
}

fn plain<K>(object: Option<&Arc<K>>) -> Option<&K> {
    object.map(|object| &**object)
}
