//! A real etcd for tests: members as child processes on loopback ports, with data in a temporary directory.
//!
//! Whatever happens to a test, its members are killed and their directory is removed when the [`Cluster`] is dropped.

pub(crate) mod backend;
pub(crate) mod proxy;
pub(crate) mod recorder;

use std::net::TcpListener;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use etcd_client::{Client, ConnectOptions, GetOptions};
use store::EtcdOptions;
use tempfile::TempDir;
use tokio::time::{Instant, interval, timeout};

/// How long anything may take that should happen soon. Generous, for a machine that does other things too.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// Where members listen: ports that the kernel gives to nobody by itself, and that no part of a cluster has.
const PORTS: Range<u16> = 20_000..30_000;
const PORTS_COUNT: u32 = 10_000;

/// What a member says when it serves.
const READY: &str = "ready to serve client requests";

/// How to start a cluster.
#[derive(Clone, Default)]
pub(crate) struct Setup {
    pub(crate) members: usize,
    /// Further flags of every member.
    pub(crate) flags: Vec<String>,
    /// Serve clients over TLS with these files, and demand certificates of them.
    pub(crate) tls: Option<TlsFiles>,
}

/// PEM files for a member.
#[derive(Clone)]
pub(crate) struct TlsFiles {
    pub(crate) ca: PathBuf,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

pub(crate) struct Cluster {
    pub(crate) members: Vec<Process>,
    setup: Setup,
    dir: TempDir,
    token: String,
}

/// One member.
pub(crate) struct Process {
    name: String,
    client_port: u16,
    peer_port: u16,
    child: Option<Child>,
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Process {
    /// Ends it as a crash does.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Stops it in its tracks, with its connections open.
    pub(crate) fn freeze(&self) {
        self.signal("-STOP");
    }

    pub(crate) fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let id = self.child.as_ref().expect("the member runs").id();
        let status = Command::new("kill").args([signal, &id.to_string()]).status().unwrap();
        assert!(status.success(), "kill {signal} {id}");
    }

    fn has_exited(&mut self) -> bool {
        self.child.as_mut().is_none_or(|child| child.try_wait().unwrap().is_some())
    }
}

impl Cluster {
    /// One member with every default.
    pub(crate) async fn single() -> Cluster {
        Cluster::start(Setup { members: 1, ..Setup::default() }).await
    }

    pub(crate) async fn start(setup: Setup) -> Cluster {
        // A port that was free may be taken by the time etcd listens; then others are tried.
        for _ in 0..5 {
            let ports = free_ports(setup.members * 2);
            let members = ports.chunks(2).enumerate().map(|(index, ports)| Process {
                name: format!("m{index}"),
                client_port: ports[0],
                peer_port: ports[1],
                child: None,
            });
            let dir = tempfile::Builder::new().prefix("store-etcd-").tempdir().unwrap();
            let token = "first".to_owned();
            let mut cluster = Cluster { members: members.collect(), setup: setup.clone(), dir, token };
            for index in 0..setup.members {
                cluster.spawn(index);
            }
            if cluster.is_ready().await {
                return cluster;
            }
        }
        panic!("etcd did not start");
    }

    pub(crate) fn endpoint(&self, index: usize) -> String {
        let scheme = if self.setup.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{}", self.members[index].client_port)
    }

    pub(crate) fn endpoints(&self) -> Vec<String> {
        (0..self.members.len()).map(|index| self.endpoint(index)).collect()
    }

    pub(crate) fn port(&self, index: usize) -> u16 {
        self.members[index].client_port
    }

    /// Options of a backend on this cluster that gives up sooner than the defaults.
    pub(crate) fn options(&self) -> EtcdOptions {
        options(&self.endpoints())
    }

    /// A client of one member, for what a test does behind the backend's back.
    pub(crate) async fn client(&self, index: usize) -> Client {
        Client::connect([self.endpoint(index)], Some(ConnectOptions::new())).await.unwrap()
    }

    /// Starts a member that was killed, on its data.
    pub(crate) async fn restart(&mut self, index: usize) {
        self.members[index].kill();
        self.spawn(index);
        assert!(self.is_ready().await, "{} came up again", self.members[index].name);
    }

    /// Starts several members that were killed, none of which is ready without the others.
    pub(crate) async fn restart_all(&mut self, indexes: &[usize]) {
        for index in indexes {
            self.spawn(*index);
        }
        assert!(self.is_ready().await, "the members came up again");
    }

    /// Replaces the cluster by an empty one at the same addresses. Its cluster ID follows from the addresses and `token`.
    pub(crate) async fn replace(&mut self, token: &str) {
        self.members.iter_mut().for_each(Process::kill);
        token.clone_into(&mut self.token);
        for index in 0..self.members.len() {
            std::fs::remove_dir_all(self.data_dir(index)).unwrap();
            self.spawn(index);
        }
        assert!(self.is_ready().await, "the new cluster came up");
    }

    /// The member that leads now.
    pub(crate) async fn leader(&self) -> usize {
        let mut found = None;
        eventually("a leader is known", async || {
            for index in 0..self.members.len() {
                let status = self.client(index).await.status().await;
                if let Ok(status) = status
                    && status.leader() == status.header().unwrap().member_id()
                {
                    found = Some(index);
                    return true;
                }
            }
            false
        })
        .await;
        found.unwrap()
    }

    pub(crate) async fn member_id(&self, index: usize) -> u64 {
        self.client(index).await.status().await.unwrap().header().unwrap().member_id()
    }

    fn data_dir(&self, index: usize) -> PathBuf {
        self.dir.path().join(&self.members[index].name)
    }

    fn log_path(&self, index: usize) -> PathBuf {
        self.dir.path().join(format!("{}.log", self.members[index].name))
    }

    fn spawn(&mut self, index: usize) {
        let peers: Vec<_> = self
            .members
            .iter()
            .map(|member| format!("{}=http://127.0.0.1:{}", member.name, member.peer_port))
            .collect();
        let peer_url = format!("http://127.0.0.1:{}", self.members[index].peer_port);
        let client_url = self.endpoint(index);
        let log = std::fs::File::create(self.log_path(index)).unwrap();
        let mut command = Command::new("etcd");
        command
            .args(["--name", &self.members[index].name])
            .arg("--data-dir")
            .arg(self.data_dir(index))
            .args(["--listen-client-urls", &client_url, "--advertise-client-urls", &client_url])
            .args(["--listen-peer-urls", &peer_url, "--initial-advertise-peer-urls", &peer_url])
            .args(["--initial-cluster", &peers.join(","), "--initial-cluster-token", &self.token])
            .args(["--initial-cluster-state", "new", "--heartbeat-interval", "50", "--election-timeout", "500"])
            .args(&self.setup.flags)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        if let Some(TlsFiles { ca, certificate, key }) = &self.setup.tls {
            command.arg("--client-cert-auth");
            command.arg("--trusted-ca-file").arg(ca).arg("--cert-file").arg(certificate).arg("--key-file").arg(key);
        }
        let child = command.spawn();
        let child = child.expect("etcd is installed: `make deps` installs it (Debian's package is etcd-server)");
        self.members[index].child = Some(child);
    }

    /// Waits until every member answers; false if one exits instead.
    async fn is_ready(&mut self) -> bool {
        let deadline = Instant::now() + SOON;
        let mut ask = interval(Duration::from_millis(20));
        for index in 0..self.members.len() {
            let log = |this: &Cluster| std::fs::read_to_string(this.log_path(index)).unwrap_or_default();
            // Were it only asked, somebody else's that has the port could answer.
            while !log(self).contains(READY) || !self.answers(index).await {
                if self.members[index].has_exited() {
                    return false;
                }
                assert!(Instant::now() < deadline, "etcd does not answer:\n{}", log(self));
                ask.tick().await;
            }
        }
        true
    }

    async fn answers(&self, index: usize) -> bool {
        if self.setup.tls.is_some() {
            // Whoever listens is ready enough for clients that try again.
            return tokio::net::TcpStream::connect(("127.0.0.1", self.port(index))).await.is_ok();
        }
        let mut client = self.client(index).await;
        let asked = timeout(Duration::from_secs(1), client.get("x", Some(GetOptions::new().with_count_only()))).await;
        // One that has authentication enabled refuses, which is an answer too.
        match asked {
            Ok(Err(etcd_client::Error::GRpcStatus(status))) => status.message().contains("user name is empty"),
            Ok(outcome) => outcome.is_ok(),
            Err(_) => false,
        }
    }
}

/// Options for `endpoints`, with the patience of a test.
pub(crate) fn options(endpoints: &[String]) -> EtcdOptions {
    let options = EtcdOptions::new(endpoints.iter().cloned());
    EtcdOptions { request_timeout: Duration::from_secs(2), retry_for: Duration::from_secs(10), ..options }
}

/// Waits until `condition`, which is another process's to bring about, holds.
pub(crate) async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    let mut look = interval(Duration::from_millis(5));
    while !condition().await {
        assert!(Instant::now() < deadline, "in vain: {what}");
        look.tick().await;
    }
}

/// Writes `contents` to a file in `dir`.
pub(crate) fn write_file(dir: &Path, name: &str, contents: &str) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, contents).unwrap();
    path
}

/// Ports that nobody has now. They are not among those that the kernel gives to connections and to who does not ask for one, so
/// that they are still free when a member that was killed starts again; and not those that this process was given before.
fn free_ports(count: usize) -> Vec<u16> {
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    let first = std::process::id().wrapping_mul(7919);
    let all = std::iter::repeat_with(|| GIVEN.fetch_add(1, Ordering::Relaxed));
    let all = all.map(|given| PORTS.start + u16::try_from(first.wrapping_add(given) % PORTS_COUNT).unwrap());
    all.filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).take(count).collect()
}
