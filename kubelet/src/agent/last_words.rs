//! What a container said last, for those that left no termination message of their own.

use std::io::SeekFrom;
use std::path::Path;

use tokio::io::{AsyncReadExt, AsyncSeekExt};

/// The most bytes and lines that count (upstream's numbers).
const BYTES: usize = 2048;
const LINES: usize = 80;
/// How much of the end of a log is read: lines begin with a time and a stream, which do not count.
const READ: u64 = 16 << 10;

/// The end of a container's log.
pub(super) async fn of_log(path: &Path) -> Option<String> {
    let mut file = tokio::fs::File::open(path).await.ok()?;
    let length = file.metadata().await.ok()?.len();
    let from = length.saturating_sub(READ);
    file.seek(SeekFrom::Start(from)).await.ok()?;
    let mut bytes = Vec::new();
    file.take(READ).read_to_end(&mut bytes).await.ok()?;
    let text = String::from_utf8_lossy(&bytes);
    // A line that began before what was read is not whole.
    let whole = if from == 0 { &*text } else { text.split_once('\n').map_or("", |(_, rest)| rest) };
    let words = end_of(whole);
    if words.is_empty() { None } else { Some(words) }
}

/// The end of what the lines of a log say.
fn end_of(log: &str) -> String {
    let mut said: Vec<String> = Vec::new();
    let mut open = false;
    for line in log.lines() {
        let mut fields = line.splitn(4, ' ');
        let (Some(_), Some(_), Some(tag)) = (fields.next(), fields.next(), fields.next()) else { continue };
        let text = fields.next().unwrap_or_default();
        match said.last_mut() {
            Some(last) if open => last.push_str(text),
            _ => said.push(text.to_owned()),
        }
        open = tag.starts_with('P');
        if !open && let Some(last) = said.last_mut() {
            last.push('\n');
        }
    }
    let first = said.len().saturating_sub(LINES);
    let all = said[first..].concat();
    let mut from = all.len().saturating_sub(BYTES);
    while !all.is_char_boundary(from) {
        from += 1;
    }
    all[from..].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_counts() {
        let check = |log: &str, expected: &str| assert_eq!(end_of(log), expected, "{log}");
        check("", "");
        check("2020-01-01T00:00:00Z stdout F one\n2020-01-01T00:00:00Z stderr F two\n", "one\ntwo\n");
        check("t stdout P on\nt stdout F e\nt stdout F  two words\n", "one\n two words\n");
        check("t stdout F \nt stdout P cut", "\ncut");
        check("torn", "");
        let lines: String = (0..100).map(|number| format!("t stdout F {number}\n")).collect();
        let expected: String = (20..100).map(|number| format!("{number}\n")).collect();
        check(&lines, &expected);
        let long = format!("t stdout F {}é{}\n", "a".repeat(10), "b".repeat(2046));
        check(&long, &format!("{}\n", "b".repeat(2046)));
    }

    #[tokio::test]
    async fn only_whole_lines_of_a_long_log_count() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("0.log");
        let line = format!("t stdout F {}\n", "x".repeat(1000));
        tokio::fs::write(&path, line.repeat(40)).await.unwrap();
        let words = of_log(&path).await.unwrap();
        assert!(words.len() <= BYTES && words.ends_with("x\n"), "{words}");
        assert_eq!(of_log(&directory.path().join("none")).await, None);
    }
}
