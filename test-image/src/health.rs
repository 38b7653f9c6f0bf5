//! The gRPC health protocol, as much of HTTP/2 as that needs: whatever is asked, the answer is whether it is ready.
//!
//! Headers of requests are skipped unread, so that none need be decoded, and those of answers are written in the plain way
//! that every client understands.

use std::io::{self, BufRead, Read, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::state::State;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The longest frame there is unless both sides agree on more.
const FRAME: usize = 16_384;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GO_AWAY: u8 = 7;

const ACKNOWLEDGED: u8 = 1;
const END_OF_STREAM: u8 = 1;
const END_OF_HEADERS: u8 = 4;

/// Serves a connection until the client ends it.
pub(crate) fn serve(state: &Arc<State>, mut reader: impl BufRead, mut writer: impl Write) -> io::Result<()> {
    let mut preface = [0; PREFACE.len()];
    reader.read_exact(&mut preface)?;
    if preface != PREFACE {
        return Ok(());
    }
    frame(&mut writer, SETTINGS, 0, 0, &[])?;
    loop {
        let mut head = [0; 9];
        reader.read_exact(&mut head)?;
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        if length > FRAME {
            return Ok(());
        }
        let (kind, flags) = (head[3], head[4]);
        let stream = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
        let mut payload = Vec::new();
        reader.by_ref().take(length as u64).read_to_end(&mut payload)?;
        match kind {
            SETTINGS if flags & ACKNOWLEDGED == 0 => frame(&mut writer, SETTINGS, ACKNOWLEDGED, 0, &[])?,
            PING if flags & ACKNOWLEDGED == 0 => frame(&mut writer, PING, ACKNOWLEDGED, 0, &payload)?,
            DATA | HEADERS if flags & END_OF_STREAM != 0 => {
                answer(&mut writer, stream, state.ready.load(Ordering::Relaxed))?;
            }
            GO_AWAY => return Ok(()),
            _ => {}
        }
    }
}

fn answer(writer: &mut impl Write, stream: u32, serving: bool) -> io::Result<()> {
    // `:status: 200` is the eighth of the headers that every client knows.
    let mut headers = vec![0x88];
    header(&mut headers, "content-type", "application/grpc");
    frame(writer, HEADERS, END_OF_HEADERS, stream, &headers)?;
    // Not compressed, two bytes: field 1, which is SERVING (1) or NOT_SERVING (2).
    frame(writer, DATA, 0, stream, &[0, 0, 0, 0, 2, 0x08, if serving { 1 } else { 2 }])?;
    let mut trailers = Vec::new();
    header(&mut trailers, "grpc-status", "0");
    frame(writer, HEADERS, END_OF_HEADERS | END_OF_STREAM, stream, &trailers)?;
    writer.flush()
}

/// A header with a new name that nobody need remember. Both are shorter than 127 bytes.
fn header(into: &mut Vec<u8>, name: &str, value: &str) {
    into.push(0);
    for text in [name, value] {
        into.push(u8::try_from(text.len().min(126)).unwrap_or(126));
        into.extend(text.bytes().take(126));
    }
}

fn frame(writer: &mut impl Write, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> io::Result<()> {
    let length = u32::try_from(payload.len()).map_err(io::Error::other)?.to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    writer.write_all(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_answers_whether_it_is_ready() {
        let state = Arc::new(State::default());
        for (ready, status) in [(true, 1), (false, 2)] {
            state.ready.store(ready, Ordering::Relaxed);
            let mut asked = PREFACE.to_vec();
            frame(&mut asked, SETTINGS, 0, 0, &[]).unwrap();
            frame(&mut asked, HEADERS, END_OF_HEADERS, 1, &[0x82]).unwrap();
            frame(&mut asked, PING, 0, 0, b"12345678").unwrap();
            frame(&mut asked, DATA, END_OF_STREAM, 1, &[0; 5]).unwrap();
            let mut answered = Vec::new();
            let ended = serve(&state, asked.as_slice(), &mut answered);
            assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
            let has = |bytes: &[u8]| answered.windows(bytes.len()).any(|window| window == bytes);
            assert!(has(b"12345678"));
            assert!(has(&[0, 0, 0, 0, 2, 8, status]));
            assert!(has(b"grpc-status\x010"));
        }
        assert!(serve(&state, [b'x'; 24].as_slice(), Vec::new()).is_ok());
    }
}
