//! What the store keeps in memory for each object: the very bytes that are served, and what selectors look at.
//!
//! An object is stored as JSON without `metadata.resourceVersion`, because its revision is only known at commit. When a
//! change is taken in, the revision is spliced in once, and labels and selectable fields are read out in the same pass.
//! From then on every GET, LIST and WATCH shares these bytes.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use store::{Codec, Encoded, IndexValue, Key, Revision};

use crate::encryption::{Encryption, Kept};
use crate::registry::Registry;

/// The root of every key that the API server writes.
pub const ROOT: &str = "/registry/";

/// One stored object.
pub struct Entry {
    bytes: Bytes,
    /// Where the digits of `metadata.resourceVersion` stand; empty in what is no object.
    revision_digits: Range<usize>,
    /// Where the object goes on after `kind` and `apiVersion`; items of a list leave those out.
    after_type: usize,
    labels: Box<[(Box<str>, Box<str>)]>,
    fields: Box<[Box<str>]>,
    schema: Option<Arc<EntrySchema>>,
    kept: Kept,
}

impl Entry {
    /// By what it is kept where it is stored.
    #[must_use]
    pub fn kept(&self) -> &Kept {
        &self.kept
    }

    /// Why it cannot be read, if it cannot. Its bytes are those that are stored then.
    #[must_use]
    pub fn unreadable(&self) -> Option<&str> {
        match &self.kept {
            Kept::Unreadable(why) => Some(why),
            Kept::Plain | Kept::By(_) => None,
        }
    }

    /// The object's JSON, with its resource version.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The object's JSON after `{"kind":…,"apiVersion":…,`: an item of a list is `{` and this. `None` if the stored bytes
    /// do not begin in that way; then the whole object is the item.
    #[must_use]
    pub fn item(&self) -> Option<Bytes> {
        (self.after_type > 0).then(|| self.bytes.slice(self.after_type..))
    }

    /// The value of a label.
    #[must_use]
    pub fn label(&self, key: &str) -> Option<&str> {
        let at = self.labels.binary_search_by(|(label, _)| (**label).cmp(key)).ok()?;
        Some(&self.labels[at].1)
    }

    /// The value of the selectable field at `path` in the stored JSON, other than `metadata.name` and
    /// `metadata.namespace`, which the key tells. By path, because each version of a resource has its own names for what
    /// is stored once.
    #[must_use]
    pub fn field(&self, path: &str) -> Option<&str> {
        let schema = self.schema.as_ref()?;
        let at = schema.fields.iter().position(|field| field.path == path)?;
        self.fields.get(at).map(|value| &**value)
    }

    /// The same object as of another revision, for a watcher from whose selection it has dropped out.
    #[must_use]
    pub fn at_revision(&self, revision: Revision) -> Bytes {
        if self.revision_digits.is_empty() {
            return self.bytes.clone();
        }
        let digits = revision.to_string();
        let mut bytes = BytesMut::with_capacity(self.bytes.len() + digits.len());
        bytes.put_slice(&self.bytes[..self.revision_digits.start]);
        bytes.put_slice(digits.as_bytes());
        bytes.put_slice(&self.bytes[self.revision_digits.end..]);
        bytes.freeze()
    }
}

/// What is read out of the objects of one stored resource.
#[derive(Debug, Default)]
pub struct EntrySchema {
    type_prefix: String,
    fields: Vec<EntryField>,
    paths: Node,
    /// How many values are looked for: one a field, and behind those one for each path that counts instead.
    slots: usize,
}

#[derive(Debug)]
struct EntryField {
    path: &'static str,
    /// Where the value is that counts when there is none at the path.
    instead: Option<usize>,
    absent: &'static str,
}

impl EntrySchema {
    /// For objects that are stored as `kind` and `api_version`, with these selectable fields.
    #[must_use]
    pub fn new(kind: &str, api_version: &str, fields: &[crate::strategy::SelectableField]) -> Self {
        let mut paths = Node::default();
        let mut put = |path: &'static str, slot: usize| {
            let node = path.split('.').fold(&mut paths, |node, name| node.children.entry(name).or_default());
            node.slots.push(slot);
        };
        let mut slots = fields.len();
        let mut read = Vec::with_capacity(fields.len());
        for (at, field) in fields.iter().enumerate() {
            put(field.path, at);
            let instead = field.or_path.map(|path| {
                put(path, slots);
                slots += 1;
                slots - 1
            });
            read.push(EntryField { path: field.path, instead, absent: field.absent });
        }
        EntrySchema { type_prefix: type_prefix(kind, api_version), fields: read, paths, slots }
    }
}

/// What the JSON of an object begins with that items of a list leave out, up to the comma.
pub(crate) fn type_prefix(kind: &str, api_version: &str) -> String {
    format!(r#"{{"kind":"{kind}","apiVersion":"{api_version}","#)
}

/// The store's codec for API objects.
pub struct Objects {
    registry: Arc<Registry>,
    encryption: Encryption,
}

impl Objects {
    /// Reads what `registry` says of each stored resource.
    #[must_use]
    pub fn new(registry: Arc<Registry>) -> Self {
        Objects { registry, encryption: Encryption::default() }
    }

    /// The same, which stores what `encryption` says encrypted.
    #[must_use]
    pub fn with_encryption(self, encryption: Encryption) -> Self {
        Objects { encryption, ..self }
    }

    /// What is encrypted.
    #[must_use]
    pub fn encryption(&self) -> &Encryption {
        &self.encryption
    }

    /// Whether the object at `key` would be stored otherwise if it were written now as it is.
    #[must_use]
    pub fn is_stale(&self, key: &Key, entry: &Entry) -> bool {
        self.encryption.is_stale(stored_resource(key), &entry.kept)
    }
}

impl Codec for Objects {
    type Entry = Entry;

    fn decode(&self, key: &Key, revision: Revision, value: Bytes) -> Entry {
        let resource = stored_resource(key);
        let (value, kept) = self.encryption.open(resource, key, value);
        let is_readable = !matches!(kept, Kept::Unreadable(_));
        let schema = resource.filter(|_| is_readable).and_then(|resource| self.registry.entry_schema(resource));
        match schema.as_ref().and_then(|schema| Facts::read(schema, &value).ok()) {
            Some(facts) => Entry { kept, ..facts.into_entry(schema, revision, &value) },
            None => Entry {
                bytes: value,
                revision_digits: 0..0,
                after_type: 0,
                labels: Box::default(),
                fields: Box::default(),
                schema: None,
                kept,
            },
        }
    }

    fn encode(&self, key: &Key, value: Bytes) -> Result<Encoded, String> {
        self.encryption.seal(stored_resource(key), key, value)
    }

    fn tombstone(&self, _: &Key, revision: Revision, last: &Entry) -> Entry {
        let bytes = last.at_revision(revision);
        let grown = bytes.len() - last.bytes.len();
        let Range { start, end } = last.revision_digits.clone();
        Entry {
            bytes,
            revision_digits: start..end + grown,
            after_type: last.after_type,
            labels: last.labels.clone(),
            fields: last.fields.clone(),
            schema: last.schema.clone(),
            kept: last.kept.clone(),
        }
    }

    fn index_values(&self, _: &Key, entry: &Entry, visit: &mut dyn FnMut(IndexValue<'_>)) {
        let Some(schema) = &entry.schema else { return };
        for (field, value) in schema.fields.iter().zip(&entry.fields) {
            if INDEXED.contains(&field.path) {
                visit(IndexValue { index: field.path, value });
            }
        }
    }

    fn weight(&self, entry: &Entry) -> usize {
        let labels: usize = entry.labels.iter().map(|(key, value)| key.len() + value.len() + 32).sum();
        let fields: usize = entry.fields.iter().map(|value| value.len() + 16).sum();
        entry.bytes.len() + labels + fields + size_of::<Entry>()
    }
}

/// The paths of the selectable fields by whose value watches are found by look-up: those that thousands of watchers use at a time.
pub const INDEXED: &[&str] = &["spec.nodeName"];

/// `<group>/<resource>` of a key, by which the registry files what is stored.
pub(crate) fn stored_resource(key: &Key) -> Option<&str> {
    let rest = key.as_str().strip_prefix(ROOT)?;
    let group_end = rest.find('/')?;
    let resource_end = rest[group_end + 1..].find('/')? + group_end + 1;
    Some(&rest[..resource_end])
}

/// What one pass over an object's JSON finds.
struct Facts {
    /// Where the resource version belongs, or where there is one already.
    revision_at: Range<usize>,
    /// What must stand around the digits there.
    revision_frame: (&'static str, &'static str),
    labels: Box<[(Box<str>, Box<str>)]>,
    fields: Box<[Box<str>]>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MetadataFacts<'a> {
    #[serde(borrow, default)]
    uid: Option<&'a RawValue>,
    #[serde(borrow, default)]
    resource_version: Option<&'a RawValue>,
    #[serde(borrow, default)]
    labels: Option<BTreeMap<Cow<'a, str>, Cow<'a, str>>>,
}

impl Facts {
    fn read(schema: &EntrySchema, json: &[u8]) -> Result<Facts, serde_json::Error> {
        let mut found = Found { values: vec![None; schema.slots], metadata: None };
        let mut deserializer = serde_json::Deserializer::from_slice(json);
        Top { schema, found: &mut found }.deserialize(&mut deserializer)?;
        deserializer.end()?;
        let metadata = found.metadata.ok_or_else(|| serde::de::Error::missing_field("metadata"))?;
        let facts: MetadataFacts<'_> = serde_json::from_str(metadata.get())?;
        let offset = |raw: &RawValue| raw.get().as_ptr() as usize - json.as_ptr() as usize;
        let opening = offset(metadata);
        let (revision_at, revision_frame) = match (facts.resource_version, facts.uid) {
            (Some(present), _) => {
                let start = offset(present);
                (start..start + present.get().len(), ("\"", "\""))
            }
            (None, Some(uid)) => {
                let end = offset(uid) + uid.get().len();
                (end..end, (",\"resourceVersion\":\"", "\""))
            }
            (None, None) => {
                let empty = metadata.get()[1..].trim_start().starts_with('}');
                let frame = if empty { ("\"resourceVersion\":\"", "\"") } else { ("\"resourceVersion\":\"", "\",") };
                (opening + 1..opening + 1, frame)
            }
        };
        let labels = facts.labels.unwrap_or_default();
        let labels = labels.into_iter().map(|(key, value)| (Box::from(key), Box::from(value))).collect();
        let fields = schema.fields.iter().enumerate().map(|(at, field)| found.take(at, field)).collect();
        Ok(Facts { revision_at, revision_frame, labels, fields })
    }

    fn into_entry(self, schema: Option<Arc<EntrySchema>>, revision: Revision, json: &[u8]) -> Entry {
        let digits = revision.to_string();
        let (before, after) = self.revision_frame;
        let mut bytes = BytesMut::with_capacity(json.len() + before.len() + digits.len() + after.len());
        bytes.put_slice(&json[..self.revision_at.start]);
        bytes.put_slice(before.as_bytes());
        let start = bytes.len();
        bytes.put_slice(digits.as_bytes());
        let revision_digits = start..bytes.len();
        bytes.put_slice(after.as_bytes());
        bytes.put_slice(&json[self.revision_at.end..]);
        let prefix = schema.as_ref().map_or("", |schema| &schema.type_prefix);
        let after_type = if bytes.starts_with(prefix.as_bytes()) { prefix.len() } else { 0 };
        let (labels, fields) = (self.labels, self.fields);
        Entry { bytes: bytes.freeze(), revision_digits, after_type, labels, fields, schema, kept: Kept::Plain }
    }
}

/// The selectable fields as a tree of their paths.
#[derive(Debug, Default)]
struct Node {
    children: BTreeMap<&'static str, Node>,
    slots: Vec<usize>,
}

struct Found<'de> {
    values: Vec<Option<Box<str>>>,
    metadata: Option<&'de RawValue>,
}

impl Found<'_> {
    /// The value of the field at `at`.
    fn take(&mut self, at: usize, field: &EntryField) -> Box<str> {
        let own = self.values[at].take();
        let value = match field.instead {
            Some(instead) => own.filter(|value| !value.is_empty()).or_else(|| self.values[instead].take()),
            None => own,
        };
        value.unwrap_or_else(|| field.absent.into())
    }
}

/// Visits the top level: metadata is kept raw, and paths are followed elsewhere.
struct Top<'a, 'de> {
    schema: &'a EntrySchema,
    found: &'a mut Found<'de>,
}

impl<'de> DeserializeSeed<'de> for Top<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Top<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            if key == "metadata" {
                self.found.metadata = Some(map.next_value()?);
            } else if let Some(node) = self.schema.paths.children.get(&*key) {
                map.next_value_seed(Follow { node, values: &mut self.found.values })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// Visits a value below which selectable fields are.
struct Follow<'a> {
    node: &'a Node,
    values: &'a mut [Option<Box<str>>],
}

impl Follow<'_> {
    fn put(self, text: impl fmt::Display) {
        for &slot in &self.node.slots {
            self.values[slot] = Some(text.to_string().into());
        }
    }
}

impl<'de> DeserializeSeed<'de> for Follow<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Follow<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            match self.node.children.get(&*key) {
                Some(node) => map.next_value_seed(Follow { node, values: self.values })?,
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.put(text);
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.put(value);
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.put(value);
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.put(value);
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.put(value);
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strategy::SelectableField;

    fn entry(json: &str, revision: u64) -> Entry {
        let node_name = SelectableField::at("spec.nodeName");
        let host = SelectableField { absent: "false", ..SelectableField::at("spec.hostNetwork") };
        let phase = SelectableField::at("status.phase");
        let source =
            SelectableField { or_path: Some("reporter"), name: "source", ..SelectableField::at("source.name") };
        let schema = Arc::new(EntrySchema::new("Pod", "v1", &[node_name, host, source, phase]));
        let facts = Facts::read(&schema, json.as_bytes()).expect("an object");
        facts.into_entry(Some(schema), Revision(revision), json.as_bytes())
    }

    fn text(bytes: &[u8]) -> &str {
        std::str::from_utf8(bytes).expect("text")
    }

    #[test]
    fn the_revision_is_spliced_in_where_it_belongs() {
        let cases = [
            (
                r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a","uid":"u","labels":{}}}"#,
                r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a","uid":"u","resourceVersion":"7","labels":{}}}"#,
            ),
            (r#"{"metadata":{}}"#, r#"{"metadata":{"resourceVersion":"7"}}"#),
            (r#"{"metadata": { } }"#, r#"{"metadata": {"resourceVersion":"7" } }"#),
            (r#"{"metadata":{"name":"a"}}"#, r#"{"metadata":{"resourceVersion":"7","name":"a"}}"#),
            (
                r#"{"metadata":{"uid":"u","resourceVersion":"12345"}}"#,
                r#"{"metadata":{"uid":"u","resourceVersion":"7"}}"#,
            ),
            (
                r#"{"spec":{"metadata":{"uid":"not this"}},"metadata":{"uid":"u\"}"}}"#,
                r#"{"spec":{"metadata":{"uid":"not this"}},"metadata":{"uid":"u\"}","resourceVersion":"7"}}"#,
            ),
        ];
        for (stored, served) in cases {
            let entry = entry(stored, 7);
            assert_eq!(text(&entry.bytes), served);
            assert_eq!(text(&entry.at_revision(Revision(1234))), served.replace("\"7\"", "\"1234\""));
        }
    }

    #[test]
    fn items_of_lists_leave_out_their_type() {
        let entry = entry(r#"{"kind":"Pod","apiVersion":"v1","metadata":{"uid":"u"},"spec":{}}"#, 1);
        assert_eq!(text(&entry.item().unwrap()), r#""metadata":{"uid":"u","resourceVersion":"1"},"spec":{}}"#);
        assert_eq!(self::entry(r#"{"apiVersion":"v1","kind":"Pod","metadata":{}}"#, 1).item(), None);
    }

    #[test]
    fn labels_and_fields_are_read_out() {
        let entry = entry(
            r#"{"metadata":{"labels":{"b":"2","a":"1\n"}},"spec":{"x":[1,{"nodeName":"no"}],"nodeName":"n1",
                "hostNetwork":true,"y":{"nodeName":"no"}},"status":null}"#,
            1,
        );
        assert_eq!((entry.label("a"), entry.label("b"), entry.label("c")), (Some("1\n"), Some("2"), None));
        let field = |name| entry.field(name);
        assert_eq!(field("spec.nodeName"), Some("n1"));
        assert_eq!(field("spec.hostNetwork"), Some("true"));
        assert_eq!(field("status.phase"), Some(""));
        assert_eq!(field("spec.other"), None);
        assert_eq!(self::entry(r#"{"metadata":{}}"#, 1).field("spec.hostNetwork"), Some("false"));
    }

    #[test]
    fn another_path_may_count_instead() {
        let check =
            |json: &str, expected: &str| assert_eq!(entry(json, 1).field("source.name"), Some(expected), "{json}");
        check(r#"{"metadata":{},"source":{"name":"a"},"reporter":"b"}"#, "a");
        check(r#"{"metadata":{},"reporter":"b","source":{"name":""}}"#, "b");
        check(r#"{"metadata":{},"reporter":"b","source":{}}"#, "b");
        check(r#"{"metadata":{},"reporter":"b"}"#, "b");
        check(r#"{"metadata":{},"source":{"name":""}}"#, "");
        check(r#"{"metadata":{}}"#, "");
    }

    #[test]
    fn keys_tell_what_is_stored() {
        for (key, expected) in [
            ("/registry/core/pods/default/a", Some("core/pods")),
            ("/registry/apps/deployments/default/a", Some("apps/deployments")),
            ("/registry/core/nodes/n", Some("core/nodes")),
            ("/registry/core/nodes", None),
            ("/other/core/nodes/n", None),
        ] {
            assert_eq!(stored_resource(&Key::new(key).unwrap()), expected, "{key}");
        }
    }
}
