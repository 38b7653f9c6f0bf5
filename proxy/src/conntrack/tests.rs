//! Connections of UDP through a real kernel, in a network of the test's own: a client that goes on talking stays with whom it
//! was given at first, until that is forgotten.

use std::io::Write;
use std::net::UdpSocket;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::*;

/// A network of this thread's own, with the addresses that servers and Services have here. `None` without the right to it.
#[allow(clippy::print_stdout, reason = "whoever runs the tests should know what they did not do")]
fn own_network() -> Option<()> {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can have a network of its own");
        return None;
    }
    // SAFETY: no file descriptors or memory are set apart, only the network that is used from now on.
    unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNET) }.unwrap();
    run("ip", &["link", "set", "lo", "up"], "");
    for address in ["10.0.0.1/32", "10.0.0.2/32", "fd00::1/128", "fd00::2/128"] {
        run("ip", &["address", "add", address, "dev", "lo"], "");
    }
    run("ip", &["route", "add", "10.96.0.0/12", "dev", "lo"], "");
    run("ip", &["-6", "route", "add", "fd96::/64", "dev", "lo"], "");
    // The kernel puts addresses of IPv6 into use by a job of its own, after it has said that they are there.
    let deadline = Instant::now() + Duration::from_secs(10);
    while UdpSocket::bind("[fd00::1]:0").is_err() || UdpSocket::bind("[fd00::2]:0").is_err() {
        assert!(Instant::now() < deadline, "the addresses cannot be used");
        std::thread::yield_now();
    }
    Some(())
}

fn run(program: &str, arguments: &[&str], input: &str) {
    let mut child = Command::new(program).args(arguments).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "{program} {arguments:?} {input}");
}

/// Leads what goes to the first to the second from now on.
fn lead(pairs: &[(&str, &str)]) {
    let mut rules = "add table inet t\ndelete table inet t\ntable inet t {\n chain c {\n".to_owned();
    rules.push_str("type nat hook output priority -100\n");
    for (from, to) in pairs {
        let (address, port) = from.rsplit_once(':').unwrap();
        let family = if address.starts_with('[') { "ip6" } else { "ip" };
        let address = address.trim_matches(['[', ']']);
        rules.push_str(&format!("{family} daddr {address} udp dport {port} dnat {family} to {to}\n"));
    }
    run("nft", &["-f", "-"], &format!("{rules}}}\n}}\n"));
}

fn server(address: &str) -> UdpSocket {
    let socket = UdpSocket::bind(address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    socket
}

fn client(to: &str) -> UdpSocket {
    let socket = UdpSocket::bind(if to.starts_with('[') { "[::]:0" } else { "0.0.0.0:0" }).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    socket.connect(to).unwrap();
    socket
}

/// Sends something and checks that this server, and no other, gets it; the client gets its answer.
#[track_caller]
fn reaches(client: &UdpSocket, server: &UdpSocket) {
    client.send(b"q").unwrap();
    let mut buffer = [0; 8];
    let (_, from) = server.recv_from(&mut buffer).unwrap();
    server.send_to(b"a", from).unwrap();
    assert_eq!(client.recv(&mut buffer).unwrap(), 1);
}

fn at(text: &str) -> (IpAddr, u16) {
    let address: std::net::SocketAddr = text.parse().unwrap();
    (address.ip(), address.port())
}

fn answered_by(to: &str, by: &str) -> Stale {
    let ((address, port), (of, at)) = (at(to), at(by));
    Stale::AnsweredBy(address, port, Endpoint { address: of, port: at })
}

fn forget_all(stale: &[Stale]) -> usize {
    forget(&Forgetting::of(stale.iter().cloned())).unwrap()
}

/// Flows of one family. `first` and `second` are addresses of the machine, `service` and `other` are not.
fn check([first, second]: [&str; 2], [service, other]: [&str; 2], node_port: u16) {
    let (dns, beside) = (format!("{service}:53"), format!("{other}:53"));
    let (one, two, node) = (format!("{first}:5353"), format!("{second}:5353"), format!("{first}:{node_port}"));
    let (server_one, server_two) = (server(&one), server(&two));
    let all = [dns.as_str(), &beside, &node];
    lead(&all.map(|from| (from, one.as_str())));
    let clients = all.map(client);
    clients.iter().for_each(|client| reaches(client, &server_one));
    lead(&all.map(|from| (from, two.as_str())));
    // The kernel asks no rules about what goes on.
    clients.iter().for_each(|client| reaches(client, &server_one));

    assert_eq!(forget_all(&[]), 0);
    assert_eq!(forget_all(&[answered_by(&dns, &two)]), 0, "it is not with that one");
    assert_eq!(forget_all(&[answered_by(&dns, &one)]), 1);
    reaches(&clients[0], &server_two);
    reaches(&clients[1], &server_one);

    let (address, port) = at(&beside);
    assert_eq!(forget_all(&[Stale::To(address, port + 1)]), 0);
    assert_eq!(forget_all(&[Stale::To(address, port)]), 1);
    reaches(&clients[1], &server_two);
    reaches(&clients[2], &server_one);

    let family = Family::of(address);
    let elsewhere = if family == Family::Ip { Family::Ip6 } else { Family::Ip };
    assert_eq!(
        forget_all(&[Stale::NodePort(elsewhere, node_port), Stale::NodePort(family, 53)]),
        0,
        "not the machine's own"
    );
    assert_eq!(forget_all(&[Stale::NodePort(family, node_port)]), 1);
    reaches(&clients[2], &server_two);
}

#[test]
fn flows_are_forgotten_one_by_one() {
    if own_network().is_none() {
        return;
    }
    check(["10.0.0.1", "10.0.0.2"], ["10.96.0.10", "10.96.0.11"], 30_053);
    check(["[fd00::1]", "[fd00::2]"], ["[fd96::a]", "[fd96::b]"], 30_054);
}

/// More than one message to the kernel, and more than one from it.
#[test]
fn many_flows_are_forgotten_at_once() {
    if own_network().is_none() {
        return;
    }
    let server = server("10.0.0.1:5353");
    lead(&[("10.96.0.10:53", "10.0.0.1:5353")]);
    let clients: Vec<UdpSocket> = (0..700).map(|_| client("10.96.0.10:53")).collect();
    clients.iter().for_each(|client| reaches(client, &server));
    let stale = [answered_by("10.96.0.10:53", "10.0.0.1:5353"), answered_by("10.96.0.10:53", "10.0.0.2:5353")];
    assert_eq!(forget_all(&stale), clients.len());
    assert_eq!(forget_all(&stale), 0);
}

#[test]
fn what_is_to_be_forgotten_has_a_bound() {
    let mut forgetting = Forgetting::of([Stale::NodePort(Family::Ip, 1), Stale::NodePort(Family::Ip6, 2)]);
    let (address, port) = at("10.96.0.10:53");
    for number in 0..2 * u32::try_from(MANY).unwrap() {
        let endpoint = Endpoint { address: IpAddr::from(number.to_be_bytes()), port: 53 };
        forgetting.add(Stale::AnsweredBy(address, port, endpoint));
    }
    assert!(forgetting.answered.len() <= MANY);
    assert!(forgetting.to.contains(&(address, port)));
    forgetting.add(Stale::To("fd00::1".parse().unwrap(), 53));
    let taken = forgetting.take(Family::Ip6);
    assert_eq!(taken, Forgetting::of([Stale::NodePort(Family::Ip6, 2), Stale::To("fd00::1".parse().unwrap(), 53)]));
    assert_eq!(forgetting.node_ports, BTreeSet::from([(Family::Ip, 1)]));
    forgetting.extend(taken);
    assert_eq!((forgetting.node_ports.len(), forgetting.to.len()), (2, 2));
}

#[test]
fn connections_that_are_not_of_udp_or_cut_short_are_nothing() {
    let tuple = |protocol: u8| {
        let (mut addresses, mut ports, mut tuple) = (Vec::new(), Vec::new(), Vec::new());
        put(&mut addresses, V4_SOURCE, &[10, 0, 0, 1], false);
        put(&mut addresses, V4_DESTINATION, &[10, 0, 0, 2], false);
        put(&mut ports, NUMBER, &[protocol], false);
        put(&mut ports, SOURCE_PORT, &7_u16.to_be_bytes(), false);
        put(&mut ports, DESTINATION_PORT, &53_u16.to_be_bytes(), false);
        put(&mut tuple, TUPLE_ADDRESSES, &addresses, true);
        put(&mut tuple, TUPLE_PROTOCOL, &ports, true);
        tuple
    };
    let body = |protocol: u8| {
        let mut body = vec![2, 0, 0, 0];
        put(&mut body, ORIGINAL, &tuple(protocol), true);
        put(&mut body, REPLY, &tuple(protocol), true);
        body
    };
    let udp = body(UDP);
    assert_eq!(flow(&udp), Some(Flow { destination: at("10.0.0.2:53"), answered: at("10.0.0.1:7") }));
    assert_eq!(flow(&body(6)), None);
    for length in 0..udp.len() - 4 {
        assert_eq!(flow(&udp[..length]), None, "{length}");
        // A request without a tuple would be about everything.
        let named = deletion(&udp[..length]).is_none_or(|it| attribute(&it.body[HEADER..], ORIGINAL).is_some());
        assert!(named, "{length}");
    }
}
