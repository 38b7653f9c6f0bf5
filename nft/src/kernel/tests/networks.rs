//! Networks of a test's own: a node, and one with clients and one with servers at its sides. They are gone when the test is.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

use crate::{Endpoint, Family};

/// Where services are that tests make, and at which ports servers listen.
pub(super) const PORT: u16 = 80;
pub(super) const SERVERS: u8 = 3;

/// Long enough for whatever is to come.
const PATIENCE: Duration = Duration::from_secs(20);

/// Whether networks can be made here. If not, whoever runs the tests is told; where they are promised to run, they have to.
#[allow(clippy::print_stdout, reason = "whoever runs the tests should know what they did not do")]
pub(super) fn possible() -> bool {
    let why = if !rustix::process::geteuid().is_root() {
        "only root can make networks"
    } else if Command::new("nft").arg("--version").output().is_err() {
        "nftables is not installed"
    } else {
        return true;
    };
    assert!(std::env::var_os("CI").is_none(), "{why}");
    println!("skipped: {why}");
    false
}

/// Gives this thread, and what is started from it, a network of its own.
pub(super) fn own() -> File {
    // SAFETY: no file descriptors or memory are set apart, only the network that is used from now on.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }.unwrap();
    ip("link set lo up");
    File::open("/proc/thread-self/ns/net").unwrap()
}

/// Runs `ip`.
fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split_whitespace()).status();
    assert!(status.is_ok_and(|status| status.success()), "ip {arguments}");
}

/// What `nft` prints.
pub(super) fn nft(arguments: &str) -> String {
    let output = Command::new("nft").args(arguments.split_whitespace()).output().unwrap();
    assert!(output.status.success(), "nft {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A node, with clients on one side and servers on the other. The thread is in the node's network.
pub(super) struct Networks {
    pub(super) family: Family,
    node: File,
    clients: File,
    tcp: Vec<TcpListener>,
    udp: Vec<UdpSocket>,
    /// The port that the next client has. The kernel knows connections of others for a while.
    next: Cell<u16>,
}

impl Networks {
    pub(super) fn new(family: Family) -> Networks {
        let [clients, servers, node] = [own(), own(), own()];
        let check = if family == Family::Ip6 { "nodad" } else { "" };
        let path = |file: &File| format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
        for (side, other) in [(1, &clients), (2, &servers)] {
            ip(&format!("link add side{side} type veth peer name eth0 netns {}", path(other)));
            ip(&format!("address add {}/{} dev side{side} {check}", at(family, side, 1), length(family)));
            ip(&format!("link set side{side} up"));
            move_into(other);
            let last = if side == 1 { 2..=9 } else { 11..=10 + SERVERS };
            for last in last {
                ip(&format!("address add {}/{} dev eth0 {check}", at(family, side, last), length(family)));
            }
            ip("link set eth0 up");
            ip(&format!("route add default via {}", at(family, side, 1)));
            move_into(&node);
        }
        let forwarding = match family {
            Family::Ip => "/proc/sys/net/ipv4/ip_forward",
            Family::Ip6 => "/proc/sys/net/ipv6/conf/all/forwarding",
        };
        std::fs::write(forwarding, "1").unwrap();
        move_into(&servers);
        let addresses = (0..SERVERS).map(|index| server(family, index)).map(|server| (server.address, server.port));
        let tcp = addresses.clone().map(|address| TcpListener::bind(address).unwrap()).collect();
        let udp = addresses.map(|address| UdpSocket::bind(address).unwrap()).collect();
        move_into(&node);
        let networks = Networks { family, node, clients, tcp, udp, next: Cell::new(10_000) };
        let start = Instant::now();
        while !networks.is_passable() {
            assert!(start.elapsed() < PATIENCE, "the links are not up");
        }
        networks
    }

    /// Whether a client reaches a server and hears from it. Links take a while to be up, and what is sent before is lost.
    fn is_passable(&self) -> bool {
        const MOMENT: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
        let server = self.server(0);
        let Ok(client) = self.udp_send(self.client(2), (server.address, server.port).into()) else { return false };
        let mut buffer = [0; 8];
        loop {
            let mut ready = [PollFd::new(&self.udp[0], PollFlags::IN), PollFd::new(&client, PollFlags::IN)];
            if retry_on_intr(|| rustix::event::poll(&mut ready, Some(&MOMENT))).unwrap() == 0 {
                return false;
            }
            if !ready[1].revents().is_empty() {
                return client.recv(&mut buffer).is_ok();
            }
            let (_, peer) = self.udp[0].recv_from(&mut buffer).unwrap();
            let _ = self.udp[0].send_to(b"answer", peer);
        }
    }

    /// The server that a client gets by UDP, and the client that the server sees. It has answered.
    pub(super) fn udp(&self, from: IpAddr, to: SocketAddr) -> io::Result<(u8, IpAddr)> {
        let client = self.udp_send(from, to)?;
        // An error comes back to the client.
        let mut ready: Vec<PollFd<'_>> = self.udp.iter().map(|server| PollFd::new(server, PollFlags::IN)).collect();
        ready.push(PollFd::new(&client, PollFlags::IN));
        let index = wait(&mut ready);
        let mut buffer = [0; 8];
        if index == self.udp.len() {
            return Err(client.recv(&mut buffer).expect_err("nobody has answered"));
        }
        let (_, peer) = self.udp[index].recv_from(&mut buffer)?;
        self.udp[index].send_to(b"answer", peer)?;
        wait(&mut [PollFd::new(&client, PollFlags::IN)]);
        assert_eq!(client.recv(&mut buffer)?, 6);
        Ok((u8::try_from(index).unwrap(), peer.ip()))
    }

    /// Has a client send something to whoever it may be.
    pub(super) fn udp_send(&self, from: IpAddr, to: SocketAddr) -> io::Result<UdpSocket> {
        let port = self.next.replace(self.next.get() + 1);
        let client = self.among_clients(|| UdpSocket::bind((from, port)))?;
        client.connect(to)?;
        client.send(b"request")?;
        Ok(client)
    }

    /// The server that the first client gets by TCP, and what they are connected by: the client's side and the server's.
    pub(super) fn tcp(&self, to: SocketAddr) -> io::Result<(u8, [TcpStream; 2])> {
        let mut client = self.among_clients(|| connect(self.client(2), to))?;
        client.set_read_timeout(Some(PATIENCE))?;
        let mut ready: Vec<PollFd<'_>> = self.tcp.iter().map(|server| PollFd::new(server, PollFlags::IN)).collect();
        let index = wait(&mut ready);
        let (mut server, _) = self.tcp[index].accept()?;
        server.set_read_timeout(Some(PATIENCE))?;
        talk(&mut client, &mut server);
        Ok((u8::try_from(index).unwrap(), [client, server]))
    }

    fn among_clients<T>(&self, act: impl FnOnce() -> T) -> T {
        move_into(&self.clients);
        let result = act();
        move_into(&self.node);
        result
    }

    /// An address of the clients, from 2 to 9.
    pub(super) fn client(&self, last: u8) -> IpAddr {
        at(self.family, 1, last)
    }

    /// The node's own address, as the clients (1) or the servers (2) see it.
    pub(super) fn node(&self, side: u8) -> IpAddr {
        at(self.family, side, 1)
    }

    /// Where a server listens.
    pub(super) fn server(&self, index: u8) -> Endpoint {
        server(self.family, index)
    }

    /// An address that nobody has.
    pub(super) fn service(&self) -> SocketAddr {
        (at(self.family, 3, 1), PORT).into()
    }
}

/// Connects from that address.
fn connect(from: IpAddr, to: SocketAddr) -> io::Result<TcpStream> {
    let family = if from.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    rustix::net::bind(&socket, &SocketAddr::from((from, 0)))?;
    match rustix::net::connect(&socket, &to) {
        Ok(()) | Err(Errno::INPROGRESS) => (),
        Err(errno) => return Err(errno.into()),
    }
    wait(&mut [PollFd::new(&socket, PollFlags::OUT)]);
    sockopt::socket_error(&socket)??;
    let stream = TcpStream::from(socket);
    stream.set_nonblocking(false)?;
    Ok(stream)
}

/// Says something there and back.
pub(super) fn talk(client: &mut TcpStream, server: &mut TcpStream) {
    let mut buffer = [0; 4];
    client.write_all(b"ping").unwrap();
    server.read_exact(&mut buffer).unwrap();
    server.write_all(b"pong").unwrap();
    client.read_exact(&mut buffer).unwrap();
    assert_eq!(&buffer, b"pong");
}

fn wait(ready: &mut [PollFd<'_>]) -> usize {
    let patience = Timespec { tv_sec: PATIENCE.as_secs().cast_signed(), tv_nsec: 0 };
    let found = retry_on_intr(|| rustix::event::poll(ready, Some(&patience))).unwrap();
    assert_ne!(found, 0, "nobody got it");
    ready.iter().position(|one| !one.revents().is_empty()).unwrap()
}

fn move_into(network: &File) {
    move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
}

fn server(family: Family, index: u8) -> Endpoint {
    Endpoint { address: at(family, 2, 11 + index), port: PORT }
}

fn at(family: Family, side: u8, last: u8) -> IpAddr {
    match family {
        Family::Ip => Ipv4Addr::new(10, side, 0, last).into(),
        Family::Ip6 => Ipv6Addr::new(0xfd00, side.into(), 0, 0, 0, 0, 0, last.into()).into(),
    }
}

const fn length(family: Family) -> u8 {
    match family {
        Family::Ip => 24,
        Family::Ip6 => 64,
    }
}
