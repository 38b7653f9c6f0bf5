//! Joining, against API servers of this process and their controllers, over real TLS: who joins, and who does not.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;

use api::bootstrap_token::{JOINING, SIGNATURE_PREFIX};
use apiserver::authn::{Identity, MASTERS};
use apiserver::serve::Limits;
use apiserver::{Admission, Kubelets, Options, Server, StoreChoice};
use base64::prelude::{BASE64_STANDARD, Engine};
use clap::Parser;
use k8s_openapi::api::authorization::v1::SelfSubjectAccessReview;
use k8s_openapi::api::core::v1::{ConfigMap, Node, Secret};
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::{Api, Client};
use kubelet::credentials::{Pair, Purpose, Wish};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::*;
use crate::controller_manager::{self, Controllers, Files};

#[derive(Debug, Parser)]
struct Roles {
    #[command(flatten)]
    options: controller_manager::Options,
}

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    arguments: Arguments,
}

/// What makes joining possible, and nothing else.
const CONTROLLERS: &str = "bootstrap-signer-controller,token-cleaner-controller,\
                           certificatesigningrequest-approving-controller,certificatesigningrequest-signing-controller";

/// A cluster without nodes.
struct Cluster {
    server: Server,
    client: Client,
    controllers: Option<JoinHandle<()>>,
    _files: tempfile::TempDir,
}

impl Cluster {
    async fn start(with_controllers: bool) -> Cluster {
        let files = tempfile::tempdir().unwrap();
        let data_dir = files.path().join("data");
        let options = Options {
            data_dir: data_dir.clone(),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            advertise: Vec::new(),
            store: StoreChoice::Embedded,
            encryption: None,
            token_auth_file: None,
            oidc: None,
            audit: apiserver::audit::Options::default(),
            kubelets: Kubelets::default(),
            extend_tokens: true,
            admission: Admission::default(),
            limits: Limits::default(),
            services: crate::ranges::services("10.96.0.0/12").unwrap(),
            ready: None,
        };
        let server = Server::start(options).await.unwrap();
        let as_user = |user: &str, groups: &[&str]| {
            let groups = groups.iter().map(|group| (*group).to_owned()).collect();
            let identity = Identity { user: user.to_owned(), groups, ..Identity::default() };
            Client::new(server.core().local(identity), "default")
        };
        let roles = Roles::try_parse_from(["roles", "--controllers", CONTROLLERS]).unwrap();
        let files_of_authority = Files {
            root_ca_file: None,
            cluster_signing_cert_file: Some(data_dir.join("pki/ca.crt")),
            cluster_signing_key_file: Some(data_dir.join("pki/ca.key")),
        };
        let manager = Controllers::new(&roles.options, &files_of_authority).unwrap();
        let manager = manager.manager(as_user(apiserver::authz::CONTROLLER_MANAGER, &[]));
        let controllers = with_controllers.then(|| tokio::spawn(manager.run()));
        let client = as_user("admin", &[MASTERS]);
        Cluster { controllers, server, client, _files: files }
    }

    /// A cluster that tells strangers of itself.
    async fn that_tells() -> Cluster {
        let cluster = Cluster::start(true).await;
        let (url, authority) = (cluster.url(), BASE64_STANDARD.encode(cluster.server.authority().certificate()));
        let config = json!({"clusters": [{"name": "", "cluster": {
            "server": url, "certificate-authority-data": authority,
        }}]});
        cluster.tell(json!({"kubeconfig": config.to_string()})).await;
        cluster
    }

    async fn tell(&self, data: Value) {
        let object = json!({"metadata": {"name": "cluster-info", "namespace": "kube-public"}, "data": data});
        let config_map: ConfigMap = serde_json::from_value(object).unwrap();
        self.told().create(&PostParams::default(), &config_map).await.unwrap();
    }

    fn told(&self) -> Api<ConfigMap> {
        Api::namespaced(self.client.clone(), "kube-public")
    }

    fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), "kube-system")
    }

    fn url(&self) -> String {
        self.server.ready().url.clone()
    }

    fn hash(&self) -> String {
        let pem = self.server.authority().certificate();
        ctl::authority_hash(&CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap()
    }

    /// Makes a token with this ID, and waits until it signs.
    async fn token(&self, id: &str, more: &[(&str, &str)]) {
        let mut data = json!({
            "token-id": id, "token-secret": "0123456789abcdef", "usage-bootstrap-signing": "true",
            "usage-bootstrap-authentication": "true", "auth-extra-groups": JOINING,
        });
        for (key, value) in more {
            data[*key] = json!(value);
        }
        let secret = json!({
            "metadata": {"name": format!("bootstrap-token-{id}")}, "type": "bootstrap.kubernetes.io/token",
            "stringData": data,
        });
        let secret: Secret = serde_json::from_value(secret).unwrap();
        self.secrets().create(&PostParams::default(), &secret).await.unwrap();
        self.until_signed(id, true).await;
    }

    async fn revoke(&self, id: &str) {
        self.secrets().delete(&format!("bootstrap-token-{id}"), &DeleteParams::default()).await.unwrap();
    }

    /// Waits until there is a signature by a token, or none.
    async fn until_signed(&self, id: &str, is_signed: bool) {
        let key = format!("{SIGNATURE_PREFIX}{id}");
        loop {
            let told = self.told().get("cluster-info").await.unwrap();
            if told.data.unwrap_or_default().contains_key(&key) == is_signed {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    /// What a machine knows of it that has this token.
    fn discovery(&self, token: &str) -> Discovery {
        Discovery { server: self.url(), token: token.parse().unwrap(), hashes: vec![self.hash()], tries: 1 }
    }

    async fn stop(self) {
        if let Some(controllers) = self.controllers {
            controllers.abort();
        }
        self.server.stop().await;
    }
}

/// The certificate by which a machine is known that has joined.
fn certificate(joining: &Joining) -> Option<Pair> {
    joining.bootstrap.kept(Clock::Machine.now()).unwrap()
}

/// Why a machine does not join, which leaves nothing on it.
async fn refusal(discovery: &Discovery) -> String {
    let files = tempfile::tempdir().unwrap();
    let refused = Joining::new("n1".to_owned(), files.path()).join(discovery).await.unwrap_err();
    let left: Vec<_> = std::fs::read_dir(files.path()).unwrap().collect();
    assert!(left.is_empty(), "{refused}: {left:?}");
    refused.to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_joins_by_a_token_and_needs_it_once() {
    let cluster = Cluster::that_tells().await;
    cluster.token("aaaaaa", &[]).await;
    let discovery = cluster.discovery("aaaaaa.0123456789abcdef");
    let files = tempfile::tempdir().unwrap();
    let joining = Joining::new("n1".to_owned(), files.path());
    joining.join(&discovery).await.unwrap();
    let pair = certificate(&joining).unwrap();
    assert_eq!(pair.common_name().as_deref(), Some("system:node:n1"));
    for file in ["bootstrap.kubeconfig", "kubelet.kubeconfig", "pki/kubelet-client-current.pem"] {
        let mode = std::fs::metadata(files.path().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    let own = process::connect(&joining.bootstrap.kubeconfig).await.unwrap();
    let nodes: Api<Node> = Api::all(own.clone());
    assert!(nodes.list(&ListParams::default()).await.is_ok());

    cluster.revoke("aaaaaa").await;
    // The server refuses it at once, and then it signs no more.
    let refused = refusal(&discovery).await;
    assert!(refused.contains("lets nobody join") || refused.contains("does not know the token"), "{refused}");
    cluster.until_signed("aaaaaa", false).await;
    assert!(refusal(&discovery).await.contains("does not know the token aaaaaa"));
    joining.join(&discovery).await.unwrap();
    assert_eq!(certificate(&joining), Some(pair));
    // It renews its certificate without the token, and gets none in the name of another.
    let renewed = credentials::obtain(&own, &Wish { node: "n1".to_owned(), purpose: Purpose::Client }).await.unwrap();
    assert_eq!(renewed.common_name().as_deref(), Some("system:node:n1"));
    assert!(is_approved(&own, "selfnodeclient").await);
    assert!(!is_approved(&own, "nodeclient").await);

    let elsewhere = Discovery { hashes: vec![format!("sha256:{}", "0".repeat(64))], ..discovery };
    let refused = joining.join(&elsewhere).await.unwrap_err().to_string();
    assert!(refused.contains("a node of another cluster already"), "{refused}");
    cluster.stop().await;
}

/// Whether the certificates that somebody asks for are approved, as the controllers ask the server.
async fn is_approved(client: &Client, subresource: &str) -> bool {
    let review = json!({"spec": {"resourceAttributes": {
        "group": "certificates.k8s.io", "resource": "certificatesigningrequests", "subresource": subresource,
        "verb": "create",
    }}});
    let review: SelfSubjectAccessReview = serde_json::from_value(review).unwrap();
    let answer = Api::all(client.clone()).create(&PostParams::default(), &review).await.unwrap();
    answer.status.unwrap().allowed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_for_any_node() {
    // As upstream has it: who has a token could be any machine, and whoever gave it to them trusts them with that.
    let cluster = Cluster::that_tells().await;
    cluster.token("aaaaaa", &[]).await;
    let files = tempfile::tempdir().unwrap();
    let joining = Joining::new("n1".to_owned(), files.path());
    joining.join(&cluster.discovery("aaaaaa.0123456789abcdef")).await.unwrap();
    let holder = process::connect(&joining.first).await.unwrap();
    let other = credentials::obtain(&holder, &Wish { node: "n2".to_owned(), purpose: Purpose::Client }).await.unwrap();
    assert_eq!(other.common_name().as_deref(), Some("system:node:n2"));
    assert!(is_approved(&holder, "nodeclient").await);
    // And for nothing else: certificates for serving are for nodes that are known.
    assert!(!is_approved(&holder, "selfnodeclient").await);
    let secrets: Api<Secret> = Api::namespaced(holder, "kube-system");
    assert!(secrets.get("bootstrap-token-aaaaaa").await.is_err());
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_joins_without_a_token_for_that() {
    let cluster = Cluster::that_tells().await;
    cluster.token("aaaaaa", &[]).await;
    cluster.token("bbbbbb", &[("usage-bootstrap-authentication", "false")]).await;
    cluster.token("cccccc", &[("auth-extra-groups", "system:bootstrappers:others")]).await;
    let check = async |token: &str, expected: &str| {
        let refused = refusal(&cluster.discovery(token)).await;
        assert!(refused.contains(expected), "{token}: {refused}");
    };
    check("zzzzzz.0123456789abcdef", "does not know the token zzzzzz").await;
    check("aaaaaa.0123456789abcdeg", "does not know the secret of the token aaaaaa").await;
    check("bbbbbb.0123456789abcdef", "the token bbbbbb lets nobody join").await;
    check("cccccc.0123456789abcdef", "the token cccccc lets nobody join").await;
    let silent = Cluster::start(false).await;
    let refused = refusal(&silent.discovery("aaaaaa.0123456789abcdef")).await;
    assert!(refused.contains("does not say which cluster it is of (404"), "{refused}");
    silent.stop().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_taken_for_the_cluster_who_is_not() {
    let cluster = Cluster::that_tells().await;
    cluster.token("aaaaaa", &[]).await;
    let token = "aaaaaa.0123456789abcdef";
    let wrong = Discovery { hashes: vec![format!("sha256:{}", "0".repeat(64))], ..cluster.discovery(token) };
    let refused = refusal(&wrong).await;
    assert!(refused.contains(&format!("another authority than --ca-hash says, {}", cluster.hash())), "{refused}");

    // Another cluster, that even knows the token.
    let other = Cluster::that_tells().await;
    other.token("aaaaaa", &[]).await;
    let led_astray = Discovery { server: other.url(), ..cluster.discovery(token) };
    let refused = refusal(&led_astray).await;
    assert!(refused.contains(&other.hash()), "{refused}");

    // Somebody in between, who passes on what the cluster says, signature and all.
    let between = Cluster::start(false).await;
    let told = cluster.told().get("cluster-info").await.unwrap();
    between.tell(json!(told.data)).await;
    let led_astray = Discovery { server: between.url(), ..cluster.discovery(token) };
    let refused = refusal(&led_astray).await;
    assert!(refused.contains("has no certificate of the cluster's authority"), "{refused}");

    // Nobody at all.
    let gone = between.url();
    between.stop().await;
    let refused = refusal(&Discovery { server: gone, ..cluster.discovery(token) }).await;
    assert!(refused.contains("nobody answers at"), "{refused}");
    other.stop().await;
    cluster.stop().await;
}

#[test]
fn arguments_are_checked_by_name() {
    let hash = format!("sha256:{}", "Ab".repeat(32));
    let parse = |url: &str, token: &str, hash: &str| {
        let words = ["join", url, "--token", token, "--ca-hash", hash];
        Line::try_parse_from(words).map(|line| line.arguments).map_err(|error| error.to_string())
    };
    let token = "abcdef.0123456789abcdef";
    let parsed = parse("https://192.0.2.1:6443/", token, &hash).unwrap();
    assert_eq!((parsed.server.as_str(), parsed.ca_hash[0].clone()), ("https://192.0.2.1:6443", hash.to_lowercase()));
    assert_eq!(parse("192.0.2.1:6443", token, &hash).unwrap().server, "https://192.0.2.1:6443");
    assert_eq!(parse("https://[2001:db8::1]:6443", token, &hash).unwrap().server, "https://[2001:db8::1]:6443");
    let check = |url: &str, token: &str, hash: &str, expected: &str| {
        let error = parse(url, token, hash).unwrap_err();
        assert!(error.contains(expected), "{error}");
    };
    for url in ["http://192.0.2.1", "https://", "https://a/b", "https://a?b", "https://u@a", "a b"] {
        check(url, token, &hash, "write it as https://192.0.2.1:6443");
    }
    check("https://a", "abcdef", &hash, "a token is six lower-case");
    for wrong in ["", "sha256:", "sha256:00", &hash[..70], &hash.replace("sha256", "sha512"), &hash.replace('A', "g")] {
        check("https://a", token, wrong, "write sha256: and 64 hexadecimal digits");
    }
    assert!(
        Line::try_parse_from(["join", "https://a", "--token", token]).unwrap_err().to_string().contains("--ca-hash")
    );
}
