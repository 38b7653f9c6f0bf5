//! The schemas of types, in both versions of OpenAPI.
//!
//! Fields, shapes and merge rules come from the table that decoding, patches and field ownership use too, so that what
//! is published is what is done; the words come from [`Descriptions`]; kinds that are known only at run time bring
//! their own.

use std::collections::BTreeMap;

use api::schema::{Field, ListType, MapType, Rules, Schema, Shape, Type};
use serde_json::{Map, Value, json};

use super::SchemaSource;
use super::descriptions::Descriptions;
use crate::registry::Resources;
use crate::strategy::Names;

pub(super) const DELETE_OPTIONS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";
pub(super) const PATCH: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Patch";
pub(super) const RESOURCE_LIST: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.APIResourceList";
pub(super) const STATUS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Status";
const LIST_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta";
const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
const INT_OR_STRING: &str = "io.k8s.apimachinery.pkg.util.intstr.IntOrString";
const MICRO_TIME: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime";
const QUANTITY: &str = "io.k8s.apimachinery.pkg.api.resource.Quantity";
const TIME: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Time";

/// The words of OpenAPI 3 that version 2 does not have.
const ONLY_V3: [&str; 4] = ["anyOf", "not", "nullable", "oneOf"];

/// A version of OpenAPI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    V2,
    V3,
}

impl Dialect {
    /// What refers to a schema by name.
    pub(super) fn reference(self, name: &str) -> Value {
        let prefix = match self {
            Dialect::V2 => "#/definitions/",
            Dialect::V3 => "#/components/schemas/",
        };
        json!({ "$ref": format!("{prefix}{name}") })
    }
}

/// Every schema that may be asked for.
pub(super) struct Definitions {
    descriptions: Descriptions,
    kinds: BTreeMap<&'static str, Vec<[&'static str; 3]>>,
    custom: BTreeMap<String, Value>,
}

impl Definitions {
    /// The built-in types, and what `source` knows of the served kinds that are not among them.
    pub(super) fn new(resources: &Resources, source: Option<&dyn SchemaSource>) -> Definitions {
        let mut kinds: BTreeMap<&'static str, Vec<[&'static str; 3]>> = BTreeMap::new();
        for (group, version, kind, of) in Schema::kinds() {
            kinds.entry(of.name()).or_default().push([group, version, kind]);
        }
        let mut custom = BTreeMap::new();
        for resource in resources.iter() {
            let names = resource.kind.names();
            if Schema::of(&names.group, &names.version, &names.kind).is_none() {
                let schema = source.and_then(|source| source.schema(names));
                let name = type_name(&names.group, &names.version, &names.kind);
                custom.insert(format!("{name}List"), custom_list(names, &name));
                custom.insert(name, custom_kind(names, schema));
            }
        }
        Definitions { descriptions: Descriptions::load(), kinds, custom }
    }

    /// The schema with this name.
    pub(super) fn definition(&self, name: &str, dialect: Dialect) -> Value {
        if let Some(schema) = self.custom.get(name) {
            return translated(schema, dialect);
        }
        let mut schema = match Schema::named(name) {
            Some(of) => self.of_type(of, dialect),
            None => special(name, dialect),
        };
        let description = self.descriptions.of_type(name).text;
        if !description.is_empty() {
            schema.insert("description".to_owned(), description.into());
        }
        if name == PATCH {
            let words = "Patch is provided to give a concrete name and type to the Kubernetes PATCH request body.";
            schema.insert("description".to_owned(), words.into());
        }
        if let Some(kinds) = self.kinds.get(name) {
            let kinds = kinds.iter().map(|[group, version, kind]| group_version_kind(group, version, kind)).collect();
            schema.insert("x-kubernetes-group-version-kind".to_owned(), Value::Array(kinds));
        }
        Value::Object(schema)
    }

    fn of_type(&self, of: &Type, dialect: Dialect) -> Map<String, Value> {
        let mut properties = Map::new();
        let mut required = Vec::new();
        for field in of.fields() {
            properties.insert(field.name().to_owned(), self.of_field(of, field, dialect));
            if field.required() && !is_metadata(field) {
                required.push(Value::from(field.name()));
            }
        }
        let mut schema = Map::from_iter([("type".to_owned(), Value::from("object"))]);
        if !properties.is_empty() {
            schema.insert("properties".to_owned(), properties.into());
        }
        if !required.is_empty() {
            schema.insert("required".to_owned(), required.into());
        }
        if of.is_atomic() {
            schema.insert("x-kubernetes-map-type".to_owned(), "atomic".into());
        }
        schema
    }

    fn of_field(&self, of: &Type, field: &Field, dialect: Dialect) -> Value {
        let said = self.descriptions.of_field(of.name(), field.name());
        let mut schema = of_shape(field.shape(), said.reference, dialect);
        if let Some(map) = schema.as_object_mut() {
            if !said.text.is_empty() {
                // Version 3 ignores what stands beside a reference.
                if dialect == Dialect::V3 && map.contains_key("$ref") {
                    let reference = Value::Object(std::mem::take(map));
                    map.insert("allOf".to_owned(), Value::Array(vec![reference]));
                }
                map.insert("description".to_owned(), said.text.into());
            }
            add_rules(map, field.rules());
        }
        schema
    }
}

/// The published name of the schema of a kind.
pub(super) fn type_name(group: &str, version: &str, kind: &str) -> String {
    if let Some(of) = Schema::of(group, version, kind) {
        return of.name().to_owned();
    }
    let reversed: Vec<&str> = group.rsplit('.').collect();
    format!("{}.{version}.{kind}", reversed.join("."))
}

/// Group, version and kind as extensions state them.
pub(super) fn group_version_kind(group: &str, version: &str, kind: &str) -> Value {
    json!({"group": group, "version": version, "kind": kind})
}

/// The names that a schema or an operation refers to. Documents are of our own making, and no deeper than serde reads.
pub(super) fn references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            if let Some(Value::String(reference)) = map.get("$ref") {
                found.extend(reference.rsplit('/').next().map(str::to_owned));
            }
            map.values().for_each(|value| references(value, found));
        }
        Value::Array(list) => list.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

/// Whether a field is the metadata of an object or list, which the generated structs always have and the published API
/// does not require.
fn is_metadata(field: &Field) -> bool {
    matches!(field.shape(), Shape::Object(of) if [OBJECT_META, LIST_META].contains(&of.name()))
}

fn of_shape(shape: Shape, any: &str, dialect: Dialect) -> Value {
    match shape {
        Shape::String => json!({"type": "string"}),
        Shape::Int32 => json!({"type": "integer", "format": "int32"}),
        Shape::Int64 => json!({"type": "integer", "format": "int64"}),
        Shape::Number => json!({"type": "number", "format": "double"}),
        Shape::Boolean => json!({"type": "boolean"}),
        Shape::Bytes => json!({"type": "string", "format": "byte"}),
        Shape::IntOrString => dialect.reference(INT_OR_STRING),
        Shape::Quantity => dialect.reference(QUANTITY),
        Shape::Time => dialect.reference(TIME),
        Shape::MicroTime => dialect.reference(MICRO_TIME),
        Shape::Any if any.is_empty() => json!({}),
        Shape::Any => dialect.reference(any),
        Shape::Object(of) => dialect.reference(of.name()),
        Shape::Array(element) => json!({"type": "array", "items": of_shape(element.shape(), any, dialect)}),
        Shape::Map(element) => {
            json!({"type": "object", "additionalProperties": of_shape(element.shape(), any, dialect)})
        }
    }
}

/// The types that read themselves.
fn special(name: &str, dialect: Dialect) -> Map<String, Value> {
    let schema = match (name, dialect) {
        (QUANTITY, Dialect::V3) => json!({"oneOf": [{"type": "string"}, {"type": "number"}]}),
        (QUANTITY, Dialect::V2) => json!({"type": "string"}),
        (INT_OR_STRING, Dialect::V3) => {
            json!({"oneOf": [{"type": "integer"}, {"type": "string"}], "format": "int-or-string"})
        }
        (INT_OR_STRING, Dialect::V2) => json!({"type": "string", "format": "int-or-string"}),
        (TIME | MICRO_TIME, _) => json!({"type": "string", "format": "date-time"}),
        // The parts of JSON schemas may be objects, lists and more.
        (name, _) if name.starts_with("io.k8s.apiextensions-apiserver.") => json!({}),
        _ => json!({"type": "object"}),
    };
    match schema {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn add_rules(schema: &mut Map<String, Value>, rules: &Rules) {
    let mut add = |name: &str, value: Value| schema.insert(format!("x-kubernetes-{name}"), value);
    match rules.list_type {
        Some(ListType::Atomic) => add("list-type", "atomic".into()),
        Some(ListType::Set) => add("list-type", "set".into()),
        Some(ListType::Map) => add("list-type", "map".into()),
        None => None,
    };
    if !rules.list_map_keys.is_empty() {
        add("list-map-keys", rules.list_map_keys.into());
    }
    match rules.map_type {
        Some(MapType::Atomic) => add("map-type", "atomic".into()),
        Some(MapType::Granular) => add("map-type", "granular".into()),
        None => None,
    };
    if let Some(key) = rules.patch_merge_key {
        add("patch-merge-key", key.into());
    }
    let strategy =
        [(rules.patch_merge, "merge"), (rules.patch_replace, "replace"), (rules.patch_retain_keys, "retainKeys")];
    let strategy: Vec<&str> = strategy.into_iter().filter(|(stated, _)| *stated).map(|(_, word)| word).collect();
    if !strategy.is_empty() {
        add("patch-strategy", strategy.join(",").into());
    }
}

/// The schema of a kind that is known only at run time, with what every object has.
fn custom_kind(names: &Names, schema: Option<Value>) -> Value {
    let mut schema = match schema {
        Some(Value::Object(schema)) => schema,
        _ => Map::from_iter([("x-kubernetes-preserve-unknown-fields".to_owned(), true.into())]),
    };
    schema.insert("type".to_owned(), "object".into());
    let properties = schema.entry("properties").or_insert_with(|| json!({}));
    if let Some(properties) = properties.as_object_mut() {
        properties.insert("apiVersion".to_owned(), json!({"type": "string", "description": API_VERSION}));
        properties.insert("kind".to_owned(), json!({"type": "string", "description": KIND}));
        properties.insert("metadata".to_owned(), Dialect::V3.reference(OBJECT_META));
    }
    let kind = group_version_kind(&names.group, &names.version, &names.kind);
    schema.insert("x-kubernetes-group-version-kind".to_owned(), json!([kind]));
    Value::Object(schema)
}

fn custom_list(names: &Names, item: &str) -> Value {
    let kind = &names.kind;
    json!({
        "type": "object",
        "description": format!("{kind}List is a list of {kind} objects."),
        "required": ["items"],
        "properties": {
            "apiVersion": {"type": "string", "description": API_VERSION},
            "kind": {"type": "string", "description": KIND},
            "metadata": Dialect::V3.reference(LIST_META),
            "items": {"type": "array", "items": Dialect::V3.reference(item)},
        },
        "x-kubernetes-group-version-kind": [group_version_kind(&names.group, &names.version, &format!("{kind}List"))],
    })
}

const API_VERSION: &str = "The group and version of this representation of the object.";
const KIND: &str = "The kind of the object, in CamelCase. Cannot be updated.";

/// A custom schema, which is written in version 3, in another version. serde reads no deeper than 128 levels.
fn translated(schema: &Value, dialect: Dialect) -> Value {
    match schema {
        _ if dialect == Dialect::V3 => schema.clone(),
        Value::Object(map) => {
            let reference = map.get("$ref").and_then(Value::as_str).and_then(|name| name.rsplit('/').next());
            if let Some(name) = reference {
                return dialect.reference(name);
            }
            let kept = map.iter().filter(|(word, _)| !ONLY_V3.contains(&word.as_str()));
            Value::Object(kept.map(|(word, value)| (word.clone(), translated(value, dialect))).collect())
        }
        Value::Array(list) => list.iter().map(|value| translated(value, dialect)).collect(),
        other => other.clone(),
    }
}
