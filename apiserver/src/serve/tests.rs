//! The whole server, over real sockets and TLS.

use std::net::SocketAddr;
use std::time::Duration;

use futures::FutureExt;
use http::request::Parts;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use parking_lot::Mutex;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::authn::{Authenticators, ClientCertificates, Identity, TokenFile};
use crate::authz::{Chain, NodeAuthorizer};
use crate::engine::born_rbac;
use crate::health::Health;
use crate::metrics::{Exposition, Metrics};

mod cis;
mod hostile;

/// Answers by path, and tells what happens to its requests.
struct Probe {
    events: mpsc::UnboundedSender<&'static str>,
    gate: Arc<Semaphore>,
    seen: Mutex<HeaderMap>,
}

/// Says that a request's future is gone.
struct Dropped(mpsc::UnboundedSender<&'static str>);

impl Drop for Dropped {
    fn drop(&mut self) {
        let _ = self.0.send("dropped");
    }
}

impl Handler for Probe {
    fn handle(self: Arc<Self>, request: Request<RequestBody>) -> BoxFuture<'static, Response<ResponseBody>> {
        assert_ne!(request.uri().path(), "/panic/early", "as it is told to");
        async move {
            let (parts, body) = request.into_parts();
            *self.seen.lock() = parts.headers.clone();
            match parts.uri.path() {
                "/panic" => panic!("as it is told to"),
                "/gate" => {
                    let _dropped = Dropped(self.events.clone());
                    let _ = self.events.send("entered");
                    let _permit = self.gate.acquire().await;
                    text_response(StatusCode::OK, "through the gate")
                }
                "/read" => match read_body(body, 1 << 30).await {
                    Ok(bytes) => text_response(StatusCode::OK, bytes.len().to_string()),
                    Err(status) => status_response(&status),
                },
                "/watch" => {
                    let first = futures::stream::iter([Ok(Frame::data(Bytes::from_static(b"event\n")))]);
                    let frames = futures::StreamExt::chain(first, futures::stream::pending());
                    Response::new(StreamBody::new(frames).boxed_unsync())
                }
                "/large" => text_response(StatusCode::OK, vec![b'x'; 64 << 20]),
                _ => {
                    let identity = parts.extensions.get::<Arc<Identity>>().unwrap();
                    text_response(StatusCode::OK, format!("{} {}", identity.user, identity.groups.join(",")))
                }
            }
        }
        .boxed()
    }

    fn is_long_running(&self, parts: &Parts) -> bool {
        parts.uri.path() == "/watch"
    }
}

struct Server {
    running: Running,
    authority: Authority,
    probe: Arc<Probe>,
    events: mpsc::UnboundedReceiver<&'static str>,
    metrics: Metrics,
    _directory: tempfile::TempDir,
}

const TOKENS: &str = "secret,alice,u1,\"dev,ops\"\n";

async fn start(limits: Limits) -> Server {
    let directory = tempfile::tempdir().unwrap();
    let listener = Listener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let names = serving_names(listener.address(), "", &[]);
    let authority = Authority::open(directory.path(), &names, system_clock(), system_random()).unwrap();
    let clients = ClientCertificates::new(authority.roots().unwrap()).unwrap();
    let tls = server_config(authority.serving(), &clients).unwrap();
    let (events_in, events) = mpsc::unbounded_channel();
    let probe = Arc::new(Probe { events: events_in, gate: Arc::new(Semaphore::new(0)), seen: Mutex::default() });
    let metrics = Metrics::new();
    let tokens = TokenFile::parse(TOKENS).unwrap();
    let alice = serde_json::json!({
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "alice"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "User", "name": "alice"}],
    });
    let pipeline = Pipeline::new(
        Arc::clone(&probe) as Arc<dyn Handler>,
        Authenticators::new(Some(tokens.clone())),
        Arc::new(Chain::of_cluster(NodeAuthorizer::default(), born_rbac(&[alice]))),
        Health::new(),
        metrics.clone(),
        limits,
        (system_clock(), system_random()),
    );
    let running = listener.start(tls, clients, Arc::new(pipeline), CancellationToken::new());
    Server { running, authority, probe, events, metrics, _directory: directory }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Http {
    One,
    Two,
}

type Sent = Result<(StatusCode, HeaderMap, Bytes), String>;

/// One connection.
enum Client {
    One(hyper::client::conn::http1::SendRequest<Full<Bytes>>),
    Two(hyper::client::conn::http2::SendRequest<Full<Bytes>>),
}

async fn tls(server: &Server, http: Http, pair: Option<&PemPair>) -> TlsStream<TcpStream> {
    connect_tls(server.running.address(), server.authority.roots().unwrap(), http, pair).await
}

async fn connect_tls(
    address: SocketAddr,
    roots: RootCertStore,
    http: Http,
    pair: Option<&PemPair>,
) -> TlsStream<TcpStream> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots);
    let mut config = match pair {
        None => config.with_no_client_auth(),
        Some(pair) => {
            let chain = vec![CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap()];
            let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
            config.with_client_auth_cert(chain, key).unwrap()
        }
    };
    config.alpn_protocols = vec![if http == Http::Two { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
    let socket = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("kubernetes.default.svc").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, socket).await.unwrap()
}

async fn connect(server: &Server, http: Http, pair: Option<&PemPair>) -> Client {
    let io = TokioIo::new(tls(server, http, pair).await);
    match http {
        Http::One => {
            let (send, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
            tokio::spawn(connection);
            Client::One(send)
        }
        Http::Two => {
            let (send, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
            tokio::spawn(connection);
            Client::Two(send)
        }
    }
}

impl Client {
    async fn begin(&mut self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, String> {
        let response = match self {
            Client::One(send) => {
                send.ready().await.map_err(|error| error.to_string())?;
                send.send_request(request).await
            }
            Client::Two(send) => {
                send.ready().await.map_err(|error| error.to_string())?;
                send.send_request(request).await
            }
        };
        response.map_err(|error| error.to_string())
    }

    async fn send(&mut self, request: Request<Full<Bytes>>) -> Sent {
        let (parts, body) = self.begin(request).await?.into_parts();
        let body = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
        Ok((parts.status, parts.headers, body))
    }
}

fn request(method: &str, path: &str, body: usize, headers: &[(&str, &str)]) -> Request<Full<Bytes>> {
    let mut request = Request::builder().method(method).uri(format!("https://kubernetes{path}")).header("host", "k");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Full::new(vec![b'x'; body].into())).unwrap()
}

const TOKEN: (&str, &str) = ("authorization", "Bearer secret");

fn get(path: &str) -> Request<Full<Bytes>> {
    request("GET", path, 0, &[TOKEN])
}

fn text(body: &Bytes) -> &str {
    std::str::from_utf8(body).unwrap()
}

const CLUSTER_INFO: &str = "/api/v1/namespaces/kube-public/configmaps/cluster-info";

const UNAUTHORIZED: &str = "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\",\
                            \"message\":\"Unauthorized\",\"reason\":\"Unauthorized\",\"code\":401}\n";

#[tokio::test]
async fn everybody_is_who_they_prove_to_be() {
    let server = start(Limits::default()).await;
    let elsewhere = start(Limits::default()).await;
    let clock_of_yesterday: Clock = Arc::new(|| SystemTime::now() - Duration::from_secs(2 * 24 * 3600));
    let expired = {
        let directory = server._directory.path();
        let names = serving_names(server.running.address(), "", &[]);
        let yesterday = Authority::open(directory, &names, system_clock(), system_random()).unwrap();
        yesterday
            .with_clock(clock_of_yesterday)
            .issue_client("old", Some("system:masters"), Duration::from_secs(3600))
            .unwrap()
    };
    let stranger = elsewhere.authority.admin().clone();
    let nobody = server.authority.issue_client("bob", Some("dev"), Duration::from_secs(3600)).unwrap();
    let wrong = ("authorization", "Bearer wrong");
    let admin = Some(server.authority.admin());
    let forbidden = "forbidden: User \\\"bob\\\" cannot get path \\\"/x\\\"";
    for http in [Http::One, Http::Two] {
        let check = async |pair: Option<&PemPair>, path: &str, headers: &[(&str, &str)], code: u16, expected: &str| {
            let mut client = connect(&server, http, pair).await;
            let (status, headers, body) = client.send(request("GET", path, 0, headers)).await.unwrap();
            assert_eq!(status, code, "{http:?} {path}: {}", text(&body));
            assert!(text(&body).contains(expected), "{http:?} {path}: {}", text(&body));
            assert_eq!(headers["cache-control"], "no-cache, private");
            assert_eq!(headers["audit-id"].len(), 36);
        };
        check(admin, "/x", &[], 200, "kubernetes-admin system:masters,system:authenticated").await;
        check(None, "/x", &[TOKEN], 200, "alice dev,ops,system:authenticated").await;
        check(None, "/x", &[("authorization", "bearer  secret")], 401, UNAUTHORIZED).await;
        check(None, "/x", &[], 401, UNAUTHORIZED).await;
        check(None, "/x", &[wrong], 401, UNAUTHORIZED).await;
        check(None, "/healthz", &[wrong], 401, UNAUTHORIZED).await;
        check(None, "/healthz", &[], 200, "ok").await;
        check(None, "/version", &[], 200, "\"gitVersion\": \"v1.37.0+gantry.").await;
        check(None, "/healthz/ping", &[], 401, UNAUTHORIZED).await;
        check(None, "/metrics", &[], 401, UNAUTHORIZED).await;
        check(None, CLUSTER_INFO, &[], 200, "system:anonymous system:unauthenticated").await;
        check(None, CLUSTER_INFO, &[wrong], 401, UNAUTHORIZED).await;
        check(None, &format!("{CLUSTER_INFO}/"), &[], 401, UNAUTHORIZED).await;
        check(None, &format!("/{CLUSTER_INFO}"), &[], 401, UNAUTHORIZED).await;
        check(None, &CLUSTER_INFO.replace("-info", "%2Dinfo"), &[], 401, UNAUTHORIZED).await;
        check(None, &CLUSTER_INFO.replace("public", "system"), &[], 401, UNAUTHORIZED).await;
        check(Some(&nobody), CLUSTER_INFO, &[], 403, "cannot get resource \\\"configmaps\\\"").await;
        check(None, "/metrics", &[TOKEN], 200, "apiserver_request_total").await;
        check(Some(&stranger), "/x", &[], 401, UNAUTHORIZED).await;
        check(Some(&stranger), "/x", &[TOKEN], 200, "alice").await;
        check(Some(&expired), "/x", &[], 401, UNAUTHORIZED).await;
        check(Some(&nobody), "/x", &[], 403, forbidden).await;
        let eve = ("impersonate-user", "eve");
        let of_masters = ("impersonate-group", "system:masters");
        check(admin, "/x", &[eve], 403, "forbidden: User \\\"eve\\\" cannot get path").await;
        check(admin, "/x", &[eve, of_masters], 200, "eve system:masters,system:authenticated").await;
        check(admin, "/x", &[("impersonate-group", "g")], 500, "impersonation without impersonating a user").await;
        let may_not = "User \\\"bob\\\" cannot impersonate resource \\\"users\\\"";
        check(Some(&nobody), "/x", &[eve, of_masters], 403, may_not).await;
        check(None, "/x", &[eve, of_masters], 401, UNAUTHORIZED).await;
        check(None, "/healthz", &[eve], 403, "User \\\"system:anonymous\\\" cannot impersonate").await;
        // Who a front proxy says that it speaks for is of no account: there is none.
        let front = [("x-remote-user", "kubernetes-admin"), ("x-remote-group", "system:masters")];
        check(Some(&nobody), "/x", &front, 403, forbidden).await;
        check(None, "/x", &front, 401, UNAUTHORIZED).await;
    }
    assert!(!server.probe.seen.lock().contains_key("authorization"));
    assert!(server.running.shutdown().await);
}

#[tokio::test]
async fn too_much_is_refused() {
    let server = start(Limits { body_bytes: 1000, ..Limits::default() }).await;
    let (long, header) = ("u".repeat(50_000), "h".repeat(200_000));
    for http in [Http::One, Http::Two] {
        let check = async |request: Request<Full<Bytes>>, code: u16, expected: &str| {
            let what = format!("{http:?} {} {}", request.method(), &request.uri().path()[..5]);
            let (status, _, body) = connect(&server, http, None).await.send(request).await.unwrap();
            assert_eq!(status, code, "{what}: {}", text(&body));
            assert!(text(&body).contains(expected), "{what}: {}", text(&body));
        };
        let too_large = "Request entity too large: limit is 1000";
        check(request("POST", "/read", 1000, &[TOKEN]), 200, "1000").await;
        check(request("POST", "/read", 1001, &[TOKEN]), 413, too_large).await;
        check(get(&format!("/{long}")), 414, "the URL has 50001 bytes").await;
        check(get("/read?timeout=soon"), 400, "invalid timeout specified in the request URL").await;
        let large = request("GET", "/read", 0, &[TOKEN, ("x-large", &header)]);
        // hyper's client refuses to send what the server says it does not take.
        if http == Http::One {
            check(large, 431, "").await;
        }
    }
    let chunked = "POST /read HTTP/1.1\r\nhost: k\r\nauthorization: Bearer secret\r\ntransfer-encoding: chunked\r\n\
                   connection: close\r\n\r\n";
    let mut raw = tls(&server, Http::One, None).await;
    raw.write_all(chunked.as_bytes()).await.unwrap();
    raw.write_all(format!("400\r\n{}\r\n0\r\n\r\n", "x".repeat(1024)).as_bytes()).await.unwrap();
    let mut answer = String::new();
    raw.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("limit is 1073741824"), "{answer}");
    assert!(server.running.shutdown().await);
}

#[tokio::test]
async fn too_many_at_a_time_are_told_to_come_back() {
    // Each level has one seat.
    let mut server = start(Limits { read_only_in_flight: 1, mutating_in_flight: 0, ..Limits::default() }).await;
    for method in ["GET", "POST"] {
        let mut first = connect(&server, Http::Two, None).await;
        let waiting = tokio::spawn(async move { first.send(request(method, "/gate", 0, &[TOKEN])).await });
        assert_eq!(server.events.recv().await, Some("entered"));
        let mut second = connect(&server, Http::One, None).await;
        // It waits for a quarter of its time.
        let (status, headers, body) = second.send(request(method, "/x?timeout=40ms", 0, &[TOKEN])).await.unwrap();
        assert_eq!((status.as_u16(), text(&body)), (429, "Too many requests, please try again later.\n"));
        assert_eq!(headers["retry-after"], "1");
        // Health and masters are not held up.
        assert_eq!(second.send(request("GET", "/healthz", 0, &[])).await.unwrap().0, 200);
        let mut master = connect(&server, Http::Two, Some(server.authority.admin())).await;
        assert_eq!(master.send(request(method, "/x", 0, &[])).await.unwrap().0, 200);
        // One whose time is enough is served in its turn.
        let patient = tokio::spawn(async move { second.send(request(method, "/x", 0, &[TOKEN])).await });
        server.probe.gate.add_permits(1);
        assert_eq!(waiting.await.unwrap().unwrap().0, 200);
        assert_eq!(server.events.recv().await, Some("dropped"));
        assert_eq!(patient.await.unwrap().unwrap().0, 200);
        server.probe.gate.forget_permits(1);
    }
    let text = server.metrics.expose(Exposition::Plain);
    assert!(text.contains("apiserver_dropped_requests_total{request_kind=\"mutating\"} 1"), "{text}");
}

#[tokio::test]
async fn panics_and_slow_handlers_end_their_request_alone() {
    let mut server = start(Limits::default()).await;
    for http in [Http::One, Http::Two] {
        let mut client = connect(&server, http, None).await;
        for path in ["/panic", "/panic/early"] {
            let (status, _, body) = client.send(get(path)).await.unwrap();
            assert_eq!(status, 500);
            assert!(text(&body).contains("\"message\":\"This request caused apiserver to panic."), "{}", text(&body));
        }
        let (status, _, body) = client.send(get("/gate?timeout=10ms")).await.unwrap();
        assert_eq!(status, 504);
        let expected = "\"message\":\"Timeout: request did not complete within the allotted timeout\",\
                        \"reason\":\"Timeout\",\"details\":{},\"code\":504}";
        assert!(text(&body).contains(expected), "{}", text(&body));
        assert_eq!(server.events.recv().await, Some("entered"));
        assert_eq!(server.events.recv().await, Some("dropped"));
        assert_eq!(client.send(get("/x")).await.unwrap().0, 200, "on the same connection");
    }
}

#[tokio::test]
async fn requests_of_clients_that_are_gone_are_dropped() {
    let mut server = start(Limits::default()).await;
    for http in [Http::One, Http::Two] {
        let mut client = connect(&server, http, None).await;
        let waiting = tokio::spawn(async move { client.send(get("/gate")).await });
        assert_eq!(server.events.recv().await, Some("entered"));
        waiting.abort();
        assert_eq!(server.events.recv().await, Some("dropped"), "{http:?}");
    }
}

#[tokio::test]
async fn clients_that_do_nothing_are_cut_off() {
    let short = Duration::from_millis(50);
    let limits = Limits { handshake_time: short, header_time: short, idle_time: short, ..Limits::default() };
    let server = start(limits).await;
    // No handshake.
    let mut silent = TcpStream::connect(server.running.address()).await.unwrap();
    assert_eq!(silent.read(&mut [0; 16]).await.unwrap_or(0), 0);
    // Half a head.
    let mut slow = tls(&server, Http::One, None).await;
    slow.write_all(b"GET /x HTTP/1.1\r\nhost:").await.unwrap();
    let mut answer = Vec::new();
    let _ = slow.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP/1.1 200"));
    // No request at all, and nothing but the protocol's beginning.
    for (http, bytes) in [(Http::One, &b""[..]), (Http::Two, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")] {
        let mut idle = tls(&server, http, None).await;
        idle.write_all(bytes).await.unwrap();
        let _ = idle.read_to_end(&mut Vec::new()).await;
    }
    assert!(server.running.shutdown().await);
}

#[tokio::test]
async fn answers_that_nobody_takes_are_given_up() {
    let server = start(Limits { stall_time: Duration::from_millis(50), ..Limits::default() }).await;
    let mut stalled = tls(&server, Http::One, None).await;
    stalled.write_all(b"GET /large HTTP/1.1\r\nhost: k\r\nauthorization: Bearer secret\r\n\r\n").await.unwrap();
    // Nothing is read until the server has given up.
    while server.metrics.expose(Exposition::Plain).contains("gantry_apiserver_connections 1") {
        tokio::task::yield_now().await;
    }
    let mut answer = Vec::new();
    let _ = stalled.read_to_end(&mut answer).await;
    assert!(answer.len() < 64 << 20, "{} bytes", answer.len());
}

#[tokio::test]
async fn large_answers_arrive_whole() {
    let server = start(Limits::default()).await;
    for http in [Http::One, Http::Two] {
        let (status, headers, body) = connect(&server, http, None).await.send(get("/large")).await.unwrap();
        assert_eq!((status.as_u16(), body.len()), (200, 64 << 20), "{http:?}");
        assert_eq!(headers["content-length"], (64 << 20).to_string());
    }
}

#[tokio::test]
async fn shutdown_finishes_requests_and_ends_streams() {
    for http in [Http::One, Http::Two] {
        let mut server = start(Limits::default()).await;
        let address = server.running.address();
        let mut client = connect(&server, http, None).await;
        let waiting = tokio::spawn(async move { client.send(get("/gate")).await });
        assert_eq!(server.events.recv().await, Some("entered"));
        let mut watch = connect(&server, http, None).await;
        let mut stream = watch.begin(get("/watch")).await.unwrap().into_body();
        assert_eq!(stream.frame().await.unwrap().unwrap().into_data().unwrap(), "event\n");
        let gate = Arc::clone(&server.probe.gate);
        let stopping = server.running.stopping().clone();
        let shutdown = tokio::spawn(server.running.shutdown());
        stopping.cancelled().await;
        let rest = stream.collect().await.expect("the stream ends in an orderly way").to_bytes();
        assert!(rest.is_empty(), "{http:?}: {rest:?}");
        gate.add_permits(1);
        let (status, _, body) = waiting.await.unwrap().unwrap();
        assert_eq!((status.as_u16(), text(&body)), (200, "through the gate"));
        assert!(shutdown.await.unwrap(), "all were finished");
        assert!(TcpStream::connect(address).await.is_err(), "nobody listens");
    }
}

#[tokio::test]
async fn shutdown_does_not_wait_for_ever() {
    let mut server = start(Limits { shutdown_time: Duration::from_millis(50), ..Limits::default() }).await;
    let mut client = connect(&server, Http::Two, None).await;
    let waiting = tokio::spawn(async move { client.send(get("/gate")).await });
    assert_eq!(server.events.recv().await, Some("entered"));
    assert!(!server.running.shutdown().await);
    assert!(waiting.await.unwrap().is_err());
    assert_eq!(server.events.recv().await, Some("dropped"));
}

#[tokio::test]
async fn connections_beyond_the_bound_wait() {
    let server = start(Limits { connections: 1, ..Limits::default() }).await;
    let mut first = connect(&server, Http::Two, None).await;
    assert_eq!(first.send(get("/x")).await.unwrap().0, 200);
    let mut second = Box::pin(connect(&server, Http::Two, None));
    // The first still works while the second waits for its handshake.
    tokio::select! {
        biased;
        _ = &mut second => panic!("there was no room"),
        sent = first.send(get("/x")) => assert_eq!(sent.unwrap().0, 200),
    }
    drop(first);
    assert_eq!(second.await.send(get("/x")).await.unwrap().0, 200);
}

#[tokio::test]
async fn clients_may_choose_the_audit_id() {
    let server = start(Limits::default()).await;
    let mut client = connect(&server, Http::One, None).await;
    let (_, headers, _) = client.send(request("GET", "/x", 0, &[TOKEN, ("audit-id", "mine")])).await.unwrap();
    assert_eq!(headers["audit-id"], "mine");
}
