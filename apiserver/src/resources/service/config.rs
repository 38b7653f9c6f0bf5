//! From which ranges Services get addresses and ports.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use api::names::{Cidr, parse_cidr_sloppy};

use super::families::Families;
use super::pool::Pool;
use super::spec::{IPV4, IPV6};

/// The longest prefix that a range of IPv6 addresses may leave to hosts, as upstream has it.
const SHORTEST_IPV6_PREFIX: u8 = 64;

/// The number of the address of the cluster's DNS in its range.
const DNS: u64 = 9;

/// The ranges that Services are given addresses and node ports from.
#[derive(Clone, Debug)]
pub struct Config {
    /// In canonical form, the primary one first.
    ranges: Vec<String>,
    primary: Pool,
    secondary: Option<Pool>,
    node_ports: Pool,
    families: Families,
}

/// Why ranges cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A text is no block of addresses.
    #[error("{0:?} is not a range of IP addresses in CIDR notation")]
    Cidr(String),
    /// A block is too small to have any address, or too large to count them.
    #[error("service range {0:?} must have from 1 to 2^64 usable addresses")]
    Size(String),
    /// Both blocks are of the same family.
    #[error("the primary and the secondary service range must be of different IP families")]
    SameFamily,
    /// The range of ports is empty or begins at 0.
    #[error("the range of node ports must have at least one port and begin above 0")]
    NodePorts,
}

impl Default for Config {
    /// What kubeadm sets up: `10.96.0.0/12`, and the ports 30000 to 32767.
    fn default() -> Self {
        Config::new("10.96.0.0/12", None, 30_000..=32_767).expect("these ranges are well-formed")
    }
}

impl Config {
    /// Addresses from `primary` and perhaps `secondary`, in CIDR notation, and ports from `node_ports`.
    ///
    /// # Errors
    /// What is wrong with the ranges.
    pub fn new(primary: &str, secondary: Option<&str>, node_ports: RangeInclusive<u16>) -> Result<Config, ConfigError> {
        let ranges = [Some(primary), secondary].into_iter().flatten().filter_map(canonical).collect();
        let primary = range(primary)?;
        let secondary = secondary.map(range).transpose()?;
        if secondary.as_ref().is_some_and(|secondary| secondary.is_ipv4() == primary.is_ipv4()) {
            return Err(ConfigError::SameFamily);
        }
        if node_ports.is_empty() || *node_ports.start() == 0 {
            return Err(ConfigError::NodePorts);
        }
        let primary_family = if primary.is_ipv4() { IPV4 } else { IPV6 };
        let families = Families { primary: primary_family, dual: secondary.is_some() };
        Ok(Config { ranges, primary, secondary, node_ports: Pool::ports(node_ports), families })
    }

    /// The ranges of addresses in CIDR notation, the primary one first.
    #[must_use]
    pub fn ranges(&self) -> &[String] {
        &self.ranges
    }

    /// The address that the API server has among Services: the first of the primary range.
    #[must_use]
    pub fn first_address(&self) -> String {
        self.primary.item(0)
    }

    /// The address that the cluster's DNS has among Services: the tenth of the primary range, as kubeadm has it. A range may be
    /// too small to have one.
    #[must_use]
    pub fn dns_address(&self) -> Option<String> {
        let address = self.primary.item(DNS);
        self.primary.index(&address).map(|_| address)
    }

    /// Whether the primary range is of IPv4 addresses.
    #[must_use]
    pub fn prefers_ipv4(&self) -> bool {
        self.primary.is_ipv4()
    }

    pub(super) fn families(&self) -> Families {
        self.families
    }

    pub(super) fn node_ports(&self) -> &Pool {
        &self.node_ports
    }

    /// The range of a family, if there is one.
    pub(super) fn addresses(&self, family: &str) -> Option<&Pool> {
        if family == self.families.primary { Some(&self.primary) } else { self.secondary.as_ref() }
    }
}

fn canonical(text: &str) -> Option<String> {
    parse_cidr_sloppy(text).map(|cidr| format!("{}/{}", cidr.network(), cidr.prefix_length))
}

fn range(text: &str) -> Result<Pool, ConfigError> {
    let cidr = parse_cidr_sloppy(text).ok_or_else(|| ConfigError::Cidr(text.to_owned()))?;
    usable(cidr).ok_or_else(|| ConfigError::Size(text.to_owned()))
}

/// The addresses that hosts can have: all but the first, which names the network, and with IPv4 the last, for broadcasts.
fn usable(cidr: Cidr) -> Option<Pool> {
    let first_bits = |network: u128| network.checked_add(1);
    match cidr.network() {
        IpAddr::V4(network) => {
            let total = 1_u64.checked_shl(32 - u32::from(cidr.prefix_length))?;
            let first = u32::try_from(first_bits(network.to_bits().into())?).ok()?;
            (total > 2).then(|| Pool::addresses(IpAddr::V4(first.into()), total - 2, total))
        }
        IpAddr::V6(network) => {
            if cidr.prefix_length < SHORTEST_IPV6_PREFIX {
                return None;
            }
            let total = 1_u128.checked_shl(128 - u32::from(cidr.prefix_length))?;
            let usable = u64::try_from(total - 1).ok()?;
            let first = first_bits(network.to_bits())?;
            (usable > 0).then(|| Pool::addresses(IpAddr::V6(first.into()), usable, usable))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_stated_in_canonical_form() {
        let config = Config::new("10.96.7.1/16", Some("FD00::/112"), 30_000..=32_767).unwrap();
        assert_eq!(config.ranges(), ["10.96.0.0/16", "fd00::/112"]);
        assert_eq!((config.first_address().as_str(), config.prefers_ipv4()), ("10.96.0.1", true));
        let config = Config::new("fd00::/112", None, 30_000..=32_767).unwrap();
        assert_eq!((config.first_address().as_str(), config.prefers_ipv4()), ("fd00::1", false));
    }

    #[test]
    fn wrong_ranges_are_refused() {
        let ports = || 30_000..=32_767;
        let check = |primary: &str, secondary: Option<&str>, ports: RangeInclusive<u16>, expected: &str| {
            let error = Config::new(primary, secondary, ports).map(|_| ()).unwrap_err();
            assert_eq!(error.to_string(), expected);
        };
        check("10.0.0.0", None, ports(), "\"10.0.0.0\" is not a range of IP addresses in CIDR notation");
        let size = |cidr: &str| format!("service range {cidr:?} must have from 1 to 2^64 usable addresses");
        check("10.0.0.0/31", None, ports(), &size("10.0.0.0/31"));
        check("fd00::/63", None, ports(), &size("fd00::/63"));
        check("10.0.0.0/24", Some("fd00::1/128"), ports(), &size("fd00::1/128"));
        let same = "the primary and the secondary service range must be of different IP families";
        check("10.0.0.0/24", Some("10.1.0.0/24"), ports(), same);
        let empty = "the range of node ports must have at least one port and begin above 0";
        check("10.0.0.0/24", None, 0..=5, empty);
        #[allow(clippy::reversed_empty_ranges, reason = "that is what is tested")]
        check("10.0.0.0/24", None, 5..=4, empty);
    }
}
