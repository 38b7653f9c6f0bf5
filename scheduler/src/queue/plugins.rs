//! What the queue asks of plugins: whether a pod may be tried at all, and which events may help a pod that they refused.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;

use super::event::{ClusterEvent, Event};

/// What a plugin says of an event and a pod that it refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hint {
    /// The plugin would refuse the pod again.
    Skip,
    /// The pod may be schedulable now.
    Queue,
}

impl Hint {
    /// [`Hint::Queue`] if the event may help.
    #[must_use]
    pub const fn when(helps: bool) -> Hint {
        if helps { Hint::Queue } else { Hint::Skip }
    }
}

/// A plugin that says whether a pod may be tried. It must be quick. It is asked again when the pod changes, and when an
/// event happens that it waits for.
pub trait PreEnqueue: Send + Sync {
    /// The plugin's name.
    fn name(&self) -> &'static str;

    /// Whether the pod may be tried.
    fn admits(&self, pod: &Pod) -> bool;
}

/// What a plugin that can refuse pods waits for.
///
/// Every plugin that can refuse pods is to be registered, with every event that can change its mind: a pod that is
/// refused by an unknown plugin is tried again only when it has waited for the longest time.
pub trait EnqueueExtensions: Send + Sync {
    /// The plugin's name.
    fn name(&self) -> &'static str;

    /// The events that may let it change its mind. They never change.
    fn events(&self) -> Vec<ClusterEvent>;

    /// Whether an event, of a kind that it registered for, may let it change its mind on a pod that it refused.
    /// A plugin that cannot tell says [`Hint::Queue`].
    fn hint(&self, pod: &Pod, event: &Event) -> Hint;
}

/// The plugins of a profile that the queue asks.
#[derive(Clone, Default)]
pub struct Profile {
    /// Those that must admit a pod, in this order.
    pub pre_enqueue: Vec<Arc<dyn PreEnqueue>>,
    /// Those that can refuse one.
    pub extensions: Vec<Arc<dyn EnqueueExtensions>>,
}

impl fmt::Debug for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gates: Vec<&str> = self.pre_enqueue.iter().map(|plugin| plugin.name()).collect();
        let hints: Vec<&str> = self.extensions.iter().map(|plugin| plugin.name()).collect();
        f.debug_struct("Profile").field("pre_enqueue", &gates).field("extensions", &hints).finish()
    }
}

/// A profile, with what its plugins registered for.
pub(super) struct Registered {
    pre_enqueue: Vec<Arc<dyn PreEnqueue>>,
    extensions: BTreeMap<&'static str, (Vec<ClusterEvent>, Arc<dyn EnqueueExtensions>)>,
}

impl Registered {
    pub(super) fn new(profile: Profile) -> Registered {
        let named = |plugin: Arc<dyn EnqueueExtensions>| (plugin.name(), (plugin.events(), plugin));
        Registered { pre_enqueue: profile.pre_enqueue, extensions: profile.extensions.into_iter().map(named).collect() }
    }

    /// Which plugin does not admit a pod. The one that did not last time is asked first, as it most likely still does not.
    pub(super) fn gate(&self, pod: &Pod, last: Option<&'static str>) -> Option<&'static str> {
        let first = self.pre_enqueue.iter().filter(|plugin| Some(plugin.name()) == last);
        let rest = self.pre_enqueue.iter().filter(|plugin| Some(plugin.name()) != last);
        first.chain(rest).find(|plugin| !plugin.admits(pod)).map(|plugin| plugin.name())
    }

    /// Whether any plugin registered for such events.
    pub(super) fn is_interested(&self, kind: ClusterEvent) -> bool {
        self.extensions.values().any(|(events, _)| covers(events, kind))
    }

    /// Whether a plugin registered for such events.
    pub(super) fn wants(&self, plugin: &str, kind: ClusterEvent) -> bool {
        self.extensions.get(plugin).is_some_and(|(events, _)| covers(events, kind))
    }

    /// What a plugin says, if it registered for such events.
    pub(super) fn hint(&self, plugin: &str, pod: &Pod, event: &Event) -> Hint {
        match self.extensions.get(plugin) {
            Some((events, extension)) if covers(events, event.kind) => extension.hint(pod, event),
            _ => Hint::Skip,
        }
    }
}

fn covers(registered: &[ClusterEvent], kind: ClusterEvent) -> bool {
    registered.iter().any(|event| event.covers(kind))
}
