//! Where the last lines of a file begin, found from its end in blocks: a file that is large costs no more than its last
//! lines.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// How much is read at a time.
const BLOCK: usize = 64 << 10;

/// The place from which on there are `lines` ends of lines in the first `size` bytes of a file, or its beginning if it has
/// no more.
pub(super) fn begin_of_last(file: &File, size: u64, lines: u64) -> io::Result<u64> {
    let mut block = vec![0; BLOCK];
    let mut right = size;
    let mut seen = 0;
    while right > 0 {
        let left = right.saturating_sub(BLOCK as u64);
        let read = &mut block[..usize::try_from(right - left).unwrap_or(BLOCK)];
        file.read_exact_at(read, left)?;
        for (index, _) in read.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n') {
            if seen == lines {
                return Ok(left + index as u64 + 1);
            }
            seen += 1;
        }
        right = left;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn the_last_lines_are_found_whatever_their_length() {
        let mut file = tempfile::tempfile().unwrap();
        let lines: Vec<String> = (0..200).map(|number| "x".repeat(number * 37 % 9000) + "\n").collect();
        let text = lines.concat();
        file.write_all(text.as_bytes()).unwrap();
        file.write_all(b"unended").unwrap();
        for (count, end) in [(0, ""), (1, "unended"), (5, ""), (199, ""), (200, ""), (201, ""), (1000, "unended")] {
            let size = text.len() + end.len();
            let begin = begin_of_last(&file, size as u64, count).unwrap();
            let first = lines.len().saturating_sub(usize::try_from(count).unwrap());
            let expected = lines[..first].concat().len();
            assert_eq!(begin, expected as u64, "{count}");
        }
        assert_eq!(begin_of_last(&file, 0, 5).unwrap(), 0);
    }
}
