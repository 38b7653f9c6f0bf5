//! The pods that a node is to run, and what is known of each: from the API, from files, and those that are wanted by nobody
//! any more and still run.
//!
//! A pod is known by its uid. Each has one worker, which is told here whenever anything of it changes. A pod leaves when
//! its worker has seen to it that nothing of it is left on the node.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use client::cache::Sink;
use client::told::Told;
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::echo::{Said, is_echo};
use super::granted::Granted;
use super::startup::Startup;
use crate::observed::RuntimePod;
use crate::pod_plan::{Condemned, Verdict};

/// Names a pod: its uid.
pub(super) type Uid = Arc<str>;

/// Marks the pods of the API that stand for pods of files, and says which version of the file they stand for.
pub(super) const MIRROR: &str = "kubernetes.io/config.mirror";

/// Where a pod comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The API.
    Api,
    /// A file. In the API a mirror pod stands for it.
    File,
    /// The runtime has it, and nobody else: it is to be ended.
    Runtime,
}

/// What is wanted of a pod.
#[derive(Clone, Debug)]
pub(super) struct Want {
    /// As it was seen last.
    pub(super) pod: Arc<Pod>,
    /// Whether nobody wants it any more.
    pub(super) forgotten: bool,
    /// Why the node does not take it.
    pub(super) rejected: Option<Verdict>,
    /// Why the node ends it.
    pub(super) condemned: Option<Condemned>,
    /// Goes up when what failed may succeed now, so that it is not waited for the time to try again.
    pub(super) chances: u64,
    /// Goes up with every change of anything that a decision about the pod depends on.
    pub(super) news: u64,
}

/// A pod of the node.
pub(super) struct Entry {
    pub(super) uid: Uid,
    pub(super) origin: Origin,
    /// What its worker is told.
    pub(super) want: Told<Want>,
    /// What its worker knows, for others to see.
    pub(super) seen: Mutex<Seen>,
    /// What the API was told of it, or is to be.
    pub(super) said: Mutex<Said>,
    /// When it was seen first.
    pub(super) since: Instant,
    /// How it starts.
    pub(super) startup: Mutex<Startup>,
    /// The resources that it was granted, while they are not those that its spec asks for.
    pub(super) granted: Mutex<Option<Arc<Granted>>>,
    /// Whether nothing of it runs any more and its volumes are gone, for good.
    pub(super) ended: Told<bool>,
}

/// What a worker knows of its pod.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// What the runtime has of it.
    pub(super) runtime: Arc<RuntimePod>,
    /// The status that follows from that.
    pub(super) status: Option<Arc<PodStatus>>,
}

impl Entry {
    /// Changes what is wanted, and tells the worker.
    pub(super) fn change(&self, change: impl FnOnce(&mut Want)) {
        self.want.change(|want| {
            change(want);
            want.news += 1;
        });
    }

    /// Has the worker look again.
    pub(super) fn poke(&self) {
        self.change(|_| {});
    }

    /// Has the node end it. What was decided first stays the reason; it may only have to end sooner.
    pub(super) fn condemn(&self, condemned: Condemned) {
        self.change(|want| match &mut want.condemned {
            Some(first) => first.hurry(&condemned),
            none => *none = Some(condemned),
        });
    }

    /// The pod as it was seen last.
    pub(super) fn pod(&self) -> Arc<Pod> {
        self.want.look(|want| Arc::clone(&want.pod))
    }

    /// The pod with the resources that it was granted.
    pub(super) fn granted(&self) -> Arc<Pod> {
        let pod = self.pod();
        let granted = self.granted.lock().clone();
        granted.map_or_else(|| Arc::clone(&pod), |granted| Arc::new(granted.in_place_of(&pod)))
    }

    /// The pod with the status that the node knows.
    pub(super) fn with_status(&self) -> Arc<Pod> {
        let pod = self.pod();
        let Some(status) = self.seen.lock().status.clone() else { return pod };
        let mut known = Pod::clone(&pod);
        known.status = Some(PodStatus::clone(&status));
        Arc::new(known)
    }

    /// Whether it takes, or may yet take, of what the node has.
    pub(super) fn is_active(&self) -> bool {
        let rejected = self.want.look(|want| want.rejected.is_some());
        let seen = self.seen.lock();
        let status = seen.status.as_deref().map(|status| status.phase.clone());
        let phase = status.unwrap_or_else(|| self.pod().status.as_ref().and_then(|status| status.phase.clone()));
        let over = matches!(phase.as_deref(), Some("Succeeded" | "Failed"));
        !rejected && (!over || seen.runtime.is_running())
    }
}

/// The pods of a node.
pub(super) struct Pods {
    held: Mutex<Held>,
    /// Gets each pod that is new, to begin to work on it.
    begin: Box<dyn Fn(Arc<Entry>) + Send + Sync>,
    /// Whether it is known which pods the API wants.
    listed: Told<bool>,
    /// Mirror pods, by namespace and name: the task that keeps them looks here.
    mirrors: Told<BTreeMap<(String, String), Arc<Pod>>>,
}

#[derive(Default)]
struct Held {
    by_uid: HashMap<Uid, Arc<Entry>>,
}

impl Pods {
    /// None yet. `begin` is told of each that is new.
    pub(super) fn new(begin: impl Fn(Arc<Entry>) + Send + Sync + 'static) -> Pods {
        Pods {
            held: Mutex::default(),
            begin: Box::new(begin),
            listed: Told::new(false),
            mirrors: Told::new(BTreeMap::new()),
        }
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<Arc<Entry>> {
        self.held.lock().by_uid.values().cloned().collect()
    }

    /// The pod of a uid.
    pub(super) fn get(&self, uid: &str) -> Option<Arc<Entry>> {
        self.held.lock().by_uid.get(uid).cloned()
    }

    /// The pod of a name. Of several, the one that is wanted.
    pub(super) fn named(&self, namespace: &str, name: &str) -> Option<Arc<Entry>> {
        let mut found: Vec<Arc<Entry>> = self.all();
        found.retain(|entry| {
            let pod = entry.pod();
            pod.metadata.namespace.as_deref() == Some(namespace) && pod.metadata.name.as_deref() == Some(name)
        });
        found.sort_by_key(|entry| entry.want.look(|want| want.forgotten));
        found.into_iter().next()
    }

    /// Whether the API has said which pods it wants.
    pub(super) fn is_listed(&self) -> bool {
        self.listed.look(|listed| *listed)
    }

    /// Waits until the API has said which pods it wants.
    pub(super) async fn listed(&self) {
        self.listed.wait(|listed| listed.then_some(())).await;
    }

    /// The mirror pods that the API has.
    pub(super) fn mirrors(&self) -> &Told<BTreeMap<(String, String), Arc<Pod>>> {
        &self.mirrors
    }

    /// Takes in a pod as it is now.
    pub(super) fn take(&self, pod: Pod, origin: Origin) {
        let Some(uid) = pod.metadata.uid.clone() else { return };
        let (entry, new) = {
            let mut held = self.held.lock();
            match held.by_uid.get(&*uid) {
                Some(entry) => (Arc::clone(entry), None),
                None => {
                    let uid: Uid = uid.into();
                    let startup = Mutex::new(Startup::of(&pod));
                    let want = Want {
                        pod: Arc::new(pod.clone()),
                        forgotten: origin == Origin::Runtime,
                        rejected: None,
                        condemned: None,
                        chances: 0,
                        news: 1,
                    };
                    let want = Told::new(want);
                    let entry = Entry {
                        uid: Arc::clone(&uid),
                        origin,
                        want,
                        seen: Mutex::default(),
                        said: Mutex::default(),
                        since: Instant::now(),
                        startup,
                        granted: Mutex::default(),
                        ended: Told::new(false),
                    };
                    let entry = Arc::new(entry);
                    held.by_uid.insert(uid, Arc::clone(&entry));
                    (Arc::clone(&entry), Some(entry))
                }
            }
        };
        match new {
            Some(entry) => (self.begin)(entry),
            None => update(&entry, pod),
        }
    }

    /// Says that nobody wants a pod any more.
    pub(super) fn forget(&self, uid: &str) {
        if let Some(entry) = self.get(uid) {
            entry.change(|want| want.forgotten = true);
        }
    }

    /// Lets go of a pod of which nothing is left.
    pub(super) fn remove(&self, uid: &str) {
        self.held.lock().by_uid.remove(uid);
    }

    fn take_mirror(&self, pod: Pod) {
        let key = key_of(&pod);
        self.mirrors.change(|mirrors| {
            mirrors.insert(key, Arc::new(pod));
        });
    }
}

/// Takes in a newer version of a pod. One that is older than what is known, or the same, is of no interest; and one that
/// says nothing but what the agent said itself is no news.
fn update(entry: &Entry, pod: Pod) {
    let newer = entry.want.look(|want| {
        let (known, new) = (revision(&want.pod), revision(&pod));
        // A pod of a file has no revision, and is told of only when it has changed.
        new > known || new == 0
    });
    if !newer {
        return;
    }
    let echo = entry.origin == Origin::Api && is_echo(&entry.pod(), &pod, &entry.said.lock());
    if echo {
        entry.want.change(|want| want.pod = Arc::new(pod));
    } else {
        entry.change(|want| want.pod = Arc::new(pod));
    }
}

fn revision(pod: &Pod) -> u64 {
    pod.metadata.resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or(0)
}

fn key_of(pod: &Pod) -> (String, String) {
    (pod.metadata.namespace.clone().unwrap_or_default(), pod.metadata.name.clone().unwrap_or_default())
}

/// Whether a pod of the API stands for one of a file.
pub(super) fn is_mirror(pod: &Pod) -> bool {
    pod.metadata.annotations.as_ref().is_some_and(|annotations| annotations.contains_key(MIRROR))
}

impl Sink<Pod> for Pods {
    fn replace(&self, listed: Vec<Pod>, _: u64) {
        let (mirrors, mut pods): (Vec<Pod>, Vec<Pod>) = listed.into_iter().partition(is_mirror);
        let mirrors = mirrors.into_iter().map(|pod| (key_of(&pod), Arc::new(pod))).collect();
        self.mirrors.change(|known| *known = mirrors);
        let uids: std::collections::HashSet<&str> = pods.iter().filter_map(|pod| pod.metadata.uid.as_deref()).collect();
        for entry in self.all() {
            if entry.origin == Origin::Api && !uids.contains(&*entry.uid) {
                entry.change(|want| want.forgotten = true);
            }
        }
        // Who was first is served first, if there is not room for all.
        pods.sort_by_key(|pod| pod.metadata.creation_timestamp.as_ref().map(|time| time.0));
        pods.into_iter().for_each(|pod| self.take(pod, Origin::Api));
        self.listed.change(|listed| *listed = true);
    }

    fn put(&self, pod: Pod) {
        if is_mirror(&pod) { self.take_mirror(pod) } else { self.take(pod, Origin::Api) }
    }

    fn remove(&self, pod: Pod) {
        if is_mirror(&pod) {
            let key = key_of(&pod);
            self.mirrors.change(|mirrors| {
                mirrors.remove(&key);
            });
        } else if let Some(uid) = pod.metadata.uid.as_deref() {
            self.forget(uid);
        }
    }

    fn advance(&self, _: u64) {}
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(name: &str, uid: &str, revision: u64) -> Pod {
        let meta = json!({"name": name, "namespace": "n", "uid": uid, "resourceVersion": revision.to_string()});
        serde_json::from_value(json!({"metadata": meta})).unwrap()
    }

    fn pods() -> (Pods, Arc<Mutex<Vec<String>>>) {
        let begun = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&begun);
        (Pods::new(move |entry| told.lock().push(entry.uid.to_string())), begun)
    }

    #[test]
    fn each_pod_is_begun_once_and_told_of_what_is_new() {
        let (pods, begun) = pods();
        pods.put(pod("a", "1", 5));
        pods.put(pod("a", "1", 4));
        let news = |uid: &str| pods.get(uid).unwrap().want.look(|want| want.news);
        assert_eq!(news("1"), 1, "what is old is no news");
        pods.put(pod("a", "1", 6));
        assert_eq!(news("1"), 2);
        pods.put(pod("a", "2", 7));
        assert_eq!(*begun.lock(), ["1", "2"]);
        assert!(!pods.is_listed());
        pods.replace(vec![pod("a", "2", 7)], 8);
        assert!(pods.is_listed());
        let forgotten = |uid: &str| pods.get(uid).unwrap().want.look(|want| want.forgotten);
        assert!(forgotten("1") && !forgotten("2"));
        assert_eq!(&*pods.named("n", "a").unwrap().uid, "2", "the one that is wanted");
        Sink::remove(&pods, pod("a", "2", 9));
        assert!(forgotten("2"));
        pods.remove("2");
        assert!(pods.get("2").is_none());
    }

    #[test]
    fn mirrors_are_no_pods_of_their_own() {
        let (pods, begun) = pods();
        let mut mirror = pod("m", "9", 1);
        mirror.metadata.annotations = Some([(MIRROR.to_owned(), "hash".to_owned())].into());
        pods.put(mirror.clone());
        assert!(begun.lock().is_empty());
        assert_eq!(pods.mirrors().look(BTreeMap::len), 1);
        pods.replace(vec![mirror.clone()], 2);
        assert_eq!(pods.mirrors().look(BTreeMap::len), 1);
        Sink::remove(&pods, mirror);
        assert_eq!(pods.mirrors().look(BTreeMap::len), 0);
    }
}
