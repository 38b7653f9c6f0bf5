//! The shape of the generated wire tables, and finding a kind, a message or a field in them.
//!
//! A field is ten bytes and holds no pointer: its name is a range of one text, its message a place in one array.

use super::generated::{BY_NAME, FIELDS, KINDS, MESSAGES, NAMES};

/// How a message looks in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// An object of the message's fields.
    Object,
    /// An array: the elements of the only, repeated field.
    List,
    /// A string (a number is accepted): field 1.
    Quantity,
    /// A number or a string: `{1 type, 2 intVal, 3 strVal}`, type 0 being the number.
    IntOrString,
    /// RFC 3339 to the second: `{1 seconds, 2 nanos}`; the zero time is an empty message.
    Time,
    /// RFC 3339 with six decimals: as [`Shape::Time`].
    MicroTime,
    /// Any JSON, as text in field 1.
    RawJson,
    /// Any JSON, or an object of a known kind: JSON text or an envelope in field 1.
    RawExtension,
    /// `true`, `false` or a schema: `{1 allows, 2 schema}`.
    SchemaOrBool,
    /// A schema or an array of them: `{1 schema, 2 jSONSchemas}`.
    SchemaOrArray,
    /// A schema or an array of strings: `{1 schema, 2 property}`.
    SchemaOrStrings,
}

/// How often a field occurs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Label {
    Singular,
    Repeated,
    /// From strings; the type is that of the values.
    Map,
}

/// The type of a field, of a list's elements or of a map's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    String,
    Bool,
    Int32,
    Int64,
    Double,
    /// Base64 in JSON.
    Bytes,
    /// A place in [`MESSAGES`].
    Message(u16),
}

/// One field of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    name: u16,
    kind: Type,
    name_length: u8,
    pub(super) number: u8,
    pub(super) label: Label,
    flags: u8,
}

impl Field {
    const DROP_ZERO: u8 = 1;
    const INLINE: u8 = 2;

    pub(super) const fn new(name: u16, name_length: u8, number: u8, label: Label, kind: Type, flags: u8) -> Self {
        Self { name, kind, name_length, number, label, flags }
    }

    /// The name in JSON.
    pub(super) fn name(&self) -> &'static str {
        let start = usize::from(self.name);
        &NAMES[start..start + usize::from(self.name_length)]
    }

    pub(super) const fn kind(&self) -> Type {
        self.kind
    }

    /// JSON leaves the field out when it is zero: Go writes it in protobuf all the same, since it is not a pointer.
    pub(super) const fn drop_zero(&self) -> bool {
        self.flags & Self::DROP_ZERO != 0
    }

    /// A message whose JSON fields are those of the message that holds it.
    pub(super) const fn inline(&self) -> bool {
        self.flags & Self::INLINE != 0
    }
}

/// One message: its fields are a range of [`FIELDS`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Message {
    first: u16,
    length: u8,
    pub(super) shape: Shape,
}

impl Message {
    pub(super) const fn new(first: u16, length: u8, shape: Shape) -> Self {
        Self { first, length, shape }
    }

    fn range(&self) -> std::ops::Range<usize> {
        let first = usize::from(self.first);
        first..first + usize::from(self.length)
    }

    /// In order of their numbers.
    pub(super) fn fields(&self) -> &'static [Field] {
        &FIELDS[self.range()]
    }

    pub(super) fn by_number(&self, number: u32) -> Option<&'static Field> {
        let fields = self.fields();
        let place = fields.binary_search_by_key(&number, |field| u32::from(field.number)).ok()?;
        Some(&fields[place])
    }

    pub(super) fn by_name(&self, name: &str) -> Option<&'static Field> {
        let fields = self.fields();
        let order = &BY_NAME[self.range()];
        let place = order.binary_search_by(|&place| fields[usize::from(place)].name().cmp(name)).ok()?;
        Some(&fields[usize::from(order[place])])
    }
}

/// A kind that has a protobuf form. An API version `*` stands for any.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    pub(super) api_version: &'static str,
    pub(super) kind: &'static str,
    pub(super) message: u16,
}

/// The message at a place that another table entry names.
pub(super) fn message(place: u16) -> &'static Message {
    &MESSAGES[usize::from(place)]
}

/// The message of a kind, if it has a protobuf form.
pub(super) fn kind(api_version: &str, kind: &str) -> Option<&'static Message> {
    let find = |api_version: &str| {
        KINDS.binary_search_by(|known| known.api_version.cmp(api_version).then_with(|| known.kind.cmp(kind))).ok()
    };
    let place = find(api_version).or_else(|| find("*"))?;
    Some(message(KINDS[place].message))
}
