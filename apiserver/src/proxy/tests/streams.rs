//! Connections that become something else: exec, attach, port-forward and what pods offer.

use http::StatusCode;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::POD;
use super::server::{Server, begin, request, send};

const SPDY: [(&str, &str); 3] =
    [("connection", "Upgrade"), ("upgrade", "SPDY/3.1"), ("x-stream-protocol-version", "v4.channel.k8s.io")];
const WEBSOCKET: [(&str, &str); 5] = [
    ("connection", "keep-alive, Upgrade"),
    ("upgrade", "websocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("sec-websocket-protocol", "v4.channel.k8s.io"),
];

type Upgraded = TokioIo<hyper::upgrade::Upgraded>;

/// A connection that has become what `headers` ask for.
async fn open(server: &Server, method: &str, path: &str, headers: &[(&str, &str)]) -> Upgraded {
    let mut answer = begin(server, request(method, path, headers, "")).await;
    assert_eq!(answer.status(), StatusCode::SWITCHING_PROTOCOLS, "{path}");
    assert_eq!(answer.headers()["upgrade"].to_str().unwrap(), headers[1].1);
    TokioIo::new(hyper::upgrade::on(&mut answer).await.unwrap())
}

/// What comes back for what is said.
async fn say(stream: &mut Upgraded, text: &str) -> String {
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = vec![0; text.len()];
    stream.read_exact(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn bytes_pass_both_ways() {
    let server = Server::start().await;
    server.pod("p", &["a"], Some("box")).await;
    server.give_address("p", "10.8.0.7").await;
    let check = async |method: &str, path: &str, headers: &[(&str, &str)], asked: &str| {
        let mut stream = open(&server, method, &format!("{POD}/p/{path}"), headers).await;
        assert_eq!(say(&mut stream, "hello").await, "HELLO");
        assert_eq!(say(&mut stream, "again").await, "AGAIN");
        let last = server.kubelet.last();
        assert_eq!(last.line, asked);
        assert_eq!(last.headers["upgrade"].to_str().unwrap(), headers[1].1);
        // The end of one side is the end of the other.
        stream.write_all(b"quit").await.unwrap();
        assert_eq!(stream.read(&mut [0; 8]).await.unwrap_or(0), 0);
    };
    let exec = "POST /exec/default/p/a?command=sh&command=-c&input=1&tty=1";
    check("POST", "exec?command=sh&command=-c&stdin=1&tty=true", &SPDY, exec).await;
    check("GET", "exec?command=ls&stdout=true", &WEBSOCKET, "GET /exec/default/p/a?command=ls&output=1").await;
    check("POST", "attach?stderr=true&container=a", &SPDY, "POST /attach/default/p/a?error=1").await;
    check("POST", "portforward", &SPDY, "POST /portForward/default/p").await;
    check("GET", "portforward?ports=80", &WEBSOCKET, "GET /portForward/default/p?port=80").await;
    check("GET", "proxy/live?a=b", &WEBSOCKET, "GET /live?a=b").await;
    assert_eq!(server.kubelet.last().client, "");
}

#[tokio::test]
async fn what_the_kubelet_refuses_is_passed_on() {
    let server = Server::start().await;
    server.pod("p", &["a"], Some("box")).await;
    server.pod("waiting", &["a"], None).await;
    let check = async |path: &str, headers: &[(&str, &str)], code: u16, expected: &str| {
        let (found, _, body) = send(&server, "POST", &format!("{POD}/{path}"), headers).await;
        assert_eq!((found.as_u16(), body.contains(expected)), (code, true), "{path}: {body}");
    };
    server.kubelet.answer_with(403);
    check("p/exec?command=ls", &SPDY, 403, "previous terminated container").await;
    for code in [200, 302] {
        server.kubelet.answer_with(code);
        check("p/exec?command=ls", &SPDY, 500, &format!("invalid upgrade response: status code {code}")).await;
    }
    check("p/exec?command=ls", &[], 400, "Upgrade request required").await;
    check("p/exec?container=x", &SPDY, 400, "container x is not valid for pod p").await;
    check("waiting/portforward", &SPDY, 400, "pod waiting does not have a host assigned").await;
    check("none/attach", &SPDY, 404, "pods \\\"none\\\" not found").await;
    let (found, _, _) = send(&server, "DELETE", &format!("{POD}/p/exec"), &SPDY).await;
    assert_eq!(found, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn whichever_side_ends_ends_the_other() {
    let server = Server::start().await;
    server.pod("p", &["a"], Some("box")).await;
    let path = format!("{POD}/p/exec?command=sh");
    // The client goes away.
    let ended = server.kubelet.ended();
    let mut stream = open(&server, "POST", &path, &SPDY).await;
    assert_eq!(say(&mut stream, "x").await, "X");
    drop(stream);
    ended.await.unwrap();
    // The server stops.
    let ended = server.kubelet.ended();
    let mut stream = open(&server, "POST", &path, &SPDY).await;
    assert_eq!(say(&mut stream, "x").await, "X");
    server.stop();
    assert_eq!(stream.read(&mut [0; 8]).await.unwrap_or(0), 0);
    ended.await.unwrap();
}

#[tokio::test]
async fn a_connection_that_was_taken_over_counts_until_it_ends() {
    let server = Server::start().await;
    server.pod("p", &["a"], Some("box")).await;
    let count = async || {
        let (_, _, text) = send(&server, "GET", "/metrics", &[]).await;
        let lines = text.lines().filter(|line| line.starts_with("apiserver_longrunning_requests{"));
        let counted = lines.filter(|line| line.contains("\"CONNECT\"") && line.contains("\"exec\""));
        counted.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>()
    };
    let ended = server.kubelet.ended();
    let mut stream = open(&server, "POST", &format!("{POD}/p/exec?command=sh"), &SPDY).await;
    assert_eq!(say(&mut stream, "x").await, "X");
    assert_eq!(count().await, 1.0);
    stream.write_all(b"quit").await.unwrap();
    ended.await.unwrap();
    assert_eq!(stream.read(&mut [0; 8]).await.unwrap_or(0), 0);
    while count().await > 0.0 {
        tokio::task::yield_now().await;
    }
}
