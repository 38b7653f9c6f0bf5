//! Whether the node takes a pod, and whether one that it has taken gets other resources than it had.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;

use super::Agent;
use super::granted::Granted;
use super::pods::{Entry, Origin};
use crate::admission::{self, Decision};
use crate::pod_plan::{Condemned, Resize, Verdict};

impl Agent {
    /// Decides about a pod that is new to this agent.
    pub(super) fn admit(&self, entry: &Entry) {
        let asks = entry.pod();
        let status = asks.status.as_ref();
        let over = status.is_some_and(|status| matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")));
        if entry.origin == Origin::Runtime || over {
            return;
        }
        let taken = status.is_some_and(|status| status.start_time.is_some());
        // What it was refused is nothing that there has to be room for.
        let granted = Granted::find(&self.hands.paths, &asks);
        let pod = granted.in_place_of(&asks);
        if pod != *asks {
            *entry.granted.lock() = Some(Arc::new(granted));
        }
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
        others.map(|other| (Arc::clone(&other), other.granted())).collect()
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
            shutting_down: health.shutting_down,
            apparmor: std::path::Path::new("/sys/kernel/security/apparmor").exists(),
        }
    }
}
