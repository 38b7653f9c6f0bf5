//! Cases of policies, and of what is written about requests that pass a whole server.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use store::MemoryBackend;

use super::policy::{Level, Policy, Stage};
use super::*;
use crate::authn::{Identity, MASTERS};
use crate::authz::Attributes;
use crate::core::{Core, Parts};
use crate::engine::{Location, Surroundings};
use crate::resources::Config;
use crate::serve::{Limits, Local, system_clock, system_random};

fn policy(rules: &str) -> String {
    format!("apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules:\n{rules}")
}

fn asked(verb: &str, what: &str, namespace: &str, name: &str) -> Attributes {
    let (group, rest) = what.split_once(':').unwrap_or_default();
    let (resource, subresource) = rest.split_once('/').unwrap_or((rest, ""));
    let [verb, group, resource, subresource, namespace, name] =
        [verb, group, resource, subresource, namespace, name].map(str::to_owned);
    Attributes { verb, group, resource, subresource, namespace, name, ..Attributes::default() }
}

fn path(path: &str) -> Attributes {
    Attributes { verb: "get".to_owned(), path: path.to_owned(), ..Attributes::default() }
}

#[test]
fn the_first_rule_that_matches_decides() {
    let policy = Policy::parse(&policy(
        "
- {level: None, users: [probe], verbs: [get, list]}
- {level: RequestResponse, userGroups: [ops], omitStages: [ResponseStarted], omitManagedFields: true}
- {level: None, nonResourceURLs: ['/healthz*', /version]}
- {level: Request, resources: [{resources: ['pods/*']}, {group: apps, resources: [deployments], resourceNames: [web]}]}
- {level: RequestResponse, resources: [{resources: ['*/status', secrets]}], namespaces: [a, '']}
- {level: Metadata, resources: [{group: batch}]}
- {level: Metadata, nonResourceURLs: ['*']}
",
    ))
    .unwrap();
    let check = |user: &str, groups: &[&str], asked: Attributes, expected: Level| {
        let groups = groups.iter().map(|group| (*group).to_owned()).collect();
        let identity = Identity { user: user.to_owned(), groups, ..Identity::default() };
        assert_eq!(policy.wanted(Some(&identity), &asked).level, expected, "{user} {asked:?}");
    };
    check("probe", &["ops"], asked("get", ":secrets", "a", "s"), Level::None);
    check("probe", &["ops"], asked("delete", ":secrets", "a", "s"), Level::RequestResponse);
    check("ann", &[], path("/healthz/etcd"), Level::None);
    check("ann", &[], path("/version"), Level::None);
    check("ann", &[], path("/version/"), Level::Metadata);
    check("ann", &[], asked("get", ":pods", "a", "p"), Level::Request);
    check("ann", &[], asked("create", ":pods/exec", "a", "p"), Level::Request);
    check("ann", &[], asked("get", "apps:deployments", "a", "web"), Level::Request);
    check("ann", &[], asked("get", "apps:deployments", "a", "other"), Level::None);
    check("ann", &[], asked("update", ":nodes/status", "", "n"), Level::RequestResponse);
    check("ann", &[], asked("get", ":nodes", "", "n"), Level::None);
    check("ann", &[], asked("get", ":secrets", "b", "s"), Level::None);
    check("ann", &[], asked("get", "batch:jobs/status", "b", "j"), Level::Metadata);
    // Nobody in particular is in no group and has no name.
    assert_eq!(policy.wanted(None, &path("/metrics")).level, Level::Metadata);
    let ops = Identity { groups: vec!["ops".to_owned()], ..Identity::default() };
    let wanted = policy.wanted(Some(&ops), &path("/metrics"));
    assert_eq!(
        (wanted.omit_stages, wanted.omit_managed_fields),
        (vec![Stage::RequestReceived, Stage::ResponseStarted], true)
    );
}

#[test]
fn what_is_wrong_with_a_policy_is_told_by_its_place() {
    let check = |text: &str, field: &str, why: &str| {
        let (at, told) = Policy::parse(text).unwrap_err();
        assert_eq!(at, field, "{told}");
        assert!(told.contains(why), "{told}");
    };
    check(
        "kind: Policy\napiVersion: audit.k8s.io/v1beta1\nrules: [{level: None}]",
        "apiVersion",
        "must be audit.k8s.io/v1",
    );
    check("kind: Event\napiVersion: audit.k8s.io/v1\nrules: [{level: None}]", "kind", "must be Policy");
    check("kind: Policy\napiVersion: audit.k8s.io/v1", "rules", "there are none");
    check(&policy("- {level: Some}"), "rules[0]", "unknown variant `Some`");
    check(&policy("- {level: None}\n- {level: None, user: [a]}"), "rules[1]", "unknown field `user`");
    check(&policy("- {verbs: [get]}"), "rules[0].level", "is required");
    check(&policy("- {level: None, nonResourceURLs: [healthz]}"), "rules[0].nonResourceURLs[0]", "begin with a '/'");
    check(&policy("- {level: None, nonResourceURLs: ['/a*b']}"), "rules[0].nonResourceURLs[0]", "final character");
    check(&policy("- {level: None, nonResourceURLs: [/a], namespaces: [b]}"), "rules[0].nonResourceURLs", "both");
    check(
        &policy("- {level: None, resources: [{resourceNames: [a]}]}"),
        "rules[0].resources[0].resourceNames",
        "at least one",
    );
    check(
        &policy("- {level: None, resources: [{group: apps/v1}]}"),
        "rules[0].resources[0].group",
        "without a version",
    );
    let missing = Policy::read(Path::new("/nowhere/policy.yaml")).unwrap_err();
    assert!(missing.to_string().starts_with("/nowhere/policy.yaml: "), "{missing}");
}

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

#[tokio::test]
async fn requests_leave_events() {
    let directory = tempfile::tempdir().unwrap();
    let (file, path) = (directory.path().join("policy.yaml"), directory.path().join("logs/audit.log"));
    let rules = "
- {level: RequestResponse, omitManagedFields: true, resources: [{resources: [configmaps]}]}
- {level: Metadata, resources: [{resources: [secrets]}]}
";
    std::fs::write(&file, policy(rules).replace("omitStages: [RequestReceived]\n", "")).unwrap();
    let log = LogOptions { path: path.clone(), rotation: Rotation::default() };
    let audit = Audit::open(&Options { policy_file: Some(file), log: Some(log) }).unwrap();
    let core = Core::open(Parts {
        backend: Arc::new(MemoryBackend::new()),
        alone: true,
        config: Config::default(),
        location: Location { ip: None, port: 6443 },
        address: ([127, 0, 0, 1], 6443).into(),
        tokens: None,
        oidc: None,
        issuer: None,
        proxy: crate::proxy::Options::default(),
        limits: Limits::default(),
        surroundings: Arc::new(Now),
        audit,
        clock: system_clock(),
        random: system_random(),
    });
    let core = core.await.unwrap();
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

#[test]
fn logs_that_are_full_are_put_aside() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.log");
    std::fs::write(directory.path().join("audit-of-another.log"), "x").unwrap();
    let rotation = Rotation { max_size: 1, max_backup: 2, max_age: 0, compress: true };
    let figures = Figures::default();
    let log = Log::open(&LogOptions { path: path.clone(), rotation }, figures.clone()).unwrap();
    let line = vec![b'x'; 600 << 10];
    for _ in 0..5 {
        log.write(line.clone());
    }
    // More than may wait at a time.
    log.write(vec![b'x'; 65 << 20]);
    drop(log);
    let mut names: Vec<String> = std::fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".gz"))
        .collect();
    names.sort_unstable();
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(directory.path().join("audit-of-another.log").exists());
    assert_eq!(std::fs::metadata(path).unwrap().len(), 600 << 10);
    assert_eq!(figures.lost.get_or_create(&OfPlugin { plugin: "log" }).get(), 1);
}
