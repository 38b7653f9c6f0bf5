//! How long it takes to find out who asks and to decide whether they may, in a new cluster and in one with many roles; and what
//! that is of a whole request.

use std::convert::Infallible;
use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::SystemTime;

use apiserver::Admission;
use apiserver::authn::{ClientCertificates, DEFAULT_ISSUER, Identity, Issuer, PeerCertificate};
use apiserver::authz::{Attributes, Authorizer, CONTROLLER_MANAGER, Chain, NodeAuthorizer, Rbac, SCHEDULER};
use apiserver::core::{Core, Parts};
use apiserver::engine::{Engine, Location, Surroundings};
use apiserver::entry::{Objects, ROOT};
use apiserver::registry::Registry;
use apiserver::resources::{Config, register_all};
use apiserver::serve::{Limits, Local, system_clock, system_random};
use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use http::Request;
use http_body_util::{BodyExt, Full};
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use store::{Durability, Key, MemoryBackend, Store, StoreOptions};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use tower_service::Service;

struct Machine;

impl Surroundings for Machine {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn random(&self) -> u64 {
        rand::random()
    }
}

/// The authorizers of a cluster in which each of so many namespaces has ten bindings, one of them of the ServiceAccount `robot`.
async fn cluster(namespaces: u32) -> Chain {
    let registry = Arc::new(Registry::new());
    register_all(&registry, Config::default());
    let objects = Objects::new(Arc::clone(&registry));
    let backend = Arc::new(MemoryBackend::new());
    let store = Store::open(backend, objects, StoreOptions::default()).await.expect("a store");
    let engine = Engine::new(store.clone(), registry, Arc::new(Machine));
    engine.bootstrap().await.expect("namespaces");
    engine.bootstrap_born().await.expect("roles");
    for (namespace, number) in (0..namespaces).flat_map(|namespace| (0..10).map(move |number| (namespace, number))) {
        let subject = match number {
            0 => json!({"kind": "ServiceAccount", "name": "robot"}),
            _ => json!({"kind": "User", "name": format!("user-{number}"), "apiGroup": "rbac.authorization.k8s.io"}),
        };
        let binding = json!({
            "kind": "RoleBinding", "apiVersion": "rbac.authorization.k8s.io/v1",
            "metadata": {"name": format!("b-{number}"), "namespace": format!("n-{namespace}")},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:aggregate-to-edit"},
            "subjects": [subject],
        });
        let key = format!("{ROOT}rbac.authorization.k8s.io/rolebindings/n-{namespace}/b-{number}");
        let key = Key::new(&key).expect("a key");
        store.create(key, binding.to_string().into(), Durability::Flushed).await.expect("a binding");
    }
    let nodes = NodeAuthorizer::follow(store.clone(), CancellationToken::new()).await.expect("pods");
    Chain::of_cluster(nodes, Rbac::follow(store, CancellationToken::new()).await.expect("roles"))
}

fn somebody(user: &str, groups: &[&str]) -> Identity {
    let groups = groups.iter().map(|group| (*group).to_owned()).collect();
    Identity { user: user.to_owned(), groups, ..Identity::default() }
}

fn asked(method: &str, uri: &str) -> Attributes {
    let request = http::Request::builder().method(method).uri(uri).body(()).expect("a request");
    Attributes::of_request(&request.into_parts().0)
}

fn decide(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let robot = ["system:serviceaccounts", "system:serviceaccounts:n-0", "system:authenticated"];
    let subjects = [
        ("administrator", somebody("admin", &["system:masters"]), asked("GET", "/api/v1/pods")),
        ("scheduler", somebody(SCHEDULER, &[]), asked("POST", "/api/v1/namespaces/n-0/pods/p/binding")),
        (
            "controllers",
            somebody(CONTROLLER_MANAGER, &[]),
            asked("PUT", "/apis/apps/v1/namespaces/n-0/replicasets/r/status"),
        ),
        (
            "account",
            somebody("system:serviceaccount:n-0:robot", &robot),
            asked("PUT", "/api/v1/namespaces/n-0/configmaps/c"),
        ),
        ("stranger", somebody("eve", &["system:authenticated"]), asked("GET", "/api/v1/namespaces/n-0/secrets/s")),
    ];
    for namespaces in [1, 1000] {
        let chain = runtime.block_on(cluster(namespaces));
        let mut group = criterion.benchmark_group(format!("may, with {} bindings", namespaces * 10));
        for (name, identity, attributes) in &subjects {
            group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
                bencher.iter(|| black_box(chain.authorize(black_box(identity), black_box(attributes))));
            });
        }
        group.finish();
    }
    let uri = "/apis/apps/v1/namespaces/n-0/replicasets/r/status";
    criterion.bench_function("what is asked", |bencher| bencher.iter(|| black_box(asked("PUT", black_box(uri)))));
}

/// A whole server of this process.
struct Whole {
    core: Core,
}

impl Whole {
    async fn start() -> Whole {
        let key = rcgen::KeyPair::generate().expect("a key").serialize_der();
        let core = Core::open(Parts {
            backend: Arc::new(MemoryBackend::new()),
            encryption: apiserver::encryption::Encryption::default(),
            alone: true,
            config: Config::default(),
            location: Location { ip: None, port: 6443 },
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 6443)),
            tokens: None,
            oidc: None,
            issuer: Some(Issuer::new(DEFAULT_ISSUER, &key).expect("a key")),
            proxy: apiserver::proxy::Options::default(),
            admission: Admission::default(),
            limits: Limits::default(),
            surroundings: Arc::new(Machine),
            audit: None,
            clock: system_clock(),
            random: system_random(),
        });
        Whole { core: core.await.expect("it starts") }
    }

    fn by(&self, identity: Identity) -> Local {
        self.core.local(identity)
    }

    async fn make(&self, path: &str, object: Value) -> Value {
        let mut administrator = self.by(somebody("admin", &["system:masters"]));
        let (code, answer) = ask(&mut administrator, "POST", path, object.to_string()).await;
        assert_eq!(code, 201, "{path}");
        serde_json::from_slice(&answer).expect("an object")
    }
}

async fn ask(local: &mut Local, method: &str, path: &str, body: String) -> (u16, Bytes) {
    let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    let request = request.body(Full::new(Bytes::from(body))).expect("a request");
    let answer: Result<_, Infallible> = local.call(request).await;
    let answer = answer.expect("an answer");
    let code = answer.status().as_u16();
    (code, answer.into_body().collect().await.expect("a body").to_bytes())
}

/// A certificate of an authority, as a server has read it when a client has shown it.
fn certified(user: &str) -> (ClientCertificates, rustls::pki_types::CertificateDer<'static>) {
    let key = rcgen::KeyPair::generate().expect("a key");
    let mut parameters = rcgen::CertificateParams::default();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = parameters.self_signed(&key).expect("an authority");
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority.der().clone()).expect("an authority");
    let issuer = rcgen::Issuer::from_params(&parameters, &key);
    let mut parameters = rcgen::CertificateParams::default();
    parameters.distinguished_name.push(rcgen::DnType::CommonName, user);
    parameters.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let own = parameters.signed_by(&rcgen::KeyPair::generate().expect("a key"), &issuer).expect("a certificate");
    (ClientCertificates::new(roots).expect("an authority"), own.der().clone())
}

fn know(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let whole = runtime.block_on(Whole::start());
    let namespace = "/api/v1/namespaces/default";
    let accounts = format!("{namespace}/serviceaccounts");
    let token = runtime.block_on(async {
        let account = json!({"kind": "ServiceAccount", "apiVersion": "v1", "metadata": {"name": "robot"}});
        whole.make(&accounts, account).await;
        let asked = json!({"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "spec": {}});
        let issued = whole.make(&format!("{accounts}/robot/token"), asked).await;
        issued["status"]["token"].as_str().expect("a token").to_owned()
    });
    let authenticators = &whole.core.access().authenticators;
    let (clients, certificate) = certified("jane");
    let now = SystemTime::now();
    let peer = clients.judge(std::slice::from_ref(&certificate), now);
    let authenticate = |peer: &PeerCertificate, token: Option<&str>| {
        let mut request = Request::builder().uri("/api/v1/pods");
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let mut parts = request.body(()).expect("a request").into_parts().0;
        futures::executor::block_on(authenticators.authenticate(&mut parts, peer, now)).expect("known")
    };
    let mut group = criterion.benchmark_group("who asks");
    group.bench_function("certificate, once a connection", |bencher| {
        bencher.iter(|| black_box(clients.judge(std::slice::from_ref(black_box(&certificate)), now)));
    });
    group.bench_function("certificate, each request", |bencher| bencher.iter(|| authenticate(black_box(&peer), None)));
    group.bench_function("token of an account", |bencher| {
        bencher.iter(|| authenticate(&PeerCertificate::default(), Some(black_box(&token))));
    });
    group.finish();

    // Whoever is in `system:masters` passes no role and no queue, as everybody did before there were any.
    let robot = somebody("system:serviceaccount:default:robot", &["system:serviceaccounts", "system:authenticated"]);
    let roles = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings";
    runtime.block_on(async {
        whole.make(&format!("{namespace}/configmaps"), json!({"metadata": {"name": "c"}, "data": {"a": "b"}})).await;
        let role =
            json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:aggregate-to-view"});
        let subjects = json!([{"kind": "ServiceAccount", "name": "robot", "namespace": "default"}]);
        whole.make(roles, json!({"metadata": {"name": "robot"}, "roleRef": role, "subjects": subjects})).await;
    });
    let path = format!("{namespace}/configmaps/c");
    let mut group = criterion.benchmark_group("a request that reads");
    for (name, identity) in [("by an administrator", somebody("admin", &["system:masters"])), ("by an account", robot)]
    {
        let mut local = whole.by(identity);
        // Roles follow what is written.
        let may = (0..10_000).any(|_| runtime.block_on(ask(&mut local, "GET", &path, String::new())).0 == 200);
        assert!(may, "{name}: nothing was read");
        group.bench_function(name, |bencher| {
            bencher.iter(|| runtime.block_on(ask(&mut local, "GET", black_box(&path), String::new())));
        });
    }
    group.finish();
    runtime.block_on(whole.core.close());
}

criterion_group!(benches, know, decide);
criterion_main!(benches);
