//! The sentences that validation messages are built of.

/// A text is longer than `max` bytes.
pub fn max_length_error(max: usize) -> String {
    format!("must be no more than {max} bytes")
}

/// A text is empty.
pub const fn empty_error() -> &'static str {
    "must be non-empty"
}

/// A number is not in `low..=high`.
pub fn inclusive_range_error(low: i64, high: i64) -> String {
    format!("must be between {low} and {high}, inclusive")
}

/// A text does not match a pattern; `rule` says so in words.
pub fn regex_error(rule: &str, pattern: &str, examples: &[&str]) -> String {
    let mut message = format!("{rule} (");
    for (i, example) in examples.iter().enumerate() {
        message.push_str(if i == 0 { "e.g. '" } else { " or '" });
        message.push_str(example);
        message.push_str("', ");
    }
    message.push_str("regex used for validation is '");
    message.push_str(pattern);
    message.push_str("')");
    message
}

/// The message, unless the text is valid.
pub(super) fn unless(valid: bool, message: impl FnOnce() -> String) -> Vec<String> {
    if valid { Vec::new() } else { vec![message()] }
}
