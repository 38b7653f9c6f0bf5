//! A server of HTTP/1.1, one request a connection, as much of it as tests need.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::state::State;
use crate::{answers, health};

/// How many connections are served at once. More are closed.
const CONNECTIONS: usize = 1024;
/// The most bytes before a request's body, and of the body.
const HEAD: u64 = 64 << 10;
const BODY: u64 = 1 << 20;
/// How long a client may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A request.
#[derive(Debug, Default)]
pub(crate) struct Request {
    /// Its method.
    pub(crate) method: String,
    /// Its path, without the query.
    pub(crate) path: String,
    /// Its query, in order, decoded.
    pub(crate) query: Vec<(String, String)>,
    /// Its headers, by names in small letters.
    pub(crate) headers: BTreeMap<String, String>,
    /// Its body.
    pub(crate) body: Vec<u8>,
    /// Who asks.
    pub(crate) remote: Option<SocketAddr>,
    /// Who was asked.
    pub(crate) local: Option<SocketAddr>,
}

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Its status.
    pub(crate) status: u16,
    /// What the body is.
    pub(crate) content_type: &'static str,
    /// The body.
    pub(crate) body: Vec<u8>,
    /// Further headers.
    pub(crate) headers: Vec<(&'static str, String)>,
}

impl Request {
    /// A parameter of the query; empty if it is not there.
    pub(crate) fn parameter(&self, name: &str) -> &str {
        self.query.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }
}

impl Answer {
    /// One of text.
    pub(crate) fn text(status: u16, text: impl Into<String>) -> Answer {
        Answer { status, content_type: "text/plain", body: text.into().into_bytes(), headers: Vec::new() }
    }

    /// One of JSON.
    pub(crate) fn json(status: u16, value: &serde_json::Value) -> Answer {
        Answer { content_type: "application/json", ..Answer::text(status, format!("{value:#}\n")) }
    }
}

/// Serves whoever connects, for ever.
pub(crate) fn serve(state: &Arc<State>, listener: &TcpListener) {
    let served = Arc::new(AtomicUsize::new(0));
    for stream in listener.incoming().flatten() {
        if served.fetch_add(1, Ordering::Relaxed) >= CONNECTIONS {
            served.fetch_sub(1, Ordering::Relaxed);
            continue;
        }
        let (state, counted) = (Arc::clone(state), Arc::clone(&served));
        let serving = std::thread::Builder::new().spawn(move || {
            // A client that goes away is no concern of ours.
            let _ = serve_one(&state, stream);
            counted.fetch_sub(1, Ordering::Relaxed);
        });
        if serving.is_err() {
            served.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

fn serve_one(state: &Arc<State>, stream: TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    if reader.fill_buf()?.starts_with(b"PRI ") {
        return health::serve(state, reader, stream);
    }
    let Some(mut request) = read_request(&mut reader)? else { return Ok(()) };
    (request.remote, request.local) = (stream.peer_addr().ok(), stream.local_addr().ok());
    let answer = answers::answer(state, &request);
    write_answer(stream, &answer, request.method == "HEAD")
}

/// Reads a request; none if the other side says nothing, or nothing that makes sense.
fn read_request(reader: &mut impl BufRead) -> io::Result<Option<Request>> {
    let mut head = reader.take(HEAD);
    let mut line = String::new();
    head.read_line(&mut line)?;
    let mut parts = line.split_whitespace();
    let (Some(method), Some(target)) = (parts.next(), parts.next()) else { return Ok(None) };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut request = Request { method: method.to_owned(), path: decode(path, false), ..Request::default() };
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        request.query.push((decode(name, true), decode(value, true)));
    }
    loop {
        let mut line = String::new();
        head.read_line(&mut line)?;
        let Some((name, value)) = line.split_once(':') else { break };
        request.headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = request.headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0_u64);
    head.into_inner().take(length.min(BODY)).read_to_end(&mut request.body)?;
    Ok(Some(request))
}

/// Text with `%41` for `A`, and, in a query, `+` for a space.
fn decode(text: &str, plus: bool) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = text.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (bytes[at], hex) {
            (b'%', Some(byte)) => {
                decoded.push(byte);
                at += 2;
            }
            (b'+', _) if plus => decoded.push(b' '),
            (byte, _) => decoded.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

fn write_answer(mut stream: TcpStream, answer: &Answer, head_only: bool) -> io::Result<()> {
    let reason = if answer.status < 400 { "OK" } else { "Failed" };
    let mut head = format!(
        "HTTP/1.1 {} {reason}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: close\r\n",
        answer.status,
        answer.content_type,
        answer.body.len()
    );
    for (name, value) in &answer.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes())?;
    if !head_only {
        stream.write_all(&answer.body)?;
    }
    stream.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_taken_apart() {
        let text =
            "POST /do%20it?say=a+b%21&ignore-term HTTP/1.1\r\nHost: here\r\nContent-Length: 2\r\n\r\nhi, and more";
        let request = read_request(&mut text.as_bytes()).unwrap().unwrap();
        assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/do it"));
        assert_eq!(request.query, [("say".to_owned(), "a b!".to_owned()), ("ignore-term".to_owned(), String::new())]);
        assert_eq!(request.headers["host"], "here");
        assert_eq!(request.body, b"hi");
        assert_eq!(request.parameter("say"), "a b!");
        assert!(read_request(&mut "".as_bytes()).unwrap().is_none());
        assert!(read_request(&mut "nonsense\r\n\r\n".as_bytes()).unwrap().is_none());
    }

    #[test]
    fn what_is_escaped_wrongly_stays_as_it_is() {
        let check = |text: &str, expected: &str| assert_eq!(decode(text, false), expected);
        check("%4", "%4");
        check("%zz", "%zz");
        check("a%41+%c3%a4", "aA+ä");
        check("%ä", "%ä");
    }
}
