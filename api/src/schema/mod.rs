//! What the built-in API types look like: their fields, and how lists and maps in them merge.
//!
//! One table serves strategic merge patch, server-side apply, strict decoding and normalizing, so that they cannot
//! disagree. It is generated (`cargo xtask codegen`) from the published v1.37 API, sits in read-only memory without a
//! single pointer to relocate, and is looked up by binary search: nothing is parsed or allocated at start.

use std::fmt;

#[rustfmt::skip]
mod generated;
mod go_json;
mod literals;
mod normal;
mod strict;
#[cfg(test)]
mod tests;
mod times;

pub use normal::normalize;
pub use strict::{DecodeError, MAX_STRICT_ERRORS, StrictError, decode, decode_untyped, decode_value};
pub use times::state_times;

/// The published schema of the built-in API.
#[derive(Debug, Clone, Copy)]
pub struct Schema;

impl Schema {
    /// The type of an object with this group (empty for the core group), version and kind.
    pub fn of(group: &str, version: &str, kind: &str) -> Option<&'static Type> {
        let wanted = (group, version, kind);
        let at = generated::KINDS
            .binary_search_by(|row| (row.group.get(), row.version.get(), row.kind.get()).cmp(&wanted))
            .ok()?;
        generated::TYPES.get(usize::from(generated::KINDS[at].of))
    }

    /// The type with this published name, as in `io.k8s.api.core.v1.PodSpec`.
    pub fn named(name: &str) -> Option<&'static Type> {
        let at = generated::TYPES.binary_search_by(|row| row.name.get().cmp(name)).ok()?;
        generated::TYPES.get(at)
    }

    /// Every type, in order of name.
    pub fn types() -> &'static [Type] {
        &generated::TYPES
    }

    /// Every (group, version, kind) with its type, in that order. Kinds that belong to every group, such as
    /// `DeleteOptions`, appear once for each.
    pub fn kinds() -> impl Iterator<Item = (&'static str, &'static str, &'static str, &'static Type)> {
        generated::KINDS.iter().filter_map(|row| {
            let of = generated::TYPES.get(usize::from(row.of))?;
            Some((row.group.get(), row.version.get(), row.kind.get(), of))
        })
    }
}

/// A type with named fields: what Go calls a struct.
pub struct Type {
    name: Text,
    first: u16,
    count: u16,
    atomic: bool,
}

impl Type {
    /// The published name, as in `io.k8s.api.core.v1.PodSpec`.
    pub fn name(&self) -> &'static str {
        self.name.get()
    }

    /// The name without its package, as in `PodSpec`.
    pub fn short_name(&self) -> &'static str {
        let name = self.name();
        name.rsplit_once('.').map_or(name, |(_, short)| short)
    }

    /// The name that Go prints for the type: its package's last element, a dot and its name, as in `v1.PodSpec`.
    pub fn go_name(&self) -> &'static str {
        let name = self.name();
        let start = name.rmatch_indices('.').nth(1).map_or(0, |(at, _)| at + 1);
        &name[start..]
    }

    /// The fields, in order of JSON name.
    pub fn fields(&self) -> &'static [Field] {
        let first = usize::from(self.first);
        &generated::FIELDS[first..first + usize::from(self.count)]
    }

    /// The field with this JSON name. Case matters, as everywhere in the API.
    pub fn field(&self, name: &str) -> Option<&'static Field> {
        self.field_index(name).map(|at| &self.fields()[at])
    }

    /// The place of the field with this JSON name among [`Type::fields`].
    pub fn field_index(&self, name: &str) -> Option<usize> {
        self.fields().binary_search_by(|field| field.name().cmp(name)).ok()
    }

    /// Whether server-side apply treats a value of this type as one leaf wherever it appears.
    pub fn is_atomic(&self) -> bool {
        self.atomic
    }

    const fn new(name: u32, first: u16, count: u16, atomic: bool) -> Self {
        Self { name: Text(name), first, count, atomic }
    }
}

impl fmt::Debug for Type {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

impl PartialEq for Type {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Type {}

/// A field of a [`Type`].
pub struct Field {
    name: Text,
    shape: u16,
    rules: u8,
    flags: u8,
}

impl Field {
    const REQUIRED: u8 = 1;
    const OMITS_EMPTY: u8 = 2;

    /// The JSON name.
    pub fn name(&self) -> &'static str {
        self.name.get()
    }

    /// What JSON the field holds.
    pub fn shape(&self) -> Shape {
        Shape::at(self.shape)
    }

    /// Whether the published API requires the field to be present.
    pub fn required(&self) -> bool {
        self.flags & Self::REQUIRED != 0
    }

    /// Whether Go leaves the field out of JSON when it is `false`, `0`, `""` or an empty list or map: its Go type is not
    /// a pointer, and it is `omitempty`. Where only a version that is not stable has the type, this is known of lists and
    /// maps alone, and not of scalars.
    pub fn omits_empty(&self) -> bool {
        self.flags & Self::OMITS_EMPTY != 0
    }

    /// How the field's list or map merges; [`Rules::NONE`] where the API says nothing.
    pub fn rules(&self) -> &'static Rules {
        generated::RULES.get(usize::from(self.rules)).unwrap_or(&Rules::NONE)
    }

    const fn new(name: u32, shape: u16, rules: u8, flags: u8) -> Self {
        Self { name: Text(name), shape, rules, flags }
    }
}

impl fmt::Debug for Field {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shape = self.shape().go_type();
        out.debug_struct("Field")
            .field("name", &self.name())
            .field("shape", &shape)
            .field("rules", self.rules())
            .finish()
    }
}

/// What JSON a field or an element holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A string.
    String,
    /// A whole number of 32 bits, signed.
    Int32,
    /// A whole number of 64 bits, signed.
    Int64,
    /// A floating-point number of 64 bits.
    Number,
    /// `true` or `false`.
    Boolean,
    /// Bytes, as a string in standard base64.
    Bytes,
    /// A whole number of 32 bits or a string.
    IntOrString,
    /// `resource.Quantity`: a string such as `500m`, or a number.
    Quantity,
    /// `metav1.Time`: an RFC 3339 string with a precision of seconds.
    Time,
    /// `metav1.MicroTime`: an RFC 3339 string with exactly six decimals.
    MicroTime,
    /// Any JSON, kept as it is: `RawExtension`, `FieldsV1`, and JSON schema parts that read themselves.
    Any,
    /// An object with the fields of a type.
    Object(&'static Type),
    /// A list.
    Array(Element),
    /// An object with arbitrary keys.
    Map(Element),
}

impl Shape {
    /// The name that Go prints for the type of such a value, as in `[]v1.Container`. Named strings are published as
    /// plain strings, so `v1.Protocol` and its like are given as `string`.
    pub fn go_type(self) -> String {
        match self {
            Self::String | Self::IntOrString => "string".to_owned(),
            Self::Int32 => "int32".to_owned(),
            Self::Int64 => "int64".to_owned(),
            Self::Number => "float64".to_owned(),
            Self::Boolean => "bool".to_owned(),
            Self::Bytes => "[]uint8".to_owned(),
            Self::Quantity => "resource.Quantity".to_owned(),
            Self::Time => "v1.Time".to_owned(),
            Self::MicroTime => "v1.MicroTime".to_owned(),
            Self::Any => "interface {}".to_owned(),
            Self::Object(of) => of.go_name().to_owned(),
            Self::Array(element) => format!("[]{}", element.shape().go_type()),
            // Every map of quantities in the API is this named type.
            Self::Map(element) if element.shape() == Self::Quantity => "v1.ResourceList".to_owned(),
            Self::Map(element) => format!("map[string]{}", element.shape().go_type()),
        }
    }

    fn at(row: u16) -> Self {
        match generated::SHAPES[usize::from(row)] {
            Row::String => Self::String,
            Row::Int32 => Self::Int32,
            Row::Int64 => Self::Int64,
            Row::Number => Self::Number,
            Row::Boolean => Self::Boolean,
            Row::Bytes => Self::Bytes,
            Row::IntOrString => Self::IntOrString,
            Row::Quantity => Self::Quantity,
            Row::Time => Self::Time,
            Row::MicroTime => Self::MicroTime,
            Row::Any => Self::Any,
            Row::Object(of) => Self::Object(&generated::TYPES[usize::from(of)]),
            Row::Array(element) => Self::Array(Element(element)),
            Row::Map(element) => Self::Map(Element(element)),
        }
    }
}

/// What a list or a map holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Element(u16);

impl Element {
    /// The shape of one element.
    pub fn shape(self) -> Shape {
        Shape::at(self.0)
    }
}

impl fmt::Debug for Element {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.shape().go_type())
    }
}

/// How a list or map field merges, as the API publishes it.
///
/// `x-kubernetes-list-type` and its kin govern server-side apply; `x-kubernetes-patch-strategy` and
/// `x-kubernetes-patch-merge-key` govern strategic merge patch, and the two need not agree.
#[derive(Debug, PartialEq, Eq)]
pub struct Rules {
    /// `x-kubernetes-list-type`.
    pub list_type: Option<ListType>,
    /// `x-kubernetes-list-map-keys`, for [`ListType::Map`].
    pub list_map_keys: &'static [&'static str],
    /// `x-kubernetes-map-type`.
    pub map_type: Option<MapType>,
    /// `x-kubernetes-patch-merge-key`: the field by which elements of the list are told apart.
    pub patch_merge_key: Option<&'static str>,
    /// Whether the patch strategy contains `merge`.
    pub patch_merge: bool,
    /// Whether the patch strategy contains `replace`.
    pub patch_replace: bool,
    /// Whether the patch strategy contains `retainKeys`.
    pub patch_retain_keys: bool,
}

impl Rules {
    /// No rules: lists are replaced whole, maps merge key by key.
    pub const NONE: Self = Self {
        list_type: None,
        list_map_keys: &[],
        map_type: None,
        patch_merge_key: None,
        patch_merge: false,
        patch_replace: false,
        patch_retain_keys: false,
    };
}

/// How server-side apply sees a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListType {
    /// One leaf, replaced whole.
    Atomic,
    /// Scalars without repetition, each with its own owner.
    Set,
    /// Objects told apart by the list's map keys.
    Map,
}

/// How server-side apply sees a map or a struct.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MapType {
    /// One leaf, replaced whole.
    Atomic,
    /// Each entry on its own.
    Granular,
}

/// A row of the table of shapes.
#[derive(Clone, Copy)]
enum Row {
    String,
    Int32,
    Int64,
    Number,
    Boolean,
    Bytes,
    IntOrString,
    Quantity,
    Time,
    MicroTime,
    Any,
    Object(u16),
    Array(u16),
    Map(u16),
}

/// A row of the table of kinds.
struct Kind {
    group: Text,
    version: Text,
    kind: Text,
    of: u16,
}

impl Kind {
    const fn new(group: u32, version: u32, kind: u32, of: u16) -> Self {
        Self { group: Text(group), version: Text(version), kind: Text(kind), of }
    }
}

/// A piece of the table of strings: its start in the upper 24 bits, its length in the lower 8.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Text(u32);

impl Text {
    fn get(self) -> &'static str {
        let start = (self.0 >> 8) as usize;
        let length = (self.0 & 0xff) as usize;
        &generated::STRINGS[start..start + length]
    }
}
