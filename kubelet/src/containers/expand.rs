//! `$(NAME)` in commands, arguments and the values of environment variables.
//!
//! `$$` is a dollar sign, so that `$$(NAME)` is the text `$(NAME)`. What refers to nothing known, and what is no reference,
//! stays as it is written. What was put in is not looked at again.

use std::collections::BTreeMap;

/// That a text refers to a variable that there is not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("missing value for {0:?}")]
pub struct Missing(pub String);

/// Replaces references to variables by their values.
#[must_use]
pub fn expand<'a>(text: &str, value_of: impl Fn(&str) -> Option<&'a str>) -> String {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        expanded.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let name = after.strip_prefix('(').and_then(|after| after.split_once(')'));
        rest = match (name, after.chars().next()) {
            (Some((name, after)), _) => {
                match value_of(name) {
                    Some(value) => expanded.push_str(value),
                    None => expanded.extend(["$(", name, ")"]),
                }
                after
            }
            (None, Some('$')) => {
                expanded.push('$');
                &after[1..]
            }
            _ => {
                expanded.push('$');
                after
            }
        };
    }
    expanded.push_str(rest);
    expanded
}

/// The same, where each variable that is referred to has to be there: what `subPathExpr` does.
///
/// # Errors
/// The first variable that is missing.
pub fn expand_all(text: &str, variables: &BTreeMap<String, String>) -> Result<String, Missing> {
    let missing = std::cell::RefCell::new(None);
    let expanded = expand(text, |name| {
        let value = variables.get(name).map(String::as_str);
        if value.is_none() {
            missing.borrow_mut().get_or_insert_with(|| name.to_owned());
        }
        value
    });
    match missing.into_inner() {
        Some(name) => Err(Missing(name)),
        None => Ok(expanded),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn variables() -> BTreeMap<String, String> {
        let variables = [("A", "a"), ("B", "$(A)"), ("E", ""), ("", "nameless"), ("a b", "spaced")];
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn expanded(text: &str) -> String {
        let variables = variables();
        expand(text, |name| variables.get(name).map(String::as_str))
    }

    #[test]
    fn references_are_replaced_as_upstream_does() {
        let check = |text: &str, expected: &str| assert_eq!(expanded(text), expected, "{text}");
        check("", "");
        check("$(A)", "a");
        check("-$(A)-$(A)", "-a-a");
        check("$(B)", "$(A)");
        check("$(E)|", "|");
        check("$()", "nameless");
        check("$(a b)", "spaced");
        check("$(UNKNOWN)", "$(UNKNOWN)");
        check("$$(A)", "$(A)");
        check("$$$(A)", "$a");
        check("$$$$(A)", "$$(A)");
        check("$A", "$A");
        check("$A$(A)", "$Aa");
        check("$", "$");
        check("$$", "$");
        check("$(A", "$(A");
        check("$(A$(A)", "$(A$(A)");
        check("$((A))", "$((A))");
        check("$é$(A)", "$éa");
        check("a)$(A)(", "a)a(");
    }

    #[test]
    fn what_must_be_there_is_named() {
        let check = |text: &str, expected: Result<&str, &str>| {
            let expected = expected.map(str::to_owned).map_err(|name| Missing(name.to_owned()));
            assert_eq!(expand_all(text, &variables()), expected);
        };
        check("x/$(A)", Ok("x/a"));
        check("x/$(C)/$(D)", Err("C"));
        check("x/$$(C)", Ok("x/$(C)"));
        assert_eq!(Missing("C".to_owned()).to_string(), "missing value for \"C\"");
    }

    /// The same by a machine that looks at one character after the other.
    fn naive(text: &str) -> String {
        let variables = variables();
        let text: Vec<char> = text.chars().collect();
        let (mut out, mut at) = (String::new(), 0);
        while at < text.len() {
            let next = text.get(at + 1);
            if text[at] != '$' || next.is_none() {
                out.push(text[at]);
                at += 1;
            } else if next == Some(&'$') {
                out.push('$');
                at += 2;
            } else if let Some(length) = text[at..].iter().position(|c| *c == ')').filter(|_| next == Some(&'(')) {
                let name: String = text[at + 2..at + length].iter().collect();
                let whole: String = text[at..=at + length].iter().collect();
                out.push_str(variables.get(&name).unwrap_or(&whole));
                at += length + 1;
            } else {
                out.push('$');
                at += 1;
            }
        }
        out
    }

    proptest! {
        #[test]
        fn any_text_is_expanded_as_a_naive_reader_would(text in "[$()ABé ]{0,24}") {
            prop_assert_eq!(expanded(&text), naive(&text));
        }
    }
}
