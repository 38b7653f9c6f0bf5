//! `gantry controller-manager`: run the controllers, against the API server that a kubeconfig names.

use std::error::Error;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ::apiserver::resources::service;
use clap::Args;
use client::cache::Cache;
use client::clock::Clock;
use client::election::Timing;
use controller_manager::certify::Authority;
use controller_manager::controllers::load_balancer::Pool;
use controller_manager::controllers::node_ipam::{self, NodeIpam};
use controller_manager::controllers::node_lifecycle::Settings;
use controller_manager::controllers::pod_gc::PodGc;
use controller_manager::controllers::{self, Config};
use controller_manager::driver::{Environment, Manager, Selection};
use kube::Client;

use crate::leading::{Seat, lead, timing};
use crate::{process, ranges};

/// The Lease that the leading process holds: as upstream's.
pub(crate) const LEASE: &str = "kube-controller-manager";

/// The options of `gantry controller-manager`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The kubeconfig that says where the API server is and who this is.
    #[arg(long, value_name = "FILE")]
    kubeconfig: PathBuf,
    /// Work only while holding the Lease `kube-controller-manager` in `kube-system`, so that several processes can stand by.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    leader_elect: bool,
    /// How long the others wait before they take the Lease of a leader that is gone.
    #[arg(long, value_name = "SECONDS", default_value_t = Timing::default().lease.as_secs(), value_parser = clap::value_parser!(u64).range(3..=3600))]
    leader_elect_lease_duration: u64,
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    options: Options,
}

/// The files of the cluster's authority.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Files {
    /// The certificate, in PEM, that pods are to trust the API server by; it is published in every namespace.
    #[arg(long, value_name = "FILE")]
    pub(crate) root_ca_file: Option<PathBuf>,
    /// The certificate of the authority that signs what CertificateSigningRequests ask for, in PEM.
    #[arg(long, value_name = "FILE", requires = "cluster_signing_key_file")]
    pub(crate) cluster_signing_cert_file: Option<PathBuf>,
    /// The key of that authority, in PEM.
    #[arg(long, value_name = "FILE", requires = "cluster_signing_cert_file")]
    pub(crate) cluster_signing_key_file: Option<PathBuf>,
}

/// What the controllers are told, wherever they run.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// Which controllers run: names, names with `-` in front for those that do not, and `*` for all that are not named.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', default_value = "*", allow_hyphen_values = true)]
    controllers: Vec<String>,
    /// Whether nodes get ranges of addresses for their pods.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    allocate_node_cidrs: bool,
    /// The addresses of pods: one range, or an IPv4 and an IPv6 range with a comma in between.
    #[arg(long, value_name = "CIDR", default_value = "10.128.0.0/9")]
    cluster_cidr: String,
    /// The prefix of a node's range; 24 for IPv4 and 64 for IPv6 if nothing is said.
    #[arg(long, value_name = "BITS")]
    node_cidr_mask_size: Option<u8>,
    /// The prefix of a node's IPv4 range, where there are both.
    #[arg(long, value_name = "BITS")]
    node_cidr_mask_size_ipv4: Option<u8>,
    /// The prefix of a node's IPv6 range, where there are both.
    #[arg(long, value_name = "BITS")]
    node_cidr_mask_size_ipv6: Option<u8>,
    /// The addresses of Services, which nodes do not get.
    #[arg(long, value_name = "CIDR", default_value = "10.96.0.0/12")]
    service_cluster_ip_range: String,
    /// The addresses that Services of type LoadBalancer get, as ranges with commas in between, such as
    /// 192.0.2.0/28,192.0.2.40-192.0.2.50; nodes announce them on their links [default: the addresses of the nodes].
    #[arg(long, value_name = "RANGES")]
    load_balancer_pool: Option<Pool>,
    #[command(flatten)]
    nodes: Nodes,
    /// How many ended pods may be there before the oldest are removed; any number, if it is 0.
    #[arg(long, value_name = "NUMBER", default_value_t = PodGc::default().threshold)]
    terminated_pod_gc_threshold: usize,
}

/// How long nodes may be silent, and how fast pods are driven out of them.
#[derive(Clone, Debug, Args)]
struct Nodes {
    /// How long a node may be silent.
    #[arg(long, value_name = "DURATION", default_value = "50s", value_parser = duration)]
    node_monitor_grace_period: Duration,
    /// How long a node may be silent that has never spoken.
    #[arg(long, value_name = "DURATION", default_value = "1m0s", value_parser = duration)]
    node_startup_grace_period: Duration,
    /// How long a node must not have been ready before its pods are driven out.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    node_monitor_period: Duration,
    /// From how many nodes of a zone pods are driven out, in a second.
    #[arg(long, value_name = "NUMBER", default_value_t = Settings::default().eviction_rate, value_parser = rate)]
    node_eviction_rate: f64,
    /// The same, if the zone is large and many of its nodes are not ready; in smaller zones it is 0 then.
    #[arg(long, value_name = "NUMBER", default_value_t = Settings::default().secondary_eviction_rate, value_parser = rate)]
    secondary_node_eviction_rate: f64,
    /// A zone with more nodes is large.
    #[arg(long, value_name = "NUMBER", default_value_t = Settings::default().large_zone)]
    large_cluster_size_threshold: usize,
    /// Which part of the nodes of a zone is many.
    #[arg(long, value_name = "PART", default_value_t = Settings::default().unhealthy_part, value_parser = rate)]
    unhealthy_zone_threshold: f64,
}

impl Nodes {
    fn settings(&self) -> Settings {
        Settings {
            monitor_grace: self.node_monitor_grace_period,
            startup_grace: self.node_startup_grace_period,
            monitor_period: self.node_monitor_period,
            eviction_rate: self.node_eviction_rate,
            secondary_eviction_rate: self.secondary_node_eviction_rate,
            large_zone: self.large_cluster_size_threshold,
            unhealthy_part: self.unhealthy_zone_threshold,
        }
    }
}

/// A duration as Go reads it, such as `1m30s`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let nanoseconds = api::cron::duration::parse(text)?;
    u64::try_from(nanoseconds).map(Duration::from_nanos).map_err(|_| "it is less than nothing".to_owned())
}

/// A number that is neither less than nothing nor without end.
fn rate(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "it is not a number".to_owned())?;
    if number.is_finite() && number >= 0.0 {
        Ok(number)
    } else {
        Err("it is less than nothing, or without end".to_owned())
    }
}

impl Options {
    fn node_ipam(&self) -> Result<Option<NodeIpam>, String> {
        if !self.allocate_node_cidrs {
            return Ok(None);
        }
        let options = node_ipam::Options {
            cluster_cidr: self.cluster_cidr.clone(),
            service_cluster_ip_range: self.service_cluster_ip_range.clone(),
            node_cidr_mask_size: self.node_cidr_mask_size,
            node_cidr_mask_size_ipv4: self.node_cidr_mask_size_ipv4,
            node_cidr_mask_size_ipv6: self.node_cidr_mask_size_ipv6,
        };
        NodeIpam::new(&options).map(Some).map_err(|error| error.to_string())
    }

    /// The addresses of load balancers, if they are nobody else's.
    fn load_balancer_pool(&self) -> Result<Option<Pool>, String> {
        let Some(pool) = &self.load_balancer_pool else { return Ok(None) };
        for (option, ranges) in
            [("--cluster-cidr", &self.cluster_cidr), ("--service-cluster-ip-range", &self.service_cluster_ip_range)]
        {
            if let Some((mine, other)) = pool.overlapping(ranges.split(',')) {
                return Err(format!("--load-balancer-pool: {mine} has addresses of {option} {other}: choose others"));
            }
        }
        Ok(Some(pool.clone()))
    }

    /// What Services get addresses from.
    pub(crate) fn services(&self) -> Result<service::Config, String> {
        ranges::services(&self.service_cluster_ip_range)
    }

    /// Refuses ranges that have addresses in common, or one of this machine's. Where nodes get no ranges from here, whoever
    /// gives them to pods has to see to that.
    pub(crate) fn check_ranges(&self, addresses: &[IpAddr]) -> Result<(), String> {
        let pods = if self.allocate_node_cidrs { self.cluster_cidr.as_str() } else { "" };
        ranges::check_apart(pods, &self.service_cluster_ip_range, addresses)
    }

    /// Refuses what makes no sense.
    pub(crate) fn check(&self) -> Result<(), String> {
        Controllers::new(self, &Files::default()).map(drop)
    }
}

/// What controllers are made of.
#[derive(Clone)]
pub(crate) struct Controllers {
    selection: Selection,
    config: Config,
    authority: Option<Arc<Authority>>,
}

impl Controllers {
    /// What the options say.
    pub(crate) fn new(options: &Options, files: &Files) -> Result<Controllers, String> {
        let names = options.controllers.iter().map(String::as_str);
        let selection = Selection::of(names, controllers::NAMES).map_err(|error| format!("--controllers: {error}"))?;
        let root_ca = files.root_ca_file.as_deref().map(|path| read("--root-ca-file", path)).transpose()?;
        let authority = match (&files.cluster_signing_cert_file, &files.cluster_signing_key_file) {
            (Some(certificate), Some(key)) => {
                let (certificate, key) =
                    (read("--cluster-signing-cert-file", certificate)?, read("--cluster-signing-key-file", key)?);
                let authority = Authority::from_pem(&certificate, &key);
                let named = |error| format!("--cluster-signing-cert-file, --cluster-signing-key-file: {error}");
                Some(Arc::new(authority.map_err(named)?))
            }
            _ => None,
        };
        let config = Config {
            root_ca,
            node_ipam: options.node_ipam()?,
            load_balancer_pool: options.load_balancer_pool()?,
            node_lifecycle: options.nodes.settings(),
            terminated_pods: options.terminated_pod_gc_threshold,
            ..Config::default()
        };
        Ok(Controllers { selection, config, authority })
    }

    /// A manager of the controllers that are selected.
    pub(crate) fn manager(&self, client: Client) -> Manager {
        let environment = Environment {
            client,
            cache: Cache::new(),
            clock: Clock::Machine,
            instance: process::host_name(),
            authority: self.authority.clone(),
        };
        let mut manager = Manager::new(environment, self.selection.clone());
        controllers::add_all(&mut manager, &self.config);
        manager
    }
}

fn read(option: &str, path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{option} {}: {error}", path.display()))
}

/// Runs until the process is asked to end.
pub(crate) fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let controllers = Controllers::new(&arguments.options, &arguments.files)?;
    process::raise_file_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = process::connect(&arguments.kubeconfig).await?;
        let work = async {
            if !arguments.leader_elect {
                return run_manager(controllers.manager(client), announce).await;
            }
            let lease = Duration::from_secs(arguments.leader_elect_lease_duration);
            let work = |client| run_manager(controllers.manager(client), announce);
            lead(client, Seat::new(LEASE, timing(lease)), work).await;
        };
        tokio::select! {
            () = work => {}
            asked = process::asked_to_end() => asked?,
        }
        Ok(())
    })
}

/// Runs controllers, and tells `ready` when they know what they watch.
pub(crate) async fn run_manager(manager: Manager, ready: impl Fn()) {
    let synced = manager.synced();
    tokio::join!(manager.run(), async {
        synced.await;
        ready();
    });
}

fn announce() {
    process::announce("gantry controller-manager is ready");
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn parse(line: &str) -> Result<Arguments, clap::Error> {
        Line::try_parse_from(line.split(' ')).map(|line| line.arguments)
    }

    #[test]
    fn options_about_nodes_and_ended_pods_are_read() {
        let config = |line: &str| {
            let Arguments { options, files, .. } = parse(&format!("c --kubeconfig f{line}")).unwrap();
            Controllers::new(&options, &files).unwrap().config
        };
        let plain = config("");
        assert_eq!((plain.node_lifecycle, plain.terminated_pods), (Settings::default(), 12_500));
        let stated = config(
            " --node-monitor-grace-period 1m30s --node-startup-grace-period 2m --node-monitor-period 500ms \
             --node-eviction-rate 2.5 --secondary-node-eviction-rate 0 --large-cluster-size-threshold 7 \
             --unhealthy-zone-threshold 0.25 --terminated-pod-gc-threshold 3",
        );
        let expected = Settings {
            monitor_grace: Duration::from_secs(90),
            startup_grace: Duration::from_secs(120),
            monitor_period: Duration::from_millis(500),
            eviction_rate: 2.5,
            secondary_eviction_rate: 0.0,
            large_zone: 7,
            unhealthy_part: 0.25,
        };
        assert_eq!((stated.node_lifecycle, stated.terminated_pods), (expected, 3));
        let check = |option: &str, value: &str, why: &str| {
            let error = parse(&format!("c --kubeconfig f {option}={value}")).unwrap_err().to_string();
            assert!(error.contains(option) && error.contains(why), "{error}");
        };
        check("--node-monitor-grace-period", "90", "missing unit in duration");
        check("--node-monitor-period", "-5s", "less than nothing");
        check("--node-eviction-rate", "NaN", "less than nothing, or without end");
        check("--unhealthy-zone-threshold", "many", "not a number");
        check("--terminated-pod-gc-threshold", "-1", "invalid digit");
    }

    #[test]
    fn options_are_read() {
        let arguments = parse("c --kubeconfig f --leader-elect=false --controllers *,-namespace-controller").unwrap();
        assert!(!arguments.leader_elect);
        assert_eq!(arguments.options.controllers, ["*", "-namespace-controller"]);
        assert!(parse("c").unwrap_err().to_string().contains("--kubeconfig"));
        let error = |line: &str| {
            let Arguments { options, files, .. } = parse(&format!("c --kubeconfig f {line}")).unwrap();
            Controllers::new(&options, &files).map(drop).unwrap_err()
        };
        assert!(error("--controllers nonsense").starts_with("--controllers: \"nonsense\" is no controller"));
        assert!(error("--root-ca-file /nowhere").starts_with("--root-ca-file /nowhere: "));
        assert!(
            error("--load-balancer-pool 10.100.0.0/24")
                .ends_with("of --service-cluster-ip-range 10.96.0.0/12: choose others")
        );
        assert!(error("--cluster-cidr nonsense").starts_with("--cluster-cidr: \"nonsense\" is not a range"));
    }
}
