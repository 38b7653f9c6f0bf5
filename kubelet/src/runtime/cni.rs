//! The network of one node's pods, as a configuration for the standard CNI plugins: a link for each pod, addresses from the
//! node's ranges, and host ports. The runtime adds the loopback device by itself.
//!
//! The node routes what a pod sends, even to its neighbour, so that all of it passes the packet filter: behind a bridge, what
//! a Service's pod answers to a pod of the same node would not, and would carry another address than the one that was asked.
//! The plugin translates no addresses: it would do so between pods of different nodes as well. That is the business of
//! whoever knows the ranges of all nodes.
//!
//! The configuration is one file, which appears and changes at once: the runtime, which watches its directory, never sees
//! half of it.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::Layout;
use super::private::replace;

/// The file's name: the runtime takes the first one of its directory.
const FILE: &str = "10-gantry.conflist";
/// The version of CNI's configurations that containerd 1.6 and the plugins of that time know.
const VERSION: &str = "1.0.0";

/// A node's pod network, but for its addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Its name, which the plugins keep their records under.
    pub name: String,
    /// The most bytes of a packet; the kernel's own number if it is not said.
    pub mtu: Option<u32>,
    /// Where it is written down which addresses are taken.
    pub addresses: PathBuf,
}

/// Why a network cannot be configured.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// There are no addresses.
    #[error("the node has no addresses for pods (spec.podCIDRs is empty)")]
    NoRange,
    /// A range is none.
    #[error("spec.podCIDRs: {0:?} is no range of addresses: write it as 10.1.2.0/24 or fd00::/64")]
    Range(String),
    /// The file cannot be written.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Network {
    /// The network of a private containerd.
    #[must_use]
    pub fn of(layout: &Layout) -> Network {
        Network { name: "gantry".to_owned(), mtu: None, addresses: layout.addresses() }
    }

    /// The configuration for these ranges, one of a family at most. Pure.
    pub fn configuration<S: AsRef<str>>(&self, ranges: &[S]) -> Result<Value, NetworkError> {
        if ranges.is_empty() {
            return Err(NetworkError::NoRange);
        }
        let mut subnets = Vec::new();
        let mut routes = Vec::new();
        for range in ranges {
            let range = range.as_ref();
            let family = family(range).ok_or_else(|| NetworkError::Range(range.to_owned()))?;
            subnets.push(json!([{ "subnet": range }]));
            routes.push(json!({ "dst": if family.is_ipv4() { "0.0.0.0/0" } else { "::/0" } }));
        }
        let mut link = json!({
            "type": "ptp",
            "ipMasq": false,
            "ipam": {
                "type": "host-local",
                "dataDir": self.addresses,
                "ranges": subnets,
                "routes": routes,
            },
        });
        if let Some(mtu) = self.mtu {
            link["mtu"] = mtu.into();
        }
        let ports = json!({ "type": "portmap", "capabilities": { "portMappings": true } });
        Ok(json!({ "cniVersion": VERSION, "name": self.name, "plugins": [link, ports] }))
    }
}

/// Has the network configuration of a directory be this one. Says whether it was another before.
pub fn write<S: AsRef<str>>(directory: &Path, network: &Network, ranges: &[S]) -> Result<bool, NetworkError> {
    let configuration = network.configuration(ranges)?;
    let content = format!("{configuration:#}\n");
    let path = directory.join(FILE);
    let problem = |source| NetworkError::File { path: path.clone(), source };
    match std::fs::read(&path) {
        Ok(before) if before == content.as_bytes() => return Ok(false),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(problem(error)),
    }
    std::fs::create_dir_all(directory).map_err(problem)?;
    replace(&path, content.as_bytes(), 0o644).map_err(problem)?;
    Ok(true)
}

/// Has the directory have no network configuration of ours. Says whether there was one.
pub fn remove(directory: &Path) -> io::Result<bool> {
    match std::fs::remove_file(directory.join(FILE)) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// The name of the network that is configured in a directory, if one is.
pub(super) fn configured(directory: &Path) -> Option<String> {
    let configuration: Value = serde_json::from_slice(&std::fs::read(directory.join(FILE)).ok()?).ok()?;
    Some(configuration.get("name")?.as_str()?.to_owned())
}

/// An address of the family of a range, if it is one.
fn family(range: &str) -> Option<IpAddr> {
    let (address, prefix) = range.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    let bits = if address.is_ipv4() { 32 } else { 128 };
    let digits = prefix.bytes().all(|byte| byte.is_ascii_digit());
    (digits && prefix.parse::<u8>().ok()? <= bits).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network() -> Network {
        Network::of(&Layout::of(Path::new("/data")))
    }

    #[test]
    fn each_family_has_its_range_and_its_route() {
        let cases: [(&[&str], &[&str]); 3] = [
            (&["10.1.2.0/24"], &["0.0.0.0/0"]),
            (&["fd00::/64"], &["::/0"]),
            (&["10.1.2.0/24", "fd00::/64"], &["0.0.0.0/0", "::/0"]),
        ];
        for (ranges, routes) in cases {
            let configuration = network().configuration(ranges).unwrap();
            let ipam = &configuration["plugins"][0]["ipam"];
            let subnets: Vec<_> = ranges.iter().map(|range| json!([{ "subnet": range }])).collect();
            assert_eq!(ipam["ranges"], json!(subnets));
            let expected: Vec<_> = routes.iter().map(|route| json!({ "dst": route })).collect();
            assert_eq!(ipam["routes"], json!(expected));
            assert_eq!(ipam["dataDir"], "/data/containerd/cni/addresses");
            assert_eq!(configuration["plugins"][1]["capabilities"]["portMappings"], true);
            assert_eq!(configuration["plugins"][0].get("mtu"), None);
            assert_eq!(configuration["plugins"][0]["type"], "ptp");
            assert_eq!(configuration["plugins"][0]["ipMasq"], false);
        }
        let configuration = Network { mtu: Some(1400), ..network() }.configuration(&["10.0.0.0/8"]).unwrap();
        assert_eq!(configuration["plugins"][0]["mtu"], 1400);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for range in ["", "10.0.0.0", "10.0.0.0/33", "10.0.0.0/+8", "fd00::/129", "x/8"] {
            let error = network().configuration(&[range]).unwrap_err();
            assert!(error.to_string().starts_with("spec.podCIDRs"), "{error}");
        }
        assert!(matches!(network().configuration::<&str>(&[]), Err(NetworkError::NoRange)));
    }

    #[test]
    fn the_file_is_written_when_it_changes() {
        let directory = tempfile::tempdir().unwrap();
        let networks = directory.path().join("net.d");
        assert!(write(&networks, &network(), &["10.1.2.0/24"]).unwrap());
        assert!(!write(&networks, &network(), &["10.1.2.0/24"]).unwrap());
        assert!(write(&networks, &network(), &["10.1.3.0/24"]).unwrap());
        assert_eq!(std::fs::read_dir(&networks).unwrap().count(), 1);
        assert_eq!(configured(&networks), Some("gantry".to_owned()));
        assert!(remove(&networks).unwrap());
        assert!(!remove(&networks).unwrap());
        assert_eq!(configured(&networks), None);
    }
}
