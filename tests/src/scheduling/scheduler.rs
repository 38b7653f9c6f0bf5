//! What binds the pods.

use client::cache::Cache;
use client::clock::Clock;
use futures::FutureExt;
use futures::future::BoxFuture;
use kube::Client;
use scheduler::config::Configuration;
use scheduler::driver::{Environment, Scheduler};
use tokio::task::JoinSet;

/// Starts what binds pods, which keeps what it knows of them in the cache, and resolves when it knows all that there is.
/// It goes on until its tasks are dropped.
pub type Start = fn(Client, Cache) -> BoxFuture<'static, JoinSet<()>>;

/// The scheduler, as it is if it is not configured.
#[must_use]
pub fn scheduler(client: Client, cache: Cache) -> BoxFuture<'static, JoinSet<()>> {
    async move {
        let instance = "benchmark".to_owned();
        let seed = rand::random();
        let environment = Environment { client, cache, shared: false, clock: Clock::Machine, instance, seed };
        let scheduler = Scheduler::new(environment, &Configuration::default()).expect("the defaults make a scheduler");
        let synced = scheduler.synced();
        let mut tasks = JoinSet::new();
        tasks.spawn(scheduler.run());
        synced.await;
        tasks
    }
    .boxed()
}
