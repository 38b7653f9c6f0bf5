//! A server on a port of this machine, with TLS and a runtime in memory: who is let in, what they are told, and what becomes
//! of streams.

mod real;
mod stage;
mod streaming;
mod texts;

use http::{Method, StatusCode};

use stage::{Stage, Wire};

/// What is asked, by whom, and the answer's code and words.
async fn check(stage: &Stage, token: &str, request: (Method, &str), expected: (StatusCode, &str)) {
    let mut wire = stage.wire().await;
    let (code, text) = wire.ask(request.0, request.1, token).await;
    assert_eq!((code, &*text), expected, "{} as {token:?}", request.1);
}

#[tokio::test]
async fn nobody_is_let_in_who_is_not_known() {
    let stage = Stage::new().await;
    let (get, ok) = (|path| (Method::GET, path), (StatusCode::OK, "ok"));
    let unauthorized = (StatusCode::UNAUTHORIZED, "Unauthorized");
    for path in ["/healthz", "/pods", "/nowhere", "/exec/a/b/c"] {
        check(&stage, "", get(path), unauthorized).await;
        check(&stage, "wrong", get(path), unauthorized).await;
    }
    check(&stage, "admin", get("/healthz"), ok).await;
    let forbidden = "Forbidden (user=reader, verb=get, resource=nodes, subresource(s)=[healthz proxy])\n";
    check(&stage, "reader", get("/healthz"), (StatusCode::FORBIDDEN, forbidden)).await;
    let unknown = "Authorization error (user=lost, verb=get, resource=nodes, subresource=metrics)";
    check(&stage, "lost", get("/metrics"), (StatusCode::INTERNAL_SERVER_ERROR, unknown)).await;
    let mut wire = stage.wire().await;
    assert_eq!(wire.ask(Method::GET, "/metrics", "reader").await.0, StatusCode::OK);

    // With a certificate there is no token needed, over either protocol.
    for http2 in [false, true] {
        let mut wire = stage.certified_wire(http2).await;
        assert_eq!(wire.ask(Method::GET, "/healthz", "").await, (StatusCode::OK, "ok".to_owned()), "{http2}");
        // The connection serves for more than one request.
        assert_eq!(wire.ask(Method::GET, "/healthz/ping", "").await, (StatusCode::OK, "ok".to_owned()), "{http2}");
    }
    stage.stop().await;
}

#[tokio::test]
async fn what_is_asked_for_is_answered_as_by_upstream() {
    let stage = Stage::new().await;
    let get = |path| (Method::GET, path);
    let check = async |request, code, text| check(&stage, "admin", request, (code, text)).await;
    let (ok, absent) = (StatusCode::OK, StatusCode::NOT_FOUND);
    let verbose = "[+]ping ok\n[+]log ok\n[+]syncloop ok\nhealthz check passed\n";
    check(get("/healthz?verbose"), ok, verbose).await;
    check(get("/healthz/other"), absent, "404 page not found\n").await;
    check(get("/nowhere"), absent, "404 page not found\n").await;
    check((Method::POST, "/pods"), StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed").await;
    check(get("/%ff"), StatusCode::BAD_REQUEST, "the path is not UTF-8").await;
    check(get("/configz"), ok, r#"{"kubeletconfig":{"kind":"KubeletConfiguration"}}"#).await;
    let running = format!(
        r#"{{"kind":"PodList","apiVersion":"v1","metadata":{{}},"items":[{{"metadata":{{"name":"web","namespace":"default","uid":"{}"}},"spec":{{"containers":[{{"image":"img","name":"app"}}]}},"status":{{}}}}]}}"#,
        stage::UID
    );
    check(get("/runningpods/"), ok, &running).await;
    *stage.view.unhealthy.lock() = Some("sync Loop took longer than expected".to_owned());
    let failed = "[+]ping ok\n[+]log ok\n[-]syncloop failed: reason withheld\nhealthz check failed\n";
    check(get("/healthz"), StatusCode::INTERNAL_SERVER_ERROR, failed).await;
    let why = "internal server error: sync Loop took longer than expected\n";
    check(get("/healthz/syncloop"), StatusCode::INTERNAL_SERVER_ERROR, why).await;

    let mut wire = stage.wire().await;
    let (code, pods) = wire.ask(Method::GET, "/pods", "admin").await;
    let pods: serde_json::Value = serde_json::from_str(&pods).unwrap();
    assert_eq!((code, &pods["items"][0]["metadata"]["name"]), (ok, &"web".into()));
    let long = format!("/pods?{}", "x".repeat(50 << 10));
    assert_eq!(wire.ask(Method::GET, &long, "admin").await.0, StatusCode::URI_TOO_LONG);
    stage.stop().await;
}

#[tokio::test]
async fn logs_are_found_or_it_is_said_why_not() {
    let stage = Stage::new().await;
    let get = |path| (Method::GET, path);
    let check = async |path, code, text| check(&stage, "admin", get(path), (code, text)).await;
    let (absent, bad) = (StatusCode::NOT_FOUND, StatusCode::BAD_REQUEST);
    check("/containerLogs/default/none/app", absent, "pod \"none\" does not exist").await;
    check("/containerLogs/default/web/none", absent, "container \"none\" not found in pod \"web\"").await;
    check("/containerLogs/default/web/app?tailLines=x", bad, r#"{"message": "Unable to decode query."}"#).await;
    let invalid = r#"{"message": "Invalid request."}"#;
    check("/containerLogs/default/web/app?tailLines=-1", StatusCode::UNPROCESSABLE_ENTITY, invalid).await;
    let waiting = "container \"waits\" in pod \"web\" is waiting to start: ContainerCreating";
    check("/containerLogs/default/web/waits", bad, waiting).await;
    let previous = "previous terminated container \"app\" in pod \"web\" not found";
    check("/containerLogs/default/web/app?previous=true", bad, previous).await;
    stage.write_log(&["first", "second", "third"]);
    check("/containerLogs/default/web/app", StatusCode::OK, "first\nsecond\nthird\n").await;
    check("/containerLogs/default/web/app?tailLines=1", StatusCode::OK, "third\n").await;
    check("/containerLogs/default/web/app?limitBytes=3", StatusCode::OK, "fir").await;
    stage.stop().await;
}

#[tokio::test]
async fn a_log_is_followed_while_the_container_writes() {
    let stage = Stage::new().await;
    stage.write_log(&["first"]);
    let mut wire = stage.wire().await;
    let path = "/containerLogs/default/web/app?follow=true";
    let mut body = wire.begin(Method::GET, path, "admin").await.into_body();
    assert_eq!(stage::next_text(&mut body).await, "first\n");
    stage.write_log(&["second"]);
    assert_eq!(stage::next_text(&mut body).await, "second\n");
    // Stopping does not wait for those who follow for ever.
    stage.stop().await;
}

#[tokio::test]
async fn the_nodes_own_logs_can_be_read() {
    let stage = Stage::new().await;
    let mut wire = stage.wire().await;
    let (code, page) = wire.ask(Method::GET, "/logs/", "admin").await;
    assert!(code == StatusCode::OK && page.contains("<a href=\"./syslog\">syslog</a>"), "{page}");
    let check = async |path, code, text| check(&stage, "admin", (Method::GET, path), (code, text)).await;
    check("/logs/syslog", StatusCode::OK, "of the node\n").await;
    for path in ["/logs/../secret", "/logs/%2e%2e/secret", "/logs/..%2fsecret", "/logs/leak", "/logs//etc/passwd"] {
        check(path, StatusCode::NOT_FOUND, "404 page not found\n").await;
    }
    let answer = wire.begin(Method::GET, "/logs/below", "admin").await;
    assert_eq!(
        (answer.status(), &answer.headers()["location"]),
        (StatusCode::MOVED_PERMANENTLY, &"below/".parse().unwrap())
    );
    stage.stop().await;
}

#[tokio::test]
async fn commands_are_run_and_their_output_told() {
    let stage = Stage::new().await;
    let check = async |path, code, text| check(&stage, "admin", (Method::POST, path), (code, text)).await;
    check("/run/default/web/app?cmd=echo%20a", StatusCode::OK, "echo a").await;
    let failed = "command terminated with exit code 3: fail";
    check("/run/default/web/app?cmd=fail", StatusCode::INTERNAL_SERVER_ERROR, failed).await;
    let none = "container not found (\"none\")";
    check("/run/default/web/none?cmd=a", StatusCode::INTERNAL_SERVER_ERROR, none).await;
    check("/run/default/none/app?cmd=a", StatusCode::NOT_FOUND, "pod does not exist").await;
    stage.stop().await;
}

#[tokio::test]
async fn the_certificate_can_be_replaced_while_the_server_runs() {
    let stage = Stage::new().await;
    let mut old = stage.wire().await;
    let other = stage.replace_certificate();
    let new = stage.wire().await;
    assert_ne!(old.shown, new.shown);
    assert_eq!(new.shown, other);
    assert_eq!(old.ask(Method::GET, "/healthz", "admin").await.0, StatusCode::OK, "what is open stays open");
    assert!(stage.serving.replace("nonsense", "nonsense").is_err());
    assert_eq!(stage.wire().await.shown, other, "what cannot be used is not shown");
    stage.stop().await;
}

#[tokio::test]
async fn no_more_connections_are_open_than_there_may_be() {
    let stage = Stage::with_limits(super::Limits { connections: 1, ..super::Limits::default() }).await;
    let mut first = stage.wire().await;
    assert_eq!(first.ask(Method::GET, "/healthz", "admin").await.0, StatusCode::OK);
    let mut second = Box::pin(stage.wire());
    let waits = futures::poll!(&mut second).is_pending();
    assert!(waits);
    assert_eq!(first.ask(Method::GET, "/healthz", "admin").await.0, StatusCode::OK);
    drop(first);
    let mut second: Wire = second.await;
    assert_eq!(second.ask(Method::GET, "/healthz", "admin").await.0, StatusCode::OK);
    stage.stop().await;
}

#[tokio::test]
async fn who_says_nothing_is_not_waited_for() {
    let short = std::time::Duration::from_millis(20);
    let limits = super::Limits { handshake_time: short, idle_time: short, ..super::Limits::default() };
    let stage = Stage::with_limits(limits).await;
    let mut silent = tokio::net::TcpStream::connect(stage.address()).await.unwrap();
    assert_eq!(stage::read_to_end(&mut silent).await, b"", "no handshake");
    let mut idle = stage.tls(false, &[b"http/1.1"]).await;
    assert_eq!(stage::read_to_end(&mut idle).await, b"", "no request");
    stage.stop().await;
}
