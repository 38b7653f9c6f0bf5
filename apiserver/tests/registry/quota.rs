//! ResourceQuotas hold however many ask at a time, and however many servers they ask.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::StreamExt;
use futures::future::join_all;
use http::Method;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::harness::{Ask, Server};

const QUOTAS: &str = "/api/v1/namespaces/default/resourcequotas";
const QUOTA: &str = "/api/v1/namespaces/default/resourcequotas/q";
const STATUS: &str = "/api/v1/namespaces/default/resourcequotas/q/status";
const PODS: &str = "/api/v1/namespaces/default/pods";

/// A server with a quota of which nothing is used, as its controller has counted.
async fn server(hard: &Value) -> Server {
    let server = Server::start().await;
    server.add_account("default").await;
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": hard}});
    server.json(Ask::post(QUOTAS, &quota)).await;
    let used: BTreeMap<&String, &str> = hard.as_object().unwrap().keys().map(|name| (name, "0")).collect();
    let status = json!({"status": {"hard": hard, "used": used}});
    server.json(Ask::patch(STATUS, &status)).await;
    server
}

fn pod(name: &str, cpu: u32) -> Value {
    let resources = json!({"requests": {"cpu": cpu.to_string()}, "limits": {"cpu": cpu.to_string()}});
    let container = json!({"name": "c", "image": "i", "resources": resources, "resizePolicy": []});
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": [container]}})
}

async fn used(server: &Server) -> Value {
    server.json(Ask::get(QUOTA)).await["status"]["used"].clone()
}

#[tokio::test]
async fn what_does_not_fit_is_refused() {
    let server =
        server(&json!({"pods": "2", "requests.cpu": "5", "count/configmaps": "1", "services.nodeports": "1"})).await;
    server.json(Ask::post(PODS, &pod("a", 2))).await;
    assert_eq!(used(&server).await["requests.cpu"], "2");
    let refusal = server.refusal(Ask::post(PODS, &pod("b", 4))).await;
    assert_eq!(
        (refusal.code, &*refusal.message),
        (
            403,
            "pods \"b\" is forbidden: exceeded quota: q, requested: requests.cpu=4, used: requests.cpu=2, limited: requests.cpu=5"
        )
    );
    server.json(Ask::post(PODS, &pod("b", 1))).await;
    let refusal = server.refusal(Ask::post(PODS, &pod("c", 1))).await;
    assert!(refusal.message.ends_with("exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2"));
    let mut bare = pod("c", 1);
    bare["spec"]["containers"][0]["resources"] = json!({});
    let refusal = server.refusal(Ask::post(PODS, &bare)).await;
    assert!(refusal.message.ends_with("failed quota: q: must specify requests.cpu for: c"), "{}", refusal.message);
    // Resizing takes more, too.
    let resize = |cpu: &str| {
        let resources = json!({"requests": {"cpu": cpu}, "limits": {"cpu": cpu}});
        json!([
            {"op": "replace", "path": "/spec/containers/0/resources", "value": resources},
        ])
    };
    let ask = |patch: &Value| Ask {
        media_type: crate::harness::JSON_PATCH,
        body: patch.to_string().into(),
        ..Ask::new(Method::PATCH, "/api/v1/namespaces/default/pods/a/resize")
    };
    let refusal = server.refusal(ask(&resize("5"))).await;
    assert!(refusal.message.contains("requested: requests.cpu=3, used: requests.cpu=3"), "{}", refusal.message);
    server.json(ask(&resize("4"))).await;
    assert_eq!(
        used(&server).await,
        json!({"pods": "2", "requests.cpu": "5", "count/configmaps": "0", "services.nodeports": "0"})
    );

    let services = "/api/v1/namespaces/default/services";
    let service = |ports: Value| json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"type": "NodePort", "ports": ports}});
    let refusal = server
        .refusal(Ask::post(services, &service(json!([{"name": "a", "port": 1}, {"name": "b", "port": 2}]))))
        .await;
    assert!(refusal.message.contains("requested: services.nodeports=2"), "{}", refusal.message);
    server.json(Ask::post(services, &service(json!([{"name": "a", "port": 1}])))).await;
    let maps = "/api/v1/namespaces/default/configmaps";
    let map = |name: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
    server.json(Ask::post(maps, &map("a")).query("dryRun=All")).await;
    assert_eq!(used(&server).await["count/configmaps"], "0");
    server.json(Ask::post(maps, &map("a"))).await;
    let refusal = server.refusal(Ask::post(maps, &map("b")).query("dryRun=All")).await;
    assert!(refusal.message.contains("requested: count/configmaps=1, used: count/configmaps=1"), "{}", refusal.message);
}

#[tokio::test]
async fn what_fails_is_given_back() {
    let server = server(&json!({"count/configmaps": "9"})).await;
    let maps = "/api/v1/namespaces/default/configmaps";
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}});
    server.json(Ask::post(maps, &map)).await;
    assert_eq!(server.refusal(Ask::post(maps, &map)).await.code, 409);
    assert_eq!(used(&server).await["count/configmaps"], "1");
}

#[tokio::test]
async fn a_count_that_is_too_low_is_refused() {
    let server = server(&json!({"count/configmaps": "9"})).await;
    let maps = "/api/v1/namespaces/default/configmaps";
    for name in ["a", "b"] {
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
        server.json(Ask::post(maps, &map)).await;
    }
    let status = |used: &str| json!({"status": {"used": {"count/configmaps": used}}});
    assert_eq!(server.refusal(Ask::patch(STATUS, &status("1"))).await.code, 409);
    server.ask(Ask::delete(&format!("{maps}/a"))).await.unwrap();
    server.json(Ask::patch(STATUS, &status("1"))).await;
}

#[tokio::test]
async fn writes_that_wait_are_charged_together() {
    const WRITES: usize = 64;
    let server = server(&json!({"count/configmaps": "60"})).await;
    let before = server.revision();
    let creates = (0..WRITES).map(|i| {
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("m{i}")}});
        let server = &server;
        async move { server.ask(Ask::post("/api/v1/namespaces/default/configmaps", &map)).await.is_ok() }
    });
    let made = join_all(creates).await.into_iter().filter(|made| *made).count();
    assert_eq!((made, used(&server).await["count/configmaps"].as_str().unwrap()), (60, "60"));
    // Every object is a revision; all that was charged is one.
    assert_eq!(server.revision().0 - before.0, 60 + 1);
}

/// What one of several clients does: makes pods, and deletes some of those that it made.
async fn client(server: Arc<Server>, name: String, steps: Vec<(u32, bool)>) -> usize {
    let (mut mine, mut events) = (Vec::new(), 0);
    for (i, (cpu, deletes)) in steps.into_iter().enumerate() {
        if deletes && !mine.is_empty() {
            let path: String = mine.remove(0);
            server.ask(Ask::delete(&path)).await.unwrap();
            events += 1;
        }
        let pod = pod(&format!("{name}-{i}"), cpu);
        match server.ask(Ask::post(PODS, &pod)).await {
            Ok(_) => {
                mine.push(format!("{PODS}/{name}-{i}"));
                events += 1;
            }
            Err(status) => assert!(matches!(status.code, 403 | 409), "{}", status.message),
        }
        tokio::task::yield_now().await;
    }
    events
}

/// What a controller does: counts what it sees, and then writes that. Until `left` clients are done, and once more.
async fn controller(server: Arc<Server>, left: Arc<AtomicUsize>) {
    loop {
        let last = left.load(Ordering::SeqCst) == 0;
        // It sees pods first and the quota later, which is the order that could do harm.
        let pods = server.json(Ask::get(PODS)).await;
        tokio::task::yield_now().await;
        let mut quota = server.json(Ask::get(QUOTA)).await;
        let pods = pods["items"].as_array().unwrap();
        let cpu: u64 = pods.iter().map(cpu).sum();
        quota["status"]["used"] = json!({"pods": pods.len().to_string(), "requests.cpu": cpu.to_string()});
        let written = server.ask(Ask::put(STATUS, &quota)).await;
        if last && written.is_ok() {
            return;
        }
        tokio::task::yield_now().await;
    }
}

fn cpu(pod: &Value) -> u64 {
    pod["spec"]["containers"][0]["resources"]["requests"]["cpu"].as_str().unwrap().parse().unwrap()
}

/// Runs clients over `servers` that share a store, and replays what happened.
async fn check(clients: Vec<Vec<(u32, bool)>>, servers: usize, with_controller: bool) {
    const PODS_AT_MOST: usize = 6;
    const CPU_AT_MOST: u64 = 12;
    let first = server(&json!({"pods": PODS_AT_MOST.to_string(), "requests.cpu": CPU_AT_MOST.to_string()})).await;
    let start = first.revision();
    let mut all = vec![Arc::new(first)];
    all.extend((1..servers).map(|_| Arc::new(all[0].beside())).collect::<Vec<_>>());
    let left = Arc::new(AtomicUsize::new(clients.len()));
    let counting = with_controller.then(|| tokio::spawn(controller(Arc::clone(&all[0]), Arc::clone(&left))));
    let tasks: Vec<_> = clients
        .into_iter()
        .enumerate()
        .map(|(i, steps)| {
            let (server, left) = (Arc::clone(&all[i % servers]), Arc::clone(&left));
            tokio::spawn(async move {
                let events = client(server, format!("c{i}"), steps).await;
                left.fetch_sub(1, Ordering::SeqCst);
                events
            })
        })
        .collect();
    let mut events = 0;
    for task in tasks {
        events += task.await.unwrap();
    }
    if let Some(counting) = counting {
        counting.await.unwrap();
    }
    // The model: pods by name, in the order in which they came and went.
    let mut frames = all[0].watch(PODS, &format!("resourceVersion={start}")).await;
    let mut model: BTreeMap<String, u64> = BTreeMap::new();
    while events > 0 {
        let frame = frames.next().await.unwrap();
        for event in serde_json::Deserializer::from_slice(&frame).into_iter::<Value>() {
            let event = event.unwrap();
            let name = event["object"]["metadata"]["name"].as_str().unwrap().to_owned();
            match event["type"].as_str().unwrap() {
                "ADDED" => assert_eq!(model.insert(name, cpu(&event["object"])), None),
                "DELETED" => assert!(model.remove(&name).is_some()),
                _ => continue,
            }
            events -= 1;
            assert!(model.len() <= PODS_AT_MOST && model.values().sum::<u64>() <= CPU_AT_MOST, "{model:?}");
        }
    }
    let used = used(&all[0]).await;
    let number = |name: &str| used[name].as_str().unwrap().parse::<u64>().unwrap();
    let there = (model.len() as u64, model.values().sum::<u64>());
    if with_controller {
        assert_eq!((number("pods"), number("requests.cpu")), there);
    } else {
        assert!(number("pods") >= there.0 && number("requests.cpu") >= there.1);
    }
}

fn clients() -> impl Strategy<Value = Vec<Vec<(u32, bool)>>> {
    proptest::collection::vec(proptest::collection::vec((1_u32..5, any::<bool>()), 4..12), 2..6)
}

fn run(check: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(3).enable_all().build().unwrap();
    runtime.block_on(check);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn no_limit_is_ever_exceeded(clients in clients()) {
        run(check(clients, 1, true));
    }

    #[test]
    fn no_limit_is_ever_exceeded_over_two_servers(clients in clients()) {
        run(check(clients, 2, false));
    }
}
