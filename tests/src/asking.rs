//! Clients as plain as can be, whose every request is a connection of its own: for asking from one place and then another.
//! And asking until an answer is as it should be.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// How long a request may take.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// How long a condition may take to come about.
const WITHIN: Duration = Duration::from_secs(90);
/// How soon it is looked again: machines that are to bring it about have the same processors.
const PACE: Duration = Duration::from_millis(100);

/// An answer of HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its body.
    pub body: String,
}

/// Asks a server of HTTP. `at` is its address and port.
///
/// # Errors
/// If there is no whole answer, within [`PATIENCE`] for each of its parts.
pub fn get(at: &str, path: &str) -> io::Result<Answer> {
    get_within(at, path, PATIENCE)
}

/// The same with a patience of one's own.
///
/// # Errors
/// If there is no whole answer within that time for each of its parts.
pub fn get_within(at: &str, path: &str, patience: Duration) -> io::Result<Answer> {
    let address: SocketAddr = at.parse().map_err(|_| io::Error::other(format!("{at:?} is no address and port")))?;
    let mut stream = TcpStream::connect_timeout(&address, patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n")?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    parse(&String::from_utf8_lossy(&bytes)).ok_or_else(|| io::Error::other("the answer is not whole"))
}

fn parse(text: &str) -> Option<Answer> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let length =
        head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
    length.is_none_or(|length: usize| length == body.len()).then(|| Answer { status, body: body.to_owned() })
}

/// Sends a datagram, and returns what comes back.
///
/// # Errors
/// If nothing does.
pub fn send(at: &str, text: &str) -> io::Result<String> {
    let address: SocketAddr = at.parse().map_err(|_| io::Error::other(format!("{at:?} is no address and port")))?;
    let socket = UdpSocket::bind(if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" })?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.connect(address)?;
    socket.send(text.as_bytes())?;
    let mut buffer = vec![0; 65_536];
    let length = socket.recv(&mut buffer)?;
    Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
}

/// A part of a query, so that it can be in any of a URL's parts.
#[must_use]
pub fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/:".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// Asks until there is an answer as it should be, and returns it.
///
/// # Panics
/// If there is none for long. `what` should be, and the last answer was not.
pub fn until<T: std::fmt::Debug>(what: &str, ask: impl Fn() -> T, is_so: impl Fn(&T) -> bool) -> T {
    let began = Instant::now();
    // Nobody says anything here: it is the pace of asking.
    let (_quiet, pace) = mpsc::channel::<()>();
    loop {
        let answer = ask();
        if is_so(&answer) {
            return answer;
        }
        assert!(began.elapsed() < WITHIN, "it is never so: {what}; at last it was {answer:?}");
        let _ = pace.recv_timeout(PACE);
    }
}

/// The same, where it is of no interest what the answer is.
///
/// # Panics
/// If there is none for long.
pub fn wait_until<T: std::fmt::Debug>(what: &str, ask: impl Fn() -> T, is_so: impl Fn(&T) -> bool) {
    drop(until(what, ask, is_so));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_whole_or_none() {
        let check = |text: &str, expected: Option<(u16, &str)>| {
            let expected = expected.map(|(status, body)| Answer { status, body: body.to_owned() });
            assert_eq!(parse(text), expected, "{text}");
        };
        check("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", Some((200, "hi")));
        check("HTTP/1.1 503 Failed\r\n\r\n", Some((503, "")));
        check("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi", None);
        check("HTTP/1.1 200 OK\r\n", None);
        check("nonsense\r\n\r\n", None);
    }

    #[test]
    fn what_would_end_a_parameter_is_escaped() {
        assert_eq!(escaped("http://[fd00::1]:80/do?a=b&c d"), "http://%5Bfd00::1%5D:80/do%3Fa%3Db%26c%20d");
    }
}
