//! What Endpoints hold, when they go, and what is said.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

use super::*;
use crate::testing::{World, check_converges, nobody_else};

type Worlds = World<EndpointsOfServices>;

fn service(spec: Value) -> Service {
    let meta = json!({"name": "web", "namespace": "shop", "labels": {"team": "a"}, "uid": "service",
        "creationTimestamp": "2026-03-01T10:00:00Z"});
    serde_json::from_value(json!({"metadata": meta, "spec": spec})).unwrap()
}

fn web() -> Value {
    json!({"selector": {"app": "web"}, "clusterIP": "10.0.0.1", "ipFamilies": ["IPv4"],
        "ports": [{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}]})
}

fn pod(name: &str, ip: &str) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "shop", "uid": name, "labels": {"app": "web"}},
        "spec": {"nodeName": "n1", "containers": [{"name": "c",
            "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}]}]},
        "status": {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "conditions":
            [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-03-01T11:00:00Z"}]},
    })
}

fn with(mut pod: Value, change: impl Fn(&mut Value)) -> Value {
    change(&mut pod);
    pod
}

fn not_ready(pod: &mut Value) {
    pod["status"]["conditions"][0]["status"] = json!("False");
}

fn going(pod: &mut Value) {
    pod["metadata"]["deletionTimestamp"] = json!("2026-03-01T12:00:00Z");
    pod["metadata"]["deletionGracePeriodSeconds"] = json!(30);
}

fn world(spec: &Value, pods: &[Value]) -> Worlds {
    let mut world = World::new(EndpointsOfServices);
    world.add(service(spec.clone()));
    for pod in pods {
        world.add::<Pod>(serde_json::from_value(pod.clone()).unwrap());
    }
    world
}

/// Each subset as its ready addresses, `|`, the others, and its ports.
fn told(world: &Worlds) -> Vec<String> {
    let endpoints = world.get::<Endpoints>("shop", "web").unwrap();
    let addresses = |list: &Option<Vec<EndpointAddress>>| {
        list.iter().flatten().map(|address| address.ip.clone()).collect::<Vec<_>>().join(",")
    };
    let tell = |subset: &EndpointSubset| {
        let ports = subset.ports.iter().flatten();
        let ports = ports.map(|port| format!("{}:{}", port.name.clone().unwrap_or_default(), port.port));
        let ports = ports.collect::<Vec<_>>().join(",");
        format!("{}|{} {ports}", addresses(&subset.addresses), addresses(&subset.not_ready_addresses))
    };
    let mut told: Vec<String> = endpoints.subsets.iter().flatten().map(tell).collect();
    told.sort();
    told
}

#[test]
fn endpoints_have_what_upstream_writes() {
    let named = with(pod("a", "10.1.0.1"), |pod| {
        pod["spec"]["hostname"] = json!("first");
        pod["spec"]["subdomain"] = json!("web");
    });
    let setup = || world(&web(), std::slice::from_ref(&named));
    let world = check_converges(setup, nobody_else);
    let mut json = serde_json::to_value(&*world.get::<Endpoints>("shop", "web").unwrap()).unwrap();
    for field in ["uid", "resourceVersion", "creationTimestamp", "generation"] {
        json["metadata"].as_object_mut().unwrap().remove(field);
    }
    insta::assert_json_snapshot!(json);
}

#[test]
fn pods_are_addresses_as_their_state_says() {
    let pods = [
        pod("a", "10.1.0.1"),
        with(pod("b", "10.1.0.2"), not_ready),
        with(pod("c", "10.1.0.3"), going),
        with(pod("d", "10.1.0.4"), |pod| pod["status"]["phase"] = json!("Failed")),
        with(pod("e", ""), |pod| pod["status"] = json!({"phase": "Pending"})),
        with(pod("f", "10.1.0.6"), |pod| pod["metadata"]["labels"] = json!({"app": "other"})),
        with(pod("g", "10.1.0.7"), |pod| pod["spec"]["containers"][0]["ports"][0]["containerPort"] = json!(9090)),
        with(pod("h", "10.1.0.8"), |pod| pod["spec"]["containers"][0]["ports"] = json!([])),
        pod("i", "fd00::1"),
    ];
    let check = |change: &dyn Fn(&mut Value), expected: &[&str]| {
        let spec = with(web(), change);
        let world = check_converges(|| world(&spec, &pods), nobody_else);
        assert_eq!(told(&world), expected);
    };
    check(&|_| {}, &["10.1.0.1|10.1.0.2 http:8080", "10.1.0.7| http:9090"]);
    let publish = |spec: &mut Value| spec["publishNotReadyAddresses"] = json!(true);
    check(&publish, &["10.1.0.1,10.1.0.2,10.1.0.3| http:8080", "10.1.0.7| http:9090"]);
    check(&|spec| spec["ipFamilies"] = json!(["IPv6", "IPv4"]), &["fd00::1| http:8080"]);
    let two = |spec: &mut Value| {
        let more = json!({"name": "more", "port": 81, "targetPort": 9090, "protocol": "TCP"});
        spec["ports"].as_array_mut().unwrap().push(more);
    };
    let expected =
        ["10.1.0.1,10.1.0.7,10.1.0.8|10.1.0.2 more:9090", "10.1.0.1|10.1.0.2 http:8080", "10.1.0.7| http:9090"];
    check(&two, &expected);
    // Without ports, only a headless Service has endpoints.
    let bare = |spec: &mut Value| spec["ports"] = json!([]);
    check(&bare, &[]);
    let headless = |spec: &mut Value| {
        bare(spec);
        spec["clusterIP"] = json!("None");
    };
    check(&headless, &["10.1.0.1,10.1.0.7,10.1.0.8|10.1.0.2 "]);
}

#[test]
fn there_are_at_most_a_thousand_addresses() {
    let pods: Vec<Value> =
        (0..1003).map(|index| pod(&format!("p{index:04}"), &format!("10.1.{}.{}", index / 250, index % 250))).collect();
    let mut world = world(&web(), &pods);
    world.settle();
    let size = |world: &Worlds| {
        let endpoints = world.get::<Endpoints>("shop", "web").unwrap();
        let mark = endpoints.metadata.annotations.as_ref().unwrap().get(OVER_CAPACITY).cloned();
        let subsets = endpoints.subsets.as_ref().unwrap();
        (subsets[0].addresses.as_ref().unwrap().len(), mark)
    };
    assert_eq!(size(&world), (1000, Some("truncated".to_owned())));
    for index in 0..3 {
        world.remove::<Pod>("shop", &format!("p{index:04}"));
    }
    world.settle();
    assert_eq!(size(&world), (1000, None));
}

#[test]
fn endpoints_go_with_their_service() {
    let setup = || {
        let mut world = world(&web(), &[pod("a", "10.1.0.1")]);
        world.settle();
        world.remove::<Service>("shop", "web");
        world
    };
    let world = check_converges(setup, nobody_else);
    assert!(world.list::<Endpoints>().is_empty());
}

#[test]
fn what_is_not_ours_is_left_alone() {
    let by_hand = || -> Endpoints {
        let json =
            json!({"metadata": {"name": "web", "namespace": "shop"}, "subsets": [{"addresses": [{"ip": "1.2.3.4"}]}]});
        serde_json::from_value(json).unwrap()
    };
    // Such as nobody's Service has.
    let mut alone = World::new(EndpointsOfServices);
    alone.add(by_hand());
    assert!(alone.settle().is_empty());
    let others = [
        json!({"clusterIP": "10.0.0.1"}),
        json!({"clusterIP": "10.0.0.1", "selector": {}}),
        json!({"type": "ExternalName", "externalName": "example.com", "selector": {"app": "web"}}),
    ];
    for spec in others {
        let mut world = world(&spec, &[pod("a", "10.1.0.1")]);
        assert!(world.settle().is_empty());
        world.add(by_hand());
        assert!(world.settle().is_empty());
    }
    // A Service that is there again has its Endpoints made anew, and not deleted.
    let mut world = world(&web(), &[]);
    world.settle();
    world.remove::<Endpoints>("shop", "web");
    world.settle();
    assert_eq!(told(&world), [""; 0]);
}

#[test]
fn nothing_is_written_for_what_does_not_show() {
    let mut world = world(&web(), &[pod("a", "10.1.0.1")]);
    world.settle();
    world.change::<Pod>("shop", "a", |pod| pod.metadata.annotations = Some(BTreeMap::new()));
    world.change::<Endpoints>("shop", "web", |endpoints| {
        let labels = endpoints.metadata.labels.as_mut().unwrap();
        labels.insert(HEADLESS.to_owned(), String::new());
    });
    world.change::<Service>("shop", "web", |service| service.metadata.annotations = Some(BTreeMap::new()));
    assert!(world.settle().is_empty());
    world.change::<Service>("shop", "web", |service| service.metadata.labels = None);
    world.settle();
    let labels = world.get::<Endpoints>("shop", "web").unwrap().metadata.labels.clone();
    assert_eq!(json!(labels), json!({MANAGED_BY: MANAGER}));
}

#[test]
fn the_trigger_is_when_a_pod_turned_or_the_service_was_made() {
    let trigger = |world: &Worlds| {
        let endpoints = world.get::<Endpoints>("shop", "web").unwrap();
        endpoints.metadata.annotations.as_ref().and_then(|annotations| annotations.get(pods::TRIGGER_TIME).cloned())
    };
    let mut world = world(&web(), &[]);
    world.settle();
    assert_eq!(trigger(&world).as_deref(), Some("2026-03-01T10:00:00Z"));
    world.add::<Pod>(serde_json::from_value(pod("a", "10.1.0.1")).unwrap());
    world.settle();
    assert_eq!(trigger(&world).as_deref(), Some("2026-03-01T11:00:00Z"));
    let at = Timestamp::from_second(1_772_366_401).unwrap();
    world.change::<Pod>("shop", "a", |pod| {
        let condition = &mut pod.status.as_mut().unwrap().conditions.as_mut().unwrap()[0];
        condition.status = "False".to_owned();
        condition.last_transition_time = Some(Time(at));
    });
    world.settle();
    assert_eq!(trigger(&world), Some(at.to_string()));
    world.delete::<Pod>("shop", "a");
    world.settle();
    assert_eq!((told(&world), trigger(&world)), (Vec::new(), None));
}

#[test]
fn failures_are_told() {
    let mut world = world(&web(), &[]);
    world.refuse_creation::<Endpoints>(Some(("Forbidden", "no")));
    world.settle();
    let said = "Warning FailedToCreateEndpoint Endpoints web: Failed to create endpoint for service shop/web: no";
    assert_eq!(world.events[0], said);
    let count = world.events.len();
    let json = json!({"metadata": {"name": "shop", "deletionTimestamp": "2026-03-01T12:00:00Z"}});
    world.add::<Namespace>(serde_json::from_value(json).unwrap());
    world.change::<Service>("shop", "web", |service| service.metadata.labels = None);
    assert!(world.settle().is_empty());
    assert_eq!(world.events.len(), count);
}
