//! Sets of completion indexes in text form, such as `1,3-5`: increasing numbers and intervals below the number of completions.

use api::field::go_quote;

/// How many indexes `text` names.
///
/// # Errors
/// What is wrong with the text, in upstream's words.
pub(super) fn count(text: &str, completions: i32) -> Result<i32, String> {
    if text.is_empty() {
        return Ok(0);
    }
    let (mut last, mut total) = (None, 0);
    for interval in text.split(',') {
        let (first, end) = parse_interval(interval, completions)?;
        if let Some(last) = last.filter(|last| *last >= first) {
            return Err(format!("non-increasing order, previous: {last}, current: {first}"));
        }
        total += end - first + 1;
        last = Some(end);
    }
    Ok(total)
}

/// The first index found that both texts name. What is malformed in them is passed over.
pub(super) fn overlap(completed: &str, failed: &str, completions: i32) -> Option<i32> {
    let intervals = |text: &str| {
        let intervals = text.split(',').filter_map(|interval| parse_interval(interval, completions).ok());
        intervals.collect::<Vec<(i32, i32)>>()
    };
    let (completed, failed) = (intervals(completed), intervals(failed));
    let (mut completed, mut failed) = (completed.iter().peekable(), failed.iter().peekable());
    while let (Some((first, end)), Some((other_first, other_end))) = (completed.peek(), failed.peek()) {
        if first <= other_end && other_first <= end {
            return Some(*first.max(other_first));
        }
        if first <= other_first {
            completed.next();
        } else {
            failed.next();
        }
    }
    None
}

fn parse_interval(interval: &str, completions: i32) -> Result<(i32, i32), String> {
    let limits: Vec<&str> = interval.split('-').collect();
    let index = |text: &str| {
        let number: i64 =
            text.parse().map_err(|_| format!("cannot convert string to integer for index: {}", go_quote(text)))?;
        match i32::try_from(number) {
            Ok(number) if number < completions => Ok(number),
            _ => Err(format!("too large index: {}", go_quote(text))),
        }
    };
    match limits[..] {
        [only] => index(only).map(|index| (index, index)),
        [first, end] => {
            let (first, end) = (index(first)?, index(end)?);
            if first >= end {
                return Err(format!("non-increasing order, previous: {first}, current: {end}"));
            }
            Ok((first, end))
        }
        _ => Err(format!(
            "the fragment {} violates the requirement that an index interval can have at most two parts separated by '-'",
            go_quote(interval)
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_as_upstream() {
        let check = |text: &str, expected: Result<i32, &str>| {
            assert_eq!(count(text, 10), expected.map_err(str::to_owned), "{text}");
        };
        check("", Ok(0));
        check("0", Ok(1));
        check("0,2-4,9", Ok(5));
        check(
            "1-3-5",
            Err("the fragment \"1-3-5\" violates the requirement that an index interval can have at most two \
                            parts separated by '-'"),
        );
        check("a", Err("cannot convert string to integer for index: \"a\""));
        check("1-", Err("cannot convert string to integer for index: \"\""));
        check("10", Err("too large index: \"10\""));
        check("1-99999999999", Err("too large index: \"99999999999\""));
        check("3-3", Err("non-increasing order, previous: 3, current: 3"));
        check("1,1", Err("non-increasing order, previous: 1, current: 1"));
        check("1-4,3", Err("non-increasing order, previous: 4, current: 3"));
    }

    #[test]
    fn overlaps_are_found() {
        let check = |completed: &str, failed: &str, expected: Option<i32>| {
            assert_eq!(overlap(completed, failed, 10), expected, "{completed} {failed}");
        };
        check("", "", None);
        check("0-3", "4-5", None);
        check("0,2,4-6", "1,3,6-8", Some(6));
        check("x,5", "y,5", Some(5));
        check("0-8", "3", Some(3));
        check("9", "1,2", None);
    }
}
