//! The pods that are bound to one node, as far as the node has to know them.
//!
//! A pod is kept only while something is to be done about it or will be by time alone. Of one that just runs there remain
//! its name, its uid and what it takes of the node: if it changes, the watch brings it whole.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use client::cache::Sink;
use client::queue::{Backoff, WorkQueue};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, EphemeralContainer, Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Duration;

use super::addresses::Addresses;
use super::options::Valid;
use super::plan::{EXIT_CODE, Place, Plan, RUN_SECONDS, Refusal, Seen, is_terminal, plan};
use super::random::generator;
use super::room::{Requests, refusal};

/// How long a pod waits with which a request failed.
const BACKOFF: Backoff = Backoff { first: Duration::from_millis(200), longest: Duration::from_secs(60) };

/// Names a pod: `namespace/name`.
pub(super) type Name = Arc<str>;

/// The pods of one node.
pub(super) struct Pods {
    options: Arc<Valid>,
    node: String,
    host: IpAddr,
    held: Mutex<Held>,
    /// The names of pods that are to be looked at.
    pub(super) queue: WorkQueue<Name>,
    listed: watch::Sender<bool>,
}

#[derive(Default)]
struct Held {
    pods: BTreeMap<Name, Entry>,
    addresses: Addresses,
    /// Whether there are ranges of addresses.
    has_ranges: bool,
}

/// What is known of a pod.
struct Entry {
    uid: Box<str>,
    revision: u64,
    seen: Seen,
    requests: Requests,
    refusal: Option<Box<Refusal>>,
    /// Whether it takes of the node what it requests.
    admitted: bool,
    addresses: Vec<IpAddr>,
    /// As it is, while something remains to be done: as JSON, which takes a third of the memory.
    pod: Option<Box<[u8]>>,
}

impl Pods {
    pub(super) fn new(options: Arc<Valid>, number: u32) -> Pods {
        let (node, host) = (options.name(number), options.address(number));
        let queue = WorkQueue::new(BACKOFF);
        Pods { options, node, host, held: Mutex::default(), queue, listed: watch::Sender::new(false) }
    }

    /// Waits until all pods are known that were bound to the node at the beginning.
    pub(super) async fn listed(&self) {
        // The sender is ours.
        let _ = self.listed.subscribe().wait_for(|listed| *listed).await;
    }

    /// Whether it is known which addresses pods get.
    pub(super) fn has_ranges(&self) -> bool {
        self.held.lock().has_ranges
    }

    /// From now on, pods get addresses of these ranges.
    pub(super) fn set_ranges<'a>(&self, ranges: impl IntoIterator<Item = &'a str>) {
        let mut held = self.held.lock();
        held.addresses.set_ranges(ranges);
        held.has_ranges = true;
    }

    /// Decides what to do about a pod. `None` if nothing is.
    pub(super) fn consider(&self, name: &Name, now: Timestamp) -> Option<(Pod, Plan)> {
        let mut held = self.held.lock();
        let held = &mut *held;
        let entry = held.pods.get(name)?;
        let pod: Pod = serde_json::from_slice(entry.pod.as_deref()?).ok()?;
        if !entry.admitted && entry.refusal.is_none() && is_active(&pod) {
            let refusal = refusal_of(entry, &pod, &held.pods, &self.options);
            let addresses = if refusal.is_some() || is_on_host(&pod) { Vec::new() } else { held.addresses.take() };
            let entry = held.pods.get_mut(name)?;
            entry.admitted = refusal.is_none();
            (entry.refusal, entry.addresses) = (refusal.map(Box::new), addresses);
        }
        let entry = held.pods.get_mut(name)?;
        if entry.addresses.is_empty() && entry.admitted && !is_on_host(&pod) {
            // There were none when it came.
            entry.addresses = held.addresses.take();
        }
        let place = Place {
            host: self.host,
            addresses: &entry.addresses,
            refusal: entry.refusal.as_deref(),
            delays: &self.options.delays,
        };
        let mut random = generator(self.options.seed, &self.node, &entry.uid);
        let plan = plan(&pod, &place, entry.seen, now, &mut random);
        entry.seen = plan.seen;
        if plan.act.is_none() && plan.again.is_none() {
            entry.pod = None;
        }
        Some((pod, plan))
    }

    /// Takes in a pod as it is now. `false` if that was known.
    pub(super) fn take(&self, pod: Pod) -> bool {
        let (Some(name), Some(uid)) = (name_of(&pod.metadata), pod.metadata.uid.clone()) else { return false };
        let revision = revision_of(&pod.metadata);
        let mut held = self.held.lock();
        let held = &mut *held;
        if let Some(known) = held.pods.get(&name) {
            if *known.uid != *uid {
                forget(held, &name);
            } else if known.revision >= revision {
                return false;
            }
        }
        let entry = held.pods.entry(Arc::clone(&name)).or_insert_with(|| Entry {
            uid: uid.into(),
            revision,
            seen: Seen::default(),
            requests: Requests::default(),
            refusal: None,
            admitted: false,
            addresses: Vec::new(),
            pod: None,
        });
        entry.revision = revision;
        entry.requests = Requests::of(&pod);
        let status = pod.status.as_ref();
        // What was accepted by a process before this one is not questioned.
        entry.admitted |= status.is_some_and(|status| status.start_time.is_some());
        if !is_active(&pod) {
            entry.admitted = false;
            held.addresses.release(&std::mem::take(&mut entry.addresses));
        } else if entry.addresses.is_empty() && !is_on_host(&pod) {
            let stated = status.into_iter().flat_map(|status| status.pod_ips.iter().flatten());
            entry.addresses = stated.filter_map(|address| address.ip.parse().ok()).collect();
            held.addresses.reserve(&entry.addresses);
        }
        // What came as JSON can become JSON.
        entry.pod = serde_json::to_vec(&slim(pod)).ok().map(Vec::into_boxed_slice);
        self.queue.add(name);
        true
    }

    /// Forgets a pod that is gone.
    fn forget(&self, meta: &ObjectMeta) {
        let Some(name) = name_of(meta) else { return };
        let mut held = self.held.lock();
        if held.pods.get(&name).is_some_and(|known| meta.uid.as_deref() == Some(&*known.uid)) {
            forget(&mut held, &name);
        }
    }

    /// Lets go of a pod about which the node can do nothing more, until it changes.
    pub(super) fn rest(&self, name: &Name, pod: &Pod) {
        let mut held = self.held.lock();
        if let Some(entry) = held.pods.get_mut(name)
            && pod.metadata.uid.as_deref() == Some(&*entry.uid)
            && entry.revision == revision_of(&pod.metadata)
        {
            entry.pod = None;
        }
    }

    /// How many pods are bound to the node, and how many of them are kept whole.
    #[cfg(test)]
    pub(super) fn count(&self) -> (usize, usize) {
        let held = self.held.lock();
        (held.pods.len(), held.pods.values().filter(|entry| entry.pod.is_some()).count())
    }
}

impl Sink<Pod> for Pods {
    fn replace(&self, listed: Vec<Pod>, _: u64) {
        let names: std::collections::BTreeSet<Name> = listed.iter().filter_map(|pod| name_of(&pod.metadata)).collect();
        {
            let mut held = self.held.lock();
            let gone: Vec<Name> = held.pods.keys().filter(|name| !names.contains(*name)).cloned().collect();
            gone.iter().for_each(|name| forget(&mut held, name));
        }
        for pod in listed {
            self.take(pod);
        }
        self.listed.send_replace(true);
    }

    fn put(&self, pod: Pod) {
        self.take(pod);
    }

    fn remove(&self, pod: Pod) {
        self.forget(&pod.metadata);
    }

    fn advance(&self, _: u64) {}
}

fn forget(held: &mut Held, name: &Name) {
    if let Some(entry) = held.pods.remove(name) {
        held.addresses.release(&entry.addresses);
    }
}

/// Why there is no room for a pod beside those that are there.
fn refusal_of(entry: &Entry, pod: &Pod, others: &BTreeMap<Name, Entry>, options: &Valid) -> Option<Refusal> {
    if pod.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let admitted = others.values().filter(|other| other.admitted);
    let (count, used) =
        admitted.fold((0, Requests::default()), |(count, used), other| (count + 1, used.plus(other.requests)));
    refusal(entry.requests, used, count, &options.capacity)
}

fn is_active(pod: &Pod) -> bool {
    !is_terminal(pod.status.as_ref().and_then(|status| status.phase.as_deref()))
}

fn is_on_host(pod: &Pod) -> bool {
    pod.spec.as_ref().is_some_and(|spec| spec.host_network == Some(true))
}

fn name_of(meta: &ObjectMeta) -> Option<Name> {
    let (namespace, name) = (meta.namespace.as_ref()?, meta.name.as_ref()?);
    Some(format!("{namespace}/{name}").into())
}

fn revision_of(meta: &ObjectMeta) -> u64 {
    meta.resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or(0)
}

/// A pod without what no decision needs, which is most of it.
fn slim(pod: Pod) -> Pod {
    let Pod { metadata, spec, status } = pod;
    let mut annotations = metadata.annotations.unwrap_or_default();
    annotations.retain(|key, _| key == RUN_SECONDS || key == EXIT_CODE);
    let metadata = ObjectMeta {
        annotations: Some(annotations).filter(|annotations| !annotations.is_empty()),
        deletion_grace_period_seconds: metadata.deletion_grace_period_seconds,
        deletion_timestamp: metadata.deletion_timestamp,
        generation: metadata.generation,
        name: metadata.name,
        namespace: metadata.namespace,
        resource_version: metadata.resource_version,
        uid: metadata.uid,
        ..ObjectMeta::default()
    };
    let all = |containers: Vec<Container>| containers.into_iter().map(slim_container).collect::<Vec<_>>();
    let spec = spec.map(|spec| PodSpec {
        active_deadline_seconds: spec.active_deadline_seconds,
        containers: all(spec.containers),
        ephemeral_containers: spec.ephemeral_containers.map(|all| all.into_iter().map(slim_ephemeral).collect()),
        host_network: spec.host_network,
        init_containers: spec.init_containers.map(all),
        readiness_gates: spec.readiness_gates,
        restart_policy: spec.restart_policy,
        ..PodSpec::default()
    });
    Pod { metadata, spec, status }
}

fn slim_container(container: Container) -> Container {
    Container {
        image: container.image,
        name: container.name,
        readiness_probe: container.readiness_probe,
        resources: container.resources,
        restart_policy: container.restart_policy,
        startup_probe: container.startup_probe,
        volume_mounts: container.volume_mounts,
        ..Container::default()
    }
}

fn slim_ephemeral(container: EphemeralContainer) -> EphemeralContainer {
    EphemeralContainer {
        image: container.image,
        name: container.name,
        volume_mounts: container.volume_mounts,
        ..EphemeralContainer::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::options::{Capacity, Options};
    use super::super::plan::Act;
    use super::*;

    /// The pods of a node with room for three.
    fn pods() -> Pods {
        let capacity = Capacity { pods: 3, ..Capacity::default() };
        let options = Options { capacity, ..Options::default() }.validated().unwrap();
        let pods = Pods::new(Arc::new(options), 0);
        pods.set_ranges(["10.0.0.0/24"]);
        pods
    }

    fn pod(name: &str, uid: &str, revision: u64, phase: &str, addresses: &[&str]) -> Pod {
        let addresses: Vec<_> = addresses.iter().map(|address| json!({"ip": address})).collect();
        let started = Some("2020-01-01T00:00:00Z").filter(|_| !addresses.is_empty());
        let metadata = json!({
            "name": name, "namespace": "n", "uid": uid, "resourceVersion": revision.to_string(),
            "labels": {"a": "b"}, "managedFields": [{"manager": "m"}],
        });
        let spec =
            json!({"containers": [{"name": "a", "image": "i", "env": [{"name": "E"}]}], "volumes": [{"name": "v"}]});
        let status = json!({"phase": phase, "startTime": started, "podIP": addresses.first().map(|it| &it["ip"]),
            "podIPs": addresses, "containerStatuses": Option::<()>::None});
        serde_json::from_value(json!({"metadata": metadata, "spec": spec, "status": status})).unwrap()
    }

    fn consider(pods: &Pods, name: &str, second: i64) -> Option<Plan> {
        let now = Timestamp::from_second(second).unwrap();
        pods.consider(&name.into(), now).map(|(_, plan)| plan)
    }

    fn patch(plan: Option<Plan>) -> serde_json::Value {
        match plan.and_then(|plan| plan.act) {
            Some(Act::Patch(patch)) => patch["status"].clone(),
            other => panic!("no patch but {other:?}"),
        }
    }

    #[test]
    fn what_is_old_is_not_taken_in() {
        let pods = pods();
        assert!(pods.take(pod("p", "1", 5, "Pending", &[])));
        assert!(!pods.take(pod("p", "1", 5, "Pending", &[])));
        assert!(!pods.take(pod("p", "1", 4, "Pending", &[])));
        assert!(pods.take(pod("p", "2", 4, "Pending", &[])), "another pod of the same name");
        pods.forget(&pod("p", "1", 9, "Pending", &[]).metadata);
        assert_eq!(pods.count(), (1, 1), "the one that is gone was the other");
        pods.forget(&pod("p", "2", 9, "Pending", &[]).metadata);
        assert_eq!(pods.count(), (0, 0));
        assert!(consider(&pods, "n/p", 0).is_none());
    }

    #[test]
    fn pods_about_which_nothing_is_to_be_done_are_not_kept() {
        let pods = pods();
        pods.take(pod("p", "1", 1, "Succeeded", &[]));
        assert_eq!(pods.count(), (1, 1));
        assert_eq!(consider(&pods, "n/p", 0).and_then(|plan| plan.act), None);
        assert_eq!(pods.count(), (1, 0));
        pods.take(pod("q", "2", 2, "Pending", &[]));
        let (kept, _) = pods.consider(&"n/q".into(), Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!((kept.metadata.labels.as_ref(), kept.metadata.managed_fields.as_ref()), (None, None));
        pods.rest(&"n/q".into(), &kept);
        assert_eq!(pods.count(), (2, 0));
        // A list that lacks them tells that they are gone.
        Sink::replace(&pods, vec![pod("p", "1", 1, "Succeeded", &[])], 3);
        assert_eq!(pods.count(), (1, 0));
    }

    #[test]
    fn room_and_addresses_are_given_back() {
        let pods = pods();
        // This one was accepted by a process before this one.
        pods.take(pod("old", "0", 1, "Pending", &["10.0.0.2"]));
        for (name, uid) in [("a", "1"), ("b", "2"), ("c", "3")] {
            pods.take(pod(name, uid, 2, "Pending", &[]));
        }
        assert_eq!(patch(consider(&pods, "n/a", 0))["startTime"], "1970-01-01T00:00:00Z");
        assert_eq!(patch(consider(&pods, "n/b", 0))["startTime"], "1970-01-01T00:00:00Z");
        assert_eq!(patch(consider(&pods, "n/c", 0))["reason"], "OutOfpods");
        let address = |plan| patch(plan)["podIP"].clone();
        let accepted = |name: &str, uid: &str, revision| {
            let mut pod = pod(name, uid, revision, "Pending", &[]);
            let start = json!({"phase": "Pending", "startTime": "1970-01-01T00:00:00Z"});
            pod.status = serde_json::from_value(start).unwrap();
            pod
        };
        pods.take(accepted("a", "1", 3));
        assert_eq!(address(consider(&pods, "n/a", 60)), "10.0.0.3");
        pods.take(pod("a", "1", 4, "Succeeded", &["10.0.0.3"]));
        pods.forget(&pod("old", "0", 5, "Running", &[]).metadata);
        for (name, uid) in [("d", "4"), ("e", "5"), ("f", "6")] {
            pods.take(pod(name, uid, 6, "Pending", &[]));
        }
        assert_eq!(patch(consider(&pods, "n/d", 60))["startTime"], "1970-01-01T00:01:00Z");
        assert_eq!(patch(consider(&pods, "n/e", 60))["startTime"], "1970-01-01T00:01:00Z");
        assert_eq!(patch(consider(&pods, "n/f", 60))["reason"], "OutOfpods");
        pods.take(accepted("d", "4", 7));
        assert_eq!(address(consider(&pods, "n/d", 120)), "10.0.0.5");
    }
}
