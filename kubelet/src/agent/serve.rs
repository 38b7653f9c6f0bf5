//! What the node's server is made of.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Weak};

use client::clock::Clock;
use futures::{FutureExt, StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Pod;

use super::Agent;
use crate::cgroups::{self, Cgroups};
use crate::logs::{self, LogFile};
use crate::observed::RuntimePod;
use crate::server::{
    self, ClientAuthority, Limits, Log, LogOptions, LogStreams, Metrics, ReadLog, Reviews, ServingCertificate, View,
};
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
            read_log: self.read_log(),
            metrics: Arc::new(Metrics::new(&self.node_name)),
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
                cgroups: Some(Arc::new(Read { cgroups: Arc::clone(&hands.cgroups), clock: self.clock })),
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

    /// Reads logs where the runtime says that they are.
    fn read_log(&self) -> ReadLog {
        let (cri, paths) = (self.hands.cri.clone(), self.hands.paths.clone());
        Arc::new(move |log: Log, asked: LogOptions| {
            let (cri, paths) = (cri.clone(), paths.clone());
            async move {
                let file = LogFile::at(&paths, &log.path).map_err(|error| error.to_string())?;
                let read = logs::read(&cri, &log.container_id, &file, &options(&asked)).await;
                Ok(read.map_err(|error| error.to_string())?.map_err(std::io::Error::other).boxed())
            }
            .boxed()
        })
    }
}

fn options(asked: &LogOptions) -> logs::Options {
    let stream = match asked.streams {
        LogStreams::All => logs::Selected::All,
        LogStreams::Stdout => logs::Selected::Stdout,
        LogStreams::Stderr => logs::Selected::Stderr,
    };
    logs::Options {
        follow: asked.follow,
        tail: asked.tail_lines,
        since: asked.since,
        timestamps: asked.timestamps,
        limit: asked.limit_bytes,
        stream,
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

/// Reads pods' cgroups for who collects figures.
struct Read {
    cgroups: Arc<Cgroups>,
    clock: Clock,
}

impl stats::Cgroups for Read {
    fn pod(&self, pod: &Pod) -> Option<stats::Usage> {
        self.cgroups.usage(&self.cgroups.pod_parent(pod), self.clock.now()).map(usage)
    }

    fn container(&self, pod: &Pod, id: &str) -> Option<stats::Usage> {
        let cgroup = self.cgroups.containers(pod).remove(id)?;
        self.cgroups.usage(&cgroup, self.clock.now()).map(usage)
    }
}

fn usage(found: cgroups::Usage) -> stats::Usage {
    stats::Usage { cpu: found.cpu, memory: found.memory, processes: found.processes }
}
