//! How long ago, for people: the ages in a table, as `k8s.io/apimachinery/pkg/util/duration` writes them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const YEAR: i64 = 365 * DAY;

/// The age of something that happened at `then`, or `<unknown>` when that is not known.
pub fn age(then: Option<&Time>, now: Timestamp) -> String {
    // The difference truncates toward zero, as Go's does.
    then.map_or_else(|| "<unknown>".to_owned(), |then| human(now.duration_since(then.0).as_secs()))
}

/// A duration of so many whole seconds in about two significant figures: `119s`, `2m5s`, `3h25m`, `47h`, `2d`, `3y40d`.
///
/// One second below zero is `0s`, since clocks differ; less is `<invalid>`.
pub fn human(seconds: i64) -> String {
    match seconds {
        ..-1 => "<invalid>".to_owned(),
        -1 => "0s".to_owned(),
        s if s < 2 * MINUTE => format!("{s}s"),
        s if s < 10 * MINUTE => two(s / MINUTE, "m", s % MINUTE, "s"),
        s if s < 3 * HOUR => format!("{}m", s / MINUTE),
        s if s < 8 * HOUR => two(s / HOUR, "h", s % HOUR / MINUTE, "m"),
        s if s < 2 * DAY => format!("{}h", s / HOUR),
        s if s < 8 * DAY => two(s / DAY, "d", s % DAY / HOUR, "h"),
        s if s < 2 * YEAR => format!("{}d", s / DAY),
        s if s < 8 * YEAR => two(s / YEAR, "y", s % YEAR / DAY, "d"),
        s => format!("{}y", s / YEAR),
    }
}

/// A duration of so many whole seconds in one unit: `59s`, `59m`, `23h`, `364d`, `2y`.
pub fn short_human(seconds: i64) -> String {
    match seconds {
        ..-1 => "<invalid>".to_owned(),
        -1 => "0s".to_owned(),
        s if s < MINUTE => format!("{s}s"),
        s if s < HOUR => format!("{}m", s / MINUTE),
        s if s < DAY => format!("{}h", s / HOUR),
        s if s < YEAR => format!("{}d", s / DAY),
        s => format!("{}y", s / YEAR),
    }
}

fn two(large: i64, large_unit: &str, small: i64, small_unit: &str) -> String {
    if small == 0 { format!("{large}{large_unit}") } else { format!("{large}{large_unit}{small}{small_unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn human_as_upstream() {
        let cases = [
            (-2, "<invalid>"),
            (-1, "0s"),
            (0, "0s"),
            (1, "1s"),
            (70, "70s"),
            (119, "119s"),
            (120, "2m"),
            (150, "2m30s"),
            (190, "3m10s"),
            (599, "9m59s"),
            (10 * MINUTE, "10m"),
            (70 * MINUTE, "70m"),
            (179 * MINUTE, "179m"),
            (47 * MINUTE, "47m"),
            (3 * HOUR, "3h"),
            (3 * HOUR + 25 * MINUTE, "3h25m"),
            (5 * HOUR, "5h"),
            (8 * HOUR - 1, "7h59m"),
            (8 * HOUR, "8h"),
            (47 * HOUR + 59 * MINUTE, "47h"),
            (48 * HOUR, "2d"),
            (49 * HOUR, "2d1h"),
            (8 * DAY - HOUR, "7d23h"),
            (8 * DAY, "8d"),
            (2 * YEAR - HOUR, "729d"),
            (2 * YEAR, "2y"),
            (2 * YEAR + DAY, "2y1d"),
            (3 * YEAR + 40 * DAY, "3y40d"),
            (8 * YEAR - HOUR, "7y364d"),
            (8 * YEAR, "8y"),
            (9 * YEAR + 300 * DAY, "9y"),
        ];
        for (seconds, expected) in cases {
            assert_eq!(human(seconds), expected, "{seconds}");
        }
    }

    #[test]
    fn short_as_upstream() {
        let cases = [
            (-2, "<invalid>"),
            (-1, "0s"),
            (0, "0s"),
            (59, "59s"),
            (60, "1m"),
            (HOUR - 1, "59m"),
            (HOUR, "1h"),
            (DAY, "1d"),
            (YEAR - 1, "364d"),
            (YEAR, "1y"),
            (2 * YEAR - 1, "1y"),
        ];
        for (seconds, expected) in cases {
            assert_eq!(short_human(seconds), expected, "{seconds}");
        }
    }

    #[test]
    fn ages() {
        let at = |second, nanosecond| Timestamp::new(second, nanosecond).unwrap();
        assert_eq!(age(None, at(0, 0)), "<unknown>");
        assert_eq!(age(Some(&Time(at(100, 0))), at(105, 900_000_000)), "5s");
        assert_eq!(age(Some(&Time(at(100, 0))), at(98, 500_000_000)), "0s");
        assert_eq!(age(Some(&Time(at(100, 0))), at(90, 0)), "<invalid>");
    }
}
