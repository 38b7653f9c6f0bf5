//! What the tests of the server play on: a node with one pod.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use client::clock::Clock;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::header::AUTHORIZATION;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::{TokenReviewStatus, UserInfo};
use k8s_openapi::api::authorization::v1::{SubjectAccessReviewSpec, SubjectAccessReviewStatus};
use k8s_openapi::api::core::v1::Pod;
use parking_lot::Mutex;
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::super::*;
use crate::containers::labels;
use crate::cri::fake::{self, Fake};
use crate::cri::v1;
use crate::observed::{ContainerState, RuntimeContainer, RuntimePod, Sandbox};
use crate::paths::Paths;
use crate::stats::Figures;

/// The pod's uid.
pub(super) const UID: &str = "0b5f1a4e";

/// The agent's part: one pod.
#[derive(Default)]
pub(super) struct OnePod {
    pub(super) pod: Arc<Pod>,
    pub(super) runtime: Arc<RuntimePod>,
    pub(super) unhealthy: Mutex<Option<String>>,
}

impl View for OnePod {
    fn pods(&self) -> Vec<Arc<Pod>> {
        vec![Arc::clone(&self.pod)]
    }

    fn runtime(&self, uid: &str) -> Option<Arc<RuntimePod>> {
        (uid == UID).then(|| Arc::clone(&self.runtime))
    }

    fn healthy(&self) -> Result<(), String> {
        self.unhealthy.lock().clone().map_or(Ok(()), Err)
    }

    fn configuration(&self) -> Value {
        json!({"kind": "KubeletConfiguration"})
    }
}

/// Knows `admin`, who may do all, `reader`, who may read metrics, and `lost`, of whom it cannot be told.
struct Rules;

impl Reviews for Rules {
    fn token<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<TokenReviewStatus, ReviewError>> {
        let known = ["admin", "reader", "lost"].contains(&token);
        let user = UserInfo { username: Some(token.to_owned()), ..UserInfo::default() };
        let status = TokenReviewStatus {
            authenticated: Some(known),
            user: known.then_some(user),
            ..TokenReviewStatus::default()
        };
        async { Ok(status) }.boxed()
    }

    fn access(&self, asked: SubjectAccessReviewSpec) -> BoxFuture<'_, Result<SubjectAccessReviewStatus, ReviewError>> {
        let attributes = asked.resource_attributes.unwrap_or_default();
        assert_eq!((attributes.resource.as_deref(), attributes.name.as_deref()), (Some("nodes"), Some("one")));
        let answer = match asked.user.as_deref() {
            Some("admin") => Ok(true),
            Some("reader") => Ok(attributes.subresource.as_deref() == Some("metrics")),
            _ => Err(ReviewError::Late),
        };
        let status = |allowed| SubjectAccessReviewStatus { allowed, ..SubjectAccessReviewStatus::default() };
        async move { answer.map(status) }.boxed()
    }
}

struct NoFigures;

impl crate::stats::Source for NoFigures {
    fn figures(&self, _: Duration) -> BoxFuture<'_, Arc<Figures>> {
        async { Arc::new(Figures::default()) }.boxed()
    }
}

/// A certificate, and its key.
struct Issued(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// A server and what it stands on.
pub(super) struct Stage {
    running: Option<Running>,
    pub(super) serving: Arc<ServingCertificate>,
    pub(super) view: Arc<OnePod>,
    client: Issued,
    log: PathBuf,
    _directory: tempfile::TempDir,
}

impl Stage {
    pub(super) async fn new() -> Stage {
        Stage::with_limits(Limits::default()).await
    }

    pub(super) async fn with_limits(limits: Limits) -> Stage {
        Stage::made(limits, None).await
    }

    /// With the streams of the runtime at a URL.
    pub(super) async fn streaming(limits: Limits, streams: &str) -> Stage {
        Stage::made(limits, Some(streams.to_owned())).await
    }

    async fn made(limits: Limits, streams: Option<String>) -> Stage {
        let directory = tempfile::tempdir().unwrap();
        let paths = Paths { pod_logs: directory.path().join("pods"), ..Paths::new(directory.path().join("root")) };
        let log = paths.logs_of("default", "web", UID).join("app/0.log");
        std::fs::create_dir_all(log.parent().unwrap()).unwrap();
        node_logs(directory.path());
        let fake = Fake::new(fake::Options { streams, ..fake::Options::default() });
        let exec = |command: &[String]| fake::Exec {
            exit_code: if command[0] == "fail" { 3 } else { 0 },
            stdout: command.join(" ").into_bytes(),
            ..fake::Exec::default()
        };
        fake.script(fake::Which::Every, fake::Script::default().with_exec(exec));
        let view = Arc::new(one_pod(&fake, &log).await);
        Stage::over(directory, paths, fake.cri(), view, Arc::new(NoFigures), limits).await
    }

    /// With a runtime and what the agent knows of it.
    pub(super) async fn over(
        directory: tempfile::TempDir,
        paths: Paths,
        cri: crate::cri::Cri,
        view: Arc<OnePod>,
        figures: Arc<dyn stats::Source>,
        limits: Limits,
    ) -> Stage {
        let log = paths.logs_of("default", "web", UID).join("app/0.log");
        let (authority, client) = identities();
        let serving = ServingCertificate::self_signed("one", &[[127, 0, 0, 1].into()]).unwrap();
        let options = Options {
            node: "one".to_owned(),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            serving: Arc::clone(&serving),
            clients: Some(ClientAuthority::new(&authority).unwrap()),
            reviews: Arc::new(Rules),
            cri: cri.clone(),
            view: Arc::<OnePod>::clone(&view),
            figures,
            machine: stats::Machine::default(),
            read_log: log_reader(cri, paths),
            metrics: Arc::new(Metrics::new("one")),
            node_logs: directory.path().join("log"),
            clock: Clock::Machine,
            limits,
        };
        let running = Some(Server::start(options).await.unwrap());
        Stage { running, serving, view, client, log, _directory: directory }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.running.as_ref().unwrap().address()
    }

    pub(super) fn streams(&self) -> usize {
        self.running.as_ref().unwrap().streams()
    }

    pub(super) async fn stop(mut self) {
        self.running.take().unwrap().stop().await;
    }

    /// Writes to the container's log.
    pub(super) fn write_log(&self, lines: &[&str]) {
        let mut file = std::fs::OpenOptions::new().append(true).create(true).open(&self.log).unwrap();
        for line in lines {
            writeln!(file, "2026-03-01T12:00:00.000000000Z stdout F {line}").unwrap();
        }
    }

    /// Has the server show another certificate, which is returned.
    pub(super) fn replace_certificate(&self) -> CertificateDer<'static> {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec!["one".to_owned()]).unwrap().self_signed(&key).unwrap();
        self.serving.replace(&certificate.pem(), &key.serialize_pem()).unwrap();
        certificate.der().clone()
    }

    /// A connection after its handshake.
    pub(super) async fn tls(&self, certified: bool, protocols: &[&[u8]]) -> TlsStream<TcpStream> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.dangerous().with_custom_certificate_verifier(Arc::new(Anybody));
        let mut config = match certified {
            true => config.with_client_auth_cert(self.client.0.clone(), self.client.1.clone_key()).unwrap(),
            false => config.with_no_client_auth(),
        };
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let socket = TcpStream::connect(self.address()).await.unwrap();
        let name = ServerName::try_from("one").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, socket).await.unwrap()
    }

    /// A client without a certificate, which speaks HTTP/1.1.
    pub(super) async fn wire(&self) -> Wire {
        Wire::over(self.tls(false, &[b"http/1.1"]).await).await
    }

    pub(super) async fn certified_wire(&self, http2: bool) -> Wire {
        Wire::over(self.tls(true, &[if http2 { b"h2" } else { b"http/1.1" }]).await).await
    }
}

fn node_logs(directory: &std::path::Path) {
    let log = directory.join("log");
    std::fs::create_dir_all(log.join("below")).unwrap();
    std::fs::write(log.join("syslog"), "of the node\n").unwrap();
    std::fs::write(directory.join("secret"), "outside").unwrap();
    std::os::unix::fs::symlink(directory.join("secret"), log.join("leak")).unwrap();
}

/// A pod with a container that runs in `fake`, and one that waits.
async fn one_pod(fake: &Arc<Fake>, log: &std::path::Path) -> OnePod {
    let cri = fake.cri();
    let of_pod = [(labels::POD_NAME, "web"), (labels::POD_NAMESPACE, "default"), (labels::POD_UID, UID)];
    let owned = |pairs: &[(&str, &str)]| pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
    let metadata =
        v1::PodSandboxMetadata { name: "web".into(), uid: UID.into(), namespace: "default".into(), attempt: 0 };
    let config = v1::PodSandboxConfig { metadata: Some(metadata), labels: owned(&of_pod), ..Default::default() };
    let request = v1::RunPodSandboxRequest { config: Some(config.clone()), ..Default::default() };
    let sandbox = cri.run_pod_sandbox(request).await.unwrap().pod_sandbox_id;
    let image = v1::ImageSpec { image: "img".into(), ..Default::default() };
    let pull = v1::PullImageRequest { image: Some(image.clone()), ..Default::default() };
    cri.pull_image(pull).await.unwrap();
    let mut of_container = of_pod.to_vec();
    of_container.push((labels::CONTAINER_NAME, "app"));
    let container = v1::ContainerConfig {
        metadata: Some(v1::ContainerMetadata { name: "app".into(), attempt: 0 }),
        image: Some(image),
        labels: owned(&of_container),
        ..Default::default()
    };
    let request = v1::CreateContainerRequest {
        pod_sandbox_id: sandbox.clone(),
        config: Some(container),
        sandbox_config: Some(config),
    };
    let id = cri.create_container(request).await.unwrap().container_id;
    cri.start_container(v1::StartContainerRequest { container_id: id.clone() }).await.unwrap();
    let pod = json!({
        "metadata": {"name": "web", "namespace": "default", "uid": UID},
        "spec": {"containers": [{"name": "app", "image": "img"}, {"name": "waits", "image": "img"}]},
        "status": {"containerStatuses": [
            {"name": "app", "state": {"running": {}}, "containerID": format!("fake://{id}")},
            {"name": "waits", "state": {"waiting": {"reason": "ContainerCreating"}}},
        ]},
    });
    let container = RuntimeContainer {
        id,
        name: "app".to_owned(),
        sandbox: sandbox.clone(),
        state: ContainerState::Running,
        log_path: log.to_string_lossy().into_owned(),
        ..RuntimeContainer::default()
    };
    let sandbox = Sandbox {
        id: sandbox,
        attempt: 0,
        created: Timestamp::UNIX_EPOCH,
        ready: true,
        addresses: Vec::new(),
        host_network: false,
    };
    OnePod {
        pod: Arc::new(serde_json::from_value(pod).unwrap()),
        runtime: Arc::new(RuntimePod { sandboxes: vec![sandbox], containers: vec![container] }),
        unhealthy: Mutex::default(),
    }
}

/// An authority's certificate, and a client's that it issued to `admin`.
fn identities() -> (String, Issued) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let pem = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "admin");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
    (pem, Issued(vec![certificate.der().clone()], key))
}

enum Sender {
    Http1(http1::SendRequest<Empty<Bytes>>),
    Http2(http2::SendRequest<Empty<Bytes>>),
}

/// A client's connection.
pub(super) struct Wire {
    sender: Sender,
    /// The certificate that the server showed.
    pub(super) shown: CertificateDer<'static>,
}

impl Wire {
    async fn over(stream: TlsStream<TcpStream>) -> Wire {
        let session = stream.get_ref().1;
        let shown = session.peer_certificates().unwrap()[0].clone().into_owned();
        let sender = if session.alpn_protocol() == Some(b"h2") {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
            tokio::spawn(connection);
            Sender::Http2(sender)
        } else {
            let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
            tokio::spawn(connection.with_upgrades());
            Sender::Http1(sender)
        };
        Wire { sender, shown }
    }

    pub(super) async fn send(&mut self, request: Request<Empty<Bytes>>) -> Response<Incoming> {
        match &mut self.sender {
            Sender::Http1(sender) => {
                sender.ready().await.unwrap();
                sender.send_request(request).await.unwrap()
            }
            Sender::Http2(sender) => {
                let (path, request) = (request.uri().clone(), request);
                let (mut parts, body) = request.into_parts();
                parts.uri = format!("https://one{path}").parse().unwrap();
                sender.send_request(Request::from_parts(parts, body)).await.unwrap()
            }
        }
    }

    /// Asks, and gives the answer as it begins.
    pub(super) async fn begin(&mut self, method: Method, path: &str, token: &str) -> Response<Incoming> {
        let mut request = Request::builder().method(method).uri(path).header("host", "one");
        if !token.is_empty() {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        self.send(request.body(Empty::new()).unwrap()).await
    }

    /// Asks, and gives the whole answer.
    pub(super) async fn ask(&mut self, method: Method, path: &str, token: &str) -> (StatusCode, String) {
        whole(self.begin(method, path, token).await).await
    }
}

pub(super) async fn whole(answer: Response<Incoming>) -> (StatusCode, String) {
    let code = answer.status();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (code, String::from_utf8(body.to_vec()).unwrap())
}

/// What comes next of a body.
pub(super) async fn next_text(body: &mut Incoming) -> String {
    let data = body.frame().await.unwrap().unwrap().into_data().unwrap();
    String::from_utf8(data.to_vec()).unwrap()
}

/// All that comes until the other side ends, in whichever way.
pub(super) async fn read_to_end(from: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = from.read_to_end(&mut bytes).await;
    bytes
}

/// Takes any server for the right one: whose certificate it is, is not what these tests are about.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
