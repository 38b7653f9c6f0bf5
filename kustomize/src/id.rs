//! What an object is called: its group, version, kind, name and namespace.

use std::fmt;

use serde::Deserialize;
use serde_json::Value;

use crate::scope::is_cluster_scoped;

/// What stands for the namespace of objects that are in none.
const NO_NAMESPACE: &str = "_non_namespaceable_";

/// A group, version and kind; an empty one stands for all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Gvk {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) kind: String,
}

impl Gvk {
    /// An object's.
    pub(crate) fn of(object: &Value) -> Gvk {
        let text = |name: &str| object[name].as_str().unwrap_or_default();
        let (group, version) = split(text("apiVersion"));
        Gvk { group: group.to_owned(), version: version.to_owned(), kind: text("kind").to_owned() }
    }

    /// Whether a pattern, whose empty parts stand for all, is met.
    pub(crate) fn is_selected(&self, by: &Gvk) -> bool {
        let meets = |own: &str, by: &str| by.is_empty() || own == by;
        meets(&self.group, &by.group) && meets(&self.version, &by.version) && meets(&self.kind, &by.kind)
    }

    /// The API version, as objects have it.
    pub(crate) fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// Whether its objects are known to be in no namespace.
    pub(crate) fn is_cluster_scoped(&self) -> bool {
        is_cluster_scoped(&self.api_version(), &self.kind)
    }
}

impl fmt::Display for Gvk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or = |text: &str, other: &'static str| if text.is_empty() { other.to_owned() } else { text.to_owned() };
        let (kind, version, group) =
            (or(&self.kind, "[noKind]"), or(&self.version, "[noVer]"), or(&self.group, "[noGrp]"));
        write!(f, "{kind}.{version}.{group}")
    }
}

/// The group and version of an API version.
pub(crate) fn split(api_version: &str) -> (&str, &str) {
    api_version.split_once('/').unwrap_or(("", api_version))
}

/// What an object is called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Id {
    pub(crate) gvk: Gvk,
    pub(crate) name: String,
    pub(crate) namespace: String,
}

impl Id {
    /// The namespace that counts: that of no object that is in none, and `default` where none is said.
    pub(crate) fn effective_namespace(&self) -> &str {
        if self.gvk.is_cluster_scoped() {
            NO_NAMESPACE
        } else if self.namespace.is_empty() {
            "default"
        } else {
            &self.namespace
        }
    }

    /// Whether its kind is known to be in no namespace.
    pub(crate) fn is_cluster_scoped(&self) -> bool {
        self.gvk.is_cluster_scoped()
    }

    /// Whether it is the same object.
    pub(crate) fn is(&self, other: &Id) -> bool {
        self.gvk == other.gvk && self.name == other.name && self.effective_namespace() == other.effective_namespace()
    }

    /// Whether a pattern, whose empty parts stand for all, is met.
    pub(crate) fn is_selected(&self, by: &Id) -> bool {
        (by.name.is_empty() || by.name == self.name)
            && (by.namespace.is_empty() || by.effective_namespace() == self.effective_namespace())
            && self.gvk.is_selected(&by.gvk)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if self.name.is_empty() { "[noName]" } else { &self.name };
        let namespace = if self.namespace.is_empty() { "[noNs]" } else { &self.namespace };
        write!(f, "{}/{name}.{namespace}", self.gvk)
    }
}
