//! The names of time zones, as of the time zone database 2025b with the names that it keeps for compatibility.
//!
//! They are compiled in, so that every server takes the same ones, whatever is installed beside it.

use crate::field::go_quote;

const ZONES: &str = include_str!("zones.txt");

/// Whether a time zone of this name can be loaded.
///
/// # Errors
/// What Go's `time.LoadLocation` says otherwise.
pub fn check(name: &str) -> Result<(), String> {
    // Go calls these two by these names itself.
    if matches!(name, "" | "UTC" | "Local") {
        return Ok(());
    }
    if name.contains("..") || name.starts_with(['/', '\\']) {
        return Err("time: invalid location name".to_owned());
    }
    if ZONES.lines().any(|zone| zone == name) { Ok(()) } else { Err(format!("unknown time zone {name}")) }
}

/// What is wrong with the name of a time zone that a field states, in the order in which upstream finds it.
pub fn validate(name: &str) -> Vec<String> {
    if name.is_empty() {
        return vec!["timeZone must be nil or non-empty string".to_owned()];
    }
    let is_part = |part: &str| {
        let fits = (1..=14).contains(&part.len());
        let is_inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'+');
        fits && part.bytes().all(is_inner) && !part.starts_with('-') && part != "." && part != ".."
    };
    if !name.split('/').all(is_part) {
        return vec![format!("unknown time zone {name}")];
    }
    let mut messages = Vec::new();
    if name.eq_ignore_ascii_case("Local") {
        messages
            .push("timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones".to_owned());
    }
    messages.extend(check(name).err());
    messages
}

/// The zone of a schedule that begins with one, and the rest of the schedule.
pub(super) fn split(text: &str) -> Result<(Option<&str>, &str), String> {
    if !text.starts_with("TZ=") && !text.starts_with("CRON_TZ=") {
        return Ok((None, text));
    }
    let (_, rest) = text.split_once('=').unwrap_or(("", text));
    // Nothing but a zone: upstream's parser fails over it without a word.
    let Some((zone, rest)) = rest.split_once(' ') else {
        return Err(format!("provided bad location {}: no schedule follows it", go_quote(rest)));
    };
    check(zone).map_err(|why| format!("provided bad location {zone}: {why}"))?;
    Ok((Some(zone), rest.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_as_upstream() {
        let check = |name: &str, expected: &[&str]| assert_eq!(validate(name), expected, "{name:?}");
        for name in
            ["UTC", "Etc/UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "US/Pacific", "Etc/GMT+5", "EST"]
        {
            check(name, &[]);
        }
        check("", &["timeZone must be nil or non-empty string"]);
        let explicit = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones";
        check("Local", &[explicit]);
        check("local", &[explicit, "unknown time zone local"]);
        check("Europe/Atlantis", &["unknown time zone Europe/Atlantis"]);
        check("europe/berlin", &["unknown time zone europe/berlin"]);
        check("Amerika/Nueva York", &["unknown time zone Amerika/Nueva York"]);
        check("/Europe", &["unknown time zone /Europe"]);
        check("Europe/..", &["unknown time zone Europe/.."]);
        check("a..b", &["time: invalid location name"]);
        check("-Europe", &["unknown time zone -Europe"]);
        check("Europe/ABCDEFGHIJKLMNO", &["unknown time zone Europe/ABCDEFGHIJKLMNO"]);
    }

    #[test]
    fn the_list_is_sorted() {
        assert!(ZONES.lines().is_sorted());
        assert!(ZONES.lines().all(|zone| validate(zone).is_empty()));
    }
}
