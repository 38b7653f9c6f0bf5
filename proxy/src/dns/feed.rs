//! Where the names of the cluster come from: a cache of its Services, EndpointSlices and Namespaces, which others in the
//! process may read as well.
//!
//! What the cache forgets because the API server is away it does not tell, so the names stay as they were known last.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use client::cache::{Cache, Change, ListWatch, Subscription};
use client::resource::{AnyObject, Kind, Resource, as_kind};
use k8s_openapi::api::core::v1::{Namespace, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;

use super::names::Names;
use super::serving::Published;

/// Tells the names of a cluster of every change, until it is dropped.
#[must_use = "the names stay as they are when it is dropped"]
pub struct Feed {
    _subscriptions: [Subscription; 3],
}

/// Keeps in `cache` what the names are made of. Runs until it is dropped. Not to be called if somebody else in the process
/// keeps the same resources there.
pub async fn keep(client: kube::Client, cache: Cache) {
    let watch = |resource| ListWatch::new(client.clone(), cache.clone(), resource);
    tokio::join!(
        watch(Resource::of::<Service>()).run::<Service>(),
        watch(Resource::of::<EndpointSlice>()).run::<EndpointSlice>(),
        watch(Resource::of::<Namespace>()).run::<Namespace>(),
    );
}

/// Keeps `names` as `cache` is, until what is returned is dropped. When all has been listed is for [`complete`] to say.
pub fn follow(cache: &Cache, names: &Arc<Published>) -> Feed {
    Feed {
        _subscriptions: [
            subscribe(cache, names, Names::put_service, Names::remove_service),
            subscribe(cache, names, Names::put_slice, Names::remove_slice),
            subscribe(cache, names, Names::put_namespace, |names, _, name| names.remove_namespace(name)),
        ],
    }
}

/// Waits until `cache` has listed all that names are made of, and notes it in `names`.
pub async fn complete(cache: &Cache, names: &Published) {
    let (services, slices) = (Resource::of::<Service>(), Resource::of::<EndpointSlice>());
    let namespaces = Resource::of::<Namespace>();
    tokio::join!(cache.synced(&services), cache.synced(&slices), cache.synced(&namespaces));
    names.change(Names::set_complete);
}

fn subscribe<K: Kind>(
    cache: &Cache,
    names: &Arc<Published>,
    put: fn(&mut Names, &K),
    remove: fn(&mut Names, &str, &str),
) -> Subscription {
    let names = Arc::clone(names);
    cache.subscribe(&Resource::of::<K>(), move |change: &Change| {
        let serial = now();
        names.change(|names| {
            names.set_serial(serial);
            match (&change.new, &change.old) {
                (Some(new), _) => {
                    if let Some(new) = as_kind::<K>(new) {
                        put(names, &new);
                    }
                }
                (None, Some(old)) => with_name(old, |namespace, name| remove(names, namespace, name)),
                (None, None) => {}
            }
        });
    })
}

fn with_name(object: &AnyObject, then: impl FnOnce(&str, &str)) {
    let meta = object.meta();
    then(meta.namespace.as_deref().unwrap_or_default(), meta.name.as_deref().unwrap_or_default());
}

/// The time of a change as a serial: seconds since 1970, which go round like serials do.
fn now() -> u32 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (since.as_secs() & u64::from(u32::MAX)) as u32
}
