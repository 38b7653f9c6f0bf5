//! Questions and replies as they are on the wire.
//!
//! Whatever bytes come in, [`read`] either has one question of class IN to be answered, or says what the answer to the bytes
//! is, or that they get none; and what [`write`] makes is never longer than the client takes. What is refused, and with which
//! code, is as upstream's server has it.

use hickory_proto::op::{Edns, Message, MessageType, Metadata, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, RData, Record};
use hickory_proto::serialize::binary::{BinEncodable, BinEncoder};

use super::answer::{Question, Reply};

/// The size of a header.
const HEADER: usize = 12;
/// Where the count of answers is in it.
const ANSWERS: usize = 6;
/// The bit of the third byte that says that something is missing.
const TRUNCATED: u8 = 0x02;
/// An OPT record without options.
const OPT: usize = 11;
/// A record but for its data, if its name is a pointer.
const FIXED: usize = 12;
/// A pointer to the name right after the header.
const NAME_ASKED_FOR: u16 = 0xC000 | HEADER as u16;
/// By how much more than it takes in the end a record may need to be written: a name as a whole.
const SLACK: u16 = 300;
/// What a client takes that states nothing.
const PLAIN_SIZE: u16 = 512;
/// What we take in one datagram: what passes everywhere without being cut in pieces.
pub(super) const OWN_SIZE: u16 = 1_232;

/// How a message came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    /// In a datagram.
    Udp,
    /// Over a connection.
    Tcp,
}

/// A question, and how its answer is to be put.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) question: Question,
    /// The client wants what proves an answer.
    pub(super) dnssec_ok: bool,
    /// The client checks proofs itself.
    pub(super) checking_disabled: bool,
    /// The client understands when an answer is marked as proven.
    authentic: bool,
    recursion: bool,
    id: u16,
    query: Query,
    edns: bool,
    /// How long a reply may be.
    size: u16,
}

/// What is to be done about a message.
#[derive(Debug)]
pub(super) enum Incoming {
    /// To answer it.
    Request(Box<Request>),
    /// To send these bytes back.
    Answered(Vec<u8>, ResponseCode),
    /// Nothing. It is no request at all.
    Ignored,
}

/// Reads a message.
pub(super) fn read(bytes: &[u8], transport: Transport) -> Incoming {
    let Some(header) = bytes.first_chunk::<HEADER>() else { return Incoming::Ignored };
    let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let (id, flags) = (word(0), word(2));
    if flags & 0x8000 != 0 {
        return Incoming::Ignored;
    }
    let op_code = OpCode::from_u8(u8::try_from(flags >> 11 & 0xF).unwrap_or_default());
    let bare = |code| answered(Message::error_msg(id, op_code, code), flags, code);
    if op_code != OpCode::Query {
        return bare(ResponseCode::NotImp);
    }
    // One question; an IXFR may carry the SOA record of the client, and OPT and TSIG are additional.
    if word(4) != 1 || word(6) > 1 || word(8) > 1 || word(10) > 2 {
        return bare(ResponseCode::FormErr);
    }
    let Ok(mut message) = Message::from_vec(bytes) else { return bare(ResponseCode::FormErr) };
    let Some(query) = message.queries.pop() else { return bare(ResponseCode::FormErr) };
    let refused = |code, edns| {
        let mut reply = Message::error_msg(id, op_code, code);
        reply.add_query(query.clone());
        reply.edns = edns;
        answered(reply, flags, code)
    };
    if message.edns.as_ref().is_some_and(|edns| edns.version() != 0) {
        return refused(ResponseCode::BADVERS, Some(own_edns(false)));
    }
    if query.query_class() != DNSClass::IN {
        return refused(ResponseCode::Refused, message.edns.map(|_| own_edns(false)));
    }
    let stated = message.edns.as_ref().map_or(PLAIN_SIZE, Edns::max_payload);
    let dnssec_ok = message.edns.as_ref().is_some_and(|edns| edns.flags().dnssec_ok);
    Incoming::Request(Box::new(Request {
        question: Question { name: query.name().clone(), kind: query.query_type() },
        dnssec_ok,
        checking_disabled: message.metadata.checking_disabled,
        authentic: dnssec_ok || message.metadata.authentic_data,
        recursion: message.metadata.recursion_desired,
        id,
        query,
        edns: message.edns.is_some(),
        size: if transport == Transport::Tcp { u16::MAX } else { stated.max(PLAIN_SIZE) },
    }))
}

fn own_edns(dnssec_ok: bool) -> Edns {
    let mut edns = Edns::new();
    edns.set_max_payload(OWN_SIZE).set_dnssec_ok(dnssec_ok);
    edns
}

fn answered(mut reply: Message, flags: u16, code: ResponseCode) -> Incoming {
    reply.metadata.recursion_desired = flags & 0x0100 != 0;
    match reply.to_vec() {
        Ok(bytes) => Incoming::Answered(bytes, code),
        Err(_) => Incoming::Ignored,
    }
}

/// Writes the reply to a request, with as many of its records as the client takes: the additional ones go first, and if then
/// not all answers fit, the client is told to ask again over a connection. `authoritative` says whether it is from this
/// server's own knowledge, `authentic` whether it was proven.
pub(super) fn write(request: &Request, reply: Reply, authoritative: bool, authentic: bool) -> Vec<u8> {
    let mut metadata = Metadata::new(request.id, MessageType::Response, OpCode::Query);
    metadata.recursion_desired = request.recursion;
    metadata.recursion_available = true;
    metadata.authoritative = authoritative;
    metadata.authentic_data = authentic && request.authentic;
    metadata.checking_disabled = request.checking_disabled;
    metadata.response_code = reply.code;
    let mut message = Message::new(request.id, MessageType::Response, OpCode::Query);
    message.metadata = metadata;
    message.queries = vec![request.query.clone()];
    message.answers = reply.answers;
    message.authorities = reply.authorities;
    message.additionals = reply.additionals;
    message.edns = request.edns.then(|| own_edns(request.dnssec_ok));
    if let Some(bytes) = addresses(&mut message, request.size).or_else(|| fitting(&message, request.size)) {
        return bytes;
    }
    message.additionals.clear();
    if let Some(bytes) = fitting(&message, request.size) {
        return bytes;
    }
    message.authorities.clear();
    cut(message, request.size)
}

/// The message in no more than `room` bytes, with as many records as the encoder finds place for there.
fn encoded(message: &Message, room: u16) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(PLAIN_SIZE.into());
    let mut encoder = BinEncoder::new(&mut bytes);
    encoder.set_max_size(room);
    message.emit(&mut encoder).ok()?;
    Some(bytes)
}

/// The message with as many of its answers as fit, if these are addresses of the name that was asked for, and nothing else is
/// to be said. Nearly all replies are such, and the longest ones; the encoder would write the name anew for each record after
/// the 120th.
fn addresses(message: &mut Message, size: u16) -> Option<Vec<u8>> {
    let name = message.queries.first()?.name();
    let is_one = |record: &Record| {
        matches!(record.data, RData::A(_) | RData::AAAA(_))
            && record.dns_class == DNSClass::IN
            && record.name.eq_case(name)
    };
    let alone = message.authorities.is_empty() && message.additionals.is_empty();
    if !alone || message.answers.is_empty() || !message.answers.iter().all(is_one) {
        return None;
    }
    let answers = std::mem::take(&mut message.answers);
    let mut bytes = encoded(message, u16::MAX)?;
    let opt = bytes.split_off(bytes.len() - if message.edns.is_some() { OPT } else { 0 });
    let mut count: u16 = 0;
    for record in &answers {
        let data: &[u8] = match &record.data {
            RData::A(address) => &address.0.octets(),
            RData::AAAA(address) => &address.0.octets(),
            _ => &[],
        };
        if bytes.len() + FIXED + data.len() + opt.len() > size.into() {
            bytes[2] |= TRUNCATED;
            break;
        }
        bytes.extend(NAME_ASKED_FOR.to_be_bytes());
        bytes.extend(u16::from(record.record_type()).to_be_bytes());
        bytes.extend(u16::from(DNSClass::IN).to_be_bytes());
        bytes.extend(record.ttl.to_be_bytes());
        bytes.extend(u16::try_from(data.len()).unwrap_or_default().to_be_bytes());
        bytes.extend(data);
        count += 1;
    }
    bytes[ANSWERS..ANSWERS + 2].copy_from_slice(&count.to_be_bytes());
    bytes.extend(opt);
    Some(bytes)
}

/// The whole message, if it is no longer than that. The encoder needs more room than a name takes in the end, so it has
/// all there is.
fn fitting(message: &Message, size: u16) -> Option<Vec<u8>> {
    let bytes = encoded(message, u16::MAX)?;
    (bytes.len() <= size.into() && is_whole(&bytes, message)).then_some(bytes)
}

/// The message with as many answers as fit, marked as cut.
fn cut(mut message: Message, size: u16) -> Vec<u8> {
    message.metadata.truncation = true;
    let most = encoded(&message, size.saturating_add(SLACK)).and_then(|bytes| count(&bytes, ANSWERS));
    message.answers.truncate(most.unwrap_or_default());
    loop {
        if let Some(bytes) = fitting(&message, size) {
            return bytes;
        }
        if message.answers.pop().is_none() {
            return encoded(&message, size).unwrap_or_default();
        }
    }
}

/// A count in the header of a message.
fn count(bytes: &[u8], at: usize) -> Option<usize> {
    Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]).into())
}

/// Whether the counts in the header are those of the message: the encoder leaves out what has no place.
fn is_whole(bytes: &[u8], message: &Message) -> bool {
    let additionals = message.additionals.len() + usize::from(message.edns.is_some());
    let counts =
        [(ANSWERS, message.answers.len()), (ANSWERS + 2, message.authorities.len()), (ANSWERS + 4, additionals)];
    counts.into_iter().all(|(at, expected)| count(bytes, at) == Some(expected))
}

#[cfg(test)]
mod tests;
