//! Cron schedules in the grammar of the library that upstream uses (`robfig/cron` v3, "standard"): five fields, or a
//! descriptor such as `@daily` or `@every 1h30m`, with a time zone before them if need be.
//!
//! Whatever that library takes is taken here, and what it says of the rest is what [`Schedule::parse`] fails with.

pub mod duration;
mod zones;

use zones::split;
pub use zones::{check as check_time_zone, validate as validate_time_zone};

use crate::field::go_quote;

/// When something is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// The time zone that the schedule itself states.
    pub zone: Option<String>,
    /// When, in that zone.
    pub due: Due,
}

/// When something is due, in some time zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Due {
    /// At the times that fit.
    At(Times),
    /// Again after so many whole seconds, at least one.
    Every(i64),
}

/// Times of a calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// 0 to 59.
    pub minutes: Set,
    /// 0 to 23.
    pub hours: Set,
    /// 1 to 31. If neither these nor the weekdays are [`Set::any`], a day that fits one of the two fits.
    pub days: Set,
    /// 1 to 12.
    pub months: Set,
    /// 0 to 6, Sunday to Saturday.
    pub weekdays: Set,
}

/// Some of the numbers that a field may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Set {
    bits: u64,
    /// Whether the field says `*`, without a step.
    pub any: bool,
}

impl Set {
    /// Whether `number` is one of them.
    #[must_use]
    pub fn contains(self, number: u32) -> bool {
        number < u64::BITS && self.bits & (1 << number) != 0
    }
}

/// What the numbers of a field are.
struct Field {
    min: u64,
    max: u64,
    /// Names that stand for the numbers from `min` on.
    names: &'static [&'static str],
}

const MINUTES: Field = Field { min: 0, max: 59, names: &[] };
const HOURS: Field = Field { min: 0, max: 23, names: &[] };
const DAYS: Field = Field { min: 1, max: 31, names: &[] };
const MONTHS: Field = Field {
    min: 1,
    max: 12,
    names: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
};
const WEEKDAYS: Field = Field { min: 0, max: 6, names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"] };

const NANOSECONDS: i64 = 1_000_000_000;

impl Schedule {
    /// Reads a schedule.
    ///
    /// # Errors
    /// What is wrong with it, in the library's words.
    pub fn parse(text: &str) -> Result<Schedule, String> {
        if text.is_empty() {
            return Err("empty spec string".to_owned());
        }
        let (zone, text) = split(text)?;
        let due = if text.starts_with('@') { parse_descriptor(text)? } else { Due::At(parse_times(text)?) };
        Ok(Schedule { zone: zone.map(str::to_owned), due })
    }
}

fn parse_times(text: &str) -> Result<Times, String> {
    let fields: Vec<&str> = text.split_whitespace().collect();
    let [minutes, hours, days, months, weekdays] = fields[..] else {
        return Err(format!("expected exactly 5 fields, found {}: [{}]", fields.len(), fields.join(" ")));
    };
    Ok(Times {
        minutes: MINUTES.parse(minutes)?,
        hours: HOURS.parse(hours)?,
        days: DAYS.parse(days)?,
        months: MONTHS.parse(months)?,
        weekdays: WEEKDAYS.parse(weekdays)?,
    })
}

fn parse_descriptor(text: &str) -> Result<Due, String> {
    let fields = match text {
        "@yearly" | "@annually" => "0 0 1 1 *",
        "@monthly" => "0 0 1 * *",
        "@weekly" => "0 0 * * 0",
        "@daily" | "@midnight" => "0 0 * * *",
        "@hourly" => "0 * * * *",
        _ => {
            let Some(duration) = text.strip_prefix("@every ") else {
                return Err(format!("unrecognized descriptor: {text}"));
            };
            let nanoseconds =
                duration::parse(duration).map_err(|why| format!("failed to parse duration {text}: {why}"))?;
            return Ok(Due::Every((nanoseconds / NANOSECONDS).max(1)));
        }
    };
    parse_times(fields).map(Due::At)
}

impl Field {
    fn parse(&self, text: &str) -> Result<Set, String> {
        let mut set = Set { bits: 0, any: false };
        for range in text.split(',').filter(|range| !range.is_empty()) {
            let (bits, any) = self.parse_range(range)?;
            set.bits |= bits;
            set.any |= any;
        }
        Ok(set)
    }

    /// `*`, a number, or two numbers with a hyphen between them; and perhaps a step.
    fn parse_range(&self, range: &str) -> Result<(u64, bool), String> {
        let (limits, step): (&str, Option<&str>) = match range.split('/').collect::<Vec<_>>()[..] {
            [limits] => (limits, None),
            [limits, step] => (limits, Some(step)),
            // What else is wrong with it is reported first.
            [limits, ..] => (limits, None),
            [] => (range, None),
        };
        let limits: Vec<&str> = limits.split('-').collect();
        let mut any = matches!(limits[0], "*" | "?");
        let (start, mut end) = match limits[..] {
            _ if any => (self.min, self.max),
            [only] => {
                let number = self.number(only)?;
                (number, number)
            }
            [start, end] => (self.number(start)?, self.number(end)?),
            _ => {
                self.number(limits[0])?;
                return Err(format!("too many hyphens: {range}"));
            }
        };
        if range.matches('/').count() > 1 {
            return Err(format!("too many slashes: {range}"));
        }
        let step = step.map_or(Ok(1), parse_number)?;
        if range.contains('/') {
            if limits.len() == 1 {
                end = self.max;
            }
            any &= step <= 1;
        }
        if start < self.min {
            return Err(format!("beginning of range ({start}) below minimum ({}): {range}", self.min));
        }
        if end > self.max {
            return Err(format!("end of range ({end}) above maximum ({}): {range}", self.max));
        }
        if start > end {
            return Err(format!("beginning of range ({start}) beyond end of range ({end}): {range}"));
        }
        if step == 0 {
            return Err(format!("step of range should be a positive number: {range}"));
        }
        let bits = (start..=end)
            .step_by(usize::try_from(step).unwrap_or(usize::MAX))
            .fold(0, |bits, number| bits | 1 << number);
        Ok((bits, any))
    }

    fn number(&self, text: &str) -> Result<u64, String> {
        let lower = text.to_lowercase();
        match (self.min..).zip(self.names).find(|(_, name)| **name == lower) {
            Some((number, _)) => Ok(number),
            None => parse_number(text),
        }
    }
}

/// A number that is not negative.
fn parse_number(text: &str) -> Result<u64, String> {
    let failed =
        |reason: &str| format!("failed to parse int from {text}: strconv.Atoi: parsing {}: {reason}", go_quote(text));
    match text.parse::<i64>() {
        Ok(number) => u64::try_from(number).map_err(|_| format!("negative number ({number}) not allowed: {text}")),
        Err(error) => {
            use std::num::IntErrorKind::{NegOverflow, PosOverflow};
            let overflow = matches!(error.kind(), PosOverflow | NegOverflow);
            Err(failed(if overflow { "value out of range" } else { "invalid syntax" }))
        }
    }
}

#[cfg(test)]
mod tests;
