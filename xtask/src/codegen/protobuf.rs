//! Generates `api/src/protobuf/generated.rs`: the wire tables of every stable kind that has a protobuf form.
//!
//! Two sources: `protobuf-fields.json` among the published facts (messages and their fields), and `protobuf-json.txt`
//! beside this file (what those definitions do not say about JSON: embedded structs, other names, pointers).
//! A message is in the table when a kind of a stable version (`v1`, `v2`, …) reaches it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::path::Path;

const JSON_FACTS: &str = include_str!("protobuf-json.txt");

/// Messages whose JSON form is not an object of their fields, and the table's name for that form.
const SHAPES: &[(&str, &str)] = &[
    ("k8s.io.apiextensions_apiserver.pkg.apis.apiextensions.v1.JSON", "RawJson"),
    ("k8s.io.apiextensions_apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray", "SchemaOrArray"),
    ("k8s.io.apiextensions_apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool", "SchemaOrBool"),
    ("k8s.io.apiextensions_apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray", "SchemaOrStrings"),
    ("k8s.io.apimachinery.pkg.api.resource.Quantity", "Quantity"),
    ("k8s.io.apimachinery.pkg.apis.meta.v1.FieldsV1", "RawJson"),
    ("k8s.io.apimachinery.pkg.apis.meta.v1.MicroTime", "MicroTime"),
    ("k8s.io.apimachinery.pkg.apis.meta.v1.Time", "Time"),
    ("k8s.io.apimachinery.pkg.runtime.RawExtension", "RawExtension"),
    ("k8s.io.apimachinery.pkg.util.intstr.IntOrString", "IntOrString"),
];

/// Messages whose JSON form the transcoder lacks: only beta groups and component configuration hold them.
const UNSUPPORTED: &[&str] = &["k8s.io.apimachinery.pkg.apis.meta.v1.Duration"];

/// Writes the table into the repository at `root`.
///
/// # Errors
///
/// When a fact is missing, malformed, contradicts another or does not fit the table.
pub(super) fn generate(facts: &Path, root: &Path) -> Result<(), String> {
    let mut messages = published_messages(&facts.join("protobuf-fields.json"))?;
    let mut kinds = published_kinds(&facts.join("gvk.json"), &messages)?;
    let lists = apply_json_facts(&mut messages, &mut kinds)?;
    let reached = reachable(&messages, &kinds)?;
    messages.retain(|name, _| reached.contains(name));
    let text = render(&messages, &kinds, &lists)?;
    let path = root.join("api/src/protobuf/generated.rs");
    std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))
}

#[derive(Clone, Debug)]
pub(super) struct Field {
    number: u64,
    proto_name: String,
    pub(super) json_name: String,
    label: Label,
    /// A scalar's protobuf name, or a message's full name.
    pub(super) kind: String,
    pub(super) inline: bool,
    pub(super) drop_zero: bool,
    pub(super) keep_empty: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Label {
    Singular,
    Repeated,
    Map,
}

pub(super) type Messages = BTreeMap<String, Vec<Field>>;
/// (API version, kind) to the message's full name.
pub(super) type Kinds = BTreeMap<(String, String), String>;

fn read_json(path: &Path) -> Result<serde_json::Value, String> {
    let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    serde_json::from_slice(&bytes).map_err(|error| format!("{}: {error}", path.display()))
}

pub(super) fn published_messages(path: &Path) -> Result<Messages, String> {
    type Raw = BTreeMap<String, Vec<(u64, String, String, String)>>;
    let raw: Raw = serde_json::from_value(read_json(path)?).map_err(|error| format!("{}: {error}", path.display()))?;
    let names: BTreeSet<&str> =
        raw.keys().map(String::as_str).chain(JSON_FACTS.lines().filter_map(added_message)).collect();
    let mut messages = Messages::new();
    for (message, fields) in &raw {
        let fields = fields
            .iter()
            .map(|(number, name, label, kind)| field(&names, message, *number, name, label, kind))
            .collect::<Result<_, _>>()?;
        messages.insert(message.clone(), fields);
    }
    for line in JSON_FACTS.lines() {
        if let ["field", message, number, name, label, kind] = words(line)[..] {
            let number = number.parse().map_err(|error| format!("{line}: {error}"))?;
            let field = field(&names, message, number, name, label, kind)?;
            messages.entry(message.to_owned()).or_default().push(field);
        }
    }
    Ok(messages)
}

fn words(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}

fn added_message(line: &str) -> Option<&str> {
    line.strip_prefix("field ")?.split(' ').next()
}

fn field(
    names: &BTreeSet<&str>,
    message: &str,
    number: u64,
    name: &str,
    label: &str,
    kind: &str,
) -> Result<Field, String> {
    let of_map = kind.strip_prefix("map<string,").and_then(|kind| kind.strip_suffix('>'));
    let label = match (label, of_map) {
        (_, Some(_)) => Label::Map,
        ("repeated", None) => Label::Repeated,
        ("optional", None) => Label::Singular,
        _ => return Err(format!("{message}.{name}: unknown label {label:?} or type {kind:?}")),
    };
    let kind = of_map.unwrap_or(kind).trim();
    let kind = if scalar(kind).is_some() { kind.to_owned() } else { resolve(names, message, kind)? };
    Ok(Field {
        number,
        proto_name: name.to_owned(),
        json_name: name.to_owned(),
        label,
        kind,
        inline: false,
        drop_zero: false,
        keep_empty: false,
    })
}

/// The table's name of a scalar type; `None` for a message.
fn scalar(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "string" => "String",
        "bool" => "Bool",
        "int32" => "Int32",
        "int64" => "Int64",
        "double" => "Double",
        "bytes" => "Bytes",
        _ => return None,
    })
}

/// Resolves a type name as protobuf scopes it: from the innermost scope of the message outwards.
fn resolve(names: &BTreeSet<&str>, message: &str, kind: &str) -> Result<String, String> {
    if let Some(absolute) = kind.strip_prefix('.') {
        return Ok(absolute.to_owned());
    }
    let mut scope = message;
    loop {
        let candidate = format!("{scope}.{kind}");
        if names.contains(candidate.as_str()) {
            return Ok(candidate);
        }
        match scope.rfind('.') {
            Some(dot) => scope = &scope[..dot],
            None if names.contains(kind) => return Ok(kind.to_owned()),
            None => return Err(format!("{message}: unknown type {kind}")),
        }
    }
}

fn stable(version: &str) -> bool {
    version.strip_prefix('v').is_some_and(|digits| digits.parse::<u32>().is_ok())
}

fn published_kinds(path: &Path, messages: &Messages) -> Result<Kinds, String> {
    type Raw = BTreeMap<String, Vec<(String, String, String)>>;
    let raw: Raw = serde_json::from_value(read_json(path)?).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut kinds = Kinds::new();
    for (schema, versions) in raw {
        let message = schema.replacen("io.k8s.", "k8s.io.", 1).replace('-', "_");
        // Registered in every group: `protobuf-json.txt` lists them under any API version; a watch event has no kind.
        let everywhere = versions.len() > 1;
        if everywhere || !messages.contains_key(&message) {
            continue;
        }
        for (group, version, kind) in versions.into_iter().filter(|(_, version, _)| stable(version)) {
            let api_version = if group.is_empty() { version } else { format!("{group}/{version}") };
            kinds.insert((api_version, kind), message.clone());
        }
    }
    Ok(kinds)
}

/// Marks the fields as `protobuf-json.txt` says; returns the messages that are arrays in JSON.
pub(super) fn apply_json_facts(messages: &mut Messages, kinds: &mut Kinds) -> Result<BTreeSet<String>, String> {
    let mut lists = BTreeSet::new();
    for line in JSON_FACTS.lines().filter(|line| !line.starts_with('#')) {
        let mut mark = |message: &str, name: &str, change: &dyn Fn(&mut Field)| {
            let fields = messages.get_mut(message).ok_or_else(|| format!("{line}: no such message"))?;
            let field = fields.iter_mut().find(|field| field.proto_name == name);
            field.map(change).ok_or_else(|| format!("{line}: no such field"))
        };
        match words(line)[..] {
            ["field", ..] => {}
            ["kind", api_version, kind, message] => {
                kinds.insert((api_version.to_owned(), kind.to_owned()), message.to_owned());
            }
            ["list", message] => {
                lists.insert(message.to_owned());
            }
            ["inline", message, name] => mark(message, name, &|field| field.inline = true)?,
            ["json", message, name, json] => mark(message, name, &|field| field.json_name = json.to_owned())?,
            ["dropzero", message, name] => mark(message, name, &|field| field.drop_zero = true)?,
            ["keepempty", message, name] => mark(message, name, &|field| field.keep_empty = true)?,
            _ => return Err(format!("protobuf-json.txt: not understood: {line}")),
        }
    }
    Ok(lists)
}

/// Every message that a kind reaches.
fn reachable(messages: &Messages, kinds: &Kinds) -> Result<BTreeSet<String>, String> {
    let mut reached = BTreeSet::new();
    let mut queue: VecDeque<&str> = kinds.values().map(String::as_str).collect();
    while let Some(name) = queue.pop_front() {
        if !reached.insert(name.to_owned()) {
            continue;
        }
        if UNSUPPORTED.contains(&name) {
            return Err(format!("{name} is reached, and the transcoder has no form for it"));
        }
        let fields = messages.get(name).ok_or_else(|| format!("{name}: no such message"))?;
        queue.extend(fields.iter().filter(|field| scalar(&field.kind).is_none()).map(|field| field.kind.as_str()));
    }
    Ok(reached)
}

fn render(messages: &Messages, kinds: &Kinds, lists: &BTreeSet<String>) -> Result<String, String> {
    let index: BTreeMap<&str, usize> = messages.keys().map(String::as_str).enumerate().map(|(i, n)| (n, i)).collect();
    let names = Names::of(messages);
    let mut message_rows = String::new();
    let mut field_rows = String::new();
    let mut order_rows = String::new();
    let mut count = 0_usize;
    for (message, fields) in messages {
        let mut fields: Vec<&Field> = fields.iter().collect();
        fields.sort_by_key(|field| field.number);
        check_unique(message, &fields, |field| field.number.to_string())?;
        check_unique(message, &fields, |field| field.json_name.clone())?;
        let shape = shape(message, lists);
        let start = small::<u16>(count, message)?;
        let length = small::<u8>(fields.len(), message)?;
        writeln!(message_rows, "    m({start}, {length}, Shape::{shape}), // {message}").map_err(|e| e.to_string())?;
        if !fields.is_empty() {
            writeln!(field_rows, "    // {message}").map_err(|e| e.to_string())?;
        }
        for field in &fields {
            field_rows.push_str(&render_field(field, message, &names, &index)?);
        }
        let mut by_name: Vec<usize> = (0..fields.len()).collect();
        by_name.sort_by_key(|&at| &fields[at].json_name);
        if !by_name.is_empty() {
            let places: Vec<String> = by_name.iter().map(usize::to_string).collect();
            writeln!(order_rows, "    {},", places.join(", ")).map_err(|e| e.to_string())?;
        }
        count += fields.len();
    }
    let kind_rows = render_kinds(kinds, &index)?;
    Ok(format!(
        "// @generated by cargo xtask codegen; do not edit.\n\
         //! The wire tables: {message_count} messages, {count} fields, {kind_count} kinds.\n\n\
         use super::table::{{Field, Kind, Label, Message, Shape, Type}};\n\n\
         const fn m(first: u16, fields: u8, shape: Shape) -> Message {{\n    Message::new(first, fields, shape)\n}}\n\n\
         const fn f(name: u16, length: u8, number: u8, label: Label, kind: Type, flags: u8) -> Field {{\n    \
             Field::new(name, length, number, label, kind, flags)\n}}\n\n\
         const fn k(api_version: &'static str, kind: &'static str, message: u16) -> Kind {{\n    \
             Kind {{ api_version, kind, message }}\n}}\n\n\
         /// Every kind, in order of API version and kind; the API version `*` stands for any.\n\
         #[rustfmt::skip]\n\
         pub(super) static KINDS: [Kind; {kind_count}] = [\n{kind_rows}];\n\n\
         /// Every message, in order of its full name.\n\
         #[rustfmt::skip]\n\
         pub(super) static MESSAGES: [Message; {message_count}] = [\n{message_rows}];\n\n\
         /// The fields of every message, in order of their numbers.\n\
         #[rustfmt::skip]\n\
         pub(super) static FIELDS: [Field; {count}] = [\n{field_rows}];\n\n\
         /// For every message, the places of its fields in order of their JSON names.\n\
         #[rustfmt::skip]\n\
         pub(super) static BY_NAME: [u8; {count}] = [\n{order_rows}];\n\n\
         /// Every JSON name, one after another.\n\
         #[rustfmt::skip]\n\
         pub(super) static NAMES: &str = \"\\\n{names}\";\n",
        message_count = messages.len(),
        kind_count = kinds.len(),
        names = names.render(),
    ))
}

fn shape<'a>(message: &str, lists: &BTreeSet<String>) -> &'a str {
    if lists.contains(message) {
        return "List";
    }
    SHAPES.iter().find(|(name, _)| *name == message).map_or("Object", |(_, shape)| shape)
}

fn render_field(field: &Field, message: &str, names: &Names, index: &BTreeMap<&str, usize>) -> Result<String, String> {
    let (name, length) = names.place(&field.json_name)?;
    let number = small::<u8>(usize::try_from(field.number).map_err(|e| e.to_string())?, message)?;
    let kind = match scalar(&field.kind) {
        Some(scalar) => format!("Type::{scalar}"),
        None => format!("Type::Message({})", index[field.kind.as_str()]),
    };
    let flags = u8::from(field.drop_zero) | u8::from(field.inline) << 1;
    if field.inline && (field.label != Label::Singular || scalar(&field.kind).is_some()) {
        return Err(format!("{message}.{}: only a single message can be embedded", field.proto_name));
    }
    let name_note = &field.json_name;
    Ok(format!("    f({name}, {length}, {number}, Label::{:?}, {kind}, {flags}), // {name_note}\n", field.label))
}

fn render_kinds(kinds: &Kinds, index: &BTreeMap<&str, usize>) -> Result<String, String> {
    let mut rows = String::new();
    for ((api_version, kind), message) in kinds {
        let message = small::<u16>(index[message.as_str()], kind)?;
        writeln!(rows, "    k({api_version:?}, {kind:?}, {message}),").map_err(|e| e.to_string())?;
    }
    Ok(rows)
}

fn check_unique(message: &str, fields: &[&Field], key: impl Fn(&Field) -> String) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    match fields.iter().find(|field| !seen.insert(key(field))) {
        Some(twice) => Err(format!("{message}: {} appears twice", key(twice))),
        None => Ok(()),
    }
}

fn small<T: TryFrom<usize>>(number: usize, what: &str) -> Result<T, String> {
    T::try_from(number).map_err(|_| format!("{what}: {number} does not fit the table"))
}

/// Distinct JSON names laid end to end.
struct Names(BTreeMap<String, usize>);

impl Names {
    fn of(messages: &Messages) -> Self {
        let distinct: BTreeSet<&str> = messages.values().flatten().map(|field| field.json_name.as_str()).collect();
        let mut offset = 0;
        let mut places = BTreeMap::new();
        for name in distinct {
            places.insert(name.to_owned(), offset);
            offset += name.len();
        }
        Self(places)
    }

    /// Offset and length in bytes.
    fn place(&self, name: &str) -> Result<(u16, u8), String> {
        let offset = self.0.get(name).ok_or_else(|| format!("{name}: not laid out"))?;
        Ok((small(*offset, name)?, small(name.len(), name)?))
    }

    /// The text as lines of a Rust string literal, each continued on the next.
    fn render(&self) -> String {
        self.0.keys().map(|name| format!("    {name}\\\n")).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Label, field, resolve, stable};

    #[test]
    fn types_resolve_from_the_inside_out() {
        let names = BTreeSet::from(["k8s.io.api.core.v1.Pod", "k8s.io.api.core.v1.Time", "k8s.io.meta.v1.Time"]);
        let cases = [
            ("k8s.io.api.core.v1.Pod", "Time", Some("k8s.io.api.core.v1.Time")),
            ("k8s.io.api.apps.v1.Deployment", "core.v1.Pod", Some("k8s.io.api.core.v1.Pod")),
            ("k8s.io.api.core.v1.Pod", "k8s.io.meta.v1.Time", Some("k8s.io.meta.v1.Time")),
            ("k8s.io.api.core.v1.Pod", ".k8s.io.meta.v1.Time", Some("k8s.io.meta.v1.Time")),
            ("k8s.io.api.apps.v1.Deployment", "Time", None),
        ];
        for (message, kind, expected) in cases {
            assert_eq!(resolve(&names, message, kind).ok().as_deref(), expected, "{message} {kind}");
        }
    }

    #[test]
    fn labels_and_versions_are_read() {
        let names = BTreeSet::new();
        let map = field(&names, "M", 1, "f", "", "map<string,bytes>").expect("a map of a scalar");
        assert_eq!((map.label, map.kind.as_str()), (Label::Map, "bytes"));
        assert!(field(&names, "M", 1, "f", "required", "string").is_err());
        assert!(stable("v1") && stable("v2") && !stable("v1beta1") && !stable("v"));
    }
}
