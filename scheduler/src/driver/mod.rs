//! Runs a scheduler: tells the [`Engine`] what changes, and does what it says.
//!
//! One task owns the turn: it hands over what has happened since, lets the engine try some pods, and starts what is to be
//! written. Writes run beside it and report back the same way as changes do, so that deciding never waits for the API.

mod inbox;
mod perform;
mod watch;

use std::collections::BTreeMap;
use std::sync::Arc;

use client::cache::{Cache, Keep, ListWatch};
use client::clock::Clock;
use client::events::Recorder;
use client::resource::Resource;
use kube::Client;
use parking_lot::Mutex;
use tokio::task::{JoinSet, yield_now};
use tokio::time::{Instant, sleep_until};

use crate::config::{ConfigError, Configuration};
use crate::engine::Engine;
use inbox::{Inbox, Input};
use perform::Performer;
use watch::{Watched, everything};

/// How many pods are tried before it is looked what has happened.
const AT_ONCE: usize = 32;
/// How many effects may be under way before no more pods are tried. Deciding ahead of the API server would be of no use.
const MOST_UNDER_WAY: usize = 1024;

/// Where a scheduler works.
#[derive(Clone)]
pub struct Environment {
    /// How the API server is reached.
    pub client: Client,
    /// What is known of the cluster.
    pub cache: Cache,
    /// Whether somebody else keeps what the scheduler watches ([`watches`]) in that cache.
    pub shared: bool,
    /// What time it is.
    pub clock: Clock,
    /// Which process Events come from.
    pub instance: String,
    /// From which random choices follow.
    pub seed: u64,
}

/// A scheduler that is about to run.
pub struct Scheduler {
    environment: Environment,
    engine: Arc<Mutex<Engine>>,
    names: Vec<String>,
}

impl Scheduler {
    /// A scheduler that does as configured.
    ///
    /// # Errors
    /// What of the configuration cannot be.
    pub fn new(environment: Environment, configuration: &Configuration) -> Result<Scheduler, ConfigError> {
        let engine = Engine::new(configuration, environment.seed)?;
        let names = configuration.profiles.iter().map(|profile| profile.scheduler_name.clone()).collect();
        Ok(Scheduler { environment, engine: Arc::new(Mutex::new(engine)), names })
    }

    /// What it knows and has decided, also while it runs.
    #[must_use]
    pub fn engine(&self) -> Arc<Mutex<Engine>> {
        Arc::clone(&self.engine)
    }

    /// Resolves when it knows what it watches.
    pub fn synced(&self) -> impl Future<Output = ()> + use<> {
        synced(self.environment.cache.clone())
    }

    /// Schedules pods. Runs until it is dropped; everything it started ends then where it stands.
    pub async fn run(self) {
        let Scheduler { environment, engine, names } = self;
        let mut tasks = JoinSet::new();
        let mut recorders = BTreeMap::new();
        for name in names {
            let Environment { client, instance, clock, .. } = &environment;
            let (recorder, write) = Recorder::new(client.clone(), &name, instance, *clock);
            tasks.spawn(write);
            recorders.insert(name, recorder);
        }
        let inbox = Arc::new(Inbox::default());
        let mut subscriptions = Vec::new();
        let watched: BTreeMap<Arc<str>, Watched> =
            everything().into_iter().map(|watched| (watched.resource.name(), watched)).collect();
        for watched in watched.values() {
            let Environment { client, cache, shared, .. } = &environment;
            if !shared {
                let list_watch = ListWatch::new(client.clone(), cache.clone(), watched.resource.clone());
                tasks.spawn((watched.keep)(list_watch));
            }
            let told = Arc::clone(&inbox);
            subscriptions
                .push(cache.subscribe(&watched.resource, move |change| told.put(Input::Change(change.clone()))));
        }
        // A pod that is decided on before everything is known might go where it must not.
        synced(environment.cache.clone()).await;
        let performer = Performer::new(&environment, recorders, Arc::clone(&inbox));
        turn(&engine, &inbox, &watched, &performer).await;
    }
}

/// What a scheduler watches, and what keeps each resource in a cache.
pub fn watches() -> impl Iterator<Item = (Resource, Keep)> {
    everything().into_iter().map(|watched| (watched.resource, watched.keep))
}

async fn synced(cache: Cache) {
    let resources: Vec<Resource> = everything().into_iter().map(|watched| watched.resource).collect();
    for resource in resources {
        cache.synced(&resource).await;
    }
}

/// Takes turns with what happens.
async fn turn(engine: &Mutex<Engine>, inbox: &Inbox, watched: &BTreeMap<Arc<str>, Watched>, performer: &Performer) {
    let began = Instant::now();
    let mut writes = JoinSet::new();
    loop {
        let (effects, wake) = {
            let mut engine = engine.lock();
            let now = began.elapsed();
            for input in inbox.take() {
                match input {
                    Input::Change(change) => {
                        if let Some(watched) = watched.get(&change.resource) {
                            (watched.apply)(&mut engine, &change, now);
                        }
                    }
                    Input::Prepared(uid, outcome) => engine.prepared(&uid, outcome, now),
                    Input::Bound(uid, outcome) => engine.bound(&uid, outcome, now),
                    Input::Preempted(uid, outcome) => engine.preempted(&uid, outcome, now),
                }
            }
            let room = MOST_UNDER_WAY.saturating_sub(writes.len());
            (engine.step(AT_ONCE.min(room), now), engine.next_wake())
        };
        let is_idle = effects.is_empty();
        for effect in effects {
            writes.spawn(performer.clone().perform(effect));
        }
        while writes.try_join_next().is_some() {}
        if writes.len() >= MOST_UNDER_WAY {
            tokio::select! {
                biased;
                _ = writes.join_next() => {}
                () = inbox.filled() => {}
            }
            continue;
        }
        if !is_idle {
            yield_now().await;
            continue;
        }
        match wake.and_then(|wake| began.checked_add(wake)) {
            Some(wake) => tokio::select! {
                // So that a simulation goes the same way again.
                biased;
                () = inbox.filled() => {}
                () = sleep_until(wake) => {}
            },
            None => inbox.filled().await,
        }
    }
}
