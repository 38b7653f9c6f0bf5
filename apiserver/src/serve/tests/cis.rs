//! The checks of the CIS Kubernetes Benchmark that a program can make of a server, and that `docs/cis.md` says something of every
//! check.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::*;
use crate::admission::Admission;
use crate::audit::{Level, Policy};
use crate::authn::MASTERS;
use crate::authz::Attributes;
use crate::server::{Kubelets, Options, Server as Whole, StoreChoice};

const DOCUMENT: &str = include_str!("../../../../docs/cis.md");

/// How many checks each section of the benchmark has.
const SECTIONS: [(&str, usize); 16] = [
    ("1.1", 21),
    ("1.2", 30),
    ("1.3", 7),
    ("1.4", 2),
    ("2", 7),
    ("3.1", 3),
    ("3.2", 2),
    ("4.1", 10),
    ("4.2", 15),
    ("4.3", 1),
    ("5.1", 13),
    ("5.2", 13),
    ("5.3", 2),
    ("5.4", 2),
    ("5.5", 1),
    ("5.6", 4),
];

/// The rows of the document: the check, the word, and the reason.
fn rows() -> Vec<(&'static str, &'static str, &'static str)> {
    let cells = DOCUMENT.lines().filter(|line| line.starts_with("| ")).map(|line| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 5, "{line}");
        (cells[1], cells[2], cells[3])
    });
    cells.filter(|(check, ..)| check.starts_with(|first: char| first.is_ascii_digit())).collect()
}

#[test]
fn every_check_is_answered_once_and_in_order() {
    let wanted = SECTIONS.iter().flat_map(|(section, count)| (1..=*count).map(move |n| format!("{section}.{n}")));
    let found: Vec<&str> = rows().iter().map(|(check, ..)| *check).collect();
    assert_eq!(found, wanted.collect::<Vec<_>>());
    for (check, word, how) in rows() {
        assert!(["tested", "met", "yours", "none", "open"].contains(&word), "{check}: {word:?}");
        assert!(word == "yours" || !how.is_empty(), "{check} has no reason");
    }
}

/// What check 3.2.2 names: that secrets are not written down, and that changes and ways into pods are.
#[test]
fn the_policy_to_begin_with_covers_what_the_benchmark_names() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/audit-policy.yaml");
    let policy = Policy::read(&file).unwrap();
    let ann = Identity { user: "ann".to_owned(), ..Identity::default() };
    let check = |method: &str, path: &str, expected: Level| {
        let (parts, ()) = Request::builder().method(method).uri(path).body(()).unwrap().into_parts();
        assert_eq!(policy.level(Some(&ann), &Attributes::of_request(&parts)), expected, "{method} {path}");
    };
    for method in ["GET", "POST", "DELETE"] {
        check(method, "/api/v1/namespaces/a/secrets", Level::Metadata);
        check(method, "/api/v1/namespaces/a/configmaps", Level::Metadata);
    }
    check("POST", "/apis/authentication.k8s.io/v1/tokenreviews", Level::Metadata);
    check("POST", "/api/v1/namespaces/a/serviceaccounts/b/token", Level::Metadata);
    check("PATCH", "/api/v1/namespaces/a/pods/b", Level::Request);
    check("PUT", "/apis/apps/v1/namespaces/a/deployments/b", Level::Request);
    for way in ["pods/b/exec", "pods/b/portforward", "pods/b/proxy", "services/b/proxy"] {
        check("POST", &format!("/api/v1/namespaces/a/{way}"), Level::Metadata);
    }
    check("GET", "/api/v1/namespaces/a/pods", Level::Metadata);
    check("GET", "/livez", Level::None);
}

/// A server that nobody has changed, and what has been checked of it.
struct Checked {
    server: Whole,
    directory: tempfile::TempDir,
    done: BTreeSet<&'static str>,
}

/// Who asks, over the network.
#[derive(Clone, Copy)]
enum With<'a> {
    Nothing,
    Token(&'a str),
    Pair(&'a PemPair),
}

impl Checked {
    async fn start() -> Checked {
        let directory = tempfile::tempdir().unwrap();
        let options = Options {
            data_dir: directory.path().join("data"),
            listen: ([127, 0, 0, 1], 0).into(),
            advertise: Vec::new(),
            store: StoreChoice::Embedded,
            encryption: None,
            token_auth_file: None,
            audit: crate::audit::Options::default(),
            oidc: None,
            kubelets: Kubelets::default(),
            extend_tokens: true,
            admission: Admission::default(),
            limits: Limits::default(),
            services: crate::resources::service::Config::default(),
            ready: None,
        };
        Checked { server: Whole::start(options).await.unwrap(), directory, done: BTreeSet::new() }
    }

    /// Says that checks hold if `holds`.
    fn check(&mut self, checks: &[&'static str], holds: bool, seen: &dyn std::fmt::Debug) {
        assert!(holds, "{checks:?}: {seen:?}");
        self.done.extend(checks);
    }

    /// What somebody is answered who asks over the network.
    async fn get(&self, with: With<'_>, path: &str) -> (u16, String) {
        let pair = if let With::Pair(pair) = with { Some(pair) } else { None };
        let roots = self.server.authority().roots().unwrap();
        let stream = connect_tls(self.server.ready().address, roots, Http::Two, pair).await;
        let (send, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let token = if let With::Token(token) = with { format!("Bearer {token}") } else { String::new() };
        let headers = [("authorization", token.as_str())];
        let headers = if token.is_empty() { &[][..] } else { &headers[..] };
        let (status, _, body) = Client::Two(send).send(request("GET", path, 0, headers)).await.unwrap();
        (status.as_u16(), text(&body).to_owned())
    }

    /// Asks as the administrator.
    async fn admin(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        self.ask(("admin", MASTERS), method, path, body).await
    }

    /// Asks as a node.
    async fn node(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        self.ask(("system:node:own", "system:nodes"), method, path, body).await
    }

    async fn ask(&self, (user, group): (&str, &str), method: &str, path: &str, body: Value) -> (u16, Value) {
        let identity = Identity { user: user.to_owned(), groups: vec![group.to_owned()], ..Identity::default() };
        let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
        let request = request.body(Full::new(Bytes::from(body.to_string()))).unwrap();
        let answer = tower_service::Service::call(&mut self.server.core().local(identity), request).await.unwrap();
        let code = answer.status().as_u16();
        let bytes = answer.into_body().collect().await.unwrap().to_bytes();
        (code, serde_json::from_slice(&bytes).unwrap_or_default())
    }

    fn files(&mut self) {
        let data = self.directory.path().join("data");
        let owner = std::fs::metadata("/proc/self").unwrap().uid();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o777;
        self.check(&["1.1.11"], mode(&data) == 0o700, &mode(&data));
        let pki = data.join("pki");
        self.check(&["1.1.19"], mode(&pki) == 0o700, &mode(&pki));
        let files = everything_below(&data);
        // The lock has nothing in it.
        let private = |path: &PathBuf| !path.is_file() || path.ends_with("lock") || mode(path) & 0o077 == 0;
        let open: Vec<_> = files.iter().filter(|path| !private(path)).collect();
        self.check(&["1.1.11", "1.1.20", "1.1.21", "4.1.7"], open.is_empty(), &open);
        let others: Vec<_> = files.iter().filter(|path| std::fs::metadata(path).unwrap().uid() != owner).collect();
        let owned = ["1.1.12", "1.1.14", "1.1.16", "1.1.18", "1.1.19", "4.1.4", "4.1.8"];
        self.check(&owned, others.is_empty(), &others);
        for (check, name) in [
            ("1.1.13", "admin.kubeconfig"),
            ("1.1.15", "scheduler.kubeconfig"),
            ("1.1.17", "controller-manager.kubeconfig"),
            ("4.1.3", "proxy.kubeconfig"),
            ("1.1.20", "pki/ca.crt"),
            ("1.1.21", "pki/ca.key"),
            ("1.2.22", "pki/sa.key"),
            ("1.2.24", "pki/apiserver.crt"),
            ("1.2.24", "pki/apiserver.key"),
        ] {
            let path = data.join(name);
            self.check(&[check], mode(&path) == 0o600, &(path.clone(), mode(&path)));
        }
    }

    async fn strangers(&mut self) {
        for path in ["/healthz", "/livez", "/readyz", "/version"] {
            let seen = self.get(With::Nothing, path).await;
            self.check(&["1.2.1"], seen.0 == 200, &seen);
        }
        for path in
            ["/", "/api", "/apis", "/metrics", "/healthz/etcd", "/api/v1/pods", "/openapi/v2", "/openid/v1/jwks"]
        {
            let seen = self.get(With::Nothing, path).await;
            self.check(&["1.2.1"], seen.0 == 401, &(path, &seen));
        }
        let other = start(Limits::default()).await;
        let seen = self.get(With::Pair(other.authority.admin()), "/api").await;
        self.check(&["1.2.25"], seen.0 == 401, &seen);
        let admin = self.server.authority().admin().clone();
        let seen = self.get(With::Pair(&admin), "/debug/pprof/").await;
        self.check(&["1.2.15"], seen.0 == 404, &seen);
        let seen = self.get(With::Pair(&admin), "/api").await;
        self.check(&["1.2.25"], seen.0 == 200, &seen);
    }

    async fn accounts(&mut self) {
        let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
        let seen = self.admin("POST", "/api/v1/namespaces/default/pods", pod).await;
        let missing =
            seen.1["message"].as_str().is_some_and(|why| why.contains("serviceaccount \"default\" not found"));
        self.check(&["1.2.12"], seen.0 == 403 && missing, &seen);
        let map = json!({"metadata": {"name": "x"}});
        let seen = self.admin("POST", "/api/v1/namespaces/nowhere/configmaps", map).await;
        self.check(&["1.2.13"], seen.0 == 404, &seen);
        let accounts = "/api/v1/namespaces/default/serviceaccounts";
        self.admin("POST", accounts, json!({"metadata": {"name": "robot"}})).await;
        let (_, issued) = self.admin("POST", &format!("{accounts}/robot/token"), json!({"spec": {}})).await;
        let token = issued["status"]["token"].as_str().unwrap().to_owned();
        for path in ["/api/v1/pods", "/api/v1/namespaces/default/configmaps", "/metrics"] {
            let seen = self.get(With::Token(&token), path).await;
            self.check(&["1.2.6", "1.2.8"], seen.0 == 403, &seen);
        }
        let seen = self.get(With::Token(&token), "/api").await;
        self.check(&["1.2.21"], seen.0 == 200, &seen);
        self.admin("DELETE", &format!("{accounts}/robot"), json!({})).await;
        let seen = self.get(With::Token(&token), "/api").await;
        self.check(&["1.2.21"], seen.0 == 401, &seen);
    }

    async fn nodes(&mut self) {
        let label = "node-restriction.kubernetes.io/trusted";
        let node = json!({"metadata": {"name": "own", "labels": {label: "yes"}}});
        let seen = self.node("POST", "/api/v1/nodes", node).await;
        let why = seen.1["message"].as_str().is_some_and(|why| why.contains(label));
        self.check(&["1.2.14"], seen.0 == 403 && why, &seen);
        let seen = self.node("POST", "/api/v1/nodes", json!({"metadata": {"name": "own"}})).await;
        self.check(&["1.2.14"], seen.0 == 201, &seen);
        let seen = self.node("POST", "/api/v1/nodes", json!({"metadata": {"name": "other"}})).await;
        self.check(&["1.2.14"], seen.0 == 403, &seen);
        for path in ["/api/v1/secrets", "/api/v1/namespaces/default/secrets/s", "/api/v1/pods"] {
            let seen = self.node("GET", path, Value::Null).await;
            self.check(&["1.2.7"], seen.0 == 403, &(path, &seen));
        }
        let seen = self.node("GET", "/api/v1/pods?fieldSelector=spec.nodeName%3Down", Value::Null).await;
        self.check(&["1.2.7"], seen.0 == 200, &seen);
    }

    async fn secrets(&mut self) {
        let secret = json!({"metadata": {"name": "s"}, "stringData": {"word": "never in plain sight"}});
        let seen = self.admin("POST", "/api/v1/namespaces/default/secrets", secret).await;
        self.check(&["1.2.27"], seen.0 == 201, &seen);
        let map = json!({"metadata": {"name": "m"}, "data": {"word": "for all to see"}});
        let seen = self.admin("POST", "/api/v1/namespaces/default/configmaps", map).await;
        self.check(&["1.2.27"], seen.0 == 201, &seen);
        let data = self.directory.path().join("data");
        let files = everything_below(&data).into_iter().filter(|path| path.is_file());
        let files: Vec<Vec<u8>> = files.map(|path| std::fs::read(path).unwrap()).collect();
        let holds = |bytes: &[u8]| files.iter().any(|file| file.windows(bytes.len()).any(|part| part == bytes));
        let seen = (holds(b"bmV2ZXIgaW4gcGxhaW4gc2lnaHQ"), holds(b"never in plain sight"), holds(b"for all to see"));
        self.check(&["1.2.27"], seen == (false, false, true), &seen);
        self.check(&["1.2.28"], holds(b"k8s:enc:aesgcm:v1:"), &"the form of what is stored");
    }

    async fn roles(&mut self) {
        let group = "/apis/rbac.authorization.k8s.io/v1";
        let (_, bindings) = self.admin("GET", &format!("{group}/clusterrolebindings"), Value::Null).await;
        let (_, roles) = self.admin("GET", &format!("{group}/clusterroles"), Value::Null).await;
        let subjects = |binding: &Value| -> Vec<String> {
            let subjects = binding["subjects"].as_array().into_iter().flatten();
            subjects.map(|subject| subject["name"].as_str().unwrap().to_owned()).collect()
        };
        let bound = |role: &str| -> BTreeSet<String> {
            let all = bindings["items"].as_array().unwrap().iter();
            all.filter(|binding| binding["roleRef"]["name"] == role).flat_map(subjects).collect()
        };
        let admins = bound("cluster-admin");
        self.check(&["5.1.1"], admins.iter().eq(["system:masters"]), &admins);
        let may = |verbs: &[&str], resources: &[&str]| -> BTreeSet<&str> {
            let has = |rule: &Value, field: &str, wanted: &[&str]| {
                let listed = rule[field].as_array().into_iter().flatten();
                listed.filter_map(Value::as_str).any(|listed| wanted.contains(&listed))
            };
            let may = |role: &&Value| {
                let mut rules = role["rules"].as_array().into_iter().flatten();
                rules.any(|rule| has(rule, "verbs", verbs) && has(rule, "resources", resources))
            };
            let names = roles["items"].as_array().unwrap().iter().filter(may);
            names
                .map(|role| role["metadata"]["name"].as_str().unwrap())
                .filter(|role| !bound(role).is_empty())
                .collect()
        };
        let everything = may(&["*"], &["*"]);
        self.check(&["5.1.3"], everything.iter().eq(&["cluster-admin"]), &everything);
        let hand_out =
            may(&["bind", "impersonate", "escalate", "*"], &["*", "users", "groups", "roles", "clusterroles"]);
        let expected = ["cluster-admin", "system:controller:clusterrole-aggregation-controller"];
        self.check(&["5.1.8"], hand_out.iter().eq(&expected), &hand_out);
        let parts = ["cluster-admin", "system:kube-controller-manager", "system:node"];
        let readers = may(&["get", "list", "watch", "*"], &["secrets", "*"]);
        let others: Vec<_> =
            readers.iter().filter(|role| !parts.contains(role) && !role.starts_with("system:controller:")).collect();
        self.check(&["5.1.2"], others.is_empty(), &others);
    }
}

fn everything_below(path: &Path) -> Vec<PathBuf> {
    let mut found = vec![path.to_owned()];
    if path.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            found.extend(everything_below(&entry.unwrap().path()));
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_said_to_be_tested_is_tested() {
    let mut checked = Checked::start().await;
    checked.files();
    checked.strangers().await;
    checked.accounts().await;
    checked.nodes().await;
    checked.secrets().await;
    checked.roles().await;
    let said: BTreeSet<&str> =
        rows().iter().filter(|(_, word, _)| *word == "tested").map(|(check, ..)| *check).collect();
    assert_eq!(checked.done, said);
    checked.server.stop().await;
}
