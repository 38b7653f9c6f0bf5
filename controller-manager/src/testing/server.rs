//! What an API server does with actions, as far as controllers can tell.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::patch::merge;
use client::cache::Cache;
use client::events::EventType;
use client::resource::{Key, Resource};
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::authorization::v1::SubjectAccessReviewSpec;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Map, Value, json};

use crate::claims::is_used_by;
use crate::controller::Keep;
use crate::plan::{Action, Deletion, Effect, Fact, Propagation, Refused, Report, Target, refusal};

/// Whether an access is allowed.
pub(super) type Authorizer = Box<dyn Fn(&SubjectAccessReviewSpec) -> bool>;

/// Keeps objects as JSON, and a cache that shows them.
pub(super) struct Server {
    pub(super) now: Timestamp,
    cache: Cache,
    kinds: BTreeMap<Arc<str>, (Resource, Keep)>,
    objects: BTreeMap<Key, Value>,
    refused: BTreeMap<Arc<str>, Refused>,
    pub(super) authorizer: Authorizer,
    revision: u64,
    made: u64,
}

type Outcome<T> = Result<T, Refused>;

fn refused<T>(reason: &str, message: impl Into<String>) -> Outcome<T> {
    Err(Refused::new(reason, message))
}

fn key(target: &Target) -> Key {
    Key {
        resource: target.resource.name(),
        namespace: target.namespace.as_str().into(),
        name: target.name.as_str().into(),
    }
}

fn is_empty(value: Option<&Value>) -> bool {
    value.and_then(Value::as_array).is_none_or(Vec::is_empty)
}

impl Server {
    pub(super) fn new(cache: Cache, now: Timestamp) -> Server {
        let (kinds, objects, refused) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let authorizer: Authorizer = Box::new(|_| false);
        Server { now, cache, kinds, objects, refused, authorizer, revision: 100, made: 0 }
    }

    /// Begins to show a resource of which there are no objects yet.
    pub(super) fn know(&mut self, resource: Resource, keep: Keep) {
        if !self.kinds.contains_key(&resource.name()) {
            self.cache.put_all(&resource, Vec::new(), self.revision);
            self.kinds.insert(resource.name(), (resource, keep));
        }
    }

    pub(super) fn resources(&self) -> Vec<Resource> {
        self.kinds.values().map(|(resource, _)| resource.clone()).collect()
    }

    pub(super) fn get(&self, key: &Key) -> Option<&Value> {
        self.objects.get(key)
    }

    pub(super) fn refuse(&mut self, resource: &Resource, refusal: Option<Refused>) {
        self.refused.remove(&resource.name());
        self.refused.extend(refusal.map(|refused| (resource.name(), refused)));
    }

    /// Carries an action out; returns the name of its object.
    pub(super) fn act(&mut self, action: &Action) -> Outcome<String> {
        let key = key(&action.target);
        let uid = &action.target.uid;
        if !matches!(
            action.effect,
            Effect::Create(_) | Effect::DeleteAll | Effect::Confirm(_) | Effect::ConfirmUnused { .. }
        ) {
            let Some(object) = self.objects.get(&key) else {
                if matches!(action.effect, Effect::Delete(_)) {
                    return Ok(action.target.name.clone());
                }
                return refused("NotFound", "it is not there");
            };
            if !uid.is_empty() && object["metadata"]["uid"] != json!(uid) {
                return refused("Conflict", "the uid is another");
            }
        }
        match &action.effect {
            Effect::Create(body) => {
                return self.create(&action.target.resource, body.clone()).map(|key| key.name.to_string());
            }
            Effect::Patch { subresource, version, body } => self.patch(&key, *subresource, version, body)?,
            Effect::Replace { subresource, body } => self.replace(&key, subresource, body),
            Effect::Post { subresource: "eviction", .. } => self.delete(&key, &Deletion::default()),
            Effect::Post { subresource, .. } => panic!("{subresource} is not known"),
            Effect::Delete(deletion) => {
                self.demand_version(&key, &deletion.version)?;
                self.delete(&key, deletion);
            }
            Effect::DeleteAll => {
                let deletion = Deletion { propagation: Some(Propagation::Background), ..Deletion::default() };
                self.all_in(&key).iter().for_each(|key| self.delete(key, &deletion));
            }
            Effect::Confirm(fact) => self.confirm(&key, uid, *fact)?,
            Effect::ConfirmUnused { controller } => self.confirm_unused(&key, controller)?,
            Effect::Event(_) => {}
            Effect::Review(reviews) => {
                if !reviews.iter().any(|review| (self.authorizer)(review)) {
                    return refused("Forbidden", refusal(reviews));
                }
            }
            Effect::Certify(certification) => {
                let certificate = ByteString(format!("certificate of {}", certification.request).into());
                let body = json!({"status": {"certificate": certificate}});
                self.patch(&key, Some("status"), &certification.version, &body)?;
            }
        }
        Ok(action.target.name.clone())
    }

    fn all_in(&self, within: &Key) -> Vec<Key> {
        let of = |key: &&Key| key.resource == within.resource && key.namespace == within.namespace;
        self.objects.keys().filter(of).cloned().collect()
    }

    fn confirm(&self, key: &Key, uid: &str, fact: Fact) -> Outcome<()> {
        let found = self.objects.get(key).filter(|object| uid.is_empty() || object["metadata"]["uid"] == json!(uid));
        let alive = found.is_some_and(|object| object["metadata"]["deletionTimestamp"].is_null());
        let so = match fact {
            Fact::Alive => alive,
            Fact::Gone => found.is_none(),
            Fact::Empty => self.all_in(key).is_empty(),
        };
        if so { Ok(()) } else { refused("", format!("{fact:?} is not so")) }
    }

    fn confirm_unused(&self, claim: &Key, controller: &str) -> Outcome<()> {
        let pods = Key { resource: Resource::of::<Pod>().name(), ..claim.clone() };
        let user = self.all_in(&pods).into_iter().find(|key| {
            let pod = serde_json::from_value::<Pod>(self.objects[key].clone()).expect("it is a pod");
            is_used_by(&claim.name, controller, &pod)
        });
        user.map_or(Ok(()), |user| refused("", format!("{user} uses it")))
    }

    pub(super) fn create(&mut self, resource: &Resource, mut body: Value) -> Outcome<Key> {
        if let Some(refused) = self.refused.get(&resource.name()) {
            return Err(refused.clone());
        }
        self.made += 1;
        let meta = &mut body["metadata"];
        if meta["name"].is_null() {
            let base = meta["generateName"].as_str().expect("it has a name, or the beginning of one");
            meta["name"] = json!(format!("{base}{:05}", self.made));
        }
        let defaults = json!({
            "uid": format!("uid-{}", self.made), "creationTimestamp": self.now.to_string(), "generation": 1,
        });
        for (field, value) in defaults.as_object().into_iter().flatten() {
            if meta[field].is_null() {
                meta[field] = value.clone();
            }
        }
        let text = |field: &str| meta[field].as_str().unwrap_or_default().into();
        let key = Key { resource: resource.name(), namespace: text("namespace"), name: text("name") };
        if self.objects.contains_key(&key) {
            return refused("AlreadyExists", format!("{key} already exists"));
        }
        if resource.plural == "pods" && body["status"]["phase"].is_null() {
            body["status"]["phase"] = json!("Pending");
        }
        self.store(&key, body);
        Ok(key)
    }

    fn demand_version(&self, key: &Key, version: &str) -> Outcome<()> {
        if version.is_empty() || self.objects[key]["metadata"]["resourceVersion"] == json!(version) {
            return Ok(());
        }
        refused("Conflict", "the object has been modified")
    }

    fn patch(&mut self, key: &Key, subresource: Option<&str>, version: &str, patch: &Value) -> Outcome<()> {
        self.demand_version(key, version)?;
        let old = &self.objects[key];
        let merged = merge::apply(old, patch.clone()).expect("it is a merge patch");
        let mut new = old.clone();
        match subresource {
            Some("status" | "approval") => {
                new["status"] = merged["status"].clone();
                if merged["metadata"]["annotations"].is_object() {
                    new["metadata"]["annotations"] = merged["metadata"]["annotations"].clone();
                }
            }
            Some(other) => panic!("{other} is not known"),
            None => {
                new = merged;
                new["status"] = old["status"].clone();
                if new["spec"] != old["spec"] {
                    new["metadata"]["generation"] = json!(old["metadata"]["generation"].as_i64().unwrap_or(0) + 1);
                }
            }
        }
        if new["status"].is_null() {
            new.as_object_mut().map(|object| object.remove("status"));
        }
        self.put(key, new);
        Ok(())
    }

    fn replace(&mut self, key: &Key, subresource: &str, body: &Value) {
        let mut new = self.objects[key].clone();
        let part = if subresource == "finalize" { "spec" } else { "status" };
        new[part] = body[part].clone();
        self.put(key, new);
    }

    /// Stores an object as it is, unless nothing holds it here any longer.
    pub(super) fn put(&mut self, key: &Key, object: Value) {
        let meta = &object["metadata"];
        let finalized = is_empty(meta.get("finalizers")) && is_empty(object["spec"].get("finalizers"));
        let has_grace = meta["deletionGracePeriodSeconds"].as_i64().unwrap_or(0) > 0;
        if meta["deletionTimestamp"].is_null() || !finalized || has_grace {
            return self.store(key, object);
        }
        self.remove(key);
    }

    fn store(&mut self, key: &Key, mut object: Value) {
        self.revision += 1;
        object["metadata"]["resourceVersion"] = json!(self.revision.to_string());
        let (resource, keep) = self.kinds.get(&key.resource).unwrap_or_else(|| panic!("{key}: nobody watches such"));
        let decoded = (keep.decode)(object.clone()).unwrap_or_else(|error| panic!("{key}: {error}: {object:#}"));
        self.objects.insert(key.clone(), object);
        self.cache.put_any(resource, decoded);
    }

    pub(super) fn delete(&mut self, key: &Key, deletion: &Deletion) {
        let mut object = self.objects[key].clone();
        let meta = &mut object["metadata"];
        if let Some(propagation) = deletion.propagation {
            let mut finalizers = meta["finalizers"].as_array().cloned().unwrap_or_default();
            finalizers.retain(|known| *known != json!("foregroundDeletion") && *known != json!("orphan"));
            match propagation {
                Propagation::Foreground => finalizers.push(json!("foregroundDeletion")),
                Propagation::Orphan => finalizers.push(json!("orphan")),
                Propagation::Background => {}
            }
            meta["finalizers"] = json!(finalizers);
        }
        let on_node = &*key.resource == "pods" && object["spec"]["nodeName"].is_string();
        let stated = object["spec"]["terminationGracePeriodSeconds"].as_u64().unwrap_or(30);
        let grace = deletion.grace_seconds.map_or(stated, u64::from);
        let meta = &mut object["metadata"];
        if meta["deletionTimestamp"].is_null() {
            meta["deletionTimestamp"] = json!(self.now.to_string());
        }
        meta["deletionGracePeriodSeconds"] = json!(if on_node { grace } else { 0 });
        self.put(key, object);
    }

    pub(super) fn remove(&mut self, key: &Key) {
        self.objects.remove(key);
        self.revision += 1;
        let (resource, _) = &self.kinds[&key.resource];
        if let Some(known) = self.cache.any(key) {
            self.cache.remove(resource, known.meta());
        }
    }

    /// Everything, sorted, without what differs from run to run.
    pub(super) fn summary(&self) -> Vec<String> {
        let names: BTreeMap<String, String> = self.objects.values().flat_map(aliases).collect();
        let mut lines: Vec<String> = Vec::new();
        for (key, object) in &self.objects {
            let mut object = object.clone();
            mask(&mut object, &names);
            lines.push(format!("{} {object}", key.resource));
        }
        lines.sort();
        lines
    }
}

/// What stands for the uid and the generated name of an object.
fn aliases(object: &Value) -> Vec<(String, String)> {
    let meta = &object["metadata"];
    let text = |field: &str| meta[field].as_str().unwrap_or_default().to_owned();
    let alias = if meta["generateName"].is_string() { text("generateName") + "*" } else { text("name") };
    let uid = (text("uid"), format!("uid of {alias}"));
    if meta["generateName"].is_string() { vec![uid, (text("name"), alias)] } else { vec![uid] }
}

fn mask(value: &mut Value, names: &BTreeMap<String, String>) {
    match value {
        Value::Object(object) => {
            mask_members(object, names);
        }
        Value::Array(items) => items.iter_mut().for_each(|item| mask(item, names)),
        Value::String(text) => {
            if let Some(alias) = names.get(text) {
                alias.clone_into(text);
            }
        }
        _ => {}
    }
}

fn mask_members(object: &mut Map<String, Value>, names: &BTreeMap<String, String>) {
    object.retain(|key, _| !matches!(key.as_str(), "resourceVersion" | "observedGeneration" | "generation"));
    object.values_mut().for_each(|value| mask(value, names));
}

/// The Event that a report makes of an outcome.
pub(super) fn words(report: &Report, name: &str, outcome: &Outcome<String>) -> Option<String> {
    let (event_type, (reason, message), name, error) = match outcome {
        Ok(name) => (EventType::Normal, report.done.as_ref()?, name.as_str(), ""),
        Err(refused) => (EventType::Warning, report.failed.as_ref()?, name, refused.message.as_str()),
    };
    let message = message.replace("{name}", name).replace("{error}", error);
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let (kind, about) = (text(&report.regarding.kind), text(&report.regarding.name));
    Some(format!("{} {reason} {kind} {about}: {message}", event_type.as_str()))
}
