//! What the node's server is made of.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Weak};

use k8s_openapi::api::core::v1::Pod;

use super::Agent;
use crate::observed::RuntimePod;
use crate::server::{self, ClientAuthority, Limits, Reviews, ServingCertificate, View};
use crate::stats::{self, Collector, Parts};

/// How the node's server is found and whom it trusts.
pub struct Door {
    /// Where it listens.
    pub listen: SocketAddr,
    /// What it shows to its clients.
    pub serving: Arc<ServingCertificate>,
    /// By whom its clients' certificates may be issued.
    pub clients: Option<ClientAuthority>,
    /// Who answers what it must know of its clients.
    pub reviews: Arc<dyn Reviews>,
    /// What the machine is, for those who ask for figures.
    pub machine: stats::Machine,
}

impl Agent {
    /// What the node's server is made of.
    #[must_use]
    pub fn server(self: &Arc<Self>, door: Door) -> server::Options {
        let Door { listen, serving, clients, reviews, machine } = door;
        let hands = &self.hands;
        server::Options {
            node: self.node_name.clone(),
            listen,
            serving,
            clients,
            reviews,
            cri: hands.cri.clone(),
            view: Arc::clone(self) as _,
            figures: self.collector(),
            machine,
            read_log: server::log_reader(hands.cri.clone(), hands.paths.clone()),
            metrics: Arc::clone(&self.metrics),
            node_logs: PathBuf::from("/var/log"),
            clock: self.clock,
            limits: Limits::default(),
        }
    }

    /// What collects figures.
    pub(super) fn collector(self: &Arc<Self>) -> Arc<Collector> {
        let make = || {
            let hands = &self.hands;
            let volumes = Arc::clone(&hands.volumes);
            let parts = Parts {
                node: self.node_name.clone(),
                cri: hands.cri.clone(),
                cgroups: Some(stats::of_machine(Arc::clone(&hands.cgroups), self.clock)),
                volumes: Arc::new(move |pod| futures::executor::block_on(volumes.figures(pod))),
                paths: hands.paths.clone(),
                view: Arc::new(Sight(Arc::downgrade(self))),
                clock: self.clock,
                root: PathBuf::from("/"),
            };
            Collector::new(parts)
        };
        Arc::clone(self.figures.get_or_init(make))
    }
}

/// What the agent knows, for who belongs to it.
struct Sight(Weak<Agent>);

impl View for Sight {
    fn pods(&self) -> Vec<Arc<Pod>> {
        self.0.upgrade().map(|agent| View::pods(&*agent)).unwrap_or_default()
    }

    fn runtime(&self, uid: &str) -> Option<Arc<RuntimePod>> {
        self.0.upgrade()?.runtime(uid)
    }
}
