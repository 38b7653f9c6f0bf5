//! `gantry proxy`: make Services reachable on this machine, for the cluster that a kubeconfig names. And what of that
//! `gantry kubelet` and `gantry up` do as well.

use std::collections::BTreeSet;
use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use ::proxy::node::NodePorts;
use ::proxy::{Dns, cleanup, dns};
use clap::Args;
use client::cache::Cache;
use client::clock::Clock;
use k8s_openapi::api::core::v1::Service;
use kube::{Api, Client};
use tokio_util::sync::CancellationToken;

use crate::process;

/// The options of `gantry proxy`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The kubeconfig that says where the API server is and who this is.
    #[arg(long, value_name = "FILE", required_unless_present = "cleanup")]
    kubeconfig: Option<PathBuf>,
    /// What the node is called [default: the machine's host name].
    #[arg(long, alias = "hostname-override", value_name = "NAME")]
    node_name: Option<String>,
    /// The addresses of the cluster's DNS, at which this machine is to answer [default: those of the Service
    /// kube-system/kube-dns].
    #[arg(long, value_name = "ADDRESSES", value_delimiter = ',')]
    cluster_dns: Vec<IpAddr>,
    /// The domain of the cluster's names.
    #[arg(long, value_name = "DOMAIN", default_value = "cluster.local")]
    cluster_domain: String,
    /// Only remove the rules that are left of a proxy that has ended.
    #[arg(long)]
    cleanup: bool,
    #[command(flatten)]
    options: Options,
}

/// How Services are made reachable, wherever that is done.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Services")]
#[group(id = "Services")]
pub(crate) struct Options {
    /// At which of the machine's addresses node ports are: at those that the node is known by (`primary`), or at those within
    /// ranges with commas in between.
    #[arg(long, value_name = "primary|CIDRS", default_value = "primary")]
    nodeport_addresses: NodePorts,
    /// Where it is told whether Services are reachable; nowhere, if it is empty.
    #[arg(long, alias = "healthz-bind-address", value_name = "ADDRESS", default_value = "0.0.0.0:10256")]
    proxy_healthz_listen: Listen,
    /// Where figures about that are told; nowhere, if it is empty.
    #[arg(long, alias = "metrics-bind-address", value_name = "ADDRESS", default_value = "127.0.0.1:10249")]
    proxy_metrics_listen: Listen,
    /// Answer no names on this node: pods ask those who are behind the Service kube-system/kube-dns, such as CoreDNS.
    #[arg(long)]
    pub(crate) no_dns: bool,
}

/// Where to listen, if anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Listen(Option<SocketAddr>);

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Listen, String> {
        if text.is_empty() {
            return Ok(Listen(None));
        }
        let address = text.parse().map_err(|_| "it is no address with a port".to_owned())?;
        Ok(Listen(Some(address)))
    }
}

/// What the cluster's names are, for whoever answers them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Names {
    /// The addresses that pods ask.
    pub(crate) addresses: Vec<IpAddr>,
    /// The cluster's domain.
    pub(crate) domain: String,
}

/// How soon it is tried again to answer names, where that failed.
const RETRY: Duration = Duration::from_secs(5);

/// What answers names on this machine, at these addresses.
fn resolver(names: Names) -> Dns {
    Box::new(move |cache, stop| {
        Box::pin(async move {
            let mut said = String::new();
            loop {
                let Err(error) = answer(&names, cache.clone(), stop.clone()).await else { return };
                let error = error.to_string();
                if error != said {
                    tracing::error!(error, "pods cannot look up names on this node; it is tried again");
                    said = error;
                }
                if tokio::time::timeout(RETRY, stop.cancelled()).await.is_ok() {
                    return;
                }
            }
        })
    })
}

/// Answers names until it is stopped.
async fn answer(names: &Names, cache: Cache, stop: CancellationToken) -> Result<(), Box<dyn Error + Send + Sync>> {
    dns::address::put(&names.addresses).await?;
    let options = dns::Options {
        listen: names.addresses.iter().map(|address| SocketAddr::new(*address, DNS_PORT)).collect(),
        zone: names.domain.clone(),
        upstreams: dns::Upstreams::File(process::resolver_file().into()),
        ..dns::Options::default()
    };
    Ok(dns::run(cache, options, stop).await?)
}

/// The port at which names are asked for.
const DNS_PORT: u16 = 53;

/// Runs until the process is asked to end, or only cleans up.
pub(crate) fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let Arguments { kubeconfig, node_name, cluster_dns, cluster_domain, cleanup, options } = arguments;
    let Some(kubeconfig) = kubeconfig.filter(|_| !cleanup) else {
        return clean_up();
    };
    let node = process::node_name(node_name.as_deref())?;
    is_possible()?;
    process::raise_file_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = process::connect(&kubeconfig).await?;
        let addresses = dns_addresses(&client, &cluster_dns, !options.no_dns, None).await;
        let stop = CancellationToken::new();
        let work = start(client, &options, &node, Names { addresses, domain: cluster_domain }, stop.clone());
        let work = tokio::spawn(work);
        process::announce(&format!("gantry proxy is ready for node {node}"));
        process::asked_to_end().await?;
        stop.cancel();
        work.await?;
        Ok(())
    })
}

/// Removes what a proxy has left, and says what that was.
fn clean_up() -> Result<(), Box<dyn Error>> {
    is_possible()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let removed = runtime.block_on(cleanup())?;
    if removed.is_empty() {
        process::announce("there was nothing to do");
    }
    removed.iter().for_each(|line| process::announce(line));
    Ok(())
}

/// Why this machine's kernel cannot be told anything.
fn is_possible() -> Result<(), Box<dyn Error>> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    Err("only root can tell the kernel's packet filter: run this as root".into())
}

/// Makes Services reachable on this machine, which is the node of this name, until it is stopped.
pub(crate) fn start(
    client: Client,
    options: &Options,
    node: &str,
    names: Names,
    stop: CancellationToken,
) -> impl Future<Output = ()> + Send + use<> {
    let names = Some(names).filter(|names| !options.no_dns && !names.addresses.is_empty());
    let answered: BTreeSet<IpAddr> = names.iter().flat_map(|names| names.addresses.iter().copied()).collect();
    let options = ::proxy::Options {
        node: node.to_owned(),
        node_ports: options.nodeport_addresses.clone(),
        answered,
        healthz: options.proxy_healthz_listen.0,
        metrics: options.proxy_metrics_listen.0,
        dns: names.map(resolver),
        clock: Clock::Machine,
    };
    ::proxy::run(client, options, stop)
}

/// How often the Service of the cluster's DNS is asked for, for how long, and how long it takes until the next time.
const ATTEMPTS: u32 = 3;
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_secs(1);

/// The addresses at which pods ask for names: those that were `told`, or else those of the Service kube-system/kube-dns, if
/// somebody answers there: this machine itself, or those whom it selects. What was learned is kept in a file, for when the API
/// server is away.
pub(crate) async fn dns_addresses(client: &Client, told: &[IpAddr], answers: bool, file: Option<&Path>) -> Vec<IpAddr> {
    if !told.is_empty() {
        return told.to_vec();
    }
    let known = file.map(recall).unwrap_or_default();
    let attempts = if known.is_empty() { ATTEMPTS } else { 1 };
    let services: Api<Service> = Api::namespaced(client.clone(), "kube-system");
    for attempt in 1..=attempts {
        match tokio::time::timeout(PATIENCE, services.get_opt("kube-dns")).await {
            Ok(Ok(service)) => {
                let addresses = service.map(|service| addresses_of(&service, answers));
                let addresses = addresses.unwrap_or_default();
                file.into_iter().for_each(|file| remember(file, &addresses));
                return addresses;
            }
            Ok(Err(error)) => tracing::debug!(%error, "it is not known where the cluster's DNS is"),
            Err(_) => tracing::debug!("the API server does not say where the cluster's DNS is"),
        }
        if attempt < attempts {
            tokio::time::sleep(PAUSE).await;
        }
    }
    if known.is_empty() {
        tracing::warn!("it is not known where the cluster's DNS is: pods resolve names as this machine does");
    }
    known
}

/// The addresses of the DNS's Service, if somebody answers there.
fn addresses_of(service: &Service, answers: bool) -> Vec<IpAddr> {
    let Some(spec) = &service.spec else { return Vec::new() };
    let is_selective = spec.selector.as_ref().is_some_and(|selector| !selector.is_empty());
    if !answers && !is_selective {
        return Vec::new();
    }
    let stated = spec.cluster_ips.clone().unwrap_or_else(|| spec.cluster_ip.iter().cloned().collect());
    stated.iter().filter_map(|address| address.parse().ok()).collect()
}

fn remember(file: &Path, addresses: &[IpAddr]) {
    let lines: String = addresses.iter().map(|address| format!("{address}\n")).collect();
    if std::fs::read_to_string(file).is_ok_and(|known| known == lines) {
        return;
    }
    if let Err(error) = std::fs::write(file, lines) {
        tracing::warn!(%error, file = %file.display(), "the address of the cluster's DNS is not kept");
    }
}

fn recall(file: &Path) -> Vec<IpAddr> {
    let known = std::fs::read_to_string(file).unwrap_or_default();
    known.lines().filter_map(|line| line.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::{Value, json};

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn parse(line: &str) -> Result<Arguments, String> {
        let line = Line::try_parse_from(line.split(' ')).map_err(|error| error.to_string())?;
        Ok(line.arguments)
    }

    #[test]
    fn options_are_read() {
        let plain = parse("proxy --kubeconfig f").unwrap();
        assert_eq!(plain.options.nodeport_addresses, NodePorts::Primary);
        assert_eq!(plain.options.proxy_healthz_listen, Listen(Some(([0, 0, 0, 0], 10_256).into())));
        assert_eq!(plain.options.proxy_metrics_listen, Listen(Some(([127, 0, 0, 1], 10_249).into())));
        assert_eq!((plain.cluster_domain.as_str(), plain.cleanup), ("cluster.local", false));
        let line = "proxy --kubeconfig f --node-name n --nodeport-addresses 10.0.0.0/8,fd00::/8 --proxy-healthz-listen= \
                    --metrics-bind-address 0.0.0.0:1 --cluster-dns 10.96.0.10,fd96::a";
        let stated = parse(line).unwrap();
        assert!(matches!(&stated.options.nodeport_addresses, NodePorts::Within(ranges) if ranges.len() == 2));
        assert_eq!(stated.options.proxy_healthz_listen, Listen(None));
        assert_eq!(stated.options.proxy_metrics_listen, Listen(Some(([0, 0, 0, 0], 1).into())));
        assert_eq!(stated.cluster_dns.len(), 2);
        assert!(parse("proxy --cleanup").unwrap().cleanup);
    }

    #[test]
    fn options_that_make_no_sense_are_refused() {
        let check = |line: &str, named: &str| {
            let error = parse(line).unwrap_err();
            assert!(error.contains(named), "{line}: {error}");
        };
        check("proxy", "--kubeconfig");
        check("proxy --kubeconfig f --nodeport-addresses all", "is neither \"primary\" nor a range of addresses");
        check("proxy --kubeconfig f --proxy-healthz-listen 10256", "it is no address with a port");
        check("proxy --kubeconfig f --proxy-metrics-listen localhost:1", "it is no address with a port");
        check("proxy --kubeconfig f --cluster-dns here", "--cluster-dns");
    }

    #[test]
    fn the_dns_is_where_somebody_answers() {
        let check = |spec: Value, answers: bool, expected: &[&str]| {
            let service = serde_json::from_value(json!({"metadata": {}, "spec": spec})).unwrap();
            let expected: Vec<IpAddr> = expected.iter().map(|address| address.parse().unwrap()).collect();
            assert_eq!(addresses_of(&service, answers), expected, "{spec}");
        };
        let own = json!({"clusterIP": "10.96.0.10"});
        check(own.clone(), true, &["10.96.0.10"]);
        check(own, false, &[]);
        let both = ["10.96.0.10", "fd96::a"];
        check(json!({"clusterIPs": both, "selector": {"k8s-app": "kube-dns"}}), false, &both);
        check(json!({"clusterIPs": both, "selector": {}}), false, &[]);
        check(json!({"clusterIP": "None"}), true, &[]);
    }

    #[test]
    fn what_was_learned_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("cluster-dns");
        assert!(recall(&file).is_empty());
        let addresses: Vec<IpAddr> = ["10.96.0.10".parse().unwrap(), "fd96::a".parse().unwrap()].into();
        remember(&file, &addresses);
        assert_eq!(recall(&file), addresses);
        remember(&file, &[]);
        assert!(recall(&file).is_empty());
    }
}
