//! Tells strangers where the API server is, and by which authority to know it: in the ConfigMap `kube-public/cluster-info`, as
//! a kubeconfig without a user. Upstream's kubeadm writes it once; here it is kept true.
//!
//! The address is the one by which pods find the server; a cluster whose server has none that others reach tells nothing. A
//! server that somebody wrote there stays if it is a name, which may be that of a load balancer, with the cluster's
//! authority. What else is in the ConfigMap is somebody else's.

use std::net::IpAddr;
use std::sync::Arc;

use api::bootstrap_token::{CLUSTER_INFO, CLUSTER_INFO_NAMESPACE, KUBECONFIG};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use client::cache::Cache;
use client::resource::Key;
use http::Uri;
use k8s_openapi::api::core::v1::{ConfigMap, EndpointSubset, Endpoints};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::config::Kubeconfig;

use super::cluster_info;
use crate::controller::{Controller, Moment, Watches};
use crate::plan::Plan;

/// The namespace and the name of the endpoints of the API server.
const SERVER: (&str, &str) = ("default", "kubernetes");
const PORT_NAME: &str = "https";

/// The controller.
pub struct ClusterInfo {
    authority: String,
}

/// What is told, and where the API server is.
pub struct Observed {
    told: Option<Arc<ConfigMap>>,
    servers: Vec<String>,
}

impl ClusterInfo {
    /// Tells of this authority, PEM.
    #[must_use]
    pub fn new(authority: impl Into<String>) -> ClusterInfo {
        ClusterInfo { authority: authority.into() }
    }

    /// What is to be told of a server.
    fn kubeconfig(&self, server: &str) -> String {
        let authority = STANDARD.encode(&self.authority);
        // As kubeadm writes it, so that whoever reads one reads the other.
        format!(
            "apiVersion: v1\nclusters:\n- cluster:\n    certificate-authority-data: {authority}\n    server: {server}\n  \
             name: \"\"\ncontexts: null\ncurrent-context: \"\"\nkind: Config\npreferences: {{}}\nusers: null\n"
        )
    }

    /// Whether what is told is true.
    fn is_true(&self, told: &ConfigMap, servers: &[String]) -> bool {
        let text = told.data.as_ref().and_then(|data| data.get(KUBECONFIG));
        let Some(config) = text.and_then(|text| Kubeconfig::from_yaml(text).ok()) else { return false };
        let [cluster] = &config.clusters[..] else { return false };
        let Some(cluster) = cluster.cluster.as_ref().filter(|_| config.auth_infos.is_empty()) else { return false };
        let authority = cluster.certificate_authority_data.as_ref().and_then(|data| STANDARD.decode(data).ok());
        let is_here = cluster.server.as_ref().is_some_and(|server| servers.contains(server) || is_name(server));
        is_here && authority.as_deref() == Some(self.authority.as_bytes())
    }
}

/// Whether a URL has a name and no address.
fn is_name(url: &str) -> bool {
    let Ok(uri) = url.parse::<Uri>() else { return false };
    let host = uri.host().filter(|_| uri.scheme_str() == Some("https"));
    host.is_some_and(|host| !host.starts_with('[') && host.parse::<IpAddr>().is_err() && host != "localhost")
}

/// Where the API server is, by its endpoints.
fn servers(endpoints: &Endpoints) -> Vec<String> {
    let of_subset = |subset: &EndpointSubset| {
        let port = subset.ports.iter().flatten().find(|port| port.name.as_deref() == Some(PORT_NAME))?.port;
        let url =
            |ip: &str| if ip.contains(':') { format!("https://[{ip}]:{port}") } else { format!("https://{ip}:{port}") };
        Some(subset.addresses.iter().flatten().map(|address| url(&address.ip)).collect::<Vec<_>>())
    };
    endpoints.subsets.iter().flatten().filter_map(of_subset).flatten().collect()
}

impl Controller for ClusterInfo {
    const NAME: &'static str = "cluster-info-publisher-controller";
    type Observed = Observed;

    fn watches(&self) -> Watches {
        Watches::on::<ConfigMap>().mapped::<Endpoints>(|_, pair| {
            let is_server = |endpoints: &Endpoints| {
                let meta = &endpoints.metadata;
                meta.namespace.as_deref().zip(meta.name.as_deref()) == Some(SERVER)
            };
            pair.both().any(|endpoints| is_server(endpoints)).then(cluster_info).into_iter().collect()
        })
    }

    fn observe(&self, cache: &Cache, key: &Key) -> Option<Observed> {
        if *key != cluster_info() {
            return None;
        }
        let endpoints = cache.get::<Endpoints>(SERVER.0, SERVER.1)?;
        let servers = servers(&endpoints);
        let told = cache.get::<ConfigMap>(CLUSTER_INFO_NAMESPACE, CLUSTER_INFO);
        (!servers.is_empty()).then_some(Observed { told, servers })
    }

    fn reconcile(&self, Observed { told, servers }: &Observed, _: &Moment) -> Plan {
        let mut plan = Plan::new();
        let Some(server) = servers.first() else { return plan };
        let told_right = |mut config_map: ConfigMap| {
            config_map.data.get_or_insert_default().insert(KUBECONFIG.to_owned(), self.kubeconfig(server));
            config_map
        };
        match told {
            Some(told) if self.is_true(told, servers) => {}
            Some(told) => {
                plan.update(&**told, &told_right(ConfigMap::clone(told)));
            }
            None => {
                let metadata = ObjectMeta {
                    name: Some(CLUSTER_INFO.to_owned()),
                    namespace: Some(CLUSTER_INFO_NAMESPACE.to_owned()),
                    ..ObjectMeta::default()
                };
                plan.create(&told_right(ConfigMap { metadata, ..ConfigMap::default() }));
            }
        }
        plan
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{World, check_converges, nobody_else};

    fn endpoints(ips: &[&str]) -> Endpoints {
        let addresses: Vec<Value> = ips.iter().map(|ip| json!({"ip": ip})).collect();
        let ports = json!([{"name": "other", "port": 1}, {"name": "https", "port": 6443, "protocol": "TCP"}]);
        let subsets = if ips.is_empty() { json!([]) } else { json!([{"addresses": addresses, "ports": ports}]) };
        let object = json!({"metadata": {"name": "kubernetes", "namespace": "default"}, "subsets": subsets});
        serde_json::from_value(object).unwrap()
    }

    fn controller() -> ClusterInfo {
        ClusterInfo::new("the root")
    }

    fn world(ips: &[&str], told: Option<&str>) -> World<ClusterInfo> {
        let mut world = World::new(controller());
        world.add(endpoints(ips));
        if let Some(told) = told {
            let object = json!({
                "metadata": {"name": "cluster-info", "namespace": "kube-public"},
                "data": {"kubeconfig": told, "jws-kubeconfig-aaaaaa": "signed"},
            });
            world.add(serde_json::from_value::<ConfigMap>(object).unwrap());
        }
        world
    }

    fn told(world: &World<ClusterInfo>) -> Option<String> {
        let config_map = world.get::<ConfigMap>("kube-public", "cluster-info")?;
        config_map.data.clone().unwrap().get(KUBECONFIG).cloned()
    }

    #[test]
    fn it_is_a_kubeconfig_without_a_user() {
        let world = check_converges(|| world(&["192.0.2.1"], None), nobody_else);
        let config = Kubeconfig::from_yaml(&told(&world).unwrap()).unwrap();
        let cluster = config.clusters[0].cluster.clone().unwrap();
        assert_eq!(cluster.server.as_deref(), Some("https://192.0.2.1:6443"));
        assert_eq!(cluster.certificate_authority_data, Some(STANDARD.encode("the root")));
        assert!(config.auth_infos.is_empty());
    }

    #[test]
    fn what_is_told_is_true() {
        let at = |server: &str| controller().kubeconfig(server);
        let check = |ips: &[&str], before: &str, expected: &str| {
            let world = check_converges(|| world(ips, Some(before)), nobody_else);
            assert_eq!(told(&world).unwrap(), expected, "{ips:?}");
            let config_map = world.get::<ConfigMap>("kube-public", "cluster-info").unwrap();
            assert_eq!(config_map.data.as_ref().unwrap()["jws-kubeconfig-aaaaaa"], "signed");
        };
        let here = at("https://192.0.2.1:6443");
        check(&["192.0.2.1"], &here, &here);
        check(&["192.0.2.2", "192.0.2.1"], &here, &here);
        check(&["2001:db8::1"], "", &at("https://[2001:db8::1]:6443"));
        for wrong in [
            "",
            "{",
            "clusters: []",
            &at("https://192.0.2.9:6443"),
            &at("https://192.0.2.1:6444"),
            &at("http://load-balancer.example"),
            &at("https://localhost:6443"),
            &at("https://[::1]:6443"),
            &ClusterInfo::new("another root").kubeconfig("https://192.0.2.1:6443"),
            &here.replace("users: null", "users: [{name: a, user: {token: b}}]"),
        ] {
            check(&["192.0.2.1"], wrong, &here);
        }
        let named = at("https://load-balancer.example");
        check(&["192.0.2.1"], &named, &named);
        let json = json!({"clusters": [{"name": "", "cluster": {
            "server": "https://192.0.2.1:6443", "certificate-authority-data": STANDARD.encode("the root"),
        }}]});
        check(&["192.0.2.1"], &json.to_string(), &json.to_string());
    }

    #[test]
    fn it_follows_the_server_and_comes_back() {
        let mut world = world(&["192.0.2.1"], None);
        world.settle();
        world.change::<Endpoints>("default", "kubernetes", |known| known.subsets = endpoints(&["192.0.2.2"]).subsets);
        world.settle();
        assert_eq!(told(&world), Some(controller().kubeconfig("https://192.0.2.2:6443")));
        world.delete::<ConfigMap>("kube-public", "cluster-info");
        world.settle();
        assert!(told(&world).is_some());
    }

    #[test]
    fn a_server_that_others_do_not_reach_is_not_told_of() {
        let mut world = world(&[], None);
        assert!(world.settle().is_empty());
        assert_eq!(told(&world), None);
    }
}
