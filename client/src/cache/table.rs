//! The objects of one resource, and by what they are found.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use api::selector::label::Selector;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::resource::AnyObject;

/// Where an object is: its namespace and its name.
type Place = (Arc<str>, Arc<str>);
/// A namespace and a label, as `key=value`.
type Label = (Arc<str>, Box<str>);

/// What an index finds: the objects themselves, in their order, so that nothing has to be looked up again.
type Found = BTreeMap<Place, AnyObject>;

/// The objects of one resource as they were at one revision. Every index is true after every change.
#[derive(Default)]
pub(super) struct Objects {
    by_place: BTreeMap<Place, AnyObject>,
    by_uid: HashMap<Box<str>, Place>,
    by_owner: HashMap<Box<str>, Found>,
    by_label: HashMap<Label, Found>,
    by_node: HashMap<Box<str>, Found>,
    /// Those that no controller claims.
    uncontrolled: BTreeSet<Place>,
    /// The newest revision that is known to have been reached.
    pub(super) revision: u64,
}

/// The revision at which an object was written; 0 if it does not say.
pub(super) fn revision_of(meta: &ObjectMeta) -> u64 {
    meta.resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or(0)
}

fn place_of(meta: &ObjectMeta) -> Place {
    (meta.namespace.as_deref().unwrap_or_default().into(), meta.name.as_deref().unwrap_or_default().into())
}

fn node_of(object: &AnyObject) -> Option<&str> {
    let object: &dyn Any = &**object;
    object.downcast_ref::<Pod>()?.spec.as_ref()?.node_name.as_deref().filter(|node| !node.is_empty())
}

fn labels_of<'a>(meta: &'a ObjectMeta, namespace: &'a Arc<str>) -> impl Iterator<Item = Label> + 'a {
    let labels = meta.labels.iter().flatten();
    labels.map(|(key, value)| (Arc::clone(namespace), format!("{key}={value}").into()))
}

fn owners_of(meta: &ObjectMeta) -> impl Iterator<Item = &str> {
    meta.owner_references.iter().flatten().map(|owner| owner.uid.as_str())
}

/// Whether a controller claims the object.
fn is_controlled(meta: &ObjectMeta) -> bool {
    meta.owner_references.iter().flatten().any(|owner| owner.controller == Some(true))
}

fn found(objects: Option<&Found>) -> impl Iterator<Item = &AnyObject> {
    objects.into_iter().flat_map(BTreeMap::values)
}

fn file<K: std::hash::Hash + Eq>(index: &mut HashMap<K, Found>, key: K, place: &Place, object: &AnyObject) {
    index.entry(key).or_default().insert(place.clone(), Arc::clone(object));
}

fn unfile<K: std::hash::Hash + Eq>(index: &mut HashMap<K, Found>, key: &K, place: &Place) {
    if let Some(places) = index.get_mut(key) {
        places.remove(place);
        if places.is_empty() {
            index.remove(key);
        }
    }
}

impl Objects {
    /// Takes an object in, and returns what it replaces.
    pub(super) fn put(&mut self, object: AnyObject) -> Option<AnyObject> {
        let place = place_of(object.meta());
        let old = self.remove_at(&place);
        self.revision = self.revision.max(revision_of(object.meta()));
        self.index(&place, &object);
        self.by_place.insert(place, object);
        old
    }

    /// Forgets the object that is where this one is, and returns it.
    pub(super) fn remove(&mut self, meta: &ObjectMeta) -> Option<AnyObject> {
        self.revision = self.revision.max(revision_of(meta));
        self.remove_at(&place_of(meta))
    }

    fn index(&mut self, place: &Place, object: &AnyObject) {
        let meta = object.meta();
        if let Some(uid) = &meta.uid {
            self.by_uid.insert(uid.as_str().into(), place.clone());
        }
        for owner in owners_of(meta) {
            file(&mut self.by_owner, owner.into(), place, object);
        }
        for label in labels_of(meta, &place.0) {
            file(&mut self.by_label, label, place, object);
        }
        if let Some(node) = node_of(object) {
            file(&mut self.by_node, node.into(), place, object);
        }
        if !is_controlled(meta) {
            self.uncontrolled.insert(place.clone());
        }
    }

    fn remove_at(&mut self, place: &Place) -> Option<AnyObject> {
        let object = self.by_place.remove(place)?;
        let meta = object.meta();
        // Another object may have come to have the uid, and then the entry is about that one.
        if let Some(uid) = meta.uid.as_deref()
            && self.by_uid.get(uid) == Some(place)
        {
            self.by_uid.remove(uid);
        }
        for owner in owners_of(meta) {
            unfile(&mut self.by_owner, &owner.into(), place);
        }
        for label in labels_of(meta, &place.0) {
            unfile(&mut self.by_label, &label, place);
        }
        if let Some(node) = node_of(&object) {
            unfile(&mut self.by_node, &node.into(), place);
        }
        self.uncontrolled.remove(place);
        Some(object)
    }

    /// Whether nothing is left, in any index.
    #[cfg(test)]
    pub(super) fn is_bare(&self) -> bool {
        let Objects { by_place, by_uid, by_owner, by_label, by_node, uncontrolled, revision: _ } = self;
        let filed = by_owner.len() + by_label.len() + by_node.len();
        by_place.len() + by_uid.len() + filed + uncontrolled.len() == 0
    }

    pub(super) fn len(&self) -> usize {
        self.by_place.len()
    }

    pub(super) fn get(&self, namespace: &str, name: &str) -> Option<&AnyObject> {
        self.by_place.get(&(namespace.into(), name.into()))
    }

    pub(super) fn with_uid(&self, uid: &str) -> Option<&AnyObject> {
        self.by_place.get(self.by_uid.get(uid)?)
    }

    /// All objects, in the order of their namespaces and names; those of one namespace if it is named.
    pub(super) fn list<'a>(&'a self, namespace: Option<&'a str>) -> Box<dyn Iterator<Item = &'a AnyObject> + 'a> {
        let Some(namespace) = namespace else { return Box::new(self.by_place.values()) };
        let from: Place = (namespace.into(), "".into());
        let range = self.by_place.range((Bound::Included(from), Bound::Unbounded));
        Box::new(range.take_while(move |(place, _)| &*place.0 == namespace).map(|(_, object)| object))
    }

    pub(super) fn owned_by(&self, uid: &str) -> impl Iterator<Item = &AnyObject> {
        found(self.by_owner.get(uid))
    }

    pub(super) fn on_node(&self, node: &str) -> impl Iterator<Item = &AnyObject> {
        found(self.by_node.get(node))
    }

    pub(super) fn uncontrolled<'a>(&'a self, namespace: &'a str) -> impl Iterator<Item = &'a AnyObject> {
        let from: Place = (namespace.into(), "".into());
        let places = self.uncontrolled.range((Bound::Included(from), Bound::Unbounded));
        places.take_while(move |place| &*place.0 == namespace).filter_map(|place| self.by_place.get(place))
    }

    /// The objects of a namespace whose labels match. Asks the rarest of the labels that the selector demands.
    pub(super) fn select<'a>(&'a self, namespace: &'a str, selector: &'a Selector) -> Vec<&'a AnyObject> {
        let matches = |object: &&AnyObject| selector.matches(&object.meta().labels);
        let demanded = selector.requirements().iter().filter_map(|requirement| {
            let value = selector.requires_exact_match(requirement.key())?;
            let label = (Arc::from(namespace), format!("{}={value}", requirement.key()).into());
            Some(self.by_label.get(&label))
        });
        match demanded.min_by_key(|objects| objects.map_or(0, BTreeMap::len)) {
            Some(objects) => found(objects).filter(matches).collect(),
            None => self.list(Some(namespace)).filter(matches).collect(),
        }
    }

    /// The metadata of every object that is not among `kept`.
    pub(super) fn all_but(&self, kept: &BTreeSet<Place>) -> Vec<ObjectMeta> {
        let gone = self.by_place.iter().filter(|(place, _)| !kept.contains(*place));
        gone.map(|(_, object)| object.meta().clone()).collect()
    }
}

/// The places of these objects.
pub(super) fn places(objects: &[AnyObject]) -> BTreeSet<Place> {
    objects.iter().map(|object| place_of(object.meta())).collect()
}
