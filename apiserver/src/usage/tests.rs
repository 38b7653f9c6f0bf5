//! Figures of kubelets that say what they are told to.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::IpAddr;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::{Value, json};
use store::MemoryBackend;

use super::*;
use crate::admission::Admission;
use crate::authn::{Identity, MASTERS};
use crate::core::{Core, Parts};
use crate::engine::{Location, Surroundings};
use crate::proxy::{DialError, Endpoint, Stream, Transport};
use crate::resources::Config;
use crate::serve::{Limits, Local, system_clock, system_random};

/// Kubelets by their hosts, with what each says, and how often they were asked.
#[derive(Default)]
struct Kubelets {
    says: Mutex<BTreeMap<String, Value>>,
    asked: Mutex<Vec<String>>,
}

/// The transport to them.
struct To(Arc<Kubelets>);

impl Transport for To {
    fn connect(&self, endpoint: Endpoint) -> BoxFuture<'_, Result<Box<dyn Stream>, DialError>> {
        let kubelets = Arc::clone(&self.0);
        async move {
            let (near, far) = tokio::io::duplex(64 << 10);
            let service = service_fn(move |request: Request<hyper::body::Incoming>| {
                kubelets.asked.lock().push(format!("{} {}", endpoint.host, request.uri()));
                let says = kubelets.says.lock().get(&endpoint.host).cloned();
                async move {
                    // Those of whom nothing is known never answer.
                    let Some(says) = says else { return std::future::pending().await };
                    Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(says.to_string()))))
                }
            });
            tokio::spawn(async move {
                let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(far), service).await;
            });
            Ok(Box::new(near) as Box<dyn Stream>)
        }
        .boxed()
    }

    fn resolve(&self, _: String) -> BoxFuture<'_, io::Result<Vec<IpAddr>>> {
        async { Ok(Vec::new()) }.boxed()
    }
}

struct StandingStill;

impl Surroundings for StandingStill {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(1_772_366_400).unwrap()
    }

    fn random(&self) -> u64 {
        rand::random()
    }
}

struct Cluster {
    local: Local,
    kubelets: Arc<Kubelets>,
}

impl Cluster {
    /// With the nodes `n1`, `n2` and one that is not heard of, and the pods `a/p`, `a/q` and `b/p`.
    async fn start() -> Cluster {
        let kubelets = Arc::<Kubelets>::default();
        let core = Core::open(Parts {
            backend: Arc::new(MemoryBackend::new()),
            encryption: crate::encryption::Encryption::default(),
            alone: true,
            config: Config::default(),
            location: Location { ip: None, port: 6443 },
            address: ([127, 0, 0, 1], 6443).into(),
            tokens: None,
            oidc: None,
            issuer: None,
            proxy: Options { transport: Arc::new(To(Arc::clone(&kubelets))), ..Options::default() },
            admission: Admission::default(),
            limits: Limits::default(),
            surroundings: Arc::new(StandingStill),
            audit: None,
            clock: system_clock(),
            random: system_random(),
        });
        let groups = vec![MASTERS.to_owned()];
        let local = core.await.unwrap().local(Identity { user: "a".to_owned(), groups, ..Identity::default() });
        let cluster = Cluster { local, kubelets };
        for (name, ready) in [("n1", "True"), ("n2", "True"), ("lost", "Unknown")] {
            let node = json!({"metadata": {"name": name, "labels": {"is": name}}});
            cluster.send("POST", "/api/v1/nodes", Some(node)).await;
            let conditions = json!([{"type": "Ready", "status": ready}]);
            let status = json!({"addresses": [{"type": "Hostname", "address": name}], "conditions": conditions});
            cluster.send("PATCH", &format!("/api/v1/nodes/{name}/status"), Some(json!({"status": status}))).await;
        }
        for namespace in ["a", "b"] {
            cluster.send("POST", "/api/v1/namespaces", Some(json!({"metadata": {"name": namespace}}))).await;
            let accounts = format!("/api/v1/namespaces/{namespace}/serviceaccounts");
            cluster.send("POST", &accounts, Some(json!({"metadata": {"name": "default"}}))).await;
        }
        cluster
    }

    /// Makes a pod, and gives its uid.
    async fn pod(&self, namespace: &str, name: &str) -> String {
        let spec = json!({"containers": [{"name": "c", "image": "i"}]});
        let pod = json!({"metadata": {"name": name, "labels": {"app": name}}, "spec": spec});
        let (_, made) = self.send("POST", &format!("/api/v1/namespaces/{namespace}/pods"), Some(pod)).await;
        made["metadata"]["uid"].as_str().unwrap().to_owned()
    }

    async fn send(&self, method: &str, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        self.send_for(method, path, body, "application/json").await
    }

    async fn send_for(&self, method: &str, path: &str, body: Option<Value>, accept: &str) -> (StatusCode, Value) {
        let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        let request = Request::builder().method(method).uri(path).header("content-type", kind).header("accept", accept);
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let request = request.body(Full::new(Bytes::from(body))).unwrap();
        let mut local = self.local.clone();
        let answer = tower_service::Service::call(&mut local, request).await.unwrap();
        let code = answer.status();
        let bytes = answer.into_body().collect().await.unwrap().to_bytes();
        (code, serde_json::from_slice(&bytes).unwrap_or_else(|_| panic!("{path}: {bytes:?}")))
    }

    async fn get(&self, path: &str) -> Value {
        let (code, found) = self.send("GET", &format!("/apis/metrics.k8s.io/v1beta1/{path}"), None).await;
        assert_eq!(code, 200, "{path}: {found}");
        found
    }

    /// Has a kubelet say what it used until a second, in milliseconds of CPU time: its node and a container of each pod.
    fn say(&self, host: &str, second: i64, node: u64, pods: &[(&str, u64)]) {
        let time = Timestamp::from_second(second).unwrap().to_string();
        let usage = |name: &str, used: u64| {
            let cpu = json!({"time": time, "usageCoreNanoSeconds": used * 1_000_000});
            let memory = json!({"time": time, "workingSetBytes": used * 1024});
            json!({"name": name, "startTime": "1970-01-01T00:00:00Z", "cpu": cpu, "memory": memory})
        };
        let pod = |(uid, used): &(&str, u64)| json!({"podRef": {"name": "p", "namespace": "a", "uid": uid}, "containers": [usage("c", *used)]});
        let pods: Vec<Value> = pods.iter().map(pod).collect();
        let document = json!({"node": usage("node", node), "pods": pods});
        self.kubelets.says.lock().insert(host.to_owned(), document);
    }
}

fn names(list: &Value) -> Vec<&str> {
    list["items"].as_array().unwrap().iter().map(|item| item["metadata"]["name"].as_str().unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn what_kubelets_say_is_served() {
    let cluster = Cluster::start().await;
    let (p, q) = (cluster.pod("a", "p").await, cluster.pod("a", "q").await);
    cluster.say("n1", 100, 5_000, &[(&p, 1_000), ("gone", 7)]);
    cluster.say("n2", 100, 1_000, &[(&q, 500)]);
    let node = cluster.get("nodes/n1").await;
    let expected = json!({
        "kind": "NodeMetrics",
        "apiVersion": "metrics.k8s.io/v1beta1",
        "metadata": {"name": "n1", "creationTimestamp": "1970-01-01T00:01:40Z", "labels": {"is": "n1"}},
        "timestamp": "1970-01-01T00:01:40Z",
        "window": "1m40s",
        "usage": {"cpu": "50m", "memory": "5000Ki"},
    });
    assert_eq!(node, expected);
    assert_eq!(names(&cluster.get("nodes").await), ["n1", "n2"]);
    assert_eq!(names(&cluster.get("nodes?labelSelector=is=n2").await), ["n2"]);
    assert_eq!(names(&cluster.get("pods").await), ["p", "q"]);
    assert_eq!(names(&cluster.get("namespaces/a/pods?labelSelector=app=q").await), ["q"]);
    assert!(names(&cluster.get("namespaces/b/pods").await).is_empty());
    let pod = cluster.get("namespaces/a/pods/p").await;
    assert_eq!((&pod["kind"], &pod["metadata"]["namespace"]), (&json!("PodMetrics"), &json!("a")));
    assert_eq!(pod["containers"], json!([{"name": "c", "usage": {"cpu": "10m", "memory": "1000Ki"}}]));
    let mut asked = cluster.kubelets.asked.lock().clone();
    asked.sort();
    let line = |host: &str| format!("{host} /stats/summary?only_cpu_and_memory=true");
    assert_eq!(asked, [line("n1"), line("n2")], "once for all, and not who is not heard of");

    // Later they are asked again, and rates are of the time between.
    tokio::time::advance(FRESH).await;
    cluster.say("n1", 120, 7_000, &[(&p, 2_000)]);
    let node = cluster.get("nodes/n1").await;
    assert_eq!((&node["window"], &node["usage"]["cpu"]), (&json!("20s"), &json!("100m")));
    let list = json!(cluster.get("namespaces/a/pods").await["items"][0]["containers"][0]["usage"]["cpu"]);
    assert_eq!(list, "50m");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_known_is_missing() {
    let cluster = Cluster::start().await;
    let p = cluster.pod("a", "p").await;
    cluster.say("n1", 100, 5_000, &[(&p, 1_000)]);
    cluster.pod("b", "p").await;
    // n2 never answers, which holds up the others for a time only.
    assert_eq!(names(&cluster.get("nodes").await), ["n1"]);
    let check = async |path: &str, expected: &str| {
        let (code, found) = cluster.send("GET", &format!("/apis/metrics.k8s.io/v1beta1/{path}"), None).await;
        assert_eq!((code.as_u16(), found["message"].as_str().unwrap()), (404, expected));
    };
    check("nodes/n2", "nodemetrics.metrics.k8s.io \"n2\" not found").await;
    check("nodes/n3", "nodes \"n3\" not found").await;
    check("namespaces/b/pods/p", "podmetrics.metrics.k8s.io \"b/p\" not found").await;
    check("namespaces/b/pods/x", "pods \"x\" not found").await;
}

#[tokio::test(start_paused = true)]
async fn figures_are_found_and_shown_as_other_objects_are() {
    let cluster = Cluster::start().await;
    let p = cluster.pod("a", "p").await;
    cluster.say("n1", 100, 5_000, &[(&p, 1_000)]);
    let (_, served) = cluster.send("GET", "/apis/metrics.k8s.io/v1beta1", None).await;
    let resource = |name: &str, namespaced: bool, kind: &str| {
        json!({"name": format!("{name}s"), "singularName": name, "namespaced": namespaced, "kind": kind,
               "verbs": ["get", "list"]})
    };
    assert_eq!(
        served["resources"],
        json!([resource("node", false, "NodeMetrics"), resource("pod", true, "PodMetrics")])
    );
    let (_, service) =
        cluster.send("GET", "/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.metrics.k8s.io", None).await;
    assert_eq!(
        (&service["spec"]["groupPriorityMinimum"], &service["spec"]["versionPriority"]),
        (&json!(100), &json!(100))
    );

    let accept = "application/json;as=Table;v=v1;g=meta.k8s.io";
    let path = "/apis/metrics.k8s.io/v1beta1/namespaces/a/pods";
    let (_, table) = cluster.send_for("GET", path, None, accept).await;
    let columns = table["columnDefinitions"].as_array().unwrap();
    assert_eq!(columns.iter().map(|column| &column["name"]).collect::<Vec<_>>(), ["Name", "cpu", "memory", "Window"]);
    assert_eq!(table["rows"][0]["cells"], json!(["p", "10m", "1000Ki", "1m40s"]));
    let (code, _) = cluster.send("DELETE", &format!("{path}/p"), None).await;
    assert_eq!(code, 405);
    let (_, document) = cluster.send("GET", "/openapi/v3/apis/metrics.k8s.io/v1beta1", None).await;
    let schema = &document["components"]["schemas"]["io.k8s.metrics.v1beta1.NodeMetrics"];
    assert!(schema["description"].as_str().unwrap().starts_with("NodeMetrics is"), "{schema}");
    assert_eq!(schema["properties"]["usage"]["additionalProperties"]["type"], "string");
    for document in ["/openapi/v2", "/openapi/v3/apis/metrics.k8s.io/v1beta1"] {
        let (code, _) = cluster.send("GET", document, None).await;
        assert_eq!(code, 200, "{document}");
    }
}
