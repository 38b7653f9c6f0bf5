//! Which objects a list or a watch is about: by namespace, labels and fields.

use api::selector::label::Labels;
use api::selector::{field, label};
use api::status::Status;
use store::{Key, Scope, Select};

use super::Call;
use crate::entry::{Entry, INDEXED};
use crate::strategy::SelectableField;

const NAME: &str = "metadata.name";
const NAMESPACE: &str = "metadata.namespace";

/// The objects that a request selects.
#[derive(Clone, Debug)]
pub(crate) struct Selection {
    labels: label::Selector,
    fields: field::Selector,
    /// The kind's own fields among those that are asked for.
    own_fields: Vec<SelectableField>,
    pub(crate) scope: Scope,
    /// How far the key of an object goes before its namespace or name.
    resource_prefix: usize,
    namespaced: bool,
}

impl Selection {
    /// Resolves the selectors of `call`. Fails if a field cannot be selected by.
    pub(crate) fn new(call: &Call<'_>, labels: label::Selector, fields: field::Selector) -> Result<Selection, Status> {
        let selectable = call.kind().selectable_fields();
        let mut own_fields = Vec::new();
        for requirement in fields.requirements() {
            let name = requirement.field.as_str();
            if name == NAME || (name == NAMESPACE && call.names().namespaced) {
                continue;
            }
            match selectable.iter().find(|field| field.name == name) {
                Some(field) => own_fields.push(*field),
                None => return Err(Status::bad_request(unknown_field(name, selectable.is_empty()))),
            }
        }
        let asked = if call.namespace().is_empty() { fields.requires_exact_match(NAMESPACE) } else { None };
        let namespace = match (call.namespace(), asked) {
            ("", Some(namespace)) if api::names::namespace_name(namespace, false).is_empty() => namespace,
            (namespace, _) => namespace,
        };
        // A path names one object, and so does a field selector.
        let path_name = Some(call.target.name.as_str()).filter(|name| !name.is_empty());
        let name = path_name.or_else(|| fields.requires_exact_match(NAME)).filter(|name| is_key_part(name));
        let scope = match name {
            Some(name) if !call.names().namespaced || !namespace.is_empty() => {
                Scope::Key(call.key_in(namespace, name)?)
            }
            _ => Scope::Prefix(call.prefix(namespace)?),
        };
        let resource_prefix = call.prefix("")?.as_str().len();
        Ok(Selection { labels, fields, own_fields, scope, resource_prefix, namespaced: call.names().namespaced })
    }

    /// Whether there is no selector, so that everything in the scope is selected.
    pub(crate) fn is_everything(&self) -> bool {
        self.labels.is_everything() && self.fields.is_everything()
    }

    /// How the store can find the watch by value instead of trying it.
    pub(crate) fn select(&self) -> Select {
        let mut indexed = self.own_fields.iter().filter(|field| INDEXED.contains(&field.path));
        let indexed = indexed.find_map(|field| Some((field.path, self.fields.requires_exact_match(field.name)?)));
        indexed.map_or(Select::All, |(index, value)| Select::Value { index, value: value.to_owned() })
    }

    /// Whether an object is selected.
    pub(crate) fn matches(&self, key: &Key, entry: &Entry) -> bool {
        // Of what cannot be read nobody knows whether it is selected: whoever might be missing it is told so.
        if self.is_everything() || entry.unreadable().is_some() {
            return true;
        }
        let path = &key.as_str()[self.resource_prefix..];
        let (namespace, name) = path.split_once('/').filter(|_| self.namespaced).unwrap_or(("", path));
        self.labels.matches(&EntryLabels(entry))
            && self.fields.matches(|field| match field {
                NAME => Some(name),
                NAMESPACE => Some(namespace),
                name => {
                    self.own_fields.iter().find(|field| field.name == name).and_then(|field| entry.field(field.path))
                }
            })
    }
}

struct EntryLabels<'a>(&'a Entry);

impl Labels for EntryLabels<'_> {
    fn label(&self, key: &str) -> Option<&str> {
        self.0.label(key)
    }
}

fn is_key_part(name: &str) -> bool {
    !name.is_empty() && !name.contains('/') && !name.chars().any(char::is_control)
}

/// Upstream has two wordings: one of the kinds that have fields of their own, one of the others.
fn unknown_field(name: &str, only_metadata: bool) -> String {
    if only_metadata {
        format!("{name:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\"")
    } else {
        format!("field label not supported: {name}")
    }
}
