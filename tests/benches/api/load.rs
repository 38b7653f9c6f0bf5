//! Requests of one sort from many connections, each sending its next when it has its answer.

use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::{Method, StatusCode};

use crate::connection::{Connection, Target};
use crate::server::ORDINARY;

/// How many objects a list has.
const LISTED: usize = 500;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// One object.
    Get,
    /// A namespace of [`LISTED`] objects.
    List,
    /// A new object.
    Post,
    /// A merge patch of one object for each connection.
    Patch,
}

/// A ConfigMap of about 0.65 KB as it is stored.
pub(crate) fn config_map(name: &str) -> Bytes {
    let payload = "x".repeat(256);
    let text = format!(
        r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"{name}"}},"data":{{"seq":"0","payload":"{payload}"}}}}"#
    );
    text.into()
}

/// Makes a namespace and returns the path of its ConfigMaps.
pub(crate) async fn namespace(target: &Target, name: &str) -> String {
    let body = format!(r#"{{"apiVersion":"v1","kind":"Namespace","metadata":{{"name":"{name}"}}}}"#);
    let mut connection = Connection::open(target).await;
    let (code, _) = connection.ask(&Method::POST, "/api/v1/namespaces", "application/json", body.into()).await;
    assert_eq!(code, StatusCode::CREATED, "a namespace is made");
    format!("/api/v1/namespaces/{name}/configmaps")
}

/// Lets who is nobody in particular do everything, by a role.
pub(crate) async fn bind_ordinary(target: &Target) {
    let body = format!(
        r#"{{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRoleBinding","metadata":{{"name":"{ORDINARY}"}},
            "roleRef":{{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"cluster-admin"}},
            "subjects":[{{"apiGroup":"rbac.authorization.k8s.io","kind":"User","name":"{ORDINARY}"}}]}}"#
    );
    let mut connection = Connection::open(target).await;
    let path = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
    let (code, _) = connection.ask(&Method::POST, path, "application/json", body.into()).await;
    assert_eq!(code, StatusCode::CREATED, "a binding is made");
    // It has effect as soon as the server has read it in its watch.
    let mut ordinary = Connection::open(&target.as_ordinary()).await;
    let allowed =
        async { while ordinary.ask(&Method::GET, path, "", Bytes::new()).await.0 == StatusCode::FORBIDDEN {} };
    tokio::time::timeout(Duration::from_secs(10), allowed).await.expect("the binding has effect");
}

/// Creates ConfigMaps of these names, over a few connections.
pub(crate) async fn create(target: &Target, path: &str, names: Vec<String>) {
    let mut tasks = Vec::new();
    for names in names.chunks(names.len().div_ceil(16)) {
        let (target, path, names) = (target.clone(), path.to_owned(), names.to_vec());
        tasks.push(tokio::spawn(async move {
            let mut connection = Connection::open(&target).await;
            for name in names {
                let (code, _) = connection.ask(&Method::POST, &path, "application/json", config_map(&name)).await;
                assert_eq!(code, StatusCode::CREATED, "{name}");
            }
        }));
    }
    for task in tasks {
        task.await.expect("created");
    }
}

/// Measures requests a second in a namespace of this name, and says that with percentiles of how long they took.
pub(crate) async fn measure(
    target: &Target,
    name: &str,
    operation: Operation,
    connections: usize,
    time: Duration,
) -> (f64, String) {
    let path = namespace(target, &name.replace(", ", "-").replace(' ', "-")).await;
    let names = match operation {
        Operation::Get => vec!["one".to_owned()],
        Operation::List => (0..LISTED).map(|number| format!("cm-{number:05}")).collect(),
        Operation::Post => Vec::new(),
        Operation::Patch => (0..connections).map(|number| format!("cm-{number}")).collect(),
    };
    if !names.is_empty() {
        create(target, &path, names).await;
    }
    let begin = Instant::now() + time / 10;
    let end = begin + time;
    let mut tasks = Vec::new();
    for number in 0..connections {
        let (target, path) = (target.clone(), path.clone());
        tasks.push(tokio::spawn(async move {
            let mut connection = Connection::open(&target).await;
            let (mut times, mut bytes) = (Vec::new(), 0);
            for round in 0.. {
                let (method, path, media_type, body) = request(operation, &path, number, round);
                let sent = Instant::now();
                if sent >= end {
                    break;
                }
                let (code, size) = connection.ask(&method, &path, media_type, body).await;
                assert!(code.is_success(), "{method} {path}: {code}");
                if sent >= begin {
                    times.push(sent.elapsed());
                    bytes += size;
                }
            }
            (times, bytes)
        }));
    }
    let (mut times, mut bytes) = (Vec::new(), 0);
    for task in tasks {
        let (of_one, size) = task.await.expect("the load goes on");
        times.extend(of_one);
        bytes += size;
    }
    let elapsed = begin.elapsed().as_secs_f64();
    let rate = count(times.len()) / elapsed;
    let size = bytes / times.len().max(1);
    (rate, format!("{rate:.0}/s, {}, {size} bytes an answer", percentiles(&mut times)))
}

fn request(operation: Operation, path: &str, number: usize, round: usize) -> (Method, String, &'static str, Bytes) {
    match operation {
        Operation::Get => (Method::GET, format!("{path}/one"), "", Bytes::new()),
        Operation::List => (Method::GET, path.to_owned(), "", Bytes::new()),
        Operation::Post => {
            let body = config_map(&format!("cm-{number:03}-{round:08}"));
            (Method::POST, path.to_owned(), "application/json", body)
        }
        Operation::Patch => {
            let body = format!(r#"{{"data":{{"seq":"{round}"}}}}"#);
            (Method::PATCH, format!("{path}/cm-{number}"), "application/merge-patch+json", body.into())
        }
    }
}

/// `p50 1.2 ms, p99 3.4 ms`.
pub(crate) fn percentiles(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let at = |percent: usize| {
        let time = times.get(times.len().saturating_sub(1) * percent / 100).copied().unwrap_or_default();
        time.as_secs_f64() * 1e3
    };
    format!("p50 {:.2} ms, p99 {:.2} ms", at(50), at(99))
}

/// A count as a figure.
#[allow(clippy::cast_precision_loss, reason = "no count here comes near 2^52")]
pub(crate) fn count(number: usize) -> f64 {
    number as f64
}
