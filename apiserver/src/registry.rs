//! Which resources are served, and how they are stored.
//!
//! Built-in kinds are registered at start; kinds that are known only at run time come and go while requests are served.
//! A request takes the whole registry as one value and works with that to its end.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;

use crate::entry::EntrySchema;
use crate::kind::Kind;

/// One resource of one version, as it is served.
#[derive(Clone)]
pub struct Resource {
    /// Its rules.
    pub kind: Arc<dyn Kind>,
    /// How objects of this version relate to what is stored.
    pub storage: Storage,
}

/// Where and in which form the objects of a resource are stored.
#[derive(Clone)]
pub struct Storage {
    /// `<group>/<resource>` in keys, such as `core/pods`.
    pub path: Arc<str>,
    /// How to get from the stored form to the served one and back, when they differ.
    pub conversion: Option<Conversion>,
}

/// Converts the JSON of an object between the stored version and another one of the same resource.
#[derive(Clone, Copy)]
pub struct Conversion {
    /// From the stored version.
    pub from_stored: fn(serde_json::Value) -> serde_json::Value,
    /// To the stored version.
    pub to_stored: fn(serde_json::Value) -> serde_json::Value,
}

/// What is served at one time.
#[derive(Clone, Default)]
pub struct Resources {
    /// In the order in which discovery lists them.
    served: Vec<Resource>,
    by_name: HashMap<(String, String, String), usize>,
}

impl Resources {
    /// The resource `plural` of a group and version.
    #[must_use]
    pub fn find(&self, group: &str, version: &str, plural: &str) -> Option<&Resource> {
        let name = (group.to_owned(), version.to_owned(), plural.to_owned());
        self.by_name.get(&name).map(|&at| &self.served[at])
    }

    /// Whether anything of `group` is served.
    #[must_use]
    pub fn has_group(&self, group: &str) -> bool {
        self.iter().any(|resource| resource.kind.names().group == group)
    }

    /// Every resource, in the order of discovery.
    pub fn iter(&self) -> impl Iterator<Item = &Resource> {
        self.served.iter()
    }

    fn insert(&mut self, resource: Resource) {
        let names = resource.kind.names();
        let name = (names.group.to_string(), names.version.to_string(), names.plural.to_string());
        match self.by_name.get(&name) {
            Some(&at) => self.served[at] = resource,
            None => {
                self.by_name.insert(name, self.served.len());
                self.served.push(resource);
            }
        }
    }

    fn remove(&mut self, group: &str, version: &str, plural: &str) {
        let is = |resource: &Resource| {
            let names = resource.kind.names();
            (&*names.group, &*names.version, &*names.plural) == (group, version, plural)
        };
        let kept = std::mem::take(&mut self.served).into_iter().filter(|resource| !is(resource)).collect::<Vec<_>>();
        self.by_name.clear();
        for resource in kept {
            self.insert(resource);
        }
    }
}

/// The registry. Shared by the server and by the codec of its store.
#[derive(Default)]
pub struct Registry {
    resources: RwLock<Arc<Resources>>,
    stored: RwLock<HashMap<Arc<str>, Arc<EntrySchema>>>,
}

impl Registry {
    /// Nothing is served.
    #[must_use]
    pub fn new() -> Self {
        Registry::default()
    }

    /// What is served now.
    #[must_use]
    pub fn resources(&self) -> Arc<Resources> {
        Arc::clone(&self.resources.read())
    }

    /// What is read out of the objects that are stored under `path`.
    #[must_use]
    pub fn entry_schema(&self, path: &str) -> Option<Arc<EntrySchema>> {
        self.stored.read().get(path).cloned()
    }

    /// Serves a kind that is stored as it is served.
    pub fn register(&self, kind: Arc<dyn Kind>) {
        let names = kind.names();
        let group = if names.group.is_empty() { "core" } else { &names.group };
        let path: Arc<str> = format!("{group}/{}", names.plural).into();
        let schema = EntrySchema::new(&names.kind, &names.api_version(), kind.selectable_fields());
        self.stored.write().insert(Arc::clone(&path), Arc::new(schema));
        self.serve(Resource { kind, storage: Storage { path, conversion: None } });
    }

    /// Serves another version of a resource that is registered already under `stored` (`<group>/<resource>`).
    pub fn register_version(&self, kind: Arc<dyn Kind>, stored: &str, conversion: Conversion) {
        self.serve(Resource { kind, storage: Storage { path: stored.into(), conversion: Some(conversion) } });
    }

    /// Ceases to serve a version of a resource. What is stored stays.
    pub fn unregister(&self, group: &str, version: &str, plural: &str) {
        let mut resources = self.resources.write();
        Arc::make_mut(&mut resources).remove(group, version, plural);
    }

    fn serve(&self, resource: Resource) {
        Arc::make_mut(&mut self.resources.write()).insert(resource);
    }
}
