//! What is to be done at the API.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;

use crate::cycle::Write;
use crate::snapshot::PlacedPod;

/// What becomes of the node on which room is made for a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Nomination {
    /// It stays as it is.
    Keep,
    /// There is none.
    Clear,
    /// It is this one.
    Set(String),
}

/// Why a pod was not scheduled, as its condition says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// No node is for it.
    Unschedulable,
    /// Something went wrong.
    SchedulerError,
}

impl Reason {
    /// As the API has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Unschedulable => "Unschedulable",
            Reason::SchedulerError => "SchedulerError",
        }
    }
}

/// Something that is to be done at the API.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// These are to be written, in this order, and then [`super::Engine::prepared`] is to be told.
    Prepare {
        /// The pod for which they are.
        pod: Arc<Pod>,
        /// The writes.
        writes: Vec<Write>,
    },
    /// The pod is to be bound, and then [`super::Engine::bound`] is to be told.
    Bind {
        /// The pod.
        pod: Arc<Pod>,
        /// The name of its node.
        node: String,
        /// What binds it.
        write: Write,
    },
    /// The pod's status is to say why it was not scheduled, and an Event.
    Refused {
        /// The pod.
        pod: Arc<Pod>,
        /// Why, in short.
        reason: Reason,
        /// Why, in upstream's words.
        message: String,
        /// What becomes of the node that was nominated.
        nomination: Nomination,
    },
    /// Room is to be made: nominations of the displaced are to be cleared, victims to be deleted; and then
    /// [`super::Engine::preempted`] is to be told.
    Preempt {
        /// The pod for which room is made.
        pod: Arc<Pod>,
        /// The name of the node.
        node: String,
        /// The pods that have to go.
        victims: Vec<Arc<PlacedPod>>,
        /// Pods for which room was being made there.
        displaced: Vec<Arc<PlacedPod>>,
    },
    /// An Event is to say that the pod is not scheduled, since it is being deleted.
    Skipped {
        /// The pod.
        pod: Arc<Pod>,
    },
}
