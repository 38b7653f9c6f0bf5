//! The discovery documents of `meta/v1`: one for each group and version.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::Addresses;
use super::order::{Group, Version};
use super::subresources::{subresources, verbs, words};
use crate::kind::Kind;
use crate::registry::{Resource, Resources};

/// `metav1.APIVersions`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ApiVersions<'a> {
    kind: &'static str,
    versions: Vec<&'a str>,
    #[serde(rename = "serverAddressByClientCIDRs")]
    addresses: Vec<ServerAddress<'a>>,
}

#[derive(Serialize)]
struct ServerAddress<'a> {
    #[serde(rename = "clientCIDR")]
    client_cidr: &'a str,
    #[serde(rename = "serverAddress")]
    server_address: &'a str,
}

impl<'a> ApiVersions<'a> {
    pub(super) fn new(core: Option<&Group<'a>>, addresses: &'a Addresses) -> Self {
        let versions = core.into_iter().flat_map(|group| &group.versions).map(|version| version.name).collect();
        let address = ServerAddress { client_cidr: &addresses.client_cidr, server_address: &addresses.server_address };
        ApiVersions { kind: "APIVersions", versions, addresses: vec![address] }
    }
}

/// `metav1.APIGroupList`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ApiGroupList<'a> {
    kind: &'static str,
    api_version: &'static str,
    groups: Vec<ApiGroup<'a>>,
}

impl<'a> ApiGroupList<'a> {
    pub(super) fn new(groups: &[Group<'a>]) -> Self {
        let groups = groups.iter().filter(|group| !group.name.is_empty()).map(ApiGroup::new).collect();
        ApiGroupList { kind: "APIGroupList", api_version: "v1", groups }
    }
}

/// `metav1.APIGroup`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ApiGroup<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    kind: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    api_version: &'static str,
    name: &'a str,
    versions: Vec<GroupVersion<'a>>,
    preferred_version: Option<GroupVersion<'a>>,
}

#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct GroupVersion<'a> {
    group_version: String,
    version: &'a str,
}

impl<'a> ApiGroup<'a> {
    /// As an element of the list of groups.
    fn new(group: &Group<'a>) -> Self {
        let version = |version: &Version<'a>| GroupVersion {
            group_version: format!("{}/{}", group.name, version.name),
            version: version.name,
        };
        let versions: Vec<GroupVersion<'a>> = group.versions.iter().map(version).collect();
        ApiGroup { kind: "", api_version: "", name: group.name, preferred_version: versions.first().cloned(), versions }
    }

    /// As a document.
    pub(super) fn document(group: &Group<'a>) -> Self {
        ApiGroup { kind: "APIGroup", api_version: "v1", ..ApiGroup::new(group) }
    }
}

/// `metav1.APIResourceList`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ApiResourceList<'a> {
    kind: &'static str,
    /// Not stated for the core group, as it never was.
    #[serde(skip_serializing_if = "str::is_empty")]
    api_version: &'static str,
    group_version: Cow<'a, str>,
    resources: Vec<ApiResource<'a>>,
}

/// `metav1.APIResource`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ApiResource<'a> {
    name: Cow<'a, str>,
    singular_name: &'a str,
    namespaced: bool,
    #[serde(skip_serializing_if = "str::is_empty")]
    group: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    version: &'a str,
    kind: &'a str,
    verbs: Vec<Cow<'static, str>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    short_names: &'a [Cow<'static, str>],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    categories: &'a [Cow<'static, str>],
    #[serde(skip_serializing_if = "String::is_empty")]
    storage_version_hash: String,
}

impl<'a> ApiResourceList<'a> {
    pub(super) fn new(group: &str, version: &Version<'a>, all: &Resources) -> Self {
        let mut resources: Vec<ApiResource<'a>> = Vec::new();
        for resource in &version.resources {
            resources.push(ApiResource::new(resource, all));
            resources.extend(ApiResource::parts(&*resource.kind));
        }
        // Upstream sorts whole paths, in which `/` comes before any letter.
        resources.sort_by(|one, other| one.name.cmp(&other.name));
        let (api_version, group_version) = match group {
            "" => ("", Cow::Borrowed(version.name)),
            group => ("v1", Cow::Owned(format!("{group}/{}", version.name))),
        };
        ApiResourceList { kind: "APIResourceList", api_version, group_version, resources }
    }
}

impl<'a> ApiResource<'a> {
    fn new(resource: &'a Resource, all: &Resources) -> Self {
        let names = resource.kind.names();
        let verbs = words(verbs(&names.group, &names.plural));
        // What cannot be read back is not stored, and has no version of storage.
        let stored = verbs.iter().any(|verb| verb == "watch");
        ApiResource {
            name: Cow::Borrowed(&names.plural),
            singular_name: &names.singular,
            namespaced: names.namespaced,
            group: "",
            version: "",
            kind: &names.kind,
            verbs,
            short_names: &names.short_names,
            categories: &names.categories,
            storage_version_hash: if stored { storage_version_hash(resource, all) } else { String::new() },
        }
    }

    fn parts(kind: &'a dyn Kind) -> impl Iterator<Item = ApiResource<'a>> {
        let names = kind.names();
        subresources(kind).into_iter().map(move |subresource| {
            let (group, version, of) = subresource.kind.unwrap_or(("", "", ""));
            // The group and version are left out where they are the list's own.
            let other = (group, version) != (&*names.group, &*names.version);
            ApiResource {
                name: Cow::Owned(format!("{}/{}", names.plural, subresource.name)),
                singular_name: "",
                namespaced: names.namespaced,
                group: if other { group } else { "" },
                version: if other { version } else { "" },
                kind: if of.is_empty() { &names.kind } else { of },
                verbs: words(subresource.verbs),
                short_names: &[],
                categories: &[],
                storage_version_hash: String::new(),
            }
        })
    }
}

/// Upstream's formula: base64 of the first eight bytes of the SHA-256 of the group, version and kind that are stored.
fn storage_version_hash(resource: &Resource, all: &Resources) -> String {
    let mut stored = all.iter().filter(|other| other.storage.path == resource.storage.path);
    let names = stored.find(|other| other.storage.conversion.is_none()).unwrap_or(resource).kind.names();
    let digest = Sha256::digest(format!("{}/{}/{}", names.group, names.version, names.kind));
    STANDARD.encode(&digest[..8])
}
