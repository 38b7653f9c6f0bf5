//! What the network needs to know of a node, out of its Node.

use std::net::IpAddr;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use nft::Prefix;
use sha2::{Digest, Sha256};

/// A node of the network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Since when there has been such a Node. Of two nodes with the same range, the older one has it.
    pub since: Option<Timestamp>,
    /// The ranges of its pods' addresses.
    pub ranges: Vec<Prefix>,
    /// Its own addresses, within the cluster.
    pub addresses: Vec<IpAddr>,
    /// A range that is none, as it is written.
    pub nonsense: Option<String>,
}

impl Member {
    /// Out of the Node.
    #[must_use]
    pub fn of(node: &Node) -> Member {
        let spec = node.spec.as_ref();
        let mut written: Vec<&str> =
            spec.iter().flat_map(|spec| spec.pod_cidrs.iter().flatten()).map(String::as_str).collect();
        if written.is_empty() {
            written =
                spec.iter().filter_map(|spec| spec.pod_cidr.as_deref()).filter(|range| !range.is_empty()).collect();
        }
        let addresses = node.status.iter().flat_map(|status| status.addresses.iter().flatten());
        let addresses = addresses.filter(|address| address.type_ == "InternalIP");
        Member {
            name: node.metadata.name.clone().unwrap_or_default(),
            since: node.metadata.creation_timestamp.as_ref().map(|time| time.0),
            ranges: written.iter().filter_map(|range| parse(range)).collect(),
            addresses: addresses.filter_map(|address| address.address.parse().ok()).collect(),
            nonsense: written.iter().find(|range| parse(range).is_none()).map(|range| (*range).to_owned()),
        }
    }

    /// The hardware address of its tunnels: one that nobody makes cards with, and that the name leads to.
    #[must_use]
    pub fn hardware_address(&self) -> [u8; 6] {
        let sum = Sha256::digest(self.name.as_bytes());
        [(sum[0] & 0xfc) | 0x02, sum[1], sum[2], sum[3], sum[4], sum[5]]
    }

    /// Its first address of a family.
    #[must_use]
    pub(crate) fn address(&self, is_ipv4: bool) -> Option<IpAddr> {
        self.addresses.iter().copied().find(|address| address.is_ipv4() == is_ipv4)
    }
}

/// A range of addresses, as `10.1.2.0/24`.
pub(crate) fn parse(range: &str) -> Option<Prefix> {
    let (address, length) = range.split_once('/')?;
    let digits = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
    Prefix::new(address.parse().ok()?, digits.then(|| length.parse().ok())??)
}

/// Whether some address is in both.
pub(crate) fn overlap(a: &Prefix, b: &Prefix) -> bool {
    a.contains(b.address) || b.contains(a.address)
}

/// A range as it is written.
pub(crate) fn text(range: &Prefix) -> String {
    format!("{}/{}", range.address, range.length)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn members_are_read_from_nodes() {
        let node = |spec: serde_json::Value| {
            let status = json!({"addresses": [
                {"type": "Hostname", "address": "a"},
                {"type": "ExternalIP", "address": "1.2.3.4"},
                {"type": "InternalIP", "address": "192.168.1.2"},
                {"type": "InternalIP", "address": "fd01::2"},
            ]});
            let node = json!({"metadata": {"name": "a"}, "spec": spec, "status": status});
            Member::of(&serde_json::from_value(node).unwrap())
        };
        let member = node(json!({"podCIDR": "10.0.1.0/24", "podCIDRs": ["10.0.1.0/24", "fd00:1::/64"]}));
        assert_eq!(member.ranges.iter().map(text).collect::<Vec<_>>(), ["10.0.1.0/24", "fd00:1::/64"]);
        assert_eq!(member.address(true), Some("192.168.1.2".parse().unwrap()));
        assert_eq!(member.address(false), Some("fd01::2".parse().unwrap()));
        assert_eq!(node(json!({"podCIDR": "10.0.1.0/24"})).ranges.len(), 1);
        assert_eq!(node(json!({"podCIDR": ""})).ranges.len(), 0);
        let wrong = node(json!({"podCIDRs": ["10.0.0.0/24", "10.0.0.0/33"]}));
        assert_eq!(wrong.nonsense.as_deref(), Some("10.0.0.0/33"));
    }

    #[test]
    fn hardware_addresses_are_local_ones_of_one_card_each() {
        let of = |name: &str| Member { name: name.to_owned(), ..Member::default() }.hardware_address();
        assert_eq!(of("a"), of("a"));
        assert_ne!(of("a"), of("b"));
        for number in 0..100 {
            assert_eq!(of(&format!("node-{number}"))[0] & 3, 2);
        }
    }

    #[test]
    fn ranges_are_read_strictly() {
        for wrong in ["", "10.0.0.0", "10.0.0.0/", "10.0.0.0/+8", "10.0.0.0/33", "fd00::/129", "x/8"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
        assert_eq!(text(&parse("10.1.2.3/16").unwrap()), "10.1.0.0/16");
        let check = |a: &str, b: &str, expected: bool| {
            let (a, b) = (parse(a).unwrap(), parse(b).unwrap());
            assert_eq!((overlap(&a, &b), overlap(&b, &a)), (expected, expected));
        };
        check("10.0.0.0/8", "10.1.0.0/16", true);
        check("10.0.0.0/16", "10.1.0.0/16", false);
        check("0.0.0.0/0", "::/0", false);
    }
}
