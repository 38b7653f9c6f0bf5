//! The names of rotated logs: `0.log.20260301-120000`, with `.1` and so on behind it if there were several in a second, and
//! `.gz` once compressed. What ends in `.tmp` was being compressed. Pure.

use std::ffi::{OsStr, OsString};

use jiff::Timestamp;

/// When a log was rotated, to be ordered by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Stamp {
    /// `20260301-120000`, in UTC.
    time: String,
    /// How many there were in this second before.
    number: u32,
}

/// A log that was rotated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rotated {
    pub(super) stamp: Stamp,
    pub(super) name: OsString,
    pub(super) compressed: bool,
}

/// What there is of a log beside itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Files {
    /// What was rotated, the oldest first.
    pub(super) rotated: Vec<Rotated>,
    /// What an agent left that was ended meanwhile: half an archive, or what is in one.
    pub(super) unused: Vec<OsString>,
}

/// What of a directory's names is about a log.
pub(super) fn of(log: &OsStr, names: &[OsString]) -> Files {
    let mut files = Files::default();
    for name in names {
        let Some(suffix) = suffix_of(log, name) else { continue };
        if suffix.strip_suffix(".tmp").is_some_and(|stamp| Stamp::parse(stamp).is_some()) {
            files.unused.push(name.clone());
            continue;
        }
        let (stamp, compressed) = match suffix.strip_suffix(".gz") {
            Some(stamp) => (stamp, true),
            None => (suffix, false),
        };
        if let Some(stamp) = Stamp::parse(stamp) {
            files.rotated.push(Rotated { stamp, name: name.clone(), compressed });
        }
    }
    files.rotated.sort_by(|one, other| (&one.stamp, !one.compressed).cmp(&(&other.stamp, !other.compressed)));
    // An archive is given its name when it is whole, so the original beside it is of no use any more.
    let mut index = 1;
    while index < files.rotated.len() {
        if files.rotated[index].stamp == files.rotated[index - 1].stamp {
            files.unused.push(files.rotated.remove(index).name);
        } else {
            index += 1;
        }
    }
    files
}

/// When a file of a log was rotated, if it was.
pub(super) fn stamp_of(log: &OsStr, name: &OsStr) -> Option<Stamp> {
    let suffix = suffix_of(log, name)?;
    Stamp::parse(suffix.strip_suffix(".gz").unwrap_or(suffix))
}

/// The name for a log that is rotated now. It comes after all that were rotated before, even if the clock was set back.
pub(super) fn next_name(log: &OsStr, now: Timestamp, files: &Files) -> OsString {
    let now = Stamp { time: now.strftime("%Y%m%d-%H%M%S").to_string(), number: 0 };
    let stamp = match files.rotated.last() {
        Some(last) if last.stamp >= now => Stamp { number: last.stamp.number + 1, ..last.stamp.clone() },
        _ => now,
    };
    let mut name = log.to_owned();
    name.push(format!(".{}", stamp.time));
    if stamp.number > 0 {
        name.push(format!(".{}", stamp.number));
    }
    name
}

/// A name with something behind it.
pub(super) fn with(name: &OsStr, suffix: &str) -> OsString {
    let mut name = name.to_owned();
    name.push(suffix);
    name
}

fn suffix_of<'a>(log: &OsStr, name: &'a OsStr) -> Option<&'a str> {
    name.to_str()?.strip_prefix(log.to_str()?)?.strip_prefix('.')
}

impl Stamp {
    fn parse(text: &str) -> Option<Stamp> {
        let (time, number) = match text.split_once('.') {
            Some((time, number)) => (time, number.parse().ok()?),
            None => (text, 0),
        };
        let (date, clock) = time.split_once('-')?;
        let digits = |text: &str, count| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
        (digits(date, 8) && digits(clock, 6)).then(|| Stamp { time: time.to_owned(), number })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<OsString> {
        names.iter().map(OsString::from).collect()
    }

    #[test]
    fn files_are_sorted_and_leftovers_found() {
        let files = of(
            OsStr::new("0.log"),
            &names(&[
                "0.log",
                "0.log.20260301-120001.gz",
                "0.log.20260301-120001.2",
                "0.log.20260301-120001.10",
                "0.log.20260301-120000.1.gz",
                "0.log.20260301-120000",
                "0.log.20260301-120000.gz",
                "0.log.20260301-115959.tmp",
                "0.log.tmp",
                "0.log.today",
                "1.log.20260301-120000",
                "10.log",
            ]),
        );
        let rotated: Vec<_> = files.rotated.iter().map(|rotated| rotated.name.to_str().unwrap()).collect();
        let expected = [
            "0.log.20260301-120000.gz",
            "0.log.20260301-120000.1.gz",
            "0.log.20260301-120001.gz",
            "0.log.20260301-120001.2",
            "0.log.20260301-120001.10",
        ];
        assert_eq!(rotated, expected);
        assert_eq!(files.unused, ["0.log.20260301-115959.tmp", "0.log.20260301-120000"]);
    }

    #[test]
    fn names_only_ever_go_up() {
        let log = OsStr::new("0.log");
        let now: Timestamp = "2026-03-01T12:00:00.7Z".parse().unwrap();
        for (there, expected) in [
            (&[][..], "0.log.20260301-120000"),
            (&["0.log.20260301-115959"][..], "0.log.20260301-120000"),
            (&["0.log.20260301-120000.gz"][..], "0.log.20260301-120000.1"),
            (&["0.log.20260301-120000.9"][..], "0.log.20260301-120000.10"),
            (&["0.log.20260301-130000"][..], "0.log.20260301-130000.1"),
        ] {
            let files = of(log, &names(there));
            let name = next_name(log, now, &files);
            assert_eq!(name, expected);
            assert!(stamp_of(log, &name) > files.rotated.last().map(|last| last.stamp.clone()));
        }
        assert_eq!(stamp_of(log, OsStr::new("0.log")), None);
    }
}
