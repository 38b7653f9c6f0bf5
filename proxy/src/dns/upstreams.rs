//! To which servers questions go that the cluster cannot answer.
//!
//! They are given, or are those of a `resolv.conf`, which is read again when it has changed; of such a file only the
//! `nameserver` lines count. A server that did not answer is asked after the others for a while. This server itself is never
//! among them.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rand::seq::SliceRandom;
use tokio::time::Instant;

/// The port of DNS.
const PORT: u16 = 53;
/// So many servers are used at most; upstream takes no more either.
const MOST: usize = 15;
/// How often it is seen whether the file has changed.
const LOOK: Duration = Duration::from_secs(5);
/// For how long a server that has failed is asked last.
const SHUN: Duration = Duration::from_secs(10);
/// A longer file is not a `resolv.conf`.
const LONGEST_FILE: u64 = 1 << 20;

/// Where questions go that the cluster cannot answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Upstreams {
    /// To the name servers of this file (`/etc/resolv.conf`).
    File(PathBuf),
    /// To these.
    Servers(Vec<SocketAddr>),
}

/// By what a changed file is told from the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Version {
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

struct Server {
    address: SocketAddr,
    failed: Option<Instant>,
}

/// The servers as they are at present.
pub(super) struct Present {
    source: Upstreams,
    own: Vec<SocketAddr>,
    version: Option<Version>,
    looked: Option<Instant>,
    servers: Vec<Server>,
}

impl Present {
    /// The servers of `source`, without `own`, the addresses of this server itself.
    pub(super) fn new(source: Upstreams, own: Vec<SocketAddr>) -> Present {
        Present { source, own, version: None, looked: None, servers: Vec::new() }
    }

    /// Sees whether the servers have changed. If so, returns the new ones.
    pub(super) fn refresh(&mut self, now: Instant) -> Option<Vec<SocketAddr>> {
        if self.looked.is_some_and(|looked| now.duration_since(looked) < LOOK) {
            return None;
        }
        let first = self.looked.is_none();
        self.looked = Some(now);
        let found = match &self.source {
            Upstreams::Servers(servers) if first => servers.clone(),
            Upstreams::Servers(_) => return None,
            Upstreams::File(path) => {
                let version = version_of(path);
                if version.is_some() && version == self.version {
                    return None;
                }
                match read(path) {
                    Ok(servers) => {
                        self.version = version;
                        servers
                    }
                    // The servers that were known are better than none.
                    Err(error) => {
                        if first || self.version.take().is_some() {
                            tracing::warn!(path = %path.display(), %error, "the name servers cannot be read");
                        }
                        return None;
                    }
                }
            }
        };
        let own = |address: &SocketAddr| self.own.contains(address);
        if found.iter().any(own) {
            tracing::warn!("the cluster's DNS is named as its own upstream server: it is not asked");
        }
        let mut servers: Vec<SocketAddr> = Vec::new();
        for address in found.into_iter().filter(|address| !own(address)) {
            if !servers.contains(&address) && servers.len() < MOST {
                servers.push(address);
            }
        }
        if servers.is_empty() {
            tracing::warn!("there is no upstream name server: names outside the cluster cannot be resolved");
        }
        self.servers = servers.iter().map(|address| Server { address: *address, failed: None }).collect();
        Some(servers)
    }

    /// The servers in the order in which they are to be asked: by chance, as upstream does, and those last that have
    /// failed.
    pub(super) fn order(&self, now: Instant) -> Vec<SocketAddr> {
        let shunned = |server: &&Server| server.failed.is_some_and(|failed| now.duration_since(failed) < SHUN);
        let (mut last, mut first): (Vec<&Server>, Vec<&Server>) = self.servers.iter().partition(shunned);
        first.shuffle(&mut rand::rng());
        last.shuffle(&mut rand::rng());
        first.into_iter().chain(last).map(|server| server.address).collect()
    }

    /// Notes how a server did.
    pub(super) fn note(&mut self, address: SocketAddr, failed: Option<Instant>) {
        if let Some(server) = self.servers.iter_mut().find(|server| server.address == address) {
            server.failed = failed;
        }
    }

    /// Whether a server is among those to be asked.
    pub(super) fn has(&self, address: SocketAddr) -> bool {
        self.servers.iter().any(|server| server.address == address)
    }

    /// Asks a server no more, until the servers change.
    pub(super) fn give_up(&mut self, address: SocketAddr) {
        self.servers.retain(|server| server.address != address);
    }
}

fn version_of(path: &Path) -> Option<Version> {
    let found = fs::metadata(path).ok()?;
    Some(Version { inode: found.ino(), size: found.size(), changed: (found.mtime(), found.mtime_nsec()) })
}

fn read(path: &Path) -> io::Result<Vec<SocketAddr>> {
    if fs::metadata(path)?.len() > LONGEST_FILE {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is too large"));
    }
    Ok(nameservers(&String::from_utf8_lossy(&fs::read(path)?)))
}

/// The servers that a `resolv.conf` names.
fn nameservers(text: &str) -> Vec<SocketAddr> {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';']));
    let servers = lines.filter_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some("nameserver")).then(|| words.next()).flatten()
    });
    servers.filter_map(server).collect()
}

/// A server's address, which for a link-local one names the link: `fe80::1%eth0`.
fn server(text: &str) -> Option<SocketAddr> {
    let Some((address, link)) = text.split_once('%') else {
        return Some(SocketAddr::new(text.parse::<IpAddr>().ok()?, PORT));
    };
    let address: Ipv6Addr = address.parse().ok()?;
    let index = || fs::read_to_string(Path::new("/sys/class/net").join(link).join("ifindex")).ok()?.trim().parse().ok();
    let scope = link.parse().ok().or_else(index)?;
    Some(SocketAddrV6::new(address, PORT, 0, scope).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(list: &[&str]) -> Vec<SocketAddr> {
        list.iter().map(|address| address.parse().unwrap()).collect()
    }

    #[test]
    fn of_a_file_only_the_servers_count() {
        let check = |text: &str, expected: &[&str]| assert_eq!(nameservers(text), addresses(expected), "{text}");
        check("", &[]);
        check("nameserver 10.0.0.2\nsearch example.com\nnameserver fd00::2 # ours\n", &["10.0.0.2:53", "[fd00::2]:53"]);
        check("# nameserver 10.0.0.2\n;nameserver 10.0.0.3\n  nameserver\t10.0.0.4", &["10.0.0.4:53"]);
        check("nameserver\nnameserver ns.example.com\noptions ndots:5\nnameservers 10.0.0.1", &[]);
        check("nameserver fe80::1%7", &["[fe80::1%7]:53"]);
        check("nameserver fe80::1%no-such-link\nnameserver 10.0.0.2%eth0", &[]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_is_read_again_when_it_has_changed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("resolv.conf");
        let own = addresses(&["10.96.0.10:53"]);
        let mut present = Present::new(Upstreams::File(path.clone()), own);
        assert_eq!(present.refresh(Instant::now()), None, "there is no file");
        fs::write(&path, "nameserver 10.0.0.2\nnameserver 10.96.0.10\nnameserver 10.0.0.2\n").unwrap();
        assert_eq!(present.refresh(Instant::now()), None, "it was seen just now");
        tokio::time::advance(LOOK).await;
        assert_eq!(present.refresh(Instant::now()), Some(addresses(&["10.0.0.2:53"])), "once, and never oneself");
        tokio::time::advance(LOOK).await;
        assert_eq!(present.refresh(Instant::now()), None, "it is the same");
        // Programs replace the file and do not write into it.
        let new = directory.path().join("new");
        fs::write(&new, "nameserver 10.0.0.3\nnameserver 10.0.0.2\n").unwrap();
        fs::rename(&new, &path).unwrap();
        tokio::time::advance(LOOK).await;
        assert_eq!(present.refresh(Instant::now()), Some(addresses(&["10.0.0.3:53", "10.0.0.2:53"])));
        fs::remove_file(&path).unwrap();
        tokio::time::advance(LOOK).await;
        assert_eq!(present.refresh(Instant::now()), None);
        assert_eq!(present.order(Instant::now()).len(), 2, "those that were known stay");
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_failed_comes_last_for_a_while() {
        let servers = addresses(&["10.0.0.1:53", "10.0.0.2:53", "10.0.0.3:53"]);
        let mut present = Present::new(Upstreams::Servers(servers.clone()), Vec::new());
        assert_eq!(present.refresh(Instant::now()), Some(servers.clone()));
        present.note(servers[1], Some(Instant::now()));
        for _ in 0..50 {
            assert_eq!(present.order(Instant::now()).last(), Some(&servers[1]));
        }
        tokio::time::advance(SHUN).await;
        let firsts = (0..200).map(|_| present.order(Instant::now())[0]);
        assert!(firsts.into_iter().any(|first| first == servers[1]), "it has its chance again");
        present.give_up(servers[0]);
        assert!(!present.order(Instant::now()).contains(&servers[0]));
    }
}
