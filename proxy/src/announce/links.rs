//! The machine's links, and the addresses on them, by netlink.

use std::net::IpAddr;

use futures::TryStreamExt;
use nft::Prefix;
use rtnetlink::Handle;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, AddressProtocol};
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags};

/// What addresses of ours are marked with (`IFA_PROTO`): a number that neither the kernel nor well-known programs use.
pub(super) const OURS: u8 = 71;

/// What does not work.
#[derive(Debug, thiserror::Error)]
pub enum LinksError {
    /// The kernel cannot be asked.
    #[error("the kernel cannot be asked for its links: {0}")]
    Connection(#[from] std::io::Error),
    /// The kernel refused something.
    #[error("{what}: {source}")]
    Refused {
        /// What.
        what: String,
        /// Why.
        source: rtnetlink::Error,
    },
    /// No link has addresses among which this one is.
    #[error("{0} is on none of this node's links: --load-balancer-pool must have addresses of the nodes' own networks")]
    NoLink(IpAddr),
    /// The address is here by somebody else.
    #[error("{0} is an address of this node already, which Gantry has not put there")]
    Foreign(IpAddr),
}

/// A link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) index: u32,
    pub(super) name: String,
    /// Its hardware address; empty if it has none.
    pub(super) hardware: Vec<u8>,
}

/// An address that was put on a link to be announced.
pub(super) struct Ours {
    pub(super) address: IpAddr,
    message: AddressMessage,
}

/// The machine's links.
pub(super) struct Links {
    handle: Handle,
    connection: tokio::task::JoinHandle<()>,
}

impl Drop for Links {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Links {
    pub(super) fn connect() -> Result<Links, LinksError> {
        let (connection, handle, _) = rtnetlink::new_connection()?;
        Ok(Links { handle, connection: tokio::spawn(connection) })
    }

    /// The addresses that were put here to be announced.
    pub(super) async fn ours(&self) -> Result<Vec<Ours>, LinksError> {
        let is_ours = |message: &AddressMessage| {
            let mark = AddressAttribute::Protocol(AddressProtocol::Other(OURS));
            message.attributes.contains(&mark)
        };
        let ours = self.addresses().await?.into_iter().filter(is_ours);
        Ok(ours.filter_map(|message| Some(Ours { address: address(&message)?, message })).collect())
    }

    /// Puts an address on the link that reaches it, and says which that is.
    pub(super) async fn add(&self, wanted: IpAddr) -> Result<Link, LinksError> {
        let addresses = self.addresses().await?;
        if addresses.iter().any(|message| address(message) == Some(wanted)) {
            return Err(LinksError::Foreign(wanted));
        }
        let reaches = |message: &&AddressMessage| {
            let prefix = address(message).and_then(|own| Prefix::new(own, message.header.prefix_len));
            prefix.is_some_and(|prefix| prefix.contains(wanted))
        };
        let mut candidates: Vec<&AddressMessage> = addresses.iter().filter(reaches).collect();
        // The narrowest one says most.
        candidates.sort_by_key(|message| std::cmp::Reverse(message.header.prefix_len));
        for candidate in candidates {
            let Some(link) = self.link(candidate.header.index).await? else { continue };
            let bits = if wanted.is_ipv4() { 32 } else { 128 };
            let mut request = self.handle.address().add(link.index, wanted, bits);
            let message = request.message_mut();
            message.attributes.push(AddressAttribute::Protocol(AddressProtocol::Other(OURS)));
            // Nobody is asked first whether they have it (RFC 4862): who has had it until now may still answer.
            message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad | AddressFlags::Noprefixroute));
            let refused = |source| LinksError::Refused { what: format!("{wanted} on {}", link.name), source };
            request.execute().await.map_err(refused)?;
            return Ok(link);
        }
        Err(LinksError::NoLink(wanted))
    }

    /// Takes an address off its link.
    pub(super) async fn remove(&self, ours: &Ours) -> Result<(), LinksError> {
        let refused = |source| LinksError::Refused { what: ours.address.to_string(), source };
        self.handle.address().del(ours.message.clone()).execute().await.map_err(refused)
    }

    async fn addresses(&self) -> Result<Vec<AddressMessage>, LinksError> {
        let refused = |source| LinksError::Refused { what: "the machine's addresses".to_owned(), source };
        let all: Vec<AddressMessage> = self.handle.address().get().execute().try_collect().await.map_err(refused)?;
        let ip = |message: &AddressMessage| matches!(message.header.family, AddressFamily::Inet | AddressFamily::Inet6);
        Ok(all.into_iter().filter(ip).collect())
    }

    /// A link, unless nobody can be reached by it.
    async fn link(&self, index: u32) -> Result<Option<Link>, LinksError> {
        let refused = |source| LinksError::Refused { what: format!("link {index}"), source };
        let mut links = self.handle.link().get().match_index(index).execute();
        let Some(message) = links.try_next().await.map_err(refused)? else { return Ok(None) };
        if message.header.flags.contains(LinkFlags::Loopback) || !message.header.flags.contains(LinkFlags::Up) {
            return Ok(None);
        }
        let mut link = Link { index, name: String::new(), hardware: Vec::new() };
        for attribute in message.attributes {
            match attribute {
                LinkAttribute::IfName(name) => link.name = name,
                LinkAttribute::Address(hardware) => link.hardware = hardware.to_vec(),
                _ => {}
            }
        }
        Ok(Some(link))
    }
}

/// The address itself. Of a link to one other machine, `IFA_ADDRESS` is the other's.
fn address(message: &AddressMessage) -> Option<IpAddr> {
    let local = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Local(address) => Some(*address),
        _ => None,
    });
    local.or_else(|| {
        message.attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Address(address) => Some(*address),
            _ => None,
        })
    })
}
