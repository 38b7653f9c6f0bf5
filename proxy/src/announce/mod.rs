//! Announces addresses of load balancers on this node's links, so that what is sent to them comes here.
//!
//! An address is one of ours if its Service says that this node announces it (`gantry.io/announced-by`, which one of the
//! controllers writes). It is put on the link that reaches it, so that the kernel itself answers who asks for it (ARP, NDP),
//! and everybody on the link is told at once that it has moved here. What the packets are for is the packet filter's
//! business. The addresses carry a mark ([`links::OURS`]), by which a later process finds and removes them.
//!
//! An address stays while the API server is away: that it is gone is no reason to cut off what works. So where a node is cut
//! off from the API server and not from its link, two may announce an address until it is back.

mod links;
mod packets;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use client::cache::Cache;
use client::resource::Resource;
use k8s_openapi::api::core::v1::Service;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use links::Links;
pub use links::LinksError;

/// Says which node announces the addresses of a Service.
const ANNOUNCED_BY: &str = "gantry.io/announced-by";
/// How often it is looked whether all is as it should be, and how soon it is tried again.
const EVERY: Duration = Duration::from_secs(30);
/// How long after an address has come everybody is told of it, again and again: the first word may get lost.
const TOLD_AFTER: [Duration; 3] = [Duration::ZERO, Duration::from_millis(500), Duration::from_secs(2)];

/// Keeps the addresses that this node is to announce on its links. Returns when it is to stop, and leaves them there: the next
/// process goes on with them, and whoever is to have none of them any more calls [`remove_all`].
pub async fn run(cache: &Cache, node: &str, stop: CancellationToken) {
    let changed = Arc::new(Notify::new());
    let told = Arc::clone(&changed);
    let services = Resource::of::<Service>();
    let _subscription = cache.subscribe(&services, move |change| {
        let concerns = |object: &client::resource::AnyObject| {
            object.meta().annotations.as_ref().is_some_and(|all| all.contains_key(ANNOUNCED_BY))
        };
        if change.old.iter().chain(&change.new).any(concerns) {
            told.notify_one();
        }
    });
    let work = async {
        // What another process left is not taken away before it is known what is to be there.
        cache.synced(&services).await;
        let mut said = String::new();
        loop {
            let wanted = wanted(&cache.list::<Service>(None), node);
            let problem = keep(&wanted).await.err().map(|error| error.to_string()).unwrap_or_default();
            if !problem.is_empty() && problem != said {
                tracing::warn!(%problem, "addresses of load balancers cannot be announced");
            }
            said = problem;
            let _ = tokio::time::timeout(EVERY, changed.notified()).await;
        }
    };
    tokio::select! {
        () = work => {}
        () = stop.cancelled() => {}
    }
}

/// Takes all addresses off this machine's links that were put there to be announced, and returns how many there were.
///
/// # Errors
/// The kernel refuses.
pub async fn remove_all() -> Result<usize, LinksError> {
    keep(&BTreeSet::new()).await
}

/// The addresses that a node is to announce.
fn wanted(services: &[Arc<Service>], node: &str) -> BTreeSet<IpAddr> {
    let is_ours = |service: &&Arc<Service>| {
        let annotations = service.metadata.annotations.as_ref();
        annotations.and_then(|all| all.get(ANNOUNCED_BY)).is_some_and(|announcer| announcer == node)
    };
    let balancers =
        services.iter().filter(is_ours).filter_map(|service| service.status.as_ref()?.load_balancer.as_ref());
    let ingress = balancers.flat_map(|balancer| balancer.ingress.iter().flatten());
    ingress.filter_map(|ingress| ingress.ip.as_deref()?.parse().ok()).collect()
}

/// Has the links have these addresses of ours and no others. Returns how many were taken off.
async fn keep(wanted: &BTreeSet<IpAddr>) -> Result<usize, LinksError> {
    let links = Links::connect()?;
    let present = links.ours().await?;
    let mut removed = 0;
    for ours in &present {
        if !wanted.contains(&ours.address) {
            links.remove(ours).await?;
            removed += 1;
            tracing::info!(address = %ours.address, "announces an address no longer");
        }
    }
    let mut problem = None;
    for address in wanted.iter().filter(|address| !present.iter().any(|ours| ours.address == **address)) {
        match links.add(*address).await {
            Ok(link) => {
                tracing::info!(%address, link = link.name, "announces an address");
                tokio::spawn(tell(*address, link));
            }
            // One that cannot be had is no reason to be without the others.
            Err(error) => problem = Some(error),
        }
    }
    problem.map_or(Ok(removed), Err)
}

/// Tells everybody on a link that an address is here.
async fn tell(address: IpAddr, link: links::Link) {
    for after in TOLD_AFTER {
        tokio::time::sleep(after).await;
        if let Err(error) = packets::tell(address, &link) {
            tracing::warn!(%address, link = link.name, %error, "cannot tell others on the link that an address is here");
        }
    }
}

#[cfg(test)]
mod tests;
