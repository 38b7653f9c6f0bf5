//! The network of this node's pods: their own, which the runtime makes as it is told, and the way to those of other nodes.

use client::cache::{Cache, ListWatch};
use client::clock::Clock;
use client::events::Recorder;
use client::resource::Resource;
use k8s_openapi::api::core::v1::Node;
use kube::Client;
use kubelet::runtime::{Layout, cni};
use network::{Means, Mode, Options};
use tokio_util::sync::CancellationToken;

use crate::node::PodNetwork;

/// What keeps the network of a node until it is told to stop. The runtime is told of pods' network once it is up.
pub(crate) fn keep(
    layout: Layout,
    way: PodNetwork,
    name: &str,
    client: Client,
    stop: CancellationToken,
) -> impl Future<Output = ()> + Send + use<> {
    let mode = match way {
        PodNetwork::Auto => Mode::Auto,
        PodNetwork::Direct => Mode::Direct,
        PodNetwork::Vxlan => Mode::Vxlan,
    };
    let configure = Box::new(move |ranges: &[String], mtu: u32| {
        let network = cni::Network { mtu: Some(mtu), ..cni::Network::of(&layout) };
        cni::write(&layout.networks(), &network, ranges).map(drop).map_err(|error| error.to_string())
    });
    let options = Options { node: name.to_owned(), mode, configure };
    let (recorder, recording) = Recorder::new(client.clone(), "network", name, Clock::Machine);
    let cache = Cache::new();
    let nodes = ListWatch::new(client.clone(), cache.clone(), Resource::of::<Node>());
    let means = Means { client, cache, recorder, clock: Clock::Machine };
    async move {
        tokio::select! {
            () = network::run(options, means, stop) => {}
            () = nodes.run::<Node>() => {}
            () = recording => {}
        }
    }
}
