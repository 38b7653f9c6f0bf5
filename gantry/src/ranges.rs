//! The ranges of addresses that a cluster has: for Services, for pods, and what must not be in them. Whoever is asked for an
//! address that two of them have cannot know whom it means, so such ranges are refused before anything starts with them.

use std::net::IpAddr;

use ::apiserver::resources::service;
use api::names::{Cidr, parse_cidr_sloppy};

/// The option for the addresses of Services.
pub(crate) const SERVICES: &str = "--service-cluster-ip-range";
/// The option for the addresses of pods.
pub(crate) const PODS: &str = "--cluster-cidr";
/// The ports that a Service may have at every node, as upstream has them.
const NODE_PORTS: std::ops::RangeInclusive<u16> = 30_000..=32_767;

/// What Services get addresses from: one range, or two of different families with a comma in between.
pub(crate) fn services(text: &str) -> Result<service::Config, String> {
    let mut ranges = text.split(',').map(str::trim);
    let (primary, secondary) = (ranges.next().unwrap_or_default(), ranges.next());
    if ranges.next().is_some() {
        return Err(format!("{SERVICES}: takes one range, or an IPv4 and an IPv6 range"));
    }
    service::Config::new(primary, secondary, NODE_PORTS).map_err(|error| format!("{SERVICES}: {error}"))
}

/// Refuses ranges of pods and Services that have addresses in common, or one that a node has. What is no range is passed over:
/// that has been refused before, or it is never used.
pub(crate) fn check_apart(pods: &str, services: &str, nodes: &[IpAddr]) -> Result<(), String> {
    let read = |text: &str| text.split(',').filter_map(|range| parse_cidr_sloppy(range.trim())).collect::<Vec<Cidr>>();
    let (pods, services) = (read(pods), read(services));
    for (pod, service) in pods.iter().flat_map(|pod| services.iter().map(move |service| (pod, service))) {
        if overlap(pod, service) {
            let (pod, service) = (shown(pod), shown(service));
            return Err(format!(
                "{PODS} {pod} and {SERVICES} {service} have addresses in common: pods and Services need ranges of their own"
            ));
        }
    }
    for (option, range) in pods.iter().map(|range| (PODS, range)).chain(services.iter().map(|range| (SERVICES, range)))
    {
        if let Some(address) = nodes.iter().find(|address| has(range, **address)) {
            return Err(format!(
                "{option} {} has this node's address {address}: choose a range that none of the cluster's machines is in",
                shown(range)
            ));
        }
    }
    Ok(())
}

fn shown(range: &Cidr) -> String {
    format!("{}/{}", range.network(), range.prefix_length)
}

fn overlap(one: &Cidr, other: &Cidr) -> bool {
    // Of two ranges that have anything in common, one is within the other.
    has(one, other.network()) || has(other, one.network())
}

fn has(range: &Cidr, address: IpAddr) -> bool {
    address.is_ipv4() == range.address.is_ipv4() && Cidr { address, ..*range }.network() == range.network()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_apart_or_named() {
        let check = |pods: &str, services: &str, nodes: &[&str], expected: &str| {
            let nodes: Vec<IpAddr> = nodes.iter().map(|node| node.parse().unwrap()).collect();
            let found = check_apart(pods, services, &nodes).err().unwrap_or_default();
            assert_eq!(found, expected, "{pods} {services} {nodes:?}");
        };
        check("10.128.0.0/9", "10.96.0.0/12", &["192.168.0.1", "fd00::1"], "");
        check("10.128.0.0/9,fd01::/48", "10.96.0.0/12,fd02::/112", &["10.1.0.1", "fd03::1"], "");
        check("nonsense", "10.96.0.0/12", &[], "");
        let own = "pods and Services need ranges of their own";
        let common = "have addresses in common";
        let option = "--service-cluster-ip-range";
        let expected = format!("--cluster-cidr 10.0.0.0/8 and {option} 10.96.0.0/12 {common}: {own}");
        check("10.7.0.0/8", "10.96.0.0/12", &[], &expected);
        let expected = format!("--cluster-cidr 10.97.3.0/24 and {option} 10.96.0.0/12 {common}: {own}");
        check("10.97.3.0/24", "10.96.0.0/12", &[], &expected);
        let expected = format!("--cluster-cidr fd00::/48 and {option} fd00::7:0/112 {common}: {own}");
        check("10.0.0.0/16, fd00::/48", "10.96.0.0/12, fd00::7:0/112", &[], &expected);
        let choose = "choose a range that none of the cluster's machines is in";
        let expected = format!("--cluster-cidr 10.0.0.0/16 has this node's address 10.0.3.4: {choose}");
        check("10.0.0.0/16", "10.96.0.0/12", &["10.0.3.4"], &expected);
        let expected = format!("{option} fd00::/112 has this node's address fd00::5: {choose}");
        check("10.0.0.0/16", "10.96.0.0/12,fd00::/112", &["10.9.0.1", "fd00::5"], &expected);
    }

    #[test]
    fn services_have_one_range_or_two() {
        let check = |text: &str, expected: Result<&[&str], &str>| {
            let found = services(text).map(|config| config.ranges().to_vec());
            assert_eq!(
                found,
                expected.map(|ranges| ranges.iter().map(|range| (*range).to_owned()).collect()).map_err(str::to_owned)
            );
        };
        check("10.96.0.0/12", Ok(&["10.96.0.0/12"]));
        check("fd00::/112, 10.0.0.0/16", Ok(&["fd00::/112", "10.0.0.0/16"]));
        let wrong = |why: &str| format!("--service-cluster-ip-range: {why}");
        check("", Err(&wrong("\"\" is not a range of IP addresses in CIDR notation")));
        check(
            "10.0.0.0/16,10.1.0.0/16",
            Err(&wrong("the primary and the secondary service range must be of different IP families")),
        );
        check("10.0.0.0/16,fd00::/112,fd01::/112", Err(&wrong("takes one range, or an IPv4 and an IPv6 range")));
    }
}
