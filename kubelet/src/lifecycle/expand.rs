//! `$(NAME)` in the commands of probes, which are replaced by what the container's spec itself gives as value: what comes
//! from elsewhere is not known here (as upstream has it).

use k8s_openapi::api::core::v1::{Container, EnvVar};

/// A command with its references replaced. `$$(NAME)` stands for `$(NAME)`, and what names nothing stays as it is.
pub(super) fn command(words: &[String], container: &Container) -> Vec<String> {
    let variables = container.env.as_deref().unwrap_or_default();
    words.iter().map(|word| expanded(word, variables)).collect()
}

fn expanded(word: &str, variables: &[EnvVar]) -> String {
    let mut result = String::with_capacity(word.len());
    let mut rest = word;
    while let Some(at) = rest.find('$') {
        result.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if let Some(escaped) = after.strip_prefix('$') {
            result.push('$');
            rest = escaped;
        } else if let Some((name, tail)) = after.strip_prefix('(').and_then(|inner| inner.split_once(')')) {
            match value_of(name, variables) {
                Some(value) => result.push_str(value),
                None => result.push_str(&rest[at..rest.len() - tail.len()]),
            }
            rest = tail;
        } else {
            result.push('$');
            rest = after;
        }
    }
    result.push_str(rest);
    result
}

/// The value of a variable that has one in the spec. The last one of a name counts.
fn value_of<'a>(name: &str, variables: &'a [EnvVar]) -> Option<&'a str> {
    let named = variables.iter().rev().find(|variable| variable.name == name && variable.value_from.is_none());
    named.map(|variable| variable.value.as_deref().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_replaced_once() {
        let variable = |name: &str, value: &str| EnvVar {
            name: name.to_owned(),
            value: Some(value.to_owned()),
            ..EnvVar::default()
        };
        let variables = [variable("A", "x"), variable("B", "$(A)"), variable("A", "y")];
        for (word, expected) in [
            ("", ""),
            ("plain", "plain"),
            ("$(A)-$(A)", "y-y"),
            ("$(B)", "$(A)"),
            ("$(C)", "$(C)"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$y"),
            ("$A $(A", "$A $(A"),
            ("100$", "100$"),
            ("ä$(A)ö", "äyö"),
        ] {
            assert_eq!(expanded(word, &variables), expected, "{word}");
        }
    }
}
