//! Messages to the kernel, one behind the other as it takes them: a header, and attributes that can have attributes.

use crate::Family;
use crate::uapi::message;

/// How long the header of a message is, and how long it is with what all messages of the packet filter begin with.
pub(crate) const HEADER: usize = 16;
pub(crate) const PREAMBLE: usize = HEADER + 4;

/// The number that the kernel has for a family.
pub(crate) const fn number(family: Family) -> u8 {
    match family {
        Family::Ip => 2,
        Family::Ip6 => 10,
    }
}

/// Attributes, one behind the other.
#[derive(Debug, Default)]
pub(crate) struct Attributes(Vec<u8>);

impl Attributes {
    /// An attribute of these bytes. What is too long for one is not written by anybody here.
    pub(crate) fn bytes(&mut self, kind: u16, value: &[u8]) {
        self.nested_as(kind, |inner| inner.0.extend_from_slice(value));
    }

    /// A text, with the zero behind it that the kernel wants. It refuses names of more than 255 bytes, and so it does not
    /// have to see the end of one that is longer than a message.
    pub(crate) fn text(&mut self, kind: u16, value: &str) {
        const ENOUGH: usize = 1024;
        self.nested_as(kind, |inner| {
            inner.0.extend(value.bytes().take(ENOUGH));
            inner.0.push(0);
        });
    }

    /// A number as the network has it.
    pub(crate) fn number(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_be_bytes());
    }

    /// Attributes in an attribute.
    pub(crate) fn nested(&mut self, kind: u16, write: impl FnOnce(&mut Attributes)) {
        const NESTED: u16 = 0x8000;
        self.nested_as(kind | NESTED, write);
    }

    /// Attributes that have been written already.
    pub(crate) fn append(&mut self, other: &Attributes) {
        self.0.extend_from_slice(&other.0);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    fn nested_as(&mut self, kind: u16, write: impl FnOnce(&mut Attributes)) {
        let start = self.0.len();
        self.0.extend_from_slice(&[0; 2]);
        self.0.extend_from_slice(&kind.to_ne_bytes());
        write(self);
        let length = u16::try_from(self.0.len() - start).expect("lists are cut before they are that long");
        self.0[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }
}

/// Messages that the kernel carries out all or none of.
#[derive(Debug)]
pub(crate) struct Batch {
    buffer: Attributes,
    /// Where each message begins, and which step it is for.
    messages: Vec<(usize, usize)>,
    step: usize,
}

impl Batch {
    /// A batch that nothing stands in.
    pub(crate) fn new() -> Batch {
        let mut batch = Batch { buffer: Attributes::default(), messages: Vec::new(), step: 0 };
        batch.bound(message::BATCH_BEGIN);
        batch
    }

    /// What is written from now on is for that step.
    pub(crate) fn at_step(&mut self, step: usize) {
        self.step = step;
    }

    /// Another message.
    pub(crate) fn message(&mut self, kind: u16, flags: u16, family: Family, write: impl FnOnce(&mut Attributes)) {
        self.write(kind, message::REQUEST | flags, [number(family), 0, 0, 0], write);
    }

    /// The bytes of the batch. Without an end the kernel looks whether it could carry it out, and does not do it.
    pub(crate) fn finish(mut self, end: bool) -> Sent {
        // The last one that is about something is acknowledged: kernels before 6.10 do not acknowledge the end.
        if let Some((start, _)) = self.messages.last() {
            let flags = &mut self.buffer.0[start + 6..start + 8];
            let set = u16::from_ne_bytes([flags[0], flags[1]]) | message::ACKNOWLEDGE;
            flags.copy_from_slice(&set.to_ne_bytes());
        }
        let last = self.messages.len() - 1;
        if end {
            self.bound(message::BATCH_END);
        }
        Sent { bytes: self.buffer.0, messages: self.messages, last }
    }

    fn bound(&mut self, kind: u16) {
        const NFTABLES: [u8; 4] = [0, 0, 0, 10];
        self.write(kind, message::REQUEST, NFTABLES, |_| ());
    }

    fn write(&mut self, kind: u16, flags: u16, preamble: [u8; 4], write: impl FnOnce(&mut Attributes)) {
        let start = self.buffer.0.len();
        let sequence = u32::try_from(self.messages.len()).unwrap_or(u32::MAX);
        self.messages.push((start, self.step));
        let bytes = &mut self.buffer.0;
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&flags.to_ne_bytes());
        bytes.extend_from_slice(&sequence.to_ne_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&preamble);
        write(&mut self.buffer);
        let length = u32::try_from(self.buffer.0.len() - start).unwrap_or(u32::MAX);
        self.buffer.0[start..start + 4].copy_from_slice(&length.to_ne_bytes());
    }
}

/// A batch as it is sent.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) bytes: Vec<u8>,
    messages: Vec<(usize, usize)>,
    last: usize,
}

impl Sent {
    /// Whether that is the message that is acknowledged.
    pub(crate) fn is_last(&self, sequence: u32) -> bool {
        usize::try_from(sequence) == Ok(self.last)
    }

    /// The step that a message is for. None is for none of them: the first one, and what is not ours.
    pub(crate) fn step(&self, sequence: u32) -> Option<usize> {
        let index = usize::try_from(sequence).ok().filter(|index| *index > 0)?;
        self.messages.get(index).map(|(_, step)| *step)
    }

    /// The name of the expression that is so far behind the beginning of a message.
    pub(crate) fn expression(&self, sequence: u32, offset: u32) -> Option<&str> {
        let (start, _) = self.messages.get(usize::try_from(sequence).ok()?)?;
        let item = self.bytes.get(start + usize::try_from(offset).ok()?..)?;
        let (kind, expression, _) = split(item)?;
        if kind != crate::uapi::LIST_ITEM {
            return None;
        }
        let (kind, name, _) = split(expression)?;
        (kind == crate::uapi::rule::EXPRESSION_NAME).then(|| text(name)).flatten()
    }
}

/// The first of some attributes: what kind it is, its value, and what is behind it.
pub(crate) fn split(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    const KIND: u16 = 0x3fff;
    let length = usize::from(u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?));
    let kind = u16::from_ne_bytes(bytes.get(2..4)?.try_into().ok()?) & KIND;
    let value = bytes.get(4..length)?;
    Some((kind, value, bytes.get(length.next_multiple_of(4)..).unwrap_or_default()))
}

/// The value of an attribute of that kind.
pub(crate) fn find(mut bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    while let Some((kind, value, rest)) = split(bytes) {
        if kind == wanted {
            return Some(value);
        }
        bytes = rest;
    }
    None
}

/// A text without the zero behind it.
pub(crate) fn text(value: &[u8]) -> Option<&str> {
    std::str::from_utf8(value).ok().map(|text| text.trim_end_matches('\0'))
}

/// A number as this machine has it, at that place.
pub(crate) fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// A message among others: its type, its flags, and all of it.
pub(crate) struct Received<'a> {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) bytes: &'a [u8],
}

/// The messages that came together.
pub(crate) fn received(mut bytes: &[u8]) -> impl Iterator<Item = Received<'_>> {
    std::iter::from_fn(move || {
        let length = usize::try_from(word(bytes, 0)?).ok().filter(|length| *length >= HEADER)?;
        let message = bytes.get(..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        let half = |at: usize| u16::from_ne_bytes([message[at], message[at + 1]]);
        Some(Received { kind: half(4), flags: half(6), bytes: message })
    })
}
