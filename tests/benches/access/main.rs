//! How long it takes to decide whether somebody may do something, in a new cluster and in one with many roles.

use std::hint::black_box;
use std::sync::Arc;

use apiserver::authn::Identity;
use apiserver::authz::{Attributes, Authorizer, CONTROLLER_MANAGER, Chain, NodeAuthorizer, Rbac, SCHEDULER};
use apiserver::engine::{Engine, Surroundings};
use apiserver::entry::{Objects, ROOT};
use apiserver::registry::Registry;
use apiserver::resources::{Config, register_all};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use k8s_openapi::jiff::Timestamp;
use serde_json::json;
use store::{Durability, Key, MemoryBackend, Store, StoreOptions};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

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

criterion_group!(benches, decide);
criterion_main!(benches);
