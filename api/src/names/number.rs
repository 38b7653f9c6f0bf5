//! Numbers with a range, and percentages.

use super::message::unless;
use super::{Messages, inclusive_range_error, regex_error};

const PERCENT_RULE: &str = "a valid percent string must be a numeric string followed by an ending '%'";
/// Greatest user and group ID.
const MAX_ID: i64 = 0xffff_ffff;

/// A port number, 1 to 65535.
pub fn port_number(port: i64) -> Messages {
    in_range(port, 1, 65535)
}

/// A number in `low..=high`.
pub fn in_range(value: i64, low: i64, high: i64) -> Messages {
    unless((low..=high).contains(&value), || inclusive_range_error(low, high))
}

/// A Unix user ID.
pub fn user_id(uid: i64) -> Messages {
    in_range(uid, 0, MAX_ID)
}

/// A Unix group ID.
pub fn group_id(gid: i64) -> Messages {
    in_range(gid, 0, MAX_ID)
}

/// A percentage: digits and `%`.
pub fn percent(value: &str) -> Messages {
    let digits = value.strip_suffix('%').unwrap_or_default();
    let valid = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    unless(valid, || regex_error(PERCENT_RULE, "[0-9]+%", &["1%", "93%"]))
}
