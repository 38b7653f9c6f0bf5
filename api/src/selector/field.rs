//! Field selectors: requirements on the few fields of an object that its kind lets one select by.
//!
//! Semantics and messages are those of `k8s.io/apimachinery/pkg/fields`. A field that an object does not have counts as
//! empty. Which fields there are is the kind's business: [`Selector::try_map`] is where a server says so.

use std::fmt;

use super::MAX_TEXT_BYTES;

/// How a requirement's value relates to a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operator {
    /// `field=value` or `field==value`.
    Equals,
    /// `field!=value`.
    NotEquals,
}

/// One condition on one field. Displays as in a selector's text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Requirement {
    /// Path of the field, such as `metadata.name`.
    pub field: String,
    /// How it relates to the value.
    pub operator: Operator,
    /// The value, without escapes.
    pub value: String,
}

/// Requirements that must all hold; without any, everything is selected. Displays as text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Selector(Vec<Requirement>);

/// Why a text is no field selector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// A term without an operator.
    #[error("invalid selector: '{selector}'; can't understand '{term}'")]
    NoOperator {
        /// The whole text.
        selector: String,
        /// The term.
        term: String,
    },
    /// A backslash that escapes nothing that needs it.
    #[error("invalid field selector: invalid escape sequence: {0}")]
    InvalidEscape(String),
    /// A character that needs a backslash. Upstream shows its code point, in decimal.
    #[error("invalid field selector: unescaped character in value: {}", u32::from(*.0))]
    Unescaped(char),
    /// The text is too long to look at.
    #[error("selector must be no more than {MAX_TEXT_BYTES} bytes")]
    TooLong,
}

impl Selector {
    /// Selects every object.
    pub const fn everything() -> Self {
        Self(Vec::new())
    }

    /// Selects the objects for which all requirements hold.
    pub fn new(requirements: Vec<Requirement>) -> Self {
        Self(requirements)
    }

    /// Selects the objects whose `field` is `value`.
    pub fn equals(field: &str, value: &str) -> Self {
        Self(vec![Requirement { field: field.to_owned(), operator: Operator::Equals, value: value.to_owned() }])
    }

    /// Reads the text of a query parameter: `metadata.name=a,spec.nodeName!=b`. In values, `\`, `,` and `=` are written
    /// with a backslash before them. Terms are sorted; empty ones are skipped.
    ///
    /// # Errors
    /// What is wrong, in upstream's words; the input is bound by [`MAX_TEXT_BYTES`].
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(ParseError::TooLong);
        }
        let mut terms = split_terms(text);
        terms.sort_unstable();
        let mut requirements = Vec::new();
        for term in terms.into_iter().filter(|term| !term.is_empty()) {
            let Some((field, operator, value)) = split_term(term) else {
                return Err(ParseError::NoOperator { selector: text.to_owned(), term: term.to_owned() });
            };
            requirements.push(Requirement { field: field.to_owned(), operator, value: unescape(value)? });
        }
        Ok(Self(requirements))
    }

    /// Whether the selector selects an object, of which `field` gives the fields; an absent one counts as empty.
    pub fn matches<'a>(&self, field: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.0.iter().all(|requirement| {
            let equal = field(&requirement.field).unwrap_or_default() == requirement.value;
            equal == (requirement.operator == Operator::Equals)
        })
    }

    /// Whether the selector selects every object.
    pub fn is_everything(&self) -> bool {
        self.0.is_empty()
    }

    /// The requirements.
    pub fn requirements(&self) -> &[Requirement] {
        &self.0
    }

    /// The value that `field` must have, so that a server can find the one object or the one node's objects.
    pub fn requires_exact_match(&self, field: &str) -> Option<&str> {
        let exact = |r: &&Requirement| r.operator == Operator::Equals && r.field == field;
        self.0.iter().find(exact).map(|requirement| requirement.value.as_str())
    }

    /// The same with every field and value passed through `change`, which may refuse a field that cannot be selected
    /// by.
    ///
    /// # Errors
    /// The first that `change` returns.
    pub fn try_map<E>(self, mut change: impl FnMut(Requirement) -> Result<Requirement, E>) -> Result<Self, E> {
        self.0.into_iter().map(&mut change).collect::<Result<_, _>>().map(Self)
    }

    /// The same with further requirements.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }
}

/// A value as it is written in a selector's text.
pub fn escape(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for c in value.chars() {
        if matches!(c, '\\' | ',' | '=') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operator = match self.operator {
            Operator::Equals => "=",
            Operator::NotEquals => "!=",
        };
        write!(f, "{}{operator}{}", self.field, escape(&self.value))
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, requirement) in self.0.iter().enumerate() {
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

/// The parts between commas that no backslash precedes.
fn split_terms(text: &str) -> Vec<&str> {
    let mut terms = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (i, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b',' => {
                terms.push(&text[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    terms.push(&text[start..]);
    terms
}

/// Field, operator and value, at the first operator.
fn split_term(term: &str) -> Option<(&str, Operator, &str)> {
    for (i, _) in term.char_indices() {
        let rest = &term[i..];
        for (sign, operator) in [("!=", Operator::NotEquals), ("==", Operator::Equals), ("=", Operator::Equals)] {
            if let Some(value) = rest.strip_prefix(sign) {
                return Some((&term[..i], operator, value));
            }
        }
    }
    None
}

fn unescape(value: &str) -> Result<String, ParseError> {
    let mut plain = String::with_capacity(value.len());
    let mut characters = value.chars();
    while let Some(c) = characters.next() {
        match c {
            '\\' => match characters.next() {
                Some(escaped @ ('\\' | ',' | '=')) => plain.push(escaped),
                Some(other) => return Err(ParseError::InvalidEscape(format!("\\{other}"))),
                None => return Err(ParseError::InvalidEscape("\\".to_owned())),
            },
            ',' | '=' => return Err(ParseError::Unescaped(c)),
            c => plain.push(c),
        }
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn splits_as_upstream() {
        let check = |text: &str, expected: &[&str]| assert_eq!(split_terms(text), expected, "{text:?}");
        check("a", &["a"]);
        check("a=avalue,b=bvalue", &["a=avalue", "b=bvalue"]);
        check("a=avalue,b==bvalue,c!=cvalue", &["a=avalue", "b==bvalue", "c!=cvalue"]);
        check("name=\\,,a", &["name=\\,", "a"]);
        check("a\\\\,b", &["a\\\\", "b"]);
        check(",", &["", ""]);
        check("\\,", &["\\,"]);
    }

    #[test]
    fn text_as_upstream() {
        let check = |text: &str, expected: Result<&str, &str>| {
            let actual = Selector::parse(text).map(|s| s.to_string()).map_err(|e| e.to_string());
            assert_eq!(actual.as_ref().map(String::as_str).map_err(String::as_str), expected, "{text:?}");
        };
        check("", Ok(""));
        check(",,", Ok(""));
        check("x=a,y=b,z=c", Ok("x=a,y=b,z=c"));
        check("z=c,x!=a", Ok("x!=a,z=c"));
        check("x==a", Ok("x=a"));
        check("x=", Ok("x="));
        check("=a", Ok("=a"));
        check("x=a||y\\=b", Ok("x=a||y\\=b"));
        check("x=a\\,b\\\\", Ok("x=a\\,b\\\\"));
        check("x=a!", Ok("x=a!"));
        check("x", Err("invalid selector: 'x'; can't understand 'x'"));
        check("y=1,x", Err("invalid selector: 'y=1,x'; can't understand 'x'"));
        check("x==a==b", Err("invalid field selector: unescaped character in value: 61"));
        check("x=\\a", Err("invalid field selector: invalid escape sequence: \\a"));
        check("x=a\\", Err("invalid field selector: invalid escape sequence: \\"));
        check(&"a".repeat(MAX_TEXT_BYTES + 1), Err("selector must be no more than 1048576 bytes"));
    }

    fn lookup<'a>(fields: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<&'a str> {
        move |name| fields.iter().find(|(field, _)| *field == name).map(|(_, value)| *value)
    }

    #[test]
    fn matching_as_upstream() {
        let check = |selector: &str, fields: &[(&str, &str)], expected| {
            assert_eq!(Selector::parse(selector).unwrap().matches(lookup(fields)), expected, "{selector}");
        };
        check("", &[("x", "y")], true);
        check("x=y", &[("x", "y")], true);
        check("x=y,z=w", &[("x", "y"), ("z", "w")], true);
        check("x!=y,z!=w", &[("x", "z"), ("z", "a")], true);
        check("notin=in", &[("notin", "in")], true);
        check("x=y", &[("x", "z")], false);
        check("x=y,z=w", &[("x", "w"), ("z", "w")], false);
        check("x!=y,z!=w", &[("x", "z"), ("z", "w")], false);
        check("x=", &[], true);
        check("x!=", &[], false);
        check("x!=y", &[], true);
    }

    #[test]
    fn exact_matches_are_found() {
        let selector = Selector::parse("metadata.name=a,spec.nodeName!=b,x==c").unwrap();
        assert_eq!(selector.requires_exact_match("metadata.name"), Some("a"));
        assert_eq!(selector.requires_exact_match("spec.nodeName"), None);
        assert_eq!(selector.requires_exact_match("x"), Some("c"));
        assert_eq!(selector.requires_exact_match("y"), None);
    }

    #[test]
    fn fields_can_be_refused() {
        let refuse = |r: Requirement| if r.field == "x" { Ok(r) } else { Err(r.field) };
        assert_eq!(Selector::equals("x", "1").try_map(refuse), Ok(Selector::equals("x", "1")));
        assert_eq!(Selector::parse("x=1,y=2").unwrap().try_map(refuse), Err("y".to_owned()));
    }

    fn requirement() -> impl Strategy<Value = Requirement> {
        let operator = prop_oneof![Just(Operator::Equals), Just(Operator::NotEquals)];
        ("[a-c.]{1,3}", operator, "[a-b=,!\\\\é]{0,5}").prop_map(|(field, operator, value)| Requirement {
            field,
            operator,
            value,
        })
    }

    proptest! {
        #[test]
        fn parsing_inverts_display(requirements in prop::collection::vec(requirement(), 0..5)) {
            let sorted = |selector: &Selector| {
                let mut texts: Vec<String> = selector.requirements().iter().map(ToString::to_string).collect();
                texts.sort_unstable();
                texts
            };
            let selector = Selector::new(requirements);
            let parsed = Selector::parse(&selector.to_string()).unwrap();
            prop_assert_eq!(sorted(&parsed), sorted(&selector));
            // Sorting is the only change, and there is none the second time.
            prop_assert_eq!(Selector::parse(&parsed.to_string()), Ok(parsed));
        }

        #[test]
        fn any_text_is_answered(text in "[a-b=,!\\\\é]{0,16}") {
            if let Ok(selector) = Selector::parse(&text) {
                let again = Selector::parse(&selector.to_string()).unwrap();
                prop_assert_eq!(again.requirements().len(), selector.requirements().len());
            }
        }
    }
}
