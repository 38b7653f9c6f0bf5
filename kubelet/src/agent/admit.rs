//! Whether the node takes a pod, and whether one that it has taken gets other resources than it had.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use serde_json::json;

use super::Agent;
use super::pods::{Entry, Origin};
use crate::admission::{self, Decision};
use crate::pod_plan::{Condemned, Resize, Verdict};

impl Agent {
    /// Decides about a pod that is new to this agent.
    pub(super) fn admit(&self, entry: &Entry) {
        let pod = entry.pod();
        let status = pod.status.as_ref();
        let over = status.is_some_and(|status| matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")));
        if entry.origin == Origin::Runtime || over {
            return;
        }
        let taken = status.is_some_and(|status| status.start_time.is_some());
        let others = self.others(entry);
        let pods: Vec<&Pod> = others.iter().map(|(_, pod)| pod.as_ref()).collect();
        match admission::admit(&pod, &pods, &self.of_admission(), taken) {
            Decision::Admit => {}
            Decision::Reject(verdict) => {
                self.recorder.say(&pod, None, true, &verdict.reason, verdict.message.clone());
                entry.change(|want| want.rejected = Some(verdict));
            }
            Decision::Preempt(victims) => {
                for (victim, pod) in victims.iter().filter_map(|place| others.get(*place)) {
                    self.recorder.say(pod, None, true, admission::PREEMPTING, admission::PREEMPTED);
                    let (reason, message) = (admission::PREEMPTING.to_owned(), admission::PREEMPTED.to_owned());
                    let condemned = Condemned {
                        why: Verdict { reason, message },
                        grace: None,
                        disruption: Some("TerminationByKubelet".to_owned()),
                    };
                    victim.change(|want| want.condemned = Some(condemned));
                }
            }
        }
    }

    /// Whether a pod gets the resources that its spec says by now, which are others than those that it has; `None` if it
    /// does.
    pub(super) fn refuse_resize(&self, entry: &Entry, pod: &Pod) -> Option<Resize> {
        let others = self.others(entry);
        let pods: Vec<&Pod> = others.iter().map(|(_, pod)| pod.as_ref()).collect();
        match admission::resize(pod, &pods, &self.of_admission()) {
            admission::Resize::Possible => None,
            admission::Resize::Deferred(why) => Some(Resize::Deferred(why)),
            admission::Resize::Infeasible(why) => Some(Resize::Infeasible(why)),
        }
    }

    /// The pods that the node has taken, without this one.
    fn others(&self, entry: &Entry) -> Vec<(Arc<Entry>, Arc<Pod>)> {
        let others = self.pods.all().into_iter().filter(|other| other.uid != entry.uid && other.is_active());
        others.map(|other| (Arc::clone(&other), other.pod())).collect()
    }

    /// What the node goes by.
    fn of_admission(&self) -> admission::Node {
        let node = self.known.api_node();
        let meta = node.as_ref().map(|node| &node.metadata);
        let labels = meta.and_then(|meta| meta.labels.clone()).unwrap_or_default();
        let taints = node.as_ref().and_then(|node| node.spec.as_ref()?.taints.clone()).unwrap_or_default();
        let health = self.state.health.lock();
        let pressures = [
            (health.memory_pressure, "MemoryPressure"),
            (health.disk_pressure, "DiskPressure"),
            (health.pid_pressure, "PIDPressure"),
        ];
        admission::Node {
            name: self.node_name.clone(),
            labels,
            taints,
            allocatable: self.known.node().allocatable,
            pressures: pressures.iter().filter(|(under, _)| *under).map(|(_, kind)| (*kind).to_owned()).collect(),
            unsafe_sysctls: self.unsafe_sysctls.clone(),
            strict_groups: health.supplemental_groups_policy == Some(true),
            apparmor: std::path::Path::new("/sys/kernel/security/apparmor").exists(),
            ..admission::Node::default()
        }
    }
}

/// What a pod's spec says of resources, to see whether it says something else.
pub(super) fn resources_of(pod: &Pod) -> String {
    let spec = pod.spec.iter();
    let containers = spec.flat_map(|spec| spec.init_containers.iter().flatten().chain(&spec.containers));
    let all: Vec<_> = containers.map(|container| (&container.name, &container.resources)).collect();
    json!([all, pod.spec.as_ref().and_then(|spec| spec.resources.as_ref())]).to_string()
}

/// Whether a pod has by its status what its spec says: otherwise an agent before this one had not granted it yet.
pub(super) fn is_granted(pod: &Pod) -> bool {
    let statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    let spec = pod.spec.iter().flat_map(|spec| &spec.containers);
    let requests = |name: &str| {
        let container = spec.clone().find(|container| container.name == name)?;
        container.resources.as_ref()?.requests.clone()
    };
    statuses.into_iter().all(|status| {
        let allocated = status.allocated_resources.clone().unwrap_or_default();
        allocated.is_empty() || Some(allocated) == requests(&status.name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_granted_yet_is_known_by_the_status() {
        let check = |requested: &str, allocated: Option<&str>, expected: bool| {
            let allocated = allocated.map(|cpu| json!({"cpu": cpu}));
            let pod = json!({
                "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": requested}}}]},
                "status": {"containerStatuses": [{
                    "name": "c", "ready": true, "restartCount": 0, "image": "", "imageID": "", "allocatedResources": allocated,
                }]},
            });
            assert_eq!(is_granted(&serde_json::from_value(pod).unwrap()), expected);
        };
        check("1", None, true);
        check("1", Some("1"), true);
        check("2", Some("1"), false);
    }
}
