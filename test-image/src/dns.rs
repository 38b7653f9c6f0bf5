//! Looks names up, by `/etc/hosts` and then by DNS over UDP, as `/etc/resolv.conf` says: servers in their order, the search
//! list, and `ndots`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

/// How long a server may take, and how often all are asked.
const PATIENCE: Duration = Duration::from_secs(2);
const ROUNDS: usize = 2;
const IN: u16 = 1;
const A: u16 = 1;
const CNAME: u16 = 5;
const PTR: u16 = 12;
const AAAA: u16 = 28;
const SRV: u16 = 33;

/// What `/etc/resolv.conf` says.
#[derive(Debug, PartialEq, Eq)]
struct Configuration {
    servers: Vec<IpAddr>,
    search: Vec<String>,
    dots: usize,
}

/// What a name stands for: addresses, names with the types `CNAME` and `PTR`, or `priority weight port target` with `SRV`. Fails with the reason of the last
/// attempt.
pub(crate) fn resolve(name: &str, record: &str) -> Result<Vec<String>, String> {
    let record = match record {
        "" | "A" => A,
        "AAAA" => AAAA,
        "CNAME" => CNAME,
        "PTR" => PTR,
        "SRV" => SRV,
        _ => return Err(format!("{record:?} is none of A, AAAA, CNAME, PTR and SRV")),
    };
    let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    let known = in_hosts(&hosts, name, record);
    if !known.is_empty() {
        return Ok(known);
    }
    let text = std::fs::read_to_string("/etc/resolv.conf").map_err(|error| format!("/etc/resolv.conf: {error}"))?;
    let configuration = configuration(&text);
    let mut problem = "there is no server to ask".to_owned();
    for candidate in candidates(name, &configuration) {
        match ask_all(&configuration.servers, &candidate, record) {
            Ok(found) if !found.is_empty() => return Ok(found),
            Ok(_) => problem = format!("{candidate} has no such records"),
            Err(error) => problem = format!("{candidate}: {error}"),
        }
    }
    Err(problem)
}

fn in_hosts(hosts: &str, name: &str, record: u16) -> Vec<String> {
    let lines = hosts.lines().map(|line| line.split('#').next().unwrap_or_default().split_whitespace());
    let found = lines.filter_map(|mut parts| {
        let address: IpAddr = parts.next()?.parse().ok()?;
        let fits = if address.is_ipv4() { record == A } else { record == AAAA };
        (fits && parts.any(|other| other == name)).then(|| address.to_string())
    });
    found.collect()
}

fn configuration(text: &str) -> Configuration {
    let mut configuration = Configuration { servers: Vec::new(), search: Vec::new(), dots: 1 };
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("nameserver") => {
                configuration.servers.extend(words.next().and_then(|server| server.parse::<IpAddr>().ok()))
            }
            Some("search") => configuration.search = words.map(str::to_owned).collect(),
            Some("options") => {
                let dots = words.filter_map(|option| option.strip_prefix("ndots:")?.parse().ok()).next_back();
                configuration.dots = dots.unwrap_or(configuration.dots);
            }
            _ => {}
        }
    }
    configuration
}

/// The full names to try, in their order.
fn candidates(name: &str, configuration: &Configuration) -> Vec<String> {
    if let Some(full) = name.strip_suffix('.') {
        return vec![full.to_owned()];
    }
    let mut names: Vec<String> = configuration.search.iter().map(|domain| format!("{name}.{domain}")).collect();
    let at = if name.matches('.').count() >= configuration.dots { 0 } else { names.len() };
    names.insert(at, name.to_owned());
    names
}

fn ask_all(servers: &[IpAddr], name: &str, record: u16) -> Result<Vec<String>, String> {
    let mut problem = "there is no server to ask".to_owned();
    for server in std::iter::repeat_n(servers, ROUNDS).flatten() {
        match ask(*server, name, record) {
            Ok(answer) => return answer,
            Err(error) => problem = format!("{server}: {error}"),
        }
    }
    Err(problem)
}

/// Asks one server. The outer error is that it could not be asked, the inner what it said.
fn ask(server: IpAddr, name: &str, record: u16) -> std::io::Result<Result<Vec<String>, String>> {
    let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.connect(SocketAddr::new(server, 53))?;
    // The socket takes answers of this server only, so the number need not be hard to guess.
    let question = question(u16::try_from(std::process::id() & 0xffff).unwrap_or_default(), name, record);
    socket.send(&question)?;
    let mut buffer = [0; 4096];
    let length = socket.recv(&mut buffer)?;
    Ok(read(&buffer[..length], record).unwrap_or_else(|| Err("the answer cannot be read".to_owned())))
}

fn question(id: u16, name: &str, record: u16) -> Vec<u8> {
    let mut message = Vec::new();
    // One question, recursion desired.
    for word in [id, 0x0100, 1, 0, 0, 0] {
        message.extend(word.to_be_bytes());
    }
    for label in name.split('.').filter(|label| !label.is_empty()) {
        message.push(u8::try_from(label.len().min(63)).unwrap_or(63));
        message.extend(label.bytes().take(63));
    }
    message.push(0);
    message.extend(record.to_be_bytes());
    message.extend(IN.to_be_bytes());
    message
}

/// The records of an answer; `None` if it cannot be read.
fn read(message: &[u8], record: u16) -> Option<Result<Vec<String>, String>> {
    let word = |at: usize| Some(u16::from_be_bytes([*message.get(at)?, *message.get(at + 1)?]));
    match word(2)? & 0xf {
        0 => {}
        3 => return Some(Err("there is no such name".to_owned())),
        code => return Some(Err(format!("the server failed with {code}"))),
    }
    let mut at = 12;
    for _ in 0..word(4)? {
        at = name_at(message, at)?.1 + 4;
    }
    let mut found = Vec::new();
    for _ in 0..word(6)? {
        at = name_at(message, at)?.1;
        let (kind, length) = (word(at)?, usize::from(word(at + 8)?));
        let data = message.get(at + 10..at + 10 + length)?;
        if kind == record {
            found.push(match kind {
                A => Ipv4Addr::from(<[u8; 4]>::try_from(data).ok()?).to_string(),
                AAAA => Ipv6Addr::from(<[u8; 16]>::try_from(data).ok()?).to_string(),
                CNAME | PTR => name_at(message, at + 10)?.0,
                _ => {
                    let target = name_at(message, at + 16)?.0;
                    format!("{} {} {} {target}", word(at + 10)?, word(at + 12)?, word(at + 14)?)
                }
            });
        }
        at += 10 + length;
    }
    Some(Ok(found))
}

/// The name at a place of a message, and where what follows it begins. Names may point back to others.
fn name_at(message: &[u8], start: usize) -> Option<(String, usize)> {
    let mut labels = Vec::new();
    let (mut at, mut end) = (start, None);
    // No name has more labels, so this ends.
    for _ in 0..128 {
        let length = usize::from(*message.get(at)?);
        match length {
            0 => return Some((labels.join("."), end.unwrap_or(at + 1))),
            1..=63 => {
                labels.push(String::from_utf8_lossy(message.get(at + 1..at + 1 + length)?).into_owned());
                at += 1 + length;
            }
            _ => {
                end.get_or_insert(at + 2);
                at = (length & 0x3f) << 8 | usize::from(*message.get(at + 1)?);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_completed_by_the_search_list() {
        let text = "search a.svc svc\nnameserver 10.0.0.10\nnameserver fd00::a\noptions ndots:2 timeout:1\n";
        let configuration = configuration(text);
        assert_eq!(configuration.servers.len(), 2);
        let check = |name: &str, expected: &[&str]| assert_eq!(candidates(name, &configuration), expected);
        check("web", &["web.a.svc", "web.svc", "web"]);
        check("web.b.c", &["web.b.c", "web.b.c.a.svc", "web.b.c.svc"]);
        check("web.", &["web"]);
    }

    #[test]
    fn hosts_come_first() {
        let hosts = "127.0.0.1 localhost # web\n::1 localhost\n10.0.0.1\tpod web\n";
        assert_eq!(in_hosts(hosts, "web", A), ["10.0.0.1"]);
        assert_eq!(in_hosts(hosts, "localhost", AAAA), ["::1"]);
        assert!(in_hosts(hosts, "localhost", SRV).is_empty());
    }

    #[test]
    fn answers_are_read_and_nonsense_is_not() {
        let mut message = question(7, "web.svc", A);
        message[3] = 0x80;
        message[7] = 2;
        for address in [[10, 0, 0, 1], [10, 0, 0, 2]] {
            message.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4]);
            message.extend(address);
        }
        assert_eq!(read(&message, A), Some(Ok(vec!["10.0.0.1".to_owned(), "10.0.0.2".to_owned()])));
        assert_eq!(read(&message, AAAA), Some(Ok(Vec::new())));
        for length in 0..message.len() {
            assert_eq!(read(&message[..length], A), None, "{length}");
        }
        message[3] = 0x83;
        assert_eq!(read(&message, A), Some(Err("there is no such name".to_owned())));
        // A name that points to itself.
        assert_eq!(name_at(&[0xc0, 0], 0), None);
        let mut message = question(7, "svc", SRV);
        message[7] = 1;
        message.extend([0xc0, 12, 0, 33, 0, 1, 0, 0, 0, 5, 0, 12, 0, 1, 0, 2, 0x1f, 0x90, 3]);
        message.extend(*b"web\xc0\x0c");
        assert_eq!(read(&message, SRV), Some(Ok(vec!["1 2 8080 web.svc".to_owned()])));
        let mut message = question(7, "4.3.2.1.in-addr.arpa", PTR);
        message[7] = 1;
        message.extend([0xc0, 12, 0, 12, 0, 1, 0, 0, 0, 5, 0, 5, 3]);
        message.extend(*b"web\0");
        assert_eq!(read(&message, PTR), Some(Ok(vec!["web".to_owned()])));
    }
}
