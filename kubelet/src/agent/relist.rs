//! Tells workers that the runtime has something else of their pods than it had: by the runtime's events where it has them,
//! and otherwise by listing everything again and again.

use std::collections::BTreeMap;
use std::time::Duration;

use client::told::Told;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use tokio::time::{Instant, sleep, timeout};

use super::Agent;
use super::observe::{self, Brief};
use super::pods::Origin;
use crate::containers::labels;

/// How often everything is listed (upstream's interval), and how often where the runtime tells of changes itself.
const INTERVAL: Duration = Duration::from_secs(1);
const WITH_EVENTS: Duration = Duration::from_secs(60);
/// How long after a stream of events broke it is asked for again.
const ASK_AGAIN: Duration = Duration::from_secs(10);
/// How long ago the runtime may have been listed while it counts as healthy (upstream's number).
const HEALTHY_FOR: Duration = Duration::from_secs(180);

/// When the runtime was listed last, if it ever was.
pub(super) struct Pulse(Told<Option<Instant>>);

impl Pulse {
    pub(super) fn new() -> Pulse {
        Pulse(Told::new(None))
    }

    fn beat(&self) {
        self.0.change(|last| *last = Some(Instant::now()));
    }

    /// Waits until the runtime was listed.
    pub(super) async fn first(&self) {
        self.0.wait(|last| last.map(drop)).await;
    }

    /// What is wrong, if anything is.
    pub(super) fn problem(&self) -> Option<String> {
        let Some(last) = self.0.look(|last| *last) else {
            return Some("PLEG is not healthy: pleg has yet to be successful".to_owned());
        };
        let since = last.elapsed();
        let late = since > HEALTHY_FOR;
        late.then(|| format!("PLEG is not healthy: pleg was last seen active {since:.0?} ago; threshold is 3m0s"))
    }
}

impl Agent {
    /// Lists again and again, and follows the runtime's events, until it is dropped.
    pub(super) async fn keep_relisting(&self) {
        let has_events = Told::new(false);
        tokio::join!(self.follow_events(&has_events), async {
            let (mut known, mut last) = (BTreeMap::new(), None::<Instant>);
            loop {
                if let Some(last) = last.replace(Instant::now()) {
                    self.metrics.relist_interval.observe(&[], last.elapsed());
                }
                self.relist(&mut known).await;
                let wait = if has_events.look(|has| *has) { WITH_EVENTS } else { INTERVAL };
                // The wait is cut short if the events end meanwhile.
                let _ = timeout(wait, has_events.wait(|has| (wait == WITH_EVENTS && !has).then_some(()))).await;
            }
        });
    }

    async fn relist(&self, known: &mut BTreeMap<String, Brief>) {
        let began = Instant::now();
        let now = match self.observer.all().await {
            Ok(now) => now,
            Err(error) => {
                tracing::debug!(%error, "the runtime does not say what it has");
                return;
            }
        };
        self.pulse.beat();
        self.metrics.relist.observe(&[], began.elapsed());
        let gone: Vec<&String> = known.keys().filter(|uid| !now.contains_key(*uid)).collect();
        let changed = now.iter().filter(|(uid, brief)| known.get(*uid) != Some(brief)).map(|(uid, _)| uid);
        for uid in changed.chain(gone) {
            if let Some(entry) = self.pods.get(uid) {
                let seen = observe::summary(&entry.seen.lock().runtime);
                // Mostly it is the worker itself that changed it, and has looked since.
                if now.get(uid).is_none_or(|brief| brief.summary != seen) {
                    entry.poke();
                }
            }
        }
        self.end_orphans(&now);
        *known = now;
    }

    /// Ends what runs and is wanted by nobody. What is wanted has to be known first.
    fn end_orphans(&self, pods: &BTreeMap<String, Brief>) {
        if !self.knows_what_is_wanted() {
            return;
        }
        for (uid, brief) in pods.iter().filter(|(uid, _)| self.pods.get(uid).is_none()) {
            tracing::info!(pod = brief.name, namespace = brief.namespace, uid, "a pod that nobody wants is ended");
            self.pods.take(orphan(uid, brief), Origin::Runtime);
        }
    }

    /// Pokes the workers of pods of which the runtime says that something happened, as long as it says so.
    async fn follow_events(&self, has_events: &Told<bool>) {
        loop {
            match self.hands.cri.container_events().await {
                Ok(mut events) => {
                    has_events.change(|has| *has = true);
                    while let Ok(Some(event)) = events.message().await {
                        let sandbox = event.pod_sandbox_status.unwrap_or_default();
                        let entry = sandbox.labels.get(labels::POD_UID).and_then(|uid| self.pods.get(uid));
                        if let Some(entry) = entry {
                            entry.poke();
                        }
                    }
                    has_events.change(|has| *has = false);
                }
                Err(error) if error.code() == tonic::Code::Unimplemented => {
                    // Listing has to do, until it is a newer one that runs.
                    tracing::debug!("the runtime has no events");
                }
                Err(error) => tracing::debug!(%error, "the runtime's events cannot be had"),
            }
            sleep(ASK_AGAIN).await;
        }
    }
}

/// What can be said of a pod that only the runtime knows.
fn orphan(uid: &str, brief: &Brief) -> Pod {
    let containers = brief.containers.iter().map(|name| Container { name: name.clone(), ..Container::default() });
    Pod {
        metadata: ObjectMeta {
            namespace: Some(brief.namespace.clone()),
            name: Some(brief.name.clone()),
            uid: Some(uid.to_owned()),
            deletion_timestamp: Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(Timestamp::UNIX_EPOCH)),
            ..ObjectMeta::default()
        },
        spec: Some(PodSpec { containers: containers.collect(), ..PodSpec::default() }),
        status: None,
    }
}
