//! The servers that are measured, each a process with a directory, and an etcd, of its own.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tests::etcd::Etcd;
use tokio::net::TcpStream;
use tokio::time::{interval, timeout};

/// The token of somebody who may do everything.
pub(crate) const TOKEN: &str = "0123456789abcdef";

/// The token of somebody who may do what roles allow, and is named [`ORDINARY`].
pub(crate) const ORDINARY_TOKEN: &str = "fedcba9876543210";

/// Who is nobody in particular.
pub(crate) const ORDINARY: &str = "ordinary";

/// How often a server that starts is asked whether it is ready.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Which server, over which store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `gantry apiserver` over its embedded store.
    Embedded,
    /// `gantry apiserver` over etcd.
    Etcd,
    /// Upstream's `kube-apiserver` over etcd.
    Upstream,
}

impl Kind {
    /// Those that are there to be measured.
    pub(crate) fn available() -> Vec<Kind> {
        let mut kinds = vec![Kind::Embedded, Kind::Etcd];
        let upstream = Command::new("kube-apiserver").arg("--version").stdout(Stdio::null()).status();
        if upstream.is_ok_and(|status| status.success()) {
            kinds.push(Kind::Upstream);
        }
        kinds
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Embedded => "gantry",
            Kind::Etcd => "gantry over etcd",
            Kind::Upstream => "kube-apiserver",
        }
    }
}

/// A running server.
pub(crate) struct Process {
    child: Child,
    _directory: TempDir,
    _etcd: Option<Etcd>,
    /// From the start of the process until it was ready; its etcd ran before.
    pub(crate) started_in: Duration,
    /// `127.0.0.1:PORT`.
    pub(crate) address: String,
    /// The authority to trust, PEM.
    pub(crate) authority: PathBuf,
}

impl Process {
    /// Starts a server and waits until it is ready.
    pub(crate) async fn start(kind: Kind) -> Process {
        let directory = tempfile::tempdir().expect("a directory");
        let etcd = (kind != Kind::Embedded)
            .then(|| Etcd::start(&directory.path().join("etcd")).expect("etcd starts: `make deps` installs it"));
        let tokens = directory.path().join("tokens.csv");
        let lines = format!("{TOKEN},bench,1,\"system:masters\"\n{ORDINARY_TOKEN},{ORDINARY},2\n");
        fs::write(&tokens, lines).expect("a file");
        match kind {
            Kind::Embedded | Kind::Etcd => Process::gantry(directory, etcd, &tokens).await,
            Kind::Upstream => Process::upstream(directory, etcd, &tokens).await,
        }
    }

    async fn gantry(directory: TempDir, etcd: Option<Etcd>, tokens: &Path) -> Process {
        let data = directory.path().join("data");
        let mut command = Command::new(binary());
        command.args(["apiserver", "--listen", "127.0.0.1:0", "--log-level", "warn", "--data-dir"]).arg(&data);
        command.arg("--token-auth-file").arg(tokens).stdin(Stdio::null()).stdout(Stdio::piped());
        if let Some(etcd) = &etcd {
            await_listener(etcd.endpoint.trim_start_matches("http://")).await;
            command.args(["--store", "etcd", "--etcd-servers", &etcd.endpoint]);
        }
        let begin = Instant::now();
        let mut child = command.spawn().expect("gantry runs");
        let mut line = String::new();
        let output = child.stdout.take().expect("it is piped");
        BufReader::new(output).read_line(&mut line).expect("a line");
        let started_in = begin.elapsed();
        let address = line.split("https://").nth(1).and_then(|rest| rest.split(';').next());
        let address = address.unwrap_or_else(|| panic!("gantry said {line:?}")).to_owned();
        let authority = data.join("pki/ca.crt");
        Process { child, _directory: directory, _etcd: etcd, started_in, address, authority }
    }

    async fn upstream(directory: TempDir, etcd: Option<Etcd>, tokens: &Path) -> Process {
        let endpoint = &etcd.as_ref().expect("upstream needs an etcd").endpoint;
        await_listener(endpoint.trim_start_matches("http://")).await;
        let (key, public) = (directory.path().join("sa.key"), directory.path().join("sa.pub"));
        let pair = rcgen::KeyPair::generate().expect("a key");
        fs::write(&key, pair.serialize_pem()).expect("a file");
        fs::write(&public, pair.public_key_pem()).expect("a file");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
        let certificates = directory.path().join("certificates");
        let mut command = Command::new("kube-apiserver");
        command
            .args(["--etcd-servers", endpoint, "--bind-address", "127.0.0.1", "--secure-port", &port.to_string()])
            .args(["--authorization-mode", "RBAC", "--service-cluster-ip-range", "10.0.0.0/24"])
            .args(["--service-account-issuer", "https://kubernetes.default.svc"])
            .arg("--service-account-key-file")
            .arg(&public)
            .arg("--service-account-signing-key-file")
            .arg(&key)
            .arg("--cert-dir")
            .arg(&certificates)
            .arg("--token-auth-file")
            .arg(tokens)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let begin = Instant::now();
        let child = command.spawn().expect("kube-apiserver runs");
        let address = format!("127.0.0.1:{port}");
        let authority = certificates.join("apiserver.crt");
        let mut process =
            Process { child, _directory: directory, _etcd: etcd, started_in: Duration::ZERO, address, authority };
        process.await_ready().await;
        process.started_in = begin.elapsed();
        process
    }

    /// Waits until the server says that it is ready.
    async fn await_ready(&mut self) {
        await_listener(&self.address).await;
        let target = crate::Target::new(self);
        let mut ask = interval(LOOK_EVERY);
        while !crate::connection::is_ready(&target).await {
            assert!(matches!(self.child.try_wait(), Ok(None)), "the server ended");
            ask.tick().await;
        }
    }

    /// What it has in memory, without its etcd.
    pub(crate) fn resident_mib(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
        let kib: f64 = line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(f64::NAN);
        kib / 1024.0
    }

    /// Ends it.
    pub(crate) fn end(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// The program that `make bench` builds beside this one, or what the environment names, such as an earlier version.
fn binary() -> PathBuf {
    if let Some(other) = std::env::var_os("GANTRY_BENCH_BINARY") {
        return other.into();
    }
    let here = std::env::current_exe().expect("this program has a path");
    let binary = here.ancestors().nth(2).expect("it is in a target directory").join("gantry");
    assert!(binary.exists(), "there is no {}: run `make bench`", binary.display());
    binary
}

/// Waits until somebody listens at `address`; half a minute at the most.
async fn await_listener(address: &str) {
    let mut look = interval(LOOK_EVERY);
    let listens = async {
        while TcpStream::connect(address).await.is_err() {
            look.tick().await;
        }
    };
    timeout(Duration::from_secs(30), listens).await.unwrap_or_else(|_| panic!("nobody listens at {address}"));
}
