//! The pods that wait for a node, and whose turn it is.
//!
//! Every pod that is told to the [`Queue`] is in one place at a time: ready, backing off, unschedulable (waiting for
//! something to change in the cluster), or in flight (being scheduled). No pod is ever forgotten: one that was refused
//! remembers which plugins refused it, and comes back by the first event of which one of these plugins says that it may
//! help, also if that event happened while the pod was being scheduled, and after five minutes in any case.
//!
//! [`Queue`] is a value that reads no clock.

mod changes;
mod entry;
mod event;
mod framework;
mod in_flight;
mod plugins;
mod state;
#[cfg(test)]
mod testing;
mod unschedulable;

pub use changes::{node_changes, pod_changes};
pub use entry::{Counts, Place, QueuedPod, Refusal, Settings};
pub use event::{ActionType, Change, ClusterEvent, Event, EventResource, Object};
pub use in_flight::MOST_EVENTS;
pub use plugins::{EnqueueExtensions, Hint, PreEnqueue, Profile};
pub use state::Queue;
