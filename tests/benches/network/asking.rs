//! Clients and servers that do as little as can be, so that what is measured is what is between them.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use tests::machine::ADDRESS;

use crate::services::NAMESPACE;

/// How long anything may take.
const WITHIN: Duration = Duration::from_secs(600);
/// How long a name may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Where names are asked for.
const SERVER: &str = "10.96.0.10:53";

/// A server that says one letter to everybody who connects.
pub(crate) struct Letter {
    /// What it says.
    pub(crate) letter: char,
    /// Where it listens.
    pub(crate) port: u16,
}

impl Letter {
    /// Serves as long as the process runs, in the network that this thread is in.
    pub(crate) fn serve(letter: char) -> Letter {
        let listener = TcpListener::bind((ADDRESS, 0)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let _ = stream.write_all(&[letter as u8]);
            }
        });
        Letter { letter, port }
    }

    /// Where it is found without a Service.
    pub(crate) fn address(&self) -> String {
        format!("{ADDRESS}:{}", self.port)
    }
}

/// Connects until the one who answers says this letter.
pub(crate) fn wait_for(address: &str, letter: char) {
    let begin = Instant::now();
    while said(address) != Some(letter as u8) {
        assert!(begin.elapsed() < WITHIN, "{letter} is never said at {address}");
        std::thread::yield_now();
    }
}

/// What is said at an address, if anything is.
fn said(address: &str) -> Option<u8> {
    let address: SocketAddr = address.parse().expect("an address");
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_millis(200)).ok()?;
    // It is gone at once when it is closed: an end that lingers would refuse those that come from the same port by chance, as
    // what goes through a Service gets a port by chance.
    let _ = rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO));
    let mut letter = [0];
    stream.read_exact(&mut letter).ok()?;
    Some(letter[0])
}

/// How many connections a second one client makes, one after the other, each with an answer.
pub(crate) fn rate(address: &str, count: usize) -> f64 {
    let begin = Instant::now();
    for _ in 0..count {
        assert!(said(address).is_some(), "a connection to {address} fails");
    }
    count as f64 / begin.elapsed().as_secs_f64()
}

/// Who asks for names.
pub(crate) struct Names;

impl Names {
    /// Asks for a Service so many times, and says how long each answer took.
    pub(crate) fn ask(service: &str, count: usize) -> Vec<Duration> {
        let socket = UdpSocket::bind("0.0.0.0:0").expect("a port");
        socket.connect(SERVER).expect("an address");
        socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let question = question(&format!("{service}.{NAMESPACE}.svc.cluster.local"));
        let mut buffer = [0; 1500];
        let mut ask = || {
            let begin = Instant::now();
            socket.send(&question).expect("it is sent");
            let length = socket.recv(&mut buffer).expect("an answer");
            assert!(length > question.len() && buffer[3] & 0xf == 0, "the Service has no name");
            begin.elapsed()
        };
        (0..count).map(|_| ask()).collect()
    }
}

/// A question for an address.
fn question(name: &str) -> Vec<u8> {
    let mut message = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        message.push(u8::try_from(label.len()).expect("a label is short"));
        message.extend(label.bytes());
    }
    message.extend([0, 0, 1, 0, 1]);
    message
}
