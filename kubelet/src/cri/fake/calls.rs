//! What was asked of a runtime in memory, and what is to go wrong.
//!
//! The record and the list of faults are bounded: the oldest of the record goes first, and a fault goes when it has
//! happened as often as it was to.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;
use tonic::Status;

/// A call that something can be asked of a runtime with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // They are CRI's own names.
pub enum Call {
    Version,
    Status,
    RunPodSandbox,
    StopPodSandbox,
    RemovePodSandbox,
    PodSandboxStatus,
    ListPodSandbox,
    CreateContainer,
    StartContainer,
    StopContainer,
    RemoveContainer,
    ListContainers,
    ContainerStatus,
    UpdateContainerResources,
    ReopenContainerLog,
    ExecSync,
    Exec,
    Attach,
    PortForward,
    ContainerStats,
    ListContainerStats,
    PodSandboxStats,
    ListPodSandboxStats,
    UpdateRuntimeConfig,
    RuntimeConfig,
    ListImages,
    ImageStatus,
    PullImage,
    RemoveImage,
    ImageFsInfo,
}

/// That something was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// When.
    pub at: Timestamp,
    /// What.
    pub call: Call,
    /// About what: `namespace/pod`, `namespace/pod/container` or an image. What the runtime does not have is named as it
    /// was asked for, and what is about nothing in particular has an empty name.
    pub subject: String,
}

/// What happens to a call.
#[derive(Clone, Debug)]
pub enum Fault {
    /// It is answered with an error, and nothing is done.
    Fails(Status),
    /// It is done, and the answer is an error all the same: what a connection that breaks looks like.
    Lost(Status),
    /// It waits before anything is done.
    Waits(Duration),
    /// It is never answered, and nothing is done.
    Hangs,
}

/// What was asked, and what is to go wrong.
#[derive(Debug, Default)]
pub(super) struct Calls {
    record: VecDeque<Asked>,
    most: usize,
    faults: Vec<Planned>,
}

#[derive(Debug)]
struct Planned {
    call: Option<Call>,
    subject: Option<String>,
    left: u64,
    fault: Fault,
}

impl Calls {
    /// With a record of so many calls at most.
    pub(super) fn new(most: usize) -> Calls {
        Calls { most, ..Calls::default() }
    }

    /// Whether anybody wants to know what calls are about.
    pub(super) fn are_looked_at(&self) -> bool {
        self.most > 0 || self.faults.iter().any(|planned| planned.subject.is_some())
    }

    /// Notes a call, and says what is to happen to it.
    pub(super) fn note(&mut self, asked: Asked) -> Vec<Fault> {
        let mut faults = Vec::new();
        for planned in &mut self.faults {
            let concerned = planned.call.is_none_or(|call| call == asked.call)
                && planned.subject.as_ref().is_none_or(|subject| *subject == asked.subject);
            if concerned && planned.left > 0 {
                planned.left -= 1;
                faults.push(planned.fault.clone());
            }
        }
        self.faults.retain(|planned| planned.left > 0);
        if self.most > 0 {
            if self.record.len() == self.most {
                self.record.pop_front();
            }
            self.record.push_back(asked);
        }
        faults
    }

    /// Has the next so many calls (of a kind, about something) go wrong.
    pub(super) fn plan(&mut self, call: Option<Call>, subject: Option<String>, times: u64, fault: Fault) {
        self.faults.push(Planned { call, subject, left: times, fault });
    }

    /// Has nothing go wrong any more.
    pub(super) fn heal(&mut self) {
        self.faults.clear();
    }

    /// What was asked, the oldest first.
    pub(super) fn record(&self) -> Vec<Asked> {
        self.record.iter().cloned().collect()
    }

    /// Forgets what was asked.
    pub(super) fn forget(&mut self) {
        self.record.clear();
    }
}
