//! What the queue asks of the plugins of a profile.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;

use super::event::{ClusterEvent, Event};
use super::plugins::{EnqueueExtensions, Hint, PreEnqueue, Profile};
use crate::config::ExtensionPoint;
use crate::cycle::{self, Plugin};

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

impl From<&cycle::Profile> for Profile {
    fn from(profile: &cycle::Profile) -> Self {
        let gates = profile
            .at(ExtensionPoint::PreEnqueue)
            .map(|plugin| Arc::new(Asked(Arc::clone(plugin))) as Arc<dyn PreEnqueue>);
        let extensions =
            profile.plugins().iter().map(|plugin| Arc::new(Asked(Arc::clone(plugin))) as Arc<dyn EnqueueExtensions>);
        Self { pre_enqueue: gates.collect(), extensions: extensions.collect() }
    }
}
