//! A real etcd to measure beside: one member on loopback, in a temporary directory, with fsync as it is by default.

use std::io::{self, BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// What it says when it answers.
const READY: &str = "ready to serve client requests";
/// How often it is started again when it ends at once.
const ATTEMPTS: usize = 5;

/// A running etcd. Dropping it ends it; its data directory is the caller's.
pub struct Etcd {
    child: Child,
    /// Where clients reach it.
    pub endpoint: String,
}

impl Etcd {
    /// Starts one on `data_dir`, and waits until it answers.
    ///
    /// # Errors
    /// If there is no `etcd` on the path (`make deps` installs it), no free port, or if it ends each time.
    pub fn start(data_dir: &Path) -> io::Result<Etcd> {
        for _ in 0..ATTEMPTS {
            if let Some(etcd) = Etcd::try_start(data_dir)? {
                return Ok(etcd);
            }
        }
        Err(io::Error::other("etcd ends before it is ready"))
    }

    /// Starts one, unless somebody takes one of its ports before it does.
    fn try_start(data_dir: &Path) -> io::Result<Option<Etcd>> {
        let [client, peer] = free_ports()?;
        let endpoint = format!("http://127.0.0.1:{client}");
        let peer = format!("http://127.0.0.1:{peer}");
        let mut child = Command::new("etcd")
            .arg("--data-dir")
            .arg(data_dir)
            .args(["--listen-client-urls", &endpoint, "--advertise-client-urls", &endpoint])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("default={peer}"), "--log-level", "info"])
            .args(["--quota-backend-bytes", "8589934592"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let said = child.stderr.take();
        let etcd = Etcd { child, endpoint };
        let mut said = BufReader::new(said.ok_or_else(|| io::Error::other("it was piped"))?);
        let mut line = Vec::new();
        while said.read_until(b'\n', &mut line)? > 0 {
            if String::from_utf8_lossy(&line).contains(READY) {
                // What else it says is of no interest, and must not keep it waiting.
                std::thread::spawn(move || io::copy(&mut said, &mut io::sink()));
                return Ok(Some(etcd));
            }
            line.clear();
        }
        Ok(None)
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Two ports that nobody has now.
fn free_ports() -> io::Result<[u16; 2]> {
    let listeners = [TcpListener::bind(("127.0.0.1", 0))?, TcpListener::bind(("127.0.0.1", 0))?];
    Ok([listeners[0].local_addr()?.port(), listeners[1].local_addr()?.port()])
}
