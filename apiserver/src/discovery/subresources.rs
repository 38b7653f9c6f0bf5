//! Which verbs a resource has, and which subresources beside those that its kind declares.
//!
//! Most resources have every verb, and most subresources read and write a part of the object. What differs is here, by
//! group and plural, so that discovery, OpenAPI and routing agree about it.

use std::borrow::Cow;

use crate::kind::Kind;
use crate::request::Verb;
use crate::strategy::Names;

/// A subresource as it is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subresource {
    /// Its name in the path, such as `binding`.
    pub name: &'static str,
    /// Group, version and kind of what it takes and gives; `None` for those of the resource itself.
    pub kind: Option<(&'static str, &'static str, &'static str)>,
    /// What can be done with it, in the order of the words.
    pub verbs: &'static [Verb],
}

impl Subresource {
    /// Group, version and kind of what it takes and gives.
    #[must_use]
    pub fn kind<'a>(&'a self, parent: &'a Names) -> (&'a str, &'a str, &'a str) {
        self.kind.unwrap_or((&parent.group, &parent.version, &parent.kind))
    }

    /// Whether requests for it are passed on to others, so that no object comes of them; see [`crate::proxy`].
    #[must_use]
    pub fn is_passed_on(&self) -> bool {
        matches!(self.name, "attach" | "exec" | "log" | "portforward" | "proxy")
    }

    /// Whether it reads and writes a part of the object itself.
    #[must_use]
    pub fn is_part(&self) -> bool {
        self.kind.is_none()
    }
}

/// Every verb, in the order of the words.
pub const ALL_VERBS: &[Verb] = &[
    Verb::Create,
    Verb::Delete,
    Verb::DeleteCollection,
    Verb::Get,
    Verb::List,
    Verb::Patch,
    Verb::Update,
    Verb::Watch,
];

const PART_VERBS: &[Verb] = &[Verb::Get, Verb::Patch, Verb::Update];
const CREATE: &[Verb] = &[Verb::Create];
/// What is begun by a GET or a POST.
const STREAM: &[Verb] = &[Verb::Create, Verb::Get];
const PROXY: &[Verb] = &[Verb::Create, Verb::Delete, Verb::Get, Verb::Patch, Verb::Update];
const READ: &[Verb] = &[Verb::Get, Verb::List];
const WITHOUT_DELETE_COLLECTION: &[Verb] =
    &[Verb::Create, Verb::Delete, Verb::Get, Verb::List, Verb::Patch, Verb::Update, Verb::Watch];

/// Group, plural and verbs of the resources that lack some.
const VERBS: [(&str, &str, &[Verb]); 12] = [
    ("", "bindings", CREATE),
    ("", "componentstatuses", READ),
    ("", "namespaces", WITHOUT_DELETE_COLLECTION),
    ("authentication.k8s.io", "selfsubjectreviews", CREATE),
    ("authentication.k8s.io", "tokenreviews", CREATE),
    ("authorization.k8s.io", "localsubjectaccessreviews", CREATE),
    ("authorization.k8s.io", "selfsubjectaccessreviews", CREATE),
    ("authorization.k8s.io", "selfsubjectrulesreviews", CREATE),
    ("authorization.k8s.io", "subjectaccessreviews", CREATE),
    ("lifecycle.k8s.io", "evictions", CREATE),
    ("metrics.k8s.io", "nodes", READ),
    ("metrics.k8s.io", "pods", READ),
];

/// Group, plural and a subresource that no strategy declares, or whose verbs are not those of `status`.
const SUBRESOURCES: [(&str, &str, Subresource); 11] = [
    ("", "namespaces", Subresource { name: "finalize", kind: None, verbs: &[Verb::Update] }),
    ("", "nodes", Subresource { name: "proxy", kind: Some(("", "v1", "NodeProxyOptions")), verbs: PROXY }),
    ("", "pods", Subresource { name: "attach", kind: Some(("", "v1", "PodAttachOptions")), verbs: STREAM }),
    ("", "pods", Subresource { name: "binding", kind: Some(("", "v1", "Binding")), verbs: CREATE }),
    ("", "pods", Subresource { name: "eviction", kind: Some(("policy", "v1", "Eviction")), verbs: CREATE }),
    ("", "pods", Subresource { name: "exec", kind: Some(("", "v1", "PodExecOptions")), verbs: STREAM }),
    ("", "pods", Subresource { name: "log", kind: Some(("", "v1", "Pod")), verbs: &[Verb::Get] }),
    ("", "pods", Subresource { name: "portforward", kind: Some(("", "v1", "PodPortForwardOptions")), verbs: STREAM }),
    ("", "pods", Subresource { name: "proxy", kind: Some(("", "v1", "PodProxyOptions")), verbs: PROXY }),
    (
        "",
        "serviceaccounts",
        Subresource { name: "token", kind: Some(("authentication.k8s.io", "v1", "TokenRequest")), verbs: CREATE },
    ),
    ("", "services", Subresource { name: "proxy", kind: Some(("", "v1", "ServiceProxyOptions")), verbs: PROXY }),
];

const SCALE: Subresource = Subresource { name: "scale", kind: Some(("autoscaling", "v1", "Scale")), verbs: PART_VERBS };

/// What can be done with a resource, in the order of the words.
#[must_use]
pub fn verbs(group: &str, plural: &str) -> &'static [Verb] {
    let stated = VERBS.iter().find(|(of, resource, _)| (*of, *resource) == (group, plural));
    stated.map_or(ALL_VERBS, |(_, _, verbs)| verbs)
}

/// The subresources of a kind, by name.
#[must_use]
pub fn subresources(kind: &dyn Kind) -> Vec<Subresource> {
    let names = kind.names();
    let mut found: Vec<Subresource> = stated(&names.group, &names.plural).collect();
    for name in kind.update_subresources() {
        if !found.iter().any(|subresource| subresource.name == name) {
            found.push(Subresource { name, kind: None, verbs: PART_VERBS });
        }
    }
    if kind.has_scale() {
        found.push(SCALE);
    }
    found.sort_by_key(|subresource| subresource.name);
    found
}

/// The subresource `name` of a kind, if it is served.
#[must_use]
pub fn subresource(kind: &dyn Kind, name: &str) -> Option<Subresource> {
    subresources(kind).into_iter().find(|subresource| subresource.name == name)
}

/// Verbs in words.
pub(super) fn words(verbs: &[Verb]) -> Vec<Cow<'static, str>> {
    verbs.iter().map(|verb| Cow::Borrowed(verb.as_str())).collect()
}

fn stated(group: &str, plural: &str) -> impl Iterator<Item = Subresource> {
    let of = move |(of, resource, _): &&(&str, &str, Subresource)| (*of, *resource) == (group, plural);
    SUBRESOURCES.iter().filter(of).map(|(_, _, subresource)| *subresource)
}
