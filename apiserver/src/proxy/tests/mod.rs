//! A whole server on loopback, between real clients and a kubelet that tells what it was asked.

mod access;
mod kubelet;
mod server;
mod streams;

use http::StatusCode;
use serde_json::{Value, json};

use server::{Server, send, send_body};

const POD: &str = "/api/v1/namespaces/default/pods";

#[tokio::test]
async fn logs_come_from_the_kubelet_of_the_pod() {
    let server = Server::start().await;
    server.pod("p", &["a", "b"], Some("box")).await;
    server.pod("single", &["only"], Some("box")).await;
    server.pod("waiting", &["a"], None).await;
    let check = async |path: &str, code: u16, expected: &str| {
        let (found, headers, body) = send(&server, "GET", &format!("{POD}/{path}"), &[]).await;
        assert_eq!((found.as_u16(), body.contains(expected)), (code, true), "{path}: {body}");
        headers
    };
    let headers = check("p/log?container=b&tailLines=7", 200, "GET /containerLogs/default/p/b?tailLines=7").await;
    assert_eq!(headers["content-type"], "text/plain");
    assert!(!headers.contains_key("x-of-kubelet"), "{headers:?}");
    assert_eq!(server.kubelet.last().client, "kube-apiserver-kubelet-client system:authenticated");
    check("single/log", 200, "GET /containerLogs/default/single/only").await;
    check("waiting/log", 204, "").await;
    check("p/log", 400, "a container name must be specified for pod p, choose one of: [a b]").await;
    check("p/log?container=x", 400, "container x is not valid for pod p").await;
    check("p/log?container=a&tailLines=-1", 422, "tailLines: Invalid value: -1").await;
    check("none/log", 404, "pods \\\"none\\\" not found").await;
    for (kubelets, code, expected) in [
        (400, 400, "previous terminated container"),
        (404, 404, "the server could not find the requested resource ( pods/log single)"),
        (500, 500, "Internal error occurred: previous terminated container"),
        (302, 500, "redirects forbidden"),
    ] {
        server.kubelet.answer_with(kubelets);
        check("single/log", code, expected).await;
    }
}

#[tokio::test]
async fn a_log_arrives_as_it_grows() {
    let server = Server::start().await;
    server.pod("p", &["a"], Some("box")).await;
    let (mut lines, writer) = server.follow(&format!("{POD}/p/log?follow=true")).await;
    for line in ["one\n", "two\n"] {
        writer.send(line).unwrap();
        assert_eq!(lines.next().await.as_deref(), Some(line), "before there is another");
    }
    drop(writer);
    assert_eq!(lines.next().await, None);
    // And ends when the server stops, whatever the kubelet does.
    let (mut lines, _writer) = server.follow(&format!("{POD}/p/log?follow=true")).await;
    server.stop();
    assert_eq!(lines.next().await, None);
}

#[tokio::test]
async fn kubelets_are_called_at_addresses_that_they_prove() {
    let server = Server::start().await;
    let check = async |node: &str, query: &str, code: u16, expected: &str| {
        server.pod(&format!("on-{node}"), &["a"], Some(node)).await;
        let (found, _, body) = send(&server, "GET", &format!("{POD}/on-{node}/log{query}"), &[]).await;
        assert_eq!(found.as_u16(), code, "{node}: {body}");
        assert!(body.contains(expected), "{node}: {body}");
    };
    let port = server.kubelet.port;
    let node = async |name: &str, addresses: Value| server.node(name, addresses, port).await;
    // Its certificate is for 127.0.0.1 and `box`, which cannot be looked up here.
    node("named", json!([{"type": "InternalIP", "address": "no-such-host.invalid"}, {"type": "Hostname", "address": "127.0.0.1"}]))
        .await;
    check("named", "", 200, "/containerLogs/default/on-named/a").await;
    node("other", json!([{"type": "InternalIP", "address": "127.0.0.2"}])).await;
    check("other", "", 500, "tls: invalid peer certificate").await;
    send(&server, "DELETE", &format!("{POD}/on-other?gracePeriodSeconds=0"), &[]).await;
    check("other", "?insecureSkipTLSVerifyBackend=true", 200, "/containerLogs/default/on-other/a").await;
    node("nowhere", json!([])).await;
    check("nowhere", "", 500, "node nowhere has no address of a preferred type (InternalIP, ExternalIP").await;
    check("unknown", "", 404, "nodes \\\"unknown\\\" not found").await;
    server.node("closed", json!([{"type": "InternalIP", "address": "127.0.0.1"}]), server.closed_port().await).await;
    check("closed", "", 500, "dial tcp 127.0.0.1:").await;
}

#[tokio::test]
async fn nodes_are_asked_with_any_method_and_path() {
    let server = Server::start().await;
    let check = async |method: &str, path: &str, expected: &str| {
        let (code, _, body) = send_body(&server, method, path, &[], "said").await;
        assert_eq!(code, 200, "{path}: {body}");
        assert_eq!(body.lines().next().unwrap_or_default(), expected);
    };
    check("GET", "/api/v1/nodes/box/proxy/stats/summary?only=1", "GET /stats/summary?only=1").await;
    check("POST", "/api/v1/nodes/box/proxy/run", "POST /run").await;
    check("PUT", "/api/v1/nodes/box/proxy/a%2Fb/", "PUT /a%2Fb/").await;
    check("DELETE", "/api/v1/nodes/box/proxy/../x", "DELETE /x").await;
    check("OPTIONS", "/api/v1/nodes/box/proxy/x", "OPTIONS /x").await;
    let own_port = server.kubelet.port;
    check("GET", &format!("/api/v1/nodes/box:{own_port}/proxy/pods?watch=1"), "GET /pods?watch=1").await;
    check("GET", &format!("/api/v1/nodes/https:box:{own_port}/proxy/pods"), "GET /pods").await;
    assert_eq!(server.kubelet.last().client, "kube-apiserver-kubelet-client system:authenticated");

    let check = async |method: &str, path: &str, code: u16, expected: &str| {
        let (found, headers, body) = send(&server, method, path, &[]).await;
        assert_eq!(found.as_u16(), code, "{path}: {body}");
        let place = headers.get("location").map(|place| place.to_str().unwrap()).unwrap_or_default();
        assert!(body.contains(expected) || place == expected, "{path}: {body} {place}");
    };
    check("GET", "/api/v1/nodes/box/proxy?a=b", 301, "/api/v1/nodes/box/proxy/?a=b").await;
    check("GET", "/api/v1/nodes/box:8080/proxy/", 400, "address not allowed").await;
    check("GET", "/api/v1/nodes/ftp:box:1/proxy/", 400, "invalid node request \\\"ftp:box:1\\\"").await;
    check("GET", "/api/v1/nodes/none/proxy/", 404, "nodes \\\"none\\\" not found").await;
    check("GET", "/api/v1/namespaces/default/nodes/box/proxy/", 404, "").await;
}

#[tokio::test]
async fn pods_and_services_are_asked_at_their_addresses() {
    let server = Server::start().await;
    server.pod("p", &["a"], Some("box")).await;
    server.give_address("p", "10.8.0.7").await;
    server.pod("local", &["a"], Some("box")).await;
    server.give_address("local", "127.0.0.1").await;
    server.service("web", "p", "10.8.0.7").await;
    server.service("stale", "p", "10.8.0.9").await;
    let check = async |path: &str, code: u16, expected: &str| {
        let (found, _, body) = send(&server, "GET", &format!("/api/v1/namespaces/default/{path}"), &[]).await;
        assert_eq!((found.as_u16(), body.contains(expected)), (code, true), "{path}: {body}");
    };
    check("pods/p/proxy/x?y=z", 200, "GET /x?y=z").await;
    assert_eq!(server.asked_last(), "http://10.8.0.7:8080");
    check("pods/p:9/proxy/", 200, "GET /").await;
    assert_eq!(server.asked_last(), "http://10.8.0.7:9");
    check("pods/https:p:9/proxy/", 200, "GET /").await;
    assert_eq!(server.asked_last(), "https://10.8.0.7:9");
    check("pods/local/proxy/", 400, "address not allowed").await;
    check("pods/none/proxy/", 404, "pods \\\"none\\\" not found").await;
    check("services/web:http/proxy/a", 200, "GET /a").await;
    assert_eq!(server.asked_last(), "http://10.8.0.7:8080");
    check("services/https:web:80/proxy/a", 200, "GET /a").await;
    assert_eq!(server.asked_last(), "https://10.8.0.7:8080");
    check("services/web/proxy/a", 503, "no endpoints available for service \\\"web\\\"").await;
    check("services/web:81/proxy/a", 503, "no service port 81 found for service \\\"web\\\"").await;
    check("services/stale:http/proxy/a", 503, "no endpoints available for service \\\"stale\\\"").await;
    check("services/none:80/proxy/a", 404, "services \\\"none\\\" not found").await;
}

#[tokio::test]
async fn what_is_said_of_clients_and_connections_goes_no_further() {
    let server = Server::start().await;
    server.pod("p", &["a"], Some("box")).await;
    server.give_address("p", "10.8.0.7").await;
    let own = [("x-mine", "1"), ("authorization", "Bearer x"), ("te", "trailers"), ("x-remote-user", "root")];
    let path = format!("{POD}/p/proxy/deep/");
    let (code, headers, _) = send(&server, "GET", &path, &own).await;
    assert_eq!(code, StatusCode::OK);
    assert!(headers.contains_key("x-of-kubelet") && !headers.contains_key("access-control-allow-origin"));
    let asked = server.kubelet.last();
    let said = |name: &str| asked.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    assert_eq!(said("x-mine").as_deref(), Some("1"));
    assert_eq!(said("x-forwarded-uri").as_deref(), Some(path.as_str()));
    assert_eq!(said("x-forwarded-for").as_deref(), Some("127.0.0.1"));
    assert_eq!(said("host").as_deref(), Some("kubernetes"));
    assert_eq!(asked.client, "", "only kubelets are shown who we are");
    for gone in ["authorization", "te", "x-remote-user"] {
        assert_eq!(said(gone), None, "{gone}");
    }
    let (code, headers, _) = send(&server, "GET", &format!("{POD}/p/proxy/redirect"), &[]).await;
    assert_eq!(code, StatusCode::FOUND, "redirects are for the client to follow");
    assert_eq!(headers["location"], format!("{POD}/p/proxy/elsewhere"));
}

#[tokio::test]
async fn uploads_are_not_collected() {
    let server = Server::start().await;
    // More than a body may have that is for the server itself.
    let large = "x".repeat(8 << 20);
    let (code, _, body) = send_body(&server, "POST", "/api/v1/nodes/box/proxy/upload", &[], &large).await;
    assert_eq!((code, body.lines().last()), (StatusCode::OK, Some("8388608")));
}
