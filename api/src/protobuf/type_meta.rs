//! An object's `apiVersion` and `kind`, found without reading all of it.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use super::Error;
use super::table::{self, Message};

/// What an object says it is.
#[derive(Debug, Default)]
pub(super) struct TypeMeta<'a> {
    api_version: Option<Cow<'a, str>>,
    kind: Option<Cow<'a, str>>,
}

impl<'a> TypeMeta<'a> {
    /// Looks in JSON text, from the start and as far as needed.
    pub(super) fn find(json: &'a [u8]) -> Result<Self, Error> {
        let mut what = Self::default();
        let mut text = serde_json::Deserializer::from_slice(json);
        let looked = TypeMetaSeed(&mut what).deserialize(&mut text);
        // Having found both, the look ends in an error, which is of no interest.
        if what.api_version.is_none() || what.kind.is_none() {
            looked.map_err(|source| Error::Json { path: String::new(), source })?;
        }
        Ok(what)
    }

    pub(super) fn of(json: &'a Value) -> Self {
        let text = |name| json.get(name).and_then(Value::as_str).map(Cow::Borrowed);
        Self { api_version: text("apiVersion"), kind: text("kind") }
    }

    pub(super) fn api_version(&self) -> &str {
        self.api_version.as_deref().unwrap_or_default()
    }

    pub(super) fn kind(&self) -> &str {
        self.kind.as_deref().unwrap_or_default()
    }

    /// The table of the kind.
    pub(super) fn message(&self) -> Result<&'static Message, Error> {
        let (api_version, kind) = (self.api_version(), self.kind());
        if api_version.is_empty() || kind.is_empty() {
            return Err(Error::MissingKind);
        }
        table::kind(api_version, kind)
            .ok_or_else(|| Error::UnknownKind { api_version: api_version.to_owned(), kind: kind.to_owned() })
    }
}

/// Looks for `apiVersion` and `kind`, and fails when it has both, so as not to read the rest.
struct TypeMetaSeed<'s, 'de>(&'s mut TypeMeta<'de>);

impl<'de> DeserializeSeed<'de> for TypeMetaSeed<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for TypeMetaSeed<'_, 'de> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key_seed(Text)? {
            match key.as_ref() {
                "apiVersion" => self.0.api_version = Some(map.next_value_seed(Text)?),
                "kind" => self.0.kind = Some(map.next_value_seed(Text)?),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
            if self.0.api_version.is_some() && self.0.kind.is_some() {
                return Err(A::Error::custom("found"));
            }
        }
        Ok(())
    }
}

/// A string, borrowed where the text has no escapes.
pub(super) struct Text;

impl<'de> DeserializeSeed<'de> for Text {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Text {
    type Value = Cow<'de, str>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a string")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text))
    }
}
