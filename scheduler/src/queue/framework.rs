//! What the queue asks of the plugins of a profile, which the framework knows as a whole.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;

use super::event::{ClusterEvent, Event};
use super::plugins::{EnqueueExtensions, Hint, PreEnqueue, Profile};
use crate::config::ExtensionPoint;
use crate::cycle::{self, Plugin};

/// The points at which plugins can refuse pods.
const REFUSING: [ExtensionPoint; 5] = [
    ExtensionPoint::PreEnqueue,
    ExtensionPoint::PreFilter,
    ExtensionPoint::Filter,
    ExtensionPoint::Reserve,
    ExtensionPoint::Permit,
];

impl From<&cycle::Profile> for Profile {
    fn from(profile: &cycle::Profile) -> Profile {
        let refusing = |plugin: &&Arc<dyn Plugin>| REFUSING.iter().any(|point| is_at(profile, *point, plugin));
        let asked = |plugin: &Arc<dyn Plugin>| Arc::new(Asked(Arc::clone(plugin)));
        Profile {
            pre_enqueue: profile.at(ExtensionPoint::PreEnqueue).map(|plugin| asked(plugin) as _).collect(),
            extensions: profile.plugins().iter().filter(refusing).map(|plugin| asked(plugin) as _).collect(),
        }
    }
}

fn is_at(profile: &cycle::Profile, point: ExtensionPoint, plugin: &Arc<dyn Plugin>) -> bool {
    profile.at(point).any(|other| other.name() == plugin.name())
}

struct Asked(Arc<dyn Plugin>);

impl PreEnqueue for Asked {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn admits(&self, pod: &Pod) -> bool {
        self.0.pre_enqueue(pod).is_ok()
    }
}

impl EnqueueExtensions for Asked {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn events(&self) -> Vec<ClusterEvent> {
        self.0.events()
    }

    fn hint(&self, pod: &Pod, event: &Event) -> Hint {
        self.0.hint(pod, event)
    }
}
