//! An object on its way, with what must be remembered of it: what it was called, and where it comes from.

use serde_json::{Map, Value, json};

use crate::Error;
use crate::id::{Gvk, Id};
use crate::origin::Origin;
use crate::yaml::{Words, documents, is_null};

/// What a generated object does to one of the same name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Behavior {
    /// Nothing was said: there must be none.
    #[default]
    Unspecified,
    Create,
    Replace,
    Merge,
}

impl Behavior {
    pub(crate) fn of(word: &str) -> Behavior {
        match word {
            "create" => Behavior::Create,
            "replace" => Behavior::Replace,
            "merge" => Behavior::Merge,
            _ => Behavior::Unspecified,
        }
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Behavior::Unspecified => "unspecified",
            Behavior::Create => "create",
            Behavior::Replace => "replace",
            Behavior::Merge => "merge",
        }
    }
}

/// What an object was called before.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Before {
    namespace: String,
    name: String,
    kind: String,
}

/// An object on its way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Resource {
    /// The object; null once a patch has deleted it.
    pub(crate) object: Value,
    before: Vec<Before>,
    pub(crate) prefixes: Vec<String>,
    pub(crate) suffixes: Vec<String>,
    /// Whether its name gets a hash of its content.
    pub(crate) hashed: bool,
    pub(crate) behavior: Behavior,
    /// The variables that it gives values to.
    pub(crate) variables: Vec<String>,
    pub(crate) origin: Option<Origin>,
    pub(crate) transformations: Vec<Origin>,
}

impl Resource {
    pub(crate) fn new(object: Value) -> Resource {
        Resource { object, ..Resource::default() }
    }

    pub(crate) fn gvk(&self) -> Gvk {
        Gvk::of(&self.object)
    }

    fn metadata(&self, field: &str) -> &str {
        self.object["metadata"][field].as_str().filter(|text| !is_null(&json!(text))).unwrap_or_default()
    }

    pub(crate) fn name(&self) -> &str {
        self.metadata("name")
    }

    pub(crate) fn namespace(&self) -> &str {
        self.metadata("namespace")
    }

    pub(crate) fn kind(&self) -> &str {
        self.object["kind"].as_str().unwrap_or_default()
    }

    /// What it is called now.
    pub(crate) fn id(&self) -> Id {
        Id { gvk: self.gvk(), name: self.name().to_owned(), namespace: self.namespace().to_owned() }
    }

    /// What it was called, the oldest first, without what it is called now.
    pub(crate) fn previous_ids(&self) -> Vec<Id> {
        let gvk = self.gvk();
        let id = |before: &Before| Id {
            gvk: Gvk { kind: before.kind.clone(), ..gvk.clone() },
            name: before.name.clone(),
            namespace: before.namespace.clone(),
        };
        self.before.iter().map(id).collect()
    }

    /// What it was called at first.
    pub(crate) fn original_id(&self) -> Id {
        self.previous_ids().into_iter().next().unwrap_or_else(|| self.id())
    }

    /// All that it was and is called.
    pub(crate) fn all_ids(&self) -> Vec<Id> {
        let mut ids = self.previous_ids();
        ids.push(self.id());
        ids
    }

    /// Remembers what it is called, before that changes.
    pub(crate) fn remember_id(&mut self) {
        let id = self.id();
        let namespace = id.effective_namespace().to_owned();
        self.before.push(Before { namespace, name: id.name, kind: id.gvk.kind });
    }

    /// The metadata, made if there is none.
    pub(crate) fn metadata_mut(&mut self) -> Option<&mut Map<String, Value>> {
        child(self.object.as_object_mut()?, "metadata")
    }

    pub(crate) fn set_name(&mut self, name: &str) {
        if let Some(metadata) = self.metadata_mut() {
            metadata.insert("name".to_owned(), json!(name));
        }
    }

    /// Labels or annotations that are texts.
    pub(crate) fn texts(&self, field: &str) -> std::collections::BTreeMap<String, String> {
        let fields = self.object["metadata"][field].as_object().into_iter().flatten();
        fields.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
    }

    /// Takes what is remembered of another one that it replaces.
    pub(crate) fn take_over(&mut self, other: &Resource) {
        for field in ["labels", "annotations"] {
            let mut texts = other.texts(field);
            texts.extend(self.texts(field));
            if let Some(metadata) = self.metadata_mut()
                && !texts.is_empty()
            {
                metadata.insert(field.to_owned(), json!(texts));
            }
        }
        let namespace = other.namespace().to_owned();
        self.set_name(other.name());
        if let Some(metadata) = self.metadata_mut() {
            match namespace.is_empty() {
                true => drop(metadata.remove("namespace")),
                false => drop(metadata.insert("namespace".to_owned(), json!(namespace))),
            }
        }
        self.before.clone_from(&other.before);
        self.prefixes.clone_from(&other.prefixes);
        self.suffixes.clone_from(&other.suffixes);
        self.variables.clone_from(&other.variables);
        self.hashed &= other.hashed;
    }

    /// Whether nothing is left of it.
    pub(crate) fn is_gone(&self) -> bool {
        is_null(&self.object) || self.object.as_object().is_some_and(Map::is_empty)
    }
}

/// A map in a map, made if it is not there.
pub(crate) fn child<'m>(fields: &'m mut Map<String, Value>, name: &str) -> Option<&'m mut Map<String, Value>> {
    let value = fields.entry(name).or_insert_with(|| json!({}));
    if is_null(value) {
        *value = json!({});
    }
    value.as_object_mut()
}

/// The objects of a text; lists are taken apart.
pub(crate) fn parse(text: &str) -> Result<Vec<Resource>, Error> {
    parsed(text, Words::Objects)
}

/// The objects of a file.
pub(crate) fn parse_file(text: &str) -> Result<Vec<Resource>, Error> {
    parsed(text, Words::Files)
}

fn parsed(text: &str, words: Words) -> Result<Vec<Resource>, Error> {
    let mut found = Vec::new();
    for value in documents(text, words)? {
        take_apart(value, &mut found)?;
    }
    Ok(found)
}

fn take_apart(value: Value, found: &mut Vec<Resource>) -> Result<(), Error> {
    let Value::Object(mut fields) = value else {
        return Err(Error::Malformed("an object has fields, and this has none".to_owned()));
    };
    if fields.is_empty() {
        return Ok(());
    }
    let is_list = fields.get("kind").and_then(Value::as_str).is_some_and(|kind| kind.ends_with("List"));
    if let Some(Value::Array(items)) = fields.get_mut("items").filter(|_| is_list) {
        for item in std::mem::take(items) {
            take_apart(item, found)?;
        }
        return Ok(());
    }
    let resource = Resource::new(Value::Object(fields));
    let (api_version, kind) = (resource.object["apiVersion"].as_str().unwrap_or_default(), resource.kind());
    let missing = |what: &str| {
        let (name, namespace) = (resource.name(), resource.namespace());
        Error::said(format!(
            "missing {what} in object {{{{{api_version} {kind}}} {{{{{name} {namespace}}} map[] map[]}}}}"
        ))
    };
    if kind.is_empty() {
        return Err(missing("kind"));
    }
    if resource.name().is_empty() {
        return Err(missing("metadata.name"));
    }
    found.push(resource);
    Ok(())
}
