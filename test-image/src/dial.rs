//! Asks others, by TCP, UDP and HTTP.

use std::io::{Read, Write};
use std::net::{Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use serde_json::{Value, json};

use crate::dns;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// The most bytes of an answer.
const ANSWER: u64 = 1 << 20;

/// Connects by one of the two, sends `text` if there is any, and tells what came back.
pub(crate) fn dial(tcp: &str, udp: &str, text: &str) -> Result<Value, String> {
    let failed = |error: std::io::Error| error.to_string();
    if udp.is_empty() {
        let mut stream = connect(tcp)?;
        let (local, remote) = (stream.local_addr().map_err(failed)?, stream.peer_addr().map_err(failed)?);
        let answer = if text.is_empty() { Vec::new() } else { exchange(&mut stream, text.as_bytes())? };
        return Ok(connection(local, remote, &answer));
    }
    let remote = address(udp)?;
    let any = if remote.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).map_err(failed)?;
    socket.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
    socket.connect(remote).map_err(failed)?;
    socket.send(text.as_bytes()).map_err(failed)?;
    let mut buffer = [0; 65_536];
    let length = socket.recv(&mut buffer).map_err(failed)?;
    Ok(connection(socket.local_addr().map_err(failed)?, remote, &buffer[..length]))
}

fn connection(local: SocketAddr, remote: SocketAddr, answer: &[u8]) -> Value {
    json!({"from": local.to_string(), "to": remote.to_string(), "answer": String::from_utf8_lossy(answer)})
}

/// Asks a server of HTTP, and tells its status and body.
pub(crate) fn get(url: &str) -> Result<Value, String> {
    let rest = url.strip_prefix("http://").ok_or("the URL has to begin with http://")?;
    let (host, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
    let with_port = if host.rsplit(']').next().is_some_and(|end| end.contains(':')) {
        host.to_owned()
    } else {
        format!("{host}:80")
    };
    let mut stream = connect(&with_port)?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let answer = exchange(&mut stream, request.as_bytes())?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("the answer is not HTTP")?;
    let status: u16 = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or("the answer is not HTTP")?;
    Ok(json!({"status": status, "body": body}))
}

fn connect(to: &str) -> Result<TcpStream, String> {
    let stream = TcpStream::connect_timeout(&address(to)?, PATIENCE).map_err(|error| error.to_string())?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(|error| error.to_string())?;
    Ok(stream)
}

fn exchange(stream: &mut TcpStream, text: &[u8]) -> Result<Vec<u8>, String> {
    stream.write_all(text).map_err(|error| error.to_string())?;
    stream.shutdown(std::net::Shutdown::Write).map_err(|error| error.to_string())?;
    let mut answer = Vec::new();
    stream.take(ANSWER).read_to_end(&mut answer).map_err(|error| error.to_string())?;
    Ok(answer)
}

/// The address of `host:port`, where the host is an address or a name.
fn address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let (host, port) = text.rsplit_once(':').ok_or_else(|| format!("{text:?} is not HOST:PORT"))?;
    let port: u16 = port.parse().map_err(|_| format!("{port:?} is no port"))?;
    if let Ok(address) = host.parse::<Ipv6Addr>() {
        return Ok((address, port).into());
    }
    let found = dns::resolve(host, "A").or_else(|_| dns::resolve(host, "AAAA"))?;
    let first = found.first().and_then(|text| text.parse().ok()).ok_or_else(|| format!("{host} has no address"))?;
    Ok(SocketAddr::new(first, port))
}
