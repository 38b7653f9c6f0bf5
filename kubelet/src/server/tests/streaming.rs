//! Streams, with a streaming server that stands in for the runtime's.

use http::{Method, Request, StatusCode};
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::super::Limits;
use super::stage::{Stage, read_to_end, whole};

/// A request's head as it came, and the connection that it came on.
type Came = (String, TcpStream);

/// Listens as the runtime's streaming server, and hands on who comes.
async fn streaming_server() -> (String, mpsc::UnboundedReceiver<Came>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(socket.read_u8().await.unwrap());
            }
            if sender.send((String::from_utf8(head).unwrap(), socket)).is_err() {
                return;
            }
        }
    });
    (url, receiver)
}

const ACCEPT: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\
    X-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\n";

fn upgrade(path: &str) -> Request<Empty<bytes::Bytes>> {
    let request = Request::builder().method(Method::POST).uri(path).header("host", "one");
    let request = request.header("authorization", "Bearer admin").header("connection", "Upgrade");
    let request = request.header("upgrade", "SPDY/3.1").header("x-stream-protocol-version", "v4.channel.k8s.io");
    request.body(Empty::new()).unwrap()
}

/// A stream through the server: the client's end and the runtime's.
async fn stream(
    stage: &Stage,
    runtime: &mut mpsc::UnboundedReceiver<Came>,
) -> (TokioIo<hyper::upgrade::Upgraded>, TcpStream) {
    let mut wire = stage.wire().await;
    let asking = wire.send(upgrade("/exec/default/web/app?command=a&output=1"));
    let accepting = async {
        let (_, mut socket) = runtime.recv().await.unwrap();
        socket.write_all(ACCEPT).await.unwrap();
        socket
    };
    let (answer, socket) = tokio::join!(asking, accepting);
    assert_eq!(answer.status(), StatusCode::SWITCHING_PROTOCOLS);
    assert_eq!(answer.headers()["x-stream-protocol-version"], "v4.channel.k8s.io");
    (TokioIo::new(hyper::upgrade::on(answer).await.unwrap()), socket)
}

/// Waits until no stream is open.
async fn no_streams(stage: &Stage) {
    while stage.streams() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_upgrade_is_replayed_without_what_proves_who_asks() {
    let (url, mut runtime) = streaming_server().await;
    let stage = Stage::streaming(Limits::default(), &url).await;
    let paths = [
        ("/exec/default/web/app?command=a&output=1", "exec"),
        ("/exec/default/web/0b5f1a4e/app?command=a&input=1", "exec"),
        ("/attach/default/web/app?output=1", "attach"),
        ("/portForward/default/web", "portforward"),
    ];
    for (path, what) in paths {
        let mut wire = stage.wire().await;
        let asking = wire.send(upgrade(path));
        let refusing = async {
            let (head, mut socket) = runtime.recv().await.unwrap();
            socket.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\nsure").await.unwrap();
            head
        };
        let (answer, head) = tokio::join!(asking, refusing);
        assert_eq!(whole(answer).await, (StatusCode::FORBIDDEN, "sure".to_owned()), "{path}");
        let (line, headers) =
            head.to_ascii_lowercase().split_once("\r\n").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        assert!(line.starts_with(&format!("post /{what}/")), "{line}");
        for header in ["upgrade: spdy/3.1", "connection: upgrade", "x-stream-protocol-version: v4.channel.k8s.io"] {
            assert!(headers.contains(header), "{header} in {headers}");
        }
        assert!(headers.contains(&format!("host: {}", url.trim_start_matches("http://"))), "{headers}");
        assert!(!headers.contains("authorization"), "{headers}");
    }
    assert_eq!(stage.streams(), 0);
    stage.stop().await;
}

#[tokio::test]
async fn bytes_go_through_both_ways() {
    let (url, mut runtime) = streaming_server().await;
    let stage = Stage::streaming(Limits::default(), &url).await;
    let (mut client, mut socket) = stream(&stage, &mut runtime).await;
    let question = vec![7; 1 << 20];
    let asking = async {
        client.write_all(&question).await.unwrap();
        client.shutdown().await.unwrap();
        read_to_end(&mut client).await
    };
    let answering = async {
        let heard = read_to_end(&mut socket).await;
        // The client has ended its side, and still hears.
        socket.write_all(b"answer").await.unwrap();
        socket.shutdown().await.unwrap();
        heard
    };
    let (answer, heard) = tokio::join!(asking, answering);
    assert_eq!((heard.len(), &*answer), (question.len(), b"answer".as_slice()));
    no_streams(&stage).await;
    stage.stop().await;
}

#[tokio::test]
async fn who_vanishes_frees_everything() {
    let (url, mut runtime) = streaming_server().await;
    let limits = Limits { connections: 1, ..Limits::default() };
    let stage = Stage::streaming(limits, &url).await;
    let (client, mut socket) = stream(&stage, &mut runtime).await;
    assert_eq!(stage.streams(), 1);
    drop(client);
    assert_eq!(read_to_end(&mut socket).await, b"");
    drop(socket);
    no_streams(&stage).await;
    // The place among the connections is free again, too.
    let (mut client, socket) = stream(&stage, &mut runtime).await;
    drop(socket);
    assert_eq!(read_to_end(&mut client).await, b"");
    drop(client);
    no_streams(&stage).await;
    stage.stop().await;
}

#[tokio::test]
async fn streams_end_when_the_server_stops() {
    let (url, mut runtime) = streaming_server().await;
    let stage = Stage::streaming(Limits::default(), &url).await;
    let (mut client, mut socket) = stream(&stage, &mut runtime).await;
    stage.stop().await;
    assert_eq!((read_to_end(&mut client).await, read_to_end(&mut socket).await), (vec![], vec![]));
}

#[tokio::test]
async fn nobody_is_sent_elsewhere() {
    let (url, mut runtime) = streaming_server().await;
    let stage = Stage::streaming(Limits::default(), &url).await;
    let mut wire = stage.wire().await;
    let asking = wire.send(upgrade("/exec/default/web/app?command=a&output=1"));
    let redirecting = async {
        let (_, mut socket) = runtime.recv().await.unwrap();
        let answer = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n";
        socket.write_all(answer).await.unwrap();
        socket
    };
    let (answer, _socket) = tokio::join!(asking, redirecting);
    assert!(answer.headers().get("location").is_none());
    assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);
    stage.stop().await;

    let elsewhere = Stage::streaming(Limits::default(), "http://192.0.2.1:1").await;
    let answer = elsewhere.wire().await.send(upgrade("/exec/default/web/app?command=a&output=1")).await;
    let (code, words) = whole(answer).await;
    assert!(code == StatusCode::INTERNAL_SERVER_ERROR && words.contains("not one of this machine"), "{words}");
    elsewhere.stop().await;
}

#[tokio::test]
async fn what_is_no_request_for_streams_is_refused() {
    let stage = Stage::streaming(Limits::default(), "http://127.0.0.1:1").await;
    let cases = [
        ("/exec/default/web/app?command=a", 400, "you must specify at least 1 of stdin, stdout, stderr"),
        ("/exec/default/none/app?command=a&output=1", 404, "pod does not exist"),
        ("/exec/default/web/none?command=a&output=1", 500, "container not found (\"none\")"),
        ("/exec/default/web/waits?command=a&output=1", 500, "container not found (\"waits\")"),
        ("/exec/default/web/other/app?command=a&output=1", 500, "container not found (\"app\")"),
        ("/attach/default/web/none?output=1", 500, "container none not found in pod web_default"),
        ("/portForward/default/none", 404, "pod does not exist"),
        ("/portForward/default/web/other", 404, "pod not found"),
    ];
    for (path, code, words) in cases {
        let answer = stage.wire().await.send(upgrade(path)).await;
        assert_eq!(whole(answer).await, (StatusCode::from_u16(code).unwrap(), words.to_owned()), "{path}");
    }
    let plain = ("/exec/default/web/app?command=a&output=1", "Upgrade request required");
    let (code, words) = stage.wire().await.ask(Method::GET, plain.0, "admin").await;
    assert_eq!((code, &*words), (StatusCode::BAD_REQUEST, plain.1));
    let (code, _) = stage.certified_wire(true).await.ask(Method::GET, plain.0, "").await;
    assert_eq!(code, StatusCode::BAD_REQUEST, "there are no upgrades in HTTP/2");
    let mut web_socket = upgrade("/portForward/default/web");
    web_socket.headers_mut().insert("upgrade", "websocket".parse().unwrap());
    let answer = stage.wire().await.send(web_socket).await;
    assert_eq!(whole(answer).await, (StatusCode::BAD_REQUEST, "query parameter \"port\" is required".to_owned()));
    stage.stop().await;
}
