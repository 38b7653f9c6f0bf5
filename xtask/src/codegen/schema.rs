//! Writes `api/src/schema/generated.rs`: every built-in type, its fields and how lists in them merge.
//!
//! Shapes and required flags come from the schemas of `k8s-openapi`; list types, merge keys and patch strategies, which
//! those lack, from `list-and-merge.json`; kinds from `gvk.json`; what Go leaves out of JSON from `omissions.rs`. A fact
//! about a type or field that the schemas do not have is an error, so that a new API version cannot silently lose a
//! merge key.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

use super::omissions::Omissions;
use super::protobuf;

const OUTPUT: &str = "api/src/schema/generated.rs";
const LIST_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta";
const CONVENTIONS: &str = "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md";
const REFERENCE: &str = "#/$defs/";

/// Types whose JSON is not that of a Go struct: they read themselves.
const SPECIAL: [(&str, &str); 10] = [
    ("io.k8s.apimachinery.pkg.api.resource.Quantity", "Quantity"),
    ("io.k8s.apimachinery.pkg.util.intstr.IntOrString", "IntOrString"),
    ("io.k8s.apimachinery.pkg.apis.meta.v1.Time", "Time"),
    ("io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime", "MicroTime"),
    ("io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1", "Any"),
    ("io.k8s.apimachinery.pkg.runtime.RawExtension", "Any"),
    ("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON", "Any"),
    ("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray", "Any"),
    ("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool", "Any"),
    ("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray", "Any"),
];

/// Writes the table into `repository` from the facts in the directory `facts`.
pub(super) fn generate(facts: &Path, repository: &Path) -> Result<(), String> {
    let kinds = read(&facts.join("gvk.json"))?;
    let merges = read(&facts.join("list-and-merge.json"))?;
    let omissions = Omissions::read(facts)?;
    let mut definitions = definitions();
    add_lists(&mut definitions, &kinds);
    super::descriptions::generate(&definitions, |name| special(name) == Some("Any"), repository)?;

    let mut tables = Tables::new(&definitions);
    for (name, schema) in &definitions {
        if special(name).is_none() {
            tables.add_type(name, schema, merges.get(name), &omissions)?;
        }
    }
    tables.add_kinds(&kinds)?;
    if let Some(name) = merges.keys().find(|name| !definitions.contains_key(*name)) {
        return Err(format!("list-and-merge.json describes {name}, which no root in roots.rs reaches"));
    }
    let path = repository.join(OUTPUT);
    std::fs::write(&path, tables.render()).map_err(|error| format!("{}: {error}", path.display()))
}

fn read(path: &Path) -> Result<Map<String, Value>, String> {
    let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    serde_json::from_slice(&bytes).map_err(|error| format!("{}: {error}", path.display()))
}

/// Every type that a root reaches, by name.
fn definitions() -> BTreeMap<String, Value> {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    super::roots::add_all(&mut generator);
    generator.take_definitions(true).into_iter().collect()
}

/// Lists have no schema of their own in `k8s-openapi`; their four fields are always the same.
fn add_lists(definitions: &mut BTreeMap<String, Value>, kinds: &Map<String, Value>) {
    for name in kinds.keys().filter(|name| !definitions.contains_key(*name)).cloned().collect::<Vec<_>>() {
        let Some(item) = name.strip_suffix("List").filter(|item| definitions.contains_key(*item)) else { continue };
        let own = |field: &str| definitions[item]["properties"][field]["description"].clone();
        let short = item.rsplit('.').next().unwrap_or(item);
        let schema = serde_json::json!({
            "type": "object",
            "description": format!("{short}List is a list of {short} objects."),
            "required": ["items"],
            "properties": {
                "apiVersion": {"type": "string", "description": own("apiVersion")},
                "kind": {"type": "string", "description": own("kind")},
                "metadata": {
                    "$ref": format!("{REFERENCE}{LIST_META}"),
                    "description": format!("Standard list metadata. More info: {CONVENTIONS}#metadata"),
                },
                "items": {
                    "type": "array",
                    "description": format!("The {short} objects in the list."),
                    "items": {"$ref": format!("{REFERENCE}{item}")},
                },
            },
        });
        definitions.insert(name, schema);
    }
}

fn special(name: &str) -> Option<&'static str> {
    SPECIAL.iter().find(|(special, _)| *special == name).map(|(_, shape)| *shape)
}

/// The rows of the generated file, each table interned so that equal entries are written once.
struct Tables {
    strings: String,
    spans: BTreeMap<String, u32>,
    type_indexes: BTreeMap<String, usize>,
    shapes: Vec<String>,
    rules: Vec<String>,
    fields: Vec<String>,
    types: Vec<String>,
    kinds: Vec<String>,
}

impl Tables {
    fn new(definitions: &BTreeMap<String, Value>) -> Self {
        let names = definitions.keys().filter(|name| special(name).is_none());
        Self {
            strings: String::new(),
            spans: BTreeMap::new(),
            type_indexes: names.enumerate().map(|(index, name)| (name.clone(), index)).collect(),
            shapes: Vec::new(),
            rules: vec!["Rules::NONE".to_owned()],
            fields: Vec::new(),
            types: Vec::new(),
            kinds: Vec::new(),
        }
    }

    fn add_type(
        &mut self,
        name: &str,
        schema: &Value,
        merges: Option<&Value>,
        omissions: &Omissions,
    ) -> Result<(), String> {
        let empty = Map::new();
        let properties = schema["properties"].as_object().unwrap_or(&empty);
        let required: BTreeSet<&str> =
            schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let omissions = omissions.of(name);
        let first = self.fields.len();
        // Byte order, whatever order the schema lists them in: lookups are binary searches.
        let sorted: BTreeMap<&str, &Value> =
            properties.iter().map(|(field, schema)| (field.as_str(), schema)).collect();
        for (field, property) in &sorted {
            let shape = self.shape(property).map_err(|error| format!("{name}.{field}: {error}"))?;
            let rules = self.rules(merges.and_then(|merges| merges.get(*field)));
            let span = self.intern(field);
            let flags = flags(&self.shapes[shape], required.contains(field), omissions.get(field).copied());
            self.fields.push(format!("Field::new({span}, {shape}, {rules}, {flags}), // {field}"));
        }
        let stray = omissions
            .values()
            .find(|known| (known.drop_zero || known.keep_empty) && !properties.contains_key(&known.json_name));
        if let Some(known) = stray {
            return Err(format!("protobuf-json.txt describes {name}.{}, which the schema lacks", known.json_name));
        }
        for field in merges.and_then(Value::as_object).into_iter().flat_map(Map::keys) {
            if !field.is_empty() && !properties.contains_key(field) {
                return Err(format!("list-and-merge.json describes {name}.{field}, which the schema lacks"));
            }
        }
        let atomic = merges.is_some_and(|merges| merges[""]["map-type"] == "atomic");
        let span = self.intern(name);
        self.types.push(format!("Type::new({span}, {first}, {}, {atomic}), // {name}", sorted.len()));
        Ok(())
    }

    fn add_kinds(&mut self, kinds: &Map<String, Value>) -> Result<(), String> {
        let mut rows = BTreeMap::new();
        for (name, entries) in kinds {
            let index = *self
                .type_indexes
                .get(name)
                .ok_or_else(|| format!("gvk.json names {name}, which no root in roots.rs reaches"))?;
            for entry in entries.as_array().into_iter().flatten() {
                let part = |at: usize| entry[at].as_str().ok_or_else(|| format!("gvk.json: {name}: not a string"));
                rows.insert((part(0)?.to_owned(), part(1)?.to_owned(), part(2)?.to_owned()), index);
            }
        }
        for ((group, version, kind), index) in rows {
            let (g, v, k) = (self.intern(&group), self.intern(&version), self.intern(&kind));
            self.kinds.push(format!("Kind::new({g}, {v}, {k}, {index}), // {group}/{version} {kind}"));
        }
        Ok(())
    }

    /// The row of a property's shape.
    fn shape(&mut self, schema: &Value) -> Result<usize, String> {
        let row = if let Some(reference) = schema["$ref"].as_str() {
            let name = reference.strip_prefix(REFERENCE).ok_or_else(|| format!("unknown reference {reference}"))?;
            match (special(name), self.type_indexes.get(name)) {
                (Some(shape), _) => format!("Row::{shape}"),
                (None, Some(index)) => format!("Row::Object({index})"),
                (None, None) => return Err(format!("unknown type {name}")),
            }
        } else {
            let kind = schema["type"].as_str().ok_or_else(|| format!("a schema without a type: {schema}"))?;
            match (kind, schema["format"].as_str()) {
                ("string", None) => "Row::String".to_owned(),
                ("string", Some("byte")) => "Row::Bytes".to_owned(),
                ("boolean", None) => "Row::Boolean".to_owned(),
                ("integer", Some("int32")) => "Row::Int32".to_owned(),
                ("integer", Some("int64")) => "Row::Int64".to_owned(),
                ("number", Some("double")) => "Row::Number".to_owned(),
                ("array", None) => format!("Row::Array({})", self.shape(&schema["items"])?),
                ("object", None) if schema["additionalProperties"].is_object() => {
                    format!("Row::Map({})", self.shape(&schema["additionalProperties"])?)
                }
                (kind, format) => return Err(format!("unknown shape: type {kind}, format {format:?}")),
            }
        };
        Ok(position(&mut self.shapes, row))
    }

    /// The row of a field's list and merge rules, 0 when it has none.
    fn rules(&mut self, facts: Option<&Value>) -> usize {
        let Some(facts) = facts else { return 0 };
        let text = |key: &str| facts[key].as_str().unwrap_or_default();
        let list_type = match text("list-type") {
            "atomic" => "Some(ListType::Atomic)",
            "set" => "Some(ListType::Set)",
            "map" => "Some(ListType::Map)",
            _ => "None",
        };
        let map_type = match text("map-type") {
            "atomic" => "Some(MapType::Atomic)",
            "granular" => "Some(MapType::Granular)",
            _ => "None",
        };
        let keys: Vec<&str> =
            facts["list-map-keys"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let merge_key = facts["patch-merge-key"].as_str();
        let strategy: Vec<&str> = text("patch-strategy").split(',').collect();
        let has = |name: &str| strategy.contains(&name);
        let row = format!(
            "Rules {{ list_type: {list_type}, list_map_keys: &{keys:?}, map_type: {map_type}, patch_merge_key: \
             {merge_key:?}, patch_merge: {}, patch_replace: {}, patch_retain_keys: {} }}",
            has("merge"),
            has("replace"),
            has("retainKeys"),
        );
        position(&mut self.rules, row)
    }

    /// Where a string stands in the table of strings, as `Text` packs it.
    fn intern(&mut self, text: &str) -> u32 {
        if let Some(span) = self.spans.get(text) {
            return *span;
        }
        let start = self.strings.len();
        self.strings.push_str(text);
        let span = u32::try_from(start << 8 | text.len()).expect("the table of strings is far below 16 MiB");
        self.spans.insert(text.to_owned(), span);
        span
    }

    fn render(&self) -> String {
        let mut out = String::from(
            "// @generated by cargo xtask codegen; do not edit.\n//! The built-in types: their fields, shapes and rules.\n\n",
        );
        out.push_str("use super::{Field, Kind, ListType, MapType, Row, Rules, Type};\n\n");
        out.push_str("pub(super) static STRINGS: &str = concat!(\n");
        let bytes = self.strings.as_bytes();
        for line in bytes.chunks(100) {
            let line = std::str::from_utf8(line).expect("API names are ASCII");
            let _ = writeln!(out, "    {line:?},");
        }
        out.push_str(");\n");
        table(&mut out, "RULES", "Rules", &self.rules);
        table(&mut out, "SHAPES", "Row", &self.shapes);
        table(&mut out, "FIELDS", "Field", &self.fields);
        table(&mut out, "TYPES", "Type", &self.types);
        table(&mut out, "KINDS", "Kind", &self.kinds);
        out
    }
}

/// The bits of a `Field`: whether it is required, and whether Go leaves it out when it is empty.
fn flags(shape: &str, required: bool, known: Option<&protobuf::Field>) -> u8 {
    let omits_empty = if shape.starts_with("Row::Array") || shape.starts_with("Row::Map") {
        !required && !known.is_some_and(|known| known.keep_empty)
    } else {
        known.is_some_and(|known| known.drop_zero)
    };
    u8::from(required) | u8::from(omits_empty) << 1
}

fn position(rows: &mut Vec<String>, row: String) -> usize {
    rows.iter().position(|other| *other == row).unwrap_or_else(|| {
        rows.push(row);
        rows.len() - 1
    })
}

fn table(out: &mut String, name: &str, row: &str, rows: &[String]) {
    let _ = write!(out, "\npub(super) static {name}: [{row}; {}] = [\n", rows.len());
    for row in rows {
        // A row may end in a comment that names it, after its comma.
        let comma = if row.contains("), // ") { "" } else { "," };
        let _ = writeln!(out, "    {row}{comma}");
    }
    out.push_str("];\n");
}
