//! A watch stream in protobuf: frames of a big-endian length and a bare `meta/v1` WatchEvent, whose object is enveloped.

use serde_json::Value;

use super::wire::{self, BYTES, Reader};
use super::{Error, MAX_DEPTH, Problem, decode, encode};

const LENGTH_BYTES: usize = 4;

/// One frame: four bytes of length, then `{1 type, 2 object {1 raw}}`, `raw` being what [`encode()`] makes of `object`.
/// `kind` is `ADDED`, `MODIFIED`, `DELETED`, `BOOKMARK` or `ERROR`.
///
/// # Errors
///
/// As [`encode()`].
pub fn encode_watch_event(kind: &str, object: &[u8]) -> Result<Vec<u8>, Error> {
    let body = encode(object)?;
    let mut frame = Vec::with_capacity(LENGTH_BYTES + kind.len() + body.len() + 16);
    frame.extend_from_slice(&[0; LENGTH_BYTES]);
    wire::put_bytes(&mut frame, 1, kind.as_bytes());
    let start = wire::open(&mut frame, 2);
    wire::put_bytes(&mut frame, 1, &body);
    wire::close(&mut frame, start);
    let length = (frame.len() - LENGTH_BYTES) as u32;
    frame[..LENGTH_BYTES].copy_from_slice(&length.to_be_bytes());
    Ok(frame)
}

/// The first whole frame of a buffer without its length, and what follows it; `None` when more bytes are needed.
pub fn split_frame(buffer: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = buffer.split_first_chunk::<LENGTH_BYTES>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    rest.split_at_checked(length)
}

/// The type and the object of one frame, given without its length.
///
/// # Errors
///
/// As [`decode()`].
pub fn decode_watch_event(frame: &[u8]) -> Result<(String, Value), Error> {
    let mut reader = Reader::new(frame, 0);
    let (mut kind, mut object) = (String::new(), None);
    while let Some((number, wire)) = reader.tag()? {
        match number {
            1 => {
                reader.expect(wire, BYTES)?;
                reader.delimited()?.text()?.clone_into(&mut kind);
            }
            2 => {
                reader.expect(wire, BYTES)?;
                object = Some(raw_extension(reader.delimited()?)?);
            }
            _ => reader.skip(wire)?,
        }
    }
    let object = object.ok_or_else(|| reader.fail(Problem::Truncated))?;
    Ok((kind, decode::envelope(object, MAX_DEPTH)?))
}

fn raw_extension(mut reader: Reader<'_>) -> Result<Reader<'_>, Error> {
    let mut raw = Reader::new(&[], reader.offset());
    while let Some((number, wire)) = reader.tag()? {
        if number == 1 {
            reader.expect(wire, BYTES)?;
            raw = reader.delimited()?;
        } else {
            reader.skip(wire)?;
        }
    }
    Ok(raw)
}
