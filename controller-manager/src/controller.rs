//! The one shape of all controllers, and what they say of the objects that concern them.

use std::sync::Arc;

use client::cache::{self, Cache, Change};
#[cfg(test)]
use client::resource::MetadataOnly;
use client::resource::{AnyObject, Key, Kind, Resource, as_kind};
use futures::FutureExt;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::plan::{Failure, Plan};
use crate::pods::controller_of;

/// Converges the objects of one kind, or one aspect of them.
///
/// What always has to hold, and is tested for each: doing plan after plan comes to the empty plan; a process that ends
/// between two actions of a plan does no harm, since the next plan is made from what is there; and a plan has at most
/// [`MOST_ACTIONS`](crate::plan::MOST_ACTIONS) actions, however much there is to do.
pub trait Controller: Send + Sync + 'static {
    /// The name, by which operators switch it on and off and Events say who they are from: as upstream's.
    const NAME: &'static str;
    /// Who its Events say they are from.
    const COMPONENT: &'static str = Self::NAME;
    /// How many keys are worked on at a time.
    const WORKERS: usize = 5;
    /// Everything that the decision needs.
    type Observed: Send;

    /// Which objects concern it, and which keys they are a reason to look at.
    fn watches(&self) -> Watches;

    /// Reads what the decision about `key` needs, from the cache and from nowhere else. `None` if there is nothing to
    /// decide, mostly because the object is gone.
    fn observe(&self, cache: &Cache, key: &Key) -> Option<Self::Observed>;

    /// Decides. A pure function: what is observed and the moment are all that it may depend on.
    fn reconcile(&self, observed: &Self::Observed, moment: &Moment) -> Plan;
}

/// When a decision is made, and after what.
#[derive(Clone, Debug)]
pub struct Moment {
    /// The time of day.
    pub now: Timestamp,
    /// Why the last plan for the same key was not carried out to its end.
    pub failure: Option<Failure>,
}

/// A change of an object of kind `K`.
pub struct Pair<K> {
    /// As it was; `None` if it is new.
    pub old: Option<Arc<K>>,
    /// As it is; `None` if it is gone.
    pub new: Option<Arc<K>>,
}

impl<K> Pair<K> {
    /// The object as it was and as it is, as far as there is each.
    pub fn both(&self) -> impl Iterator<Item = &Arc<K>> {
        self.old.iter().chain(&self.new)
    }
}

/// What says which keys a change is a reason to look at.
pub(crate) type Map = Arc<dyn Fn(&Cache, &Change) -> Vec<Key> + Send + Sync>;

/// How a resource is kept in the cache.
#[derive(Clone, Copy)]
pub(crate) struct Keep {
    /// Runs its list-watch.
    pub(crate) run: cache::Keep,
    /// Makes an object of JSON.
    #[cfg_attr(not(test), expect(dead_code, reason = "tests keep objects as JSON"))]
    pub(crate) decode: fn(serde_json::Value) -> serde_json::Result<AnyObject>,
}

impl Keep {
    fn whole<K: Kind>() -> Keep {
        Keep {
            run: |list_watch| list_watch.run::<K>().boxed(),
            decode: |json| serde_json::from_value::<K>(json).map(|object| Arc::new(object) as AnyObject),
        }
    }

    /// Only the metadata.
    #[cfg(test)]
    pub(crate) fn metadata() -> Keep {
        Keep {
            run: |list_watch| list_watch.run_metadata().boxed(),
            decode: |json| serde_json::from_value::<MetadataOnly>(json).map(|object| Arc::new(object) as AnyObject),
        }
    }
}

/// A resource that concerns a controller.
#[derive(Clone)]
pub(crate) struct Watched {
    pub(crate) resource: Resource,
    pub(crate) keep: Keep,
    /// The keys that a change is a reason to look at.
    pub(crate) map: Option<Map>,
}

/// The objects that concern a controller.
#[derive(Clone)]
pub struct Watches {
    primary: Resource,
    pub(crate) watched: Vec<Watched>,
    /// The keys that a change of an object of any resource is a reason to look at.
    pub(crate) everything: Option<Map>,
}

impl Watches {
    /// Every object of kind `K`, as a reason to look at itself.
    #[must_use]
    pub fn on<K: Kind>() -> Watches {
        let resource = Resource::of::<K>();
        let map: Map = Arc::new(|_, change| change.key().into_iter().collect());
        let watched = Watched { resource: resource.clone(), keep: Keep::whole::<K>(), map: Some(map) };
        Watches { primary: resource, watched: vec![watched], everything: None }
    }

    /// Every object of every resource, as far as its metadata goes, as a reason to look at what `map` says.
    #[must_use]
    pub fn on_everything(map: impl Fn(&Cache, &Change) -> Vec<Key> + Send + Sync + 'static) -> Watches {
        let primary = Resource {
            group: String::new(),
            version: String::new(),
            plural: String::new(),
            kind: String::new(),
            namespaced: false,
        };
        Watches { primary, watched: Vec::new(), everything: Some(Arc::new(map)) }
    }

    /// And every object of every resource.
    #[must_use]
    pub fn and_everything(self, map: impl Fn(&Cache, &Change) -> Vec<Key> + Send + Sync + 'static) -> Watches {
        Watches { everything: Some(Arc::new(map)), ..self }
    }

    /// Every object of kind `K` that names an object of the controller's own kind as its controller, as a reason to look
    /// at that one.
    #[must_use]
    pub fn owned<K: Kind>(self) -> Watches {
        let owner = self.primary.clone();
        let name = owner.name();
        let map = move |_: &Cache, change: &Change| {
            let objects = change.old.iter().chain(&change.new);
            objects.filter_map(|object| controller_key(&owner, &name, object.meta())).collect()
        };
        self.and::<K>(Some(Arc::new(map)))
    }

    /// Every object of kind `K`, as a reason to look at what `map` says.
    #[must_use]
    pub fn mapped<K: Kind>(self, map: impl Fn(&Cache, &Pair<K>) -> Vec<Key> + Send + Sync + 'static) -> Watches {
        let map = move |cache: &Cache, change: &Change| {
            let pair = Pair { old: change.old.as_ref().and_then(as_kind), new: change.new.as_ref().and_then(as_kind) };
            map(cache, &pair)
        };
        self.and::<K>(Some(Arc::new(map)))
    }

    /// Objects of kind `K` are read, and no reason to look at anything.
    #[must_use]
    pub fn reading<K: Kind>(self) -> Watches {
        self.and::<K>(None)
    }

    fn and<K: Kind>(mut self, map: Option<Map>) -> Watches {
        self.watched.push(Watched { resource: Resource::of::<K>(), keep: Keep::whole::<K>(), map });
        self
    }
}

/// The key of the controller of an object, if it is of the resource `owner`.
fn controller_key(owner: &Resource, name: &Arc<str>, meta: &ObjectMeta) -> Option<Key> {
    let reference = controller_of(meta)?;
    let group = reference.api_version.split_once('/').map_or("", |(group, _)| group);
    if reference.kind != owner.kind || group != owner.group {
        return None;
    }
    let namespace = meta.namespace.as_deref().filter(|_| owner.namespaced).unwrap_or_default();
    Some(Key { resource: Arc::clone(name), namespace: namespace.into(), name: reference.name.as_str().into() })
}
