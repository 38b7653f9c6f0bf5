//! Blocks of PEM as Go's `encoding/pem` finds them: what is no block, or a broken one, is text between blocks.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

const BEGIN: &[u8] = b"\n-----BEGIN ";
const END: &[u8] = b"\n-----END ";
const DASHES: &[u8] = b"-----";

/// The label of a certificate's block.
pub(super) const CERTIFICATE: &str = "CERTIFICATE";
/// The label of a signing request's block.
pub(super) const CERTIFICATE_REQUEST: &str = "CERTIFICATE REQUEST";

/// One block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Block {
    /// What stands after `BEGIN`.
    pub(super) label: String,
    /// Whether there are headers before the data.
    pub(super) has_headers: bool,
    /// The data.
    pub(super) bytes: Vec<u8>,
}

/// The first block of `data`, and what follows it.
///
/// Every piece of the data is looked at a fixed number of times, however many beginnings or ends it has: a block is sought by
/// its end, and begins at the last beginning before that.
pub(super) fn decode(data: &[u8]) -> Option<(Block, &[u8])> {
    let mut from = 0;
    loop {
        let end = from + find(&data[from..], END)?;
        if let Some(begin) = last_beginning(&data[from..end])
            && let Some(found) = block(data, from + begin, end)
        {
            return Some(found);
        }
        from = end + END.len();
    }
}

/// All blocks of `data`.
pub(super) fn blocks(mut data: &[u8]) -> impl Iterator<Item = Block> {
    std::iter::from_fn(move || {
        let (block, rest) = decode(data)?;
        data = rest;
        Some(block)
    })
}

/// Where the last line starts that begins a block.
fn last_beginning(data: &[u8]) -> Option<usize> {
    let begin = &BEGIN[1..];
    let at = data.windows(begin.len()).rposition(|window| window == begin)?;
    (at == 0 || data[at - 1] == b'\n').then_some(at)
}

/// The block whose first line is at `begin`, and before whose last line is the end of a line at `end`; and what follows it.
fn block(data: &[u8], begin: usize, end: usize) -> Option<(Block, &[u8])> {
    let (line, rest) = first_line(&data[begin + BEGIN.len() - 1..]);
    let label = line.strip_suffix(DASHES)?;
    let mut at = data.len() - rest.len();
    let mut has_headers = false;
    while at < end {
        let (line, rest) = first_line(&data[at..]);
        if !line.contains(&b':') {
            break;
        }
        (has_headers, at) = (true, data.len() - rest.len());
    }
    // Without headers, a block may end right after its first line.
    if has_headers && end < at {
        return None;
    }
    let after_label = data[end + END.len()..].strip_prefix(label)?.strip_prefix(DASHES)?;
    let (trailer, rest) = first_line(after_label);
    if !trailer.is_empty() {
        return None;
    }
    let encoded = data.get(at..end).unwrap_or_default();
    let encoded: Vec<u8> = encoded.iter().copied().filter(|byte| !b" \t\r\n".contains(byte)).collect();
    let bytes = STANDARD.decode(encoded).ok()?;
    Some((Block { label: String::from_utf8_lossy(label).into_owned(), has_headers, bytes }, rest))
}

/// The first line without the space at its end, and what follows it.
fn first_line(data: &[u8]) -> (&[u8], &[u8]) {
    let (mut line, rest) = match data.iter().position(|byte| *byte == b'\n') {
        Some(at) => (&data[..at], &data[at + 1..]),
        None => (data, &data[data.len()..]),
    };
    while let Some(shorter) = line.strip_suffix(b" ").or(line.strip_suffix(b"\t")).or(line.strip_suffix(b"\r")) {
        line = shorter;
    }
    (line, rest)
}

fn find(data: &[u8], wanted: &[u8]) -> Option<usize> {
    data.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn blocks_as_go_finds_them() {
        let check = |text: &str, expected: &[(&str, bool, &[u8])]| {
            let found: Vec<_> = blocks(text.as_bytes()).collect();
            let found: Vec<_> = found.iter().map(|b| (b.label.as_str(), b.has_headers, b.bytes.as_slice())).collect();
            assert_eq!(found, expected, "{text:?}");
        };
        let a = "-----BEGIN A-----\nYWJj\n-----END A-----\n";
        check("", &[]);
        check("no block", &[]);
        check(a, &[("A", false, b"abc")]);
        check(&a.replace('\n', "\r\n"), &[("A", false, b"abc")]);
        check(&format!("text\n{a}between\n{a}after"), &[("A", false, b"abc"), ("A", false, b"abc")]);
        check(&format!("x{a}"), &[]);
        check("-----BEGIN A-----\nKey: value\n\nYWJj\n-----END A-----\n", &[("A", true, b"abc")]);
        check("-----BEGIN A-----\n-----END A-----\n", &[("A", false, b"")]);
        check("-----BEGIN A-----\nYWJj\n-----END B-----\n", &[]);
        check(&format!("-----BEGIN A-----\nYW\n-----END A-----\n{a}"), &[("A", false, b"abc")]);
        check("-----BEGIN A-----\nYWJj\n-----END A-----x\n", &[]);
        check("-----BEGIN A\nYWJj\n-----END A-----\n", &[]);
        check("-----BEGIN A-----\nYWJj\n-----END A-----", &[("A", false, b"abc")]);
        check("-----BEGIN A-----", &[]);
        check("-----BEGIN A-----\nKey: value\n-----END A-----\n", &[]);
        check("-----BEGIN A-----\nKey: value\n\n-----END A-----\n", &[("A", true, b"")]);
        check(&format!("-----BEGIN B-----\n{a}"), &[("A", false, b"abc")]);
        check(&format!("-----END B-----\n{a}\n-----END B-----\n{a}"), &[("A", false, b"abc"), ("A", false, b"abc")]);
    }

    proptest! {
        #[test]
        fn whatever_the_text_it_ends(text in "(-----BEGIN |-----END |-----|A|\n|YWJj|: | ){0,24}") {
            let count = blocks(text.as_bytes()).count();
            prop_assert!(count <= text.len());
        }
    }
}
