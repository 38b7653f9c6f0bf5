//! A real etcd to measure beside: one member on loopback, in a temporary directory, with fsync as it is by default.

use std::io;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A running etcd. Dropping it ends it; its data directory is the caller's.
pub struct Etcd {
    child: Child,
    /// Where clients reach it.
    pub endpoint: String,
}

impl Etcd {
    /// Starts one on `data_dir`. It may take a moment until it answers; clients retry.
    ///
    /// # Errors
    /// If there is no `etcd` on the path (`make deps` installs it) or no free port.
    pub fn start(data_dir: &Path) -> io::Result<Etcd> {
        let (client, peer) = (free_port()?, free_port()?);
        let endpoint = format!("http://127.0.0.1:{client}");
        let peer = format!("http://127.0.0.1:{peer}");
        let child = Command::new("etcd")
            .arg("--data-dir")
            .arg(data_dir)
            .args(["--listen-client-urls", &endpoint, "--advertise-client-urls", &endpoint])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("default={peer}"), "--log-level", "error"])
            .args(["--quota-backend-bytes", "8589934592"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Etcd { child, endpoint })
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
