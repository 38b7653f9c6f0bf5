//! Cases of what is asked of which quota, and of what is refused.

use api::pod_resources::List;
use api::quantity::Quantity;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Service};
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use store::{Key, Revision};

use super::judge::{Demand, Running, judge};
use crate::object::Object;

fn quota(hard: &Value, used: &Value, scopes: &Value) -> Running {
    let quota = json!({
        "metadata": {"name": "q", "namespace": "shop"}, "spec": {"hard": hard, "scopes": scopes},
        "status": {"hard": hard, "used": used},
    });
    let key = Key::new("/registry/core/resourcequotas/shop/q").unwrap();
    Running::new(key, Revision(1), serde_json::from_value(quota).unwrap())
}

fn pod(requests: &Value, limits: &Value) -> Box<dyn Object> {
    let containers = json!([{"name": "c", "resources": {"requests": requests, "limits": limits}}]);
    Box::new(serde_json::from_value::<Pod>(json!({"spec": {"containers": containers}})).unwrap())
}

fn claim(storage: &str) -> Box<dyn Object> {
    let spec = json!({"storageClassName": "gold", "resources": {"requests": {"storage": storage}}});
    Box::new(serde_json::from_value::<PersistentVolumeClaim>(json!({"spec": spec})).unwrap())
}

fn service(kind: &str, ports: usize) -> Box<dyn Object> {
    let ports = vec![json!({"port": 80}); ports];
    Box::new(serde_json::from_value::<Service>(json!({"spec": {"type": kind, "ports": ports}})).unwrap())
}

fn demand(new: Box<dyn Object>, old: Option<Box<dyn Object>>) -> Demand {
    Demand {
        new,
        old,
        resource: "deployments.apps".to_owned(),
        classes: api::quota::devices::Classes::default(),
        charged: List::new(),
        is_limited: true,
        dry_run: false,
        now: Timestamp::UNIX_EPOCH,
    }
}

/// What is taken of the quota, `name=amount,…`, or why it is not.
fn outcome(quota: Running, demand: &Demand) -> String {
    match judge(&[quota], demand) {
        Ok(takes) => {
            let show = |(name, amount): (&String, &Quantity)| format!("{name}={amount}");
            let takes = takes.iter().flat_map(|(_, list)| list.iter().map(show));
            takes.collect::<Vec<_>>().join(",")
        }
        Err(why) => why,
    }
}

#[test]
fn what_is_new_takes_what_is_limited() {
    let check = |object: Box<dyn Object>, hard: Value, used: Value, expected: &str| {
        assert_eq!(outcome(quota(&hard, &used, &json!([])), &demand(object, None)), expected, "{hard} {used}");
    };
    let small = || pod(&json!({"cpu": "500m", "example.com/gpu": "1"}), &json!({"cpu": "1"}));
    check(small(), json!({"pods": "2", "cpu": "2"}), json!({"pods": "1", "cpu": "1"}), "cpu=500m,pods=1");
    check(
        small(),
        json!({"requests.cpu": "1", "limits.cpu": "1", "requests.example.com/gpu": "1"}),
        json!({"requests.cpu": "0", "limits.cpu": "0", "requests.example.com/gpu": "0"}),
        "limits.cpu=1,requests.cpu=500m,requests.example.com/gpu=1",
    );
    check(
        small(),
        json!({"pods": "2"}),
        json!({"pods": "2"}),
        "exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2",
    );
    check(
        small(),
        json!({"cpu": "1", "limits.cpu": "1500m", "pods": "9"}),
        json!({"cpu": "800m", "limits.cpu": "1", "pods": "1"}),
        "exceeded quota: q, requested: cpu=500m,limits.cpu=1, used: cpu=800m,limits.cpu=1, limited: cpu=1,limits.cpu=1500m",
    );
    check(
        small(),
        json!({"memory": "1Gi", "limits.memory": "1Gi"}),
        json!({"memory": "0", "limits.memory": "0"}),
        "failed quota: q: must specify limits.memory for: c; memory for: c",
    );
    check(small(), json!({"pods": "2", "cpu": "1"}), json!({}), "status unknown for quota: q, resources: cpu,pods");
    check(small(), json!({"services": "2"}), json!({}), "");
    check(
        service("LoadBalancer", 2),
        json!({"services.loadbalancers": "1", "services.nodeports": "2"}),
        json!({"services.loadbalancers": "0", "services.nodeports": "1"}),
        "exceeded quota: q, requested: services.nodeports=2, used: services.nodeports=1, limited: services.nodeports=2",
    );
    let of_class = "gold.storageclass.storage.k8s.io/requests.storage";
    check(
        claim("3Gi"),
        json!({of_class: "2Gi"}),
        json!({of_class: "0"}),
        &format!("exceeded quota: q, requested: {of_class}=3Gi, used: {of_class}=0, limited: {of_class}=2Gi"),
    );
}

#[test]
fn what_changes_takes_what_it_takes_more() {
    let check = |new: Box<dyn Object>, old: Box<dyn Object>, hard: Value, used: Value, expected: &str| {
        assert_eq!(outcome(quota(&hard, &used, &json!([])), &demand(new, Some(old))), expected, "{hard} {used}");
    };
    let (hard, used) = (json!({"requests.storage": "5Gi"}), json!({"requests.storage": "4Gi"}));
    check(claim("2Gi"), claim("1Gi"), hard.clone(), used.clone(), "requests.storage=1Gi");
    check(claim("1Gi"), claim("2Gi"), hard.clone(), used.clone(), "");
    check(
        claim("3Gi"),
        claim("1Gi"),
        hard,
        used,
        "exceeded quota: q, requested: requests.storage=2Gi, \
        used: requests.storage=4Gi, limited: requests.storage=5Gi",
    );
    let (hard, used) =
        (json!({"services.nodeports": "2", "services": "1"}), json!({"services.nodeports": "0", "services": "1"}));
    check(service("NodePort", 2), service("ClusterIP", 2), hard, used, "services.nodeports=2");
    let (hard, used) = (json!({"cpu": "2", "pods": "1"}), json!({"cpu": "1", "pods": "1"}));
    let of = |cpu: &str| pod(&json!({"cpu": cpu}), &json!({}));
    check(of("2"), of("1"), hard.clone(), used.clone(), "cpu=1");
    check(of("3"), of("1"), hard, used, "exceeded quota: q, requested: cpu=2, used: cpu=1, limited: cpu=2");
}

#[test]
fn what_comes_into_a_scope_is_charged_whole() {
    let best = || pod(&json!({}), &json!({}));
    let burst = || pod(&json!({"cpu": "1"}), &json!({}));
    let check = |new: Box<dyn Object>, old: Option<Box<dyn Object>>, scope: &str, expected: &str| {
        let quota = quota(&json!({"pods": "5"}), &json!({"pods": "1"}), &json!([scope]));
        assert_eq!(outcome(quota, &demand(new, old)), expected, "{scope}");
    };
    check(best(), None, "BestEffort", "pods=1");
    check(burst(), None, "BestEffort", "");
    check(burst(), Some(best()), "NotBestEffort", "pods=1");
    check(burst(), Some(burst()), "NotBestEffort", "");
    check(service("ClusterIP", 1), None, "BestEffort", "");
}

#[test]
fn what_has_happened_is_charged_beyond_the_limit() {
    let mut grown = demand(claim("9Gi"), Some(claim("1Gi")));
    grown.is_limited = false;
    let quota = quota(&json!({"requests.storage": "5Gi"}), &json!({"requests.storage": "4Gi"}), &json!([]));
    assert_eq!(outcome(quota, &grown), "requests.storage=8Gi");
}
