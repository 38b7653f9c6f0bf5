//! OpenAPI: what every object looks like and what can be done with it, for `kubectl explain`, for the validation of
//! older clients, and for everything that generates code.
//!
//! Documents are derived from what is served and made when they are first asked for, piece by piece. What is kept of them
//! is compressed, and only as long as what is served stays the same. The hashes in the index of version 3 are those of
//! the documents, which are written once without being kept.

mod definitions;
mod descriptions;
mod document;
mod gnostic;
mod operations;
mod parameters;
#[cfg(test)]
mod tests;
mod v2;
mod v3;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, EXPIRES, IF_NONE_MATCH, LOCATION, VARY};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};

use self::definitions::Definitions;
use self::document::Document;
use crate::discovery::negotiate::{accepted, accepts_gzip};
use crate::discovery::{not_found, order};
use crate::registry::Resources;
use crate::request::Query;
use crate::strategy::Names;

/// The version of the API that documents are of.
const VERSION: &str = "v1.37.0";

/// What every object can be had in.
const MEDIA_TYPES: &[&str] = &["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];
/// What changes can be had in, besides.
const WATCH_MEDIA_TYPES: &[&str] =
    &["application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch"];

const JSON: &str = "application/json";
/// What upstream answers with, what it called it before, and what old clients ask for.
const V2_PROTOBUF: [&str; 2] = [
    "application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
    "application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
];

/// How long a document that was asked for by its hash may be kept.
const YEAR: SignedDuration = SignedDuration::from_hours(365 * 24);

/// Where the schemas of kinds come from that are not built in.
pub trait SchemaSource: Send + Sync {
    /// The schema of a kind, as OpenAPI 3 has it; `None` if anything goes.
    fn schema(&self, names: &Names) -> Option<Value>;
}

/// The documents of what is served.
#[derive(Default)]
pub struct OpenApi {
    source: Option<Arc<dyn SchemaSource>>,
    current: Mutex<Option<Arc<Documents>>>,
}

impl OpenApi {
    /// With the schemas of kinds that are known only at run time, if there are any. A schema that changes must come
    /// with a new value of [`Resources`].
    #[must_use]
    pub fn new(source: Option<Arc<dyn SchemaSource>>) -> OpenApi {
        OpenApi { source, current: Mutex::new(None) }
    }

    /// The answer to a GET of `path`; `None` if that is not where a document of OpenAPI is. `now` dates what expires.
    ///
    /// The first answer after a change of `resources` computes for some milliseconds to a tenth of a second, without
    /// waiting for anything but others that want the same document.
    #[must_use]
    pub fn respond(
        &self,
        resources: &Arc<Resources>,
        path: &str,
        query: &Query,
        headers: &HeaderMap,
        now: Timestamp,
    ) -> Option<Response<Bytes>> {
        let asked = match path.strip_prefix("/openapi/")? {
            "v2" => Asked::V2,
            "v3" | "v3/" => Asked::Index,
            path => Asked::V3(path.strip_prefix("v3/")?),
        };
        let documents = self.documents(resources);
        let answer = match asked {
            Asked::V2 => documents.v2(headers),
            Asked::Index => documents.index(headers),
            Asked::V3(name) => documents.v3(name, query, headers, now),
        };
        Some(answer.unwrap_or_else(|_| {
            let mut answer = Response::new(Bytes::from_static(b"the document cannot be written\n"));
            *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            answer
        }))
    }

    fn documents(&self, resources: &Arc<Resources>) -> Arc<Documents> {
        let mut current = self.current.lock();
        match &*current {
            Some(documents) if Arc::ptr_eq(&documents.resources, resources) => Arc::clone(documents),
            _ => {
                let documents = Arc::new(Documents::new(Arc::clone(resources), self.source.clone()));
                *current = Some(Arc::clone(&documents));
                documents
            }
        }
    }
}

enum Asked<'a> {
    V2,
    Index,
    V3(&'a str),
}

/// The documents of one value of [`Resources`]. Holding that value has every change make a new one.
struct Documents {
    resources: Arc<Resources>,
    source: Option<Arc<dyn SchemaSource>>,
    /// Held while a document is made, so that clients that ask at the same time do not have it made more than once.
    making: Mutex<()>,
    v2_json: OnceLock<Document>,
    v2_protobuf: OnceLock<Document>,
    /// The hashes of version 3, by name (such as `apis/apps/v1`).
    hashes: OnceLock<BTreeMap<String, String>>,
    v3: BTreeMap<String, OnceLock<Document>>,
}

impl Documents {
    fn new(resources: Arc<Resources>, source: Option<Arc<dyn SchemaSource>>) -> Documents {
        let mut names = BTreeMap::new();
        for group in order::groups(&resources) {
            for version in &group.versions {
                names.insert(v3_name(group.name, version.name), OnceLock::new());
            }
        }
        Documents {
            resources,
            source,
            making: Mutex::new(()),
            v2_json: OnceLock::new(),
            v2_protobuf: OnceLock::new(),
            hashes: OnceLock::new(),
            v3: names,
        }
    }

    fn v2(&self, headers: &HeaderMap) -> io::Result<Response<Bytes>> {
        for range in accepted(headers) {
            if range.means(JSON) {
                let make =
                    |out: &mut dyn Write| v2::write_json(&order::groups(&self.resources), &self.definitions(), out);
                return answer(self.once(&self.v2_json, make)?, JSON, headers);
            }
            if V2_PROTOBUF.contains(&range.media_type.as_str()) {
                let make =
                    |out: &mut dyn Write| v2::write_protobuf(&order::groups(&self.resources), &self.definitions(), out);
                return answer(self.once(&self.v2_protobuf, make)?, V2_PROTOBUF[0], headers);
            }
        }
        Ok(not_acceptable())
    }

    /// Where the documents of version 3 are.
    fn index(&self, headers: &HeaderMap) -> io::Result<Response<Bytes>> {
        let mut paths = Map::new();
        for (name, hash) in self.hashes()? {
            paths.insert(name.clone(), json!({ "serverRelativeURL": relative_url(name, hash) }));
        }
        let document = Document::make(|out| write!(out, "{}", json!({ "paths": paths })))?;
        answer(&document, JSON, headers)
    }

    fn v3(&self, name: &str, query: &Query, headers: &HeaderMap, now: Timestamp) -> io::Result<Response<Bytes>> {
        let Some(place) = self.v3.get(name) else { return Ok(not_found()) };
        if !accepted(headers).iter().any(|range| range.means(JSON)) {
            return Ok(not_acceptable());
        }
        let document = self.once(place, |out| self.write_v3(name, &self.definitions(), out))?;
        let known = query.text("hash");
        if known.is_some_and(|hash| hash != document.hash) {
            let mut answer = Response::new(Bytes::new());
            *answer.status_mut() = StatusCode::MOVED_PERMANENTLY;
            answer.headers_mut().insert(LOCATION, header(&relative_url(name, &document.hash)));
            return Ok(answer);
        }
        let mut answer = answer(document, JSON, headers)?;
        if known.is_some() {
            let expires = now.checked_add(YEAR).unwrap_or(Timestamp::MAX);
            let headers = answer.headers_mut();
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, immutable"));
            headers.insert(EXPIRES, header(&expires.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()));
        }
        Ok(answer)
    }

    fn hashes(&self) -> io::Result<&BTreeMap<String, String>> {
        if let Some(hashes) = self.hashes.get() {
            return Ok(hashes);
        }
        let _making = self.making.lock();
        if let Some(hashes) = self.hashes.get() {
            return Ok(hashes);
        }
        let mut hashes = BTreeMap::new();
        let definitions = self.definitions();
        for (name, document) in &self.v3 {
            let hash = match document.get() {
                Some(document) => document.hash.clone(),
                None => document::hash(|out| self.write_v3(name, &definitions, out))?,
            };
            hashes.insert(name.clone(), hash);
        }
        Ok(self.hashes.get_or_init(|| hashes))
    }

    /// Writes the document of version 3 with this name.
    fn write_v3(&self, name: &str, definitions: &Definitions, out: &mut dyn Write) -> io::Result<()> {
        for group in order::groups(&self.resources) {
            if let Some(version) = group.versions.iter().find(|version| v3_name(group.name, version.name) == name) {
                return v3::write(group.name, version, definitions, out);
            }
        }
        Ok(())
    }

    /// The document in `place`, made if it is not there. One document is made at a time.
    fn once<'a>(
        &self,
        place: &'a OnceLock<Document>,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<&'a Document> {
        if let Some(document) = place.get() {
            return Ok(document);
        }
        let _making = self.making.lock();
        if let Some(document) = place.get() {
            return Ok(document);
        }
        let document = Document::make(write)?;
        Ok(place.get_or_init(|| document))
    }

    fn definitions(&self) -> Definitions {
        Definitions::new(&self.resources, self.source.as_deref())
    }
}

fn v3_name(group: &str, version: &str) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
}

fn relative_url(name: &str, hash: &str) -> String {
    format!("/openapi/v3/{name}?hash={hash}")
}

fn answer(document: &Document, content_type: &'static str, headers: &HeaderMap) -> io::Result<Response<Bytes>> {
    let tag = header(&format!("\"{}\"", document.hash));
    let known = headers.get_all(IF_NONE_MATCH).iter().any(|known| *known == tag || known == "*");
    let gzip = accepts_gzip(headers);
    let body = match (known, gzip) {
        (true, _) => Bytes::new(),
        (false, true) => document.gzip(),
        (false, false) => document.bytes()?,
    };
    let mut answer = Response::new(body);
    if known {
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let out = answer.headers_mut();
    out.insert(ETAG, tag);
    out.insert(VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
    if !known {
        out.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        if gzip {
            out.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
    }
    Ok(answer)
}

fn not_acceptable() -> Response<Bytes> {
    let mut answer = Response::new(Bytes::new());
    *answer.status_mut() = StatusCode::NOT_ACCEPTABLE;
    answer
}

/// A header of letters, digits and punctuation.
fn header(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""))
}
