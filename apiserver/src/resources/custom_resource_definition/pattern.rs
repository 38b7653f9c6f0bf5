//! Regular expressions as Go's `regexp` has them.

use regex::Regex;
use regex_syntax::ast::{Error, ErrorKind, parse::Parser};

/// Compiles a pattern.
///
/// # Errors
/// What Go says of it.
pub(super) fn compile(pattern: &str) -> Result<Regex, String> {
    if let Err(error) = Parser::new().parse(pattern) {
        return Err(format!("error parsing regexp: {}", explain(pattern, &error)));
    }
    Regex::new(pattern).map_err(|_| format!("error parsing regexp: expression too large: `{pattern}`"))
}

fn explain(pattern: &str, error: &Error) -> String {
    let span = error.span();
    let (at, from) = (&pattern[span.start.offset..span.end.offset], &pattern[span.start.offset..]);
    match error.kind() {
        ErrorKind::ClassUnclosed => format!("missing closing ]: `{from}`"),
        ErrorKind::ClassRangeInvalid => format!("invalid character class range: `{at}`"),
        ErrorKind::GroupUnclosed => format!("missing closing ): `{pattern}`"),
        ErrorKind::GroupUnopened => format!("unexpected ): `{pattern}`"),
        ErrorKind::RepetitionMissing => {
            let operator: String = from.chars().take(1).collect();
            format!("missing argument to repetition operator: `{operator}`")
        }
        ErrorKind::RepetitionCountInvalid => format!("invalid repeat count: `{at}`"),
        ErrorKind::EscapeUnexpectedEof => "trailing backslash at end of expression: ``".to_owned(),
        ErrorKind::UnsupportedLookAround | ErrorKind::FlagUnrecognized | ErrorKind::GroupNameInvalid => {
            format!("invalid or unsupported Perl syntax: `{}`", perl(from))
        }
        _ => format!("invalid escape sequence: `{at}`"),
    }
}

/// As much of a group's beginning as Go shows.
fn perl(from: &str) -> String {
    let shown = if from.starts_with("(?<") { 4 } else { 3 };
    from.chars().take(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_go() {
        let check = |pattern: &str, expected: &str| {
            assert_eq!(compile(pattern).err().unwrap_or_default(), expected, "{pattern}");
        };
        check("^[a-z]{1,3}(-[0-9]+)?$", "");
        check("[a", "error parsing regexp: missing closing ]: `[a`");
        check("(a", "error parsing regexp: missing closing ): `(a`");
        check("a)", "error parsing regexp: unexpected ): `a)`");
        check("*a", "error parsing regexp: missing argument to repetition operator: `*`");
        check("a\\", "error parsing regexp: trailing backslash at end of expression: ``");
        check("(?=a)", "error parsing regexp: invalid or unsupported Perl syntax: `(?=`");
        check("[z-a]", "error parsing regexp: invalid character class range: `z-a`");
    }
}
