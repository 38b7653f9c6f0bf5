//! Services as users make them, with endpoints that are written by hand.

use futures::stream::{self, StreamExt};
use k8s_openapi::api::core::v1::{Namespace, Node, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client};
use serde_json::{Value, json};
use tests::kubectl::Reachable;
use tests::machine::ADDRESS;
use tests::proxied::{NODE, Proxied};

/// The namespace that everything happens in.
pub(crate) const NAMESPACE: &str = "bench";
/// How many objects are made at once.
const AT_ONCE: usize = 32;

/// The Services there are.
pub(crate) struct Services<'a> {
    proxied: &'a Proxied,
    services: Api<Service>,
    slices: Api<EndpointSlice>,
    /// How many there are but for those that are measured.
    count: usize,
}

impl<'a> Services<'a> {
    /// Makes what is needed for there to be Services, and has them be reachable from now on.
    pub(crate) async fn of(proxied: &'a mut Proxied) -> Services<'a> {
        let config = Kubeconfig::read_from(proxied.kubeconfig()).expect("a kubeconfig");
        let config = kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await;
        let client = Client::try_from(config.expect("a context")).expect("a client");
        let params = PostParams::default();
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let namespace = json!({"metadata": {"name": NAMESPACE}});
        namespaces.create(&params, &read(namespace)).await.expect("a namespace");
        let nodes: Api<Node> = Api::all(client.clone());
        let node =
            json!({"metadata": {"name": NODE}, "spec": {"podCIDR": "10.128.0.0/24", "podCIDRs": ["10.128.0.0/24"]}});
        nodes.create(&params, &read(node)).await.expect("a node");
        let status = json!({"status": {"addresses": [{"type": "InternalIP", "address": ADDRESS}]}});
        nodes.patch_status(NODE, &PatchParams::default(), &Patch::Merge(status)).await.expect("an address");
        proxied.begin();
        let (services, slices) = (Api::namespaced(client.clone(), NAMESPACE), Api::namespaced(client, NAMESPACE));
        Services { proxied, services, slices, count: 0 }
    }

    /// The ID of what makes them reachable.
    pub(crate) fn process(&self) -> u32 {
        self.proxied.process()
    }

    /// A Service that leads to servers of this machine, at these ports. Returns where it is found.
    pub(crate) async fn serve(&self, name: &str, ports: &[u16]) -> String {
        self.make(name, slices(name, &addresses(ports))).await
    }

    /// Leads a Service to other servers of this machine. Returns as soon as that is acknowledged.
    pub(crate) async fn lead(&self, name: &str, ports: &[u16]) {
        let slice = slices(name, &addresses(ports));
        let params = PatchParams::default();
        self.slices.patch(name, &params, &Patch::Merge(slice)).await.expect("endpoints are taken");
    }

    /// Makes Services that lead to nobody, until there are so many. Each has so many endpoints.
    pub(crate) async fn fill(&mut self, count: usize, endpoints: usize) {
        let this = &*self;
        let make = |number: usize| async move {
            let address = |endpoint: usize| {
                let address = number * endpoints + endpoint;
                (format!("10.{}.{}.{}", 129 + (address >> 16), address >> 8 & 0xff, address & 0xff), 8080)
            };
            let name = format!("hollow-{number}");
            this.make(&name, slices(&name, &(0..endpoints).map(address).collect::<Vec<_>>())).await
        };
        let _: Vec<String> = stream::iter(this.count..count).map(make).buffer_unordered(AT_ONCE).collect().await;
        self.count = self.count.max(count);
        // When one that comes last is reachable, so are those before it.
        let last = crate::asking::Letter::serve('z');
        let address = self.serve(&format!("last-{count}"), &[last.port]).await;
        crate::asking::wait_for(&address, 'z');
    }

    async fn make(&self, name: &str, slice: Value) -> String {
        let service = json!({"metadata": {"name": name}, "spec": {"ports": [{"port": 80}]}});
        let params = PostParams::default();
        let service: Service = self.services.create(&params, &read(service)).await.expect("a Service");
        self.slices.create(&params, &read(slice)).await.expect("endpoints");
        let address = service.spec.and_then(|spec| spec.cluster_ip).expect("a Service has an address");
        format!("{address}:80")
    }
}

fn addresses(ports: &[u16]) -> Vec<(String, u16)> {
    ports.iter().map(|port| (ADDRESS.to_owned(), *port)).collect()
}

/// The endpoints of a Service, which all have the port of the first: a slice has one.
fn slices(name: &str, endpoints: &[(String, u16)]) -> Value {
    let port = endpoints.first().map(|(_, port)| *port);
    let endpoints: Vec<Value> = endpoints
        .iter()
        .map(|(address, _)| json!({"addresses": [address], "conditions": {"ready": true}, "nodeName": NODE}))
        .collect();
    json!({
        "metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4",
        "ports": [{"name": "", "port": port, "protocol": "TCP"}],
        "endpoints": endpoints,
    })
}

fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("an object")
}
