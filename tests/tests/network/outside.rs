//! What there is outside of the cluster: a server that says who asked it, and a server of names that are none of the cluster's.

use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};

use tests::asking::{Answer, get};
use tests::site::{OUTSIDE, Site};

/// A name that only the outside knows, and what it stands for.
pub(crate) const NAME: &str = "www.outside.test";
/// Its address, which is for documentation.
pub(crate) const ADDRESS: [u8; 4] = [203, 0, 113, 7];
/// Where the server is that says who asked it.
const PORT: u16 = 8080;

/// The outside, with its servers. They go on as long as this process does: their threads hold nothing else.
pub(crate) struct Outside;

impl Outside {
    /// Starts the servers.
    pub(crate) fn open(site: &Site) -> Outside {
        let (listener, socket) = site.outside().within(|| {
            let listener = TcpListener::bind((OUTSIDE, PORT)).expect("the port is free");
            (listener, UdpSocket::bind((OUTSIDE, 53)).expect("the port is free"))
        });
        std::thread::spawn(move || tell_who(&listener));
        std::thread::spawn(move || tell_names(&socket));
        Outside
    }
}

/// Where the server is that says who asked it.
pub(crate) fn server() -> String {
    format!("{OUTSIDE}:{PORT}")
}

fn tell_who(listener: &TcpListener) {
    for mut stream in listener.incoming().flatten() {
        let Ok(peer) = stream.peer_addr() else { continue };
        // What is not read of a request would break the connection off before the answer is there.
        let (mut request, mut piece) = (Vec::new(), [0; 4096]);
        while !request.ends_with(b"\r\n\r\n") {
            match stream.read(&mut piece) {
                Ok(length) if length > 0 => request.extend(&piece[..length]),
                _ => break,
            }
        }
        let body = peer.ip().to_string();
        let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
    }
}

fn tell_names(socket: &UdpSocket) {
    let mut buffer = [0; 1500];
    while let Ok((length, from)) = socket.recv_from(&mut buffer) {
        if let Some(answer) = reply(&buffer[..length]) {
            let _ = socket.send_to(&answer, from);
        }
    }
}

/// The answer to a question; none if it is no question.
fn reply(question: &[u8]) -> Option<Vec<u8>> {
    const A: &[u8] = &[0, 1];
    let (mut labels, mut at) = (Vec::new(), 12);
    loop {
        let length = usize::from(*question.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(question.get(at..at + length)?).to_ascii_lowercase());
        at += length;
    }
    let kind = question.get(at..at + 2)?;
    let is_known = labels.join(".") == NAME;
    let answers = u8::from(is_known && kind == A);
    let mut reply = question.get(..2)?.to_vec();
    // An answer with authority, recursion desired and available; 3 is that there is no such name.
    reply.extend([0x85, 0x80 | if is_known { 0 } else { 3 }, 0, 1, 0, answers, 0, 0, 0, 0]);
    reply.extend(question.get(12..at + 4)?);
    if answers > 0 {
        reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 30, 0, 4]);
        reply.extend(ADDRESS);
    }
    Some(reply)
}

#[test]
fn the_outside_knows_one_name() {
    let ask = |name: &str, kind: u8| {
        let mut question = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            question.push(u8::try_from(label.len()).expect("short"));
            question.extend(label.bytes());
        }
        question.extend([0, 0, kind, 0, 1]);
        reply(&question).expect("an answer")
    };
    let found = ask("WWW.outside.test", 1);
    assert_eq!((found[3] & 0xf, found[7]), (0, 1));
    assert!(found.ends_with(&ADDRESS));
    assert_eq!((ask(NAME, 28)[3] & 0xf, ask(NAME, 28)[7]), (0, 0));
    assert_eq!(ask("elsewhere.test", 1)[3] & 0xf, 3);
    assert_eq!(reply(&[0; 12]), None);
    // And the other server says who asks.
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let at = listener.local_addr().expect("an address").to_string();
    std::thread::spawn(move || tell_who(&listener));
    assert_eq!(get(&at, "/").expect("an answer"), Answer { status: 200, body: "127.0.0.1".to_owned() });
}
