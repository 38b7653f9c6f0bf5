//! The addresses of the cluster's DNS, on the loopback device of every node.
//!
//! So the node itself has them, and answers its own pods without a detour. They are single addresses (`/32`, `/128`) that
//! are known on this machine only, and no connection that leaves it begins at one. To put one that is there is no error: what
//! a process that was killed has left behind needs no care. They carry a mark, by which they are found and removed.

use std::io;
use std::net::IpAddr;

use futures::TryStreamExt;
use rtnetlink::packet_route::address::{
    AddressAttribute, AddressHeaderFlags, AddressMessage, AddressProtocol, AddressScope, CacheInfo,
};
use rtnetlink::{Handle, new_connection};
use thiserror::Error;

/// The loopback device.
const DEVICE: &str = "lo";

/// What addresses of ours are marked with (`IFA_PROTO`): a number that neither the kernel nor well-known programs use.
const OURS: u8 = 72;

/// Why addresses could not be put or removed.
#[derive(Debug, Error)]
pub enum AddressError {
    /// There is no way to the kernel.
    #[error("the network devices cannot be asked for: {0}")]
    Netlink(#[from] io::Error),
    /// There is no loopback device.
    #[error("this machine has no device {DEVICE}: {0}")]
    Device(rtnetlink::Error),
    /// The kernel does not want to.
    #[error("{address} on the device {DEVICE}: {source}")]
    Address {
        /// The address.
        address: IpAddr,
        /// What the kernel says.
        source: rtnetlink::Error,
    },
}

/// Puts addresses on the loopback device of the network that the calling thread is in.
///
/// # Errors
///
/// If the kernel does not let us, for example for want of the capability `NET_ADMIN`. What was put until then stays.
pub async fn put(addresses: &[IpAddr]) -> Result<(), AddressError> {
    with_device(async |handle, device| {
        for address in addresses {
            let mut request = handle.address().add(device, *address, width(*address));
            limit(request.message_mut(), *address);
            request.message_mut().attributes.push(mark());
            unless(request.execute().await, io::ErrorKind::AlreadyExists, *address)?;
        }
        Ok(())
    })
    .await
}

/// Removes all addresses that were put on the loopback device of the network that the calling thread is in, and returns
/// how many there were.
///
/// # Errors
///
/// As of [`put`].
pub async fn remove_all() -> Result<usize, AddressError> {
    let mut removed = 0;
    with_device(async |handle, device| {
        let all = handle.address().get().set_link_index_filter(device).execute();
        let all: Vec<AddressMessage> = all.try_collect().await.map_err(AddressError::Device)?;
        for message in all.into_iter().filter(|message| message.attributes.contains(&mark())) {
            let Some(address) = address_of(&message) else { continue };
            unless(handle.address().del(message).execute().await, io::ErrorKind::AddrNotAvailable, address)?;
            removed += 1;
        }
        Ok(())
    })
    .await?;
    Ok(removed)
}

fn mark() -> AddressAttribute {
    AddressAttribute::Protocol(AddressProtocol::Other(OURS))
}

fn address_of(message: &AddressMessage) -> Option<IpAddr> {
    message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Address(address) => Some(*address),
        _ => None,
    })
}

/// Does something with a way to the kernel and the number of the loopback device.
async fn with_device(then: impl AsyncFnOnce(Handle, u32) -> Result<(), AddressError>) -> Result<(), AddressError> {
    let (connection, handle, _) = new_connection()?;
    let connection = tokio::spawn(connection);
    let found = handle.link().get().match_name(DEVICE.to_owned()).execute().try_next().await;
    let done = match found {
        Ok(Some(device)) => then(handle, device.header.index).await,
        Ok(None) => Err(AddressError::Device(rtnetlink::Error::RequestFailed)),
        Err(error) => Err(AddressError::Device(error)),
    };
    connection.abort();
    done
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// Sees to it that no connection to elsewhere begins at the address: of IPv4 by its scope, of IPv6, where the kernel sets that
/// itself, by its being good for no new use (though it goes on to be answered at).
///
/// The kernel is told not to look for others that have an address of IPv6 (there are none on this device). Otherwise nobody
/// can listen at it until a job of the kernel's has had its turn, which is after the answer to our request.
fn limit(message: &mut AddressMessage, address: IpAddr) {
    message.header.scope = AddressScope::Host;
    if address.is_ipv6() {
        message.header.flags |= AddressHeaderFlags::Nodad;
        let mut times = CacheInfo::default();
        (times.ifa_preferred, times.ifa_valid) = (0, u32::MAX);
        message.attributes.push(AddressAttribute::CacheInfo(times));
    }
}

/// The outcome, of which one error is none.
fn unless(outcome: Result<(), rtnetlink::Error>, harmless: io::ErrorKind, address: IpAddr) -> Result<(), AddressError> {
    match outcome {
        Err(rtnetlink::Error::NetlinkError(error)) if error.to_io().kind() == harmless => Ok(()),
        outcome => outcome.map_err(|source| AddressError::Address { address, source }),
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Gives this test's thread a network of its own. Returns whether it may.
    #[allow(clippy::print_stdout, reason = "whoever runs the tests should know what they did not do")]
    fn own_network() -> bool {
        // SAFETY: no file descriptors or memory are set apart, only the network that is used from now on.
        let unshared = unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNET) };
        if unshared.is_err() {
            println!("skipped: only root can have a network of its own");
            return false;
        }
        let up = Command::new("ip").args(["link", "set", "lo", "up"]).status();
        assert!(up.is_ok_and(|status| status.success()), "ip of iproute2 is there");
        true
    }

    fn shown() -> String {
        let output = Command::new("ip").args(["-o", "address", "show", "dev", "lo"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    #[tokio::test]
    async fn addresses_come_and_go_and_may_be_asked_for_twice() {
        if !own_network() {
            return;
        }
        let addresses: Vec<IpAddr> = vec!["10.96.0.10".parse().unwrap(), "fd00:96::a".parse().unwrap()];
        let before = shown();
        for _ in 0..2 {
            put(&addresses).await.unwrap();
            for address in &addresses {
                std::net::UdpSocket::bind((*address, 53)).expect("one can listen there at once");
            }
            let shown = shown();
            let lines: Vec<&str> = shown.lines().filter(|line| !before.contains(line)).collect();
            let has = |parts: &[&str]| lines.iter().any(|line| parts.iter().all(|part| line.contains(part)));
            assert!(has(&["inet 10.96.0.10/32", "scope host"]), "{shown}");
            assert!(has(&["inet6 fd00:96::a/128", "deprecated"]), "{shown}");
        }
        for left in [2, 0] {
            assert_eq!(remove_all().await.unwrap(), left);
            assert!(!shown().contains("10.96.0.10") && !shown().contains("fd00:96::a"), "{}", shown());
        }
    }
}
