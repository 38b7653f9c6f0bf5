//! Health checks of Services, over real connections on the loopback interface.

use client::clock::Clock;
use client::events::{EventApi, WriteError};
use k8s_openapi::api::core::v1::Event;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::*;
use crate::metrics::Metrics;

fn service(spec: Value) -> Service {
    serde_json::from_value(json!({"metadata": {"name": "web", "namespace": "shop", "uid": "u"}, "spec": spec})).unwrap()
}

fn slice(family: &str, endpoints: Value) -> EndpointSlice {
    serde_json::from_value(json!({"metadata": {}, "addressType": family, "endpoints": endpoints})).unwrap()
}

#[test]
fn only_services_of_which_nodes_tell_apart_are_told_about() {
    let check = |change: fn(&mut Value), expected: Option<u16>| {
        let mut spec = json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": 32_000});
        change(&mut spec);
        assert_eq!(check_of(&service(spec), &[], "n").map(|check| check.port), expected);
    };
    check(|_| {}, Some(32_000));
    check(|spec| spec["type"] = json!("NodePort"), None);
    check(|spec| spec["externalTrafficPolicy"] = json!("Cluster"), None);
    check(|spec| spec["healthCheckNodePort"] = json!(0), None);
    check(|spec| spec["healthCheckNodePort"] = json!(null), None);
}

#[test]
fn pods_of_the_node_that_are_ready_count_once() {
    let at = |address: &str, node: &str, ready: Value| json!({"addresses": [address], "nodeName": node, "conditions": {"ready": ready}});
    let v4 = [at("1.1.1.1", "n", json!(true)), at("1.1.1.2", "n", json!(null)), at("1.1.1.3", "n", json!(false))];
    let others = [at("1.1.1.4", "m", json!(true)), at("1.1.1.1", "n", json!(true))];
    let slices = [
        slice("IPv4", json!(v4)),
        slice("IPv4", json!(others)),
        slice("IPv6", json!([at("fd00::1", "n", json!(true))])),
    ];
    let spec = json!({
        "type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": 1, "ipFamilies": ["IPv4", "IPv6"],
    });
    let slices: Vec<&EndpointSlice> = slices.iter().collect();
    let check = check_of(&service(spec), &slices, "n").unwrap();
    assert_eq!(check, Check { port: 1, endpoints: 2, uid: Some("u".to_owned()) });
}

/// Notes Events.
#[derive(Clone, Default)]
struct Noted(Arc<Mutex<Vec<Event>>>);

impl EventApi for Noted {
    async fn create(&self, event: &Event) -> Result<(), WriteError> {
        self.0.lock().push(event.clone());
        Ok(())
    }

    async fn patch(&self, _: &str, _: &str, _: &Value) -> Result<(), WriteError> {
        Ok(())
    }
}

/// The head and the body of what is answered, or nothing if nobody listens.
async fn ask(at: SocketAddr) -> Option<(String, String)> {
    let mut stream = TcpStream::connect(at).await.ok()?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: n\r\nConnection: close\r\n\r\n").await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.to_ascii_lowercase(), body.to_owned()))
}

/// Asks until the answer is as expected.
async fn until(at: SocketAddr, mut expected: impl FnMut(Option<&(String, String)>) -> bool) {
    while !expected(ask(at).await.as_ref()) {
        tokio::task::yield_now().await;
    }
}

fn check(port: u16, endpoints: usize) -> Option<Check> {
    Some(Check { port, endpoints, uid: Some("u".to_owned()) })
}

#[tokio::test]
async fn ports_are_opened_and_closed_as_services_change() {
    let events = Noted::default();
    let (recorder, recording) = Recorder::new(events.clone(), "kube-proxy", "n", Clock::Machine);
    let health = Health::new(Clock::Machine, Metrics::new());
    let checks = Checks::default();
    let mut tasks = JoinSet::new();
    tasks.spawn(recording);
    tasks.spawn(checks.clone().run(health.clone(), recorder, "n".to_owned()));
    let local: IpAddr = "127.0.0.1".parse().unwrap();
    let taken = TcpListener::bind((local, 0)).await.unwrap();
    let free = TcpListener::bind((local, 0)).await.unwrap();
    let (one, other) = (taken.local_addr().unwrap(), free.local_addr().unwrap());
    drop(free);

    checks.set("shop", "web", check(other.port(), 2));
    checks.listen_at(&[local]);
    until(other, |answer| answer.is_some()).await;
    let (head, body) = ask(other).await.unwrap();
    assert!(head.starts_with("http/1.1 200 ok") && head.contains("\r\nx-load-balancing-endpoint-weight: 2"), "{head}");
    assert!(head.contains("\r\ncontent-type: application/json\r\nx-content-type-options: nosniff"), "{head}");
    let expected = "{\n\t\"service\": {\n\t\t\"namespace\": \"shop\",\n\t\t\"name\": \"web\"\n\t},\n\t\
                    \"localEndpoints\": 2,\n\t\"serviceProxyHealthy\": true\n}";
    assert_eq!(body, expected);
    checks.set("shop", "web", check(other.port(), 0));
    until(other, |answer| answer.is_some_and(|(head, _)| head.starts_with("http/1.1 503"))).await;

    // A port that somebody has is said, and had once it is free.
    checks.set("shop", "api", check(one.port(), 1));
    while events.0.lock().is_empty() {
        tokio::task::yield_now().await;
    }
    let event = events.0.lock()[0].clone();
    assert_eq!(event.reason.as_deref(), Some("FailedToStartServiceHealthcheck"));
    assert_eq!(event.involved_object.name.as_deref(), Some("api"));
    let message = format!("node n failed to start healthcheck \"shop/api\" on port {}: ", one.port());
    assert!(event.message.as_ref().unwrap().starts_with(&message), "{event:?}");
    drop(taken);
    // Whatever changes has it tried at once.
    checks.set("shop", "more", check(other.port(), 1));
    until(one, |answer| answer.is_some()).await;

    // Another Service takes the port over.
    checks.set("shop", "web", None);
    until(other, |answer| answer.is_some_and(|(_, body)| body.contains("\"more\""))).await;
    checks.set("shop", "more", None);
    until(other, |answer| answer.is_none()).await;
    checks.listen_at(&[]);
    until(one, |answer| answer.is_none()).await;
}
