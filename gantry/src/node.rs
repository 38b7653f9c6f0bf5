//! Makes this machine a node: what `gantry kubelet` and `gantry up` have in common.

use std::collections::BTreeMap;
use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use api::pod_resources::List;
use clap::Args;
use client::clock::Clock;
use client::events::Recorder;
use k8s_openapi::api::core::v1::Taint;
use kube::Client;
use kubelet::agent::{Agent, Door, Means, Shutdown};
use kubelet::cgroups::{self, Cgroups};
use kubelet::containers::dns::Resolver;
use kubelet::cri::{Cri, v1};
use kubelet::eviction::{self, ThresholdError, Written};
use kubelet::images::{self, Images, pause};
use kubelet::node::machine::{EVICTION_HARD, Machine, MachineError, Reserved, Roots, allocatable, amounts, thresholds};
use kubelet::node::object::About;
use kubelet::node::shutdown::{self, Periods, PeriodsError};
use kubelet::node::{addresses, logind};
use kubelet::paths::Paths;
use kubelet::runtime::{Layout, Private, PrivateOptions, Requirements};
use kubelet::server::{ClientAuthority, Reviews, Running, Server, ServingCertificate};
use kubelet::stats;
use kubelet::volumes::objects::Objects;
use kubelet::volumes::{NodeFacts, Volumes};
use serde_json::json;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{network, process, proxy};

/// What is said of the node, wherever it runs.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "The node")]
#[group(id = "Node")]
pub(crate) struct Options {
    /// Where the container runtime listens, such as unix:///run/containerd/containerd.sock. Without it, a containerd is
    /// started that is this node's alone.
    #[arg(long, value_name = "URL")]
    pub(crate) container_runtime_endpoint: Option<String>,
    /// Where the node keeps pods' volumes [default: kubelet, below the data directory].
    #[arg(long, value_name = "DIR")]
    pub(crate) root_dir: Option<PathBuf>,
    /// What the node is called [default: the machine's host name].
    #[arg(long, alias = "hostname-override", value_name = "NAME")]
    pub(crate) node_name: Option<String>,
    /// The node's addresses: one, or an IPv4 and an IPv6 one [default: that of the interface by which the machine reaches
    /// others].
    #[arg(long, value_name = "ADDRESSES", value_delimiter = ',')]
    pub(crate) node_ip: Vec<IpAddr>,
    /// Labels that the node registers with: key=value, with commas in between.
    #[arg(long, value_name = "LABELS", value_delimiter = ',', value_parser = label)]
    pub(crate) node_labels: Vec<(String, String)>,
    /// Taints that the node registers with: key=value:effect, with commas in between.
    #[arg(long, value_name = "TAINTS", value_delimiter = ',', value_parser = taint)]
    pub(crate) register_with_taints: Vec<Taint>,
    /// What the cloud knows the node by.
    #[arg(long, value_name = "ID")]
    pub(crate) provider_id: Option<String>,
    /// Where the node listens for those who want logs, exec and figures.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:10250")]
    pub(crate) kubelet_listen: SocketAddr,
    /// A directory of pods that this node runs, whatever the API says: a Pod a file, in YAML or JSON.
    #[arg(long, value_name = "DIR")]
    pub(crate) pod_manifest_path: Option<PathBuf>,
    /// The addresses of the cluster's DNS servers [default: those of the Service kube-system/kube-dns, if somebody answers
    /// there].
    #[arg(long, value_name = "ADDRESSES", value_delimiter = ',')]
    pub(crate) cluster_dns: Vec<IpAddr>,
    /// The domain of the cluster's names.
    #[arg(long, value_name = "DOMAIN", default_value = "cluster.local")]
    pub(crate) cluster_domain: String,
    /// How many pods the node takes.
    #[arg(long, value_name = "NUMBER", default_value_t = 110, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_pods: u32,
    /// How many processes a pod may have [default: as many as there can be].
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(i64).range(1..))]
    pub(crate) pod_max_pids: Option<i64>,
    /// What the agent and the runtime need of the machine: resource=amount, with commas in between.
    #[arg(long, value_name = "AMOUNTS", default_value = "")]
    pub(crate) kube_reserved: String,
    /// What everything else needs of it that is no pod.
    #[arg(long, value_name = "AMOUNTS", default_value = "")]
    pub(crate) system_reserved: String,
    /// What is kept free by ending pods: signal<amount, with commas in between.
    #[arg(long, value_name = "THRESHOLDS", default_value = EVICTION_HARD)]
    pub(crate) eviction_hard: String,
    /// The same, but only after a while.
    #[arg(long, value_name = "THRESHOLDS", default_value = "")]
    pub(crate) eviction_soft: String,
    /// For how long each soft threshold has to be crossed: signal=duration, with commas in between.
    #[arg(long, value_name = "DURATIONS", default_value = "")]
    pub(crate) eviction_soft_grace_period: String,
    /// How much more than a threshold is freed: signal=amount, with commas in between.
    #[arg(long, value_name = "AMOUNTS", default_value = "")]
    pub(crate) eviction_minimum_reclaim: String,
    /// Unsafe kernel parameters that pods may set, with commas in between: names, or beginnings of names with * after them.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = sysctl)]
    pub(crate) allowed_unsafe_sysctls: Vec<String>,
    /// For how long the machine's shutdown is held up, by way of systemd-logind, for pods to end in an orderly way [default:
    /// it is not].
    #[arg(long, value_name = "DURATION", default_value = "0s", hide_default_value = true)]
    pub(crate) shutdown_grace_period: String,
    /// How much of that is kept for critical pods, which end last.
    #[arg(long, value_name = "DURATION", default_value = "0s")]
    pub(crate) shutdown_grace_period_critical_pods: String,
    /// The same instead of both by priorities, from each of which on pods have so long: priority=duration, with commas in
    /// between.
    #[arg(long, value_name = "DURATIONS", default_value = "", hide_default_value = true, allow_hyphen_values = true)]
    pub(crate) shutdown_grace_period_by_pod_priority: String,
    /// The cgroup below which the cgroups of pods are.
    #[arg(long, value_name = "PATH", default_value = "/")]
    pub(crate) cgroup_root: String,
    /// Who makes pods' networks: `ptp` is Gantry's own, by the standard CNI plugins; `none` leaves them to whoever
    /// configures the runtime, and so does --container-runtime-endpoint.
    #[arg(long, value_name = "KIND", default_value = "ptp")]
    pub(crate) cni: Cni,
    /// How packets get to pods of other nodes: `direct` routes them to the node, which has to be on the same link and the link
    /// has to let them pass; `vxlan` sends them to UDP port 8472 of the node; `auto` routes them where it is on the same
    /// link.
    #[arg(long, value_name = "WAY", default_value = "auto")]
    pub(crate) pod_network: PodNetwork,
    /// Make no Services reachable on this node, so that another proxy can.
    #[arg(long)]
    pub(crate) no_proxy: bool,
    #[command(flatten)]
    pub(crate) services: proxy::Options,
}

/// Who makes pods' networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Cni {
    /// This node, by the standard plugins.
    Ptp,
    /// Somebody else.
    None,
}

/// How packets get to pods of other nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum PodNetwork {
    /// Straight to nodes on the same link.
    Auto,
    /// Straight, or not at all.
    Direct,
    /// In tunnels.
    Vxlan,
}

impl Options {
    /// Looks whether they make sense, before anything is started by them.
    pub(crate) fn check(&self) -> Result<(), Box<dyn Error>> {
        self.name()?;
        self.reserved()?;
        self.eviction()?;
        self.periods()?;
        if let Some(endpoint) = &self.container_runtime_endpoint {
            Cri::at(endpoint).map_err(|error| format!("--container-runtime-endpoint: {error}"))?;
        }
        Ok(())
    }

    /// The node's name.
    pub(crate) fn name(&self) -> Result<String, String> {
        process::node_name(self.node_name.as_deref())
    }

    /// Where pods' volumes are.
    pub(crate) fn root(&self, data_dir: &Path) -> PathBuf {
        self.root_dir.clone().unwrap_or_else(|| data_dir.join("kubelet"))
    }

    /// The node's addresses, the first of each family.
    pub(crate) fn addresses(&self, data_dir: &Path) -> Result<Vec<IpAddr>, MachineError> {
        addresses::find(&Roots::of_machine(data_dir), &self.node_ip)
    }

    /// What pods do not get of the machine.
    fn reserved(&self) -> Result<Reserved, String> {
        let wrong = |option: &str, error: MachineError| format!("--{option}: {error}");
        Ok(Reserved {
            kube: amounts(&self.kube_reserved).map_err(|error| wrong("kube-reserved", error))?,
            system: amounts(&self.system_reserved).map_err(|error| wrong("system-reserved", error))?,
            eviction: thresholds(&self.eviction_hard).map_err(|error| wrong("eviction-hard", error))?,
        })
    }

    /// When pods have to go.
    fn eviction(&self) -> Result<eviction::Settings, ThresholdError> {
        let written = Written {
            hard: Some(&self.eviction_hard),
            soft: &self.eviction_soft,
            grace_periods: &self.eviction_soft_grace_period,
            minimum_reclaim: &self.eviction_minimum_reclaim,
        };
        Ok(eviction::Settings { thresholds: eviction::parse(&written)?, ..eviction::Settings::default() })
    }

    /// How long pods have when the machine shuts down.
    fn periods(&self) -> Result<Periods, PeriodsError> {
        Periods::parse(&shutdown::Written {
            all: &self.shutdown_grace_period,
            critical: &self.shutdown_grace_period_critical_pods,
            by_priority: &self.shutdown_grace_period_by_pod_priority,
        })
    }

    /// How pods end when the machine shuts down, if they are to end in an orderly way. One of the tasks listens for that.
    fn shutdown(&self, tasks: &mut JoinSet<()>) -> Result<Option<Shutdown>, PeriodsError> {
        let periods = self.periods()?;
        if !periods.is_enabled() {
            return Ok(None);
        }
        let (tell, news) = mpsc::channel(1);
        tasks.spawn(logind::watch(logind::Options::of_machine(periods.total()), tell));
        Ok(Some(Shutdown { periods, news }))
    }

    /// What was configured, in the words of a `KubeletConfiguration`.
    fn configuration(&self, cluster_dns: &[IpAddr]) -> serde_json::Value {
        let periods = self.periods().unwrap_or_default();
        let of_priority = |(priority, within): (i32, Duration)| {
            let seconds = within.as_secs();
            json!({"priority": priority, "shutdownGracePeriodSeconds": seconds})
        };
        let is_by_priority = !self.shutdown_grace_period_by_pod_priority.is_empty();
        let by_priority: Option<Vec<_>> = is_by_priority.then(|| periods.by().map(of_priority).collect());
        json!({
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": self.kubelet_listen.ip().to_string(),
            "port": self.kubelet_listen.port(),
            "containerRuntimeEndpoint": self.container_runtime_endpoint,
            "staticPodPath": self.pod_manifest_path,
            "clusterDNS": cluster_dns,
            "clusterDomain": self.cluster_domain,
            "maxPods": self.max_pods,
            "cgroupRoot": self.cgroup_root,
            "allowedUnsafeSysctls": self.allowed_unsafe_sysctls,
            "shutdownGracePeriod": self.shutdown_grace_period,
            "shutdownGracePeriodCriticalPods": self.shutdown_grace_period_critical_pods,
            "shutdownGracePeriodByPodPriority": by_priority,
        })
    }

    /// What pods need to know of the node, but for its cgroups.
    fn of_pods(
        &self,
        address: Option<IpAddr>,
        cluster_dns: &[IpAddr],
        machine: &Machine,
        allocatable: List,
    ) -> kubelet::containers::Node {
        let resolver = std::fs::read_to_string(process::resolver_file()).unwrap_or_default();
        kubelet::containers::Node {
            address,
            cluster_dns: cluster_dns.to_vec(),
            cluster_domain: self.cluster_domain.clone(),
            resolver: Some(Resolver::parse(&resolver)),
            allocatable,
            memory_capacity: i64::try_from(machine.memory).unwrap_or(i64::MAX),
            ..kubelet::containers::Node::default()
        }
    }

    /// Where this node's pods ask for names. Where no proxy runs nobody answers on the node itself.
    async fn dns_addresses(&self, client: &Client, file: &Path) -> Vec<IpAddr> {
        let answers = !self.no_proxy && !self.services.no_dns;
        proxy::dns_addresses(client, &self.cluster_dns, answers, Some(file)).await
    }

    /// Makes Services reachable on the node of this name until it is stopped, unless another proxy is to.
    fn start_proxy(
        &self,
        client: Client,
        node: &str,
        addresses: Vec<IpAddr>,
        stop: &CancellationToken,
    ) -> Option<JoinHandle<()>> {
        let names = proxy::Names { addresses, domain: self.cluster_domain.clone() };
        let work = || tokio::spawn(proxy::start(client, &self.services, node, names, stop.clone()));
        (!self.no_proxy).then(work)
    }

    /// Where the runtime's networks are configured, if that is this node's to do.
    fn networks<'a>(&self, runtime: &'a Runtime) -> Option<&'a Layout> {
        runtime.private.as_ref().filter(|_| self.cni == Cni::Ptp).map(Private::layout)
    }

    /// What is decided about the node.
    pub(crate) fn about(&self, name: &str, port: u16) -> About {
        About {
            name: name.to_owned(),
            labels: self.node_labels.iter().cloned().collect::<BTreeMap<_, _>>(),
            taints: self.register_with_taints.clone(),
            port,
            provider_id: self.provider_id.clone(),
        }
    }
}

/// A kernel parameter that pods can be allowed to set.
fn sysctl(text: &str) -> Result<String, String> {
    kubelet::containers::sysctls::allowable(text).map(|()| text.to_owned())
}

/// A label, as `key=value`.
fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("a label is key=value")?;
    let wrong = [api::names::label_key(key), api::names::label_value(value)].concat();
    if wrong.is_empty() { Ok((key.to_owned(), value.to_owned())) } else { Err(wrong.join("; ")) }
}

/// A taint, as `key=value:effect` or `key:effect`.
fn taint(text: &str) -> Result<Taint, String> {
    const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
    let (what, effect) = text.rsplit_once(':').ok_or("a taint is key=value:effect")?;
    if !EFFECTS.contains(&effect) {
        return Err(format!("the effect {effect:?} is none of {}", EFFECTS.join(", ")));
    }
    let (key, value) = what.split_once('=').map_or((what, None), |(key, value)| (key, Some(value)));
    let wrong = [api::names::label_key(key), value.map(api::names::label_value).unwrap_or_default()].concat();
    if !wrong.is_empty() {
        return Err(wrong.join("; "));
    }
    let value = value.filter(|value| !value.is_empty()).map(str::to_owned);
    Ok(Taint { key: key.to_owned(), value, effect: effect.to_owned(), time_added: None })
}

/// What is needed to make this machine a node, besides what its options say.
pub(crate) struct Setting {
    /// The node's name.
    pub(crate) name: String,
    /// Where Gantry has its files.
    pub(crate) data_dir: PathBuf,
    /// The API, as the node.
    pub(crate) client: Client,
    /// The API, as the node's proxy.
    pub(crate) proxy: Client,
    /// Who answers what the node's server must know about its clients.
    pub(crate) reviews: Arc<dyn Reviews>,
    /// What the node's server shows to its clients.
    pub(crate) serving: Arc<ServingCertificate>,
    /// By whom its clients' certificates may be issued.
    pub(crate) clients: Option<ClientAuthority>,
}

/// A container runtime that can be asked.
pub(crate) struct Runtime {
    cri: Cri,
    endpoint: String,
    /// The one that is this node's alone, if it is.
    private: Option<Private>,
}

impl Runtime {
    /// The runtime that the options name, or one of this node's own.
    pub(crate) async fn ready(options: &Options, data_dir: &Path) -> Result<Runtime, Box<dyn Error>> {
        if let Some(endpoint) = &options.container_runtime_endpoint {
            let cri = Cri::at(endpoint).map_err(|error| format!("--container-runtime-endpoint: {error}"))?;
            let endpoint = endpoint.clone();
            return Ok(Runtime { cri, endpoint, private: None });
        }
        let found = Requirements::find()?;
        let private = Private::start(PrivateOptions::new(data_dir, found, pause::NAME)).await?;
        let endpoint = private.endpoint();
        Ok(Runtime { cri: Cri::at(&endpoint)?, endpoint, private: Some(private) })
    }

    /// Ends what is this node's own. Containers go on.
    pub(crate) async fn stop(self) {
        if let Some(private) = self.private {
            private.stop().await;
        }
    }
}

/// The images of a runtime, of which one is what sandboxes are made of.
fn images_of(cri: &Cri, client: &Client, paths: &Paths, sandboxes: Option<&str>) -> Result<Images, String> {
    let images = Images::new(cri.clone(), client.clone(), images::Options::default());
    let records = paths.root.join("image_manager");
    images.keep_in(&records).map_err(|error| format!("{}: {error}", records.display()))?;
    sandboxes.into_iter().for_each(|name| images.pin(name));
    Ok(images)
}

/// A node that runs.
pub(crate) struct Node {
    runtime: Runtime,
    server: Running,
    work: Work,
}

/// What a node does besides its server.
struct Work {
    stop: CancellationToken,
    tasks: JoinSet<()>,
    proxy: Option<JoinHandle<()>>,
}

impl Node {
    /// Makes this machine a node. Resolves when it is registered and knows its pods. What was started for it ends if it
    /// cannot be one.
    pub(crate) async fn start(options: &Options, runtime: Runtime, setting: Setting) -> Result<Node, Box<dyn Error>> {
        match Node::begin(options, &runtime, setting).await {
            Ok((server, work)) => Ok(Node { runtime, server, work }),
            Err(error) => {
                runtime.stop().await;
                Err(error)
            }
        }
    }

    async fn begin(options: &Options, runtime: &Runtime, setting: Setting) -> Result<(Running, Work), Box<dyn Error>> {
        let Setting { name, data_dir, client, proxy: of_proxy, reviews, serving, clients } = setting;
        let pinned = pause::ensure(&runtime.cri, &runtime.endpoint).await?;
        let version = runtime.cri.version(v1::VersionRequest::default()).await?;
        let paths = Paths::new(options.root(&data_dir));
        std::fs::create_dir_all(&paths.root).map_err(|error| format!("{}: {error}", paths.root.display()))?;
        let machine = Machine::read(&Roots::of_machine(&paths.root))?;
        let addresses = options.addresses(&data_dir)?;
        let reserved = options.reserved()?;
        let allocatable = allocatable(&machine.capacity(options.max_pods), &reserved);
        let facts = machine.facts(&kubelet::node::machine::Setting {
            addresses: addresses::of_node(&addresses, &name),
            runtime_version: format!("{}://{}", version.runtime_name, version.runtime_version),
            max_pods: options.max_pods,
            reserved,
        });
        let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
        let clock = Clock::Machine;
        let driver = cgroups::Driver::of_runtime(&runtime.cri).await?;
        let layout = cgroups::Layout::new(driver, &options.cgroup_root);
        let cgroups =
            Cgroups::open(cgroups::Options { layout, pids: options.pod_max_pids, ..cgroups::Options::default() })?;
        let cluster_dns = options.dns_addresses(&client, &paths.root.join("cluster-dns")).await;
        let (recorder, recording) = Recorder::new(client.clone(), "kubelet", &name, clock);
        let objects = Objects::new(client.clone());
        cgroups.prepare_node(&allocatable)?;
        let cgroups = Arc::new(cgroups);
        let volume_facts = NodeFacts { allocatable: allocatable.clone(), recursive_read_only: false };
        let volumes = Volumes::new(&paths, Arc::clone(&objects), client.clone(), clock, volume_facts);
        let images = images_of(&runtime.cri, &client, &paths, pinned.as_deref())?;
        let networks = options.networks(runtime).cloned().map(|layout| (layout, client.clone()));
        let means = Means {
            client,
            cri: runtime.cri.clone(),
            runtime: version.runtime_name.clone(),
            clock,
            images: Arc::new(images),
            volumes,
            objects,
            cgroups: Arc::clone(&cgroups),
            recorder,
        };
        let of_pods =
            cgroups.describe(options.of_pods(addresses.first().copied(), &cluster_dns, &machine, allocatable));
        let agent_options = kubelet::agent::Options {
            about: options.about(&name, options.kubelet_listen.port()),
            facts,
            node: of_pods,
            paths,
            static_pods: options.pod_manifest_path.clone(),
            eviction: options.eviction()?,
            unsafe_sysctls: options.allowed_unsafe_sysctls.clone(),
            configuration: options.configuration(&cluster_dns),
            shutdown: options.shutdown(&mut tasks)?,
        };
        let agent = Agent::new(agent_options, means);
        let machine = stats::Machine::read(Path::new("/"));
        let door = Door { listen: options.kubelet_listen, serving, clients, reviews, machine };
        let server = Server::start(agent.server(door)).await?;
        tasks.spawn(recording);
        if let Some((layout, api)) = networks {
            tasks.spawn(network::keep(layout, options.pod_network, &name, api, stop.clone()));
        }
        let (up, is_up) = oneshot::channel();
        let (running, stopping) = (Arc::clone(&agent), stop.clone());
        tasks.spawn(async move { running.run(stopping, || up.send(()).unwrap_or(())).await });
        // Fails only if the agent has ended, of which more is said elsewhere.
        let _ = is_up.await;
        let proxy = options.start_proxy(of_proxy, &name, cluster_dns, &stop);
        Ok((server, Work { stop, tasks, proxy }))
    }

    /// Ends the agent and what is its own. Pods go on.
    pub(crate) async fn stop(self) {
        let Node { runtime, server, work: Work { stop, mut tasks, proxy } } = self;
        stop.cancel();
        server.stop().await;
        if let Some(proxy) = proxy {
            // It ends by itself, or has failed, of which more is said elsewhere.
            let _ = proxy.await;
        }
        // What is recorded is written as far as the API is there.
        tasks.shutdown().await;
        runtime.stop().await;
    }
}

/// Whether a node says that it is ready for pods.
pub(crate) fn is_ready(node: &k8s_openapi::api::core::v1::Node) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref()).into_iter().flatten();
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Why this machine cannot be a node now.
pub(crate) fn is_possible() -> Result<(), Box<dyn Error>> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    Err("only root can run containers: run this as root, or with --no-node".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    #[test]
    fn options_are_checked_before_anything_is_started() {
        let check = |line: &str, expected: Option<&str>| {
            let line = <Line as clap::Parser>::try_parse_from(line.split(' ')).unwrap();
            let error = line.options.check().err().map(|error| error.to_string());
            match (error, expected) {
                (None, None) => {}
                (Some(error), Some(expected)) => assert!(error.starts_with(expected), "{error}"),
                other => panic!("{other:?}"),
            }
        };
        check("node --node-name a", None);
        check("node --node-name A_B", Some("--node-name A_B: "));
        check("node --node-name a --kube-reserved cpu", Some("--kube-reserved: "));
        check("node --node-name a --eviction-hard memory<1", Some("--eviction-hard: "));
        check("node --node-name a --shutdown-grace-period 1h --shutdown-grace-period-critical-pods 1m", None);
        check("node --node-name a --shutdown-grace-period-by-pod-priority -1=10s,0=5s", None);
        check("node --node-name a --shutdown-grace-period 1", Some("--shutdown-grace-period 1: "));
        let critical = "node --node-name a --shutdown-grace-period-critical-pods 1s";
        check(critical, Some("--shutdown-grace-period-critical-pods (1s)"));
        let both = "node --node-name a --shutdown-grace-period 1s --shutdown-grace-period-by-pod-priority 0=1s";
        check(both, Some("--shutdown-grace-period-by-pod-priority cannot be used"));
        check("node --node-name a --container-runtime-endpoint /run/x", Some("--container-runtime-endpoint: "));
    }

    #[test]
    fn sysctls_are_of_namespaces() {
        let parse = |line: &str| <Line as clap::Parser>::try_parse_from(line.split(' ')).map(|line| line.options);
        let options = parse("node --allowed-unsafe-sysctls kernel.msg*,net/core/somaxconn").unwrap();
        assert_eq!(options.allowed_unsafe_sysctls, ["kernel.msg*", "net/core/somaxconn"]);
        assert_eq!(options.configuration(&[])["allowedUnsafeSysctls"][0], "kernel.msg*");
        let error = parse("node --allowed-unsafe-sysctls vm.swappiness").unwrap_err().to_string();
        assert!(error.contains("not known to be namespaced"), "{error}");
    }

    #[test]
    fn labels_and_taints_are_read() {
        assert_eq!(label("a/b=c").unwrap(), ("a/b".to_owned(), "c".to_owned()));
        assert!(label("a").is_err() && label("a b=c").is_err() && label("a=b c").is_err());
        let check = |text: &str, expected: (&str, Option<&str>, &str)| {
            let taint = taint(text).unwrap();
            assert_eq!((taint.key.as_str(), taint.value.as_deref(), taint.effect.as_str()), expected);
        };
        check("k=v:NoSchedule", ("k", Some("v"), "NoSchedule"));
        check("k:NoExecute", ("k", None, "NoExecute"));
        check("k=:NoExecute", ("k", None, "NoExecute"));
        assert!(taint("k=v").is_err());
        assert!(taint("k=v:Never").unwrap_err().contains("NoSchedule"));
        assert!(taint("k k=v:NoExecute").is_err());
    }
}
