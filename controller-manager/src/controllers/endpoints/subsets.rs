//! Subsets of Endpoints in the one form that upstream gives them.
//!
//! Ports that have the same addresses, ready and not ready, are in one subset, and no two subsets have the same addresses.
//! Addresses are in the order of their text, ports and subsets in that of their hashes. Those are MD5 of how Go prints them,
//! for no other reason than that upstream has it so: another order would be shown by kubectl, and would be written over and
//! over wherever one process of each kind takes turns. They protect nothing.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{EndpointAddress, EndpointPort, EndpointSubset, ObjectReference};
use md5::{Digest, Md5};

use crate::controllers::endpoint_slice::pods::protocol;

/// The most addresses of Endpoints.
pub(super) const MOST_ADDRESSES: usize = 1000;

/// What tells one address from another: the address, and the uid of what is behind it; nothing is behind the last ones.
type Place = (String, bool, String);
/// Addresses, and which of them are ready.
type Addresses = BTreeMap<Place, bool>;
/// A port; `None` stands for having none.
type Port = Option<(String, i32, String, Option<String>)>;

/// The same subsets in the one form.
pub(in crate::controllers) fn repack(subsets: &[EndpointSubset]) -> Vec<EndpointSubset> {
    let mut known: BTreeMap<Place, &EndpointAddress> = BTreeMap::new();
    let mut by_port: BTreeMap<Port, Addresses> = BTreeMap::new();
    for subset in subsets {
        let ports: Vec<Port> = subset.ports.iter().flatten().map(port).collect();
        for port in if ports.is_empty() { vec![None] } else { ports } {
            let addresses = by_port.entry(port).or_default();
            let ready = subset.addresses.iter().flatten().map(|address| (address, true));
            let not_ready = subset.not_ready_addresses.iter().flatten().map(|address| (address, false));
            for (address, ready) in ready.chain(not_ready) {
                known.entry(place(address)).or_insert(address);
                // What is not ready anywhere is not ready.
                *addresses.entry(place(address)).or_insert(ready) &= ready;
            }
        }
    }
    let mut by_addresses: BTreeMap<Vec<(Place, bool)>, Vec<EndpointPort>> = BTreeMap::new();
    for (port, addresses) in by_port.into_iter().filter(|(_, addresses)| !addresses.is_empty()) {
        let ports = by_addresses.entry(addresses.into_iter().collect()).or_default();
        ports.extend(port.map(|(name, port, protocol, app_protocol)| EndpointPort {
            app_protocol,
            name: Some(name).filter(|name| !name.is_empty()),
            port,
            protocol: Some(protocol),
        }));
    }
    let mut subsets: Vec<EndpointSubset> = by_addresses
        .into_iter()
        .map(|(addresses, mut ports)| {
            ports.sort_by_cached_key(|port| Md5::digest(format!("(v1.EndpointPort){}", printed_port(port))));
            let of = |ready: bool| {
                let addresses = addresses.iter().filter(|(_, is)| *is == ready);
                full(addresses.map(|(place, _)| known[place].clone()).collect())
            };
            EndpointSubset { addresses: of(true), not_ready_addresses: of(false), ports: full(ports) }
        })
        .collect();
    subsets.sort_by_cached_key(|subset| Md5::digest(printed(subset)));
    subsets
}

fn full<T>(list: Vec<T>) -> Option<Vec<T>> {
    Some(list).filter(|list| !list.is_empty())
}

fn port(port: &EndpointPort) -> Port {
    let name = port.name.clone().unwrap_or_default();
    Some((name, port.port, protocol(port.protocol.as_ref()).to_owned(), port.app_protocol.clone()))
}

pub(super) fn place(address: &EndpointAddress) -> Place {
    let target = address.target_ref.as_ref();
    let uid = target.and_then(|target| target.uid.clone()).unwrap_or_default();
    (address.ip.clone(), target.is_none(), uid)
}

/// A list as Go prints it for hashes.
fn printed_list<T>(list: Option<&Vec<T>>, of: &str, print: impl Fn(&T) -> String) -> String {
    let items = list.map(|list| list.iter().map(print).collect::<Vec<_>>().join(" "));
    format!("([]v1.{of}){}", items.map_or_else(|| "<nil>".to_owned(), |items| format!("[{items}]")))
}

fn printed(subset: &EndpointSubset) -> String {
    format!(
        "(v1.EndpointSubset){{Addresses:{} NotReadyAddresses:{} Ports:{}}}",
        printed_list(subset.addresses.as_ref(), "EndpointAddress", printed_address),
        printed_list(subset.not_ready_addresses.as_ref(), "EndpointAddress", printed_address),
        printed_list(subset.ports.as_ref(), "EndpointPort", printed_port),
    )
}

fn printed_address(address: &EndpointAddress) -> String {
    format!(
        "{{IP:(string){} Hostname:(string){} NodeName:(*string){} TargetRef:(*v1.ObjectReference){}}}",
        address.ip,
        text(&address.hostname),
        address.node_name.as_deref().unwrap_or("<nil>"),
        address.target_ref.as_ref().map_or_else(|| "<nil>".to_owned(), printed_reference),
    )
}

fn printed_reference(target: &ObjectReference) -> String {
    format!(
        "{{Kind:(string){} Namespace:(string){} Name:(string){} UID:(types.UID){} APIVersion:(string){} \
         ResourceVersion:(string){} FieldPath:(string){}}}",
        text(&target.kind),
        text(&target.namespace),
        text(&target.name),
        text(&target.uid),
        text(&target.api_version),
        text(&target.resource_version),
        text(&target.field_path),
    )
}

fn printed_port(port: &EndpointPort) -> String {
    format!(
        "{{Name:(string){} Port:(int32){} Protocol:(v1.Protocol){} AppProtocol:(*string){}}}",
        text(&port.name),
        port.port,
        protocol(port.protocol.as_ref()),
        port.app_protocol.as_deref().unwrap_or("<nil>"),
    )
}

fn text(text: &Option<String>) -> &str {
    text.as_deref().unwrap_or_default()
}

/// Leaves out addresses beyond [`MOST_ADDRESSES`], those that are not ready first, and of each subset in proportion to how
/// many it has. Returns whether there were too many.
pub(super) fn truncate(subsets: &mut [EndpointSubset]) -> bool {
    let size = |addresses: &Option<Vec<EndpointAddress>>| addresses.as_ref().map_or(0, Vec::len);
    let ready: usize = subsets.iter().map(|subset| size(&subset.addresses)).sum();
    let not_ready: usize = subsets.iter().map(|subset| size(&subset.not_ready_addresses)).sum();
    if ready + not_ready <= MOST_ADDRESSES {
        return false;
    }
    let too_many_are_ready = ready > MOST_ADDRESSES;
    let (most, total) = if too_many_are_ready { (MOST_ADDRESSES, ready) } else { (MOST_ADDRESSES - ready, not_ready) };
    let mut left = most;
    for subset in subsets {
        let list = if too_many_are_ready { &mut subset.addresses } else { &mut subset.not_ready_addresses };
        let share = size(list) as f64 / total as f64 * most as f64;
        let kept = (share.ceil() as usize).min(left);
        if let Some(addresses) = list {
            addresses.truncate(kept);
            left -= addresses.len();
        }
        *list = list.take().and_then(full);
        if too_many_are_ready {
            subset.not_ready_addresses = None;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// A subset, as ready addresses, addresses that are not, and ports by number.
    type Told = (Vec<String>, Vec<String>, Vec<i32>);

    fn address(text: &str) -> EndpointAddress {
        let (ip, uid) = text.split_once('/').unwrap_or((text, ""));
        let target = ObjectReference { uid: Some(uid.to_owned()), ..ObjectReference::default() };
        let target_ref = Some(target).filter(|_| !uid.is_empty());
        EndpointAddress { ip: ip.to_owned(), target_ref, ..EndpointAddress::default() }
    }

    fn subset(ready: &[&str], not_ready: &[&str], ports: &[i32]) -> EndpointSubset {
        let addresses = |list: &[&str]| full(list.iter().map(|text| address(text)).collect());
        let port =
            |port: &i32| EndpointPort { port: *port, protocol: Some("TCP".to_owned()), ..EndpointPort::default() };
        EndpointSubset {
            addresses: addresses(ready),
            not_ready_addresses: addresses(not_ready),
            ports: full(ports.iter().map(port).collect()),
        }
    }

    fn told(subsets: &[EndpointSubset]) -> BTreeSet<Told> {
        let addresses = |list: &Option<Vec<EndpointAddress>>| {
            let text = |address: &EndpointAddress| match place(address) {
                (ip, true, _) => ip,
                (ip, false, uid) => format!("{ip}/{uid}"),
            };
            list.iter().flatten().map(text).collect()
        };
        let tell = |subset: &EndpointSubset| {
            let mut ports: Vec<i32> = subset.ports.iter().flatten().map(|port| port.port).collect();
            ports.sort_unstable();
            (addresses(&subset.addresses), addresses(&subset.not_ready_addresses), ports)
        };
        subsets.iter().map(tell).collect()
    }

    #[test]
    fn subsets_are_packed_as_upstream_packs_them() {
        let check = |given: &[EndpointSubset], expected: &[EndpointSubset]| {
            assert_eq!(told(&repack(given)), told(expected));
        };
        check(&[], &[]);
        check(&[subset(&[], &[], &[])], &[]);
        check(&[subset(&[], &[], &[111])], &[]);
        check(&[subset(&["1"], &[], &[])], &[subset(&["1"], &[], &[])]);
        check(&[subset(&["1", "2"], &[], &[]), subset(&["3"], &[], &[])], &[subset(&["1", "2", "3"], &[], &[])]);
        check(&[subset(&["2"], &[], &[111]), subset(&["1"], &[], &[111])], &[subset(&["1", "2"], &[], &[111])]);
        check(&[subset(&["1"], &[], &[111]), subset(&["1"], &[], &[222])], &[subset(&["1"], &[], &[111, 222])]);
        check(&[subset(&["1"], &[], &[1]), subset(&[], &["1"], &[1])], &[subset(&[], &["1"], &[1])]);
        check(
            &[subset(&["1"], &[], &[1]), subset(&[], &["1"], &[2])],
            &[subset(&["1"], &[], &[1]), subset(&[], &["1"], &[2])],
        );
        // Addresses without ports say nothing of those that have some.
        check(&[subset(&["1"], &[], &[1]), subset(&["1"], &[], &[])], &[subset(&["1"], &[], &[1])]);
        check(
            &[subset(&["1"], &[], &[1]), subset(&["2"], &[], &[])],
            &[subset(&["1"], &[], &[1]), subset(&["2"], &[], &[])],
        );
        check(&[subset(&["1/b", "1/a", "1"], &[], &[1])], &[subset(&["1/a", "1/b", "1"], &[], &[1])]);
        check(
            &[subset(&["1", "2"], &[], &[1]), subset(&["2", "3"], &[], &[2])],
            &[subset(&["1", "2"], &[], &[1]), subset(&["2", "3"], &[], &[2])],
        );
    }

    #[test]
    fn ports_are_in_the_order_that_clusters_show() {
        // As the Endpoints of the cluster's DNS are shown by every cluster.
        let port = |name: &str, port: i32, protocol: &str| EndpointPort {
            name: Some(name.to_owned()),
            port,
            protocol: Some(protocol.to_owned()),
            ..EndpointPort::default()
        };
        let ports = vec![port("dns", 53, "UDP"), port("dns-tcp", 53, "TCP"), port("metrics", 9153, "TCP")];
        let packed = repack(&[EndpointSubset { ports: Some(ports), ..subset(&["10.244.0.2"], &[], &[]) }]);
        let names: Vec<&str> = packed[0].ports.iter().flatten().filter_map(|port| port.name.as_deref()).collect();
        assert_eq!(names, ["dns-tcp", "dns", "metrics"]);
    }

    #[test]
    fn addresses_beyond_the_capacity_are_left_out() {
        let check = |given: &[(usize, usize)], expected: &[(usize, usize)], truncated: bool| {
            let list = |count: usize| full((0..count).map(|index| address(&index.to_string())).collect());
            let mut subsets: Vec<EndpointSubset> = given
                .iter()
                .map(|(ready, not)| EndpointSubset {
                    addresses: list(*ready),
                    not_ready_addresses: list(*not),
                    ports: None,
                })
                .collect();
            assert_eq!(truncate(&mut subsets), truncated);
            let size = |addresses: &Option<Vec<EndpointAddress>>| addresses.as_ref().map_or(0, Vec::len);
            let sizes: Vec<_> =
                subsets.iter().map(|subset| (size(&subset.addresses), size(&subset.not_ready_addresses))).collect();
            assert_eq!(sizes, expected);
        };
        check(&[(900, 100)], &[(900, 100)], false);
        check(&[(900, 101)], &[(900, 100)], true);
        check(&[(1001, 5)], &[(1000, 0)], true);
        check(&[(0, 800), (0, 800)], &[(0, 500), (0, 500)], true);
        check(&[(100, 300), (100, 900)], &[(100, 200), (100, 600)], true);
        check(&[(700, 10), (701, 10), (702, 0)], &[(333, 0), (334, 0), (333, 0)], true);
        check(&[(1001, 0), (1, 0)], &[(1000, 0), (0, 0)], true);
    }

    fn subsets() -> impl Strategy<Value = Vec<EndpointSubset>> {
        let list = || prop::collection::vec(0..6_usize, 0..4);
        let one = (list(), list(), prop::collection::vec(1..4_i32, 0..3)).prop_map(|(ready, not_ready, ports)| {
            let names = |list: &[usize]| -> Vec<String> { list.iter().map(usize::to_string).collect() };
            let (ready, not_ready) = (names(&ready), names(&not_ready));
            let ready: Vec<&str> = ready.iter().map(String::as_str).collect();
            let not_ready: Vec<&str> = not_ready.iter().map(String::as_str).collect();
            subset(&ready, &not_ready, &ports)
        });
        prop::collection::vec(one, 0..6)
    }

    proptest! {
        #[test]
        fn packed_subsets_stay_as_they_are_in_whatever_order_they_came(mut given in subsets()) {
            let packed = repack(&given);
            prop_assert_eq!(&repack(&packed), &packed);
            given.reverse();
            prop_assert_eq!(&repack(&given), &packed);
            // No two subsets have the same addresses.
            let addresses: BTreeSet<_> = told(&packed).into_iter().map(|(ready, not_ready, _)| (ready, not_ready)).collect();
            prop_assert_eq!(addresses.len(), packed.len());
        }
    }
}
