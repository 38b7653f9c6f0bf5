//! Label selectors: requirements on an object's labels, all of which must hold.
//!
//! Semantics and messages are those of `k8s.io/apimachinery/pkg/labels`. In particular `notin` and `!=` hold for
//! objects without the label, and `>` and `<` compare 64-bit integers and hold for nothing else.

mod api;
mod parse;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

pub use api::{from_api, validate_api, validate_expression, validate_label_name, validate_labels};
pub use parse::ParseError;

use crate::field::{BadValue, Error, ErrorList, Path};
use crate::names;

/// How a requirement's values relate to a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operator {
    /// `key in (a,b)`: the label is one of the values.
    In,
    /// `key notin (a,b)`: there is no such label, or it is none of the values.
    NotIn,
    /// `key=a`.
    Equals,
    /// `key==a`: the same.
    DoubleEquals,
    /// `key!=a`: there is no such label, or it differs.
    NotEquals,
    /// `key`: there is such a label.
    Exists,
    /// `!key`: there is none.
    DoesNotExist,
    /// `key>1`: the label is a greater integer.
    GreaterThan,
    /// `key<1`: the label is a lesser integer.
    LessThan,
}

/// Where labels are looked up.
pub trait Labels {
    /// The value of the label `key`, if there is one.
    fn label(&self, key: &str) -> Option<&str>;
}

impl Labels for BTreeMap<String, String> {
    fn label(&self, key: &str) -> Option<&str> {
        self.get(key).map(String::as_str)
    }
}

impl Labels for HashMap<String, String> {
    fn label(&self, key: &str) -> Option<&str> {
        self.get(key).map(String::as_str)
    }
}

impl<L: Labels> Labels for Option<L> {
    fn label(&self, key: &str) -> Option<&str> {
        self.as_ref()?.label(key)
    }
}

impl<L: Labels + ?Sized> Labels for &L {
    fn label(&self, key: &str) -> Option<&str> {
        (**self).label(key)
    }
}

/// Few labels in any order, as lists of what was extracted from an object hold them.
impl<K: AsRef<str>, V: AsRef<str>> Labels for [(K, V)] {
    fn label(&self, key: &str) -> Option<&str> {
        self.iter().find(|(k, _)| k.as_ref() == key).map(|(_, value)| value.as_ref())
    }
}

/// One condition on one label. Displays as in a selector's text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Requirement {
    key: String,
    operator: Operator,
    values: Vec<String>,
}

impl Requirement {
    /// A requirement, checked. Values keep their order for matching and are sorted for display.
    ///
    /// # Errors
    /// `Invalid` for a malformed key or value, a number of values that does not go with the operator, and a value that
    /// is no integer where one is compared; fields are named below `path`.
    pub fn new(key: &str, operator: Operator, values: Vec<String>, path: &Path) -> Result<Self, ErrorList> {
        Self::check(key, operator, &values, BadValue::json(&values), path)?;
        Ok(Self { key: key.to_owned(), operator, values })
    }

    /// The label that the requirement is about.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// How the values relate to the label.
    pub fn operator(&self) -> Operator {
        self.operator
    }

    /// The values, in the order in which they were given.
    pub fn values(&self) -> &[String] {
        &self.values
    }

    /// Whether the requirement holds for these labels.
    pub fn matches<L: Labels + ?Sized>(&self, labels: &L) -> bool {
        let label = labels.label(&self.key);
        let listed = |label: &str| self.values.iter().any(|value| value == label);
        match self.operator {
            Operator::In | Operator::Equals | Operator::DoubleEquals => label.is_some_and(listed),
            Operator::NotIn | Operator::NotEquals => !label.is_some_and(listed),
            Operator::Exists => label.is_some(),
            Operator::DoesNotExist => label.is_none(),
            Operator::GreaterThan => self.integers(label).is_some_and(|(label, bound)| label > bound),
            Operator::LessThan => self.integers(label).is_some_and(|(label, bound)| label < bound),
        }
    }

    fn integers(&self, label: Option<&str>) -> Option<(i64, i64)> {
        let [bound] = self.values.as_slice() else { return None };
        Some((parse_integer(label?)?, parse_integer(bound)?))
    }

    fn check(key: &str, operator: Operator, values: &[String], shown: BadValue, path: &Path) -> Result<(), ErrorList> {
        let mut errors = ErrorList::new();
        errors.extend(check_key(key, &path.child("key")));
        let values_path = path.child("values");
        let miscounted = match operator {
            Operator::In | Operator::NotIn if values.is_empty() => {
                Some("for 'in', 'notin' operators, values set can't be empty")
            }
            Operator::Equals | Operator::DoubleEquals | Operator::NotEquals if values.len() != 1 => {
                Some("exact-match compatibility requires one single value")
            }
            Operator::Exists | Operator::DoesNotExist if !values.is_empty() => {
                Some("values set must be empty for exists and does not exist")
            }
            Operator::GreaterThan | Operator::LessThan if values.len() != 1 => {
                Some("for 'Gt', 'Lt' operators, exactly one value is required")
            }
            _ => None,
        };
        errors.extend(miscounted.map(|detail| Error::invalid(&values_path, shown, detail)));
        if matches!(operator, Operator::GreaterThan | Operator::LessThan) {
            let detail = "for 'Gt', 'Lt' operators, the value must be an integer";
            let bad = values.iter().enumerate().filter(|(_, value)| parse_integer(value).is_none());
            errors.extend(bad.map(|(i, value)| Error::invalid(&values_path.index(i), value, detail)));
        }
        for (i, value) in values.iter().enumerate() {
            let messages = names::label_value(value);
            if !messages.is_empty() {
                errors.push(Error::invalid(&values_path.index(i).key(key), value, messages.join("; ")));
            }
        }
        errors.into_result()
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = &self.key;
        let first = || self.values.first().map_or("", String::as_str);
        let set = || {
            let mut sorted: Vec<&str> = self.values.iter().map(String::as_str).collect();
            sorted.sort_unstable();
            sorted.join(",")
        };
        match self.operator {
            Operator::In => write!(f, "{key} in ({})", set()),
            Operator::NotIn => write!(f, "{key} notin ({})", set()),
            Operator::Equals => write!(f, "{key}={}", first()),
            Operator::DoubleEquals => write!(f, "{key}=={}", first()),
            Operator::NotEquals => write!(f, "{key}!={}", first()),
            Operator::Exists => f.write_str(key),
            Operator::DoesNotExist => write!(f, "!{key}"),
            Operator::GreaterThan => write!(f, "{key}>{}", first()),
            Operator::LessThan => write!(f, "{key}<{}", first()),
        }
    }
}

/// Requirements that must all hold, sorted by key; or nothing at all. Displays in canonical form.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Selector {
    /// Selects no object: what an absent `metav1.LabelSelector` means.
    Nothing,
    /// Selects the objects for which all requirements hold; without requirements, all objects.
    Requirements(Vec<Requirement>),
}

impl Default for Selector {
    fn default() -> Self {
        Self::everything()
    }
}

impl Selector {
    /// Selects every object.
    pub const fn everything() -> Self {
        Self::Requirements(Vec::new())
    }

    /// Selects the objects for which all `requirements` hold.
    pub fn new(mut requirements: Vec<Requirement>) -> Self {
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Self::Requirements(requirements)
    }

    /// Selects the objects that have exactly these labels among theirs. The labels are not validated: this is for what
    /// comes from a stored object, such as a Service's selector.
    pub fn from_labels<'a>(labels: impl IntoIterator<Item = (&'a String, &'a String)>) -> Self {
        let requirement = |(key, value): (&String, &String)| Requirement {
            key: key.clone(),
            operator: Operator::Equals,
            values: vec![value.clone()],
        };
        Self::new(labels.into_iter().map(requirement).collect())
    }

    /// Reads the text of a query parameter: `a=b,c!=d,e in (x,y),f notin (z),g,!h,i>1,j<2`.
    ///
    /// # Errors
    /// What is wrong, in upstream's words; the input is bound by [`super::MAX_TEXT_BYTES`].
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        parse::parse(text).map(Self::new)
    }

    /// Whether the selector selects an object with these labels.
    pub fn matches<L: Labels + ?Sized>(&self, labels: &L) -> bool {
        match self {
            Self::Nothing => false,
            Self::Requirements(requirements) => requirements.iter().all(|requirement| requirement.matches(labels)),
        }
    }

    /// Whether the selector selects every object.
    pub fn is_everything(&self) -> bool {
        matches!(self, Self::Requirements(requirements) if requirements.is_empty())
    }

    /// Whether the selector selects no object because it says so.
    pub fn is_nothing(&self) -> bool {
        *self == Self::Nothing
    }

    /// The requirements in order of their keys; none for [`Selector::Nothing`].
    pub fn requirements(&self) -> &[Requirement] {
        match self {
            Self::Nothing => &[],
            Self::Requirements(requirements) => requirements,
        }
    }

    /// The one value that the label `key` must have, as far as the first requirement on it tells.
    pub fn requires_exact_match(&self, key: &str) -> Option<&str> {
        let first = self.requirements().iter().find(|requirement| requirement.key == key)?;
        match (first.operator, first.values.as_slice()) {
            (Operator::Equals | Operator::DoubleEquals | Operator::In, [value]) => Some(value),
            _ => None,
        }
    }

    /// The same with further requirements.
    #[must_use]
    pub fn with(self, more: impl IntoIterator<Item = Requirement>) -> Self {
        match self {
            Self::Nothing => Self::Nothing,
            Self::Requirements(mut requirements) => {
                requirements.extend(more);
                Self::new(requirements)
            }
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, requirement) in self.requirements().iter().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            write!(f, "{comma}{requirement}")?;
        }
        Ok(())
    }
}

impl std::str::FromStr for Selector {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

/// A 64-bit integer as Go's `strconv.ParseInt` reads it in base 10; so does Rust.
fn parse_integer(text: &str) -> Option<i64> {
    text.parse().ok()
}

fn check_key(key: &str, path: &Path) -> Option<Error> {
    let messages = names::label_key(key);
    (!messages.is_empty()).then(|| Error::invalid(path, key, messages.join("; ")))
}

/// Distinct values in order, as a set in a selector's text is read.
fn sorted_set(values: BTreeSet<String>) -> Vec<String> {
    values.into_iter().collect()
}

#[cfg(test)]
mod tests;
