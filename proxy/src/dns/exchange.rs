//! Asking another server one question.
//!
//! Every question goes out from a port of its own and under a number by chance, and only an answer from the server asked, to
//! that number and that question, counts; what else comes is not listened to. What was cut in a datagram is asked for again
//! over a connection, and a server that cannot make sense of EDNS is asked without.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

use super::cache::{Heard, Key};
use super::message::OWN_SIZE;

/// The longest datagram that is taken. A server should send none longer than [`OWN_SIZE`].
const LONGEST: usize = 4_096;

/// Why a server gave no answer.
#[derive(Debug, Error)]
pub(super) enum ExchangeError {
    /// The network, or the server's machine.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The question cannot be put in a message.
    #[error("the question cannot be written: {0}")]
    Unwritable(#[from] hickory_proto::ProtoError),
    /// What came over the connection does not answer the question.
    #[error("the server answered something else")]
    OtherAnswer,
}

/// Asks a server, and returns what it says, whatever that is. It is for the caller to bound the time.
pub(super) async fn ask(server: SocketAddr, key: &Key) -> Result<Heard, ExchangeError> {
    let heard = ask_plainly(server, key, true).await?;
    let is_old = !key.dnssec_ok && matches!(heard.reply.code, ResponseCode::FormErr | ResponseCode::NotImp);
    if is_old { ask_plainly(server, key, false).await } else { Ok(heard) }
}

async fn ask_plainly(server: SocketAddr, key: &Key, edns: bool) -> Result<Heard, ExchangeError> {
    let question = message(key, edns);
    let bytes = question.to_vec()?;
    let (reply, size) = over_udp(server, &question, &bytes).await?;
    if !reply.metadata.truncation {
        return Ok(Heard::new(reply, size));
    }
    let (reply, size) = over_tcp(server, &question, &bytes).await?;
    Ok(Heard::new(reply, size))
}

/// The message that asks.
fn message(key: &Key, edns: bool) -> Message {
    let mut message = Message::new(rand::random(), MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.metadata.authentic_data = true;
    message.metadata.checking_disabled = key.checking_disabled;
    message.add_query(Query::query(key.question.name.clone(), key.question.kind));
    if edns {
        let mut edns = Edns::new();
        edns.set_max_payload(OWN_SIZE).set_dnssec_ok(key.dnssec_ok);
        message.set_edns(edns);
    }
    message
}

async fn over_udp(server: SocketAddr, question: &Message, bytes: &[u8]) -> Result<(Message, usize), ExchangeError> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    socket.send(bytes).await?;
    let mut buffer = [0; LONGEST];
    loop {
        let size = socket.recv(&mut buffer).await?;
        if let Some(reply) = reply_to(question, &buffer[..size]) {
            return Ok((reply, size));
        }
    }
}

async fn over_tcp(server: SocketAddr, question: &Message, bytes: &[u8]) -> Result<(Message, usize), ExchangeError> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(bytes.len()).map_err(|_| ExchangeError::OtherAnswer)?;
    let mut framed = length.to_be_bytes().to_vec();
    framed.extend_from_slice(bytes);
    stream.write_all(&framed).await?;
    let size = stream.read_u16().await?;
    let mut buffer = vec![0; size.into()];
    stream.read_exact(&mut buffer).await?;
    let reply = reply_to(question, &buffer).ok_or(ExchangeError::OtherAnswer)?;
    Ok((reply, size.into()))
}

/// The message if it is a reply to this one. One that says that something is wrong may leave out the question.
fn reply_to(question: &Message, bytes: &[u8]) -> Option<Message> {
    // The count of questions is looked at first, for what is read is made room for.
    let count = u16::from_be_bytes([*bytes.get(4)?, *bytes.get(5)?]);
    if count > 1 {
        return None;
    }
    let reply = Message::from_vec(bytes).ok()?;
    let fits = reply.metadata.id == question.metadata.id
        && reply.metadata.message_type == MessageType::Response
        && reply.metadata.op_code == OpCode::Query;
    let same = reply.queries == question.queries;
    let wrong = reply.queries.is_empty() && reply.metadata.response_code != ResponseCode::NoError;
    (fits && (same || wrong)).then_some(reply)
}

#[cfg(test)]
mod tests {
    use hickory_proto::rr::rdata::{CNAME, SOA};
    use hickory_proto::rr::{Name, RData, Record, RecordType};
    use proptest::prelude::*;

    use super::*;
    use crate::dns::answer::Question;
    use crate::dns::message::{Incoming, Transport, read, write};

    fn key() -> Key {
        let question = Question { name: Name::from_ascii("www.example.com.").unwrap(), kind: RecordType::A };
        Key { question, dnssec_ok: false, checking_disabled: false }
    }

    /// A reply with names in its data, which point back to one another.
    fn good(question: &Message) -> Vec<u8> {
        let mut reply = Message::response(question.metadata.id, OpCode::Query);
        reply.queries.clone_from(&question.queries);
        let name = |text| Name::from_ascii(text).unwrap();
        let alias = RData::CNAME(CNAME(name("web.example.com.")));
        reply.add_answer(Record::from_rdata(name("www.example.com."), 60, alias));
        let soa = SOA::new(name("ns.example.com."), name("admin.example.com."), 1, 2, 3, 4, 5);
        reply.add_authority(Record::from_rdata(name("example.com."), 60, RData::SOA(soa)));
        reply.set_edns(Edns::new());
        reply.to_vec().unwrap()
    }

    proptest! {
        #[test]
        fn whatever_comes_back_is_a_reply_or_is_not(
            damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
            cut in any::<prop::sample::Index>(),
            other in proptest::option::weighted(0.2, proptest::collection::vec(any::<u8>(), 0..300)),
        ) {
            let question = message(&key(), true);
            prop_assert!(reply_to(&question, &good(&question)).is_some());
            let mut bytes = other.unwrap_or_else(|| good(&question));
            if !bytes.is_empty() {
                for (at, value) in damage {
                    let at = at.index(bytes.len());
                    bytes[at] = value;
                }
                bytes.truncate(cut.index(bytes.len()) + 1);
            }
            if let Some(reply) = reply_to(&question, &bytes) {
                prop_assert_eq!(reply.metadata.id, question.metadata.id);
                // What was taken can be said again.
                let heard = Heard::new(reply, bytes.len());
                let said = heard.said(&key().question, None);
                prop_assert_eq!(said.answers.len(), heard.reply.answers.len());
                let asked = question.to_vec().unwrap();
                let Incoming::Request(request) = read(&asked, Transport::Udp) else { panic!("it is a question") };
                let written = Message::from_vec(&write(&request, said, false, false));
                prop_assert!(written.is_ok(), "{:?}", written);
            }
        }
    }
}
