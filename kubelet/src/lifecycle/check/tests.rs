//! Looks at real servers, and what their answers mean.

use std::convert::Infallible;
use std::net::SocketAddr;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use k8s_openapi::api::core::v1::{ContainerPort, GRPCAction, HTTPHeader};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tonic::codegen::BoxFuture;
use tonic::server::{Grpc, UnaryService};

use super::grpc::{HealthCheckRequest, HealthCheckResponse, ServingStatus};
use super::*;
use crate::cri::v1::ExecSyncResponse;

const LONG: Duration = Duration::from_secs(30);

fn port(number: u16) -> IntOrString {
    IntOrString::Int(number.into())
}

fn no_runtime() -> Cri {
    Cri::at("unix:///nonexistent").unwrap()
}

async fn look_at(probe: &Probe, container: &Container, timeout: Duration) -> Verdict {
    let cri = no_runtime();
    let target = Target { cri: &cri, container, id: "a", address: Some([127, 0, 0, 1].into()) };
    look(&target, probe, timeout).await
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A port on which nobody listens.
async fn nobody() -> u16 {
    listener().await.1.port()
}

/// Answers each connection with the next text, and gives what was asked.
async fn serve(answers: Vec<String>) -> (u16, tokio::task::JoinHandle<Vec<String>>) {
    let (listener, address) = listener().await;
    let task = tokio::spawn(async move {
        let mut asked = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            asked.push(String::from_utf8(head).unwrap());
            // Whoever asks may have heard enough before all is written.
            let _ = stream.write_all(answer.as_bytes()).await;
        }
        asked
    });
    (address.port(), task)
}

fn answer(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn by_get(action: HTTPGetAction) -> Probe {
    Probe { http_get: Some(action), ..Probe::default() }
}

/// Looks by HTTP at a server that gives these answers, and says what was found and what was asked for.
async fn http(answers: &[String]) -> (Verdict, Vec<String>) {
    let (number, asked) = serve(answers.to_vec()).await;
    let probe = by_get(HTTPGetAction { path: Some("/a".to_owned()), port: port(number), ..HTTPGetAction::default() });
    let verdict = look_at(&probe, &Container::default(), LONG).await;
    let asked = asked.await.unwrap();
    (verdict, asked.iter().map(|head| head.lines().next().unwrap().to_owned()).collect())
}

#[tokio::test]
async fn a_status_says_how_a_container_is() {
    for (status, expected) in [
        ("200 OK", Verdict::Good),
        ("204 No Content", Verdict::Good),
        ("304 Not Modified", Verdict::Warning("Probe terminated redirects, Response body: ".to_owned())),
        ("404 Not Found", Verdict::Bad("HTTP probe failed with statuscode: 404".to_owned())),
        ("500 Oops", Verdict::Bad("HTTP probe failed with statuscode: 500".to_owned())),
    ] {
        assert_eq!(http(&[answer(status, "")]).await.0, expected, "{status}");
    }
}

#[tokio::test]
async fn redirects_are_followed_to_the_same_host() {
    let to = |location: &str| format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 4\r\n\r\nbody");
    let (verdict, asked) = http(&[to("/b?c"), to("d"), answer("200 OK", "")]).await;
    assert_eq!(
        (verdict, asked),
        (
            Verdict::Good,
            vec!["GET /a HTTP/1.1".to_owned(), "GET /b?c HTTP/1.1".to_owned(), "GET /d HTTP/1.1".to_owned()]
        )
    );
    let elsewhere = Verdict::Warning("Probe terminated redirects, Response body: body".to_owned());
    assert_eq!(http(&[to("http://0.0.0.0/")]).await.0, elsewhere);
    let Verdict::Bad(message) = http(&vec![to("/again"); 10]).await.0 else { panic!("it never ends") };
    assert!(message.ends_with("/again\": stopped after 10 redirects"), "{message}");
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_bad() {
    let get = |number| by_get(HTTPGetAction { port: port(number), ..HTTPGetAction::default() });
    let number = nobody().await;
    let refused = format!("dial tcp 127.0.0.1:{number}: connect: connection refused");
    let verdict = look_at(&get(number), &Container::default(), LONG).await;
    assert_eq!(verdict, Verdict::Bad(format!("Get \"http://127.0.0.1:{number}/\": {refused}")));
    let tcp = |port| Probe { tcp_socket: Some(TCPSocketAction { host: None, port }), ..Probe::default() };
    assert_eq!(look_at(&tcp(port(number)), &Container::default(), LONG).await, Verdict::Bad(refused));

    let (silent, address) = listener().await;
    let late = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)";
    let verdict = look_at(&get(address.port()), &Container::default(), Duration::from_millis(20)).await;
    assert_eq!(verdict, Verdict::Bad(format!("Get \"http://{address}/\": {late}")));
    assert_eq!(look_at(&tcp(port(address.port())), &Container::default(), LONG).await, Verdict::Good);
    drop(silent);

    let Verdict::Bad(message) = http(&[String::new()]).await.0 else { panic!("it said nothing") };
    assert!(message.ends_with(": EOF"), "{message}");
}

#[tokio::test]
async fn no_more_is_read_of_an_answer_than_is_kept() {
    let head = "HTTP/1.1 307 Temporary Redirect\r\n\r\n";
    let Verdict::Warning(message) = http(&[format!("{head}{}", "x".repeat(1 << 20))]).await.0 else {
        panic!("a redirect")
    };
    assert_eq!(message.matches('x').count(), KEPT);
}

#[tokio::test]
async fn what_is_sent_is_what_the_probe_says() {
    let (number, asked) = serve(vec![answer("200 OK", "")]).await;
    let header = |name: &str, value: &str| HTTPHeader { name: name.to_owned(), value: value.to_owned() };
    let action = HTTPGetAction {
        port: IntOrString::String("web".to_owned()),
        http_headers: Some(vec![header("Host", "a.example"), header("X-A", "1")]),
        ..HTTPGetAction::default()
    };
    let web = ContainerPort { name: Some("web".to_owned()), container_port: number.into(), ..ContainerPort::default() };
    let container = Container { ports: Some(vec![web]), ..Container::default() };
    assert_eq!(look_at(&by_get(action), &container, LONG).await, Verdict::Good);
    let mut lines: Vec<_> = asked.await.unwrap()[0].lines().map(str::to_lowercase).collect();
    lines.sort();
    let expected = [
        "",
        "accept: */*",
        "connection: close",
        "get / http/1.1",
        "host: a.example",
        "user-agent: kube-probe/1.37",
        "x-a: 1",
    ];
    assert_eq!(lines, expected);
}

#[tokio::test]
async fn https_needs_no_certificate_to_be_trusted_and_is_told_from_http() {
    let made = rcgen::generate_simple_self_signed(["nobody.example".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(rustls::crypto::aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let (listening, address) = listener().await;
    tokio::spawn(async move {
        let (stream, _) = listening.accept().await.unwrap();
        let mut stream = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config)).accept(stream).await.unwrap();
        let mut head = [0; 64];
        assert!(stream.read(&mut head).await.unwrap() > 0);
        stream.write_all(answer("200 OK", "").as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
    });
    let get = |number| {
        by_get(HTTPGetAction { port: port(number), scheme: Some("HTTPS".to_owned()), ..HTTPGetAction::default() })
    };
    assert_eq!(look_at(&get(address.port()), &Container::default(), LONG).await, Verdict::Good);

    let (plain, address) = listener().await;
    tokio::spawn(async move {
        let (mut stream, _) = plain.accept().await.unwrap();
        stream.write_all(answer("400 Bad Request", "").as_bytes()).await.unwrap();
        let _ = stream.read(&mut [0; 1024]).await;
    });
    let Verdict::Bad(message) = look_at(&get(address.port()), &Container::default(), LONG).await else {
        panic!("no TLS")
    };
    assert!(message.ends_with("http: server gave HTTP response to HTTPS client"), "{message}");
}

#[derive(Clone)]
struct Health;

impl UnaryService<HealthCheckRequest> for Health {
    type Response = HealthCheckResponse;
    type Future = BoxFuture<tonic::Response<HealthCheckResponse>, Status>;

    fn call(&mut self, request: tonic::Request<HealthCheckRequest>) -> Self::Future {
        Box::pin(async move {
            let status = match request.get_ref().service.as_str() {
                "" => ServingStatus::Serving,
                "down" => ServingStatus::NotServing,
                "slow" => std::future::pending().await,
                "other" => return Err(Status::unimplemented("unknown service")),
                _ => return Err(Status::not_found("unknown service")),
            };
            Ok(tonic::Response::new(HealthCheckResponse { status: status as i32 }))
        })
    }
}

#[tokio::test]
async fn grpc_says_how_a_service_is() {
    let (listening, address) = listener().await;
    tokio::spawn(async move {
        let service = tower::service_fn(|request: ::http::Request<hyper::body::Incoming>| async move {
            assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
            let codec = tonic_prost::ProstCodec::<HealthCheckResponse, HealthCheckRequest>::default();
            Ok::<_, Infallible>(Grpc::new(codec).unary(Health, request).await)
        });
        while let Ok((stream, _)) = listening.accept().await {
            let service = TowerToHyperService::new(service);
            tokio::spawn(async move {
                let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    let ask = |port: u16, service: &str| Probe {
        grpc: Some(GRPCAction { port: port.into(), service: Some(service.to_owned()), mode: None }),
        ..Probe::default()
    };
    let not_there = "this server does not implement the grpc health protocol (grpc.health.v1.Health)";
    let bad = |message: &str| Verdict::Bad(message.to_owned());
    for (service, timeout, expected) in [
        ("", LONG, Verdict::Good),
        ("down", LONG, bad("service unhealthy (responded with \"NOT_SERVING\")")),
        ("unknown", LONG, bad("error: health rpc probe failed: rpc error: code = NotFound desc = unknown service")),
        ("other", LONG, bad(&format!("error: {not_there}: unknown service"))),
        ("slow", Duration::from_secs(1), bad("timeout: health rpc did not complete within 1s")),
    ] {
        let verdict = look_at(&ask(address.port(), service), &Container::default(), timeout).await;
        assert_eq!(verdict, expected, "{service}");
    }
    let number = nobody().await;
    let verdict = look_at(&ask(number, ""), &Container::default(), Duration::from_millis(20)).await;
    let message = "within 0s: context deadline exceeded";
    assert_eq!(verdict, Verdict::Bad(format!("timeout: failed to connect service \"127.0.0.1:{number}\" {message}")));
}

#[test]
fn a_commands_end_says_how_a_container_is() {
    let command = ["cat".to_owned(), "/a \"b\"".to_owned()];
    let ended = |exit_code: i32, stdout: &str, stderr: &str| {
        Ok(ExecSyncResponse { exit_code, stdout: stdout.as_bytes().to_vec(), stderr: stderr.as_bytes().to_vec() })
    };
    let long = "x".repeat(KEPT);
    let timed_out = "command timed out: \"cat /a \\\"b\\\"\" timed out after 1m5s";
    let no_container = "rpc error: code = NotFound desc = no such container";
    for (answer, expected) in [
        (ended(0, "fine", ""), Verdict::Good),
        (ended(1, "out", "err"), Verdict::Bad("outerr".to_owned())),
        (ended(137, &long, "err"), Verdict::Bad(long.clone())),
        (Err(Status::deadline_exceeded("late")), Verdict::Bad(timed_out.to_owned())),
        (Err(Status::not_found("no such container")), Verdict::unknown(no_container)),
    ] {
        assert_eq!(of_command(answer, &command, Duration::from_secs(65)), expected);
    }
}

#[test]
fn ports_have_numbers_and_names() {
    let web = ContainerPort { name: Some("web".to_owned()), container_port: 8080, ..ContainerPort::default() };
    let container = Container { ports: Some(vec![web]), ..Container::default() };
    for (port, expected) in [
        (IntOrString::Int(80), Ok(80)),
        (IntOrString::String("web".to_owned()), Ok(8080)),
        (IntOrString::String("81".to_owned()), Ok(81)),
        (IntOrString::Int(0), Err("invalid port number: 0")),
        (IntOrString::Int(65_536), Err("invalid port number: 65536")),
        (IntOrString::String("http".to_owned()), Err("strconv.Atoi: parsing \"http\": invalid syntax")),
    ] {
        assert_eq!(port_of(&port, &container), expected.map_err(str::to_owned));
    }
}

#[test]
fn durations_are_spoken_as_upstream_does() {
    for (seconds, expected) in [(1, "1s"), (60, "1m0s"), (3_661, "1h1m1s")] {
        assert_eq!(spoken(Duration::from_secs(seconds)), expected);
    }
}
