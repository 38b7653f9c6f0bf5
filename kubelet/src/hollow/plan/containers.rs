//! The states of single containers: waiting, running, ended, and waiting to be started again.

use std::fmt::Write as _;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    Container, ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus,
    Pod, VolumeMountStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use sha2::{Digest, Sha256};

use super::draws::{ready_after, started_after};
use super::{annotation, earlier};
use crate::pod_plan::phase::terminated;
use crate::pod_plan::spec::restarts;
use crate::pod_plan::statuses::mount;
use crate::pod_plan::time::{after, minutes, second};

/// For how many seconds each container of a pod runs, time after time. Without it they run for ever.
pub const RUN_SECONDS: &str = "hollow.gantry.io/run-seconds";
/// With what they exit then; 0 by default.
pub const EXIT_CODE: &str = "hollow.gantry.io/exit-code";

/// How long a container waits that has ended for the second time, and the most that it waits after further ends.
const FIRST_BACKOFF: u64 = 10;
const LONGEST_BACKOFF: u64 = 300;
/// A container that ran so long is not one that crashes again and again.
const FORGIVEN: Duration = Duration::from_secs(2 * LONGEST_BACKOFF);
/// Times in the API are whole seconds, so that a moment may have been up to a second later than it says. What is to last
/// some seconds after it lasts no less.
const ROUNDING: Duration = Duration::from_secs(1);

/// A container that has not been started.
pub(super) fn waiting(container: &Container, reason: &str) -> ContainerStatus {
    let waiting = ContainerStateWaiting { reason: Some(reason.to_owned()), message: None };
    let mounts: Vec<VolumeMountStatus> = container.volume_mounts.iter().flatten().map(mount).collect();
    ContainerStatus {
        name: container.name.clone(),
        image: container.image.clone().unwrap_or_default(),
        state: Some(ContainerState { waiting: Some(waiting), ..ContainerState::default() }),
        last_state: Some(ContainerState::default()),
        started: Some(false),
        volume_mounts: Some(mounts).filter(|mounts| !mounts.is_empty()),
        ..ContainerStatus::default()
    }
}

fn hex(text: &str) -> String {
    let mut hex = String::with_capacity(64);
    for byte in Sha256::digest(text) {
        // Writing to a string does not fail.
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

/// The digest under which an image is known: the same on every node.
fn image_id(image: &str) -> String {
    let (name, digest) = image.split_once('@').unwrap_or((image, ""));
    // A colon after the last slash begins the tag.
    let tag = name.rfind(':').filter(|colon| name.rfind('/').is_none_or(|slash| slash < *colon));
    let repository = tag.map_or(name, |tag| &name[..tag]);
    if digest.is_empty() { format!("{repository}@sha256:{}", hex(name)) } else { format!("{repository}@{digest}") }
}

/// Has a container run since `since`.
pub(super) fn run(pod: &Pod, container: &Container, status: &mut ContainerStatus, since: Timestamp) {
    let uid = pod.metadata.uid.as_deref().unwrap_or_default();
    status.image = container.image.clone().unwrap_or_default();
    status.image_id = image_id(&status.image);
    status.container_id =
        Some(format!("containerd://{}", hex(&format!("{uid}/{}/{}", status.name, status.restart_count))));
    let running = ContainerStateRunning { started_at: Some(Time(second(since))) };
    status.state = Some(ContainerState { running: Some(running), ..ContainerState::default() });
    (status.started, status.ready) = (Some(false), false);
    allocate(container, status);
}

/// Gives a container that runs what its spec says, at once.
fn allocate(container: &Container, status: &mut ContainerStatus) {
    let resources = container.resources.clone().unwrap_or_default();
    status.allocated_resources = resources.requests.clone().filter(|requests| !requests.is_empty());
    status.resources = Some(resources);
}

/// Has a container that ran end.
pub(super) fn end(status: &mut ContainerStatus, exit_code: i32, at: Timestamp) {
    let started_at = status.state.as_ref().and_then(|state| state.running.as_ref()?.started_at.clone());
    let reason = if exit_code == 0 { "Completed" } else { "Error" };
    let terminated = ContainerStateTerminated {
        exit_code,
        reason: Some(reason.to_owned()),
        started_at,
        finished_at: Some(Time(second(at))),
        container_id: status.container_id.clone(),
        ..ContainerStateTerminated::default()
    };
    status.state = Some(ContainerState { terminated: Some(terminated), ..ContainerState::default() });
    (status.started, status.ready) = (Some(false), false);
}

/// Has a container be over that was never seen to run.
pub(super) fn lose(status: &mut ContainerStatus) {
    let terminated = ContainerStateTerminated {
        exit_code: 137,
        reason: Some("ContainerStatusUnknown".to_owned()),
        message: Some("The container could not be located when the pod was terminated".to_owned()),
        ..ContainerStateTerminated::default()
    };
    status.state = Some(ContainerState { terminated: Some(terminated), ..ContainerState::default() });
    (status.started, status.ready) = (Some(false), false);
}

/// How long each container of a pod runs, and with what it exits.
fn lifetime(pod: &Pod) -> Option<(Duration, i32)> {
    let seconds: u32 = annotation(pod, RUN_SECONDS)?.parse().ok()?;
    let exit_code = annotation(pod, EXIT_CODE).and_then(|code| code.parse::<u8>().ok()).unwrap_or(0);
    Some((Duration::from_secs(seconds.into()), exit_code.into()))
}

/// Brings a container of a pod that has started to where it is now, one step at most, and says when the next is due.
pub(super) fn advance(
    pod: &Pod,
    container: &Container,
    status: &mut ContainerStatus,
    ends: bool,
    now: Timestamp,
) -> Option<Timestamp> {
    let running = status.state.as_ref().and_then(|state| state.running.clone());
    let Some(running) = running else {
        let Some(ended) = terminated(status).cloned() else {
            run(pod, container, status, now);
            return probe(container, status, now, now);
        };
        return restart(pod, container, status, &ended, now);
    };
    let since = running.started_at.map_or(now, |since| since.0);
    if container.image.as_ref().is_some_and(|image| *image != status.image) {
        // The container is replaced by one of the new image.
        end(status, 0, now);
        again(pod, container, status, now);
        return probe(container, status, now, now);
    }
    let lifetime = lifetime(pod).filter(|_| ends);
    if let Some((run, exit_code)) = lifetime
        && after(since, run + ROUNDING) <= now
    {
        end(status, exit_code, after(since, run));
        let ended = terminated(status).cloned().unwrap_or_default();
        return restart(pod, container, status, &ended, now);
    }
    allocate(container, status);
    let next = probe(container, status, since, now);
    earlier(next, lifetime.map(|(run, _)| after(since, run + ROUNDING)))
}

/// Sets what probes have found until now.
fn probe(container: &Container, status: &mut ContainerStatus, since: Timestamp, now: Timestamp) -> Option<Timestamp> {
    let due = |delay: Duration| if delay.is_zero() { since } else { after(since, delay + ROUNDING) };
    let (started, ready) = (due(started_after(container)), due(ready_after(container)));
    // What was found stays, should the clock have been set back.
    status.started = Some(status.started == Some(true) || started <= now);
    status.ready = status.ready || ready <= now;
    let waits = [(status.started != Some(true), started), (!status.ready, ready)];
    waits.into_iter().filter_map(|(waits, due)| Some(due).filter(|_| waits)).min()
}

/// Starts a container again that has ended, if and when its time has come.
fn restart(
    pod: &Pod,
    container: &Container,
    status: &mut ContainerStatus,
    ended: &ContainerStateTerminated,
    now: Timestamp,
) -> Option<Timestamp> {
    if !restarts(pod, container, ended.exit_code) {
        return None;
    }
    let time = |time: &Option<Time>| time.as_ref().map_or(now, |time| time.0);
    let (began, finished) = (time(&ended.started_at), time(&ended.finished_at));
    let delay = backoff(status.restart_count, began, finished);
    let due = after(finished, delay);
    if due <= now {
        again(pod, container, status, now);
        return probe(container, status, now, now);
    }
    let meta = &pod.metadata;
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let (name, namespace, uid) = (text(&meta.name), text(&meta.namespace), text(&meta.uid));
    let message = format!(
        "back-off {} restarting failed container={} pod={name}_{namespace}({uid})",
        minutes(delay),
        container.name
    );
    let waiting = ContainerStateWaiting { reason: Some("CrashLoopBackOff".to_owned()), message: Some(message) };
    status.last_state = Some(ContainerState { terminated: Some(ended.clone()), ..ContainerState::default() });
    status.state = Some(ContainerState { waiting: Some(waiting), ..ContainerState::default() });
    (status.started, status.ready) = (Some(false), false);
    Some(due)
}

fn again(pod: &Pod, container: &Container, status: &mut ContainerStatus, now: Timestamp) {
    if let Some(ended) = terminated(status).cloned() {
        status.last_state = Some(ContainerState { terminated: Some(ended), ..ContainerState::default() });
    }
    status.restart_count = status.restart_count.saturating_add(1);
    run(pod, container, status, now);
}

/// How long a container waits that has been restarted so often.
fn backoff(restarts: i32, began: Timestamp, finished: Timestamp) -> Duration {
    let ran = Duration::try_from(finished.duration_since(began)).unwrap_or_default();
    let doublings = match u32::try_from(restarts) {
        Ok(0) | Err(_) => return Duration::ZERO,
        Ok(_) if ran >= FORGIVEN => return Duration::ZERO,
        Ok(restarts) => (restarts - 1).min(16),
    };
    Duration::from_secs((FIRST_BACKOFF << doublings).min(LONGEST_BACKOFF))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_have_digests() {
        let of = |text| hex(text);
        let check = |image, expected: String| assert_eq!(image_id(image), expected);
        check("nginx", format!("nginx@sha256:{}", of("nginx")));
        check("nginx:1.29", format!("nginx@sha256:{}", of("nginx:1.29")));
        check("localhost:5000/a/b", format!("localhost:5000/a/b@sha256:{}", of("localhost:5000/a/b")));
        check("localhost:5000/a/b:1", format!("localhost:5000/a/b@sha256:{}", of("localhost:5000/a/b:1")));
        check("nginx:1.29@sha256:12", "nginx@sha256:12".to_owned());
        assert_eq!(of("").len(), 64);
    }

    #[test]
    fn containers_that_crash_wait_longer_each_time() {
        let began = Timestamp::UNIX_EPOCH;
        let check = |restarts, ran: u64, expected: &str| {
            let finished = after(began, Duration::from_secs(ran));
            assert_eq!(minutes(backoff(restarts, began, finished)), expected);
        };
        let waits = [(0, "0s"), (1, "10s"), (2, "20s"), (3, "40s"), (4, "1m20s"), (5, "2m40s"), (6, "5m0s")];
        for (restarts, expected) in waits {
            check(restarts, 1, expected);
        }
        check(i32::MAX, 1, "5m0s");
        check(i32::MIN, 1, "0s");
        check(6, 600, "0s");
    }
}
