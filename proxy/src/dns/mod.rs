//! The cluster's DNS, in process: the names of Services, pods and their addresses as the Kubernetes DNS specification 1.1.0
//! has them, and all other names from the node's upstream servers.
//!
//! [`run`] is all of it, for a process that has a cache of the cluster and knows at which addresses to answer:
//!
//! ```no_run
//! # async fn example(cache: client::cache::Cache, stop: tokio_util::sync::CancellationToken) -> Result<(), proxy::dns::DnsError> {
//! use proxy::dns::{self, Options, Upstreams};
//!
//! let options = Options {
//!     listen: vec!["10.96.0.10:53".parse().expect("an address")],
//!     upstreams: Upstreams::File("/etc/resolv.conf".into()),
//!     ..Options::default()
//! };
//! let metrics = options.metrics.clone(); // `metrics.render()` is for the process's page of metrics.
//! dns::run(cache, options, stop).await
//! # }
//! ```
//!
//! The cache may be shared: whoever keeps Services, EndpointSlices and Namespaces in it ([`keep`] does, for who has nobody
//! else to do it) keeps each object once for all. The addresses have to be the machine's own before that
//! ([`address::put`] puts them on the loopback device). Below `run` there are [`Server`], which answers from whatever its
//! [`Published`] names say, [`follow`] and [`complete`], which tell them what a cache has, and [`answer()`], which is pure.
//!
//! - [`Names`]: what is known of the cluster. Pure.
//! - [`answer()`]: what it answers. Pure.
//! - `message`: questions and replies on the wire.
//! - `serving`: from one to the other, at once or by way of other servers.
//! - `forward`, `exchange`, `upstreams`, `cache`: those servers, how they are asked, and what they have answered.
//! - `server`: the sockets.
//! - `feed`: where the names come from.
//! - `metrics`: what is counted.
//! - [`address`]: the addresses at which all this is.
//!
//! While the API server is away the names stay as they were known last. Until all of them have been listed for the first
//! time, a question for one gets SERVFAIL, which makes clients ask again, and never that there is no such name.

pub mod address;
mod answer;
mod cache;
mod exchange;
mod feed;
#[cfg(test)]
mod fixtures;
mod forward;
mod message;
mod metrics;
mod names;
mod server;
mod serving;
mod upstreams;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use hickory_proto::rr::Name;
use thiserror::Error;
use tokio_util::sync::CancellationToken;

pub use answer::{Answer, Question, Reply, answer};
pub use cache::CacheBounds;
pub use feed::{Feed, complete, follow, keep};
pub use forward::ForwardLimits;
pub use metrics::Metrics;
pub use names::{Names, Zone};
pub use server::{ServeLimits, Server};
pub use serving::Published;
pub use upstreams::Upstreams;

/// How the cluster's DNS is to be.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it listens, by UDP and by TCP: single addresses, none that stands for all.
    pub listen: Vec<SocketAddr>,
    /// The cluster's domain.
    pub zone: String,
    /// How long its answers are good for, in seconds.
    pub ttl: u32,
    /// Who is asked for all other names.
    pub upstreams: Upstreams,
    /// How much of what they answer is kept, and for how long.
    pub cache: CacheBounds,
    /// How much they are asked at once.
    pub forward: ForwardLimits,
    /// How much is served at once.
    pub serve: ServeLimits,
    /// Where it is counted.
    pub metrics: Arc<Metrics>,
}

impl Default for Options {
    /// As upstream's clusters have it, at no address yet.
    fn default() -> Options {
        Options {
            listen: Vec::new(),
            zone: "cluster.local".to_owned(),
            ttl: 30,
            upstreams: Upstreams::File("/etc/resolv.conf".into()),
            cache: CacheBounds::default(),
            forward: ForwardLimits::default(),
            serve: ServeLimits::default(),
            metrics: Arc::default(),
        }
    }
}

impl Options {
    fn zone_name(&self) -> Result<Name, DnsError> {
        let wrong = || DnsError::Zone { zone: self.zone.clone() };
        let mut name = Name::from_ascii(&self.zone).map_err(|_| wrong())?;
        name.set_fqdn(true);
        if name.is_root() { Err(wrong()) } else { Ok(name.to_lowercase()) }
    }
}

/// Why the cluster's DNS cannot be.
#[derive(Debug, Error)]
pub enum DnsError {
    /// Somebody else is there.
    #[error(
        "another DNS server listens at {address} ({transport}): end it, or give the cluster's DNS another address with --cluster-dns"
    )]
    InUse {
        /// The address and port.
        address: SocketAddr,
        /// `UDP` or `TCP`.
        transport: &'static str,
    },
    /// The address is not the machine's.
    #[error("the cluster's DNS cannot listen at {address}: no network device of this machine has that address")]
    NotHere {
        /// The address and port.
        address: SocketAddr,
    },
    /// It does not work for another reason.
    #[error("the cluster's DNS cannot listen at {address} ({transport}): {source}")]
    Listen {
        /// The address and port.
        address: SocketAddr,
        /// `UDP` or `TCP`.
        transport: &'static str,
        /// The reason.
        source: io::Error,
    },
    /// From an address that stands for all, answers might come from another address than the one that was asked.
    #[error("the cluster's DNS cannot listen at {address}: name the addresses themselves")]
    AnyAddress {
        /// The address and port.
        address: SocketAddr,
    },
    /// There is nowhere to listen.
    #[error("the cluster's DNS has no address to listen at")]
    NoAddress,
    /// The cluster's domain is none.
    #[error("the cluster's domain {zone:?} is no domain name")]
    Zone {
        /// What was given.
        zone: String,
    },
}

/// Answers from what `cache` knows, until `stop` is cancelled; then returns when nothing is left. Somebody has to keep
/// Services, EndpointSlices and Namespaces in the cache ([`keep`]).
///
/// # Errors
///
/// If it cannot listen where it should.
pub async fn run(cache: client::cache::Cache, options: Options, stop: CancellationToken) -> Result<(), DnsError> {
    let server = Server::start(options).await?;
    let names = Arc::clone(server.names());
    let feed = follow(&cache, &names);
    tokio::select! {
        () = async {
            complete(&cache, &names).await;
            tracing::info!(addresses = ?server.addresses(), "the cluster's DNS knows the cluster");
            std::future::pending::<()>().await;
        } => {}
        () = stop.cancelled() => {}
    }
    drop(feed);
    server.stop().await;
    Ok(())
}
