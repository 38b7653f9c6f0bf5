//! What the server serves, and the metadata of all of it for controllers that watch everything.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use client::cache::{ListWatch, Served};
use client::queue::Backoff;
use client::resource::Resource;
use kube::Client;
use kube::client::{APIGroupDiscovery, APIResourceDiscovery};
use tokio::task::JoinSet;
use tokio::time::{Duration, sleep};

use super::{Environment, Kept};

/// How often the server is asked what it serves (upstream's interval).
const INTERVAL: Duration = Duration::from_secs(30);
/// How long to wait after the server did not say.
const BACKOFF: Backoff = Backoff { first: Duration::from_millis(100), longest: Duration::from_secs(10) };
/// What nobody owns and nobody's deletion waits for, and what changes all the time.
const NOT_WATCHED: [&str; 2] = ["events", "events.events.k8s.io"];

/// Keeps the cache told of what is served; with `everything`, and in it the metadata of every object that is not `whole` in
/// it anyway. Runs until it is dropped.
pub(super) async fn keep_known(environment: &Environment, kept: &Kept, whole: BTreeSet<Arc<str>>, everything: bool) {
    let mut watching = BTreeMap::new();
    let mut failures = 0;
    loop {
        match served(&environment.client, &environment.cache.served()).await {
            Ok(served) => {
                failures = 0;
                if everything {
                    let wanted = watchable(&served, &whole);
                    follow(environment, kept, &wanted, &mut watching).await;
                }
                if *environment.cache.served() != *served {
                    environment.cache.set_served(served);
                }
                sleep(INTERVAL).await;
            }
            Err(error) => {
                failures += 1;
                tracing::debug!(%error, "it is not known what the server serves");
                sleep(BACKOFF.after(failures)).await;
            }
        }
    }
}

/// The resources whose metadata is to be watched, by name.
fn watchable(served: &[Served], whole: &BTreeSet<Arc<str>>) -> BTreeMap<Arc<str>, Resource> {
    let watchable = served.iter().filter(|served| served.can("list") && served.can("watch"));
    let named = watchable.map(|served| (served.resource.name(), served.resource.clone()));
    named.filter(|(name, _)| !whole.contains(name) && !NOT_WATCHED.contains(&&**name)).collect()
}

/// The list-watch of each resource, alone in its set, and what it watches.
type Watching = BTreeMap<Arc<str>, (Resource, JoinSet<()>)>;

/// Ends to watch what is gone, of which nothing is known then, and begins to watch what is new. What is served in another
/// version is both.
async fn follow(
    environment: &Environment,
    kept: &Kept,
    wanted: &BTreeMap<Arc<str>, Resource>,
    watching: &mut Watching,
) {
    let ended = watching.extract_if(.., |name, (resource, _)| wanted.get(name) != Some(resource));
    for (name, (resource, mut task)) in ended.collect::<Vec<_>>() {
        kept.change(|kept| drop(kept.remove(&name)));
        // What it still does must not come after it is forgotten.
        task.shutdown().await;
        environment.cache.forget(&resource);
    }
    for (name, resource) in wanted {
        if watching.contains_key(name) {
            continue;
        }
        let list_watch = ListWatch::new(environment.client.clone(), environment.cache.clone(), resource.clone());
        let mut task = JoinSet::new();
        task.spawn(list_watch.run_metadata());
        watching.insert(Arc::clone(name), (resource.clone(), task));
        kept.change(|kept| drop(kept.insert(Arc::clone(name), resource.clone())));
    }
}

/// Every resource that the server serves, in the version that it prefers. Of a group of which the server cannot tell now, it
/// is what was known.
async fn served(client: &Client, known: &[Served]) -> Result<Vec<Served>, kube::Error> {
    let mut groups = client.list_core_api_versions_aggregated().await?.items;
    groups.extend(client.list_api_groups_aggregated().await?.items);
    Ok(groups.iter().flat_map(|group| of_group(group, known)).collect())
}

fn of_group(group: &APIGroupDiscovery, known: &[Served]) -> Vec<Served> {
    let name = group.metadata.as_ref().and_then(|meta| meta.name.clone()).unwrap_or_default();
    let mut seen = BTreeSet::new();
    let mut served = Vec::new();
    // Versions come in the order of the server's preference.
    for version in &group.versions {
        let of_version = version.version.as_deref().unwrap_or_default();
        if version.freshness.as_deref() == Some("Stale") {
            let lost = known.iter().filter(|it| it.resource.group == name && it.resource.version == of_version);
            served.extend(lost.filter(|it| seen.insert(it.resource.plural.clone())).cloned());
            continue;
        }
        for resource in &version.resources {
            if let Some(found) = of_resource(&name, of_version, resource)
                && seen.insert(found.resource.plural.clone())
            {
                served.push(found);
            }
        }
    }
    served
}

fn of_resource(group: &str, version: &str, resource: &APIResourceDiscovery) -> Option<Served> {
    let resource_kind = resource.response_kind.as_ref()?.kind.clone()?;
    let described = Resource {
        group: group.to_owned(),
        version: version.to_owned(),
        plural: resource.resource.clone()?,
        kind: resource_kind,
        namespaced: resource.scope.as_deref() == Some("Namespaced"),
    };
    Some(Served { resource: described, verbs: resource.verbs.clone() })
}
