//! Protobuf's wire format: varints, tags and lengths, written to a buffer and read with every length checked.

use super::{Error, Problem};

/// The wire types in use. Groups (3 and 4) are skipped on reading and never written.
pub(super) const VARINT: u8 = 0;
pub(super) const FIXED64: u8 = 1;
pub(super) const BYTES: u8 = 2;
const GROUP_START: u8 = 3;
const GROUP_END: u8 = 4;
const FIXED32: u8 = 5;

/// Nested unknown groups that a reader skips before it gives up.
const MAX_GROUPS: usize = 32;

/// Appends a varint.
pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a field's key.
pub(super) fn put_tag(out: &mut Vec<u8>, number: u8, wire: u8) {
    put_varint(out, u64::from(number) << 3 | u64::from(wire));
}

/// Appends a length-delimited field.
pub(super) fn put_bytes(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    put_tag(out, number, BYTES);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends a length-delimited field whose length is known only afterwards: returns where its content starts.
pub(super) fn open(out: &mut Vec<u8>, number: u8) -> usize {
    put_tag(out, number, BYTES);
    out.push(0);
    out.len()
}

/// Ends what [`open`] began at `start`. One byte was set aside for the length; a longer one moves the content.
pub(super) fn close(out: &mut Vec<u8>, start: usize) {
    let length = out.len() - start;
    let mut more = 0;
    let mut rest = length >> 7;
    while rest > 0 {
        more += 1;
        rest >>= 7;
    }
    if more > 0 {
        out.resize(out.len() + more, 0);
        out.copy_within(start..start + length, start + more);
    }
    let mut value = length;
    for byte in &mut out[start - 1..start + more] {
        *byte = value as u8 | 0x80;
        value >>= 7;
    }
    out[start - 1 + more] &= 0x7f;
}

/// Reads one message, knowing where in the whole input it stands.
#[derive(Clone, Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
    /// Offset of `bytes` in the whole input, for errors.
    base: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8], base: usize) -> Self {
        Self { bytes, position: 0, base }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.position == self.bytes.len()
    }

    /// What is left to read.
    pub(super) fn rest(&self) -> &'a [u8] {
        &self.bytes[self.position..]
    }

    /// Offset of the next byte in the whole input.
    pub(super) fn offset(&self) -> usize {
        self.base + self.position
    }

    pub(super) fn fail(&self, problem: Problem) -> Error {
        Error::Wire { offset: self.offset(), problem }
    }

    pub(super) fn varint(&mut self) -> Result<u64, Error> {
        let mut value = 0_u64;
        for shift in 0..10 {
            let Some(&byte) = self.bytes.get(self.position + shift) else { return Err(self.fail(Problem::Truncated)) };
            // The tenth byte holds the last bit of 64.
            if shift == 9 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << (7 * shift);
            if byte < 0x80 {
                self.position += shift + 1;
                return Ok(value);
            }
        }
        Err(self.fail(Problem::Varint))
    }

    fn take(&mut self, length: u64) -> Result<Reader<'a>, Error> {
        let left = self.rest();
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let Some(bytes) = left.get(..length) else { return Err(self.fail(Problem::Truncated)) };
        let taken = Reader::new(bytes, self.offset());
        self.position += length;
        Ok(taken)
    }

    pub(super) fn fixed64(&mut self) -> Result<u64, Error> {
        let taken = self.take(8)?;
        let bytes = taken.bytes.try_into().map_err(|_| taken.fail(Problem::Truncated))?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// The content of a length-delimited field.
    pub(super) fn delimited(&mut self) -> Result<Reader<'a>, Error> {
        let mut ahead = self.clone();
        let length = ahead.varint()?;
        let taken = ahead.take(length)?;
        *self = ahead;
        Ok(taken)
    }

    pub(super) fn text(&self) -> Result<&'a str, Error> {
        std::str::from_utf8(self.rest())
            .map_err(|error| Error::Wire { offset: self.offset() + error.valid_up_to(), problem: Problem::Utf8 })
    }

    /// The next field's number and wire type; `None` at the end of the message.
    pub(super) fn tag(&mut self) -> Result<Option<(u32, u8)>, Error> {
        if self.is_empty() {
            return Ok(None);
        }
        let before = self.clone();
        let key = self.varint()?;
        match u32::try_from(key >> 3) {
            Ok(number) if (1..1 << 29).contains(&number) => Ok(Some((number, (key & 7) as u8))),
            _ => Err(before.fail(Problem::FieldNumber)),
        }
    }

    pub(super) fn expect(&self, found: u8, expected: u8) -> Result<(), Error> {
        if found == expected { Ok(()) } else { Err(self.fail(Problem::WireType)) }
    }

    /// Passes over the value of an unknown field.
    pub(super) fn skip(&mut self, wire: u8) -> Result<(), Error> {
        let mut groups = 0_usize;
        let mut wire = wire;
        loop {
            match wire {
                VARINT => {
                    self.varint()?;
                }
                FIXED64 => {
                    self.take(8)?;
                }
                BYTES => {
                    self.delimited()?;
                }
                FIXED32 => {
                    self.take(4)?;
                }
                GROUP_START if groups < MAX_GROUPS => groups += 1,
                GROUP_START => return Err(self.fail(Problem::Depth)),
                GROUP_END if groups > 0 => groups -= 1,
                _ => return Err(self.fail(Problem::WireType)),
            }
            if groups == 0 {
                return Ok(());
            }
            wire = self.tag()?.ok_or_else(|| self.fail(Problem::Truncated))?.1;
        }
    }
}
