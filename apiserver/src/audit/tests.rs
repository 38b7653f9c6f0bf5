//! What is written about requests that pass a whole server.

mod log;
mod pipeline;
mod policy;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use store::MemoryBackend;

use super::*;
use crate::admission::Admission;
use crate::authn::{Identity, MASTERS};
use crate::core::{Core, Parts};
use crate::engine::{Location, Surroundings};
use crate::resources::Config;
use crate::serve::{Limits, Local, system_clock, system_random};

struct Now;

impl Surroundings for Now {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(1_772_366_400).unwrap()
    }

    fn random(&self) -> u64 {
        rand::random()
    }
}

async fn send(core: &Core, request: Request<String>) -> (StatusCode, Bytes) {
    let groups = vec![MASTERS.to_owned()];
    let identity = Identity { user: "root".to_owned(), groups, ..Identity::default() };
    let mut local: Local = core.local(identity);
    let request = request.map(|body| Full::new(Bytes::from(body)));
    let answer = tower_service::Service::call(&mut local, request).await.unwrap();
    let code = answer.status();
    (code, answer.into_body().collect().await.unwrap().to_bytes())
}

async fn core(audit: Option<Arc<Audit>>) -> Core {
    let core = Core::open(Parts {
        backend: Arc::new(MemoryBackend::new()),
        alone: true,
        config: Config::default(),
        location: Location { ip: None, port: 6443 },
        address: ([127, 0, 0, 1], 6443).into(),
        encryption: crate::encryption::Encryption::default(),
        tokens: None,
        oidc: None,
        issuer: None,
        proxy: crate::proxy::Options::default(),
        admission: Admission::default(),
        limits: Limits::default(),
        surroundings: Arc::new(Now),
        audit,
        clock: system_clock(),
        random: system_random(),
    });
    core.await.unwrap()
}

#[tokio::test]
async fn requests_leave_events() {
    let directory = tempfile::tempdir().unwrap();
    let (file, path) = (directory.path().join("policy.yaml"), directory.path().join("logs/audit.log"));
    let rules = "
- {level: RequestResponse, omitManagedFields: true, resources: [{resources: [configmaps]}]}
- {level: Metadata, resources: [{resources: [secrets]}]}
";
    std::fs::write(&file, format!("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:{rules}")).unwrap();
    let log = LogOptions { path: path.clone(), ..LogOptions::default() };
    let audit = Audit::open(&Options { policy_file: Some(file), log: Some(log) }).unwrap();
    let core = core(audit).await;
    let maps = "/api/v1/namespaces/default/configmaps";
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"a": "b"}});
    let request = |method: &str, path: &str| {
        let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
        request.header("user-agent", "test/1").header("x-forwarded-for", "10.0.0.1, nobody")
    };
    let post = request("POST", maps).header("audit-id", "one").body(map.to_string()).unwrap();
    assert_eq!(send(&core, post).await.0, 201);
    let secret = request("GET", "/api/v1/namespaces/default/secrets/s").header("impersonate-user", "ann");
    assert_eq!(send(&core, secret.body(String::new()).unwrap()).await.0, 403);
    assert_eq!(send(&core, request("GET", "/api/v1/nodes").body(String::new()).unwrap()).await.0, 200);
    let (_, metrics) = send(&core, request("GET", "/metrics").body(String::new()).unwrap()).await;
    let metrics = String::from_utf8(metrics.to_vec()).unwrap();
    assert!(metrics.contains("apiserver_audit_event_total 4"), "{metrics}");
    // The last who can write ends, and with that everything is written.
    drop(core);
    let text = std::fs::read_to_string(path).unwrap();
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let stages: Vec<&str> = events.iter().map(|event| event["stage"].as_str().unwrap()).collect();
    assert_eq!(stages, ["RequestReceived", "ResponseComplete", "RequestReceived", "ResponseComplete"]);
    let made = &events[1];
    assert_eq!(
        (&made["auditID"], &made["kind"], &made["level"]),
        (&json!("one"), &json!("Event"), &json!("RequestResponse"))
    );
    assert_eq!((&made["verb"], &made["requestURI"]), (&json!("create"), &json!(maps)));
    assert_eq!(
        (&made["user"]["username"], &made["userAgent"], &made["sourceIPs"]),
        (&json!("root"), &json!("test/1"), &json!(["10.0.0.1"]))
    );
    assert_eq!(
        made["objectRef"],
        json!({"resource": "configmaps", "namespace": "default", "name": "m", "apiVersion": "v1"})
    );
    assert_eq!(made["responseStatus"], json!({"metadata": {}, "code": 201}));
    assert_eq!(made["requestObject"], map);
    assert_eq!(made["responseObject"]["data"], json!({"a": "b"}));
    assert_eq!(made["annotations"]["authorization.k8s.io/decision"], "allow");
    assert_eq!(made["requestReceivedTimestamp"].as_str().unwrap().len(), "2026-03-01T12:00:00.000000Z".len());
    let refused = &events[3];
    assert_eq!(
        (&refused["user"]["username"], &refused["impersonatedUser"]["username"]),
        (&json!("root"), &json!("ann"))
    );
    assert_eq!(
        (&refused["responseStatus"]["reason"], &refused["responseStatus"]["code"]),
        (&json!("Forbidden"), &json!(403))
    );
    assert_eq!(refused["annotations"]["authorization.k8s.io/decision"], "forbid");
    assert_eq!((refused.get("requestObject"), refused.get("responseObject")), (None, None));
}
