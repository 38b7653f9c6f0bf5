//! Connects the pods of a node with those of other nodes, and with what is outside of the cluster.
//!
//! [`plan`](plan::plan) says what the kernel should have, from all Nodes and from what the kernel says of the machine. It is
//! pure. [`difference`] says what leads there from what the kernel has, and [`netlink`] does it. [`run`] does that whenever a
//! Node, or something in the kernel, changes, and once in a while anyway.
//!
//! What is ours can be told from what is not: routes carry the number [`PROTOCOL`], devices are called [`DEVICES`], tables of
//! the packet filter [`TABLE`], and the one chain that iptables has of us [`FORWARD_CHAIN`]. Nothing else is touched. All of
//! it stays when the process ends, for pods go on; [`remove_all`] removes it.
//!
//! # How a packet gets to another node
//!
//! Straight, if the kernel says that the other node's address is on a link of ours and the link delivers by addresses: a
//! route to the node's range with that node as the gateway. Otherwise in a tunnel, VXLAN, to the other node's address: as
//! the nodes are told apart by the hardware addresses of their tunnels, which follow from their names, nothing has to be
//! learned or announced. A tunnel carries both families, whatever it runs over: IPv4 if both nodes have such an address.
//!
//! A switch may deliver only what carries an address that it knows (clouds do so): there, straight routes lead nowhere, and
//! [`Mode::Vxlan`] is what is needed.
//!
//! # How large packets are
//!
//! As large as the smallest of the links that the node's addresses are on allows; less what a tunnel takes (50 bytes, or 70
//! over IPv6 if some node has nothing else) unless the mode is [`Mode::Direct`], as a node that needs a tunnel may come later.

mod condition;
mod difference;
mod filter;
mod masquerade;
mod members;
mod netlink;
mod observed;
pub mod plan;
mod remove;
mod run;
mod sysctl;
#[cfg(test)]
mod tests;

pub use members::Member;
pub use observed::{Address, Link, Reach, Seen, SeenRoute};
pub use remove::remove_all;
pub use run::{Configure, Means, Options, run};

/// The number that our routes carry in place of that of a routing protocol (`RTPROT`). None that is assigned.
pub const PROTOCOL: u8 = 103;
/// The tunnels' devices: over IPv4, and over IPv6.
pub const DEVICES: [&str; 2] = ["gantry.vxlan", "gantry.vxlan6"];
/// The number of our network within VXLAN.
pub const VNI: u32 = 1;
/// The port of UDP by which tunnels go: the one that Linux has for it by itself, and other networks for pods use. The
/// assigned one, 4789, is not let through by some machines that are in such tunnels themselves.
pub const PORT: u16 = 8472;
/// The packet filter's table, of either family.
pub const TABLE: &str = "gantry-network";
/// The chain by which iptables lets pods' packets pass, if it lets nobody pass otherwise.
pub const FORWARD_CHAIN: &str = "GANTRY-FORWARD";

/// How packets get to other nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Straight where that is possible, otherwise in a tunnel.
    #[default]
    Auto,
    /// Straight, or not at all.
    Direct,
    /// In a tunnel.
    Vxlan,
}

/// What could not be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel cannot be asked.
    #[error("the kernel cannot be asked about the network: {0}")]
    Socket(#[source] std::io::Error),
    /// The kernel did not take something.
    #[error("{what}: {source}")]
    Refused {
        /// What.
        what: String,
        /// Why.
        source: std::io::Error,
    },
    /// There is no such kind of device.
    #[error("this kernel makes no VXLAN devices: load its module vxlan (modprobe vxlan), or use --pod-network direct")]
    NoVxlan,
    /// Another network is in the way.
    #[error(
        "device {0} cannot be made: another one has its name, or is VXLAN {VNI} at port {PORT} of UDP, as flannel's is"
    )]
    Taken(&'static str),
    /// A setting of the kernel cannot be changed.
    #[error("{path} cannot be set to {value}: {source}")]
    Setting {
        /// Its file.
        path: String,
        /// What it should be.
        value: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// A program failed.
    #[error("{0}")]
    Program(String),
    /// The packet filter did not take something.
    #[error("the packet filter: {0}")]
    Filter(#[from] nft::KernelError),
    /// Pods cannot be told how their network is.
    #[error("the network of pods cannot be configured: {0}")]
    Configuration(String),
}
