//! `gantry apiserver`: serve the Kubernetes API.

use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use apiserver::proxy::AddressType;
use apiserver::resources::service;
use apiserver::serve::Limits;
use apiserver::{Admission, EncryptionFile, Etcd, Kubelets, Options, Ready, StoreChoice};
use clap::{Args, ValueEnum};
use tokio::sync::oneshot;

use crate::{audit, home, oidc, process, ranges};

/// The options of `gantry apiserver`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Where the server keeps its files. The first start makes a certificate authority there, and `admin.kubeconfig`.
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// The addresses of Services: one range, or an IPv4 and an IPv6 range with a comma in between.
    #[arg(long, value_name = "CIDR", default_value = "10.96.0.0/12")]
    service_cluster_ip_range: String,
    #[command(flatten)]
    serving: Serving,
}

/// How the API is served, wherever its files are.
#[derive(Debug, Args)]
pub(crate) struct Serving {
    /// The address to serve at; port 0 is any that is free.
    #[arg(long, value_name = "ADDR", default_value = "0.0.0.0:6443")]
    listen: SocketAddr,
    /// The address that pods and others in the cluster find the server at [default: the one that it listens at, or that the
    /// machine reaches others by].
    #[arg(long, value_name = "IP")]
    advertise_address: Option<IpAddr>,
    /// What objects are kept in: a file in the data directory, or etcd.
    #[arg(long, value_enum, default_value_t = Store::Embedded)]
    store: Store,
    /// URLs of etcd's members.
    #[arg(long, value_name = "URL", value_delimiter = ',', required_if_eq("store", "etcd"))]
    etcd_servers: Vec<String>,
    /// The authorities that etcd's certificates are checked against, in PEM.
    #[arg(long, value_name = "FILE", requires = "etcd_servers")]
    etcd_cafile: Option<PathBuf>,
    /// The certificate to show to etcd, in PEM.
    #[arg(long, value_name = "FILE", requires_all = ["etcd_servers", "etcd_keyfile"])]
    etcd_certfile: Option<PathBuf>,
    /// The key of that certificate, in PEM.
    #[arg(long, value_name = "FILE", requires_all = ["etcd_servers", "etcd_certfile"])]
    etcd_keyfile: Option<PathBuf>,
    /// An EncryptionConfiguration of apiserver.config.k8s.io/v1: what is stored encrypted, and by which keys [default: Secrets,
    /// by a key in the data directory that is made at the first start; on etcd, if that key is there].
    #[arg(long, value_name = "FILE")]
    encryption_provider_config: Option<PathBuf>,
    /// Read that file again when it changes.
    #[arg(long, requires = "encryption_provider_config")]
    encryption_provider_config_automatic_reload: bool,
    /// A file of bearer tokens, with lines of `token,user,uid,"group1,group2"`.
    #[arg(long, value_name = "FILE")]
    token_auth_file: Option<PathBuf>,
    /// Let the tokens that kubelets ask for be good for a year, while clients are told to renew them after the hour that was asked
    /// for, so that programs that never read their token again go on.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    service_account_extend_token_expiration: bool,
    /// Plugins that decide about writes beside those that do by default: AlwaysPullImages, DenyServiceExternalIPs, EventRateLimit.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    enable_admission_plugins: Vec<String>,
    /// Plugins that do by default, and are not to decide about writes.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    disable_admission_plugins: Vec<String>,
    /// An AdmissionConfiguration of apiserver.config.k8s.io/v1, by which PodSecurity and EventRateLimit decide.
    #[arg(long, value_name = "FILE")]
    admission_control_config_file: Option<PathBuf>,
    #[command(flatten)]
    audit: audit::Audit,
    #[command(flatten)]
    oidc: oidc::Oidc,
    /// The authorities that the certificates of kubelets are checked against, in PEM [default: the cluster's own].
    #[arg(long, value_name = "FILE")]
    kubelet_certificate_authority: Option<PathBuf>,
    /// The certificate to show to kubelets, in PEM [default: one of the cluster's authority].
    #[arg(long, value_name = "FILE", requires = "kubelet_client_key")]
    kubelet_client_certificate: Option<PathBuf>,
    /// The key of that certificate, in PEM.
    #[arg(long, value_name = "FILE", requires = "kubelet_client_certificate")]
    kubelet_client_key: Option<PathBuf>,
    /// By which addresses of their Nodes kubelets are called, most preferred first.
    #[arg(long, value_name = "TYPES", value_delimiter = ',', default_values_t = AddressType::DEFAULT)]
    kubelet_preferred_address_types: Vec<AddressType>,
    /// How many requests that change nothing may be under way; 0 is no limit.
    #[arg(long, value_name = "N", default_value_t = Limits::default().read_only_in_flight)]
    max_requests_inflight: usize,
    /// How many requests that change something may be under way; 0 is no limit.
    #[arg(long, value_name = "N", default_value_t = Limits::default().mutating_in_flight)]
    max_mutating_requests_inflight: usize,
    /// The addresses of the node that the server is on, if it is on one.
    #[arg(skip)]
    of_node: Vec<IpAddr>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Store {
    Embedded,
    Etcd,
}

/// Serves until the process is asked to end.
pub(crate) fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let services = ranges::services(&arguments.service_cluster_ip_range)?;
    process::raise_file_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let (ready, is_ready) = oneshot::channel();
        tokio::spawn(async {
            if let Ok(ready) = is_ready.await {
                announce(&ready);
            }
        });
        let shutdown = async {
            if let Err(error) = process::asked_to_end().await {
                tracing::error!(%error, "signals cannot be received");
            }
        };
        let options = arguments.serving.options(arguments.data_dir, services, Some(ready))?;
        apiserver::run(options, shutdown).await.map_err(home::name_holder)
    })
}

fn announce(ready: &Ready) {
    let Ready { url, kubeconfig, .. } = ready;
    process::announce(&format!("gantry apiserver is ready at {url}; KUBECONFIG={}", kubeconfig.display()));
}

impl Serving {
    /// Whether several servers may share the store.
    pub(crate) fn is_shared(&self) -> bool {
        self.store == Store::Etcd
    }

    /// What objects are kept in, for people.
    pub(crate) fn store(&self) -> String {
        match self.store {
            Store::Embedded => "embedded".to_owned(),
            Store::Etcd => format!("etcd at {}", self.etcd_servers.join(", ")),
        }
    }

    /// Lets others in the cluster find the server at the node's addresses, if it listens at them and nobody said otherwise.
    pub(crate) fn on_node(&mut self, addresses: &[IpAddr]) {
        if self.advertise_address.is_none() && self.listen.ip().is_unspecified() {
            self.of_node = addresses.to_vec();
        }
    }

    /// The server's options, with its files in `data_dir`, for a cluster whose Services have addresses of `services`. Fails in
    /// words that name the options that make no sense together.
    pub(crate) fn options(
        self,
        data_dir: PathBuf,
        services: service::Config,
        ready: Option<oneshot::Sender<Ready>>,
    ) -> Result<Options, String> {
        let store = match self.store {
            Store::Embedded => StoreChoice::Embedded,
            Store::Etcd => StoreChoice::Etcd(Etcd {
                servers: self.etcd_servers,
                ca_file: self.etcd_cafile,
                cert_file: self.etcd_certfile,
                key_file: self.etcd_keyfile,
            }),
        };
        let limits = Limits {
            read_only_in_flight: self.max_requests_inflight,
            mutating_in_flight: self.max_mutating_requests_inflight,
            ..Limits::default()
        };
        let kubelets = Kubelets {
            certificate_authority: self.kubelet_certificate_authority,
            client_certificate: self.kubelet_client_certificate.zip(self.kubelet_client_key),
            address_types: self.kubelet_preferred_address_types,
        };
        let reload = self.encryption_provider_config_automatic_reload;
        let encryption = self.encryption_provider_config.map(|path| EncryptionFile { path, reload });
        let token_auth_file = self.token_auth_file;
        let advertise = self.advertise_address.map_or(self.of_node, |address| vec![address]);
        let (oidc, audit) = (self.oidc.options(), self.audit.options()?);
        let admission = Admission::new(
            &self.enable_admission_plugins,
            &self.disable_admission_plugins,
            self.admission_control_config_file.as_deref(),
        );
        let admission = admission.map_err(|error| error.to_string())?;
        Ok(Options {
            data_dir,
            listen: self.listen,
            advertise,
            store,
            encryption,
            token_auth_file,
            oidc,
            audit,
            kubelets,
            extend_tokens: self.service_account_extend_token_expiration,
            admission,
            limits,
            services,
            ready,
        })
    }
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

    fn parse(line: &str) -> Result<Options, String> {
        let line = Line::try_parse_from(line.split(' ')).map_err(|error| error.to_string())?;
        let services = ranges::services(&line.arguments.service_cluster_ip_range)?;
        line.arguments.serving.options(line.arguments.data_dir, services, None)
    }

    #[test]
    fn options_are_read() {
        let options = parse("apiserver --data-dir /d --listen 127.0.0.1:0 --token-auth-file t.csv").unwrap();
        assert_eq!(options.store, StoreChoice::Embedded);
        assert_eq!(options.limits, Limits::default());
        assert_eq!(options.services.ranges(), ["10.96.0.0/12"]);
        assert_eq!((options.data_dir, options.listen), ("/d".into(), ([127, 0, 0, 1], 0).into()));
        assert_eq!((options.token_auth_file, options.oidc), (Some("t.csv".into()), None));
        let address_types = AddressType::DEFAULT.to_vec();
        assert_eq!(options.kubelets, Kubelets { address_types, ..Kubelets::default() });
        let line = "apiserver --data-dir /d --kubelet-certificate-authority ca --kubelet-client-certificate crt \
                    --kubelet-client-key key --kubelet-preferred-address-types InternalIP,Hostname";
        let kubelets = Kubelets {
            certificate_authority: Some("ca".into()),
            client_certificate: Some(("crt".into(), "key".into())),
            address_types: vec![AddressType::InternalIp, AddressType::Hostname],
        };
        assert_eq!(parse(line).unwrap().kubelets, kubelets);

        assert_eq!(options.encryption, None);
        let line = "apiserver --data-dir /d --encryption-provider-config e.yaml \
                    --encryption-provider-config-automatic-reload";
        let file = EncryptionFile { path: "e.yaml".into(), reload: true };
        assert_eq!(parse(line).unwrap().encryption, Some(file));

        assert!(options.extend_tokens);
        let line = "apiserver --data-dir /d --service-account-extend-token-expiration=false";
        assert!(!parse(line).unwrap().extend_tokens);

        let line = "apiserver --data-dir /d --store etcd --etcd-servers https://a:2379,https://b:2379 --etcd-cafile ca \
                    --etcd-certfile crt --etcd-keyfile key --max-requests-inflight 5";
        let options = parse(line).unwrap();
        let etcd = Etcd {
            servers: vec!["https://a:2379".to_owned(), "https://b:2379".to_owned()],
            ca_file: Some("ca".into()),
            cert_file: Some("crt".into()),
            key_file: Some("key".into()),
        };
        assert_eq!(options.store, StoreChoice::Etcd(etcd));
        assert_eq!((options.limits.read_only_in_flight, options.limits.mutating_in_flight), (5, 200));
    }

    #[test]
    fn others_find_the_server_at_its_node() {
        let node: Vec<IpAddr> = ["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()].into();
        let check = |line: &str, expected: &[IpAddr]| {
            let line = Line::try_parse_from(format!("apiserver --data-dir /d {line}").trim().split(' ')).unwrap();
            let mut serving = line.arguments.serving;
            serving.on_node(&node);
            assert_eq!(serving.options("/d".into(), service::Config::default(), None).unwrap().advertise, expected);
        };
        check("", &node);
        check("--listen [::]:6443", &node);
        check("--listen 127.0.0.1:6443", &[]);
        check("--listen 192.0.2.9:6443", &[]);
        check("--advertise-address 198.51.100.1", &["198.51.100.1".parse().unwrap()]);
        assert!(parse("apiserver --data-dir /d --advertise-address here").unwrap_err().contains("--advertise-address"));
    }

    #[test]
    fn options_that_make_no_sense_are_refused() {
        let check = |line: &str, named: &str| {
            let error = parse(line).unwrap_err();
            assert!(error.contains(named), "{line}: {error}");
        };
        check("apiserver", "--data-dir");
        check("apiserver --data-dir /d --listen here", "--listen");
        check("apiserver --data-dir /d --store etcd", "--etcd-servers");
        check("apiserver --data-dir /d --service-cluster-ip-range 10.0.0.0", "--service-cluster-ip-range: ");
        check("apiserver --data-dir /d --store paper", "--store");
        check("apiserver --data-dir /d --store etcd --etcd-servers u --etcd-certfile c", "--etcd-keyfile");
        check("apiserver --data-dir /d --etcd-cafile c", "--etcd-servers");
        let line = "apiserver --data-dir /d --encryption-provider-config-automatic-reload";
        check(line, "--encryption-provider-config");
        check("apiserver --data-dir /d --kubelet-client-certificate c", "--kubelet-client-key");
        check(
            "apiserver --data-dir /d --audit-log-path a --audit-log-batch-throttle-enable",
            "--audit-log-batch-throttle-qps",
        );
        check("apiserver --data-dir /d --kubelet-preferred-address-types IP", "is no type of address");
        check(
            "apiserver --data-dir /d --enable-admission-plugins Priority,Nonsense",
            "--enable-admission-plugins: plugin",
        );
    }
}
