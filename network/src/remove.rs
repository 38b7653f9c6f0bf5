//! Removing what the network has left in the kernel, when the node is there no longer.

use nft::{Family, Kernel};

use crate::difference::removal;
use crate::netlink::Netlink;
use crate::{Error, TABLE, filter};

/// Removes all that is ours from the kernel: routes, tunnels, the packet filter's tables. Settings stay, as others may need
/// them by now. Says what there was, a sentence each. It can be done again, and then does nothing.
///
/// # Errors
/// The first thing that cannot be removed. The rest is removed nevertheless.
pub async fn remove_all() -> Result<Vec<String>, Error> {
    let mut did = Vec::new();
    let mut failed = Ok(());
    let netlink = Netlink::connect()?;
    let mut count = 0;
    for step in &removal(&netlink.look(std::iter::empty()).await?) {
        match netlink.take(step).await {
            Ok(()) => count += 1,
            Err(error) => failed = failed.and(Err(error)),
        }
    }
    if count > 0 {
        did.push(format!("routes and tunnels to other nodes removed: {count}"));
    }
    let mut kernel = Kernel::default();
    for family in [Family::Ip, Family::Ip6] {
        match kernel.remove(family, TABLE) {
            Ok(true) => did.push(format!("removed table {TABLE} of the packet filter ({family:?})")),
            Ok(false) => {}
            Err(error) => failed = failed.and(Err(error.into())),
        }
    }
    match filter::remove().await {
        Ok(true) => did.push("removed what let pods pass iptables".to_owned()),
        Ok(false) => {}
        Err(error) => failed = failed.and(Err(error)),
    }
    failed.map(|()| did)
}
