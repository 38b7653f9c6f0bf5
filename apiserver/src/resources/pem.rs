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
pub(super) fn decode(data: &[u8]) -> Option<(Block, &[u8])> {
    let mut rest = data;
    loop {
        rest = match rest.strip_prefix(&BEGIN[1..]) {
            Some(after) => after,
            None => &rest[find(rest, BEGIN)? + BEGIN.len()..],
        };
        let (label, after) = first_line(rest);
        rest = after;
        let Some(label) = label.strip_suffix(DASHES) else { continue };
        let mut has_headers = false;
        loop {
            if rest.is_empty() {
                return None;
            }
            let (line, next) = first_line(rest);
            if !line.contains(&b':') {
                break;
            }
            (has_headers, rest) = (true, next);
        }
        if let Some((bytes, after)) = body(rest, label, has_headers) {
            let label = String::from_utf8_lossy(label).into_owned();
            return Some((Block { label, has_headers, bytes }, after));
        }
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

/// The data of a block whose headers end where `rest` begins, and what follows the block.
fn body<'a>(rest: &'a [u8], label: &[u8], has_headers: bool) -> Option<(Vec<u8>, &'a [u8])> {
    // A block without data may end right after its first line.
    let (end, trailer) = if !has_headers && rest.starts_with(&END[1..]) {
        (0, END.len() - 1)
    } else {
        let end = find(rest, END)?;
        (end, end + END.len())
    };
    let after_label = rest[trailer..].strip_prefix(label)?.strip_prefix(DASHES)?;
    if !first_line(after_label).0.is_empty() {
        return None;
    }
    let encoded: Vec<u8> = rest[..end].iter().copied().filter(|byte| !b" \t\r\n".contains(byte)).collect();
    let bytes = STANDARD.decode(encoded).ok()?;
    Some((bytes, first_line(after_label).1))
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
    }

    proptest! {
        #[test]
        fn whatever_the_text_it_ends(text in "(-----BEGIN |-----END |-----|A|\n|YWJj|: | ){0,24}") {
            let count = blocks(text.as_bytes()).count();
            prop_assert!(count <= text.len());
        }
    }
}
