//! What a scheduler does for each pod, and how long each part takes.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rustix::time::{ClockId, clock_gettime};
use scheduler::config::ExtensionPoint;
use scheduler::cycle::{Attempt, Candidate, Decision, Memory, PostFilter, Profile, schedule_with};
use scheduler::snapshot::{PodInfo, Snapshot};

use crate::storage::{self, Storage};

/// How long this thread has run for, which does not depend on what else the machine does.
fn now() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap_or_default(), time.tv_nsec.try_into().unwrap_or_default())
}

/// How long what took, all in all.
#[derive(Default)]
pub(crate) struct Spent {
    pub(crate) read: Duration,
    pub(crate) decide: Duration,
    pub(crate) room: Duration,
    pub(crate) assume: Duration,
    pub(crate) events: Duration,
    /// How many pods found no node.
    pub(crate) unschedulable: usize,
}

/// A cluster as the scheduler sees it.
pub(crate) struct Cluster {
    snapshot: Snapshot,
    profile: Profile,
    memory: Memory,
    start: usize,
    random: StdRng,
    /// Where the volumes of pods come from, if they have any.
    pub(crate) storage: Option<Storage>,
    pub(crate) spent: Spent,
}

impl Default for Cluster {
    fn default() -> Self {
        Self {
            snapshot: Snapshot::default(),
            profile: Profile::default(),
            memory: Memory::default(),
            start: 0,
            random: StdRng::seed_from_u64(0),
            storage: None,
            spent: Spent::default(),
        }
    }
}

impl Cluster {
    pub(crate) fn set_namespace(&mut self, name: &str, labels: &BTreeMap<String, String>) {
        self.snapshot.set_namespace(name, labels.clone());
    }

    pub(crate) fn set_node(&mut self, node: &Node) {
        self.snapshot.set_node(node);
        if let Some(storage) = self.storage {
            storage::add_node(&mut self.snapshot, storage, node);
        }
    }

    /// Brings the pod to a node, if there is one for it or can be.
    pub(crate) fn schedule(&mut self, mut pod: Pod) {
        if let Some(storage) = self.storage {
            storage::add_pod(&mut self.snapshot, storage, &pod);
        }
        let begin = now();
        let info = PodInfo::new(&pod);
        self.snapshot.watch(&info);
        let read = now();
        let mut decision = self.decide(&pod, &info, None);
        let decided = now();
        if decision.node.is_none() {
            decision = self.make_room(&pod, &info, decision);
        }
        let made = now();
        self.spent.read += read - begin;
        self.spent.decide += decided - read;
        self.spent.room += made - decided;
        let Some(node) = decision.node else {
            self.spent.unschedulable += 1;
            return;
        };
        let name = self.snapshot.node(node).name.clone();
        let begin = now();
        self.snapshot.assume(&pod, &name);
        let uid = pod.metadata.uid.as_deref().unwrap_or_default();
        for plugin in self.profile.at(ExtensionPoint::Reserve) {
            let candidate = Candidate { uid, info: &info, nominated_node: None };
            plugin.reserve(&mut self.snapshot, &candidate, node).expect("the node was found to be for the pod");
        }
        self.spent.assume += now() - begin;
        pod.spec.get_or_insert_default().node_name = Some(name);
        self.hear(&pod);
        let status = pod.status.get_or_insert_default();
        status.phase = Some("Running".to_owned());
        status.start_time = Some(Time(jiff::Timestamp::UNIX_EPOCH));
        self.hear(&pod);
    }

    fn hear(&mut self, pod: &Pod) {
        let begin = now();
        self.snapshot.set_pod(pod);
        self.spent.events += now() - begin;
    }

    fn decide(&mut self, pod: &Pod, info: &PodInfo, nominated_node: Option<&str>) -> Decision {
        let uid = pod.metadata.uid.as_deref().unwrap_or_default();
        let candidate = Candidate { uid, info, nominated_node };
        let (memory, profile) = (&mut self.memory, &self.profile);
        let decision = schedule_with(memory, &self.snapshot, profile, &candidate, self.start, &mut self.random);
        self.start = decision.next_start;
        decision
    }

    /// Has pods go for which the pod matters more, as soon as it is decided that they do, and decides again.
    fn make_room(&mut self, pod: &Pod, info: &PodInfo, decision: Decision) -> Decision {
        let uid = pod.metadata.uid.as_deref().unwrap_or_default();
        let candidate = Candidate { uid, info, nominated_node: None };
        let verdicts = &decision.verdicts;
        let attempt = Attempt { snapshot: &self.snapshot, profile: &self.profile, pod: &candidate, verdicts };
        let outcome = {
            let mut plugins = self.profile.at(ExtensionPoint::PostFilter);
            plugins.find_map(|plugin| plugin.post_filter_with(&mut self.memory, &attempt, &mut self.random))
        };
        match outcome {
            Some(PostFilter::Room { node, victims, .. }) => {
                let name = self.snapshot.node(node).name.clone();
                self.snapshot.nominate(pod, &name);
                victims.iter().for_each(|victim| self.snapshot.remove_pod(&victim.uid));
                self.decide(pod, info, Some(&name))
            }
            Some(PostFilter::Unhelpful { message, .. }) => {
                std::hint::black_box(verdicts.message(&message));
                decision
            }
            None => decision,
        }
    }
}
