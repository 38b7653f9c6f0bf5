//! Aggregated discovery: everything that is served in one document (`apidiscovery.k8s.io`).

use std::borrow::Cow;

use serde::Serialize;

use super::order::{Group, Version};
use super::subresources::{Subresource, subresources, verbs, words};
use crate::registry::Resource;

/// `APIGroupDiscoveryList`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct GroupList<'a> {
    kind: &'static str,
    api_version: &'static str,
    metadata: ListMeta,
    items: Vec<GroupItem<'a>>,
}

#[derive(Serialize)]
struct ListMeta {}

#[derive(Serialize)]
struct GroupItem<'a> {
    metadata: ObjectMeta<'a>,
    versions: Vec<VersionItem<'a>>,
}

#[derive(Serialize)]
struct ObjectMeta<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
}

#[derive(Serialize)]
struct VersionItem<'a> {
    version: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    resources: Vec<ResourceItem<'a>>,
    freshness: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResourceItem<'a> {
    resource: &'a str,
    response_kind: ResponseKind<'a>,
    scope: &'static str,
    singular_resource: &'a str,
    verbs: Vec<Cow<'static, str>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    short_names: &'a [Cow<'static, str>],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    categories: &'a [Cow<'static, str>],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    subresources: Vec<SubresourceItem<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SubresourceItem<'a> {
    subresource: &'static str,
    response_kind: ResponseKind<'a>,
    verbs: Vec<Cow<'static, str>>,
}

/// Group and version are empty where they are those of the document's version.
#[derive(Serialize)]
struct ResponseKind<'a> {
    group: &'a str,
    version: &'a str,
    kind: &'a str,
}

impl<'a> GroupList<'a> {
    /// The document for `groups`, in `api_version` (`apidiscovery.k8s.io/v2` or `v2beta1`, which have the same fields).
    pub(super) fn new(groups: impl Iterator<Item = &'a Group<'a>>, api_version: &'static str) -> Self {
        let items = groups.map(GroupItem::new).collect();
        GroupList { kind: "APIGroupDiscoveryList", api_version, metadata: ListMeta {}, items }
    }
}

impl<'a> GroupItem<'a> {
    fn new(group: &'a Group<'a>) -> Self {
        let versions = group.versions.iter().map(VersionItem::new).collect();
        GroupItem { metadata: ObjectMeta { name: group.name }, versions }
    }
}

impl<'a> VersionItem<'a> {
    fn new(version: &'a Version<'a>) -> Self {
        let resources = version.resources.iter().map(|resource| ResourceItem::new(resource)).collect();
        VersionItem { version: version.name, resources, freshness: "Current" }
    }
}

impl<'a> ResourceItem<'a> {
    fn new(resource: &'a Resource) -> Self {
        let names = resource.kind.names();
        let parts = subresources(&*resource.kind);
        ResourceItem {
            resource: &names.plural,
            response_kind: ResponseKind { group: "", version: "", kind: &names.kind },
            scope: if names.namespaced { "Namespaced" } else { "Cluster" },
            singular_resource: &names.singular,
            verbs: words(verbs(&names.group, &names.plural)),
            short_names: &names.short_names,
            categories: &names.categories,
            subresources: parts.into_iter().map(|part| SubresourceItem::new(part, resource)).collect(),
        }
    }
}

impl<'a> SubresourceItem<'a> {
    fn new(part: Subresource, resource: &'a Resource) -> Self {
        let names = resource.kind.names();
        let response_kind = match part.kind {
            Some((group, version, kind)) if (group, version) != (&*names.group, &*names.version) => {
                ResponseKind { group, version, kind }
            }
            Some((_, _, kind)) => ResponseKind { group: "", version: "", kind },
            None => ResponseKind { group: "", version: "", kind: &names.kind },
        };
        SubresourceItem { subresource: part.name, response_kind, verbs: words(part.verbs) }
    }
}
