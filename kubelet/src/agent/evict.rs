//! What pods are evicted from: this node.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Pod;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Agent;
use crate::eviction::driver::{self, Grounds};
use crate::eviction::{Conditions, EVICTED, Eviction};
use crate::images::Limits;
use crate::stats::{Figures, Source};

/// How old figures may be that pods are evicted by.
const FRESH: Duration = Duration::from_secs(1);

/// This node.
struct Here(Arc<Agent>);

impl Agent {
    /// Has pods go when the node runs out of something, until it is dropped.
    pub(super) fn keep_room(self: &Arc<Self>) -> BoxFuture<'static, ()> {
        let (tell, mut told) = watch::channel(Conditions::default());
        let (agent, settings) = (Arc::clone(self), self.eviction.clone());
        let looking = driver::run(Here(Arc::clone(self)), settings, self.clock, tell, CancellationToken::new());
        let telling = async move {
            while told.changed().await.is_ok() {
                let Conditions { memory, disk, pid } = *told.borrow_and_update();
                {
                    let mut health = agent.state.health.lock();
                    (health.memory_pressure, health.disk_pressure, health.pid_pressure) = (memory, disk, pid);
                }
                agent.keeper.changed();
            }
        };
        async { tokio::join!(looking, telling) }.map(drop).boxed()
    }
}

impl Grounds for Here {
    async fn figures(&self) -> Option<Arc<Figures>> {
        Some(self.0.collector().figures(FRESH).await)
    }

    fn pods(&self) -> Vec<Arc<Pod>> {
        let is_candidate = |entry: &Arc<super::pods::Entry>| {
            let wanted = entry.want.look(|want| want.condemned.is_none() && !want.forgotten);
            wanted && entry.seen.lock().runtime.is_running()
        };
        let running = self.0.pods.all().into_iter().filter(is_candidate);
        running.map(|entry| entry.with_status()).collect()
    }

    async fn evict(&self, eviction: &Eviction) {
        let Some(entry) = self.0.pods.get(&eviction.uid) else { return };
        let why = eviction.condemned.why.message.clone();
        self.0.recorder.say(&entry.pod(), None, true, EVICTED, why);
        self.0.metrics.evictions.add(&[eviction.signal], 1.0);
        entry.change(|want| want.condemned = Some(eviction.condemned.clone()));
    }

    fn is_gone(&self, uid: &str) -> bool {
        self.0.pods.get(uid).is_none_or(|entry| !entry.seen.lock().runtime.is_running())
    }

    async fn reclaim(&self) {
        let agent = &self.0;
        // Containers that have ended go when their pods do, or when one of the same name is started.
        let in_use: BTreeSet<String> = agent.images_in_use().await.unwrap_or_default();
        if let Err(problem) = agent.hands.images.collect_all(&in_use, &Limits::default()).await {
            tracing::warn!(problem = problem.message, "images are not collected");
        }
    }

    fn is_low(&self, resource: &str) {
        let message = format!("Attempting to reclaim {resource}");
        self.0.recorder.say_of_node(true, "EvictionThresholdMet", message);
    }
}
