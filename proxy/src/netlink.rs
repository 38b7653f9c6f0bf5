//! Messages to and from the kernel (netlink), as far as this crate needs them: requests that are answered by many messages,
//! and many requests that are answered by one each.
//!
//! What the kernel sends is never trusted to be as long as it says: a message or an attribute that is cut short ends the
//! reading of what it is in.

use std::io;
use std::time::Duration;

use rustix::fd::OwnedFd;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType};
use rustix::net::{connect, recv, send, socket_with};

const HEADER: usize = 16;
const ATTRIBUTE_HEADER: usize = 4;
/// What tells that the attribute has attributes in it, or is in the network's byte order, and is no part of its name.
const TYPE_MASK: u16 = 0x3fff;
const NESTED: u16 = 0x8000;

// Flags of messages.
const REQUEST: u16 = 0x1;
const ACKNOWLEDGE: u16 = 0x4;
const INTERRUPTED: u16 = 0x10;
const DUMP: u16 = 0x300;

// Types of messages that are of no subsystem.
const ERROR: u16 = 2;
const DONE: u16 = 3;

/// The most that the kernel sends at once is 32 KiB.
const BUFFER: usize = 64 * 1024;
/// How many bytes of requests are sent at once.
const SENT: usize = 16 * 1024;
/// The kernel answers at once; if it does not, something is wrong.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a dump is begun again during which the kernel changed what it reads.
const DUMPS: u32 = 4;

/// A way to a subsystem of the kernel.
pub(crate) struct Socket {
    fd: OwnedFd,
    buffer: Vec<u8>,
}

/// A request: its type, and what follows the header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) kind: u16,
    pub(crate) body: Vec<u8>,
}

/// A message as it came.
struct Received<'a> {
    kind: u16,
    flags: u16,
    sequence: u32,
    body: &'a [u8],
}

impl Socket {
    /// A socket to the subsystem of this protocol; without one, it is the one for routes and addresses.
    pub(crate) fn open(protocol: Option<Protocol>) -> io::Result<Socket> {
        let fd = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, protocol)?;
        set_socket_timeout(&fd, Timeout::Recv, Some(PATIENCE))?;
        connect(&fd, &SocketAddrNetlink::new(0, 0))?;
        Ok(Socket { fd, buffer: vec![0; BUFFER] })
    }

    /// Asks for everything that a request is about, and returns what each message had in it.
    pub(crate) fn dump(&mut self, request: &Message) -> io::Result<Vec<Vec<u8>>> {
        for attempt in 1..=DUMPS {
            let (found, is_whole) = self.dump_once(request, attempt)?;
            if is_whole || attempt == DUMPS {
                // What is missing by now is of a table that never rests.
                return Ok(found);
            }
        }
        Ok(Vec::new())
    }

    fn dump_once(&mut self, request: &Message, sequence: u32) -> io::Result<(Vec<Vec<u8>>, bool)> {
        send_all(&self.fd, &encode(request, REQUEST | DUMP, sequence))?;
        let (mut found, mut is_whole) = (Vec::new(), true);
        loop {
            let length = receive(&self.fd, &mut self.buffer)?;
            for message in messages(&self.buffer[..length]).filter(|message| message.sequence == sequence) {
                is_whole &= message.flags & INTERRUPTED == 0;
                match message.kind {
                    DONE => return Ok((found, is_whole)),
                    ERROR => check(message.body)?,
                    _ => found.push(message.body.to_vec()),
                }
            }
        }
    }

    /// Has every request done, and returns what came of each, in order.
    pub(crate) fn ask(&mut self, requests: &[Message]) -> io::Result<Vec<io::Result<()>>> {
        let mut outcomes = Vec::with_capacity(requests.len());
        let mut sent = 0;
        while sent < requests.len() {
            let mut bytes = Vec::new();
            let begin = sent;
            while sent < requests.len() && bytes.len() < SENT {
                bytes.extend(encode(&requests[sent], REQUEST | ACKNOWLEDGE, sequence_of(sent)));
                sent += 1;
            }
            send_all(&self.fd, &bytes)?;
            let mut expected = begin;
            while expected < sent {
                let length = receive(&self.fd, &mut self.buffer)?;
                for message in messages(&self.buffer[..length]) {
                    if message.kind == ERROR && message.sequence == sequence_of(expected) {
                        outcomes.push(check(message.body));
                        expected += 1;
                    }
                }
            }
        }
        Ok(outcomes)
    }
}

fn sequence_of(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

fn send_all(fd: &OwnedFd, bytes: &[u8]) -> io::Result<()> {
    // A datagram goes as a whole or not at all.
    send(fd, bytes, SendFlags::empty()).map(drop).map_err(io::Error::from)
}

fn receive(fd: &OwnedFd, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match recv(fd, &mut *buffer, RecvFlags::empty()) {
            Ok((_, 0)) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok((_, length)) => return Ok(length.min(buffer.len())),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// What an answer says that may be an error: 0 is none.
fn check(body: &[u8]) -> io::Result<()> {
    match body.first_chunk().map(|code| i32::from_ne_bytes(*code)) {
        Some(0) => Ok(()),
        Some(code) => Err(io::Error::from_raw_os_error(code.wrapping_neg())),
        None => Err(io::ErrorKind::InvalidData.into()),
    }
}

fn encode(message: &Message, flags: u16, sequence: u32) -> Vec<u8> {
    let length = HEADER + message.body.len();
    let mut bytes = Vec::with_capacity(length.next_multiple_of(4));
    bytes.extend(u32::try_from(length).unwrap_or(u32::MAX).to_ne_bytes());
    bytes.extend(message.kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    bytes.extend(0_u32.to_ne_bytes());
    bytes.extend(&message.body);
    bytes.resize(length.next_multiple_of(4), 0);
    bytes
}

fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Received<'_>> {
    std::iter::from_fn(move || {
        let header = bytes.get(..HEADER)?;
        let length = usize::try_from(u32::from_ne_bytes(*header.first_chunk()?)).ok()?;
        let kind = u16::from_ne_bytes(*header.get(4..)?.first_chunk()?);
        let flags = u16::from_ne_bytes(*header.get(6..)?.first_chunk()?);
        let sequence = u32::from_ne_bytes(*header.get(8..)?.first_chunk()?);
        let body = bytes.get(HEADER..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Received { kind, flags, sequence, body })
    })
}

/// The attributes in these bytes: the type of each, and what is in it.
pub(crate) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(*bytes.first_chunk()?));
        let kind = u16::from_ne_bytes(*bytes.get(2..)?.first_chunk()?) & TYPE_MASK;
        let value = bytes.get(ATTRIBUTE_HEADER..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// What is in the attribute of this type.
pub(crate) fn attribute(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes).find(|(found, _)| *found == kind).map(|(_, value)| value)
}

/// Adds an attribute; `nested` if it has attributes in it.
pub(crate) fn put(bytes: &mut Vec<u8>, kind: u16, value: &[u8], nested: bool) {
    let length = u16::try_from(ATTRIBUTE_HEADER + value.len()).unwrap_or(u16::MAX);
    bytes.extend(length.to_ne_bytes());
    bytes.extend((if nested { kind | NESTED } else { kind }).to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_read_as_they_were_written() {
        let mut inner = Vec::new();
        put(&mut inner, 1, &[7], false);
        put(&mut inner, 2, &[1, 2, 3, 4], false);
        let mut bytes = Vec::new();
        put(&mut bytes, 3, &inner, true);
        put(&mut bytes, 4, &[], false);
        let nested = attribute(&bytes, 3).unwrap();
        assert_eq!(attributes(nested).collect::<Vec<_>>(), [(1, &[7][..]), (2, &[1, 2, 3, 4][..])]);
        assert_eq!(attribute(&bytes, 4), Some(&[][..]));
        assert_eq!(attribute(&bytes, 5), None);
    }

    #[test]
    fn what_is_cut_short_ends_the_reading() {
        let mut bytes = Vec::new();
        put(&mut bytes, 1, &[1, 2, 3, 4], false);
        put(&mut bytes, 2, &[1, 2, 3, 4], false);
        for length in 0..bytes.len() {
            let found = attributes(&bytes[..length]).count();
            assert_eq!(found, length / 8, "{length}");
        }
        // A length that is less than the header's own must not be an endless loop.
        assert_eq!(attributes(&[0, 0, 1, 0, 9, 9, 9, 9]).count(), 0);
        assert_eq!(messages(&[0; 64]).count(), 0);
        let one = encode(&Message { kind: 9, body: vec![1, 2, 3] }, REQUEST, 5);
        let both = [one.clone(), one].concat();
        let read: Vec<_> = messages(&both).map(|it| (it.kind, it.flags, it.sequence, it.body.to_vec())).collect();
        assert_eq!(read, [(9, REQUEST, 5, vec![1, 2, 3]), (9, REQUEST, 5, vec![1, 2, 3])]);
        assert_eq!(messages(&both[..both.len() - 4]).count(), 1);
    }

    #[test]
    fn errors_are_the_kernels_numbers() {
        assert!(check(&0_i32.to_ne_bytes()).is_ok());
        let error = check(&(-2_i32).to_ne_bytes()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(check(&[]).is_err());
    }
}
