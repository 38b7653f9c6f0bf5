//! Whatever bytes come in, none break anything; and replies are as long as they may be.

use std::net::Ipv4Addr;

use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{Name, RecordType};
use proptest::prelude::*;

use super::*;

fn asked(kind: RecordType) -> Message {
    let mut message = Message::new(7, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii("Web.a.svc.cluster.local.").unwrap(), kind));
    message
}

fn with_edns(size: u16) -> Message {
    let mut message = asked(RecordType::A);
    let mut edns = Edns::new();
    edns.set_max_payload(size).set_dnssec_ok(true);
    message.set_edns(edns);
    message
}

fn request(message: &Message, transport: Transport) -> Request {
    match read(&message.to_vec().unwrap(), transport) {
        Incoming::Request(request) => *request,
        other => panic!("{other:?}"),
    }
}

/// The reply that is sent back at once.
fn sent_back(bytes: &[u8]) -> Message {
    match read(bytes, Transport::Udp) {
        Incoming::Answered(bytes, code) => {
            let reply = Message::from_vec(&bytes).unwrap();
            assert_eq!(u16::from(reply.metadata.response_code), u16::from(code));
            assert_eq!(reply.metadata.message_type, MessageType::Response);
            reply
        }
        other => panic!("{other:?}"),
    }
}

fn addresses(count: u32) -> Reply {
    let owner = Name::from_ascii("Web.a.svc.cluster.local.").unwrap();
    let record = |number| Record::from_rdata(owner.clone(), 30, RData::A(A(Ipv4Addr::from(0x0A00_0000 + number))));
    Reply { answers: (0..count).map(record).collect(), ..Reply::only(ResponseCode::NoError) }
}

#[test]
fn a_question_is_read_with_its_case() {
    let plain = request(&asked(RecordType::SRV), Transport::Udp);
    assert_eq!(plain.question.name.to_ascii(), "Web.a.svc.cluster.local.");
    assert_eq!((plain.question.kind, plain.size, plain.dnssec_ok), (RecordType::SRV, 512, false));
    let check = |size: u16, transport, expected: u16| {
        let request = request(&with_edns(size), transport);
        assert_eq!((request.size, request.dnssec_ok), (expected, true));
    };
    check(4096, Transport::Udp, 4096);
    check(100, Transport::Udp, 512);
    check(1232, Transport::Tcp, u16::MAX);
}

#[test]
fn what_is_no_question_of_ours_is_sent_back() {
    let check = |change: &dyn Fn(&mut Message), code: ResponseCode| {
        let mut message = asked(RecordType::A);
        change(&mut message);
        let reply = sent_back(&message.to_vec().unwrap());
        // BADVERS is BADSIG as well, by its number.
        assert_eq!((reply.metadata.id, u16::from(reply.metadata.response_code)), (7, u16::from(code)));
        assert!(reply.metadata.recursion_desired);
    };
    let question = || asked(RecordType::A).queries.remove(0);
    check(&|message| message.queries.clear(), ResponseCode::FormErr);
    check(&|message| message.queries.push(question()), ResponseCode::FormErr);
    check(&|message| message.answers = addresses(2).answers, ResponseCode::FormErr);
    check(&|message| message.metadata.op_code = OpCode::Update, ResponseCode::NotImp);
    check(&|message| message.metadata.op_code = OpCode::Notify, ResponseCode::NotImp);
    check(&|message| message.metadata.op_code = OpCode::Status, ResponseCode::NotImp);
    for class in [DNSClass::CH, DNSClass::ANY, DNSClass::Unknown(77)] {
        check(&|message| _ = message.queries[0].set_query_class(class), ResponseCode::Refused);
    }
    check(
        &|message| {
            let mut edns = Edns::new();
            edns.set_version(1);
            message.set_edns(edns);
        },
        ResponseCode::BADVERS,
    );
    // A header and nothing else, and a question that is cut.
    let bytes = asked(RecordType::A).to_vec().unwrap();
    assert_eq!(sent_back(&bytes[..12]).metadata.response_code, ResponseCode::FormErr);
    assert_eq!(sent_back(&bytes[..bytes.len() - 1]).metadata.response_code, ResponseCode::FormErr);
    assert!(matches!(read(&bytes[..11], Transport::Udp), Incoming::Ignored));
    let mut reply = bytes;
    reply[2] |= 0x80;
    assert!(matches!(read(&reply, Transport::Udp), Incoming::Ignored), "replies are not answered");
}

#[test]
fn replies_say_what_they_are() {
    let request = request(&with_edns(1232), Transport::Udp);
    let bytes = write(&request, addresses(2), true, true);
    let reply = Message::from_vec(&bytes).unwrap();
    assert_eq!(reply.queries[0].name().to_ascii(), "Web.a.svc.cluster.local.");
    assert_eq!(reply.answers[0].name.to_ascii(), "Web.a.svc.cluster.local.");
    let flags = reply.metadata;
    assert_eq!((flags.id, flags.authoritative, flags.recursion_desired), (7, true, true));
    assert!(flags.recursion_available && flags.authentic_data && !flags.truncation);
    let edns = reply.edns.unwrap();
    assert_eq!((edns.max_payload(), edns.flags().dnssec_ok, edns.version()), (OWN_SIZE, true, 0));
    let plain = self::request(&asked(RecordType::A), Transport::Udp);
    let reply = Message::from_vec(&write(&plain, addresses(1), false, true)).unwrap();
    assert!(reply.edns.is_none() && !reply.metadata.authentic_data && !reply.metadata.authoritative);
}

#[test]
fn additional_records_go_before_an_answer_is_cut() {
    let request = request(&asked(RecordType::A), Transport::Udp);
    let mut reply = addresses(20);
    reply.additionals = addresses(40).answers;
    let reply = Message::from_vec(&write(&request, reply, true, false)).unwrap();
    assert_eq!((reply.answers.len(), reply.additionals.len(), reply.metadata.truncation), (20, 0, false));
}

#[test]
fn even_a_connection_takes_no_more_than_65535_bytes() {
    let request = request(&asked(RecordType::A), Transport::Tcp);
    let bytes = write(&request, addresses(5_000), true, false);
    let reply = Message::from_vec(&bytes).unwrap();
    assert!(reply.metadata.truncation);
    assert!(bytes.len() > 65_000 && reply.answers.len() > 4_000, "{}", bytes.len());
}

proptest! {
    #[test]
    fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        check_any(&bytes)?;
    }

    #[test]
    fn questions_with_any_damage_are_read(
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
        tail in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        let mut bytes = with_edns(1232).to_vec().unwrap();
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        bytes.truncate(cut.index(bytes.len()) + 1);
        bytes.extend(tail);
        check_any(&bytes)?;
    }

    #[test]
    fn other_replies_fit_as_well(count in 0_u16..200, size in 512_u16..9_000, edns in any::<bool>()) {
        let message = if edns { with_edns(size) } else { asked(RecordType::SRV) };
        let request = request(&message, Transport::Udp);
        let mut reply = addresses(count.into());
        reply.additionals = std::mem::take(&mut reply.answers);
        for number in 0..count {
            let target = Name::from_ascii(format!("host-{number}.web.a.svc.cluster.local.")).unwrap();
            let data = RData::SRV(hickory_proto::rr::rdata::SRV::new(0, 1, number, target));
            reply.answers.push(Record::from_rdata(request.question.name.clone(), 30, data));
        }
        let bytes = write(&request, reply, true, false);
        prop_assert!(bytes.len() <= usize::from(request.size));
        let reply = Message::from_vec(&bytes).unwrap();
        prop_assert_eq!(reply.metadata.truncation, reply.answers.len() < count.into());
        prop_assert_eq!(reply.edns.is_some(), edns);
        prop_assert!(!reply.metadata.truncation || bytes.len() + 100 > usize::from(request.size));
    }

    #[test]
    fn replies_fit_and_say_when_they_do_not(count in 0_u32..400, size in 512_u16..5_000, edns in any::<bool>()) {
        let message = if edns { with_edns(size) } else { asked(RecordType::A) };
        let request = request(&message, Transport::Udp);
        let bytes = write(&request, addresses(count), true, false);
        prop_assert!(bytes.len() <= usize::from(request.size));
        let reply = Message::from_vec(&bytes).unwrap();
        prop_assert_eq!(reply.metadata.truncation, reply.answers.len() < count as usize);
        prop_assert_eq!(reply.edns.is_some(), edns);
        // One more, of 16 bytes, would not have fitted.
        prop_assert!(!reply.metadata.truncation || bytes.len() + 16 > usize::from(request.size));
    }
}

/// Bytes are a request, or are answered with the reason why not and under their number, or are ignored.
fn check_any(bytes: &[u8]) -> Result<(), TestCaseError> {
    for transport in [Transport::Udp, Transport::Tcp] {
        match read(bytes, transport) {
            Incoming::Request(request) => {
                let reply = write(&request, Reply::only(ResponseCode::NXDomain), true, false);
                prop_assert_eq!(&reply[..2], &bytes[..2]);
            }
            Incoming::Answered(reply, code) => {
                let known = [ResponseCode::FormErr, ResponseCode::NotImp, ResponseCode::Refused, ResponseCode::BADVERS];
                prop_assert!(known.contains(&code));
                prop_assert_eq!(&reply[..2], &bytes[..2]);
                prop_assert!(reply[2] & 0x80 != 0);
            }
            Incoming::Ignored => prop_assert!(bytes.len() < HEADER || bytes[2] & 0x80 != 0),
        }
    }
    Ok(())
}
