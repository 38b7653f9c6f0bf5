//! What has changed and the kernel is still to be told. It is bounded by what there is: a Service is noted once, however often
//! it changes.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};

use client::cache::{Cache, Change, Subscription};
use client::clock::Clock;
use client::resource::Resource;
use client::told::Told;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::SERVICE_NAME;
use crate::health::Health;
use crate::metrics::{Metrics, Subject};

/// The annotation of a slice that says when that happened on account of which it was changed.
const TRIGGER_TIME: &str = "endpoints.kubernetes.io/last-change-trigger-time";
/// Of how many changes it is noted when they happened, before the kernel is told.
pub(super) const TRIGGERS: usize = 4096;

/// The namespace and the name of a Service.
pub(super) type Name = (String, String);

/// What has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Work {
    /// Services that changed, or whose endpoints did.
    pub(super) services: BTreeSet<Name>,
    /// When that happened on account of which endpoints changed.
    pub(super) triggers: Vec<Timestamp>,
    /// The Node changed.
    pub(super) node: bool,
    /// Others changed the tables.
    pub(super) repair: bool,
}

impl Work {
    fn is_empty(&self) -> bool {
        self.services.is_empty() && !self.node && !self.repair
    }
}

/// What has changed, for one who takes it up and many who note it.
pub(super) struct Noted {
    work: Told<Work>,
    metrics: Metrics,
    health: Health,
    clock: Clock,
    /// What happened before says nothing of how fast this proxy is.
    began: Timestamp,
}

impl Noted {
    pub(super) fn new(metrics: Metrics, health: Health, clock: Clock) -> Noted {
        Noted { work: Told::default(), metrics, health, clock, began: clock.now() }
    }

    /// Notes what changes in a cache, until what is returned is dropped.
    pub(super) fn subscribe(noted: &Arc<Noted>, cache: &Cache, node: &str) -> [Subscription; 3] {
        let (services, slices, nodes) = (Arc::clone(noted), Arc::clone(noted), Arc::clone(noted));
        let node = node.to_owned();
        [
            cache.subscribe(&Resource::of::<Service>(), move |change| services.service(change)),
            cache.subscribe(&Resource::of::<EndpointSlice>(), move |change| slices.slice(change)),
            cache.subscribe(&Resource::of::<Node>(), move |change| {
                if change.latest().is_some_and(|latest| latest.meta().name.as_deref() == Some(&*node)) {
                    nodes.note(|work| work.node = true);
                }
            }),
        ]
    }

    fn note(&self, note: impl FnOnce(&mut Work)) {
        self.work.change(note);
    }

    fn service(&self, change: &Change) {
        let Some(service) = change.latest() else { return };
        self.count(Subject::Service);
        self.note(|work| work.services.extend([name_of(service.meta())]));
    }

    fn slice(&self, change: &Change) {
        let both = [&change.old, &change.new].into_iter().flatten();
        let names: Vec<Name> = both.filter_map(|slice| service_of(slice.meta())).collect();
        if names.is_empty() {
            return;
        }
        self.count(Subject::Endpoints);
        let trigger = change.new.as_ref().and_then(|new| trigger(new.meta()));
        let trigger = trigger.filter(|trigger| {
            let before = change.old.as_ref().and_then(|old| self::trigger(old.meta()));
            before != Some(*trigger) && *trigger >= self.began
        });
        self.note(|work| {
            work.services.extend(names);
            work.triggers.extend(trigger.filter(|_| work.triggers.len() < TRIGGERS));
        });
    }

    fn count(&self, subject: Subject) {
        self.metrics.changed(subject, self.clock.now());
        self.health.waits();
    }

    /// Waits until something has changed.
    pub(super) async fn wait(&self) {
        self.work.wait(|work| (!work.is_empty()).then_some(())).await;
    }

    /// Whether something has changed.
    pub(super) fn is_more(&self) -> bool {
        self.work.look(|work| !work.services.is_empty())
    }

    /// What has changed, to be taken up now.
    pub(super) fn take(&self) -> Work {
        let mut taken = Work::default();
        self.work.change(|work| taken = std::mem::take(work));
        self.metrics.taken_up();
        taken
    }
}

/// Tells the driver that others have changed our tables.
#[derive(Clone)]
pub struct Disturbed(Weak<Noted>);

impl Disturbed {
    pub(super) fn of(noted: &Arc<Noted>) -> Disturbed {
        Disturbed(Arc::downgrade(noted))
    }

    /// Others have changed our tables.
    pub fn tell(&self) {
        if let Some(noted) = self.0.upgrade() {
            noted.note(|work| work.repair = true);
        }
    }
}

/// The namespace and the name of an object.
pub(super) fn name_of(meta: &ObjectMeta) -> Name {
    (meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
}

fn service_of(meta: &ObjectMeta) -> Option<Name> {
    let name = meta.labels.as_ref()?.get(SERVICE_NAME).filter(|name| !name.is_empty())?;
    Some((meta.namespace.clone().unwrap_or_default(), name.clone()))
}

fn trigger(meta: &ObjectMeta) -> Option<Timestamp> {
    meta.annotations.as_ref()?.get(TRIGGER_TIME)?.parse().ok()
}
