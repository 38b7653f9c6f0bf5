//! From which addresses nodes get ranges for their pods, as the options of the process say it.

use api::names::{Cidr, parse_cidr_sloppy};

use super::ranges::{Pool, width};

/// The prefix of a node's range, unless something else is said.
const DEFAULT_IPV4: u8 = 24;
const DEFAULT_IPV6: u8 = 64;
/// By how many bits a node's IPv6 prefix may be longer than the cluster's, as upstream has it.
const MOST_BITS: u8 = 16;

/// The options, as they were given. What is empty or `None` was not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `--cluster-cidr`: one range, or two of different families, with a comma in between.
    pub cluster_cidr: String,
    /// `--service-cluster-ip-range`: likewise.
    pub service_cluster_ip_range: String,
    /// `--node-cidr-mask-size`, for clusters of one family.
    pub node_cidr_mask_size: Option<u8>,
    /// `--node-cidr-mask-size-ipv4`.
    pub node_cidr_mask_size_ipv4: Option<u8>,
    /// `--node-cidr-mask-size-ipv6`.
    pub node_cidr_mask_size_ipv6: Option<u8>,
}

/// What is wrong with the options.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    /// There is nothing to give.
    #[error("--cluster-cidr: must be set if nodes are to get ranges for their pods")]
    NoClusterCidr,
    /// What should be a range is none.
    #[error("{option}: {text:?} is not a range of addresses such as 10.0.0.0/16 or fd00::/48")]
    NotACidr {
        /// The option.
        option: &'static str,
        /// The text.
        text: String,
    },
    /// More than one range for a family.
    #[error("{0}: takes one range, or an IPv4 and an IPv6 range")]
    Families(&'static str),
    /// A size for all families, where each needs its own.
    #[error("--node-cidr-mask-size: not with ranges of two families, for which there are {IPV4} and {IPV6}")]
    SizeOfBoth,
    /// A size for all families and one for a family.
    #[error("--node-cidr-mask-size: not together with {IPV4} or {IPV6}")]
    TwoSizes,
    /// A size for a family of which there is no range.
    #[error("{0}: --cluster-cidr has no range of that family")]
    NoSuchFamily(&'static str),
    /// A node would get more than the cluster has.
    #[error("{option}: {mask} is less than the prefix of {cluster} in --cluster-cidr")]
    LargerThanCluster {
        /// The option.
        option: &'static str,
        /// The prefix of nodes.
        mask: u8,
        /// The range of the cluster.
        cluster: String,
    },
    /// A node would get less than an address.
    #[error("{option}: {mask} is more than the bits of an address")]
    LongerThanAddress {
        /// The option.
        option: &'static str,
        /// The prefix of nodes.
        mask: u8,
    },
    /// More ranges than are kept account of.
    #[error("{option}: {mask} may be at most {MOST_BITS} more than the prefix of {cluster} in --cluster-cidr")]
    TooMany {
        /// The option.
        option: &'static str,
        /// The prefix of nodes.
        mask: u8,
        /// The range of the cluster.
        cluster: String,
    },
}

const CLUSTER: &str = "--cluster-cidr";
const SERVICES: &str = "--service-cluster-ip-range";
const EITHER: &str = "--node-cidr-mask-size";
const IPV4: &str = "--node-cidr-mask-size-ipv4";
const IPV6: &str = "--node-cidr-mask-size-ipv6";

impl Options {
    /// What nodes get ranges of, and what is for services.
    pub(super) fn read(&self) -> Result<(Vec<Pool>, Vec<Cidr>), OptionsError> {
        let clusters = ranges(CLUSTER, &self.cluster_cidr)?;
        let services = ranges(SERVICES, &self.service_cluster_ip_range)?;
        if clusters.is_empty() {
            return Err(OptionsError::NoClusterCidr);
        }
        if self.node_cidr_mask_size.is_some() {
            if clusters.len() > 1 {
                return Err(OptionsError::SizeOfBoth);
            }
            if self.node_cidr_mask_size_ipv4.or(self.node_cidr_mask_size_ipv6).is_some() {
                return Err(OptionsError::TwoSizes);
            }
        }
        let has = |v6: bool| clusters.iter().any(|cidr| cidr.address.is_ipv6() == v6);
        for (option, size, v6) in
            [(IPV4, self.node_cidr_mask_size_ipv4, false), (IPV6, self.node_cidr_mask_size_ipv6, true)]
        {
            if size.is_some() && !has(v6) {
                return Err(OptionsError::NoSuchFamily(option));
            }
        }
        let pools: Result<Vec<Pool>, OptionsError> = clusters.iter().map(|cidr| self.pool(cidr)).collect();
        Ok((pools?, services))
    }

    fn pool(&self, cidr: &Cidr) -> Result<Pool, OptionsError> {
        let (option, size, default) = if cidr.address.is_ipv6() {
            (IPV6, self.node_cidr_mask_size_ipv6, DEFAULT_IPV6)
        } else {
            (IPV4, self.node_cidr_mask_size_ipv4, DEFAULT_IPV4)
        };
        let option = if size.is_none() { EITHER } else { option };
        let mask = size.or(self.node_cidr_mask_size).unwrap_or(default);
        let cluster = || format!("{}/{}", cidr.network(), cidr.prefix_length);
        if mask > width(cidr.address) {
            return Err(OptionsError::LongerThanAddress { option, mask });
        }
        if mask < cidr.prefix_length {
            return Err(OptionsError::LargerThanCluster { option, mask, cluster: cluster() });
        }
        if cidr.address.is_ipv6() && mask - cidr.prefix_length > MOST_BITS {
            return Err(OptionsError::TooMany { option, mask, cluster: cluster() });
        }
        Ok(Pool::new(cidr, mask))
    }
}

/// At most a range of each family.
fn ranges(option: &'static str, list: &str) -> Result<Vec<Cidr>, OptionsError> {
    if list.trim().is_empty() {
        return Ok(Vec::new());
    }
    let range = |text: &str| {
        let text = text.trim();
        parse_cidr_sloppy(text).ok_or_else(|| OptionsError::NotACidr { option, text: text.to_owned() })
    };
    let ranges = list.split(',').map(range).collect::<Result<Vec<Cidr>, OptionsError>>()?;
    match &ranges[..] {
        [_] => Ok(ranges),
        [a, b] if a.address.is_ipv4() != b.address.is_ipv4() => Ok(ranges),
        _ => Err(OptionsError::Families(option)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_of_use_or_named() {
        let check = |cluster: &str, services: &str, sizes: [Option<u8>; 3], expected: &str| {
            let options = Options {
                cluster_cidr: cluster.to_owned(),
                service_cluster_ip_range: services.to_owned(),
                node_cidr_mask_size: sizes[0],
                node_cidr_mask_size_ipv4: sizes[1],
                node_cidr_mask_size_ipv6: sizes[2],
            };
            let first = |pool: &Pool| pool.free(&[]).next().unwrap();
            let result = options.read().map(|(pools, _)| pools.iter().map(first).collect::<Vec<_>>().join(","));
            assert_eq!(result.unwrap_or_else(|error| error.to_string()), expected, "{options:?}");
        };
        let none = [None, None, None];
        check("10.0.0.0/16", "", none, "10.0.0.0/24");
        check(" fd00::/48 , 10.0.0.0/16 ", "10.96.0.0/12,fd01::/112", none, "fd00::/64,10.0.0.0/24");
        check("10.0.0.0/16", "", [Some(26), None, None], "10.0.0.0/26");
        check("10.0.0.0/16,fd00::/56", "", [None, Some(25), Some(72)], "10.0.0.0/25,fd00::/72");
        check("", "", none, "--cluster-cidr: must be set if nodes are to get ranges for their pods");
        let not = "is not a range of addresses such as 10.0.0.0/16 or fd00::/48";
        check("10.0.0.0", "", none, &format!("--cluster-cidr: \"10.0.0.0\" {not}"));
        check("10.0.0.0/16,", "", none, &format!("--cluster-cidr: \"\" {not}"));
        check("10.0.0.0/16", "x", none, &format!("--service-cluster-ip-range: \"x\" {not}"));
        let families = "takes one range, or an IPv4 and an IPv6 range";
        check("10.0.0.0/16,10.1.0.0/16", "", none, &format!("--cluster-cidr: {families}"));
        check("10.0.0.0/16", "fd00::/112,fd01::/112", none, &format!("--service-cluster-ip-range: {families}"));
        let both = "--node-cidr-mask-size: not with ranges of two families, for which there are \
                    --node-cidr-mask-size-ipv4 and --node-cidr-mask-size-ipv6";
        check("10.0.0.0/16,fd00::/56", "", [Some(24), None, None], both);
        let two = "--node-cidr-mask-size: not together with --node-cidr-mask-size-ipv4 or --node-cidr-mask-size-ipv6";
        check("10.0.0.0/16", "", [Some(24), Some(24), None], two);
        let family = "--node-cidr-mask-size-ipv6: --cluster-cidr has no range of that family";
        check("10.0.0.0/16", "", [None, None, Some(64)], family);
        let larger = "--node-cidr-mask-size: 24 is less than the prefix of 10.0.0.0/25 in --cluster-cidr";
        check("10.0.0.0/25", "", none, larger);
        let longer = "--node-cidr-mask-size-ipv4: 33 is more than the bits of an address";
        check("10.0.0.0/25", "", [None, Some(33), None], longer);
        let many = "--node-cidr-mask-size: 64 may be at most 16 more than the prefix of fd00::/32 in --cluster-cidr";
        check("fd00::/32", "", none, many);
    }
}
