//! What the rules cost in a large cluster: 5,000 Services with ten endpoints each.
//!
//! `cargo bench -p proxy --bench rules` measures having all of them from nothing, and a change of one of them among all:
//! an endpoint that comes or goes, and a Service that comes or goes.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use nft::Prefix;
use proxy::rules::{Node, Rules};
use serde_json::json;

const SERVICES: usize = 5000;
const ENDPOINTS: usize = 10;

fn service(number: usize) -> Service {
    let ip = format!("10.96.{}.{}", number / 250, number % 250 + 1);
    let object = json!({
        "metadata": {"creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {
            "type": "NodePort",
            "clusterIP": ip,
            "clusterIPs": [ip],
            "ports": [{"name": "web", "protocol": "TCP", "port": 80, "nodePort": 30000 + number}],
        },
    });
    serde_json::from_value(object).expect("it is a Service")
}

fn slice(number: usize, endpoints: usize) -> EndpointSlice {
    let endpoints: Vec<_> = (0..endpoints)
        .map(|endpoint| {
            let all = number * ENDPOINTS + endpoint;
            json!({"addresses": [format!("10.{}.{}.{}", 128 + all / 62500, all / 250 % 250, all % 250 + 1)]})
        })
        .collect();
    let object = json!({
        "metadata": {},
        "addressType": "IPv4",
        "endpoints": endpoints,
        "ports": [{"name": "web", "protocol": "TCP", "port": 8080}],
    });
    serde_json::from_value(object).expect("it is a slice")
}

fn node() -> Node {
    Node {
        name: "node".to_owned(),
        addresses: vec![[192, 168, 0, 1].into()],
        pods: Prefix::new([10, 128, 0, 0].into(), 24).into_iter().collect(),
        ..Node::default()
    }
}

fn rules(criterion: &mut Criterion) {
    let all: Vec<_> =
        (0..SERVICES).map(|number| (number.to_string(), service(number), slice(number, ENDPOINTS))).collect();
    let full = || {
        let mut rules = Rules::new(node());
        for (name, service, slice) in &all {
            rules.set("default", name, Some(service), &[slice]);
        }
        rules
    };
    let mut group = criterion.benchmark_group("rules");
    group.sample_size(10);
    group.bench_function("all", |bencher| bencher.iter(full));

    let (name, service, slice) = &all[SERVICES / 2];
    let fewer = self::slice(SERVICES / 2, ENDPOINTS - 1);
    let mut rules = full();
    group.bench_function("endpoint", |bencher| {
        bencher.iter(|| {
            // Whoever carries them into the kernel has a copy of what they were.
            let before = rules.clone();
            rules.set("default", name, Some(service), &[&fewer]);
            rules.set("default", name, Some(service), &[slice]);
            black_box(before)
        });
    });
    group.bench_function("service", |bencher| {
        bencher.iter_batched(
            || rules.clone(),
            |mut rules| {
                rules.set("default", name, None, &[]);
                rules.set("default", name, Some(service), &[slice]);
                rules
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group!(benches, rules);
criterion_main!(benches);
