//! What a process knows of the cluster: the objects of every resource that it watches, decoded once, with indexes.
//!
//! A cache is filled by a list-watch for each resource ([`ListWatch`]) and read by everybody in the process. A read sees one
//! resource as it was at one moment; two resources may be at different moments. Whoever subscribes is told of every
//! object that there is and then of every change, in order, after reads can see it.

mod list_watch;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use api::selector::label::Selector;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use parking_lot::{Mutex, RwLock};

pub use list_watch::{Keep, ListWatch, Sink};
use table::{Objects, places, revision_of};

use crate::resource::{AnyObject, Key, Kind, Resource, as_kind};
use crate::told::Told;

/// What happened to one object.
#[derive(Clone)]
pub struct Change {
    /// The name of its resource, such as `deployments.apps`.
    pub resource: Arc<str>,
    /// As it was; `None` if it is new.
    pub old: Option<AnyObject>,
    /// As it is; `None` if it is gone.
    pub new: Option<AnyObject>,
}

impl Change {
    /// The object as it is now, or as it was last.
    #[must_use]
    pub fn latest(&self) -> Option<&AnyObject> {
        self.new.as_ref().or(self.old.as_ref())
    }

    /// The key of the object.
    #[must_use]
    pub fn key(&self) -> Option<Key> {
        self.latest().map(|object| Key::in_resource(&self.resource, object.meta()))
    }
}

type Listener = Box<dyn Fn(&Change) + Send + Sync>;

/// The objects of one resource, and who wants to know of changes.
struct Table {
    /// The name of the resource.
    name: Arc<str>,
    /// In the version in which it was kept last.
    resource: RwLock<Resource>,
    objects: RwLock<Objects>,
    /// Held while listeners are told, so that they are told in order.
    listeners: Mutex<Vec<(u64, Listener)>>,
    /// Whether the resource has been listed, and the newest revision reached.
    reached: Told<(bool, u64)>,
    /// How often in a row it could not be listed.
    failures: AtomicU32,
}

/// After so many failures a list is not expected any longer. With the waits in between that is most of a minute.
const MANY_FAILURES: u32 = 8;

impl Table {
    fn new(resource: Resource) -> Table {
        let reached = Told::new((false, 0));
        Table {
            name: resource.name(),
            resource: RwLock::new(resource),
            objects: RwLock::default(),
            listeners: Mutex::default(),
            reached,
            failures: AtomicU32::new(0),
        }
    }

    fn changed(&self, old: Option<AnyObject>, new: Option<AnyObject>) -> Change {
        Change { resource: Arc::clone(&self.name), old, new }
    }

    /// Makes changes visible, and then tells of them.
    fn apply(&self, change: impl FnOnce(&mut Objects) -> Vec<Change>) {
        let listeners = self.listeners.lock();
        let (changes, revision) = {
            let mut objects = self.objects.write();
            let changes = change(&mut objects);
            (changes, objects.revision)
        };
        for change in &changes {
            listeners.iter().for_each(|(_, listener)| listener(change));
        }
        drop(listeners);
        self.reached.change(|reached| reached.1 = revision);
    }

    fn put(&self, object: AnyObject) {
        self.apply(|objects| {
            let old = objects.put(Arc::clone(&object));
            vec![self.changed(old, Some(object))]
        });
    }

    fn remove(&self, meta: &ObjectMeta) {
        self.apply(|objects| objects.remove(meta).map(|old| self.changed(Some(old), None)).into_iter().collect());
    }

    /// Replaces everything by what a list at `revision` had.
    fn replace(&self, listed: Vec<AnyObject>, revision: u64) {
        self.apply(|objects| {
            let gone = objects.all_but(&places(&listed));
            let gone = gone.iter().filter_map(|meta| objects.remove(meta));
            let mut changes: Vec<Change> = gone.map(|old| self.changed(Some(old), None)).collect();
            for object in listed {
                let known = objects.get(namespace(object.meta()), name(object.meta()));
                if known.is_some_and(|known| is_as_known(known.meta(), object.meta())) {
                    continue;
                }
                let old = objects.put(Arc::clone(&object));
                changes.push(self.changed(old, Some(object)));
            }
            // A list may also show an earlier state, after a watch that was ahead of its server.
            objects.revision = revision;
            changes
        });
        self.reached.change(|reached| reached.0 = true);
    }

    /// Knows nothing any longer.
    fn forget(&self) {
        self.reached.change(|reached| reached.0 = false);
        self.apply(|objects| {
            let gone = objects.all_but(&BTreeSet::new());
            let gone = gone.iter().filter_map(|meta| objects.remove(meta));
            let changes = gone.map(|old| self.changed(Some(old), None)).collect();
            objects.revision = 0;
            changes
        });
    }

    /// Notes that nothing has changed until `revision`.
    fn advance(&self, revision: u64) {
        self.apply(|objects| {
            objects.revision = objects.revision.max(revision);
            Vec::new()
        });
    }
}

/// Whether a listed object is the one that is known, at the same version. What states no version may be another.
fn is_as_known(known: &ObjectMeta, listed: &ObjectMeta) -> bool {
    known.resource_version.is_some() && known.resource_version == listed.resource_version && known.uid == listed.uid
}

fn namespace(meta: &ObjectMeta) -> &str {
    meta.namespace.as_deref().unwrap_or_default()
}

fn name(meta: &ObjectMeta) -> &str {
    meta.name.as_deref().unwrap_or_default()
}

/// A resource that the server serves, and by what verbs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// The resource, in the version that the server prefers.
    pub resource: Resource,
    /// `list`, `watch`, `delete`, `deletecollection` and so on.
    pub verbs: Vec<String>,
}

impl Served {
    /// Whether it can be asked for by this verb.
    #[must_use]
    pub fn can(&self, verb: &str) -> bool {
        self.verbs.iter().any(|known| known == verb)
    }
}

/// What a process knows of the cluster. Cloning gives another handle to the same.
#[derive(Clone)]
pub struct Cache {
    tables: Arc<RwLock<BTreeMap<Arc<str>, Arc<Table>>>>,
    served: Arc<Told<Arc<[Served]>>>,
    next_listener: Arc<AtomicU64>,
}

impl Default for Cache {
    fn default() -> Self {
        Cache { tables: Arc::default(), served: Arc::new(Told::new(Arc::new([]))), next_listener: Arc::default() }
    }
}

/// Ends a subscription when it is dropped.
#[must_use = "a subscription ends when it is dropped"]
pub struct Subscription {
    table: Arc<Table>,
    id: u64,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.table.listeners.lock().retain(|(id, _)| *id != self.id);
    }
}

impl Cache {
    /// A cache that knows nothing.
    #[must_use]
    pub fn new() -> Cache {
        Cache::default()
    }

    fn table(&self, resource: &Resource) -> Arc<Table> {
        let name = resource.name();
        let known = self.tables.read().get(&name).cloned();
        let table = known.unwrap_or_else(|| {
            let mut tables = self.tables.write();
            Arc::clone(tables.entry(name).or_insert_with(|| Arc::new(Table::new(resource.clone()))))
        });
        if *table.resource.read() != *resource {
            table.resource.write().clone_from(resource);
        }
        table
    }

    fn named(&self, resource: &str) -> Option<Arc<Table>> {
        self.tables.read().get(resource).cloned()
    }

    fn typed<K: Kind>(&self) -> Option<Arc<Table>> {
        if K::GROUP.is_empty() {
            return self.named(K::URL_PATH_SEGMENT);
        }
        self.named(&format!("{}.{}", K::URL_PATH_SEGMENT, K::GROUP))
    }

    /// What the server serves, by its discovery; empty while that is not known.
    #[must_use]
    pub fn served(&self) -> Arc<[Served]> {
        self.served.look(Arc::clone)
    }

    /// Takes in what the server serves.
    pub fn set_served(&self, mut served: Vec<Served>) {
        served.sort_by(|a, b| a.resource.cmp(&b.resource));
        self.served.change(|known| *known = served.into());
    }

    /// Waits until it is known what the server serves.
    pub async fn discovered(&self) {
        self.served.wait(|served| (!served.is_empty()).then_some(())).await;
    }

    /// The resources that are in the cache, by name.
    #[must_use]
    pub fn resources(&self) -> Vec<Resource> {
        self.tables.read().values().map(|table| table.resource.read().clone()).collect()
    }

    /// The resource of this name, such as `deployments.apps`.
    #[must_use]
    pub fn resource(&self, name: &str) -> Option<Resource> {
        self.named(name).map(|table| table.resource.read().clone())
    }

    /// Puts an object where a list-watch would have put it.
    pub fn put<K: Kind>(&self, object: K) {
        self.table(&Resource::of::<K>()).put(Arc::new(object));
    }

    /// Puts an object of any resource where a list-watch would have put it.
    pub fn put_any(&self, resource: &Resource, object: AnyObject) {
        self.table(resource).put(object);
    }

    /// Replaces all objects of a resource by those that a list at `revision` had, as a list-watch does.
    pub fn put_all(&self, resource: &Resource, listed: Vec<AnyObject>, revision: u64) {
        self.table(resource).replace(listed, revision);
    }

    /// Removes an object as a list-watch would that saw its end.
    pub fn remove(&self, resource: &Resource, meta: &ObjectMeta) {
        self.table(resource).remove(meta);
    }

    /// Forgets every object of a resource that is no longer kept, and that it was listed. Who subscribed is told that the
    /// objects are gone.
    pub fn forget(&self, resource: &Resource) {
        if let Some(table) = self.named(&resource.name()) {
            table.forget();
        }
    }

    /// The object of this name.
    #[must_use]
    pub fn get<K: Kind>(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        self.typed::<K>()?.objects.read().get(namespace, name).and_then(as_kind)
    }

    /// All objects of a kind, of one namespace or of all, in the order of namespaces and names.
    #[must_use]
    pub fn list<K: Kind>(&self, namespace: Option<&str>) -> Vec<Arc<K>> {
        self.read::<K>(|objects| objects.list(namespace).filter_map(as_kind).collect())
    }

    /// The objects that name the object with this uid as their controller.
    #[must_use]
    pub fn controlled<K: Kind>(&self, uid: &str) -> Vec<Arc<K>> {
        let is_controller = |object: &&AnyObject| {
            let owners = object.meta().owner_references.iter().flatten();
            owners.into_iter().any(|owner| owner.uid == uid && owner.controller == Some(true))
        };
        self.read::<K>(|objects| objects.owned_by(uid).filter(is_controller).filter_map(as_kind).collect())
    }

    /// The objects of a namespace that no controller claims.
    #[must_use]
    pub fn uncontrolled<K: Kind>(&self, namespace: &str) -> Vec<Arc<K>> {
        self.read::<K>(|objects| objects.uncontrolled(namespace).filter_map(as_kind).collect())
    }

    /// The objects of a namespace whose labels match.
    #[must_use]
    pub fn select<K: Kind>(&self, namespace: &str, selector: &Selector) -> Vec<Arc<K>> {
        self.read::<K>(|objects| objects.select(namespace, selector).into_iter().filter_map(as_kind).collect())
    }

    /// The pods that are bound to a node.
    #[must_use]
    pub fn pods_on(&self, node: &str) -> Vec<Arc<Pod>> {
        self.read::<Pod>(|objects| objects.on_node(node).filter_map(as_kind).collect())
    }

    fn read<K: Kind>(&self, read: impl FnOnce(&Objects) -> Vec<Arc<K>>) -> Vec<Arc<K>> {
        self.typed::<K>().map(|table| read(&table.objects.read())).unwrap_or_default()
    }

    /// The object that a key names, whatever its kind.
    #[must_use]
    pub fn any(&self, key: &Key) -> Option<AnyObject> {
        self.named(&key.resource)?.objects.read().get(&key.namespace, &key.name).cloned()
    }

    /// All objects of the resource of this name, of one namespace or of all, in the order of namespaces and names.
    #[must_use]
    pub fn list_any(&self, resource: &str, namespace: Option<&str>) -> Vec<AnyObject> {
        let table = self.named(resource);
        table.map(|table| table.objects.read().list(namespace).cloned().collect()).unwrap_or_default()
    }

    /// The resources of which there are objects in a namespace.
    #[must_use]
    pub fn occupied(&self, namespace: &str) -> Vec<Resource> {
        let tables = self.tables.read();
        let occupied = tables.values().filter(|table| table.objects.read().list(Some(namespace)).next().is_some());
        occupied.map(|table| table.resource.read().clone()).collect()
    }

    /// The object with this uid, and its resource.
    #[must_use]
    pub fn with_uid(&self, uid: &str) -> Option<(Resource, AnyObject)> {
        let tables: Vec<Arc<Table>> = self.tables.read().values().cloned().collect();
        let found = |table: &Arc<Table>| table.objects.read().with_uid(uid).cloned();
        tables.iter().find_map(|table| found(table).map(|object| (table.resource.read().clone(), object)))
    }

    /// The objects of every resource that name the object with this uid as an owner.
    #[must_use]
    pub fn dependents(&self, uid: &str) -> Vec<(Resource, AnyObject)> {
        let tables: Vec<Arc<Table>> = self.tables.read().values().cloned().collect();
        let of = |table: &Arc<Table>| -> Vec<(Resource, AnyObject)> {
            let (resource, objects) = (table.resource.read().clone(), table.objects.read());
            objects.owned_by(uid).map(|object| (resource.clone(), Arc::clone(object))).collect()
        };
        tables.iter().flat_map(of).collect()
    }

    /// How many objects there are of the resource of this name, in all namespaces.
    #[must_use]
    pub fn count(&self, resource: &str) -> usize {
        self.named(resource).map_or(0, |table| table.objects.read().len())
    }

    /// Tells `listener` of every object of a resource, now and from now on. It must not subscribe or change the cache.
    pub fn subscribe(&self, resource: &Resource, listener: impl Fn(&Change) + Send + Sync + 'static) -> Subscription {
        let table = self.table(resource);
        let id = self.next_listener.fetch_add(1, Ordering::Relaxed);
        let mut listeners = table.listeners.lock();
        let present: Vec<AnyObject> = table.objects.read().list(None).cloned().collect();
        for object in present {
            listener(&table.changed(None, Some(object)));
        }
        listeners.push((id, Box::new(listener)));
        drop(listeners);
        Subscription { table, id }
    }

    /// Waits until the resource has been listed.
    pub async fn synced(&self, resource: &Resource) {
        self.table(resource).reached.wait(|reached| reached.0.then_some(())).await;
    }

    /// Whether the resource has been listed.
    #[must_use]
    pub fn has_synced(&self, resource: &Resource) -> bool {
        self.named(&resource.name()).is_some_and(|table| table.reached.look(|reached| reached.0))
    }

    /// Whether the resource has not been listed, but is about to be: its list has not failed again and again.
    #[must_use]
    pub fn expects(&self, resource: &Resource) -> bool {
        let Some(table) = self.named(&resource.name()) else { return true };
        !table.reached.look(|reached| reached.0) && table.failures.load(Ordering::Relaxed) < MANY_FAILURES
    }

    /// Waits until the cache shows the object that a key names as it was written, or newer.
    pub async fn shows(&self, key: &Key, written: &Written) {
        let Some(table) = self.named(&key.resource) else { return };
        let shown = || {
            let objects = table.objects.read();
            let seen = objects.get(&key.namespace, &key.name);
            match written {
                Written::At(revision) => {
                    objects.revision >= *revision || seen.is_some_and(|seen| revision_of(seen.meta()) >= *revision)
                }
                Written::Deleted(uid) => {
                    seen.is_none_or(|seen| seen.meta().uid.as_deref() != Some(uid) || is_going(seen.meta()))
                }
                Written::Gone(uid) => seen.is_none_or(|seen| seen.meta().uid.as_deref() != Some(uid)),
            }
        };
        table.reached.wait(|_| shown().then_some(())).await;
    }
}

fn is_going(meta: &ObjectMeta) -> bool {
    meta.deletion_timestamp.is_some()
}

/// What a write left behind, by which it is recognised in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// The object, at this revision.
    At(u64),
    /// The object with this uid is gone, or on its way.
    Deleted(String),
    /// The object with this uid is gone.
    Gone(String),
}

#[cfg(test)]
mod tests;
