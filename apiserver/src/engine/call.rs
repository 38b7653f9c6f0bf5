//! One request in the hands of the engine: what it is about, with everything resolved that its verb needs.

use std::borrow::Cow;
use std::collections::BTreeMap;

use api::status::{GroupResource, Status};
use http::HeaderMap;
use k8s_openapi::jiff::Timestamp;
use parking_lot::Mutex;
use store::{Key, Prefix};

use super::Engine;
use crate::authn::Identity;
use crate::authz::rbac::check_escalation;
use crate::entry::ROOT;
use crate::kind::Kind;
use crate::object::Object;
use crate::registry::Resource;
use crate::request::{Query, Target};
use crate::strategy::{Context, Names};

/// A request for a resource that is served.
pub struct Call<'a> {
    /// Who answers it.
    pub engine: &'a Engine,
    /// What it is about.
    pub target: &'a Target,
    /// The rules and the storage of that.
    pub resource: &'a Resource,
    /// Its parameters.
    pub query: &'a Query,
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// When it came.
    pub now: Timestamp,
    /// Who sent it; `None` for what the server itself does.
    pub identity: Option<&'a Identity>,
    warnings: Mutex<Vec<String>>,
    annotations: Mutex<BTreeMap<String, String>>,
}

/// The most warnings that an answer carries; more would not fit into its headers.
const MAX_WARNINGS: usize = 50;

impl<'a> Call<'a> {
    /// Puts a request of the server itself together.
    pub fn new(
        engine: &'a Engine,
        target: &'a Target,
        resource: &'a Resource,
        query: &'a Query,
        headers: &'a HeaderMap,
    ) -> Self {
        let now = engine.now();
        let (warnings, annotations) = (Mutex::default(), Mutex::default());
        Call { engine, target, resource, query, headers, now, identity: None, warnings, annotations }
    }

    /// The same, sent by `identity`.
    #[must_use]
    pub fn by(self, identity: Option<&'a Identity>) -> Self {
        Call { identity, ..self }
    }

    pub(crate) fn kind(&self) -> &'a dyn Kind {
        &*self.resource.kind
    }

    pub(crate) fn names(&self) -> &'a Names {
        self.resource.kind.names()
    }

    /// Whether the objects of this resource have a form in protobuf.
    pub(crate) fn has_protobuf(&self) -> bool {
        api::protobuf::has_kind(&self.names().api_version(), &self.names().kind)
    }

    pub(crate) fn group_resource(&self) -> GroupResource {
        self.names().group_resource()
    }

    /// The namespace of the objects that this is about; empty for resources without namespaces, and for requests across
    /// all namespaces.
    pub(crate) fn namespace(&self) -> &'a str {
        if self.names().namespaced { &self.target.namespace } else { "" }
    }

    pub(crate) fn context(&self) -> Context<'_> {
        Context { now: self.now, namespace: self.namespace(), identity: self.identity }
    }

    /// Refuses what hands out rights that whoever asks does not have.
    pub(crate) fn check_escalation(&self, new: &dyn Object, old: Option<&dyn Object>) -> Result<(), Status> {
        let Some(identity) = self.identity else { return Ok(()) };
        let access = self.engine.access();
        check_escalation(&access.rbac, &*access.authorizer, identity, (self.namespace(), new, old))
    }

    /// The key of an object of this resource.
    pub(crate) fn key(&self, name: &str) -> Result<Key, Status> {
        self.key_in(self.namespace(), name)
    }

    pub(crate) fn key_in(&self, namespace: &str, name: &str) -> Result<Key, Status> {
        // A name with a slash would be the key of something else.
        if name.contains('/') || namespace.contains('/') {
            return Err(Status::not_found(&self.group_resource(), name));
        }
        let path = if namespace.is_empty() { Cow::Borrowed(name) } else { format!("{namespace}/{name}").into() };
        let path = format!("{ROOT}{}/{path}", self.resource.storage.path);
        Key::new(&path).map_err(|_| Status::not_found(&self.group_resource(), name))
    }

    /// The prefix of the objects of this resource, in the request's namespace if it names one.
    pub(crate) fn prefix(&self, namespace: &str) -> Result<Prefix, Status> {
        let within = if namespace.is_empty() { String::new() } else { format!("{namespace}/") };
        let path = format!("{ROOT}{}/{within}", self.resource.storage.path);
        Prefix::new(&path).map_err(|error| Status::bad_request(error.to_string()))
    }

    /// Tells the client something that is not an error.
    pub(crate) fn warn(&self, warning: impl Into<String>) {
        let mut warnings = self.warnings.lock();
        let warning = warning.into();
        if warnings.len() < MAX_WARNINGS && !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }

    /// What the client is to be warned of.
    pub fn take_warnings(&self) -> Vec<String> {
        std::mem::take(&mut self.warnings.lock())
    }

    /// Notes something for whoever audits requests. What is said of a key first stays.
    pub(crate) fn annotate(&self, key: impl Into<String>, value: impl Into<String>) {
        self.annotations.lock().entry(key.into()).or_insert_with(|| value.into());
    }

    /// What is noted for whoever audits requests.
    pub fn take_annotations(&self) -> BTreeMap<String, String> {
        std::mem::take(&mut self.annotations.lock())
    }
}
