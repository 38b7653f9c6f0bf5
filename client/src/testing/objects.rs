//! The objects of a fake API server, their history, and the watches that follow it.

use std::collections::BTreeMap;

use api::patch::{merge, strategic};
use api::schema::{Schema, normalize};
use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{Asked, status};

/// What a path names: a collection, an object, or something below one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    /// The path of the resource in all namespaces, such as `/apis/apps/v1/deployments`.
    collection: String,
    namespace: String,
    pub(super) name: Option<String>,
    subresource: Option<String>,
}

impl Address {
    pub(super) fn parse(path: &str) -> Option<Address> {
        let parts: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
        let (root, rest) = match parts.as_slice() {
            ["api", version, rest @ ..] => (format!("/api/{version}"), rest),
            ["apis", group, version, rest @ ..] => (format!("/apis/{group}/{version}"), rest),
            _ => return None,
        };
        let (namespace, rest) = match rest {
            // What is below a namespace itself.
            ["namespaces", _, "status" | "finalize"] => ("", rest),
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
            rest => ("", rest),
        };
        let text = |part: Option<&&str>| part.map(|part| (*part).to_owned());
        let collection = format!("{root}/{}", rest.first()?);
        let (name, subresource) = (text(rest.get(1)), text(rest.get(2)));
        Some(Address { collection, namespace: namespace.to_owned(), name, subresource })
    }

    fn key(&self) -> Key {
        (self.collection.clone(), self.namespace.clone(), self.name.clone().unwrap_or_default())
    }

    /// Whether it names the collection that an object is in.
    fn holds(&self, key: &Key) -> bool {
        self.collection == key.0 && (self.namespace.is_empty() || self.namespace == key.1)
    }
}

/// Where an object is: its resource, its namespace, its name.
type Key = (String, String, String);
type Pieces = mpsc::UnboundedSender<Result<Bytes, std::io::Error>>;
/// A code, and what is said.
type Answer = (u16, Value);

struct Event {
    revision: u64,
    key: Key,
    told: Value,
}

struct Watch {
    address: Address,
    /// Up to which revision it has been told.
    told: u64,
    pieces: Pieces,
}

impl Watch {
    fn tell(&self, event: &Value) {
        // Whoever does not listen any longer need not be told.
        let _ = self.pieces.send(Ok(format!("{event}\n").into()));
    }
}

#[derive(Default)]
pub(super) struct Objects {
    pub(super) revision: u64,
    objects: BTreeMap<Key, Value>,
    history: Vec<Event>,
    /// Up to which revision the history is gone.
    compacted: u64,
    watches: Vec<Watch>,
    held: bool,
    /// What is left of lists that were read in part, by the tokens that go on with them.
    pages: BTreeMap<String, (u64, Vec<Value>)>,
    made: u64,
}

impl Objects {
    pub(super) fn get(&self, address: &Address) -> Option<&Value> {
        self.objects.get(&address.key())
    }

    pub(super) fn list(&self, address: &Address) -> Vec<Value> {
        self.objects.iter().filter(|(key, _)| address.holds(key)).map(|(_, object)| object.clone()).collect()
    }

    /// Stores an object, and returns its revision.
    pub(super) fn put(&mut self, address: &Address, mut object: Value) -> u64 {
        let key = address.key();
        let meta = &mut object["metadata"];
        meta["name"] = json!(key.2);
        if !key.1.is_empty() {
            meta["namespace"] = json!(key.1);
        }
        let old = self.objects.get(&key);
        if meta["uid"].is_null() {
            meta["uid"] = match old {
                Some(old) => old["metadata"]["uid"].clone(),
                None => {
                    self.made += 1;
                    json!(format!("uid-{}", self.made))
                }
            };
        }
        let kind = if old.is_some() { "MODIFIED" } else { "ADDED" };
        self.revision += 1;
        object["metadata"]["resourceVersion"] = json!(self.revision.to_string());
        self.objects.insert(key.clone(), object.clone());
        self.happened(key, kind, &object);
        self.revision
    }

    pub(super) fn remove(&mut self, address: &Address) {
        let key = address.key();
        let Some(mut object) = self.objects.remove(&key) else { return };
        self.revision += 1;
        object["metadata"]["resourceVersion"] = json!(self.revision.to_string());
        self.happened(key, "DELETED", &object);
    }

    fn happened(&mut self, key: Key, kind: &str, object: &Value) {
        let told = json!({"type": kind, "object": object});
        self.history.push(Event { revision: self.revision, key, told });
        self.deliver();
    }

    /// Tells every watch what it has not been told.
    fn deliver(&mut self) {
        self.watches.retain(|watch| !watch.pieces.is_closed());
        if self.held {
            return;
        }
        let (expired, current) = std::mem::take(&mut self.watches).into_iter().partition(|it| it.told < self.compacted);
        self.watches = current;
        let expired: Vec<Watch> = expired;
        expired.iter().for_each(|watch| watch.tell(&json!({"type": "ERROR", "object": status(410, "Expired")})));
        for watch in &mut self.watches {
            for event in self.history.iter().filter(|event| event.revision > watch.told) {
                if watch.address.holds(&event.key) {
                    watch.tell(&event.told);
                }
            }
            watch.told = self.revision;
        }
    }

    pub(super) fn hold(&mut self, hold: bool) {
        self.held = hold;
        self.deliver();
    }

    pub(super) fn compact(&mut self) {
        // Who keeps up has been told everything.
        self.deliver();
        self.compacted = self.revision;
        self.history.clear();
        self.pages.clear();
    }

    pub(super) fn restore(&mut self, revision: u64) {
        (self.revision, self.compacted) = (revision, revision);
        self.watches.clear();
        self.history.clear();
        self.pages.clear();
    }

    pub(super) fn tell_all(&mut self, event: &Value) {
        self.watches.iter().for_each(|watch| watch.tell(event));
    }

    pub(super) fn end_watches(&mut self) {
        self.watches.clear();
    }

    pub(super) fn break_watches(&mut self, within_event: bool) {
        for watch in self.watches.drain(..) {
            // Whoever does not listen any longer need not be told.
            if within_event {
                let _ = watch.pieces.send(Ok(r#"{"type":"ADDED","object":{"metadata":{"na"#.into()));
            } else {
                let _ = watch.pieces.send(Err(std::io::Error::other("the connection broke")));
            }
        }
    }

    pub(super) fn open_watches(&self) -> usize {
        self.watches.iter().filter(|watch| !watch.pieces.is_closed()).count()
    }

    /// Begins a watch.
    pub(super) fn watch(
        &mut self,
        address: &Address,
        asked: &Asked,
    ) -> Result<mpsc::UnboundedReceiver<Result<Bytes, std::io::Error>>, Answer> {
        let from: u64 = asked.parameter("resourceVersion").parse().unwrap_or(0);
        if from < self.compacted {
            return Err(refuse(410, "Expired"));
        }
        if from > self.revision {
            return Err(too_large());
        }
        let (pieces, events) = mpsc::unbounded_channel();
        self.watches.push(Watch { address: address.clone(), told: from, pieces });
        self.deliver();
        Ok(events)
    }

    /// Does what is asked, watches excepted.
    pub(super) fn carry_out(&mut self, address: &Address, asked: &Asked) -> Answer {
        match (&asked.method, &address.name) {
            (&Method::GET, None) => self.page(address, asked),
            (&Method::POST, None) => self.create(address, &asked.body),
            (&Method::DELETE, None) => {
                let answer = json!({"kind": "List", "metadata": {}, "items": self.list(address)});
                let keys: Vec<Key> = self.objects.keys().filter(|key| address.holds(key)).cloned().collect();
                for (collection, namespace, name) in keys {
                    let one = Address { collection, namespace, name: Some(name), subresource: None };
                    self.delete(&one, &json!({}));
                }
                (200, answer)
            }
            (_, Some(_)) if self.get(address).is_none() => refuse(404, "NotFound"),
            (&Method::GET, Some(_)) => (200, self.objects[&address.key()].clone()),
            (&Method::POST, Some(_)) => {
                if address.subresource.as_deref() == Some("eviction") {
                    self.delete(address, &json!({}));
                }
                (201, json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}))
            }
            (&Method::PATCH, Some(_)) => match patched(&self.objects[&address.key()], asked) {
                Some(patched) => self.change(address, &asked.body, patched),
                None => refuse(400, "BadRequest"),
            },
            (&Method::PUT, Some(_)) => self.change(address, &asked.body, asked.body.clone()),
            (&Method::DELETE, Some(_)) => self.delete(address, &asked.body),
            _ => refuse(405, "MethodNotAllowed"),
        }
    }

    /// A list, or a page of one.
    fn page(&mut self, address: &Address, asked: &Asked) -> Answer {
        let limit = asked.parameter("limit").parse().ok().filter(|limit| *limit > 0).unwrap_or(usize::MAX);
        let token = asked.parameter("continue");
        let (revision, mut items) = if token.is_empty() {
            if asked.parameter("resourceVersion").parse().is_ok_and(|from: u64| from > self.revision) {
                return too_large();
            }
            (self.revision, self.list(address))
        } else {
            match self.pages.get(token).cloned() {
                Some(rest) => rest,
                None => return refuse(410, "Expired"),
            }
        };
        let mut meta = json!({"resourceVersion": revision.to_string()});
        if items.len() > limit {
            let rest = items.split_off(limit);
            self.made += 1;
            let token = format!("token-{}", self.made);
            meta["continue"] = json!(token);
            self.pages.insert(token, (revision, rest));
        }
        (200, json!({"kind": "List", "apiVersion": "v1", "metadata": meta, "items": items}))
    }

    fn create(&mut self, address: &Address, body: &Value) -> Answer {
        let mut address = address.clone();
        let name = body["metadata"]["name"].as_str().map(str::to_owned);
        address.name = Some(name.unwrap_or_else(|| {
            self.made += 1;
            format!("{}{:05}", body["metadata"]["generateName"].as_str().unwrap_or_default(), self.made)
        }));
        if self.get(&address).is_some() {
            return refuse(409, "AlreadyExists");
        }
        self.put(&address, body.clone());
        (201, self.objects[&address.key()].clone())
    }

    /// Makes an object what a patch or a replacement makes of it, if what it demands is so.
    fn change(&mut self, address: &Address, demands: &Value, changed: Value) -> Answer {
        let old = self.objects[&address.key()].clone();
        if !demanded(&demands["metadata"], &old) {
            return refuse(409, "Conflict");
        }
        let mut new = match address.subresource.as_deref() {
            None => {
                let mut new = changed;
                new["status"] = old["status"].clone();
                new
            }
            Some(subresource) => {
                let part = if subresource == "finalize" { "spec" } else { "status" };
                let mut new = old.clone();
                new[part] = changed[part].clone();
                new
            }
        };
        if new["status"].is_null()
            && let Some(new) = new.as_object_mut()
        {
            new.remove("status");
        }
        new["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"].clone();
        let is_done = !new["metadata"]["deletionTimestamp"].is_null() && !has_finalizers(&new);
        if is_done {
            self.remove(address);
        } else if new != old {
            self.put(address, new.clone());
            new = self.objects[&address.key()].clone();
        }
        (200, new)
    }

    fn delete(&mut self, address: &Address, options: &Value) -> Answer {
        let mut object = self.objects[&address.key()].clone();
        if !demanded(&options["preconditions"], &object) {
            return refuse(409, "Conflict");
        }
        let finalizer = match options["propagationPolicy"].as_str() {
            Some("Foreground") => Some("foregroundDeletion"),
            Some("Orphan") => Some("orphan"),
            _ => None,
        };
        let meta = &mut object["metadata"];
        let mut finalizers = meta["finalizers"].as_array().cloned().unwrap_or_default();
        if let Some(finalizer) = finalizer.filter(|finalizer| !finalizers.contains(&json!(finalizer))) {
            finalizers.push(json!(finalizer));
        }
        let grace = options["gracePeriodSeconds"].as_u64();
        // What has been told to end gracefully waits to be removed without grace.
        if finalizers.is_empty() && grace.is_none_or(|seconds| seconds == 0) {
            let details = json!({"name": address.name, "uid": meta["uid"]});
            self.remove(address);
            return (200, json!({"kind": "Status", "metadata": {}, "status": "Success", "details": details}));
        }
        if !finalizers.is_empty() {
            meta["finalizers"] = json!(finalizers);
        }
        if meta["deletionTimestamp"].is_null() {
            meta["deletionTimestamp"] = json!("2026-03-01T12:00:00Z");
        }
        meta["deletionGracePeriodSeconds"] = json!(grace.unwrap_or(0));
        self.put(address, object);
        (200, self.objects[&address.key()].clone())
    }
}

/// Whether an object has the uid and the version that are demanded, if any are.
fn demanded(demands: &Value, object: &Value) -> bool {
    ["uid", "resourceVersion"].iter().all(|what| demands[what].is_null() || demands[what] == object["metadata"][what])
}

/// What a patch makes of an object: by the lists' keys if it asks for that and the object says of which kind it is, and
/// otherwise by fields alone.
fn patched(object: &Value, asked: &Asked) -> Option<Value> {
    let of = api_version(object).and_then(|(group, version)| Schema::of(group, version, object["kind"].as_str()?));
    match (of, object, &asked.body) {
        (Some(of), Value::Object(object), Value::Object(patch)) if asked.content_type.contains("strategic") => {
            let mut patched = strategic::apply(object, patch.clone(), of).ok().map(Value::Object)?;
            // So does a real one: who compares what it wrote with what it gets must not be surprised there alone.
            normalize(&mut patched, of);
            Some(patched)
        }
        _ => merge::apply(object, asked.body.clone()).ok(),
    }
}

/// The group and the version that an object says it is of.
fn api_version(object: &Value) -> Option<(&str, &str)> {
    let text = object["apiVersion"].as_str()?;
    Some(text.split_once('/').unwrap_or(("", text)))
}

fn has_finalizers(object: &Value) -> bool {
    object["metadata"]["finalizers"].as_array().is_some_and(|finalizers| !finalizers.is_empty())
}

fn refuse(code: u16, reason: &str) -> Answer {
    (code, status(code, reason))
}

fn too_large() -> Answer {
    let mut answer = status(504, "Timeout");
    answer["details"] =
        json!({"causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]});
    (504, answer)
}

/// The parameters of a query, of which those are understood that clients of ours send.
pub(super) fn parse_query(query: &str) -> BTreeMap<String, String> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (decode(name), decode(value))).collect()
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        let code = (*first == b'%').then(|| behind.get(..2)).flatten().and_then(|hex| std::str::from_utf8(hex).ok());
        match code.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &behind[2..];
            }
            None => {
                bytes.push(if *first == b'+' { b' ' } else { *first });
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
