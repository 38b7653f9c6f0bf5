//! Connections to containers.

use std::io;
use std::time::Duration;

use tokio::net::TcpStream;

/// How long the kernel keeps trying to send what is left when a connection is closed: probes come often, and their sockets
/// are not to be kept for minutes (upstream's number).
const LINGER: Duration = Duration::from_secs(1);

/// Connects. An error says where to.
pub(in crate::lifecycle) async fn dial(host: &str, port: u16) -> Result<TcpStream, String> {
    let failed = |error: &io::Error| format!("dial tcp {}: {}", joined(host, port), reason(error));
    let stream = TcpStream::connect((host, port)).await.map_err(|error| failed(&error))?;
    rustix::net::sockopt::set_socket_linger(&stream, Some(LINGER)).map_err(|error| failed(&error.into()))?;
    Ok(stream)
}

/// What is said of a connection that could not be made in time.
pub(super) fn late(host: &str, port: u16) -> String {
    format!("dial tcp {}: i/o timeout", joined(host, port))
}

/// A host and a port, with brackets where the host has colons.
pub(in crate::lifecycle) fn joined(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Why a connection could not be made, in the words that users know.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
        io::ErrorKind::HostUnreachable => "connect: no route to host".to_owned(),
        io::ErrorKind::NetworkUnreachable => "connect: network is unreachable".to_owned(),
        io::ErrorKind::ConnectionReset => "connect: connection reset by peer".to_owned(),
        io::ErrorKind::TimedOut => "i/o timeout".to_owned(),
        _ => error.to_string(),
    }
}
