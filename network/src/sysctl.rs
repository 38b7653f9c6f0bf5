//! What the kernel has to be set to so that it passes packets on.
//!
//! A machine that passes on IPv6 packets no longer listens to routers, unless it is told to: the links that the node's
//! addresses are on are told so where they listened before, or the machine would lose its own default route. No other link
//! is: a pod on one could pose as a router.
//!
//! What comes out of a tunnel may be from an address to which the way back is another, as when one of two nodes sees the
//! other on its link and not the other way round. So tunnels' devices are not strict about it.

use std::fs;
use std::io;

use crate::Error;

/// Has the kernel pass on packets of these families. `links` are those that the node's addresses are on.
pub(crate) fn forward(is_ipv4: bool, is_ipv6: bool, links: &[&str]) -> Result<(), Error> {
    if is_ipv4 {
        set("net/ipv4/ip_forward", "1")?;
    }
    if is_ipv6 {
        for link in links {
            let path = format!("net/ipv6/conf/{link}/accept_ra");
            if read(&path).is_ok_and(|value| value == "1") {
                set(&path, "2")?;
            }
        }
        set("net/ipv6/conf/all/forwarding", "1")?;
    }
    Ok(())
}

/// Has a tunnel's device take what comes, but no advice about routes. A machine without one of the families has no such
/// setting.
pub(crate) fn open(device: &str) -> Result<(), Error> {
    for (path, value) in [("ipv4", "rp_filter", "2"), ("ipv6", "accept_ra", "0")]
        .map(|(family, setting, value)| (format!("net/{family}/conf/{device}/{setting}"), value))
    {
        match set(&path, value) {
            Err(Error::Setting { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            outcome => outcome?,
        }
    }
    Ok(())
}

fn read(path: &str) -> io::Result<String> {
    Ok(fs::read_to_string(format!("/proc/sys/{path}"))?.trim().to_owned())
}

/// Writes only what differs: where the settings cannot be written, they may be right already.
fn set(path: &str, value: &'static str) -> Result<(), Error> {
    let problem = |source| Error::Setting { path: format!("/proc/sys/{path}"), value, source };
    if read(path).map_err(problem)? == value {
        return Ok(());
    }
    fs::write(format!("/proc/sys/{path}"), value).map_err(problem)
}
