//! How long a request may take: the server's limit, or less if the client says so with `?timeout=`.

use std::time::Duration;

use api::field::go_quote;
use api::status::Status;

use crate::request::Query;

/// The time limit of a request with this query, which is at most `limit`. A `timeout` of zero or less is none.
pub(super) fn request_time(query: Option<&str>, limit: Duration) -> Result<Duration, Status> {
    let query = match query {
        // Few requests have it, and none of them need be taken apart here.
        Some(query) if query.contains("timeout") => Query::parse(query),
        _ => return Ok(limit),
    };
    let Some(text) = query.text("timeout") else { return Ok(limit) };
    let asked = parse_go_duration(text)
        .map_err(|why| Status::bad_request(format!("invalid timeout specified in the request URL - time: {why}")))?;
    Ok(match asked {
        Some(asked) if !asked.is_zero() => asked.min(limit),
        _ => limit,
    })
}

/// Reads a duration such as `1h15m30.5s` as Go's `time.ParseDuration` does, with its errors. `None` if it is negative.
fn parse_go_duration(text: &str) -> Result<Option<Duration>, String> {
    let invalid = || format!("invalid duration {}", go_quote(text));
    let negative = text.starts_with('-');
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return Ok(Some(Duration::ZERO));
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut nanoseconds = 0_f64;
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(number_end);
        if number == "." || number.is_empty() {
            return Err(invalid());
        }
        let number: f64 = number.parse().map_err(|_| invalid())?;
        let unit_end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        if unit.is_empty() {
            return Err(format!("missing unit in duration {}", go_quote(text)));
        }
        let scale = unit_nanoseconds(unit)
            .ok_or_else(|| format!("unknown unit {} in duration {}", go_quote(unit), go_quote(text)))?;
        nanoseconds += number * scale;
        rest = after;
    }
    // Go counts in 63 bits.
    if nanoseconds > i64::MAX as f64 {
        return Err(invalid());
    }
    Ok((!negative).then(|| Duration::from_nanos(nanoseconds as u64)))
}

fn unit_nanoseconds(unit: &str) -> Option<f64> {
    Some(match unit {
        "ns" => 1.0,
        "us" | "\u{b5}s" | "\u{3bc}s" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        "m" => 60e9,
        "h" => 3600e9,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_may_ask_for_less_time() {
        let limit = Duration::from_secs(60);
        let check = |query: &str, expected: Result<u64, &str>| {
            let found = request_time(Some(query), limit);
            let found = found.map(|time| time.as_millis() as u64).map_err(|status| {
                assert_eq!(status.code, 400);
                status.message
            });
            assert_eq!(
                found,
                expected.map_err(|why| format!("invalid timeout specified in the request URL - time: {why}"))
            );
        };
        check("", Ok(60_000));
        check("timeout=", Ok(60_000));
        check("timeoutSeconds=5", Ok(60_000));
        check("timeout=5s", Ok(5_000));
        check("limit=1&timeout=1m", Ok(60_000));
        check("timeout=1h15m30.918273645s", Ok(60_000));
        check("timeout=0", Ok(60_000));
        check("timeout=0s", Ok(60_000));
        check("timeout=-5s", Ok(60_000));
        check("timeout=1.5s250ms", Ok(1_750));
        check("timeout=.5s", Ok(500));
        check("timeout=1000us", Ok(1));
        check("timeout=invalid", Err("invalid duration \"invalid\""));
        check("timeout=5", Err("missing unit in duration \"5\""));
        check("timeout=5x", Err("unknown unit \"x\" in duration \"5x\""));
        check("timeout=-", Err("invalid duration \"-\""));
        check("timeout=1..5s", Err("invalid duration \"1..5s\""));
        check("timeout=99999999999h", Err("invalid duration \"99999999999h\""));
        assert_eq!(request_time(None, limit).unwrap(), limit);
    }
}
