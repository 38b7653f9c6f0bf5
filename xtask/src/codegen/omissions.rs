//! Which fields Go leaves out of JSON when they are zero or empty, by the published names of types and fields.
//!
//! The facts are those of `protobuf-json.txt`, the same that the wire tables are made of, so that an object has one JSON
//! form whether it came as JSON or as protobuf. Types of versions that are not stable have none: their zeros stay.

use std::collections::BTreeMap;
use std::path::Path;

use super::protobuf::{Field, Kinds, Messages, apply_json_facts, published_messages};

/// The facts about every message.
pub(super) struct Omissions(Messages);

impl Omissions {
    /// Reads the facts in the directory `facts`, and those beside this file.
    pub(super) fn read(facts: &Path) -> Result<Self, String> {
        let mut messages = published_messages(&facts.join("protobuf-fields.json"))?;
        apply_json_facts(&mut messages, &mut Kinds::new())?;
        Ok(Self(messages))
    }

    /// The facts about a published type's fields, by JSON name; those of embedded structs are among them.
    pub(super) fn of(&self, published: &str) -> BTreeMap<&str, &Field> {
        let message = published.replacen("io.k8s.", "k8s.io.", 1).replace('-', "_");
        let mut found = BTreeMap::new();
        let mut queue = vec![message.as_str()];
        while let Some(message) = queue.pop() {
            for field in self.0.get(message).into_iter().flatten() {
                if field.inline {
                    queue.push(&field.kind);
                } else {
                    found.insert(field.json_name.as_str(), field);
                }
            }
        }
        found
    }
}
