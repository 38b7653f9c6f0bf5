//! Runs controllers: keeps the cache that they share, asks them for plans, and carries the plans out.
//!
//! What holds for every controller: a key is with one worker at a time; it is not looked at again before the cache shows
//! what its last plan wrote; after a plan that had actions it is looked at again, until there is nothing to do; and what
//! fails is tried again later each time. When [`Manager::run`] is dropped everything it started ends where it stands.

mod discover;
mod execute;
mod selection;
mod worker;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use client::cache::{self, Cache, ListWatch, Subscription};
use client::clock::Clock;
use client::events::Recorder;
use client::queue::{Backoff, WorkQueue};
use client::resource::{Key, Resource};
use client::told::Told;
use futures::FutureExt;
use futures::future::BoxFuture;
use kube::Client;
use tokio::task::JoinSet;

pub use selection::{Selection, SelectionError};

use crate::certify::Authority;
use crate::controller::{Controller, Map, Watched, Watches};

/// What all controllers of a process share.
#[derive(Clone)]
pub struct Environment {
    /// How the API server is reached.
    pub client: Client,
    /// What is known of the cluster.
    pub cache: Cache,
    /// What time it is.
    pub clock: Clock,
    /// Which process Events come from.
    pub instance: String,
    /// The cluster's authority, if this process has it.
    pub authority: Option<Arc<Authority>>,
}

/// What of the server's resources a manager keeps, as far as it is known.
type Kept = Arc<Told<BTreeMap<Arc<str>, Resource>>>;

type Start = Box<dyn FnOnce(Environment, Kept) -> BoxFuture<'static, ()> + Send>;

/// A set of controllers, and what they watch.
pub struct Manager {
    environment: Environment,
    keep: BTreeMap<Arc<str>, (Resource, cache::Keep)>,
    keeps_everything: bool,
    controllers: Vec<Start>,
    selection: Selection,
}

impl Manager {
    /// A manager of no controllers, which takes those that `selection` says.
    #[must_use]
    pub fn new(environment: Environment, selection: Selection) -> Manager {
        Manager { environment, keep: BTreeMap::new(), keeps_everything: false, controllers: Vec::new(), selection }
    }

    /// What its controllers share.
    #[must_use]
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// Adds a controller, if it is selected.
    pub fn add<C: Controller>(&mut self, controller: C) {
        if !self.selection.selects(C::NAME) {
            return;
        }
        let Watches { watched, everything, .. } = controller.watches();
        for Watched { resource, keep, .. } in watched {
            self.keep.entry(resource.name()).or_insert((resource, keep.run));
        }
        self.keeps_everything |= everything.is_some();
        self.controllers.push(Box::new(move |environment, kept| run_controller(controller, environment, kept).boxed()));
    }

    /// Keeps a resource in its cache for somebody else, too. Of a resource that nobody asks for, a manager keeps metadata
    /// at most, which would be in the way of whoever keeps it whole in the same cache.
    pub fn keep(&mut self, resource: Resource, run: cache::Keep) {
        self.keep.entry(resource.name()).or_insert((resource, run));
    }

    /// Resolves when the controllers know what they watch.
    pub fn synced(&self) -> impl Future<Output = ()> + use<> {
        let cache = self.environment.cache.clone();
        let resources: Vec<Resource> = self.keep.values().map(|(resource, _)| resource.clone()).collect();
        async move {
            cache.discovered().await;
            for resource in resources {
                cache.synced(&resource).await;
            }
        }
    }

    /// Runs the controllers, each as soon as what it watches is known. Runs until it is dropped.
    pub async fn run(self) {
        let Manager { environment, keep, keeps_everything, controllers, .. } = self;
        let mut tasks = JoinSet::new();
        let kept = Kept::default();
        for start in controllers {
            tasks.spawn(start(environment.clone(), Arc::clone(&kept)));
        }
        for (name, (resource, run)) in &keep {
            let list_watch = ListWatch::new(environment.client.clone(), environment.cache.clone(), resource.clone());
            tasks.spawn(run(list_watch));
            kept.change(|kept| drop(kept.insert(Arc::clone(name), resource.clone())));
        }
        let whole = keep.into_keys().collect();
        discover::keep_known(&environment, &kept, whole, keeps_everything).await;
    }
}

/// Runs one controller.
async fn run_controller<C: Controller>(controller: C, environment: Environment, kept: Kept) {
    let watches = controller.watches();
    for watched in &watches.watched {
        environment.cache.synced(&watched.resource).await;
    }
    let queue = WorkQueue::new(Backoff::default());
    let mut subscriptions: BTreeMap<Arc<str>, Vec<Subscription>> = BTreeMap::new();
    for Watched { resource, map, .. } in &watches.watched {
        if let Some(map) = map {
            let subscription = subscribe(&environment.cache, resource, map, &queue);
            subscriptions.entry(resource.name()).or_default().push(subscription);
        }
    }
    let api = environment.client.clone();
    let (recorder, write) = Recorder::new(api, C::COMPONENT, &environment.instance, environment.clock);
    let mut tasks = JoinSet::new();
    tasks.spawn(write);
    tasks.spawn(worker::work(Arc::new(controller), environment.clone(), recorder, queue.clone()));
    let Some(map) = watches.everything else {
        tasks.join_all().await;
        return;
    };
    let mut seen: BTreeMap<Arc<str>, Subscription> = BTreeMap::new();
    loop {
        let known = |kept: &BTreeMap<Arc<str>, Resource>| kept.keys().eq(seen.keys());
        let now = kept.wait(|kept| (!known(kept)).then(|| kept.clone())).await;
        seen.retain(|name, _| now.contains_key(name));
        for (name, resource) in now {
            seen.entry(name).or_insert_with(|| subscribe(&environment.cache, &resource, &map, &queue));
        }
    }
}

fn subscribe(cache: &Cache, resource: &Resource, map: &Map, queue: &WorkQueue<Key>) -> Subscription {
    let (map, queue, within, name) = (Arc::clone(map), queue.clone(), cache.clone(), resource.name());
    cache.subscribe(resource, move |change| {
        // A panic would end the list-watch that tells of the change, and with it all other controllers' sight.
        match catch_unwind(AssertUnwindSafe(|| map(&within, change))) {
            Ok(keys) => keys.into_iter().for_each(|key| queue.add(key)),
            Err(_) => tracing::error!(resource = %name, "a panic while a change was mapped to keys"),
        }
    })
}

#[cfg(test)]
mod tests;
