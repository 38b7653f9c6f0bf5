//! What kinds are called where a client needs to name them: in paths, in caches, in keys.

use std::any::{Any, TypeId};
use std::fmt;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::{Metadata, NamespaceResourceScope};
use serde::Deserialize;

/// A resource that a server serves.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Resource {
    /// The API group; empty for the core group.
    pub group: String,
    /// The version in which it is read and written.
    pub version: String,
    /// The name in paths.
    pub plural: String,
    /// The name in objects.
    pub kind: String,
    /// Whether its objects are in namespaces.
    pub namespaced: bool,
}

impl Resource {
    /// The resource of a built-in kind.
    #[must_use]
    pub fn of<K: Kind>() -> Resource {
        Resource {
            group: K::GROUP.to_owned(),
            version: K::VERSION.to_owned(),
            plural: K::URL_PATH_SEGMENT.to_owned(),
            kind: K::KIND.to_owned(),
            namespaced: TypeId::of::<K::Scope>() == TypeId::of::<NamespaceResourceScope>(),
        }
    }

    /// As objects state it: `apps/v1`, and `v1` for the core group.
    #[must_use]
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// The name among all resources, whatever the version: `deployments.apps`, and `pods` for the core group.
    #[must_use]
    pub fn name(&self) -> Arc<str> {
        if self.group.is_empty() { self.plural.as_str().into() } else { self.to_string().into() }
    }

    /// The path of its objects, in one namespace or in all.
    #[must_use]
    pub fn path(&self, namespace: Option<&str>) -> String {
        let root = if self.group.is_empty() { "/api" } else { "/apis" };
        let within = namespace.filter(|namespace| self.namespaced && !namespace.is_empty());
        let within = within.map(|namespace| format!("/namespaces/{namespace}")).unwrap_or_default();
        format!("{root}/{}{within}/{}", self.api_version(), self.plural)
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.plural)?;
        if self.group.is_empty() { Ok(()) } else { write!(f, ".{}", self.group) }
    }
}

/// A built-in kind of object.
pub trait Kind: Metadata<Ty = ObjectMeta> + for<'de> Deserialize<'de> + Clone + Send + Sync + 'static {}

impl<K> Kind for K where K: Metadata<Ty = ObjectMeta> + for<'de> Deserialize<'de> + Clone + Send + Sync + 'static {}

/// An object of any kind.
pub trait Object: Any + Send + Sync {
    /// Its metadata.
    fn meta(&self) -> &ObjectMeta;
}

impl<K: Metadata<Ty = ObjectMeta> + Send + Sync + 'static> Object for K {
    fn meta(&self) -> &ObjectMeta {
        self.metadata()
    }
}

/// An object of which only the metadata was asked for, whatever its kind.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct MetadataOnly {
    /// The metadata.
    pub metadata: ObjectMeta,
}

/// An object as a cache holds it.
pub type AnyObject = Arc<dyn Object>;

/// The object as one of kind `K`; `None` if it is of another, or only its metadata is known.
#[must_use]
pub fn as_kind<K: Kind>(object: &AnyObject) -> Option<Arc<K>> {
    let object: Arc<dyn Any + Send + Sync> = Arc::clone(object) as _;
    object.downcast().ok()
}

/// Names an object in a cluster, over its deaths and rebirths.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The name of the resource, such as `deployments.apps`.
    pub resource: Arc<str>,
    /// The namespace; empty for objects that are in none.
    pub namespace: Arc<str>,
    /// The name.
    pub name: Arc<str>,
}

impl Key {
    /// The key of an object of a built-in kind.
    #[must_use]
    pub fn of<K: Kind>(namespace: &str, name: &str) -> Key {
        Key { resource: Resource::of::<K>().name(), namespace: namespace.into(), name: name.into() }
    }

    /// The key of this object.
    #[must_use]
    pub fn to<K: Kind>(object: &K) -> Key {
        let meta = object.metadata();
        Key::of::<K>(meta.namespace.as_deref().unwrap_or_default(), meta.name.as_deref().unwrap_or_default())
    }

    /// The key of the object with this metadata, of the resource of this name.
    #[must_use]
    pub fn in_resource(resource: &Arc<str>, meta: &ObjectMeta) -> Key {
        Key {
            resource: Arc::clone(resource),
            namespace: meta.namespace.as_deref().unwrap_or_default().into(),
            name: meta.name.as_deref().unwrap_or_default().into(),
        }
    }

    /// Whether it names an object of kind `K`.
    #[must_use]
    pub fn is_of<K: Kind>(&self) -> bool {
        let (plural, group) = self.resource.split_once('.').unwrap_or((&self.resource, ""));
        plural == K::URL_PATH_SEGMENT && group == K::GROUP
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let within = if self.namespace.is_empty() { "" } else { "/" };
        write!(f, "{} {}{within}{}", self.resource, self.namespace, self.name)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::apps::v1::Deployment;
    use k8s_openapi::api::core::v1::{Node, Pod};

    use super::*;

    #[test]
    fn resources_have_names_and_paths() {
        let check = |resource: Resource, name: &str, path: &str, within: &str| {
            assert_eq!(&*resource.name(), name);
            assert_eq!(resource.path(None), path);
            assert_eq!(resource.path(Some("shop")), within);
        };
        check(Resource::of::<Pod>(), "pods", "/api/v1/pods", "/api/v1/namespaces/shop/pods");
        check(Resource::of::<Node>(), "nodes", "/api/v1/nodes", "/api/v1/nodes");
        let (path, within) = ("/apis/apps/v1/deployments", "/apis/apps/v1/namespaces/shop/deployments");
        check(Resource::of::<Deployment>(), "deployments.apps", path, within);
    }

    #[test]
    fn keys_know_their_kind() {
        let key = Key::of::<Deployment>("shop", "web");
        assert_eq!(key.to_string(), "deployments.apps shop/web");
        assert_eq!(Key::of::<Node>("", "n1").to_string(), "nodes n1");
        assert!(key.is_of::<Deployment>() && !key.is_of::<Pod>());
    }

    #[test]
    fn objects_are_only_what_they_are() {
        let object: AnyObject = Arc::new(Pod::default());
        assert!(as_kind::<Pod>(&object).is_some() && as_kind::<Node>(&object).is_none());
    }
}
