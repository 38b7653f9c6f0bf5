//! The server under test, and its clients.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::{Value, json};
use store::MemoryBackend;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;

use super::kubelet::Kubelet;
use crate::admission::Admission;
use crate::authn::{ClientCertificates, Identity, MASTERS, TokenFile};
use crate::core::{Core, Parts};
use crate::engine::{Location, Surroundings};
use crate::proxy::{DialError, Dialer, Endpoint, Options, Security, Stream, Transport};
use crate::resources::Config;
use crate::serve::{
    Authority, Limits, Listener, PemPair, Running, server_config, serving_names, system_clock, system_random,
};

/// Leads what is for addresses of pods to the kubelet, too, and tells who was called.
struct Leading {
    dialer: Dialer,
    kubelet: Kubelet,
    called: Arc<Mutex<String>>,
}

impl Transport for Leading {
    fn connect(&self, endpoint: Endpoint) -> BoxFuture<'_, Result<Box<dyn Stream>, DialError>> {
        *self.called.lock() = format!("{}://{}", endpoint.scheme(), endpoint.authority());
        async move {
            if !endpoint.host.starts_with("10.8.") {
                return self.dialer.connect(endpoint).await;
            }
            if endpoint.security == Security::Plain {
                let (near, far) = tokio::io::duplex(64 << 10);
                tokio::spawn(self.kubelet.clone().serve(far, String::new()));
                return Ok(Box::new(near) as Box<dyn Stream>);
            }
            let socket = TcpStream::connect(("127.0.0.1", self.kubelet.port)).await.unwrap();
            self.dialer.secure(&endpoint, socket).await
        }
        .boxed()
    }

    fn resolve(&self, host: String) -> BoxFuture<'_, io::Result<Vec<IpAddr>>> {
        self.dialer.resolve(host)
    }
}

struct Machine;

impl Surroundings for Machine {
    fn now(&self) -> k8s_openapi::jiff::Timestamp {
        k8s_openapi::jiff::Timestamp::now()
    }

    fn random(&self) -> u64 {
        rand::random()
    }
}

pub(super) struct Server {
    pub(super) core: Core,
    pub(super) running: Running,
    pub(super) authority: Authority,
    pub(super) kubelet: Kubelet,
    called: Arc<Mutex<String>>,
    _directory: tempfile::TempDir,
}

impl Server {
    /// With a node `box`, which is the kubelet at 127.0.0.1.
    pub(super) async fn start() -> Server {
        let directory = tempfile::tempdir().unwrap();
        let listener = Listener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let names = serving_names(listener.address(), "", &[]);
        let authority = Authority::open(directory.path(), &names, system_clock(), system_random()).unwrap();
        let clients = ClientCertificates::new(authority.roots().unwrap()).unwrap();
        let tls = server_config(authority.serving(), &clients).unwrap();
        let kubelet = Kubelet::start(&authority).await;
        let dialer = Dialer::new(authority.certificate(), &authority.kubelet_client().unwrap()).unwrap();
        let called = Arc::<Mutex<String>>::default();
        let transport = Leading { dialer, kubelet: kubelet.clone(), called: Arc::clone(&called) };
        let core = Core::open(Parts {
            backend: Arc::new(MemoryBackend::new()),
            encryption: crate::encryption::Encryption::default(),
            alone: true,
            config: Config::default(),
            location: Location { ip: None, port: 6443 },
            address: listener.address(),
            tokens: Some(TokenFile::parse("reader-token,reader,1,system:masters").unwrap()),
            oidc: None,
            issuer: None,
            proxy: Options { transport: Arc::new(transport), ..Options::default() },
            admission: Admission::default(),
            limits: Limits::default(),
            surroundings: Arc::new(Machine),
            audit: None,
            clock: system_clock(),
            random: system_random(),
        });
        let core = core.await.unwrap();
        let running = listener.start(tls, clients, Arc::clone(core.pipeline()), core.stopping().clone());
        let server = Server { core, running, authority, kubelet, called, _directory: directory };
        server.node("box", json!([{"type": "InternalIP", "address": "127.0.0.1"}]), server.kubelet.port).await;
        // Pods run as it.
        let account = json!({"metadata": {"name": "default"}});
        server.ask("POST", "/api/v1/namespaces/default/serviceaccounts", account).await;
        server
    }

    pub(super) fn stop(&self) {
        self.core.stopping().cancel();
    }

    /// Where the proxy went last.
    pub(super) fn asked_last(&self) -> String {
        self.called.lock().clone()
    }

    /// A port at which nobody listens.
    pub(super) async fn closed_port(&self) -> u16 {
        TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
    }

    /// Asks as the administrator, without the network.
    async fn ask(&self, method: &str, path: &str, body: Value) -> Value {
        let groups = vec![MASTERS.to_owned()];
        let identity = Identity { user: "admin".to_owned(), groups, ..Identity::default() };
        let mut local = self.core.local(identity);
        let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        let request = Request::builder().method(method).uri(path).header("content-type", kind);
        let request = request.body(Full::new(Bytes::from(body.to_string()))).unwrap();
        let answer = tower_service::Service::call(&mut local, request).await.unwrap();
        let code = answer.status();
        let bytes = answer.into_body().collect().await.unwrap().to_bytes();
        assert!(code.is_success(), "{method} {path}: {}", String::from_utf8_lossy(&bytes));
        serde_json::from_slice(&bytes).unwrap()
    }

    pub(super) async fn node(&self, name: &str, addresses: Value, port: u16) {
        self.ask("POST", "/api/v1/nodes", json!({"metadata": {"name": name}})).await;
        let endpoint = json!({"kubeletEndpoint": {"Port": port}});
        let status = json!({"status": {"addresses": addresses, "daemonEndpoints": endpoint}});
        self.ask("PATCH", &format!("/api/v1/nodes/{name}/status"), status).await;
    }

    pub(super) async fn pod(&self, name: &str, containers: &[&str], node: Option<&str>) {
        let ports = json!([{"containerPort": 8080}]);
        let container = |name: &&str| json!({"name": name, "image": "i", "ports": ports});
        let containers: Vec<Value> = containers.iter().map(container).collect();
        let spec = json!({"containers": containers, "nodeName": node});
        self.ask("POST", super::POD, json!({"metadata": {"name": name}, "spec": spec})).await;
    }

    pub(super) async fn give_address(&self, pod: &str, ip: &str) {
        let status = json!({"status": {"podIP": ip, "podIPs": [{"ip": ip}]}});
        self.ask("PATCH", &format!("{}/{pod}/status", super::POD), status).await;
    }

    /// A Service with the port 80, named `http`, and an endpoint that is to be `pod` at `ip`.
    pub(super) async fn service(&self, name: &str, pod: &str, ip: &str) {
        let ports = json!([{"name": "http", "port": 80}]);
        let service = json!({"metadata": {"name": name}, "spec": {"ports": ports}});
        self.ask("POST", "/api/v1/namespaces/default/services", service).await;
        let target = json!({"kind": "Pod", "namespace": "default", "name": pod});
        let slice = json!({
            "metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [ip], "targetRef": target}],
            "ports": [{"name": "http", "port": 8080}],
        });
        self.ask("POST", "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", slice).await;
    }

    /// An answer that goes on, and what writes it at the kubelet.
    pub(super) async fn follow(&self, path: &str) -> (Lines, mpsc::UnboundedSender<&'static str>) {
        let writer = self.kubelet.write_log();
        let answer = begin(self, request("GET", path, &[], "")).await;
        assert_eq!(answer.status(), StatusCode::OK);
        (Lines(answer.into_body()), writer)
    }
}

/// The body of an answer, piece by piece.
pub(super) struct Lines(Incoming);

impl Lines {
    pub(super) async fn next(&mut self) -> Option<String> {
        let frame = self.0.frame().await?.ok()?;
        Some(String::from_utf8_lossy(frame.data_ref()?).into_owned())
    }
}

pub(super) type Connection = tokio_rustls::client::TlsStream<TcpStream>;

/// A connection of HTTP/1.1, with a certificate if there is one.
pub(super) async fn connect(server: &Server, pair: Option<&PemPair>) -> Connection {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(server.authority.roots().unwrap());
    let config = match pair {
        None => config.with_no_client_auth(),
        Some(pair) => {
            let chain = vec![CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap()];
            let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
            config.with_client_auth_cert(chain, key).unwrap()
        }
    };
    let socket = TcpStream::connect(server.running.address()).await.unwrap();
    let name = ServerName::try_from("kubernetes").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, socket).await.unwrap()
}

pub(super) fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Request<Full<Bytes>> {
    let mut request = Request::builder().method(method).uri(path).header("host", "kubernetes");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).unwrap()
}

/// Sends as the administrator, and waits until the answer begins.
pub(super) async fn begin(server: &Server, request: Request<Full<Bytes>>) -> http::Response<Incoming> {
    let stream = connect(server, Some(server.authority.admin())).await;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection.with_upgrades());
    sender.send_request(request).await.unwrap()
}

pub(super) async fn send_body(
    server: &Server,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> (StatusCode, HeaderMap, String) {
    let (parts, body) = begin(server, request(method, path, headers, body)).await.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (parts.status, parts.headers, String::from_utf8_lossy(&body).into_owned())
}

pub(super) async fn send(
    server: &Server,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> (StatusCode, HeaderMap, String) {
    send_body(server, method, path, headers, "").await
}
