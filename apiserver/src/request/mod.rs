//! What a request asks for: its target, its options, and the form of the answer.

mod accept;
mod continuation;
mod list_options;
mod target;
mod write_options;

pub(crate) use accept::SERVED;
pub use accept::{Encoding, Form, negotiate, negotiate_stream};
pub use continuation::Continuation;
pub(crate) use list_options::resource_version;
pub use list_options::{ListOptions, VersionMatch};
pub use target::{Target, Verb};
pub use write_options::{DeleteOptions, FieldValidation, Preconditions, Propagation, WriteOptions};

use std::collections::HashMap;

/// The parameters of a query: the first value of each name counts, as upstream's decoder has it.
#[derive(Debug, Default)]
pub struct Query(HashMap<String, Vec<String>>);

impl Query {
    /// Takes the part of a URL after `?` apart.
    #[must_use]
    pub fn parse(query: &str) -> Query {
        let mut values: HashMap<String, Vec<String>> = HashMap::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            values.entry(name.into_owned()).or_default().push(value.into_owned());
        }
        Query(values)
    }

    /// The first value of `name`, unless it is empty.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(|values| values.first()).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Every value of `name`.
    #[must_use]
    pub fn all(&self, name: &str) -> &[String] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// Whether `name` is there at all.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// A boolean as upstream reads it from a query: anything but `false` and `0` is true once the name is there.
    #[must_use]
    pub fn flag(&self, name: &str) -> Option<bool> {
        let value = self.0.get(name)?.first().map_or("", String::as_str);
        Some(!matches!(value.to_ascii_lowercase().as_str(), "false" | "0"))
    }

    /// A whole number, with upstream's error.
    pub fn number(&self, name: &str) -> Result<Option<i64>, api::status::Status> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let bad = |why: &str| {
            let quoted = api::field::go_quote(text);
            api::status::Status::bad_request(format!("strconv.ParseInt: parsing {quoted}: {why}"))
        };
        match text.parse::<i64>() {
            Ok(number) => Ok(Some(number)),
            Err(error) => Err(bad(match error.kind() {
                std::num::IntErrorKind::PosOverflow | std::num::IntErrorKind::NegOverflow => "value out of range",
                _ => "invalid syntax",
            })),
        }
    }
}
