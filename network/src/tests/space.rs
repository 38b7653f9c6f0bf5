//! Network namespaces, links between them, and programs and sockets in them.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Signal, set_parent_process_death_signal};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// How long anything may take before the test fails.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// A network namespace, which is there as long as a process in it.
pub(super) struct Space {
    holder: Child,
}

impl Space {
    /// A new one, with nothing but a loopback device.
    #[allow(clippy::print_stdout, reason = "whoever runs the tests should know what they did not do")]
    pub(super) fn new() -> Option<Space> {
        if !rustix::process::geteuid().is_root() {
            println!("skipped: only root can make network namespaces");
            return None;
        }
        let mut command = Command::new("unshare");
        // What reads from a pipe that nobody writes to ends with the test, whatever becomes of it.
        command.args(["--net", "sh", "-c", "ip link set lo up && echo ready && exec cat"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        // SAFETY: a system call, and nothing that another thread could hold.
        unsafe { command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::KILL))?)) };
        let mut holder = command.spawn().unwrap();
        let mut line = [0; 6];
        holder.stdout.as_mut().unwrap().read_exact(&mut line).unwrap();
        assert_eq!(&line, b"ready\n");
        Some(Space { holder })
    }

    /// A pod on a node: a link, whose other end the node routes the addresses to, as the plugin `ptp` makes it.
    pub(super) fn pod(node: &Space, addresses: &[&str]) -> Space {
        let pod = Space::new().unwrap();
        pod.joins(node, "pod");
        node.ok("ip link set pod up");
        for address in addresses {
            let (length, gateway) = if address.contains(':') { (128, "fe80::1/64") } else { (32, "169.254.1.1/32") };
            node.ok(&format!("ip addr add {gateway} dev pod nodad; ip route add {address}/{length} dev pod"));
            let gateway = gateway.split('/').next().unwrap();
            pod.ok(&format!("ip addr add {address}/{length} dev eth0 nodad"));
            let family = if address.contains(':') { "-6" } else { "-4" };
            pod.ok(&format!("ip {family} route add {gateway} dev eth0 2>/dev/null; ip {family} route add default via {gateway} dev eth0"));
        }
        pod
    }

    /// Gives it a link `eth0`, the other end of which another space has by this name.
    pub(super) fn joins(&self, other: &Space, name: &str) {
        let other = other.holder.id();
        self.ok(&format!("ip link add eth0 type veth peer name {name} netns {other}; ip link set eth0 up"));
    }

    /// Runs a script in it.
    pub(super) fn run(&self, script: &str) -> Output {
        let mut command = Command::new("nsenter");
        command.arg("--target").arg(self.holder.id().to_string()).args(["--net", "sh", "-c", script]);
        command.output().unwrap()
    }

    /// Runs a script in it that is to succeed, and returns what it says.
    pub(super) fn ok(&self, script: &str) -> String {
        let output = self.run(script);
        assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Has this thread be in it from now on.
    pub(super) fn enter(&self) {
        let network = std::fs::File::open(format!("/proc/{}/ns/net", self.holder.id())).unwrap();
        move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
    }

    /// Does something in it, in a thread of its own.
    fn within<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let inside = scope.spawn(|| {
                self.enter();
                act()
            });
            inside.join().unwrap()
        })
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// Waits until something is so.
pub(super) fn wait(mut is_so: impl FnMut() -> bool, what: &str) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "not so: {what}");
        std::thread::yield_now();
    }
}

/// Has one talk to the other by UDP and TCP, in packets as large as they may be. The other sees whom it talks to.
pub(super) fn talk(from: &Space, to: &Space, seen: Option<&str>, at: &str) {
    let any = |port: u16| -> SocketAddr {
        let address: IpAddr = if at.contains(':') { "::".parse().unwrap() } else { "0.0.0.0".parse().unwrap() };
        (address, port).into()
    };
    let seen: Option<IpAddr> = seen.map(|address| address.parse().unwrap());
    let at: IpAddr = at.parse().unwrap();
    let (datagrams, streams) = to.within(|| (UdpSocket::bind(any(0)).unwrap(), TcpListener::bind(any(0)).unwrap()));
    datagrams.set_read_timeout(Some(PATIENCE)).unwrap();
    let (udp, tcp) = (datagrams.local_addr().unwrap().port(), streams.local_addr().unwrap().port());
    let asking = from.within(|| UdpSocket::bind(any(0)).unwrap());
    asking.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let mut buffer = [0; 100];
    let answers = std::thread::spawn(move || {
        let mut buffer = [0; 100];
        let (length, client) = datagrams.recv_from(&mut buffer).unwrap();
        datagrams.send_to(&buffer[..length], client).unwrap();
        client.ip()
    });
    // A datagram may be lost while the route is not there yet.
    wait(
        || {
            let _ = asking.send_to(b"hello", (at, udp));
            asking.recv(&mut buffer).is_ok()
        },
        &format!("{at} is reached"),
    );
    let client = answers.join().unwrap();
    assert!(seen.is_none_or(|seen| seen == client), "{client} reached {at}");
    let much = vec![7; 100_000];
    let sent = much.clone();
    let sending = std::thread::scope(|scope| {
        scope.spawn(|| {
            let (mut stream, _) = streams.accept().unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut got = Vec::new();
            stream.read_to_end(&mut got).unwrap();
            assert!(got == much, "{} bytes came", got.len());
        });
        from.within(|| {
            let mut stream = TcpStream::connect_timeout(&(at, tcp).into(), PATIENCE).unwrap();
            stream.write_all(&sent).is_ok()
        })
    });
    assert!(sending);
}
