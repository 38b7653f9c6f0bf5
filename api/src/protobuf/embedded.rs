//! Embedded structs: whose fields a name in JSON is, and gathering them until their message can be written.

use super::table::{self, Field, Message, Type};
use super::wire;

/// A field and the embedded messages it stands in, outermost first.
pub(super) struct Found {
    pub(super) field: &'static Field,
    inlines: [Option<&'static Field>; 2],
}

/// The field of this JSON name, in the message or in what it embeds.
pub(super) fn find(message: &Message, name: &str) -> Option<Found> {
    let plain = |message: &Message| message.by_name(name).filter(|field| !field.inline());
    if let Some(field) = plain(message) {
        return Some(Found { field, inlines: [None, None] });
    }
    let embedded = |message: &Message| {
        let inline = message.fields().iter().filter(|field| field.inline());
        inline.filter_map(|field| match field.kind() {
            Type::Message(place) => Some((field, table::message(place))),
            _ => None,
        })
    };
    for (outer, message) in embedded(message) {
        if let Some(field) = plain(message) {
            return Some(Found { field, inlines: [Some(outer), None] });
        }
        for (inner, message) in embedded(message) {
            if let Some(field) = plain(message) {
                return Some(Found { field, inlines: [Some(outer), Some(inner)] });
            }
        }
    }
    None
}

/// The contents of embedded messages, which are written when their parent is at its end. Parents come before children.
#[derive(Default)]
pub(super) struct Gathered(Vec<Embedded>);

struct Embedded {
    parent: Option<usize>,
    number: u8,
    content: Vec<u8>,
}

impl Gathered {
    /// Where the field is to be written, unless it is one of the message's own.
    pub(super) fn buffer(&mut self, found: &Found) -> Option<&mut Vec<u8>> {
        let mut place = None;
        for inline in found.inlines.iter().flatten() {
            let known = self.0.iter().position(|known| known.parent == place && known.number == inline.number);
            place = Some(known.unwrap_or_else(|| {
                self.0.push(Embedded { parent: place, number: inline.number, content: Vec::new() });
                self.0.len() - 1
            }));
        }
        Some(&mut self.0[place?].content)
    }

    /// Appends the embedded messages to their parents, and the outermost to `out`.
    pub(super) fn write(mut self, out: &mut Vec<u8>) {
        while let Some(Embedded { parent, number, content }) = self.0.pop() {
            let into = match parent {
                Some(parent) => &mut self.0[parent].content,
                None => &mut *out,
            };
            wire::put_bytes(into, number, &content);
        }
    }
}
