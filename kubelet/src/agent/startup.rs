//! How long a pod took to start, as upstream's kubelets measure it: from its creation until the API has it that all of its
//! containers run. Of that, the time in which images were pulled and init containers ran counts for nothing where it is
//! measured what the cluster promises (`pod_start_sli`).

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodStatus, Volume};

/// What is known of a pod's start.
#[derive(Debug, Default)]
pub(super) struct Startup {
    /// Whether it is measured: not of a pod that an agent before this one has begun with, nor twice.
    measured: bool,
    /// How long its images were pulled.
    pulling: Duration,
}

/// How long a start took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Took {
    /// In all.
    pub(super) total: Duration,
    /// Without what counts for nothing; `None` of a pod that the promise is not about.
    pub(super) promised: Option<Duration>,
}

impl Startup {
    /// Of a pod as it was when it was seen first.
    pub(super) fn of(pod: &Pod) -> Startup {
        let status = pod.status.as_ref();
        let begun = status.is_some_and(|status| status.start_time.is_some());
        let mut conditions = status.iter().flat_map(|status| status.conditions.iter().flatten());
        // Who has to wait for room is promised nothing.
        let waits = conditions.any(|it| it.type_ == "PodScheduled" && it.status == "False");
        Startup { measured: !begun && !waits, pulling: Duration::ZERO }
    }

    /// Takes note of a pull.
    pub(super) fn pulled(&mut self, took: Duration) {
        self.pulling = self.pulling.saturating_add(took);
    }

    /// Takes note of what the API has of the pod at a time, and says how long the start took, once.
    pub(super) fn observe(&mut self, pod: &Pod, now: Timestamp) -> Option<Took> {
        let status = pod.status.as_ref().filter(|_| self.measured)?;
        if matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")) {
            self.measured = false;
            return None;
        }
        if !all_run(status) {
            return None;
        }
        self.measured = false;
        let created = pod.metadata.creation_timestamp.as_ref()?.0;
        let total = between(created, now);
        let counts_for_nothing = self.pulling.saturating_add(initializing(status));
        let promised = (!is_stateful(pod)).then(|| total.saturating_sub(counts_for_nothing));
        Some(Took { total, promised })
    }
}

fn between(from: Timestamp, to: Timestamp) -> Duration {
    to.duration_since(from).try_into().unwrap_or_default()
}

fn all_run(status: &PodStatus) -> bool {
    let runs = |it: &ContainerStatus| {
        let running = it.state.as_ref().and_then(|state| state.running.as_ref());
        running.is_some_and(|running| running.started_at.is_some())
    };
    let all = status.container_statuses.as_deref().unwrap_or_default();
    !all.is_empty() && all.iter().all(runs)
}

/// How long init containers ran that have ended, one after the other.
fn initializing(status: &PodStatus) -> Duration {
    let ran = |it: &ContainerStatus| {
        let end = it.state.as_ref()?.terminated.as_ref()?;
        Some(between(end.started_at.as_ref()?.0, end.finished_at.as_ref()?.0))
    };
    status.init_container_statuses.iter().flatten().filter_map(ran).sum()
}

/// Whether a pod mounts what may have to be brought to the node first.
fn is_stateful(pod: &Pod) -> bool {
    let is_made_here = |volume: &Volume| {
        let of_pod = |attributes: &std::collections::BTreeMap<String, String>| {
            attributes.get("csi.storage.k8s.io/ephemeral").is_some_and(|is| is == "true")
        };
        volume.secret.is_some()
            || volume.config_map.is_some()
            || volume.downward_api.is_some()
            || volume.empty_dir.is_some()
            || volume.projected.is_some()
            || volume.git_repo.is_some()
            || volume.image.is_some()
            || volume.ephemeral.is_some()
            || volume.csi.as_ref().and_then(|csi| csi.volume_attributes.as_ref()).is_some_and(of_pod)
    };
    pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten()).any(|volume| !is_made_here(volume))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(volume: Value, status: Value) -> Pod {
        let metadata = json!({"name": "p", "creationTimestamp": "2026-01-01T00:00:00Z"});
        let spec = json!({"containers": [{"name": "c"}], "volumes": [volume]});
        serde_json::from_value(json!({"metadata": metadata, "spec": spec, "status": status})).unwrap()
    }

    fn container(state: Value) -> Value {
        json!({"name": "c", "ready": true, "restartCount": 0, "image": "", "imageID": "", "state": state})
    }

    fn running() -> Value {
        let end = json!({"exitCode": 0, "startedAt": "2026-01-01T00:00:02Z", "finishedAt": "2026-01-01T00:00:05Z"});
        json!({
            "phase": "Running",
            "initContainerStatuses": [container(json!({"terminated": end})), container(json!({"running": {}}))],
            "containerStatuses": [container(json!({"running": {"startedAt": "2026-01-01T00:00:09Z"}}))],
        })
    }

    fn empty() -> Value {
        json!({"name": "v", "emptyDir": {}})
    }

    fn took(volume: Value, first: Value) -> Option<Took> {
        let mut startup = Startup::of(&pod(volume.clone(), first));
        startup.pulled(Duration::from_secs(1));
        startup.pulled(Duration::from_secs(1));
        let at = |seconds: i64| {
            "2026-01-01T00:00:00Z".parse::<Timestamp>().unwrap() + jiff::SignedDuration::from_secs(seconds)
        };
        let waiting = json!({"phase": "Pending", "containerStatuses": [container(json!({"waiting": {}}))]});
        assert_eq!(startup.observe(&pod(volume.clone(), waiting), at(1)), None);
        assert_eq!(startup.observe(&pod(volume.clone(), json!({"phase": "Pending"})), at(1)), None);
        let took = startup.observe(&pod(volume.clone(), running()), at(10));
        assert_eq!(startup.observe(&pod(volume, running()), at(11)), None, "once");
        took
    }

    #[test]
    fn a_start_is_measured_once() {
        let seconds = Duration::from_secs;
        let nothing = || json!({"phase": "Pending"});
        assert_eq!(took(empty(), nothing()), Some(Took { total: seconds(10), promised: Some(seconds(5)) }));
        let disk = json!({"name": "v", "persistentVolumeClaim": {"claimName": "c"}});
        assert_eq!(took(disk, nothing()), Some(Took { total: seconds(10), promised: None }));
        let begun = json!({"phase": "Pending", "startTime": "2026-01-01T00:00:00Z"});
        assert_eq!(took(empty(), begun), None, "another agent has begun with it");
        let waited = json!({"conditions": [{"type": "PodScheduled", "status": "False"}]});
        assert_eq!(took(empty(), waited), None);
        let mut over = Startup::of(&pod(empty(), nothing()));
        assert_eq!(over.observe(&pod(empty(), json!({"phase": "Failed"})), Timestamp::now()), None);
        assert_eq!(over.observe(&pod(empty(), running()), Timestamp::now()), None);
    }
}
