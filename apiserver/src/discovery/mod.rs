//! Discovery: which groups, versions and resources are served, as clients ask before anything else.
//!
//! Every document is a pure function of what is served; nothing is kept between requests.

mod aggregated;
mod legacy;
pub(crate) mod negotiate;
pub(crate) mod order;
mod subresources;
#[cfg(test)]
pub(crate) mod tests;

pub use subresources::{ALL_VERBS, Subresource, subresource, subresources, verbs};

use api::status::Status;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use serde::Serialize;
use sha2::{Digest as _, Sha512};

use self::order::Group;
use crate::registry::Resources;
use crate::request::Encoding;

/// Where `/api` says that the server is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// Which clients reach it there, such as `0.0.0.0/0`.
    pub client_cidr: String,
    /// Host and port, such as `10.0.0.1:6443`.
    pub server_address: String,
}

/// The answer to a GET of `path`; `None` if it is not a discovery path. A group or version that is not served is the
/// plain `404 page not found` that upstream gives.
#[must_use]
pub fn respond(
    resources: &Resources,
    addresses: &Addresses,
    path: &str,
    headers: &HeaderMap,
) -> Option<Response<Bytes>> {
    let path = path.strip_suffix('/').unwrap_or(path);
    let mut parts = path.strip_prefix('/')?.split('/');
    let (root, first, second) = (parts.next()?, parts.next(), parts.next());
    if !matches!(root, "api" | "apis") || parts.next().is_some() || (root == "api" && second.is_some()) {
        return None;
    }
    let groups = order::groups(resources);
    let find = |name: &str| groups.iter().find(|group| group.name == name);
    Some(match (root, first, second) {
        ("api", None, _) => match aggregated_as(headers) {
            Some(form) => aggregate(find("").into_iter(), form, headers),
            None => document(&legacy::ApiVersions::new(find(""), addresses), true, headers),
        },
        (_, None, _) => match aggregated_as(headers) {
            Some(form) => aggregate(groups.iter().filter(|group| !group.name.is_empty()), form, headers),
            None => document(&legacy::ApiGroupList::new(&groups), false, headers),
        },
        ("api", Some(version), _) => resource_list(find(""), version, resources, headers),
        (_, Some(group), None) => match find(group).filter(|group| !group.name.is_empty()) {
            Some(group) => document(&legacy::ApiGroup::document(group), false, headers),
            None => not_found(),
        },
        (_, Some(group), Some(version)) => {
            resource_list(find(group).filter(|group| !group.name.is_empty()), version, resources, headers)
        }
    })
}

/// Which aggregated form a client wants, if that is what it wants most.
struct Aggregated {
    api_version: &'static str,
    version: &'static str,
    encoding: Encoding,
}

fn aggregated_as(headers: &HeaderMap) -> Option<Aggregated> {
    for range in negotiate::accepted(headers) {
        let encoding = if range.means("application/json") {
            Encoding::Json
        } else {
            match Encoding::of_media_type(&range.media_type) {
                Some(encoding) => encoding,
                None => continue,
            }
        };
        if range.kind.is_empty() {
            return None;
        }
        if (range.kind.as_str(), range.group.as_str()) != ("APIGroupDiscoveryList", "apidiscovery.k8s.io") {
            continue;
        }
        let (api_version, version) = match range.version.as_str() {
            "v2" => ("apidiscovery.k8s.io/v2", "v2"),
            "v2beta1" => ("apidiscovery.k8s.io/v2beta1", "v2beta1"),
            _ => continue,
        };
        if encoding != Encoding::Protobuf || api::protobuf::has_kind(api_version, "APIGroupDiscoveryList") {
            return Some(Aggregated { api_version, version, encoding });
        }
    }
    None
}

fn aggregate<'a>(
    groups: impl Iterator<Item = &'a Group<'a>>,
    form: Aggregated,
    headers: &HeaderMap,
) -> Response<Bytes> {
    let Ok(json) = serde_json::to_vec(&aggregated::GroupList::new(groups, form.api_version)) else {
        return unwritable();
    };
    let tag = etag(&json);
    let mut answer = if headers.get(IF_NONE_MATCH).is_some_and(|known| known == tag) {
        let mut answer = Response::new(Bytes::new());
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
        answer
    } else {
        let media_type = form.encoding.media_type();
        let parameters = format!("g=apidiscovery.k8s.io;v={};as=APIGroupDiscoveryList", form.version);
        encoded(json, form.encoding, &format!("{media_type};{parameters}"))
    };
    let answered = answer.headers_mut();
    answered.insert(ETAG, tag);
    answered.insert(VARY, HeaderValue::from_static("Accept"));
    answered.insert(CACHE_CONTROL, HeaderValue::from_static("public"));
    answer
}

fn resource_list<'a>(
    group: Option<&Group<'a>>,
    version: &str,
    resources: &'a Resources,
    headers: &HeaderMap,
) -> Response<Bytes> {
    let found = group.and_then(|group| Some((group, group.versions.iter().find(|other| other.name == version)?)));
    match found {
        Some((group, version)) => {
            let list = legacy::ApiResourceList::new(group.name, version, resources);
            document(&list, group.name.is_empty(), headers)
        }
        None => not_found(),
    }
}

/// A document of `meta/v1` in the encoding that the client wants. `unversioned` documents leave out their `apiVersion`,
/// which the table of protobuf messages needs to know them by.
fn document(document: &impl Serialize, unversioned: bool, headers: &HeaderMap) -> Response<Bytes> {
    let encoding = negotiate::accepted(headers).iter().find_map(|range| {
        let plain = range.kind.is_empty();
        let encoding = if range.means("application/json") { Some(Encoding::Json) } else { None };
        encoding.or_else(|| Encoding::of_media_type(&range.media_type)).filter(|_| plain)
    });
    let Some(encoding) = encoding else {
        let status =
            Status::not_acceptable(&[Encoding::Json, Encoding::Yaml, Encoding::Protobuf].map(Encoding::media_type));
        let mut answer = match serde_json::to_vec(&status) {
            Ok(json) => encoded(json, Encoding::Json, Encoding::Json.media_type()),
            Err(_) => unwritable(),
        };
        *answer.status_mut() = StatusCode::NOT_ACCEPTABLE;
        return answer;
    };
    let json = if unversioned && encoding == Encoding::Protobuf {
        serde_json::to_value(document).and_then(|mut value| {
            value["apiVersion"] = "v1".into();
            serde_json::to_vec(&value)
        })
    } else {
        serde_json::to_vec(document)
    };
    match json {
        Ok(json) => encoded(json, encoding, encoding.media_type()),
        Err(_) => unwritable(),
    }
}

/// JSON in another encoding. YAML has all of JSON in it.
fn encoded(mut json: Vec<u8>, encoding: Encoding, content_type: &str) -> Response<Bytes> {
    let body = match encoding {
        Encoding::Json | Encoding::Yaml => {
            json.push(b'\n');
            json
        }
        Encoding::Protobuf => match api::protobuf::encode(&json) {
            Ok(body) => body,
            Err(_) => return unwritable(),
        },
    };
    let mut answer = Response::new(Bytes::from(body));
    if let Ok(content_type) = HeaderValue::from_str(content_type) {
        answer.headers_mut().insert(CONTENT_TYPE, content_type);
    }
    answer
}

/// The quoted SHA-512 of a document, as upstream makes entity tags.
pub(crate) fn etag(document: &[u8]) -> HeaderValue {
    let digest = format!("\"{:X}\"", Sha512::digest(document));
    HeaderValue::try_from(digest).expect("hexadecimal digits and quotes may stand in a header")
}

/// What upstream's router answers when it knows no such path.
pub(crate) fn not_found() -> Response<Bytes> {
    plain(StatusCode::NOT_FOUND, "404 page not found\n")
}

fn unwritable() -> Response<Bytes> {
    plain(StatusCode::INTERNAL_SERVER_ERROR, "the document cannot be written\n")
}

fn plain(status: StatusCode, text: &'static str) -> Response<Bytes> {
    let mut answer = Response::new(Bytes::from_static(text.as_bytes()));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}
