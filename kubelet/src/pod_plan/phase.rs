//! The phase of a pod, as it follows from the states of its containers (upstream's `getPhase`).

use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod, PodStatus};

use super::spec::{init, is_sidecar, regular, restarts, restarts_init};

/// Whether the container runs.
pub(crate) fn is_running(status: &ContainerStatus) -> bool {
    status.state.as_ref().is_some_and(|state| state.running.is_some())
}

fn is_waiting(status: &ContainerStatus) -> bool {
    status.state.as_ref().is_some_and(|state| state.waiting.is_some())
}

/// How the container ended; if it waits to be started again, how it ended the last time.
pub(crate) fn terminated(status: &ContainerStatus) -> Option<&ContainerStateTerminated> {
    let state = status.state.as_ref();
    let last = || status.last_state.as_ref().filter(|_| !is_running(status))?.terminated.as_ref();
    state.and_then(|state| state.terminated.as_ref()).or_else(last)
}

/// The status of a container, by its name.
pub(crate) fn status_of<'a>(statuses: Option<&'a Vec<ContainerStatus>>, name: &str) -> Option<&'a ContainerStatus> {
    statuses.into_iter().flatten().find(|status| status.name == name)
}

/// Whether any regular container has ever run, so that the pod must have been initialized.
pub(crate) fn has_started(status: &PodStatus) -> bool {
    status.container_statuses.iter().flatten().any(|status| is_running(status) || terminated(status).is_some())
}

/// How many containers are how.
#[derive(Default)]
struct Tally {
    pending: usize,
    failed_to_initialize: usize,
    running: usize,
    waiting: usize,
    unknown: usize,
    stopped: usize,
    for_good: usize,
    succeeded: usize,
}

impl Tally {
    fn of(pod: &Pod, status: &PodStatus) -> Tally {
        let mut tally = Tally::default();
        tally.count_init(pod, status);
        for container in regular(pod) {
            match status_of(status.container_statuses.as_ref(), &container.name) {
                Some(found) if is_running(found) => tally.running += 1,
                Some(found) => match terminated(found) {
                    Some(end) => {
                        tally.stopped += 1;
                        // A container that waits to be restarted is not over, however its last run ended.
                        let over = !is_waiting(found);
                        tally.for_good += usize::from(over && !restarts(pod, container, end.exit_code));
                        tally.succeeded += usize::from(over && end.exit_code == 0);
                    }
                    None => tally.waiting += 1,
                },
                None => tally.unknown += 1,
            }
        }
        tally
    }

    fn count_init(&mut self, pod: &Pod, status: &PodStatus) {
        let initialized = has_started(status);
        for container in init(pod) {
            let found = status_of(status.init_container_statuses.as_ref(), &container.name);
            let sidecar = is_sidecar(container);
            match found {
                Some(found) if sidecar && is_running(found) => {
                    self.pending += usize::from(found.started != Some(true) && !initialized);
                    self.running += 1;
                }
                Some(found) if is_running(found) => self.pending += 1,
                Some(found) => match terminated(found) {
                    Some(end) if !sidecar && !is_waiting(found) && end.exit_code != 0 => {
                        self.failed_to_initialize += usize::from(!restarts_init(pod, container, end.exit_code));
                    }
                    Some(_) => {}
                    None if sidecar => {
                        self.pending += usize::from(!initialized);
                        self.waiting += 1;
                    }
                    None => self.pending += 1,
                },
                None if sidecar => self.unknown += 1,
                None => self.pending += 1,
            }
        }
    }
}

/// The phase of a pod whose containers are as `status` says; `stopped` if none of them will be started again.
pub(crate) fn phase(pod: &Pod, status: &PodStatus, stopped: bool) -> &'static str {
    let tally = Tally::of(pod, status);
    if tally.failed_to_initialize > 0 {
        return "Failed";
    }
    if tally.pending > 0 || tally.waiting > 0 {
        return "Pending";
    }
    match tally {
        Tally { unknown: 1.., .. } => "Pending",
        Tally { running: 1.., .. } => "Running",
        Tally { stopped: 0, .. } => "Pending",
        _ if !stopped && tally.stopped != tally.for_good => "Running",
        _ if tally.stopped == tally.succeeded => "Succeeded",
        _ => "Failed",
    }
}
