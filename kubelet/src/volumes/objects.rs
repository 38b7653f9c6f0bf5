//! The ConfigMaps and Secrets that this node's pods need, each watched by itself while a pod refers to it.
//!
//! A node may see no others, and need not: that is upstream's `Watch` strategy. Whoever asks gets what was seen last, at
//! once; only what has never been seen is waited for, and then asked for. With the API server away what was seen goes on
//! being true. What has become immutable is not watched any longer.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Weak};
use std::time::Duration;

use client::cache::{ListWatch, Sink};
use client::resource::{Kind, Object, Resource};
use client::told::Told;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{ConfigMap, Container, Pod, Secret};
use kube::{Api, Client};
use parking_lot::{Mutex, RwLock};
use serde::de::DeserializeOwned;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::problem::said;
use super::references::{References, referenced, referenced_by};

/// The most objects of a kind that are watched. Others are asked for each time that they are needed.
const WATCHES: usize = 4096;
/// How long a watch may take to see its object for the first time (upstream's number).
const FIRST_SIGHT: Duration = Duration::from_secs(1);
/// How long an answer may take where there is no watch.
const ANSWER: Duration = Duration::from_secs(10);

/// Who is told that an object has changed, and the uid of a pod that refers to it.
pub type Listener = Arc<dyn Fn(&str) + Send + Sync>;

/// Why an object is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum Unavailable {
    /// There is none of that name.
    #[error("{kind} {name:?} not found")]
    Absent {
        /// The kind, as upstream's messages have it: `configmap` or `secret`.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// It has never been seen, and the API server does not say what it is.
    #[error("failed to sync {kind} cache: {why}")]
    Unknown {
        /// The kind, as upstream's messages have it.
        kind: &'static str,
        /// What went wrong.
        why: String,
    },
}

impl Unavailable {
    /// Whether there is no such object, as far as is known.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        matches!(self, Unavailable::Absent { .. })
    }
}

/// What a container's environment refers to, by name. What does not exist is left out.
#[derive(Clone, Debug, Default)]
pub struct Fetched {
    /// The ConfigMaps.
    pub config_maps: BTreeMap<String, Arc<ConfigMap>>,
    /// The Secrets.
    pub secrets: BTreeMap<String, Arc<Secret>>,
}

/// The objects that pods of this node refer to.
pub struct Objects {
    config_maps: Kept<ConfigMap>,
    secrets: Kept<Secret>,
    pods: Mutex<HashMap<String, Registered>>,
}

/// A pod that refers to objects.
struct Registered {
    namespace: String,
    references: References,
}

impl Objects {
    /// Knows nothing yet. To be called within a runtime.
    #[must_use]
    pub fn new(client: Client) -> Arc<Objects> {
        let listeners = Arc::<Listeners>::default();
        Arc::new(Objects {
            config_maps: Kept::new(client.clone(), Arc::clone(&listeners)),
            secrets: Kept::new(client, listeners),
            pods: Mutex::default(),
        })
    }

    /// Has a listener told of changes, for as long as this lives.
    pub fn subscribe(&self, listener: Listener) {
        // Both kinds have the same listeners.
        self.config_maps.listeners.0.write().push(listener);
    }

    /// Begins to watch what a pod refers to, and ends what it no longer refers to. Cheap if nothing has changed.
    /// To be called within a runtime.
    pub fn register(&self, pod: &Pod) {
        let Some(uid) = pod.metadata.uid.clone() else { return };
        let registered =
            Registered { namespace: pod.metadata.namespace.clone().unwrap_or_default(), references: referenced(pod) };
        let mut pods = self.pods.lock();
        let before = pods.get(&uid).map(|before| before.references.clone()).unwrap_or_default();
        self.config_maps.change(&uid, &registered.namespace, &before.config_maps, &registered.references.config_maps);
        self.secrets.change(&uid, &registered.namespace, &before.secrets, &registered.references.secrets);
        pods.insert(uid, registered);
    }

    /// Ends the watches that only this pod needed.
    pub fn unregister(&self, uid: &str) {
        let mut pods = self.pods.lock();
        let Some(Registered { namespace, references }) = pods.remove(uid) else { return };
        let none = References::default();
        self.config_maps.change(uid, &namespace, &references.config_maps, &none.config_maps);
        self.secrets.change(uid, &namespace, &references.secrets, &none.secrets);
    }

    /// A ConfigMap, as it was seen last.
    pub async fn config_map(&self, namespace: &str, name: &str) -> Result<Arc<ConfigMap>, Unavailable> {
        self.config_maps.get(namespace, name).await
    }

    /// A Secret, as it was seen last.
    pub async fn secret(&self, namespace: &str, name: &str) -> Result<Arc<Secret>, Unavailable> {
        self.secrets.get(namespace, name).await
    }

    /// What the environment of a pod's container refers to.
    ///
    /// # Errors
    /// Only if something is not known: what is absent is left out, since it may be optional.
    pub async fn fetch(&self, pod: &Pod, container: &Container) -> Result<Fetched, Unavailable> {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let References { config_maps, secrets } = referenced_by(container);
        let mut fetched = Fetched::default();
        for name in config_maps {
            match self.config_map(namespace, &name).await {
                Err(error) if error.is_absent() => {}
                found => drop(fetched.config_maps.insert(name, found?)),
            }
        }
        for name in secrets {
            match self.secret(namespace, &name).await {
                Err(error) if error.is_absent() => {}
                found => drop(fetched.secrets.insert(name, found?)),
            }
        }
        Ok(fetched)
    }
}

/// Who is told of changes: one for each part of the agent that asked for it.
#[derive(Default)]
struct Listeners(RwLock<Vec<Listener>>);

/// A kind of object that pods take content from.
trait Content: Kind + k8s_openapi::Resource<Scope = NamespaceResourceScope> + DeserializeOwned + std::fmt::Debug {
    /// What upstream's messages call it.
    const WORD: &'static str;
    /// Whether its content is never going to change.
    fn is_immutable(&self) -> bool;
}

impl Content for ConfigMap {
    const WORD: &'static str = "configmap";
    fn is_immutable(&self) -> bool {
        self.immutable == Some(true)
    }
}

impl Content for Secret {
    const WORD: &'static str = "secret";
    fn is_immutable(&self) -> bool {
        self.immutable == Some(true)
    }
}

/// The objects of one kind.
struct Kept<K> {
    client: Client,
    listeners: Arc<Listeners>,
    entries: Mutex<Entries<K>>,
}

/// By namespace and name.
type Entries<K> = HashMap<(String, String), Arc<Entry<K>>>;

/// An object that pods refer to.
struct Entry<K> {
    name: String,
    seen: Told<Seen<K>>,
    /// The uids of the pods that refer to it.
    pods: Mutex<BTreeSet<String>>,
    /// The watch, which ends with this.
    watch: Mutex<Option<AbortOnDropHandle<()>>>,
    listeners: Arc<Listeners>,
}

/// What is known of an object.
#[derive(Clone, Debug)]
enum Seen<K> {
    Nothing,
    Absent,
    Object(Arc<K>),
}

impl<K: Content> Kept<K> {
    fn new(client: Client, listeners: Arc<Listeners>) -> Kept<K> {
        Kept { client, listeners, entries: Mutex::default() }
    }

    /// A pod has referred to some names, and refers to others now.
    fn change(&self, uid: &str, namespace: &str, before: &BTreeSet<String>, now: &BTreeSet<String>) {
        let mut entries = self.entries.lock();
        for name in now.difference(before) {
            let key = (namespace.to_owned(), name.clone());
            if !entries.contains_key(&key) && entries.len() >= WATCHES {
                tracing::warn!(kind = K::WORD, namespace, name, "too many objects are watched; this one is asked for");
                continue;
            }
            let entry = entries.entry(key).or_insert_with(|| self.watch(namespace, name));
            entry.pods.lock().insert(uid.to_owned());
        }
        for name in before.difference(now) {
            let key = (namespace.to_owned(), name.clone());
            let is_last = entries.get(&key).is_some_and(|entry| {
                let mut pods = entry.pods.lock();
                pods.remove(uid);
                pods.is_empty()
            });
            if is_last {
                entries.remove(&key);
            }
        }
    }

    fn watch(&self, namespace: &str, name: &str) -> Arc<Entry<K>> {
        let entry = Arc::new(Entry {
            name: name.to_owned(),
            seen: Told::new(Seen::Nothing),
            pods: Mutex::default(),
            watch: Mutex::default(),
            listeners: Arc::clone(&self.listeners),
        });
        let sink = Watching(Arc::downgrade(&entry));
        let list_watch = ListWatch::telling(self.client.clone(), sink, Resource::of::<K>());
        let list_watch = list_watch.within(namespace).selecting(format!("metadata.name={name}"));
        // Locked first: a watch that ends at once, since its object cannot change, waits until it can be ended.
        let mut watch = entry.watch.lock();
        *watch = Some(AbortOnDropHandle::new(tokio::spawn(list_watch.tell::<K>())));
        drop(watch);
        entry
    }

    async fn get(&self, namespace: &str, name: &str) -> Result<Arc<K>, Unavailable> {
        let absent = || Unavailable::Absent { kind: K::WORD, name: name.to_owned() };
        let entry = self.entries.lock().get(&(namespace.to_owned(), name.to_owned())).cloned();
        if let Some(entry) = &entry {
            let known = |seen: &Seen<K>| (!matches!(seen, Seen::Nothing)).then(|| seen.clone());
            match timeout(FIRST_SIGHT, entry.seen.wait(known)).await {
                Ok(Seen::Object(object)) => return Ok(object),
                Ok(Seen::Absent) => return Err(absent()),
                Ok(Seen::Nothing) | Err(_) => {}
            }
        }
        let unknown = |why: String| Unavailable::Unknown { kind: K::WORD, why };
        let api = Api::<K>::namespaced(self.client.clone(), namespace);
        match timeout(ANSWER, api.get_opt(name)).await {
            Ok(Ok(Some(object))) => {
                let object = Arc::new(object);
                if let Some(entry) = entry {
                    entry.seen.change(|seen| {
                        // The watch may have seen a later one by now.
                        if matches!(seen, Seen::Nothing) {
                            *seen = Seen::Object(Arc::clone(&object));
                        }
                    });
                }
                Ok(object)
            }
            Ok(Ok(None)) => Err(absent()),
            Ok(Err(error)) => Err(unknown(said(error))),
            Err(_) => Err(unknown("timed out waiting for the condition".to_owned())),
        }
    }
}

/// Where a watch puts what it sees. The entry may be gone by then.
struct Watching<K>(Weak<Entry<K>>);

impl<K: Content> Watching<K> {
    fn see(&self, object: Option<K>) {
        let Some(entry) = self.0.upgrade() else { return };
        let now = object.map_or(Seen::Absent, |object| Seen::Object(Arc::new(object)));
        let is_final = matches!(&now, Seen::Object(object) if object.is_immutable());
        let mut has_changed = false;
        entry.seen.change(|seen| {
            has_changed = !is_same(seen, &now);
            *seen = now;
        });
        if is_final {
            // This runs in the watch, which ends when it has to wait next.
            drop(entry.watch.lock().take());
        }
        if has_changed {
            let pods = entry.pods.lock().clone();
            let listeners = entry.listeners.0.read().clone();
            for uid in &pods {
                listeners.iter().for_each(|listener| listener(uid));
            }
        }
    }

    fn is_it(&self, object: &K) -> bool {
        let name = object.metadata().name.as_deref();
        self.0.upgrade().is_some_and(|entry| name == Some(entry.name.as_str()))
    }
}

fn is_same<K: Content>(before: &Seen<K>, now: &Seen<K>) -> bool {
    match (before, now) {
        (Seen::Absent, Seen::Absent) => true,
        (Seen::Object(before), Seen::Object(now)) => {
            let (before, now) = (before.meta(), now.meta());
            before.resource_version == now.resource_version && before.uid == now.uid
        }
        _ => false,
    }
}

impl<K: Content> Sink<K> for Watching<K> {
    fn replace(&self, listed: Vec<K>, _revision: u64) {
        self.see(listed.into_iter().find(|object| self.is_it(object)));
    }

    fn put(&self, object: K) {
        if self.is_it(&object) {
            self.see(Some(object));
        }
    }

    fn remove(&self, object: K) {
        if self.is_it(&object) {
            self.see(None);
        }
    }

    fn advance(&self, _revision: u64) {}
}

#[cfg(test)]
mod tests;
