//! One thing that is wrong with one field, and lists of such things.

use std::collections::HashSet;
use std::fmt;

use serde::Serialize;

use super::{Path, go_json, go_quote};
use crate::status::StatusCause;

/// Why a field is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorType {
    /// A value that should exist does not, such as an object referred to.
    NotFound,
    /// A value is missing: absent, null or empty.
    Required,
    /// A value that must be unique occurs again.
    Duplicate,
    /// A malformed value: wrong syntax, out of bounds.
    Invalid,
    /// A value that is none of an enumeration's.
    NotSupported,
    /// A well-formed value that is not permitted here or now.
    Forbidden,
    /// A value longer than allowed.
    TooLong,
    /// A list or map with more entries than allowed.
    TooMany,
    /// A list or map with fewer entries than needed.
    TooFew,
    /// A value shorter than needed.
    TooShort,
    /// A fault of the server's, not of the input.
    Internal,
    /// A value of the wrong JSON type.
    TypeInvalid,
}

impl ErrorType {
    /// The machine-readable name, which becomes a status cause's `reason`.
    pub const fn cause(self) -> &'static str {
        match self {
            Self::NotFound => "FieldValueNotFound",
            Self::Required => "FieldValueRequired",
            Self::Duplicate => "FieldValueDuplicate",
            Self::Invalid => "FieldValueInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Forbidden => "FieldValueForbidden",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::TooFew => "FieldValueTooFew",
            Self::TooShort => "FieldValueTooShort",
            Self::Internal => "InternalError",
            Self::TypeInvalid => "FieldValueTypeInvalid",
        }
    }

    /// The words a message begins with.
    pub const fn title(self) -> &'static str {
        match self {
            Self::NotFound => "Not found",
            Self::Required => "Required value",
            Self::Duplicate => "Duplicate value",
            Self::Invalid | Self::TypeInvalid => "Invalid value",
            Self::NotSupported => "Unsupported value",
            Self::Forbidden => "Forbidden",
            Self::TooLong => "Too long",
            Self::TooMany => "Too many",
            Self::TooFew => "Too few",
            Self::TooShort => "Too short",
            Self::Internal => "Internal error",
        }
    }

    const fn shows_value(self) -> bool {
        !matches!(self, Self::Required | Self::Forbidden | Self::TooLong | Self::TooShort | Self::Internal)
    }
}

/// The offending value, as a message shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadValue {
    /// Not shown.
    Omitted,
    /// A string, shown quoted as Go quotes it.
    Text(String),
    /// Anything else, shown as JSON.
    Json(String),
}

impl BadValue {
    /// A value shown as JSON, with its fields in the order in which it serialises them.
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Self {
        Self::Json(go_json(value))
    }

    /// The value `null`: a pointer that is not set, or a nil list.
    pub fn null() -> Self {
        Self::Json("null".to_owned())
    }
}

impl From<&str> for BadValue {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for BadValue {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<&String> for BadValue {
    fn from(value: &String) -> Self {
        Self::Text(value.clone())
    }
}

impl<T: Serialize> From<Option<T>> for BadValue {
    fn from(value: Option<T>) -> Self {
        Self::json(&value)
    }
}

impl<T: Serialize> From<&[T]> for BadValue {
    fn from(value: &[T]) -> Self {
        Self::json(value)
    }
}

macro_rules! shown_as_json {
    ($($kind:ty),*) => { $(impl From<$kind> for BadValue {
        fn from(value: $kind) -> Self {
            Self::Json(value.to_string())
        }
    })* };
}
shown_as_json!(bool, i32, i64, u16, u32, u64, usize);

impl From<f64> for BadValue {
    fn from(value: f64) -> Self {
        Self::json(&value)
    }
}

/// One thing that is wrong with one field. Displays as `<field>: <body>`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {}", self.body())]
pub struct Error {
    /// Why.
    pub kind: ErrorType,
    /// Where, rendered.
    pub field: String,
    /// What was found there.
    pub bad_value: BadValue,
    /// What would be right, or empty.
    pub detail: String,
}

impl Error {
    /// The value at `path` is of the wrong type.
    pub fn type_invalid(path: &Path, value: impl Into<BadValue>, detail: impl Into<String>) -> Self {
        Self::new(ErrorType::TypeInvalid, path, value.into(), detail.into())
    }

    /// What the value at `path` refers to does not exist.
    pub fn not_found(path: &Path, value: impl Into<BadValue>) -> Self {
        Self::new(ErrorType::NotFound, path, value.into(), String::new())
    }

    /// The value at `path` is missing.
    pub fn required(path: &Path, detail: impl Into<String>) -> Self {
        Self::new(ErrorType::Required, path, BadValue::Omitted, detail.into())
    }

    /// The value at `path` occurs already.
    pub fn duplicate(path: &Path, value: impl Into<BadValue>) -> Self {
        Self::new(ErrorType::Duplicate, path, value.into(), String::new())
    }

    /// The value at `path` is malformed.
    pub fn invalid(path: &Path, value: impl Into<BadValue>, detail: impl Into<String>) -> Self {
        Self::new(ErrorType::Invalid, path, value.into(), detail.into())
    }

    /// The value at `path` is none of `supported`, which the message lists in the given order.
    pub fn not_supported<S: AsRef<str>>(path: &Path, value: impl Into<BadValue>, supported: &[S]) -> Self {
        let mut detail = String::new();
        for (i, value) in supported.iter().enumerate() {
            detail.push_str(if i == 0 { "supported values: " } else { ", " });
            detail.push_str(&go_quote(value.as_ref()));
        }
        Self::new(ErrorType::NotSupported, path, value.into(), detail)
    }

    /// The value at `path` is not permitted.
    pub fn forbidden(path: &Path, detail: impl Into<String>) -> Self {
        Self::new(ErrorType::Forbidden, path, BadValue::Omitted, detail.into())
    }

    /// The value at `path` has more than `max` bytes. The value itself is not shown.
    pub fn too_long(path: &Path, max: usize) -> Self {
        let detail = format!("may not be more than {max} {}", plural(max, "byte", "bytes"));
        Self::new(ErrorType::TooLong, path, BadValue::Omitted, detail)
    }

    /// The value at `path` has more than `max` characters. The value itself is not shown.
    pub fn too_long_characters(path: &Path, max: usize) -> Self {
        let detail = format!("may not be more than {max} {}", plural(max, "character", "characters"));
        Self::new(ErrorType::TooLong, path, BadValue::Omitted, detail)
    }

    /// The value at `path` has fewer than `min` characters.
    pub fn too_short(path: &Path, min: usize) -> Self {
        let detail = format!("must be at least {min} {}", plural(min, "character", "characters"));
        Self::new(ErrorType::TooShort, path, BadValue::Omitted, detail)
    }

    /// The collection at `path` has `actual` entries, which is more than `max`.
    pub fn too_many(path: &Path, actual: usize, max: usize) -> Self {
        let detail = format!("must have at most {max} {}", plural(max, "item", "items"));
        Self::new(ErrorType::TooMany, path, actual.into(), detail)
    }

    /// The collection at `path` has `actual` entries, which is fewer than `min`.
    pub fn too_few(path: &Path, actual: usize, min: usize) -> Self {
        let detail = format!("must have at least {min} {}", plural(min, "item", "items"));
        Self::new(ErrorType::TooFew, path, actual.into(), detail)
    }

    /// The server failed over the value at `path`.
    pub fn internal(path: &Path, error: impl fmt::Display) -> Self {
        Self::new(ErrorType::Internal, path, BadValue::Omitted, error.to_string())
    }

    /// The message without the field's path.
    pub fn body(&self) -> String {
        let title = self.kind.title();
        let mut body = match &self.bad_value {
            _ if !self.kind.shows_value() => title.to_owned(),
            BadValue::Omitted => title.to_owned(),
            BadValue::Text(text) => format!("{title}: {}", go_quote(text)),
            BadValue::Json(json) => format!("{title}: {json}"),
        };
        if !self.detail.is_empty() {
            body.push_str(": ");
            body.push_str(&self.detail);
        }
        body
    }

    fn new(kind: ErrorType, path: &Path, bad_value: BadValue, detail: String) -> Self {
        Self { kind, field: path.to_string(), bad_value, detail }
    }
}

/// Everything that is wrong with an object, in the order in which it was found.
///
/// Displays as upstream's aggregate: `a` for one, `[a, b]` for several, each message once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErrorList(Vec<Error>);

impl ErrorList {
    /// A list with nothing wrong.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds one error.
    pub fn push(&mut self, error: Error) {
        self.0.push(error);
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many errors there are, repeated ones included.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The errors in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Error> {
        self.0.iter()
    }

    /// Adds one `Invalid` error for each of a name validator's messages.
    pub fn push_invalid(&mut self, path: &Path, value: &str, messages: impl IntoIterator<Item = String>) {
        self.extend(messages.into_iter().map(|message| Error::invalid(path, value, message)));
    }

    /// `Ok` when nothing is wrong, else the list itself.
    ///
    /// # Errors
    /// The list, when it is not empty.
    pub fn into_result(self) -> Result<(), Self> {
        if self.is_empty() { Ok(()) } else { Err(self) }
    }

    /// The causes of a `422 Invalid` status, one an error, repeated ones included.
    pub fn causes(&self) -> Vec<StatusCause> {
        let cause =
            |e: &Error| StatusCause { reason: e.kind.cause().into(), message: e.body(), field: e.field.clone() };
        self.0.iter().map(cause).collect()
    }
}

impl fmt::Display for ErrorList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut seen = HashSet::new();
        let messages: Vec<String> = self.0.iter().map(Error::to_string).filter(|m| seen.insert(m.clone())).collect();
        match messages.as_slice() {
            [one] => f.write_str(one),
            many => write!(f, "[{}]", many.join(", ")),
        }
    }
}

impl std::error::Error for ErrorList {}

impl From<Error> for ErrorList {
    fn from(error: Error) -> Self {
        Self(vec![error])
    }
}

impl Extend<Error> for ErrorList {
    fn extend<I: IntoIterator<Item = Error>>(&mut self, errors: I) {
        self.0.extend(errors);
    }
}

impl FromIterator<Error> for ErrorList {
    fn from_iter<I: IntoIterator<Item = Error>>(errors: I) -> Self {
        Self(errors.into_iter().collect())
    }
}

impl IntoIterator for ErrorList {
    type Item = Error;
    type IntoIter = std::vec::IntoIter<Error>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a ErrorList {
    type Item = &'a Error;
    type IntoIter = std::slice::Iter<'a, Error>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

const fn plural(count: usize, one: &'static str, many: &'static str) -> &'static str {
    if count == 1 { one } else { many }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn f() -> Path {
        Path::new("f")
    }

    #[test]
    fn messages_as_upstream() {
        let none: [&str; 0] = [];
        let cases = [
            (Error::required(&f(), ""), "f: Required value"),
            (Error::required(&f(), "must be set"), "f: Required value: must be set"),
            (Error::invalid(&f(), "v", "d"), "f: Invalid value: \"v\": d"),
            (Error::invalid(&f(), "a\"\n", ""), "f: Invalid value: \"a\\\"\\n\""),
            (Error::invalid(&f(), 5, "d"), "f: Invalid value: 5: d"),
            (Error::invalid(&f(), true, "d"), "f: Invalid value: true: d"),
            (Error::invalid(&f(), 1.5, "d"), "f: Invalid value: 1.5: d"),
            (Error::invalid(&f(), None::<i64>, "d"), "f: Invalid value: null: d"),
            (Error::invalid(&f(), Some(3), "d"), "f: Invalid value: 3: d"),
            (Error::invalid(&f(), &["a", "b"][..], "d"), "f: Invalid value: [\"a\",\"b\"]: d"),
            (Error::type_invalid(&f(), "v", "d"), "f: Invalid value: \"v\": d"),
            (Error::duplicate(&f(), "v"), "f: Duplicate value: \"v\""),
            (Error::not_found(&f(), "v"), "f: Not found: \"v\""),
            (
                Error::not_supported(&f(), "v", &["a", "b"]),
                "f: Unsupported value: \"v\": supported values: \"a\", \"b\"",
            ),
            (Error::not_supported(&f(), "v", &none), "f: Unsupported value: \"v\""),
            (Error::forbidden(&f(), "d"), "f: Forbidden: d"),
            (Error::too_long(&f(), 1), "f: Too long: may not be more than 1 byte"),
            (Error::too_long(&f(), 5), "f: Too long: may not be more than 5 bytes"),
            (Error::too_long_characters(&f(), 5), "f: Too long: may not be more than 5 characters"),
            (Error::too_short(&f(), 2), "f: Too short: must be at least 2 characters"),
            (Error::too_many(&f(), 3, 2), "f: Too many: 3: must have at most 2 items"),
            (Error::too_many(&f(), 3, 1), "f: Too many: 3: must have at most 1 item"),
            (Error::too_few(&f(), 0, 1), "f: Too few: 0: must have at least 1 item"),
            (Error::internal(&f(), "e"), "f: Internal error: e"),
        ];
        for (error, expected) in cases {
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn aggregates_as_upstream() {
        let (a, b) = (Error::required(&f(), ""), Error::invalid(&f(), "v", "d"));
        let check = |errors: &[&Error], expected: &str| {
            let list: ErrorList = errors.iter().map(|e| (*e).clone()).collect();
            assert_eq!(list.to_string(), expected);
        };
        check(&[&a], "f: Required value");
        check(&[&a, &a], "f: Required value");
        check(&[&a, &b, &a], "[f: Required value, f: Invalid value: \"v\": d]");
    }

    #[test]
    fn causes_keep_repeated_errors() {
        let list = ErrorList::from_iter([Error::duplicate(&f(), "v"), Error::duplicate(&f(), "v")]);
        let causes = list.causes();
        assert_eq!(causes.len(), 2);
        assert_eq!(causes[0].reason, "FieldValueDuplicate");
        assert_eq!(causes[0].message, "Duplicate value: \"v\"");
        assert_eq!(causes[0].field, "f");
        assert!(list.into_result().is_err());
        assert!(ErrorList::new().into_result().is_ok());
    }
}
