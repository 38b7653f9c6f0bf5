//! The first page of a store: whose file this is, and in which format.
//!
//! It is written once, when the store is made, and read before anything else, so that a file that is not ours or that a
//! later version wrote is refused without a byte of it changed. The layout of these 28 bytes is the same in all formats:
//!
//! | offset | bytes | what |
//! | --- | --- | --- |
//! | 0 | 16 | [`MAGIC`] |
//! | 16 | 4 | format, little-endian |
//! | 20 | 8 | FNV-1a of the bytes before, little-endian |

use std::io;
use std::path::Path;

use super::disk::{Disk, io_error};
use crate::error::OpenError;

/// How many bytes of the disk come before the engine's: one page, so that the engine's pages stay aligned.
pub(super) const HEADER_BYTES: u64 = 4096;

/// The newest format that this version writes, and the newest that it reads.
pub(super) const FORMAT: u32 = 1;

/// Like PNG's: a line end and an end-of-file mark, which a transfer as text would spoil.
const MAGIC: [u8; 16] = *b"Gantry store\r\n\x1a\n";

const USED: usize = 28;

/// Writes the header; the disk is at least [`HEADER_BYTES`] long afterwards.
pub(super) fn write(disk: &dyn Disk) -> io::Result<()> {
    if disk.len()? < HEADER_BYTES {
        disk.set_len(HEADER_BYTES)?;
    }
    disk.write_at(0, &encode(FORMAT))
}

/// Checks that `disk` holds a store in a format that this version reads. `path` is for the error.
pub(super) fn check(disk: &dyn Disk, path: &Path) -> Result<(), OpenError> {
    let not_a_store = |detail: String| OpenError::NotAStore { path: path.to_owned(), detail };
    let len = disk.len().map_err(|source| io_error(path, source))?;
    let mut header = [0; USED];
    let present = usize::try_from(len).unwrap_or(USED).min(USED);
    disk.read_at(0, &mut header[..present]).map_err(|source| io_error(path, source))?;
    if header[..16] != MAGIC {
        return Err(not_a_store(format!(
            "it begins with \"{}\" where \"{}\" was expected",
            header[..present.min(16)].escape_ascii(),
            MAGIC.escape_ascii()
        )));
    }
    let damaged = |detail: &str| OpenError::Damaged { path: path.to_owned(), detail: detail.to_owned() };
    if header[20..] != fnv1a(&header[..20]).to_le_bytes() {
        return Err(damaged("the checksum of its header does not match"));
    }
    let found = u32::from_le_bytes([header[16], header[17], header[18], header[19]]);
    if found > FORMAT {
        return Err(OpenError::NewerFormat { path: path.to_owned(), found, supported: FORMAT });
    }
    if found == 0 {
        return Err(damaged("its header names format 0, which never was"));
    }
    if len <= HEADER_BYTES {
        return Err(damaged("it ends with its header"));
    }
    Ok(())
}

fn encode(format: u32) -> [u8; USED] {
    let mut header = [0; USED];
    header[..16].copy_from_slice(&MAGIC);
    header[16..20].copy_from_slice(&format.to_le_bytes());
    let sum = fnv1a(&header[..20]);
    header[20..].copy_from_slice(&sum.to_le_bytes());
    header
}

fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::super::disk::FileDisk;
    use super::*;

    fn check_bytes(bytes: &[u8]) -> Result<(), OpenError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, bytes).unwrap();
        let result = check(&FileDisk::open(&path).unwrap(), &path);
        assert_eq!(std::fs::read(&path).unwrap(), bytes, "checking changes nothing");
        result
    }

    fn page(header: [u8; USED]) -> Vec<u8> {
        let mut page = header.to_vec();
        page.resize(5000, 0);
        page
    }

    #[test]
    fn only_a_store_of_a_known_format_passes() {
        assert!(check_bytes(&page(encode(FORMAT))).is_ok());
        let newer = check_bytes(&page(encode(FORMAT + 6)));
        assert!(matches!(newer, Err(OpenError::NewerFormat { found: 7, supported: 1, .. })), "{newer:?}");

        for (what, bytes) in [
            ("empty", &b""[..]),
            ("short", b"Gantry"),
            ("SQLite", b"SQLite format 3\0 and so on, for longer than a header"),
            ("as text", b"Gantry store\n\n\x1a\n, followed by more than enough"),
        ] {
            let result = check_bytes(bytes);
            assert!(matches!(result, Err(OpenError::NotAStore { .. })), "{what}: {result:?}");
        }

        let mut flipped = page(encode(FORMAT));
        flipped[16] ^= 2;
        for (what, bytes) in [("a flipped bit", &flipped[..]), ("format 0", &page(encode(0))), ("cut", &encode(FORMAT))]
        {
            let result = check_bytes(bytes);
            assert!(matches!(result, Err(OpenError::Damaged { .. })), "{what}: {result:?}");
        }
    }
}
